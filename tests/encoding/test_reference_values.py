"""Real V4 sites read from AlexNet: published and measured numbers, and what leaks where.

Protocol R: ten random splits (576 and 64 stimuli of session 210325), every unit of a layer, ridge
whose penalty is chosen per site by leave-one-out on the training stimuli; the median over sites of
r on the held-out stimuli, then the mean over splits.
"""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.model_selection import KFold, ShuffleSplit

import probe
from probe import recordings
from probe.encoding.fields import Layout
from probe.encoding.layer_fit import Plan, fit_layer, gram
from probe.encoding.ridge import Decomposition, select
from probe.encoding.scores import of_predictions
from probe.encoding.scoring import score
from probe.recordings import Noise
from probe.recordings.reliability import variance_components

ALPHAS = np.logspace(0.0, 9.0, 28)
LAYOUT = Layout(384, 13, 13)
USUAL = ("features.7", "features.12")
"""Layers that the tests of the default run read: extracted at once."""


class Lazily(dict):
    """What a function returns for each key, computed when it is asked for."""

    def __init__(self, compute):
        super().__init__()
        self._compute = compute

    def __missing__(self, key):
        self[key] = self._compute(key)
        return self[key]


@pytest.fixture(scope="module")
def session(alexnet):
    """Return a session: recording, responses, layers and their products, each computed once."""
    if not os.environ.get("PROBE_MIRROR"):
        pytest.skip("PROBE_MIRROR is not set: no folder with the recordings' files")

    def load(name):
        recording = recordings.load(f"cowley2023/{name}")

        def extract(layer):
            names = USUAL if layer in USUAL else [layer]
            return probe.extract(alexnet, recording, names, progress=False).complete(layer)

        layers = Lazily(extract)
        return SimpleNamespace(
            recording=recording,
            responses=recording.mean_responses().values,
            layers=layers,
            decompositions=Lazily(lambda layer: Decomposition.of_gram(gram(layers[layer]))),
        )

    return Lazily(load)


@pytest.fixture(scope="module")
def v4(session):
    return session["210325"]


def protocol_r(n):
    return list(ShuffleSplit(10, test_size=0.1, random_state=1).split(np.zeros((n, 1))))


def correlations(responses, predictions):
    y, p = responses - responses.mean(axis=0), predictions - predictions.mean(axis=0)
    return (y * p).sum(axis=0) / np.sqrt((y**2).sum(axis=0) * (p**2).sum(axis=0))


def mean_of_medians(responses, splits, predictions):
    return np.mean(
        [
            np.median(correlations(responses[test], p))
            for (_, test), p in zip(splits, predictions, strict=True)
        ]
    )


def nested(decomposition, responses, splits):
    return select([decomposition], responses, splits, alphas=ALPHAS, relative=False)


def permuted(responses, seed=0):
    """The responses of each site to other stimuli than they belong to."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(site) for site in responses.T], axis=1)


class TestProtocolR:
    @pytest.mark.parametrize(
        ("layer", "r"),
        [
            pytest.param("features.6", 0.5833, marks=pytest.mark.slow),
            ("features.7", 0.5871),
            pytest.param("features.10", 0.5692, marks=pytest.mark.slow),
            pytest.param("features.12", 0.5720, marks=pytest.mark.slow),
        ],
    )
    def test_layers(self, v4, layer, r):
        splits = protocol_r(640)
        chosen = nested(v4.decompositions[layer], v4.responses, splits)
        found = mean_of_medians(v4.responses, splits, chosen.predictions)
        assert found == pytest.approx(r, abs=0.002)
        scored = score(v4.responses, chosen.predictions, splits, None, None, partition=False)
        assert scored.by_split == pytest.approx(found, abs=1e-9)

    @pytest.mark.slow
    @pytest.mark.parametrize(("name", "r"), [("210322", 0.4797), ("210305", 0.7875)])
    def test_other_sessions(self, session, name, r):
        made = session[name]
        splits = protocol_r(len(made.responses))
        chosen = nested(made.decompositions["features.7"], made.responses, splits)
        found = mean_of_medians(made.responses, splits, chosen.predictions)
        assert found == pytest.approx(r, abs=0.002)

    @pytest.mark.slow
    def test_unbiased_share_of_the_variance(self, v4):
        """Mean over splits, then the median over sites, as for r: .5933."""
        splits = protocol_r(640)
        noise = Noise.of_repetitions(v4.recording.data["responses"].values)
        chosen = nested(v4.decompositions["features.7"], v4.responses, splits)
        # The noise of all stimuli: that of 64 alone is itself noisy.
        variance = np.tile(noise.variance.mean(axis=0), (640, 1))
        each = [
            of_predictions(v4.responses[test], p, Noise(variance[test], noise.shares[test]))
            for (_, test), p in zip(splits, chosen.predictions, strict=True)
        ]
        r = np.mean([of["r"] for of in each], axis=0)
        assert np.median(r) == pytest.approx(0.5933, abs=0.002)
        r2_er = np.nanmedian(np.nanmean([of["r2_er"] for of in each], axis=0))
        assert r2_er == pytest.approx(0.480, abs=0.005)

    def test_layer_fit_is_the_same(self, v4):
        """From activations to held-out predictions, and weights of every unit."""
        activations, responses = v4.layers["features.12"], v4.responses
        splits = protocol_r(640)[:2]
        plan = Plan("full", alphas=tuple(ALPHAS))
        layout = Layout(256, 6, 6)
        fitted = fit_layer(activations, "features.12", layout, responses, splits, plan, threads=1)
        chosen = nested(v4.decompositions["features.12"], responses, splits)
        for a, b in zip(fitted.predictions, chosen.predictions, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9)
        np.testing.assert_array_equal(fitted.at_end, chosen.at_end)
        assert not fitted.at_end.any()
        explained = correlations(responses, fitted.readout.predict(activations))
        assert np.median(explained) > 0.8  # of what it was fitted to


class TestTenFolds:
    """`KFold(10, shuffle=True, random_state=1)`, predictions pooled as they are."""

    @pytest.mark.parametrize(
        ("layer", "r", "r2", "r2_er", "feve"),
        [
            ("features.6", 0.568, 0.323, 0.442, 0.442),
            ("features.7", 0.580, 0.336, 0.448, 0.447),
            ("features.10", 0.559, 0.313, 0.428, 0.429),
            ("features.12", 0.571, 0.325, 0.424, 0.425),
        ],
    )
    @pytest.mark.slow
    def test_scores(self, v4, layer, r, r2, r2_er, feve):
        splits = list(KFold(10, shuffle=True, random_state=1).split(v4.responses))
        noise = Noise.of_repetitions(v4.recording.data["responses"].values)
        chosen = nested(v4.decompositions[layer], v4.responses, splits)
        together = np.empty_like(v4.responses)
        for (_, test), predictions in zip(splits, chosen.predictions, strict=True):
            together[test] = predictions
        values = of_predictions(v4.responses, together, noise)
        expected = {"r": r, "r2": r2, "r2_er": r2_er, "feve": feve, "reliability": 0.7646}
        found = {name: np.median(values[name]) for name in expected}
        assert found == pytest.approx(expected, abs=0.005)

    @pytest.mark.slow
    def test_r_within_folds_is_higher_than_pooled(self, v4):
        """By what pooling loses: .5803 pooled, about .59 within."""
        splits = list(KFold(10, shuffle=True, random_state=1).split(v4.responses))
        noise = Noise.of_repetitions(v4.recording.data["responses"].values)
        chosen = nested(v4.decompositions["features.7"], v4.responses, splits)
        scored = score(v4.responses, chosen.predictions, splits, noise, None, partition=True)
        assert 0.580 < scored.median["r"] < 0.600
        # Deviations from each fold's training mean change the other scores little.
        assert scored.median["r2"] == pytest.approx(0.336, abs=0.005)
        assert scored.median["r2_er"] == pytest.approx(0.448, abs=0.005)
        assert scored.median["feve"] == pytest.approx(0.447, abs=0.005)


def test_reliability(v4):
    table = variance_components(v4.recording)
    assert table["reliability"].median() == pytest.approx(0.7646, abs=0.0005)
    assert table["reliability"].min() == pytest.approx(0.5308, abs=0.0005)


class TestLeaks:
    @pytest.mark.slow
    def test_penalty_chosen_on_test_stimuli(self, v4):
        """Real and shuffled responses both seem to be predicted better than they are."""
        splits = protocol_r(640)
        decomposition, responses = v4.decompositions["features.7"], v4.responses
        both = np.concatenate([responses, permuted(responses)], axis=1)
        chosen = nested(decomposition, both, splits)
        # r of every penalty, split and site
        at_each = np.array(
            [
                [
                    correlations(both[test], p)
                    for (_, test), p in zip(
                        splits,
                        select(
                            [decomposition], both, splits, alphas=np.array([alpha]), relative=False
                        ).predictions,
                        strict=True,
                    )
                ]
                for alpha in ALPHAS
            ]
        )
        by_leave_one_out = np.take_along_axis(at_each, chosen.alpha_in_split[None], axis=0)[0]
        by_test = at_each.max(axis=0)
        honest, leaked = (
            [np.median(r[:, sites], axis=1).mean() for sites in (slice(50), slice(50, 100))]
            for r in (by_leave_one_out, by_test)
        )
        assert honest[0] == pytest.approx(0.587, abs=0.002)
        assert abs(honest[1]) < 0.03
        assert leaked[0] == pytest.approx(0.600, abs=0.002)
        assert leaked[1] - honest[1] > 0.03
        # What is predicted at a penalty does not depend on which others were tried.
        direct = mean_of_medians(responses, splits, [p[:, :50] for p in chosen.predictions])
        assert honest[0] == pytest.approx(direct, abs=1e-9)

    @pytest.mark.slow
    def test_nested_choice_finds_nothing_where_there_is_nothing(self, v4):
        splits = protocol_r(640)
        shuffled = np.concatenate([permuted(v4.responses, seed) for seed in range(4)], axis=1)
        chosen = nested(v4.decompositions["features.12"], shuffled, splits)
        assert abs(mean_of_medians(shuffled, splits, chosen.predictions)) < 0.03


class TestPositions:
    @pytest.mark.slow
    def test_mean_over_positions(self, v4):
        """What a layer says of the picture as a whole predicts less."""
        splits = protocol_r(640)
        fitted = fit_layer(
            v4.layers["features.7"], "features.7", LAYOUT, v4.responses, splits, Plan("flat"),
            threads=1,
        )  # fmt: skip
        r = mean_of_medians(v4.responses, splits, fitted.predictions)
        assert r == pytest.approx(0.513, abs=0.01)
        assert fitted.readout.weights.shape == (50, 384)

    @pytest.mark.slow
    def test_pooling_field(self, v4):
        """A place for each site predicts more than weights of all 64,896 units: .629."""
        splits = protocol_r(640)
        both = np.concatenate([v4.responses, permuted(v4.responses)], axis=1)
        fitted = fit_layer(
            v4.layers["features.7"], "features.7", LAYOUT, both, splits, Plan("field"), n_kept=50,
            threads=1,
        )  # fmt: skip
        r, shuffled = (
            mean_of_medians(both[:, sites], splits, [p[:, sites] for p in fitted.predictions])
            for sites in (slice(50), slice(50, 100))
        )
        assert r >= 0.62
        assert abs(shuffled) < 0.03
        assert len(fitted.readout) == 50
        assert fitted.readout.fields is not None
        # Where the sites of one array look is one region of the picture.
        places = np.array([(f.y, f.x) for f in fitted.readout.fields])
        assert (places.std(axis=0) < 0.25).all()
