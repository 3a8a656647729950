"""The tables are what they were written down from."""

from collections import Counter

from probe.assets.manifest import manifests
from probe.models import known, registry
from probe.models.vision import import_torchvision


def test_torchvisions_networks():
    """Of another version, names are read; once that is the newest, the table is written anew."""
    torchvision = import_torchvision()
    read = registry.read_torchvision_names()
    listed = torchvision.models.list_models(module=torchvision.models)
    assert sorted(read) == listed
    assert registry.torchvision_names() == read
    if torchvision.__version__.startswith(f"{known.VERSION}."):
        assert read == known.TORCHVISION


def test_another_version_is_read(monkeypatch):
    monkeypatch.setattr(registry, "VERSION", "0.1")
    monkeypatch.setattr(registry, "TORCHVISION", ("lenet",))
    assert "alexnet" in registry.torchvision_names()
    assert "lenet" not in registry.torchvision_names()


def test_sessions_with_networks_of_their_neurons():
    files = manifests()["cowley2023-compact"].files
    assert Counter(file.name.split("_")[2] for file in files) == known.COMPACT_SESSIONS
