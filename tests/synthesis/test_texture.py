"""Synthesis of textures: other pixels, the same statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from probe import images
from probe.errors import ProbeError
from probe.stimuli import draw_texture
from probe.stimuli.textures import CONTRAST, TEXTURES
from probe.synthesis import TextureStatistics, synthesise_texture
from probe.synthesis.texture import grey_square, synthesise


@pytest.fixture(scope="module")
def pebbles() -> np.ndarray:
    return draw_texture("pebbles", 112)


@pytest.fixture(scope="module")
def sample(pebbles) -> tuple[np.ndarray, float]:
    return synthesise(pebbles, seed=3, steps=25)


def statistics(grey: np.ndarray) -> dict[str, torch.Tensor]:
    return dict(TextureStatistics((112, 112))(torch.from_numpy(grey)[None]))


def test_the_statistics_are_the_picture_s_and_the_pixels_are_not(pebbles, sample):
    grey, deviation = sample
    assert deviation < 0.02
    measured, expected = statistics(grey), statistics(pebbles)
    noise = statistics(np.random.default_rng(0).random((112, 112)).astype(np.float32))
    for name in ("magnitude_autocorrelation", "phase_correlation", "scale_correlation"):
        off, off_noise = (
            float((m[name] - expected[name]).square().mean().sqrt()) for m in (measured, noise)
        )
        assert off < 0.25 * off_noise, name
    for name in ("skewness", "kurtosis", "mean"):
        assert float(measured[name]) == pytest.approx(float(expected[name]), rel=0.1, abs=0.05)
    assert abs(np.corrcoef(grey.ravel(), pebbles.ravel())[0, 1]) < 0.25
    assert grey.min() >= 0
    assert grey.max() <= 1


def test_a_seed_gives_the_same_bytes_and_another_another_texture(pebbles):
    state = torch.get_rng_state()
    one, again = (synthesise(pebbles, seed=3, steps=4)[0] for _ in range(2))
    assert again.tobytes() == one.tobytes()
    assert torch.equal(torch.get_rng_state(), state)
    other, _ = synthesise(pebbles, seed=4, steps=3)
    assert abs(np.corrcoef(other.ravel(), again.ravel())[0, 1]) < 0.3


def test_a_texture_is_saved_with_how_it_was_made(pebbles, tmp_path):
    picture = np.repeat((255 * pebbles[..., None]).astype(np.uint8), 3, axis=-1)
    made = synthesise_texture(picture, 112, seed=1, steps=2)
    assert made.pixels.shape == (112, 112, 3)
    path = made.save(tmp_path / "made.png")
    about = images.about(path)
    assert about["seed"] == 1
    assert about["deviation"] == pytest.approx(made.deviation)


@pytest.mark.parametrize(
    ("size", "message"), [(100, "multiple of 16 px.*such as 112"), (96, "112"), (250, "256")]
)
def test_sizes_without_textures_are_refused(size, message):
    with pytest.raises(ProbeError, match=message):
        synthesise_texture(np.zeros((64, 64, 3), np.uint8), size)


def test_plain_grey_is_no_texture():
    with pytest.raises(ProbeError, match="one grey level"):
        synthesise_texture(np.full((128, 128, 3), 90, np.uint8), 112)


def test_the_middle_square_is_scaled_and_made_grey():
    pixels = np.zeros((100, 300, 3), np.float32)
    pixels[:, 100:200, 1] = 1.0
    grey = grey_square(pixels, 200)
    assert grey.shape == (200, 200)
    assert grey[:, 5:-5].mean() == pytest.approx(0.587, abs=1e-3)


@pytest.mark.parametrize("name", TEXTURES)
def test_drawn_textures_are_tiles_of_one_contrast(name):
    texture = draw_texture(name, 96)
    assert texture.mean() == pytest.approx(0.5, abs=0.02)
    assert texture.std() == pytest.approx(CONTRAST, rel=0.05)
    # Over the edges, neighbours are as alike as anywhere.
    for axis in (0, 1):
        steps = np.abs(np.diff(texture, axis=axis, append=texture.take([0], axis)))
        by_row = steps.mean(1 - axis)
        assert by_row[-1] <= 1.2 * by_row[:-1].max()
    assert not np.array_equal(texture, draw_texture(name, 96, seed=1))


def test_an_unknown_texture_is_refused():
    with pytest.raises(ProbeError, match="pebbles"):
        draw_texture("peble")
