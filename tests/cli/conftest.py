"""The command line in this process, and recordings small enough for it."""

from __future__ import annotations

import sys
from functools import cache
from typing import NamedTuple

import pytest
import typer.main

from probe import cli


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of an error, checked to be one and to be all."""
        assert self.code == 2, self
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("probe: error: ")
        assert self.out == ""
        return lines[0].removeprefix("probe: error: ")


@pytest.fixture(scope="session", autouse=True)
def _built_once():
    """The commands are built once, as in a process, and not for every call: a tenth of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", cache(typer.main.get_command))
        yield


@pytest.fixture
def run(monkeypatch, capsys):
    """Run ``probe`` with some arguments."""

    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["probe", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, err = capsys.readouterr()
        return Ran(int(exit_.value.code or 0), out, err)

    return run


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Where a command writes without being told."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("MPLBACKEND", "agg")


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache of this test alone, and no mirror."""
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PROBE_MIRROR", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def lab(tmp_path, write_lab):
    """A recording of one's own: 12 stimuli, 2 repetitions, 6 neuroids."""
    return write_lab(tmp_path / "lab")


@pytest.fixture
def scheduler():
    """The address of a Dask scheduler, with a worker in this process.

    For one test: its threads draw random numbers, which others count.
    """
    reason = "distributed is not installed"
    with pytest.importorskip("distributed", reason=reason).LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=":0"
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def rsa(run):
    """Run ``probe rsa`` on a small random network, quickly."""

    def rsa(dataset: object, *more: object, model: str = "squeezenet1_1") -> Ran:
        quick = ["--layers", "features.0,features.3", "--n-resamples", 5, "--no-baselines"]
        quick = quick[2:] if "--layers" in more else quick
        weights = [] if "--weights" in more else ["--weights", "random"]
        return run("rsa", "--model", model, "--dataset", dataset, *quick, *weights, *more)

    return rsa
