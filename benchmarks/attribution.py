"""How fast maps are made: `probe` beside Captum and pytorch-grad-cam.

Run ``python benchmarks/attribution.py``; it takes about a quarter of an hour on two cores. Captum
and pytorch-grad-cam (``pip install grad-cam``) are timed where they are installed and have the
method. ``--only grad-cam,lrp`` runs some methods; ``--turns`` sets how often each is timed.

All candidates explain the same class of the same network for the same picture, with as many steps,
samples or channels, in batches as large. They take turns, and the shortest time of each counts,
since machines are noisy; with one thread (``OMP_NUM_THREADS=1``) it is the processor's time, in
which others on the machine count less. What can be made beforehand is not timed: the peers' objects
and their hooks. Weights are random, which changes no time, and no ReLU works in place, which the
peers' hooks do not bear.

Agreement is 1 − the largest difference, relative to the largest value. pytorch-grad-cam gives maps
that are rectified, stretched from 0 to 1 and enlarged: for it, and for methods that draw random
numbers, or differ in scale, it is a correlation (r).

At the end, what the memory grows by over 200 calls.
"""

from __future__ import annotations

import argparse
import copy
import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import Any

os.environ["TQDM_DISABLE"] = "1"  # pytorch-grad-cam's bars

import numpy as np
import psutil
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from probe import models
from probe.attribution.methods import METHODS, Method
from probe.targets import Class

KIND = 10
"""The class that is explained: one for which no map is empty."""

BATCH, STEPS, SAMPLES, MASKS = 8, 16, 16, 64
WINDOW, STRIDE = 32, 16

SETTINGS: dict[str, dict[str, Any]] = {
    "smoothgrad": {"samples": SAMPLES},
    "vargrad": {"samples": SAMPLES},
    "integrated-gradients": {"steps": STEPS},
    "expected-gradients": {"samples": SAMPLES, "baselines": torch.zeros(1, 3, 224, 224)},
    "occlusion": {"size": WINDOW, "stride": STRIDE},
    "rise": {"masks": MASKS},
    "lrp": {"rule": "epsilon", "epsilon": 1e-9},  # Captum's
}

ELSEWHERE = dict.fromkeys(["deeplift", "lrp", "score-cam", "ablation-cam"], "alexnet")
"""Captum has the first two for networks without shortcuts alone, and the others take a pass of the
network per channel. What is not named here is of ResNet-18."""

SIMILAR = ("smoothgrad", "vargrad", "expected-gradients", "integrated-gradients", "occlusion")
"""Other random numbers, other places on the way, another scale."""

LONG = 60.0
"""Seconds after which a method is not timed again."""

CALLS = 200

NOISE = 1.05
"""Times that differ by less are called the same: as much lies between two runs of one candidate."""

Map = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """A network, a picture and a layer.

    Attributes
    ----------
    name : str
    layer : str
        For methods that have a map of a layer.
    """

    name: str
    layer: str = ""
    module: nn.Module = field(init=False)
    images: Tensor = field(init=False)

    def __post_init__(self) -> None:
        module = models.load(self.name, "random").module.eval()
        for part in module.modules():
            if hasattr(part, "inplace"):
                part.inplace = False
        object.__setattr__(self, "module", module)
        generator = torch.Generator().manual_seed(0)
        object.__setattr__(self, "images", torch.randn(1, 3, 224, 224, generator=generator))

    @property
    def at(self) -> nn.Module:
        """The layer."""
        return self.module.get_submodule(self.layer)


def captum_peer(method: str, case: Case) -> Map | None:
    """Give what Captum does for the same map, if it has it."""
    if not find_spec("captum"):
        return None
    from captum import attr

    module, x = case.module, case.images

    def noisy(kind: str) -> Map:
        tunnel = attr.NoiseTunnel(attr.Saliency(module))
        return lambda: tunnel.attribute(
            x, target=KIND, nt_type=kind, nt_samples=SAMPLES, nt_samples_batch_size=BATCH,
            stdevs=0.15 * float(x.max() - x.min()), abs=False,
        )  # fmt: skip

    def of_channels() -> Tensor:
        peer = attr.LayerFeatureAblation(module, case.at)
        with torch.no_grad():
            activation = attr.LayerActivation(module, case.at).attribute(x)
            channels = torch.arange(activation.shape[1])[None, :, None, None]
            lost = peer.attribute(
                x,
                target=KIND,
                layer_mask=channels.expand_as(activation),
                perturbations_per_eval=BATCH,
            )
            score = module(x)[:, KIND].abs()
        return ((lost * activation).sum(1) / score).relu()

    def of_layer() -> Tensor:
        return layer_grad_cam.attribute(x, KIND, relu_attributions=True)[:, 0]

    layer_grad_cam = attr.LayerGradCam(module, case.at)
    zero = torch.zeros_like(x)
    peers: dict[str, Callable[[], Map]] = {
        "gradient": lambda: partial(attr.Saliency(module).attribute, x, KIND, abs=False),
        "input-x-gradient": lambda: partial(attr.InputXGradient(module).attribute, x, KIND),
        "smoothgrad": lambda: noisy("smoothgrad"),
        "vargrad": lambda: noisy("vargrad"),
        "integrated-gradients": lambda: partial(
            attr.IntegratedGradients(module).attribute,
            x, target=KIND, n_steps=STEPS, internal_batch_size=BATCH,
        ),
        "expected-gradients": lambda: partial(
            attr.GradientShap(module).attribute, x, zero, n_samples=SAMPLES, target=KIND
        ),
        "deeplift": lambda: partial(attr.DeepLift(module).attribute, x, target=KIND),
        "lrp": lambda: partial(attr.LRP(module).attribute, x, KIND),
        "guided-backprop": lambda: partial(attr.GuidedBackprop(module).attribute, x, KIND),
        "deconvnet": lambda: partial(attr.Deconvolution(module).attribute, x, KIND),
        "occlusion": lambda: partial(
            attr.Occlusion(module).attribute,
            x, (3, WINDOW, WINDOW), (3, STRIDE, STRIDE), target=KIND, perturbations_per_eval=BATCH,
        ),
        "guided-grad-cam": lambda: partial(
            attr.GuidedGradCam(module, case.at).attribute, x, KIND, interpolate_mode="bilinear"
        ),
        "grad-cam": lambda: of_layer,
        "ablation-cam": lambda: of_channels,
    }  # fmt: skip
    return peers[method]() if method in peers else None


def grad_cam_peer(method: str, case: Case) -> Map | None:
    """Give what pytorch-grad-cam does for the same map, if it has it."""
    if not find_spec("pytorch_grad_cam"):
        return None
    import pytorch_grad_cam as peer
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    if method == "guided-backprop":
        guided = peer.GuidedBackpropReLUModel(case.module, device=case.images.device)
        # It adds to the gradient that it finds: a new picture each time.
        return lambda: guided(case.images.clone(), KIND).transpose(2, 0, 1)[None]
    names = {
        "grad-cam": "GradCAM",
        "grad-cam++": "GradCAMPlusPlus",
        "hires-cam": "HiResCAM",
        "layer-cam": "LayerCAM",
        "score-cam": "ScoreCAM",
        "ablation-cam": "AblationCAM",
    }
    if method not in names:
        return None
    cam = getattr(peer, names[method])(case.module, [case.at])
    cam.batch_size = BATCH
    return lambda: cam(case.images, [ClassifierOutputTarget(KIND)])


PEERS = {"captum": captum_peer, "pytorch-grad-cam": grad_cam_peer}


def in_turns(turns: int, candidates: Mapping[str, Map]) -> dict[str, float]:
    """Time candidates in turns and give the shortest time of each, in seconds."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times: dict[str, list[float]] = defaultdict(list)
    start = time.perf_counter()
    for turn in range(turns + 1):
        for name, candidate in candidates.items():
            begin = clock()
            candidate()
            times[name].append(clock() - begin)
        if turn and time.perf_counter() - start > LONG:
            break
    return {name: min(values) for name, values in times.items()}


def agreement(ours: Tensor, theirs: Any, exact: bool) -> str:
    """Say how far two maps are the same."""
    theirs = torch.as_tensor(np.asarray(theirs.detach() if isinstance(theirs, Tensor) else theirs))
    if ours.ndim == 3 and theirs.shape != ours.shape:
        ours = F.interpolate(ours[:, None].relu(), theirs.shape[1:], mode="bilinear")[:, 0]
        exact = False
    if exact:
        return f"{1 - float((ours - theirs).abs().max() / theirs.abs().max()):.6f}"
    both = torch.stack([ours.flatten().double(), theirs.flatten().double()])
    return f"r = {float(torch.corrcoef(both)[0, 1]):.4f}"


def timed(method: Method, case: Case, turns: int) -> bool | None:
    """Print a method's line, and tell whether it is as fast as the faster peer, if it has one."""
    given: dict[str, Any] = SETTINGS.get(method.name, {}) | {"batch_size": BATCH}
    if method.kind == "layer" or method.name == "guided-grad-cam":
        given = given | {"layer": case.layer}
    ours = partial(method.function, case.module, case.images, Class(KIND), **given)
    candidates: dict[str, Map] = {"probe": ours}
    for name, peer in PEERS.items():
        # On a copy: the hooks that it leaves would be timed with ours.
        if (candidate := peer(method.name, copy.deepcopy(case))) is not None:
            candidates[name] = candidate
    seconds = in_turns(turns, candidates)
    first = seconds.pop("probe")
    line = f"{method.name:<22}{case.name:<15}{first * 1e3:9.1f}"
    for name in PEERS:
        line += f"{seconds[name] * 1e3:12.1f}" if name in seconds else f"{'–':>12}"
    if not seconds:
        print(line)
        return None
    ratio = first / min(seconds.values())
    exact = method.name not in SIMILAR
    words = [f"{name} {agreement(ours(), candidates[name](), exact)}" for name in seconds]
    print(
        f"{line}{ratio:9.2f}  {'yes' if ratio <= NOISE else 'NO':<6}{', '.join(words)}", flush=True
    )
    return ratio <= NOISE


def growth(method: Method, case: Case) -> float:
    """Give what the process's memory grows by over many calls, in MB."""
    given = {"layer": case.layer} if method.kind == "layer" else {}
    process = psutil.Process()
    for call in range(CALLS + 20):
        method.function(case.module, case.images, Class(KIND), **given)
        if call == 19:  # caches are full
            before = process.memory_info().rss
    return (process.memory_info().rss - before) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", help="methods, separated by commas")
    parser.add_argument("--turns", type=int, default=7)
    chosen = parser.parse_args()
    wanted = chosen.only.split(",") if chosen.only else list(METHODS)
    cases = {"resnet18": Case("resnet18", "layer4"), "alexnet": Case("alexnet", "features.12")}
    cases["vit_b_16"] = Case("vit_b_16", "encoder.ln")
    print(f"224 × 224 pixels, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(
        f"{'method':<22}{'network':<15}{'probe ms':>9}{'captum':>12}{'grad-cam':>12}"
        f"{'ratio':>9}  goal  agreement"
    )
    met = []
    for name in wanted:
        method = METHODS[name]
        where = "vit_b_16" if method.kind == "tokens" else ELSEWHERE.get(name, "resnet18")
        met.append(timed(method, cases[where], chosen.turns))
    told = [found for found in met if found is not None]
    print(f"no slower than the faster peer (ratio ≤ {NOISE}): {sum(told)} of {len(told)} with one")
    for name in ("grad-cam", "guided-backprop"):
        if name in wanted:
            grown = growth(METHODS[name], cases["resnet18"])
            print(f"memory over {CALLS} calls of {name}: {grown:+.1f} MB")


if __name__ == "__main__":
    main()
