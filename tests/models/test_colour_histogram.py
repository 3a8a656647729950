"""Histograms against NumPy's, and colours against scikit-image's, on its photographs."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage import color, data

from probe.models.colour_histogram import (
    LAB_BINS,
    LAB_RANGES,
    RGB_BINS,
    LabHistogram,
    RGBHistogram,
)
from probe.models.light import lab, luminance


def share(values, bins, ranges):
    counts, _ = np.histogramdd(values.reshape(-1, 3), bins, ranges)
    assert counts.sum() == values.size / 3  # all of them are within the ranges
    return counts.ravel() / counts.sum()


def as_input(pixels):
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32))[None] / 255


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_photographs(name):
    pixels = getattr(data, name)()
    rgb, of_lab = (histogram()(as_input(pixels))[0] for histogram in (RGBHistogram, LabHistogram))
    np.testing.assert_allclose(rgb, share(pixels / 255, RGB_BINS, [(0, 1)] * 3), rtol=0, atol=1e-6)
    values = color.rgb2lab(as_input(pixels)[0].permute(1, 2, 0).double().numpy())
    np.testing.assert_allclose(of_lab, share(values, LAB_BINS, LAB_RANGES), rtol=0, atol=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_any_colours(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
    inputs = as_input(pixels).double()
    values = color.rgb2lab(inputs[0].permute(1, 2, 0).numpy())
    np.testing.assert_allclose(lab(inputs)[0].permute(1, 2, 0), values, atol=1e-6)
    light = color.rgb2xyz(inputs[0].permute(1, 2, 0).numpy())[..., 1]
    np.testing.assert_allclose(luminance(inputs)[0], light, atol=1e-9)


def test_black_and_white_are_in_the_outer_bins():
    both = torch.zeros(1, 3, 2, 2)
    both[..., 0] = 1.0
    (histogram,) = RGBHistogram()(both)
    assert histogram.nonzero().flatten().tolist() == [0, 511]
    assert histogram.sum() == 1
