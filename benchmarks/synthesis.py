"""How fast a channel is visualised: `probe` beside lucent.

Run ``python benchmarks/synthesis.py``; it takes about ten minutes on two cores. Lucent is the
package ``torch-lucent``.

Each candidate takes 100 steps of Adam, 0.05, on one channel of GoogLeNet at 224 pixels, through the
transforms of Olah et al. (2017), from the Fourier parameterisation. Weights are random, which
changes no time. They take turns, since machines are noisy, and medians count: of the processor's
time, in which others on the machine count less (of all threads together), and of the time on the
clock. ``--threads`` sets how many threads each has, ``--turns`` how often each is timed.

``float32``
    As lucent computes.
``default``
    As `probe` does by default: bfloat16, where the processor has it. The same as ``float32``
    elsewhere.
``bare``
    The network alone, forward and backward, up to the layer, in float32: frozen and in
    channels_last, for pictures of the size that the transforms give. What a step of ``float32``
    takes beyond it goes into parameterisation, transforms, hooks and optimiser.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec

import torch

from probe import models
from probe.activations.capture import differentiable
from probe.models.devices import on_device
from probe.synthesis.optimise import Precision, computes_bfloat16, optimise, through
from probe.synthesis.parameterisations import Fourier
from probe.synthesis.run import Loop
from probe.synthesis.transforms import DEFAULT, generator
from probe.targets import Channel

LAYER, CHANNEL = "inception4a", 476
"""The one of lucent's own example."""

SIZE = 224
STEPS = 100
GOAL = 20 / 7
"""Times as fast as lucent."""


def ours(precision: Precision) -> Callable[[], object]:
    """Visualise the channel, once."""
    network = models.load("googlenet", "random")

    def run() -> None:
        made = Fourier(1, (SIZE, SIZE))
        slopes = through(network, Channel(LAYER, CHANNEL), DEFAULT, precision=precision)
        adam = torch.optim.Adam(made.parameters, lr=0.05)
        with on_device(network, "cpu", channels_last=True):
            optimise(made, slopes, adam, STEPS, loop=Loop(progress=False))

    return run


def bare() -> Callable[[], object]:
    """Run the network as often, forward and backward, and do nothing else."""
    module = models.load("googlenet", "random").module.eval().requires_grad_(False)
    module.to(memory_format=torch.channels_last)
    picture = torch.rand(1, 3, SIZE, SIZE, generator=generator(0))
    for transform in DEFAULT:
        picture = transform(picture, generator(0))
    picture = picture.contiguous(memory_format=torch.channels_last).requires_grad_()

    def run() -> None:
        for _ in range(STEPS):
            output = differentiable(module, picture, [LAYER])[LAYER]
            torch.autograd.grad(output[:, CHANNEL].mean(), picture)

    return run


def lucents() -> Callable[[], object]:
    """Visualise the channel with lucent, once."""
    warnings.filterwarnings("ignore")  # of its versions of torch and kornia
    from lucent.optvis import param, render

    module = models.load("googlenet", "random").module.eval()

    def run() -> None:
        render.render_vis(
            module, f"{LAYER}:{CHANNEL}", lambda: param.image(SIZE), thresholds=(STEPS,),
            progress=False, show_image=False,
        )  # fmt: skip

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    candidates = {"float32": ours("float32"), "default": ours("auto"), "bare": bare()}
    if find_spec("lucent"):
        candidates = {"lucent": lucents(), **candidates}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for turn in range(chosen.turns + 1):
        for name, run in candidates.items():
            begun = time.process_time(), time.perf_counter()
            run()
            if turn:  # the first warms up
                spent = time.process_time() - begun[0], time.perf_counter() - begun[1]
                times[name].append(spent)
    medians = {
        name: tuple(statistics.median(kind) for kind in zip(*spent, strict=True))
        for name, spent in times.items()
    }
    precision = "bfloat16" if computes_bfloat16(torch.device("cpu")) else "float32"
    print(
        f"googlenet {LAYER}:{CHANNEL}, {STEPS} steps at {SIZE} px, {chosen.threads} threads, "
        f"torch {torch.__version__}, by default {precision}"
    )
    print(f"{'':<10}{'processor s':>12}{'clock s':>10}{'times as fast as lucent':>26}")
    first = medians.get("lucent")
    for name, (processor, clock) in medians.items():
        line = f"{name:<10}{processor:12.2f}{clock:10.2f}"
        if first is not None and name in ("float32", "default"):
            line += f"{first[0] / processor:18.2f} {first[1] / clock:7.2f}"
        print(line)
    if first is not None:
        met = first[0] / medians["float32"][0] >= GOAL
        print(f"goal: {GOAL} times as fast, both in float32: {'met' if met else 'NOT met'}")


if __name__ == "__main__":
    main()
