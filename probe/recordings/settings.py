"""Options of recordings, each written once: of those that are scored, and of files that are read.

Imports neither NumPy nor torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probe.settings import Settings, option

REGION = (
    "Region of the recording; several, separated by commas; or all, for each of them. A folder "
    "with several regions has no default."
)
REGION_UNSET = "the recording's default"
SUBJECT = "Use only this animal or person."
MIN_RELIABILITY = (
    "Use only neuroids with at least this reliability, from 0 to 1 (see `probe reliability`): they "
    "are chosen on half of the repetitions, and scored on the others."
)
MIN_RELIABILITY_UNSET = "all neuroids"
TIME = (
    "For recordings with a time axis: the window of time after stimulus onset, such as 70,170ms; "
    "its end is excluded."
)
STEP = "Divide --time into steps of this length, such as 10ms, and compare (or fit) at each."
ACCEPT_LICENCE = "Accept a recording's restricted licence."

PICTURE_AXES = ("y,x", "x,y")
"""Orders of the axes of pictures that a file holds."""

Keep = Callable[[Mapping[str, list[Any]]], Any]
"""Given columns of neuroids, one bool for each: whether it is read."""


@dataclass(frozen=True)
class ReadSettings(Settings):
    """What a user says of a file of responses where the file itself does not.

    See `probe.recordings.read_recording`, whose options these are.
    """

    stimuli: Any = option(None, "The pictures: a folder, a table of paths, a .zip.")
    picture_axes: str | None = option(
        None, "For pictures inside an NWB file: whether rows (y) or columns (x) come first."
    )
    window: str | None = option(
        None, "Window of time after picture onset, such as 50,250ms; its end is excluded."
    )
    step: str | None = option(
        None, "Keep the time axis, in steps of this length, such as 10ms.",
        unset="one response over the window; for MEG and EEG, every sample",
    )  # fmt: skip
    axes: str | Sequence[str] | None = option(
        None,
        "What the axes of the array are: stimulus (image), presentation (trial), repetition "
        "(repeat), neuroid (neuron, site, …), time.",
    )
    variable: str | None = option(
        None, "The array or column of the responses; for maps, the statistic (effect, t, z)."
    )
    labels: str | Path | None = option(
        None,
        "The array or column that says which picture was shown, or a .csv of names (column "
        "stimulus_id) in the order of the responses.",
    )
    presentations: str | Path | None = option(
        None,
        "For spikes, what was shown when: the table or series in an NWB file, or a .csv (onset_s "
        "or onset_ms, stimulus_id).",
    )
    neuroids: str | Path | None = option(
        None, "A .csv with columns about the neuroids: neuroid_id, region, subject, …"
    )
    bins: str | None = option(
        None, "Start of the first time bin, and the width of each, such as -500,1ms."
    )
    time_unit: str | None = option(None, "Unit of the times, if the file does not name it.")
    blanks: Sequence[str] = option(
        (), "A name that stands for no picture; may be given more than once."
    )
    mask: Path | str | Sequence[Path | str] | None = option(
        None,
        "For brain images: a mask on their grid, whose file is named after the region, or an "
        "atlas; may be given more than once.",
    )
    key: Path | str | None = option(
        None, "Names of an atlas's values: a .tsv or .csv (index, name), or FreeSurfer's colours.",
        unset="the one that BIDS puts beside it or at the root",
    )  # fmt: skip
    events: Path | str | Sequence[Path | str] | None = option(
        None,
        "For brain images: a .tsv or .csv with one row per map; one table for each image of many "
        "maps.",
    )
    average: str | None = option(
        None,
        "Average the presentations of a picture that have the same value in this column, such as "
        "run.",
    )
    region: str | None = option(
        None,
        "Region of all neuroids, if the file does not say; for an atlas, the regions to read.",
    )
    subject: str | None = option(None, "Subject of all neuroids, if the file does not say.")
    sort_times: bool = option(
        False,
        "Sort spike times that do not ascend, which is right only if they are of one clock that "
        "never restarts.",
    )
    keep: Keep | None = option(None, "For an array file: which neuroids to read.")
