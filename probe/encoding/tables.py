"""Tables of a fit: rows of layers, what bands add, and where each site is read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from probe import models
from probe.encoding import scores
from probe.encoding.banded_fit import BandedFit
from probe.encoding.fields import Field, Layout
from probe.encoding.jobs import Job
from probe.encoding.layer_fit import LayerFit
from probe.encoding.result import BAND_COLUMNS
from probe.encoding.scoring import Scored, ScoredBands
from probe.models import LayerInfo, Network
from probe.recordings import Recording

BETWEEN = " + "
"""Between the names of layers that a site is read from together."""


def chosen_columns() -> dict[str, Any]:
    """Return what a table says of the layers that sites chose."""
    return {
        "kind": "chosen", "layer": "chosen", "alias": "", "type": "", "n_neuroids": np.nan,
        "shown": "each site's layer, chosen in training",
    }  # fmt: skip


def together_columns(n_layers: int) -> dict[str, Any]:
    """Return what a table says of all layers together."""
    return {
        "kind": "bands", "layer": "bands", "alias": "", "type": "", "n_neuroids": np.nan,
        "shown": f"all {n_layers} layers together",
    }  # fmt: skip


def add_bands(table: list[dict[str, Any]], of_bands: ScoredBands) -> None:
    """Write into the rows of layers, and of all together, what they contribute to R²."""
    rows = [row for row in table if row["kind"] in ("layer", "bands")]
    for k, row in enumerate(rows):
        row |= {
            "r2_band": of_bands.mean[k],
            "r2_band_low": of_bands.mean_low[k],
            "r2_band_high": of_bands.mean_high[k],
        }


def bands_table(
    together: BandedFit, of_bands: ScoredBands, infos: Sequence[LayerInfo], recording: Recording
) -> pd.DataFrame:
    """Compute one row per site and layer, site by site."""
    n_bands, n_sites = of_bands.r2.shape
    share = together.shares[:, :n_sites]
    with np.errstate(divide="ignore"):
        alpha = together.alpha[:n_sites] / share  # without a share, it is infinite
    columns = {
        "site": np.repeat(np.arange(n_sites), n_bands),
        "neuroid_id": np.repeat(recording.data["neuroid_id"].values.astype(str), n_bands),
        "layer": [info.name for info in infos] * n_sites,
        "alias": [info.alias for info in infos] * n_sites,
        "share": share.T.ravel(),
        "alpha": alpha.T.ravel(),
        "r2": of_bands.r2.T.ravel(),
        "r2_low": of_bands.low.T.ravel(),
        "r2_high": of_bands.high.T.ravel(),
    }
    return pd.DataFrame(columns)[list(BAND_COLUMNS)]


@dataclass(frozen=True, eq=False)
class SiteSources:
    """What each site is read from, and how.

    Attributes
    ----------
    layers, aliases : list of str
    fields : list of Field or None
    windows : list of _Window
        Of the layer that a field is given in pixels for.
    alpha, at_end : numpy.ndarray, shape (m,)
    """

    layers: list[str]
    aliases: list[str]
    fields: list[Field | None]
    windows: list[_Window]
    alpha: np.ndarray
    at_end: np.ndarray

    @classmethod
    def of_layers(
        cls,
        layer_of_site: np.ndarray,
        jobs: Sequence[Job],
        fits: Sequence[LayerFit],
        network: Network,
    ) -> SiteSources:
        """One layer each."""
        sites = np.arange(len(layer_of_site))
        windows = [_window(network, job) for job in jobs]
        readouts = [fits[k].readout for k in layer_of_site]
        return cls(
            [jobs[k].layer for k in layer_of_site],
            [info.alias if (info := jobs[k].info) else "" for k in layer_of_site],
            [r.fields[site] if r.fields is not None else None for site, r in enumerate(readouts)],
            [windows[k] for k in layer_of_site],
            np.stack([f.alpha[: len(sites)] for f in fits])[layer_of_site, sites],
            np.stack([f.at_end[: len(sites)] for f in fits])[layer_of_site, sites],
        )

    @classmethod
    def of_bands(
        cls, together: BandedFit, jobs: Sequence[Job], network: Network, n_sites: int
    ) -> SiteSources:
        """All layers, of which that with a field and the largest share gives its pixels."""
        pooled = [k for k, readout in enumerate(together.readouts) if readout.fields is not None]
        windows = [_window(network, job) for job in jobs]
        share = together.shares[:, :n_sites]
        largest = np.array(pooled)[share[pooled].argmax(axis=0)] if pooled else [0] * n_sites
        fields: list[Field | None] = [None] * n_sites
        if pooled:
            fields = list(together.readouts[pooled[0]].fields or ())
        return cls(
            [BETWEEN.join(job.layer for job in jobs)] * n_sites,
            [BETWEEN.join(_short_name(job) for job in jobs)] * n_sites,
            fields,
            [windows[k] for k in largest],
            together.alpha[:n_sites],
            together.at_end[:n_sites],
        )


def _short_name(job: Job) -> str:
    """Return what a layer is called in short."""
    return (job.info.alias if job.info else "") or job.layer


def sites_table(
    recording: Recording,
    responses: np.ndarray,
    scored: Scored,
    sources: SiteSources,
    network: Network,
) -> pd.DataFrame:
    """Compute one row per site: its scores, its field in pixels and degrees, and its penalty."""
    n_sites = responses.shape[1]
    data = recording.data
    sd = responses.std(axis=0, ddof=1)
    sd = np.where(sd > 1e-12 * np.abs(responses).max(axis=0), sd, 0.0)
    averaged = bool(data.attrs.get("averaged", False))
    notes = []
    for k in range(n_sites):
        rho = scored.values["reliability"][k]
        if sd[k] == 0:
            notes.append("the responses are constant, there is nothing to predict")
        elif np.isnan(rho):
            notes.append(
                "no ceiling, since the recording holds means over repetitions"
                if averaged
                else "no ceiling, since no stimulus was repeated"
            )
        elif rho <= 0:
            notes.append("no ceiling, since the reliability is not above zero")
        else:
            notes.append("")
    fields = sources.fields
    in_pixels = [window.of(f) for window, f in zip(sources.windows, fields, strict=True)]
    degrees = data.attrs.get("picture_degrees")
    frame = pd.DataFrame(
        {
            "site": np.arange(n_sites),
            "neuroid_id": data["neuroid_id"].values.astype(str),
            "subject": data["subject"].values.astype(str),
            "region": data["region"].values.astype(str),
            "layer": sources.layers,
            "alias": sources.aliases,
            "reliability": scored.values["reliability"],
            **{
                name + end: values.get(name, np.full(n_sites, np.nan))
                for name in scores.SCORES
                for end, values in (
                    ("", scored.values),
                    ("_low", scored.low),
                    ("_high", scored.high),
                )
            },
            "y": [np.nan if f is None else f.y for f in fields],
            "x": [np.nan if f is None else f.x for f in fields],
            "sd_field": [np.nan if f is None else f.sd for f in fields],
            **{name: [p[i] for p in in_pixels] for i, name in enumerate(("y_px", "x_px", "sd_px"))},
            "alpha": sources.alpha,
            "at_end": sources.at_end,
            "mean": responses.mean(axis=0),
            "sd": sd,
            "note": notes,
        }
    )
    if degrees:
        scale = float(degrees) / network.preprocessing.size[1]
        centre = network.preprocessing.size[0] / 2, network.preprocessing.size[1] / 2
        frame["y_deg"] = (centre[0] - frame["y_px"]) * scale
        frame["x_deg"] = (frame["x_px"] - centre[1]) * scale
        frame["sd_deg"] = frame["sd_px"] * scale
    return frame


@dataclass(frozen=True)
class _Window:
    """Where a layer's positions lie in the network's input, in pixels.

    ``first`` and ``step`` are down and across: the centre of the first position, and how far apart
    positions are.
    """

    layout: Layout
    first: tuple[float, float]
    step: tuple[float, float]

    def of(self, field: Field | None) -> tuple[float, float, float]:
        """Return centre (y, x) and SD of a field, in pixels; NaN where there is none."""
        if field is None:
            return (np.nan, np.nan, np.nan)
        y = self.first[0] + self.step[0] * (field.y * self.layout.height - 0.5)
        x = self.first[1] + self.step[1] * (field.x * self.layout.width - 0.5)
        return y, x, field.sd * self.layout.height * self.step[0]


def _window(network: Network, job: Job) -> _Window:
    layout = job.layout or Layout(1, 1, 1)
    height, width = network.preprocessing.size
    field = models.measures(network).fields.get(job.layer)
    if field is None or field.jump is None or field.start is None:
        step = (height / layout.height, width / layout.width)
        return _Window(layout, (step[0] / 2, step[1] / 2), step)
    first = tuple(
        start + (size - 1) / 2 for start, size in zip(field.start, field.size, strict=True)
    )
    return _Window(layout, (first[0], first[1]), field.jump)
