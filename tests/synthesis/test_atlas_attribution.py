"""What cells of an atlas contribute to a target, against gradients and products made by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from PIL import Image
from torch import Tensor, nn

import probe
from probe import images, targets
from probe.encoding import Encoding
from probe.errors import ProbeError
from probe.models import Network, Preprocessing
from probe.recordings import Recording
from probe.stimuli import StimulusSet
from probe.synthesis import atlas as module
from probe.synthesis.atlas import Atlas, atlas
from probe.synthesis.atlas_attribution import attributions, check_depends

pytestmark = pytest.mark.usefixtures("_coarse_pngs")

QUICK: dict[str, Any] = {"size": 16, "steps": 1, "precision": "float32", "progress": False}
ALL = 10**6
"""Activations: as many as there are."""


class Tiny(nn.Module):
    """Two convolutions and a classifier, always the same; a branch that nothing comes after."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 6, 5, 2, 2), nn.ReLU()
        self.second, self.last = nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU()
        self.fc, self.beside = nn.Linear(8, 5), nn.Conv2d(3, 4, 3)
        rng = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            with torch.no_grad():
                parameter.copy_(torch.randn(parameter.shape, generator=rng) / 5)

    def forward(self, x: Tensor) -> Tensor:
        a = self.relu(self.conv(x))
        self.beside(x)
        return self.after(a)

    def after(self, a: Tensor) -> Tensor:
        return self.fc(self.last(self.second(a)).mean((2, 3)))  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def _no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mpl.rcParams, "backend", "agg")


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROBE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def of(net: nn.Module, name: str = "tiny") -> Network:
    return Network.from_module(net, name=name, preprocessing=Preprocessing("resize", (32, 32)))


@pytest.fixture(scope="module")
def network() -> Network:
    return of(Tiny())


@pytest.fixture(scope="module")
def stimuli() -> StimulusSet:
    coarse = np.random.default_rng(0).uniform(0, 255, (24, 4, 4, 3))
    shown = list(np.kron(coarse, np.ones((1, 8, 8, 1))).astype(np.uint8))
    return StimulusSet([f"s{k:03d}" for k in range(24)], shown, "blocks")


@pytest.fixture(scope="module")
def inputs(network: Network, stimuli: StimulusSet) -> Tensor:
    return torch.stack([network.preprocessing(stimuli.image(k)) for k in range(len(stimuli))])


def encode(network: Network, stimuli: StimulusSet, name: str, layers: str) -> Encoding:
    rng = np.random.default_rng(0)
    colours = np.stack([np.asarray(stimuli.image(k)).mean((0, 1)) for k in range(24)])
    drive = colours @ rng.normal(size=(3, 6)) / 20
    data = xr.Dataset(
        {
            "responses": (
                ("stimulus", "repetition", "neuroid"),
                drive[:, None] + rng.normal(size=(24, 2, 6)),
            )
        },
        coords={
            "stimulus_id": ("stimulus", list(stimuli.ids)),
            "subject": ("neuroid", ["a"] * 6),
            "region": ("neuroid", ["V4"] * 6),
            "neuroid_id": ("neuroid", [f"u{k}" for k in range(6)]),
        },
        attrs={"name": name, "source_hash": "0"},
    )
    found = probe.encode(
        network, Recording(data, stimuli), layers=layers, n_resamples=0, baselines=False,
        progress=False,
    )  # fmt: skip
    assert isinstance(found, Encoding)
    return found


@pytest.fixture(scope="module")
def fitted(network: Network, stimuli: StimulusSet) -> Encoding:
    """Sites that are read from the first ReLU, with fields."""
    return encode(network, stimuli, "first", "relu")


@pytest.fixture(scope="module")
def later(network: Network, stimuli: StimulusSet) -> Encoding:
    """Sites that are read from a later layer."""
    return encode(network, stimuli, "later", "second")


@pytest.fixture(scope="module")
def made(network: Network, stimuli: StimulusSet, fitted: Encoding) -> Atlas:
    return atlas(
        network, stimuli, "relu", grid=3, samples=600, target="site:first:2", **QUICK
    )  # fmt: skip


def cells(found: Atlas) -> np.ndarray:
    """The cell of each activation, by its number."""
    return np.minimum((found.places * found.grid).astype(int), found.grid - 1) @ [1, found.grid]


def activations_of(network: Network, inputs: Tensor, n: int) -> tuple[np.ndarray, pd.DataFrame]:
    """The activations of ReLU that an atlas has, in its order."""
    drawn = module._Sample("relu", n, seed=0)
    with torch.no_grad():
        drawn.add(range(len(inputs)), network.module.relu(network.module.conv(inputs)))  # type: ignore[operator]
    return drawn.activations()


class TestNumbers:
    @pytest.mark.parametrize("text", ["3", "second:2", "site:later:1", "3 - 2*site:later:1"])
    def test_gradient_by_activation_in_each_picture(
        self, network: Network, stimuli: StimulusSet, inputs: Tensor, later: Encoding, text: str
    ) -> None:
        tiny: Any = network.module
        a = tiny.relu(tiny.conv(inputs)).detach().requires_grad_()
        second = tiny.second(a)
        readout = later.readouts["second"]
        # The field counts as if it were anywhere: the mean over positions.
        weight = torch.from_numpy(readout.take([1]).weights).float()[0]
        row = later.sites.iloc[1]
        site = (second.mean((2, 3)) @ weight + readout.offsets[1] - row["mean"]) / row["sd"]
        logit = tiny.fc(tiny.last(second).mean((2, 3)))[:, 3]
        by_hand = {
            "3": logit, "second:2": second[:, 2].mean((1, 2)), "site:later:1": site,
            "3 - 2*site:later:1": logit - 2 * site,
        }  # fmt: skip
        (g,) = torch.autograd.grad(by_hand[text].sum(), a)
        map_of_each = 16 * 16 * (g * a).sum(1).detach().numpy()

        found = atlas(network, stimuli, "relu", grid=3, samples=600, target=text, **QUICK)
        _, where = activations_of(network, inputs, 25)
        each = map_of_each[where["stimulus"], where["y"], where["x"]]
        numbers = found.table["row"] * 3 + found.table["column"]
        expected = [each[cells(found) == k].mean() for k in numbers]
        assert np.ptp(expected) > 1e-3
        np.testing.assert_allclose(found.table["attribution"], expected, rtol=1e-4, atol=1e-6)

    def test_of_a_site_of_the_layer_it_is_the_response_to_the_cells_mean(
        self, made: Atlas, network: Network, inputs: Tensor, fitted: Encoding
    ) -> None:
        activations, _ = activations_of(network, inputs, 25)
        weight = fitted.readouts["relu"].take([2]).weights[0]
        numbers = made.table["row"] * 3 + made.table["column"]
        means = np.stack([activations[cells(made) == k].mean(0) for k in numbers])
        expected = means @ weight / fitted.sites["sd"][2]
        np.testing.assert_allclose(made.table["attribution"], expected, rtol=1e-4, atol=1e-6)

    def test_all_positions_together_are_the_change_of_the_target(
        self, network: Network, stimuli: StimulusSet, inputs: Tensor
    ) -> None:
        """What follows the layer is linear: a mean and a matrix. The bias is left."""
        found = atlas(network, stimuli, "last", grid=1, samples=ALL, target=3, **QUICK)
        tiny: Any = network.module
        with torch.no_grad():
            change = tiny(inputs)[:, 3].mean() - tiny.fc.bias[3]
        assert found.table["attribution"].tolist() == [pytest.approx(float(change), rel=1e-4)]

    def test_a_layer_without_positions(
        self, network: Network, stimuli: StimulusSet, inputs: Tensor
    ) -> None:
        found = atlas(network, stimuli, "fc", grid=1, samples=ALL, target=3, **QUICK)
        with torch.no_grad():
            expected = float(network.module(inputs)[:, 3].mean())
        assert found.table["attribution"].tolist() == [pytest.approx(expected, rel=1e-4)]

    def test_tokens(self, stimuli: StimulusSet) -> None:
        class Tokens(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.conv, self.norm = nn.Conv2d(3, 6, 8, 8), nn.LayerNorm(6)
                self.fc = nn.Linear(6, 4)

            def forward(self, x: Tensor) -> Tensor:
                tokens = self.norm(self.conv(x).flatten(2).movedim(2, 1))
                return self.fc(tokens[:, 0])  # type: ignore[no-any-return]

        torch.manual_seed(0)
        network = of(Tokens())
        where = pd.DataFrame({"stimulus": [0, 0, 5, 5, 23], "token": [0, 7, 0, 15, 0]})
        found = attributions(
            network, stimuli, "norm", targets.parse("2", network), where, batch_size=7,
            progress=False,
        )  # fmt: skip
        rows = [0, 5, 23]
        shown = torch.stack([network.preprocessing(stimuli.image(k)) for k in rows])
        with torch.no_grad():
            logits = (network.module(shown)[:, 2] - network.module.fc.bias[2]).numpy()  # type: ignore[index,union-attr]
        # Of sixteen tokens, the first alone is read.
        expected = 16 * np.array([logits[0], 0, logits[1], 0, logits[2]])
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)

    def test_batches_change_nothing(
        self, network: Network, stimuli: StimulusSet, inputs: Tensor, later: Encoding
    ) -> None:
        _, where = activations_of(network, inputs, 9)
        site = later.site(4).everywhere()
        one, many = (
            attributions(network, stimuli, "relu", site, where, batch_size=n, progress=False)
            for n in (5, 24)
        )
        np.testing.assert_allclose(one, many, rtol=1e-4, atol=1e-6)

    def test_the_network_is_left_as_it_was(
        self, network: Network, stimuli: StimulusSet, inputs: Tensor
    ) -> None:
        _, where = activations_of(network, inputs, 3)
        before = {name: value.clone() for name, value in network.module.state_dict().items()}
        state = torch.get_rng_state()
        target = targets.parse("3", network)
        attributions(network, stimuli, "relu", target, where, progress=False)
        assert all(torch.equal(v, before[k]) for k, v in network.module.state_dict().items())
        assert all(parameter.grad is None for parameter in network.module.parameters())
        assert not any(m._forward_hooks for m in network.module.modules())
        assert torch.equal(torch.get_rng_state(), state)

    def test_what_is_not_finite_is_refused(
        self, network: Network, stimuli: StimulusSet, inputs: Tensor
    ) -> None:
        _, where = activations_of(network, inputs, 3)
        target = targets.Function(
            lambda out: out.sum((1, 2, 3)) * torch.inf, ("second",), "endless"
        )
        with pytest.raises(ProbeError, match="not finite for target 'endless'"):
            attributions(network, stimuli, "relu", target, where, progress=False)


class TestRefused:
    """In a line, before any picture is shown to the network."""

    @pytest.mark.parametrize(
        ("layer", "target", "says"),
        [
            ("second", "relu:2", "'relu:2' is read from 'relu', which lies before 'second', and"),
            ("second", "site:first:2", "make the atlas of 'relu', or of a layer before it"),
            ("second", "3 + 0.5*site:first:2", "is read from 'relu', which lies before"),
            ("fc", "site:first:all", "'relu', which lies before 'fc'"),
            ("beside", "3", "target 'class 3' is read from the network's output, and 'beside'"),
            ("relu", "3 + beside:1", "is read from 'beside', and 'relu' does not lead there"),
            ("relu", "77", "class 77 does not exist"),
            ("relu", "site:nosuch:2", "no sites of 'nosuch' were fitted yet"),
            ("relu", "site:first:99", "expected 0 to 5"),
        ],
    )
    def test_a_target_that_the_layer_does_not_drive(
        self, network: Network, fitted: Encoding, layer: str, target: str, says: str,
        monkeypatch: pytest.MonkeyPatch, stimuli: StimulusSet,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(module, "survey", None)
        with pytest.raises(ProbeError) as error:
            atlas(network, stimuli, layer, target=target, **QUICK)
        assert says in str(error.value)
        assert "\n" not in str(error.value)

    def test_another_network_than_the_sites(self, fitted: Encoding, stimuli: StimulusSet) -> None:
        other = Tiny()
        with torch.no_grad():
            other.fc.bias += 1
        for target in ("site:first:2", fitted.site(2)):
            with pytest.raises(ProbeError, match="fitted with tiny"):
                atlas(of(other, "other"), stimuli, "relu", target=target, **QUICK)

    def test_the_same_layer_and_later_ones_are_taken(
        self, network: Network, fitted: Encoding
    ) -> None:
        for target in ("relu:2", "site:first:2", "second:1", "3", "relu:1 - 3"):
            check_depends(network, "relu", targets.parse(target, network), "cpu")


class TestShown:
    def test_pictures_do_not_depend_on_the_target(
        self, made: Atlas, network: Network, stimuli: StimulusSet
    ) -> None:
        plain = atlas(network, stimuli, "relu", grid=3, samples=600, **QUICK)
        assert np.array_equal(plain.pictures, made.pictures)
        assert plain.table.equals(made.table.drop(columns="attribution"))
        assert "attribution" not in plain.table
        assert plain.target is None
        assert "target" not in plain.about

    def test_frames_have_the_colours_of_the_scale(self) -> None:
        table = pd.DataFrame(
            {"row": [0, 0, 1], "column": [0, 1, 0], "activations": [9, 9, 9],
             "attribution": [-2.0, 0.0, 1.0]}
        )  # fmt: skip
        pictures = np.full((3, 50, 50, 3), 30, np.uint8)
        target = targets.Class(3)
        sheet = Atlas(pictures, table, np.zeros((0, 2)), 2, "", {}, target).sheet()
        assert sheet.shape == (100, 100, 3)
        colours = mpl.colormaps["RdBu_r"]
        width = round(50 * module.FRAME_WIDTH)
        for value, (top, left) in zip((-2.0, 0.0, 1.0), ((0, 0), (0, 50), (50, 0)), strict=True):
            cell = sheet[top : top + 50, left : left + 50]
            inner = cell[width:-width, width:-width]
            assert (inner == 30).all()
            outer = np.ones((50, 50), bool)
            outer[width:-width, width:-width] = False
            expected = colours((value + 2) / 4, bytes=True)[:3]  # zero is in the middle
            assert (cell[outer] == np.array(expected)).all()
        assert (sheet[50:, 50:] == 255).all()

    def test_where_nothing_is_contributed_frames_are_white(self) -> None:
        table = pd.DataFrame(
            {"row": [0], "column": [0], "activations": [9], "attribution": [0.0]}
        )  # fmt: skip
        pictures = np.full((1, 50, 50, 3), 30, np.uint8)
        sheet = Atlas(pictures, table, np.zeros((0, 2)), 1, "", {}, targets.Class(3)).sheet()
        assert sheet[0].min() > 240

    @pytest.mark.parametrize("size", [1, 2, 3, 5])
    def test_of_the_smallest_pictures_a_pixel_is_left(self, size: int) -> None:
        table = pd.DataFrame(
            {"row": [0, 0], "column": [0, 1], "activations": [900, 3], "attribution": [2.0, 1.0]}
        )  # fmt: skip
        pictures = np.full((2, size, size, 3), 30, np.uint8)
        sheet = Atlas(pictures, table, np.zeros((0, 2)), 2, "", {}, targets.Class(3)).sheet()
        assert sheet.shape == (2 * size, 2 * size, 3)
        for left in (0, size):
            assert (sheet[:size, left : left + size] == 30).all(2).any()

    def test_files(self, made: Atlas, fitted: Encoding, tmp_path: Path) -> None:
        path = made.save(tmp_path / "sheet.png")
        about = images.about(path)
        assert about["target"] == "site:first:2"
        assert about["site"]["said"] == fitted.site(2).facts["said"]
        assert json.loads((tmp_path / "sheet.png.json").read_text())["probe"] == about
        with Image.open(path) as opened:
            assert opened.size[1] > 1.05 * opened.size[0]  # the scale stands below
            assert min(opened.size) >= len(made.sheet())
        made.save(tmp_path / "cells.csv")
        table = pd.read_csv(tmp_path / "cells.csv")
        assert table["attribution"].tolist() == pytest.approx(made.table["attribution"].tolist())
        assert made._repr_html_().startswith("<img")

    def test_a_scale_says_what_of(
        self, made: Atlas, fitted: Encoding, network: Network, stimuli: StimulusSet
    ) -> None:
        (scale,) = made.plot().child_axes
        label = " ".join(scale.get_xlabel().split())
        assert "what a cell contributes to site:first:2, in SD of responses" in label
        assert fitted.site(2).facts["said"] in label
        end = made.table["attribution"].abs().max()
        assert scale.get_xlim() == pytest.approx((-end, end))
        of_class = atlas(network, stimuli, "relu", grid=2, samples=100, target=3, **QUICK)
        (scale,) = of_class.plot().child_axes
        assert scale.get_xlabel() == "frames: what a cell contributes to class 3"
