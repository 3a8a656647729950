"""A disk that is too small: foreseen with the figure, and if not, one line, and nothing torn."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from harness import Forks, Undisturbed, complete, untouched

MB = 2**20
FULL = r"activations cannot be written to '.*' \(No space left on device\).*resumes from there"


def mount(folder: Path, *options: str) -> bool:
    """Mount a file system in memory, or change one."""
    call = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    return bool(shutil.which("mount")) and not subprocess.run(call, capture_output=True).returncode


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount(folder, f"size={8 * MB}"):
        pytest.skip("no file system can be mounted here: that takes the administrator")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_small_disk_is_foreseen(forks: Forks, command: list[str], disk: Path) -> None:
    command = [word for word in command if word != "--force"]
    child = forks.begin("cli", disk, arguments=command)
    assert child.ended() == 2
    found = re.search(r"2 layers for 20 stimuli take (\S+) GB; .* has (\S+) GB left", child.line)
    assert found is not None, child.line
    # 4 bytes × 13² × (512 numbers of 20 pictures + 384 numbers of 24: shards are whole)
    assert found.groups() == ("0.01", "0.01")
    assert "--force" in child.line
    assert not child.batches
    assert not list(disk.glob("activations/*"))


def test_a_disk_gets_full(forks: Forks, command: list[str], typed: Undisturbed, disk: Path) -> None:
    child = forks.begin("cli", disk, arguments=command)
    assert child.ended() == 2
    assert re.fullmatch("probe: error: " + FULL, child.line), child.line
    store = disk / "activations" / typed.store.name
    before = complete(store)
    assert before
    assert not list(disk.rglob("*.partial"))

    again = forks.begin("cli", disk, arguments=command)  # without more room
    assert again.ended() == 2
    untouched(store, before)

    assert mount(disk, "remount", f"size={32 * MB}")
    child = forks.begin("cli", disk, arguments=command).succeeded()
    typed.same(store)
    untouched(store, before)
    assert child.batches == typed.batches_for(before)


def fill(file: Path) -> None:
    """Fill a disk to the last page."""
    with suppress(OSError), open(file, "wb", buffering=0) as out:
        while True:
            out.write(bytes(4096))


def test_a_disk_is_full_already(
    forks: Forks, few: Path, undisturbed_few: Undisturbed, disk: Path
) -> None:
    fill(disk / "others")
    for n_pages in range(8):  # so many are left, for the first folders and files
        os.truncate(disk / "others", (disk / "others").stat().st_size - 4096 * (n_pages > 0))
        child = forks.extract(disk, few, force=True)
        assert child.ended() == 2
        assert "No space left on device" in child.line
        assert not list(disk.rglob("*.partial"))
        for file in (file for file in disk.rglob("*") if file.is_file()):
            if file.name == "zarr.json":
                json.loads(file.read_text())

    (disk / "others").unlink()
    assert mount(disk, "remount", f"size={64 * MB}")
    forks.extract(disk, few).succeeded()
    undisturbed_few.same(disk / "activations" / undisturbed_few.store.name)


@pytest.mark.parametrize(
    "quota", [1.7, *(pytest.param(quota, marks=pytest.mark.slow) for quota in (0, 9))]
)
def test_a_quota_is_used_up(
    forks: Forks, few: Path, undisturbed_few: Undisturbed, tmp_path: Path, quota: float
) -> None:
    child = forks.extract(tmp_path, few, {"quota": int(quota * MB)})
    assert child.ended() == 2
    assert re.fullmatch("ProbeError: " + FULL, child.line), child.line
    store = tmp_path / "activations" / undisturbed_few.store.name
    before = complete(store)
    assert sum((store / path).stat().st_size for path in before) <= quota * MB
    assert len(before) >= quota // 3
    assert not list(tmp_path.rglob("*.partial"))

    child = forks.extract(tmp_path, few).succeeded()
    undisturbed_few.same(store)
    untouched(store, before)
    assert child.batches == undisturbed_few.batches_for(before)
    shutil.rmtree(tmp_path)
