"""A page of HTML that stands by itself: it fetches nothing, and only its own script runs."""

from __future__ import annotations

import functools
import hashlib
import json
import shlex
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata, resources
from typing import Any

from markupsafe import Markup

from probe.assets.manifest import Publication
from probe.reporting.parts import Section
from probe.reporting.references import bibliography, letters_of, with_letters


def page_of(sections: Sequence[Section], title: str) -> str:
    """Return sections as the text of one HTML page.

    All text is escaped; styles and the script are the page's own, which its Content-Security-Policy
    allows by their hashes, and nothing else.

    Parameters
    ----------
    sections : sequence of Section
    title : str
    """
    script, style = _text("page.js"), _text("page.css")
    cited = [work for one in _all(sections) for work in one.references]
    works = bibliography(cited)
    sections = [_with_letters(one, works) for one in sections]
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return _template().render(
        title=title,
        sections=_numbered(sections),
        policy=policy,
        script=Markup(script),
        style=Markup(style),
        works=[(key, _listed(key, work)) for key, work in works],
        bibtex="\n\n".join(work.bibtex(key) for key, work in works),
        terms=list({term.what: term for one in _all(sections) for term in one.terms}.values()),
        simulated=any(one.simulated for one in _all(sections)),
        version=metadata.version("cnn-probe"),
    )


def _all(sections: Sequence[Section]) -> list[Section]:
    """Return sections with their parts, in the order of the page."""
    return [one for section in sections for one in (section, *_all(section.parts))]


def _with_letters(section: Section, works: Sequence[tuple[str, Publication]]) -> Section:
    """Return a section whose methods tell apart works that read alike."""
    return replace(
        section,
        methods=[with_letters(text, section.references, works) for text in section.methods],
        parts=[_with_letters(part, works) for part in section.parts],
    )


def _listed(key: str, work: Publication) -> str:
    """Return a work as a list of references has it, with its letter."""
    return str(work).replace(f"({work.year})", f"({work.year}{letters_of(key, work)})", 1)


def _numbered(sections: Sequence[Section], start: str = "s") -> list[tuple[str, Section, Any]]:
    """Return sections with an identifier each, and their parts in the same form."""
    return [
        (f"{start}{k}", section, _numbered(section.parts, f"{start}{k}-"))
        for k, section in enumerate(sections, 1)
    ]


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@functools.cache
def _text(name: str) -> str:
    return resources.files("probe.reporting").joinpath(name).read_text("utf-8")


@functools.cache
def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"command": _command, "setting": _setting}
    return environment.from_string(_text("page.html"))


def _command(words: Sequence[Any] | str | None) -> str:
    """Return a command line that can be copied."""
    if not words:
        return ""
    return words if isinstance(words, str) else shlex.join(map(str, words))


def _setting(value: Any) -> str:
    """Return the value of a setting as a person reads it."""
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (Mapping, list, tuple)) and value:
        parts = list(value.values()) if isinstance(value, Mapping) else list(value)
        if any(isinstance(one, (Mapping, list, tuple)) and len(one) > 1 for one in parts):
            return json.dumps(value, ensure_ascii=False, default=str)
        if isinstance(value, Mapping):
            return "; ".join(f"{name} {_setting(one)}" for name, one in value.items())
        return ", ".join(map(_setting, parts))
    return str(value) if value not in ("", [], (), {}) else "—"
