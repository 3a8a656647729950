"""Activation maps: what `capture` gives, and which are shown."""

import numpy as np
import pytest
from PIL import Image
from torch import nn

from probe import images
from probe.activations import capture
from probe.errors import ProbeError
from probe.features import activation_maps

pytestmark = pytest.mark.usefixtures("_coarse_pngs")


@pytest.fixture
def picture():
    return np.random.default_rng(1).integers(0, 256, (60, 50, 3), dtype=np.uint8)


@pytest.mark.parametrize("layer", ["conv1", "relu1", "pool", "conv2", "relu2"])
def test_values_are_the_layers_own(small, picture, layer):
    found = activation_maps(small, picture, layer)
    inputs = small.preprocessing(Image.fromarray(picture))[None]
    np.testing.assert_array_equal(found.values, capture(small.module, inputs, [layer])[layer][0])


def test_the_most_active_come_first(small, picture):
    found = activation_maps(small, picture, "conv2")
    largest = found.values.max((1, 2))
    assert sorted(found.channels) == list(range(8))
    assert list(largest[list(found.channels)]) == sorted(largest, reverse=True)
    table = found.table.set_index("channel")
    for channel, row in table.iterrows():
        assert row["activation"] == largest[channel]
        assert found.values[channel, int(row["y"]), int(row["x"])] == largest[channel]


def test_those_that_were_chosen(small, picture):
    found = activation_maps(small, picture, "conv2", [5, 0])
    assert found.channels == (5, 0)
    assert found.values.shape[0] == 8
    assert found.title == "small conv2 of image: 2 of 8 channels, 10×10"


def test_the_picture_is_what_the_network_saw(small, picture):
    found = activation_maps(small, picture, "conv1")
    resized = Image.fromarray(picture).resize((41, 41), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(found.picture, np.asarray(resized))


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "1"])
def test_any_picture(small, picture, mode, tmp_path):
    path = tmp_path / "picture.tif"
    Image.fromarray(picture).convert(mode).save(path)
    assert activation_maps(small, path, "conv1").values.shape == (6, 21, 21)


def test_a_picture_of_one_pixel(small):
    found = activation_maps(small, np.zeros((1, 1), np.uint8), "conv1")
    assert found.picture.shape == (41, 41, 3)


def test_the_network_is_left_as_it_was(small, picture, state):
    before = state(small)
    activation_maps(small, picture, "conv2").plot()
    assert state(small) == before
    with pytest.raises(ProbeError):
        activation_maps(small, picture, "conv2", [8])
    assert state(small) == before


def test_a_file_says_how_it_was_made(small, picture, tmp_path):
    found = activation_maps(small, picture, "relu2", scale="own")
    about = images.about(found.save(tmp_path / "maps.png"))
    assert about["layer"] == "relu2"
    assert about["scale"] == "own"
    assert about["channels"] == list(found.channels)
    assert len(about["image_sha256"]) == 64


class TestBadInput:
    def test_a_channel_that_does_not_exist(self, small, picture):
        with pytest.raises(ProbeError, match=r"channel 8 does not exist: layer 'conv2' has 8"):
            activation_maps(small, picture, "conv2", [0, 8])

    def test_no_channel(self, small, picture):
        with pytest.raises(ProbeError, match="expected at least one"):
            activation_maps(small, picture, "conv2", [])

    def test_a_layer_without_positions(self, small, picture):
        with pytest.raises(ProbeError, match=r"layer 'head' has no positions.* is 5$"):
            activation_maps(small, picture, "head")

    def test_several_layers(self, small, picture):
        with pytest.raises(ProbeError, match="layer 'conv' stands for 3 layers: expected the name"):
            activation_maps(small, picture, "conv")

    def test_a_picture_that_does_not_exist(self, small):
        with pytest.raises(ProbeError, match=r"image 'cta\.jpg' does not exist"):
            activation_maps(small, "cta.jpg", "conv1")

    def test_a_scale_that_does_not_exist(self, small, picture):
        with pytest.raises(ProbeError, match=r"scale 'sharde': expected .*did you mean 'shared'"):
            activation_maps(small, picture, "conv1", scale="sharde")

    def test_values_that_are_not_finite(self, small, picture):
        nn.init.constant_(small.module.conv1.weight, float("inf"))
        with pytest.raises(ProbeError, match="'conv1' has activations that are not finite"):
            activation_maps(small, picture, "conv1")
