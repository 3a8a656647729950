"""A folder, or a picture, that is gone in the middle: one line, and it goes on when it is back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from harness import Child, Forks, Undisturbed, complete, moments, untouched


def cannot(child: Child, store: Path, why: str) -> None:
    """See that a child ended because its store could not be written."""
    assert child.ended() == 2
    assert child.line.startswith(f"ProbeError: activations cannot be written to '{store}' ({why})")
    assert child.line.endswith("once that is fixed, the same extraction resumes from there")


@pytest.mark.parametrize(
    "part", [k if k in (1, 4) else pytest.param(k, marks=pytest.mark.slow) for k in range(5)]
)
def test_a_folder_that_comes_back(
    forks: Forks, few: Path, undisturbed_few: Undisturbed, tmp_path: Path, part: int
) -> None:
    cache, away = tmp_path / "cache", tmp_path / "away"
    store = cache / "activations" / undisturbed_few.store.name
    kinds = [event["kind"] for event in undisturbed_few.child.events]
    first, last = kinds.index("write"), len(kinds) - 1 - kinds[::-1].index("forward")
    (moment,) = moments(undisturbed_few.child.events, [first + (last - first) * part // 4])
    child = forks.extract(cache, few, {"stops": [moment]}).stopped()
    before = complete(store)
    cache.rename(away)
    cannot(child.send(), store, "No such file or directory")
    assert not cache.exists()

    away.rename(cache)
    child = forks.extract(cache, few).succeeded()
    undisturbed_few.same(store)
    untouched(store, before)
    lacking = undisturbed_few.batches_for(before)
    assert all(batch in lacking for batch in child.batches)
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize(
    "instead", ["nothing", "a file", pytest.param("a folder", marks=pytest.mark.slow)]
)
def test_a_folder_that_is_removed(
    forks: Forks, few: Path, undisturbed_few: Undisturbed, tmp_path: Path, instead: str
) -> None:
    cache = tmp_path / "cache"
    store = cache / "activations" / undisturbed_few.store.name
    child = forks.extract(cache, few, {"stops": [("forward", 6)]}).stopped()
    shutil.rmtree(cache)
    if instead == "a folder":
        cache.mkdir()
    elif instead == "a file":
        cache.touch()
    why = "Not a directory" if instead == "a file" else "No such file or directory"
    cannot(child.send(), store, why)

    cache.unlink() if instead == "a file" else None
    forks.extract(cache, few).succeeded()
    undisturbed_few.same(store)
    shutil.rmtree(tmp_path)


def test_a_layer_that_is_removed(
    forks: Forks, few: Path, undisturbed_few: Undisturbed, tmp_path: Path
) -> None:
    store = tmp_path / "activations" / undisturbed_few.store.name
    child = forks.extract(tmp_path, few, {"stops": [("forward", 6)]}).stopped()
    shutil.rmtree(store / "features.7")
    cannot(child.send(), store, "No such file or directory")
    before = complete(store)
    forks.extract(tmp_path, few).succeeded()
    undisturbed_few.same(store)
    untouched(store, before)
    shutil.rmtree(tmp_path)


def test_a_picture_that_vanishes(
    forks: Forks, few: Path, undisturbed_few: Undisturbed, tmp_path: Path
) -> None:
    copied, cache = tmp_path / few.name, tmp_path / "cache"
    shutil.copytree(few, copied)
    child = forks.extract(cache, copied, {"stops": [("forward", 3)]}).stopped()
    (copied / "049.png").unlink()
    assert child.send().ended() == 2
    assert str(copied / "049.png") in child.line
    store = cache / "activations" / undisturbed_few.store.name
    before = complete(store)
    assert before
    assert not list(cache.rglob("*.partial"))

    shutil.copy(few / "049.png", copied)
    child = forks.extract(cache, copied).succeeded()
    undisturbed_few.same(store)
    untouched(store, before)
    assert child.batches == undisturbed_few.batches_for(before)
    shutil.rmtree(tmp_path)
