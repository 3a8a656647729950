"""The classic networks in each of the flows, and a recurrent one of the user's own."""

import functools

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image, ImageDraw
from torch import nn

import probe
from probe.errors import ProbeError
from probe.models import classic, layers, load
from probe.models.known import CLASSIC
from probe.recordings import Recording
from probe.stimuli import StimulusSet

V1 = "v1-gabor:20"  # with smaller filters than those for 8°
LAYERS = {
    "hmax": ("C1", "c1", 32),
    "lenet5": ("C3", "c3", 16),
    "neocognitron": ("S1", "s1", 24),
    V1: ("complex", "complex", 24),
}
"""Of each, a layer by its alias, by its path, and how many channels it has."""

WITHOUT_HMAX = [pytest.param("hmax", marks=pytest.mark.slow), *(n for n in LAYERS if n != "hmax")]
"""HMAX takes seconds more, and its gradients and activations are in `saliency` and `rsa`."""


@pytest.fixture(scope="module", autouse=True)
def _one_cache(tmp_path_factory):
    """Train LeNet-5 once, and not by its whole recipe; show HMAX smaller pictures."""
    small = classic.INPUTS["hmax"]._replace(size=(48, 48))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROBE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("PROBE_MIRROR", raising=False)
        patch.setattr("probe.models.lenet5.train.__defaults__", (0, 1))
        patch.setitem(classic.INPUTS, "hmax", small)
        yield


@pytest.fixture(scope="module")
def recording():
    """Ten pictures of lines, shown twice to two neuroids of each of two animals."""
    rng = np.random.default_rng(0)
    ids = [f"s{k}" for k in range(10)]
    pictures = []
    for corners in rng.integers(2, 14, (10, 6)).tolist():
        picture = Image.new("RGB", (16, 16))
        ImageDraw.Draw(picture).line(corners, fill="white")
        pictures.append(np.asarray(picture))
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), rng.normal(size=(10, 2, 4)))},
        coords={
            "stimulus_id": ("stimulus", ids),
            "neuroid_id": ("neuroid", [f"n{k}" for k in range(4)]),
            "subject": ("neuroid", ["a", "a", "b", "b"]),
            "region": ("neuroid", ["V1"] * 4),
        },
        attrs={"name": "mine", "title": "my recording", "citation": "me"},
    )
    return Recording(data, StimulusSet(ids, pictures, "mine"))


@pytest.fixture(scope="module")
def network():
    """Loads a network once."""
    return functools.cache(load)


def test_all_that_can_be_loaded_are_tested():
    names = [name.partition(":")[0] for name in LAYERS]
    assert sorted([*names, "zfnet"]) == sorted(CLASSIC)


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    alias, path, channels = LAYERS[name]
    (info,) = [info for info in layers(name) if alias in (info.name, info.alias)]
    assert (info.path, info.n_channels, info.default) == (path, channels, True)


@pytest.mark.parametrize("name", LAYERS)
def test_rsa(name, network, recording):
    result = probe.rsa(
        network(name), recording, layers=LAYERS[name][0], n_resamples=4, progress=False
    )
    kinds = {"layer", "pixels", "untrained"} - ({"untrained"} if name == V1 else set())
    assert set(result.table["kind"]) == kinds
    assert result.layers["score"].notna().all()
    missing = "No untrained baseline: nothing in this network is learned."
    assert (missing in result.notes()) == (name == V1)
    assert result.model == f"{name} (made here)"


@pytest.mark.parametrize("name", WITHOUT_HMAX)
def test_encode(name, network, recording):
    result = probe.encode(
        network(name), recording, layers=LAYERS[name][0], splits=2, n_resamples=4, progress=False
    )
    assert ("untrained" in set(result.table["kind"])) == (name != V1)


@pytest.mark.parametrize("name", LAYERS)
def test_saliency(name, network, recording):
    shown, picture = network(name), recording.stimuli.image(0)
    # Not all planes of a neocognitron have learned anything.
    maps = probe.extract(shown, recording.stimuli, LAYERS[name][0], reduce="max", progress=False)
    channel = int(np.asarray(maps[LAYERS[name][1]][0]).argmax())
    target = f"{LAYERS[name][1]}:{channel}"
    explained = probe.saliency(picture, shown, "gradient", target, progress=False)
    assert np.isfinite(explained.values).all()
    assert explained.values.any()


@pytest.mark.parametrize("name", ["hmax", "neocognitron", V1])
def test_what_has_no_classes_asks_for_a_target(name, network, recording):
    picture = recording.stimuli.image(0)
    with pytest.raises(ProbeError, match=f"^{name} has no classes: name a target"):
        probe.saliency(picture, network(name), "gradient", progress=False)
    message = f"^'5' is not a layer of '{name}', which has no classes: give LAYER or LAYER"
    with pytest.raises(ProbeError, match=message):
        probe.visualize(network(name), "5", steps=2, device="cpu", progress=False)


def test_a_map_of_c2_is_of_the_last_layer_with_places(network, recording):
    """It is not known where the positions of S2, of all bands, are."""
    explained = probe.saliency(
        recording.stimuli.image(0), network("hmax"), "grad-cam", "c2:5", progress=False
    )
    assert explained.layer == "c1"


@pytest.mark.parametrize("name", WITHOUT_HMAX)
def test_visualize(name, network):
    picture = probe.visualize(
        network(name), f"{LAYERS[name][1]}:2", steps=1, device="cpu", progress=False
    )
    assert picture.pictures.std() > 0


@pytest.mark.parametrize("name", LAYERS)
def test_extract(name, network, recording):
    alias, path, channels = LAYERS[name]
    store = probe.extract(network(name), recording.stimuli, alias, reduce="mean", progress=False)
    assert store[path].shape == (10, channels)


class Block(nn.Module):
    """As in CORnet-S (Kubilius et al. 2019): one convolution, used again and again."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.nonlin = nn.ReLU()
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(2))

    def forward(self, x):
        """Return the last state."""
        for norm in self.norms:
            x = self.nonlin(norm(self.conv(x)) + x)
        return x


def test_a_recurrent_network(recording):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(3, 4, 8, 8), Block(), nn.Flatten(), nn.LazyLinear(3))
        module(torch.zeros(1, 3, 224, 224))
    names = [info.name for info in layers(probe.models.as_network(module.eval()))]
    assert names[1:7] == [
        "1.conv:0", "1.norms.0", "1.nonlin:0", "1.conv:1", "1.norms.1", "1.nonlin:1",
    ]  # fmt: skip
    store = probe.extract(module, recording.stimuli, "1.nonlin:0,1.nonlin:1", progress=False)
    first, second = (np.asarray(store[f"1.nonlin:{call}"]) for call in (0, 1))
    assert first.any()
    assert not np.array_equal(first, second)
