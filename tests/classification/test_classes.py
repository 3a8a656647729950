"""Which class a picture is of, and what cannot be classified."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from probe.classification.classes import labelled
from probe.errors import ProbeError
from probe.stimuli import StimulusSet


def pictures(ids, metadata=None, contents=None):
    """One picture per name, each of another grey or of the level that is given."""
    levels = range(len(ids)) if contents is None else contents
    arrays = [np.full((4, 4, 3), level, np.uint8) for level in levels]
    return StimulusSet(ids, arrays, "mine", metadata=metadata)


@pytest.mark.parametrize(
    "ids",
    [
        ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"],
        ["set/cat/1.png", "set/cat/2.png", "set/dog/1.png", "set/dog/2.png"],
        ["cat/a/1.png", "cat/b/2.png", "dog/1.png", "dog/2.png"],
    ],
)
def test_a_class_is_a_folder(ids):
    named = labelled(pictures(ids), None, 2)
    assert named.names == ("cat", "dog")
    assert named.labels.tolist() == [0, 0, 1, 1]
    assert named.counts.tolist() == [2, 2]
    assert named.copies == ()


def test_a_class_is_a_column():
    table = pd.DataFrame({"animal": ["b", "a", "b", "a"], "size": [1, 1, 2, 2]})
    stimuli = pictures(["1", "2", "3", "4"], table)
    assert labelled(stimuli, "animal", 2).labels.tolist() == [1, 0, 1, 0]
    assert labelled(stimuli, "size", 2).names == ("1", "2")


def test_copies_within_a_class_are_left_out():
    ids = ["cat/1", "cat/2", "cat/3", "dog/1", "dog/2"]
    named = labelled(pictures(ids, contents=[0, 1, 0, 2, 3]), None, 2)
    assert named.copies == ("cat/3",)
    assert named.stimuli.ids == ("cat/1", "cat/2", "dog/1", "dog/2")
    assert named.labels.tolist() == [0, 0, 1, 1]


TABLE = pd.DataFrame({"kind": ["a", None, "b", "b"], "weight": [0.1, 0.2, 0.3, 0.4]})


@pytest.mark.parametrize(
    ("ids", "column", "contents", "message"),
    [
        (["cat/1", "cat/2", "dog/1", "3.png"], None, None,
         "1 of 4 pictures of 'mine' are in no folder of a class, such as '3.png': expected "),
        (["1.png", "2.png"], None, None, "2 of 2 pictures of 'mine' are in no folder"),
        (["cat/1", "cat/2"], None, None, "all 2 pictures of 'mine' are of one class, 'cat'"),
        (["cat/1", "cat/2", "dog/1"], None, None,
         r"classes with fewer pictures than the 2 folds: 'dog' \(1\); add pictures, leave the "),
        (["cat/1", "cat/2", "dog/1", "dog/2"], None, [0, 1, 1, 2],
         r"the same picture is in two classes: 'cat/2' \(cat\) and 'dog/1' \(dog\)"),
        (["cat/1", "cat/2", "dog/1", "dog/2"], None, [0, 1, 2, 2],
         r"fewer pictures than the 2 folds: 'dog' \(1\)"),
        (["1", "2", "3", "4"], "kid", None, "classes 'kid': no such column of 'mine'.*'kind'"),
        (["1", "2", "3", "4"], "kind", None, "'kind': 1 of 4 pictures have none, such as '2'"),
        (["1", "2", "3", "4"], "weight", None, "4 different numbers of 4 pictures are no classes"),
        (["1", "2", "3", "4"], None, None, r"the column \(it has kind, weight\) that names"),
    ],
)  # fmt: skip
def test_what_cannot_be_classified_is_said(ids, column, contents, message):
    metadata = TABLE if ids == ["1", "2", "3", "4"] else None
    with pytest.raises(ProbeError, match=message) as error:
        labelled(pictures(ids, metadata, contents), column, 2)
    assert "\n" not in str(error.value)


def test_fewer_folds_are_offered_where_they_would_work():
    ids = [f"cat/{k}" for k in range(6)] + [f"dog/{k}" for k in range(3)]
    with pytest.raises(ProbeError, match=r"or choose folds=3 \(--folds 3\)$"):
        labelled(pictures(ids), None, 5)
