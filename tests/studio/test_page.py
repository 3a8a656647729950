"""Forms and what is shown of jobs, as far as they do not need a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe import cli
from probe.cli import complete
from probe.errors import ProbeError
from probe.studio import tabs, texts
from probe.studio.commands import Command
from probe.synthesis.presets import LOOKS


@pytest.fixture(scope="module")
def forms() -> ModuleType:
    """Imports gradio, which takes seconds."""
    pytest.importorskip("gradio")
    from probe.studio import forms

    return forms


@pytest.fixture(scope="module")
def page(forms: ModuleType) -> ModuleType:
    from probe.studio import page

    return page


@pytest.fixture(scope="module")
def shown(forms: ModuleType) -> ModuleType:
    from probe.studio import shown

    return shown


@pytest.mark.parametrize("command", ["dream", "saliency", "visualize", "atlas"])
def test_a_target_is_typed_also_where_sites_are_kept(
    forms: ModuleType, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Completion knows sites alone, and the field takes any class and channel all the same."""
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path))
    (tmp_path / "encodings" / "one").mkdir(parents=True)
    about = json.dumps({"dataset": "v4"})
    (tmp_path / "encodings" / "one" / "encoding.json").write_text(about)
    assert complete.targets("site:")
    entry = forms._entry(Command(cli.app, command).options["target"], "target", {})
    assert entry.startswith('<input type="text"')
    assert f'list="{forms.CLASS_LIST}"' in entry  # of classes, and no select
    assert "site:" not in entry


@pytest.mark.parametrize("tab", [*tabs.TABS, *tabs.RECORDING], ids=lambda tab: tab.command)
def test_every_option_on_the_page_is_one_of_its_command(forms: ModuleType, tab: tabs.Tab) -> None:
    command = Command(cli.app, tab.command)
    taken = {field.name for field in tab.dropped if field not in tab.pictures}
    for name in (*tab.options, *tab.more, *taken):
        assert command.options[name].help or not command.options[name].flag
    assert len({*tab.options, *tab.more}) == len(tab.options) + len(tab.more)
    for name, value in tab.start:
        command.check(name, value)


def test_help_texts_are_whole(forms: ModuleType) -> None:
    """What is folded away is there, word for word."""
    for tab in (*tabs.TABS, *tabs.RECORDING):
        command = Command(cli.app, tab.command)
        for name in (*tab.options, *tab.more):
            option = command.options[name]
            text, summary = option.help, texts.explain(tab.command, option)
            content = forms._help(text, name, option.words, summary)
            content = content.replace(f"<span>{forms._marked(summary)}</span>", "", bool(summary))
            content = re.sub(r"<summary.*?</summary>", " ", content)
            plain = re.sub(r"<.*?>", "", content)
            words = re.findall(r"\w+", text)
            assert re.findall(r"\w+", plain.replace("&#x27;", "'").replace("&gt;", ">")) == words


@given(st.text(alphabet="ab .:;()`,", max_size=300))
def test_a_text_is_split_without_a_loss(text: str) -> None:
    forms = pytest.importorskip("probe.studio.forms")
    first, rest = forms._split(text)
    letters = re.sub(r"[^ab]", "", text)
    assert re.sub(r"[^ab]", "", first + rest) == letters


def test_sliders_are_of_declared_ranges(forms: ModuleType) -> None:
    dream = Command(cli.app, "dream").options
    strength = forms._slider(dream["strength"], 1.5, "Strength")
    assert 'data-low="0" data-high="64" data-step="0.1" data-power="3"' in strength
    assert 'data-low="0" data-high="1" data-step="0.01" data-power="1"' in forms._slider(
        dream["colour"], 1.0, "Colour"
    )
    assert forms._slider(dream["steps"], 15, "Steps") == ""


def test_a_preset_shows_what_it_sets(page: ModuleType) -> None:
    dream = Command(cli.app, "dream")
    look, presets, errors = page._look({"preset": "subtle"}, dream)
    assert (tuple(presets), errors) == (tuple(LOOKS["vgg16"]), {})
    subtle = LOOKS["vgg16"]["subtle"]
    assert (look["strength"], look["steps"]) == (subtle.strength, subtle.steps)
    assert look["layers"] == subtle.layers
    assert page._look({}, dream)[0]["layers"] == LOOKS["vgg16"]["creatures"].layers
    of_small, presets, _ = page._look({"model": "squeezenet1_1"}, dream)
    assert of_small["layers"] == LOOKS["squeezenet1_1"]["eyes"].layers
    assert presets == list(LOOKS["squeezenet1_1"])


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"preset": "swirls"}, ("preset", "vgg16 has no look 'swirls': choose creatures, cities")),
        ({"preset": "eyes", "model": "resnet18"}, ("preset", "resnet18 has no look 'eyes'")),
        ({"model": "vgg61"}, ("model", "unknown model 'vgg61'")),
    ],
)
def test_what_is_refused_leaves_the_sliders_where_they_are(
    page: ModuleType, values: dict[str, str], error: tuple[str, str]
) -> None:
    look, presets, errors = page._look(values, Command(cli.app, "dream"))
    assert list(errors) == [error[0]]
    assert errors[error[0]].startswith(error[1])
    assert values.get("preset") not in presets
    assert min(look["strength"], look["colour"], look["steps"]) > 0


@pytest.mark.parametrize(
    ("regions", "options", "more", "lacks"),
    [
        (("V4", "IT"), {}, "", True),
        (("V4", "IT"), {"region": ""}, "--n-resamples 10", True),
        (("V4", "IT"), {"region": "IT"}, "", False),
        (("V4", "IT"), {}, "--region all", False),
        (("V4",), {}, "", False),
    ],
)
def test_a_recording_of_several_regions_asks_for_one(
    page: ModuleType,
    tmp_path: Path,
    regions: tuple[str, ...],
    options: dict[str, str],
    more: str,
    lacks: bool,
) -> None:
    from probe.studio.dropped import Understood

    rsa = Command(cli.app, "rsa")
    recording = Understood(tmp_path, (), regions, ("A",))
    said = page._lacks_region(recording, rsa, options, more)
    assert bool(said) == lacks
    assert not said or said == "The recording has the regions V4, IT: choose one, or all"
    assert page._lacks_region("majaj2015", rsa, options, more) == ""


def test_there_are_the_classes_of_imagenet(forms: ModuleType) -> None:
    from torchvision.models import AlexNet_Weights

    assert list(forms.class_names()) == AlexNet_Weights.DEFAULT.meta["categories"]
    assert dict(next(t for t in tabs.TABS if t.command == "visualize").start)["target"] in (
        forms.class_names()
    )


def test_pictures_are_asked_for_by_what_is_dropped(page: ModuleType) -> None:
    by_name = {tab.command: tab for tab in tabs.TABS}

    def missing(command: str, files: list[object], **options: object) -> str:
        try:
            page._check_dropped(by_name[command], files, options)
        except ProbeError as error:
            return str(error)
        return ""

    assert missing("dream", [None] * 4) == "Drop a picture first"
    assert missing("style", [None] * 4) == "Drop a picture and a style first"
    assert missing("style", ["a.png", None, None, None]) == "Drop a style first"
    assert missing("atlas", [None]) == "Drop pictures first"
    assert missing("atlas", [None], images="v4") == ""
    assert missing("dream", [None, None, None, "out.png"]) == ""  # once more
    assert missing("dream", [None] * 4, demo=True) == ""
    assert missing("visualize", [None]) == missing("filters", [None] * 2) == ""


def test_what_is_a_command_stands_out_and_nothing_is_markup(shown: ModuleType) -> None:
    assert shown.quiet("`probe x <y>` & z") == (
        '<p class="probe-quiet"><code>probe x &lt;y&gt;</code> &amp; z</p>'
    )


def test_names_from_files_are_no_markup(shown: ModuleType, tmp_path: Path) -> None:
    from probe.studio.sites import Listed

    nan, bad = float("nan"), '<img src=x onerror="alert(1)">'
    listed = [
        Listed("all", bad, 0.5, nan, nan, nan, bad, None),
        Listed("0", bad, 0.5, 0.4, 0.6, 0.64, bad, (0.25, 0.75, 0.1)),
    ]
    content = shown.sites(listed, '"key"') + shown.lines([(bad, bad)], bad) + shown.wrong(bad)
    assert "<img" not in content
    assert 'cx="75.0" cy="25.0" r="10.0"' in content
    assert "r 0.50 [0.40, 0.60], highest 0.80" in content
    assert shown.sites([Listed("3", "a", nan, nan, nan, nan, "l", None)], "k").count("no r") == 1
    table = tmp_path / "table.csv"
    table.write_text(f"layer,r\n{bad.replace(',', '')},0.123456\n")
    assert "<img" not in shown._table(table)
    assert "<td>0.1235</td>" in shown._table(table)


def test_a_report_is_in_a_frame_that_reaches_nothing(shown: ModuleType, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text('<p title="a">x</p><script>parent.document.title = "taken"</script>')
    frame = shown._report(report)
    assert 'sandbox="allow-scripts"' in frame
    assert "<script" not in frame
    assert frame.count("<iframe") == frame.count("</iframe>") == 1


def test_a_picture_has_its_report_below(shown: ModuleType, tmp_path: Path) -> None:
    """Of a folder, the report has the figures in it and is shown alone."""
    from PIL import Image

    from probe.studio.jobs import Job

    job = Job(("saliency", "cat.png"), tmp_path, state="done")
    Image.new("RGB", (8, 8)).save(tmp_path / "cat-grad-cam.png")
    (tmp_path / "cat-grad-cam.html").write_text("<p>How it was made</p>")
    stage = shown.made(job, "", [])
    assert stage.index("<img") < stage.index("<iframe")
    assert "Download the report" in shown.ended(job, "")
    (tmp_path / "cat-grad-cam.html").rename(tmp_path / "report.html")
    assert "<img" not in shown.made(job, "", [])
    assert "<iframe" in shown.made(job, "", [])
