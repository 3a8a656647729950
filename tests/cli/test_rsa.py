"""``probe rsa``: what it prints, writes, and leaves alone."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.usefixtures("_small_squeezenet", "_coarse_pngs")

FILES = {
    "table.csv", "pairs.csv", "result.json", "figure.png", "rdms.npz", "recording.npz",
}  # fmt: skip
MAP_FILES = {"table.csv", "best.csv", "map.csv", "map.png"}


def test_prints_a_verdict_and_writes_its_files(rsa, lab):
    ran = rsa(lab, "--output", "out")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == ("squeezenet1_1 (untrained) and lab: 6 neuroids, subject 1, 12 stimuli")
    heading = next(k for k, line in enumerate(lines) if line.startswith("layer"))
    assert lines[heading].split()[:7] == ["layer", "alias", "score", "95", "%", "CI", "p"]
    assert [line.split()[0] for line in lines[heading + 2 : heading + 4]] == [
        "features.0", "features.3",
    ]  # fmt: skip
    assert any(line.startswith("Noise ceiling") for line in lines)
    assert any(line.startswith("Best layer features.") for line in lines)
    assert {Path(line.split()[1]) for line in lines[-6:]} == {Path("out") / f for f in FILES}
    assert {p.name for p in Path("out").iterdir()} == FILES
    assert list(pd.read_csv("out/table.csv")["layer"]) == ["features.0", "features.3"]
    assert Path("out/figure.png").read_bytes().startswith(b"\x89PNG")
    provenance = json.loads(Path("out/result.json").read_text())["provenance"]
    assert provenance["command"][:4] == ["probe", "rsa", "--model", "squeezenet1_1"]


def test_baselines_and_the_default_folder(run, lab):
    ran = run(
        "rsa", "-m", "squeezenet1_1", "-d", lab, "--weights", "random", "--layers", "features.0",
        "--n-resamples", 5,
    )  # fmt: skip
    assert ran.code == 0
    assert "Baselines: pixels" in ran.out
    assert "untrained" in ran.out
    (folder,) = Path("results").iterdir()
    assert folder.name == "rsa-squeezenet1_1-lab-random"
    assert {p.name for p in folder.iterdir()} == FILES
    assert set(pd.read_csv(folder / "table.csv")["kind"]) == {"layer", "pixels", "untrained"}


def test_json_is_all_that_is_printed(rsa, lab):
    ran = rsa(lab, "--json", "-o", "out")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out) == json.loads(Path("out/result.json").read_text())


def test_into_a_pipe_lines_are_neither_broken_nor_padded(rsa, run):
    ran = rsa("sim-v4", "--layers", "features.0")
    assert all(line == line.rstrip() for line in ran.out.splitlines())
    assert "\x1b" not in ran.out
    (input_line,) = (line for line in ran.out.splitlines() if line.startswith("  input"))
    assert input_line.endswith("deviation 0.229, 0.224, 0.225")
    assert "The recording is SIMULATED" in ran.out


def test_in_a_terminal_of_80_columns_the_table_stays_whole(rsa, lab, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    ran = rsa(lab, "--layers", "features.3,features.12.expand3x3")
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in ran.out.splitlines()]
    assert max(map(len, lines)) <= 80
    rows = [line for line in lines if line.startswith("features.")]
    assert [row.split()[0] for row in rows] == ["features.3", "features.12.expand3x3"]
    assert all(" to " in row for row in rows)
    assert "\x1b[1m" in ran.out


def test_options_reach_the_comparison(rsa, lab):
    ran = rsa(
        lab, "--json", "--metric", "euclidean", "--comparator", "pearson", "--seed", 3,
        "--batch-size", 5, "--device", "cpu", "--preprocessing", "torchvision",
        "--region", "lab", "--subject", "1",
    )  # fmt: skip
    result = json.loads(ran.out)
    assert result["comparison"]["metric"] == "euclidean"
    assert result["comparison"]["comparator"] == "pearson"
    assert "seed 3" in result["model"]["weights_source"]
    assert "centre 224×224 kept" in result["model"]["preprocessing"]
    settings = result["provenance"]["settings"]
    assert (settings["seed"], settings["batch_size"], settings["n_resamples"]) == (3, 5, 5)


def test_an_earlier_result_is_replaced_and_other_files_are_left(rsa, lab):
    Path("out").mkdir()
    Path("out/notes.txt").write_text("mine")
    assert rsa(lab, "-o", "out").code == 0
    before = json.loads(Path("out/result.json").read_text())
    assert rsa(lab, "-o", "out", "--seed", 1).code == 0
    assert json.loads(Path("out/result.json").read_text()) != before
    assert {p.name for p in Path("out").iterdir()} == FILES | {"notes.txt"}


def test_a_failed_run_leaves_no_folder(rsa, lab):
    assert "no layer" in rsa(lab, "--layers", "features.77", "-o", "new/out").error
    assert not Path("new").exists()
    assert "no layer" in rsa(lab, "--layers", "features.77").error
    assert not Path("results").exists()


def test_a_failed_run_leaves_the_users_folder_and_an_earlier_result(rsa, lab):
    Path("mine").mkdir()
    assert rsa(lab, "--layers", "features.77", "-o", "mine").error
    assert Path("mine").is_dir()
    assert rsa(lab, "-o", "out").code == 0
    before = {p: p.read_bytes() for p in Path("out").iterdir()}
    assert rsa(lab, "--layers", "features.77", "-o", "out").error
    assert {p: p.read_bytes() for p in Path("out").iterdir()} == before


def test_a_file_that_cannot_be_replaced(rsa, lab):
    Path("out/result.json").mkdir(parents=True)
    assert "result.json' cannot be written" in rsa(lab, "-o", "out").error
    assert not list(Path("out").glob(".*"))  # nothing half written


class TestSeveral:
    """Networks and recordings, separated by commas."""

    @pytest.fixture
    def two(self, lab):
        """The recording with two regions."""
        rows = [f"n{k},{'V1' if k < 3 else 'V4'}" for k in range(6)]
        (lab / "neuroids.csv").write_text("\n".join(["neuroid_id,region", *rows]) + "\n")
        return lab

    def test_a_map_of_regions(self, rsa, two):
        ran = rsa(two, "--region", "all", "-o", "out", "--correction", "holm")
        assert (ran.code, ran.err) == (0, "")
        lines = ran.out.splitlines()
        assert lines[0] == "squeezenet1_1 (untrained) × lab V1, lab V4"
        (heading,) = (line for line in lines if line.startswith("model"))
        assert heading.split()[:5] == ["model", "recording", "region", "best", "layer"]
        assert heading.endswith("p (Holm)")
        rows = [line.split() for line in lines if line.startswith("squeezenet1_1  lab")]
        assert [row[:3] for row in rows] == [["squeezenet1_1", "lab", r] for r in ("V1", "V4")]
        folders = {"squeezenet1_1-lab-V1", "squeezenet1_1-lab-V4"}
        assert {p.name for p in Path("out").iterdir()} == MAP_FILES | folders
        for folder in folders:
            assert {p.name for p in Path("out", folder).iterdir()} == FILES
        told = {Path(line.split()[1]).name for line in lines if line.startswith("wrote")}
        assert told == MAP_FILES | folders
        command = json.loads(Path("out/squeezenet1_1-lab-V1/result.json").read_text())
        assert "--region" in command["provenance"]["command"]

    def test_json_and_the_default_folder(self, rsa, two):
        ran = rsa(two, "--json", "--region", "V4,V1", model="squeezenet1_1,squeezenet1_0")
        assert (ran.code, ran.err) == (0, "")
        found = json.loads(ran.out)
        compared = [(row["model"].split()[0], row["region"]) for row in found["best"]]
        assert compared == [
            (m, r) for m in ("squeezenet1_1", "squeezenet1_0") for r in ("V4", "V1")
        ]
        assert len(found["comparisons"]) == 4
        (folder,) = Path("results").iterdir()
        assert folder.name.startswith("rsa-squeezenet1_1-squeezenet1_0-")

    def test_one_that_fails_is_told_at_the_end(self, rsa, two):
        ran = rsa(
            two, "--region", "all", "-o", "out", "--layers", "features.12.expand3x3",
            model="alexnet,squeezenet1_1",
        )  # fmt: skip
        assert ran.code == 2
        assert [line.split(": ")[:3] for line in ran.err.splitlines()] == [
            ["probe", "error", "no result for alexnet and lab (V1)"],
            ["probe", "error", "no result for alexnet and lab (V4)"],
        ]
        assert "no layer 'features.12.expand3x3'" in ran.err
        assert "Failed: alexnet and lab (V1)" in ran.out
        assert (Path("out") / "squeezenet1_1-lab-V4" / "result.json").exists()
        assert not (Path("out") / "alexnet-lab-V4").exists()

    @pytest.mark.slow
    def test_on_a_cluster(self, rsa, two, scheduler):
        options = ["--region", "all", "--layers", "features.12.expand3x3"]
        models = "squeezenet1_1,mobilenet_v2,squeezenet1_0"
        here = rsa(two, *options, "-o", "out", model=models)
        tables = {path: path.read_bytes() for path in Path("out").rglob("*.csv")}
        there = rsa(two, *options, "-o", "out", "--cluster", scheduler, model=models)
        assert there.code == here.code == 2  # one has no such layer
        assert there.err == here.err
        assert there.out == here.out.replace("wrote", "replaced")
        assert {path: path.read_bytes() for path in Path("out").rglob("*.csv")} == tables
        result = json.loads(Path("out/squeezenet1_0-lab-V4/result.json").read_text())
        assert "--cluster" in result["provenance"]["command"]

    def test_if_all_fail_no_folder_is_left(self, rsa, two):
        error = rsa(two, "--region", "all", "--layers", "features.77", "-o", "out").error
        assert "no layer 'features.77'" in error
        assert "and 1 others" in error
        assert not Path("out").exists()

    def test_a_slip_of_the_pen_is_told_before_the_work(self, rsa, two):
        assert "did you mean 'alexnet'" in rsa(two, model="squeezenet1_1,alexnett").error
        assert "recording 'sim-v9' does not exist" in rsa("sim-v4,sim-v9").error
        assert "no region 'V5'" in rsa(two, "--region", "V1,V5").error
        assert not Path("results").exists()


def test_a_cluster_that_is_none(rsa, lab):
    assert "'local:x': expected a number of processes" in rsa(lab, "--cluster", "local:x").error
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("resample", "test", "words"),
    [("stimuli", "t", "5 resamples of stimuli · p: one-sided against zero, by t test"),
     ("none", "auto", "no resampling · p: one-sided against zero, by permutation")],
)  # fmt: skip
def test_inference_is_chosen_and_named(rsa, lab, resample, test, words):
    ran = rsa(lab, "--resample", resample, "--test", test, "--correction", "none")
    assert (ran.code, ran.err) == (0, "")
    assert words in ran.out
    assert "FDR" not in ran.out
    assert "p_zero_fdr" in Path(next(Path("results").iterdir()), "table.csv").read_text()


@pytest.mark.parametrize("resample", ["subjects", pytest.param("both", marks=pytest.mark.slow)])
def test_one_subject_cannot_be_resampled(rsa, lab, resample):
    error = rsa(lab, "--resample", resample).error
    assert "recording 'lab' (lab) has one subject, 1" in error
    assert "--resample stimuli" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resample", "stimulus"], "none; did you mean 'stimuli'?"),
        (
            ["--test", "ttest"],
            "test 'ttest': expected one of auto, permutation, t, bootstrap, sign-flip",
        ),
        (
            ["--correction", "fdrr"],
            "correction 'fdrr': expected one of fdr, holm, none; did you mean 'fdr'?",
        ),
    ],
)
def test_bad_choices(rsa, lab, arguments, message):
    assert message in rsa(lab, *arguments).error
    assert not Path("results").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent otherwise there")
def test_ctrl_c_and_the_same_command_goes_on(own_cache, tmp_path):
    command = [
        sys.executable, "-c", "from probe.cli import main; main()", "rsa", "-m", "squeezenet1_1",
        "-d", "sim-v4", "--weights", "random", "--layers", "features.3", "--no-baselines",
        "--n-resamples", "2", "--batch-size", "1", "-o", str(tmp_path / "out"),
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while not list(own_cache.glob("activations/*/features.3/c.3.0")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("Interrupted.")
    assert not (tmp_path / "out").exists()
    (store,) = (p for p in (own_cache / "activations").iterdir() if p.is_dir())
    done = len(list((store / "features.3").glob("c.*.0")))
    assert done < 178

    # A stimulus of which only a part was written is run again; those before it are not.
    whole = {
        shard: shard.stat().st_mtime_ns for k in range(3) for shard in store.glob(f"*/c.{k}.0")
    }
    assert whole
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr) == (0, "")
    assert all(shard.stat().st_mtime_ns == written for shard, written in whole.items())
    assert len(list((store / "features.3").glob("c.*.0"))) == 178
    assert {p.name for p in (tmp_path / "out").iterdir()} == FILES


@pytest.mark.slow
def test_reliable_neuroids_alone(rsa):
    ran = rsa("sim-v4", "--layers", "features.0", "--min-reliability", ".8")
    assert (ran.code, ran.err) == (0, "")
    assert "neuroids with reliability ≥ 0.8" in ran.out.splitlines()[0]
    assert "chosen on other repetitions." in ran.out
    assert "rsa-squeezenet1_1-sim-v4-random-reliability0.8" in ran.out


@pytest.mark.parametrize(
    ("threshold", "says"),
    [
        (".5", "2 of each stimulus, and no published reliability"),
        ("40", "--min-reliability 40.0: expected a number from 0 to 1"),
        ("nan", "expected a number from 0 to 1"),
    ],
)
def test_reliability_that_cannot_be(rsa, lab, threshold, says):
    assert says in rsa(lab, "--min-reliability", threshold).error
    assert not Path("results").exists()
