"""Receptive fields against gradients and published ones; multiply-adds against published ones."""

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model_weights

from probe.activations.capture import differentiable
from probe.errors import ProbeError
from probe.models import Network, Preprocessing, ReceptiveField, layers, load, measures
from probe.models.architectures import blueprint, build
from probe.models.receptive_fields import measure


def network_of(module, size):
    return Network.from_module(module, preprocessing=Preprocessing("resize", size))


def positive(module, seed=0):
    """Let no path through a network cancel another, or be lost in a maximum: all weights are
    positive and sum to about one, pools take the mean."""
    draw = torch.Generator().manual_seed(seed)
    for part in list(module.modules()):
        for name, child in part.named_children():
            if isinstance(child, nn.MaxPool2d):
                how = (child.kernel_size, child.stride, child.padding, child.ceil_mode)
                setattr(part, name, nn.AvgPool2d(*how))
    with torch.no_grad():
        for parameter in module.parameters():
            uniform = torch.rand(parameter.shape, generator=draw) / 2 + 0.25  # relu6 saturates
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 2
            parameter.copy_(uniform / fan_in)
    return module.double().eval()


def window(module, size, layer, place):
    """First and last row and column with a gradient of all channels at a place of a layer."""
    draw = torch.Generator().manual_seed(1)
    picture = torch.rand(1, 3, *size, generator=draw, dtype=torch.float64).requires_grad_()
    output = differentiable(module, picture, [layer])[layer]
    (gradient,) = torch.autograd.grad(output[(0, slice(None), *place)].sum(), picture)
    return edges(gradient)


def edges(gradient):
    seen = gradient[0].abs().sum(0) > 0
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    return tuple(int(edge) for edge in (rows[0], columns[0], rows[-1], columns[-1]))


def told(field, size, place):
    """The same as `window`, from a receptive field."""
    assert isinstance(field, ReceptiveField)
    if field.whole:
        return 0, 0, size[0] - 1, size[1] - 1
    first = [int(s + j * at) for s, j, at in zip(field.start, field.jump, place, strict=True)]
    last = [a + n - 1 for a, n in zip(first, field.size, strict=True)]
    inside = [min(edge, n - 1) for edge, n in zip(last, size, strict=True)]
    return (*(max(edge, 0) for edge in first), *inside)


class TestGradients:
    """The window is where the gradient is not zero."""

    @pytest.mark.parametrize(
        ("name", "names"),
        [
            ("alexnet", ["features.0", "features.5", "features.10", "features.12"]),
            pytest.param(
                "vgg11", ["features.3", "features.10", "features.15"], marks=pytest.mark.slow
            ),
            ("resnet18", ["conv1", "layer1.0.relu:0", "layer1", "layer2.0", "layer3.1", "layer4"]),
            pytest.param(
                "googlenet",
                ["maxpool2", "inception3a", "inception3a.branch1", "inception3a.branch4",
                 "inception3b", "inception4e"],
                marks=pytest.mark.slow,
            ),
            ("squeezenet1_1", ["features.3.expand1x1", "features.4", "features.9"]),
            pytest.param(
                "densenet121",
                ["features.pool0", "features.denseblock1", "features.transition1",
                 "features.denseblock2.denselayer3.norm1", "features.transition2"],
                marks=pytest.mark.slow,
            ),
            pytest.param(
                "mobilenet_v2", ["features.1", "features.4", "features.7", "features.10"],
                marks=pytest.mark.slow,
            ),
            ("shufflenet_v2_x0_5", ["stage2.0", "stage2.1.branch2.0", "stage2.1", "stage3.0"]),
        ],
    )  # fmt: skip
    def test_networks(self, name, names):
        size = (160, 128) if name == "vgg11" else (256, 192)
        module = build(name)
        if name in ("alexnet", "vgg11"):
            module.classifier = nn.Identity()  # it takes long to fill
        module = positive(module)
        fields, shapes = (measures(name, size).fields, {i.name: i for i in layers(name, size)})
        for layer in names:
            place = tuple(n // 2 for n in shapes[layer].output_shape[1:])
            assert window(module, size, layer, place) == told(fields[layer], size, place), layer

    def test_a_gate_that_looks_at_all_positions(self):
        fields = measures("mobilenet_v3_small", (64, 96)).fields
        module = build("mobilenet_v3_small").double()
        assert (fields["features.0"].size, fields["features.1.block.0"].size) == ((3, 3), (7, 7))
        assert fields["features.1"].whole
        assert window(module, (64, 96), "features.1", (8, 12)) == (0, 0, 63, 95)

    def test_attention_within_windows(self):
        size = (112, 112)
        fields = measures("swin_t", size).fields
        module = build("swin_t").double()
        for layer, side in (("features.0", 4), ("features.1.0", 28), ("features.1.1", 56)):
            place = (14, 14)
            seen = window_of_tokens(module, size, layer, place)
            assert (seen[2] - seen[0] + 1, seen[3] - seen[1] + 1) == (side, side)
            assert fields[layer].size == (side, side), layer
        assert fields["features.1.0"].jump is None
        assert fields["features.7.1"].whole

    def test_transformer(self):
        fields = measures("vit_b_16").fields
        assert fields["conv_proj"] == ReceptiveField((16, 16), (16.0, 16.0), (0, 0))
        # A token knows its patch until the first attention, and has no neighbours in a row.
        before = fields["encoder.layers.encoder_layer_0.ln_1"]
        assert before == ReceptiveField((16, 16), None, None)
        after = [f for name, f in fields.items() if name.startswith("encoder.layers.encoder_lay")]
        assert all(field.whole for field in after[1:])

    @settings(max_examples=40)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["conv", "depthwise", "pool", "residual", "branches", "up"]),
                st.integers(1, 4),
                st.integers(1, 3),
                st.integers(0, 2),
                st.integers(1, 2),
            ),
            min_size=1,
            max_size=3,
        )
    )
    @example([("conv", 4, 3, 2, 2), ("up", 3, 2, 1, 1), ("conv", 3, 1, 1, 1)])
    def test_chains(self, parts):
        module = positive(nn.Sequential(*(Part(*part) for part in parts)))
        size = (44, 52)
        network = network_of(module, size)
        try:
            info, known = layers(network)[-1], measures(network).fields[str(len(parts) - 1)]
        except ProbeError:  # the map is smaller than the next kernel
            assume(False)
        place = tuple(n // 2 for n in info.output_shape[1:])
        if known is None:  # between the pixels that a transposed convolution spreads
            return
        seen = window(module, size, info.name, place)
        # Where a window reaches over the border, what it takes of the border's pixels depends on
        # how its taps fall.
        assume(seen[0] > 0 and seen[1] > 0 and seen[2] < size[0] - 1 and seen[3] < size[1] - 1)
        assert (seen[2] - seen[0] + 1, seen[3] - seen[1] + 1) == known.size
        if known.jump:
            assert seen == told(known, size, place)


def window_of_tokens(module, size, layer, place):
    """As `window`, for a module that returns (n, y, x, channels)."""
    draw = torch.Generator().manual_seed(1)
    picture = torch.rand(1, 3, *size, generator=draw, dtype=torch.float64).requires_grad_()
    output = differentiable(module, picture, [layer])[layer]
    weights = torch.rand(output.shape[1], generator=draw, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(output[0, :, place[0], place[1]] @ weights, picture)
    return edges(gradient)


class Part(nn.Module):
    """A part of a random network with three channels."""

    def __init__(self, kind, kernel, stride, padding, dilation):
        super().__init__()
        self.kind = kind
        padding = min(padding, kernel // 2)
        if kind == "pool":
            self.conv = nn.AvgPool2d(kernel, stride, padding, ceil_mode=kernel % 2 == 0)
        elif kind == "up":
            self.conv = nn.ConvTranspose2d(3, 3, kernel, stride, padding, dilation=dilation)
        elif kind == "residual":
            self.conv = nn.Conv2d(3, 3, 2 * kernel - 1, 1, (kernel - 1) * dilation, dilation)
        else:
            groups = 3 if kind == "depthwise" else 1
            self.conv = nn.Conv2d(3, 3, kernel, stride, padding, dilation, groups)
        self.other = nn.Conv2d(3, 2, 1, stride, bias=False)

    def forward(self, x):
        y = self.conv(x)
        if self.kind == "residual":
            y += x
        elif self.kind == "branches":
            other = self.other(x)
            low = [min(a, b) for a, b in zip(y.shape[-2:], other.shape[-2:], strict=True)]
            y = torch.cat([y[:, :1, : low[0], : low[1]], other[:, :, : low[0], : low[1]]], 1)
        return y


class TestPublished:
    """Araujo, Norris & Sim 2019, Distill 4:e21, table of their library."""

    @pytest.mark.parametrize(
        ("name", "layer", "size", "jump"),
        [("alexnet", "features.12", 195, 32), ("vgg16", "features.30", 212, 32)],
    )
    def test_chains(self, name, layer, size, jump):
        field = measures(name).fields[layer]
        assert (field.size, field.jump) == ((size, size), (jump, jump))

    @pytest.mark.parametrize(
        ("name", "size", "padding"),
        [
            ("resnet50", 483, 239),
            ("resnet101", 1027, 511),
            pytest.param("resnet152", 1507, 751, marks=pytest.mark.slow),
        ],
    )
    def test_residual_networks(self, name, size, padding):
        # Theirs halve the map in the last block of a stage, in its 3×3 convolution; the shortcut
        # is then a pool of one pixel. torchvision's halve it in the first block of the next.
        # Their "same" padding of an even map, in the pool, is one row below and none above.
        module = blueprint(name)
        module.maxpool.padding = 0
        for number in (2, 3, 4):
            first, last = (
                getattr(module, f"layer{number}")[0],
                getattr(module, f"layer{number - 1}"),
            )
            first.conv2.stride = first.downsample[0].stride = (1, 1)
            last[-1].conv2.stride = (2, 2)
            last[-1].downsample = nn.MaxPool2d(1, 2)
        measured, _ = measure(module.to("meta"), torch.zeros(1, 3, 224, 224, device="meta"))
        (field,) = (found.field for found in measured if found.path == "layer4")
        assert field == ReceptiveField((size, size), (32.0, 32.0), (-padding, -padding))


class TestRules:
    def test_operations_one_by_one(self):
        cases = {
            "reflected": (nn.ReflectionPad2d(2), (1, 1)),
            "zeros": (nn.ZeroPad2d((1, 2, 3, 4)), (1, 1)),
            "adaptive": (nn.AdaptiveAvgPool2d((4, 6)), (4, 4)),
            "uneven": (nn.AdaptiveAvgPool2d((5, 7)), (4, 4)),
            "nearest": (nn.Upsample(scale_factor=2), (1, 1)),
            "bilinear": (nn.Upsample(scale_factor=2, mode="bilinear"), (2, 2)),
            "shuffled": (nn.PixelUnshuffle(2), (2, 2)),
            "normalised": (nn.LocalResponseNorm(3), (1, 1)),
        }
        for name, (module, size) in cases.items():
            field = measures(network_of(nn.Sequential(module), (16, 24))).fields["0"]
            assert field.size == size, name
            assert not field.whole

    def test_what_looks_at_everything(self):
        for module in (nn.GroupNorm(1, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), Sorts()):
            assert measures(network_of(nn.Sequential(module), (9, 8))).fields["0"] == (
                ReceptiveField((9, 8), None, None, whole=True)
            )

    def test_what_does_not_see_the_picture(self):
        field = measures(network_of(nn.Sequential(Blind()), (9, 8))).fields["0"]
        assert field is None

    def test_writing_into_a_part(self):
        # Rows 0 and 4 are written; which ones is not followed: it may be any.
        field = measures(network_of(nn.Sequential(Writes()), (9, 8))).fields["0"]
        assert field.size == (9, 8)

    def test_a_network_that_fails_is_told_and_left_as_it_was(self):
        module = nn.Sequential(nn.Conv2d(3, 2, 9))
        module.train()
        with pytest.raises(ProbeError, match=r"Sequential cannot be run on .*\(3, 4, 4\)"):
            measures(network_of(module, (4, 4)))
        assert module.training
        assert not module[0]._forward_hooks
        assert not module[0]._forward_pre_hooks
        assert torch.backends.mha.get_fastpath_enabled()

    def test_attention_that_torch_would_do_in_one_call(self):
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        network = network_of(nn.Sequential(Tokens(), layer), (4, 6))
        known = measures(network)
        assert known.fields["0"].size == (1, 1)
        assert known.fields["1"].whole
        n = 24
        products = n * (3 * 64 + 64 + 2 * 128) + 2 * n * n * 8
        assert known.multiply_adds["1"] == products


class Sorts(nn.Module):
    def forward(self, x):
        return x.flatten(2).cumsum(2).argsort(2).float()


class Blind(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x) + x.shape[0]


class Writes(nn.Module):
    def forward(self, x):
        out = torch.zeros_like(x)
        out[:, :, ::4] = x[:, :, ::4]
        return out * 2


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(8))

    def forward(self, x):
        return x.flatten(2).transpose(1, 2)[..., :1] * self.scale


class TestMultiplyAdds:
    def test_cs231n(self):
        # 10 filters of 5×5 with padding 2 on 3×32×32: Stanford's CS231n, "Convolutional networks".
        module = nn.Sequential(nn.Conv2d(3, 10, 5, padding=2))
        network = network_of(module, (32, 32))
        (info,) = layers(network)
        known = measures(network)
        assert info.output_shape == (10, 32, 32)
        assert info.n_parameters == 760
        assert known.multiply_adds["0"] == known.total_multiply_adds == 768_000
        assert known.fields["0"] == ReceptiveField((5, 5), (1.0, 1.0), (-2, -2))

    def test_groups_and_transposed(self):
        module = nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.ConvTranspose2d(6, 4, 2, 2))
        cost = measures(network_of(module, (6, 6))).multiply_adds
        assert cost == {"0": 6 * 4 * 4 * 9, "1": 6 * 4 * 4 * 4 * 4}

    @pytest.mark.parametrize(
        "name",
        ["alexnet", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x1_0",
         "convnext_tiny", "vit_b_16", "swin_t",
         *(pytest.param(name, marks=pytest.mark.slow) for name in (
             "vgg16", "resnet50", "googlenet", "densenet121", "mobilenet_v2", "resnext50_32x4d",
             "regnet_y_400mf", "swin_v2_t"))],
    )  # fmt: skip
    def test_totals_are_those_that_torchvision_and_torch_count(self, name):
        published = get_model_weights(name).DEFAULT.meta
        known = measures(name, trained_size(name))
        assert known.total_multiply_adds / 1e9 == pytest.approx(published["_ops"], abs=6e-4)
        module = blueprint(name).to("meta").eval()
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            module(torch.zeros(1, 3, *trained_size(name), device="meta"))
        assert counter.get_total_flops() == 2 * known.total_multiply_adds

    @pytest.mark.parametrize("name", ["resnet18", "googlenet", "vit_b_16"])
    def test_blocks_sum_what_they_hold(self, name):
        module, known = blueprint(name), measures(name)
        children = [path for path, _ in module.named_children()]
        costs = [known.multiply_adds[path] for path in children if path in known.multiply_adds]
        assert sum(costs) == known.total_multiply_adds

    def test_a_module_called_twice_is_counted_by_the_call(self):
        network = network_of(Twice(), (8, 8))
        assert measures(network).multiply_adds == {"conv:0": 64 * 81, "conv:1": 16 * 81}


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.conv(self.conv(x)[..., ::2, ::2])


def trained_size(name):
    transforms = get_model_weights(name).DEFAULT.transforms()
    return (transforms.crop_size[0],) * 2


@pytest.mark.parametrize(
    "name", [pytest.param("googlenet", marks=pytest.mark.slow), "resnet18", "swin_t"]
)
def test_the_architecture_alone_tells_what_the_network_does(name):
    network = load(name, "random")
    own = Network.from_module(network.module, preprocessing=network.preprocessing)
    assert measures(own) == measures(name)
