"""Memory that runs out: batches are halved, the values stay, and the size is remembered."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from harness import BATCH, Forks, Undisturbed, only_store


@pytest.mark.parametrize(
    "kind", ["torch", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("python", "cpu"))]
)
def test_batches_are_halved_to_the_same_bytes(
    forks: Forks, few: Path, undisturbed_few: Undisturbed, tmp_path: Path, kind: str
) -> None:
    child = forks.extract(tmp_path, few, {"memory": (kind, BATCH // 2)}).succeeded()
    undisturbed_few.same(tmp_path / "activations" / undisturbed_few.store.name, BATCH // 2)
    sizes = [len(batch) for batch in child.batches]
    assert sizes == [BATCH] + [BATCH // 2] * (len(sizes) - 1)
    # Nothing of what the failed batch was to do is left out, and nothing is done twice after it.
    computed = [picture for batch in child.batches[1:] for picture in dict.fromkeys(batch)]
    assert computed == undisturbed_few.pictures


def test_the_size_that_fits_is_remembered(forks: Forks, few: Path, tmp_path: Path) -> None:
    whole, short = tmp_path / "whole", tmp_path / "short"
    undisturbed = Undisturbed(forks.extract(whole, few, batch_size=None).succeeded(), whole)
    assert undisturbed.size == 32
    faults = {"memory": ("torch", 31)}
    child = forks.extract(short, few, faults, batch_size=None).succeeded()
    assert [len(batch) for batch in child.batches[:3]] == [32, 16, 16]
    undisturbed.same(short / "activations" / undisturbed.store.name, 16)
    (remembered,) = (short / "batch-sizes").iterdir()

    def sizes(layer: str) -> set[int]:
        how = {"layers": [layer], "batch_size": None}
        return {len(batch) for batch in forks.extract(short, few, **how).succeeded().batches}

    assert sizes("features.3") == {16}
    remembered.write_text("")  # a power cut
    assert sizes("features.4") == {32}


@pytest.mark.parametrize(("most", "images"), [(0, "one image"), (-1, "two images")])
def test_what_does_not_fit_at_all_is_told(
    forks: Forks, few: Path, tmp_path: Path, most: int, images: str
) -> None:
    child = forks.extract(tmp_path, few, {"memory": ("torch", most)})
    assert child.ended() == 2
    assert f"does not fit into memory, not even with {images} at a time" in child.line
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.slow
def test_address_space_runs_out(forks: Forks, few: Path, tmp_path: Path) -> None:
    # Of these layers, the digits are the same in batches of any size.
    how = {"images": str(few), "layers": ["features.0", "features.4"], "batch_size": 64}
    whole = tmp_path / "whole"
    undisturbed = Undisturbed(forks.begin("run", whole, **how).succeeded(), whole)
    for room in range(200, 0, -15):  # less and less, until it is felt
        short = tmp_path / str(room)
        child = forks.begin("short_of_space", short, room=room * 2**20, **how)
        code = child.ended()
        size = [len(e["pictures"]) for e in child.events if e["kind"] == "forward"][-1]
        if code or size < 64:
            break
        undisturbed.same(only_store(short))
        shutil.rmtree(short)
    if code:
        assert code == 2, child.errors
        assert re.search("does not fit into memory|not enough memory", child.line)
        forks.begin("run", short, **how).succeeded()
        size = 64
    else:
        assert size < 64
    undisturbed.same(only_store(short), size)
