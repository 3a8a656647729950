"""How a user writes a target, and which classes a network has.

>>> parse("Egyptian cat", network)  # doctest: +SKIP
>>> parse("features.10:84 - 0.5*features.10:12", network)  # doctest: +SKIP
"""

from __future__ import annotations

import re

from torch import Tensor

from probe import models
from probe.activations.capture import OUTPUT, differentiable, list_parts
from probe.encoding.kept import PREFIX, find_site, model_of
from probe.errors import ProbeError, suggest
from probe.models import Network
from probe.models.architectures import official
from probe.models.known import CLASSES
from probe.models.missing import MissingLayer
from probe.models.network import neuron_of
from probe.models.registry import COMPACT, neurons
from probe.targets.kinds import Channel, Class, Norm, Response, Sum, Target, Unit
from probe.targets.names import names_site


def read(target: str | int | Target, network: Network) -> Target:
    """Read a target as a user gives it, and check that it belongs to the network.

    Parameters
    ----------
    target : str, int or Target
        As `parse` reads it; a number is a class. A `Target` is asked whether it takes the network.
    network : Network

    Returns
    -------
    Target

    Raises
    ------
    ProbeError
        If there is no such layer or class, or the target belongs to another network.
    """
    if not isinstance(target, Target):
        return parse(str(target), network)
    target.check(network)
    return target


def parse(text: str, network: Network) -> Target:
    """Read a target as a user writes it.

    Parameters
    ----------
    text : str
        - ``281``, ``tabby``, ``class:281``: a class, by number or by (a part of) its name; of V4
          neurons, ``12`` or ``201025-12``; the one output of a network that has no other, ``0``;
        - ``features.10:84``, ``conv5:84``: the mean of a channel;
        - ``features.10:84,6,6``: a unit (channel, y, x); of a transformer, channel and token;
        - ``features.10``: half the sum of squares of a layer;
        - ``[0]:281``, ``[logits]:281``: a class, where the network returns a tuple, a list or a
          dictionary; of a part with positions, a channel or a unit, ``[1]:84,6,6``;
        - ``site:v4:12``, ``site:v4:all``: a recorded site, or the mean of all, which
          `probe.encode` fitted with this network;
        - sums of these: ``tabby - 0.5*tiger cat``, with spaces around the signs; between sites,
          ``+`` needs none: ``site:v4:12+site:v4:30``.
    network : Network

    Raises
    ------
    ProbeError
        If there is no such layer or class; the message names the nearest.

    See Also
    --------
    read : The same for a number, a name or a `Target`.
    probe.saliency, probe.visualize, probe.dream : Take such texts as ``target``.

    Examples
    --------
    >>> from probe import models, targets
    >>> network = models.load("squeezenet1_1", "random")
    >>> targets.parse("tabby", network)
    Class(index=281, label='tabby', layers=('',))
    >>> targets.parse("features.4:12", network).channel
    12
    """
    pieces = re.split(r"\s+([+-])\s+|([+-])(?=(?:[\d.]+\*)?site:)", text.strip())
    # Of each sign, one of the two groups is empty.
    pieces = [piece for piece in pieces if piece is not None]
    # What begins with a sign has nothing before it.
    pieces = pieces[1:] if not pieces[0].strip() and len(pieces) > 1 else ["+", *pieces]
    terms = []
    for sign, piece in zip(pieces[::2], pieces[1::2], strict=True):
        piece = piece.strip()
        match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)\s*\*\s*)?(.*)", piece)
        assert match is not None  # the pattern takes any string
        weight = float(match[1] or 1) * (1 if sign == "+" else -1)
        terms.append((weight, _term(match[2], network)))
    if len(terms) == 1 and terms[0][0] == 1:
        return terms[0][1]
    return Sum(tuple(terms))


def home(target: str | int | Target | None, *, progress: bool | None = None) -> Network:
    """Return the network that a target belongs to, where none is named.

    Parameters
    ----------
    target : str, int, Target or None
        A recorded site, alone or among others: it knows the network that it was fitted with.
    progress : bool, optional
        Show a bar for weights that are fetched.

    Raises
    ------
    ProbeError
        If the target is something that any network may have.
    """
    network = target.home() if isinstance(target, Target) else None
    if network is not None:
        return network
    if isinstance(target, str) and is_site(target):
        model, weights, preprocessing, seed = model_of(target)
        return models.load(
            model, weights, seed=seed, preprocessing=preprocessing, progress=progress
        )
    raise ProbeError(
        "no network is named: name one, such as alexnet (--model alexnet); only recorded sites, "
        "such as site:v4:12, know their own"
    )


def is_site(target: object) -> bool:
    """Return whether a target is, or names, a recorded site, alone or among others."""
    if isinstance(target, Target):
        return target.home() is not None
    return isinstance(target, str) and names_site(target)


def _term(text: str, network: Network) -> Target:
    if text.startswith(PREFIX):
        return find_site(text, network)
    infos = models.layers(network)
    names = {name: info for info in infos for name in (info.name, info.alias, info.path) if name}
    if text.startswith("class:") or text.isdecimal():  # a number is a class, whatever layers are
        return class_of(text.removeprefix("class:"), network)
    if text in names:
        norm = Norm(_layer(text, network))
        norm.check(network)
        return norm
    if part := _PART.fullmatch(text):
        return _of_part(part, network)
    if match := re.fullmatch(r"(.+):(\d+)((?:,\d+)*)", text):
        layer, channel = _layer_of(match[1], network, text), int(match[2])
        position = tuple(int(at) for at in match[3].split(",")[1:])
        unit = Unit(layer, channel, position) if position else Channel(layer, channel)
        unit.check(network)
        return unit
    try:
        return class_of(text, network)
    except ProbeError:
        if re.search(r"[:.]\d", text):  # as layers are called, and no class is
            _layer(text.partition(":")[0], network)
        raise


_PART = re.compile(r"((?:\[[^\]]+\])+)(?::(\d+)((?:,\d+)*))?")
"""A part of what a network returns, ``[0]`` or ``[out][0]``, and perhaps a unit of it."""


def _of_part(match: re.Match[str], network: Network) -> Target:
    """Read a target in one of several tensors that the network returns."""
    part = re.sub(r"""\[(['"])(.*?)\1\]""", r"[\2]", match[1])  # as Python writes a key
    parts = models.outputs(network)
    if part not in parts:
        if not parts:
            raise ProbeError(f"{network.name} returns no tensor, and so no {part}")
        if list(parts) == [""]:
            raise ProbeError(
                f"{network.name} returns one tensor, and no {part}: a number alone is a class"
            )
        returned = list_parts({name: (1, *shape) for name, shape in parts.items()})
        raise ProbeError(f"{network.name} returns no {part}, but {returned}")
    if match[2] is None:
        return Norm(part)
    index = int(match[2])
    if len(parts[part]) == 1 and not match[3]:
        if index >= parts[part][0]:
            raise ProbeError(
                f"class {index} does not exist: {part} of {network.name} has "
                f"0 to {parts[part][0] - 1}"
            )
        return Class(index, layers=(part,))
    position = tuple(int(at) for at in match[3].split(",")[1:])
    return Unit(part, index, position) if position else Channel(part, index)


def _layer_of(text: str, network: Network, target: str) -> str:
    """Find the layer of a channel; of a part of the output, say how it is written."""
    try:
        return _layer(text, network)
    except ProbeError as error:
        if f"[{text}]" in models.outputs(network):
            rest = target.removeprefix(text)
            raise ProbeError(
                f"{text!r} is not a layer of {network.name!r}, but a part of what it returns: "
                f"write [{text}]{rest}"
            ) from None
        raise error


def _layer(text: str, network: Network) -> str:
    layer_names = models.resolve([text], network)
    if len(layer_names) != 1:
        raise ProbeError(f"{text!r} names {len(layer_names)} layers; a target has one")
    return layer_names[0]


def class_of(text: str, network: Network) -> Class | Response:
    """Find a class, or a V4 neuron, by its number or its name.

    Raises
    ------
    ProbeError
        If there is none, or several.
    """
    if not _may_have_classes(network):
        raise ProbeError(
            f"{text!r} is not a layer of {network.name!r}, which has no classes: give LAYER or "
            "LAYER:CHANNEL"
        )
    labels = class_labels(network)
    kind = Class if _competes(network) else Response
    what = "class" if kind is Class else "output"
    if re.fullmatch(r"\d+", text):
        index = int(text)
        if labels and index >= len(labels):
            numbers = f"expected 0 to {len(labels) - 1}" if len(labels) > 1 else "expected 0"
            raise ProbeError(f"{what} {index} does not exist: {numbers}")
        return kind(index, labels[index] if labels else "")
    if not labels:
        raise ProbeError(
            f"{text!r} is not a layer of {network.name!r}, and the names of its classes are not "
            "known: give a number, LAYER or LAYER:CHANNEL"
        )
    words = text.lower().strip()
    classes = [k for k, label in enumerate(labels) if label.lower() == words]
    as_word = re.compile(rf"\b{re.escape(words)}\b")
    classes = classes or [
        k for k, label in enumerate(labels) if words and as_word.search(label.lower())
    ]
    classes = classes or [k for k, label in enumerate(labels) if words and words in label.lower()]
    if len(classes) != 1:
        listed = ", ".join(f"{k} ({labels[k]})" for k in classes[:8])
        raise ProbeError(
            f"target {text!r} stands for {len(classes)} classes, name one by its number: {listed}"
            if classes
            else f"{network.name!r} has no {what} {text!r}{suggest(text, labels)}; layers "
            "are named as by `probe layers`, with :CHANNEL"
        )
    return kind(classes[0], labels[classes[0]])


def _competes(network: Network) -> bool:
    """Return whether outputs are classes, of which one is right; a single number is none."""
    return not neurons(network.architecture or "") and models.outputs(network).get("") != (1,)


def titled(model: str, target: str) -> str:
    """Name a network and what is asked of it: once, where the network is the neuron asked for."""
    return model if model == COMPACT + target else f"{model}: {target}"


def class_labels(network: Network) -> tuple[str, ...]:
    """Return the names of a network's outputs: classes, or V4 neurons; else none."""
    if network.weights.kind == "user" or network.architecture is None:
        return ()
    if names := neurons(network.architecture):
        return names
    if network.architecture in CLASSES:
        return CLASSES[network.architecture]
    return tuple(official("alexnet").meta["categories"])


def alone(
    network: Network, target: str | int | Target | None
) -> tuple[Network, str | int | Target | None]:
    """Return the one V4 neuron that is asked for, where a network is all of a session.

    They share nothing: the numbers are the same, the others are not computed, and layers and
    weights are those of this neuron.

    Parameters
    ----------
    network : Network
    target : str, int, Target or None
        As a user gives it.

    Returns
    -------
    Network, and the target in it
        As they were given, where another network or target is meant.

    Raises
    ------
    ProbeError
        If the session has no such neuron.
    """
    names = neurons(network.architecture or "")
    number = isinstance(target, (str, int)) and (str(target) in names or str(target).isdecimal())
    if len(names) < 2 or not number or network.weights.kind != "published":
        return network, target
    index = class_of(str(target), network)
    return neuron_of(network, index.index), index.label


def lone_output(network: Network) -> Response:
    """Return the one number that a network returns for a picture, such as a neuron's response.

    Raises
    ------
    ProbeError
        If it returns something else: then a target has to be named.
    """
    _check_one_neuron(network)
    if models.outputs(network).get("") != (1,):
        raise ProbeError(
            f"no target is named, and {network.name} returns more than one number: name one, such "
            "as a class, LAYER:CHANNEL, or LAYER for all its channels"
        )
    labels = class_labels(network)
    return Response(0, labels[0] if labels else "")


def _check_one_neuron(network: Network) -> None:
    """Refuse several V4 neurons, where no target is named."""
    names = neurons(network.architecture or "")
    if len(names) > 1:
        raise ProbeError(
            f"{network.name} is {len(names)} neurons, whose responses have no common scale: name "
            f"one as target, 0 to {len(names) - 1}, or as model, such as {COMPACT}{names[0]}"
        )


def _may_have_classes(network: Network) -> bool:
    """Return whether outputs may be classes, as those of features are not, nor V1's or HMAX's."""
    name = (network.architecture or network.name).partition(":")[0]
    return network.weights.kind == "user" or CLASSES.get(name) != ()


def predicted(network: Network, images: Tensor) -> Class | Response:
    """Return the class that a network sees in a picture; where it returns one number, that one.

    Parameters
    ----------
    network : Network
    images : torch.Tensor, shape (1, 3, height, width)
        Preprocessed.

    Raises
    ------
    ProbeError
        If it does not return classes, or is several V4 neurons.
    """
    _check_one_neuron(network)
    if not _may_have_classes(network):
        raise ProbeError(f"{network.name} has no classes: name a target, such as LAYER:CHANNEL")
    try:
        scores = differentiable(network.module, images.detach(), [OUTPUT])[OUTPUT]
    except MissingLayer as error:
        raise ProbeError(
            f"no class can be told, name another target, such as LAYER:CHANNEL: {error}"
        ) from None
    if scores.ndim != 2 or len(scores) != 1:
        raise ProbeError(
            f"{network.name} returns shape {tuple(scores.shape)}, and no classes: name a target, "
            "such as LAYER:CHANNEL"
        )
    labels = class_labels(network)
    if scores.shape[1] == 1:
        return Response(0, labels[0] if labels else "")
    index = int(scores.argmax())
    return Class(index, labels[index] if index < len(labels) else "")
