"""Workers of Dask, one of which is killed: its work is done by others, to the same bytes."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from pathlib import Path

from harness import BATCH, LAYERS, Forks, Undisturbed, complete, until, untouched


def test_a_worker_is_killed(
    forks: Forks, pictures: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    plain, lost = (tmp_path / name / undisturbed.store.name for name in ("plain", "lost"))
    stop = {"stops": [("os.rename", 8)], "once": str(tmp_path / "once"), "root": str(lost)}
    child = forks.begin(
        "on_a_cluster",
        tmp_path / "cache",
        images=str(pictures),
        layers=LAYERS,
        batch_size=BATCH,
        folders=[str(plain.parent), str(lost.parent)],
        of_workers=stop,
    )
    until(lambda: any(event["kind"] == "stop" for event in child.events))
    undisturbed.same(plain)  # two workers, whom nothing disturbed, as one process

    before = complete(lost)
    (pid,) = (event["pid"] for event in child.events if event["kind"] == "stop")
    os.kill(pid, signal.SIGKILL)
    child.succeeded()
    undisturbed.same(lost)
    untouched(lost, before)

    forwards = [e for e in child.events if e["kind"] == "forward" and len(e["pictures"]) == BATCH]
    assert len({event["pid"] for event in forwards}) >= 2
    computed = Counter(tuple(event["pictures"]) for event in forwards)
    computed.subtract([tuple(batch) for batch in undisturbed.batches] * 2)
    assert set(computed.values()) <= {0, 1}
    again = {batch for batch, n in computed.items() if n}
    assert again <= {tuple(event["pictures"]) for event in forwards if event["pid"] == pid}
    assert again <= set(map(tuple, undisturbed.batches_for(before)))
    shutil.rmtree(tmp_path)
