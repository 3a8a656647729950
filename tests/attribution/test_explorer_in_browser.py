"""The explorer in JupyterLab, as a person uses it: in a browser."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from playwright import sync_api as api

pytestmark = [
    pytest.mark.slow,
    *(
        pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed")
        for name in ("playwright", "jupyterlab", "ipywidgets", "nbformat")
    ),
]

CELL = """\
from probe.attribution.explorer import Explorer

explorer = Explorer("first.png", "squeezenet1_1", weights="random")
explorer"""

LONG = 120
"""Seconds that anything may take on a busy machine."""


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A folder with two pictures and a notebook."""
    room = tmp_path / "room"
    room.mkdir()
    draw = np.random.default_rng(0)
    for name, shape in (("first.png", (60, 80, 3)), ("second.png", (80, 60, 3))):
        Image.fromarray(draw.integers(0, 256, shape, dtype=np.uint8)).save(room / name)
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, room / "play.ipynb")
    return room


@pytest.fixture
def lab(room: Path, tmp_path: Path) -> Iterator[str]:
    """JupyterLab in that folder, with no settings of the user's: the notebook's address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    kinds = ("CONFIG", "DATA", "RUNTIME")
    own = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind.lower()) for kind in kinds}
    log = tmp_path / "lab.log"
    command = [
        sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={room}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    with log.open("w") as out:
        server = subprocess.Popen(command, env=os.environ | own, stdout=out, stderr=out)
    try:
        until(lambda: server.poll() is not None or answers(f"http://127.0.0.1:{port}/api"))
        assert server.poll() is None, log.read_text()
        yield f"http://127.0.0.1:{port}/lab/tree/play.ipynb?token={token}"
    finally:
        server.terminate()  # and its kernels
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture
def page(lab: str) -> Iterator[api.Page]:  # type: ignore[name-defined]
    """A browser with the notebook."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), "")
    if not chromium:
        pytest.skip("no chromium")
    from playwright import sync_api as api

    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.set_default_timeout(LONG * 1000)
        page.goto(lab)
        yield page
        browser.close()


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=10).close()
    except OSError:
        return False
    return True


def until(true: Callable[[], object]) -> None:
    start = time.monotonic()
    while not true():
        assert time.monotonic() - start < LONG
        time.sleep(0.02)


def test_a_person_explores(page: api.Page, room: Path) -> None:  # type: ignore[name-defined]
    page.locator(".jp-Notebook .jp-Cell").first.click()
    page.get_by_text("| Idle").wait_for()  # the kernel is there
    page.keyboard.press("Control+Enter")
    output = page.locator(".jp-OutputArea-output")
    picture = output.locator("img")
    picture.wait_for()
    method, layer = output.locator("select").nth(0), output.locator("select").nth(1)
    target = output.get_by_placeholder("the class that it sees")
    busy, words = (output.locator(".widget-html-content").nth(k) for k in (0, 1))

    def shows(text: str) -> None:
        until(lambda: text in words.inner_text() and not busy.inner_text())
        until(lambda: picture.evaluate("it => it.complete && it.naturalWidth > 0"))

    shows("grad-cam at features.12 of squeezenet1_1")
    first = picture.get_attribute("src")

    layer.select_option("features.7  (256×27×27)")
    shows("grad-cam at features.7 of")
    assert picture.get_attribute("src") != first

    method.select_option("gradient")
    shows("gradient of squeezenet1_1")
    assert layer.is_disabled()

    target.fill("tiger cat")
    target.press("Enter")
    shows("gradient of squeezenet1_1: tiger cat")

    # What is wrong is said in the widget, and what was right is still to be seen.
    right = picture.get_attribute("src")
    target.fill("<b>tigre</b>")
    target.press("Enter")
    until(lambda: "'<b>tigre</b>'" in words.inner_text())
    assert output.locator("span[style*='color']", has_text="tigre").is_visible()
    assert not output.locator("b", has_text="tigre").count()
    assert picture.get_attribute("src") == right
    target.fill("features.12:3")
    target.press("Enter")
    shows("gradient of squeezenet1_1: features.12:3")

    # Another picture is higher than wide, and so is the map over it.
    output.get_by_role("button", name="overlay", exact=True).click()
    until(lambda: picture.evaluate("it => it.naturalWidth == 80 && it.naturalHeight == 60"))
    with page.expect_file_chooser() as chooser:
        output.get_by_role("button", name="picture").click()
    chooser.value.set_files(room / "second.png")
    until(lambda: picture.evaluate("it => it.naturalWidth == 60 && it.naturalHeight == 80"))
    assert picture.evaluate("it => it.clientWidth") == 60  # not stretched

    # Two minutes' work that nobody waits for, and others that come in between.
    method.select_option("rise")
    until(lambda: busy.inner_text() == "Working: rise …")
    for name in ("occlusion", "smoothgrad", "expected-gradients", "lrp"):
        method.select_option(name)
    start = time.monotonic()
    shows("lrp of squeezenet1_1")
    assert time.monotonic() - start < 15
    assert not output.locator("[data-mime-type='application/vnd.jupyter.stderr']").count()
