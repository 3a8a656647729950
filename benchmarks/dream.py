"""What DeepDream costs beside the bare network, and what memory a large photograph takes.

Run ``python benchmarks/dream.py``; with one thread (``OMP_NUM_THREADS=1``) times are the
processor's, in which others on the machine count less. Weights are random, which changes no time.

step
    A step of an octave (roll, tiles, gradient, its normalisation, the step itself), against the
    network's forward and backward pass alone, on the same picture and in the same precision; the
    two take turns, and the shortest time of each counts. Goal: a ratio of at most 1.15.
memory
    Peak of a process of its own in which ``probe dream`` reads a photograph of 24 megapixels,
    dreams one step in each of two octaves, and writes it. Goal: 4 GB.
seams
    Steps between neighbouring pixels of a dream across borders of tiles, against those everywhere
    else at the same place in the units' grid. Goal: a ratio of at most 1.05.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from probe import models
from probe.activations.capture import differentiable
from probe.synthesis import deepdream
from probe.synthesis.optimise import autocast, optimise
from probe.synthesis.parameterisations import Pixels
from probe.synthesis.presets import BASE, LOOKS
from probe.synthesis.run import Loop, Run
from probe.synthesis.scenery import landscape
from probe.synthesis.tiles import in_tiles
from probe.targets import Norm

CASES = [("vgg16", 512), ("vgg16", 1024), ("squeezenet1_1", 512), ("mobilenet_v2", 512)]
GOAL, GIGABYTES, SEAMS = 1.15, 4.0, 1.05


def picture(side: int) -> Tensor:
    # In whole units of the layers, as other sizes cost the bare passes more.
    pixels = landscape(side * 2 // 3 // 32 * 32, side)
    return (torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255).contiguous()


def timed(model: str, side: int, turns: int) -> bool:
    """Time one step of a dream, and the bare passes."""
    network = models.load(model, "random")
    layer = LOOKS[model]["creatures"].layers
    pixels = picture(side)
    made = Pixels(pixels)
    uphill = in_tiles(network, Norm(layer), jitter=deepdream.JITTER_PX)
    slopes = deepdream.normalise_gradient(uphill, Norm(layer), None, laplacian=False)
    descent = torch.optim.SGD(made.parameters, lr=0.006, foreach=False)

    def ours() -> None:
        optimise(made, slopes, descent, 1, loop=Loop(progress=False))

    # As the network sees it: how fast it is depends on the values, too.
    mean, std = (
        torch.tensor(v)[:, None, None]
        for v in (network.preprocessing.mean, network.preprocessing.std)
    )
    inputs = ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)

    def bare() -> None:
        seen = inputs.clone().requires_grad_()
        with autocast("auto", pixels.device):
            output = differentiable(network.module, seen, [layer])[layer]
        torch.autograd.grad(output.float().square().sum() / 2, seen)

    seconds: dict[str, list[float]] = {"dream": [], "bare": []}
    for _ in range(turns):
        for name, run in (("dream", ours), ("bare", bare)):
            start = time.thread_time() if torch.get_num_threads() == 1 else time.perf_counter()
            run()
            end = time.thread_time() if torch.get_num_threads() == 1 else time.perf_counter()
            seconds[name].append(end - start)
    ratio = min(seconds["dream"]) / min(seconds["bare"])
    print(
        f"step    {model} {layer} {pixels.shape[3]}×{pixels.shape[2]}: "
        f"{1e3 * min(seconds['dream']):.0f} ms, bare {1e3 * min(seconds['bare']):.0f} ms, "
        f"ratio {ratio:.2f} {'ok' if ratio <= GOAL else 'OVER ' + str(GOAL)}",
        flush=True,
    )
    return ratio <= GOAL


def memory(model: str, width: int, height: int) -> bool:
    """Measure the peak memory of a command on a large photograph."""
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder, "photo.jpg")
        small = Image.fromarray(landscape(400, 600))
        small.resize((width, height), Image.Resampling.BICUBIC).save(photo)
        options = ["--weights", "random", "--octaves", "2", "--scale", "4", "--steps", "1"]
        command = "from probe.cli import main; main()"
        out = str(Path(folder, "out.png"))
        subprocess.run(
            [sys.executable, "-c", command, "dream", str(photo), "-m", model, *options, "-o", out],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    print(f"memory  {model} {width}×{height}: {peak:.2f} GB "
          f"{'ok' if peak <= GIGABYTES else 'OVER ' + str(GIGABYTES)}", flush=True)  # fmt: skip
    return peak <= GIGABYTES


def seams(model: str, side: int, tile: int) -> bool:
    """Compare steps across borders of tiles with those elsewhere."""
    network = models.load(model, "random")
    layer = LOOKS[model]["creatures"].layers
    pixels = picture(side)
    settings = replace(BASE, octaves=1, steps=1, strength=4.0, tile=tile)
    # Without a roll, borders lie where they can be found.
    jitter, deepdream.JITTER_PX = deepdream.JITTER_PX, 0
    try:
        run = Run(pixels.device, progress=False)
        detail = deepdream.dream_detail(pixels, network, Norm(layer), settings, run)
    finally:
        deepdream.JITTER_PX = jitter
    steps = np.abs(np.diff(detail[0].numpy(), axis=2)).mean((0, 1))
    borders = np.arange(tile - 1, len(steps), tile)
    alike = np.arange(32 - 1, len(steps), 32)
    ratio = steps[borders].mean() / steps[np.setdiff1d(alike, borders)].mean()
    print(f"seams   {model} {layer}, tiles of {tile}: ratio {ratio:.3f} "
          f"{'ok' if ratio <= SEAMS else 'OVER ' + str(SEAMS)}", flush=True)  # fmt: skip
    return bool(ratio <= SEAMS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=["step", "memory", "seams"])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--model", default="vgg16", help="whose memory is measured")
    chosen = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    met: list[bool] = []
    if chosen.only in (None, "step"):
        met += [timed(model, side, chosen.turns) for model, side in CASES]
    if chosen.only in (None, "seams"):
        met += [seams("vgg16", 768, 128)]
    if chosen.only in (None, "memory"):
        met += [memory(chosen.model, 6000, 4000)]
    print(f"{sum(met)} of {len(met)} goals met")


if __name__ == "__main__":
    main()
