"""Blocks of resamples on threads."""

from __future__ import annotations

import threading
import time

import pytest

from probe.inference.resampling import in_blocks


@pytest.mark.parametrize("inside", [True, False])
def test_an_interruption_stops_the_threads(inside):
    """Whether it comes while a block is waited for, or between two blocks."""
    seen = []

    def one(part):
        seen.append(part.start)
        time.sleep(0.005)
        if inside and part.start > 20:
            raise KeyboardInterrupt

    def track(done, total):
        assert total == 2000
        for k in done:
            if not inside and k > 20:
                raise KeyboardInterrupt
            yield k

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        in_blocks(one, 2000, 2, track)
    assert threading.active_count() == before
    assert len(seen) < 200


def test_every_resample_once_and_in_order():
    seen, told = [], []
    in_blocks(lambda part: seen.append(part), 23, 5, lambda done, total: map(told.append, done))
    assert told == list(range(23))
    assert sorted((p.start, p.stop) for p in seen) == [
        (0, 5), (5, 10), (10, 15), (15, 20), (20, 23)
    ]  # fmt: skip
