"""Every public name and every command has a page in the documentation."""

import importlib
import importlib.util
import inspect
from pathlib import Path

import pytest

import probe
from probe.cli import _COMMANDS, _GROUPS

PATH = Path(__file__).parents[1] / "docs" / "generate.py"


@pytest.fixture(scope="module")
def generate():
    specification = importlib.util.spec_from_file_location("generate", PATH)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_every_public_name_has_a_page(generate):
    packages = [name for name in probe.__all__ if inspect.ismodule(getattr(probe, name))]
    assert {f"probe.{name}" for name in packages} <= set(generate.ROOMS)
    documented = {id(getattr(importlib.import_module(room), name))
                  for room in generate.ROOMS for name in generate.public_names(room)}  # fmt: skip
    for room in generate.ROOMS:
        package = importlib.import_module(room)
        for name in package.__all__:
            value = getattr(package, name)
            assert inspect.ismodule(value) or id(value) in documented, f"{room}.{name}"


def test_every_command_has_a_page_that_explains_its_options(generate):
    pages = generate.command_pages()
    assert {f"{name}.md" for name in [*_COMMANDS, *_GROUPS]} | {"index.md"} == set(pages)
    for name in _COMMANDS:
        page = pages[f"{name}.md"]
        assert f"# probe {name}" in page
        assert "`--help`\n: " in page or "`-h, --help`\n: " in page
    for name, command in [("cache", "prune"), ("datasets", "import")]:
        assert f"## probe {name} {command}\n" in pages[f"{name}.md"]


def test_what_is_markup_in_a_help_text_is_shown_as_it_is(generate):
    assert generate.escaped("--mask *.png, `a_b` and <path>") == (
        r"--mask \*.png, `a_b` and \<path\>"
    )


def test_all_findings_are_listed_with_what_they_say(generate):
    page = generate.findings_pages()["index.md"]
    scripts = sorted((PATH.parents[1] / "findings").glob("*.sh"))
    assert scripts
    for script in scripts:
        assert f"## {script.stem}\n" in page
    assert page.count("**Package.**") == page.count("**Seen.**") == len(scripts)
