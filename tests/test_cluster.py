"""Work on other processes: real schedulers and workers, which are killed, too."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
import worker_tasks
import xarray as xr
from torch import nn

from probe import inference
from probe.cluster import Cluster, connect, connecting, restarting, slurm, tasks
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
QUEUES = pytest.mark.skipif(find_spec("dask_jobqueue") is None, reason="needs dask-jobqueue")
"""Not by importing it: that takes Ctrl-C away from other tests."""


@pytest.fixture(scope="module")
def workers():
    with pytest.MonkeyPatch.context() as patch:
        # One death is forgiven, not three: they take their time.
        patch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "1")
        with connect("local:2") as started:
            yield started


@pytest.fixture
def address(workers):
    """Of the scheduler, for those who join it."""
    return workers.client.scheduler.address


def ended(processes: Sequence[psutil.Process]) -> bool:
    """Wait until processes are no more."""
    return not psutil.wait_procs(processes, timeout=20)[1]


class TestTheWord:
    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("local", "cluster 'local': expected a number of processes, such as local:4"),
            ("local:0", "'local:0': expected a number of processes"),
            ("local:x", "'local:x': expected a number of processes"),
            ("local:-1", "'local:-1': expected a number of processes"),
            ("slurm:0", "'slurm:0': expected a number of jobs, such as slurm:4"),
            ("tcp://here", "'tcp://here': expected tcp://HOST:PORT"),
            ("tcp://here:0", "'tcp://here:0': expected tcp://HOST:PORT"),
            ("tcp://here:99999", "'tcp://here:99999': expected tcp://HOST:PORT"),
            ("http://here:80", "'http://here:80': expected local:4 (processes), tcp://"),
            ("", "cluster '': expected local:4"),
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
        find = connecting.importlib.util.find_spec
        monkeypatch.setattr(
            connecting.importlib.util,
            "find_spec",
            lambda name: None if name == missing else find(name),
        )
        with pytest.raises(ProbeError, match=r"pip install 'cnn-probe\[cluster\]'"), connect(spec):
            pass

    def test_nobody_answers(self, monkeypatch):
        monkeypatch.setattr(connecting, "SCHEDULER_TIMEOUT_S", 0.5)
        spec = "tcp://127.0.0.1:9"
        with pytest.raises(ProbeError, match=f"no Dask scheduler answers at {spec}"), connect(spec):
            pass

    def test_something_else_answers(self, web, monkeypatch):
        monkeypatch.setattr(connecting, "SCHEDULER_TIMEOUT_S", 0.5)
        spec = web[1].replace("http", "tcp")
        with pytest.raises(ProbeError, match="no Dask scheduler answers"), connect(spec):
            pass

    @QUEUES
    def test_no_queue_here(self, monkeypatch):
        monkeypatch.setenv("PATH", "")
        with pytest.raises(ProbeError, match="sbatch was not found"), connect("slurm"):
            pass

    def test_what_is_no_cluster(self):
        message = r"expected .* distributed\.Client, not int"
        with pytest.raises(ProbeError, match=message), connect(4):
            pass


class TestMap:
    def test_every_result_once_with_its_index(self, workers):
        assert sorted(workers.map(worker_tasks.square, range(50))) == [(k, k**2) for k in range(50)]
        assert list(workers.map(worker_tasks.square, [])) == []

    def test_on_two_processes(self, workers, tmp_path):
        pids = {
            pid for _, pid in workers.map(worker_tasks.told, range(20), shared=[tmp_path / "x"])
        }
        assert len(pids) == 2
        assert os.getpid() not in pids

    def test_what_is_shared_comes_first_and_once(self, workers, tmp_path):
        path = tmp_path / "unpacked"
        path.touch()
        traced = worker_tasks.Traced(path)
        for _ in range(3):
            assert len(list(workers.map(worker_tasks.of_traced, range(30), shared=[traced]))) == 30
            workers.client.amm.run_once()  # as every two seconds: spare copies are dropped
        pids = path.read_text().split()
        assert len(pids) == len(set(pids)) <= 2
        list(workers.map(worker_tasks.of_traced, range(3), shared=[worker_tasks.Traced(path)]))
        assert len(path.read_text().split()) > len(pids)

    def test_what_is_shared_is_told_apart(self, workers):
        for base in (1.5, 2.5, np.ones(3)):
            for index, found in workers.map(worker_tasks.add, range(3), shared=[base]):
                np.testing.assert_array_equal(found, base + index)

    def test_any_number_of_tasks_does_not_flood_the_scheduler(self, workers):
        taken = []

        class Many(Sequence):
            def __len__(self):
                return 100_000

            def __getitem__(self, index):
                taken.append(index)
                return index

        results = workers.map(worker_tasks.square, Many())
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

        monkeypatch.setattr(tasks, "track", track)
        list(
            workers.map(
                worker_tasks.square,
                range(3),
                sizes=[5, 1, 2],
                desc="work",
                unit="img",
                progress=True,
            )
        )
        assert seen[0] == {"total": 8, "desc": "work", "unit": "img", "progress": True}
        assert [text for text in seen if isinstance(text, str)] == ["work"]
        assert sorted(size for size in seen if isinstance(size, int)) == [1, 2, 5]

    def test_variables_of_probe_go_with_the_tasks(self, workers, monkeypatch):
        monkeypatch.setenv("PROBE_SOMETHING", "here")
        monkeypatch.setenv("ELSE", "here")
        found = dict(
            workers.map(worker_tasks.variable, ["PROBE_SOMETHING", "ELSE", "OMP_NUM_THREADS"])
        )
        assert found[0] == "here"
        assert found[1] is None
        assert int(found[2]) >= 1

    def test_within_a_running_event_loop_as_in_a_notebook(self, address):
        async def cell():
            with connect(address) as joined:
                return sorted(joined.map(worker_tasks.square, range(5)))

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
            list(workers.map(worker_tasks.failing, [0, task], shared=[tmp_path / "x"]))
        assert (tmp_path / "x").read_text().split().count(str(task)) == 1

    def test_kept_errors(self, workers, tmp_path):
        found = dict(
            workers.map(worker_tasks.failing, range(7), shared=[tmp_path / "x"], keep_errors=True)
        )
        assert [found.pop(k).args for k in (3, 5)] == [("three is too many",), ("five",)]
        assert found == {k: k for k in (0, 1, 2, 4, 6)}

    @POSIX
    def test_a_worker_that_is_killed(self, workers, tmp_path):
        """Whatever it was at, and had been sent, another one gets."""
        found, killed = [], None
        for index, pid in workers.map(worker_tasks.told, range(60), shared=[tmp_path / "x"]):
            found.append(index)
            if len(found) == 5:
                os.kill(pid, signal.SIGKILL)
                killed = pid
        assert sorted(found) == list(range(60))
        assert killed is not None

    @POSIX
    def test_a_task_that_kills_is_told_and_does_no_harm_to_others(self, workers):
        found = dict(workers.map(worker_tasks.deadly, range(6), keep_errors=True))
        assert "out of memory, most likely" in str(found.pop(3))
        assert found == {k: k for k in (0, 1, 2, 4, 5)}

    def test_another_version_is_told_by_the_worker(self, workers, monkeypatch):
        monkeypatch.setattr(tasks.metadata, "version", lambda name: "9.9")
        with pytest.raises(ProbeError, match=r"a worker has cnn-probe 0\.\S+, here it is 9\.9"):
            list(workers.map(worker_tasks.square, [1]))

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


SCRIPT = """
import os, signal, sys
import psutil
from probe.cluster import connect

def triple(task):
    print("told by a worker", flush=True)
    return 3 * task

print("once", flush=True)
with connect("local:2") as workers:
    print(sorted(workers.map(triple, range(5))), flush=True)
    print(*[child.pid for child in psutil.Process().children(recursive=True)], flush=True)
    sys.stdin.readline()
"""


@POSIX
class TestProcessesOfThisMachine:
    def test_a_script_needs_no_guard_and_leaves_nothing_when_it_is_killed(self, tmp_path):
        (tmp_path / "script.py").write_text(SCRIPT)
        process = subprocess.Popen(
            [sys.executable, tmp_path / "script.py"], env=os.environ | {"TMPDIR": str(tmp_path)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert process.stdout.readline() == "once\n"
            assert process.stdout.readline() == f"{[(k, 3 * k) for k in range(5)]}\n"
            children = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
        finally:
            process.kill()
        assert process.communicate() == ("", "")
        assert len(children) >= 3
        assert ended(children)
        assert {path.name for path in tmp_path.iterdir()} == {"script.py"}

    @pytest.mark.slow
    def test_the_scheduler_dies(self, tmp_path):
        with connect("local:1") as own:
            (server,) = (
                child for child in psutil.Process().children()
                if "serve(1, " in " ".join(child.cmdline())
            )  # fmt: skip
            others = server.children(recursive=True)
            results = own.map(worker_tasks.told, range(100), shared=[tmp_path / "x"])
            next(results)
            server.kill()
            with pytest.raises(ProbeError, match="scheduler is lost; what is finished is kept"):
                list(results)
            began = time.monotonic()
            with pytest.raises(ProbeError, match="scheduler is lost"):
                list(own.map(worker_tasks.square, range(3)))
        assert time.monotonic() - began < 10
        assert ended(others)

    @pytest.mark.slow
    def test_ctrl_c(self, tmp_path):
        rng = np.random.default_rng(0)
        RDMs(rng.random((20, 150 * 149 // 2))).save(tmp_path / "many.npz")
        process = subprocess.Popen(
            [
                sys.executable, "-c", "from probe.cli import main; main()", "compare", "many.npz",
                "many.npz", "-o", "out", "--comparator", "tau-a", "--n-resamples", "100000",
                "--cluster", "local:1",
            ],
            cwd=tmp_path, env=os.environ | {"TMPDIR": str(tmp_path)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 60
            while not (tmp_path / "out").exists():
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            time.sleep(1.0)
            children = psutil.Process(process.pid).children(recursive=True)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
        assert time.monotonic() - began < 10
        assert (process.returncode, out) == (130, "")
        assert err.startswith("Interrupted.")
        assert len(err.splitlines()) == 1
        assert ended(children)
        assert {path.name for path in tmp_path.iterdir()} == {"many.npz"}


QUEUE = {
    "sbatch": """
        [ -z "$REFUSED" ] || { echo "sbatch: error: invalid partition: $REFUSED" >&2; exit 1; }
        job=$(mktemp); cp "$1" $job
        setsid bash $job > $job.out 2>&1 &
        echo "Submitted batch job $!"
    """,
    "scancel": "kill -- -$1",
}
"""A queue in which there is always room, on this machine."""


@POSIX
@QUEUES
class TestQueue:
    def test_ctrl_c_stays_what_it_was(self):
        """In a process that has not imported the package yet, which takes it for itself."""
        code = (
            "import signal; from probe.cluster import slurm; slurm.import_jobqueue(); "
            "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    @pytest.fixture(autouse=True)
    def _queue(self, tmp_path, monkeypatch):
        import dask

        slurm.import_jobqueue()  # which reads its own configuration

        for name, lines in QUEUE.items():
            script = tmp_path / name
            script.write_text("#!/bin/bash\n" + lines)
            script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setenv("PYTHONPATH", str(Path(worker_tasks.__file__).parent))
        job = {"cores": 1, "memory": "2GB", "interface": None, "local-directory": str(tmp_path)}
        with dask.config.set(
            {f"jobqueue.slurm.{name}": value for name, value in job.items()}
            | {"jobqueue.slurm.scheduler-options": {"host": "127.0.0.1"}}
        ):
            yield

    def test_jobs_are_queued_again_when_they_end_and_cancelled_at_the_end(
        self, monkeypatch, tmp_path
    ):
        monkeypatch.setattr(slurm, "ABSENT_S", 0.5)
        monkeypatch.setattr(restarting, "LOOKING_INTERVAL_S", 0.02)
        monkeypatch.setattr(tasks, "COUNTING_INTERVAL_S", 0.02)
        with connect("slurm:1") as jobs:
            found = []
            for index, _ in jobs.map(worker_tasks.told, range(40), shared=[tmp_path / "x"]):
                found.append(index)
                if len(found) == 3:
                    (first,) = jobs.client.cluster.workers.values()
                    subprocess.run(["scancel", first.job_id], check=True)
            assert sorted(found) == list(range(40))
            (second,) = jobs.client.cluster.workers.values()
            assert second.job_id != first.job_id
            process = psutil.Process(int(second.job_id))
        assert ended([process])

    def test_a_job_that_is_refused(self, monkeypatch):
        monkeypatch.setenv("REFUSED", "gpux")
        message = "SLURM does not take the job: sbatch: error: invalid partition: gpux"
        with pytest.raises(ProbeError, match=message), connect("slurm:2"):
            pass

    def test_a_job_that_nobody_has_described(self):
        import dask

        with (
            dask.config.set({"jobqueue.slurm.cores": None}),
            pytest.raises(
                ProbeError, match=r"need at least 'cores' and 'memory', .*jobqueue\.yaml"
            ),
            connect("slurm"),
        ):
            pass


@pytest.fixture(scope="module")
def client():
    """A client of one's own, of one worker with two threads, in this process."""
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
    ) as own, distributed.Client(own, set_as_default=False) as client:  # fmt: skip
        yield client


class TestOnesOwnClient:
    def test_stays_open(self, client):
        with connect(client) as joined, connect(joined) as again:
            assert again is joined
            assert sorted(joined.map(worker_tasks.square, range(3))) == [(0, 0), (1, 1), (2, 4)]
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
        worker_tasks.LISTS[key] = count
        with connect(client) as joined:
            list(joined.map(worker_tasks.by_key, [(key, k) for k in range(6)], alone=alone))
        assert max(highest) == most

    def test_a_closed_one(self, address):
        with distributed.Client(address, set_as_default=False) as other:
            pass
        with pytest.raises(ProbeError, match="asynchronous, or closed"), connect(other):
            pass


@pytest.fixture(scope="module")
def rdms():
    """Four models and three subjects, with what they have in common."""
    rng = np.random.default_rng(0)
    truth = rng.random(40 * 39 // 2)
    return tuple(truth + rng.random((k, len(truth))) for k in (4, 3))


def assert_same(found, expected):
    """Hold two evaluations to the same bits."""
    for field in fields(expected):
        a, b = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(b, np.ndarray):
            assert a.tobytes() == b.tobytes(), field.name
        else:
            assert str(a) == str(b), field.name


class TestResamples:
    @pytest.mark.parametrize(
        "comparator",
        ["spearman", pytest.param("pearson", marks=pytest.mark.slow), "tau-a", "whitened-cosine"],
    )
    def test_have_the_bits_of_one_process(self, workers, rdms, comparator):
        options = {"resample": "both", "n_resamples": 100, "seed": 3}
        found = inference.evaluate(*rdms, comparator, executor=workers, **options)
        assert_same(found, inference.evaluate(*rdms, comparator, **options))

    @pytest.mark.parametrize("resample", ["stimuli", "subjects", "both", None])
    def test_for_fitted_models(self, workers, rdms, resample):
        models = [Model(rdms[0][:2], "weighted"), Model(rdms[0][1:], "selection"), rdms[0][3]]
        options = {"resample": resample, "n_resamples": 20, "groups": np.arange(40) // 2}
        found = inference.evaluate(models, rdms[1], "pearson", executor=workers, **options)
        assert_same(found, inference.evaluate(models, rdms[1], "pearson", **options))

    def test_however_the_arrays_lie_in_memory(self, workers, rdms):
        models, data = np.asfortranarray(rdms[0]), np.repeat(rdms[1], 2, axis=1)[:, ::2]
        models[:, 7] = np.nan
        for comparator in ("spearman", "cosine"):
            found = inference.evaluate(models, data, comparator, n_resamples=90, executor=workers)
            assert_same(found, inference.evaluate(models, data, comparator, n_resamples=90))

    def test_have_one_bar_for_each_kind(self, workers, rdms):
        seen = {}

        def track(iterable, *, total, desc):
            seen[desc] = 0
            for k in iterable:
                seen[desc] += 1
                yield k
            assert seen[desc] == total

        inference.evaluate(*rdms, n_resamples=60, executor=workers, track=track)
        assert seen == {"bootstrap": 60, "jackknife": 40, "permutations": 60}

    def test_errors_are_the_same(self, workers, rdms):
        almost = np.zeros((1, rdms[0].shape[1]))
        almost[0, 0] = 1.0
        with pytest.raises(ValueError, match="constant in most resamples"):
            inference.evaluate(almost, rdms[1], n_resamples=60, executor=workers)


class InThisProcess:
    """An executor that does as it is told, last things first."""

    def __init__(self):
        self.n_tasks = []
        self.shared = []

    def map(self, function, tasks, *, shared, alone, progress):
        assert not alone
        assert not progress
        self.n_tasks.append(len(tasks))
        self.shared.append(shared)
        for index in reversed(range(len(tasks))):
            yield index, function(*shared, tasks[index])


class TestExecutor:
    @pytest.mark.parametrize("n", [1, 4, 5, 257, 4 * N_TASKS + 1, 20 * N_TASKS + 3])
    def test_blocks_are_the_same_in_few_tasks(self, n):
        seen = {}
        for executor in (None, InThisProcess()):
            kept = seen[executor] = {}

            def keep(part, found, kept=kept):
                kept[part.start, part.stop] = found

            by_blocks(lambda a, rows: (a, *rows), [7], [np.arange(n)], 4, keep, None, executor)
            assert sum(stop - start for start, stop in kept) == n
        alone, spread = seen.values()
        assert alone == spread
        assert all(n_tasks <= N_TASKS for n_tasks in executor.n_tasks)

    def test_rdms_are_shared_by_all_calls(self, rdms):
        executor = InThisProcess()
        found = inference.evaluate(*rdms, n_resamples=40, executor=executor)
        assert_same(found, inference.evaluate(*rdms, n_resamples=40))
        first, *others = executor.shared
        assert len(others) == 2
        assert all(a is b for shared in others for a, b in zip(first, shared, strict=True))


def network(name: str, seed: int) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Conv2d(3, 4, 9, stride=8), nn.ReLU(), nn.Flatten())
    return Network.from_module(module, name=name)


def recording(name: str, seed: int, n_stimuli: int = 12) -> Recording:
    rng = np.random.default_rng(seed)
    ids = [f"s{k}" for k in range(n_stimuli)]
    pictures = list(rng.integers(0, 256, (n_stimuli, 16, 16, 3), dtype=np.uint8))
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), rng.normal(size=(n_stimuli, 3, 8)))},
        coords={
            "stimulus_id": ("stimulus", ids),
            "neuroid_id": ("neuroid", [f"n{k}" for k in range(8)]),
            "subject": ("neuroid", ["a"] * 4 + ["b"] * 4),
            "region": ("neuroid", ["V2"] * 8),
        },
        attrs={"name": name, "title": name, "citation": "me"},
    )
    return Recording(data, StimulusSet(ids, pictures, name))


QUICK = {"layers": ["0", "1"], "n_resamples": 30, "progress": False}


class TestComparisons:
    @pytest.mark.slow
    def test_several_networks_are_compared_as_in_one_process(self, workers, tmp_path):
        networks = [network(name, k) for k, name in enumerate("xyz")]
        recordings = [recording("mine", 0), recording("yours", 1)]
        found = rsa(networks, recordings, cluster=workers, output=tmp_path / "out", **QUICK)
        expected = rsa(networks, recordings, output=tmp_path / "here", **QUICK)
        pd.testing.assert_frame_equal(found.table, expected.table, check_exact=True)
        pd.testing.assert_frame_equal(found.best, expected.best, check_exact=True)
        assert found.folders == expected.folders
        files = [
            sorted(path.relative_to(tmp_path / folder) for path in (tmp_path / folder).rglob("*"))
            for folder in ("out", "here")
        ]
        assert files[0] == files[1]
        command = [Path(sys.argv[0]).name, *sys.argv[1:]]
        assert {tuple(result.provenance["command"]) for result in found} == {tuple(command)}

    def test_one_that_fails_is_left_out(self, workers):
        networks = [network("x", 0), network("broken", 1), network("z", 2)]
        networks[1].module[0].weight.data.fill_(float("nan"))
        with pytest.warns(UserWarning, match="no result for broken and mine"):
            found = rsa(networks, recording("mine", 0), cluster=workers, **QUICK)
        assert [result.facts["model"]["name"] for result in found] == ["x", "z"]
        (failure,) = found.failures
        assert isinstance(failure.error, ProbeError)
        assert "layer '0' of broken: stimulus 's0'" in failure.message

    def test_one_whose_workers_die_is_left_out(self):
        class Dying(Cluster):
            def __init__(self):
                pass

            def map(self, function, tasks, *, shared, **options):
                yield 1, ProbeError("one task has ended 4 workers")
                yield 0, function(*shared, tasks[0])

        networks, mine = [network("x", 0), network("y", 1)], recording("mine", 0)
        with pytest.warns(UserWarning, match="no result for y and mine"):
            found = rsa(networks, mine, cluster=Dying(), **QUICK)
        assert [result.facts["model"]["name"] for result in found] == ["x"]
        assert "one task has ended 4 workers" in found.failures[0].message

    def test_what_was_finished_before_an_interruption_is_saved(self, tmp_path):
        class Interrupted(Cluster):
            def __init__(self):
                pass

            def map(self, function, tasks, *, shared, **options):
                for index in (2, 0):
                    yield index, function(*shared, tasks[index])
                raise KeyboardInterrupt

        networks = [network(name, k) for k, name in enumerate("xyz")]
        with pytest.raises(KeyboardInterrupt):
            rsa(networks, recording("mine", 0), cluster=Interrupted(), output=tmp_path, **QUICK)
        assert {path.name for path in tmp_path.iterdir()} == {"x-mine-V2", "z-mine-V2"}

    @pytest.mark.filterwarnings("ignore:no result for")
    def test_all_fail(self, workers):
        with pytest.raises(ProbeError, match=r"x and mine .*no layer '7'.*and 1 others"):
            rsa([network("x", 0), network("y", 1)], recording("mine", 0), cluster=workers,
                layers=["7"], progress=False)  # fmt: skip

    @pytest.mark.slow
    def test_of_one_network_the_resamples_are_spread(self, workers):
        one, mine = network("x", 0), recording("mine", 0)
        found = rsa(one, mine, cluster=workers, **QUICK)
        expected = rsa(one, mine, **QUICK)
        pd.testing.assert_frame_equal(found.table, expected.table, check_exact=True)
