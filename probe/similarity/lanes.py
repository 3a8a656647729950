"""Resamples side by side: walks through the sorted pairs of an RDM, eight resamples at a time.

A resample is a weight c_i · c_j for every pair of conditions. An RDM's pairs are sorted once; in
that order the mid-rank of a pair in a resample is a running sum of the weights, so that one walk
from the smallest distance to the largest ranks the pairs and adds up what is asked of the ranks.
Eight resamples are the lanes of one vector instruction, since they visit the same pairs. Of a large
RDM, sixteen are: their ranks of a pair are one line of the cache, which comes from memory as a
whole.

Ranks here are doubled and centred, 2 · (mid-rank) − (N + 1) with N the sum of all weights, from −N
to N: whole numbers without exception, which single precision holds exactly up to 2^24.
"""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from probe.similarity.pairs import Pairs
from probe.similarity.ranks import ROUNDING, compiled, sort_rows

LANES = 8
"""Resamples that are walked side by side."""

WIDE = 16
"""Those of large RDMs; code for so many takes four times as long to compile."""

MANY_PAIRS = 2**19
"""From so many pairs on, most of the time is that of memory: those of 1,025 conditions."""

CACHE_LINE = 64
"""Bytes that come from memory together."""

AHEAD = 16
"""How many pairs ahead memory is asked for; 8 to 32 are about as good."""

lane = 0
"""The number of a lane, in walks; `unrolled` replaces it, as it does `LANES`."""

MOST_HELD = 2**26
"""Ranks of several RDMs that a thread holds at a time: a quarter of a gigabyte."""

MOST_EXACT = 2**24
"""Up to this sum of weights, single precision holds all ranks exactly."""

MOST_COUNTED = 2**31 - 1
"""Up to this sum of weights, 32-bit integers count pairs: an RDM of 65,536 stimuli has as many."""


@dataclass(frozen=True, eq=False)
class SortedPairs:
    """The pairs of an RDM from the smallest distance to the largest.

    Attributes
    ----------
    first, second : numpy.ndarray, shape (n_pairs,), uint16 or uint32
        The two conditions of each pair.
    tied : numpy.ndarray, shape (n_pairs + 1,), bool
        Whether a pair has the same distance as the one before it; the last entry is False.
    """

    first: np.ndarray
    second: np.ndarray
    tied: np.ndarray

    @classmethod
    def of(cls, rdm: np.ndarray, first: np.ndarray, second: np.ndarray) -> SortedPairs:
        """Sort the pairs (first, second) of an RDM, each of shape (n_pairs,).

        Neighbours nearer than `ROUNDING` of the largest absolute distance are tied.
        """
        order = sort_rows(rdm[None])[0]
        values = rdm[order]
        tied = np.zeros(len(rdm) + 1, dtype=bool)
        tied[1:-1] = np.diff(values) <= ROUNDING * np.abs(values[[0, -1]]).max()
        integer = np.uint16 if second.max() < 2**16 else np.uint32
        return cls(first.astype(integer)[order], second.astype(integer)[order], tied)


def n_lanes(pairs: Pairs, n_rdms: int = 1) -> int:
    """Return how many resamples of these pairs are ranked side by side, of some RDMs at once."""
    n_positions = pairs.n * (pairs.n - 1) // 2
    is_exact = n_positions <= MOST_EXACT  # or numbers take two lines
    lanes = WIDE if len(pairs) >= MANY_PAIRS and is_exact else LANES
    while n_rdms > 1 and lanes > 1 and lanes * n_rdms * n_positions > MOST_HELD:
        lanes //= 2
    return lanes


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return an empty array that begins with a line of the cache.

    Lanes of a pair that lie across two lines take more than twice as long to come from memory.
    """
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.empty(n_bytes + CACHE_LINE, dtype=np.uint8)
    start = -room.ctypes.data % CACHE_LINE
    return room[start : start + n_bytes].view(dtype).reshape(shape)


def unrolled(function: Callable[..., Any], n: int = LANES) -> Callable[..., Any]:
    """Repeat, for each of n lanes, every statement of a function that is about a lane.

    Variables of a lane have names that end with an underscore, and ``lane`` is its number. Only
    written out in full are the lanes joined to vector instructions by the compiler.
    """
    module = ast.parse(textwrap.dedent(inspect.getsource(function)))
    module = ast.fix_missing_locations(_Unrolling(n).visit(module))
    # Machine code is kept beside this file's, and made anew when the file changes.
    code = compile(module, inspect.getfile(function), "exec")
    namespace: dict[str, Any] = function.__globals__ | {
        "prefetch": _prefetch_instruction(), "LANES": n,
    }  # fmt: skip
    exec(code, namespace)
    unrolled_function: Callable[..., Any] = namespace[function.__name__]
    return unrolled_function


class _Unrolling(ast.NodeTransformer):
    """Replaces a statement about a lane by one for each."""

    def __init__(self, n: int) -> None:
        self.n = n

    def generic_visit(self, node: ast.AST) -> Any:
        """Repeat a simple statement, and look into all others."""
        if not isinstance(node, ast.Assign | ast.AugAssign | ast.Expr):
            return super().generic_visit(node)
        names = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
        if not any(name == "lane" or name.endswith("_") for name in names):
            return node
        source = ast.unparse(node)
        return [_OfLane(lane).visit(ast.parse(source).body[0]) for lane in range(self.n)]


class _OfLane(ast.NodeTransformer):
    """Puts the number of one lane into a statement."""

    def __init__(self, lane: int) -> None:
        self.lane = lane

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id == "lane":
            return ast.Constant(self.lane)
        if node.id.endswith("_"):
            return ast.Name(f"{node.id}{self.lane}", node.ctx)
        return node


def prefetch(array: np.ndarray, position: int) -> None:
    """Bring an entry of an array near the processor, in walks; nothing waits for it."""


@cache
def _prefetch_instruction() -> Any:
    """Return what `prefetch` is in machine code."""
    import numba
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic

    def instruction(_context: Any, array: Any, position: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            byte, integer = ir.IntType(8).as_pointer(), ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [byte, integer, integer, integer])
            function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
            entry = builder.bitcast(builder.gep(data, [arguments[1]]), byte)
            # To read, to be kept in all caches, of data.
            builder.call(function, [entry, integer(0), integer(3), integer(1)])
            return context.get_dummy_value()

        return types.void(array, position), generate

    config: Any = numba.config  # whose attributes no type checker knows
    return prefetch if config.DISABLE_JIT else intrinsic(instruction)


@cache
def compiled_walk(walk: Callable[..., Any], n: int = LANES) -> Callable[..., Any]:
    """Compile a walk, its n lanes unrolled."""
    return compiled(unrolled(walk, n))


@dataclass(frozen=True, eq=False)
class RankedProducts:
    """Sums over the pairs in b resamples, of doubled, centred ranks.

    Attributes
    ----------
    cross : numpy.ndarray, shape (b, M, S)
        Of the products of the ranks of two RDMs.
    of_models, of_data : numpy.ndarray, shape (b, M) and (b, S)
        Of the squares of the ranks; 0 where all distances are tied.
    """

    cross: np.ndarray
    of_models: np.ndarray
    of_data: np.ndarray


@dataclass(frozen=True, eq=False)
class LaneRanks:
    """Doubled, centred ranks of S RDMs in b resamples side by side.

    Attributes
    ----------
    pairs : Pairs
        That these RDMs have.
    counts : numpy.ndarray, shape (n, n_lanes)
        How often each condition occurs; lanes beyond b are 0.
    n_weights : numpy.ndarray, shape (b,)
        How many pairs there are, as often as they occur.
    ranks : numpy.ndarray, shape (S, n_positions, n_lanes)
        Of every pair, at its position in an RDM of all pairs.
    cubes : numpy.ndarray, shape (S, n_lanes)
        Cubes of the sizes of ties, added up.
    """

    pairs: Pairs
    counts: np.ndarray
    n_weights: np.ndarray
    ranks: np.ndarray
    cubes: np.ndarray

    @classmethod
    def of(cls, rdms: Sequence[SortedPairs], pairs: Pairs, counts: np.ndarray) -> LaneRanks:
        """Rank the pairs of RDMs.

        Parameters
        ----------
        rdms : sequence of SortedPairs
        pairs : Pairs
        counts : numpy.ndarray, shape (b ≤ `n_lanes`, n), of whole numbers
            How often each condition occurs in each resample.
        """
        (b, n), lanes = counts.shape, n_lanes(pairs, len(rdms))
        n_weights = pairs.totals(counts)
        number = np.float32 if n_weights.max() <= MOST_EXACT else np.float64
        of_conditions = aligned((n, lanes), number)
        of_conditions[:, :b] = counts.T
        of_conditions[:, b:] = 0
        ranks = aligned((len(rdms), n * (n - 1) // 2, lanes), number)
        if not pairs.complete:
            ranks[:] = 0
        lane_ranks = cls(pairs, of_conditions, n_weights, ranks, np.empty((len(rdms), lanes)))
        for rdm, *of_rdm in zip(rdms, ranks, lane_ranks.cubes, strict=True):
            lane_ranks._walk(rank_pairs, rdm, *of_rdm)
        return lane_ranks

    @cached_property
    def weights(self) -> np.ndarray:
        """How often each pair occurs, shape (n_positions, n_lanes)."""
        weights = aligned(self.ranks.shape[1:], self.ranks.dtype)
        if not self.pairs.complete:
            weights[:] = 0
        compiled_walk(weigh_pairs, weights.shape[1])(
            self.pairs.i, self.pairs.j, self.pairs.offsets, self.counts.ravel(), weights.ravel()
        )
        return weights

    def products(self, models: Sequence[SortedPairs]) -> RankedProducts:
        """Multiply the ranks of M models with those of every RDM."""
        n_rdms, *shape = self.ranks.shape
        cross = np.empty((len(models), n_rdms, shape[-1]))
        of_models = np.empty((len(models), shape[-1]))
        if n_rdms == 1:
            for m, model in enumerate(models):
                self._walk(add_products, model, self.ranks[0], cross[m, 0], of_models[m])
        else:  # a model is ranked once for all of them
            of_model = aligned(tuple(shape), self.ranks.dtype)
            of_model[:] = 0
            multiply = compiled_walk(multiply_ranks, shape[-1])
            for m, model in enumerate(models):
                self._walk(rank_pairs, model, of_model, of_models[m])
                for s, of_rdm in enumerate(self.ranks):
                    multiply(self.weights.ravel(), of_model.ravel(), of_rdm.ravel(), cross[m, s])
        b = len(self.n_weights)
        squares = self._squares(of_models), self._squares(self.cubes)
        return RankedProducts(cross[:, :, :b].transpose(2, 0, 1), *squares)

    def _walk(
        self, walk: Callable[..., Any], rdm: SortedPairs, ranks: np.ndarray, *sums: np.ndarray
    ) -> None:
        start = np.zeros(self.counts.shape[1], self.counts.dtype)
        start[: len(self.n_weights)] = -self.n_weights
        compiled_walk(walk, len(start))(
            rdm.first, rdm.second, rdm.tied, self.pairs.offsets, self.counts.ravel(), start,
            ranks.ravel(), *sums,
        )  # fmt: skip

    def _squares(self, cubes: np.ndarray) -> np.ndarray:
        """Add up the squares of ranks, (b, K), from the cubes of ties, (K, n_lanes)."""
        sums = self.n_weights**3 - cubes[:, : len(self.n_weights)]
        # With two different distances at least 3 N (N − 1) are left; less is rounding error.
        sums[sums < self.n_weights * (self.n_weights - 1.0)] = 0.0
        return np.asarray(sums.T / 3.0)


@dataclass(frozen=True, eq=False)
class Agreements:
    """Comparisons of pairs with pairs in b ≤ `LANES` resamples, as often as they occur.

    Attributes
    ----------
    balance : numpy.ndarray, shape (b, M, S), int64
        On how many two RDMs agree, less those on which they do not.
    of_models, of_data : numpy.ndarray, shape (b, M) and (b, S), int64
        How many are ties in an RDM, those of a pair with its copies among them.
    """

    balance: np.ndarray
    of_models: np.ndarray
    of_data: np.ndarray


def agreements(
    models: Sequence[SortedPairs], ranks: np.ndarray, pairs: Pairs, counts: np.ndarray
) -> Agreements:
    """Compare the order of the pairs of every RDM of ``models`` with that of the data's.

    Parameters
    ----------
    models : sequence of SortedPairs
        Of M RDMs; without any, ties of the data are not counted.
    ranks : numpy.ndarray, shape (S, n_pairs), int32
        Dense ranks of S RDMs, from `probe.similarity.ranks.dense_ranks`.
    pairs : Pairs
        That these RDMs have.
    counts : numpy.ndarray, shape (b ≤ LANES, n), of whole numbers
        How often each condition occurs in each resample.

    Returns
    -------
    Agreements

    Raises
    ------
    ValueError
        If there are more distances than are counted.
    """
    b, n = counts.shape
    if (n_weights := pairs.totals(counts).max()) > MOST_COUNTED:
        raise ValueError(
            f"{n_weights:.3g} distances are too many for Kendall's tau; at most {MOST_COUNTED:,}"
        )
    of_conditions = aligned((n, LANES), np.int32)
    of_conditions[:, :b] = counts.T
    of_conditions[:, b:] = 0
    balance = np.empty((len(models), len(ranks), LANES), dtype=np.int64)
    of_models = np.empty((len(models), LANES), dtype=np.int64)
    of_data = np.empty((len(ranks), LANES), dtype=np.int64)
    at_positions = np.zeros(n * (n - 1) // 2, dtype=np.int32)
    for s, of_rdm in enumerate(ranks):
        n_ranks = int(of_rdm.max()) + 1
        tree = aligned((n_ranks + 1, LANES), np.int32).ravel()
        at_rank = aligned((n_ranks, LANES), np.int32).ravel()
        at_positions[pairs.positions] = of_rdm
        for m, model in enumerate(models):
            compiled_walk(count_agreement)(
                model.first, model.second, model.tied, pairs.offsets, of_conditions.ravel(),
                at_positions, n_ranks, tree, at_rank, balance[m, s], of_models[m],
            )  # fmt: skip
        at_each = at_rank.reshape(n_ranks, LANES).astype(np.int64)
        of_data[s] = (at_each * (at_each - 1) // 2).sum(axis=0)
    return Agreements(balance[:, :, :b].transpose(2, 0, 1), of_models[:, :b].T, of_data[:, :b].T)


# The walks. Of every array over conditions or pairs, the lanes lie side by side: entry
# k · LANES + lane. ``offsets[i] + j`` is the position of the pair (i, j) in an RDM without
# missing pairs. Pairs that are tied, and copies of a pair, form a group of h: the squares of all
# ranks sum up to (N³ − Σ h³) / 3, whence the cubes.


def rank_pairs(
    first: np.ndarray,
    second: np.ndarray,
    tied: np.ndarray,
    offsets: np.ndarray,
    counts: np.ndarray,
    start: np.ndarray,
    ranks: np.ndarray,
    cubes: np.ndarray,
) -> None:
    """Write the rank of every pair to its position in ``ranks``; add up the cubes of tied sizes."""
    below_ = start[lane]
    cubes_ = 0.0
    t = 0
    while t < first.size:
        beginning = t
        i = np.intp(first[t]) * LANES
        j = np.intp(second[t]) * LANES
        weight_ = counts[i + lane] * counts[j + lane]
        t += 1
        while tied[t]:
            i = np.intp(first[t]) * LANES
            j = np.intp(second[t]) * LANES
            weight_ += counts[i + lane] * counts[j + lane]
            t += 1
        for k in range(beginning, t):
            if k + AHEAD < first.size:
                later = offsets[first[k + AHEAD]] + np.intp(second[k + AHEAD])
                prefetch(ranks, later * LANES)
            pair = (offsets[first[k]] + np.intp(second[k])) * LANES
            ranks[pair + lane] = below_ + weight_
        cubes_ += np.float64(weight_) * np.float64(weight_) * np.float64(weight_)
        below_ += weight_ + weight_
    cubes[lane] = cubes_


def add_products(
    first: np.ndarray,
    second: np.ndarray,
    tied: np.ndarray,
    offsets: np.ndarray,
    counts: np.ndarray,
    start: np.ndarray,
    ranks: np.ndarray,
    products: np.ndarray,
    cubes: np.ndarray,
) -> None:
    """Add up w · r_u · r_v over all pairs, with r_v given as ``ranks``, and the cubes."""
    below_ = start[lane]
    product_ = 0.0
    cubes_ = 0.0
    t = 0
    while t < first.size:
        i = np.intp(first[t]) * LANES
        j = np.intp(second[t]) * LANES
        pair = (offsets[first[t]] + np.intp(second[t])) * LANES
        if t + AHEAD < first.size:
            later = offsets[first[t + AHEAD]] + np.intp(second[t + AHEAD])
            prefetch(ranks, later * LANES)
        weight_ = counts[i + lane] * counts[j + lane]
        within_ = np.float64(weight_) * np.float64(ranks[pair + lane])
        t += 1
        while tied[t]:
            i = np.intp(first[t]) * LANES
            j = np.intp(second[t]) * LANES
            pair = (offsets[first[t]] + np.intp(second[t])) * LANES
            more_ = counts[i + lane] * counts[j + lane]
            within_ += np.float64(more_) * np.float64(ranks[pair + lane])
            weight_ += more_
            t += 1
        product_ += np.float64(below_ + weight_) * within_
        cubes_ += np.float64(weight_) * np.float64(weight_) * np.float64(weight_)
        below_ += weight_ + weight_
    products[lane] = product_
    cubes[lane] = cubes_


def weigh_pairs(
    i: np.ndarray, j: np.ndarray, offsets: np.ndarray, counts: np.ndarray, weights: np.ndarray
) -> None:
    """Write how often every pair occurs to its position in ``weights``."""
    for k in range(i.size):
        first = np.intp(i[k]) * LANES
        second = np.intp(j[k]) * LANES
        pair = (offsets[i[k]] + np.intp(j[k])) * LANES
        weights[pair + lane] = counts[first + lane] * counts[second + lane]


def multiply_ranks(
    weights: np.ndarray, ranks: np.ndarray, others: np.ndarray, products: np.ndarray
) -> None:
    """Add up w · r_u · r_v over all pairs."""
    product_ = 0.0
    for pair in range(weights.size // LANES):
        k = pair * LANES
        weighted_ = np.float64(weights[k + lane]) * np.float64(ranks[k + lane])
        product_ += weighted_ * np.float64(others[k + lane])
    products[lane] = product_


def count_agreement(
    first: np.ndarray,
    second: np.ndarray,
    tied: np.ndarray,
    offsets: np.ndarray,
    counts: np.ndarray,
    ranks: np.ndarray,
    n_ranks: int,
    tree: np.ndarray,
    at_rank: np.ndarray,
    agreement: np.ndarray,
    ties: np.ndarray,
) -> None:
    """Count w · w' over comparisons on which two RDMs agree, less those on which they do not.

    Comparisons that are ``ties`` in the RDM whose order is walked are counted as well, and
    ``at_rank`` is left with the weight at every rank of the other.

    The pairs are taken in the order of one RDM; of those taken, a tree of partial sums over the
    other's dense ``ranks`` knows how many are smaller (Fenwick 1994, Softw Pract Exp 24:327).
    """
    tree[:] = 0
    at_rank[:] = 0
    taken_ = np.int32(0)
    agreement_ = np.int64(0)
    ties_ = np.int64(0)
    beginning = 0
    while beginning < first.size:
        end = beginning + 1
        while tied[end]:
            end += 1
        # First compare all that are tied, which are not compared with each other …
        for k in range(beginning, end):
            i = np.intp(first[k]) * LANES
            j = np.intp(second[k]) * LANES
            rank = np.intp(ranks[offsets[first[k]] + np.intp(second[k])])
            smaller_ = np.int32(0)
            node = rank
            while node > 0:
                smaller_ += tree[node * LANES + lane]
                node &= node - 1
            balance_ = smaller_ + smaller_ + at_rank[rank * LANES + lane] - taken_
            weight_ = counts[i + lane] * counts[j + lane]
            agreement_ += np.int64(weight_) * np.int64(balance_)
        # … then take them.
        tied_ = np.int64(0)
        for k in range(beginning, end):
            i = np.intp(first[k]) * LANES
            j = np.intp(second[k]) * LANES
            rank = np.intp(ranks[offsets[first[k]] + np.intp(second[k])])
            weight_ = counts[i + lane] * counts[j + lane]
            taken_ += weight_
            tied_ += weight_
            at_rank[rank * LANES + lane] += weight_
            node = rank + 1
            while node <= n_ranks:
                tree[node * LANES + lane] += weight_
                node += node & -node
        ties_ += tied_ * (tied_ - 1) // 2
        beginning = end
    agreement[lane] = agreement_
    ties[lane] = ties_


def permute_rows(square: np.ndarray, orders: np.ndarray, start: int, permuted: np.ndarray) -> None:
    """Write rows of an RDM, given as a matrix (n, n), in every order (B, n) of its conditions.

    A row of the matrix at a time, which the cache holds, to pairs (B, n_pairs): those of condition
    ``start`` with later ones, then those of the next, as far as there is room.
    """
    n, n_pairs = square.shape[0], permuted.shape[1]
    for b in range(orders.shape[0]):
        pair = 0
        i = start
        while pair < n_pairs:
            row = square[orders[b, i]]
            for j in range(i + 1, n):
                permuted[b, pair] = row[orders[b, j]]
                pair += 1
            i += 1
