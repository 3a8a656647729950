"""Kernels: what is measured of them, in which order they are shown, and what is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from probe import images, models
from probe.errors import ProbeError
from probe.features import kernels
from probe.features.first_layer import MAX_GREY_SHARE, MIN_ANISOTROPY, MIN_COLOURED_SHARE, describe
from probe.models import Network
from probe.stimuli.gratings import coordinates, grating

pytestmark = pytest.mark.usefixtures("_coarse_pngs")


def gabor(orientation, frequency, phase, size, colours=(1.0, 1.0, 1.0)):
    """A grating as the stimuli have it, frequency in cycles per pixel, in a round window."""
    x, y = coordinates(size)
    window = np.exp(-(x**2 + y**2) / (2 * 0.2**2))
    wave = window * grating(orientation, frequency * size, phase, size)
    return np.multiply.outer(np.asarray(colours), wave)


def between(a, b):
    """Degrees between two orientations."""
    return abs((a - b + 90) % 180 - 90)


class TestOfGabors:
    @given(
        st.floats(0, 180), st.floats(0.18, 0.33), st.floats(0, 360), st.sampled_from([9, 11, 16])
    )
    def test_orientation_and_frequency_are_those_of_the_grating(self, turn, f, phase, size):
        (row,) = describe(gabor(turn, f, phase, size)[None]).itertuples()
        assert between(row.orientation, turn) < 2
        assert row.frequency == pytest.approx(f, abs=0.04)
        assert row.anisotropy > MIN_ANISOTROPY
        assert row.colour == pytest.approx(0, abs=1e-12)

    @given(st.floats(0, 180), st.floats(0, 360))
    def test_a_kernel_that_is_turned_has_another_orientation(self, turn, phase):
        kernel = gabor(turn, 0.25, phase, 11)
        turned = np.rot90(kernel, axes=(1, 2))  # anticlockwise, as pictures are seen
        before, after = describe(np.stack([kernel, turned])).itertuples()
        assert between(after.orientation, before.orientation + 90) < 1e-6
        assert after.anisotropy == pytest.approx(before.anisotropy)

    def test_vertical_bars_are_at_0(self):
        bars = np.zeros((1, 1, 8, 8))
        bars[..., ::2] = 1.0
        (row,) = describe(bars).itertuples()
        assert between(row.orientation, 0) < 1e-6
        assert row.frequency == pytest.approx(0.5)
        assert row.energy == 32

    def test_what_has_no_orientation(self):
        x, y = coordinates(11)
        blob = np.exp(-(x**2 + y**2) / 0.02)[None, None]
        (row,) = describe(blob).itertuples()
        assert row.anisotropy < 1e-6

    @pytest.mark.parametrize(
        ("colours", "share", "axis"),
        [
            ((2, -1, -1), 1, 0),  # red against cyan
            ((-2, 1, 1), 1, 0),  # cyan against red
            ((1, 1, -2), 1, 60),  # yellow against blue
            ((-1, 2, -1), 1, 120),  # green against magenta
            ((0, 1, -1), 1, 90),
            ((1, 0, 0), 2 / 3, 0),
            ((3, 1, 1), 8 / 33, 0),  # Σ(w − mean)² / Σw²
        ],
    )
    def test_colours(self, colours, share, axis):
        (row,) = describe(gabor(30, 0.2, 0, 11, colours)[None]).itertuples()
        assert row.colour == pytest.approx(share)
        assert between(row.axis, axis) < 1e-6
        assert between(row.orientation, 30) < 2

    def test_zeros_are_no_error(self):
        table = describe(np.zeros((2, 3, 5, 5)))
        assert np.isfinite(table.to_numpy()).all()
        assert (table[["energy", "colour", "anisotropy"]] == 0).all(axis=None)


class TestOfAlexNet:
    def test_gabors_and_colour_blobs_lie_apart(self, alexnet):
        found = kernels(alexnet)
        assert found.values.shape == (64, 3, 11, 11)
        groups = dict(list(found.table.groupby("group", sort=False)))
        gabors = groups["grey and oriented, by orientation"]
        colours = groups["coloured, by opponent axis"]
        # Seen on the picture: a vertical and a horizontal grating, two at a slant.
        by_number = gabors.set_index("kernel")["orientation"]
        for number, orientation in ((27, 0), (54, 90), (12, 27), (41, 145)):
            assert between(by_number[number], orientation) < 8
        # Red against cyan, orange against blue, green in magenta.
        assert {2, 4, 49, 37, 21} <= set(colours["kernel"])
        assert (colours["colour"] > MIN_COLOURED_SHARE).all()
        # Seen on the picture: yellow beside blue (30, 48, 14), red beside green (32).
        tinted = groups["tinted and oriented, by orientation"]
        assert {30, 48, 14, 32} <= set(tinted["kernel"])
        assert tinted["colour"].between(MAX_GREY_SHARE, MIN_COLOURED_SHARE).all()
        assert (gabors["colour"] <= MAX_GREY_SHARE).all()
        assert len(gabors) + len(tinted) > 30
        assert len(gabors) > 20
        assert len(colours) > 15

    def test_each_is_shown_once_in_order(self, alexnet):
        found = kernels(alexnet).table
        assert sorted(found["kernel"]) == list(range(64))
        for group in ("grey and oriented", "tinted and oriented"):
            oriented = found[found["group"].str.startswith(group)]
            assert oriented["orientation"].is_monotonic_increasing
        assert kernels(alexnet, sort="energy").table["energy"].is_monotonic_decreasing
        assert list(kernels(alexnet, sort="index").table["kernel"]) == list(range(64))

    def test_the_summary_counts_the_groups(self, alexnet):
        found = kernels(alexnet)
        assert found.summary["kernels"].sum() == 64
        assert list(found.summary["group"]) == list(dict.fromkeys(found.table["group"]))

    def test_a_file_says_how_it_was_made(self, alexnet, tmp_path):
        found = kernels(alexnet)
        about = images.about(found.save(tmp_path / "k.png"))
        assert about["model"] == "alexnet"
        assert about["layer"] == "features.0"
        assert about["sort"] == "orientation"
        assert about["weights_sha256"] == alexnet.weights.sha256
        assert set(about["versions"]) >= {"cnn-probe", "torch"}
        np.testing.assert_array_equal(np.load(found.save(tmp_path / "k.npy")), found.values)

    def test_a_notebook_shows_it(self, alexnet):
        found = kernels(alexnet)
        assert found._repr_html_().startswith('<img src="data:image/png;base64,')
        assert repr(found) == "<Kernels alexnet features.0 (conv1): 64 kernels of 11×11>"


def test_kernels_with_hardly_any_weight_come_last():
    conv = nn.Conv2d(3, 3, 5)
    with torch.no_grad():
        for k, size in enumerate((1e-3, 1.0, 0.5)):
            conv.weight[k] = torch.from_numpy(size * gabor(40 * k, 0.25, 0, 5))
    found = kernels(Network.from_module(nn.Sequential(conv)))
    assert list(found.table["kernel"]) == [1, 2, 0]
    assert list(found.summary["group"])[-1] == "with hardly any weight, by energy"


def test_the_network_is_left_as_it_was(small, state):
    before = state(small)
    found = kernels(small)
    found.values[:] = 0.0  # theirs, not the network's
    found.plot()
    assert state(small) == before


def test_a_depthwise_layer_has_kernels_of_one_channel():
    network = models.load("efficientnet_lite0", "random")
    layers = dict(network.module.named_modules())
    depthwise = next(
        name for name, part in layers.items() if isinstance(part, nn.Conv2d) and part.groups > 1
    )
    found = kernels(network, depthwise)
    assert found.values.shape[1] == 1
    assert "white is 0" in found.scale
    assert (found.table["colour"] == 0).all()


class TestBadInput:
    def test_a_deeper_layer(self):
        with pytest.raises(ProbeError, match=r"'features.3' has kernels of 64 channels"):
            kernels(models.load("alexnet", "random"), "conv2")

    def test_a_layer_without_kernels(self, small):
        with pytest.raises(ProbeError, match=r"'relu1' \(ReLU\) is not a convolution"):
            kernels(small, "relu1")

    def test_a_network_that_does_not_begin_with_a_convolution(self):
        module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 224 * 224, 2))
        with pytest.raises(ProbeError, match=r"'1' \(Linear\), is not a convolution"):
            kernels(module)

    def test_a_layer_that_does_not_exist(self):
        with pytest.raises(ProbeError, match=r"no layer 'features\.00'.*did you mean"):
            kernels("alexnet", "features.00")

    def test_an_order_that_does_not_exist(self, small):
        with pytest.raises(
            ProbeError, match=r"sort 'orientatoin': expected .*did you mean 'orientation'"
        ):
            kernels(small, sort="orientatoin")

    def test_a_file_of_another_kind(self, small, tmp_path):
        with pytest.raises(ProbeError, match=r"has to end in \.png, .* \(a figure\) or \.npy"):
            kernels(small).save(tmp_path / "kernels.jpg")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("ratio", "group"), [(0.45, "grey"), (0.55, "tinted"), (1.1, "coloured")])
def test_grey_has_colours_half_as_strong_as_its_lights_at_most(ratio, group):
    hue = np.array([1.0, -1.0, 0.0])[:, None, None] / np.sqrt(2)
    pattern = gabor(0, 0.25, 0, 7)[0]
    conv = nn.Conv2d(3, 1, 7)
    with torch.no_grad():
        conv.weight[0] = torch.from_numpy(pattern / np.sqrt(3) + ratio * hue * pattern)
    found = kernels(Network.from_module(nn.Sequential(conv)))
    assert found.table["colour"][0] == pytest.approx(ratio**2 / (1 + ratio**2), abs=1e-5)
    assert found.table["group"][0].startswith(group)
