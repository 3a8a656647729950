"""Projections: the methods' own maps, cut to what the unit sees."""

import numpy as np
import pytest
import torch
from torch import nn

from probe import images
from probe.attribution.rectifiers import deconvnet, guided_backprop
from probe.errors import ProbeError
from probe.features import projections, top_patches
from probe.features.settings import METHODS
from probe.models import Network, Preprocessing
from probe.targets import Unit

pytestmark = pytest.mark.usefixtures("_coarse_pngs")


@pytest.mark.parametrize(
    ("method", "function"), [("guided", guided_backprop), ("deconvnet", deconvnet)]
)
def test_they_are_the_methods_maps_and_lie_within_the_box(small, noise, method, function):
    patches = top_patches(small, noise, "relu2", [3, 6], k=5)
    assert (patches.values[[3, 6]] > 0).all()
    found = projections(patches, method)
    height, width = small.preprocessing.size
    for row, channel in enumerate(patches.channels):
        for rank in range(5):
            unit = Unit("relu2", channel, patches.at(channel, rank))
            inputs = patches.inputs(channel, rank)[None]
            whole = function(small.module, inputs, unit)[0].numpy()
            box = patches.box(channel, rank)
            top, left = max(box.top, 0), max(box.left, 0)
            bottom, right = min(box.bottom, height), min(box.right, width)
            mine = found.values[row, rank]
            assert mine.shape == (3, *box.size)
            np.testing.assert_array_equal(
                mine[:, top - box.top : bottom - box.top, left - box.left : right - box.left],
                whole[:, top:bottom, left:right],
            )
            # Nothing is lost: all of it lies within.
            assert np.abs(mine).sum() == pytest.approx(np.abs(whole).sum())
            assert np.abs(mine).sum() > 0


@pytest.mark.parametrize("method", METHODS)
def test_of_a_convolution_it_is_the_kernel(noise, method):
    conv = nn.Conv2d(3, 4, 7, stride=3)
    nn.init.normal_(conv.weight, generator=torch.Generator().manual_seed(0))
    network = Network.from_module(nn.Sequential(conv), preprocessing=Preprocessing("r", (40, 40)))
    patches = top_patches(network, noise, "0", range(4), k=3)
    found = projections(patches, method)
    for channel in range(4):
        for rank in range(3):
            np.testing.assert_allclose(
                found.values[channel, rank], conv.weight[channel].detach(), rtol=1e-6
            )


def test_a_channel_that_is_not_driven_has_none(small, noise):
    with torch.no_grad():
        small.module.conv1.weight[2] = 0.0
        small.module.conv1.bias[2] = -1.0
    patches = top_patches(small, noise, "relu1", [2, 0], k=2)
    found = projections(patches)
    assert not found.values[0].any()
    assert found.values[1].any()
    found.plot()


def test_the_network_is_left_as_it_was(small, noise, state):
    patches = top_patches(small, noise, "relu2", [1, 4], k=2)
    before = state(small)
    projections(patches).plot()
    assert state(small) == before


def test_a_file_says_how_it_was_made(small, noise, tmp_path):
    patches = top_patches(small, noise, "relu2", [1, 4], k=2)
    found = projections(patches, "deconvnet")
    about = images.about(found.save(tmp_path / "projections.png"))
    assert (about["projection"], about["layer"]) == ("deconvnet", "relu2")
    np.testing.assert_array_equal(np.load(found.save(tmp_path / "p.npy")), found.values)


def test_a_method_that_does_not_exist(small, noise):
    with pytest.raises(ProbeError, match=r"project 'guide': expected .*did you mean 'guided'"):
        projections(top_patches(small, noise, "conv1", k=1), "guide")
