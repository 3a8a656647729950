"""Recordings of a user's own, from the files that laboratories have.

A file is read into `Presented` by one module per layout (`arrays`, `tables`, `session` of NWB,
`brain_maps` of fMRI, `sensors` of MEG and EEG), which know each axis from the file or from the user
and refuse where two readings fit. What they hand on becomes a `Reading`, which says how it was read
and writes itself as a folder.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from probe.errors import ProbeError, suggest
from probe.formats import kinds
from probe.formats.matlab import read_matlab5, read_matlab73
from probe.formats.names import as_text, repeated
from probe.formats.netcdf import read_classic, read_hdf5
from probe.formats.numpy_files import read_npy, read_npz
from probe.formats.variables import Variables
from probe.recordings.importing.arrays import Keep, from_variables
from probe.recordings.importing.brain_maps import from_images, is_brain_image
from probe.recordings.importing.inside import pictures_inside
from probe.recordings.importing.options import (
    Options,
    check_picture_axes,
    check_time_unit,
    read_axes,
    read_bins,
    read_step,
    read_window,
)
from probe.recordings.importing.presented import Presented, rename_known, texts
from probe.recordings.importing.reading import Reading
from probe.recordings.importing.sensors import SENSOR_KINDS, by_type, from_sensors
from probe.recordings.importing.session import from_nwb
from probe.recordings.importing.tables import from_columns, read_columns
from probe.recordings.pictures import picture_names
from probe.stimuli import StimulusSet, image_set
from probe.stimuli.image_sets import TABLES

_READERS: dict[str, Callable[[Path], Variables]] = {
    kinds.MATLAB_5: read_matlab5,
    kinds.MATLAB_73: read_matlab73,
    kinds.NETCDF: read_hdf5,
    kinds.HDF5: read_hdf5,
    kinds.NETCDF_CLASSIC: read_classic,
    kinds.NPY: read_npy,
    kinds.NPZ: read_npz,
}


def read_recording(
    path: Path | str | Sequence[Path | str],
    *,
    stimuli: Path | str | StimulusSet | None = None,
    picture_axes: str | None = None,
    window: str | None = None,
    step: str | None = None,
    axes: str | Sequence[str] | None = None,
    variable: str | None = None,
    labels: str | Path | None = None,
    presentations: str | Path | None = None,
    neuroids: str | Path | None = None,
    bins: str | None = None,
    time_unit: str | None = None,
    blanks: Sequence[str] = (),
    region: str | None = None,
    subject: str | None = None,
    sort_times: bool = False,
    keep: Keep | None = None,
    mask: Path | str | Sequence[Path | str] | None = None,
    key: Path | str | None = None,
    events: Path | str | Sequence[Path | str] | None = None,
    average: str | None = None,
) -> Reading:
    """Read responses from the files that laboratories have, and say how.

    Every axis, unit and name is known from the file or from an argument. Where two readings fit,
    none is taken: the error names the argument that decides. No pickle is opened.

    Parameters
    ----------
    path : path, or sequence of paths
        A file. Several, of one site each and with the same presentations, are put side by side.
        Of NIfTI and GIfTI, images of single-trial maps or folders of them: of one map each, named
        after its picture (contrast-NAME, as by nilearn); or of many maps each, with ``events``.
    stimuli : path or StimulusSet, optional
        The pictures, as for `probe.image_set`: a folder, a table of paths (column path, or
        filename as Brain-Score has it), an archive. A picture
        belongs to the name that the file gives, with or without its ending. Needed to save,
        unless the file holds the pictures.
    picture_axes : {'y,x', 'x,y'}, optional
        Of pictures that an NWB file holds: whether they are stored rows first, as most programs
        write them, or columns first, as its schema says. No file tells which.
    window : str, optional
        From when to when after onset, as in ``"50,250ms"``; the end is not included. Spikes are
        counted in it; time bins that make it up exactly are summed if they are counts, averaged
        if not.
    step : str, optional
        Keep time, in steps of this length, as in ``"10ms"``: one response per step of the window,
        or, where a file has time bins, of all its time. Samples of MEG and EEG are all kept without
        a window and a step.
    axes : str or sequence of str, optional
        What the axes of the array are, as in ``"neuron,image,repeat"``: stimulus (image, …) or
        presentation (trial), repetition (repeat), neuroid (neuron, site, voxel, …), time.
    variable : str, optional
        Name of the array, or of the table's column, of the responses; of maps of a GLM, the
        statistic (effect, t, z).
    labels : str or path, optional
        Name of the variable or column that says which picture was shown; or a file with one name
        per response: a .csv with a column stimulus_id, or a text file of one name per line. Of
        epochs, a column of their metadata, or ``event`` for the names of their events. For NWB
        whose pictures have numbers only, the names in the order of the numbers.
    presentations : str or path, optional
        For spikes: the table of intervals or series in the NWB file, or a .csv with the columns
        onset_s or onset_ms, and stimulus_id.
    neuroids : str or path, optional
        A .csv that says more of the neuroids: region, subject, any other column. With a column
        neuroid_id, its rows are those of the same ids in the file, where it has ids; else they
        are in the order of the array.
    bins : str, optional
        Beginning of the first time bin and the width of all, as in ``"-500,1ms"``.
    time_unit : {'s', 'ms'}, optional
        Of times in the file, where it does not say.
    blanks : sequence of str
        Names that stand for no picture, as ``-1`` in Allen's files. What has no name is blank
        anyway. These presentations are set apart.
    region, subject : str, optional
        Of all neuroids, where the file does not say. With an atlas, which of its regions are
        read: names or values, with commas.
    sort_times : bool
        Whether spike times that are not ascending may be sorted: only of a clock that never
        restarts.
    keep : callable, optional
        Of an array file, which neuroids are read: it is given what the file says of the neuroids,
        lists by name (``neuroid_id``, ``region``, ``subject``, …), and returns one bool for each.
        By default all.
    mask : path or sequence of paths, optional
        Of brain images, on the same grid: a mask of 0 and 1, whose region is called after its
        file; several, of a region each; or an atlas of whole numbers.
    key : path, optional
        Names of the atlas's values: a .tsv or .csv with the columns index and name, or FreeSurfer's
        table of colours. By default the one that BIDS puts beside the atlas or at the root.
    events : path or sequence of paths, optional
        Of images of many maps, a .tsv or .csv of one row per map, for each image; of images of one
        map, one table of a row per image, with a column ``file``.
    average : str, optional
        Name of a column of presentations, as run: those of one picture with the same value in it
        are averaged to one response. By default each is a repetition.

    Returns
    -------
    Reading
        ``responses`` (stimulus, repetition, neuroid), or with a step (stimulus, repetition, time,
        neuroid), NaN where missing.

    Raises
    ------
    ProbeError
        If the file is absent, damaged or a pointer; if what an axis, a name or a unit is cannot
        be known; if a picture is missing. One line, which names what would work.
    """
    several = [path] if isinstance(path, str | Path) else list(path)
    if not several:
        raise ProbeError("no file was named")
    paths = tuple(Path(one).expanduser() for one in several)
    folder = stimuli.name if isinstance(stimuli, StimulusSet) else stimuli
    options = Options(
        stimuli=None if folder is None else str(folder),
        picture_axes=check_picture_axes(picture_axes),
        variable=variable,
        axes=None if axes is None else read_axes(axes),
        labels=None if labels is None else str(labels),
        presentations=None if presentations is None else str(presentations),
        window=None if window is None else read_window(window),
        step=None if step is None else read_step(step),
        bins=None if bins is None else read_bins(bins),
        time_unit=check_time_unit(time_unit),
        neuroids=None if neuroids is None else Path(neuroids).expanduser(),
        blanks=(blanks,) if isinstance(blanks, str) else tuple(map(as_text, blanks)),
        region=region,
        subject=subject,
        sort_times=sort_times,
        masks=_paths(mask),
        key=None if key is None else Path(key).expanduser(),
        events=_paths(events),
        average=average,
    )
    pictures = None if stimuli is None else _picture_set(stimuli)
    known = () if pictures is None else pictures.ids

    def matches(names: Collection[str]) -> bool:
        shown = [name for name in names if name and name not in options.blanks]
        return bool(known) and bool(shown) and None not in picture_names(shown, known)

    if options.stimuli is not None and options.picture_axes is not None:
        raise ProbeError("--picture-axes is of pictures inside the file: leave out --stimuli")
    images = [is_brain_image(one) for one in paths]
    if all(images):
        kind, files, presented = from_images(paths, options, matches, known)
        options = replace(options, region=None)  # which chose the voxels, or is their column
        return _reading(files, kind, presented, options, pictures)
    if any(images):
        raise ProbeError(
            f"{str(paths[images.index(False)])!r} is no brain image, and "
            f"{str(paths[images.index(True)])!r} is: read them one by one"
        )
    for option, value in (("--mask", mask), ("--key", key), ("--events", events)):
        if value is not None:
            raise ProbeError(
                f"{str(paths[0])!r} is no brain image: leave out {option} (betas of x, y, z and "
                "trial in an array, as GLMsingle's, have no affine: save them with that of the "
                "data, nibabel.save(nibabel.Nifti1Image(betas, affine), 'betas.nii.gz'))"
            )
    read = [_read(one, options, matches, keep) for one in paths]
    presented = read[0][1] if len(read) == 1 else _side_by_side(paths, [p for _, p in read])
    return _reading(paths, read[0][0], presented, options, pictures)


def _paths(named: Path | str | Sequence[Path | str] | None) -> tuple[Path, ...]:
    if named is None:
        return ()
    paths = [named] if isinstance(named, str | Path) else list(named)
    return tuple(Path(one).expanduser() for one in paths)


def _picture_set(stimuli: Path | str | StimulusSet) -> StimulusSet:
    """Make a stimulus set; Brain-Score calls the column of a table's paths filename."""
    if isinstance(stimuli, str | Path):
        path = Path(stimuli).expanduser()
        if path.is_file() and path.suffix.lower() in TABLES:
            columns = read_columns(path)
            if "path" not in columns and "filename" in columns:
                return image_set(path, path_column="filename")
    return image_set(stimuli)


def _read(
    path: Path,
    options: Options,
    matches: Callable[[Collection[str]], bool],
    keep: Keep | None,
) -> tuple[str, Presented]:
    try:
        kind = kinds.kind_of(path)
        if kind == kinds.NWB and keep is None:
            return kind, from_nwb(path, options, matches)
        if kind in (kinds.NIFTI, kinds.GIFTI):
            raise ProbeError(f"{str(path)!r} is a {kind} image: call it .nii, .nii.gz or .gii")
        if kind in SENSOR_KINDS and keep is None:
            return kind, from_sensors(path, kind, options, matches)
        if kind in _READERS:
            content = _READERS[kind](path)
            return kind, from_variables(content, kind, path, options, matches, keep)
        if keep is not None:
            raise ValueError("is no file of arrays: leave out keep")
        return kind, from_columns(read_columns(path), path, options, matches)
    except ProbeError:
        raise
    except ValueError as error:
        raise ProbeError(f"{str(path)!r} {error}") from None


def _side_by_side(paths: Sequence[Path], read: Sequence[Presented]) -> Presented:
    """Join files of different neuroids to which the same was shown."""
    first = read[0]
    for path, other in zip(paths[1:], read[1:], strict=True):
        if texts(other.labels) != texts(first.labels):
            raise ProbeError(
                f"{str(path)!r} and {str(paths[0])!r} do not name the same pictures in the same "
                "order: files that are read together have to"
            )
        if not _same(other.times, first.times):
            raise ProbeError(
                f"{str(path)!r} and {str(paths[0])!r} do not have the same times: files that are "
                "read together have to"
            )
    ids = [
        [as_text(i) for i in one.neuroids.get("neuroid_id", [])]
        or [f"{path.stem}-{k + 1}" for k in range(one.values.shape[-1])]
        for path, one in zip(paths, read, strict=True)
    ]
    flat = [i for of_file in ids for i in of_file]
    if len(set(flat)) < len(flat):
        ids = [[f"{p.stem}-{i}" for i in of_file] for p, of_file in zip(paths, ids, strict=True)]
    shared = [c for c in first.neuroids if all(c in one.neuroids for one in read)]
    neuroids: dict[str, list[Any]] = {"neuroid_id": [i for of_file in ids for i in of_file]}
    for column in shared:
        if column != "neuroid_id":
            neuroids[column] = [value for one in read for value in one.neuroids[column]]
    notes = [f"{len(paths)} files side by side: the same pictures in the same order", *first.notes]
    values = np.concatenate([one.values for one in read], axis=-1)
    counts = first.counts if all(one.counts == first.counts for one in read) else None
    return replace(first, values=values, neuroids=neuroids, notes=notes, counts=counts)


def _same(times: np.ndarray | None, others: np.ndarray | None) -> bool:
    if times is None or others is None:
        return times is others
    return times.shape == others.shape and np.allclose(times, others, 0, 1e-6)


def _reading(
    paths: tuple[Path, ...],
    kind: str,
    presented: Presented,
    options: Options,
    pictures: StimulusSet | None,
) -> Reading:
    """Group presentations by picture, and find the pictures."""
    where = repr(str(paths[0]))
    notes = list(presented.notes)
    labels = texts(presented.labels)
    shown = np.array([bool(name) and name not in options.blanks for name in labels], dtype=bool)
    if unknown := [name for name in options.blanks if name not in labels]:
        raise ProbeError(
            f"{where}: no presentation is called {unknown[0]!r} in {presented.label_name} (--blank)"
            + suggest(unknown[0], dict.fromkeys(labels))
        )
    if not shown.all():
        notes.append(f"{int((~shown).sum())} presentations of no picture were set apart")
    if not shown.any():
        raise ProbeError(f"{where}: {presented.label_name} names no picture")
    names = [name for name, kept in zip(labels, shown, strict=True) if kept]
    values = presented.values if shown.all() else presented.values[shown]
    columns = {
        name: [cell for cell, kept in zip(cells, shown, strict=True) if kept]
        for name, cells in presented.columns.items()
    }
    if options.average is not None:
        names, values, columns, note = _averaged(names, values, columns, options.average, where)
        notes.append(note)
    ids = list(dict.fromkeys(names))
    position = {name: k for k, name in enumerate(ids)}
    stimulus = np.array([position[name] for name in names])
    repetition = _repetitions(stimulus, len(ids))
    responses = np.full((len(ids), int(repetition.max()) + 1, *values.shape[1:]), np.nan)
    responses[stimulus, repetition] = values
    if np.isinf(responses).any():
        raise ProbeError(f"{where}: {presented.variable} has infinite responses")
    if np.isnan(responses).all():
        raise ProbeError(f"{where}: {presented.variable} has no response that is not missing")
    stimulus_columns: dict[str, list[str]] = {}
    for name, cells in columns.items():
        if (per_stimulus := _per_stimulus(cells, stimulus, len(ids))) is not None:
            stimulus_columns[name] = per_stimulus
    neuroids = _neuroids(presented, options, where)
    if kind in SENSOR_KINDS:
        neuroids = by_type(neuroids, where)
    if pictures is None:
        stimuli = pictures_inside(presented, ids, options, where, notes)
    else:
        stimuli = _pictures(ids, pictures, presented, options, where)
    return Reading(
        paths=paths,
        companions=_companions(options),
        kind=kind,
        variable=presented.variable,
        axes=presented.axes,
        responses=responses,
        stimulus_ids=tuple(ids),
        stimulus_columns=stimulus_columns,
        neuroid_columns=neuroids,
        label_name=presented.label_name,
        response_unit=presented.unit,
        notes=tuple(notes),
        grid=presented.grid,
        space=presented.space,
        times=presented.times,
        counts=presented.counts,
        # Several averages of a picture are its repetitions.
        averaged=responses.shape[1] == 1 and (presented.averaged or options.average is not None),
        stimuli=stimuli,
    )


def _companions(options: Options) -> tuple[Path, ...]:
    """Return the tables that say what the file does not."""
    named = (
        options.labels, options.presentations, options.neuroids, *options.events, *options.masks,
        options.key,
    )  # fmt: skip
    files = (Path(name).expanduser() for name in named if name is not None)
    return tuple(path for path in files if path.is_file())


def _averaged(
    names: Sequence[str],
    values: np.ndarray,
    columns: dict[str, list[Any]],
    by: str,
    where: str,
) -> tuple[list[str], np.ndarray, dict[str, list[Any]], str]:
    """Average the presentations of one picture that have the same value in a column.

    Returns
    -------
    names, values, columns
        Of what is left, in the order in which each began; a column is kept where it has one value
        in each average.
    note : str
    """
    if by not in columns:
        raise ProbeError(
            f"{where}: presentations have no column {by!r} (--average)"
            + (suggest(by, columns) or f": they have {', '.join(columns) or 'none'}")
        )
    cells = texts(columns[by])
    if "" in cells:
        raise ProbeError(f"{where}: a presentation of {names[cells.index('')]!r} has no {by}")
    keys = list(zip(names, cells, strict=True))
    position = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    rows = np.array([position[key] for key in keys])
    n = len(position)
    sums = np.zeros((n, *values.shape[1:]))
    np.add.at(sums, rows, values)
    counts = np.bincount(rows, minlength=n)
    kept = {c: per for c, v in columns.items() if (per := _per_stimulus(v, rows, n)) is not None}
    sizes = (
        f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    )
    note = (
        f"{len(names)} presentations were averaged by picture and {by}: {n} means of {sizes} each"
    )
    means = sums / counts.reshape(n, *[1] * (values.ndim - 1))
    return [name for name, _ in position], means, kept, note


def _repetitions(stimulus: np.ndarray, n_stimuli: int) -> np.ndarray:
    """Number the presentations of each stimulus, in their order."""
    order = np.argsort(stimulus, kind="stable")
    counts = np.bincount(stimulus, minlength=n_stimuli)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    repetition = np.empty_like(stimulus)
    repetition[order] = np.arange(len(stimulus)) - first[stimulus[order]]
    return repetition


def _per_stimulus(cells: Sequence[Any], stimulus: np.ndarray, n: int) -> list[str] | None:
    """Return what a column says of each stimulus; None where its presentations differ."""
    values: list[str | None] = [None] * n
    try:
        plain = texts(cells)
    except ValueError:
        return None
    for k, text in zip(stimulus.tolist(), plain, strict=True):
        if values[k] is None:
            values[k] = text
        elif values[k] != text:
            return None
    return [value or "" for value in values]


def _neuroids(presented: Presented, options: Options, where: str) -> dict[str, list[str]]:
    n = presented.values.shape[-1]
    columns = {name: texts(cells) for name, cells in presented.neuroids.items()}
    if options.neuroids is not None:
        columns = _with_table(columns, n, options.neuroids, where)
    ids = columns.pop("neuroid_id", None) or [f"n{k + 1:04d}" for k in range(n)]
    if repeated(ids) and "subject" in columns:  # sites that are numbered in each animal anew
        ids = [f"{subject}-{i}" for subject, i in zip(columns["subject"], ids, strict=True)]
    if twice := repeated(ids):
        raise ProbeError(f"{where} has two neuroids called {twice!r}")
    for name, said in (("region", options.region), ("subject", options.subject)):
        if said is None:
            continue
        if name in columns and set(columns[name]) != {said}:
            named = ", ".join(dict.fromkeys(columns[name]))
            raise ProbeError(f"{where} names the {name} itself: {named}; leave out --{name}")
        columns[name] = [said] * n
    for name in ("region", "subject"):
        if name in columns and not any(columns[name]):
            del columns[name]
        elif name in columns and not all(columns[name]):
            lacking = ids[columns[name].index("")]
            raise ProbeError(f"{where}: neuroid {lacking!r} has no {name}, and others have")
    return {"neuroid_id": ids, **columns}


def _with_table(
    columns: dict[str, list[str]], n: int, path: Path, where: str
) -> dict[str, list[str]]:
    """Add what a table says of the neuroids: by their ids, or, where there are none, in order."""
    table = {name: texts(cells) for name, cells in rename_known(read_columns(path)).items()}
    listed, ids = table.pop("neuroid_id", None), columns.get("neuroid_id")
    rows = list(range(n))
    if ids is not None and listed is None:
        raise ProbeError(
            f"{str(path)!r} has no column neuroid_id, and {where} gives ids: which row is of which "
            "neuroid cannot be known"
        )
    if ids is not None and listed is not None:
        if twice := repeated(listed):
            raise ProbeError(f"{str(path)!r} has two rows of neuroid {twice!r}")
        row_of = {name: k for k, name in enumerate(listed)}
        if lacking := [name for name in ids if name not in row_of]:
            raise ProbeError(
                f"{str(path)!r} has no row of neuroid {lacking[0]!r} of {where} ({len(lacking)} of "
                f"{n}){suggest(lacking[0], listed)}"
            )
        rows = [row_of[name] for name in ids]
    else:
        length = len(next(iter(table.values()), listed or []))
        if length != n:
            raise ProbeError(f"{str(path)!r} has {length} rows, and {where} {n} neuroids")
        if listed is not None:
            table = {"neuroid_id": listed, **table}
    for name, cells in table.items():
        ordered = [cells[row] for row in rows]
        if columns.setdefault(name, ordered) != ordered:
            raise ProbeError(f"{str(path)!r} and {where} disagree in the {name} of neuroids")
    return columns


def _pictures(
    ids: Sequence[str],
    pictures: StimulusSet,
    presented: Presented,
    options: Options,
    where: str,
) -> StimulusSet:
    meant = picture_names(ids, pictures.ids)
    missing = [name for name, picture in zip(ids, meant, strict=True) if picture is None]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ProbeError(
            f"{where}: no picture in {options.stimuli or pictures.name!r} is called "
            f"{missing[0]!r}{more} of {len(ids)} names in {presented.label_name}"
            f"{suggest(missing[0], pictures.ids)} (--labels names the pictures otherwise, --blank "
            "says what is none)"
        )
    shown = [picture for picture in meant if picture is not None]
    if twice := repeated(shown):
        both = [name for name, p in zip(ids, shown, strict=True) if p == twice]
        raise ProbeError(f"{where}: {both[0]!r} and {both[1]!r} both mean the picture {twice!r}")
    return pictures.subset(pictures.index(shown))
