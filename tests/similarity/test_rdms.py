"""RDMs against closed forms, SciPy and each metric's invariances."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import warnings
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
import zarr
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

from probe.similarity import METRICS, n_conditions, rdm
from probe.similarity.rdms import BadPatternError

SCIPY = {"correlation": "correlation", "euclidean": "sqeuclidean", "cosine": "cosine"}


def patterns(seed, n=7, p=30):
    return np.random.default_rng(seed).normal(size=(n, p))


def expected(x, metric):
    """The textbook definition, pair by pair."""
    x = np.asarray(x, dtype=np.float64)
    return pdist(x, SCIPY[metric]) / (x.shape[1] if metric == "euclidean" else 1)


def precision_of(seed, p):
    a = np.random.default_rng(seed).normal(size=(p, p + 3))
    return a @ a.T / p


ALL = [(metric, {}) for metric in (*METRICS, "poisson")]
ALL += [("mahalanobis", {"precision": precision_of(0, 30)})]
ALL += [("mahalanobis", {"precision": precision_of(0, 30).diagonal()})]
all_metrics = pytest.mark.parametrize(("metric", "options"), ALL)
shapes = {"seed": st.integers(0, 10**6), "n": st.integers(2, 12), "p": st.integers(3, 40)}
any_metric = st.sampled_from(METRICS)


class TestClosedForms:
    def test_three_patterns(self):
        x = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [1.0, -2.0, 1.0]])
        # Centred: (-1, 0, 1), (1, 0, -1), (1, -2, 1).
        np.testing.assert_allclose(rdm(x), [2.0, 1.0, 1.0], atol=1e-15)
        np.testing.assert_allclose(rdm(x, "euclidean"), [8 / 3, 20 / 3, 20 / 3])
        np.testing.assert_allclose(rdm(x, "cosine"), [1 - 10 / 14, 1.0, 1.0], atol=1e-15)

    def test_one_neuroid(self):
        np.testing.assert_allclose(rdm([[1.0], [4.0], [-1.0]], "euclidean"), [9.0, 4.0, 25.0])
        np.testing.assert_allclose(rdm([[1.0], [4.0], [-1.0]], "cosine"), [0.0, 2.0, 2.0])

    @given(metric=any_metric, **shapes)
    def test_scipy(self, metric, seed, n, p):
        x = patterns(seed, n, p)
        np.testing.assert_allclose(rdm(x, metric), expected(x, metric), rtol=1e-10, atol=1e-13)

    @given(kind=st.sampled_from(["full", "diagonal"]), block_bytes=st.integers(1, 4000), **shapes)
    def test_mahalanobis(self, kind, block_bytes, seed, n, p):
        x, precision = patterns(seed, n, p) + 5.0 * np.arange(p), precision_of(seed, p)
        if kind == "diagonal":
            precision = precision.diagonal()
        full = np.diag(precision) if kind == "diagonal" else precision
        wanted = [
            (x[i] - x[j]) @ full @ (x[i] - x[j]) / p for i in range(n) for j in range(i + 1, n)
        ]
        found = rdm(x, "mahalanobis", precision=precision, block_bytes=block_bytes)
        np.testing.assert_allclose(found, wanted, rtol=1e-9)

    @given(
        rate=st.floats(0.0, 9.0), weight=st.floats(0.01, 9.0), levels=st.booleans(),
        block_bytes=st.integers(1, 4000), **shapes,
    )  # fmt: skip
    def test_poisson(self, rate, weight, levels, block_bytes, seed, n, p):
        x = np.random.default_rng(seed).gamma(2.0, 3.0, (n, p))
        if levels:
            x = np.ceil(x / 4)  # many ties
        y = (x + rate * weight) / (1.0 + weight)
        wanted = [
            (y[i] - y[j]) @ (np.log(y[i]) - np.log(y[j])) / p
            for i in range(n)
            for j in range(i + 1, n)
        ]
        found = rdm(x, "poisson", prior=(rate, weight), block_bytes=block_bytes)
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)

    def test_mahalanobis_of_the_identity_is_euclidean(self):
        x = patterns(0)
        for precision in (np.eye(30), np.ones(30)):
            found = rdm(x, "mahalanobis", precision=precision)
            np.testing.assert_allclose(found, rdm(x, "euclidean"), rtol=1e-12)

    def test_poisson_of_equal_counts_is_zero(self):
        x = np.tile(np.arange(5.0), (3, 1))
        np.testing.assert_array_equal(rdm(x, "poisson"), 0.0)

    def test_order_is_the_upper_triangle_row_by_row(self):
        x = patterns(0, 5)
        square = squareform(expected(x, "correlation"))
        np.testing.assert_allclose(rdm(x), square[np.triu_indices(5, 1)], rtol=1e-12)


class TestInvariances:
    @given(metric=any_metric, **shapes)
    def test_stimuli_in_another_order(self, metric, seed, n, p):
        x = patterns(seed, n, p)
        order = np.random.default_rng(seed + 1).permutation(n)
        permuted = squareform(squareform(rdm(x, metric))[np.ix_(order, order)])
        np.testing.assert_allclose(rdm(x[order], metric), permuted, rtol=1e-10, atol=1e-13)

    @given(metric=any_metric, **shapes)
    def test_neuroids_in_another_order(self, metric, seed, n, p):
        x = patterns(seed, n, p)
        order = np.random.default_rng(seed + 1).permutation(p)
        np.testing.assert_allclose(rdm(x[:, order], metric), rdm(x, metric), rtol=1e-10, atol=1e-13)

    @given(**shapes)
    def test_correlation_ignores_gain_and_offset_of_every_stimulus(self, seed, n, p):
        x = patterns(seed, n, p)
        rng = np.random.default_rng(seed + 1)
        gain, offset = rng.uniform(0.1, 9.0, (n, 1)), rng.normal(0, 50.0, (n, 1))
        np.testing.assert_allclose(rdm(gain * x + offset), rdm(x), atol=1e-10)

    @given(**shapes)
    def test_cosine_ignores_gain_of_every_stimulus(self, seed, n, p):
        x = patterns(seed, n, p)
        gain = np.random.default_rng(seed + 1).uniform(0.1, 9.0, (n, 1))
        np.testing.assert_allclose(rdm(gain * x, "cosine"), rdm(x, "cosine"), atol=1e-12)

    @given(**shapes)
    def test_euclidean_ignores_a_common_pattern_and_rotation(self, seed, n, p):
        x = patterns(seed, n, p)
        rng = np.random.default_rng(seed + 1)
        rotation = np.linalg.qr(rng.normal(size=(p, p)))[0]
        moved = x @ rotation + rng.normal(0, 50.0, p)
        np.testing.assert_allclose(rdm(moved, "euclidean"), rdm(x, "euclidean"), rtol=1e-9)

    @given(**shapes)
    def test_euclidean_scales_with_the_square(self, seed, n, p):
        x = patterns(seed, n, p)
        np.testing.assert_allclose(rdm(3.0 * x, "euclidean"), 9.0 * rdm(x, "euclidean"), rtol=1e-10)

    @given(**shapes)
    def test_a_neuroid_shown_twice_changes_nothing(self, seed, n, p):
        x = patterns(seed, n, p)
        twice = np.repeat(x, 2, axis=1)
        for metric in METRICS:
            np.testing.assert_allclose(rdm(twice, metric), rdm(x, metric), rtol=1e-9, atol=1e-13)


class TestBlocks:
    @given(metric=any_metric, block_bytes=st.integers(1, 4000), **shapes)
    def test_blocks_equal_one_block(self, metric, block_bytes, seed, n, p):
        # Blocks of unlike means: the one taken off the first is not that of the others.
        x = patterns(seed, n, p) + 5.0 * np.arange(p)
        in_blocks = rdm(x, metric, block_bytes=block_bytes)
        np.testing.assert_allclose(in_blocks, rdm(x, metric), rtol=1e-9, atol=1e-13)

    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4"])
    def test_zarr(self, metric, dtype):
        x = (10.0 * patterns(0, 9, 53)).astype(dtype)
        stored = zarr.create_array(zarr.storage.MemoryStore(), shape=x.shape, dtype=x.dtype,
                                   chunks=(4, 8))  # fmt: skip
        stored[:] = x
        for block_bytes in (1, 9 * 8 * 20, 2**26):
            np.testing.assert_allclose(
                rdm(stored, metric, block_bytes=block_bytes), expected(x, metric), rtol=1e-9
            )

    def test_every_chunk_is_read_once(self):
        class Chunked:
            shape, dtype, chunks = (4, 50), np.dtype("f4"), (2, 8)
            x = patterns(0, 4, 50).astype("f4")
            read: list[tuple[int, int]] = []  # noqa: RUF012

            def __getitem__(self, key):
                self.read.append((key[1].start, min(key[1].stop, 50)))
                return self.x[key]

        source = Chunked()
        rdm(source, block_bytes=4 * 8 * 20)  # room for 20 columns: two chunks
        assert source.read == [(0, 16), (16, 32), (32, 48), (48, 50)]

    def test_chunks_of_unequal_width(self):
        class Dask:
            shape, dtype, chunks = (4, 10), np.dtype("f8"), ((4,), (3, 7))
            x = patterns(0, 4, 10)

            def __getitem__(self, key):
                return self.x[key]

        np.testing.assert_allclose(rdm(Dask(), block_bytes=1), rdm(Dask.x), rtol=1e-12)


class TestPrecision:
    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("dtype", ["f2", "f4", "i2", "u1", "?"])
    def test_other_types(self, metric, dtype):
        x = (60.0 * np.abs(patterns(0, 8, 40))).astype(dtype)
        if dtype == "?":
            x = patterns(0, 8, 40) > 0
        result = rdm(x, metric)
        assert result.dtype == np.float64
        np.testing.assert_allclose(result, expected(x, metric), rtol=1e-10, atol=1e-13)

    @pytest.mark.parametrize("metric", METRICS)
    def test_float32_with_a_large_mean(self, metric):
        x = (1e4 + patterns(0, 20, 3000)).astype("f4")
        np.testing.assert_allclose(rdm(x, metric), expected(x, metric), rtol=1e-5)

    @pytest.mark.parametrize("metric", METRICS)
    def test_float32_patterns_that_are_nearly_one(self, metric):
        """As in deep layers of an untrained network: distances of 1e-8 still have an order."""
        rng = np.random.default_rng(0)
        x = (rng.normal(size=2000) + 1e-4 * rng.normal(size=(20, 2000))).astype("f4")
        np.testing.assert_allclose(rdm(x, metric), expected(x, metric), rtol=1e-5)

    @pytest.mark.parametrize("metric", METRICS)
    def test_one_nearly_silent_stimulus(self, metric):
        x = patterns(0, 10, 500).astype("f4")
        x[3] *= 1e-6
        np.testing.assert_allclose(rdm(x, metric), expected(x, metric), rtol=1e-9)

    @pytest.mark.parametrize("metric", METRICS)
    def test_the_same_stimulus_twice(self, metric):
        x = patterns(0, 6, 5000).astype("f4")
        x[4] = x[1]
        square = squareform(rdm(x, metric))
        assert 0.0 <= square[1, 4] < 1e-14
        np.testing.assert_allclose(square[1, [0, 2, 3, 5]], square[4, [0, 2, 3, 5]], rtol=1e-12)

    @given(**shapes)
    def test_ranges(self, seed, n, p):
        x = patterns(seed, n, p)
        x[-1] = -x[0]
        for metric in METRICS:
            result = rdm(x, metric)
            assert result.shape == (n * (n - 1) // 2,)
            assert (result >= 0.0).all()
            assert metric == "euclidean" or (result <= 2.0).all()

    def test_input_is_left_alone(self):
        x = patterns(0)
        before = x.copy()
        for metric in METRICS:
            rdm(x, metric)
        np.testing.assert_array_equal(x, before)


class TestWhereItIsComputed:
    @all_metrics
    @pytest.mark.parametrize("block_bytes", [200, 2**26])
    def test_torch_on_the_cpu(self, metric, options, block_bytes):
        x = np.abs(patterns(0)) + 1.0
        expected = rdm(x, metric, **options)
        tensor = torch.from_numpy(x).requires_grad_()
        options = {**options, "block_bytes": block_bytes}
        for given_x, device in ((tensor, None), (x, "cpu"), (x, torch.device("cpu"))):
            found = rdm(given_x, metric, device=device, **options)
            assert isinstance(found, np.ndarray)
            assert found.dtype == np.float64
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)
        assert tensor.grad is None
        np.testing.assert_array_equal(x, tensor.detach().numpy())

    def test_a_precision_may_be_a_tensor(self):
        x, precision = patterns(0), precision_of(0, 30)
        found = rdm(x, "mahalanobis", precision=torch.from_numpy(precision))
        np.testing.assert_array_equal(found, rdm(x, "mahalanobis", precision=precision))

    @pytest.mark.parametrize("dtype", ["f2", "f4", "i2", "u1", "?", ">f8", ">i4"])
    def test_torch_reads_all_types(self, dtype):
        x = patterns(0) > 0 if dtype == "?" else (9.0 * np.abs(patterns(0))).astype(dtype)
        np.testing.assert_allclose(rdm(x, device="cpu"), rdm(x), rtol=1e-11)
        x.flags.writeable = False
        np.testing.assert_allclose(rdm(x[::-1], device="cpu"), rdm(x[::-1]), rtol=1e-11)

    def test_bfloat16(self):
        x = torch.from_numpy(patterns(0)).bfloat16()
        np.testing.assert_allclose(rdm(x), rdm(x.double().numpy()), rtol=1e-11)

    def test_zarr_to_torch(self):
        x = patterns(0, 9, 53)
        stored = zarr.create_array(zarr.storage.MemoryStore(), shape=x.shape, dtype=x.dtype,
                                   chunks=(4, 8))  # fmt: skip
        stored[:] = x
        for device in (None, "cpu"):
            found = rdm(stored, device=device, block_bytes=9 * 8 * 20)
            np.testing.assert_allclose(found, rdm(x), rtol=1e-11)

    @all_metrics
    @pytest.mark.parametrize("device", [None, "cpu"])
    def test_float32(self, metric, options, device):
        x = np.abs(patterns(0)) + 1.0
        expected = rdm(x, metric, **options)
        found = rdm(x, metric, dtype="float32", device=device, **options)
        assert found.dtype == np.float64
        assert (found != expected).any()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("device", [None, "cpu"])
    def test_float32_sees_a_constant_pattern(self, device):
        x = patterns(0, 6, 997)
        x[2] = 1 / 3
        with pytest.raises(BadPatternError, match="stimulus 2 has the same response"):
            rdm(x, dtype="float32", device=device)

    @pytest.mark.parametrize("device", [None, "cpu"])
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_not_finite(self, value, device):
        x = patterns(0)
        x[4, 11] = value
        with pytest.raises(BadPatternError, match="stimulus 4 has a NaN or infinite"):
            rdm(x, device=device, block_bytes=300)

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    @all_metrics
    def test_cuda(self, metric, options):
        x = np.abs(patterns(0)) + 1.0
        expected = rdm(x, metric, **options)
        for x_there, device in ((torch.from_numpy(x).cuda(), None), (x, "cuda")):
            found = rdm(x_there, metric, device=device, **options)
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
    def test_no_cuda(self):
        with pytest.raises(ValueError, match="sees no CUDA device"):
            rdm(patterns(0), device="cuda")

    def test_mps_has_no_float64(self):
        with pytest.raises(ValueError, match="no float64: pass dtype='float32'"):
            rdm(patterns(0), device="mps")


class TestMemory:
    @pytest.mark.parametrize("device", [None, "cpu"])
    def test_too_many_stimuli_are_refused_before_anything_is_read(self, device, monkeypatch):
        class Unread:
            shape, dtype = (20_000, 50), np.dtype("f4")

            def __getitem__(self, key):
                raise AssertionError("was read")

        free = SimpleNamespace(available=3 * 10**9)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
        needed = "3.22 GB" if device is None else "4.82 GB"
        said = f"of 20,000 stimuli needs {needed} of memory, 3 GB are free: leave out stimuli"
        with pytest.raises(ValueError, match=said):
            rdm(Unread(), device=device)
        if device is None:  # PyTorch would fill the memory with zeros
            free.available = 4 * 10**9
            with pytest.raises(AssertionError, match="was read"):
                rdm(Unread())

    def test_chunks_wider_than_memory_are_read_in_parts(self, monkeypatch):
        class Chunked:
            shape, dtype, chunks = (4, 1000), np.dtype("f4"), (1, 1000)
            x = patterns(0, 4, 1000).astype("f4")
            widths: list[int] = []  # noqa: RUF012

            def __getitem__(self, key):
                self.widths.append(self.x[key].shape[1])
                return self.x[key]

        source = Chunked()
        expected = rdm(source.x)
        free = SimpleNamespace(available=16_000)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
        found = rdm(source, block_bytes=320)
        assert source.widths == [250, 250, 250, 250]
        np.testing.assert_allclose(found, expected, rtol=1e-12)

    def test_peak(self):
        """One matrix of n², of which BLAS touches a half; no other, and no copy of the patterns."""
        pytest.importorskip("resource", reason="no resource module on this system")
        code = textwrap.dedent(
            """
            import resource, sys
            import numpy as np
            from probe.similarity import rdm
            rng = np.random.default_rng(0)
            x = rng.standard_normal((2000, 3000), dtype=np.float32)
            rdm(x[:50, :50]), rdm(x[:50, :50], "euclidean")  # imports, and buffers of BLAS
            peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            before = peak()
            rdm(x, sys.argv[1], block_bytes=2**20)
            print((peak() - before) * (1 if sys.platform == "darwin" else 1024))
            """
        )
        done = subprocess.run(
            [sys.executable, "-c", code, "euclidean"], check=True, capture_output=True, text=True
        )
        square, held = 2000**2 * 8, 2000 * 3000 * 8
        assert int(done.stdout) < square + 2**24 < square + held / 2


class TestErrors:
    def test_unknown_metric(self):
        with pytest.raises(ValueError, match="'manhattan': expected one of correlation, eucl"):
            rdm(patterns(0), "manhattan")

    @pytest.mark.parametrize("shape", [(1, 5), (5, 0), (5,), (2, 3, 4)])
    def test_shape(self, shape):
        with pytest.raises(ValueError, match="expected"):
            rdm(np.ones(shape))

    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("block_bytes", [1, 2**26])
    def test_not_finite(self, metric, value, block_bytes):
        x = patterns(0)
        x[4, 11] = value
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(BadPatternError, match="stimulus 4 has a NaN or infinite") as caught:
                rdm(x, metric, block_bytes=block_bytes)
        assert (caught.value.row, caught.value.count) == (4, 1)

    def test_opposite_infinities(self):
        x = patterns(0)
        x[2, 3], x[2, 4] = np.inf, -np.inf
        with pytest.raises(BadPatternError, match="stimulus 2 has a NaN or infinite"):
            rdm(x)

    @pytest.mark.parametrize("metric", METRICS)
    def test_too_large(self, metric):
        x = patterns(0)
        x[3] *= 1e200
        with pytest.raises(BadPatternError, match="too large"):
            rdm(x, metric)

    @pytest.mark.parametrize("constant", [0.0, 0.1, -1e6, 1 / 3])
    @pytest.mark.parametrize("dtype", ["f4", "f8"])
    @pytest.mark.parametrize("block_bytes", [100, 2**26])
    def test_constant_pattern(self, constant, dtype, block_bytes):
        x = patterns(0, 6, 997).astype(dtype)
        x[[2, 5]] = constant
        with pytest.raises(BadPatternError, match=r"stimulus 2 \(and 1 more\) has the same resp"):
            rdm(x, block_bytes=block_bytes)

    def test_a_pattern_that_barely_varies_is_not_constant(self):
        x = patterns(0, 6, 1000)
        x[1] = 1000.0 + 1e-6 * x[1]
        np.testing.assert_allclose(rdm(x), expected(x, "correlation"), rtol=1e-6)

    def test_negative_responses_are_no_rates(self):
        x = np.abs(patterns(0))
        x[[3, 5], 7] = -0.1
        with pytest.raises(BadPatternError, match=r"stimulus 3 \(and 1 more\) has a negative resp"):
            rdm(x, "poisson")
        x[[3, 5], 7] = 0.0
        assert np.isfinite(rdm(x, "poisson")).all()
        for prior in ((0.0, 1.0), (1.0, 0.0)):
            with pytest.raises(
                BadPatternError, match="response of zero, whose logarithm needs a pr"
            ):
                rdm(x, "poisson", prior=prior)
        for prior in ((-1.0, 0.1), (1.0, np.inf), (np.nan, 1.0)):
            with pytest.raises(ValueError, match="expected a rate and a weight of zero or more"):
                rdm(x, "poisson", prior=prior)

    @pytest.mark.parametrize(
        ("precision", "said"),
        [
            (None, "metric 'mahalanobis' needs a precision"),
            (np.eye(29), r"shape \(29, 29\): expected \(30, 30\), or \(30,\)"),
            (np.ones(29), r"shape \(29,\)"),
            (np.triu(np.ones((30, 30))), "not symmetric"),
            (np.ones((30, 30)), "not positive definite"),
            (np.diag([-1.0] + 29 * [1.0]), "not positive definite"),
            (np.zeros(30), "not positive definite"),
            (np.full(30, np.nan), "NaN"),
            (np.full((30, 30), np.inf), "infinite"),
        ],
    )
    def test_precision(self, precision, said):
        with pytest.raises(ValueError, match=said):
            rdm(patterns(0), "mahalanobis", precision=precision)

    def test_a_precision_that_would_not_be_used(self):
        with pytest.raises(ValueError, match="metric 'euclidean' takes no precision"):
            rdm(patterns(0), "euclidean", precision=np.eye(30))

    def test_crossnobis_needs_measurements(self):
        with pytest.raises(ValueError, match="'crossnobis' needs repeated measurements: use cross"):
            rdm(patterns(0), "crossnobis")

    def test_dtype(self):
        with pytest.raises(ValueError, match="dtype 'float16': expected one of float64, float32"):
            rdm(patterns(0), dtype="float16")

    def test_one_neuroid_has_no_correlation(self):
        with pytest.raises(
            BadPatternError, match=r"stimulus 0 \(and 2 more\) has the same response"
        ):
            rdm([[1.0], [4.0], [-1.0]])

    def test_silent_pattern(self):
        x = patterns(0)
        x[1] = 0.0
        with pytest.raises(BadPatternError, match="stimulus 1 has no response on any neuroid"):
            rdm(x, "cosine")
        assert np.isfinite(rdm(x, "euclidean")).all()


@given(n=st.integers(2, 10**5))
def test_n_conditions(n):
    assert n_conditions(n * (n - 1) // 2) == n


@pytest.mark.parametrize("n_pairs", [0, 2, 4, 5, 7, 4185])
def test_n_conditions_of_no_rdm(n_pairs):
    with pytest.raises(ValueError, match=f"{n_pairs} pairs are not"):
        n_conditions(n_pairs)
