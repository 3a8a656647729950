r"""Ridge regression of many sites from one decomposition: every penalty, every split, exactly.

For patterns X (n stimuli × p features), responses Y (n × m sites) and a penalty α, with an
intercept that is not penalised,

    minimise ‖Y − 1b − XW‖² + α‖W‖².

Everything follows from the residual maker M, (n, n), of which Y − Ŷ = M Y. With X less its column
means = U diag(s) Vᵀ, and J = 11ᵀ/n,

    M = I − J − U diag(s² / (s² + α)) Uᵀ,

so that one decomposition serves all penalties. Of M follow, without any further fit:

- the error of every stimulus when it is left out, e_i = (MY)_i / M_ii (Allen 1974, PRESS);
- the prediction of left-out stimuli T, Ŷ_T = Y_T − M_TT⁻¹ (MY)_T;
- the residual maker of the remaining stimuli S, M_SS − M_ST M_TT⁻¹ M_TS (the inverse of a block of
  the inverse), and with it their own leave-one-out errors.

Where stimuli belong to groups (variants of one picture), a whole group g is left out at a time,
e_g = M_gg⁻¹ (MY)_g: a penalty that is chosen with a variant of the very picture at hand suits
pictures that are known, and not those that are predicted.

The penalty, and whatever else is a candidate (a receptive field, a mixture of bands), is so chosen
inside the training stimuli of each split, at the cost of products of matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import lapack

from probe.errors import ProbeError
from probe.similarity.blas import single_threaded

Split = tuple[np.ndarray, np.ndarray]
"""Indices of the training stimuli, and of the test stimuli."""

ALPHAS = np.logspace(-6.0, 4.0, 21)
"""Penalties, as multiples of the mean squared length of the centred patterns."""

SITES_AT_A_TIME = 2048
"""Sites that are solved together, at most: bounds the memory, whatever their number."""

CONSTANT = 1e-12
"""A sum of squares below this share of the uncentred one is the rounding of a constant."""

RANK_TOLERANCE = 1e-12
"""Eigenvalues below this share of the largest are zero: dimensions that no stimulus has."""


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Centred patterns X as U diag(s) Vᵀ, of which U and s² are all that a fit of Y needs.

    Attributes
    ----------
    squares : numpy.ndarray, float64, shape (k,)
        s², above zero.
    vectors : numpy.ndarray, float64, shape (n, k)
        U: orthonormal columns, each of mean zero.
    """

    squares: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of_patterns(cls, patterns: np.ndarray) -> Decomposition:
        """Decompose patterns, shape (n, p), by the smaller of their two products."""
        centred = np.asarray(patterns, dtype=np.float64)
        centred = centred - centred.mean(axis=0)
        n, p = centred.shape
        if p >= n:
            return cls.of_gram(centred @ centred.T)
        squares, basis = np.linalg.eigh(centred.T @ centred)
        above_floor = squares > _floor(
            squares, np.square(patterns, dtype=np.float64).sum(axis=1).max()
        )
        vectors = centred @ basis[:, above_floor]
        # Divided by their own lengths: the roots of small eigenvalues have few digits.
        lengths = np.linalg.norm(vectors, axis=0)
        return cls(lengths**2, vectors / lengths)

    @classmethod
    def of_gram(cls, gram: np.ndarray) -> Decomposition:
        """Decompose the products XXᵀ of patterns, shape (n, n), centred or not."""
        squares, vectors = np.linalg.eigh(centre_gram(gram))
        above_floor = squares > _floor(squares, np.abs(np.diagonal(gram)).max())
        vectors = vectors[:, above_floor]
        # The vector of a small eigenvalue turns towards that of 0, which is constant.
        vectors -= vectors.mean(axis=0)
        return cls(squares[above_floor], vectors)

    @property
    def n(self) -> int:
        """Number of stimuli."""
        return len(self.vectors)

    @property
    def scale(self) -> float:
        """Mean squared length of the centred patterns: the unit of relative penalties."""
        return float(self.squares.sum() / self.n)

    @property
    def is_full(self) -> bool:
        """Whether I − J is UUᵀ: there nothing cancels in M, however small the penalty."""
        return self.vectors.shape[1] == self.n - 1

    def residual_maker(self, alpha: float, vectors: np.ndarray | None = None) -> np.ndarray:
        """Compute M, shape (n, n), for one penalty above zero.

        ``vectors`` are those of the decomposition in another precision, in which M is computed.
        """
        vectors = self.vectors if vectors is None else vectors
        shrunk = self.squares / (self.squares + alpha)
        roots = vectors * np.sqrt(1.0 - shrunk if self.is_full else shrunk).astype(vectors.dtype)
        maker: np.ndarray = roots @ roots.T
        if not self.is_full:
            np.negative(maker, out=maker)
            maker -= np.asarray(1.0 / self.n, vectors.dtype)
            maker[np.diag_indices(self.n)] += np.asarray(1.0, vectors.dtype)
        return maker

    def predict_left_out(
        self, responses: np.ndarray, alpha: float, test: np.ndarray, removed: np.ndarray
    ) -> np.ndarray:
        """Compute what a fit without some stimuli predicts for (a part of) them.

        Parameters
        ----------
        responses : numpy.ndarray, shape (n, m)
        alpha : float
        test : numpy.ndarray of int
            What is predicted: the first of ``removed``.
        removed : numpy.ndarray of int
            What the fit does without.

        Returns
        -------
        numpy.ndarray, shape (n_test, m)
        """
        n = self.n
        shrunk = self.squares / (self.squares + alpha)
        rows = self.vectors[removed]
        centred = responses - responses.mean(axis=0)
        if self.is_full:
            within = (rows * (1.0 - shrunk)) @ rows.T
            residuals = (rows * (1.0 - shrunk)) @ (self.vectors.T @ centred)
        else:
            within = np.eye(len(removed)) - 1.0 / n - (rows * shrunk) @ rows.T
            residuals = centred[removed] - (rows * shrunk) @ (self.vectors.T @ centred)
        errors = np.linalg.solve(within, residuals)
        return np.asarray(responses[test] - errors[: len(test)])

    def dual(self, responses: np.ndarray, alphas: np.ndarray) -> np.ndarray:
        """Compute the dual coefficients C of a fit to all stimuli: W = XᵀC, X centred.

        Parameters
        ----------
        responses : numpy.ndarray, shape (n, m)
        alphas : numpy.ndarray, shape (m,)
            The penalty of each site, above zero.

        Returns
        -------
        numpy.ndarray, shape (n, m)
        """
        along = self.vectors.T @ responses
        return self.vectors @ (along / (self.squares[:, None] + alphas))


def _floor(squares: np.ndarray, length: float) -> float:
    """Return the eigenvalue up to which there is nothing but rounding.

    Patterns that are constant but not zero leave some, in proportion to their squared length.
    """
    rounding = len(squares) * float(np.finfo(np.float64).eps) * length
    return max(RANK_TOLERANCE * float(squares[-1]), rounding)


def centre_gram(gram: np.ndarray) -> np.ndarray:
    """Compute the products of centred patterns from those of patterns, shape (n, n)."""
    gram = np.asarray(gram, dtype=np.float64)
    rows = gram.mean(axis=0)
    centred = gram - rows - rows[:, None] + rows.mean()
    return (centred + centred.T) / 2.0


@dataclass(frozen=True, eq=False)
class Selection:
    """The candidate and the penalty of each site, and what they predict.

    Attributes
    ----------
    candidate, alpha_index : numpy.ndarray of int, shape (m,)
        Chosen on all stimuli, by the least sum of squared errors of stimuli, or groups of them,
        that are left out one at a time.
    alpha : numpy.ndarray, float64, shape (m,)
        Absolute.
    error : numpy.ndarray, float64, shape (m,)
        The leave-one-out error, as a share of the responses' sum of squares.
    in_split : numpy.ndarray of int, shape (n_splits, m)
        The candidate chosen inside the training stimuli of each split.
    alpha_in_split : numpy.ndarray of int, shape (n_splits, m)
        The index of the penalty chosen there.
    error_in_split : numpy.ndarray, float64, shape (n_splits, m)
        As ``error``, of the training stimuli.
    predictions : list of numpy.ndarray, float64, shape (n_test, m)
        Of the test stimuli of each split.
    penalties : numpy.ndarray, float64, shape (n_candidates, n_alphas)
        Absolute: all that were tried.
    """

    candidate: np.ndarray
    alpha_index: np.ndarray
    alpha: np.ndarray
    error: np.ndarray
    in_split: np.ndarray
    alpha_in_split: np.ndarray
    error_in_split: np.ndarray
    predictions: list[np.ndarray]
    penalties: np.ndarray

    @property
    def n_alphas(self) -> int:
        """Number of penalties that were tried with each candidate."""
        return self.penalties.shape[1]

    @property
    def at_end(self) -> np.ndarray:
        """Sites whose penalty is the first or the last of the grid: bool, shape (m,)."""
        ends = (self.alpha_index == 0) | (self.alpha_index == self.n_alphas - 1)
        return ends & (self.n_alphas > 2) & np.isfinite(self.error)


def select(
    decompositions: Sequence[Decomposition],
    responses: np.ndarray,
    splits: Sequence[Split] = (),
    *,
    groups: Sequence[Any] | np.ndarray | None = None,
    alphas: np.ndarray | None = None,
    relative: bool = True,
    shared_alpha: bool = False,
    search_dtype: str = "float64",
    threads: int = 1,
    track: Callable[..., Iterable[Any]] | None = None,
) -> Selection:
    """Choose a candidate and a penalty for each site, inside each split and on all stimuli.

    Parameters
    ----------
    decompositions : sequence of Decomposition
        The candidates: of one stimulus set, in one order.
    responses : numpy.ndarray, shape (n, m)
        Without NaN.
    splits : sequence of (training, test) indices
        Together all stimuli, or fewer: what is in neither is left out of that split.
    groups : sequence, shape (n,), optional
        A label of each stimulus. Those of one label are left out together when candidate and
        penalty are chosen; by default, each by itself. Where all stimuli to choose on have the
        same label, it is each by itself, too.
    alphas : numpy.ndarray, optional
        Penalties, above zero; by default `ALPHAS`.
    relative : bool
        Whether penalties are multiples of each candidate's own `Decomposition.scale`.
    shared_alpha : bool
        One candidate and one penalty for all sites, by the least error summed over them.
    search_dtype : {"float64", "float32"}
        In which leave-one-out errors are compared. What is predicted is float64 in any case.
    threads : int
        Candidates that are solved at a time; the values do not depend on it.
    track : callable, optional
        Wraps the iteration over candidates, for progress.

    Returns
    -------
    Selection

    Raises
    ------
    ProbeError
        If a response is not finite, groups are not one per stimulus, or a split leaves fewer than
        three stimuli to train on.

    References
    ----------
    Allen 1974, Technometrics 16:125; Golub, Heath & Wahba 1979, Technometrics 21:215.
    """
    responses = np.asarray(responses, dtype=np.float64)
    if not np.isfinite(responses).all():
        raise ProbeError("responses hold a NaN or infinite value: average what is there first")
    grid = np.asarray(ALPHAS if alphas is None else alphas, dtype=np.float64)
    if not grid.size or not (grid > 0.0).all():
        raise ProbeError(f"penalties {grid.tolist()}: expected numbers above 0")
    if not len(decompositions) or not responses.shape[1]:
        raise ProbeError("there is no candidate or no site to fit")
    if decompositions[0].n != len(responses):
        raise ProbeError(
            f"patterns of {decompositions[0].n} stimuli and responses to {len(responses)}: "
            "expected as many"
        )
    labels = np.arange(len(responses)) if groups is None else np.asarray(groups)
    if labels.shape != (len(responses),):
        raise ProbeError(
            f"groups of shape {labels.shape}: expected ({len(responses)},), a label per stimulus"
        )
    labels = np.unique(labels, return_inverse=True)[1]
    parts = [_Removal.of(labels, train, test) for train, test in splits]
    together = _blocks(labels, np.arange(len(labels)))
    n_sites = responses.shape[1]
    width = n_sites if shared_alpha else SITES_AT_A_TIME
    searched = [
        _search(decompositions, responses[:, k : k + width], parts, together, grid, relative,
                shared_alpha, search_dtype, threads, track)
        for k in range(0, n_sites, width)
    ]  # fmt: skip
    penalties = searched[0][3]
    candidate, index, error = (
        np.concatenate(arrays, axis=1)
        for arrays in zip(*(of_sites[:3] for of_sites in searched), strict=True)
    )
    predictions = [
        _predict(decompositions, responses, part, penalties, candidate[row], index[row])
        for row, part in enumerate(parts)
    ]
    return Selection(
        candidate[-1], index[-1], penalties[candidate[-1], index[-1]], error[-1],
        candidate[:-1], index[:-1], error[:-1], predictions, penalties,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Removal:
    """A split: what is trained on (bool, (n,)), predicted, and removed (the predicted first).

    ``together`` are the blocks of stimuli that are left out together in training, see `_blocks`.
    """

    inside: np.ndarray
    test: np.ndarray
    removed: np.ndarray
    together: list[np.ndarray]

    @classmethod
    def of(cls, labels: np.ndarray, train: np.ndarray, test: np.ndarray) -> _Removal:
        inside = np.zeros(len(labels), dtype=bool)
        inside[train] = True
        if inside[test].any():
            raise ProbeError("a split trains on a stimulus that it is tested on")
        if inside.sum() < 3:
            raise ProbeError(f"a split trains on {inside.sum()} stimuli: expected 3 or more")
        others = ~inside
        others[test] = False
        removed = np.concatenate([test, np.flatnonzero(others)])
        return cls(inside, np.asarray(test), removed, _blocks(labels, np.flatnonzero(inside)))


def _blocks(labels: np.ndarray, stimuli: np.ndarray) -> list[np.ndarray]:
    """Find the groups of some stimuli: an array (n_groups, size) of indices for each size.

    None, if every stimulus is a group of its own, or all are one.
    """
    order = stimuli[np.argsort(labels[stimuli], kind="stable")]
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    if len(sizes) in (1, len(order)):
        return []
    return [order[starts[sizes == size][:, None] + np.arange(size)] for size in np.unique(sizes)]


def _search(
    decompositions: Sequence[Decomposition],
    responses: np.ndarray,
    parts: Sequence[_Removal],
    together: list[np.ndarray],
    alphas: np.ndarray,
    relative: bool,
    shared_alpha: bool,
    dtype: str,
    threads: int,
    track: Callable[..., Iterable[Any]] | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Choose for some sites: candidate, index of the penalty and error, each (n_splits + 1, m).

    The last row is of all stimuli. Errors are shares of the responses' sum of squares. The fourth
    array are the penalties of each candidate, (n_candidates, n_alphas).
    """
    penalties = np.empty((len(decompositions), len(alphas)))
    shape = (len(parts) + 1, responses.shape[1])
    error = np.full(shape, np.inf)
    candidate, index = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    # Errors of constant responses are rounding: any candidate is as good.
    centred = (responses - responses.mean(axis=0)).astype(dtype)

    def solve(k: int) -> tuple[np.ndarray, np.ndarray]:
        decomposition = decompositions[k]
        penalties[k] = alphas * (decomposition.scale or 1.0) if relative else alphas
        return _best_penalties(decomposition, centred, parts, together, penalties[k], shared_alpha)

    order = range(len(decompositions))
    # One thread of linear algebra for each candidate: the same bytes on any number.
    with single_threaded(), ThreadPoolExecutor(max_workers=threads) as pool:
        solved: Iterable[Any] = pool.map(solve, order)
        if track is not None:
            solved = track(solved, total=len(order))
        for k, (errors, indices) in enumerate(solved):
            better = errors < error
            if shared_alpha:
                better[:] = (errors.sum(axis=1) < error.sum(axis=1))[:, None]
            error[better] = errors[better]
            candidate[better] = k
            index[better] = indices[better]
    totals = np.stack([_total(responses[p.inside]) for p in parts] + [_total(responses)])
    with np.errstate(divide="ignore", invalid="ignore"):
        return candidate, index, error / totals, penalties


def _total(responses: np.ndarray) -> np.ndarray:
    """Compute the sum of squares of each site; NaN where it is that of a constant."""
    total = ((responses - responses.mean(axis=0)) ** 2).sum(axis=0)
    return np.where(total > CONSTANT * (responses**2).sum(axis=0), total, np.nan)


def _best_penalties(
    decomposition: Decomposition,
    responses: np.ndarray,
    parts: Sequence[_Removal],
    together: list[np.ndarray],
    penalties: np.ndarray,
    shared_alpha: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the penalty of each site, for one candidate.

    ``together`` are the blocks of all stimuli that are left out together, see `_blocks`.

    Returns
    -------
    errors : numpy.ndarray, shape (n_splits + 1, m)
        Least sum of squared errors of what is left out; the last row is of all stimuli.
    indices : numpy.ndarray of int, same shape
        Of the penalty that has it.
    """
    dtype = responses.dtype
    double = dtype == np.float64
    cholesky = lapack.dpotrf if double else lapack.spotrf
    invert = lapack.dtrtri if double else lapack.strtri
    errors = np.full((len(parts) + 1, responses.shape[1]), np.inf)
    indices = np.zeros(errors.shape, dtype=np.int64)

    def compare(row: int, of_penalty: np.ndarray, index: int) -> None:
        better = of_penalty < errors[row]
        if shared_alpha:
            better[:] = of_penalty.sum() < errors[row].sum()
        errors[row, better] = of_penalty[better]
        indices[row, better] = index

    vectors = decomposition.vectors.astype(dtype, copy=False)
    if not parts:
        left_out = _left_out_errors(decomposition, responses, together, penalties)
        for index, of_penalty in enumerate(left_out):
            compare(0, of_penalty, index)
        return errors, indices
    for index, penalty in enumerate(penalties):
        maker = decomposition.residual_maker(penalty, vectors)
        residuals = maker @ responses
        diagonal = maker.diagonal()
        if together:
            within = (maker[block[:, :, None], block[:, None, :]] for block in together)
            compare(len(parts), _errors_of_groups(together, within, residuals), index)
        else:
            compare(len(parts), diagonal**-2.0 @ residuals**2, index)
        for row, part in enumerate(parts):
            # All that is not trained on is removed, whether it is predicted or not.
            across = maker[part.removed]
            root, failed = cholesky(across[:, part.removed], lower=1, overwrite_a=1)
            if failed:  # without these stimuli, nothing is left of the patterns
                continue
            inverse, _ = invert(root, lower=1, overwrite_c=1)
            half = inverse @ across
            of_train = residuals - half.T @ (inverse @ residuals[part.removed])
            if part.together:
                within = (_within(maker, half, block) for block in part.together)
                compare(row, _errors_of_groups(part.together, within, of_train), index)
                continue
            np.square(of_train, out=of_train)
            left = diagonal - np.einsum("tn,tn->n", half, half)
            weights = np.divide(1.0, left, out=np.zeros_like(left), where=part.inside)
            compare(row, weights**2 @ of_train, index)
    return errors, indices


def _within(maker: np.ndarray, half: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Compute the blocks of the training stimuli's residual maker: (n_groups, size, size)."""
    of_groups = np.moveaxis(half[:, block], 0, 2)
    of_maker = maker[block[:, :, None], block[:, None, :]]
    return np.asarray(of_maker - of_groups @ of_groups.swapaxes(1, 2))


def _errors_of_groups(
    together: Sequence[np.ndarray], within: Iterable[np.ndarray], residuals: np.ndarray
) -> np.ndarray:
    """Compute the sum of squared errors of each site when a group is left out, e_g = M_gg⁻¹(MY)_g.

    Parameters
    ----------
    together : sequence of numpy.ndarray of int, shape (n_groups, size)
        See `_blocks`.
    within : iterable of numpy.ndarray, shape (n_groups, size, size)
        M_gg of each.
    residuals : numpy.ndarray, shape (n, m)
        MY.

    Returns
    -------
    numpy.ndarray, shape (m,)
        Infinite, if without a group nothing is left of the patterns.
    """
    total = np.zeros(residuals.shape[1], dtype=residuals.dtype)
    for block, makers in zip(together, within, strict=True):
        of_groups = residuals[block]
        if block.shape[1] == 1:
            errors = of_groups / makers
        else:
            try:
                # Of small blocks and many sites, several times as fast as solve.
                errors = np.linalg.inv(makers) @ of_groups
            except np.linalg.LinAlgError:
                return np.full_like(total, np.inf)
        errors = errors.reshape(-1, len(total))
        total += np.einsum("nm,nm->m", errors, errors)
    return total


def _left_out_errors(
    decomposition: Decomposition,
    responses: np.ndarray,
    together: list[np.ndarray],
    penalties: np.ndarray,
) -> Iterator[np.ndarray]:
    """Compute the sum of squared errors of each site when one is left out, for each penalty.

    Of M, MY and the diagonal, or the blocks of groups, are enough where nothing is split.
    """
    vectors = decomposition.vectors.astype(responses.dtype, copy=False)
    along = vectors.T @ responses
    squares = decomposition.squares[:, None]
    shrinkage = squares / (squares + penalties)
    shrinkage = (1.0 - shrinkage if decomposition.is_full else shrinkage).astype(responses.dtype)
    diagonal = vectors**2 @ shrinkage
    if not decomposition.is_full:
        diagonal = 1.0 - 1.0 / decomposition.n - diagonal

    def within(block: np.ndarray, k: int) -> np.ndarray:
        rows = vectors[block]
        products = (rows * shrinkage[:, k]) @ rows.swapaxes(1, 2)
        if not decomposition.is_full:
            centring = np.eye(block.shape[1], dtype=products.dtype)
            products = centring - np.asarray(1.0 / decomposition.n, products.dtype) - products
        return np.asarray(products)

    for k in range(len(penalties)):
        residuals = vectors @ (shrinkage[:, k, None] * along)
        if not decomposition.is_full:
            residuals = responses - residuals
        if together:
            makers = (within(block, k) for block in together)
            yield _errors_of_groups(together, makers, residuals)
            continue
        residuals /= diagonal[:, k, None]
        yield np.einsum("nm,nm->m", residuals, residuals)


def _predict(
    decompositions: Sequence[Decomposition],
    responses: np.ndarray,
    part: _Removal,
    penalties: np.ndarray,
    candidate: np.ndarray,
    index: np.ndarray,
) -> np.ndarray:
    """Compute the predictions of a split, each site's by its own candidate and penalty."""
    predictions = np.empty((len(part.test), responses.shape[1]))
    for pair in np.unique(np.stack([candidate, index]), axis=1).T:
        sites = np.flatnonzero((candidate == pair[0]) & (index == pair[1]))
        for some in np.array_split(sites, max(1, len(sites) // SITES_AT_A_TIME)):
            predictions[:, some] = decompositions[pair[0]].predict_left_out(
                responses[:, some], penalties[tuple(pair)], part.test, part.removed
            )
    return predictions
