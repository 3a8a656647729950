"""Activations from names: what is understood, what is told before the work, and what is opened."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import probe
from probe import extraction, models, recordings
from probe.activations import ActivationStore, cache, capture
from probe.activations.reduce import SpatialMean
from probe.errors import ProbeError
from probe.extraction_settings import ExtractSettings
from probe.models import Network
from probe.stimuli import StimulusSet, image_set

LAYERS = "features.0,features.3.squeeze"


@pytest.fixture(autouse=True)
def _own_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with five pictures."""
    from PIL import Image

    folder = tmp_path / "my pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for k in range(5):
        picture = Image.fromarray(rng.integers(0, 256, (32, 40, 3), dtype=np.uint8))
        picture.save(folder / f"p{k}.png")
    return folder


def extract(images: object, model: object = "squeezenet1_1", **options: object) -> ActivationStore:
    own = {} if not isinstance(model, str) else {"weights": "random"}
    return probe.extract(model, images, **({"layers": LAYERS} | own | options))  # type: ignore[arg-type]


class TestExtract:
    def test_values_are_those_of_the_layers(self, pictures: Path) -> None:
        store = extract(pictures)
        network = models.load("squeezenet1_1", "random")
        shown = image_set(pictures)
        inputs = torch.stack([network.preprocessing(shown.image(k)) for k in range(5)])
        for name, value in capture(network.module, inputs, LAYERS.split(",")).items():
            np.testing.assert_allclose(
                store[name].values, value.flatten(1).numpy(), rtol=1e-4, atol=1e-5
            )
        assert list(store) == LAYERS.split(",")
        assert store.stimulus_ids == tuple(f"p{k}.png" for k in range(5))

    def test_the_same_request_however_it_is_written(self, pictures: Path) -> None:
        store = extract(pictures, reduce="mean")
        network = models.load("squeezenet1_1", "random")
        for same in (
            extract(str(pictures), reduce=SpatialMean()),
            extract(pictures / "*.png", reduce="mean", layers=["features.3.squeeze"]),
            extract(image_set(pictures), network, reduce="mean", batch_size=4),
            extract(pictures, reduce="mean", preprocessing=network.preprocessing),
        ):
            assert same.path == store.path
        assert extract(pictures, reduce="max").path != store.path
        assert extract(pictures, reduce="mean", seed=1).path != store.path

    @pytest.mark.slow
    def test_a_recording_stands_for_its_stimuli(self, pictures: Path) -> None:
        recording = recordings.load("sim-v1")
        settings = ExtractSettings(LAYERS, weights="random")
        for images in ("sim-v1", "sim-v1/0", recording):
            planned = extraction.plan("squeezenet1_1", images, settings)
            assert planned.extraction.stimuli.hash == recording.stimuli.hash
            assert planned.title.startswith(f"squeezenet1_1 · {recording.name}, 180 stimuli")
        shutil.copytree(pictures, "sim-v1")
        for images, n in (("sim-v1", 180), ("./sim-v1", 5), ("sim-v1/p0.png", 1)):
            planned = extraction.plan("squeezenet1_1", images, settings)
            assert len(planned.extraction.stimuli) == n

    def test_a_module_of_ones_own(self, pictures: Path) -> None:
        module = nn.Sequential(nn.AvgPool2d(32), nn.Conv2d(3, 4, 3))
        for model in (module, Network.from_module(module)):
            assert extract(pictures, model, layers="1")["1"].shape == (5, 4 * 5 * 5)
        with pytest.raises(ProbeError, match="weights and preprocessing go with a model's name"):
            extract(pictures, module, layers="1", weights="random")

    def test_pictures_that_cannot_be_read(self, pictures: Path) -> None:
        path = pictures / "p3.png"
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(ProbeError, match=r"p3\.png"):
            extract(pictures)
        store = extract(pictures, skip_bad=True, reduce="mean")
        assert store.n_stimuli == 4
        ((name, reason),) = store.about["skipped"]
        assert name == "p3.png"
        assert reason

    def test_a_folder_of_ones_own(self, pictures: Path, tmp_path: Path) -> None:
        store = extract(pictures, reduce="mean", folder="kept here")
        assert store.path.parent == tmp_path / "here" / "kept here"
        assert cache.entries() == []
        assert [entry.key for entry in cache.entries("kept here")] == [store.key]

    def test_what_is_there_counts_as_used_now(self, pictures: Path) -> None:
        store = extract(pictures, reduce="mean")
        os.utime(store.path, times=(0, 0))
        extract(pictures, reduce="mean")
        assert time.time() - store.path.stat().st_mtime < 60


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "squeezenet1_2"}, "unknown model 'squeezenet1_2'; did you mean 'squeezenet1_"),
        ({"layers": "features.00"}, r"no layer 'features.00'; did you mean 'features\.0'"),
        ({"reduce": "srq:12"}, "reducer 'srq:12': expected one of none, mean"),
        ({"reduce": "units:0"}, "'0' is not a positive whole number"),
        ({"dtype": "float61"}, "dtype 'float61': expected one of .*; did you mean 'float16'"),
        ({"precision": "bfloat"}, "precision 'bfloat': expected .*; did you mean 'bfloat16'"),
        ({"device": "gpu"}, "device 'gpu' is not on this machine: expected auto or one of cpu"),
    ],
)
def test_a_slip_of_the_pen_is_told_before_a_picture_is_read(
    options: dict[str, object],
    message: str,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(*_: object, **__: object) -> StimulusSet:
        raise AssertionError("a picture was read")

    monkeypatch.setattr(extraction, "image_set", read)
    with pytest.raises(ProbeError, match=message):
        extract(pictures, **options)
    assert not (tmp_path / "cache" / "activations").exists()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("sim-v5", "images 'sim-v5' are no folder, file or dataset; did you mean 'sim-v"),
        ("stimulii", r"did you mean 'stimuli'\? \(see `probe datasets`\)"),
        ("sim-v4/x", "seed 'x'"),
        ("./v4", "v4' does not exist"),
        ("nowhere/*.png", "no file matches"),
        ("", "image set ''"),
    ],
)
def test_images_that_are_not_there(images: str, message: str) -> None:
    Path("stimuli").mkdir()
    with pytest.raises(ProbeError, match=message):
        extract(images)


def test_a_plan_foretells_what_it_takes(pictures: Path) -> None:
    settings = ExtractSettings(LAYERS, reduce="srp:64", dtype="float16", weights="random")
    planned = extraction.plan("squeezenet1_1", pictures, settings)
    before = planned.table()
    assert not planned.extraction.path.exists()
    assert before["layer"].tolist() == LAYERS.split(",")
    assert before["shape"].tolist() == ["64×111×111", "16×55×55"]
    assert before["neuroids"].tolist() == [64, 64]
    assert planned.share_there(before) == 0
    assert planned.title == "squeezenet1_1 · my pictures, 5 stimuli · 2 layers"
    extract(pictures, layers="features.0", reduce="srp:64", dtype="float16")
    half = planned.table()
    assert half["there"].tolist() == [1.0, 0.0]
    assert planned.share_there(half) == pytest.approx(0.5)
    after = planned.run().summary()
    np.testing.assert_allclose(after["GB"], before["GB"])
    assert after[["layer", "shape", "neuroids"]].equals(before[["layer", "shape", "neuroids"]])
    assert planned.share_there(planned.table()) == 1


class TestOpen:
    def test_a_layer(self, pictures: Path) -> None:
        store = extract(pictures, reduce="mean")
        for given in (store, store.path, str(store.path), store.key, store.key[:8]):
            data = probe.open_activations(given, "features.0")
            assert isinstance(data, xr.DataArray)
            assert data.dims == ("stimulus", "neuroid")
            assert not data.variable._in_memory, "nothing is read before it is asked for"
            np.testing.assert_array_equal(data.values, store["features.0"].values)
            assert data["stimulus_id"].values.tolist() == [f"p{k}.png" for k in range(5)]

    def test_all_layers(self, pictures: Path) -> None:
        store = extract(pictures, reduce="mean")
        tree = probe.open_activations(store.key[:8])
        assert isinstance(tree, xr.DataTree)
        assert list(tree) == LAYERS.split(",")
        for layer in tree:
            data = tree[layer]["activation"]
            assert not data.variable._in_memory
            np.testing.assert_array_equal(data.values, store[layer].values)
            np.testing.assert_array_equal(data["channel"], np.arange(data.shape[1]))

    def test_opening_is_using(self, pictures: Path) -> None:
        store = extract(pictures, reduce="mean")
        os.utime(store.path, times=(0, 0))
        probe.open_activations(store, "features.0")
        assert time.time() - store.path.stat().st_mtime < 60

    def test_an_incomplete_layer_is_left_out_aloud(self, pictures: Path) -> None:
        store = extract(pictures, reduce="mean")
        store.array("features.0").shard(0).unlink()
        with pytest.raises(ProbeError, match=r"layer 'features\.0' exist"):
            probe.open_activations(store.key, "features.0")
        with pytest.warns(UserWarning, match="left out, since they are not complete: features.0;"):
            tree = probe.open_activations(store.key)
        assert list(tree) == ["features.3.squeeze"]
        store.array("features.3.squeeze").shard(0).unlink()
        with pytest.raises(ProbeError, match="repeat the same extraction to complete"):
            probe.open_activations(store.key)

    def test_what_is_not_there(self, pictures: Path, tmp_path: Path) -> None:
        store = extract(pictures, reduce="mean")
        with pytest.raises(ProbeError, match=r"'features.00'; did you mean 'features\.0'"):
            probe.open_activations(store, "features.00")
        with pytest.raises(ProbeError, match=f"no activations with key 'zz'.*{store.key[:8]}"):
            probe.open_activations("zz")
        with pytest.raises(ProbeError, match=r"folder '.*none' does not exist"):
            probe.open_activations(tmp_path / "none")
        with pytest.raises(ProbeError, match="no activations in"):
            probe.open_activations(pictures)


def test_autocast_is_what_precision_was_called(pictures: Path) -> None:
    fewer = extract(pictures, precision="bfloat16", reduce="mean")
    with pytest.warns(DeprecationWarning, match="'bfloat16' is called precision='bfloat16' now"):
        assert extract(pictures, autocast="bfloat16", reduce="mean").path == fewer.path
    with pytest.warns(DeprecationWarning, match="autocast='none' is called precision='float32'"):
        whole = extract(pictures, autocast="none", reduce="mean")
    assert whole.path == extract(pictures, reduce="mean").path
    # As stores were described before: what they hold is found again.
    assert (whole.request["autocast"], fewer.request["autocast"]) == ("none", "bfloat16")
    assert "precision" not in whole.request
