"""Options that are written once."""

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.errors import ProbeError
from probe.settings import Settings, option, option_of


@dataclass(frozen=True)
class Cooking(Settings):
    minutes: float = option(5, "Time in the water.", at_least=0, unit="minutes")
    heat: float = option(0.5, "Share of the flame.", above=0, at_most=1)
    pot: str = option("small", "Which pot.", choices=("small", "large"))
    salt: str | None = option(None, "Which salt.", unset="none at all")


def test_defaults_are_the_class_attributes():
    assert Cooking.minutes == 5
    assert Cooking() == Cooking(5, 0.5, "small", None)
    assert option_of(Cooking, "salt").unset == "none at all"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"minutes": -1}, "minutes -1: expected a number of minutes ≥ 0"),
        ({"heat": 0}, r"heat 0: expected a number from 0 \(not included\) to 1"),
        ({"heat": math.nan}, "heat nan: expected a number from"),
        ({"minutes": "long"}, "minutes 'long': expected a number of minutes ≥ 0"),
        ({"pot": "lage"}, "pot 'lage': expected one of small, large; did you mean 'large'"),
        ({"pot": "xyz"}, "pot 'xyz': expected one of small, large$"),
    ],
)
def test_what_is_not_allowed_is_named_with_what_would_be(values, message):
    with pytest.raises(ProbeError, match=f"^{message}"):
        Cooking(**values).checked()


@given(minutes=st.floats(0, 1e6), heat=st.floats(1e-6, 1), salt=st.none() | st.text())
def test_a_record_is_read_back(minutes, heat, salt):
    settings = Cooking(minutes, heat, salt=salt).checked()
    assert Cooking.from_about({**settings.to_about(), "made": "soup"}) == settings


def test_options_younger_than_a_record_have_their_defaults():
    assert Cooking.from_about({"minutes": 3}) == Cooking(3)
