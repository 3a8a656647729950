"""Superstimuli: within the budget of the stimuli, and judged by another network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import probe
from probe import images, recordings
from probe.encoding.halves import halves
from probe.errors import ProbeError
from probe.models import Network
from probe.stimuli import StimulusSet
from probe.synthesis.superstimulus import (
    ENOUGH_STIMULI,
    Budget,
    Superstimuli,
    _networks,
    superstimulus,
)

pytestmark = pytest.mark.usefixtures("_coarse_pngs")


@pytest.fixture(scope="module")
def squeezenet(load_trained: Callable[[str], Network]) -> Network:
    return load_trained("squeezenet1_1")


@pytest.fixture(scope="module")
def made(alexnet: Network, squeezenet: Network) -> Superstimuli:
    return superstimulus(
        ["site:sim-v4:3", "site:sim-v4:7"], alexnet, together_with=(),
        judge=squeezenet, layers="features.3",
        judge_layers="features.4", steps=6, precision="float32", progress=False,
    )  # fmt: skip


class TestBudget:
    @given(st.floats(0.3, 0.7), st.floats(0.02, 0.1), st.booleans(), st.integers(0, 99))
    def test_mean_and_contrast_are_those_of_the_budget(
        self, mean: float, contrast: float, colour: bool, seed: int
    ) -> None:
        draw = torch.Generator().manual_seed(seed)
        pictures = torch.rand(2, 3, 16, 20, generator=draw)
        mask = torch.rand(1, 1, 16, 20, generator=draw)
        mask[..., :4] = 0
        spent = Budget((16, 20), colour, mean, contrast).spend(pictures, mask)
        assert torch.allclose(spent[..., :4], torch.tensor(mean))
        if not colour:
            assert torch.equal(spent[:, 0], spent[:, 2])
        # What lies within the mask, before the mask fades it.
        shown = (spent - mean)[..., 4:] / mask[..., 4:]
        weights = mask[..., 4:].expand_as(shown)
        assert torch.allclose((shown * weights).sum((1, 2, 3)), torch.zeros(2), atol=1e-3)
        variance = (shown.square() * weights).sum((1, 2, 3)) / weights.sum((1, 2, 3))
        assert torch.allclose(variance.sqrt(), torch.tensor(contrast), atol=1e-3)

    def test_stimuli_tell_size_colour_mean_and_contrast(self) -> None:
        grey = np.full((40, 40, 3), 100, np.uint8)
        grey[:, 20:] = 200
        budget = Budget.of_stimuli(
            StimulusSet(["a", "b"], [grey, grey[:, ::-1].copy()], "two"), (224, 224)
        )
        assert budget.size == (40, 40)
        assert not budget.colour
        assert budget.mean == pytest.approx(150 / 255, abs=1e-6)
        assert budget.contrast == pytest.approx(50 / 255, abs=1e-6)
        red = grey.copy()
        red[..., 0] = 250
        larger = np.zeros((300, 300, 3), np.uint8)
        assert Budget.of_stimuli(StimulusSet(["a"], [red], "one"), (224, 224)).colour
        assert Budget.of_stimuli(StimulusSet(["a"], [larger], "one"), (224, 224)).size == (224, 224)


@pytest.mark.slow
class TestSuperstimulus:
    def test_stands_beside_recorded_stimuli_and_says_what_the_judge_predicts(
        self, made: Superstimuli
    ) -> None:
        assert list(made.table["picture"]) == [
            "superstimulus", "best recorded", "best for the judge",
        ] * 2  # fmt: skip
        assert np.isfinite(made.table[["made_for", "judged", "percentile"]]).all().all()
        assert made.table["percentile"].between(0, 100).all()
        of_super = made.table[made.table["picture"] == "superstimulus"]
        of_best = made.table[made.table["picture"] == "best recorded"]
        # Six steps are enough to go beyond any stimulus, for those that it is made for.
        assert (of_super["made_for"].to_numpy() > of_best["made_for"].to_numpy()).all()
        assert of_super["recorded"].isna().all()
        assert (of_best["recorded"] > 0).all()
        assert set(made.fits["role"]) == {"makes", "judges"}

    def test_judge_and_makers_were_fitted_to_different_halves(self, made: Superstimuli) -> None:
        first, second = halves(recordings.load("sim-v4"))
        assert not set(first) & set(second)
        assert len(first) + len(second) == 178
        of_maker, of_judge = made.about["site"], made.about["judges"]
        assert of_maker["site:sim-v4:3"]["n_stimuli"] == len(first)
        assert of_judge["site:sim-v4:3"]["n_stimuli"] == len(second)
        assert of_judge["site:sim-v4:3"]["model"] == "squeezenet1_1"

    def test_the_picture_keeps_to_the_budget(self, made: Superstimuli) -> None:
        budget = made.about["budget"]
        assert not budget["colour"]
        assert made.pictures.shape[1:] == (*budget["size"], 3)
        assert (made.pictures[..., 0] == made.pictures[..., 2]).all()
        contrast = made.pictures.reshape(2, -1).std(axis=1) / 255
        assert (contrast <= budget["contrast"] + 0.01).all()

    def test_says_that_the_recording_is_simulated(self, made: Superstimuli) -> None:
        assert "SIMULATED" in made.title
        assert "SIMULATED" in made.notes()[-1]
        assert "data:image/png" in made._repr_html_()

    def test_says_when_the_sites_were_fitted_to_few_stimuli(self, made: Superstimuli) -> None:
        assert any("Fitted to 89 stimuli, which are few" in note for note in made.notes())
        sites = {
            name: {**facts, "n_stimuli": ENOUGH_STIMULI}
            for name, facts in made.about["site"].items()
        }
        fitted_to_more = replace(made, about={**made.about, "site": sites})
        assert not any("which are few" in note for note in fitted_to_more.notes())
        assert len(fitted_to_more.notes()) == len(made.notes()) - 1

    def test_is_saved_with_all_that_made_it(self, made: Superstimuli, tmp_path: Path) -> None:
        sheet = made.save(tmp_path / "sheet.png")
        about = images.about(sheet)
        assert about["judge"] == "squeezenet1_1"
        assert "r " in about["site"]["site:sim-v4:3"]["said"]
        folder = made.save(tmp_path / "each")
        assert {p.name for p in folder.iterdir()} >= {
            "superstimuli.png", "table.csv", "fits.csv", "00-site-sim-v4-3.png",
        }  # fmt: skip
        with Image.open(folder / "00-site-sim-v4-3.png") as picture:
            assert picture.size == (224, 224)

    def test_the_same_seed_gives_the_same_pictures(
        self, made: Superstimuli, alexnet: Network, squeezenet: Network
    ) -> None:
        again = superstimulus(
            ["site:sim-v4:3", "site:sim-v4:7"], alexnet, together_with=(),
        judge=squeezenet, layers="features.3",
            judge_layers="features.4", steps=6, precision="float32", progress=False,
        )  # fmt: skip
        assert (again.pictures == made.pictures).all()


class TestNetworks:
    @pytest.mark.parametrize(
        ("judge", "makers"),
        [
            (None, ["alexnet", "squeezenet1_1"]),
            ("vgg16", ["alexnet", "squeezenet1_1"]),
            ("squeezenet1_1", ["alexnet"]),
        ],
    )
    def test_two_make_the_picture_unless_the_second_judges(
        self, alexnet: Network, squeezenet: Network, judge: str | None, makers: list[str]
    ) -> None:
        networks = _networks(alexnet, None, judge, "site:sim-v4:3", False)
        assert [network.name for network in networks] == makers

    def test_none_is_asked_to_help(self, alexnet: Network) -> None:
        assert _networks(alexnet, "none", None, "site:sim-v4:3", False) == [alexnet]


class TestErrors:
    def test_a_judge_that_makes_the_picture(self, alexnet: Network) -> None:
        with pytest.raises(ProbeError, match=r"makes the picture itself.*squeezenet1_1"):
            superstimulus("site:sim-v4:3", alexnet, together_with=(), judge=alexnet)

    @pytest.mark.parametrize(
        ("sites", "message"),
        [
            ("v4:3", "names no site"),
            (["site:sim-v4:3", "site:sim-v1:3"], "several recordings"),
            ("site:sim-v9:3", "recording 'sim-v9' does not exist"),
        ],
    )
    def test_what_is_no_site(self, alexnet: Network, sites: str, message: str) -> None:
        with pytest.raises(ProbeError, match=message):
            superstimulus(sites, alexnet)

    @pytest.mark.parametrize(("option", "value"), [("diverse", 0), ("steps", 0)])
    def test_numbers_that_are_too_small(self, alexnet: Network, option: str, value: int) -> None:
        with pytest.raises(ProbeError, match=f"{option} 0: expected a number ≥ 1"):
            superstimulus("site:sim-v4:3", alexnet, **{option: value})

    def test_a_site_that_does_not_exist(self, alexnet: Network, squeezenet: Network) -> None:
        with pytest.raises(ProbeError, match=r"site 500 of sim-v4 does not exist.*119"):
            superstimulus(
                "site:sim-v4:500", alexnet, together_with=(),
        judge=squeezenet, layers="features.3",
                judge_layers="features.4", progress=False,
            )  # fmt: skip


def test_is_offered_by_the_package() -> None:
    assert probe.superstimulus is superstimulus
