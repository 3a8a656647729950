"""RDMs of layers: computed once, of activations that are written only where they are kept."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from probe import models
from probe.activations import PIXELS
from probe.comparison import layer_rdms
from probe.comparison.layer_rdms import NetworkRDMs, rdms_of
from probe.comparison.settings import RDMSettings
from probe.models import Network, Preprocessing, baselines
from probe.stimuli import StimulusSet

LAYERS = ["features.0", "features.3"]
N_STIMULI = 6


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def stimuli():
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (40, 40, 3), dtype=np.uint8) for _ in range(N_STIMULI)]
    return StimulusSet([f"{k}" for k in range(N_STIMULI)], pictures, "noise")


@pytest.fixture(scope="module")
def squeezenet():
    preprocessing = Preprocessing("resize", (64, 64))
    return models.load("squeezenet1_1", "random", seed=7, preprocessing=preprocessing)


def settings(**options):
    return RDMSettings(layers=LAYERS, progress=False, **options)


def over(network, stimuli):
    return NetworkRDMs(network, settings()).over(stimuli)


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def builds(monkeypatch):
    """Seeds of the networks that are built."""
    seeds = []

    def build(network, seed):
        seeds.append(seed)
        return baselines.untrained(network, seed)

    monkeypatch.setattr(layer_rdms, "untrained", build)
    return seeds


class TestUntrained:
    def test_they_are_not_built_when_their_rdms_are_cached(self, squeezenet, stimuli, builds):
        first = over(squeezenet, stimuli)
        assert builds == [0, 1, 2]
        second = over(squeezenet, stimuli)
        assert builds == [0, 1, 2]
        for seed in (0, 1, 2):
            np.testing.assert_array_equal(first.untrained[seed], second.untrained[seed])
        over(squeezenet, stimuli.subset(range(N_STIMULI - 1)))  # what is not cached is computed
        assert builds == [0, 1, 2, 0, 1, 2]

    def test_what_other_versions_made_is_not_taken_for_theirs(
        self, squeezenet, stimuli, builds, monkeypatch
    ):
        over(squeezenet, stimuli)
        versions_of = layer_rdms.versions_of
        monkeypatch.setattr(
            layer_rdms, "versions_of", lambda model: versions_of(model) | {"torch": "0.1"}
        )
        over(squeezenet, stimuli)
        assert builds == [0, 1, 2] * 2

    @pytest.mark.parametrize(
        "content", ["", pytest.param("[]", marks=pytest.mark.slow), '{"model": "squeezenet1_1"}']
    )
    def test_a_damaged_record_is_none(self, content, squeezenet, stimuli, builds, cache):
        first = over(squeezenet, stimuli)
        for record in files(cache / "untrained"):
            record.write_text(content)
        second = over(squeezenet, stimuli)
        assert builds == [0, 1, 2] * 2
        np.testing.assert_array_equal(first.untrained[1], second.untrained[1])


class TestActivationsThatNobodyWillAskForAreDeleted:
    def test_of_baselines(self, squeezenet, stimuli, cache):
        of_baseline = rdms_of(squeezenet, LAYERS, stimuli, settings(), baseline=True)
        assert not files(cache / "baselines")
        assert not files(cache / "activations")
        for path in files(cache / "rdms"):
            path.unlink()
        named = rdms_of(squeezenet, LAYERS, stimuli, settings())
        assert files(cache / "activations")
        np.testing.assert_array_equal(of_baseline, named)

    def test_a_network_of_the_users_own(self, stimuli, cache):
        module = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.Conv2d(4, 2, 3))
        network = Network.from_module(module, preprocessing=Preprocessing("resize", (16, 16)))
        rdms = rdms_of(network, ["0", "2", PIXELS], stimuli, settings())
        assert rdms.shape == (3, N_STIMULI * (N_STIMULI - 1) // 2)
        assert not [path for path in files(cache) if path.suffix != ".lock"]
