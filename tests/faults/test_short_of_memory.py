"""Memory that runs out: batches are halved, the values stay, and the size is remembered."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import BATCH, Forks, Undisturbed


@pytest.mark.parametrize("kind", ["torch", "python", "cpu"])
def test_batches_are_halved_to_the_same_bytes(
    forks: Forks, pictures: Path, undisturbed: Undisturbed, tmp_path: Path, kind: str
) -> None:
    child = forks.extract(tmp_path, pictures, {"memory": (kind, BATCH // 2)}).succeeded()
    undisturbed.same(tmp_path / "activations" / undisturbed.store.name, BATCH // 2)
    sizes = [len(batch) for batch in child.batches]
    assert sizes == [BATCH] + [BATCH // 2] * (len(sizes) - 1)
    # Nothing of what the failed batch was to do is left out, and nothing is done twice after it.
    computed = [picture for batch in child.batches[1:] for picture in dict.fromkeys(batch)]
    assert computed == undisturbed.pictures


def test_the_size_that_fits_is_remembered(forks: Forks, pictures: Path, tmp_path: Path) -> None:
    whole, short = tmp_path / "whole", tmp_path / "short"
    undisturbed = Undisturbed(forks.extract(whole, pictures, batch_size=None).succeeded(), whole)
    assert undisturbed.size == 32
    faults = {"memory": ("torch", 31)}
    child = forks.extract(short, pictures, faults, batch_size=None).succeeded()
    assert [len(batch) for batch in child.batches[:3]] == [32, 16, 16]
    undisturbed.same(short / "activations" / undisturbed.store.name, 16)
    (remembered,) = (short / "batch-sizes").iterdir()

    def sizes(layer: str) -> set[int]:
        how = {"layers": [layer], "batch_size": None}
        return {len(batch) for batch in forks.extract(short, pictures, **how).succeeded().batches}

    assert sizes("features.3") == {16}
    remembered.write_text("")  # a power cut
    assert sizes("features.4") == {32}


@pytest.mark.parametrize(("most", "images"), [(0, "one image"), (-1, "two images")])
def test_what_does_not_fit_at_all_is_told(
    forks: Forks, pictures: Path, tmp_path: Path, most: int, images: str
) -> None:
    child = forks.extract(tmp_path, pictures, {"memory": ("torch", most)})
    assert child.ended() == 2
    assert f"does not fit into memory, not even with {images} at a time" in child.line
    assert not list(tmp_path.rglob("*.partial"))


MB = 2**20


@pytest.mark.parametrize("room", [10, 20, 30,40,50,60,70,80,90,100,120,140])
def test_address_space(
    forks: Forks, pictures: Path, undisturbed: Undisturbed, tmp_path: Path, room: int
) -> None:
    child = forks.begin(
        "short_of_memory", tmp_path, images=str(pictures), layers=["features.0", "features.12"],
        room=room * MB, batch_size=64
    )
    code = child.ended()
    print(room, code, [len(b) for b in child.batches], child.errors[-1500:])
    assert 0
