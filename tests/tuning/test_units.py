"""Units, and what they respond."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from gabors import SIDE, bank, gabor
from PIL import Image
from torch import Tensor, nn

import probe
from probe import models
from probe.activations import capture
from probe.encoding import Encoding
from probe.errors import ProbeError
from probe.models import Network, Preprocessing
from probe.recordings import Recording
from probe.stimuli import StimulusSet
from probe.tuning.units import Tap, Units, layer_units, neuron_units, respond, site_units

SIZE = (40, 56)


class Tiny(nn.Module):
    """Two convolutions, in-place rectifiers and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu = nn.Conv2d(3, 5, 5, stride=2), nn.ReLU(inplace=True)
        self.second, self.flat = nn.Conv2d(5, 7, 3, padding=1), nn.Flatten()
        self.drop, self.last = nn.Dropout(), nn.LazyLinear(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        return self.last(self.drop(self.flat(self.second(x))))


class Tokens(nn.Module):
    """Patches as tokens, behind a class token, that attend to each other."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 8, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.class_token = nn.Parameter(torch.zeros(1, 1, 8))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).mT
        tokens = torch.cat([self.class_token.expand(len(x), -1, -1), tokens], 1)
        return self.block(tokens)[:, 0]


def of(module: nn.Module, size: tuple[int, int] = SIZE) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module(torch.zeros(1, 3, *size))  # lazy layers are told their size
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.3)
    return Network.from_module(
        module.train(), name="tiny", preprocessing=Preprocessing("resize", size)
    )


@pytest.fixture(scope="module")
def network() -> Network:
    return of(Tiny())


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return torch.rand(7, *SIZE, generator=torch.Generator().manual_seed(1))


def test_the_middle_of_each_channel(network: Network) -> None:
    table = layer_units(network, "first,second,last").table
    assert list(table["layer"].value_counts(sort=False)) == [5, 7, 4]
    first = table[table["layer"] == "first"].iloc[3]
    assert (first["unit"], first["channel"], first["y"], first["x"]) == ("first:3", 3, 9, 13)
    # Windows of 5 pixels, 2 apart, the first around row 2.
    assert (first["centre_y"], first["centre_x"], first["window"]) == (2 + 18, 2 + 26, 5)
    last = table[table["layer"] == "last"].iloc[0]
    assert last[["y", "x"]].isna().all()
    assert (last["centre_y"], last["centre_x"], last["window"]) == (19.5, 27.5, 40)


def test_responses_are_what_layers_return_rectified(network: Network, pictures: Tensor) -> None:
    units = layer_units(network, "second,first,last")  # in the network's order
    shown = respond(units, pictures, batch_size=3)
    inputs = network.preprocessing.normalise(pictures[:, None].expand(-1, 3, -1, -1))
    outputs = capture(network.module, inputs, ["first", "second", "last"])
    expected = torch.cat(
        [outputs["first"][:, :, 9, 13], outputs["second"][:, :, 9, 13], outputs["last"]], 1
    ).clamp_min(0)
    assert shown.dtype == np.float32
    assert (expected == 0).any()
    np.testing.assert_allclose(shown, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_every_unit_and_the_middle_ones_among_them(network: Network, pictures: Tensor) -> None:
    middle, every = (layer_units(network, "first,last", k) for k in ("middle", "all"))
    assert len(every) == 5 * 18 * 26 + 4
    names = every.table["unit"].tolist()
    rows = [names.index(f"first:{k},9,13") for k in range(5)] + list(
        range(len(every) - 4, len(every))
    )
    np.testing.assert_array_equal(respond(every, pictures)[:, rows], respond(middle, pictures))
    columns = ["channel", "y", "x", "centre_y", "centre_x"]
    np.testing.assert_array_equal(every.table.loc[rows, columns], middle.table[columns])


def test_pictures_are_normalised_as_the_network_s_own(network: Network) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    units = layer_units(network, "first")
    as_picture = network.preprocessing(Image.fromarray(levels))[None]
    expected = capture(network.module, as_picture, ["first"])["first"][:, :, 9, 13].clamp_min(0)
    shown = respond(units, torch.from_numpy(levels / np.float32(255)).permute(2, 0, 1)[None])
    np.testing.assert_allclose(shown, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_the_network_is_left_as_it_was(network: Network, pictures: Tensor) -> None:
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    state = torch.random.get_rng_state()
    first, second = (respond(layer_units(network), pictures) for _ in range(2))
    np.testing.assert_array_equal(first, second)  # no dropout, though it is in training mode
    assert torch.equal(torch.random.get_rng_state(), state)
    assert network.module.training
    assert network.module.drop.training
    assert not any(part._forward_hooks for part in network.module.modules())
    for name, value in network.module.state_dict().items():
        assert torch.equal(value, before[name])


def test_tokens_the_patch_in_the_middle_of_their_grid(pictures: Tensor) -> None:
    network = of(Tokens())
    units = layer_units(network, "block")
    row = units.table.iloc[2]
    assert (row["unit"], row["y"], row["x"]) == ("block:2", 2, 3)  # of 5 × 7 patches
    assert (row["centre_y"], row["window"]) == (19.5, 40)  # it attends to all of the picture
    inputs = network.preprocessing.normalise(pictures[:, None].expand(-1, 3, -1, -1))
    tokens = capture(network.module, inputs, ["block"])["block"]
    expected = tokens[:, 1 + 2 * 7 + 3].clamp_min(0).numpy()
    np.testing.assert_allclose(respond(units, pictures), expected, rtol=1e-5, atol=1e-6)
    every = layer_units(network, "block", "all")
    assert every.table["unit"].iloc[2 * 35 + 17] == "block:2,18"
    np.testing.assert_allclose(respond(every, pictures)[:, 17::35], expected, rtol=1e-5, atol=1e-6)


class Shuffled(nn.Module):
    """Tokens that follow each other column by column, or in no order."""

    def __init__(self, *, by_column: bool) -> None:
        super().__init__()
        self.patches, self.mix = nn.Conv2d(3, 4, 8, 8), nn.Linear(4, 4)
        self.by_column = by_column
        self.order = torch.randperm(35, generator=torch.Generator().manual_seed(0))

    def forward(self, x: Tensor) -> Tensor:
        maps = self.patches(x)
        tokens = maps.mT.flatten(2) if self.by_column else maps.flatten(2)[:, :, self.order]
        return self.mix(tokens.mT).mean(1)


@pytest.mark.parametrize(
    ("by_column", "message"),
    [
        (True, "'mix' returns 35 tokens, and it is not known where in the picture"),
        (False, "'mix' returns .* not known which of these axes are its channels"),
    ],
)
def test_tokens_in_no_order_have_no_middle(by_column: bool, message: str) -> None:
    with pytest.raises(ProbeError, match=message):
        layer_units(of(Shuffled(by_column=by_column)), "mix")


@pytest.mark.parametrize(
    ("shown", "message"),
    [
        (torch.rand(2, 40, 40), r"pictures of shape \(40, 40\): tiny sees \(40, 56\) pixels"),
        (torch.rand(2, 1, *SIZE), "pictures of shape"),
        (torch.full((2, *SIZE), 128.0), "pictures from 128 to 128: expected grey levels from 0"),
        (torch.full((2, *SIZE), torch.nan), "expected grey levels from 0 to 1"),
    ],
)
def test_pictures_that_cannot_be_shown(network: Network, shown: Tensor, message: str) -> None:
    with pytest.raises(ProbeError, match=message):
        respond(layer_units(network, "first"), shown)


def test_what_there_is_not(network: Network) -> None:
    with pytest.raises(ProbeError, match=r"no layer 'frist'.*did you mean 'first'"):
        layer_units(network, "frist")
    with pytest.raises(ProbeError, match=r"positions 'al': expected one of middle, all"):
        layer_units(network, "first", "al")
    with pytest.raises(ProbeError, match="tiny is no V4 neuron"):
        neuron_units(network)


def test_a_network_of_one_channel_is_refused_in_one_line() -> None:
    module = nn.Conv2d(1, 4, 5)
    grey = Network.from_module(module, preprocessing=Preprocessing("resize", SIZE))
    with pytest.raises(ProbeError, match=r"cannot be run on a picture of shape \(3, 40, 56\)"):
        layer_units(grey, "all")


class TestSites:
    """Recorded sites that were fitted."""

    @pytest.fixture(autouse=True, scope="class")
    @staticmethod
    def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PROBE_CACHE", str(tmp_path_factory.mktemp("cache")))
            yield

    @pytest.fixture(scope="class")
    @staticmethod
    def network() -> Network:
        return of(Tiny(), (32, 32))

    @pytest.fixture(scope="class")
    @staticmethod
    def stimuli() -> StimulusSet:
        coarse = np.random.default_rng(0).uniform(0, 255, (24, 4, 4, 3))
        shown = list(np.kron(coarse, np.ones((1, 8, 8, 1))).astype(np.uint8))
        return StimulusSet([f"s{k:03d}" for k in range(24)], shown, "blocks")

    @pytest.fixture(scope="class", params=["ridge", "banded"])
    @staticmethod
    def fitted(request, network: Network, stimuli: StimulusSet) -> Encoding:
        rng = np.random.default_rng(0)
        colours = np.stack([np.asarray(stimuli.image(k)).mean((0, 1)) for k in range(24)])
        values = (colours @ rng.normal(size=(3, 6)) / 20)[:, None] + rng.normal(size=(24, 2, 6))
        values[:, :, 4] = 3.0  # a site that always responds alike
        data = xr.Dataset(
            {"responses": (("stimulus", "repetition", "neuroid"), values)},
            coords={
                "stimulus_id": ("stimulus", list(stimuli.ids)),
                "subject": ("neuroid", ["a"] * 6),
                "region": ("neuroid", ["V4"] * 6),
                "neuroid_id": ("neuroid", [f"u{k}" for k in range(6)]),
            },
            attrs={"name": "blocks", "source_hash": "0"},
        )
        found = probe.encode(
            network, Recording(data, stimuli), layers="first,second", n_resamples=0,
            baselines=False, method=request.param, progress=False,
        )  # fmt: skip
        assert isinstance(found, Encoding)
        return found

    def test_they_respond_as_predicted(
        self, network: Network, stimuli: StimulusSet, fitted: Encoding
    ) -> None:
        units = site_units(fitted)
        sites = [0, 1, 2, 3, 5]
        assert units.table["unit"].tolist() == [f"site:blocks:{k}" for k in sites]
        assert not units.rectified
        shown = [np.asarray(stimuli.image(k), np.float32).transpose(2, 0, 1) for k in range(4)]
        predicted = fitted.predict([stimuli.image(k) for k in range(4)]).to_numpy()[:, sites]
        responses = respond(units, torch.from_numpy(np.stack(shown) / 255))
        np.testing.assert_allclose(responses, predicted, rtol=1e-4, atol=1e-4)

    def test_fields_are_where_sites_look(self, network: Network, fitted: Encoding) -> None:
        table = site_units(fitted).table
        sites = fitted.sites.drop(index=4)
        if sites["y_px"].notna().all():
            np.testing.assert_allclose(table["centre_y"], sites["y_px"])
        assert table["window"].between(1, 32).all()


@pytest.mark.slow
def test_published_neurons() -> None:
    network = models.load("v4-compact:201025-12")
    units = neuron_units(network)
    assert units.table["unit"].tolist() == ["201025-12"]
    shown = torch.rand(3, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network.module(network.preprocessing.normalise(shown))
    np.testing.assert_allclose(respond(units, shown), expected.numpy(), rtol=1e-5)


def test_what_several_taps_return_for_one_unit_adds_up_also_where_few_are_read() -> None:
    network = bank([gabor(0.0, 8.0), gabor(90.0, 8.0)])
    table = layer_units(network, "1").table
    units = Units(
        network,
        pd.concat([table] * 3, ignore_index=True),
        (
            Tap("1", np.array([0]), lambda output: output[:, :1, 2, 2]),
            Tap("1", np.array([0, 1]), lambda output: output[:, :, 2, 2]),
            Tap("1", np.arange(2, 6), lambda output: output[:, [0, 1, 0, 1], 2, 2]),
        ),
        rectified=False,
    )
    pictures = torch.rand(3, SIDE, SIDE)
    first, second = respond(units, pictures, progress=False)[:, 2:4].T
    few = units.reading(np.array([1]))
    assert [len(tap.rows) for tap in few.taps] == [2]
    both = respond(units.reading(np.array([0])), pictures, progress=False)
    np.testing.assert_allclose(both[:, 0], 2 * first, rtol=1e-6)
    np.testing.assert_allclose(both[:, 1], second, rtol=1e-6)
