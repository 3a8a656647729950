"""Gratings and textures: their spectra are where they should be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.stimuli import grating_patterns, grating_set
from probe.stimuli.gratings import TEXTURE_RMS, grating, noise, picture


def spectrum(contrast):
    """Power, orientation of the wave vector in degrees, and frequency, for every component."""
    size = len(contrast)
    power = np.abs(np.fft.fft2(contrast - contrast.mean())) ** 2
    along = np.fft.fftfreq(size, 1 / size)
    fx, fy = np.broadcast_arrays(along[None, :], -along[:, None])
    return power, np.degrees(np.arctan2(fy, fx)) % 180.0, np.hypot(fx, fy)


@given(st.floats(0, 179.9), st.floats(8, 60), st.floats(0, 360))
@settings(max_examples=30, deadline=None)
def test_a_grating_has_its_orientation_and_frequency(orientation, frequency, phase):
    power, angle, radius = spectrum(grating(orientation, frequency, phase))
    k = np.unravel_index(power.argmax(), power.shape)
    assert abs(radius[k] - frequency) < 1.0
    off = np.radians((angle[k] - orientation + 90) % 180 - 90)
    assert abs(off * frequency) < 1.0


def test_orientation_zero_is_vertical_bars():
    bars = grating(0.0, 4.0)
    assert np.ptp(bars, axis=0).max() < 1e-9
    assert np.ptp(bars, axis=1).min() > 1.9


@pytest.mark.parametrize("orientation", [0.0, 30.0, 112.5])
@pytest.mark.parametrize("frequency", [6.0, 24.0])
def test_oriented_noise_is_within_its_band(orientation, frequency):
    made = noise(np.random.default_rng(0), orientation, frequency)
    power, angle, radius = spectrum(made)
    octaves = np.abs(np.log2(np.maximum(radius, 0.5) / frequency))
    off = np.abs((angle - orientation + 90) % 180 - 90)
    inside = (octaves < 1.25) & (off < 40)
    assert power[inside].sum() > 0.95 * power.sum()
    assert made.std() == pytest.approx(TEXTURE_RMS, rel=0.03)


def test_natural_noise_falls_as_one_over_f():
    powers = []
    for seed in range(10):
        power, _, radius = spectrum(noise(np.random.default_rng(seed)))
        powers.append([power[(radius >= f) & (radius < 1.2 * f)].mean() for f in (4, 8, 16, 32)])
    slope = np.polyfit(np.log([4, 8, 16, 32]), np.log(np.mean(powers, axis=0)), 1)[0]
    assert slope == pytest.approx(-2.0, abs=0.2)  # power; the amplitude is its root


def test_the_window():
    shown = picture(np.ones((224, 224)))
    assert shown.dtype == np.uint8
    assert shown[112, 112].tolist() == [255, 255, 255]
    assert shown[0].max() == shown[0].min() == 128
    assert picture(-np.ones((224, 224))).min() == 1


def test_the_set():
    patterns, stimuli = grating_patterns(), grating_set()
    assert len(stimuli) == len(patterns) == 180
    assert len({p.picture.tobytes() for p in patterns}) == 180, "two patterns look the same"
    kinds = [p.kind for p in patterns]
    assert [kinds.count(k) for k in ("grating", "plaid", "oriented noise", "noise")] == [
        *(64, 28, 64, 24)
    ]
    grating_patterns.cache_clear()
    assert grating_set().hash == stimuli.hash
    with pytest.raises(ValueError, match="read-only"):
        patterns[0].picture[0, 0] = 1
