"""Tuning for curvature and angular position: simulated units are found as they were made."""

from __future__ import annotations

import numpy as np
import pytest

from probe.errors import ProbeError
from probe.stimuli import pasupathy_connor_shapes
from probe.tuning.shapes import (
    CURVATURES,
    draw_shapes,
    fit_shapes,
    gaussian_response,
    predictions,
)

SHAPES = pasupathy_connor_shapes()


@pytest.fixture(scope="module")
def simulated() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """100 units with Gaussian tuning, off the grid that is tried, and their responses."""
    rng = np.random.default_rng(0)
    truth = {
        "curvature": rng.uniform(-0.5, 0.95, 100),
        "curvature_sd": rng.uniform(0.12, 0.5, 100),
        "angle": rng.uniform(0.0, 360.0, 100),
        "angle_sd": rng.uniform(20.0, 70.0, 100),
    }
    responses = [gaussian_response(SHAPES, *values) for values in zip(*truth.values(), strict=True)]
    return truth, np.stack(responses, 1)


def test_tuning_of_simulated_units_is_recovered(simulated):
    truth, responses = simulated
    fitted = fit_shapes(3.0 + 20.0 * responses, SHAPES)
    assert np.median(fitted.correlation) > 0.985
    assert np.quantile(fitted.correlation, 0.05) > 0.93
    assert np.quantile(fitted.held_out, 0.05) > 0.9
    off = np.abs((fitted.angle - truth["angle"] + 180.0) % 360.0 - 180.0)
    assert np.median(off) < 2.0
    assert np.quantile(off, 0.9) < 10.0
    curvature = np.abs(fitted.curvature - truth["curvature"])
    assert np.median(curvature) < 0.03
    assert np.quantile(curvature, 0.9) < 0.15


def test_noise_is_fitted_but_not_predicted():
    noise = np.random.default_rng(1).standard_normal((len(SHAPES), 500))
    fitted = fit_shapes(noise, SHAPES)
    assert fitted.correlation.mean() > 0.2  # the best of thousands
    # 500 units × 5 parts of about 30 shapes: SD of the mean about .004.
    assert abs(fitted.held_out.mean()) < 0.015


def test_half_signal_half_noise_is_predicted_as_far_as_it_can_be(simulated):
    _, responses = simulated
    signal = responses / responses.std(0)
    noisy = signal + np.random.default_rng(2).standard_normal(signal.shape)
    fitted = fit_shapes(noisy, SHAPES)
    # The signal itself correlates by √½ with what is measured.
    assert 0.55 < fitted.held_out.mean() < np.sqrt(0.5)


def test_units_that_respond_alike_to_all_have_no_tuning():
    responses = np.random.default_rng(3).random((len(SHAPES), 2))
    responses[:, 1] = 4.0
    fitted = fit_shapes(responses, SHAPES)
    assert np.isnan(fitted.angle[1])
    assert np.isnan(fitted.correlation[1])
    assert np.isfinite(fitted.correlation[0])


def test_predictions_are_those_of_single_units():
    grid = predictions(SHAPES).reshape(24, 6, 24, 6, len(SHAPES))
    expected = gaussian_response(SHAPES, CURVATURES[14], 0.28, 90.0, 30.0)
    np.testing.assert_allclose(grid[14, 3, 6, 2], expected, rtol=1e-4)


def test_a_shape_is_drawn_around_its_centre():
    shapes = SHAPES[:1]  # a disc
    (picture,) = draw_shapes(shapes, (64, 96), 10.0, (20.0, 70.0))
    light = picture > 0.51
    rows, columns = np.nonzero(light)
    assert abs(rows.mean() - 20.0) < 0.3
    assert abs(columns.mean() - 70.0) < 0.3
    assert picture[0, 0] == 0.5
    assert picture.max() <= 1.0
    # At the border it is cut off, and not drawn elsewhere.
    (cut,) = draw_shapes(shapes, (64, 96), 10.0, (0.0, 95.0))
    assert (cut[:12, 84:] > 0.51).any()
    assert not (cut[20:] > 0.51).any()


def test_few_shapes_are_refused():
    with pytest.raises(ProbeError, match="20 shapes or more"):
        fit_shapes(np.zeros((3, 1)), SHAPES[:3])


def test_shapes_are_drawn_in_the_windows_of_units():
    import pandas as pd

    from probe import models
    from probe.tuning.shapes import shape_tuning
    from probe.tuning.units import layer_units

    network = models.load("squeezenet1_1", "random")
    units = layer_units(network, "features.0,features.3")
    shapes = SHAPES[::8]
    measured = shape_tuning(units, shapes)
    table = pd.concat([units.table, measured.table], axis=1)
    assert (table["shape_radius"] >= 6.0).all()
    by_layer = table.groupby("layer", sort=False)["shape_radius"].first()
    assert by_layer.is_monotonic_increasing
    assert measured.curves["shape"].shape == (len(units), len(shapes))
