"""Guided backprop and deconvnet: gradients with another rule at every ReLU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from probe.activations.relus import Rectified, Rule
from probe.attribution.gradients import gradient
from probe.errors import ProbeError
from probe.targets import Target


def guided_backprop(
    module: nn.Module, images: Tensor, target: Target, *, batch_size: int = 32
) -> Tensor:
    """Return the gradient through ReLUs that hand back nothing negative (Springenberg et al. 2015).

    Parameters
    ----------
    module : torch.nn.Module
        Its ReLUs may be anything that `Rectified` overrides.
    images : torch.Tensor, shape (n, channels, height, width)
        Preprocessed, on the module's device.
    target : Target
    batch_size : int
        Most pictures in one forward pass.

    Returns
    -------
    torch.Tensor, shape (n, channels, height, width); (n, m, …) of `probe.targets.Several`
        float32, signed.

    Raises
    ------
    ProbeError
        If a layer does not exist, the target does not depend on the picture, or ReLUs are hidden
        in TorchScript.
    """
    return _rectified("guided", module, images, target, batch_size)


def deconvnet(module: nn.Module, images: Tensor, target: Target, *, batch_size: int = 32) -> Tensor:
    """Project a target back through a deconvolutional network (Zeiler & Fergus 2014).

    Which is the gradient through ReLUs that hand back what is positive, whatever their input was.

    Parameters
    ----------
    module, images, target, batch_size
        As in `guided_backprop`.

    Returns
    -------
    torch.Tensor, shape (n, channels, height, width); (n, m, …) of `probe.targets.Several`
        float32, signed.

    Raises
    ------
    ProbeError
        As in `guided_backprop`.
    """
    return _rectified("deconvnet", module, images, target, batch_size)


def _rectified(
    rule: Rule, module: nn.Module, images: Tensor, target: Target, batch_size: int
) -> Tensor:
    for path, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise ProbeError(
                f"{f'module {path!r}' if path else 'the network'} is TorchScript, in which ReLUs "
                f"cannot be given the rule of {rule}: load the network as Python code"
            )
    with Rectified(rule):
        return gradient(module, images, target, batch_size=batch_size)
