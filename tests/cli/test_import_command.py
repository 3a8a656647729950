"""``probe datasets import``: a user's own files, and what is said of them."""

import numpy as np
import pytest

from probe.cli import complete
from probe.recordings import from_folder
from probe.recordings.importing.options import AXIS_WORDS, PICTURE_AXES, TIME_UNITS


@pytest.fixture
def responses(lab, tmp_path):
    """Neuroid x image x repetition, and the pictures of a laboratory."""
    values = np.load(lab / "responses.npy")
    names = [f"p{k:02d}" for k in range(12)]
    np.savez(tmp_path / "session.npz", resp=values.transpose(2, 0, 1), image_id=names)
    return tmp_path / "session.npz"


@pytest.fixture
def images(lab):
    return lab / "images"


def test_import_and_compare(run, rsa, responses, images, lab):
    ran = run("datasets", "import", responses, "--stimuli", images, "--axes", "unit,image,repeat")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert "axis         neuroid (6): --axes" in lines
    assert "pictures     named by image_id; all found in 'images' by name" in lines
    assert lines[-2:] == ["wrote ./session", "probe rsa --model alexnet --dataset ./session"]
    imported, direct = from_folder("session"), from_folder(lab)
    np.testing.assert_array_equal(
        imported.data["responses"].values, direct.data["responses"].values
    )
    assert imported.stimuli.hash == direct.stimuli.hash
    compared = rsa("./session")
    assert compared.code == 0
    assert "recording imported from session.npz" in compared.out


def test_dry_run_needs_no_pictures_and_writes_nothing(run, responses, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    ran = run("datasets", "import", responses, "--axes", "unit,image,repeat", "--dry-run")
    assert (ran.code, ran.err) == (0, "")
    assert "not looked for (--stimuli)" in ran.out
    assert "wrote" not in ran.out
    assert sorted(tmp_path.rglob("*")) == before


def test_where_two_readings_fit_the_option_is_named(run, responses, images, tmp_path):
    error = run("datasets", "import", responses, "--stimuli", images).error
    assert "6 × 12 × 2" in error
    assert "--axes neuroid,stimulus,repetition" in error
    assert not (tmp_path / "here" / "session").exists()


def test_pictures_are_asked_for_before_the_work(run, responses):
    assert "--stimuli" in run("datasets", "import", responses).error


def test_nothing_is_overwritten(run, responses, images, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("")
    arguments = ("--stimuli", images, "--axes", "unit,image,repeat", "-o", tmp_path / "mine")
    assert "exists" in run("datasets", "import", responses, *arguments).error


def test_spikes_from_before_onset(run, lab, images, tmp_path):
    (tmp_path / "spikes.csv").write_text("unit_id,spike_time_s\n7,0.95\n7,2.0\n9,2.95\n")
    rows = [f"{k + 1},p{k:02d}" for k in range(3)]
    (tmp_path / "trials.csv").write_text("\n".join(["onset_s,stimulus_id", *rows]))
    ran = run(
        "datasets", "import", tmp_path / "spikes.csv", "--presentations", tmp_path / "trials.csv",
        "--window", "-100,0ms", "--stimuli", images, "--region", "V4", "-o", "before",
    )  # fmt: skip
    assert ran.code == 0, ran
    recording = from_folder("before")
    np.testing.assert_array_equal(
        recording.data["responses"].values[:, 0], [[1, 0], [0, 0], [0, 1]]
    )
    assert recording.regions == ["V4"]
    unit = "spikes in -100 to 0 ms after onset, the end not included"
    assert recording.describe()["response_unit"] == unit


def test_help_teaches(run):
    out = run("datasets", "import", "--help").out
    assert "probe datasets import session.nwb --stimuli images/ --window 50,250ms" in out
    for option in (
        "--axes", "--variable", "--labels", "--presentations", "--neuroids", "--bins",
        "--time-unit", "--blank", "--region", "--subject", "--sort-times", "--output", "--dry-run",
    ):  # fmt: skip
        assert option in out
    assert "import" in run("datasets", "--help").out


def test_completion():
    assert complete.axes("neuroid,rep") == ["neuroid,repetition"]
    assert complete.time_units("m") == ["ms"]
    assert tuple(AXIS_WORDS) == complete.AXES
    assert tuple(TIME_UNITS) == complete.TIME_UNITS
    assert complete.PICTURE_AXES == PICTURE_AXES
