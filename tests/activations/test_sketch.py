"""Sparse projections: the matrix written out, the theory, and scikit-learn's."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.random_projection import SparseRandomProjection

from probe.activations import sketch as module
from probe.activations.sketch import Sketch, gather, in_order, random_words

CPU = torch.device("cpu")
WORDS = [3413601458627362405, 14047088814722960195, 16979059465842985648]


def drawn(d: int, k: int, seed: int = 0, layer: str = "features.3") -> Sketch:
    return Sketch.draw(layer, d, k, seed, CPU)


def plain(sketch: Sketch) -> Sketch:
    """The sums alone, whatever becomes of the mean."""
    return replace(sketch, correction=torch.zeros_like(sketch.correction))


def patterns(n: int, d: int, seed: int, kind: str) -> torch.Tensor:
    x = torch.randn((n, d), generator=torch.Generator().manual_seed(seed))
    return {"normal": x, "relu": torch.relu(x - 1.0), "shifted": x + 5.0}[kind]


sizes = {"d": st.integers(1, 1200), "k": st.integers(1, 200), "seed": st.integers(0, 99)}


class TestMatrix:
    @given(**sizes)
    def test_every_unit_has_one_entry_per_block(self, d: int, k: int, seed: int) -> None:
        sketch = plain(drawn(d, k, seed))
        matrix = sketch(torch.eye(d)).T
        s = min(4, k)
        widths = sketch.widths.tolist()
        assert matrix.shape == (k, d)
        assert sum(widths) == k
        assert max(widths) - min(widths) <= 1
        for block in matrix.split(widths):
            np.testing.assert_array_equal((block != 0).sum(0), 1)
        entries = matrix[matrix != 0].abs()
        np.testing.assert_allclose(entries, 1.0 / math.sqrt(s), rtol=1e-6)

    def test_units_of_a_row_never_meet_and_others_do_as_often_as_by_chance(self) -> None:
        k, length, n_draws = 24, 6, 3000
        met = np.zeros((length * 3, length * 3))
        for seed in range(n_draws):
            reached = plain(drawn(length * 3, k, seed))(torch.eye(length * 3)).numpy() != 0
            met += reached.astype(float) @ reached.T
        met /= n_draws * 4  # how often in a block
        same = np.kron(np.eye(3), np.ones((length, length))) > 0
        np.testing.assert_array_equal(met[same], np.eye(length * 3)[same])
        expected = 4 / k
        error = math.sqrt(expected * (1 - expected) / (n_draws * 4))
        assert abs(met[~same].mean() - expected) < 0.5 * error
        assert np.abs(met[~same] - expected).max() < 4.5 * error

    def test_signs_are_even_and_independent_between_blocks(self) -> None:
        matrix = plain(drawn(8000, 400))(torch.eye(8000)).T
        signs = torch.stack([block.sum(0).sign() for block in matrix.split(100)])
        covariance = signs @ signs.T / 8000 - torch.eye(4)
        assert covariance.abs().max() < 4.0 / math.sqrt(8000)
        assert signs.mean(1).abs().max() < 4.0 / math.sqrt(8000)
        # and between neighbours in memory, and from row to row
        for lag in (1, 64, 100, 6400):
            assert abs((signs[:, lag:] * signs[:, :-lag]).mean()) < 4.0 / math.sqrt(
                4 * (8000 - lag)
            )

    @given(**sizes, kind=st.sampled_from(["normal", "relu", "shifted"]))
    def test_sums_are_those_of_the_matrix(self, d: int, k: int, seed: int, kind: str) -> None:
        sketch, x = drawn(d, k, seed), patterns(3, d, seed, kind)
        matrix = plain(sketch)(torch.eye(d)).double()
        kept = math.sqrt(d / k) - matrix.sum(0)
        expected = x.double() @ matrix + x.double().mean(1, keepdim=True) * kept
        scale = x.double().norm(dim=1).max()
        np.testing.assert_allclose(sketch(x), expected, atol=2e-6 * scale)

    @given(**sizes)
    def test_a_constant_pattern_stays_one_and_keeps_its_length(
        self, d: int, k: int, seed: int
    ) -> None:
        sums = drawn(d, k, seed)(torch.full((1, d), 3.0))
        np.testing.assert_allclose(sums, 3.0 * math.sqrt(d / k), rtol=1e-4, atol=1e-4)


class TestSameBytes:
    @pytest.mark.parametrize("shape", [(30, 17, 19), (64, 56, 56), (7, 500), (5000,)])
    @pytest.mark.parametrize("k", [64, 250])
    def test_of_any_format_batch_and_number_of_threads(
        self, shape: tuple[int, ...], k: int
    ) -> None:
        d = math.prod(shape)
        x = patterns(9, d, 1, "relu").reshape(9, *shape)
        sketch = drawn(d, k)
        whole = sketch(x).numpy()
        assert np.isfinite(whole).all()
        if len(shape) == 3:
            other = x.contiguous(memory_format=torch.channels_last)
            np.testing.assert_array_equal(sketch(other), whole)
            np.testing.assert_array_equal(sketch(x.mT.contiguous().mT), whole)
        for size in (1, 2, 5):
            parts = torch.cat([sketch(part) for part in x.split(size)])
            np.testing.assert_array_equal(parts, whole)
        np.testing.assert_array_equal(sketch(x[::2]), whole[::2])
        before = torch.get_num_threads()
        try:
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                np.testing.assert_array_equal(sketch(x), whole)
        finally:
            torch.set_num_threads(before)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
    def test_other_precisions_are_converted(self, dtype: torch.dtype) -> None:
        x = patterns(3, 8 * 30 * 30, 0, "normal").reshape(3, 8, 30, 30).to(dtype)
        sketch = drawn(8 * 30 * 30, 100)
        np.testing.assert_array_equal(sketch(x), sketch(x.float()))
        assert sketch(x).dtype == torch.float32

    def test_the_loop_is_the_same_before_it_is_compiled(self) -> None:
        sketch, x = drawn(300, 41), patterns(2, 300, 0, "shifted")
        sums = np.empty((2, 41), dtype=np.float32)
        parts = (sketch.words.numpy().view(np.uint32), sketch.shifts, sketch.widths)
        module._add(x.numpy(), *(np.asarray(p) for p in parts), sketch.correction.numpy(), sums)
        np.testing.assert_array_equal(sketch(x), sums)

    def test_seed_and_layer_decide(self) -> None:
        x = patterns(1, 500, 0, "normal")
        once = drawn(500, 40)(x)
        np.testing.assert_array_equal(drawn(500, 40)(x), once)
        assert (drawn(500, 40, seed=1)(x) != once).any()
        assert (drawn(500, 40, layer="features.4")(x) != once).any()

    def test_random_words_never_change(self) -> None:
        """A store that was begun with one release of NumPy goes on with the next."""
        words = random_words(3, "projection", 0, "conv1")
        assert words.tolist() == WORDS

    def test_global_random_state_is_untouched(self) -> None:
        before, state = np.random.get_state()[1].tolist(), torch.get_rng_state()  # type: ignore[index] # noqa: NPY002
        drawn(500, 40)(patterns(1, 500, 0, "normal"))
        assert np.random.get_state()[1].tolist() == before  # type: ignore[index] # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), state)


class TestOtherDevices:
    @given(**sizes, kind=st.sampled_from(["normal", "relu", "shifted"]))
    def test_gathered_sums_equal_those_of_the_loop(
        self, d: int, k: int, seed: int, kind: str
    ) -> None:
        sketch, x = drawn(d, k, seed), patterns(3, d, seed, kind)
        sums = sketch(x)
        np.testing.assert_allclose(gather(x, sketch), sums, atol=1e-5 * sums.abs().max())

    def test_in_several_steps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        x = patterns(3, 64 * 31 * 31, 0, "relu").reshape(3, 64, 31, 31)
        sketch = drawn(64 * 31 * 31, 130)
        sums = sketch(x)
        for step in (2000, 20000):
            monkeypatch.setattr(module, "_GATHERED", step)
            np.testing.assert_allclose(
                gather(in_order(x), sketch), sums, atol=1e-5 * sums.abs().max()
            )

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
    def test_on_a_gpu(self) -> None:
        d, device = 64 * 56 * 56, torch.device("cuda")
        x = patterns(5, d, 0, "relu").reshape(5, 64, 56, 56)
        there = Sketch.draw("a", d, 1001, 0, device)
        sums = Sketch.draw("a", d, 1001, 0, CPU)(x)
        found = there(x.to(device))
        assert found.device.type == "cuda"
        np.testing.assert_allclose(found.cpu(), sums, atol=1e-5 * sums.abs().max())
        np.testing.assert_array_equal(there(x.to(device)).cpu(), found.cpu())


class TestTheory:
    @pytest.mark.parametrize(
        "kind", ["relu", *(pytest.param(k, marks=pytest.mark.slow) for k in ("normal", "shifted"))]
    )
    def test_squared_distances_are_unbiased_with_the_variance_of_theory(self, kind: str) -> None:
        d, k, n_draws = 1000, 64, 600
        a, b = patterns(2, d, 5, kind)
        x = (a - b)[None]
        true = float(x.double().square().sum())
        ratios = np.array([
            float(drawn(d, k, seed)(x).double().square().sum()) / true for seed in range(n_draws)
        ])  # fmt: skip
        others = np.array([
            np.square(
                SparseRandomProjection(k, random_state=seed).fit_transform(x.double().numpy())
            ).sum()
            / true
            for seed in range(n_draws)
        ])  # fmt: skip
        # Units of one row never meet: a little less than 2 / k.
        share = x[0].double().square() / true
        rows = torch.nn.functional.pad(share, (0, -d % (k // 4))).reshape(-1, k // 4).sum(1)
        variance = 2 / k * float(1 - rows.square().sum())
        assert variance < 2 / k
        assert abs(ratios.mean() - 1) < 4 * math.sqrt(variance / n_draws)
        error = 4 * math.sqrt(2 / n_draws)  # of a variance, relative, four standard errors
        assert abs(ratios.var() / variance - 1) < error
        assert ratios.var() < (1 + error) * others.var()

    def test_inner_products_are_unbiased(self) -> None:
        d, k, n_draws = 1000, 40, 1000
        x = patterns(2, d, 2, "relu")
        x[1] += 0.5 * x[0]
        true = float(x[0].double() @ x[1].double())
        products = []
        for seed in range(n_draws):
            sums = drawn(d, k, seed)(x).double()
            products.append(float(sums[0] @ sums[1]))
        error = np.std(products) / math.sqrt(n_draws)
        assert abs(np.mean(products) - true) < 4 * error
        assert error < 0.05 * true, "too few draws to tell"

    @pytest.mark.parametrize("mean", [0.0, 3.0, 30.0])
    def test_a_correlation_of_sums_is_that_of_the_units_and_no_cosine(self, mean: float) -> None:
        d, k = 20_000, 4096
        common, own = patterns(1, d, 1, "normal"), patterns(2, d, 2, "normal")
        x = common + own + mean
        true = float(torch.corrcoef(x)[0, 1])
        found = float(torch.corrcoef(drawn(d, k)(x))[0, 1])
        assert abs(found - true) < 4 * (1 - true**2) / math.sqrt(k)
        cosine = float(torch.cosine_similarity(x[:1], x[1:]))
        assert abs(float(torch.cosine_similarity(*drawn(d, k)(x).split(1))) - cosine) < 0.05

    def test_a_few_active_units_are_told_apart(self) -> None:
        """Patterns of two units: a plain count sketch lets them collide to nothing."""
        d, k = 5000, 256
        x = torch.zeros(300, d)
        x[
            torch.arange(300), torch.randint(d, (300,), generator=torch.Generator().manual_seed(0))
        ] = 1
        x[
            torch.arange(300), torch.randint(d, (300,), generator=torch.Generator().manual_seed(1))
        ] = 1
        ratios = drawn(d, k)(x).square().sum(1) / x.square().sum(1)
        assert ratios.min() > 0.45
        assert ratios.max() < 1.6
