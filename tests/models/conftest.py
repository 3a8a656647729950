import pytest

from probe.models import network


@pytest.fixture(scope="module", autouse=True)
def _drawn_anew(_drawn_once):
    """Here, random weights are drawn each time: that they are the same is a question."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "_random", _drawn_once)
        yield


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PROBE_MIRROR", raising=False)
