"""Linear probe and nearest neighbours, trained without the pictures that they are tested with.

Arrays in, arrays out. The estimators are scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from probe.similarity.blas import single_threaded

CLASSIFIERS = {"linear": "linear probe", "knn": "nearest neighbours"}
"""Names of the classifiers, and what a reader calls them."""

PENALTIES = tuple(float(10.0**k) for k in range(-4, 5))
"""Penalties of the linear probe, of which each training set chooses one: relative to the mean
squared length of its centred patterns, so that they suit a layer of any size and scale."""


def linear_probe(training: np.ndarray) -> RidgeClassifierCV:
    """Return the linear classifier: ridge regression on ±1 for each class, the largest wins.

    Its penalty is chosen by the error of leaving out one training picture at a time, which ridge
    regression has in closed form: also where there is one picture per class, of which nothing could
    be put aside for a choice, and of thousands of features, where a logistic regression would be
    fitted again for each penalty and each fold. With two classes of equal size it is Fisher's
    discriminant, regularised (Hastie, Tibshirani & Friedman 2009, Elements of Statistical Learning,
    exercise 4.2).

    Parameters
    ----------
    training : numpy.ndarray, shape (n, d)
        Centred features, which decide the penalties that are tried.
    """
    squared_length = float(np.square(training).sum(axis=1).mean())
    return RidgeClassifierCV(alphas=(squared_length or 1.0) * np.array(PENALTIES))


def nearest_neighbours(neighbours: int) -> KNeighborsClassifier:
    """Return the classifier that asks the nearest training pictures, by cosine distance.

    The nearer count for more (1/distance), so that votes are not tied. Centred features have their
    origin at the mean of the training pictures. By Euclidean distance, pictures to which few
    units respond would be everybody's neighbours (Radovanović et al. 2010, J Mach Learn Res
    11:2487): of the 92 objects in six categories, AlexNet's relu5 then classifies 32 %, by cosine
    72 %.
    """
    return KNeighborsClassifier(neighbours, weights="distance", metric="cosine")


@dataclass(frozen=True, eq=False)
class Split:
    """Training and held-out pictures, as positions.

    Attributes
    ----------
    repeat : int
        In each repeat, every picture is held out once.
    training, held_out : numpy.ndarray of int
    """

    repeat: int
    training: np.ndarray
    held_out: np.ndarray


def stratified_splits(labels: np.ndarray, folds: int, repeats: int, seed: int) -> list[Split]:
    """Divide pictures into folds with the same share of every class, several times."""
    splitter = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
    return [
        Split(k // folds, training, held_out)
        for k, (training, held_out) in enumerate(splitter.split(labels[:, None], labels))
    ]


def few_shot_splits(
    splits: Sequence[Split], labels: np.ndarray, shots: Sequence[int], seed: int
) -> dict[int, list[Split]]:
    """Draw a few training pictures of each class from each split's, and hold out the same.

    More shots are the fewer and others, so that a curve does not jump from one draw to the next.

    Parameters
    ----------
    splits : sequence of Split
    labels : numpy.ndarray of int, shape (n,)
    shots : sequence of int
        Pictures per class; those that some class does not have in every split are left out.
    seed : int

    Returns
    -------
    dict of int to list of Split
        By the number of training pictures per class.
    """
    classes = np.unique(labels)
    by_shots: dict[int, list[Split]] = {m: [] for m in shots}
    for k, split in enumerate(splits):
        rng = np.random.default_rng([seed, k])
        orders = [
            rng.permutation(split.training[labels[split.training] == label]) for label in classes
        ]
        for m in list(by_shots):
            if min(map(len, orders)) < m:
                del by_shots[m]
                continue
            training = np.sort(np.concatenate([order[:m] for order in orders]))
            by_shots[m].append(Split(split.repeat, training, split.held_out))
    return by_shots


def held_out_classes(
    features: np.ndarray, labels: np.ndarray, splits: Sequence[Split], neighbours: int
) -> dict[str, np.ndarray]:
    """Classify every picture in every repeat, by what the other folds teach.

    Features are centred on the mean of the training pictures, and not divided by their deviations:
    of a few pictures these are known badly, and units that hardly ever respond would count as much
    as others. (Whole relu5 of AlexNet then tells 66 % of the 92 objects' categories, in place of
    79 %.)

    Parameters
    ----------
    features : numpy.ndarray, shape (n, d)
    labels : numpy.ndarray of int, shape (n,)
    splits : sequence of Split
        In each of R repeats, every picture is held out once.
    neighbours : int
        At most; of a few shots, no more than there are pictures of a class.

    Returns
    -------
    dict of str to numpy.ndarray of int, shape (n, R)
        By the name of the classifier, see `CLASSIFIERS`.
    """
    n, n_repeats = len(labels), 1 + max(split.repeat for split in splits)
    predicted = {name: np.empty((n, n_repeats), dtype=np.intp) for name in CLASSIFIERS}
    with single_threaded():
        for split in splits:
            scaler = StandardScaler(with_std=False)
            training = scaler.fit_transform(features[split.training].astype(np.float64))
            held_out = scaler.transform(features[split.held_out].astype(np.float64))
            of_training = labels[split.training]
            k = min(neighbours, int(np.bincount(of_training)[np.unique(of_training)].min()))
            for name, classifier in (
                ("linear", linear_probe(training)),
                ("knn", nearest_neighbours(k)),
            ):
                classifier.fit(training, of_training)
                predicted[name][split.held_out, split.repeat] = classifier.predict(held_out)
    return predicted
