"""What a picture goes through before a network sees it."""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from probe.errors import ProbeError, suggest

KINDS = ("resize", "torchvision")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """Resize, perhaps crop the centre, scale to 0–1, subtract a mean, divide by a deviation.

    Attributes
    ----------
    name : str
        ``resize``: the whole picture, no crop, as stimulus sets want it, since a crop would remove
        what the animal saw. ``torchvision``: shorter side resized, centre cropped, as the weights
        were evaluated on photographs.
    resize : int or (int, int)
        Length of the shorter side, or (height, width), in pixels.
    crop : (int, int) or None
        (height, width) of the centre that is kept.
    interpolation : str
        A filter of Pillow, such as ``bilinear`` or ``bicubic``.
    mean, std : tuple of float
        Per channel (R, G, B), on the 0–1 scale.
    """

    name: str
    resize: int | tuple[int, int]
    crop: tuple[int, int] | None = None
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if isinstance(self.resize, int) and self.crop is None:
            raise ProbeError("preprocessing that resizes the shorter side needs a crop")
        if self.interpolation.upper() not in Image.Resampling.__members__:
            known = [filter_.name.lower() for filter_ in Image.Resampling]
            raise ProbeError(
                f"unknown interpolation {self.interpolation!r}{suggest(self.interpolation, known)}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what the network sees, in pixels."""
        if self.crop is not None:
            return self.crop
        assert not isinstance(self.resize, int)  # checked when made
        return self.resize

    def __call__(self, picture: Image.Image) -> Tensor:
        """Preprocess one picture.

        Parameters
        ----------
        picture : PIL.Image.Image
            Mode ``RGB``.

        Returns
        -------
        torch.Tensor
            float32, (3, height, width).
        """
        if picture.mode != "RGB":
            raise ProbeError(f"preprocessing wants an RGB picture, not {picture.mode}")
        pixels = np.asarray(self._cropped(self._resized(picture)))
        # There are but 256 values: what becomes of each is worked out once.
        table = _normalised(self.mean, self.std)
        out = np.empty((3, *pixels.shape[:2]), dtype=np.float32)
        for channel in range(3):
            np.take(table[channel], pixels[:, :, channel], out=out[channel], mode="clip")
        return torch.from_numpy(out)

    def _resized(self, picture: Image.Image) -> Image.Image:
        width, height = picture.size
        if isinstance(self.resize, int):
            # torchvision's rounding: down
            short = min(width, height)
            size = int(self.resize * width / short), int(self.resize * height / short)
        else:
            size = self.resize[1], self.resize[0]
        if size == picture.size:
            return picture
        return picture.resize(size, Image.Resampling[self.interpolation.upper()])

    def _cropped(self, picture: Image.Image) -> Image.Image:
        if self.crop is None:
            return picture
        height, width = self.crop
        # Outside the picture, Pillow's crop is black, as torchvision's is.
        left = round((picture.width - width) / 2)
        top = round((picture.height - height) / 2)
        if (left, top, width, height) == (0, 0, *picture.size):
            return picture
        return picture.crop((left, top, left + width, top + height))

    def normalise(self, pictures: Tensor) -> Tensor:
        """Subtract the mean and divide by the deviation, with the graph.

        Parameters
        ----------
        pictures : torch.Tensor, shape (…, 3, height, width)
            In 0–1, at any size.
        """
        mean, std = (torch.tensor(v)[:, None, None].to(pictures) for v in (self.mean, self.std))
        return (pictures - mean) / std

    def seen(self, inputs: Tensor) -> np.ndarray:
        """Give the picture that a network saw.

        Parameters
        ----------
        inputs : torch.Tensor, shape (3, height, width)
            Preprocessed.

        Returns
        -------
        numpy.ndarray, uint8, shape (height, width, 3)
        """
        mean, std = (torch.tensor(v)[:, None, None] for v in (self.mean, self.std))
        pixels = (inputs.detach().cpu() * std + mean).clamp(0, 1).mul(255).round().byte()
        return pixels.permute(1, 2, 0).contiguous().numpy()

    def describe(self) -> str:
        """Say in one line what is done."""
        if isinstance(self.resize, int):
            first = f"shorter side resized to {self.resize} px"
        else:
            first = f"resized to {self.resize[0]}×{self.resize[1]} px"
        crop = "no crop" if self.crop is None else f"centre {self.crop[0]}×{self.crop[1]} kept"
        mean, std = (", ".join(f"{v:.4g}" for v in values) for values in (self.mean, self.std))
        return f"{first} ({self.interpolation}), {crop}, mean {mean}, deviation {std}"

    def key(self) -> str:
        """Give a text that is equal if and only if the same is done to every picture."""
        return json.dumps(asdict(self), sort_keys=True)


def for_network(
    architecture: str, kind: str = "resize", module: nn.Module | None = None
) -> Preprocessing:
    """Give the preprocessing that a network's ImageNet weights want.

    Parameters
    ----------
    architecture : str
        A torchvision builder, ``efficientnet_lite0``, or ``timm:NAME``.
    kind : {"resize", "torchvision"}
        With or without crop; see `Preprocessing`.
    module : torch.nn.Module, optional
        The network itself, which timm asks for its settings.
    """
    if kind not in KINDS:
        raise ProbeError(f"unknown preprocessing {kind!r}{suggest(kind, KINDS)}")
    photographs = _for_photographs(architecture, module)
    if kind == "torchvision":
        return photographs
    return Preprocessing(
        name="resize",
        resize=photographs.size,
        interpolation=photographs.interpolation,
        mean=photographs.mean,
        std=photographs.std,
    )


def _for_photographs(architecture: str, module: nn.Module | None) -> Preprocessing:
    if architecture == "efficientnet_lite0":
        mean, std = (127 / 255,) * 3, (128 / 255,) * 3
        return Preprocessing("torchvision", 256, (224, 224), "bicubic", mean, std)
    if architecture.startswith("timm:"):
        return _of_timm(architecture, module)
    from probe.models.weights import official

    transforms = official(architecture).transforms()
    (resize,), (crop,) = transforms.resize_size, transforms.crop_size
    mean, std = tuple(transforms.mean), tuple(transforms.std)
    filter_ = transforms.interpolation.value
    return Preprocessing("torchvision", resize, (crop, crop), filter_, mean, std)


def _of_timm(architecture: str, module: nn.Module | None) -> Preprocessing:
    from probe.models.architectures import blueprint, import_timm

    timm = import_timm(architecture)
    config = timm.data.resolve_model_data_config(module or blueprint(architecture))
    channels, height, width = config["input_size"]
    if channels != 3:
        raise ProbeError(f"model {architecture!r} wants pictures of {channels} channels, not 3")
    short = int(min(height, width) / config["crop_pct"])
    filter_ = config["interpolation"]
    mean, std = tuple(config["mean"]), tuple(config["std"])
    return Preprocessing("torchvision", short, (height, width), filter_, mean, std)


@functools.lru_cache(maxsize=8)
def _normalised(mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """Give what each of the 256 values becomes in each channel: float32, (3, 256)."""
    values = np.arange(256, dtype=np.float32) / np.float32(255)
    centre = np.asarray(mean, dtype=np.float32)[:, None]
    return (values - centre) / np.asarray(std, dtype=np.float32)[:, None]
