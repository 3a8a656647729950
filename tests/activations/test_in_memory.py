"""Layers' responses in memory, one layer after the other, are those that a store keeps."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from probe.activations import PIXELS, Extraction, capture, extract, in_memory
from probe.activations.in_memory import NotInMemoryError, each_layer, fits
from probe.activations.pictures import Pictures
from probe.activations.reduce import PCA
from probe.errors import ProbeError
from probe.models import Network, Preprocessing
from probe.similarity import rdm
from probe.stimuli import StimulusSet

N_STIMULI = 11


@pytest.fixture
def stimuli():
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (20, 24, 3), dtype=np.uint8) for _ in range(N_STIMULI)]
    return StimulusSet([f"{k}" for k in range(N_STIMULI)], pictures, "noise")


class Twice(nn.Module):
    """Calls one module twice, overwrites what it returned, and adds up what came before."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 5, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.readout = nn.Linear(6, 4)

    def forward(self, x):
        x = self.relu(self.first(x))
        y = self.second(x)
        y += x
        return self.readout(self.relu(y).mean((2, 3)))


def network(module=None):
    torch.manual_seed(0)
    return Network.from_module(module or Twice(), preprocessing=Preprocessing("resize", (16, 16)))


def responses_of(extraction, layers, batch_size=4):
    responses = {}

    def use(layer, x):
        assert x.shape[0] == len(extraction.stimuli)
        responses[layer] = x[:, 0 : x.shape[1]].copy()

    each_layer(extraction, layers, use, batch_size=batch_size)
    return responses


def test_they_are_those_of_the_store(stimuli, tmp_path):
    layers = [PIXELS, "first", "relu:0", "second", "relu:1", "readout"]
    net = network()
    in_turn = responses_of(Extraction(net, stimuli), layers)
    assert list(in_turn) == layers
    store = extract(net, stimuli, layers, batch_size=4, folder=tmp_path)
    for layer, responses in in_turn.items():
        written = store.array(layer)[:, :]
        # Of a convolution, neuroids may be in another order.
        np.testing.assert_array_equal(np.sort(responses), np.sort(written))
        np.testing.assert_allclose(
            rdm(responses, "euclidean"), rdm(written, "euclidean"), rtol=1e-12
        )


def test_every_picture_has_its_own_row(stimuli):
    net = network()
    responses = responses_of(Extraction(net, stimuli), ["readout"])["readout"]
    images = torch.stack([net.preprocessing(stimuli.image(k)) for k in range(N_STIMULI)])
    captured = capture(net.module, images, ["readout"])["readout"]
    np.testing.assert_allclose(responses, captured.numpy(), rtol=1e-4, atol=1e-6)


def test_nothing_is_written_and_no_thread_is_left(stimuli, tmp_path, monkeypatch):
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path))
    n_threads = threading.active_count()
    responses_of(Extraction(network(), stimuli), ["first", "readout"])
    assert not [path for path in Path(tmp_path).rglob("*") if path.is_file()]
    assert threading.active_count() == n_threads


def test_an_error_ends_all_passes(stimuli):
    net = network()
    n_threads = threading.active_count()
    state = torch.get_rng_state()

    def use(_layer, _responses):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        each_layer(Extraction(net, stimuli), ["first"], use, batch_size=4)
    assert threading.active_count() == n_threads
    assert not any(part._forward_hooks for part in net.module.modules())
    assert net.module.training
    assert torch.equal(torch.get_rng_state(), state)


def test_what_the_network_raises_is_raised(stimuli):
    class Broken(nn.Sequential):
        def forward(self, x):
            x = self[0](x)
            if len(x) > 2:  # not at the trial
                raise ZeroDivisionError("in the second half")
            return self[1](x)

    net = network(Broken(nn.Conv2d(3, 2, 3), nn.ReLU()))
    with pytest.raises(ZeroDivisionError, match="second half"):
        responses_of(Extraction(net, stimuli), ["0", "1"])


def test_a_layer_that_is_not_called(stimuli):
    class Idle(nn.Sequential):
        def forward(self, x):
            return self[0](x)

    net = network(Idle(nn.Conv2d(3, 2, 3), nn.Conv2d(3, 2, 3)))
    with pytest.raises(ProbeError, match="'1' is not called"):
        responses_of(Extraction(net, stimuli), ["0", "1"])


def test_batches_that_take_different_ways(stimuli):
    class Either(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 2, 3), nn.Conv2d(3, 2, 3)
            self.n = 0

        def forward(self, x):
            self.n += 1
            first, second = (self.a, self.b) if self.n % 2 else (self.b, self.a)
            return first(x) + second(x)

    with pytest.raises(NotInMemoryError, match="different orders"):
        responses_of(Extraction(network(Either()), stimuli), ["a", "b"])


class Remembers(nn.Module):
    """Keeps what a layer has returned in an attribute, and reads it after the next layer."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)
        self.readout = nn.Linear(4, 4)

    def forward(self, x):
        self.memory = self.first(x)
        return self.readout((self.second(self.memory) + self.memory).mean((2, 3)))


def test_a_network_in_which_one_batch_overwrites_what_is_of_another(stimuli):
    net = network(Remembers())
    with pytest.raises(NotInMemoryError, match="other batches"):
        responses_of(Extraction(net, stimuli), ["first", "second", "readout"])
    # Nothing is waited for where it remembers something.
    responses_of(Extraction(net, stimuli), ["readout"])


class TestFits:
    def test_memory_decides(self, stimuli, monkeypatch):
        extraction = Extraction(network(), stimuli)
        # 6 channels of 6 × 6, twice, and the pictures, at 4 bytes a value.
        held = N_STIMULI * 4 * (1.5 * 2 * 6 * 6 * 6 + 2 * 3 * 16 * 16) + 16 * N_STIMULI**2
        for free, answer in ((2.1 * held, True), (1.9 * held, False)):
            monkeypatch.setattr(in_memory, "host_free_bytes", lambda free=free: free)
            assert fits(extraction, ["second"], 4) is answer

    def test_not_a_network_that_lies_elsewhere(self, stimuli):
        net = network()
        net.module.to("meta")
        assert not fits(Extraction(net, stimuli, device="cpu"), ["second"], 4)

    def test_too_many_batches_would_be_too_many_threads(self, stimuli, monkeypatch):
        extraction = Extraction(network(), stimuli)
        assert fits(extraction, ["second"], 4)
        monkeypatch.setattr(in_memory, "MOST_THREADS", 2)
        assert not fits(extraction, ["second"], 4)


class TestPictures:
    def test_each_is_decoded_once(self, stimuli, monkeypatch):
        decoded = []
        image = StimulusSet.image
        monkeypatch.setattr(
            StimulusSet, "image", lambda self, k: decoded.append(k) or image(self, k)
        )
        nets = [network(), network()]
        pictures = Pictures(stimuli, nets[0].preprocessing)
        both = [
            responses_of(Extraction(net, stimuli, pictures=pictures), ["readout"]) for net in nets
        ]
        assert sorted(decoded) == list(range(N_STIMULI))
        np.testing.assert_array_equal(both[0]["readout"], both[1]["readout"])

    def test_they_are_those_of_the_preprocessing(self, stimuli):
        preprocessing = network().preprocessing
        pictures = Pictures(stimuli, preprocessing)
        for _ in range(2):
            assert torch.equal(pictures[3], preprocessing(stimuli.image(3)))

    def test_they_are_not_kept_where_memory_is_short(self, stimuli, monkeypatch):
        monkeypatch.setattr("probe.activations.pictures.host_free_bytes", lambda: 8 * 767 * 11)
        pictures = Pictures(stimuli, network().preprocessing)
        assert torch.equal(pictures[3], pictures[3])
        assert not pictures._pixels

    def test_they_are_of_all_stimuli_also_where_components_are_fitted_to_some(
        self, stimuli, tmp_path
    ):
        net = network()
        pictures = Pictures(stimuli, net.preprocessing)
        stores = [
            Extraction(
                net, stimuli, PCA(2, n_fit=5, seed=1), folder=tmp_path / name, pictures=those
            ).run(["readout"], batch_size=4, progress=False)
            for name, those in (("with", pictures), ("without", None))
        ]
        in_both = [store.array("readout")[:, :] for store in stores]
        np.testing.assert_array_equal(*in_both)

    def test_those_of_other_stimuli_are_refused(self, stimuli):
        net = network()
        pictures = Pictures(stimuli, net.preprocessing)
        with pytest.raises(ValueError, match="of the same stimuli"):
            Extraction(net, stimuli.subset([1, 0]), pictures=pictures)
        small = Network.from_module(net.module, preprocessing=Preprocessing("resize", (8, 8)))
        with pytest.raises(ValueError, match="the same preprocessing"):
            Extraction(small, stimuli, pictures=pictures)
