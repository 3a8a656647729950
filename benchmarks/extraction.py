"""How fast extraction is, and how much memory and disk it takes, beside what others do.

Run ``python benchmarks/extraction.py``; it takes about half an hour on two cores, 8 GB of memory
and 20 GB of disk, and with ``--full``, for memory at 8,192 images, an hour more. ``--only`` runs a
part:

- ``loop``: in CPU and in wall time, beside a plain loop over the same JPEG files that keeps what
  one hook, or several, sees in memory, and beside torchextractor and thingsvision where they are
  installed; all with one thread, and with two;
- ``throughput``: beside the bare forward pass, of pictures in memory and of JPEG files;
- ``peers``: beside a loop with hooks that takes one image at a time, and beside torchvision's
  ``create_feature_extractor``, which keep the same layers with ``numpy.save``;
- ``memory``: its peak, for a growing number of images;
- ``store``: bytes on disk, and reading, beside zarr-python and ``numpy.load``;
- ``write``: shards beside those of zarr-python's own codecs;
- ``precision``: memory format and autocast, in speed and in error;
- ``reducers``: what each costs.

Candidates take turns, since machines are noisy. In ``loop`` the mean of all runs counts, in the
other parts the shortest time of each. Weights are random, unless told otherwise, which changes no
time.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import probe
from probe import models
from probe.activations import ActivationStore
from probe.activations.capture import capture, forward_until
from probe.activations.engine import autocast
from probe.activations.reduce import Unreduced
from probe.activations.shards import shard_writer, write_shard
from probe.activations.store import LayerArray
from probe.models import Network
from probe.models.devices import keep_freed_memory
from probe.stimuli import StimulusSet

BATCH = 32
"""Images in a forward pass of the bare network and of torchvision's extractor; ours chooses."""

FEW = 4
"""Images that take little more time than beginning and ending."""

GOALS = {"preloaded": 0.95, "JPEG": 0.9}
MEMORY_GOAL = 1.5  # GB

LOOPS = {
    "alexnet": (("features.10",), 1.1),
    "resnet18": (("layer1", "layer2", "layer3", "layer4"), 0.9),
}
"""Layers of a network, and the most CPU time that they may take, in plain loops."""

DISK_BYTES = 2**28
"""What is written to see how fast the disk is."""

CASES = {
    "resnet50": (
        ("default", "none"),
        ("default", "srp:4096"),
        ("all", "srp:4096"),
        ("all", "mean"),
    ),
    "alexnet": (("all", "none"),),
}
"""What is kept of which network. The last has the most bytes for the least work."""

Candidate = Callable[[Path], object]
"""Is given an empty folder."""


def in_turns(turns: int, candidates: Mapping[str, Candidate]) -> dict[str, float]:
    """Give the shortest time of each candidate, in seconds; emptying its folder is not timed."""
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(turns):
        for name, candidate in candidates.items():
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                candidate(Path(folder))
                times[name].append(time.perf_counter() - start)
    return {name: min(values) for name, values in times.items()}


def cpu_seconds() -> float:
    """Return the CPU time of this process so far, in all threads, and of its children."""
    return sum(os.times()[:4])


def mean_times(turns: int, candidates: Mapping[str, Candidate]) -> dict[str, tuple[float, float]]:
    """Return the mean CPU and wall time of each candidate, in seconds, after one run of each."""
    times: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for turn in range(turns + 1):
        for name, candidate in candidates.items():
            with tempfile.TemporaryDirectory() as folder:
                cpu, wall = cpu_seconds(), time.perf_counter()
                candidate(Path(folder))
                if turn:
                    times[name].append((cpu_seconds() - cpu, time.perf_counter() - wall))
    return {name: tuple(np.mean(values, axis=0)) for name, values in times.items()}


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Give every side as many threads: torch, linear algebra, and those that decode."""
    from threadpoolctl import threadpool_limits

    before, variable = torch.get_num_threads(), os.environ.get("PROBE_THREADS")
    torch.set_num_threads(n)
    os.environ["PROBE_THREADS"] = str(n)
    try:
        with threadpool_limits(n):
            yield
    finally:
        torch.set_num_threads(before)
        if variable is None:
            del os.environ["PROBE_THREADS"]
        else:
            os.environ["PROBE_THREADS"] = variable


def loop(files: Path, turns: int, name: str) -> None:
    """Compare with what anybody would write: a loop over files, and hooks that keep arrays."""
    layers, goal = LOOPS[name]
    network = models.load(name, "random")
    candidates: dict[str, Candidate] = {
        "plain loop": lambda _: plain_loop(network, files, layers),
        "probe": lambda folder: probe.extract(
            network, files, layers, folder=folder, progress=False
        ),
    }
    for peer in (torchextractor, thingsvision):
        if (candidate := peer(network, files, layers)) is not None:
            candidates[peer.__name__] = candidate
        else:
            print(f"{peer.__name__} is not installed: left out")
    n = len(list(files.iterdir()))
    for n_threads in (1, 2):
        with threads(n_threads):
            seconds = mean_times(turns, candidates)
        print(
            f"\n{name}, {len(layers)} of its layers, {n} JPEG files, {n_threads} "
            f"thread{'s' if n_threads > 1 else ''}, mean of {turns} runs"
        )
        plain = seconds["plain loop"]
        for candidate, (cpu, wall) in seconds.items():
            limit = f" (goal ≤ {goal} in CPU)" if candidate == "probe" else ""
            print(
                f"  {candidate:<15} {cpu:6.2f} s CPU = {cpu / plain[0]:.2f} of the plain loop, "
                f"{wall:6.2f} s wall = {wall / plain[1]:.2f}{limit}"
            )


def decoded(network: Network, files: Path) -> Iterator[Tensor]:
    """Yield batches of pictures, read, decoded and preprocessed one after the other."""
    from PIL import Image

    paths = sorted(files.iterdir())
    for start in range(0, len(paths), BATCH):
        pictures = [Image.open(path).convert("RGB") for path in paths[start : start + BATCH]]
        yield torch.stack([network.preprocessing(picture) for picture in pictures])


def plain_loop(network: Network, files: Path, layers: Sequence[str]) -> dict[str, np.ndarray]:
    kept: dict[str, list[np.ndarray]] = defaultdict(list)
    modules = dict(network.module.named_modules())

    def keep(layer: str) -> Callable[..., None]:
        return lambda _module, _inputs, output: kept[layer].append(output.clone().numpy())

    handles = [modules[layer].register_forward_hook(keep(layer)) for layer in layers]
    with torch.no_grad():
        for images in decoded(network, files):
            network.module(images)
    for handle in handles:
        handle.remove()
    return {layer: np.concatenate(outputs) for layer, outputs in kept.items()}


def torchextractor(network: Network, files: Path, layers: Sequence[str]) -> Candidate | None:
    """Return torchextractor's own extractor in the same loop, or None where it is missing."""
    try:
        import torchextractor as package
    except ImportError:
        return None
    extractor = package.Extractor(network.module, list(layers))

    def run(_folder: Path) -> None:
        kept: dict[str, list[np.ndarray]] = defaultdict(list)
        with torch.no_grad():
            for images in decoded(network, files):
                for layer, output in extractor(images)[1].items():
                    kept[layer].append(output.clone().numpy())
        for outputs in kept.values():
            np.concatenate(outputs)

    return run


def thingsvision(network: Network, files: Path, layers: Sequence[str]) -> Candidate | None:
    """Return thingsvision's extraction, a pass for each layer, or None where it is missing."""
    try:
        from thingsvision import get_extractor
        from thingsvision.utils.data import DataLoader, ImageDataset
    except ImportError:
        return None
    extractor = get_extractor(
        model_name=network.name, source="torchvision", device="cpu", pretrained=False
    )

    def run(folder: Path) -> None:
        dataset = ImageDataset(
            root=str(files),
            out_path=str(folder),
            backend=extractor.get_backend(),
            transforms=extractor.get_transformations(),
        )
        for layer in layers:
            batches = DataLoader(dataset=dataset, batch_size=BATCH, backend=extractor.get_backend())
            extractor.extract_features(
                batches=batches, module_name=layer, flatten_acts=True, output_type="ndarray"
            )

    return run


def disk_rate(folder: Path) -> float:
    """Return how fast the disk takes shards, in GB/s, with nothing else to do."""
    from probe.activations.shards import SHARD_BYTES, ShardBuffer, ShardLayout

    layout = ShardLayout.choose(1, SHARD_BYTES // 4, "float32")
    n_shards = DISK_BYTES // layout.n_bytes
    buffer = ShardBuffer(layout)
    start = time.perf_counter()
    for k in range(n_shards):
        write_shard(folder / f"{k}", buffer.memory, layout.n_bytes)
    return n_shards * layout.n_bytes / 1e9 / (time.perf_counter() - start)


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


@dataclass(frozen=True)
class Pictures:
    """The same pictures as files, as uint8 arrays of a network's size, and preprocessed."""

    files: Path
    arrays: list[np.ndarray]
    tensors: Tensor

    @classmethod
    def of(cls, network: Network, files: Path) -> Pictures:
        """Read them."""
        from PIL import Image

        height, width = network.preprocessing.size
        resized = [Image.open(file).resize((width, height)) for file in sorted(files.iterdir())]
        tensors = torch.stack([network.preprocessing(picture) for picture in resized])
        return cls(files, [np.asarray(picture) for picture in resized], tensors)

    def __len__(self) -> int:
        return len(self.arrays)

    def stimuli(self, n: int | None = None) -> StimulusSet:
        """Give the arrays as a new set, of which nothing is known yet."""
        return StimulusSet([f"{k}" for k in range(len(self))][:n], self.arrays[:n], "photographs")


def bare(network: Network, tensors: Tensor, memory_format: torch.memory_format) -> None:
    """Run a network as any script does."""
    with torch.inference_mode():
        for batch in tensors.split(BATCH):
            network.module(batch.contiguous(memory_format=memory_format))


def captured(network: Network, tensors: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Give what modules return for all pictures."""
    parts = [capture(network.module, batch, layers) for batch in tensors.split(BATCH)]
    return {layer: torch.cat([part[layer] for part in parts]).float() for layer in layers}


def throughput(files: Path, turns: int, name: str) -> None:
    network = models.load(name, "random")
    pictures = Pictures.of(network, files)
    sources: dict[str, Callable[[], StimulusSet | Path]] = {
        "preloaded": pictures.stimuli,
        "JPEG": lambda: files,
        "few": lambda: pictures.stimuli(FEW),
    }

    def kept(_folder: Path) -> None:
        with keep_freed_memory():
            bare(network, pictures.tensors, torch.channels_last)

    def ours(layers: str, reduce: str, source: str) -> Candidate:
        return lambda folder: probe.extract(
            network, sources[source](), layers, reduce=reduce, folder=folder, progress=False
        )

    candidates: dict[str, Candidate] = {
        "bare": lambda _: bare(network, pictures.tensors, torch.contiguous_format),
        "channels_last": lambda _: bare(network, pictures.tensors, torch.channels_last),
        "kept": kept,
    }
    for layers, reduce in CASES[name]:
        for source in sources:
            candidates[f"{layers} {reduce} {source}"] = ours(layers, reduce, source)
    seconds = in_turns(turns, candidates)
    n = len(pictures)
    print(
        f"\n{name}, {n} images: the bare forward pass makes {n / seconds['bare']:.1f} images/s, "
        f"with channels_last (c) {n / seconds['channels_last']:.1f}; and where memory that is "
        f"freed is kept for the next batch (k), as probe does, {n / seconds['kept']:.1f}"
    )
    for layers, reduce in CASES[name]:
        for source, goal in GOALS.items():
            took = seconds[f"{layers} {reduce} {source}"]
            print(
                f"  {layers + ' layers':<14} {reduce:<8} {source:<9} {n / took:6.1f} images/s = "
                f"{seconds['bare'] / took:.2f} of bare (goal ≥ {goal}), "
                f"{seconds['channels_last'] / took:.2f} of c, {seconds['kept'] / took:.2f} of k"
            )
        if reduce == "none":
            infos = {info.name: info for info in models.layers(network)}
            names = models.resolve(layers, network)
            n_bytes = 4 * n * sum(math.prod(infos[layer].output_shape) for layer in names)
            with tempfile.TemporaryDirectory() as folder:
                rate = disk_rate(Path(folder))
            took = seconds[f"{layers} {reduce} preloaded"]
            print(
                f"  {'':<24}{n_bytes / 1e9:.2f} GB were written, at {n_bytes / 1e9 / took:.2f} "
                f"GB/s; the disk alone takes {rate:.2f} GB/s"
            )
        few = seconds[f"{layers} {reduce} few"]
        print(f"  {'':<24}{FEW} images take {few:.2f} s, nearly all of it to begin and to end")


def peers(files: Path, turns: int, name: str, which: str) -> None:
    """Others get tensors, with nothing to decode or to preprocess; ours begins with pictures."""
    from torchvision.models.feature_extraction import create_feature_extractor

    network = models.load(name, "random")
    layers = models.resolve(which, network)
    pictures = Pictures.of(network, files)
    modules = dict(network.module.named_modules())
    extractor = create_feature_extractor(network.module, layers)

    def hooks(folder: Path) -> None:
        kept: dict[str, list[np.ndarray]] = defaultdict(list)

        def keep(layer: str) -> Callable[..., None]:
            def hook(_module: object, _inputs: object, output: Tensor) -> None:
                kept[layer].append(output.clone().cpu().numpy())

            return hook

        handles = [modules[layer].register_forward_hook(keep(layer)) for layer in layers]
        with torch.no_grad():
            for image in pictures.tensors:
                network.module(image[None])
        for handle in handles:
            handle.remove()
        for layer, outputs in kept.items():
            np.save(folder / f"{layer}.npy", np.stack(outputs))

    def torchvision(folder: Path) -> None:
        with torch.no_grad():
            for k, batch in enumerate(pictures.tensors.split(BATCH)):
                for layer, output in extractor(batch).items():
                    np.save(folder / f"{layer}-{k}.npy", output.numpy())

    def ours(folder: Path) -> None:
        probe.extract(network, pictures.stimuli(), which, folder=folder, progress=False)

    seconds = in_turns(turns, {"hooks": hooks, "torchvision": torchvision, "probe": ours})
    n = len(pictures)
    outputs = captured(network, pictures.tensors[:FEW], layers)
    n_bytes = sum(4 * n * output[0].numel() for output in outputs.values())
    print(
        f"\n{name}, {which} layers, unreduced, {n} images, {n_bytes / 1e9:.1f} GB: probe "
        f"{n / seconds['probe']:.1f} images/s, fsync included"
    )
    for key, text in (
        ("hooks", "hooks, one image at a time, np.stack, np.save"),
        ("torchvision", f"create_feature_extractor, batches of {BATCH}, np.save"),
    ):
        print(
            f"  {text:<54} {n / seconds[key]:6.1f} images/s: probe is "
            f"{seconds[key] / seconds['probe']:.2f} × as fast"
        )
    with torch.no_grad():
        theirs = extractor(pictures.tensors[:FEW].clone())
    known = [layer for layer in layers if layer in theirs]
    other = [i for i in known if not torch.allclose(theirs[i], outputs[i], rtol=1e-3, atol=1e-4)]
    print(
        f"  create_feature_extractor gives other values than the module returned for {len(other)} "
        f"of {len(layers)} layers (those that an operation in place came after), and none for "
        f"{len(layers) - len(known)}"
    )


MEMORY = """
import sys
from pathlib import Path
import probe
from probe import models


def peak():
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss may be that of the process from which this one was made
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most // 1024 if sys.platform == "darwin" else most


folder, images, reduce, progress = sys.argv[1:]
network = models.load("vgg16", "random")
before = peak()
probe.extract(network, images, "all", reduce=reduce, folder=folder, progress=bool(int(progress)))
print(before, peak())
"""
"""Tells kB."""


def memory(reduce: str, sizes: Sequence[int], progress: bool) -> None:
    peaks = []
    for n in sizes:
        with photographs(n) as images, tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", MEMORY, folder, str(images), reduce, str(int(progress))],
                check=True, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            seconds = time.perf_counter() - start
        before, peak = (int(kilobytes) * 1024 / 1e9 for kilobytes in done.stdout.split())
        peaks.append(peak)
        print(
            f"  {reduce:<8} {n:>6,} images {peak:.2f} GB, of which {before:.2f} before the first "
            f"(libraries, weights); {seconds:.0f} s",
            flush=True,
        )
    print(f"  {reduce:<8} {peaks[-1] / peaks[0]:.2f} × as much at the end as at the beginning")


def store(files: Path, turns: int, reduce: str, layer: str = "features.0") -> None:
    import zarr

    from probe.activations.shards import CHUNK_NEUROIDS

    network = models.load("alexnet", "random")
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as beside:
        kept = probe.extract(network, files, "all", reduce=reduce, folder=folder, progress=False)
        n_bytes, raw = kept.n_bytes(), sum(4 * kept.array(i).size for i in kept.layers)
        print(
            f"\nAll layers of AlexNet, {reduce}, {kept.n_stimuli} images: {raw / 1e6:.1f} MB of "
            f"floats, {n_bytes / 1e6:.1f} MB on disk, {n_bytes / raw - 1:.2%} more"
        )
        array, file = kept.array(layer), Path(beside, "layer.npy")
        peer = zarr.open_array(array.path, mode="r")
        np.save(file, array[:, :])
        some = slice(0, min(CHUNK_NEUROIDS, array.shape[1]))
        readers: dict[str, dict[str, Callable[[], np.ndarray]]] = {
            "whole layer": {
                "probe": lambda: array[:, :],
                "zarr": lambda: np.asarray(peer[:, :]),
                "numpy.load": lambda: np.load(file),
            },
            f"{some.stop:,} neuroids": {
                "probe": lambda: array[:, some],
                "zarr": lambda: np.asarray(peer[:, some]),
                "numpy.load": lambda: np.array(np.load(file, mmap_mode="r")[:, some]),
            },
        }
        places = {"disk": forget, "memory": remember} if forget else {"memory": remember}
        for what, candidates in readers.items():
            for place, prepare in places.items():
                times: dict[str, list[float]] = defaultdict(list)
                for _ in range(max(5, turns)):
                    for who, read in candidates.items():
                        for content in (*array.path.iterdir(), file):
                            prepare(content)
                        start = time.perf_counter()
                        values = read()
                        times[who].append(time.perf_counter() - start)
                best = {who: min(took) for who, took in times.items()}
                others = ", ".join(
                    f"{who} {best[who] * 1e3:.1f} ms = {best[who] / best['probe']:.2f} ×"
                    for who in ("zarr", "numpy.load")
                )
                print(
                    f"  {layer}, {what:<15} ({values.nbytes / 1e6:.1f} MB) from {place:<6} probe "
                    f"{best['probe'] * 1e3:.1f} ms ({values.nbytes / 1e9 / best['probe']:.1f} "
                    f"GB/s); {others}"
                )


def write(turns: int) -> None:
    print("\nWriting a layer in batches, by our writer and by zarr's own codecs, to the same bytes")
    for name, n_stimuli, shape in (
        ("VGG-16 conv1_1", 16, (64, 224, 224)),
        ("AlexNet conv1", 256, (64, 55, 55)),
        ("ResNet-50 pool", 8192, (2048, 1, 1)),
    ):
        values = torch.randn(n_stimuli, *shape).flatten(1)
        layer = functools.partial(_one_layer, n_stimuli=n_stimuli, shape=shape)
        candidates: dict[str, Candidate] = {
            "probe": lambda folder, v=values, layer=layer: write_shards(layer(folder), v),
            "zarr": lambda folder, v=values, layer=layer: write_zarr(layer(folder), v),
        }
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            candidates["probe"](Path(first))
            candidates["zarr"](Path(second))
            files = [file.relative_to(first) for file in Path(first).rglob("c.*")]
            assert files
            assert all(Path(first, f).read_bytes() == Path(second, f).read_bytes() for f in files)
        times = in_turns(max(5, turns), candidates)
        print(
            f"  {name:<15} {values.nbytes / 1e6:6.1f} MB: probe {times['probe'] * 1e3:.0f} ms "
            f"({values.nbytes / 1e9 / times['probe']:.2f} GB/s), zarr {times['zarr'] * 1e3:.0f} ms "
            f"= {times['zarr'] / times['probe']:.2f} ×"
        )


def _one_layer(folder: Path, n_stimuli: int, shape: tuple[int, ...]) -> LayerArray:
    stimuli = {"stimulus_id": [str(k) for k in range(n_stimuli)]}
    created = ActivationStore.create(folder / "store", {"dtype": "float32"}, {}, stimuli)
    created.create_layer("layer", shape, ("channel", "y", "x"), Unreduced())
    return created.array("layer")


def write_shards(array: LayerArray, values: Tensor) -> None:
    rows = array.layout.rows
    with shard_writer() as writer:
        for start in range(0, len(values), rows):
            buffer = writer.buffer(array.layout)
            buffer.fill(0, values[start : start + rows])
            writer.put(buffer, len(values[start : start + rows]), array.shard(start // rows))


def write_zarr(array: LayerArray, values: Tensor) -> None:
    """Write batches of whole shards, and flush them to the disk, as ours are."""
    import zarr

    peer, rows = zarr.open_array(array.path, mode="r+"), max(BATCH, array.layout.rows)
    for start in range(0, len(values), rows):
        peer[start : start + rows] = values[start : start + rows].numpy()
    for file in array.shards():
        with open(file, "rb") as written:
            os.fsync(written.fileno())


def remember(file: Path) -> None:
    """Have the system keep a file in memory."""
    file.read_bytes()


def _forget(file: Path) -> None:
    """Have the system drop what it keeps of a file, so that it is read from the disk."""
    with open(file, "rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


forget = _forget if hasattr(os, "posix_fadvise") else None


def precision(files: Path, turns: int, name: str, weights: str) -> None:
    from scipy.stats import spearmanr

    from probe.similarity import rdm

    network, cpu = models.load(name, weights), torch.device("cpu")
    layers = models.resolve("default", network)
    tensors = Pictures.of(network, files).tensors[: 2 * BATCH]
    variants = {
        "contiguous float32": (torch.contiguous_format, "float32"),
        "channels_last float32": (torch.channels_last, "float32"),
        "contiguous bfloat16": (torch.contiguous_format, "bfloat16"),
        "channels_last bfloat16": (torch.channels_last, "bfloat16"),
    }

    def forward(memory_format: torch.memory_format, digits: str) -> Candidate:
        def run(_folder: Path) -> None:
            with autocast(cpu, digits):
                bare(network, tensors, memory_format)

        return run

    seconds = in_turns(turns, {key: forward(*variant) for key, variant in variants.items()})
    reference = captured(network, tensors, layers)
    rdms = {i: rdm(reference[i].flatten(1).numpy()) for i in layers}
    print(
        f"\n{name}, {weights} weights, {len(tensors)} images, default layers; errors against "
        "float32, contiguous\n"
        f"  {'':<24}{'speed':>7}  {'largest error / largest value':<34}"
        "least correlation (Spearman) of RDMs"
    )
    for key, (memory_format, digits) in variants.items():
        with autocast(cpu, digits):
            found = captured(network, tensors.contiguous(memory_format=memory_format), layers)
        errors, ranks = {}, {}
        for i in layers:
            errors[i] = float((found[i] - reference[i]).abs().max() / reference[i].abs().max())
            ranks[i] = float(spearmanr(rdms[i], rdm(found[i].flatten(1).numpy())).statistic)
        worst, least = max(errors, key=errors.__getitem__), min(ranks, key=ranks.__getitem__)
        print(
            f"  {key:<24}{seconds['contiguous float32'] / seconds[key]:6.2f} ×  "
            f"{f'{errors[worst]:.1e} ({worst})':<34}{ranks[least]:.6f} ({least})"
        )


def reducers(files: Path, turns: int, name: str) -> None:
    """Time what is spent in reducers alone, within the forward pass."""
    from probe.activations.reduce import PCA, Reducer, parse

    network = models.load(name, "random")
    layers = models.resolve("all", network)
    tensors = Pictures.of(network, files).tensors
    batch = tensors[:BATCH].contiguous(memory_format=torch.channels_last)
    candidates: dict[str, Reducer] = {
        form: parse(form, n_stimuli=len(tensors))
        for form in ("none", "mean", "max", "units:1000", "srp:1000", "srp:4096")
    }
    if name == "alexnet":  # the components of all layers of ResNet-50 take 16 GB
        outputs = captured(network, tensors, layers)
        pca = PCA(min(100, len(tensors) - 1), len(tensors))
        fitted = {i: pca.fit(i, outputs[i].flatten(1).numpy()) for i in layers}
        candidates[pca.name] = pca.with_components(fitted)
    spent: dict[str, list[float]] = defaultdict(list)

    def run(key: str) -> None:
        reducing = 0.0

        def receive(layer: str, output: Tensor) -> None:
            nonlocal reducing
            start = time.perf_counter()
            candidates[key].reduce(layer, output)
            reducing += time.perf_counter() - start

        start = time.perf_counter()
        forward_until(network.module, batch, layers, receive)
        spent["forward"].append(time.perf_counter() - start - reducing)
        spent[key].append(reducing)

    with keep_freed_memory():
        for _ in range(max(3, turns)):
            for key in candidates:
                run(key)
    forward = min(spent["forward"])
    print(
        f"\nReducers, all {len(layers)} layers of {name}: the forward pass takes "
        f"{forward / len(batch) * 1e3:.1f} ms an image"
    )
    for key in candidates:
        took, first = min(spent[key]), spent[key][0]
        print(
            f"  {key:<11} {took / len(batch) * 1e3:6.2f} ms an image = {took / forward:5.1%} of "
            f"that; {first - took:.2f} s more for the first batch"
        )


PARTS = ("loop", "throughput", "peers", "memory", "store", "write", "precision", "reducers")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", nargs="+", choices=PARTS, default=PARTS)
    add("--images", type=int, default=320, help="for throughput (320)")
    add("--loop-images", type=int, default=256, help="for loop (256)")
    add("--few", type=int, default=128, help="for all else but memory (128)")
    add("--turns", type=int, default=3, help="(3)")
    add("--full", action="store_true", help="memory for 8,192 images, too")
    add("--memory-images", type=int, nargs="+", help="(256 1024; --full: 256 2048 8192)")
    add("--unreduced-images", type=int, nargs="+", default=[32, 96], help="for memory (32 96)")
    add("--weights", default="random", choices=("random", "imagenet"), help="for precision")
    given = parser.parse_args()
    sizes = given.memory_images or ([256, 2048, 8192] if given.full else [256, 1024])

    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}")
    if "loop" in given.only:
        with photographs(given.loop_images) as files:
            for name in LOOPS:
                loop(files, given.turns, name)
    if "throughput" in given.only:
        with photographs(given.images) as files:
            for name in CASES:
                throughput(files, given.turns, name)
    if "write" in given.only:
        write(given.turns)
    with photographs(given.few) as files:
        if "peers" in given.only:
            peers(files, given.turns, "resnet50", "default")
            peers(files, given.turns, "alexnet", "all")
        if "store" in given.only:
            store(files, given.turns, "none")
            store(files, given.turns, "srp:4096")
        if "precision" in given.only:
            precision(files, given.turns, "alexnet", given.weights)
            precision(files, given.turns, "resnet50", given.weights)
        if "reducers" in given.only:
            reducers(files, given.turns, "alexnet")
            reducers(files, given.turns, "resnet50")
    if "memory" in given.only:
        print(f"\nPeak memory of all layers of VGG-16 (goal: flat, ≤ {MEMORY_GOAL} GB)")
        memory("srp:4096", sizes, given.full)
        memory("none", given.unreduced_images, given.full)


if __name__ == "__main__":
    main()
