"""The steerable pyramid and the texture statistics, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probe.errors import ProbeError
from probe.stimuli import matched_noise
from probe.synthesis.texture_statistics import SteerablePyramid, TextureStatistics


def random_pictures(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class TestSteerablePyramid:
    """Bands of a tight frame."""

    @given(
        st.integers(0, 2**32), st.integers(1, 4), st.integers(2, 6),
        st.sampled_from([(32, 32), (32, 48), (64, 16)]),
    )  # fmt: skip
    def test_pictures_come_back_and_energy_is_kept(self, seed, scales, orientations, size):
        pictures = random_pictures(seed, 2, *size)
        apart = SteerablePyramid(size, scales, orientations, dtype=torch.float64)
        pyramid = apart(pictures)
        torch.testing.assert_close(apart.invert(pyramid), pictures, rtol=0, atol=1e-12)
        # A pixel of a scale that is half as large stands for four.
        energy = (pyramid.high**2).sum() + 4**scales * (pyramid.low**2).sum()
        for k, band in enumerate(pyramid.bands):
            energy = energy + 4**k * (band.real**2).sum()
        torch.testing.assert_close(energy, (pictures**2).sum())

    @pytest.mark.parametrize("scale", range(3))
    @pytest.mark.parametrize("orientation", [0.0, 45.0, 90.0, 135.0])
    def test_a_grating_lies_in_one_band(self, scale, orientation):
        # The middle of the octaves that a scale passes; sides of the square it repeats in.
        frequency = 32 / 2**scale
        turn = np.radians(orientation)
        cycles = np.round([frequency * np.cos(turn), frequency * np.sin(turn)])
        y, x = np.mgrid[:128, :128] / 128
        wave = torch.from_numpy(np.cos(2 * np.pi * (cycles[0] * x - cycles[1] * y)))[None]
        pyramid = SteerablePyramid((128, 128), 3, dtype=torch.float64)(wave)
        energy = torch.stack(
            [4**k * (b.abs() ** 2).sum((0, 2, 3)) for k, b in enumerate(pyramid.bands)]
        )
        share = energy / energy.sum()
        assert int(share.argmax()) == 4 * scale + round(orientation / 45)
        # Neighbours in orientation share cos⁶ 45° = 1/8 of its energy each, at the side.
        assert share[scale].sum() > 0.98
        assert share.max() == pytest.approx(0.8, abs=0.02)
        # The magnitude of a wave is the same all over: its parts are in quadrature.
        band = pyramid.bands[scale][0, round(orientation / 45)].abs()
        torch.testing.assert_close(band, band.mean().expand_as(band), rtol=1e-6, atol=0)

    def test_sizes_that_cannot_be_halved_are_refused(self):
        with pytest.raises(ProbeError, match="multiples of 16"):
            SteerablePyramid((100, 128))
        with pytest.raises(ProbeError, match="2 or more"):
            SteerablePyramid((64, 64), orientations=1)


class TestTextureStatistics:
    """Noise and waves, whose statistics are known."""

    def test_gaussian_noise_has_the_moments_of_a_normal_distribution(self):
        measured = TextureStatistics((256, 256), dtype=torch.float64)(
            random_pictures(0, 4, 256, 256)
        )
        for name, expected, tolerance in (
            ("mean", 0.0, 0.01), ("variance", 1.0, 0.02), ("skewness", 0.0, 0.03),
            ("kurtosis", 3.0, 0.06),
        ):  # fmt: skip
            assert measured[name].mean() == pytest.approx(expected, abs=tolerance), name
        # Bands that do not overlap are independent of each other: no phases go together.
        assert measured["phase_correlation"].abs().mean() < 0.05
        # The magnitude of a complex normal number has a mean of √π/2 of its root mean square.
        bands = SteerablePyramid((256, 256), dtype=torch.float64)(
            random_pictures(0, 4, 256, 256)
        ).bands
        rms = bands[0].abs().square().mean((-2, -1)).sqrt()
        ratio = (measured["magnitude_mean"][:, 0] / rms).mean()
        assert ratio == pytest.approx(np.sqrt(np.pi) / 2, abs=0.01)

    def test_autocorrelations_are_those_of_numpy(self):
        picture = random_pictures(1, 1, 64, 64)
        statistics = TextureStatistics((64, 64), scales=2, dtype=torch.float64)
        lowpass = statistics.pyramid(picture).lowpasses[1][0].numpy()
        off = lowpass - lowpass.mean()
        middle = statistics(picture)["lowpass_autocorrelation"][0, 1]
        for dy, dx in ((0, 0), (1, 0), (-2, 3)):
            expected = (off * np.roll(off, (dy, dx), (0, 1))).mean() / off.var()
            assert middle[3 + dy, 3 + dx] == pytest.approx(expected, abs=1e-9)

    def test_correlations_are_those_of_numpy(self):
        picture = random_pictures(2, 1, 64, 64)
        statistics = TextureStatistics((64, 64), scales=2, dtype=torch.float64)
        fine = statistics.pyramid(picture).bands[0][0].abs().flatten(1).numpy()
        expected = np.corrcoef(fine)
        measured = statistics(picture)["orientation_correlation"][0, 0]
        np.testing.assert_allclose(measured, expected, atol=1e-9)

    def test_moving_a_tile_changes_nothing(self):
        picture = random_pictures(3, 1, 64, 64)
        statistics = TextureStatistics((64, 64), scales=2, dtype=torch.float64)
        moved = statistics(picture.roll((16, 4), (1, 2)))
        for name, values in statistics(picture).items():
            torch.testing.assert_close(moved[name], values, rtol=1e-9, atol=1e-9)

    def test_lines_and_edges_differ_in_phase_alone(self):
        # Light lines, dark lines, edges: of the same magnitudes, as far as these go together.
        line = torch.zeros(1, 128, 128, dtype=torch.float64)
        line[:, :, 64] = 1.0
        step = torch.zeros_like(line)
        step[:, :, :64] = 1.0
        statistics = TextureStatistics((128, 128), scales=3, dtype=torch.float64)
        light, dark, edge = (
            statistics(x)["phase_correlation"][0, 0, 0] for x in (line, -line, step)
        )
        torch.testing.assert_close(dark[[0]], -light[[0]])
        assert light.abs().max() > 0.3
        assert (light - edge).abs().max() > 0.3

    def test_the_gradient_is_finite_also_of_what_is_empty(self):
        pictures = gratings_like(64).requires_grad_()
        values = TextureStatistics((64, 64), scales=2)(pictures)
        sum(v.sum() for v in values.values()).backward()
        assert pictures.grad.isfinite().all()

    def test_small_pictures_are_refused(self):
        with pytest.raises(ProbeError, match="112 px or more"):
            TextureStatistics((96, 128))


def gratings_like(size: int) -> torch.Tensor:
    x = torch.arange(size) / size
    return torch.cos(2 * np.pi * 8 * x).expand(1, size, size).clone()


def test_matched_noise_has_the_spectrum_and_no_more():
    picture = np.random.default_rng(0).random((48, 64)) ** 3
    noise = matched_noise(picture, np.random.default_rng(1))
    amplitudes = (np.abs(np.fft.fft2(x)) for x in (picture, noise))
    np.testing.assert_allclose(*amplitudes, atol=1e-9)
    assert noise.mean() == pytest.approx(picture.mean())
    assert noise.std() == pytest.approx(picture.std())
    assert abs(np.corrcoef(picture.ravel(), noise.ravel())[0, 1]) < 0.1
