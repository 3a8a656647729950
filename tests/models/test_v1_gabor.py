"""The instrument is a grating: what cells prefer is what they were built with."""

import math

import numpy as np
import pytest
import torch
from skimage.filters import gabor_kernel

from probe.errors import ProbeError
from probe.models import load
from probe.models.v1_gabor import (
    BANDWIDTH,
    ORIENTATION_BANDWIDTH,
    SEMISATURATION,
    V1Gabor,
    envelope,
    gabor_pair,
)
from probe.stimuli.gratings import grating

MIDDLE = 13  # of 28 positions


@pytest.fixture(scope="module")
def v1():
    return V1Gabor().eval()


def respond(v1, gratings, contrast=0.5):
    """Show gratings (cycles per degree, degrees, degrees of phase) to the cells in the middle."""
    shown = [grating(turn, f * v1.degrees, phase) for f, turn, phase in gratings]
    pictures = torch.from_numpy(np.stack(shown).astype(np.float32) * contrast)[:, None]
    with torch.inference_mode():
        pictures = pictures.expand(-1, 3, -1, -1)
        simple = v1.simple(v1.filters(pictures), v1.pool(pictures))
        complex_ = v1.complex(simple)
    return (cells[:, :, MIDDLE, MIDDLE].double().numpy() for cells in (simple, complex_))


def test_kernels_are_scikit_images():
    frequency, turn = 0.1, 30.0
    across, along = envelope(frequency)
    # Its angles turn clockwise, as rows run downwards.
    theirs = gabor_kernel(
        frequency, -math.radians(turn), sigma_x=across, sigma_y=along, n_stds=4, dtype=complex
    )
    ours = gabor_pair(frequency, turn)
    reach = min(theirs.shape[0], ours.shape[0]) // 2 - 1
    theirs, ours = (
        k[tuple(slice(n // 2 - reach, n // 2 + reach + 1) for n in k.shape)] for k in (theirs, ours)
    )
    # Theirs has a mean, which goes with the envelope.
    theirs = theirs - np.abs(theirs) * theirs.sum() / np.abs(theirs).sum()
    ours, theirs = ours / np.linalg.norm(ours), theirs / np.linalg.norm(theirs)
    np.testing.assert_allclose(ours, theirs, atol=2e-4)


@pytest.mark.parametrize("k", [0, 4])
def test_tuning_is_what_was_built(v1, k):
    cell = 8 * k + 3
    frequency, orientation = v1.cells[cell]
    turns = np.arange(7.5, 180.0, 15.0)
    octaves = np.arange(-1.0, 0.76, 0.25)
    gratings = [(frequency, turn, 0.0) for turn in turns]
    gratings += [(frequency * 2.0**octave, orientation, 0.0) for octave in octaves]
    _, responses = respond(v1, gratings)
    by_turn, by_octave = np.split(responses[:, cell], [len(turns)])
    preferred = np.degrees(np.angle((by_turn * np.exp(2j * np.radians(turns))).sum())) / 2 % 180
    assert preferred == pytest.approx(orientation, abs=0.5)
    # ln of a squared Gaussian is a parabola.
    a, b, _ = np.polyfit(2.0**octaves, np.log(by_octave), 2)
    assert -b / (2 * a) == pytest.approx(1.0, abs=0.02)
    amplitude = np.sqrt(by_octave / by_octave.max())
    half = (2**BANDWIDTH - 1) / (2**BANDWIDTH + 1)
    expected = np.exp(-math.log(2) * (2.0**octaves - 1) ** 2 / half**2)
    np.testing.assert_allclose(amplitude, expected, atol=0.06)
    off = (turns - orientation + 90) % 180 - 90
    order = np.argsort(off)
    ends = np.array([-1, 1]) * ORIENTATION_BANDWIDTH / 2
    at_ends = np.interp(ends, off[order], np.log(by_turn[order] / by_octave.max()))
    np.testing.assert_allclose(np.exp(at_ends), 0.5, atol=0.06)


def test_phase(v1):
    cell = 19
    frequency, orientation = v1.cells[cell]
    phases = np.arange(0.0, 360.0, 22.5)
    simple, complex_ = respond(v1, [(frequency, orientation, phase) for phase in phases])

    def modulation(responses):
        first = np.abs((responses * np.exp(1j * np.radians(phases))).mean())
        return 2 * first / responses.mean()

    # A half-squared cosine: F1 / F0 = (4 / 3π) / (1 / 4).
    for k in range(4):
        assert modulation(simple[:, 4 * cell + k]) == pytest.approx(16 / (3 * np.pi), abs=0.02)
    assert modulation(complex_[:, cell]) < 0.01
    assert complex_[:, cell].std() < 0.005 * complex_[:, cell].mean()


@pytest.mark.parametrize("contrast", [0.1, SEMISATURATION, 1.0])
def test_contrast_response_is_naka_rushtons(v1, contrast):
    _, responses = respond(v1, [(*v1.cells[19], 0.0)], contrast)
    expected = contrast**2 / (contrast**2 + SEMISATURATION**2)
    assert responses[0, 19] == pytest.approx(expected, rel=0.01)


def test_grey_and_the_screen_are_not_seen(v1):
    with torch.inference_mode():
        assert v1(torch.zeros(1, 3, 224, 224)).abs().max() == 0
        black = V1Gabor(surround=0.0)(torch.zeros(1, 3, 224, 224))
    assert black[0, :, 0, 0].max() > 0.05 > 1e-3 > black[0, 8:, MIDDLE, MIDDLE].max()


def test_degrees_are_the_names(v1):
    assert load("v1-gabor").module.degrees == 8
    network = load("v1-gabor:4")
    assert network.module.degrees == 4
    assert "4° of visual field" in network.weights.source
    # A cell keeps its cycles per degree.
    assert [f for f, _ in network.module.cells[::8]] == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert [f for f, _ in load("v1-gabor:20").module.cells[::8]] == [0.5, 1.0, 2.0]
    side, half_as_far = (n.filters.get_buffer("gabors_1").shape[-1] for n in (v1, network.module))
    assert half_as_far == pytest.approx(2 * side, rel=0.02)


@pytest.mark.parametrize("name", ["v1-gabor:x", "v1-gabor:0.5", "v1-gabor:nan", "v1-gabor:"])
def test_bad_degrees(name):
    with pytest.raises(ProbeError, match=f"model '{name}': expected the degrees of visual field"):
        load(name)


def test_nothing_to_learn(v1, tmp_path):
    file = tmp_path / "v1.pt"
    torch.save(v1.state_dict(), file)
    message = "model 'v1-gabor' has nothing to learn, and so takes no weights"
    for name, weights in (
        ("v1-gabor", "random"), ("v1-gabor", file), (f"file:v1-gabor@{file}", "imagenet"),
    ):  # fmt: skip
        with pytest.raises(ProbeError, match=message):
            load(name, weights)
    assert load("v1-gabor").why_no_untrained == "nothing in this network is learned"
    with pytest.raises(ProbeError, match="surround 2: expected a luminance from 0 to 1"):
        V1Gabor(surround=2)
