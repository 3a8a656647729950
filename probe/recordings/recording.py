"""What was recorded: responses, or RDMs where only those were published, and what was shown."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from probe.errors import ProbeError, nearest, suggest
from probe.formats.names import as_texts
from probe.recordings.times import (
    all_counts,
    are_instants,
    check_even,
    check_times,
    describe_time,
    describe_times,
    gather,
    steps_of,
)
from probe.similarity import rdm
from probe.similarity.comparators import is_constant
from probe.similarity.crossvalidated import crossvalidated_rdm
from probe.similarity.noise import noise_precision, residuals_from_repeats
from probe.similarity.rdms import METRICS, NOISE_METRICS, BadPatternError
from probe.stimuli import StimulusSet

Chosen = int | str | Iterable[int | str]
"""Neuroids or stimuli, by numbers from 0 or by names."""

RESPONSE_DIMS = ("stimulus", "repetition", "neuroid")
TIME_DIMS = ("stimulus", "repetition", "time", "neuroid")
RDM_DIMS = ("rdm", "pair")


@dataclass(frozen=True, eq=False, repr=False)
class Recording:
    """Neural responses to a stimulus set, or the RDMs of such responses.

    Parameters
    ----------
    data : xarray.Dataset
        Either ``responses`` with dims (stimulus, repetition, neuroid), float64, NaN where a
        repetition is missing, and the coordinates ``stimulus_id`` (stimulus), ``subject``,
        ``region`` and ``neuroid_id`` (neuroid); or ``rdms`` with dims (rdm, pair), 1 − r in the
        order of ``numpy.triu_indices(n_stimuli, 1)``, and the coordinates ``stimulus_id``
        (stimulus), ``subject`` and ``region`` (rdm). Responses may have a dim ``time`` before the
        last, with the coordinates ``time_start`` and ``time_end`` in ms after stimulus onset: time
        bins, which do not include their end, or instants, where both are the same. The attributes
        ``name``, ``title``, ``citation``, ``licence`` and ``source_hash`` say where it comes from,
        ``response_unit`` what a response is, ``averaged`` whether the one repetition is a mean
        over several, and ``simulated`` whether it was generated; ``stimulus_order`` what told
        which response belongs to which stimulus; ``counts`` whether responses in time bins are
        counts; ``window`` of what times they are, in ms, if `window` put them together;
        ``selection`` how neuroids were chosen, see `probe.recordings.select_reliable`.
    stimuli : StimulusSet
        What was shown. Pictures that the recording does not name are left out, and the rest is
        brought into the recording's order.

    Raises
    ------
    ProbeError
        If dims or coordinates are missing, stimuli are named twice or have no picture, a value is
        infinite, a neuroid was never shown a stimulus, or an RDM holds a NaN or is constant.
    """

    data: xr.Dataset
    stimuli: StimulusSet

    def __post_init__(self) -> None:
        data = self.data
        label = f"recording {data.attrs.get('name', 'without a name')!r}"
        if ("responses" in data) == ("rdms" in data):
            raise ProbeError(f"{label} needs either 'responses' or 'rdms'")
        if "responses" in data:
            dims = TIME_DIMS if "time" in data["responses"].dims else RESPONSE_DIMS
            _require(data, label, "responses", dims, ("subject", "region", "neuroid_id"))
            if dims == TIME_DIMS:
                data = _with_times(data, label)
        else:
            _require(data, label, "rdms", RDM_DIMS, ("subject", "region"))
        kind = "responses" if "responses" in data else "rdms"
        if data[kind].dtype != np.float64:
            if data[kind].dtype.kind not in "iuf":
                raise ProbeError(f"{label} holds {kind} of {data[kind].dtype}, not numbers")
            data = data.assign({kind: data[kind].astype(np.float64)})
        try:
            ids = as_texts(data["stimulus_id"].values)
        except ValueError as error:
            raise ProbeError(f"{label}, coordinate 'stimulus_id': {error}") from None
        data = data.assign_coords(stimulus_id=("stimulus", ids))
        _refuse_twice(label, "stimulus", np.array(ids))
        if kind == "responses":
            _refuse_twice(label, "neuroid", data["neuroid_id"].values)
            _check_responses(data, label)
        else:
            _check_rdms(data, label)
        stimuli = self.stimuli
        if tuple(ids) != stimuli.ids:
            stimuli = stimuli.subset(stimuli.index(ids))
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "stimuli", stimuli)

    @property
    def name(self) -> str:
        """What `probe.recordings.load` calls it, the session or seed included."""
        return str(self.data.attrs.get("name", "recording"))

    @property
    def simulated(self) -> bool:
        """Whether the responses were generated, not recorded."""
        return bool(self.data.attrs.get("simulated", False))

    @property
    def has_responses(self) -> bool:
        """Whether there are single responses; otherwise only RDMs were published."""
        return "responses" in self.data

    @property
    def has_time(self) -> bool:
        """Whether the responses have a time axis, of which `window` takes a part."""
        return self.has_responses and "time" in self.data["responses"].dims

    @property
    def times(self) -> np.ndarray | None:
        """Beginnings and ends of time bins, or instants twice, in ms, shape (n_times, 2).

        None without a time axis.
        """
        if not self.has_time:
            return None
        return np.column_stack([self.data["time_start"].values, self.data["time_end"].values])

    @property
    def counts(self) -> bool:
        """Whether a longer time bin has more: known from the import, else from whole numbers."""
        counts = self.data.attrs.get("counts")
        return all_counts(self.data["responses"].values) if counts is None else bool(counts)

    @property
    def regions(self) -> list[str]:
        """Recorded areas, in the order of the data."""
        return _unique(self.data["region"].values)

    @property
    def subjects(self) -> list[str]:
        """Animals or persons, in the order of the data."""
        return _unique(self.data["subject"].values)

    @property
    def n_stimuli(self) -> int:
        """How many stimuli were shown."""
        return int(self.data.sizes["stimulus"])

    @property
    def n_neuroids(self) -> int | None:
        """How many sites, neurons or voxels; None where only RDMs were published."""
        return int(self.data.sizes["neuroid"]) if self.has_responses else None

    @property
    def n_repetitions(self) -> tuple[int, int] | None:
        """Fewest and most repetitions of a stimulus that are there; None without responses."""
        if not self.has_responses:
            return None
        present = np.isfinite(self.data["responses"].values).sum(axis=1)
        return int(present.min()), int(present.max())

    def select(
        self,
        region: str | None = None,
        subject: str | None = None,
        *,
        neuroids: Chosen | None = None,
        stimuli: Chosen | None = None,
    ) -> Recording:
        """Keep a part: one region, one subject, some neuroids, some stimuli.

        Parameters
        ----------
        region, subject : str, optional
            Whose neuroids (or RDMs).
        neuroids, stimuli : int, str, or a sequence of these, optional
            Numbers count from 0 in this recording, whatever its region or subject; names are those
            of ``neuroid_id`` and ``stimulus_id``. They are kept in the order given.

        Returns
        -------
        Recording
            Itself, if nothing is left out.

        Raises
        ------
        ProbeError
            If the recording lacks what is named, or nothing is left; if something is named twice;
            if neuroids or stimuli are named and only RDMs were published.
        """
        mask = np.ones(self.data["region"].size, dtype=bool)
        for what, name, names in (
            ("region", region, self.regions),
            ("subject", subject, self.subjects),
        ):
            if name is None:
                continue
            if name not in names:
                raise ProbeError(
                    f"recording {self.name!r} has no {what} {name!r}" + suggest(name, names)
                )
            mask &= self.data[what].values == name
        if not mask.any():
            raise ProbeError(f"recording {self.name!r} has no {region!r} of subject {subject!r}")
        parts: dict[str, np.ndarray] = {}
        if not mask.all():
            parts["neuroid" if self.has_responses else "rdm"] = np.flatnonzero(mask)
        if neuroids is not None:
            parts["neuroid"] = self._positions("neuroid", neuroids)
            if len(others := [k for k in parts["neuroid"] if not mask[k]]):
                raise ProbeError(
                    f"neuroid {others[0]} of recording {self.name!r} does not belong to the named "
                    "region or subject"
                )
        if stimuli is not None:
            parts["stimulus"] = self._positions("stimulus", stimuli)
        if not parts:
            return self
        data = self.data.isel(parts)
        if neuroids is not None and list(parts["neuroid"]) != list(range(self.n_neuroids or 0)):
            data = data.assign_attrs(chosen_neuroids=True)  # others go by these numbers
        return Recording(data, self.stimuli)

    def window(self, start: float, end: float) -> Recording:
        """Put the responses in a window of time together.

        Parameters
        ----------
        start, end : float
            In ms after stimulus onset; the end is not included.

        Returns
        -------
        Recording
            Without a time axis. Time bins have to make up the window exactly; counts are summed,
            other responses averaged. Of samples, those with start ≤ t < end are averaged.

        Raises
        ------
        ProbeError
            If there is no time axis, or no times make up the window; the message names the borders
            that would work.
        """
        start, end = float(start), float(end)
        values, counts = self._gathered([(start, end)])
        span = f"{'sum' if counts else 'mean'} over {start:g} to {end:g} ms after onset"
        data = self.data.drop_dims("time").assign(responses=(RESPONSE_DIMS, values[:, :, 0]))
        data = self._marked(data, span, f"{start!r} {end!r}").assign_attrs(window=(start, end))
        return Recording(data, self.stimuli)

    def in_steps(self, start: float, end: float, step: float) -> Recording:
        """Put the responses together in steps of a window of time.

        Parameters
        ----------
        start, end, step : float
            In ms after stimulus onset. The steps have to fill the window; the end of none is
            included in it.

        Returns
        -------
        Recording
            With a time axis of time bins, each put together as by `window`.

        Raises
        ------
        ProbeError
            As `window`.
        """
        times = self._require_times()
        start, end, step = float(start), float(end), float(step)
        try:
            windows = steps_of(start, end, step)
            check_even(times, windows)
        except ValueError as error:
            raise ProbeError(f"recording {self.name!r}: {error}") from None
        values, counts = self._gathered(windows.tolist())
        span = f"{'sum' if counts else 'mean'} over {step:g} ms"
        data = self.data.drop_dims("time").assign(responses=(TIME_DIMS, values))
        data = data.assign_coords(
            time_start=("time", windows[:, 0].copy()), time_end=("time", windows[:, 1].copy())
        )
        return Recording(self._marked(data, span, f"{start!r} {end!r} {step!r}"), self.stimuli)

    def unfolded(self) -> Recording:
        """Take every neuroid at every time for a neuroid of its own.

        Returns
        -------
        Recording
            Without a time axis. Neuroids are in the order of (time, neuroid); ``neuroid_id`` is
            followed by the time, ``n0001@70-80ms``.
        """
        times = self._require_times()
        values = self.data["responses"].values
        n_times, n = values.shape[2:]
        data = xr.Dataset(
            {"responses": (RESPONSE_DIMS, values.reshape(*values.shape[:2], n_times * n))},
            coords={
                **{
                    str(name): ("stimulus", c.values)
                    for name, c in self.data.coords.items()
                    if c.dims == ("stimulus",)
                },
                **{
                    str(name): ("neuroid", np.tile(c.values, n_times))
                    for name, c in self.data.coords.items()
                    if c.dims == ("neuroid",)
                },
                "neuroid_id": (
                    "neuroid",
                    [
                        f"{neuroid}@{describe_time(time).replace(' ', '')}"
                        for time in times
                        for neuroid in self.data["neuroid_id"].values
                    ],
                ),
                "time_start": ("neuroid", np.repeat(times[:, 0], n)),
                "time_end": ("neuroid", np.repeat(times[:, 1], n)),
            },
            attrs=self.data.attrs,
        )
        return Recording(data, self.stimuli)

    def _require_times(self) -> np.ndarray:
        if (times := self.times) is None:
            raise ProbeError(
                f"recording {self.name!r} has no time axis: its responses already cover one window "
                "(probe datasets import keeps time with --step)"
            )
        return times

    def _gathered(self, windows: Sequence[tuple[float, float]]) -> tuple[np.ndarray, bool]:
        """Return responses (stimulus, repetition, window, neuroid), and whether they are sums."""
        times = self._require_times()
        counts = self.counts and not are_instants(times)
        values = self.data["responses"].values
        try:
            parts = [gather(values, times, *window, counts=counts) for window in windows]
        except ValueError as error:
            raise ProbeError(f"recording {self.name!r}: {error}") from None
        return np.stack(parts, axis=2), counts

    @staticmethod
    def _marked(data: xr.Dataset, span: str, what: str) -> xr.Dataset:
        """Write into the attributes what was put together, so that it is a recording of its own."""
        unit = str(data.attrs.get("response_unit", ""))
        source = f"{data.attrs.get('source_hash', '')} {what}"
        return data.assign_attrs(
            response_unit=f"{unit}; {span}" if unit else span,
            source_hash=hashlib.sha256(source.encode()).hexdigest(),
        )

    def refuse_time(self) -> None:
        """Raise a `ProbeError` that asks for a window, if the responses have a time axis."""
        if (times := self.times) is not None:
            raise ProbeError(
                f"recording {self.name!r} has a time axis ({describe_times(times)}): name a window "
                "of it, as in --time 70,170ms, or recording.window(70, 170)"
            )

    def _positions(self, what: str, chosen: Chosen) -> np.ndarray:
        """Return where neuroids or stimuli stand that are named by numbers or names."""
        if not self.has_responses:
            raise ProbeError(f"recording {self.name!r} holds RDMs only: no {what} can be chosen")
        words = [chosen] if isinstance(chosen, (str, int, np.integer)) else list(chosen)
        names = as_texts(self.data[f"{what}_id"].values)
        position_of = {name: k for k, name in enumerate(names)}
        positions = []
        for word in words:
            if isinstance(word, str):
                if word not in position_of:
                    raise ProbeError(
                        f"recording {self.name!r} has no {what} {word!r}{suggest(word, names)}"
                    )
                positions.append(position_of[word])
            elif isinstance(word, bool) or not isinstance(word, (int, np.integer)):
                raise ProbeError(f"{what} {word!r}: expected a number from 0, or a name")
            elif not 0 <= word < len(names):
                raise ProbeError(
                    f"recording {self.name!r} has no {what} {word}: expected 0 to {len(names) - 1}"
                )
            else:
                positions.append(int(word))
        if not positions:
            raise ProbeError(f"no {what} is named: name at least one")
        return np.array(positions)

    def mean_responses(self) -> xr.DataArray:
        """Average the repetitions that are there.

        Returns
        -------
        xarray.DataArray, dims (stimulus, neuroid)
            Without NaN.

        Raises
        ------
        ProbeError
            If only RDMs were published, or the responses have a time axis.
        """
        if not self.has_responses:
            raise ProbeError(f"recording {self.name!r} holds RDMs only, no responses")
        self.refuse_time()
        return self.data["responses"].mean("repetition", skipna=True, keep_attrs=True)

    def rdms(
        self, metric: str | None = None, *, noise: str = "shrinkage-diagonal"
    ) -> tuple[list[str], np.ndarray]:
        """Return one RDM per subject.

        Parameters
        ----------
        metric : {'correlation', 'euclidean', 'cosine', 'mahalanobis', 'crossnobis', 'poisson'}, \
optional
            By default 'correlation'. Published RDMs are 1 − r and admit nothing else. The distance
            between mean response patterns, see `probe.similarity.rdm`; for 'crossnobis' between
            single repetitions, see `rdm_of_repetitions`.
        noise : {'shrinkage-diagonal', 'ledoit-wolf', 'full', 'diagonal'}
            For 'mahalanobis' and 'crossnobis': how the precision of the noise is estimated from
            the repetitions, see `probe.similarity.noise_covariance`.

        Returns
        -------
        subjects : list of str
            A label per RDM.
        rdms : numpy.ndarray, shape (n_subjects, n_pairs)
            Several RDMs of one subject, one per session, are averaged. NaN, with 'crossnobis'
            only, for two stimuli that were not shown together in two repetitions.

        Raises
        ------
        ProbeError
            If several regions would be mixed, the recording has a time axis or no such distance,
            or the distance is undefined for a stimulus (named).
        """
        metric = self._checked_metric(metric)
        self.refuse_time()
        subjects = self.subjects
        if not self.has_responses:
            of_subject = self.data["subject"].values
            recorded = self.data["rdms"].values
            return subjects, np.stack([recorded[of_subject == s].mean(axis=0) for s in subjects])
        return subjects, self._rdms_of(self.data["responses"].values, metric, noise)

    def rdms_over_time(
        self, metric: str | None = None, *, noise: str = "shrinkage-diagonal"
    ) -> tuple[list[str], np.ndarray]:
        """Return one RDM per time and subject.

        Parameters
        ----------
        metric, noise
            See `rdms`.

        Returns
        -------
        subjects : list of str
        rdms : numpy.ndarray, shape (n_times, n_subjects, n_pairs)

        Raises
        ------
        ProbeError
            As `rdms`; if there is no time axis; if the distance is undefined at some time (named).
        """
        metric = self._checked_metric(metric)
        times = self._require_times()
        responses = self.data["responses"].values
        rdms: list[np.ndarray] = []
        failures: list[tuple[int, ProbeError]] = []
        for k in range(len(times)):
            try:
                rdms.append(self._rdms_of(responses[:, :, k], metric, noise))
            except ProbeError as error:
                failures.append((k, error))
        if failures:
            k, first = failures[0]
            others = f", and in {len(failures) - 1} others" if failures[1:] else ""
            raise ProbeError(
                f"{first}, at {describe_time(times[k])}{others} of {len(times)} times: choose "
                "longer steps (--step), other times (--time), or --metric euclidean"
            )
        return self.subjects, np.stack(rdms)

    def _checked_metric(self, metric: str | None) -> str:
        """Return a metric that the recording has, of one region."""
        if len(self.regions) > 1:
            raise ProbeError(
                f"recording {self.name!r} holds {' and '.join(self.regions)}: select one region"
            )
        metric = metric or "correlation"
        if metric not in (metrics := (*METRICS, *NOISE_METRICS)):
            raise ProbeError(
                f"recording {self.name!r}: metric {metric!r}: expected one of {', '.join(metrics)}"
                f"{nearest(metric, metrics)}"
            )
        if not self.has_responses and metric != "correlation":
            raise ProbeError(
                f"recording {self.name!r} holds correlation-distance RDMs only, "
                f"no responses: metric {metric!r} cannot be computed; use 'correlation'"
            )
        return metric

    def _rdms_of(self, responses: np.ndarray, metric: str, noise: str) -> np.ndarray:
        """Compute an RDM per subject from responses (stimulus, repetition, neuroid)."""
        of_subject = self.data["subject"].values
        if metric in ("mahalanobis", "crossnobis"):
            return np.stack([
                self.rdm_of_repetitions(responses[:, :, of_subject == s], metric, s, noise)
                for s in self.subjects
            ])  # fmt: skip
        means = np.nanmean(responses, axis=1)
        return np.stack([self.rdm_of(means[:, of_subject == s], metric, s) for s in self.subjects])

    def rdm_of_repetitions(
        self,
        responses: np.ndarray,
        metric: str,
        subject: str,
        noise: str = "shrinkage-diagonal",
    ) -> np.ndarray:
        """Compute an RDM that needs repetitions, with errors in this recording's words.

        Parameters
        ----------
        responses : numpy.ndarray, shape (n_stimuli, n_repetitions, n_neuroids)
            NaN where a repetition is missing. One that only some neuroids have counts in the means
            of 'mahalanobis', but neither in the noise nor in 'crossnobis'.
        metric : {'mahalanobis', 'crossnobis'}
            ``mahalanobis``: between the means, see `probe.similarity.rdm`. ``crossnobis``:
            between single repetitions, each one a partition, see
            `probe.similarity.crossvalidated_rdm`: what is common to all stimuli of a repetition
            cancels, and two stimuli take the repetitions that both have.
        subject : str
            Whose responses they are.
        noise : {'shrinkage-diagonal', 'ledoit-wolf', 'full', 'diagonal'}
            How the precision of the noise is estimated from the deviations of the repetitions
            from their mean.

        Returns
        -------
        numpy.ndarray, shape (n_pairs,)
            NaN where two stimuli share fewer than two repetitions.

        Raises
        ------
        ProbeError
            If there are too few repetitions, or the noise has no precision.
        """
        whose = f"recording {self.name!r}, subject {subject!r}"
        present = ~np.isnan(responses).any(axis=2)
        counts = present.sum(axis=1)
        averaged = ", it holds means over them" if self.data.attrs.get("averaged") else ""
        need = f"metric {metric!r} needs repetitions{averaged}: use 'euclidean' or 'correlation'"
        if (counts < 2).all():
            raise ProbeError(f"{whose}: no stimulus has two complete repetitions; {need}")
        if metric == "crossnobis" and (counts < 2).any():
            few = np.flatnonzero(counts < 2)
            others = f" (and {len(few) - 1} more)" if len(few) > 1 else ""
            raise ProbeError(
                f"{whose}: stimulus {self.stimuli.ids[few[0]]!r}{others} has fewer than two "
                f"complete repetitions; {need}"
            )
        try:
            residuals, dof = residuals_from_repeats(responses)
            precision = noise_precision(residuals, noise, dof)
            if metric == "mahalanobis":
                means = np.nanmean(responses, axis=1)
                return self._check_rdm(rdm(means, metric, precision=precision), whose)
            stimulus, repetition = np.nonzero(present)
            distances, _ = crossvalidated_rdm(
                responses[present], stimulus, repetition, precision=precision
            )
        except ValueError as error:
            raise ProbeError(f"{whose}: {error}") from None
        return self._check_rdm(distances, whose)

    def rdm_of(self, responses: np.ndarray, metric: str, subject: str) -> np.ndarray:
        """Compute the RDM of some response patterns, with errors in this recording's words.

        Parameters
        ----------
        responses : numpy.ndarray, shape (n_stimuli, n_neuroids)
        metric : str
            See `probe.similarity.rdm`.
        subject : str
            Whose responses they are.

        Returns
        -------
        numpy.ndarray, shape (n_pairs,)

        Raises
        ------
        ProbeError
            If the metric is unknown, undefined for a stimulus (named), or the RDM constant.
        """
        whose = f"recording {self.name!r}, subject {subject!r}"
        if responses.shape[1] < 2 and metric in ("correlation", "cosine"):
            raise ProbeError(f"{whose}: only one neuroid: a {metric} distance needs two or more")
        try:
            distances = rdm(responses, metric)
        except BadPatternError as error:
            others = f" (and {error.count - 1} more)" if error.count > 1 else ""
            raise ProbeError(
                f"{whose}: stimulus {self.stimuli.ids[error.row]!r}{others} {error.what}"
            ) from None
        except ValueError as error:
            raise ProbeError(f"{whose}: {error}") from None
        return self._check_rdm(distances, whose)

    @staticmethod
    def _check_rdm(distances: np.ndarray, whose: str) -> np.ndarray:
        if is_constant(distances[~np.isnan(distances)]):
            raise ProbeError(f"{whose}: all stimuli are equally far apart, the RDM is constant")
        return distances

    def describe(self) -> dict[str, Any]:
        """Return what is compared, in plain values for provenance and for the screen."""
        attrs = self.data.attrs
        low_high = self.n_repetitions
        return {
            "name": self.name,
            "title": str(attrs.get("title", "")),
            "simulated": self.simulated,
            "kind": "responses" if self.has_responses else "rdms",
            "regions": self.regions,
            "subjects": self.subjects,
            "n_stimuli": self.n_stimuli,
            "n_neuroids": self.n_neuroids,
            **({} if (times := self.times) is None else {"time": describe_times(times)}),
            **({"window": list(attrs["window"])} if "window" in attrs else {}),
            "n_repetitions": None if low_high is None else list(low_high),
            "averaged": bool(attrs.get("averaged", False)),
            "selection": attrs.get("selection"),
            **({"chosen_neuroids": True} if attrs.get("chosen_neuroids") else {}),
            "response_unit": str(attrs.get("response_unit", "")),
            "stimulus_order": str(attrs.get("stimulus_order", "")),
            "citation": str(attrs.get("citation", "")),
            "licence": str(attrs.get("licence", "")),
            "source_hash": str(attrs.get("source_hash", "")),
            "stimulus_hash": self.stimuli.hash,
        }

    def save(self, path: Path | str) -> Path:
        """Write the responses as a file of another program.

        Parameters
        ----------
        path : path
            Its end tells the kind. ``.nc``: netCDF as Brain-Score has it (presentation × neuroid ×
            time_bin, every coordinate along one of them, no index), with ``animal`` for subject.
            ``.csv``, ``.parquet``: a tidy table, one row per response. `probe datasets import`
            reads each. A file of this name is replaced. Neither holds the affine of voxels, nor
            that responses are averages.

        Returns
        -------
        Path

        Raises
        ------
        ProbeError
            If only RDMs were published, the kind is none of these, or it cannot be written.
        """
        from probe.recordings import exporting  # which knows recordings

        return exporting.save(self, path)

    def to_rsatoolbox(self) -> Any:
        """Return the responses as an object of rsatoolbox.

        Returns
        -------
        rsatoolbox.data.Dataset or rsatoolbox.data.TemporalDataset
            Measurements (presentation, neuroid) or (presentation, neuroid, time), of presentations
            that are there, NaN where a neuroid has none; coordinates as descriptors, with
            ``repetition``. ``time`` is the middle of ``time_start`` and ``time_end``, in ms.

        Raises
        ------
        ProbeError
            If rsatoolbox is not installed, or only RDMs were published.
        """
        from probe.recordings import exporting  # which knows recordings

        return exporting.to_rsatoolbox(self)

    def _facts(self) -> list[tuple[str, str]]:
        n = len(self.subjects)
        facts = [
            ("region", ", ".join(self.regions)),
            ("subjects", ", ".join(self.subjects) if n <= 4 else str(n)),
            ("stimuli", str(self.n_stimuli)),
        ]
        if order := self.data.attrs.get("stimulus_order"):
            facts.append(("order of stimuli", str(order)))
        if self.n_neuroids is None:
            facts.append(("holds", f"{self.data.sizes['rdm']} RDMs (1 − r), no responses"))
        else:
            facts.append(("neuroids", str(self.n_neuroids)))
            if (times := self.times) is not None:
                facts.append(("time", describe_times(times)))
            assert self.n_repetitions is not None
            low, high = self.n_repetitions
            counted = str(low) if low == high else f"{low} to {high}"
            averaged = self.data.attrs.get("averaged", False)
            facts.append(("repetitions", "averaged" if averaged else counted))
            if selection := self.data.attrs.get("selection"):
                facts.append(("chosen", str(selection["said"])))
        return facts

    def __repr__(self) -> str:
        kind = "simulated recording" if self.simulated else "recording"
        return f"<{kind} {self.name}: " + "; ".join(f"{k} {v}" for k, v in self._facts()) + ">"

    def _repr_html_(self) -> str:
        rows = [*self._facts(), ("title", str(self.data.attrs.get("title", "")))]
        rows.append(("cite", str(self.data.attrs.get("citation", ""))))
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(k)}</th>"
            f"<td style='text-align:left'>{html.escape(v)}</td></tr>"
            for k, v in rows
        )
        mark = " (simulated)" if self.simulated else ""
        return f"<table><caption>{html.escape(self.name)}{mark}</caption>{cells}</table>"


def _unique(values: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(str(v) for v in values))


def _require(
    data: xr.Dataset, label: str, variable: str, dims: tuple[str, ...], along: tuple[str, ...]
) -> None:
    if data[variable].dims != dims:
        raise ProbeError(
            f"{label}: {variable!r} has dims {tuple(data[variable].dims)}: expected {dims}"
        )
    dim_of = dict.fromkeys(along, dims[-1] if variable == "responses" else dims[0])
    for name, dim in {"stimulus_id": "stimulus", **dim_of}.items():
        if name not in data.coords or data[name].dims != (dim,):
            raise ProbeError(f"{label} lacks the coordinate {name!r} along {dim!r}")
    if empty := next((d for d in dims if data.sizes[d] == 0), None):
        raise ProbeError(f"{label} is empty along {empty!r}")


def _with_times(data: xr.Dataset, label: str) -> xr.Dataset:
    for name in ("time_start", "time_end"):
        if name not in data.coords or data[name].dims != ("time",):
            raise ProbeError(f"{label} lacks the coordinate {name!r} along 'time', in ms")
    try:
        times = check_times(
            np.column_stack([data["time_start"].values, data["time_end"].values]).astype(np.float64)
        )
    except ValueError as error:
        raise ProbeError(f"{label}: {error}") from None
    return data.assign_coords(
        time_start=("time", times[:, 0].copy()), time_end=("time", times[:, 1].copy())
    )


def _refuse_twice(label: str, what: str, ids: np.ndarray) -> None:
    unique, counts = np.unique(ids.astype(str), return_counts=True)
    if (counts > 1).any():
        raise ProbeError(f"{label} names {what} {str(unique[counts > 1][0])!r} more than once")


def _check_responses(data: xr.Dataset, label: str) -> None:
    values = data["responses"].values
    stimulus, neuroid = data["stimulus_id"].values, data["neuroid_id"].values
    for bad, what in (
        (np.isinf(values).any(axis=1), "an infinite response"),
        (np.isnan(values).all(axis=1), "no response in any repetition"),
    ):
        if bad.any():
            s, *time, n = np.argwhere(bad)[0]
            bad = bad.reshape(len(bad), -1, bad.shape[-1])
            at = f" at {data['time_start'].values[time[0]]:g} ms" if time else ""
            whose = _whose("neuroid", "neuroids", neuroid[bad.any(axis=(0, 1))])
            which = _whose("stimulus", "stimuli", stimulus[bad.any(axis=(1, 2))])
            raise ProbeError(
                f"{label} has {what} of neuroid {str(neuroid[n])!r} to stimulus "
                f"{str(stimulus[s])!r}{at}; {bad.sum()} of {bad.size} such cells, in {whose} and "
                f"{which}: leave out {_to_leave_out(bad)}, or repair the file"
            )


def _whose(one: str, many: str, ids: np.ndarray) -> str:
    """Return how many there are, or the name of the only one."""
    return f"{one} {str(ids[0])!r} alone" if len(ids) == 1 else f"{len(ids)} {many}"


def _to_leave_out(bad: np.ndarray) -> str:
    """Return what has the fewest bad cells around it: neuroids or stimuli, whichever are fewer."""
    n_stimuli, n_neuroids = int(bad.any(axis=(1, 2)).sum()), int(bad.any(axis=(0, 1)).sum())
    if n_neuroids <= n_stimuli:
        return "that neuroid" if n_neuroids == 1 else "these neuroids"
    return "that stimulus" if n_stimuli == 1 else "these stimuli"


def _check_rdms(data: xr.Dataset, label: str) -> None:
    n = data.sizes["stimulus"]
    if data.sizes["pair"] != n * (n - 1) // 2:
        raise ProbeError(
            f"{label} has {data.sizes['pair']} pairs for {n} stimuli: expected {n * (n - 1) // 2}"
        )
    rows, columns = np.triu_indices(n, 1)
    ids = data["stimulus_id"].values
    for subject, values in zip(data["subject"].values, data["rdms"].values, strict=True):
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            a, b = str(ids[rows[bad[0]]]), str(ids[columns[bad[0]]])
            raise ProbeError(
                f"{label}: the RDM of subject {str(subject)!r} has no finite distance between "
                f"{a!r} and {b!r} ({bad.size} such pairs)"
            )
        if is_constant(values):
            raise ProbeError(f"{label}: the RDM of subject {str(subject)!r} is constant")
