"""Recorded sites fitted from one layer: predictions of held-out stimuli, and a readout to keep."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from probe.encoding import fields as pooling
from probe.encoding import pls
from probe.encoding.fields import Field, Layout
from probe.encoding.readouts import WEIGHT_BYTES, Readout, from_dual
from probe.encoding.ridge import Decomposition, Split, select
from probe.errors import ProbeError
from probe.similarity.products import blocks, products_for

FIELD_ALPHAS = np.logspace(-2.0, 3.0, 11)
"""Penalties that every field is tried with, relative; those of V4 sites lie between .3 and 10."""

BRAINSCORE_ALPHAS = np.concatenate(
    [
        [0.01, 0.1, 0.5, 1.0],
        np.linspace(1e1, 1e2, 4, endpoint=False),
        *(np.linspace(10.0**k, 10.0 ** (k + 1), 18, endpoint=False) for k in range(2, 6)),
        np.linspace(1e6, 1e7, 19),
    ]
)
"""The absolute penalties of Brain-Score's ridge (brain-score/vision, regression_correlation)."""

GRAM_BYTES = 2**26
"""Size of a block of units whose products are added at a time, in bytes."""

Track = Callable[..., Iterable[Any]]


@dataclass(frozen=True)
class Plan:
    """How a layer is fitted.

    Attributes
    ----------
    readout : {"field", "flat", "full"}
        See `probe.encode`.
    method : {"ridge", "pls"}
    n_components : int
        Of PLS, at most.
    shared_alpha : bool
        One penalty for all sites.
    alphas : tuple of float, optional
        Absolute penalties, instead of a grid that is relative to the layer's scale.
    """

    readout: str = "field"
    method: str = "ridge"
    n_components: int = 25
    shared_alpha: bool = False
    alphas: tuple[float, ...] | None = None

    def n_candidates(self, layout: Layout | None) -> int:
        """Tell how many candidates are solved for a layer: the work, for a progress bar."""
        return len(self.fields) if self.pools(layout) else 1

    @property
    def each_by_itself(self) -> bool:
        """Whether the fit of a site does not depend on the others."""
        return self.method == "ridge" and not self.shared_alpha

    @property
    def fields(self) -> tuple[Field, ...]:
        """The candidate fields of a layer that is pooled."""
        return pooling.grid() if self.readout == "field" else (pooling.FLAT,)

    def pools(self, layout: Layout | None) -> bool:
        """Tell whether channels are pooled over a layer's positions."""
        ridge = self.method == "ridge" and self.readout != "full"
        return ridge and layout is not None and layout.n_positions > 1


@dataclass(frozen=True, eq=False)
class LayerFit:
    """What one layer tells of some sites.

    Attributes
    ----------
    readout : Readout
        Fitted to all stimuli.
    predictions : list of numpy.ndarray, float64, shape (n_test, m)
        Of the test stimuli of each split, by a fit to its training stimuli.
    error : numpy.ndarray, shape (m,)
        Leave-one-out error over all stimuli, as a share of the responses' sum of squares; NaN of
        PLS.
    error_in_split : numpy.ndarray, shape (n_splits, m)
        The same inside the training stimuli of each split: by it layers are chosen.
    alpha : numpy.ndarray, shape (m,)
        Penalty of the fit to all stimuli, relative to the mean squared length of the patterns;
        number of components of PLS.
    at_end : numpy.ndarray of bool, shape (m,)
        Whether that is the first or the last penalty that was tried.
    """

    readout: Readout
    predictions: list[np.ndarray]
    error: np.ndarray
    error_in_split: np.ndarray
    alpha: np.ndarray
    at_end: np.ndarray

    def beside(self, other: LayerFit) -> LayerFit:
        """Return the predictions of two sets of sites as one; the readout is that of the first."""
        arrays = [
            np.concatenate([getattr(self, name), getattr(other, name)], axis=-1)
            for name in ("error", "error_in_split", "alpha", "at_end")
        ]
        predictions = [
            np.concatenate(both, axis=1)
            for both in zip(self.predictions, other.predictions, strict=True)
        ]
        return LayerFit(self.readout, predictions, *arrays)


def gram(activations: Any) -> np.ndarray:
    """Compute the products of all stimuli, (n, n), float64, reading some units at a time."""
    array, products = products_for(activations, "float64", None)
    n = array.shape[0]
    total = products.zeros(n, n)
    for _, block in blocks(array, products, GRAM_BYTES):
        products.add(total, block)
    upper = np.triu(products.numpy(total))
    return upper + np.triu(upper, 1).T


def fit_layer(
    activations: Any,
    layer: str,
    layout: Layout | None,
    responses: np.ndarray,
    splits: Sequence[Split],
    plan: Plan,
    *,
    pooled: bool = False,
    network: str = "the network",
    n_kept: int | None = None,
    threads: int | None = None,
    track: Track | None = None,
) -> LayerFit:
    """Fit sites from a layer, inside every split and on all stimuli.

    Parameters
    ----------
    activations : array-like, shape (n, neuroids)
        A layer of an `ActivationStore`, or an array.
    layer : str
    layout : Layout, optional
        None where it is not known: every unit has a weight of its own.
    responses : numpy.ndarray, shape (n, m)
    splits : sequence of (training, test) indices
    plan : Plan
    pooled : bool
        Whether activations are pooled already, by `probe.activations.reduce.GaussianFields` with
        the plan's fields.
    network : str
        Its name, for errors.
    n_kept : int, optional
        Only the first so many sites are needed as a readout; by default all.
    threads : int, optional
        By default, one per core.
    track : callable, optional
        Wraps the iteration over candidates.

    Returns
    -------
    LayerFit
    """
    threads = threads or os.cpu_count() or 1
    kept = slice(n_kept)
    if plan.pools(layout):
        assert layout is not None  # it has positions
        if pooled:
            values = np.asarray(activations[:, :], dtype=np.float32)
            by_field = values.reshape(len(values), len(plan.fields), layout.channels)
            by_field = np.ascontiguousarray(by_field.swapaxes(0, 1))
        else:
            by_field = pooling.pool(activations, layout, plan.fields)
        _check_finite(by_field, layer, network)
        return _fit_pooled(by_field, layer, layout, responses, splits, plan, kept, threads, track)
    neuroids = activations.shape[1]
    # Without pooling, channels and positions are alike: every unit has its weight.
    whole = layout if layout and layout.channels * layout.n_positions == neuroids else None
    whole = whole or Layout(neuroids, 1, 1)
    products = gram(activations)
    _check_finite(products, layer, network)
    if plan.method == "pls":
        predictions, _ = pls.predict_splits(products, responses, splits, plan.n_components)
        fitted = pls.fit(products, responses, plan.n_components)
        dual, m = fitted.coefficients, responses.shape[1]
        error, in_split = np.full(m, np.nan), np.full((len(splits), m), np.nan)
        alpha, at_end = np.full(m, float(fitted.n_components)), np.zeros(m, dtype=bool)
    else:
        decomposition = Decomposition.of_gram(products)
        chosen = select(
            [decomposition], responses, splits,
            alphas=None if plan.alphas is None else np.array(plan.alphas),
            relative=plan.alphas is None, shared_alpha=plan.shared_alpha, track=track,
        )  # fmt: skip
        predictions, error, in_split = chosen.predictions, chosen.error, chosen.error_in_split
        dual = decomposition.dual(responses, chosen.alpha)
        alpha, at_end = chosen.alpha / (decomposition.scale or 1.0), chosen.at_end
    offsets = responses.mean(axis=0) - products.mean(axis=0) @ dual
    coefficients = dual[:, kept].T
    if 4 * coefficients.shape[0] * neuroids <= WEIGHT_BYTES:
        readout = Readout(layer, whole, from_dual(activations, coefficients), offsets[kept])
    else:
        readout = Readout(layer, whole, coefficients, offsets[kept], training=activations)
    return LayerFit(readout, predictions, error, in_split, alpha, at_end)


def _check_finite(values: np.ndarray, layer: str, network: str) -> None:
    if not np.isfinite(values).all():
        raise ProbeError(
            f"layer {layer!r} of {network} gives values that are not finite for some stimulus: "
            "leave it out"
        )


def _fit_pooled(
    pooled: np.ndarray,
    layer: str,
    layout: Layout,
    responses: np.ndarray,
    splits: Sequence[Split],
    plan: Plan,
    kept: slice,
    threads: int,
    track: Track | None,
) -> LayerFit:
    """Fit from the channels of a layer, pooled with each candidate: (n_fields, n, channels)."""
    candidates = plan.fields
    decompositions = pooling.Decompositions(pooled)
    grid = FIELD_ALPHAS if plan.alphas is None else np.array(plan.alphas)
    chosen = select(
        decompositions, responses, splits, alphas=grid, relative=plan.alphas is None,
        shared_alpha=plan.shared_alpha, threads=threads, track=track,
        # Which of a hundred fields is best does not hang on the eighth digit.
        search_dtype="float32" if len(candidates) > 1 else "float64",
    )  # fmt: skip
    m = responses.shape[1]
    weights = np.empty((m, layout.channels), dtype=np.float32)
    offsets, alpha = np.empty(m), np.empty(m)
    for k in np.unique(chosen.candidate):
        sites = np.flatnonzero(chosen.candidate == k)
        decomposition = decompositions[k]
        patterns = pooled[k].astype(np.float64)
        of_field = patterns.T @ decomposition.dual(responses[:, sites], chosen.alpha[sites])
        weights[sites] = of_field.T
        offsets[sites] = responses[:, sites].mean(axis=0) - patterns.mean(axis=0) @ of_field
        alpha[sites] = chosen.alpha[sites] / (decomposition.scale or 1.0)
    of_site: tuple[Field, ...] = tuple(candidates[k] for k in chosen.candidate)
    readout = Readout(layer, layout, weights[kept], offsets[kept], of_site[kept])
    return LayerFit(
        readout, chosen.predictions, chosen.error, chosen.error_in_split, alpha, chosen.at_end
    )
