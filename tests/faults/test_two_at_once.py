"""Two processes that are asked for the same activations: the work is done once."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness import Forks, Undisturbed, complete, until, untouched

WAITS = "another process extracts these activations: waiting for it"


def test_who_comes_second_waits_and_finds_it_done(
    forks: Forks, few: Path, undisturbed_few: Undisturbed, tmp_path: Path
) -> None:
    first = forks.extract(tmp_path, few, {"stops": [("forward", 5)]}).stopped()
    second = forks.extract(tmp_path, few, progress=True)
    until(lambda: WAITS in second.errors)
    first.send().succeeded()
    second.succeeded()
    assert first.batches == undisturbed_few.batches
    assert second.batches == []
    undisturbed_few.same(tmp_path / "activations" / undisturbed_few.store.name)
    shutil.rmtree(tmp_path)


def test_who_waits_goes_on_where_the_first_was_killed(
    forks: Forks, few: Path, undisturbed_few: Undisturbed, tmp_path: Path
) -> None:
    store = tmp_path / "activations" / undisturbed_few.store.name
    first = forks.extract(tmp_path, few, {"stops": [("forward", 5)]}).stopped()
    second = forks.extract(tmp_path, few, progress=True)
    until(lambda: WAITS in second.errors)
    before = complete(store)
    first.killed()
    second.succeeded()
    undisturbed_few.same(store)
    untouched(store, before)
    assert second.batches == undisturbed_few.batches_for(before)
    shutil.rmtree(tmp_path)


def test_they_begin_together(
    forks: Forks, few: Path, undisturbed_few: Undisturbed, tmp_path: Path
) -> None:
    children = [forks.extract(tmp_path, few) for _ in range(3)]
    batches = [batch for child in children for batch in child.succeeded().batches]
    assert batches == undisturbed_few.batches
    undisturbed_few.same(tmp_path / "activations" / undisturbed_few.store.name)
    shutil.rmtree(tmp_path)
