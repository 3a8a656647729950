import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from probe.errors import ProbeError
from probe.models import Network, Preprocessing, default_layers, describe, load, resolve, trace
from probe.models.architectures import blueprint
from probe.models.hooks import tensors
from probe.models.layer_table import layers


@pytest.mark.parametrize(
    "name",
    [
        *("alexnet", "resnet18", "squeezenet1_1"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("vgg11", "googlenet", "densenet121", "vit_b_16")
        ),
    ],
)
def test_tracing_without_weights_equals_a_real_forward(name):
    network = load(name, "random")
    without = layers(name)
    assert trace(network.module, network.input_shape) == without
    # In the order in which modules finish, and what they return.
    order = []
    for path, part in network.module.named_modules():
        if path:
            part.register_forward_hook(lambda m, i, o, p=path: order.append((p, o)))
    with torch.inference_mode():
        network.module(torch.zeros(1, *network.input_shape))
    assert [info.path for info in without] == [path for path, _ in order]
    for info, (_, output) in zip(without, order, strict=True):
        first = output[0] if isinstance(output, tuple) else output
        assert info.output_shape == tuple(first.shape[1:])
    assert len({info.name for info in without}) == len(without)


@pytest.mark.parametrize(
    "name",
    [
        *("convnext_tiny", "efficientnet_lite0", "mnasnet0_5", "mobilenet_v2"),
        *("inception_v3", "mobilenet_v3_small", "regnet_y_400mf", "shufflenet_v2_x0_5", "swin_t"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in (
                *("efficientnet_b0", "maxvit_t", "resnext50_32x4d"),
                *("swin_v2_t", "vit_h_14", "wide_resnet50_2"),
            )
        ),
    ],
)
def test_every_family_is_traced(name):
    infos = layers(name)
    assert infos[-1].output_shape == (1000,)
    assert default_layers(name)
    assert {info.default for info in infos} == {True, False}


def test_default_layers():
    conv_relu = [0, 1, 3, 4, 6, 7, 8, 9, 10, 11]
    assert default_layers("alexnet") == [f"features.{i}" for i in conv_relu] + [
        f"classifier.{i}" for i in (1, 2, 4, 5, 6)
    ]
    blocks = [f"layer{i}.{j}" for i in range(1, 5) for j in range(2)]
    assert default_layers("resnet18") == ["conv1", "relu", *blocks, "fc"]
    encoder = [f"encoder.layers.encoder_layer_{i}" for i in range(12)]
    assert default_layers("vit_b_16") == ["conv_proj", *encoder, "heads.head"]
    inceptions = ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"]
    assert default_layers("googlenet") == [
        *("conv1", "conv2", "conv3"),
        *(f"inception{i}" for i in inceptions),
        "fc",
    ]


def test_aliases():
    alexnet = {info.name: info.alias for info in layers("alexnet")}
    assert [alexnet[f"features.{i}"] for i in range(13)] == [
        *("conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "conv3", "relu3"),
        *("conv4", "relu4", "conv5", "relu5", "pool5"),
    ]
    assert [alexnet[f"classifier.{i}"] for i in range(7)] == [
        "",
        "fc6",
        "relu6",
        "",
        "fc7",
        "relu7",
        "fc8",
    ]
    # Known from the style-transfer literature: relu4_2 of VGG-19, relu5_1 of VGG-16.
    assert resolve("relu4_2", "vgg19") == ["features.22"]
    assert resolve("relu5_1,conv1_2", "vgg16") == ["features.2", "features.25"]
    assert resolve(["pool5", "bn1_1", "fc8"], "vgg16_bn") == [
        "features.1",
        "features.43",
        "classifier.6",
    ]
    assert {info.alias for info in layers("resnet18")} == {""}
    # As in SqueezeNet's paper and its Caffe model, whose pools lie elsewhere in 1.1.
    fires = [f"fire{k}" for k in range(2, 10)]
    for name, pools in (("squeezenet1_0", (1, 4, 8, 10)), ("squeezenet1_1", (1, 3, 5, 10))):
        known = {info.alias: info for info in layers(name) if info.alias}
        assert [alias for alias in known if "/" not in alias and alias.startswith("fire")] == fires
        assert [alias for alias in known if alias.startswith("conv")] == ["conv1", "conv10"]
        assert [alias for alias in known if alias.startswith("pool")] == [f"pool{k}" for k in pools]
        assert resolve("conv1,fire2,conv10,fire9/expand3x3", name)[-1] == "classifier.1"
        assert known["fire2"].type == "Fire"
    assert resolve("fire9/squeeze1x1,fire9/relu_expand3x3", "squeezenet1_1") == [
        "features.12.squeeze",
        "features.12.expand3x3_activation",
    ]


def test_words():
    assert resolve("conv", "alexnet") == [f"features.{i}" for i in (0, 3, 6, 8, 10)]
    assert resolve("linear,conv5", "alexnet") == ["features.10"] + [
        f"classifier.{i}" for i in (1, 4, 6)
    ]
    assert resolve("pool", "alexnet")[-1] == "avgpool"
    assert len(resolve("relu", "squeezenet1_1")) == 1 + 3 * 8 + 1
    # A path goes before a word, so that a list of names always stands for itself.
    assert resolve("relu", "resnet18") == ["relu"]
    for name in ("alexnet", "resnet18", "googlenet"):
        assert (
            resolve(default_layers(name), name) == default_layers(name) == resolve("default", name)
        )
    assert resolve("block", "resnet18") == [n for n in default_layers("resnet18") if "layer" in n]
    assert resolve("all", "resnet18") == [info.name for info in layers("resnet18")]
    with pytest.raises(ProbeError, match="'vit_b_16' has no 'relu' layer"):
        resolve("relu", "vit_b_16")
    with pytest.raises(ProbeError, match="no layers were named"):
        resolve([], "alexnet")


def test_module_called_twice():
    assert resolve("layer1.0.relu:1", "resnet18") == ["layer1.0.relu:1"]
    with pytest.raises(ProbeError, match=r"name one: layer1\.0\.relu:0, layer1\.0\.relu:1"):
        resolve("layer1.0.relu", "resnet18")
    calls = [info.call for info in layers("resnet18") if info.path == "layer1.0.relu"]
    assert calls == [0, 1]


def test_unknown_and_uncalled_layers():
    with pytest.raises(ProbeError, match=r"no layer 'convv3'; did you mean 'conv3'"):
        resolve("convv3", "alexnet")
    attention = "encoder.layers.encoder_layer_0.self_attention.out_proj"
    with pytest.raises(ProbeError, match="is never called as a module"):
        resolve(attention, "vit_b_16")
    with pytest.raises(ProbeError, match="no layer ''"):
        resolve("conv1,", "alexnet")


class Several(nn.Module):
    """Returns a pair, a lone tensor in a tuple, and a dictionary."""

    def __init__(self):
        super().__init__()
        self.pair, self.lone, self.named = (Returns(kind) for kind in ("pair", "lone", "named"))
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        a, _ = self.pair(x)
        (b,) = self.lone(a)
        return self.named(b)["out"]


class Returns(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        x = x + 0
        kinds = {"pair": (x, x[:, :1]), "lone": (x, None), "named": {"out": x, "aux": [x, x]}}
        return kinds[self.kind] if self.kind != "lone" else (x,)


def test_tuples_and_dictionaries():
    network = Network.from_module(Several(), preprocessing=Preprocessing("resize", (5, 6)))
    infos = layers(network)
    assert [info.name for info in infos] == [
        *("pair[0]", "pair[1]", "lone", "named[out]", "named[aux][0]", "named[aux][1]")
    ]
    assert infos[1].output_shape == (1, 5, 6)
    assert resolve("pair[1],lone", network) == ["pair[1]", "lone"]
    with pytest.raises(ProbeError, match=r"name one: pair\[0\], pair\[1\]"):
        resolve("pair", network)
    with pytest.raises(ProbeError, match=r"'unused' .*never called"):
        resolve("unused", network)


def test_a_lone_tensor_has_no_place():
    x = torch.zeros(1)
    assert [place for place, _ in tensors((x, None))] == [""]
    assert [place for place, _ in tensors({"a": x})] == [""]
    assert [place for place, _ in tensors([x, {"k": x}])] == ["[0]", "[1][k]"]


class Fails(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Dropout(), nn.BatchNorm2d(3))

    def forward(self, x):
        self.inner(x)
        raise RuntimeError("no\nmore")


@pytest.mark.parametrize("fails", [False, True])
def test_module_is_left_as_it_was(fails):
    module = Fails() if fails else nn.Sequential(nn.Dropout(), nn.BatchNorm2d(3))
    module.train()
    next(module.children()).eval()
    flags = [part.training for part in module.modules()]
    state, rng = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    if fails:
        with pytest.raises(ProbeError, match=r"Fails cannot be run on .*\(3, 4, 4\).*no\)$"):
            trace(module, (3, 4, 4))
    else:
        assert [info.kind for info in trace(module, (3, 4, 4))] == ["none", "norm"]
    assert [part.training for part in module.modules()] == flags
    assert all(torch.equal(v, state[k]) for k, v in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), rng)
    assert not any(part._forward_hooks for part in module.modules())


def test_missing_parts_are_listed_and_explained():
    whole = load("alexnet", "random")
    partial = Network(
        whole.module,
        "alexnet",
        whole.weights,
        whole.preprocessing,
        missing={"classifier": "alexnet: 'classifier' has no weights"},
        architecture="alexnet",
    )
    assert [bool(info.missing) for info in layers(partial)].count(True) == 8
    assert default_layers(partial)[-1] == "features.11"
    assert resolve("all", partial)[-1] == "avgpool"
    for name in ("fc6", "classifier.1", "classifier"):
        with pytest.raises(ProbeError, match="has no weights"):
            resolve(name, partial)
    with pytest.raises(ProbeError, match="has no 'linear' layer"):
        resolve("linear", partial)


@given(st.permutations(["conv1", "relu3", "fc8", "features.2", "conv1"]))
def test_order_is_the_networks(wanted):
    assert resolve(wanted, "alexnet") == ["features.0", "features.2", "features.7", "classifier.6"]


def test_blueprint_leaves_the_global_state_alone():
    before = torch.get_rng_state()
    blueprint("swin_t")
    assert torch.equal(torch.get_rng_state(), before)


class TestTable:
    def test_one_row_for_each_layer(self):
        table = describe("resnet18").set_index("layer")
        assert list(table.index) == [info.name for info in layers("resnet18")]
        row = table.loc["layer2.0"]
        assert (row["field_height"], row["jump_y"], row["start_x"]) == (67, 8.0, -33)
        assert (row["output"], row["parameters"]) == ("128×28×28", 230_144)
        assert table["whole"].sum() == 2  # avgpool, fc
        assert table.loc["fc", ["jump_x", "start_y"]].isna().all()

    def test_another_size(self):
        table = describe("resnet18", (64, 96)).set_index("layer")
        assert table.loc["layer4", "output"] == "512×2×3"
        assert table.loc["layer4", "field_width"] == 435
        # Twice the pixels, twice the work, but for the last layer.
        small, large = (describe("resnet18", (64, w)).set_index("layer") for w in (64, 128))
        cost = "multiply_adds"
        assert large.loc["layer3", cost] == 2 * small.loc["layer3", cost]
        assert large.loc["fc", cost] == small.loc["fc", cost]

    def test_names_are_those_of_the_list(self):
        network = Network.from_module(Several(), preprocessing=Preprocessing("resize", (5, 6)))
        assert list(describe(network)["layer"]) == [info.name for info in layers(network)]

    def test_layers_without_weights_are_measured(self):
        whole = load("alexnet", "random")
        partial = Network(
            whole.module,
            "alexnet",
            whole.weights,
            whole.preprocessing,
            missing={"classifier": "none"},
            architecture="alexnet",
        )
        assert describe(partial).equals(describe("alexnet"))

    def test_a_size_that_is_too_small(self):
        with pytest.raises(ProbeError, match=r"cannot be run on .*\(3, 16, 16\)"):
            describe("alexnet", (16, 16))
