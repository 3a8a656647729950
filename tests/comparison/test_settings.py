"""Options of comparisons: one default, one range, one list of choices."""

from __future__ import annotations

import inspect

import pytest

import probe
from probe.comparison import settings
from probe.inference.evaluate import RESAMPLES, TESTS
from probe.output.text import CORRECTIONS
from probe.similarity import COMPARATORS, METRICS
from probe.similarity.rdms import NOISE_METRICS


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (probe.rsa, settings.RSASettings),
        (probe.compare, settings.CompareSettings),
        (probe.searchlight, settings.SearchlightSettings),
        (probe.reliability, settings.ReliabilitySettings),
    ],
)
def test_a_signature_has_the_defaults_of_its_settings(function, options):
    parameters = inspect.signature(function).parameters
    defaults = options().to_about()
    assert set(defaults) - set(parameters) <= {"baselines"}  # which a searchlight has not
    for name in set(defaults) & set(parameters):
        assert parameters[name].default == defaults[name], name


def test_choices_are_what_there_is():
    assert (*RESAMPLES, "none") == settings.RESAMPLES
    assert TESTS == settings.TESTS
    assert tuple(CORRECTIONS) == settings.CORRECTIONS
    assert list(settings.COMPARATORS) == ["auto", *COMPARATORS]
    assert list(settings.METRICS) == [*METRICS, *NOISE_METRICS]
    assert len(settings.METRICS) == 6
    assert "correlation" in settings.METRICS
    assert "corelation" not in settings.METRICS
