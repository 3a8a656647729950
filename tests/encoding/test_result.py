"""An `Encoding`: kept in a folder, opened, asked for predictions, put on a network as a head."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from PIL import Image
from torch import nn

import probe
from probe import models
from probe.assets import Unavailable
from probe.encoding import kept, layer_fit, readouts
from probe.errors import ProbeError
from probe.models import Network, Preprocessing
from probe.plots import plot_sites
from probe.recordings import Recording
from probe.stimuli import StimulusSet

pytestmark = pytest.mark.usefixtures("_small_squeezenet")

QUICK = {"n_resamples": 0, "baselines": False, "progress": False}


def pictures(n, seed=0):
    """Coarse coloured blocks."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (n, 4, 4, 3))
    return list(np.kron(coarse, np.ones((1, 8, 8, 1))).astype(np.uint8))


def recorded(n=24, m=4, ids=None, **attrs):
    """Sites that respond to the mean colour, twice, with noise."""
    rng = np.random.default_rng(0)
    shown = pictures(n)
    colours = np.stack([picture.mean((0, 1)) for picture in shown])
    drive = colours @ rng.normal(size=(3, m)) / 20
    names = [f"s{k:03d}" for k in range(n)]
    responses = drive[:, None] + rng.normal(size=(n, 2, m))
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), responses)},
        coords={
            "stimulus_id": ("stimulus", names),
            "subject": ("neuroid", ["a"] * m),
            "region": ("neuroid", ["V4"] * m),
            "neuroid_id": ("neuroid", ids or [f"u{k}" for k in range(m)]),
        },
        attrs={"name": "mine", "source_hash": "0", **attrs},
    )
    return Recording(data, StimulusSet(names, shown, "blocks"))


class Tiny(nn.Module):
    """Two convolutions and a classifier, always the same; smooth, so that it has differences."""

    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 6, 5, 2, 2), nn.Softplus()
        self.second, self.fc = nn.Conv2d(6, 8, 3, 2, 1), nn.Linear(8, 5)
        rng = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            with torch.no_grad():
                parameter.copy_(torch.randn(parameter.shape, generator=rng) / 5)

    def forward(self, x):
        return self.fc(self.second(self.act(self.conv(x))).mean((2, 3)))


def wrap(module, name="tiny"):
    small = Preprocessing("resize", (32, 32))
    return Network.from_module(module, name=name, preprocessing=small)


def encode(network=None, recording=None, **options):
    given = {"layers": "act,second", "readout": "flat", **QUICK, **options}
    return probe.encode(network or wrap(Tiny()), recording or recorded(), **given)


def agreement(encoding, shown):
    """The largest difference of the head from `predict`, in SD of a site's responses."""
    network = encoding.load_network()
    inputs = torch.stack([network.preprocessing(one) for one in shown])
    with torch.no_grad():
        given = encoding.head()(inputs).numpy()
    expected = encoding.predict(shown, progress=False).to_numpy()
    return np.abs((given - expected) / encoding.sites["sd"].to_numpy()).max()


@pytest.fixture(scope="module")
def shown():
    return [Image.fromarray(picture) for picture in pictures(3, seed=9)]


@pytest.fixture(scope="module")
def fitted():
    """With fields, in two layers."""
    return encode(readout="field", n_resamples=10)


@pytest.fixture(scope="module")
def together():
    """Each site in two layers, in one field."""
    return encode(method="banded", readout="field", splits=3, n_resamples=10)


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory):
    place = tmp_path_factory.mktemp("saved")
    fitted.save(place)
    return place


@pytest.fixture
def damaged(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


class TestSaved:
    def test_all_files_are_there(self, fitted, saved):
        assert {p.name for p in saved.iterdir()} == set(fitted.FILES)
        assert (saved / "sites.png").read_bytes().startswith(b"\x89PNG")

    def test_opened_it_is_the_same(self, fitted, saved, shown):
        opened = probe.open_encoding(saved, wrap(Tiny()))
        pd.testing.assert_frame_equal(opened.table, fitted.table, check_dtype=False)
        pd.testing.assert_frame_equal(opened.sites, fitted.sites, check_dtype=False)
        pd.testing.assert_frame_equal(opened.pairs, fitted.pairs, check_dtype=False)
        assert opened.facts == fitted.facts
        assert opened.identity == fitted.identity
        assert opened.provenance == fitted.provenance
        np.testing.assert_array_equal(opened.predict(shown), fitted.predict(shown))
        assert opened.title == fitted.title
        assert opened.notes() == fitted.notes()
        assert opened.site(2).facts == fitted.site(2).facts

    def test_intervals_that_miss_the_estimate_are_drawn_too(self, tmp_path):
        """Of few resamples, or of a skewed score, they may."""
        found = encode(n_resamples=2)
        bounds = found.sites[["r_low", "r", "r_high"]].to_numpy()
        assert ((bounds[:, 1] < bounds[:, 0]) | (bounds[:, 1] > bounds[:, 2])).any()
        assert {p.name for p in found.save(tmp_path)} == set(found.FILES)

    def test_a_bare_module_will_do(self, tmp_path):
        class Wide(Tiny):
            pass

        found = probe.encode(Wide(), recorded(12), layers="second", readout="flat", **QUICK)
        found.save(tmp_path, figures=False)
        assert len(probe.open_encoding(tmp_path, Wide()).predict(pictures(1)[0])) == 1

    def test_layers_that_are_called_by_numbers(self, tmp_path, shown):
        numbered = nn.Sequential(nn.Conv2d(3, 6, 5, 2, 2), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1))
        network = wrap(numbered, "numbered")
        found = encode(network, layers="all")
        found.save(tmp_path, figures=False)
        opened = probe.open_encoding(tmp_path, network)
        assert list(opened.sites["layer"]) == list(found.sites["layer"])
        np.testing.assert_array_equal(opened.predict(shown), found.predict(shown))
        assert opened.site(0).layers == found.site(0).layers

    @pytest.mark.parametrize("ids", [["NA", "nan", "01", "None"], ["", "1e3", "true", "null"]])
    def test_sites_that_are_called_like_something_else(self, tmp_path, ids):
        found = encode(recording=recorded(ids=ids))
        found.save(tmp_path, figures=False)
        assert list(probe.open_encoding(tmp_path, wrap(Tiny())).sites["neuroid_id"]) == ids


class TestBanded:
    """Sites that are read from several layers."""

    def test_all_files_are_there_and_opened_it_is_the_same(self, together, tmp_path, shown):
        together.save(tmp_path)
        assert {p.name for p in tmp_path.iterdir()} == set(together.files)
        assert {"bands.csv", "bands.png"} < set(together.files)
        opened = probe.open_encoding(tmp_path, wrap(Tiny()))
        for name in ("table", "sites", "pairs", "bands"):
            pd.testing.assert_frame_equal(
                getattr(opened, name), getattr(together, name), check_dtype=False
            )
        np.testing.assert_array_equal(opened.predict(shown), together.predict(shown))
        assert opened.notes() == together.notes()
        assert opened.site(2).facts == together.site(2).facts
        assert opened.files == together.files

    @pytest.mark.parametrize("readout", ["field", "flat", "full"])
    def test_the_head_is_the_sum(self, readout, shown):
        layers = "act,second" if readout == "field" else "act,second,fc"
        found = encode(method="banded", readout=readout, layers=layers, splits=2)
        assert agreement(found, shown) < 1e-4

    def test_a_site_is_the_sum_in_deviations_from_its_mean(self, together, shown):
        network = together.load_network()
        inputs = torch.stack([network.preprocessing(one) for one in shown])
        sites = together.sites
        expected = (together.predict(shown) - sites["mean"].to_numpy()) / sites["sd"].to_numpy()
        for number, values in ((1, expected.to_numpy()[:, 1]), ("all", expected.mean(axis=1))):
            given = probe.targets.values(network.module, inputs, together.site(number))
            np.testing.assert_allclose(given.detach().numpy(), values, atol=1e-4)

    def test_predictions_are_those_of_the_fit(self, together):
        """Of the stimuli: correlated with the responses, and of their mean."""
        found = together.predict(recorded().stimuli).to_numpy()
        responses = recorded().mean_responses().values
        np.testing.assert_allclose(found.mean(axis=0), responses.mean(axis=0), atol=1e-4)
        assert min(np.corrcoef(found[:, k], responses[:, k])[0, 1] for k in range(4)) > 0.8

    def test_it_is_kept_and_found_by_its_name(self, together, shown):
        encode(method="banded", recording=recorded(name="banded"))
        site = probe.targets.parse("site:banded:2", wrap(Tiny()))
        assert site.layers == ("act", "second")

    def test_rows_that_were_lost(self, together, tmp_path):
        together.save(tmp_path, figures=False)
        lines = (tmp_path / "bands.csv").read_text().splitlines(keepends=True)
        (tmp_path / "bands.csv").write_text("".join(lines[:-1]))
        TestDamaged.refused(tmp_path)
        (tmp_path / "bands.csv").unlink()
        TestDamaged.refused(tmp_path)

    def test_a_layer_too_large_to_write_is_told_and_not_left_out_of_the_sum(
        self, tmp_path, monkeypatch, shown
    ):
        for module in (readouts, layer_fit):
            monkeypatch.setattr(module, "WEIGHT_BYTES", 4 * 50)
        found = encode(method="banded", readout="full", layers="act,fc", splits=2)
        found.save(tmp_path, figures=False)
        opened = probe.open_encoding(tmp_path, wrap(Tiny()))
        for use in (lambda: opened.site(0), opened.head, lambda: opened.predict(shown)):
            with pytest.raises(ProbeError, match="weights of layer 'act' were too many to keep"):
                use()

    def test_layers_that_can_be_written_are_not_lost_with_one_that_cannot(
        self, tmp_path, monkeypatch
    ):
        for module in (readouts, layer_fit):
            monkeypatch.setattr(module, "WEIGHT_BYTES", 4 * 50)
        found = encode(layers="act,fc", readout="full", splits=2, recording=recorded(m=12))
        assert set(found.readouts) == {"act", "fc"}
        found.save(tmp_path, figures=False)
        assert list(probe.open_encoding(tmp_path, wrap(Tiny())).readouts) == ["fc"]

    def test_it_shows_itself(self, together):
        assert together._repr_html_().count("data:image/png;base64,") == 3
        assert "all 2 layers together" in repr(together)
        figure = together.plot_bands()
        assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["act", "second"]

    def test_others_have_no_bands_to_draw(self, fitted):
        assert len(fitted.bands) == 0
        with pytest.raises(ProbeError, match="read from one layer each: fit them with method 'ba"):
            fitted.plot_bands()


class TestNotTheSame:
    def test_another_network(self, saved):
        other = Tiny()
        with torch.no_grad():
            other.fc.bias += 1
        with pytest.raises(
            ProbeError, match=r"was fitted with tiny \(weights .*, and this network"
        ):
            probe.open_encoding(saved, wrap(other))

    def test_other_pictures(self, saved):
        large = Network.from_module(
            Tiny(), name="tiny", preprocessing=Preprocessing("resize", (64, 64))
        )
        with pytest.raises(ProbeError, match=r"resized to 32×32 px .* gets them resized to 64×64"):
            probe.open_encoding(saved, large)

    def test_a_module_of_ones_own_has_to_be_passed(self, saved, shown):
        opened = probe.open_encoding(saved)
        assert len(opened) == 4
        with pytest.raises(ProbeError, match="a module of your own: pass it"):
            opened.predict(shown)

    def test_there_is_none(self, tmp_path):
        with pytest.raises(
            ProbeError, match="holds no encoding: expected the folder that `probe en"
        ):
            probe.open_encoding(tmp_path)


class TestDamaged:
    """Another version, or a disk that was full: told in a line, whatever is broken."""

    @staticmethod
    def refused(place):
        with pytest.raises(ProbeError) as error:
            probe.open_encoding(place, wrap(Tiny()))
        assert "\n" not in str(error.value)
        assert "probe encode" in str(error.value)

    @pytest.mark.parametrize("name", ["encoding.json", "sites.csv", "pairs.csv", "sites.npz"])
    def test_an_empty_file(self, damaged, name):
        (damaged / name).write_bytes(b"")
        self.refused(damaged)

    @pytest.mark.parametrize("name", ["sites.csv", "pairs.csv", "sites.npz"])
    def test_a_missing_file(self, damaged, name):
        (damaged / name).unlink()
        self.refused(damaged)

    @pytest.mark.parametrize("content", ["[]", "null", "{}", '{"format": 1}', "{", "\x00"])
    def test_json_that_is_something_else(self, damaged, content):
        (damaged / "encoding.json").write_text(content)
        self.refused(damaged)

    @pytest.mark.parametrize("key", ["fit", "model", "recording", "region", "dataset"])
    def test_json_that_lacks_something(self, damaged, key):
        about = json.loads((damaged / "encoding.json").read_text())
        del about[key]
        (damaged / "encoding.json").write_text(json.dumps(about))
        self.refused(damaged)

    @pytest.mark.parametrize("part", ["half", "bit"])
    def test_arrays_that_are_broken(self, damaged, part):
        content = bytearray((damaged / "sites.npz").read_bytes())
        if part == "half":
            content = content[: len(content) // 2]
        else:
            content[len(content) // 3] ^= 255
        (damaged / "sites.npz").write_bytes(content)
        self.refused(damaged)

    def test_pairs_that_are_none(self, damaged):
        (damaged / "pairs.csv").write_text("nothing\n")
        self.refused(damaged)

    def test_sites_that_were_lost(self, damaged):
        lines = (damaged / "sites.csv").read_text().splitlines(keepends=True)
        (damaged / "sites.csv").write_text("".join(lines[:2]))
        self.refused(damaged)

    def test_arrays_of_another_fit(self, damaged, tmp_path):
        encode(recording=recorded(m=7)).save(tmp_path / "other", figures=False)
        shutil.copy(tmp_path / "other" / "sites.npz", damaged)
        self.refused(damaged)


class TestPredict:
    def test_a_stimulus_set(self, fitted):
        stimuli = recorded().stimuli
        found = fitted.predict(stimuli)
        assert found.shape == (24, 4)
        assert list(found.index) == list(stimuli.ids)
        assert list(found.columns) == ["u0", "u1", "u2", "u3"]
        recorded_ = recorded().mean_responses().values
        r = [np.corrcoef(found.to_numpy()[:, k], recorded_[:, k])[0, 1] for k in range(4)]
        assert min(r) > 0.7

    def test_a_folder_and_pictures_one_by_one(self, fitted, shown, tmp_path):
        for k, picture in enumerate(shown):
            picture.save(tmp_path / f"p{k}.png")
        folder = fitted.predict(tmp_path)
        paths = sorted(tmp_path.iterdir())
        assert list(folder.index) == ["p0.png", "p1.png", "p2.png"]
        for given in (shown, tuple(shown), paths, [np.asarray(one) for one in shown]):
            np.testing.assert_allclose(fitted.predict(given), folder, atol=1e-5)
        for one in (shown[1], paths[1], str(paths[1]), np.asarray(shown[1])):
            np.testing.assert_allclose(fitted.predict(one).to_numpy()[0], folder.iloc[1], atol=1e-5)

    @pytest.mark.parametrize(
        "given", ["nothing.png", "nowhere", []], ids=["file", "folder", "empty"]
    )
    def test_nothing_to_predict(self, fitted, given):
        with pytest.raises(ProbeError):
            fitted.predict(given)

    def test_in_batches_it_is_the_same(self, fitted, shown, monkeypatch):
        whole = fitted.predict(shown)
        monkeypatch.setattr("probe.encoding.result.PREDICTION_BATCH", 2)
        np.testing.assert_allclose(fitted.predict(shown), whole, atol=1e-5)


class TestHead:
    @pytest.mark.parametrize("readout", ["field", "flat", "full"])
    def test_of_a_module_of_ones_own(self, readout, shown):
        assert agreement(encode(readout=readout), shown) < 1e-4

    @pytest.mark.parametrize(
        ("name", "layers"),
        [
            ("alexnet", "features.7"),
            ("squeezenet1_1", "features.12"),
            pytest.param("efficientnet_lite0", "features.4,features.8", marks=pytest.mark.slow),
            pytest.param("mobilenet_v2", "features.7,features.14", marks=pytest.mark.slow),
            pytest.param("vgg16", "features.22,features.29", marks=pytest.mark.slow),
        ],
    )
    def test_of_networks_that_are_known_by_name(self, name, layers, shown):
        try:
            network = models.load(name)
        except Unavailable as error:
            pytest.skip(str(error))
        small = recorded(10)
        for readout in ("field", "flat", "full") if name == "squeezenet1_1" else ("field",):
            found = probe.encode(network, small, layers=layers, readout=readout, splits=2, **QUICK)
            assert agreement(found, shown) < 1e-4, readout

    def test_it_has_the_gradient_of_its_sites(self, fitted):
        head = fitted.head()
        rng = torch.Generator().manual_seed(1)
        x = torch.randn(1, 3, 32, 32, generator=rng).requires_grad_()
        step = torch.randn(x.shape, generator=rng)
        for site in range(len(fitted)):
            (gradient,) = torch.autograd.grad(head(x)[0, site], x)
            with torch.no_grad():
                ends = [head(x + sign * 0.02 * step)[0, site] for sign in (1, -1)]
            along = float((ends[0] - ends[1]) / 0.04)
            assert float((gradient * step).sum()) == pytest.approx(along, rel=1e-2, abs=1e-3)

    def test_it_leaves_the_network_as_it_is(self):
        module = Tiny().train()
        module.second.eval()
        flags = {name: m.training for name, m in module.named_modules()}
        head = encode(wrap(module)).head()
        head(torch.zeros(1, 3, 32, 32, requires_grad=True)).sum().backward()
        assert {name: m.training for name, m in module.named_modules()} == flags
        assert all(not m._forward_hooks for m in module.modules())
        assert all(p.requires_grad for p in module.parameters())

    def test_sites_keep_their_order(self, fitted, shown):
        """Also where they are read from several layers."""
        found = encode(layers="conv,act,second,fc", recording=recorded(m=12))
        assert found.sites["layer"].nunique() > 1
        assert agreement(found, shown) < 1e-4


class TestSite:
    def test_a_number_is_the_row_whatever_sites_are_called(self):
        """As the table and the command line number them."""
        found = encode(recording=recorded(ids=["3", "2", "1", "0"]))
        assert [found.site(k).facts["sites"] for k in range(4)] == [[0], [1], [2], [3]]

    def test_a_name_is_taken_too(self, fitted):
        assert fitted.site("u2").facts["sites"] == [2]

    @pytest.mark.parametrize(
        ("number", "says"),
        [(4, "expected 0 to 3; the nearest is 3"), ("u9", "u0"), ("al", "did you mean 'all'")],
    )
    def test_there_is_none(self, fitted, number, says):
        with pytest.raises(ProbeError) as error:
            fitted.site(number)
        assert says in str(error.value)


class TestManyWeights:
    """Those of all units are kept as few coefficients of the stimuli, until they are used."""

    @pytest.mark.parametrize("own", [False, True], ids=["named", "own"])
    def test_predictions_are_the_same(self, own, shown, monkeypatch):
        network = wrap(Tiny()) if own else models.load("squeezenet1_1", "random")
        layer = "act" if own else "features.12"
        options = {"layers": layer, "readout": "full", "splits": 2}
        plain = encode(network, recorded(12), **options)
        units = next(iter(plain.readouts.values())).weights.shape[1]
        for module in (readouts, layer_fit):
            monkeypatch.setattr(module, "WEIGHT_BYTES", 4 * units * 2)
        dual = encode(network, recorded(12), **options)
        assert plain.readouts[layer].training is None
        assert dual.readouts[layer].weights.shape == (4, 12)
        expected = plain.predict(shown).to_numpy()
        np.testing.assert_allclose(dual.predict(shown).to_numpy(), expected, rtol=1e-4)
        assert agreement(dual, shown) < 1e-4
        outputs = {layer: torch.randn(1, *_shape(network, layer))}
        assert float(dual.site(1)(outputs)) == pytest.approx(
            float(plain.site(1)(outputs)), abs=1e-3
        )

    def test_more_than_can_be_written_do_not_lose_the_scores(self, monkeypatch):
        for module in (readouts, layer_fit):
            monkeypatch.setattr(module, "WEIGHT_BYTES", 4 * 50)
        network = models.load("squeezenet1_1", "random")
        found = encode(network, recorded(12), layers="features.12", readout="full", splits=2)
        assert np.isfinite(found.table["r"]).all()


def _shape(network, layer):
    return next(info.output_shape for info in models.layers(network) if info.name == layer)


class TestShown:
    def test_what_was_simulated_says_so(self):
        found = encode(recording=recorded(simulated=True))
        assert "SIMULATED recording mine" in found.title
        for shown in (repr(found), found._repr_html_()):
            assert "SIMULATED" in shown
        assert "SIMULATED" in found.site(0).facts["said"]

    def test_what_was_not_does_not(self, fitted):
        assert "SIMULATED" not in repr(fitted)
        assert fitted._repr_html_().count("data:image/png;base64,") == 2

    def test_html_is_escaped(self):
        found = encode(recording=recorded(name="<b>mine"))
        assert "<b>mine" not in found._repr_html_()

    def test_json_is_plain(self, fitted):
        about = json.loads(fitted.to_json())
        assert about["recording"]["name"] == "mine"
        assert len(about["table"]) == 3


class TestKept:
    def test_a_fit_of_other_data_does_not_take_anothers_place(self):
        """Of one subject each, or by other settings: each is found again."""
        before = set(kept.folder().glob("*"))
        recording = recorded(name="apart")
        subjects = recording.data.assign_coords(subject=("neuroid", ["a", "a", "b", "b"]))
        both = Recording(subjects, recording.stimuli)
        for subject in ("a", "b"):
            encode(recording=both, subject=subject)
        for n_components in (1, 3):
            encode(recording=both, method="pls", n_components=n_components)
        assert len(set(kept.folder().glob("*")) - before) == 4

    def test_the_same_fit_again_takes_its_place(self):
        before = set(kept.folder().glob("*"))
        for _ in range(2):
            encode(recording=recorded(name="again"))
        assert len(set(kept.folder().glob("*")) - before) == 1


@pytest.mark.parametrize(("reliability", "panels"), [(np.nan, 1), (0.5, 3)])
def test_a_site_alone_has_no_histogram_of_itself(reliability, panels):
    site = {"r": 0.42, "r_low": 0.3, "r_high": 0.5, "reliability": reliability}
    sites = pd.DataFrame([site | {"x_px": 60.0, "y_px": 50.0, "sd_px": 20.0}])
    figure = plot_sites(sites, (112, 112))
    assert len(figure.axes) == panels
    assert ("r = 0.42" in figure.axes[0].get_title(loc="left")) == (panels == 1)
    two = plot_sites(pd.concat([sites, sites], ignore_index=True), (112, 112))
    assert len(two.axes) == 3
