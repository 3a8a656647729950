"""What the comparisons of several networks with several regions found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from probe.comparison.result import RSAResult, check_correction
from probe.output.files import Contents, csv, plain_name
from probe.output.pictures import file_of
from probe.output.result import Result
from probe.output.summarised import Figures
from probe.output.text import corrected, number, p_value, plain, share
from probe.plots.regions import map_size, plot_regions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Failure:
    """A comparison that came to nothing, while others went on.

    Attributes
    ----------
    model, dataset, region : str
        What was to be compared with what.
    error : Exception
        What went wrong; ``raise`` it to see where.
    """

    model: str
    dataset: str
    region: str
    error: Exception

    @property
    def message(self) -> str:
        """One line: what was to be compared, and what went wrong."""
        text = " ".join(str(self.error).split())
        if not isinstance(self.error, ValueError):  # not one of ours: its kind says more
            text = f"{type(self.error).__name__}: {text}"
        return f"{self.model} and {self.dataset} ({self.region}): {text}"


@dataclass(frozen=True, repr=False)
class RSAMap(Result):
    """Networks compared with regions: a layer × region map. Shows, plots and saves itself.

    Parameters
    ----------
    results : sequence of RSAResult
        In the order of rows; of one or several networks. Results of several calls of `probe.rsa`
        may be put together.
    failures : sequence of Failure
        Comparisons that came to nothing.
    """

    results: Sequence[RSAResult]
    failures: Sequence[Failure] = ()

    FILES: ClassVar = ("table.csv", "best.csv", "map.csv", "map.png")
    """What `save_map` writes."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "results", tuple(self.results))
        object.__setattr__(self, "failures", tuple(self.failures))
        if not self.results:
            raise ValueError("a map needs at least one result")

    def __iter__(self) -> Iterator[RSAResult]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    @cached_property
    def table(self) -> pd.DataFrame:
        """The tables of all results, one below the other."""
        return pd.concat([result.table for result in self.results], ignore_index=True)

    @cached_property
    def best(self) -> pd.DataFrame:
        """One row per comparison: the layer chosen on one half of the stimuli, and the other half.

        ``model`` (with its weights), ``dataset``, ``region``, ``subject``, ``metric``,
        ``comparator``, ``simulated``; ``layer`` and ``alias`` of the layer that was chosen in most
        splits, ``share`` of the ``n_splits`` splits that chose it; ``score``, the mean over splits
        of the score, on the other half, of whichever layer was chosen, and ``score_sd``, its
        standard deviation over splits (these share stimuli: no standard error); ``p_zero``,
        ``p_zero_fdr``, ``p_zero_holm`` of that layer with all stimuli, the last two corrected over
        all layers; ``ceiling_lower``, ``ceiling_upper``, ``share_of_lower``, ``share_of_upper``.
        Where there was nothing to choose from, the choice is NaN.
        """
        return pd.DataFrame([_best_of(result) for result in self.results])

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row per layer of a comparison, what the map shows.

        ``comparison`` (0, 1, …), ``model``, ``dataset``, ``region``, ``simulated``, ``layer``,
        ``alias``; ``score`` and ``share_of_lower`` over all stimuli, in sample; ``chosen``, the
        share of the splits in which the layer was chosen on one half of the stimuli.
        """
        parts = []
        for k, result in enumerate(self.results):
            rows = result.layers[
                ["dataset", "region", "simulated", "layer", "alias", "score", "share_of_lower"]
            ].copy()
            rows.insert(0, "comparison", k)
            rows.insert(1, "model", result.model)
            shares = result.choice.shares if result.choice else {}
            rows["chosen"] = [shares.get(name, 0.0) for name in rows["layer"]]
            parts.append(rows if result.choice else rows.assign(chosen=np.nan))
        return pd.concat(parts, ignore_index=True)

    @property
    def simulated(self) -> bool:
        """Whether any of the recordings was generated."""
        return any(result.simulated for result in self.results)

    @property
    def title(self) -> str:
        """One line that says what is compared with what."""
        models = dict.fromkeys(result.model for result in self.results)
        regions = dict.fromkeys(
            ("SIMULATED " if result.simulated else "") + " ".join(_name_and_region(result))
            for result in self.results
        )
        return f"{', '.join(models)} × {', '.join(regions)}"

    @property
    def folders(self) -> list[str]:
        """Names of the results' folders, a different one for each."""
        names: list[str] = []
        for result in self.results:
            name = plain_name(result.facts["model"]["name"], *_name_and_region(result))
            same = sum(n == name or n.startswith(f"{name}~") for n in names)
            names.append(f"{name}~{same + 1}" if same else name)
        return names

    def plot(self, axes: Axes | Sequence[Axes] | None = None) -> list[Axes]:
        """Draw the layer × region map, one panel per network, see `probe.plots.plot_regions`.

        Parameters
        ----------
        axes : matplotlib.axes.Axes, or one per network, optional
            Where to draw; by default a new figure.

        Returns
        -------
        list of matplotlib.axes.Axes
        """
        symbols = {result.symbol for result in self.results}
        return plot_regions(
            self.cells,
            self.best,
            symbol=symbols.pop() if len(symbols) == 1 else "score",
            axes=axes,
        )

    def save(self, path: str | Path) -> list[Path]:
        """Write every result into a folder of its own (`folders`), and what `save_map` writes.

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
            If a folder cannot be written.
        """
        written = []
        for result, name in zip(self.results, self.folders, strict=True):
            written += result.save(Path(path).expanduser() / name)
        return written + self.save_map(path)

    def save_map(self, path: str | Path) -> list[Path]:
        """Write ``table.csv``, ``best.csv``, ``map.csv`` (`cells`) and ``map.png`` into a folder.

        Returns
        -------
        list of Path
            What was written.

        Raises
        ------
        ProbeError
            If the folder cannot be written.
        """
        return super().save(path)

    def _contents(self) -> Contents:
        """Return what is common to all results."""
        tables = {"table.csv": self.table, "best.csv": self.best, "map.csv": self.cells}
        return {
            **{name: csv(table) for name, table in tables.items()},
            "map.png": self._figure(".png"),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything but RDMs and pairs as plain values (NaN as None)."""
        return {
            "best": plain(self.best.to_dict("records")),
            "comparisons": [result.to_dict() for result in self.results],
            "failures": [failure.message for failure in self.failures],
        }

    def summary(self, correction: str = "fdr") -> pd.DataFrame:
        """Return `best` as a person reads it: rounded, of strings.

        Parameters
        ----------
        correction : {'fdr', 'holm', 'none'}
            Over layers, of the p-value that is shown.

        Returns
        -------
        pandas.DataFrame
            One row per comparison; ``chosen`` is the share of splits, ``score ± SD`` that on the
            half that had no part in the choice, ``ceiling`` its share of the noise ceiling's
            upper and lower bound.
        """
        check_correction(correction)
        best = self.best
        columns: dict[str, list[str]] = {
            "model": [result.facts["model"]["name"] for result in self.results],
            "recording": list(best["dataset"]),
            "region": list(best["region"]),
            "best layer": [
                _either(alias, layer) for layer, alias in best[["layer", "alias"]].to_numpy()
            ],
            "chosen": [share(v) for v in best["share"]],
            "score ± SD": [
                f"{number(score)} ± {number(sd)}" if np.isfinite(score) else ""
                for score, sd in best[["score", "score_sd"]].to_numpy(dtype=float)
            ],
        }
        if best["share_of_lower"].notna().any():
            bounds = best[["share_of_upper", "share_of_lower"]].to_numpy(dtype=float)
            columns["ceiling"] = [share(a, b) for a, b in bounds]
        column, heading = corrected("p_zero", correction)
        if best[column].notna().any():
            columns[heading] = [p_value(v) for v in best[column]]
        return pd.DataFrame(columns)

    def notes(self) -> list[str]:
        """Return in sentences what the summary alone does not say."""
        chosen = [result.choice for result in self.results if result.choice is not None]
        notes = []
        if chosen:
            notes.append(
                f"Best layer: chosen on one half of the stimuli and scored on the other, in "
                f"{chosen[0].n_splits} splits; SD over these, no standard error, since they share "
                "stimuli. p: of that layer with all stimuli, corrected over all layers."
            )
        notes.append("The cells of the map are scores over all stimuli: their highest is too high.")
        said: dict[tuple[str, str], list[str]] = {}
        for result in self.results:
            recording = result.facts["recording"]
            name, *region = _name_and_region(result)
            name += f" ({region[0]})" if region else ""
            if not result.ceiling.known:
                notes.append(f"Noise ceiling of {name} unknown: {result.ceiling.kind}.")
            for remark in result.facts["comparison"]["remarks"]:
                said.setdefault((result.model, remark), []).append(name)
            if result.simulated:
                notes.append(
                    f"{recording['name']} is SIMULATED: the responses were generated, not measured."
                )
        for (model, remark), names in said.items():
            everywhere = len(names) == sum(result.model == model for result in self.results)
            where = "" if everywhere else f" with {', '.join(names)}"
            notes.append(f"{model}{where}: {remark}")
        return [*dict.fromkeys(notes), *(f"Failed: {f.message}" for f in self.failures)]

    def figures(self) -> Figures:
        """Return what writes the map, by the name of its file."""
        return {"map": self._figure}

    def save_figures(self, path: str | Path, formats: Sequence[str]) -> list[Path]:
        """Write the map as vectors, and each result's figures into its folder."""
        written = super().save_figures(path, formats)
        for result, name in zip(self.results, self.folders, strict=True):
            written += result.save_figures(Path(path).expanduser() / name, formats)
        return written

    def _figure(self, kind: str) -> bytes:
        size, heights = map_size(self.cells, self.best)

        def draw(figure: Figure) -> None:
            grid = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)
            self.plot(list(grid[:, 0]))

        return file_of(draw, size, self.title, kind)


def _best_of(result: RSAResult) -> dict[str, Any]:
    first, choice, ceiling = result.layers.iloc[0], result.choice, result.ceiling
    row: dict[str, Any] = {"model": result.model}
    columns = ("dataset", "region", "subject", "metric", "comparator", "simulated")
    row |= {column: first[column] for column in columns}
    chosen: dict[str, Any] = dict.fromkeys(
        ("layer", "alias", "share", "n_splits", "score", "score_sd"), np.nan
    )
    tests: dict[str, Any] = dict.fromkeys(("p_zero", "p_zero_fdr", "p_zero_holm"), np.nan)
    score = np.nan
    if choice is not None:
        of_layer = result.layers.set_index("layer").loc[choice.layer]
        score = choice.score
        chosen = {
            "layer": choice.layer,
            "alias": of_layer["alias"],
            "share": choice.share,
            "n_splits": choice.n_splits,
            "score": score,
            "score_sd": choice.sd,
        }
        tests = {name: of_layer[name] for name in tests}
    lower, upper = ceiling.lower, ceiling.upper
    bounds = {
        "ceiling_lower": lower,
        "ceiling_upper": upper,
        "share_of_lower": score / lower if lower > 0 else np.nan,
        "share_of_upper": score / upper if upper > 0 else np.nan,
    }
    return row | chosen | tests | bounds


def _either(alias: Any, layer: Any) -> str:
    """The short name, or the path, or nothing where no layer was chosen."""
    return str(alias or layer) if isinstance(layer, str) else ""


def _name_and_region(result: RSAResult) -> list[str]:
    """Return the name of a recording, and its region where that has another name."""
    recording = result.facts["recording"]
    return list(dict.fromkeys([recording["name"], recording["region"]]))
