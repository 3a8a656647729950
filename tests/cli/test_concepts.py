"""``probe concepts``, and segments on the command line."""

import json

import numpy as np
import pytest
from PIL import Image

RANDOM = ("-m", "squeezenet1_1", "--weights", "random")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name, tint in {"red": (90, 0, 0), "plain": (0, 0, 0)}.items():
        (tmp_path / "concepts" / name).mkdir(parents=True)
        for k in range(6):
            picture = rng.integers(0, 156, (32, 32, 3)) + np.array(tint)
            file = tmp_path / "concepts" / name / f"{k}.png"
            Image.fromarray(picture.astype(np.uint8)).save(file)
    return tmp_path / "concepts"


def test_concepts_are_measured_and_written(run, folder, tmp_path):
    ran = run(
        "concepts", folder, *RANDOM, "-t", "features.3:5", "-l", "features.0", "--draws", "2",
        "--permutations", "19", "-o", tmp_path / "out",
    )  # fmt: skip
    assert ran.code == 0, ran.error
    assert "red" in ran.out
    assert "wrote" in ran.out.splitlines()[-1]
    assert (tmp_path / "out" / "figure.png").read_bytes().startswith(b"\x89PNG")
    ran = run(
        "concepts", folder, *RANDOM, "-t", "features.3:5", "-l", "features.0", "--draws", "2",
        "--permutations", "19", "-o", tmp_path / "out", "--json",
    )  # fmt: skip
    rows = json.loads(ran.out)["table"]
    assert [row["concept"] for row in rows] == ["plain", "red"]


def test_bad_input_is_one_line(run, folder):
    assert "no target is named" in run("concepts", folder, *RANDOM).error
    ran = run("concepts", folder, *RANDOM, "-t", "features.3:5", "--draws", "0")
    assert (ran.code, "draws 0: expected" in ran.error) == (2, True)
    ran = run("concepts", folder / "nowhere", *RANDOM, "-t", "features.3:5")
    assert (ran.code, len(ran.error.splitlines())) == (2, 1)


def test_segments_on_the_command_line(run, folder, tmp_path):
    ran = run(
        "saliency", folder / "red" / "0.png", *RANDOM, "--method", "feature-ablation", "-t", "3",
        "--set", "segments=2", "-o", tmp_path / "map.png", "--npy", tmp_path / "map.npy",
    )  # fmt: skip
    assert ran.code == 0, ran.error
    values = np.load(tmp_path / "map.npy")
    assert len(np.unique(values)) == 4
