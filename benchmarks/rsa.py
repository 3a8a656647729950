"""How fast, and how much memory: `probe` beside rsatoolbox and beside what physics allows.

Run ``python benchmarks/rsa.py``; it takes some minutes, and 13 GB of disk for a while. Every figure
is a ratio of two times taken in turns in the same run, since machines are noisy.

- RDM of 1,000 × 5,000 responses: rsatoolbox, ours, and the bare matrix product; and the metrics
  that reckon with noise, beside rsatoolbox.
- All layers of AlexNet extracted: the bare forward pass, ours, and the forward pass followed by a
  plain write of the same bytes, which is the least that any tool that keeps them has to do.
- Peak memory of an extraction of 640 and of 6,400 images.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

GOALS = {"rdm": 1.3, "extraction": 0.9}


def best_of(runs: int, **candidates: Callable[[], object]) -> dict[str, float]:
    """Time candidates in turns and give the shortest time of each, in seconds."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for candidate in candidates.values():
        candidate()
    for _ in range(runs):
        for name, candidate in candidates.items():
            start = time.perf_counter()
            candidate()
            times[name].append(time.perf_counter() - start)
    return {name: min(values) for name, values in times.items()}


def rdms() -> None:
    import rsatoolbox
    from rsatoolbox.data import Dataset
    from rsatoolbox.data.noise import prec_from_residuals
    from rsatoolbox.rdm import calc_rdm, calc_rdm_unbalanced

    from probe.similarity import rdm
    from probe.similarity.crossvalidated import crossvalidated_rdm
    from probe.similarity.noise import noise_precision

    rng = np.random.default_rng(0)
    x = rng.standard_normal((1000, 5000))
    dataset = rsatoolbox.data.Dataset(x)
    print("RDM of 1,000 stimuli × 5,000 neuroids, float64")
    for metric in ("correlation", "euclidean"):
        seconds = best_of(
            5,
            product=lambda: x @ x.T,
            probe=lambda m=metric: rdm(x, m),  # type: ignore[misc]
        )
        peer = best_of(
            2,
            rsatoolbox=lambda m=metric: rsatoolbox.rdm.calc_rdm(dataset, method=m),  # type: ignore[misc]
        )
        ours, product, theirs = seconds["probe"], seconds["product"], peer["rsatoolbox"]
        print(
            f"  {metric:<12} probe {ours * 1e3:6.0f} ms = {ours / product:.2f} × the matrix "
            f"product (goal ≤ {GOALS['rdm']}); rsatoolbox {theirs * 1e3:6.0f} ms = "
            f"{theirs / ours:.1f} × probe"
        )

    n, m, p = 200, 8, 300
    print(f"RDM of {n} conditions × {m} partitions × {p} neuroids, noise precision given")
    counts = rng.poisson(5.0, (n, m, p)).astype(float)
    condition, partition = (i.ravel() for i in np.indices((n, m)))
    x = counts.reshape(n * m, p)
    keep = ~((condition % 10 == 0) & (partition == 3))  # some conditions are missing in one
    residuals = (counts - counts.mean(axis=1, keepdims=True)).reshape(-1, p)
    precision = noise_precision(residuals)

    def given(rows: np.ndarray) -> Dataset:
        labels = {"condition": condition[rows], "partition": partition[rows]}
        return Dataset(x[rows], obs_descriptors=labels)

    full = np.ones(n * m, dtype=bool)
    folds = {"descriptor": "condition", "cv_descriptor": "partition"}
    means = counts.mean(axis=1)
    of_means, of_all, of_some = Dataset(means), given(full), given(keep)
    tasks: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "mahalanobis": (
            lambda: rdm(means, "mahalanobis", precision=precision),
            lambda: calc_rdm(of_means, method="mahalanobis", noise=precision),
        ),
        "poisson": (lambda: rdm(means, "poisson"), lambda: calc_rdm(of_means, method="poisson")),
        "crossnobis, balanced": (
            lambda: crossvalidated_rdm(x, condition, partition, precision=precision),
            lambda: calc_rdm(of_all, method="crossnobis", noise=precision, **folds),
        ),
        "crossnobis, unbalanced, identity": (
            lambda: crossvalidated_rdm(x[keep], condition[keep], partition[keep]),
            lambda: calc_rdm_unbalanced(of_some, method="crossnobis", **folds),
        ),
        "poisson, crossvalidated": (
            lambda: crossvalidated_rdm(x, condition, partition, "poisson"),
            lambda: calc_rdm_unbalanced(of_all, method="poisson_cv", **folds),
        ),
        "precision of the noise": (
            lambda: noise_precision(residuals),
            lambda: prec_from_residuals(residuals),
        ),
    }
    for name, (probe, peer_of) in tasks.items():
        ours = best_of(5, probe=probe)["probe"]
        start = time.perf_counter()
        peer_of()
        theirs = time.perf_counter() - start
        print(
            f"  {name:<33} probe {ours * 1e3:7.1f} ms; rsatoolbox {theirs * 1e3:8.0f} ms = "
            f"{theirs / ours:.0f} × probe"
        )


def extraction(n_images: int = 320) -> None:
    import torch

    from probe import models
    from probe.activations import extract
    from probe.activations.capture import forward_until
    from probe.activations.extract import BATCH_SIZE
    from probe.stimuli import StimulusSet

    network = models.load("alexnet", "random")
    layers = models.resolve("all", network)
    pictures = np.random.default_rng(0).integers(0, 256, (n_images, 224, 224, 3), dtype=np.uint8)
    names = [f"{k:05d}" for k in range(n_images)]
    batches = torch.randn(n_images, 3, 224, 224).split(BATCH_SIZE)
    turn = iter(range(1000))

    def bare() -> None:
        with torch.inference_mode():
            for batch in batches:
                network.module(batch)

    def hooks() -> None:
        for batch in batches:
            forward_until(network.module, batch, layers, lambda _name, _output: None)

    def written() -> None:
        folder = Path(tempfile.mkdtemp(dir=os.environ["PROBE_CACHE"]))
        for k, batch in enumerate(batches):
            forward_until(
                network.module,
                batch,
                layers,
                lambda name, output, k=k: output.numpy().tofile(folder / f"{name}-{k}"),  # type: ignore[misc]
            )
        shutil.rmtree(folder)

    def probe() -> None:
        # another name is another request: nothing is found in the cache
        prefix = next(turn)
        stimuli = StimulusSet([f"{prefix}-{n}" for n in names], list(pictures), "noise")
        extract(network, stimuli, layers, progress=False).delete()

    seconds = best_of(3, bare=bare, hooks=hooks, written=written, probe=probe)
    bytes_ = 4 * sum(int(np.prod(i.output_shape)) for i in models.layers(network)) * n_images
    print(f"\nAll {len(layers)} layers of AlexNet, {n_images} images, {bytes_ / 1e9:.1f} GB kept")
    for name, text in (
        ("bare", "bare forward pass"),
        ("hooks", "with hooks, outputs dropped"),
        ("written", "with hooks, outputs written by tofile"),
        ("probe", "probe: decoded, preprocessed, extracted, stored"),
    ):
        rate = n_images / seconds[name]
        print(f"  {text:<50} {rate:6.0f} images/s = {seconds['bare'] / seconds[name]:.2f} of bare")
    share = seconds["written"] / seconds["probe"]
    print(f"  goal ≥ {GOALS['extraction']} of bare; of what writing the bytes leaves: {share:.2f}")


MEMORY = """
import resource, sys
from pathlib import Path
from probe import models
from probe.activations import extract
from probe.stimuli import StimulusSet
folder, n = Path(sys.argv[1]), int(sys.argv[2])
files = sorted(folder.glob("*.jpg"))[:n]
network = models.load("alexnet", "random")
layers = models.resolve("conv", network)
stimuli = StimulusSet([f.stem for f in files], files, "noise")
extract(network, stimuli, layers, progress=False).delete()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def memory() -> None:
    from PIL import Image

    print("\nPeak memory of an extraction (the five convolutions of AlexNet)")
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for k in range(6400):
            picture = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
            picture.resize((112, 112)).save(Path(folder, f"{k:05d}.jpg"))
        peaks = {}
        for n in (640, 6400):
            done = subprocess.run(
                [sys.executable, "-c", MEMORY, folder, str(n)],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there
            peaks[n] = int(done.stdout) * unit / 1e9
            print(f"  {n:>5} images {peaks[n]:.2f} GB")
    print(f"  ratio {peaks[6400] / peaks[640]:.2f} (goal: flat)")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as cache:
        os.environ["PROBE_CACHE"] = cache
        rdms()
        extraction()
        memory()
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"\n(this process itself peaked at {own / 1e6:.2f} GB)")
