"""Controls of the page: the options of a command, and where folders and files are dropped.

A form holds what a user changed, by the names of parameters, and nothing else: where nothing was
changed it shows what the command, or a preset, does by itself.
"""

from __future__ import annotations

import ast
import functools
import html
import importlib.util
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from probe.errors import ProbeError
from probe.studio import texts
from probe.studio.commands import Command, Option

FREE = (
    "model", "method", "dataset", "region", "images", "layer", "layers", "weights", "judge", "axes",
)  # fmt: skip
"""Options of which words are known, and others can be typed."""

UNLISTED = ("target",)
"""Options whose completion does not know what else there is; the page lists classes for them."""

CLASS_LIST = "probe-classes"
"""Where on the page the names of classes are, once for all fields."""

SHORT_HELP = 100
"""Characters of a help text that is shown whole."""

STEEP = 0.1
"""Where a default lies below this share of its range, the low end has most of the slider."""

_FOLDER = Path(__file__).parent


def form(
    command: Command,
    names: Sequence[str],
    more: Sequence[str] = (),
    shown: Mapping[str, Any] | None = None,
    between: str = "",
    offered: Mapping[str, Sequence[str]] | None = None,
    *,
    wide: bool = False,
    folded: str = "More",
) -> gr.HTML:
    """Make the controls of some options.

    Parameters
    ----------
    command : Command
    names, more : sequence of str
        Of the options, in order; the second are folded away.
    shown : mapping
        What a field shows until it is changed, where that is not the option's default.
    between : str
        What stands between several values of an argument, to be said in its help.
    offered : mapping
        Words to choose from, where they are not all of the option's.
    wide : bool
        Whether each field has a row of its own.
    folded : str
        What stands over the second.
    """
    shown, options = shown or {}, dict(command.options)
    for name, some in (offered or {}).items():
        options[name] = replace(options[name], words=tuple(some))

    def fields(some: Sequence[str]) -> str:
        content = "".join(_field(command, options[n], shown, between) for n in some)
        return f'<div class="probe-form{" probe-wide" if wide else ""}">{content}</div>'

    content = fields(names) if names else ""
    if more:
        head = f"<summary>{html.escape(folded)}</summary>"
        content += f'<details class="probe-further">{head}{fields(more)}</details>'
    return gr.HTML(
        {},
        html_template=template(content),
        js_on_load=(_FOLDER / "form.js").read_text("utf-8"),
        shown=defaults([command.options[name] for name in (*names, *more)], shown),
        errors={},
        words={},
        opens=[],
        elem_classes="probe-plain",
    )


def template(content: str) -> str:
    """Return HTML as a template in which nothing is filled in."""
    for mark in ("\\", "`", "$", "{"):
        content = content.replace(mark, f"&#{ord(mark)};")
    return content


def defaults(options: Sequence[Option], shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return what fields show until they are changed."""
    values = {option.name: shown.get(option.name, option.default) for option in options}
    return {name: value for name, value in values.items() if value is not None}


def drop(label: str, hint: str) -> gr.HTML:
    """Make a place for a folder, or for files of any kind; its value lists what was uploaded."""
    return gr.HTML(
        [],
        js_on_load=(_FOLDER / "drop.js").read_text("utf-8"),
        html_template=template(
            f"""<div class="probe-zone" role="group" aria-label="{html.escape(label)}">
          <strong>{html.escape(label)}</strong><p>{html.escape(hint)}</p>
          <div><button type="button" data-opens="probe-folder">Choose a folder</button>
          <button type="button" data-opens="probe-files">Choose files</button>
          <button type="button" class="probe-clear">Clear</button></div>
          <p class="probe-came" aria-live="polite"></p>
          <input class="probe-folder" type="file" webkitdirectory hidden>
          <input class="probe-files" type="file" multiple hidden></div>"""
        ),
        elem_classes="probe-plain",
    )


def check(command: Command, names: Collection[str], values: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with values, by the names of options, in the words of the command."""
    errors = {}
    for name, value in values.items():
        if name in names:
            try:
                command.check(name, value)
            except ProbeError as error:
                errors[name] = texts.translate(str(error), command)
    return errors


def class_list() -> str:
    """Return the names of classes, from which fields of targets offer some."""
    listed = "".join(f"<option>{html.escape(name)}</option>" for name in class_names())
    return f'<datalist id="{CLASS_LIST}">{listed}</datalist>'


def _field(command: Command, option: Option, shown: Mapping[str, Any], between: str) -> str:
    """Return a label, what a value is written in, and the help text."""
    name, key = option.name, f"{command.name.replace(' ', '-')}-{option.name}"
    label = html.escape(texts.label(command.name, name))
    hint = html.escape(texts.placeholder(command, option))
    entry = _entry(option, key, shown, label, hint)
    summary = texts.explain(command.name, option)
    reset = (
        f'<button type="button" class="probe-reset" aria-label="{label}: back to the default" '
        'title="back to the default">↺</button>'
    )
    filled = " data-filled" if name in shown and option.default is None and option.flag else ""
    more_values = f" Several: with {between} between." if not option.flag and between else ""
    return (
        f'<div class="probe-field probe-option-{name}" data-name="{name}"{filled}>'
        f'<div class="probe-label"><label for="{key}">{label}</label>{reset}</div>'
        f'<div class="probe-entry">{entry}</div>'
        f'<p class="probe-refused" role="alert" id="{key}-refused" hidden></p>'
        f'<div class="probe-help" id="{key}-help">'
        f"{_help(option.help + more_values, label, option.words, summary, option.flag)}</div>"
        "</div>"
    )


def _entry(
    option: Option, key: str, shown: Mapping[str, Any], label: str = "", hint: str = ""
) -> str:
    """Return what a value is written in; label and hint are escaped already."""
    value = shown.get(option.name, option.default)
    base = f'id="{key}" data-entry aria-describedby="{key}-help {key}-refused"'
    if option.kind is bool:
        return f'<input type="checkbox" {base}>'
    words = () if option.name in UNLISTED else option.words
    if words and option.name not in FREE:
        unset = f'<option value="">{hint or "–"}</option>' if value is None else ""
        listed = "".join(f"<option>{html.escape(word)}</option>" for word in words)
        return f"<select {base}>{unset}{listed}</select>"
    text = f'type="text" {base} placeholder="{hint}" data-placeholder="{hint}" autocomplete="off"'
    if option.kind in (int, float):
        slider = "" if value is None else _slider(option, float(value), label)
        return f'{slider}<input {text} inputmode="decimal" class="probe-number">'
    if option.name in UNLISTED:
        return f'<input {text} list="{CLASS_LIST}">'
    if option.name in FREE:
        listed = "".join(f"<option>{html.escape(word)}</option>" for word in words)
        return f'<input {text} list="{key}-words"><datalist id="{key}-words">{listed}</datalist>'
    return f"<input {text}>"


def _slider(option: Option, value: float, label: str) -> str:
    """Return a slider over the range of a number, if its bounds are declared."""
    if option.range is None:
        return ""
    low, high = option.range
    steep = 0 <= value - low < STEEP * (high - low)
    step = 1.0 if option.kind is int else 10.0 ** math.floor(math.log10(value - low or 1)) / 10
    if not steep and option.kind is float:
        step = 10.0 ** math.floor(math.log10(high - low)) / 100
    return (
        f'<input type="range" min="0" max="1" step="0.005" aria-label="{label}, slider" '
        f'data-low="{low:g}" data-high="{high:g}" data-step="{step:g}" '
        f'data-power="{3 if steep else 1}">'
    )


def _help(text: str, label: str, words: Collection[str], summary: str = "", flag: str = "") -> str:
    """Show a help text: whole if it is short, else its first sentence, and the rest on demand.

    Where the page has a sentence of its own, that is shown, and all of the text on demand.
    """
    if summary:
        named = f"<code>{html.escape(flag)}</code> " if flag else ""
        return (
            f'<span>{_marked(summary)}</span> <details><summary aria-label="more about {label}">'
            f"more</summary>{named}{_marked(text)}</details>"
        )
    if len(text) > SHORT_HELP and text.partition(":")[0] in words:  # and each is explained
        return (
            f'<details><summary aria-label="what the words of {label} mean">what they mean'
            f"</summary>{_marked(text)}</details>"
        )
    if len(text) <= SHORT_HELP:
        return f"<span>{_marked(text)}</span>"
    first, rest = _split(text)
    if not rest:
        return f"<span>{_marked(text)}</span>"
    return (
        f"<span>{_marked(first)}</span> <details><summary "
        f'aria-label="more about {label}">more</summary>{_marked(rest)}</details>'
    )


@functools.cache
def class_names() -> tuple[str, ...]:
    """Return the names of ImageNet's classes, read from torchvision's source, without torch."""
    spec = importlib.util.find_spec("torchvision")
    assert spec is not None  # a dependency
    assert spec.submodule_search_locations is not None
    source = Path(spec.submodule_search_locations[0], "models", "_meta.py")
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and "_IMAGENET_CATEGORIES" in ast.unparse(node.targets[0]):
            return tuple(ast.literal_eval(node.value))
    return ()  # a torchvision that keeps them elsewhere: they can be typed all the same


def _marked(text: str) -> str:
    """Return a text as HTML; what stands in `…` is a command."""
    return re.sub("`(.+?)`", r"<code>\1</code>", html.escape(text))


def _split(text: str) -> tuple[str, str]:
    """Split a text where it can be understood so far: after a sentence, or a part of it."""
    ends = [m.end() for m in re.finditer(r"[.;:](?=\s)", text)]
    ends += [m.start() for m in re.finditer(r" \(", text)]
    if not ends:
        return text, ""
    first = min(ends)
    return text[:first].rstrip(":; "), text[first:].strip()
