"""Accuracies of held-out pictures, with intervals, and differences between them.

Arrays in, arrays out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

N_SPLITS = 100
"""Divisions of the pictures into halves, on one of which a layer is chosen."""


@dataclass(frozen=True)
class Accuracy:
    """A share of pictures, 0 to 1, and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def accuracies(correct: np.ndarray, labels: np.ndarray) -> tuple[Accuracy, Accuracy]:
    """Return accuracy and balanced accuracy, the mean over classes.

    Both are weighted means over classes of the share of correct answers. Of each class, the share's
    interval is Wilson's (1927, J Am Stat Assoc 22:209), of as many answers as there are pictures:
    the repeats of a picture are averaged, and not counted as others. The intervals are combined by
    the distances of their ends (Zou & Donner 2008, Stat Med 27:1693), so that an accuracy of 1 has
    an interval, too. They speak of other pictures of these classes.

    Parameters
    ----------
    correct : numpy.ndarray, shape (n, R)
        Whether picture and repeat were classified correctly: 0 or 1.
    labels : numpy.ndarray of int, shape (n,)
        From 0 to C − 1.

    Returns
    -------
    accuracy, balanced : Accuracy
    """
    counts = np.bincount(labels).astype(np.float64)
    shares = np.bincount(labels, correct.mean(axis=1)) / counts
    low, high = _wilson(shares, counts)
    both = []
    for weights in (counts / counts.sum(), np.full(len(counts), 1.0 / len(counts))):
        value = float(weights @ shares)
        below = float(np.sqrt(((weights * (shares - low)) ** 2).sum()))
        above = float(np.sqrt(((weights * (high - shares)) ** 2).sum()))
        both.append(Accuracy(value, max(value - below, 0.0), min(value + above, 1.0)))
    return both[0], both[1]


def _wilson(shares: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of 95 % intervals of shares of so many."""
    z = float(ndtri(0.975))
    centre = (shares + z**2 / (2 * counts)) / (1 + z**2 / counts)
    half = np.sqrt(shares * (1 - shares) / counts + z**2 / (4 * counts**2))
    half *= z / (1 + z**2 / counts)
    return centre - half, centre + half


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
        drawn = rng.multinomial(len(members), np.full(len(columns), 1 / len(columns)), n_resamples)
        resampled += answers[:, columns] @ drawn.T.astype(np.float32)
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
