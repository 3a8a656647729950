"""The recorded sites that were fitted on this computer, as lists to choose a target from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from probe.errors import ProbeError

if TYPE_CHECKING:  # they import torch, for which nobody should wait who is after a dream
    from probe.encoding.kept import Fit

NONE_YET = (
    "No recorded sites are fitted on this computer yet. `probe encode --model alexnet --dataset "
    "v4`, in a shell, fits those of a recording and keeps them."
)


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


def of_recording(key: str) -> list[tuple[str, str]]:
    """Return labels of the sites of a recording, and their numbers as text.

    First the mean of all, then the sites that are predicted best. Those that cannot be targets,
    since they respond alike to all stimuli, are left out.

    Raises
    ------
    ProbeError
        If the fit is no longer kept, or is damaged.
    """
    from probe.encoding import open_encoding
    from probe.encoding.sites import ALL
    from probe.output.text import number

    sites = open_encoding(_fit(key).path).sites
    sites = sites[sites["sd"] > 0].sort_values("r", ascending=False, kind="stable")
    if sites.empty:
        return []

    def r(value: float) -> str:
        return f"r {number(value)}" if value == value else "no r"

    one_layer = sites["layer"].nunique() == 1
    rows = zip(sites["site"], sites["neuroid_id"], sites["r"], sites["layer"], strict=True)
    listed = [
        (f"{k} · {name} · {r(value)}" + ("" if one_layer else f" · {layer}"), str(k))
        for k, name, value, layer in rows
    ]
    return [(f"{ALL} · mean of {len(sites)} sites · median {r(sites['r'].median())}", ALL), *listed]


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
