"""How fast the tuning of all units is measured: `probe` beside the bare forward pass.

Run ``python benchmarks/tuning.py``; it takes about two minutes.

Every figure is a ratio of two times of the processor, in the same run, with the same batch and
threads, since machines are noisy and others may be at work on them; the shortest of several turns
counts.

1,000 gratings (10 orientations × 10 spatial frequencies × 10 phases) are shown to all units of
AlexNet's conv1 to conv5: those in the middle of each channel (1,152), and every one (484,992). What
counts is all that `probe.tuning` does: drawing and normalising the gratings, one forward pass for
the five layers, F0 and F1 of each unit, and its preferred values, widths and ratios. The peer is
the forward pass of as many pictures, ready-made, through the same part of the network, and nothing
else.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from probe import models
from probe.tuning.gratings import grating_tuning, show_gratings
from probe.tuning.units import layer_units

ORIENTATIONS, PHASES, BATCH = 10, 10, 60
FREQUENCIES = [2.0 * 2 ** (k / 2) for k in range(10)]
N_PICTURES = ORIENTATIONS * PHASES * len(FREQUENCIES)
MOST = 1.3
"""The ratio that is promised."""


def cpu_seconds(work: Callable[[], object]) -> float:
    """Measure the time of the processor, all threads together."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Print both ratios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--turns", type=int, default=2, help="how often each is measured")
    turns = parser.parse_args().turns
    network = models.load("alexnet")
    part = torch.nn.Sequential(*list(network.module.features)[:11])
    pictures = torch.rand(BATCH, 3, *network.preprocessing.size)

    def forward() -> None:
        with torch.inference_mode():
            for start in range(0, N_PICTURES, BATCH):
                part(pictures[: min(BATCH, N_PICTURES - start)])

    def tune(positions: str) -> int:
        units = layer_units(network, "conv", positions)
        shown = show_gratings(
            units, ORIENTATIONS, FREQUENCIES, PHASES, batch_size=BATCH, progress=False
        )
        return len(grating_tuning(units, shown).table)

    forward(), tune("middle")  # what is done once: memory is mapped, layers are traced
    times: dict[str, list[float]] = {"forward": [], "middle": [], "all": []}
    for _ in range(turns):
        times["forward"].append(cpu_seconds(forward))
        times["middle"].append(cpu_seconds(lambda: tune("middle")))
        times["all"].append(cpu_seconds(lambda: tune("all")))
    bare = min(times["forward"])
    print(f"AlexNet, conv1 to conv5, {N_PICTURES} gratings; forward pass alone {bare:.1f} s of CPU")
    for name, what in (("middle", "middle of each channel"), ("all", "every unit")):
        ratio = min(times[name]) / bare
        print(f"{what:24} {ratio:.2f} × the forward pass (at most {MOST})")


if __name__ == "__main__":
    main()
