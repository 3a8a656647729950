"""Bures similarity against closed forms, the best rotation, and rsatoolbox."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rsatoolbox.rdm import RDMs
from rsatoolbox.rdm import compare as rsatoolbox_compare
from rsatoolbox.rdm.compare import _bures_similarity_second_way
from scipy.linalg import sqrtm
from scipy.spatial.distance import squareform

from probe.similarity.bures import bures


def distances(*patterns):
    return np.stack([((p[:, None] - p) ** 2).sum(axis=-1) for p in patterns])


def patterns(seed, n=7, dimensions=12):
    return np.random.default_rng(seed).normal(size=(n, dimensions))


def kernel(square):
    centring = np.eye(len(square)) - 1.0 / len(square)
    return -0.5 * centring @ square @ centring


inputs = {
    "seed": st.integers(0, 10**6),
    "n": st.integers(3, 9),
    "dimensions": st.sampled_from([1, 2, 5, 20]),
}


class TestClosedForms:
    @given(seed=st.integers(0, 10**6), n=st.integers(3, 9))
    def test_definition(self, seed, n):
        a, b = distances(patterns(seed, n, 20), patterns(seed + 1, n, 20))
        # On the contrasts of conditions, where kernels of so many dimensions are definite.
        basis = np.linalg.qr(np.c_[np.ones(n), np.eye(n)[:, 1:]])[0][:, 1:]
        p, q = (basis.T @ kernel(d) @ basis for d in (a, b))
        expected = np.trace(sqrtm(sqrtm(p) @ q @ sqrtm(p))) / np.sqrt(np.trace(p) * np.trace(q))
        assert bures(a[None], b[None])[0, 0] == pytest.approx(expected, abs=1e-9)

    @given(**inputs)
    def test_best_rotation(self, seed, n, dimensions):
        """The cosine of Procrustes: singular values of the patterns' own product."""
        x, y = patterns(seed, n, dimensions), patterns(seed + 1, n, 9)
        a, b = x - x.mean(axis=0), y - y.mean(axis=0)
        expected = np.linalg.svd(a.T @ b, compute_uv=False).sum()
        expected /= np.linalg.norm(a) * np.linalg.norm(b)
        found = bures(distances(x), distances(y))
        assert found[0, 0] == pytest.approx(expected, abs=1e-10)

    def test_one_dimension(self):
        """Of kernels of rank one, the absolute cosine of their axes."""
        x, y = patterns(0, 10, 1), patterns(1, 10, 1)
        expected = abs(np.corrcoef(x.T, y.T)[0, 1])
        assert bures(distances(x), distances(y))[0, 0] == pytest.approx(expected, abs=1e-12)

    def test_orthogonal(self):
        x, y = np.array([[1.0, 1, -1, -1], [1.0, -1, 1, -1]])[:, :, None]
        assert bures(distances(x), distances(y))[0, 0] == pytest.approx(0.0, abs=1e-12)

    def test_commuting(self):
        """Kernels with the same axes: the cosine of the roots of their eigenvalues."""
        axes = np.linalg.qr(np.c_[np.ones(5), patterns(0, 5, 4)])[0][:, 1:]
        p, q = np.array([4.0, 1.0, 1.0, 0.0]), np.array([1.0, 9.0, 0.0, 1.0])
        a, b = distances(axes * np.sqrt(p), axes * np.sqrt(q))
        expected = np.sqrt(p) @ np.sqrt(q) / np.sqrt(p.sum() * q.sum())
        assert bures(a[None], b[None])[0, 0] == pytest.approx(expected, abs=1e-12)


class TestProperties:
    @given(**inputs)
    def test_bounded_and_symmetric(self, seed, n, dimensions):
        a = distances(patterns(seed, n, dimensions), patterns(seed + 1, n, 4))
        found = bures(a, a)
        np.testing.assert_allclose(found, found.T, atol=1e-12)
        np.testing.assert_allclose(found.diagonal(), 1.0, atol=1e-12)
        assert ((found >= 0.0) & (found <= 1.0)).all()

    @given(**inputs)
    def test_scale_rotation_and_translation_do_not_matter(self, seed, n, dimensions):
        x, y = patterns(seed, n, 5), patterns(seed + 1, n, dimensions)
        rotation = np.linalg.qr(patterns(seed + 2, 5, 5))[0]
        found = bures(distances(x, 30.0 * x @ rotation + 4.0), distances(y))
        assert found[1, 0] == pytest.approx(found[0, 0], abs=1e-9)

    def test_every_rdm_with_every_other(self):
        a, b = (distances(*(patterns(s + k) for k in range(3))) for s in (0, 10))
        found = bures(a, b[:2])
        assert found.shape == (3, 2)
        assert found[2, 1] == bures(a[2:], b[1:2])[0, 0]

    def test_input_is_left_alone(self):
        a = distances(patterns(0), patterns(1))
        before = a.copy()
        bures(a, a)
        bures(a, a, np.ones(7))
        np.testing.assert_array_equal(a, before)


class TestResamples:
    @given(counts=st.lists(st.integers(0, 3), min_size=7, max_size=7), seed=st.integers(0, 10**6))
    def test_copies_are_at_distance_zero(self, counts, seed):
        assume(np.count_nonzero(counts) >= 2)
        a, b = distances(patterns(seed), patterns(seed + 1))
        drawn = np.repeat(np.arange(7), counts)
        expected = bures(*(d[np.ix_(drawn, drawn)][None] for d in (a, b)))
        found = bures(a[None], b[None], np.array(counts))
        np.testing.assert_allclose(found, expected, atol=1e-10)

    def test_all_once_is_no_resample(self):
        a, b = (distances(patterns(s), patterns(s + 1)) for s in (0, 2))
        np.testing.assert_allclose(bures(a, b, np.ones(7, int)), bures(a, b), rtol=1e-14)

    def test_no_kernel_is_left(self):
        a = distances(patterns(0), patterns(1))
        assert np.isnan(bures(a, a, np.array([0, 0, 4, 0, 0, 0, 0]))).all()
        flat = np.zeros((1, 7, 7))
        np.testing.assert_array_equal(np.isnan(bures(flat, a)), [[True, True]])


class TestNegativeEigenvalues:
    """Distances that are not Euclidean: here differences of independent noise."""

    @staticmethod
    def crossvalidated(seed, n=10):
        noise = np.random.default_rng(seed).normal(size=n * (n - 1) // 2)
        return squareform(distances(patterns(seed, n, 3))[0], checks=False) + 4.0 * noise

    def test_clipped_everywhere(self):
        a, b = (squareform(self.crossvalidated(seed)) for seed in (0, 1))
        assert np.linalg.eigvalsh(kernel(a))[0] < -1.0
        found = bures(np.stack([a, b]), np.stack([a, b]))
        np.testing.assert_allclose(found, found.T, atol=1e-12)
        np.testing.assert_allclose(found.diagonal(), 1.0, atol=1e-12)
        # The same kernels without their negative part.
        values, axes = np.linalg.eigh(kernel(a))
        clipped = distances(axes * np.sqrt(np.maximum(values, 0.0)))
        np.testing.assert_allclose(bures(clipped, b[None])[0, 0], found[0, 1], atol=1e-10)

    def test_why_theirs_differ(self):
        """They clip in one kernel, not in the other nor in the traces: 1 is exceeded."""
        a, b = self.crossvalidated(0), self.crossvalidated(1)
        rdms = RDMs(np.stack([a, b]))
        theirs = rsatoolbox_compare(rdms, rdms, "bures")
        assert theirs[0, 0] > 1.1
        assert abs(theirs[0, 1] - theirs[1, 0]) > 1e-3


class TestAgainstRsatoolbox:
    @pytest.mark.parametrize("n", [4, 12, 40])
    def test_euclidean(self, n):
        a = distances(*(patterns(s, n, 60) for s in range(3)))
        b = distances(*(patterns(s, n, 60) for s in (10, 11)))
        theirs = rsatoolbox_compare(RDMs(a), RDMs(b), "bures")
        # Theirs takes the roots of eigenvalues of a product, 1e-8 where they should be zero.
        np.testing.assert_allclose(bures(a, b), theirs, rtol=0, atol=1e-7)
        other_way = [[_bures_similarity_second_way(kernel(x), kernel(y)) for y in b] for x in a]
        np.testing.assert_allclose(bures(a, b), other_way, rtol=0, atol=1e-12)

    def test_fewer_dimensions_than_conditions(self):
        a, b = distances(patterns(0, 20, 3)), distances(patterns(1, 20, 5))
        theirs = rsatoolbox_compare(RDMs(a), RDMs(b), "bures")
        np.testing.assert_allclose(bures(a, b), theirs, rtol=0, atol=1e-6)


def test_not_finite():
    a = distances(patterns(0))
    a[0, 2, 3] = a[0, 3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        bures(a, a)
    # In a condition that does not occur, it does no harm.
    counts = np.array([1, 1, 1, 0, 1, 1, 1])
    assert bures(a, a, counts)[0, 0] == pytest.approx(1.0)
