"""Several networks fitted to several recordings, and compared with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from probe.encoding.result import Encoding
from probe.encoding.scoring import paired
from probe.inference.multiplicity import benjamini_hochberg, holm
from probe.output.files import Contents, csv, plain_name
from probe.output.pictures import figure_file
from probe.output.result import Result
from probe.output.summarised import Figures
from probe.output.text import number, p_value, plain
from probe.plots.encoding import plot_encodings

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False, repr=False)
class Encodings(Result, Sequence[Encoding]):
    """Several fits: shows, plots and saves itself, and holds each `Encoding`.

    Attributes
    ----------
    encodings : tuple of Encoding
    """

    encodings: tuple[Encoding, ...]

    FILES: ClassVar = ("table.csv", "pairs.csv", "map.png", "map.json")

    def __len__(self) -> int:
        return len(self.encodings)

    def __getitem__(self, index: Any) -> Any:
        return self.encodings[index]

    @property
    def simulated(self) -> bool:
        """Whether any of the recordings was generated."""
        return any(one.simulated for one in self.encodings)

    @property
    def title(self) -> str:
        """One line that says what was fitted to what."""
        models = list(dict.fromkeys(one.identity.model for one in self.encodings))
        names = list(dict.fromkeys(one.facts["recording"]["name"] for one in self.encodings))
        mark = ", SIMULATED recordings among them" if self.simulated else ""
        return f"{', '.join(models)} predict {', '.join(names)}{mark}"

    @property
    def folders(self) -> list[str]:
        """Names of the folders that the fits are saved in."""
        names = [
            plain_name(one.identity.model, one.facts["recording"]["name"], one.facts["region"])
            for one in self.encodings
        ]
        return [
            name if names[:k].count(name) == 0 else f"{name}-{names[:k].count(name) + 1}"
            for k, name in enumerate(names)
        ]

    @property
    def table(self) -> pd.DataFrame:
        """All rows of all tables."""
        return pd.concat([one.table for one in self.encodings], ignore_index=True)

    @property
    def pairs(self) -> pd.DataFrame:
        """Test networks against each other on the same recording, paired over stimuli and sites.

        Each by the r that its sites have with the layer chosen inside the training stimuli, or with
        all layers together.
        Columns as in `Encoding.pairs`, and ``dataset``.
        """
        rows: list[dict[str, Any]] = []
        for a, b in combinations(self.encodings, 2):
            facts = [one.facts for one in (a, b)]
            same = (
                all(facts[0][k] == facts[1][k] for k in ("region",))
                and facts[0]["recording"]["name"] == facts[1]["recording"]["name"]
            )
            if not same or a.identity.weights_sha256 == b.identity.weights_sha256:
                continue
            rows.append(_paired(a, b))
        columns = ["dataset", "model_a", "model_b", "difference", "se", "p"]
        pairs = pd.DataFrame(rows, columns=columns)
        p = pairs["p"].to_numpy(np.float64)
        pairs["p_fdr"] = benjamini_hochberg(p) if len(p) else p
        pairs["p_holm"] = holm(p) if len(p) else p
        return pairs

    def summary(self) -> pd.DataFrame:
        """Return the best of each fit as a person reads it."""
        rows = []
        for one in self.encodings:
            chosen = one.table[one.table["kind"] == ("bands" if one.is_banded else "chosen")]
            r_of_layers = one.layers["r"].fillna(-np.inf).to_numpy()
            best = one.layers.iloc[int(r_of_layers.argmax())]
            row = chosen.iloc[0] if len(chosen) else best
            rows.append(
                {
                    "model": one.identity.model,
                    "recording": one.facts["recording"]["name"],
                    "region": one.facts["region"],
                    "sites": str(len(one)),
                    "r": number(row["r"]),
                    "95 % CI": f"{number(row['r_low'])} to {number(row['r_high'])}"
                    if np.isfinite(row["r_low"])
                    else "",
                    "r/√ρ": number(row["r_ceiled"]),
                    "best layer": best["layer"],
                    "its r": number(best["r"]),
                }
            )
        return pd.DataFrame(rows)

    def notes(self) -> list[str]:
        """Return what a reader has to know of the numbers, a sentence or two each."""
        notes = [
            "r with all layers together, each with a penalty of its own (banded ridge)."
            if all(one.is_banded for one in self.encodings)
            else "r with the layer chosen for each site inside the training stimuli."
        ]
        for row in self.pairs.to_dict("records"):
            notes.append(
                f"{row['dataset']}: {row['model_a']} less {row['model_b']}, mean r over sites "
                f"{number(row['difference'])} (SE {number(row['se'])}, p {p_value(row['p_fdr'])}, "
                "FDR)."
            )
        if self.simulated:
            notes.append("A recording is SIMULATED: its responses were generated, not measured.")
        return notes

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw r of every fit along the depth of its network."""
        return plot_encodings(self.table, title=self.title, ax=ax)

    def save(self, path: str | Path) -> list[Path]:
        """Write every fit into a folder of its own, and what is common beside them."""
        written = []
        for name, one in zip(self.folders, self.encodings, strict=True):
            written += one.save(Path(path).expanduser() / name)
        return written + self.save_map(path)

    def save_map(self, path: str | Path) -> list[Path]:
        """Write what is common: tables, the figure, and ``map.json``."""
        return super().save(path)

    def _contents(self) -> Contents:
        """Return what is common to all fits."""
        return {
            "table.csv": csv(self.table),
            "pairs.csv": csv(self.pairs),
            "map.png": self.figures()["map"](".png"),
            "map.json": self._json(),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return all tables as plain values (NaN as None)."""
        return {
            "title": self.title,
            "folders": self.folders,
            "table": plain(self.table.to_dict("records")),
            "pairs": plain(self.pairs.to_dict("records")),
        }

    def figures(self) -> Figures:
        """Return what writes the figure, by the name of its file."""
        return {"map": lambda kind: figure_file(self.plot(), self.title, kind)}

    def save_figures(self, path: str | Path, formats: Sequence[str]) -> list[Path]:
        """Write the figure as vectors, and each fit's figures into its folder."""
        written = super().save_figures(path, formats)
        for name, one in zip(self.folders, self.encodings, strict=True):
            written += one.save_figures(Path(path).expanduser() / name, formats)
        return written


def _paired(a: Encoding, b: Encoding) -> dict[str, Any]:
    """Compare two networks over stimuli and sites."""
    difference = a.sites["r"].to_numpy() - b.sites["r"].to_numpy()
    # Resamples of the same seed and stimuli are the same: differences are paired.
    same = a.resampled.shape == b.resampled.shape and len(a.resampled) > 0
    resampled = a.resampled - b.resampled if same else np.empty((0, len(difference)), np.float32)
    is_finite = np.isfinite(difference) & np.isfinite(resampled).all(axis=0)
    rng = np.random.default_rng(0)
    return {
        "dataset": a.facts["recording"]["name"],
        "model_a": a.identity.model,
        "model_b": b.identity.model,
        **paired(
            difference[is_finite], resampled[:, is_finite], int(a.facts["fit"]["n_units"]), rng
        ),
    }
