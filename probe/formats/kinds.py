"""What kind of file is this: told by how it begins, not by how it is called."""

from __future__ import annotations

import gzip
import struct
import zipfile
import zlib
from pathlib import Path

MATLAB_5, MATLAB_73 = "MATLAB 5", "MATLAB 7.3"
NWB, NETCDF, NETCDF_CLASSIC, HDF5 = "NWB", "netCDF", "classic netCDF", "HDF5"
FIF, EEGLAB = "FIF", "EEGLAB"
NPY, NPZ, TABLE, PARQUET = "NumPy array", "NumPy archive", "table", "Parquet table"
NIFTI, GIFTI = "NIfTI", "GIfTI"

IMAGE_ENDINGS = (".nii", ".nii.gz", ".gii", ".gii.gz", ".img", ".hdr", ".img.gz", ".mgh", ".mgz")
"""How files of brain images are called, of any kind."""

_SIGNATURES = (
    (b"\x93NUMPY", NPY),
    (b"PK\x03\x04", NPZ),
    (b"CDF\x01", NETCDF_CLASSIC),
    (b"CDF\x02", NETCDF_CLASSIC),
    (b"CDF\x05", NETCDF_CLASSIC),
    (b"PAR1", PARQUET),
    (b"MATLAB 5.0", MATLAB_5),
    (b"\x00\x00\x00\x64\x00\x00\x00\x1f", FIF),  # the tag of a file's id, and its type
)
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_GZIP = b"\x1f\x8b"
_ZARR = ("zarr.json", ".zgroup", ".zattrs", ".zmetadata")


def kind_of(path: Path) -> str:
    """Return the kind of a file of recorded data, one of the constants above.

    Nothing is unpickled and nothing is run.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the file is not there, or only a stand-in for it is (a pointer of Git LFS or git-annex,
        an empty file, a broken link), or it is of a kind that is not read; the message says what
        to do.
    """
    if path.is_symlink() and not path.exists():
        if "annex/objects" in str(path.readlink()):
            raise ValueError(f"is a link of git-annex whose data are not here: {_ANNEX_GET}")
        raise ValueError(f"is a broken link to {str(path.readlink())!r}")
    if path.is_dir():
        if any((path / name).exists() for name in _ZARR):
            raise ValueError(
                "is a Zarr store: NWB on Zarr needs hdmf-zarr; export it to HDF5 "
                "(pynwb.NWBHDF5IO(…).export) and import that file"
            )
        raise ValueError("is a folder without images: name the file that holds the responses")
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except FileNotFoundError:
        raise ValueError("does not exist") from None
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    if not head:
        raise ValueError("is empty (0 bytes): the data are not here, download the file again")
    if head.startswith(b"version https://git-lfs"):
        raise ValueError("is a pointer of Git LFS, not the data: run `git lfs pull`")
    if len(head) < 1024 and b"annex/objects/" in head:
        raise ValueError(f"is a pointer of git-annex, not the data: {_ANNEX_GET}")
    suffix = path.suffix.lower()
    if suffix == ".set" and head.startswith((b"MATLAB", _HDF5_SIGNATURE)):
        return EEGLAB
    if head.startswith(_GZIP) and path.name.lower().endswith(".fif.gz"):
        head = _unpacked(path)
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind if kind != NPZ else _archive(path)
    head_is_matlab = head.startswith(b"MATLAB 7.3")
    if head_is_matlab or _HDF5_SIGNATURE in (head[:8], head[512:520]):
        return _hdf5(path, head_is_matlab)
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        raise ValueError("is a pickle, which could run any program: it is not opened; save arrays")
    if (image := _image(head, path)) is not None:
        return image
    if head.startswith(_GZIP) and not path.name.lower().endswith(".fif.gz"):
        raise ValueError("is compressed with gzip: unpack it first")
    if suffix == ".mat":
        return MATLAB_5  # version 4 has no signature
    if suffix in (".csv", ".tsv"):
        return TABLE
    named = (".nwb", ".nc", ".h5", ".hdf5", ".npy", ".npz", ".parquet", ".fif", ".set")
    if suffix in named or path.name.lower().endswith(".fif.gz"):
        suffix = suffix if suffix in named else ".fif.gz"
        raise ValueError(f"is called {suffix} but is no such file: it may be cut or damaged")
    raise ValueError(
        "is of a kind that is not read: expected NWB, MATLAB, netCDF, HDF5, NIfTI, GIfTI, FIF, "
        ".set, .npy, .npz, .csv, .tsv or .parquet"
    )


def _image(head: bytes, path: Path) -> str | None:
    """Return the kind of a brain image; None of what is none."""
    name = path.name.lower()
    if name.endswith((".mgh", ".mgz")):
        raise ValueError(
            "is FreeSurfer's own format: convert it first, `mri_convert FILE.mgz FILE.nii.gz`"
        )
    if name.endswith((".img", ".img.gz")):
        raise ValueError(f"is half of a pair of .hdr and .img: {_ONE_FILE}")
    if head.startswith(b"\x1f\x8b"):
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, 600)
        except zlib.error:
            head = b""
    if b"<GIFTI" in head or (name.endswith((".gii", ".gii.gz")) and head.startswith(b"<?xml")):
        if name.endswith(".gz"):
            raise ValueError("is compressed with gzip: unpack it first")
        return GIFTI
    for order in "<>":
        size = struct.unpack(f"{order}i", head[:4])[0] if len(head) >= 4 else 0
        if size == 540 and head[4:7] == b"n+2":
            intent = struct.unpack(f"{order}i", head[504:508])[0] if len(head) >= 508 else 0
            if 3000 <= intent < 3100:
                raise ValueError(
                    "is a CIFTI file, of surfaces and volumes in one: take it apart first, with "
                    "`wb_command -cifti-separate`, into .func.gii and .nii.gz"
                )
            return NIFTI
        if size == 348 and head[344:347] == b"n+1":
            return NIFTI
        if size in (348, 540) and len(head) >= 348:
            raise ValueError(f"is the header of a pair of .hdr and .img: {_ONE_FILE}")
    if name.endswith((".nii", ".nii.gz", ".gii", ".gii.gz", ".hdr")):
        suffix = next(one for one in IMAGE_ENDINGS[::-1] if name.endswith(one))
        raise ValueError(f"is called {suffix} but is no such file: it may be cut or damaged")
    return None


_ONE_FILE = (
    "save it as one file first, nibabel.save(nibabel.load('FILE.img'), 'FILE.nii.gz'), and look "
    "that left is left"
)
_ANNEX_GET = "run `git annex get` (or `datalad get`)"


def _unpacked(path: Path) -> bytes:
    """Return the first bytes of a compressed file."""
    try:
        with gzip.open(path) as file:
            return file.read(64)
    except (OSError, EOFError, zlib.error):
        raise ValueError("is a .fif.gz that is cut or damaged") from None


def _archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        raise ValueError("is a zip archive that is cut or damaged") from None
    if names and all(name.endswith(".npy") for name in names):
        return NPZ
    raise ValueError("is a zip archive of other files than arrays: unpack it first")


def _hdf5(path: Path, head_is_matlab: bool) -> str:
    import h5py  # only here: it takes a while to import

    try:
        with h5py.File(path, "r") as file:
            if "nwb_version" in file.attrs:
                return NWB
            if "_NCProperties" in file.attrs:
                return NETCDF
            items = [file[name] for name in file if not name.startswith("#")]
            # MATLAB writes both; only of its files is it known that the axes are reversed.
            if head_is_matlab or any("MATLAB_class" in item.attrs for item in items):
                return MATLAB_73
            if any(item.attrs.get("CLASS") == b"DIMENSION_SCALE" for item in items):
                return NETCDF
    except (OSError, KeyError, RuntimeError):
        raise ValueError("is an HDF5 file that is cut or damaged") from None
    return HDF5
