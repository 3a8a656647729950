"""RDMs with names: selection, alignment, and every way out and back in."""

import importlib.util
import unicodedata

import hypothesis.extra.numpy as hnp
import numpy as np
import pandas as pd
import pytest
import rsatoolbox
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import squareform

from probe.similarity.rdm_set import RDMs, match

IDS = ("cat", "dog", "car", "cup", "oak")


@pytest.fixture
def rdms():
    values = np.random.default_rng(0).random((3, 10))
    values[1, 4] = np.nan
    return RDMs(values, ("V1", "V4", "IT"), IDS, "correlation", {"recording": "mine"})


def same(a, b):
    np.testing.assert_array_equal(a.distances, b.distances)
    assert a.distances.dtype == b.distances.dtype == np.float64
    assert (a.labels, a.stimulus_ids, a.metric) == (b.labels, b.stimulus_ids, b.metric)


NAMES = (
    st.text(min_size=1, max_size=6)
    .map(lambda name: unicodedata.normalize("NFC", name))
    .filter(lambda name: name.strip() and not name.endswith("\0"))
)


@st.composite
def any_rdms(draw):
    n, k = draw(st.integers(2, 6)), draw(st.integers(1, 4))
    values = draw(
        hnp.arrays(
            np.float64,
            (k, n * (n - 1) // 2),
            elements=st.floats(-1e6, 1e6, allow_subnormal=False) | st.just(np.nan),
        )
    )
    labels = draw(st.lists(NAMES, min_size=k, max_size=k, unique=True))
    ids = draw(st.lists(NAMES, min_size=n, max_size=n, unique=True))
    metric = draw(st.sampled_from([None, "correlation", "euclidean", "crossnobis", "mine"]))
    return RDMs(values, labels, ids, metric, draw(st.dictionaries(NAMES, st.integers())))


class TestConstruction:
    def test_defaults(self):
        rdms = RDMs(np.arange(6).reshape(2, 3))
        assert rdms.labels == ("rdm-1", "rdm-2")
        assert rdms.stimulus_ids == ()
        assert not rdms.named
        assert (len(rdms), rdms.n_stimuli, rdms.metric) == (2, 3, None)

    def test_one_condensed_rdm(self):
        assert RDMs([1.0, 2.0, 3.0]).distances.shape == (1, 3)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([["a", "b", "c"]],), "not numbers"),
            ((np.zeros((2, 3, 3)),), "from_array"),
            ((np.zeros((0, 3)),), "RDMs ≥ 1"),
            ((np.zeros((1, 4)),), "4"),
            ((np.full((2, 3), np.inf),), "infinite"),
            ((np.zeros((2, 3)), ["a"]), "1 labels for 2 RDMs"),
            ((np.zeros((2, 3)), ["a", "a"]), "label 'a' occurs more than once"),
            ((np.zeros((2, 3)), "ab"), "'ab' is one name"),
            ((np.zeros((2, 3)), ["a", "b"], ["x", "y"]), "2 stimulus names for RDMs of 3"),
            ((np.zeros((2, 3)), ["a", "b"], ["x", "y", "x"]), "stimulus 'x' occurs more"),
            ((np.zeros((1, 3)), ["a\0"]), "null character"),
        ],
    )
    def test_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            RDMs(*arguments)

    def test_shows_what_it_holds(self, rdms):
        assert repr(rdms) == "<3 RDMs (V1, V4, IT) over 5 stimuli; correlation; 1 pairs missing>"
        assert repr(rdms["V1"]) == "<1 RDM (V1) over 5 stimuli; correlation>"


class TestArrays:
    def test_square_and_condensed_are_the_same(self, rdms):
        squares = rdms.squares()
        assert squares.shape == (3, 5, 5)
        np.testing.assert_array_equal(squares[0], squareform(rdms.distances[0]))
        same(RDMs.from_array(squares, rdms.labels, IDS, "correlation"), rdms)
        same(RDMs.from_array(squares[2], ["IT"], IDS, "correlation"), rdms["IT"])
        same(RDMs.from_array(rdms.distances, rdms.labels, IDS, "correlation"), rdms)

    def test_a_diagonal_may_be_missing(self):
        square = squareform([1.0, 2.0, 3.0])
        np.fill_diagonal(square, np.nan)
        np.testing.assert_array_equal(RDMs.from_array(square).distances, [[1.0, 2.0, 3.0]])

    def test_rounding_of_float32_is_allowed(self):
        square = squareform([1.0, 2.0, 3.0]).astype("f4")
        square[0, 1] += np.float32(2e-7)
        square[2, 2] = 1e-7
        np.testing.assert_allclose(RDMs.from_array(square).distances, [[1.0, 2.0, 3.0]], rtol=1e-6)

    @pytest.mark.parametrize(
        ("at", "value", "message"),
        [
            ((1, 2), 9.0, r"'b' is not symmetric: \[1, 2\] is 9, \[2, 1\] is 3"),
            ((1, 2), np.nan, "not symmetric"),
            ((1, 2), np.inf, "not symmetric"),
            ((1, 1), 1.0, "'b' has 1 on its diagonal.*subtract them from 1"),
        ],
    )
    def test_a_matrix_that_is_no_rdm(self, at, value, message):
        squares = np.stack([squareform([1.0, 2.0, 3.0])] * 2)
        squares[(1, *at)] = value
        with pytest.raises(ValueError, match=message):
            RDMs.from_array(squares, ["a", "b"])

    def test_infinite_on_both_sides(self):
        with pytest.raises(ValueError, match="infinite"):
            RDMs.from_array(squareform([1.0, np.inf, 3.0]))

    @pytest.mark.parametrize(
        "shape", [(), (2, 3, 4), (0, 3, 3), (1, 1), (1, 2, 3, 3), (4,), (2, 4)]
    )
    def test_other_shapes(self, shape):
        with pytest.raises(ValueError):
            RDMs.from_array(np.zeros(shape))

    def test_text_is_no_rdm(self):
        with pytest.raises(ValueError, match="not of numbers"):
            RDMs.from_array(np.array([["0", "1"], ["1", "0"]]))


class TestSelection:
    def test_by_label_position_slice_and_mask(self, rdms):
        assert rdms["V4"].labels == ("V4",)
        assert rdms[["IT", "V1"]].labels == ("IT", "V1")
        assert rdms[-1].labels == ("IT",)
        assert rdms[:2].labels == ("V1", "V4")
        assert rdms[np.array([True, False, True])].labels == ("V1", "IT")
        np.testing.assert_array_equal(rdms[["IT", "V1"]].distances, rdms.distances[[2, 0]])
        assert [one.labels for one in rdms] == [("V1",), ("V4",), ("IT",)]
        assert rdms["V4"].metric == "correlation"
        assert rdms["V4"].attrs == {"recording": "mine"}

    @pytest.mark.parametrize(
        ("which", "message"),
        [
            ("V2", "no RDM 'V2'; known: V1, V4, IT"),
            (3, "no RDM 3: there are 3"),
            ([], "no RDM is selected"),
            ([1.5], "neither a name nor a position"),
            ([True], "a mask of 1 for 3"),
            (["V1", "V1"], "'V1' occurs more than once"),
        ],
    )
    def test_what_is_not_there(self, rdms, which, message):
        with pytest.raises(ValueError, match=message):
            rdms[which]

    @given(data=st.data())
    def test_a_subset_of_the_stimuli_is_the_square_cut_out(self, data):
        rdms = data.draw(any_rdms())
        keep = data.draw(st.lists(st.integers(0, rdms.n_stimuli - 1), min_size=2, unique=True))
        by_position = rdms.subset(keep)
        np.testing.assert_array_equal(by_position.squares(), rdms.squares()[:, keep][:, :, keep])
        assert by_position.stimulus_ids == tuple(rdms.stimulus_ids[k] for k in keep)
        same(rdms.subset([rdms.stimulus_ids[k] for k in keep]), by_position)

    @pytest.mark.parametrize(
        ("stimuli", "message"),
        [
            (["cat", "cow"], "no stimulus 'cow'; known: cat, dog"),
            (["cat"], "1 stimuli are selected"),
            (["cat", "dog", "cat"], "selected twice"),
        ],
    )
    def test_stimuli_that_cannot_be_selected(self, rdms, stimuli, message):
        with pytest.raises(ValueError, match=message):
            rdms.subset(stimuli)

    @given(data=st.data())
    def test_aligned_to_another_order(self, data):
        rdms = data.draw(any_rdms())
        order = data.draw(st.permutations(range(rdms.n_stimuli)))
        distances = np.zeros((1, rdms.distances.shape[1]))
        other = RDMs(distances, ["x"], [rdms.stimulus_ids[k] for k in order])
        aligned = rdms.align(other)
        assert aligned.stimulus_ids == other.stimulus_ids
        np.testing.assert_array_equal(aligned.squares(), rdms.squares()[:, order][:, :, order])
        same(aligned.align(rdms), rdms)

    def test_alignment_names_what_is_missing(self, rdms):
        assert rdms.align(["car", "cat"]).stimulus_ids == ("car", "cat")
        with pytest.raises(ValueError, match="stimulus 'cow' and 1 more in <3 RDMs"):
            rdms.align(["car", "cow", "hen"])

    def test_alignment_by_position_where_there_are_no_names(self, rdms):
        nameless = RDMs(rdms.distances)
        same(nameless.align(rdms), RDMs(rdms.distances, (), IDS))
        same(rdms.align(nameless), rdms)
        with pytest.raises(ValueError, match="5 stimuli against 3, and without names"):
            rdms.align(RDMs(np.zeros(3)))
        with pytest.raises(ValueError, match="3 stimuli against 5, and without names"):
            RDMs(np.zeros(3)).align(rdms)

    def test_put_together(self, rdms):
        turned = RDMs(rdms.distances[:1], ["V2"], IDS, "cosine", {"x": 1}).subset(range(5)[::-1])
        both = RDMs.concatenate([RDMs(rdms.distances[2:], ["bare"]), rdms, turned])
        assert both.labels == ("bare", "V1", "V4", "IT", "V2")
        assert both.stimulus_ids == IDS
        np.testing.assert_array_equal(both["V2"].distances, rdms["V1"].distances)
        assert (both.metric, both.attrs) == (None, {})
        alike = RDMs.concatenate([rdms[:2], rdms[2]])
        same(alike, rdms)
        assert alike.attrs == rdms.attrs
        with pytest.raises(ValueError, match="label 'V1' occurs more than once"):
            RDMs.concatenate([rdms, rdms])
        with pytest.raises(ValueError, match="no distances of stimulus 'cup' and 1 more"):
            RDMs.concatenate([rdms[:2], rdms[2].subset([0, 1, 2])])
        with pytest.raises(ValueError, match="no RDMs"):
            RDMs.concatenate([])

    def test_matched_sets_have_the_same_stimuli_in_the_same_order(self, rdms):
        turned = rdms["V1"].subset(range(5)[::-1])
        bare = RDMs(rdms.distances)
        a, b, c = match([bare, rdms, turned])
        assert a.stimulus_ids == b.stimulus_ids == c.stimulus_ids == IDS
        np.testing.assert_array_equal(c.distances, rdms["V1"].distances)
        np.testing.assert_array_equal(a.distances, rdms.distances)

    @pytest.mark.parametrize("first", [0, 1])
    def test_a_stimulus_that_only_one_set_has(self, rdms, first):
        sets = [rdms, rdms["V4"].subset(["oak", "car", "dog"])]
        sets = sets[:: -1 if first else 1]
        with pytest.raises(ValueError, match="no distances of stimulus 'cat' and 1 more in <1 RDM"):
            match(sets)
        a, b = match(sets, common=True)
        assert a.stimulus_ids == b.stimulus_ids
        assert set(a.stimulus_ids) == {"oak", "car", "dog"}
        np.testing.assert_array_equal(a["V4"].distances, b["V4"].distances)

    def test_nothing_in_common(self, rdms):
        other = RDMs(rdms.distances, (), [f"x{k}" for k in range(5)])
        with pytest.raises(ValueError, match="no stimulus is in all sets"):
            match([rdms, other], common=True)
        with pytest.raises(ValueError, match="5 stimuli against 3"):
            match([rdms, RDMs(np.zeros(3))], common=True)

    def test_ties_are_told_from_chance(self):
        rng = np.random.default_rng(0)
        values = rng.random((3, 190))
        values[0] = values[0] > 0.5
        values[1, 0] = values[1, 1]
        values[2, :50] = np.nan
        assert RDMs(values, ["kinds", "chance", "gaps"]).tied == ("kinds",)


class TestPandas:
    @given(rdms=any_rdms())
    def test_there_and_back(self, rdms):
        same(RDMs.from_pandas(rdms.to_pandas(tidy=True)), rdms)
        for one in rdms:
            same(RDMs.from_pandas(one.to_pandas()), one)

    def test_the_two_kinds_of_table(self, rdms):
        square = rdms["V1"].to_pandas()
        assert list(square.index) == list(square.columns) == list(IDS)
        assert square.loc["cat", "car"] == square.loc["car", "cat"] == rdms.distances[0, 1]
        tidy = rdms.to_pandas()
        assert list(tidy.columns) == ["label", "stimulus_a", "stimulus_b", "distance"]
        assert len(tidy) == 30
        assert tuple(tidy.iloc[10, :3]) == ("V4", "cat", "dog")
        with pytest.raises(ValueError, match="3 RDMs are not one square table"):
            rdms.to_pandas(tidy=False)

    def test_a_table_from_elsewhere(self):
        table = pd.DataFrame(
            {"stimulus_a": ["b", "c"], "stimulus_b": ["a", "a"], "distance": [1, 2]}
        )
        rdms = RDMs.from_pandas(table, metric="cosine")
        same(rdms, RDMs([[np.nan, 1.0, 2.0]], ["rdm-1"], ["b", "c", "a"], "cosine"))

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            (pd.DataFrame(np.zeros((2, 2)), ["a", "b"], ["b", "c"]), "both sides"),
            (pd.DataFrame({"x": [1]}), "stimulus_a, stimulus_b, distance"),
            (
                pd.DataFrame({"stimulus_a": ["a", "a"], "stimulus_b": ["b", "b"], "distance": 1.0}),
                "pair 'a', 'b' of 'rdm-1' occurs twice",
            ),
            (
                pd.DataFrame(
                    {"stimulus_a": ["a", "b"], "stimulus_b": ["b", "a"], "distance": [1.0, 2.0]}
                ),
                "pair 'a', 'b' of 'rdm-1' occurs twice, with other distances",
            ),
            (pd.DataFrame({"stimulus_a": [], "stimulus_b": [], "distance": []}), "without rows"),
            (
                pd.DataFrame({"stimulus_a": ["a", "a"], "stimulus_b": ["b", "a"], "distance": 1.0}),
                "diagonal",
            ),
        ],
    )
    def test_a_table_that_holds_no_rdms(self, table, message):
        with pytest.raises(ValueError, match=message):
            RDMs.from_pandas(table)


class TestFiles:
    @settings(max_examples=40)
    @given(rdms=any_rdms())
    def test_there_and_back(self, rdms, tmp_path_factory):
        path = rdms.save(tmp_path_factory.getbasetemp() / "there-and-back.npz")
        again = RDMs.load(path)
        same(again, rdms)
        assert again.attrs == rdms.attrs

    def test_keys_are_those_documented(self, rdms, tmp_path):
        path = rdms.save(tmp_path / "set")
        assert path == tmp_path / "set.npz"
        with np.load(path, allow_pickle=False) as opened:
            assert set(opened.files) == {"distances", "labels", "stimulus_ids", "metric", "attrs"}
            assert opened["labels"].tolist() == ["V1", "V4", "IT"]
            assert opened["metric"] == "correlation"
        assert [p.name for p in tmp_path.iterdir()] == ["set.npz"]

    def test_what_cannot_be_written_leaves_the_old_file(self, rdms, tmp_path, monkeypatch):
        path = rdms.save(tmp_path / "set.npz")
        before = path.read_bytes()
        with pytest.raises(ValueError, match="not JSON"):
            RDMs(rdms.distances, attrs={"x": object()}).save(path)

        def full(file, **arrays):
            file.write(b"half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(np, "savez", full)
        with pytest.raises(OSError, match="No space"):
            rdms.save(path)
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["set.npz"]

    @pytest.mark.parametrize("key", ["rdm", "RDMs", "dissimilarities", "whatever"])
    @pytest.mark.parametrize("square", [True, False])
    def test_a_plain_file(self, rdms, tmp_path, key, square):
        np.savez(tmp_path / "plain.npz", **{key: rdms.squares() if square else rdms.distances})
        loaded = RDMs.load(tmp_path / "plain.npz")
        same(loaded, RDMs(rdms.distances, ["plain-1", "plain-2", "plain-3"]))

    def test_a_npy_file(self, rdms, tmp_path):
        np.save(tmp_path / "v1.npy", rdms.squares()[0].astype("f4"))
        loaded = RDMs.load(tmp_path / "v1.npy")
        assert loaded.labels == ("v1",)
        np.testing.assert_allclose(loaded.distances, rdms.distances[:1], rtol=1e-6)

    def test_names_beside_a_plain_array(self, rdms, tmp_path):
        np.savez(
            tmp_path / "x.npz",
            rdms=rdms.squares(),
            names=np.array(list("abc")).astype("S1"),
            stimuli=np.arange(5) + 1,
            pixels=np.zeros((5, 4, 4)),
            extra=np.array([{}], dtype=object),
        )
        same(RDMs.load(tmp_path / "x.npz"), RDMs(rdms.distances, tuple("abc"), tuple("12345")))

    def test_not_rdms(self, tmp_path):
        path = tmp_path / "x.npz"
        with pytest.raises(ValueError, match=r"file .*x\.npz' does not exist"):
            RDMs.load(path)
        np.savez(path, a=np.zeros(3), b=np.zeros(6))
        with pytest.raises(ValueError, match="holds 'a', 'b': expected an array 'distances'"):
            RDMs.load(path)
        np.savez(path, rdm=np.ones((3, 3)))
        with pytest.raises(ValueError, match=r"x.npz': RDM 0 has 1 on its diagonal"):
            RDMs.load(path)
        np.savez(path, rdm=np.zeros((2, 3)), labels=["a"])
        with pytest.raises(ValueError, match=r"x.npz': 1 labels for 2 RDMs"):
            RDMs.load(path)

    @pytest.mark.parametrize("content", [b"", b"no array", b"PK\x03\x04 broken", b"\x93NUMPY"])
    def test_a_broken_file(self, tmp_path, content):
        (tmp_path / "x.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"x.npz' is not an .npz or .npy file of numbers"):
            RDMs.load(tmp_path / "x.npz")

    def test_a_truncated_file(self, rdms, tmp_path):
        path = rdms.save(tmp_path / "x.npz")
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(ValueError, match=r"is not an .npz"):
            RDMs.load(path)

    def test_pickles_are_not_read(self, tmp_path):
        np.savez(tmp_path / "x.npz", rdm=np.array([{"a": 1}], dtype=object))
        with pytest.raises(ValueError, match=r"'rdm' cannot be read|not of numbers"):
            RDMs.load(tmp_path / "x.npz")
        np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object))
        with pytest.raises(ValueError, match=r"is not an .npz or .npy file of numbers"):
            RDMs.load(tmp_path / "x.npy")


class TestRsatoolbox:
    @given(rdms=any_rdms())
    def test_there_and_back(self, rdms):
        theirs = rdms.to_rsatoolbox()
        assert isinstance(theirs, rsatoolbox.rdm.RDMs)
        np.testing.assert_array_equal(theirs.get_vectors(), rdms.distances)
        np.testing.assert_array_equal(theirs.get_matrices(), rdms.squares())
        again = RDMs.from_rsatoolbox(theirs)
        same(again, rdms)
        assert again.attrs == rdms.attrs

    def test_theirs_is_a_copy(self, rdms):
        rdms.to_rsatoolbox().dissimilarities[:] = 7.0
        assert np.nanmax(rdms.distances) < 1.0

    @pytest.mark.parametrize("metric", ["correlation", "euclidean"])
    def test_from_their_own_computation(self, metric):
        patterns = np.random.default_rng(0).normal(size=(4, 12))
        data = rsatoolbox.data.Dataset(patterns, obs_descriptors={"picture": list("abcd")})
        theirs = rsatoolbox.rdm.calc_rdm(data, method=metric, descriptor="picture")
        ours = RDMs.from_rsatoolbox(theirs)
        assert ours.metric == metric
        assert ours.stimulus_ids == tuple("abcd")
        assert ours.to_rsatoolbox().dissimilarity_measure == theirs.dissimilarity_measure
        np.testing.assert_array_equal(ours.squares(), theirs.get_matrices())

    def test_reordered_by_them_is_reordered_by_us(self, rdms):
        theirs = rdms.to_rsatoolbox()
        theirs.reorder(np.array([3, 1, 4, 0, 2]))
        same(RDMs.from_rsatoolbox(theirs), rdms.subset([3, 1, 4, 0, 2]))
        subset = rdms.to_rsatoolbox().subset_pattern("stimulus_id", ["cat", "cup", "oak"])
        same(RDMs.from_rsatoolbox(subset), rdms.subset(["cat", "cup", "oak"]))

    def test_descriptors_of_other_names(self):
        theirs = rsatoolbox.rdm.RDMs(
            np.zeros((2, 3)),
            descriptors={"session": 3, "array": np.zeros(2)},
            rdm_descriptors={"region": ["IT", "IT"], "subject": ["BE", "KO"]},
            pattern_descriptors={"face": [0, 1, 1], "picture": ["a", "b", "c"], "file": [7, 8, 9]},
        )
        ours = RDMs.from_rsatoolbox(theirs)
        assert ours.labels == ("BE", "KO")
        assert ours.stimulus_ids == ("a", "b", "c")
        assert ours.attrs == {"session": 3}
        assert RDMs.from_rsatoolbox(theirs, stimulus_id="file").stimulus_ids == ("7", "8", "9")
        with pytest.raises(ValueError, match="no descriptor 'name'; known: region, subject"):
            RDMs.from_rsatoolbox(theirs, label="name")
        with pytest.raises(ValueError, match="stimulus '1' occurs more than once"):
            RDMs.from_rsatoolbox(theirs, stimulus_id="face")

    def test_without_descriptors_they_are_numbered(self):
        ours = RDMs.from_rsatoolbox(rsatoolbox.rdm.RDMs(np.zeros((2, 3))))
        assert ours.labels == ("rdm-1", "rdm-2")
        assert not ours.named

    def test_something_else(self):
        with pytest.raises(ValueError, match=r"ndarray is not an rsatoolbox.rdm.RDMs"):
            RDMs.from_rsatoolbox(np.zeros((2, 3)))

    def test_where_it_is_not_installed(self, rdms, monkeypatch):
        found = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name == "rsatoolbox" else found(name)
        )
        with pytest.raises(ValueError, match="pip install rsatoolbox"):
            rdms.to_rsatoolbox()
