"""A recording of one's own, from a folder of plain files.

::

    mylab/
        responses.npy     (stimulus, neuroid), (stimulus, repetition, neuroid), or, with times.csv,
                          (stimulus, repetition, time, neuroid); NaN where missing
        images/           the stimuli
        stimuli.csv       the order of the responses: stimulus_id, one row per response; an image's
                          name, with or without its ending, or its path. Optional where the sorted
                          names of the images are this order, and all ways of sorting them agree.
                          Its other columns are kept as coordinates of the stimuli: ``group``, of
                          pictures that belong together, ``variant``, of one that was changed
        neuroids.csv      optional: neuroid_id, subject, region; one row per neuroid. Without a
                          region, it is called after the folder. Its other columns are kept as
                          coordinates of the neuroids; i, j, k, of voxels, and vertex, of a
                          surface, as whole numbers
        times.csv         with responses over time: time_start_ms, time_end_ms, from stimulus onset;
                          one row per time bin, which does not include its end, or per sample, with
                          the same time twice
        recording.json    optional, written by `probe datasets import`: title, citation, licence,
                          response_unit, averaged, what was read and how; of voxels,
                          volume_shape and affine (row by row, to mm) of their volume, and space
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from probe import images
from probe.errors import ProbeError
from probe.formats.names import as_text, rivals
from probe.formats.tables import read_rows
from probe.recordings.pictures import picture_names
from probe.recordings.recording import RDM_DIMS, RESPONSE_DIMS, TIME_DIMS, Recording
from probe.recordings.space import first_outside
from probe.recordings.times import check_times
from probe.stimuli import StimulusSet

INDICES = ("i", "j", "k")
"""Columns of neuroids.csv that say which voxel of a volume each is."""

NEUROIDS = ("neuroid_id", "subject", "region")
"""Columns of neuroids.csv."""

TIMES = ("time_start_ms", "time_end_ms")
"""Columns of times.csv."""

SINGLE_DIMS = ("stimulus", "neuroid")
"""Of responses to pictures that were shown once, or averaged."""

RESERVED = (
    "stimulus_id", *NEUROIDS, *TIME_DIMS, "time_start", "time_end", *RDM_DIMS, "responses", "rdms",
)  # fmt: skip
"""Columns of stimuli.csv that are no coordinates: what a recording has by these names is other."""

MANIFEST = "recording.json"
"""Where a recording that was imported says where it comes from."""

SUBJECT = "1"
"""Where neuroids.csv names none."""


def from_folder(folder: Path | str) -> Recording:
    """Read a recording from a folder: see the head of this file for what is in it.

    Parameters
    ----------
    folder : path
        Its name becomes the recording's.

    Returns
    -------
    Recording

    Raises
    ------
    ProbeError
        If a file is missing or malformed, or responses and images do not fit; the message names
        the file, stimulus or neuroid. If what order the responses are in cannot be known: it takes
        stimuli.csv. If their axes cannot be told apart.

    See Also
    --------
    read_recording : Files of other kinds.
    load : Recordings by name.
    """
    folder = Path(folder).expanduser()
    responses = _responses(folder / "responses.npy")
    pictures = {p.name: p for p in sorted((folder / "images").glob("*")) if _is_picture(p)}
    if not pictures:
        raise ProbeError(
            f"folder {str(folder / 'images')!r} has no pictures: put the stimuli there"
        )
    coords: dict[str, tuple[str, Any]] = {}
    if (folder / "stimuli.csv").exists():
        table = _table(folder / "stimuli.csv", ("stimulus_id",))
        listed = list(table["stimulus_id"])
        _check_axes(folder, responses, len(listed), "rows", "stimuli.csv")
        names = _pictures_of(listed, list(pictures), folder)
        coords |= _of_stimuli(table, folder / "stimuli.csv")
        order = "stimuli.csv"
    else:
        names = list(pictures)
        _check_axes(folder, responses, len(names), "images", "images/")
        if (pair := rivals(names)) is not None:
            raise ProbeError(
                f"{str(folder / 'images')!r}: whether {pair[0]!r} comes before {pair[1]!r} "
                "depends on how names are sorted, and so would which response belongs to it: list "
                "the images in the order of responses.npy in stimuli.csv (column stimulus_id)"
            )
        order = "sorted names of the images"
    responses = responses[:, None, :] if responses.ndim == 2 else responses
    times = _times(folder / "times.csv", responses)
    n_neuroids = responses.shape[-1]
    neuroids = pd.DataFrame({"neuroid_id": [f"n{k + 1:04d}" for k in range(n_neuroids)]})
    if (folder / "neuroids.csv").exists():
        neuroids = _table(folder / "neuroids.csv", ("neuroid_id",))
        if len(neuroids) != n_neuroids:
            raise ProbeError(
                f"{str(folder / 'neuroids.csv')!r} has {len(neuroids)} rows; responses.npy has "
                f"{n_neuroids} neuroids"
            )
    coords["stimulus_id"] = ("stimulus", names)
    name = folder.resolve().name
    default = {"subject": SUBJECT, "region": name}
    for column in NEUROIDS:
        values = neuroids[column] if column in neuroids else [default[column]] * n_neuroids
        coords[column] = ("neuroid", list(values))
    # Group and variant are of stimuli, wherever they are looked for.
    besides = _other_columns(neuroids, folder / "neuroids.csv", (*coords, "group", "variant"))
    for other, cells in besides.items():
        coords[other] = ("neuroid", cells)
    coords |= _positions(besides, folder / "neuroids.csv")
    if times is not None:
        coords["time_start"], coords["time_end"] = ("time", times[:, 0]), ("time", times[:, 1])
    manifest = _manifest(folder / MANIFEST, responses, times)
    _check_voxels(coords, manifest, folder)
    data = xr.Dataset(
        {"responses": (RESPONSE_DIMS if times is None else TIME_DIMS, responses)},
        coords=coords,
        attrs={
            "name": name,
            "title": f"recording from the folder {name}",
            "citation": "",
            "licence": "",
            "source_hash": responses_hash(responses, times),
            "simulated": False,
            "stimulus_order": order,
            **manifest,
        },
    )
    return Recording(data, StimulusSet(list(pictures), list(pictures.values()), name))


def _of_stimuli(table: pd.DataFrame, path: Path) -> dict[str, tuple[str, list[str]]]:
    """Return what else is known of the stimuli, as coordinates."""
    columns = _other_columns(table, path)
    # Pictures without a group would be one group, that folds and resamples keep together.
    if "" in (groups := columns.get("group", [])):
        raise ProbeError(
            f"{str(path)!r} has no group in row {groups.index('') + 1}, not counting the header: "
            "expected one for every picture, a name of its own for one that belongs to no other"
        )
    return {name: ("stimulus", cells) for name, cells in columns.items()}


def _positions(columns: dict[str, list[str]], path: Path) -> dict[str, tuple[str, np.ndarray]]:
    """Return where neuroids are, as whole numbers: voxels of a volume, vertices of a surface."""
    named = (*INDICES,) if set(INDICES) <= set(columns) else ()
    positions: dict[str, tuple[str, np.ndarray]] = {}
    for name in (*named, *(["vertex"] if "vertex" in columns else [])):
        for row, cell in enumerate(columns[name], start=1):
            if not cell.isascii() or not cell.isdigit():
                raise ProbeError(
                    f"{str(path)!r} has {cell!r} in column {name!r}, row {row}, not counting the "
                    "header: expected a whole number ≥ 0"
                )
        positions[name] = ("neuroid", np.array([int(cell) for cell in columns[name]], np.int64))
    return positions


def _check_voxels(
    coords: dict[str, tuple[str, Any]], manifest: dict[str, Any], folder: Path
) -> None:
    """Check that voxels are in the volume that the manifest describes, each once."""
    if "volume_shape" not in manifest:
        return
    path = folder / "neuroids.csv"
    if lacking := [name for name in INDICES if name not in coords]:
        raise ProbeError(
            f"{str(path)!r} has no column {lacking[0]!r}, and {MANIFEST} gives a volume_shape: "
            "each voxel needs its i, j and k"
        )
    indices = np.stack([coords[name][1] for name in INDICES], axis=1)
    if (outside := first_outside(indices, manifest["volume_shape"])) is not None:
        shape = " × ".join(map(str, manifest["volume_shape"]))
        raise ProbeError(
            f"{str(path)!r}: the voxel {tuple(indices[outside].tolist())} in row "
            f"{outside + 1}, not counting the header, is outside the volume of {shape}"
        )
    unique, first = np.unique(indices, axis=0, return_index=True)
    if len(unique) < len(indices):
        row = int(np.setdiff1d(np.arange(len(indices)), first)[0])
        raise ProbeError(
            f"{str(path)!r}: the voxel {tuple(indices[row].tolist())} in row {row + 1}, not "
            "counting the header, occurs more than once"
        )


def _space(record: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return what a manifest says of the volume that voxels are in."""
    shape, affine, space = (record.get(name) for name in ("volume_shape", "affine", "space"))
    said: dict[str, Any] = {}
    if (shape is None) != (affine is None):
        raise ProbeError(f"{str(path)!r}: 'volume_shape' and 'affine' go together")
    if shape is not None and affine is not None:
        if (
            not isinstance(shape, list)
            or len(shape) != 3
            or not all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in shape)
        ):
            raise ProbeError(f"{str(path)!r}: 'volume_shape': expected three whole numbers > 0")
        if (
            not isinstance(affine, list)
            or len(affine) != 16
            or not all(isinstance(n, int | float) and np.isfinite(n) for n in affine)
        ):
            raise ProbeError(f"{str(path)!r}: 'affine': expected 16 numbers, row by row")
        said = {"volume_shape": tuple(shape), "affine": tuple(map(float, affine))}
    if space is not None:
        if not isinstance(space, str):
            raise ProbeError(f"{str(path)!r}: 'space': expected a text")
        said["space"] = space
    return said


def _other_columns(
    table: pd.DataFrame, path: Path, besides: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Return the columns of a table that can be coordinates."""
    names = [str(name) for name in table if name and name not in (*RESERVED, *besides)]
    for name in names:
        if names.count(name) > 1:
            raise ProbeError(f"{str(path)!r} has several columns {name!r}: name each once")
    return {name: [cell.strip() for cell in table[name]] for name in names}


def responses_hash(responses: np.ndarray, times: np.ndarray | None = None) -> str:
    """Return the SHA-256 of responses (stimulus, repetition, neuroid), and of their times."""
    digest = hashlib.sha256(np.ascontiguousarray(responses).tobytes())
    if times is not None:
        digest.update(np.ascontiguousarray(times).tobytes())
    return digest.hexdigest()


def _manifest(path: Path, responses: np.ndarray, times: np.ndarray | None) -> dict[str, Any]:
    """Read what an import wrote of the responses, and see that they are still these."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ProbeError(f"{str(path)!r} cannot be read ({error})") from None
    texts = ("title", "citation", "licence", "response_unit", "responses_sha256")
    if not isinstance(record, dict) or not all(isinstance(record.get(t), str) for t in texts):
        raise ProbeError(
            f"{str(path)!r} is not the manifest of an import: expected texts for {', '.join(texts)}"
        )
    if not isinstance(record.get("averaged"), bool):
        raise ProbeError(f"{str(path)!r}: 'averaged': expected true or false")
    if not isinstance(record.get("counts", True), bool):
        raise ProbeError(f"{str(path)!r}: 'counts': expected true or false")
    digest = responses_hash(responses, times)
    if record["responses_sha256"] != digest:
        raise ProbeError(
            f"{str(path.parent / 'responses.npy')!r} is not what was imported (recording.json has "
            "another hash): import it again, or remove recording.json"
        )
    # Other windows of the same files are other recordings.
    sources = json.dumps([record.get("sources"), digest], sort_keys=True)
    return {
        **{text: record[text] for text in texts[:4]},
        "averaged": record["averaged"],
        **({"counts": record["counts"]} if "counts" in record else {}),
        "source_hash": hashlib.sha256(sources.encode()).hexdigest(),
        **_space(record, path),
    }


def _pictures_of(listed: Sequence[str], pictures: Sequence[str], folder: Path) -> list[str]:
    """Return the file of each stimulus that is listed; a name that is none stays as it is."""
    for row, text in enumerate(listed, start=1):
        if not text.strip():
            raise ProbeError(
                f"{str(folder / 'stimuli.csv')!r} has no stimulus_id in row {row}, not counting "
                "the header"
            )
    meant = picture_names(listed, pictures)
    return [picture or as_text(text) for picture, text in zip(meant, listed, strict=True)]


def _check_axes(folder: Path, responses: np.ndarray, n: int, what: str, where: str) -> None:
    """Check that the first axis of the responses, and only that, is that of the stimuli."""
    shape = responses.shape
    path = folder / "responses.npy"
    if shape == (n, n):
        raise ProbeError(
            f"{str(path)!r} has shape {shape}, and {where} {n} {what}: which axis is that of the "
            f"stimuli is ambiguous; save it as ({n}, 1, {n}), which is (stimulus, repetition, "
            "neuroid)"
        )
    if shape[0] == n:
        return
    axes = [k for k, size in enumerate(shape) if size == n]
    if len(axes) == 1:
        dims = TIME_DIMS if len(shape) == 4 else RESPONSE_DIMS if len(shape) == 3 else SINGLE_DIMS
        remedy = "responses.T" if len(shape) == 2 else f"np.moveaxis(responses, {axes[0]}, 0)"
        raise ProbeError(
            f"{str(path)!r} has shape {shape}, and {where} {n} {what}: its stimuli seem to lie "
            f"along axis {axes[0]}; save {remedy}, whose axes are ({', '.join(dims)})"
        )
    if what == "rows":
        raise ProbeError(f"{str(folder / where)!r} has {n} rows; responses.npy has {shape[0]}")
    raise ProbeError(
        f"{str(folder)!r} has {n} images for {shape[0]} stimuli in responses.npy; leave out images "
        "that were not shown, or list those that were in stimuli.csv"
    )


def _responses(path: Path) -> np.ndarray:
    try:
        values = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise ProbeError(f"{str(path)!r} does not exist") from None
    except (OSError, ValueError, EOFError) as error:
        reason = str(error).split("\n")[0]
        raise ProbeError(f"{str(path)!r} is not a .npy file of numbers ({reason})") from None
    if values.dtype.kind not in "iufb" or values.ndim not in (2, 3, 4):
        raise ProbeError(
            f"{str(path)!r} holds {values.dtype} of shape {values.shape}: expected numbers of "
            "shape (stimulus, neuroid) or (stimulus, repetition, neuroid), or with times.csv "
            "(stimulus, repetition, time, neuroid)"
        )
    return values.astype(np.float64)


def _times(path: Path, responses: np.ndarray) -> np.ndarray | None:
    """Read the times of responses that have a time axis; None of others."""
    where = repr(str(path))
    if responses.ndim != 4:
        if path.exists():
            raise ProbeError(
                f"{where} exists, but responses.npy has no time axis: save it as (stimulus, "
                "repetition, time, neuroid)"
            )
        return None
    if not path.exists():
        raise ProbeError(
            f"responses.npy has four axes, but there is no {where} with its times: expected the "
            f"columns {' and '.join(TIMES)}"
        )
    table = _table(path, TIMES)
    if len(table) != responses.shape[2]:
        raise ProbeError(
            f"{where} has {len(table)} rows; responses.npy has {responses.shape[2]} times"
        )
    try:
        return check_times(
            np.column_stack([[float(cell) for cell in table[name]] for name in TIMES])
        )
    except ValueError as error:
        raise ProbeError(f"{where}: {error}") from None


def _table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        header, *rows = read_rows(path, repr(str(path))) or [[]]
    except ValueError as error:
        raise ProbeError(str(error)) from None
    header = [column.strip() for column in header]
    for column in columns:
        if column not in header:
            has = f"it has {', '.join(header)}" if header else "it is empty"
            raise ProbeError(f"{str(path)!r} has no column {column!r}; {has}")
    for k, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise ProbeError(
                f"{str(path)!r} has {len(row)} cells for {len(header)} columns in row {k}, not "
                "counting the header"
            )
    return pd.DataFrame(rows, columns=header, dtype=object)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in images.SUFFIXES and not path.name.startswith(".")
