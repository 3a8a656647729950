from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from probe import models
from probe.activations import PIXELS, capture, extract
from probe.activations import extract as extract_function
from probe.errors import ProbeError
from probe.models import Network
from probe.recordings import simulate_v1
from probe.stimuli import StimulusSet

LAYERS = ["features.0", "features.1", "features.3.squeeze"]


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def stimuli() -> StimulusSet:
    return simulate_v1().stimuli.subset(range(11))


@pytest.fixture(scope="module")
def network() -> Network:
    return models.load("squeezenet1_1", "random", seed=3)


def inputs(network: Network, stimuli: StimulusSet) -> torch.Tensor:
    return torch.stack([network.preprocessing(stimuli.image(k)) for k in range(len(stimuli))])


def digest(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


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
    data = store.open("features.1")
    assert data.dims == ("stimulus", "neuroid")
    assert not data.variable._in_memory, "nothing is read before it is asked for"
    assert list(data["stimulus_id"].values) == list(stimuli.ids)
    images = inputs(network, stimuli)
    maps = capture(network.module, images, ["features.1"])["features.1"].numpy()
    one = data.sel(stimulus=5).where((data.channel == 7) & (data.y == 3) & (data.x == 9), drop=True)
    assert one.item() == pytest.approx(maps[5, 7, 3, 9], rel=1e-4)


def test_memory_holds_one_batch_and_files_hold_the_rest(
    network: Network, stimuli: StimulusSet
) -> None:
    store = extract(network, stimuli, ["features.0"], batch_size=4)
    rows = sorted(p.name for p in (store.path / "features.0" / "c").iterdir())
    assert rows == ["0", "1", "2"]


def test_nothing_is_computed_twice(
    network: Network, stimuli: StimulusSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(network, stimuli, LAYERS[:2], batch_size=4)
    seen: list[list[str]] = []
    inner = extract_function.__globals__["forward_until"]

    def spy(module: nn.Module, images: torch.Tensor, layers: list[str], receive: object) -> None:
        seen.append([*layers, str(len(images))])
        inner(module, images, layers, receive)

    monkeypatch.setitem(extract_function.__globals__, "forward_until", spy)
    extract(network, stimuli, LAYERS[:2], batch_size=4)
    assert seen == []
    extract(network, stimuli, LAYERS, batch_size=4)  # one layer more: only that is computed
    assert {tuple(call[:-1]) for call in seen} == {("features.3.squeeze",)}


@pytest.mark.parametrize("change", ["weights", "preprocessing", "stimuli", "order"])
def test_another_request_has_another_store(
    network: Network, stimuli: StimulusSet, change: str
) -> None:
    first = extract(network, stimuli, LAYERS[:1], batch_size=4)
    other, shown = network, stimuli
    if change == "weights":
        other = models.load("squeezenet1_1", "random", seed=4)
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
    assert not store.missing(["relu"])
    np.testing.assert_array_equal(store.array("relu")[:], 0.0)


KILLED = """
    import sys
    from probe import models
    from probe.activations import extract
    from probe.recordings import simulate_v1
    import torch
    torch.set_num_threads(1)
    network = models.load("squeezenet1_1", "random", seed=3)
    extract(network, simulate_v1().stimuli.subset(range(30)), %r, batch_size=2)
    print("finished")
"""


def test_killed_extraction_resumes_to_identical_bytes(tmp_path: Path) -> None:
    script = textwrap.dedent(KILLED % LAYERS)

    def start(cache: Path) -> subprocess.Popen[str]:
        environment = {**os.environ, "PROBE_CACHE": str(cache)}
        return subprocess.Popen(
            [sys.executable, "-c", script], env=environment, text=True, stdout=subprocess.PIPE
        )

    assert "finished" in start(tmp_path / "whole").communicate()[0]

    killed = tmp_path / "killed"
    process = start(killed)
    while process.poll() is None and len(list(killed.glob("activations/*/features.0/c/*"))) < 4:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (folder,) = (p for p in (killed / "activations").iterdir() if p.is_dir())
    rows = list((folder / LAYERS[-1] / "c").iterdir())
    assert 0 < len(rows) < 15, "killed too late, or too early, to tell anything"
    # as if it had been killed within a write, too
    (folder / "features.0" / "c" / "1" / "0.0123abcd.partial").write_bytes(b"torn")
    shutil.rmtree(folder / "features.1" / "c" / "0")
    done = {p: p.stat().st_mtime_ns for p in (folder / "features.0" / "c" / "2").iterdir()}

    assert "finished" in start(killed).communicate()[0]
    assert digest(folder) == digest(tmp_path / "whole" / "activations" / folder.name)
    assert {p: p.stat().st_mtime_ns for p in done} == done, "a complete batch was computed again"


def test_an_incomplete_layer_is_not_read(network: Network, stimuli: StimulusSet) -> None:
    store = extract(network, stimuli, LAYERS[:1], batch_size=4)
    shutil.rmtree(store.path / "features.0" / "c" / "1")
    with pytest.raises(ProbeError, match="incomplete"):
        store.array("features.0")
    with pytest.raises(ProbeError, match=r"did you mean 'features\.0'"):
        store.array("features.00")


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
        ({"device": "meta"}, "there is cpu"),
        ({"device": "cuda:99"}, "there is cpu"),
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


def test_too_large_a_batch_can_be_made_smaller(
    network: Network, stimuli: StimulusSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["probe.activations.extract"]
    inner, sizes = module.forward_until, []  # type: ignore[attr-defined]

    def limited(net: nn.Module, images: torch.Tensor, layers: list[str], receive: object) -> None:
        sizes.append(len(images))
        if len(images) > 4:  # in the middle of the forward pass
            inner(net, images, layers[:1], receive)
            raise torch.OutOfMemoryError("CUDA out of memory")
        inner(net, images, layers, receive)

    monkeypatch.setattr(module, "forward_until", limited)
    with pytest.raises(ProbeError, match=r"batches of 8 images.*--batch-size"):
        extract(network, stimuli, LAYERS, batch_size=8)
    store = extract(network, stimuli, LAYERS, batch_size=4)
    assert sizes == [1, 8, 1, 4, 4, 3]
    for name, value in capture(network.module, inputs(network, stimuli), LAYERS).items():
        np.testing.assert_allclose(
            store.array(name)[:], value.flatten(1).numpy(), rtol=1e-4, atol=1e-5
        )
