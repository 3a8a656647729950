"""Recordings by name, real and simulated, and folders of a user's own."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import replace

from probe import assets, recordings
from probe.errors import ProbeError, suggest
from probe.recordings import loaders
from probe.recordings.brainscore import Part
from probe.recordings.catalogue import find_named, recorded, split_name
from probe.recordings.folder import from_folder
from probe.recordings.names import SIMULATED, check_name, check_region, is_path
from probe.recordings.recording import Recording
from probe.recordings.reliability import check_threshold, select_reliable


def load(
    name: str,
    *,
    region: str | None = None,
    subject: str | None = None,
    min_reliability: float | None = None,
    accept_licence: bool = False,
    progress: bool | None = None,
) -> Recording:
    """Get a recording by name.

    Parameters
    ----------
    name : str
        A dataset (``cowley2023``), one of its sessions (``cowley2023/210322``, ``v4/210322``, or
        with a colon, ``v4:210322``), an alias (``v4``, ``it``, ``evc``, ``it-fmri``), or a
        simulated recording (``sim-v4``, ``sim-v1``, ``sim-v4-compact``; with a seed,
        ``sim-v4/7``). `available` lists them. Or the path of a folder with a recording of your
        own, see `from_folder`.
    region : str, optional
        By default the alias' region, or the dataset's first.
    subject : str, optional
        By default all.
    min_reliability : float, optional
        Keep the neuroids that are at least as reliable, from 0 to 1, see `select_reliable`; where
        that was published, the others are not read. By default all.
    accept_licence : bool
        Accept the terms of a dataset whose manifest marks them as restricted.
    progress : bool, optional
        Show downloads; by default when a person is watching.

    Returns
    -------
    Recording
        Of one region.

    Raises
    ------
    ProbeError
        If a name, region or subject is unknown, a file cannot be had, or is broken; if no neuroid
        is reliable enough, or it cannot be known.

    See Also
    --------
    available : All names.
    from_folder : A folder of your own.
    read_recording : Files as laboratories have them.

    Examples
    --------
    >>> from probe import recordings
    >>> recording = recordings.load("sim-v4")
    >>> recording.n_stimuli, recording.regions
    (178, ['V4'])
    >>> recording.data["responses"].dims
    ('stimulus', 'repetition', 'neuroid')
    """
    if min_reliability is not None:
        check_threshold(min_reliability)
    recording = load_part(name, Part(region, subject, min_reliability), accept_licence, progress)
    return recording if min_reliability is None else select_reliable(recording, min_reliability)


def load_part(
    name: str, part: Part, accept_licence: bool = False, progress: bool | None = None
) -> Recording:
    """Get a part of a recording, as `load`; of reliability only what a loader chooses by itself.

    A loader that knows the published reliability of neuroids leaves the others unread. Of all else,
    `select_reliable` chooses, when it is known which times are scored.
    """
    region, subject = part.region, part.subject
    check_name(name)
    check_region(name, region)  # told before anything is downloaded
    if is_path(name):
        return _one_region(from_folder(name), region).select(None, subject)
    head, slash, tail = split_name(name)
    if head in SIMULATED:
        if slash and not re.fullmatch(r"\d{1,18}", tail):
            raise ProbeError(f"{name!r}: the seed {tail!r} is not a whole number, as in '{head}/7'")
        more = {"progress": progress} if head == "sim-v4-compact" else {}  # it takes a while
        simulate: Callable[..., Recording] = getattr(recordings, SIMULATED[head])
        return simulate(seed=int(tail or 0), **more).select(region, subject)

    dataset = find_named(name, recorded())
    assert dataset is not None  # checked above
    manifest, session = dataset.manifest, dataset.session
    region = region or dataset.region
    region = region or manifest.regions[0].name
    loader = loaders.LOADERS.get(str(manifest.loader))
    if loader is None:
        raise ProbeError(
            f"manifest {manifest.name!r} names the loader {manifest.loader!r}, which does not exist"
            + suggest(str(manifest.loader), loaders.LOADERS)
        )
    fetch = functools.partial(assets.fetch, accept_licence=accept_licence, progress=progress)
    part = replace(part, region=region)
    return loader(manifest, session, fetch, part).select(region, subject)


def _one_region(recording: Recording, region: str | None) -> Recording:
    if region is None and len(recording.regions) > 1:
        raise ProbeError(
            f"recording {recording.name!r} has the regions {', '.join(recording.regions)}: "
            "name one, or all: region=… (--region)"
        )
    return recording.select(region)
