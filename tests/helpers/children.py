"""Processes that fail where they are told to, forked from one that has imported everything.

As a script, it takes orders from standard input, one JSON object a line, and answers each with
one: ``{"action": …}`` begins a child, ``{"wait": PID}`` waits until it has ended or stopped.

A child notes events in a log: it opens a file of the store, renames one, writes to one, sends a
batch through the network, … . At the n-th event of a kind it can stop itself (SIGSTOP), all
threads at once; whoever ordered it then kills it, sends it a signal, moves its folder away, and
lets it go on if it lives.
"""

from __future__ import annotations

import ctypes
import errno
import faulthandler
import gc
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import PIL.Image
import torch
from distributed import WorkerPlugin
from torch import Tensor, nn

import probe.cli
import probe.extraction
import probe.recordings.catalogue  # as the command does
from probe import models
from probe.activations import ActivationStore, engine, extract
from probe.cluster import connect
from probe.errors import ProbeError
from probe.models.preprocessing import Preprocessing
from probe.stimuli import image_set

HUNG = 100.0
"""Seconds after which a child says where it hangs, and ends."""

SMALL = Preprocessing("resize", (80, 80))
"""Pictures that a network has done with in a millisecond."""

AUDITED = {"open", "os.mkdir", "os.rename", "os.remove", "os.truncate", "os.scandir"}

MEMORY = {
    "torch": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "python": MemoryError(),
    "cpu": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 123456 bytes. Error code 12 (Cannot allocate memory)"
    ),
}
"""What is raised where memory is short."""


class Faults:
    """What happens to a child, and a log of what it does.

    Parameters
    ----------
    log : path
        A line of JSON for every event: its kind, and for a batch checksums of its pictures.
    root : path
        Only what happens to files below it is an event.
    stops : sequence of (kind, n)
        At the n-th event of a kind, from 1 on, the process stops itself.
    once : path, optional
        Of several processes, only the first that makes this file stops.
    quota : int
        After so many bytes of shards, the disk is full.
    memory : (kind, most), optional
        A key of `MEMORY`, raised in the middle of a forward pass of more images than ``most``; in
        the first, which is a trial, only if that is negative.
    """

    def __init__(
        self,
        log: str,
        root: str,
        stops: Sequence[tuple[str, int]] = (),
        once: str | None = None,
        quota: int | None = None,
        memory: tuple[str, int] | None = None,
    ) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._root, self._once = os.path.join(root, ""), once
        self._quota, self._memory = quota, memory
        self._stops = {(kind, n) for kind, n in stops}
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._write, self._fsync = os.write, os.fsync
        self._forward = engine.forward_until

    def install(self) -> None:
        """From now on, note and fail."""
        sys.addaudithook(self._audit)
        os.write, os.fsync = self.write, self.fsync  # type: ignore[assignment]
        engine.forward_until = self.forward_until

    def event(self, kind: str, **more: object) -> bool:
        """Note an event, and tell whether to stop here."""
        with self._lock:
            self._counts[kind] += 1
            line = json.dumps({"kind": kind, "pid": os.getpid(), **more}) + "\n"
            self._write(self._log, line.encode())
            if (kind, self._counts[kind]) not in self._stops:
                return False
        if self._once is not None:
            try:
                Path(self._once).touch(exist_ok=False)
            except FileExistsError:
                return False
        with self._lock:
            self._write(
                self._log, json.dumps({"kind": "stop", "pid": os.getpid()}).encode() + b"\n"
            )
        return True

    def pass_by(self, kind: str, **more: object) -> None:
        """Note an event, and stop if told to."""
        if self.event(kind, **more):
            _stop()

    def _audit(self, name: str, args: tuple[Any, ...]) -> None:
        if name in AUDITED and (
            name == "os.truncate"
            or (isinstance(args[0], (str, Path)) and str(args[0]).startswith(self._root))
        ):
            self.pass_by(name)

    def write(self, descriptor: int, content: memoryview) -> int:
        """Write half of it, at least, before the process stops."""
        if not os.readlink(f"/proc/self/fd/{descriptor}").startswith(self._root):
            return self._write(descriptor, content)
        if self._quota is not None:
            with self._lock:
                room = min(len(content), self._quota) // 4096 * 4096
                self._quota -= room
            if not room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            content = content[:room]
        if not self.event("write"):
            return self._write(descriptor, content)
        written = self._write(descriptor, content[: len(content) // 8192 * 4096])
        _stop()
        return written

    def fsync(self, descriptor: int) -> None:
        self.pass_by("fsync")
        self._fsync(descriptor)

    def forward_until(
        self,
        module: nn.Module,
        images: Tensor,
        layers: Sequence[str],
        receive: Callable[[str, Tensor], None],
    ) -> None:
        """Note which pictures are computed, and between two layers, that they are."""
        self.pass_by("forward", pictures=[checksum(image) for image in images])
        most = None if self._memory is None else self._memory[1]
        trial = self._counts["forward"] == 1
        short = most is not None and len(images) > most and (most < 0 or not trial)
        hooks = 0

        def between(layer: str, output: Tensor) -> None:
            nonlocal hooks
            receive(layer, output)
            self.pass_by("layer")
            hooks += 1
            if short and hooks == 2:
                assert self._memory is not None
                raise MEMORY[self._memory[0]]

        self._forward(module, images, layers, between)
        self.pass_by("forwarded")


def checksum(image: Tensor) -> int:
    """Tell one preprocessed picture from another."""
    return zlib.crc32(image.contiguous().numpy().tobytes())


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def run(images: str, layers: Sequence[str], **how: Any) -> None:
    """Extract, from Python."""
    extract(network(), image_set(images), layers, **how)


def read(store: str, layer: str) -> None:
    """Read one layer."""
    ActivationStore(store).open_layer(layer).load()


def cli(arguments: Sequence[str]) -> None:
    """Be the command ``probe``."""
    sys.argv = ["probe", *arguments]
    probe.cli.main()


def short_of_space(images: str, layers: Sequence[str], room: int, **how: Any) -> None:
    """Extract with so many bytes of address space more than a small extraction took."""
    threading.stack_size(2**20)
    stimuli, loaded = image_set(images), network()
    with tempfile.TemporaryDirectory() as folder:
        extract(loaded, stimuli.subset([0, 1]), layers, batch_size=4, folder=folder)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + room
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    extract(loaded, stimuli, layers, **how)


class Watched(WorkerPlugin):
    """Makes the workers of Dask note and fail, too, also those that come in the place of others."""

    def __init__(self, faults: Mapping[str, Any]) -> None:
        self._faults = faults

    def setup(self, worker: object) -> None:
        Faults(**self._faults).install()


def on_a_cluster(
    images: str,
    layers: Sequence[str],
    folders: Sequence[str],
    of_workers: Mapping[str, Any],
    **how: Any,
) -> None:
    """Extract into one folder after the other, with the same two workers, which fail, too."""
    with connect("local:2") as workers:
        assert workers is not None
        workers.client.register_plugin(Watched({**_given, **of_workers}))
        for folder in folders:
            run(images, layers, cluster=workers, folder=folder, **how)


ACTIONS: dict[str, Callable[..., None]] = {
    f.__name__: f for f in (run, read, cli, short_of_space, on_a_cluster)
}


_given: dict[str, Any] = {}
"""The faults of this child."""

_network: models.Network | None = None


def network() -> models.Network:
    """The same in all children."""
    global _network
    if _network is None:
        _network = models.load("squeezenet1_1", "random", seed=3, preprocessing=SMALL)
    return _network


def serve() -> None:
    """Take orders, until standard input ends; then all children end, too."""
    torch.set_num_threads(1)  # threads do not survive a fork
    models.layers(network())  # torch imports seconds' worth when weights without memory are drawn
    PIL.Image.init()
    gc.freeze()  # what is there now is shared by all, and not looked at again
    alive: set[int] = set()
    for line in sys.stdin:
        order = json.loads(line)
        answer: dict[str, object]
        if "wait" in order:
            pid, status = os.waitpid(order["wait"], os.WUNTRACED)
            stopped = os.WIFSTOPPED(status)
            answer = {"stopped": stopped}
            if not stopped:
                alive.discard(pid)
                answer["code"] = os.waitstatus_to_exitcode(status)
        else:
            if not (pid := os.fork()):
                _be(order)
            alive.add(pid)
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)
    for pid in alive:
        os.kill(pid, signal.SIGKILL)


def _be(order: Mapping[str, Any]) -> None:
    """Be a child, and end."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # with the one that forked it
    for name, flags, descriptor in (
        (os.devnull, os.O_RDONLY, 0),
        (order["out"], os.O_WRONLY | os.O_CREAT, 1),
        (order["err"], os.O_WRONLY | os.O_CREAT, 2),
    ):
        os.dup2(os.open(name, flags, 0o644), descriptor)
    os.environ.update(order["environment"])
    faulthandler.dump_traceback_later(HUNG, exit=True)
    _given.update(order["faults"])
    Faults(**_given).install()
    code = _code(order)
    threading._shutdown()  # type: ignore[attr-defined]  # as at every end
    sys.stdout.flush()
    os._exit(code)  # taking apart what was imported before the fork takes seconds


def _code(order: Mapping[str, Any]) -> int:
    """Do what was ordered, and give the code with which to end."""
    try:
        ACTIONS[order["action"]](**order["arguments"])
    except ProbeError as error:
        print(f"ProbeError: {error}", file=sys.stderr)
        return 2
    except SystemExit as end:
        return int(end.code or 0)
    except KeyboardInterrupt:
        return 130
    except Exception:
        traceback.print_exc()
        return 1
    return 0
