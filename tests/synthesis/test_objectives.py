from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from probe.errors import ProbeError
from probe.synthesis.objectives import ALIGNED, Between, Diversity, Each
from probe.synthesis.transforms import generator
from probe.targets import Channel, Direction, Norm, Unit


def outputs(n: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, *shape, generator=generator(seed))


def test_each_picture_has_its_own_target() -> None:
    targets = [Channel("a", 2), Norm("b"), Unit("a", 0, (1, 2))]
    each = Each(targets)
    assert each.layers == ("a", "b")
    assert each.name == "a:2, b, a:0,1,2"
    given = {"a": outputs(3, 4, 5, 5), "b": outputs(3, 6, 2, 2, seed=1)}
    expected = [
        given["a"][0, 2].mean(),
        given["b"][1].square().sum() / 2,
        given["a"][2, 0, 1, 2],
    ]
    torch.testing.assert_close(each(given), torch.stack(expected))


def test_each_tells_of_a_channel_that_is_not_there() -> None:
    with pytest.raises(ProbeError, match="channel 9 does not exist"):
        Each([Channel("a", 0), Channel("a", 9)])({"a": outputs(2, 4, 5, 5)})


@pytest.mark.parametrize("shape", [(4, 3, 3), (7, 4)])  # of maps, and of tokens
def test_diversity_equals_a_plain_loop(shape: tuple[int, ...]) -> None:
    given = outputs(4, *shape)
    found = Diversity("a")({"a": given})
    features = [x.flatten(1) if x.ndim == 3 else x.T for x in given]
    grams = [(x @ x.T).flatten() for x in features]
    for k in range(4):
        alike = [F.cosine_similarity(grams[k], grams[j], dim=0) for j in range(4) if j != k]
        torch.testing.assert_close(found[k], -torch.stack(alike).mean())


def test_diversity_of_one_picture_or_of_silence_is_nothing() -> None:
    assert Diversity("a")({"a": outputs(1, 4, 3, 3)}).abs().item() < 1e-6
    silent = torch.zeros(2, 4, 3, 3, requires_grad=True)
    value = Diversity("a")({"a": silent})
    value.sum().backward()
    assert value.tolist() == [0, 0]
    assert silent.grad is not None
    assert bool(silent.grad.isfinite().all())


def test_diversity_draws_textures_apart() -> None:
    given = outputs(3, 4, 5, 5)
    given = (given[:1] + 0.1 * given).requires_grad_()
    before = Diversity("a")({"a": given}).sum()
    (slope,) = torch.autograd.grad(before, given)
    after = Diversity("a")({"a": given + 0.1 * slope / slope.std()}).sum()
    assert float(after.detach()) > float(before.detach()) + 0.1


def test_between_is_a_direction_in_equal_angles() -> None:
    given = {"a": outputs(2, 8, 4, 4)}
    for share, (first, last) in [(0.0, (1.0, 0.0)), (0.5, (0.5, 0.5)), (1 / 3, (0.75, 0.25))]:
        direction = torch.zeros(8)
        direction[1], direction[6] = first**0.5, last**0.5  # cos² and sin² of the angle
        expected = Direction("a", direction, power=ALIGNED)(given)
        torch.testing.assert_close(Between("a", 1, 6, share, "")(given), expected)
