"""SIGKILL at any moment: what was complete is not touched, and the rest comes to the same bytes."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from harness import Forks, Undisturbed, complete, moments, only_store, untouched

N_KILLS = 20
BEGINNING, END = 5, 3
"""Of these, so many before the first batch is done, and so many from the last one on."""


def drawn(undisturbed: Undisturbed) -> list[tuple[str, int]]:
    """Draw moments from a whole life: from its beginning, its middle, part by part, and its end."""
    draw = random.Random(4)
    events = undisturbed.child.events
    kinds = [event["kind"] for event in events]
    first = kinds.index("forwarded", kinds.index("forwarded") + 1)  # the trial is the first
    last = len(kinds) - 1 - kinds[::-1].index("forward")
    middle = N_KILLS - BEGINNING - END
    edges = [first + (last - first) * k // middle for k in range(middle + 1)]
    chosen = draw.sample(range(first), BEGINNING)
    chosen += [draw.randrange(*edges[k : k + 2]) for k in range(middle)]
    chosen += draw.sample(range(last, len(kinds)), END)
    return moments(events, sorted(chosen))


@pytest.mark.parametrize(
    "k",
    [k if k in (2, 12) else pytest.param(k, marks=pytest.mark.slow) for k in range(N_KILLS)],
)
def test_killed_at_a_random_moment(
    forks: Forks, pictures: Path, undisturbed: Undisturbed, tmp_path: Path, k: int
) -> None:
    moment = drawn(undisturbed)[k]
    forks.extract(tmp_path, pictures, {"stops": [moment]}).stopped().killed()
    store = tmp_path / "activations" / undisturbed.store.name
    before = complete(store)

    child = forks.extract(tmp_path, pictures).succeeded()
    undisturbed.same(store)
    untouched(store, before)
    assert child.batches == undisturbed.batches_for(before)
    assert child.errors == ""
    shutil.rmtree(tmp_path)


def test_killed_again_and_again(
    forks: Forks, pictures: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    store = tmp_path / "activations" / undisturbed.store.name
    before: dict[Path, tuple[int, int]] = {}
    n_batches = 0
    for n in (6, 1, 5, 9):  # the trial is the first
        child = forks.extract(tmp_path, pictures, {"stops": [("forward", n)]}).stopped().killed()
        untouched(store, before)
        before = complete(store)
        n_batches += len(child.batches)
    n_batches += len(forks.extract(tmp_path, pictures).succeeded().batches)
    undisturbed.same(store)
    untouched(store, before)
    # A batch is computed again only if one of its shards was not full, or not yet written.
    assert n_batches <= len(undisturbed.child.batches) + 3 * (32 // 8 + 1)
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize(
    "k", [k if k == 4 else pytest.param(k, marks=pytest.mark.slow) for k in range(6)]
)
def test_killed_while_components_are_fitted(
    forks: Forks, few: Path, fitted: Undisturbed, tmp_path: Path, k: int
) -> None:
    events = fitted.child.events
    draw = random.Random(k)
    (moment,) = moments(events, [draw.randrange(k * len(events) // 6, (k + 1) * len(events) // 6)])
    forks.extract(tmp_path, few, {"stops": [moment]}, reduce="pca:5@20").stopped().killed()
    forks.extract(tmp_path, few, reduce="pca:5@20").succeeded()
    fitted.same(only_store(tmp_path))
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="module")
def fitted(forks: Forks, few: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """An extraction that keeps components, fitted to activations that are not kept."""
    cache = tmp_path_factory.mktemp("fitted")
    return Undisturbed(forks.extract(cache, few, reduce="pca:5@20").succeeded(), cache)
