"""The RDM at one time against that at another."""

import numpy as np
import pytest
from over_time import BINS, recording
from scipy.stats import spearmanr

from probe.errors import ProbeError
from probe.recordings import reliability_over_time, split_half, time_generalisation
from probe.similarity import rdm


def made(n_subjects=1, n_repetitions=6, noise=0.3, lasting=0.0):
    """One geometry in the bins 0 and 1, another in 2, none in 3; noise that may last."""
    rng = np.random.default_rng(0)
    n, m = 12, 10 * n_subjects
    first, second = rng.standard_normal((2, n, m))
    signal = np.stack([first, first, second, np.zeros((n, m))], axis=1)
    values = signal[:, None] + noise * rng.standard_normal((n, n_repetitions, 4, m))
    values += lasting * rng.standard_normal((n, n_repetitions, 1, m))
    made = recording(values, BINS[:4])
    if n_subjects > 1:
        subjects = np.repeat([f"s{k}" for k in range(n_subjects)], 10)
        made = type(made)(made.data.assign_coords(subject=("neuroid", subjects)), made.stimuli)
    return made


def test_halves_of_one_subject():
    found = time_generalisation(made())
    np.testing.assert_allclose(found, found.T)
    assert found[0, 1] > 0.8
    assert found[2, 2] > 0.8
    assert abs(found[0, 2]) < 0.4
    assert abs(found[0, 3]) < 0.3
    assert abs(found[3, 3]) < 0.3


def test_the_diagonal_is_the_reliability_of_each_time():
    session = made()
    found = time_generalisation(session, n_splits=20, seed=4)
    # The same halves: all neuroids and times have the same presentations.
    for k, (start, end) in enumerate(BINS[:4]):
        half = split_half(session.window(start, end), n_splits=20, seed=4)
        assert found[k, k] == pytest.approx(half.r, abs=1e-10)
        if half.r > 0:
            expected = half.spearman_brown
            assert reliability_over_time(found)[k] == pytest.approx(expected, abs=1e-10)


def test_a_time_of_which_a_half_has_no_rdm_is_unknown_alone():
    """A stimulus that is answered in one repetition only has no pattern in the other half."""
    values = made().data["responses"].values.copy()
    values[0, 1:, 3] = 0.0
    found = time_generalisation(recording(values, BINS[:4]))
    assert np.isnan(found[3]).all()
    assert np.isnan(found[:, 3]).all()
    others = time_generalisation(made())[:3, :3]
    np.testing.assert_allclose(found[:3, :3], others, rtol=1e-12)
    assert np.isnan(reliability_over_time(found)[3])
    values[0, 1:] = 0.0
    with pytest.raises(ProbeError, match="half of the repetitions"):
        time_generalisation(recording(values, BINS[:4]))


def test_noise_that_lasts_does_not_generalise():
    """Plain RDMs share the noise of one showing at two times; those of other showings do not."""
    session = made(lasting=2.0, noise=0.1)
    _, rdms = session.rdms_over_time()
    plain = spearmanr(rdms[2, 0], rdms[3, 0])[0]
    assert plain > time_generalisation(session)[2, 3] + 0.25


def test_several_subjects_are_compared_with_the_others():
    session = made(n_subjects=3)
    found = time_generalisation(session)
    _, rdms = session.rdms_over_time()

    expected = np.zeros((4, 4))
    for s in range(3):
        others = [k for k in range(3) if k != s]
        for a in range(4):
            pooled = sum(np.argsort(np.argsort(rdms[a, k])) for k in others)
            for b in range(4):
                expected[a, b] += spearmanr(pooled, rdms[b, s])[0] / 3
    np.testing.assert_allclose(found, (expected + expected.T) / 2, atol=1e-10)


def test_rdms_over_time_are_those_of_windows():
    session = made(n_subjects=2)
    for metric in ("correlation", "euclidean", "cosine", "mahalanobis", "crossnobis"):
        subjects, rdms = session.rdms_over_time(metric)
        assert subjects == ["s0", "s1"]
        for k, (start, end) in enumerate(BINS[:4]):
            _, expected = session.window(start, end).rdms(metric)
            np.testing.assert_allclose(rdms[k], expected, rtol=1e-12)
    values = session.data["responses"].values[..., :10].mean(axis=1)
    np.testing.assert_allclose(session.rdms_over_time()[1][2, 0], rdm(values[:, 2]), rtol=1e-12)


def test_unfolded():
    session = made()
    flat = session.unfolded()
    assert not flat.has_time
    assert flat.n_neuroids == 40
    assert flat.data["neuroid_id"].values[[0, 1, 10]].tolist() == [
        "n0@0-10ms", "n1@0-10ms", "n0@10-20ms",
    ]  # fmt: skip
    np.testing.assert_array_equal(
        flat.data["responses"].values[..., 10:20],
        session.window(10, 20).data["responses"].values,
    )
    assert flat.data["time_start"].values[[0, 39]].tolist() == [0.0, 30.0]


def test_what_cannot_be_generalised():
    with pytest.raises(ProbeError, match="a split-half reliability needs two"):
        time_generalisation(made(n_repetitions=1))
    with pytest.raises(ProbeError, match="has no time axis"):
        time_generalisation(made().window(0, 10))
    with pytest.raises(ProbeError, match="expected a square"):
        reliability_over_time(np.zeros((2, 3)))
    silent = made()
    values = silent.data["responses"].values.copy()
    values[3, :, 1:3] = 0.0
    silent = recording(values, BINS[:4])
    with pytest.raises(ProbeError, match=r"'p3' has the same .*at 10-20 ms, and in 1 others of 4"):
        silent.rdms_over_time()
