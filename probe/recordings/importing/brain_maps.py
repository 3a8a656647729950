"""Responses from brain images: one map per presentation, in volumes or on surfaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from probe.errors import ProbeError, suggest
from probe.formats import kinds
from probe.formats.bids import BIDSName, contrast_names, parse_name
from probe.formats.names import repeated, rivals
from probe.formats.nifti import BrainImage
from probe.recordings.importing.brain_regions import Regions, open_image, read_regions
from probe.recordings.importing.options import Options
from probe.recordings.importing.presented import Axis, Presented, listed_names, one_of
from probe.recordings.importing.tables import Columns, label_column, numbers, read_columns

_NO_MAPS = (
    "boldref", "sbref", "mask", "dseg", "probseg", "T1w", "T2w", "T2star", "FLAIR", "xfm", "events",
)  # fmt: skip
"""Suffixes of BIDS of images that lie beside maps and are none."""

_COMMON = ("sub", "space", "tpl", "res", "den", "desc", "acq", "rec", "echo", "part")
"""In these, the names of the images of one recording do not differ."""

_STATISTICS = {
    "effect": "effect size of a GLM", "t": "t statistic", "z": "z statistic", "F": "F statistic",
}  # fmt: skip
_NO_RESPONSES = {"p": "p-values", "variance": "variances"}

_FILE_COLUMNS = ("file", "filename", "file_name", "map", "path")
"""What a table of maps calls the column that names them."""

_GLM = (
    "a time series is no response: estimate one map per presentation first, by a GLM (nilearn, "
    "GLMsingle)"
)

Matches = Callable[[Collection[str]], bool]


@dataclass(frozen=True, eq=False)
class _Source:
    """One image, what its name says, and what is in it."""

    path: Path
    name: BIDSName
    image: BrainImage

    @property
    def hemisphere(self) -> str:
        return self.image.hemisphere or self.name["hemi"]

    @property
    def session_and_run(self) -> tuple[str, str]:
        return self.name["ses"], self.name["run"]


def is_brain_image(path: Path) -> bool:
    """Return whether a path is called like a brain image, or is a folder that holds some."""
    if path.is_dir():
        return bool(_list_images(path)) and not any(
            p.name == "responses.npy" for p in path.iterdir()
        )
    return path.name.lower().endswith(kinds.IMAGE_ENDINGS)


def from_images(
    paths: Sequence[Path], options: Options, matches: Matches, known: Sequence[str]
) -> tuple[str, tuple[Path, ...], Presented]:
    """Read single-trial maps.

    Parameters
    ----------
    paths : sequence of Path
        Images of one map each, of which the names or a table tell the picture; images of many
        maps, with a table for each; or folders of such. Images of both hemispheres are put side by
        side, those of several runs one after the other.
    options : Options
    matches : callable
        Whether all of some names are names of pictures.
    known : sequence of str
        Names of the pictures, if there are any.

    Returns
    -------
    kind : str
        Of the files.
    files : tuple of Path
        That were read.
    presented : Presented

    Raises
    ------
    ProbeError
        If images or masks are of several grids, spaces or subjects; if which picture a map is of
        cannot be known; if they are a time series.
    """
    _refuse_other_options(options, repr(str(paths[0])))
    files, notes = _list_files(paths, options)
    kind, sources = _open_all(files)
    where = repr(str(paths[0]))
    groups = _group_hemispheres(sources, kind, where)
    first = next(iter(groups.values()))
    if first[0].image.has_map_axis:
        _check_runs(groups, where)
        labels, label_name, columns = _label_series(first, options, matches, where, notes)
    else:
        groups, labels, label_name, columns = _label_maps(groups, options, matches, known, where)
        first = next(iter(groups.values()))
    parts = [
        _read_part(
            group, _choose_masks(hemi, len(groups) == 1, options), hemi, options, where, notes
        )
        for hemi, group in groups.items()
    ]
    image = first[0].image
    notes += [f"{image.path.name}: {note}" for note in image.notes]
    neuroids: dict[str, list[Any]] = {
        column: [cell for _, part, _ in parts for cell in part[column]] for column in parts[0][1]
    }
    reasons = "; ".join(reason for _, _, reason in parts)
    if subject := first[0].name["sub"]:
        neuroids["subject"] = [f"sub-{subject}"] * len(neuroids["neuroid_id"])
    n = len(labels)
    along = "maps along the last axis" if image.has_map_axis else "one image each"
    return kind, tuple(source.path for group in groups.values() for source in group), Presented(
        np.concatenate([values for values, _, _ in parts], axis=1),
        labels,
        label_name,
        columns,
        neuroids,
        f"{len(first)} image{'s' * (len(first) > 1)}, {image.stored} on disk",
        (
            Axis("neuroid", len(neuroids["neuroid_id"]), reasons),
            Axis("presentation", n, f"{along}; {label_name} names them"),
        ),
        _STATISTICS.get(first[0].name["stat"], image.intent),
        notes,
        grid=image.grid,
        space=first[0].name.space,
    )  # fmt: skip


def _refuse_other_options(options: Options, where: str) -> None:
    for option, value in (
        ("--axes", options.axes), ("--window", options.window), ("--bins", options.bins),
        ("--time-unit", options.time_unit), ("--presentations", options.presentations),
    ):  # fmt: skip
        if value is not None:
            raise ProbeError(
                f"{where} holds brain images, whose axes are known: leave out {option}"
            )
    if options.key is not None and not options.masks:
        raise ProbeError("--key names the values of an atlas: name the atlas with --mask")


def _list_images(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.iterdir())
        if path.name.lower().endswith(kinds.IMAGE_ENDINGS) and not path.name.startswith(".")
    ]


def _list_files(paths: Sequence[Path], options: Options) -> tuple[list[Path], list[str]]:
    """Return the images that are maps of one statistic, and say which were left out."""
    files: list[Path] = []
    notes = []
    masks = {path.absolute() for path in options.masks}
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        images = [one for one in _list_images(path) if one.absolute() not in masks]
        suffixes = {one: parse_name(one.name).suffix for one in images}
        maps = [one for one in images if suffixes[one] not in _NO_MAPS]
        if left_out := Counter(suffixes[one] for one in images if one not in maps):
            counted = ", ".join(f"{n} {suffix}" for suffix, n in left_out.items())
            notes.append(f"not read of the folder: {counted}")
        if not maps:
            raise ProbeError(f"{str(path)!r} has no maps: its images are {', '.join(left_out)}")
        empty = [one for one in maps if one.is_file() and not one.stat().st_size]
        if empty:
            raise ProbeError(
                f"{str(path)!r}: {len(empty)} of {len(maps)} images are empty (0 bytes), as "
                f"{empty[0].name}: the data are not here, download them again"
            )
        files += maps
    if twice := repeated(str(path.absolute()) for path in files):
        raise ProbeError(f"{twice!r} is named twice")
    return _choose_statistic(files, options), notes


def _choose_statistic(files: list[Path], options: Options) -> list[Path]:
    statistics = {path: parse_name(path.name)["stat"] for path in files}
    names = list(dict.fromkeys(statistics.values()))
    where = repr(str(files[0].parent))
    if options.variable is not None:
        if options.variable not in names:
            listed = ", ".join(repr(one) for one in names if one) or "none in their names"
            raise ProbeError(
                f"{where} has no maps of stat-{options.variable} (--variable): the statistics are "
                f"{listed}"
            )
        return [path for path in files if statistics[path] == options.variable]
    statistic = one_of(names, "the statistic (stat-) of the maps", "--variable", where)
    if statistic in _NO_RESPONSES:
        raise ProbeError(
            f"{where} has {_NO_RESPONSES[statistic]} only (stat-{statistic}), which are not "
            f"responses: name the maps of stat-effect, or insist with --variable {statistic}"
        )
    return files


def _open_all(files: Sequence[Path]) -> tuple[str, list[_Source]]:
    """Open all images, and see that they are of one kind, subject, space and grid."""
    names = {path: parse_name(path.name) for path in files}
    for entity in _COMMON:
        values = {names[path][entity]: path for path in files}
        if len(values) > 1:
            (one, path), (other, another) = list(values.items())[:2]
            raise ProbeError(
                f"{path.name!r} and {another.name!r} differ in {entity} ({one or 'none'} and "
                f"{other or 'none'}): name the images of one, as in *{entity}-{one or other}*"
            )
    kind, sources = "", []
    for path in files:
        of_file, image = open_image(path)
        sources.append(_Source(path, names[path], image))
        first = sources[0].image
        if of_file != (kind := kind or of_file):
            raise ProbeError(
                f"{str(path)!r} is {of_file}, and {files[0].name!r} {kind}: name images of one kind"
            )
        if image.grid and first.grid and not image.grid.agrees_with(first.grid):
            raise ProbeError(
                f"{str(path)!r} has {image.grid}, and {files[0].name!r} {first.grid}: images of "
                "one recording share a grid; they are not resampled here, but "
                "nilearn.image.resample_to_img does that"
            )
        if image.has_map_axis != first.has_map_axis:
            raise ProbeError(
                f"{str(path)!r} has {image.n_maps} maps, and {files[0].name!r} {first.n_maps}: "
                "name images of one map each, or of many each"
            )
    return kind, sources


def _group_hemispheres(
    sources: Sequence[_Source], kind: str, where: str
) -> dict[str, list[_Source]]:
    """Group images of surfaces by hemisphere; volumes are one group."""
    groups: dict[str, list[_Source]] = {}
    for source in sources:
        hemi, said = source.image.hemisphere, source.name["hemi"]
        if kind == kinds.GIFTI and source.hemisphere not in ("L", "R"):
            raise ProbeError(
                f"{str(source.path)!r}: neither its name (hemi-L, hemi-R) nor its "
                "AnatomicalStructurePrimary says which hemisphere it shows"
            )
        if hemi and said and hemi != said:
            raise ProbeError(
                f"{str(source.path)!r} is called hemi-{said}, and says inside that it is {hemi}"
            )
        groups.setdefault(source.hemisphere, []).append(source)
    for hemi, group in groups.items():
        sizes = {source.image.n_points for source in group}
        if len(sizes) > 1:
            raise ProbeError(
                f"{where}: the images of hemisphere {hemi} have {' and '.join(map(str, sizes))} "
                "vertices: they belong to different meshes"
            )
    return dict(sorted(groups.items()))


def _check_runs(groups: dict[str, list[_Source]], where: str) -> None:
    """Check that both hemispheres have the same runs, with as many maps."""
    runs = [
        [(*source.session_and_run, source.image.n_maps) for source in group]
        for group in groups.values()
    ]
    if any(of_group != runs[0] for of_group in runs):
        counted = [f"{len(group)} images of hemisphere {h}" for h, group in groups.items()]
        raise ProbeError(
            f"{where}: {' and '.join(counted)}, which are not of the same runs and as many maps in "
            "the same order"
        )


def _label_series(
    runs: Sequence[_Source], options: Options, matches: Matches, where: str, notes: list[str]
) -> tuple[list[Any], str, Columns]:
    """Return which picture each map of images of many is of."""
    if options.labels is not None and Path(options.labels).expanduser().is_file():
        if options.events:
            raise ProbeError(
                f"{where}: --events and the list {options.labels!r} may both name maps"
            )
        listed = listed_names(Path(options.labels).expanduser())
        n = sum(run.image.n_maps for run in runs)
        if len(listed) != n or len(runs) > 1:
            raise ProbeError(
                f"{where} has {n} maps in {len(runs)} image{'s' * (len(runs) > 1)}, and "
                f"{options.labels!r} {len(listed)} names: expected one per map of one image "
                "(several images take --events)"
            )
        return list(listed), Path(options.labels).name, {}
    if not options.events:
        bold = f"; if it is a time series: {_GLM}" if _in_time(runs[0]) else ""
        raise ProbeError(
            f"{where}: the file does not say which picture each of its {runs[0].image.n_maps} maps "
            f"belongs to: name a table with one row per map with --events{bold}"
        )
    if len(options.events) != len(runs):
        raise ProbeError(
            f"{where}: {len(runs)} images of many maps each, and {len(options.events)} tables of "
            "events: name one table for each image, in their order"
        )
    _check_order(runs, options.events)
    labels: list[Any] = []
    columns: Columns = {}
    label_name = ""
    for k, (run, path) in enumerate(zip(runs, options.events, strict=True)):
        table = _read_events(path)
        _check_run(run, path)
        _check_rows(run, table, path, notes)
        name = label_column(table, repr(str(path)), options, matches)
        if k and name != label_name:
            raise ProbeError(
                f"{str(path)!r} names pictures by {name}, the table before by {label_name}"
            )
        label_name = name
        labels += table.pop(name)
        if run.name["run"] and "run" not in table:
            table["run"] = [run.name["run"]] * run.image.n_maps
        elif len(runs) > 1 and "run" not in table:
            table["run"] = [str(k + 1)] * run.image.n_maps
        columns = table if not k else {c: columns[c] + table[c] for c in columns if c in table}
    return labels, label_name, columns


def _read_events(path: Path) -> Columns:
    """Read a table of events, in which BIDS calls n/a what is missing."""
    return {
        name: ["" if isinstance(cell, str) and cell.strip() == "n/a" else cell for cell in cells]
        for name, cells in read_columns(path).items()
    }


def _check_order(runs: Sequence[_Source], events: Sequence[Path]) -> None:
    """Check that it is known which table is of which image: by their names, or by their order.

    A shell sorts by text (run10 before run2), and a person by number.
    """
    names = [parse_name(path.name) for path in events]
    of_tables = [(name["ses"], name["run"]) for name in names]
    runs_named = [run.session_and_run for run in runs]
    if of_tables == runs_named and len(set(runs_named)) == len(runs_named):
        return
    listed = [str(run.path) for run in runs]  # images of one name are in folders of several
    if listed == sorted(listed) and (pair := rivals(listed)) is not None:
        raise ProbeError(
            f"whether {pair[0]!r} comes before {pair[1]!r} depends on how names are sorted, and so "
            "does which table of events belongs to which image: give images and tables run-NUMBER "
            "in their names, or numbers of one width"
        )


def _check_run(run: _Source, events: Path) -> None:
    """Check that an image and its table are not called after different runs."""
    table = parse_name(events.name)
    for entity in ("sub", "ses", "task", "run"):
        of_image, of_table = run.name[entity], table[entity]
        if of_image and of_table and of_image != of_table:
            raise ProbeError(
                f"{str(events)!r} is of {entity}-{of_table}, and the image {run.path.name!r} of "
                f"{entity}-{of_image}: name the tables in the order of the images"
            )


def _in_time(run: _Source) -> bool:
    return run.name.suffix == "bold" or run.image.interval is not None


def _check_rows(run: _Source, table: Columns, path: Path, notes: list[str]) -> None:
    """Check that a table has one row per map, and the maps are no time series."""
    n, rows = run.image.n_maps, len(next(iter(table.values())))
    events = {"onset", "duration"} <= set(table)
    if rows != n:
        why = f": with onset and duration, these are events of a time series; {_GLM}"
        raise ProbeError(
            f"{str(run.path)!r} has {n} volumes, and {str(path)!r} {rows} rows"
            + (why if events else ": expected one row per volume")
        )
    if run.name.suffix != "bold":
        return
    if events:
        onsets = numbers(table["onset"], "onset", repr(str(path)))
        expected = np.arange(n) * (run.image.interval or np.nan)
        if not np.allclose(onsets, expected, atol=0.01 * (run.image.interval or 1.0)):
            raise ProbeError(
                f"{str(run.path)!r} is a time series (bold), and {str(path)!r} says when events "
                f"were, not what each volume shows: {_GLM}"
            )
    notes.append(
        f"{run.path.name} is a time series: each volume is a response as it was measured, not an "
        "estimate of a GLM"
    )


def _label_maps(
    groups: dict[str, list[_Source]],
    options: Options,
    matches: Matches,
    known: Sequence[str],
    where: str,
) -> tuple[dict[str, list[_Source]], list[Any], str, Columns]:
    """Return which picture each image of one map is of, and the images in one order."""
    hemispheres = list(groups)
    first = groups[hemispheres[0]]
    if options.events:
        if len(options.events) > 1:
            raise ProbeError(f"{where} has images of one map each: name one table with --events")
        if len(hemispheres) > 1:
            raise ProbeError(
                f"{where} has images of one map each, of both hemispheres: import one, or name "
                "their pictures by contrast-"
            )
        return _match_table(first, options, matches, where)
    if options.labels is not None:
        raise ProbeError(
            f"{where} has images of one map each: name a table of one row per image with --events; "
            f"--labels {options.labels} is a column of it"
        )
    by_key = {}
    for hemi, group in groups.items():
        by_key[hemi] = {_key_of(source): source for source in group}
        if len(by_key[hemi]) < len(group):
            twice = repeated(str(_key_of(source)) for source in group)
            same = [s.path.name for s in group if str(_key_of(s)) == twice]
            raise ProbeError(
                f"{where}: {same[0]!r} and {same[1]!r} are named after one picture and one run: "
                "name a table with --events (columns file and stimulus_id)"
            )
    keys = sorted(by_key[hemispheres[0]], key=_sort_key)
    for hemi in hemispheres[1:]:
        if lost := set(keys) ^ set(by_key[hemi]):
            contrast, ses, run = min(lost)
            named = f"{contrast or 'a map'}{f', ses-{ses}' * bool(ses)}{f', run-{run}' * bool(run)}"
            raise ProbeError(f"{where}: {named} exists for one hemisphere only")
    ordered = {hemi: [by_key[hemi][key] for key in keys] for hemi in hemispheres}
    sources = ordered[hemispheres[0]]
    columns: Columns = {}
    for position, column in ((1, "session"), (2, "run")):
        if all(key[position] for key in keys):
            columns[column] = [key[position] for key in keys]
    if all(source.name["contrast"] for source in sources):
        labels = _find_pictures([s.name["contrast"] for s in sources], known, where)
        return ordered, labels, "contrast- in the images' names", columns
    stems = [source.name.stem for source in sources]
    if matches(stems):
        return ordered, list(stems), "the images' names", columns
    raise ProbeError(
        f"{where}: names as {sources[0].path.name!r} do not say which picture a map belongs to (by "
        "contrast-NAME, or the name of a picture in --stimuli): name a table with --events, of one "
        "row per image (columns file and stimulus_id)"
    )


def _key_of(source: _Source) -> tuple[str, str, str]:
    """Return what tells a map from others: its picture, session and run."""
    return source.name["contrast"] or source.name.stem, *source.session_and_run


def _sort_key(key: tuple[str, str, str]) -> tuple[Any, ...]:
    """Order by session and run, numbers by their value, and then by picture."""
    numbered = [(0, int(one), "") if one.isdecimal() else (1, 0, one) for one in key[1:]]
    return (*numbered, key[0])


def _find_pictures(contrasts: Sequence[str], known: Sequence[str], where: str) -> list[Any]:
    """Return the picture that each contrast means: names lose all but letters and digits.

    Raises
    ------
    ProbeError
        If two pictures would be written alike.
    """
    meant: dict[str, list[str]] = {}
    for picture in known:
        last = picture.replace("\\", "/").rpartition("/")[2]
        stem = last.rpartition(".")[0] or last
        for written in contrast_names(stem) | contrast_names(last):
            meant.setdefault(written, []).append(picture)
    labels: list[Any] = []
    for contrast in contrasts:
        pictures = meant.get(contrast.lower(), [])
        if len(pictures) > 1:
            raise ProbeError(
                f"{where}: contrast-{contrast} may mean {pictures[0]!r} or {pictures[1]!r}, whose "
                "names differ in punctuation only; if both were shown, one has overwritten the "
                "other: rename a picture and write the maps again, or name a table with --events"
            )
        labels.append(pictures[0] if pictures else contrast)
    return labels


def _match_table(
    sources: Sequence[_Source], options: Options, matches: Matches, where: str
) -> tuple[dict[str, list[_Source]], list[Any], str, Columns]:
    """Match images of one map to the rows of a table: by their names, or in order."""
    path = options.events[0]
    table = _read_events(path)
    rows = len(next(iter(table.values())))
    lower = {name.lower(): name for name in table}
    column = next((lower[name] for name in _FILE_COLUMNS if name in lower), None)
    label = label_column(
        {c: v for c, v in table.items() if c != column}, repr(str(path)), options, matches
    )
    if column is not None:
        by_name = {source.path.name: source for source in sources}
        if len(by_name) < len(sources):
            raise ProbeError(f"{where}: two images have the same name, in different folders")
        listed = [str(cell).strip().replace("\\", "/").rpartition("/")[2] for cell in table[column]]
        if unknown := [name for name in listed if name not in by_name]:
            raise ProbeError(
                f"{str(path)!r} names {unknown[0]!r}, which is not among the {len(sources)} images"
                + suggest(unknown[0], by_name)
            )
        if twice := repeated(listed):
            raise ProbeError(f"{str(path)!r} has two rows of {twice!r}")
        if left := [name for name in by_name if name not in listed]:
            raise ProbeError(f"{str(path)!r} has no row of {left[0]!r} ({len(left)} such images)")
        ordered = [by_name[name] for name in listed]
        how = f"{label}, by {column}"
    else:
        if rows != len(sources):
            raise ProbeError(
                f"{where} has {len(sources)} images of one map, and {str(path)!r} {rows} rows: "
                "expected one row per image, named in a column file"
            )
        names = [source.path.name for source in sources]
        if (pair := rivals(names)) is not None:
            raise ProbeError(
                f"{where}: whether {pair[0]!r} comes before {pair[1]!r} depends on how names are "
                "sorted, and so does which row belongs to which image: name them in "
                f"{str(path)!r}, in a column file"
            )
        ordered = list(sources)
        how = f"{label}, in the order of the images' names"
    columns = {c: v for c, v in table.items() if c not in (label, column)}
    return {sources[0].hemisphere: ordered}, table[label], how, columns


def _read_part(
    sources: Sequence[_Source],
    masks: Sequence[Path],
    hemi: str,
    options: Options,
    where: str,
    notes: list[str],
) -> tuple[np.ndarray, dict[str, list[Any]], str]:
    """Read the maps of one hemisphere, or of a volume, where they were measured.

    Returns
    -------
    values : numpy.ndarray, shape (n_presentations, n_neuroids)
    columns : dict of str to list
        Of the neuroids.
    reason : str
        How they were chosen.
    """
    image = sources[0].image
    points, regions = np.ones(image.n_points, bool), None
    if masks:
        regions = read_regions(masks, options.key, options.region, image)
        points = regions.points
        notes += [note for note in regions.notes if note not in notes]
    try:
        values = np.concatenate([source.image.read(points) for source in sources])
    except ValueError as error:
        raise ProbeError(f"{where} {error}") from None
    measured = np.any((values != 0) & ~np.isnan(values), axis=0)
    what = "vertices" if image.grid is None else "voxels"
    if not measured.any():
        raise ProbeError(f"{where}: all {measured.size} {what} are 0 or NaN in all maps")
    side = f" of hemisphere {hemi}" if hemi else ""
    if lost := int((~measured).sum()):
        notes.append(
            f"{lost} of {measured.size} {what}{side} are 0 or NaN in all maps: not measured, "
            "left out"
        )
    if any(source.image.rounded for source in sources):
        constant = int((np.ptp(values[:, measured], axis=0) == 0).sum()) if len(values) > 1 else 0
        notes.append(
            f"values were rounded to integers on disk ({image.stored}), which keeps no NaN: "
            f"missing {what} cannot be told in this file"
            + (f"; {constant} {what} have one value in all maps" if constant else "")
        )
    points_read = np.flatnonzero(points)[measured]
    columns = _place_points(points_read, image, hemi)
    if regions is not None:
        columns["region"] = [
            name for name, here in zip(regions.names, measured, strict=True) if here
        ]
    elif options.region is not None:
        columns["region"] = [options.region] * len(points_read)
    reason = _describe_points(image, hemi, regions)
    return values[:, measured], columns, reason


def _choose_masks(hemi: str, alone: bool, options: Options) -> list[Path]:
    """Return the masks of a hemisphere, as they say; of a volume, or one hemisphere, all."""
    if not hemi or alone or not options.masks:
        return list(options.masks)
    fitting = []
    for path in options.masks:
        said = parse_name(path.name)["hemi"] or open_image(path)[1].hemisphere
        if said not in ("L", "R"):
            raise ProbeError(
                f"{str(path)!r}: neither its name (hemi-L, hemi-R) nor its "
                "AnatomicalStructurePrimary says which hemisphere it shows"
            )
        if said == hemi:
            fitting.append(path)
    if not fitting:
        raise ProbeError(f"no mask covers hemisphere {hemi}: name one, or the images of the other")
    return fitting


def _place_points(kept: np.ndarray, image: BrainImage, hemi: str) -> dict[str, list[Any]]:
    if image.grid is None:
        return {
            "neuroid_id": [f"{hemi}{vertex}" for vertex in kept],
            "vertex": kept.tolist(),
            "hemisphere": [hemi] * len(kept),
        }
    i, j, k = np.unravel_index(kept, image.grid.shape)
    ids = [f"{a}-{b}-{c}" for a, b, c in zip(i, j, k, strict=True)]
    return {"neuroid_id": ids, "i": i.tolist(), "j": j.tolist(), "k": k.tolist()}


def _describe_points(image: BrainImage, hemi: str, regions: Regions | None) -> str:
    if image.grid is None:
        description = f"the {image.n_points} vertices of hemisphere {hemi}"
    else:
        description = "the voxels, in C order of " + " × ".join(map(str, image.grid.shape))
    return description if regions is None else f"{description}, {regions.reason}"
