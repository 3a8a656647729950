"""``probe datasets import``: a user's own files, and what is said of them."""

import numpy as np
import pytest

from probe.cli import complete
from probe.cli.datasets import _over_time
from probe.recordings import from_folder
from probe.recordings.importing.options import AXIS_WORDS, TIME_UNITS
from probe.recordings.settings import PICTURE_AXES


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
    assert "imported from session.npz" in compared.out


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
    error = run("datasets", "import", responses).error
    assert "--stimuli" in error
    assert "--picture-axes" not in error  # only NWB files hold pictures


@pytest.mark.parametrize(
    ("options", "over_time"),
    [
        (
            ("--bins", "0,10ms", "--window", "0,20ms", "--step", "10ms"),
            " --time 0,20ms --step 10ms",
        ),
        (("--bins", "0,10ms", "--window", "0,20ms"), ""),
    ],
)
def test_what_is_proposed_next_is_a_command_that_works(
    run, rsa, images, tmp_path, options, over_time
):
    counts = np.random.default_rng(4).poisson(6.0, (6, 12, 3, 2))
    names = [f"p{k:02d}" for k in range(12)]
    np.savez(tmp_path / "binned.npz", resp=counts, image_id=names)
    ran = run(
        "datasets", "import", tmp_path / "binned.npz", "--stimuli", images,
        "--axes", "unit,image,repeat,time", *options,
    )  # fmt: skip
    proposed = ran.out.splitlines()[-1]
    assert proposed == f"probe rsa --model alexnet --dataset ./binned{over_time}"
    assert rsa("./binned", *over_time.split()).code == 0


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


@pytest.fixture
def betas(lab, tmp_path):
    """Images of one presentation each, a mask of four voxels and a table that names images."""
    nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
    values = np.load(lab / "responses.npy")  # stimulus x repetition x neuroid
    (tmp_path / "betas").mkdir()
    rows = ["file\tstimulus_id"]
    for stimulus, of_stimulus in enumerate(values):
        for repetition, one in enumerate(of_stimulus):
            name = f"beta_{repetition}{stimulus:02d}.nii.gz"
            image = nibabel.Nifti1Image(one.reshape(3, 2, 1), np.diag([-2.0, 2, 2, 1]))
            nibabel.save(image, tmp_path / "betas" / name)
            rows.append(f"{name}\tp{stimulus:02d}")
    mask = np.zeros((3, 2, 1), np.uint8)
    mask.flat[1:5] = 1
    nibabel.save(nibabel.Nifti1Image(mask, np.diag([-2.0, 2, 2, 1])), tmp_path / "V4.nii.gz")
    (tmp_path / "trials.tsv").write_text("\n".join(rows))
    return tmp_path / "betas"


def test_single_trial_maps(run, rsa, betas, images, lab, tmp_path):
    ran = run(
        "datasets", "import", betas, "--mask", tmp_path / "V4.nii.gz", "--stimuli", images,
        "--events", tmp_path / "trials.tsv",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "files        beta_000.nii.gz and 23 more (NIfTI)"
    assert (
        "axis         neuroid (4): the voxels, in C order of 3 × 2 × 1, inside V4.nii.gz" in lines
    )
    assert "region       V4 (4)" in lines
    assert lines[-2] == "wrote ./betas-recording"  # not into the folder that was read
    imported = from_folder("betas-recording")
    np.testing.assert_array_equal(
        imported.data["responses"].values, from_folder(lab).data["responses"].values[..., 1:5]
    )
    assert imported.data["i"].values.tolist() == [0, 1, 1, 2]
    compared = rsa("./betas-recording", "--region", "V4")
    assert compared.code == 0, compared


def test_of_an_image_the_folder_is_called_without_its_endings(run, betas, images, tmp_path):
    (tmp_path / "V4.nii.gz").rename(betas / "mask.nii.gz")
    one = next(betas.glob("beta_000*"))
    (tmp_path / "one.tsv").write_text("stimulus_id\np00\n")
    ran = run(
        "datasets", "import", one, "--events", tmp_path / "one.tsv", "--stimuli", images
    )  # fmt: skip
    assert ran.out.splitlines()[-2] == "wrote ./beta_000"


def test_help_teaches(run):
    out = run("datasets", "import", "--help").out
    assert "probe datasets import session.nwb --stimuli images/ --window 50,250ms" in out
    for option in (
        "--axes", "--variable", "--labels", "--presentations", "--neuroids", "--bins",
        "--time-unit", "--blank", "--mask", "--key", "--events",
        "--average", "--region", "--subject", "--sort-times", "--output", "--dry-run",
    ):  # fmt: skip
        assert option in out
    assert "import" in run("datasets", "--help").out


def test_completion():
    assert complete.axes("neuroid,rep") == ["neuroid,repetition"]
    assert complete.time_units("m") == ["ms"]
    assert tuple(AXIS_WORDS) == complete.AXES
    assert tuple(TIME_UNITS) == complete.TIME_UNITS
    assert complete.PICTURE_AXES == PICTURE_AXES


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        (10, "--time -100,190ms --step 10ms"),
        (20, "--time -100,480ms"),
        (1, "--time -100,-80ms --step 10ms"),
        (6.66, "--time -100,93.14ms"),
    ],
)
def test_steps_are_proposed_that_hold_as_many_samples_each(gap, expected):
    instants = np.arange(30) * gap - 100.0
    assert _over_time(np.stack([instants, instants], axis=1)) == f" {expected}"
