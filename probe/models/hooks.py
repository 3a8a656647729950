"""Forward hooks that leave no trace: the one place where a network is watched while it works."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Saw = Callable[[str, int, str, Tensor], None]
"""Takes a module's path, the number of its call, the place in its output, and a tensor."""


@contextmanager
def watched(module: nn.Module, paths: Iterable[str], saw: Saw) -> Iterator[Counter[str]]:
    """While open, show every tensor that some modules return, before anything else happens to it.

    Inside, the network is in evaluation mode and computes no gradients. Afterwards its hooks and
    ``training`` flags (module by module, since a network may be half frozen) are as they were, and
    so is torch's random state, also after an exception.

    Parameters
    ----------
    module : torch.nn.Module
        Any network.
    paths : iterable of str
        Paths of its modules, as in ``named_modules()``.
    saw : callable
        Is shown the tensors themselves, not copies. The next in-place operation may overwrite
        them: what it wants to keep, it copies.

    Yields
    ------
    collections.Counter
        Calls of each path so far.
    """
    parts = dict(module.named_modules())
    calls: Counter[str] = Counter()

    def hook_for(path: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            call = calls[path]
            calls[path] += 1
            for place, tensor in tensors(output):
                saw(path, call, place, tensor)

        return hook

    training = [(part, part.training) for part in module.modules()]
    cuda = sorted({p.device.index for p in module.parameters() if p.device.type == "cuda"})
    handles = []
    with torch.random.fork_rng(devices=cuda), torch.inference_mode():
        try:
            for part, _ in training:
                part.training = False
            for path in paths:
                handles.append(parts[path].register_forward_hook(hook_for(path)))
            yield calls
        finally:
            for handle in handles:
                handle.remove()
            for part, flag in training:
                part.training = flag


def tensors(output: Any, place: str = "") -> Iterator[tuple[str, Tensor]]:
    """Give the tensors in what a module returned, each with its place in it.

    A tensor, or the only tensor of a tuple, list or dict, has the empty place; else the places
    are ``[0]``, ``[1]`` or ``[key]``, nested if need be.
    """
    found = list(_nested(output, place))
    yield from ([(place, found[0][1])] if len(found) == 1 else found)


def _nested(output: Any, place: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(output, Tensor):
        yield place, output
    elif isinstance(output, Mapping):
        for key, value in output.items():
            yield from _nested(value, f"{place}[{key}]")
    elif isinstance(output, (tuple, list)):
        for i, value in enumerate(output):
            yield from _nested(value, f"{place}[{i}]")
