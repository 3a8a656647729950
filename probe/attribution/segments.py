"""Maps of what segments of a picture contribute: ablation, Shapley values, LIME, by Captum.

A segment is covered as a whole, and a segment's value is shared out evenly among its values, as
windows' are by `probe.attribution.perturbation.occlusion`: a map sums to what its segments do.
Segments are the cells of a grid unless they are given: superpixels of a picture (scikit-image's
``slic`` and others make such arrays) follow its edges, a grid favours none of its parts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from probe.attribution.gradients import Baseline, as_baseline, at_least, checked
from probe.errors import ProbeError
from probe.targets import ForwardFunction, Target

if TYPE_CHECKING:
    from captum.attr import Attribution

Segments = int | np.ndarray | Tensor
"""Cells of a grid in each direction; or which segment each pixel is in, (height, width)."""

KERNEL_WIDTH = 0.25
"""Of LIME's weights, in cosine distance: Ribeiro's own for pictures."""


def feature_ablation(
    module: nn.Module,
    images: Tensor,
    target: Target,
    *,
    segments: Segments = 7,
    baseline: Baseline = 0.0,
    batch_size: int = 32,
    progress: bool | None = None,
) -> Tensor:
    """Cover one segment after another, and see how the target falls (Captum's FeatureAblation).

    Parameters
    ----------
    module : torch.nn.Module
        Any network.
    images : torch.Tensor, shape (n, channels, height, width)
        Preprocessed, on the module's device.
    target : Target
    segments : int or array of int, shape (height, width)
        Cells of a grid in each direction; or the number of the segment that each pixel is in, the
        same for all pictures.
    baseline : torch.Tensor, float or 'blurred'
        What covers, broadcast to ``images``. 0 is the mean colour; ``'blurred'`` is the picture,
        blurred.
    batch_size : int
        Most pictures in one forward pass.
    progress : bool, optional
        Show a progress bar; by default when a person is watching.

    Returns
    -------
    torch.Tensor, shape (n, channels, height, width)
        float32, signed, in units of the target; the same in all channels of a pixel.

    Raises
    ------
    ProbeError
        If segments or the baseline do not fit, or a layer does not exist.
    """
    from captum.attr import FeatureAblation

    return _mapped(
        FeatureAblation, lambda n_segments: 1 + n_segments, {}, module, images, target,
        segments, baseline, batch_size, 0, progress,
    )  # fmt: skip


def shapley(
    module: nn.Module,
    images: Tensor,
    target: Target,
    *,
    segments: Segments = 7,
    samples: int = 25,
    baseline: Baseline = 0.0,
    batch_size: int = 32,
    seed: int = 0,
    progress: bool | None = None,
) -> Tensor:
    """Sample the Shapley value of each segment (Castro et al. 2009; Captum).

    What the target gains when a segment is uncovered, averaged over random orders in which all are.
    The map sums to target(picture) − target(baseline), whatever the number of orders.

    Parameters
    ----------
    module, images, target, segments, baseline, batch_size, progress
        As in `feature_ablation`.
    samples : int
        Random orders; each takes as many passes as there are segments.
    seed : int
        Of the orders.

    Returns
    -------
    torch.Tensor, shape (n, channels, height, width)
        float32, signed, in units of the target; the same in all channels of a pixel.

    Raises
    ------
    ProbeError
        As in `feature_ablation`, and if ``samples`` is below 1.
    """
    from captum.attr import ShapleyValueSampling

    at_least(1, samples=samples)
    return _mapped(
        ShapleyValueSampling, lambda n_segments: 1 + samples * n_segments, {"n_samples": samples},
        module, images, target, segments, baseline, batch_size, seed, progress,
    )  # fmt: skip


def kernel_shap(
    module: nn.Module,
    images: Tensor,
    target: Target,
    *,
    segments: Segments = 7,
    samples: int = 1000,
    baseline: Baseline = 0.0,
    batch_size: int = 32,
    seed: int = 0,
    progress: bool | None = None,
) -> Tensor:
    """Estimate Shapley values of segments by a weighted regression (Lundberg & Lee 2017; Captum).

    Parameters
    ----------
    module, images, target, segments, baseline, batch_size, progress
        As in `feature_ablation`.
    samples : int
        Random sets of segments, the empty and the full one among them; more than segments.
    seed : int
        Of the sets.

    Returns
    -------
    torch.Tensor, shape (n, channels, height, width)
        float32, signed, in units of the target; sums to target(picture) − target(baseline).

    Raises
    ------
    ProbeError
        As in `feature_ablation`, and if there are not more sets than segments.
    """
    from captum.attr import KernelShap

    return _mapped(
        KernelShap, _more_than_segments(samples), {"n_samples": samples},
        module, images, target, segments, baseline, batch_size, seed, progress,
    )  # fmt: skip


def lime(
    module: nn.Module,
    images: Tensor,
    target: Target,
    *,
    segments: Segments = 7,
    samples: int = 1000,
    baseline: Baseline = 0.0,
    batch_size: int = 32,
    seed: int = 0,
    progress: bool | None = None,
) -> Tensor:
    """Fit a linear model to random sets of segments, those near the picture first (LIME; Captum).

    Ribeiro, Singh & Guestrin (2016), with the settings of their code for pictures: sets that show
    each segment with probability ½, weights √exp(−d²/0.25²) of the cosine distance d to the whole
    picture, ridge regression with a penalty of 1. Captum's own default is a lasso whose penalty is
    in units of the target, 0.01: of a target of small numbers, such as a site's response, every
    value is then zero.

    Parameters
    ----------
    module, images, target, segments, baseline, batch_size, progress
        As in `feature_ablation`.
    samples : int
        Random sets of segments; more than segments.
    seed : int
        Of the sets.

    Returns
    -------
    torch.Tensor, shape (n, channels, height, width)
        float32, signed, in units of the target; the same in all channels of a pixel.

    Raises
    ------
    ProbeError
        As in `feature_ablation`, and if there are not more sets than segments.
    """
    from captum._utils.models.linear_model import SkLearnRidge
    from captum.attr import Lime

    def build(forward: ForwardFunction) -> Lime:
        return Lime(forward, SkLearnRidge(alpha=1.0), _nearness)

    return _mapped(
        build, _more_than_segments(samples), {"n_samples": samples},
        module, images, target, segments, baseline, batch_size, seed, progress,
    )  # fmt: skip


def _nearness(_original: Tensor, _covered: Tensor, uncovered: Tensor, **_: Any) -> Tensor:
    """Return LIME's weight of a set of segments, (1, segments) of 0 and 1."""
    distance = 1 - uncovered.float().mean().sqrt()
    return (-(distance**2) / KERNEL_WIDTH**2).exp().sqrt()


def _mapped(
    build: Callable[[ForwardFunction], Attribution],
    passes: Callable[[int], int],
    settings: dict[str, Any],
    module: nn.Module,
    images: Tensor,
    target: Target,
    segments: Segments,
    baseline: Baseline,
    batch_size: int,
    seed: int,
    progress: bool | None,
) -> Tensor:
    """Return maps of segments' values, each shared out evenly among its pixels' values."""
    from probe.attribution.captum_methods import attribute

    images = checked(images)
    labels = as_segments(segments, images)
    sizes = labels.flatten().bincount()
    values = attribute(
        build, module, images, target, batch_size=batch_size, seed=seed, progress=progress,
        settings=settings | {
            "baselines": as_baseline(baseline, images), "feature_mask": labels[None, None],
        },
        total=len(images) * passes(len(sizes)),
    )  # fmt: skip
    return (values / (sizes[labels] * images.shape[1])).contiguous()


def as_segments(segments: Segments, images: Tensor) -> Tensor:
    """Return which segment each pixel is in, numbered from 0 without gaps.

    Parameters
    ----------
    segments : int or array of int, shape (height, width)
    images : torch.Tensor, shape (n, channels, height, width)

    Returns
    -------
    torch.Tensor, shape (height, width), int64
        On the pictures' device.

    Raises
    ------
    ProbeError
        If a grid has no cells, or more than pixels; or an array is of another shape or type.
    """
    height, width = images.shape[2:]
    if isinstance(segments, int) and not isinstance(segments, bool):
        if not 1 <= segments <= min(height, width):
            raise ProbeError(
                f"segments {segments}: expected 1 to {min(height, width)}, the cells of a grid in "
                "each direction"
            )
        y = torch.arange(height, device=images.device) * segments // height
        x = torch.arange(width, device=images.device) * segments // width
        return y[:, None] * segments + x
    array = np.asarray(segments.cpu() if isinstance(segments, Tensor) else segments)
    if array.shape != (height, width) or array.dtype.kind not in "iu":
        raise ProbeError(
            f"segments of shape {array.shape} and type {array.dtype}: expected the cells of a grid "
            f"in each direction, or whole numbers of shape {(height, width)}, as the network sees "
            "the picture"
        )
    numbered = np.unique(array, return_inverse=True)[1].reshape(array.shape)
    return torch.from_numpy(numbered).to(images.device)


def _more_than_segments(samples: int) -> Callable[[int], int]:
    """Return what counts the passes of a fit to sets of segments, and refuses too few sets."""

    def count_passes(n_segments: int) -> int:
        if samples <= n_segments:
            raise ProbeError(
                f"samples {samples}: expected more than the {n_segments} segments, whose values "
                "are fitted to them"
            )
        return samples

    return count_passes
