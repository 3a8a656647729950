"""What a comparison found: it shows, plots and saves itself."""

from __future__ import annotations

import base64
import contextlib
import html
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from probe.errors import ProbeError
from probe.plots import plot_layers
from probe.plots.layers import STYLE, figure_size
from probe.similarity import get_comparator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRIC_LABELS = {
    "correlation": "1 − Pearson r",
    "euclidean": "squared Euclidean",
    "cosine": "1 − cosine",
}


@dataclass(frozen=True)
class Ceiling:
    """What the best possible model could score.

    Attributes
    ----------
    lower, upper : float
        NaN where the recording cannot tell.
    kind : str
        How it was estimated, in words.
    """

    lower: float
    upper: float
    kind: str

    @property
    def known(self) -> bool:
        """Whether there is a ceiling."""
        return bool(np.isfinite(self.lower) and np.isfinite(self.upper))


@dataclass(frozen=True)
class Choice:
    """The best layer, chosen on one half of the stimuli and scored on the other.

    Attributes
    ----------
    layer : str
        The layer that was chosen in most splits.
    score : float
        Mean score, on the other half, of whichever layer a split had chosen.
    share : float
        Share of the splits that chose ``layer``.
    shares : dict of str to float
        The same for every layer that was chosen at all.
    n_splits : int
        Number of splits.
    """

    layer: str
    score: float
    share: float
    shares: dict[str, float]
    n_splits: int


@dataclass(frozen=True)
class RSAResult:
    """A network compared with a recording. Shows, plots and saves itself.

    Attributes
    ----------
    table : pandas.DataFrame
        Tidy: one row per layer (``kind == 'layer'``), one for the pixels, one per layer and seed
        of the untrained network. ``score`` is the mean over subjects.
    by_subject : pandas.DataFrame
        ``kind``, ``layer``, ``subject``, ``score``: one row per layer (or pixels) and subject.
    ceiling : Ceiling
    choice : Choice or None
        None if there is only one layer, or too few stimuli to split.
    facts : dict
        What was compared with what: ``model``, ``recording``, ``comparison``.
    provenance : dict
        Versions, hashes, seeds and the command.
    """

    table: pd.DataFrame
    by_subject: pd.DataFrame
    ceiling: Ceiling
    choice: Choice | None
    facts: dict[str, Any]
    provenance: dict[str, Any]

    @property
    def layers(self) -> pd.DataFrame:
        """Rows of the table that are layers, without the baselines."""
        return self.table[self.table["kind"] == "layer"].reset_index(drop=True)

    @property
    def simulated(self) -> bool:
        """Whether the recording was generated."""
        return bool(self.facts["recording"]["simulated"])

    @property
    def title(self) -> str:
        """One line that says what is compared with what."""
        model, recording = self.facts["model"], self.facts["recording"]
        neuroids = recording["n_neuroids"]
        subjects = recording["subjects"]
        parts = [
            recording["region"],
            f"{neuroids} neuroids" if neuroids else None,
            f"{len(subjects)} subjects" if len(subjects) > 1 else f"subject {subjects[0]}",
            f"{recording['n_stimuli']} stimuli",
        ]
        trained = {"imagenet": "ImageNet weights", "random": "untrained"}
        weights = trained.get(model["weights_kind"], f"weights of the {model['weights_kind']}")
        mark = "SIMULATED recording " if self.simulated else ""
        return f"{model['name']} ({weights}) and {mark}{recording['name']}: " + ", ".join(
            p for p in parts if p
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw score along the layers, with interval, ceiling band and baselines.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        matplotlib.axes.Axes
        """
        comparison = self.facts["comparison"]
        symbol = get_comparator(comparison["comparator"]).symbol
        return plot_layers(
            self.table,
            ceiling=(self.ceiling.lower, self.ceiling.upper) if self.ceiling.known else None,
            ceiling_label=f"noise ceiling ({self.ceiling.kind})",
            ylabel=f"{symbol} with {self.facts['recording']['region']}"
            f"\n(RDMs of {METRIC_LABELS[comparison['metric']]})",
            title=self.title,
            ax=ax,
        )

    def save(self, path: str | Path) -> list[Path]:
        """Write ``table.csv``, ``result.json`` and ``figure.png`` into a folder.

        Parameters
        ----------
        path : str or Path
            Made if it does not exist; files of these names are replaced, others left alone.

        Returns
        -------
        list of Path
            What was written.

        Raises
        ------
        ProbeError
            If the folder cannot be written.
        """
        folder = writable_folder(path)
        contents = {
            "table.csv": self.table.to_csv(index=False).encode(),
            "result.json": f"{self.to_json()}\n".encode(),
            "figure.png": self._png(),
        }
        written = []
        for name, content in contents.items():
            try:
                write_atomically(folder / name, content)
            except OSError as error:
                raise ProbeError(
                    f"{str(folder / name)!r} cannot be written ({error.strerror})"
                ) from None
            written.append(folder / name)
        return written

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain values, as in ``result.json`` (NaN as None)."""
        return {
            **self.facts,
            "ceiling": _plain(vars(self.ceiling)),
            "choice": None if self.choice is None else _plain(vars(self.choice)),
            "table": _plain(self.table.to_dict("records")),
            "by_subject": _plain(self.by_subject.to_dict("records")),
            "provenance": self.provenance,
        }

    def to_json(self) -> str:
        """Give everything as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def summary(self) -> pd.DataFrame:
        """Give the layers as a person reads them: rounded, with baselines beside the scores.

        Returns
        -------
        pandas.DataFrame
            One row per layer, of strings; ``ceiling`` is the score as a share of the noise
            ceiling's upper and lower bound, ``untrained`` a mean over seeds.
        """
        rows = self.layers
        untrained = self.table[self.table["kind"] == "untrained"].groupby("layer")["score"].mean()
        shown: dict[str, list[str]] = {"layer": list(rows["layer"])}
        if rows["alias"].any():
            shown["alias"] = list(rows["alias"])
        shown["score"] = [_number(v) for v in rows["score"]]
        shown["95 % CI"] = [
            f"{_number(a)} to {_number(b)}"
            for a, b in zip(rows["ci_low"], rows["ci_high"], strict=True)
        ]
        shown["p"] = [_p(v) for v in rows["p_zero"]]
        shown["p (FDR)"] = [_p(v) for v in rows["p_zero_fdr"]]
        if self.ceiling.known:
            shown["ceiling"] = [
                _share(a, b)
                for a, b in zip(rows["share_of_upper"], rows["share_of_lower"], strict=True)
            ]
        if len(untrained):
            shown["untrained"] = [_number(untrained[name]) for name in rows["layer"]]
        return pd.DataFrame(shown)

    def notes(self) -> list[str]:
        """Say in sentences what the table alone does not."""
        notes = []
        if self.ceiling.known:
            notes.append(
                f"Noise ceiling {_number(self.ceiling.lower)} to {_number(self.ceiling.upper)}: "
                f"{self.ceiling.kind}."
            )
        else:
            notes.append(f"Noise ceiling unknown: {self.ceiling.kind}.")
        if self.choice is not None:
            alias = self.layers.set_index("layer")["alias"][self.choice.layer]
            name = f"{self.choice.layer} ({alias})" if alias else self.choice.layer
            notes.append(
                f"Best layer {name}, chosen on one half of the stimuli in "
                f"{100 * self.choice.share:.0f} % of {self.choice.n_splits} splits; "
                f"score on the other half {_number(self.choice.score)}."
            )
        pixels = self.table[self.table["kind"] == "pixels"]
        if len(pixels):
            row = pixels.iloc[0]
            untrained = self.table[self.table["kind"] == "untrained"]
            best = untrained.groupby("layer")["score"].mean().dropna()
            notes.append(
                f"Baselines: pixels {_number(row['score'])} "
                f"({_number(row['ci_low'])} to {_number(row['ci_high'])})"
                + (
                    f"; the untrained network at most {_number(best.max())} ({best.idxmax()}, "
                    f"mean of {untrained['init_seed'].nunique()} seeds)."
                    if len(best)
                    else "."
                )
            )
        notes += self.facts["comparison"]["remarks"]
        if self.simulated:
            notes.append("The recording is SIMULATED: the responses were generated, not measured.")
        return notes

    def describe(self) -> list[tuple[str, str]]:
        """Say what was compared with what, as (name, text) lines."""
        model, recording = self.facts["model"], self.facts["recording"]
        repeats = recording["n_repetitions"]
        if recording["averaged"]:
            shown = "averaged by the authors"
        elif repeats is not None:
            shown = "–".join(str(r) for r in dict.fromkeys(repeats)) + " per stimulus"
        else:
            shown = "RDMs only"
        subjects = recording["subjects"]
        names = ", ".join(subjects) if len(subjects) <= 6 else f"{len(subjects)} subjects"
        return [
            ("weights", f"{model['weights_source']} · sha256 {model['weights_sha256'][:12]}…"),
            ("input", model["preprocessing"]),
            ("recording", recording["title"]),
            ("subjects", f"{names} · repetitions: {shown}"),
            ("cite", recording["citation"]),
        ]

    def __repr__(self) -> str:
        return "\n".join([self.title, "", self.summary().to_string(index=False), "", *self.notes()])

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes())
        image = base64.b64encode(self._png()).decode()
        return (
            f"<p><b>{html.escape(self.title)}</b></p>{self.summary().to_html(index=False)}"
            f"<ul>{notes}</ul><img alt='{html.escape(self.title)}' style='max-width:100%;"
            f"width:820px' src='data:image/png;base64,{image}'>"
        )

    def _png(self) -> bytes:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        # Not through pyplot: a notebook would show the figure a second time.
        with mpl.rc_context(STYLE):
            names = [alias or name for name, alias in self.layers[["layer", "alias"]].to_numpy()]
            figure = Figure(figsize=figure_size(names), layout="constrained")
            FigureCanvasAgg(figure)
            self.plot(figure.add_subplot())
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", metadata={"Title": self.title})
        return buffer.getvalue()


def default_folder(model: str, dataset: str, *others: str | None) -> Path:
    """Where the command line puts a result: ``results/rsa-MODEL-DATASET``, and what else differs.

    Parameters
    ----------
    model, dataset : str
    *others : str or None
        Region, subject, weights, where they are not the default ones.
    """
    name = "-".join(["rsa", model, dataset, *filter(None, others)])
    return Path("results") / "".join(c if c.isalnum() or c in "-_." else "-" for c in name)


def writable_folder(path: str | Path) -> Path:
    """Make a folder and see that it can be written.

    Raises
    ------
    ProbeError
        If it cannot.
    """
    folder = Path(path).expanduser()
    trial = folder / f".{os.getpid()}.writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise ProbeError(
            f"result folder {str(folder)!r} cannot be written ({error.strerror}); "
            "choose another with --output"
        ) from None
    return folder


@contextlib.contextmanager
def place_for(path: str | Path) -> Iterator[Path]:
    """Make a folder that can be written; if nothing is put there, no trace of it is left."""
    folder = Path(path).expanduser()
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        yield writable_folder(folder)
    finally:
        for place in made:
            with contextlib.suppress(OSError):  # it holds something
                place.rmdir()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if value is pd.NA or (isinstance(value, (float, np.floating)) and not np.isfinite(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _number(value: float) -> str:
    if not np.isfinite(value):
        return ""
    text = f"{value:.3f}"
    text = "0.000" if text == "-0.000" else text
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def _share(*of_bounds: float) -> str:
    known = sorted(100 * share for share in of_bounds if np.isfinite(share))
    if known and known[0] < 0:
        return "<0 %"
    return "–".join(dict.fromkeys(f"{share:.0f}" for share in known)) + " %" if known else ""


def _p(value: float) -> str:
    return "<.001" if value < 0.001 else _number(value)
