r"""Models with parameters: fitted to the data on some stimuli, scored on others.

A model that is fitted to the data it is scored on profits from their noise, the more so the more
parameters it has. So the stimuli are dealt out to k folds, and each fold is scored with parameters
that were fitted without it; no pair of the one part shares a stimulus with a pair of the other. If
the score is to hold for other subjects too, the subject that is scored has no part in the fit
either (Schütt et al. 2023, eLife 12:e82566).

A fit needs only inner products. Where a comparator is the cosine of an angle between the RDMs
:math:`r_k` of a model and those of the data (after centring, for a correlation, and whitening), the
mean score of the sum :math:`\sum_k \theta_k r_k` over subjects is

.. math::

    f(\theta) = \frac{\theta^T c}{\sqrt{\theta^T G \theta}}, \qquad
    G_{kl} = \langle r_k, r_l \rangle, \quad c_k = \langle r_k, y \rangle,

up to a factor, with y the mean of the subjects' RDMs of length 1. These products are found for all
parts of all resamples at once; no RDM is ever cut out or fitted by itself.

A rank correlation is no such function of the weights, but of the order of the sum, and has no
gradient. There, y are the mean ranks of the subjects' distances, to which the centred distances of
the model are fitted by least squares: the best Pearson correlation with the ranks, **not** the best
rank correlation. For Bures similarity, y is the mean of RDMs of equal trace, and the fit the best
cosine. Scores, and the choice of one RDM out of several, use the comparator itself always.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from probe.inference.walks import nonnegative_weights, products_with_ranks
from probe.similarity import Comparator, get_comparator, n_conditions
from probe.similarity.comparators import Bures, Moments, PreparedRDMs, Ranked, Whitened
from probe.similarity.moments import weights_of_pairs
from probe.similarity.pairs import Pairs, complete_pairs, restrict
from probe.similarity.ranks import ROUNDING, centred_midranks
from probe.similarity.whitening import Residuals, resampled_products

FITS = ("fixed", "selection", "weighted", "interpolation")
"""What can be fitted, see `Model`."""

WIDTH = 8192
"""Pairs whose weights are held at a time."""

ENTRIES = 2**20
"""Values of pairs in several parts that are held at a time."""


@dataclass(frozen=True, eq=False)
class Model:
    """An RDM, or several and a way to make one of them.

    Attributes
    ----------
    rdms : numpy.ndarray, shape (K, n_pairs)
        Its components. NaN for a missing distance.
    fit : {'fixed', 'selection', 'weighted', 'interpolation'}
        - ``'fixed'``: one RDM as it is.
        - ``'selection'``: that one of the RDMs which scores best.
        - ``'weighted'``: their sum with the non-negative weights that score best. Weights that are
          all 0 predict nothing: if no component correlates positively with the data, the best one
          is taken by itself.
        - ``'interpolation'``: the best RDM :math:`(1 - t) r_k + t r_{k+1}` on the way from one
          component to the next, 0 ≤ t ≤ 1. It depends on the scales of the RDMs, unlike a weighted
          sum.

    Raises
    ------
    ValueError
        If the fit is unknown, or the number of RDMs is not one (``'fixed'``) or at least two.
    """

    rdms: np.ndarray
    fit: str = "fixed"

    def __post_init__(self) -> None:
        rdms = np.atleast_2d(np.asarray(self.rdms, dtype=np.float64))
        if self.fit not in FITS:
            raise ValueError(f"fit {self.fit!r}: expected one of {', '.join(FITS)}")
        if rdms.ndim != 2:
            raise ValueError(f"rdms has shape {rdms.shape}: expected (n_rdms, n_pairs)")
        n_conditions(rdms.shape[1])
        if self.fit == "fixed" and len(rdms) != 1:
            raise ValueError(f"rdms has {len(rdms)} RDMs; a model with fit='fixed' has one")
        if self.fit != "fixed" and len(rdms) < 2:
            raise ValueError(
                f"rdms has {len(rdms)} RDM; a model with fit={self.fit!r} has at least two"
            )
        object.__setattr__(self, "rdms", rdms)


def fitted_weights(
    model: Model, data: np.ndarray, comparator: str | Comparator = "spearman"
) -> np.ndarray:
    """Fit a model to all stimuli and subjects: to look at, not to score.

    Parameters
    ----------
    model : Model
    data : numpy.ndarray, shape (S, n_pairs)
        One RDM per subject. A pair that is NaN in any RDM is left out of all.
    comparator : str or Comparator

    Returns
    -------
    numpy.ndarray, shape (K,)
        Weights of the model's RDMs that sum to 1.

    Raises
    ------
    ValueError
        If model and data are not over the same stimuli, or an RDM is constant or infinite.
    """
    chosen = get_comparator(comparator)
    data = np.atleast_2d(np.asarray(data, dtype=np.float64))
    pairs = complete_pairs([model.rdms, data], ["component", "subject"])
    components, subjects = (chosen.prepare(restrict(r, pairs), pairs) for r in (model.rdms, data))
    weights = Fitting([model], components, subjects, chosen).fit(
        np.ones((1, pairs.n), dtype=int), np.ones((1, 1, len(data)))
    )[0, 0]
    total: float = weights.sum()
    return weights / total


@dataclass(frozen=True, eq=False)
class Fitting:
    """Models, data, and the products of their RDMs in parts of the stimuli.

    A part is a vector of counts, like a resample. K components in all, S subjects, T parts.
    """

    models: Sequence[Model]
    components: PreparedRDMs
    data: PreparedRDMs
    comparator: Comparator

    def __post_init__(self) -> None:
        n_components = sum(len(model.rdms) for model in self.models)
        if n_components != len(self.components.rdms):
            raise ValueError(
                f"{len(self.components.rdms)} components are given, and the models have "
                f"{n_components}"
            )

    @cached_property
    def columns(self) -> list[slice]:
        """Where every model's components are."""
        ends = np.cumsum([len(model.rdms) for model in self.models]).tolist()
        return [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]

    @property
    def is_cosine(self) -> bool:
        """Whether the comparator is the cosine of an angle, so that inner products suffice."""
        return isinstance(self.comparator, Moments | Whitened)

    def scores(
        self,
        train: np.ndarray,
        test: np.ndarray,
        subjects: np.ndarray,
        other_subjects: bool,
        bounded: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fit to one part of the stimuli and score on another.

        ``train``, ``test``: (T, n_stimuli). Gives scores (T, M, S) and bounds (T, 2, S). Parts that
        consist of the same stimuli, or nearly so, take the least time together.
        """
        n_parts, n_subjects = len(test), len(self.data.rdms)
        scores = np.full((n_parts, len(self.models), n_subjects), np.nan)
        bounds = np.full((n_parts, 2, n_subjects), np.nan)
        pairs = self.data.pairs
        useful = np.flatnonzero(_has_pairs(pairs, train) & _has_pairs(pairs, test))
        if len(useful) == 0:
            return scores, bounds
        to_fit = self._to_be_fitted(subjects[useful], other_subjects)
        weights = np.empty((*to_fit.shape[:2], len(self.components.rdms)))
        for rows in _alike(train[useful]):
            fitting, counts = self.among(train[useful[rows]])
            weights[rows] = fitting.fit(counts, to_fit[rows])
        for rows in _alike(test[useful]):
            fitting, counts = self.among(test[useful[rows]])
            scores[useful[rows]] = fitting.score(weights[rows], counts)
            if bounded and n_subjects > 1:
                nobody = replace(fitting.components, rdms=fitting.components.rdms[:0])
                bounds[useful[rows]] = fitting.comparator.resample(
                    nobody, fitting.data, counts, [subjects[useful[rows]]]
                )[1][0]
        return scores, bounds

    def permuted_scores(
        self, orders: np.ndarray, train: np.ndarray, test: np.ndarray, other_subjects: bool
    ) -> np.ndarray:
        """Fit and score, (B, T, M, S), with the labels of the data's stimuli permuted.

        ``orders``: (B, n_stimuli), as for `Pairs.permuted`. ``train``, ``test``: (T, n_stimuli), of
        the models' stimuli.
        """
        pairs, shape = self.data.pairs, (len(self.models), len(self.data.rdms))
        scores = np.full((len(orders), len(test), *shape), np.nan)
        useful = _has_pairs(pairs, train) & _has_pairs(pairs, test)
        slow = np.ones(len(orders), dtype=bool)
        if useful.any() and pairs.complete and isinstance(self.comparator, Moments | Ranked):
            to_fit = self._to_be_fitted(np.ones((int(useful.sum()), shape[1])), other_subjects)
            together = self._permuted_moments if self.is_cosine else self._permuted_ranks
            scores[:, useful], slow = together(orders, train[useful], test[useful], to_fit)
        for k in np.flatnonzero(slow):
            everyone = np.ones((len(test), shape[1]))
            scores[k] = self._permuted(orders[k]).scores(
                train, test, everyone, other_subjects, bounded=False
            )[0]
        return scores

    def among(self, counts: np.ndarray) -> tuple[Fitting, np.ndarray]:
        """Leave out all stimuli that occur in no part, (T, n): the rest, and its counts."""
        occurs = np.logical_or.reduce(counts > 0, axis=0)
        if occurs.all():
            return self, counts
        pairs, comparator = self.data.pairs, self.comparator
        kept = np.flatnonzero(occurs[pairs.i] & occurs[pairs.j])
        number = np.cumsum(occurs) - 1
        rest = Pairs(int(occurs.sum()), number[pairs.i[kept]], number[pairs.j[kept]])
        # What is tied is so among all stimuli.
        data = self.data.rdms if self._needs_values else self.data.ranks.astype(np.float64)
        if isinstance(comparator, Whitened) and comparator.sigma_k is not None:
            sigma_k = np.asarray(comparator.sigma_k)
            sigma_k = sigma_k[occurs] if sigma_k.ndim == 1 else sigma_k[np.ix_(occurs, occurs)]
            comparator = replace(comparator, sigma_k=sigma_k)
        fitting = Fitting(
            self.models,
            PreparedRDMs(self.components.rdms[:, kept], rest),
            PreparedRDMs(data[:, kept], rest),
            comparator,
        )
        known = vars(fitting)
        if not isinstance(comparator, Whitened):
            values, rounding = self._values
            known["_values"] = values[:, kept], rounding
        if not self._needs_values:
            position = np.full(len(pairs), -1)
            position[kept] = np.arange(len(kept))
            known["_ordered"] = []
            for (order, _), ranks in zip(self._ordered, self.data.ranks, strict=True):
                order = order[position[order] >= 0]
                known["_ordered"].append((position[order], np.diff(ranks[order], prepend=-1) == 0))
        return fitting, counts[:, occurs]

    @property
    def _needs_values(self) -> bool:
        """Whether the comparator needs the distances, rather than their order."""
        return self.is_cosine or isinstance(self.comparator, Bures)

    @cached_property
    def _ordered(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The pairs in the order of every subject's distances, and which are tied with the last."""
        orders = [np.argsort(ranks, kind="stable") for ranks in self.data.ranks]
        return [
            (order, np.diff(ranks[order], prepend=-1) == 0)
            for order, ranks in zip(orders, self.data.ranks, strict=True)
        ]

    @staticmethod
    def _to_be_fitted(subjects: np.ndarray, other_subjects: bool) -> np.ndarray:
        """Weigh every subject, (T, F, S): for all alike, or for each the others."""
        n_subjects = subjects.shape[1]
        others: np.ndarray = subjects[:, None] * (
            1.0 - np.eye(n_subjects) if other_subjects else np.ones((1, n_subjects))
        )
        return others

    def fit(self, counts: np.ndarray, subjects: np.ndarray) -> np.ndarray:
        """Fit every model to every weighting of the subjects, (T, F, S): weights (T, F, K).

        NaN where there is nothing to fit, or to fit to.
        """
        if all(model.fit == "fixed" for model in self.models):
            return np.ones((*subjects.shape[:2], len(self.components.rdms)))

        def scores(columns: slice) -> np.ndarray:
            some = replace(self.components, rdms=self.components.rdms[columns])
            return self.comparator.resample(some, self.data, counts)[0]

        return self._fit(*self._to_fit(counts), subjects, scores)

    def _fit(
        self,
        gram: np.ndarray,
        cross: np.ndarray,
        defined: np.ndarray,
        subjects: np.ndarray,
        scores: Callable[[slice], np.ndarray],
    ) -> np.ndarray:
        """Fit every model, given the products of `_to_fit`.

        ``scores`` gives those of some components, (T, k, S), where they do not follow.
        """
        weights = np.ones((*subjects.shape[:2], len(self.components.rdms)))
        cross = subjects @ cross.swapaxes(1, 2)
        possible = np.einsum("ts,tfs->tf", defined, subjects) > 0.0
        for model, columns in zip(self.models, self.columns, strict=True):
            if model.fit == "fixed":
                continue
            g, c = gram[:, columns, columns], cross[:, :, columns]
            if model.fit == "weighted":
                fitted = _weigh(g, c)
            elif model.fit == "interpolation":
                fitted = _interpolate(g, c)
            elif self.is_cosine:
                fitted = _best(c / _lengths(g)[:, None])
            else:
                by_subject = scores(columns)
                total = np.einsum("tks,tfs->tfk", np.nan_to_num(by_subject), subjects)
                known = np.isfinite(by_subject).any(axis=2) & np.isfinite(_lengths(g))
                fitted = _best(np.where(known[:, None], total, np.nan))
            weights[:, :, columns] = np.where(possible[:, :, None], fitted, np.nan)
        return weights

    def score(self, weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Score sums of components, weights (T, F, K), in parts of the stimuli: (T, M, S).

        F is 1, or S for the fit that each subject is scored with.
        """
        if self.is_cosine:
            return self._cosines(weights, self._products(counts))
        if not isinstance(self.comparator, Ranked):
            return self._scores_of_sums(weights, counts)
        scores = np.empty((len(counts), len(self.models), len(self.data.rdms)))
        rows = max(1, ENTRIES // len(self.data.pairs))
        for start in range(0, len(counts), rows):
            part = slice(start, start + rows)
            of_pairs = self.data.pairs.weights(counts[part])
            scores[part] = self._ranked_scores(weights[part], self.data.ranks[None], of_pairs)
        return scores

    def _cosines(self, weights: np.ndarray, products: np.ndarray) -> np.ndarray:
        """Score sums of components, given the products of all RDMs in every part."""
        n = len(self.components.rdms)
        lengths = np.sqrt(np.einsum("tkk->tk", products))
        with np.errstate(divide="ignore", invalid="ignore"):
            cross = products[:, :n, n:] / lengths[:, None, n:]
        scores = np.empty((len(products), len(self.models), len(self.data.rdms)))
        for m, columns in enumerate(self.columns):
            w = weights[:, :, columns]
            energy = (w @ products[:, columns, columns] * w).sum(axis=2)
            # What is left of a sum that cancels is rounding error.
            most = np.einsum("tfk,tk->tf", np.abs(w), lengths[:, columns]) ** 2
            energy[~(energy > 1e-13 * most)] = np.nan
            of_fits = w @ cross[:, columns] / np.sqrt(energy)[:, :, None]
            scores[:, m] = _own(of_fits)
        return np.clip(scores, -1.0, 1.0)

    def _ranked_scores(
        self, weights: np.ndarray, data: np.ndarray, of_pairs: np.ndarray
    ) -> np.ndarray:
        """Score sums of components, weights (T, F, K), by their ranks: (T, M, S).

        ``data``: (T, S, n_pairs), or (1, S, n_pairs) for the same in all parts. ``of_pairs``: how
        often every pair occurs, (T, n_pairs) or (1, n_pairs).
        """
        of_data = self._unit_ranks(data, of_pairs).swapaxes(1, 2)
        scores = np.empty((len(weights), len(self.models), of_data.shape[2]))
        fixed = [m for m, model in enumerate(self.models) if model.fit == "fixed"]
        if fixed:
            rows = [self.columns[m].start for m in fixed]
            alone = self._unit_ranks(self.components.rdms[None, rows], of_pairs)
            scores[:, fixed] = (alone * of_pairs[:, None]) @ of_data
        for m in sorted(set(range(len(self.models))) - set(fixed)):
            w = weights[:, :, self.columns[m]]
            sums = np.nan_to_num(w) @ self.components.rdms[self.columns[m]]
            of_fits = (self._unit_ranks(sums, of_pairs) * of_pairs[:, None]) @ of_data
            unknown = ~np.isfinite(w).all(axis=2)
            scores[:, m] = _own(np.where(unknown[:, :, None], np.nan, of_fits))
        return np.clip(scores, -1.0, 1.0)

    def _unit_ranks(self, values: np.ndarray, of_pairs: np.ndarray) -> np.ndarray:
        """Rank on the scale on which the comparator is the product, NaN where all tie."""
        assert isinstance(self.comparator, Ranked)
        ranks, squares = centred_midranks(values, of_pairs)
        ranks *= self.comparator.per_length(squares, of_pairs.sum(axis=1))[:, :, None]
        return ranks

    def _scores_of_sums(self, weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Score sums that are written out, for comparators that need more than their ranks."""
        scores = np.full((len(counts), len(self.models), len(self.data.rdms)), np.nan)
        fixed = [m for m, model in enumerate(self.models) if model.fit == "fixed"]
        others = [m for m in range(len(self.models)) if m not in fixed]
        if fixed:
            rows = [self.columns[m].start for m in fixed]
            alone = replace(self.components, rdms=self.components.rdms[rows])
            scores[:, fixed] = self.comparator.resample(alone, self.data, counts)[0]
        n_fits = weights.shape[1]
        own = [replace(self.data, rdms=self.data.rdms[f : f + 1]) for f in range(n_fits)]
        by_model = np.zeros((n_fits, len(others), weights.shape[2]))
        for t, row in enumerate(counts):
            for q, m in enumerate(others):
                by_model[:, q, self.columns[m]] = weights[t, :, self.columns[m]]
            fitted = np.logical_and.reduce(np.isfinite(by_model), axis=2)
            for f in range(n_fits):
                if not fitted[f].any():
                    continue
                sums = PreparedRDMs(by_model[f, fitted[f]] @ self.components.rdms, self.data.pairs)
                known = [m for q, m in enumerate(others) if fitted[f, q]]
                if n_fits == 1:
                    scores[t, known] = self.comparator.similarity(sums, self.data, row)
                else:
                    scores[t, known, f] = self.comparator.similarity(sums, own[f], row)[:, 0]
        return scores

    def _permuted(self, order: np.ndarray) -> Fitting:
        """Return the same with the labels of the data's stimuli permuted."""
        positions = self.data.pairs.permuted(order)
        components, data = self.components, replace(self.data, rdms=self.data.rdms[:, positions])
        if (positions < 0).any():  # a pair whose distance would be a missing one
            present = np.flatnonzero(positions >= 0)
            pairs = self.data.pairs.take(present)
            components, data = (PreparedRDMs(r.rdms[:, present], pairs) for r in (components, data))
        elif not self._needs_values:
            vars(data)["ranks"] = self.data.ranks[:, positions]  # no need to sort again
        return Fitting(self.models, components, data, self.comparator)

    def _permuted_moments(
        self, orders: np.ndarray, train: np.ndarray, test: np.ndarray, subjects: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return scores (B, T, M, S), and for which permutations they are not precise, (B,).

        What changes are the data's products with the components, which are one matrix product:
        weights of all pairs in all parts, and products of their values in all permutations.
        """
        pairs, counts = self.data.pairs, np.concatenate([train, test])
        n, n_subjects, n_parts = len(self.components.rdms), len(self.data.rdms), len(counts)
        x, y = np.split(self._values[0], [n])
        positions = np.stack([pairs.permuted(order) for order in orders])
        mixed = np.zeros((len(orders), n_subjects, n + 2, n_parts))
        sums = np.zeros((n + 1, n_parts))
        by_condition = np.ascontiguousarray(counts.T, dtype=np.float64)
        width = max(64, ENTRIES // (len(orders) * n_subjects * (n + 2)))
        for start in range(0, len(pairs), width):
            part = slice(start, start + width)
            weights = weights_of_pairs(pairs.i[part], pairs.j[part], by_condition)
            u, v = x[:, part], y[:, positions[:, part]].swapaxes(0, 1)[:, :, None]
            factors = np.concatenate(
                [np.broadcast_to(u, (*v.shape[:2], *u.shape)), v, np.ones_like(v)], axis=2
            )
            factors *= v
            mixed += (factors.reshape(-1, u.shape[1]) @ weights).reshape(mixed.shape)
            sums += np.concatenate([u, np.ones((1, u.shape[1]))]) @ weights
        cross: np.ndarray = mixed[:, :, :n]
        squares: np.ndarray = mixed[:, :, n]
        energy = squares
        if self.comparator.centred:
            means = mixed[:, :, n + 1] / sums[n]
            cross = cross - sums[:n] * means[:, :, None]
            squares = squares - mixed[:, :, n + 1] * means
        poor = np.logical_or.reduce(squares <= 1e-6 * energy, axis=(1, 2))
        products = np.zeros((len(orders), n_parts, n + n_subjects, n + n_subjects))
        products[:] = self._products(counts)
        of_components = np.einsum("tkk->tk", products[0])[:, :n]
        cross = np.where(of_components[:, :, None] > 0.0, cross.transpose(0, 3, 2, 1), 0.0)
        products[:, :, :n, n:], products[:, :, n:, :n] = cross, cross.swapaxes(2, 3)
        s = np.arange(n, n + n_subjects)
        products[:, :, s, s] = np.where(poor[:, None, None], 1.0, squares.swapaxes(1, 2))
        in_train, in_test = (
            part.reshape(-1, *part.shape[2:]) for part in np.split(products, 2, axis=1)
        )
        weights = self._fit(
            *self._of_cosines(in_train), np.tile(subjects, (len(orders), 1, 1)), self._not_needed
        )
        scores = self._cosines(weights, in_test)
        return scores.reshape(len(orders), len(test), *scores.shape[1:]), poor

    @staticmethod
    def _not_needed(columns: slice) -> np.ndarray:
        raise AssertionError("scores of components follow from their products")

    def _permuted_ranks(
        self, orders: np.ndarray, train: np.ndarray, test: np.ndarray, subjects: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what `_permuted_moments` does: the pairs of the data are walked in order.

        The products of the components, and their ranks, are the same in all permutations.
        """
        comparator = self.comparator
        assert isinstance(comparator, Ranked)
        pairs, rdms = self.data.pairs, self.components.rdms
        n_orders, n_parts, n_subjects = len(orders), len(train), len(self.data.rdms)
        shape = n_orders, n_parts

        def walk(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            """Return products with the subjects' ranks, (B, T, k, S), and the squares of these."""
            products = np.empty((n_orders, len(counts), values.shape[1], n_subjects))
            squares = np.empty((n_orders, len(counts), n_subjects))
            for b, order in enumerate(orders):
                inverse = np.argsort(order)  # where a stimulus of the data has come to
                positions = pairs.permuted(inverse)
                first, second = inverse[pairs.i], inverse[pairs.j]
                for s, (ordered, tied) in enumerate(self._ordered):
                    products[b, :, :, s], squares[b, :, s] = products_with_ranks(
                        first[ordered], second[ordered], positions[ordered], tied, counts, values
                    )
            return products, squares

        def flat(array: np.ndarray) -> np.ndarray:
            """Reshape an array (B, T, …) to (B · T, …)."""
            return array.reshape(-1, *array.shape[2:])

        def scores_of(columns: slice) -> np.ndarray:
            """Score some components on the parts that are fitted, (B · T, k, S)."""
            k = columns.stop - columns.start
            scores = np.empty((*shape, k, n_subjects))
            rows = max(1, 4 * ENTRIES // (k * len(pairs)))
            for start in range(0, n_parts, rows):
                part = slice(start, start + rows)
                of_pairs = pairs.weights(train[part])
                ranks = self._unit_ranks(rdms[None, columns], of_pairs)
                products, squares = walk(ranks.transpose(2, 1, 0), train[part])
                per_length = comparator.per_length(
                    squares, np.tile(of_pairs.sum(axis=1), (n_orders, 1))
                )
                scores[:, part] = np.clip(products * per_length[:, :, None], -1.0, 1.0)
            return flat(scores)

        gram = self._products(train)
        cross, squares = walk(self._values[0].T[:, :, None], train)
        cross[:, np.einsum("tkk->tk", gram) == 0.0] = 0.0
        weights = self._fit(
            np.tile(gram, (n_orders, 1, 1)), flat(cross), flat(squares > 0.0),
            np.tile(subjects, (n_orders, 1, 1)), scores_of,
        ).reshape(*shape, -1, len(rdms))  # fmt: skip
        scores = np.empty((*shape, len(self.models), n_subjects))
        positions = np.stack([pairs.permuted(order) for order in orders])
        for t, row in enumerate(test):
            fitting, counts = self.among(row[None])
            test_pairs = np.flatnonzero(pairs.weights(row[None])[0])
            of_pairs = fitting.data.pairs.weights(counts)
            data = self.data.ranks[:, positions[:, test_pairs]].swapaxes(0, 1)
            scores[:, t] = fitting._ranked_scores(weights[:, t], data, of_pairs)
        return scores, np.zeros(n_orders, dtype=bool)

    def _of_cosines(self, products: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what `_to_fit` does, from the products of all RDMs."""
        n = len(self.components.rdms)
        lengths = np.sqrt(np.einsum("tss->ts", products[:, n:, n:]))
        defined = lengths > 0.0
        cross = products[:, :n, n:] / np.where(defined, lengths, 1.0)[:, None]
        return products[:, :n, :n], cross, defined

    def _to_fit(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Multiply components, (T, K, K), and these with subjects as they are pooled, (T, K, S).

        Last, whether a subject has something to say, (T, S): its products are 0 otherwise.
        """
        products, n = self._products(counts), len(self.components.rdms)
        if self.is_cosine:
            return self._of_cosines(products)
        cross = np.empty((len(counts), n, len(self.data.rdms)))
        defined = np.empty((len(counts), len(self.data.rdms)), dtype=bool)
        pairs = self.data.pairs
        if isinstance(self.comparator, Bures):
            for t, of_pairs in enumerate(pairs.weights(counts)):
                pooled = self.data.rdms * of_pairs
                trace = pooled.sum(axis=1)
                defined[t] = trace > 0.0
                pooled /= np.where(defined[t], trace, np.inf)[:, None]
                cross[t] = self._values[0] @ pooled.T
        else:
            values = self._values[0].T[:, :, None]
            for s, (order, tied) in enumerate(self._ordered):
                cross[:, :, s], squares = products_with_ranks(
                    pairs.i[order], pairs.j[order], order, tied, counts, values
                )
                defined[:, s] = squares > 0.0
        cross[np.einsum("tkk->tk", products) == 0.0] = 0.0
        return products, cross, defined

    @cached_property
    def _values(self) -> tuple[np.ndarray, np.ndarray]:
        """RDMs whose products are wanted, without mean if centred, and of a common size.

        Digits are lost in the moments of a part where the mean is large; here it is gone. The
        components of a model keep their relative scales. Those of the subjects follow where their
        products are wanted. Second, below which difference two values are tied.
        """
        values = [self.components.rdms[columns] for columns in self.columns]
        if self.is_cosine:
            values.extend(self.data.rdms[:, None])
        largest = np.concatenate([np.abs(rdms).max(axis=1) for rdms in values])
        if self.comparator.centred:
            values = [rdms - rdms.mean(axis=1, keepdims=True) for rdms in values]
        scales = np.concatenate([np.full(len(rdms), np.sqrt(np.mean(rdms**2))) for rdms in values])
        return np.concatenate(values) / scales[:, None], ROUNDING * largest / scales

    @cached_property
    def _needed(self) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of RDMs whose product is read: of one model, and any and a subject."""
        n, total = len(self.components.rdms), len(self._values[0])
        needed = np.eye(total, dtype=bool)
        needed[:n, n:] = True  # but not of two subjects
        for columns in self.columns:
            needed[columns, columns] = True
        first, second = np.nonzero(np.triu(needed))
        return first, second

    def _products(self, counts: np.ndarray) -> np.ndarray:
        """Compute inner products in parts of the stimuli, (T, K, K) or (T, K + S, K + S).

        Exactly 0 for an RDM that is constant there.
        """
        if isinstance(self.comparator, Whitened):
            both = [self.components, self.data]
            n = len(self.components.rdms) + len(self.data.rdms)
            products, poor = np.empty((len(counts), n, n)), np.ones(len(counts), dtype=bool)
            if self.comparator.sigma_k is None and self.data.pairs.complete:
                squares = np.concatenate([rdms.squares for rdms in both])
                nobody, everybody = Residuals.of(squares[:0]), Residuals.of(squares)
                together, poor = resampled_products(
                    nobody, everybody, self.data.pairs, counts, centred=self.comparator.centred
                )
                products[:] = together.of_y
            for t in np.flatnonzero(poor):
                row = counts[t]
                products[t] = self.comparator.products(both, None if (row == 1).all() else row)
            least = (1e-10 * self.comparator.size(*both)) ** 2
            return _without(products, np.einsum("tkk->tk", products) <= least)
        if len(counts) < 4:
            return np.stack([self._one_product(row) for row in counts])
        return self._many_products(counts)

    def _many_products(self, counts: np.ndarray) -> np.ndarray:
        """Compute inner products in many parts: weights of all pairs times products of values."""
        values, pairs = self._values[0], self.data.pairs
        first, second = self._needed
        n = len(values)
        moments = np.zeros((len(first) + n + 1, len(counts)))
        by_condition = np.ascontiguousarray(counts.T, dtype=np.float64)
        for start in range(0, len(pairs), WIDTH):
            part = slice(start, start + WIDTH)
            weights = weights_of_pairs(pairs.i[part], pairs.j[part], by_condition)
            v = values[:, part]
            moments += np.concatenate([v[first] * v[second], v, np.ones((1, v.shape[1]))]) @ weights
        inner, sums = moments[: len(first)], moments[len(first) : -1]
        energy = inner[first == second]
        if self.comparator.centred:
            inner = inner - sums[first] * sums[second] / moments[-1]
        products = np.zeros((len(counts), n, n))
        products[:, first, second] = products[:, second, first] = inner.T
        # Little is left of these variances but rounding error: take another way there.
        poor = (np.einsum("tkk->kt", products) <= 1e-6 * energy).any(axis=0)
        for t in np.flatnonzero(poor):
            products[t] = self._one_product(counts[t])
        return products

    def _one_product(self, counts: np.ndarray) -> np.ndarray:
        """Compute inner products in one part, from its pairs only, whatever their variances."""
        values, rounding = self._values
        weights = self.data.pairs.weights(counts)
        present = np.flatnonzero(weights)
        weights = weights[present]
        values = values[:, present]
        if self.comparator.centred:
            values = values - (values @ weights / weights.sum())[:, None]
        values = values * np.sqrt(weights)
        products = values @ values.T
        constant = products.diagonal() <= rounding**2 * weights.sum()
        return _without(products[None], constant[None])[0]


def _without(products: np.ndarray, constant: np.ndarray) -> np.ndarray:
    """Set rows and columns (T, K) of products (T, K, K) to 0."""
    return np.where(constant[:, :, None] | constant[:, None, :], 0.0, products)


def _lengths(gram: np.ndarray) -> np.ndarray:
    """Return the lengths of components (T, K); NaN for one that is constant."""
    squares = np.einsum("tkk->tk", gram)
    return np.sqrt(np.where(squares > 0.0, squares, np.nan))


def _best(scores: np.ndarray) -> np.ndarray:
    """Weigh the best of scores (…, K) 1, the first of equals; NaN if there is no score."""
    best = np.where(np.isnan(scores), -np.inf, scores).argmax(axis=-1)
    chosen: np.ndarray = (best[..., None] == np.arange(scores.shape[-1])).astype(float)
    return np.where(np.isnan(scores).all(axis=-1, keepdims=True), np.nan, chosen)


def _weigh(gram: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """Fit non-negative weights (T, F, K), from products (T, K, K) and (T, F, K).

    The weights of least squares, which are those of the largest cosine if any cosine is positive.
    """
    lengths = _lengths(gram)
    inverse = np.nan_to_num(1.0 / lengths)
    unit = gram * inverse[:, :, None] * inverse[:, None, :]
    cosines = cross / lengths[:, None]  # up to a factor
    of_unit = np.nan_to_num(cosines)
    largest = np.abs(of_unit).max(axis=2, keepdims=True)
    of_unit /= np.where(largest > 0.0, largest, 1.0)
    weights = _best(cosines)
    # Where no cosine is positive, the best component by itself remains.
    fitted = nonnegative_weights(unit, of_unit)
    return np.where(fitted.any(axis=2, keepdims=True), fitted * inverse[:, None], weights)


def _interpolate(gram: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """Fit weights (T, F, K) of two successive components, 1 − t and t."""
    n = gram.shape[-1]
    squares = np.einsum("tkk->tk", gram)
    between = np.einsum("tkk->tk", gram[:, :-1, 1:])[:, None]
    of_first, of_second = squares[:, None, :-1], squares[:, None, 1:]
    p, q = cross[:, :, :-1], cross[:, :, 1:]
    # The cosine has its maximum at G⁻¹c, if that lies between the two; else at one of them.
    u, v = of_second * p - between * q, of_first * q - between * p
    inside = (u > 0.0) & (v > 0.0)
    t = np.where(inside, v / np.where(inside, u + v, 1.0), 0.0)
    energy = (1.0 - t) ** 2 * of_first + 2.0 * t * (1.0 - t) * between + t**2 * of_second
    inside &= energy > 0.0
    value = ((1.0 - t) * p + t * q) / np.sqrt(np.where(inside, energy, np.inf))
    value = np.concatenate(
        [cross / _lengths(gram)[:, None], np.where(inside, value, np.nan)], axis=2
    )
    # The components, then the best between each two of them.
    candidates = np.zeros((*t.shape[:2], 2 * n - 1, n))
    candidates[:, :, np.arange(n), np.arange(n)] = 1.0
    k = np.arange(n - 1)
    candidates[:, :, n + k, k], candidates[:, :, n + k, k + 1] = 1.0 - t, t
    return np.einsum("tfc,tfck->tfk", _best(value), candidates)


def _alike(counts: np.ndarray) -> list[slice]:
    """Say which parts (T, n) to work on together: all, unless most stimuli are in few of them."""
    occurs = counts > 0
    if occurs.any(axis=0).sum() <= 2.0 * occurs.sum(axis=1).mean():
        return [slice(None)]
    return [slice(t, t + 1) for t in range(len(counts))]


def _own(of_fits: np.ndarray) -> np.ndarray:
    """Return scores (T, S) of every subject with its own fit, from those of all (T, F, S)."""
    return of_fits[:, 0] if of_fits.shape[1] == 1 else np.einsum("tss->ts", of_fits)


def _has_pairs(pairs: Pairs, counts: np.ndarray) -> np.ndarray:
    """Return in which parts, counts (T, n), at least three pairs have a distance."""
    present = counts > 0
    if pairs.complete:
        enough: np.ndarray = present.sum(axis=1) >= 3
        return enough
    return np.array([(row[pairs.i] & row[pairs.j]).sum() >= 3 for row in present], dtype=bool)
