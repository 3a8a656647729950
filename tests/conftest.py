"""Fixtures for all tests. None touches the user's own cache."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every session has a cache folder of its own, shared by its tests."""
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path_factory.getbasetemp() / "probe-cache"))


@pytest.fixture
def mirror() -> Path:
    """The mirror folder with the real recordings; tests that need it skip without one."""
    folder = os.environ.get("PROBE_MIRROR")
    if not folder:
        pytest.skip("PROBE_MIRROR is not set: no folder with the recordings' files")
    return Path(folder)
