"""``probe reliability``: what it prints, writes, and refuses."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

FILES = {"neuroids.csv", "rdms.csv", "figure.png", "reliability.json"}


def test_prints_a_table_and_writes_its_files(run, lab):
    ran = run("reliability", "-d", lab)
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0].startswith("Reliability of lab: lab, 6 neuroids, subject 1, 12 stim")
    assert lines[2].split()[:4] == ["region", "subject", "neuroids", "ρ"]
    folder = Path("results/reliability-lab")
    assert {Path(line.split()[1]) for line in lines[-4:]} == {folder / f for f in FILES}
    assert {p.name for p in folder.iterdir()} == FILES
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert len(pd.read_csv(folder / "neuroids.csv")) == 6
    assert "replaced" in run("reliability", "-d", lab).out


def test_json_is_all_that_is_printed(run, lab):
    ran = run("reliability", "-d", lab, "--json", "-o", "out", "--metric", "euclidean")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out) == json.loads(Path("out/reliability.json").read_text())
    assert json.loads(ran.out)["metric"] == "euclidean"


def test_what_cannot_be_known(run, lab):
    values = np.load(Path(lab) / "responses.npy")
    np.save(Path(lab) / "responses.npy", values[:, 0])
    ran = run("reliability", "-d", lab)
    assert "holds one response of each stimulus, and no published reliability" in ran.error
    assert not Path("results").exists()


def test_a_metric_that_does_not_exist(run, lab):
    error = run("reliability", "-d", lab, "--metric", "cosin").error
    assert "metric 'cosin': expected one of correlation, euclidean, cosine" in error
    assert "did you mean 'cosine'?" in error
