"""``probe compare``: RDMs in files, from reading to result."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
from matplotlib import pyplot as plt
from scipy.spatial.distance import pdist

from probe.inference import evaluate
from probe.similarity.rdm_set import RDMs

pytestmark = pytest.mark.usefixtures("_coarse_pngs")

FILES = {"table.csv", "pairs.csv", "figure.png", "result.json"}
IDS = [f"picture-{k}" for k in range(12)]


@pytest.fixture
def sets():
    """Three models and two subjects, in files of the working folder."""
    rng = np.random.default_rng(0)
    truth = pdist(rng.normal(size=(12, 3)))
    noise = np.array([0.1, 1.0, 5.0])[:, None] * rng.normal(size=(3, len(truth)))
    models = RDMs(truth + noise, ["good", "fair", "poor"], IDS)
    data = RDMs(truth + 0.3 * rng.normal(size=(2, len(truth))), ["anna", "otto"], IDS)
    models.save("models.npz")
    data.save("data.npz")
    return models, data


@pytest.fixture
def compare(run, sets):
    def compare(*arguments, files=("models.npz", "data.npz")):
        quick = [] if "--n-resamples" in arguments else ["--n-resamples", 50]
        output = [] if {"-o", "--output"} & set(arguments) else ["-o", "out"]
        return run("compare", *files, *quick, *output, *arguments)

    return compare


def result():
    return json.loads(Path("out/result.json").read_text())


def test_prints_a_verdict_and_writes_four_files(compare, sets):
    ran = compare()
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "3 models and 2 subjects: 12 stimuli"
    heading = next(k for k, line in enumerate(lines) if line.startswith("model"))
    assert re.split(r"\s{2,}", lines[heading]) == [
        "model", "score", "95 % CI", "p", "p (FDR)", "of ceiling",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[heading + 2 : heading + 5]] == [
        "good", "fair", "poor",
    ]  # fmt: skip
    assert any(line.startswith("Noise ceiling .") for line in lines)
    assert any(re.match(r"\d of 3 pairs of models differ \(p < .05, FDR\)", s) for s in lines)
    assert {Path(line.split()[1]) for line in lines[-4:]} == {Path("out") / f for f in FILES}
    assert {p.name for p in Path("out").iterdir()} == FILES
    assert Path("out/figure.png").read_bytes().startswith(b"\x89PNG")
    assert not plt.get_fignums()


def test_numbers_are_those_of_evaluate(compare, sets):
    compare("--resample", "both", "--test", "t", "--seed", 3, "--comparator", "pearson")
    models, data = sets
    found = evaluate(
        models.distances, data.distances, "pearson", resample="both", test="t", seed=3,
        n_resamples=50,
    )  # fmt: skip
    pd.testing.assert_frame_equal(pd.read_csv("out/table.csv"), found.table(models.labels))
    pd.testing.assert_frame_equal(pd.read_csv("out/pairs.csv"), found.pairs(models.labels))
    written = result()
    assert written["comparison"] == {
        "comparator": "pearson", "resample": "both", "test": "t", "n_resamples": 50, "seed": 3,
        "stimuli": "matched by name",
    }  # fmt: skip
    assert [row["score"] for row in written["table"]] == list(found.mean)
    scores = {(r["model"], r["subject"]): r["score"] for r in written["by_subject"]}
    assert scores["fair", "otto"] == found.scores[1, 1]
    assert (written["ceiling"]["lower"], written["ceiling"]["upper"]) == found.ceiling


def test_a_seed_gives_the_same_bytes(compare):
    compare("--seed", 1)
    before = Path("out/table.csv").read_bytes()
    assert "replaced out/table.csv" in compare("--seed", 1).out
    assert Path("out/table.csv").read_bytes() == before
    compare("--seed", 2)
    assert Path("out/table.csv").read_bytes() != before


def test_on_a_cluster(compare, scheduler):
    here = compare("--resample", "both", "-o", "here").out
    ran = compare("--resample", "both", "--cluster", scheduler)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == here.replace("here/", "out/")
    for name in ("table.csv", "pairs.csv"):
        assert Path("out", name).read_bytes() == Path("here", name).read_bytes()


def test_a_cluster_that_is_none(compare):
    assert "cluster 'lokal:2': expected local:4" in compare("--cluster", "lokal:2").error
    assert not Path("out").exists()


def test_provenance(compare):
    compare()
    provenance = result()["provenance"]
    assert provenance["command"][:4] == ["probe", "compare", "models.npz", "data.npz"]
    assert set(provenance["sha256"]) == {"models.npz", "data.npz"}
    assert {"cnn-probe", "numpy", "python"} <= set(provenance["versions"])


def test_json_is_all_that_is_printed(compare):
    ran = compare("--json")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out) == result()


def test_the_default_folder_names_the_files(run, sets):
    assert run("compare", "models.npz", "data.npz", "--n-resamples", 20).code == 0
    assert [p.name for p in Path("results").iterdir()] == ["compare-models-data"]


@pytest.mark.parametrize(("correction", "heading"), [("holm", "p (Holm)"), ("none", None)])
def test_correction(compare, correction, heading):
    out = compare("--correction", correction).out
    assert "p (FDR)" not in out
    assert heading is None or heading in out
    assert ("pairs of models differ (p < .05)" in out) == (correction == "none")


def test_nothing_resampled(compare):
    out = compare("--resample", "none").out
    assert "95 % CI" not in out
    assert "pairs of models differ" not in out
    assert "resampled   nothing" in out
    assert result()["comparison"]["resample"] is None
    assert result()["table"][0]["se"] is None


class TestFilesAndStimuli:
    def test_several_model_files_and_plain_arrays(self, compare, sets):
        models, data = sets
        np.save("v1.npy", models["fair"].squares()[0])
        np.savez("v4.npz", rdm=models["poor"].distances[0])
        ran = compare("--json", files=("v1.npy", "v4.npz", "data.npz"))
        assert result()["models"] == ["v1", "v4"]
        assert any("v1.npy have no names: taken to be in the same" in n for n in result()["notes"])
        whole = evaluate(models.distances, data.distances, n_resamples=50)
        table = json.loads(ran.out)["table"]
        np.testing.assert_allclose([row["score"] for row in table], whole.mean[1:])

    def test_labels_that_occur_twice_are_told_apart_by_their_files(self, compare, sets):
        Path("x").mkdir()
        sets[0]["good"].save("x/models.npz")
        assert compare(files=("x/models.npz", "models.npz", "data.npz")).code == 0
        assert result()["models"] == [
            "x/models:good", "models:good", "models:fair", "models:poor",
        ]  # fmt: skip

    def test_stimuli_are_matched_by_name(self, compare, sets):
        models, _ = sets
        compare()
        scores = [row["score"] for row in result()["table"]]
        order = np.random.default_rng(1).permutation(12)
        models.subset(order).save("models.npz")
        compare()
        np.testing.assert_allclose([row["score"] for row in result()["table"]], scores)

    @pytest.mark.parametrize("short", ["models", "data"])
    def test_a_missing_stimulus_is_named(self, compare, sets, short):
        sets[short == "data"].subset(range(10)).save(f"{short}.npz")
        error = compare().error
        assert "no distances of stimulus 'picture-10' and 1 more" in error
        assert ("good" if short == "models" else "anna") in error
        assert "--common" in error
        assert not Path("out").exists()
        ran = compare("--common")
        assert ran.out.splitlines()[0] == "3 models and 2 subjects: 10 stimuli"
        assert "Left out: up to 2 stimuli" in ran.out

    def test_other_sizes_without_names(self, compare, sets):
        np.save("x.npy", np.random.default_rng(0).random(15))
        error = compare(files=("x.npy", "data.npz")).error
        assert "12 stimuli against 6, and without names" in error

    def test_missing_pairs_are_left_out(self, compare, sets):
        models, data = sets
        distances = data.distances.copy()
        distances[0, 5] = np.nan
        RDMs(distances, data.labels, IDS).save("data.npz")
        assert compare().code == 0
        found = evaluate(models.distances, distances, n_resamples=50)
        assert [row["score"] for row in result()["table"]] == list(found.mean)


class TestOrder:
    """How stimuli are matched is known and said; what would be a guess is refused."""

    def said(self, ran):
        lines = [line.split(None, 1) for line in ran.out.splitlines() if line.startswith("  ")]
        return dict(line for line in lines if len(line) == 2)["stimuli"]

    def test_by_name(self, compare, sets):
        assert self.said(compare()) == "matched by name"
        assert result()["comparison"]["stimuli"] == "matched by name"

    def test_by_order(self, compare, sets):
        np.save("x.npy", sets[0]["fair"].squares()[0])
        said = self.said(compare(files=("x.npy", "data.npz")))
        assert said == "matched by their order: x.npy does not name them"
        np.save("y.npy", sets[1].squares())
        said = self.said(compare(files=("x.npy", "y.npy")))
        assert said == "matched by their order: no file names them"

    def test_numbers_do_not_reorder_a_file_without_names(self, compare, sets):
        distances = sets[0]["fair"].distances
        np.savez("m.npz", rdms=distances, stimulus_ids=np.random.default_rng(0).permutation(12))
        np.savez("d.npz", rdms=np.concatenate([distances] * 2))
        error = compare(files=("m.npz", "d.npz")).error
        assert "name the stimuli in both" in error
        assert not Path("out").exists()
        np.savez("m.npz", rdms=distances, stimulus_ids=np.arange(12))
        assert compare(files=("m.npz", "d.npz")).code == 0
        assert result()["table"][0]["score"] == pytest.approx(1)

    @pytest.mark.parametrize(
        "names",
        [
            {"stimulus_ids": np.array(IDS, dtype=object)},
            {"stimuli": np.array(IDS)[:, None]},
            {"image_names": np.array(IDS, dtype="S")},
        ],
    )
    def test_names_are_read_however_they_are_kept(self, compare, sets, names):
        order = np.random.default_rng(1).permutation(12)
        turned = sets[0].subset(order)
        (key, values), = names.items()  # fmt: skip
        np.savez("x.npz", rdms=turned.squares(), **{key: values[order]})
        compare()
        scores = [row["score"] for row in result()["table"]]
        compare(files=("x.npz", "data.npz"))
        np.testing.assert_allclose([row["score"] for row in result()["table"]], scores)

    def test_tables_and_matlab(self, compare, sets):
        order = np.random.default_rng(1).permutation(12)
        sets[0]["fair"].subset(order).to_pandas().to_csv("v4.csv", sep=";")
        names = np.array(sets[1].stimulus_ids, dtype=object)
        squares = np.moveaxis(sets[1].squares(), 0, 2)
        scipy.io.savemat("data.mat", {"RDMs": squares, "stimulus_ids": names})
        assert compare(files=("v4.csv", "data.mat")).code == 0
        expected = evaluate(sets[0]["fair"].distances, sets[1].distances, n_resamples=50)
        assert result()["models"] == ["v4"]
        assert result()["table"][0]["score"] == pytest.approx(expected.mean[0])

    def test_layers_go_by_their_aliases_as_in_probe_rsa(self, compare, sets, monkeypatch):
        models, _ = sets
        labels = ("features.0", "features.3", "pixels")
        aliases = {"features.0": "conv1", "features.3": "conv2"}
        RDMs(models.distances, labels, IDS, attrs={"aliases": aliases}).save("layers.npz")
        drawn = []
        from probe import plots

        plot = plots.plot_scores
        monkeypatch.setattr(
            plots, "plot_scores", lambda found, names, **how: drawn.append(names) or
            plot(found, names, **how),
        )  # fmt: skip
        ran = compare(files=("layers.npz", "data.npz"))
        assert drawn == [["conv1", "conv2", "pixels"]]
        assert "alias" in ran.out
        assert re.search(r"features\.3\s+conv2", ran.out)
        assert list(pd.read_csv("out/table.csv")["model"]) == list(labels)


class TestComparator:
    def test_auto_is_spearman(self, compare):
        assert "Spearman" in compare().out
        assert result()["comparison"]["comparator"] == "spearman"
        assert result()["notes"] == []

    def test_auto_is_rho_a_with_ties_and_says_so(self, compare, sets):
        categories = np.arange(12) % 3
        i, j = np.triu_indices(12, 1)
        RDMs((categories[i] != categories[j]).astype(float), ["kinds"], IDS).save("kinds.npz")
        out = compare(files=("models.npz", "kinds.npz", "data.npz")).out
        assert "Comparator rho-a, since the RDM of kinds has ties" in out
        assert result()["comparison"]["comparator"] == "rho-a"
        assert compare("--comparator", "spearman", files=("kinds.npz", "data.npz")).code == 0
        assert result()["comparison"]["comparator"] == "spearman"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--comparator", "spearmen"], ["comparator 'spearmen'", "did you mean 'spearman'"]),
        (["--resample", "stimulus"], ["resample 'stimulus'", "did you mean 'stimuli'"]),
        (["--test", "tt"], ["test 'tt'", "did you mean 't'"]),
        (["--correction", "fdrr"], ["correction 'fdrr'", "did you mean 'fdr'"]),
        (["--n-resamples", "1"], ["--n-resamples 1: expected a number ≥ 2"]),
        (["--seed", "-1"], ["seed -1: expected a number ≥ 0"]),
        (["--data", "x"], ["No such option: --data"]),
    ],
)
def test_bad_options(compare, arguments, parts):
    error = compare(*arguments).error
    for part in parts:
        assert part in error
    assert not Path("out").exists()


def test_bad_files(run, sets, tmp_path):
    assert "Missing argument" in run("compare").error
    assert "one file, 'models.npz'" in run("compare", "models.npz").error
    assert "file 'nothing.npz' does not exist" in run("compare", "models.npz", "nothing.npz").error
    Path("x.npz").write_text("nothing")
    assert "'x.npz' is not an .npz or .npy file" in run("compare", "x.npz", "data.npz").error
    np.save("x.npy", np.ones((4, 4)))
    assert "'x.npy': RDM 0 has 1 on its diagonal" in run("compare", "x.npy", "data.npz").error


def test_an_rdm_that_cannot_be_compared_is_named(compare, sets):
    models, data = sets
    RDMs(np.ones((1, 66)), ["flat"], IDS).save("flat.npz")
    assert "model 'flat' is constant" in compare(files=("models.npz", "flat.npz", "data.npz")).error
    data["anna"].save("data.npz")
    assert "two subjects" in compare("--resample", "subjects").error
    data.subset(range(4)).save("data.npz")
    models.subset(range(4)).save("models.npz")
    assert "4 stimuli" in compare().error
    assert not Path("out").exists()


def test_a_folder_that_cannot_be_written(compare):
    Path("file").write_text("")
    error = compare("-o", "file/out").error
    assert "file/out' cannot be written" in error
    assert "--output" in error


def test_help_teaches(run):
    ran = run("compare", "--help")
    assert ran.code == 0
    assert "probe compare models.npz subjects.npz\n" in ran.out
    assert "models first, the data last" in " ".join(ran.out.split())


def test_torch_is_not_imported(sets):
    code = (
        "import sys; sys.argv = ['probe', 'compare', 'models.npz', 'data.npz', '--n-resamples', "
        "'5', '-o', 'out']\nfrom probe.cli import main\ntry: main()\nexcept SystemExit: pass\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.slow
def test_interrupted_leaves_nothing(sets):
    rng = np.random.default_rng(0)
    RDMs(rng.random((20, 150 * 149 // 2))).save("many.npz")
    command = [
        sys.executable, "-c", "from probe.cli import main; main()", "compare", "many.npz",
        "many.npz", "-o", "out", "--comparator", "tau-a", "--n-resamples", "100000",
    ]  # fmt: skip
    # Nothing is compiled yet: the signal comes while it is.
    env = {**os.environ, "NUMBA_CACHE_DIR": str(Path("machine-code").resolve())}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
    deadline = time.monotonic() + 60
    while not Path("out").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    try:
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.startswith("Interrupted.")
    assert len(err.splitlines()) == 1
    assert not Path("out").exists()
