import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.errors import ProbeError, suggest


def test_a_probe_error_is_a_value_error():
    with pytest.raises(ValueError, match="wrong"):
        raise ProbeError("wrong")


def test_near_names_are_suggested_the_nearest_first():
    known = ["alexnet", "resnet18", "resnet34", "vgg16"]
    assert suggest("alexnett", known) == "; did you mean 'alexnet'?"
    assert suggest("resnet8", known) == "; did you mean 'resnet18' or 'resnet34'?"


def test_capitals_do_not_matter():
    assert suggest("IT-HUMAN", ["IT-human", "EVC"]) == "; did you mean 'IT-human'?"


def test_where_nothing_is_near_the_known_names_are_shown():
    assert suggest("qqq", ["a", "b"]) == "; known: a, b"
    many = suggest("qqq", [f"name{k}" for k in range(13)])
    assert many.endswith("name11, …")
    assert "name12" not in many


def test_nothing_known_nothing_said():
    assert suggest("qqq", iter(())) == ""


@given(st.text(), st.lists(st.text(min_size=1)))
def test_what_is_suggested_is_known(name, known):
    shown = suggest(name, known)
    assert (shown == "") == (not known)
    if shown.startswith("; did you mean "):
        assert any(repr(option) in shown for option in known)
