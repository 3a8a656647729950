"""``probe datasets export``: written, and imported again."""

from pathlib import Path

import numpy as np
import pytest


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


def test_what_cannot_be(run, lab):
    assert "ends in .nc, .csv, .parquet" in run("datasets", "export", lab, "out.mat").error
    assert "takes 3 or more of 5" in run(
        "datasets", "export", lab, "out.nc", "--min-reliability", ".5"
    ).error  # fmt: skip
    assert not list(Path().iterdir())
