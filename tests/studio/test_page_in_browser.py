"""The studio, as a person uses it: in a browser."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

import probe
from probe import cli, images
from probe.encoding import kept
from probe.synthesis.presets import LOOKS

if TYPE_CHECKING:
    from playwright import sync_api as api

pytestmark = [
    pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed")
    for name in ("playwright", "gradio")
]

LONG = 120
"""Seconds that anything may take on a busy machine."""

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip

QUICK = "--weights random --steps 4 --octaves 1 --layer features.3"
ENDLESS = "--weights random --steps 100000 --octaves 1 --layer features.3"


class Studio(NamedTuple):
    process: subprocess.Popen[str]
    address: str
    temporary: Path
    log: Path
    called: list[bytes]


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(scope="module")
def somewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def called() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy at which all must pass that leaves this computer, and what came to it."""
    came: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            while True:
                try:
                    one, _ = server.accept()
                except OSError:
                    return
                came.append(one.recv(1000))
                one.close()

        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", came
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def studio(somewhere: Path, called: tuple[str, list[bytes]]) -> Iterator[Studio]:
    """The command, in a folder of its own; that it ends and leaves nothing is checked."""
    work, temporary = somewhere / "work", somewhere / "temporary"
    work.mkdir()
    temporary.mkdir()
    proxy, came = called
    proxies = {name: proxy for word in ("http", "https", "all") for name in
               (f"{word}_proxy", f"{word}_proxy".upper())}  # fmt: skip
    log = somewhere / "log"
    with log.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", "from probe.cli import main; main()", "studio"],
            cwd=work, env=os.environ | proxies | {"TMPDIR": str(temporary)},
            stdout=subprocess.PIPE, stderr=said, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            address = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert address, line + log.read_text()
            yield Studio(process, address[0], temporary, log, came)
            process.send_signal(signal.SIGINT)
            assert process.wait(LONG) == 0
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    assert log.read_text() == ""
    assert list(work.iterdir()) == []
    assert [path for path in temporary.rglob("*") if path.is_file()] == []
    assert not list(temporary.glob("probe-studio-*"))
    assert came == []


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    from playwright import sync_api as api

    with api.sync_playwright() as playwright:
        try:
            opened = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        except api.Error as error:
            pytest.skip(f"no chromium: {error}")
        yield opened
        opened.close()


@pytest.fixture
def page(browser, studio) -> Iterator[api.Page]:
    """A tab of the browser; that it asks nobody but the studio is checked."""
    asked: set[str] = set()
    page = browser.new_page()
    page.set_default_timeout(LONG * 1000)
    page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
    page.goto(studio.address)
    page.get_by_role("tab", name="Dream").wait_for()
    yield page
    if not page.is_closed():
        page.close()
    assert asked <= {urlsplit(studio.address).netloc, ""}  # "" of pictures within the page


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, write_lab: Callable[[Path], Path]) -> Path:
    """A recording of one's own: 12 stimuli, 2 repetitions, 6 neuroids."""
    return write_lab(tmp_path_factory.mktemp("recording") / "lab")


@pytest.fixture
def own_encodings(tmp_path: Path) -> Iterator[None]:
    """No encodings are kept but those of the test: the studio shares the tests' cache."""
    others = tmp_path / "encodings"
    if kept.folder().exists():
        kept.folder().rename(others)
    yield
    shutil.rmtree(kept.folder(), ignore_errors=True)
    if others.exists():
        others.rename(kept.folder())


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a photo.png", exif=exif)
    return tmp_path / "a photo.png"


def begin(page: api.Page, command: str, picture: Path, more: str) -> api.Locator:
    """Fill in a tab of the page, and press its button."""
    tab = page.locator(f"#tab-{command}")
    page.get_by_role("tab", name=command.capitalize()).click()
    tab.locator("input[type=file]").first.set_input_files(picture)
    tab.locator(".probe-small img").wait_for()
    model = tab.locator(".probe-option-model input").first
    if not model.is_visible():
        tab.locator(".probe-further > summary").first.click()
    model.fill("squeezenet1_1")
    model.press("Tab")
    if not tab.locator(".probe-more textarea").is_visible():
        tab.get_by_role("button", name=re.compile("options as in a shell", re.I)).click()
    tab.locator(".probe-more textarea").fill(more)
    tab.locator("button.probe-run").click()
    return tab


def test_a_dream_is_that_of_the_shell(page, photo, tmp_path, monkeypatch):
    tab = begin(page, "dream", photo, QUICK)
    tab.get_by_text("Done in").wait_for()
    slider = tab.get_by_label("a-photo-dream.png: before to the left, after to the right")
    before = tab.locator("img.probe-before")
    assert before.get_attribute("alt") == "a-photo.png, before"
    assert before.bounding_box() == tab.get_by_alt_text("a-photo-dream.png, large").bounding_box()
    slider.focus()
    page.keyboard.press("End")
    assert before.evaluate("e => getComputedStyle(e).clipPath") == "inset(0px 0% 0px 0px)"
    page.keyboard.press("Home")
    assert before.evaluate("e => getComputedStyle(e).clipPath") == "inset(0px 100% 0px 0px)"
    line = tab.locator(".probe-command").inner_text()
    assert line == f"probe dream a-photo.png --model squeezenet1_1 {QUICK}"
    assert "dreams of  features.3" in tab.locator(".prose.probe-details").inner_text()
    got = {}
    for name in ("a-photo-dream.png", "a-photo-dream.png.json"):
        with page.expect_download() as download:
            tab.get_by_role("link", name=name, exact=True).click()
        assert download.value.suggested_filename == name
        got[name] = Path(download.value.path()).read_bytes()

    (tmp_path / "shell").mkdir()
    monkeypatch.chdir(tmp_path / "shell")
    shutil.copy(photo, "a-photo.png")
    monkeypatch.setattr(sys, "argv", shlex.split(line))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    for name, content in got.items():
        assert content == Path(name).read_bytes()
    assert images.about("a-photo-dream.png")["settings"]["steps"] == 4
    with Image.open("a-photo-dream.png") as opened:
        assert opened.mode == "RGBA"
        assert opened.getexif()[0x010F] == "A camera"


@pytest.mark.slow
def test_what_is_wrong_is_said_once(page, photo, tmp_path):
    Image.new("1", (12500, 8000)).save(tmp_path / "wall.png")
    (tmp_path / "letter.jpg").write_text("Dear Sir or Madam, this is no picture.")
    tab = page.locator("#tab-dream")
    drop, wrong = tab.locator("input[type=file]").first, tab.locator(".probe-wrong")
    drop.set_input_files(tmp_path / "wall.png")
    wrong.wait_for()
    assert wrong.all_inner_texts() == [
        "image 'wall.png' has 100 megapixels; the limit of this page is 50 megapixels"
    ]
    tab.get_by_label("Clear").first.click()
    wrong.wait_for(state="detached")
    drop.set_input_files(tmp_path / "letter.jpg")
    wrong.wait_for()
    assert wrong.all_inner_texts() == [
        "image 'letter.jpg' cannot be read (not identified as a picture; it begins with "
        "b'Dear Sir or Mada')"
    ]
    tab.get_by_label("Clear").first.click()
    wrong.wait_for(state="detached")
    tab.locator("button.probe-run").click()
    wrong.wait_for()
    assert wrong.all_inner_texts() == ["Drop a picture first"]
    begin(page, "dream", photo, "--octaves none")
    until(lambda: wrong.all_inner_texts() == ["Octaves (scales): expected a whole number"])
    tab.locator(".probe-more textarea").fill("-o <b>/x.png")
    tab.locator("button.probe-run").click()
    tab.get_by_text("'<b>/x.png' is elsewhere").wait_for()


@pytest.mark.slow
def test_previews_the_queue_and_cancelling(page, photo):
    dream = begin(page, "dream", photo, ENDLESS)
    dream.get_by_alt_text("so far").wait_for()
    first = dream.get_by_alt_text("so far").get_attribute("src")
    until(lambda: dream.get_by_alt_text("so far").get_attribute("src") != first)
    until(lambda: re.search(r"of 100,000 steps · 0:\d\d", dream.inner_text()))
    assert dream.locator("button.probe-run").is_disabled()

    saliency = begin(page, "saliency", photo, "--weights random")
    saliency.get_by_text("In the queue: 1 before it").wait_for()
    page.get_by_role("tab", name="Dream").click()
    dream.locator("button.probe-cancel").click()
    dream.get_by_text("Cancelled. What was finished is kept").wait_for()
    assert dream.get_by_alt_text("so far").is_visible()
    assert dream.locator("button.probe-run").is_enabled()
    page.get_by_role("tab", name="Saliency").click()
    saliency.get_by_text("Done in").wait_for()
    assert saliency.get_by_alt_text("a-photo-grad-cam.png, large").is_visible()


@pytest.mark.slow
def test_a_preset_shows_what_it_sets_and_what_is_out_of_range_is_refused(page, photo):
    tab = page.locator("#tab-dream")

    def entry(name: str) -> api.Locator:
        return tab.locator(f".probe-option-{name} [data-entry]")

    strength, steps = entry("strength"), entry("steps")
    cities = LOOKS["vgg16"]["cities"]
    assert strength.input_value() == f"{LOOKS['vgg16']['creatures'].strength:g}"
    offered = "e => [...e.options].filter(o => !o.disabled).map(o => o.text)"
    assert entry("preset").evaluate(offered) == list(LOOKS["vgg16"])
    entry("preset").select_option("cities")
    until(lambda: strength.input_value() == f"{cities.strength:g}")
    assert steps.input_value() == str(cities.steps)
    strength.fill("99")
    strength.press("Tab")
    refused = tab.locator(".probe-option-strength .probe-refused")
    said = "Strength 99: expected a number from 0 (not included) to 64"
    until(lambda: refused.inner_text() == said)
    run = tab.locator("button.probe-run")
    until(run.is_disabled)  # there is nothing to begin
    assert tab.locator(".probe-command").count() == 0
    tab.get_by_role("button", name="Strength: back to the default").click()
    refused.wait_for(state="hidden")
    until(run.is_enabled)
    assert strength.input_value() == f"{cities.strength:g}"

    # The slider goes by the keyboard; only what was changed is on the line.
    tab.get_by_label("Strength, slider").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    changed = strength.input_value()
    assert cities.strength < float(changed) < 1.2 * cities.strength
    entry("preset").select_option("creatures")
    until(lambda: steps.input_value() == str(LOOKS["vgg16"]["creatures"].steps))
    assert strength.input_value() == changed
    more = tab.locator(".probe-option-target summary")
    more.focus()
    page.keyboard.press("Enter")
    assert "published V4 neuron (0)" in tab.locator(".probe-option-target").inner_text()
    stage = tab.locator(".probe-stage")
    height = stage.bounding_box()["height"]
    page.evaluate("window.scrollTo(0, 90)")
    begin(page, "dream", photo, "--weights random --octaves 1 --steps 9 --layer features.3")
    tab.locator(".probe-more textarea").wait_for()
    page.evaluate("window.scrollTo(0, 90)")
    tops = set()

    def is_done() -> bool:
        box = stage.bounding_box()
        tops.add((box["height"], page.evaluate("window.scrollY")))
        return tab.get_by_text("Done in").count() > 0

    until(is_done)
    assert tops == {(height, 90)}
    line = tab.locator(".probe-command").inner_text()
    assert line.startswith(
        f"probe dream a-photo.png --strength {changed} --model squeezenet1_1 --weights"
    )


@pytest.mark.slow
def test_looks_are_those_of_the_network_and_subjects_are_listed(page):
    tab = page.locator("#tab-dream")
    tab.locator(".probe-further > summary").click()
    look, model = (tab.locator(f".probe-option-{n} [data-entry]") for n in ("preset", "model"))
    model.fill("squeezenet1_1")
    model.press("Tab")
    until(lambda: look.locator("option").all_inner_texts() == list(LOOKS["squeezenet1_1"]))
    look.select_option("swirls")
    steps = tab.locator(".probe-option-steps [data-entry]")
    until(lambda: steps.input_value() == str(LOOKS["squeezenet1_1"]["swirls"].steps))
    model.fill("vgg16")
    model.press("Tab")
    refused = tab.locator(".probe-option-preset .probe-refused")
    until(lambda: refused.inner_text().startswith("vgg16 has no look 'swirls': choose creatures"))
    run = tab.locator("button.probe-run")
    until(run.is_disabled)
    first = LOOKS["vgg16"]["creatures"]
    for name, value in {"strength": first.strength, "colour": first.colour}.items():
        field = tab.locator(f".probe-option-{name}")
        assert float(field.locator("[data-entry]").input_value()) == value
        assert float(field.locator("input[type=range]").input_value()) > 0

    page.get_by_role("tab", name="Visualise").click()
    subject = page.locator("#tab-visualize .probe-option-target input")
    assert subject.input_value() == "tabby"
    listed = "e => [...e.list.options].map(o => o.value)"
    assert {"tabby", "goldfish"} < set(subject.evaluate(listed))
    subject.focus()  # all are offered, and nothing is lost
    assert (subject.input_value(), subject.get_attribute("placeholder")) == ("", "tabby")
    page.keyboard.press("Tab")
    assert subject.input_value() == "tabby"


@pytest.mark.slow
def test_the_field_that_decides_how_files_are_read_is_shown(page, tmp_path):
    for k in range(6):
        Image.new("RGB", (32, 32), (40 * k, 0, 0)).save(tmp_path / f"p{k}.png")
    np.save(tmp_path / "rates.npy", np.random.default_rng(0).random((6, 6)))
    names = "\n".join(f"p{k}.png" for k in range(6))
    (tmp_path / "labels.csv").write_text(f"stimulus_id\n{names}\n")
    page.get_by_role("tab", name="Recording").click()
    tab = page.locator("#tab-recording")
    axes = tab.locator(".probe-option-axes input")
    assert not axes.is_visible()
    tab.locator("input.probe-files").set_input_files(sorted(tmp_path.iterdir()))
    tab.locator(".probe-wrong").wait_for()
    assert "“Order of the axes”" in tab.locator(".probe-wrong").inner_text()
    assert "--axes" not in tab.locator(".probe-wrong").inner_text()
    until(axes.is_visible)
    until(lambda: axes.evaluate("e => e === document.activeElement"))


@pytest.mark.usefixtures("own_encodings")
def test_a_recording_is_dropped_understood_and_fitted_and_its_site_explained(
    page, photo, recording, tmp_path
):
    saliency, tab = page.locator("#tab-saliency"), page.locator("#tab-recording")
    page.get_by_role("tab", name="Saliency").click()
    opener = saliency.get_by_role("button", name="Recorded sites")
    opener.click()
    saliency.get_by_text("No recorded sites are fitted on this computer yet.").wait_for()
    assert "probe encode --model alexnet --dataset v4" in saliency.inner_text()
    opener.click()

    page.get_by_role("tab", name="Recording").click()
    run = tab.locator("button.probe-run")
    run.click()
    tab.get_by_text("Drop a recording, or name one, such as v4 or sim-v4").wait_for()
    np.save(tmp_path / "rates.npy", np.ones((3, 4)))
    tab.locator("input.probe-files").set_input_files(tmp_path / "rates.npy")
    tab.get_by_text("where are the pictures? Drop them, too").wait_for()
    tab.locator("input.probe-folder").set_input_files(recording)
    tab.locator(".probe-facts").wait_for()
    facts = tab.locator(".probe-facts").inner_text()
    assert re.search(r"neuroids\s+6", facts)
    assert re.search(r"stimuli\s+12, in the order of", facts)

    tab.get_by_text("Predict sites").click()
    ask = tab.locator("#ask-encode")
    assert not tab.locator("#ask-rsa").is_visible()
    for name, value in {"model": "squeezenet1_1", "layers": "features.3"}.items():
        ask.locator(f".probe-option-{name} input").fill(value)
        page.keyboard.press("Tab")
    ask.locator(".probe-option-readout select").select_option("flat")
    ask.locator(".probe-option-baselines select").select_option("none")
    ask.locator(".probe-more textarea").fill("--weights random --folds 3 --n-resamples 0")
    run.click()
    tab.get_by_text("Done in").wait_for()
    assert tab.locator(".probe-command").inner_text() == (
        "probe encode --model squeezenet1_1 --dataset ./lab --layers features.3 --readout flat "
        "--baselines none --report --weights random --folds 3 --n-resamples 0"
    )
    report = tab.frame_locator("iframe[title=report]")
    report.get_by_role("heading", name="squeezenet1_1").first.wait_for()
    with page.expect_download() as download:
        tab.get_by_role("link", name="all of them (.zip)").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert {"report.html", "table.csv", "sites.csv"} <= set(archive.namelist())

    (fitted,) = kept.list_fits()
    encoding = probe.open_encoding(fitted.path)
    page.get_by_role("tab", name="Saliency").click()
    opener.click()  # the list is made anew
    rows = saliency.locator(".probe-site-row")
    rows.first.wait_for()
    assert rows.count() == 7
    assert "mean of 6 sites" in rows.nth(0).inner_text()
    best = int(encoding.sites["r"].idxmax())
    assert f"{best} {encoding.sites['neuroid_id'][best]}" in rows.nth(1).inner_text()
    rows.nth(1).click()
    said = encoding.site(best).facts["said"]
    saliency.get_by_text(said).wait_for()
    target = f"site:./lab:{best}"
    until(lambda: saliency.locator(".probe-option-target input").input_value() == target)
    # With random weights, the name of the network does not tell which: the site brings its own.
    assert saliency.locator(".probe-option-model input").first.input_value() == ""
    saliency.locator("input[type=file]").first.set_input_files(photo)
    saliency.locator(".probe-small img").wait_for()
    saliency.locator("button.probe-run").click()
    saliency.get_by_text("Done in").wait_for()
    line = saliency.locator(".probe-command").inner_text()
    assert line == f"probe saliency a-photo.png --target {target} --report"
    frame = saliency.frame_locator(".probe-report iframe")  # below the picture
    frame.get_by_text("Methods", exact=True).wait_for()
    assert said in " ".join(saliency.locator(".probe-details pre").last.inner_text().split())


@pytest.mark.slow
def test_filters_and_an_atlas_are_made_of_pictures_that_are_dropped(page, tmp_path):
    rng = np.random.default_rng(0)
    shown = []
    for k in range(4):
        shown.append(tmp_path / f"p{k}.png")
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(shown[-1])
    page.get_by_role("tab", name="Filters").click()
    filters = page.locator("#tab-filters")
    filters.locator(".probe-further > summary").click()
    filters.locator(".probe-option-weights input").fill("random")
    page.keyboard.press("Tab")
    filters.locator("button.probe-run").click()
    filters.get_by_text("Done in").wait_for()
    assert filters.locator(".probe-command").inner_text() == (
        "probe filters squeezenet1_1 --weights random"
    )
    assert filters.locator(".probe-stage img").is_visible()

    page.get_by_role("tab", name="Atlas").click()
    atlas = page.locator("#tab-atlas")
    atlas.locator("input[type=file]").first.set_input_files(shown)
    atlas.locator(".probe-small img").nth(3).wait_for()
    atlas.locator(".probe-further > summary").click()
    for name, value in {"layer": "features.3", "grid": "2", "samples": "40", "size": "32",
                        "steps": "2", "weights": "random"}.items():  # fmt: skip
        atlas.locator(f".probe-option-{name} input").first.fill(value)
        page.keyboard.press("Tab")
    atlas.locator("button.probe-run").click()
    atlas.get_by_text("Done in").wait_for()
    assert atlas.locator(".probe-command").inner_text() == (
        "probe atlas squeezenet1_1 features.3 --images ./pictures --grid 2 --samples 40 "
        "--size 32 --steps 2 --weights random"
    )
    assert atlas.locator(".probe-stage img").is_visible()


def test_closing_the_tab_cancels_its_job_and_removes_its_pictures(page, studio, photo, browser):
    begin(page, "dream", photo, ENDLESS).get_by_alt_text("so far").wait_for()
    (made,) = studio.temporary.glob("*/made")
    assert list(made.glob("dream-*"))
    page.close()
    until(lambda: not list(made.iterdir()))
