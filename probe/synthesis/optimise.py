"""The loop in which a picture is made: the same for visualisations, dreams and style transfer.

parameterisation → pictures → gradient (of an objective, with respect to the pictures) → optimiser

The two halves meet at the pictures. What a picture is made of, and how its gradient comes about
(at once, in tiles, from crops), know nothing of each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from probe import targets
from probe.activations.capture import differentiable
from probe.activations.relus import Rectified
from probe.errors import ProbeError
from probe.models import Network
from probe.progress import track
from probe.synthesis.parameterisations import Parameterisation
from probe.synthesis.run import Loop, Stopped
from probe.synthesis.settings import PRECISIONS, Precision
from probe.synthesis.transforms import Transform, generator
from probe.targets import Target

ValueAndGradient = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""An objective: takes pictures, (n, 3 or 4, height, width) in 0–1, and the number of the step, and
returns a value for each, (n,), and the gradient of their sum with respect to the pictures."""

REDIRECTED_STEPS = 16
"""Steps in which silent ReLUs are woken (Olah et al. 2017, in their code)."""

SAVE_INTERVAL_S = 60.0
"""Seconds between two states that are kept, in case nobody is asked before the end."""

WINDOW_STEPS = 32
"""Steps that are averaged, to decide whether a picture still changes."""


def optimise(
    made: Parameterisation,
    objective: ValueAndGradient,
    optimiser: torch.optim.Optimizer,
    steps: int,
    *,
    tolerance: float = 0.0,
    loop: Loop = Loop(),  # noqa: B008 - it is frozen
    desc: str = "optimise",
) -> Tensor:
    """Change what pictures are made of, such that an objective grows.

    Whatever is drawn at random in a step depends on its number alone, so that a run that was
    stopped goes on to the same bytes.

    Parameters
    ----------
    made : Parameterisation
        Is changed.
    objective : callable
        See `ValueAndGradient`; `through` makes one.
    optimiser : torch.optim.Optimizer
        Over ``made.parameters``; of any kind, also one that asks for several evaluations of a step.
    steps : int
    tolerance : float
        Stop early when the objective, averaged over `WINDOW_STEPS`, has grown by less than this
        share of its magnitude since the average before; 0 never stops.
    loop : Loop
        Where it goes on, what is kept and shown, and what stops it.
    desc : str
        What the progress bar calls the work.

    Returns
    -------
    torch.Tensor, shape (steps, n)
        The objective before every step; fewer rows if it stopped early.

    Raises
    ------
    Stopped
        If ``loop.stop`` was set.
    ProbeError
        If a value or a gradient is not finite: the message names the step.
    """
    history: list[Tensor] = []
    if loop.state is not None:
        with torch.no_grad():
            for tensor, saved in zip(made.parameters, loop.state["parameters"], strict=True):
                tensor.copy_(saved)
        optimiser.load_state_dict(deepcopy(loop.state["optimiser"]))
        history = [*loop.state["history"]]

    def now() -> dict[str, Any]:
        return {
            "parameters": [tensor.detach().clone() for tensor in made.parameters],
            "optimiser": deepcopy(optimiser.state_dict()),
            "history": torch.stack(history) if history else torch.empty(0),
        }

    saved = time.monotonic()
    bar = track(
        range(len(history), steps), desc=desc, unit="step", progress=loop.progress,
        total=steps, initial=len(history),
    )  # fmt: skip
    for step in bar:
        if loop.stop is not None and loop.stop.is_set():
            if loop.keep is not None:
                loop.keep(now())
            raise Stopped
        if loop.keep is not None and time.monotonic() - saved > SAVE_INTERVAL_S:
            loop.keep(now())
            saved = time.monotonic()
        values: list[Tensor] = []

        def evaluate(step: int = step, values: list[Tensor] = values) -> float:
            optimiser.zero_grad()
            with torch.enable_grad():
                pictures = made()
            value, gradient = objective(pictures.detach(), step)
            if not (value.isfinite().all() and gradient.isfinite().all()):
                raise ProbeError(
                    f"the objective or its gradient is not finite in step {step + 1}: try a "
                    "smaller step or precision float32"
                )
            pictures.backward(-gradient)  # optimisers descend
            values.append(value.detach().float().cpu())
            return -float(value.sum())

        optimiser.step(evaluate)
        made.bound()
        history.append(values[0])
        if loop.preview and loop.preview_every and (step + 1) % loop.preview_every == 0:
            with torch.no_grad():
                loop.preview(made())
        if tolerance and _settled(history, tolerance):
            break
    return torch.stack(history) if history else torch.empty(0)


def _settled(history: list[Tensor], tolerance: float) -> bool:
    if len(history) < 2 * WINDOW_STEPS or len(history) % WINDOW_STEPS:
        return False
    before, now = (
        torch.stack(history[k:][:WINDOW_STEPS]).mean() for k in (-2 * WINDOW_STEPS, -WINDOW_STEPS)
    )
    return bool(now - before <= tolerance * before.abs())


def through(
    network: Network,
    target: Target,
    transforms: Sequence[Transform] = (),
    *,
    seed: int = 0,
    waking: int = REDIRECTED_STEPS,
    precision: Precision = "auto",
) -> ValueAndGradient:
    """Return value and gradient of a target through transforms and a network.

    Parameters
    ----------
    network : Network
        On the device of the pictures.
    target : Target
        Of pictures that can be seen through, its number v becomes v − abs(v)·(mean opacity), else
        they would be opaque everywhere (Mordvintsev et al. 2018, who multiply v, which is above 0,
        by the mean transparency: the same).
    transforms : sequence of Transform
        One after the other, before the network's own normalisation.
    seed : int
        Of the transforms.
    waking : int
        Steps in which silent ReLUs are woken: see `probe.activations.relus.Rectified`. Without,
        what begins where a ReLU gives nothing stays grey.
    precision : {"auto", "float32", "bfloat16"}
        ``auto``: bfloat16 where the processor computes it by itself, and float32 elsewhere.

    Returns
    -------
    callable
        See `ValueAndGradient`. It computes nothing of which the gradient is not asked: no gradient
        with respect to weights, no layer after the last that the target looks at.
    """
    dtype = next((p.dtype for p in network.module.parameters()), torch.float32)

    def objective(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
        rng = generator(seed, step)
        with torch.enable_grad():
            leaf = pictures.detach().requires_grad_()
            inputs = leaf
            for transform in transforms:
                inputs = transform(inputs, rng)
            inputs = network.preprocessing.normalise(inputs).to(dtype)
            # As its convolutions are faster; the values are the same.
            inputs = inputs.contiguous(memory_format=torch.channels_last)
            redirected = Rectified("redirected") if step < waking else nullcontext()
            with autocast(precision, inputs.device), redirected:
                outputs = differentiable(network.module, inputs, target.layers)
            values = target({layer: output.float() for layer, output in outputs.items()})
            if leaf.shape[1] == 4:
                values = values - values.abs() * leaf[:, 3].mean((1, 2))
        (gradient,) = targets.gradient(values, [leaf], target)
        return values.detach(), gradient

    return objective


def autocast(precision: Precision, device: torch.device) -> Any:
    """Return the context in which a network computes in a precision.

    Raises
    ------
    ProbeError
        If there is no such precision.
    """
    if precision not in PRECISIONS:
        raise ProbeError(f"precision {precision!r}: expected one of {', '.join(PRECISIONS)}")
    half = resolve_precision(precision, device) == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=half)


def resolve_precision(precision: Precision, device: torch.device) -> Precision:
    """Return the precision that ``auto`` is on a device; see `computes_bfloat16`."""
    if precision != "auto":
        return precision
    return "bfloat16" if computes_bfloat16(device) else "float32"


def computes_bfloat16(device: torch.device) -> bool:
    """Return whether a processor has instructions for bfloat16; others are slower with it."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return False
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def as_array(picture: Tensor) -> np.ndarray:
    """Return a picture, (channels, height, width) in 0–1, as uint8, (height, width, channels)."""
    pixels = picture.detach().float().cpu().clamp(0, 1).mul(255).round().byte()
    return pixels.permute(1, 2, 0).contiguous().numpy()
