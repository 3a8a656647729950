"""How a dataset's files become a `Recording`: one function per layout of files.

Every loader has the name that its manifest gives, and takes the manifest, a session,
``fetch(manifest, file_name)``, which gives the path of a file whose hash was checked, and the part
that is wanted: a loader may leave the rest unread, or give more.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from probe.assets.manifest import Manifest, manifests
from probe.errors import ProbeError
from probe.recordings.brainscore import Part, read_assembly, read_stimuli
from probe.recordings.recording import Recording
from probe.stimuli import StimulusSet

Fetch = Callable[[Manifest, str], Path]

SUPPLEMENT = "Kriegeskorte_Neuron2008_supplementalData.mat"
MAX_PICTURE_BYTES = 64 * 2**20
ALL = Part()


def cowley2023(
    manifest: Manifest, session: str | None, fetch: Fetch, part: Part = ALL
) -> Recording:
    """Macaque V4 spike counts of one session of Cowley et al.

    The raw file, with single repetitions, is taken where the manifest has one; other sessions
    were published as means over repetitions.
    """
    session = session or str(manifest.default_session)
    subject = manifest.sessions[session].subject
    names = {file.name for file in manifest.files}
    pictures, raw = f"images_{session}.zip", f"responses_raw_{session}.npy"
    averaged = raw not in names
    chosen = f"responses_{session}.npy" if averaged else raw
    stimuli = _zipped_pictures(fetch(manifest, pictures), f"{manifest.name}/{session}")
    path = fetch(manifest, chosen)
    try:
        responses = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _broken(path, error) from None
    n_axes = 2 if averaged else 3
    if responses.ndim != n_axes or responses.shape[1] != len(stimuli):
        raise ProbeError(
            f"file {str(path)!r} has shape {responses.shape}: expected (neurons, {len(stimuli)} "
            f"images{'' if averaged else ', repetitions'})"
        )
    if averaged:
        responses = responses[:, :, None]
    n = len(responses)
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), responses.transpose(1, 2, 0))},
        coords={
            "stimulus_id": ("stimulus", list(stimuli.ids)),
            "subject": ("neuroid", [subject] * n),
            "region": ("neuroid", ["V4"] * n),
            "neuroid_id": ("neuroid", [f"{subject}-{session}-{k:02d}" for k in range(n)]),
            **_variants(session, len(stimuli)),
        },
        attrs=_attrs(manifest, (pictures, chosen), session)
        | {"response_unit": "spikes per 100 ms", "averaged": averaged},
    )
    return Recording(data, stimuli)


def _variants(session: str, n: int) -> dict[str, tuple[str, list[Any]]]:
    """Return which pictures of a session are variants of one: they never stand on both sides.

    Session 210305 has 100 synthesised pictures, then twice 50 photographs followed by the same 50
    with one region blurred (A) and the same 50 with another (B), as one sees by looking at them.
    """
    if session != "210305" or n != 400:
        return {}
    photographs = [*range(50)] * 3 + [*range(50, 100)] * 3
    variants = ["", "A", "B"]
    return {
        "group": ("stimulus", [*range(100), *(100 + k for k in photographs)]),
        "kind": ("stimulus", ["synthesised"] * 100 + ["photograph"] * 300),
        "variant": ("stimulus", [""] * 100 + [v for v in variants * 2 for _ in range(50)]),
    }


def kriegeskorte2008(
    manifest: Manifest, session: str | None, fetch: Fetch, part: Part = ALL
) -> Recording:
    """RDMs of human IT (4 subjects, 2 sessions each) and monkey IT (one RDM)."""
    path = fetch(manifest, "92_brainRDMs.mat")
    brain = _matlab(path, "RDMs").ravel()
    rows, subjects, regions, sessions = [], [], [], []
    with _reading(path):
        for entry in brain:
            # named like 'hIT | BE | Session: 1'
            _, subject, which = (part.strip() for part in str(entry["name"].item()).split("|"))
            rows.append(_condensed(entry["RDM"], path))
            subjects.append(subject)
            regions.append("IT-human")
            sessions.append(which.removeprefix("Session:").strip())
    path = fetch(manifest, SUPPLEMENT)
    supplement = _matlab(path, "RDMs_mIT_hIT_fig1").ravel()
    with _reading(path):
        monkey = {str(e["name"].item()): e["RDM"].ravel() for e in supplement}["mIT_674neurons"]
    stimuli, categories = _objects92(path)
    data = xr.Dataset(
        {"rdms": (("rdm", "pair"), np.stack([*rows, monkey]).astype(np.float64))},
        coords={
            "stimulus_id": ("stimulus", list(stimuli.ids)),
            **{name: ("stimulus", values) for name, values in categories.items()},
            "subject": ("rdm", [*subjects, "mIT_674neurons"]),
            "region": ("rdm", [*regions, "IT-monkey"]),
            "session": ("rdm", [*sessions, "pooled"]),
        },
        attrs=_attrs(manifest, ("92_brainRDMs.mat", SUPPLEMENT)) | {"response_unit": "1 - r"},
    )
    return Recording(data, stimuli)


def kriegeskorte_models(fetch: Fetch, manifest: Manifest | None = None) -> dict[str, np.ndarray]:
    """Return the eight model RDMs that were published with kriegeskorte2008.

    Returns
    -------
    dict of str to numpy.ndarray, shape (4186,)
        animacy, FaceBodyManmadeNatobj, monkeyIT, EVA, HMAX, V1, Silhouette and RADON, in the
        order of ``numpy.triu_indices(92, 1)``.
    """
    manifest = manifest or manifests()["kriegeskorte2008"]
    path = fetch(manifest, "92_modelRDMs.mat")
    models = _matlab(path, "Models").ravel()
    with _reading(path):
        return {str(m["name"].item()): _condensed(m["RDM"], path) for m in models}


def cichy2014(manifest: Manifest, session: str | None, fetch: Fetch, part: Part = ALL) -> Recording:
    """RDMs of early visual cortex and IT of 15 subjects, shown the 92 images.

    The pictures come with kriegeskorte2008, on mid-grey; the challenge's own files seem to have
    had a white background.
    """
    pictures = manifests()[str(manifest.stimuli_from)]
    import h5py  # only here: it takes a while to import

    path = fetch(manifest, "target_fmri_92.mat")
    rows, subjects, regions = [], [], []
    try:
        with h5py.File(path, "r") as opened:
            matrices = {region: np.asarray(opened[f"{region}_RDMs"]) for region in ("EVC", "IT")}
    except (OSError, KeyError) as error:
        raise _broken(path, error) from None
    for region, per_subject in matrices.items():
        for k in range(per_subject.shape[-1]):
            rows.append(_condensed(per_subject[..., k], path))
            subjects.append(f"sub-{k + 1:02d}")
            regions.append(region)
    stimuli, categories = _objects92(fetch(pictures, SUPPLEMENT))
    attrs = _attrs(manifest, ("target_fmri_92.mat",)) | {"response_unit": "1 - r"}
    attrs["source_hash"] = _source_hash(
        [attrs["source_hash"], _source_hash(_checksums(pictures, (SUPPLEMENT,)))]
    )
    data = xr.Dataset(
        {"rdms": (("rdm", "pair"), np.stack(rows))},
        coords={
            "stimulus_id": ("stimulus", list(stimuli.ids)),
            **{name: ("stimulus", values) for name, values in categories.items()},
            "subject": ("rdm", subjects),
            "region": ("rdm", regions),
        },
        attrs=attrs,
    )
    return Recording(data, stimuli)


def brainscore(
    manifest: Manifest, session: str | None, fetch: Fetch, part: Part = ALL
) -> Recording:
    """Responses in Brain-Score's files: one .nc, one .csv and one .zip per session.

    Table and archive of the pictures may be those of another manifest (``stimuli_from``).
    """
    pictures = manifest if manifest.stimuli_from is None else manifests()[manifest.stimuli_from]
    assembly = _only_file(manifest, session, ".nc")
    table, archive = (_only_file(pictures, session, ending) for ending in (".csv", ".zip"))
    attrs = _attrs(manifest, (assembly,), session)
    attrs["source_hash"] = _source_hash(
        [attrs["source_hash"], *_checksums(pictures, (table, archive))]
    )
    stimuli = read_stimuli(fetch(pictures, table), fetch(pictures, archive), Path(archive).stem)
    return read_assembly(manifest, fetch(manifest, assembly), stimuli, part, attrs)


def _only_file(manifest: Manifest, session: str | None, ending: str) -> str:
    """Return the name of a session's only file of one kind."""
    names = [f.name for f in manifest.files_of(session) if f.name.lower().endswith(ending)]
    if len(names) != 1:
        of_session = f", session {session!r}" if session else ""
        raise ProbeError(
            f"manifest {manifest.name!r}{of_session}: expected one file {ending}, and there are "
            f"{len(names)}" + (f": {', '.join(names)}" if names else "")
        )
    return names[0]


LOADERS: dict[str, Callable[[Manifest, str | None, Fetch, Part], Recording]] = {
    "brainscore": brainscore,
    "cowley2023": cowley2023,
    "kriegeskorte2008": kriegeskorte2008,
    "cichy2014": cichy2014,
}
"""The loaders that a manifest may name."""


def _objects92(path: Path) -> tuple[StimulusSet, dict[str, Any]]:
    """The 92 pictures, 'object-01' to 'object-92', and what they show."""
    objects = _matlab(path, "stimuli_92objs").ravel()
    with _reading(path):
        ids = [f"object-{k + 1:02d}" for k in range(len(objects))]
        stimuli = StimulusSet(
            ids, [np.ascontiguousarray(o["image"]) for o in objects], "92 objects"
        )
        categories: dict[str, Any] = {"category": [str(o["category"].item()) for o in objects]}
        for flag in ("human", "face", "animal", "natural"):
            categories[flag] = [bool(o[flag].item()) for o in objects]
    return stimuli, categories


def _zipped_pictures(path: Path, name: str) -> StimulusSet:
    """Read the JPEG files of an archive into memory, sorted by name; nothing is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {
                Path(member.filename).name: member
                for member in archive.infolist()
                if not member.is_dir()
                and not member.filename.startswith("__MACOSX/")
                and member.filename.lower().endswith((".jpg", ".jpeg"))
            }
            if too_large := [n for n, m in members.items() if m.file_size > MAX_PICTURE_BYTES]:
                raise ProbeError(f"file {str(path)!r}: picture {too_large[0]!r} is too large")
            ids = sorted(members)
            return StimulusSet(ids, [archive.read(members[i]) for i in ids], name)
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise _broken(path, error) from None


def _matlab(path: Path, variable: str) -> np.ndarray:
    import scipy.io  # only here: it takes a while to import

    try:
        return np.asarray(scipy.io.loadmat(path, variable_names=[variable])[variable])
    except Exception as error:  # SciPy's reader lets many kinds through on a broken file
        raise _broken(path, error) from None


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file's content is taken apart into a `ProbeError`."""
    try:
        yield
    except ProbeError:
        raise
    except (KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
        raise _broken(path, error) from None


def _broken(path: Path, error: BaseException) -> ProbeError:
    reason = str(error).split("\n")[0] or type(error).__name__
    return ProbeError(f"file {str(path)!r} is not what its manifest says ({reason})")


def _condensed(matrix: np.ndarray, path: Path) -> np.ndarray:
    """Upper triangle of a symmetric RDM, row by row."""
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ProbeError(f"file {str(path)!r} holds an RDM of shape {matrix.shape}, not square")
    if not np.allclose(matrix, matrix.T, atol=1e-6, equal_nan=True):
        raise ProbeError(f"file {str(path)!r} holds an RDM that is not symmetric")
    return matrix[np.triu_indices(len(matrix), 1)]


def _attrs(manifest: Manifest, used: Sequence[str], session: str | None = None) -> dict[str, Any]:
    return {
        "name": f"{manifest.name}/{session}" if session else manifest.name,
        "title": manifest.title,
        "citation": manifest.citation,
        "licence": manifest.licence.name,
        "homepage": manifest.homepage,
        "source_hash": _source_hash(_checksums(manifest, used)),
        "simulated": False,
        "averaged": False,
    }


def _checksums(manifest: Manifest, used: Sequence[str]) -> list[str]:
    declared = {file.name: file.checksum for file in manifest.files}
    return [f"{name} {':'.join(declared[name])}" for name in used]


def _source_hash(lines: Sequence[str]) -> str:
    """SHA-256 over the (checked) hashes of all files that went into the recording."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
