"""The simulated recording whose neurons are published networks: its truth, and its noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from probe import models
from probe.assets.manifest import manifests
from probe.errors import ProbeError
from probe.recordings import available, load, simulate_v4_compact, v4_compact_rates
from probe.stimuli import StimulusSet, shape_set

pytestmark = pytest.mark.usefixtures("mirror")


@pytest.fixture(scope="module")
def other() -> StimulusSet:
    """Pictures that the neurons never saw."""
    return shape_set().subset(range(0, 40, 10))


@pytest.mark.slow
def test_the_truth_is_the_network_with_a_fitted_gain(other):
    recording = simulate_v4_compact(seed=3, n_repetitions=2, neurons=[0])
    session = load("v4:201025")
    assert recording.stimuli.ids == session.stimuli.ids[600:]
    assert recording.data["r"].values[0] == pytest.approx(
        manifests()["cowley2023-compact"].reference["r_201025_0"], abs=1e-3
    )
    network = models.load("v4-compact:201025-0")
    chosen = range(600, 1200, 20)
    x = torch.stack([network.preprocessing(session.stimuli.image(k)) for k in chosen])
    with torch.no_grad():
        outputs = network.module(x)[:, 0].numpy()
    gain, offset = (float(recording.data[name][0]) for name in ("gain", "offset"))
    rates = np.maximum(offset + gain * outputs, 0) / 0.1
    np.testing.assert_allclose(recording.data["rate"].values[::20, 0], rates, rtol=1e-4, atol=1e-4)

    # Least squares: what is left of the counts is not correlated with them, and has no mean.
    counts = session.mean_responses().values[600:, 0]
    linear = recording.data["rate"].values[:, 0] * 0.1
    assert linear.min() > 0  # nothing is cut off for this neuron
    assert np.polyfit(linear, counts, 1) == pytest.approx([1, 0], abs=1e-4)

    # Any other picture has the same gain.
    elsewhere = v4_compact_rates(other, [0])
    np.testing.assert_array_equal(elsewhere["gain"], recording.data["gain"])
    with torch.no_grad():
        last = network.module(network.preprocessing(other.image(3))[None]).item()
    assert elsewhere.values[3, 0] == pytest.approx(max(0, offset + gain * last) / 0.1, rel=1e-4)


def test_counts_are_poisson_and_drawn_by_the_seed(other):
    many = simulate_v4_compact(n_repetitions=4000, stimuli=other, neurons=[0])
    counts, rate = many.data["responses"].values[..., 0], many.data["rate"].values[:, 0]
    assert counts.shape == (4, 4000)
    error = 4 * np.sqrt(rate * 0.1 / 4000)
    np.testing.assert_array_less(np.abs(counts.mean(1) - rate * 0.1), error)
    np.testing.assert_allclose(counts.var(1), rate * 0.1, rtol=0.12)

    few = simulate_v4_compact(n_repetitions=3, stimuli=other, neurons=[0])
    np.testing.assert_array_equal(few.data["responses"], counts[:, :3, None])
    again = simulate_v4_compact(1, 3, stimuli=other, neurons=[0]).data["responses"].values
    assert not np.array_equal(again, few.data["responses"])


def test_it_says_that_it_is_simulated(other):
    recording = simulate_v4_compact(5, 2, stimuli=other, neurons=[0])
    assert recording.simulated
    assert recording.name == "sim-v4-compact/5"
    assert "simulated" in repr(recording)
    facts = recording.describe()
    assert "Simulated" in facts["title"]
    assert facts["citation"].startswith("Simulated by cnn-probe")
    assert "GPL-3.0" in facts["licence"]
    assert recording.regions == ["V4"]
    assert list(recording.data["neuroid_id"].values) == ["201025-0"]
    listed = {entry.name: entry for entry in available()}["sim-v4-compact"]
    assert listed.simulated
    assert listed.title == facts["title"]
    assert listed.licence == facts["licence"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"seed": -1}, "seed -1: expected"),
        ({"n_repetitions": 0}, "n_repetitions 0: expected"),
        ({"neurons": []}, "expected numbers from 0 to 88"),
        ({"neurons": [89]}, "expected numbers from 0 to 88"),
        ({"neurons": [1, 1]}, "each once"),
    ],
)
def test_out_of_range(arguments, said):
    with pytest.raises(ProbeError, match=said):
        simulate_v4_compact(**arguments)


@pytest.mark.slow
def test_all_89_as_measured():
    recording = load("sim-v4-compact")
    assert (recording.n_stimuli, recording.n_neuroids, recording.n_repetitions) == (600, 89, (8, 8))
    known = manifests()["cowley2023-compact"].reference
    r = recording.data["r"].values
    assert np.median(r) == pytest.approx(known["r_201025_median"], abs=1e-3)
    for k in range(3):
        assert r[k] == pytest.approx(known[f"r_201025_{k}"], abs=1e-3)
    assert (recording.data["gain"].values > 0).all()
