"""Maps judged by neurons: simulated ones whose receptive fields are known, chance, and errors."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import captum.attr
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import permutation_test

from probe import models
from probe.attribution import deletion_in_vivo, held_out_masses, in_vivo, reference_masses
from probe.attribution.gradients import gradient
from probe.encoding.fields import weights
from probe.encoding.held_out import HeldOut, fit_held_out
from probe.errors import ProbeError
from probe.inference.resampling import bootstrap_counts
from probe.models import Network
from probe.recordings import Deletions, Recording, find_deletions
from probe.stimuli import StimulusSet

pytestmark = pytest.mark.usefixtures("_small_squeezenet")

SIDE = 48


def record(
    pictures: np.ndarray, responses: np.ndarray, labels: tuple[str, ...] = ("A", "B")
) -> Recording:
    """Pictures (n, 1 + k, height, width, 3), responses (n (1 + k), repetitions, m)."""
    n, members = pictures.shape[:2]
    ids = [f"p{k:03d}{label}" for k in range(n) for label in ("", *labels)]
    m = responses.shape[2]
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), responses)},
        coords={
            "stimulus_id": ("stimulus", ids),
            "group": ("stimulus", np.repeat(np.arange(n), members)),
            "variant": ("stimulus", ["", *labels] * n),
            "subject": ("neuroid", ["m"] * m),
            "region": ("neuroid", ["V4"] * m),
            "neuroid_id": ("neuroid", [f"n{k}" for k in range(m)]),
        },
        attrs={"name": "sim-blurred", "simulated": True},
    )
    shown = list(pictures.reshape(n * members, *pictures.shape[2:]))
    return Recording(data, StimulusSet(ids, shown, "blurred"))


def pink(n: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of which amplitude falls as 1/f, as it does in photographs: (n, SIDE, SIDE), 0–1."""
    f = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    f[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.normal(size=(n, SIDE, SIDE))) / f
    noise = np.fft.irfft2(spectrum, s=(SIDE, SIDE))
    noise /= noise.std(axis=(1, 2), keepdims=True)
    return np.clip(0.5 + 0.2 * noise, 0.0, 1.0)


def gabors(m: int, rng: np.random.Generator) -> np.ndarray:
    """Quadrature pairs of Gabors in Gaussian windows near the centre: (m, 2, SIDE, SIDE)."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    pairs = []
    for _ in range(m):
        cy, cx = rng.uniform(0.35, 0.65, 2)
        turn, frequency = rng.uniform(0, np.pi), rng.uniform(4, 8)
        window = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 0.14**2))
        phase = 2 * np.pi * frequency * ((x - cx) * np.cos(turn) + (y - cy) * np.sin(turn))
        pairs.append([window * np.cos(phase), window * np.sin(phase)])
    return np.array(pairs)


class Simulation:
    """Linear and energy neurons that saw pink noise, and the same with a disc of it blurred."""

    def __init__(self, n: int = 60, m: int = 6, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.filters = gabors(m, rng)
        whole = np.rint(pink(n, rng) * 255)
        y, x = np.mgrid[:SIDE, :SIDE]
        pictures = np.empty((n, 3, SIDE, SIDE))
        for k, picture in enumerate(whole):
            soft = gaussian_filter(picture, 4.0)
            places = rng.permutation([0.3, 0.7]) * SIDE  # left and right, in any order
            pictures[k] = picture
            for variant, cx in enumerate(places, start=1):
                cy = rng.uniform(0.35, 0.65) * SIDE
                disc = np.hypot(y - cy, x - cx) < 0.17 * SIDE
                pictures[k, variant] = np.rint(np.where(disc, soft, picture))
        self.grey = pictures / 255
        self.shown = np.repeat(pictures.astype(np.uint8)[..., None], 3, axis=-1)

    def respond(self, grey: np.ndarray, kind: str) -> np.ndarray:
        """Give rates, (…, m), to pictures, (…, SIDE, SIDE)."""
        both = np.einsum("mpyx,...yx->...mp", self.filters, grey)
        return both[..., 0] if kind == "linear" else np.square(both).sum(axis=-1)

    def recording(self, kind: str, noise: float = 0.0, repetitions: int = 1) -> Recording:
        """Noise is in SDs of each neuron's rates, of one repetition."""
        rates = self.respond(self.grey, kind).reshape(-1, 1, len(self.filters))
        rng = np.random.default_rng(1)
        size = (len(rates), repetitions, len(self.filters))
        return record(self.shown, rates + noise * rates.std(axis=0) * rng.normal(size=size))


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return Simulation()


def exact_masses(simulation: Simulation, deletions: Deletions, kind: str) -> np.ndarray:
    """How far rates fall where the regions that were found are blurred."""
    whole = simulation.grey[:, 0]
    soft = np.stack([gaussian_filter(picture, 4.0) for picture in whole])
    without = np.where(deletions.regions, soft[:, None], whole[:, None])
    rates = simulation.respond(whole, kind)
    return rates[:, None] - simulation.respond(without, kind)


def linear_masses(simulation: Simulation, deletions: Deletions) -> np.ndarray:
    """Map of a linear neuron: weight times what blurring takes from the pixel."""
    whole = simulation.grey[:, 0]
    lost = whole - np.stack([gaussian_filter(picture, 4.0) for picture in whole])
    return deletions.masses(simulation.filters[None, :, 0] * lost[:, None])


class TestSimulatedNeurons:
    @pytest.mark.parametrize("kind", ["linear", "energy"])
    def test_exact_maps_of_neurons_without_noise(self, simulation, kind):
        recording = simulation.recording(kind)
        deletions = find_deletions(recording)
        assert len(deletions) == 60
        masses = {"exact": exact_masses(simulation, deletions, kind)}
        if kind == "linear":
            masses["linear"] = linear_masses(simulation, deletions)
        judged = deletion_in_vivo(recording, masses, n_resamples=300)
        assert judged.simulated
        assert "SIMULATED" in judged.title
        assert any("SIMULATED" in note for note in judged.notes())
        assert (judged.table["r"] > 0.9).all()
        # Few pictures drive an energy neuron much: without them, little is known.
        assert (judged.table["r_low"] > 0.5).all()
        assert (judged.table["r_fall"] > 0.9).all()
        assert (judged.table["p"] < 0.001).all()
        assert judged.sites["r"].median() > 0.9

    @pytest.mark.parametrize("kind", ["linear", "energy"])
    def test_maps_of_other_pictures_are_worth_nothing(self, simulation, kind):
        deletions = find_deletions(simulation.recording(kind))
        exact = exact_masses(simulation, deletions, kind)
        rng = np.random.default_rng(2)
        masses = {f"shuffle {k}": exact[rng.permutation(60)] for k in range(4)}
        table = deletion_in_vivo(deletions, masses, n_resamples=500).table
        assert (table["r_low"] < 0).all()
        assert (table["r_high"] > 0).all()
        assert (table["p"] > 0.05).all()

    def test_maps_of_other_neurons_are_worse(self, simulation):
        deletions = find_deletions(simulation.recording("energy"))
        exact = exact_masses(simulation, deletions, "energy")
        masses = {"own": exact, "next": np.roll(exact, 1, axis=2)}
        judged = deletion_in_vivo(deletions, masses, n_resamples=500)
        assert list(judged.table["method"]) == ["own", "next"]
        (pair,) = judged.pairs.to_dict("records")
        assert pair["difference"] > 0.1
        assert pair["p"] < 0.05

    def test_noise_lowers_r_to_the_ceiling(self):
        simulation = Simulation(n=200, m=8, seed=4)
        noise, repetitions = 1.5, 5
        recording = simulation.recording("energy", noise, repetitions)
        deletions = find_deletions(recording)
        rates = simulation.respond(simulation.grey, "energy")  # (n, 3, m)
        exact = rates[:, :1] - rates[:, 1:]
        judged = deletion_in_vivo(deletions, {"exact": exact}, n_resamples=50)
        (row,) = judged.table.to_dict("records")

        signal = np.square(rates[:, 1] - rates[:, 2]).mean(axis=0)
        of_noise = 2 * (noise * rates.reshape(-1, 8).std(axis=0)) ** 2 / repetitions
        true = np.sqrt(signal / (signal + of_noise))
        assert 0.4 < true.mean() < 0.9
        np.testing.assert_allclose(judged.sites["ceiling"], true, atol=0.1)
        assert row["ceiling"] == pytest.approx(true.mean(), abs=0.03)
        assert row["r"] == pytest.approx(row["ceiling"], abs=0.03)

    def test_a_missing_repetition_counts_in_the_ceiling(self, simulation):
        recording = simulation.recording("energy", 0.5, 4)
        data = recording.data.copy(deep=True)
        data["responses"][::2, 3] = np.nan
        deletions = find_deletions(Recording(data, recording.stimuli))
        judged = deletion_in_vivo(deletions, {"a": np.ones((60, 2, 1))}, n_resamples=10)
        values = data["responses"].values
        variance = np.nanvar(values, axis=1, ddof=1) / np.isfinite(values).sum(axis=1)
        means = np.nanmean(values, axis=1)
        rows = deletions.variants
        total = np.square(means[rows[:, 0]] - means[rows[:, 1]]).sum(axis=0)
        expected = np.sqrt(np.maximum(1 - variance[rows].sum(axis=(0, 1)) / total, 0))
        np.testing.assert_allclose(judged.sites["ceiling"], expected)

    def test_without_repetitions_there_is_no_ceiling(self, simulation):
        deletions = find_deletions(simulation.recording("linear"))
        masses = {"exact": exact_masses(simulation, deletions, "linear")}
        judged = deletion_in_vivo(deletions, masses, n_resamples=10)
        assert judged.table["ceiling"].isna().all()
        assert any("how high r could be is not known" in note for note in judged.notes())


# --- chance --------------------------------------------------------------------------------------


def bare(falls: np.ndarray, regions: np.ndarray | None = None) -> Deletions:
    """Deletions of blank pictures, (n, k, m): the original is answered with 0."""
    n, k, m = falls.shape
    responses = np.concatenate([np.zeros((n, 1, m)), -falls], axis=1).reshape(-1, 1, m)
    labels = tuple("ABCDE"[:k])
    recording = record(np.zeros((n, 1 + k, 4, 4, 3), np.uint8), responses, labels)
    originals = np.arange(n) * (1 + k)
    variants = originals[:, None] + np.arange(1, 1 + k)
    regions = np.ones((n, k, 4, 4), dtype=bool) if regions is None else regions
    return Deletions(recording, labels, np.arange(n), originals, variants, regions)


def noisy_falls(n: int, m: int, rng: np.random.Generator, k: int = 2) -> np.ndarray:
    """Sites that share noise, in part."""
    shared = rng.normal(size=(n, k, 3)) @ rng.normal(size=(3, m))
    return rng.normal(size=(n, k, m)) + rng.normal(size=(n, k, 1)) + 0.6 * shared


class TestChance:
    """1,000 maps that know nothing, 4 of each of 250 recordings of sites with common noise."""

    def test_of_permutations(self, monkeypatch):
        monkeypatch.setattr(in_vivo, "N_PERMUTATIONS", 999)
        rng = np.random.default_rng(0)
        p = []
        for _ in range(1000):
            falls = in_vivo._centred(noisy_falls(40, 8, rng))
            mass = in_vivo._centred(np.broadcast_to(rng.normal(size=(40, 2, 1)), falls.shape))
            p.append(in_vivo._permutation_p(mass, falls, in_vivo._draw_orders(40, 2, rng)))
        assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.015)
        assert np.mean(np.array(p) < 0.5) == pytest.approx(0.5, abs=0.05)

    @pytest.mark.slow
    def test_of_tests_and_intervals(self, monkeypatch):
        monkeypatch.setattr(in_vivo, "N_PERMUTATIONS", 999)
        n, m, side = 40, 8, 16
        rng = np.random.default_rng(0)
        y, x = np.mgrid[:side, :side]
        centres = rng.uniform(4, side - 4, (n, 2, 2, 1, 1))
        regions = np.hypot(y - centres[:, :, 0], x - centres[:, :, 1]) < 4
        p, outside, between = [], [], []
        for seed in range(250):
            deletions = bare(noisy_falls(n, m, rng), regions)
            smooth = gaussian_filter(rng.normal(size=(n, 4, side, side)), (0, 0, 2, 2))
            mass = deletions.masses(smooth)
            masses = {str(k): mass[:, :, k : k + 1] for k in range(4)}
            judged = deletion_in_vivo(deletions, masses, n_resamples=300, seed=seed)
            p.extend(judged.table["p"])
            outside.extend((judged.table["r_low"] > 0) | (judged.table["r_high"] < 0))
            pairs = judged.pairs.set_index(["method_a", "method_b"])["p"]
            between += [pairs["0", "1"], pairs["2", "3"]]
        assert len(p) == 1000
        assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.015)
        assert np.mean(outside) == pytest.approx(0.05, abs=0.015)
        # A test of sites and pictures together is somewhat careful.
        assert 0.01 < np.mean(np.array(between) < 0.05) < 0.085


# --- by hand -------------------------------------------------------------------------------------


def by_hand(mass: np.ndarray, falls: np.ndarray) -> np.ndarray:
    """r of each site, with plain loops: (m,)."""
    n, k, m = falls.shape
    r = []
    for site in range(m):
        a = [mass[i, j, site] - np.mean(mass[i, :, site]) for i in range(n) for j in range(k)]
        b = [falls[i, j, site] - np.mean(falls[i, :, site]) for i in range(n) for j in range(k)]
        r.append(np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b)))
    return np.array(r)


def weighted(mass: np.ndarray, falls: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """The mean r over sites, and its standard error from how it changes with each weight."""

    def mean_r(w: np.ndarray) -> float:
        a, b = (x - x.mean(axis=1, keepdims=True) for x in (mass, falls))
        products, of_a, of_b = ((w[:, None, None] * x).sum((0, 1)) for x in (a * b, a * a, b * b))
        return float(np.mean(products / np.sqrt(of_a * of_b)))

    n, step = len(mass), 1e-5
    changes = [
        (mean_r(weights + step * one) - mean_r(weights - step * one)) / (2 * step)
        for one in np.eye(n)
    ]
    return mean_r(weights), float(np.sqrt(n / (n - 1) * np.sum(weights * np.square(changes))))


@pytest.mark.parametrize("k", [2, 3, 4])
def test_r_and_intervals_are_those_computed_by_hand(k: int) -> None:
    rng = np.random.default_rng(k)
    falls = rng.normal(size=(20, k, 4))
    mass = falls + rng.normal(size=falls.shape)
    judged = deletion_in_vivo(bare(falls), {"a": mass}, n_resamples=60, seed=7)
    np.testing.assert_allclose(judged.sites["r"], by_hand(mass, falls))
    (row,) = judged.table.to_dict("records")
    assert row["r"] == pytest.approx(by_hand(mass, falls).mean())
    flat = [np.corrcoef(mass[..., s].ravel(), falls[..., s].ravel())[0, 1] for s in range(4)]
    np.testing.assert_allclose(judged.sites["r_fall"], flat)
    of_sites, t = [], []
    mean, se = weighted(mass, falls, np.ones(20))
    for counts in bootstrap_counts(20, 60, np.random.default_rng(7)):
        rows = np.repeat(np.arange(20), counts)
        of_sites.append(by_hand(mass[rows], falls[rows]))
        its_mean, its_se = weighted(mass, falls, counts.astype(float))
        t.append((its_mean - mean) / its_se)
    np.testing.assert_allclose(judged.resampled["a"], of_sites)
    upper, lower = np.quantile(t, (0.025, 0.975))
    np.testing.assert_allclose(
        (row["r_low"], row["r_high"]), (mean - lower * se, mean - upper * se), rtol=1e-5
    )
    low, high = np.quantile(np.array([resample[0] for resample in of_sites]), (0.025, 0.975))
    np.testing.assert_allclose(judged.sites["r_low"][0], low)
    np.testing.assert_allclose(judged.sites["r_high"][0], high)


def test_with_two_variants_r_is_of_the_difference() -> None:
    rng = np.random.default_rng(0)
    falls, mass = rng.normal(size=(2, 30, 2, 1))
    a, b = mass[:, 0, 0] - mass[:, 1, 0], falls[:, 0, 0] - falls[:, 1, 0]
    judged = deletion_in_vivo(bare(falls), {"a": mass}, n_resamples=10)
    expected = (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())
    assert judged.table["r"][0] == pytest.approx(expected)


@pytest.mark.parametrize(("n", "k"), [(8, 2), (4, 3)])
def test_p_is_scipys_of_all_orders(n: int, k: int) -> None:
    rng = np.random.default_rng(n)
    falls, noise = rng.normal(size=(2, n, k, 1))
    mass = 0.7 * falls + noise

    def size_of_r(*of_variants: np.ndarray) -> float:
        return abs(by_hand(np.stack(of_variants, axis=1)[..., None], falls)[0])

    expected = permutation_test(
        [mass[:, j, 0] for j in range(k)], size_of_r, permutation_type="samples",
        vectorized=False, n_resamples=np.inf, alternative="greater",
    ).pvalue  # fmt: skip
    judged = deletion_in_vivo(bare(falls), {"a": mass}, n_resamples=5)
    assert judged.table["p"][0] == pytest.approx(expected)


def test_p_of_several_sites_turns_all_of_a_picture_together() -> None:
    rng = np.random.default_rng(1)
    falls = noisy_falls(6, 3, rng)
    mass = rng.normal(size=falls.shape) + 0.5 * falls
    observed = by_hand(mass, falls).mean()
    extreme = []
    for turned in np.ndindex(*(2,) * 6):
        flipped = np.where(np.array(turned)[:, None, None] == 1, mass[:, ::-1], mass)
        extreme.append(abs(by_hand(flipped, falls).mean()) >= abs(observed) - 1e-12)
    judged = deletion_in_vivo(bare(falls), {"a": mass}, n_resamples=5)
    assert judged.table["p"][0] == pytest.approx(np.mean(extreme))


@pytest.mark.parametrize("k", [2, 3])
def test_what_a_variant_is_called_changes_nothing(k: int) -> None:
    rng = np.random.default_rng(3)
    falls = noisy_falls(5, 4, rng, k)
    mass = rng.normal(size=falls.shape)
    one = deletion_in_vivo(bare(falls), {"a": mass, "b": mass**3}, n_resamples=200)
    for order in permutations(range(k)):
        renamed = rng.random(5) < 0.5
        turn = np.where(renamed[:, None], order, np.arange(k))[..., None]
        other = deletion_in_vivo(
            bare(np.take_along_axis(falls, turn, 1)),
            {"a": np.take_along_axis(mass, turn, 1), "b": np.take_along_axis(mass**3, turn, 1)},
            n_resamples=200,
        )
        for table in ("table", "sites", "pairs"):
            left, right = getattr(one, table), getattr(other, table)
            for column in left:
                if left[column].dtype.kind == "f":
                    np.testing.assert_allclose(left[column], right[column], err_msg=column)
                else:
                    assert list(left[column]) == list(right[column])


def test_the_order_of_the_recording_changes_nothing(simulation: Simulation) -> None:
    recording = simulation.recording("energy", 0.5, 3)
    order = np.random.default_rng(0).permutation(recording.n_stimuli)
    other = Recording(recording.data.isel(stimulus=order), recording.stimuli)
    tables = []
    for each in (recording, other):
        deletions = find_deletions(each)
        at = np.argsort(deletions.groups)
        deletions = deletions.take(at)
        tables.append(
            deletion_in_vivo(
                deletions, {"edges": reference_masses(deletions)["edges"]}, n_resamples=20
            ).table
        )
    for column in ("r", "r_fall", "ceiling", "p", "r_low", "r_high"):
        np.testing.assert_allclose(tables[0][column], tables[1][column], err_msg=column)


def test_a_mass_for_all_sites_is_that_of_each() -> None:
    rng = np.random.default_rng(0)
    falls = noisy_falls(12, 3, rng)
    mass = rng.normal(size=(12, 2, 1))
    masses = {"one": mass, "each": np.repeat(mass, 3, axis=2)}
    judged = deletion_in_vivo(bare(falls), masses, n_resamples=50)
    assert judged.table["r"].nunique() == 1
    assert judged.table["p"].nunique() == 1
    (pair,) = judged.pairs.to_dict("records")
    assert pair["difference"] == 0


@pytest.mark.parametrize("k", [2, 3])
def test_a_mass_that_is_the_same_in_all_regions_has_no_r(k: int) -> None:
    """Also where the mean of three equal numbers is another, by rounding."""
    rng = np.random.default_rng(0)
    falls = rng.normal(size=(12, k, 2))
    masses = {"same": np.full((12, k, 1), 0.1), "some": rng.normal(size=(12, k, 1))}
    masses["per picture"] = np.repeat(rng.random((12, 1, 1)), k, axis=1)
    judged = deletion_in_vivo(bare(falls), masses, n_resamples=50)
    table = judged.table.set_index("method")
    for name in ("same", "per picture"):
        assert np.isnan(table.loc[name, ["r", "r_low", "p", "p_fdr"]].astype(float)).all()
    assert np.isnan(table.loc["same", "r_fall"])
    assert np.isfinite(table.loc["per picture", "r_fall"])
    assert np.isfinite(table.loc["some", "r"])
    assert table.loc["some", "p_holm"] == table.loc["some", "p"]


def test_a_site_that_answers_all_variants_alike_is_left_out_and_told() -> None:
    rng = np.random.default_rng(0)
    falls = rng.normal(size=(12, 2, 3))
    falls[:, :, 1] = falls[:, :1, 1]
    mass = rng.normal(size=(12, 2, 1))
    judged = deletion_in_vivo(bare(falls), {"a": mass}, n_resamples=20)
    expected = by_hand(np.repeat(mass, 2, axis=2), falls[:, :, [0, 2]])
    assert judged.table["r"][0] == pytest.approx(expected.mean())
    assert judged.table["n_sites"][0] == 2
    assert np.isnan(judged.sites["r"][1])
    assert any("1 site responds alike" in note for note in judged.notes())


def test_some_sites(simulation: Simulation) -> None:
    deletions = find_deletions(simulation.recording("energy"))
    exact = exact_masses(simulation, deletions, "energy")
    every = deletion_in_vivo(deletions, {"a": exact}, n_resamples=10).sites
    some = deletion_in_vivo(deletions, {"a": exact[..., [4, 1]]}, sites=[4, 1], n_resamples=10)
    assert list(some.sites["site"]) == [4, 1]
    assert list(some.sites["neuroid_id"]) == ["n4", "n1"]
    np.testing.assert_allclose(some.sites["r"], every["r"].to_numpy()[[4, 1]])


# --- what it shows and saves ---------------------------------------------------------------------


def test_what_was_found_is_shown_and_saved(tmp_path) -> None:
    rng = np.random.default_rng(0)
    falls = noisy_falls(15, 3, rng)
    masses = {"good": falls + rng.normal(size=falls.shape), "area": rng.random((15, 2, 1))}
    judged = deletion_in_vivo(bare(falls), masses, n_resamples=50)
    assert list(judged.table["method"]) == ["good", "area"]
    assert "good" in repr(judged)
    assert "15 pictures" in judged.title
    assert "<img" in judged._repr_html_()
    assert list(judged.summary().columns) == ["map", "r", "95 % CI", "p (FDR)", "r of falls"]
    written = judged.save(tmp_path / "out")
    assert sorted(path.name for path in written) == sorted(judged.FILES)
    with Image.open(tmp_path / "out" / "figure.png") as figure:
        assert figure.width > 500
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    np.testing.assert_allclose(table["r"], judged.table["r"])


# --- through a network ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network(_own_cache: None) -> Network:
    return models.load("squeezenet1_1", "random")


@pytest.fixture(scope="module")
def small() -> Recording:
    simulation = Simulation(n=8, m=3, seed=2)
    return simulation.recording("energy", 0.5, 3)


@pytest.fixture(scope="module")
def heads(network: Network, small: Recording) -> HeldOut:
    return fit_held_out(network, small, "features.4", splits=3, progress=False)["features.4"]


def test_masses_are_of_maps_by_the_fold_that_has_not_seen_the_picture(
    heads: HeldOut, small: Recording, network: Network
) -> None:
    deletions = find_deletions(small)
    uses = {
        "gradient": {},
        "detail": {"method": "input-x-gradient", "baseline": "blurred"},
        "grad-cam": {},
        "occlusion": {"size": 48, "stride": 48},
        "Captum's gradient": {"method": captum.attr.Saliency},
        "Captum's CAM": {"method": captum.attr.LayerGradCam, "relu_attributions": True},
    }
    masses = held_out_masses(heads, deletions, uses, sites=[2, 0], progress=False)
    assert list(masses) == list(uses)
    assert all(mass.shape == (8, 2, 2) for mass in masses.values())
    for row, original in enumerate(deletions.originals):
        (fold,) = (k for k, held in enumerate(heads.folds) if original in held.test)
        shown = network.preprocessing(small.stimuli.image(int(original)))[None]
        for column, site in enumerate((2, 0)):
            slopes = gradient(network.module, shown, heads.site(site, fold))
            expected = deletions.take(np.array([row])).masses(slopes.abs().sum(1).numpy())
            np.testing.assert_allclose(
                masses["gradient"][row, :, column], expected[0, :, 0], rtol=1e-3
            )
    for theirs, ours in (("Captum's gradient", "gradient"), ("Captum's CAM", "grad-cam")):
        np.testing.assert_allclose(masses[theirs], masses[ours], rtol=1e-3, atol=1e-6)
    again = held_out_masses(heads, deletions, "gradient", progress=False, batch_size=1)
    np.testing.assert_allclose(again["gradient"][..., 2], masses["gradient"][..., 0], rtol=1e-3)


def test_references_are_those_computed_by_hand(heads: HeldOut, small: Recording) -> None:
    deletions = find_deletions(small)
    masses = reference_masses(deletions, heads, sites=[1])
    assert set(masses) == {"prediction", "field", "area", "centre", "edges", "detail"}
    np.testing.assert_array_equal(masses["area"][..., 0], deletions.regions.sum(axis=(2, 3)))
    p = heads.predictions[:, 1]
    expected = p[deletions.originals][:, None] - p[deletions.variants]
    np.testing.assert_allclose(masses["prediction"][..., 0], expected)
    for row in range(8):
        (held,) = (held for held in heads.folds if deletions.originals[row] in held.test)
        field = np.asarray(weights([held.readout.fields[1]], SIDE, SIDE)).reshape(SIDE, SIDE)
        expected = [field[region].sum() for region in deletions.regions[row]]
        np.testing.assert_allclose(masses["field"][row, :, 0], expected, rtol=1e-6)
    y, x = (np.arange(SIDE) - (SIDE - 1) / 2) / SIDE, (np.arange(SIDE) - (SIDE - 1) / 2) / SIDE
    centre = np.exp(-(y[:, None] ** 2 + x[None] ** 2) / (2 * 0.2**2))
    expected = (deletions.regions * centre).sum(axis=(2, 3))
    np.testing.assert_allclose(masses["centre"][..., 0], expected)
    shown = [np.asarray(small.stimuli.image(k), float) / 255 for k in range(3)]
    lost = np.square(shown[1] - shown[0]).mean(axis=-1)
    assert masses["detail"][0, 0, 0] == pytest.approx(lost[deletions.regions[0, 0]].sum())
    assert "prediction" not in reference_masses(deletions)


# --- errors --------------------------------------------------------------------------------------

FALLS = np.random.default_rng(0).normal(size=(6, 2, 3))
GOOD = {"a": FALLS[..., :1]}


@pytest.mark.parametrize(
    ("masses", "options", "says"),
    [
        ({}, {}, "there are no masses to judge"),
        ({"a": np.zeros((6, 2))}, {}, r"masses of 'a' have shape \(6, 2\): expected \(6, 2, 3\)"),
        ({"a": np.zeros((5, 2, 3))}, {}, "masses of 'a' have shape"),
        ({"a": np.zeros((6, 2, 2))}, {}, "masses of 'a' have shape"),
        ({"a": np.full((6, 2, 1), np.nan)}, {}, "masses of 'a' have values that are not finite"),
        (GOOD, {"sites": [3]}, r"sites \[3\]: expected whole numbers from 0 to 2, each once"),
        (GOOD, {"sites": [-1]}, "expected whole numbers"),
        (GOOD, {"sites": []}, "expected whole numbers"),
        (GOOD, {"sites": [0, 0]}, "each once"),
        (GOOD, {"sites": [0.5]}, "expected whole numbers"),
        (GOOD, {"sites": [True, False, True]}, "expected whole numbers"),
        (GOOD, {"n_resamples": 0}, "n_resamples 0"),
        (GOOD, {"seed": -1}, "seed -1"),
    ],
)
def test_bad_input_is_one_line(masses, options, says) -> None:
    with pytest.raises(ProbeError, match=says) as error:
        deletion_in_vivo(bare(FALLS), masses, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("k", [1, 5])
def test_one_variant_cannot_be_compared_and_five_are_too_many(k: int) -> None:
    falls = np.random.default_rng(0).normal(size=(6, k, 1))
    with pytest.raises(ProbeError, match=f"variants of each picture: {k}, expected 2 to 4"):
        deletion_in_vivo(bare(falls), {"a": falls})


def test_a_recording_without_variants_is_refused() -> None:
    with pytest.raises(ProbeError, match="does not say which pictures are variants of which"):
        deletion_in_vivo("sim-v4:0", GOOD)


@pytest.mark.parametrize(
    ("methods", "options", "says"),
    [
        ("gradiant", {}, "method 'gradiant': expected a name"),
        ({"mine": {}}, {}, "method 'mine': expected a name"),
        ({"gradient": {"steps": 3}}, {}, "gradient has no setting 'steps'"),
        ({"occlusion": {"baseline": "blur"}}, {}, "baseline 'blur': expected"),
        ("gradient", {"sites": [7]}, r"sites \[7\]: expected whole numbers from 0 to 2"),
        ("gradient", {"sites": [-1]}, "expected whole numbers"),
    ],
)
def test_bad_methods_are_one_line(heads, small, methods, options, says) -> None:
    with pytest.raises(ProbeError, match=says):
        held_out_masses(heads, find_deletions(small), methods, progress=False, **options)


def test_heads_of_another_recording_are_refused(heads: HeldOut, small: Recording) -> None:
    other = find_deletions(Simulation(n=7, m=3).recording("energy"))
    for call in (held_out_masses, reference_masses):
        with pytest.raises(ProbeError, match="expected the same recording"):
            call(*((heads, other) if call is held_out_masses else (other, heads)))


def test_heads_that_have_seen_a_variant_are_refused(network: Network, small: Recording) -> None:
    leaky = fit_held_out(
        network, small, "features.4", splits=3, groups=list(range(24)), progress=False
    )["features.4"]
    with pytest.raises(ProbeError, match="fitted to a variant of a picture"):
        held_out_masses(leaky, find_deletions(small), "gradient", progress=False)


def test_a_map_that_is_not_finite_is_refused(heads: HeldOut, small: Recording) -> None:
    broken = replace(heads, sd=np.full(3, 0.0))
    with pytest.raises(ProbeError, match="not finite"):
        held_out_masses(broken, find_deletions(small), "gradient", progress=False)


@pytest.mark.slow
def test_the_random_state_is_left_alone(heads: HeldOut, small: Recording) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    deletions = find_deletions(small)
    masses = held_out_masses(heads, deletions, {"rise": {"masks": 20}}, sites=[0], progress=False)
    deletion_in_vivo(deletions, masses, sites=[0], n_resamples=10)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
