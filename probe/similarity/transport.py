"""The cheapest transport between two sets of units, as loops that numba compiles."""

from __future__ import annotations

import numba
import numpy as np

# The functions that `transport` calls are compiled with it, and lie in its file on disk.


def transport(costs: np.ndarray, share: int) -> np.ndarray:
    """Find the cheapest transport from m rows, k // share units each, to k columns.

    Each column takes m // share units. Successive shortest paths (Edmonds & Karp 1972, J ACM
    19:248), row after row. The paths run over columns only: one unit passes from column a to
    column b by way of the row that does so most cheaply, ``via[a, b]``, for ``detour[a, b]``.
    Prices keep all detours that are reduced by them at or above zero, so that Dijkstra's algorithm
    finds the shortest path.

    Parameters
    ----------
    costs : numpy.ndarray, shape (m, k ≤ m), float64
    share : int
        Greatest common divisor of m and k.

    Returns
    -------
    numpy.ndarray, shape (k, m), int64
        Units from every row to every column.
    """
    m, k = costs.shape
    flows = np.zeros((k, m), dtype=np.int64)
    free = np.full(k, m // share)
    prices = np.zeros(k)
    detour = np.full((k, k), np.inf)
    via = np.full((k, k), -1)
    for row in range(m):
        left = k // share
        while left > 0:
            end, before = _shortest_path(costs[row], free, prices, detour)
            units = _narrowest(end, before, flows, via, min(left, free[end]))
            left -= units
            free[end] -= units
            _send(row, units, end, before, costs, flows, detour, via)
    return flows


@numba.njit(nogil=True)
def _shortest_path(
    costs: np.ndarray, free: np.ndarray, prices: np.ndarray, detour: np.ndarray
) -> tuple[int, np.ndarray]:
    """Return the nearest column with room, and the column before each; prices are brought up.

    Dijkstra's algorithm, from a row whose ``costs`` (k,) are those of the columns.
    """
    k = len(free)
    lengths = costs - prices
    before = np.full(k, -1)
    done = np.zeros(k, dtype=np.bool_)
    while True:
        here, shortest = -1, np.inf
        for b in range(k):
            if not done[b] and (here < 0 or lengths[b] < shortest):
                here, shortest = b, lengths[b]
        if free[here] > 0:
            break
        done[here] = True
        for b in range(k):
            if not done[b]:
                length = shortest + detour[here, b] + prices[here] - prices[b]
                if length < lengths[b]:
                    lengths[b], before[b] = length, here
    for b in range(k):
        if done[b]:
            prices[b] += lengths[b] - shortest
    return here, before


@numba.njit(nogil=True)
def _narrowest(end: int, before: np.ndarray, flows: np.ndarray, via: np.ndarray, units: int) -> int:
    """Return how many units a path lets through, at most ``units``."""
    b = end
    while before[b] >= 0:
        units = min(units, flows[before[b], via[before[b], b]])
        b = before[b]
    return units


@numba.njit(nogil=True)
def _send(
    row: int,
    units: int,
    end: int,
    before: np.ndarray,
    costs: np.ndarray,
    flows: np.ndarray,
    detour: np.ndarray,
    via: np.ndarray,
) -> None:
    """Send units from a row along a path, from its end on, and bring the detours up to date."""
    b = end
    while b >= 0:
        a = before[b]
        giver = row if a < 0 else via[a, b]
        flows[b, giver] += units
        for other in range(len(via)):
            cost = costs[giver, other] - costs[giver, b]
            if cost < detour[b, other]:
                detour[b, other], via[b, other] = cost, giver
        if a >= 0:
            flows[a, giver] -= units
            if flows[a, giver] == 0:
                _replace_giver(a, giver, costs, flows, detour, via)
        b = a


@numba.njit(nogil=True)
def _replace_giver(
    a: int,
    giver: int,
    costs: np.ndarray,
    flows: np.ndarray,
    detour: np.ndarray,
    via: np.ndarray,
) -> None:
    """Find the next cheapest rows for the detours from a column that a row served."""
    for other in range(len(via)):
        if via[a, other] != giver:
            continue
        detour[a, other], via[a, other] = np.inf, -1
        for r in range(costs.shape[0]):
            cost = costs[r, other] - costs[r, a]
            if flows[a, r] > 0 and cost < detour[a, other]:
                detour[a, other], via[a, other] = cost, r
