"""A recording of one's own, from a folder of plain files.

::

    mylab/
        responses.npy     (stimulus, neuroid) or (stimulus, repetition, neuroid); NaN where missing
        images/           the stimuli; their sorted file names are the order of the responses
        stimuli.csv       optional: stimulus_id, one row per response; an image's name, with or
                          without its ending
        neuroids.csv      optional: neuroid_id, subject, region; one row per neuroid
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from probe import images
from probe.errors import ProbeError
from probe.recordings.recording import Recording
from probe.stimuli import StimulusSet

DEFAULTS = {"subject": "subject-1", "region": "unnamed"}


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
        the file, stimulus or neuroid.
    """
    folder = Path(folder).expanduser()
    responses = _responses(folder / "responses.npy")
    pictures = {p.name: p for p in sorted((folder / "images").glob("*")) if _is_picture(p)}
    if not pictures:
        raise ProbeError(
            f"folder {str(folder / 'images')!r} has no pictures: put the stimuli there"
        )
    if (folder / "stimuli.csv").exists():
        wanted = _table(folder / "stimuli.csv", len(responses), ("stimulus_id",))["stimulus_id"]
        # Of two pictures that differ in their endings only, the ending has to be given.
        stems = Counter(path.stem for path in pictures.values())
        by_stem = {p.stem: name for name, p in pictures.items() if stems[p.stem] == 1}
        names = [w if w in pictures else by_stem.get(w, w) for w in wanted]
    else:
        names = list(pictures)
        if len(names) != len(responses):
            raise ProbeError(
                f"{str(folder)!r} has {len(names)} images for {len(responses)} stimuli in "
                "responses.npy; leave out what was not shown, or list what was in stimuli.csv"
            )
    n_neuroids = responses.shape[2]
    neuroids = pd.DataFrame({"neuroid_id": [f"n{k + 1:04d}" for k in range(n_neuroids)]})
    if (folder / "neuroids.csv").exists():
        neuroids = _table(folder / "neuroids.csv", n_neuroids, ("neuroid_id",))
    coords: dict[str, tuple[str, list[str]]] = {"stimulus_id": ("stimulus", names)}
    for column in ("neuroid_id", "subject", "region"):
        values = neuroids[column] if column in neuroids else [DEFAULTS[column]] * n_neuroids
        coords[column] = ("neuroid", list(values))
    digest = hashlib.sha256(np.ascontiguousarray(responses).tobytes()).hexdigest()
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), responses)},
        coords=coords,
        attrs={
            "name": folder.resolve().name,
            "title": f"recording from the folder {folder.resolve().name}",
            "citation": "",
            "licence": "",
            "source_hash": digest,
            "simulated": False,
        },
    )
    return Recording(data, StimulusSet(list(pictures), list(pictures.values()), folder.name))


def _responses(path: Path) -> np.ndarray:
    try:
        values = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise ProbeError(f"there is no {str(path)!r}") from None
    except (OSError, ValueError, EOFError) as error:
        reason = str(error).split("\n")[0]
        raise ProbeError(f"{str(path)!r} is not a .npy file of numbers ({reason})") from None
    if values.dtype.kind not in "iufb" or values.ndim not in (2, 3):
        raise ProbeError(
            f"{str(path)!r} holds {values.dtype} of shape {values.shape}; wanted numbers of shape "
            "(stimulus, neuroid) or (stimulus, repetition, neuroid)"
        )
    values = values.astype(np.float64)
    return values if values.ndim == 3 else values[:, None, :]


def _table(path: Path, n_rows: int, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise ProbeError(f"{str(path)!r} cannot be read ({str(error).splitlines()[0]})") from None
    for column in columns:
        if column not in table:
            raise ProbeError(
                f"{str(path)!r} has no column {column!r}; it has {', '.join(table.columns)}"
            )
    if len(table) != n_rows:
        raise ProbeError(f"{str(path)!r} has {len(table)} rows; responses.npy has {n_rows}")
    return table


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in images.SUFFIXES and not path.name.startswith(".")
