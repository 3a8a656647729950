"""Pooling fields over a layer's map, and readouts that use them, in NumPy and torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probe import models
from probe.encoding import fields, readouts
from probe.encoding.fields import FLAT, Field, Layout, grid, pool, weights
from probe.encoding.readouts import Readout, from_dual, layout_of
from probe.encoding.ridge import Decomposition
from probe.errors import ProbeError

SEEDS = st.integers(0, 10**6)
SHARES = st.floats(0.0, 1.0)
FIELDS = st.builds(Field, SHARES, SHARES, st.sampled_from([1e-4, 0.05, 0.2, 1.0, np.inf]))


class TestWeights:
    @given(
        some=st.lists(FIELDS, min_size=1, max_size=4),
        height=st.integers(1, 9),
        width=st.integers(1, 9),
    )
    def test_sum_to_one(self, some, height, width):
        rows = weights(some, height, width)
        assert rows.shape == (len(some), height * width)
        assert (rows >= 0.0).all()
        np.testing.assert_allclose(rows.sum(axis=1), 1.0, rtol=1e-12)

    def test_of_the_candidates_on_a_map_of_13(self):
        """Centres at positions 1, 3, …, 11 and sizes of 1, 2 and 4 positions, and the mean."""
        expected = []
        for sd in (1, 2, 4):
            for row in range(1, 12, 2):
                for column in range(1, 12, 2):
                    gaussian = np.zeros((13, 13))
                    for y in range(13):
                        for x in range(13):
                            squared = (y - row) ** 2 + (x - column) ** 2
                            gaussian[y, x] = np.exp(-squared / (2 * sd**2))
                    expected.append((gaussian / gaussian.sum()).ravel())
        expected.append(np.full(169, 1 / 169))
        candidates = grid()
        assert len(candidates) == 109
        assert candidates[-1] == FLAT
        np.testing.assert_allclose(weights(candidates, 13, 13), expected, rtol=1e-10, atol=1e-300)

    @given(y=SHARES, x=SHARES, height=st.integers(1, 9), width=st.integers(1, 9))
    def test_narrow_field_is_the_nearest_position(self, y, x, height, width):
        row = weights([Field(y, x, 1e-6)], height, width)[0].reshape(height, width)
        down = np.abs((np.arange(height) + 0.5) / height - y)
        across = np.abs((np.arange(width) + 0.5) / width - x)
        distance = down[:, None] ** 2 + across[None, :] ** 2
        assert distance.ravel()[row.argmax()] == pytest.approx(distance.min(), abs=1e-12)
        if (distance < distance.min() + 1e-9).sum() == 1:
            assert row.max() == pytest.approx(1.0)

    @given(y=SHARES, x=SHARES, height=st.integers(1, 9), width=st.integers(1, 9))
    def test_wide_field_is_the_mean(self, y, x, height, width):
        row = weights([Field(y, x, 1e4)], height, width)[0]
        np.testing.assert_allclose(row, 1.0 / (height * width), rtol=1e-6)

    @given(some=st.lists(FIELDS, min_size=1, max_size=3), n=st.integers(1, 8))
    def test_mirrored_field(self, some, n):
        turned = [Field(field.x, field.y, field.sd) for field in some]
        one = weights(some, n, n).reshape(-1, n, n)
        np.testing.assert_allclose(
            weights(turned, n, n).reshape(-1, n, n), one.swapaxes(1, 2), rtol=1e-9, atol=1e-200
        )


class TestPool:
    LAYOUT = Layout(5, 4, 6)

    def activations(self, n=7, seed=0):
        rng = np.random.default_rng(seed)
        return rng.normal(size=(n, 5, 4, 6)).astype(np.float32)

    def test_is_a_weighted_sum(self):
        some = [Field(0.2, 0.7, 0.2), Field(0.9, 0.1, 0.05), FLAT]
        maps = self.activations()
        pooled = pool(maps.reshape(7, -1), self.LAYOUT, some)
        expected = np.zeros((3, 7, 5))
        for k, row in enumerate(weights(some, 4, 6).reshape(3, 4, 6)):
            for y in range(4):
                for x in range(6):
                    expected[k] += row[y, x] * maps[:, :, y, x]
        assert pooled.dtype == np.float32
        np.testing.assert_allclose(pooled, expected, atol=1e-6)
        np.testing.assert_allclose(pooled[2], maps.mean(axis=(2, 3)), atol=1e-6)

    def test_some_stimuli_at_a_time(self, monkeypatch):
        flat = self.activations().reshape(7, -1)
        whole = pool(flat, self.LAYOUT, grid(2))
        monkeypatch.setattr(fields, "READ_BYTES", 2 * 4 * flat.shape[1])
        np.testing.assert_allclose(pool(flat, self.LAYOUT, grid(2)), whole, rtol=1e-6, atol=1e-7)

    @pytest.mark.parametrize("kept", [0, 2**31])
    def test_decompositions_of_all_candidates(self, monkeypatch, kept):
        monkeypatch.setattr(fields, "KEPT_BYTES", kept)
        pooled = pool(self.activations().reshape(7, -1), self.LAYOUT, grid(1))
        made = fields.Decompositions(pooled)
        assert len(made) == 4
        for k in (2, 0, 2):
            expected = Decomposition.of_patterns(pooled[k])
            np.testing.assert_array_equal(made[k].squares, expected.squares)
            np.testing.assert_array_equal(made[k].vectors, expected.vectors)
        assert (made[2] is made[2]) == bool(kept)


def readout(kind, m=6, seed=0):
    """A readout of random weights from a map of 5 channels and 4 × 6 positions."""
    rng = np.random.default_rng(seed)
    layout = Layout(5, 4, 6)
    offsets = rng.normal(size=m)
    if kind in ("full", "dual"):
        training = rng.normal(size=(9, 120)).astype(np.float32) if kind == "dual" else None
        of_site = rng.normal(size=(m, 120 if training is None else 9)).astype(np.float32)
        return Readout("layer", layout, of_site, offsets, training=training)
    places = [Field(0.2, 0.7, 0.2), FLAT, Field(0.9, 0.1, 0.05)]
    of_sites = (FLAT,) * m if kind == "flat" else tuple(places[k % 3] for k in range(m))
    return Readout("layer", layout, rng.normal(size=(m, 5)).astype(np.float32), offsets, of_sites)


def output(n=8, seed=1):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(n, 5, 4, 6)).astype(np.float32))


KINDS = pytest.mark.parametrize("kind", ["field", "flat", "full", "dual"])


class TestReadout:
    @KINDS
    def test_module_predicts_the_same(self, kind):
        given, maps = readout(kind), output()
        values = given.predict(maps.numpy().reshape(8, -1))
        assert values.dtype == np.float64
        np.testing.assert_allclose(given.module()(maps).numpy(), values, atol=1e-5, rtol=1e-5)

    def test_of_fields_is_a_sum_over_channels_and_positions(self):
        given, maps = readout("field"), output()
        expected = np.empty((8, 6))
        for site, field in enumerate(given.fields):
            gaussian = weights([field], 4, 6)[0].reshape(4, 6)
            pooled = (maps.numpy() * gaussian).sum(axis=(2, 3))
            expected[:, site] = pooled @ given.weights[site] + given.offsets[site]
        np.testing.assert_allclose(given.predict(maps.numpy().reshape(8, -1)), expected, atol=1e-6)

    @KINDS
    def test_of_some_sites(self, kind):
        given, maps = readout(kind), output()
        sites = [4, 0, 5]
        flat = maps.numpy().reshape(8, -1)
        some = given.take(sites)
        assert len(some) == 3
        assert some.training is None
        np.testing.assert_allclose(some.predict(flat), given.predict(flat)[:, sites], atol=2e-5)
        np.testing.assert_allclose(
            some.module()(maps).numpy(), given.module()(maps).numpy()[:, sites], atol=2e-5
        )

    @KINDS
    def test_some_pictures_at_a_time(self, kind, monkeypatch):
        given, flat = readout(kind), output().numpy().reshape(8, -1)
        whole = given.predict(flat)
        monkeypatch.setattr(readouts, "READ_BYTES", 3 * 4 * flat.shape[1])
        np.testing.assert_allclose(given.predict(flat), whole, rtol=1e-10, atol=1e-12)

    def test_weights_from_dual_coefficients(self, monkeypatch):
        rng = np.random.default_rng(0)
        training, dual = rng.normal(size=(9, 50)).astype(np.float32), rng.normal(size=(4, 9))
        expected = sum(dual[:, [k]] * training[k] for k in range(9))
        np.testing.assert_allclose(from_dual(training, dual), expected, atol=1e-5)
        monkeypatch.setattr(readouts, "READ_BYTES", 8 * 9 * 7)
        np.testing.assert_allclose(from_dual(training, dual), expected, atol=1e-5)

    @pytest.mark.parametrize("kind", ["field", "flat", "full"])
    def test_gradient_is_the_weight_of_every_unit(self, kind):
        given, maps = readout(kind), output(n=1).requires_grad_()
        module = given.module()
        one, other = output(n=2, seed=3).split(1)
        for site in range(6):
            (slope,) = torch.autograd.grad(module(maps)[0, site], maps)
            difference = module(one)[0, site] - module(other)[0, site]
            assert float((slope * (one - other)).sum()) == pytest.approx(
                float(difference), abs=1e-4
            )

    @pytest.mark.parametrize("kind", ["field", "flat"])
    def test_map_of_another_size(self, kind):
        """A map of 26 × 26 in which every value of one of 13 × 13 stands four times."""
        rng = np.random.default_rng(0)
        layout, candidates = Layout(8, 13, 13), grid()
        chosen = tuple(candidates[k] for k in rng.integers(0, 109, 12))
        given = Readout(
            "layer", layout, rng.normal(size=(12, 8)).astype(np.float32), np.zeros(12),
            chosen if kind == "field" else (FLAT,) * 12,
        )  # fmt: skip
        maps = torch.from_numpy(rng.normal(size=(30, 8, 13, 13)).astype(np.float32))
        large = maps.repeat_interleave(2, 2).repeat_interleave(2, 3)
        small, larger = given.module()(maps).numpy(), given.module()(large).numpy()
        if kind == "flat":
            np.testing.assert_allclose(larger, small, atol=1e-5)
        else:
            assert np.abs(larger - small).max() < 0.15 * small.std(axis=0).max()
            for site in range(12):
                assert np.corrcoef(larger[:, site], small[:, site])[0, 1] > 0.99

    @pytest.mark.parametrize("kind", ["field", "full"])
    def test_everywhere_is_what_it_says_of_a_uniform_map(self, kind):
        """With the same value at all positions it does not matter where a site looks."""
        module = readout(kind).module()
        values = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
        uniform = values[:, :, None, None].expand((3, 5, 4, 6))
        np.testing.assert_allclose(
            module.everywhere(uniform).numpy(), module(uniform).numpy(), atol=1e-4
        )

    def test_other_channels_are_refused(self):
        with pytest.raises(ProbeError, match="fitted on 5 channels"):
            readout("field").module()(torch.zeros(2, 7, 4, 6))

    def test_other_size_is_refused_without_fields(self):
        with pytest.raises(ProbeError, match="fitted on 120 units"):
            readout("full").module()(torch.zeros(2, 5, 8, 12))

    def test_too_many_weights_are_refused(self, monkeypatch):
        monkeypatch.setattr(readouts, "WEIGHT_BYTES", 100)
        with pytest.raises(ProbeError, match="choose fewer sites, or readout 'field'"):
            readout("dual").take([0, 1])


@pytest.fixture(scope="module")
def network():
    return models.load("alexnet", "random")


class TestLayout:
    @pytest.mark.parametrize(
        ("layer", "expected"),
        [
            ("features.0", Layout(64, 55, 55)),
            ("features.7", Layout(384, 13, 13)),
            ("features.12", Layout(256, 6, 6)),
            ("classifier.6", Layout(1000, 1, 1)),
        ],
    )
    def test_of_a_layer(self, network, layer, expected):
        (info,) = [info for info in models.layers(network) if info.name == layer]
        assert layout_of(info) == expected

    def test_channels_come_first_whatever_the_module_returns(self):
        infos = {info.name: info for info in models.layers("swin_t")}
        assert layout_of(infos["features.1"]) == Layout(96, 56, 56)

    def test_tokens_have_none(self):
        infos = {info.name: info for info in models.layers("vit_b_16")}
        assert layout_of(infos["encoder.layers.encoder_layer_3"]) is None

    def test_by_channel(self):
        maps = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
        rows = Layout(3, 4, 5).by_channel(maps.reshape(2, -1))
        np.testing.assert_array_equal(rows, maps.reshape(2, 3, 20))
