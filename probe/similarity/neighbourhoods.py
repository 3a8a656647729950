"""RDMs of the neighbourhood of every place in a volume or on a surface.

Neighbourhoods overlap, and there are as many as places. Each RDM is one matrix product of the
neighbourhood's responses with themselves; a block of them is gathered, multiplied and condensed
together, and nothing larger than a block is ever held.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from probe.similarity.products import host_free_bytes
from probe.similarity.ranks import compiled
from probe.similarity.rdms import EQUAL

BLOCK_BYTES = 2**25
"""Responses, products and RDMs of one block of neighbourhoods."""

MOST_CENTRES = 32
"""Neighbourhoods in a block: with 100 stimuli, what is in work stays in the processor's cache."""

PRODUCT_METRICS = ("correlation", "euclidean", "cosine")
"""Distances that `SearchlightRDMs` computes."""

ROUNDING = 1e-9
"""A distance to a neighbour that exceeds the radius by less than this share is equal to it."""


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """Which neuroids belong to the neighbourhood of each centre.

    Attributes
    ----------
    starts : numpy.ndarray, shape (n_centres + 1,), int64
    members : numpy.ndarray, int32
        The neuroids of centre k, ascending, are ``members[starts[k] : starts[k + 1]]``.
    """

    starts: np.ndarray
    members: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, k: int) -> np.ndarray:
        return self.members[self.starts[k] : self.starts[k + 1]]

    @property
    def sizes(self) -> np.ndarray:
        """How many neuroids each has, shape (n_centres,)."""
        return np.diff(self.starts)


def ball_neighbourhoods(voxels: np.ndarray, affine: np.ndarray, radius: float) -> Neighbourhoods:
    """Find the measured voxels within a radius of every measured voxel.

    Parameters
    ----------
    voxels : array-like, shape (n_voxels, 3), of whole numbers
        Indices of the measured voxels in their volume, none twice.
    affine : array-like, shape (4, 4)
        From these to millimetres. Voxels need not be cubes, nor their axes orthogonal.
    radius : float
        In millimetres, between the centres of voxels; a voxel at exactly this distance is in.

    Returns
    -------
    Neighbourhoods
        One per voxel, in their order; what was not measured is in none.

    Raises
    ------
    ValueError
        If a voxel is named twice, the affine is singular, the radius is not above zero, or the
        neighbourhoods do not fit into memory.
    """
    voxels = np.asarray(voxels, dtype=np.int64)
    steps = np.asarray(affine, dtype=np.float64)[:3, :3]
    if not 0.0 < radius < np.inf:
        raise ValueError(f"radius {radius} mm: expected a number above 0")
    if not np.isfinite(steps).all() or abs(np.linalg.det(steps)) < 1e-12:
        raise ValueError("the affine has no inverse: its voxels have no size")
    extent = np.ptp(voxels, axis=0)  # nothing that was measured is further away
    reach = np.floor(radius * (1.0 + ROUNDING) * np.linalg.norm(np.linalg.inv(steps), axis=1))
    reach = np.minimum(reach, extent).astype(np.int64)
    grid = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1)
    offsets = grid[np.linalg.norm(grid @ steps.T, axis=-1) <= radius * (1.0 + ROUNDING)]
    if (needed := len(voxels) * len(offsets) * 8) > (free := host_free_bytes()):
        raise ValueError(
            f"neighbourhoods of up to {len(offsets):,} voxels around {len(voxels):,} need "
            f"{needed / 1e9:.3g} GB of memory, {free / 1e9:.3g} GB are free: choose a smaller "
            "radius or fewer voxels"
        )
    # A box around all measured voxels, and as much around it as a neighbourhood reaches.
    voxels = voxels - voxels.min(axis=0) + reach
    box = tuple(voxels.max(axis=0) + reach + 1)
    flat = np.ravel_multi_index(tuple(voxels.T), box)
    number = np.full(np.prod(box), -1, dtype=np.int32)
    number[flat] = np.arange(len(voxels))
    if (number[flat] != np.arange(len(voxels))).any():
        raise ValueError("a voxel is named twice")
    steps_flat = np.sort(offsets @ np.array([box[1] * box[2], box[2], 1]))
    parts, sizes = [], []
    for chunk in np.array_split(flat, max(1, len(flat) * len(offsets) // 2**22)):
        near = number[chunk[:, None] + steps_flat]
        near.sort(axis=1)
        parts.append(near[near >= 0])
        sizes.append((near >= 0).sum(axis=1))
    return Neighbourhoods(_starts(np.concatenate(sizes)), np.concatenate(parts))


def surface_neighbourhoods(
    graph: sparse.sparray, nodes: np.ndarray, radius: float
) -> Neighbourhoods:
    """Find the measured vertices within a radius of every measured vertex, along a mesh.

    Parameters
    ----------
    graph : scipy.sparse array, shape (n_vertices, n_vertices)
        Lengths of the edges in millimetres, from `mesh_graph`.
    nodes : array-like, shape (n_measured,), int
        The measured vertices, none twice.
    radius : float
        In millimetres, along edges (Dijkstra 1959): paths may cross vertices that were not
        measured. A path along edges is longer than the geodesic across faces, on the meshes of
        cortex by some 5 to 10 %.

    Returns
    -------
    Neighbourhoods
        One per measured vertex, in their order.

    Raises
    ------
    ValueError
        If a vertex is named twice or is not of the mesh, or the radius is not above zero.
    """
    nodes = np.asarray(nodes, dtype=np.int64)
    if not 0.0 < radius < np.inf:
        raise ValueError(f"radius {radius} mm: expected a number above 0")
    n_vertices = graph.shape[0]
    if len(nodes) and not 0 <= nodes.min() <= nodes.max() < n_vertices:
        raise ValueError(f"vertex {nodes.max()} does not exist: the mesh has {n_vertices}, from 0")
    number = np.full(n_vertices, -1, dtype=np.int32)
    number[nodes] = np.arange(len(nodes))
    if (number[nodes] != np.arange(len(nodes))).any():
        raise ValueError("a vertex is named twice")
    parts, sizes = [], []
    for chunk in np.array_split(nodes, max(1, len(nodes) * n_vertices // 2**22)):
        distances = sparse.csgraph.dijkstra(
            graph, directed=False, indices=chunk, limit=radius * (1.0 + ROUNDING)
        )
        centre, vertex = np.nonzero(np.isfinite(distances))
        measured = number[vertex] >= 0
        centre, member = centre[measured], number[vertex[measured]]
        parts.append(member[np.lexsort((member, centre))])
        sizes.append(np.bincount(centre, minlength=len(chunk)))
    return Neighbourhoods(_starts(np.concatenate(sizes)), np.concatenate(parts))


def mesh_graph(coordinates: np.ndarray, faces: np.ndarray) -> sparse.csr_array:
    """Make the graph of a mesh's edges and their lengths.

    Parameters
    ----------
    coordinates : array-like, shape (n_vertices, 3)
        In millimetres.
    faces : array-like, shape (n_faces, 3), int
        Vertices of each triangle.

    Returns
    -------
    scipy.sparse.csr_array, shape (n_vertices, n_vertices)
        Symmetric.
    """
    coordinates, faces = np.asarray(coordinates, dtype=np.float64), np.asarray(faces)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    lengths = np.linalg.norm(coordinates[edges[:, 0]] - coordinates[edges[:, 1]], axis=1)
    # Vertices in one place are neighbours still: a length of 0 would be no edge.
    lengths = np.maximum(lengths, np.finfo(float).tiny)
    half = sparse.coo_array((lengths, tuple(edges.T)), shape=(len(coordinates),) * 2)
    return (half + half.T).tocsr()


def voxel_adjacency(voxels: np.ndarray) -> sparse.csr_array:
    """Return which voxels share a face, shape (n_voxels, n_voxels): for cluster tests."""
    near = ball_neighbourhoods(voxels, np.eye(4), 1.0)
    n = len(near)
    graph = sparse.csr_array((np.ones(len(near.members)), near.members, near.starts), shape=(n, n))
    graph.setdiag(0.0)
    graph.eliminate_zeros()
    return graph


class SearchlightRDMs:
    """RDMs of neighbourhoods, block by block.

    Parameters
    ----------
    x : array-like, shape (n_stimuli, n_neuroids)
        Response patterns. A copy of them is held, in float64.
    neighbourhoods : Neighbourhoods
    metric : {'correlation', 'euclidean', 'cosine'}
        See `probe.similarity.rdm`, whose distances these are.

    Raises
    ------
    ValueError
        If the metric is unknown, or a response is not finite.
    """

    def __init__(
        self, x: np.ndarray, neighbourhoods: Neighbourhoods, metric: str = "correlation"
    ) -> None:
        if metric not in PRODUCT_METRICS:
            raise ValueError(f"metric {metric!r}: expected one of {', '.join(PRODUCT_METRICS)}")
        x = np.asarray(x, dtype=np.float64)
        if x.ndim != 2 or len(x) < 2:
            raise ValueError(f"x has shape {x.shape}; expected (stimuli ≥ 2, neuroids)")
        if not np.isfinite(x).all():
            stimulus, neuroid = np.argwhere(~np.isfinite(x))[0]
            raise ValueError(f"stimulus {stimulus} has a NaN or infinite response at {neuroid}")
        if metric == "euclidean":
            x = x - x.mean(axis=0)  # differences of large numbers lose digits
        self.neighbourhoods = neighbourhoods
        self.metric = metric
        self.n_stimuli = len(x)
        self.n_pairs = len(x) * (len(x) - 1) // 2
        self._by_neuroid = np.ascontiguousarray(x.T)

    def __len__(self) -> int:
        return len(self.neighbourhoods)

    @property
    def block(self) -> int:
        """Neighbourhoods that are worked on together."""
        n = self.n_stimuli
        most = int(self.neighbourhoods.sizes.max(initial=1))
        return int(np.clip(BLOCK_BYTES // (8 * (most * n + 2 * n * n)), 1, MOST_CENTRES))

    def compute(self, part: slice) -> np.ndarray:
        """Compute the RDMs of some centres.

        Parameters
        ----------
        part : slice
            Of the centres, with steps of one.

        Returns
        -------
        numpy.ndarray, shape (n, n_pairs), float64
            In the order of ``numpy.triu_indices(n_stimuli, 1)``. A row of NaN where the metric is
            undefined: fewer than two neuroids (not for ``euclidean``), a stimulus with the same
            response on all of them (``correlation``), or with none at all (``cosine``).
        """
        first, last, _ = part.indices(len(self))
        starts = self.neighbourhoods.starts[first : last + 1]
        members = self.neighbourhoods.members[starts[0] : starts[-1]]
        n, most = self.n_stimuli, int(np.diff(starts).max(initial=1))
        patterns = np.zeros((last - first, most, n))
        limits = np.zeros((last - first, n))
        centred = self.metric == "correlation"
        compiled(_gather)(self._by_neuroid, starts - starts[0], members, centred, patterns, limits)
        gram = np.matmul(patterns.transpose(0, 2, 1), patterns)
        rdms = np.empty((last - first, self.n_pairs))
        angular = self.metric != "euclidean"
        compiled(_condense)(gram, np.diff(starts), limits, angular, EQUAL, rdms)
        return rdms


def _starts(sizes: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _gather(
    by_neuroid: np.ndarray,
    starts: np.ndarray,
    members: np.ndarray,
    centred: bool,
    patterns: np.ndarray,
    limits: np.ndarray,
) -> None:
    """Copy the responses of each neighbourhood, less each stimulus's mean over it if ``centred``.

    ``limits`` are energies that are only the rounding error of such a mean. To be compiled.
    """
    n = by_neuroid.shape[1]
    mean = np.empty(n)
    epsilon = 8.0 * 2.0**-52
    for b in range(patterns.shape[0]):
        size = starts[b + 1] - starts[b]
        mean[:] = 0.0
        for p in range(size):
            row = by_neuroid[members[starts[b] + p]]
            for i in range(n):
                patterns[b, p, i] = row[i]
                mean[i] += row[i]
        if centred and size:
            for i in range(n):
                mean[i] /= size
                limits[b, i] = size * (epsilon * mean[i]) ** 2
            for p in range(size):
                for i in range(n):
                    patterns[b, p, i] -= mean[i]


def _condense(
    gram: np.ndarray,
    sizes: np.ndarray,
    limits: np.ndarray,
    angular: bool,
    equal: float,
    rdms: np.ndarray,
) -> None:
    """Turn inner products into distances: 1 − cos if ``angular``, else squared. To be compiled."""
    n = gram.shape[1]
    scale = np.empty(n)
    for b in range(gram.shape[0]):
        defined = sizes[b] > (1 if angular else 0)
        for i in range(n):
            energy = gram[b, i, i]
            scale[i] = energy
            if angular:
                if energy <= limits[b, i]:
                    defined = False
                else:
                    scale[i] = 1.0 / np.sqrt(energy)
        if not defined:
            rdms[b, :] = np.nan
            continue
        t = 0
        for i in range(n):
            for j in range(i + 1, n):
                if angular:
                    d = 1.0 - gram[b, i, j] * scale[i] * scale[j]
                    d = min(max(d, 0.0), 2.0)
                    if d <= equal:
                        d = 0.0
                else:
                    d = max(scale[i] + scale[j] - 2.0 * gram[b, i, j], 0.0) / sizes[b]
                rdms[b, t] = d
                t += 1
