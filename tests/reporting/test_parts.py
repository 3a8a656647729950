"""Tables of a page: what is written, and what they are sorted by."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.reporting.parts import MOST_ROWS, table_of


@pytest.mark.parametrize(
    ("texts", "keys"),
    [
        ([".303", "-.001", ""], [0.303, -0.001, None]),
        (["34–38 %", "4–5 %"], [34, 4]),
        (["<.001", ".001"], [0.001 - 1e-12, 0.001]),
        ([".270 to .337", "−.1 to 0"], [0.27, -0.1]),
        (["1,200", "90"], [1200, 90]),
        (["130 ms", "90 ms"], [130, 90]),
        (["–", "-.2", "–.1", "—", "1.5"], [None, -0.2, -0.1, None, 1.5]),
    ],
)
def test_texts_that_begin_with_numbers_are_sorted_by_them(texts, keys):
    table = table_of(pd.DataFrame({"x": texts}), "")
    assert table.columns == (("x", "number"),)
    assert [row[0].key for row in table.rows] == pytest.approx(keys)
    assert [row[0].text for row in table.rows] == texts


@pytest.mark.parametrize(
    "texts", [["conv1", "conv10"], ["1.relu", "2.relu"], ["3a", "2"], ["", ""]]
)
def test_names_are_sorted_as_names(texts):
    table = table_of(pd.DataFrame({"layer": texts}), "")
    assert table.columns[0][1] == "text"
    assert {row[0].key for row in table.rows} == {None}


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=9))
def test_numbers_are_sorted_by_all_their_digits(values):
    table = table_of(pd.DataFrame({"x": [*values, 0.5]}), "")
    for cell, value in zip((row[0] for row in table.rows), values, strict=False):
        assert (cell.key is None and np.isnan(value)) or cell.key == value
        assert (cell.text == "") == np.isnan(value)


def test_a_browser_sorts_what_is_infinite():
    table = table_of(pd.DataFrame({"x": [np.inf, -np.inf, 2.0, np.nan]}), "")
    assert [row[0].sort_key for row in table.rows] == ["Infinity", "-Infinity", "2.0", ""]


def test_what_all_rows_say_is_said_once():
    frame = pd.DataFrame({"model": ["alexnet"] * 3, "score": [1.0, 2.0, 3.0]})
    table = table_of(frame, "", folded=True)
    assert [name for name, _ in table.columns] == ["score"]
    assert table.note == "In all rows: model alexnet."


def test_numbers_that_are_shown_alike_are_not_said_to_be_the_same():
    frame = pd.DataFrame({"layer": list("abc"), "score": [0.12341, 0.12344, 0.12342]})
    table = table_of(frame, "", folded=True)
    assert table.note == ""
    assert table.columns == (("layer", "text"), ("score", "number"))
    frame = pd.DataFrame({"alias": ["a", None, "a"], "score": [1.0, 2.0, 3.0]})
    assert table_of(frame, "", folded=True).note == ""


def test_a_long_table_says_where_the_rest_is():
    table = table_of(pd.DataFrame({"x": np.arange(MOST_ROWS + 5)}), "", file="sites.csv")
    assert len(table.rows) == MOST_ROWS
    assert table.note == f"The first {MOST_ROWS} of {MOST_ROWS + 5} rows; all are in sites.csv."


def test_nothing_is_no_table():
    assert table_of(pd.DataFrame({"x": []}), "") is None
    assert table_of(pd.DataFrame({"x": [np.nan]}), "") is None
