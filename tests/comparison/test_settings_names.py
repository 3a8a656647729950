"""The names that settings know are those that are implemented."""

from probe.comparison import settings
from probe.output.text import CORRECTIONS
from probe.similarity.comparators import COMPARATORS
from probe.similarity.rdms import METRICS, NOISE_METRICS


def test_names():
    assert ("auto", *COMPARATORS) == settings.COMPARATORS
    assert (*METRICS, *NOISE_METRICS) == settings.METRICS
    assert tuple(CORRECTIONS) == settings.CORRECTIONS
