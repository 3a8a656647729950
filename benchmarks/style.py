"""How fast a step of style transfer is, and what memory it takes, beside plain procedures.

Run ``python benchmarks/style.py``; with one thread (``OMP_NUM_THREADS=1``) times are the
processor's, in which others on the machine count less. Weights are random, which changes no time.

Beside ours stand the two published procedures of ``analyses/plain_style.py``, on the same network
and the same pictures, with autograd and in float32, weights frozen: Gram matrices (Gatys et al.
2016), and Wasserstein-2 with roots of matrices by 12 Newton–Schulz steps, through which gradients
flow.

Ours is timed in float32, as they are, and in the precision that it chooses by itself, and keeps
memory that is freed from step to step, as it does at work. Candidates take turns, each with a step
before that is not counted, and the shortest time of each counts.

Peak memory is that of a process of its own which makes two steps on a picture that is square, less
what it takes after loading the network.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from probe import models
from probe.models.devices import keep_freed_memory
from probe.synthesis.style_losses import content_term, style_term
from probe.synthesis.style_network import style_network
from probe.synthesis.style_settings import LAYERS, Loss, StyleSettings
from probe.synthesis.style_tiles import (
    Likeness,
    content_features,
    likeness_gradient,
    position_weights,
    style_moments,
)

sys.path.append(str(Path(__file__).parents[1] / "analyses"))
import plain_style

STYLES = list(LAYERS["wasserstein"])
SIZES = (256, 512, 1024)
MEMORY = (1024, 2048, 4096)


def pictures(size: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(3, 3, 16, 16, generator=generator)
    return [*F.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1).split(1)]


def ours(size: int, loss: Loss, precision: str) -> Callable[[], object]:
    """Give one evaluation of the objective and its gradient, as `probe.style` does it."""
    network = style_network(models.load("vgg16", "random"))
    content, style, picture = pictures(size)
    found = style_moments(network, style, STYLES, precision=precision)
    weights = position_weights(None, (size, size), STYLES, torch.device("cpu"))
    terms = [style_term(layer, found[layer], 1.0, weights[layer], loss) for layer in STYLES]
    layer = StyleSettings.content_layer
    output = content_features(network, content, layer, precision=precision)
    positions = position_weights(None, (size, size), [layer], torch.device("cpu"))[layer]
    contents = [content_term(layer, output, 1.0, positions)]
    slopes = likeness_gradient(
        network, Likeness(terms, contents), (size, size), precision=precision
    )
    return partial(slopes, picture, 0)


def published(size: int, procedure: str) -> Callable[[], object]:
    """Give the same of a procedure that is written plainly."""
    beyond = "constant" if procedure == "gram" else "replicate"
    look = plain_style.look_through(models.load("vgg16", "random").module.features, beyond)
    content, style, picture = pictures(size)
    make = plain_style.gatys_loss if procedure == "gram" else plain_style.recipe_loss
    loss = make(look, content, style)

    def step() -> Tensor:
        made = picture.clone().requires_grad_()
        return torch.autograd.grad(loss(made), made)[0]

    return step


def clock() -> float:
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def time_steps(sizes: list[int], turns: int) -> None:
    print(f"{'size':>6} {'what':24} {'seconds':>8} {'ratio':>6}")
    for size in sizes:
        steps = {
            "gram, plain": published(size, "gram"),
            "gram, ours float32": ours(size, "gram", "float32"),
            "gram, ours auto": ours(size, "gram", "auto"),
            "newton-schulz, plain": published(size, "newton-schulz"),
            "W2, ours float32": ours(size, "wasserstein", "float32"),
            "W2, ours auto": ours(size, "wasserstein", "auto"),
        }
        best = dict.fromkeys(steps, float("inf"))
        for _ in range(turns):
            for what, step in steps.items():
                with keep_freed_memory() if "ours" in what else nullcontext():
                    step()
                    begun = clock()
                    step()
                    best[what] = min(best[what], clock() - begun)
        for what, seconds in best.items():
            plain = best["gram, plain" if what.startswith("gram") else "newton-schulz, plain"]
            print(f"{size:6} {what:24} {seconds:8.3f} {plain / seconds:6.2f}", flush=True)


def peak() -> float:
    """Give the most memory that this process ever took, in GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def measure(size: int, loss: Loss) -> None:
    models.load("vgg16", "random")
    before = peak()
    step = ours(size, loss, "auto")
    with keep_freed_memory():
        for _ in range(2):
            step()
    print(f"{size:6} {loss:24} {peak():8.2f} {before:8.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--memory", type=int, nargs="*", default=MEMORY)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--measure", nargs=2, metavar=("SIZE", "LOSS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        measure(int(given.measure[0]), given.measure[1])
        return
    if given.sizes:
        time_steps(list(given.sizes), given.turns)
    if given.memory:
        print(f"\n{'size':>6} {'loss':24} {'peak GB':>8} {'before':>8}", flush=True)
    for size in given.memory:
        for loss in ("wasserstein",):
            command = [sys.executable, __file__, "--measure", str(size), loss]
            subprocess.run(command, check=True, env={**os.environ})


if __name__ == "__main__":
    main()
