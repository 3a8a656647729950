"""What the page shows of a job, as HTML: how far it is, what it made and said, and what went wrong.

All text that comes from files and from users is escaped.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import re
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from probe import images
from probe.errors import ProbeError
from probe.studio import uploads
from probe.studio.jobs import Job
from probe.studio.sites import Listed

PICTURE_SIDE_PX, THUMBNAIL_SIDE_PX = 1600, 240
"""Longer side of pictures on the page, and of those that were given, in pixels."""

PREVIEW_EVERY = 4
"""Steps from one preview to the next."""

MAX_ROWS = 200
"""Rows of a table that are shown."""

MAX_SITES = 500
"""Sites that are listed to choose from: the best predicted."""

REPORT = ".html"
"""The ending of what a command writes that is given ``--report``."""

OF_FOLDER = "report.html"
"""What it is called that is written about a folder, with all that is in it."""

_ENOUGH_TO_TELL = 0.03
"""Share of a job that is done before its end is estimated."""


class Shown:
    """What was last shown of a job, so that only what is new goes to the page."""

    def __init__(self) -> None:
        self.picture = ""
        self._file: tuple[int, int] | None = None
        self._last = ""

    def stage(self, job: Job) -> str | None:
        """Return the picture so far on its stage, or None if it is the same as before."""
        preview = job.preview()
        with suppress(OSError, ProbeError):  # it may be removed at any moment
            if preview is not None:
                stat = preview.stat()
                if (file := (stat.st_mtime_ns, stat.st_size)) != self._file:
                    self.picture = img(uploads.as_url(preview, PICTURE_SIDE_PX), "so far")
                    self._file = file
                    return stage(self.picture)
        return None

    def state(self, job: Job, before: int) -> str | None:
        """Return how far a job is, or None if that is the same as before."""
        content = state(job, before)
        if content == self._last:
            return None
        self._last = content
        return content


def stage(content: str = "") -> str:
    """Return the place of what is made, of the same height with and without."""
    return f'<div class="probe-stage">{content or "<p>The picture appears here.</p>"}</div>'


def wrong(message: str) -> str:
    """Return what is wrong."""
    return f'<p class="probe-wrong" role="alert">{html.escape(message)}</p>'


def quiet(text: str) -> str:
    """Return a sentence; what stands in `…` is a command."""
    content = re.sub("`(.+?)`", r"<code>\1</code>", html.escape(text))
    return f'<p class="probe-quiet">{content}</p>'


def lines(rows: Sequence[tuple[str, str]], imported: str = "") -> str:
    """Return what was understood of a recording."""
    cells = "".join(
        f"<tr><th>{html.escape(what)}</th><td>{html.escape(how)}</td></tr>" for what, how in rows
    )
    made = f"<details><summary>The same in a shell</summary>{_pre(imported)}</details>"
    return f'<table class="probe-facts">{cells}</table>' + (made if imported else "")


def img(url: str, name: str) -> str:
    """Return a picture; its name is escaped already."""
    return f'<img src="{url}" alt="{name}">'


def small(files: Sequence[Path]) -> str:
    """Return pictures that were dropped, and what is wrong with them."""
    figures: list[str] = []
    errors: list[str] = []
    for file in files:
        try:
            uploads.check(file)
            if file.suffix.lower() not in images.MOVIES and len(figures) < 12:
                figures.append(_figure(uploads.as_url(file, THUMBNAIL_SIDE_PX), file.name))
        except (ProbeError, OSError) as error:
            errors.append(wrong(str(error)))
    if (more := len(files) - len(figures) - len(errors)) and figures:
        figures.append(f'<p class="probe-quiet">and {more} more</p>')
    content = f'<div class="probe-small">{"".join(figures)}</div>' if figures else ""
    return content + "".join(errors)


def _figure(url: str, name: str) -> str:
    name = html.escape(name)
    return f'<figure>{img(url, name)}<figcaption title="{name}">{name}</figcaption></figure>'


def state(job: Job, before: int) -> str:
    """Return how far a job is, and about how long it still takes."""
    share = 0.0
    if job.state == "waiting":
        text = f"In the queue: {before} before it"
    elif job.cancelled.is_set():
        text = "Ending …"
    elif not job.bars:
        text = "At work …"
    else:
        text = " · ".join(
            f"{html.escape(bar.what)}: {bar.done:,.0f}"
            + (f" of {bar.total:,.0f}" if bar.total else "")
            + f" {html.escape(bar.unit)}s"
            for bar in job.bars
        )
        for bar in reversed(job.bars):
            share = min((bar.done + share) / bar.total, 1.0) if bar.total else 0.0
    passed = time.monotonic() - job.started if job.state == "working" else 0.0
    said = f" · {_time(passed)}" if job.state == "working" else ""
    if _ENOUGH_TO_TELL < share < 1 and not job.cancelled.is_set() and passed > 3:
        said += f", about {_time(passed * (1 - share) / share)} left"
    return (
        f'<div class="probe-state" aria-live="off"><div class="probe-bar">'
        f'<i style="width:{100 * share:.1f}%"></i></div>{text}{said}</div>'
    )


def _time(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _full(text: str) -> str:
    return (
        '<div class="probe-state" role="status"><div class="probe-bar">'
        f'<i style="width:100%"></i></div>{text}</div>'
    )


def ended(job: Job, error: str) -> str:
    """Return in a line what became of a job, with what was wrong in the words of the page."""
    if job.state == "failed":
        return wrong(error)
    if job.state == "cancelled":
        return (
            '<div class="probe-state" role="status"><div class="probe-bar"></div>Cancelled. What '
            "was finished is kept: the same settings go on.</div>"
        )
    said = f"Done in {_time(time.monotonic() - job.started)}."
    if report := next((path for path in job.made() if path.suffix == REPORT), None):
        said += " " + _link(report, "Download the report")
    return _full(said)


def made(job: Job, last: str, before: Sequence[Path]) -> str:
    """Return what a job made, on the stage.

    Parameters
    ----------
    job : Job
    last : str
        The last preview, for a job that was not finished.
    before : sequence of Path
        Pictures with which those that were made of them are compared.
    """
    if job.state != "done":
        return stage(last)
    files = job.made()
    report = next((path for path in files if path.suffix == REPORT), None)
    if report is not None and report.name == OF_FOLDER:  # its figures are in it
        return _report(report)
    pictures = [path for path in files if not _is_side_car(path, files) and _is_seen(path)]
    figures = []
    for path in pictures:
        figures.append(_seen(path, _original(path, before, len(pictures))))
    content = "".join(figures)
    if len(figures) > 1:
        content = f'<div class="probe-many">{content}</div>'
    seen = stage(content or "<p>No picture was made.</p>")
    return seen if report is None else seen + _report(report)


def _original(path: Path, before: Sequence[Path], n: int) -> Path | None:
    """Return of which picture one was made; None of films, and where it is not known."""
    stills = [one for one in before if one.suffix.lower() in images.SUFFIXES]
    if len(stills) == n == 1:
        return stills[0]
    return next((one for one in stills if path.stem == f"{one.stem}-dream"), None)


def details(job: Job, line: str) -> str:
    """Return what a job says and wrote, and how to have it again."""
    if job.state != "done":
        return command(line)
    files = job.made()
    folders = {path.relative_to(job.folder).parent.as_posix() for path in files}
    folder = folders.pop() if len(folders) == 1 else "."
    links = "".join(_link(path, path.relative_to(job.folder / folder).as_posix()) for path in files)
    if folder != ".":
        links = _link(_archive(job, folder), "all of them (.zip)") + links
    tables = [path for path in files if path.name == "table.csv"]
    return (
        (f'<div class="probe-links" aria-label="Download">{links}</div>' if files else "")
        + command(line)
        + (_said(job.said, folded=any(path.name == OF_FOLDER for path in files)))
        + "".join(_table(path) for path in tables[:1])
        + "".join(_settings(path) for path in files if _is_side_car(path, files))
    )


def _link(path: Path, text: str) -> str:
    name = html.escape(path.name)
    return f'<a href="{_address(path)}" download="{name}">{html.escape(text)}</a>'


def _archive(job: Job, folder: str) -> Path:
    """Put a folder that a job wrote into an archive, beside the job's own files."""
    parent = job.folder / ".all"
    name = Path(folder).name
    return Path(shutil.make_archive(str(parent / name), "zip", job.folder / folder))


def _said(text: str, *, folded: bool) -> str:
    if not text:
        return ""
    if folded:
        return f"<details><summary>What it says</summary>{_pre(text)}</details>"
    return f"<h3>What it says</h3>{_pre(text)}"


def command(line: str) -> str:
    """Return a command line, which can be selected at once."""
    return f'<h3>The same in a shell</h3><pre class="probe-command">{html.escape(line)}</pre>'


def _pre(text: str) -> str:
    return f'<pre tabindex="0">{html.escape(text)}</pre>'


def _is_side_car(path: Path, files: Sequence[Path]) -> bool:
    return path.suffix == ".json" and path.with_suffix("") in files


def _is_seen(path: Path) -> bool:
    return path.suffix.lower() in (*images.SUFFIXES, *images.MOVIES)


def _settings(path: Path) -> str:
    """Return the settings that stand beside a picture, and in it."""
    with suppress(OSError, ValueError):
        text = json.dumps(json.loads(path.read_text()), indent=2, ensure_ascii=False)
        return (
            f"<details><summary>Settings of {html.escape(path.stem)}</summary>"
            f"{_pre(text)}</details>"
        )
    return ""


def _table(path: Path) -> str:
    """Return the beginning of a table, folded."""
    with suppress(OSError, ValueError), path.open(newline="", encoding="utf-8") as file:
        header, *rows = islice(csv.reader(file), MAX_ROWS + 1)
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(_rounded(cell))}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        return (
            f"<details><summary>{html.escape(path.name)}</summary>"
            f'<div class="probe-table" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>'
            f"{body}</tbody></table></div></details>"
        )
    return ""


def _rounded(cell: str) -> str:
    try:
        number = float(cell)
    except ValueError:
        return cell
    return cell if number == int(number) else f"{number:.4g}" if number == number else ""


def _report(path: Path) -> str:
    """Return a report in a frame of its own: nothing in it reaches the page."""
    content = html.escape(path.read_text("utf-8"))
    return (
        '<div class="probe-stage probe-report"><iframe title="report" '
        f'sandbox="allow-scripts" srcdoc="{content}"></iframe></div>'
    )


def _address(path: Path) -> str:
    return f"gradio_api/file={quote(path.as_posix())}"


def _seen(path: Path, before: Path | None) -> str:
    """Return a file that was made, if it can be seen; of a picture with what it was before."""
    kind, name = path.suffix.lower(), f"{html.escape(path.name)}, large"
    if kind in images.MOVIES:
        return f'<video src="{_address(path)}" controls loop></video>'
    if kind in images.ANIMATED:
        content = img(_address(path), name)
    else:
        content = img(uploads.as_url(path, PICTURE_SIDE_PX), name)
    if before is not None:
        with suppress(ProbeError, OSError):
            return _compared(path, content, before)
    return f'<a href="{_address(path)}" target="_blank">{content}</a>'


def _compared(path: Path, content: str, before: Path) -> str:
    """Return a picture over what it was before, and a slider between them."""
    original = uploads.as_url(before, PICTURE_SIDE_PX)
    with Image.open(io.BytesIO(base64.b64decode(original.partition(",")[2]))) as opened:
        width, height = opened.size
    name = html.escape(before.name)
    return (
        f'<figure class="probe-compare" style="--shape:{width / height:.4f}">{content}'
        f'<img class="probe-before" src="{original}" alt="{name}, before"><i></i>'
        '<input type="range" min="0" max="100" step="1" value="50" '
        f'aria-label="{html.escape(path.name)}: before to the left, after to the right" '
        "oninput=\"this.parentNode.style.setProperty('--at', this.value + '%')\">"
        "</figure>"
    )


def sites(listed: Sequence[Listed], key: str) -> str:
    """Return a list of sites to choose one from: its fit, and where it looks."""
    if not listed:
        return quiet("None of these sites responds differently to any stimulus.")
    rows = "".join(_site(site, key) for site in listed[: MAX_SITES + 1])
    rest = len(listed) - MAX_SITES - 1
    more = quiet(f"{rest} more, predicted less well, can be named as the target.")
    return (
        '<div class="probe-sites-list" role="radiogroup" aria-label="site">'
        f"{rows}</div>{more if rest > 0 else ''}"
    )


def _site(site: Listed, key: str) -> str:
    has_r = site.r == site.r
    r = f"{'median r' if site.field is None and site.number == 'all' else 'r'} {site.r:.2f}"
    interval = f" [{site.low:.2f}, {site.high:.2f}]" if site.low == site.low else ""
    highest = site.reliability**0.5 if site.reliability > 0 else float("nan")
    ceiling = f", highest {highest:.2f}" if highest == highest else ""
    bar = ""
    if has_r:
        mark = f'<b style="left:{_percent(highest)}"></b>' if highest == highest else ""
        spread = ""
        if site.low == site.low:
            spread = (
                f'<u style="left:{_percent(site.low)};'
                f'width:{100 * (min(site.high, 1) - max(site.low, 0)):.1f}%"></u>'
            )
        bar = f'<i style="width:{_percent(site.r)}"></i>{spread}{mark}'
    return (
        f'<label class="probe-site-row"><input type="radio" name="site-{html.escape(key)}" '
        f'value="{html.escape(site.number)}">{_field(site)}'
        f"<span><strong>{html.escape(site.number)}</strong> {html.escape(site.name)}"
        f"<small>{html.escape(site.layer)}</small></span>"
        f'<span class="probe-r"><span class="probe-r-bar">{bar}</span>'
        f"<small>{f'{r}{interval}{ceiling}' if has_r else 'no r'}</small></span></label>"
    )


def _percent(share: float) -> str:
    return f"{100 * min(max(share, 0.0), 1.0):.1f}%"


def _field(site: Listed) -> str:
    """Draw where a site looks: a disc of one standard deviation in the picture's frame."""
    if site.field is None:
        return '<svg viewBox="0 0 100 100" role="img" aria-label="looks everywhere"></svg>'
    y, x, sd = site.field
    where = (
        f"field: {100 * x:.0f} % from the left, {100 * y:.0f} % from the top, SD {100 * sd:.0f} %"
    )
    return (
        f'<svg viewBox="0 0 100 100" role="img" aria-label="{where}"><title>{where}</title>'
        f'<circle cx="{100 * x:.1f}" cy="{100 * y:.1f}" r="{100 * sd:.1f}"></circle></svg>'
    )
