"""Ctrl-C and SIGTERM: the batch is finished, what is complete is on disk, and it goes on later."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from harness import Forks, Undisturbed, complete, moments, untouched

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.mark.parametrize(
    ("where", "n", "number"),  # in the third batch
    [
        ("forward", 4, signal.SIGINT),
        ("layer", 7, signal.SIGTERM),
        pytest.param("forward", 4, signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("layer", 7, signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_the_batch_is_finished(
    forks: Forks,
    command: list[str],
    typed: Undisturbed,
    tmp_path: Path,
    number: signal.Signals,
    where: str,
    n: int,
) -> None:
    child = forks.begin("cli", tmp_path, {"stops": [(where, n)]}, arguments=command)
    assert child.stopped().send(number).ended() == SIGNALS[number]
    assert child.line.startswith("Interrupted. What was finished is kept")
    assert child.batches == typed.batches[:3]
    store = tmp_path / "activations" / typed.store.name
    before = complete(store)
    assert set(before) == typed.shards_of(child.batches)
    assert not list(tmp_path.rglob("*.partial"))

    child = forks.begin("cli", tmp_path, arguments=command).succeeded()
    typed.same(store)
    untouched(store, before)
    assert child.batches == typed.batches_for(before)


@pytest.mark.parametrize(
    "part", [k if k == 4 else pytest.param(k, marks=pytest.mark.slow) for k in range(6)]
)
def test_at_any_moment(
    forks: Forks, command: list[str], typed: Undisturbed, tmp_path: Path, part: int
) -> None:
    number = list(SIGNALS)[part % 2]
    events = typed.child.events
    (moment,) = moments(events, [part * (len(events) - 1) // 5])
    child = forks.begin("cli", tmp_path, {"stops": [moment]}, arguments=command)
    assert child.stopped().send(number).ended() == SIGNALS[number]
    assert child.line.startswith("Interrupted.")
    assert not list(tmp_path.rglob("*.partial"))
    store = tmp_path / "activations" / typed.store.name
    before = complete(store)

    child = forks.begin("cli", tmp_path, arguments=command).succeeded()
    typed.same(store)
    untouched(store, before)
    assert child.batches == typed.batches_for(before)


def test_a_second_ctrl_c_leaves_at_once(
    forks: Forks, command: list[str], typed: Undisturbed, tmp_path: Path
) -> None:
    stops = [("forward", 3), ("layer", 5)]  # before, and within, the second batch after the trial
    child = forks.begin("cli", tmp_path, {"stops": stops}, arguments=command)
    child.stopped().send(signal.SIGINT)
    assert child.stopped().send(signal.SIGINT).ended() == 130
    assert child.line.startswith("Interrupted.")
    kinds = [event["kind"] for event in child.events]
    assert kinds.count("forward") == 3
    assert kinds.count("forwarded") == 2
    forks.begin("cli", tmp_path, arguments=command).succeeded()
    typed.same(tmp_path / "activations" / typed.store.name)
