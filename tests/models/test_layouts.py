"""What the axes of layers' outputs are: against what torch itself returns for marked pictures."""

from __future__ import annotations

import copy
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

from probe import models
from probe.errors import ProbeError
from probe.models.architectures import blueprint
from probe.models.layouts import Grid, Layout, layouts, outputs_of, trace_outputs

SIZE = (3, 32, 48)
TOKENS = ("picture", "token", "channel")
MAPS = ("picture", "channel", "y", "x")


def of(module, layer, size=SIZE, call=0, part=""):
    return layouts(module.eval(), size)[layer, call, part]


class Net(nn.Module):
    """A convolution by patches, and something after it."""

    def __init__(self, then, channels=6, patch=8):
        super().__init__()
        self.patches = nn.Conv2d(3, channels, patch, patch)
        self.then = then

    def forward(self, x):
        return self.then(self.patches(x))


class Does(nn.Module):
    def __init__(self, function, *parts):
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(parts)

    def forward(self, x):
        return self.function(x, *self.parts)


def tokens_of(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def with_tokens(x: Tensor, before: int, after: int) -> Tensor:
    extra = torch.zeros(1, 1, x.shape[2], dtype=x.dtype, device=x.device)
    parts = [extra.expand(len(x), before, -1), x, extra.expand(len(x), after, -1)]
    return torch.cat(parts, 1)


CASES = {
    "channels first": (lambda x: x + 1, MAPS, None),
    "channels last": (lambda x: x.permute(0, 2, 3, 1) * 2, ("picture", "y", "x", "channel"), None),
    "turned": (lambda x: x.transpose(2, 3) * 2, ("picture", "channel", "x", "y"), None),
    "pictures last": (lambda x: x.permute(1, 2, 3, 0) * 2, ("channel", "y", "x", "picture"), None),
    "tokens": (tokens_of, TOKENS, Grid(0, 4, 6)),
    "channels before tokens": (lambda x: x.flatten(2), ("picture", "channel", "token"),
                               Grid(0, 4, 6)),
    "tokens before pictures": (lambda x: x.flatten(2).permute(2, 0, 1),
                               ("token", "picture", "channel"), Grid(0, 4, 6)),
    "class token": (lambda x: with_tokens(tokens_of(x), 1, 0), TOKENS, Grid(1, 4, 6)),
    "registers": (lambda x: with_tokens(tokens_of(x), 5, 0), TOKENS, Grid(5, 4, 6)),
    "registers at the end": (lambda x: with_tokens(tokens_of(x), 1, 4), TOKENS, Grid(1, 4, 6)),
    "tokens column by column": (lambda x: x.transpose(2, 3).flatten(2).transpose(1, 2), TOKENS,
                                None),
    "units": (lambda x: x.flatten(1), ("picture", "channel"), None),
    "means": (lambda x: x.mean((2, 3)), ("picture", "channel"), None),
    "means that keep their axes": (lambda x: x.mean((2, 3), keepdim=True), MAPS, None),
    "gated": (lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(), MAPS, None),
    "attended": (lambda x: F.scaled_dot_product_attention(t := tokens_of(x), t, t), TOKENS,
                 Grid(0, 4, 6)),
    "attended by hand": (lambda x: ((t := tokens_of(x)) @ t.mT).softmax(-1) @ t, TOKENS,
                         Grid(0, 4, 6)),
    "heads": (lambda x: tokens_of(x).unflatten(2, (2, 3)).transpose(1, 2),
              ("picture", "", "", ""), None),
    "attention": (lambda x: ((t := tokens_of(x)) @ t.mT).softmax(-1), ("picture", "", ""), None),
    "windows beside pictures": (
        lambda x: F.unfold(x, 2, stride=2).unflatten(1, (6, 4)).permute(0, 3, 2, 1),
        ("picture", "", "", ""), None,
    ),
    "mixed positions": (lambda x: x.flatten(2) @ torch.ones(24, 10, device=x.device),
                        ("picture", "", ""), None),
    "channels put together from places": (
        lambda x: torch.cat([x[:, :, ::2], x[:, :, 1::2]], 1), MAPS, None,
    ),
    "an operation that nobody described": (lambda x: torch.cummax(x, 1).values,
                                           ("picture", "", "", ""), None),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_axes(case):
    function, axes, grid = CASES[case]
    layout = of(Net(Does(function)), "then")
    assert layout == Layout(axes, grid)


def sampled(x):
    grid = F.affine_grid(torch.eye(2, 3).expand(len(x), 2, 3), (len(x), 1, 5, 7), False)
    return F.grid_sample(x, grid.to(x), align_corners=False)


def deformed(x):
    weight = torch.zeros(4, x.shape[1], 3, 3, dtype=x.dtype, device=x.device)
    offset = torch.zeros(len(x), 18, *x.shape[2:], dtype=x.dtype, device=x.device)
    return deform_conv2d(x, offset, weight, padding=1)


def thresholded(x):
    x = x * 1
    x[x < 0.5] = 0
    return x


def unpooled(x):
    pooled, places = F.max_pool2d(x, 2, return_indices=True)
    return F.max_unpool2d(pooled, places, 2)


@pytest.mark.parametrize(
    "function",
    [
        sampled,
        deformed,
        thresholded,
        unpooled,
        lambda x: F.fold(F.unfold(x, 2, stride=2), (4, 6), 2, stride=2),
        lambda x: F.interpolate(x, (3, 5), mode="bilinear", antialias=True),
        lambda x: F.interpolate(F.adaptive_avg_pool2d(x, 1), x.shape[2:], mode="bilinear"),
        lambda x: F.interpolate(x.mean(2, keepdim=True), scale_factor=(3, 1)),
        lambda x: F.fractional_max_pool2d(x, 2, output_size=(3, 4)),
    ],
)
@pytest.mark.parametrize("last", [False, True])
def test_a_new_map_has_rows_and_columns(function, last):
    """What comes after it, in whatever order, is of its rows and columns."""

    def turned(x):
        x = torch.cat([function(x), function(x).relu()], 1)
        return x.permute(0, 2, 3, 1) * 1 if last else x

    axes = ("picture", "y", "x", "channel") if last else MAPS
    assert of(Net(Does(turned)), "then") == Layout(axes)


def fills(x):
    out = torch.empty(len(x), 2 * x.shape[1], *x.shape[2:], dtype=x.dtype, device=x.device)
    out[:, ::2], out[:, 1::2] = x, -x
    return out


def fills_last(x):
    out = torch.empty(len(x), *x.shape[2:], x.shape[1], dtype=x.dtype, device=x.device)
    for row in range(x.shape[2]):
        out[:, row] = x[:, :, row].transpose(1, 2)
    return out


def fills_all_at_once(x):
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    out.view(-1).copy_(x.flatten())
    return out


def fills_tokens(x):
    out = x.new_zeros(len(x), 1 + x.shape[2] * x.shape[3], x.shape[1])
    out[:, 1:] = tokens_of(x)
    return out


def fills_a_larger_map(x):
    """As torchvision's detectors gather pictures of several sizes."""
    out = x.new_zeros(len(x), x.shape[1], 7, 9)
    for one, picture in zip(out, x, strict=True):
        one[:, : x.shape[2], : x.shape[3]].copy_(picture)
    return out


def writes_over(x):
    x = x * 1
    x[:, 1:] = x[:, 1:].sqrt()
    return x


@pytest.mark.parametrize(
    ("function", "axes", "grid"),
    [
        (fills, MAPS, None),
        (fills_last, ("picture", "y", "x", "channel"), None),
        (fills_all_at_once, MAPS, None),
        (fills_tokens, TOKENS, Grid(1, 4, 6)),
        (fills_a_larger_map, MAPS, None),
        (writes_over, MAPS, None),
        (lambda x: torch.stack([picture * 1 for picture in x]), MAPS, None),
        (lambda x: torch.cat([picture[None] * 1 for picture in x.permute(0, 2, 3, 1)]),
         ("picture", "y", "x", "channel"), None),
        # Rows that repeat: channels are among them.
        (lambda x: x.flatten(1, 2)[:, :, None] * 1, ("picture", "", "", ""), None),
        (lambda x: F.interpolate(x.mean(1, keepdim=True), scale_factor=2), MAPS, None),
    ],
)  # fmt: skip
def test_outputs_put_together(function, axes, grid):
    assert of(Net(Does(lambda x: function(x) * 2)), "then") == Layout(axes, grid)


def test_rows_at_uneven_steps_stay_apart():
    """However many convolutions reach over the border."""
    convolutions = [nn.Conv2d(3, 3, 5, padding=2) for _ in range(8)]
    resized = Does(lambda x: F.interpolate(x, (14, 14), mode="bilinear"))
    module = nn.Sequential(resized, *convolutions, Does(tokens_of))
    assert of(module, "8") == Layout(MAPS)
    assert of(module, "9") == Layout(TOKENS, Grid(0, 14, 14))


class Recurrent(nn.Module):
    """Its state is zeros at first, whatever the picture."""

    def __init__(self):
        super().__init__()
        self.forth, self.back = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU()

    def forward(self, x):
        state = torch.zeros_like(forth := self.forth(x))
        for _ in range(2):
            state = forth + self.back(self.relu(state))
        return state


def test_a_first_state_has_the_axes_of_later_ones():
    module = Recurrent()
    for layer in ("back", "relu"):
        assert [of(module, layer, call=call) for call in (0, 1)] == [Layout(MAPS), Layout(MAPS)]


def test_quarter_turns():
    """Rows become columns: these are those of the picture."""
    turned = Net(Does(lambda x: x.rot90(1, (2, 3)) * 1))
    assert of(turned, "then").axes == ("picture", "channel", "x", "y")


def test_pictures_folded_into_another_axis_have_none():
    folded = Net(Does(lambda x: x.flatten(0, 1)))
    assert of(folded, "then") is None
    windows = Does(lambda x: x.unflatten(2, (2, 2)).movedim(2, 1).flatten(0, 1))
    assert of(Net(windows), "then") is None


@pytest.mark.parametrize("n", [1, 2, 3, 24])
def test_arrange_and_restore(n):
    """Also where there are as many pictures as tokens."""
    x = torch.randn(n, 6, 4, 6)
    for name in ("channels last", "turned", "pictures last"):
        function, axes, grid = CASES[name]
        layout = Layout(axes, grid)
        assert torch.equal(layout.arrange(function(x)), 2 * x)
        assert torch.equal(layout.restore(2 * x), function(x))
    function, axes, grid = CASES["tokens before pictures"]
    layout = Layout(axes, grid)
    assert torch.equal(layout.arrange(function(x)), tokens_of(x))
    assert torch.equal(layout.restore(tokens_of(x)), function(x))


def test_the_network_itself_is_the_empty_path():
    module = Net(Does(CASES["channels last"][0]))
    assert of(module, "") == of(module, "then")


def test_the_network_is_left_as_it_is():
    module = Net(Does(tokens_of), patch=4).train()
    calls = []
    module.then.register_forward_hook(lambda *_: calls.append(1))
    before = copy.deepcopy(module.state_dict())
    layouts(module, SIZE)
    assert module.training
    assert not calls
    after = module.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_exchanged_parts_are_traced_anew():
    module = Net(Does(tokens_of))
    assert of(module, "then").axes == TOKENS
    module.then = Does(lambda x: x * 2)
    assert of(module, "then").axes == MAPS


def test_a_grid_is_that_of_the_picture():
    module = Net(Does(tokens_of))
    assert of(module, "then").grid == Grid(0, 4, 6)
    assert of(module, "then", (3, 64, 64)).grid == Grid(0, 8, 8)


def test_a_network_that_looks_at_values_is_run():
    def forward(x):
        return x.permute(0, 2, 3, 1) if x.sum() < torch.inf else x

    assert of(Net(Does(forward)), "then").axes == ("picture", "y", "x", "channel")


def test_a_network_that_cannot_be_run_says_why():
    with pytest.raises(RuntimeError, match="channels"):
        layouts(Net(Does(tokens_of)), (4, 32, 48))


@pytest.mark.parametrize(
    ("name", "layer", "axes", "grid"),
    [
        ("alexnet", "features.3", MAPS, None),
        ("swin_t", "features.1.1", ("picture", "y", "x", "channel"), None),
        ("swin_t", "features.2.norm", ("picture", "y", "x", "channel"), None),
        ("swin_t", "features.7", ("picture", "y", "x", "channel"), None),
        pytest.param(
            "swin_v2_t",
            "features.5.3.mlp.0",
            ("picture", "y", "x", "channel"),
            None,
            marks=pytest.mark.slow,
        ),
        ("convnext_tiny", "features.7.2.block.2", ("picture", "y", "x", "channel"), None),
        ("convnext_tiny", "features.7.2", MAPS, None),
        ("densenet121", "features.denseblock4.denselayer16.norm1", MAPS, None),
        pytest.param("maxvit_t", "blocks.3", MAPS, None, marks=pytest.mark.slow),
        ("vit_b_16", "encoder.layers.encoder_layer_11", TOKENS, Grid(1, 14, 14)),
        ("timm:vit_base_patch16_clip_224", "blocks.11", TOKENS, Grid(1, 14, 14)),
        ("timm:vit_small_patch16_dinov3", "blocks.3", TOKENS, Grid(5, 16, 16)),
        ("timm:deit_tiny_distilled_patch16_224", "blocks.3", TOKENS, Grid(2, 14, 14)),
        ("timm:mixer_b16_224", "blocks.3", TOKENS, Grid(0, 14, 14)),
    ],
)
def test_real_networks(name, layer, axes, grid):
    found = next(info for info in models.layers(name) if info.name == layer)
    assert found.layout == Layout(axes, grid)


@pytest.mark.parametrize(
    "name",
    ["swin_t", "convnext_tiny", pytest.param("maxvit_t", marks=pytest.mark.slow), "vit_b_16"],
)
def test_all_default_layers_are_known(name):
    for info in models.layers(name):
        if info.default:
            assert info.layout is not None
            assert info.layout.known, info.name


@pytest.mark.parametrize("name", ["swin_t", "convnext_tiny"])
def test_axes_of_positions_are_those_that_grow(name):
    """Another way to know: what there is more of in a wider picture are columns."""
    small, wide = (
        {(o.path, o.call, o.part): o for o in trace_outputs(blueprint(name), (3, 64, width))}
        for width in (64, 128)
    )
    for key, output in small.items():
        if output.layout and output.layout.known and "x" in output.layout.axes:
            grown = [a != b for a, b in zip(output.shape, wide[key].shape, strict=True)]
            columns = [axis == "x" for axis in output.layout.axes]
            assert grown == columns or output.shape[columns.index(True)] == 1, key


def test_what_has_no_pictures_does_not_stop_all():
    names = models.resolve("all", "swin_v2_t")
    assert "features.1.0.attn.cpb_mlp.0" not in names
    assert "features.1.0.attn" in names


def test_shapes_are_arranged():
    info = next(i for i in models.layers("swin_t") if i.name == "features.1.1")
    assert (info.output_shape, info.axes) == ((96, 56, 56), ("channel", "y", "x"))
    assert (info.n_channels, info.n_positions) == (96, 56 * 56)


def test_outputs_are_looked_up_the_second_time():
    module = Net(Does(tokens_of))
    assert outputs_of(module, SIZE) is outputs_of(module, SIZE)


def test_a_module_may_say_its_axes():
    mixes = Does(lambda x: torch.fft.fft2(x).abs())
    assert of(Net(mixes), "then") == Layout(("picture", "", "", ""))
    mixes.output_axes = ("picture", "channel", "y", "x")
    assert of(Net(mixes), "then") == Layout(MAPS)
    mixes.output_axes = ("picture", "y", "x")
    with pytest.raises(ProbeError, match=r"output_axes \('picture', 'y', 'x'\) of 'then'"):
        layouts(Net(mixes), SIZE)


def test_what_comes_after_stated_axes_is_traced():
    mixes = Does(lambda x: torch.fft.fft2(x).abs().movedim(1, 3))
    module = nn.Sequential(nn.Conv2d(3, 6, 8, 8), mixes, nn.Linear(6, 5), nn.Flatten(1, 2))
    assert of(module, "2") == Layout(("picture", "", "", ""))
    mixes.output_axes = ("picture", "y", "x", "channel")
    module = nn.Sequential(*module)
    assert of(module, "2") == Layout(mixes.output_axes)
    assert of(module, "3") == Layout(TOKENS, Grid(0, 4, 6))


def test_axes_may_be_stated_after_a_trace():
    module = Net(Does(lambda x: torch.fft.fft2(x).abs()))
    assert not of(module, "then").known
    module.then.output_axes = MAPS
    assert of(module, "then") == Layout(MAPS)


def test_tokens_that_are_stated_have_no_grid():
    mixes = Does(lambda x: torch.fft.fft(x.flatten(2)).abs())
    mixes.output_axes = ("picture", "channel", "token")
    module = nn.Sequential(nn.Conv2d(3, 6, 8, 8), mixes, nn.ReLU(), Does(lambda x: x.mT * 1))
    assert of(module, "2") == Layout(mixes.output_axes)
    assert of(module, "3") == Layout(TOKENS)


def test_receptive_fields_of_any_order():
    """Rows and columns of a field are those of the picture, whatever order the axes are in."""
    plain, turned = (
        models.measures(
            models.Network.from_module(
                Net(Does(lambda x, o=order: x.permute(o) * 1)),
                preprocessing=models.Preprocessing("resize", (32, 48)),
            )
        ).fields["then"]
        for order in ((0, 1, 2, 3), (0, 3, 2, 1))
    )
    assert plain is not None
    assert plain.jump is not None
    assert plain == turned


def test_threads_that_trace_at_once_leave_torch_as_it_was():
    """The switch of attention's fast path is one for all threads."""

    def slowly(x):
        time.sleep(0.05)
        return tokens_of(x)

    networks = [Net(Does(slowly)) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda network: of(network, "then"), networks))
    assert found == [Layout(TOKENS, Grid(0, 4, 6))] * len(networks)
    assert torch.backends.mha.get_fastpath_enabled()
