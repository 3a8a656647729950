"""Where in a brain a network's layers are: an RDM around every voxel or vertex, and its scores."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from probe import recordings
from probe.comparison.inputs import load_network
from probe.comparison.layer_rdms import COUNTERPART, LayerRDMs, NetworkRDMs
from probe.comparison.layer_scores import facts_of_network
from probe.comparison.result_searchlight import NEED_NIBABEL, SearchlightResult, SubjectMaps
from probe.comparison.settings import SearchlightSettings
from probe.errors import ProbeError
from probe.formats import brain_maps
from probe.inference.clusters import cluster_test, max_statistic_test
from probe.inference.evaluate import MIN_STIMULI
from probe.inference.searchlight import NeighbourhoodRDMs, searchlight_scores
from probe.models import Network, check_models
from probe.output.provenance import provenance_of
from probe.progress import track
from probe.recordings import Recording
from probe.recordings.several import load_scored, several
from probe.recordings.space import HEMISPHERES, Surface, Volume, space_of
from probe.recordings.timing import Time
from probe.similarity.comparators import choose_comparator
from probe.similarity.neighbourhoods import (
    PRODUCT_METRICS,
    Neighbourhoods,
    SearchlightRDMs,
    ball_neighbourhoods,
    mesh_graph,
    surface_neighbourhoods,
    voxel_adjacency,
)

if TYPE_CHECKING:
    from torch import nn

MIN_SUBJECTS = 5
"""Fewer subjects than this have no sign flips enough for p < .05."""


def searchlight(
    model: str | Network | nn.Module,
    dataset: str | Recording | Sequence[str | Recording],
    *,
    radius: float | str = 6.0,
    layers: str | Sequence[str] = "default",
    metric: str = "correlation",
    comparator: str = "auto",
    region: str | None = None,
    subject: str | None = None,
    surface: str | Path | Sequence[str | Path] = (),
    time: Time = None,
    permutations: int = 1000,
    weights: str = "imagenet",
    preprocessing: str = "resize",
    seed: int = 0,
    device: str = "auto",
    batch_size: int | None = None,
    accept_licence: bool = False,
    output: str | Path | None = None,
    progress: bool | None = None,
) -> SearchlightResult:
    """Compare the layers of a network with the neighbourhood of every voxel or vertex.

    The responses within a radius of each place make an RDM, with which the RDM of every layer is
    compared: a map per layer, and one of which layer is the best where.

    One subject: the stimuli's labels are permuted, and a score is compared with the largest one
    anywhere in the map by chance. Several subjects on one grid, each a recording or all in one:
    maps are averaged, and the signs of whole maps are flipped, which needs five subjects at least;
    p-values are those of the largest t value, and of the largest cluster.

    Parameters
    ----------
    model : str, Network or torch.nn.Module
        A name (`probe.models.names`), ``timm:NAME``, ``file:PATH``, or a network of yours.
    dataset : str, Recording, or a sequence of these
        Recordings of voxels or vertices: paths of folders, names, or recordings of yours. Names
        may be separated by commas. Subjects need not have seen the same stimuli.
    radius : float or str
        In millimetres, or as ``'6mm'``; at exactly this distance, a voxel is in. On a surface,
        along the edges of the mesh.
    layers : str or sequence of str
        See `probe.rsa`.
    metric : str
        Distance of the RDMs, see `probe.rsa`. For ``mahalanobis`` and ``crossnobis`` the noise of
        each neighbourhood is estimated from the repetitions; they take longer.
    comparator : str
        See `probe.rsa`.
    region : str, optional
        By default, all voxels or vertices that were recorded.
    subject : str, optional
        By default, all.
    surface : path or sequence of paths, optional
        The mesh of each hemisphere, GIfTI, for a recording of vertices. Whose it is, is taken from
        the file or its name (``hemi-L``, ``lh``), or said in front: ``'L=mesh.gii'``.
    time : (float, float) or str, optional
        Of recordings with a time axis: the window after stimulus onset that is mapped, in ms or as
        ``'70,170ms'``.
    permutations : int
        Of stimuli, or sign flips; all flips that there are, if these are not more. 0: no tests.
    weights, preprocessing, device, batch_size, accept_licence
        See `probe.rsa`.
    seed : int
        Of permutations, flips and, with ``weights='random'``, the initialisation.
    output : str or Path, optional
        A folder where the result is saved.
    progress : bool, optional
        Show progress bars; by default when a person is watching.

    Returns
    -------
    SearchlightResult

    Raises
    ------
    ProbeError
        If something that was named does not exist; if a recording does not say where its neuroids
        are, subjects are on different grids, or a mesh is missing; if no neighbourhood has an RDM.

    See Also
    --------
    rsa : Whole regions in place of neighbourhoods.

    References
    ----------
    Kriegeskorte, Goebel & Bandettini 2006, PNAS 103:3863; Nichols & Holmes 2002, Hum Brain Mapp
    15:1; Su et al. 2012, Pattern Recognition in NeuroImaging.

    Examples
    --------
    >>> result = probe.searchlight("alexnet", "./subject1", radius=6)  # doctest: +SKIP
    >>> result.plot()  # doctest: +SKIP
    """
    millimetres = read_radius(radius)
    settings = SearchlightSettings.of({**locals(), "baselines": "none"}).checked()
    networks = check_models([model], weights, preprocessing)
    datasets = several(dataset) or [dataset]
    subjects = _subjects(datasets, region, subject, settings)
    spaces = [space_of(recording) for recording in subjects.values()]
    first = next(iter(subjects))
    for name, space in zip(subjects, spaces, strict=True):
        if not spaces[0].same_grid(space):
            raise ProbeError(
                f"{name} and {first} are not on one grid (shape, affine or space differ): bring "
                "all subjects to one, or name one of them (--subject)"
            )
    graphs = _graphs(surface, spaces)
    network_rdms = NetworkRDMs(load_network(networks[0], settings), settings)

    maps: dict[str, SubjectMaps] = {}
    remarks: list[str] = []
    chosen = settings.comparator
    p = p_best = None
    for (name, recording), space in zip(subjects.items(), spaces, strict=True):
        near = _neighbourhoods(space, millimetres, graphs, name)
        rdms = network_rdms.over(recording.stimuli)
        if not maps:
            chosen, remarks = choose_comparator(rdms.of_layers, settings.comparator)
        neighbourhood_rdms = _around(recording, near, settings.metric)
        watched = functools.partial(
            track, desc=f"searchlight {name}", unit="centre", progress=settings.progress
        )
        alone = len(subjects) == 1
        try:
            scored = searchlight_scores(
                neighbourhood_rdms, rdms.trained, chosen, seed=settings.seed, track=watched,
                n_permutations=permutations if alone else 0,
            )  # fmt: skip
        except ValueError as error:
            raise ProbeError(f"{recording.name} and {network_rdms.network.name}: {error}") from None
        if np.isnan(scored.scores).all():
            why = (
                getattr(neighbourhood_rdms, "reason", None)
                or f"the {settings.metric} distance is undefined"
            )
            raise ProbeError(
                f"{name}: no neighbourhood of {millimetres:g} mm has an RDM ({why}); "
                "a larger radius, or metric 'euclidean', may have"
            )
        maps[name] = SubjectMaps(space, scored.scores, near.sizes)
        if alone and permutations:
            p, p_best = scored.p_values, scored.p_of_best

    result = _put_together(
        network_rdms, rdms, maps, subjects, p, p_best, graphs, permutations, settings,
        {
            "radius_mm": millimetres,
            "metric": settings.metric,
            "layers_metric": COUNTERPART.get(settings.metric, settings.metric),
            "comparator": chosen,
            "remarks": remarks,
        },
    )  # fmt: skip
    if output is not None:
        result.save(output)
    return result


def read_radius(radius: float | str) -> float:
    """Read a radius in millimetres: 6, '6' or '6mm'.

    Raises
    ------
    ProbeError
        If it is no number above 0.
    """
    text = str(radius).strip().lower().removesuffix("mm").strip()
    try:
        millimetres = float(text)
    except ValueError:
        millimetres = np.nan
    if not 0.0 < millimetres < np.inf:
        raise ProbeError(f"radius {str(radius)!r}: expected millimetres above 0, as 6mm")
    return millimetres


def _subjects(
    datasets: Sequence[Any],
    region: str | None,
    subject: str | None,
    settings: SearchlightSettings,
) -> dict[str, Recording]:
    """Load recordings, and take them apart: one per subject, by name."""
    # Of a folder, all regions: a searchlight looks everywhere.
    named = [
        recordings.from_folder(dataset)
        if isinstance(dataset, str | Path) and Path(dataset).expanduser().is_dir()
        else dataset
        for dataset in datasets
    ]
    subjects: dict[str, Recording] = {}
    for recording in load_scored(
        named, region, subject, time=settings.time, accept_licence=settings.accept_licence,
        progress=settings.progress,
    ):  # fmt: skip
        if recording.n_stimuli < MIN_STIMULI:
            raise ProbeError(
                f"recording {recording.name!r} has {recording.n_stimuli} stimuli, too few for an "
                f"RDM: at least {MIN_STIMULI} are needed"
            )
        names = recording.subjects
        for name in names:
            label = f"{recording.name}, {name}" if len(names) > 1 else recording.name
            if label in subjects:
                raise ProbeError(f"two recordings are called {label!r}: each needs its own name")
            subjects[label] = recording.select(None, name) if len(names) > 1 else recording
    return subjects


def _graphs(
    surface: str | Path | Sequence[str | Path], spaces: Sequence[Volume | Surface]
) -> dict[str, Any]:
    """Read the meshes of a surface, by hemisphere: the mesh, and the graph of its edges."""
    entries = [surface] if isinstance(surface, str | Path) else list(surface)
    files = [part for entry in entries for part in str(entry).split(",")]
    if not isinstance(spaces[0], Surface):
        if files:
            raise ProbeError("a mesh (--surface) is for vertices; this recording holds voxels")
        return {}
    meshes: dict[str, Any] = {}
    for text in files:
        side, equals, rest = text.partition("=")
        said, path = (side.upper(), rest) if equals and side.upper() in HEMISPHERES else ("", text)
        try:
            mesh = brain_maps.read_mesh(Path(path).expanduser())
        except ImportError:
            raise ProbeError(NEED_NIBABEL) from None
        except ValueError as error:
            raise ProbeError(f"{path!r} {error}") from None
        hemisphere = said or mesh.hemisphere
        if not hemisphere:
            raise ProbeError(
                f"{path!r} does not say of which hemisphere it is: write L={path} or R={path}"
            )
        if hemisphere in meshes:
            raise ProbeError(f"two meshes of hemisphere {hemisphere}; expected one for each")
        meshes[hemisphere] = mesh, mesh_graph(mesh.coordinates, mesh.faces)
    for space in spaces:
        assert isinstance(space, Surface)
        for hemisphere in dict.fromkeys(space.hemispheres.tolist()):
            if hemisphere not in meshes:
                raise ProbeError(
                    f"the recording holds vertices of hemisphere {hemisphere}, whose mesh is not "
                    f"named: a searchlight needs it, --surface {hemisphere}=FILE.gii"
                )
            n = len(meshes[hemisphere][0].coordinates)
            highest = int(space.vertices[space.hemispheres == hemisphere].max())
            if highest >= n:
                raise ProbeError(
                    f"the mesh of hemisphere {hemisphere} has {n:,} vertices, and the recording "
                    f"one of number {highest}: they do not belong together"
                )
    return meshes


def _neighbourhoods(
    space: Volume | Surface, radius: float, meshes: dict[str, Any], name: str
) -> Neighbourhoods:
    try:
        if isinstance(space, Volume):
            return ball_neighbourhoods(space.voxels, space.affine, radius)
        graph, nodes = _joined(space, meshes)
        return surface_neighbourhoods(graph, nodes, radius)
    except ValueError as error:
        raise ProbeError(f"{name}: {error}") from None


def _joined(space: Surface, meshes: dict[str, Any]) -> tuple[sparse.csr_array, np.ndarray]:
    """One graph of both hemispheres, and where in it the vertices are."""
    sides = sorted(meshes)
    starts = np.concatenate([[0], np.cumsum([len(meshes[s][0].coordinates) for s in sides])])
    graph = sparse.csr_array(sparse.block_diag([meshes[s][1] for s in sides], format="csr"))
    offset = {side: int(start) for side, start in zip(sides, starts[:-1], strict=True)}
    return graph, space.vertices + np.array([offset[h] for h in space.hemispheres.tolist()])


def _around(recording: Recording, near: Neighbourhoods, metric: str) -> NeighbourhoodRDMs:
    if metric in PRODUCT_METRICS:
        return SearchlightRDMs(recording.mean_responses().values, near, metric)
    return _OneByOne(recording, near, metric)


class _OneByOne:
    """RDMs of neighbourhoods by a metric that reckons with noise: each by itself.

    Attributes
    ----------
    reason : str or None
        Why the first one that has no RDM has none.
    """

    block = 4

    def __init__(self, recording: Recording, near: Neighbourhoods, metric: str) -> None:
        self.near = near
        self.reason: str | None = None
        self._n_pairs = recording.n_stimuli * (recording.n_stimuli - 1) // 2
        subject = recording.subjects[0]
        self._rdm: Callable[[np.ndarray], np.ndarray]
        if metric == "poisson":
            means = recording.mean_responses().values
            self._rdm = lambda members: recording.rdm_of(means[:, members], metric, subject)
        else:
            responses = recording.data["responses"].values
            self._rdm = lambda members: recording.rdm_of_repetitions(
                responses[:, :, members], metric, subject
            )

    def __len__(self) -> int:
        return len(self.near)

    def compute(self, part: slice) -> np.ndarray:
        """Implement `NeighbourhoodRDMs`."""
        centres = range(*part.indices(len(self)))
        rdms = np.full((len(centres), self._n_pairs), np.nan)
        for row, centre in zip(rdms, centres, strict=True):
            try:
                row[:] = self._rdm(self.near[centre])
            except ProbeError as error:
                self.reason = self.reason or str(error)
        return rdms


def _put_together(
    network_rdms: NetworkRDMs,
    rdms: LayerRDMs,
    maps: dict[str, SubjectMaps],
    subjects: dict[str, Recording],
    p: np.ndarray | None,
    p_best: np.ndarray | None,
    meshes: dict[str, Any],
    permutations: int,
    settings: SearchlightSettings,
    comparison: dict[str, Any],
) -> SearchlightResult:
    """Make the maps of all subjects one, with tests over them."""
    first = next(iter(maps.values()))
    p_cluster = None
    if len(maps) == 1:
        space, scores, sizes = first.space, first.scores, first.sizes
        test = f"{permutations:,} permutations of stimuli, largest score anywhere"
    else:
        space, aligned = _common(maps)
        scores, sizes = aligned.mean(axis=0), np.zeros(0, dtype=np.int64)
        if permutations and len(maps) >= MIN_SUBJECTS:
            p, p_cluster, p_best, n_flips, exact = _over_subjects(
                aligned, space, meshes, permutations, settings.seed
            )
            test = (
                f"{'all ' if exact else ''}{n_flips:,} sign flips of {len(maps)} subjects, "
                "largest t anywhere, and largest cluster"
            )
        elif permutations:
            permutations = 0
            comparison["remarks"] = [
                *comparison["remarks"],
                f"No tests: {len(maps)} subjects have {2 ** len(maps)} sign flips, too few for "
                f"p < .05; at least {MIN_SUBJECTS} subjects are needed.",
            ]
    if not permutations:
        test = "none"
    recording = next(iter(subjects.values()))
    provenance = provenance_of(
        {
            "seed": settings.seed,
            "permutations": permutations,
            "device": settings.device,
            "batch_size": settings.batch_size,
            **({"time": list(settings.time)} if settings.time else {}),
        }
    )
    if importlib.util.find_spec("nibabel"):
        provenance["versions"]["nibabel"] = metadata.version("nibabel")
    described = recording.describe() | {
        "regions": list(dict.fromkeys(r for s in subjects.values() for r in s.regions)),
        "subjects": list(maps) if len(maps) > 1 else recording.subjects,
        "simulated": any(s.simulated for s in subjects.values()),
        "n_neuroids": len(space),
    }
    return SearchlightResult(
        layers=tuple(rdms.names),
        aliases=tuple(info.alias for info in network_rdms.layers),
        space=space,
        scores=scores,
        p=p,
        p_cluster=p_cluster,
        p_of_best=p_best,
        by_subject=maps,
        sizes=sizes,
        meshes={side: mesh for side, (mesh, _) in meshes.items()},
        facts={
            "model": facts_of_network(network_rdms.network, rdms.names),
            "recording": described,
            "comparison": comparison | {"test": test},
        },
        provenance=provenance,
    )


def _common(maps: dict[str, SubjectMaps]) -> tuple[Volume | Surface, np.ndarray]:
    """Keep the places where all subjects have scores: space, and scores (subject, layer, place)."""
    where = []
    for of_subject in maps.values():
        defined = np.flatnonzero(np.isfinite(of_subject.scores).all(axis=0))
        keys = of_subject.space.keys
        where.append({keys[k]: k for k in defined})
    shared = [key for key in where[0] if all(key in others for others in where[1:])]
    if not shared:
        raise ProbeError("no place has a score in all subjects: their masks do not overlap")
    aligned = np.stack([
        of_subject.scores[:, [at[key] for key in shared]]
        for of_subject, at in zip(maps.values(), where, strict=True)
    ])  # fmt: skip
    first = next(iter(maps.values())).space
    return first.take(np.array([where[0][key] for key in shared])), aligned


def _over_subjects(
    aligned: np.ndarray,
    space: Volume | Surface,
    meshes: dict[str, Any],
    permutations: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, bool]:
    """Test mean scores against zero: by the largest t, and by clusters; (layer, place) each."""
    n_subjects, n_layers, n_places = aligned.shape
    if isinstance(space, Volume):
        adjacency = voxel_adjacency(space.voxels)
    else:
        graph, nodes = _joined(space, meshes)
        adjacency = graph[nodes][:, nodes]
    settings: dict[str, Any] = {"tail": "greater", "n_permutations": permutations, "seed": seed}
    try:
        of_layers = [max_statistic_test(aligned[:, m], **settings) for m in range(n_layers)]
        clusters = [
            cluster_test(aligned[:, m], adjacency=adjacency, **settings) for m in range(n_layers)
        ]
        joint = max_statistic_test(aligned.reshape(n_subjects, -1), **settings)
    except ValueError as error:
        raise ProbeError(f"scores over subjects: {error}") from None
    best = aligned.mean(axis=0).argmax(axis=0)
    p_best = joint.p_values.reshape(n_layers, n_places)[best, np.arange(n_places)]
    return (
        np.stack([test.p_values for test in of_layers]),
        np.stack([test.p_at_points for test in clusters]),
        p_best,
        len(joint.null),
        joint.exact,
    )
