"""``probe encode``: what it prints, writes and keeps; and what may be done with the sites then."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from probe import images
from probe.cli import complete
from probe.encoding import Encoding, Encodings

pytestmark = pytest.mark.usefixtures("_small_squeezenet", "_coarse_pngs")


@pytest.fixture
def encode(run):
    """Run ``probe encode`` on a small random network, quickly."""

    def encode(dataset, *more, model="squeezenet1_1"):
        quick = ["--layers", "features.7,features.12", "--readout", "flat"]
        quick = [] if "--layers" in more else quick
        folds = [] if "--folds" in more else ["--folds", "3"]
        weights = [] if "--weights" in more else ["--weights", "random"]
        return run(
            "encode", "-m", model, "-d", dataset, "--no-baselines", "--n-resamples", "0",
            *quick, *folds, *weights, *more,
        )  # fmt: skip

    return encode


@pytest.fixture
def picture():
    shown = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    Image.fromarray(shown).save("picture.png")
    return "picture.png"


@pytest.fixture(scope="module")
def simulated(alexnet, tmp_path_factory):
    """Sites of sim-v4 are fitted, once: its output, and the folder."""
    from typer.testing import CliRunner

    from probe.cli import app

    place = tmp_path_factory.mktemp("simulated") / "out"
    ran = CliRunner().invoke(
        app,
        ["encode", "-m", "alexnet", "-d", "sim-v4", "--layers", "features.7", "--no-baselines",
         "--n-resamples", "100", "-o", str(place)],
    )  # fmt: skip
    assert ran.exit_code == 0, ran.output
    return ran.output, place


class TestSimulated:
    def test_all_files_are_written_and_the_sites_kept(self, simulated):
        out, place = simulated
        assert {p.name for p in place.iterdir()} == set(Encoding.FILES)
        lines = out.splitlines()
        assert lines[0] == (
            "alexnet predicts SIMULATED recording sim-v4/0: V4, 120 sites, 3 subjects, 178 stimuli"
        )
        (row,) = (line for line in lines if line.startswith("features.7"))
        table = pd.read_csv(place / "table.csv")
        assert f"{table['r'][0]:.3f}".lstrip("0") in row.split()
        assert "site:sim-v4:0 to site:sim-v4:119 are kept" in lines
        assert "The recording is SIMULATED" in out
        assert len(pd.read_csv(place / "sites.csv")) == 120
        assert json.loads((place / "encoding.json").read_text())["dataset"] == "sim-v4"

    @pytest.mark.slow
    def test_a_map_without_naming_the_network(self, simulated, run, picture):
        ran = run("saliency", picture, "--target", "site:sim-v4:3", "-o", "map.png")
        assert (ran.code, ran.err) == (0, "")
        assert "site 3 (sim-1-03) of SIMULATED sim-v4/0, read from relu3 of alexnet" in ran.out
        about = images.about("map.png")
        assert (about["model"], about["target"]) == ("alexnet", "site:sim-v4:3")
        assert (about["method"], about["layer"]) == ("integrated-gradients", "")
        assert about["site"]["r"] > 0.5
        ran = run(
            "saliency",
            picture,
            "--target",
            "site:sim-v4:3",
            "--method",
            "grad-cam",
            "-o",
            "cam.png",
        )
        assert (ran.code, ran.err) == (0, "")
        assert images.about("cam.png")["layer"] == "features.7"

    def test_a_dream_without_naming_the_network(self, simulated, run, picture):
        ran = run(
            "dream", picture, "--target", "site:sim-v4:3+site:sim-v4:5", "--steps", "1",
            "--octaves", "1", "--size", "128", "-o", "dream.png",
        )  # fmt: skip
        assert (ran.code, ran.err) == (0, "")
        about = images.about("dream.png")
        assert about["model"] == "alexnet"
        assert list(about["site"]) == ["site:sim-v4:3", "site:sim-v4:5"]

    def test_a_plain_picture_says_how_good_the_fit_is(self, simulated, run):
        ran = run(
            "visualize", "site:sim-v4:3", "--no-check", "--steps", "1", "--size", "64",
            "-o", "x.png",
        )  # fmt: skip
        assert (ran.code, ran.err) == (0, "")
        assert "site 3 (sim-1-03) of SIMULATED sim-v4/0, read from relu3 of alexnet" in ran.out
        assert images.about("x.png")["site"]["site:sim-v4:3"]["r"] > 0.5

    def test_names_of_sites_are_completed(self, simulated):
        assert "site:sim-v4:3" in complete.targets("site:s")
        assert complete.targets("site:sim-v4:a") == ["site:sim-v4:all"]
        assert complete.targets("site:nothing") == []

    def test_a_site_that_does_not_exist(self, simulated, run, picture):
        error = run("saliency", picture, "-t", "site:sim-v4:120").error
        assert error == "site 120 of sim-v4 does not exist: expected 0 to 119; the nearest is 119"

    def test_another_network(self, simulated, run, picture):
        error = run(
            "saliency", picture, "-m", "squeezenet1_1", "--weights", "random", "-t",
            "site:sim-v4:3",
        ).error  # fmt: skip
        assert "sites of 'sim-v4' were fitted with alexnet" in error
        assert "not with this network (squeezenet1_1" in error
        assert "`probe encode --model squeezenet1_1 --dataset sim-v4`" in error
        assert not list(Path().glob("*grad-cam*"))


def test_a_folder_of_ones_own(encode, lab, run, picture):
    ran = encode(lab, "--seed", "3", "-o", "out")
    assert (ran.code, ran.err) == (0, "")
    assert {p.name for p in Path("out").iterdir()} == set(Encoding.FILES)
    assert f"site:{lab}:0 to site:{lab}:5 are kept" in ran.out
    again = run(
        "saliency", picture, "-t", f"site:{lab}:2", "--method", "gradient", "-o", "map.png"
    )  # fmt: skip
    assert (again.code, again.err) == (0, "")
    assert images.about("map.png")["site"]["recording"] == "lab"


def test_layers_together(encode, lab, run, picture):
    ran = encode(lab, "--method", "banded", "-o", "out")
    assert (ran.code, ran.err) == (0, "")
    files = {*Encoding.FILES, *Encoding.BANDED_FILES}
    assert {p.name for p in Path("out").iterdir()} == files
    for name in Encoding.BANDED_FILES:
        assert f"wrote {Path('out') / name}" in ran.out
    assert "all 2 layers together" in ran.out
    bands = pd.read_csv("out/bands.csv")
    assert len(bands) == 2 * 6
    np.testing.assert_allclose(bands.groupby("site")["share"].sum(), 1.0)
    again = run("saliency", picture, "-t", f"site:{lab}:2", "--method", "gradient", "-o", "map.png")
    assert (again.code, again.err) == (0, "")
    assert images.about("map.png")["site"]["layers"] == ["features.7", "features.12"]


def test_layers_together_are_two_or_more(encode, lab):
    error = encode(lab, "--method", "banded", "--layers", "features.7", "-o", "out").error
    assert error == (
        "--method 'banded' fits several layers together, and 'features.7' is one: name two or "
        "more, "
        "or use method 'ridge'"
    )
    assert not Path("out").exists()


@pytest.mark.slow
def test_random_weights_are_found_again_by_their_seed(encode, lab, run, picture):
    assert encode(lab, "--seed", "3", "-o", "out").code == 0
    ran = run("saliency", picture, "-t", f"site:{lab}:2", "--method", "gradient", "-o", "map.png")
    assert (ran.code, ran.err) == (0, "")


def test_json_is_all_that_is_printed(encode, lab):
    ran = encode(lab, "--json", "-o", "out")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out) == json.loads(Path("out/encoding.json").read_text())


def test_baselines_and_the_default_folder(run, lab):
    ran = run(
        "encode", "-m", "squeezenet1_1", "-d", lab, "--weights", "random", "--layers",
        "features.12", "--n-resamples", "0", "--readout", "flat", "--folds", "3",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    assert "Gabor energy" in ran.out
    (folder,) = Path("results").iterdir()
    assert folder.name.startswith("encode-squeezenet1_1-")
    assert set(pd.read_csv(folder / "table.csv")["kind"]) == {
        "layer", "untrained", "pixels", "gabor",
    }  # fmt: skip


def test_into_a_pipe_lines_are_neither_broken_nor_padded(encode, lab):
    ran = encode(lab)
    assert all(line == line.rstrip() for line in ran.out.splitlines())
    assert "\x1b" not in ran.out


def test_options_reach_the_fit(encode, lab):
    ran = encode(
        lab, "--json", "--method", "pls", "--components", "2", "--seed", "4", "--batch-size", "5",
        "--device", "cpu", "--preprocessing", "torchvision", "--subject", "1",
    )  # fmt: skip
    found = json.loads(ran.out)
    assert (found["fit"]["method"], found["fit"]["readout"]) == ("pls", "flat")
    assert (found["fit"]["n_splits"], found["fit"]["seed"]) == (3, 4)
    assert "centre 224×224 kept" in found["model"]["preprocessing"]
    assert found["provenance"]["settings"]["n_components"] == 2


@pytest.mark.slow
def test_an_earlier_result_is_replaced_and_other_files_are_left(encode, lab):
    Path("out").mkdir()
    Path("out/notes.txt").write_text("mine")
    assert "wrote out/table.csv" in encode(lab, "-o", "out").out
    assert "replaced out/table.csv" in encode(lab, "-o", "out", "--seed", "1").out
    assert {p.name for p in Path("out").iterdir()} == {*Encoding.FILES, "notes.txt"}


@pytest.mark.slow
def test_several_recordings_have_a_folder_each(encode, lab):
    rows = [f"n{k},{'V1' if k < 3 else 'V4'}" for k in range(6)]
    (lab / "neuroids.csv").write_text("\n".join(["neuroid_id,region", *rows]) + "\n")
    ran = encode(lab, "--region", "all", "-o", "out")
    assert (ran.code, ran.err) == (0, "")
    folders = {"squeezenet1_1-lab-V1", "squeezenet1_1-lab-V4"}
    assert {p.name for p in Path("out").iterdir()} == {*Encodings.FILES, *folders}
    assert {p.name for p in Path("out/squeezenet1_1-lab-V1").iterdir()} == set(Encoding.FILES)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ["--readout", "fields"],
            "readout 'fields': expected one of field, flat, full; did you mean 'field'",
        ),
        (["--method", "rigde"], "did you mean 'ridge'"),
        (
            ["--protocol", "brainscore"],
            "protocol 'brainscore': expected one of brainscore-pls, brainscore-ridgecv",
        ),
        (["--layers", "features.77"], "no layer 'features.77'"),
        (["--groups", "scene"], "no coordinate 'scene' of stimuli"),
        (["--folds", "13"], "--folds 13: expected at most 12, the number of stimuli"),
        (["--region", "V5"], "no region 'V5'"),
        (["--weights", "none.pt"], "none.pt"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(encode, lab, options, says):
    assert says in encode(lab, *options, "-o", "out").error
    assert not Path("out").exists()


def test_a_recording_that_holds_rdms_only(encode, mirror):
    assert "holds RDMs only" in encode("it").error
    assert not Path("results").exists()


def test_no_network_and_no_sites(run, own_cache, picture):
    error = run("saliency", picture, "-t", "site:sim-v4:3").error
    assert "no sites of 'sim-v4' were fitted yet" in error
    assert "`probe encode --model alexnet --dataset sim-v4`" in error
    assert complete.targets("site:") == []


@pytest.mark.parametrize("content", ["", "{}", "[]", "null"])
def test_completion_survives_what_is_damaged(own_cache, content):
    place = own_cache / "encodings" / "damaged"
    place.mkdir(parents=True)
    (place / "encoding.json").write_text(content)
    assert complete.targets("site:") == []


@pytest.mark.parametrize("command", ["encode", "saliency", "dream"])
def test_help_tells_of_sites(run, command):
    ran = run(command, "--help")
    assert ran.code == 0
    assert "site:v4:12" in ran.out
