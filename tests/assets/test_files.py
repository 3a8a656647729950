import hashlib
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from probe.assets import (
    Asset,
    Unavailable,
    add,
    cache_dir,
    derive,
    fetch,
    fetch_asset,
    find,
    listing,
    manifest_assets,
    mirror_dirs,
    places,
)
from probe.assets.checks import record_path
from probe.errors import ProbeError


def put_in_mirror(monkeypatch, folder, content, name="file.bin"):
    (folder / "things").mkdir(parents=True, exist_ok=True)
    (folder / "things" / name).write_bytes(content)
    monkeypatch.setenv("PROBE_MIRROR", str(folder))
    return folder / "things" / name


def leftovers(but=()):
    """All files of the cache except locks."""
    found = [p.name for p in (cache_dir() / "assets").rglob("*") if p.is_file()]
    return sorted(set(found) - set(but))


@pytest.mark.parametrize("scheme", ["sha256", "sha1", "sha256-prefix"])
def test_downloads_once_then_reads_the_cache(server, asset_of, content, scheme):
    server.content = content
    asset = asset_of(content, scheme=scheme)
    path = fetch_asset(asset)
    assert path == cache_dir() / "assets" / "things" / "file.bin"
    assert path.read_bytes() == content
    assert fetch_asset(asset) == path
    assert len(server.asked) == 1
    assert leftovers(["file.bin"]) == [".file.bin.check.json"]


def test_mirror_goes_before_download_and_is_left_alone(
    server, asset_of, content, tmp_path, monkeypatch
):
    asset = asset_of(content)
    file = put_in_mirror(monkeypatch, tmp_path / "mirror", content)
    before = sorted((tmp_path / "mirror").rglob("*")), file.stat()
    assert fetch_asset(asset).read_bytes() == content
    assert (sorted((tmp_path / "mirror").rglob("*")), file.stat())[0] == before[0]
    assert file.stat().st_mtime_ns == before[1].st_mtime_ns
    assert server.asked == []


def test_several_mirror_folders(asset_of, content, tmp_path, monkeypatch):
    put_in_mirror(monkeypatch, tmp_path / "second", content)
    monkeypatch.setenv("PROBE_MIRROR", os.pathsep.join([str(tmp_path), str(tmp_path / "second")]))
    assert len(mirror_dirs()) == 2
    asset = asset_of(content)
    assert [there for _, _, there in places(asset)] == [False, False, True]
    assert find(asset).read_bytes() == content


def test_wrong_mirror_file_is_named_and_kept(asset_of, content, tmp_path, monkeypatch):
    file = put_in_mirror(monkeypatch, tmp_path / "mirror", b"other")
    asset = asset_of(content)
    with pytest.raises(ProbeError) as error:
        fetch_asset(asset)
    message = str(error.value)
    assert str(file) in message
    assert "replace that file" in message
    assert asset.hash in message
    assert hashlib.sha256(b"other").hexdigest() in message
    assert "\n" not in message
    assert file.read_bytes() == b"other"
    assert leftovers() == []


@pytest.mark.parametrize("scheme", ["sha256", "sha1", "sha256-prefix"])
def test_tampered_cache_file_is_found_though_size_and_mtime_are_restored(
    server, asset_of, content, scheme
):
    server.content = content
    asset = asset_of(content, scheme=scheme)
    path = fetch_asset(asset)
    stat = path.stat()
    with open(path, "r+b") as opened:
        opened.write(b"\xff")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    with pytest.raises(ProbeError, match=r"file\.bin has sha.*expected sha.*run again"):
        fetch_asset(asset)
    assert leftovers() == []
    assert fetch_asset(asset).read_bytes() == content  # as the message says


def test_touched_but_unchanged_cache_file_is_good(server, asset_of, content):
    server.content = content
    path = fetch_asset(asset_of(content))
    os.utime(path, (0, 0))
    assert not listing()[0].verified
    assert fetch_asset(asset_of(content)) == path
    assert listing()[0].verified


def test_garbled_record_costs_a_full_check_only(server, asset_of, content):
    server.content = content
    path = fetch_asset(asset_of(content))
    record_path(path).write_text("[1")
    assert fetch_asset(asset_of(content)) == path
    record_path(path).unlink()
    path.write_bytes(b"other")
    with pytest.raises(ProbeError, match="expected"):
        fetch_asset(asset_of(content))


def test_restricted_licence_is_asked_for_before_a_download_only(
    server, asset_of, content, tmp_path, monkeypatch
):
    server.content = content
    asset = asset_of(
        content, restricted=True, licence="GPL-9", note="Cite us.", homepage="https://example.org"
    )
    with pytest.raises(ProbeError) as error:
        fetch_asset(asset)
    for part in ("GPL-9", "Cite us", "https://example.org", "--accept-licence"):
        assert part in str(error.value)
    assert server.asked == []
    path = fetch_asset(asset, accept_licence=True)
    assert fetch_asset(asset) == path  # the user's already
    path.unlink()
    put_in_mirror(monkeypatch, tmp_path / "mirror", content)
    assert fetch_asset(asset) == path


def test_offline_message_names_what_was_tried_and_the_ways_out(asset_of, content, monkeypatch):
    asset = asset_of(content, url="http://127.0.0.1:9/file.bin")
    with pytest.raises(Unavailable) as error:
        fetch_asset(asset)
    message = str(error.value)
    for part in (
        "things/file.bin",
        str(asset.path),
        "PROBE_MIRROR is not set",
        "http://127.0.0.1:9/file.bin (connection refused)",
        "connect",
        "mirror folder",
        "`probe assets add FILE`",
    ):
        assert part in message
    assert "\n" not in message
    assert leftovers() == []


def test_missing_mirror_file_and_address_are_named(asset_of, content, tmp_path, monkeypatch):
    monkeypatch.setenv("PROBE_MIRROR", str(tmp_path / "nowhere"))
    with pytest.raises(Unavailable, match=r"mirror .*nowhere.*no address is known"):
        fetch_asset(asset_of(content, url=None))


def test_file_url(asset_of, content, tmp_path):
    source = tmp_path / "a file.bin"
    source.write_bytes(content)
    assert fetch_asset(asset_of(content, url=source.as_uri())).read_bytes() == content
    with pytest.raises(Unavailable, match="no such file"):
        fetch_asset(Asset("things", "x", "sha1:" + "0" * 40, url=(tmp_path / "none").as_uri()))


def test_cache_that_cannot_be_written(asset_of, content, tmp_path, monkeypatch):
    (tmp_path / "flat").write_text("")
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path / "flat"))
    with pytest.raises(ProbeError, match=r"flat.*cannot be written.*PROBE_CACHE"):
        fetch_asset(asset_of(content))


def test_two_processes_at_once_get_one_whole_file(server, asset_of, content):
    server.content = content
    asset = asset_of(content)
    code = (
        "from probe.assets import *\n"
        f"p = fetch_asset(Asset('things', 'file.bin', {asset.hash!r}, url={asset.url!r}))\n"
        "print(len(p.read_bytes()))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [p.communicate()[0].strip() for p in processes] == [str(len(content))] * 2
    assert len(server.asked) == 1
    assert leftovers(["file.bin"]) == [".file.bin.check.json"]


def test_add_recognises_by_content_under_any_name(asset_of, content, tmp_path):
    mine = tmp_path / "download (3).tmp"
    mine.write_bytes(content)
    asset = asset_of(content)
    assert add(mine, [asset]) == [asset.path]
    assert find(asset).read_bytes() == content
    assert [(c.collection, c.name, c.size, c.verified) for c in listing()] == [
        ("things", "file.bin", len(content), True)
    ]
    assert mine.exists()


def test_add_refuses_the_unknown(asset_of, content, tmp_path):
    mine = tmp_path / "file.bin"
    mine.write_bytes(b"other")
    found = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(ProbeError, match=rf"{found}.*should have sha256"):
        add(mine, [asset_of(content)])
    with pytest.raises(ProbeError, match=rf"{found}.*none of the"):
        add(mine)
    with pytest.raises(ProbeError, match="cannot be read"):
        add(tmp_path / "nothing")
    assert listing() == []


def test_manifest_files(monkeypatch, content, tmp_path):
    file = SimpleNamespace(
        name="file.bin", url=None, checksum=("sha1", hashlib.sha1(content).hexdigest())
    )
    manifest = SimpleNamespace(
        name="things",
        files=(file,),
        homepage="https://example.org",
        licence=SimpleNamespace(name="MIT", restricted=False, note=""),
    )
    put_in_mirror(monkeypatch, tmp_path / "mirror", content)
    assert fetch(manifest, "file.bin").read_bytes() == content
    with pytest.raises(
        ProbeError, match=r"'things' has no file 'fil.bin'; did you mean 'file.bin'"
    ):
        fetch(manifest, "fil.bin")
    assert {asset.collection for asset in manifest_assets()} >= {"cowley2023", "cichy2014"}


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a\\b"])
def test_names_with_folders_are_refused(name):
    with pytest.raises(ValueError, match="not a plain file name"):
        Asset("things", name, "sha1:" + "0" * 40)


def test_a_derived_file_that_another_process_made_meanwhile_is_kept():
    """Not to the byte the same, it would contradict the record that the other one has read."""

    def slowly():
        derive("converted", "x.bin", lambda: b"theirs")
        return b"ours"

    path = derive("converted", "x.bin", slowly)
    assert path.read_bytes() == b"theirs"
    assert derive("converted", "x.bin", slowly) == path


def test_derived_file_is_made_once_and_held_to_its_record():
    made = []

    def make():
        made.append(1)
        return b"content"

    path = derive("converted", "x.bin", make)
    assert derive("converted", "x.bin", make) == path
    assert made == [1]
    stat = path.stat()
    path.write_bytes(b"tampere")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(ProbeError, match=r"x\.bin has sha256.*run again"):
        derive("converted", "x.bin", make)
    assert not path.exists()
    assert derive("converted", "x.bin", make).read_bytes() == b"content"
    record_path(path).unlink()  # nobody knows any more what it is
    derive("converted", "x.bin", make)
    assert made == [1, 1, 1]
