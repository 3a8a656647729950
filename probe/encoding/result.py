"""What fitting recorded sites with a network gave: scores, and the sites to go on with."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from PIL import Image

from probe import images
from probe.encoding.identity import Identity
from probe.errors import ProbeError
from probe.output.files import Contents, csv, writable_folder, write_all
from probe.output.pictures import figure_file, file_of
from probe.output.result import Result
from probe.output.summarised import Figures
from probe.output.text import chosen, count, number, p_value, plain, said_of
from probe.plots.encoding import plot_bands, plot_encoding, plot_sites
from probe.plots.layers import figure_size, places
from probe.progress import track
from probe.stimuli import StimulusSet, image_set

if TYPE_CHECKING:
    import torch
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from probe.encoding.readouts import Readout, ReadoutModule
    from probe.encoding.sites import Head, Site
    from probe.models import Network

FORMAT = 2
"""Of the folder that `Encoding.save` writes."""

BAND_COLUMNS = (
    "site", "neuroid_id", "layer", "alias", "share", "alpha", "r2", "r2_low", "r2_high",
)  # fmt: skip

PREDICTION_BATCH = 32
"""Pictures that are predicted at a time."""


@dataclass(frozen=True, eq=False, repr=False)
class Encoding(Result):
    """Recorded sites, fitted with the layers of a network. Shows, plots and saves itself.

    Attributes
    ----------
    table : pandas.DataFrame
        Tidy: one row per layer (``kind == 'layer'``), for the layer chosen for each site inside the
        training stimuli (``chosen``), and for the baselines (``pixels``, ``gabor``, ``untrained``,
        ``classic``, whose model is the ``type``).
        ``r`` and the other scores (see `probe.encoding.scores`) are medians over sites, with
        intervals ``…_low`` and ``…_high``; ``shuffled`` is ``r`` of responses that were permuted
        over stimuli. Of method ``banded`` also all layers together (``bands``), and in ``r2_band``
        what each contributes to the R² of these, as means over sites, which add up.
    sites : pandas.DataFrame
        One row per site: ``site`` (its number), ``neuroid_id``, ``subject``, ``region``, ``layer``
        that it is read from, ``reliability``, scores with intervals, field and penalty; ``note``
        says why a score is missing. Scores and intervals are of fits that leave a fold out, on
        average over such fits. The very site that is kept, fitted to all stimuli, may lie outside,
        mostly above: of simulated V4 neurons fitted to 200 to 400 pictures, 85 % of the 95 %
        intervals of r held its r with new responses (`analyses/known_truth.py`).
    pairs : pandas.DataFrame
        Two-sided tests between layers, paired over stimuli and sites: ``model_a``, ``model_b``,
        ``difference`` (of the mean r over sites), ``se``, ``p``, ``p_fdr``, ``p_holm``.
    held_out : dict of str to numpy.ndarray, float32, shape (n, m)
        Predictions of every stimulus by fits that have not seen it, by layer; empty where splits
        leave out stimuli or repeat them, and for an encoding that was opened from a file.
    readouts : dict of str to Readout
        Each site's own layer, fitted to all stimuli; sites in the order of ``sites``. Of method
        ``banded``, all sites in every layer: a prediction is their sum.
    identity : Identity
        Of the network.
    facts, provenance : dict
        What was fitted to what, and how: plain values.
    network : Network, optional
        Loaded by name when it is first needed, for an encoding that was opened from a file.
    resampled : numpy.ndarray, float32, shape (B, m)
        r of each site, with its chosen layer, in each resample of the stimuli; empty for an
        encoding that was opened.
    bands : pandas.DataFrame
        Of method ``banded``: one row per site and layer. ``site``, ``neuroid_id``, ``layer``,
        ``alias``; ``share`` (γ) and ``alpha`` (the band's own penalty, that of the site over γ,
        relative to the mean squared length of the layer's patterns) of the fit to all stimuli;
        ``r2``, ``r2_low``, ``r2_high``: what the layer contributes to R² of held-out responses
        (product measure, `probe.encoding.bands.split_r2`), with an interval. Empty otherwise.
    """

    table: pd.DataFrame
    sites: pd.DataFrame
    pairs: pd.DataFrame
    held_out: dict[str, np.ndarray]
    readouts: dict[str, Readout]
    identity: Identity
    facts: dict[str, Any]
    provenance: dict[str, Any]
    network: Network | None = field(default=None, compare=False)
    resampled: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    bands: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(BAND_COLUMNS)))

    FILES: ClassVar = (
        "table.csv", "sites.csv", "pairs.csv", "figure.png", "sites.png", "sites.npz",
        "encoding.json",
    )  # fmt: skip
    """What `save` writes."""

    BANDED_FILES: ClassVar = ("bands.csv", "bands.png")
    """And of method ``banded``."""

    @property
    def files(self) -> tuple[str, ...]:
        """Names of all files that `save` writes."""
        return (*self.FILES, *(self.BANDED_FILES if self.is_banded else ()))

    @property
    def is_banded(self) -> bool:
        """Whether each site is read from several layers together."""
        return bool(self.facts["fit"]["method"] == "banded")

    def __len__(self) -> int:
        return len(self.sites)

    @property
    def layers(self) -> pd.DataFrame:
        """Rows of the table that are layers."""
        return self.table[self.table["kind"] == "layer"].reset_index(drop=True)

    @property
    def simulated(self) -> bool:
        """Whether the recording was generated."""
        return bool(self.facts["recording"]["simulated"])

    @property
    def dataset(self) -> str:
        """What the recording is called in ``site:NAME:NUMBER``."""
        return str(self.facts["dataset"])

    @property
    def title(self) -> str:
        """One line that says what was fitted to what."""
        recording = self.facts["recording"]
        mark = "SIMULATED recording " if self.simulated else ""
        n_subjects = len(recording["subjects"])
        subjects = f"{n_subjects} subjects" if n_subjects > 1 else recording["subjects"][0]
        return (
            f"{self.facts['model']['name']} predicts {mark}{recording['name']}: "
            f"{self.facts['region']}, {count(len(self), 'site')}{chosen(recording)}, {subjects}, "
            f"{recording['n_stimuli']} stimuli"
        )

    def site(self, number: int | str) -> Site:
        """Return a site as a target: of maps, visualisations and dreams.

        Parameters
        ----------
        number : int or str
            Its number, from 0, or its ``neuroid_id``; ``'all'`` for the mean of all sites.

        Returns
        -------
        Site
            Gives the predicted response, in standard deviations from the site's mean response.

        Raises
        ------
        ProbeError
            If there is no such site; the message names the nearest.
        """
        import torch  # a report reads a fit without it, at once

        from probe.encoding.sites import Site

        rows = self._rows(number)
        name = f"site:{self.dataset}:{number}"
        readouts: list[ReadoutModule] = []
        means, sds = [], []
        self._check_kept(rows)
        for layer, readout in self.readouts.items():
            positions = self._sites_of(layer)
            chosen = np.flatnonzero(np.isin(positions, rows))
            if not len(chosen):
                continue
            of_layer = self.sites.iloc[positions[chosen]]
            mean = of_layer["mean"].to_numpy(np.float32)
            if self.is_banded and readouts:  # the first band has the mean of the responses
                mean = np.zeros_like(mean)
            readouts.append(readout.take(chosen).module())
            means.append(torch.from_numpy(mean))
            sds.append(torch.from_numpy(of_layer["sd"].to_numpy(np.float32)))
        return Site(name, tuple(readouts), tuple(means), tuple(sds), len(rows), self.identity,
                    self._facts_of(rows, readouts), self.load_network)  # fmt: skip

    def _check_kept(self, rows: np.ndarray) -> None:
        """Refuse to predict sites whose weights a file does not have."""
        if absent := set(self._layers_of(rows)) - set(self.readouts):
            raise ProbeError(
                f"weights of layer {min(absent)!r} were too many to keep: fit {self.dataset} "
                "again, and use its sites at once, or with readout 'field'"
            )

    def _layers_of(self, rows: np.ndarray) -> list[str]:
        """Name the layers that some sites are read from."""
        if self.is_banded:
            return list(self.facts["model"]["layers"])
        return list(dict.fromkeys(self.sites["layer"].iloc[rows]))

    def _sites_of(self, layer: str) -> np.ndarray:
        """Find the sites that are read from a layer: rows, in the order of its readout."""
        return rows_of(self.sites, layer, banded=self.is_banded)

    def _rows(self, number: int | str) -> np.ndarray:
        """Find sites, of those whose responses vary."""
        from probe.encoding.sites import ALL, row_of

        varies = (self.sites["sd"] > 0).to_numpy()
        text = str(number)
        if text == ALL:
            if not varies.any():
                raise ProbeError(f"no site of {self.dataset} responds differently to any stimulus")
            return np.flatnonzero(varies)
        row = row_of(text, list(self.sites["neuroid_id"].astype(str)), self.dataset)
        if not varies[row]:
            raise ProbeError(
                f"site {text} of {self.dataset} responds alike to all stimuli: there is nothing "
                "to predict"
            )
        return np.array([row])

    def _facts_of(self, rows: np.ndarray, readouts: Sequence[ReadoutModule]) -> dict[str, Any]:
        """Return how good the fit of some sites is."""
        some = self.sites.iloc[rows]
        facts: dict[str, Any] = {
            "dataset": self.dataset,
            "recording": self.facts["recording"]["name"],
            "simulated": self.simulated,
            "n_sites": len(rows),
            "sites": [int(k) for k in some["site"]] if len(rows) <= 8 else None,
            "layers": self._layers_of(rows),
            "n_stimuli": self.facts["recording"]["n_stimuli"],
            "stimulus_hash": self.facts["recording"]["stimulus_hash"],
            "model": self.identity.model,
            "readout": self.facts["fit"]["readout"],
        }
        for column in ("r", "r_low", "r_high", "r_ceiled", "reliability"):
            values = some[column].dropna()
            facts[column] = float(values.median()) if len(values) else None
        if len(rows) == 1:
            row = some.iloc[0]
            facts |= plain({k: row[k] for k in ("neuroid_id", "y", "x", "sd_field")})
            facts |= plain({k: row[k] for k in ("y_px", "x_px", "sd_px")})
        digest = hashlib.sha256()
        for readout in readouts:
            digest.update(readout.layer.encode())
            digest.update(readout.weight.numpy().tobytes())
            digest.update(readout.offset.numpy().tobytes())
        facts["weights_sha256"] = digest.hexdigest()
        facts["said"] = self._said(rows, facts)
        return facts

    @property
    def _aliases(self) -> dict[str, str]:
        return dict(zip(self.layers["layer"], self.layers["alias"], strict=True))

    def _said(self, rows: np.ndarray, facts: dict[str, Any]) -> str:
        """Return how good a fit is, in a line."""
        some = self.sites.iloc[rows]
        names = [self._aliases.get(name) or name for name in facts["layers"]]
        what = (
            f"site {some['site'].iloc[0]} ({some['neuroid_id'].iloc[0]})"
            if len(rows) == 1
            else f"mean of {len(rows)} sites"
        )
        r = "no r" if facts["r"] is None else f"r {number(facts['r'])}"
        if len(rows) > 1:
            r = f"median {r}"
        elif facts["r_low"] is not None:
            r += f" ({number(facts['r_low'])} to {number(facts['r_high'])})"
        rho = facts["reliability"]
        ceiling = f", highest {number(float(np.sqrt(rho)))}" if rho and rho > 0 else ""
        mark = "SIMULATED " if self.simulated else ""
        return (
            f"{what} of {mark}{facts['recording']}, read from {_first(names)} of "
            f"{self.identity.model}: {r} with held-out responses{ceiling}"
        )

    def head(self) -> Head:
        """Return a torch module: preprocessed pictures (n, 3, height, width) to (n, m) responses.

        In the recording's units, and in the order of ``sites``.
        """
        import torch

        from probe.encoding.sites import Head

        self._check_kept(np.arange(len(self)))
        rows = np.concatenate([self._sites_of(layer) for layer in self.readouts])
        modules = [readout.module() for readout in self.readouts.values()]
        return Head(self.load_network().module, modules, torch.from_numpy(rows))

    def predict(
        self,
        pictures: StimulusSet | str | Path | images.Picture | Sequence[images.Picture],
        *,
        device: str = "auto",
        progress: bool | None = None,
    ) -> pd.DataFrame:
        """Predict the responses of all sites to any pictures.

        Parameters
        ----------
        pictures : StimulusSet, path, or (a list of) pictures
            A folder, pattern, table or archive as in `probe.stimuli.image_set`; a picture file,
            array or Pillow image, or several.
        device : str
            ``auto``, ``cpu``, ``cuda``, …
        progress : bool, optional
            Show a progress bar; by default when a person is watching.

        Returns
        -------
        pandas.DataFrame
            Indexed by picture, one column per ``neuroid_id``, in the recording's units.
        """
        import torch

        from probe.activations.capture import capture
        from probe.models.devices import on_device

        network = self.load_network()
        names, opened = _pictures(pictures)
        if not names:
            raise ProbeError("there are no pictures to predict responses to")
        rows = []
        starts = range(0, len(names), PREDICTION_BATCH)
        with on_device(network, device) as (device_used, dtype):
            for start in track(starts, desc="predict", unit="batch", progress=progress):
                batch = [opened(k) for k in range(start, min(start + PREDICTION_BATCH, len(names)))]
                inputs = torch.stack([network.preprocessing(one) for one in batch])
                outputs = capture(
                    network.module, inputs.to(device_used, dtype), list(self.readouts)
                )
                rows.append(self.predict_from({k: v.float().cpu() for k, v in outputs.items()}))
        columns = pd.Index(self.sites["neuroid_id"], name="neuroid_id")
        return pd.DataFrame(np.concatenate(rows), index=pd.Index(names, name="picture"),
                            columns=columns)  # fmt: skip

    def predict_from(self, outputs: dict[str, torch.Tensor]) -> np.ndarray:
        """Predict from what layers returned, (n, …) each: float64, (n, m)."""
        self._check_kept(np.arange(len(self)))
        n = len(next(iter(outputs.values())))
        predictions = np.zeros((n, len(self)))
        for layer, readout in self.readouts.items():
            predictions[:, self._sites_of(layer)] += readout.predict(
                outputs[layer].flatten(1).numpy()
            )
        return predictions

    def load_network(self) -> Network:
        """Return the network that the sites were fitted with.

        Raises
        ------
        ProbeError
            If it cannot be had by its name, or has other weights now.
        """
        if self.network is None:
            if self.identity.weights_kind == "user":
                raise ProbeError(
                    f"{self.identity.model} is a module of your own: pass it, as in "
                    "probe.open_encoding(path, network=module)"
                )
            from probe import models

            settings = self.facts["fit"]
            network = models.load(
                self.identity.model, settings["weights"], seed=settings["seed"],
                preprocessing=settings["preprocessing"],
            )  # fmt: skip
            self.identity.check(network, f"sites of {self.dataset}")
            object.__setattr__(self, "network", network)
        assert self.network is not None  # set above
        return self.network

    def plot(self, ax: Axes | None = None, *, legend: bool = True) -> Axes:
        """Draw r along the layers, with intervals, ceiling and baselines.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.
        legend : bool
            Whether there is one.

        Returns
        -------
        matplotlib.axes.Axes
        """
        reliability = self.sites["reliability"]
        above = reliability[reliability > 0]
        ceiling = float(np.sqrt(above).median()) if len(above) else None
        return plot_encoding(self.table, ceiling=ceiling, title=self.title, legend=legend, ax=ax)

    def plot_sites(self, figure: Figure | SubFigure | None = None) -> Figure | SubFigure:
        """Draw the fields of all sites over the picture, and their r against the ceiling.

        Parameters
        ----------
        figure : matplotlib.figure.Figure or SubFigure, optional
            Where to draw; by default a new figure.

        Returns
        -------
        matplotlib.figure.Figure or SubFigure
        """
        size = self.facts["fit"]["input_size"]
        return plot_sites(self.sites, (size[0], size[1]), title=self.title, figure=figure)

    def plot_bands(
        self, figure: Figure | SubFigure | None = None, *, legend: bool = True
    ) -> Figure | SubFigure:
        """Draw what each layer contributes to R², on average and in each site.

        Parameters
        ----------
        figure : matplotlib.figure.Figure or SubFigure, optional
            Where to draw; by default a new figure.
        legend : bool
            Whether there is one.

        Returns
        -------
        matplotlib.figure.Figure or SubFigure

        Raises
        ------
        ProbeError
            If the sites were not fitted with method ``banded``.
        """
        if not self.is_banded:
            raise ProbeError(
                f"sites of {self.dataset} are read from one layer each: fit them with method "
                "'banded' to see what each layer adds"
            )
        return plot_bands(self.table, self.bands, title=self.title, legend=legend, figure=figure)

    def save(self, path: str | Path, *, figures: bool = True) -> list[Path]:
        """Write tables, figures and sites into a folder, which `probe.open_encoding` reads.

        Parameters
        ----------
        path : path
            Made if it does not exist; files of these names are replaced, others left alone.
        figures : bool
            Whether figures are drawn.

        Returns
        -------
        list of Path
            What was written.
        """
        return write_all(writable_folder(path), self._contents(figures=figures))

    def _contents(self, *, figures: bool = True) -> Contents:
        """Return tables, figures, sites and ``encoding.json``."""
        contents = {
            "table.csv": csv(self.table),
            "sites.csv": csv(self.sites),
            "pairs.csv": csv(self.pairs),
        }
        if self.is_banded:
            contents["bands.csv"] = csv(self.bands)
        if figures:
            contents |= {f"{name}.png": figure(".png") for name, figure in self.figures().items()}
        return contents | {"sites.npz": self._arrays(), "encoding.json": self._json()}

    def _arrays(self) -> bytes:
        arrays: dict[str, np.ndarray] = {}
        # Of those that are too large, `_check_kept` tells.
        written = [one for one in self.readouts.values() if not one.too_large()]
        for k, readout in enumerate(written):
            every_site = readout.take(range(len(readout)))
            layout = every_site.layout
            arrays |= {
                f"{k}.layer": np.array(readout.layer),
                f"{k}.layout": np.array([layout.channels, layout.height, layout.width]),
                f"{k}.weights": every_site.weights,
                f"{k}.offsets": every_site.offsets,
            }
            if every_site.fields is not None:
                arrays[f"{k}.fields"] = np.array(every_site.fields, dtype=np.float64)
        out = io.BytesIO()
        np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
        return out.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """Return everything but predictions and weights as plain values (NaN as None)."""
        return {
            "format": FORMAT,
            **self.facts,
            "identity": vars(self.identity),
            "table": plain(self.table.to_dict("records")),
            "provenance": self.provenance,
        }

    def summary(self) -> pd.DataFrame:
        """Return the layers and the baselines as a person reads them: rounded, as text."""
        rows = self.table
        columns: dict[str, list[str]] = {"layer": list(rows["shown"])}
        if rows["alias"].any():
            columns["alias"] = list(rows["alias"])
        columns["r"] = [number(v) for v in rows["r"]]
        if rows["r_low"].notna().any():
            columns["95 % CI"] = [
                f"{number(a)} to {number(b)}" if np.isfinite(a) else ""
                for a, b in zip(rows["r_low"], rows["r_high"], strict=True)
            ]
        for column, heading in (
            ("r_ceiled", "r/√ρ"), ("r2_er", "r²_ER"), ("feve", "FEVE"), ("r2", "R²"),
            ("shuffled", "shuffled r"),
        ):  # fmt: skip
            if rows[column].notna().any():
                columns[heading] = [number(v) for v in rows[column]]
        if self.is_banded:
            columns["its R² of all"] = [
                number(v) if np.isfinite(v) else "" for v in rows["r2_band"]
            ]
        return pd.DataFrame(columns)

    def notes(self) -> list[str]:
        """Return what a reader has to know of the numbers, a sentence or two each."""
        fit = self.facts["fit"]
        why = {0: "none were asked for", 1: "one resample has no spread"}.get(
            fit["n_resamples"], "splits leave out stimuli, or repeat them"
        )
        # Of one site, medians over sites are its own scores.
        medians = f"Medians over {count(len(self), 'site')}; " if len(self) > 1 else ""
        notes = [
            *said_of(self.facts["recording"]),
            f"{medians}{fit['aggregate']}. Intervals: 95 % over "
            f"{fit['units']}, {fit['n_resamples']:,} resamples."
            if self.table["r_low"].notna().any()
            else f"{medians}{fit['aggregate']}. No intervals: {why}.",
        ]
        reliability = self.sites["reliability"]
        if reliability.notna().any():
            notes.append(
                f"Reliability ρ of the averages over repetitions: median "
                f"{number(reliability.median())}, from {number(reliability.min())} to "
                f"{number(reliability.max())}; the highest r that can be reached is √ρ, "
                f"{number(float(np.sqrt(reliability.clip(lower=0)).median()))} in the median."
            )
        elif (self.sites["sd"] > 0).any():
            notes.append(f"No ceiling: {fit['no_ceiling']}.")
        read_from = self.sites["alias"].where(self.sites["alias"] != "", self.sites["layer"])
        counts = read_from.value_counts()
        if len(counts) > 1:
            notes.append(
                f"Layers that sites are read from, by {fit.get('chosen_by') or 'leave-one-out'}: "
                + ", ".join(f"{name} {n}" for name, n in counts.items())
                + "."
            )
        if self.is_banded:
            notes += self._notes_of_bands()
        # What holds for all sites has been said.
        said = ("", f"no ceiling, since {fit['no_ceiling']}" if reliability.isna().all() else "")
        missing = self.sites["note"][~self.sites["note"].isin(said)].value_counts()
        notes += [f"{n} of {count(len(self), 'site')}: {why}." for why, n in missing.items()]
        notes += fit["remarks"]
        if self.simulated:
            notes.append("The recording is SIMULATED: the responses were generated, not measured.")
        return notes

    def _notes_of_bands(self) -> list[str]:
        """Return what layers add to each other, in sentences."""
        rows = self.layers.sort_values("r2_band", ascending=False)
        (together,) = self.table[self.table["kind"] == "bands"].to_dict("records")
        most = [
            f"{row['alias'] or row['layer']} {number(row['r2_band'])}"
            for row in rows.to_dict("records")[:4]
        ]
        notes = [
            f"All {len(rows)} layers together, each with a penalty of its own (banded ridge): R² "
            f"{number(together['r2_band'])}, mean over sites, to which contribute most: "
            f"{', '.join(most)} (product measure: what layers share is divided between them, and "
            "one that only corrects another is below 0)."
        ]
        pairs = self.pairs[self.pairs["model_b"] == "bands"]
        for row in pairs[pairs["model_a"] == "chosen"].to_dict("records"):
            notes.append(
                "Together less each site's best layer alone: mean r over sites "
                f"{number(-row['difference'])} (SE {number(row['se'])}, p {p_value(row['p'])})."
            )
        return notes

    def _pngs(self) -> list[bytes]:
        return [figure(".png") for figure in self.figures().values()]

    def figures(self) -> Figures:
        """Return what writes each figure, by the name of its file."""
        drawn = {"sites": self.plot_sites, **({"bands": self.plot_bands} if self.is_banded else {})}
        return {
            "figure": self._figure,
            **{name: partial(self._drawn, plot) for name, plot in drawn.items()},
        }

    def _figure(self, kind: str) -> bytes:
        size = figure_size(places(self.table))
        about = self.provenance
        return file_of(lambda f: self.plot(f.add_subplot()), size, self.title, kind, about=about)

    def _drawn(self, plot: Callable[[], Figure | SubFigure], kind: str) -> bytes:
        return figure_file(plot(), self.title, kind, about=self.provenance)


def rows_of(sites: pd.DataFrame, layer: str, *, banded: bool) -> np.ndarray:
    """Find the sites that are read from a layer, by row: of bands, all."""
    return np.arange(len(sites)) if banded else np.flatnonzero(sites["layer"] == layer)


def _first(names: Sequence[str], n: int = 4) -> str:
    """Name the first few, and tell how many more there are."""
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return ", ".join(names[:n]) + more


def _pictures(pictures: Any) -> tuple[list[str], Any]:
    """Return names of pictures, and a function that opens the k-th."""
    if isinstance(pictures, StimulusSet):
        return list(pictures.ids), pictures.image
    if isinstance(pictures, (str, Path)) and Path(pictures).suffix.lower() not in images.SUFFIXES:
        stimuli = image_set(pictures)
        return list(stimuli.ids), stimuli.image
    sources: Iterable[Any] = pictures if isinstance(pictures, (list, tuple)) else [pictures]
    opened = [images.read_named(one) for one in sources]
    names = [
        name if isinstance(one, (str, Path)) else str(k)
        for k, ((_, name), one) in enumerate(zip(opened, sources, strict=True))
    ]
    opened_pictures: list[Image.Image] = [picture for picture, _ in opened]
    return names, opened_pictures.__getitem__
