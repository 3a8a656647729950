from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA

from probe import images, models
from probe.activations.capture import capture
from probe.errors import ProbeError
from probe.models import Network
from probe.stimuli import StimulusSet, image_set
from probe.synthesis import atlas as module
from probe.synthesis.atlas import Atlas, atlas

LAYER = "features.3"
SETTINGS: dict[str, Any] = {
    "grid": 3, "samples": 300, "size": 40, "steps": 3, "progress": False, "precision": "float32",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mpl.rcParams, "backend", "agg")


@pytest.fixture(scope="module")
def network() -> Network:
    return models.load("squeezenet1_1", "random")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> StimulusSet:
    folder = tmp_path_factory.mktemp("photographs")
    drawn = np.random.default_rng(0)
    for k in range(12):
        coarse = drawn.integers(0, 256, (2 + k, 2 + k, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC).save(
            folder / f"{k:02d}.png"
        )
    return image_set(folder)


@pytest.fixture(scope="module")
def made(network: Network, photographs: StimulusSet) -> Atlas:
    return atlas(network, photographs, LAYER, **SETTINGS)


def all_activations(network: Network, photographs: StimulusSet) -> np.ndarray:
    pictures = [network.preprocessing(photographs.image(k)) for k in range(len(photographs))]
    output = capture(network.module, torch.stack(pictures), [LAYER])[LAYER]
    return output.numpy()


def test_a_preprocessing_as_it_is(made: Atlas, network: Network, photographs: StimulusSet) -> None:
    other = atlas(
        "squeezenet1_1", photographs, LAYER, weights="random",
        preprocessing=network.preprocessing, **SETTINGS,
    )  # fmt: skip
    np.testing.assert_array_equal(other.pictures, made.pictures)


def test_activations_are_those_of_the_layer(network: Network, photographs: StimulusSet) -> None:
    whole = all_activations(network, photographs)
    drawn = module._Sample(LAYER, 25, seed=0)
    # Batches change nothing.
    drawn.add(range(5), torch.from_numpy(whole[:5]))
    drawn.add(range(5, 12), torch.from_numpy(whole[5:]))
    activations, where = drawn.activations()
    assert activations.shape == (300, whole.shape[1])
    expected = whole[where["stimulus"], :, where["y"], where["x"]]
    assert np.array_equal(activations, expected)
    assert not where.duplicated().any()
    assert where.groupby("stimulus").size().tolist() == [25] * 12
    assert where["y"].max() > 40  # of 55: they lie everywhere
    every = module._Sample(LAYER, 10**6, seed=0)
    every.add(range(12), torch.from_numpy(whole))
    assert len(every.activations()[0]) == 12 * 55 * 55


def test_the_layout_is_the_two_largest_principal_components() -> None:
    drawn = np.random.default_rng(1)
    activations = (drawn.normal(size=(400, 7)) * [9, 5, 1, 1, 1, 1, 1] + 2).astype(np.float32)
    found = module._lay_out(activations, "pca", 0)
    lengths = np.linalg.norm(activations, axis=1, keepdims=True)
    expected = PCA(2).fit_transform(activations / lengths)
    inside = ((found > 0) & (found < 1)).all(1)
    assert inside.mean() > 0.95
    for axis in range(2):
        r = np.corrcoef(found[inside, axis], expected[inside, axis])[0, 1]
        assert abs(r) > 0.9999
    assert found.min() == 0
    assert found.max() == 1


@pytest.mark.slow  # it compiles for many seconds
def test_umap_keeps_neighbours_and_random_numbers() -> None:
    pytest.importorskip("umap")
    drawn = np.random.default_rng(1)
    kind = np.repeat(np.arange(3), 40)
    activations = (np.eye(3, 6)[kind] * 9 + drawn.normal(size=(120, 6))).astype(np.float32)
    before = str(np.random.get_state()), torch.get_rng_state()  # noqa: NPY002
    found = module._lay_out(activations, "umap", 4)
    assert str(np.random.get_state()) == before[0]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])
    away = np.linalg.norm(found[:, None] - found[None], axis=2) + 9 * np.eye(120)
    assert (kind[away.argmin(1)] == kind).mean() > 0.95
    assert np.array_equal(module._lay_out(activations, "umap", 4), found)


def test_directions_are_whitened_as_scikit_learn_does() -> None:
    drawn = np.random.default_rng(2)
    activations = (drawn.normal(size=(300, 5)) @ drawn.normal(size=(5, 5)) + 1).astype(np.float32)
    means = activations[:20].reshape(2, 10, 5).mean(1)
    moments = LedoitWolf(assume_centered=True).fit(activations.astype(float)).covariance_
    expected = np.linalg.solve(moments, means.T).T
    for scale in (1.0, 1e-15):  # the same direction, whatever the units
        found = module._whitened(means * scale, activations * scale)
        cosine = (found * expected).sum(1) / np.linalg.norm(found, axis=1)
        assert cosine / np.linalg.norm(expected, axis=1) == pytest.approx(1, abs=1e-5)


def test_cells_have_their_activations(made: Atlas, network: Network) -> None:
    assert made.places.shape == (300, 2)
    cells = np.minimum((made.places * 3).astype(int), 2)
    counts = pd.Series(map(tuple, cells[:, ::-1].tolist())).value_counts()
    counts = counts[counts >= module.MIN_ACTIVATIONS]
    table = made.table.set_index(["row", "column"])
    assert table["activations"].to_dict() == counts.to_dict()
    assert made.pictures.shape == (len(table), 40, 40, 3)
    assert table.index.is_monotonic_increasing
    assert set(table["stimulus_id"]) <= {f"{k:02d}.png" for k in range(12)}


def test_the_nearest_activation_has_the_largest_cosine() -> None:
    activations = np.array([[1, 0], [0, 2], [3, 3], [4, 3.5], [9, 9]], np.float32)
    cell = np.array([0, 0, 1, 1, 1])
    where = pd.DataFrame({"stimulus": [2, 0, 1, 1, 0], "y": [5, 6, 7, 8, 9], "x": [1, 2, 3, 4, 5]})

    class Named:
        ids = ("a", "b", "c")

    means = np.array([[0.2, 1], [4, 3.5]], np.float32)
    found = module._nearest(means, activations, cell, np.array([0, 1]), where, Named())  # type: ignore[arg-type]
    assert found["stimulus_id"] == ["a", "b"]
    assert found["y"].tolist() == [6, 8]
    assert found["x"].tolist() == [2, 4]


def test_a_sheet_has_larger_pictures_where_there_are_more(made: Atlas) -> None:
    table = pd.DataFrame({"row": [0, 1, 1], "column": [1, 0, 1], "activations": [100, 25, 3]})
    pictures = np.full((3, 20, 20, 3), 30, np.uint8)
    sheet = Atlas(pictures, table, made.places, 2, "", {}).sheet()
    assert sheet.shape == (40, 40, 3)
    dark = (sheet == 30).all(2)
    assert not dark[:20, :20].any()
    sides = [np.sqrt(dark[r : r + 20, c : c + 20].sum()) for r, c in ((0, 20), (20, 0), (20, 20))]
    ninth = np.quantile([100, 25, 3], 0.9)
    assert sides == [20, round(20 * np.sqrt(25 / ninth)), 20 * module.MIN_SIDE]
    assert (sheet[~dark] == 255).all()


def test_the_same_seed_gives_the_same_bytes(
    made: Atlas, network: Network, photographs: StimulusSet
) -> None:
    state = torch.get_rng_state()
    again = atlas(network, photographs, LAYER, **SETTINGS)
    assert again.sheet().tobytes() == made.sheet().tobytes()
    assert again.table.equals(made.table)
    assert torch.equal(torch.get_rng_state(), state)
    other = atlas(network, photographs, LAYER, **SETTINGS, seed=1)
    assert not np.array_equal(other.places, made.places)


def test_an_interrupted_atlas_goes_on(
    made: Atlas,
    network: Network,
    photographs: StimulusSet,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "BATCH_SIZE", 2)
    calls: list[int] = []
    real = module.visualize

    def visualize(network: Network, chunk: list[Any], **settings: Any) -> Any:
        if len(calls) == 2:
            calls.append(0)
            raise KeyboardInterrupt
        calls.append(len(chunk))
        return real(network, chunk, **settings)

    monkeypatch.setattr(module, "visualize", visualize)
    with pytest.raises(KeyboardInterrupt):
        atlas(network, photographs, LAYER, **SETTINGS)
    assert len(list((tmp_path / "unfinished").iterdir())) == 1
    found = atlas(network, photographs, LAYER, **SETTINGS)
    assert sum(calls) == len(made.table)  # none is made twice
    assert list((tmp_path / "unfinished").iterdir()) == []
    assert np.abs(found.pictures.astype(int) - made.pictures).max() <= 1  # batches of other sizes
    monkeypatch.setattr(module, "visualize", real)
    assert np.array_equal(atlas(network, photographs, LAYER, **SETTINGS).pictures, found.pictures)


def test_it_shows_and_saves_itself(made: Atlas, tmp_path: Path) -> None:
    place = made.save(tmp_path / "sheet.png", plain=True)
    with Image.open(place) as opened:
        assert np.array_equal(np.asarray(opened.convert("RGB")), made.sheet())
    with Image.open(made.save(tmp_path / "figure.png")) as opened:
        assert min(opened.size) >= 7 * 300  # two columns of a journal, at what it asks for
    about = images.about(tmp_path / "figure.png")
    assert about == images.about(place)
    assert about["made"] == "atlas"
    assert about["settings"]["layer"] == LAYER
    assert about["n_activations"] == 300
    made.save(tmp_path / "cells.csv")
    assert len(pd.read_csv(tmp_path / "cells.csv")) == len(made.table)
    with pytest.raises(ProbeError, match="has to end in"):
        made.save(tmp_path / "sheet.jpg")
    ax = made.plot()
    assert ax.get_title(loc="left").startswith("squeezenet1_1 features.3")
    (scale,) = ax.child_axes
    assert scale.get_xlabel() == "frames: activations in a cell"
    assert scale.get_xlim() == (0, made.table["activations"].max())
    assert not made.plot(legend=False).child_axes
    assert "300 activations by 12 pictures" in repr(made)


@pytest.mark.usefixtures("_coarse_pngs")
def test_a_notebook_shows_the_figure(made: Atlas) -> None:
    assert made._repr_html_().startswith("<img")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layout": "tsne"}, "layout 'tsne': expected one of pca, umap"),
        ({"grid": 0}, "grid 0: expected a number ≥ 1"),
        ({"samples": 1}, "samples 1: expected a number ≥ 3"),
        ({"steps": 0}, "steps 0: expected a number ≥ 1"),
        ({"batch_size": 0}, "batch_size 0: expected a number ≥ 1"),
        ({"samples": 12, "grid": 40}, "12 activations are too few for 40×40 cells"),
    ],
)
def test_bad_settings(
    settings: dict[str, Any], message: str, network: Network, photographs: StimulusSet
) -> None:
    with pytest.raises(ProbeError, match=message):
        atlas(network, photographs, LAYER, **{**SETTINGS, **settings})


def test_a_layer_that_is_not_there(network: Network, photographs: StimulusSet) -> None:
    with pytest.raises(ProbeError, match=r"features\.99"):
        atlas(network, photographs, "features.99", **SETTINGS)
    with pytest.raises(ProbeError, match="expected one layer, not"):
        atlas(network, photographs, "conv", **SETTINGS)


def test_like_activations_lie_beside_each_other_and_drive_like_directions(
    alexnet: Network, tmp_path: Path
) -> None:
    """With real weights: a cell's picture drives its own direction more than those of others."""
    data = pytest.importorskip("skimage.data")
    drawn = np.random.default_rng(0)
    for name in ("astronaut", "chelsea", "coffee", "brick", "grass", "gravel"):
        photograph = Image.fromarray(getattr(data, name)()).convert("RGB")
        for k in range(5):
            left, top = (int(drawn.integers(0, side - 200)) for side in photograph.size)
            part = photograph.crop((left, top, left + 200, top + 200))
            part.save(tmp_path / f"{name}-{k}.png")
    found = atlas(
        alexnet, tmp_path, "features.6", grid=2, samples=600, size=64, steps=24, progress=False
    )
    assert len(found.table) == 4
    assert not found.table["silent"].any()
    mean, std = (
        torch.tensor(v)[:, None, None]
        for v in (alexnet.preprocessing.mean, alexnet.preprocessing.std)
    )
    output = capture(
        alexnet.module,
        (torch.from_numpy(found.pictures).permute(0, 3, 1, 2) / 255 - mean) / std,
        ["features.6"],
    )["features.6"]
    means = output.mean((2, 3))
    drawn_again = module._Sample("features.6", 20, 0)
    module.survey(alexnet, image_set(tmp_path), "features.6", drawn_again.add, progress=False)
    activations, _ = drawn_again.activations()
    cell = np.minimum((found.places * 2).astype(int), 1) @ [1, 2]
    centres = np.stack([activations[cell == k].mean(0) for k in range(4)])
    directions = module._whitened(centres, activations)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    along = means.numpy() @ directions.T
    assert along.argmax(0).tolist() == [0, 1, 2, 3]
