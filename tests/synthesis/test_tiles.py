"""Tiles: together they give the gradient of the whole picture, and show no seams."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from probe import models, targets
from probe.activations.capture import OUTPUT
from probe.errors import ProbeError
from probe.models import Network, Preprocessing
from probe.synthesis import tiles
from probe.synthesis.tiles import MAX_MARGIN_PX, in_tiles, margin, only_size
from probe.targets import Channel, Class, Norm, Response, Sum, Target, Unit

WHOLE = 10_000
"""A side of tiles into which everything fits."""


class Small(nn.Module):
    """Two convolutions with strides and padding, a pool, and three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 5, 5, stride=2, padding=2)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.second = nn.Conv2d(5, 6, 3, padding=1)
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.pool(torch.relu(self.first(x))))
        return self.last(torch.relu(x).mean((2, 3)))


@pytest.fixture(scope="module")
def small() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = Small()
    return Network.from_module(module, preprocessing=Preprocessing("resize", (64, 64)))


def noise(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed))


def slope(network: Network, target: Target, pictures: Tensor, tile: int, **given: int) -> Tensor:
    _, found = in_tiles(network, target, tile=tile, precision="float32", **given)(pictures, 0)
    return found


def differs(one: Tensor, other: Tensor) -> float:
    """Largest difference, in mean magnitudes."""
    return float((one - other).abs().max() / other.abs().mean())


@given(
    height=st.integers(33, 80),
    width=st.integers(33, 80),
    tile=st.integers(16, 50),
    jitter=st.integers(0, 9),
    target=st.sampled_from(
        [
            Norm("second"),
            Norm("first"),
            Channel("second", 2),
            Channel("first", 1) * 3.0 - Channel("second", 2),
            Sum(((1.0, Norm("first")), (-0.5, Norm("second")))),
        ]
    ),
)
@settings(max_examples=25)
def test_tiles_add_up_to_the_whole(
    small: Network, height: int, width: int, tile: int, jitter: int, target: Target
) -> None:
    pictures = noise(height, width, seed=height * width)
    whole = slope(small, target, pictures, WHOLE, jitter=jitter)
    assert differs(slope(small, target, pictures, tile, jitter=jitter), whole) < 1e-4


def test_the_whole_is_the_gradient_of_the_target(small: Network) -> None:
    pictures = noise(48, 64).requires_grad_()
    value, found = in_tiles(small, Norm("second"), tile=WHOLE, precision="float32")(pictures, 0)
    mean, std = (
        torch.tensor(v)[:, None, None] for v in (small.preprocessing.mean, small.preprocessing.std)
    )
    module = small.module
    assert isinstance(module, Small)
    seen = module.second(module.pool(torch.relu(module.first((pictures - mean) / std))))
    expected = seen.square().sum() / 2
    expected.backward()
    assert pictures.grad is not None
    torch.testing.assert_close(found, pictures.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(value[0], expected.detach(), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("squeezenet1_1", "features.7"),
        ("alexnet", "features.8"),
        pytest.param("efficientnet_lite0", "features.3.1", marks=pytest.mark.slow),
        pytest.param("googlenet", "inception3a", marks=pytest.mark.slow),
        ("resnet18", "layer2"),
    ],
)
def test_tiles_add_up_for_networks_of_all_kinds(name: str, layer: str) -> None:
    network = models.load(name, "random")
    pictures = noise(251, 198)
    (found,) = models.resolve([layer], network)
    whole = slope(network, Norm(found), pictures, WHOLE, jitter=8)
    assert differs(slope(network, Norm(found), pictures, 64, jitter=8), whole) < 1e-3


def test_a_class_is_asked_of_every_tile_by_its_area(small: Network) -> None:
    pictures = noise(64, 64)
    value, _ = in_tiles(small, Class(1), tile=WHOLE, precision="float32")(pictures, 0)
    module = small.module
    mean, std = (
        torch.tensor(v)[:, None, None] for v in (small.preprocessing.mean, small.preprocessing.std)
    )
    torch.testing.assert_close(value[0], module((pictures - mean) / std)[0, 1].detach())
    tiled, found = in_tiles(small, Class(1), tile=200, precision="float32")(noise(640, 64), 0)
    assert found.abs().amin((0, 1, 3)).gt(0).any()
    assert tiled.isfinite().all()


def test_rolls_differ_from_step_to_step_and_repeat(small: Network) -> None:
    ask = in_tiles(small, Norm("second"), tile=WHOLE, jitter=16, seed=4, precision="float32")
    pictures = noise(64, 80)
    first, second = ask(pictures, 0)[1], ask(pictures, 1)[1]
    assert not torch.equal(first, second)
    assert torch.equal(first, ask(pictures, 0)[1])


def test_a_margin_covers_the_field_and_is_a_number_of_steps() -> None:
    network = models.load("alexnet", "random")
    around = margin(network, ["features.8", "features.0"])
    field = around.fields["features.8"]
    assert field is not None
    assert around.width >= max(field.size) / 2
    assert around.width % around.step == 0
    assert around.exact
    deep = margin(models.load("efficientnet_lite0", "random"), ["features.6.3"])
    assert (deep.width, deep.exact) == (MAX_MARGIN_PX, False)


def test_errors_of_too_narrow_margins_do_not_add_up_to_seams(
    small: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "MAX_MARGIN_PX", 4)
    pictures = noise(32, 192)
    assert not margin(small, ["second"]).exact
    whole = slope(small, Norm("second"), pictures, WHOLE)
    ask = in_tiles(small, Norm("second"), tile=48, precision="float32")
    wrong = torch.stack([ask(pictures, step)[1] - whole for step in range(24)])
    assert 0 < wrong.abs().mean() < 0.3 * whole.abs().mean()
    columns = wrong[..., 24:-24].mean(0).abs().mean((0, 1, 2))
    fixed = wrong[0, ..., 24:-24].abs().mean((0, 1, 2))
    assert fixed.max() > 4 * fixed.mean()  # in one step, it lies at the borders of tiles
    assert columns.max() < 0.5 * fixed.max()


@pytest.mark.parametrize(
    ("target", "tile", "message"),
    [
        (Unit("second", 2, (3, 3)), 64, "is a unit at one position.*second:2"),
        (Norm("second"), 3, "tiles of 3 pixels are too small"),
        (Norm("thirdd"), 64, "thirdd"),
    ],
)
def test_what_cannot_be_tiled_is_refused(
    small: Network, target: Target, tile: int, message: str
) -> None:
    with pytest.raises(ProbeError, match=message):
        slope(small, target, noise(64, 64), tile)


class Flat(nn.Module):
    """A readout of all pixels of 16 × 16, behind what takes any picture."""

    def __init__(self) -> None:
        super().__init__()
        self.square = nn.Conv2d(3, 2, 1)
        self.readout = nn.Linear(2 * 16 * 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.square(x).square().flatten(1))


@pytest.fixture(scope="module")
def flat() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        module = Flat()
    return Network.from_module(module, preprocessing=Preprocessing("resize", (16, 16)))


def test_what_exists_for_one_size_alone_is_told(small: Network, flat: Network) -> None:
    assert only_size(small, ["second"]) is None
    assert only_size(small, [OUTPUT]) is None
    assert only_size(flat, [OUTPUT]) == (16, 16)
    # A table of positions, of 64 × 64, refuses pictures of any other size at the door.
    transformer = Network.from_module(
        VisionTransformer(64, 16, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16),
        preprocessing=Preprocessing("resize", (64, 64)),
    )
    assert only_size(transformer, ["encoder.layers.encoder_layer_1"]) == (64, 64)
    assert only_size(models.load("alexnet", "random"), [OUTPUT, "features.0"]) is None


def test_pieces_of_the_only_size_cover_a_picture(flat: Network) -> None:
    """A pixel has the mean slope of the pieces that show it, at the place where each does."""
    target = Response(0)
    pictures = noise(16, 24)
    value, slope = in_tiles(flat, target, precision="float32")(pictures, 0)
    whole = pictures.clone().requires_grad_()
    pieces = [whole[..., :16], torch.cat([whole[..., 12:], whole[..., :4]], -1)]
    numbers = [flat.module(flat.preprocessing.normalise(piece)).sum() for piece in pieces]
    slopes = [torch.autograd.grad(number, whole)[0] for number in numbers]
    shown = torch.ones(24)
    shown[:4], shown[12:16] = 2, 2
    torch.testing.assert_close(slope, sum(slopes) / shown)
    torch.testing.assert_close(value[0], sum(numbers).detach() / 2)


@given(height=st.integers(16, 50), width=st.integers(16, 50), step=st.integers(0, 9))
@settings(max_examples=20)
def test_pieces_leave_no_pixel_out(flat: Network, height: int, width: int, step: int) -> None:
    ask = in_tiles(flat, Response(0), jitter=4, seed=1, precision="float32")
    value, slope = ask(noise(height, width), step)
    assert slope.shape == (1, 3, height, width)
    assert slope.abs().sum(1).gt(0).all()
    torch.testing.assert_close(ask(noise(height, width), step)[1], slope, rtol=0, atol=0)
    assert value.isfinite().all()


def test_a_picture_smaller_than_the_only_size_is_refused(flat: Network) -> None:
    ask = in_tiles(flat, Response(0))
    with pytest.raises(
        ProbeError, match=r"10×20 pixels is too small: 'output 0' exists only for 16×16"
    ):
        ask(noise(20, 10), 0)


def test_seam_energy_in_a_photograph() -> None:
    """Steps across borders of tiles are no larger than elsewhere: here, with all tiles alike."""
    data = pytest.importorskip("skimage.data")
    picture = torch.from_numpy(data.astronaut()[:320, :320].copy()).permute(2, 0, 1)[None] / 255
    network = models.load("squeezenet1_1", "random", seed=3)
    target = targets.parse("features.9", network)
    found = slope(network, target, picture, 64)
    steps = (found[..., 1:] - found[..., :-1]).abs().mean((0, 1, 2))
    borders = torch.arange(63, len(steps), 64)
    other = torch.ones(len(steps), dtype=torch.bool)
    other[borders] = False
    # Gradients through strides differ from column to column in a pattern of the units' steps.
    alike = torch.arange(len(steps)) % 16 == 15
    assert steps[borders].mean() < 1.1 * steps[other & alike].mean()
