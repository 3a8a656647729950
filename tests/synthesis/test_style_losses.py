"""Distances between styles against closed forms in float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from probe.activations.capture import differentiable
from probe.synthesis import style_losses
from probe.synthesis.style_losses import RIDGE, Gaussian, Histograms, Moments, gram, moments

RELUS = ["features.1", "features.6", "features.11", "features.18", "features.25"]
"""relu1_1 to relu5_1 of VGG-16."""


@pytest.fixture(scope="module")
def features(load_trained):
    """What VGG-16 makes of two photographs of 192 pixels: {layer: (one, other)}, float32."""
    network = load_trained("vgg16")
    seen = [
        network.preprocessing(Image.fromarray(photograph))[None, :, :192, :192]
        for photograph in (data.astronaut(), data.coffee())
    ]
    found = [differentiable(network.module, one, RELUS) for one in seen]
    return {layer: tuple(one[layer][0].detach() for one in found) for layer in RELUS}


def covariance(flat):
    centred = flat - flat.mean(1, keepdim=True)
    return centred @ centred.T / flat.shape[1]


def reference(one, other):
    """The squared distance as it is written, from singular values, in the features' precision."""
    wanted = covariance(other)
    ridge = RIDGE * wanted.diagonal().mean() * torch.eye(len(wanted)).to(wanted)
    values, vectors = torch.linalg.eigh(wanted + ridge)
    root = (vectors * values.sqrt()) @ vectors.T
    centred = (one - one.mean(1, keepdim=True)) / one.shape[1] ** 0.5
    # tr((S C S)^½) is the sum of the singular values of S times a root of C.
    stretched = root @ torch.cat([centred, ridge.sqrt()], 1)
    cross = torch.linalg.svdvals(stretched).sum()
    apart = (one.mean(1) - other.mean(1)).square().sum()
    traces = (covariance(one) + wanted + 2 * ridge).trace()
    return (apart + traces - 2 * cross) / len(one)


@pytest.mark.slow
@pytest.mark.parametrize("layer", RELUS)
def test_wasserstein_on_photographs(features, layer):
    one, other = features[layer]
    exact = one.flatten(1).double().requires_grad_()
    wanted = reference(exact, other.flatten(1).double())
    (slope,) = torch.autograd.grad(wanted, exact)

    style = Gaussian(moments(other, other.flatten(1).mean(1)))
    given_ = one.clone().requires_grad_()
    found = style.distance(moments(given_, style.mean))
    (ours,) = torch.autograd.grad(found, given_)
    wanted = wanted.detach()

    assert float(found.detach()) == pytest.approx(float(wanted), rel=1e-4)
    assert (ours.flatten(1) - slope).norm() <= 1e-4 * slope.norm()


def test_wasserstein_of_one_dimension():
    """(m − m')² + (s − s')²."""
    one = torch.tensor([[[1.0, 3.0]]])  # mean 2, deviation 1
    other = torch.tensor([[[4.0, 10.0]]])  # mean 7, deviation 3
    style = Gaussian(moments(other))
    ridge = RIDGE * 9
    wanted = 25 + ((1 + ridge) ** 0.5 - (9 + ridge) ** 0.5) ** 2
    assert float(style.distance(moments(one))) == pytest.approx(wanted, rel=1e-5)


@given(seed=st.integers(0, 1000), channels=st.integers(1, 9), positions=st.integers(1, 30))
@settings(deadline=None, max_examples=40)
def test_no_distance_to_itself(seed, channels, positions):
    drawn = torch.Generator().manual_seed(seed)
    made = torch.randn(channels, positions, 1, generator=drawn) * 3 + 1
    style = Gaussian(moments(made, made.flatten(1).mean(1)))
    of_itself = moments(made.requires_grad_(), style.mean)
    distance = style.distance(of_itself)
    assert float(distance.detach()) == pytest.approx(0, abs=1e-4)
    (slope,) = torch.autograd.grad(distance, made)
    assert slope.isfinite().all()
    assert slope.abs().max() < 1e-2
    assert float(gram(moments(made.detach()), moments(made.detach()))) == 0


def test_gram_is_that_of_gatys():
    """Written as equation 3 and 4, with the Gram matrix divided by the number of positions."""
    drawn = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 4, 5, 6, generator=drawn)
    grams = [torch.einsum("iyx,jyx->ij", f, f) / 30 for f in (one, other)]
    wanted = (grams[0] - grams[1]).square().mean()
    assert float(gram(moments(one), moments(other))) == pytest.approx(float(wanted), rel=1e-5)


def test_moments_in_parts_are_those_of_the_whole():
    drawn = torch.Generator().manual_seed(0)
    made = torch.randn(4, 6, 8, generator=drawn)
    centre = torch.ones(4)
    parts = [moments(made[:, :, :2], centre), moments(made[:, :, 2:], centre)]
    whole = moments(made, centre)
    mean, second = (
        (getattr(parts[0], of) * 2 + getattr(parts[1], of) * 6) / 8 for of in ("mean", "second")
    )
    torch.testing.assert_close(mean, whole.mean)
    torch.testing.assert_close(second, whole.second)
    torch.testing.assert_close(
        Moments(mean, second, centre).covariance, covariance(made.flatten(1)), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("strip", [1, 30, 1000])
@pytest.mark.parametrize("weighted", [False, True])
def test_moments_and_their_gradient_in_strips(monkeypatch, strip, weighted):
    """Against autograd through the definition, and finite differences."""
    monkeypatch.setattr(style_losses, "STRIP_VALUES", strip)
    drawn = torch.Generator().manual_seed(0)
    made = torch.randn(3, 5, 4, generator=drawn, dtype=torch.float64).requires_grad_()
    centre = torch.ones(3, dtype=torch.float64)
    weights = torch.rand(5, 4, generator=drawn) if weighted else torch.tensor(1 / 20)

    def written(features):
        centred = features.flatten(1) - centre[:, None]
        own = weights.flatten() if weighted else weights
        return (centred * own).sum(1), (centred * own) @ centred.T

    def ours(features):
        found = moments(features, centre, weights)
        return found.mean, found.second

    for one, other in zip(ours(made), written(made), strict=True):
        torch.testing.assert_close(one, other)
    assert torch.autograd.gradcheck(ours, made)
    # What lies in memory channel by channel, and is part of something larger.
    inside = made.detach()[None].to(memory_format=torch.channels_last)[0, :, 1:4, :3]
    inside.requires_grad_()
    if weighted:
        weights = weights[1:4, :3]
    assert torch.autograd.gradcheck(ours, inside)


@given(st.integers(0, 1000), st.sampled_from([200, 333, 1000]))
@settings(max_examples=15)
def test_values_are_matched_in_order(seed, positions):
    """Against sorting: the k-th of n values becomes that below which as many of the style's are."""
    drawn = torch.Generator().manual_seed(seed)
    one = torch.randn(3, 10, positions, generator=drawn).relu()
    other = (
        torch.randn(3, 8, 400, generator=drawn) + torch.tensor([0, 1, 3])[:, None, None]
    ).relu()
    wanted = moments(other)
    of_style = Histograms(wanted).counts(other, torch.tensor(1 / 3200))
    style = Histograms(wanted, of_style)
    counts = style.counts(one, torch.tensor(1 / one[0].numel()))
    torch.testing.assert_close(counts.sum(1), torch.ones(3).double(), rtol=1e-6, atol=0)
    found = style.matched(one, counts).flatten(1)
    for channel in range(3):
        values = one[channel].flatten()
        rank = (values.argsort().argsort() + 0.5) / len(values)
        sorted_ = torch.quantile(other[channel].flatten(), rank)
        alive = values > 0  # among equal zeros, sorting chooses at will
        off = (found[channel] - sorted_)[alive].abs()
        assert float(off.median()) < 2 * float(style.width[channel])
        assert not found[channel][values.argsort()].diff().lt(-1e-5).any()


@pytest.mark.slow
def test_a_picture_with_the_same_histograms_stays(features):
    one, _ = features["features.18"]
    wanted, weights = moments(one), torch.tensor(1 / one[0].numel())
    counts = Histograms(wanted).counts(one, weights)
    found = Histograms(wanted, counts).matched(one, counts)
    inside = one < Histograms(wanted).width[..., None] * 255
    torch.testing.assert_close(found[inside], one[inside], rtol=1e-3, atol=1e-3)
