"""Blocks of resamples on threads."""

from __future__ import annotations

import threading
import time

import pytest

from probe.inference.resampling import in_blocks
from probe.similarity.blas import _controller, single_threaded
from probe.similarity.threads import n_threads


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


def blas_threads():
    return [
        library["num_threads"] for library in _controller().info() if library["user_api"] == "blas"
    ]


def test_linear_algebra_has_one_thread_until_the_last_is_done():
    """Two at once: the first to leave does not give back what the second still wants."""
    with _controller().limit(limits=2, user_api="blas"):
        before = blas_threads()
        first, second = single_threaded(), single_threaded()
        first.__enter__()
        second.__enter__()
        assert set(blas_threads()) <= {1}
        first.__exit__(None, None, None)
        assert set(blas_threads()) <= {1}
        second.__exit__(None, None, None)
        assert blas_threads() == before
        with pytest.raises(KeyError), single_threaded():
            raise KeyError
        assert blas_threads() == before


def test_of_several_processes_each_has_its_share_of_threads(monkeypatch):
    monkeypatch.delenv("PROBE_THREADS", raising=False)
    assert 1 <= n_threads() <= 8
    monkeypatch.setenv("PROBE_THREADS", "1")
    assert n_threads() == 1
    monkeypatch.setenv("PROBE_THREADS", "1000")
    assert 1 <= n_threads() <= 8
