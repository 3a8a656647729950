"""Tuning for gratings, of cells that are known and of curves with closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from gabors import bank, gabor, sensitivity
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import iv

from probe import models
from probe.errors import ProbeError
from probe.features import kernels
from probe.models import Network
from probe.tuning.gratings import (
    GratingResponses,
    grating_tuning,
    harmonics,
    show_gratings,
    spatial_frequencies,
)
from probe.tuning.measured import Measured
from probe.tuning.units import Units, layer_units


def tuned(network: Network, layers: str, **options) -> pd.DataFrame:
    units = layer_units(network, layers)
    table = grating_tuning(units, show_gratings(units, progress=False, **options)).table
    return pd.concat([units.table, table], axis=1)


def off_by(measured, truth) -> np.ndarray:
    return (np.asarray(measured) - np.asarray(truth) + 90) % 180 - 90


class TestKnownCells:
    """A bank of Gabors with rectifiers, and V1's cells as they were built."""

    TURNS, CYCLES = [10.0, 47.0, 101.0, 155.0], [6.0, 9.0, 13.0, 7.5]

    @pytest.fixture(scope="class")
    @staticmethod
    def cells() -> list[np.ndarray]:
        return [
            gabor(o, f, sd=4.0)
            for o, f in zip(TestKnownCells.TURNS, TestKnownCells.CYCLES, strict=True)
        ]

    @pytest.fixture(scope="class")
    @staticmethod
    def table(cells: list[np.ndarray]) -> pd.DataFrame:
        return tuned(bank(cells), "1")

    def test_orientation_and_frequency(self, table: pd.DataFrame, cells: list) -> None:
        assert table["responds"].all()
        assert np.abs(off_by(table["preferred_orientation"], self.TURNS)).max() < 1
        fine = np.linspace(3, 20, 800)
        peaks = [
            fine[sensitivity(k, np.full(800, o), fine).argmax()]
            for k, o in zip(cells, self.TURNS, strict=True)
        ]
        np.testing.assert_allclose(table["preferred_frequency"], peaks, rtol=0.03)

    def test_widths_are_those_of_the_filter(self, table: pd.DataFrame, cells: list) -> None:
        away = np.arange(0, 90, 0.05)
        for row, kernel, o in zip(table.itertuples(), cells, self.TURNS, strict=True):
            of_turn = sensitivity(kernel, o + away, np.full(len(away), row.preferred_frequency))
            for level, measured in (
                (0.5, row.orientation_full_width / 2),
                (2**-0.5, row.orientation_bandwidth),
            ):
                expected = away[(of_turn < level * of_turn[0]).argmax()]
                assert measured == pytest.approx(expected, rel=0.04)
            octaves = np.linspace(-2.5, 2.5, 1001)
            cycles = row.preferred_frequency * 2**octaves
            of_scale = sensitivity(kernel, np.full(len(octaves), o), cycles)
            inside = octaves[of_scale > of_scale.max() / 2]
            assert row.frequency_bandwidth == pytest.approx(np.ptp(inside), rel=0.06)

    def test_rectified_linear_cells_are_simple(self, table: pd.DataFrame) -> None:
        # Half a cosine: π / 2.
        np.testing.assert_allclose(table["f1_f0"], np.pi / 2, rtol=0.06)
        assert (table["orthogonal_ratio"] < 0.01).all()

    def test_the_rectifier_counts_before_the_rectifier_too(self, cells: list) -> None:
        before, after = (tuned(bank(cells), layer) for layer in ("0", "1"))
        pd.testing.assert_frame_equal(before.iloc[:, 9:], after.iloc[:, 9:])

    @settings(max_examples=5)
    @given(st.floats(0, 180), st.floats(6, 14), st.floats(0, 6.3))
    def test_any_gabor(self, orientation: float, frequency: float, phase: float) -> None:
        kernel = gabor(orientation, frequency, sd=4.0, phase=phase)
        row = tuned(bank([kernel]), "1", orientations=12).iloc[0]
        fine = np.linspace(3, 20, 400)  # without its mean, a wide filter peaks a little beyond
        peak = fine[sensitivity(kernel, np.full(400, orientation), fine).argmax()]
        assert abs(off_by(row["preferred_orientation"], orientation)) < 2
        assert row["preferred_frequency"] == pytest.approx(peak, rel=0.05)
        assert row["f1_f0"] > 1

    def test_a_picture_that_is_no_square(self) -> None:
        # Cycles are per width, whichever way bars run: the same cell, the same pixels.
        wide = tuned(bank([gabor(47, 9.0)], size=(45, 126)), "1").iloc[0]
        assert abs(off_by(wide["preferred_orientation"], 47)) < 2
        assert wide["preferred_frequency"] == pytest.approx(18.0, rel=0.05)

    def test_a_unit_that_responds_to_nothing(self) -> None:
        silent = np.zeros((41, 41))
        table = tuned(bank([gabor(0, 9.0), silent, 1e-4 * gabor(0, 9.0)]), "1")
        assert table["responds"].tolist() == [True, False, False]
        assert not table.loc[1:, "frequency_at_edge"].any()
        properties = table.loc[1:, "preferred_orientation":].drop(columns="frequency_at_edge")
        assert properties.isna().all().all()

    def test_a_layer_of_rounding_alone_does_not_respond(self) -> None:
        # The filters are in the bias's last digits: no unit is larger than another.
        table = tuned(bank([1e-9 * gabor(0, 9.0), 2e-9 * gabor(30, 9.0)], bias=0.3), "1")
        assert not table["responds"].any()

    def test_a_rate_that_never_rises_on_average_is_all_modulation(self) -> None:
        row = tuned(bank([0.01 * gabor(30, 9.0)], bias=10.0), "1").iloc[0]
        assert row["spontaneous"] == pytest.approx(10.0)
        assert row["f1_f0"] > 50
        assert abs(off_by(row["preferred_orientation"], 30)) < 2

    def check_v1(self, name: str, frequencies: list[float] | None) -> pd.DataFrame:
        network = models.load(name)
        table = tuned(network, "simple,complex", orientations=12, frequencies=frequencies)
        cells = np.array(network.module.cells)
        for layer, phases in (("simple", 4), ("complex", 1)):
            of = table[table["layer"] == layer]
            cycles = np.repeat(cells[:, 0] * network.module.degrees, phases)
            turns = np.repeat(cells[:, 1], phases)
            assert np.abs(off_by(of["preferred_orientation"], turns)).max() < 2
            np.testing.assert_allclose(of["preferred_frequency"], cycles, rtol=0.05)
            if layer == "simple":
                # Half of a squared cosine: 16 / 3π.
                np.testing.assert_allclose(of["f1_f0"], 16 / (3 * np.pi), rtol=0.02)
            else:
                assert (of["f1_f0"] < 1e-3).all()  # invariant to phase
        return table

    def test_v1_s_cells_of_a_wide_picture(self) -> None:
        self.check_v1("v1-gabor:40", [*(10 * 2 ** (np.arange(10) / 3))])

    @pytest.mark.slow
    def test_v1_s_cells(self) -> None:
        table = self.check_v1("v1-gabor", None)
        of = table[(table["layer"] == "complex") & (table["preferred_frequency"] < 50)]
        # As `probe.models.v1_gabor` was built; of responses, squared, the octaves are fewer.
        np.testing.assert_allclose(of["orientation_full_width"], 40, rtol=0.05)


def shown(curve_o: np.ndarray, curve_f: np.ndarray, cycles: np.ndarray) -> Measured:
    """Measure a unit with these curves, which does not care for phase."""
    n = len(curve_o)
    f0 = (curve_f[:, None] * curve_o[None])[..., None].astype(np.float32)
    grid = GratingResponses(
        np.arange(n) * 180 / n, cycles, f0, np.zeros_like(f0), np.zeros(1, np.float32)
    )
    units = Units(None, pd.DataFrame({"unit": ["a"], "layer": ["b"]}), ())
    return grating_tuning(units, grid)


class TestClosedForms:
    CYCLES = 2 * 2 ** (np.arange(17) / 3)
    LOG_GAUSSIAN = np.exp(-np.square(np.log2(CYCLES / 11)) / (2 * 0.5**2))

    @pytest.mark.parametrize("sharpness", [0.5, 2.0, 5.0])
    @pytest.mark.parametrize("preferred", [0.0, 33.0, 176.0])
    def test_von_mises(self, sharpness: float, preferred: float) -> None:
        turns = np.radians(np.arange(24) * 7.5 - preferred)
        curve = np.exp(sharpness * (np.cos(2 * turns) - 1))
        row = shown(curve, self.LOG_GAUSSIAN, self.CYCLES).table.iloc[0]
        assert abs(off_by(row["preferred_orientation"], preferred)) < 0.2
        variance = 1 - iv(1, sharpness) / iv(0, sharpness)
        assert row["circular_variance"] == pytest.approx(variance, abs=1e-3)
        assert row["orthogonal_ratio"] == pytest.approx(np.exp(-2 * sharpness), abs=2e-3)
        for column, level, sides in (
            ("orientation_bandwidth", 2**-0.5, 1),
            ("orientation_full_width", 0.5, 2),
        ):
            cosine = 1 + np.log(level) / sharpness
            if cosine < -1:  # it never falls so low
                assert np.isnan(row[column])
            else:
                width = sides * np.degrees(np.arccos(cosine)) / 2
                assert row[column] == pytest.approx(width, rel=0.01)

    def test_cosine(self) -> None:
        curve = 1 + np.cos(np.radians(2 * (np.arange(12) * 15.0 - 50)))
        row = shown(curve, self.LOG_GAUSSIAN, self.CYCLES).table.iloc[0]
        assert row["circular_variance"] == pytest.approx(0.5, abs=1e-4)
        assert row["orientation_full_width"] == pytest.approx(90, abs=0.5)
        assert row["orthogonal_ratio"] == pytest.approx(0, abs=1e-3)

    def test_no_tuning_at_all(self) -> None:
        row = shown(np.ones(24), self.LOG_GAUSSIAN, self.CYCLES).table.iloc[0]
        assert row["circular_variance"] == pytest.approx(1)
        assert row["orthogonal_ratio"] == pytest.approx(1)
        assert np.isnan(row["orientation_full_width"])

    def test_frequency_in_octaves(self) -> None:
        measured = shown(np.ones(24), self.LOG_GAUSSIAN, self.CYCLES)
        row = measured.table.iloc[0]
        assert row["preferred_frequency"] == pytest.approx(11, rel=0.01)
        half, seven = (2 * 0.5 * np.sqrt(-2 * np.log(level)) for level in (0.5, 2**-0.5))
        assert row["frequency_bandwidth"] == pytest.approx(half, rel=0.02)
        assert row["frequency_bandwidth_70"] == pytest.approx(seven, rel=0.02)
        curve = measured.curves["frequency"].loc["a"]
        np.testing.assert_allclose(curve, self.LOG_GAUSSIAN, rtol=1e-5)
        np.testing.assert_allclose(curve.index, self.CYCLES)

    def test_a_low_pass_unit_has_no_bandwidth(self) -> None:
        curve = np.exp(-np.square(self.CYCLES / 8) / 2)
        row = shown(np.ones(24), curve, self.CYCLES).table.iloc[0]
        assert row["preferred_frequency"] == pytest.approx(2)
        assert row["frequency_at_edge"]
        assert np.isnan(row["frequency_bandwidth"])

    def test_a_high_pass_unit_is_marked_and_a_band_pass_one_is_not(self) -> None:
        high = 1 - np.exp(-np.square(self.CYCLES / 30) / 2)
        row = shown(np.ones(24), high, self.CYCLES).table.iloc[0]
        assert row["preferred_frequency"] == pytest.approx(self.CYCLES[-1])
        assert row["frequency_at_edge"]
        assert (
            not shown(np.ones(24), self.LOG_GAUSSIAN, self.CYCLES)
            .table["frequency_at_edge"]
            .iloc[0]
        )

    def test_a_flat_curve_has_no_preferred_value(self) -> None:
        rng = np.random.default_rng(0)
        ripples = 1 + 0.002 * rng.standard_normal(24)  # as of pixels that differ with orientation
        row = shown(ripples, self.LOG_GAUSSIAN, self.CYCLES).table.iloc[0]
        assert np.isnan(row["preferred_orientation"])
        assert row["preferred_frequency"] == pytest.approx(11, rel=0.01)
        row = shown(np.ones(24), np.ones(len(self.CYCLES)), self.CYCLES).table.iloc[0]
        assert np.isnan(row["preferred_frequency"])
        assert not row["frequency_at_edge"]

    @pytest.mark.parametrize("phases", [4, 8, 9])
    def test_harmonics(self, phases: int) -> None:
        angle = 2 * np.pi * np.arange(phases) / phases
        values = 3 + np.array([0.5, 2.0]) * np.cos(angle[:, None] - 0.7)
        f0, f1 = harmonics(values[None])
        np.testing.assert_allclose(f0, [[3, 3]])
        np.testing.assert_allclose(f1, [[0.5, 2.0]])


class TestFrequencies:
    @given(st.integers(16, 600))
    def test_none_is_finer_than_pixels_show(self, width: int) -> None:
        cycles = spatial_frequencies(width)
        assert cycles[0] == 2
        assert cycles[-1] <= 0.45 * width < cycles[-1] * 2 ** (1 / 3)
        np.testing.assert_allclose(np.diff(np.log2(cycles)), 1 / 3)

    def test_pictures_that_are_too_small(self) -> None:
        with pytest.raises(ProbeError, match="pictures of 6 pixels show too few"):
            spatial_frequencies(6)


@pytest.mark.slow
def test_alexnet_s_first_layer_by_the_usual_criteria(alexnet: Network) -> None:
    """Counts that the literature's criteria give, beside the anisotropy of the kernels."""
    table = tuned(alexnet, "conv1")
    described = kernels(alexnet, sort="index").table
    assert table["responds"].sum() >= 60
    oriented = table["responds"] & (table["orthogonal_ratio"] < 0.5)
    anisotropic = (described["anisotropy"] > 0.5).to_numpy()
    # Of the kernels that the two measures call oriented, most are the same.
    assert (oriented.to_numpy() & anisotropic).sum() / anisotropic.sum() > 0.9
    both = oriented.to_numpy() & anisotropic & (described["colour"] < 0.2).to_numpy()
    apart = off_by(table.loc[both, "preferred_orientation"], described.loc[both, "orientation"])
    assert np.median(np.abs(apart)) < 3
    # Linear and rectified: all are simple.
    assert (table.loc[table["responds"], "f1_f0"] > 1).all()
