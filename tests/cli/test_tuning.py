"""``probe tuning``."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from probe.cli import complete

QUICK = ["v1-gabor:40", "--layers", "complex", "--orientations", 4]


def test_figure_and_table(run):
    ran = run("tuning", *QUICK)
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "v1-gabor:40 · complex · 16 units"
    assert any(line.split()[:2] == ["complex", "16"] for line in lines)
    assert "distance to neurons of V1 (0 to 1)" in lines
    assert lines[-1] == "wrote tuning-v1-gabor-40.png"
    assert Path("tuning-v1-gabor-40.png").read_bytes().startswith(b"\x89PNG")


def test_csv_and_json(run):
    ran = run("tuning", *QUICK, "-o", "a.csv", "--json")
    (record,) = json.loads(ran.out)
    assert record["files"] == ["a.csv"]
    assert record["about"]["degrees"] == 40
    table = pd.read_csv("a.csv")
    assert len(record["table"]) == len(table) == 16
    assert (table["f1_f0"] < 1).all()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["alxnet"], ["unknown model 'alxnet'", "did you mean 'alexnet'"]),
        ([], ["name a network, such as: probe tuning alexnet"]),
        (["alexnet", "--stimuli", "grating"], ["--stimuli 'grating'", "did you mean 'gratings'"]),
        (["alexnet", "--area", "V5"], ["--area 'V5'", "V1, V2, V4"]),
        (["alexnet", "--degrees", "-1"], ["--degrees -1", "> 0"]),
        ([*QUICK, "-o", "a.jpg"], ["'a.jpg'", ".png", ".csv"]),
        (["alexnet", "--layers", "conv9"], ["no layer 'conv9'"]),
        (["--sites", "v9"], ["no sites of 'v9' were fitted yet"]),
    ],
)
def test_bad_input(run, arguments, parts):
    error = run("tuning", *arguments).error
    for part in parts:
        assert part in error
    assert list(Path().iterdir()) == []


def test_completion():
    assert complete.stimuli("gratings,s") == ["gratings,size", "gratings,shapes"]
