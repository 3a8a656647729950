"""The pictures that style transfer works on: as files, then as tensors with masks and regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from probe import images
from probe.errors import ProbeError
from probe.images import Original, Picture, open_picture
from probe.output.pictures import Made
from probe.synthesis import style_colours
from probe.synthesis.style_settings import MIN_SIDE_PX, StyleSettings
from probe.synthesis.style_tiles import check_white

Source = Picture | Made
"""A picture as a user gives it, or one that was made here, such as a dream."""

STARTS = ("content", "noise")
"""Words that stand for a start, which may be a picture, too."""


@dataclass(frozen=True, eq=False)
class StyleInputs:
    """The pictures that another is made from, as they were read."""

    content: Original | None
    styles: list[Original]
    masks: list[Original]
    style_masks: list[Original]
    start: Original | None

    @classmethod
    def read(
        cls,
        content: Source | None,
        styles: Source | Sequence[Source],
        masks: Picture | Sequence[Picture],
        style_masks: Picture | Sequence[Picture],
        start: str | Source | None,
        limit: float,
    ) -> StyleInputs:
        """Read them; a ``start`` that is a word is no picture.

        One that was made here is taken as it would be saved, with 8 bits.

        Raises
        ------
        ProbeError
            If one cannot be read.
        """

        def read(source: Source) -> Original:
            picture = source.picture if isinstance(source, Made) else source
            return open_picture(picture, limit=limit)

        def read_all(pictures: Any) -> list[Original]:
            listed = pictures if isinstance(pictures, (list, tuple)) else [pictures]
            return [read(picture) for picture in listed]

        return cls(
            None if content is None else read(content),
            read_all(styles),
            read_all(masks),
            read_all(style_masks),
            None if start is None or is_word(start) else read(start),
        )

    def check(self, settings: StyleSettings) -> None:
        """Check that they go together.

        Raises
        ------
        ProbeError
            If not.
        """
        n = len(self.styles)
        if not n:
            raise ProbeError("styles []: expected at least one picture")
        if settings.mix is not None and len(settings.mix) != n:
            raise ProbeError(
                f"mix {settings.mix}: expected as many numbers as there are styles ({n})"
            )
        for what, masks in (("masks", self.masks), ("style masks", self.style_masks)):
            if len(masks) not in (0, 1, n):
                raise ProbeError(
                    f"{len(masks)} {what}: expected one, or as many as there are styles ({n})"
                )
        for picture in (self.content, *self.styles):
            if picture is not None and picture.alpha is not None and not picture.alpha.any():
                raise ProbeError(
                    f"{picture.name!r} is transparent all over: there is nothing to see"
                )
        if settings.tileable and settings.colours == "keep":
            raise ProbeError(
                "colours 'keep': expected style or match with tileable, as the borders of the "
                "content's colours do not fit each other"
            )
        if self.content is None:
            if settings.colours != "style":
                raise ProbeError(
                    f"colours {settings.colours!r}: expected style for a texture, which has no "
                    "content"
                )
            if self.masks or settings.start == "content":
                raise ProbeError(
                    "a texture has no content: expected neither masks nor start 'content'"
                )

    def about(self) -> dict[str, Any]:
        """Return the names and hashes of all pictures, for the record in a file."""

        def identity(original: Original | None) -> dict[str, str] | None:
            if original is None:
                return None
            return {"name": Path(original.name).name, "sha256": images.sha256_of(original)}

        return {
            "content": identity(self.content),
            "styles": [identity(original) for original in self.styles],
            "masks": [identity(original) for original in self.masks],
            "style_masks": [identity(original) for original in self.style_masks],
            "begun_with": identity(self.start),
        }


def is_word(start: str | Source | None) -> bool:
    """Return whether a start is one of `STARTS`, and no picture."""
    return isinstance(start, str) and start in STARTS


@dataclass(frozen=True, eq=False)
class Region:
    """A part of the picture, the styles that it takes on, and how hard they pull.

    Attributes
    ----------
    mask : torch.Tensor or None, shape (height, width)
        None: all of the picture.
    styles : list of int
        Which of all styles.
    weights : list of float
        Of each of them.
    pull : float
        Of all of them together, beside other regions.
    """

    mask: Tensor | None
    styles: list[int]
    weights: list[float]
    pull: float = 1.0


class StyleTensors:
    """The pictures on a device, and in the colours that they are compared in.

    Pictures are (1, 3, height, width), masks (height, width), both in 0–1.

    Attributes
    ----------
    content, alpha : torch.Tensor or None
        Of a texture, None. Another content of the same size may take its place: the styles stay as
        they are.
    styles : list of torch.Tensor
    style_masks : list of torch.Tensor or None
        How much each pixel of a style counts.
    regions : list of Region
    start : torch.Tensor or None
        The picture to start from, if it is neither the content nor noise.
    """

    def __init__(self, inputs: StyleInputs, settings: StyleSettings, device: torch.device) -> None:
        self.settings, self.device = settings, device
        self.content = self.alpha = None
        if inputs.content is not None:
            self.alpha = self._alpha(inputs.content)
            self.content = style_colours.filled(self._tensor(inputs.content.pixels), self.alpha)
        self.style_masks = [self._style_mask(inputs, k) for k in range(len(inputs.styles))]
        self.styles = [
            self._in_colours(
                style_colours.filled(self._tensor(style.pixels), self._alpha(style)), mask
            )
            for style, mask in zip(inputs.styles, self.style_masks, strict=True)
        ]
        self.regions = self._regions(inputs)
        self.start = None if inputs.start is None else self._tensor(inputs.start.pixels)

    def content_at(self, size: tuple[int, int]) -> Tensor | None:
        """Return the content at a size, if there is one."""
        return None if self.content is None else resized(self.content, size)

    def alpha_at(self, size: tuple[int, int]) -> Tensor | None:
        """Return how opaque the content is, at a size."""
        return None if self.alpha is None else resized(self.alpha, size)

    def style_at(self, k: int, size: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """Return a style and its mask, as large as a picture of some size, but never enlarged.

        At another ``style_scale`` they are so many times as large, and so are the strokes.
        """
        style, mask = self.styles[k], self.style_masks[k]
        shape = style.shape[-2:]
        factor = min(max(size) / max(shape), 1) * self.settings.style_scale
        factor = max(factor, MIN_SIDE_PX / min(shape))
        sides = [round(side * factor) for side in shape]
        return resized(style, sides), None if mask is None else resized(mask, sides)

    def region_mask(self, region: Region, size: tuple[int, int]) -> Tensor | None:
        """Return how much each pixel of a region counts: its mask times the content's alpha."""
        mask = None if region.mask is None else resized(region.mask, size)
        return _product(mask, self.alpha_at(size))

    def painted_mask(self, size: tuple[int, int]) -> Tensor | None:
        """Return where the picture is painted at all; None: everywhere."""
        masks = [region.mask for region in self.regions if region.mask is not None]
        return torch.stack([resized(mask, size) for mask in masks]).amax(0) if masks else None

    def _tensor(self, pixels: np.ndarray) -> Tensor:
        """Return pixels as (1, 3, height, width), or a mask as (height, width)."""
        tensor = torch.from_numpy(np.ascontiguousarray(pixels)).float().to(self.device)
        return tensor if tensor.ndim == 2 else tensor.permute(2, 0, 1)[None].contiguous()

    def _alpha(self, picture: Original) -> Tensor | None:
        return None if picture.alpha is None else self._tensor(picture.alpha)

    def _mask(self, picture: Original) -> Tensor:
        """Return a mask; where the picture is transparent, it is black."""
        mask = style_colours.luminance(self._tensor(picture.pixels))[0, 0]
        alpha = self._alpha(picture)
        return mask if alpha is None else mask * alpha

    def _style_mask(self, inputs: StyleInputs, k: int) -> Tensor | None:
        masks = [self._alpha(inputs.styles[k])]
        if inputs.style_masks:
            picture = inputs.style_masks[k if len(inputs.style_masks) > 1 else 0]
            masks.insert(0, self._mask(picture))
        size = inputs.styles[k].pixels.shape[:2]
        mask = _product(*(None if mask is None else resized(mask, size) for mask in masks))
        check_white(mask)
        return mask

    def _in_colours(self, style: Tensor, mask: Tensor | None) -> Tensor:
        if self.content is None or self.settings.colours == "style":
            return style
        if self.settings.colours == "match":
            return style_colours.matched(style, self.content, mask, self.alpha)
        return style_colours.grey_like(style, self.content, mask, self.alpha).repeat(1, 3, 1, 1)

    def _regions(self, inputs: StyleInputs) -> list[Region]:
        """Return one region for all styles, or, if each has a mask of its own, one for each."""
        n = len(self.styles)
        weights = self.settings.style_weights(n)
        masks = [self._mask(mask) for mask in inputs.masks]
        used = [k for k in range(n) if weights[k]]
        if len(masks) > 1:
            return [Region(masks[k], [k], [1.0], weights[k]) for k in used]
        return [Region(masks[0] if masks else None, used, [weights[k] for k in used])]


def resized(picture: Tensor, size: Sequence[int]) -> Tensor:
    """Resize a picture, (1, channels, height, width), or a mask, (height, width), within 0–1."""
    if picture.ndim == 2:
        return resized(picture[None, None], size)[0, 0]
    if picture.shape[-2:] == tuple(size):
        return picture
    larger = F.interpolate(picture, list(size), mode="bicubic", align_corners=False, antialias=True)
    return larger.clamp(0, 1)


def _product(*masks: Tensor | None) -> Tensor | None:
    factors = [mask for mask in masks if mask is not None]
    return torch.stack(factors).prod(0) if factors else None
