"""The study of simulated neurons on two tiny ones: what it says is true of them, and it goes on."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from scipy import stats

from probe import models
from probe.models import Network
from probe.models.compact import MEAN, SIZE, Neuron
from probe.models.preprocessing import Preprocessing
from probe.recordings import Recording, simulate_v4_compact
from probe.stimuli import StimulusSet

SCRIPT = Path(__file__).parents[2] / "analyses" / "known_truth.py"
N_PICTURES = 72


@pytest.fixture(scope="module")
def study() -> ModuleType:
    spec = importlib.util.spec_from_file_location("known_truth", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["known_truth"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mpl.rcParams, "backend", "agg")


@pytest.fixture(scope="module")
def neurons() -> list[Network]:
    """Networks like those of V4 neurons, with random weights."""
    mean = (MEAN[0] / 255, MEAN[1] / 255, MEAN[2] / 255)
    preprocessing = Preprocessing("resize", SIZE, mean=mean, std=(1 / 255,) * 3)
    networks = []
    for k in range(3):
        with torch.random.fork_rng():
            torch.manual_seed(k)
            module = Neuron((4, 4, 4, 4, 4)).eval()
        networks.append(Network.from_module(module, preprocessing=preprocessing))
    return networks


@pytest.fixture(scope="module")
def pool() -> StimulusSet:
    """Blocks of random colours, some of them coarse."""
    rng = np.random.default_rng(0)
    pictures = []
    for k in range(N_PICTURES):
        side = (4, 8, 16)[k % 3]
        blocks = rng.integers(0, 256, (side, side, 3)).astype(np.uint8)
        pictures.append(np.kron(blocks, np.ones((112 // side, 112 // side, 1), np.uint8)))
    return StimulusSet([f"p{k}" for k in range(N_PICTURES)], pictures, "blocks")


@pytest.fixture(scope="module")
def truth(study: ModuleType, neurons: list[Network], pool: StimulusSet) -> Any:
    """Rates with a mean of 30 and an SD of 10 spikes per second."""
    unit = study.Truth(tuple(neurons), np.full(3, 1e-3), np.full(3, 10.0))
    shown = study.as_tensor(pool, range(N_PICTURES))
    outputs = np.stack([unit.rates(k, shown) for k in range(3)], 1)
    gain = 1e-3 / outputs.std(0) * 10
    offset = 3.0 - gain / 1e-3 * (outputs.mean(0) - 100) * 0.1
    return study.Truth(tuple(neurons), gain, offset)


@pytest.fixture
def simulated(study: ModuleType, truth: Any, monkeypatch: pytest.MonkeyPatch,
              pool: StimulusSet) -> Network:  # fmt: skip
    """Put the tiny neurons and their pictures in the place of the published ones."""

    def simulate(seed: int, n: int, *, stimuli: StimulusSet, neurons: list[int]) -> Recording:
        shown = study.as_tensor(stimuli, range(len(stimuli)))
        rates = np.stack([truth.rates(k, shown) for k in neurons], 1)
        counts = np.random.default_rng(seed).poisson(rates[:, None] * 0.1, (len(rates), n, 3))
        of_neurons = {"subject": ["sim"] * 3, "region": ["V4"] * 3,
                      "neuroid_id": [f"201025-{k}" for k in neurons],
                      "gain": truth.gain, "offset": truth.offset}  # fmt: skip
        data = xr.Dataset(
            {"responses": (("stimulus", "repetition", "neuroid"), counts.astype(float)),
             "rate": (("stimulus", "neuroid"), rates)},
            coords={"stimulus_id": ("stimulus", list(stimuli.ids)),
                    **{name: ("neuroid", values) for name, values in of_neurons.items()}},
            attrs={"name": f"tiny/{seed}", "simulated": True, "source_hash": str(seed)},
        )  # fmt: skip
        return Recording(data, stimuli)

    load = models.load
    alexnet = load("alexnet", "random")

    def load_tiny(name: str, **_: Any) -> Network:
        return truth.networks[int(name.split("-")[-1])] if "compact" in name else alexnet

    monkeypatch.setattr(study, "models", SimpleNamespace(load=load_tiny))
    monkeypatch.setattr(study, "load_pool", lambda: pool)
    monkeypatch.setattr(study, "simulate_v4_compact", simulate)
    monkeypatch.setattr(study, "LAYERS", ("features.4", "features.7"))
    monkeypatch.setattr(
        study, "correlations_of_networks",
        lambda *_, **__: pd.DataFrame({"neuron": ["a", "b"], "r": [0.5, 0.7]}),
    )  # fmt: skip
    return alexnet


@pytest.mark.slow
def test_writes_tables_and_figures_and_goes_on(
    study: ModuleType, simulated: Network, truth: Any, pool: StimulusSet, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    arguments = [
        "--neurons", "0", "1", "2", "--sizes", "20", "40", "--methods", "gradient",
        "--pictures", "1", "--sets", "1", "--steps", "1", "--rsa", "1", "12", "--resamples", "40",
        "--output", str(tmp_path),
    ]  # fmt: skip
    monkeypatch.setattr(study, "CELLS", 4)
    stopped = study.explain

    def interrupt(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "explain", interrupt)
    assert study.main(arguments) == 130
    assert "run again" in capsys.readouterr().err
    monkeypatch.setattr(study, "explain", stopped)
    monkeypatch.setattr(study, "fit_set", interrupt)  # the fits are there
    monkeypatch.setattr(study, "make_superstimuli", interrupt)
    assert study.main(arguments) == 0
    assert "SIMULATED" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.partial"))
    for name in ("superstimuli.png", "sheet.png", "maps.png", "fits.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")

    # The maps are compared with what the networks themselves do under a cover.
    maps = pd.read_csv(tmp_path / "maps.csv")
    one = maps[(maps["neuron"] == "201025-1") & (maps["n"] == 40) & (maps["picture"] == 0)]
    one = one[(one["cover"] == "grey") & (one["method"] == "gradient")].set_index("source")
    recording = study.simulate_v4_compact(0, 8, stimuli=pool, neurons=[0, 1, 2])
    rates = recording.data["rate"].values[:, 1]
    effort = study.Effort((20, 40), ("gradient",), pictures=1, sets=1)
    fitted = np.unique(np.concatenate([some for *_, some in study.sets(N_PICTURES, effort)]))
    unseen = np.setdiff1d(np.arange(N_PICTURES), fitted)
    shown = study.to_explain(rates, unseen, 1)
    assert rates[shown[0]] == rates[unseen].max()
    picture = study.as_tensor(pool, shown[:1])
    fall = truth.rates(1, picture)[0] - truth.rates(1, study.covered(picture[0], "grey"))
    network = truth.networks[1]
    inputs = network.preprocessing.normalise(picture).requires_grad_()
    network.module(inputs).sum().backward()
    slope = study.per_cell(inputs.grad[0].sum(0).abs())
    expected = np.corrcoef(slope, fall)[0, 1]
    assert one.loc["true network", "r"] == pytest.approx(expected, abs=1e-5)

    # Superstimuli spend no more than the pictures do.
    table = pd.read_csv(tmp_path / "superstimuli.csv")
    best = table[table["picture"] == "best recorded"]
    assert best["share"].le(1 + 1e-6).all()
    sites = pd.read_csv(tmp_path / "sites.csv")
    assert len(sites) == 2 * 3
    assert len(pd.read_csv(tmp_path / "rsa.csv")) == 2


@pytest.mark.slow
def test_held_out_r_is_that_of_encode(
    study: ModuleType, simulated: Network, pool: StimulusSet, tmp_path: Path
) -> None:
    recording = study.simulate_v4_compact(0, 8, stimuli=pool, neurons=[0, 1, 2])
    effort = study.Effort((60,), (), sets=1, resamples=0)
    ((n, number, pictures),) = study.sets(N_PICTURES, effort)
    study.FOLDS, folds = 5, study.FOLDS  # of twelve pictures, within which r is computed
    try:
        encoding, table = study.fit_set(simulated, recording, n, number, pictures, effort, tmp_path)
    finally:
        study.FOLDS = folds
    medians = table.groupby("layer")["r"].median()
    reported = encoding.layers.set_index("layer")["r"]
    assert medians.to_dict() == pytest.approx(reported.to_dict(), abs=1e-5)
    assert (table["r_ceiled"] / table["r"]).to_numpy() == pytest.approx(
        1 / np.sqrt(table["reliability"])
    )


def test_the_expected_r_with_noisy_means_is_that_of_many_draws(study: ModuleType) -> None:
    rng = np.random.default_rng(0)
    rates = rng.gamma(3, 10, (500, 1))
    predictions = rates + rng.normal(0, 15, rates.shape)
    expected = study.correlation(predictions, rates) * np.sqrt(study.reliability(rates, 4))
    drawn = [
        study.correlation(predictions, rng.poisson(rates * 0.1, (4, 500, 1)).mean(0))
        for _ in range(400)
    ]
    assert expected == pytest.approx(np.mean(drawn, axis=0), abs=0.003)


def test_cells_cover_the_picture_once(study: ModuleType) -> None:
    masks = study.cells((112, 112))
    torch.testing.assert_close(masks.sum(0), torch.ones(1, 112, 112))
    assert masks[8, 0, 24, 24] == masks[8].max()  # row 1, column 1
    picture = torch.rand(3, 112, 112)
    grey = study.covered(picture, "grey")[24]
    torch.testing.assert_close(grey[:, 56, 56], picture.mean((1, 2)))
    torch.testing.assert_close(grey[:, 0, 0], picture[:, 0, 0])
    blurred = study.covered(picture, "blur")[24]
    assert blurred[:, 52:60, 52:60].std() < 0.2 * picture.std()


def test_maps_are_summed_and_compared_over_cells(study: ModuleType) -> None:
    values = torch.arange(49.0).reshape(7, 7)
    large = values.repeat_interleave(16, 0).repeat_interleave(16, 1)
    np.testing.assert_allclose(study.per_cell(large), 256 * np.arange(49.0))
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((2, 49))
    assert study.agreement(one, other) == pytest.approx(
        (stats.pearsonr(one, other)[0], stats.spearmanr(one, other)[0])
    )
    assert study.agreement(np.ones(49), other) == (0.0, 0.0)


def test_shares_have_exact_intervals(study: ModuleType) -> None:
    exact = stats.binomtest(37, 40).proportion_ci(method="exact")
    assert study.interval(37, 40) == pytest.approx((exact.low, exact.high))
    assert study.interval(40, 40)[1] == 1.0


def test_the_layer_that_seems_best_is_asked_what_it_truly_has(study: ModuleType) -> None:
    rows = [
        {"n": 10, "set": s, "layer": layer, "neuron": "a", "r": r, "r_ceiled": r, "r_true": true,
         "reliability": 1.0, "reliability_true": 1.0}
        for s, seen in enumerate(((0.5, 0.4), (0.3, 0.6)))
        for layer, r, true in zip("xy", seen, (0.7, 0.4), strict=True)
    ]  # fmt: skip
    (row,) = study.summarise_layers(pd.DataFrame(rows)).to_dict("records")
    assert row["true_best"] == "x"
    assert (row["best"], row["rank_r"]) == (0.5, 0.0)
    assert row["regret"] == pytest.approx(0.15)
    assert row["bias"] == pytest.approx(np.mean([0.5 - 0.7, 0.3 - 0.7]))


@pytest.mark.slow
@pytest.mark.usefixtures("mirror")
def test_a_true_neuron_has_the_rates_of_its_recording(study: ModuleType) -> None:
    stimuli = study.load_pool().subset(range(3))
    recording = simulate_v4_compact(0, 2, stimuli=stimuli, neurons=[5])
    neuron = study.Truth.of(recording)
    found = neuron.rates(0, study.as_tensor(stimuli, range(3)))
    np.testing.assert_allclose(found, recording.data["rate"].values[:, 0], rtol=1e-4)


def test_refuses_what_does_not_exist(study: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        study.main(["--methods", "gradcam2", "--output", str(tmp_path)])
