"""What is left out for its time is there, and leaves something of its file behind."""

from __future__ import annotations

import pytest
from slow_cases import COLLECTED, SLOW


@pytest.mark.parametrize("path", sorted(SLOW))
def test_each_is_a_test_and_others_of_its_file_are_not(
    path: str, request: pytest.FixtureRequest
) -> None:
    of_file = {name for name in request.config.stash[COLLECTED] if name.startswith(f"{path}::")}
    if not of_file:
        pytest.skip("its file is not among those that are run")
    slow = {f"{path}::{name}" for name in SLOW[path]}
    assert slow < of_file
    assert len(slow) == len(SLOW[path])
