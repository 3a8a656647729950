"""Recorded sites fitted from several layers together, each with a penalty of its own.

A site has one receptive field, which lies over the maps of all layers at the same share of each: a
readout with fields first chooses it, for each site, with bands of equal shares, and then the shares
of the bands and the penalty, in that field. All of it is chosen inside the training stimuli of each
split. See `probe.encoding.bands`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from probe.activations.pooling import FLAT, Field
from probe.encoding.bands import (
    BandedSelection,
    Decompositions,
    mix,
    scaled_bands,
    select_bands,
    simplex,
    varies,
)
from probe.encoding.fields import Layout
from probe.encoding.layer_fit import (
    FIELD_ALPHAS,
    LayerFit,
    Patterns,
    Plan,
    Track,
    check_finite,
    gram,
    n_kept_of,
    read_units,
)
from probe.encoding.readouts import Readout
from probe.encoding.ridge import ALPHAS, Split, select
from probe.errors import ProbeError

HELD_BYTES = 2**31
"""Pooled channels of all bands, in bytes, above which they are read anew when they are needed."""


@dataclass(frozen=True, eq=False)
class BandedFit(LayerFit):
    """What several layers together tell of some sites.

    Attributes
    ----------
    by_band : list of numpy.ndarray, float64, shape (n_bands, n_test, m)
        What each band adds to the predictions of a split.
    shares : numpy.ndarray, float64, shape (n_bands, m)
        γ of each band, in the fit to all stimuli. Those of a site sum to 1.
    """

    by_band: list[np.ndarray]
    shares: np.ndarray


class Band:
    """A layer among several: its patterns, in any field.

    Parameters
    ----------
    layer : str
    layout : Layout, optional
    activations : array-like, shape (n, neuroids)
        Pooled with all of the plan's fields, if the plan pools the layer.
    plan : Plan
    hold : bool
        Whether pooled channels stay in memory, or are read anew.
    """

    def __init__(
        self, layer: str, layout: Layout | None, activations: Any, plan: Plan, hold: bool
    ) -> None:
        self.layer, self.layout, self.activations = layer, layout, activations
        self.pools = plan.pools(layout)
        if self.pools and hold:
            self.activations = np.asarray(activations[:, :], dtype=np.float32)
        # Of a layer that is not pooled, the same in any field.
        self._gram = None if self.pools else gram(activations)

    def pooled(self, k: int) -> np.ndarray:
        """Return the channels in the k-th field: float64, shape (n, channels)."""
        assert self.layout is not None  # it has positions
        n = self.layout.channels
        return np.asarray(self.activations[:, k * n : (k + 1) * n], dtype=np.float64)

    def gram(self, k: int) -> np.ndarray:
        """Compute the products of all stimuli in the k-th field, shape (n, n)."""
        if self._gram is not None:
            return self._gram
        patterns = self.pooled(k)
        products: np.ndarray = patterns @ patterns.T
        return products

    def varies(self, k: int, network: str) -> bool:
        """Return whether patterns in the k-th field vary over stimuli.

        Raises
        ------
        ProbeError
            If a value is not finite.
        """
        if self._gram is not None:
            check_finite(self._gram, self.layer, network)
            lengths = self._gram.diagonal()
            scale = float(lengths.mean() - self._gram.mean())
        else:
            patterns = self.pooled(k)
            check_finite(patterns, self.layer, network)
            lengths = np.einsum("nc,nc->n", patterns, patterns)
            scale = float(patterns.var(axis=0).sum())
        return varies(scale, float(lengths.max()), len(lengths))


class BandedPatterns(Patterns):
    """Several layers, each a band.

    Parameters
    ----------
    layers : sequence of (activations, layer, layout)
        As for `probe.encoding.layer_fit.prepare`. A layer that the plan pools is given pooled, with
        all of its fields.
    plan : Plan
    network : str
        Its name, for errors.

    Raises
    ------
    ProbeError
        If a layer is the same for all stimuli, or gives values that are not finite.
    """

    def __init__(
        self,
        layers: Sequence[tuple[Any, str, Layout | None]],
        plan: Plan,
        network: str = "the network",
    ) -> None:
        n_bytes = sum(
            4 * activations.shape[0] * activations.shape[1]
            for activations, _, layout in layers
            if plan.pools(layout)
        )
        self.bands = [
            Band(layer, layout, activations, plan, n_bytes <= HELD_BYTES)
            for activations, layer, layout in layers
        ]
        self.n = layers[0][0].shape[0]
        self.shares = simplex(len(layers), seed=plan.seed)
        self.groups = plan.groups
        pools = any(band.pools for band in self.bands)
        self.fields: tuple[Field, ...] = plan.fields if pools else (FLAT,)
        self.alphas = FIELD_ALPHAS if pools else ALPHAS
        usable = np.array(
            [[band.varies(k, network) for k in range(len(self.fields))] for band in self.bands]
        )
        for band, of_band in zip(self.bands, usable, strict=True):
            if not of_band.any():
                raise ProbeError(
                    f"layer {band.layer!r} of {network} is the same for all stimuli, and adds "
                    "nothing to others: leave it out"
                )
        # In the dark corner of all pictures, an early layer tells nothing.
        self.usable = np.flatnonzero(usable.all(axis=0))
        if not len(self.usable):
            names = ", ".join(band.layer for band in self.bands)
            raise ProbeError(
                f"there is no field in which layers {names} of {network} all vary over stimuli: "
                "fit them with readout 'flat' or 'full'"
            )
        equal = np.full(len(layers), 1.0 / len(layers))
        # Bands of equal shares, in each field.
        self.decompositions = Decompositions(
            lambda index: mix(scaled_bands(self._grams(self.usable[index]), self.n)[0], equal),
            len(self.usable),
            self.n,
            os.cpu_count() or 1,
        )

    @staticmethod
    def n_candidates(plan: Plan, layouts: Sequence[Layout | None]) -> int:
        """Return how many candidates are solved at most: the work, for a progress bar."""
        n_shares = len(simplex(len(layouts)))
        n_fields = len(plan.fields) if any(map(plan.pools, layouts)) else 1
        return n_shares if n_fields == 1 else n_fields + n_fields * n_shares

    def fit(
        self,
        responses: np.ndarray,
        splits: Sequence[Split],
        block: slice,
        n_kept: int,
        *,
        threads: int | None = None,
        track: Track | None = None,
    ) -> BandedFit:
        """Fit some sites; see `Patterns.fit`."""
        threads = threads or os.cpu_count() or 1
        some = responses[:, block]
        n_sites, n_bands = some.shape[1], len(self.bands)
        field, in_split = self._choose_fields(some, splits, threads, track)
        fitted = BandedFit(
            readouts=(),
            predictions=[np.empty((len(test), n_sites)) for _, test in splits],
            error=np.empty(n_sites),
            error_in_split=np.empty((len(splits), n_sites)),
            alpha=np.empty(n_sites),
            at_end=np.zeros(n_sites, dtype=bool),
            by_band=[np.empty((n_bands, len(test), n_sites)) for _, test in splits],
            shares=np.empty((n_bands, n_sites)),
        )
        weights = _Weights.empty(self.bands, self.n, n_sites)
        for k in range(len(self.fields)):
            rows = np.flatnonzero((in_split == k).any(axis=1))
            sites = np.flatnonzero((field == k) | (in_split == k).any(axis=0))
            if len(sites):
                grams = self._grams(k)
                chosen = select_bands(
                    grams, some[:, sites], [splits[int(row)] for row in rows],
                    groups=self.groups, shares=self.shares, alphas=self.alphas, threads=threads,
                    track=track,
                    search_dtype="float32" if len(self.fields) > 1 else "float64",
                )  # fmt: skip
                _take_splits(fitted, chosen, rows, sites, in_split == k)
                of_field = np.flatnonzero(field[sites] == k)
                _take_sites(fitted, chosen, of_field, sites)
                weights.take(k, grams, chosen, of_field, sites)
            elif track is not None:  # a field that no site has
                for _ in track(self.shares, total=len(self.shares)):
                    pass
        weights.offsets[0] += some.mean(axis=0)
        n_readouts = n_kept_of(block, n_kept)
        of_site = tuple(self.fields[k] for k in field[:n_readouts])
        readouts = weights.readouts(of_site, n_readouts, n_kept)
        return BandedFit(**{**vars(fitted), "readouts": readouts})

    def _grams(self, k: int) -> list[np.ndarray]:
        return [band.gram(int(k)) for band in self.bands]

    def _choose_fields(
        self,
        responses: np.ndarray,
        splits: Sequence[Split],
        threads: int,
        track: Track | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Choose the field of each site, by index: on all stimuli, (m,), and in splits."""
        if len(self.fields) == 1:
            m = responses.shape[1]
            return np.zeros(m, dtype=np.int64), np.zeros((len(splits), m), dtype=np.int64)
        chosen = select(
            self.decompositions, responses, splits, groups=self.groups, alphas=self.alphas,
            threads=threads, search_dtype="float32", track=track,
        )  # fmt: skip
        return self.usable[chosen.candidate], self.usable[chosen.in_split]


def _take_splits(
    fitted: BandedFit,
    chosen: BandedSelection,
    rows: np.ndarray,
    sites: np.ndarray,
    has_field: np.ndarray,
) -> None:
    """Write down what is predicted in those splits in which a site has the field."""
    selection = chosen.selection
    for index, row in enumerate(rows):
        of_field = np.flatnonzero(has_field[row, sites])
        fitted.predictions[row][:, sites[of_field]] = selection.predictions[index][:, of_field]
        fitted.error_in_split[row, sites[of_field]] = selection.error_in_split[index, of_field]
        fitted.by_band[row][:, :, sites[of_field]] = chosen.by_band[index][:, :, of_field]


def _take_sites(
    fitted: BandedFit, chosen: BandedSelection, own: np.ndarray, sites: np.ndarray
) -> None:
    """Write down what is chosen on all stimuli, for sites that have the field."""
    at, selection = sites[own], chosen.selection
    fitted.error[at] = selection.error[own]
    # Of bands of mean squared length 1, a mixture has it, too.
    fitted.alpha[at] = selection.alpha[own]
    fitted.at_end[at] = selection.at_end[own]
    fitted.shares[:, at] = chosen.shares[own].T


@dataclass(frozen=True, eq=False)
class _Weights:
    """Weights of channels, (m, channels), or dual coefficients, (n, m), and offsets of each band.

    An offset is that of a band whose training patterns are centred: it adds nothing on average.
    """

    bands: Sequence[Band]
    values: list[np.ndarray]
    offsets: list[np.ndarray]

    @classmethod
    def empty(cls, bands: Sequence[Band], n: int, m: int) -> _Weights:
        values = [
            np.empty((m, band.layout.channels), dtype=np.float32)
            if band.pools and band.layout is not None
            else np.empty((n, m))
            for band in bands
        ]
        return cls(bands, values, [np.empty(m) for _ in bands])

    def take(
        self,
        k: int,
        grams: Sequence[np.ndarray],
        chosen: BandedSelection,
        own: np.ndarray,
        sites: np.ndarray,
    ) -> None:
        """Compute those of the sites that have the k-th field."""
        at = sites[own]
        if not len(at):
            return
        for b, band in enumerate(self.bands):
            # w = γ/scale · XᵀC; coefficients sum to 0, so that X need not be centred.
            dual = chosen.coefficients[:, own] * (chosen.shares[own, b] / chosen.scales[b])
            if band.pools:
                patterns = band.pooled(k)
                of_field = patterns.T @ dual
                self.values[b][at] = of_field.T
                self.offsets[b][at] = -patterns.mean(axis=0) @ of_field
            else:
                self.values[b][:, at] = dual
                self.offsets[b][at] = -grams[b].mean(axis=0) @ dual

    def readouts(self, of_site: tuple[Field, ...], kept: int, n_all: int) -> tuple[Readout, ...]:
        """Return them as readouts of the first sites."""
        each = []
        for band, values, offsets in zip(self.bands, self.values, self.offsets, strict=True):
            if band.pools:
                assert band.layout is not None  # it has positions
                each.append(
                    Readout(band.layer, band.layout, values[:kept], offsets[:kept], of_site)
                )
            else:
                each.append(
                    read_units(
                        band.layer, band.layout, band.activations, values[:, :kept],
                        offsets[:kept], n_all,
                    )
                )  # fmt: skip
        return tuple(each)
