"""Sites at every time: the fits of each time alone, computed together."""

import io
import json
import shutil

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from probe import cli, models, targets
from probe.encoding import EncodingOverTime, Site, encode, kept
from probe.encoding.over_time import generalise
from probe.errors import ProbeError
from probe.output.pictures import png
from probe.plots.over_time import plot_generalisation
from probe.recordings import from_folder

pytestmark = pytest.mark.usefixtures("_small_squeezenet")

LAYERS = ["features.0", "features.3"]


@pytest.fixture(autouse=True)
def _no_window():
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """40 pictures; at 20 ms sites follow how bright one half is, at 60 ms the other."""
    folder = tmp_path_factory.mktemp("labs") / "lab"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    light = rng.integers(40, 216, (40, 2))
    for k, (left, right) in enumerate(light):
        picture = np.zeros((16, 16, 3), np.uint8) + rng.integers(0, 40, (16, 16, 3), dtype=np.uint8)
        picture[:, :8] += np.uint8(left)
        picture[:, 8:] += np.uint8(right)
        Image.fromarray(picture).save(folder / "images" / f"p{k:02d}.png")
    z = (light - light.mean(axis=0)) / light.std(axis=0)
    signal = np.zeros((40, 4, 5))
    signal[:, 1] = z[:, :1]
    signal[:, 3] = 1.4 * z[:, 1:]
    values = 10 + signal[:, None] + 0.8 * rng.standard_normal((40, 3, 4, 5))
    np.save(folder / "responses.npy", values)
    starts = 20.0 * np.arange(4)
    times = pd.DataFrame({"time_start_ms": starts, "time_end_ms": starts + 20})
    times.to_csv(folder / "times.csv", index=False)
    return folder


def fitted(lab, **options):
    options = {
        "layers": LAYERS, "readout": "full", "baselines": False, "n_resamples": 30, "splits": 4,
    } | options  # fmt: skip
    return encode("squeezenet1_1", str(lab), weights="random", **options)


@pytest.fixture(scope="module")
def curves(lab):
    return fitted(lab, time=(0, 80), step=20)


@pytest.mark.parametrize("splits", [4, pytest.param(8, marks=pytest.mark.slow)])
def test_each_time_is_as_if_alone(lab, curves, splits):
    """Folds of 10 have an r of their own; of folds of 5, all are pooled."""
    together = curves if splits == 4 else fitted(lab, time=(0, 80), step=20, splits=splits)
    assert isinstance(together, EncodingOverTime)
    for start in (20, 60):
        alone = fitted(lab, time=(start, start + 20), splits=splits).table
        alone = alone[alone["kind"] == "layer"].set_index("layer")
        at = together.table[together.table["time_start"] == start].set_index("layer")
        for column in ("r", "r_low", "r_high", "r_ceiled"):
            np.testing.assert_allclose(
                at.loc[LAYERS, column], alone.loc[LAYERS, column], rtol=1e-5, atol=1e-6
            )


@pytest.mark.parametrize(
    "options",
    [
        {"method": "pls", "n_components": 3},
        pytest.param({"protocol": "brainscore-ridgecv"}, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_what_sites_share_is_of_one_time(lab, options):
    together = fitted(lab, time=(20, 60), step=20, layers=LAYERS[:1], **options)
    assert isinstance(together, EncodingOverTime)
    for k, start in enumerate((20, 40)):
        alone = fitted(lab, time=(start, start + 20), layers=LAYERS[:1], **options).table
        np.testing.assert_allclose(together.table["r"][k], alone["r"][0], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_sites_of_a_window_are_named_after_it(lab, tmp_path):
    lab = shutil.copytree(lab, tmp_path / "windowed")  # sites of others may be kept of a 'lab'
    for start in (0, 40):
        fitted(lab, time=(start, start + 20), layers=LAYERS[:1])
    network = models.load("squeezenet1_1", "random")
    early, late = (targets.parse(f"site:{lab}@{when}:1", network) for when in ("0-20ms", "40-60ms"))
    assert isinstance(early, Site)
    assert isinstance(late, Site)
    recording = from_folder(lab)
    for site, start in ((early, 0), (late, 40)):
        mean = recording.window(start, start + 20).mean_responses().values[:, 1].mean()
        assert float(site.means[0][0]) == pytest.approx(mean, rel=1e-5)
    with pytest.raises(ProbeError, match="no sites of 'windowed' were fitted yet"):
        kept.find_site("site:windowed:1", network)


def test_peaks_and_what_carries_over(curves):
    assert curves.times[:, 0].tolist() == [0, 20, 40, 60]
    assert curves.peaks["latency"].tolist() == [70.0, 70.0]
    assert (curves.peaks["latency_low"] <= 70).all()
    assert curves.peaks["score"].min() > 0.6
    for k, layer in enumerate(LAYERS):
        square = curves.generalisation[k]
        r = curves.table[curves.table["layer"] == layer]["r"]
        np.testing.assert_allclose(np.diagonal(square), r, atol=1e-6)
        assert square[1, 1] > 0.5
        assert square[3, 3] > 0.5
        assert abs(square[1, 3]) < 0.4  # other sides of the picture
    assert len(curves.sites) == 2 * 4 * 5
    medians = curves.sites.groupby(["layer", "time_start"], sort=False)["r"].median()
    np.testing.assert_allclose(medians, curves.table["r"], atol=1e-12)


def test_generalisation_by_hand():
    rng = np.random.default_rng(0)
    responses = rng.standard_normal((24, 6))
    splits = [(np.arange(12, 24), np.arange(12)), (np.arange(12), np.arange(12, 24))]
    predictions = [rng.standard_normal((12, 6)) for _ in splits]
    found = generalise(responses, predictions, splits, 3)
    for t in range(3):
        for u in range(3):
            of_sites = [
                np.mean(
                    [
                        np.corrcoef(p[:, 2 * t + m], responses[test][:, 2 * u + m])[0, 1]
                        for p, (_, test) in zip(predictions, splits, strict=True)
                    ]
                )
                for m in range(2)
            ]
            assert found[t, u] == pytest.approx(np.median(of_sites))


def test_saves_and_draws_itself(curves, tmp_path):
    written = curves.save(tmp_path / "out")
    assert [path.name for path in written] == list(EncodingOverTime.FILES)
    record = json.loads((tmp_path / "out" / "encoding.json").read_text())
    assert record["recording"]["time"] == "4 bins of 20 ms, 0 to 80 ms"
    square = pd.read_csv(tmp_path / "out" / "generalisation.csv")
    one = square.query("layer == 'features.3' and fitted_start == 20 and tested_start == 60")
    assert one["r"].item() == pytest.approx(curves.generalisation[1, 1, 3])
    ax = curves.plot_generalisation("features.0")
    assert ax.get_title(loc="left") == "conv1: fitted at one time, tested at another"
    assert ax.get_xlabel().startswith("fitted at")
    # Columns of the picture are the times of fitting.
    np.testing.assert_allclose(ax.images[0].get_array(), curves.generalisation[0].T)
    assert "4 times of 20 ms" in repr(curves)


def test_no_label_of_a_saved_generalisation_is_cut_off():
    starts = np.arange(0.0, 300.0, 60.0)

    def draw(figure):
        ax = plot_generalisation(
            np.eye(5), np.column_stack([starts, starts + 60.0]), ax=figure.add_subplot(),
            label="r of held-out responses (median over sites)",
            title="features.6: fitted at one time, tested at another",
        )  # fmt: skip
        ax.set_ylabel("tested at (ms after onset)")

    with Image.open(io.BytesIO(png(draw, (4.6, 3.8), "title", square=True))) as picture:
        pixels = np.asarray(picture.convert("L"))
    for edge in (pixels[:4], pixels[-4:], pixels[:, :4], pixels[:, -4:]):
        assert (edge == 255).all()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "has a time axis"),
        ({"step": 20}, "a step without a time"),
        ({"time": (0, 80), "step": 30}, "do not fill"),
        ({"time": (0, 80), "step": 20, "method": "banded"}, "'banded' cannot be used over time"),
        ({"time": (0, 80), "step": 20, "region": "all"}, "one network is fitted to one recording"),
    ],
)
def test_what_is_refused(lab, options, reason):
    with pytest.raises(ProbeError, match=reason):
        fitted(lab, **options)


def test_the_command(lab, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [
        "probe", "encode", "-m", "squeezenet1_1", "-d", str(lab), "--weights", "random",
        "--layers", "features.3", "--readout", "full", "--folds", "4", "--n-resamples", "10",
        "--no-baselines", "--time", "0,80ms", "--step", "40ms",
    ]  # fmt: skip
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert not exit_.value.code
    assert "r there" in capsys.readouterr().out
    (folder,) = (tmp_path / "results").iterdir()
    assert folder.name == "encode-squeezenet1_1-lab-random-0-80ms-step-40ms"
    assert {path.name for path in folder.iterdir()} == set(EncodingOverTime.FILES)
