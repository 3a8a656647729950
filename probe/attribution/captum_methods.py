"""Captum's attribution objects as methods, for every target, on a network that stays as it was.

A user brings a class (``captum.attr.IntegratedGradients``), an object that was built for the
network (``IntegratedGradients(model)``), or a function that builds one of a forward function
(``lambda f: NoiseTunnel(Saliency(f))``). Whatever it is, it is built, or rebuilt, around the
`ForwardFunction` of the target, which may lie at an inner layer.
"""

from __future__ import annotations

import copy
import functools
import inspect
import random
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from captum import attr
from torch import Tensor, nn

from probe import targets
from probe.attribution.cams import layout_at, on_grid
from probe.attribution.gradients import at_least, checked
from probe.attribution.method import Method
from probe.errors import ProbeError, suggest
from probe.models.devices import out_of_memory
from probe.progress import track
from probe.targets import ForwardFunction, Norm, Target

NOT_SETTINGS = (
    "self", "inputs", "inp", "target", "additional_forward_args", "return_convergence_delta",
    "show_progress", "kwargs", "return_input_shape",
)  # fmt: skip
"""Arguments of ``attribute`` that are not a user's to set here."""

BATCHES = {
    "perturbations_per_eval": lambda size, n: max(1, size // n),
    "internal_batch_size": lambda size, n: max(size, n),
    "nt_samples_batch_size": lambda size, n: max(1, size // n),
}
"""What Captum calls the pictures in a pass, and how many it may take of them with n pictures."""

SLOPES = (
    attr.Saliency, attr.GuidedBackprop, attr.Deconvolution, attr.GuidedGradCam,
)  # fmt: skip
"""Whose sign is a direction."""

SUMS_TO = {attr.IntegratedGradients: "change", attr.DeepLift: "change", attr.LRP: "value"}
"""Whose maps share out a number, of pixels."""


@dataclass(frozen=True)
class CaptumMethod(Method):
    """One of Captum's attribution objects.

    Attributes
    ----------
    source : object
        What the user brought.
    """

    source: Any = None

    def on(self, module: nn.Module) -> Method:
        """Return the method for a network: see `Method.on`."""
        return _described(self.source, module)


@dataclass(frozen=True, eq=False)
class _Call:
    """Makes maps with one of Captum's objects, as the functions of other methods do.

    Attributes
    ----------
    source : object
    origin : torch.nn.Module or None
        The network whose layers the source may hold; None where that is not known yet.
    arguments : tuple of str
        Those of ``attribute`` that can be set; empty where they are not known yet.
    takes_layer : bool
    """

    source: Any
    origin: nn.Module | None
    arguments: tuple[str, ...]
    takes_layer: bool

    @property
    def __signature__(self) -> inspect.Signature:
        names = ["module", "images", "target"]
        own = ["layer"] * self.takes_layer + [*self.arguments, "batch_size", "seed", "progress"]
        kind = inspect.Parameter
        parameters = [kind(name, kind.POSITIONAL_OR_KEYWORD) for name in names]
        return inspect.Signature(
            parameters + [kind(name, kind.KEYWORD_ONLY, default=None) for name in own]
        )

    def __call__(
        self,
        module: nn.Module,
        images: Tensor,
        target: Target,
        *,
        layer: str | None = None,
        batch_size: int = 32,
        seed: int = 0,
        progress: bool | None = None,
        **settings: Any,
    ) -> Tensor:
        def made(forward: ForwardFunction) -> attr.Attribution:
            if not _is_builder(self.source):
                _check_held(self.source, self.origin or module, target)
            return _built(self.source, forward, self.origin or module, layer)

        return attribute(
            made, module, images, target, batch_size=batch_size, seed=seed, progress=progress,
            settings=settings,
        )  # fmt: skip


def method_of(source: Any) -> Method:
    """Return a method for what a user brings of Captum, before its network is there.

    Parameters
    ----------
    source : type, captum.attr.Attribution or callable
        A class, an object, or a function that builds one of a forward function.

    Returns
    -------
    Method
        `Method.on` says all that is known of it.

    Raises
    ------
    ProbeError
        If it is nothing that makes maps of pictures.
    """
    kind = _class_of(source)
    if kind is None and not (callable(source) and not isinstance(source, type)):
        raise ProbeError(
            f"method {source!r}: expected a name of `probe saliency --methods`, a class or object "
            "of captum.attr, or a function that makes one of a forward function"
        )
    if kind is not None:
        _check_kind(kind)
        return _method(source, kind, None, source if not _is_builder(source) else None)
    call = _Call(source, None, (), takes_layer=False)
    return CaptumMethod(
        getattr(source, "__name__", type(source).__name__), call, "pixels", True, "by Captum",
        several=False, library="captum", source=source,
    )  # fmt: skip


def attribute(
    made: Callable[[ForwardFunction], attr.Attribution],
    module: nn.Module,
    images: Tensor,
    target: Target,
    *,
    batch_size: int,
    seed: int,
    progress: bool | None,
    settings: Mapping[str, Any],
    total: int | None = None,
) -> Tensor:
    """Compute maps with one of Captum's objects.

    Parameters
    ----------
    made : callable
        Returns the object for a forward function.
    module, images, target, progress
        As in `probe.attribution.perturbation.occlusion`.
    batch_size : int
        Most pictures in a pass, where Captum can be told.
    seed : int
        Of whatever Captum draws. The random states of torch, NumPy and Python stay as they were.
    settings : mapping
        For ``attribute``.
    total : int, optional
        How many pictures will have been seen in the end, for the progress bar.

    Returns
    -------
    torch.Tensor, shape (n, channels, height, width) or (n, y, x)
        As Captum gives them, float32; of a layer, the sum over its channels.

    Raises
    ------
    ProbeError
        If Captum cannot do it; the message has its reason.
    """
    images = checked(images)
    at_least(1, batch_size=batch_size)
    forward = ForwardFunction(module, target, images.shape[1:])
    forward(images[:1])  # a target that does not fit says so itself, before anything has hooks
    bar = track(total=total, desc="Captum", unit="picture", progress=progress)
    with unchanged(module), _seeded(seed, images.device), bar, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of hooks, which are removed here
        method = made(forward)
        forward.register_forward_hook(lambda _m, inputs, _o: bar.update(len(inputs[0])))
        name = _name(method)
        arguments = dict(settings)
        known = inspect.signature(method.attribute).parameters
        for argument, of_size in BATCHES.items():
            if argument in known:
                arguments.setdefault(argument, of_size(batch_size, len(images)))
        _check_needs(method, arguments, images)
        try:
            values = method.attribute(images.clone(), **arguments)
        except ProbeError:
            raise
        except Exception as error:
            if out_of_memory(error):
                raise
            raise ProbeError(_why(name, error, method)) from error
        if isinstance(values, tuple) and len(values) == 1:
            values = values[0]
        if not isinstance(values, Tensor):
            raise ProbeError(f"Captum's {name} returns {type(values).__name__}, and no map")
        values = values.detach()
        if values.shape == images.shape:
            return values.float()
        return _at_layer(values, method, forward, images)


def _at_layer(
    values: Tensor, method: attr.Attribution, forward: ForwardFunction, images: Tensor
) -> Tensor:
    """Return values of a layer's output, or of its positions, at its positions: (n, y, x)."""
    layer = _layer_of(method, forward.network)
    if layer is None:
        raise ProbeError(
            f"Captum's {_name(method)} gives shape {tuple(values.shape)} for pictures of shape "
            f"{tuple(images.shape)}, and no map of them"
        )
    layout = layout_at(forward.network, layer, images)
    if isinstance(method, attr.LayerGradCam) and {"y", "token"} & {*layout.axes}:
        if layout.axes != ("picture", "channel", "y", "x"):
            raise ProbeError(
                f"Captum's LayerGradCam takes the second axis for channels, and layer {layer!r} "
                f"returns ({', '.join(layout.axes)}): the method grad-cam takes it"
            )
        return values.sum(1).float()
    return on_grid(layout.arrange(values), layout, layer).sum(1).float()


@contextmanager
def unchanged(module: nn.Module) -> Iterator[None]:
    """Restore a network at the end: hooks, attributes, flags, parameters and their gradients.

    Captum removes its hooks, but leaves attributes behind (LRP: ``activations`` on every layer;
    DeepLift: ``input`` and ``output`` of modules that gradients did not reach), removes a user's
    ``rule``, gives weights other memory, and where LRP has no rule for a layer, leaves the network
    as far as it came.
    """
    parts = list(module.modules())
    attributes = [dict(vars(part)) for part in parts]
    tables = [
        {name: dict(value) for name, value in before.items() if isinstance(value, dict)}
        for before in attributes
    ]
    tensors = [*module.parameters(), *module.buffers()]
    data = [tensor.data for tensor in tensors]
    asks = [(parameter, parameter.requires_grad, parameter.grad) for parameter in tensors]
    try:
        yield
    finally:
        for part, before, entries in zip(parts, attributes, tables, strict=True):
            now = vars(part)
            for name in now.keys() - before.keys():
                del now[name]
            now.update(before)
            for name, table in entries.items():
                # The same dictionary, which handles of the user's hooks refer to.
                if list(now[name].items()) != list(table.items()):
                    now[name].clear()
                    now[name].update(table)
        for tensor, content in zip(tensors, data, strict=True):
            tensor.data = content
        for parameter, flag, gradient in asks:
            parameter.requires_grad_(flag)
            parameter.grad = gradient


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed what Captum draws from: torch's, NumPy's and Python's own; restore them at the end."""
    of_numpy, of_python = np.random.get_state(), random.getstate()  # noqa: NPY002 - Captum's
    index = device.index or 0
    with torch.random.fork_rng(devices=[index] if device.type == "cuda" else []):
        try:
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(seed)
            yield
        finally:
            np.random.set_state(of_numpy)  # noqa: NPY002
            random.setstate(of_python)


def _is_builder(source: Any) -> bool:
    return not isinstance(source, attr.Attribution)


def _class_of(source: Any) -> type | None:
    """Return which of Captum's classes a source makes, where that is seen without a network."""
    if isinstance(source, attr.Attribution):
        return type(source)
    if isinstance(source, functools.partial):
        return _class_of(source.func)
    is_class = isinstance(source, type) and issubclass(source, attr.Attribution)
    return source if is_class else None


def _check_kind(kind: type) -> None:
    """Refuse what makes no maps of one number by one picture."""
    name = kind.__name__
    if issubclass(kind, attr.NeuronAttribution):
        instead = name.removeprefix("Neuron").replace("Gradient", "Saliency", name.count("nt") == 1)
        other = getattr(attr, instead, attr.Saliency).__name__
        raise ProbeError(
            f"Captum's {name} explains a neuron that it is told the index of; here the target says "
            f"which: take captum.attr.{other}, and target 'LAYER:CHANNEL,Y,X'"
        )
    if issubclass(kind, attr.FeaturePermutation):
        raise ProbeError(
            f"Captum's {name} exchanges values between pictures, and a map is of one picture: take "
            "FeatureAblation, or occlusion"
        )
    if issubclass(kind, (attr.LLMAttribution, attr.LLMGradientAttribution)) or name in (
        "DataLoaderAttribution", "RemoteLLMAttribution", "LayerFeaturePermutation",
    ):  # fmt: skip
        raise ProbeError(f"Captum's {name} makes no map of a picture")
    if inspect.isabstract(kind) or "attribute" not in dir(kind) or kind is attr.Attribution:
        raise ProbeError(f"Captum's {name} is a base class, and makes no maps")


def _described(source: Any, module: nn.Module) -> Method:
    """Return all that is known of a source once its network is there."""
    kind = _class_of(source)
    made = source if not _is_builder(source) else None
    if made is not None:
        _check_held(made, module, None)
    elif kind is None:
        # A function of the user's own: what it makes is seen when it has made one, of any target.
        forward = ForwardFunction.__new__(ForwardFunction)
        nn.Module.__init__(forward)
        forward.network, forward._held = module, (Norm(targets.OUTPUT), None)
        with unchanged(module):
            made = _built(source, forward, module, None)
        kind = type(made)
        _check_kind(kind)
    assert kind is not None  # that of what was made
    return _method(source, kind, module, made)


def _method(source: Any, kind: type, module: nn.Module | None, made: Any) -> Method:
    names = {*inspect.signature(kind.__init__).parameters}  # type: ignore[misc]
    set_already = source.keywords if isinstance(source, functools.partial) else {}
    takes_layer = made is None and "layer" in names and "layer" not in set_already
    inner = getattr(made, "attribution_method", None)
    arguments = [
        name
        for each in (kind, *([type(inner)] if inner is not None else []))
        for name in inspect.signature(each.attribute).parameters  # type: ignore[attr-defined]
        if name not in NOT_SETTINGS
    ]
    call = _Call(source, module, tuple(dict.fromkeys(arguments)), takes_layer)
    innermost = inner if inner is not None else made
    of = type(innermost) if innermost is not None else kind
    multiplies = set_already.get("multiply_by_inputs", True)
    if innermost is not None and hasattr(innermost, "multiplies_by_inputs"):
        multiplies = innermost.multiplies_by_inputs
    is_slope = issubclass(of, SLOPES) or (of in SUMS_TO and not multiplies)
    sums_to = SUMS_TO.get(kind, "") if not is_slope else ""
    name = _name(made) if made is not None else kind.__name__
    bound = getattr(innermost, "layer", set_already.get("layer"))
    at = (
        next((path for path, part in module.named_modules() if part is bound), "") if module else ""
    )
    return CaptumMethod(
        name, call, "layer" if issubclass(of, attr.LayerAttribution) else "pixels", True,
        f"computed by Captum, as captum.attr.{kind.__name__} documents it",
        slope=is_slope, sums_to=cast(Any, sums_to), several=False, library="captum",
        at=at, source=source,
    )  # fmt: skip


def _name(made: attr.Attribution) -> str:
    inner = getattr(made, "attribution_method", None)
    name = type(made).__name__
    return name if inner is None else f"{name} of {_name(inner)}"


def _built(
    source: Any, forward: ForwardFunction, origin: nn.Module, layer: str | None
) -> attr.Attribution:
    """Build the object for a forward function, with the layers of its network."""
    made = source
    if _is_builder(source):
        own = {} if layer is None else {"layer": _module_at(forward.network, layer)}
        try:
            made = source(forward, **own)
        except ProbeError:
            raise
        except Exception as error:  # whatever a user's function does
            name = getattr(source, "__name__", None) or getattr(_class_of(source), "__name__", "it")
            raise ProbeError(
                f"{name} cannot be built of a forward function ({type(error).__name__}: "
                f"{_line(error)}): give functools.partial({name}, …) with what else it needs"
            ) from error
        if not isinstance(made, attr.Attribution):
            raise ProbeError(
                f"the function given as method returns {type(made).__name__}: expected one of "
                "Captum's objects, such as lambda f: NoiseTunnel(Saliency(f))"
            )
    parts = dict(origin.named_modules(remove_duplicate=False))
    new: dict[int, Any] = {
        id(part): forward.network.get_submodule(path) for path, part in parts.items() if path
    }
    new[id(origin)] = forward
    new |= {id(one): forward for one in _forwards(made) if isinstance(one, ForwardFunction)}
    rebuilt = _rebuilt(made, new)
    ours = {id(part) for part in forward.modules()}
    if any(id(part) not in ours for part in _modules_of(rebuilt)):
        raise ProbeError(
            f"Captum's {_name(made)} holds a layer of another network: take it of the one that is "
            "explained, or of the forward function, as in lambda f: "
            "LayerConductance(f, f.network.layer4)"
        )
    return rebuilt


def _check_held(made: attr.Attribution, module: nn.Module, target: Target | None) -> None:
    """Refuse an object that was built for something else than the network."""
    for forward in _forwards(made):
        network = forward.network if isinstance(forward, ForwardFunction) else forward
        if network is not module:
            what = (
                f"another network ({type(network).__name__})"
                if isinstance(network, nn.Module)
                else f"the function {getattr(network, '__name__', type(network).__name__)}"
            )
            raise ProbeError(
                f"Captum's {_name(made)} was built for {what}, and not for the network that is "
                f"explained: give the class, captum.attr.{type(made).__name__}, or an object that "
                "was built for this network"
            )
        if (
            isinstance(forward, ForwardFunction)
            and target is not None
            and forward.target is not target
            and forward.target.name != target.name
        ):
            raise ProbeError(
                f"Captum's {_name(made)} was built for target {forward.target.name!r}, and "
                f"{target.name!r} is asked for: give the class, captum.attr.{type(made).__name__}"
            )


def _forwards(made: attr.Attribution) -> Iterator[Any]:
    """Yield the models and functions that an object, and those within it, were built for."""
    yield made.forward_func
    for name, value in vars(made).items():
        if name == "model":
            yield value
        elif isinstance(value, attr.Attribution):
            yield from _forwards(value)


def _modules_of(made: attr.Attribution) -> Iterator[nn.Module]:
    """Yield the modules of networks that an object, and those within it, hold."""
    for name, value in vars(made).items():
        if isinstance(value, attr.Attribution):
            yield from _modules_of(value)
        elif name in ("forward_func", "model", "layer"):
            each = value if isinstance(value, list) else [value]
            yield from (one for one in each if isinstance(one, nn.Module))


def _rebuilt(made: attr.Attribution, new: Mapping[int, Any]) -> attr.Attribution:
    """Copy an object, with other modules in place of those that it holds."""
    rebuilt = copy.copy(made)
    for name, value in vars(made).items():
        if id(value) in new:
            value = new[id(value)]
        elif isinstance(value, attr.Attribution):
            value = _rebuilt(value, new)
        elif isinstance(value, types.MethodType) and value.__self__ is made:
            value = types.MethodType(value.__func__, rebuilt)
        elif name == "interpretable_model":
            value = copy.deepcopy(value)  # it is fitted
        elif isinstance(value, list):
            value = [new.get(id(one), one) for one in value]
        vars(rebuilt)[name] = value
    return rebuilt


def _module_at(network: nn.Module, layer: str) -> nn.Module:
    modules = dict(network.named_modules())
    if layer not in modules:
        raise ProbeError(
            f"layer {layer!r} is one call, or one part of the output, of a module, and Captum "
            f"takes whole modules{suggest(layer, filter(None, modules))}"
        )
    return modules[layer]


def _layer_of(made: attr.Attribution, network: nn.Module) -> str | None:
    """Return the name of the layer that an object holds."""
    inner = getattr(made, "attribution_method", None)
    layer = getattr(made if inner is None else inner, "layer", None)
    return next((path for path, part in network.named_modules() if part is layer), None)


def _check_needs(made: attr.Attribution, arguments: dict[str, Any], images: Tensor) -> None:
    """Refuse settings that are missing, and bring tensors to the pictures' device."""
    signatures = [inspect.signature(made.attribute)]
    if (inner := getattr(made, "attribution_method", None)) is not None:
        signatures.append(inspect.signature(inner.attribute))
    for name, parameter in [item for s in signatures for item in s.parameters.items()]:
        plain = parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        needed = plain and parameter.default is parameter.empty
        if needed and name != "inputs" and name not in arguments:
            raise ProbeError(
                f"Captum's {_name(made)} needs {name}: give it as a setting, such as "
                + ("baselines=torch.zeros(1, 3, 224, 224)" if name == "baselines" else f"{name}=…")
            )
    for name, value in arguments.items():
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(value)
        if isinstance(value, Tensor):
            dtype = images.dtype if value.is_floating_point() else value.dtype
            value = value.to(images.device, dtype)
        arguments[name] = value


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _why(name: str, error: Exception, made: attr.Attribution) -> str:
    """Return why Captum could not do it, in a line."""
    text = f"Captum's {name} fails: {_line(error) or type(error).__name__}"
    if getattr(made, "layer", None) is not None:
        text += " (the target may end before its layer, or not depend on it)"
    return text
