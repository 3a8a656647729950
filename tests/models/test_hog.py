"""HOG against scikit-image's, on its photographs.

They are resized in floating point: in 8 bits, two channels often have equally long gradients, such
as (5, 5) and (1, 7), and which of them scikit-image takes is a matter of its rounding.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data, feature, transform

from probe.models.hog import OrientedGradients


def as_input(pixels):
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32))[None]


def scikit_images(pixels, orientations=9, cell=8, block=2):
    blocks = feature.hog(
        pixels.astype(float), orientations, (cell, cell), (block, block), "L2-Hys",
        channel_axis=-1, feature_vector=False,
    )  # fmt: skip
    rows, columns = blocks.shape[:2]
    return blocks.reshape(rows, columns, -1).transpose(2, 0, 1)


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_photographs_in_colour(name):
    pixels = transform.resize(getattr(data, name)(), (224, 224), anti_aliasing=True)
    pixels = pixels.astype(np.float32)
    ours = OrientedGradients()(as_input(pixels))[0]
    assert ours.shape == (36, 27, 27)
    np.testing.assert_allclose(ours, scikit_images(pixels), rtol=0, atol=1e-6)


def test_a_grey_photograph_of_8_bits():
    pixels = np.repeat(data.camera()[100:324, 100:324, None], 3, 2) / np.float32(255)
    np.testing.assert_allclose(
        OrientedGradients()(as_input(pixels))[0], scikit_images(pixels), rtol=0, atol=1e-6
    )


@settings(max_examples=30)
@given(
    st.integers(16, 40), st.integers(16, 40), st.integers(2, 12), st.integers(3, 6),
    st.integers(1, 2), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_any_size_and_setting(height, width, orientations, cell, block, seed):
    pixels = np.random.default_rng(seed).random((height, width, 3), np.float32)
    ours = OrientedGradients(orientations, cell, block)(as_input(pixels))[0]
    expected = scikit_images(pixels, orientations, cell, block)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)


def test_signed_orientations_tell_a_gradient_from_its_opposite():
    ramp = torch.linspace(0, 1, 16).expand(1, 3, 16, 16)
    ups, downs = (OrientedGradients(8, 4, 4, signed=True)(x) for x in (ramp, 1 - ramp))
    assert ups.view(16, 8).argmax(1).unique().tolist() == [0]
    assert downs.view(16, 8).argmax(1).unique().tolist() == [4]
    same = OrientedGradients()
    assert torch.allclose(same(ramp), same(1 - ramp), atol=1e-6)
