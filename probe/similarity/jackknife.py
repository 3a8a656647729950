"""Products of ranks without each condition in turn, in the time of a few resamples.

Doubled, centred ranks are sums of signs: R(p) = Σ sign(p − q) over all pairs q. Without condition k
they are R(p) − F(p), with F(p) = Σ sign(p − q) over the pairs q of k: the rank of p among these.
The products of two RDMs' ranks, summed over the pairs that are left, are

    Σ R R' − Σ R F' − Σ F R' + Σ F F' − Σ (R − F) (R' − F')

with the last sum over the pairs of k, the others over all. Since Σ R(p) F'(p) is a sum over the
pairs of k, of running sums of R in the order of the other RDM, all but the fourth are a walk
through the pairs for all conditions together.

The fourth would be a walk for each condition, and is about 1 / n² of the sum. It is computed from
means of F over blocks of pairs that are neighbours in the order of distances: as a product of
matrices. Ties are never in two blocks, and the pairs of k itself are counted as they are. What is
lost are products of what F deviates from its means in blocks of one RDM with those in blocks of the
other: with as many blocks as pairs nothing, with `N_BLOCKS` 1e-11 of a correlation for 1,100
conditions, 3e-13 for 5,000; 5e-10 is the most that was met, where RDMs have classes of conditions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probe.similarity.lanes import RankedProducts, SortedPairs
from probe.similarity.pairs import Pairs
from probe.similarity.ranks import compiled

N_BLOCKS = 1024
"""How many blocks the pairs of an RDM are cut into, if none are tied."""


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Which pairs go when a unit of the conditions is left out.

    Attributes
    ----------
    pairs : Pairs
    unit : numpy.ndarray, shape (n,), int32
        The unit of each condition, 0 … K − 1.
    n_pairs : numpy.ndarray, shape (K,), int64
        How many pairs a unit has a part in.
    """

    pairs: Pairs
    unit: np.ndarray
    n_pairs: np.ndarray

    @classmethod
    def of(cls, pairs: Pairs, unit: np.ndarray) -> LeftOut:
        """Count the pairs of every unit."""
        unit = unit.astype(np.int32)
        first, second = unit[pairs.i], unit[pairs.j]
        n_units = int(unit.max()) + 1
        n_pairs = np.bincount(first, minlength=n_units)
        n_pairs += np.bincount(second[first != second], minlength=n_units)
        return cls(pairs, unit, n_pairs)

    @property
    def n_left(self) -> np.ndarray:
        """How many pairs are left without each unit, shape (K,), float64."""
        return (len(self.pairs) - self.n_pairs).astype(np.float64)


@dataclass(frozen=True, eq=False)
class UnitRanks:
    """Doubled, centred ranks of an RDM's pairs, among all and among those of each of K units.

    Attributes
    ----------
    order : SortedPairs
    ranks : numpy.ndarray, shape (n_positions,), int32
        Of every pair, at its position in an RDM of all pairs, among all.
    of_units : numpy.ndarray, shape (n_positions, 2), int16 or int32
        Among the pairs of the unit of its first condition, and of its second.
    block : numpy.ndarray, shape (n_positions,), int32
        The pair's block.
    means : numpy.ndarray, shape (n_blocks, K), float64
        Rank among the pairs of each unit, averaged over the pairs of a block.
    cubes : numpy.ndarray, shape (K,), float64
        Cubes of the sizes of ties, added up, without each unit.
    """

    order: SortedPairs
    ranks: np.ndarray
    of_units: np.ndarray
    block: np.ndarray
    means: np.ndarray
    cubes: np.ndarray

    @classmethod
    def of(cls, order: SortedPairs, left_out: LeftOut) -> UnitRanks:
        """Rank the pairs of an RDM."""
        pairs, n_pairs = left_out.pairs, left_out.n_pairs
        n_positions = pairs.n * (pairs.n - 1) // 2
        integer = np.int16 if n_pairs.max() < 2**15 else np.int32
        starts = np.empty(len(pairs) + 1, dtype=np.int64)
        n_blocks = compiled(cut_into_blocks)(order.tied, -(-len(pairs) // N_BLOCKS), starts)
        unit_ranks = cls(
            order,
            np.empty(n_positions, np.int32), np.empty((n_positions, 2), integer),
            np.empty(n_positions, np.int32), np.empty((n_blocks, len(n_pairs))),
            np.zeros(len(n_pairs)),
        )  # fmt: skip
        compiled(rank_in_units)(
            order.first, order.second, order.tied, pairs.offsets, left_out.unit, n_pairs,
            starts[: n_blocks + 1], unit_ranks.ranks, unit_ranks.of_units, unit_ranks.block,
            unit_ranks.means, unit_ranks.cubes,
        )  # fmt: skip
        return unit_ranks

    def squares(self, n_left: np.ndarray) -> np.ndarray:
        """Add up the squares of the ranks without each unit, (K,); 0 where all are tied."""
        sums = n_left**3 - self.cubes
        # With two different distances at least 3 N (N − 1) are left; less is rounding error.
        sums[sums < n_left * (n_left - 1.0)] = 0.0
        return np.asarray(sums / 3.0)


def left_out_products(
    model: SortedPairs, data: Sequence[UnitRanks], left_out: LeftOut
) -> RankedProducts:
    """Multiply the ranks of an RDM with those of S others, without each of K units in turn.

    Parameters
    ----------
    model : SortedPairs
    data : sequence of UnitRanks
    left_out : LeftOut

    Returns
    -------
    RankedProducts
        Of shape (K, 1, S); K, 1; and K, S. The sums are as exact as the correlations that the
        module's description tells.
    """
    pairs, unit = left_out.pairs, left_out.unit
    of_model = UnitRanks.of(model, left_out)
    cross = np.empty((len(left_out.n_pairs), 1, len(data)))
    for s, of_data in enumerate(data):
        joint = np.zeros((len(of_model.means), len(of_data.means)))
        # The sum over a unit's pairs, and Σ R F' + Σ F R'.
        of_units, crossed = np.zeros((2, len(left_out.n_pairs)))
        total = compiled(multiply_in_units)(
            pairs.i, pairs.j, pairs.offsets, unit, of_model.ranks, of_data.ranks,
            of_model.of_units, of_data.of_units, of_model.block, of_data.block,
            of_model.means, of_data.means, joint, of_units,
        )  # fmt: skip
        for one, other in ((of_model, of_data), (of_data, of_model)):
            order = one.order
            compiled(add_running_sums)(
                order.first, order.second, order.tied, pairs.offsets, unit, other.ranks, crossed
            )
        in_blocks = np.einsum("ak,ak->k", of_model.means, joint @ of_data.means)
        cross[:, 0, s] = total - crossed + in_blocks - of_units
    n_left = left_out.n_left
    of_all = np.stack([of_data.squares(n_left) for of_data in data], axis=1)
    return RankedProducts(cross, of_model.squares(n_left)[:, None], of_all)


# The walks. ``offsets[i] + j`` is the position of the pair (i, j) in an RDM of all pairs; a pair
# within a unit is one of that unit's once.


def cut_into_blocks(tied: np.ndarray, size: int, starts: np.ndarray) -> int:
    """Cut sorted pairs into blocks of at most ``size``, or of one tie that is larger.

    Write where each begins, and where the last one ends; return how many there are.
    """
    starts[0] = 0
    n_blocks = 1
    t = 0
    while t < tied.size - 1:
        beginning = t
        t += 1
        while tied[t]:
            t += 1
        if t - starts[n_blocks - 1] > size and beginning > starts[n_blocks - 1]:
            starts[n_blocks] = beginning
            n_blocks += 1
    starts[n_blocks] = t
    return n_blocks


def rank_in_units(
    first: np.ndarray,
    second: np.ndarray,
    tied: np.ndarray,
    offsets: np.ndarray,
    unit: np.ndarray,
    n_pairs: np.ndarray,
    starts: np.ndarray,
    ranks: np.ndarray,
    of_units: np.ndarray,
    block: np.ndarray,
    means: np.ndarray,
    cubes: np.ndarray,
) -> None:
    """Write what `UnitRanks` holds, in the order of the distances."""
    n_units = n_pairs.size
    below, here = np.zeros(n_units, np.int64), np.zeros(n_units, np.int64)
    all_cubes = 0.0
    for k in range(starts.size - 1):
        start, stop = starts[k], starts[k + 1]
        mean = means[k]
        for u in range(n_units):
            mean[u] = 2 * below[u] - n_pairs[u]
        t = start
        while t < stop:
            beginning = t
            t += 1
            while tied[t]:
                t += 1
            size = np.float64(t - beginning)
            all_cubes += size**3
            # What a pair of a unit adds to the sum of signs of the pairs in its block, per pair.
            above = 1.0 + np.float64((stop - t) - (beginning - start)) / np.float64(stop - start)
            for q in range(beginning, t):
                a, b = unit[first[q]], unit[second[q]]
                here[a] += 1
                mean[a] += above
                if b != a:
                    here[b] += 1
                    mean[b] += above
            for q in range(beginning, t):
                a, b = unit[first[q]], unit[second[q]]
                pair = offsets[first[q]] + np.intp(second[q])
                ranks[pair] = beginning + t - first.size
                of_units[pair, 0] = 2 * below[a] + here[a] - n_pairs[a]
                of_units[pair, 1] = 2 * below[b] + here[b] - n_pairs[b]
                block[pair] = k
            for q in range(beginning, t):
                for u in (unit[first[q]], unit[second[q]]):
                    cubes[u] += (size - here[u]) ** 3 - size**3  # 0, once it is counted
                    below[u] += here[u]
                    here[u] = 0
    for u in range(n_units):
        cubes[u] += all_cubes


def multiply_in_units(
    i: np.ndarray,
    j: np.ndarray,
    offsets: np.ndarray,
    unit: np.ndarray,
    ranks: np.ndarray,
    others: np.ndarray,
    of_units: np.ndarray,
    of_other_units: np.ndarray,
    block: np.ndarray,
    other_block: np.ndarray,
    means: np.ndarray,
    other_means: np.ndarray,
    joint: np.ndarray,
    sums: np.ndarray,
) -> float:
    """Return Σ R R'; count the pairs that two blocks share, and add up what is of each unit.

    Of a unit's pairs, F F' is the product of the means, since it is that in the blocks, too.
    """
    total = 0.0
    for k in range(i.size):
        pair = offsets[i[k]] + np.intp(j[k])
        x, y = np.float64(ranks[pair]), np.float64(others[pair])
        row, column = block[pair], other_block[pair]
        total += x * y
        joint[row, column] += 1.0
        a, b = unit[i[k]], unit[j[k]]
        sums[a] += x * y - x * of_other_units[pair, 0] - y * of_units[pair, 0]
        sums[a] += means[row, a] * other_means[column, a]
        if b != a:
            sums[b] += x * y - x * of_other_units[pair, 1] - y * of_units[pair, 1]
            sums[b] += means[row, b] * other_means[column, b]
    return total


def add_running_sums(
    first: np.ndarray,
    second: np.ndarray,
    tied: np.ndarray,
    offsets: np.ndarray,
    unit: np.ndarray,
    ranks: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Add Σ R(p) sign(p − q), for every pair q, to the sums of its units.

    Ranks add up to zero, so that those above q are what those below and at q lack to it.
    """
    below = 0.0
    t = 0
    while t < first.size:
        beginning = t
        through = below
        while t == beginning or tied[t]:
            through += ranks[offsets[first[t]] + np.intp(second[t])]
            t += 1
        for q in range(beginning, t):
            a, b = unit[first[q]], unit[second[q]]
            sums[a] -= below + through
            if b != a:
                sums[b] -= below + through
        below = through
