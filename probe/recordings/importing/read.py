"""Files of responses, of any kind: each is read by the module of its layout, and then grouped."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from probe.errors import ProbeError
from probe.formats import kinds
from probe.formats.matlab import read_matlab5, read_matlab73
from probe.formats.names import as_text
from probe.formats.netcdf import read_classic, read_hdf5
from probe.formats.numpy_files import read_npy, read_npz
from probe.formats.variables import Variables
from probe.recordings.importing.arrays import from_variables
from probe.recordings.importing.brain_maps import from_images, is_brain_image
from probe.recordings.importing.grouping import grouped
from probe.recordings.importing.options import (
    Options,
    paths_of,
)
from probe.recordings.importing.presented import Presented, texts
from probe.recordings.importing.reading import Reading
from probe.recordings.importing.sensors import SENSOR_KINDS, from_sensors
from probe.recordings.importing.session import from_nwb
from probe.recordings.importing.tables import from_columns, read_columns
from probe.recordings.pictures import picture_names
from probe.recordings.settings import Keep, ReadSettings
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

    See Also
    --------
    from_folder : The folder that ``Reading.save`` writes.
    load : Recordings by name.
    """
    settings = ReadSettings.of(locals())
    paths = paths_of(path)
    if not paths:
        raise ProbeError("no file was named")
    options = Options.of(settings)
    pictures = None if stimuli is None else _picture_set(stimuli)
    picture_ids = () if pictures is None else pictures.ids

    def matches(names: Collection[str]) -> bool:
        """Return whether all names, but those of blanks, are names of pictures."""
        named = [name for name in names if name and name not in options.blanks]
        return bool(picture_ids) and bool(named) and None not in picture_names(named, picture_ids)

    if options.stimuli is not None and options.picture_axes is not None:
        raise ProbeError("--picture-axes is for pictures inside the file: leave out --stimuli")
    images = [is_brain_image(file) for file in paths]
    if all(images):
        kind, files, presented = from_images(paths, options, matches, picture_ids)
        options = replace(options, region=None)  # which chose the voxels, or is their column
        return grouped(files, kind, presented, options, pictures)
    if any(images):
        raise ProbeError(
            f"{str(paths[images.index(False)])!r} is not a brain image, and "
            f"{str(paths[images.index(True)])!r} is: read them one by one"
        )
    for option, value in (("--mask", mask), ("--key", key), ("--events", events)):
        if value is not None:
            raise ProbeError(
                f"{str(paths[0])!r} is not a brain image: leave out {option} (betas of x, y, z and "
                "trial in an array, as GLMsingle's, have no affine: save them with that of the "
                "data, nibabel.save(nibabel.Nifti1Image(betas, affine), 'betas.nii.gz'))"
            )
    read = [_read(file, options, matches, keep) for file in paths]
    presented = read[0][1] if len(read) == 1 else _side_by_side(paths, [p for _, p in read])
    return grouped(paths, read[0][0], presented, options, pictures)


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
            raise ValueError("is not a file of arrays: leave out keep")
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
