"""The page: a tab for each command, what it takes on the left and what it makes on the right."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import shlex
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import typer

from probe import images
from probe.errors import ProbeError
from probe.studio import dropped, forms, shown, sites, texts, uploads
from probe.studio.commands import Command
from probe.studio.dropped import Understood
from probe.studio.jobs import Job, Jobs, remove
from probe.studio.tabs import INSTEAD, READING, RECORDING, TABS, Field, Tab

POLL_INTERVAL_S = 0.2
"""Seconds between two looks at a job."""

BETWEEN = ";"
"""What stands between several values of an argument: classes and units have blanks and commas."""

_AS_IN_A_SHELL = "Options as in a shell"

ABOUT_RECORDING = (
    "Ask how like a recorded area each layer of a network is, or fit the recorded sites, which can "
    "be targets of pictures from then on."
)

QUIET: Any = {
    "api_visibility": "private", "show_progress": "hidden", "concurrency_limit": None,
}  # fmt: skip
"""How all events of the page are told: the queue is that of the jobs."""


@dataclass
class _Visitor:
    """What somebody who has the page open has on it."""

    jobs: list[Job] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    recording: Understood | str = ""
    refused: str = ""
    turn: int = 0


@dataclass(frozen=True)
class _Outcome:
    """The components that show what becomes of a job, in the order of `parts`."""

    run: gr.Button
    cancel: gr.Button
    stage: gr.HTML
    progress: gr.HTML
    details: gr.HTML

    @property
    def parts(self) -> list[Any]:
        return [self.stage, self.progress, self.details, self.run, self.cancel]


class Studio:
    """The page and what is behind it.

    Parameters
    ----------
    app : typer.Typer
        The command line.
    jobs : Jobs
    folder : Path
        Where jobs have their folders.
    uploaded : Path
        Where files are that came through the browser.
    """

    def __init__(self, app: typer.Typer, jobs: Jobs, folder: Path, uploaded: Path) -> None:
        self.jobs = jobs
        self.folder = folder
        self.uploaded = uploaded
        self._visitors: dict[str, _Visitor] = {}
        names = [tab.command for tab in (*TABS, *RECORDING)]
        self._commands = {name: Command(app, name) for name in (*names, "datasets import")}
        self.page = self._page()

    def _page(self) -> gr.Blocks:
        with gr.Blocks(title="probe studio", analytics_enabled=False) as page:
            gr.HTML(
                "<h1>probe studio</h1><p>Pictures from the inside of networks, and networks beside "
                "recordings. All is computed on this computer, and goes nowhere else.</p>"
                + forms.class_list(),
                elem_classes="probe-plain probe-head",
            )
            with gr.Tabs():
                for tab in TABS:
                    with gr.Tab(tab.title, id=tab.command, elem_id=f"tab-{tab.command}") as part:
                        self._tab(tab)
                        if "target" in tab.options:
                            part.select(_warm_sites, None, None, **QUIET)
                with gr.Tab("Recording", id="recording", elem_id="tab-recording") as recording:
                    self._recording_tab()
                recording.select(_warm_recordings, None, None, **QUIET)
            page.unload(self._leave)
        return page

    def _tab(self, tab: Tab) -> None:
        """Make the controls of a command, and what shows its results."""
        command = self._commands[tab.command]
        begin: dict[str, Any] = dict(tab.start)
        offered: dict[str, list[str]] = {}
        if "preset" in command.options:
            look, offered["preset"], _ = _look({}, command)
            begin |= look
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                gr.HTML(shown.quiet(command.about), elem_classes="probe-plain")
                drops = [_drop(one) for one in (*tab.pictures, *tab.fields)]
                form = forms.form(command, tab.options, tab.more, begin, BETWEEN, offered)
                if "target" in tab.options:
                    self._site_chooser(form)
                label = "Other pictures, options as in a shell" if tab.extra else _AS_IN_A_SHELL
                with gr.Accordion(label, open=False):
                    drops += [_drop(one) for one in tab.extra]
                    more = _more(command)
            with gr.Column(scale=5, min_width=320):
                outcome = self._outcome(tab)
        self._checks(tab, form, outcome.run)

        async def run(request: gr.Request, *values: Any) -> AsyncIterator[Any]:
            files, options, text = values[: len(drops)], values[-2] or {}, values[-1] or ""
            checked, wrong = self._checked(tab, options)
            yield checked, *(_refused(wrong) if wrong else [gr.skip()] * 5)
            if wrong:
                return
            make = asyncio.to_thread(
                self._job, tab, files, options, text, str(request.session_hash)
            )
            async for parts in self._follow(make, command):
                yield gr.skip(), *parts

        outcome.run.click(run, [*drops, form, more], [form, *outcome.parts], **QUIET)

    def _outcome(self, tab: Tab) -> _Outcome:
        """Make the place of a result: buttons, the stage, progress, and all that is said."""
        with gr.Row():
            run = gr.Button(tab.verb, variant="primary", elem_classes="probe-run")
            cancel = gr.Button("Cancel", interactive=False, elem_classes="probe-cancel")
        outcome = _Outcome(
            run, cancel,
            gr.HTML(shown.stage(), elem_classes="probe-plain probe-out"),
            gr.HTML("", elem_classes="probe-plain probe-out probe-progress"),
            gr.HTML("", elem_classes="probe-plain probe-out probe-details"),
        )  # fmt: skip
        cancel.click(self._stops(tab.command), None, None, **QUIET)
        return outcome

    def _stops(self, *commands: str) -> Any:
        def stop(request: gr.Request) -> None:
            for command in commands:
                self.jobs.cancel(str(request.session_hash), command=command)

        return stop

    def _checks(self, tab: Tab, form: gr.HTML, run: gr.Button | None = None) -> None:
        """Refuse what is out of range at its field, and show what a preset sets.

        With the button of the form, there is nothing to begin while something is refused, or a job
        of this tab is at work.
        """
        # Of changes that come while one is looked at, the last counts: by default, none would.
        form.input(
            lambda values: self._checked(tab, values or {})[0], form, form,
            trigger_mode="always_last", **QUIET,
        )  # fmt: skip
        if run is None:
            return

        def button(request: gr.Request, values: Any) -> Any:
            jobs = self._of(str(request.session_hash)).jobs
            busy = any(not job.over and job.arguments[0] == tab.command for job in jobs)
            return gr.update(interactive=not busy and not self._checked(tab, values or {})[1])

        # A site that is chosen is written into the form, which is a change and no input.
        form.change(button, form, run, trigger_mode="always_last", **QUIET)

    def _checked(self, tab: Tab, values: Mapping[str, Any]) -> tuple[Any, str]:
        """Return what a form is to show of its values, and what is wrong with the first."""
        command, names = self._commands[tab.command], (*tab.options, *tab.more)
        errors = forms.check(command, names, values)
        look: dict[str, Any] = {}
        listed: dict[str, list[str]] = {}
        if "preset" in command.options:
            look, listed["preset"], wrong = _look(values, command)
            errors |= wrong
        begin = {**dict(tab.start), **look}
        shown_values = forms.defaults([command.options[name] for name in names], begin)
        update = gr.update(errors=errors, shown=shown_values)
        if listed:
            update |= gr.update(words=listed)
        return update, next(iter(errors.values()), "")

    async def _follow(self, making: Any, command: Command) -> AsyncIterator[Sequence[Any]]:
        """Work on a job that is being made, and return what there is to show of it."""
        try:
            job, before, imported = await making
        except ProbeError as error:
            yield _refused(texts.translate(str(error), command))
            return
        line = shlex.join(["probe", *_without_preview(job.arguments)])
        lines = "\n".join(filter(None, [imported, line]))
        self.jobs.add(job)
        busy = gr.update(interactive=False), gr.update(interactive=True)
        yield gr.skip(), shown.state(job, self.jobs.before(job)), shown.command(lines), *busy
        view = shown.Shown()
        while not job.over:
            picture = await asyncio.to_thread(view.stage, job)
            said = view.state(job, self.jobs.before(job))
            if picture or said:
                yield picture or gr.skip(), said or gr.skip(), gr.skip(), gr.skip(), gr.skip()
            await asyncio.sleep(POLL_INTERVAL_S)
        ready = gr.update(interactive=True), gr.update(interactive=False)
        stage = await asyncio.to_thread(shown.made, job, view.picture, before)
        details = await asyncio.to_thread(shown.details, job, lines)
        yield stage, shown.ended(job, texts.translate(job.error, command)), details, *ready

    def _job(
        self, tab: Tab, files: Sequence[Any], values: Mapping[str, Any], more: str, owner: str
    ) -> tuple[Job, list[Path], str]:
        """Lay out a job: its folder with the pictures, and its command line.

        Returns
        -------
        job : Job
        before : list of Path
            Pictures that are compared with what is made of them.
        imported : str
            The command before it; here, none.
        """
        command = self._commands[tab.command]
        options: dict[str, Any] = {}
        if "preview" in command.options:
            options["preview"] = shown.PREVIEW_EVERY
        arguments: list[str] = []
        begin = dict(tab.start)
        for name in (*tab.options, *tab.more):
            if command.options[name].flag:
                options[name] = values.get(name, begin.get(name))
        if tab.report:
            options["report"] = True
        for name, option in command.options.items():  # arguments, in the order of the command
            if not option.flag and name in (*tab.options, *tab.more):
                value = values.get(name) or begin.get(name) or option.default
                arguments += [word.strip() for word in str(value or "").split(BETWEEN)]
        command.line(arguments, options, more)  # before anything is laid
        _check_dropped(tab, files, {**options, **dict.fromkeys(command.named(more), True)})
        before: list[Path] = []
        folder = Path(tempfile.mkdtemp(prefix=f"{tab.command}-", dir=self.folder))
        try:
            for one, value in zip(tab.dropped, files, strict=True):
                paths = _files(value)
                for path in paths:
                    uploads.check(path)
                if one.folder and paths:
                    (folder / "pictures").mkdir()
                    uploads.lay(paths, folder / "pictures")
                    options[one.name] = "./pictures"
                    continue
                names = uploads.lay(paths, folder)
                if one.before:
                    before += [folder / name for name in names]
                if one in tab.pictures:
                    arguments += names
                elif names:
                    options[one.name] = names
            self._lay_recording(" ".join(map(str, (*arguments, *options.values()))), folder, owner)
            job = Job(command.line(arguments, options, more), folder, owner)
        except BaseException:
            remove(folder)
            raise
        self._of(owner).jobs.append(job)
        return job, before, ""

    def _lay_recording(self, text: str, folder: Path, owner: str) -> None:
        """Lay the recording that was dropped into a job's folder, if the job names it."""
        recording = self._of(owner).recording
        if isinstance(recording, Understood) and f"./{recording.folder.name}" in text:
            dropped.lay(recording, folder)

    def _of(self, owner: str) -> _Visitor:
        return self._visitors.setdefault(owner, _Visitor())

    def _site_chooser(self, form: gr.HTML) -> None:
        """List the recorded sites that are kept; the chosen one is written as the target."""
        encode = self._commands["encode"]
        with gr.Accordion("Recorded sites", open=False, elem_classes="probe-sites") as chooser:
            recording = gr.Dropdown(
                [],
                label="recording",
                info="Fitted on this computer, and with what.",
                visible=False,
                elem_classes="probe-recording",
            )
            site = gr.HTML(
                None,
                html_template="${rows}",
                js_on_load=(Path(__file__).parent / "sites.js").read_text("utf-8"),
                rows="",
                elem_classes="probe-plain probe-site",
            )
            note = gr.HTML(
                shown.quiet("Looking for them, which takes a few seconds the first time …"),
                elem_classes="probe-plain probe-note",
            )
            with gr.Accordion("Fit the sites of a recording", open=False):
                asked = forms.form(encode, ("dataset", "model"), shown={"model": "alexnet"})
                with gr.Row():
                    fit = gr.Button("Fit", size="sm", elem_classes="probe-fit")
                    cancel = gr.Button("Cancel", size="sm", interactive=False)
                progress = gr.HTML("", elem_classes="probe-plain probe-out")

        def opened(key: str | None) -> tuple[Any, Any, Any]:
            listed = sites.recordings()
            if not listed:
                hidden = gr.update(visible=False, choices=[], value=None)
                return hidden, gr.update(rows="", value=None), shown.quiet(sites.NONE_YET)
            if key in [value for _, value in listed]:
                return gr.update(choices=listed), gr.skip(), gr.skip()
            first = listed[0][1]
            return gr.update(visible=True, choices=listed, value=first), *changed(first)

        def changed(key: str) -> tuple[Any, Any]:
            try:
                return gr.update(rows=shown.sites(sites.of_recording(key), key), value=None), ""
            except ProbeError as error:
                return gr.update(rows="", value=None), shown.wrong(str(error))

        def chosen(key: str, number: str, values: Any) -> tuple[Any, Any]:
            try:
                meant = sites.choose(key, str(number))
            except ProbeError as error:
                return gr.skip(), shown.wrong(str(error))
            named = {"model": meant.model, "target": meant.target}
            return gr.update(value={**(values or {}), **named}), shown.quiet(meant.said)

        async def fitting(request: gr.Request, values: Any) -> AsyncIterator[Any]:
            owner = str(request.session_hash)
            text = {"model": "alexnet", **(values or {})}
            rest = [gr.skip()] * 3

            def make() -> tuple[Job, list[Path], str]:
                if not text.get("dataset"):
                    raise ProbeError("Name a recording first, such as v4 or sim-v4")
                return self._asked(encode, {}, text["dataset"], text["model"], owner)

            async for _, said, _, run, stop in self._follow(asyncio.to_thread(make), encode):
                yield said, run, stop, *rest
            yield gr.skip(), gr.skip(), gr.skip(), *opened(None)

        chooser.expand(opened, recording, [recording, site, note], **QUIET)
        recording.input(changed, recording, [site, note], **QUIET)
        site.input(chosen, [recording, site, form], [form, note], **QUIET)
        fit.click(fitting, asked, [progress, fit, cancel, recording, site, note], **QUIET)
        cancel.click(self._stops("encode"), None, None, **QUIET)

    def _asked(
        self,
        command: Command,
        options: Mapping[str, Any],
        dataset: str,
        model: str,
        owner: str,
        more: str = "",
    ) -> tuple[Job, list[Path], str]:
        """Lay out a job that asks something of a recording."""
        values = {"model": model, "dataset": dataset, **options}
        if "report" in command.options:
            values["report"] = True
        line = command.line((), values, more)
        visitor = self._of(owner)
        folder = Path(tempfile.mkdtemp(prefix=f"{command.name}-", dir=self.folder))
        try:
            self._lay_recording(dataset, folder, owner)
        except BaseException:
            remove(folder)
            raise
        recording = visitor.recording
        is_dropped = isinstance(recording, Understood) and f"./{recording.folder.name}" == dataset
        job = Job(line, folder, owner)
        visitor.jobs.append(job)
        return job, [], recording.imported if is_dropped else ""  # type: ignore[union-attr]

    def _recording_tab(self) -> None:
        """Make the tab on which a recording is dropped, or named, and asked."""
        commands = {tab.title: self._commands[tab.command] for tab in RECORDING}
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                gr.HTML(shown.quiet(ABOUT_RECORDING), elem_classes="probe-plain")
                drop = forms.drop(
                    "Drop a recording",
                    "its folder, or its files with the pictures: NWB, MATLAB, netCDF, HDF5, NumPy, "
                    "tables",
                )
                name = forms.form(self._commands["rsa"], ("dataset",), wide=True)
                reading = forms.form(
                    self._commands["datasets import"], (), READING,
                    folded="How dropped files are read",
                )  # fmt: skip
                understood = gr.HTML("", elem_classes="probe-plain probe-out probe-understood")
                question = gr.Radio(
                    list(commands), value=RECORDING[0].title, show_label=False,
                    elem_classes="probe-question",
                )  # fmt: skip
                questions = []
                for tab in RECORDING:
                    command = self._commands[tab.command]
                    # Which of them is seen is a matter of style: page.css.
                    with gr.Column(elem_id=f"ask-{tab.command}"):
                        gr.HTML(shown.quiet(command.about), elem_classes="probe-plain")
                        form = forms.form(command, tab.options, tab.more, dict(tab.start))
                        more = _more(command)
                    questions += [form, more]
                    self._checks(tab, form)
            with gr.Column(scale=5, min_width=320):
                with gr.Row():
                    run = gr.Button("Run", variant="primary", elem_classes="probe-run")
                    cancel = gr.Button("Cancel", interactive=False, elem_classes="probe-cancel")
                outcome = _Outcome(
                    run, cancel,
                    gr.HTML(
                        shown.stage("<p>The report appears here.</p>"),
                        elem_classes="probe-plain probe-out",
                    ),
                    gr.HTML("", elem_classes="probe-plain probe-out probe-progress"),
                    gr.HTML("", elem_classes="probe-plain probe-out probe-details"),
                )  # fmt: skip
        cancel.click(self._stops(*(tab.command for tab in RECORDING)), None, None, **QUIET)
        ask, importing = [questions[0], questions[2]], self._commands["datasets import"]

        async def read(
            request: gr.Request, files: Any, named: Any, options: Any
        ) -> AsyncIterator[Any]:
            visitor = self._of(str(request.session_hash))
            visitor.turn += 1
            turn, rest = visitor.turn, [gr.skip()] * 3
            visitor.recording, visitor.refused = "", ""
            text = str((named or {}).get("dataset", "")).strip()
            if not files and not text:
                yield "", *rest, gr.skip(), gr.skip()
                return
            yield shown.quiet("Reading …"), *rest, "", gr.skip()
            try:
                if files:
                    recording = await asyncio.to_thread(self._understand, files, options, visitor)
                    lines, made = recording.lines, recording.imported
                    offered = {"region": recording.regions, "subject": recording.subjects}
                    result: Understood | str = recording
                else:
                    lines = tuple(await asyncio.to_thread(dropped.named, text))
                    regions = dict(lines).get("region", "")
                    offered = {"region": tuple(regions.split(", "))}
                    made, result = "", text
            except ProbeError as error:
                if turn == visitor.turn:
                    visitor.refused = texts.translate(str(error), importing)
                    asked = gr.update(opens=[texts.first(str(error), importing, READING), turn])
                    yield shown.wrong(visitor.refused), *rest, gr.skip(), asked
                return
            if turn != visitor.turn:
                return
            visitor.recording = result
            told = gr.update(words={k: list(v) for k, v in offered.items()})
            unnamed = gr.update(value={}) if files and text else gr.skip()
            yield shown.lines(lines, made), unnamed, told, told, gr.skip(), gr.skip()

        parts = [understood, name, *ask, outcome.progress, reading]
        for control in (drop, name, reading):
            control.input(read, [drop, name, reading], parts, **QUIET)

        async def go(request: gr.Request, title: str, *values: Any) -> AsyncIterator[Any]:
            k = list(commands).index(title)
            tab, command = RECORDING[k], commands[title]
            options, text = values[2 * k] or {}, values[2 * k + 1] or ""
            checked, wrong = self._checked(tab, options)
            owner = str(request.session_hash)
            visitor = self._of(owner)
            if not wrong and (wrong := _lacks_region(visitor.recording, command, options, text)):
                checked |= gr.update(errors={"region": wrong})
            told = [checked if one is tab else gr.skip() for one in RECORDING]
            yield *told, *(_refused(wrong) if wrong else [gr.skip()] * 5)
            if wrong:
                return

            def make() -> tuple[Job, list[Path], str]:
                if not visitor.recording:
                    raise ProbeError(
                        visitor.refused or "Drop a recording, or name one, such as v4 or sim-v4"
                    )
                recording = visitor.recording
                dataset = recording if isinstance(recording, str) else f"./{recording.folder.name}"
                others = {n: options[n] for n in (*tab.options, *tab.more) if n in options}
                model = others.pop("model", dict(tab.start)["model"])
                return self._asked(command, others, dataset, model, owner, text)

            async for parts in self._follow(asyncio.to_thread(make), command):
                yield gr.skip(), gr.skip(), *parts

        run.click(go, [question, *questions], [*ask, *outcome.parts], **QUIET)

    def _understand(self, files: Any, options: Any, visitor: _Visitor) -> Understood:
        """Read what was dropped, in a folder of its own."""
        folder = Path(tempfile.mkdtemp(prefix="recording-", dir=self.folder))
        visitor.folders.append(folder)
        said = {k: str(v) for k, v in (options or {}).items() if k in READING}
        errors = forms.check(self._commands["datasets import"], READING, said)
        if errors:
            raise ProbeError(next(iter(errors.values())))
        return dropped.understand(dropped.files_of(files, self.uploaded), said, folder)

    async def _leave(self, request: gr.Request) -> None:
        """Cancel what somebody who left the page has under way, and remove what there was."""
        owner = str(request.session_hash)
        self.jobs.cancel(owner)
        visitor = self._visitors.pop(owner, _Visitor())
        for job in visitor.jobs:
            while not job.over:
                await asyncio.sleep(POLL_INTERVAL_S)
            remove(job.folder)
        for folder in visitor.folders:
            remove(folder)


def _warm_sites() -> None:
    """Import what lists recorded sites, which takes seconds, before somebody opens the list."""
    importlib.import_module("probe.encoding.kept")


def _warm_recordings() -> None:
    importlib.import_module("probe.recordings.importing.read")


def _look(
    values: Mapping[str, Any], command: Command
) -> tuple[dict[str, Any], list[str], dict[str, str]]:
    """Return what the preset sets that is chosen, for the network that is chosen.

    Returns
    -------
    look : dict
        Values of options. Where there is no such preset, those of the network's first.
    presets : list of str
        Those that the network has, the first of which holds where none is chosen.
    errors : dict
        What is wrong, by the names of options.
    """
    from probe.models.registry import parse
    from probe.synthesis.presets import LOOKS, look_of
    from probe.synthesis.settings import LOOK

    model = str(values.get("model") or command.options["model"].default)
    preset = str(values.get("preset") or "") or None
    errors: dict[str, str] = {}
    architecture = ""
    try:
        architecture = parse(model).architecture
    except ProbeError as error:
        errors["model"] = texts.translate(str(error), command)
    presets = list(LOOKS.get(architecture, ()))
    if preset not in (None, *presets):
        choices = f"choose {', '.join(presets)}" if presets else "it has none"
        if not errors:
            errors["preset"] = f"{model} has no look {preset!r}: {choices}"
        preset = None
    look = look_of(architecture, preset, model)
    shown_values = {name: getattr(look, name) for name in (*LOOK, "layers")}
    return shown_values | ({"preset": presets[0]} if presets else {}), presets, errors


def _check_dropped(tab: Tab, files: Sequence[Any], options: Mapping[str, Any]) -> None:
    """Refuse a job for which the pictures are missing.

    Raises
    ------
    ProbeError
        If there are none, nor an option that names them or does without.
    """
    empty = {one.name: one for one, value in zip(tab.dropped, files, strict=True) if not value}
    if any(options.get(name) for name in INSTEAD) or (
        {field.name for field in tab.dropped} & set(INSTEAD) - set(empty)
    ):
        return
    missing = [one.needed for one in empty.values() if one.needed and not options.get(one.name)]
    if missing:
        raise ProbeError(f"Drop {' and '.join(missing)} first")


def _refused(message: str) -> list[Any]:
    """Return what a result's place shows of a job that never began."""
    return [gr.skip(), shown.wrong(message), "", gr.skip(), gr.skip()]


def _lacks_region(
    recording: Understood | str, command: Command, options: Mapping[str, Any], more: str
) -> str:
    """Return what to say where none of several regions was chosen; of a named recording, nothing.

    More options that cannot be read are refused where they are.
    """
    if isinstance(recording, str) or len(recording.regions) < 2 or options.get("region"):
        return ""
    with contextlib.suppress(ProbeError):
        if "region" in command.named(more):
            return ""
    return f"The recording has the regions {', '.join(recording.regions)}: choose one, or all"


def _more(command: Command) -> gr.Textbox:
    return gr.Textbox(
        label="more options",
        info=f"As `probe {command.name} --help` lists them, which may stand here.",
        placeholder="--help",
        max_lines=3,
        elem_classes="probe-more",
    )


def _drop(field: Field) -> gr.File:
    """Make a place where pictures are dropped, and what shows them."""
    kinds = [*images.SUFFIXES, *(images.MOVIES if field.films else ())]
    drop = gr.File(
        label=field.label,
        file_count="multiple" if field.many else "single",
        file_types=kinds,
        height=148,
        elem_classes=f"probe-drop probe-{field.name}{' probe-several' if field.many else ''}",
    )
    small = gr.HTML("", elem_classes="probe-plain probe-shown")
    drop.change(lambda value: shown.small(_files(value)), drop, small, **QUIET)
    return drop


def _files(value: Any) -> list[Path]:
    """Return the files of a place where some were dropped."""
    if not value:
        return []
    return [Path(str(file)) for file in (value if isinstance(value, list) else [value])]


def _without_preview(arguments: Sequence[str]) -> list[str]:
    """Return a command line without what only the page is after."""
    words = list(arguments)
    with suppress(ValueError):
        k = words.index("--preview")
        if words[k + 1] == str(shown.PREVIEW_EVERY):
            del words[k : k + 2]
    return words
