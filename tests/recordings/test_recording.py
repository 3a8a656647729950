"""A recording checks what it is given, and averages what it should."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.errors import ProbeError
from probe.recordings import Recording
from probe.similarity import rdm
from probe.stimuli import StimulusSet


def stimuli(n, extra=0):
    ids = [f"s{k}" for k in range(n + extra)]
    return StimulusSet(ids, [np.full((2, 2, 3), k, np.uint8) for k in range(n + extra)], "made")


def responses(n_stimuli=6, n_repetitions=3, subjects=("A", "A", "A", "B", "B", "B"), seed=0):
    n = len(subjects)
    values = np.random.default_rng(seed).normal(size=(n_stimuli, n_repetitions, n))
    return xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), values)},
        coords={
            "stimulus_id": ("stimulus", [f"s{k}" for k in range(n_stimuli)]),
            "subject": ("neuroid", list(subjects)),
            "region": ("neuroid", ["V4"] * n),
            "neuroid_id": ("neuroid", [f"n{k}" for k in range(n)]),
        },
        attrs={"name": "made/1"},
    )


def rdm_data(n_stimuli=5, subjects=("A", "A", "B"), regions=None, seed=0):
    n = len(subjects)
    values = np.random.default_rng(seed).random((n, n_stimuli * (n_stimuli - 1) // 2))
    return xr.Dataset(
        {"rdms": (("rdm", "pair"), values)},
        coords={
            "stimulus_id": ("stimulus", [f"s{k}" for k in range(n_stimuli)]),
            "subject": ("rdm", list(subjects)),
            "region": ("rdm", list(regions or ["IT"] * n)),
        },
        attrs={"name": "made/2"},
    )


def test_facts():
    data = responses()
    data["responses"][2, 0, :] = np.nan
    recording = Recording(data, stimuli(6))
    assert recording.name == "made/1"
    assert recording.regions == ["V4"]
    assert recording.subjects == ["A", "B"]
    assert (recording.n_stimuli, recording.n_neuroids) == (6, 6)
    assert recording.n_repetitions == (2, 3)
    assert not recording.simulated
    assert recording.describe()["n_repetitions"] == [2, 3]
    assert "repetitions 2 to 3" in repr(recording)
    assert "made/1" in recording._repr_html_()


def test_stimuli_follow_the_recording():
    data = responses().isel(stimulus=[4, 0, 2])
    recording = Recording(data, stimuli(6, extra=2))
    assert recording.stimuli.ids == ("s4", "s0", "s2")
    assert np.asarray(recording.stimuli.image(0))[0, 0, 0] == 4


def test_missing_stimulus_is_named():
    with pytest.raises(ProbeError, match="'s5'"):
        Recording(responses(6), stimuli(5))


def test_one_rdm_per_subject():
    data = responses()
    data["responses"][1, 0, 2] = np.nan
    labels, rdms = Recording(data, stimuli(6)).rdms()
    assert labels == ["A", "B"]
    means = np.nanmean(data["responses"].values, axis=1)
    np.testing.assert_allclose(rdms[0], rdm(means[:, :3]))
    np.testing.assert_allclose(rdms[1], rdm(means[:, 3:]))
    np.testing.assert_allclose(
        Recording(data, stimuli(6)).rdms("euclidean")[1][1], rdm(means[:, 3:], "euclidean")
    )


@given(st.integers(0, 2**31), st.integers(3, 6), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_mean_over_the_repetitions_that_are_there(seed, n_stimuli, n_repetitions):
    data = responses(n_stimuli, n_repetitions, seed=seed)
    values = data["responses"].values
    rng = np.random.default_rng(seed)
    missing = rng.random(values.shape) < 0.5
    missing[:, 0] = False
    values[missing] = np.nan
    means = Recording(data, stimuli(n_stimuli)).mean_responses()
    assert means.dims == ("stimulus", "neuroid")
    for s, n in np.ndindex(means.shape):
        there = values[s, :, n][~np.isnan(values[s, :, n])]
        assert means.values[s, n] == pytest.approx(there.mean())


def test_integer_counts_become_floats():
    data = responses()
    data["responses"] = (data["responses"] * 10).astype(np.int32)
    assert Recording(data, stimuli(6)).data["responses"].dtype == np.float64


def test_select():
    data = responses()
    data["region"] = ("neuroid", ["V4", "V4", "IT", "V4", "IT", "IT"])
    both = Recording(data, stimuli(6))
    with pytest.raises(ProbeError, match="V4 and IT"):
        both.rdms()
    v4 = both.select("V4")
    assert v4.n_neuroids == 3
    assert v4.subjects == ["A", "B"]
    assert both.select("IT", "B").n_neuroids == 2
    assert both.data.sizes["neuroid"] == 6
    with pytest.raises(ProbeError, match=r"no region 'v4'.*'V4'"):
        both.select("v4")
    with pytest.raises(ProbeError, match="no subject 'C'"):
        both.select(subject="C")


def test_select_neuroids_and_stimuli_by_numbers_and_names():
    data = responses()
    data["region"] = ("neuroid", ["V4", "V4", "IT", "V4", "IT", "IT"])
    whole = Recording(data, stimuli(6))
    names = [str(name) for name in data["neuroid_id"].values]
    ids = whole.stimuli.ids
    part = whole.select(neuroids=[4, names[1]], stimuli=(ids[3], np.int64(0), 5))
    assert [str(name) for name in part.data["neuroid_id"].values] == [names[4], names[1]]
    assert part.stimuli.ids == (ids[3], ids[0], ids[5])
    np.testing.assert_array_equal(
        part.data["responses"].values, data["responses"].values[[3, 0, 5]][:, :, [4, 1]]
    )
    assert whole.select(neuroids=2).n_neuroids == 1
    assert whole.select(stimuli=range(3)).n_stimuli == 3
    assert whole.select("V4", neuroids=[3]).n_neuroids == 1
    assert whole.select() is whole


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"neuroids": 6}, "no neuroid 6: expected 0 to 5"),
        ({"neuroids": [-1]}, "no neuroid -1"),
        ({"neuroids": ["nobody"]}, "no neuroid 'nobody'"),
        ({"neuroids": [True, False]}, "neuroid True: expected a number from 0, or a name"),
        ({"neuroids": [1.0]}, r"neuroid 1\.0: expected a number"),
        ({"neuroids": [1, 1]}, "names neuroid .* more than once"),
        ({"neuroids": []}, "no neuroid is named"),
        ({"stimuli": 6}, "no stimulus 6"),
        (
            {"region": "V4", "neuroids": [2]},
            "neuroid 2 of recording .* does not belong to the named region",
        ),
    ],
)
def test_select_says_what_is_not_there(given, said):
    data = responses()
    data["region"] = ("neuroid", ["V4", "V4", "IT", "V4", "IT", "IT"])
    with pytest.raises(ProbeError, match=said):
        Recording(data, stimuli(6)).select(**given)


def test_recorded_rdms_of_a_subject_are_averaged():
    data = rdm_data()
    recording = Recording(data, stimuli(5))
    labels, rdms = recording.rdms()
    assert labels == ["A", "B"]
    np.testing.assert_allclose(rdms[0], data["rdms"].values[:2].mean(axis=0))
    np.testing.assert_allclose(rdms[1], data["rdms"].values[2])
    np.testing.assert_array_equal(recording.rdms("correlation")[1], rdms)
    assert recording.n_neuroids is None
    assert recording.n_repetitions is None
    with pytest.raises(ProbeError, match="correlation-distance RDMs only"):
        recording.rdms("euclidean")
    with pytest.raises(ProbeError, match="RDMs only"):
        recording.mean_responses()


def break_nan(data):
    data["responses"][2, :, 4] = np.nan
    data["responses"][3, :, 4] = np.nan


def break_stimulus(data):
    data["responses"][2, :, [1, 4]] = np.nan


def break_four(data):
    data["responses"][2:4, :, 4:6] = np.nan


def break_inf(data):
    data["responses"][1, 2, 3] = -np.inf


def break_twice(data):
    data["stimulus_id"] = ("stimulus", ["s0", "s1", "s2", "s3", "s4", "s1"])


def break_neuroid_twice(data):
    data["neuroid_id"] = ("neuroid", ["n0", "n1", "n2", "n3", "n4", "n1"])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            break_nan,
            [
                "no response in any repetition",
                "'n4'",
                "'s2'",
                "2 of 36",
                "in neuroid 'n4' alone and 2 stimuli: leave out that neuroid, or repair the file",
            ],
        ),
        (
            break_stimulus,
            ["2 of 36", "in 2 neuroids and stimulus 's2' alone: leave out that stimulus, or"],
        ),
        (break_four, ["4 of 36", "in 2 neuroids and 2 stimuli: leave out these neuroids, or"]),
        (break_inf, ["infinite", "'n3'", "'s1'"]),
        (break_twice, ["stimulus 's1' more than once"]),
        (break_neuroid_twice, ["neuroid 'n1' more than once"]),
    ],
)
def test_spoilt_responses_are_named(spoil, said):
    data = responses()
    spoil(data)
    with pytest.raises(ProbeError) as caught:
        Recording(data, stimuli(6))
    for words in ["made/1", *said]:
        assert words in str(caught.value)


def test_wrong_structure():
    data = responses()
    with pytest.raises(ProbeError, match="expected"):
        Recording(data.transpose("neuroid", "stimulus", "repetition"), stimuli(6))
    with pytest.raises(ProbeError, match="'region'"):
        Recording(data.drop_vars("region"), stimuli(6))
    with pytest.raises(ProbeError, match="either"):
        Recording(data.drop_vars("responses"), stimuli(6))
    with pytest.raises(ProbeError, match="empty along 'neuroid'"):
        Recording(data.isel(neuroid=[]), stimuli(6))
    with pytest.raises(ProbeError, match="not numbers"):
        Recording(data.assign(responses=data["responses"].astype(str)), stimuli(6))
    spoilt = rdm_data(5).drop_vars("stimulus_id")
    spoilt = spoilt.assign_coords(stimulus_id=("stimulus", [f"s{k}" for k in range(6)]))
    with pytest.raises(ProbeError, match="10 pairs for 6 stimuli: expected 15"):
        Recording(spoilt, stimuli(6))


def test_spoilt_rdms_are_named():
    data = rdm_data()
    data["rdms"][1, 4] = np.nan
    with pytest.raises(ProbeError, match=r"subject 'A'.*'s1' and 's2'"):
        Recording(data, stimuli(5))
    data["rdms"][1, :] = 0.5
    with pytest.raises(ProbeError, match="constant"):
        Recording(data, stimuli(5))


def test_constant_neuroid_is_fine_but_a_constant_pattern_is_not():
    data = responses()
    data["responses"][:, :, 0] = 3.0
    Recording(data, stimuli(6)).rdms()
    data["responses"][4, :, 3:] = 1.0
    recording = Recording(data, stimuli(6))
    with pytest.raises(ProbeError, match="subject 'B': stimulus 's4'"):
        recording.rdms()
    assert np.isfinite(recording.rdms("euclidean")[1]).all()


def test_rdms_that_cannot_be():
    recording = Recording(responses(subjects=("A",)), stimuli(6))
    with pytest.raises(ProbeError, match="only one neuroid"):
        recording.rdms()
    assert recording.rdms("euclidean")[1].shape == (1, 15)
    with pytest.raises(ProbeError, match="metric 'manhattan': expected one of correlation"):
        recording.rdms("manhattan")
    data = responses()
    data["responses"][:] = 1.0
    with pytest.raises(ProbeError, match="constant"):
        Recording(data, stimuli(6)).rdms("euclidean")


def test_markup_is_escaped():
    data = responses()
    data.attrs["citation"] = "<script>alert(1)</script>"
    assert "<script>" not in Recording(data, stimuli(6))._repr_html_()
