"""Alignments against closed forms, SciPy, scikit-learn, rsatoolbox and their invariances."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from rsatoolbox.rdm import RDMs
from rsatoolbox.rdm import compare as rsatoolbox_compare
from scipy.linalg import orthogonal_procrustes
from scipy.optimize import linprog
from scipy.spatial import procrustes as scipy_procrustes
from sklearn.cross_decomposition import CCA

from probe.similarity import alignment
from probe.similarity.alignment import (
    ALIGNMENTS,
    Representation,
    cka,
    procrustes,
    pwcca,
    soft_matching,
    svcca,
)
from probe.similarity.rdms import BadPatternError, rdm

EACH = pytest.mark.parametrize("name", ALIGNMENTS)
SYMMETRIC = [name for name in ALIGNMENTS if name != "pwcca"]
ROTATED = [name for name in ALIGNMENTS if name != "soft-matching"]
KERNELS = ["cka", "cka-debiased", "procrustes"]
"""Those that never are 1 by construction, however many neuroids there are."""

few = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 10**6)
shapes = {
    "seed": seeds,
    "n": st.integers(14, 24),
    "p": st.integers(1, 6),
    "q": st.integers(1, 6),
}


def pair(seed, n=20, p=5, q=4, common=2):
    """Two populations that share some dimensions, on other scales and means."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(n, common))
    x = shared @ rng.normal(size=(common, p)) + rng.normal(size=(n, p))
    y = shared @ rng.normal(size=(common, q)) + rng.normal(size=(n, q))
    return 3.0 * x + rng.normal(size=p), 0.2 * y - 7.0


def centred(x):
    return x - x.mean(axis=0)


def rotation(seed, p):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(p, p)))[0]


def song(k, m):
    """Debiased CKA of two Gram matrices, as Song et al. 2012 write its HSIC."""
    n, one = len(k), np.ones(len(k))

    def hsic(k, m):
        k, m = (a - np.diag(a.diagonal()) for a in (k, m))
        middle = one @ k @ one * (one @ m @ one) / ((n - 1) * (n - 2))
        return (np.trace(k @ m) + middle - 2 / (n - 2) * one @ k @ m @ one) / (n * (n - 3))

    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


class TestEach:
    @EACH
    @few
    @given(**shapes)
    def test_identity_is_one_and_others_in_range(self, name, seed, n, p, q):
        x, y = pair(seed, n, p, q)
        align = ALIGNMENTS[name]
        assert align(x, x) == pytest.approx(1.0, abs=1e-12)
        lowest = -1.0 if name in ("cka-debiased", "soft-matching") else 0.0
        assert lowest <= align(x, y) < 1.0
        assert type(align(x, y)) is float

    @pytest.mark.parametrize("name", SYMMETRIC)
    @few
    @given(**shapes)
    def test_symmetric(self, name, seed, n, p, q):
        x, y = pair(seed, n, p, q)
        assert ALIGNMENTS[name](x, y) == pytest.approx(ALIGNMENTS[name](y, x), abs=1e-12)

    @EACH
    @few
    @given(gain=st.floats(1e-3, 1e3), offset=st.floats(-1e3, 1e3), **shapes)
    def test_gain_and_offset(self, name, gain, offset, seed, n, p, q):
        x, y = pair(seed, n, p, q)
        align = ALIGNMENTS[name]
        assert align(gain * x + offset, offset - y / 2) == pytest.approx(align(x, -y), abs=1e-8)

    @EACH
    @few
    @given(**shapes)
    def test_order_of_stimuli_and_of_neuroids(self, name, seed, n, p, q):
        x, y = pair(seed, n, p, q)
        rng = np.random.default_rng(seed + 1)
        order = rng.permutation(n)
        moved = x[order][:, rng.permutation(p)], y[order][:, rng.permutation(q)]
        assert ALIGNMENTS[name](*moved) == pytest.approx(ALIGNMENTS[name](x, y), abs=1e-12)

    @pytest.mark.parametrize("name", ROTATED)
    @few
    @given(**shapes)
    def test_rotation(self, name, seed, n, p, q):
        x, y = pair(seed, n, p, q)
        turned = ALIGNMENTS[name](x, y @ rotation(seed, q))
        assert turned == pytest.approx(ALIGNMENTS[name](x, y), abs=1e-9)

    @EACH
    @few
    @given(**shapes)
    def test_constant_neuroids_have_no_part(self, name, seed, n, p, q):
        x, y = pair(seed, n, p, q)
        padded = np.hstack([np.full((n, 1), 0.1), x, np.zeros((n, 2))])
        assert ALIGNMENTS[name](padded, y) == pytest.approx(ALIGNMENTS[name](x, y), abs=1e-12)

    @EACH
    @few
    @given(**shapes)
    def test_every_neuroid_twice(self, name, seed, n, p, q):
        x, y = pair(seed, n, p, q)
        twice = np.repeat(x, 2, axis=1)
        assert ALIGNMENTS[name](twice, y) == pytest.approx(ALIGNMENTS[name](x, y), abs=1e-7)
        assert ALIGNMENTS[name](twice, x) == pytest.approx(1.0, abs=1e-7)

    @pytest.mark.parametrize("name", ALIGNMENTS)
    @few
    @given(seed=seeds, n=st.integers(4, 20))
    def test_one_neuroid_each(self, name, seed, n):
        x, y = pair(seed, n, 1, 1)
        r = np.corrcoef(x[:, 0], y[:, 0])[0, 1]
        if name == "cka-debiased":  # from products of single responses
            wanted = song(*(centred(a) @ centred(a).T for a in (x, y)))
        else:
            wanted = {"cka": r**2, "soft-matching": r}.get(name, abs(r))
        assert ALIGNMENTS[name](x, y) == pytest.approx(wanted, abs=1e-9)

    @EACH
    def test_orthogonal_responses_share_nothing(self, name):
        contrast = np.array([1.0, -1.0] * 4)
        other = np.array([1.0, 1.0, -1.0, -1.0] * 2)
        found = ALIGNMENTS[name](contrast[:, None], other[:, None])
        if name == "cka-debiased":
            assert found < 0  # less than two unrelated neuroids have on average
        else:
            assert found == pytest.approx(0.0, abs=1e-12)

    @EACH
    def test_lists_and_integers(self, name):
        x, y = np.random.default_rng(0).integers(-9, 9, size=(2, 9, 3))
        found = ALIGNMENTS[name](x, y)
        assert ALIGNMENTS[name](x.tolist(), y.astype(float)) == pytest.approx(found, abs=1e-15)

    @EACH
    @pytest.mark.parametrize("p", [4, 300])
    def test_zarr_in_blocks(self, name, p, monkeypatch):
        x, y = pair(0, 30, p, 6)
        options = {"variance": 0.7} if name in ("svcca", "pwcca") else {}
        whole = ALIGNMENTS[name](x, y, **options)
        stored = zarr.create_array(zarr.storage.MemoryStore(), shape=x.shape, dtype=x.dtype,
                                   chunks=(8, 7))  # fmt: skip
        stored[:] = x
        monkeypatch.setattr(alignment, "BLOCK_BYTES", 8 * 30 * 20)
        assert ALIGNMENTS[name](stored, y, **options) == pytest.approx(whole, abs=1e-12)

    @EACH
    def test_a_representation_is_read_once(self, name):
        x, y = pair(0, 20, 40, 5)
        options = {"variance": 0.6} if name in ("svcca", "pwcca") else {}
        reads = []

        class Counted:
            shape = x.shape

            def __getitem__(self, where):
                reads.append(where)
                return x[where]

        held = Representation(Counted())
        for order in (np.arange(20), np.arange(20)[::-1]):
            found = ALIGNMENTS[name](held, y[order], **options)
            assert found == ALIGNMENTS[name](x, y[order], **options)
        # The weights of pwcca need the neuroids themselves for every other y.
        assert len(reads) == (3 if name == "pwcca" else 1)


class TestBadInput:
    @EACH
    def test_numbers_of_stimuli(self, name):
        x, y = pair(0)
        with pytest.raises(ValueError, match="x has 20 stimuli and y 19: expected the same"):
            ALIGNMENTS[name](x, y[1:])

    @EACH
    def test_too_few_stimuli(self, name):
        least = 4 if name == "cka-debiased" else 3
        x, y = pair(0, least - 1, 1, 1)
        with pytest.raises(ValueError, match=f"too few: at least {least}"):
            ALIGNMENTS[name](x, y)

    @EACH
    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    @pytest.mark.parametrize("p", [5, 50])
    def test_the_stimulus_is_named(self, name, bad, p):
        x, y = pair(0, 20, p, p)
        y[7, 2] = y[9, 0] = bad
        wanted = r"stimulus 7 \(and 1 more\) has a NaN or infinite response in y"
        with pytest.raises(BadPatternError, match=wanted) as raised:
            ALIGNMENTS[name](x[:, :3], y)
        assert (raised.value.row, raised.value.count) == (7, 2)

    @EACH
    @pytest.mark.parametrize("p", [3, 50])
    def test_constant_responses(self, name, p):
        x, _ = pair(0)
        with pytest.raises(ValueError, match=r"(same responses|constant) in y: nothing to"):
            ALIGNMENTS[name](x, np.full((20, p), 0.1))

    @EACH
    @pytest.mark.parametrize("shape", [(20,), (20, 0), (20, 2, 2)])
    def test_shapes(self, name, shape):
        with pytest.raises(ValueError, match="y has shape"):
            ALIGNMENTS[name](pair(0)[0], np.zeros(shape))

    def test_too_large(self):
        x, _ = pair(0, 10, 30)
        with pytest.raises(ValueError, match="x has responses too large to be squared"):
            cka(1e200 * x, x)

    @pytest.mark.parametrize("align", [svcca, pwcca])
    @pytest.mark.parametrize("variance", [0.0, -1.0, 1.01, np.nan])
    def test_variance(self, align, variance):
        with pytest.raises(ValueError, match="expected a share above 0"):
            align(*pair(0), variance=variance)


def hsic_1(k, n_stimuli):
    """The definition of the unbiased estimator: over all quadruples of distinct stimuli."""
    k, m = k
    terms = [
        k[i, j] * m[i, j] + k[i, j] * m[q, r] - 2 * k[i, j] * m[i, q]
        for i, j, q, r in itertools.permutations(range(n_stimuli), 4)
    ]
    return np.mean(terms)


class TestCKA:
    @few
    @given(**shapes)
    def test_definition(self, seed, n, p, q):
        x, y = (centred(a) for a in pair(seed, n, p, q))
        norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
        assert cka(x, y) == pytest.approx(np.linalg.norm(y.T @ x) ** 2 / norms, rel=1e-10)

    @few
    @given(seed=seeds, p=st.integers(1, 30), q=st.integers(1, 30))
    def test_debiased_over_quadruples(self, seed, p, q):
        x, y = pair(seed, 7, p, q)
        k, m = x @ x.T, y @ y.T  # not centred: the estimator does not need it
        norm = np.sqrt(hsic_1((k, k), 7) * hsic_1((m, m), 7))
        assert cka(x, y, debiased=True) == pytest.approx(hsic_1((k, m), 7) / norm, abs=1e-8)

    @pytest.mark.parametrize("p", [6, 90])
    def test_debiased_as_written_by_song(self, p):
        x, y = pair(0, 40, p, 5)
        # Centred, for the digits of the formula: what it computes is the same without.
        wanted = song(*(centred(a) @ centred(a).T for a in (x, y)))
        assert cka(x, y, debiased=True) == pytest.approx(wanted, abs=1e-13)

    @pytest.mark.parametrize("debiased", [False, True])
    def test_neuroids_or_stimuli(self, debiased):
        """Both ways to compute it agree where they meet."""
        x, y = pair(0, 30, 29, 8)
        wide = np.hstack([x, np.zeros((30, 40))])
        assert cka(wide, y, debiased) == pytest.approx(cka(x, y, debiased), abs=1e-13)

    @pytest.mark.parametrize(("p", "q"), [(8, 5), (60, 90)])
    def test_is_the_whitened_cosine_of_rsatoolbox(self, p, q):
        x, y = pair(0, 15, p, q)
        mine, other = (RDMs(rdm(a, "euclidean")[None]) for a in (x, y))
        theirs = rsatoolbox_compare(mine, other, "cosine_cov")[0, 0]
        assert cka(x, y) == pytest.approx(theirs, abs=1e-12)

    def test_bias(self):
        """Independent responses: CKA grows with the neuroids, its debiased form does not."""
        rng = np.random.default_rng(0)
        draws = [rng.normal(size=(2, 12, 400)) for _ in range(200)]
        assert np.mean([cka(x, y) for x, y in draws]) > 0.9
        debiased = [cka(x, y, debiased=True) for x, y in draws]
        assert abs(np.mean(debiased)) < 3 * np.std(debiased) / np.sqrt(200)

    @pytest.mark.parametrize("n", [4, 9])
    def test_equidistant_stimuli(self, n):
        x, _ = pair(0, n, 3, 3)
        with pytest.raises(ValueError, match="equally far apart in y"):
            cka(x, 5.0 + np.eye(n), debiased=True)
        assert 0 < cka(x, 5.0 + np.eye(n)) < 1


def canonical(x, y):
    """Canonical correlations from two orthonormal bases."""
    bases = [np.linalg.svd(centred(a), full_matrices=False)[0] for a in (x, y)]
    return np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)


class TestCanonical:
    @few
    @given(**shapes)
    def test_mean_of_the_canonical_correlations(self, seed, n, p, q):
        x, y = pair(seed, n, p, q)
        assert svcca(x, y, variance=1.0) == pytest.approx(canonical(x, y).mean(), abs=1e-10)

    def test_scikit_learn(self):
        x, y = pair(0, 60, 5, 3)
        fitted = CCA(n_components=3, tol=1e-12, max_iter=10_000).fit(x, y)
        u, v = fitted.transform(x, y)
        rho = [np.corrcoef(u[:, k], v[:, k])[0, 1] for k in range(3)]
        assert svcca(x, y, variance=1.0) == pytest.approx(np.mean(rho), abs=1e-8)
        # sklearn's scores are the canonical variates, but for their length.
        variates = centred(u) / np.linalg.norm(centred(u), axis=0)
        weights = np.abs(variates.T @ centred(x)).sum(axis=1)
        assert pwcca(x, y) == pytest.approx(np.average(rho, weights=weights), abs=1e-6)

    @few
    @given(variance=st.floats(0.2, 0.95), seed=seeds)
    def test_components_that_hold_the_variance(self, variance, seed):
        x, y = pair(seed, 40, 12, 7)
        parts = []
        for a in (x, y):
            u, s, _ = np.linalg.svd(centred(a), full_matrices=False)
            share = np.cumsum(s**2) / np.sum(s**2)
            kept = np.flatnonzero(share >= variance)[0] + 1
            parts.append(u[:, :kept] * s[:kept])
        assert svcca(x, y, variance) == pytest.approx(canonical(*parts).mean(), abs=1e-10)

    @few
    @given(seed=seeds)
    def test_more_neuroids_than_stimuli(self, seed):
        """Through the stimuli: the same as from the responses themselves."""
        x, y = pair(seed, 20, 9, 6)
        lifted = x @ rotation(seed, 50)[:9]  # 50 neuroids that lie in 9 dimensions
        assert svcca(lifted, y) == pytest.approx(svcca(x, y), abs=1e-9)
        assert svcca(lifted, y, variance=1.0) == pytest.approx(svcca(x, y, variance=1.0), abs=1e-7)
        assert procrustes(lifted, y) == pytest.approx(procrustes(x, y), abs=1e-7)

    @few
    @given(**shapes)
    def test_any_linear_map(self, seed, n, p, q):
        x, y = pair(seed, n, p, q)
        mixed = y @ (rotation(seed, q) * np.geomspace(1, 30, q))
        assert svcca(x, mixed, variance=1.0) == pytest.approx(svcca(x, y, variance=1.0), abs=1e-9)
        assert pwcca(x, mixed) == pytest.approx(pwcca(x, y), abs=1e-9)

    @few
    @given(**shapes)
    def test_projection_weights(self, seed, n, p, q):
        x, y = pair(seed, n, p, q)
        bases = [np.linalg.qr(centred(a))[0] for a in (x, y)]
        left, rho, _ = np.linalg.svd(bases[0].T @ bases[1], full_matrices=False)
        alpha = [sum(abs(h @ neuroid) for neuroid in centred(x).T) for h in (bases[0] @ left).T]
        assert pwcca(x, y) == pytest.approx(np.dot(alpha, rho) / np.sum(alpha), abs=1e-9)

    def test_pwcca_weighs_by_the_first(self):
        """y has the large dimension of x and not the small one."""
        rng = np.random.default_rng(0)
        large, small, other = np.linalg.qr(centred(rng.normal(size=(40, 3))))[0].T
        x = np.stack([100.0 * large, small], axis=1)
        y = np.stack([large, 100.0 * other], axis=1)
        assert pwcca(x, y) == pytest.approx(100 / 101)
        assert pwcca(y, x) == pytest.approx(1 / 101)
        assert svcca(x, y, variance=1.0) == pytest.approx(0.5)

    @pytest.mark.parametrize("align", [svcca, pwcca])
    @pytest.mark.parametrize(("p", "q"), [(19, 2), (50, 2), (2, 19), (2, 200)])
    def test_refuses_what_is_one_by_construction(self, align, p, q):
        x, y = pair(0, 20, p, q)
        side = "x" if p > q else "y"
        with pytest.raises(ValueError, match=f"{side} has 19 components.*1 by construction"):
            align(x, y, variance=1.0)
        assert 0 < align(x, y, variance=0.5) < 1

    def test_as_many_as_must_be_are_one(self):
        """12 and 10 dimensions of 19: three of them are common, whatever they are."""
        x, y = np.random.default_rng(0).normal(size=(2, 20, 12))
        rho = canonical(x, y[:, :10])
        np.testing.assert_allclose(rho[:3], 1.0, atol=1e-12)
        assert rho[3] < 0.999
        assert svcca(x, y[:, :10], variance=1.0) == pytest.approx(rho.mean(), abs=1e-12)


class TestProcrustes:
    @few
    @given(seed=seeds, n=st.integers(14, 24), p=st.integers(1, 40))
    def test_scipy(self, seed, n, p):
        x, y = (centred(a) / np.linalg.norm(centred(a)) for a in pair(seed, n, p, p))
        turn, nuclear = orthogonal_procrustes(x, y)
        assert procrustes(x, y) == pytest.approx(nuclear, abs=1e-7)
        assert procrustes(x, y) == pytest.approx(np.sum((x @ turn) * y), abs=1e-7)
        # The distance of Ding et al.
        assert 2 - 2 * procrustes(x, y) == pytest.approx(np.sum((x @ turn - y) ** 2), abs=1e-7)

    @few
    @given(seed=seeds, p=st.integers(2, 10))
    def test_scipy_spatial(self, seed, p):
        x, y = pair(seed, 20, p, p)
        assert 1 - procrustes(x, y) ** 2 == pytest.approx(scipy_procrustes(x, y)[2], abs=1e-10)

    @few
    @given(**shapes)
    def test_fewer_neuroids_are_filled_up_with_silent_ones(self, seed, n, p, q):
        x, y = pair(seed, n, p, q)
        wide = [np.hstack([a, np.zeros((n, 6 - a.shape[1]))]) for a in (x, y)]
        _, nuclear = orthogonal_procrustes(*(centred(a) / np.linalg.norm(centred(a)) for a in wide))
        assert procrustes(x, y) == pytest.approx(nuclear, abs=1e-12)

    @few
    @given(seed=seeds)
    def test_angles_are_a_metric(self, seed):
        rng = np.random.default_rng(seed)
        a, b, c = (rng.normal(size=(9, p)) for p in (3, 5, 20))
        angle = {
            names: np.arccos(procrustes(*pair))
            for names, pair in (("ab", (a, b)), ("bc", (b, c)), ("ac", (a, c)))
        }
        assert angle["ac"] <= angle["ab"] + angle["bc"] + 1e-7

    @pytest.mark.parametrize(("p", "q"), [(8, 5), (60, 90)])
    def test_is_the_bures_similarity_of_rsatoolbox(self, p, q):
        x, y = pair(0, 15, p, q)
        mine, other = (RDMs(rdm(a, "euclidean")[None]) for a in (x, y))
        theirs = rsatoolbox_compare(mine, other, "bures")[0, 0]
        assert procrustes(x, y) == pytest.approx(theirs, abs=1e-7)


def correlations(x, y):
    return np.corrcoef(x.T, y.T)[: x.shape[1], x.shape[1] :]


class TestSoftMatching:
    @few
    @given(seed=seeds, p=st.integers(1, 5))
    def test_best_of_all_permutations(self, seed, p):
        x, y = pair(seed, 15, p, p)
        r = correlations(x, y)
        best = max(
            np.mean([r[i, order[i]] for i in range(p)])
            for order in itertools.permutations(range(p))
        )
        assert soft_matching(x, y) == pytest.approx(best, abs=1e-12)

    @few
    @given(seed=seeds, p=st.integers(1, 7), q=st.integers(1, 7))
    def test_unequal_numbers_are_copies_matched_one_to_one(self, seed, p, q):
        """Every neuroid so often that both sides have the same number: the same transport."""
        x, y = pair(seed, 15, p, q)
        common = np.lcm(p, q)
        copies = np.repeat(x, common // p, axis=1), np.repeat(y, common // q, axis=1)
        assert soft_matching(x, y) == pytest.approx(soft_matching(*copies), abs=1e-9)

    @few
    @given(seed=seeds, p=st.integers(1, 30), q=st.integers(1, 30), tied=st.booleans())
    def test_linear_program(self, seed, p, q, tied):
        x, y = pair(seed, 15, p, q + (p == q))
        x, y = (np.round(centred(a) / a.std()) + np.eye(15, 1) if tied else a for a in (x, y))
        r = correlations(x, y)
        p, q = r.shape
        to_each = [np.kron(np.eye(p), np.ones(q)), np.kron(np.ones(p), np.eye(q))]
        solved = linprog(
            -r.ravel(), A_eq=np.vstack(to_each), b_eq=np.repeat([1 / p, 1 / q], [p, q])
        )
        assert soft_matching(x, y) == pytest.approx(-solved.fun, abs=1e-9)
        assert soft_matching(y, x) == pytest.approx(-solved.fun, abs=1e-9)

    def test_a_layer_and_a_few_neurons(self):
        """Thousands with fifty; every neuron copied, finds its copies."""
        rng = np.random.default_rng(0)
        y = rng.normal(size=(40, 50))
        x = np.repeat(y, 60, axis=1)[:, rng.permutation(3000)]
        assert soft_matching(x[:, :2999], y) == pytest.approx(1.0, abs=1e-3)
        assert soft_matching(x, y) == pytest.approx(1.0, abs=1e-12)

    @few
    @given(**shapes)
    def test_one_against_many_is_the_mean(self, seed, n, p, q):
        x, y = pair(seed, n, p, q)
        assert soft_matching(x[:, :1], y) == pytest.approx(correlations(x[:, :1], y).mean())

    @few
    @given(**shapes)
    def test_gain_and_offset_of_every_neuroid(self, seed, n, p, q):
        x, y = pair(seed, n, p, q)
        rng = np.random.default_rng(seed)
        scaled = x * rng.uniform(0.01, 100, p) + rng.normal(0, 10, p)
        assert soft_matching(scaled, y) == pytest.approx(soft_matching(x, y), abs=1e-9)

    @few
    @given(seed=seeds)
    def test_distance_over_unit_tuning_curves_is_a_metric(self, seed):
        rng = np.random.default_rng(seed)
        a, b, c = (rng.normal(size=(9, p)) for p in (3, 4, 6))
        ab, bc, ac = (
            np.sqrt(max(0.0, 2 - 2 * soft_matching(*two))) for two in ((a, b), (b, c), (a, c))
        )
        assert ac <= ab + bc + 1e-9

    def test_sees_rotations(self):
        x, _ = pair(0, 30, 8, 8, common=0)
        turned = x @ rotation(1, 8)
        assert procrustes(x, turned) == pytest.approx(1.0)
        assert soft_matching(x, turned) < 0.8

    def test_opposite_tuning(self):
        x, _ = pair(0, 30, 1, 1)
        assert soft_matching(x, -x) == pytest.approx(-1.0)

    @pytest.mark.parametrize(("p", "q"), [(8193, 8193), (2**20, 9)])
    def test_limit(self, p, q):
        x, y = (np.zeros((5, k), dtype="f4") for k in (p, q))
        with pytest.raises(ValueError, match=f"{p} and {q} neuroids are too many"):
            soft_matching(x, y)

    def test_limit_of_what_is_left_without_constant_neuroids(self, monkeypatch):
        monkeypatch.setattr(alignment, "MAX_TRANSPORTED", 10)
        x, y = pair(0, 20, 4, 4)
        assert soft_matching(x, y) < 1
        y[:, 1] = 0.0
        with pytest.raises(ValueError, match="4 and 3 neuroids are too many"):
            soft_matching(x, y)
