"""What a user means by a target."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import probe
from probe import models, targets
from probe.attribution.checks import deletion_curve
from probe.errors import ProbeError
from probe.models import Network, Preprocessing
from probe.targets import OUTPUT, Channel, Class, Norm, Response, Target, Unit


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
            ("tabbby", "'squeezenet1_1' has no class 'tabbby'; did you mean 'tabby'"),
            ("1000", "class 1000 does not exist: expected 0 to 999"),
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


class Parts(nn.Module):
    """Returns scores and features, in the form that is asked for."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form, self.conv, self.head = form, nn.Conv2d(3, 8, 3, 2), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> object:
        features = self.conv(x).relu()
        scores = self.head(features.mean((2, 3)))
        return {
            "tuple": (scores, features),
            "list": [scores, features],
            "dict": {"logits": scores, "features": features},
            "nested": {"out": (scores, features), "aux": [scores * 2]},
            "dataclass": Answer(scores, features),
            "with nothing": {"loss": None, "logits": scores, "features": features},
            "lone": (scores,),
            "none": None,
        }[self.form]


@dataclass(frozen=True)
class Answer:
    logits: torch.Tensor
    features: torch.Tensor


def returning(form: str) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = Parts(form).eval()
    return Network.from_module(module, preprocessing=Preprocessing("resize", (16, 16)))


SCORES = {
    "tuple": "[0]", "list": "[0]", "dict": "[logits]", "nested": "[out][0]",
    "dataclass": "[logits]", "with nothing": "[logits]",
}  # fmt: skip
FEATURES = {form: place.replace("0", "1").replace("logits", "features")
            for form, place in SCORES.items()}  # fmt: skip


class TestPartsOfTheOutput:
    @pytest.mark.parametrize("form", SCORES)
    def test_a_class_and_a_unit(self, form: str) -> None:
        network, images = returning(form), torch.ones(2, 3, 16, 16)
        scores, features = returning("tuple").module(images)
        expected = {
            f"{SCORES[form]}:2": scores[:, 2],
            f"{FEATURES[form]}:3": features[:, 3].mean((1, 2)),
            f"{FEATURES[form]}:3,4,5": features[:, 3, 4, 5],
            FEATURES[form]: features.square().flatten(1).sum(1) / 2,
            f"{SCORES[form]}:2 - 0.5*{SCORES[form]}:1": scores[:, 2] - 0.5 * scores[:, 1],
        }
        for text, values in expected.items():
            target = targets.parse(text, network)
            assert target.name == text  # which can be read again
            torch.testing.assert_close(targets.values(network.module, images, target), values)
        assert targets.parse(f"{SCORES[form]}:2", network) == Class(2, layers=(SCORES[form],))

    def test_keys_as_python_writes_them(self) -> None:
        for text in ("['logits']:2", '["logits"]:2'):
            assert targets.parse(text, returning("dict")).name == "[logits]:2"
        assert targets.parse("['out'][0]:2", returning("nested")).name == "[out][0]:2"

    @pytest.mark.parametrize("form", SCORES)
    def test_without_a_part_the_message_lists_all(self, form: str) -> None:
        network = returning(form)
        first, second = re.escape(SCORES[form]), re.escape(FEATURES[form])
        message = rf"returns .*\d tensors, {first} \(5\), {second} \(8×7×7\).*name one, such as"
        with pytest.raises(ProbeError, match=message):
            targets.predicted(network, torch.zeros(1, 3, 16, 16))
        images = torch.zeros(1, 3, 16, 16)
        with pytest.raises(ProbeError, match=message):
            targets.values(network.module, images, targets.parse("2", network))
        with pytest.raises(ProbeError, match=message):
            targets.parse("[nowhere]:2", network)

    @pytest.mark.parametrize(
        ("form", "text", "message"),
        [
            ("tuple", "[0]:5", r"class 5 does not exist: \[0\] of Parts has 0 to 4"),
            ("dict", "logits:2", r"but a part of what it returns: write \[logits\]:2"),
            ("lone", "[0]:2", r"one tensor, and no \[0\]: a number alone is a class"),
            ("none", "[0]:2", r"returns no tensor, and so no \[0\]"),
        ],
    )
    def test_what_is_none(self, form: str, text: str, message: str) -> None:
        with pytest.raises(ProbeError, match=message):
            targets.parse(text, returning(form))

    def test_a_tuple_of_one_is_its_tensor(self) -> None:
        network, images = returning("lone"), torch.ones(1, 3, 16, 16)
        assert models.outputs(network) == {"": (5,)}
        scores = network.module(images)[0]
        assert targets.predicted(network, images).index == int(scores.argmax())

    def test_no_tensor_at_all(self) -> None:
        network = returning("none")
        assert models.outputs(network) == {}
        with pytest.raises(ProbeError, match="the network returns no tensor"):
            targets.predicted(network, torch.zeros(1, 3, 16, 16))

    @pytest.mark.parametrize("form", ["tuple", "dict", "dataclass"])
    @pytest.mark.parametrize(
        "method", ["gradient", "guided-backprop", "lrp", "occlusion", "score-cam", "grad-cam"]
    )
    def test_a_map_is_that_of_the_scores_alone(self, form: str, method: str) -> None:
        picture = Image.fromarray(
            np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
        )
        lone = Network.from_module(
            returning("lone").module, preprocessing=Preprocessing("resize", (16, 16))
        )
        layer = {"layer": "conv"} if method.endswith("cam") else {}
        ours = probe.saliency(picture, returning(form), method, f"{SCORES[form]}:2", **layer)
        theirs = probe.saliency(picture, lone, method, 2, **layer)
        np.testing.assert_allclose(ours.values, theirs.values, atol=1e-6)

    def test_a_dream_and_a_visualisation(self) -> None:
        picture = Image.new("RGB", (32, 32), (90, 120, 60))
        dream = probe.dream(picture, returning("dict"), target="[logits]:2", octaves=1, steps=2)
        lone = probe.dream(picture, returning("lone"), target="2", octaves=1, steps=2)
        assert np.array_equal(dream.pixels, lone.pixels)
        made = probe.visualize(returning("dict"), "[logits]:2", steps=2)
        assert "[logits]:2" in str(made.title)
        with pytest.raises(ProbeError, match=r"name one of its channels, such as \[features\]:0"):
            probe.visualize(returning("dict"), "[features]", steps=2)


class OneNumber(nn.Module):
    """A network that returns one number for a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(48, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def test_the_only_number_that_a_network_returns_is_no_class() -> None:
    """As a class, its probability would be 1 for any picture."""
    network = Network.from_module(OneNumber().eval(), preprocessing=Preprocessing("resize", (4, 4)))
    x = torch.rand(2, 3, 4, 4)
    assert targets.parse("0", network) == Response(0)
    assert targets.predicted(network, x[:1]) == Response(0)
    found = targets.values(network.module, x, Response(0, "a neuron"))
    torch.testing.assert_close(found, network.module(x)[:, 0].detach())
    assert str(Response(0)) == "output 0"
    with pytest.raises(ProbeError, match="output 1"):
        Response(1)({OUTPUT: torch.zeros(2, 1)})
    maps = torch.rand(1, 4, 4)
    curve = deletion_curve(network.module, x[:1], targets.predicted(network, x[:1]), maps, steps=1)
    ends = network.module(torch.cat([x[:1], torch.zeros(1, 3, 4, 4)]))[:, 0].detach()
    np.testing.assert_allclose(curve.scores[0], ends, rtol=1e-6)


@pytest.mark.parametrize(
    ("model", "target", "title"),
    [
        ("v4-compact:201025-12", "201025-12", "v4-compact:201025-12"),
        ("v4-compact:201025-12", "layers.Beta", "v4-compact:201025-12: layers.Beta"),
        ("v4-compact:201025", "201025-12", "v4-compact:201025: 201025-12"),
        ("alexnet", "tabby", "alexnet: tabby"),
    ],
)
def test_a_network_that_is_the_neuron_asked_for_is_named_once(
    model: str, target: str, title: str
) -> None:
    assert targets.titled(model, target) == title
