"""Recorded sites fitted from one layer: predictions of held-out stimuli, and a readout to keep."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np

from probe.encoding import fields as pooling
from probe.encoding import pls
from probe.encoding.fields import Field, Layout
from probe.encoding.readouts import WEIGHT_BYTES, Readout, from_dual
from probe.encoding.ridge import ALPHAS, SITES_AT_A_TIME, Decomposition, Selection, Split, select
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

Track = Callable[..., Iterable[Any]]


@dataclass(frozen=True)
class Plan:
    """How a layer, or several together, are fitted.

    Attributes
    ----------
    readout : {"field", "flat", "full"}
        See `probe.encode`.
    method : {"ridge", "pls", "banded"}
    n_components : int
        Of PLS, at most.
    shared_alpha : bool
        One penalty for all sites.
    alphas : tuple of float, optional
        Absolute penalties, instead of a grid that is relative to the layer's scale.
    seed : int
        Of the shares that are tried for more than two bands.
    groups : tuple of int, optional
        A label per stimulus: those of one are left out together when penalties are chosen. PLS has
        none to choose.
    n_at_a_time : int, optional
        Sites of which components, or one penalty, are: so many after each other, as those of one
        time. By default all.
    """

    readout: str = "field"
    method: str = "ridge"
    n_components: int = 25
    shared_alpha: bool = False
    alphas: tuple[float, ...] | None = None
    seed: int = 0
    groups: tuple[int, ...] | None = None
    n_at_a_time: int | None = None

    def n_candidates(self, layout: Layout | None) -> int:
        """Return how many candidates are solved for a layer: the work, for a progress bar."""
        return len(self.fields) if self.pools(layout) else 1

    @property
    def each_by_itself(self) -> bool:
        """Whether the fit of a site does not depend on the others."""
        return self.method != "pls" and not self.shared_alpha

    @property
    def fields(self) -> tuple[Field, ...]:
        """The candidate fields of a layer that is pooled."""
        return pooling.grid() if self.readout == "field" else (pooling.FLAT,)

    def pools(self, layout: Layout | None) -> bool:
        """Return whether channels are pooled over a layer's positions."""
        ridge = self.method != "pls" and self.readout != "full"
        return ridge and layout is not None and layout.n_positions > 1

    def blocks(self, n_sites: int, n_kept: int) -> list[slice]:
        """Divide sites into those that are fitted at a time, alike on any number of processes.

        Parameters
        ----------
        n_sites : int
        n_kept : int
            The first so many are recorded, the others permuted. Components, or one penalty, are of
            all sites together, and permuted ones would change them.
        """
        if not self.each_by_itself and self.n_at_a_time is not None:
            edges = [*range(0, n_sites, self.n_at_a_time), n_sites]
        elif not self.each_by_itself:
            edges = [0, n_kept, n_sites] if n_kept < n_sites else [0, n_sites]
        else:
            n_blocks = -(-n_sites // SITES_AT_A_TIME)
            edges = [k * n_sites // n_blocks for k in range(n_blocks + 1)]
        return [slice(a, b) for a, b in pairwise(edges)]


@dataclass(frozen=True, eq=False)
class LayerFit:
    """What one layer, or several together, tell of some sites.

    Attributes
    ----------
    readouts : tuple of Readout
        Fitted to all stimuli: of one layer, or of each, which sum to the prediction.
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

    readouts: tuple[Readout, ...]
    predictions: list[np.ndarray]
    error: np.ndarray
    error_in_split: np.ndarray
    alpha: np.ndarray
    at_end: np.ndarray

    @property
    def readout(self) -> Readout:
        """That of the layer, of one alone."""
        (readout,) = self.readouts
        return readout

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Put the sites of several fits beside each other."""
        if len(parts) == 1:
            return parts[0]
        values: dict[str, Any] = {}
        for name in [f.name for f in fields(cls)]:
            each = [getattr(part, name) for part in parts]
            if name == "readouts":
                values[name] = tuple(map(_joined_readout, zip(*each, strict=True)))
            elif isinstance(each[0], list):
                values[name] = [
                    np.concatenate(of_split, axis=-1) for of_split in zip(*each, strict=True)
                ]
            else:
                values[name] = np.concatenate(each, axis=-1)
        return cls(**values)


def _joined_readout(parts: Sequence[Readout]) -> Readout:
    first = parts[0]
    return replace(
        first,
        weights=np.concatenate([part.weights for part in parts]),
        offsets=np.concatenate([part.offsets for part in parts]),
        fields=None
        if first.fields is None
        else tuple(field for part in parts for field in part.fields or ()),
    )


def gram(activations: Any) -> np.ndarray:
    """Compute the products of all stimuli, (n, n), float64, reading some units at a time."""
    array, products = products_for(activations, "float64", None)
    n = array.shape[0]
    total = products.zeros(n, n)
    products.add_all(total, ((block,) for _, block in blocks(array, products)))
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
    n_kept: int | None = None,
    threads: int | None = None,
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
    n_kept : int, optional
        Only the first so many sites are needed as a readout; by default all.
    threads : int, optional
        By default, one per core.

    Returns
    -------
    LayerFit
    """
    patterns = prepare(activations, layer, layout, plan)
    return fit_blocks(patterns, responses, splits, plan, n_kept=n_kept, threads=threads)


def fit_blocks(
    patterns: Patterns,
    responses: np.ndarray,
    splits: Sequence[Split],
    plan: Plan,
    *,
    n_kept: int | None = None,
    threads: int | None = None,
    track: Track | None = None,
) -> LayerFit:
    """Fit all sites from what was prepared, some at a time; see `fit_layer`."""
    n_sites = responses.shape[1]
    n_kept = n_sites if n_kept is None else n_kept
    parts = [
        patterns.fit(responses, splits, block, n_kept, threads=threads, track=track)
        for block in plan.blocks(n_sites, n_kept)
    ]
    return type(parts[0]).joined(parts)


def prepare(
    activations: Any,
    layer: str,
    layout: Layout | None,
    plan: Plan,
    *,
    pooled: bool = False,
    network: str = "the network",
) -> RidgePatterns:
    """Compute what the fits of all sites from a layer have in common; see `fit_layer`.

    Parameters
    ----------
    activations, layer, layout, plan
        As for `fit_layer`.
    pooled : bool
        Whether activations are pooled already, by `probe.activations.reduce.GaussianFields` with
        the plan's fields.
    network : str
        Its name, for errors.

    Raises
    ------
    ProbeError
        If an activation is not finite.
    """
    if plan.pools(layout):
        assert layout is not None  # it has positions
        if pooled:
            values = np.asarray(activations[:, :], dtype=np.float32)
            by_field = values.reshape(len(values), len(plan.fields), layout.channels)
            by_field = np.ascontiguousarray(by_field.swapaxes(0, 1))
        else:
            by_field = pooling.pool(activations, layout, plan.fields)
        check_finite(by_field, layer, network)
        return PooledPatterns(layer, layout, by_field, plan)
    products = gram(activations)
    check_finite(products, layer, network)
    return AllUnits(layer, layout, activations, products, plan)


def check_finite(values: np.ndarray, layer: str, network: str) -> None:
    """Refuse a layer with a value that is not finite.

    Raises
    ------
    ProbeError
    """
    if not np.isfinite(values).all():
        raise ProbeError(
            f"layer {layer!r} of {network} gives values that are not finite for some stimulus: "
            "leave it out"
        )


class Patterns(ABC):
    """What the fits of all sites from a layer, or several, have in common."""

    @abstractmethod
    def fit(
        self,
        responses: np.ndarray,
        splits: Sequence[Split],
        block: slice,
        n_kept: int,
        *,
        threads: int | None = None,
        track: Track | None = None,
    ) -> LayerFit:
        """Fit some sites.

        Parameters
        ----------
        responses : numpy.ndarray, shape (n, m)
            Of all sites.
        splits : sequence of (training, test) indices
        block : slice
            The sites that are fitted, of `Plan.blocks`.
        n_kept : int
            Of all sites, the first so many are needed as a readout.
        threads : int, optional
            By default, one per core.
        track : callable, optional
            Wraps the iteration over candidates.
        """


@dataclass(frozen=True, eq=False)
class Held:
    """A fit that has not seen some stimuli.

    Attributes
    ----------
    test : numpy.ndarray of int
        The stimuli.
    readout : Readout
        Of all sites.
    predictions : numpy.ndarray, float64, shape (n_test, m)
        Of the readout, for these stimuli.
    """

    test: np.ndarray
    readout: Readout
    predictions: np.ndarray


def fill(responses: np.ndarray, split: Split, predictions: np.ndarray) -> np.ndarray:
    """Put what a fit without some stimuli predicts for them in the place of their responses.

    A fit to all stimuli then leaves no residual there, and so is the fit without them.

    Raises
    ------
    ProbeError
        If a stimulus is neither trained on nor predicted.
    """
    train, test = split
    if len(train) + len(test) != len(responses):
        raise ProbeError("a split leaves out stimuli: expected each to be trained on or tested")
    filled = np.array(responses, dtype=np.float64)
    filled[test] = predictions
    return filled


def n_kept_of(block: slice, n_kept: int) -> int:
    """Return how many of a block's sites are among the first so many."""
    return min(max(n_kept - block.start, 0), block.stop - block.start)


def read_units(
    layer: str,
    layout: Layout | None,
    activations: Any,
    dual: np.ndarray,
    offsets: np.ndarray,
    n_all: int,
) -> Readout:
    """Return a readout with a weight for every unit, from dual coefficients, (n, m).

    As weights, where those of all sites that are kept, ``n_all``, are few enough to hold.
    """
    neuroids = activations.shape[1]
    # Without pooling, channels and positions are alike: every unit has its weight.
    all_units = layout if layout and layout.channels * layout.n_positions == neuroids else None
    all_units = all_units or Layout(neuroids, 1, 1)
    if 4 * n_all * neuroids <= WEIGHT_BYTES:
        return Readout(layer, all_units, from_dual(activations, dual.T), offsets)
    return Readout(layer, all_units, dual.T, offsets, training=activations)


class RidgePatterns(Patterns):
    """A layer whose sites are fitted by ridge regression, each with a candidate and a penalty.

    Attributes
    ----------
    plan : Plan
    alphas : numpy.ndarray
        The relative penalties that are tried, unless the plan has its own.
    """

    plan: Plan
    alphas: ClassVar[np.ndarray] = ALPHAS

    def fit_without(self, responses: np.ndarray, splits: Sequence[Split]) -> list[Held]:
        """Fit all sites to the training stimuli of each split, for readouts to go on with.

        Field and penalty are chosen inside them, as for the predictions of `fit`.

        Parameters
        ----------
        responses : numpy.ndarray, shape (n, m)
        splits : sequence of (training, test) indices
            Each of all stimuli.

        Returns
        -------
        list of Held
            One per split.
        """
        chosen = self._select(responses, splits, None, None)
        fits = []
        for k, split in enumerate(splits):
            filled = fill(responses, split, chosen.predictions[k])
            candidate = chosen.in_split[k]
            alpha = chosen.penalties[candidate, chosen.alpha_in_split[k]]
            readout, _ = self._readout(filled, candidate, alpha)
            fits.append(Held(np.asarray(split[1]), readout, chosen.predictions[k]))
        return fits

    def _select(
        self,
        responses: np.ndarray,
        splits: Sequence[Split],
        threads: int | None,
        track: Track | None,
    ) -> Selection:
        """Choose for each site, inside every split and on all stimuli."""
        plan, candidates = self.plan, self.candidates
        return select(
            candidates, responses, splits, groups=plan.groups,
            alphas=self.alphas if plan.alphas is None else np.array(plan.alphas),
            relative=plan.alphas is None, shared_alpha=plan.shared_alpha,
            threads=threads or os.cpu_count() or 1, track=track,
            # Which of a hundred fields is best does not hang on the eighth digit.
            search_dtype="float32" if len(candidates) > 1 else "float64",
        )  # fmt: skip

    @property
    @abstractmethod
    def candidates(self) -> Sequence[Decomposition]:
        """The patterns that each site may be read from."""

    @abstractmethod
    def _readout(
        self, responses: np.ndarray, candidate: np.ndarray, alpha: np.ndarray
    ) -> tuple[Readout, np.ndarray]:
        """Fit all sites to all stimuli with what was chosen; also return relative penalties."""


@dataclass(frozen=True, eq=False)
class AllUnits(RidgePatterns):
    """A layer of which every unit has a weight of its own, by the products of its patterns."""

    layer: str
    layout: Layout | None
    activations: Any
    products: np.ndarray
    plan: Plan

    @cached_property
    def decomposition(self) -> Decomposition:
        """That of all units."""
        return Decomposition.of_gram(self.products)

    @property
    def candidates(self) -> Sequence[Decomposition]:
        """The patterns that each site may be read from: one candidate."""
        return [self.decomposition]

    def fit(
        self,
        responses: np.ndarray,
        splits: Sequence[Split],
        block: slice,
        n_kept: int,
        *,
        threads: int | None = None,
        track: Track | None = None,
    ) -> LayerFit:
        """Fit some sites; see `Patterns.fit`."""
        plan, products = self.plan, self.products
        some = responses[:, block]
        if plan.method == "pls":
            predictions, _ = pls.predict_splits(products, some, splits, plan.n_components)
            fitted = pls.fit(products, some, plan.n_components)
            dual, m = fitted.coefficients, some.shape[1]
            error, in_split = np.full(m, np.nan), np.full((len(splits), m), np.nan)
            alpha, at_end = np.full(m, float(fitted.n_components)), np.zeros(m, dtype=bool)
        else:
            decomposition = self.decomposition
            chosen = self._select(some, splits, threads, track)
            predictions, error, in_split = chosen.predictions, chosen.error, chosen.error_in_split
            dual = decomposition.dual(some, chosen.alpha)
            alpha, at_end = chosen.alpha / (decomposition.scale or 1.0), chosen.at_end
        readout_sites = slice(n_kept_of(block, n_kept))
        readout = self._of_dual(some[:, readout_sites], dual[:, readout_sites], n_kept)
        return LayerFit((readout,), predictions, error, in_split, alpha, at_end)

    def _readout(
        self, responses: np.ndarray, candidate: np.ndarray, alpha: np.ndarray
    ) -> tuple[Readout, np.ndarray]:
        dual = self.decomposition.dual(responses, alpha)
        readout = self._of_dual(responses, dual, responses.shape[1])
        return readout, alpha / (self.decomposition.scale or 1.0)

    def _of_dual(self, responses: np.ndarray, dual: np.ndarray, n_all: int) -> Readout:
        offsets = responses.mean(axis=0) - self.products.mean(axis=0) @ dual
        return read_units(self.layer, self.layout, self.activations, dual, offsets, n_all)


@dataclass(frozen=True, eq=False)
class PooledPatterns(RidgePatterns):
    """The channels of a layer, pooled with each candidate field: (n_fields, n, channels)."""

    layer: str
    layout: Layout
    by_field: np.ndarray
    plan: Plan

    alphas: ClassVar[np.ndarray] = FIELD_ALPHAS

    @cached_property
    def candidates(self) -> pooling.Decompositions:
        """That of each field."""
        return pooling.Decompositions(self.by_field)

    def fit(
        self,
        responses: np.ndarray,
        splits: Sequence[Split],
        block: slice,
        n_kept: int,
        *,
        threads: int | None = None,
        track: Track | None = None,
    ) -> LayerFit:
        """Fit some sites; see `Patterns.fit`."""
        some = responses[:, block]
        chosen = self._select(some, splits, threads, track)
        readout, relative = self._readout(some, chosen.candidate, chosen.alpha)
        readout = readout.take(range(n_kept_of(block, n_kept)))
        return LayerFit(
            (readout,), chosen.predictions, chosen.error, chosen.error_in_split, relative,
            chosen.at_end,
        )  # fmt: skip

    def _readout(
        self, responses: np.ndarray, candidate: np.ndarray, alpha: np.ndarray
    ) -> tuple[Readout, np.ndarray]:
        m = responses.shape[1]
        weights = np.empty((m, self.layout.channels), dtype=np.float32)
        offsets, relative = np.empty(m), np.empty(m)
        for k in np.unique(candidate):
            sites = np.flatnonzero(candidate == k)
            decomposition = self.candidates[k]  # which may be made anew each time
            patterns = self.by_field[k].astype(np.float64)
            of_field = patterns.T @ decomposition.dual(responses[:, sites], alpha[sites])
            weights[sites] = of_field.T
            offsets[sites] = responses[:, sites].mean(axis=0) - patterns.mean(axis=0) @ of_field
            relative[sites] = alpha[sites] / (decomposition.scale or 1.0)
        fields: tuple[Field, ...] = tuple(self.plan.fields[k] for k in candidate)
        return Readout(self.layer, self.layout, weights, offsets, fields), relative
