"""What the layers of a network are called, what they see and cost, in the order they finish."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from probe.errors import ProbeError, suggest
from probe.models.architectures import blueprint
from probe.models.known import LAYER_WORDS
from probe.models.layouts import Layout, Output, outputs_of
from probe.models.missing import MissingLayer
from probe.models.network import Network
from probe.models.preprocessing import for_network
from probe.models.receptive_fields import ReceptiveField, measure
from probe.models.registry import parse

if TYPE_CHECKING:
    import pandas as pd

# What a class's name gives away about it; the first that fits counts.
_KINDS = {
    "conv": ("conv",),
    "linear": ("linear",),
    "relu": ("relu",),
    "pool": ("pool",),
    "norm": ("norm",),
    "none": ("dropout", "stochasticdepth", "droppath", "identity", "flatten", "permute"),
}
_NOT_COMPARED = {"pool", "norm", "none"}


@dataclass(frozen=True)
class LayerInfo:
    """One output of one call of one module.

    Attributes
    ----------
    name : str
        The module's path, as in `torch.nn.Module.named_modules`; a module called several times has
        its calls numbered (``layer1.0.relu:1``), and several output tensors are named (``mix[0]``).
    alias : str
        What the literature calls it (``conv3``, ``relu4_2``), or empty.
    type : str
        The module's class.
    kind : str
        ``conv``, ``linear``, ``relu``, ``pool``, ``norm``, ``none`` (does nothing to look at, such
        as dropout), ``block`` (holds other modules) or ``other``.
    output_shape : tuple of int
        For one picture, arranged: (channels, y, x), (tokens, channels) or (channels,); else as the
        module returns it.
    layout : Layout or None
        What the axes are; None where pictures do not have an axis of their own.
    n_parameters : int
        In the module and all that it holds.
    call : int or None
        Which call, from 0, of a module that is called several times.
    path : str
        The module's path alone.
    default : bool
        Whether it is compared where nobody chooses; see `default_layers`.
    missing : str
        Why its weights are missing, and how to get them; empty if they are there.
    """

    name: str
    alias: str
    type: str
    kind: str
    output_shape: tuple[int, ...]
    n_parameters: int
    call: int | None
    path: str
    default: bool
    layout: Layout | None = None
    missing: str = ""

    @property
    def axes(self) -> tuple[str, ...]:
        """What the axes of ``output_shape`` are: ``channel``, ``y``, ``x``, ``token``, or empty."""
        return self.layout.arranged if self.layout else ()

    @property
    def axes_known(self) -> bool:
        """Whether it is known what all of them are."""
        return self.layout is not None and self.layout.known

    @property
    def n_channels(self) -> int:
        """How many channels it has.

        Raises
        ------
        ProbeError
            If it has none, or it is not known which axis they are.
        """
        if not self.output_shape:
            raise ProbeError(
                f"layer {self.name!r} gives one number for a picture, and has no channels"
            )
        if not self.axes_known:
            raise ProbeError(
                f"layer {self.name!r} returns {self.output_shape} for a picture, and it is not "
                "known which of these axes are its channels: say it by module.output_axes = "
                "('picture', 'channel', 'y', 'x')"
            )
        return self.output_shape[self.axes.index("channel")]

    @property
    def n_positions(self) -> int:
        """How many positions, or tokens, each channel has; 1 where that is not known."""
        if not self.axes_known:
            return 1
        return math.prod(self.output_shape) // self.n_channels


@dataclass(frozen=True)
class Measures:
    """What the layers of a network see, and what they cost to compute.

    Attributes
    ----------
    fields : mapping of str to (ReceptiveField or None)
        By the layers' names; None for what does not depend on the picture.
    multiply_adds : mapping of str to int
        For one picture, all that a block holds included; see `receptive_fields.measure`.
    total_multiply_adds : int
        Of the network.
    total_parameters : int
        Of the network.
    """

    fields: Mapping[str, ReceptiveField | None]
    multiply_adds: Mapping[str, int]
    total_multiply_adds: int
    total_parameters: int


def trace(module: nn.Module, input_shape: Sequence[int]) -> list[LayerInfo]:
    """Run a network once on zeros, and list what its modules return.

    Parameters
    ----------
    module : torch.nn.Module
        Left as it is: hooks are removed and training flags set back, also after an error.
    input_shape : sequence of int
        Of one picture: (channels, height, width).

    Returns
    -------
    list of LayerInfo
        In the order in which the modules finish; the network as a whole is not listed. Ends where
        a part without weights would have to compute.

    Raises
    ------
    ProbeError
        If the network cannot be run on such an input.
    """
    with _told(module, input_shape):
        return _describe(module, outputs_of(module, input_shape))
    return []


def outputs(network: Network) -> dict[str, tuple[int, ...]]:
    """Run a network once on zeros, and tell what it returns.

    Parameters
    ----------
    network : Network

    Returns
    -------
    dict of str to tuple of int
        The shapes, for one picture, by the places: empty for a lone tensor; ``[0]``, ``[1]`` or
        ``[logits]`` for those of a tuple, list or dictionary.
    """
    module = network.module
    with _told(module, network.input_shape):
        traced = outputs_of(module, network.input_shape)
        return {output.part: output.shape_of_one for output in traced if not output.path}
    return {}


@contextmanager
def _told(module: nn.Module, input_shape: Sequence[int]) -> Iterator[None]:
    """Turn what a network raises into one line, and end quietly where its weights do."""
    try:
        yield
    except MissingLayer:
        pass
    except Exception as error:  # a user's module may raise anything
        reason = str(error).split("\n")[0][:200]
        raise ProbeError(
            f"{type(module).__name__} cannot be run on a picture of shape {tuple(input_shape)} "
            f"({type(error).__name__}: {reason})"
        ) from error


def layers(network: Network | str, size: tuple[int, int] | None = None) -> list[LayerInfo]:
    """List the layers of a network, in the order in which they finish.

    Parameters
    ----------
    network : Network or str
        For a name no weights are needed: the architecture is traced without any.
    size : (int, int), optional
        Height and width of the picture; by default what the network's weights want.

    Returns
    -------
    list of LayerInfo
        Layers whose weights are missing included, and marked.

    Raises
    ------
    ProbeError
        If the network cannot be run on pictures of that size.

    See Also
    --------
    resolve : The names of layers that a user means by ``conv3`` or ``relu``.
    describe : The same as a table, with receptive fields and costs.

    Examples
    --------
    >>> from probe import models
    >>> [info.alias for info in models.layers("alexnet") if info.kind == "conv"]
    ['conv1', 'conv2', 'conv3', 'conv4', 'conv5']
    """
    architecture, input_shape = _input(network, size)
    if isinstance(network, str):
        assert architecture is not None  # it has a name
        return list(_of_architecture(architecture, input_shape))
    if architecture is None:
        return trace(network.module, input_shape)
    infos = _of_architecture(architecture, input_shape)
    return [replace(info, missing=network.why_missing(info.name) or "") for info in infos]


def measures(network: Network | str, size: tuple[int, int] | None = None) -> Measures:
    """Measure what the layers of a network see, and what they cost to compute.

    Parameters
    ----------
    network, size
        As in `layers`.

    Raises
    ------
    ProbeError
        If the network cannot be run on pictures of that size.
    """
    architecture, input_shape = _input(network, size)
    if architecture is not None:
        return _measures_of_architecture(architecture, input_shape)
    assert not isinstance(network, str)  # those have an architecture
    return _measures(network.module, input_shape)


def describe(network: Network | str, size: tuple[int, int] | None = None) -> pd.DataFrame:
    """Tabulate the layers of a network: shapes, receptive fields, parameters, multiply-adds.

    Parameters
    ----------
    network, size
        As in `layers`.

    Returns
    -------
    pandas.DataFrame
        One row per layer: ``layer``, ``path``, ``alias``, ``type``, ``output`` (such as
        ``64×55×55``), ``axes`` (``channel y x``, ``token channel``, ``channel``; empty where they
        are not known); of the receptive field ``field_height``, ``field_width``, ``jump_y``,
        ``jump_x``, ``start_y``, ``start_x`` in pixels, empty where there is none, and ``whole``,
        see `ReceptiveField`; ``parameters``, ``multiply_adds``, ``default``.

    Raises
    ------
    ProbeError
        If the network cannot be run on pictures of that size.

    See Also
    --------
    layers : The same as objects.
    probe.models.measures : Receptive fields and costs alone.
    """
    import pandas as pd

    measured = measures(network, size)
    rows = []
    for info in layers(network, size):
        field = measured.fields[info.name]
        pairs = {
            ("field_height", "field_width"): None if field is None else field.size,
            ("jump_y", "jump_x"): None if field is None else field.jump,
            ("start_y", "start_x"): None if field is None else field.start,
        }
        rows.append(
            {
                "layer": info.name,
                "path": info.path,
                "alias": info.alias,
                "type": info.type,
                "output": "×".join(map(str, info.output_shape)),
                "axes": " ".join(info.axes) if info.axes_known else "",
                **{
                    k: v
                    for names, pair in pairs.items()
                    for k, v in zip(names, pair or (None, None), strict=True)
                },
                "whole": field is not None and field.whole,
                "parameters": info.n_parameters,
                "multiply_adds": measured.multiply_adds[info.name],
                "default": info.default,
            }
        )
    whole_numbers = ("field_height", "field_width", "start_y", "start_x")
    return pd.DataFrame(rows).astype(
        dict.fromkeys(whole_numbers, "Int64") | dict.fromkeys(("jump_y", "jump_x"), "Float64")
    )


def _input(
    network: Network | str, size: tuple[int, int] | None
) -> tuple[str | None, tuple[int, int, int]]:
    """Return the architecture, if it has a name, and the shape of a picture."""
    if isinstance(network, str):
        architecture: str | None = parse(network).architecture
        assert architecture is not None
        return architecture, (3, *(size or for_network(architecture, "torchvision").size))
    return network.architecture, (3, *size) if size else network.input_shape


def _measures(module: nn.Module, input_shape: tuple[int, ...]) -> Measures:
    with _told(module, input_shape):
        measured, total = measure(module, _zeros(module, (1, *input_shape)))
    calls = Counter(path for path, _, _ in {(m.path, m.call, "") for m in measured})
    names = [_name(m.path, m.call, m.place, calls[m.path]) for m in measured]
    return Measures(
        dict(zip(names, (m.field for m in measured), strict=True)),
        dict(zip(names, (m.multiply_adds for m in measured), strict=True)),
        total,
        sum(parameter.numel() for parameter in module.parameters()),
    )


def _name(path: str, call: int, place: str, n_calls: int) -> str:
    return path + (f":{call}" if n_calls > 1 else "") + place


def default_layers(network: Network | str) -> list[str]:
    """Return the layers that are compared where nobody chooses.

    These are the blocks: the outermost modules that are no mere container and do not hold more
    than half of the network; of them not those that only normalise, pool or reshape, or return one
    number for a picture.

    Returns
    -------
    list of str
        Names, in the order in which the layers finish; none whose weights are missing.
    """
    return [info.name for info in layers(network) if info.default and not info.missing]


def resolve(wanted: str | Iterable[str], network: Network | str) -> list[str]:
    """Find the layers that a user means.

    Parameters
    ----------
    wanted : str or iterable of str
        Module paths, aliases, or words of `LAYER_WORDS`; in one string, separated by commas. A
        module's own path goes before a word that is spelled the same. ``all`` are those that
        return something for every picture: no tables of positions, no windows of several pictures.
    network : Network or str
        Whose layers.

    Returns
    -------
    list of str
        Names as in `layers`, each once, in the order in which the layers finish.

    Raises
    ------
    ProbeError
        If there is no such layer (the message gives the nearest names), if it is never called, if
        it is called several times and no call is named, or if its weights are missing.

    See Also
    --------
    layers : All that can be named.

    Examples
    --------
    >>> from probe import models
    >>> models.resolve("conv3, features.12", "alexnet")
    ['features.6', 'features.12']
    """
    infos = layers(network)
    title = network if isinstance(network, str) else network.name
    words = wanted.split(",") if isinstance(wanted, str) else list(wanted)
    chosen: set[str] = set()
    for word in (word.strip() for word in words):
        exact = [info for info in infos if word in (info.name, info.alias, info.path) and word]
        if not exact and word in LAYER_WORDS:
            exact = [info for info in infos if _stands_for(word, info) and not info.missing]
            if not exact:
                raise ProbeError(f"model {title!r} has no {word!r} layer to offer")
        elif not exact:
            raise ProbeError(_unknown(word, infos, network, title))
        elif exact[0].missing:
            raise ProbeError(exact[0].missing)
        elif len(exact) > 1:
            names = ", ".join(info.name for info in exact)
            if exact[0].call is None:
                names += f" ({', '.join(_times(info.output_shape) for info in exact)})"
            raise ProbeError(f"layer {word!r} of {title!r} has several outputs; name one: {names}")
        chosen.update(info.name for info in exact)
    if not chosen:
        raise ProbeError(f"no layers were named; name some, or one of: {', '.join(LAYER_WORDS)}")
    return [info.name for info in infos if info.name in chosen]


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "one number"


def _stands_for(word: str, info: LayerInfo) -> bool:
    if word == "all":
        return info.layout is not None
    if word == "default":
        return info.default
    if word == "block":
        return info.default and info.kind == "block"
    return info.kind == word


def _unknown(word: str, infos: list[LayerInfo], network: Network | str, title: str) -> str:
    if word and word in dict(_module(network).named_modules()):
        return f"layer {word!r} of {title!r} is never called as a module: it returns nothing to see"
    words = [name for info in infos for name in (info.name, info.alias) if name]
    words += LAYER_WORDS
    return f"model {title!r} has no layer {word!r}{suggest(word, words)} (see `probe layers`)"


def _module(network: Network | str) -> nn.Module:
    if isinstance(network, Network):
        return network.module
    return blueprint(parse(network).architecture)


@functools.lru_cache(maxsize=32)
def _of_architecture(architecture: str, input_shape: tuple[int, ...]) -> tuple[LayerInfo, ...]:
    return tuple(trace(blueprint(architecture).to("meta"), input_shape))


@functools.lru_cache(maxsize=32)
def _measures_of_architecture(architecture: str, input_shape: tuple[int, ...]) -> Measures:
    return _measures(blueprint(architecture).to("meta"), input_shape)


def _zeros(module: nn.Module, shape: Sequence[int]) -> Tensor:
    """Return zeros where the module's parameters are, and of their type."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            return torch.zeros(shape, device=tensor.device, dtype=tensor.dtype)
    return torch.zeros(shape)


def _describe(module: nn.Module, traced: Iterable[Output]) -> list[LayerInfo]:
    parts = dict(module.named_modules())
    compared = _compared(module)
    aliases = _aliases(module)
    traced = [output for output in traced if output.path]
    calls = Counter(path for path, _ in {(output.path, output.call) for output in traced})
    infos = []
    for output in traced:
        part = parts[output.path]
        is_repeated = calls[output.path] > 1
        infos.append(
            LayerInfo(
                name=_name(output.path, output.call, output.part, calls[output.path]),
                alias=aliases.get(output.path, ""),
                type=type(part).__name__,
                kind="block" if _holds_others(part) else _kind(part),
                output_shape=output.shape_of_one,
                n_parameters=sum(p.numel() for p in part.parameters()),
                call=output.call if is_repeated else None,
                path=output.path,
                # One number for a picture makes no pattern that could be compared.
                default=output.path in compared and math.prod(output.shape_of_one) > 1,
                layout=output.layout,
            )
        )
    return infos


def _holds_others(module: nn.Module) -> bool:
    return next(module.children(), None) is not None


def _kind(module: nn.Module) -> str:
    for cls in type(module).__mro__:
        if cls is nn.Module:
            break
        name = cls.__name__.lower()
        for kind, signs in _KINDS.items():
            if any(sign in name for sign in signs):
                return kind
    return "other"


def _compared(module: nn.Module) -> set[str]:
    """Yield the paths of the modules that are compared by default."""
    paths = {part: path for path, part in module.named_modules()}

    def n_leaves(part: nn.Module) -> int:
        return sum(not _holds_others(inner) for inner in part.modules())

    half = n_leaves(module) / 2

    def blocks(parent: nn.Module) -> Iterator[str]:
        for part in parent.children():
            container = type(part) in (nn.Sequential, nn.ModuleList, nn.ModuleDict)
            if container or (_holds_others(part) and n_leaves(part) > half):
                yield from blocks(part)
            elif _kind(part) not in _NOT_COMPARED and getattr(part, "compared_by_default", True):
                yield paths[part]

    return set(blocks(module))


def _aliases(module: nn.Module) -> dict[str, str]:
    """Return the literature's names of the layers of AlexNet, VGG, SqueezeNet and older ones."""
    names = {
        "torchvision": {"AlexNet": _in_stages, "VGG": _in_stages, "SqueezeNet": _in_fires},
        "probe": {
            "ZFNet": _in_stages, "HMAX": _in_capitals, "LeNet5": _in_capitals,
            "Neocognitron": _in_capitals,
        },
    }  # fmt: skip
    package, _, _ = type(module).__module__.partition(".")
    name = names.get(package, {}).get(type(module).__name__)
    return {} if name is None else name(module)


def _in_capitals(module: nn.Module) -> dict[str, str]:
    """Name layers of simple and complex cells, or of convolutions and subsampling: S1, C1, F6."""
    children = (path for path, _ in module.named_children())
    return {path: path.upper() for path in children if re.fullmatch(r"[a-z]\d", path)}


def _in_fires(module: nn.Module) -> dict[str, str]:
    """Name SqueezeNet's modules as its paper and its Caffe model do: conv1, fire2, …, conv10."""
    aliases: dict[str, str] = {}
    number = 0
    for part in ("features", "classifier"):
        for i, layer in enumerate(module.get_submodule(part).children()):
            path, kind = f"{part}.{i}", _kind(layer)
            block = type(layer).__name__ == "Fire"
            number += block or kind == "conv"
            if block:
                aliases[path] = f"fire{number}"
                for inner, _ in layer.named_children():
                    # Caffe's relu_expand1x1, where torchvision has expand1x1_activation.
                    name, activation, _ = inner.partition("_activation")
                    name = "squeeze1x1" if name == "squeeze" else name
                    prefix = "relu_" if activation else ""
                    aliases[f"{path}.{inner}"] = f"fire{number}/{prefix}{name}"
            elif kind in ("conv", "relu", "pool"):
                aliases[path] = f"{kind}{number}"
    return aliases


def _in_stages(module: nn.Module) -> dict[str, str]:
    """Name the modules of AlexNet and VGG: conv1, conv3_2, relu3_2, pool3, fc6."""
    architecture = type(module).__name__
    aliases: dict[str, str] = {}
    block, unit = 1, 0
    parts = dict(module.named_modules())
    for i, part in enumerate(parts["features"].children()):
        kind = _kind(part)
        unit += kind == "conv"
        here = f"{block}_{unit}" if architecture == "VGG" else f"{unit}"
        if kind == "pool" and architecture == "VGG":
            here, block, unit = f"{block}", block + 1, 0
        norm = "bn" if architecture == "VGG" else kind
        aliases[f"features.{i}"] = (norm if kind == "norm" else kind) + here
    number = 5  # both have five stages of convolutions
    for i, part in enumerate(parts["classifier"].children()):
        kind = _kind(part)
        number += kind == "linear"
        if kind in ("linear", "relu"):
            aliases[f"classifier.{i}"] = {"linear": "fc"}.get(kind, kind) + f"{number}"
    return aliases
