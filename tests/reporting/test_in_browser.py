"""A page, as a person reads it: in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

import probe

if TYPE_CHECKING:
    from playwright import sync_api as api

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("playwright") is None, reason="playwright is not installed"),
]

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[api.Browser]:
    from playwright import sync_api as api

    chromium = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    with api.sync_playwright() as playwright:
        try:
            opened = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        except api.Error as error:
            pytest.skip(f"no chromium: {error}")
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def path(hostile, rsa_folder, tmp_path_factory):
    return probe.report(
        rsa_folder, hostile / "rsa", hostile / "encode",
        output=tmp_path_factory.mktemp("page") / "page.html",
    )  # fmt: skip


@pytest.fixture
def page(browser, path) -> Iterator[api.Page]:
    """The page; that it asks for nothing, says nothing and runs nothing foreign is checked."""
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    opened = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    opened.goto(path.as_uri())
    yield opened
    context.close()
    assert [address for address in asked if not address.startswith("data:")] == [path.as_uri()]
    assert said == []


def scores(page: api.Page) -> list[float]:
    texts = page.locator("#s1-t1 tbody td:nth-child(2)").all_inner_texts()
    return [float(text) for text in texts]


def test_a_table_is_sorted_by_a_click_and_by_the_keyboard(page):
    head = page.locator("#s1-t1 th", has_text="score")
    assert head.get_attribute("aria-sort") == "none"
    before = scores(page)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert scores(page) == sorted(before, reverse=True)
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert scores(page) == sorted(before)
    name = page.locator("#s1-t1 th", has_text="layer")
    name.locator("button").press("Space")
    assert (name.get_attribute("aria-sort"), head.get_attribute("aria-sort")) == (
        "ascending", "none",
    )  # fmt: skip


def test_nothing_hostile_runs_and_all_of_it_is_read(page, hostile_text):
    page.wait_for_timeout(200)
    assert hostile_text in page.inner_text("body")
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 1


@pytest.mark.parametrize("width", [1400, 1000, 400])
def test_nothing_leaves_the_page_at_any_width(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_read_on_its_ground_in_light_and_dark(page, scheme):
    page.emulate_media(color_scheme=scheme)
    ground, ink, card = page.evaluate(
        "['body', 'body', '.card'].map((s, k) => getComputedStyle(document.querySelector(s))"
        "[k === 1 ? 'color' : 'backgroundColor'])"
    )
    assert card == "rgb(255, 255, 255)"
    bright = [sum(map(int, one[4:-1].split(","))) / 3 for one in (ground, ink)]
    assert (bright[0] > bright[1]) == (scheme == "light")
    assert abs(bright[0] - bright[1]) > 150


def test_text_of_figures_is_found(page):
    assert page.evaluate("window.find('pixels', true)")
    axis = page.locator("svg text", has_text="0.0").first
    assert axis.is_visible()


def test_what_is_folded_is_printed(page):
    folded = page.locator("details.table table").first
    assert not folded.is_visible()
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert folded.is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    assert not folded.is_visible()


def test_a_methods_section_is_copied_whole(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#s1-methods button.copy").click()
    selected = page.evaluate("getSelection().toString()")
    assert selected.startswith("Activations were taken from")
    assert "Kriegeskorte et al. 2008" in selected
    assert "Copy" not in selected
