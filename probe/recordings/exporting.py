"""Recordings for other programs: Brain-Score's netCDF, tidy tables, and rsatoolbox."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from probe.errors import ProbeError
from probe.formats.netcdf import write_netcdf
from probe.output.replacing import replacing

if TYPE_CHECKING:
    from probe.recordings.recording import Recording

BRAIN_SCORE_DIMS = ("presentation", "neuroid", "time_bin")

IN_BRAIN_SCORE = {"subject": "animal"}
"""Coordinates of neuroids that Brain-Score calls otherwise."""

TIMES = ("time_start", "time_end")

UNIT = "response_unit"
"""Column of a tidy table that says what a response is."""


def save(recording: Recording, path: Path | str) -> Path:
    """Write a recording as a file of another program; see `Recording.save`."""
    path = Path(path).expanduser()
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise ProbeError(
            f"{str(path)!r}: expected a name that ends in {', '.join(WRITERS)} (.nc is "
            "Brain-Score's netCDF, the others are tidy tables)"
        )
    if not recording.has_responses:
        raise ProbeError(
            f"recording {recording.name!r} holds RDMs only, no responses to write: "
            "recording.rdms() gives them"
        )
    if not path.parent.is_dir():
        raise ProbeError(
            f"{str(path)!r} cannot be written: folder {str(path.parent)!r} does not exist"
        )
    try:
        with replacing(path) as partial:
            writer(recording, partial)
    except OSError as error:
        reason = error.strerror or str(error).split("\n")[0]
        raise ProbeError(f"{str(path)!r} cannot be written ({reason})") from None
    return path


def _presentations(recording: Recording) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return stimulus and repetition of each presentation, and responses (…, time, neuroid).

    Presentations of which nothing is there are left out.
    """
    values = recording.data["responses"].values
    if values.ndim == 3:
        values = values[:, :, None]
    is_presented = np.isfinite(values).any(axis=(2, 3))
    stimulus, repetition = np.nonzero(is_presented)
    return stimulus, repetition, values[is_presented]


def _coords(recording: Recording, dim: str) -> dict[str, np.ndarray]:
    """Return the coordinates of stimuli or neuroids: numbers, or texts."""
    coords = {}
    for name, coord in recording.data.coords.items():
        if coord.dims == (dim,):
            values = coord.values
            if values.dtype.kind not in "biuf":
                values = np.array([str(cell) for cell in values], dtype=object)
            coords[str(name)] = values
    return coords


def _times(recording: Recording) -> np.ndarray | None:
    """Return beginnings and ends in ms, (n_times, 2); None without a time axis."""
    if "time" not in recording.data["responses"].dims:
        return None
    return np.stack([recording.data[name].values for name in TIMES], axis=1)


def _write_brain_score(recording: Recording, path: Path) -> None:
    stimulus, repetition, values = _presentations(recording)
    coords: dict[str, tuple[str, np.ndarray]] = {}

    def add(name: str, dim: str, of_dim: np.ndarray) -> None:
        if name in coords or name in BRAIN_SCORE_DIMS:
            raise ProbeError(
                f"recording {recording.name!r} has a coordinate {name!r}, which means something "
                "else in Brain-Score's files: rename it"
            )
        coords[name] = (dim, of_dim)

    add("stimulus_id", "presentation", np.array(recording.stimuli.ids, dtype=object)[stimulus])
    add("repetition", "presentation", repetition.astype(np.int64))
    for name, of_stimuli in _coords(recording, "stimulus").items():
        if name != "stimulus_id":
            add(name, "presentation", of_stimuli[stimulus])
    for name, of_neuroids in _coords(recording, "neuroid").items():
        add(IN_BRAIN_SCORE.get(name, name), "neuroid", of_neuroids)
    times = _times(recording)
    if times is not None:
        for k, part in enumerate(("start", "end")):
            add(f"time_bin_{part}", "time_bin", times[:, k])
    about = recording.describe()
    attrs = {"identifier": recording.name}
    attrs |= {name: about[name] for name in ("title", "citation", "licence") if about[name]}
    unit = about["response_unit"]
    if unit and "since" not in unit:  # of which xarray makes dates
        attrs["units"] = unit
    if about["selection"]:
        attrs["selection"] = about["selection"]["said"]
    if about["simulated"]:
        attrs["simulated"] = "generated, not measured"
    write_netcdf(path, "responses", values.swapaxes(1, 2), BRAIN_SCORE_DIMS, coords, attrs)


def tidy(recording: Recording) -> pd.DataFrame:
    """Return one row per response that is there: of a presentation, neuroid and time.

    Columns: ``stimulus_id`` and the other coordinates of stimuli, ``repetition``, ``neuroid_id``
    and the other coordinates of neuroids, ``time_start_ms`` and ``time_end_ms`` where there are
    several times, ``response_unit`` where it is known, and ``response``.
    """
    stimulus, repetition, values = _presentations(recording)
    row, time, neuroid = np.nonzero(np.isfinite(values))
    columns: dict[str, Any] = {}
    for name, of_stimuli in _coords(recording, "stimulus").items():
        columns[name] = of_stimuli[stimulus[row]]
    columns["repetition"] = repetition[row]
    for name, of_neuroids in _coords(recording, "neuroid").items():
        columns[name] = of_neuroids[neuroid]
    times = _times(recording)
    if times is not None:
        columns |= {f"{name}_ms": times[time, k] for k, name in enumerate(TIMES)}
    if unit := recording.describe()["response_unit"]:
        columns[UNIT] = np.full(len(row), unit, dtype=object)
    columns["response"] = values[row, time, neuroid]
    return pd.DataFrame(columns)


def _write_csv(recording: Recording, path: Path) -> None:
    tidy(recording).to_csv(path, index=False)


def _write_parquet(recording: Recording, path: Path) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise ProbeError(
            ".parquet files need pyarrow: pip install 'cnn-probe[parquet]', or write .csv"
        )
    tidy(recording).to_parquet(path, index=False, engine="pyarrow")


WRITERS: dict[str, Callable[[Recording, Path], None]] = {
    ".nc": _write_brain_score,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
"""By the end of the file's name."""


def to_rsatoolbox(recording: Recording) -> Any:
    """Return responses as an object of rsatoolbox; see `Recording.to_rsatoolbox`."""
    if importlib.util.find_spec("rsatoolbox") is None:
        raise ProbeError("rsatoolbox is not installed: pip install rsatoolbox")
    if not recording.has_responses:
        raise ProbeError(
            f"recording {recording.name!r} holds RDMs only, no responses: "
            "probe.similarity.RDMs.to_rsatoolbox gives RDMs"
        )
    from rsatoolbox.data import Dataset, TemporalDataset

    stimulus, repetition, values = _presentations(recording)
    observations = {
        name: [*of_stimuli[stimulus]] for name, of_stimuli in _coords(recording, "stimulus").items()
    } | {"repetition": [*repetition]}
    channels = {name: [*cells] for name, cells in _coords(recording, "neuroid").items()}
    described: dict[str, Any] = {
        "descriptors": {"recording": recording.name},
        "obs_descriptors": observations,
        "channel_descriptors": channels,
    }
    times = _times(recording)
    if times is None:
        return Dataset(values[:, 0], **described)
    of_time = {"time": [*times.mean(axis=1)], "time_start": [*times[:, 0]],
               "time_end": [*times[:, 1]]}  # fmt: skip
    return TemporalDataset(values.swapaxes(1, 2), **described, time_descriptors=of_time)
