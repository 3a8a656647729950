"""Recordings that are dropped on the page: what is understood, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from probe.errors import ProbeError
from probe.recordings import from_folder
from probe.studio import dropped
from probe.studio.dropped import Dropped, understand


@pytest.fixture
def lab(tmp_path: Path, write_lab: Callable[[Path], Path]) -> Path:
    return write_lab(tmp_path / "my lab")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "given"
    folder.mkdir()
    return folder


def files(folder: Path, *, flat: bool = False) -> list[Dropped]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [
        Dropped(path, path.name if flat else path.relative_to(folder.parent).as_posix())
        for path in paths
    ]


def pictures(folder: Path, n: int = 6) -> list[Dropped]:
    folder.mkdir()
    for k in range(n):
        Image.new("RGB", (8, 8), (k, 0, 0)).save(folder / f"p{k}.png")
    return files(folder)


@pytest.mark.parametrize("flat", [False, True])
def test_a_folder_in_our_own_layout(lab: Path, place: Path, flat: bool) -> None:
    understood = understand(files(lab, flat=flat), {}, place)
    expected, read = from_folder(lab), from_folder(understood.folder)
    assert np.array_equal(read.data["responses"], expected.data["responses"])
    assert read.stimuli.hash == expected.stimuli.hash
    facts = dict(understood.lines)
    assert facts["stimuli"] == f"12, in the order of {expected.describe()['stimulus_order']}"
    assert (facts["neuroids"], facts["repetitions"]) == ("6", "2")
    assert understood.imported == ""
    assert understood.folder.name == ("recording" if flat else "my-lab")


def test_files_are_read_as_the_importer_reads_them(tmp_path: Path, place: Path) -> None:
    rates = np.arange(30.0).reshape(6, 5)
    np.savez(tmp_path / "session.npz", rates=rates)
    (tmp_path / "labels.csv").write_text(
        "stimulus_id\n" + "".join(f"p{k}\n" for k in (3, 1, 0, 2, 5, 4))
    )
    (tmp_path / "neuroids.csv").write_text("region\n" + "V1\n" * 2 + "V4\n" * 3)
    given = [
        Dropped(tmp_path / name, name) for name in ("session.npz", "labels.csv", "neuroids.csv")
    ]
    given += pictures(tmp_path / "shown")
    ambiguous = [file for file in given if file.name != "neuroids.csv"]
    with pytest.raises(ProbeError, match=r"session\.npz.*--axes") as refused:
        understand(ambiguous, {}, place)
    assert str(place) not in str(refused.value)
    again = place.parent / "again"
    again.mkdir()
    understood = understand(given, {"axes": "stimulus,neuroid"}, again)
    assert understood.regions == ("V1", "V4")
    assert dict(understood.lines)["region"] == "V1 (2), V4 (3)"
    recording = from_folder(understood.folder)
    order = [str(name) for name in recording.data["stimulus_id"].values]
    assert order == [f"p{k}.png" for k in (3, 1, 0, 2, 5, 4)]
    assert np.array_equal(recording.data["responses"].values[:, 0], rates)
    assert understood.imported == (
        "probe datasets import session.npz --stimuli images/ --axes stimulus,neuroid "
        "--labels labels.csv --neuroids neuroids.csv -o session"
    )


def test_what_cannot_be_known_is_refused(tmp_path: Path, place: Path, lab: Path) -> None:
    np.save(tmp_path / "rates.npy", np.ones((6, 5)))
    (tmp_path / "about.csv").write_text("stimulus_id\n" + "".join(f"p{k}\n" for k in range(6)))
    rates = Dropped(tmp_path / "rates.npy", "rates.npy")
    table = Dropped(tmp_path / "about.csv", "about.csv")
    shown = pictures(tmp_path / "shown")
    turns = iter(range(9))

    def refused(given: list[Dropped], message: str) -> None:
        folder = place / str(next(turns))
        folder.mkdir()
        with pytest.raises(ProbeError, match=message):
            understand(given, {}, folder)

    refused([rates, table, *shown], r"what 'about\.csv' says is not known: name it")
    refused([rates], "where are the pictures")
    refused(shown, "only pictures were dropped")
    refused([], "nothing was dropped")
    twice = [*shown, Dropped(shown[0].path, "elsewhere/p0.png")]
    refused([rates, *twice], r"two of the files are called 'p0\.png'")
    two = [*files(lab), Dropped(lab / "responses.npy", "other/responses.npy")]
    refused(two, r"responses\.npy is there 2 times")


def test_no_file_of_the_computer_is_read_as_a_table(tmp_path: Path, place: Path) -> None:
    np.save(tmp_path / "rates.npy", np.ones((6, 5)))
    (tmp_path / "secret.txt").write_text("".join(f"p{k}\n" for k in range(6)))
    session = [Dropped(tmp_path / "rates.npy", "rates.npy"), *pictures(tmp_path / "shown")]
    for option in ("labels", "neuroids", "presentations"):
        options = {"axes": "stimulus,neuroid", option: str(tmp_path / "secret.txt")}
        with pytest.raises(ProbeError, match=rf"--{option} .*secret\.txt' was not dropped"):
            understand(session, options, place)


def test_a_picture_that_is_none_is_refused_as_elsewhere(lab: Path, place: Path) -> None:
    (lab / "images" / "letter.png").write_text("Dear Sir or Madam")
    with pytest.raises(ProbeError, match=r"image 'letter\.png' cannot be read"):
        understand(files(lab), {}, place)


def test_nothing_is_read_but_what_was_uploaded(tmp_path: Path) -> None:
    uploaded = tmp_path / "uploaded"
    uploaded.mkdir()
    (uploaded / "a.npy").touch()
    (tmp_path / "secret").write_text("x")
    (uploaded / "link").symlink_to(tmp_path / "secret")
    one = {"path": str(uploaded / "a.npy"), "name": "lab/a.npy"}
    assert dropped.files_of([one], uploaded) == [Dropped(uploaded / "a.npy", "lab/a.npy")]
    for path in (tmp_path / "secret", uploaded / ".." / "secret", uploaded / "link", uploaded):
        with pytest.raises(ProbeError, match="was not uploaded here"):
            dropped.files_of([{"path": str(path), "name": "a.npy"}], uploaded)
    for name in ("../a.npy", "/etc/a.npy", "a/../../b", ""):
        with pytest.raises(ProbeError, match="is no name of a file"):
            dropped.files_of([{**one, "name": name}], uploaded)


def test_a_named_recording_is_described_without_its_files(lab: Path) -> None:
    facts = dict(dropped.named("v4"))
    assert facts["region"] == "V4"
    assert facts["recording"].startswith("cowley2023/")
    assert "accept licence" in dict(dropped.named("evc"))["licence"]
    assert dict(dropped.named(str(lab)))["neuroids"] == "6"
    with pytest.raises(ProbeError, match="recording 'sim-v5' does not exist"):
        dropped.named("sim-v5")


def test_a_recording_is_laid_where_a_job_takes_it(lab: Path, place: Path, tmp_path: Path) -> None:
    understood = understand(files(lab), {}, place)
    job = tmp_path / "job"
    job.mkdir()
    assert dropped.lay(understood, job) == "./my-lab"
    shutil.rmtree(place)
    assert from_folder(job / "my-lab").n_stimuli == 12
