"""What a module returned, and nothing else.

A forward hook sees a module's output tensor, not a copy: the next in-place ReLU, or a residual
``out += identity``, writes into the same memory. Whoever keeps the tensor keeps another layer's
values. Here an output is handed on inside the hook, before anything else runs, and receivers copy.

Whatever order a module has its axes in, an output is handed on with pictures first, then
(channels, y, x), (tokens, channels) or (channels,): see `probe.models.layouts`. Where it is not
known what an axis is, the axes but that of the pictures stay where they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from probe.errors import ProbeError, suggest
from probe.models.hooks import watched
from probe.models.layouts import Call, Layout, layouts
from probe.models.missing import MissingLayer

Receive = Callable[[str, Tensor], None]

_NAME = re.compile(r"(?P<path>.*?)(?::(?P<call>\d+))?(?P<key>(?:\[[^\]]*\])*)")


class _LastLayerReachedError(BaseException):
    """Ends a forward pass early; no ``except Exception`` of a model's own catches it."""


def capture(module: nn.Module, inputs: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Run a network on a batch and copy what some of its modules return.

    The forward pass runs in evaluation mode and without gradients. The module, its hooks, its
    ``training`` flags and the random state are as they were afterwards, also when it raises.

    Parameters
    ----------
    module : torch.nn.Module
        Any network.
    inputs : torch.Tensor, shape (n, channels, height, width)
        A batch, on the module's device.
    layers : sequence of str
        ``named_modules()`` paths. Calls of a module that is called more than once are numbered,
        ``layer1.0.relu:0``, ``layer1.0.relu:1``; the parts of an output that is a tuple or a
        dictionary of several tensors are named ``layer[0]``, ``layer[out]``.

    Returns
    -------
    dict of str to torch.Tensor
        Copies, in the order of ``layers``: (n, channels, y, x), (n, tokens, channels) or
        (n, channels), whatever order the module has them in.

    Raises
    ------
    ProbeError
        If a layer does not exist, is not called, or is called several times and not numbered.

    See Also
    --------
    probe.extract : Stimulus sets of any size, stored, and read when they are used.
    differentiable : The same, with the graph of gradients.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from probe.activations import capture
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True))
    >>> outputs = capture(network, torch.randn(2, 3, 8, 8), ["0", "1"])
    >>> outputs["0"].shape
    torch.Size([2, 8, 6, 6])
    >>> bool(outputs["0"].min() < 0)  # what the convolution returned, before it was overwritten
    True
    """
    captured: dict[str, Tensor] = {}
    returned: dict[str, tuple[int, ...]] = {}

    def keep(name: str, tensor: Tensor) -> None:
        # A tensor that is born in inference mode can never be used with autograd.
        with torch.inference_mode(False):
            captured[name] = tensor.clone()

    with tapped(module, layers, keep, inputs.shape[1:], returned) as calls:
        try:
            # To its end, so that one of several calls is never taken for the only one.
            # On a copy: a network may normalise its input in place.
            module(inputs.clone())
        except MissingLayer:  # where weights end, so does the forward pass
            if not captured.keys() >= set(layers):
                raise
    for name in layers:
        path = split_name(name)[0]
        if name in captured and not (":" not in name and calls[path] > 1):
            continue
        if calls.get(path, 0) > 1:
            numbered = " or ".join(f"{path}:{k}" for k in range(calls[path]))
            raise ProbeError(f"layer {name!r} is called {calls[path]} times; name {numbered}")
        if path in calls:
            raise ProbeError(_no_output(name, calls, returned))
        raise ProbeError(f"layer {name!r} is not called in the forward pass")
    return {name: captured[name] for name in layers}


@contextmanager
def tapped(
    module: nn.Module,
    layers: Sequence[str],
    receive: Receive,
    input_shape: Sequence[int],
    returned: dict[str, tuple[int, ...]] | None = None,
) -> Iterator[Mapping[str, int]]:
    """While open, hand the outputs of some layers to ``receive`` on a forward pass.

    Parameters
    ----------
    module : torch.nn.Module
    layers : sequence of str
        As in `capture`.
    receive : callable
        Takes a layer's name and its output. The tensor is not a copy and will be overwritten: it
        has to be copied before ``receive`` returns.
    input_shape : sequence of int
        Of one picture: (channels, height, width).
    returned : dict, optional
        Is told the shape of everything that the layers return in their first call, by its name.

    Yields
    ------
    mapping of str to int
        How often each module was called so far.

    Raises
    ------
    ProbeError
        If a path does not exist in the module.
    """
    remaining = set(layers)
    modules = dict(module.named_modules())
    paths = dict.fromkeys(split_name(name)[0] for name in layers)
    for path in paths:
        if path not in modules or not path:
            raise ProbeError(f"layer {path!r} does not exist{suggest(path, filter(None, modules))}")
    layouts = _layouts(module, input_shape)

    def saw(path: str, call: int, place: str, tensor: Tensor) -> None:
        if returned is not None and call == 0:
            returned[f"{path}{place}"] = tuple(tensor.shape)
        for name in (f"{path}:{call}{place}", f"{path}{place}" if call == 0 else None):
            if name in remaining:
                layout = layouts.get((path, call, place))
                receive(name, layout.arrange(tensor) if layout else tensor)

    with watched(module, paths, saw) as calls:
        yield calls


def forward_until(
    module: nn.Module, inputs: Tensor, layers: Sequence[str], receive: Receive
) -> None:
    """Run one forward pass, hand on the layers' outputs, and stop after the last of them.

    Parameters
    ----------
    module, inputs, layers, receive
        As in `capture` and `tapped`; ``layers`` are names that `capture` would accept.

    Raises
    ------
    ProbeError
        If the forward pass ends without having called every layer.
    """
    left = set(layers)

    def count_down(name: str, tensor: Tensor) -> None:
        receive(name, tensor)
        left.discard(name)
        if not left:
            raise _LastLayerReachedError

    with tapped(module, layers, count_down, inputs.shape[1:]):
        try:
            module(inputs)
        except _LastLayerReachedError:
            return
    raise ProbeError(f"layer {sorted(left)[0]!r} is not called in the forward pass")


OUTPUT = ""
"""What `differentiable` calls the output of the network itself, as ``named_modules()`` does."""


def differentiable(
    module: nn.Module,
    inputs: Tensor,
    layers: Sequence[str],
    *,
    cut: str | None = None,
    change: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, Tensor]:
    """Run a network on a batch and give what some of its modules return, with its graph.

    What is given is what a module returned: the network goes on with a copy, in which the next
    operation may write. The forward pass ends with the last layer that is wanted. Parameters get no
    gradients; the module, its hooks, its flags and the random state are as they were afterwards.

    Parameters
    ----------
    module : torch.nn.Module
    inputs : torch.Tensor, shape (n, channels, height, width)
        On the module's device. Its graph is kept if it asks for gradients.
    layers : sequence of str
        As in `capture`, or `OUTPUT`.
    cut : str, optional
        One of the layers, whose output is a leaf that asks for gradients. Nothing is kept of what
        comes before it, which saves its memory and, backwards, its time.
    change : callable, optional
        What becomes of the output at ``cut`` before the network goes on with it; it may have more
        rows than ``inputs``, all of one picture.

    Returns
    -------
    dict of str to torch.Tensor
        (n, channels, y, x), (n, tokens, channels) or (n, channels), whatever order the module has
        them in.

    Raises
    ------
    ProbeError
        If a layer does not exist, or is not called.
    """
    ordered, left = dict.fromkeys(layers), set(layers)
    outputs: dict[str, Tensor] = {}
    returned: dict[str, tuple[int, ...]] = {}
    modules = dict(module.named_modules())
    paths = dict.fromkeys(split_name(name)[0] for name in ordered)
    for path in paths:
        if path not in modules:
            raise ProbeError(f"layer {path!r} does not exist{suggest(path, filter(None, modules))}")
    layouts = _layouts(module, inputs.shape[1:])

    def saw(path: str, call: int, place: str, tensor: Tensor) -> Tensor | None:
        if call == 0:
            returned[f"{path}{place}"] = tuple(tensor.shape)
        for name in (f"{path}:{call}{place}", f"{path}{place}" if call == 0 else None):
            if name not in left:
                continue
            layout = layouts.get((path, call, place))
            tensor = layout.arrange(tensor) if layout else tensor
            if name == cut:
                torch.set_grad_enabled(True)
                tensor = tensor.detach() if change is None else change(tensor.detach())
                tensor = tensor.detach().requires_grad_()
            outputs[name] = tensor
            left.discard(name)
            if not left:
                raise _LastLayerReachedError
            return (layout.restore(tensor) if layout else tensor).clone()
        return None

    with (
        watched(module, paths, saw, gradients=True) as calls,
        torch.set_grad_enabled(cut is None),
    ):
        try:
            # A copy: a network may normalise its input in place.
            module(inputs.clone())
        except _LastLayerReachedError:
            return {name: outputs[name] for name in ordered}
    raise ProbeError(_no_output(min(left), calls, returned))


def _no_output(name: str, calls: Mapping[str, int], returned: Mapping[str, tuple[int, ...]]) -> str:
    """Return why a layer, or the network, has not returned what it was asked for."""
    path, call, _ = split_name(name)
    if calls.get(path, 0) <= (call or 0):
        return f"layer {name!r} is not called in the forward pass"
    parts = {
        other.removeprefix(path): shape
        for other, shape in returned.items()
        if split_name(other)[0] == path
    }
    whose = f"layer {path!r} has no output {name!r}: it" if path else "the network"
    if not parts:
        return f"{whose} returns no tensor"
    return f"{whose} returns {list_parts(parts, path)}"


def list_parts(parts: Mapping[str, tuple[int, ...]], path: str = "") -> str:
    """Return which tensors a layer, or the network, returns, and how to name one.

    Parameters
    ----------
    parts : mapping of str to tuple of int
        Their shapes, with the batch, by their places: ``[0]``, ``[logits]``.
    path : str
        Of the layer; empty for the network.
    """
    listed = ", ".join(
        f"{path}{part} ({'×'.join(map(str, shape[1:])) or 'one number'})"
        for part, shape in list(parts.items())[:12]
    )
    if list(parts) == [""]:
        return f"one tensor, {listed}"
    more = f" and {len(parts) - 12} more" if len(parts) > 12 else ""
    example = f"{path}{next(iter(parts))}"
    return f"{len(parts)} tensors, {listed}{more}: name one, such as {example} or {example}:0"


def _layouts(module: nn.Module, input_shape: Sequence[int]) -> Mapping[Call, Layout | None]:
    """Look up what the axes are; of a network that does not run, nothing: the pass will say why."""
    try:
        return layouts(module, input_shape)
    except ProbeError:
        raise
    except Exception:  # a user's module may raise anything
        return {}


def split_name(name: str) -> tuple[str, int | None, str]:
    """Split ``path:call[key]`` into its three parts."""
    match = _NAME.fullmatch(name)
    assert match is not None  # the pattern takes any string
    call = match["call"]
    return match["path"], None if call is None else int(call), match["key"]
