"""Fewer numbers per stimulus: what becomes of a layer's output before it is stored.

A reducer takes the output of one layer for a batch of stimuli and gives a matrix (stimulus,
neuroid). Each says what its values depend on, how many there are, and where they come from.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from probe.activations.components import Components, Values, project
from probe.activations.pooling import Field, weights
from probe.activations.sketch import Sketch, random_words
from probe.errors import ProbeError, suggest
from probe.models.layouts import ORDERS

Shape = tuple[int, ...]
Axes = Sequence[str] | None

EPSILON = 0.1
"""Relative error of squared distances for which ``srp:auto`` chooses the number of sums."""

PCA_STIMULI = 1000
"""Stimuli that principal components are fitted on, unless told otherwise."""


@dataclass(frozen=True)
class Reducer(ABC):
    """What becomes of a layer's output before it is stored.

    Attributes
    ----------
    kind : str
        What `parse` calls it.
    """

    kind: ClassVar[str]
    by_channel: ClassVar[bool] = False
    """Whether it has to know which axis of an output the channels are."""

    @property
    def name(self) -> str:
        """As a user writes it, with what was left open filled in."""
        numbers = [str(value) for what, value in self.key().items() if what in ("k", "n_fit")]
        return f"{self.kind}:{'@'.join(numbers)}" if numbers else self.kind

    def key(self) -> dict[str, Any]:
        """Return everything that decides the values, as plain values; see `from_key`."""
        settings = [f.name for f in fields(self) if f.compare]
        return {"reducer": self.kind, **{name: getattr(self, name) for name in settings}}

    @abstractmethod
    def describe(self) -> str:
        """Describe in one line what the values are, and how far they can be trusted."""

    @abstractmethod
    def n_neuroids(self, shape: Shape) -> int:
        """Count the values that are left of one stimulus' output of this shape."""

    @abstractmethod
    def coords(self, layer: str, shape: Shape, axes: Axes = None) -> dict[str, np.ndarray]:
        """Return where every value comes from.

        Parameters
        ----------
        layer : str
        shape : tuple of int
            Of one stimulus' output.
        axes : sequence of str, optional
            What the axes of ``shape`` are, as in `probe.models.LayerInfo`; by default (channel, y,
            x), (token, channel) or (channel,).

        Returns
        -------
        dict of str to numpy.ndarray, shape (n_neuroids,), int32
            ``channel``, ``y`` and ``x``; ``token`` and ``channel``; or ``component``. Of single
            units of an output whose axes are not known, ``unit``, or nothing where all are kept.
        """

    @abstractmethod
    def reduce(self, layer: str, output: Tensor) -> Tensor:
        """Reduce a batch.

        Parameters
        ----------
        layer : str
        output : torch.Tensor, shape (n, *shape)
            In any memory format and floating-point precision, on any device.

        Returns
        -------
        torch.Tensor, shape (n, n_neuroids), float32
            Contiguous, on the same device. It may share the memory of ``output``.
        """

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Make what all batches need when it is first wanted, and keep it in this process."""
        cached = vars(self).setdefault("_kept", {})
        if key not in cached:
            cached[key] = make()
        return cached[key]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_kept"}


@dataclass(frozen=True)
class Unreduced(Reducer):
    """Every unit, in the order channel, y, x."""

    kind = "none"

    def describe(self) -> str:
        """Describe the values in one line; see `Reducer.describe`."""
        return "every unit of every layer"

    def n_neuroids(self, shape: Shape) -> int:
        """Return how many values are kept; see `Reducer.n_neuroids`."""
        return math.prod(shape)

    def coords(self, layer: str, shape: Shape, axes: Axes = None) -> dict[str, np.ndarray]:
        """Return where every value comes from; see `Reducer.coords`."""
        return _places(shape, axes)

    def reduce(self, layer: str, output: Tensor) -> Tensor:
        """Reduce a batch; see `Reducer.reduce`."""
        return _flat(output)


@dataclass(frozen=True)
class _PerChannel(Reducer):
    by_channel = True

    def describe(self) -> str:
        """Describe the values in one line; see `Reducer.describe`."""
        return f"the {self.kind} of every channel over y and x (of transformers, over tokens)"

    def n_neuroids(self, shape: Shape) -> int:
        """Return how many values are kept; see `Reducer.n_neuroids`."""
        return math.prod(shape[1:] if len(shape) == 2 else shape[:1])

    def coords(self, layer: str, shape: Shape, axes: Axes = None) -> dict[str, np.ndarray]:
        """Return where every value comes from; see `Reducer.coords`."""
        return {"channel": np.arange(self.n_neuroids(shape), dtype=np.int32)}


@dataclass(frozen=True)
class SpatialMean(_PerChannel):
    """The mean of every channel over y and x; of a transformer's, over tokens.

    Outputs with neither places nor tokens, such as those of fully connected layers, are kept as
    they are. A batch in another memory format is added up in another order: the last digit may
    differ.
    """

    kind = "mean"

    def reduce(self, layer: str, output: Tensor) -> Tensor:
        """Reduce a batch; see `Reducer.reduce`."""
        axes = _not_channel(output)
        # Half-precision numbers are added up in single precision: nothing overflows.
        return _flat(output.mean(axes, dtype=torch.float32) if axes else output)


@dataclass(frozen=True)
class SpatialMax(_PerChannel):
    """The maximum of every channel over y and x; of a transformer's, over tokens.

    Outputs with neither are kept as they are.
    """

    kind = "max"

    def reduce(self, layer: str, output: Tensor) -> Tensor:
        """Reduce a batch; see `Reducer.reduce`."""
        axes = _not_channel(output)
        return _flat(output.amax(axes) if axes else output)


@dataclass(frozen=True)
class GaussianFields(Reducer):
    """Every channel averaged with each of several Gaussian fields over y and x.

    What recorded sites are read from, see `probe.encoding`: a hundred numbers per channel in place
    of all positions. No user writes it.

    Attributes
    ----------
    fields : tuple of (float, float, float or None)
        y, x and SD of each, as in `probe.activations.pooling.Field`; no SD: all positions alike.
    """

    kind = "fields"
    by_channel = True
    fields: tuple[tuple[float, float, float | None], ...]

    def __post_init__(self) -> None:
        # As JSON has it, these are lists.
        object.__setattr__(self, "fields", tuple((y, x, sd) for y, x, sd in self.fields))

    @classmethod
    def of(cls, fields: Sequence[Field]) -> GaussianFields:
        """Take fields of the encoding's own kind."""
        plain = tuple((f.y, f.x, None if math.isinf(f.sd) else f.sd) for f in fields)
        return cls(plain)

    def describe(self) -> str:
        """Describe the values in one line; see `Reducer.describe`."""
        return f"every channel averaged with each of {len(self.fields)} Gaussian fields"

    def n_neuroids(self, shape: Shape) -> int:
        """Return how many values are kept; see `Reducer.n_neuroids`."""
        return len(self.fields) * shape[0]

    def coords(self, layer: str, shape: Shape, axes: Axes = None) -> dict[str, np.ndarray]:
        """Return where values come from, field by field; see `Reducer.coords`."""
        n_fields = len(self.fields)
        n_channels = shape[0]
        channels = np.arange(n_channels, dtype=np.int32)
        fields = np.arange(n_fields, dtype=np.int32)
        return {"channel": np.tile(channels, n_fields), "field": np.repeat(fields, n_channels)}

    def reduce(self, layer: str, output: Tensor) -> Tensor:
        """Reduce a batch; see `Reducer.reduce`."""
        height, width = output.shape[-2:]

        def make() -> Tensor:
            fields = [Field(y, x, math.inf if sd is None else sd) for y, x, sd in self.fields]
            return torch.from_numpy(weights(fields, height, width).astype(np.float32)).T

        of_size = self.once((height, width, output.device), lambda: make().to(output.device))
        return _flat((output.float().flatten(2) @ of_size).transpose(1, 2))


@dataclass(frozen=True)
class _Drawn(Reducer):
    k: int
    seed: int = 0

    def __post_init__(self) -> None:
        _check_positive(k=self.k)

    def n_neuroids(self, shape: Shape) -> int:
        """Return how many values are kept; see `Reducer.n_neuroids`."""
        return min(self.k, math.prod(shape))


@dataclass(frozen=True)
class SparseProjection(_Drawn):
    """Random sums of a layer's units that keep the distances between stimuli.

    Every unit is added with a random sign to 4 of the k sums, in one pass over the data; see
    `probe.activations.sketch`. Over seeds, the squared Euclidean distance of two patterns is
    unbiased with a standard deviation of at most √(2/k) of its value, and so are inner products;
    the mean over units is kept, so that correlations and cosines are estimated too. What needs
    single units is lost: their noise variance, their tuning.

    On a CPU, neither the memory format, nor the batch size, nor the number of threads (that of
    torch) changes a bit; other devices agree to rounding. A layer of no more than k units is kept
    as it is, with its own coordinates.

    Parameters
    ----------
    k : int
        Number of sums.
    seed : int
    """

    kind = "srp"

    def describe(self) -> str:
        """Describe the values in one line; see `Reducer.describe`."""
        return (
            f"{self.k:,} random sums of every layer's units (sparse projection, seed {self.seed}): "
            "a squared distance is unbiased, with a standard deviation of at most "
            f"{100 * math.sqrt(2 / self.k):.2g} % over seeds; smaller layers are whole"
        )

    def coords(self, layer: str, shape: Shape, axes: Axes = None) -> dict[str, np.ndarray]:
        """Return where every value comes from; see `Reducer.coords`."""
        if math.prod(shape) <= self.k:
            return _places(shape, axes)
        return {"component": np.arange(self.k, dtype=np.int32)}

    def reduce(self, layer: str, output: Tensor) -> Tensor:
        """Reduce a batch; see `Reducer.reduce`."""
        d, device = math.prod(output.shape[1:]), output.device
        if d <= self.k:
            return _flat(output)
        sums: Tensor = self.once(
            (layer, d, device), lambda: Sketch.draw(layer, d, self.k, self.seed, device)
        )(output)
        return sums


@dataclass(frozen=True)
class RandomUnits(_Drawn):
    """The same few units of a layer for every stimulus, drawn without replacement.

    They stay in the order channel, y, x. A layer of no more than k units is kept as it is.

    Parameters
    ----------
    k : int
        Number of units of every layer.
    seed : int
    """

    kind = "units"

    def describe(self) -> str:
        """Describe the values in one line; see `Reducer.describe`."""
        return (
            f"{self.k:,} units of every layer, drawn at random (seed {self.seed}) and the same for "
            "all stimuli; smaller layers are whole"
        )

    def coords(self, layer: str, shape: Shape, axes: Axes = None) -> dict[str, np.ndarray]:
        """Return where every value comes from; see `Reducer.coords`."""
        return _places(shape, axes, self._units(layer, shape))

    def reduce(self, layer: str, output: Tensor) -> Tensor:
        """Reduce a batch; see `Reducer.reduce`."""
        shape = tuple(output.shape[1:])
        if math.prod(shape) <= self.k:
            return _flat(output)

        def make() -> tuple[Tensor, ...]:
            places = np.unravel_index(self._units(layer, shape), shape)
            return tuple(torch.from_numpy(axis).to(output.device) for axis in places)

        return _flat(output[(slice(None), *self.once((layer, shape, output.device), make))])

    def _units(self, layer: str, shape: Shape) -> np.ndarray:
        return _subset(self.k, math.prod(shape), "units", self.seed, layer)


@dataclass(frozen=True)
class PCA(Reducer):
    """The first principal components of a layer, fitted on a stated subset of the stimuli.

    The fit is exact; see `probe.activations.components`. Components along which the fitted stimuli
    do not vary are zero, and so are all values of them. A layer of d < k units has d components.

    Parameters
    ----------
    k : int
        Number of components, smaller than ``n_fit``: n patterns vary in n − 1 directions.
    n_fit : int
        Number of stimuli to fit on, drawn with the seed.
    seed : int
    fitted : mapping of str to Components
        Of every layer; filled in by `with_components`.
    """

    kind = "pca"

    k: int
    n_fit: int
    seed: int = 0
    fitted: Mapping[str, Components] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_positive(k=self.k, n_fit=self.n_fit)
        if self.k >= self.n_fit:
            raise ProbeError(
                f"{self.n_fit} stimuli vary in {self.n_fit - 1} directions, too few for {self.k} "
                "principal components: ask for fewer, or fit on more stimuli "
                f"(pca:{self.k}@{_enough(self.k)})"
            )

    def describe(self) -> str:
        """Describe the values in one line; see `Reducer.describe`."""
        return (
            f"the first {self.k:,} principal components of every layer, fitted on "
            f"{self.n_fit:,} of the stimuli (seed {self.seed})"
        )

    def positions(self, n_stimuli: int) -> np.ndarray:
        """Draw the stimuli to fit on.

        Returns
        -------
        numpy.ndarray, shape (n_fit,), int64
            Their positions among ``n_stimuli``, in order.

        Raises
        ------
        ProbeError
            If there are fewer than ``n_fit``.
        """
        if n_stimuli < self.n_fit:
            raise ProbeError(
                f"principal components are fitted on {self.n_fit} stimuli, and there are only "
                f"{n_stimuli}"
            )
        return _subset(self.n_fit, n_stimuli, "stimuli", self.seed)

    def n_bytes(self, shapes: Mapping[str, Shape]) -> int:
        """Count the bytes in memory of the components of layers with outputs of these shapes."""
        sizes = [math.prod(shape) for shape in shapes.values()]
        return sum(4 * d * (min(self.k, d) + 1) for d in sizes)

    def check_memory(self, shapes: Mapping[str, Shape]) -> None:
        """Refuse where the components of all layers would not fit into memory.

        Raises
        ------
        ProbeError
            With both figures.
        """
        import psutil

        needed, free = self.n_bytes(shapes), int(psutil.virtual_memory().available)
        if needed > free:
            raise ProbeError(
                f"{self.k} principal components of {len(shapes)} layers take "
                f"{needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free: choose fewer "
                "components, fewer layers (--layers), or random sums (--reduce srp:4096)"
            )

    def fit(self, layer: str, values: Values) -> Components:
        """Fit the components of one layer.

        Parameters
        ----------
        layer : str
            For error messages.
        values : array-like, shape (n_fit, d)
            The layer's whole output for the stimuli at `positions`, units in the order channel, y,
            x. Read twice, in blocks of columns.

        Raises
        ------
        ProbeError
            If there are not ``n_fit`` rows, or a value is not finite.
        """
        if values.shape[0] != self.n_fit:
            raise ProbeError(
                f"layer {layer!r}: activations of {values.shape[0]} stimuli instead of {self.n_fit}"
            )
        try:
            return Components.fit(values, self.k)
        except ProbeError as error:
            raise ProbeError(f"layer {layer!r}: {error}") from None

    def with_components(self, fitted: Mapping[str, Components]) -> PCA:
        """Return the reducer that projects onto these components."""
        return replace(self, fitted=dict(fitted))

    def n_neuroids(self, shape: Shape) -> int:
        """Return how many values are kept; see `Reducer.n_neuroids`."""
        return min(self.k, math.prod(shape))

    def coords(self, layer: str, shape: Shape, axes: Axes = None) -> dict[str, np.ndarray]:
        """Return where every value comes from; see `Reducer.coords`."""
        return {"component": np.arange(self.n_neuroids(shape), dtype=np.int32)}

    def reduce(self, layer: str, output: Tensor) -> Tensor:
        """Reduce a batch; see `Reducer.reduce`.

        Raises
        ------
        ProbeError
            If no components were fitted to the layer, or to another number of units.
        """
        if layer not in self.fitted:
            raise ProbeError(
                f"no principal components of layer {layer!r}{suggest(layer, self.fitted)}"
            )
        fitted, d = self.fitted[layer], math.prod(output.shape[1:])
        if len(fitted.mean) != d:
            raise ProbeError(
                f"layer {layer!r} has {d} units; its components were fitted to {len(fitted.mean)}"
            )
        return project(output, *self.once((layer, output.device), lambda: fitted.on(output.device)))


FORMS = (
    "none",
    "mean",
    "max",
    "srp:4096",
    "srp:auto",
    "srp:eps=0.2",
    "units:1000",
    "pca:100",
    "pca:100@500",
)
"""What `parse` understands, by example."""

_KINDS: dict[str, type[Reducer]] = {
    c.kind: c
    for c in (
        Unreduced, SpatialMean, SpatialMax, GaussianFields, SparseProjection, RandomUnits, PCA,
    )
}  # fmt: skip


def parse(text: str, *, n_stimuli: int, seed: int = 0) -> Reducer:
    """Read a reducer as a user writes it.

    Parameters
    ----------
    text : str
        ``none``; ``mean`` or ``max`` over y and x; ``srp:4096`` random sums, ``srp:auto`` or
        ``srp:eps=0.2`` as many as `johnson_lindenstrauss` gives; ``units:1000`` random units;
        ``pca:100@500``, 100 principal components fitted on 500 of the stimuli, or on all where
        there are fewer; ``pca:100`` on `PCA_STIMULI`, or twice as many as components.
    n_stimuli : int
        Number of stimuli.
    seed : int
        For all that is drawn.

    Raises
    ------
    ProbeError
        If it is none of these, or there are too few stimuli.
    """
    kind, colon, argument = text.strip().partition(":")
    if kind in ("none", "mean", "max"):
        if colon:
            raise ProbeError(f"reducer {text!r}: write {kind!r} alone")
        return _KINDS[kind]()
    if kind == "srp" and argument == "auto":
        return SparseProjection(johnson_lindenstrauss(n_stimuli), seed)
    if kind == "srp" and argument.startswith("eps="):
        eps = argument.removeprefix("eps=")
        if not re.fullmatch(r"0?\.[0-9]*[1-9][0-9]*", eps, re.ASCII):
            raise ProbeError(f"reducer {text!r}: eps is a relative error, such as 0.2, below 1")
        return SparseProjection(johnson_lindenstrauss(n_stimuli, float(eps)), seed)
    if kind == "srp":
        return SparseProjection(_number(argument, text), seed)
    if kind == "units":
        return RandomUnits(_number(argument, text), seed)
    if kind == "pca":
        components, at, stimuli = argument.partition("@")
        k = _number(components, text)
        n_fit = _number(stimuli, text) if at else _enough(k)
        if n_fit > k >= n_stimuli:
            fewer = f"; ask for at most pca:{n_stimuli - 1}" if n_stimuli > 1 else ""
            raise ProbeError(
                f"reducer {text!r}: {k} principal components need more stimuli than "
                f"{n_stimuli}{fewer}"
            )
        return PCA(k, min(n_fit, n_stimuli), seed)
    raise ProbeError(f"reducer {text!r}: expected one of {', '.join(FORMS)}")


def from_key(key: Mapping[str, Any]) -> Reducer:
    """Make the reducer with this `Reducer.key`.

    Raises
    ------
    ProbeError
        If there is none.
    """
    settings = dict(key)
    try:
        return _KINDS[settings.pop("reducer")](**settings)
    except (KeyError, TypeError):
        raise ProbeError(f"reducer {dict(key)!r} is of another version of probe") from None


def johnson_lindenstrauss(n_stimuli: int, eps: float = EPSILON) -> int:
    """Return the number of random sums that keeps all squared distances within a factor 1 ± eps.

    4 ln n / (eps² / 2 − eps³ / 3) is enough for all pairs of n stimuli at once (Dasgupta & Gupta
    2003, Random Structures & Algorithms 22:60–65). It is proven for dense Gaussian projections; a
    sparse one has the same variance.
    """
    return max(1, int(4.0 * math.log(n_stimuli) / (eps**2 / 2.0 - eps**3 / 3.0)))


def _enough(k: int) -> int:
    return max(PCA_STIMULI, 2 * k)


def _number(argument: str, text: str) -> int:
    if not re.fullmatch(r"0*[1-9][0-9]{0,17}", argument, re.ASCII):
        what = f"{argument!r} is not a positive whole number" if argument else "a number is missing"
        kind = text.strip().partition(":")[0]
        forms = " or ".join(form for form in FORMS if form.startswith(f"{kind}:"))
        raise ProbeError(f"reducer {text!r}: {what}; write for example {forms}")
    return int(argument)


def _check_positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ProbeError(f"{name} {number}: expected a whole number ≥ 1")


def _not_channel(output: Tensor) -> Shape:
    """Axes of a batch over which a channel is one: tokens; or y and x."""
    return (1,) if output.ndim == 3 else tuple(range(2, output.ndim))


def _places(shape: Shape, axes: Axes, units: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Return where units of a layer are, all or those of these numbers in the order of its axes."""
    if axes is None:
        axes = next((order for order in ORDERS if len(order) == len(shape)), ())
    if not axes or len(axes) != len(shape) or "" in axes:
        return {} if units is None else {"unit": units.astype(np.int32)}
    places = (
        np.indices(shape, dtype=np.int32).reshape(len(shape), -1)
        if units is None
        else np.stack(np.unravel_index(units, shape)).astype(np.int32)
    )
    return dict(zip(axes, places, strict=True))


def _flat(output: Tensor) -> Tensor:
    return output.reshape(len(output), -1).float().contiguous()


def _subset(k: int, n: int, *key: object) -> np.ndarray:
    """Draw k of n without replacement, in order; all, where there are no more."""
    if n <= k:
        return np.arange(n)
    return np.sort(np.argpartition(random_words(n, *key), k - 1)[:k])
