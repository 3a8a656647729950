"""Simulated recordings: marked as such, the same for a seed, and true to their own truth."""

from __future__ import annotations

import random

import numpy as np
import pytest

from probe.errors import ProbeError
from probe.recordings import load, simulate_v1, simulate_v4
from probe.similarity import compare, rdm
from probe.stimuli import grating_patterns, pasupathy_connor_shapes

BOTH = pytest.mark.parametrize("simulate", [simulate_v4, simulate_v1])


def truth_and_recorded(recording):
    """Mean over subjects of the comparison of the true RDM with the recorded one."""
    subjects, rdms = recording.rdms()
    rate, of = recording.data["rate"].values, recording.data["subject"].values
    return np.mean([compare(rdm(rate[:, of == s]), d) for s, d in zip(subjects, rdms, strict=True)])


@BOTH
def test_shape_and_marks(simulate):
    recording = simulate(seed=3)
    assert recording.simulated
    assert recording.describe()["simulated"] is True
    assert "imulated" in recording.describe()["title"]
    assert "imulated" in recording.describe()["citation"]
    assert "simulated" in repr(recording)
    assert "simulated" in recording._repr_html_()
    assert recording.name.startswith("sim-")
    assert recording.name.endswith("/3")
    assert recording.subjects == ["sim-1", "sim-2", "sim-3"]
    assert recording.n_neuroids == 120
    assert recording.n_repetitions == (8, 8)
    values = recording.data["responses"].values
    assert (values >= 0).all()
    assert (values == np.rint(values)).all(), "spikes are counted"


@BOTH
def test_same_seed_same_bytes_and_no_global_state(simulate):
    random_before = random.getstate()
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002
    one, again, other = (simulate(seed=seed, n_subjects=1) for seed in (5, 5, 6))
    assert random.getstate() == random_before
    np.testing.assert_array_equal(numpy_before, np.random.get_state()[1])  # noqa: NPY002
    assert one.data.identical(again.data)
    assert one.stimuli.hash == again.stimuli.hash == other.stimuli.hash
    assert (one.data["responses"].values != other.data["responses"].values).any()
    assert (one.data["rate"].values != other.data["rate"].values).any()
    assert one.data.attrs["source_hash"] != other.data.attrs["source_hash"]


@BOTH
def test_smaller_recordings_are_parts_of_larger_ones(simulate):
    large = simulate(seed=1).data["responses"]
    small = simulate(seed=1, n_subjects=2, n_repetitions=3).data["responses"]
    np.testing.assert_array_equal(small.values, large.values[:, :3, :80])


@BOTH
@pytest.mark.slow
def test_repetitions_bring_the_recorded_rdm_to_the_truth(simulate):
    few, default, many = (truth_and_recorded(simulate(n_repetitions=n)) for n in (1, 8, 60))
    assert few < default < many
    assert default > 0.85
    assert many > 0.97


@BOTH
def test_counts_have_the_rates_mean_and_more_than_poisson_variance(simulate):
    recording = simulate(n_subjects=1, n_neuroids=10, n_repetitions=400)
    expected = recording.data["rate"].values * 0.5
    counts = recording.data["responses"].values
    z = (counts.mean(axis=1) - expected) / np.sqrt((expected + 0.05 * expected**2) / 400)
    assert abs(z.mean()) < 0.1
    assert z.std() == pytest.approx(1.0, abs=0.1)
    lively = expected > 5.0
    excess = counts.var(axis=1)[lively] / expected[lively] - 1.0
    assert np.median(excess / expected[lively]) == pytest.approx(0.05, abs=0.02)


def test_best_shape_has_the_preferred_element():
    recording = simulate_v4()
    data, shapes = recording.data, pasupathy_connor_shapes()
    assert recording.stimuli.ids == tuple(s.name for s in shapes)
    for k in range(recording.n_neuroids):
        neuron = data.isel(neuroid=k)
        best = shapes[int(neuron["rate"].values.argmax())]
        off_angle = (best.angle - float(neuron["preferred_angle"]) + 180) % 360 - 180
        off_curvature = best.squashed_curvature - float(neuron["preferred_curvature"])
        near = (np.abs(off_angle) < float(neuron["angle_width"])) & (
            np.abs(off_curvature) < 1.5 * float(neuron["curvature_width"])
        )
        assert near.any(), f"neuron {k} answers best to a shape without its element"


def test_v4_neurons_turn_with_the_shapes():
    # A shape and its copy turned by 45° excite neurons whose preferred angles differ by 45° alike.
    from probe.recordings.simulated import _curvature_tuned
    from probe.stimuli.shapes import build

    tuning = {
        "preferred_curvature": 0.9,
        "curvature_width": 0.1,
        "preferred_angle": 80.0,
        "angle_width": 25.0,
        "baseline": 2.0,
        "amplitude": 20.0,
    }
    rates = []
    for turn in (0.0, 45.0):
        shape = build("ScS.o.o.", turn)
        turned = tuning | {"preferred_angle": tuning["preferred_angle"] + turn}
        rates.append(_curvature_tuned(shape.squashed_curvature[None], shape.angle[None], turned))
    np.testing.assert_allclose(rates[0], rates[1], rtol=1e-6)


@pytest.fixture(scope="module")
def v1():
    return simulate_v1().data


def test_best_grating_has_the_preferred_orientation_and_frequency(v1):
    gratings = v1["kind"].values == "grating"
    orientation = v1["orientation"].values[gratings]
    frequency = v1["frequency"].values[gratings]
    off_orientation, off_octaves = [], []
    for k in range(v1.sizes["neuroid"]):
        neuron = v1.isel(neuroid=k)
        rate = neuron["rate"].values[gratings]
        best = rate.argmax()
        off = orientation[best] - float(neuron["preferred_orientation"])
        off_orientation.append(abs((off + 90) % 180 - 90))
        off_octaves.append(abs(np.log2(frequency[best] / float(neuron["preferred_frequency"]))))
    # The nearest of eight orientations is at most 11.25° away, of four frequencies half an octave.
    assert max(off_orientation) < 12.0
    assert max(off_octaves) < 0.65


def test_energy_neurons_do_not_mind_the_phase(v1):
    patterns = grating_patterns()
    pairs = [
        (k, k + 1)
        for k in range(len(patterns) - 1)
        if patterns[k].name.endswith("-00") and patterns[k].kind == "grating"
    ]
    assert len(pairs) == 32
    driven = v1["rate"].values - v1["baseline"].values
    a, b = (driven[[p[i] for p in pairs]] for i in (0, 1))
    strong = np.maximum(a, b) > 0.5 * driven.max(axis=0)
    assert np.median(np.abs(a - b)[strong] / (a + b)[strong]) < 0.05


@pytest.mark.parametrize(
    ("name", "seed", "region"),
    [
        ("sim-v4", 0, "V4"),
        pytest.param("sim-v1/7", 7, "V1", marks=pytest.mark.slow),
        ("sim-v4/12", 12, "V4"),
    ],
)
def test_load_by_name(name, seed, region):
    recording = load(name)
    assert recording.data.attrs["seed"] == seed
    assert recording.regions == [region]
    assert load(name, subject="sim-2").n_neuroids == 40


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"n_neuroids": 1}, "n_neuroids 1: expected"),
        ({"n_repetitions": 0}, "n_repetitions 0: expected"),
        ({"n_subjects": 0}, "n_subjects 0: expected"),
        ({"seed": -1}, "seed -1: expected"),
    ],
)
def test_bad_arguments(arguments, said):
    with pytest.raises(ProbeError, match=said):
        simulate_v4(**arguments)
