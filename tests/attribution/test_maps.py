"""Maps brought to the picture's size, and compared as scipy and scikit-image do."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity

from probe.attribution.maps import at_picture, similarities, spearman, ssim
from probe.errors import ProbeError


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_colours_are_summed_with_their_signs():
    maps = random(2, 3, 5, 7)
    torch.testing.assert_close(at_picture(maps, (5, 7)), maps[:, 0] + maps[:, 1] + maps[:, 2])
    assert at_picture(torch.tensor([1.0, -1.0, 0.0]).expand(1, 4, 4, 3).mT.mT.movedim(-1, 1),
                      (4, 4)).eq(0).all()  # fmt: skip


def test_positions_of_a_layer_lie_over_the_pixels_that_they_stand_for():
    at_layer = torch.zeros(1, 4, 4)
    at_layer[0, 1, 2] = 1.0
    found = at_picture(at_layer, (32, 32))[0]
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    centre = float((found * y).sum() / found.sum()), float((found * x).sum() / found.sum())
    assert centre == pytest.approx((1.5 * 8 - 0.5, 2.5 * 8 - 0.5))


def test_maps_of_the_right_size_stay_what_they_are():
    maps = random(2, 5, 7)
    assert torch.equal(at_picture(maps, (5, 7)), maps)


@pytest.mark.parametrize("shape", [(5, 7), (1, 1, 5, 7), (1, 3, 5, 6), (1, 2, 3, 5, 7)])
def test_other_shapes_are_told(shape):
    with pytest.raises(ProbeError, match=r"maps have shape .*: expected \(n, 3, 5, 7\)"):
        at_picture(torch.zeros(shape), (5, 7))


def test_what_is_not_finite_is_told():
    with pytest.raises(ProbeError, match="not finite"):
        at_picture(torch.tensor([[[0.0, np.nan]]]), (1, 2))


def picture(seed, height, width, levels):
    generator = np.random.default_rng(seed)
    return np.round(generator.random((height, width)) * levels) / levels


@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(11, 40),
    width=st.integers(11, 40),
    levels=st.sampled_from([1, 3, 1000]),
    mixed=st.floats(0, 1),
)
def test_ssim_is_that_of_scikit_image(seed, height, width, levels, mixed):
    one, other = picture(seed, height, width, levels), picture(seed + 1, height, width, 1000)
    other = mixed * one + (1 - mixed) * other
    expected = structural_similarity(
        one, other, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0
    )
    assert ssim(one, other) == pytest.approx(expected, abs=1e-12)


@given(seed=st.integers(0, 2**32 - 1), levels=st.sampled_from([1, 3, 1000]))
def test_rank_correlation_is_that_of_scipy(seed, levels):
    one, other = picture(seed, 6, 9, levels), picture(seed + 1, 6, 9, 10)
    expected = spearmanr(one.ravel(), other.ravel()).statistic
    assert spearman(one, other) == pytest.approx(expected, abs=1e-12)


def test_signs_count_in_one_measure_only():
    one = random(20, 20).numpy()
    alike = similarities(one, -one)
    assert alike == pytest.approx({"spearman": -1.0, "spearman_abs": 1.0, "ssim": 1.0})


def test_units_do_not_matter():
    one, other = random(20, 20).numpy(), random(20, 20, seed=1).numpy()
    assert similarities(one, other) == pytest.approx(similarities(1e-20 * one, 1e5 * other))


def test_what_is_shown_does_not_hang_on_one_pixel():
    one = random(30, 30).numpy()
    other = one.copy()
    other[3, 3] = 1e6
    assert similarities(one, other)["ssim"] > 0.95


def test_maps_that_are_zero_but_for_a_pixel_are_compared():
    one = np.zeros((20, 20))
    one[10, 10] = 5.0
    assert similarities(one, one) == pytest.approx(dict.fromkeys(similarities(one, one), 1.0))


def test_a_constant_map_is_like_nothing():
    flat = np.full((12, 12), 3.0)
    assert all(np.isnan(value) for value in similarities(flat, random(12, 12).numpy()).values())
    assert np.isnan(spearman(flat, flat))


def test_small_maps_have_no_ssim():
    with pytest.raises(ProbeError, match="10×30 pixels are too small for SSIM"):
        ssim(np.eye(10, 30), np.eye(10, 30))
