"""Which of the tensors in a checkpoint are a network's, however they are wrapped."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from probe.errors import ProbeError, suggest
from probe.models.architectures import blueprint, build
from probe.models.checkpoints import stands_for
from probe.models.weights import todays_name, without_values

WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""What torch puts around a module: DataParallel, compile, FSDP and activation checkpointing."""

DEEPEST = 6
"""Of dictionaries in dictionaries."""

_AVERAGE = re.compile(r"(^|_)(ema|swa|averaged)(_|$)")


@dataclass(frozen=True, eq=False)
class Part:
    """Tensors of a checkpoint that may be a network's.

    Attributes
    ----------
    keys : tuple of str
        Of the dictionaries in which they lie, from the outside in.
    without : tuple of str
        What is taken away from their names: what torch puts around modules, and a prefix.
    prefix : str
        The prefix alone; empty or ending in a dot.
    state : dict of str to Tensor
        By the names that are left.
    metadata : mapping or None
        The versions of the modules, as torch keeps them with a state dict.
    """

    keys: tuple[str, ...]
    without: tuple[str, ...]
    prefix: str
    state: dict[str, Tensor]
    metadata: Mapping[str, Any] | None

    @property
    def name(self) -> str:
        """What a user calls it, after the ``#`` behind a file's name."""
        return ".".join([*self.keys, *filter(None, [self.prefix.removesuffix(".")])])

    @property
    def is_average(self) -> bool:
        """Whether its name says that it is a moving average of weights."""
        return any(_AVERAGE.search(component) for component in self.name.split("."))

    def described(self) -> str:
        """Return where it is: ``under 'state_dict', without 'model.'``; empty for a plain file."""
        under = f"under {'.'.join(self.keys)!r}" if self.keys else ""
        without = " and ".join(map(repr, self.without))
        return ", ".join(filter(None, [under, without and f"without {without}"]))


@dataclass(frozen=True, eq=False)
class Fit:
    """A part of a checkpoint that is all of a network, or all but its classifier.

    Attributes
    ----------
    part : Part
    module : torch.nn.Module
        The network, with these weights.
    lacking : tuple of str
        Modules of the network without weights in the file: its classifier, if anything.
    classes : int or None
        How many it tells apart, where they are others than the architecture's own.
    said : str
        What was taken, in one line, where there was a choice; else empty.
    """

    part: Part
    module: nn.Module
    lacking: tuple[str, ...] = ()
    classes: int | None = None
    said: str = ""


@dataclass(eq=False)
class _Mismatch:
    """How near a part is to a network, and the first thing in which it differs."""

    fitting: int = -1
    reason: str = ""
    part: Part | None = None
    expected: int = 0


def fit_weights(content: Any, architecture: str, what: str, part: str | None = None) -> Fit:
    """Find a network's weights in the content of a checkpoint, and put them in.

    Prefixes are taken away from names only where then all names and shapes are the network's.

    Parameters
    ----------
    content : object
        What `read_checkpoint` gives.
    architecture : str
        As `blueprint` takes it.
    what : str
        Whose content it is, for messages: ``the weights in 'x.pth'``.
    part : str, optional
        Which of several: the keys and the prefix, or some of them in a row, joined by dots.

    Raises
    ------
    ProbeError
        If nothing in it fits, with the nearest mismatch, or if several parts do.
    """
    dictionaries = list(_dictionaries(content))
    pickled = _pickled_module(content)
    if not dictionaries and pickled is not None:
        raise ProbeError(_of_pickled_module(pickled, what))
    if not dictionaries:
        raise ProbeError(f"{what} hold no state dict (names and tensors), but {_seen(content)}")
    shapes = _shapes(blueprint(architecture))
    parts = [p for located in dictionaries for p in _parts(*located, architecture, shapes)]
    if part is not None:
        names = sorted({p.name for p in parts if p.name and p.state.keys() & shapes.keys()})
        parts = [p for p in parts if _is_named(p, part)]
        if not parts:
            raise ProbeError(f"{what} have no part {part!r}{suggest(part, names)}")
    fits, nearest = [], _Mismatch()
    for candidate in parts:
        outcome = _fit(candidate, architecture, shapes)
        if isinstance(outcome, Fit):
            fits.append(outcome)
        elif outcome.fitting > nearest.fitting:
            nearest = outcome
    if not fits:
        if pickled is not None and nearest.fitting <= 0:
            raise ProbeError(_of_pickled_module(pickled, what))
        raise ProbeError(f"{what} do not fit the architecture {architecture!r}: {_told(nearest)}")
    return _only(fits, what)


def _only(fits: list[Fit], what: str) -> Fit:
    """Choose the one that fits; the trained weights before their moving average."""
    different: list[Fit] = []
    for fit in fits:
        if not any(_equal(fit.part.state, other.part.state) for other in different):
            different.append(fit)
    plain = [fit for fit in different if not fit.part.is_average]
    if len(different) > 1 and len(plain) != 1:
        names = ", ".join(
            repr(fit.part.name) if fit.part.name else "the outermost" for fit in different
        )
        example = next(fit.part.name for fit in reversed(different) if fit.part.name)
        raise ProbeError(
            f"{what} hold {len(different)} sets of weights that fit: {names}; name one behind "
            f"the file, as in FILE#{example}"
        )
    chosen = (plain or different)[0]
    averages = [fit.part.name for fit in different if fit is not chosen]
    notes = [chosen.part.described()]
    if averages:
        notes[0] = notes[0] or "that are not averaged"
        notes.append(
            f"not their moving average under {averages[0]!r} (FILE#{averages[0]} takes it)"
        )
    said = f"took the weights {', '.join(notes)}" if any(notes) else ""
    if chosen.classes is not None:
        said = "; ".join(filter(None, [said, f"for {chosen.classes} classes"]))
    if chosen.lacking:
        lacking = ", ".join(map(repr, chosen.lacking))
        said = "; ".join(filter(None, [said, f"the file has none for {lacking}"]))
    return replace(chosen, said=said)


def _dictionaries(
    content: Any, keys: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor], Mapping[str, Any] | None]]:
    """Yield every dictionary that holds tensors by name, with the keys that lead to it."""
    if len(keys) > DEEPEST:
        return
    if isinstance(content, Mapping):
        tensors = {
            name: value if isinstance(value, Tensor) else _tensor(value)
            for name, value in content.items()
            if isinstance(name, str) and (isinstance(value, Tensor) or _is_array(value))
        }
        if tensors:
            yield keys, tensors, getattr(content, "_metadata", None)
        inner = [(key, value) for key, value in content.items() if isinstance(key, str)]
    elif isinstance(content, (list, tuple)):
        inner = [(str(k), value) for k, value in enumerate(content)]
    else:
        return
    for key, value in inner:
        yield from _dictionaries(value, (*keys, key))


def _is_array(value: object) -> bool:
    return (
        isinstance(value, np.ndarray) and value.dtype.kind in "fiub" and value.dtype.itemsize <= 8
    )


def _tensor(values: np.ndarray) -> Tensor:
    """Copy an array, whatever its byte order."""
    return torch.from_numpy(values.astype(values.dtype.newbyteorder("=")))


def _parts(
    keys: tuple[str, ...],
    held: dict[str, Tensor],
    metadata: Mapping[str, Any] | None,
    architecture: str,
    shapes: Mapping[str, torch.Size],
) -> Iterator[Part]:
    """Yield what is left of a dictionary for each prefix that makes network's names of some."""
    todays = {name: todays_name(name, architecture) for name in held}
    yield from _below(keys, held, todays, (), metadata, shapes)
    wrapped = tuple(f"{w}." for w in WRAPPERS if any(w in name.split(".")[:-1] for name in held))
    bare = {name: _clean(today) for name, today in todays.items()}
    if wrapped and not _collide(bare, held):
        yield from _below(keys, held, bare, wrapped, metadata, shapes)


def _below(
    keys: tuple[str, ...],
    held: Mapping[str, Tensor],
    names: Mapping[str, str],
    wrapped: tuple[str, ...],
    metadata: Mapping[str, Any] | None,
    shapes: Mapping[str, torch.Size],
) -> Iterator[Part]:
    """Yield what lies below each prefix, most of whose names are the network's."""
    state = {names[name]: value for name, value in held.items()}
    votes: dict[str, int] = {"": 0}
    for name in state:
        components = name.split(".")
        for k in range(len(components)):
            if ".".join(components[k:]) in shapes:
                prefix = "".join(f"{c}." for c in components[:k])
                votes[prefix] = votes.get(prefix, 0) + 1
    prefixes = [p for p, count in votes.items() if count >= max(votes.values()) / 2]
    for prefix in prefixes:
        # What lies below a longer prefix is another network, not something that is too much.
        others = tuple(p for p in prefixes if p.startswith(prefix) and p != prefix)
        below = {}
        for name, value in state.items():
            short = name.removeprefix(prefix)
            other = short not in shapes and others and name.startswith(others)
            if name.startswith(prefix) and not other:
                below[short] = value
        versions = None
        if metadata is not None:
            paths = {path: f"{_clean(path) if wrapped else path}." for path in metadata}
            versions = {
                path.removeprefix(prefix).removesuffix("."): metadata[original]
                for original, path in paths.items()
                if path.startswith(prefix)
            }
        without = (*wrapped, prefix) if prefix else wrapped
        yield Part(keys, without, prefix, below, versions)


def _clean(name: str) -> str:
    """Take away what torch puts around modules."""
    return ".".join(component for component in name.split(".") if component not in WRAPPERS)


def _collide(cleaned: Mapping[str, str], held: Mapping[str, Tensor]) -> bool:
    """Return whether two different tensors would get one name."""
    first: dict[str, Tensor] = {}
    for name, value in held.items():
        other = first.setdefault(cleaned[name], value)
        if other is not value and not _same(other, value):
            return True
    return False


def _fit(part: Part, architecture: str, shapes: Mapping[str, torch.Size]) -> Fit | _Mismatch:
    """Put tensors into a blueprint, if they are all that it wants and nothing else."""
    state = dict(part.state)
    if architecture == "googlenet":  # its auxiliary classifiers are left out where it is built
        state = {k: v for k, v in state.items() if not k.startswith(("aux1.", "aux2."))}
    last = list(shapes)[-1]
    lacking = _lacking(state, shapes)
    for path in lacking:  # its place is taken by another kind of head, if by anything
        state = {k: v for k, v in state.items() if not k.startswith(f"{path}.")}
    classes = None
    if last in state and state[last].ndim and 0 < state[last].shape[0] != shapes[last][0]:
        classes = state[last].shape[0]
    module = blueprint(architecture, classes)
    expected = module.state_dict()
    module = _without(module, lacking)
    ours = {k: v for k, v in expected.items() if k.partition(".")[0] not in lacking}
    # torch before 0.4.1 did not count batches, and nothing depends on their number.
    uncounted = [k for k in ours if k.endswith("num_batches_tracked") and k not in state]
    required = {k: v for k, v in ours.items() if k not in uncounted}
    fitting, reason = _compare(state, required)
    mismatch = _Mismatch(fitting, reason, part, len(required))
    if fitting < len(required) / 2:
        return mismatch
    state |= dict.fromkeys(uncounted, torch.tensor(0))
    for name, value in state.items():
        if value.is_floating_point():
            state[name] = value.to_dense().float() if value.is_sparse else value.float()
        elif name in ours and ours[name].is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            mismatch.reason = f"{name!r} is {kind}, and the network computes in float32"
            return mismatch
    # A file's own versions tell torch which old names to bring up to date; a file without any is
    # taken for as old as can be, which a few modules refuse, and then for one of today.
    todays = getattr(expected, "_metadata", {})
    for versions in (part.metadata or {}, *([] if reason else [todays])):
        try:
            _put_in(module, state, versions)
            if architecture.startswith("timm:") and without_values(module):
                # What timm computes while it builds, and keeps in no file, needs real memory.
                with torch.random.fork_rng(devices=[]):
                    module = _without(build(architecture, classes), lacking)
                _put_in(module, state, versions)
        except (RuntimeError, ValueError):
            module = _without(blueprint(architecture, classes), lacking)
            continue
        if empty := without_values(module):
            mismatch.reason = f"{empty[0]!r} is left without a value"
            return mismatch
        return Fit(part, module, lacking, classes)
    return mismatch


def _without(module: nn.Module, lacking: tuple[str, ...]) -> nn.Module:
    """Put something empty where the file has no weights."""
    for path in lacking:
        setattr(module, path, nn.Module())
    return module


def _put_in(module: nn.Module, state: Mapping[str, Tensor], versions: Mapping[str, Any]) -> None:
    ordered: Any = OrderedDict(state)
    ordered._metadata = versions
    module.load_state_dict(ordered, strict=True, assign=True)


def _lacking(state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> tuple[str, ...]:
    """Name the classifier, and Inception's auxiliary one, if the file has nothing of them.

    The network's other tensors must all be there: what has another classifier is still the network.
    """
    ends = dict.fromkeys(["AuxLogits", list(shapes)[-1].partition(".")[0]])
    absent = []
    for path in ends:
        names = [name for name in shapes if name.partition(".")[0] == path]
        if names and not any(name in state for name in names):
            absent.append(path)
    others = [n for n in shapes if n.partition(".")[0] not in absent]
    complete = all(n in state or n.endswith("num_batches_tracked") for n in others)
    return tuple(absent) if others and complete else ()


def _compare(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[int, str]:
    """Count the names and shapes that agree; say, in torch's words, the first that does not."""
    fitting, wrong = 0, ""
    for name, tensor in expected.items():
        if name in state and state[name].shape == tensor.shape:
            fitting += 1
        elif name in state and not wrong:
            sizes = ("×".join(map(str, s)) or "one" for s in (state[name].shape, tensor.shape))
            wrong = "size mismatch for {}: {}, not {}".format(repr(name), *sizes)
    missing = [name for name in expected if name not in state]
    extra = [name for name in state if name not in expected]
    if not wrong and missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        wrong = f"Missing key {missing[0]!r}{more}"
    if not wrong and extra:
        more = f" and {len(extra) - 1} more" if len(extra) > 1 else ""
        wrong = f"Unexpected key {extra[0]!r}{more}"
    return fitting, wrong


def _told(nearest: _Mismatch) -> str:
    part = nearest.part
    if part is None or not nearest.fitting:
        names = [] if part is None else list(part.state)
        return f"none of their names, such as {names[0]!r}, is one of its" if names else "no names"
    where = part.described()
    counted = f"{nearest.fitting} of its {nearest.expected} names and shapes are there"
    return f"{nearest.reason} ({counted}" + (f", {where})" if where else ")")


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


def _is_named(part: Part, text: str) -> bool:
    return f".{text.strip('.')}." in f".{part.name}."


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and bool(torch.equal(one, other))


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)


def _pickled_module(content: Any, deep: int = 0) -> str | None:
    """Find an object that was a module, and return the name of its class."""
    if "_modules" in getattr(content, "__dict__", {}):
        return stands_for(content)
    if deep < DEEPEST and isinstance(content, Mapping):
        inner = (_pickled_module(value, deep + 1) for value in content.values())
        return next((name for name in inner if name), None)
    return None


def _of_pickled_module(name: str, what: str) -> str:
    return (
        f"{what} cannot be read safely (they are a pickled module, {name}, whose code would have "
        "to run): save its weights alone: torch.save(module.state_dict(), 'weights.pth')"
    )


def _seen(content: Any) -> str:
    if isinstance(content, Mapping):
        if {"state", "param_groups"} <= content.keys() or "optimizer" in content:
            return "the state of an optimiser"
        names = ", ".join(repr(key) for key in list(content)[:6])
        return f"a dictionary of {names}" if names else "an empty dictionary"
    if isinstance(content, (list, tuple)):
        kinds = " and ".join(dict.fromkeys(type(each).__name__ for each in content))
        return f"a list of {len(content)} without names ({kinds or 'empty'})"
    return f"one {type(content).__name__}"
