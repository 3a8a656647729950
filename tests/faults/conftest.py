"""Processes that fail, and runs that nothing disturbed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

if not sys.platform.startswith("linux"):
    collect_ignore_glob = ["test_*.py"]  # forks, /proc and file systems in memory are Linux'

from harness import Forks, N, Undisturbed


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Children that are there at once."""
    forks = Forks(tmp_path_factory.mktemp("children"))
    yield forks
    forks.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for k in range(N):
        pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{k:03d}.png")
    return folder


@pytest.fixture(scope="session")
def undisturbed(
    forks: Forks, pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> Undisturbed:
    """An extraction of all pictures, from Python."""
    cache = tmp_path_factory.mktemp("undisturbed")
    return Undisturbed(forks.extract(cache, pictures).succeeded(), cache)


@pytest.fixture(scope="session")
def few(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of some of them; the last batch, and the last shards, are not full, either."""
    folder = tmp_path_factory.mktemp("few")
    for picture in sorted(pictures.iterdir())[:50]:
        shutil.copy(picture, folder)
    return folder


@pytest.fixture(scope="session")
def undisturbed_few(
    forks: Forks, few: Path, tmp_path_factory: pytest.TempPathFactory
) -> Undisturbed:
    """The same extraction of few pictures."""
    cache = tmp_path_factory.mktemp("undisturbed-few")
    return Undisturbed(forks.extract(cache, few).succeeded(), cache)


@pytest.fixture(scope="session")
def command(pictures: Path) -> list[str]:
    """What one types to extract shards of 1.4 and 2.1 MB, in batches of 4 of 20 pictures."""
    return [
        *("extract", "--model", "squeezenet1_1", "--weights", "random", "--images"),
        *(f"{pictures}/0[01][0-9].png", "--layers", "features.10,features.12"),
        *("--batch-size", "4", "--force"),
    ]


@pytest.fixture(scope="session")
def typed(
    forks: Forks, command: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Undisturbed:
    """The command that nothing disturbs."""
    cache = tmp_path_factory.mktemp("typed")
    return Undisturbed(forks.begin("cli", cache, arguments=command).succeeded(), cache)
