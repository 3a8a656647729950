"""Visual words: the vocabulary, and the counts."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from skimage import data

from probe.models import visual_words
from probe.models.visual_words import Descriptors, VisualWords, vocabulary


@pytest.fixture(scope="module")
def words():
    return vocabulary()


def test_the_same_words_from_the_same_seed(monkeypatch):
    monkeypatch.setattr(visual_words, "_SIDES", (96,))
    monkeypatch.setattr(visual_words, "N_WORDS", 20)
    before = torch.get_rng_state()
    first, again, other = (vocabulary(seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_words_are_means_of_descriptors(words):
    assert words.shape == (200, 128)
    assert words.min() >= -1e-6
    norms = words.norm(dim=1)
    assert norms.max() <= 1 + 1e-5  # of descriptors of length 1
    assert np.unique(words.numpy().round(5), axis=0).shape == words.shape


def test_shares_against_the_nearest_words_of_scipy(words):
    pixels = data.coffee()[:224, :224]
    pictures = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float()[None] / 255
    layer = VisualWords()
    layer.words = words
    descriptors = Descriptors()(pictures)
    assert descriptors.shape == (1, 128, 27, 27)
    np.testing.assert_allclose(descriptors.norm(dim=1), 1.0, atol=1e-5)
    nearest = cdist(descriptors[0].flatten(1).T.double(), words.double()).argmin(1)
    shares = layer(descriptors)[0]
    np.testing.assert_allclose(shares, np.bincount(nearest, minlength=200) / 27**2, atol=1e-6)
