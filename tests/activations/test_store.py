from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from probe.activations import shards
from probe.activations.reduce import RandomUnits, Reducer, Unreduced
from probe.activations.shards import shard_writer
from probe.activations.store import ActivationStore
from probe.errors import ProbeError
from probe.models.layouts import ORDERS

SHAPES = {"conv": (4, 3, 5), "relu:0": (4, 3, 5), "tokens": (7, 6), "fc": (11,)}


def made(
    folder: Path, n: int = 9, dtype: str = "float32", reducer: Reducer | None = None
) -> tuple[ActivationStore, dict[str, np.ndarray]]:
    """A store of shards of four stimuli and chunks of eight neuroids, and what is in it."""
    reducer = reducer or Unreduced()
    request = {"reducer": reducer.key(), "dtype": dtype}
    stimuli = {
        "stimulus_id": [f"image {k}.png" for k in range(n)],
        "sha256": [f"{k:064x}" for k in range(n)],
        "category": ["face" if k % 2 else "house" for k in range(n)],
        "size": [1.5 * k for k in range(n)],
    }
    about = {"model": "made", "layers": list(SHAPES)}
    store = ActivationStore.create(folder / "store", request, about, stimuli)
    rng, values = np.random.default_rng(0), {}
    for layer, shape in SHAPES.items():
        store.create_layer(layer, shape, ORDERS[3 - len(shape)], reducer)
        array = store.array(layer)
        values[layer] = rng.normal(size=array.shape).astype(np.float32)
        with shard_writer() as writer:
            for k in range(array.layout.n_shards(n)):
                buffer, part = writer.buffer(array.layout), slice(4 * k, 4 * k + 4)
                buffer.fill(0, torch.from_numpy(values[layer][part]))
                writer.put(buffer, len(values[layer][part]), array.shard(k))
    return store, values


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "LEAST_ROWS", 4)
    monkeypatch.setattr(shards, "CHUNK_NEUROIDS", 8)


def test_a_layer_opens_as_a_labelled_lazy_array(tmp_path: Path) -> None:
    store, values = made(tmp_path)
    assert list(store) == list(SHAPES)
    for layer in store:
        data = store[layer]
        assert data.dims == ("stimulus", "neuroid")
        assert not data.variable._in_memory, "nothing is read before it is asked for"
        np.testing.assert_array_equal(data.values, values[layer])
    conv = store["conv"]
    assert set(conv.coords) == {"stimulus_id", "category", "size", "channel", "y", "x"}
    assert conv["stimulus_id"].values[3] == "image 3.png"
    faces = conv[conv.category == "face"]
    np.testing.assert_array_equal(faces.values, values["conv"][1::2])
    one = conv.isel(stimulus=2).where(
        (conv.channel == 1) & (conv.y == 2) & (conv.x == 4), drop=True
    )
    assert one.item() == values["conv"][2, 1 * 15 + 2 * 5 + 4]
    assert set(store["tokens"].coords) >= {"token", "channel"}


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> tuple[ActivationStore, dict[str, np.ndarray]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "LEAST_ROWS", 4)
        patch.setattr(shards, "CHUNK_NEUROIDS", 8)
        return made(tmp_path_factory.mktemp("stores"))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_part_is_read_as_numpy_would(one, data):
    store, values = one
    layer = data.draw(st.sampled_from(list(SHAPES)))
    expected, array = values[layer], store.array(layer)

    def key(size: int):
        index = st.integers(-size, size - 1)
        return data.draw(
            st.one_of(index, st.slices(size), st.lists(index, min_size=1, max_size=6).map(np.array))
        )

    rows, columns = key(array.shape[0]), key(array.shape[1])
    np.testing.assert_array_equal(array[rows, columns], expected[rows][..., columns])
    np.testing.assert_array_equal(array[rows], expected[rows])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_zarr_and_xarray_read_the_same(tmp_path: Path, dtype: str) -> None:
    store, values = made(tmp_path, dtype=dtype)
    for layer, expected in values.items():
        rounded = torch.from_numpy(expected).to(shards.DTYPES[dtype])
        np.testing.assert_array_equal(store.array(layer)[:], rounded.float().numpy())
        by_zarr = zarr.open_array(store.array(layer).path, mode="r")[:]
        if dtype == "bfloat16":  # which Zarr has not: its bits
            expected_there = rounded.view(torch.int16).numpy().view(np.uint16)
        else:
            expected_there = rounded.numpy()
        np.testing.assert_array_equal(by_zarr, expected_there)
    others = {"conv", "tokens", "fc"}  # whose neuroids are others
    of_xarray = xr.open_zarr(
        store.path, drop_variables=others, consolidated=False, chunks=None, decode_cf=False
    )
    assert of_xarray["relu@0"].dims == ("stimulus", "neuroid")
    assert of_xarray.attrs["request"]["dtype"] == dtype


def test_units_keep_their_places(tmp_path: Path) -> None:
    reducer = RandomUnits(5, seed=1)
    store, _ = made(tmp_path, reducer=reducer)
    expected = reducer.coords("conv", SHAPES["conv"])
    for name, places in expected.items():
        np.testing.assert_array_equal(store["conv"][name].values, places)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    store, values = made(tmp_path)
    array = store.array("conv")
    array.shard(1).unlink()
    assert array.done().tolist() == [True, False, True]
    assert array.share_done() == 5 / 9
    with pytest.raises(ProbeError, match=r"are missing or were removed: .*c\.1\.0'"):
        array[:]
    np.testing.assert_array_equal(array[8:], values["conv"][8:])
    with pytest.raises(
        ProbeError, match=r"exist for 56% of the stimuli only: repeat the same extraction"
    ):
        store["conv"]
    array.shard(2).write_bytes(b"cut short")
    assert array.done().tolist() == [True, False, False]


def test_a_flipped_byte_is_named(tmp_path: Path) -> None:
    store, values = made(tmp_path)
    shard = store.array("conv").shard(1)
    content = bytearray(shard.read_bytes())
    content[40] ^= 16
    shard.write_bytes(content)
    lazy = store["conv"]
    with pytest.raises(ProbeError, match=r"'conv' are damaged: .*c\.1\.0' .*chunk 0; .*--repair"):
        lazy.values  # noqa: B018
    np.testing.assert_array_equal(lazy[:4].values, values["conv"][:4])
    np.testing.assert_array_equal(lazy[:, 20:].values, values["conv"][:, 20:])
    reasons = [
        store.array(layer).layout.damage(p) for layer in store for p in store.array(layer).shards()
    ]
    assert [r for r in reasons if r] == ["has a wrong checksum in chunk 0"]


def test_is_opened_again_and_travels(tmp_path: Path) -> None:
    store, values = made(tmp_path)
    again = ActivationStore(store.path)
    assert again == store
    assert again.stimulus_ids == store.stimulus_ids
    array = pickle.loads(pickle.dumps(again.array("conv")))
    np.testing.assert_array_equal(array[:], values["conv"])
    moved = store.path.rename(tmp_path / "elsewhere")
    np.testing.assert_array_equal(ActivationStore(moved)["fc"].values, values["fc"])
    assert "fc" in ActivationStore(moved)._repr_html_()


def spoil(store: ActivationStore, what: str) -> Path:
    group, array = store.path / "zarr.json", store.array("conv").path / "zarr.json"
    if what == "nothing there":
        return store.path / "other"
    if what == "a file":
        return group
    if what == "another group":
        zarr.open_group(store.path / "g", mode="w")
        return store.path / "g"
    if what == "an array":
        return array.parent
    if what == "torn group":
        group.write_bytes(group.read_bytes()[:-20])
    elif what == "empty group":
        group.write_bytes(b"")
    elif what == "torn array":
        array.write_bytes(array.read_bytes()[:-20])
    elif what == "array without attributes":
        content = json.loads(array.read_text())
        del content["attributes"]["shape"]
        array.write_text(json.dumps(content))
    else:
        content = json.loads(group.read_text())
        if what == "no stimuli":
            del content["attributes"]["stimuli"]
        elif what == "older":
            del content["attributes"]["format"]
        elif what == "newer":
            content["attributes"]["format"] = 99
        group.write_text(json.dumps(content))
    return store.path


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("nothing there", "no activations in .*probe cache ls"),
        ("a file", "no activations in .*probe cache ls"),
        ("another group", "no activations that probe wrote"),
        ("an array", "no activations that probe wrote|damaged"),
        ("torn group", "damaged: .*probe cache prune store"),
        ("empty group", "damaged: .*probe cache prune store"),
        ("torn array", "damaged: .*probe cache prune store"),
        ("array without attributes", "damaged: .*probe cache prune store"),
        ("no stimuli", "damaged: .*probe cache prune store"),
        ("older", "another version of probe.*--old-format"),
        ("newer", "another version of probe.*--old-format"),
    ],
)
def test_what_is_no_store_of_ours(tmp_path: Path, what: str, says: str) -> None:
    store, _ = made(tmp_path)
    path = spoil(store, what)
    with pytest.raises(ProbeError, match=says) as found:
        ActivationStore(path).open_layer("conv")
    assert "\n" not in str(found.value)
