"""What each element of a tensor depends on, or stands for: its window of the picture, or its home.

Windows and homes lie beside a tensor in tensors of as many dimensions, of length 1 along those
along which they are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

NOTHING = torch.tensor(math.inf, dtype=torch.float64)
"""The edge of a window without pixels."""


@dataclass(frozen=True)
class Field:
    """The windows of a tensor's elements, or their homes.

    Attributes
    ----------
    edges : tuple of torch.Tensor
        First row, first column, minus the last row, minus the last column, so that the common
        window of several is the minimum of each; infinite where there is none. Each has as many
        dimensions as the tensor, and length 1 along those along which it is the same. Empty where
        homes are traced.
    homes : tuple of torch.Tensor
        Picture, row and column that an element stands for, in the same form. Empty where windows
        are traced.
    jump : tuple of (float or None)
        Down and across, for maps of one row or column, whose edges do not tell.
    pairs : bool
        Whether elements stand for pairs of places, as the weights of attention do; homes are those
        of the first place.
    """

    edges: tuple[Tensor, ...] = ()
    homes: tuple[Tensor, ...] = ()
    jump: tuple[float | None, float | None] = (None, None)
    pairs: bool = False

    def each(self, function: Callable[[Tensor], Tensor]) -> Field:
        """Apply a function to all edges and homes."""
        edges = tuple(function(edge) for edge in self.edges)
        return replace(self, edges=edges, homes=tuple(function(home) for home in self.homes))

    def over(self, *dims: int) -> Field:
        """Combine all along some dimensions."""
        return self.each(lambda edge: edge.amin(dims, keepdim=True))

    def mixed(self, *dims: int) -> Field:
        """Combine windows along some dimensions, each element staying what it stands for."""
        return replace(self, edges=tuple(edge.amin(dims, keepdim=True) for edge in self.edges))

    def together(self) -> Field:
        """Return what depends on all elements."""
        return self.each(lambda edge: edge.amin().reshape(())).still()

    def still(self) -> Field:
        """Forget how far apart neighbours are."""
        return replace(self, jump=(None, None))


def pixel_windows(picture: Tensor) -> Field:
    """Return the windows of pixels: themselves."""
    rows = torch.arange(picture.shape[-2], dtype=torch.float64).view(1, 1, -1, 1)
    columns = torch.arange(picture.shape[-1], dtype=torch.float64).view(1, 1, 1, -1)
    return Field((rows, columns, -rows, -columns), jump=(1.0, 1.0))


def pixel_homes(pictures: Tensor) -> Field:
    """Return the homes of pixels."""
    n, _, height, width = pictures.shape
    shapes = ((-1, 1, 1, 1), n), ((1, 1, -1, 1), height), ((1, 1, 1, -1), width)
    return Field(
        homes=tuple(torch.arange(k, dtype=torch.float64).view(shape) for shape, k in shapes)
    )


def union(fields: Sequence[Field]) -> Field:
    """Return the common windows, and homes, of what is combined of several."""
    edges = zip(*(field.edges for field in fields), strict=True)
    homes = [common_home(parts) for parts in zip(*(field.homes for field in fields), strict=True)]
    jumps = zip(*(field.jump for field in fields), strict=True)
    down, across = (next((j for j in axis if j is not None), None) for axis in jumps)
    return Field(
        tuple(_minimum(parts) for parts in edges),
        tuple(home for home, _ in homes),
        (down, across),
        any(field.pairs for field in fields) or any(pairs for _, pairs in homes),
    )


def common_home(parts: Sequence[Tensor]) -> tuple[Tensor, bool]:
    """Return the home of what is combined of several, and whether it is a pair of places.

    A gate that is the same everywhere leaves what it multiplies where it is.
    """
    along = [{d - part.ndim for d, n in enumerate(part.shape) if n > 1} for part in parts]
    most = max(range(len(parts)), key=lambda k: len(along[k]))
    return parts[most], any(not dims <= along[most] for dims in along)


def _minimum(edges: Sequence[Tensor]) -> Tensor:
    first, *others = edges
    for other in others:
        first = torch.minimum(first, other)
    return first


def view_of(elements: Tensor, tensor: Tensor) -> Tensor:
    """Return those elements of a storage that a tensor shows."""
    return elements.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


def filled_in(home: Tensor) -> Tensor:
    """Take what nobody wrote, such as a border, to be in the row, column or picture that it is in.

    What is in none of them, such as a class token, stays so.
    """
    for dim in range(home.ndim if home.isinf().any() else 0):
        along = home.amin([d for d in range(home.ndim) if d != dim], keepdim=True)
        if ((home == along) | home.isinf()).all():
            return along
    return home


def opened(edge: Tensor, ndim: int) -> Tensor:
    """Return an edge as many dimensions as its tensor."""
    return edge.reshape((1,) * (ndim - edge.ndim) + tuple(edge.shape))


def compact(edge: Tensor) -> Tensor:
    """Cut a dimension along which nothing changes to length 1."""
    for dim, length in enumerate(edge.shape):
        if length > 1:
            one = edge.narrow(dim, 0, 1)
            if edge.stride(dim) == 0 or bool((edge == one).all()):
                edge = one
    return edge


def flat(values: Any) -> Iterator[Any]:
    """Iterate over lists and tuples within each other."""
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from flat(value)
        else:
            yield value
