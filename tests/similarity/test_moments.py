"""Products of many resamples against sums over pairs written out."""

from __future__ import annotations

import numpy as np

from probe.similarity.moments import moments, weights_of_pairs
from probe.similarity.pairs import Pairs


def test_weights_of_pairs():
    pairs = Pairs.all(9)
    counts = np.random.default_rng(0).integers(0, 4, (9, 7)).astype(float)
    expected = counts[pairs.i] * counts[pairs.j]
    np.testing.assert_array_equal(weights_of_pairs(pairs.i, pairs.j, counts), expected)


def test_moments_are_sums_over_pairs_as_often_as_they_occur():
    rng = np.random.default_rng(0)
    pairs = Pairs.all(9)
    x, y = rng.random((2, len(pairs))), rng.random((3, len(pairs)))
    counts = rng.multinomial(9, np.full(9, 1.0 / 9), size=5)
    products, x_sum, y_sum = moments(x, y, pairs, counts)
    for b, row in enumerate(counts):
        weights = pairs.weights(row)
        np.testing.assert_allclose(products.cross[b], (x * weights) @ y.T)
        np.testing.assert_allclose(products.of_x[b], (x * x) @ weights)
        np.testing.assert_allclose(products.of_y[b], (y * weights) @ y.T)
        np.testing.assert_allclose(x_sum[b], x @ weights)
        np.testing.assert_allclose(y_sum[b], y @ weights)
