"""Letters that have little room."""

from __future__ import annotations

import pytest

from probe.plots.figures import cut_all, width_of


@pytest.mark.parametrize(
    "names",
    [
        ["alexnet-pool1-features", "alexnet-pool2-features", "vgg16-classifier"],
        ["a monkey in a tree, left", "a monkey by a tree, left", "the cat"],
        [f"{network}.features.{k}.conv" for network in ("alexnet", "vgg16") for k in range(12)],
    ],
)
def test_names_that_differ_in_the_middle_stay_different(names: list[str]) -> None:
    short = cut_all(names, 0.6, 7)
    assert len(set(short)) == len(names)
    assert max(width_of(name, 7) for name in short) <= 0.6


def test_names_that_have_room_stay_whole_and_equal_ones_equal() -> None:
    assert cut_all(["conv1", "conv2"], 1.0, 7) == ["conv1", "conv2"]
    long = "a name that has no room"
    assert len(set(cut_all([long, long], 0.5, 7))) == 1
