"""Manifests: what ships is well formed, and what is malformed is named."""

from __future__ import annotations

import re

import pytest

from probe.assets.manifest import Manifest, ManifestFile, manifests
from probe.errors import ProbeError

GOOD = """
title = "A"
homepage = "https://example.org"
loader = "cowley2023"

[[publications]]
authors = ["Doe, Jane"]
title = "B"
journal = "C"
year = 2026

[licence]
name = "MIT"

[[regions]]
name = "V4"
species = "macaque"

[[files]]
name = "a.npy"
url = "https://example.org/a.npy"
sha256 = "%s"
""" % ("0" * 64)


def write(tmp_path, text):
    path = tmp_path / "made.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_shipped_manifests():
    found = manifests()
    assert set(found) == {
        *("cowley2023", "cowley2023-compact", "kriegeskorte2008", "cichy2014", "majajhong2015"),
        *("freemanziemba2013", "li2026", "papale2025", "hebart2023-fmri", "gifford2022"),
        *("allen2022-fmri", "allen2022-surface"),
    }
    assert found["cichy2014"].licence.restricted
    assert not found["cowley2023"].licence.restricted
    for manifest in found.values():
        assert all(publication.doi for publication in manifest.publications)
        for file in manifest.files:
            assert file.url is not None
            if manifest.loader == "brainscore":
                assert file.url.startswith("https://brainscore-storage.s3.amazonaws.com/")
                assert file.url.partition("?")[0].endswith(f"/{file.name}")
                assert file.checksum[0] == "sha1"
                assert manifest.licence.restricted
                continue
            assert file.url.startswith("https://raw.githubusercontent.com/")
            assert re.search(r"/[0-9a-f]{40}/", file.url), "the URL must name a commit"
            assert file.checksum[0] == "sha256"


@pytest.mark.parametrize(
    ("name", "session"),
    [
        (manifest.name, session)
        for manifest in manifests().values()
        if manifest.loader == "brainscore"
        for session in manifest.sessions or [None]
    ],
)
def test_every_session_has_one_file_of_each_kind(name, session):
    from probe.recordings.loaders import _only_file

    manifest = manifests()[name]
    assert _only_file(manifest, session, ".nc").startswith("assy_")
    pictures = manifests()[manifest.stimuli_from or name]
    stem = _only_file(pictures, session, ".csv").removesuffix(".csv")
    assert _only_file(pictures, session, ".zip") == f"{stem}.zip"


def test_the_cached_manifests_cannot_be_spoilt():
    manifests().clear()
    assert manifests()


def test_good_manifest(tmp_path):
    manifest = Manifest.load(write(tmp_path, GOOD))
    assert manifest.name == "made"
    assert manifest.files[0].checksum == ("sha256", "0" * 64)
    with pytest.raises(ValueError, match="frozen"):
        manifest.title = "C"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("title =", "titel =", "title"),
        ('name = "a.npy"', 'name = "../a.npy"', "files.0.name"),
        ('name = "a.npy"', 'name = "/etc/passwd"', "files.0.name"),
        ('name = "a.npy"', r'name = "a\\b.npy"', "files.0.name"),
        ('name = "a.npy"', 'name = ".."', "files.0.name"),
        ("0" * 64, "0" * 63, "64 lower-case hexadecimal"),
        ("0" * 64, "G" * 64, "files.0.sha256"),
        ("sha256", "sha1", "40 lower-case hexadecimal"),
        ("sha256 = ", f'sha1 = "{"0" * 40}"\nsha256 = ', "exactly one of"),
        (f'sha256 = "{"0" * 64}"', "", "exactly one of"),
        ("https://example.org/a", "http://example.org/a", "files.0.url"),
        ('title = "A"', 'title = "A"\nextra = 1', "extra"),
        ('title = "A"', 'title = "A"\nname = "x"', "name"),
        ('title = "A"', 'title = "A"\ndefault_session = "1"', "default_session"),
        ("[[files]]", '[aliases.x]\nregion = "V1"\n[[files]]', "'V1'"),
        ("[[files]]", '[aliases.x]\nsession = "9"\n[[files]]', "'9'"),
        ('title = "A"', "title = ", "not TOML"),
        ('authors = ["Doe, Jane"]', "authors = []", "publications.0.authors"),
        ('authors = ["Doe, Jane"]', 'authors = ["Doe, J., Roe, R."]', "'Family, Given'"),
        ("year = 2026", 'year = "soon"', "publications.0.year"),
        ("year = 2026", 'year = 2026\ndoi = "https://doi.org/10.1/x"', "publications.0.doi"),
        ("[[publications]]", "[[papers]]", "publications"),
        ("[licence]", "[licence]\nrestricted = 2", "licence.restricted"),
        ("[[files]]", '[responses]\ntime_unit = "min"\n[[files]]', "responses.time_unit"),
        ("[[files]]", "[responses]\nwindow_ms = [200, 50]\n[[files]]", "ends before it begins"),
        ("[[files]]", "[responses]\nwindow_ms = [50, 200]\n[[files]]", "needs time_unit"),
        ("[[files]]", "[responses]\nwindow_ms = [50]\n[[files]]", "responses.window_ms"),
        ("[[files]]", '[responses]\nreliability = ""\n[[files]]', "responses.reliability"),
        ("[[files]]", '[responses]\nwindow = "50,200ms"\n[[files]]', "responses.window"),
        ("https://example.org/a", "http://127.0.0.1.example.org/a", "files.0.url"),
        ('species = "macaque"', "", "regions.0.species"),
        ('title = "A"', 'title = "A"\nn_stimuli = 1', "n_stimuli"),
    ],
)
def test_malformed_manifest_names_file_field_and_reason(tmp_path, old, new, said):
    assert old in GOOD
    with pytest.raises(ProbeError) as caught:
        Manifest.load(write(tmp_path, GOOD.replace(old, new, 1)))
    message = str(caught.value)
    assert "made.toml" in message
    assert said in message
    assert "\n" not in message


def test_missing_and_binary_manifest(tmp_path):
    with pytest.raises(ProbeError, match="cannot be read"):
        Manifest.load(tmp_path / "none.toml")
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProbeError, match="not TOML"):
        Manifest.load(path)


def test_repeated_file_name(tmp_path):
    again = GOOD + GOOD[GOOD.index("[[files]]") :].replace("a.npy", "A.npy")
    with pytest.raises(ProbeError, match="more than once"):
        Manifest.load(write(tmp_path, again))


def test_file_needs_a_plain_name():
    for name in ("", ".", "a/b", "a\\b", "C:a", ".hidden", "a\0b", "a.", "x" + "\n"):
        with pytest.raises(ValueError, match="name"):
            ManifestFile(name=name, url=None, sha256="0" * 64)
