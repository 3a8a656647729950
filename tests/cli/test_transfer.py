"""``probe transfer``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from probe.classification.result import Transfer
from probe.cli import complete

QUICK = ("--weights", "random", "--layers", "features.0", "--folds", 2, "--repeats", 1, "--shots",
         "1,50", "--baselines", "none")  # fmt: skip


@pytest.fixture
def photos(tmp_path):
    """Four dark and four light pictures, each class in a folder; a table; one outside."""
    rng = np.random.default_rng(0)
    rows = []
    for name, low in (("dark", 0), ("light", 150)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for k in range(4):
            path = tmp_path / "photos" / name / f"{k}.png"
            Image.fromarray(rng.integers(low, low + 100, (32, 32, 3), np.uint8)).save(path)
            rows.append({"path": f"{name}/{k}.png", "tone": name, "odd": "ab"[k % 2]})
    pd.DataFrame(rows).to_csv(tmp_path / "photos" / "table.csv", index=False)
    return tmp_path / "photos"


def test_a_line_for_each_layer_and_the_files(run, photos):
    ran = run("transfer", "-m", "squeezenet1_1", "-i", f"{photos}/*/*.png", *QUICK)
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0].startswith("squeezenet1_1, frozen, classifies photos/*/*.png: 2 classes, 8 pic")
    assert any(line.split()[:1] == ["features.0"] and "1.000" in line for line in lines)
    folder = Path("results/transfer-squeezenet1_1-photos-random")
    assert {path.name for path in folder.iterdir()} == set(Transfer.FILES)
    assert lines[-1] == f"wrote {folder / 'result.json'}"


def test_json_and_a_table(run, photos):
    options = ("-i", photos / "table.csv", "--classes", "odd", *QUICK, "-o", "there", "--json")
    ran = run("transfer", "squeezenet1_1", *options)
    record = json.loads(ran.out)
    assert record["pictures"]["classes"] == {"a": 4, "b": 4}
    assert {row["n_train_per_class"] for row in record["table"]} == {1.0, 2.0}
    assert (Path("there") / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--folds", 1], ["--folds 1: expected a number ≥ 2"]),
        (["--folds", 5], ["'dark' (4), 'light' (4)", "--folds 4"]),
        (["--shots", "few"], ["--shots 'few'", "'1,5,20'"]),
        (["--baselines", "classics"], ["'classics'", "did you mean 'classic'"]),
        (["--classes", "tone"], ["'tone'", "it has none"]),
        (["--reduce", "pca:2"], ["components would be fitted"]),
        (["--layers", "conv9"], ["no layer 'conv9'"]),
    ],
)
def test_bad_input(run, photos, options, parts):
    error = run("transfer", "-m", "squeezenet1_1", "-i", photos, *QUICK[:2], *options).error
    for part in parts:
        assert part in error
    assert list(Path().iterdir()) == []


def test_pictures_outside_a_class(run, photos):
    (photos / "dark" / "0.png").rename(photos / "0.png")
    error = run("transfer", "-m", "squeezenet1_1", "-i", photos, *QUICK).error
    assert "1 of 8 pictures of 'photos' are in no folder of a class, such as '0.png'" in error


def test_completion():
    assert complete.one_of(("default", "classic", "none"))("c") == ["classic"]
