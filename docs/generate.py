"""Write the pages that follow from the code: the API, the command line, findings, tutorials.

They are written into folders that git ignores, and only where they have changed, so that Sphinx
reads no page twice.
"""

from __future__ import annotations

import importlib
import inspect
import re
import shutil
import textwrap
from pathlib import Path
from typing import Any

import typer.main

import probe

ROOT = Path(__file__).parents[1]

ROOMS = {
    "probe": "Start here: what a notebook needs",
    "probe.comparison": "Compare layers with recordings (RSA)",
    "probe.encoding": "Predict recorded sites",
    "probe.recordings": "Recordings",
    "probe.stimuli": "Stimuli",
    "probe.models": "Networks",
    "probe.targets": "Targets",
    "probe.attribution": "Saliency",
    "probe.synthesis": "Dreams, styles and visualisations",
    "probe.features": "Filters, maps and patches",
    "probe.tuning": "Tuning and invariance",
    "probe.classification": "Transfer",
    "probe.similarity": "RDMs and comparators",
    "probe.inference": "Inference",
    "probe.activations": "Activations",
    "probe.plots": "Plots",
    "probe.cluster": "Clusters",
}
"""What is documented, and under which heading."""


def write(docs: Path) -> None:
    """Write all generated pages below the folder of the sources."""
    for folder, pages in {
        "reference/python": python_pages(),
        "reference/command-line": command_pages(),
        "findings": findings_pages(),
    }.items():
        write_pages(docs / folder, pages)
    copy_tutorials(docs / "tutorials")
    # Of names that are public no longer, autosummary would leave the pages.
    documented = {f"{room}.{name}.rst" for room in ROOMS for name in public_names(room)}
    for path in (docs / "reference" / "python" / "names").glob("*.rst"):
        if path.name not in documented:
            path.unlink()


def write_pages(folder: Path, pages: dict[str, str]) -> None:
    """Bring a folder to hold these pages and no others."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_file() and path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def public_names(room: str) -> list[str]:
    """Return the public names of a package that have a page there: those of `probe` have one."""
    package = importlib.import_module(room)
    names = [
        name
        for name in package.__all__
        if not inspect.ismodule(value := getattr(package, name))
        and (room == "probe" or getattr(probe, name, None) is not value)
    ]
    return sorted(names, key=lambda name: (name.isupper(), name.lower()))


def names_of_probe(room: str) -> list[str]:
    """Return the public names of a package that users reach, and find documented, as `probe.…`."""
    package = importlib.import_module(room)
    return sorted(
        name
        for name in package.__all__
        if name in probe.__all__
        and getattr(probe, name) is getattr(package, name)
        and not inspect.ismodule(getattr(probe, name))
    )


def python_pages() -> dict[str, str]:
    """Return a page for each room, whose names have pages of their own."""
    pages = {}
    for room, heading in ROOMS.items():
        text = (inspect.getdoc(importlib.import_module(room)) or "").split("\n\n>>>")[0]
        names = "\n".join(f"   {name}" for name in public_names(room))
        if room != "probe" and (of_probe := names_of_probe(room)):
            text += "\n\nSee also " + ", ".join(f":obj:`probe.{name}`" for name in of_probe) + "."
        pages[f"{room}.rst"] = (
            f"{heading}\n{'=' * len(heading)}\n\n``{room}``\n\n{text}\n\n"
            f".. currentmodule:: {room}\n\n"
            f".. autosummary::\n   :toctree: names\n   :nosignatures:\n\n{names}\n"
        )
    listing = "\n".join(f"   {room}" for room in ROOMS)
    pages["index.rst"] = (
        "Python\n======\n\nEvery public name, by what it is for. Importing ``probe`` imports "
        "nothing heavy: each name\nloads what it needs when it is first used.\n\n"
        f".. toctree::\n   :maxdepth: 1\n\n{listing}\n"
    )
    return pages


def command_pages() -> dict[str, str]:
    """Return a page for each command, from what ``--help`` is made of."""
    from probe.cli import app

    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="probe")
    pages = {
        f"{name}.md": command_page(command, context, f"probe {name}", 1)
        for name, command in group.commands.items()
    }
    listing = "\n".join(group.commands)
    pages["index.md"] = (
        "# Command line\n\nEvery command explains itself with `--help`, and "
        "`probe --install-completion` makes the shell complete\nnetworks, layers, recordings and "
        f"sites.\n\n```{{toctree}}\n:maxdepth: 1\n\n{listing}\n```\n"
    )
    return pages


def command_page(command: Any, parent: typer.Context, name: str, level: int) -> str:
    """Return a section on a command, with one on each command below it."""
    context = typer.Context(command, info_name=name.split()[-1], parent=parent)
    parts = [f"{'#' * level} {name}", *help_paragraphs(inspect.cleandoc(command.help or ""))]
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    parts.append(f"```text\n{usage}\n```")
    records = [
        (param.param_type_name, record)
        for param in command.get_params(context)
        if (record := param.get_help_record(context)) is not None
    ]
    for kind, heading in (("argument", "Arguments"), ("option", "Options")):
        entries = [
            f"`{flags}`\n: {escaped(text) or '…'}\n"
            for kind_of_param, (flags, text) in records
            if kind_of_param == kind
        ]
        if entries:
            parts += [f"**{heading}**", "\n".join(entries)]
    if command.epilog:
        parts.append(escaped(command.epilog))
    for below, subcommand in getattr(command, "commands", {}).items():
        parts.append(command_page(subcommand, context, f"{name} {below}", level + 1).rstrip())
    return "\n\n".join(parts) + "\n"


def help_paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a help text as Markdown; those whose lines count, as code."""
    parts = []
    for paragraph in text.split("\n\n"):
        if not paragraph.startswith("\b\n"):
            parts.append(escaped(paragraph))
            continue
        head, *lines = paragraph.removeprefix("\b\n").split("\n")
        parts.append(escaped(head))
        parts.append("```sh\n" + textwrap.dedent("\n".join(lines)) + "\n```")
    return parts


def findings_pages() -> dict[str, str]:
    """Return one page of what the scripts in findings/ say in their heads."""
    parts = [
        "# Findings\n\nWhat libraries, formats and data of this field do that few would expect. "
        "Each is a script in\n`findings/`, which installs the package named there, shows the "
        "behaviour on valid input without\n`probe`, and fails when it has changed.\n"
    ]
    for path in sorted((ROOT / "findings").glob("*.sh")):
        lines = path.read_text(encoding="utf-8").splitlines()[1:]
        comments = []
        for line in lines:
            if not line.startswith("#"):
                break
            comments.append(line)
        entries = re.split(r"^# (?=[A-Z][a-z]+: )", "\n".join(comments), flags=re.M)
        parts.append(f"## {path.stem}\n")
        for entry in filter(str.strip, entries):
            word, _, rest = re.sub(r"\n#\s+", " ", entry).strip().partition(": ")
            parts.append(f"**{word}.** {escaped(rest)}\n")
    return {"index.md": "\n".join(parts)}


def escaped(text: str) -> str:
    """Escape what Markdown would take for markup, but for `code`."""
    pieces = text.split("`")
    return "`".join(
        piece if k % 2 and k < len(pieces) - 1 else re.sub(r"([\\*_<>\[\]{}$#|])", r"\\\1", piece)
        for k, piece in enumerate(pieces)
    )


def copy_tutorials(folder: Path) -> None:
    """Copy the notebooks beside the page that lists them."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        copy = folder / path.name
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            shutil.copyfile(path, copy)
