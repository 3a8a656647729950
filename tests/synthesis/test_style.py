"""Style transfer: gradients in tiles against the whole, masks, colours, resuming."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from convolutions import convolutions
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

import probe
from probe import images, models
from probe.errors import ProbeError
from probe.models import Network
from probe.synthesis import run as runs
from probe.synthesis import style as styles
from probe.synthesis import style_colours
from probe.synthesis.dream import Dream
from probe.synthesis.style import AveragedPixels, smoothed, style
from probe.synthesis.style_losses import ContentTerm, content_term, histogram_term, style_term
from probe.synthesis.style_network import jump, margin, style_network
from probe.synthesis.style_settings import StyleSettings
from probe.synthesis.style_tiles import (
    Likeness,
    content_features,
    features,
    likeness_gradient,
    position_weights,
    style_counts,
    style_moments,
    windows,
)
from probe.synthesis.transforms import generator

LAYERS = ["relu1_1", "relu2_1", "relu3_1"]
QUICK: dict[str, Any] = {
    "layers": "relu1_1=2,relu2_1=0.5", "content_layer": "relu3_2", "size": 64, "steps": 3,
    "weights": "random", "model": "vgg11", "precision": "float32", "progress": False,
}  # fmt: skip
QUICK_SETTINGS = {name: value for name, value in QUICK.items() if name != "progress"}


@pytest.fixture(scope="module")
def network() -> Network:
    """VGG-16 with random weights, which stand for real ones wherever looks are not the point."""
    return convolutions("vgg16")


@pytest.fixture(scope="module")
def doubled(network: Network) -> Network:
    """The same in float64."""
    return Network.from_module(deepcopy(network.module).double())


@pytest.fixture(scope="module", autouse=True)
def _small() -> Any:
    """Begin with small pictures, and draw no classifier of VGG-11."""
    smaller, published = convolutions("vgg11"), models.load

    def load(name: str, *how: Any, **options: Any) -> Network:
        return smaller if name == "vgg11" else published(name, *how, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(styles, "FIRST_SIDE_PX", 44)
        patch.setattr("probe.models.network.load", load)
        yield


@pytest.fixture
def _own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is unfinished in a folder of this test."""
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path))


def drawn(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A picture of soft blobs."""
    coarse = torch.rand(1, 3, 6, 8, generator=generator(seed))
    pixels = F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)[0]
    return (pixels.permute(1, 2, 0) * 255).byte().numpy()


def tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255


def plain(network: Network, pooling: str = "max") -> Callable[[Tensor], dict[str, Tensor]]:
    """The published layers, written as a loop over the user's own module."""

    def run(picture: Tensor) -> dict[str, Tensor]:
        mean, std = (torch.tensor(v)[:, None, None] for v in (
            (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))  # fmt: skip
        seen, found, block, place = (picture - mean) / std, {}, 1, 0
        for part in network.module.features:  # type: ignore[union-attr]
            if isinstance(part, torch.nn.Conv2d):
                mode = "constant" if place or block > 1 else "replicate"
                padded = F.pad(seen, [1] * 4, mode=mode)
                seen = F.conv2d(padded, part.weight.detach(), part.bias.detach())
                place += 1
            elif isinstance(part, torch.nn.ReLU):
                seen = seen.relu()
                found[f"relu{block}_{place}"] = seen
            elif isinstance(part, torch.nn.MaxPool2d):
                seen = F.max_pool2d(seen, 2) if pooling == "max" else F.avg_pool2d(seen, 2)
                block, place = block + 1, 0
        return found

    return run


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_layers_are_those_of_the_papers(network: Network, pooling: Any) -> None:
    picture = tensor(drawn(0))
    before = [(n, p.requires_grad, p.grad) for n, p in network.module.named_parameters()]
    names = [str(m) for m in network.module.modules()]
    wanted = plain(network, pooling)(picture)
    found = features(style_network(network, pooling), picture, list(wanted), "float32")
    assert list(found) == [f"relu{b}_{i}" for b, n in enumerate((2, 2, 3, 3, 3), 1)
                           for i in range(1, n + 1)]  # fmt: skip
    for layer, output in wanted.items():
        assert (found[layer] - output).norm() <= 1e-5 * output.norm()
        assert output.shape[-1] == 64 // jump(layer)
    assert before == [(n, p.requires_grad, p.grad) for n, p in network.module.named_parameters()]
    assert names == [str(m) for m in network.module.modules()]


def test_a_network_that_wraps_does_not_know_where_borders_are(network: Network) -> None:
    picture = tensor(drawn(0))
    wrapping = style_network(network, wrap=True)
    one, rolled = (
        features(wrapping, p, ["relu3_1"], "float32")["relu3_1"]
        for p in (picture, picture.roll((16, 32), (2, 3)))
    )
    assert (one.roll((4, 8), (2, 3)) - rolled).norm() <= 1e-5 * one.norm()


def test_margins_are_half_of_what_units_see(network: Network) -> None:
    """Of relu5_1, 132 and 156 pixels, up to the next multiple of 16."""
    for layer, wanted in (("relu5_1", 80), ("relu1_1", 2), ("relu2_1", 6)):
        assert margin(style_network(network), [layer]) == wanted


@pytest.mark.slow
def test_margins_of_a_deeper_network() -> None:
    deeper = models.load("vgg19", "random")
    assert margin(style_network(deeper), ["relu5_1"]) == 80


def content_of(network: Network, picture: Tensor, tile: int = 512) -> ContentTerm:
    output = content_features(network, picture, "relu3_2", tile=tile, precision="float32")
    weights = position_weights(None, picture.shape[-2:], ["relu3_2"], picture.device)
    return content_term("relu3_2", output, 1.0, weights["relu3_2"])


def objective(
    network: Network, loss: Any, mask: Tensor | None, size: tuple[int, int], histogram: float = 0.1
) -> Likeness:
    content, other = tensor(drawn(1, *size)), tensor(drawn(2, 90, 70))
    found = style_moments(network, other, LAYERS, precision="float32")
    weights = position_weights(mask, size, LAYERS, torch.device("cpu"))
    evened = {layer: found[layer] for layer in ("relu1_1", "relu3_1")}
    counts = style_counts(network, other, evened, precision="float32")
    return Likeness(
        [style_term(layer, found[layer], 0.3, weights[layer], loss) for layer in LAYERS],
        [content_of(network, content)],
        [
            histogram_term(layer, found[layer], counts[layer], histogram, weights[layer])
            for layer in evened
        ],
    )


@pytest.mark.parametrize(
    ("loss", "masked", "wrap"),
    [
        pytest.param("wasserstein", False, False, marks=pytest.mark.slow),
        ("wasserstein", True, True),
        pytest.param("gram", True, False, marks=pytest.mark.slow),
        pytest.param("gram", False, True, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_tiles_give_the_gradient_of_the_whole(
    doubled: Network, loss: Any, masked: bool, wrap: bool
) -> None:
    """In float64, as the maxima of poolings are nearly ties, which roundings decide."""
    size = (112, 160) if wrap else (118, 157)
    looking = style_network(doubled, wrap=wrap)
    mask = tensor(drawn(4, *size))[0, 0] if masked else None
    likeness = objective(looking, loss, mask, size)
    picture = tensor(drawn(3, *size))
    whole, tiled = (
        likeness_gradient(looking, likeness, size, tile=tile, wrap=wrap, precision="float32")(
            picture, 0
        )
        for tile in (512, 48)
    )
    assert len(windows(size, 48, 0)) == 12
    torch.testing.assert_close(tiled[0], whole[0], rtol=1e-4, atol=0)
    assert (tiled[1] - whole[1]).norm() <= 1e-4 * whole[1].norm()


def test_a_tile_may_be_too_narrow_for_a_position(network: Network) -> None:
    looking, picture = style_network(network), tensor(drawn(3, 48, 200))
    whole, tiled = (
        style_moments(looking, picture, ["relu5_1"], tile=tile, precision="float32")["relu5_1"]
        for tile in (512, 48)
    )
    assert windows((48, 200), 48, 0)[-1].width == 8
    means = [one.mean + one.centre for one in (tiled, whole)]
    torch.testing.assert_close(means[0], means[1], rtol=1e-3, atol=1e-6)


def test_moments_and_contents_in_tiles_are_those_of_the_whole(network: Network) -> None:
    looking, picture = style_network(network), tensor(drawn(3, 118, 157))
    whole, tiled = (
        style_moments(looking, picture, LAYERS, tile=tile, precision="float32")
        for tile in (512, 48)
    )
    for layer in LAYERS:
        torch.testing.assert_close(tiled[layer].covariance, whole[layer].covariance,
                                   rtol=1e-3, atol=1e-6)  # fmt: skip
        means = [one[layer].mean + one[layer].centre for one in (tiled, whole)]
        torch.testing.assert_close(means[0], means[1], rtol=1e-4, atol=1e-6)
    terms = [content_of(looking, picture, tile) for tile in (512, 48)]
    torch.testing.assert_close(terms[0].features, terms[1].features, rtol=1e-4, atol=1e-6)
    assert terms[0].share == pytest.approx(terms[1].share, rel=1e-4)


def test_the_loss_is_that_of_gatys_relative_to_the_style(network: Network) -> None:
    """Against autograd through the user's own module, written as the paper has it."""
    looking, run = style_network(network), plain(network)
    size = (48, 64)
    likeness = objective(looking, "gram", None, size, histogram=0.0)
    picture = tensor(drawn(3)).requires_grad_()
    seen, other = run(picture), run(tensor(drawn(2, 90, 70)))
    content = run(tensor(drawn(1, *size)))["relu3_2"]
    loss = (seen["relu3_2"] - content).square().mean() / content.square().mean()
    for layer in LAYERS:
        ours, theirs = (
            torch.einsum("nchw,ndhw->cd", f, f) / f[0, 0].numel()
            for f in (seen[layer], other[layer])
        )
        loss = loss + 0.3 * (ours - theirs).square().mean() / theirs.square().mean()
    (slope,) = torch.autograd.grad(loss, picture)
    value, found = likeness_gradient(looking, likeness, size, precision="float32")(
        picture.detach(), 0
    )
    assert float(-value) == pytest.approx(float(loss.detach()), rel=1e-4)
    assert (found + slope).norm() <= 1e-3 * slope.norm()


def test_total_variation() -> None:
    def nothing(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(1), torch.zeros_like(pictures)

    picture = torch.tensor([[[[0.0, 0.5], [0.0, 1.0]]]]).repeat(1, 3, 1, 1)
    value, _ = smoothed(nothing, 2.0)(picture, 0)
    assert float(value) == pytest.approx(-2 * (0.25 + 1 + 0 + 0.25) / 4)
    value, slope = smoothed(nothing, 2.0, wrap=True)(picture, 0)
    assert float(value) == pytest.approx(-2 * 2 * (0.25 + 1 + 0 + 0.25) / 4)
    assert float(slope.sum()) == pytest.approx(0, abs=1e-6)
    assert float(slope[0, 0, 1, 1]) < 0  # the bright pixel sinks


def test_painted_averages_without_a_trace_of_nothing() -> None:
    made = AveragedPixels(torch.full((1, 3, 2, 2), 0.5), decay=0.9)
    torch.testing.assert_close(made.average(), made().detach())
    values = [0.2, 0.4, 1.7]
    for value in values:
        with torch.no_grad():
            made.parameters[0].fill_(value)
        made.bound()
    shares = [0.9**2, 0.9, 1.0]
    wanted = sum(s * min(v, 1.0) for s, v in zip(shares, values, strict=True)) / sum(shares)
    torch.testing.assert_close(made.average(), torch.full((1, 3, 2, 2), wanted))


def test_noise_of_a_grey_picture_does_not_become_colour() -> None:
    """Three channels that differ by a bit, as a grey picture's do that was a JPEG file."""
    generator = torch.Generator().manual_seed(0)
    grey = torch.rand(1, 1, 24, 24, generator=generator).expand(-1, 3, -1, -1)
    noisy = grey + (torch.rand(1, 3, 24, 24, generator=generator) - 0.5) / 255
    style = torch.rand(1, 3, 24, 24, generator=generator)
    clean, grainy = (style_colours.matched(picture, style) for picture in (grey, noisy))
    assert clean.std() > 0.15
    assert (clean - grainy).std() < 0.05


def test_colours_are_matched_in_mean_and_covariance() -> None:
    one, other = tensor(drawn(5)) * 0.2 + 0.4, tensor(drawn(6)) * 0.3 + 0.3
    found = style_colours.matched(one, other)[0].flatten(1)
    wanted = other[0].flatten(1)
    torch.testing.assert_close(found.mean(1), wanted.mean(1), atol=2e-3, rtol=0)
    torch.testing.assert_close(torch.cov(found), torch.cov(wanted), atol=5e-4, rtol=0)
    same = style_colours.matched(other, other)
    torch.testing.assert_close(same, other, atol=1e-3, rtol=0)


@pytest.mark.usefixtures("_own_runs")
@pytest.mark.slow
def test_luminance_mode_keeps_chroma() -> None:
    content = drawn(1)
    made = style(content, drawn(2), colours="keep", **QUICK | {"steps": 10})
    moved = np.asarray(made.picture).astype(float) - content
    # The same is added to red, green and blue.
    assert np.abs(moved - moved.mean(2, keepdims=True)).max() <= 2
    assert np.abs(moved).mean() > 4


@pytest.mark.usefixtures("_own_runs")
def test_outside_of_a_mask_nothing_moves() -> None:
    content = drawn(1)
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 40:] = 255
    mask[:, 36:40] = [51, 102, 153, 204]
    made = style(content, drawn(2), masks=mask, **QUICK | {"steps": 10})
    moved = np.abs(np.asarray(made.picture).astype(float) - content).mean(2)
    assert moved[:, :36].mean() < 1
    assert moved[:, 40:].mean() > 8


@pytest.mark.slow
@pytest.mark.usefixtures("_own_runs")
def test_each_region_takes_on_its_own_style() -> None:
    left = np.zeros((48, 64), np.uint8)
    left[:, :32] = 255
    dark, bright = np.zeros((48, 64, 3), np.uint8), np.full((48, 64, 3), 255, np.uint8)
    dark[::6], bright[::6] = 60, 200
    options = QUICK | {"steps": 25, "strength": 20.0}
    made = style(drawn(1), [dark, bright], masks=[left, 255 - left], **options)
    assert made.pixels[:, :28].mean() < made.pixels[:, 36:].mean() - 0.3


@pytest.mark.slow
@pytest.mark.usefixtures("_own_runs")
def test_part_of_a_style_counts() -> None:
    pair = np.concatenate([np.full((48, 32, 3), 30, np.uint8), np.full((48, 32, 3), 220, np.uint8)],
                          1)  # fmt: skip
    pair[::6] //= 2
    left = np.zeros((48, 64), np.uint8)
    left[:, :32] = 255
    options = QUICK | {"steps": 20, "strength": 20.0}
    of_left, of_right = (
        style(drawn(1), pair, style_masks=mask, **options) for mask in (left, 255 - left)
    )
    assert of_left.pixels.mean() < of_right.pixels.mean() - 0.2


@pytest.mark.slow
@pytest.mark.usefixtures("_own_runs")
def test_a_texture_is_tiled_without_seams() -> None:
    made = style(None, drawn(2), tileable=True, **QUICK | {"steps": 30})
    assert made.pixels.shape == (64, 64, 3)
    rows = np.abs(np.diff(made.pixels, axis=0)).mean((1, 2))
    seam = np.abs(made.pixels[0] - made.pixels[-1]).mean()
    assert seam <= rows.max()


@pytest.mark.usefixtures("_own_runs")
def test_alpha_is_kept_and_hidden_pixels_do_not_count(tmp_path: Path) -> None:
    content = np.dstack([drawn(1), np.full((48, 64), 255, np.uint8)])
    content[:, :20, 3] = 0
    options = QUICK | {"content_layer": "relu1_1", "layers": "relu1_1"}
    made = style(content, drawn(2), **options)
    assert made.pixels.shape == (48, 64, 4)
    np.testing.assert_allclose(made.pixels[..., 3], content[..., 3] / 255)
    path = made.save(tmp_path / "made.png")
    with Image.open(path) as opened:
        assert opened.mode == "RGBA"
    assert images.about(path)["styles"][0]["name"] == "image"


@pytest.mark.usefixtures("_own_runs")
@pytest.mark.parametrize(
    ("start", "colours"),
    [
        (None, "style"),
        (None, "match"),
        (None, "keep"),
        ("noise", "match"),
        pytest.param("noise", "style", marks=pytest.mark.slow),
        pytest.param("noise", "keep", marks=pytest.mark.slow),
    ],
)
def test_hidden_colours_change_nothing(colours: str, start: str | None) -> None:
    hidden = np.zeros((48, 64), np.uint8)
    hidden[:, :20] = 255

    def made(colour: int) -> np.ndarray:
        given = [np.dstack([drawn(k), 255 - hidden]) for k in (1, 2)]
        for one in given:
            one[hidden > 0, :3] = colour
        found = style(*given, colours=colours, start=start, **QUICK | {"steps": 2})
        return found.pixels[hidden == 0]

    np.testing.assert_array_equal(made(0), made(255))


@pytest.mark.usefixtures("_own_runs")
def test_a_mask_may_be_white_on_a_transparent_layer() -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[:, 40:] = 255
    layer = np.dstack([np.full((48, 64, 3), 255, np.uint8), mask])
    plainly, drawn_so = (
        style(drawn(1), drawn(2), masks=one, **QUICK).pixels for one in (mask, layer)
    )
    np.testing.assert_array_equal(plainly, drawn_so)


@pytest.mark.usefixtures("_own_runs")
@pytest.mark.parametrize(
    ("content", "other", "colours"),
    [
        (drawn(1), np.full((48, 64, 3), 128, np.uint8), "style"),
        (np.full((48, 64, 3), 255, np.uint8), drawn(2), "keep"),
        (drawn(1), np.zeros((48, 64, 3), np.uint8), "match"),
    ],
)
@pytest.mark.parametrize("loss", ["wasserstein", pytest.param("gram", marks=pytest.mark.slow)])
def test_pictures_of_one_colour(
    content: np.ndarray, other: np.ndarray, colours: str, loss: str
) -> None:
    made = style(content, other, colours=colours, loss=loss, **QUICK | {"layers": None, "size": 44})
    assert all(np.isfinite(one).all() for one in made.history)


@pytest.mark.usefixtures("_own_runs")
def test_a_style_that_counts_nothing_paints_nothing() -> None:
    left = np.zeros((48, 64), np.uint8)
    left[:, :20] = 255
    given = (drawn(1), [drawn(2), drawn(3)])
    made = style(*given, mix=[0, 1], masks=[left, 255 - left], **QUICK)
    alone = style(given[0], given[1][1], strength=2, masks=255 - left, **QUICK)
    np.testing.assert_array_equal(made.pixels, alone.pixels)


def transfer_of(content: np.ndarray, *others: np.ndarray, **options: Any) -> styles.Transfer:
    """A transfer that has not begun to paint."""
    masks = options.pop("masks", ())
    settings = StyleSettings(**QUICK_SETTINGS | options)
    plan = styles.prepare(content, list(others), settings, masks=masks)
    return styles.Transfer(plan.inputs, plan.network, plan.settings, torch.device("cpu"))


def test_small_sizes_are_more_work_than_their_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(styles, "FIRST_SIDE_PX", 128)
    # Measured with VGG-16 on one core: 0.30 s a step at 128 × 128 pixels, 0.71 s at 256 × 256.
    square = drawn(1, 64, 64)
    transfer = transfer_of(square, square, size=256)
    first, last = (transfer.work(k) / transfer.steps(k) for k in (0, -1))
    assert transfer.sizes[0] == (128, 128)
    assert last / first == pytest.approx(0.71 / 0.30, rel=0.15)
    gram = transfer_of(square, square, size=256, loss="gram")
    assert gram.work(-1) == gram.steps(-1) * 256**2


@pytest.mark.parametrize("loss", ["wasserstein", "gram"])
def test_a_style_counts_as_much_as_its_region_is_large(loss: str) -> None:
    """Its terms are means over the region: each pixel of a small one would change faster."""
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :16] = 255
    content = drawn(1, 64, 64)

    def shares(*styles: np.ndarray, **options: Any) -> np.ndarray:
        transfer = transfer_of(content, *styles, loss=loss, **options)
        terms, _ = transfer.style_terms((64, 64))
        return np.array([term.share for term in terms]).reshape(len(styles), -1)

    everywhere = shares(drawn(2))
    of_regions = shares(drawn(2), drawn(2), masks=[mask, 255 - mask])
    np.testing.assert_allclose(of_regions, [[0.25], [0.75]] * everywhere, rtol=1e-6)


class TestTheContentInTheColoursOfTheStyle:
    """What a picture starts from."""

    def test_has_their_mean_and_covariance(self) -> None:
        pale = 64 + drawn(2) // 2  # no colour is cut off at 0 or 1
        transfer = transfer_of(drawn(1), pale)
        start = transfer.start(transfer.sizes[-1])
        for found, expected in zip(
            style_colours.mean_and_covariance(start),
            style_colours.mean_and_covariance(tensor(pale)),
            strict=True,
        ):
            torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)

    def test_is_between_those_of_two_styles(self) -> None:
        one, other, both = (
            transfer.start(transfer.sizes[-1])
            for transfer in (
                transfer_of(drawn(1), drawn(2)),
                transfer_of(drawn(1), drawn(3)),
                transfer_of(drawn(1), drawn(2), drawn(3), mix=[3, 1]),
            )
        )
        torch.testing.assert_close(both, (3 * one + other) / 4)

    def test_is_the_content_where_nothing_is_painted(self) -> None:
        mask = np.zeros((48, 64), np.uint8)
        mask[:, 32:] = 255
        transfer = transfer_of(drawn(1), drawn(2), masks=mask)
        start = transfer.start(transfer.sizes[-1])
        torch.testing.assert_close(start[..., :32], tensor(drawn(1))[..., :32])
        assert (start - tensor(drawn(1)))[..., 32:].abs().mean() > 0.05

    @pytest.mark.parametrize("options", [{"colours": "keep"}, {"start": "content"}])
    def test_is_the_content_where_that_is_asked_for(self, options: dict[str, str]) -> None:
        transfer = transfer_of(drawn(1), drawn(2), **options)
        torch.testing.assert_close(transfer.start(transfer.sizes[-1]), tensor(drawn(1)))


@pytest.mark.usefixtures("_own_runs")
def test_it_begins_with_a_picture_and_takes_numbers_of_numpy(tmp_path: Path) -> None:
    numbers = {"strength": np.float32(2), "mix": np.array([2, 1])}
    made = style(drawn(1), [drawn(2)] * 2, start=drawn(3), **QUICK | numbers)
    told = images.about(made.save(tmp_path / "made.png"))
    assert (told["settings"]["strength"], told["settings"]["mix"]) == (2, [2, 1])
    assert told["begun_with"]["name"] == "image"


@pytest.mark.usefixtures("_own_runs")
def test_strokes_of_any_width_and_masks_of_a_few_rows() -> None:
    small = drawn(2)[:40, :40]
    usual, twice = (style(drawn(1), small, style_scale=k, **QUICK).pixels for k in (1, 2))
    assert np.abs(usual - twice).mean() > 1e-3
    style(drawn(1), drawn(2)[:5], **QUICK)
    last = np.zeros((63, 47), np.uint8)
    last[-3:] = 255
    style(drawn(1, 63, 47), drawn(2), masks=last, **QUICK)


@contextmanager
def interrupted() -> Iterator[threading.Event]:
    """What `finishing` does when Ctrl-C comes."""
    stop = threading.Event()
    yield stop
    if stop.is_set():
        raise KeyboardInterrupt


@pytest.mark.usefixtures("_own_runs")
@pytest.mark.parametrize(  # in the first size, and in the second
    "at", [pytest.param(5, marks=pytest.mark.slow), 15]
)
def test_stopped_and_resumed_equals_uninterrupted(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    options = QUICK | {"steps": 6}
    whole = style(drawn(1), drawn(2), **options)
    assert [len(h) for h in whole.history] == [12, 6]
    monkeypatch.setattr(runs, "finishing", interrupted)
    real, computed = styles.optimise, []

    def counting(made: Any, slopes: Any, *rest: Any, **how: Any) -> Tensor:
        def counted(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
            computed.append(step)
            if len(computed) == at:
                how["loop"].stop.set()
            return slopes(pictures, step)

        return real(made, counted, *rest, **how)

    monkeypatch.setattr(styles, "optimise", counting)
    with pytest.raises(KeyboardInterrupt):
        style(drawn(1), drawn(2), **options)
    assert len(computed) == at
    resumed = style(drawn(1), drawn(2), **options)
    assert computed == [*range(12), *range(6)]
    assert resumed.pixels.tobytes() == whole.pixels.tobytes()
    for one, other in zip(resumed.history, whole.history, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("_own_runs")
def test_previews_and_early_end() -> None:
    seen: list[np.ndarray] = []
    options = QUICK | {"colours": "keep"}
    style(drawn(1), drawn(2), preview=seen.append, preview_every=3, **options)
    assert [picture.shape for picture in seen] == [(34, 45, 3), (34, 45, 3), (48, 64, 3)]
    assert seen[0].dtype == np.uint8
    # A loss that does not fall to a tenth within 32 steps does not change enough.
    made = style(drawn(1), drawn(2), tolerance=0.9, **QUICK | {"steps": 80, "size": 44})
    assert [len(h) for h in made.history] == [64]


@pytest.mark.usefixtures("_own_runs")
def test_a_network_of_ones_own_is_left_as_it_was() -> None:
    class VGG(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = convolutions("vgg11").module.features

    own = VGG().train()
    before = [(p.detach().clone(), p.requires_grad, p.grad) for p in own.parameters()]
    options = {k: v for k, v in QUICK.items() if k not in ("weights", "model")}
    made = probe.style(drawn(1), [drawn(2), drawn(3)], own, mix=[2, 1], loss="gram", **options)
    assert own.training
    for (values, asks, grad), parameter in zip(before, own.parameters(), strict=True):
        assert torch.equal(values, parameter)
        assert (asks, grad) == (parameter.requires_grad, parameter.grad)
    assert made.about["model"] == "VGG"
    assert "style of image and image" in made._repr_html_()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"loss": "l2", "layers": None}, "loss 'l2': expected one of wasserstein, gram"),
        ({"layers": "relu9_1"}, "has no layer 'relu9_1'"),
        ({"layers": "relu1_1=much"}, "layers 'relu1_1=much': expected LAYER=NUMBER"),
        ({"mix": [1, 2]}, r"mix \[1, 2\]: expected as many numbers as there are styles"),
        ({"mix": [0]}, r"mix \[0\]: expected numbers ≥ 0, not all of them 0"),
        ({"size": 5}, "size 5: expected a number of pixels ≥ 32"),
        ({"style_scale": 0}, "style_scale 0: expected a number > 0"),
        ({"strength": np.inf}, "strength inf: expected a number ≥ 0"),
        ({"threads": -1}, "threads -1: expected a number ≥ 1"),
        ({"seed": -1}, "seed -1: expected a number ≥ 0"),
        (
            {"tileable": True, "colours": "keep"},
            "colours 'keep': expected style or match with tileable",
        ),
        ({"content": np.zeros((48, 64, 4), np.uint8)}, "is transparent all over"),
        ({"styles": np.zeros((48, 64, 4), np.uint8)}, "is transparent all over"),
        ({"style_masks": np.zeros((48, 64), np.uint8)}, "a mask is black"),
        ({"masks": [drawn(1)] * 2}, "2 masks: expected one, or as many as there are styles"),
        ({"masks": np.zeros((48, 64), np.uint8)}, "a mask is black"),
        ({"content": None, "colours": "keep"}, "expected style for a texture"),
        ({"content": None, "start": "content"}, "a texture has no content"),
        ({"styles": []}, "expected at least one picture"),
        ({"model": "squeezenet1_1"}, "model '.*': expected a VGG network"),
        ({"start": "none.png"}, "'none.png' does not exist"),
    ],
)
def test_what_does_not_go_together_is_one_clear_line(options: dict[str, Any], says: str) -> None:
    given = {"content": drawn(1), "styles": drawn(2), **QUICK, **options}
    with pytest.raises(ProbeError, match=says) as raised:
        style(**given)
    assert "\n" not in str(raised.value)


def test_a_dream_is_a_picture_like_its_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    content, levels = (rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(2))
    dreamt = Dream(levels.astype(np.float32) / 255, None, "a dream", {"made": "dream"})
    path = dreamt.save(tmp_path / "dream.png")
    of_object, of_file = (style(content, [one], **QUICK) for one in (dreamt, path))
    assert np.array_equal(of_object.pixels, of_file.pixels)
    hashes = [made.about["styles"][0]["sha256"] for made in (of_object, of_file)]
    assert hashes[0] == hashes[1]
    assert style(dreamt, content, start=dreamt, **QUICK).about["content"]["sha256"] == hashes[0]
