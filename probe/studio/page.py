"""The page: a tab for each command, what it takes on the left and what it makes on the right."""

from __future__ import annotations

import asyncio
import html
import json
import re
import shlex
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
import typer

from probe import images
from probe.errors import ProbeError
from probe.studio import sites, uploads
from probe.studio.commands import Command, Option
from probe.studio.jobs import Job, Jobs, remove

PREVIEW_EVERY = 4
"""Steps from one preview to the next."""

POLL_INTERVAL_S = 0.2
"""Seconds between two looks at a job."""

PICTURE_SIDE_PX, THUMBNAIL_SIDE_PX = 1600, 240
"""Longer side of pictures on the page, and of those that were given, in pixels."""

MAX_HELP_CHARACTERS = 90
"""Characters of an option's help text that are shown, at most."""

BETWEEN = ";"
"""What stands between several values of an argument: classes and units have blanks and commas."""

TARGET = "target"
"""The option that names a target: a class, a channel, a recorded site."""

MAX_WORDS = 100
"""Words of an option that are offered without being looked for by what is typed, at most."""


@dataclass(frozen=True)
class Field:
    """Where pictures are dropped.

    Attributes
    ----------
    name : str
        Of the option that takes them; of an argument, any.
    label : str
    many : bool
        Whether it takes several.
    films : bool
    """

    name: str
    label: str
    many: bool = False
    films: bool = False


@dataclass(frozen=True)
class Tab:
    """What is to be seen of a command.

    Attributes
    ----------
    command, title : str
    pictures : tuple of Field
        Those that are arguments of the command, in its order.
    options : tuple of str
        Parameters of it; those that are arguments come first in its line.
    extra : tuple of Field
        Options of it that are pictures.
    start : dict
        Values to begin with, where the command has none.
    """

    command: str
    title: str
    pictures: tuple[Field, ...]
    options: tuple[str, ...]
    extra: tuple[Field, ...] = ()
    start: tuple[tuple[str, str], ...] = ()


AGAIN = Field("repeat", "Once more, as this was made")

TABS = (
    Tab(
        "dream", "Dream",
        (Field("pictures", "Pictures, or a film", many=True, films=True),),
        ("preset", "model", "target", "strength", "steps", "octaves", "colour", "size", "seed"),
        (Field("guide", "Guide"), Field("mask", "Mask"), AGAIN),
    ),
    Tab(
        "style", "Style",
        (Field("content", "Picture, or a film", films=True), Field("styles", "Styles", many=True)),
        ("strength", "colours", "loss", "size", "steps", "seed"),
        (Field("mask", "Masks", many=True), AGAIN),
    ),
    Tab(
        "saliency", "Saliency",
        (Field("image", "Picture"),),
        ("model", "target", "method", "style"),
        start=(("model", "squeezenet1_1"),),
    ),
    Tab(
        "visualize", "Visualise",
        (),
        (
            "model", "target", "channels", "diverse", "parameterisation", "size", "steps", "seed",
            "transparent", "tileable",
        ),
        (AGAIN,),
        start=(("model", "squeezenet1_1"), ("target", "tabby")),
    ),
)  # fmt: skip
"""What is on the page, in order."""

CSS = """
.probe-plain .html-container { padding: 0 !important; }
.block.probe-shown:not(:has(figure)):not(:has(p)) { display: none !important; }
.gradio-container { max-width: 1240px !important; margin: 0 auto !important; }
.probe-head h1 { font-size: 1.5rem; font-weight: 650; margin: 0; }
.probe-head p, .probe-quiet { color: var(--body-text-color-subdued); margin: .15rem 0 0; }
.probe-small { display: flex; flex-wrap: wrap; gap: .5rem; }
.probe-small figure { margin: 0; max-width: 7.5rem; }
.probe-small img { height: 5.5rem; border-radius: 6px; display: block; }
.probe-small figcaption { font-size: .75rem; color: var(--body-text-color-subdued);
  overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.probe-wrong { border-left: 3px solid #d33; padding: .4rem .7rem; margin: .2rem 0;
  background: color-mix(in srgb, #d33 9%, transparent); border-radius: 0 6px 6px 0;
  overflow-wrap: anywhere; }
.probe-stage { display: flex; align-items: center; justify-content: center; min-height: 22rem;
  border-radius: 10px; overflow: hidden; background: var(--background-fill-secondary);
  border: 1px solid var(--border-color-primary); color: var(--body-text-color-subdued); }
.probe-stage img, .probe-stage video { width: 100%; max-height: 72vh; object-fit: contain;
  display: block; }
.probe-stage a { display: block; width: 100%; }
.probe-many { display: grid; grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr));
  gap: .6rem; padding: .6rem; align-items: center; width: 100%; }
.probe-state { margin: .7rem 0 0; font-variant-numeric: tabular-nums; }
.probe-bar { height: 4px; border-radius: 2px; margin: .35rem 0 .2rem; overflow: hidden;
  background: var(--border-color-primary); }
.probe-bar i { display: block; height: 100%; background: var(--color-accent); }
.probe-links { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin-top: .5rem; }
.probe-links a { color: var(--link-text-color); text-decoration: underline;
  overflow-wrap: anywhere; }
.probe-out pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .82rem; margin: .3rem 0;
  padding: .6rem .8rem; border-radius: 6px; background: var(--background-fill-secondary);
  border: 1px solid var(--border-color-primary); color: var(--body-text-color); }
.probe-out pre.probe-command { user-select: all; }
.probe-out h3 { font-size: .85rem; font-weight: 600; margin: .9rem 0 0; }
.probe-out summary { cursor: pointer; font-size: .85rem; font-weight: 600; margin-top: .9rem; }
"""


class Studio:
    """The page and what is behind it.

    Parameters
    ----------
    app : typer.Typer
        The command line.
    jobs : Jobs
    folder : Path
        Where jobs have their folders.
    """

    def __init__(self, app: typer.Typer, jobs: Jobs, folder: Path) -> None:
        self.jobs = jobs
        self.folder = folder
        self._folders: dict[str, list[Job]] = {}
        self._commands = {tab.command: Command(app, tab.command) for tab in TABS}
        self.page = self._page()

    def _page(self) -> gr.Blocks:
        with gr.Blocks(title="probe studio", analytics_enabled=False) as page:
            gr.HTML(
                "<h1>probe studio</h1><p>Pictures from the inside of networks. They are made on "
                "this computer, and go nowhere else.</p>",
                elem_classes="probe-plain probe-head",
            )
            with gr.Tabs():
                for tab in TABS:
                    with gr.Tab(tab.title, id=tab.command, elem_id=f"tab-{tab.command}"):
                        self._tab(tab)
            page.unload(self._leave)
        return page

    def _tab(self, tab: Tab) -> None:
        command = self._commands[tab.command]
        start = dict(tab.start)
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                gr.HTML(
                    f'<p class="probe-quiet">{html.escape(command.about)}</p>',
                    elem_classes="probe-plain probe-about",
                )
                dropped = [_drop(field) for field in tab.pictures]
                chosen = _controls([command.options[name] for name in tab.options], start)
                named = dict(zip(tab.options, chosen, strict=True))
                if TARGET in named:
                    _site_chooser(named["model"], named[TARGET])
                with gr.Accordion("More", open=False):
                    dropped += [_drop(field) for field in tab.extra]
                    more = gr.Textbox(
                        label="more options",
                        info=f"As `probe {tab.command} --help` lists them, which may stand here.",
                        placeholder="--help",
                        max_lines=3,
                        elem_classes="probe-more",
                    )
            with gr.Column(scale=5, min_width=320):
                with gr.Row():
                    run = gr.Button(tab.title, variant="primary", elem_classes="probe-run")
                    cancel = gr.Button("Cancel", interactive=False, elem_classes="probe-cancel")
                outcome = gr.HTML(_stage(), elem_classes="probe-plain probe-out")
        quiet: Any = {"api_visibility": "private", "show_progress": "hidden"}
        run.click(
            self._runs(tab),
            [*dropped, *chosen, more],
            [outcome, run, cancel],
            concurrency_limit=None,  # the queue is that of the jobs
            **quiet,
        )

        def stop(request: gr.Request) -> None:
            self.jobs.cancel(str(request.session_hash), command=tab.command)

        cancel.click(stop, None, None, concurrency_limit=None, **quiet)

    def _runs(self, tab: Tab) -> Callable[..., AsyncIterator[Any]]:
        """Return what works on a job of a tab, and shows how far it is."""
        command = self._commands[tab.command]
        fields = (*tab.pictures, *tab.extra)

        async def run(request: gr.Request, *values: Any) -> AsyncIterator[Any]:
            dropped, rest = values[: len(fields)], values[len(fields) :]
            owner = str(request.session_hash)
            try:
                job = await asyncio.to_thread(
                    self._job, tab, command, dropped, rest[:-1], rest[-1] or "", owner
                )
            except ProbeError as error:
                yield _stage() + _wrong(str(error)), gr.skip(), gr.skip()
                return
            self.jobs.add(job)
            asking = gr.update(interactive=False), gr.update(interactive=True)
            view = _Shown()
            while not job.over:
                if now := await asyncio.to_thread(view.now, job, self.jobs.before(job)):
                    yield now, *asking
                await asyncio.sleep(POLL_INTERVAL_S)
            line = shlex.join(["probe", *_without_preview(job.arguments)])
            outcome = await asyncio.to_thread(_outcome, job, line, view.picture)
            yield outcome, gr.update(interactive=True), gr.update(interactive=False)

        return run

    def _job(
        self,
        tab: Tab,
        command: Command,
        dropped: Sequence[Any],
        chosen: Sequence[Any],
        more: str,
        owner: str,
    ) -> Job:
        """Lay out a job: its folder with the pictures, and its command line."""
        options: dict[str, Any] = {}
        if "preview" in command.options:
            options["preview"] = PREVIEW_EVERY
        arguments: list[str] = []
        for name, value in zip(tab.options, chosen, strict=True):
            if command.options[name].flag:
                options[name] = value
            elif value:
                arguments += [word.strip() for word in str(value).split(BETWEEN)]
        command.line(arguments, options, more)  # before anything is laid
        folder = Path(tempfile.mkdtemp(prefix=f"{tab.command}-", dir=self.folder))
        try:
            for field, value in zip((*tab.pictures, *tab.extra), dropped, strict=True):
                files = _files(value)
                for file in files:
                    uploads.check(file)
                names = uploads.lay(files, folder)
                if field in tab.pictures:
                    arguments += names
                elif names:
                    options[field.name] = names
            job = Job(command.line(arguments, options, more), folder, owner)
        except BaseException:
            remove(folder)
            raise
        self._folders.setdefault(owner, []).append(job)
        return job

    async def _leave(self, request: gr.Request) -> None:
        """Cancel what somebody who left the page has under way, and remove what there was."""
        owner = str(request.session_hash)
        self.jobs.cancel(owner)
        for job in self._folders.pop(owner, []):
            while not job.over:
                await asyncio.sleep(POLL_INTERVAL_S)
            remove(job.folder)


class _Shown:
    """What was last shown of a job, so that only what is new goes to the page."""

    def __init__(self) -> None:
        self.picture = ""
        self._file: tuple[int, int] | None = None
        self._last = ""

    def now(self, job: Job, before: int) -> str | None:
        """Return the page's content, or None if it is the same as before."""
        preview = job.preview()
        with suppress(OSError, ProbeError):  # it may be removed at any moment
            if preview is not None:
                stat = preview.stat()
                if (file := (stat.st_mtime_ns, stat.st_size)) != self._file:
                    self.picture = _img(uploads.as_url(preview, PICTURE_SIDE_PX), "so far")
                    self._file = file
        content = _stage(self.picture) + _state(job, before)
        if content == self._last:
            return None
        self._last = content
        return content


def theme() -> gr.themes.Base:
    """Return the look of the page. Its fonts are those of the computer: none are fetched."""
    look = gr.themes.Base(
        primary_hue="indigo",
        neutral_hue="zinc",
        radius_size="md",
        font=["system-ui", "-apple-system", "Segoe UI", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
    )
    # Its own greys are too faint for small letters.
    return look.set(
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
    )


def _drop(field: Field) -> gr.File:
    """Make a place where pictures are dropped, and what shows them."""
    kinds = [*images.SUFFIXES, *(images.MOVIES if field.films else ())]
    drop = gr.File(
        label=field.label,
        file_count="multiple" if field.many else "single",
        file_types=kinds,
        height=134,
        elem_classes=f"probe-drop probe-{field.name}",
    )
    small = gr.HTML("", elem_classes="probe-plain probe-shown")
    drop.change(
        _small, drop, small,
        show_progress="hidden", api_visibility="private", concurrency_limit=None,
    )  # fmt: skip
    return drop


def _controls(options: Sequence[Option], start: dict[str, str]) -> list[Any]:
    """Make a control for each option, two in a row; the first has a row if the number is odd."""
    controls = []
    with gr.Group():
        for k in range(-(len(options) % 2), len(options), 2):
            with gr.Row():
                row = options[max(k, 0) : k + 2]
                controls += [_control(option, start.get(option.name)) for option in row]
    return controls


def _control(option: Option, start: str | None) -> Any:
    value = option.default if start is None else start
    # Of targets, completion knows the sites that are kept; classes and channels are typed.
    words = () if option.name == TARGET else option.words
    common: Any = {
        "label": option.name.replace("_", " "),
        "info": _short(option) + ("" if option.flag or words else f", with {BETWEEN} between"),
        "elem_classes": f"probe-option-{option.name}",
        "min_width": 140,
    }
    if words:
        choices: list[Any] = list(words)
        if value is None:
            choices = [(option.placeholder or "–", ""), *words]
        return gr.Dropdown(
            choices,
            value=value or "",
            allow_custom_value=option.name in ("model", "method"),
            num_choices_shown=MAX_WORDS,
            **common,
        )
    if option.kind is bool:
        return gr.Checkbox(bool(value), **common)
    text = "" if value is None else str(value)
    return gr.Textbox(text, placeholder=option.placeholder, max_lines=1, **common)


def _site_chooser(model: gr.Dropdown, target: gr.Textbox) -> None:
    """Make lists of the recorded sites that are kept; the chosen one is written as the target."""
    with gr.Accordion("Recorded sites", open=False, elem_classes="probe-sites") as chooser:
        recording = gr.Dropdown(
            [],
            label="recording",
            info="Fitted on this computer, and with what.",
            visible=False,
            elem_classes="probe-recording",
        )
        site = gr.Dropdown(
            [],
            label="site",
            info="Number, name, and r with held-out responses; the best predicted come first.",
            num_choices_shown=MAX_WORDS,
            visible=False,
            elem_classes="probe-site",
        )
        note = gr.HTML(_quiet("Looking for them …"), elem_classes="probe-plain probe-note")

    def opened(key: str | None) -> tuple[Any, Any, Any]:
        listed = sites.recordings()
        if not listed:
            hidden = gr.update(visible=False, choices=[], value=None)
            return hidden, hidden, _quiet(sites.NONE_YET)
        if key in [value for _, value in listed]:
            return gr.update(choices=listed), gr.skip(), gr.skip()
        first = listed[0][1]
        return gr.update(visible=True, choices=listed, value=first), *changed(first)

    def changed(key: str) -> tuple[Any, Any]:
        try:
            return gr.update(visible=True, choices=sites.of_recording(key), value=None), ""
        except ProbeError as error:
            return gr.update(visible=False, choices=[], value=None), _wrong(str(error))

    def chosen(key: str, number: str) -> tuple[Any, Any, Any]:
        try:
            meant = sites.choose(key, number)
        except ProbeError as error:
            return gr.skip(), gr.skip(), _wrong(str(error))
        return meant.model, meant.target, _quiet(meant.said)

    quiet: Any = {
        "api_visibility": "private", "show_progress": "hidden", "concurrency_limit": None,
    }  # fmt: skip
    chooser.expand(opened, recording, [recording, site, note], **quiet)
    recording.input(changed, recording, [site, note], **quiet)
    site.input(chosen, [recording, site], [model, target, note], **quiet)


def _quiet(text: str) -> str:
    """Show a sentence; what stands in `…` is a command."""
    content = re.sub("`(.+?)`", r"<code>\1</code>", html.escape(text))
    return f'<p class="probe-quiet">{content}</p>'


def _short(option: Option) -> str:
    """Return the beginning of an option's help text, as far as it can be understood alone."""
    text = re.split(r"[:.;] |\.$| \(see", option.help)[0]
    if text in option.words:  # and each is explained
        text = option.help
    return (
        text
        if len(text) <= MAX_HELP_CHARACTERS
        else text[:MAX_HELP_CHARACTERS].rpartition(", ")[0] + " …"
    )


def _files(value: Any) -> list[Path]:
    """Return the files of a place where some were dropped."""
    if not value:
        return []
    return [Path(str(file)) for file in (value if isinstance(value, list) else [value])]


def _small(value: Any) -> str:
    """Show the pictures that were dropped, and what is wrong with them."""
    figures, wrong = [], []
    for file in _files(value):
        try:
            uploads.check(file)
            if file.suffix.lower() not in images.MOVIES:
                figures.append(_figure(uploads.as_url(file, THUMBNAIL_SIDE_PX), file.name))
        except (ProbeError, OSError) as error:
            wrong.append(_wrong(str(error)))
    return (f'<div class="probe-small">{"".join(figures)}</div>' if figures else "") + "".join(
        wrong
    )


def _figure(url: str, name: str) -> str:
    name = html.escape(name)
    return f'<figure>{_img(url, name)}<figcaption title="{name}">{name}</figcaption></figure>'


def _img(url: str, name: str) -> str:
    return f'<img src="{url}" alt="{name}">'


def _stage(content: str = "") -> str:
    return f'<div class="probe-stage">{content or "The picture appears here."}</div>'


def _wrong(message: str) -> str:
    return f'<p class="probe-wrong" role="alert">{html.escape(message)}</p>'


def _state(job: Job, before: int) -> str:
    """Draw how far a job is."""
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
    passed = f" · {_time(time.monotonic() - job.started)}" if job.state == "working" else ""
    return (
        f'<div class="probe-state" aria-live="polite"><div class="probe-bar">'
        f'<i style="width:{100 * share:.1f}%"></i></div>{text}{passed}</div>'
    )


def _time(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _without_preview(arguments: Sequence[str]) -> list[str]:
    """Return a command line without what only the page is after."""
    words = list(arguments)
    with suppress(ValueError):
        k = words.index("--preview")
        if words[k + 1] == str(PREVIEW_EVERY):
            del words[k : k + 2]
    return words


def _outcome(job: Job, line: str, last: str) -> str:
    """Show what became of a job: what it made and said, and how to have it again."""
    if job.state == "failed":
        return _stage(last) + _wrong(job.error) + _command(line)
    if job.state == "cancelled":
        text = "Cancelled. What was finished is kept: the same settings go on."
        return f'{_stage(last)}<p class="probe-state" role="status">{text}</p>{_command(line)}'
    files = job.made()
    figures = [_seen(path) for path in files if not _is_side_car(path, files)]
    figures = [content for content in figures if content]
    stage = "".join(figures)
    if len(figures) > 1:
        stage = f'<div class="probe-many">{stage}</div>'
    links = "".join(
        f'<a href="{_address(path)}" download="{html.escape(path.name)}">'
        f"{html.escape(path.name)}</a>"
        for path in files
    )
    took = _time(time.monotonic() - job.started)
    return (
        (_stage(stage) if files else "")
        + f'<p class="probe-state" role="status">Done in {took}.</p>'
        + (f'<div class="probe-links" aria-label="Download">{links}</div>' if files else "")
        + _command(line)
        + (f"<h3>What it says</h3><pre>{html.escape(job.said)}</pre>" if job.said else "")
        + "".join(_settings(path) for path in files if _is_side_car(path, files))
    )


def _command(line: str) -> str:
    return f'<h3>The same in a shell</h3><pre class="probe-command">{html.escape(line)}</pre>'


def _is_side_car(path: Path, made: Sequence[Path]) -> bool:
    return path.suffix == ".json" and path.with_suffix("") in made


def _settings(path: Path) -> str:
    """Show the settings that stand beside a picture, and in it."""
    with suppress(OSError, ValueError):
        text = json.dumps(json.loads(path.read_text()), indent=2, ensure_ascii=False)
        return (
            f"<details><summary>Settings of {html.escape(path.stem)}</summary>"
            f"<pre>{html.escape(text)}</pre></details>"
        )
    return ""


def _address(path: Path) -> str:
    return f"gradio_api/file={quote(path.as_posix())}"


def _seen(path: Path) -> str:
    """Show a file that was made, if it can be seen."""
    kind, name = path.suffix.lower(), f"{html.escape(path.name)}, large"
    if kind in images.MOVIES:
        return f'<video src="{_address(path)}" controls loop></video>'
    if kind not in images.SUFFIXES:
        return ""
    if kind in images.ANIMATED:
        content = _img(_address(path), name)
    else:
        content = _img(uploads.as_url(path, PICTURE_SIDE_PX), name)
    return f'<a href="{_address(path)}" target="_blank">{content}</a>'
