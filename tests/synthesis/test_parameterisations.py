from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from probe import models
from probe.synthesis.natural import SPECTRUM, Maco, OverNoise, amplitudes
from probe.synthesis.optimise import optimise, through
from probe.synthesis.parameterisations import (
    COLOURS,
    EDGE,
    OUTLINE,
    Fourier,
    Laplacian,
    Parameterisation,
    Pixels,
    Transparent,
    in_colour,
    noise,
)
from probe.synthesis.transforms import generator
from probe.targets import Channel

Make = Callable[..., Parameterisation]
MADE: dict[str, Make] = {
    "Fourier": Fourier,
    "Transparent": Transparent,
    "Laplacian": Laplacian,
    "Maco": Maco,
}
sides = st.integers(4, 33)


@pytest.mark.parametrize("name", MADE)
@given(height=sides, width=sides, seed=st.integers(0, 2**40))
def test_pictures_of_any_size_lie_in_range_and_hang_on_every_parameter(
    name: str, height: int, width: int, seed: int
) -> None:
    before = torch.get_rng_state()
    made = MADE[name](3, (height, width), seed=seed)
    pictures = made()
    assert pictures.shape == (3, 4 if name == "Transparent" else 3, height, width)
    assert float(pictures.detach().min()) >= 0
    assert float(pictures.detach().max()) <= 1
    alone = MADE[name](1, (height, width), seed=seed)
    for parameter, one in zip(made.parameters, alone.parameters, strict=True):
        assert torch.equal(parameter, one.expand_as(parameter))
    # To the rounding of a sigmoid, which depends on where in a tensor a number lies.
    torch.testing.assert_close(pictures, alone().expand_as(pictures), rtol=0, atol=1e-6)
    assert torch.equal(torch.get_rng_state(), before)
    pictures.square().sum().backward()
    for parameter in made.parameters:
        assert parameter.is_leaf
        assert parameter.grad is not None
        assert bool(parameter.grad.any())


@pytest.mark.parametrize("name", MADE)
def test_noise_of_their_own(name: str) -> None:
    pictures = MADE[name](3, (12, 10), alike=False)()
    assert not torch.equal(pictures[0], pictures[1])
    alone = MADE[name](1, (12, 10), alike=False)()
    torch.testing.assert_close(alone, pictures[:1], rtol=0, atol=1e-6)
    assert not torch.equal(MADE[name](1, (12, 10), seed=1)(), pictures[:1])


@pytest.mark.parametrize("name", ["Fourier", "Transparent", "Maco"])
def test_what_is_made_of_frequencies_has_no_edge(name: str) -> None:
    """Shifted by one pixel, across the border, a picture is as smooth as anywhere else."""
    made = MADE[name](1, (32, 32), seed=3)
    if name != "Maco":
        with torch.no_grad():
            made.parameters[0] *= 500
    picture = made().detach()[0]
    steps = (picture - picture.roll(1, -1)).abs().mean((0, 1))
    assert float(steps[0]) < 1.5 * float(steps[1:].max())


def waves(spectrum: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Sum the frequencies of a half spectrum (height, width // 2 + 1), one by one."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    total = np.zeros(size)
    for u in range(height):
        for v in range(width // 2 + 1):
            wave = np.exp(2j * np.pi * (u * y / height + v * x / width))
            # The other half of the spectrum mirrors this one; two columns have no other.
            times = 1 if v == 0 or 2 * v == width else 2
            total += times * (spectrum[u, v] * wave).real
    return total / np.sqrt(height * width)


def plain_colours(decorrelated: np.ndarray) -> np.ndarray:
    """Mix colours, (3, height, width), as Olah et al. (2017) do in their code."""
    matrix = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
    matrix = matrix / np.linalg.norm(matrix, axis=0).max()
    mixed = np.stack([sum(matrix[d, c] * decorrelated[c] for c in range(3)) for d in range(3)])
    return np.asarray(1 / (1 + np.exp(-mixed)))


@pytest.mark.parametrize("size", [(8, 8), (8, 6), (5, 8), (6, 9)])
@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_fourier_equals_the_formula_written_plainly(size: tuple[int, int], decay: float) -> None:
    height, width = size
    made = Fourier(2, size, seed=4, alike=False, sd=3.0, decay=decay)
    drawn = made.parameters[0].detach().double().numpy()
    assert drawn.std() == pytest.approx(3, rel=0.2)
    for k in range(2):
        colours = []
        for c in range(3):
            spectrum = np.zeros((height, width // 2 + 1), complex)
            for u in range(height):
                for v in range(width // 2 + 1):
                    frequency = np.hypot(min(u, height - u) / height, v / width)
                    scale = 1 / max(frequency, 1 / max(size)) ** decay
                    spectrum[u, v] = scale * complex(*drawn[k, c, u, v])
            # Of the mean, and of what alternates, the imaginary part is not looked at.
            colours.append(waves(spectrum, size) / 4)
        expected = plain_colours(np.stack(colours))
        np.testing.assert_allclose(made()[k].detach().numpy(), expected, atol=1e-5)


def test_transparent_is_fourier_with_a_fourth_channel() -> None:
    made = Transparent(1, (8, 10), seed=2, sd=2.0)
    pictures = made().detach()
    only = Fourier(1, (8, 10))
    with torch.no_grad():
        only.parameters[0].copy_(made.parameters[0][:, :3])
    torch.testing.assert_close(pictures[:, :3], only().detach())
    spectrum = torch.view_as_complex(made.parameters[0].detach())[0, 3] * made.scale[3]
    opaque = 1 / (1 + np.exp(-EDGE * waves(spectrum.numpy(), (8, 10)) / 4))
    np.testing.assert_allclose(pictures[0, 3].numpy(), opaque, atol=1e-5)


def test_how_opaque_a_picture_is_changes_smoothly() -> None:
    """Colours keep their fine structure, and alpha loses it, or pictures fall into shreds."""
    made = Transparent(1, (64, 64), seed=2)
    fine, coarse = made.scale[:, 16, 16], made.scale[:, 0, 1]
    assert torch.equal(fine[:3], fine[:1].expand(3))
    assert float(fine[3] / fine[0]) < 0.1
    torch.testing.assert_close(coarse[3], coarse[0], rtol=0.02, atol=0)
    # A Gaussian blur of space, written as a product of frequencies.
    impulse = torch.zeros(64, 64)
    impulse[0, 0] = 1
    ratio = made.scale[3] / made.scale[0]
    blurred = torch.fft.irfft2(torch.fft.rfft2(impulse) * ratio, (64, 64))
    sd = OUTLINE * 64
    expected = np.exp(-(np.fft.fftfreq(64, 1 / 64) ** 2) / (2 * sd**2))
    expected /= expected.sum()
    np.testing.assert_allclose(blurred.sum(0).numpy(), expected, atol=0.01)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_picture_that_covers_less_has_more_of_the_objective(sign: int) -> None:
    network = models.load("squeezenet1_1", "random")
    target = sign * Channel("features.0", 3)
    slopes = through(network, target, (OverNoise(),), precision="float32")
    pictures = torch.rand(2, 4, 32, 32, generator=generator(2))
    values, slope = slopes(pictures, 0)
    bare = through(network, target, precision="float32", waking=0)
    blended = OverNoise()(pictures, generator(0, 0))
    plain, plain_slope = bare(blended, 0)
    clear = 1 - plain.sign() * pictures[:, 3].mean((1, 2))
    assert (values < plain).all()
    torch.testing.assert_close(values, plain * clear)
    torch.testing.assert_close(
        slope[:, :3],
        plain_slope * pictures[:, 3:] * clear[:, None, None, None],
        atol=1e-9,
        rtol=1e-4,
    )
    # Of how opaque a place is: through the blend, and as a share of all places.
    nothing = torch.cat([pictures[:, :3], torch.zeros(2, 1, 32, 32)], 1)
    behind = OverNoise()(nothing, generator(0, 0))
    through_blend = (plain_slope * (pictures[:, :3] - behind)).sum(1) * clear[:, None, None]
    torch.testing.assert_close(
        slope[:, 3], through_blend - plain.abs()[:, None, None] / 32**2, atol=1e-9, rtol=1e-4
    )


def test_laplacian_is_a_sum_of_enlarged_levels() -> None:
    made = Laplacian(1, (16, 20), sd=2.0)
    assert [tuple(p.shape) for p in made.parameters] == [
        (1, 3, 16, 20),
        (1, 3, 8, 10),
        (1, 3, 4, 5),
    ]
    with torch.no_grad():
        for level in made.parameters:
            level.zero_()
        made.parameters[2][0, :, 1, 2] = torch.tensor([1.0, 2.0, 3.0])
        made.parameters[0][0, 0, 0, 0] = 5.0
    found = made().detach()[0].double().numpy()
    # Four times as large: between two pixels' middles the weight falls on a line.
    down, across = (
        np.clip(1 - np.abs((np.arange(n) + 0.5) / 4 - 0.5 - at), 0, None)
        for n, at in ((16, 1), (20, 2))
    )
    spot = np.outer(down, across)
    decorrelated = np.stack([spot, 2 * spot, 3 * spot])
    decorrelated[0, 0, 0] += 5
    np.testing.assert_allclose(found, plain_colours(decorrelated), atol=1e-6)


def test_pixels_are_copied_and_clipped() -> None:
    given = torch.rand(2, 3, 4, 5, generator=generator(0))
    made = Pixels(given)
    assert torch.equal(made(), given)
    with torch.no_grad():
        made.parameters[0].add_(0.5)
    made.bound()
    torch.testing.assert_close(made().detach(), (given + 0.5).clamp(max=1))
    assert float(given.max()) < 1


def test_in_colour_matches_numpy_and_keeps_grey_grey() -> None:
    decorrelated = torch.randn(2, 3, 5, 4, generator=generator(0)) * 3
    for k in range(2):
        expected = plain_colours(decorrelated[k].double().numpy())
        np.testing.assert_allclose(in_colour(decorrelated)[k].numpy(), expected, atol=1e-6)
    assert bool((in_colour(torch.zeros(1, 3, 2, 2)) == 0.5).all())


def test_noise_depends_on_its_number_alone() -> None:
    many = noise(5, (3, 4), 7, False, "cpu")
    assert torch.equal(noise(2, (3, 4), 7, False, "cpu"), many[:2])
    assert torch.equal(noise(2, (3, 4), 7, True, "cpu"), many[[0, 0]])
    assert not torch.equal(noise(5, (3, 4), 7, False, "cpu", 1), many)


def spectrum_of(pictures: Tensor) -> Tensor:
    """Give the amplitudes of pictures, in decorrelated colours."""
    mixing = COLOURS / COLOURS.norm(dim=0).max()
    logits = torch.logit(pictures.double())
    colours = torch.einsum("cd,ndhw->nchw", torch.linalg.inv(mixing.double()), logits)
    return torch.fft.rfft2(colours, norm="ortho").abs()


@pytest.mark.parametrize("size", [(32, 32), (24, 33)])
def test_maco_changes_no_amplitude(size: tuple[int, int]) -> None:
    made = Maco(1, size, seed=1)
    optimiser = torch.optim.NAdam(made.parameters, lr=1.0)

    def bright_at_the_left(pictures: Tensor, step: int) -> tuple[Tensor, Tensor]:
        weight = torch.linspace(1, -1, size[1]).expand_as(pictures)
        return (pictures * weight).flatten(1).mean(1), weight / weight[0].numel()

    before = made().detach()
    history = optimise(made, bright_at_the_left, optimiser, 20)
    assert float(history[-1]) > float(history[0]) + 0.05
    after = made().detach()
    assert float((after - before).abs().mean()) > 0.1
    expected = amplitudes(size).double()
    for pictures in (before, after):
        found = spectrum_of(pictures)[0]
        # Frequencies that are their own mirror image keep the real part of theirs alone.
        inner = found[:, 1 : size[0] // 2, 1 : size[1] // 2]
        torch.testing.assert_close(
            inner, expected[:, 1 : size[0] // 2, 1 : size[1] // 2], rtol=1e-2, atol=1e-3
        )
        assert bool((found <= expected * 1.01 + 1e-3).all())


def test_amplitudes_follow_the_fit_and_go_on_beyond_it() -> None:
    size = (40, 60)
    found = amplitudes(size)
    for colour, u, v in [(0, 3, 0), (1, 0, 5), (2, 7, 9), (0, 33, 4)]:
        fy, fx = (u if u <= 20 else u - 40) / 40, v / 60
        f, angle = np.hypot(fy, fx), np.arctan2(fy, fx)
        power = sum(
            float(SPECTRUM[colour, i, k]) * np.log(f) ** i * np.cos(2 * k * angle)
            for i in range(3)
            for k in range(3)
        )
        assert float(found[colour, u, v]) == pytest.approx(np.exp(power / 2), rel=1e-4)
    assert bool((found[:, 0, 0] == 0).all())
    large = amplitudes((2000, 2000))
    assert bool((large[:, 1:40, 0].diff(dim=1) < 0).all())  # slower waves are stronger, at any size
    assert bool((large[:, 0, 1:40].diff(dim=1) < 0).all())


def test_pictures_of_random_phases_vary_as_photographs_do() -> None:
    for side in (96, 224, 512):
        contrast = float(Maco(1, (side, side))().detach().std())
        assert 0.15 < contrast < 0.3
