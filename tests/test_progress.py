"""Bars that know how much of a whole job is done, and what is said of the time that is left."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe import progress
from probe.progress import announce, apart, in_words, share, time_left, track, whole


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def work(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    announce(True)
    yield clock
    announce(False)
    assert progress._open == []


def done() -> float:
    """Return the share of the outermost bar that is done."""
    return progress._open[0].fraction()


class TestTheShareThatIsDone:
    def test_of_equal_steps(self) -> None:
        assert [done() for _ in track(range(4))] == [0, 0.25, 0.5, 0.75]

    def test_of_steps_that_differ(self) -> None:
        assert [done() for _ in track(range(3), work=[1, 2, 7])] == [0, 0.1, pytest.approx(0.3)]

    def test_of_bars_within_a_bar(self) -> None:
        shares = [done() for _ in track(range(2), work=[1, 3]) for _ in track(range(2))]
        assert shares == pytest.approx([0, 1 / 8, 1 / 4, 5 / 8])

    @given(
        st.lists(st.lists(st.integers(1, 9), max_size=4), min_size=1, max_size=4),
        st.integers(1, 3),
    )
    def test_grows_from_0_to_1(self, works: list[list[int]], n: int) -> None:
        shares = []
        with track(total=1, work=[1.0]) as bar:
            for of_step in track(works, work=[1 + sum(work) for work in works]):
                for _ in track(range(len(of_step)), work=of_step):
                    for _ in track(range(n)):
                        shares.append(done())
            shares.append(done())
            bar.update()
            shares.append(done())
        assert shares == sorted(shares)
        assert shares[-1] == pytest.approx(1)

    def test_of_parts_of_a_job(self) -> None:
        shares = []
        with whole("job"):
            with share(0.8):
                shares += [done() for _ in track(range(2))]
                shares += [done() for _ in track(range(2))]  # one bar more than was expected
            with share(0.2), share(0.5):
                shares += [done() for _ in track(range(2))]
            shares.append(done())
        assert shares == pytest.approx([0, 0.4, 0.8, 0.8, 0.8, 0.85, 1])

    def test_of_what_is_apart_is_none(self) -> None:
        shares = []
        with whole("job"):
            with apart():
                shares += [done() for _ in track(range(2))]
            with share(0.5):
                for _ in track(range(2)):
                    with apart():
                        shares += [done() for _ in track(range(3))]
            shares.append(done())
        assert shares == pytest.approx([0, 0, 0, 0, 0, 0.25, 0.25, 0.25, 0.5])

    def test_of_a_job_that_goes_on(self) -> None:
        work = [1, 2, 7]
        assert [done() for _ in track([1, 2], initial=1, work=work)] == pytest.approx([0.1, 0.3])

    def test_of_a_job_within_another(self) -> None:
        with whole("outer"), share(0.5), whole("inner"), share(0.5):
            for _ in track(range(2)):
                pass
            assert done() == pytest.approx(0.25)


class TestBarsAreLeft:
    def test_by_whoever_leaves_the_loop(self) -> None:
        for _ in track(range(3)):
            break
        gc.collect()
        assert progress._open == []

    def test_by_an_exception(self) -> None:
        with suppress(KeyError), whole("job"), share(0.5), track(total=3):
            raise KeyError
        assert progress._open == []

    def test_by_a_bar_that_nobody_holds(self) -> None:
        track(total=3).update()
        gc.collect()
        assert progress._open == []

    def test_by_a_job_that_failed_and_whose_traceback_is_held(self) -> None:
        """As a notebook does, with the generators that were being read."""

        def batches() -> Iterator[int]:
            yield from track(range(3), desc="failed")

        def job(read: Iterator[int]) -> None:
            for _ in read:
                raise KeyError

        with pytest.raises(KeyError) as held:
            job(batches())
        with whole("next"):
            assert [task.desc for task in progress._open] == ["next"]
        assert held.value is not None
        assert progress._open == []

    def test_not_by_generators_that_are_being_read(self) -> None:
        def batches() -> Iterator[int]:
            yield from track(range(2))

        assert [done() for _ in batches() for _ in track(range(2))] == [0, 0.25, 0.5, 0.75]

    def test_in_other_threads_they_are_no_part(self) -> None:
        shares: list[float] = []

        def work() -> None:
            for _ in track(range(2)):
                shares.append(done())

        for _ in track(range(2)):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        assert shares == [0, 0, 0.5, 0.5]


def minutes(clock: Clock, works: list[float], progress: bool | None = None) -> None:
    """Do a job of several phases, a minute for each unit of work."""
    for work in track(works, work=works, desc="dream", progress=progress):
        for _ in track(range(60), desc="octave", progress=progress):
            clock.work(work)


class TestTheTimeThatIsLeft:
    def test_is_said_once_where_nobody_watches(
        self, clock: Clock, capsys: pytest.CaptureFixture[str]
    ) -> None:
        minutes(clock, [1.0, 2.0, 4.0])
        out, error = capsys.readouterr()
        assert out == ""
        assert error.count("\n") == 1
        assert error.startswith("dream: about 7 min left, until ")

    def test_is_right_from_the_beginning(
        self, clock: Clock, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with whole("encode"):
            with share(0.9):
                for _ in track(range(90)):
                    clock.work(10)
            with share(0.1):
                for _ in track(range(10)):
                    clock.work(10)
        assert "about 16 min left" in capsys.readouterr().err  # of 1,000 s

    def test_is_not_said_on_little_evidence(
        self, clock: Clock, capsys: pytest.CaptureFixture[str]
    ) -> None:
        said_at = []
        for seconds in (1, 10):
            began_s = clock.now_s
            for _ in track(range(100)):
                if "left" in capsys.readouterr().err:
                    said_at.append(clock.now_s - began_s)
                clock.work(seconds)
        assert said_at == [8, 50]  # seconds: the least; 5 % of the work

    def test_is_said_again_where_a_job_runs_past_it(
        self, clock: Clock, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Its second half takes forty times as long: 100 s are said, and 2,050 s it takes."""
        began_s, said = clock.now_s, []
        with whole("encode"):
            for part, seconds in ((0.5, 1), (0.5, 40)):
                with share(part):
                    for _ in track(range(50)):
                        clock.work(seconds)
                        if line := capsys.readouterr().err:
                            said.append((clock.now_s - began_s, line.split(", until")[0]))
        times_s = [when for when, _ in said]
        # What is written at the end of a step is read at the end of the next.
        assert said[0] == (9, "encode: about 2 min left")  # 100 s in all
        assert said[1] == (170 + 40, "encode: now about 3 min left")  # 1.5 × 100 s are over
        assert all(later >= 2 * earlier for earlier, later in pairwise(times_s))
        assert 3 <= len(said) <= 5

    def test_is_said_once_where_it_comes_about_true(
        self, clock: Clock, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with whole("encode"):
            for seconds in (1.0, 1.8):
                with share(0.5):
                    for _ in track(range(100)):
                        clock.work(seconds)
        assert capsys.readouterr().err.count("\n") == 1

    def test_does_not_count_what_was_done_before(
        self, clock: Clock, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with whole("rsa"):
            with share(0.5):
                pass  # the cache had it
            with share(0.5):
                for _ in track(range(100)):
                    clock.work(6.3)  # of these 630 s, 5 % are over
        assert "about 10 min left" in capsys.readouterr().err

    def test_does_not_count_what_is_apart(
        self, clock: Clock, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with whole("rsa"):
            with apart():
                for _ in track(range(20)):  # files are hashed
                    clock.work(1)
            for _ in track(range(100)):
                clock.work(6.3)  # of these 630 s, 5 % are over
        assert capsys.readouterr().err.startswith("rsa: about 10 min left")

    def test_of_a_short_job_is_not_said(
        self, clock: Clock, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for _ in track(range(20)):
            clock.work(1)
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize("shown", [True, False])
    def test_is_no_line_where_there_is_a_bar_or_none_is_wanted(
        self, clock: Clock, capsys: pytest.CaptureFixture[str], shown: bool
    ) -> None:
        minutes(clock, [1.0, 2.0], progress=shown)
        assert "until" not in capsys.readouterr().err

    def test_is_no_line_of_functions(
        self, clock: Clock, capsys: pytest.CaptureFixture[str]
    ) -> None:
        announce(False)
        minutes(clock, [1.0, 2.0])
        assert capsys.readouterr().err == ""

    def test_is_in_the_bar_of_the_whole(self, clock: Clock) -> None:
        postfixes = []

        def note(bar: Any) -> None:
            postfixes.append((bar.postfix, bar.n / bar.total))

        works = [1.0, 3.0]
        with track(total=2, work=works, desc="dream", progress=True) as bar:
            for work in works:
                for _ in track(range(60), progress=False):
                    clock.work(work)
                bar.update()
                note(bar)
        assert postfixes[0] == ("about 3 min left", pytest.approx(0.25))


class TestBarsOfWork:
    def test_within_a_bar_move(self, clock: Clock) -> None:
        moved = []
        for _ in track(range(2), work=[1, 1], progress=True):
            inner = track(range(3), work=[1, 1, 2], progress=True)
            for _ in inner:
                moved.append(inner.n)
                clock.work(1)
        assert moved == pytest.approx([0, 0.75, 1.5] * 2)

    def test_are_full_at_the_end(self) -> None:
        """A notebook leaves others there, in red."""
        bar = track(range(3), work=[1, 2, 7], progress=True)
        for _ in bar:
            pass
        assert bar.n == 3

    def test_of_a_whole_job_that_is_short_are_not_drawn(
        self, clock: Clock, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with whole("job", progress=True):
            for _ in track(range(3), progress=False):
                clock.work(0.6)
        assert capsys.readouterr().err == ""

    def test_of_a_whole_job_are_cleared(
        self, clock: Clock, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with whole("job", progress=True):
            for _ in track(range(3), progress=False):
                clock.work(3)
        error = capsys.readouterr().err
        assert "job:  33%" in error
        assert error.split("\r")[-2].strip() == ""


@pytest.mark.parametrize(
    ("elapsed_s", "share_done", "left"), [(60, 0.25, 180), (1, 0.5, None), (60, 0.001, None)]
)
def test_first_steps_say_nothing(elapsed_s: float, share_done: float, left: float | None) -> None:
    assert time_left(elapsed_s, share_done, 1 - share_done) == left


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "10 s"), (44, "40 s"), (100, "2 min"), (3600, "60 min"), (7200, "2 h"), (9000, "2.5 h")],
)
def test_durations_as_people_say_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
