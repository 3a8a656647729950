"""Which points of a brain image are of which region: by masks, or by the values of an atlas."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from probe.errors import ProbeError, suggest
from probe.formats import kinds
from probe.formats.bids import BIDSName, parse_name
from probe.formats.nifti import BrainImage, read_gifti, read_nifti
from probe.formats.tables import read_rows

_VALUE_COLUMNS = ("index", "value", "label", "id")
_NAME_COLUMNS = ("name", "region", "label_name", "structure")
_COLOURED = re.compile(r"\s*(-?\d+)\s+(\S+)(\s+[\d.]+)*\s*")
_ROOT = "dataset_description.json"


@dataclass(frozen=True, eq=False)
class Regions:
    """Points that are chosen.

    Attributes
    ----------
    points : numpy.ndarray of bool, shape (n_points,)
    names : list of str
        The region of each point that is chosen.
    files : tuple of Path
        Masks, or the atlas and its key.
    reason : str
        A phrase that says how they were chosen.
    notes : list of str
    """

    points: np.ndarray
    names: list[str]
    files: tuple[Path, ...]
    reason: str
    notes: list[str]


def open_image(path: Path) -> tuple[str, BrainImage]:
    """Open a brain image, of which nibabel reads the values.

    Returns
    -------
    kind : str
        `kinds.NIFTI` or `kinds.GIFTI`.
    image : BrainImage

    Raises
    ------
    ProbeError
        If nibabel is not installed, or it is no image that is read.
    """
    try:
        kind = kinds.kind_of(path)
        if kind not in (kinds.NIFTI, kinds.GIFTI):
            raise ProbeError(f"{str(path)!r} is a {kind} file: expected NIfTI or GIfTI images")
        return kind, read_nifti(path) if kind == kinds.NIFTI else read_gifti(path)
    except ImportError:
        raise ProbeError(
            f"{str(path)!r} is a brain image: reading it needs nibabel, the extra 'fmri' "
            "(pip install 'cnn-probe[fmri]')"
        ) from None
    except ProbeError:
        raise
    except ValueError as error:
        raise ProbeError(f"{str(path)!r} {error}") from None


def read_regions(
    masks: Sequence[Path], key: Path | None, region: str | None, image: BrainImage
) -> Regions:
    """Read which points of an image are of which region.

    Parameters
    ----------
    masks : sequence of Path
        Binary masks, each of one region, or one atlas.
    key : Path or None
        Table of the values of the atlas and their names.
    region : str or None
        Of a mask, what its region is called; of an atlas, which regions, by names or values with
        commas.
    image : BrainImage
        What they are of: on the same grid, in the same space.

    Raises
    ------
    ProbeError
        If a mask is of another grid, space or subject; holds fractions; if masks overlap; if a
        value of the atlas that is asked for has no name, or a region is not there.
    """
    read = [_read_mask(path, image) for path in masks]
    # NSD's regions are -1 outside the cortex; no convention of labels has negative ones.
    notes = [
        f"{int((values < 0).sum())} points of {path.name} are negative: of no region"
        for path, (values, _) in zip(masks, read, strict=True)
        if (values < 0).any()
    ]
    read = [(np.maximum(values, 0), labels) for values, labels in read]
    if nothing := [p for p, (values, _) in zip(masks, read, strict=True) if not values.any()]:
        raise ProbeError(f"{str(nothing[0])!r} is nowhere above 0: it selects no voxel")
    regions = _select_points(masks, read, key, region)
    return replace(regions, notes=[*regions.notes, *notes])


def _select_points(
    masks: Sequence[Path],
    read: Sequence[tuple[np.ndarray, dict[int, str]]],
    key: Path | None,
    region: str | None,
) -> Regions:
    by_value = [
        key is not None
        or parse_name(path.name).suffix == "dseg"
        or bool(labels)
        or len(np.unique(values[values != 0])) > 1
        for path, (values, labels) in zip(masks, read, strict=True)
    ]
    if not any(by_value):
        return _join_masks(masks, [values != 0 for values, _ in read], region)
    if len(masks) > 1:
        atlas = masks[by_value.index(True)]
        raise ProbeError(
            f"{str(atlas)!r} is an atlas of several values, and other masks are named: name the "
            "atlas alone, or masks of one region each"
        )
    return _select_regions(masks[0], *read[0], key, region)


def _read_mask(path: Path, image: BrainImage) -> tuple[np.ndarray, dict[int, str]]:
    where = repr(str(path))
    _, mask = open_image(path)
    if mask.n_maps > 1:
        raise ProbeError(f"{where} has {mask.n_maps} volumes: expected a mask or an atlas of one")
    _check_names(path, image.path)
    _check_grid(mask, image)
    try:
        values = mask.read()[0]
    except ValueError as error:
        raise ProbeError(f"{where} {error}") from None
    if not np.isfinite(values).all():
        raise ProbeError(
            f"{where} has voxels that are NaN or infinite: expected 0 and 1, or labels"
        )
    if np.any(values != np.round(values)):
        raise ProbeError(
            f"{where} holds fractions (up to {values.max():.4g}), as of probabilities: a mask "
            "holds 0 and 1, an atlas whole numbers; choose a threshold first"
        )
    return values.astype(np.int64), mask.labels


def _check_names(path: Path, image: Path) -> None:
    """Check that two names do not say that they are of different spaces or persons."""
    mask, maps = parse_name(path.name), parse_name(image.name)
    pairs = [
        ("space", mask.space, maps.space),
        *((entity, mask[entity], maps[entity]) for entity in ("res", "den", "hemi")),
    ]
    if mask.in_own_space or maps.in_own_space:
        pairs.append(("sub", mask["sub"], maps["sub"]))
    for entity, of_mask, of_maps in pairs:
        if of_mask and of_maps and of_mask != of_maps:
            raise ProbeError(
                f"{str(path)!r} is of {entity}-{of_mask}, and {image.name!r} of "
                f"{entity}-{of_maps}: name the mask of {entity}-{of_maps}"
            )


def _check_grid(mask: BrainImage, image: BrainImage) -> None:
    where = repr(str(mask.path))
    if (mask.grid is None) != (image.grid is None):
        kinds_of = [("a surface" if one.grid is None else "a volume") for one in (mask, image)]
        raise ProbeError(
            f"{where} is an image of {kinds_of[0]}, and {image.path.name!r} one of {kinds_of[1]}: "
            "expected a mask of the same kind"
        )
    if mask.grid is None or image.grid is None:
        if mask.n_points != image.n_points:
            raise ProbeError(
                f"{where} has {mask.n_points} vertices, and {image.path.name!r} {image.n_points}: "
                "they belong to different meshes, which are not resampled; use a mask on the same "
                "mesh"
            )
        if mask.hemisphere and image.hemisphere and mask.hemisphere != image.hemisphere:
            raise ProbeError(
                f"{where} is of hemisphere {mask.hemisphere}, and {image.path.name!r} of "
                f"{image.hemisphere}"
            )
        return
    if not mask.grid.agrees_with(image.grid):
        raise ProbeError(
            f"{where} has {mask.grid}, and {image.path.name!r} {image.grid}"
            + (", in other places" if str(mask.grid) == str(image.grid) else "")
            + ": they are not resampled here; bring the mask to the images' grid first, "
            "nilearn.image.resample_to_img(mask, image, interpolation='nearest')"
        )


def name_region(name: BIDSName) -> str:
    """Return what a mask's name calls its region: its label, its description, or the whole."""
    return name["label"] or name["desc"] or name.stem


def _join_masks(masks: Sequence[Path], chosen: list[np.ndarray], region: str | None) -> Regions:
    if region is not None and len(masks) > 1:
        raise ProbeError(
            f"--region {region} with {len(masks)} masks: each is called after its file; leave it "
            "out"
        )
    names = [region or name_region(parse_name(path.name)) for path in masks]
    if len(set(names)) < len(names):
        raise ProbeError(
            f"{len(masks)} masks are called {', '.join(dict.fromkeys(names))}: two of them have "
            "the same name; rename one"
        )
    count = np.sum(chosen, axis=0)
    if (count > 1).any():
        both = [n for n, one in zip(names, chosen, strict=True) if one[np.argmax(count > 1)]]
        raise ProbeError(
            f"the masks {both[0]!r} and {both[1]!r} share {int((count > 1).sum())} voxels: a voxel "
            "belongs to one region; import them one by one"
        )
    points = count > 0
    which = np.argmax(np.stack(chosen)[:, points], axis=0)
    files = ", ".join(path.name for path in masks)
    notes = [] if region else [f"regions are called after their masks: {', '.join(names)}"]
    return Regions(points, [names[k] for k in which], tuple(masks), f"inside {files}", notes)


def _select_regions(
    path: Path, values: np.ndarray, labels: dict[int, str], key: Path | None, region: str | None
) -> Regions:
    where = repr(str(path))
    table = key or (None if labels else _find_key(path))
    if table is not None:
        labels = read_key(table)
    present = np.unique(values[values != 0]).tolist()
    notes = []
    if not labels:
        names = {value: str(value) for value in present}
        notes.append("the atlas has no key: its regions are called by their values (--key)")
    else:
        names = {value: labels[value] for value in present if labels.get(value)}
    selected = present if region is None else _select_values(region, present, names, labels, where)
    if nameless := [value for value in selected if value not in names]:
        source = repr(table.name) if table else "its own key"
        raise ProbeError(
            f"{where} has {int((values == nameless[0]).sum())} voxels of value {nameless[0]}, "
            f"which {source} does not name ({len(nameless)} such values): name another key with "
            "--key, or the regions to read with --region"
        )
    if absent := [labels[value] for value in labels if value and value not in present]:
        listed = ", ".join(absent[:3]) + (", …" if len(absent) > 3 else "")
        notes.append(f"of the key, {len(absent)} regions have no voxel here: {listed}")
    points = np.isin(values, selected)
    of_point = [names[value] for value in values[points].tolist()]
    by = f", named by value in {table.name}" if table else ""
    reason = f"inside {path.name}, {len(selected)} of {len(present)} values{by}"
    return Regions(points, of_point, (path, *((table,) if table else ())), reason, notes)


def _select_values(
    region: str, present: Sequence[int], names: dict[int, str], labels: dict[int, str], where: str
) -> list[int]:
    """Return the values of regions that are named, by their names or values."""
    words = [region] if region in names.values() else [word.strip() for word in region.split(",")]
    chosen: list[int] = []
    for word in words:
        values = [value for value in present if names.get(value) == word]
        if not values and word.isdecimal() and int(word) in present:
            values = [int(word)]
        if not values and word in labels.values():
            raise ProbeError(f"{where} has no voxel of {word!r}, which only its key names")
        if not values:
            raise ProbeError(f"{where} has no region {word!r}{suggest(word, names.values())}")
        chosen += values
    return chosen


def _find_key(atlas: Path) -> Path | None:
    """Return the key of an atlas: beside it, or above it as BIDS lets files be inherited.

    Raises
    ------
    ProbeError
        If two keys fit.
    """
    name = parse_name(atlas.name)
    sidecar = atlas.with_name(f"{name.stem}.tsv")
    if sidecar.is_file():
        return sidecar
    folder = atlas.absolute().parent
    folders = [folder]
    for above in (folder, *list(folder.parents)[:5]):
        if (above / _ROOT).is_file():
            folders = [folder, *(p for p in folder.parents if p == above or above in p.parents)]
            break
    for one in folders:
        fitting = [path for path in sorted(one.glob("*dseg.tsv")) if _inherits(name, path)]
        if len(fitting) > 1:
            raise ProbeError(
                f"{str(atlas)!r}: its key may be {fitting[0].name!r} or {fitting[1].name!r}: name "
                "one with --key"
            )
        if fitting:
            return fitting[0]
    return None


def _inherits(atlas: BIDSName, key: Path) -> bool:
    of_key = parse_name(key.name).entities
    return atlas.suffix == "dseg" and of_key.items() <= atlas.entities.items()


def read_key(path: Path) -> dict[int, str]:
    """Read the names of an atlas's values: a table with index and name, or FreeSurfer's colours.

    Parameters
    ----------
    path : Path
        .tsv or .csv with the columns index (or value) and name; or, under another ending, lines of
        a number and a name, perhaps with numbers of colour, as in FreeSurferColorLUT.txt.

    Returns
    -------
    dict of int to str

    Raises
    ------
    ProbeError
        If it cannot be read, has other columns, or a value twice.
    """
    where = repr(str(path))
    try:
        if path.suffix.lower() in (".tsv", ".csv"):
            pairs = _read_pairs(read_rows(path, where), where)
        else:
            pairs = _read_colours(path.read_text(encoding="utf-8"), where)
    except OSError as error:
        raise ProbeError(f"{where} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ProbeError(f"{where} is not text in UTF-8: save it as such") from None
    except ProbeError:
        raise
    except ValueError as error:
        raise ProbeError(str(error)) from None
    if not pairs:
        raise ProbeError(f"{where} names no values: expected the columns index and name")
    names: dict[int, str] = {}
    for text, name in pairs:
        try:
            number = float(text)
            value = int(number)
        except (ValueError, OverflowError):
            raise ProbeError(f"{where}: {text!r} is not a value of an atlas") from None
        if number != value:
            raise ProbeError(
                f"{where}: {text!r} is not a value of an atlas, which is a whole number"
            )
        if value in names:
            raise ProbeError(f"{where} names the value {value} twice")
        names[value] = name.strip()
    return names


def _read_colours(text: str, where: str) -> list[tuple[str, str]]:
    """Return the values and names of FreeSurfer's table of colours."""
    pairs = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _COLOURED.fullmatch(line)
        if match is None:
            raise ProbeError(
                f"{where}, line {number}: expected a value and a name, as in FreeSurfer's tables "
                "of colours, or a .tsv with the columns index and name"
            )
        pairs.append((match[1], match[2]))
    return pairs


def _read_pairs(rows: Sequence[Sequence[str]], where: str) -> Iterable[tuple[str, str]]:
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    value = next((header.index(c) for c in _VALUE_COLUMNS if c in header), None)
    name = next((header.index(c) for c in _NAME_COLUMNS if c in header), None)
    if value is None or name is None:
        raise ProbeError(
            f"{where} has the columns {', '.join(header) or '(none)'}: expected index (the value) "
            "and name"
        )
    if uneven := next((k for k, row in enumerate(rows[1:], 1) if len(row) != len(header)), None):
        raise ProbeError(
            f"{where} has {len(rows[uneven])} cells for {len(header)} columns in row {uneven}, not "
            "counting the header"
        )
    return [(row[value], row[name]) for row in rows[1:]]
