"""What a picture goes through before a network sees it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from probe.errors import ProbeError, suggest
from probe.models.architectures import blueprint, import_timm, official
from probe.models.classic import INPUTS, is_classic
from probe.models.compact import MEAN, SIZE
from probe.models.hand_made import SIZES
from probe.models.registry import COMPACT, torchvision_names
from probe.models.settings import KINDS
from probe.models.vision import import_torchvision

FITS = ("squash", "cover", "border")
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
    fit : {"squash", "cover", "border"}
        How a picture comes to the (height, width) of ``resize``: ``squash``, whatever becomes of
        its proportions; ``cover``, in its own proportions, as small as leaves nothing empty, for a
        crop; ``border``, in its own proportions, as large as fits in, with the mean around it.
    source : str
        Whose transforms these are, where the same weights have two sets that differ; else empty.
    """

    name: str
    resize: int | tuple[int, int]
    crop: tuple[int, int] | None = None
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    fit: str = "squash"
    source: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.resize, int) and self.crop is None:
            raise ProbeError("preprocessing that resizes the shorter side needs a crop")
        if self.fit not in FITS:
            raise ProbeError(f"unknown fit {self.fit!r}{suggest(self.fit, FITS)}")
        if self.fit != "squash" and (isinstance(self.resize, int) or self.crop is None):
            raise ProbeError(
                f"fit {self.fit!r} needs a height and a width to resize to, and a crop"
            )
        if self.interpolation.upper() not in Image.Resampling.__members__:
            filters = [filter_.name.lower() for filter_ in Image.Resampling]
            raise ProbeError(
                f"unknown interpolation {self.interpolation!r}"
                f"{suggest(self.interpolation, filters)}"
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
        return self.to_input(self.pixels(picture))

    def pixels(self, picture: Image.Image) -> np.ndarray:
        """Resize and crop one picture.

        Parameters
        ----------
        picture : PIL.Image.Image
            Mode ``RGB``.

        Returns
        -------
        numpy.ndarray, uint8, shape (height, width, 3)
        """
        if picture.mode != "RGB":
            raise ProbeError(f"picture of mode {picture.mode}: expected RGB")
        return np.asarray(self._cropped(self._resized(picture)))

    def to_input(self, pixels: np.ndarray) -> Tensor:
        """Scale what `pixels` returns to 0–1, subtract the mean and divide by the deviation.

        Returns
        -------
        torch.Tensor
            float32, (3, height, width).
        """
        out = np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32)
        out /= np.float32(255)
        for plane, mean, std in zip(out, self.mean, self.std, strict=True):
            plane -= np.float32(mean)
            plane /= np.float32(std)
        return torch.from_numpy(out)

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """Compute the size, before any crop, of a picture that is preprocessed.

        Parameters
        ----------
        size : (int, int)
            Width and height of the picture, in pixels.

        Returns
        -------
        (int, int)
            Width and height.
        """
        width, height = size
        if isinstance(self.resize, int):
            # torchvision's rounding: down
            short = min(width, height)
            return int(self.resize * width / short), int(self.resize * height / short)
        if self.fit == "squash":
            return self.resize[1], self.resize[0]
        ratios = height / self.resize[0], width / self.resize[1]
        ratio = min(ratios) if self.fit == "cover" else max(ratios)
        return round(width / ratio), round(height / ratio)  # timm's rounding

    def _resized(self, picture: Image.Image) -> Image.Image:
        size = self.resized(picture.size)
        if size == picture.size:
            return picture
        return picture.resize(size, Image.Resampling[self.interpolation.upper()])

    def _cropped(self, picture: Image.Image) -> Image.Image:
        if self.crop is None:
            return picture
        height, width = self.crop
        left, top = _before(picture.width, width), _before(picture.height, height)
        if (left, top, width, height) == (0, 0, *picture.size):
            return picture
        if self.fit == "border":
            red, green, blue = (round(255 * value) for value in self.mean)
            canvas = Image.new("RGB", (width, height), (red, green, blue))
            canvas.paste(picture, (-left, -top))
            return canvas
        # Outside the picture, Pillow's crop is black, as torchvision's is.
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
        """Return the picture that a network saw.

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
        """Describe in one line what is done."""
        if isinstance(self.resize, int):
            first = f"shorter side resized to {self.resize} px"
        else:
            how = {"squash": "to", "cover": "to cover", "border": "to fit into"}[self.fit]
            first = f"resized {how} {self.resize[0]}×{self.resize[1]} px"
        crop = "no crop" if self.crop is None else f"centre {self.crop[0]}×{self.crop[1]} kept"
        if self.fit == "border":
            crop += ", the mean around it"
        if self.std == (1 / 255,) * 3:
            values = ", ".join(f"{255 * v:.6g}" for v in self.mean)
            normalised = f"R, G, B from 0 to 255 minus {values}"
        else:
            mean, std = (", ".join(f"{v:.4g}" for v in each) for each in (self.mean, self.std))
            normalised = f"mean {mean}, deviation {std}"
        whose = f"; {self.source}" if self.source else ""
        return f"{first} ({self.interpolation}), {crop}, {normalised}{whose}"

    def key(self) -> str:
        """Return a text that is equal if and only if the same is done to every picture."""
        settings = asdict(self)
        del settings["source"]  # which changes nothing
        if self.fit == "squash":
            del settings["fit"]  # keys are older than this setting
        return json.dumps(settings, sort_keys=True)


def for_network(
    architecture: str,
    kind: str = "resize",
    module: nn.Module | None = None,
    weights: Any = None,
) -> Preprocessing:
    """Return the preprocessing that a network's ImageNet weights want.

    Parameters
    ----------
    architecture : str
        A torchvision builder, ``efficientnet_lite0``, ``timm:NAME``, ``v4-compact:NEURONS``, or
        one of `probe.models.known.CLASSIC`.
    kind : {"resize", "torchvision"}
        With or without crop; see `Preprocessing`.
    module : torch.nn.Module, optional
        The network itself, which timm asks for its settings.
    weights : torchvision.models.WeightsEnum, optional
        Which of torchvision's weights, by default the first on ImageNet-1K.
    """
    if kind not in KINDS:
        raise ProbeError(f"unknown preprocessing {kind!r}{suggest(kind, KINDS)}")
    ours, torchvisions = _for_photographs(architecture, module, weights)
    if kind == "resize":
        ours, torchvisions = _whole(ours), torchvisions and _whole(torchvisions)
    if torchvisions is None or torchvisions.key() == ours.key():
        return ours
    return replace(
        ours, source=f"as timm has it; torchvision, for the same weights: {torchvisions.describe()}"
    )


def _whole(photographs: Preprocessing) -> Preprocessing:
    """Keep size, filter and normalisation, but leave nothing of the picture out."""
    return Preprocessing(
        name="resize",
        resize=photographs.size,
        interpolation=photographs.interpolation,
        mean=photographs.mean,
        std=photographs.std,
    )


def _for_photographs(
    architecture: str, module: nn.Module | None, weights: Any
) -> tuple[Preprocessing, Preprocessing | None]:
    """Return what the weights' authors do, and, of weights that timm took over, torchvision's."""
    if (size := SIZES.get(architecture)) is not None:
        return Preprocessing("torchvision", size, mean=(0.0,) * 3, std=(1.0,) * 3), None
    if architecture.startswith(COMPACT):
        red, green, blue = (value / 255 for value in MEAN)
        return Preprocessing("torchvision", SIZE, mean=(red, green, blue), std=(1 / 255,) * 3), None
    if is_classic(architecture):
        if (classic := INPUTS.get(architecture.partition(":")[0])) is None:
            return Preprocessing("torchvision", 256, (224, 224)), None
        return Preprocessing("torchvision", classic.size, mean=classic.mean, std=classic.std), None
    if architecture == "efficientnet_lite0":
        mean, std = (127 / 255,) * 3, (128 / 255,) * 3
        return Preprocessing("torchvision", 256, (224, 224), "bicubic", mean, std), None
    if architecture.startswith("timm:"):
        return _of_timm(architecture, module)
    return _of_torchvision(weights or official(architecture)), None


def _of_torchvision(weights: Any) -> Preprocessing:
    transforms = weights.transforms()
    (resize,), (crop,) = transforms.resize_size, transforms.crop_size
    mean, std = tuple(transforms.mean), tuple(transforms.std)
    filter_ = transforms.interpolation.value
    return Preprocessing("torchvision", resize, (crop, crop), filter_, mean, std)


def _of_timm(
    architecture: str, module: nn.Module | None
) -> tuple[Preprocessing, Preprocessing | None]:
    """Do as timm's own transforms for evaluation: `timm.data.create_transform`."""
    timm = import_timm(architecture)
    registered: Any = None if module is not None else timm.get_pretrained_cfg(architecture[5:])
    if registered is None:
        registered = (module or blueprint(architecture)).pretrained_cfg
    about = registered if isinstance(registered, dict) else registered.to_dict()
    config = timm.data.resolve_data_config(pretrained_cfg=about)
    channels, height, width = config["input_size"]
    if channels != 3:
        raise ProbeError(f"model {architecture!r} wants pictures of {channels} channels, not 3")
    enlarged = int(height / config["crop_pct"]), int(width / config["crop_pct"])
    resize: int | tuple[int, int] = enlarged
    fit, crop = config["crop_mode"], (height, width)
    if fit not in ("squash", "border"):  # timm takes the centre then
        fit = "squash" if height == width else "cover"
        resize = enlarged[0] if height == width else enlarged
    filter_ = config["interpolation"]
    mean, std = tuple(config["mean"]), tuple(config["std"])
    uncropped = fit == "squash" and resize == crop
    ours = Preprocessing(
        "torchvision", resize, None if uncropped else crop, filter_, mean, std, fit
    )
    other = _torchvisions_weights(about)
    return ours, None if other is None else _of_torchvision(other)


def _torchvisions_weights(about: dict[str, Any]) -> Any:
    """Find which of torchvision's weights timm has, by address or tag; None if it has its own."""
    get_model_weights = import_torchvision().models.get_model_weights
    published = {
        weights.url.rsplit("/", 1)[-1]: weights
        for name in torchvision_names()
        for weights in get_model_weights(name)
    }
    addresses = [str(about.get(key) or "") for key in ("url", "origin_url")]
    for file in (a.rsplit("/", 1)[-1] for a in addresses if "download.pytorch.org" in a):
        if file in published:
            return published[file]
        # The same file again, under another hash.
        stem = re.sub(r"-[0-9a-f]{8}\.pth$", "", file)
        alike = [
            w for name, w in published.items() if re.fullmatch(rf"{stem}-[0-9a-f]{{8}}\.pth", name)
        ]
        if len(alike) == 1:
            return alike[0]
    version = {"tv_in1k": "IMAGENET1K_V1", "tv2_in1k": "IMAGENET1K_V2"}.get(about.get("tag") or "")
    if version is None or about.get("architecture") not in torchvision_names():
        return None
    return get_model_weights(about["architecture"]).__members__.get(version)


def _before(side: int, kept: int) -> int:
    """Compute where the centre of a side begins, in torchvision's rounding; negative outside it."""
    return round((side - kept) / 2) if side >= kept else -((kept - side) // 2)
