"""What a power cut leaves: mended by the next extraction, or told in one line with a way out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Forks, Undisturbed, complete, files, untouched


@pytest.fixture
def store(undisturbed_few: Undisturbed, tmp_path: Path) -> Path:
    """A copy of the whole store, in the cache ``tmp_path``."""
    copied = tmp_path / "activations" / undisturbed_few.store.name
    shutil.copytree(undisturbed_few.store, copied)
    return copied


def cut_short(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def emptied(file: Path) -> None:
    os.truncate(file, 0)


def lost(file: Path) -> None:
    file.unlink()


TORN = [cut_short, emptied, lost]


def test_shards_are_computed_again_and_no_others(
    forks: Forks, few: Path, undisturbed_few: Undisturbed, store: Path, tmp_path: Path
) -> None:
    damaged = ["features.0/c.3.0", "features.0/c.9.0", "features.7/c.2.0", "features.12/c.1.0"]
    for name, tear in zip(damaged, [cut_short, emptied, lost, cut_short], strict=True):
        tear(store / name)
    for name in ("zarr.json.1-2.partial", "features.7/c.2.0.1-2.partial"):
        (store / name).write_bytes(b"torn")
    before = {path: status for path, status in complete(store).items() if str(path) not in damaged}

    child = forks.extract(tmp_path, few).succeeded()
    undisturbed_few.same(store)
    untouched(store, before)
    assert child.batches == undisturbed_few.batches_for(before)
    assert len(child.batches) < len(undisturbed_few.batches)
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize(
    ("name", "tear"),
    [
        ("zarr.json", cut_short),
        ("features.7/zarr.json", emptied),
        ("zarr.json", lost),
        pytest.param("zarr.json", emptied, marks=pytest.mark.slow),
        pytest.param("features.7/zarr.json", cut_short, marks=pytest.mark.slow),
        pytest.param("features.7/zarr.json", lost, marks=pytest.mark.slow),
    ],
)
def test_a_description(
    forks: Forks,
    few: Path,
    undisturbed_few: Undisturbed,
    store: Path,
    tmp_path: Path,
    tear: Callable[[Path], None],
    name: str,
) -> None:
    tear(store / name)
    (store / "features.0" / "c.0.0").unlink()  # there is something to do
    child = forks.extract(tmp_path, few)
    if child.ended():
        assert tear is not lost
        assert f"activations in '{store}' are damaged: {name} cannot be read" in child.line
        key = store.name[:8]
        assert child.line.endswith(f"`probe cache prune {key}` removes them")
        prune = ["cache", "prune", key, "--yes"]
        forks.begin("cli", tmp_path, arguments=prune).succeeded()
        forks.extract(tmp_path, few).succeeded()
    undisturbed_few.same(store)
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize(
    ("place", "what"),
    [
        (1234, "a wrong checksum"),
        (-30, "another index"),
        pytest.param(-2, "another index", marks=pytest.mark.slow),
    ],
)
def test_a_flipped_byte(
    forks: Forks,
    few: Path,
    undisturbed_few: Undisturbed,
    store: Path,
    tmp_path: Path,
    place: int,
    what: str,
) -> None:
    shard = store / "features.7" / "c.2.0"
    content = bytearray(shard.read_bytes())
    content[place] ^= 1
    shard.write_bytes(content)
    before = complete(store)

    reading = forks.begin("read", tmp_path, store=str(store), layer="features.7")
    assert reading.ended() == 2
    assert f"'{shard}' has {what}" in reading.line
    assert "`probe cache verify --repair`" in reading.line
    assert forks.extract(tmp_path, few).succeeded().batches == []  # nobody looked

    verify = ["cache", "verify", store.name[:8]]
    found = forks.begin("cli", tmp_path, arguments=verify)
    assert found.ended() == 1
    (told, _) = found.out.read_text().splitlines()
    assert told.startswith(f"layer features.7: {shard} has {what}")
    forks.begin("cli", tmp_path, arguments=[*verify, "--repair"]).succeeded()
    assert files(store) == [
        path for path in files(undisturbed_few.store) if path != shard.relative_to(store)
    ]

    before.pop(shard.relative_to(store))
    child = forks.extract(tmp_path, few).succeeded()
    undisturbed_few.same(store)
    untouched(store, before)
    assert child.batches == undisturbed_few.batches_for(before)
    assert forks.begin("cli", tmp_path, arguments=verify).succeeded()
    shutil.rmtree(tmp_path)
