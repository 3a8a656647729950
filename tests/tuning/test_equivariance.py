"""Equivariance where a closed form says so, and invariance where pooling makes it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from probe import images
from probe.errors import ProbeError
from probe.models import Network, Preprocessing, ReceptiveField, load
from probe.stimuli import StimulusSet
from probe.tuning import Invariance, Transform, invariance
from probe.tuning import settings as settings_of_invariance
from probe.tuning.equivariance import (
    TRANSFORMS,
    correlation,
    equivariance_error,
    in_input,
    moved_picture,
    zoom,
)

pytestmark = pytest.mark.usefixtures("_coarse_pngs")

SIZE = (48, 64)
ONE = np.ones(2)


def network_of(*parts: nn.Module, size: tuple[int, int] = SIZE) -> Network:
    module = nn.Sequential(*parts)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw))
    return Network.from_module(module, preprocessing=Preprocessing("resize", size))


def noise(n: int = 2, size: tuple[int, int] = SIZE) -> StimulusSet:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (n, *size, 3), dtype=np.uint8)
    return StimulusSet([f"noise{k}" for k in range(n)], list(pixels), "noise")


def errors(found: Invariance, layer: str = "0") -> dict[float, float]:
    rows = found.table[found.table["layer"] == layer]
    return dict(zip(rows["amount"], rows["error"], strict=True))


class TestEquivariance:
    @pytest.mark.parametrize(
        "padding", [{}, {"padding": 2}, {"padding": 2, "padding_mode": "circular"}]
    )
    def test_a_convolution_is_equivariant_under_whole_steps(self, padding: dict) -> None:
        network = network_of(nn.Conv2d(3, 4, 5, **padding))
        steps = Transform("translation", (-3, 0, 1, 2, 7, 20))
        found = invariance(network, noise(), "0", transforms=[steps])
        assert max(errors(found).values()) < 1e-6
        # The positions that see no border, before and after: 44 rows, 60 − |step| columns.
        rows = found.table.set_index("amount")["n_units"]
        assert rows.to_dict() == {a: 44 * (60 - abs(a)) for a in steps.amounts}

    def test_a_stride_of_two_is_equivariant_under_even_steps_only(self) -> None:
        network = network_of(nn.Conv2d(3, 4, 5, stride=2, padding=1))
        steps = Transform("translation", tuple(range(7)))
        found = errors(invariance(network, noise(), "0", transforms=[steps]))
        assert all(found[step] < 1e-6 for step in (0, 2, 4, 6))
        assert all(found[step] > 0.3 for step in (1, 3, 5))

    def test_pools_and_deeper_layers_by_their_jump(self) -> None:
        network = network_of(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, 2, 1)
        )
        steps = Transform("translation", (1, 2, 4))
        found = invariance(network, noise(), "2,3", transforms=[steps])
        assert errors(found, "2")[2] < 1e-6
        assert errors(found, "3")[4] < 1e-6
        assert min(errors(found, "2")[1], errors(found, "3")[2]) > 0.1

    def test_a_round_kernel_is_equivariant_under_right_angles(self) -> None:
        network = network_of(nn.Conv2d(3, 2, 5, padding=2, bias=False), size=(41, 41))
        turned = Transform("rotation", (0, 90, 180))
        stimuli = noise(size=(41, 41))
        assert errors(invariance(network, stimuli, "0", transforms=[turned]))[90] > 0.3
        y, x = torch.meshgrid(torch.arange(-2, 3), torch.arange(-2, 3), indexing="ij")
        with torch.no_grad():
            network.module[0].weight.copy_((-(x**2 + y**2) / 2).exp().expand(2, 3, 5, 5))
        found = errors(invariance(network, stimuli, "0", transforms=[turned]))
        assert max(found.values()) < 1e-6

    @settings(max_examples=25)
    @given(
        st.integers(1, 5),
        st.integers(1, 4),
        st.integers(0, 2),
        st.integers(-9, 9),
        st.integers(-9, 9),
    )
    def test_any_convolution_under_multiples_of_its_stride(
        self, kernel: int, stride: int, padding: int, down: int, across: int
    ) -> None:
        padding = min(padding, kernel // 2)
        conv = network_of(nn.Conv2d(3, 2, kernel, stride, padding)).module[0]
        draw = torch.Generator().manual_seed(1)
        whole = torch.randn(1, 3, 80, 96, generator=draw)
        shift = (stride * (down // stride), stride * (across // stride))
        moved, still = (
            conv(whole[:, :, 16 - y : 64 - y, 16 - x : 80 - x]) for y, x in (shift, (0, 0))
        )
        field = ReceptiveField((kernel,) * 2, (float(stride),) * 2, (-padding,) * 2)
        affine = torch.tensor([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])[None]
        error, n_units = equivariance_error(moved, still, field, affine, SIZE)
        assert float(error.detach()) < 1e-6
        assert int(n_units) >= (48 - kernel - 18) * (64 - kernel - 18) // stride**2 // 2

    def test_too_few_units_within_the_picture(self) -> None:
        network = network_of(nn.Conv2d(3, 2, 47))
        found = invariance(network, noise(), "0", transforms=["translation"]).table
        table = found.set_index("amount")
        assert table.loc[0, "error"] < 1e-12
        # Two rows and eighteen columns, less the step.
        assert table.loc[12, "n_units"] == 2 * 6
        assert np.isnan(table.loc[24, "error"])
        assert table.loc[24, "n_units"] == 0
        assert np.isfinite(table.loc[:48, "correlation"]).all()
        assert np.isnan(table.loc[64, "correlation"])  # nothing but grey is left

    def test_layers_that_are_no_map_have_no_error(self) -> None:
        network = network_of(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        found = invariance(network, noise(), "all", transforms=["scale"]).table
        assert found.loc[found["layer"] != "0", "error"].isna().all()
        assert found.loc[found["layer"] == "0", "error"].notna().any()


class TestInvariance:
    def test_the_mean_over_positions_after_circular_convolutions(self) -> None:
        # Moved on its grey ground, a picture in the middle goes round without being cut.
        network = network_of(
            nn.Conv2d(3, 6, 5, padding=2, padding_mode="circular"),
            nn.ReLU(),
            nn.Conv2d(6, 8, 3, padding=1, padding_mode="circular"),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
        )
        picture = np.full((*SIZE, 3), images.GREY, np.uint8)
        picture[16:32, 24:40] = noise(1, (16, 16)).image(0)
        stimuli = StimulusSet(["patch"], [picture], "patch")
        steps = Transform("translation", (1, 2, 5, 11, 24))
        found = invariance(network, stimuli, "3,4", transforms=[steps]).table
        pooled = found[found["layer"] == "4"]["correlation"]
        np.testing.assert_allclose(pooled, 1.0, atol=1e-6)
        before = found[(found["layer"] == "3") & (found["amount"] == 24)]["correlation"]
        assert before.item() < 0.2

    @pytest.mark.parametrize("name", list(TRANSFORMS))
    def test_nothing_changes_where_nothing_moves(self, name: str) -> None:
        network = load("squeezenet1_1", "random")
        still = Transform(name, (TRANSFORMS[name].still,))
        layers = "features.0,features.2,features.12,classifier.3"
        found = invariance(network, layers=layers, transforms=[still]).table
        np.testing.assert_allclose(found["correlation"], 1.0, atol=1e-12)
        assert found["error"].notna().sum() == 2  # of the others, no window is within the picture
        assert found["error"].max() < 1e-12
        assert found["n_images"].eq(8).all()

    @given(st.integers(0, 2**32 - 1), st.floats(0.1, 10), st.floats(-5, 5))
    def test_correlation_is_numpys(self, seed: int, slope: float, shift: float) -> None:
        draw = torch.Generator().manual_seed(seed)
        a = torch.randn(3, 4, 5, generator=draw, dtype=torch.float64)
        b = torch.randn(3, 4, 5, generator=draw, dtype=torch.float64)
        expected = [np.corrcoef(x.flatten(), y.flatten())[0, 1] for x, y in zip(a, b, strict=True)]
        np.testing.assert_allclose(correlation(a, b), expected, atol=1e-12)
        np.testing.assert_allclose(correlation(slope * a + shift, a), 1.0, atol=1e-9)

    def test_tolerance_is_where_the_curve_falls_to_one_half(self) -> None:
        network = network_of(nn.Conv2d(3, 2, 3))
        found = invariance(network, noise(), "0", transforms=["translation", "scale"])
        table = found.table.copy()
        moved = table["transform"] == "translation"
        table.loc[moved, "correlation"] = 1 - table.loc[moved, "amount"] / 10
        octaves = np.log2(table.loc[~moved, "amount"])
        table.loc[~moved, "correlation"] = np.where(octaves < 0, 1 + octaves / 1.5, 1.0)
        summary = Invariance(table, found.about).summary
        assert summary["tolerates_translation"].item() == pytest.approx(5.0)
        assert summary["tolerates_scale"].item() == pytest.approx(0.75)
        table["correlation"] = 1.0
        assert Invariance(table, found.about).summary["tolerates_scale"].item() == np.inf


class TestPictures:
    @pytest.mark.parametrize("name", list(TRANSFORMS))
    def test_the_identity_changes_no_pixel(self, name: str) -> None:
        transform, picture = TRANSFORMS[name], noise().image(0)
        moved = moved_picture(picture, transform.affine(transform.still), ONE)
        assert np.array_equal(moved, picture)

    def test_whole_steps_and_right_angles_move_pixels(self) -> None:
        picture = noise(size=(40, 40)).image(0)
        pixels = np.asarray(picture)
        right = moved_picture(picture, TRANSFORMS["translation"].affine(7), ONE)
        assert np.array_equal(np.asarray(right)[:, 7:], pixels[:, :-7])
        assert (np.asarray(right)[:, :7] == images.GREY).all()
        turned = moved_picture(picture, TRANSFORMS["rotation"].affine(90), ONE)
        assert np.array_equal(turned, np.rot90(pixels))  # anticlockwise

    def test_scale_is_about_the_centre(self) -> None:
        picture = Image.new("RGB", (64, 48), (images.GREY,) * 3)
        picture.paste((255, 255, 255), (28, 20, 36, 28))
        for factor in (0.5, 2.0):
            pixels = np.asarray(moved_picture(picture, TRANSFORMS["scale"].affine(factor), ONE))
            bright = pixels[..., 0] > 190
            assert abs(bright.sum() - 64 * factor**2) <= 8 * factor
            rows, columns = np.nonzero(bright)
            assert (rows.mean(), columns.mean()) == (23.5, 31.5)

    def test_pixels_of_a_picture_and_of_what_the_network_sees(self) -> None:
        # A picture twice as large: moved by two of its pixels for each that the network sees.
        network = network_of(nn.Conv2d(3, 2, 3))
        picture = noise(size=(96, 128)).image(0)
        factor = np.array(zoom(network.preprocessing, picture))
        assert factor.tolist() == [0.5, 0.5]
        moved = moved_picture(picture, TRANSFORMS["translation"].affine(3), factor)
        assert np.array_equal(np.asarray(moved)[:, 6:], np.asarray(picture)[:, :-6])
        crop = Preprocessing("torchvision", 256, (224, 224))
        assert zoom(crop, picture) == (256 / 96, 256 / 96)
        # Squeezed to half its width, a quarter turn takes a step across to two down.
        turned = in_input(TRANSFORMS["rotation"].affine(90), np.array([1.0, 0.5]))
        np.testing.assert_allclose(turned[:, :2] @ [0, 1], [-2, 0], atol=1e-12)


class TestResult:
    def test_files(self, tmp_path) -> None:
        found = invariance(network_of(nn.Conv2d(3, 2, 3)), noise(), "0", transforms=["scale"])
        with Image.open(found.save(tmp_path / "a.png")) as opened:
            about = json.loads(opened.text["probe"])
        assert about["layers"] == ["0"]
        assert about["n_images"] == 2
        lines = found.save(tmp_path / "new" / "a.csv").read_text().splitlines()
        assert len(lines) == 1 + len(TRANSFORMS["scale"].amounts)
        assert json.loads(json.dumps(found.to_dict()))["table"][0]["layer"] == "0"
        assert found._repr_html_().startswith('<img src="data:image/png;base64,')
        assert repr(found) == "<Invariance Sequential · noise, 2 pictures>"
        with pytest.raises(ProbeError, match=r"'a\.jpg' .*\.png, .*\.csv"):
            found.save("a.jpg")

    def test_default_layers(self) -> None:
        network = load("resnet18", "random")
        still = Transform("scale", (1.0,))
        table = invariance(network, noise(1, (32, 32)), transforms=[still]).table
        blocks = [f"layer{i}.{j}" for i in range(1, 5) for j in range(2)]
        assert list(table["layer"]) == ["conv1", "maxpool", *blocks, "avgpool", "fc"]

    def test_the_network_is_left_as_it_was(self) -> None:
        network = network_of(nn.Conv2d(3, 2, 3), nn.Dropout())
        network.module.train()
        state = torch.get_rng_state()
        invariance(network, noise(), "0", transforms=["translation"])
        assert network.module.training
        assert network.module[0].weight.requires_grad
        assert not network.module[0]._forward_hooks
        assert torch.equal(torch.get_rng_state(), state)

    @pytest.mark.parametrize(
        ("how", "message"),
        [
            (
                {"transforms": ["rotate"]},
                r"transform 'rotate': expected one of .*; did you mean 'rotation'",
            ),
            ({"transforms": []}, "no transform was named"),
            ({"transforms": [Transform("scale", (0.0, 1.0))]}, "expected finite numbers"),
            ({"layers": "conv9"}, "no layer 'conv9'"),
            ({"images": "nowhere"}, "nowhere"),
        ],
    )
    def test_bad_input(self, how: dict, message: str) -> None:
        with pytest.raises(ProbeError, match=message):
            invariance("alexnet", weights="random", **how)


def test_alexnet_with_its_weights(alexnet: Network) -> None:
    steps = Transform("translation", (0, 2, 16))
    found = invariance(alexnet, layers="conv1,conv3,pool5", transforms=[steps])
    # conv1 jumps by 4 pixels, conv3 by 16; between, the stride is seen.
    assert errors(found, "features.0")[16] < 1e-5
    assert errors(found, "features.6")[16] < 1e-5
    assert errors(found, "features.0")[2] > 0.2
    table = found.table.set_index(["layer", "amount"])["correlation"]
    assert table["features.0", 16] < table["features.6", 16] < table["features.12", 16]


def test_settings_know_the_names_of_all_transforms():
    assert tuple(TRANSFORMS) == settings_of_invariance.TRANSFORMS
