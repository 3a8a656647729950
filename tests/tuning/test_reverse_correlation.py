"""Receptive fields by reverse correlation: known kernels are found again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from probe import models
from probe.errors import ProbeError
from probe.models import Network, Preprocessing
from probe.tuning.reverse_correlation import measure_maps, receptive_fields
from probe.tuning.units import layer_units

SIDE = 48


def network_of(module: nn.Module) -> Network:
    return Network.from_module(module.eval(), preprocessing=Preprocessing("whole", (SIDE, SIDE)))


def correlations(maps: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    return np.array(
        [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(maps, kernels, strict=True)]
    )


def in_pixels(network: Network, weight: Tensor) -> np.ndarray:
    """Kernels with respect to grey levels from 0 to 1, before the network's normalisation."""
    sd = torch.tensor(network.preprocessing.std).view(3, 1, 1)
    return (weight.detach() / sd).numpy()


def test_least_squares_give_the_kernels_of_rectified_linear_units_exactly():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 5, 7, stride=2, bias=False), nn.ReLU())
    network = network_of(module)
    with torch.no_grad():  # mid-grey is what the kernels are blind to: no constant is left
        module[0].weight -= module[0].weight.mean((2, 3), keepdim=True)
    mapped = receptive_fields(layer_units(network, "0"), pairs=600)
    (maps,) = mapped.maps
    assert maps.maps.shape == (5, 3, 7, 7)
    assert maps.check == 1
    # It responds to one of noise and negative: half the slope.
    kernels = in_pixels(network, module[0].weight)
    np.testing.assert_allclose(2 * maps.maps, kernels, rtol=0, atol=1e-3)
    # The unit in the middle of 21 × 21: pixel 20 is its first.
    assert maps.start == (20, 20)
    np.testing.assert_allclose(mapped.table["map_reliability"], 1, atol=1e-4)


def test_the_average_comes_closer_with_more_noise():
    torch.manual_seed(1)
    module = nn.Conv2d(3, 6, 9)
    network = network_of(nn.Sequential(module))
    units, kernels = layer_units(network, "0"), in_pixels(network, module.weight)
    few, more = (
        correlations(receptive_fields(units, pairs=n).maps[0].maps, kernels).mean()
        for n in (100, 400)
    )
    # Of n pairs and d values, 1 / √(1 + d/n), where each value is a small part of the response.
    assert few == pytest.approx(1 / np.sqrt(1 + 243 / 100), abs=0.08)
    assert more == pytest.approx(1 / np.sqrt(1 + 243 / 400), abs=0.06)


class Energy(nn.Module):
    """Complex cells: squares of two kernels in quadrature, summed."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = nn.Conv2d(3, 2, 9, bias=False)
        along = torch.arange(9) - 4.0
        envelope = torch.exp(-(along**2) / 8)
        waves = torch.stack([torch.cos(along), torch.sin(along)]) * envelope
        kernel = waves[:, None, None, :] * envelope[None, None, :, None]
        with torch.no_grad():
            kernel -= kernel.mean((2, 3), keepdim=True)  # blind to plain grey
            self.pair.weight.copy_(kernel.expand(2, 3, 9, 9))
        self.out = nn.Conv2d(2, 1, 1, bias=False)
        nn.init.ones_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.pair(x) ** 2)


def test_a_complex_cell_has_no_map():
    network = network_of(Energy())
    mapped = receptive_fields(layer_units(network, "out"), pairs=1000)
    (first,) = receptive_fields(layer_units(network, "pair"), pairs=1000).table["map_reliability"][
        :1
    ]
    assert first > 0.85
    assert abs(mapped.table["map_reliability"][0]) < 0.2


def test_the_size_of_a_field_is_that_of_a_square():
    rng = np.random.default_rng(0)
    maps = np.zeros((2, 3, 20, 20))
    maps[0, :, 4:10, 7:13] = rng.standard_normal((3, 6, 6))
    maps[0, :, 4:10, 7:13] /= np.abs(maps[0, :, 4:10, 7:13])  # ±1: evenly filled
    y, x = np.mgrid[:20, :20]
    maps[1] = np.exp(-((y - 9) ** 2 + (x - 11) ** 2) / (2 * 2.0**2))
    noise = 1e-3 * rng.standard_normal((2, *maps.shape))
    reliability, (row, column), size = measure_maps(maps + noise[0], maps + noise[1])
    assert (reliability > 0.99).all()
    np.testing.assert_allclose(row, [6.5, 9], atol=0.05)
    np.testing.assert_allclose(column, [9.5, 11], atol=0.05)
    # The energy of a Gaussian has an SD of 2 / √2; a check itself has a variance of 1/12.
    np.testing.assert_allclose(size, [6, np.sqrt(12 * 2 + 1)], rtol=0.01)


def test_maps_of_noise_alone_have_no_size():
    first, second = np.random.default_rng(0).standard_normal((2, 40, 3, 12, 12))
    reliability, _, size = measure_maps(first, second)
    assert np.abs(reliability).max() < 0.25
    assert np.isnan(size[reliability < 0.1]).all()


def test_windows_at_the_border_and_larger_than_the_picture():
    torch.manual_seed(2)
    module = nn.Sequential(nn.Conv2d(3, 4, 5, padding=2), nn.Flatten(), nn.Linear(4 * SIDE**2, 3))
    units = layer_units(network_of(module), "0,2")
    mapped = receptive_fields(units, pairs=40, checks=8)
    small, whole = mapped.maps
    assert small.maps.shape == (4, 3, 5, 5)
    assert whole.maps.shape == (3, 3, 8, 8)
    assert (whole.check, whole.start) == (6, (0, 0))


def test_maps_are_drawn_and_written(tmp_path):
    torch.manual_seed(3)
    module = nn.Sequential(nn.Conv2d(3, 9, 5), nn.ReLU(), nn.Conv2d(9, 3, 5))
    mapped = receptive_fields(layer_units(network_of(module), "0,2"), pairs=50)
    figure = mapped.plot()
    assert len(figure.axes) == 2 * 8
    labels = [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()]
    assert [label.split("\n")[1] for label in labels] == ["window 5 px", "window 9 px"]
    assert mapped.save(tmp_path / "fields.csv").read_text().startswith("unit,layer,alias,channel")


def test_too_few_pairs_are_refused():
    network = network_of(nn.Sequential(nn.Conv2d(3, 2, 3)))
    with pytest.raises(ProbeError, match="pairs 2: expected 4 or more"):
        receptive_fields(layer_units(network, "0"), pairs=2)


@pytest.mark.slow
def test_alexnet_s_first_layer_is_mapped_and_deeper_fields_stay_in_their_windows(alexnet):
    units = layer_units(alexnet, "features.0")
    mapped = receptive_fields(units)
    kernels = in_pixels(alexnet, alexnet.module.features[0].weight)
    responds = mapped.table["map_reliability"].notna().to_numpy()
    assert responds.sum() >= 60
    r = correlations(mapped.maps[0].maps[responds], kernels[responds])
    assert np.median(r) > 0.999
    assert np.quantile(r, 0.05) > 0.9
    deeper = layer_units(alexnet, "features.3")
    table = receptive_fields(deeper).table
    assert (table["field_share"].dropna() < 1.1).all()
    assert models.measures(alexnet).fields["features.3"].size == (51, 51)
