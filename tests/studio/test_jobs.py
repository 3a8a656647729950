"""Jobs in a process of their own: what they leave, how they end, how they are cancelled."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from probe.studio.jobs import Job, Jobs
from probe.studio.worker import Bar

LONG = 120
"""Seconds that anything may take on a busy machine."""


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def acting() -> None:
    """A command line of which each command does one thing that jobs do."""
    from probe import progress

    _, command, *words = sys.argv
    if command == "write":
        Path(words[0]).write_text("made")
        print("wrote", words[0])
    elif command == "err":
        print("a warning", file=sys.stderr)
        print("probe: error: what is wrong", file=sys.stderr)
        sys.exit(2)
    elif command == "raise":
        raise MemoryError("no more\nof it")
    elif command == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif command == "wait":
        with progress.finishing() as stop:
            for _ in progress.track(range(10**6), desc="waiting", unit="step"):
                Path("x-preview.png").touch()
                if stop.wait(0.01):
                    break
            Path("kept").touch()
    elif command == "deaf":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print(os.getpid())
        for _ in progress.track(iter(range(10**6)), desc="deaf"):
            time.sleep(0.01)


@pytest.fixture(scope="module")
def shared() -> Iterator[Jobs]:
    jobs = Jobs(acting)
    yield jobs
    jobs.close()


@pytest.fixture
def jobs(shared: Jobs) -> Iterator[Jobs]:
    yield shared
    shared.cancel("")
    until(lambda: shared._now is None)


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    def job(*arguments: str, owner: str = "") -> Job:
        folder = tmp_path / f"job-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "given.png").touch()
        return Job(arguments, folder, owner)

    return job


def run(jobs: Jobs, job: Job) -> Job:
    jobs.add(job)
    until(lambda: job.over)
    return job


def test_what_a_job_made_and_said(jobs, job):
    one = run(jobs, job("write", "new.png"))
    assert (one.state, one.said, one.error) == ("done", "wrote new.png", "")
    assert [path.name for path in one.made()] == ["new.png"]
    assert one.made()[0].read_text() == "made"


def test_what_is_wrong_is_one_line_and_the_next_job_runs_in_the_same_process(jobs, job):
    process = jobs._child.pid
    assert run(jobs, job("err")).error == "what is wrong"
    unforeseen = run(jobs, job("raise"))
    assert (unforeseen.state, unforeseen.error) == ("failed", "MemoryError: no more of it")
    assert run(jobs, job("write", "a")).state == "done"
    assert jobs._child.pid == process


def test_a_job_that_ends_the_process_ends_itself_alone(jobs, job):
    dead = run(jobs, job("die"))
    assert dead.state == "failed"
    assert "ended by the system (exit code -9)" in dead.error
    assert "want of memory" in dead.error
    assert run(jobs, job("write", "a")).state == "done"


def test_a_process_that_was_ended_between_jobs_is_replaced(jobs, job):
    assert run(jobs, job("write", "a")).state == "done"
    jobs._child.kill()
    jobs._child.join()
    assert run(jobs, job("write", "a")).state == "done"


def test_bars_and_previews_come_and_a_cancelled_job_ends_in_order(jobs, job):
    waits = job("wait")
    jobs.add(waits)
    until(lambda: waits.bars and waits.bars[0].done > 3 and waits.preview())
    assert waits.bars == (Bar(0, "waiting", waits.bars[0].done, 1e6, "step"),)
    assert waits.preview() == waits.folder / "x-preview.png"
    jobs.cancel("")
    until(lambda: waits.over)
    assert waits.state == "cancelled"
    assert (waits.folder / "kept").exists()


def test_a_cancelled_job_that_does_not_hear_is_ended_with_its_process(jobs, job, monkeypatch):
    monkeypatch.setattr("probe.studio.jobs.GRACE_PERIOD_S", 0.2)
    deaf = job("deaf")
    jobs.add(deaf)
    until(lambda: deaf.bars)
    process = jobs._child.pid
    jobs.cancel("")
    until(lambda: deaf.over)
    assert deaf.state == "cancelled"
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert run(jobs, job("write", "a")).state == "done"


def test_jobs_wait_in_line_and_everybody_cancels_their_own(jobs, job):
    first, second, third = (job("wait", owner=owner) for owner in ("a", "b", "a"))
    for one in (first, second, third):
        jobs.add(one)
    until(lambda: first.state == "working")
    assert [jobs.before(one) for one in (first, second, third)] == [0, 1, 2]
    jobs.cancel("b", command="write")
    assert second.state == "waiting"
    jobs.cancel("b")
    assert second.state == "cancelled"
    assert jobs.before(third) == 1
    jobs.cancel("a")
    until(lambda: first.over and third.over)
    assert not (third.folder / "kept").exists()  # it never began


def test_a_cancellation_that_comes_late_does_not_hit_the_next_job(jobs, job):
    for _ in range(20):
        one = job("write", "a")
        jobs.add(one)
        jobs.cancel("")
        until(lambda one=one: one.over)
        assert run(jobs, job("write", "a", owner="next")).state == "done"


def test_closing_ends_the_job_at_work_and_the_process(job):
    jobs = Jobs(acting)
    waits, behind = job("wait"), job("wait")
    jobs.add(waits)
    jobs.add(behind)
    until(lambda: waits.bars)
    jobs.close()
    assert (waits.state, behind.state) == ("cancelled", "cancelled")
    assert (waits.folder / "kept").exists()
    assert not jobs._child.is_alive()
