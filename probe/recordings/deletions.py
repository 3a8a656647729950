"""Pictures that were shown whole and with a part changed: a deletion test made in the animal.

How much a response falls when a region of a picture is taken away is what saliency maps claim to
know. A recording that has originals and locally changed variants knows it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from probe.errors import ProbeError
from probe.recordings.recording import Recording

ORIGINAL = ""
"""Label of a picture that is not a variant of another."""

# Of session 210305, seen by looking: JPEG files of originals and variants differ by a few levels
# everywhere, and some by a shift of all colours, which a plain threshold takes for a region.
MIN_COLOUR_CHANGE = 0.04
"""Root-mean-square difference, in 0–1, above which a picture was changed."""

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in JPEG's luma (ITU-R BT.601)."""

SMOOTHING_SD = 1 / 56
"""SD of the Gaussian within which the difference is averaged, as a share of the shorter side."""


@dataclass(frozen=True, eq=False)
class Deletions:
    """Originals with their variants, and where each variant was changed.

    Attributes
    ----------
    recording : Recording
    labels : tuple of str
        Names of the k variants.
    groups : numpy.ndarray, shape (n,)
        The recording's label of each original and its variants.
    originals : numpy.ndarray of int, shape (n,)
        Rows of the recording.
    variants : numpy.ndarray of int, shape (n, k)
        Rows of the recording.
    regions : numpy.ndarray of bool, shape (n, k, height, width)
        Where variant and original differ.
    notes : tuple of str
        What was left out, and why.
    """

    recording: Recording
    labels: tuple[str, ...]
    groups: np.ndarray
    originals: np.ndarray
    variants: np.ndarray
    regions: np.ndarray
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.originals)

    @property
    def stimulus_ids(self) -> tuple[str, ...]:
        """Names of the originals."""
        return tuple(self.recording.stimuli.ids[k] for k in self.originals)

    def picture(self, row: int) -> np.ndarray:
        """Return a stimulus of the recording: (height, width, 3), in 0–1."""
        return _colours(self.recording, row)

    def take(self, rows: np.ndarray) -> Deletions:
        """Return those of some originals, by their place among all."""
        return replace(
            self,
            groups=self.groups[rows],
            originals=self.originals[rows],
            variants=self.variants[rows],
            regions=self.regions[rows],
        )

    def falls(self, responses: np.ndarray | None = None) -> np.ndarray:
        """Compute how far responses fall from each original to its variants.

        Parameters
        ----------
        responses : numpy.ndarray, shape (n_stimuli, m), optional
            To all stimuli of the recording: measured, by default, or predicted.

        Returns
        -------
        numpy.ndarray, shape (n, k, m)
            Response to the original less that to the variant.
        """
        if responses is None:
            responses = self.recording.mean_responses().values
        if len(responses) != self.recording.n_stimuli:
            raise ProbeError(
                f"responses to {len(responses)} stimuli: expected {self.recording.n_stimuli}, "
                "those of the recording"
            )
        return np.asarray(responses[self.originals][:, None] - responses[self.variants])

    def masses(self, maps: np.ndarray) -> np.ndarray:
        """Sum maps of the originals over the region of each variant.

        Parameters
        ----------
        maps : numpy.ndarray, shape (n, height, width) or (n, m, height, width)
            One per original, in their order, for all sites or for each; laid over all of the
            picture, whatever their size.

        Returns
        -------
        numpy.ndarray, float64, shape (n, k, 1) or (n, k, m)
        """
        maps = np.asarray(maps)
        if maps.ndim == 3:
            maps = maps[:, None]
        if maps.ndim != 4 or len(maps) != len(self):
            raise ProbeError(
                f"maps have shape {maps.shape}: expected ({len(self)}, height, width), or "
                f"({len(self)}, sites, height, width)"
            )
        if not np.isfinite(maps).all():
            raise ProbeError("a map holds NaN or infinite values: expected finite ones")
        rows, columns = (
            _overlaps(size, of_map)
            for size, of_map in zip(self.regions.shape[2:], maps.shape[2:], strict=True)
        )
        shares = rows @ self.regions.astype(np.float64) @ columns.T  # of each cell: (n, k, y, x)
        of_maps = maps.reshape(*maps.shape[:2], -1).swapaxes(1, 2)
        return np.asarray(shares.reshape(*shares.shape[:2], -1) @ of_maps)


def find_deletions(recording: Recording) -> Deletions:
    """Find the originals of a recording, their variants, and the regions that were changed.

    A region is where variant and original differ by more than 4 % of the range of colours: of luma,
    the root-mean-square difference within a Gaussian of a 56th of the picture's side; of colour,
    the mean within it. The median difference of each colour, a shift of the whole picture, is
    subtracted before.

    Parameters
    ----------
    recording : Recording
        With the coordinates ``group`` (which pictures belong together) and ``variant`` (empty for
        an original; otherwise the name of the change) of its stimuli. `probe.recordings.load`
        gives them for ``v4:210305``; a folder has them as columns of its stimuli.csv.

    Returns
    -------
    Deletions
        Of groups with one original and all variants, each of which changes some region.

    Raises
    ------
    ProbeError
        If the recording has no such coordinates or groups, or pictures differ in size.
    """
    data = recording.data
    if lacking := [name for name in ("group", "variant") if name not in data.coords]:
        raise ProbeError(
            f"recording {recording.name!r} does not say which pictures are variants of which: "
            f"expected the columns 'group' and 'variant' of its stimuli (stimuli.csv of a folder), "
            f"and {' and '.join(map(repr, lacking))} {'is' if len(lacking) == 1 else 'are'} missing"
        )
    group, variant = data["group"].values, _labels(data["variant"].values)
    labels = tuple(dict.fromkeys(str(label) for label in variant if label != ORIGINAL))
    originals, regions, incomplete, unchanged = [], [], 0, 0
    for each in dict.fromkeys(group[variant != ORIGINAL].tolist()):
        rows = np.flatnonzero(group == each)
        by_label = {variant[row]: int(row) for row in rows}
        if len(by_label) < len(rows) or set(by_label) != {ORIGINAL, *labels}:
            incomplete += 1
            continue
        members = [by_label[label] for label in (ORIGINAL, *labels)]
        original, *changed = (_colours(recording, row) for row in members)
        if len({picture.shape for picture in (original, *changed)}) > 1:
            raise ProbeError(
                f"pictures of group {each!r} of {recording.name!r} differ in size: expected "
                "variants of the size of their original"
            )
        of_group = [changed_region(original, picture) for picture in changed]
        if not all(region.any() for region in of_group):
            unchanged += 1
            continue
        originals.append(members)
        regions.append(of_group)
    if len(originals) < 2:
        raise ProbeError(
            f"recording {recording.name!r} has {len(originals)} groups of an original and its "
            f"variants: expected 2 or more, each with one picture of "
            f"{', '.join(map(repr, labels))} and one without a variant"
        )
    if len({of_group[0].shape for of_group in regions}) > 1:
        raise ProbeError(
            f"originals of {recording.name!r} differ in size: expected pictures of one size"
        )
    notes = [
        f"{count} {'group was' if count == 1 else 'groups were'} left out, since {why}."
        for count, why in (
            (incomplete, "an original or a variant is missing or there twice"),
            (unchanged, "a variant differs from its original nowhere"),
        )
        if count
    ]
    table = np.array(originals)
    return Deletions(
        recording, labels, group[table[:, 0]], table[:, 0], table[:, 1:], np.array(regions),
        tuple(notes),
    )  # fmt: skip


def changed_region(original: np.ndarray, variant: np.ndarray) -> np.ndarray:
    """Find where two pictures differ.

    Parameters
    ----------
    original, variant : numpy.ndarray, shape (height, width, 3)
        In 0–1.

    Returns
    -------
    numpy.ndarray of bool, shape (height, width)
    """
    difference = variant - original
    difference = difference - np.median(difference, axis=(0, 1))
    sd = min(difference.shape[:2]) * SMOOTHING_SD
    luma = difference @ LUMA
    # JPEG keeps colour at half the resolution: of it, only what is left of details counts.
    colour = gaussian_filter(difference - luma[..., None], (sd, sd, 0))
    energy = gaussian_filter(luma**2, sd) + np.square(colour).mean(axis=-1)
    return np.asarray(np.sqrt(energy) > MIN_COLOUR_CHANGE)


def _labels(values: np.ndarray) -> np.ndarray:
    """Return names of variants; empty, too, where a table has None or NaN."""
    return np.array([ORIGINAL if pd.isna(v) else str(v).strip() for v in values.tolist()])


def _colours(recording: Recording, row: int) -> np.ndarray:
    return np.asarray(recording.stimuli.image(row).convert("RGB"), dtype=np.float64) / 255.0


def _overlaps(size: int, of_map: int) -> np.ndarray:
    """Compute which share of each of a map's cells each pixel covers: (of_map, size).

    In units of which a pixel has ``of_map`` and a cell ``size``: whole numbers, without rounding.
    """
    pixels, cells = np.arange(size) * of_map, np.arange(of_map)[:, None] * size
    ends = np.minimum(pixels + of_map, cells + size)
    return np.asarray(np.maximum(ends - np.maximum(pixels, cells), 0) / size)
