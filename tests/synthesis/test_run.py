"""What every run has: threads, device, previews, an orderly end, and what may be resumed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from probe.models import Network, Preprocessing
from probe.synthesis.run import ABANDONED_AFTER_DAYS, Run, Stopped, Unfinished, code_sha256, running
from probe.targets import Channel

ABOUT = {"made": "dream", "weights_sha256": "0"}


@pytest.fixture(autouse=True)
def _cache_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path))


class Scaled(nn.Module):
    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        nn.init.ones_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * torch.relu(self.conv(x))


class Other(Scaled):
    def forward(self, x: Tensor) -> Tensor:
        return self.factor * torch.tanh(self.conv(x))


def wrapped(module: nn.Module) -> Network:
    return Network.from_module(
        module, name="net", preprocessing=Preprocessing("resize", (8, 8))
    )  # fmt: skip


def stored(network: Network, *targets: object, **about: Any) -> Unfinished:
    store = Unfinished.of(ABOUT | about, network, *targets)
    assert store is not None
    return store


class TestWhatMayBeResumed:
    def test_a_target_object_has_but_a_name(self) -> None:
        network = wrapped(Scaled())
        assert Unfinished.of(ABOUT, network, "conv:1", Channel("conv", 1)) is None
        assert Unfinished.of(ABOUT, network, "conv:1", None, 3) is not None

    def test_own_modules_are_told_apart_by_structure_and_code(self) -> None:
        """Weights, names and records are the same."""
        paths = {
            stored(wrapped(module)).path
            for module in (Scaled(), Scaled(2.0), Other(), nn.Sequential(Scaled()))
        }
        assert len(paths) == 4
        assert stored(wrapped(Scaled())).path in paths

    def test_a_forward_that_was_edited_is_another(self) -> None:
        """In a notebook, a cell is run again: a class of the same name and attributes."""
        hashes = set()
        for body in ("x.relu()", "x.tanh()", "x * 2", "x * 3", "(lambda y: y * 3)(x)"):
            space: dict[str, Any] = {"nn": nn}
            exec(f"class Net(nn.Module):\n    def forward(self, x):\n        return {body}", space)
            hashes.add(code_sha256(space["Net"]()))
        assert len(hashes) == 5

    def test_a_place_in_a_file_is_no_part_of_the_code(self) -> None:
        source = "class Net(nn.Module):\n    def forward(self, x):\n        return [v for v in x]"
        one: dict[str, Any] = {"nn": nn}
        other: dict[str, Any] = {"nn": nn}
        exec(compile(source, "one.py", "exec"), one)
        exec(compile("\n\n" + source, "other.py", "exec"), other)
        assert code_sha256(one["Net"]()) == code_sha256(other["Net"]())

    def test_the_mode_of_a_module_is_no_part_of_it(self) -> None:
        module = Scaled()
        assert code_sha256(module.train()) == code_sha256(module.eval())

    def test_networks_by_name_go_by_their_record(self) -> None:
        """So states that earlier versions kept are found."""
        from probe import models

        network = models.load("squeezenet1_1", "random")
        assert stored(network).path == Unfinished(ABOUT).path


def test_what_was_kept_is_there_and_forgotten_when_all_is_made() -> None:
    network = wrapped(Scaled())
    store = stored(network)
    with running(store, network) as run:
        assert run.state == {}
        run.keep(stage=1, loop={"history": torch.arange(2.0)})
    assert store.load() is None
    store.keep({"stage": 1, "loop": {"history": torch.arange(2.0)}})
    with running(store, network, forget=False) as run:
        assert run.state["stage"] == 1
        assert torch.equal(run.loop().state["history"], torch.arange(2.0))
        assert run.loop(stage=2).state is None  # the next stage begins
        run.loop(stage=2).keep({"history": 3})
    assert store.load() == {"stage": 2, "loop": {"history": 3}}


def test_it_is_said_that_a_run_resumes(capfd: pytest.CaptureFixture[str]) -> None:
    network = wrapped(Scaled())
    store = stored(network)
    with running(store, network, progress=True):
        assert capfd.readouterr().err == ""
    store.keep({"step": 3})
    with running(store, network, progress=True) as run:
        assert run.state == {"step": 3}
        assert "Resuming where the same run was interrupted." in capfd.readouterr().err


def test_what_fails_is_not_forgotten() -> None:
    network = wrapped(Scaled())
    store = stored(network)

    def fail() -> None:
        with running(store, network) as run:
            run.keep(stage=1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.load() == {"stage": 1}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_between_parts_and_all_is_put_back(number: int) -> None:
    module = Scaled()
    network = wrapped(module)
    strides, threads = module.conv.weight.stride(), torch.get_num_threads()
    store = stored(network)
    done = []

    def work() -> None:
        with running(store, network, threads=2) as run:
            assert torch.get_num_threads() == 2
            for k in range(9):
                run.check()
                done.append(k)
                run.keep(part=k)
                if k == 3:
                    signal.raise_signal(number)

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        work()
    assert done == [0, 1, 2, 3]
    assert store.load() == {"part": 3}
    assert torch.get_num_threads() == threads
    assert module.conv.weight.stride() == strides


def test_stopped_without_a_signal_is_told() -> None:
    network = wrapped(Scaled())

    def work() -> None:
        with running(None, network) as run:
            run.stop.set()
            run.check()

    with pytest.raises(Stopped):
        work()


def test_a_part_has_a_state_of_its_own_and_stops_with_the_run() -> None:
    network = wrapped(Scaled())
    store, inner = stored(network), stored(network, frame=0)
    inner.keep({"stage": 4})
    with running(store, network, preview=lambda _: None, preview_every=3) as run:
        run.keep(number=7)
        part = run.part(inner)
        assert part.state == {"stage": 4}
        part.keep(stage=5)
        run.part().keep(stage=6)  # nowhere
        assert (part.stop, part.preview_every) == (run.stop, 3)
        assert store.load() == {"number": 7}
        assert inner.load() == {"stage": 5}


def test_previews_are_rendered_by_the_maker() -> None:
    shown: list[Any] = []
    run = Run(torch.device("cpu"), preview=shown.append, preview_every=2)
    loop = run.loop(lambda pictures: pictures.numpy() * 2)
    loop.preview(torch.ones(2))
    assert np.array_equal(shown[0], [2, 2])
    assert run.loop().preview is None
    assert Run(torch.device("cpu")).loop(np.asarray).preview is None


def test_abandoned_states_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "unfinished"
    old = time.time() - (ABANDONED_AFTER_DAYS + 1) * 86_400
    for name in ("old", "new"):
        (folder / name).mkdir(parents=True)
        (folder / name / "000000.png").write_bytes(b"a frame")
        (folder / f"{name}.pt").write_bytes(b"a state")
        if name == "old":
            for path in (folder / name, folder / f"{name}.pt"):
                os.utime(path, (old, old))
    network = wrapped(Scaled())
    with running(None, network):
        pass
    assert sorted(path.name for path in folder.iterdir()) == ["new", "new.pt"]
