"""Work on other processes: real schedulers and workers, which are killed, too."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
import xarray as xr
from torch import nn

from probe import cluster, inference
from probe.cluster import connect
from probe.comparison import rsa
from probe.errors import ProbeError
from probe.inference import Model
from probe.inference.resampling import N_TASKS, by_blocks
from probe.models import Network
from probe.recordings import Recording
from probe.similarity.rdm_set import RDMs
from probe.stimuli import StimulusSet

distributed = pytest.importorskip("distributed", reason="distributed is not installed")

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="other signals there")


@pytest.fixture(scope="module")
def workers():
    with connect("local:2") as started:
        yield started


@pytest.fixture
def address(workers):
    """Of the scheduler, for those who join it."""
    return workers.client.scheduler.address


def ended(processes: Sequence[psutil.Process]) -> bool:
    """Wait until processes are no more."""
    return not psutil.wait_procs(processes, timeout=20)[1]


# What workers do: functions of a module, which they import.


def square(task):
    return task**2


def add(base, task):
    return base + task


def told(path, task):
    """Leave a line, and be slow."""
    with Path(path).open("a") as file:
        file.write(f"{task}\n")
    time.sleep(0.05)
    return os.getpid()


def failing(path, task):
    told(path, task)
    if task == 3:
        raise ProbeError("three is too many")
    if task == 5:
        raise KeyError("five")
    return task


def deadly(task):
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def variable(task):
    return os.environ.get(task)


class Traced:
    """Says where it was unpacked."""

    def __init__(self, path):
        self.path = path

    def __setstate__(self, state):
        self.__dict__.update(state)
        told(self.path, os.getpid())


def of_traced(traced, _task):
    time.sleep(0.02)
    return traced.path


class TestTheWord:
    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("local", "cluster 'local' names no number of processes; wanted local:4"),
            ("local:0", "'local:0' names no number of processes"),
            ("local:x", "'local:x' names no number of processes"),
            ("local:-1", "'local:-1' names no number of processes"),
            ("slurm:0", "'slurm:0' names no number of jobs; wanted slurm:4"),
            ("tcp://here", "'tcp://here' is no address; wanted tcp://HOST:PORT"),
            ("tcp://here:0", "'tcp://here:0' is no address"),
            ("tcp://here:99999", "'tcp://here:99999' is no address"),
            ("http://here:80", "'http://here:80' is unknown; wanted local:4 (processes), tcp://"),
            ("", "cluster '' is unknown"),
        ],
    )
    def test_that_is_none(self, spec, message):
        with pytest.raises(ProbeError) as error, connect(spec):
            pass
        assert message in str(error.value)

    def test_none_is_this_process(self):
        with connect(None) as nobody:
            assert nobody is None

    @pytest.mark.parametrize(
        ("spec", "missing"), [("local:2", "distributed"), ("slurm", "dask_jobqueue")]
    )
    def test_a_missing_package_is_named(self, spec, missing, monkeypatch):
        find = cluster.importlib.util.find_spec
        monkeypatch.setattr(
            cluster.importlib.util, "find_spec", lambda name: None if name == missing else find(name)
        )
        with pytest.raises(ProbeError, match=r"pip install 'cnn-probe\[cluster\]'"), connect(spec):
            pass

    def test_nobody_answers(self, monkeypatch):
        monkeypatch.setattr(cluster, "PATIENCE", 0.5)
        with pytest.raises(ProbeError, match="no Dask scheduler answers at tcp://127.0.0.1:9;"):
            with connect("tcp://127.0.0.1:9"):
                pass

    def test_something_else_answers(self, web, monkeypatch):
        monkeypatch.setattr(cluster, "PATIENCE", 0.5)
        spec = web[1].replace("http", "tcp")
        with pytest.raises(ProbeError, match="no Dask scheduler answers"), connect(spec):
            pass

    def test_no_queue_here(self, monkeypatch):
        pytest.importorskip("dask_jobqueue")
        monkeypatch.setenv("PATH", "")
        with pytest.raises(ProbeError, match="there is no sbatch"), connect("slurm"):
            pass

    def test_what_is_no_cluster(self):
        with pytest.raises(ProbeError, match=r"wanted .* distributed\.Client, not int"):
            with connect(4):
                pass


class TestMap:
    def test_every_result_once_with_its_index(self, workers):
        assert sorted(workers.map(square, range(50))) == [(k, k**2) for k in range(50)]
        assert list(workers.map(square, [])) == []

    def test_on_two_processes(self, workers, tmp_path):
        pids = {pid for _, pid in workers.map(told, range(20), shared=[tmp_path / "x"])}
        assert len(pids) == 2
        assert os.getpid() not in pids

    def test_what_is_shared_comes_first_and_once(self, workers, tmp_path):
        path = tmp_path / "unpacked"
        path.touch()
        traced = Traced(path)
        for _ in range(2):
            assert len(list(workers.map(of_traced, range(30), shared=[traced]))) == 30
        pids = path.read_text().split()
        assert len(pids) == len(set(pids)) <= 2
        list(workers.map(of_traced, range(3), shared=[Traced(path)]))
        assert len(path.read_text().split()) > len(pids)

    def test_what_is_shared_is_told_apart(self, workers):
        for base in (1.5, 2.5, np.ones(3)):
            for index, found in workers.map(add, range(3), shared=[base]):
                np.testing.assert_array_equal(found, base + index)

    def test_any_number_of_tasks_does_not_flood_the_scheduler(self, workers):
        taken = []

        class Many(Sequence):
            def __len__(self):
                return 100_000

            def __getitem__(self, index):
                taken.append(index)
                return index

        results = workers.map(square, Many())
        for n, _ in enumerate(results, 1):
            assert len(taken) - n < 60
            if n == 100:
                break
        results.close()
        deadline = time.monotonic() + 10
        while any(workers.client.processing().values()):  # taken back
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def test_one_bar_by_size(self, workers, monkeypatch):
        seen = []

        class Bar:
            def __enter__(self):
                return self

            def __exit__(self, *error):
                pass

            def set_description(self, text):
                seen.append(text)

            def update(self, size):
                seen.append(size)

        def track(**options):
            seen.append(options)
            return Bar()

        monkeypatch.setattr(cluster, "track", track)
        list(workers.map(square, range(3), sizes=[5, 1, 2], desc="work", unit="img", progress=True))
        assert seen[0] == {"total": 8, "desc": "work", "unit": "img", "progress": True}
        assert [text for text in seen if isinstance(text, str)] == ["work"]
        assert sorted(size for size in seen if isinstance(size, int)) == [1, 2, 5]

    def test_variables_of_probe_go_with_the_tasks(self, workers, monkeypatch):
        monkeypatch.setenv("PROBE_SOMETHING", "here")
        monkeypatch.setenv("ELSE", "here")
        found = dict(workers.map(variable, ["PROBE_SOMETHING", "ELSE", "OMP_NUM_THREADS"]))
        assert found[0] == "here"
        assert found[1] is None
        assert int(found[2]) >= 1

    def test_within_a_running_event_loop_as_in_a_notebook(self, address):
        async def cell():
            with connect(address) as joined:
                return sorted(joined.map(square, range(5)))

        assert asyncio.run(cell()) == [(k, k**2) for k in range(5)]

    def test_functions_of_a_notebook(self, workers):
        def local(task):
            return task + 1

        assert sorted(workers.map(local, range(3))) == [(0, 1), (1, 2), (2, 3)]


class TestFailures:
    @pytest.mark.parametrize(
        ("task", "kind", "message"),
        [(3, ProbeError, "^three is too many$"), (5, KeyError, "five")],
    )
    def test_an_error_is_the_functions_own_and_not_tried_again(
        self, workers, tmp_path, task, kind, message
    ):
        with pytest.raises(kind, match=message):
            list(workers.map(failing, [0, task], shared=[tmp_path / "x"]))
        assert (tmp_path / "x").read_text().split().count(str(task)) == 1

    def test_kept_errors(self, workers, tmp_path):
        found = dict(workers.map(failing, range(7), shared=[tmp_path / "x"], keep_errors=True))
        assert [found.pop(k).args for k in (3, 5)] == [("three is too many",), ("five",)]
        assert found == {k: k for k in (0, 1, 2, 4, 6)}

    @POSIX
    def test_a_worker_that_is_killed(self, workers, tmp_path):
        """Whatever it was at, and had been sent, another one gets."""
        found, killed = [], None
        for index, pid in workers.map(told, range(60), shared=[tmp_path / "x"]):
            found.append(index)
            if len(found) == 5:
                os.kill(pid, signal.SIGKILL)
                killed = pid
        assert sorted(found) == list(range(60))
        assert killed is not None

    @POSIX
    def test_a_task_that_kills_is_told_and_does_no_harm_to_others(self, workers):
        found = dict(workers.map(deadly, range(6), keep_errors=True))
        assert "out of memory, most likely" in str(found.pop(3))
        assert found == {k: k for k in (0, 1, 2, 4, 5)}

    def test_another_version_is_told_by_the_worker(self, workers, monkeypatch):
        monkeypatch.setattr(cluster.metadata, "version", lambda name: "9.9")
        with pytest.raises(ProbeError, match=r"a worker has cnn-probe 0\.\S+, here it is 9\.9"):
            list(workers.map(square, [1]))

    @pytest.mark.parametrize(
        ("package", "version", "message"),
        [
            ("cnn-probe", None, r"^worker tcp://\S+ has no cnn-probe, here it is 0\."),
            ("torch", "1.0", r"^worker tcp://\S+ has torch 1\.0, here it is"),
            ("python", "3.8.1.final.0", r"^worker tcp://\S+ has python 3\.8, here it is 3\."),
        ],
    )
    def test_another_version_is_told_before_the_work(
        self, address, monkeypatch, package, version, message
    ):
        ask = distributed.Client.get_versions

        def changed(self, **options):
            found = ask(self, **options)
            for there in found["workers"].values():
                there["packages"][package] = version
            return found

        monkeypatch.setattr(distributed.Client, "get_versions", changed)
        with pytest.raises(ProbeError, match=message), connect(address):
            pass


class TestOnesOwnClient:
    @pytest.fixture(scope="class")
    def client(self):
        """A client of one worker with two threads, in this process."""
        with distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as own, distributed.Client(own, set_as_default=False) as client:
            yield client

    def test_stays_open(self, client):
        with connect(client) as joined, connect(joined) as again:
            assert again is joined
            assert sorted(joined.map(square, range(3))) == [(0, 0), (1, 1), (2, 4)]
        assert client.status == "running"

    @pytest.mark.parametrize(("alone", "most"), [(True, 1), (False, 2)])
    def test_tasks_have_a_process_to_themselves_or_share_its_threads(self, client, alone, most):
        at_work, highest = [], []

        def count(task):
            at_work.append(task)
            highest.append(len(at_work))
            time.sleep(0.05)
            at_work.remove(task)

        key = id(at_work)
        LISTS[key] = count
        with connect(client) as joined:
            list(joined.map(by_key, [(key, k) for k in range(6)], alone=alone))
        assert max(highest) == most

    def test_a_closed_one(self, address):
        with distributed.Client(address, set_as_default=False) as other:
            pass
        with pytest.raises(ProbeError, match="asynchronous, or closed"), connect(other):
            pass


LISTS = {}


def by_key(task):
    """Call what this process knows by that key: nothing is packed."""
    LISTS[task[0]](task[1])
