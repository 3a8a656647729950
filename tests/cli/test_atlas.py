from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from probe import images


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    drawn = np.random.default_rng(0)
    for k in range(4):
        coarse = drawn.integers(0, 256, (3 + k, 3 + k, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((64, 64)).save(folder / f"{k}.png")
    return folder


SMALL = ("--weights", "random", "--grid", 2, "--samples", 80, "--size", 36, "--steps", 2)


def test_it_writes_a_sheet(run, photographs: Path) -> None:
    words = ("atlas", "squeezenet1_1", "features.3", "--images", photographs, *SMALL)
    ran = run(*words, "--plain")
    assert ran.code == 0, ran.err
    assert "of 4 have enough activations" in ran.out
    assert "80 activations by 4 pictures" in " ".join(ran.out.split())
    place = Path("atlas-squeezenet1_1-features.3.png")
    with Image.open(place) as opened:
        assert opened.size == (72, 72)
    assert images.about(place)["settings"]["grid"] == 2


def test_json_and_table(run, photographs: Path) -> None:
    words = ("atlas", "squeezenet1_1", "features.3", "--images", photographs, *SMALL)
    ran = run(*words, "-o", "cells.csv", "--json")
    (record,) = json.loads(ran.out)
    table = pd.read_csv("cells.csv")
    assert record["files"] == ["cells.csv"]
    assert [row["activations"] for row in record["table"]] == table["activations"].tolist()
    assert table["activations"].sum() <= 80


def test_what_cells_contribute_to_a_target(run, photographs: Path) -> None:
    words = ("atlas", "squeezenet1_1", "features.3", "--images", photographs, *SMALL)
    ran = run(*words, "--target", "features.6:2", "-o", "cells.csv")
    assert ran.code == 0, ran.err
    table = pd.read_csv("cells.csv")
    most = table.loc[table["attribution"].idxmax()]
    assert "target       features.6:2" in ran.out
    assert (
        f"most         {most['attribution']:+.3g}: row {most['row']}, column {most['column']}"
        in ran.out
    )
    ran = run(*words, "-t", "281", "--json")
    (record,) = json.loads(ran.out)
    assert record["about"]["target"] == "tabby"
    assert all(np.isfinite(row["attribution"]) for row in record["table"])
    assert images.about(record["files"][0])["target"] == "tabby"
    assert "features.0" in run(*words, "-t", "features.0:2", "-o", "x.png").error
    assert "no sites of 'v4' were fitted" in run(*words, "-t", "site:v4:12", "-o", "x.png").error
    assert not Path("x.png").exists()


def test_help_tells_of_sites(run) -> None:
    assert "site:v4:12" in run("atlas", "--help").out


@pytest.mark.slow
def test_the_stimuli_of_a_recording(run, own_cache: Path) -> None:
    ran = run(
        "atlas", "squeezenet1_1", "features.3", "--images", "sim-v4", *SMALL, "--seed", 1
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "(sim-v4/0)" in " ".join(ran.out.split())


def test_bad_input_is_one_line(run, photographs: Path, tmp_path: Path) -> None:
    words = ("atlas", "squeezenet1_1", "features.3", "--images", photographs, *SMALL)
    assert "has to end in .png" in run(*words, "-o", "x.pdf").error
    assert "layout 'tsne': expected one of pca, umap" in run(*words, "--layout", "tsne").error
    error = run("atlas", "squeezenet1_1", "features.99", "--images", photographs, *SMALL).error
    assert "features.99" in error
    error = run("atlas", "squeezenet1_1", "features.3", "--images", "nosuch", *SMALL).error
    assert "'nosuch' are no folder, file or dataset" in error
    assert list(Path().iterdir()) == []
