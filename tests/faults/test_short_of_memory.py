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
    # Nothing of what the failed batch had done is missing, and nothing is done twice after it.
    computed = [picture for batch in child.batches[1:] for picture in dict.fromkeys(batch)]
    assert sorted(computed) == sorted(undisturbed.pictures)


def test_the_size_that_fits_is_remembered(
    forks: Forks, pictures: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    how = {"batch_size": None}
    faults = {"memory": ("torch", 11)}
    child = forks.extract(tmp_path, pictures, faults, **how).succeeded()
    assert [len(batch) for batch in child.batches[:3]] == [32, 16, 8]
    undisturbed.same(tmp_path / "activations" / undisturbed.store.name, 8)
    (remembered,) = (tmp_path / "batch-sizes").iterdir()

    child = forks.extract(tmp_path, pictures, faults, layers=["features.3"], **how).succeeded()
    assert {len(batch) for batch in child.batches} == {8}

    remembered.write_text("")  # a power cut
    child = forks.extract(tmp_path, pictures, layers=["features.4"], **how).succeeded()
    assert {len(batch) for batch in child.batches} == {32}


def test_what_does_not_fit_at_all_is_told(forks: Forks, pictures: Path, tmp_path: Path) -> None:
    child = forks.extract(tmp_path, pictures, {"memory": ("torch", 0)})
    assert child.ended() == 2
    assert "does not fit into memory, not even with one image" in child.line
    assert not list(tmp_path.rglob("*.partial"))
