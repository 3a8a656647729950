"""A network that is ready to look at pictures: module, weights, preprocessing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from probe.assets.checks import check, digest_of
from probe.errors import ProbeError
from probe.models.architectures import blueprint, build, import_timm
from probe.models.checkpoints import read_checkpoint
from probe.models.compact import asset_of
from probe.models.missing import Missing
from probe.models.preprocessing import Preprocessing, for_network
from probe.models.registry import (
    COMPACT,
    COMPACT_SOURCE,
    ModelName,
    is_learned,
    is_made_here,
    neurons,
    parse,
)
from probe.models.weights import fill, imagenet, official_asset, published_as, state_sha256
from probe.models.wrappings import fit_weights
from probe.progress import note


@dataclass(frozen=True)
class WeightsInfo:
    """Which weights a network has.

    Attributes
    ----------
    kind : str
        ``imagenet``; ``published``, of V4 neurons; ``recipe``, of classic networks and features,
        which are made here; ``random``; ``file``; or ``user`` for a module that the user brought.
    source : str
        Where they came from, for people.
    sha256 : str
        Of their content: names, types, shapes and bytes.
    file_sha256 : str or None
        Of the published file, where there is one.
    seed : int or None
        Of random weights.
    licence : str
        On what terms they were published; empty where that is not known.
    reason : str
        Why they came from there, where another source comes first; otherwise empty.
    """

    kind: str
    source: str
    sha256: str
    file_sha256: str | None = None
    seed: int | None = None
    licence: str = ""
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Network:
    """A network, and all that one has to know to use and to cite it.

    Attributes
    ----------
    module : torch.nn.Module
        The network. What `load` gives is in evaluation mode; a user's own is never changed.
    name : str
        As in `load`.
    weights : WeightsInfo
        Which weights it has.
    preprocessing : Preprocessing
        What a picture goes through first.
    missing : dict of str to str
        Parts without weights (module paths), and why and how to get them.
    architecture : str or None
        How the registry builds the same structure with other weights; None where it cannot.
    """

    module: nn.Module
    name: str
    weights: WeightsInfo
    preprocessing: Preprocessing
    missing: Mapping[str, str] = field(default_factory=dict)
    architecture: str | None = None

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one preprocessed picture."""
        return (3, *self.preprocessing.size)

    @property
    def why_no_untrained(self) -> str:
        """Why there is no untrained network to compare this one with; empty if there is one."""
        if self.architecture is not None:
            return ""
        if self.weights.kind == "recipe":
            return "nothing in this network is learned"
        return "only a network known by its name has one"

    def provenance(self) -> dict[str, Any]:
        """Return what decides the network's values, as plain values."""
        return {
            "model": self.name,
            "weights": self.weights.source,
            "weights_sha256": self.weights.sha256,
            "preprocessing": self.preprocessing.describe(),
            "versions": {p: metadata.version(p) for p in ("cnn-probe", "torch", "torchvision")},
        }

    def why_missing(self, layer: str) -> str | None:
        """Return why a layer is missing, and how to get it; None if it is there."""
        for prefix, reason in self.missing.items():
            if re.match(re.escape(prefix) + r"(?![^.:\[])", layer):
                return reason
        return None

    def available(self, layer: str) -> bool:
        """Return whether a layer's weights are there."""
        return self.why_missing(layer) is None

    @classmethod
    def from_module(
        cls,
        module: nn.Module,
        *,
        name: str | None = None,
        preprocessing: Preprocessing | None = None,
    ) -> Network:
        """Wrap a module of one's own, which is not changed.

        Parameters
        ----------
        module : torch.nn.Module
            Takes (n, 3, height, width).
        name : str, optional
            By default, the name of its class.
        preprocessing : Preprocessing, optional
            By default, the whole picture resized to 224×224 and normalised as for ImageNet.
        """
        if not isinstance(module, nn.Module):
            raise ProbeError(f"module {type(module).__name__}: expected a torch.nn.Module")
        weights = WeightsInfo("user", "the user's own module", state_sha256(module.state_dict()))
        chosen = preprocessing or Preprocessing("resize", (224, 224))
        return cls(module, name or type(module).__name__, weights, chosen)


def check_model(
    model: str | Network | nn.Module,
    weights: str | Path = "imagenet",
    preprocessing: Preprocessing | str | None = "resize",
) -> str | Network:
    """Check a model as a user names or brings it, before anything is downloaded.

    Parameters
    ----------
    model : str, Network or torch.nn.Module
        A name as in `load`, or a network of one's own.
    weights, preprocessing
        As in `load`. A network of one's own brings its own.

    Returns
    -------
    str or Network
        The name, of a network that exists; or the user's network.

    Raises
    ------
    ProbeError
        If there is none of this name, or weights or preprocessing are asked of a network that has
        its own.

    See Also
    --------
    as_network : The network itself.
    """
    if isinstance(model, str):
        parse(model)
        return model
    if (weights, preprocessing or "resize") != ("imagenet", "resize"):
        raise ProbeError(
            "weights and preprocessing go with a model's name; give those of a network of yours to "
            "probe.models.load or probe.models.Network.from_module"
        )
    if not isinstance(model, Network | nn.Module):
        raise ProbeError(
            f"model {type(model).__name__} is not a network: expected a name, a "
            "probe.models.Network or a torch.nn.Module"
        )
    return model if isinstance(model, Network) else Network.from_module(model)


def as_network(
    model: str | Network | nn.Module,
    weights: str | Path = "imagenet",
    preprocessing: Preprocessing | str | None = "resize",
    *,
    seed: int = 0,
    accept_licence: bool = False,
    progress: bool | None = None,
) -> Network:
    """Return the network that a user names or brings.

    Parameters
    ----------
    model : str, Network or torch.nn.Module
        A name, which is loaded; or a network of one's own, which is never changed.
    weights, preprocessing, seed, accept_licence, progress
        As in `load`, for a name.

    Raises
    ------
    ProbeError
        See `check_model` and `load`.

    Examples
    --------
    >>> from torch import nn
    >>> as_network(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())).name
    'Sequential'
    """
    model = check_model(model, weights, preprocessing)
    if isinstance(model, Network):
        return model
    return load(
        model,
        weights,
        seed=seed,
        preprocessing=preprocessing,
        accept_licence=accept_licence,
        progress=progress,
    )


def check_models(
    models: Sequence[str | Network | nn.Module],
    weights: str | Path = "imagenet",
    preprocessing: str = "resize",
) -> list[str | Network]:
    """Check models that a user names at once, and leave out those named twice.

    Parameters
    ----------
    models : sequence of str, Network or torch.nn.Module
    weights, preprocessing
        As in `load`.

    Returns
    -------
    list of str or Network

    Raises
    ------
    ProbeError
        As `check_model` does; or if two networks of one's own have one name.
    """
    checked: dict[str, str | Network] = {}
    for model in models:
        network = check_model(model, weights, preprocessing)
        if isinstance(network, str):
            checked[network] = network
            continue
        if network.name in checked:
            raise ProbeError(
                f"two networks are called {network.name!r}; probe.models.Network.from_module("
                "module, name=…) tells them apart"
            )
        checked[network.name] = network
    return list(checked.values())


def load(
    name: str,
    weights: str | Path = "imagenet",
    *,
    seed: int = 0,
    preprocessing: Preprocessing | str | None = None,
    accept_licence: bool = False,
    progress: bool | None = None,
) -> Network:
    """Load a network by name.

    Parameters
    ----------
    name : str
        A torchvision classification model, ``efficientnet_lite0``, ``timm:NAME``, ``file:PATH``
        or ``file:ARCHITECTURE@PATH``; a classic network, such as ``hmax``, or ``v1-gabor:6`` for
        pictures that span 6° of visual field; features from before networks, such as ``hog``; a
        V4 neuron as a network, ``v4-compact:201025-12`` (numbered from 0), or all of a session,
        ``v4-compact:201025``, whose output k is neuron k.
    weights : str or path
        ``imagenet`` (of V4 neurons, as published; classic networks are made here), ``random``, or
        the path of a checkpoint. A ``file:`` name brings its own, unless ``random`` is asked for.
        Of a checkpoint with several sets of weights, ``PATH#PART`` takes one, such as
        ``dino.pth#teacher``.
    seed : int
        For random weights. torch's global random state is left as it is.
    preprocessing : Preprocessing, "resize" or "torchvision", optional
        By default ``resize``: the whole picture, without crop.
    accept_licence : bool
        Whether the user accepts a restricted licence before a download.
    progress : bool, optional
        Show progress bars; by default when a person is watching.

    Returns
    -------
    Network
        On the CPU, in evaluation mode.

    Raises
    ------
    ProbeError
        If there is no such model, or its weights cannot be had or do not fit.

    See Also
    --------
    as_network : A name, or a network of one's own.
    Network.from_module : A network of one's own, with its preprocessing.
    probe.models.layers : What there is to look at in it.

    Examples
    --------
    >>> from probe import models
    >>> network = models.load("squeezenet1_1", "random", seed=1)
    >>> network.weights.source
    'random initialisation, seed 1'
    >>> network.input_shape
    (3, 224, 224)
    """
    model = parse(name)
    architecture: str | None = model.architecture
    missing: dict[str, str] = {}
    published: Any = None
    if not is_learned(model.architecture):
        if weights != "imagenet" or model.path is not None:
            raise ProbeError(
                f"model {model.architecture!r} has nothing to learn, and so takes no weights: "
                "leave --weights out"
            )
        architecture = None
    if weights == "random":
        module, info = _random(model.architecture, seed)
    elif weights == "imagenet" and model.path is None:
        if model.architecture.startswith("timm:"):
            module, info = _timm_pretrained(model.architecture)
        else:
            module, info, missing = _imagenet(model.architecture, accept_licence, progress)
    else:
        if model.path is not None and weights != "imagenet":
            raise ProbeError(f"model {name!r} brings its own weights; leave out {str(weights)!r}")
        module, info, missing, said = _from_file(model, str(model.path or weights))
        if said:
            note(f"{name}: {said}", progress is not False)
        if not _shapes(module).items() <= _shapes(blueprint(model.architecture)).items():
            architecture = None  # it tells other classes apart
        published = published_as(model.architecture, info.file_sha256 or "")
    if not isinstance(preprocessing, Preprocessing):
        preprocessing = for_network(
            model.architecture, preprocessing or "resize", module, published
        )
        if preprocessing.source:
            note(f"{name}: preprocessing {preprocessing.source}", progress is not False)
    return Network(module, name, info, preprocessing, missing, architecture)


def neuron_of(network: Network, neuron: int) -> Network:
    """Return one neuron of a session as a network of its own, which is what it is.

    Parameters
    ----------
    network : Network
        All neurons of a session, as published.
    neuron : int

    Returns
    -------
    Network
        As `load` returns it by its own name; the parameters are the session's.
    """
    label = neurons(network.architecture or "")[neuron]
    module = network.module.get_submodule(f"neurons.{neuron}")
    path = asset_of(label).path
    weights = WeightsInfo(
        network.weights.kind, f"{path.name} ({COMPACT_SOURCE})", state_sha256(module.state_dict()),
        check(path).sha256,
    )  # fmt: skip
    name = COMPACT + label
    return Network(module, name, weights, network.preprocessing, architecture=name)


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: parameter.shape for name, parameter in module.named_parameters()}


def _random(architecture: str, seed: int) -> tuple[nn.Module, WeightsInfo]:
    if not 0 <= seed < 2**63:
        raise ProbeError(f"seed {seed} is not between 0 and 2**63 - 1")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module = build(architecture)
    source = f"random initialisation, seed {seed}"
    return module, WeightsInfo("random", source, state_sha256(module.state_dict()), seed=seed)


def _imagenet(
    architecture: str, accept_licence: bool, progress: bool | None
) -> tuple[nn.Module, WeightsInfo, dict[str, str]]:
    published = imagenet(architecture, accept_licence=accept_licence, progress=progress)
    module = blueprint(architecture)
    missing = {}
    for child, part in module.named_children():
        names = part.state_dict(prefix=f"{child}.")
        if names and not any(key in published.state for key in names):
            missing[child] = _why_missing(architecture, child, published.source)
            setattr(module, child, Missing(missing[child]))
    fill(module, published.state, architecture, f"the weights from {published.source}")
    kind = "published" if neurons(architecture) else "imagenet"
    if is_made_here(architecture):
        kind = "recipe"
    sha256 = state_sha256(module.state_dict())
    info = WeightsInfo(
        kind, published.source, sha256, published.file_sha256,
        licence=published.licence, reason=published.reason,
    )  # fmt: skip
    return module, info, missing


def _why_missing(architecture: str, part: str, source: str) -> str:
    asset = official_asset(architecture)
    return (
        f"{architecture}: {part!r} has no weights, as they came from {source}; for the whole "
        f"network get torchvision's file: run `probe assets fetch {asset}` when connected, or put "
        f"it into a mirror folder (PROBE_MIRROR=DIR, as DIR/{asset}), or run `probe assets add` "
        "on a copy"
    )


def _from_file(model: ModelName, text: str) -> tuple[nn.Module, WeightsInfo, dict[str, str], str]:
    path, part = _split(text)
    if not path.exists():
        raise ProbeError(
            f"weights {text!r} do not exist: expected imagenet, random, or a checkpoint's path"
        )
    what = f"the weights in {str(path)!r}"
    fit = fit_weights(read_checkpoint(path), model.architecture, what, part)
    # An index of several files says nothing of their content.
    sha256 = None if path.suffix == ".json" else digest_of(path).sha256
    missing = {}
    for child in fit.lacking:
        missing[child] = (
            f"{model.text}: {child!r} has no weights, as {str(path)!r} holds none that fit; name "
            "another layer, or give a file that has them"
        )
        setattr(fit.module, child, Missing(missing[child]))
    source = f"file {path}" + (f" ({fit.said})" if fit.said else "")
    info = WeightsInfo("file", source, state_sha256(fit.module.state_dict()), sha256)
    return fit.module, info, missing, fit.said


def _split(text: str) -> tuple[Path, str | None]:
    """Split FILE#PART, unless a file is called so."""
    path = Path(text).expanduser()
    if path.exists() or "#" not in path.name:
        return path, None
    name, _, part = path.name.rpartition("#")
    return (path.with_name(name), part or None) if name else (path, None)


def _timm_pretrained(architecture: str) -> tuple[nn.Module, WeightsInfo]:
    timm = import_timm(architecture)
    try:
        with torch.random.fork_rng(devices=[]):
            module = timm.create_model(architecture[5:], pretrained=True).eval()
    except Exception as error:  # timm and its hub raise many kinds
        reason = str(error).split("\n")[0][:160]
        raise ProbeError(
            f"the weights of {architecture!r} cannot be downloaded ({type(error).__name__}: "
            f"{reason}); connect to the network, or give --weights random or the path of a "
            "checkpoint"
        ) from None
    source = f"timm {timm.__version__}, {architecture[5:]} (downloaded by timm, not checked here)"
    return module, WeightsInfo("imagenet", source, state_sha256(module.state_dict()))
