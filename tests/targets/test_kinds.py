"""The number that a target is, and its gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from probe import targets
from probe.errors import ProbeError
from probe.models import Network
from probe.targets import OUTPUT, Channel, Class, Direction, Function, Norm, Sum, Target, Unit


def outputs(seed: int = 0) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {
        OUTPUT: torch.randn(2, 10, generator=draw),
        "conv": torch.randn(2, 4, 5, 6, generator=draw),
        "tokens": torch.randn(2, 7, 4, generator=draw),
        "dense": torch.randn(2, 4, generator=draw),
    }


class TestValues:
    def test_each_is_what_it_says(self) -> None:
        out = outputs()
        for target, expected in (
            (Class(3), out[OUTPUT][:, 3]),
            (Channel("conv", 2), out["conv"][:, 2].mean((1, 2))),
            (Channel("tokens", 2), out["tokens"][:, :, 2].mean(1)),
            (Channel("dense", 2), out["dense"][:, 2]),
            (Unit("conv", 1, (4, 5)), out["conv"][:, 1, 4, 5]),
            (Unit("tokens", 1, (6,)), out["tokens"][:, 6, 1]),
            (Unit("dense", 3, ()), out["dense"][:, 3]),
            (Norm("conv"), (out["conv"] ** 2).sum((1, 2, 3)) / 2),
            (Direction("conv", torch.tensor([0.0, 3, 0, 4])),
             out["conv"].mean((2, 3)) @ torch.tensor([0, 0.6, 0, 0.8])),
            (Function(lambda a, b: a[:, 0] + b[:, 0, 0, 0], ("dense", "conv")),
             out["dense"][:, 0] + out["conv"][:, 0, 0, 0]),
        ):  # fmt: skip
            torch.testing.assert_close(target(out), expected)

    @given(st.lists(st.tuples(st.floats(-3, 3), st.integers(0, 9)), min_size=1, max_size=4))
    def test_sums(self, terms: list[tuple[float, int]]) -> None:
        out = outputs()
        target: Target = Sum(tuple((weight, Class(k)) for weight, k in terms))
        expected = torch.stack([weight * out[OUTPUT][:, k] for weight, k in terms]).sum(0)
        torch.testing.assert_close(target(out), expected)
        torch.testing.assert_close((2 * target - target)(out), expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close((-target)(out), -expected)

    def test_a_sum_names_its_terms_and_looks_at_each_layer_once(self) -> None:
        target = Class(1, "hen") - 0.5 * Channel("conv", 2) + Unit("conv", 1, (0, 0))
        assert target.name == "hen - 0.5*conv:2 + conv:1,0,0"
        assert target.layers == (OUTPUT, "conv")

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            (Class(10), "class 10 does not exist: the network has 10, from 0"),
            (Channel("conv", 4), "channel 4 does not exist: layer 'conv' has 4"),
            (Unit("conv", 0, (5, 0)), "y 5 does not exist"),
            (Unit("conv", 0, (1,)), "positions y,x"),
            (Unit("dense", 0, (1, 1)), "no positions"),
            (Direction("conv", torch.ones(3)), "4 channels"),
            (Function(lambda out: out), "one number for each"),
            (Class(0, layers=("conv",)), "no classes"),
        ],
    )
    def test_what_is_not_there(self, target: Target, message: str) -> None:
        with pytest.raises(ProbeError, match=message):
            target(outputs())

    @pytest.mark.parametrize("layer", ["conv", "tokens", "dense"])
    def test_a_direction_with_a_power_is_a_mean_over_positions(self, layer: str) -> None:
        output = outputs()[layer]
        rows = output.movedim(1, -1) if layer == "conv" else output
        direction = torch.tensor([0.0, 3, 0, 4])
        expected = []
        for picture in rows.reshape(2, -1, 4):
            found = []
            for vector in picture:
                along = float(vector @ direction) / 5
                cosine = along / float(vector.norm())
                found.append(along * max(0.1, cosine) ** 2)
            expected.append(sum(found) / len(found))
        value = Direction(layer, direction, power=2.0)(outputs())
        torch.testing.assert_close(value, torch.tensor(expected))

    def test_a_direction_with_a_power_has_a_gradient_where_nothing_answers(self) -> None:
        nothing = torch.zeros(1, 4, 5, 6, requires_grad=True)
        Direction("conv", torch.ones(4), power=2.0)({"conv": nothing}).sum().backward()
        assert nothing.grad is not None
        # Where the cosine is below 0.1, the projection times 0.1 to the power.
        torch.testing.assert_close(nothing.grad, torch.full((1, 4, 5, 6), 0.5 * 0.01 / 30))


def test_a_target_without_a_gradient() -> None:
    x = torch.ones(1, 3, requires_grad=True)
    with pytest.raises(ProbeError, match="'function' has no gradient"):
        targets.gradient(torch.ones(1), [x], Function(lambda out: out))


class OfOneNetwork(Class):
    """A class of the network called ``label``."""

    def check(self, network: Network) -> None:
        if network.name != self.label:
            raise ProbeError(f"{self.index} is of {self.label!r}, not of {network.name!r}")


class TestCheck:
    @pytest.fixture
    def network(self) -> Network:
        return Network.from_module(nn.Flatten(), name="mine")

    def test_most_targets_belong_to_any_network(self, network: Network) -> None:
        for target in (Class(3), Channel("conv", 2), Norm("conv"), Function(lambda out: out)):
            target.check(network)

    def test_a_sum_asks_every_term(self, network: Network) -> None:
        (Class(0) - 2 * OfOneNetwork(1, "mine") + Channel("conv", 2)).check(network)
        with pytest.raises(ProbeError, match="2 is of 'yours', not of 'mine'"):
            (OfOneNetwork(1, "mine") + Class(0) - OfOneNetwork(2, "yours")).check(network)


class TestThePackage:
    def test_every_public_name_is_there(self) -> None:
        for name in targets.__all__:
            assert getattr(targets, name) is not None
            assert name in dir(targets)

    def test_another_name_is_an_attribute_error(self) -> None:
        with pytest.raises(AttributeError, match="no attribute 'prase'"):
            _ = targets.prase
