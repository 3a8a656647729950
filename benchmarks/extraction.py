"""How fast extraction is, and how much memory and disk it takes, beside what others do.

Run ``python benchmarks/extraction.py``; it takes about half an hour on two cores, 5 GB of memory
and 20 GB of disk, and with ``--full``, for memory at 8,192 images, an hour more. ``--only`` runs a
part:

- ``throughput``: beside the bare forward pass, of pictures in memory and of JPEG files;
- ``peers``: beside a loop with hooks that takes one image at a time, and beside torchvision's
  ``create_feature_extractor``, which keep the same layers with ``numpy.save``;
- ``memory``: its peak, for a growing number of images;
- ``store``: bytes on disk, and reading, beside zarr-python and ``numpy.load``;
- ``precision``: memory format and autocast, in speed and in error;
- ``reducers``: what each costs.

Candidates take turns, and the shortest time of each counts, since machines are noisy. Weights are
random, which changes no time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

BATCH = 32
"""Images in a forward pass of the bare network and of torchvision's extractor; ours chooses."""

GOALS = {"preloaded": 0.95, "JPEG": 0.9}
MEMORY_GOAL = 1.5  # GB

CASES = {
    "resnet50": (("default", "none"), ("default", "srp:4096"), ("all", "srp:4096"), ("all", "mean")),
    "alexnet": (("all", "none"),),
}
"""What is kept of which network. The last keeps most bytes for the work."""


def in_turns(turns: int, candidates: Mapping[str, Callable[[Path], object]]) -> dict[str, float]:
    """Give the shortest time of each candidate in seconds.

    Every run gets an empty folder of its own, whose removal is not timed.
    """
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(turns):
        for name, candidate in candidates.items():
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                candidate(Path(folder))
                times[name].append(time.perf_counter() - start)
    return {name: min(values) for name, values in times.items()}


@contextmanager
def photographs(n: int) -> Iterator[Path]:
    """Give a folder with n JPEG files of 500 × 375 pixels, each of about 110 kB.

    That is the mean of ImageNet's. They show shapes before coloured noise whose amplitudes fall as
    1/f, as those of natural scenes do.
    """
    from PIL import Image

    from probe.stimuli.gratings import noise
    from probe.stimuli.shapes import shape_set

    rng = np.random.default_rng(0)
    fields = [noise(rng, size=500) for _ in range(12)]
    shapes = shape_set()
    with tempfile.TemporaryDirectory() as folder:
        for k in range(n):
            first, *others = (fields[i] for i in rng.choice(len(fields), 4, replace=False))
            scene = np.stack([0.8 * first + 0.35 * other for other in others], axis=2)
            scene = np.roll(scene, rng.integers(500, size=2), axis=(0, 1))[:375]
            shape = np.asarray(shapes.image(k % len(shapes)).resize((500, 375)), dtype=float)
            pixels = 128.0 + 190.0 * scene + 0.5 * (shape - 128.0)
            picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            picture.save(Path(folder, f"{k:05d}.jpg"), quality=90)
        yield Path(folder)


def pictures_of(files: Path, size: tuple[int, int]) -> list[np.ndarray]:
    """Decode and resize pictures: uint8, (height, width, 3)."""
    from PIL import Image

    return [
        np.asarray(Image.open(file).resize((size[1], size[0]))) for file in sorted(files.iterdir())
    ]


def throughput(files: Path, turns: int) -> None:
    import torch
    from PIL import Image

    import probe
    from probe import models
    from probe.stimuli import StimulusSet

    for name, cases in CASES.items():
        network = models.load(name, "random")
        pictures = pictures_of(files, network.preprocessing.size)
        n, names = len(pictures), [f"{k:05d}" for k in range(len(pictures))]
        tensors = torch.stack([network.preprocessing(Image.fromarray(p)) for p in pictures])

        def bare(memory_format: torch.memory_format) -> Callable[[Path], None]:
            def run(_folder: Path) -> None:
                with torch.inference_mode():
                    for batch in tensors.split(BATCH):  # noqa: B023
                        network.module(batch.contiguous(memory_format=memory_format))  # noqa: B023

            return run

        def ours(layers: str, reduce: str, source: str) -> Callable[[Path], object]:
            def run(folder: Path) -> object:
                # Made anew every time: what is known of pictures is found out every time.
                preloaded = StimulusSet(names, pictures, "photographs")  # noqa: B023
                return probe.extract(
                    network,  # noqa: B023
                    preloaded if source == "preloaded" else files,
                    layers,
                    reduce=reduce,
                    folder=folder,
                    progress=False,
                )

            return run

        candidates = {
            "bare": bare(torch.contiguous_format),
            "channels_last": bare(torch.channels_last),
        }
        for layers, reduce in cases:
            for source in GOALS:
                candidates[f"{layers} {reduce} {source}"] = ours(layers, reduce, source)
        seconds = in_turns(turns, candidates)
        print(
            f"\n{name}, {n} images: the bare forward pass takes {n / seconds['bare']:.1f} images/s, "
            f"with channels_last {n / seconds['channels_last']:.1f}"
        )
        for layers, reduce in cases:
            for source, goal in GOALS.items():
                took = seconds[f"{layers} {reduce} {source}"]
                print(
                    f"  {layers + ' layers':<14} {reduce:<8} {source:<9} {n / took:6.1f} images/s "
                    f"= {seconds['bare'] / took:.2f} of bare (goal ≥ {goal}), "
                    f"{seconds['channels_last'] / took:.2f} of channels_last"
                )


def peers(files: Path, turns: int) -> None:
    """Peers get tensors, with nothing to decode or to preprocess; ours begins with pictures."""
    import torch
    from PIL import Image
    from torchvision.models.feature_extraction import create_feature_extractor

    import probe
    from probe import models
    from probe.stimuli import StimulusSet

    for name, which in (("resnet50", "default"), ("alexnet", "all")):
        network = models.load(name, "random")
        layers = models.resolve(which, network)
        pictures = pictures_of(files, network.preprocessing.size)
        n, names = len(pictures), [f"{k:05d}" for k in range(len(pictures))]
        tensors = torch.stack([network.preprocessing(Image.fromarray(p)) for p in pictures])
        extractor = create_feature_extractor(network.module, layers)

        def hooks(folder: Path) -> None:
            kept: dict[str, list[np.ndarray]] = defaultdict(list)
            modules = dict(network.module.named_modules())  # noqa: B023

            def keep(layer: str) -> Callable[..., None]:
                def hook(_module: object, _inputs: object, output: torch.Tensor) -> None:
                    kept[layer].append(output.clone().cpu().numpy())

                return hook

            handles = [modules[i].register_forward_hook(keep(i)) for i in layers]  # noqa: B023
            with torch.no_grad():
                for image in tensors:  # noqa: B023
                    network.module(image[None])  # noqa: B023
            for handle in handles:
                handle.remove()
            for layer, outputs in kept.items():
                np.save(folder / f"{layer}.npy", np.stack(outputs))

        def torchvision(folder: Path) -> None:
            with torch.no_grad():
                for k, batch in enumerate(tensors.split(BATCH)):  # noqa: B023
                    for layer, output in extractor(batch).items():  # noqa: B023
                        np.save(folder / f"{layer}-{k}.npy", output.numpy())

        def ours(folder: Path) -> None:
            stimuli = StimulusSet(names, pictures, "photographs")  # noqa: B023
            probe.extract(network, stimuli, which, folder=folder, progress=False)  # noqa: B023

        seconds = in_turns(
            turns,
            {"hooks": hooks, "torchvision": torchvision, "probe": ours},
        )
        bytes_ = sum(
            4 * n * int(np.prod(i.output_shape)) for i in models.layers(network) if i.name in layers
        )
        print(
            f"\n{name}, {which} layers, unreduced, {n} images, {bytes_ / 1e9:.1f} GB: "
            f"probe {n / seconds['probe']:.1f} images/s"
        )
        for key, text in (
            ("hooks", "hooks, one image at a time, np.stack, np.save"),
            ("torchvision", f"create_feature_extractor, batches of {BATCH}, np.save"),
        ):
            print(
                f"  {text:<55} {n / seconds[key]:6.1f} images/s: probe is "
                f"{seconds[key] / seconds['probe']:.2f} × as fast"
            )
        whole = capture_all(network, tensors[:BATCH], layers)
        with torch.no_grad():
            theirs = extractor(tensors[:BATCH])
        wrong = [
            i for i in layers if not torch.allclose(theirs[i], whole[i], rtol=1e-3, atol=1e-4)
        ]
        print(
            f"  create_feature_extractor gives {len(wrong)} of {len(layers)} layers other values "
            "than the module returned (what an in-place ReLU made of them)"
        )


MEMORY = """
import sys
from pathlib import Path
import probe
from probe import models
folder, images, reduce, progress = sys.argv[1:]
network = models.load("vgg16", "random")
probe.extract(network, images, "all", reduce=reduce, folder=folder, progress=bool(int(progress)))
status = Path("/proc/self/status")
if status.exists():  # ru_maxrss knows that of the parent, too, from which a process was made
    print(next(int(i.split()[1]) for i in status.read_text().splitlines() if i.startswith("VmHWM")))
else:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak // 1024 if sys.platform == "darwin" else peak)
"""


def memory(sizes: Sequence[int], unreduced: Sequence[int], progress: bool) -> None:
    print(f"\nPeak memory of all layers of VGG-16 (goal: flat, ≤ {MEMORY_GOAL} GB)")
    for reduce, counts in (("srp:4096", sizes), ("none", unreduced)):
        peaks = []
        for n in counts:
            with photographs(n) as images, tempfile.TemporaryDirectory() as folder:
                command = [
                    *(sys.executable, "-c", MEMORY),
                    *(folder, str(images), reduce, str(int(progress))),
                ]
                start = time.perf_counter()
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                seconds = time.perf_counter() - start
            peaks.append(int(done.stdout) * 1024 / 1e9)
            print(f"  {reduce:<8} {n:>6,} images {peaks[-1]:.2f} GB, {seconds:.0f} s", flush=True)
        if len(peaks) > 1:
            print(f"  {reduce:<8} last / first {peaks[-1] / peaks[0]:.2f}")


def store(files: Path, turns: int) -> None:
    import zarr

    import probe
    from probe import models
    from probe.activations.shards import CHUNK_NEUROIDS

    network = models.load("alexnet", "random")
    layers = models.resolve("all", network)
    layer = "features.0"
    n = len(list(files.iterdir()))
    print(f"\nStores of all layers of AlexNet, {n} images")
    for reduce in ("none", "srp:4096"):
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as beside:
            activations = probe.extract(
                network, files, layers, reduce=reduce, folder=folder, progress=False
            )
            raw = sum(4 * activations.array(i).size for i in layers)
            print(
                f"  {reduce:<8} {raw / 1e6:8.1f} MB of floats, {activations.n_bytes() / 1e6:8.1f} MB "
                f"on disk: {activations.n_bytes() / raw - 1:.2%} more"
            )
            array = activations.array(layer)
            peer = zarr.open_array(array.path, mode="r")
            plain = Path(beside, "layer.npy")
            np.save(plain, array[:, :])
            block = slice(0, min(CHUNK_NEUROIDS, array.shape[1]))
            readers: dict[str, dict[str, Callable[[], np.ndarray]]] = {
                "whole layer": {
                    "probe": lambda: array[:, :],  # noqa: B023
                    "zarr": lambda: peer[:, :],  # noqa: B023
                    "numpy.load": lambda: np.load(plain),  # noqa: B023
                },
                f"{block.stop:,} neuroids": {
                    "probe": lambda: array[:, block],  # noqa: B023
                    "zarr": lambda: peer[:, block],  # noqa: B023
                    "numpy.load": lambda: np.array(np.load(plain, mmap_mode="r")[:, block]),  # noqa: B023
                },
            }
            for what, candidates in readers.items():
                for cold in (True, False) if hasattr(os, "posix_fadvise") else (False,):
                    times: dict[str, list[float]] = defaultdict(list)
                    for _ in range(max(5, turns)):
                        for who, read in candidates.items():
                            (forget if cold else remember)([array.path, plain.parent])
                            start = time.perf_counter()
                            values = read()
                            times[who].append(time.perf_counter() - start)
                    best = {who: min(took) for who, took in times.items()}
                    rate = values.nbytes / 1e9 / best["probe"]
                    others = ", ".join(
                        f"{who} {took * 1e3:.1f} ms = {took / best['probe']:.2f} ×"
                        for who, took in best.items()
                        if who != "probe"
                    )
                    print(
                        f"    {layer}, {what:<15} ({values.nbytes / 1e6:.0f} MB) from "
                        f"{'disk  ' if cold else 'memory'}: probe {best['probe'] * 1e3:.1f} ms "
                        f"({rate:.1f} GB/s); {others}"
                    )


def forget(folders: Sequence[Path]) -> None:
    """Have the system drop what it keeps of files, so that they are read from the disk."""
    for file in (file for folder in folders for file in folder.iterdir()):
        with open(file, "rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def remember(folders: Sequence[Path]) -> None:
    """Have the system keep files in memory."""
    for file in (file for folder in folders for file in folder.iterdir()):
        file.read_bytes()


def precision(files: Path, turns: int, weights: str) -> None:
    import torch
    from PIL import Image
    from scipy.stats import spearmanr

    from probe import models
    from probe.activations.engine import autocast
    from probe.similarity import rdm

    cpu = torch.device("cpu")
    variants = {
        "contiguous float32": (torch.contiguous_format, "none"),
        "channels_last float32": (torch.channels_last, "none"),
        "channels_last bfloat16": (torch.channels_last, "bfloat16"),
    }
    for name in ("alexnet", "resnet50"):
        network = models.load(name, weights)
        layers = models.resolve("default", network)
        pictures = pictures_of(files, network.preprocessing.size)[: 2 * BATCH]
        tensors = torch.stack([network.preprocessing(Image.fromarray(p)) for p in pictures])
        batches = tensors.split(BATCH)

        def forward(memory_format: torch.memory_format, digits: str) -> Callable[[Path], None]:
            def run(_folder: Path) -> None:
                with torch.inference_mode(), autocast(cpu, digits):
                    for batch in batches:  # noqa: B023
                        network.module(batch.contiguous(memory_format=memory_format))  # noqa: B023

            return run

        seconds = in_turns(turns, {key: forward(*variant) for key, variant in variants.items()})
        reference = capture_all(network, tensors, layers)
        rdms = {i: rdm(reference[i].flatten(1).numpy()) for i in layers}
        print(
            f"\n{name}, {weights} weights, {len(pictures)} images, default layers: error against "
            "float32, contiguous\n"
            f"  {'':<24}{'speed':>7}  {'largest error / largest value':<34}"
            "least correlation (Spearman) of RDMs"
        )
        for key, (memory_format, digits) in variants.items():
            with autocast(cpu, digits):
                found = capture_all(
                    network, tensors.contiguous(memory_format=memory_format), layers
                )
            errors = {
                i: float((found[i].float() - reference[i]).abs().max() / reference[i].abs().max())
                for i in layers
            }
            rank = {
                i: float(spearmanr(rdms[i], rdm(found[i].float().flatten(1).numpy())).statistic)
                for i in layers
            }
            worst, least = max(errors, key=errors.__getitem__), min(rank, key=rank.__getitem__)
            ratio = seconds["contiguous float32"] / seconds[key]
            error = f"{errors[worst]:.1e} ({worst})"
            print(f"  {key:<24}{ratio:6.2f} ×  {error:<34}{rank[least]:.6f} ({least})")


def reducers(files: Path, turns: int) -> None:
    """Time spent in the reducers alone, within the forward pass."""
    import torch
    from PIL import Image

    from probe import models
    from probe.activations.capture import forward_until
    from probe.activations.reduce import PCA, Reducer, parse

    for name in ("alexnet", "resnet50"):
        network = models.load(name, "random")
        layers = models.resolve("all", network)
        pictures = pictures_of(files, network.preprocessing.size)
        tensors = torch.stack([network.preprocessing(Image.fromarray(p)) for p in pictures])
        batch = tensors[:BATCH].contiguous(memory_format=torch.channels_last)
        candidates: dict[str, Reducer] = {
            form: parse(form, n_stimuli=1000)
            for form in ("none", "mean", "max", "units:1000", "srp:4096", "srp:1000")
        }
        if name == "alexnet":  # of all layers of ResNet-50, components take 16 GB
            outputs = capture_all(network, tensors, layers)
            pca = PCA(min(100, len(tensors) - 1), len(tensors))
            candidates[pca.name] = pca.with_components(
                {i: pca.fit(i, outputs[i].flatten(1).numpy()) for i in layers}
            )
            del outputs
        spent: dict[str, list[float]] = defaultdict(list)

        def run(key: str) -> None:
            total = 0.0

            def receive(layer: str, output: torch.Tensor) -> None:
                nonlocal total
                start = time.perf_counter()
                candidates[key].reduce(layer, output)  # noqa: B023
                total += time.perf_counter() - start

            start = time.perf_counter()
            forward_until(network.module, batch, layers, receive)  # noqa: B023
            spent["forward"].append(time.perf_counter() - start - total)  # noqa: B023
            spent[key].append(total)  # noqa: B023

        for _ in range(max(3, turns)):
            for key in candidates:
                run(key)
        forward = min(spent["forward"])
        print(
            f"\nReducers, all {len(layers)} layers of {name}; the forward pass takes "
            f"{forward / BATCH * 1e3:.1f} ms an image"
        )
        for key in candidates:
            took, first = min(spent[key]), spent[key][0]
            print(
                f"  {key:<11} {took / BATCH * 1e3:6.2f} ms an image = {took / forward:5.1%} of the "
                f"forward pass; {max(0.0, first - took):.2f} s more for the first batch"
            )


def capture_all(network, tensors, layers):  # type: ignore[no-untyped-def]
    """Give what modules return, of all pictures, batch by batch."""
    import torch

    from probe.activations.capture import capture

    parts = [capture(network.module, batch, layers) for batch in tensors.split(BATCH)]
    return {layer: torch.cat([part[layer] for part in parts]) for layer in layers}


PARTS = ("throughput", "peers", "memory", "store", "precision", "reducers")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--images", type=int, default=320, help="for throughput")
    parser.add_argument("--few", type=int, default=128, help="images for all else but memory")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument(
        "--memory-images", type=int, nargs="+", help="256 and 1,024; --full: 256, 2,048 and 8,192"
    )
    parser.add_argument("--unreduced-images", type=int, nargs="+", default=[32, 96])
    parser.add_argument("--full", action="store_true", help="memory for 8,192 images, too")
    parser.add_argument("--weights", default="random", choices=("random", "imagenet"))
    chosen = parser.parse_args()
    sizes = chosen.memory_images or ([256, 2048, 8192] if chosen.full else [256, 1024])

    import torch

    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}")
    if "throughput" in chosen.only:
        with photographs(chosen.images) as files:
            throughput(files, chosen.turns)
    with photographs(chosen.few) as files:
        if "peers" in chosen.only:
            peers(files, chosen.turns)
        if "store" in chosen.only:
            store(files, chosen.turns)
        if "precision" in chosen.only:
            precision(files, chosen.turns, chosen.weights)
        if "reducers" in chosen.only:
            reducers(files, chosen.turns)
    if "memory" in chosen.only:
        memory(sizes, chosen.unreduced_images, chosen.full)


if __name__ == "__main__":
    main()
