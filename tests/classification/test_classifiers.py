"""Linear probe and nearest neighbours are scikit-learn's, trained without held-out pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from probe.classification.classifiers import (
    PENALTIES,
    few_shot_splits,
    held_out_classes,
    stratified_splits,
)


def classes(n_per_class=12, n_classes=3, d=40, apart=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(n_classes), n_per_class))
    centres = apart * rng.normal(size=(n_classes, d))
    noise = rng.normal(size=(len(labels), d))
    return (centres[labels] + noise).astype(np.float32), labels


@pytest.mark.parametrize(("d", "apart"), [(5, 1.0), (40, 0.5)])
def test_they_are_scikit_learns_on_the_same_folds(d, apart):
    features, labels = classes(d=d, apart=apart)
    predicted = held_out_classes(features, labels, stratified_splits(labels, 4, 2, 3), 5)
    splitter = RepeatedStratifiedKFold(n_splits=4, n_repeats=2, random_state=3)
    splits = list(splitter.split(features, labels))
    for name in ("linear", "knn"):
        for k, (training, held_out) in enumerate(splits):
            # The sum of the variances is the mean squared length of centred patterns.
            variance = features[training].astype(np.float64).var(axis=0).sum()
            classifier = {
                "linear": RidgeClassifierCV(alphas=variance * np.array(PENALTIES)),
                "knn": KNeighborsClassifier(5, weights="distance", metric="cosine"),
            }[name]
            pipeline = make_pipeline(StandardScaler(with_std=False), classifier)
            expected = pipeline.fit(features[training].astype(np.float64), labels[training])
            np.testing.assert_array_equal(
                predicted[name][held_out, k // 4],
                expected.predict(features[held_out].astype(np.float64)),
            )
        assert 0.4 < (predicted[name] == labels[:, None]).mean() < 1.0  # the numbers can differ


def test_labels_of_held_out_pictures_teach_nothing():
    """Labels that the features know nothing of are guessed, however many features there are."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 500))
    labels = np.tile(np.arange(2), 30)
    splits = stratified_splits(labels, 5, 4, 0)
    for predicted in held_out_classes(features, labels, splits, 5).values():
        assert 0.25 < (predicted == labels[:, None]).mean() < 0.65


def test_a_held_out_picture_does_not_change_how_others_are_classified():
    features, labels = classes(apart=0.3)
    (split, *_) = stratified_splits(labels, 4, 1, 0)
    before = held_out_classes(features, labels, [split], 3)
    changed, others = features.copy(), split.held_out[1:]
    changed[split.held_out[0]] *= 1e3
    after = held_out_classes(changed, labels, [split], 3)
    for name in before:
        np.testing.assert_array_equal(after[name][others], before[name][others])


@given(
    n_per_class=st.integers(4, 9),
    n_classes=st.integers(2, 4),
    folds=st.integers(2, 4),
    repeats=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_few_shots_come_from_the_training_pictures_of_each_fold(
    n_per_class, n_classes, folds, repeats, seed
):
    _, labels = classes(n_per_class, n_classes, d=1, seed=seed)
    splits = stratified_splits(labels, folds, repeats, seed)
    drawn = few_shot_splits(splits, labels, (1, 2, 50), seed)
    assert list(drawn) == [1, 2]
    for m, of_shots in drawn.items():
        for split, whole in zip(of_shots, splits, strict=True):
            assert np.bincount(labels[split.training]).tolist() == [m] * n_classes
            assert set(split.training) <= set(whole.training)
            np.testing.assert_array_equal(split.held_out, whole.held_out)
            assert not set(split.training) & set(split.held_out)
    for one, two in zip(drawn[1], drawn[2], strict=True):
        assert set(one.training) < set(two.training)
    for repeat in range(repeats):
        held_out = np.concatenate([s.held_out for s in splits if s.repeat == repeat])
        assert sorted(held_out) == list(range(len(labels)))


@pytest.mark.parametrize("n_classes", [2, 5])
def test_one_picture_per_class_is_enough(n_classes):
    features, labels = classes(6, n_classes, d=30, apart=6.0)
    splits = few_shot_splits(stratified_splits(labels, 3, 1, 0), labels, (1,), 0)[1]
    for predicted in held_out_classes(features, labels, splits, 5).values():
        assert (predicted == labels[:, None]).mean() > 0.95


def test_features_that_say_nothing_are_no_error():
    _, labels = classes()
    splits = stratified_splits(labels, 3, 1, 0)
    for predicted in held_out_classes(np.ones((len(labels), 7)), labels, splits, 5).values():
        assert set(np.unique(predicted)) <= {0, 1, 2}
