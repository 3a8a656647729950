"""A folder, or a picture, that is gone in the middle: one line, and it goes on when it is back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from harness import Forks, Undisturbed, complete, moments, untouched

GONE = "activations cannot be written to '{}' (No such file or directory); what is complete is kept"


@pytest.mark.parametrize("part", range(5))
def test_a_folder_that_comes_back(
    forks: Forks, pictures: Path, undisturbed: Undisturbed, tmp_path: Path, part: int
) -> None:
    cache, away = tmp_path / "cache", tmp_path / "away"
    events = undisturbed.child.events
    first = next(k for k, event in enumerate(events) if event["kind"] == "write")
    (moment,) = moments(events, [first + (len(events) - 40 - first) * part // 4])
    child = forks.extract(cache, pictures, {"stops": [moment]}).stopped()
    before = complete(cache / "activations" / undisturbed.store.name)
    cache.rename(away)
    assert child.send().ended() == 2
    assert "No such file or directory" in child.line
    assert str(cache) in child.line

    away.rename(cache)
    child = forks.extract(cache, pictures).succeeded()
    store = cache / "activations" / undisturbed.store.name
    undisturbed.same(store)
    untouched(store, before)
    assert len(child.batches) <= len(undisturbed.batches_for(before))
    shutil.rmtree(tmp_path)
