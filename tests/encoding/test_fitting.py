"""`probe.encode`: what is fitted, held out, scored and refused."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from PIL import Image
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    ShuffleSplit,
)
from torch import nn

import probe
from probe import recordings
from probe.encoding.layer_fit import BRAINSCORE_ALPHAS
from probe.encoding.ridge import ALPHAS
from probe.errors import ProbeError
from probe.models import Network, Preprocessing
from probe.recordings import Recording
from probe.stimuli import StimulusSet

pytestmark = pytest.mark.usefixtures("_small_squeezenet", "_coarse_pngs")

QUICK = {"n_resamples": 20, "baselines": False, "progress": False}


def pictures(n, seed=0):
    """Coarse coloured blocks."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (n, 4, 4, 3))
    return list(np.kron(coarse, np.ones((1, 8, 8, 1))).astype(np.uint8))


def recorded(n=40, m=4, *, responses=None, group=None, seed=0, **attrs):
    """Sites that respond to the mean colour, twice, with noise."""
    rng = np.random.default_rng(seed)
    shown = pictures(n, seed)
    colours = np.stack([picture.mean((0, 1)) for picture in shown])
    drive = colours @ rng.normal(size=(3, m)) / 20
    given = drive[:, None] + rng.normal(size=(n, 2, m))
    given = given if responses is None else responses(given)
    ids = [f"s{k:03d}" for k in range(n)]
    coords = {
        "stimulus_id": ("stimulus", ids),
        "subject": ("neuroid", ["a"] * m),
        "region": ("neuroid", ["V4"] * m),
        "neuroid_id": ("neuroid", [f"u{k}" for k in range(m)]),
    }
    if group is not None:
        coords["group"] = ("stimulus", group)
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), given)},
        coords=coords,
        attrs={"name": "mine", "source_hash": str(seed), **attrs},
    )
    return Recording(data, StimulusSet(ids, shown, "blocks"))


class Tiny(nn.Module):
    """Two convolutions and a classifier, always the same."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 6, 5, 2, 2), nn.ReLU()
        self.second, self.fc = nn.Conv2d(6, 8, 3, 2, 1), nn.Linear(8, 5)
        rng = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            with torch.no_grad():
                parameter.copy_(torch.randn(parameter.shape, generator=rng) / 5)

    def forward(self, x):
        return self.fc(self.second(self.relu(self.conv(x))).mean((2, 3)))


class Last(Tiny):
    """The same channels twice: first before y and x, then after them."""

    def __init__(self):
        super().__init__()
        self.turned = nn.Identity()

    def forward(self, x):
        return self.turned(self.relu(self.conv(x)).permute(0, 2, 3, 1)).mean((1, 2))


def tiny(module=None, name="tiny"):
    small = Preprocessing("resize", (32, 32))
    return Network.from_module(module or Tiny(), name=name, preprocessing=small)


def encode(recording, network=None, **options):
    """Fit quickly: without a search for fields, unless it is asked for."""
    given = {"layers": "relu,second", "readout": "flat", **QUICK, **options}
    return probe.encode(network or tiny(), recording, **given)


@pytest.fixture(scope="module")
def fitted():
    """A small network and 89 simulated shapes, with baselines."""
    network = Network.from_module(
        Tiny(), name="tiny", preprocessing=Preprocessing("resize", (64, 64))
    )
    return probe.encode(
        network, recordings.load("sim-v4").select(stimuli=range(0, 178, 2)),
        layers="relu,second", splits=5, n_resamples=20, progress=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def with_untrained():
    """A network that is known by its name, so that there is an untrained one beside it."""
    return probe.encode(
        "squeezenet1_1", recorded(12), weights="random", layers="features.7,features.12",
        readout="flat", n_resamples=0, splits=3, progress=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def together():
    """Three layers alone, and together."""
    return encode(recorded(60), method="banded", baselines=True, layers="conv,second,fc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A recording in a folder: 60 stimuli, 6 sites."""
    place = tmp_path_factory.mktemp("protocol") / "blocks"
    (place / "images").mkdir(parents=True)
    shown = pictures(60, 5)
    for k, picture in enumerate(shown):
        Image.fromarray(picture).save(place / "images" / f"p{k:02d}.png")
    rng = np.random.default_rng(5)
    colours = np.stack([p.mean((0, 1)) for p in shown])
    drive = np.tanh(colours @ rng.normal(size=(3, 6)) / 40)
    np.save(place / "responses.npy", drive[:, None] + 0.3 * rng.normal(size=(60, 2, 6)))
    return place


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    """Two networks and two recordings, and where they are saved."""
    place = tmp_path_factory.mktemp("several")
    yours = recorded(seed=2)
    yours = Recording(yours.data.assign_attrs(name="yours"), yours.stimuli)
    turned = Tiny()
    with torch.no_grad():
        turned.conv.weight.mul_(-1)
    networks = [tiny(name="a"), tiny(turned, name="b")]
    return probe.encode(
        networks, [recorded(), yours], layers="relu", readout="flat", output=place, **QUICK
    ), place  # fmt: skip


class TestTable:
    def test_a_row_per_layer_the_chosen_and_the_baselines(self, fitted):
        table = fitted.table
        assert list(table["kind"]) == [
            "layer", "layer", "chosen", "pixels", "gabor",
        ]  # fmt: skip
        assert list(table["layer"][:3]) == ["relu", "second", "chosen"]
        assert set(table["n_sites"]) == {120}
        assert set(table["dataset"]) == {"sim-v4/0"}
        assert table["simulated"].all()
        for score in ("r", "r_ceiled", "r2_ceiled", "r2_er", "feve", "r2"):
            bounds = table[[f"{score}_low", score, f"{score}_high"]].to_numpy()
            assert np.isfinite(bounds).all()
            assert (bounds[:, 0] <= bounds[:, 2]).all()

    def test_responses_that_were_permuted_are_not_predicted(self, fitted):
        assert (fitted.table["shuffled"].abs() < 0.05).all()
        assert (fitted.table["r"] > 0.4).all()

    def test_the_chosen_layer_is_chosen_without_the_test_stimuli(self, fitted):
        """So its score may lie below that of the best layer, never far above each site's best."""
        table = fitted.table.set_index("kind")
        assert abs(table.loc["chosen", "r"] - table.loc["layer", "r"].max()) < 0.03
        assert set(fitted.sites["layer"]) <= {"relu", "second"}

    def test_random_weights_score_like_the_untrained_baseline(self, with_untrained):
        """They are of one seed."""
        table = with_untrained.table
        assert list(table["kind"]) == [
            "layer", "layer", "chosen", "untrained", "untrained", "pixels", "gabor",
        ]  # fmt: skip
        assert list(table["shown"][3:5]) == ["untrained fire5", "untrained fire9"]
        layers = table.loc[table["kind"] == "layer", "r"].to_numpy()
        untrained = table.loc[table["kind"] == "untrained", "r"].to_numpy()
        np.testing.assert_allclose(layers, untrained, atol=1e-9)

    def test_a_row_per_site(self, fitted):
        sites = fitted.sites
        assert list(sites["site"]) == list(range(120))
        assert sites["reliability"].between(0.4, 1).all()
        assert sites["y_px"].between(-20, 84).all()
        assert (sites["note"] == "").all()
        assert (sites["r_low"] <= sites["r_high"]).all()

    def test_layers_are_tested_against_each_other(self, fitted):
        (pair,) = fitted.pairs.to_dict("records")
        assert (pair["model_a"], pair["model_b"]) == ("relu", "second")
        assert 0 <= pair["p"] <= pair["p_fdr"] <= 1

    def test_held_out_predictions_are_there_for_every_stimulus(self, fitted):
        assert {name: p.shape for name, p in fitted.held_out.items()} == {
            "relu": (89, 120), "second": (89, 120),
        }  # fmt: skip


def test_the_same_again_is_the_same():
    first, second = encode(recorded()), encode(recorded())
    assert first.table.equals(second.table)
    assert first.sites.equals(second.sites)


def test_channels_after_positions_are_read_like_channels_before_them():
    module = Last()
    first = encode(recorded(), tiny(module), layers="relu", readout="field")
    last = encode(recorded(), tiny(module), layers="turned", readout="field")
    for column in ("r", "r2", "feve"):
        np.testing.assert_allclose(first.table[column], last.table[column], atol=1e-9)
    fields = ["y", "x", "sd_field", "alpha"]
    np.testing.assert_allclose(first.sites[fields], last.sites[fields])


class TestGroups:
    GROUP = np.arange(40) // 4

    @pytest.mark.parametrize("given", ["coordinate", "labels", "a dict", "name"])
    def test_they_stay_together_in_folds_and_resamples(self, given, monkeypatch):
        from probe.encoding import fit_jobs, judge

        seen = {}
        fit, score = fit_jobs.fit_blocks, judge.score

        def fit_blocks(patterns, responses, splits, *rest, **more):
            seen["splits"] = splits
            return fit(patterns, responses, splits, *rest, **more)

        def scored(responses, predictions, splits, noise, counts, **more):
            seen["counts"] = counts if counts is not None else seen.get("counts")
            return score(responses, predictions, splits, noise, counts, **more)

        monkeypatch.setattr(fit_jobs, "fit_blocks", fit_blocks)
        monkeypatch.setattr(judge, "score", scored)
        recording = recorded(group=None if given in ("labels", "a dict") else self.GROUP)
        by_name = dict(zip(recording.stimuli.ids, self.GROUP, strict=True))
        groups = {
            "coordinate": None,
            "labels": list(self.GROUP),
            "a dict": dict(reversed(by_name.items())),
            "name": "group",
        }[given]
        found = encode(recording, layers="relu", splits=5, groups=groups)
        for train, test in seen["splits"]:
            assert not set(self.GROUP[train]) & set(self.GROUP[test])
        together = seen["counts"].reshape(20, 10, 4)
        assert (together == together[:, :, :1]).all()
        assert "10 groups of stimuli" in " ".join(found.notes())

    @pytest.mark.parametrize(
        ("readout", "method"),
        [
            ("flat", "ridge"),
            ("flat", "banded"),
            ("field", "ridge"),
            pytest.param("field", "banded", marks=pytest.mark.slow),
            ("full", "ridge"),
            pytest.param("full", "banded", marks=pytest.mark.slow),
        ],
    )
    def test_they_are_left_out_together_when_penalties_are_chosen(
        self, readout, method, monkeypatch
    ):
        from probe.encoding import banded_fit, bands, layer_fit

        seen = []

        def watched(select):
            def of_groups(*given, groups=None, **more):
                seen.append(groups)
                return select(*given, groups=groups, **more)

            return of_groups

        for module in (bands, banded_fit, layer_fit):
            monkeypatch.setattr(module, "select", watched(module.select))
        options = {"readout": readout, "method": method, "splits": 5}
        found = encode(recorded(group=self.GROUP), **options)
        expected = np.unique(self.GROUP, return_inverse=True)[1].tolist()
        assert seen
        assert all(list(groups) == expected for groups in seen)
        assert found.facts["fit"]["chosen_by"] == (
            "the least error when each of 10 groups of stimuli is left out in turn"
        )
        seen.clear()
        found = encode(recorded(), **options)
        assert set(seen) == {None}
        assert found.facts["fit"]["chosen_by"] == (
            "the least error when each of 40 stimuli is left out in turn"
        )

    @pytest.mark.slow
    def test_penalties_are_those_of_a_grid_search(self):
        recording = recorded(group=self.GROUP)
        found = encode(recording, layers="relu", readout="full", splits=5)
        network, n = tiny(), 40
        shown = torch.stack([network.preprocessing(recording.stimuli.image(k)) for k in range(n)])
        with torch.no_grad():
            x = network.module.relu(network.module.conv(shown)).flatten(1).double().numpy()
        scale = ((x - x.mean(axis=0)) ** 2).sum() / n
        y = recording.mean_responses().values
        for site, alpha in enumerate(found.sites["alpha"][:2]):
            search = GridSearchCV(
                Ridge(solver="svd"), {"alpha": ALPHAS * scale}, cv=LeaveOneGroupOut(),
                scoring="neg_mean_squared_error",
            ).fit(x, y[:, site], groups=self.GROUP)  # fmt: skip
            assert alpha == pytest.approx(search.best_params_["alpha"] / scale, rel=1e-4)

    def test_brain_score_knows_none(self, monkeypatch):
        from probe.encoding import layer_fit

        seen = []
        select = layer_fit.select
        monkeypatch.setattr(
            layer_fit, "select",
            lambda *given, groups, **more: seen.append(groups) or select(*given, **more),
        )  # fmt: skip
        encode(recorded(group=self.GROUP), layers="relu", protocol="brainscore-ridgecv")
        assert seen == [None]

    def test_there_are_enough_of_them(self):
        with pytest.raises(ProbeError, match="at most 4, the number of groups"):
            encode(recorded(), groups=np.arange(40) // 10)

    def test_what_they_are_called_is_suggested(self):
        with pytest.raises(ProbeError, match="no coordinate 'grop' of stimuli; did you mean 'grou"):
            encode(recorded(group=self.GROUP), groups="grop")

    def test_there_is_one_label_per_stimulus(self):
        with pytest.raises(ProbeError, match="2 labels: expected 40"):
            encode(recorded(), groups=["a", "b"])


class TestSplits:
    def test_a_splitter_that_holds_out_each_once_is_like_a_number(self):
        number = encode(recorded(), layers="relu", splits=5)
        splitter = encode(recorded(), layers="relu", splits=KFold(5, shuffle=True, random_state=0))
        assert number.table.equals(splitter.table)

    def test_a_splitter_that_repeats_has_no_intervals(self):
        found = encode(recorded(), splits=ShuffleSplit(5, test_size=0.2, random_state=1))
        assert found.table["r_low"].isna().all()
        assert found.held_out == {}
        assert "mean over 5 splits. No intervals: splits leave out stimuli" in repr(found)

    def test_a_list_of_training_and_test_stimuli(self):
        halves = [(np.arange(20), np.arange(20, 40)), (np.arange(20, 40), np.arange(20))]
        found = encode(recorded(), layers="relu", splits=halves)
        assert found.facts["fit"]["n_splits"] == 2

    def test_numbers_of_numpy_are_numbers(self):
        assert encode(recorded(), layers="relu", splits=np.int64(5)).facts["fit"]["n_splits"] == 5

    def test_none_trains_on_what_it_tests(self):
        everything = [(np.arange(40), np.arange(40))]
        with pytest.raises(ProbeError, match="trains on a stimulus that it is tested on"):
            encode(recorded(), splits=everything)

    @pytest.mark.parametrize(
        "splits", [1, True, 41, 5.5, KFold(50), GroupKFold(3)], ids=lambda s: type(s).__name__
    )
    def test_impossible_ones_are_refused_in_a_line(self, splits):
        with pytest.raises(ProbeError) as error:
            encode(recorded(), splits=splits)
        assert "\n" not in str(error.value)

    def test_without_resamples_nothing_is_said_of_the_splits(self):
        assert "leave out stimuli, or repeat them" not in repr(encode(recorded(), n_resamples=0))

    @pytest.mark.filterwarnings("error::RuntimeWarning")
    def test_few_resamples_do(self):
        found = encode(recorded(), n_resamples=2)
        assert np.isfinite(found.table["r_low"]).all()

    @pytest.mark.filterwarnings("error::RuntimeWarning")
    def test_one_resample_has_no_spread(self):
        found = encode(recorded(), n_resamples=1)
        assert np.isnan(found.table["r_low"]).all()
        assert "No intervals: one resample has no spread." in repr(found)


class TestProtocols:
    """As Brain-Score has them, and as scikit-learn computes them."""

    @staticmethod
    def reference(folder, network, estimator):
        recording = probe.recordings.from_folder(folder)
        inputs = torch.stack([network.preprocessing(recording.stimuli.image(k)) for k in range(60)])
        with torch.no_grad():
            outputs = network.module.relu(network.module.conv(inputs)).flatten(1)
        x, y = outputs.double().numpy(), recording.mean_responses().values
        medians = []
        for train, test in ShuffleSplit(10, train_size=0.9, random_state=1).split(x):
            predicted = estimator().fit(x[train], y[train]).predict(x[test])
            r = [np.corrcoef(predicted[:, k], y[test, k])[0, 1] for k in range(6)]
            medians.append(np.median(r))
        return np.mean(medians)

    @pytest.mark.parametrize(
        ("protocol", "estimator", "atol"),
        [
            ("brainscore-pls", lambda: PLSRegression(25, scale=False), 1e-5),
            ("brainscore-ridgecv", lambda: RidgeCV(alphas=BRAINSCORE_ALPHAS), 1e-6),
        ],
    )
    def test_numbers_are_those_of_scikit_learn(self, folder, protocol, estimator, atol):
        network = tiny()
        found = encode(str(folder), network, layers="relu", protocol=protocol, n_resamples=0)
        (row,) = found.table.to_dict("records")
        expected = self.reference(folder, network, estimator)
        assert row["r"] == pytest.approx(expected, abs=atol)
        assert row["r_by_split"] == pytest.approx(expected, abs=atol)

    @pytest.mark.slow
    def test_permuted_responses_leave_the_sites_alone(self, folder):
        """Components and a penalty that all sites share are not shared with baselines."""
        for protocol in ("brainscore-pls", "brainscore-ridgecv"):
            alone = encode(str(folder), layers="relu", protocol=protocol, n_resamples=0)
            beside = encode(
                str(folder), layers="relu", protocol=protocol, n_resamples=0, baselines=True
            )
            assert alone.table["r"][0] == pytest.approx(beside.table["r"][0], abs=1e-9)

    def test_the_grid_is_brain_scores(self):
        assert len(BRAINSCORE_ALPHAS) == 99
        assert (np.diff(BRAINSCORE_ALPHAS) > 0).all()


class TestOwnModule:
    def test_it_has_no_untrained_baseline_and_a_remark_says_so(self):
        found = encode(recorded(), layers="relu", baselines=True)
        assert list(found.table["kind"]) == ["layer", "pixels", "gabor"]
        assert "No untrained baseline: only a network known by its name has one." in repr(found)

    def test_it_is_left_as_it_is(self):
        module = Tiny().train()
        module.second.eval()
        before = {k: v.clone() for k, v in module.state_dict().items()}
        flags = {k: m.training for k, m in module.named_modules()}
        torch.manual_seed(7)
        np.random.seed(7)  # noqa: NPY002 - the global state is what a user may rely on
        drawn, global_ = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        encode(recorded(), tiny(module))
        assert {k: m.training for k, m in module.named_modules()} == flags
        assert all(not m._forward_hooks and not m._forward_pre_hooks for m in module.modules())
        assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
        assert all(p.requires_grad and p.grad is None for p in module.parameters())
        assert torch.equal(torch.get_rng_state(), drawn)
        assert (np.random.get_state()[1] == global_).all()  # noqa: NPY002

    def test_a_layer_whose_positions_are_not_known_is_read_in_full(self):
        class Tokens(Last):
            def forward(self, x):
                return self.turned(self.relu(self.conv(x)).flatten(2).mT).mean(1)

        found = encode(recorded(), tiny(Tokens()), layers="turned")
        assert "Read in full, since their positions are not known: turned." in repr(found)
        assert found.sites["y"].isna().all()

    @pytest.mark.parametrize(
        "options",
        [{"readout": "field"}, {"readout": "flat"}, {"readout": "full"}, {"method": "pls"}],
        ids=lambda o: "-".join(o.values()),
    )
    def test_values_that_are_not_finite_are_told_with_the_layer(self, options):
        class Overflows(Tiny):
            def forward(self, x):
                return self.second(self.relu(self.conv(x)) * 1e30 * 1e10)

        with pytest.raises(ProbeError, match="layer 'second' of tiny gives values that are not f"):
            encode(recorded(), tiny(Overflows()), **options)

    @pytest.mark.parametrize("options", [{}, {"readout": "full"}, {"method": "pls"}])
    def test_a_layer_that_is_silent_has_no_score(self, options):
        class Dead(Tiny):
            def forward(self, x):
                return self.relu(self.conv(x) * 0 - 1)

        found = encode(recorded(), tiny(Dead()), layers="relu", **options)
        assert found.table["r"].isna().all()
        shown = found.predict([Image.fromarray(pictures(1)[0])]).to_numpy()
        np.testing.assert_allclose(shown[0], found.sites["mean"], atol=1e-4)


class TestBanded:
    """All layers together, beside each alone."""

    def test_a_row_for_each_alone_for_the_best_and_for_all_together(self, together):
        table = together.table
        assert list(table["kind"]) == [
            "layer", "layer", "layer", "chosen", "bands", "pixels", "gabor",
        ]  # fmt: skip
        of_bands = table.set_index("kind")["r2_band"]
        assert of_bands["layer"].sum() == pytest.approx(of_bands["bands"])
        assert of_bands[["chosen", "pixels", "gabor"]].isna().all()
        row = table[table["kind"] == "bands"].iloc[0]
        assert row["r_low"] <= row["r_high"]
        assert row["r2_band_low"] <= row["r2_band"] <= row["r2_band_high"]
        assert abs(row["shuffled"]) < 0.4
        assert row["r"] > 0.7

    def test_layers_alone_are_those_of_ridge(self, together):
        alone = encode(recorded(60), baselines=True, layers="conv,second,fc")
        both = together.table[together.table["kind"] != "bands"].drop(
            columns=["r2_band", "r2_band_low", "r2_band_high"]
        )
        pd.testing.assert_frame_equal(both.reset_index(drop=True), alone.table)

    def test_a_row_per_site_and_layer(self, together):
        bands = together.bands
        assert len(bands) == 4 * 3
        assert list(bands["layer"][:3]) == ["conv", "second", "fc"]
        np.testing.assert_allclose(bands.groupby("site")["share"].sum(), 1.0)
        penalty = together.sites["alpha"].to_numpy()[bands["site"]]
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(bands["alpha"], penalty / bands["share"].to_numpy())
        # Of all stimuli at once: what a fold's mean is off is in no band.
        of_site = bands.groupby("site")["r2"].sum()
        np.testing.assert_allclose(of_site, together.sites["r2"], atol=5e-3)

    def test_sites_are_read_from_all_layers(self, together):
        assert set(together.sites["layer"]) == {"conv + second + fc"}
        assert list(together.readouts) == ["conv", "second", "fc"]
        assert together.site(1).layers == ("conv", "second", "fc")
        assert "read from conv, second, fc of tiny" in together.site(1).facts["said"]

    def test_they_are_compared_with_each_layer_and_with_the_best(self, together):
        pairs = together.pairs
        assert list(pairs["model_a"][pairs["model_b"] == "bands"]) == [
            "conv", "second", "fc", "chosen",
        ]  # fmt: skip
        assert "All 3 layers together" in repr(together)
        assert "Together less each site's best layer alone" in repr(together)
        assert set(together.held_out) == {"conv", "second", "fc", "bands"}

    def test_a_field_is_common_to_all_layers(self):
        found = encode(recorded(), method="banded", readout="field", splits=3)
        one, other = (found.readouts[name].fields for name in ("relu", "second"))
        assert one == other
        assert [f.y for f in one] == list(found.sites["y"])
        assert found.sites["y_px"].between(-10, 42).all()

    def test_splits_that_repeat_stimuli(self):
        found = encode(
            recorded(), method="banded", splits=ShuffleSplit(4, test_size=0.3, random_state=1)
        )
        assert found.bands["r2"].notna().all()
        assert found.bands["r2_low"].isna().all()
        assert "No intervals" in repr(found)

    def test_a_site_that_is_constant(self):
        def still(responses):
            responses[:, :, 0] = 2.0
            return responses

        found = encode(recorded(responses=still), method="banded", readout="field", splits=3)
        assert found.bands.loc[found.bands["site"] == 0, "r2"].isna().all()
        assert np.isfinite(found.table["r2_band"].iloc[:2]).all()
        assert np.isfinite(found.predict([Image.fromarray(pictures(1)[0])])).all(axis=None)

    def test_the_search_for_more_than_two_has_a_seed(self, together):
        again = encode(recorded(60), method="banded", baselines=True, layers="conv,second,fc")
        other = encode(recorded(60), method="banded", layers="conv,second,fc", seed=1)
        pd.testing.assert_frame_equal(again.bands, together.bands)
        assert not np.allclose(other.bands["share"], together.bands["share"])

    def test_some_stimuli_alone(self):
        """As a check of a picture needs it, by other stimuli."""
        from probe.encoding import fitting
        from probe.encoding.settings import EncodeSettings

        settings = EncodeSettings(
            layers="relu,second", readout="flat", method="banded", splits=3, baselines=False,
            n_resamples=0, device="cpu", progress=False,
        ).checked()  # fmt: skip
        half = fitting.fit(tiny(), recorded(), settings, stimuli=range(0, 40, 2))
        assert half.held_out["bands"].shape == (20, 4)


class TestSeveral:
    def test_one_of_each_in_the_order_named(self, fits):
        found, place = fits
        assert isinstance(found, probe.encoding.Encodings)
        assert found.folders == ["a-mine-V4", "a-yours-V4", "b-mine-V4", "b-yours-V4"]
        assert {p.name for p in place.iterdir()} == {*found.FILES, *found.folders}
        assert all((place / name / "encoding.json").is_file() for name in found.folders)
        assert len(found.table) == 4

    def test_networks_are_compared_on_the_same_recording(self, fits):
        pairs = fits[0].pairs
        assert list(pairs["dataset"]) == ["mine", "yours"]
        assert (pairs[["model_a", "model_b"]].to_numpy() == ["a", "b"]).all()
        for k, one in enumerate(("mine", "yours")):
            a, b = (fits[0][i] for i in ((0, 2), (1, 3))[k])
            assert a.facts["recording"]["name"] == one
            difference = a.sites["r"].mean() - b.sites["r"].mean()
            assert pairs["difference"][k] == pytest.approx(difference)
        assert pairs["p_fdr"].between(0, 1).all()

    def test_it_shows_itself(self, fits):
        assert "a, b predict mine, yours" in repr(fits[0])
        assert "data:image/png" in fits[0]._repr_html_()

    def test_layers_together_are_what_networks_are_compared_by(self):
        turned = Tiny()
        with torch.no_grad():
            turned.conv.weight.mul_(-1)
        networks = [tiny(name="a"), tiny(turned, name="b")]
        found = probe.encode(
            networks, recorded(), layers="relu,second", readout="flat", method="banded", **QUICK
        )
        for one, r in zip(found, found.summary()["r"], strict=True):
            (together,) = one.table.loc[one.table["kind"] == "bands", "r"]
            assert r == f"{together:.3f}".removeprefix("0")
        assert "r with all layers together" in repr(found)

    def test_one_without_any_score_is_shown_beside_the_others(self):
        still = recorded(responses=lambda r: np.full_like(r, 2.0), name="still")
        found = probe.encode(tiny(), [recorded(), still], layers="relu", **QUICK)
        assert "still" in repr(found)

    def test_regions_are_fitted_apart(self):
        recording = recorded()
        regions = ("neuroid", ["V1", "V1", "V4", "V4"])
        both = Recording(recording.data.assign_coords(region=regions), recording.stimuli)
        found = encode(both, region="all", layers="relu")
        assert [(one.facts["region"], len(one)) for one in found] == [("V1", 2), ("V4", 2)]


class TestSites:
    def test_a_constant_one_has_no_score_and_a_note(self):
        def still(responses):
            responses[:, :, 0] = 2.0
            return responses

        found = encode(recorded(responses=still))
        assert np.isnan(found.sites["r"][0])
        assert found.sites["note"][0] == "the responses are constant, there is nothing to predict"
        assert found.sites["r"][1:].notna().all()
        assert list(found.table["kind"]) == ["layer", "layer", "chosen"]
        assert "1 of 4 sites: the responses are constant" in repr(found)
        with pytest.raises(ProbeError, match="responds alike to all stimuli"):
            found.site(0)
        assert found.site("all").facts["n_sites"] == 3

    def test_only_constant_ones_are_shown_without_scores(self):
        found = encode(recorded(responses=lambda r: np.full_like(r, 2.0)))
        assert found.table["r"].isna().all()
        assert "4 of 4 sites: the responses are constant" in repr(found)
        assert "no stimulus was repeated" not in repr(found)

    def test_a_repetition_that_is_missing_for_some_stimuli(self):
        def gaps(responses):
            responses[::3, 1] = np.nan
            responses[5, 0, 2] = np.nan
            return responses

        found = encode(recorded(responses=gaps))
        assert np.isfinite(found.sites[["r", "reliability", "r_ceiled"]]).all(axis=None)

    def test_a_single_one(self):
        found = encode(recorded(m=1))
        assert len(found) == 1
        assert np.isfinite(found.table["r_low"]).all()
        assert found.pairs["p"].isna().all()
        assert found.site(0).facts["sites"] == [0]
        assert "V4, 1 site, a, 40 stimuli" in found.title
        assert "over 1 site" not in repr(found)

    @pytest.mark.parametrize(
        ("averaged", "why"),
        [(True, "the recording holds means over repetitions"), (False, "no stimulus was repeated")],
    )
    def test_why_there_is_no_ceiling(self, averaged, why):
        once = recorded(responses=lambda r: r[:, :1], averaged=averaged)
        found = encode(once)
        assert found.table["r_ceiled"].isna().all()
        assert f"No ceiling: {why}." in repr(found)
        assert repr(found).count(why) == 1
        assert set(found.sites["note"]) == {f"no ceiling, since {why}"}

    def test_one_layer_is_not_chosen_among_others(self):
        found = encode(recorded(), layers="relu")
        assert list(found.table["kind"]) == ["layer"]
        assert set(found.sites["layer"]) == {"relu"}
        assert len(found.pairs) == 0

    def test_of_pls_they_are_read_from_the_layer_that_predicts_best(self):
        """There is no leave-one-out error to choose by, and the first layer is no choice."""
        found = encode(recorded(), method="pls", layers="conv,relu,second,fc")
        best = found.layers["layer"][found.layers["r"].argmax()]
        assert set(found.sites["layer"]) == {best}


class TestRefused:
    """In a line, before the network is run."""

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            (
                {"readout": "fields"},
                "readout 'fields': expected one of field, flat, full; did you mean 'field'",
            ),
            (
                {"method": "rigde"},
                "method 'rigde': expected one of ridge, banded, pls; did you mean 'ridge'",
            ),
            ({"protocol": "brainscore-plss"}, "did you mean 'brainscore-pls'"),
            ({"method": "pls", "n_components": 0}, "n_components 0: expected a number ≥ 1"),
            ({"n_resamples": -1}, "n_resamples -1: expected a number ≥ 0"),
            ({"seed": -1}, "seed -1: expected a number ≥ 0"),
            ({"method": "banded", "layers": "relu"}, "'banded' fits several layers together, and"),
            (
                {"method": "banded", "protocol": "brainscore-pls"},
                "protocol 'brainscore-pls' fits one layer at a time, and method 'banded' several",
            ),
            ({"layers": "secnd"}, "no layer 'secnd'; did you mean 'second'"),
            ({"layers": []}, "no layers were named"),
            ({"region": "V5"}, "no region 'V5'"),
            ({"subject": "b"}, "no subject 'b'"),
            ({"device": "tpu"}, "tpu"),
        ],
        ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
    )
    def test_what_there_is_not(self, options, says, monkeypatch):
        from probe.encoding import jobs

        monkeypatch.setattr(jobs, "Extraction", None)
        with pytest.raises(ProbeError) as error:
            encode(recorded(), **options)
        assert says in str(error.value)
        assert "\n" not in str(error.value)

    def test_too_few_stimuli(self):
        with pytest.raises(ProbeError, match=r"'mine' has 9 stimuli, too few .*: expected 10"):
            encode(recorded(9))
        assert len(encode(recorded(10))) == 4

    def test_a_recording_of_rdms(self):
        ids = [f"s{k:03d}" for k in range(12)]
        data = xr.Dataset(
            {"rdms": (("rdm", "pair"), np.random.default_rng(0).uniform(0.2, 1, (1, 66)))},
            coords={
                "stimulus_id": ("stimulus", ids),
                "subject": ("rdm", ["a"]),
                "region": ("rdm", ["IT"]),
            },
            attrs={"name": "dissimilar"},
        )
        recording = Recording(data, StimulusSet(ids, pictures(12), "blocks"))
        with pytest.raises(ProbeError, match=r"'dissimilar' holds RDMs only, .* probe\.rsa"):
            encode(recording)

    def test_names_that_are_nearly_right(self):
        with pytest.raises(ProbeError, match="did you mean 'alexnet'"):
            probe.encode("alexnett", recorded(), **QUICK)
        with pytest.raises(ProbeError, match="did you mean 'sim-v4'"):
            probe.encode(tiny(), "sim-v5", **QUICK)


@pytest.fixture(scope="module")
def workers():
    """Two, in this process."""
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    from probe.cluster import connect

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
        ) as own,
        distributed.Client(own, set_as_default=False) as client,
        connect(client) as joined,
    ):
        yield joined


class TestCluster:
    """Blocks of sites are shared out; numbers are the same to the last digit."""

    @pytest.mark.parametrize(
        ("options", "n_pieces"),
        [
            ({"baselines": True}, 4 * 5),
            ({"method": "banded"}, 3 * 3),
            *(
                pytest.param(*case, marks=pytest.mark.slow)
                for case in (
                    ({"readout": "full", "baselines": True}, 4 * 5),
                    ({"readout": "field", "splits": 3}, 2 * 3),
                    ({"method": "pls", "baselines": True}, 4 * 2),
                    ({"protocol": "brainscore-ridgecv", "baselines": True}, 4 * 2),
                    ({"method": "banded", "readout": "field", "splits": 3}, 3 * 3),
                )
            ),
        ],
        ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
    )
    def test_it_finds_the_same(self, options, n_pieces, workers, monkeypatch):
        from probe.encoding import fit_jobs, layer_fit

        monkeypatch.setattr(layer_fit, "SITES_AT_A_TIME", 3)
        pieces, total, on_worker, share_out = [], [], fit_jobs._fit_on_worker, workers.map

        def spied(function, tasks, *, sizes=None, **more):
            if function is on_worker:
                pieces.extend(tasks)
                total.append(sum(sizes))
            return share_out(function, tasks, sizes=sizes, **more)

        monkeypatch.setattr(workers, "map", spied)
        here = encode(recorded(m=7), **options)
        there = encode(recorded(m=7), cluster=workers, **options)
        assert here.table.equals(there.table)
        assert here.sites.equals(there.sites)
        assert here.bands.equals(there.bands)
        for name, readout in here.readouts.items():
            np.testing.assert_array_equal(readout.weights, there.readouts[name].weights)
            np.testing.assert_array_equal(readout.offsets, there.readouts[name].offsets)
        assert len(pieces) == n_pieces
        assert total == [sum(task.n_candidates for task, _ in pieces)]
        assert not fit_jobs._prepared

    @pytest.mark.slow
    def test_progress_here_is_that_of_all_blocks(self, monkeypatch):
        from probe.encoding import fit_jobs, layer_fit

        monkeypatch.setattr(layer_fit, "SITES_AT_A_TIME", 3)
        bars, track = [], fit_jobs.track

        def spied(*given, **more):
            bars.append(track(*given, **more))
            return bars[-1]

        monkeypatch.setattr(fit_jobs, "track", spied)
        for options in ({}, {"method": "pls", "baselines": True}, {"method": "banded"}):
            bars.clear()
            encode(recorded(m=7), **options | {"progress": True})
            (bar,) = bars
            assert bar.n == bar.total


@pytest.mark.slow  # two processes start, which takes half a minute on two cores
def test_processes_find_the_same():
    """Of more sites than are fitted at a time, in processes of their own."""
    pytest.importorskip("distributed", reason="distributed is not installed")
    options = {"layers": "features.3,features.7", "weights": "random", "splits": 2, **QUICK}
    recording = recorded(20, m=2500)
    for more in ({"readout": "flat"}, {"readout": "full", "method": "banded"}):
        here = probe.encode("squeezenet1_1", recording, **options | more)
        there = probe.encode("squeezenet1_1", recording, cluster="local:2", **options | more)
        assert here.table.equals(there.table)
        assert here.sites.equals(there.sites)
        assert here.bands.equals(there.bands)


class TestReliableSites:
    """Chosen on half of the repetitions, fitted and scored on the others."""

    def recorded(self):
        """Five sites that follow the colour, and five of noise, six times."""
        rng = np.random.default_rng(3)
        made = recorded(m=10)
        means = made.mean_responses().values
        means[:, 5:] = means[:, 5:].mean(axis=0)
        six = means[:, None] + rng.normal(size=(40, 6, 10))
        data = made.data.drop_vars("responses")
        data["responses"] = (("stimulus", "repetition", "neuroid"), six)
        return Recording(data, made.stimuli)

    def test_as_what_is_selected(self):
        made = self.recorded()
        found = encode(made, min_reliability=0.6, splits=4)
        selected = recordings.select_reliable(made, 0.6)
        assert list(found.sites["neuroid_id"]) == [f"u{k}" for k in range(5)]
        pd.testing.assert_frame_equal(found.sites, encode(selected, splits=4).sites)

    def test_it_says_so(self):
        found = encode(self.recorded(), min_reliability=0.6, splits=4)
        assert "5 sites with reliability ≥ 0.6" in found.title
        said = "Neuroids with reliability ≥ 0.6: 5 of 10, chosen on other repetitions."
        assert said in found.notes()
        assert found.facts["recording"]["selection"]["n_kept"] == 5
        assert found.provenance["settings"]["min_reliability"] == 0.6
        assert "with reliability" not in encode(self.recorded(), splits=4).title

    def test_their_numbers_are_not_those_of_all_sites(self, tmp_path, monkeypatch):
        """Site 3 of a selection is another neuroid."""
        monkeypatch.setenv("PROBE_CACHE", str(tmp_path))
        from probe.encoding.kept import list_fits, model_of

        found = probe.encode(
            "squeezenet1_1", self.recorded(), weights="random", layers="features.7",
            readout="flat", min_reliability=0.6, splits=3, **QUICK,
        )  # fmt: skip
        assert found.dataset == "mine@reliability0.6"
        assert model_of("site:mine@reliability0.6:3")[0] == "squeezenet1_1"
        with pytest.raises(ProbeError, match="no sites of 'mine' were fitted yet"):
            model_of("site:mine:3")
        assert [one.dataset for one in list_fits()] == ["mine@reliability0.6"]

    def test_nor_are_those_of_chosen_neuroids(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PROBE_CACHE", str(tmp_path))
        from probe.encoding.kept import model_of

        made = self.recorded()
        names = set()
        for neuroids in ([3, 5, 7], [5, 3, 7]):
            some = made.select(neuroids=neuroids)
            name = encode(some, splits=3).dataset
            assert re.fullmatch(r"mine@3-neuroids-[0-9a-f]{6}", name)
            names.add(name)
        assert len(names) == 2
        assert encode(made.select(neuroids=range(10)), splits=3).dataset == "mine"
        probe.encode(
            "squeezenet1_1", some, weights="random", layers="features.7", readout="flat", splits=3,
            **QUICK,
        )  # fmt: skip
        assert model_of(f"site:{name}:0")[0] == "squeezenet1_1"
        with pytest.raises(ProbeError, match="no sites of 'mine' were fitted yet"):
            model_of("site:mine:0")

    def test_what_cannot_be(self):
        with pytest.raises(ProbeError, match=r"min_reliability 7: expected a number from 0 to 1"):
            encode("there-is-none", min_reliability=7)
        with pytest.raises(ProbeError, match="takes 3 or more of 5 or more stimuli"):
            encode(recorded(), min_reliability=0.5)
