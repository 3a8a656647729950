"""Layers fitted together: against their definition, step by step, and against what is known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from probe.encoding import banded_fit, layer_fit, readouts
from probe.encoding.banded_fit import BandedPatterns
from probe.encoding.bands import select_bands, simplex, split_r2
from probe.encoding.fields import Layout, grid, pool
from probe.encoding.layer_fit import FIELD_ALPHAS, Plan, fit_blocks
from probe.errors import ProbeError

EARLY, LATE = Layout(4, 9, 9), Layout(6, 5, 5)


def problem(seed=0, n=60, m=5):
    """Two layers of smooth maps, (n, neuroids), and sites that look at a place in both."""
    rng = np.random.default_rng(seed)
    layers = []
    for layout in (EARLY, LATE):
        coarse = rng.normal(size=(n, layout.channels, 3, 3))
        maps = np.kron(coarse, np.ones((1, 1, 3, 3)))[..., : layout.height, : layout.width]
        maps = maps + 0.3 * rng.normal(size=maps.shape)
        layers.append(np.ascontiguousarray(maps.reshape(n, -1), dtype=np.float32))
    candidates = grid()
    of_site = rng.integers(len(candidates), size=m)
    responses = np.empty((n, m))
    for j, k in enumerate(of_site):
        drives = [
            pool(x, layout, [candidates[k]])[0] @ rng.normal(size=layout.channels)
            for x, layout in zip(layers, (EARLY, LATE), strict=True)
        ]
        drives = [drive / drive.std() for drive in drives]
        weight = (0.2 + j) / (m + 0.2)
        responses[:, j] = weight * drives[0] + (1 - weight) * drives[1] + 4.0
        responses[:, j] += 0.3 * rng.normal(size=n)
    return layers, responses, of_site


def pooled(layers, plan):
    """As they are stored: all fields of a stimulus, one after the other."""
    return [
        pool(x, layout, plan.fields).swapaxes(0, 1).reshape(len(x), -1)
        for x, layout in zip(layers, (EARLY, LATE), strict=True)
    ]


def patterns_of(layers, plan):
    given = layers if plan.readout == "full" else pooled(layers, plan)
    return BandedPatterns(
        [(given[0], "early", EARLY), (given[1], "late", LATE)], plan, network="both"
    )


def fit(layers, responses, splits, readout="full", **options):
    plan = Plan(readout, "banded")
    return fit_blocks(patterns_of(layers, plan), responses, splits, plan, threads=1, **options)


def splits_of(n, k=3):
    return list(KFold(k, shuffle=True, random_state=0).split(np.empty(n)))


def predicted(fitted, layers):
    return sum(r.predict(x) for r, x in zip(fitted.readouts, layers, strict=True))


class TestAllUnits:
    def test_it_is_what_the_bands_give(self):
        layers, responses, _ = problem()
        splits = splits_of(60)
        fitted = fit(layers, responses, splits)
        grams = [x.astype(np.float64) @ x.T.astype(np.float64) for x in layers]
        chosen = select_bands(grams, responses, splits)
        np.testing.assert_allclose(fitted.predictions, chosen.selection.predictions, atol=1e-9)
        np.testing.assert_allclose(fitted.by_band, chosen.by_band, atol=1e-9)
        np.testing.assert_allclose(fitted.shares, chosen.shares.T, atol=1e-12)
        np.testing.assert_allclose(fitted.alpha, chosen.selection.alpha, rtol=1e-9)
        np.testing.assert_allclose(fitted.error, chosen.selection.error, rtol=1e-9)

    @pytest.mark.parametrize("dual", [False, True])
    @pytest.mark.parametrize("readout", ["full", "flat", "field"])
    def test_readouts_sum_to_ridge_on_all_layers(self, readout, dual, monkeypatch):
        """That of scikit-learn, on layers beside each other, each by the root of its share."""
        if dual:
            for module in (readouts, layer_fit):
                monkeypatch.setattr(module, "WEIGHT_BYTES", 500)
        layers, responses, _ = problem(1)
        fitted = fit(layers, responses, splits_of(60), readout)
        if readout == "full":
            assert (fitted.readouts[0].training is not None) == dual
        for j in range(responses.shape[1]):
            joined = []
            for share, x, r, layout in zip(
                fitted.shares[:, j], layers, fitted.readouts, (EARLY, LATE), strict=True
            ):
                patterns = x if r.fields is None else pool(x, layout, [r.fields[j]])[0]
                patterns = patterns.astype(np.float64)
                scale = patterns.var(axis=0).sum()
                joined.append(np.sqrt(share / scale) * patterns)
            model = Ridge(fitted.alpha[j]).fit(np.hstack(joined), responses[:, j])
            expected = model.predict(np.hstack(joined))
            np.testing.assert_allclose(predicted(fitted, layers)[:, j], expected, atol=2e-4)

    def test_offsets_are_of_centred_bands(self):
        """So that the first alone has the mean of the responses."""
        layers, responses, _ = problem(2)
        for readout in ("full", "field"):
            fitted = fit(layers, responses, splits_of(60), readout)
            means = [r.predict(x).mean(axis=0) for r, x in zip(fitted.readouts, layers)]  # noqa: B905
            np.testing.assert_allclose(means[0], responses.mean(axis=0), atol=1e-4)
            np.testing.assert_allclose(means[1], 0.0, atol=1e-4)


def left_out_error(gram, responses, alphas):
    """Leave-one-out errors of each penalty, by the hat matrix of the training stimuli."""
    n = len(gram)
    centring = np.eye(n) - 1.0 / n
    centred = centring @ gram @ centring
    errors = []
    for alpha in alphas:
        hat = centred @ np.linalg.inv(centred + alpha * np.eye(n)) @ centring + 1.0 / n
        left = (responses - hat @ responses) / (1.0 - hat.diagonal())[:, None]
        errors.append((left**2).sum(axis=0))
    return np.array(errors)


class TestField:
    def test_choice_step_by_step(self):
        """First the field, with bands of equal shares; then shares and penalty, in that field."""
        layers, responses, _ = problem(3, n=40, m=3)
        splits = splits_of(40, 2)
        fitted = fit(layers, responses, splits, "field")
        by_field = [pool(x, lay, grid()) for x, lay in zip(layers, (EARLY, LATE), strict=True)]
        shares = simplex(2)

        def grams(k):
            of_bands = []
            for each in by_field:
                x = each[k].astype(np.float64)
                x = x - x.mean(axis=0)
                of_bands.append(x @ x.T / (x**2).sum() * len(x))
            return of_bands

        everything = np.arange(40)
        for row, (train, test) in enumerate([*splits, (everything, everything)]):
            inside = np.ix_(train, train)
            errors = np.array(
                [
                    left_out_error((sum(grams(k)) / 2)[inside], responses[train], FIELD_ALPHAS).min(
                        axis=0
                    )
                    for k in range(len(grid()))
                ]
            )
            field = errors.argmin(axis=0)
            for j, k in enumerate(field):
                mixed = [sum(g * gram for g, gram in zip(s, grams(k), strict=True)) for s in shares]
                of_shares = np.array(
                    [
                        left_out_error(gram[inside], responses[train, j : j + 1], FIELD_ALPHAS)
                        for gram in mixed
                    ]
                )[:, :, 0]
                s, a = np.unravel_index(of_shares.argmin(), of_shares.shape)
                if row == len(splits):
                    assert fitted.readouts[0].fields[j] == fitted.readouts[1].fields[j] == grid()[k]
                    np.testing.assert_array_equal(fitted.shares[:, j], shares[s])
                    assert fitted.alpha[j] == pytest.approx(FIELD_ALPHAS[a])
                    continue
                root = np.hstack(
                    [
                        np.sqrt(g / each[k].astype(np.float64).var(axis=0).sum()) * each[k]
                        for g, each in zip(shares[s], by_field, strict=True)
                    ]
                )
                model = Ridge(FIELD_ALPHAS[a]).fit(root[train], responses[train, j])
                np.testing.assert_allclose(
                    fitted.predictions[row][:, j], model.predict(root[test]), atol=1e-7
                )
                parts = fitted.by_band[row][:, :, j]
                np.testing.assert_allclose(
                    parts.sum(axis=0) + responses[train, j].mean(), model.predict(root[test]),
                    atol=1e-7,
                )  # fmt: skip

    def test_what_was_put_in_comes_out(self):
        """The field is found, or one next to it; and R² comes from each band as it was mixed."""
        layers, responses, of_site = problem(4, n=140, m=6)
        splits = splits_of(140, 3)
        fitted = fit(layers, responses, splits, "field")
        shares = []
        for (_, test), parts, values in zip(
            splits, fitted.by_band, fitted.predictions, strict=True
        ):
            shares.append(split_r2(parts, values, responses[test]))
        early, late = np.mean(shares, axis=0)
        assert ((early + late) > 0.6).all()
        weight = (0.2 + np.arange(6)) / 6.2
        true = weight**2 / (weight**2 + (1 - weight) ** 2)
        np.testing.assert_allclose(early / (early + late), true, atol=0.12)
        candidates = grid()
        for j, k in enumerate(of_site):
            put, found = candidates[k], fitted.readouts[0].fields[j]
            if np.isfinite(put.sd) and put.sd < 0.2 and np.isfinite(found.sd):
                assert np.hypot(put.y - found.y, put.x - found.x) < 0.35

    def test_a_layer_without_positions_is_in_any_field_the_same(self):
        layers, responses, _ = problem(5, n=30)
        plan = Plan("field", "banded")
        flat = layers[1][:, :20]
        patterns = BandedPatterns(
            [(pooled(layers, plan)[0], "early", EARLY), (flat, "fc", Layout(20, 1, 1))], plan
        )
        fitted = fit_blocks(patterns, responses, splits_of(30), plan)
        assert fitted.readouts[1].fields is None
        assert fitted.readouts[1].weights.shape == (5, 20)
        assert len(fitted.readouts[0].fields) == 5

    def test_a_field_in_which_a_layer_is_silent_is_no_candidate(self):
        layers, responses, _ = problem(6)
        plan = Plan("field", "banded")
        stored = pooled(layers, plan)
        stored[0].reshape(60, len(plan.fields), 4)[:, :6] = 0.1
        patterns = BandedPatterns([(stored[0], "early", EARLY), (stored[1], "late", LATE)], plan)
        assert list(patterns.usable) == list(range(6, 109))
        fitted = fit_blocks(patterns, responses, splits_of(60), plan)
        assert np.isfinite(fitted.predictions).all()
        assert not set(fitted.readouts[0].fields) & set(plan.fields[:6])

    def test_read_anew_it_is_the_same(self, monkeypatch):
        layers, responses, _ = problem(7, n=30)
        first = fit(layers, responses, splits_of(30), "field")
        monkeypatch.setattr(banded_fit, "HELD_BYTES", 0)
        second = fit(layers, responses, splits_of(30), "field")
        np.testing.assert_array_equal(first.predictions, second.predictions)
        np.testing.assert_array_equal(first.readouts[0].weights, second.readouts[0].weights)


class TestBlocks:
    """Sites are fitted some at a time, and put beside each other."""

    @pytest.mark.parametrize("readout", ["full", "flat", "field"])
    def test_of_few_sites_they_are_as_one(self, readout, monkeypatch):
        layers, responses, _ = problem(8, n=30, m=7)
        whole = fit(layers, responses, splits_of(30), readout, n_kept=5)
        monkeypatch.setattr(layer_fit, "SITES_AT_A_TIME", 3)
        assert [b.stop - b.start for b in Plan(readout, "banded").blocks(7, 5)] == [2, 2, 3]
        parts = fit(layers, responses, splits_of(30), readout, n_kept=5)
        np.testing.assert_allclose(parts.predictions, whole.predictions, atol=1e-9)
        np.testing.assert_allclose(parts.by_band, whole.by_band, atol=1e-9)
        np.testing.assert_allclose(parts.shares, whole.shares, atol=1e-9)
        for one, other in zip(parts.readouts, whole.readouts, strict=True):
            assert len(one) == len(other) == 5
            assert one.fields == other.fields
            np.testing.assert_allclose(one.weights, other.weights, atol=1e-6)
            np.testing.assert_allclose(one.offsets, other.offsets, atol=1e-9)

    def test_threads_change_nothing(self):
        layers, responses, _ = problem(9, n=30)
        plan = Plan("field", "banded")
        patterns = patterns_of(layers, plan)
        first, second = (
            fit_blocks(patterns, responses, splits_of(30), plan, threads=n) for n in (1, 3)
        )
        np.testing.assert_array_equal(first.predictions, second.predictions)
        np.testing.assert_array_equal(first.by_band, second.by_band)

    @pytest.mark.parametrize("readout", ["full", "flat", "field"])
    def test_progress_ends_at_its_total(self, readout):
        layers, responses, _ = problem(10, n=30)
        plan, steps = Plan(readout, "banded"), []

        def track(iterable, **_):
            for item in iterable:
                yield item
                steps.append(1)

        fit_blocks(patterns_of(layers, plan), responses, splits_of(30), plan, track=track)
        assert len(steps) == BandedPatterns.n_candidates(plan, [EARLY, LATE])


class TestRefused:
    @pytest.mark.parametrize("readout", ["full", "flat", "field"])
    def test_a_layer_that_is_the_same_for_all_stimuli(self, readout):
        layers, _, _ = problem()
        layers[1][:] = 0.25
        with pytest.raises(ProbeError, match="layer 'late' of both is the same for all stimuli"):
            patterns_of(layers, Plan(readout, "banded"))

    @pytest.mark.parametrize("readout", ["full", "flat", "field"])
    def test_values_that_are_not_finite(self, readout):
        layers, _, _ = problem()
        layers[1][3, 2] = np.inf
        with pytest.raises(ProbeError, match="layer 'late' of both gives values that are not fin"):
            patterns_of(layers, Plan(readout, "banded"))

    def test_layers_that_never_vary_in_one_place(self):
        layers, _, _ = problem()
        plan = Plan("field", "banded")
        stored = pooled(layers, plan)
        stored[0].reshape(60, 109, 4)[:, :50] = 0.0
        stored[1].reshape(60, 109, 6)[:, 50:] = 0.0
        with pytest.raises(ProbeError, match="no field in which layers early, late of the network"):
            BandedPatterns([(stored[0], "early", EARLY), (stored[1], "late", LATE)], plan)
