"""RDMs with the names of what they are: kept, selected, aligned, and exchanged with others."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy.spatial.distance import squareform

from probe.formats.names import as_text, as_texts, counts_positions
from probe.output.replacing import replacing
from probe.similarity import rdm_files
from probe.similarity.rdm_files import STIMULUS_IDS, TIDY
from probe.similarity.rdms import n_conditions

if TYPE_CHECKING:
    import pandas as pd

ASYMMETRY = 1e-6
"""How far d[i, j] and d[j, i], or d[i, i] and 0, may lie apart, as a share of the largest distance:
the rounding error of a matrix that was computed in float32."""

UNTIED = 0.99
"""An RDM with a smaller share of different distances has ties."""

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
        One name per stimulus: text, or numbers, of which 1 and 1.0 are the name ``1``. Without
        names, only the order tells the stimuli apart; `named` says which of the two it is.
    metric : str, optional
        The distance, see `probe.similarity.rdm`; None if unknown.
    attrs : mapping, optional
        What else is known of all of them: plain values that JSON can hold.

    Raises
    ------
    ValueError
        If shapes do not fit, a distance is infinite, a name is missing (as NaN) or no text, or a
        label or stimulus is named twice.

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
                f"distances have shape {distances.shape}: expected (RDMs ≥ 1, pairs): square ones "
                "go through RDMs.from_array"
            )
        n = n_conditions(distances.shape[1])
        if np.isinf(distances).any():
            raise ValueError(f"RDM {np.isinf(distances).any(axis=1).argmax()} has infinite values")
        default = [f"rdm-{k + 1}" for k in range(len(distances))]
        labels = _names("label", self.labels, len(distances), default)
        ids = _names("stimulus", self.stimulus_ids, n, [])
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
                f"an array of shape {values.shape}: expected square RDMs, (n, n) or (K, n, n), "
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
            raise ValueError("no RDMs to concatenate: expected at least one")
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
        return n_conditions(self.distances.shape[1])

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
        """Whether the stimuli have names, not only an order."""
        return bool(self.stimulus_ids)

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[RDMs]:
        return (self[k] for k in range(len(self)))

    def __getitem__(self, which: str | int | slice | Sequence[str] | Sequence[int]) -> RDMs:
        """Keep some RDMs, named by label or position, in the order given."""
        if isinstance(which, slice):
            rows = list(range(*which.indices(len(self))))
        else:
            one = [which] if _single(which) else which
            rows = _positions("RDM", one, self.labels, len(self))
        if not rows:
            raise ValueError("no RDM is selected")
        return replace(
            self, distances=self.distances[rows], labels=tuple(self.labels[k] for k in rows)
        )

    def __repr__(self) -> str:
        labels = ", ".join(self.labels[:4]) + (", …" if len(self) > 4 else "")
        of = f"1 RDM ({labels})" if len(self) == 1 else f"{len(self)} RDMs ({labels})"
        missing = int(np.isnan(self.distances).sum())
        stimuli = f"{self.n_stimuli} stimuli" + ("" if self.named else " without names")
        facts = [f"{of} over {stimuli}", *([self.metric] if self.metric else [])]
        if missing:
            facts.append(f"{missing} pairs missing")
        return f"<{'; '.join(facts)}>"

    def subset(self, stimuli: Iterable[str] | Iterable[int] | np.ndarray) -> RDMs:
        """Keep some stimuli, in the order given.

        Parameters
        ----------
        stimuli : iterable of str or int, or a boolean mask over the stimuli
            Names, or positions. Stimuli without names have positions only, and no names afterwards.

        Raises
        ------
        ValueError
            If one is unknown or named twice, or fewer than two are left.
        """
        positions = _positions("stimulus", stimuli, self.stimulus_ids, self.n_stimuli)
        keep = np.array(positions, dtype=np.intp)
        if len(keep) < 2:
            raise ValueError(f"{len(keep)} stimuli are selected; an RDM has at least 2")
        if positions == list(range(self.n_stimuli)):
            return self
        ids = tuple(self.stimulus_ids[k] for k in keep) if self.named else ()
        if len(set(positions)) < len(positions):
            raise ValueError("a stimulus is selected twice; its distance from itself is not a pair")
        i, j = np.triu_indices(len(keep), 1)
        low, high = np.minimum(keep[i], keep[j]), np.maximum(keep[i], keep[j])
        # Where pair (low, high) lies in the order of numpy.triu_indices.
        pair = low * (2 * self.n_stimuli - low - 1) // 2 + high - low - 1
        return replace(self, distances=self.distances[:, pair], stimulus_ids=ids)

    def align(self, to: RDMs | Iterable[str]) -> RDMs:
        """Bring the stimuli into the order of another set, and leave out those it lacks.

        Stimuli are matched by their names. Where one of the two has none, the order is taken to be
        the same, and the names are those of the other.

        Parameters
        ----------
        to : RDMs or sequence of stimulus ids

        Raises
        ------
        ValueError
            If a stimulus of the other set is missing here (named); or if one of the two has no
            names, and their numbers differ or the names of the other are the numbers of stimuli in
            another order than that of counting.
        """
        if isinstance(to, RDMs):
            ids, n = to.stimulus_ids, to.n_stimuli
        else:
            ids = tuple(as_texts(to))
            n = len(ids)
        if not self.named or not ids:
            if n != self.n_stimuli:
                raise ValueError(
                    f"{self.n_stimuli} stimuli against {n}, and without names on both sides "
                    "they cannot be matched"
                )
            for names in (ids, self.stimulus_ids):
                _refuse_shuffled_numbers(names)
            return self if self.named else replace(self, stimulus_ids=ids)
        own_ids = set(self.stimulus_ids)
        if missing := [name for name in ids if name not in own_ids]:
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise ValueError(
                f"no distances of stimulus {missing[0]!r}{others} in {self!r}"
                f"{_how_they_differ(missing, self.stimulus_ids)}"
            )
        return self.subset(ids)

    def squares(self) -> np.ndarray:
        """Return the RDMs as symmetric matrices with a zero diagonal.

        Returns
        -------
        numpy.ndarray, shape (K, n, n)
        """
        return np.stack([squareform(row, checks=False) for row in self.distances])

    def to_pandas(self, tidy: bool | None = None) -> pd.DataFrame:
        """Return a square table, or one row per RDM and pair.

        Parameters
        ----------
        tidy : bool, optional
            By default a single RDM is square, several are tidy.

        Returns
        -------
        pandas.DataFrame
            Square: stimuli along both sides; without names, a ``RangeIndex``. Tidy: columns
            ``label``, ``stimulus_a``, ``stimulus_b``, ``distance``. ``DataFrame.attrs`` holds
            ``metric``, and of a square table ``label``.

        Raises
        ------
        ValueError
            If several RDMs are to be one square table.
        """
        import pandas as pd

        tidy = len(self) > 1 if tidy is None else tidy
        ids = np.array(self.stimulus_ids or range(self.n_stimuli), dtype=object)
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
            sides = pd.Index(ids) if self.named else pd.RangeIndex(self.n_stimuli)
            frame = pd.DataFrame(self.squares()[0], index=sides, columns=sides)
            frame.attrs["label"] = self.labels[0]
        frame.attrs["metric"] = self.metric
        return frame

    @classmethod
    def from_pandas(cls, frame: pd.DataFrame, metric: str | None = None) -> RDMs:
        """Read a table as `to_pandas` makes it.

        Parameters
        ----------
        frame : pandas.DataFrame
            Square, with the stimuli along both sides, in any order; or tidy, with the columns
            ``stimulus_a``, ``stimulus_b``, ``distance``, and ``label`` if there are several RDMs.
            A pair that a tidy table lacks is missing (NaN). Numbers of the positions, 0, 1, 2, …
            or 1, 2, 3, …, along both sides of a square table are no names.
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
        rows, columns = as_texts(frame.index), as_texts(frame.columns)
        if sorted(rows) != sorted(columns):
            raise ValueError(
                "a table of distances has the same stimuli along both sides, or the columns "
                + ", ".join(TIDY)
            )
        squares = frame.to_numpy()
        if rows != columns:
            _refuse_twice("stimulus", columns)
            squares = squares[:, [columns.index(name) for name in rows]]
        # Text is what somebody has written; numbers are what pandas does by itself.
        numbers = frame.index.dtype.kind in "iuf" and counts_positions(rows)
        label = frame.attrs.get("label")
        return cls.from_array(squares, [label] if label else [], [] if numbers else rows, metric)

    @classmethod
    def _from_tidy(cls, frame: pd.DataFrame, metric: str | None) -> RDMs:
        a, b = as_texts(frame["stimulus_a"]), as_texts(frame["stimulus_b"])
        labelled = "label" in frame.columns
        of = as_texts(frame["label"]) if labelled else ["rdm-1"] * len(frame)
        stimuli = {name: k for k, name in enumerate(dict.fromkeys([*a, *b]))}
        labels = {name: k for k, name in enumerate(dict.fromkeys(of))}
        if not labels:
            raise ValueError("a table without rows holds no RDM")
        squares = np.full((len(labels), len(stimuli), len(stimuli)), np.nan)
        squares[:, range(len(stimuli)), range(len(stimuli))] = 0.0
        k = np.array([labels[name] for name in of])
        i, j = (np.array([stimuli[name] for name in side]) for side in (a, b))
        distances = frame["distance"].to_numpy(dtype=np.float64)
        order = np.lexsort((k, i, j))
        same = (np.diff(np.stack([k, i, j])[:, order]) == 0).all(axis=0)
        # A pair may be there in both directions, as where a whole matrix was melted.
        squares[k, i, j] = distances
        backwards = squares[k, j, i]
        differs = ~np.isnan(backwards) & (backwards != distances) & (i != j)
        if same.any() or differs.any():
            row = order[same.argmax()] if same.any() else int(differs.argmax())
            raise ValueError(
                f"pair {a[row]!r}, {b[row]!r} of {of[row]!r} occurs twice"
                + ("" if same.any() else ", with other distances")
            )
        squares[k, j, i] = distances
        return cls.from_array(squares, list(labels) if labelled else [], list(stimuli), metric)

    def save(self, path: str | Path) -> Path:
        """Write an ``.npz`` file, whole or not at all.

        It holds five arrays, which anybody's program can write or read without pickle:
        ``distances`` (K, P) float64; ``labels`` (K,) and ``stimulus_ids`` (n,), or (0,) without
        names, text; ``metric``, one text, empty if unknown; ``attrs``, one text, JSON.

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
            raise ValueError(f"the attributes of {self!r} are not JSON: {error}") from None
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez(
                file,
                distances=self.distances,
                labels=np.array(self.labels),
                stimulus_ids=np.array(self.stimulus_ids, dtype=np.str_),
                metric=np.array(self.metric or ""),
                attrs=np.array(attrs),
            )
        return path

    @classmethod
    def load(cls, path: str | Path) -> RDMs:
        """Read a file that `save` wrote, or one of another program.

        =============== ========================================================================
        .npz            an array of RDMs called ``distances``, ``rdms``, ``rdm``,
                        ``dissimilarities`` or ``dissimilarity``, or the only one there is; or
                        several single RDMs, each called after its label
        .npy            an array of RDMs
        .mat            the same of MATLAB (v5 to v7.3), and structs with the fields RDM and name
        .csv, .tsv      a square table, as pandas and R write it with names or without, or a long
                        one, with a row per pair
        .h5, .hdf5      what rsatoolbox saved, or arrays as in an .npz file
        .pkl            what rsatoolbox saved; no other Python objects are read
        =============== ========================================================================

        An array of RDMs is square, (n, n) or (K, n, n), in MATLAB (n, n, K); or condensed, (P,) or
        (K, P), or (P, K) where only P is a number of pairs. Beside it, ``labels`` name the RDMs,
        and ``stimulus_ids`` (or `STIMULUS_IDS`) the stimuli. RDMs without labels are called after
        the file. Stimuli have names where the file names them.

        Parameters
        ----------
        path : str or Path

        Raises
        ------
        ValueError
            If there is no such file, it holds no RDMs or several sets of them, how it is to be
            read cannot be told, or it seems to name the stimuli in a way that cannot be read.
        """
        return rdm_files.read(Path(path).expanduser(), cls)

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
            pattern_descriptors={"stimulus_id": list(self.stimulus_ids)} if self.named else None,
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
            Which RDM descriptor and which pattern descriptor give the names. By default, of RDMs
            ``label``, or else the first descriptor (``index`` apart) that tells all apart; of
            stimuli the first of `STIMULUS_IDS`, or else the only one of text (if there is none,
            of whole numbers) that tells all apart. Without one, the stimuli have no names.

        Raises
        ------
        ValueError
            If it is not such an object, lacks the descriptor, or several may be the names.
        """
        for attribute in ("dissimilarities", "rdm_descriptors", "pattern_descriptors"):
            if not hasattr(rdms, attribute):
                raise ValueError(f"{type(rdms).__name__} is not an rsatoolbox.rdm.RDMs")
        return cls._from_descriptors(
            rdms.dissimilarities,
            rdms.rdm_descriptors,
            rdms.pattern_descriptors,
            rdms.descriptors,
            rdms.dissimilarity_measure,
            label,
            stimulus_id,
        )

    @classmethod
    def _from_descriptors(
        cls,
        dissimilarities: Any,
        rdm_descriptors: Mapping[str, Any],
        pattern_descriptors: Mapping[str, Any],
        descriptors: Mapping[str, Any] | None,
        measure: Any,
        label: str | None = None,
        stimulus_id: str | None = None,
    ) -> RDMs:
        """Take the parts of rsatoolbox's RDMs."""
        ours = {theirs: name for name, theirs in RSATOOLBOX_METRICS.items()}
        return cls(
            np.array(dissimilarities, dtype=np.float64),
            tuple(_label_descriptor(rdm_descriptors, label)),
            tuple(_stimulus_descriptor(pattern_descriptors, stimulus_id)),
            None if measure is None else ours.get(str(measure).casefold(), str(measure)),
            {str(k): v for k, v in (descriptors or {}).items() if _is_plain(v)},
        )


def match(sets: Sequence[RDMs], *, common: bool = False) -> list[RDMs]:
    """Bring sets of RDMs to the same stimuli in the same order, that of the first with names.

    Parameters
    ----------
    sets : sequence of RDMs
        Stimuli are matched by name. Those of a set without names are taken to be in the order of
        the first set that has names.
    common : bool
        Leave out the stimuli that are not in all sets; otherwise they are an error.

    Returns
    -------
    list of RDMs

    Raises
    ------
    ValueError
        If a stimulus is not in all sets (named), or fewer than two are; if without names the
        order cannot be known, see `RDMs.align`.
    """
    first = next((one for one in sets if one.named), sets[0])
    if common and all(one.named for one in sets):
        shared = set.intersection(*(set(one.stimulus_ids) for one in sets))
        if not shared:
            ids = set(first.stimulus_ids)
            others = (one.stimulus_ids for one in sets if not ids & set(one.stimulus_ids))
            how = _how_they_differ(next(others, first.stimulus_ids), first.stimulus_ids)
            raise ValueError(f"no stimulus is in all sets{how}")
        first = first.subset([i for i in first.stimulus_ids if i in shared])
    else:
        for one in sets:
            # Both ways: neither may have a stimulus that the other lacks.
            if one.named or one.n_stimuli != first.n_stimuli:
                first.align(one)
    return [one.align(first) for one in sets]


def _names(what: str, given: Any, n: int, default: list[str]) -> tuple[str, ...]:
    if isinstance(given, str | bytes):
        raise ValueError(f"{given!r} is one name: expected a sequence of {n}")
    try:
        names = as_texts(() if given is None else given) or default
    except ValueError as error:
        raise ValueError(f"{what} names: {error}") from None
    if len(names) != n and (names or what != "stimulus"):
        kind = "labels for {} RDMs" if what == "label" else "stimulus names for RDMs of {} stimuli"
        raise ValueError(f"{len(names)} {kind.format(n)}")
    for k, name in enumerate(names):
        if name.endswith("\0"):
            raise ValueError(f"{what} {name!r} ends in a null character, which files do not keep")
        if not name.strip():
            raise ValueError(f"{what} {k} has the name {name!r}: it has to be told apart")
    _refuse_twice(what, names)
    return tuple(names)


def _refuse_twice(what: str, names: Iterable[str]) -> None:
    earlier: set[str] = set()
    for name in names:
        if name in earlier:
            raise ValueError(f"{what} {name!r} occurs more than once")
        earlier.add(name)


def _refuse_shuffled_numbers(names: Sequence[str]) -> None:
    """Refuse names that number the stimuli in another order than that of counting.

    The stimuli of a set without names may lie in this order or in that of counting.
    """
    numbers = [int(name) for name in names if name.isdecimal()]
    shuffled = len(numbers) == len(names) and numbers != sorted(numbers)
    if shuffled and sorted(numbers) in (list(range(len(names))), list(range(1, len(names) + 1))):
        raise ValueError(
            f"one set has no names for its stimuli, and the other numbers them {names[0]}, "
            f"{names[1]}, …: whether their order is this or that of counting cannot be known; name "
            "the stimuli in both"
        )


def _how_they_differ(missing: Sequence[str], known: Sequence[str]) -> str:
    """End an error message with what would make the names the same, where one thing does."""

    def value(name: str) -> str:
        try:
            return as_text(float(name))
        except ValueError:
            return name

    for what, form in (
        ("their upper and lower case", str.casefold),
        ("blanks around them", str.strip),
        ("how numbers are written", value),
        ("their endings", lambda name: os.path.splitext(name)[0]),
        ("their folders", lambda name: name.replace("\\", "/").rpartition("/")[2]),
    ):
        if form(missing[0]) in (form(name) for name in known):
            other = next(name for name in known if form(name) == form(missing[0]))
            return f"; names differ in {what}, as {missing[0]!r} and {other!r}: make them the same"
    if counts_positions(known) != counts_positions(missing):
        return "; if the numbers are positions and no names, leave them out of the file"
    return ""


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


def _positions(what: str, wanted: Any, names: tuple[str, ...], n: int) -> list[int]:
    """Turn names, positions or a mask into positions."""
    items = list(wanted)
    if items and all(isinstance(item, (bool, np.bool_)) for item in items):
        if len(items) != n:
            raise ValueError(f"a mask of {len(items)} for {n}: {what} selection")
        return [k for k, keep in enumerate(items) if keep]
    position = {name: k for k, name in enumerate(names)}
    positions = []
    for item in items:
        if isinstance(item, str):
            if as_text(item) not in position:
                first_names = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
                choices = (
                    f"; known: {first_names}" if names else ": they have no names, only positions"
                )
                raise ValueError(f"there is no {what} {item!r}{choices}")
            positions.append(position[as_text(item)])
        elif isinstance(item, (int, np.integer)):
            if not -n <= item < n:
                raise ValueError(f"there is no {what} {item}: there are {n}")
            positions.append(int(item) % n)
        else:
            raise ValueError(f"{what} {item!r} is neither a name nor a position")
    return positions


def _label_descriptor(descriptors: Mapping[str, Any], label: str | None) -> list[str]:
    if label is not None or "label" in descriptors:
        return _descriptor(descriptors, label or "label")
    for name in descriptors:
        texts = as_texts(descriptors[name])
        if name != "index" and len(set(texts)) == len(texts):
            return texts
    return []


def _stimulus_descriptor(descriptors: Mapping[str, Any], stimulus_id: str | None) -> list[str]:
    names = {name.casefold(): name for name in descriptors}
    usual = next((names[name] for name in STIMULUS_IDS if name in names), None)
    if (chosen := stimulus_id or usual) is not None:
        return _descriptor(descriptors, chosen)
    different: dict[tuple[str, str], list[str]] = {}
    for name, values in descriptors.items():
        kinds = {type(value) for value in values}
        text = all(issubclass(kind, str | bytes) for kind in kinds)
        integers = all(issubclass(kind, int | np.integer) for kind in kinds)
        if name != "index" and (text or integers) and len(set(values)) == len(values):
            different["text" if text else "whole numbers", name] = as_texts(values)
    for kind in ("text", "whole numbers"):
        candidates = [name for of_kind, name in different if of_kind == kind]
        if len(candidates) > 1:
            raise ValueError(
                f"descriptors {', '.join(map(repr, candidates))} all tell the stimuli apart: "
                "choose one with stimulus_id=, or call it 'stimulus_id' before saving"
            )
        if candidates:
            return different[kind, candidates[0]]
    # A selection or another order of stimuli that have nothing else leaves its trace here.
    index = as_texts(descriptors.get("index", ()))
    return [] if counts_positions(index) else index


def _descriptor(descriptors: Mapping[str, Any], name: str) -> list[str]:
    if name not in descriptors:
        raise ValueError(f"there is no descriptor {name!r}; known: {', '.join(descriptors)}")
    return as_texts(descriptors[name])


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, bool, int, float))


def _rsatoolbox() -> Any:
    if importlib.util.find_spec("rsatoolbox") is None:
        raise ValueError("rsatoolbox is not installed; `pip install rsatoolbox` brings it")
    import rsatoolbox.rdm

    return cast(Any, rsatoolbox.rdm)
