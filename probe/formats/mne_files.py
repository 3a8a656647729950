"""Epochs and evoked responses of MEG and EEG, read by MNE: FIF, and EEGLAB's .set.

What mne 1.13 gives and a recording must not take as it comes:

- ``get_data()`` has all channels: stimulus, eye and bad ones. Here only those that measure the
  brain, without the bad ones.
- ``crop`` and ``tmin, tmax`` include both ends, and a sample that lies half a sample outside. They
  are not used.
- epochs that were dropped are in no list that was kept beside the file. Labels come from the
  epochs that are there.
- projections that are in the file and were not applied are applied on reading, without a word.
  Here values are as they were saved.
- an evoked response may be a standard error (``kind``). These are left out.
- FIF keeps single precision: values are right to 6e-8 of themselves.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from probe.formats import kinds

UNITS = {
    "mag": "T", "grad": "T/m", "eeg": "V", "seeg": "V", "ecog": "V", "dbs": "V", "csd": "V/m²",
}  # fmt: skip
"""Types of channels that measure the brain, and in what unit mne gives them."""


@dataclass(frozen=True, eq=False)
class Sensors:
    """Epochs, or evoked responses, of the channels that measure the brain.

    Attributes
    ----------
    values : numpy.ndarray, float64, shape (n_items, n_times, n_channels)
        In the units of `UNITS`.
    times : numpy.ndarray, shape (n_times,)
        Instants of the samples after the event, in seconds.
    names, types : list of str
        Of the channels.
    events : list of str
        What each item is called: the name of the epoch's event, or the comment of the average.
    columns : dict of str to list
        The metadata of the epochs.
    n_before : int
        Epochs before some were dropped; 0 where the file does not say.
    averaged : bool
        Whether the items are averages.
    notes : list of str
        What was left out, and what was done to the values before.
    """

    values: np.ndarray
    times: np.ndarray
    names: list[str]
    types: list[str]
    events: list[str]
    columns: dict[str, list[Any]] = field(default_factory=dict)
    n_before: int = 0
    averaged: bool = False
    notes: list[str] = field(default_factory=list)
    subject: str = ""


def read_sensors(path: Path, kind: str) -> Sensors:
    """Read a file of epochs or of evoked responses.

    Parameters
    ----------
    path : Path
    kind : str
        `probe.formats.kinds.FIF` or `probe.formats.kinds.EEGLAB`.

    Returns
    -------
    Sensors

    Raises
    ------
    ImportError
        If mne is not installed.
    ValueError
        If it holds neither, or cannot be read.
    """
    import mne  # an extra, and it takes a while to import

    with warnings.catch_warnings(), mne.utils.use_log_level("ERROR"):
        warnings.simplefilter("ignore")  # of names that do not end in -epo.fif
        if kind == kinds.EEGLAB:
            try:
                epochs = mne.read_epochs_eeglab(path)
            except Exception as error:  # whatever the bytes of a damaged file lead mne to
                raise ValueError(
                    f"is cut or damaged, or of a kind that mne does not read ({_first_line(error)})"
                ) from None
            return _epochs(epochs)
        for read, convert in ((mne.read_evokeds, _evoked), (mne.read_epochs, _epochs)):
            try:
                instance = read(path, proj=False)
            except Exception:  # it is of the other kind, or damaged
                continue
            if instance != []:  # evoked responses, of a file that has none
                return convert(instance)
        content = mne.what(path)
    if content in ("epochs", "evoked", "unknown"):
        raise ValueError(
            "is a FIF file that is cut or damaged, or of a kind that mne does not know"
        )
    raise ValueError(
        f"is a FIF file that holds {content}: expected epochs or evoked responses (mne.Epochs "
        "makes epochs of raw data)"
    )


def _first_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__


def _epochs(epochs: Any) -> Sensors:
    if not len(epochs):
        raise ValueError("holds no epochs: all were dropped")
    picks, notes = _channels(epochs)
    name_of = {code: name for name, code in epochs.event_id.items()}
    events = [name_of[code] for code in epochs.events[:, 2]]
    columns: dict[str, list[Any]] = {}
    if epochs.metadata is not None:
        columns = {str(name): list(cells) for name, cells in epochs.metadata.items()}
    n_before = len(epochs.drop_log)
    ignored = sum("IGNORED" in reasons for reasons in epochs.drop_log)
    if n_dropped := n_before - ignored - len(epochs):
        notes.append(f"{n_dropped} of {n_before - ignored} epochs were dropped before")
    values = epochs.get_data(picks=picks, copy=True).transpose(0, 2, 1)
    return Sensors(
        np.ascontiguousarray(values, dtype=np.float64), np.asarray(epochs.times),
        [epochs.ch_names[k] for k in picks], [epochs.get_channel_types()[k] for k in picks],
        events, columns, n_before - ignored, False, [*notes, *_processing(epochs)],
        _subject(epochs),
    )  # fmt: skip


def _evoked(all_evoked: list[Any]) -> Sensors:
    evoked = [one for one in all_evoked if one.kind == "average"]
    if not evoked:
        raise ValueError("holds standard errors only, no averages")
    first = evoked[0]
    picks, notes = _channels(first)
    if errors := len(all_evoked) - len(evoked):
        notes.append(f"left out: {errors} standard errors")
    for other in evoked[1:]:
        if other.times.shape != first.times.shape or not np.allclose(other.times, first.times):
            raise ValueError(
                f"holds averages of different times: {first.comment!r} and {other.comment!r}"
            )
    averages = sorted({one.nave for one in evoked})
    notes.append(f"averages of {averages[0]}{f' to {averages[-1]}' if averages[1:] else ''} epochs")
    return Sensors(
        np.stack([one.data[picks].T for one in evoked]).astype(np.float64), np.asarray(first.times),
        [first.ch_names[k] for k in picks], [first.get_channel_types()[k] for k in picks],
        [one.comment or "" for one in evoked], {}, 0, True, [*notes, *_processing(first)],
        _subject(first),
    )  # fmt: skip


def _channels(instance: Any) -> tuple[list[int], list[str]]:
    """Return which channels measure the brain and are not bad, and what is left out, in words."""
    types = instance.get_channel_types()
    bads = set(instance.info["bads"])
    picks: list[int] = []
    bad: list[str] = []
    left_out: dict[str, int] = {}
    for k, (name, kind) in enumerate(zip(instance.ch_names, types, strict=True)):
        if kind not in UNITS:
            left_out[kind] = left_out.get(kind, 0) + 1
        elif name in bads:
            bad.append(name)
        else:
            picks.append(k)
    if not picks:
        raise ValueError(
            f"has no good channel that measures the brain: there are {_listed(left_out) or 'none'}"
            + (f" and bad ones, {', '.join(bad[:5])}" if bad else "")
        )
    counted = [f"{n} {kind} channel{'s' if n > 1 else ''}" for kind, n in left_out.items()]
    notes = [f"left out: {', '.join(counted)}"] if counted else []
    if bad:
        listed = ", ".join(bad[:5]) + (", …" if len(bad) > 5 else "")
        notes.append(f"left out: {len(bad)} bad channel{'s' if bad[1:] else ''}, {listed}")
    return picks, notes


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in counts.items())


def _subject(instance: Any) -> str:
    """Return what the file calls the person; empty where it does not say."""
    return str((instance.info["subject_info"] or {}).get("his_id") or "")


def _processing(instance: Any) -> list[str]:
    if instance.baseline is None:
        baseline = "no baseline was subtracted"
    else:
        start, end = instance.baseline
        span = f"{1000 * start:.6g} to {1000 * end:.6g} ms"
        baseline = f"the mean of {span} was subtracted as baseline"
    notes = [baseline]
    active = [bool(projector["active"]) for projector in instance.info["projs"]]
    if n := sum(active):
        notes.append(f"projections applied before (SSP, average reference): {n}")
    if n := len(active) - sum(active):
        notes.append(
            f"projections in the file that are not applied, as the values were saved: {n} (mne "
            "applies them on reading)"
        )
    return notes
