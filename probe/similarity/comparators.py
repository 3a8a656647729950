"""How alike two RDMs are.

A resample of the stimuli is a vector of counts c, one per stimulus. The pair (i, j) then occurs
c_i · c_j times, and a stimulus paired with another showing of itself does not occur at all, since
its distance is zero by construction (Schütt et al. 2023, eLife 12:e82566). All comparators take
these weights, so that no resampled RDM is ever built: bootstrap samples (counts 0, 1, 2, …), random
halves (counts 0 and 1) and the jackknife (all once but one) are the same operation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from probe.similarity.bures import bures
from probe.similarity.jackknife import LeftOut, UnitRanks, left_out_products
from probe.similarity.kendall import kendall, tau
from probe.similarity.lanes import (
    LANES,
    MANY_PAIRS,
    WIDE,
    LaneRanks,
    RankedProducts,
    SortedPairs,
    agreements,
    n_lanes,
    permute_rows,
)
from probe.similarity.moments import Products, moments
from probe.similarity.pairs import Pairs, complete_pairs, rdm_name, restrict
from probe.similarity.pools import pooled_products
from probe.similarity.ranks import (
    ROUNDING,
    centred_ranks,
    compiled,
    dense_ranks,
    midranks,
)
from probe.similarity.rdms import n_conditions
from probe.similarity.whitening import Residuals, double_centred, inner_products, resampled_products

if TYPE_CHECKING:
    from probe.similarity.rdm_set import RDMs

PERMUTED_PAIRS = 2**22
"""Pairs in all permutations that are held at a time."""

SCORED_TOGETHER = 32
"""RDMs of the data whose products with each other are computed, where no bounds are asked for."""


def is_constant(rdm: np.ndarray) -> bool:
    """Return whether all distances of an RDM are tied, so that it says nothing."""
    return bool(np.ptp(rdm) <= ROUNDING * np.abs(rdm).max())


@dataclass(frozen=True, eq=False)
class PreparedRDMs:
    """RDMs, and what every resample of them needs; made by `Comparator.prepare`.

    Attributes
    ----------
    rdms : numpy.ndarray, shape (K, n_pairs)
    pairs : Pairs
        What the columns are.
    """

    rdms: np.ndarray
    pairs: Pairs
    _known: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """Make what all resamples need when it is first wanted, and keep it."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    @cached_property
    def squares(self) -> np.ndarray:
        """The RDMs as matrices, shape (K, n, n)."""
        return self.pairs.squares(self.rdms)

    @cached_property
    def sorted(self) -> list[SortedPairs]:
        """The pairs of every RDM in the order of their distances."""
        return [SortedPairs.of(row, self.pairs.i, self.pairs.j) for row in self.rdms]

    @cached_property
    def ranks(self) -> np.ndarray:
        """Ranks of the distances, 0, 1, 2, …, tied ones alike, shape (K, n_pairs)."""
        return dense_ranks(self.rdms)

    def standardised(self, centred: bool) -> tuple[np.ndarray, np.ndarray]:
        """Bring the RDMs to mean 0, if ``centred``, and mean square 1.

        Digits are lost in the moments of a resample where the mean is large; here it is gone.

        Returns
        -------
        values : numpy.ndarray, shape (K, n_pairs)
        rounding : numpy.ndarray, shape (K,)
            Below this difference two values are tied.
        """

        def make() -> tuple[np.ndarray, np.ndarray]:
            values = self.rdms - self.rdms.mean(axis=1, keepdims=True) if centred else self.rdms
            scale = np.sqrt(np.mean(values**2, axis=1))
            scale[scale <= 0.0] = np.nan  # constant where some pairs are left out
            rounding = ROUNDING * np.abs(self.rdms).max(axis=1) / scale
            return values / scale[:, None], rounding

        arrays: tuple[np.ndarray, np.ndarray] = self.once(f"standardised {centred}", make)
        return arrays


@dataclass(frozen=True, eq=False)
class Comparator(ABC):
    """A measure of how alike two RDMs are, 1 for RDMs that say the same.

    Attributes
    ----------
    name : str
        How it is called in arguments and tables.
    symbol : str
        How it is called on an axis.
    centred : bool
        Whether it is a correlation: RDMs that have nothing in common are at 0.
    """

    name: str
    symbol: str
    centred: bool = True

    block = 8
    """Resamples that are worked on together."""

    def prepare(
        self,
        rdms: np.ndarray,
        pairs: Pairs | None = None,
        name: str | Sequence[str] = "RDM",
    ) -> PreparedRDMs:
        """Check RDMs.

        Parameters
        ----------
        rdms : numpy.ndarray, shape (K, n_pairs) or (n_pairs,)
            Finite distances.
        pairs : Pairs, optional
            What the columns are; by default all pairs.
        name : str or sequence of str, shape (K,)
            What to call an RDM in an error, or the name of each.

        Raises
        ------
        ValueError
            If a value is not finite, or an RDM is constant.
        """
        rdms = np.atleast_2d(np.asarray(rdms, dtype=np.float64))
        for k, row in enumerate(rdms):
            if not np.isfinite(row).all():
                raise ValueError(f"{rdm_name(name, k)} has a NaN or infinite distance")
            if not row.any() or (self.centred and is_constant(row)):
                raise ValueError(
                    f"{rdm_name(name, k)} is constant: {self.name} with it is undefined"
                )
        return PreparedRDMs(rdms, pairs or Pairs.all(n_conditions(rdms.shape[1])))

    def similarity(
        self, a: PreparedRDMs, b: PreparedRDMs, counts: np.ndarray | None = None
    ) -> np.ndarray:
        """Compare every RDM of ``a`` with every RDM of ``b``.

        Parameters
        ----------
        a, b : PreparedRDMs
            From `prepare`, over the same pairs.
        counts : numpy.ndarray, shape (n_conditions,), optional
            How often each condition occurs; by default once.

        Returns
        -------
        numpy.ndarray, shape (n_a, n_b)
            Where a resample leaves an RDM constant: NaN, or 0 for rho-a and tau-a, whose expected
            value under random tie-breaking that is.
        """
        counts = np.ones(a.pairs.n) if counts is None else np.asarray(counts)
        return self.resample(a, b, counts[None])[0][0]

    @abstractmethod
    def resample(
        self,
        models: PreparedRDMs,
        data: PreparedRDMs,
        counts: np.ndarray,
        subjects: Sequence[np.ndarray] = (),
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compare models and subjects, and bound the score of the true model, in resamples.

        The upper bound compares a subject with the RDM pooled over all subjects, the lower bound
        with the one pooled over all others (Nili et al. 2014, PLoS Comput Biol 10:e1003553).

        Parameters
        ----------
        models, data : PreparedRDMs
            M models and S subjects, from `prepare`, over the same pairs.
        counts : numpy.ndarray, shape (B, n_conditions)
            How often each condition occurs in each resample.
        subjects : sequence of numpy.ndarray, each of shape (B, S)
            How often each subject occurs; for each such array the bounds are found.

        Returns
        -------
        scores : numpy.ndarray, shape (B, M, S)
        bounds : numpy.ndarray, shape (len(subjects), B, 2, S)
            Lower and upper. NaN for a subject that does not occur, and for the lower bound of one
            that is alone.
        """

    def without_each(
        self, models: PreparedRDMs, data: PreparedRDMs, unit: np.ndarray
    ) -> Callable[[int], np.ndarray] | None:
        """Return a function that scores a model without each unit of the conditions in turn.

        Parameters
        ----------
        models, data : PreparedRDMs
            M models and S subjects, over the same pairs.
        unit : numpy.ndarray, shape (n_conditions,), int
            The unit of each condition, 0 … K − 1; of those without a pair, any number.

        Returns
        -------
        callable, or None
            Given the number of a model, it returns an array of shape (K, S). None where there is
            no shorter way than `resample`.
        """
        return None

    def permuted_scores(
        self, models: PreparedRDMs, data: PreparedRDMs, orders: np.ndarray
    ) -> np.ndarray:
        """Score models against data whose conditions' labels are permuted.

        Parameters
        ----------
        models, data : PreparedRDMs
            M models and S subjects, over the same pairs.
        orders : numpy.ndarray, shape (B, n_conditions), int

        Returns
        -------
        numpy.ndarray, shape (B, M)
            Mean over subjects.
        """
        result = np.empty((len(orders), len(models.rdms)))
        for k, order in enumerate(orders):
            places = models.pairs.permuted(order)
            a, b = models, replace(data, rdms=data.rdms[:, places])
            if (places < 0).any():  # a pair whose distance would be a missing one
                present = np.flatnonzero(places >= 0)
                pairs = models.pairs.take(present)
                a = PreparedRDMs(models.rdms[:, present], pairs)
                b = PreparedRDMs(data.rdms[:, places[present]], pairs)
            elif "ranks" in vars(data):
                vars(b)["ranks"] = data.ranks[:, places]  # no need to sort again
            result[k] = self.similarity(a, b).mean(axis=1)
        return result

    def vectors(self, rdms: PreparedRDMs) -> np.ndarray | None:
        """Map RDMs to vectors of which the similarity is the inner product.

        So that many RDMs are compared with many others by one matrix product.

        Returns
        -------
        numpy.ndarray, shape (K, d), or None
            None where the comparator is no inner product, or pairs are missing.
        """
        return None

    @abstractmethod
    def pool(self, rdms: np.ndarray, pairs: Pairs | None = None) -> np.ndarray:
        """Make the one RDM that is on average the most like the RDMs given.

        Each RDM is first brought to the scale on which the comparator is an inner product, then
        they are averaged: this maximises the mean similarity, where an average of the distances
        as they are does not (Nili et al. 2014; Schütt et al. 2023). For Kendall's tau, where the
        optimum cannot be computed, mean ranks are used, and for Bures similarity the mean of
        kernels of equal trace; both are close to it, not exact.

        Parameters
        ----------
        rdms : numpy.ndarray, shape (n_rdms, n_pairs)
            Finite distances.
        pairs : Pairs, optional
            What the columns are; by default all pairs.

        Returns
        -------
        numpy.ndarray, shape (n_pairs,)

        Raises
        ------
        ValueError
            If a value is not finite, or an RDM is constant.
        """


@dataclass(frozen=True, eq=False)
class OneByOne(Comparator):
    """Similarities that are computed in one resample after the other."""

    def resample(
        self,
        models: PreparedRDMs,
        data: PreparedRDMs,
        counts: np.ndarray,
        subjects: Sequence[np.ndarray] = (),
    ) -> tuple[np.ndarray, np.ndarray]:
        """Implement `Comparator.resample`."""
        n_subjects = len(data.rdms)
        scores = np.empty((len(counts), len(models.rdms), n_subjects))
        bounds = np.empty((len(subjects), len(counts), 2, n_subjects))
        for k, row in enumerate(counts):
            if models.pairs.weights(row).sum() < 2.0:  # without two pairs there is no score
                scores[k], bounds[:, k] = np.nan, np.nan
                continue
            scores[k], of_subjects = self._one(models, data, row, [w[k] for w in subjects])
            for q, of_weights in enumerate(of_subjects):
                bounds[q, k] = of_weights
        return scores, bounds

    @abstractmethod
    def _one(
        self,
        models: PreparedRDMs,
        data: PreparedRDMs,
        counts: np.ndarray,
        subjects: Sequence[np.ndarray],
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Scores (M, S) and, for every weighting of the subjects, bounds (2, S) in one resample."""


@dataclass(frozen=True, eq=False)
class OfPairs(Comparator):
    """Similarities that are inner products of RDMs, once their entries are transformed."""

    @abstractmethod
    def units(self, rdms: PreparedRDMs) -> np.ndarray:
        """RDMs on the scale on which the similarity is their inner product, (K, n_pairs)."""

    def vectors(self, rdms: PreparedRDMs) -> np.ndarray | None:
        """Implement `Comparator.vectors`."""
        return self.units(rdms) if rdms.pairs.complete else None

    def permuted_scores(
        self, models: PreparedRDMs, data: PreparedRDMs, orders: np.ndarray
    ) -> np.ndarray:
        """Implement `Comparator.permuted_scores`."""
        if not models.pairs.complete:
            return super().permuted_scores(models, data, orders)
        # A mean of inner products is the inner product with the mean: one RDM to permute.
        units = models.once(f"units {self.name}", lambda: self.units(models))
        mean = data.once(
            f"mean {self.name}",
            lambda: data.pairs.squares(self.units(data).mean(axis=0, keepdims=True))[0],
        )
        orders = np.ascontiguousarray(orders)
        scores = np.zeros((len(orders), len(units)))
        # Some rows of the matrix at a time: those of all permutations fit into memory, and the
        # models are gone through once.
        n_together = max(1, PERMUTED_PAIRS // (len(orders) * models.pairs.n))
        for start in range(0, models.pairs.n - 1, n_together):
            stop = min(start + n_together, models.pairs.n - 1)
            first, end = models.pairs.offsets[[start, stop]] + [start + 1, stop + 1]
            permuted = np.empty((len(orders), end - first))
            compiled(permute_rows)(mean, orders, start, permuted)
            scores += permuted @ units[:, first:end].T
        return scores

    def pool(self, rdms: np.ndarray, pairs: Pairs | None = None) -> np.ndarray:
        """Implement `Comparator.pool`."""
        return np.asarray(self.units(self.prepare(rdms, pairs)).mean(axis=0))


@dataclass(frozen=True, eq=False)
class ByProducts(OneByOne):
    """Similarities that are inner products of RDMs, computed in many resamples at once.

    Pools need no products of their own: theirs follow from those of the RDMs that are pooled.
    """

    block = 256

    def resample(
        self,
        models: PreparedRDMs,
        data: PreparedRDMs,
        counts: np.ndarray,
        subjects: Sequence[np.ndarray] = (),
    ) -> tuple[np.ndarray, np.ndarray]:
        """Implement `Comparator.resample`."""
        if len(counts) < 4 or not self._is_product(models.pairs):
            return super().resample(models, data, counts, subjects)
        if not subjects and len(data.rdms) > SCORED_TOGETHER:
            # Products of the data with each other grow with the square of their number.
            parts = data.once("parts", partial(_parts, data))
            scores = [self.resample(models, part, counts)[0] for part in parts]
            return np.concatenate(scores, axis=2), np.empty((0, len(counts), 2, len(data.rdms)))
        products, poor = self._products(models, data, counts)
        with np.errstate(divide="ignore", invalid="ignore"):
            x_scale = 1.0 / np.sqrt(products.of_x)
            y_scale = 1.0 / np.sqrt(np.einsum("bss->bs", products.of_y))
            scores = products.cross * x_scale[:, :, None] * y_scale[:, None, :]
            r = products.of_y * y_scale[:, :, None] * y_scale[:, None, :]
        bounds = np.empty((len(subjects), len(counts), 2, r.shape[1]))
        for q, weights in enumerate(subjects):
            bounds[q] = _bounds(r, weights)
        for k in np.flatnonzero(poor | (models.pairs.totals(counts) < 2.0)):
            one = counts[k : k + 1], [w[k : k + 1] for w in subjects]
            scores[k : k + 1], bounds[:, k : k + 1] = super().resample(models, data, *one)
        return np.clip(scores, -1.0, 1.0), bounds

    def _is_product(self, pairs: Pairs) -> bool:
        """Return whether `_products` can tell the products over these pairs."""
        return True

    @abstractmethod
    def _products(
        self, models: PreparedRDMs, data: PreparedRDMs, counts: np.ndarray
    ) -> tuple[Products, np.ndarray]:
        """Multiply models with data, and the data with each other.

        Second, (B,), where little but rounding error is left of them.
        """


@dataclass(frozen=True, eq=False)
class Moments(ByProducts, OfPairs):
    """Pearson (centred) and cosine: functions of the distances' first and second moments."""

    def _products(
        self, models: PreparedRDMs, data: PreparedRDMs, counts: np.ndarray
    ) -> tuple[Products, np.ndarray]:
        """Implement `ByProducts._products`."""
        x, y = models.standardised(self.centred)[0], data.standardised(self.centred)[0]
        products, x_sum, y_sum = moments(x, y, models.pairs, counts)
        if not self.centred:
            return products, products.poor(products, 0.0)
        total = np.maximum(models.pairs.totals(counts), 2.0)[:, None]
        centred = Products(
            products.cross - x_sum[:, :, None] * (y_sum / total)[:, None, :],
            products.of_x - x_sum**2 / total,
            products.of_y - y_sum[:, :, None] * (y_sum / total)[:, None, :],
        )
        return centred, centred.poor(products, 1e-6)

    def _one(
        self,
        models: PreparedRDMs,
        data: PreparedRDMs,
        counts: np.ndarray,
        subjects: Sequence[np.ndarray],
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        weights = models.pairs.weights(counts)
        present = np.flatnonzero(weights)
        weights = weights[present]

        def unit(rdms: PreparedRDMs) -> np.ndarray:
            """Rows of which the similarity is the inner product."""
            values, rounding = rdms.standardised(self.centred)
            values = values[:, present]
            if self.centred:
                values = values - (values @ weights / weights.sum())[:, None]
            values = values * np.sqrt(weights)
            norm = np.sqrt(np.einsum("kp,kp->k", values, values))
            # What is left of a constant RDM is the rounding error of its mean, not a variance.
            norm[norm <= rounding * np.sqrt(weights.sum())] = np.nan
            return values / norm[:, None]

        u, v = unit(models), unit(data)
        r = v @ v.T if subjects else np.empty(0)
        return np.clip(u @ v.T, -1.0, 1.0), [_bounds(r, w) for w in subjects]

    def units(self, rdms: PreparedRDMs) -> np.ndarray:
        """Implement `OfPairs.units`."""
        return rdms.standardised(self.centred)[0] / np.sqrt(len(rdms.pairs))


@dataclass(frozen=True, eq=False)
class Ranked(OfPairs):
    """Spearman and rho-a: products of centred mid-ranks.

    Attributes
    ----------
    unbiased_by_ties : bool
        Divide by the variance of untied ranks (rho-a) rather than by the RDMs' own (Spearman).
    """

    unbiased_by_ties: bool = False

    block = 2 * WIDE

    def resample(
        self,
        models: PreparedRDMs,
        data: PreparedRDMs,
        counts: np.ndarray,
        subjects: Sequence[np.ndarray] = (),
    ) -> tuple[np.ndarray, np.ndarray]:
        """Implement `Comparator.resample`."""
        m, s = len(models.rdms), len(data.rdms)
        scores = np.full((len(counts), m, s), np.nan)
        bounds = np.full((len(subjects), len(counts), 2, s), np.nan)
        n_weights = models.pairs.totals(counts)
        scored = np.flatnonzero(n_weights >= 2.0)  # without two pairs there is no score
        together = n_lanes(models.pairs, s)
        for start in range(0, len(scored), together):
            block = scored[start : start + together]
            ranks = LaneRanks.of(data.sorted, models.pairs, counts[block])
            sums = ranks.products(models.sorted)
            scores[block], of_data = self._scores(sums, n_weights[block])
            if not subjects:
                continue
            drawn = np.stack(subjects)[:, block]
            products, squares = pooled_products(ranks, of_data, drawn)
            with np.errstate(divide="ignore", invalid="ignore"):
                of_pools = self.per_length(squares, n_weights[block])
            bounds[:, block] = _lower_and_upper(products * of_pools[..., None], drawn)
        return scores, bounds

    def without_each(
        self, models: PreparedRDMs, data: PreparedRDMs, unit: np.ndarray
    ) -> Callable[[int], np.ndarray] | None:
        """Implement `Comparator.without_each`, for large RDMs."""
        if len(models.pairs) < MANY_PAIRS:
            return None
        left_out = LeftOut.of(models.pairs, unit)
        of_data = [UnitRanks.of(rdm, left_out) for rdm in data.sorted]

        def score(model: int) -> np.ndarray:
            sums = left_out_products(models.sorted[model], of_data, left_out)
            return self._scores(sums, left_out.n_left)[0][:, 0]

        return score

    def _scores(self, sums: RankedProducts, n_weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return scores, (B, M, S), and what the ranks of the data are to be divided by, (B, S)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            of_models, of_data = (
                self.per_length(squares / 4.0, n_weights)
                for squares in (sums.of_models, sums.of_data)
            )
        cross = sums.cross / 4.0 * of_models[:, :, None] * of_data[:, None, :]
        return np.clip(cross, -1.0, 1.0), of_data

    def per_length(self, squares: np.ndarray, n_weights: np.ndarray) -> np.ndarray:
        """Return one over the length of centred ranks: times it, the comparator is their product.

        Parameters
        ----------
        squares : numpy.ndarray, shape (…, K)
            Sums of the squares of the ranks, over the pairs as often as they occur.
        n_weights : numpy.ndarray, shape (…)
            How many pairs there are, as often as they occur.

        Returns
        -------
        numpy.ndarray, shape (…, K)
            NaN where the sum of squares is 0, but for rho-a.
        """
        if self.unbiased_by_ties:
            untied = (n_weights**3 - n_weights)[..., None] / 12.0
            squares = np.broadcast_to(untied, squares.shape)
        return 1.0 / np.sqrt(np.where(squares > 0.0, squares, np.nan))

    def units(self, rdms: PreparedRDMs) -> np.ndarray:
        """Implement `OfPairs.units`."""
        ranks = centred_ranks(rdms.rdms)
        n = len(rdms.pairs)
        if self.unbiased_by_ties:
            ranks *= np.sqrt(12.0 / (float(n) ** 3 - n))
            return ranks
        norm = np.sqrt(np.einsum("kp,kp->k", ranks, ranks))
        norm[norm <= 0.0] = np.nan
        ranks /= norm[:, None]
        return ranks


@dataclass(frozen=True, eq=False)
class Kendall(Comparator):
    """Kendall's tau: concordant minus discordant pairs of distances."""

    variant: Literal["a", "b"] = "a"

    def resample(
        self,
        models: PreparedRDMs,
        data: PreparedRDMs,
        counts: np.ndarray,
        subjects: Sequence[np.ndarray] = (),
    ) -> tuple[np.ndarray, np.ndarray]:
        """Implement `Comparator.resample`."""
        n_subjects = len(data.rdms)
        scores = np.full((len(counts), len(models.rdms), n_subjects), np.nan)
        bounds = np.full((len(subjects), len(counts), 2, n_subjects), np.nan)
        n_weights = models.pairs.totals(counts)
        scored = np.flatnonzero(n_weights >= 2.0)  # without two pairs there is no score
        if len(scored) == 1:  # nothing to do side by side
            weights = models.pairs.weights(counts[scored[0]]).astype(np.int64)
            scores[scored[0]] = kendall(models.ranks, data.ranks, weights, self.variant)
        else:
            for start in range(0, len(scored), LANES):
                block = scored[start : start + LANES]
                compared = agreements(models.sorted, data.ranks, models.pairs, counts[block])
                scores[block] = tau(
                    compared.balance, n_weights[block], compared.of_models, compared.of_data,
                    self.variant,
                )  # fmt: skip
        for k in scored if subjects else ():
            weights = models.pairs.weights(counts[k]).astype(np.int64)
            bounds[:, k] = self._bounds(data, weights, [drawn[k] for drawn in subjects])
        return scores, bounds

    def _bounds(
        self, data: PreparedRDMs, weights: np.ndarray, subjects: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Return both bounds, (Q, 2, S), in a resample; pools have the order of the mean ranks."""
        present = np.flatnonzero(weights)
        ranks = midranks(data.ranks, weights, present) - (weights.sum() + 1.0) / 2.0
        weights = weights[present]
        alone = dense_ranks(ranks)
        # The pool over all is compared with every subject, one over all others with the one.
        asked = np.vstack([np.ones(len(ranks), dtype=bool), np.eye(len(ranks), dtype=bool)])
        scores = np.full((len(subjects), *asked.shape), np.nan)
        for of_pools, of_subjects in zip(scores, subjects, strict=True):
            occur = np.flatnonzero(of_subjects)
            rows = [0, *(occur + 1)]
            pools = dense_ranks(_pools(ranks, of_subjects)[rows])
            of_pools[rows] = kendall(pools, alone, weights, self.variant, asked[rows])
        return _lower_and_upper(scores, np.stack(subjects))

    def pool(self, rdms: np.ndarray, pairs: Pairs | None = None) -> np.ndarray:
        """Implement `Comparator.pool`."""
        prepared = self.prepare(rdms, pairs)
        ones, everywhere = np.ones(len(prepared.pairs)), np.arange(len(prepared.pairs))
        return midranks(prepared.ranks, ones, everywhere).mean(axis=0)


@dataclass(frozen=True, eq=False)
class Whitened(ByProducts):
    """Cosine or correlation after whitening by the covariance of the distances' errors.

    Attributes
    ----------
    sigma_k : numpy.ndarray, shape (n_conditions, n_conditions), optional
        Covariance of the pattern estimates; by default they are independent, of equal variance.
    """

    sigma_k: np.ndarray | None = None

    def _is_product(self, pairs: Pairs) -> bool:
        """Implement `ByProducts._is_product`."""
        return self.sigma_k is None and pairs.complete

    def _products(
        self, models: PreparedRDMs, data: PreparedRDMs, counts: np.ndarray
    ) -> tuple[Products, np.ndarray]:
        """Implement `ByProducts._products`."""
        x, y = (r.once("residuals", partial(Residuals.of, r.squares)) for r in (models, data))
        return resampled_products(x, y, models.pairs, counts, centred=self.centred)

    def products(self, rdms: Sequence[PreparedRDMs], counts: np.ndarray | None) -> np.ndarray:
        """Whitened inner products of all RDMs, shape (K, K), in a resample."""
        return inner_products(
            np.concatenate([r.squares for r in rdms]),
            centred=self.centred,
            counts=counts,
            missing=rdms[0].pairs.missing(),
            sigma_k=self.sigma_k,
        )

    def _one(
        self,
        models: PreparedRDMs,
        data: PreparedRDMs,
        counts: np.ndarray,
        subjects: Sequence[np.ndarray],
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        products = self.products([models, data], None if (counts == 1).all() else counts)
        norm = np.sqrt(np.maximum(products.diagonal(), 0.0))
        norm[norm <= 1e-10 * self.size(models, data)] = np.nan
        r = np.clip(products / np.outer(norm, norm), -1.0, 1.0)
        m = len(models.rdms)
        return r[:m, m:], [_bounds(r[m:, m:], w) for w in subjects]

    def vectors(self, rdms: PreparedRDMs) -> np.ndarray | None:
        """Implement `Comparator.vectors`: None where errors are correlated, too."""
        if self.sigma_k is not None or not rdms.pairs.complete:
            return None
        values = rdms.rdms
        if self.centred:
            values = values - values.mean(axis=1, keepdims=True)
        vectors = double_centred(rdms.pairs.squares(values))
        norm = np.sqrt(np.einsum("kp,kp->k", vectors, vectors))
        norm[norm <= 1e-10 * np.abs(rdms.rdms).max(axis=1)] = np.nan
        vectors /= norm[:, None]
        return vectors

    @staticmethod
    def size(models: PreparedRDMs, data: PreparedRDMs) -> np.ndarray:
        """Largest distance of every RDM: what is smaller by ten digits is rounding error."""
        return np.concatenate([np.abs(r.rdms).max(axis=1) for r in (models, data)])

    def pool(self, rdms: np.ndarray, pairs: Pairs | None = None) -> np.ndarray:
        """Implement `Comparator.pool`."""
        prepared = self.prepare(rdms, pairs)
        values = prepared.rdms
        if self.centred:
            values = values - values.mean(axis=1, keepdims=True)
        lengths = np.sqrt(self.products([prepared], None).diagonal())
        return (values / lengths[:, None]).mean(axis=0)


@dataclass(frozen=True, eq=False)
class Bures(OneByOne):
    """Bures similarity of the kernels that the distances imply."""

    def prepare(
        self,
        rdms: np.ndarray,
        pairs: Pairs | None = None,
        name: str | Sequence[str] = "RDM",
    ) -> PreparedRDMs:
        """Check RDMs, see `Comparator.prepare`."""
        prepared = super().prepare(rdms, pairs, name)
        conditions = prepared.pairs.conditions()
        if len(prepared.pairs) < len(conditions) * (len(conditions) - 1) // 2:
            raise ValueError(
                f"{self.name} compares whole matrices: single pairs cannot be missing, only all "
                "pairs of a condition"
            )
        return prepared

    def _one(
        self,
        models: PreparedRDMs,
        data: PreparedRDMs,
        counts: np.ndarray,
        subjects: Sequence[np.ndarray],
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        present = np.zeros_like(counts)
        present[models.pairs.conditions()] = 1
        counts = counts * present
        bounds = []
        for of_subjects in subjects:
            with np.errstate(divide="ignore", invalid="ignore"):
                units = data.squares / self._traces(data.squares, counts)
            pools = _pools(units, of_subjects)
            bounds.append(_lower_and_upper(bures(pools, data.squares, counts), of_subjects))
        return bures(models.squares, data.squares, counts), bounds

    @staticmethod
    def _traces(squares: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Trace of the kernels, up to a factor: the mean distance of all pairs."""
        return np.einsum("i,kij,j->k", counts, squares, counts)[:, None, None]

    def pool(self, rdms: np.ndarray, pairs: Pairs | None = None) -> np.ndarray:
        """Implement `Comparator.pool`."""
        prepared = self.prepare(rdms, pairs)
        return (prepared.rdms / prepared.rdms.mean(axis=1, keepdims=True)).mean(axis=0)


def _parts(rdms: PreparedRDMs) -> list[PreparedRDMs]:
    """Return RDMs in parts of at most `SCORED_TOGETHER`."""
    starts = range(0, len(rdms.rdms), SCORED_TOGETHER)
    return [PreparedRDMs(rdms.rdms[k : k + SCORED_TOGETHER], rdms.pairs) for k in starts]


def _bounds(r: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Lower and upper bounds, shape (…, 2, S), of subjects whose similarities are inner products.

    The pool is the weighted sum of unit vectors z_s, and r_st = z_s · z_t. A subject that a
    resample leaves without a score (NaN) is in no pool.
    """
    weights = np.where(np.isnan(np.einsum("...ss->...s", r)), 0.0, weights)
    r = np.where(np.isnan(r), 0.0, r)
    with np.errstate(divide="ignore", invalid="ignore"):
        projections = np.einsum("...st,...t->...s", r, weights)
        energy = (weights * projections).sum(axis=-1, keepdims=True)
        others = energy - 2.0 * weights * projections + weights**2
        others = np.where(others > 1e-12 * energy, others, np.nan)
        lower = (projections - weights) / np.sqrt(others)
        upper = projections / np.sqrt(energy)
    both = np.stack([lower, upper], axis=-2)
    return np.where(weights[..., None, :] > 0, np.clip(both, -1.0, 1.0), np.nan)


def _pools(units: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The pool over all subjects, then the pools over all others than each, shape (1 + S, …).

    A subject that a resample leaves without a score (NaN) is in no pool.
    """
    weighted = np.where(np.isnan(units), 0.0, units) * weights.reshape(-1, *[1] * (units.ndim - 1))
    pools = np.empty((1 + len(units), *units.shape[1:]))
    weighted.sum(axis=0, out=pools[0])
    np.subtract(pools[0], weighted, out=pools[1:])
    return pools


def _lower_and_upper(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return bounds, shape (…, 2, S), from the scores (…, 1 + S, S) of the pools."""
    lower = np.diagonal(scores[..., 1:, :], axis1=-2, axis2=-1)
    bounds = np.stack([lower, scores[..., 0, :]], axis=-2)
    occur = weights > 0
    bounds = np.where(occur[..., None, :], np.clip(bounds, -1.0, 1.0), np.nan)
    bounds[..., 0, :][np.count_nonzero(occur, axis=-1) == 1] = np.nan  # there are no others
    return bounds


COMPARATORS: dict[str, Comparator] = {
    c.name: c
    for c in (
        Ranked("spearman", "Spearman ρ"),
        Ranked("rho-a", "ρ-a", unbiased_by_ties=True),
        Moments("pearson", "Pearson r"),
        Moments("cosine", "cosine", centred=False),
        Kendall("tau-a", "Kendall τ-a"),
        Kendall("tau-b", "Kendall τ-b", variant="b"),
        Whitened("whitened-pearson", "whitened r"),
        Whitened("whitened-cosine", "whitened cosine", centred=False),
        Bures("bures", "Bures similarity", centred=False),
    )
}
"""The comparators by name.

`spearman` favours models with tied distances, categories for one; `rho-a`, the expected
Spearman correlation under random tie-breaking, does not (Schütt et al. 2023), and equals it
where nothing is tied. The same holds of `tau-b` and `tau-a`. The whitened ones take into account
that the errors of two distances are correlated where they share a condition (Diedrichsen et al.
2021, arXiv 2007.02789).
"""


def whitened(sigma_k: np.ndarray, *, centred: bool = True) -> Comparator:
    """Make a whitened comparator for patterns whose errors are correlated between conditions.

    Parameters
    ----------
    sigma_k : numpy.ndarray, shape (n_conditions, n_conditions)
        Covariance of the pattern estimates, from a design matrix for one.
    centred : bool
        Correlation rather than cosine.

    Returns
    -------
    Comparator

    References
    ----------
    Diedrichsen et al. 2021, arXiv 2007.02789.
    """
    base = COMPARATORS["whitened-pearson" if centred else "whitened-cosine"]
    assert isinstance(base, Whitened)
    return replace(base, sigma_k=np.asarray(sigma_k, dtype=np.float64))


def choose_comparator(models: RDMs, comparator: str) -> tuple[str, list[str]]:
    """Return the comparator, and a remark where ``auto`` is not Spearman's.

    Ties, as in RDMs of categories, raise Spearman's correlation: with them it is rho-a (Schütt et
    al. 2023, eLife 12:e82566).
    """
    if comparator != "auto":
        return comparator, []
    if not (tied := models.tied):
        return "spearman", []
    return "rho-a", [
        f"Comparator rho-a, since the RDM of {tied[0]} has ties, which raise Spearman's."
    ]


def get_comparator(comparator: str | Comparator) -> Comparator:
    """Find a comparator by its name.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if isinstance(comparator, Comparator):
        return comparator
    if comparator not in COMPARATORS:
        raise ValueError(f"comparator {comparator!r}: expected one of {', '.join(COMPARATORS)}")
    return COMPARATORS[comparator]


def compare(
    a: np.ndarray, b: np.ndarray, comparator: str | Comparator = "spearman"
) -> np.ndarray | float:
    """Compare RDMs with RDMs.

    Parameters
    ----------
    a, b : numpy.ndarray, shape (n_a, n_pairs) and (n_b, n_pairs), or (n_pairs,)
        Condensed RDMs over the same conditions in the same order. A pair that is NaN in any of
        them is left out of all. For ranks, distances nearer than 1e-13 of the largest are tied.
    comparator : str or Comparator
        One of `COMPARATORS`.

    Returns
    -------
    float, or numpy.ndarray of shape (n_a, n_b)
        A number if both are single RDMs.

    Raises
    ------
    ValueError
        If the comparator is unknown, the RDMs differ in size, one is constant or infinite, or too
        few pairs have a distance in all.

    See Also
    --------
    rdm : The RDM of response patterns.
    partial : The same, with other RDMs regressed out.
    probe.inference.evaluate : Scores of models with intervals, tests and a noise ceiling.
    probe.compare : The same from files, as a result that shows and saves itself.

    Examples
    --------
    >>> import numpy as np
    >>> from probe.similarity import compare
    >>> model = np.array([0.1, 0.4, 0.9, 0.3, 0.8, 0.5])
    >>> data = np.array([0.2, 0.3, 0.7, 0.4, 0.9, 0.6])
    >>> round(compare(model, data, "spearman"), 3)
    0.886
    >>> compare(np.stack([model, data]), data[None], "pearson").shape
    (2, 1)
    """
    chosen = get_comparator(comparator)
    first, second = (np.atleast_2d(np.asarray(rdms, dtype=np.float64)) for rdms in (a, b))
    pairs = complete_pairs([first, second])
    one, other = (chosen.prepare(restrict(rdms, pairs), pairs) for rdms in (first, second))
    result = chosen.similarity(one, other)
    return float(result[0, 0]) if np.ndim(a) == np.ndim(b) == 1 else result
