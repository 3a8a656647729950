"""Which axis of an array is which: known from the file or the user, never guessed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from probe.errors import ProbeError
from probe.recordings.importing.options import AXIS_WORDS
from probe.recordings.importing.presented import Axis

SINGLE = "single"

PLURALS = {"neuroid": "neuroids", "repetition": "repetitions", "time": "time bins"}

_KIND_OF = {word: kind for kind, words in AXIS_WORDS.items() for word in words}


def axes_as_said(
    shape: Sequence[int],
    kinds: Sequence[str],
    lengths: Mapping[str, tuple[int, str]],
    where: str,
    *,
    drops_last: bool,
) -> tuple[Axis, ...]:
    """Return the axes that a user named.

    Parameters
    ----------
    shape : sequence of int
        Of the array.
    kinds : sequence of str
        What the user says of its axes.
    lengths : mapping of str to (int, str)
        Of some kinds, what length they have, and what has that length.
    where : str
        What errors call the array.
    drops_last : bool
        Whether axes of length 1 at the end are not kept in the file, as MATLAB does.

    Raises
    ------
    ProbeError
        If the array has another number of axes, or they have other lengths.
    """
    sizes = list(shape)
    if drops_last:
        sizes += [1] * (len(kinds) - len(sizes))
    if len(sizes) != len(kinds):
        raise ProbeError(
            f"{where} has {len(sizes)} axes, of lengths {_shown(shape)}, and --axes names "
            f"{len(kinds)}: {','.join(kinds)}"
        )
    for kind, size in zip(kinds, sizes, strict=True):
        length, source = lengths.get(kind, (size, ""))
        if length != size:
            raise ProbeError(
                f"{where} has axes of lengths {_shown(shape)}: --axes calls the one of {size} "
                f"{kind!r}, and {source} has {length}"
            )
    return tuple(Axis(k, n, "--axes") for k, n in zip(kinds, sizes, strict=True))


def axes_by_name(shape: Sequence[int], dims: Sequence[str], where: str) -> tuple[Axis, ...]:
    """Return the axes that have names in the file.

    Raises
    ------
    ProbeError
        If a name is unknown, or two names mean the same.
    """
    kinds: list[str] = []
    for name, size in zip(dims, shape, strict=True):
        kind = _KIND_OF.get(name.lower(), SINGLE if size == 1 else "")
        if not kind or (kind != SINGLE and kind in kinds):
            raise ProbeError(
                f"{where} has the axes ({', '.join(dims)}): which is {name!r} cannot be known; say "
                "what they are with --axes, as in --axes presentation,neuroid"
            )
        kinds.append(kind)
    if ("stimulus" in kinds) == ("presentation" in kinds):
        raise ProbeError(
            f"{where} has the axes ({', '.join(dims)}): none is that of presentations or stimuli"
            if "stimulus" not in kinds
            else f"{where} has axes of both stimuli and presentations"
        )
    return tuple(
        Axis(k, n, f"called {name!r} in the file" if k != SINGLE else f"{name!r}, of length 1")
        for k, n, name in zip(kinds, shape, dims, strict=True)
    )


def axes_by_length(
    shape: Sequence[int], lengths: Mapping[str, tuple[int, str]], where: str
) -> tuple[Axis, ...]:
    """Return the axes, where a length fits one only and none is left over.

    An axis that is left is that of the neuroids where presentations and time bins are known: a
    presentation has no repetitions. Axes of length 1 mean nothing.

    Raises
    ------
    ProbeError
        If two readings fit.
    """
    axes: dict[int, Axis] = {}
    for kind, (length, source) in lengths.items():
        fits = [k for k, size in enumerate(shape) if size == length]
        if not fits:
            raise ProbeError(
                f"{where} has axes of lengths {_shown(shape)}, and none fits {source}, which has "
                f"{length}"
            )
        if len(fits) > 1 or fits[0] in axes:
            raise ProbeError(
                f"{where} has axes of lengths {_shown(shape)}, of which more than one may be that "
                f"of {source} ({length}): say which axis is which, "
                f"as in --axes {_example(len(shape), {}, 'presentation' in lengths)}"
            )
        axes[fits[0]] = Axis(kind, length, f"the only one as long as {source}")
    left = [k for k, size in enumerate(shape) if k not in axes and size > 1]
    kinds = {axis.kind for axis in axes.values()}
    if len(left) == 1 and {"presentation", "time"} <= kinds and "neuroid" not in kinds:
        k = left.pop()
        axes[k] = Axis("neuroid", shape[k], "the only one left beside presentations and time bins")
    if left:
        listed = " and ".join(f"of length {shape[k]}" for k in left)
        so_far = "; ".join(map(str, axes.values())) or "nothing"
        possible = _possible(kinds)
        example = f"as in --axes {_example(len(shape), axes, 'presentation' in lengths)}"
        if len(left) == 1 and len(shape) == 2 and kinds == {"presentation"}:
            example = "as in --axes " + " or --axes ".join(
                ",".join(axes[k].kind if k in axes else kind for k in range(len(shape)))
                for kind in possible
            )
        raise ProbeError(
            f"{where} has axes of lengths {_shown(shape)}; known is {so_far}; whether the axis "
            f"{listed} is that of {' or '.join(PLURALS[kind] for kind in possible)} cannot be "
            f"known: say so, {example}"
        )
    for k, size in enumerate(shape):
        axes.setdefault(k, Axis(SINGLE, size, "of length 1: nothing to choose"))
    return tuple(axes[k] for k in range(len(shape)))


def _possible(kinds: Collection[str]) -> list[str]:
    """Return what an axis may be beside axes of some kinds; a presentation has no repetitions."""
    possible = [kind for kind in PLURALS if kind not in kinds]
    if "presentation" in kinds:
        possible.remove("repetition")
    return possible


def _example(n_axes: int, axes: Mapping[int, Axis], presentations: bool) -> str:
    """Return what may be said of the axes of an array; those that are known stand where they do."""
    shown = "presentation" if presentations else "stimulus"
    order = ["neuroid", shown, *([] if presentations else ["repetition"]), "time"]
    order = order[:n_axes] if n_axes > 2 or not presentations else [shown, "neuroid"]
    kinds = {axis.kind for axis in axes.values()}
    rest = iter(kind for kind in order if kind not in kinds)
    return ",".join(axes[k].kind if k in axes else next(rest, SINGLE) for k in range(n_axes))


def _shown(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
