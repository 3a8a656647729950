"""A dataset of the user's own, from its files to a result, through a web server."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from assemblies import MANIFEST, example, write_manifest

from probe.cli import complete
from probe.recordings import load

NAMES = ["assembly.nc", "stimuli.csv", "stimuli.zip"]


@pytest.fixture
def own(tmp_path, monkeypatch, own_cache):
    """The folder of the user's manifests, and a cache of this test alone."""
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("PROBE_MANIFESTS", str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.fixture
def served(own, web):
    """A dataset, doe2026, whose files lie on a server; gives their folder."""
    folder, url = web
    example(folder)
    write_manifest(own / "doe2026.toml", folder, url=url)
    return folder


def test_from_new_to_a_result(run, rsa, own, web):
    folder, url = web
    example(folder, n_repetitions=1)
    ran = run("datasets", "new", "smith2026", *(folder / name for name in NAMES))
    path = own / "smith2026.toml"
    assert ran.out.splitlines() == [
        f"wrote {path}", "Fill it in, then: probe datasets show smith2026"
    ]  # fmt: skip
    text = path.read_text().replace("https://…", url).replace("# url", "url")
    text = text.replace('"V4"', '"IT"').replace("# reliability = ", "reliability = ")
    path.write_text(text.replace('"reliability"', '"reliability_window"'))

    assert "smith2026" in run("datasets").out
    shown = run("datasets", "show", "smith2026").out
    assert re.search(r"file +assembly.nc, [\d.]+ kB: not here", shown)
    assert "0 of 3 files" in shown
    assert "Get them: probe datasets fetch smith2026" in shown

    ran = run("datasets", "fetch", "smith2026")
    assert (ran.code, len(ran.out.splitlines())) == (0, 3)
    assert "3 of 3 files" in run("datasets", "show", "smith2026").out
    assert run("datasets", "verify", "smith2026").out.count("good") == 3

    recording = load("smith2026", min_reliability=0.45)
    assert (recording.n_stimuli, recording.n_neuroids) == (12, 2)
    compared = rsa("smith2026", "--metric", "euclidean")  # two sites of each animal
    assert (compared.code, compared.err) == (0, "")
    assert "smith2026" in compared.out


def test_what_is_shown(run, served):
    lines = run("datasets", "show", "doe2026").out.splitlines()
    assert "cite         Doe (2026). On V4 & IT. Journal, doi:10.1234/v4_it" in lines
    assert "region       V4 (macaque)" in lines
    assert "responses    spikes" in lines
    assert any("reliability_window" in line for line in lines)
    shown = run("datasets", "show", "v4").out
    for words in ("cowley2023", "210325 (default): PE; 640 stimuli", "GPL-3.0", "10.1038/s41586"):
        assert words in shown


def test_of_many_files_only_the_number_is_shown(run, own_cache):
    shown = run("datasets", "show", "cowley2023-compact").out
    assert "0 of 219 files" in shown
    assert "compact_model_190923" not in shown


def test_a_restricted_licence_is_asked_for(run, own, served):
    text = MANIFEST.replace("[licence]", "[licence]\nrestricted = true")
    url = re.search(r"http://\S+(?=/assembly)", (own / "doe2026.toml").read_text())[0]
    write_manifest(own / "doe2026.toml", served, text=text, url=url)
    for command in (("datasets", "fetch"), ("assets", "fetch")):
        assert "--accept-licence" in run(*command, "doe2026").error
    assert run("datasets", "fetch", "doe2026", "--accept-licence").code == 0
    assert run("assets", "fetch", "doe2026").out == "doe2026: 3 files, ready\n"


def test_what_is_here_is_not_fetched_again(run, served):
    run("datasets", "fetch", "doe2026")
    for name in NAMES:
        (served / name).unlink()
    assert run("datasets", "fetch", "doe2026").code == 0


def test_a_file_that_is_another_now(run, served, own_cache):
    (served / "stimuli.csv").write_text("stimulus_id,filename\n")
    error = run("datasets", "fetch", "doe2026").error
    assert "doe2026/stimuli.csv" in error
    assert error.count("sha256:") == 2
    assert not (own_cache / "assets" / "doe2026" / "stimuli.csv").exists()


def test_verify_tells_what_differs_and_removes_nothing(run, served, own_cache):
    assert "fetch doe2026" in run("datasets", "verify", "doe2026").error
    run("datasets", "fetch", "doe2026")
    path = own_cache / "assets" / "doe2026" / "stimuli.zip"
    content = bytearray(path.read_bytes())
    content[50] ^= 1
    path.write_bytes(content)
    ran = run("datasets", "verify", "doe2026")
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.splitlines()[-1] == "1 of 3 files differ"
    assert ran.out.count("good") == 2
    assert "has sha256:" in ran.out
    assert path.exists()
    path.unlink()
    ran = run("datasets", "verify", "doe2026")
    assert (ran.code, ran.out.count("not here")) == (0, 1)


def test_verify_looks_into_mirror_folders(run, own, served, tmp_path, monkeypatch):
    (tmp_path / "mirror" / "doe2026").mkdir(parents=True)
    (tmp_path / "mirror" / "doe2026" / "stimuli.csv").write_text("other")
    monkeypatch.setenv("PROBE_MIRROR", str(tmp_path / "mirror"))
    ran = run("datasets", "verify", "doe2026")
    assert (ran.code, ran.out.count("differs"), ran.out.count("not here")) == (1, 1, 2)


def test_files_without_an_address_are_added(run, own, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    expected, _ = example(folder)
    write_manifest(own / "doe2026.toml", folder)
    assert "no address is known" in run("datasets", "fetch", "doe2026").error
    run("assets", "add", *(folder / name for name in NAMES))
    recording = load("doe2026", region="IT", subject="Bob")
    np.testing.assert_array_equal(recording.data["responses"].values, expected[:, :, [5, 6]])


def test_cite(run, own, served):
    out = run("datasets", "cite", "doe2026", "v4", "cowley2023").out
    assert out.count("@article{") == 2
    assert "  doi = {10.1234/v4_it},\n" in out
    assert "simulated" in run("datasets", "cite", "sim-v4").error
    assert "did you mean 'doe2026'" in run("datasets", "cite", "doe2025").error
    assert "no session '7'" in run("datasets", "show", "v4/7").error


def test_the_article_of_a_template_is_not_cited(run, tmp_path, monkeypatch):
    monkeypatch.setenv("PROBE_MANIFESTS", str(tmp_path))
    assert run("datasets", "new", "smith2026").code == 0
    ran = run("datasets", "cite", "v4", "smith2026")
    assert (ran.code, ran.out) == (2, "")
    assert "smith2026: whom to cite is not filled in yet: expected the article in" in ran.error
    assert "Title of the article" not in run("datasets", "show", "smith2026").out


def test_a_folder_of_ones_own_has_no_manifest(run):
    Path("mylab").mkdir()
    assert "'./mylab' is a folder of your own" in run("datasets", "cite", "./mylab").error


def test_a_broken_manifest_is_named_and_completion_keeps_silent(run, own):
    (own / "doe2026.toml").write_text("title = 1")
    error = run("datasets").error
    assert "doe2026.toml" in error
    assert "field" in error
    assert complete.datasets("v") == complete.manifests("v") == []
    (own / "doe2026.toml").write_text(
        MANIFEST + '[[files]]\nname = "a.nc"\nsha1 = "%s"' % ("0" * 40)
    )
    assert complete.manifests("doe") == complete.datasets("doe") == ["doe2026"]
    assert complete.manifests("cowley2023/2103") == [
        f"cowley2023/{session}" for session in ("210325", "210322", "210305")
    ]
