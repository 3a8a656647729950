"""How fast a step of style transfer is, and what memory it takes, beside plain procedures.

Run ``python benchmarks/style.py``; with one thread (``OMP_NUM_THREADS=1``) times are the
processor's, in which others on the machine count less. Weights are random, which changes no time.

Beside ours stand two procedures, written here as their papers describe them, on the same network
and the same pictures, with autograd and in float32:

gram
    Gatys et al. 2016: Gram matrices of relu1_1 to relu5_1, content relu4_2, weights frozen.
newton-schulz
    Wasserstein-2 between Gaussians, with roots of matrices by 12 Newton–Schulz steps through which
    gradients flow.

Ours is timed in float32, as they are, and in the precision that it chooses by itself. Candidates
take turns, and the shortest time of each counts.

Peak memory is that of a process of its own which makes one step on a picture that is square, less
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
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from probe import models
from probe.synthesis.style import CONTENT_LAYER, LAYERS
from probe.synthesis.style_network import style_network
from probe.synthesis.style_objective import (
    Likeness,
    Loss,
    content_term,
    likeness_slopes,
    position_weights,
    style_moments,
    style_term,
)

STYLES = list(LAYERS)
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
    contents = [content_term(network, content, CONTENT_LAYER, 1.0, precision=precision)]
    slopes = likeness_slopes(network, Likeness(terms, contents), (size, size), precision=precision)
    return partial(slopes, picture, 0)


def published(size: int, distance: str) -> Callable[[], object]:
    """Give the same of a procedure that is written plainly."""
    found = models.load("vgg16", "random").module.features[:26]
    for parameter in found.parameters():
        parameter.requires_grad_(False)
    content, style, picture = pictures(size)
    names = name(found)

    def run(picture: Tensor) -> dict[str, Tensor]:
        seen, outputs = picture, {}
        for part, called in zip(found, names, strict=True):
            # Not in place, as features are kept.
            seen = F.relu(seen) if isinstance(part, nn.ReLU) else part(seen)
            if called in (*STYLES, CONTENT_LAYER):
                outputs[called] = seen
        return outputs

    with torch.no_grad():
        wanted, kept = run(style), run(content)[CONTENT_LAYER]
        grams = {layer: gram(wanted[layer]) for layer in STYLES}
        gaussians = {layer: gaussian(wanted[layer]) for layer in STYLES}

    def step() -> Tensor:
        made = picture.clone().requires_grad_()
        outputs = run(made)
        loss = F.mse_loss(outputs[CONTENT_LAYER], kept)
        for layer in STYLES:
            if distance == "gram":
                loss = loss + F.mse_loss(gram(outputs[layer]), grams[layer])
            else:
                loss = loss + wasserstein(gaussian(outputs[layer]), gaussians[layer])
        return torch.autograd.grad(loss, made)[0]

    return step


def name(features: nn.Sequential) -> list[str]:
    names, block, place = [], 1, 0
    for part in features:
        place += isinstance(part, nn.Conv2d)
        names.append(f"relu{block}_{place}" if isinstance(part, nn.ReLU) else "")
        if isinstance(part, nn.MaxPool2d):
            block, place = block + 1, 0
    return names


def gram(features: Tensor) -> Tensor:
    flat = features[0].flatten(1)
    return flat @ flat.T / flat.shape[1]


def gaussian(features: Tensor) -> tuple[Tensor, Tensor]:
    flat = features[0].flatten(1)
    mean = flat.mean(1)
    centred = flat - mean[:, None]
    return mean, centred @ centred.T / flat.shape[1] + 1e-4 * torch.eye(len(flat))


def root(matrix: Tensor, steps: int = 12) -> Tensor:
    """Newton–Schulz (Higham 2008, Functions of matrices, eq. 6.35)."""
    norm = matrix.norm()
    y, identity = matrix / norm, torch.eye(len(matrix))
    z = identity
    for _ in range(steps):
        t = (3 * identity - z @ y) / 2
        y, z = y @ t, t @ z
    return y * norm.sqrt()


def wasserstein(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> Tensor:
    half = root(other[1])
    cross = root(half @ one[1] @ half).trace()
    apart = (one[0] - other[0]).square().sum()
    return (apart + one[1].trace() + other[1].trace() - 2 * cross) / len(one[0])


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
        for turn in range(turns + 1):
            for what, step in steps.items():
                begun = clock()
                step()
                if turn:
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
    ours(size, loss, "auto")()
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
