"""Whitened inner products against V itself, inverted, and against rsatoolbox."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import scipy.sparse.linalg
from hypothesis import assume, given
from hypothesis import strategies as st
from rsatoolbox.inference import boot_noise_ceiling, bootstrap_sample_pattern
from rsatoolbox.rdm import RDMs
from rsatoolbox.rdm import compare as rsatoolbox_compare
from scipy.spatial.distance import squareform

from probe.recordings import load
from probe.similarity import whitening as module
from probe.similarity.whitening import inner_products

THEIRS = {False: "cosine_cov", True: "corr_cov"}


def vectors(seed, n_rdms, n):
    return np.random.default_rng(seed).random((n_rdms, n * (n - 1) // 2))


def matrices(rows):
    return np.stack([squareform(row) for row in rows])


def covariance(seed, n):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, n))
    return root @ root.T / n + 0.3 * np.eye(n)


def some_missing(seed, n, share=0.3):
    missing = squareform(np.random.default_rng(seed).random(n * (n - 1) // 2) < share)
    return missing.astype(bool)


def similarity(squares, **options):
    products = inner_products(squares, **options)
    lengths = np.sqrt(products.diagonal())
    return products / np.outer(lengths, lengths)


def definition(squares, *, centred, counts=None, missing=None, sigma_k=None):
    """Write every pair of the resample out, make V of the pairs that are there, and invert it."""
    n = squares.shape[-1]
    drawn = np.repeat(np.arange(n), np.ones(n, int) if counts is None else counts)
    if sigma_k is None or sigma_k.ndim == 1:  # copies err independently
        of_drawn = np.diag(np.ones(len(drawn)) if sigma_k is None else sigma_k[drawn])
    else:
        of_drawn = sigma_k[np.ix_(drawn, drawn)]
    i, j = np.triu_indices(len(drawn), 1)
    known = drawn[i] != drawn[j]
    if missing is not None:
        known &= ~missing[drawn[i], drawn[j]]
    i, j = i[known], j[known]
    contrasts = np.eye(len(drawn))[i] - np.eye(len(drawn))[j]
    v = (contrasts @ of_drawn @ contrasts.T) ** 2
    r = squares[:, drawn[i], drawn[j]]
    if centred:
        r = r - r.mean(axis=1, keepdims=True)
    return r @ np.linalg.solve(v, r.T)


inputs = {"seed": st.integers(0, 10**6), "centred": st.booleans(), "n": st.integers(3, 8)}
resamples = st.lists(st.integers(0, 4), min_size=6, max_size=6)


class TestDefinition:
    @given(**inputs)
    def test_all_pairs(self, seed, centred, n):
        squares = matrices(vectors(seed, 3, n))
        np.testing.assert_allclose(
            inner_products(squares, centred=centred),
            definition(squares, centred=centred), rtol=0, atol=1e-10,
        )  # fmt: skip

    @given(**inputs)
    def test_correlated_conditions(self, seed, centred, n):
        squares, sigma_k = matrices(vectors(seed, 3, n)), covariance(seed, n)
        expected = definition(squares, centred=centred, sigma_k=sigma_k)
        found = inner_products(squares, centred=centred, sigma_k=sigma_k)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * np.abs(expected).max())

    @given(**inputs)
    def test_unequal_variances(self, seed, centred, n):
        variances = np.random.default_rng(seed).uniform(0.2, 3.0, n)
        squares = matrices(vectors(seed, 3, n))
        expected = definition(squares, centred=centred, sigma_k=variances)
        for sigma_k in (variances, np.diag(variances)):
            found = inner_products(squares, centred=centred, sigma_k=sigma_k)
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)

    @given(correlated=st.booleans(), **inputs)
    def test_missing_pairs(self, seed, centred, n, correlated):
        squares, missing = matrices(vectors(seed, 3, n)), some_missing(seed, n)
        assume(np.count_nonzero(~missing) - n >= 4)
        options = {"missing": missing, "sigma_k": covariance(seed, n) if correlated else None}
        expected = definition(squares, centred=centred, **options)
        squares[:, missing] = np.nan  # not read
        found = inner_products(squares, centred=centred, **options)
        np.testing.assert_allclose(
            found, expected, rtol=0, atol=1e-8 * max(1.0, np.abs(expected).max())
        )

    @given(counts=resamples, variances=st.booleans(), seed=st.integers(0, 10**6), c=st.booleans())
    def test_resamples(self, counts, variances, seed, c):
        assume(np.count_nonzero(counts) >= 2)
        options = {"centred": c, "counts": np.array(counts)}
        if variances:
            options["sigma_k"] = np.random.default_rng(seed).uniform(0.2, 3.0, 6)
        squares = matrices(vectors(seed, 3, 6))
        np.testing.assert_allclose(
            inner_products(squares, **options), definition(squares, **options), rtol=0, atol=1e-9
        )

    @given(counts=resamples, seed=st.integers(0, 10**6), centred=st.booleans())
    def test_resamples_with_missing_pairs(self, counts, seed, centred):
        missing, counts = some_missing(seed, 6), np.array(counts)
        assume((np.outer(counts, counts) * ~missing).sum() > (counts**2).sum())
        squares = matrices(vectors(seed, 3, 6))
        options = {"centred": centred, "counts": counts, "missing": missing}
        np.testing.assert_allclose(
            inner_products(squares, **options), definition(squares, **options), rtol=0, atol=1e-9
        )

    @given(seed=st.integers(0, 10**6), centred=st.booleans())
    def test_subsets_of_correlated_conditions(self, seed, centred):
        squares, sigma_k = matrices(vectors(seed, 3, 7)), covariance(seed, 7)
        options = {"centred": centred, "counts": np.array([1, 0, 1, 1, 1, 0, 1])}
        options |= {"missing": some_missing(seed, 7, 0.2), "sigma_k": sigma_k}
        expected = definition(squares, **options)
        np.testing.assert_allclose(
            inner_products(squares, **options), expected,
            rtol=0, atol=1e-8 * max(1.0, np.abs(expected).max()),
        )  # fmt: skip


class TestProperties:
    def test_cosine_is_linear_cka(self):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(20, 5)), rng.normal(size=(20, 30))
        distances = [((p[:, None] - p) ** 2).sum(axis=-1) for p in (x, y)]
        kernels = [p @ p.T for p in (x - x.mean(axis=0), y - y.mean(axis=0))]
        cka = np.sum(kernels[0] * kernels[1])
        cka /= np.linalg.norm(kernels[0]) * np.linalg.norm(kernels[1])
        assert similarity(np.stack(distances), centred=False)[0, 1] == pytest.approx(cka, abs=1e-12)

    def test_a_condition_without_distances_changes_nothing(self):
        squares = matrices(vectors(0, 3, 7))
        missing = some_missing(1, 7, 0.1)
        missing[4] = missing[:, 4] = True
        missing[4, 4] = False
        left = np.arange(7) != 4
        part = squares[:, left][:, :, left]
        for sigma_k in (None, covariance(0, 7)):
            of_part = None if sigma_k is None else sigma_k[np.ix_(left, left)]
            np.testing.assert_allclose(
                inner_products(squares, centred=True, missing=missing, sigma_k=sigma_k),
                inner_products(
                    part, centred=True, missing=missing[np.ix_(left, left)], sigma_k=of_part
                ),
                rtol=1e-10,
            )

    @pytest.mark.parametrize("centred", [False, True])
    def test_scale_of_sigma_k_does_not_matter(self, centred):
        squares, sigma_k = matrices(vectors(0, 3, 8)), covariance(0, 8)
        found = [
            similarity(squares, centred=centred, sigma_k=s)
            for s in (sigma_k, 1e-8 * sigma_k, 1e8 * sigma_k)
        ]
        np.testing.assert_allclose(found[1], found[0], rtol=1e-9)
        np.testing.assert_allclose(found[2], found[0], rtol=1e-9)
        # Nor does what all conditions share: it is in no distance.
        shared = similarity(squares, centred=centred, sigma_k=sigma_k + 5.0)
        np.testing.assert_allclose(shared, found[0], rtol=1e-9)

    def test_identity_is_the_default(self):
        squares, counts = matrices(vectors(0, 3, 8)), np.array([2, 0, 1, 1, 3, 1, 0, 1])
        default = inner_products(squares, centred=True, counts=counts)
        for sigma_k in (np.eye(8), np.ones(8)):
            found = inner_products(squares, centred=True, counts=counts, sigma_k=sigma_k)
            np.testing.assert_array_equal(found, default)

    @pytest.mark.parametrize("sigma_k", [None, covariance(3, 8)])
    def test_offset_does_not_matter_to_the_correlation(self, sigma_k):
        rows = vectors(0, 3, 8)
        a, b = (
            similarity(matrices(rows + offset), centred=True, sigma_k=sigma_k)
            for offset in (0.0, 100.0)
        )
        np.testing.assert_allclose(a, b, rtol=1e-10)

    @pytest.mark.parametrize("level", [0.1, 1 / 3, 7.0])
    def test_no_spread_after_centring(self, level):
        rows = vectors(0, 3, 30)
        rows[1] = level
        counts = np.random.default_rng(0).integers(0, 4, 30)
        lengths = np.sqrt(inner_products(matrices(rows), centred=True, counts=counts).diagonal())
        assert lengths[1] <= 1e-13 * level * 30
        assert lengths[0] > 1e-3

    def test_nothing_to_compare(self):
        squares, counts = matrices(vectors(0, 2, 5)), np.array([0, 0, 5, 0, 0])
        for centred in (False, True):
            found = inner_products(squares, centred=centred, counts=counts)
            np.testing.assert_array_equal(found, np.zeros((2, 2)))

    @pytest.mark.parametrize("counts", [None, np.arange(40) % 3])
    def test_in_blocks(self, counts, monkeypatch):
        squares = matrices(vectors(0, 3, 40))
        whole = inner_products(squares, centred=True, counts=counts)
        monkeypatch.setattr(module, "BLOCK_ENTRIES", 3 * 40 * 7)
        blocks = inner_products(squares, centred=True, counts=counts)
        np.testing.assert_allclose(blocks, whole, rtol=1e-12)

    def test_input_is_left_alone(self):
        squares, counts = matrices(vectors(0, 2, 6)), np.ones(6, int)
        missing, sigma_k = some_missing(0, 6), covariance(0, 6)
        before = [a.copy() for a in (squares, counts, missing, sigma_k)]
        inner_products(squares, centred=True, counts=counts, missing=missing, sigma_k=sigma_k)
        inner_products(squares, centred=True, counts=counts, missing=missing)
        for now, then in zip((squares, counts, missing, sigma_k), before, strict=True):
            np.testing.assert_array_equal(now, then)


class TestErrors:
    squares = matrices(vectors(0, 2, 6))

    def refused(self, match, **options):
        with pytest.raises(ValueError, match=match):
            inner_products(self.squares, centred=True, **options)

    def test_covariances_that_are_none(self):
        self.refused(r"shape \(5, 5\): expected \(6, 6\) or \(6,\)", sigma_k=np.eye(5))
        self.refused("not symmetric", sigma_k=np.eye(6) + 0.1 * np.eye(6, k=1))
        self.refused("NaN or infinite", sigma_k=np.full((6, 6), np.nan))
        negative = np.eye(6)
        negative[0, 0] = -2.0
        self.refused("not positive definite", sigma_k=negative)
        self.refused("not positive definite", sigma_k=np.ones((6, 6)))
        alike = covariance(0, 6)
        alike[1], alike[:, 1] = alike[0], alike[:, 0]
        alike[1, 1] = alike[0, 0]
        self.refused("not positive definite", sigma_k=alike)

    def test_one_condition_without_errors_is_positive_definite_on_contrasts(self):
        sigma_k = np.diag([0.0, 1.0, 1.0, 1.0, 2.0, 1.0])
        np.testing.assert_allclose(
            inner_products(self.squares, centred=True, sigma_k=sigma_k),
            definition(self.squares, centred=True, sigma_k=sigma_k), rtol=1e-8, atol=1e-10,
        )  # fmt: skip

    def test_copies_of_correlated_conditions(self):
        counts = np.array([1, 1, 0, 2, 1, 1])
        self.refused("a condition is repeated", counts=counts, sigma_k=covariance(0, 6))

    def test_too_many_unknowns(self, monkeypatch):
        monkeypatch.setattr(module, "MOST_MISSING", 2)
        missing = squareform(np.arange(15) < 3).astype(bool)
        self.refused("3 pairs are missing; with corr", missing=missing, sigma_k=covariance(0, 6))


class TestAgainstRsatoolbox:
    @pytest.mark.parametrize("centred", [False, True])
    @pytest.mark.parametrize("n", [12, 40])
    def test_independent(self, centred, n):
        rows = vectors(0, 5, n)
        theirs = rsatoolbox_compare(RDMs(rows), RDMs(rows), THEIRS[centred])
        np.testing.assert_allclose(
            similarity(matrices(rows), centred=centred), theirs, rtol=0, atol=1e-12
        )

    @pytest.fixture
    def to_the_end(self, monkeypatch):
        """Their conjugate gradients, which stop at a residual of 1e-5, go on to 1e-13."""
        patient = functools.partial(scipy.sparse.linalg.cg, rtol=1e-13)
        monkeypatch.setattr(scipy.sparse.linalg, "cg", patient)

    @pytest.mark.usefixtures("to_the_end")
    @pytest.mark.parametrize("centred", [False, True])
    @pytest.mark.parametrize("with_missing", [False, True])
    def test_correlated(self, centred, with_missing):
        rows, sigma_k = vectors(0, 5, 12), covariance(0, 12)
        missing = some_missing(1, 12) if with_missing else None
        if missing is not None:
            rows[:, squareform(missing)] = np.nan
        theirs = rsatoolbox_compare(RDMs(rows), RDMs(rows), THEIRS[centred], sigma_k=sigma_k)
        squares = matrices(np.nan_to_num(rows))
        ours = similarity(squares, centred=centred, missing=missing, sigma_k=sigma_k)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)

    def test_why_their_correlated_ones_differ_in_the_sixth_digit(self):
        """They stop early: their comparison is not even the same in both directions."""
        rows, sigma_k = vectors(0, 5, 12), covariance(0, 12)
        theirs = rsatoolbox_compare(RDMs(rows), RDMs(rows), "corr_cov", sigma_k=sigma_k)
        ours = similarity(matrices(rows), centred=True, sigma_k=sigma_k)
        assert np.abs(theirs - theirs.T).max() > 1e-6
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)

    @pytest.mark.usefixtures("to_the_end")
    def test_their_unequal_variances_are_not_v(self):
        """They centre with equal weights, then divide: the minimum over u has weights of its own.

        Their result for the same variances as a matrix, through V, is ours.
        """
        rows, variances = vectors(0, 2, 10), np.linspace(0.2, 3.0, 10)
        ours = similarity(matrices(rows), centred=False, sigma_k=variances)[0, 1]
        as_vector, as_matrix = (
            rsatoolbox_compare(RDMs(rows[:1]), RDMs(rows[1:]), "cosine_cov", sigma_k=s)[0, 0]
            for s in (variances, np.diag(variances))
        )
        assert ours == pytest.approx(as_matrix, abs=1e-9)
        assert abs(ours - as_vector) > 1e-3

    @pytest.mark.parametrize("centred", [False, True])
    def test_bootstrap_samples(self, centred, monkeypatch):
        n = 12
        models, data = vectors(0, 3, n), vectors(1, 2, n)
        rng = np.random.default_rng(7)
        # Their sampler draws from NumPy's global state: here from ours.
        monkeypatch.setattr(
            np.random, "randint", lambda low, high, size: rng.integers(low, high, size)
        )
        squares = matrices(np.concatenate([models, data]))
        for _ in range(10):
            sample, drawn = bootstrap_sample_pattern(RDMs(data))
            assert np.isnan(sample.dissimilarities).any()
            of_models = RDMs(models).subsample_pattern("index", drawn)
            theirs = rsatoolbox_compare(of_models, sample, THEIRS[centred])
            ours = similarity(squares, centred=centred, counts=np.bincount(drawn, minlength=n))
            np.testing.assert_allclose(ours[:3, 3:], theirs, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("mirror")
class TestHumanIT:
    """Ceilings of 92 images in four subjects, under two ways to pool the subjects' RDMs."""

    @staticmethod
    def ceiling(rows, centred, whitened_length):
        rows = rows - rows.mean(axis=1, keepdims=True) if centred else rows
        products = inner_products(matrices(rows), centred=centred)
        length = np.sqrt(products.diagonal() if whitened_length else (rows**2).mean(axis=1))
        # Rows: what is compared, scaled; columns: subjects, of unit whitened length.
        unit = products / np.outer(length, np.sqrt(products.diagonal()))
        gram = products / np.outer(length, length)
        others = 1.0 - np.eye(len(rows))
        lower = np.diag(others @ unit) / np.sqrt(np.einsum("as,st,at->a", others, gram, others))
        return lower.mean(), (unit.sum(axis=0) / np.sqrt(gram.sum())).mean()

    @pytest.mark.parametrize(
        ("centred", "theirs", "optimal"),
        [(True, (0.4298, 0.6958), (0.4284, 0.6966)), (False, (0.6647, 0.8173), (0.6652, 0.8177))],
    )
    def test_ceilings(self, centred, theirs, optimal):
        """rsatoolbox pools RDMs of unit plain length, whose mean similarity is not the largest."""
        human = load("it").rdms()[1]
        as_they_pool = self.ceiling(human, centred, whitened_length=False)
        assert as_they_pool == pytest.approx(theirs, abs=5e-5)
        in_rsatoolbox = boot_noise_ceiling(RDMs(human), THEIRS[centred])
        assert as_they_pool == pytest.approx(in_rsatoolbox, abs=1e-12)
        found = self.ceiling(human, centred, whitened_length=True)
        assert found == pytest.approx(optimal, abs=5e-5)
        assert found[1] > as_they_pool[1]
