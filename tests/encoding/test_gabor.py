from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from probe import models, recordings
from probe.activations import Extraction, extract
from probe.encoding.gabor import CELLS, FREQUENCIES, N_CHANNELS, ORIENTATIONS, GaborBank
from probe.encoding.gabor import gabor_network as build_network
from probe.errors import ProbeError
from probe.models import Network
from probe.stimuli.gratings import coordinates, grating, noise

SIZE = 224
CENTRE = slice(CELLS // 2 - 1, CELLS // 2 + 1)


@pytest.fixture(scope="module")
def bank() -> GaborBank:
    return GaborBank()


@pytest.fixture(scope="module")
def network() -> Network:
    return build_network()


def shown(*contrasts: np.ndarray) -> Tensor:
    """Contrasts in [−1, 1], (size, size) each, as grey pictures (n, 3, size, size) in 0 to 1."""
    values = torch.from_numpy(0.5 + 0.5 * np.stack(contrasts)).float()
    return values[:, None].expand(-1, 3, -1, -1)


def maps(bank: nn.Module, *contrasts: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return bank(shown(*contrasts)).numpy()


def test_shape_type_and_units(bank: GaborBank) -> None:
    responses = maps(bank, *np.zeros((3, SIZE, SIZE)))
    assert responses.shape == (3, N_CHANNELS, CELLS, CELLS) == (3, 41, 28, 28)
    assert responses.dtype == np.float32
    assert bank.units == tuple((f, o) for f in FREQUENCIES for o in ORIENTATIONS)
    assert not list(bank.parameters())


def test_matched_grating_drives_its_own_unit_most_with_amplitude_of_its_contrast(
    bank: GaborBank,
) -> None:
    phases = np.linspace(0.0, 360.0, len(bank.units), endpoint=False)
    gratings = [grating(o, f, p) for (f, o), p in zip(bank.units, phases, strict=True)]
    responses = maps(bank, *gratings)[:, :-1, CENTRE, CENTRE]
    at_centre = responses.mean(axis=(2, 3))
    np.testing.assert_array_equal(at_centre.argmax(axis=1), np.arange(len(bank.units)))
    # |1 − κ² exp(2iφ)|, κ² = .0011; the coarsest also see a little of the grey around the picture.
    np.testing.assert_allclose(np.diagonal(at_centre)[8:], 1.0, atol=0.0012)
    np.testing.assert_allclose(np.diagonal(at_centre)[:8], 1.0, atol=0.003)
    faint = maps(bank, *(0.1 * g for g in gratings[::9]))[:, :-1, CENTRE, CENTRE]
    np.testing.assert_allclose(faint, 0.1 * responses[::9], atol=1e-5)


def test_amplitude_at_another_frequency_is_the_transfer_function(bank: GaborBank) -> None:
    """Against a Gabor that is written out pixel by pixel, at the centre of a cell."""
    frequency, orientation = bank.units[13]
    off = maps(bank, grating(orientation + 10.0, 1.3 * frequency))[0, 13, 13, 13]
    x, y = coordinates(SIZE)
    x, y = x - (13.5 / 28 - 0.5), y + (13.5 / 28 - 0.5)
    half = (2**1.4 - 1) / (2**1.4 + 1)
    s = half * frequency / np.sqrt(2 * np.log(2))
    sigma = 1 / (2 * np.pi * s)
    kappa = np.exp(-(frequency**2) / (2 * s**2))
    envelope = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    turn = np.radians(orientation)
    wave = np.exp(2j * np.pi * frequency * (x * np.cos(turn) + y * np.sin(turn)))
    gabor = 2 / (1 - kappa**2) * envelope * (wave - kappa) / envelope.sum()
    assert abs(gabor.sum()) < 1e-6
    assert off == pytest.approx(
        abs((gabor * grating(orientation + 10.0, 1.3 * frequency)).sum()), rel=0.01
    )
    assert 0.3 < off < 0.9


def test_half_the_amplitude_passes_at_the_ends_of_the_band(bank: GaborBank) -> None:
    # Where κ matters little: above the centre.
    unit = bank.units.index((12.0, 0.0))
    upper = 12.0 * 2 * 2**1.4 / (2**1.4 + 1)
    response = maps(bank, grating(0.0, upper))[0, unit, CENTRE, CENTRE]
    np.testing.assert_allclose(response, 0.5, atol=0.01)


def test_amplitude_does_not_depend_on_phase(bank: GaborBank) -> None:
    for unit in range(0, 40, 3):
        frequency, orientation = bank.units[unit]
        gratings = [grating(orientation, frequency, p) for p in (0.0, 40.0, 90.0, 135.0, 250.0)]
        responses = maps(bank, *gratings)[:, unit, CENTRE, CENTRE]
        np.testing.assert_allclose(responses, responses[:1].repeat(5, axis=0), rtol=0.02)


def test_uniform_picture_drives_luminance_alone(bank: GaborBank) -> None:
    responses = maps(bank, *(np.full((SIZE, SIZE), c) for c in (0.0, 0.6, -1.0)))
    np.testing.assert_allclose(responses[0], 0.0, atol=1e-6)  # mid-grey, up to its border
    np.testing.assert_allclose(responses[1:, :-1, CENTRE, CENTRE], 0.0, atol=2e-3)
    # The picture is 8.8 standard deviations of the blur wide.
    np.testing.assert_allclose(responses[1, -1, CENTRE, CENTRE], 0.6, atol=1e-3)
    np.testing.assert_allclose(responses[2, -1, CENTRE, CENTRE], -1.0, atol=1e-3)
    # At the border half of what it sees is the grey around it.
    np.testing.assert_allclose(responses[2, -1, 14, [0, -1]], -0.5, atol=0.1)


def test_polarity_does_not_matter_to_amplitudes(bank: GaborBank) -> None:
    texture = noise(np.random.default_rng(1))
    dark, light = maps(bank, texture, -texture)
    np.testing.assert_allclose(dark[:-1], light[:-1], atol=1e-5)
    np.testing.assert_allclose(dark[-1], -light[-1], atol=1e-5)


def test_map_moves_with_the_picture(bank: GaborBank) -> None:
    x, y = coordinates(SIZE)
    patch = noise(np.random.default_rng(2)) * np.exp(-(x**2 + y**2) / (2 * 0.06**2))
    cell = SIZE // CELLS
    still, moved = maps(bank, patch, np.roll(patch, (cell, -2 * cell), axis=(0, 1)))
    np.testing.assert_allclose(moved[:, 1:, :-2], still[:, :-1, 2:], atol=1e-4)
    assert still[:-1].max() > 0.1


def test_colours_count_as_in_luma(bank: GaborBank) -> None:
    contrast = grating(45.0, 12.0)
    grey = maps(bank, contrast)[0]
    red = torch.full((1, 3, SIZE, SIZE), 0.5)
    red[:, 0] = shown(contrast)[:, 0]
    with torch.inference_mode():
        coloured = bank(red)[0].numpy()
    np.testing.assert_allclose(coloured, 0.299 * grey, atol=1e-5)


@pytest.mark.parametrize("size", [140, 280])
def test_maps_of_other_sizes_agree(bank: GaborBank, size: int) -> None:
    pattern = (45.0, 12.0, 30.0)
    expected = maps(bank, grating(*pattern))[0]
    np.testing.assert_allclose(
        maps(GaborBank(size), grating(*pattern, size))[0], expected, atol=0.02
    )


def test_values_do_not_depend_on_the_batch_and_have_a_gradient(bank: GaborBank) -> None:
    pictures = shown(*(noise(np.random.default_rng(k)) for k in range(5))).contiguous()
    with torch.inference_mode():
        together = bank(pictures)
        apart = torch.cat([bank(picture[None]) for picture in pictures])
    torch.testing.assert_close(together, apart, atol=1e-6, rtol=0.0)
    grey = torch.full((1, 3, SIZE, SIZE), 0.5, requires_grad=True)
    bank(grey).sum().backward()
    assert grey.grad is not None
    assert bool(torch.isfinite(grey.grad).all())


@pytest.mark.parametrize("size", [112, 225])
def test_sizes_that_cannot_be_filtered_are_refused(size: int) -> None:
    with pytest.raises(ProbeError, match=rf"size {size}: expected a multiple of 28, 140 or more"):
        GaborBank(size)


def test_pictures_of_another_size_are_refused(bank: GaborBank) -> None:
    with pytest.raises(ProbeError, match=r"expected \(n, 3, 224, 224\)"):
        bank(torch.zeros(1, 3, 100, 100))


def test_network_has_one_layer_and_its_own_table(network: Network) -> None:
    (info,) = models.layers(network)
    assert (info.name, info.output_shape, info.n_parameters) == ("gabor", (41, 28, 28), 0)
    assert models.default_layers(network) == ["gabor"]
    assert list(models.describe(network)["layer"]) == ["gabor"]
    assert network.weights.kind == "none"
    assert network.weights.sha256 == build_network().weights.sha256


def test_extraction_is_kept(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path))
    stimuli = recordings.load("sim-v4").select(stimuli=range(20)).stimuli
    store = extract(network, stimuli, ["gabor"], progress=False)
    activations = store.array("gabor")
    assert activations.shape == (20, 41 * 28 * 28)
    picture = network.preprocessing(stimuli.image(5))
    with torch.inference_mode():
        expected = network.module(picture[None]).flatten(1).numpy()
    np.testing.assert_allclose(activations[5:6, :], expected, atol=1e-5)

    def refuse(*_: object) -> None:
        raise AssertionError("computed again")

    # Another network that is built alike is the same, and nothing is computed for it.
    monkeypatch.setattr(GaborBank, "forward", refuse)
    again = Extraction(build_network(), stimuli)
    assert again.path == store.path
    assert again.run(["gabor"], progress=False).path == store.path


def test_half_precision_does_not_reach_the_bank(network: Network) -> None:
    picture = shown(noise(np.random.default_rng(4)))
    with torch.inference_mode():
        expected = network.module(picture)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            responses = network.module(picture)
    torch.testing.assert_close(responses, expected, atol=0.0, rtol=0.0)
