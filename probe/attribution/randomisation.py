"""Does a map depend on what the network learned? (Adebayo et al. 2018)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from probe.activations.capture import differentiable
from probe.attribution.maps import at_picture, similarities
from probe.errors import ProbeError
from probe.models.hooks import watched
from probe.progress import track
from probe.targets import Target, gradient

Method = Callable[[nn.Module, Tensor, Target], Tensor]
"""Takes a network, pictures (n, 3, height, width) and a target; gives maps."""

DRAWS = 20
"""How often weights are drawn until the target depends on the picture."""


def randomisation_test(
    method: Method,
    module: nn.Module,
    images: Tensor,
    target: Target,
    *,
    maps: Tensor | None = None,
    n_layers: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Compare maps with those of the same network whose weights are drawn anew.

    The model-randomisation test of Adebayo et al. (2018). *Cascading*: from the last layer to the
    first, one more layer is initialised at each step. *Independent*: one layer, and all others as
    they were trained. A map that stays the same does not explain what the network learned.

    Parameters
    ----------
    method : callable
        ``method(module, images, target)``, such as ``functools.partial`` of one of
        `probe.attribution.methods`.
    module : torch.nn.Module
        Is not changed: everything happens in a copy.
    images : torch.Tensor, shape (n, 3, height, width)
        Preprocessed, at least 11×11.
    target : Target
    maps : torch.Tensor, optional
        Those of ``images``, where they are made already.
    n_layers : int, optional
        After how many layers, evenly spaced from the last to the first, maps are made; by default
        all that have weights and take part in the target. The cascade initialises those between
        them, too.
    seed : int
        Of the new weights. A layer gets the same in both modes, unless they make it blind.
    progress : bool, optional
        Show a progress bar; by default when a person is watching.

    Returns
    -------
    pandas.DataFrame
        One row per mode × layer × measure × picture, from the last layer to the first: ``mode``
        (``cascading``, ``independent``), ``layer``, ``measure`` and ``similarity`` (see
        `probe.attribution.maps.similarities`), ``picture`` (its number). NaN, where a map is
        constant.

    Raises
    ------
    ProbeError
        If no layer with weights takes part, ``n_layers`` is below 1, or the network cannot be
        copied.

    Notes
    -----
    New weights come from the module's own ``reset_parameters``, where it has one, which makes batch
    normalisation forget its statistics, too; from a normal distribution of the same standard
    deviation elsewhere. What has no matrix of weights (normalisation) goes with the layer before.

    A network with new weights can be blind: behind a last ReLU, the target may be zero for every
    picture. The new weights of all layers are then drawn again.
    """
    if n_layers is not None and n_layers < 1:
        raise ProbeError(f"n_layers {n_layers}: expected 1 or more")
    images = images.detach()
    network = _copy(module)
    layers = _layers_with_weights(network, images, target)
    names = list(reversed(layers))
    depths = np.linspace(0, len(names) - 1, min(n_layers or len(names), len(names)))
    ends = [int(k) + 1 for k in depths.round()]
    trained = _at_picture(method(network, images, target) if maps is None else maps, images)

    rows: list[dict[str, Any]] = []
    # What has new weights at each step, and what gets them there.
    work = [
        ("cascading", range(end), range(start, end))
        for start, end in zip([0, *ends], ends, strict=False)
    ]
    work += [("independent", range(end - 1, end), range(end - 1, end)) for end in ends]
    for mode, new, now in track(work, desc="randomisation", unit="layer", progress=progress):
        if mode == "independent":
            _restore(network, module)
        parts = {k: [network.get_submodule(path) for path in layers[names[k]]] for k in new}
        _initialise(parts, now, network, images, target, seed)
        map_now = _at_picture(method(network, images, target), images)
        rows += [
            {
                "mode": mode,
                "layer": names[new[-1]],
                "measure": measure,
                "picture": k,
                "similarity": value,
            }
            for k, pair in enumerate(zip(trained, map_now, strict=True))
            for measure, value in similarities(*pair).items()
        ]
    return pd.DataFrame(rows)


def _at_picture(maps: Tensor, images: Tensor) -> np.ndarray:
    return at_picture(maps, (images.shape[-2], images.shape[-1])).cpu().numpy()


def _copy(module: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(module)
    except Exception as error:  # whatever the network holds
        reason = str(error).split("\n")[0]
        raise ProbeError(
            f"the network cannot be copied, as the randomisation test has to ({reason})"
        ) from None


def _layers_with_weights(
    network: nn.Module, images: Tensor, target: Target
) -> dict[str, list[str]]:
    """Find the layers that the target depends on, from the first to the last, and their modules.

    A module that is used without being called (the output projection of torch's attention) goes
    with the one around it; one without a matrix (normalisation), with the one before it.
    """
    modules = dict(network.named_modules())
    called: dict[str, None] = {}  # in the order in which they begin
    with watched(
        network,
        modules,
        lambda *_: None,
        entered=lambda path: called.setdefault(path),
        gradients=True,
    ):
        differentiable(network, images[:1], target.layers)
    own_parameters = {path: list(part.parameters(recurse=False)) for path, part in modules.items()}
    layers: dict[str, list[str]] = {}
    for path in (path for path in called if own_parameters[path]):
        if layers and all(parameter.ndim < 2 for parameter in own_parameters[path]):
            layers[list(layers)[-1]].append(path)
        else:
            layers[path or type(network).__name__] = [path]
    for path in (path for path in modules if own_parameters[path] and path not in called):
        parent = path
        while parent and parent not in called:
            parent = parent.rpartition(".")[0]
        for parts in layers.values():
            if parent in parts:
                parts.append(path)
    if not layers:
        raise ProbeError("the network has no weights that could be drawn anew")
    return layers


def _initialise(
    parts: Mapping[int, list[nn.Module]],
    now: Sequence[int],
    network: nn.Module,
    images: Tensor,
    target: Target,
    seed: int,
) -> None:
    """Draw the weights of some layers anew: of those that are named ``now``.

    If the target then does not depend on every picture, those of all are drawn again.
    """
    for attempt in range(DRAWS):
        for layer in parts if attempt else now:
            state = np.random.SeedSequence((seed, layer, attempt)).generate_state(1, np.uint64)
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                # On the CPU, whose numbers are the same wherever the network is.
                torch.default_generator.manual_seed(int(state[0]))
                for part in parts[layer]:
                    _draw(part)
        with torch.enable_grad():
            x = images.clone().requires_grad_()
            outputs = differentiable(network, x, target.layers)
            (slope,) = gradient(target(outputs), [x], target)
        if slope.flatten(1).any(1).all():
            return


def _draw(part: nn.Module) -> None:
    own_tensors = [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]
    reset = getattr(part, "reset_parameters", None)
    if not callable(reset):
        for parameter in part.parameters(recurse=False):
            sd = parameter.float().std(correction=0) if parameter.numel() > 1 else parameter.abs()
            noise = torch.randn(parameter.shape) * sd.item()
            parameter.copy_(noise.to(parameter))
        return
    fresh = copy.deepcopy(part).cpu()
    fresh.reset_parameters()  # type: ignore[operator]
    for name, tensor in own_tensors:
        tensor.copy_(getattr(fresh, name).to(tensor))


def _restore(network: nn.Module, module: nn.Module) -> None:
    """Copy the weights and buffers of the original into its copy."""
    with torch.no_grad():
        for tensors in (nn.Module.parameters, nn.Module.buffers):
            for mine, original in zip(tensors(network), tensors(module), strict=True):
                mine.copy_(original)
