"""What lies in a folder: a result of probe, pictures that it made, or nothing that it knows."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from probe import images
from probe.errors import ProbeError
from probe.reporting import methods
from probe.reporting.parts import Section, picture, table_of
from probe.reporting.references import Cited
from probe.reporting.sections import KINDS, MADE, Sections, provenance_of_result

WORKS = (
    "a folder that `probe rsa`, `probe encode`, `probe compare`, `probe reliability` or "
    "`probe transfer` wrote, or a picture of `probe saliency`, `probe tuning`, `probe dream`, "
    "`probe style` or `probe visualize`"
)
"""What can be reported."""

OF_RESULTS = ("encoding.json", "map.json", "result.json", "best.csv")
"""Files that say whose result a folder holds: of one fit, several; one comparison, several."""

SHOWN_PIXELS = 1600
"""Longer side of a picture in a page, at most."""

MOST_PICTURES = 60
"""Of a folder of pictures."""


def sections_of(source: str | Path, sections: Sections) -> list[Section]:
    """Return the sections of what lies in a folder, or of a picture.

    Raises
    ------
    ProbeError
        If it is no result, is damaged, or lacks what another version of probe did not write.
    """
    path = Path(source).expanduser()
    if not path.exists():
        raise ProbeError(f"{str(source)!r} does not exist: expected {WORKS}")
    try:
        return [_of_picture(path, sections)] if path.is_file() else _of_folder(path, sections)
    except ProbeError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OSError) as error:
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
        raise ProbeError(
            f"{str(source)!r} is damaged, or another version of probe wrote it ({reason}): make it "
            "again"
        ) from error


def _of_folder(path: Path, sections: Sections) -> list[Section]:
    """Return the sections of what lies in a folder."""
    several = [name for name in OF_RESULTS if (path / name).exists()]
    if len(several) > 1:
        raise ProbeError(
            f"{str(path)!r} holds the results of {len(several)} runs ({' and '.join(several)}): "
            "save each into a folder of its own"
        )
    if (path / "encoding.json").exists() or (path / "map.json").exists():
        from probe.encoding.saved import read_saved as read_encoding

        return [sections.of(read_encoding(path))]
    about = _json(path / "result.json")
    is_map = (path / "best.csv").exists() and (path / "map.csv").exists()
    if is_map or (about is not None and "recording" in about and "comparison" in about):
        from probe.comparison.saved import read_saved as read_comparison

        return [sections.of(read_comparison(path))]
    for name in ("result.json", "reliability.json", "searchlight.json"):
        plain = _json(path / name)
        if plain is not None and "provenance" in plain:
            return [_of_any(path, plain, sections)]
    pictures, unreadable = _pictures(path)
    if pictures:
        made = pictures_of(path, pictures, sections)
        return [replace(made[0], notes=[*_said_of(unreadable), *made[0].notes]), *made[1:]]
    if unreadable:
        raise ProbeError(f"{str(path)!r}: {_said_of(unreadable)[0]} There is nothing else to show.")
    raise ProbeError(f"{str(path)!r} holds no result: expected {WORKS}")


def pictures_of(folder: Path, pictures: list[Path], sections: Sections) -> list[Section]:
    """Return the sections of pictures that probe made, with the tables beside them."""
    made = [_of_picture(path, sections) for path in pictures[:MOST_PICTURES]]
    by_itself = {"Saliency", MADE["dream"][0], MADE["style"][0]}
    if len(made) > 1 and len({one.kind for one in made}) == 1 and made[0].kind not in by_itself:
        # Of one run: how they were made is said once.
        named = zip(made, pictures, strict=False)
        figures = [replace(f, caption=path.stem) for one, path in named for f in one.figures]
        made = [replace(made[0], title=folder.resolve().name, figures=figures, notes=[])]
    if len(pictures) > MOST_PICTURES:
        note = f"The first {MOST_PICTURES} of {len(pictures):,} pictures; all are in the folder."
        made[0] = replace(made[0], notes=[*made[0].notes, note])
    tables = [table_of(_read_csv(path), path.name, file=path.name) for path in _tables(folder)]
    shown = [table for table in tables if table is not None]
    if shown and len(made) == 1:
        return [replace(made[0], tables=[*made[0].tables, *shown])]
    return [
        *([Section("Tables", f"Tables of {folder.name}", tables=shown)] if shown else []),
        *made,
    ]


def _of_any(folder: Path, about: dict[str, Any], sections: Sections) -> Section:
    """Return the section of a result whose tables and figure are shown as they were saved."""
    figures = [
        picture(_shown(path), path.stem, f"{path.stem} of {folder.name}")
        for path in sorted(folder.glob("*.png"))
    ]
    tables = [
        table_of(_read_csv(path), path.stem, file=path.name, folded=k > 0)
        for k, path in enumerate(sorted(_tables(folder), key=lambda p: p.name != "table.csv"))
    ]
    cited, kind = Cited(), methods.kind_of_plain(about)
    notes = about.get("notes") or about.get("remarks")
    recording = about.get("recording")
    simulated = bool(
        about.get("simulated") or (isinstance(recording, dict) and recording.get("simulated"))
    )
    title = str(about.get("title") or folder.resolve().name)
    text = methods.of_plain(about, cited)
    return Section(
        KINDS.get(kind, "Result"),
        f"SIMULATED recording: {title}" if simulated else title,
        simulated=simulated,
        notes=[str(note) for note in notes] if isinstance(notes, list) else [],
        figures=figures,
        tables=[table for table in tables if table is not None],
        methods=text,
        references=cited.all,
        terms=methods.terms_of_plain(about),
        provenance=provenance_of_result(about["provenance"], about),
    )


def _of_picture(path: Path, sections: Sections) -> Section:
    try:
        about = images.about(path)
        png = _shown(path)
    except (ProbeError, OSError, ValueError) as error:
        raise ProbeError(
            f"{str(path)!r} is no picture that probe made ({error}): expected {WORKS}"
        ) from None
    return sections.of_picture(png, path.name, about)


def _pictures(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the pictures of a folder that say how probe made them, and those that are damaged."""
    made, damaged = [], []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"):
            try:
                with Image.open(path) as opened:
                    opened.load()
            except (OSError, SyntaxError, ValueError):
                damaged.append(path)
                continue
            try:
                images.about(path)
            except ProbeError:
                continue  # somebody else's
            made.append(path)
    return made, damaged


def _said_of(damaged: list[Path]) -> list[str]:
    """Return which pictures are left out, in a sentence."""
    if not damaged:
        return []
    names = ", ".join(path.name for path in damaged[:5])
    more = f" and {len(damaged) - 5} more" if len(damaged) > 5 else ""
    verb = "cannot be read: it is" if len(damaged) == 1 else "cannot be read: they are"
    return [f"{names}{more} {verb} damaged, and left out."]


def _tables(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.csv") if path.is_file())


def _shown(path: Path) -> bytes:
    """Return a picture as the content of a PNG file, no larger than it is shown."""
    with Image.open(path) as opened:
        opened.load()
        mode = "RGBA" if "A" in opened.getbands() else "RGB"
        shown = opened.convert(mode)
    shown.thumbnail((SHOWN_PIXELS, SHOWN_PIXELS))
    content = io.BytesIO()
    shown.save(content, "PNG", optimize=True)
    return content.getvalue()


def _json(path: Path) -> dict[str, Any] | None:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return about if isinstance(about, dict) else None


def _read_csv(path: Path) -> pd.DataFrame:
    """Return a table; one without columns is empty.

    Raises
    ------
    ProbeError
        If it is damaged: a page without it would not say so.
    """
    try:
        return pd.read_csv(path)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ProbeError(f"the table {str(path)!r} cannot be read ({reason})") from None
