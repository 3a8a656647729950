"""Size tuning and contrast response, beside closed forms and another optimiser."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gabors import SIDE, bank, gabor
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import curve_fit
from torch import Tensor, nn

from probe.models import Network, Preprocessing
from probe.tuning.gratings import GratingResponses, grating_tuning, show_gratings
from probe.tuning.patches import (
    CONTRASTS,
    OFF_CENTRE,
    _shared_centres,
    contrast_response,
    fit_naka_rushton,
    size_tuning,
)
from probe.tuning.units import Units, layer_units


def best_gratings(units: Units) -> tuple[GratingResponses, np.ndarray]:
    shown = show_gratings(units, 12, progress=False)
    return shown, grating_tuning(units, shown).table["responds"].to_numpy()


def test_a_linear_cell_sums_over_its_envelope() -> None:
    units = layer_units(bank([gabor(30.0, 13.0, sd=6.0)]), "1")
    shown, responds = best_gratings(units)
    measured = size_tuning(units, shown, responds, progress=False)
    row = measured.table.iloc[0]
    # Of a Gaussian, 1 - exp(-d² / 8σ²) lies within a disc: 95 % at d = 2σ √(2 ln 20).
    expected = 2 * 6.0 * np.sqrt(2 * np.log(20)) / SIDE
    assert row["summation_diameter"] == pytest.approx(expected, rel=0.05)
    assert 0 <= row["suppression_index"] < 0.02  # a rounding below 0 is in no published bin
    curve = measured.curves["diameter"].loc["1:0"]
    inside = 1 - np.exp(-np.square(curve.index * SIDE) / (8 * 6.0**2))
    np.testing.assert_allclose(curve / curve.iloc[-1], inside, atol=0.05)


class Normalised(nn.Module):
    """A Gabor's energy, divided by the contrast energy of all of the picture around it."""

    def __init__(self) -> None:
        super().__init__()
        even, odd = (gabor(30.0, 13.0, sd=4.0, phase=p) for p in (0.0, np.pi / 2))
        kernels = torch.from_numpy(np.stack([even, odd])).float()[:, None].expand(-1, 3, -1, -1)
        self.register_buffer("kernels", kernels / 3 / np.abs(even).sum())
        self.cells = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        energy = nn.functional.conv2d(x, self.kernels, stride=16, padding=20).square().sum(1)
        pool = 2 * x.square().mean((1, 2, 3))
        return self.cells(energy[:, 2, 2, None] / (pool[:, None] + 0.05))


def test_a_surround_suppresses_and_contrast_saturates() -> None:
    seen = Preprocessing("resize", (SIDE, SIDE), mean=(0.5,) * 3, std=(0.5,) * 3)
    units = layer_units(Network.from_module(Normalised(), preprocessing=seen), "cells")
    shown, responds = best_gratings(units)
    sizes = size_tuning(units, shown, responds, progress=False).table.iloc[0]
    # The centre is full long before the pool is: more of it divides, and adds nothing.
    assert 0.15 < sizes["summation_diameter"] < 0.5
    assert sizes["suppression_index"] > 0.4
    contrasts = contrast_response(units, shown, responds, progress=False).table.iloc[0]
    assert contrasts["c50"] == pytest.approx(np.sqrt(0.05), rel=0.02)
    assert contrasts["exponent"] == pytest.approx(2, rel=0.02)
    assert contrasts["contrast_r2"] > 0.999


def test_a_linear_cell_does_not_saturate() -> None:
    units = layer_units(bank([gabor(30.0, 13.0), 0 * gabor(30.0, 13.0)]), "1")
    shown, responds = best_gratings(units)
    table = contrast_response(units, shown, responds, progress=False).table
    assert table["c50"].iloc[0] == np.inf
    assert table["exponent"].iloc[0] == pytest.approx(1, abs=0.005)
    assert table.iloc[1].isna().all()  # it responds to nothing


class TestNakaRushton:
    C = np.array(CONTRASTS)

    @given(st.floats(0.03, 0.9), st.floats(0.8, 5.0), st.floats(1e-3, 1e3))
    def test_any_curve_is_found_again(self, c50: float, exponent: float, height: float) -> None:
        curve = height * self.C**exponent / (self.C**exponent + c50**exponent)
        measured = fit_naka_rushton(self.C, curve[None])
        np.testing.assert_allclose(np.ravel(measured), [c50, exponent, 1], rtol=5e-3)

    @pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
    def test_a_power_of_contrast_has_its_exponent(self, exponent: float) -> None:
        c50, measured, r2 = fit_naka_rushton(self.C, 3 * self.C[None] ** exponent)
        assert np.isinf(c50).all()
        np.testing.assert_allclose(measured, exponent, rtol=2e-3)
        assert r2 == pytest.approx(1, abs=1e-4)

    def test_as_scipy_fits_noise(self) -> None:
        rng = np.random.default_rng(0)

        def function(c: np.ndarray, height: float, c50: float, n: float) -> np.ndarray:
            return height * c**n / (c**n + c50**n)

        curves = function(self.C, 10.0, 0.2, 2.5) + rng.normal(scale=0.3, size=(12, len(self.C)))
        c50, exponent, _ = fit_naka_rushton(self.C, curves)
        expected = [curve_fit(function, self.C, y, (8.0, 0.3, 2.0))[0] for y in curves]
        np.testing.assert_allclose(c50, np.array(expected)[:, 1], rtol=2e-3)
        np.testing.assert_allclose(exponent, np.array(expected)[:, 2], rtol=4e-3)

    def test_what_cannot_be_fitted(self) -> None:
        flat, missing = np.ones(len(self.C)), np.full(len(self.C), np.nan)
        assert np.isnan(fit_naka_rushton(self.C, np.stack([flat, missing]))).all()


def test_units_of_large_windows_share_the_patches_of_small_ones() -> None:
    units = layer_units(bank([gabor(0, 9.0)]), "1")
    rows = units.table.loc[[0, 0, 0, 0]].reset_index(drop=True)
    rows["window"] = [5, 60, 60, np.nan]
    rows["centre_y"] = [31.0, 31 + 0.9 * 60 * OFF_CENTRE, 31 + 1.1 * 60 * OFF_CENTRE, 31.0]
    rows["centre_x"] = 31.0
    centres = _shared_centres(rows)
    np.testing.assert_allclose(centres[:2], [[31, 31], [31, 31]])
    np.testing.assert_allclose(centres[2], [31 + 6.6, 31])
    np.testing.assert_allclose(centres[3], [31, 31])
