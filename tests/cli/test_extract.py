"""``probe extract``: what it prints, what it refuses, and how it stops."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import probe
from probe.activations import ActivationStore, cache
from probe.activations.engine import AUTOCAST
from probe.activations.reduce import FORMS
from probe.activations.shards import DTYPES
from probe.cli import complete
from probe.errors import ProbeError
from probe.extraction_settings import PRECISIONS, STORED
from probe.models.preprocessing import KINDS

LAYERS = "features.0,features.3.squeeze"


@pytest.fixture(autouse=True)
def _empty_cache(own_cache):
    """Each test counts what there is."""


@pytest.fixture
def extract(run, lab):
    """Run ``probe extract`` on a small random network, quickly."""

    def extract(*more, images=lab / "images"):
        quick = [] if "--layers" in more else ["--layers", LAYERS]
        quick += [] if "--reduce" in more else ["--reduce", "mean"]
        weights = [] if "--weights" in more else ["--weights", "random"]
        return run("extract", "-m", "squeezenet1_1", "-i", images, *quick, *weights, *more)

    return extract


def facts(out):
    """The (name, text) lines below the title."""
    lines = (line.strip() for line in out.splitlines()[1:] if line.startswith("  "))
    pairs = [re.split(r"\s{2,}", line, maxsplit=1) for line in lines if "probe." not in line]
    return dict(pairs)


class TestWhatIsPrinted:
    def test_what_was_done_and_how_to_open_it(self, extract, own_cache):
        ran = extract()
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.startswith("squeezenet1_1 · images, 12 stimuli · 2 layers\n")
        (entry,) = cache.entries()
        told = facts(ran.out)
        assert told["weights"] == "random initialisation, seed 0"
        assert "resized to 224×224" in told["pictures"]
        assert told["kept"] == ActivationStore(entry.path).about["reduced"]
        assert told["stored as"] == "float32 on cpu"
        assert told["new"] == "all of it"
        assert told["on disk"].endswith(str(own_cache / "activations" / entry.key))
        one, every = (line.strip() for line in ran.out.splitlines()[-2:])
        data = eval(one, {"probe": probe})
        assert isinstance(data, xr.DataArray)
        assert data.name == "features.3.squeeze"
        tree = eval(every, {"probe": probe})
        assert isinstance(tree, xr.DataTree)
        assert list(tree) == LAYERS.split(",")

    def test_how_much_was_there(self, extract):
        extract("--layers", "features.0")
        told = facts(extract().out)["new"]
        share = re.fullmatch(r"(\d+) %; the rest was there", told)
        assert share, told
        assert 0 < int(share[1]) < 100
        assert facts(extract().out)["new"] == "nothing: all was there"

    def test_pictures_that_were_left_out(self, extract, lab):
        for k in (3, 7):
            path = lab / "images" / f"p{k:02d}.png"
            path.write_bytes(path.read_bytes()[:-200])
        error = extract().error
        assert "p03.png" in error
        assert "--skip-bad" in error
        told = facts(extract("--skip-bad").out)
        assert re.match(r"2: p03\.png \(.+\), p07\.png \(.+\)", told["skipped"])
        assert cache.entries()[0].n_stimuli == 10

    def test_json_is_all_that_is_printed(self, extract):
        ran = extract("--json", "--dtype", "float16")
        assert (ran.code, ran.err) == (0, "")
        told = json.loads(ran.out)
        (entry,) = cache.entries()
        assert (told["key"], told["path"]) == (entry.key, str(entry.path))
        assert (told["n_stimuli"], told["new"], told["skipped"]) == (12, 1.0, [])
        assert [layer["layer"] for layer in told["layers"]] == LAYERS.split(",")
        assert told["request"]["dtype"] == "float16"
        assert told["about"]["model"] == "squeezenet1_1"

    def test_a_folder_of_ones_own(self, extract):
        ran = extract("--folder", "kept")
        (entry,) = cache.entries("kept")
        assert cache.entries() == []
        data = eval(ran.out.splitlines()[-2].strip(), {"probe": probe})
        assert data.shape[0] == 12
        assert str(Path("kept").absolute() / entry.key) in ran.out


class TestOrderAndNames:
    def test_an_order_that_another_program_may_not_share_is_said(self, extract, lab):
        assert "order" not in facts(extract().out)
        for k in range(12):
            (lab / "images" / f"p{k:02d}.png").rename(lab / "images" / f"{k + 1}.png")
        for more in ([], ["--dry-run"]):
            told = facts(extract(*more).out)["order"]
            assert told == "of text: 1.png, 10.png, 11.png, …; 10.png comes before 2.png"
        assert json.loads(extract("--json").out)["order"] == told

    def test_a_layer_goes_by_its_alias(self, run, lab):
        run(
            "extract", "-m", "alexnet", "-i", lab / "images", "--weights", "random",
            "--layers", "conv1", "--reduce", "mean",
        )  # fmt: skip
        store = ActivationStore(cache.entries()[0].path)
        assert list(store) == ["features.0"]
        assert "conv1" in store
        assert "conv2" not in store
        xr.testing.assert_identical(store["conv1"], store["features.0"])
        assert probe.open_activations(store, "conv1").name == "features.0"
        with pytest.raises(ProbeError, match=r"no activations of layer 'conv7'.*'conv1'"):
            store["conv7"]
        with pytest.raises(ProbeError, match="no activations of layer 'conv2'"):
            store["conv2"]

    def test_pictures_of_a_table_that_lie_elsewhere(self, extract, lab):
        names = ["p03.png", "p01.png"]
        rows = ["stimulus_id;path", *(f"{k};C:\\set\\{name}" for k, name in enumerate(names))]
        Path("set.csv").write_text("\n".join(rows))
        assert "--root" in extract(images="set.csv").error
        assert extract("--root", lab / "images", images="set.csv").code == 0
        assert ActivationStore(cache.entries()[0].path).stimulus_ids == ("0", "1")

    def test_a_folder_that_is_not_there_suggests_what_has_pictures(self, extract):
        Path("notes.txt").write_text("")
        Path("results").mkdir()
        for images in ("resultss", "./resultss"):
            error = extract(images=images).error
            assert "'results'" in error
            assert "notes.txt" not in error


class TestDryRun:
    def test_nothing_is_computed(self, extract, own_cache):
        ran = extract("--dry-run")
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.splitlines()[-1] == "Nothing was computed (--dry-run)."
        assert facts(ran.out)["there"] == "0 %"
        assert not (own_cache / "activations").exists()

    def test_it_foretells_what_then_happens(self, extract):
        extract("--layers", "features.0")
        told = json.loads(extract("--dry-run", "--json").out)
        done = json.loads(extract("--json").out)
        assert (told["key"], told["n_stimuli"]) == (done["key"], done["n_stimuli"])
        assert told["n_bytes"] == done["n_bytes"]
        assert told["there"] == pytest.approx(1 - done["new"])
        rows = [line.split() for line in extract("--dry-run").out.splitlines()]
        assert ["features.0", "64×111×111", "64", "100", "%"] in [row[:5] for row in rows]


def test_the_stimuli_of_a_recording(extract):
    told = json.loads(extract("--json", "--dry-run", images="sim-v1").out)
    assert told["n_stimuli"] == 180
    assert "sim-v1/7" in extract("--dry-run", images="sim-v1/7").out.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--images"], ["--images", "requires an argument"]),
        (["--layers", "features.33"], ["'features.33'", "did you mean 'features.3'"]),
        (["--reduce", "srp:many"], ["'srp:many'", "srp:4096"]),
        (["--dtype", "float"], ["dtype 'float'", "did you mean 'float32'"]),
        (["--precision", "fp16"], ["precision 'fp16': expected one of float32, bfloat16, float16"]),
        (["--autocast", "fp16"], ["precision 'fp16'", "float16"]),
        (["--weights", "nowhere.pth"], ["'nowhere.pth' do not exist", "imagenet, random"]),
        (["--preprocessing", "resized"], ["'resized'", "did you mean 'resize'"]),
        (["--seed", "-1"], ["seed -1: expected a number ≥ 0"]),
        (["--batch-size", "0"], ["--batch-size 0: expected a number ≥ 1"]),
        (["--device", "gpu"], ["device 'gpu'", "cpu"]),
        (["--cluster", "locale:2"], ["'locale:2'", "local:"]),
        (["--layer", "features.0"], ["No such option: --layer", "--layers"]),
    ],
)
def test_bad_options(extract, own_cache, arguments, parts):
    error = extract(*arguments).error
    for part in parts:
        assert part in error
    assert not list(own_cache.glob("activations/*"))


@pytest.mark.parametrize(
    ("images", "parts"),
    [
        ("sim-v44", ["'sim-v44'", "did you mean 'sim-v4'", "probe datasets"]),
        ("./nowhere", ["nowhere'"]),
        ("*.jpeg", ["*.jpeg'"]),
        (".", ["no images", "empty"]),
    ],
)
def test_images_that_are_not_there(extract, images, parts):
    error = extract(images=images).error
    for part in parts:
        assert part in error


def test_a_disk_that_is_too_small(extract, own_cache, monkeypatch):
    free = shutil._ntuple_diskusage(10**9, 10**9, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: free)
    error = extract("--reduce", "none").error
    assert "GB left" in error
    assert "--force" in error
    assert extract("--reduce", "none", "--force").code == 0


def test_help_teaches(run):
    ran = run("extract", "--help")
    assert ran.code == 0
    for word in ("--skip-bad", "--force", "--dry-run", "srp:4096", "tcp://HOST", "slurm:10"):
        assert word in ran.out


@pytest.mark.parametrize(
    ("names", "start", "found"),
    [
        (complete.reducers, "srp", ["srp:4096", "srp:auto", "srp:eps=0.2"]),
        (complete.clusters, "l", ["local:2", "local:4"]),
        (complete.preprocessing, "", ["resize", "torchvision"]),
        (complete.weights, "r", ["random"]),
        (complete.images, "sim-", ["sim-v4", "sim-v1", "sim-v4-compact", "sim-pictures/"]),
        (complete.images, "sim-v4,", []),
        (complete.images, "pict", []),
        (complete.images, "it", ["it-fmri", "it", "it.csv"]),
    ],
)
def test_completion(names, start, found):
    Path("sim-pictures").mkdir()
    Path("it.csv").touch()
    assert names(start) == found


def test_words_that_are_completed_are_those_that_exist():
    assert complete.REDUCERS == FORMS
    assert set(STORED) == set(DTYPES)
    assert set(PRECISIONS) == set(AUTOCAST)
    assert set(complete.PREPROCESSING) == set(KINDS)


def test_an_older_spelling_of_precision(extract):
    arguments = ("--reduce", "mean", "--json")
    fewer = json.loads(extract("--precision", "bfloat16", *arguments).out)
    older = json.loads(extract("--autocast", "bfloat16", *arguments).out)
    assert older["path"] == fewer["path"]
    assert older["new"] == 0
    whole = json.loads(extract("--autocast", "none", *arguments).out)
    assert whole["path"] == json.loads(extract(*arguments).out)["path"] != fewer["path"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143)],
)
def test_stopped_and_the_same_command_goes_on(own_cache, lab, number, code):
    for k in range(12, 100):
        shutil.copy(lab / "images" / f"p{k % 12:02d}.png", lab / "images" / f"p{k}.png")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [
        sys.executable, "-c", "from probe.cli import main; main()", "extract", "-m",
        "squeezenet1_1", "-i", str(lab / "images"), "--weights", "random", "--layers",
        "features.3", "--batch-size", "4",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 120
        while not list(own_cache.glob("activations/*/features.3/c.*.0")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, err
    assert out == ""
    assert err.splitlines() == ["Interrupted. What was finished is kept: the same command goes on."]
    (entry,) = cache.entries()
    assert 0 < entry.share < 1
    assert not list(own_cache.rglob("*.partial"))
    if number == signal.SIGTERM:
        return  # once is enough
    whole = {p: p.stat().st_mtime_ns for p in entry.path.glob("*/c.*")}
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr) == (0, "")
    assert {p: p.stat().st_mtime_ns for p in whole} == whole
    assert "the rest was there" in facts(again.stdout)["new"]
    assert cache.entries()[0].share == 1
    assert np.isfinite(ActivationStore(entry.path)["features.3"].values).all()
