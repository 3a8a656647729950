"""``probe invariance``."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from probe.cli import complete
from probe.tuning.equivariance import TRANSFORMS

QUICK = ["squeezenet1_1", "--weights", "random", "--layers", "features.0", "--transform"]


def test_table_and_figure(run, lab):
    ran = run("invariance", *QUICK, "translation", "-i", lab / "images" / "p0[0-2].png")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "squeezenet1_1 · images/p0[0-2].png, 3 pictures"
    assert any(line.split()[:1] == ["features.0"] for line in lines)
    assert lines[-1] == "wrote invariance-squeezenet1_1.png"
    assert Path("invariance-squeezenet1_1.png").read_bytes().startswith(b"\x89PNG")


def test_csv_and_json(run, lab):
    pictures = lab / "images" / "p0[0-2].png"
    ran = run("invariance", *QUICK, "scale,rotation", "-i", pictures, "-o", "a.csv", "--json")
    (record,) = json.loads(ran.out)
    assert record["files"] == ["a.csv"]
    assert record["about"]["n_images"] == 3
    table = pd.read_csv("a.csv")
    assert set(table["transform"]) == {"scale", "rotation"}
    assert len(record["table"]) == len(table) == 9 + 13


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([*QUICK, "rotate"], ["transform 'rotate': expected one of", "did you mean 'rotation'"]),
        ([*QUICK, "scale", "-o", "a.jpg"], ["'a.jpg'", ".png", ".csv"]),
        ([*QUICK, "scale", "-i", "nowhere"], ["nowhere"]),
        (["squeezenet9"], ["unknown model 'squeezenet9'"]),
        (["squeezenet1_1", "--layers", "conv9"], ["no layer 'conv9'"]),
    ],
)
def test_bad_input(run, arguments, parts):
    error = run("invariance", *arguments).error
    for part in parts:
        assert part in error
    assert list(Path().iterdir()) == []


@pytest.mark.slow
def test_batches_decide_no_number(run, lab):
    options = (*QUICK[1:], "scale", "-m", QUICK[0], "--batch-size", 2)
    assert run("invariance", *options, "-o", "two.csv").code == 0
    assert run("invariance", *QUICK, "scale", "-o", "eight.csv").code == 0
    two, eight = pd.read_csv("two.csv"), pd.read_csv("eight.csv")
    pd.testing.assert_frame_equal(two, eight, rtol=1e-5, atol=1e-6)


def test_completion():
    assert complete.transforms("translation,") == ["translation,scale", "translation,rotation"]
    assert tuple(TRANSFORMS) == complete.TRANSFORMS
