"""Files that are there entirely, or not at all."""

import os
import threading

import pytest

from probe.output.replacing import PARTIAL_SUFFIX, replacing


def test_a_file_takes_the_place_of_another_at_the_end(tmp_path):
    path = tmp_path / "rdm.npz"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert partial.parent == tmp_path
        assert partial.name.startswith(".")
        assert partial.suffix == PARTIAL_SUFFIX
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_error_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "rdm.npz"
    path.write_text("old")
    with pytest.raises(type(error)), replacing(path) as partial:  # noqa: PT012
        partial.write_text("half of it")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_first_error_is_told_when_the_folder_vanishes(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(ValueError, match="first"), replacing(folder / "x") as partial:  # noqa: PT012
        partial.write_text("half of it")
        partial.unlink()
        folder.rmdir()
        folder.write_text("a file now")  # so that unlink raises NotADirectoryError
        raise ValueError("first")


def test_its_bytes_are_on_the_disk_before_its_name_is(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda d: calls.append(("fsync", os.fstat(d).st_size)) or fsync(d)
    )
    monkeypatch.setattr(os, "replace", lambda a, b: calls.append(("replace", b)) or replace(a, b))
    with replacing(tmp_path / "x") as partial:
        partial.write_bytes(b"12345")
    assert calls == [("fsync", 5), ("replace", tmp_path / "x")]


def test_two_threads_write_one_file(tmp_path):
    path, together = tmp_path / "x", threading.Barrier(2)

    def write(text):
        with replacing(path) as partial:
            partial.write_text(text)
            together.wait()
            assert partial.read_text() == text
            together.wait()

    threads = [threading.Thread(target=write, args=(text,)) for text in ("aa", "bb")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in ("aa", "bb")
    assert list(tmp_path.iterdir()) == [path]
