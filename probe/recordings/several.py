"""Several things that a user names at once, and the recordings among them.

Importing this module imports neither NumPy nor torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probe import recordings
from probe.errors import ProbeError, suggest

if TYPE_CHECKING:
    from probe.recordings import Recording
    from probe.recordings.timing import Step, Time

EVERY = "all"
"""Word for every region of a recording."""


def several(given: Any) -> list[Any] | None:
    """Return the things of a list, or of a text with commas; None for a single thing.

    The name of a file or folder that exists is one thing, whatever commas it has.

    Raises
    ------
    ProbeError
        If a list is empty.
    """
    if not isinstance(given, str):
        # An array or a table is one thing, if none that is known here.
        if not isinstance(given, Iterable) or hasattr(given, "shape") or _is_module(given):
            return None
        if not (things := list(given)):
            raise ProbeError("expected at least one model, dataset or region, not an empty list")
        return things
    paths = (given, given.removeprefix("file:"), given.partition("@")[2])
    if "," not in given or any(path and Path(path).expanduser().exists() for path in paths):
        return None
    return [part.strip() for part in given.split(",")]


def check_names(dataset: str, region: str | None = None) -> None:
    """Check that there are recordings of some names, separated by commas, and that they have a
    region, where it is one.

    Raises
    ------
    ProbeError
        With the nearest names, of the first that there is not.
    """
    for name in several(dataset) or [dataset]:
        recordings.check_name(name)
        if region != EVERY and several(region) is None:
            recordings.check_region(name, region)


def load_recordings(
    datasets: Sequence[str | Recording],
    region: str | Sequence[str] | None = None,
    subject: str | None = None,
    *,
    min_reliability: float | None = None,
    accept_licence: bool = False,
    progress: bool | None = None,
) -> list[Recording]:
    """Load recordings, one per dataset and region, in the order of datasets.

    Parameters
    ----------
    datasets : sequence of str or Recording
    region : str or sequence of str, optional
        One region; several, of which every recording is taken in those that it has; or ``all``.
        By default, the recording's own default.
    subject : str, optional
        By default, all.
    min_reliability : float, optional
        Leave neuroids unread whose published reliability is less. Of repetitions nothing is asked
        here: see `probe.recordings.select_reliable`.
    accept_licence : bool
        Accept the terms of a dataset that restricts its use.
    progress : bool, optional
        Show downloads; by default when a person is watching.

    Returns
    -------
    list of Recording
        Each of one region. What is named twice is given once.

    Raises
    ------
    ProbeError
        If a recording cannot be had, or lacks the subject or all the regions.
    """
    from probe.recordings.brainscore import Part
    from probe.recordings.recording import Recording

    def load(dataset: str | Recording, region: str | None) -> Recording:
        if isinstance(dataset, Recording):
            return dataset.select(region, subject)
        if not isinstance(dataset, str | Path):
            shape = f" of shape {dataset.shape}" if hasattr(dataset, "shape") else ""
            raise ProbeError(
                f"dataset is a {type(dataset).__name__}{shape}: expected a name, the path of a "
                "folder, or a probe.recordings.Recording, which says what was shown"
            )
        dataset = str(dataset)
        part = Part(region, subject, min_reliability)
        return recordings.load_part(dataset, part, accept_licence, progress)

    if region is None:
        return _different((dataset, load(dataset, None)) for dataset in datasets)
    if isinstance(region, str) and region != EVERY and several(region) is None:
        return _different((dataset, load(dataset, region)) for dataset in datasets)
    region_names = list(dict.fromkeys(several(region) or [EVERY]))
    there = [_regions_of(dataset, load) for dataset in datasets]
    all_regions = list(dict.fromkeys(name for names in there for name in names))
    if unknown := [name for name in region_names if name not in (*all_regions, EVERY)]:
        raise ProbeError(
            f"no region {unknown[0]!r} in these recordings{suggest(unknown[0], all_regions)}"
        )
    pairs = []
    for dataset, names in zip(datasets, there, strict=True):
        chosen = (
            names if EVERY in region_names else [name for name in region_names if name in names]
        )
        if not chosen:
            name = dataset.name if isinstance(dataset, Recording) else str(dataset)
            raise ProbeError(f"{name} has none of these regions{suggest(region_names[0], names)}")
        pairs += [(dataset, name) for name in chosen]
    return _different((dataset, load(dataset, name)) for dataset, name in pairs)


def load_scored(
    datasets: Sequence[str | Recording],
    region: str | Sequence[str] | None = None,
    subject: str | None = None,
    *,
    time: Time = None,
    step: Step = None,
    min_reliability: float | None = None,
    seed: int = 0,
    accept_licence: bool = False,
    progress: bool | None = None,
) -> list[Recording]:
    """Load recordings as they are scored: in a window of time, and their reliable neuroids.

    Parameters
    ----------
    datasets, region, subject, accept_licence, progress
        See `load_recordings`.
    time, step
        See `probe.recordings.timing.in_time`.
    min_reliability : float, optional
        Keep the neuroids that are at least as reliable in this time, see
        `probe.recordings.select_reliable`. By default all.
    seed : int
        Of the division of the repetitions for that.

    Returns
    -------
    list of Recording

    Raises
    ------
    ProbeError
        If a recording cannot be had, lacks what is asked of it, or has no reliable neuroids.
    """
    from probe.recordings.timing import in_time

    loaded = load_recordings(
        datasets, region, subject, min_reliability=min_reliability, accept_licence=accept_licence,
        progress=progress,
    )  # fmt: skip
    loaded = in_time(loaded, time, step)
    if min_reliability is None:
        return loaded
    return [
        recordings.select_reliable(recording, min_reliability, seed=seed) for recording in loaded
    ]


def _regions_of(
    dataset: str | Recording, load: Callable[[str | Recording, str | None], Recording]
) -> list[str]:
    from probe.recordings.recording import Recording

    if isinstance(dataset, Recording):
        return dataset.regions
    if not isinstance(dataset, str | Path):
        return load(dataset, None).regions  # says what it is
    dataset = str(dataset)
    head = recordings.head_of(dataset)
    for entry in recordings.available():
        if head in (entry.name, *entry.aliases):
            return list(entry.regions)
    if Path(dataset).expanduser().is_dir():
        return recordings.from_folder(dataset).regions
    return load(dataset, None).regions  # says what is wrong with the name


def _different(loaded: Iterable[tuple[str | Recording, Recording]]) -> list[Recording]:
    """Leave out what was named twice; two recordings of one name cannot be told apart."""
    from probe.recordings.recording import Recording

    different: dict[tuple[str, ...], Recording] = {}
    for dataset, recording in loaded:
        key = (recording.name, *recording.regions)
        if key in different and isinstance(dataset, Recording):
            raise ProbeError(
                f"two recordings are called {recording.name!r}; the attribute 'name' of their "
                "data tells them apart"
            )
        different.setdefault(key, recording)
    return list(different.values())


def _is_module(given: Any) -> bool:
    torch = sys.modules.get("torch")  # there is no module of it where it is not loaded
    return torch is not None and isinstance(given, torch.nn.Module)  # nn.Sequential is iterable
