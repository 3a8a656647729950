"""Physiology in silico: what units respond to, as an electrode in a cortex would measure it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import nn

from probe import models
from probe.encoding.kept import PREFIX, model_of
from probe.encoding.result import Encoding
from probe.errors import ProbeError
from probe.models import Network
from probe.models.registry import neurons
from probe.models.v1_gabor import V1Gabor
from probe.output.drawable import Contents, Drawable
from probe.output.text import count, plain
from probe.tuning.gratings import GratingResponses, grating_tuning, show_gratings
from probe.tuning.measured import Measured
from probe.tuning.patches import contrast_response, size_tuning
from probe.tuning.published import PROPERTIES, Published, distance, expected_distance, published
from probe.tuning.settings import AREAS, TuningSettings, read_stimuli
from probe.tuning.units import (
    Units,
    chosen_layers,
    layer_units,
    neuron_units,
    open_sites,
    site_units,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

ORIENTED = 0.5
"""A unit is oriented if bars at right angles drive it less than this share of its best response:
the width of its tuning at half height exists then (De Valois, Yund & Hepler 1982)."""

IN_DEGREES = {"preferred_frequency": -1, "summation_diameter": 1}
"""Properties that are compared in degrees of visual field, and the power with which these count."""

SUPPRESSED = 0.1
"""Suppression index above which Cavanaugh, Bair & Movshon (2002) counted summation fields."""

_UNTUNED = 360.0
"""Full width, in degrees, that untuned neurons were counted with (ibid.)."""


@dataclass(frozen=True, eq=False, repr=False)
class Tuning(Drawable):
    """What units of a network respond to.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per unit: ``unit``, ``layer``, ``alias``, ``channel``, ``y``, ``x``, ``window``
        (pixels), and what was measured: see `probe.tuning.gratings.grating_tuning`,
        `probe.tuning.patches.size_tuning`, `probe.tuning.patches.contrast_response`,
        `probe.tuning.shapes.shape_tuning`, `probe.tuning.textures.texture_tuning`. Where it is
        known how many degrees a picture spans, also ``preferred_frequency_deg`` (cycles per degree)
        and ``summation_diameter_deg`` (degrees). NaN where a unit does not respond, or has no such
        property.
    curves : mapping of str to pandas.DataFrame
        Tuning curves by what was varied, ``orientation``, ``frequency``, ``diameter``,
        ``contrast``, ``shape``, ``texture``: one row per unit, one column per value.
    about : mapping
        Everything that decides it, as plain values.
    """

    table: pd.DataFrame
    curves: Mapping[str, pd.DataFrame]
    about: Mapping[str, Any]

    @property
    def title(self) -> str:
        """One line that says whose tuning is shown."""
        whose = self.about["sites"] or ", ".join(self._names().values())
        n = count(len(self.table), "site" if self.about["sites"] else "unit")
        return f"{self.about['model']} · {whose} · {n}"

    @property
    def degrees(self) -> float | None:
        """Degrees of visual field that a picture spans, if that is known."""
        return self.about["degrees"]

    @property
    def properties(self) -> tuple[str, ...]:
        """What was measured that may have been published, too: columns of the table."""
        return tuple(name for name in PROPERTIES if name in self.table)

    @property
    def summary(self) -> pd.DataFrame:
        """One row per layer: units, and medians over those that respond.

        ``responding``: units that do; ``oriented`` and ``simple``: the share of these whose
        response at right angles is less than half of the best (`ORIENTED`), and whose F1/F0 is
        above 1; ``at_edge``: the share whose preferred frequency is the lowest or the highest that
        was shown; then the median of each property. Orientations have none.
        """
        rows = []
        for layer, of_layer in self.table.groupby("layer", sort=False):
            alive = of_layer
            row: dict[str, Any] = {"layer": layer, "alias": of_layer["alias"].iloc[0]}
            row["units"] = len(of_layer)
            if "responds" in of_layer:
                alive = of_layer[of_layer["responds"]]
                row["responding"] = len(alive)
                row["oriented"] = (alive["orthogonal_ratio"] < ORIENTED).mean()
                row["simple"] = (alive["f1_f0"] > 1).mean()
                row["at_edge"] = alive["frequency_at_edge"].mean()
            for name in self.properties:
                if name not in ("preferred_orientation", "preferred_angle"):
                    row[name] = alive[name].median()
            rows.append(row)
        return pd.DataFrame(rows)

    def compare(self, area: str | None = None) -> pd.DataFrame:
        """Compare each layer with published neurons.

        Parameters
        ----------
        area : {"V1", "V2", "V4"}, optional
            By default, the one that was asked for.

        Returns
        -------
        pandas.DataFrame
            One row per layer and property of which a distribution was published: ``layer``,
            ``alias``, ``area``, ``property``, ``n`` (units with a value), ``median``,
            ``published_n``, ``distance`` (greatest gap between cumulative shares, 0 to 1),
            ``expected`` (what 95 % of samples of so many neurons stay below), ``source``.
            Frequencies and diameters are compared in degrees, where these are known.

        See Also
        --------
        probe.tuning.published.distance : What is measured.
        """
        rows = []
        references = self._references(area or self.about["area"])
        for layer, of_layer in self.table.groupby("layer", sort=False):
            for name, reference in references.items():
                sample = self.sample(name, of_layer)
                comparable = sample[np.isfinite(sample)]
                row = {"layer": layer, "alias": of_layer["alias"].iloc[0]}
                row |= {"area": reference.area, "property": name, "n": len(comparable)}
                row |= {"median": np.median(comparable) if len(comparable) else np.nan}
                row |= {"published_n": reference.n, "distance": np.nan, "expected": np.nan}
                if len(comparable):
                    row["distance"] = distance(comparable, reference)
                    row["expected"] = expected_distance(len(comparable), reference)
                rows.append(row | {"source": reference.source})
        columns = (
            "layer", "alias", "area", "property", "n", "median", "published_n", "distance",
            "expected", "source",
        )  # fmt: skip
        return pd.DataFrame(rows, columns=list(columns))

    def sample(self, name: str, of: pd.DataFrame | None = None) -> np.ndarray:
        """Return a property as it is compared with published ones, of units that respond.

        Parameters
        ----------
        name : str
            One of `properties`.
        of : pandas.DataFrame, optional
            Rows of the table; by default, all.

        Returns
        -------
        numpy.ndarray
            In degrees where it is one of `IN_DEGREES`. Units without tuning for orientation have a
            width of 360°, as De Valois et al. (1982) counted them; summation fields are those of
            units that are suppressed by more than a tenth, as Cavanaugh et al. (2002) chose them.
        """
        of = self.table if of is None else of
        alive = of[of["responds"]] if "responds" in of else of
        column = f"{name}_deg" if name in IN_DEGREES else name
        if name == "summation_diameter":
            alive = alive[alive["suppression_index"] > SUPPRESSED]
        values = alive[column].to_numpy(float).copy()
        if name == "orientation_full_width":
            values[np.isnan(values)] = _UNTUNED
        values[np.isposinf(values)] = np.finfo(float).max  # above all that was published
        return values

    def plot(
        self,
        area: str | None = None,
        figure: Figure | SubFigure | None = None,
        *,
        legend: bool = True,
    ) -> Figure | SubFigure:
        """Draw histograms of each property over the published ones, layer by layer, and curves.

        Parameters
        ----------
        area : {"V1", "V2", "V4"}, optional
            By default, the one that was asked for.
        figure : matplotlib.figure.Figure or SubFigure, optional
            Where to draw; by default a new figure.
        legend : bool
            Whether it is explained below what bars, lines and ``D`` are.

        Returns
        -------
        matplotlib.figure.Figure or SubFigure
        """
        from probe.plots.tuning import Reference, plot_tuning

        area = area or self.about["area"]
        columns, units, references = {}, {}, {}
        for name in self.properties:
            entries = published(name, area) if self._comparable(name) else []
            # A histogram says more than a median, and that more than a mean.
            entries.sort(key=lambda e: (not len(e.values), np.isnan(e.mean)))
            if entries and (len(entries[0].values) or np.isfinite(entries[0].mean)):
                entry = entries[0]
                references[name] = Reference(
                    entry.values if entry.counts is not None else None,
                    entry.counts,
                    entry.median if len(entry.values) == 1 else np.nan,
                    entry.mean,
                    f"{entry.area}: {entry.source}",
                )
            columns[name], units[name] = self._drawn(name, entries[0].fold if entries else "")
        return plot_tuning(
            pd.concat([self.table[["unit", "layer", "alias"]], pd.DataFrame(columns)], axis=1),
            self.curves,
            units,
            references,
            self.compare(area),
            title=self.title,
            legend=legend,
            figure=figure,
        )

    def _comparable(self, name: str) -> bool:
        """Return whether a property is in the unit of the published one."""
        return name not in IN_DEGREES or self.degrees is not None

    def _drawn(self, name: str, fold: str) -> tuple[np.ndarray, str]:
        """Return a property of all units as it is drawn, and its unit."""
        unit = PROPERTIES[name]
        column = name
        if name in IN_DEGREES and self.degrees is not None:
            column = f"{name}_deg"
        elif name in IN_DEGREES:
            unit = "cycles/picture" if IN_DEGREES[name] < 0 else "of the width"
        values = self.table[column].to_numpy(float)
        if fold == "cardinal":
            return np.abs((values + 45) % 90 - 45), "° from vertical or horizontal"
        return values, unit

    def _references(self, area: str) -> dict[str, Published]:
        """Return the first distribution that was published of each property."""
        references = {}
        for name in self.properties:
            entries = [entry for entry in published(name, area) if len(entry.values)]
            if entries and self._comparable(name):
                references[name] = entries[0]
        return references

    def _names(self) -> dict[str, str]:
        firsts = self.table.drop_duplicates("layer")
        return {row["layer"]: row["alias"] or row["layer"] for _, row in firsts.iterrows()}

    def _contents(self) -> Contents:
        return {".csv": lambda: self.table.to_csv(index=False).encode()}

    def to_dict(self) -> dict[str, Any]:
        """Return everything but curves as plain values; what is missing or infinite is None."""
        parts = {"table": self.table, "summary": self.summary, "published": self.compare()}
        records = {name: part.to_dict("records") for name, part in parts.items()}
        return dict(plain({"about": dict(self.about)} | records))


def tuning(
    model: str | Network | nn.Module | None = None,
    layers: str | Sequence[str] = "default",
    *,
    sites: str | Encoding | None = None,
    stimuli: str | Sequence[str] = "gratings",
    degrees: float | None = None,
    area: str | None = None,
    positions: str = "middle",
    orientations: int = 24,
    weights: str | Path = "imagenet",
    preprocessing: str = "resize",
    seed: int = 0,
    batch_size: int = 64,
    device: str = "auto",
    progress: bool | None = None,
) -> Tuning:
    """Measure what the units of a network respond to, as it is measured in a visual cortex.

    Every stimulus is shown to all units of all layers in one forward pass, at the size that the
    network sees, on mid-grey. A response is the part above 0 of what a layer returns, as a firing
    rate is; spontaneous activity is the response to mid-grey. Predicted responses of recorded
    sites, and of V4 neurons, are taken as they are, whatever their zero.

    Parameters
    ----------
    model : str, Network or torch.nn.Module, optional
        A name as `probe.models.load` takes it, or a network; for ``sites``, by default the network
        that they were fitted with last. Of ``v4-compact:SESSION``, its neurons are measured.
    layers : str or sequence of str
        As in `probe.models.resolve`. ``default``: convolutions, pools, linear layers and blocks.
    sites : str or Encoding, optional
        Instead of layers: the recorded sites that were fitted with the network, by the recording's
        name as in ``site:v4:12``, or what `probe.encode` returned.
    stimuli : str or sequence of str
        Of ``gratings`` (orientation, spatial frequency and phase), ``size`` (patches of each unit's
        best grating), ``contrast``, ``shapes`` (curvature and angular position; Pasupathy & Connor
        2001), ``textures`` (against noise of the same spectrum; Freeman & Ziemba et al. 2013); as a
        string, separated by commas. ``size`` and ``contrast`` need gratings, and show them.
    degrees : float, optional
        Degrees of visual field that the width of a picture spans. It is known of ``v1-gabor``, and
        of recordings that say it. Without, frequencies and sizes are per picture.
    area : {"V1", "V2", "V4"}, optional
        Whose published neurons are drawn over the units; by default V1, or the area of the sites.
    positions : {"middle", "all"}
        ``middle``: of each channel the unit in the middle of the map (of tokens, of the grid of
        patches); ``all``: every unit, with gratings alone.
    orientations : int
        How many, 4 or more, evenly from 0 to 180°. Curves are interpolated between them.
    weights, preprocessing, seed
        As in `probe.models.load`, for a name. The seed is also that of textures and noise.
    batch_size : int
        Most pictures in a forward pass.
    device : str
        ``auto``, ``cpu``, ``cuda``, ….
    progress : bool, optional
        Show a progress bar; by default when a person is watching.

    Returns
    -------
    Tuning

    Raises
    ------
    ProbeError
        If a layer, stimulus or area does not exist, sites were not fitted, or the network's
        pictures are too small.

    See Also
    --------
    invariance : How responses change when pictures are moved, scaled and turned.
    receptive_fields : Where in the picture units look.

    Notes
    -----
    Gratings stand still at eight phases, as a drifting grating passes them: F0 is the mean over
    phases, F1 the amplitude of the first harmonic. Simple units (F1/F0 above 1; Skottun et al.
    1991) are measured by F1, complex ones by F0 above the spontaneous rate. Orientations: 0° are
    vertical bars, and they turn anticlockwise. Preferred values are interpolated.

    Examples
    --------
    >>> from torch import nn
    >>> from probe import models
    >>> from probe.tuning import tuning
    >>> small = models.Preprocessing("resize", (64, 64))
    >>> filters = nn.Sequential(nn.Conv2d(3, 4, 7, stride=4))
    >>> network = models.Network.from_module(filters, preprocessing=small)
    >>> measured = tuning(network, "0", orientations=6, progress=False)
    >>> measured.table["unit"].tolist()
    ['0:0', '0:1', '0:2', '0:3']
    >>> measured.curves["orientation"].shape
    (4, 6)
    """
    settings = TuningSettings.of(locals() | {"sites": None}).checked()
    shown_kinds = read_stimuli(stimuli, positions)
    units, degrees_of_units, regions, simulated = _units(model, layers, sites, settings)
    degrees = degrees_of_units if degrees is None else degrees
    experiments = _experiments(units, shown_kinds, settings)
    facts = ["unit", "layer", "alias", "channel", "y", "x", "window"]
    table = pd.concat([units.table[facts], *(one.table for one in experiments)], axis=1)
    if degrees is not None:
        for name, power in IN_DEGREES.items():
            if name in table:
                values = table[name] * float(degrees) ** power
                table.insert(list(table.columns).index(name) + 1, f"{name}_deg", values)
    about = units.network.provenance() | {
        "layers": list(dict.fromkeys(units.table["layer"])),
        "sites": sites.dataset if isinstance(sites, Encoding) else sites,
        "simulated": simulated,
        "stimuli": shown_kinds,
        "degrees": degrees,
        "area": area or next((region for region in regions if region in AREAS), "V1"),
        "positions": positions,
        "orientations": orientations,
        "seed": seed,
    }
    curves = {name: frame for one in experiments for name, frame in one.curves.items()}
    return Tuning(table, curves, about)


def _units(
    model: str | Network | nn.Module | None,
    layers: str | Sequence[str],
    sites: str | Encoding | None,
    settings: TuningSettings,
) -> tuple[Units, float | None, list[str], bool]:
    """Return the units that are meant, and of what they are.

    Which are the degrees that a picture spans, recorded regions, and whether sites are simulated.
    """
    weights, preprocessing, seed = settings.weights, settings.preprocessing, settings.seed
    if isinstance(model, str) and model.startswith(PREFIX):  # sites know their network
        model, sites = None, model
    if sites is not None:
        if layers != "default":
            raise ProbeError("sites and layers were both named: measure one after the other")
        if isinstance(sites, str) and sites.startswith(PREFIX):
            recording = sites.removeprefix(PREFIX).split(":")[0]
            raise ProbeError(
                f"sites {sites!r}: all sites of a recording are measured at once: name it alone, "
                f"--sites {recording}"
            )
        if model is None and isinstance(sites, str):
            model, weights, preprocessing, seed = model_of(sites)
        network = None if model is None else models.as_network(
            model, weights, preprocessing, seed=seed
        )  # fmt: skip
        encoding = open_sites(sites, network)
        regions = list(dict.fromkeys(encoding.sites["region"]))
        units = site_units(sites, network)
        return units, _degrees_of(encoding), regions, encoding.simulated
    if model is None:
        raise ProbeError("no network is named: name one, such as alexnet, or sites, such as v4")
    checked = models.check_model(model, weights, preprocessing)
    if layers != "default":
        chosen_layers(checked, layers)  # a wrong name is answered before weights are fetched
    network = models.as_network(checked, weights, preprocessing, seed=seed)
    degrees = network.module.degrees if isinstance(network.module, V1Gabor) else None
    if layers == "default" and neurons(network.architecture or ""):
        return neuron_units(network), degrees, ["V4"], False
    return layer_units(network, layers, settings.positions), degrees, [], False


def _degrees_of(encoding: Encoding) -> float | None:
    """Return the degrees that a picture of a recording spans, where the recording says so."""
    sites = encoding.sites
    if "sd_deg" not in sites:
        return None
    scale = (sites["sd_deg"] / sites["sd_px"]).replace([np.inf, -np.inf], np.nan).dropna()
    width = encoding.facts["fit"]["input_size"][1]
    return float(scale.iloc[0] * width) if len(scale) else None


def _experiments(units: Units, stimuli: Sequence[str], settings: TuningSettings) -> list[Measured]:
    """Show all stimuli, one kind after the other."""
    options: dict[str, Any] = {
        "device": settings.device,
        "batch_size": settings.batch_size,
        "progress": settings.progress,
    }
    measured = []
    gratings: GratingResponses | None = None
    if "gratings" in stimuli:
        gratings = show_gratings(units, settings.orientations, **options)
        measured.append(grating_tuning(units, gratings))
        responds = measured[0].table["responds"].to_numpy()
        for name, patches in (("size", size_tuning), ("contrast", contrast_response)):
            if name in stimuli:
                measured.append(patches(units, gratings, responds, **options))
    if "shapes" in stimuli:
        from probe.tuning.shapes import shape_tuning

        measured.append(shape_tuning(units, seed=settings.seed, **options))
    if "textures" in stimuli:
        from probe.tuning.textures import texture_tuning

        measured.append(texture_tuning(units, seed=settings.seed, **options))
    return measured
