"""A bag of visual words (Csurka, Dance, Fan, Willamowski & Bray 2004, ECCV workshop).

A picture is described by how often each of 200 words occurs in it, wherever. Descriptors are dense,
as in Lazebnik, Schmid & Ponce 2006, CVPR: patches of 16×16 pixels, 8 apart, each with Lowe's 4×4
cells of 8 orientations, without his interpolation between them. Words are the means that k-means
finds among the descriptors of the two photographs that scikit-learn ships, at three sizes.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from probe.models.colour_histogram import shares
from probe.models.hmax import photographs
from probe.models.hog import OrientedGradients

N_WORDS = 200
"""In the vocabulary (Lazebnik et al. 2006)."""
SEED = 0
"""Of the vocabulary that `probe` gives the name."""
VERSION = 1
"""Of the recipe: raised when it changes, so that no old vocabulary is taken."""

_CELL, _CELLS, _ORIENTATIONS = 4, 4, 8
_STEP = 2  # cells between patches
_SIDES = (160, 224, 320)  # of the photographs' shorter side, in pixels


class Descriptors(OrientedGradients):
    """Dense descriptors: (n, 3, y, x), from 0 to 1, to (n, 128, patches, patches)."""

    def __init__(self) -> None:
        super().__init__(_ORIENTATIONS, _CELL, _CELLS, signed=True)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the descriptors, of length 1; of a uniform patch, 0."""
        return super().forward(pictures)[:, :, ::_STEP, ::_STEP]


class VisualWords(nn.Module):
    """Shares of the patches whose descriptors are nearest to each word: to (n, 200), summing to 1.

    A vocabulary that is not learned has words drawn at random among the descriptors there can be.
    """

    output_axes = ("picture", "channel")

    def __init__(self) -> None:
        super().__init__()
        words = torch.rand(N_WORDS, _ORIENTATIONS * _CELLS**2)
        self.register_buffer("words", words / words.norm(dim=1, keepdim=True))

    def forward(self, descriptors: Tensor) -> Tensor:
        """Return the shares."""
        patches, words = descriptors.flatten(2), self.get_buffer("words").to(descriptors)
        # Of squared distances, what differs between words. Picture by picture: a product's last
        # digits depend on how many are computed at once, and with them which word is nearest.
        half = words.square().sum(1)[:, None] / 2.0
        nearest = torch.stack([(half - words @ patch).argmin(0) for patch in patches])
        return shares(nearest, N_WORDS).to(descriptors.dtype)


def vocabulary(seed: int = SEED) -> Tensor:
    """Learn words from scikit-learn's two photographs, a temple and a flower.

    Parameters
    ----------
    seed : int
        Of k-means. One seed gives the same words, on the same machine and versions of libraries.

    Returns
    -------
    torch.Tensor, float32, shape (200, 128)
        From the word that most patches are of to the one that fewest are.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    describe = Descriptors()
    patches = []
    with torch.inference_mode():
        for picture in photographs():
            for side in _SIDES:
                ratio = side / min(picture.size)
                size = round(picture.width * ratio), round(picture.height * ratio)
                pixels = np.asarray(picture.resize(size, Image.Resampling.BILINEAR), np.float32)
                values = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None] / 255.0
                patches.append(describe(values)[0].flatten(1).T.numpy())
    descriptors = np.concatenate(patches)
    with threadpool_limits(1):  # threads would add in any order
        means = KMeans(N_WORDS, n_init=1, random_state=seed).fit(descriptors)
    counts = np.bincount(means.labels_, minlength=N_WORDS)
    order = np.argsort(-counts, kind="stable")
    return torch.from_numpy(means.cluster_centers_[order].astype(np.float32))
