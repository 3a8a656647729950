"""Responses to textures and to noise of their spectrum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from probe.errors import ProbeError
from probe.models import Network, Preprocessing
from probe.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from probe.stimuli import draw_texture
from probe.stimuli.textures import CONTRAST
from probe.tuning import textures
from probe.tuning.textures import read_textures, texture_samples, texture_side, texture_tuning
from probe.tuning.units import Units, layer_units

SIDE = 64
GREY = (0.5 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)


class Cells(nn.Module):
    """Simulated cells: one sees contrast, one sees that light is rare and strong."""

    def __init__(self) -> None:
        super().__init__()
        self.energy, self.peaks = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        off = x - GREY.view(3, 1, 1)
        energy = self.energy((off**2).mean((2, 3)))
        return self.peaks((off.relu() ** 3).mean((2, 3))) + energy


@pytest.fixture(scope="module")
def units() -> Units:
    preprocessing = Preprocessing("whole", (SIDE, SIDE))
    network = Network.from_module(Cells().eval(), preprocessing=preprocessing)
    return layer_units(network, "energy,peaks")


@pytest.fixture
def two_textures(monkeypatch) -> None:
    few = {name: textures.TEXTURES[name] for name in ("rings", "marble")}
    monkeypatch.setattr(textures, "TEXTURES", few)


def test_noise_has_the_energy_of_textures_and_not_their_peaks(units, two_textures):
    measured = texture_tuning(units, samples=1, shifts=12, steps=25)
    energy, _, _, peaks, _, _ = measured.table["texture_modulation"]
    assert abs(energy) < 0.05  # of the part that is seen
    assert peaks > 0.08
    assert measured.table["texture_dprime"][3] > 0
    assert list(measured.curves["texture"].columns) == ["rings", "marble"]
    assert measured.curves["texture"].loc["peaks:0"].mean() == pytest.approx(peaks)


def test_samples_are_kept_and_not_made_again(monkeypatch):
    source = {"pebbles": draw_texture("pebbles", 112, seed=5)}
    first = texture_samples(source, 1, steps=2, seed=9)["pebbles"]
    more = texture_samples(source, 2, steps=2, seed=9)["pebbles"]
    assert more[0].tobytes() == first[0].tobytes()
    assert not np.array_equal(more[0], more[1])

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("it is in the cache")

    monkeypatch.setattr(textures, "synthesise", fail)
    again = texture_samples(source, 2, steps=2, seed=9)["pebbles"]
    assert again.tobytes() == more.tobytes()
    with pytest.raises(AssertionError):  # another seed is another request
        texture_samples(source, 1, steps=2, seed=10)
    assert again.mean() == pytest.approx(0.5, abs=0.01)
    assert again.std() == pytest.approx(CONTRAST, rel=0.05)


def test_the_index_is_that_of_means(units):
    units = Units(units.network, units.table[:2], units.taps)
    means = np.array([[[3.0, 0.0], [1.0, 0.0]], [[2.0, 4.0], [2.0, 1.0]]])  # texture, kind, unit
    squares = means**2 + 0.25
    measured = textures._measured(units, ["a", "b"], means, squares)
    table = measured.table
    # The second unit responds to nothing in a.
    np.testing.assert_allclose(table["texture_modulation"], [(0.5 + 0.0) / 2, 0.6])
    np.testing.assert_allclose(table["texture_dprime"], [(4.0 + 0.0) / 2, (0.0 + 6.0) / 2])
    signed = Units(units.network, units.table, units.taps, rectified=False)
    measured = textures._measured(signed, ["a", "b"], means, squares)
    assert measured.table["texture_modulation"].isna().all()
    np.testing.assert_allclose(measured.curves["texture"].iloc[0], [4.0, 0.0])


def test_photographs_are_read_as_squares_of_one_contrast(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("bark", "moss"):
        pixels = rng.integers(40, 90, (80, 120, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    sources = read_textures(tmp_path, 112)
    assert [name.removesuffix(".png") for name in sources] == ["bark", "moss"]
    for source in sources.values():
        assert source.shape == (112, 112)
        assert source.std() == pytest.approx(CONTRAST, rel=0.02)
    Image.new("RGB", (100, 100), (9, 9, 9)).save(tmp_path / "night.png")
    with pytest.raises(ProbeError, match=r"night.*one grey level"):
        read_textures(tmp_path, 112)


@pytest.mark.parametrize(
    ("size", "side"), [((224, 224), 224), ((227, 227), 240), ((32, 32), 112), ((112, 160), 160)]
)
def test_textures_cover_the_picture(size, side):
    assert texture_side(size) == side


def test_numbers_that_are_too_small_are_refused(units):
    with pytest.raises(ProbeError, match="samples 0: expected 1 or more"):
        texture_tuning(units, samples=0)
