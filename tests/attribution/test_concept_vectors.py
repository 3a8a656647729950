"""How a target changes along concepts, held against closed forms, scikit-learn and Captum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from captum.concept import TCAV, Classifier, Concept
from sklearn.linear_model import Ridge
from torch import Tensor, nn

from probe.attribution import Concepts, concepts
from probe.attribution.concept_vectors import _fit, _measure, _p, _scored
from probe.errors import ProbeError
from probe.inference.multiplicity import benjamini_hochberg, holm
from probe.models import Network, Preprocessing
from probe.stimuli import StimulusSet

pytestmark = pytest.mark.usefixtures("_coarse_pngs")

SIZE = 12


def some_pictures(n: int, seed: int, tint: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 156, (n, SIZE, SIZE, 3)) + np.array(tint)).astype(np.uint8)


def as_set(pictures: np.ndarray, name: str) -> StimulusSet:
    return StimulusSet([f"{name}{k}" for k in range(len(pictures))], list(pictures), name)


RED = as_set(some_pictures(12, 0, (90, 0, 0)), "red")
GREEN = as_set(some_pictures(12, 1, (0, 90, 0)), "green")
OTHER = as_set(some_pictures(40, 2), "other")


class Tinted(nn.Module):
    """A layer of channels, from which the target is linear: how red the picture is."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = nn.Conv2d(3, 3, 1, bias=False)
        self.last = nn.Linear(3, 2, bias=False)
        with torch.no_grad():
            self.colours.weight.copy_(torch.eye(3)[:, :, None, None])
            self.last.weight.copy_(torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.colours(x).mean((2, 3)))


def tinted() -> Network:
    return Network.from_module(Tinted().eval(), preprocessing=Preprocessing("resize", (SIZE, SIZE)))


def measured(**settings: Any) -> Concepts:
    settings = {"random": OTHER, "layers": "colours", "draws": 3, "permutations": 39} | settings
    return concepts({"red": RED, "green": GREEN}, tinted(), 0, progress=False, **settings)


def test_of_a_linear_target_change_is_the_difference_of_means() -> None:
    """Where classes differ along one direction alone, the vector is that, and the rest is known."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((30, 4)).astype(np.float32)
    noise = np.linalg.qr(noise - noise.mean(axis=0))[0]  # the same in all directions
    along = np.array([0.0, 0.0, 1.0, 0.0], np.float32)
    activations = np.concatenate([noise + 5 * along, noise])
    slopes = np.array([[1.0, -3.0, 2.0, 0.5]], np.float32)
    row, vector = _measure(
        activations, slopes, range(30), range(30, 60), 2, 39, np.random.default_rng(1)
    )
    np.testing.assert_allclose(vector, along, atol=1e-5)
    assert row["change"] == pytest.approx(2 * 5, rel=1e-4)
    assert (row["score"], row["p"], row["accuracy"]) == (1.0, 1 / 40, 1.0)


def test_red_is_found_and_green_is_not() -> None:
    result = measured()
    table = result.table.set_index("concept")
    assert table.loc["red", "p"] == 1 / 40
    assert table.loc["red", "change"] > table.loc["red", "change_high"]
    inputs = [
        torch.stack([tinted().preprocessing(s.image(k)) for k in range(len(s))]).mean((0, 2, 3))
        for s in (RED, OTHER)
    ]
    # The target's difference between the two sets, all of which lies along the vector.
    expected = 2 * float(inputs[0][0] - inputs[1][0])
    assert table.loc["red", "change"] == pytest.approx(expected, rel=0.1)
    assert abs(table.loc["green", "change"]) < 0.2 * expected
    assert (table["accuracy"] == 1.0).all()
    direction = result.direction("red")
    assert float(direction.direction[0]) > 0.95
    assert direction.layer == "colours"


@pytest.mark.parametrize("size", [10, 31])
def test_classifiers_are_scikit_learns(size: int) -> None:
    rng = np.random.default_rng(3)
    values = rng.standard_normal((size, 7)) * np.arange(1, 8) + 2
    labels = np.where(np.arange(size) < (size + 1) // 2, 1.0, -1.0)
    weights, intercept = _fit((values @ values.T)[None])
    penalty = np.square(values - values.mean(0)).sum() / size
    ridge = Ridge(alpha=penalty).fit(values, labels)
    np.testing.assert_allclose(weights[0] @ values, ridge.coef_, rtol=1e-8)
    np.testing.assert_allclose(intercept[0], ridge.intercept_, rtol=1e-8)


class Given(Classifier):
    """Hands Captum's TCAV the classifier that is ours."""

    def __init__(self) -> None:
        self.ridge = Ridge()

    def train_and_eval(self, dataloader: Any, **_: Any) -> dict[str, Any]:
        parts = [*dataloader]
        values = torch.cat([v for v, _ in parts]).double().numpy()
        labels = torch.cat([label for _, label in parts]).numpy()
        self.ridge.alpha = np.square(values - values.mean(0)).sum() / len(values)
        self.ridge.fit(values, np.where(labels == 0, 1.0, -1.0))
        return {"accs": torch.tensor(1.0)}

    def weights(self) -> Tensor:
        vector = torch.from_numpy(self.ridge.coef_).float()
        return torch.stack([vector, -vector])

    def classes(self) -> list[int]:
        return [0, 1]


def test_scores_are_captums(tmp_path: Path) -> None:
    """The share of positive derivatives, of the same classifier, with a value per position."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        module = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=3), nn.Tanh(), nn.Conv2d(4, 6, 2), nn.Tanh(), nn.Flatten(),
            nn.Linear(54, 3),
        ).eval()  # fmt: skip
    network = Network.from_module(module, preprocessing=Preprocessing("resize", (SIZE, SIZE)))
    other = OTHER.subset(range(12))  # as many as the concept: every draw is all of them
    result = concepts(
        {"red": RED}, network, 2, layers="0", random=other, pictures=GREEN, positions=True,
        draws=1, permutations=19, progress=False,
    )  # fmt: skip
    with pytest.raises(ProbeError, match="no direction of channels"):
        result.direction("red")

    def inputs(stimuli: StimulusSet) -> Tensor:
        return torch.stack([network.preprocessing(stimuli.image(k)) for k in range(len(stimuli))])

    experiment = [
        Concept(k, name, [inputs(each)]) for k, (name, each) in
        enumerate({"red": RED, "other": other}.items())
    ]  # fmt: skip
    tcav = TCAV(module, "0", classifier=Given(), save_path=f"{tmp_path}/")
    theirs = tcav.interpret(inputs(GREEN), [experiment], target=2)["0-1"]["0"]["sign_count"][0]
    assert 0 < float(theirs) < 1  # not all of one sign, which any vector could have
    assert result.table["score"][0] == pytest.approx(float(theirs))


def test_scores_count_draws_pictures_and_signs() -> None:
    gram, along = np.eye(4), np.array([[1.0, 1, 0, 0], [-1, -1, 0, 0], [0, 0, 1, 3]])
    scores, changes, weights = _scored(gram, along, np.array([[0, 1, 2, 3], [2, 3, 0, 1]]), 2)
    np.testing.assert_allclose(scores, [1 / 3, 2 / 3])
    np.testing.assert_allclose(weights, [[0.5, 0.5, -0.5, -0.5]] * 2)  # of its own members
    np.testing.assert_allclose(changes, [-2 / 3, 2 / 3])


def test_a_draw_of_pictures_that_are_the_same_has_no_change() -> None:
    """No NaN, which is less than no random set's and would have the least p."""
    values = np.array([[1.0], [1.0], [1.0], [1.0], [-4.0]])
    sets = np.array([[0, 1, 2, 3], [0, 1, 2, 4]])
    scores, changes, _ = _scored(values @ values.T, 2 * values.T, sets, 2)
    np.testing.assert_allclose(changes, [0.0, 5.0], atol=1e-12)
    assert np.isfinite(scores).all()


def test_permutations_hold_their_level() -> None:
    """Of concepts that are random pictures, as many are found as p says."""
    rng = np.random.default_rng(0)
    p = []
    for _ in range(100):
        activations = rng.standard_normal((40, 6)).astype(np.float32)
        slopes = rng.standard_normal((5, 6)).astype(np.float32)
        row, _ = _measure(activations, slopes, range(10), range(10, 40), 2, 19, rng)
        p.append((row["p"], row["score_p"]))
    for column in np.transpose(p):
        assert (column <= 0.2).mean() < 0.31  # 0.2, and 2.7 standard errors
        assert (column <= 0.5).mean() > 0.25
    assert _p(1.0, np.array([0.5, 1.0, 2.0])) == 0.75


class Squares(nn.Module):
    """A target whose gradient is the activation, of many channels that vary by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.values = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(3 * SIZE**2))
        self.values[1].running_mean.fill_(78 / 255)  # of the pictures, so that all is by chance

    def forward(self, x: Tensor) -> Tensor:
        return self.values(x).square().sum(1, keepdim=True)


def test_permutations_hold_their_level_where_gradients_go_with_activations() -> None:
    """Gradients in random pictures alone point away from any concept."""
    network = Network.from_module(
        Squares().eval(),
        preprocessing=Preprocessing("resize", (SIZE, SIZE), mean=(0, 0, 0), std=(1, 1, 1)),
    )
    p = []
    for seed in range(8):
        pictures = as_set(some_pictures(36, 100 + seed), f"set {seed} ")
        sets = {"none": pictures.subset(range(12))}
        result = concepts(
            sets, network, 0, layers="values", random=pictures.subset(range(12, 36)), draws=2,
            permutations=19, progress=False,
        )  # fmt: skip
        assert result.about["n_pictures"] == 36
        p.append(result.table["p"][0])
    assert (np.array(p) <= 0.05).sum() <= 2


def test_a_seed_gives_the_same_and_the_network_stays() -> None:
    network = tinted()
    network.module.train()
    before = torch.get_rng_state()
    run = {"random": OTHER, "layers": "colours", "draws": 2, "permutations": 19, "progress": False}
    one, again = (concepts({"red": RED}, network, 0, **run) for _ in range(2))
    pd.testing.assert_frame_equal(one.table, again.table)
    assert network.module.training
    assert not network.module.colours._forward_hooks
    assert torch.equal(torch.get_rng_state(), before)
    shares = concepts({"red": RED}, network, 0, **run | {"seed": 1}).table["change_low"]
    assert shares[0] != one.table["change_low"][0]


def test_concepts_of_one_set_are_told_from_each_other(tmp_path: Path) -> None:
    pictures = np.concatenate([some_pictures(12, 0, (90, 0, 0)), some_pictures(20, 5)])
    names = ["red"] * 12 + ["plain"] * 20
    stimuli = StimulusSet(
        [f"{k}" for k in range(32)], list(pictures), "both", metadata=pd.DataFrame({"kind": names})
    )
    result = concepts(
        stimuli, tinted(), 0, by="kind", layers="colours", draws=2, permutations=39, progress=False,
        pictures=GREEN,
    )  # fmt: skip
    assert result.table["concept"].tolist() == ["red", "plain"]
    assert result.table["n_random"].tolist() == [20, 12]


def test_copies_count_once_and_are_named() -> None:
    """Five times the same picture is one picture: neither p nor the number may say otherwise."""
    pictures = list(some_pictures(12, 0, (90, 0, 0)))
    names = [*RED.ids, *(f"copy of {name}" for name in RED.ids)]
    twice = StimulusSet(names, pictures * 2, "red")
    run = {"layers": "colours", "draws": 2, "permutations": 19, "progress": False}
    once = concepts({"red": RED}, tinted(), 0, random=OTHER, **run)
    result = concepts({"red": twice}, tinted(), 0, random=OTHER, **run)
    pd.testing.assert_frame_equal(result.table, once.table)
    assert result.table["n_pictures"].tolist() == [len(RED)]
    assert f"Counted once, of red: copy of {RED.ids[0]}" in repr(result)
    assert "Counted once" not in repr(once)
    looked_at = concepts({"red": RED}, tinted(), 0, random=OTHER, pictures=twice, **run)
    assert looked_at.about["n_pictures"] == len(RED)
    few = StimulusSet([str(k) for k in range(6)], pictures[:3] * 2, "few")
    with pytest.raises(ProbeError, match="'few' has 3 pictures without 3 copies: expected 5"):
        concepts({"few": few}, tinted(), 0, random=OTHER, **run)


def test_p_values_are_corrected_alike() -> None:
    """Both columns of the figure by Holm's method, over the same rows."""
    table = measured().table
    for name in ("p", "score_p"):
        np.testing.assert_allclose(table[f"{name}_holm"], holm(table[name].to_numpy()))
        np.testing.assert_allclose(table[f"{name}_fdr"], benjamini_hochberg(table[name].to_numpy()))
    assert {"p (Holm)", "p of TCAV (Holm)"} <= set(measured().summary())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"concepts": {}}, "there are no concepts"),
        ({"concepts": RED}, "names no concepts: expected a folder with a folder for each"),
        ({"concepts": {"few": RED.subset(range(4))}}, "'few' has 4 pictures: expected 5 or more"),
        ({"random": None}, "nothing to tell it from"),
        ({"random": OTHER.subset(range(4))}, "is told from 4 random pictures"),
        ({"random": RED}, "is told from 0 random pictures that are not its own"),
        ({"target": None}, "no target is named"),
        ({"target": "colours:1", "layers": "last"}, "does not depend on layer 'last'"),
        ({"draws": 0}, "draws 0: expected"),
        ({"permutations": 3}, "permutations 3: expected"),
    ],
)
def test_refusals(change: dict[str, Any], message: str) -> None:
    request = {
        "concepts": {"red": RED}, "model": tinted(), "target": 0, "random": OTHER,
        "layers": "colours",
    } | change  # fmt: skip
    with pytest.raises(ProbeError, match=message):
        concepts(**request, progress=False)


def test_results_show_and_save_themselves(tmp_path: Path) -> None:
    result = measured()
    assert {path.name for path in result.save(tmp_path / "out")} == {"table.csv", "figure.png"}
    written = pd.read_csv(tmp_path / "out" / "table.csv")
    assert written["p_holm"].tolist() == result.table["p_holm"].tolist()
    assert "TCAV" in result.summary()
    assert "Few pictures of red, green" in repr(result)
    assert "<img" in result._repr_html_()
    assert len(result.plot().axes) == 2
    with pytest.raises(ProbeError, match="no concept 'blue'"):
        result.direction("blue")
