"""Tab completion of lists with commas, and of the regions of what was named."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from probe.cli import complete
from probe.comparison import settings
from probe.inference.evaluate import RESAMPLES, TESTS
from probe.output.text import CORRECTIONS


@pytest.mark.parametrize(
    ("names", "start", "found"),
    [
        (complete.several_models, "alex", ["alexnet"]),
        (complete.several_models, "resnet18,alex", ["resnet18,alexnet"]),
        (complete.several_models, "squeezenet1_0,squeezenet", ["squeezenet1_0,squeezenet1_1"]),
        (complete.several_models, "alexnet,alexnet", []),
        (complete.models, "v4-compact:21", ["v4-compact:210225", "v4-compact:211022"]),
        (complete.models, "v4-compact:190923-32", ["v4-compact:190923-32"]),
        (complete.several_models, "alexnet,v4-compact:201025-88", ["alexnet,v4-compact:201025-88"]),
        (complete.datasets, "v4,sim-v", [f"v4,sim-{k}" for k in ("v4", "v1", "v4-compact")]),
        (complete.datasets, "sim-v4,sim-", ["sim-v4,sim-v1", "sim-v4,sim-v4-compact"]),
        (complete.corrections, "h", ["holm"]),
    ],
)
def test_the_last_word_is_completed_and_those_before_are_kept(names, start, found):
    assert names(start) == found


@pytest.mark.parametrize(
    ("dataset", "start", "found"),
    [
        ("evc", "", ["all", "EVC", "IT"]),
        ("it", "IT-", ["IT-human", "IT-monkey"]),
        ("cichy2014,it", "EVC,I", ["EVC,IT", "EVC,IT-human", "EVC,IT-monkey"]),
        ("sim-v4/3", "", ["all", "V4"]),
        ("v4:201025", "", ["all", "V4"]),
        (None, "EV", ["EVC"]),
        ("./mine", "V", ["V4", "V1", "V2"]),
    ],
)
def test_regions_are_those_of_the_recordings_that_were_named(dataset, start, found):
    context = SimpleNamespace(params={"dataset": dataset})
    assert complete.regions(context, start) == found


def test_words_are_those_that_exist():
    assert tuple(CORRECTIONS) == tuple(settings.CORRECTIONS)
    assert (*RESAMPLES, "none") == settings.RESAMPLES
    assert set(settings.TESTS) == set(TESTS)
