"""Widgets that show a map, and say what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from probe.attribution.explorer import Explorer
from probe.models import Network, Preprocessing

pytest.importorskip("ipywidgets")


@pytest.fixture
def explorer() -> Explorer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
    network = Network.from_module(module, preprocessing=Preprocessing("resize", (24, 24)))
    picture = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return Explorer(picture, network)


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
