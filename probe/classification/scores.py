"""Accuracies of held-out pictures, with intervals, and differences between them.

Arrays in, arrays out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

CHUNK = 100
"""Resamples that are drawn at a time, so that those of many pictures fit into memory."""

N_SPLITS = 100
"""Divisions of the pictures into halves, on one of which a layer is chosen."""


@dataclass(frozen=True)
class Accuracy:
    """A share of pictures, 0 to 1, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, n: float) -> Accuracy:
        """Return the share of n answers that are correct, with Wilson's interval."""
        z = float(ndtri(0.975))
        centre = (value + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z * math.sqrt(value * (1 - value) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
        # At 0 and 1, rounding would leave the share outside.
        return cls(value, min(max(centre - half, 0.0), value), max(min(centre + half, 1.0), value))


def accuracies(correct: np.ndarray, labels: np.ndarray) -> tuple[Accuracy, Accuracy]:
    """Return accuracy and balanced accuracy, the mean over classes.

    Intervals are Wilson's (1927, J Am Stat Assoc 22:209), of as many answers as there are pictures:
    the repeats of a picture are averaged, and not counted as others. They speak of other pictures
    of these classes, and an accuracy of 1 has one, too. Of simulated classes, 93 to 98 % of them
    hold the accuracy that is expected; a bootstrap of the averages over repeats, which leaves out
    that other training pictures give other answers, would hold it in 84 to 92 %.

    Parameters
    ----------
    correct : numpy.ndarray, shape (n, R)
        Whether picture and repeat were classified correctly: 0 or 1.
    labels : numpy.ndarray of int, shape (n,)
        From 0 to C − 1.

    Returns
    -------
    accuracy, balanced : Accuracy
        Of the balanced one, classes of different sizes n_c are as good as C² / Σ 1/n_c pictures.
    """
    counts = np.bincount(labels).astype(np.float64)
    shares = np.bincount(labels, correct.mean(axis=1)) / counts
    balanced = float(shares.mean())
    return (
        Accuracy.of(float(counts @ shares / counts.sum()), float(counts.sum())),
        Accuracy.of(balanced, float(len(counts) ** 2 / (1.0 / counts).sum())),
    )


def differences(
    correct: Mapping[str, np.ndarray], labels: np.ndarray, n_resamples: int, seed: int
) -> list[tuple[str, str, float, float, float]]:
    """Return differences of accuracy, paired over pictures, with bootstrap intervals.

    A resample draws pictures within each class, and of each one repeat with it: so the training
    pictures, which differ between repeats, are drawn, too.

    Parameters
    ----------
    correct : mapping of str to numpy.ndarray, shape (n, R)
        By name, whether picture and repeat were classified correctly.
    labels : numpy.ndarray of int, shape (n,)
    n_resamples, seed : int

    Returns
    -------
    list of (str, str, float, float, float)
        Two names, the accuracy of the first less that of the second, and the ends of its 95 %
        interval: for each pair.
    """
    names = list(correct)
    n, n_repeats = correct[names[0]].shape
    answers = np.stack([correct[name].reshape(-1) for name in names]).astype(np.float32)
    rng = np.random.default_rng(seed)
    # One draw for all pairs, class after class: a column per picture and repeat.
    of_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    resampled = np.zeros((len(names), n_resamples))
    for members in of_class:
        columns = (members[:, None] * n_repeats + np.arange(n_repeats)).reshape(-1)
        shares = np.full(len(columns), 1 / len(columns))
        for start in range(0, n_resamples, CHUNK):
            chunk = slice(start, min(start + CHUNK, n_resamples))
            drawn = rng.multinomial(len(members), shares, chunk.stop - chunk.start)
            resampled[:, chunk] += answers[:, columns] @ drawn.T.astype(np.float32)
    resampled /= n
    means = answers.mean(axis=1, dtype=np.float64)
    pairs = []
    for i, a in enumerate(names):
        for j in range(i + 1, len(names)):
            low, high = np.quantile(resampled[i] - resampled[j], [0.025, 0.975])
            pairs.append((a, names[j], float(means[i] - means[j]), float(low), float(high)))
    return pairs


@dataclass(frozen=True)
class Choice:
    """The best layer, chosen on one half of the pictures and scored on the other.

    Attributes
    ----------
    layer : str
        The layer that was chosen most often.
    accuracy : float
        Mean accuracy, on the other half, of whichever layer was chosen.
    share : float
        Share of the divisions that chose ``layer``.
    """

    layer: str
    accuracy: float
    share: float


def choose(correct: Mapping[str, np.ndarray], labels: np.ndarray, seed: int) -> Choice:
    """Choose the best layer on one half of each class, and score it on the other, many times.

    The accuracy of the layer that happens to be best is too high an estimate of it.
    """
    names = list(correct)
    shares = np.stack([correct[name].mean(axis=1) for name in names])
    rng = np.random.default_rng(seed)
    chosen, scores = [], []
    for _ in range(N_SPLITS):
        first = np.zeros(len(labels), dtype=bool)
        for label in np.unique(labels):
            members = rng.permutation(np.flatnonzero(labels == label))
            first[members[: len(members) // 2]] = True
        best = int(shares[:, first].mean(axis=1).argmax())
        chosen.append(best)
        scores.append(shares[best, ~first].mean())
    best = int(np.bincount(chosen).argmax())
    return Choice(names[best], float(np.mean(scores)), chosen.count(best) / N_SPLITS)
