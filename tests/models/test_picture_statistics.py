"""Luminance, contrast and power of pictures of which they are known."""

import numpy as np
import pytest
import torch
from skimage import color, data

from probe.models.light import luminance
from probe.models.picture_statistics import (
    ORIENTATIONS,
    ROUNDING,
    Contrast,
    LocalContrast,
    LocalLuminance,
    Luminance,
    SpectralPower,
)
from probe.stimuli.gratings import grating


@pytest.fixture(scope="module")
def photograph():
    pixels = data.astronaut()[:224, :224]
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float()[None] / 255


def shown(light):
    """Return pictures of this luminance: the transfer function of sRGB."""
    values = np.where(light > 0.0031308, 1.055 * light ** (1 / 2.4) - 0.055, 12.92 * light)
    return torch.from_numpy(values).expand(1, 3, *light.shape)


def test_against_scikit_image(photograph):
    light = color.rgb2xyz(photograph[0].permute(1, 2, 0).double().numpy())[..., 1]
    squares = light.reshape(8, 28, 8, 28).swapaxes(1, 2).reshape(8, 8, -1)
    for layer, expected in (
        (Luminance(), light.mean()), (Contrast(), light.std(ddof=1)),
        (LocalLuminance(), squares.mean(-1)), (LocalContrast(), squares.std(-1, ddof=1)),
    ):  # fmt: skip
        np.testing.assert_allclose(layer(photograph).squeeze().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("octave", range(1, 6))
@pytest.mark.parametrize("turn", range(8))
def test_a_grating_lands_in_its_bin(octave, turn):
    """Its variance, A²/2, is in the bin of its frequency and orientation.

    Of 5.25 cycles, the window, which spreads them by one, puts some beyond the edges.
    """
    frequency = 1.5 * 224 / 2 ** (7 - octave)  # the middle of an octave
    light = 0.5 + 0.4 * grating(ORIENTATIONS[turn], frequency)
    power = 10 ** SpectralPower()(shown(light))[0] - ROUNDING
    assert power.argmax() == 8 * octave + turn
    if octave > 1:
        assert power.max() == pytest.approx(0.4**2 / 2, rel=0.02)


def test_powers_are_shares_of_the_variance():
    rng = np.random.default_rng(0)
    light = 0.5 + 0.05 * rng.normal(size=(224, 224))
    power = 10 ** SpectralPower()(shown(light))[0] - ROUNDING
    # Of white noise, as much as a bin has of the area of the spectrum: π/4 in all, but the middle.
    assert power.sum() == pytest.approx(0.05**2 * np.pi / 4, rel=0.02)
    octaves = power.view(6, 8).sum(1)
    np.testing.assert_allclose(octaves[1:] / octaves[:-1], 4.0, rtol=0.35)


def test_a_uniform_picture_has_the_power_of_rounding():
    power = SpectralPower()(torch.full((1, 3, 224, 224), 0.3, dtype=torch.float64))
    np.testing.assert_allclose(power, np.log10(1 / (12 * 255**2)), atol=1e-6)


def test_luminance_is_linear_light():
    assert luminance(torch.full((1, 3, 1, 1), 0.5)).item() == pytest.approx(0.2140, abs=1e-4)
