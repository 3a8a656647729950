"""The largest activations of every channel, and the patches: against plain loops."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from probe import images
from probe.activations import capture
from probe.errors import ProbeError
from probe.features import top_patches
from probe.features.patches import Box, unit_box
from probe.models import Network, Preprocessing
from probe.models.layer_table import measures
from probe.models.receptive_fields import ReceptiveField
from probe.stimuli import StimulusSet

pytestmark = pytest.mark.usefixtures("_coarse_pngs")


def activations(network, stimuli, layer):
    """All of a layer's activations: (n, channels, …)."""
    inputs = torch.stack([network.preprocessing(stimuli.image(i)) for i in range(len(stimuli))])
    return capture(network.module, inputs, [layer])[layer].numpy()


class TestAgainstAllActivations:
    @pytest.mark.parametrize("layer", ["conv1", "pool", "relu2", "head"])
    @pytest.mark.parametrize("batch_size", [1, 4, 23, None])
    @pytest.mark.parametrize("k", [1, 5, 23])
    def test_of_every_channel(self, small, noise, layer, batch_size, k):
        found = top_patches(small, noise, layer, k=k, batch_size=batch_size)
        every = activations(small, noise, layer)
        flat = every.reshape(*every.shape[:2], -1)
        largest = flat.max(2)  # (n, channels)
        order = np.argsort(-largest, axis=0, kind="stable")[:k].T
        np.testing.assert_allclose(found.values, np.take_along_axis(largest.T, order, 1), rtol=1e-5)
        np.testing.assert_array_equal(found.stimulus, order)
        for channel in range(every.shape[1]):
            for rank in range(k):
                at = (found.stimulus[channel, rank], channel, *found.at(channel, rank))
                assert every[at] == pytest.approx(found.values[channel, rank], rel=1e-5)

    def test_more_than_there_are(self, small, noise):
        assert top_patches(small, noise, "conv1", k=99).values.shape == (6, 23)

    def test_of_equal_ones_the_earlier_comes_first(self, small, noise):
        first = np.asarray(noise.image(0))
        same = StimulusSet([f"s{k}" for k in range(7)], [first] * 7, "same")
        found = top_patches(small, same, "conv2", k=5, batch_size=2)
        np.testing.assert_array_equal(found.stimulus, [[0, 1, 2, 3, 4]] * 8)

    def test_every_picture_is_seen_once(self, small, noise, monkeypatch):
        held = []
        forward = type(small.module).forward

        def watch(module, x):
            held.append(len(x))
            return forward(module, x)

        monkeypatch.setattr(type(small.module), "forward", watch)
        top_patches(small, noise, "conv1", batch_size=5)
        assert [n for n in held if n > 2] == [5] * 5  # the rest are trials of its shape


def column(network, pictures, layer, y, x):
    """What all channels return at a position: (n, channels)."""
    return capture(network.module, pictures, [layer])[layer][:, :, y, x]


class TestBoxes:
    @pytest.mark.parametrize("layer", ["conv1", "relu1", "pool", "conv2", "relu2"])
    @pytest.mark.parametrize("at", [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (0.2, 0.9)])
    def test_what_lies_outside_does_not_matter_and_the_border_does(self, small, layer, at):
        generator = torch.Generator().manual_seed(0)
        height, width = small.preprocessing.size
        pictures = torch.randn(16, 3, height, width, generator=generator)
        others = torch.randn(16, 3, height, width, generator=generator)
        *_, rows, columns = capture(small.module, pictures, [layer])[layer].shape
        y, x = round(at[0] * (rows - 1)), round(at[1] * (columns - 1))
        before = column(small, pictures, layer, y, x)

        box = unit_box(measures(small).fields[layer], (height, width), (y, x))
        within = torch.zeros(height, width, dtype=torch.bool)
        top, left = max(box.top, 0), max(box.left, 0)
        bottom, right = min(box.bottom, height), min(box.right, width)
        within[top:bottom, left:right] = True
        outside = torch.where(within, pictures, others)
        assert torch.equal(column(small, outside, layer, y, x), before)

        for row, col in ((top, None), (bottom - 1, None), (None, left), (None, right - 1)):
            edge = pictures.clone()
            if row is not None:
                edge[:, :, row, left:right] = others[:, :, row, left:right]
            else:
                edge[:, :, top:bottom, col] = others[:, :, top:bottom, col]
            assert not torch.equal(column(small, edge, layer, y, x), before)

    def test_of_a_convolution_by_hand(self, small):
        # 5×5, stride 2, padding 2: the unit at (y, x) begins at 2·y − 2.
        field = measures(small).fields["conv1"]
        assert unit_box(field, (41, 41), (0, 3)) == Box(-2, 4, 3, 9)

    def test_no_larger_than_the_picture(self):
        field = ReceptiveField((195, 31), (16.0, 8.0), (-63, -4))
        assert unit_box(field, (64, 64), (2, 1)) == Box(0, 4, 64, 35)

    @pytest.mark.parametrize("position", [(), (7,)])
    def test_of_what_has_no_places_it_is_the_picture(self, position):
        assert unit_box(None, (64, 48), position) == Box(0, 0, 64, 48)

    def test_cut(self):
        picture = np.arange(12).reshape(3, 4)
        cut = Box(-1, 2, 2, 5).cut(picture, 99)
        np.testing.assert_array_equal(cut, [[99, 99, 99], [2, 3, 99], [6, 7, 99]])


class TestPatches:
    def test_they_drive_the_unit_alone(self, small, noise):
        """The patch, put back where it was into an empty picture, gives the same activation."""
        found = top_patches(small, noise, "relu2", [0, 3, 5], k=4)
        for channel in found.channels:
            for rank in range(4):
                box = found.box(channel, rank)
                pixels = found.patch(channel, rank)
                canvas = np.full((2 * 41 + 41, 2 * 41 + 41, 3), 128, np.uint8)
                canvas[41 + box.top : 41 + box.bottom, 41 + box.left : 41 + box.right] = pixels
                picture = Image.fromarray(canvas[41:82, 41:82].copy())
                inputs = small.preprocessing(picture)[None]
                y, x = found.at(channel, rank)
                alone = capture(small.module, inputs, ["relu2"])["relu2"][0, channel, y, x]
                assert float(alone) == pytest.approx(found.values[channel, rank], rel=1e-5)

    def test_light_grey_lies_beyond_the_border(self, small, noise):
        found = top_patches(small, noise, "conv2", k=23)
        boxes = [(c, r, found.box(c, r)) for c in range(8) for r in range(23)]
        channel, rank, box = next(of for of in boxes if of[2].top < 0)
        assert (found.patch(channel, rank)[: -box.top] == 217).all()

    def test_the_table(self, small, noise):
        found = top_patches(small, noise, "conv2", [4, 1], k=3)
        table = found.table
        assert list(table["channel"]) == [4, 4, 4, 1, 1, 1]
        assert list(table["rank"]) == [1, 2, 3] * 2
        assert list(table["activation"]) == [*found.values[4], *found.values[1]]
        assert list(table["stimulus_id"]) == [
            noise.ids[i] for i in (*found.stimulus[4], *found.stimulus[1])
        ]
        box = found.box(4, 0)
        assert tuple(table.loc[0, ["top", "left", "bottom", "right"]]) == box
        assert list(found.summary["activation"]) == [found.values[4, 0], found.values[1, 0]]

    def test_channels_that_nobody_chose_are_the_most_active(self, small, noise):
        found = top_patches(small, noise, "conv1", k=2)
        largest = found.values[:, 0]
        assert list(found.channels) == list(np.argsort(-largest))

    def test_a_channel_that_is_not_driven(self, small, noise):
        with torch.no_grad():
            small.module.conv1.weight[2] = 0.0
            small.module.conv1.bias[2] = -1.0
        found = top_patches(small, noise, "relu1", [2, 0], k=2)
        assert (found.values[2] == 0).all()
        assert [[p is None for p in row] for row in found.rows()] == [[True] * 2, [False] * 2]
        found.plot()


def test_images_in_a_folder(small, noise, tmp_path):
    for k in range(5):
        noise.image(k).save(tmp_path / f"p{k}.png")
    found = top_patches(small, tmp_path, "conv1", k=2)
    five = top_patches(small, noise.subset(range(5)), "conv1", k=2)
    np.testing.assert_array_equal(found.stimulus, five.stimulus)
    np.testing.assert_array_equal(found.values, five.values)
    assert found.stimuli.ids == tuple(f"p{k}.png" for k in range(5))


def test_the_network_is_left_as_it_was(small, noise, state):
    before = state(small)
    top_patches(small, noise, "conv2", k=3).plot()
    assert state(small) == before
    torch.nn.init.constant_(small.module.conv1.bias, float("nan"))
    before = repr(state(small))
    with pytest.raises(ProbeError):
        top_patches(small, noise, "conv2")
    assert repr(state(small)) == before


def test_a_file_says_how_it_was_made(small, noise, tmp_path):
    found = top_patches(small, noise, "conv2", [4, 1], k=3)
    about = images.about(found.save(tmp_path / "patches.png"))
    assert (about["layer"], about["channels"], about["k"]) == ("conv2", [4, 1], 3)
    assert (about["n_images"], about["images_sha256"]) == (23, noise.hash)
    np.testing.assert_array_equal(np.load(found.save(tmp_path / "patches.npy")), found.values)


class Tokens(nn.Module):
    """Patches of a picture as a row of tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 4, 8, stride=8)
        self.tokens = nn.LayerNorm(4, elementwise_affine=False)
        nn.init.normal_(self.embed.weight, generator=torch.Generator().manual_seed(0))

    def forward(self, x):
        return self.tokens(self.embed(x).flatten(2).transpose(1, 2))


def test_tokens(noise):
    network = Network.from_module(Tokens(), preprocessing=Preprocessing("resize", (32, 32)))
    found = top_patches(network, noise, "tokens", k=2)
    every = activations(network, noise, "tokens")  # (n, tokens, channels)
    assert found.values.shape == (4, 2)
    for channel in range(4):
        (token,) = found.at(channel, 0)
        assert every[found.stimulus[channel, 0], token, channel] == every[..., channel].max()
        assert found.box(channel, 0).size == (32, 32)


class TestBadInput:
    def test_an_empty_folder(self, small, tmp_path):
        with pytest.raises(ProbeError, match=r"has no images .*it is empty"):
            top_patches(small, tmp_path, "conv1")

    def test_a_folder_that_does_not_exist(self, small, tmp_path):
        with pytest.raises(ProbeError, match=r"image set '.*' does not exist"):
            top_patches(small, tmp_path / "nowhere", "conv1")

    def test_a_picture_that_is_cut_off(self, small, noise, tmp_path):
        noise.image(0).save(tmp_path / "p.png")
        (tmp_path / "p.png").write_bytes((tmp_path / "p.png").read_bytes()[:-100])
        with pytest.raises(ProbeError, match=r"'p\.png' \(Truncated"):
            top_patches(small, tmp_path, "conv1")

    @pytest.mark.parametrize("channels", [[6], [-1], [0, 99]])
    def test_a_channel_that_does_not_exist_is_told_before_a_picture_is_seen(self, small, channels):
        with pytest.raises(ProbeError, match=r"does not exist: layer 'conv1' has 6, from 0"):
            top_patches(small, "nowhere", "conv1", channels)

    def test_a_layer_that_does_not_exist_is_told_before_weights_are_loaded(self, monkeypatch):
        monkeypatch.setattr("probe.models.network.load", None)
        with pytest.raises(ProbeError, match=r"no layer 'features\.33'"):
            top_patches("alexnet", "nowhere", "features.33")

    def test_a_layer_without_channels(self, noise):
        class One(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = nn.Flatten(0)

            def forward(self, x):
                return self.inner(x.mean((1, 2, 3)))

        network = Network.from_module(One(), preprocessing=Preprocessing("resize", (8, 8)))
        with pytest.raises(ProbeError, match="layer 'inner' gives one number for a picture"):
            top_patches(network, noise, "inner")

    def test_values_that_are_not_finite(self, small, noise):
        nn.init.constant_(small.module.conv1.bias, float("nan"))
        with pytest.raises(ProbeError, match="'pool' has activations that are not finite"):
            top_patches(small, noise, "pool")

    @pytest.mark.parametrize("setting", [{"k": 0}, {"batch_size": 0}])
    def test_numbers_that_are_too_small(self, small, noise, setting):
        (name,) = setting
        with pytest.raises(ProbeError, match=f"^{name} 0: expected a number ≥ 1"):
            top_patches(small, noise, "conv1", **setting)
