"""How far to trust a map: against closed forms, plain loops and captum."""

import copy

import numpy as np
import pytest
import torch
from captum.metrics import infidelity as captum_infidelity
from captum.metrics import sensitivity_max as captum_sensitivity
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import nn

from probe.activations.capture import differentiable
from probe.attribution.checks import (
    _squares,
    blurred,
    completeness_gap,
    deletion_curve,
    infidelity,
    insertion_curve,
    max_sensitivity,
    pointing_game,
    share_in_box,
)
from probe.errors import ProbeError
from probe.targets import Channel, Class, Function, gradient, values


def slope(module, images, target):
    x = images.detach().requires_grad_()
    (found,) = gradient(target(differentiable(module, x, target.layers)), [x], target)
    return found


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.ReLU(inplace=True), nn.Dropout(), nn.AdaptiveAvgPool2d(3),
            nn.Flatten(), nn.Linear(54, 4),
        )  # fmt: skip
    return module.eval()


class Linear(nn.Module):
    """A weight for every value of the picture."""

    def __init__(self, *size):
        super().__init__()
        self.weight = nn.Parameter(random(3, *size, seed=9))

    def forward(self, x):
        return (x * self.weight).flatten(1).sum(1, keepdim=True)


@pytest.fixture
def images():
    return random(2, 3, 12, 10)


TOTAL = Function(lambda output: output.sum(1), name="total")


# Completeness


def test_contributions_to_a_linear_model_are_complete(images):
    module = Linear(12, 10)
    value = values(module, images, TOTAL)
    zero = values(module, torch.zeros_like(images), TOTAL)
    assert (completeness_gap(images * module.weight, value, zero) < 1e-5).all()
    half = completeness_gap(images * module.weight / 2, value, zero)
    torch.testing.assert_close(half, torch.full((2,), 0.5, dtype=torch.float64), atol=1e-5, rtol=0)


def test_the_gap_is_a_share_of_the_change():
    maps = torch.tensor([[[1.0, 2.0]], [[-2.0, 1.0]], [[1.0, -1.0]], [[1.0, 0.0]]])
    found = completeness_gap(maps, torch.tensor([5.0, 1, 2, 2]), torch.tensor([1.0, 3, 2, 2]))
    assert found.tolist() == [0.25, 0.5, 0.0, np.inf]


# Deletion and insertion


def plain_curve(module, before, after, maps, steps, score):
    """Pixel by pixel; maps without ties."""
    height, width = before.shape[-2:]
    scores = []
    for first, last, values_ in zip(before, after, maps, strict=True):
        order = sorted(range(height * width), key=lambda k: -float(values_[k // width, k % width]))
        picture, row, done = first.clone(), [], 0
        for step in range(steps + 1):
            while done < round(step * height * width / steps):
                y, x = divmod(order[done], width)
                picture[:, y, x] = last[:, y, x]
                done += 1
            row.append(score(module(picture[None])).item())
        scores.append(row)
    return np.array(scores)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_curves_are_those_of_a_plain_loop(network, images, batch_size):
    maps = random(2, 12, 10, seed=3)
    target, score = Class(2), lambda output: output.softmax(1)[0, 2]
    deleted = deletion_curve(network, images, target, maps, steps=8, batch_size=batch_size)
    expected = plain_curve(network, images, torch.zeros_like(images), maps, 8, score)
    np.testing.assert_allclose(deleted.scores, expected, atol=1e-6)
    np.testing.assert_allclose(deleted.fractions, np.arange(9) / 8)
    inserted = insertion_curve(network, images, target, maps, steps=8, batch_size=batch_size)
    expected = plain_curve(network, blurred(images), images, maps, 8, score)
    np.testing.assert_allclose(inserted.scores, expected, atol=1e-6)
    trapezia = (expected[:, :-1] + expected[:, 1:]).sum(1) / 2 / 8
    np.testing.assert_allclose(inserted.area, trapezia, atol=1e-6)


def test_curves_start_and_end_at_picture_and_baseline(network, images):
    target, baseline = Channel("0", 1), random(1, 3, 12, 10, seed=4)
    maps = random(2, 3, 3, seed=1)
    curve = deletion_curve(network, images, target, maps, baseline=baseline, steps=3)
    ends = [values(network, x, target) for x in (images, baseline.expand_as(images))]
    np.testing.assert_allclose(curve.scores[:, [0, -1]], np.stack(ends, 1), atol=1e-6)
    curve = insertion_curve(network, images, target, maps, baseline=0.5, steps=3)
    ends = [values(network, x, target) for x in (torch.full_like(images, 0.5), images)]
    np.testing.assert_allclose(curve.scores[:, [0, -1]], np.stack(ends, 1), atol=1e-6)


@given(seed=st.integers(0, 2**31))
def test_no_order_is_better_than_that_of_a_linear_models_contributions(seed):
    module, images = Linear(6, 5), random(1, 3, 6, 5, seed=2)
    best, other = images * module.weight.detach(), random(1, 6, 5, seed=seed)
    area = [
        curve(module, images, TOTAL, maps, baseline=0.0, steps=30).area[0]
        for curve in (deletion_curve, insertion_curve)
        for maps in (best, other)
    ]
    assert area[0] <= area[1] + 1e-6
    assert area[2] >= area[3] - 1e-6


def test_what_is_equally_important_has_no_order_of_rows():
    module, images = Linear(10, 10), torch.ones(1, 3, 10, 10)
    with torch.no_grad():
        module.weight.zero_()
        module.weight[:, :5] = 1.0  # the upper half
    flat = torch.zeros(1, 10, 10)
    halfway = [
        deletion_curve(module, images, TOTAL, flat, steps=2, seed=seed).scores[0, 1]
        for seed in (0, 0, 1)
    ]
    assert halfway[0] == halfway[1] != halfway[2]
    assert halfway == pytest.approx([75.0] * 3, abs=25)


def test_blurred_pictures_are_those_of_scipy(images):
    found = blurred(images)
    np.testing.assert_allclose(found[1, 2], gaussian_filter(images[1, 2].numpy(), 0.5), atol=1e-6)


@pytest.mark.parametrize("steps", [0, 121])
def test_blocks_have_a_pixel_at_least(network, images, steps):
    with pytest.raises(ProbeError, match=f"steps {steps}: expected 1 to 120"):
        deletion_curve(network, images, Class(0), images, steps=steps)


def test_maps_that_do_not_fit_are_told(network, images):
    with pytest.raises(ProbeError, match="1 maps for 2 pictures"):
        insertion_curve(network, images, Class(0), images[:1])
    with pytest.raises(ProbeError, match="expected"):
        deletion_curve(network, images, Class(0), images[:, :, 1:])


# Infidelity


def captums(network, images, maps, mask, slopes, normalise):
    """Infidelity of captum, with the squares of ours; x − I is covered with 0.3."""
    n = len(mask)

    def perturb(inputs):
        inside = mask.repeat(len(inputs) // n, 1, 1)[:, None].expand_as(inputs)
        seen = torch.where(inside, 0.3, inputs)
        return (inputs - seen if slopes else inside.float()), seen

    with torch.no_grad():
        return captum_infidelity(
            network, perturb, images, maps, target=1, n_perturb_samples=n, normalize=normalise
        ).double()


@pytest.mark.parametrize("slopes", [True, False])
@pytest.mark.parametrize("batch_size", [4, 100])
def test_infidelity_is_that_of_captum(network, images, slopes, batch_size):
    mask = _squares(11, 12, 10, seed=5)
    maps = slope(network, images, Class(1))
    given = {"contributions": not slopes, "baseline": 0.3, "n_samples": 11, "seed": 5}
    found = infidelity(
        network, images, Class(1), maps, scaled=False, batch_size=batch_size, **given
    )
    expected = captums(network, images, maps, mask, slopes, False)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)
    found = infidelity(network, images, Class(1), maps, batch_size=batch_size, **given)
    expected = captums(network, images, maps, mask, slopes, True)
    of_zeros = captums(network, images, torch.zeros_like(maps), mask, slopes, False)
    torch.testing.assert_close(found, expected / of_zeros, rtol=1e-4, atol=0)


def test_the_gradient_of_a_linear_model_foretells_everything(images):
    module = Linear(12, 10)
    weight = module.weight.detach().expand_as(images)
    given = {"baseline": 0.7, "scaled": False}
    found = infidelity(module, images, TOTAL, weight, contributions=False, **given)
    assert (found < 1e-8).all()
    contributions = (images - 0.7) * weight
    found = infidelity(module, images, TOTAL, contributions, **given)
    assert (found < 1e-8).all()
    assert (infidelity(module, images, TOTAL, 3 * contributions, **given) > 1).all()
    assert (infidelity(module, images, TOTAL, 3 * contributions, baseline=0.7) < 1e-8).all()


@given(seed=st.integers(0, 2**31), scale=st.sampled_from([-1e-12, 1e-3, 1e8]))
def test_scaled_infidelity_is_a_share_and_has_no_unit(seed, scale):
    module, images = Linear(9, 9), random(1, 3, 9, 9)
    maps = random(1, 4, 4, seed=seed)
    found = infidelity(module, images, TOTAL, maps)
    assert 0 <= float(found) <= 1
    again = infidelity(module, images, TOTAL, scale * maps)
    torch.testing.assert_close(found, again, rtol=1e-4, atol=1e-6)


def test_a_map_of_zeros_foretells_nothing(network, images):
    assert infidelity(network, images, Class(0), torch.zeros(2, 3, 3)).tolist() == [1.0, 1.0]


def test_squares_lie_anywhere_and_are_squares():
    squares = _squares(500, 24, 32, seed=0)
    sides = squares.any(2).sum(1)
    assert torch.equal(sides, squares.any(1).sum(1))
    assert torch.equal(sides**2, squares.flatten(1).sum(1))
    assert (int(sides.min()), int(sides.max())) == (3, 12)
    assert squares.any(0).all()
    assert _squares(3, 1, 1, seed=0).all()


def test_infidelity_tells_what_does_not_fit(network, images):
    with pytest.raises(ProbeError, match="slopes have that of the pictures"):
        infidelity(network, images, Class(0), random(2, 3, 3), contributions=False)
    with pytest.raises(ProbeError, match="n_samples 0: expected 1 or more"):
        infidelity(network, images, Class(0), images, n_samples=0)
    constant = Function(lambda output: output.sum(1) * 0, name="nothing")
    with pytest.raises(ProbeError, match="'nothing' does not change"):
        infidelity(network, images, constant, images)


# Sensitivity


def test_sensitivity_is_that_of_captum(network, images):
    generator = torch.Generator().manual_seed(4)
    noise = [(2 * torch.rand(3, 12, 10, generator=generator) - 1) * 0.3 for _ in range(6)]

    def perturb(inputs):
        return inputs + torch.stack(noise).repeat(len(inputs) // 6, 1, 1, 1)

    def explained(x):
        with torch.enable_grad():
            if isinstance(x, tuple):
                return (slope(network, x[0], Class(1)),)
            return slope(network, x, Class(1))

    found = max_sensitivity(slope, network, images, Class(1), radius=0.3, n_samples=6, seed=4)
    expected = captum_sensitivity(explained, images, perturb, n_perturb_samples=6)
    torch.testing.assert_close(found, expected.double(), rtol=1e-5, atol=0)
    assert (found > 0).all()


def test_sensitivity_of_known_maps(images):
    module = Linear(12, 10)
    assert max_sensitivity(slope, module, images, TOTAL).tolist() == [0.0, 0.0]
    noise = max_sensitivity(
        lambda _module, x, _target: x - images, module, images, TOTAL, n_samples=1
    )
    assert noise.isinf().all()
    zeros = max_sensitivity(lambda _module, x, _target: 0 * x, module, images, TOTAL)
    assert zeros.isnan().all()


def test_sensitivity_takes_maps_that_are_made_already(network, images):
    calls = []

    def noted(*given):
        calls.append(given)
        return slope(*given)

    made = slope(network, images, Class(1))
    found = max_sensitivity(noted, network, images, Class(1), maps=made, n_samples=4)
    assert len(calls) == 4
    assert found.tolist() == max_sensitivity(slope, network, images, Class(1), n_samples=4).tolist()


def test_sensitivity_grows_with_samples_and_noise(network, images):
    def found(**given):
        return max_sensitivity(slope, network, images, Class(1), **given)

    assert (found(n_samples=8) >= found(n_samples=2)).all()
    assert (found(radius=0.5) > found(radius=0.01)).all()


@pytest.mark.parametrize("wrong", [{"n_samples": 0}, {"radius": 0.0}, {"radius": float("nan")}])
def test_sensitivity_refuses_numbers_that_make_no_sense(network, images, wrong):
    with pytest.raises(ProbeError, match="expected at least 1, and above 0"):
        max_sensitivity(slope, network, images, Class(1), **wrong)


# Boxes


def test_the_largest_value_hits_the_box_or_its_neighbourhood():
    maps = torch.zeros(1, 60, 80)
    maps[0, 20, 50] = 1.0
    size = (60, 80)
    box = {
        "around": (45, 15, 55, 25),
        "its pixel": (50, 20, 51, 21),
        "left of it": (45, 15, 50, 25),
        "15 beside": (66, 20, 70, 21), "16 beside": (67, 20, 70, 21),
        "9, 12 beside": (60, 33, 70, 40), "11, 12 beside": (62, 33, 70, 40),
    }  # fmt: skip
    found = {name: bool(pointing_game(maps, [one], size)) for name, one in box.items()}
    # 66 − 50 is 16; the pixels of the box begin there.
    expected = dict.fromkeys(box, True) | dict.fromkeys(
        ["15 beside", "16 beside", "9, 12 beside", "11, 12 beside"], False
    )
    assert found["around"]
    assert found == expected | {
        "15 beside": np.hypot(16, 0) <= 15,
        "9, 12 beside": np.hypot(10, 13) <= 15,
    }
    assert pointing_game(maps, [(65, 20, 70, 21)], size).item()
    assert pointing_game(maps, [(59, 32, 70, 40)], size).item()
    strict = {
        name: bool(pointing_game(maps, [one], size, tolerance=0)) for name, one in box.items()
    }
    assert [name for name, hit in strict.items() if hit] == ["around", "its pixel"]


def test_a_constant_map_points_nowhere():
    found = pointing_game(torch.ones(2, 4, 4), [(0, 0, 40, 40)] * 2, (40, 40))
    assert found.tolist() == [False, False]


@given(
    seed=st.integers(0, 2**31), left=st.integers(0, 8), top=st.integers(0, 5),
    wide=st.integers(1, 3), high=st.integers(1, 3),
)  # fmt: skip
def test_shares_in_a_box_are_those_of_a_plain_sum(seed, left, top, wide, high):
    maps = random(1, 3, 8, 11, seed=seed)
    positive = maps.sum(1)[0].numpy().clip(min=0).astype(float)
    expected = positive[top : top + high, left : left + wide].sum() / positive.sum()
    box = (left, top, left + wide, top + high)
    assert float(share_in_box(maps, [box], (8, 11))) == pytest.approx(expected, abs=1e-6)


def test_a_map_without_knowledge_has_the_boxs_share_of_the_picture():
    found = share_in_box(torch.ones(1, 3, 3), [(10, 5, 40, 45)], (50, 60))
    assert float(found) == pytest.approx(30 * 40 / 3000)
    assert share_in_box(-torch.ones(1, 3, 3), [(10, 5, 40, 45)], (50, 60)).isnan().all()


@pytest.mark.parametrize("box", [(-1, 0, 3, 3), (0, 0, 12, 5), (3, 0, 3, 5), (0, 4, 5, 2)])
def test_boxes_lie_within_the_picture(box):
    with pytest.raises(ProbeError, match=r"is not \(left, top, right, bottom\) within .* 11×9"):
        share_in_box(torch.ones(1, 9, 11), [box], (9, 11))
    with pytest.raises(ProbeError, match="2 boxes for 1 maps"):
        pointing_game(torch.ones(1, 9, 11), [(0, 0, 1, 1)] * 2, (9, 11))


# What is the user's


CHECKS = {
    "deletion": lambda m, x: deletion_curve(m, x, Class(0), random(2, 3, 3), batch_size=20),
    "insertion": lambda m, x: insertion_curve(m, x, Class(0), random(2, 3, 3), batch_size=20),
    "infidelity": lambda m, x: infidelity(m, x, Class(0), random(2, 3, 3), n_samples=3),
    "sensitivity": lambda m, x: max_sensitivity(slope, m, x, Class(0), n_samples=3),
}


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("check", CHECKS)
def test_nothing_of_the_users_changes(network, images, check, raises):
    network.train()
    network[0].weight.requires_grad_(False)
    images.requires_grad_()
    calls = []

    def hook(*_):
        calls.append(1)
        if raises and len(calls) == 2:
            raise ZeroDivisionError

    network[5].register_forward_hook(hook)
    before, hooks = copy.deepcopy(network.state_dict()), dict(network[5]._forward_hooks)
    picture, state = images.detach().clone(), torch.get_rng_state()
    if raises:
        with pytest.raises(ZeroDivisionError):
            CHECKS[check](network, images)
    else:
        CHECKS[check](network, images)
    assert len(calls) >= 1
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert dict(network[5]._forward_hooks) == hooks
    assert not any(len(p._forward_hooks) for p in network.modules() if p is not network[5])
    assert all(part.training for part in network.modules())
    assert [p.requires_grad for p in network.parameters()] == [False, True, True, True]
    assert all(p.grad is None for p in network.parameters())
    assert images.requires_grad
    assert images.grad is None
    assert torch.equal(images.detach(), picture)
    assert torch.equal(torch.get_rng_state(), state)
