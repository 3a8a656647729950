"""Which class each picture belongs to, and whether the classes can be learned and tested."""

from __future__ import annotations

import os.path
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from probe.errors import ProbeError, suggest
from probe.stimuli import StimulusSet

NAMED = 5
"""Of what is listed in an error or a remark, so many are named."""


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """Pictures, each of one class.

    Attributes
    ----------
    stimuli : StimulusSet
        Without copies.
    names : tuple of str
        Of the C classes, sorted.
    labels : numpy.ndarray of int, shape (n,)
        The class of each picture, 0 to C − 1.
    copies : tuple of str
        Pictures that were left out, since the same file is in their class already.
    """

    stimuli: StimulusSet
    names: tuple[str, ...]
    labels: np.ndarray
    copies: tuple[str, ...]

    @property
    def counts(self) -> np.ndarray:
        """Number of pictures of each class: int, (C,)."""
        return np.bincount(self.labels, minlength=len(self.names))


def labelled(stimuli: StimulusSet, column: str | None, folds: int) -> LabelledSet:
    """Find the classes of pictures, and check that they can be learned and tested.

    Parameters
    ----------
    stimuli : StimulusSet
    column : str or None
        Of the metadata. Without one, a picture's class is its folder: of ``set/cat/a/1.jpg``, in a
        set whose pictures all lie in ``set``, it is ``cat``.
    folds : int
        Parts of the pictures, in each of which every class has to be.

    Raises
    ------
    ProbeError
        If a picture has no class, there is only one class, a class has fewer pictures than
        ``folds``, or the same picture is in two classes.
    """
    of_picture = _from_folders(stimuli) if column is None else _from_column(stimuli, column)
    labels, copies = _without_copies(stimuli, of_picture)
    names = sorted(set(of_picture))
    if len(names) < 2:
        raise ProbeError(
            f"all {len(stimuli)} pictures of {stimuli.name!r} are of one class, {names[0]!r}: "
            "expected two classes or more"
        )
    counts = Counter(of_picture[k] for k in labels)
    if few := [name for name in names if counts[name] < folds]:
        n_least = min(counts.values())
        listed = ", ".join(f"{name!r} ({counts[name]})" for name in few[:NAMED])
        more = f" and {len(few) - NAMED} more" if len(few) > NAMED else ""
        fewer = f", or choose folds={n_least} (--folds {n_least})" if n_least > 1 else ""
        raise ProbeError(
            f"classes with fewer pictures than the {folds} folds: {listed}{more}; add pictures, "
            f"leave the class out{fewer}"
        )
    return LabelledSet(
        stimuli if not copies else stimuli.subset(labels),
        tuple(names),
        np.array([names.index(of_picture[k]) for k in labels]),
        tuple(stimuli.ids[k] for k in copies),
    )


def _from_folders(stimuli: StimulusSet) -> list[str]:
    """Return the folder of each picture, below the one in which all lie."""
    folders = [os.path.dirname(name) for name in stimuli.ids]
    if len(set(folders)) == 1 and folders[0]:
        return [folders[0].rpartition("/")[2]] * len(folders)
    shared = os.path.commonpath(folders) if all(folders) else ""
    inside = [folder[len(shared) :].strip("/") for folder in folders]
    if outside := [name for name, folder in zip(stimuli.ids, inside, strict=True) if not folder]:
        columns = [] if stimuli.metadata is None else list(map(str, stimuli.metadata))
        column = f" (it has {', '.join(columns[: 2 * NAMED])})" if columns else " of a table"
        raise ProbeError(
            f"{len(outside)} of {len(stimuli)} pictures of {stimuli.name!r} are in no folder of a "
            f"class, such as {outside[0]!r}: expected CLASS/PICTURE, or the column{column} that "
            "names the class, classes=… (--classes)"
        )
    return [folder.partition("/")[0] for folder in inside]


def _from_column(stimuli: StimulusSet, column: str) -> list[str]:
    metadata = stimuli.metadata
    if metadata is None or column not in metadata:
        columns = [] if metadata is None else list(map(str, metadata))
        hint = suggest(column, columns) or "; it has none"
        raise ProbeError(f"classes {column!r}: no such column of {stimuli.name!r}{hint}")
    values = metadata[column]
    missing = (values.isna() | (values.astype(str).str.strip() == "")).to_numpy()
    if missing.any():
        first = stimuli.ids[int(np.flatnonzero(missing)[0])]
        raise ProbeError(
            f"classes {column!r}: {missing.sum()} of {len(stimuli)} pictures have none, such as "
            f"{first!r}"
        )
    if pd.api.types.is_float_dtype(values) and values.nunique() > len(values) // 2:
        raise ProbeError(
            f"classes {column!r}: {values.nunique()} different numbers of {len(values)} pictures "
            "are no classes"
        )
    return [str(value) for value in values]


def _without_copies(stimuli: StimulusSet, of_picture: list[str]) -> tuple[list[int], list[int]]:
    """Return the first picture of each content, and the others, as positions.

    A copy in the training pictures would give the held-out one away.
    """
    first_of: dict[str, int] = {}
    chosen, copies = [], []
    for k, content in enumerate(stimuli.content_hashes):
        first = first_of.setdefault(content, k)
        if first == k:
            chosen.append(k)
            continue
        if of_picture[first] != of_picture[k]:
            raise ProbeError(
                f"the same picture is in two classes: {stimuli.ids[first]!r} "
                f"({of_picture[first]}) and {stimuli.ids[k]!r} ({of_picture[k]})"
            )
        copies.append(k)
    return chosen, copies
