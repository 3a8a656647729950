"""``probe notebooks``: the tutorials, copied; what a user has changed stays."""

from __future__ import annotations

from pathlib import Path

TUTORIALS = Path(__file__).parents[2] / "notebooks"


def test_copies_all_and_names_each(run):
    ran = run("notebooks", "mine/tutorials")
    assert (ran.code, ran.err) == (0, "")
    for tutorial in TUTORIALS.glob("*.ipynb"):
        assert Path("mine/tutorials", tutorial.name).read_bytes() == tutorial.read_bytes()
    assert f"{Path('mine/tutorials/rsa.ipynb')}  How like V4 is each layer of AlexNet?" in ran.out
    assert len(ran.out.splitlines()) == len(list(TUTORIALS.glob("*.ipynb")))


def test_what_was_changed_is_left(run):
    run("notebooks", "mine")
    Path("mine/rsa.ipynb").write_text('{"cells": []}')
    Path("mine/sites.ipynb").unlink()
    ran = run("notebooks", "mine")
    assert ran.code == 0
    assert Path("mine/rsa.ipynb").read_text() == '{"cells": []}'
    assert Path("mine/sites.ipynb").exists()
    assert "left mine/rsa.ipynb as it is" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_where_nothing_can_be_written(run):
    Path("file").write_text("")
    error = run("notebooks", "file/mine").error
    assert "file" in error
    assert Path("file").read_text() == ""
