"""Examples of what to say of axes agree with what is known of them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.errors import ProbeError
from probe.recordings.importing.axes import axes_as_said, axes_by_length


def example(shape, lengths):
    with pytest.raises(ProbeError) as told:
        axes_by_length(shape, lengths, "resp.npz")
    return re.search(r"--axes ([\w,]+)", str(told.value))[1]


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((60, 5, 30), "stimulus,neuroid,repetition"),
        ((5, 60, 30), "neuroid,stimulus,repetition"),
        ((5, 30, 60), "neuroid,repetition,stimulus"),
        ((60, 30), "stimulus,neuroid"),
        ((30, 60), "neuroid,stimulus"),
        ((30, 9, 60, 5), "neuroid,repetition,stimulus,time"),
    ],
)
def test_the_example_has_the_stimuli_where_they_are(shape, said):
    assert example(shape, {"stimulus": (60, "the pictures")}) == said


@given(
    others=st.lists(st.sampled_from([5, 9, 30]), min_size=1, max_size=3, unique=True),
    where=st.integers(0, 3),
)
def test_the_example_may_be_said(others, where):
    others.insert(where, 60)
    lengths = {"stimulus": (60, "the pictures")}
    kinds = example(others, lengths).split(",")
    axes = axes_as_said(others, kinds, lengths, "resp.npz", drops_last=False)
    assert [axis.kind for axis in axes if axis.length == 60] == ["stimulus"]
