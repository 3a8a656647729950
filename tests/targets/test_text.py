"""What a user means by a target."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from probe import models, targets
from probe.errors import ProbeError
from probe.models import Network
from probe.targets import OUTPUT, Channel, Class, Norm, Target, Unit


@pytest.fixture(scope="module")
def network() -> Network:
    return models.load("squeezenet1_1", "random")


class TestParse:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("281", Class(281, "tabby")),
            ("class:281", Class(281, "tabby")),
            ("tabby", Class(281, "tabby")),
            ("egyptian CAT", Class(285, "Egyptian cat")),
            ("terrapin", Class(36, "terrapin")),
            ("features.10:84", Channel("features.10", 84)),
            ("features.10:84,6,7", Unit("features.10", 84, (6, 7))),
            ("features.10", Norm("features.10")),
        ],
    )
    def test_a_target(self, network: Network, text: str, expected: Target) -> None:
        found = targets.parse(text, network)
        assert found == expected
        assert targets.parse(found.name, network) == expected  # a name can be used again

    def test_a_sum(self, network: Network) -> None:
        found = targets.parse("tabby - 0.5*tiger cat + features.3:1", network)
        assert found.name == "tabby - 0.5*tiger cat + features.3:1"
        assert found.layers == (OUTPUT, "features.3")

    def test_an_alias(self) -> None:
        alexnet = models.load("alexnet", "random")
        assert targets.parse("conv5:3", alexnet) == Channel("features.10", 3)

    def test_a_call_of_a_module_is_no_channel(self) -> None:
        resnet = models.load("resnet18", "random")
        assert targets.parse("layer1.0.relu:1", resnet) == Norm("layer1.0.relu:1")
        assert targets.parse("layer1.0.relu:1:7", resnet) == Channel("layer1.0.relu:1", 7)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("cat", "stands for 5 classes"),
            ("tabbby", "no class of 'squeezenet1_1'; did you mean 'tabby'"),
            ("1000", "class 1000 does not exist: there are 0 to 999"),
            ("features.99:3", "no layer 'features.99'; did you mean"),
            ("conv:3", "names .* layers; a target has one"),
            ("", "no class"),
        ],
    )
    def test_what_is_none(self, network: Network, text: str, message: str) -> None:
        with pytest.raises(ProbeError, match=message):
            targets.parse(text, network)

    def test_classes_of_ones_own_network_have_numbers_only(self) -> None:
        own = Network.from_module(
            nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 3))
        )
        with pytest.raises(ProbeError, match="give a number"):
            targets.parse("tabby", own)


class Refused(Class):
    """A class that belongs to no network."""

    def check(self, network: Network) -> None:
        raise ProbeError(f"{self.index} is not of {network.name!r}")


class TestRead:
    @pytest.mark.parametrize(
        ("target", "expected"),
        [
            ("tabby", Class(281, "tabby")),
            (281, Class(281, "tabby")),
            ("features.10:84", Channel("features.10", 84)),
        ],
    )
    def test_text_and_numbers(self, network: Network, target: str | int, expected: Target) -> None:
        assert targets.read(target, network) == expected

    def test_a_target_is_returned_as_it_is(self, network: Network) -> None:
        target = Channel("no.such.layer", 3)
        assert targets.read(target, network) is target

    def test_a_target_of_another_network(self, network: Network) -> None:
        for target in (Refused(3), Class(1) - Refused(3)):
            with pytest.raises(ProbeError, match="3 is not of 'squeezenet1_1'"):
                targets.read(target, network)

    def test_text_that_is_no_target(self, network: Network) -> None:
        with pytest.raises(ProbeError, match="did you mean 'tabby'"):
            targets.read("tabbby", network)


def test_the_predicted_class(network: Network) -> None:
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    found = targets.predicted(network, images)
    assert found.index == int(network.module(images).argmax())
    assert found.label == targets.class_labels(network)[found.index]
    assert float(targets.values(network.module, images, found)) == pytest.approx(
        float(network.module(images).detach().max()), rel=1e-5
    )


def test_a_network_without_its_classifier_asks_for_another_target(alexnet: Network) -> None:
    if not alexnet.missing:
        pytest.skip("torchvision's own file is there, with the classifier")
    images = torch.zeros(1, 3, 224, 224)
    with pytest.raises(ProbeError, match=r"name another target, such as LAYER:CHANNEL: alexnet"):
        targets.predicted(alexnet, images)
