"""Where everything in a frame of a film was in the frame before.

Of a dreamt film only what is added to a frame moves from one to the next: it is carried along by
the optical flow, and dreamt anew where nothing was seen before.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from probe.errors import ProbeError


def motion(frame: np.ndarray, other: np.ndarray) -> Tensor:
    """Compute where each pixel of a frame lies in the other.

    Parameters
    ----------
    frame, other : numpy.ndarray, uint8, shape (height, width, 3)

    Returns
    -------
    torch.Tensor, float32, shape (2, height, width)
        How far to go from a pixel of ``frame`` to find it in ``other``: x and y, in pixels. By
        dense inverse search (Kroeger et al. 2016).

    Raises
    ------
    ProbeError
        If OpenCV is missing, or the frames differ in size.
    """
    try:
        import cv2
    except ImportError:
        raise ProbeError("films need OpenCV and PyAV: pip install 'cnn-probe[video]'") from None
    if frame.shape != other.shape:
        raise ProbeError(f"frames differ in size: {frame.shape[:2]} and {other.shape[:2]}")
    grey = [cv2.cvtColor(np.ascontiguousarray(one), cv2.COLOR_RGB2GRAY) for one in (frame, other)]
    if min(grey[0].shape) < MIN_SIDE_PX:
        raise ProbeError(
            f"frames of {frame.shape[1]}×{frame.shape[0]} pixels are too small: expected at least "
            f"{MIN_SIDE_PX} along each side"
        )
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return torch.from_numpy(search.calc(*grey, None)).permute(2, 0, 1).contiguous()


MIN_SIDE_PX = 32
"""Pixels on the shorter side of a frame: the search has patches of 8 on several scales."""


def carried(picture: Tensor, there: Tensor) -> Tensor:
    """Return a picture as it lies after a motion.

    Parameters
    ----------
    picture : torch.Tensor, shape (channels, height, width)
        Of the other frame.
    there : torch.Tensor, shape (2, height, width)
        From `motion`.

    Returns
    -------
    torch.Tensor, shape (channels, height, width)
        Interpolated; outside the picture lies its border.
    """
    height, width = picture.shape[-2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    at = torch.stack(
        [(x + there[0]) * 2 / (width - 1) - 1, (y + there[1]) * 2 / (height - 1) - 1], -1
    )
    sampled = F.grid_sample(
        picture[None].float(), at[None], mode="bicubic", padding_mode="border", align_corners=True
    )
    return sampled[0].to(picture)


def seen_before(there: Tensor, back: Tensor) -> Tensor:
    """Compute which pixels of a frame show what the other frame shows, too.

    Going there and back ends where it began, unless something was hidden, or moved in over the
    border (Sundaram et al. 2010, eq. 5).

    Parameters
    ----------
    there : torch.Tensor, shape (2, height, width)
        From the frame to the other: `motion`.
    back : torch.Tensor, shape (2, height, width)
        From the other frame to this one.

    Returns
    -------
    torch.Tensor, float32, shape (height, width)
        1 where it does, 0 where it does not.
    """
    height, width = there.shape[-2:]
    returned = carried(back, there)
    gap = (there + returned).square().sum(0)
    least = 0.01 * (there.square().sum(0) + returned.square().sum(0)) + 0.5
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    inside = (
        (x + there[0] >= -0.5) & (x + there[0] <= width - 0.5)
        & (y + there[1] >= -0.5) & (y + there[1] <= height - 0.5)
    )  # fmt: skip
    return (inside & (gap < least)).float()
