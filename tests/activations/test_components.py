"""Principal components against scikit-learn's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA as SklearnPCA

from probe.activations import components as module
from probe.activations.components import Components, project
from probe.errors import ProbeError


def activations(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Skewed, correlated between units, far from zero."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 12)) * 0.7 ** np.arange(12) @ rng.normal(size=(12, d))
    return np.maximum(common + 0.3 * rng.normal(size=(n, d)) + 1.0, 0.0).astype(np.float32)


def projected(found: Components, x: np.ndarray | torch.Tensor) -> np.ndarray:
    return project(torch.as_tensor(x), *found.on(torch.device("cpu"))).numpy()


class ReadInBlocks:
    """An array that notes what is read of it, and cannot be read as a whole."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.read = values, [0]
        self.shape = values.shape

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise AssertionError("read as a whole")

    def __getitem__(self, index: Any) -> np.ndarray:
        block = self.values[index]
        self.read.append(block.size)
        return block


class TestFit:
    @pytest.mark.parametrize(("n", "d", "k"), [(40, 300, 10), (40, 300, 38), (60, 20, 20)])
    def test_equals_scikit_learn(
        self, n: int, d: int, k: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_COLUMNS", 64)
        x = activations(n, d)
        expected = SklearnPCA(k, svd_solver="full").fit(x.astype(np.float64))
        found = Components.fit(x, k)
        np.testing.assert_allclose(found.variance, expected.explained_variance_, rtol=1e-10)
        np.testing.assert_allclose(
            found.variance / found.total_variance, expected.explained_variance_ratio_, rtol=1e-10
        )
        np.testing.assert_allclose(found.mean, expected.mean_, rtol=1e-6)
        # of either sign, though they agree in that, too
        np.testing.assert_allclose(found.components, expected.components_, atol=1e-6)
        new = activations(16, d, seed=1)
        there = expected.transform(new.astype(np.float64))
        np.testing.assert_allclose(projected(found, new), there, atol=1e-5 * np.abs(there).max())
        assert found.components.dtype == found.mean.dtype == np.float32

    @given(
        n=st.integers(3, 12),
        d=st.integers(1, 40),
        rank=st.integers(1, 12),
        seed=st.integers(0, 999),
        scale=st.sampled_from([1e-12, 1.0, 1e12]),
    )
    def test_directions_without_variance_are_zero(
        self, n: int, d: int, rank: int, seed: int, scale: float
    ) -> None:
        rng = np.random.default_rng(seed)
        low = rng.integers(-9, 10, (n, rank)) @ rng.integers(-9, 10, (rank, d)) + 7.0
        x = low * scale  # in double precision: no rounding makes directions of its own
        found = Components.fit(x, n - 1)
        k = min(n - 1, d)
        there = min(np.linalg.matrix_rank(low - low.mean(0)), k)
        assert found.components.shape == (k, d)
        assert np.count_nonzero(found.variance) == there
        gram = found.components.astype(np.float64) @ found.components.T
        np.testing.assert_allclose(gram, np.diag(np.arange(k) < there), atol=1e-5)
        assert not found.components[there:].any()

    @pytest.mark.parametrize("value", [0.0, 0.1, -3e7])
    def test_a_constant_layer_has_no_components(self, value: float) -> None:
        x = np.full((30, 200), value, dtype=np.float32)
        found = Components.fit(x, 5)
        assert not found.components.any()
        np.testing.assert_array_equal(found.variance, 0.0)
        np.testing.assert_array_equal(projected(found, x + 1.0), 0.0)

    def test_a_fit_holds_a_block_of_units_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_COLUMNS", 50)
        x = ReadInBlocks(activations(20, 230))
        found = Components.fit(x, 4)
        assert max(x.read) == 20 * 50
        assert sum(x.read) == 2 * 20 * 230
        monkeypatch.undo()
        whole = Components.fit(x.values, 4)
        np.testing.assert_allclose(found.components, whole.components, atol=1e-6)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, value: float) -> None:
        x = activations(10, 50)
        x[3, 7] = value
        with pytest.raises(ProbeError, match="NaN or infinite"):
            Components.fit(x, 3)

    def test_same_bytes_every_time(self) -> None:
        x = activations(30, 500)
        np.testing.assert_array_equal(
            Components.fit(x, 9).components, Components.fit(x.copy(), 9).components
        )


@pytest.fixture(scope="module")
def found() -> Components:
    return Components.fit(activations(60, 24 * 9 * 11), 40)


class TestProject:
    shape = (24, 9, 11)

    def batch(self, n: int) -> torch.Tensor:
        return torch.from_numpy(activations(n, 24 * 9 * 11, seed=3)).reshape(n, *self.shape)

    def test_is_a_product(self, found: Components) -> None:
        x = self.batch(5)
        expected = (x.flatten(1).double().numpy() - found.mean) @ found.components.T
        np.testing.assert_allclose(projected(found, x), expected, atol=1e-5 * expected.max())

    def test_in_blocks_of_any_size(
        self, found: Components, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        x = self.batch(5)
        whole = projected(found, x)
        for columns in (1, 300, 10**6):
            monkeypatch.setattr(module, "_IN_CACHE", columns)
            np.testing.assert_allclose(projected(found, x), whole, atol=1e-5 * whole.max())

    def test_batch_and_memory_format_change_no_bit(self, found: Components) -> None:
        x = self.batch(37)
        whole = projected(found, x)
        for size in (1, 2, 5, 16, 20):
            parts = [projected(found, part) for part in x.split(size)]
            np.testing.assert_array_equal(np.concatenate(parts), whole)
        other = x.contiguous(memory_format=torch.channels_last)
        np.testing.assert_array_equal(projected(found, other), whole)

    def test_autocast_does_not_reach_it(self, found: Components) -> None:
        x = self.batch(3)
        with torch.autocast("cpu", torch.bfloat16):
            inside = projected(found, x)
        np.testing.assert_array_equal(inside, projected(found, x))
        half = projected(found, x.bfloat16())
        np.testing.assert_array_equal(half, projected(found, x.bfloat16().float()))

    @pytest.mark.parametrize("shape", [(50, 48), (2400,), ()])
    def test_other_shapes(self, shape: tuple[int, ...]) -> None:
        d = int(np.prod(shape))
        x = activations(20, d)
        found = Components.fit(x, 5)
        np.testing.assert_array_equal(projected(found, x.reshape(20, *shape)), projected(found, x))


class TestFile:
    def test_comes_back(self, tmp_path: Path) -> None:
        found = Components.fit(activations(20, 100), 6)
        path = tmp_path / "features.3@0.npz"
        found.save(path)
        back = Components.load(path)
        for name in ("components", "mean", "variance"):
            kept, read = getattr(found, name), getattr(back, name)
            np.testing.assert_array_equal(read, kept)
            assert read.dtype == kept.dtype
        assert back.total_variance == found.total_variance
        assert [p.name for p in tmp_path.iterdir()] == [path.name]

    def test_an_interrupted_write_leaves_what_was_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "a.npz"
        found = Components.fit(activations(20, 100), 6)
        found.save(path)
        before = path.read_bytes()

        def full(file: Any, **_: Any) -> None:
            file.write(b"torn")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(np, "savez", full)
        with pytest.raises(OSError, match="No space"):
            found.save(path)
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]

    @pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text", "other", "shapes"])
    def test_damaged_files_are_refused(self, tmp_path: Path, damage: str) -> None:
        path = tmp_path / "a.npz"
        found = Components.fit(activations(20, 100), 6)
        found.save(path)
        content = bytearray(path.read_bytes())
        if damage == "cut":
            content = content[:-100]
        elif damage == "flipped":
            content[len(content) // 2] ^= 1
        elif damage == "empty":
            content = bytearray()
        elif damage == "text":
            content = bytearray(b"components")
        path.write_bytes(content)
        if damage == "other":
            np.savez(path, mean=found.mean)
        elif damage == "shapes":
            Components(found.components, found.mean[1:], found.variance, 1.0).save(path)
        with pytest.raises(ProbeError, match=r"a\.npz.*damaged.*remove it"):
            Components.load(path)

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(ProbeError, match=r"no principal components at .*a\.npz"):
            Components.load(tmp_path / "a.npz")
