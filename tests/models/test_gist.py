"""GIST's bank and what it makes of gratings of a known frequency and orientation."""

import numpy as np
import pytest
import torch

from probe.models.gist import (
    FREQUENCIES,
    ORIENTATIONS,
    GaborEnergy,
    LocalNormalisation,
    gabor_bank,
)
from probe.stimuli.gratings import grating


def test_each_filter_is_largest_at_its_frequency_and_orientation():
    bank = gabor_bank(320, 320)
    x, y = np.meshgrid(np.fft.fftfreq(320), np.fft.fftfreq(320))
    filters = ((f, turn) for f in FREQUENCIES for turn in ORIENTATIONS)
    for gabor, (frequency, orientation) in zip(bank, filters, strict=True):
        at = np.unravel_index(gabor.argmax(), gabor.shape)
        turn = np.radians(orientation)
        expected = frequency * np.cos(turn), -frequency * np.sin(turn)  # rows run downwards
        np.testing.assert_allclose((x[at], y[at]), expected, atol=1.5 / 320)
        assert gabor.max() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(("scale", "turn"), [(turn % 4, turn) for turn in range(8)])
def test_a_grating_is_seen_by_its_filter(scale, turn):
    contrast = grating(ORIENTATIONS[turn], 256 * FREQUENCIES[scale], size=256)
    pictures = torch.from_numpy(0.5 + 0.4 * contrast).float().expand(1, 3, 256, 256)
    (energy,) = GaborEnergy()(LocalNormalisation()(pictures))
    assert energy.mean((1, 2)).argmax() == 8 * scale + turn


def test_the_bank_alone_returns_half_the_contrast_of_its_grating():
    """What a filter of one side of the spectrum leaves of cos: half of its amplitude."""
    contrast = grating(0.0, 256 * FREQUENCIES[0], size=256)
    (energy,) = GaborEnergy()(torch.from_numpy(0.8 * contrast).float()[None, None])
    np.testing.assert_allclose(energy[0, 1:3, 1:3], 0.4, rtol=0.02)


def test_the_prefilter_takes_away_what_is_uniform():
    assert LocalNormalisation()(torch.full((1, 3, 64, 64), 0.3)).abs().max() < 1e-3


def test_the_grid_tells_where():
    pictures = torch.zeros(1, 1, 64, 64)
    pictures[..., :16, 48:] = torch.from_numpy(grating(0.0, 0.3 * 16, size=16)).float()
    (energy,) = GaborEnergy()(pictures)
    assert energy[0].flatten().argmax() == 3  # top right
