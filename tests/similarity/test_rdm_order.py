"""What does not change the meaning of RDMs does not change what they are matched with.

An RDM is written in another order of its stimuli, with its names wrapped in another way, and is
matched with the first: the distances are the same, or it is refused.
"""

import unicodedata

import numpy as np
import pandas as pd
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.similarity.rdm_set import RDMs, match

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=5)
NUMBERS = st.integers(-5, 300).map(str)


def nfc(name):
    return unicodedata.normalize("NFC", name)


@st.composite
def rdms(draw, names=WORDS):
    """An RDM with names, and an order of its stimuli."""
    ids = draw(st.lists(names.map(nfc), min_size=3, max_size=8, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    n = len(ids)
    return RDMs(rng.random(n * (n - 1) // 2), ["x"], ids), draw(st.permutations(range(n)))


def objects(names):
    wrapped = np.empty(len(names), dtype=object)
    wrapped[:] = names
    return wrapped


WRAPPED = {
    "text": np.array,
    "bytes": lambda names: np.array([name.encode() for name in names]),
    "a list of bytes": lambda names: [name.encode() for name in names],
    "objects": objects,
    "(n, 1)": lambda names: np.array(names)[:, None],
    "(1, n)": lambda names: np.array(names)[None],
    "a column": pd.Series,
    "an index": pd.Index,
    "accents apart": lambda names: [unicodedata.normalize("NFD", name) for name in names],
}
NUMERIC = {
    "whole numbers": lambda names: np.array(names, dtype=np.int64),
    "floats": lambda names: np.array(names, dtype=np.float64),
    "single precision": lambda names: np.array(names, dtype=np.float32),
    "a column with a gap of before": lambda names: pd.Series([*map(int, names), None])[:-1],
    "objects": lambda names: objects([int(name) for name in names]),
}


def npz(path, rdms, wrapped):
    np.savez(path, rdms=rdms.squares(), stimulus_ids=wrapped)


def other_key(path, rdms, wrapped):
    np.savez(path, rdms=rdms.distances, Image_Names=wrapped)


def same_as(one, other):
    a, b = match([one, other])
    assert a.stimulus_ids == b.stimulus_ids
    np.testing.assert_array_equal(a.distances, b.distances)


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
class TestNamesInAnotherWrapping:
    @given(case=rdms())
    def test_in_memory(self, wrap, case):
        one, order = case
        turned = one.subset(order)
        same_as(one, RDMs(turned.distances, ["x"], wrap(list(turned.stimulus_ids))))

    @settings(max_examples=10)
    @given(case=rdms(), write=st.sampled_from([npz, other_key]))
    def test_in_a_file(self, wrap, tmp_path_factory, case, write):
        one, order = case
        turned, path = one.subset(order), tmp_path_factory.getbasetemp() / "wrapped.npz"
        write(path, turned, wrap(list(turned.stimulus_ids)))
        same_as(one, RDMs.load(path))


@pytest.mark.parametrize("wrap", NUMERIC.values(), ids=NUMERIC)
@given(case=rdms(NUMBERS))
def test_numbers_are_names_however_they_are_kept(wrap, case):
    one, order = case
    turned = one.subset(order)
    same_as(one, RDMs(turned.distances, ["x"], wrap(list(turned.stimulus_ids))))


def by_pandas(path, rdms):
    rdms.to_pandas().to_csv(path.with_suffix(".csv"))
    return path.with_suffix(".csv")


def by_pandas_long(path, rdms):
    rdms.to_pandas(tidy=True).to_csv(path.with_suffix(".csv"), index=False, sep=";")
    return path.with_suffix(".csv")


def by_scipy(path, rdms):
    names = objects(list(rdms.stimulus_ids))
    scipy.io.savemat(path.with_suffix(".mat"), {"RDM": rdms.squares()[0], "stimuli": names})
    return path.with_suffix(".mat")


def by_rsatoolbox(path, rdms):
    with path.with_suffix(".pkl").open("wb") as file:
        rdms.to_rsatoolbox().save(file, file_type="pkl")
    return path.with_suffix(".pkl")


def by_us(path, rdms):
    return rdms.save(path)


WRITERS = [by_pandas, by_pandas_long, by_scipy, by_rsatoolbox, by_us]


@pytest.mark.parametrize("write", WRITERS)
@settings(max_examples=20)
@given(data=st.data())
def test_another_program_writes_it_in_another_order(write, tmp_path_factory, data):
    one, order = data.draw(rdms(NUMBERS | WORDS))
    path = write(tmp_path_factory.getbasetemp() / "other", one.subset(order))
    try:
        matched = match([one, RDMs.load(path)])
    except ValueError:  # as well
        return
    np.testing.assert_allclose(matched[0].distances, matched[1].distances, rtol=1e-12)


@pytest.mark.parametrize("write", WRITERS)
def test_usual_names_are_not_refused(write, tmp_path):
    rng = np.random.default_rng(0)
    for ids in ([f"face-{k}.png" for k in range(9)], [str(7 * k + 3) for k in range(9)]):
        one = RDMs(rng.random(36), ["x"], ids)
        other = RDMs.load(write(tmp_path / "other", one.subset(rng.permutation(9))))
        a, b = match([one, other])
        np.testing.assert_allclose(a.distances, b.distances, rtol=1e-12)


@given(case=rdms(), prefix=WORDS)
def test_renamed_on_both_sides_is_the_same_and_on_one_is_refused(case, prefix):
    one, order = case
    turned = one.subset(order)
    a, b = (RDMs(r.distances, ["x"], [nfc(f"{prefix}:{i}") for i in r.stimulus_ids])
            for r in (one, turned))  # fmt: skip
    same_as(a, b)
    with pytest.raises(ValueError, match="no distances of stimulus"):
        match([one, b])


@given(case=rdms())
def test_whether_there_are_names_is_kept(case):
    one, order = case
    bare = RDMs(one.distances, ["x"])
    for rdms, named in ((one, True), (bare, False)):
        frame = rdms.to_pandas()
        for kept in (
            rdms.subset(order),
            rdms["x"],
            RDMs.concatenate([rdms, RDMs(rdms.distances, ["y"], rdms.stimulus_ids)]),
            RDMs.from_rsatoolbox(rdms.to_rsatoolbox()),
            RDMs.from_pandas(frame),
        ):
            assert kept.named is named
            assert len(kept.stimulus_ids) == (kept.n_stimuli if named else 0)


@pytest.mark.parametrize("named", [True, False])
def test_whether_there_are_names_is_kept_in_files(tmp_path, named):
    ids = [str(k) for k in range(5)] if named else ()
    one = RDMs(np.random.default_rng(0).random(10), ["x"], ids)
    assert RDMs.load(one.save(tmp_path / "x")).named is named


@given(n=st.integers(3, 9), first=st.integers(0, 1), data=st.data())
def test_numbers_in_another_order_say_nothing_of_a_set_without_names(n, first, data):
    ids = data.draw(st.permutations(range(first, n + first)))
    numbered = RDMs(np.random.default_rng(0).random(n * (n - 1) // 2), ["x"], ids)
    bare = RDMs(numbered.distances, ["y"])
    for sets in ([numbered, bare], [bare, numbered]):
        if list(ids) == sorted(ids):
            same_as(*sets)
        else:
            with pytest.raises(ValueError, match="name the stimuli in both"):
                match(sets)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b", np.nan], "nan is not a name"),
        (["a", "b", None], "None is not a name"),
        ([1.0, 2.0, pd.NA], "NA.* is not a name"),
        ([b"\xff", b"a", b"b"], "not text in UTF-8"),
        (["a", "b", " "], "stimulus 2 has the name ' '"),
        (["1", 1, "2"], "'1' occurs more than once"),
        (["é", unicodedata.normalize("NFD", "é"), "e"], "'é' occurs more than once"),
        (np.array([["a", "b"], ["c", "d"]]), r"names of shape \(2, 2\)"),
        (b"abc", "is one name"),
    ],
)
def test_names_that_are_none(names, message):
    with pytest.raises(ValueError, match=message):
        RDMs(np.zeros(3), stimulus_ids=names)


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        ("{0}.png", "endings"),
        ("set/{0}", "folders"),
        ("{0} ", "blanks"),
    ],
)
def test_names_that_differ_are_refused_with_the_reason(theirs, why):
    one = RDMs(np.arange(3.0), stimulus_ids=["cat", "dog", "cow"])
    other = RDMs(np.arange(3.0), stimulus_ids=[theirs.format(i) for i in one.stimulus_ids])
    with pytest.raises(ValueError, match=f"names differ in .*{why}"):
        match([one, other])
    with pytest.raises(ValueError, match=f"no stimulus is in all sets; names differ in .*{why}"):
        match([one, other], common=True)


def test_the_same_numbers_written_otherwise_are_refused():
    one = RDMs(np.arange(3.0), stimulus_ids=["3", "1", "7"])
    for names in (["3.0", "1.0", "7.0"], ["003", "001", "007"]):
        with pytest.raises(ValueError, match="names differ in how numbers are written"):
            match([one, RDMs(np.arange(3.0), stimulus_ids=names)])
