from __future__ import annotations

import contextlib
import inspect
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from probe import models
from probe.activations import (
    PIXELS,
    ActivationStore,
    Extraction,
    capture,
    engine,
    extract,
    shards,
)
from probe.activations.reduce import PCA, parse
from probe.errors import ProbeError
from probe.models import Network
from probe.models.devices import on_device
from probe.models.preprocessing import Preprocessing
from probe.recordings import simulate_v1
from probe.stimuli import StimulusSet, image_set

LAYERS = ["features.0", "features.1", "features.3.squeeze"]
SMALL = Preprocessing("resize", (80, 80))


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def stimuli() -> StimulusSet:
    return simulate_v1().stimuli.subset(range(11))


@pytest.fixture(scope="module")
def network() -> Network:
    return models.load("squeezenet1_1", "random", seed=3, preprocessing=SMALL)


@pytest.fixture(scope="module")
def large() -> Network:
    return models.load("squeezenet1_1", "random", seed=3)


def inputs(network: Network, stimuli: StimulusSet) -> torch.Tensor:
    return torch.stack([network.preprocessing(stimuli.image(k)) for k in range(len(stimuli))])


def test_extracted_equals_captured(network: Network, stimuli: StimulusSet) -> None:
    store = extract(network, stimuli, [PIXELS, *LAYERS], batch_size=4)
    images = inputs(network, stimuli)
    np.testing.assert_array_equal(store.array(PIXELS)[:], images.flatten(1).numpy())
    for name, value in capture(network.module, images, LAYERS).items():
        np.testing.assert_allclose(
            store.array(name)[:], value.flatten(1).numpy(), rtol=1e-4, atol=1e-5
        )


def test_a_layer_opens_as_a_labelled_lazy_array(network: Network, stimuli: StimulusSet) -> None:
    store = extract(network, stimuli, LAYERS, batch_size=4)
    data = store["features.1"]
    assert data.dims == ("stimulus", "neuroid")
    assert not data.variable._in_memory, "nothing is read before it is asked for"
    assert list(data["stimulus_id"].values) == list(stimuli.ids)
    images = inputs(network, stimuli)
    maps = capture(network.module, images, ["features.1"])["features.1"].numpy()
    one = data.sel(stimulus=5).where((data.channel == 7) & (data.y == 3) & (data.x == 9), drop=True)
    assert one.item() == pytest.approx(maps[5, 7, 3, 9], rel=1e-4)


@pytest.mark.parametrize("name", ["weights", "preprocessing", "skip_bad", "root", "reduc"])
def test_an_option_that_decides_nothing_is_refused(
    name: str, network: Network, stimuli: StimulusSet
) -> None:
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        extract(network, stimuli, LAYERS, **{name: "none"})


def spied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], int]]:
    """Record the layers and the number of images of every forward pass that counts."""
    seen: list[tuple[list[str], int]] = []
    inner = engine.forward_until

    def spy(module: nn.Module, images: torch.Tensor, layers: list[str], receive: object) -> None:
        if "output_shapes" not in [frame.function for frame in inspect.stack()]:
            seen.append((list(layers), len(images)))
        inner(module, images, layers, receive)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "forward_until", spy)
    return seen


def test_nothing_is_computed_twice(
    network: Network, stimuli: StimulusSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(network, stimuli, LAYERS[:2], batch_size=4)
    seen = spied(monkeypatch)
    extract(network, stimuli, LAYERS[:2], batch_size=4)
    assert seen == []
    extract(network, stimuli, LAYERS, batch_size=4)  # one layer more: only that is computed
    assert seen == [(["features.3.squeeze"], 4)] * 3


def test_a_set_that_grew_costs_what_is_new(
    network: Network, stimuli: StimulusSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = StimulusSet(
        [f"{k}{of}" for of in "ab" for k in range(11)],
        [np.asarray(stimuli.image(k)) // (1 + j) for j in range(2) for k in range(11)],
        "twice",
    )
    small = extract(network, whole.subset(range(11)), LAYERS, batch_size=4)
    monkeypatch.setattr(shards, "LEAST_ROWS", 2)  # shards of two stimuli
    seen = spied(monkeypatch)
    grown = extract(network, whole, LAYERS, batch_size=4)
    assert len(seen) == 4  # of six batches: ten of the 22 pictures are there in complete shards
    for layer in LAYERS:
        np.testing.assert_array_equal(grown.array(layer)[:11], small.array(layer)[:])
    seen.clear()
    # Others of the same pictures, and in another order, cost nothing; names do not matter.
    some = whole.subset([21, 3, 7, 0, 12, 13])
    found = extract(network, some, LAYERS, batch_size=4)
    assert seen == []
    for layer in LAYERS:
        expected = grown.array(layer)[[21, 3, 7, 0, 12, 13]]
        np.testing.assert_array_equal(found.array(layer)[:], expected)


@pytest.mark.parametrize("change", ["weights", "preprocessing", "stimuli", "order"])
def test_another_request_has_another_store(
    network: Network, stimuli: StimulusSet, change: str
) -> None:
    first = extract(network, stimuli, LAYERS[:1], batch_size=4)
    other, shown = network, stimuli
    if change == "weights":
        other = models.load("squeezenet1_1", "random", seed=4, preprocessing=SMALL)
    elif change == "preprocessing":
        other = models.load("squeezenet1_1", "random", seed=3, preprocessing="torchvision")
    elif change == "stimuli":
        shown = stimuli.subset(range(10))
    else:
        shown = stimuli.subset([*range(9), 10, 9])
    assert extract(other, shown, LAYERS[:1], batch_size=4).path != first.path


def test_a_module_of_ones_own_is_never_taken_for_an_earlier_one(stimuli: StimulusSet) -> None:
    class Scaled(nn.Module):
        factor = 1.0

        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.AvgPool2d(32)
            self.last = nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.pool(x) * self.factor)

    once = extract(Network.from_module(Scaled()), stimuli, ["last"]).array("last")[:]
    Scaled.factor = 2.0  # the same weights, none, compute something else now
    twice = extract(Network.from_module(Scaled()), stimuli, ["last"]).array("last")[:]
    np.testing.assert_allclose(twice, 2.0 * once)


def test_a_silent_layer_is_stored_as_zeros(stimuli: StimulusSet) -> None:
    class Silent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(x.mean((2, 3)) - 100.0)

    store = extract(Network.from_module(Silent()), stimuli, ["relu"], batch_size=4)
    assert store.array("relu").done().all()
    np.testing.assert_array_equal(store.array("relu")[:], 0.0)


def test_an_incomplete_layer_is_not_read(network: Network, stimuli: StimulusSet) -> None:
    store = extract(network, stimuli, LAYERS[:1], batch_size=4)
    store.array("features.0").shard(0).unlink()
    with pytest.raises(ProbeError, match=r"exist for \d+%.*repeat the same extraction"):
        store["features.0"]
    with pytest.raises(ProbeError, match=r"did you mean 'features\.0'"):
        store["features.00"]


def test_unreadable_image_is_named(network: Network, tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    simulate_v1().stimuli.image(0).save(good)
    bad = tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:200])
    with pytest.raises(ProbeError, match=r"bad\.png.*cannot be read"):
        extract(network, StimulusSet(["a", "b"], [good, bad], "two"), LAYERS[:1])


def test_full_disk_is_foreseen(
    network: Network, stimuli: StimulusSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _p: shutil._ntuple_diskusage(10**9, 10**9, 10))  # type: ignore[attr-defined]
    with pytest.raises(ProbeError, match=r"take \d.*GB left.*--layers"):
        extract(network, stimuli, LAYERS)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ({"device": "meta"}, "expected auto or one of cpu"),
        ({"device": "cuda:99"}, "expected auto or one of cpu"),
        ({"device": "gpu"}, "cpu"),
        ({"batch_size": 0}, "0"),
    ],
)
def test_bad_options(
    network: Network, stimuli: StimulusSet, option: dict[str, object], says: str
) -> None:
    with pytest.raises(ProbeError, match=says):
        extract(network, stimuli, LAYERS, **option)  # type: ignore[arg-type]


def test_a_network_that_works_in_place_on_its_input_is_seen_as_it_is(stimuli: StimulusSet) -> None:
    class Normalises(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.AvgPool2d(16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.pool(x.mul_(-3.0).add_(1.0))

    network = Network.from_module(Normalises())
    images = inputs(network, stimuli)
    store = extract(network, stimuli, [PIXELS, "pool"], batch_size=4)
    np.testing.assert_array_equal(store.array(PIXELS)[:], images.flatten(1).numpy())
    expected = nn.functional.avg_pool2d(images * -3.0 + 1.0, 16).flatten(1)
    np.testing.assert_allclose(store.array("pool")[:], expected.numpy(), rtol=1e-4, atol=1e-5)
    kept = images.clone()
    capture(network.module, images, ["pool"])
    torch.testing.assert_close(images, kept)


def test_a_double_network_gets_doubles(stimuli: StimulusSet) -> None:
    network = Network.from_module(nn.Sequential(nn.AvgPool2d(16), nn.Conv2d(3, 2, 1)).double())
    assert extract(network, stimuli, ["1"]).array("1").dtype == np.float32


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        pytest.param(MemoryError(), marks=pytest.mark.slow),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_a_batch_that_does_not_fit_is_halved(
    network: Network, stimuli: StimulusSet, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    undisturbed = extract(network, stimuli, LAYERS, batch_size=8)
    expected = {layer: undisturbed.array(layer)[:] for layer in LAYERS}
    undisturbed.delete()
    inner, sizes = engine.forward_until, []

    def limited(net: nn.Module, images: torch.Tensor, layers: list[str], receive: object) -> None:
        sizes.append(len(images))
        if len(images) > 4:  # in the middle of the forward pass
            inner(net, images, layers[:1], receive)  # type: ignore[arg-type]
            raise error
        inner(net, images, layers, receive)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "forward_until", limited)
    store = extract(network, stimuli, LAYERS)
    assert sizes == [2, 16, 8, 4, 4, 4]
    assert store.about["batch_size"] == 4
    for layer in LAYERS:
        np.testing.assert_array_equal(store.array(layer)[:], expected[layer])
    store.delete()
    sizes.clear()
    extract(network, stimuli, LAYERS)  # what was found is remembered
    assert sizes == [2, 4, 4, 4]


def test_one_image_that_does_not_fit_is_an_error(
    network: Network, stimuli: StimulusSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise MemoryError

    extract(network, stimuli, LAYERS[:1])
    module = sys.modules["probe.activations.extract"]
    monkeypatch.setattr(module, "output_shapes", lambda *_: ({LAYERS[1]: (64, 39, 39)}, True))
    monkeypatch.setattr(engine, "forward_until", never)
    with pytest.raises(ProbeError, match=r"does not fit into memory.*--device"):
        extract(network, stimuli, LAYERS[1:2])


def test_digits_do_not_depend_on_the_batch(large: Network, stimuli: StimulusSet) -> None:
    """On two threads, whatever the machine has: on one, those of 16 are others than those of 8."""
    layers = [*LAYERS, "classifier.1"]
    found = []
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    for size in (4, 8, 16, 5):
        store = extract(large, stimuli, layers, batch_size=size)
        found.append({layer: store.array(layer)[:] for layer in layers})
        store.delete()
    torch.set_num_threads(before)
    for other in found[1:]:
        for layer in layers:
            np.testing.assert_array_equal(other[layer], found[0][layer])


def test_several_devices_share_the_work(
    network: Network, stimuli: StimulusSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = extract(network, stimuli, LAYERS, batch_size=4)
    expected = {layer: one.array(layer)[:] for layer in LAYERS}
    one.delete()
    monkeypatch.setattr(shards, "LEAST_ROWS", 2)  # six blocks
    seen = spied(monkeypatch)
    here, met = threading.local(), threading.Barrier(2, timeout=60)
    inner = engine._Shards.put

    def put(*of: object) -> None:
        if not hasattr(here, "met"):  # nobody does all the work before the other has begun
            here.met = met.wait()
        inner(*of)  # type: ignore[arg-type]

    monkeypatch.setattr(engine._Shards, "put", put)
    two = extract(network, stimuli, LAYERS, batch_size=2, device="cpu,cpu")
    assert sum(n for _, n in seen) == 12
    for layer in LAYERS:
        np.testing.assert_array_equal(two.array(layer)[:], expected[layer])


def test_devices_of_two_kinds_are_refused(network: Network, stimuli: StimulusSet) -> None:
    if not torch.backends.mps.is_available() and not torch.cuda.is_available():
        with pytest.raises(ProbeError, match="not on this machine"):
            extract(network, stimuli, LAYERS, device="cpu,cuda")
    else:
        other = "cuda" if torch.cuda.is_available() else "mps"
        with pytest.raises(ProbeError, match="different kinds"):
            extract(network, stimuli, LAYERS, device=f"cpu,{other}")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_fewer_bytes(large: Network, stimuli: StimulusSet, dtype: str) -> None:
    stimuli = stimuli.subset(range(4))
    whole = extract(large, stimuli, LAYERS, batch_size=4)
    half = extract(large, stimuli, LAYERS, batch_size=4, dtype=dtype)
    assert half.n_bytes() < 0.6 * whole.n_bytes()
    for layer in LAYERS:
        expected = whole.array(layer)[:]
        rounded = torch.from_numpy(expected).to(shards.DTYPES[dtype]).float().numpy()
        np.testing.assert_array_equal(half.array(layer)[:], rounded)
        assert half[layer].dtype == np.float32


def test_what_float16_cannot_hold_is_an_error(stimuli: StimulusSet) -> None:
    class Large(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Flatten()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(x.mean((2, 3)) * 1e6)

    with pytest.raises(ProbeError, match=r"'last' has an activation of .*bfloat16"):
        extract(Network.from_module(Large()), stimuli, ["last"], dtype="float16")


def test_what_is_infinite_hides_nothing_from_float16(stimuli: StimulusSet) -> None:
    class Large(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Flatten()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.mean((2, 3)) * self.factor
            return self.last(torch.cat([x, torch.full_like(x, torch.inf)], 1))

    module = Large()
    module.factor = 1e6
    with pytest.raises(ProbeError, match=r"'last' has an activation of .*bfloat16"):
        extract(Network.from_module(module), stimuli, ["last"], dtype="float16")
    module.factor = 1.0
    store = extract(Network.from_module(module), stimuli, ["last"], dtype="float16")
    assert np.isinf(store.array("last")[:]).mean() == 0.5


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_a_network_on_several_devices_is_not_moved(stimuli: StimulusSet, device: str) -> None:
    network = Network.from_module(nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)))
    network.module[1].to("meta")  # type: ignore[index]
    with pytest.raises(ProbeError, match=r"several devices \(cpu, meta\)"):
        Extraction(network, stimuli, device=device).devices  # noqa: B018


def test_another_precision_is_another_request(network: Network, stimuli: StimulusSet) -> None:
    whole = extract(network, stimuli, LAYERS, batch_size=4)
    fewer = extract(network, stimuli, LAYERS, batch_size=4, precision="bfloat16")
    with pytest.warns(DeprecationWarning, match="called precision"):
        again = extract(network, stimuli, LAYERS, batch_size=4, autocast="bfloat16")
    assert again.path == fewer.path
    assert fewer.path != whole.path
    for layer in LAYERS:
        expected, found = whole.array(layer)[:], fewer.array(layer)[:]
        assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_a_network_that_reshapes_with_view(stimuli: StimulusSet) -> None:
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 9, 9)
            self.last = nn.Linear(4 * 24 * 24, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            return self.last(x.view(x.shape[0], -1))

    network = Network.from_module(Views())
    store = extract(network, stimuli, ["conv", "last"])
    assert not store.about["channels_last"]
    for name, value in capture(network.module, inputs(network, stimuli), ["conv", "last"]).items():
        np.testing.assert_allclose(
            store.array(name)[:], value.detach().flatten(1).numpy(), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("reduce", ["mean", "max", "srp:50", "units:30", "pca:4@9"])
def test_reduced_is_what_the_reducer_makes_of_it(
    network: Network, stimuli: StimulusSet, reduce: str
) -> None:
    reducer = parse(reduce, n_stimuli=len(stimuli))
    store = extract(network, stimuli, LAYERS, reduce=reduce, batch_size=4)
    captured = capture(network.module, inputs(network, stimuli), LAYERS)
    if isinstance(reducer, PCA):
        rows = reducer.positions(len(stimuli))
        reducer = reducer.with_components(
            {n: reducer.fit(n, v.flatten(1).numpy()[rows]) for n, v in captured.items()}
        )
    for layer, value in captured.items():
        expected = reducer.reduce(layer, value).numpy()
        scale = np.abs(expected).max()
        np.testing.assert_allclose(store.array(layer)[:], expected, atol=2e-4 * scale)
        coords = set(store[layer].coords) - {"stimulus_id"}
        assert coords == set(reducer.coords(layer, tuple(value.shape[1:])))
    assert store.about["reduced"] == reducer.describe()


def test_components_are_fitted_once(
    network: Network, stimuli: StimulusSet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = extract(network, stimuli, LAYERS[:2], reduce="pca:4@9", batch_size=4)
    assert [p.name for p in store.path.parent.iterdir()] == [store.key], "what it was fitted on"
    expected = store.array(LAYERS[0])[:]
    store.array(LAYERS[0]).shard(0).unlink()
    monkeypatch.setattr(PCA, "fit", lambda *_: pytest.fail("fitted anew"))
    again = extract(network, stimuli, LAYERS[:2], reduce="pca:4@9", batch_size=4)
    np.testing.assert_array_equal(again.array(LAYERS[0])[:], expected)


def test_a_folder_of_ones_own(network: Network, stimuli: StimulusSet, tmp_path: Path) -> None:
    store = extract(network, stimuli, LAYERS[:1], folder=tmp_path / "mine")
    assert store.path.parent == tmp_path / "mine"
    assert not (tmp_path / "cache" / "activations").exists()
    assert ActivationStore(store.path).layers == LAYERS[:1]


class TestWhatDecidesTheValues:
    def test_a_picture_that_changed_since_it_was_listed(
        self, network: Network, stimuli: StimulusSet, tmp_path: Path
    ) -> None:
        for k in range(4):
            stimuli.image(k).save(tmp_path / f"{k}.png")
        listed = image_set(tmp_path)
        stimuli.image(5).save(tmp_path / "2.png")
        with pytest.raises(ProbeError, match=r"2\.png' has changed since it was listed"):
            extract(network, listed, LAYERS[:1])
        extract(network, image_set(tmp_path), LAYERS[:1])

    def test_hooks_and_settings(self, stimuli: StimulusSet) -> None:
        network = models.load("googlenet", "random")
        keys = {Extraction(network, stimuli).path}
        network.module.transform_input = not network.module.transform_input  # type: ignore[assignment]
        keys.add(Extraction(network, stimuli).path)
        handle = network.module.conv1.register_forward_hook(lambda *_: None)  # type: ignore[union-attr]
        keys |= {Extraction(network, stimuli).path for _ in range(2)}  # what it does, none can tell
        handle.remove()
        assert len(keys) == 4
        assert Extraction(network, stimuli).path in keys


def test_metadata_and_what_was_left_out_are_those_of_the_last_call(
    network: Network, stimuli: StimulusSet, tmp_path: Path
) -> None:
    for k in range(3):
        stimuli.image(k).save(tmp_path / f"{k}.png")
    table = tmp_path / "set.csv"
    table.write_text("path,stimulus_x,x\n0.png,a,1\n1.png,b,2\n2.png,c,3\n")
    both = extract(network, image_set(table), LAYERS[:1], reduce="mean")["features.0"]
    assert both["stimulus_x"].values.tolist() == ["a", "b", "c"]
    assert both["stimulus_stimulus_x"].values.tolist() == [1, 2, 3]
    table.write_text("path,kind,x\n0.png,a,1\n1.png,b,\n2.png,c,3\n")
    first = extract(network, image_set(table), LAYERS[:1])
    assert first["features.0"]["kind"].values.tolist() == ["a", "b", "c"]
    (tmp_path / "bad.png").write_bytes(b"no picture")
    table.write_text("path,kind,x\n0.png,a,1\nbad.png,b,2\n1.png,d,2\n2.png,c,3\n")
    second = extract(network, image_set(table, skip_bad=True), LAYERS[:1])
    assert second.path == first.path
    assert second["features.0"]["kind"].values.tolist() == ["a", "d", "c"]
    np.testing.assert_array_equal(second["features.0"]["stimulus_x"].values, [1, 2, 3])
    assert [name for name, _ in second.about["skipped"]] == ["bad.png"]
    assert ActivationStore(first.path).about == second.about


@pytest.mark.parametrize(
    "what",
    ["zarr.json", pytest.param("features.0/zarr.json", marks=pytest.mark.slow), "features.0/c.0.0"],
)
def test_damage_elsewhere_is_no_concern_of_ours(
    network: Network, stimuli: StimulusSet, what: str
) -> None:
    other = extract(network, stimuli.subset(range(5)), LAYERS[:1])
    content = (other.path / what).read_bytes()
    (other.path / what).write_bytes(content[:50] + b"\xff" + content[51:])
    store = extract(network, stimuli, LAYERS[:1])
    images = inputs(network, stimuli)
    expected = capture(network.module, images, LAYERS[:1])[LAYERS[0]].flatten(1).numpy()
    np.testing.assert_allclose(store.array(LAYERS[0])[:], expected, rtol=1e-4, atol=1e-5)


def test_a_layer_whose_first_axis_is_not_the_images(stimuli: StimulusSet) -> None:
    class Mixes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Flatten(0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(x)

    with pytest.raises(ProbeError, match=r"'last' returns .* no axis runs over the pictures"):
        extract(Network.from_module(Mixes()), stimuli, ["last"])


def test_a_size_of_ones_own_is_not_remembered(
    network: Network, stimuli: StimulusSet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    inner = engine.forward_until

    def limited(net: nn.Module, images: torch.Tensor, layers: list[str], receive: object) -> None:
        if len(images) > 8:
            raise MemoryError
        inner(net, images, layers, receive)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "forward_until", limited)
    store = extract(network, stimuli, LAYERS[:1], batch_size=11)
    assert store.about["batch_size"] == 6
    assert not (tmp_path / "cache" / "batch-sizes").exists()


@pytest.mark.parametrize("fails", [False, True])
def test_weights_lie_as_they_did_when_work_is_done(fails: bool) -> None:
    network = models.load("googlenet", "random")
    module = network.module
    tensors = [*module.parameters(), *module.buffers()]
    before = [(t.data_ptr(), t.stride(), t.detach().numpy().tobytes()) for t in tensors]
    with contextlib.suppress(ValueError), on_device(network, "cpu", channels_last=True):
        kernels = [p for p in module.parameters() if p.ndim == 4]
        assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
        assert not all(p.is_contiguous() for p in kernels)
        if fails:
            raise ValueError
    after = [*module.parameters(), *module.buffers()]
    assert all(one is other for one, other in zip(tensors, after, strict=True))
    assert [(t.data_ptr(), t.stride(), t.detach().numpy().tobytes()) for t in after] == before


def test_kernels_of_three_dimensions_stay_as_they_lie() -> None:
    film = nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv3d(1, 2, 3, padding=1), nn.Flatten())
    images = torch.rand(1, 3, 8, 8)
    expected = film(images)
    with on_device(models.Network.from_module(film), "cpu", channels_last=True):
        torch.testing.assert_close(film(images), expected)
