"""RDMs with the names of what they are: kept, selected, aligned, and exchanged with others."""

from __future__ import annotations

import importlib.util
import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy.spatial.distance import squareform

from probe.similarity.rdms import n_conditions

if TYPE_CHECKING:
    import pandas as pd

ASYMMETRY = 1e-6
"""How far d[i, j] and d[j, i], or d[i, i] and 0, may lie apart, as a share of the largest distance:
the rounding error of a matrix that was computed in float32."""

UNTIED = 0.99
"""An RDM with a smaller share of different distances has ties."""

KEYS = ("distances", "labels", "stimulus_ids", "metric", "attrs")
"""The arrays of a file that `RDMs.save` writes."""

DISTANCES = ("distances", "rdms", "rdm", "dissimilarities", "dissimilarity")
LABELS = ("labels", "names")
STIMULUS_IDS = ("stimulus_ids", "stimulus_id", "stimuli", "conditions")
"""Names that `RDMs.load` looks for in an ``.npz`` file, in this order and in any case."""

TIDY = ("label", "stimulus_a", "stimulus_b", "distance")
"""Columns of a table with one row per RDM and pair."""

RSATOOLBOX_METRICS = {"euclidean": "squared euclidean", "mahalanobis": "squared mahalanobis"}
"""What rsatoolbox calls the distances that it names otherwise; they are squared there and here."""


@dataclass(frozen=True, eq=False, repr=False)
class RDMs:
    """Several RDMs over the same stimuli.

    Parameters
    ----------
    distances : numpy.ndarray, shape (K, n * (n - 1) / 2) or (n * (n - 1) / 2,)
        K condensed RDMs in the order of ``numpy.triu_indices(n, 1)``, kept as float64; NaN where
        a pair is missing. Negative values occur in cross-validated distances.
    labels : sequence of str, optional
        One name per RDM: a model, a layer, a subject. By default ``rdm-1``, ``rdm-2``, …
    stimulus_ids : sequence of str, optional
        One name per stimulus. By default their positions, ``0``, ``1``, …
    metric : str, optional
        The distance, see `probe.similarity.rdm`; None if unknown.
    attrs : mapping, optional
        What else is known of all of them: plain values that JSON can hold.

    Raises
    ------
    ValueError
        If shapes do not fit, a distance is infinite, or a label or stimulus is named twice.

    Examples
    --------
    >>> rdms = RDMs([[0.1, 0.5, 0.6], [0.2, 0.9, 0.8]], ["V1", "V2"], ["cat", "dog", "car"])
    >>> rdms["V2"].squares()[0]
    array([[0. , 0.2, 0.9],
           [0.2, 0. , 0.8],
           [0.9, 0.8, 0. ]])
    >>> rdms.subset(["car", "cat"]).distances
    array([[0.5],
           [0.9]])
    """

    distances: np.ndarray
    labels: tuple[str, ...] = ()
    stimulus_ids: tuple[str, ...] = ()
    metric: str | None = None
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            distances = np.atleast_2d(np.asarray(self.distances, dtype=np.float64))
        except (TypeError, ValueError):
            raise ValueError("distances are not numbers") from None
        if distances.ndim != 2 or not len(distances):
            raise ValueError(
                f"distances have shape {distances.shape}; wanted (RDMs ≥ 1, pairs): square ones "
                "go through RDMs.from_array"
            )
        n = n_conditions(distances.shape[1])
        if np.isinf(distances).any():
            raise ValueError(f"RDM {np.isinf(distances).any(axis=1).argmax()} has infinite values")
        default = [f"rdm-{k + 1}" for k in range(len(distances))]
        labels = _names("label", self.labels, len(distances), default)
        ids = _names("stimulus", self.stimulus_ids, n, [str(k) for k in range(n)])
        object.__setattr__(self, "distances", distances)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "stimulus_ids", ids)
        object.__setattr__(self, "metric", None if self.metric is None else str(self.metric))
        object.__setattr__(self, "attrs", dict(self.attrs or {}))

    @classmethod
    def from_array(
        cls,
        array: Any,
        labels: Sequence[str] = (),
        stimulus_ids: Sequence[str] = (),
        metric: str | None = None,
        attrs: Mapping[str, Any] | None = None,
    ) -> RDMs:
        """Take RDMs condensed or square.

        Parameters
        ----------
        array : array-like, shape (n, n), (K, n, n), (P,) or (K, P), P = n * (n - 1) / 2
            A matrix with as many rows as columns is one square RDM. Its diagonal is zero, or NaN.
        labels, stimulus_ids, metric, attrs
            As of the class.

        Raises
        ------
        ValueError
            If the shape is none of these, or a square RDM is not symmetric or its diagonal not
            zero; and as the class does.
        """
        values = np.asarray(array)
        if values.dtype.kind not in "biuf":
            raise ValueError(f"an RDM of {values.dtype}, not of numbers")
        values = values.astype(np.float64, copy=False)
        if values.ndim == 2 and values.shape[0] == values.shape[1]:
            values = values[None]
        if values.ndim == 3 and len(values) and values.shape[1] == values.shape[2] >= 2:
            for k, square in enumerate(values):
                _check_square(square, f"RDM {labels[k]!r}" if k < len(labels) else f"RDM {k}")
            rows, columns = np.triu_indices(values.shape[1], 1)
            values = values[:, rows, columns]
        elif values.ndim not in (1, 2):
            raise ValueError(
                f"an array of shape {values.shape}; wanted square RDMs, (n, n) or (K, n, n), "
                "or condensed ones, (P,) or (K, P)"
            )
        return cls(values, tuple(labels), tuple(stimulus_ids), metric, attrs or {})

    @classmethod
    def concatenate(cls, parts: Iterable[RDMs]) -> RDMs:
        """Put sets together, in the stimulus order of the first that names its stimuli.

        The metric is kept where all agree; of the attributes, those in which all agree.

        Raises
        ------
        ValueError
            If they are not over the same stimuli, or a label occurs twice.
        """
        parts = list(parts)
        if not parts:
            raise ValueError("there are no RDMs to put together")
        aligned = match(parts)
        first = aligned[0]
        metrics = {part.metric for part in parts}
        return cls(
            np.concatenate([part.distances for part in aligned]),
            tuple(label for part in aligned for label in part.labels),
            first.stimulus_ids,
            metrics.pop() if len(metrics) == 1 else None,
            {k: v for k, v in first.attrs.items() if all(p.attrs.get(k) == v for p in parts)},
        )

    @property
    def n_stimuli(self) -> int:
        """How many stimuli there are."""
        return len(self.stimulus_ids)

    @property
    def tied(self) -> tuple[str, ...]:
        """Labels of RDMs of which ties are part, as of categories, rather than chance.

        With these, rho-a is the comparator to take, not Spearman's (Schütt et al. 2023).
        """
        return tuple(
            label
            for label, row in zip(self.labels, self.distances, strict=True)
            if len(np.unique(row[~np.isnan(row)])) < UNTIED * np.count_nonzero(~np.isnan(row))
        )

    @property
    def named(self) -> bool:
        """Whether the stimuli have names, not only positions."""
        return self.stimulus_ids != tuple(str(k) for k in range(len(self.stimulus_ids)))

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[RDMs]:
        return (self[k] for k in range(len(self)))

    def __getitem__(self, which: str | int | slice | Sequence[str] | Sequence[int]) -> RDMs:
        """Keep some RDMs, named by label or position, in the order given."""
        if isinstance(which, slice):
            rows = list(range(*which.indices(len(self))))
        else:
            rows = _positions("RDM", [which] if _single(which) else which, self.labels)
        if not rows:
            raise ValueError("no RDM is selected")
        return replace(
            self, distances=self.distances[rows], labels=tuple(self.labels[k] for k in rows)
        )

    def __repr__(self) -> str:
        shown = ", ".join(self.labels[:4]) + (", …" if len(self) > 4 else "")
        of = f"1 RDM ({shown})" if len(self) == 1 else f"{len(self)} RDMs ({shown})"
        missing = int(np.isnan(self.distances).sum())
        facts = [f"{of} over {self.n_stimuli} stimuli", *([self.metric] if self.metric else [])]
        if missing:
            facts.append(f"{missing} pairs missing")
        return f"<{'; '.join(facts)}>"

    def subset(self, stimuli: Iterable[str] | Iterable[int] | np.ndarray) -> RDMs:
        """Keep some stimuli, in the order given.

        Parameters
        ----------
        stimuli : iterable of str or int, or a boolean mask over the stimuli
            Names, or positions.

        Raises
        ------
        ValueError
            If one is unknown or named twice, or fewer than two are left.
        """
        keep = np.array(_positions("stimulus", stimuli, self.stimulus_ids), dtype=np.intp)
        if len(keep) < 2:
            raise ValueError(f"{len(keep)} stimuli are selected; an RDM has at least 2")
        ids = tuple(self.stimulus_ids[k] for k in keep)
        if ids == self.stimulus_ids:
            return self
        if len(set(ids)) < len(ids):
            raise ValueError("a stimulus is selected twice; its distance from itself is no pair")
        i, j = np.triu_indices(len(keep), 1)
        low, high = np.minimum(keep[i], keep[j]), np.maximum(keep[i], keep[j])
        # Where pair (low, high) lies in the order of numpy.triu_indices.
        place = low * (2 * self.n_stimuli - low - 1) // 2 + high - low - 1
        return replace(self, distances=self.distances[:, place], stimulus_ids=ids)

    def align(self, to: RDMs | Iterable[str]) -> RDMs:
        """Bring the stimuli into the order of another set, and leave out those it lacks.

        Where one of the two has no names for its stimuli, only their number can be compared: the
        order is taken to be the same, and the names are those of the other.

        Parameters
        ----------
        to : RDMs or sequence of stimulus ids

        Raises
        ------
        ValueError
            If a stimulus of the other set is missing here; the message names it.
        """
        ids = to.stimulus_ids if isinstance(to, RDMs) else tuple(str(i) for i in to)
        missing = set(ids) - set(self.stimulus_ids)
        nameless = not self.named or ids == tuple(str(k) for k in range(len(ids)))
        if missing and nameless:
            if len(ids) == self.n_stimuli:
                return self if self.named else replace(self, stimulus_ids=ids)
            raise ValueError(
                f"{self.n_stimuli} stimuli against {len(ids)}, and without names on both sides "
                "they cannot be matched"
            )
        if missing:
            first = next(i for i in ids if i in missing)
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise ValueError(f"no distances of stimulus {first!r}{others} in {self!r}")
        return self.subset(ids)

    def squares(self) -> np.ndarray:
        """Give the RDMs as symmetric matrices with a zero diagonal.

        Returns
        -------
        numpy.ndarray, shape (K, n, n)
        """
        return np.stack([squareform(row, checks=False) for row in self.distances])

    def to_pandas(self, tidy: bool | None = None) -> pd.DataFrame:
        """Give a square table, or one row per RDM and pair.

        Parameters
        ----------
        tidy : bool, optional
            By default a single RDM is square, several are tidy.

        Returns
        -------
        pandas.DataFrame
            Square: stimuli along both sides. Tidy: columns ``label``, ``stimulus_a``,
            ``stimulus_b``, ``distance``. ``DataFrame.attrs`` holds ``metric``, and of a square
            table ``label``.

        Raises
        ------
        ValueError
            If several RDMs are to be one square table.
        """
        import pandas as pd

        tidy = len(self) > 1 if tidy is None else tidy
        ids = np.array(self.stimulus_ids, dtype=object)
        if tidy:
            i, j = np.triu_indices(self.n_stimuli, 1)
            n_pairs = len(i)
            columns = (
                np.repeat(np.array(self.labels, dtype=object), n_pairs),
                np.tile(ids[i], len(self)),
                np.tile(ids[j], len(self)),
                self.distances.ravel(),
            )
            frame = pd.DataFrame(dict(zip(TIDY, columns, strict=True)))
        elif len(self) > 1:
            raise ValueError(f"{len(self)} RDMs are not one square table: select one, or tidy=True")
        else:
            frame = pd.DataFrame(self.squares()[0], index=ids, columns=ids)
            frame.attrs["label"] = self.labels[0]
        frame.attrs["metric"] = self.metric
        return frame

    @classmethod
    def from_pandas(cls, frame: pd.DataFrame, metric: str | None = None) -> RDMs:
        """Read a table as `to_pandas` makes it.

        Parameters
        ----------
        frame : pandas.DataFrame
            Square, with the stimuli along both sides in the same order; or tidy, with the columns
            ``stimulus_a``, ``stimulus_b``, ``distance``, and ``label`` if there are several RDMs.
            A pair that a tidy table lacks is missing (NaN).
        metric : str, optional
            By default what ``frame.attrs`` says.

        Raises
        ------
        ValueError
            If it is neither, or a pair occurs twice.
        """
        metric = frame.attrs.get("metric") if metric is None else metric
        if set(TIDY[1:]) <= set(frame.columns):
            return cls._from_tidy(frame, metric)
        rows, columns = [str(i) for i in frame.index], [str(i) for i in frame.columns]
        if rows != columns:
            raise ValueError(
                "a table of distances has the same stimuli along both sides, or the columns "
                + ", ".join(TIDY)
            )
        label = frame.attrs.get("label")
        return cls.from_array(frame.to_numpy(), [label] if label else [], rows, metric)

    @classmethod
    def _from_tidy(cls, frame: pd.DataFrame, metric: str | None) -> RDMs:
        a = [str(i) for i in frame["stimulus_a"]]
        b = [str(i) for i in frame["stimulus_b"]]
        named = "label" in frame.columns
        of = [str(i) for i in frame["label"]] if named else ["rdm-1"] * len(frame)
        stimuli = {name: k for k, name in enumerate(dict.fromkeys([*a, *b]))}
        labels = {name: k for k, name in enumerate(dict.fromkeys(of))}
        if not labels:
            raise ValueError("a table without rows holds no RDM")
        squares = np.full((len(labels), len(stimuli), len(stimuli)), np.nan)
        squares[:, range(len(stimuli)), range(len(stimuli))] = 0.0
        k = np.array([labels[name] for name in of])
        i, j = (np.array([stimuli[name] for name in side]) for side in (a, b))
        keys = np.stack([k, np.minimum(i, j), np.maximum(i, j)])
        order = np.lexsort(keys)
        same = (np.diff(keys[:, order]) == 0).all(axis=0)
        if same.any():
            row = order[same.argmax()]
            raise ValueError(f"pair {a[row]!r}, {b[row]!r} of {of[row]!r} occurs twice")
        squares[k, i, j] = squares[k, j, i] = frame["distance"].to_numpy(dtype=np.float64)
        return cls.from_array(squares, list(labels) if named else [], list(stimuli), metric)

    def save(self, path: str | Path) -> Path:
        """Write an ``.npz`` file, whole or not at all.

        It holds five arrays, which anybody's program can write or read without pickle:
        ``distances`` (K, P) float64; ``labels`` (K,) and ``stimulus_ids`` (n,), text; ``metric``,
        one text, empty if unknown; ``attrs``, one text, JSON.

        Parameters
        ----------
        path : str or Path
            ``.npz`` is added if it is not there.

        Returns
        -------
        Path
            What was written.

        Raises
        ------
        ValueError
            If an attribute is not a plain value.
        """
        path = Path(path).expanduser()
        if path.suffix != ".npz":
            path = path.with_name(f"{path.name}.npz")
        try:
            attrs = json.dumps(dict(self.attrs))
        except (TypeError, ValueError) as error:
            raise ValueError(f"the attributes of {self!r} are no JSON: {error}") from None
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                texts = (self.labels, self.stimulus_ids, self.metric or "", attrs)
                arrays = (self.distances, *map(np.array, texts))
                np.savez(file, **dict(zip(KEYS, arrays, strict=True)))  # type: ignore[arg-type]
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return path

    @classmethod
    def load(cls, path: str | Path) -> RDMs:
        """Read a file that `save` wrote, or another's ``.npz`` or ``.npy`` file.

        In an ``.npz`` file, the RDMs are the array that is called ``distances``, ``rdms``,
        ``rdm``, ``dissimilarities`` or ``dissimilarity``, or the only array there is; ``labels``
        and ``stimulus_ids``, under these or similar names, are taken where they are. RDMs without
        labels are called after the file.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        ValueError
            If there is no such file, or it holds no RDMs.
        """
        path = Path(path).expanduser()
        arrays = _arrays_of(path)
        lower = {name.casefold(): name for name in arrays}
        found = next((lower[name] for name in DISTANCES if name in lower), None)
        if found is None and len(arrays) == 1:
            (found,) = arrays
        if found is None:
            raise ValueError(
                f"file {str(path)!r} holds {', '.join(map(repr, arrays)) or 'nothing'}; wanted an "
                f"array {DISTANCES[0]!r} (or {', '.join(map(repr, DISTANCES[1:]))})"
            )
        # Three RDMs of three stimuli look alike condensed and square: what `save` wrote is
        # condensed, whatever it looks like.
        make = cls if set(KEYS) <= set(arrays) else cls.from_array
        labels = _texts_of(arrays, lower, LABELS)
        try:
            attrs = json.loads("".join(_texts_of(arrays, lower, ["attrs"])) or "{}")
            rdms = make(
                arrays[found],
                tuple(labels),
                tuple(_texts_of(arrays, lower, STIMULUS_IDS)),
                "".join(_texts_of(arrays, lower, ["metric"])) or None,
                attrs if isinstance(attrs, dict) else {},
            )
        except ValueError as error:
            raise ValueError(f"file {str(path)!r}: {error}") from None
        if labels:
            return rdms
        numbers = [""] if len(rdms) == 1 else [f"-{k + 1}" for k in range(len(rdms))]
        return replace(rdms, labels=tuple(path.stem + number for number in numbers))

    def to_rsatoolbox(self) -> Any:
        """Make an `rsatoolbox.rdm.RDMs`.

        Labels become the RDM descriptor ``label``, stimuli the pattern descriptor
        ``stimulus_id``, attributes the descriptors of the whole.

        Raises
        ------
        ValueError
            If rsatoolbox is not installed.
        """
        theirs = _rsatoolbox()
        measure = None if self.metric is None else RSATOOLBOX_METRICS.get(self.metric, self.metric)
        return theirs.RDMs(
            self.distances.copy(),
            dissimilarity_measure=measure,
            descriptors=dict(self.attrs),
            rdm_descriptors={"label": list(self.labels)},
            pattern_descriptors={"stimulus_id": list(self.stimulus_ids)},
        )

    @classmethod
    def from_rsatoolbox(
        cls, rdms: Any, *, label: str | None = None, stimulus_id: str | None = None
    ) -> RDMs:
        """Take an `rsatoolbox.rdm.RDMs`.

        Parameters
        ----------
        rdms : rsatoolbox.rdm.RDMs
        label, stimulus_id : str, optional
            Which RDM descriptor and which pattern descriptor give the names; by default
            ``label`` and ``stimulus_id``, or else the first descriptor (``index`` apart) that
            tells all RDMs, or all stimuli, apart. Without one, they are numbered.

        Raises
        ------
        ValueError
            If it is not such an object, or lacks the descriptor.
        """
        for attribute in ("dissimilarities", "rdm_descriptors", "pattern_descriptors"):
            if not hasattr(rdms, attribute):
                raise ValueError(f"{type(rdms).__name__} is not an rsatoolbox.rdm.RDMs")
        ours = {theirs: name for name, theirs in RSATOOLBOX_METRICS.items()}
        measure = rdms.dissimilarity_measure
        return cls(
            np.array(rdms.dissimilarities, dtype=np.float64),
            _descriptor(rdms.rdm_descriptors, label, "label"),
            _descriptor(rdms.pattern_descriptors, stimulus_id, "stimulus_id"),
            None if measure is None else ours.get(str(measure).casefold(), str(measure)),
            {str(k): v for k, v in (rdms.descriptors or {}).items() if _is_plain(v)},
        )


def match(sets: Sequence[RDMs], *, common: bool = False) -> list[RDMs]:
    """Bring sets of RDMs to the same stimuli in the same order, that of the first with names.

    Parameters
    ----------
    sets : sequence of RDMs
        Where stimuli have no names, they are taken to be in the same order.
    common : bool
        Leave out the stimuli that are not in all sets; otherwise they are an error.

    Returns
    -------
    list of RDMs

    Raises
    ------
    ValueError
        If a stimulus is not in all sets (named), or fewer than two are.
    """
    first = next((one for one in sets if one.named), sets[0])
    if common and all(one.named for one in sets):
        shared = set.intersection(*(set(one.stimulus_ids) for one in sets))
        first = first.subset([i for i in first.stimulus_ids if i in shared])
    else:
        for one in sets:
            # Both ways: neither may have a stimulus that the other lacks.
            if one.named or one.n_stimuli != first.n_stimuli:
                first.align(one)
    return [one.align(first) for one in sets]


def _names(what: str, given: Any, n: int, default: list[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        raise ValueError(f"{given!r} is one name; wanted a sequence of {n}")
    names = tuple(str(name) for name in (default if given is None else given)) or tuple(default)
    if len(names) != n:
        kind = "labels for {} RDMs" if what == "label" else "stimulus names for RDMs of {} stimuli"
        raise ValueError(f"{len(names)} {kind.format(n)}")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what} {name!r} occurs more than once")
        if name.endswith("\0"):
            raise ValueError(f"{what} {name!r} ends in a null character, which files do not keep")
        seen.add(name)
    return names


def _check_square(square: np.ndarray, what: str) -> None:
    finite = np.abs(square[np.isfinite(square)])
    slack = ASYMMETRY * finite.max(initial=0.0)
    diagonal = square.diagonal()
    if (bad := np.flatnonzero(np.abs(diagonal) > slack)).size:
        raise ValueError(
            f"{what} has {diagonal[bad[0]]:g} on its diagonal; a stimulus is at distance 0 "
            "from itself (if these are similarities, subtract them from 1)"
        )
    with np.errstate(invalid="ignore"):
        apart = ~(np.abs(square - square.T) <= slack) & ~(np.isnan(square) & np.isnan(square.T))
    apart &= ~(np.isinf(square) & np.isinf(square.T))  # refused in other words, later
    np.fill_diagonal(apart, False)
    if apart.any():
        i, j = np.argwhere(apart)[0]
        raise ValueError(
            f"{what} is not symmetric: [{i}, {j}] is {square[i, j]:g}, "
            f"[{j}, {i}] is {square[j, i]:g}"
        )


def _single(which: Any) -> bool:
    return isinstance(which, (str, int, np.integer))


def _positions(what: str, wanted: Any, known: tuple[str, ...]) -> list[int]:
    """Turn names, positions or a mask into positions."""
    items = list(wanted)
    if items and all(isinstance(item, (bool, np.bool_)) for item in items):
        if len(items) != len(known):
            raise ValueError(f"a mask of {len(items)} for {len(known)}: {what} selection")
        return [k for k, keep in enumerate(items) if keep]
    place = {name: k for k, name in enumerate(known)}
    positions = []
    for item in items:
        if isinstance(item, str):
            if item not in place:
                shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
                raise ValueError(f"there is no {what} {item!r}; known: {shown}")
            positions.append(place[item])
        elif isinstance(item, (int, np.integer)):
            if not -len(known) <= item < len(known):
                raise ValueError(f"there is no {what} {item}: there are {len(known)}")
            positions.append(int(item) % len(known))
        else:
            raise ValueError(f"{what} {item!r} is neither a name nor a position")
    return positions


def _arrays_of(path: Path) -> dict[str, np.ndarray]:
    try:
        opened = np.load(path, allow_pickle=False)
        if isinstance(opened, np.ndarray):
            return {"array": opened}
        with opened:
            return dict(_without_objects(opened))
    except FileNotFoundError:
        raise ValueError(f"there is no file {str(path)!r}") from None
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        reason = getattr(error, "strerror", None)
        raise ValueError(
            f"file {str(path)!r} is not an .npz or .npy file of numbers"
            + (f" ({reason})" if reason else "")
        ) from None


def _without_objects(opened: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Read the arrays of a file, except those that only pickle can read."""
    for name in opened.files:
        try:
            yield name, opened[name]
        except ValueError as error:
            if "Object arrays" not in str(error):
                raise


def _texts_of(
    arrays: dict[str, np.ndarray], lower: dict[str, str], names: Iterable[str]
) -> list[str]:
    found = next((arrays[lower[name]] for name in names if name in lower), None)
    if found is None or found.ndim > 1 or found.dtype.kind not in "USiu":
        return []
    return [
        item.decode(errors="replace") if isinstance(item, bytes) else str(item)
        for item in np.atleast_1d(found).tolist()
    ]


def _descriptor(descriptors: Mapping[str, Any], wanted: str | None, default: str) -> Any:
    if wanted is not None and wanted not in descriptors:
        raise ValueError(f"there is no descriptor {wanted!r}; known: {', '.join(descriptors)}")
    if wanted is not None or default in descriptors:
        return tuple(str(v) for v in descriptors[wanted or default])
    for name, values in descriptors.items():
        texts = tuple(str(v) for v in values)
        if name != "index" and len(set(texts)) == len(texts):
            return texts
    return ()


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, bool, int, float))


def _rsatoolbox() -> Any:
    if importlib.util.find_spec("rsatoolbox") is None:
        raise ValueError("rsatoolbox is not installed; `pip install rsatoolbox` brings it")
    import rsatoolbox.rdm

    return cast(Any, rsatoolbox.rdm)
