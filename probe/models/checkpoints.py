"""Files that hold weights, in the forms in which people keep them; none runs what it says."""

from __future__ import annotations

import _compat_pickle
import json
import pickle
import pickletools
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from probe.assets import derive
from probe.errors import ProbeError
from probe.formats.pickles import read_arrays

_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How a file of torch before 1.6 begins: its magic number, pickled."""

_NO_WEIGHTS = (  # how a file begins, what it is, and what would work
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "run `git lfs pull`"),
    (b"\x1f\x8b", "compressed with gzip", "unpack it with `gunzip`"),
    (b"BZh", "compressed with bzip2", "unpack it with `bunzip2`"),
    (b"\xfd7zXZ\x00", "compressed with xz", "unpack it with `unxz`"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it with `unzstd`"),
    (b"\x89HDF\r\n", "an HDF5 file, as Keras writes them", "convert it to a state dict"),
    (b"GGUF", "a GGUF file", "convert it to a state dict"),
)

_SCRIPT = "save its weights alone: torch.save({state}, 'weights.pth')"


@dataclass(frozen=True)
class PublishedState:
    """A state dict, and where it came from.

    Attributes
    ----------
    state : dict of str to Tensor
        Names and shapes as in the architecture; perhaps only a part of it.
    source : str
        For people.
    file_sha256 : str or None
        Of the file that the weights were published in; None where there are several.
    licence : str
        Empty where it is not known.
    reason : str
        Why it came from there, where another source comes first; otherwise empty.
    """

    state: dict[str, Tensor]
    source: str
    file_sha256: str | None
    licence: str = ""
    reason: str = ""


def read_checkpoint(path: Path) -> Any:
    """Read a file of weights: dictionaries and lists of tensors, arrays and plain values.

    Read are what torch.save writes, safetensors, the index of sharded safetensors, .npz, and
    pickled numpy arrays, told by their content and not their name. Of a pickle, only tensors,
    arrays and plain values become what they were. For an object of any other class, such as the
    arguments that a training script keeps beside the weights, stands an empty dictionary with the
    object's attributes: no code of a class is ever run.

    Parameters
    ----------
    path : pathlib.Path

    Raises
    ------
    ProbeError
        If the file cannot be read, or is of another kind; the message says which.
    """
    if path.is_dir():
        raise ProbeError(f"weights {str(path)!r} are a folder: name the file in it")
    try:
        with open(path, "rb") as opened:
            head = opened.read(4096)
        size = path.stat().st_size
        reader = _reader(path, head, size)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            return reader(path)
    except ProbeError:
        raise
    except OSError as error:
        raise ProbeError(f"weights {str(path)!r} cannot be read ({error.strerror})") from None
    except Exception as error:  # torch, safetensors and numpy raise many kinds
        # Behind torch's heading is the reason; it goes on with advice to read unsafely.
        reason = re.sub(r"\x1b\[\d+m", "", str(error).split("\n")[0])[:160]
        raise _unreadable(
            path, f"{type(error).__name__}: {reason}", "get it again, or save its state dict anew"
        ) from None


def stands_for(content: object) -> str | None:
    """Return the class for whose object a dictionary stands; None for a real dictionary."""
    return getattr(content, "_stands_for", None)


def _unreadable(path: Path, what: str, remedy: str) -> ProbeError:
    return ProbeError(f"weights {str(path)!r} cannot be read safely ({what}): {remedy}")


def _reader(path: Path, head: bytes, size: int) -> Callable[[Path], Any]:
    """Choose what reads a file, by how it begins."""
    for beginning, what, remedy in _NO_WEIGHTS:
        if head.startswith(beginning):
            raise _unreadable(path, f"it is {what}", remedy)
    if not head:
        raise _unreadable(path, "it is empty", "get it again")
    if head.startswith(b"PK"):
        return _zip_reader(path)
    if head.startswith(_LEGACY):
        return _read_torch
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and length < 100_000_000:  # what safetensors itself admits
        if size < 8 + length:
            raise _unreadable(path, "it is cut off", "get it again")
        return _read_safetensors
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise _unreadable(
            path, "it is a web page, such as an error that came instead of it", "get it again"
        )
    if text.startswith(b"{") and path.suffix == ".json":
        return _read_index
    if head.startswith(b"\x80"):
        return _read_pickle
    if path.suffix == ".onnx" or (head.startswith(b"\x08") and b"pytorch" in head[:64]):
        raise _unreadable(
            path, "it is an ONNX model", "take the state dict of the network that it came from"
        )
    if head[257:262] == b"ustar":
        raise _unreadable(path, "it is a tar archive", "unpack it with `tar -xf`")
    raise _unreadable(
        path,
        "it is of no kind that is known",
        "give a state dict as torch.save, safetensors or numpy.savez writes it",
    )


def _zip_reader(path: Path) -> Callable[[Path], Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        raise _unreadable(path, "it is cut off or damaged", "get it again") from None
    inside = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inside:
        state = "torch.jit.load(PATH).state_dict()"
        raise _unreadable(path, "it is a TorchScript program", _SCRIPT.format(state=state))
    if "data.pkl" in inside:
        return _read_torch
    if "archive_format" in inside or any("exported_program" in name for name in names):
        state = "torch.export.load(PATH).state_dict"
        raise _unreadable(path, "it is a program of torch.export", _SCRIPT.format(state=state))
    if names and all(name.endswith(".npy") for name in names):
        return _read_npz
    raise _unreadable(path, f"it is a zip archive of {len(names)} files", "unpack it")


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    shard = re.fullmatch(r"(.+)-\d{5}-of-(\d{5})(\.\w+)", path.name)
    if shard is not None and int(shard[2]) > 1:
        index = f"{shard[1]}{shard[3]}.index.json"
        raise ProbeError(
            f"weights {str(path)!r} are one of {int(shard[2])} parts: name their index, {index}"
        )
    try:
        return load_file(path)
    except SafetensorError as error:
        if "not fully covered" in str(error):
            raise _unreadable(path, "it is cut off or damaged", "get it again") from None
        raise


def _read_index(path: Path) -> Any:
    """Read all files that an index of sharded weights names; they lie beside it."""
    index = json.loads(path.read_text(encoding="utf-8"))
    files = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(files, dict) or not all(isinstance(f, str) for f in files.values()):
        raise _unreadable(path, "it is JSON, and no index of weights", "name a file of weights")
    state: OrderedDict[str, Any] = OrderedDict()
    for file in dict.fromkeys(files.values()):
        shard = path.parent / file
        if Path(file).name != file or not shard.is_file():
            raise ProbeError(f"weights {str(path)!r} lack their part {file!r}, which lies beside")
        with open(shard, "rb") as opened:
            head = opened.read(4096)
        kind = _reader(shard, head, shard.stat().st_size)
        if kind is _read_safetensors:
            from safetensors.torch import load_file

            tensors = load_file(shard)
        else:
            tensors = kind(shard)
        for name in (name for name, home in files.items() if home == file):
            if name not in tensors:
                raise ProbeError(f"weights {str(shard)!r} lack {name!r}, which {path.name} names")
            state[name] = tensors[name]
    return state


def _read_npz(path: Path) -> Any:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _read_pickle(path: Path) -> Any:
    try:
        return read_arrays(path.read_bytes())
    except pickle.UnpicklingError as error:
        raise _unreadable(
            path,
            f"it is a plain pickle, and {error}",
            "save a state dict with torch.save or safetensors",
        ) from None


def _read_torch(path: Path) -> Any:
    registered = torch.serialization.get_safe_globals()  # the user's own, which stay
    names = {_full_name(each) for each in registered}
    ours = [each for each in (*_NUMPY, *_stand_ins(path)) if _full_name(each) not in names]
    with torch.serialization.safe_globals(ours):
        return torch.load(path, map_location="cpu", weights_only=True)


def _full_name(registered: Any) -> str:
    if isinstance(registered, tuple):
        return str(registered[1])
    return f"{registered.__module__}.{registered.__qualname__}"


def _numpys_own() -> list[Any]:
    """Return what torch's safe reader needs to know for arrays and scalars of numpy."""
    rebuild = np.zeros(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    allowed: list[Any] = [np.ndarray, np.dtype]
    allowed += dict.fromkeys(type(np.dtype(code)) for code in "?bhilqBHILQefdgFDGSUOmM")
    for home in ("numpy.core.multiarray", "numpy._core.multiarray"):  # numpy 1 and 2
        allowed += [(rebuild, f"{home}._reconstruct"), (scalar, f"{home}.scalar")]
    return allowed


_NUMPY = _numpys_own()
_KNOWN = {_full_name(each) for each in _NUMPY}


def _stand_ins(path: Path) -> Iterator[tuple[Any, str]]:
    """Yield something inert for every class and function that a file of torch names.

    Where torch's safe reader knows one itself, such as a tensor's, it takes its own.
    """
    with open(path, "rb") as opened:
        if opened.read(2) == b"PK":
            with zipfile.ZipFile(path) as archive:
                name = next(n for n in archive.namelist() if n.partition("/")[2] == "data.pkl")
                with archive.open(name) as pickled:
                    named = _globals(pickled)
        else:
            opened.seek(0)
            # Before the content are a magic number, the protocol, and the system's traits.
            named = set().union(*(_globals(opened) for _ in range(4)))
    yield (lambda items=(), _longest=None: list(items)), "collections.deque"
    for full in named - _KNOWN - {"collections.deque"}:
        yield _stand_in(full), full


def _globals(pickled: IO[bytes]) -> set[str]:
    named = set()
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            # As Python 2 called them, torch reads them under today's names.
            module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
            named.add(f"{_compat_pickle.IMPORT_MAPPING.get(module, module)}.{name}")
    return named


def _stand_in(full: str) -> type:
    """Make a class whose objects are dictionaries that say for what they stand, and do nothing."""

    def new(cls: type, *arguments: Any, **_options: Any) -> OrderedDict[Any, Any]:
        instead: Any = OrderedDict()
        # Where a function makes the object, its class comes first.
        inert = arguments[:1] and getattr(arguments[0], "inert", False)
        instead._stands_for = arguments[0].full if inert else full
        return instead

    return type("Inert", (), {"__new__": new, "inert": True, "full": full})


def learned_state(
    collection: str, name: str, learn: Callable[[], Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """Return what a recipe of ours learns: the first time it is made, and kept in the cache.

    Parameters
    ----------
    collection, name : str
        Its folder and its file in the cache; the name tells seeds and versions apart.
    learn : callable
        Returns a state dict.
    """

    def make() -> bytes:
        from safetensors.torch import save

        return save({key: value.contiguous() for key, value in learn().items()})

    return read_state(derive(collection, f"{name}.safetensors", make))


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a published state dict, never running what its file says.

    Floating-point tensors become float32.

    Raises
    ------
    ProbeError
        If the file cannot be read, or holds no state dict.
    """
    state = read_checkpoint(path)
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ProbeError(f"weights {str(path)!r} hold no state dict (names and tensors)")
    for key, value in state.items():  # in place: torch's own dict carries version numbers
        if value.is_floating_point():
            state[key] = value.float()
    return state
