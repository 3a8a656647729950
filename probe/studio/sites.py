"""The recorded sites that were fitted on this computer, as lists to choose a target from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from probe.errors import ProbeError

if TYPE_CHECKING:  # they import torch, for which nobody should wait who is after a dream
    from probe.encoding.kept import Fit

NONE_YET = (
    "No recorded sites are fitted on this computer yet. Fit those of a recording below, or on the "
    "tab Recording, or in a shell: `probe encode --model alexnet --dataset v4`."
)


class Listed(NamedTuple):
    """A site to choose, and how good its fit is.

    Attributes
    ----------
    number : str
        As in ``site:v4:12``; ``all`` for the mean of all.
    name : str
        Its ``neuroid_id``.
    r, low, high : float
        Correlation with held-out responses, and its interval; NaN where there is none. For the
        mean of all, the median of the sites.
    reliability : float
        Of the recorded responses; NaN where it is not known.
    layer : str
    field : (float, float, float) or None
        Where it looks: y and x of the centre, from the picture's upper left corner, and the
        standard deviation, all as shares of the picture's side. None of a site that looks
        everywhere.
    """

    number: str
    name: str
    r: float
    low: float
    high: float
    reliability: float
    layer: str
    field: tuple[float, float, float] | None


class Chosen(NamedTuple):
    """What a site that was chosen means for the other controls.

    Attributes
    ----------
    target : str
        As it is written: ``site:v4:12``.
    model : str
        The network to name beside it; empty where it brings its own.
    said : str
        How good its fit is.
    """

    target: str
    model: str
    said: str


def recordings() -> list[tuple[str, str]]:
    """Return labels and keys of the recordings that were fitted, the last one first."""
    from probe.encoding.kept import list_fits

    return [(_label(fit), fit.path.name) for fit in list_fits()]


def _label(fit: Fit) -> str:
    name = fit.dataset if fit.dataset == fit.recording else f"{fit.dataset} ({fit.recording})"
    layers = fit.layers[0] if len(fit.layers) == 1 else f"{len(fit.layers)} layers"
    return f"{name}, {fit.region} · {fit.fitted_with}, {layers}"


def of_recording(key: str) -> list[Listed]:
    """Return the sites of a recording to choose from.

    First the mean of all, then the sites that are predicted best. Those that cannot be targets,
    since they respond alike to all stimuli, are left out.

    Raises
    ------
    ProbeError
        If the fit is no longer kept, or is damaged.
    """
    from probe.encoding import open_encoding
    from probe.encoding.sites import ALL

    sites = open_encoding(_fit(key).path).sites
    sites = sites[sites["sd"] > 0].sort_values("r", ascending=False, kind="stable")
    if sites.empty:
        return []

    def field(row: Any) -> tuple[float, float, float] | None:
        y, x, sd = (float(row[name]) for name in ("y", "x", "sd_field"))
        return (y, x, sd) if np.isfinite((y, x, sd)).all() else None

    listed = [
        Listed(
            str(row["site"]), str(row["neuroid_id"]), float(row["r"]), float(row["r_low"]),
            float(row["r_high"]), float(row["reliability"]), str(row["layer"]), field(row),
        )
        for row in sites.to_dict("records")
    ]  # fmt: skip
    layers = dict.fromkeys(site.layer for site in listed)
    layer = next(iter(layers)) if len(layers) == 1 else f"{len(layers)} layers"
    r, nothing = float(sites["r"].median()), float("nan")
    name = f"mean of {len(sites)} sites"
    return [Listed(ALL, name, r, nothing, nothing, nothing, layer, None), *listed]


def choose(key: str, number: str) -> Chosen:
    """Return what a site means for the other controls.

    Raises
    ------
    ProbeError
        If the fit is no longer kept, or the site cannot be a target.
    """
    from probe.encoding import open_encoding

    fit = _fit(key)
    site = open_encoding(fit.path).site(number)
    return Chosen(site.name, fit.model, str(site.facts["said"]))


def _fit(key: str) -> Fit:
    from probe.encoding.kept import list_fits

    for fit in list_fits():
        if fit.path.name == key:
            return fit
    raise ProbeError("these sites are no longer kept: open the list again")
