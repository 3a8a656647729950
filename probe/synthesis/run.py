"""One run under everything that is made: dreams, styles, visualisations, atlases and films.

A maker hands its algorithm to a run, which owns all that is not the algorithm::

    store = Unfinished.of(about, network)
    with running(store, network, device="auto", preview=show, preview_every=10) as run:
        for stage in range(run.state.get("stage", 0), n_stages):
            optimise(pictures, objective, adam, steps, loop=run.loop(as_array, stage=stage))

Networks are on ``run.device`` within the block, torch computes on a given number of threads, and
Ctrl-C ends the run where it can go on later: when the same is asked for again, ``run.state`` is
what was kept.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from probe.assets import cache_dir
from probe.errors import ProbeError
from probe.models import Network
from probe.models.devices import on_device
from probe.output.replacing import replacing
from probe.progress import finishing, note
from probe.targets import Target

Preview = Callable[[np.ndarray], None]
"""Takes a picture that is being made, uint8, shape (height, width, 3)."""

ABANDONED_AFTER_DAYS = 30
"""A state that nobody has gone on with for so long is removed."""

PLAIN = (bool, int, float, str, bytes, tuple, type(None))
"""Types of a module's attributes that tell one from another."""


class Stopped(Exception):
    """The work was asked to stop, and its state is kept."""


@dataclass(frozen=True)
class Loop:
    """Where a loop of optimisation goes on, what is kept and shown of it, and what stops it.

    Attributes
    ----------
    state : mapping or None
        As ``keep`` was given it: the loop goes on from there.
    keep : callable or None
        Is given a state, to be kept: tensors, numbers, lists and dictionaries.
    stop : threading.Event or None
        When set, the state is kept and `Stopped` is raised.
    preview : callable or None
        Is given the pictures, (n, 3, height, width), on every ``preview_every``-th step.
    preview_every : int
        0 shows none.
    progress : bool or None
        Whether a progress bar is shown; by default when a person is watching.
    """

    state: Mapping[str, Any] | None = None
    keep: Callable[[dict[str, Any]], None] | None = None
    stop: threading.Event | None = None
    preview: Callable[[Tensor], None] | None = None
    preview_every: int = 0
    progress: bool | None = None


class Unfinished:
    """The state of a run that may be stopped, and goes on when the same is asked for again.

    Parameters
    ----------
    about : mapping
        Everything that decides the result, as plain values: it names the file in the cache.
    """

    def __init__(self, about: Mapping[str, Any]) -> None:
        text = json.dumps(about, sort_keys=True, default=str)
        key = hashlib.sha256(text.encode()).hexdigest()[:32]
        self.path: Path = cache_dir() / "unfinished" / f"{key}.pt"

    @classmethod
    def of(cls, about: Mapping[str, Any], network: Network, *targets: object) -> Self | None:
        """Return where the state of a run is kept: the one rule for what may be resumed.

        A run may be resumed where network and target are identified. A network is, by the hash of
        its weights in the record; of a module of the user's own, its structure and code count, too.
        A target is identified by what was written for it; a `Target` object has but a name, which
        another may have as well.

        Parameters
        ----------
        about : mapping
            As for the class.
        network : Network
        *targets : object
            As the user gave them.

        Returns
        -------
        Unfinished or None
            None where it must not be resumed.
        """
        if any(isinstance(target, Target) for target in targets):
            return None
        if network.weights.kind == "user":
            about = {**about, "module": code_sha256(network.module)}
        return cls(about)

    def load(self) -> dict[str, Any] | None:
        """Return the state that was kept last; None if there is none, or none that can be read."""
        try:
            return dict(torch.load(self.path, weights_only=True, map_location="cpu"))
        except FileNotFoundError:
            return None
        except Exception:  # damaged: torch raises many kinds
            self.forget()
            return None

    def keep(self, state: Mapping[str, Any]) -> None:
        """Write a state, whole or not at all.

        Parameters
        ----------
        state : mapping
            Tensors, numbers, strings, lists and dictionaries.

        Raises
        ------
        ProbeError
            If it cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.path) as partial, partial.open("wb") as file:
                torch.save(dict(state), file)
        except (OSError, RuntimeError) as error:  # torch's own, when a disk is full
            why = getattr(error, "strerror", None) or "is the disk full?"
            raise ProbeError(f"{str(self.path)!r} cannot be written ({why})") from None

    def forget(self) -> None:
        """Remove the state."""
        self.path.unlink(missing_ok=True)


@dataclass
class Run:
    """What an algorithm works with; see `running`.

    Attributes
    ----------
    device : torch.device
        Where the networks are.
    stop : threading.Event
        Set when the work shall end; see also `check`.
    store : Unfinished or None
        Where the state is kept, if it is.
    state : dict
        What was kept when the same was interrupted; empty where the work begins.
    preview : callable or None
        See `Preview`.
    preview_every : int
        Steps from one preview to the next.
    progress : bool or None
        Show progress bars; None: when a person is watching.
    """

    device: torch.device
    stop: threading.Event = field(default_factory=threading.Event)
    store: Unfinished | None = None
    state: dict[str, Any] = field(default_factory=dict)
    preview: Preview | None = None
    preview_every: int = 0
    progress: bool | None = None

    def check(self) -> None:
        """Raise `Stopped` if the work shall end, between two parts of it that are kept."""
        if self.stop.is_set():
            raise Stopped

    def keep(self, **state: Any) -> None:
        """Keep a state, if this run may be resumed; see `Unfinished.keep`."""
        if self.store is not None:
            self.store.keep(state)

    def loop(self, render: Callable[[Tensor], np.ndarray] | None = None, **state: Any) -> Loop:
        """Return what a run decides of a loop.

        Parameters
        ----------
        render : callable, optional
            Takes the pictures of the loop, (n, channels, height, width) in 0–1, and returns the
            preview; without, there is none.
        **state
            What is kept together with the state of the loop, which is called ``loop``. The first
            loop of a resumed run goes on from there.
        """
        preview = self.preview

        def keep(loop: dict[str, Any]) -> None:
            self.keep(**state, loop=loop)

        def show(pictures: Tensor) -> None:
            assert preview is not None
            assert render is not None
            preview(render(pictures))

        return Loop(
            state=self.state.pop("loop", None),
            keep=keep if self.store is not None else None,
            stop=self.stop,
            preview=None if preview is None or render is None else show,
            preview_every=self.preview_every,
            progress=self.progress,
        )

    def part(self, store: Unfinished | None = None, *, progress: bool | None = None) -> Run:
        """Return a run within this one, such as that of a frame, with a state of its own or none.

        It has this one's device and previews, and stops with it.
        """
        return Run(
            self.device, self.stop, store, (store and store.load()) or {}, self.preview,
            self.preview_every, progress,
        )  # fmt: skip


@contextmanager
def running(
    store: Unfinished | None,
    networks: Network | Sequence[Network],
    *,
    device: str = "auto",
    threads: int | None = None,
    forget: bool = True,
    preview: Preview | None = None,
    preview_every: int = 0,
    progress: bool | None = None,
) -> Iterator[Run]:
    """Run an algorithm, from where it was interrupted, if it was.

    Parameters
    ----------
    store : Unfinished or None
        From `Unfinished.of`.
    networks : Network or sequence of Network
        They are moved to the device, and put back at the end.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    threads : int, optional
        On how many to compute, which decides the last digits; by default as many as torch has.
    forget : bool
        Forget the state when all is made; otherwise the caller does, with `Unfinished.forget`.
    preview, preview_every, progress
        See `Run`.

    Yields
    ------
    Run

    Raises
    ------
    KeyboardInterrupt, SystemExit
        When it was stopped by a signal, after networks and threads were put back; see
        `probe.progress.finishing`.
    """
    networks = [networks] if isinstance(networks, Network) else networks
    stopped = False
    discard_abandoned()
    with finishing() as stop, on_threads(threads), ExitStack() as stack:
        devices = [
            stack.enter_context(on_device(network, device, channels_last=True))[0]
            for network in networks
        ]
        state = (store and store.load()) or {}
        if state:
            note("Resuming where the same run was interrupted.", progress)
        try:
            yield Run(devices[0], stop, store, state, preview, preview_every, progress)
        except Stopped:
            stopped = True  # the signal has its effect when all of these are left
    if stopped:
        raise Stopped
    if forget and store is not None:
        store.forget()


@contextmanager
def on_threads(n: int | None) -> Iterator[None]:
    """Compute with torch on this many threads, which decide the last digits, and so a picture."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(n or before)
        yield
    finally:
        torch.set_num_threads(before)


def discard_abandoned() -> None:
    """Remove states that nobody has gone on with for `ABANDONED_AFTER_DAYS`."""
    folder = cache_dir() / "unfinished"
    oldest = time.time() - ABANDONED_AFTER_DAYS * 86_400
    for path in folder.iterdir() if folder.is_dir() else ():
        try:
            if path.stat().st_mtime >= oldest:
                continue
            if path.is_dir():  # frames of a film
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        except OSError:  # another process was faster, or it is not ours to remove
            continue


def code_sha256(module: nn.Module) -> str:
    """Compute a hash of what a module computes, besides its weights.

    Of each part: its type, its plain attributes, and the bytecode of its ``forward``. Functions
    that ``forward`` calls elsewhere are not looked into.
    """
    parts = []
    for name, part in module.named_modules():
        forward = getattr(part.forward, "__func__", part.forward)
        code = getattr(forward, "__code__", None)
        attributes = {
            key: value
            for key, value in vars(part).items()
            if isinstance(value, PLAIN) and not key.startswith("_") and key != "training"
        }
        kind = type(part)
        parts.append(
            (name, kind.__module__, kind.__qualname__, part.extra_repr(), attributes, _plain(code))
        )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _plain(code: object) -> object:
    """Return what decides the work of a code object, without its place in a file."""
    if not isinstance(code, CodeType):
        return repr(code) if isinstance(code, PLAIN) else type(code).__qualname__
    return code.co_code, code.co_names, code.co_varnames, [_plain(c) for c in code.co_consts]
