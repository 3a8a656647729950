"""V4 neurons as networks: held to what was measured with the published files, and to numpy."""

from __future__ import annotations

import copy
import os
from functools import lru_cache

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.signal import correlate2d
from torch import nn

import probe
from probe import models, recordings, targets
from probe.assets import Unavailable, cache_dir
from probe.assets.manifest import manifests
from probe.errors import ProbeError
from probe.models import compact, registry

MIRROR = os.environ.get("PROBE_MIRROR", "")


@pytest.fixture(scope="module")
def session_cache():
    return str(cache_dir())


@pytest.fixture
def files(_own_folders, monkeypatch, session_cache):
    """The mirror folder, and the cache of the whole run: neurons are copied once."""
    if not MIRROR:
        pytest.skip("PROBE_MIRROR is not set: no folder with the published files")
    monkeypatch.setenv("PROBE_MIRROR", MIRROR)
    monkeypatch.setenv("PROBE_CACHE", session_cache)


def pictures(network, first, last):
    """Preprocess pictures of the networks' session, numbered from 1."""
    stimuli = recordings.load("cowley2023/201025").stimuli
    return torch.stack([network.preprocessing(stimuli.image(k)) for k in range(first - 1, last)])


def outputs(network, x):
    with torch.inference_mode():
        return torch.cat([network.module(batch) for batch in x.split(8)]).numpy()


def correlation(k):
    network = models.load(f"v4-compact:201025-{k}")
    means = recordings.load("cowley2023/201025").mean_responses().values
    return np.corrcoef(outputs(network, pictures(network, 601, 1200))[:, 0], means[600:, k])[0, 1]


@pytest.mark.usefixtures("files")
class TestPublished:
    def test_outputs_are_those_measured(self):
        network = models.load("v4-compact:201025-0")
        found = outputs(network, pictures(network, 601, 604))
        np.testing.assert_allclose(found[:, 0], [-0.0111, -0.1897, -0.6289, -0.4058], atol=1e-3)
        assert not network.module.training
        assert network.weights.kind == "published"
        assert "GPL-3.0" in network.weights.source
        assert "10.1038/s41586-026-10150-1" in network.weights.source
        assert network.weights.file_sha256 == manifests()["cowley2023-compact"].files[33].sha256

    def test_epsilon_is_in_the_variances_and_not_added_once_more(self):
        network = models.load("v4-compact:201025-0")
        x = pictures(network, 601, 604)
        right = outputs(network, x)
        wrong = copy.deepcopy(network.module)
        norms = [part for part in network.module.modules() if isinstance(part, nn.BatchNorm2d)]
        assert len(norms) == 5
        assert all(norm.eps <= 1e-5 for norm in norms)
        # So large is the epsilon already, that no variance is smaller.
        assert min(float(norm.running_var.min()) for norm in norms[1:]) > 1e-3
        for part in wrong.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eps = 1e-3
        with torch.inference_mode():
            assert np.abs(wrong(x).numpy() - right).max() > 0.1

    @pytest.mark.slow
    def test_correlation_with_the_neuron(self):
        known = manifests()["cowley2023-compact"].reference
        assert correlation(0) == pytest.approx(known["r_201025_0"], abs=1e-3)

    @pytest.mark.slow
    @pytest.mark.parametrize("k", [1, 2])
    def test_correlations_with_other_neurons(self, k):
        known = manifests()["cowley2023-compact"].reference
        assert correlation(k) == pytest.approx(known[f"r_201025_{k}"], abs=1e-3)

    @pytest.mark.slow
    def test_a_population_is_its_neurons_side_by_side(self):
        population = models.load("v4-compact:201025")
        x = pictures(population, 601, 602)
        found = outputs(population, x)
        assert found.shape == (2, 89)
        for k in (0, 12, 88):
            alone = models.load(f"v4-compact:201025-{k}")
            np.testing.assert_allclose(found[:, k], outputs(alone, x)[:, 0], atol=1e-5)

    def test_layers_of_a_neuron(self):
        table = models.describe("v4-compact:201025-12").set_index("layer")
        # conv 5; 5, 5 at stride 2; 5, 5 at stride 4: 5 + 4 + 8 + 16 + 16 pixels
        fields = table["field_height"].dropna()
        assert fields["layers.layer0_conv"] == 5
        assert fields["layers.layer1_act"] == 9
        assert fields["layers.layer4_act"] == 49
        # Of Keras' padding, 1 pixel lies before: -2 - 1 · 1, then -1 · 2.
        assert list(table["start_y"].dropna().unique()) == [-2, -3, -5, -13, -21]
        assert table.loc["layers.layer4_act", "output"] == "3×28×28"
        assert table.loc["layers.embeddings", "axes"] == "channel"
        network = models.load("v4-compact:201025-12")
        assert models.default_layers(network)[-1] == "layers.layer4_act"

    @pytest.mark.slow
    def test_layers_of_a_population(self):
        population = models.load("v4-compact:201025")
        assert models.default_layers(population) == ["responses"]
        infos = {info.name: info for info in models.layers(population)}
        assert infos["responses"].output_shape == (89,)
        assert infos["neurons.12.layers.layer4_act"].output_shape == (3, 28, 28)

    def test_a_convolution_is_there_for_larger_pictures_and_the_readout_is_not(self):
        network = models.load("v4-compact:201025-12")
        shapes = {i.name: i.output_shape for i in models.layers(network, (224, 224))}
        assert shapes["layers.layer4_act"] == (3, 56, 56)
        assert "layers.Beta" not in shapes
        with pytest.raises(ProbeError, match="pictures of 112×112 px"):
            network.module(torch.zeros(1, 3, 224, 224))

    @pytest.mark.slow
    def test_a_neuron_is_its_networks_target(self):
        one, all_ = models.load("v4-compact:201025-12"), models.load("v4-compact:201025")
        x = pictures(one, 601, 601)
        expected = targets.Response(0, "201025-12")
        assert targets.predicted(one, x) == expected
        assert targets.parse("201025-12", one) == targets.parse("0", one) == expected
        among = targets.parse("201025-12", all_)
        assert among == targets.parse("12", all_) == targets.Response(12, "201025-12")
        values = [targets.values(n.module, x, t) for n, t in ((one, expected), (all_, among))]
        np.testing.assert_allclose(values[0], outputs(one, x)[:, 0], atol=1e-6)
        np.testing.assert_allclose(*values, atol=1e-5)
        with pytest.raises(ProbeError, match="89 neurons, whose responses have no common scale"):
            targets.predicted(all_, x)
        with pytest.raises(ProbeError, match="output 89 does not exist: expected 0 to 88"):
            targets.parse("89", all_)
        with pytest.raises(ProbeError, match="output 1 does not exist: expected 0"):
            targets.parse("1", one)
        with pytest.raises(ProbeError, match="'v4-compact:201025-12' has no output 'tabby'"):
            targets.parse("tabby", one)

    def test_random_weights_have_the_neurons_shapes(self):
        trained = models.load("v4-compact:201025-3")
        untrained = models.load("v4-compact:201025-3", "random", seed=1)
        assert untrained.weights.kind == "random"
        shapes = [
            {k: v.shape for k, v in n.module.state_dict().items()} for n in (trained, untrained)
        ]
        assert shapes[0] == shapes[1]

    def test_preprocessing_is_the_authors(self):
        network = models.load("v4-compact:201025-0")
        preprocessing = network.preprocessing
        picture = recordings.load("cowley2023/201025").stimuli.image(0)
        pixels = np.asarray(picture)
        x = preprocessing(picture)
        expected = pixels.astype(float) - [116.222, 109.270, 100.381]
        np.testing.assert_allclose(x.permute(1, 2, 0).numpy(), expected, atol=1e-4)
        np.testing.assert_array_equal(preprocessing.seen(x), pixels)
        again = preprocessing.normalise(torch.from_numpy(pixels / 255).permute(2, 0, 1))
        np.testing.assert_allclose(again.numpy(), x.numpy(), atol=1e-4)
        assert "R, G, B from 0 to 255 minus 116.222, 109.27, 100.381" in preprocessing.describe()

    def test_files_that_are_not_mirrored_are_named(self, monkeypatch):
        from probe.assets import download

        def offline(*_args, **_options):
            raise download.Failed("offline")

        monkeypatch.setattr(download, "download", offline)
        with pytest.raises(Unavailable, match=r"as DIR/cowley2023-compact/compact_model_190923_ne"):
            models.load("v4-compact:190923-3")
        with pytest.raises(Unavailable, match=r"33 of the session's 33 files are not here"):
            models.load("v4-compact:190923")


def test_a_neuron_computes_what_numpy_does():
    torch.manual_seed(0)
    neuron = compact.Neuron((3, 2, 4, 2, 2)).eval()
    for part in neuron.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.weight.data, part.running_mean, part.running_var):
                tensor.uniform_(0.5, 2)
    state = {k.removeprefix("layers."): v.double().numpy() for k, v in neuron.state_dict().items()}
    x = np.random.default_rng(0).normal(size=(3, 112, 112))
    values = x
    for k, stride in enumerate((1, 2, 2, 1, 1)):
        before, after = (1, 2) if stride == 2 else (2, 2)
        padded = np.pad(values, ((0, 0), (before, after), (before, after)))
        name = f"layer{k}"
        if k == 0:
            kernels = state[f"{name}_conv.weight"]
            values = np.stack([correlate2d_sum(padded, kernel) for kernel in kernels])
            values += state[f"{name}_conv.bias"][:, None, None]
        else:
            depth = state[f"{name}_conv_depth.weight"][:, 0]
            each = [correlate2d(p, d, "valid") for p, d in zip(padded, depth, strict=True)]
            point = state[f"{name}_conv_point.weight"][:, :, 0, 0]
            values = np.tensordot(point, np.stack(each)[:, ::stride, ::stride], axes=1)
            values += state[f"{name}_conv_point.bias"][:, None, None]
        norm = {p: state[f"{name}_bn.{p}"][:, None, None] for p in
                ("weight", "bias", "running_mean", "running_var")}  # fmt: skip
        values = (values - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5)
        values = np.maximum(norm["weight"] * values + norm["bias"], 0)
    by_position = values.transpose(1, 2, 0).ravel()  # y, x, channel
    expected = state["Beta.weight"][0] @ by_position + state["Beta.bias"]
    with torch.no_grad():
        found = neuron(torch.from_numpy(x).float()[None])
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=1e-4, atol=1e-4)


def correlate2d_sum(padded, kernel):
    return sum(correlate2d(p, k, "valid") for p, k in zip(padded, kernel, strict=True))


def test_all_219_are_known():
    assert registry.compact_sessions() == {
        "190923": 33, "201025": 89, "210225": 55, "211022": 42
    }  # fmt: skip
    names = registry.compact_names()
    assert len(names) == 219 + 4
    for name in names:
        assert registry.parse(name).architecture == name
    for label in (n.removeprefix(registry.COMPACT) for n in names if "-" in n[11:]):
        assert compact.asset_of(label).url.endswith(compact.asset_of(label).name)
    sizes = [file.size for file in manifests()["cowley2023-compact"].files]
    assert all(sizes)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("v4-compact:201025-89", "has the neurons 0 to 88, numbered as in"),
        ("v4-compact:201025-012", "has the neurons 0 to 88"),
        ("v4-compact:201025-", "has the neurons 0 to 88"),
        ("v4-compact:201026", "did you mean '201025'"),
        ("v4-compact:", "no session ''"),
        ("v4-compact", "did you mean 'v4-compact:"),
    ],
)
def test_wrong_names(name, said):
    with pytest.raises(ProbeError, match=said):
        models.load(name)


@pytest.fixture(scope="module")
def _loaded_once():
    """A session's 89 neurons take a second to load."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probe.models.network.load", lru_cache(maxsize=2)(models.load))
        yield


@pytest.mark.usefixtures("files", "_loaded_once")
def test_one_neuron_of_a_session_is_the_network_of_its_own_name():
    population = models.load("v4-compact:201025")
    alone = models.load("v4-compact:201025-12")
    for target in (12, "12", "201025-12"):
        network, asked = targets.alone(population, target)
        assert asked == "201025-12"
        assert network.provenance() == alone.provenance()
        assert (network.name, network.weights) == (alone.name, alone.weights)
        assert targets.read(asked, network) == targets.Response(0, "201025-12")
    assert network.module is population.module.neurons[12]
    for target in ("12 - 30", "neurons.3.layers.layer4_act:0", None, targets.Response(12)):
        assert targets.alone(population, target) == (population, target)
    with pytest.raises(ProbeError, match="output 89 does not exist: expected 0 to 88"):
        targets.alone(population, 89)
    assert targets.alone(alone, "0") == (alone, "0")


@pytest.mark.usefixtures("files", "_loaded_once")
class TestOneNamesTheNeuron:
    """What a first user types: the session or the neuron, with and without a target."""

    @pytest.fixture
    def photo(self):
        data = pytest.importorskip("skimage.data")
        return data.chelsea()[50:162, 100:240]

    def test_saliency(self, photo):
        with pytest.raises(ProbeError, match=r"is 89 neurons, .* name one as target, 0 to 88, or"):
            probe.saliency(photo, "v4-compact:201025", progress=False)
        found = probe.saliency(photo, "v4-compact:201025", "grad-cam", 12, progress=False)
        own = probe.saliency(photo, "v4-compact:201025-12", "grad-cam", progress=False)
        assert found.layer == own.layer == "layers.layer4_act"
        np.testing.assert_array_equal(found.values, own.values)
        assert found.about == own.about

    @pytest.mark.slow
    def test_check_of_a_map(self, photo):
        found = probe.saliency(photo, "v4-compact:201025", "grad-cam", 12, progress=False)
        checked = found.check(progress=False).randomised
        # All that is drawn anew is the neuron's.
        assert checked["layer"].str.startswith("layers.").all()

    @pytest.mark.slow
    def test_visualize(self):
        with pytest.raises(ProbeError, match=r"is 89 neurons, .* name one as target"):
            probe.visualize("v4-compact:201025", progress=False)
        with pytest.raises(ProbeError, match="no target is named, and alexnet returns more than"):
            probe.visualize("alexnet", weights="random", progress=False)
        one = probe.visualize("v4-compact:201025-12", steps=2, progress=False)
        assert list(one.table["target"]) == ["201025-12"]
        for model, target in [("v4-compact:201025-12", "0"), ("v4-compact:201025", ["12"])]:
            same = probe.visualize(model, target, steps=2, progress=False)
            np.testing.assert_array_equal(same.pictures, one.pictures)

    @pytest.mark.slow
    def test_dream(self, photo):
        given = {"steps": 2, "progress": False, "precision": "float32"}
        one = probe.dream(photo, "v4-compact:201025-12", target="0", **given)
        assert one.picture.size == (140, 112)
        session = probe.dream(photo, "v4-compact:201025", target=12, **given)
        np.testing.assert_array_equal(np.asarray(session.picture), np.asarray(one.picture))
        shown = Image.fromarray(photo)
        network = models.load("v4-compact:201025-12")

        def response(picture):
            x = torch.stack([network.preprocessing(picture.crop((x, 0, x + 112, 112)))
                             for x in range(0, 29, 7)])  # fmt: skip
            return outputs(network, x)

        assert response(one.picture).min() > response(shown).max()
