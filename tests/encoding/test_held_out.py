"""Sites that have not seen a fold: against fits to the others, by scikit-learn and by hand."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit

from probe import models, recordings
from probe.encoding import fields, layer_fit
from probe.encoding.fields import Layout
from probe.encoding.held_out import HeldOut, fit_held_out
from probe.encoding.layer_fit import Plan, fill, fit_layer, prepare
from probe.encoding.ridge import Decomposition
from probe.errors import ProbeError
from probe.models import Network
from probe.recordings import Recording
from probe.stimuli import StimulusSet
from probe.targets import values

pytestmark = pytest.mark.usefixtures("_small_squeezenet")

N, SITES = 40, 5


def made(channels: int, side: int) -> tuple[np.ndarray, np.ndarray, Layout]:
    """Activations of a layer, and responses that follow from some of its units, with noise."""
    rng = np.random.default_rng(channels)
    activations = np.maximum(rng.normal(0.3, 1.0, (N, channels, side, side)), 0)
    units = activations[:, :, side // 2, side // 2] @ rng.normal(size=(channels, SITES))
    responses = 4.0 + units + rng.normal(size=(N, SITES))
    return activations.reshape(N, -1).astype(np.float32), responses, Layout(channels, side, side)


SPLITS = list(KFold(4, shuffle=True, random_state=0).split(np.zeros((N, 1))))

CASES = [
    pytest.param(readout, channels, side, id=f"{readout}-{channels}x{side}x{side}")
    for readout in ("field", "flat", "full")
    for channels, side in ((3, 3), (60, 4))  # fewer and more than the stimuli
]


@pytest.mark.parametrize(("readout", "channels", "side"), CASES)
class TestEveryFold:
    def test_reads_what_a_fit_predicts(self, readout, channels, side):
        activations, responses, layout = made(channels, side)
        plan = Plan(readout)
        fit = fit_layer(activations, "a", layout, responses, SPLITS, plan)
        folds = prepare(activations, "a", layout, plan).fit_without(responses, SPLITS)
        for (_, test), expected, held in zip(SPLITS, fit.predictions, folds, strict=True):
            np.testing.assert_array_equal(held.test, test)
            np.testing.assert_array_equal(held.predictions, expected)
            off = held.readout.predict(activations[test]) - expected
            # Weights are kept in single precision.
            assert np.abs(off / responses.std(axis=0)).max() < 1e-6

    def test_equals_scikit_learn_on_the_other_stimuli(self, readout, channels, side):
        activations, responses, layout = made(channels, side)
        patterns = prepare(activations, "a", layout, Plan(readout))
        folds = patterns.fit_without(responses, SPLITS)
        chosen = patterns._select(responses, SPLITS, None, None)
        for k, (train, test) in enumerate(SPLITS):
            for site in range(SITES):
                if readout == "full":
                    of_site = activations.astype(np.float64)
                else:
                    field = chosen.in_split[k, site]
                    of_site = patterns.by_field[field].astype(np.float64)
                    assert folds[k].readout.fields[site] == patterns.plan.fields[field]
                alpha = chosen.penalties[chosen.in_split[k, site], chosen.alpha_in_split[k, site]]
                ridge = Ridge(alpha, solver="svd").fit(of_site[train], responses[train, site])
                expected = ridge.predict(of_site[test])
                scale = responses[:, site].std()
                off = folds[k].predictions[:, site] - expected
                assert np.abs(off).max() < 1e-8 * scale
                off = folds[k].readout.predict(activations)[test, site] - expected
                assert np.abs(off).max() < 1e-6 * scale

    @pytest.mark.parametrize("size", [10.0, pytest.param(1000.0, marks=pytest.mark.slow)])
    def test_does_not_depend_on_responses_that_it_has_not_seen(self, readout, channels, side, size):
        activations, responses, layout = made(channels, side)
        patterns = prepare(activations, "a", layout, Plan(readout))
        before = patterns.fit_without(responses, SPLITS)
        for k, (_, test) in enumerate(SPLITS):
            wild = responses.copy()
            wild[test] = size * np.random.default_rng(k).normal(size=(len(test), SITES))
            after = patterns.fit_without(wild, SPLITS)[k]
            off = after.readout.predict(activations) - before[k].readout.predict(activations)
            assert np.abs(off / responses.std(axis=0)).max() < 1e-5


def test_a_stimulus_that_is_in_neither_part_is_refused():
    with pytest.raises(ProbeError, match="a split leaves out stimuli"):
        fill(np.zeros((4, 1)), (np.array([0, 1]), np.array([2])), np.zeros((1, 1)))


# --- of a recording ------------------------------------------------------------------------------


def small_recording(n: int = 12, m: int = 3) -> Recording:
    """Photographs of noise, two variants of each: they belong together."""
    rng = np.random.default_rng(3)
    pictures = rng.integers(0, 256, (n, 1, 24, 24, 3), dtype=np.uint8).repeat(3, axis=1)
    pictures[:, 1, 2:10, 2:10] = 128
    pictures[:, 2, 12:20, 12:20] = 128
    ids = [f"p{k}{v}" for k in range(n) for v in ("", "A", "B")]
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), rng.normal(3, 1, (3 * n, 2, m)))},
        coords={
            "stimulus_id": ("stimulus", ids),
            "group": ("stimulus", np.repeat(np.arange(n), 3)),
            "variant": ("stimulus", ["", "A", "B"] * n),
            "subject": ("neuroid", ["m"] * m),
            "region": ("neuroid", ["V4"] * m),
            "neuroid_id": ("neuroid", [f"n{k}" for k in range(m)]),
        },
        attrs={"name": "sim-small", "simulated": True},
    )
    return Recording(data, StimulusSet(ids, list(pictures.reshape(-1, 24, 24, 3)), "small"))


@pytest.fixture(scope="module")
def network(_own_cache: None) -> Network:
    return models.load("squeezenet1_1", "random")


@pytest.fixture(scope="module")
def heads(network: Network) -> HeldOut:
    return fit_held_out(network, small_recording(), "features.4", splits=4, progress=False)[
        "features.4"
    ]


def test_groups_stay_together_and_every_stimulus_is_held_out_once(heads: HeldOut) -> None:
    group = small_recording().data["group"].values
    tested = np.concatenate([held.test for held in heads.folds])
    assert sorted(tested) == list(range(36))
    for held in heads.folds:
        others = np.setdiff1d(np.arange(36), held.test)
        assert not set(group[held.test]) & set(group[others])


def test_a_group_is_left_out_together_when_penalties_are_chosen(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    select = layer_fit.select

    def watched(*given: object, groups: object, **more: object) -> object:
        seen.append(groups)
        return select(*given, groups=groups, **more)

    monkeypatch.setattr(layer_fit, "select", watched)
    fit_held_out(network, small_recording(), "features.4", splits=4, progress=False)
    assert seen == [tuple(np.repeat(np.arange(12), 3))]


def test_a_site_is_a_target_in_units_of_all_responses(heads: HeldOut, network: Network) -> None:
    recording = small_recording()
    responses = recording.mean_responses().values
    for fold, held in enumerate(heads.folds):
        shown = torch.stack(
            [network.preprocessing(recording.stimuli.image(int(k))) for k in held.test[:2]]
        )
        for number in range(3):
            site = heads.site(number, fold)
            got = values(network.module, shown, site).numpy()
            expected = held.predictions[:2, number] - responses[:, number].mean()
            np.testing.assert_allclose(got, expected / responses[:, number].std(), atol=1e-4)
            assert site.facts["unseen"] == held.test.tolist()


def test_predictions_are_deviations_from_what_was_trained_on(heads: HeldOut) -> None:
    responses = small_recording().mean_responses().values
    for held in heads.folds:
        trained = np.setdiff1d(np.arange(36), held.test)
        shift = responses.mean(axis=0) - responses[trained].mean(axis=0)
        np.testing.assert_allclose(heads.predictions[held.test], held.predictions + shift)


@pytest.mark.parametrize(
    ("number", "fold", "says"),
    [
        (3, 0, "site 3: expected a number from 0 to 2"),
        (-1, 0, "site -1: expected"),
        (0, 4, "fold 4: expected a number from 0 to 3"),
        (0, -1, "fold -1: expected"),
    ],
)
def test_a_site_or_fold_that_is_not_there(
    heads: HeldOut, number: int, fold: int, says: str
) -> None:
    with pytest.raises(ProbeError, match=says):
        heads.site(number, fold)


@pytest.mark.parametrize(
    "splits",
    [
        [*ShuffleSplit(3, test_size=0.25, random_state=0).split(np.zeros(36))],
        [*GroupKFold(3).split(np.zeros(36), groups=np.arange(36) // 3)][:2],
        [(np.arange(18), np.arange(18, 36)), (np.arange(18), np.arange(18, 36))],
    ],
)
def test_splits_that_do_not_hold_out_everything_once_are_refused(
    splits: object, network: Network
) -> None:
    """A stimulus that no fold has held out would be explained by a fit that has seen it."""
    with pytest.raises(ProbeError, match=r"hold out stimulus \d+ \d times: expected every"):
        fit_held_out(network, small_recording(), "features.4", splits=splits, progress=False)


# --- measured ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_blurred_parts_of_photographs_in_v4(alexnet: Network) -> None:
    """Session 210305, conv3, every unit: medians over 70 neurons, measured by another script."""
    if not os.environ.get("PROBE_MIRROR"):
        pytest.skip("PROBE_MIRROR is not set: no folder with the recordings' files")
    recording = recordings.load("v4:210305")
    heads = fit_held_out(alexnet, recording, "features.6", readout="full", progress=False)
    predicted = heads["features.6"].predictions
    responses = recording.mean_responses().values
    deletions = recordings.find_deletions(recording)

    def r(a: np.ndarray, b: np.ndarray) -> float:
        a, b = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
        return float(np.median([np.corrcoef(x, y)[0, 1] for x, y in zip(a.T, b.T, strict=True)]))

    assert r(predicted, responses) == pytest.approx(0.52, abs=0.03)
    falls, measured = deletions.falls(predicted), deletions.falls()
    assert r(falls, measured) == pytest.approx(0.21, abs=0.03)
    between = falls[:, 0] - falls[:, 1], measured[:, 0] - measured[:, 1]
    assert r(*between) == pytest.approx(0.27, abs=0.04)


def test_what_is_too_much_to_keep_is_made_anew_for_each_field_not_for_each_site(monkeypatch):
    monkeypatch.setattr(fields, "KEPT_BYTES", 0)
    calls = []
    of_patterns = Decomposition.of_patterns
    monkeypatch.setattr(
        Decomposition, "of_patterns", lambda patterns: calls.append(0) or of_patterns(patterns)
    )
    activations, responses, layout = made(4, 4)
    plan, many = Plan("field"), np.tile(responses, (1, 50))
    read = fit_layer(activations, "a", layout, many, (), plan, threads=1).readout
    # Once for the choice, the first to count the stimuli, and the chosen ones for their weights.
    assert len(calls) == len(plan.fields) + 1 + len(set(read.fields)) < many.shape[1]
