"""Tables that were written are read again, or said to be damaged."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from probe.output.files import csv, read_pairs


@pytest.fixture
def pairs():
    """Tests between three layers, one of which is called NA; one test could not be made."""
    table = pd.DataFrame(
        list(combinations(["conv1", "NA", "3"], 2)), columns=["model_a", "model_b"]
    )
    for column in ("difference", "se", "p", "p_fdr", "p_holm"):
        table[column] = [0.25, 1e-9, np.nan]
    return table


def test_tests_between_layers_are_read_as_they_were_written(pairs, tmp_path):
    (tmp_path / "pairs.csv").write_bytes(csv(pairs))
    pd.testing.assert_frame_equal(read_pairs(tmp_path / "pairs.csv"), pairs)


def test_a_table_that_lacks_tests_is_refused(pairs, tmp_path):
    (tmp_path / "pairs.csv").write_bytes(csv(pairs[:2]))
    with pytest.raises(ValueError, match="holds 2 tests, not one for each pair of 3"):
        read_pairs(tmp_path / "pairs.csv")


@pytest.mark.parametrize("column", ["model_b", "p", "p_fdr"])
def test_a_table_that_lacks_a_column_is_refused(pairs, tmp_path, column):
    (tmp_path / "pairs.csv").write_bytes(csv(pairs.drop(columns=column)))
    with pytest.raises(ValueError, match=f"pairs.csv has no column {column}"):
        read_pairs(tmp_path / "pairs.csv")
