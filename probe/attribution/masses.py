"""How much of a map lies in each region of a picture: of methods, and of what is no method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from probe.activations.batch_size import with_graph
from probe.attribution import methods as known_methods
from probe.attribution.maps import at_picture
from probe.attribution.method import Method
from probe.encoding.fields import weights as field_weights
from probe.encoding.held_out import HeldOut
from probe.errors import ProbeError
from probe.models.devices import on_device
from probe.progress import track
from probe.recordings import Deletions
from probe.targets import Several

CENTRE_SD = 0.2
"""SD of the map that looks at the centre, as a share of the picture's sides."""

EDGE_SD = 1 / 56
"""SD of the Gaussian that local contrast is measured within, as a share of the shorter side."""


def held_out_masses(
    heads: HeldOut,
    deletions: Deletions,
    methods: Any = "all",
    *,
    sites: Sequence[int] | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    device: str = "auto",
    progress: bool | None = None,
) -> dict[str, np.ndarray]:
    """Make maps of the originals through heads that have not seen them, and sum their regions.

    The magnitude is summed of methods whose sign is a direction (`Method.slope`), the value of
    others; of a method of layers, the map at the layer that the sites are read from.

    Parameters
    ----------
    heads : HeldOut
        Of `probe.encoding.held_out.fit_held_out`. Originals and their variants are in one fold.
    deletions : Deletions
        Of the same recording.
    methods : str, class or object of Captum, sequence of these, or mapping
        As in `probe.saliency`, or by any name: ``{"method": METHOD, SETTING: VALUE, …}``.
    sites : sequence of int, optional
        By default, all.
    seed : int
        Of noise and masks.
    batch_size, device, progress
        As in `probe.saliency`.

    Returns
    -------
    dict of str to numpy.ndarray, shape (n, k, len(sites))
        For `deletion_in_vivo`.

    Raises
    ------
    ProbeError
        If a method or a setting does not exist, or a fold has seen a variant of its picture.
    """
    network = heads.network
    if network.preprocessing.crop is not None:
        raise ProbeError(
            f"{network.name} sees a part of the picture only: expected preprocessing 'resize'"
        )
    _check_same(heads, deletions)
    chosen = chosen_sites(sites, len(heads.mean)).tolist()
    uses = _uses(methods, network.module)
    fold_of = np.full(deletions.recording.n_stimuli, -1)
    for k, head_of_fold in enumerate(heads.folds):
        fold_of[head_of_fold.test] = k
    folds = fold_of[deletions.originals]
    if (fold_of[deletions.variants] != folds[:, None]).any():
        raise ProbeError(
            "a head was fitted to a variant of a picture that it is to explain: fit with groups "
            "that keep an original and its variants together"
        )
    shape = (*deletions.variants.shape, len(chosen))
    masses = {name: np.zeros(shape) for name in uses}
    work = [(name, fold) for name in uses for fold in np.unique(folds)]
    size = batch_size or with_graph(network)
    with on_device(network, device, channels_last=True) as (where, dtype):
        for name, fold in track(work, desc="maps", unit="fold", progress=progress):
            method, settings = uses[name]
            rows = np.flatnonzero(folds == fold)
            part = deletions.take(rows)
            pictures = [deletions.recording.stimuli.image(int(k)) for k in part.originals]
            inputs = torch.stack([network.preprocessing(picture) for picture in pictures])
            inputs = inputs.to(where, dtype)
            options = method.takes(seed=seed, batch_size=size, layer=heads.layer, progress=False)
            options |= settings
            targets = [heads.site(site, int(fold)) for site in chosen]
            if method.several:
                maps = method.function(network.module, inputs, Several(tuple(targets)), **options)
            else:
                maps = torch.stack(
                    [method.function(network.module, inputs, one, **options) for one in targets], 1
                )
            flat = maps.flatten(0, 1)
            signed = flat.abs() if method.slope else flat
            at_pixels = at_picture(signed, (inputs.shape[2], inputs.shape[3]))
            of_sites = at_pixels.reshape(*maps.shape[:2], *at_pixels.shape[1:])
            masses[name][rows] = part.masses(of_sites.cpu().numpy())
    return masses


def reference_masses(
    deletions: Deletions, heads: HeldOut | None = None, *, sites: Sequence[int] | None = None
) -> dict[str, np.ndarray]:
    """Return what maps are to be told from: masses of what knows nothing of the site, or all.

    Parameters
    ----------
    deletions : Deletions
    heads : HeldOut, optional
        Adds ``prediction``, the falls that the head itself predicts for the variants: what a
        perfect map of it would say; and ``field``, the site's pooling field, where it has one.
    sites : sequence of int, optional
        By default, all of ``heads``.

    Returns
    -------
    dict of str to numpy.ndarray, shape (n, k, 1) or (n, k, m)
        ``area`` (how many pixels were taken away), ``centre`` (a Gaussian in the middle of the
        picture), ``edges`` (local contrast of the original), ``detail`` (the squared change of its
        pixels); for ``heads``, also what is said there.
    """
    height, width = deletions.regions.shape[2:]
    y, x = np.ogrid[:height, :width]
    centre = np.exp(
        -(((y - (height - 1) / 2) / height) ** 2 + ((x - (width - 1) / 2) / width) ** 2)
        / (2 * CENTRE_SD**2)
    )
    n, k = deletions.variants.shape
    edges, detail = np.empty((n, height, width)), np.empty((n, k, 1))
    sd = min(height, width) * EDGE_SD
    for row in range(n):
        original = deletions.picture(int(deletions.originals[row]))
        grey = original.mean(axis=-1)
        mean = gaussian_filter(grey, sd)
        edges[row] = np.sqrt(np.maximum(gaussian_filter(grey**2, sd) - mean**2, 0.0))
        for variant in range(k):
            changed = deletions.picture(int(deletions.variants[row, variant]))
            squared = np.square(changed - original).mean(axis=-1)
            detail[row, variant, 0] = squared[deletions.regions[row, variant]].sum()
    masses = {
        "area": deletions.masses(np.ones((n, height, width))),
        "centre": deletions.masses(np.broadcast_to(centre, (n, height, width))),
        "edges": deletions.masses(edges),
        "detail": detail,
    }
    if heads is None:
        return masses
    _check_same(heads, deletions)
    chosen = chosen_sites(sites, len(heads.mean)).tolist()
    masses["prediction"] = deletions.falls(heads.predictions)[:, :, chosen]
    if heads.folds[0].readout.fields is not None:
        masses["field"] = _field_masses(deletions, heads, chosen)
    return masses


def _field_masses(deletions: Deletions, heads: HeldOut, sites: Sequence[int]) -> np.ndarray:
    masses = np.empty((*deletions.variants.shape, len(sites)))
    height, width = deletions.regions.shape[2:]
    for fold in heads.folds:
        (rows,) = np.nonzero(np.isin(deletions.originals, fold.test))
        if not len(rows):
            continue
        fields = fold.readout.fields
        assert fields is not None  # as those of the first fold
        flat = field_weights([fields[site] for site in sites], height, width)
        maps = np.asarray(flat).reshape(len(sites), height, width)
        part = deletions.take(rows)
        masses[rows] = part.masses(np.broadcast_to(maps, (len(rows), *maps.shape)))
    return masses


def chosen_sites(sites: Sequence[int] | None, n: int) -> np.ndarray:
    """Return the numbers of the sites that are meant, of n."""
    if sites is None:
        return np.arange(n)
    chosen = np.asarray(sites)
    if (
        chosen.ndim != 1
        or not len(chosen)
        or chosen.dtype.kind not in "iu"
        or chosen.min() < 0
        or chosen.max() >= n
        or len(np.unique(chosen)) < len(chosen)
    ):
        raise ProbeError(
            f"sites {chosen.tolist()}: expected whole numbers from 0 to {n - 1}, each once"
        )
    return chosen.astype(np.int64)


def _check_same(heads: HeldOut, deletions: Deletions) -> None:
    """Refuse heads of another recording."""
    recording = deletions.recording
    shape = (recording.n_stimuli, recording.n_neuroids)
    if heads.dataset != recording.name or heads.predictions.shape != shape:
        raise ProbeError(
            f"the heads were fitted to {heads.dataset!r}, {len(heads.predictions)} stimuli and "
            f"{len(heads.mean)} sites, and the deletions are of {recording.name!r}, {shape[0]} and "
            f"{shape[1]}: expected the same recording"
        )


def _uses(methods: Any, module: nn.Module) -> dict[str, tuple[Method, dict[str, Any]]]:
    """Read which methods are meant, with which settings, by the name of each."""
    if isinstance(methods, Mapping):
        uses = {}
        for name, settings in methods.items():
            (chosen,) = known_methods.choose([settings.get("method", name)])
            settings = {key: value for key, value in settings.items() if key != "method"}
            (method,) = known_methods.for_network([chosen], module, settings)
            uses[name] = (method, settings)
        return uses
    chosen_methods = known_methods.for_network(known_methods.choose(methods), module, ())
    return {method.name: (method, {}) for method in chosen_methods}
