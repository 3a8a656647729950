"""Pictures inside a zip archive, read one by one and never unpacked."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from probe.errors import ProbeError
from probe.images import Unreadable

_HEADER = 30
"""Bytes before a member's name, where its content is; two lengths at their end."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file inside a zip archive.

    It holds no open file, only where its bytes lie: threads and processes may share it, and
    reading one member of a hundred thousand does not read the archive's directory again.

    Attributes
    ----------
    archive : pathlib.Path
        The zip file.
    name : str
        The path inside.
    offset, packed_size, size : int
        Where it starts, how long it is there and once unpacked; in bytes.
    method, crc : int
        How it is compressed, and the checksum of what it unpacks to.
    encrypted : bool
        Whether it wants a password.
    """

    archive: Path
    name: str
    offset: int
    packed_size: int
    size: int
    method: int
    crc: int
    encrypted: bool

    def __str__(self) -> str:
        return f"{self.archive}/{self.name}"

    def read(self) -> bytes:
        """Read and unpack it, in memory.

        Raises
        ------
        Unreadable
            If it is encrypted, damaged, or compressed in another way than zip files usually are.
        """
        if self.encrypted:
            raise Unreadable(str(self), "it is encrypted")
        if self.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unreadable(str(self), f"compressed by method {self.method}, not by deflate")
        try:
            with self.archive.open("rb") as file:
                file.seek(self.offset)
                header = file.read(_HEADER)
                name_length = int.from_bytes(header[26:28], "little")
                file.seek(name_length + int.from_bytes(header[28:30], "little"), 1)
                packed = file.read(self.packed_size)
            if self.method == zipfile.ZIP_DEFLATED:
                # No more than what is wanted: a few bytes can unpack to gigabytes.
                content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, self.size + 1)
            else:
                content = packed
        except OSError as error:
            raise Unreadable(str(self), error.strerror or str(error)) from None
        except zlib.error as error:
            raise Unreadable(str(self), f"damaged in the archive: {error}") from None
        if len(content) != self.size or zlib.crc32(content) != self.crc:
            raise Unreadable(str(self), "damaged in the archive: it does not fit its checksum")
        return content


def members(path: Path) -> list[Member]:
    """List the files in a zip archive, in the order in which they lie there.

    Raises
    ------
    ProbeError
        If it is no zip archive, or a damaged one.
    """
    try:
        with zipfile.ZipFile(path) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir()]
    except Exception as error:  # zipfile lets many kinds through on a broken file
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, OSError) and error.strerror:
            reason = error.strerror
        raise ProbeError(f"archive {str(path)!r} cannot be read ({reason})") from None
    return [
        Member(
            path,
            entry.filename,
            entry.header_offset,
            entry.compress_size,
            entry.file_size,
            entry.compress_type,
            entry.CRC,
            bool(entry.flag_bits & 1),
        )
        for entry in entries
    ]
