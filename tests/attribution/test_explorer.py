"""Widgets that show a map, and say what is wrong."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from probe.attribution import explorer as explorer_module
from probe.attribution.explorer import Explorer
from probe.models import Network, Preprocessing

pytestmark = pytest.mark.usefixtures("_coarse_pngs")

pytest.importorskip("ipywidgets")


def made() -> Explorer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
    network = Network.from_module(module, preprocessing=Preprocessing("resize", (24, 24)))
    picture = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return Explorer(picture, network)


@pytest.fixture
def explorer() -> Explorer:
    return made()


def test_a_click_makes_the_map_anew(explorer: Explorer) -> None:
    first = explorer.found
    assert first is not None
    assert first.method.name == "grad-cam"
    assert bytes(explorer.picture.value[:8]) == b"\x89PNG\r\n\x1a\n"
    explorer.layer.value = "0"
    assert explorer.found is not None
    assert explorer.found.layer == "0"
    explorer.method.value = "gradient"
    assert (explorer.found.method.name, explorer.layer.disabled) == ("gradient", True)
    explorer.target.value = "2"
    assert explorer.found.target == "class 2"
    shown = bytes(explorer.picture.value)
    explorer.style.value = "map"
    assert bytes(explorer.picture.value) != shown


def test_what_is_wrong_is_said_and_the_last_map_stays(explorer: Explorer) -> None:
    shown = explorer.found
    explorer.target.value = "<7>"
    assert "color" in explorer.words.value
    assert "&lt;7&gt;" in explorer.words.value
    assert explorer.found is shown
    explorer.target.value = ""
    assert "color" not in explorer.words.value


def test_a_picture_is_uploaded(explorer: Explorer) -> None:
    before = explorer.found
    explorer._uploaded({"new": ({"content": memoryview(b"no picture")},)})
    assert "cannot be read" in explorer.words.value
    assert explorer.found is before
    content = explorer.found.png("map")  # type: ignore[union-attr]
    explorer._uploaded({"new": ({"content": memoryview(content)},)})
    assert explorer.found is not before


def test_what_nobody_foresaw_is_said_too(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("division <by> zero")

    monkeypatch.setattr(explorer_module, "saliency", broken)
    explorer.method.value = "gradient"
    assert "ZeroDivisionError: division &lt;by&gt; zero" in explorer.words.value
    assert explorer.busy.value == ""


def test_methods_and_layers_are_those_of_the_network(explorer: Explorer) -> None:
    assert "attention-rollout" not in explorer.method.options
    assert [name for _, name in explorer.layer.options] == ["", "2", "1", "0"]
    assert explorer.layer.options[1][0] == "2  (3×20×20)"


def test_a_large_picture_is_shown_small_and_its_map_is_whole(explorer: Explorer) -> None:
    content = np.random.default_rng(1).integers(0, 256, (100, 1200, 3), dtype=np.uint8)
    explorer._image = content
    explorer._changed()
    assert explorer.found is not None
    assert explorer.found.map.shape != (100, 1200)  # of the last picture: nothing was asked anew
    explorer._made = ()
    explorer._changed()
    assert explorer.found.map.shape == (100, 1200)
    assert explorer._shown is not None
    assert explorer._shown.map.shape == (75, 900)


def test_of_several_clicks_the_last_one_is_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    worked: list[str] = []
    real = explorer_module.saliency

    def counted(image: Any, network: Any, method: str, *args: Any, **how: Any) -> Any:
        worked.append(method)
        return real(image, network, method, *args, **how)

    monkeypatch.setattr(explorer_module, "saliency", counted)

    async def clicks() -> Explorer:
        explorer = made()
        for method in ("occlusion", "gradient", "rise", "lrp", "layer-cam"):
            explorer.method.value = method
            assert method in explorer.busy.value
            await asyncio.sleep(0)
        while explorer.busy.value:
            await asyncio.sleep(0.01)
        return explorer

    explorer = asyncio.run(asyncio.wait_for(clicks(), 60))
    assert worked == ["grad-cam", "layer-cam"]
    assert explorer.found is not None
    assert explorer.found.method.name == "layer-cam"
    assert "layer-cam" in explorer.words.value


def test_a_click_ends_the_work_on_the_map_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where JupyterLab's clicks come in a thread of their own."""
    passes = threading.Semaphore(0)
    clicked = threading.Event()
    finished: list[str] = []
    real = explorer_module.saliency

    def told(image: Any, network: Any, method: str, *args: Any, **how: Any) -> Any:
        found = real(image, network, method, *args, **how)
        finished.append(method)
        return found

    monkeypatch.setattr(explorer_module, "saliency", told)

    async def click() -> Explorer:
        explorer = made()
        module = explorer.network.module

        def seen(*_: Any) -> None:
            passes.release()
            clicked.wait(60)

        def other_thread() -> None:
            explorer.method.value = "rise"
            passes.acquire(timeout=60)  # it is at work
            explorer.method.value = "gradient"
            clicked.set()

        handle = module[0].register_forward_hook(seen)  # type: ignore[index]
        thread = threading.Thread(target=other_thread)
        thread.start()
        while explorer.found is None or explorer.found.method.name != "gradient":
            await asyncio.sleep(0.01)
        thread.join()
        handle.remove()
        assert not module._forward_pre_hooks
        return explorer

    explorer = asyncio.run(asyncio.wait_for(click(), 120))
    assert finished == ["grad-cam", "gradient"]
    assert explorer.busy.value == ""
