"""What a searchlight found: maps over a volume or a surface."""

from __future__ import annotations

import importlib.util
import io
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import matplotlib as mpl
import numpy as np
import pandas as pd

from probe.errors import ProbeError, suggest
from probe.formats import brain_maps
from probe.output.files import Contents, csv, plain_name
from probe.output.pictures import FIGURE_STYLE, file_of
from probe.output.result import Result
from probe.output.summarised import Figures
from probe.output.text import count, number, p_value, plain, said_of
from probe.plots.searchlight import figure_size, plot_slices, plot_surfaces, surface_figure_size
from probe.recordings.space import HEMISPHERES, Surface, Volume
from probe.similarity import get_comparator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALPHA = 0.05
"""Corrected p-values below this are counted, and outlined in figures."""

NEED_NIBABEL = "brain images need nibabel, which is not installed: pip install 'cnn-probe[fmri]'"


@dataclass(frozen=True, eq=False)
class SubjectMaps:
    """The scores of one subject.

    Attributes
    ----------
    space : Volume or Surface
        C places.
    scores : numpy.ndarray, shape (n_layers, C)
        NaN where the neighbourhood has no RDM.
    sizes : numpy.ndarray, shape (C,), int
        Neuroids in each neighbourhood.
    """

    space: Volume | Surface
    scores: np.ndarray
    sizes: np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class SearchlightResult(Result):
    """Layers of a network compared with the neighbourhood of every voxel or vertex.

    Shows, plots and saves itself.

    Attributes
    ----------
    layers, aliases : tuple of str
        M layers, in the order of computation.
    space : Volume or Surface
        C places; of several subjects, those where all have scores.
    scores : numpy.ndarray, shape (M, C)
        Of several subjects, their mean. NaN where the neighbourhood has no RDM.
    p : numpy.ndarray, shape (M, C), or None
        One-sided, each layer's corrected over places.
    p_cluster : numpy.ndarray, shape (M, C), or None
        Of several subjects: of the cluster that a place is in, 1 outside clusters.
    p_of_best : numpy.ndarray, shape (C,), or None
        Of the best layer at each place, corrected over places and layers.
    by_subject : dict of str to SubjectMaps
    sizes : numpy.ndarray, shape (C,), int
        Neuroids in each neighbourhood; empty of several subjects, who have their own.
    meshes : dict of str to Mesh
        Of a surface, by hemisphere.
    facts : dict
        What was compared with what: ``model``, ``recording``, ``comparison``.
    provenance : dict
        Versions, seeds and the command.
    """

    layers: tuple[str, ...]
    aliases: tuple[str, ...]
    space: Volume | Surface
    scores: np.ndarray
    p: np.ndarray | None
    p_cluster: np.ndarray | None
    p_of_best: np.ndarray | None
    by_subject: dict[str, SubjectMaps]
    sizes: np.ndarray
    meshes: dict[str, brain_maps.Mesh]
    facts: dict[str, Any]
    provenance: dict[str, Any] = field(repr=False)

    TABLE: ClassVar = "table.csv"
    FIGURE: ClassVar = "figure.png"
    GLASS_BRAIN: ClassVar = "glass-brain.png"
    SIDECAR: ClassVar = "searchlight.json"

    @cached_property
    def best(self) -> np.ndarray:
        """Number of the layer with the highest score at each place, from 0; −1 where none has one.

        In sample: where layers are about equally good, noise chooses one.
        """
        scores = np.where(np.isnan(self.scores), -np.inf, self.scores)
        return np.where(np.isfinite(scores).any(axis=0), scores.argmax(axis=0), -1)

    @property
    def simulated(self) -> bool:
        """Whether a recording was generated."""
        return bool(self.facts["recording"]["simulated"])

    @property
    def symbol(self) -> str:
        """What a score is called on an axis."""
        return get_comparator(self.facts["comparison"]["comparator"]).symbol

    @property
    def places(self) -> str:
        """What the places are called."""
        return "voxel" if isinstance(self.space, Volume) else "vertex"

    @property
    def title(self) -> str:
        """One line that says what is compared with what."""
        model, recording = self.facts["model"], self.facts["recording"]
        weights = {
            "imagenet": "ImageNet weights", "published": "as published", "recipe": "made here",
            "random": "untrained",
        }  # fmt: skip
        kind = weights.get(model["weights_kind"], f"weights of the {model['weights_kind']}")
        n = len(self.by_subject)
        mark = "SIMULATED " if self.simulated else ""
        whose = f"{n} subjects" if n > 1 else recording["name"]
        return (
            f"{model['name']} ({kind}) around each {self.places} of {mark}{whose}: "
            f"{self.facts['comparison']['radius_mm']:g} mm, {len(self.space):,} "
            f"{'voxels' if self.places == 'voxel' else 'vertices'}, "
            f"{recording['n_stimuli']} stimuli"
        )

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per layer.

        ``layer``, ``alias``; ``mean``, ``max`` of the scores over places; where the maximum is:
        ``i``, ``j``, ``k`` and ``x``, ``y``, ``z`` (mm), or ``hemisphere`` and ``vertex``;
        ``p_max``, the corrected p-value there; ``n_places``, those with a score;
        ``n_significant``, those of them with p < .05, and ``n_in_clusters``, those in clusters with
        p < .05; ``n_best``, those where no other layer has a higher score.
        """
        rows = []
        for m, (layer, alias) in enumerate(zip(self.layers, self.aliases, strict=True)):
            scores = self.scores[m]
            defined = np.isfinite(scores)
            row: dict[str, Any] = {"layer": layer, "alias": alias}
            peak = int(np.nanargmax(scores)) if defined.any() else None
            row |= {
                "mean": scores[defined].mean() if defined.any() else np.nan,
                "max": scores[peak] if peak is not None else np.nan,
            }
            row |= self._position(peak)
            row["p_max"] = self.p[m, peak] if self.p is not None and peak is not None else np.nan
            row["n_places"] = int(defined.sum())
            for name, p in (("n_significant", self.p), ("n_in_clusters", self.p_cluster)):
                row[name] = np.nan if p is None else int((p[m] < ALPHA).sum())
            row["n_best"] = int((self.best == m).sum())
            rows.append(row)
        return pd.DataFrame(rows)

    def _position(self, place: int | None) -> dict[str, Any]:
        if isinstance(self.space, Volume):
            if place is None:
                return dict.fromkeys((*"ijk", *"xyz"), np.nan)
            voxel, mm = self.space.voxels[place].tolist(), self.space.millimetres[place].tolist()
            return dict(zip("ijkxyz", voxel + mm, strict=True))
        if place is None:
            return {"hemisphere": "", "vertex": np.nan}
        return {
            "hemisphere": str(self.space.hemispheres[place]),
            "vertex": int(self.space.vertices[place]),
        }

    def plot(self, layers: str | list[str] | None = None) -> Figure:
        """Draw slices through the volume, or views of the surface, one row per layer.

        Places with p < .05, corrected, are outlined (volumes). The last row is the best layer at
        each place.

        Parameters
        ----------
        layers : str or list of str, optional
            Paths or aliases; by default all.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ProbeError
            If the result has no such layer.
        """
        from matplotlib import pyplot as plt

        chosen = self._chosen(layers)
        with mpl.rc_context(FIGURE_STYLE):
            figure = plt.figure(figsize=self._figure_size(chosen), layout="constrained", dpi=150)
            self._draw(figure, chosen)
        return figure

    def _chosen(self, layers: str | list[str] | None) -> list[int]:
        if layers is None:
            return list(range(len(self.layers)))
        rows = []
        for name in [layers] if isinstance(layers, str) else layers:
            if name in self.layers:
                rows.append(self.layers.index(name))
            elif name and name in self.aliases:
                rows.append(self.aliases.index(name))
            else:
                raise ProbeError(f"no map of layer {name!r}{suggest(name, self.layers)}")
        return rows

    def _figure_size(self, chosen: list[int]) -> tuple[float, float]:
        n_rows = len(chosen) + (len(chosen) > 1)
        if isinstance(self.space, Volume):
            return figure_size(self.space, n_rows)
        return surface_figure_size(len(self.meshes), n_rows)

    def _draw(self, figure: Figure, chosen: list[int]) -> None:
        names = [self.aliases[m] or self.layers[m] for m in chosen]
        best, best_label = None, "best layer"
        if len(chosen) > 1:
            column_of = {m: k for k, m in enumerate(chosen)}
            best = np.array([column_of.get(m, -1) for m in self.best.tolist()])
            if self.p_of_best is not None:  # elsewhere, it is chance that chooses
                best[~(self.p_of_best < ALPHA)] = -1
                best_label = "best layer\n(p < .05)"
        heading = f"{self.symbol} with the RDM of each neighbourhood\n{self.title}"
        if isinstance(self.space, Volume):
            p = self.p if self.p is not None else np.ones_like(self.scores)
            plot_slices(
                self.space, self.scores[chosen], names, significant=p[chosen] < ALPHA, best=best,
                best_label=best_label, symbol=self.symbol, title=heading, figure=figure,
            )  # fmt: skip
        else:
            plot_surfaces(
                self.space, self.meshes, self.scores[chosen], names, best=best,
                best_label=best_label, symbol=self.symbol, title=heading, figure=figure,
            )  # fmt: skip

    def save(self, path: str | Path) -> list[Path]:
        """Write maps, a table, a figure and ``searchlight.json`` into a folder.

        Per layer ``scores-LAYER`` and, where there were tests, ``p-LAYER`` and ``cluster-p-LAYER``;
        ``best-layer`` (1 for the first layer of the table, …), ``best-score``, ``best-p``; with
        several subjects, ``scores-LAYER.SUBJECT``, too. Volumes are ``.nii.gz``, float32, with the
        recording's affine and NaN where there is no score; surfaces one ``.shape.gii`` per
        hemisphere. ``glass-brain.png`` where nilearn is installed and the space is MNI's.

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
            If nibabel is not installed, or the folder cannot be written.
        """
        return super().save(path)

    def _contents(self) -> Contents:
        """Return maps, the table, figures and ``searchlight.json``."""
        contents: dict[str, bytes] = {}
        try:
            for name, space, values in self._maps():
                contents |= _files(name, space, values, self.meshes)
        except ImportError:
            raise ProbeError(NEED_NIBABEL) from None
        contents[self.TABLE] = csv(self.table)
        contents[self.FIGURE] = self._figure(".png")
        if (glass := self._glass_brain()) is not None:
            contents[self.GLASS_BRAIN] = glass
        return contents | {self.SIDECAR: self._json()}

    def _maps(self) -> list[tuple[str, Volume | Surface, np.ndarray]]:
        """All maps by name."""
        none = self.best < 0
        best_score = np.where(none, np.nan, np.fmax.reduce(self.scores, axis=0))
        maps = [
            ("best-layer", self.space, np.where(none, np.nan, self.best + 1.0)),
            ("best-score", self.space, best_score),
        ]
        if self.p_of_best is not None:
            maps.append(("best-p", self.space, self.p_of_best))
        for m, layer in enumerate(self.layers):
            maps.append((f"scores-{layer}", self.space, self.scores[m]))
            for name, p in (("p", self.p), ("cluster-p", self.p_cluster)):
                if p is not None:
                    maps.append((f"{name}-{layer}", self.space, p[m]))
            if len(self.by_subject) > 1:
                maps += [
                    (
                        f"scores-{layer}.{plain_name(subject)}",
                        of_subject.space,
                        of_subject.scores[m],
                    )
                    for subject, of_subject in self.by_subject.items()
                ]
        return maps

    def to_dict(self) -> dict[str, Any]:
        """Return everything but maps as plain values, as ``searchlight.json`` (NaN as None)."""
        space = {"name": self.space.name, "n": len(self.space)}
        if isinstance(self.space, Volume):
            space |= {"shape": list(self.space.shape), "affine": self.space.affine.ravel().tolist()}
        else:
            space |= {"meshes": {s: len(m.coordinates) for s, m in self.meshes.items()}}
        sizes = np.concatenate([of_subject.sizes for of_subject in self.by_subject.values()])
        return {
            **self.facts,
            "space": space,
            "neighbourhoods": {
                "least": int(sizes.min()),
                "median": float(np.median(sizes)),
                "most": int(sizes.max()),
            },
            "layers_of_best_layer_map": dict(enumerate(self.layers, start=1)),
            "table": plain(self.table.to_dict("records")),
            "provenance": self.provenance,
        }

    def summary(self) -> pd.DataFrame:
        """Return the layers as a person reads them: rounded, of strings."""
        table = self.table
        columns: dict[str, list[str]] = {"layer": list(table["layer"])}
        if any(self.aliases):
            columns["alias"] = list(table["alias"])
        columns["mean"] = [number(v) for v in table["mean"]]
        columns["max"] = [number(v) for v in table["max"]]
        if isinstance(self.space, Volume):
            columns["at x, y, z (mm)"] = [
                ", ".join(f"{v:.0f}" for v in row) for row in table[list("xyz")].to_numpy()
            ]
        else:
            columns["at vertex"] = [
                f"{h} {v}" for h, v in table[["hemisphere", "vertex"]].to_numpy()
            ]
        if self.p is not None:
            columns["p there"] = [p_value(v) for v in table["p_max"]]
            columns["p < .05"] = [f"{v:,.0f}" for v in table["n_significant"]]
        if self.p_cluster is not None:
            columns["in clusters"] = [f"{v:,.0f}" for v in table["n_in_clusters"]]
        if len(self.layers) > 1:
            columns["best at"] = [f"{v:,}" for v in table["n_best"]]
        return pd.DataFrame(columns)

    def notes(self) -> list[str]:
        """Return in sentences what the table alone does not say."""
        comparison = self.facts["comparison"]
        sizes = np.concatenate([of_subject.sizes for of_subject in self.by_subject.values()])
        what = "voxels" if self.places == "voxel" else "vertices"
        notes = [
            *said_of(self.facts["recording"]),
            f"Neighbourhoods of {sizes.min():,} to {sizes.max():,} {what} "
            f"(median {np.median(sizes):,.0f}).",
        ]
        n_without = int((self.best < 0).sum())
        if n_without:
            notes.append(
                f"{count(n_without, self.places) if self.places == 'voxel' else n_without} without "
                f"a score: around them, the {comparison['metric']} distance is undefined for a "
                "stimulus, or all distances are alike."
            )
        if self.p is not None:
            notes.append(
                f"p: one-sided, {comparison['test']}; each layer's corrected over all {what}."
            )
            assert self.p_of_best is not None
            n = int((self.p_of_best < ALPHA).sum())
            notes.append(
                f"Corrected over layers as well, some layer is above chance at {n:,} {what} "
                "(best-p)."
            )
        if self.p_cluster is not None:
            notes.append(
                "A cluster's p says that there is an effect, not that it reaches as far as the "
                "cluster does."
            )
        if len(self.layers) > 1:
            notes.append(
                "The best layer of a place is chosen in sample: where layers are about equally "
                "good, noise chooses."
            )
        notes.append(
            f"A score belongs to a neighbourhood, not to its centre: an effect reaches up to "
            f"{comparison['radius_mm']:g} mm beyond where it is."
        )
        notes += comparison["remarks"]
        if self.simulated:
            notes.append("The recording is SIMULATED: the responses were generated, not measured.")
        return notes

    @property
    def files(self) -> list[str]:
        """Names of what `save` writes, but for the glass brain."""
        names = [
            file
            for name, space, _ in self._maps()
            for file in _names(name, space, sorted(self.meshes))
        ]
        return [*names, self.TABLE, self.FIGURE, self.SIDECAR]

    def figures(self) -> Figures:
        """Return what writes the figure, by the name of its file."""
        return {self.FIGURE.removesuffix(".png"): self._figure}

    def _figure(self, kind: str) -> bytes:
        chosen = self._chosen(None)
        return file_of(
            lambda f: self._draw(f, chosen), self._figure_size(chosen), self.title, kind,
            about=self.provenance,
        )  # fmt: skip

    def _glass_brain(self) -> bytes | None:
        """Best scores in a glass brain: only in MNI space, where its outline is."""
        if not isinstance(self.space, Volume) or not self.space.name.startswith("MNI"):
            return None
        if importlib.util.find_spec("nilearn") is None:
            return None
        import nibabel
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from nilearn.plotting import plot_glass_brain

        best = np.nan_to_num(np.fmax.reduce(self.scores, axis=0))
        subtitle = "largest along the view"
        if self.p_of_best is not None:
            best[~(self.p_of_best < ALPHA)] = 0.0
            subtitle += "; where p < .05, corrected"
        volume = np.nan_to_num(self.space.filled(best))
        figure = Figure(figsize=(10.0, 3.2))
        FigureCanvasAgg(figure)
        plot_glass_brain(
            nibabel.Nifti1Image(volume, self.space.affine), figure=figure, display_mode="lyrz",
            colorbar=True, cmap="inferno", vmin=0.0, plot_abs=False, threshold=1e-6,
        )  # fmt: skip
        figure.suptitle(
            f"{self.symbol}, best of {count(len(self.layers), 'layer')} ({subtitle})\n{self.title}",
            fontsize="small",
        )
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=150, metadata={"Title": self.title})
        return content.getvalue()


def _names(name: str, space: Volume | Surface, sides: list[str]) -> list[str]:
    stem = plain_name(name)
    if isinstance(space, Volume):
        return [f"{stem}.nii.gz"]
    return [f"{stem}.{side}.shape.gii" for side in sides]


def _files(
    name: str, space: Volume | Surface, values: np.ndarray, meshes: dict[str, brain_maps.Mesh]
) -> dict[str, bytes]:
    """A map as the contents of its file, or of one per hemisphere."""
    names = _names(name, space, sorted(meshes))
    if isinstance(space, Volume):
        return {names[0]: brain_maps.nifti_content(space.filled(values), space.affine, space.name)}
    contents = {}
    for file, side in zip(names, sorted(meshes), strict=True):
        assert side in HEMISPHERES
        here = space.hemispheres == side
        of_mesh = np.full(len(meshes[side].coordinates), np.nan, dtype=np.float32)
        of_mesh[space.vertices[here]] = values[here]
        contents[file] = brain_maps.gifti_content(of_mesh, side)
    return contents
