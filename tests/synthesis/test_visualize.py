"""Pictures that drive a target, and what they are worth."""

from __future__ import annotations

import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import probe
from probe import images, models
from probe.assets import cache_dir
from probe.errors import ProbeError
from probe.models import Network, Preprocessing
from probe.synthesis import objectives
from probe.synthesis import visualize as visualise
from probe.synthesis.optimise import WINDOW_STEPS
from probe.synthesis.visualize import visualize
from probe.synthesis.visualize_result import Visualisation
from probe.targets import Channel, Class, Direction, Function, Norm, Unit

SIZE = 40
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


class Small(nn.Module):
    """Convolutions, ReLUs in place, pooling, five classes; channel 3 of ``relu2`` is dead."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 5, stride=2)
        self.relu1 = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(6, 8, 3)
        self.relu2 = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.last = nn.Linear(8, 5)
        drawn = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=drawn))
            self.second.bias[3] = -1e4

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu2(self.second(self.relu1(self.first(x))))
        return self.last(self.pool(x).flatten(1))


@pytest.fixture(scope="module")
def sheet(small: Network) -> Visualisation:
    return made(small, "relu2", batch_size=3)


@pytest.fixture(scope="module")
def seen_through(small: Network) -> Visualisation:
    """Of units that look at a part of the picture alone."""
    return made(small, ["second:1,0,15", "second:2,0,15"], transparent=True, steps=48)


@pytest.fixture(scope="module")
def small() -> Network:
    seen = Preprocessing("resize", (SIZE, SIZE), mean=MEAN, std=STD)
    return Network.from_module(Small(), name="small", preprocessing=seen)


def made(network: Any, target: Any, **settings: Any) -> Visualisation:
    return visualize(network, target, **{"steps": 6, "device": "cpu"} | settings)


def outputs(network: Network, pictures: np.ndarray) -> dict[str, Tensor]:
    """What the second ReLU and the network return, by hand."""
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
    x = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    m = network.module
    with torch.no_grad():
        inner = m.second(m.first(x).relu()).relu()
        return {"relu2": inner, "": m.last(inner.mean((2, 3)))}


class TestPictures:
    @pytest.mark.parametrize("parameterisation", visualise.WAYS)
    def test_drive_their_channel(self, small, parameterisation):
        found = made(small, "first:1", steps=24, parameterisation=parameterisation)
        assert found.pictures.shape == (1, SIZE, SIZE, 3)
        assert found.pictures.dtype == np.uint8
        row = found.table.iloc[0]
        assert row["value"] > 1.2 * max(abs(row["noise"]), abs(row["grey"]))

    def test_the_same_seed_gives_the_same_bytes_and_draws_nothing_global(self, small):
        before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())  # noqa: NPY002
        first, again = (made(small, ["second:1", 2], seed=5) for _ in range(2))
        assert first.pictures.tobytes() == again.pictures.tobytes()
        assert first.about == again.about
        pd.testing.assert_frame_equal(first.table, again.table)
        other = made(small, ["second:1", 2], seed=6)
        assert other.pictures.tobytes() != first.pictures.tobytes()
        assert torch.equal(before[0], torch.get_rng_state())
        assert before[1:] == (random.getstate(), str(np.random.get_state()))  # noqa: NPY002

    def test_the_network_is_as_it_was_also_when_it_fails(self, small):
        def state() -> list[Any]:
            m = small.module
            return [
                m.training,
                [(p.requires_grad, p.grad, p.detach().numpy().tobytes()) for p in m.parameters()],
                [(len(s._forward_hooks), getattr(s, "inplace", None)) for s in m.modules()],
            ]

        before = state()
        made(small, "relu2:1")
        assert state() == before
        with pytest.raises(ProbeError, match="not finite"):
            made(small, Function(lambda scores: scores[:, 0] * torch.inf))
        assert state() == before

    def test_alone_and_among_others_they_are_alike(self, small):
        sheet = made(small, "second", steps=16, batch_size=3)
        for channel in (0, 2, 7):
            alone = made(small, f"second:{channel}", steps=16)
            difference = sheet.pictures[channel].astype(int) - alone.pictures[0]
            # Of the last digits, which convolutions of other batches round otherwise.
            assert np.abs(difference).max() <= 1
        assert sheet.table["target"].tolist() == [f"second:{k}" for k in range(8)]
        other = made(small, "second", steps=16, batch_size=8)
        assert np.abs(other.pictures.astype(int) - sheet.pictures).max() <= 1

    def test_a_unit_is_looked_for_where_it_is(self, small):
        found = made(small, "second:1,0,15", steps=32)
        change = np.abs(found.pictures[0].astype(int) - 128).sum(2)
        half = SIZE // 2
        corner = change[:half, half:].mean()
        assert corner > 2 * change[half:, :half].mean()

    def test_other_sizes(self, small):
        assert made(small, "second:1", size=30, steps=1).pictures.shape == (1, 30, 30, 3)
        found = made(small, "second:1", size=(36, 28), steps=1)
        assert found.pictures.shape == (1, 28, 36, 3)
        assert found.about["settings"]["size"] == [36, 28]

    def test_a_preprocessing_by_name_or_as_it_is(self):
        options = {"weights": "random", "size": SIZE, "steps": 1, "progress": False}
        as_it_is = models.load("squeezenet1_1", "random").preprocessing
        by_name, other = (
            visualize("squeezenet1_1", "features.3:2", preprocessing=preprocessing, **options)
            for preprocessing in ("resize", as_it_is)
        )
        np.testing.assert_array_equal(by_name.pictures, other.pictures)

    def test_stop_early_when_nothing_is_gained(self, small):
        settings: dict[str, Any] = {"steps": 3 * WINDOW_STEPS, "size": 16}
        found = made(small, ["first:1", "first:2"], tolerance=1e6, **settings)
        assert found.table["steps"].tolist() == [2 * WINDOW_STEPS] * 2  # two averages are compared
        whole = made(small, "first:1", **settings | {"steps": 2 * WINDOW_STEPS})
        assert np.abs(found.pictures[0].astype(int) - whole.pictures[0]).max() <= 1

    def test_a_silent_unit_that_can_be_woken_is(self):
        class Sleeper(nn.Module):
            """Answers to bright pictures only: noise around grey gives nothing, and no gradient."""

            def __init__(self) -> None:
                super().__init__()
                self.relu = nn.ReLU()

            def forward(self, x: Tensor) -> Tensor:
                return self.relu(nn.functional.avg_pool2d(x.mean(1, keepdim=True), 4) - 0.6)

        plain = Preprocessing("resize", (24, 24), mean=(0.0,) * 3, std=(1.0,) * 3)
        network = Network.from_module(Sleeper(), preprocessing=plain)
        found = made(network, "relu:0", steps=40)
        assert found.table["noise"][0] == 0 == found.table["grey"][0]
        assert found.silent == []
        assert found.table["value"][0] > 0.02


class TestTransparent:
    def test_are_opaque_where_it_counts(self, seen_through):
        assert seen_through.pictures.shape == (2, SIZE, SIZE, 4)
        opaque = seen_through.pictures[..., 3].mean(0) / 255
        half = SIZE // 2
        assert opaque[:half, half:].mean() > 2 * opaque[half:, :half].mean()

    def test_are_measured_over_mid_grey(self, small, seen_through):
        levels = seen_through.pictures.astype(np.float32)
        opaque = levels[..., 3:] / 255
        laid = levels[..., :3] * opaque + images.GREY * (1 - opaque)
        inner = outputs(small, laid)["relu2"]  # above 0, the same as before
        assert seen_through.table["value"][0] == pytest.approx(float(inner[0, 1, 0, 15]), rel=1e-4)

    def test_are_saved_with_their_transparency(self, seen_through, tmp_path):
        one, sheet = seen_through[0], seen_through.save(tmp_path / "sheet.png")
        for place in (one.save(tmp_path / "one.png"), one.save(tmp_path / "one.tif")):
            with Image.open(place) as opened:
                np.testing.assert_array_equal(np.asarray(opened), one.pictures[0])
        with Image.open(sheet) as opened:
            assert opened.mode == "RGBA"
            assert opened.getpixel((0, 0))[3] == 0
        with Image.open(seen_through.save(tmp_path / "all") / "1-second-2-0-15.png") as opened:
            np.testing.assert_array_equal(np.asarray(opened), seen_through.pictures[1])
        with pytest.raises(ProbeError, match=r"one.jpg' cannot hold transparency"):
            one.save(tmp_path / "one.jpg")


class TestTileable:
    @pytest.mark.parametrize("parameterisation", ["fourier", "maco"])
    def test_have_no_seam(self, small, parameterisation):
        def seam(**settings: Any) -> float:
            """What opposite borders differ by, where 1 is what neighbours do."""
            found = made(small, "second", parameterisation=parameterisation, size=32, **settings)
            values = found.pictures.astype(float)
            across = np.abs(values[:, :, 0] - values[:, :, -1]).mean()
            return float(across / np.abs(np.diff(values, axis=2)).mean())

        assert seam(tileable=True) == pytest.approx(1, abs=0.15)
        assert seam() > 2

    def test_are_shown_with_any_part_in_the_middle(self, small):
        """What is wanted in one corner of what is seen comes about everywhere."""
        corner = Function(lambda inner: inner[:, 1, 0, 15], ("second",), "corner")
        found = made(small, corner, tileable=True, parameterisation="pixels", steps=48)
        change = np.abs(found.pictures[0].astype(int) - 128).sum(2)
        half = SIZE // 2
        quarters = [change[y:][:half, x:][:, :half].mean() for y in (0, half) for x in (0, half)]
        assert max(quarters) < 1.3 * min(quarters)


class TestTable:
    def test_is_measured_on_the_finished_picture(self, small):
        found = made(small, ["relu2:1", "relu2:4,3,5", 2, "relu2:1 - 0.5*relu2:2"])
        by_hand = outputs(small, found.pictures)
        inner, scores = by_hand["relu2"], by_hand[""]
        means = inner.mean((2, 3))
        expected = [means[0, 1], inner[1, 4, 3, 5], scores[2, 2], means[3, 1] - 0.5 * means[3, 2]]
        np.testing.assert_allclose(found.table["value"], expected, rtol=1e-5)
        rivals = [means[0], inner[1, :, 3, 5], scores[2]]
        for k, index in enumerate((1, 4, 2)):
            order = torch.argsort(rivals[k], descending=True).tolist()
            assert found.table["rank"][k] == order.index(index) + 1
            assert found.table["strongest"][k] == order[0]
        assert found.table[["rank", "strongest"]].iloc[3].isna().all()

    def test_noise_and_grey(self, small):
        found = made(small, "relu2:1")
        grey = np.full((1, SIZE, SIZE, 3), 127.5, np.float32)
        by_hand = outputs(small, grey)["relu2"].mean((2, 3))[0, 1]
        assert found.table["grey"][0] == pytest.approx(float(by_hand), rel=1e-5)
        began = made(small, "relu2:1", steps=1, lr=1e-9)
        assert began.table["value"][0] == pytest.approx(found.table["noise"][0], rel=1e-5)

    def test_dead_channels_are_reported(self, sheet):
        assert sheet.silent == ["relu2:3"]
        assert sheet.about["silent"] == ["relu2:3"]
        assert sheet.labels[3] == "3: silent"
        assert "1 silent" in repr(sheet)
        assert "silent: relu2:3" in sheet._repr_html_()


class TestSets:
    def test_diverse_pictures_are_less_alike(self, small, monkeypatch):
        found = made(small, "relu1:1", diverse=3, steps=24)
        assert len(found) == 3
        assert found.table["target"].tolist() == ["relu1:1"] * 3
        monkeypatch.setattr(objectives, "DIVERSITY", 0.0)
        free = made(small, "relu1:1", diverse=3, steps=24)

        def likeness(pictures: np.ndarray) -> float:
            x = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
            x = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
            with torch.no_grad():
                inner = small.module.first(x).relu().flatten(2)
            grams = torch.einsum("ncp,ndp->ncd", inner, inner).flatten(1)
            pairs = nn.functional.cosine_similarity(grams[[0, 0, 1]], grams[[1, 2, 2]])
            return float(pairs.mean())

        assert likeness(found.pictures) < likeness(free.pictures)

    def test_between_two_channels(self, small):
        found = made(small, ["second:1", "second:6"], interpolate=3)
        assert found.table["target"].tolist() == [
            "100% second:1, 0% second:6", "50% second:1, 50% second:6",
            "0% second:1, 100% second:6",
        ]  # fmt: skip
        assert [t.rpartition(":")[0] for t in found.labels] == ["0%", "50%", "100%"]

    def test_between_two_classes(self, small):
        found = made(small, [0, 4], interpolate=2)
        assert len(found) == 2
        assert found.table["value"].gt(found.table["grey"]).all()


class TestInterrupted:
    """Stopped by a signal, at step 17 of 30 (of the second of two chunks), and made again."""

    @staticmethod
    def stop(_picture: np.ndarray) -> None:
        signal.raise_signal(signal.SIGINT)

    @pytest.mark.parametrize(
        "parameterisation",
        [
            name if name in ("fourier", "maco") else pytest.param(name, marks=pytest.mark.slow)
            for name in visualise.WAYS
        ],
    )
    def test_goes_on_to_the_same_picture(self, parameterisation):
        settings: dict[str, Any] = {
            "weights": "random", "size": 32, "steps": 30, "parameterisation": parameterisation,
            "batch_size": 1, "device": "cpu",
        }  # fmt: skip
        named, targets = "squeezenet1_1", ["features.0:3", "features.0:5"]
        whole = visualize(named, targets, **settings)
        shown: list[int] = []

        def stop_in_the_second(picture: np.ndarray) -> None:
            shown.append(1)
            if len(shown) == 2:
                self.stop(picture)

        with pytest.raises(KeyboardInterrupt):
            visualize(named, targets, **settings, preview=stop_in_the_second, preview_every=17)
        (kept,) = (cache_dir() / "unfinished").glob("*.pt")
        state = torch.load(kept, weights_only=True)
        assert [len(done) for done in state["pictures"]] == [1]
        assert len(state["loop"]["history"]) == 17
        steps: list[int] = []
        again = visualize(
            named, targets, **settings, preview=lambda _: steps.append(1), preview_every=1
        )
        assert len(steps) == 30 - 17
        assert again.pictures.tobytes() == whole.pictures.tobytes()
        assert not kept.exists()

    def test_what_is_not_named_begins_anew(self, small):
        with pytest.raises(KeyboardInterrupt):
            made(small, Norm("second"), preview=self.stop, preview_every=3)
        assert not list((cache_dir() / "unfinished").glob("*.pt"))


class TestSaved:
    def test_one_picture(self, small, tmp_path):
        found = made(small, "second:1")
        place = found.save(tmp_path / "one.png")
        with Image.open(place) as opened:
            np.testing.assert_array_equal(np.asarray(opened), found.pictures[0])
        about = images.about(place)
        assert about["made"] == "visualize"
        assert about["settings"]["target"] == "second:1"
        assert about["settings"]["precision"] in ("float32", "bfloat16")
        assert images.about(images.side_car(place)) == about

    def test_a_sheet(self, sheet, tmp_path):
        about = images.about(sheet.save(tmp_path / "sheet.png"))
        assert about["targets"] == [f"relu2:{k}" for k in range(8)]
        with Image.open(tmp_path / "sheet.png") as opened:
            assert opened.width > 8 * SIZE
        with pytest.raises(ProbeError, match=r"has to end in .png"):
            sheet.save(tmp_path / "sheet.jpg")

    def test_a_folder_and_a_table(self, sheet, tmp_path):
        folder = sheet.save(tmp_path / "all")
        assert len(list(folder.glob("*.png"))) == 8
        table = pd.read_csv(folder / "table.csv")
        assert table["silent"].tolist() == [k == 3 for k in range(8)]
        about = images.about(folder / "4-relu2-4.png")
        # What it was made together with, and which of these it is.
        assert about["settings"]["target"] == ["relu2:3", "relu2:4", "relu2:5"]
        assert (about["picture"], about["targets"]) == (1, ["relu2:4"])
        assert len(pd.read_csv(sheet.save(tmp_path / "table.csv"))) == 8

    def test_one_of_them(self, sheet):
        one = sheet[-1]
        assert one.table["target"].tolist() == ["relu2:7"]
        np.testing.assert_array_equal(one.pictures[0], sheet.pictures[7])

    def test_beside_photographs(self, sheet):
        class Top:
            layer, channels, about = "relu2", (4, 3), {"images": "photographs"}

            def rows(self) -> list[list[np.ndarray | None]]:
                return [[np.zeros((9, 9, 3), np.uint8)] * 2, [None, None]]

        found = sheet.beside(Top())
        assert [len(row) for row in found.patches] == [0, 0, 0, 2, 2, 0, 0, 0]
        assert found.about["patches"] == {"images": "photographs"}
        drawn = found.plot().get_images()
        assert len(drawn) == 8 + 2


def test_channels_may_be_an_array(small: Network) -> None:
    one, other = (
        made(small, "second", channels=channels, steps=2) for channels in ([1, 3], np.array([1, 3]))
    )
    np.testing.assert_array_equal(one.pictures, other.pictures)
    assert one.about == other.about


class TestBadInput:
    @pytest.mark.parametrize(
        ("target", "settings", "message"),
        [
            ("secnd:1", {}, "has no layer 'secnd'; did you mean 'second'"),
            ("second:8", {}, "channel 8 does not exist: layer 'second' has 8"),
            ("second", {"channels": [8]}, "channel 8 does not exist: layer 'second' has 8"),
            ("second:1", {"channels": [1]}, "channels can only be chosen from one layer"),
            ("second:1,0,16", {}, "x 16 does not exist: layer 'second' has 16"),
            (7, {}, "class 7 does not exist: the network has 5"),
            ([], {}, "target []: expected at least one"),
            ("second:1", {"size": 0}, "size 0: expected a number of pixels ≥ 1"),
            ("second:1", {"size": (30, 0)}, "size 0: expected a number of pixels ≥ 1"),
            ("second:1", {"size": (30, 30, 3)}, "expected a side, or width and height"),
            ("second:1", {"size": 8, "tileable": True}, "size 8: expected a number of pixels ≥ 12"),
            (
                "second:1",
                {"tileable": True, "parameterisation": "laplacian"},
                "parameterisation 'laplacian': expected",
            ),
            ("second:1,0,0", {"tileable": True}, "'second:1,0,0' is a unit at one position"),
            (
                "second:1",
                {"transparent": True, "parameterisation": "maco"},
                "expected fourier for transparent pictures",
            ),
            ("second:1", {"tolerance": -0.1}, "tolerance -0.1: expected a number ≥ 0"),
            ("second:1", {"size": 5}, "pictures of 5×5 do not go through small"),
            ("second:1", {"steps": 0}, "steps 0: expected a number ≥ 1"),
            ("second:1", {"batch_size": 0}, "batch_size 0: expected a number ≥ 1"),
            ("second:1", {"lr": -1.0}, "lr -1.0: expected a number > 0"),
            ("second:1", {"lr": float("nan")}, "lr nan: expected a number > 0"),
            ("second:1", {"parameterisation": "furier"}, "pixels, maco; did you mean 'fourier'"),
            ("second:1", {"precision": "half"}, "precision 'half': expected one of auto"),
            ("second:1", {"diverse": 1}, "diverse 1: expected a number ≥ 2"),
            ("second", {"diverse": 3}, "diverse 3: expected one target, not 8"),
            ("second:1", {"interpolate": 3}, "two channels of one layer, or two classes"),
            (["second:1", 2], {"interpolate": 3}, "two channels of one layer, or two classes"),
            (["second:1", "second"], {"interpolate": 3}, "two channels of one layer"),
            (["second:1", "second:9"], {"interpolate": 2}, "channel 9 does not exist: layer"),
            ([1, 9], {"interpolate": 2}, "class 9 does not exist: the network has 5"),
            ("second:1", {"diverse": 2, "interpolate": 2}, "cannot be combined: choose one"),
            ("second:1", {"weights": "random"}, "go with a model's name"),
        ],
    )
    def test_one_line_says_what_is_wrong(self, small, target, settings, message):
        with pytest.raises(ProbeError) as error:
            made(small, target, **settings)
        assert message in str(error.value)
        assert "\n" not in str(error.value)

    def test_what_has_no_gradient(self, small):
        with pytest.raises(ProbeError, match="has no gradient here"):
            made(small, Function(lambda scores: torch.ones(len(scores))))

    def test_a_layer_without_weights(self, alexnet):
        if not alexnet.missing:
            pytest.skip("all weights are there")
        with pytest.raises(ProbeError, match="has no weights"):
            made(alexnet, "classifier.1:3")


def test_the_public_name():
    assert probe.visualize is visualize


def test_alexnet_is_driven_more_than_by_photographs(alexnet):
    from skimage import data

    names = ("astronaut", "chelsea", "coffee", "rocket", "retina", "hubble_deep_field")
    photographs = [Image.fromarray(getattr(data, name)()).convert("RGB") for name in names]
    seen = torch.stack([alexnet.preprocessing(picture) for picture in photographs])
    with torch.no_grad():
        by_photographs = alexnet.module.features[:11](seen).mean((2, 3)).numpy()
    channels = [12, 84, 200]
    found = made(alexnet, "conv5", channels=channels, size=96, steps=32)
    most = np.percentile(by_photographs[:, channels], 99, axis=0)
    assert (found.table["value"].to_numpy() > most).all()
    assert found.table["rank"].tolist() == [1, 1, 1]
    assert found.silent == []


def test_classes_units_and_directions_are_all_targets(small):
    each = [Class(1), Unit("second", 2, (3, 4)), Channel("last", 0), Norm("second"),
            Direction("second", torch.arange(8.0), "up", power=1.0)]  # fmt: skip
    found = made(small, each)
    assert len(found) == 5
    assert not found.table["silent"].any()
    assert found.labels[4].startswith("up: ")
    assert (Path(str(found.about["settings"]["target"][4])).name) == "up"
