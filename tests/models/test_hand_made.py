"""Features from before networks, as models: what all of them have in common."""

import numpy as np
import pytest
import torch
import xarray as xr
from PIL import Image
from skimage import data

import probe
from probe.errors import ProbeError
from probe.models import hand_made, layers, load, visual_words
from probe.models.architectures import build
from probe.models.known import FEATURES
from probe.recordings import Recording
from probe.stimuli import StimulusSet
from probe.targets.text import class_labels, parse, predicted

LAYERS = {
    "bag-of-words": {"descriptors": (128, 27, 27), "words": (200,)},
    "colour-histogram": {"rgb": (512,), "lab": (605,)},
    "gist": {"gist": (32, 4, 4)},
    "hog": {"hog": (36, 27, 27)},
    "luminance-contrast": {"local_luminance": (1, 8, 8), "local_contrast": (1, 8, 8)},
    "pixels": {"pixels": (3, 224, 224)},
    "power-spectrum": {"power": (48,)},
}
"""Of each, the layers that are compared where nobody chooses."""

COUNTED = {"bag-of-words": "words", "colour-histogram": "lab"}
"""Layers without a gradient: a count of pixels or patches changes by whole ones."""


@pytest.fixture(scope="module", autouse=True)
def _one_cache(tmp_path_factory):
    """Words are learned once, and from fewer patches: `test_visual_words` has the whole recipe."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROBE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(visual_words, "_SIDES", (96,))
        yield


@pytest.fixture(scope="module")
def photographs():
    return [Image.fromarray(picture) for picture in (data.astronaut(), data.coffee())]


@pytest.fixture(scope="module")
def recording():
    """Cuttings of a photograph, shown twice to three neuroids of each of two animals."""
    rng = np.random.default_rng(0)
    ids = [f"s{k}" for k in range(10)]
    pictures = [data.coffee()[30 * k : 30 * k + 96, 50 * k : 50 * k + 96] for k in range(10)]
    responses = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), rng.normal(size=(10, 2, 6)))},
        coords={
            "stimulus_id": ("stimulus", ids),
            "neuroid_id": ("neuroid", [f"n{k}" for k in range(6)]),
            "subject": ("neuroid", ["a"] * 3 + ["b"] * 3),
            "region": ("neuroid", ["V4"] * 6),
        },
        attrs={"name": "mine", "title": "my recording", "citation": "me"},
    )
    return Recording(responses, StimulusSet(ids, pictures, "mine"))


def test_all_are_tested():
    assert sorted(LAYERS) == sorted(FEATURES) == sorted(hand_made.SIZES)


@pytest.mark.parametrize("name", FEATURES)
def test_layers(name):
    infos = {info.name: info for info in layers(name)}
    shapes = {name: info.output_shape for name, info in infos.items() if info.default}
    assert shapes == LAYERS[name]
    assert all(info.axes_known for info in infos.values())


@pytest.mark.parametrize("name", FEATURES)
def test_load(name):
    features = load(name)
    assert features.weights.kind == "recipe"
    assert (features.preprocessing.mean, features.preprocessing.std) == ((0.0,) * 3, (1.0,) * 3)
    assert features.preprocessing.crop is None
    assert class_labels(features) == ()
    learned = name == "bag-of-words"
    assert ("nothing is learned" in features.weights.source) != learned
    assert ("two photographs" in features.weights.source) == learned
    assert (features.why_no_untrained == "") == learned


@pytest.mark.parametrize("name", FEATURES)
def test_a_picture_does_not_depend_on_its_neighbours(name, photographs):
    features = load(name)
    inputs = torch.stack([features.preprocessing(picture) for picture in photographs])
    with torch.inference_mode():
        together = features.module(inputs)
        alone = torch.cat([features.module(picture[None]) for picture in inputs])
    assert torch.equal(together, alone)
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("name", FEATURES)
def test_uniform_pictures_have_numbers_and_slopes(name):
    features = load(name)
    uniform = torch.tensor([0.0, 0.5, 1.0])[:, None, None, None]
    inputs = uniform.repeat(1, 3, *features.preprocessing.size).requires_grad_()
    values = features.module(inputs)
    assert values.isfinite().all()
    if name not in COUNTED:
        values.square().sum().backward()
        assert inputs.grad.isfinite().all()


@pytest.mark.parametrize("name", ["colour-histogram"])
def test_rsa(name, recording):
    result = probe.rsa(
        name, recording, baselines=False, resample="none", n_resamples=4, device="cpu",
        progress=False,
    )  # fmt: skip
    assert set(result.layers["layer"]) == set(LAYERS[name])
    assert result.table["score"].notna().all()
    assert result.model == f"{name} (made here)"


@pytest.mark.parametrize("name", ["bag-of-words", "hog"])
def test_only_what_learns_has_an_untrained_baseline(name, recording, monkeypatch):
    monkeypatch.setattr("probe.comparison.layer_rdms.UNTRAINED_SEEDS", (0,))
    result = probe.rsa(
        name, recording, resample="none", n_resamples=4, device="cpu", progress=False
    )
    learns = name == "bag-of-words"
    assert set(result.layers["layer"]) == set(LAYERS[name])
    assert result.layers["score"].notna().all()
    assert ("untrained" in set(result.table["kind"])) == learns
    missing = "No untrained baseline: nothing in this network is learned."
    assert (missing in result.notes()) != learns


def test_pixels_are_the_baseline(recording):
    result = probe.rsa(
        "pixels", recording, resample="none", n_resamples=4, device="cpu", progress=False
    )
    scores = result.table.set_index("kind")["score"]
    assert scores["layer"] == scores["pixels"]


def test_encode(recording):
    result = probe.encode("hog", recording, splits=2, n_resamples=4, device="cpu", progress=False)
    assert set(result.table["kind"]) == {"layer", "pixels", "gabor"}
    assert "No untrained baseline: nothing in this network is learned." in result.notes()


def test_extract(recording):
    store = probe.extract(
        "luminance-contrast", recording.stimuli, "luminance,contrast", device="cpu", progress=False
    )
    assert store["luminance"].shape == store["contrast"].shape == (10, 1)


@pytest.mark.parametrize(("name", "layer"), COUNTED.items())
def test_counts_have_no_gradient(name, layer, photographs):
    with pytest.raises(ProbeError, match=f"'{layer}:3' has no gradient here"):
        probe.saliency(photographs[0], name, "gradient", f"{layer}:3", device="cpu", progress=False)
    with pytest.raises(ProbeError, match=f"'{layer}:3' has no gradient here"):
        probe.visualize(name, f"{layer}:3", steps=2, device="cpu", progress=False)


def test_saliency_of_others(photographs):
    explained = probe.saliency(
        photographs[0], "hog", "gradient", "hog:3", device="cpu", progress=False
    )
    assert np.isfinite(explained.values).all()
    assert explained.values.any()


@pytest.mark.parametrize("weights", ["random", "some.pth"])
def test_nothing_to_learn(weights):
    with pytest.raises(ProbeError, match="'hog' has nothing to learn, and so takes no weights"):
        load("hog", weights)
    with pytest.raises(ProbeError, match="'hog' has nothing to learn, and so takes no weights"):
        load("file:hog@some.pth")


def test_random_words():
    first, again, other = (load("bag-of-words", "random", seed=seed) for seed in (1, 1, 2))
    assert first.weights.sha256 == again.weights.sha256 != other.weights.sha256


@pytest.mark.parametrize("name", FEATURES)
def test_no_classes(name):
    with pytest.raises(ProbeError, match="tells no classes apart"):
        build(name, num_classes=10)


@pytest.mark.parametrize("name", FEATURES)
def test_nothing_is_taken_for_a_class(name):
    features = load(name)
    picture = torch.zeros(1, *features.input_shape)
    with pytest.raises(ProbeError, match=f"^{name} has no classes: name a target"):
        predicted(features, picture)
    with pytest.raises(ProbeError, match=f"'5' is not a layer of '{name}', which has no classes"):
        parse("5", features)


def test_nearest_name():
    with pytest.raises(ProbeError, match="did you mean 'colour-histogram'"):
        load("color-histogram")
