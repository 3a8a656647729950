"""Forward hooks that leave no trace: the one place where a network is watched while it works."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Saw = Callable[[str, int, str, Tensor], Tensor | None]
"""Takes a module's path, the number of its call, the place in its output, and a tensor; what it
returns, if anything, the network goes on with in its place."""


@contextmanager
def watched(
    module: nn.Module,
    paths: Iterable[str],
    saw: Saw,
    *,
    entered: Callable[[str], None] | None = None,
    gradients: bool = False,
) -> Iterator[Counter[str]]:
    """While open, show every tensor that some modules return, before anything else happens to it.

    Inside, the network is in evaluation mode. Afterwards its hooks and ``training`` flags (module
    by module, since a network may be half frozen) are as they were, and so is torch's random state,
    also after an exception.

    Parameters
    ----------
    module : torch.nn.Module
        Any network.
    paths : iterable of str
        Paths of its modules, as in ``named_modules()``.
    saw : callable
        Is shown the tensors themselves, not copies. The next in-place operation may overwrite
        them: what it wants to keep, it copies.
    entered : callable, optional
        Takes the path of a module that is about to be called.
    gradients : bool
        Whether a graph can be kept for gradients with respect to pictures and activations. Those
        with respect to the weights cost a third of the time and are nobody's concern here: inside,
        no parameter asks for any.

    Yields
    ------
    collections.Counter
        Calls of each path so far.
    """
    parts = dict(module.named_modules())
    # Overrides of torch's functions are for the network's calls, and would see hundreds of ours.
    unseen = torch._C.DisableTorchFunction
    calls: Counter[str] = Counter()

    def hook_for(path: str) -> Callable[..., Any]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            call = calls[path]
            calls[path] += 1
            instead = {}
            for part, tensor in tensors(output):
                if (other := saw(path, call, part, tensor)) is not None:
                    instead[id(tensor)] = other
            return _replaced(output, instead) if instead else None

        return hook

    def hook_before(path: str) -> Callable[..., None]:
        return lambda _module, _inputs: entered(path) if entered else None

    # Once each, and nothing is set that is so already: this is done for every pass.
    training = [(part, part.training) for part in parts.values()]
    with unseen():
        parameters = list(module.parameters())
        cuda = sorted({p.device.index for p in parameters if p.device.type == "cuda"})
        asking = [p for p in parameters if gradients and p.requires_grad]
    handles = []
    mode = torch.enable_grad() if gradients else torch.inference_mode()
    with torch.random.fork_rng(devices=cuda), mode:
        try:
            with unseen():
                for parameter in asking:
                    parameter.requires_grad_(False)
            for part, flag in training:
                if flag:
                    part.training = False
            for path in paths:
                if entered is not None:
                    handles.append(parts[path].register_forward_pre_hook(hook_before(path)))
                handles.append(parts[path].register_forward_hook(hook_for(path)))
            yield calls
        finally:
            with unseen():
                for parameter in asking:
                    parameter.requires_grad_(True)
            for handle in handles:
                handle.remove()
            for part, flag in training:
                if part.training != flag:
                    part.training = flag


def tensors(output: Any, place: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in what a module returned, each with its place in it.

    A tensor, or the only tensor of a tuple, list, dict or dataclass, has the empty place; else the
    places are ``[0]``, ``[1]`` or ``[key]``, nested if need be.
    """
    parts = list(_nested(output, place))
    yield from ([(place, parts[0][1])] if len(parts) == 1 else parts)


def _nested(output: Any, place: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(output, Tensor):
        yield place, output
    elif isinstance(output, Mapping):
        for key, value in output.items():
            yield from _nested(value, f"{place}[{key}]")
    elif isinstance(output, (tuple, list)):
        for i, value in enumerate(output):
            yield from _nested(value, f"{place}[{i}]")
    elif dataclasses.is_dataclass(output) and not isinstance(output, type):
        for entry in dataclasses.fields(output):
            yield from _nested(getattr(output, entry.name), f"{place}[{entry.name}]")


def _replaced(output: Any, instead: Mapping[int, Tensor]) -> Any:
    """Return what a module returned, with other tensors in some places."""
    if isinstance(output, Tensor):
        return instead.get(id(output), output)
    if isinstance(output, Mapping):
        items = {key: _replaced(value, instead) for key, value in output.items()}
        return type(output)(**items) if hasattr(output, "__dataclass_fields__") else items
    if isinstance(output, tuple) and hasattr(output, "_fields"):  # a named tuple
        return type(output)(*(_replaced(value, instead) for value in output))
    if isinstance(output, (tuple, list)):
        return type(output)(_replaced(value, instead) for value in output)
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        changed: Any = copy.copy(output)
        for entry in dataclasses.fields(output):
            # Around __setattr__, which a frozen one has not.
            value = _replaced(getattr(output, entry.name), instead)
            object.__setattr__(changed, entry.name, value)
        return changed
    return output
