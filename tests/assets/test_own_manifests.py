"""Manifests of the user's own: a folder of them, a template, and what goes wrong."""

from __future__ import annotations

import os

import numpy as np
import pytest
from assemblies import MANIFEST

from probe.assets.manifest import Manifest, Publication, bibliography, manifests
from probe.assets.template import write_template
from probe.errors import ProbeError

FILES = '\n[[files]]\nname = "a.nc"\nsha256 = "%s"\n' % ("0" * 64)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The folder of the user's manifests."""
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("PROBE_MANIFESTS", str(tmp_path / "own"))
    return tmp_path / "own"


def test_they_stand_beside_those_that_are_shipped(own):
    shipped = set(manifests())
    (own / "doe2026.toml").write_text(MANIFEST + FILES)
    assert set(manifests()) == {*shipped, "doe2026"}
    assert manifests()["doe2026"].files[0].url is None
    (own / "doe2026.toml").unlink()
    assert set(manifests()) == shipped


def test_what_was_changed_is_read_again(own):
    (own / "doe2026.toml").write_text(MANIFEST + FILES)
    assert manifests()["doe2026"].title == "Two animals"
    (own / "doe2026.toml").write_text(MANIFEST.replace("Two", "Three") + FILES)
    assert manifests()["doe2026"].title == "Three animals"
    os.utime(own / "doe2026.toml", ns=(1, 1))
    assert manifests()["doe2026"].title == "Three animals"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("li2026", MANIFEST + FILES, ["own/li2026.toml", "comes with probe", "another name"]),
        ("sim-x", MANIFEST + FILES, ["own/sim-x.toml", "simulated"]),
        ("doe", "title = 1", ["own/doe.toml", "'title'"]),
        ("doe", "title", ["own/doe.toml", "not TOML"]),
        ("doe", MANIFEST, ["own/doe.toml", "'files'"]),
        ("doe", MANIFEST + FILES + "[aliases.v4]\n", ["'aliases.v4'", "'cowley2023' already"]),
        ("doe", MANIFEST + FILES + "[aliases.li2026]\n", ["'aliases.li2026'", "already"]),
        ("doe", MANIFEST + FILES + "[aliases.sim-v4]\n", ["'aliases.sim-v4'", "simulated"]),
        ("doe", 'stimuli_from = "roe"' + MANIFEST + FILES, ["'stimuli_from'", "'roe'"]),
    ],
)
def test_what_is_wrong_is_named_with_file_and_field(own, name, text, said):
    (own / f"{name}.toml").write_text(text)
    with pytest.raises(ProbeError) as caught:
        manifests()
    message = str(caught.value)
    assert "\n" not in message
    for words in said:
        assert words in message


def test_a_folder_that_is_not_there(own, monkeypatch):
    monkeypatch.setenv("PROBE_MANIFESTS", str(own / "none"))
    with pytest.raises(ProbeError, match="that folder does not exist"):
        manifests()


def test_the_template_can_be_read_as_it_is(own):
    path = write_template("smith2026")
    assert path == own / "smith2026.toml"
    manifest = Manifest.load(path)
    assert manifest.loader == "brainscore"
    assert len(manifest.files) == 3
    # What is optional can be taken as it stands, too.
    lines = [
        line.removeprefix("# ") if line.startswith("# ") and " = " in line else line
        for line in path.read_text().splitlines()
    ]
    path.write_text("\n".join(line for line in lines if not line.startswith("# ")))
    full = Manifest.load(path)
    assert full.responses.window_ms == (50, 200)
    assert full.responses.reliability == "reliability"
    assert full.publications[0].doi == "10.1234/example"


def test_a_template_knows_the_hashes_of_files(own, tmp_path):
    (tmp_path / "a.nc").write_bytes(b"abc")
    manifest = Manifest.load(write_template("smith2026", [tmp_path / "a.nc"]))
    (file,) = manifest.files
    assert (file.name, file.size, file.url) == ("a.nc", 3, None)
    assert file.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("li2026", "already"),
        ("v4", "already"),
        ("sim-mine", "those of simulations"),
        ("../x", "is not a name for a dataset"),
        ("a.b", "is not a name for a dataset"),
        ("", "is not a name for a dataset"),
    ],
)
def test_names_that_cannot_be(own, name, said):
    with pytest.raises(ProbeError, match=said):
        write_template(name)
    assert list(own.iterdir()) == []


def test_a_template_is_never_written_over_another(own):
    path = write_template("smith2026")
    path.write_text(path.read_text().replace("macaque", "human"))
    with pytest.raises(ProbeError, match="already"):
        write_template("smith2026")
    assert "human" in path.read_text()


def test_a_template_needs_a_folder_and_files_that_are_there(own, tmp_path, monkeypatch):
    with pytest.raises(ProbeError, match=r"none.nc.* cannot be read"):
        write_template("smith2026", [tmp_path / "none.nc"])
    (tmp_path / "my data.nc").write_bytes(b"abc")
    with pytest.raises(ProbeError, match=r"files.0.name.*plain file name"):
        write_template("smith2026", [tmp_path / "my data.nc"])
    assert list(own.iterdir()) == []
    monkeypatch.delenv("PROBE_MANIFESTS")
    with pytest.raises(ProbeError, match="set PROBE_MANIFESTS"):
        write_template("smith2026")


def publication(**changes):
    return Publication(
        **{"authors": ["Doe, Jane"], "title": "On V4 & IT", "journal": "J", "year": 2026} | changes
    )


def test_a_citation_in_a_sentence():
    assert str(publication(doi="10.1234/v4_it")) == "Doe (2026). On V4 & IT. J, doi:10.1234/v4_it"
    both = publication(authors=["Doe, Jane", "Roe, R."], volume="3", pages="1-9", note="a note")
    assert str(both) == "Doe & Roe (2026). On V4 & IT. J 3:1-9 (a note)"
    many = publication(authors=[f"{name}, X" for name in "ABCDE"])
    assert str(many).startswith("A et al. (2026)")


def test_bibtex():
    entry = publication(doi="10.1234/v4_it", pages="1-9", authors=["Müller, Jörg", "Roe, R."])
    assert entry.bibtex().splitlines() == [
        "@article{muller2026,",
        "  author = {Müller, Jörg and Roe, R.},",
        "  title = {{On V4 \\& IT}},",
        "  journal = {J},",
        "  year = {2026},",
        "  pages = {1--9},",
        "  doi = {10.1234/v4_it},",
        "}",
    ]


def test_a_bibliography_has_each_publication_once_and_no_key_twice(own):
    for k, title in enumerate(["One", "Two", "One"]):
        text = MANIFEST.replace("On V4 & IT", title) + FILES
        (own / f"doe{k}.toml").write_text(text)
    known = manifests()
    keys = [
        line for line in bibliography([known[f"doe{k}"] for k in range(3)]).splitlines()
        if line.startswith("@")
    ]  # fmt: skip
    assert keys == ["@article{doe2026a,", "@article{doe2026b,"]
    assert bibliography([known["doe0"], known["doe2"]]).count("@article{doe2026,") == 1


HOSTILE = r"}, year = {1} @misc{x, \input{/etc/passwd} %$&#_~^<>" + "\n\nand and"


def test_hostile_names_stay_inside_their_field():
    entry = publication(
        title=HOSTILE, journal=HOSTILE, note=HOSTILE, volume=HOSTILE, doi="10.1234/a{b}%c",
        authors=[HOSTILE.replace(",", ""), "Doe, J. {and} Roe"],
    )  # fmt: skip
    lines = entry.bibtex("key").splitlines()
    assert lines[0] == "@article{key,"
    assert lines[-1] == "}"
    for line in lines[1:-1]:
        # BibTeX counts braces, and those with a backslash before them, too.
        depth = np.cumsum([(letter == "{") - (letter == "}") for letter in line])
        assert depth.min() == 0
        assert depth[-1] == 0
        assert (depth[:-2][line.index("{") :] > 0).all()
        assert r"\input" not in line
    names = [line.partition(" = ")[0].strip() for line in lines[1:-1]]
    assert names == ["author", "title", "journal", "year", "volume", "doi", "note"]


@pytest.mark.parametrize(
    ("author", "written"),
    [
        ("van der Maaten, Laurens", "van der Maaten, Laurens"),
        ("Fernández del Río, Jaime", "{Fernández del Río}, Jaime"),
        ("Dupré la Tour, Tom", "{Dupré la Tour}, Tom"),
        ("St-Yves, Ghislain", "St-Yves, Ghislain"),
        ("Research and Development", "{Research and Development}"),
        ("Bell and Howell, Inc.", "{Bell and Howell}, Inc."),
        ("Brain & Co", r"{Brain \& Co}"),
    ],
)
def test_authors_are_what_bibtex_takes_them_for(author, written):
    assert f"  author = {{{written}}}," in publication(authors=[author]).bibtex().splitlines()
