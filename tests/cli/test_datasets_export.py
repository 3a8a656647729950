"""``probe datasets export``: written, and imported again."""

import json
from pathlib import Path

import numpy as np
import pytest

from probe.recordings.folder import responses_hash


@pytest.mark.parametrize("suffix", ["nc", "csv", "parquet"])
def test_what_is_written_can_be_imported(suffix, run, lab):
    ran = run("datasets", "export", lab, f"out.{suffix}")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1] == f"wrote out.{suffix}"
    assert "replaced" in run("datasets", "export", lab, f"out.{suffix}").out
    ran = run(
        "datasets", "import", f"out.{suffix}", "--stimuli", Path(lab) / "images", "-o", "again"
    )
    assert (ran.code, ran.err) == (0, "")
    np.testing.assert_array_equal(
        np.load("again/responses.npy"), np.load(Path(lab) / "responses.npy")
    )


@pytest.mark.parametrize("suffix", ["nc", "csv", "parquet"])
def test_times_come_back(suffix, run, lab):
    whole = np.load(Path(lab) / "responses.npy")
    values = np.stack([whole, 2 * whole, -whole], axis=2)
    np.save(Path(lab) / "responses.npy", values)
    (Path(lab) / "times.csv").write_text("time_start_ms,time_end_ms\n0,10\n10,20\n20,30\n")
    assert run("datasets", "export", lab, f"out.{suffix}").code == 0
    again = ("datasets", "import", f"out.{suffix}", "--stimuli", Path(lab) / "images")
    unit = ("--time-unit", "ms") if suffix == "nc" else ()
    assert "has 3 time bins: name the window to take" in run(*again, *unit, "-o", "no").error
    ran = run(*again, *unit, "--step", "10ms", "-o", "again")
    assert (ran.code, ran.err) == (0, "")
    np.testing.assert_array_equal(np.load("again/responses.npy"), values)
    assert Path("again/times.csv").read_text().split()[1:] == ["0,10", "10,20", "20,30"]
    ran = run(*again, *unit, "--window", "10,30ms", "-o", "window")
    assert (ran.code, ran.err) == (0, "")
    np.testing.assert_allclose(np.load("window/responses.npy"), values[:, :, 1:].mean(axis=2))


def test_what_is_lost_is_said(run, lab):
    values = np.load(Path(lab) / "responses.npy")
    record = {
        "title": "", "citation": "", "licence": "", "response_unit": "", "averaged": True,
        "responses_sha256": responses_hash(values.astype(np.float64)),
    }  # fmt: skip
    (Path(lab) / "recording.json").write_text(json.dumps(record))
    ran = run("datasets", "export", lab, "out.csv")
    assert ran.out.splitlines()[-2] == "not kept in the file: that responses are averages"


def test_what_cannot_be(run, lab):
    assert "ends in .nc, .csv, .parquet" in run("datasets", "export", lab, "out.mat").error
    assert "takes 3 or more of 5" in run(
        "datasets", "export", lab, "out.nc", "--min-reliability", ".5"
    ).error  # fmt: skip
    assert (
        "folder 'nowhere' does not exist" in run("datasets", "export", lab, "nowhere/out.nc").error
    )
    assert not list(Path().iterdir())


def test_a_file_holds_one_region(run, lab):
    n = np.load(Path(lab) / "responses.npy").shape[-1]
    rows = [f"n{k},{'V1' if k < 2 else 'V4'}" for k in range(n)]
    (Path(lab) / "neuroids.csv").write_text("\n".join(["neuroid_id,region", *rows]))
    ran = run("datasets", "export", lab, "out.nc", "--region", "all")
    assert ran.code == 2
    assert "a file holds one region, not V1, V4: name one (--region)" in ran.error
    assert not Path("out.nc").exists()
    assert run("datasets", "export", lab, "out.nc", "--region", "V4").code == 0
