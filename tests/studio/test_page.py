"""Controls of the page, as far as they do not need a browser."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from probe import cli
from probe.cli import complete


@pytest.fixture(scope="module")
def page() -> ModuleType:
    """Imports gradio, which takes seconds."""
    pytest.importorskip("gradio")
    from probe.studio import page

    return page


@pytest.mark.parametrize("command", ["dream", "saliency", "visualize"])
def test_a_target_is_typed_also_where_sites_are_kept(
    page: ModuleType, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Completion knows sites alone, and the field takes any class and channel all the same."""
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path))
    (tmp_path / "encodings" / "one").mkdir(parents=True)
    about = json.dumps({"dataset": "v4"})
    (tmp_path / "encodings" / "one" / "encoding.json").write_text(about)
    assert complete.targets("site:")
    control = page._control(page.Command(cli.app, command).options["target"], "tabby")
    assert isinstance(control, page.gr.Textbox)
    assert control.value == "tabby"
    assert control.preprocess("conv5:84") == "conv5:84"


def test_what_is_a_command_stands_out_and_nothing_is_markup(page: ModuleType) -> None:
    assert page._quiet("`probe x <y>` & z") == (
        '<p class="probe-quiet"><code>probe x &lt;y&gt;</code> &amp; z</p>'
    )
