"""Names as text, and the orders in which programs list them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.formats.names import as_texts, counts_positions, in_order, rivals


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1, 1.5, True, b"a", "b"], ["1", "1.5", "True", "a", "b"]),
        (np.array([3.0, -2.0, 1e20]), ["3", "-2", "100000000000000000000"]),
        (np.array([0.1], dtype=np.float32), ["0.1"]),
        (np.array([[1], [2]]), ["1", "2"]),
        (np.array("abc"), ["abc"]),
    ],
)
def test_text(values, texts):
    assert as_texts(values) == texts
    assert {type(text) for text in as_texts(values)} == {str}


@pytest.mark.parametrize(
    ("names", "counted"),
    [
        (["0", "1", "2"], True),
        (["1", "2", "3"], True),
        (["V1", "V2", "V3"], True),
        (["V0", "V1"], False),
        (["2", "3"], False),
        (["1", "0"], False),
        (["V1", "V2", "V4"], False),
        (["01", "02"], False),
    ],
)
def test_positions(names, counted):
    assert counts_positions(names) is counted


@pytest.mark.parametrize(
    ("names", "pair"),
    [
        (["1.png", "2.png", "9.png"], None),
        (["2.png", "10.png", "1.png"], ("10.png", "2.png")),
        (["02.png", "10.png", "01.png"], None),
        (["b.png", "C.png", "a.png"], ("C.png", "a.png")),
        (["e.png", "é.png", "z.png"], ("z.png", "é.png")),
        (["a.png", "a-1.png"], ("a-1.png", "a.png")),
        (["-90.png", "-45.png"], ("-45.png", "-90.png")),
        (["1.5.png", "1.10.png"], ("1.10.png", "1.5.png")),
        (["x1.png", "x01.png"], ("x01.png", "x1.png")),
        (["a.jpg", "a.png", "b.jpg"], None),
        ([], None),
    ],
)
def test_names_that_programs_sort_in_different_ways(names, pair):
    assert rivals(names) == pair


@given(names=st.lists(st.text(min_size=1), unique=True, max_size=6), data=st.data())
def test_whether_they_agree_does_not_depend_on_the_order_given(names, data):
    assert rivals(data.draw(st.permutations(names))) == rivals(names)


class TestInOrder:
    NAMES = ("c", "a", "b")

    @pytest.mark.parametrize("wrap", [dict, pd.Series])
    def test_by_name(self, wrap):
        assert in_order(wrap({"a": 1, "b": 2, "c": 3}), self.NAMES, "groups") == [3, 1, 2]

    @pytest.mark.parametrize("values", [[1, 2, 3], np.array([1, 2, 3]), pd.Series([1, 2, 3])])
    def test_by_position(self, values):
        assert in_order(values, self.NAMES, "groups") == [1, 2, 3]

    @pytest.mark.parametrize(
        ("values", "names", "message"),
        [
            ({"a": 1, "b": 2}, NAMES, "groups have nothing for stimulus 'c'"),
            ({"a": 1}, (), "the stimuli have no names"),
            (pd.Series([1, 2, 3, 4], ["a", "a", "b", "c"]), NAMES, "name a stimulus twice"),
            (pd.Series([1, 2, 3], [4, 7, 9]), NAMES, "nothing for stimulus 'c' and 2 more"),
        ],
    )
    def test_refused(self, values, names, message):
        with pytest.raises(ValueError, match=message):
            in_order(values, names, "groups")
