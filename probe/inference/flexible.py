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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.optimize import nnls

from probe.similarity import Comparator, get_comparator, n_conditions
from probe.similarity.comparators import Bures, Moments, PreparedRDMs, Whitened
from probe.similarity.pairs import Pairs, complete_pairs, restrict
from probe.similarity.ranks import ROUNDING, midranks

FITS = ("fixed", "selection", "weighted", "interpolation")
"""What can be fitted, see `Model`."""

WIDTH = 8192
"""Pairs whose weights are held at a time."""


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

        ``train``, ``test``: (T, n_stimuli). Gives scores (T, M, S) and bounds (T, 2, S).
        """
        n_parts, n_subjects = len(test), len(self.data.rdms)
        scores = np.full((n_parts, len(self.models), n_subjects), np.nan)
        bounds = np.full((n_parts, 2, n_subjects), np.nan)
        pairs = self.data.pairs
        useful = np.flatnonzero(_has_pairs(pairs, train) & _has_pairs(pairs, test))
        if len(useful):
            train, test, subjects = train[useful], test[useful], subjects[useful]
            to_fit = subjects[:, None] * (1.0 - np.eye(n_subjects) if other_subjects else 1.0)
            scores[useful] = self.score(self.fit(train, to_fit), test)
            if bounded and n_subjects > 1:
                nobody = replace(self.components, rdms=self.components.rdms[:0])
                bounds[useful] = self.comparator.resample(nobody, self.data, test, [subjects])[1][0]
        return scores, bounds

    def fit(self, counts: np.ndarray, subjects: np.ndarray) -> np.ndarray:
        """Fit every model to every weighting of the subjects, (T, F, S): weights (T, F, K).

        NaN where there is nothing to fit, or to fit to.
        """
        n_parts, n_fits, _ = subjects.shape
        weights = np.ones((n_parts, n_fits, len(self.components.rdms)))
        if all(model.fit == "fixed" for model in self.models):
            return weights
        gram, cross, defined = self._to_fit(counts)
        cross = np.einsum("tks,tfs->tfk", cross, subjects)
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
                scores = self._sums_of_scores(columns, counts, subjects)
                fitted = _best(np.where(np.isnan(_lengths(g))[:, None], np.nan, scores))
            weights[:, :, columns] = np.where(possible[:, :, None], fitted, np.nan)
        return weights

    def score(self, weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Score sums of components, weights (T, F, K), in parts of the stimuli: (T, M, S).

        F is 1, or S for the fit that each subject is scored with.
        """
        if not self.is_cosine:
            return self._scores_of_sums(weights, counts)
        products, n = self._products(counts), len(self.components.rdms)
        lengths = np.sqrt(np.einsum("tkk->tk", products))
        with np.errstate(divide="ignore", invalid="ignore"):
            cross = products[:, :n, n:] / lengths[:, None, n:]
        scores = np.empty((len(counts), len(self.models), len(self.data.rdms)))
        for m, columns in enumerate(self.columns):
            w = weights[:, :, columns]
            energy = (w @ products[:, columns, columns] * w).sum(axis=2)
            # What is left of a sum that cancels is rounding error.
            most = np.einsum("tfk,tk->tf", np.abs(w), lengths[:, columns]) ** 2
            energy[~(energy > 1e-13 * most)] = np.nan
            of_fits = w @ cross[:, columns] / np.sqrt(energy)[:, :, None]
            scores[:, m] = _own(of_fits)
        return np.clip(scores, -1.0, 1.0)

    def _scores_of_sums(self, weights: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Score sums that are written out, for comparators that need their order or kernel."""
        n_models, n_subjects = len(self.models), len(self.data.rdms)
        scores = np.full((len(counts), n_models, n_subjects), np.nan)
        n_fits = weights.shape[1]
        by_model = np.zeros((n_fits, n_models, weights.shape[2]))
        for t, row in enumerate(counts):
            present = np.flatnonzero(self.data.pairs.weights(row))
            pairs = self.data.pairs.take(present)
            components, data = (r.rdms[:, present] for r in (self.components, self.data))
            for m, columns in enumerate(self.columns):
                by_model[:, m, columns] = weights[t, :, columns]
            fitted = np.logical_and.reduce(np.isfinite(by_model), axis=2)
            for f in range(n_fits):
                sums = PreparedRDMs(by_model[f, fitted[f]] @ components, pairs)
                scored = slice(f, f + 1) if n_fits > 1 else slice(None)
                if fitted[f].any():
                    scores[t, fitted[f], scored] = self.comparator.similarity(
                        sums, PreparedRDMs(data[scored], pairs), row
                    )
        return scores

    def _sums_of_scores(
        self, columns: slice, counts: np.ndarray, subjects: np.ndarray
    ) -> np.ndarray:
        """Scores of some components, summed over subjects, (T, F, k)."""
        some = replace(self.components, rdms=self.components.rdms[columns])
        scores = self.comparator.resample(some, self.data, counts)[0]
        total = np.einsum("tks,tfs->tfk", np.nan_to_num(scores), subjects)
        return np.where(np.isfinite(scores).any(axis=2)[:, None], total, np.nan)

    def _to_fit(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Products of components, (T, K, K), and with the subjects as they are pooled, (T, K, S).

        Last, whether a subject has something to say, (T, S): its products are 0 otherwise.
        """
        products, n = self._products(counts), len(self.components.rdms)
        gram = products[:, :n, :n]
        if self.is_cosine:
            lengths = np.sqrt(np.einsum("tss->ts", products[:, n:, n:]))
            defined = lengths > 0.0
            return gram, products[:, :n, n:] / np.where(defined, lengths, 1.0)[:, None], defined
        cross = np.empty((len(counts), n, len(self.data.rdms)))
        defined = np.empty((len(counts), len(self.data.rdms)), dtype=bool)
        for t, row in enumerate(counts):
            weights = self.data.pairs.weights(row)
            if isinstance(self.comparator, Bures):
                pooled = self.data.rdms * weights
                trace = pooled.sum(axis=1)
                defined[t] = trace > 0.0
                pooled /= np.where(defined[t], trace, np.inf)[:, None]
            else:
                present = np.flatnonzero(weights)
                ranks = midranks(self.data.ranks, weights, present) - (weights.sum() + 1.0) / 2.0
                defined[t] = ranks.any(axis=1)
                pooled = np.zeros_like(self.data.rdms)
                pooled[:, present] = ranks * weights[present]
            cross[t] = self._values[0] @ pooled.T
        cross[np.einsum("tkk->tk", gram) == 0.0] = 0.0
        return gram, cross, defined

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
    def _wanted(self) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of RDMs whose product is read: of one model, and any and a subject."""
        n, total = len(self.components.rdms), len(self._values[0])
        needed = np.eye(total, dtype=bool)
        needed[:n, n:] = True  # but not of two subjects
        for columns in self.columns:
            needed[columns, columns] = True
        first, second = np.nonzero(np.triu(needed))
        return first, second

    def _products(self, counts: np.ndarray) -> np.ndarray:
        """Inner products in parts of the stimuli, (T, K, K) or (T, K + S, K + S).

        Exactly 0 for an RDM that is constant there.
        """
        if isinstance(self.comparator, Whitened):
            both = [self.components, self.data]
            products = np.stack([
                self.comparator.products(both, None if (row == 1).all() else row)
                for row in counts
            ])  # fmt: skip
            least = (1e-10 * self.comparator.size(*both)) ** 2
            return _without(products, np.einsum("tkk->tk", products) <= least)
        products = np.empty((len(counts), *2 * [len(self._values[0])]))
        small = 4 * (counts > 0).sum(axis=1) <= self.data.pairs.n
        if len(counts) < 4:
            small[:] = True
        if not small.all():
            products[~small] = self._many_products(counts[~small])
        for t in np.flatnonzero(small):
            products[t] = self._one_product(counts[t])
        return products

    def _many_products(self, counts: np.ndarray) -> np.ndarray:
        """Inner products in many parts, W Z: weights of all pairs and products of their values."""
        values, pairs = self._values[0], self.data.pairs
        first, second = self._wanted
        n = len(values)
        moments = np.zeros((len(first) + n + 1, len(counts)))
        by_condition = np.ascontiguousarray(counts.T, dtype=np.float64)
        for start in range(0, len(pairs), WIDTH):
            part = slice(start, start + WIDTH)
            weights = by_condition[pairs.i[part]] * by_condition[pairs.j[part]]
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
        """Inner products in one part, from its pairs only, whatever their variances."""
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
    """Lengths of components (T, K); NaN for one that is constant."""
    squares = np.einsum("tkk->tk", gram)
    return np.sqrt(np.where(squares > 0.0, squares, np.nan))


def _best(scores: np.ndarray) -> np.ndarray:
    """Weight 1 for the best of scores (…, K), the first of equals; NaN if there is no score."""
    best = np.where(np.isnan(scores), -np.inf, scores).argmax(axis=-1)
    chosen: np.ndarray = (best[..., None] == np.arange(scores.shape[-1])).astype(float)
    return np.where(np.isnan(scores).all(axis=-1, keepdims=True), np.nan, chosen)


def _weigh(gram: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """Non-negative weights (T, F, K), from products (T, K, K) and (T, F, K).

    The weights of least squares, which are those of the largest cosine if any cosine is positive.
    """
    lengths = _lengths(gram)
    inverse = np.nan_to_num(1.0 / lengths)
    unit = gram * inverse[:, :, None] * inverse[:, None, :]
    cosines = cross / lengths[:, None]  # up to a factor
    of_unit = np.nan_to_num(cosines)
    largest = np.abs(of_unit).max(axis=2, keepdims=True)
    of_unit /= np.where(largest > 0.0, largest, 1.0)
    # A square root of the Gram matrix, A with AᵀA = G, and the target b with Aᵀb = c.
    values, vectors = np.linalg.eigh(unit)
    values = np.where(values > 1e-12 * values[:, -1:], values, 0.0)
    roots = np.sqrt(values)
    a = roots[:, :, None] * vectors.swapaxes(1, 2)
    b = of_unit @ vectors / np.where(roots > 0.0, roots, np.inf)[:, None]
    weights = _best(cosines)
    # Where no cosine is positive, the best component by itself remains.
    for t, f in zip(*np.nonzero((of_unit > 0.0).any(axis=2)), strict=True):
        weights_of_row = nnls(a[t], b[t, f], maxiter=30 * len(roots[t]))[0]
        if weights_of_row.any():
            weights[t, f] = weights_of_row * inverse[t]
    return weights


def _interpolate(gram: np.ndarray, cross: np.ndarray) -> np.ndarray:
    """Weights (T, F, K) of two successive components, 1 − t and t."""
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


def _own(of_fits: np.ndarray) -> np.ndarray:
    """Scores (T, S) of every subject with its own fit, from those of all (T, F, S)."""
    return of_fits[:, 0] if of_fits.shape[1] == 1 else np.einsum("tss->ts", of_fits)


def _has_pairs(pairs: Pairs, counts: np.ndarray) -> np.ndarray:
    """Return in which parts, counts (T, n), at least three pairs have a distance."""
    present = counts > 0
    if pairs.complete:
        enough: np.ndarray = present.sum(axis=1) >= 3
        return enough
    return np.array([(row[pairs.i] & row[pairs.j]).sum() >= 3 for row in present], dtype=bool)
