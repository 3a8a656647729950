"""A simulated recording knows its neurons: what a fitted site says of pictures nobody recorded."""

from __future__ import annotations

import numpy as np
import pytest

import probe
from probe import recordings
from probe.models import Network
from probe.recordings.simulated import _curvature_tuned
from probe.stimuli.shapes import PROTOTYPES, build, shape_set

TUNING = (
    "preferred_curvature", "curvature_width", "preferred_angle", "angle_width", "baseline",
    "amplitude",
)  # fmt: skip


@pytest.mark.slow
def test_superstimulus_drives_the_true_neuron_above_its_best_stimulus(alexnet: Network) -> None:
    """Of shapes that were never shown, the one that the site predicts most for.

    The simulated V4 neurons are tuned to the geometry of contours, so that a superstimulus is a
    shape: here, each of 29 in 24 rotations, of which the recording had at most 8.
    """
    recording = recordings.load("sim-v4")
    encoding = probe.encode(
        alexnet, recording, layers="features.3,features.7", baselines=False, n_resamples=0,
        progress=False,
    )  # fmt: skip
    shapes = [build(prototype, turn) for prototype in PROTOTYPES for turn in range(0, 360, 15)]
    predicted = encoding.predict(shape_set(shapes), progress=False).to_numpy()

    data = recording.data
    curvature = np.stack([shape.squashed_curvature for shape in shapes])
    angle = np.stack([shape.angle for shape in shapes])
    neurons = range(len(encoding))
    rate = np.stack(
        [
            _curvature_tuned(curvature, angle, {k: float(data[k].values[n]) for k in TUNING})
            for n in neurons
        ],
        axis=1,
    )
    responses = recording.mean_responses().values
    best = data["rate"].values[responses.argmax(axis=0), neurons]
    superstimulus = rate[predicted.argmax(axis=0), neurons]

    # As shares of the way from the baseline to the most that the neuron can do.
    baseline, amplitude = data["baseline"].values, data["amplitude"].values
    of_best, of_super = (best - baseline) / amplitude, (superstimulus - baseline) / amplitude
    assert np.median(of_super) > np.median(of_best)
    assert of_super.mean() > of_best.mean() + 0.01
    assert (of_super > of_best).mean() > 0.5
    # An arbitrary shape that is new is far below.
    assert np.median((np.median(rate, axis=0) - baseline) / amplitude) < 0.5 * np.median(of_super)
