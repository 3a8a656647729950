"""What a unit, a channel or a class looks for: pictures that drive it (Olah et al. 2017).

noise → parameterisation → what the network sees of it → target → pictures, and how well they do

The pictures are made on a canvas that is a little larger than what the network sees. Each step
shows it another part of that, turned and scaled, and the margin is cut off at the end: there is no
frame around the picture that the network could look at, and none that it would not.
"""

from __future__ import annotations

import html
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import cos, pi, prod, sin
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from probe import images, models, targets
from probe.activations.batch_size import with_graph
from probe.activations.capture import OUTPUT, differentiable
from probe.activations.engine import out_of_memory
from probe.activations.extract import working
from probe.errors import ProbeError, suggest
from probe.models import LayerInfo, Network
from probe.plots.pictures import plot_pictures, tiled
from probe.progress import finishing, track
from probe.result.folder import plain_name, writable_folder
from probe.result.picture import as_html, figure_png, place_of, save_picture, write
from probe.synthesis.natural import Maco
from probe.synthesis.objectives import Diversity, Each
from probe.synthesis.optimise import (
    PRECISIONS,
    Precision,
    Stopped,
    Unfinished,
    as_array,
    computes_bfloat16,
    optimise,
    through,
)
from probe.synthesis.parameterisations import Fourier, Laplacian, Parameterisation, Pixels, noise
from probe.synthesis.transforms import Jitter, ScaleAndRotate, Transform
from probe.targets import Channel, Class, Direction, Norm, Outputs, Target, Unit, by_channel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARGIN = 12
"""Pixels that are cut off at each side in the end."""

SEEN: tuple[Transform, ...] = (Jitter(16), ScaleAndRotate((0.8, 1.2), 15.0), Jitter(8))
"""What the network sees of the canvas. The shifts together are the two margins. Scales and angles
vary more than in Olah et al. (2017), ±10 % and ±10°: the grids that strides draw are fainter."""

DIVERSITY = 1.0
"""Weight of the likeness within a set of several, as a share of the target's own value."""

ALIGNED = 2.0
"""Power of the cosine in interpolations: see `probe.targets.Direction`."""


@dataclass(frozen=True)
class Way:
    """How pictures are made of one parameterisation.

    Attributes
    ----------
    make : callable
        Takes n, (height, width), seed, alike and device.
    optimiser : callable
        Takes parameters and lr.
    lr : float
        Its step.
    """

    make: Callable[..., Parameterisation]
    optimiser: Callable[..., torch.optim.Optimizer]
    lr: float


def _pixels(
    n: int, size: tuple[int, int], *, seed: int, alike: bool, device: torch.device
) -> Parameterisation:
    return Pixels(0.5 + 0.02 * noise(n, (3, *size), seed, alike, device))


# Chosen by eye on AlexNet's conv5, VGG-16's features.22 and features.28, SqueezeNet's classes.
# Fourier: a decay of 1.2 where Olah et al. (2017) take 1 has less of what is as fine as pixels;
# with it, a step of 0.03 where they take 0.05 keeps the colours from their ends.
# MACO: Fel et al. (2023) show the network 32 parts of a picture of 1,280 pixels, from half to a
# twentieth of its side, with a step of 1. Of pictures as small as these, such parts hold nothing,
# and the whole does not drive its channel. Seen as the others are, with a step of 0.2, it does.
WAYS = {
    "fourier": Way(partial(Fourier, decay=1.2), torch.optim.Adam, 0.03),
    "laplacian": Way(Laplacian, torch.optim.Adam, 0.03),
    "pixels": Way(_pixels, torch.optim.Adam, 0.02),
    "maco": Way(Maco, torch.optim.NAdam, 0.2),
}
"""The parameterisations that a user can name."""


class Patches(Protocol):
    """Parts of photographs that drive channels of a layer: `probe.features.TopPatches` is one."""

    @property
    def layer(self) -> str:
        """Its name."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Those of the rows."""

    @property
    def about(self) -> Mapping[str, Any]:
        """What decides them."""

    def rows(self) -> list[list[np.ndarray | None]]:
        """Give the patches of each channel."""


@dataclass(frozen=True, eq=False)
class Visualisation:
    """Pictures that drive targets, and what they are worth.

    Attributes
    ----------
    pictures : numpy.ndarray, uint8, shape (n, height, width, 3)
    table : pandas.DataFrame
        One row per picture, measured on the finished picture as it is saved, without transforms:

        - ``target``: its name; ``value``: the target's number;
        - ``noise``, ``grey``: its number for what the picture began as, and for mid-grey;
        - ``silent``: whether ``value`` is above neither: the picture shows nothing;
        - ``rank``: among all channels of the layer (all classes), 1 if the picture drives none
          more; ``strongest``: the channel that it drives most. Missing where the target is no
          single channel, unit or class.
    about : dict
        Everything that decides the pictures, as plain values.
    title : str
    each : tuple of Target
        What each picture is for.
    patches : tuple of (tuple of numpy.ndarray or None)
        Of each picture, what is shown beside it; empty without `beside`.
    """

    pictures: np.ndarray
    table: pd.DataFrame
    about: Mapping[str, Any]
    title: str
    each: tuple[Target, ...]
    patches: tuple[tuple[np.ndarray | None, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Visualisation:
        """Give one picture alone; it is made again together with those that it was made with."""
        k = range(len(self))[index]
        settings, index = self.about["settings"], k
        if len(self) > 1 and not (settings["interpolate"] or settings["diverse"]):
            start = k - k % settings["batch_size"]
            mates = [t.name for t in self.each[start : start + settings["batch_size"]]]
            settings, index = {**settings, "target": mates, "channels": None}, k - start
        picture = {"settings": settings, "picture": index, "targets": [self.each[k].name]}
        return replace(
            self,
            pictures=self.pictures[k : k + 1],
            table=self.table.iloc[k : k + 1].reset_index(drop=True),
            about={**self.about, **picture},
            title=f"{self.about['model']} {self.table['target'][k]}",
            each=self.each[k : k + 1],
            patches=self.patches[k : k + 1],
        )

    @property
    def silent(self) -> list[str]:
        """The targets whose pictures show nothing."""
        return list(self.table["target"][self.table["silent"]])

    @cached_property
    def labels(self) -> list[str]:
        """What stands below each picture: its target and the target's number."""
        layers = {t.layer for t in self.each if isinstance(t, Channel)}
        one = len(layers) == 1 and all(isinstance(t, Channel) for t in self.each)
        names = [t.name.rpartition(":")[2] if one else t.name for t in self.each]
        if self.about["settings"]["interpolate"]:  # of what, the title says
            names = [f"{t.share:.0%}" if isinstance(t, Between) else t.name for t in self.each]
        values = [f"{value:.3g}".replace("-", "−") for value in self.table["value"]]
        return [
            f"{name}: silent" if silent else f"{name}: {value}"
            for name, value, silent in zip(names, values, self.table["silent"], strict=True)
        ]

    def beside(self, found: Patches) -> Visualisation:
        """Show patches of photographs beside the pictures of the channels that they drive most.

        Parameters
        ----------
        found : probe.features.TopPatches
            Of the channels of one layer.
        """
        rows = dict(zip(found.channels, found.rows(), strict=True))
        patches = list(self.patches or [()] * len(self))
        for k, target in enumerate(self.each):
            if isinstance(target, Channel) and target.layer == found.layer:
                patches[k] = tuple(rows.get(target.channel, ()))
        return replace(
            self, patches=tuple(patches), about={**self.about, "patches": dict(found.about)}
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw all pictures with their labels; silent ones are pale and crossed out.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.

        Returns
        -------
        matplotlib.axes.Axes
        """
        crossed = np.flatnonzero(self.table["silent"]).tolist()
        said = "numbers: activation by the picture, without transforms"
        if self.patches:
            said += "; at the right: the patches of photographs that drive the channel most"
        if crossed:
            said += "; crossed out: nothing drives it"
        return plot_pictures(
            self.pictures,
            self.labels,
            crossed=crossed,
            patches=self.patches or None,
            title=self.title,
            note=said,
            ax=ax,
        )

    def save(self, path: str | Path) -> Path:
        """Write what was made, with all that made it in the metadata.

        Parameters
        ----------
        path : path
            One picture alone: any of `probe.images.WRITTEN`, with a JSON file beside it. Several,
            or one with patches: a sheet (.png). A folder, or a name without an ending: every
            picture as a .png file, and ``table.csv``. ``.csv``: the table.

        Raises
        ------
        ProbeError
            If the file is of another kind, or cannot be written.
        """
        place = check_place(path, len(self) if not self.patches else 2)
        if place.suffix.lower() == ".csv":
            return write(place, self.table.to_csv(index=False).encode())
        if not place.suffix or place.is_dir():
            return self._save_each(writable_folder(place))
        if len(self) == 1 and not self.patches:
            return save_picture(place, self.pictures[0] / 255, self.about)
        return write(place, figure_png(self.plot(), self.about))

    def _save_each(self, folder: Path) -> Path:
        digits = len(str(len(self) - 1))
        for k in range(len(self)):
            one = self[k]
            name = plain_name(f"{k:0{digits}d}", one.each[0].name)
            write(folder / f"{name}.png", images.png(one.pictures[0], one.about))
        write(folder / "table.csv", self.table.to_csv(index=False).encode())
        return folder

    def _repr_html_(self) -> str:
        return as_html(figure_png(self.plot(), self.about), self.title) + (
            f"<p style='font-size:small'>silent: {html.escape(', '.join(self.silent))}</p>"
            if self.silent
            else ""
        )

    def __repr__(self) -> str:
        silent = f", {len(self.silent)} silent" if self.silent else ""
        return f"<Visualisation {self.title}: {len(self)} pictures{silent}>"


def check_place(path: str | Path, n: int) -> Path:
    """Check the name of what is going to be written, before it is made.

    Parameters
    ----------
    path : path
    n : int
        Number of pictures.

    Raises
    ------
    ProbeError
        If that many pictures cannot be written so.
    """
    place = Path(path).expanduser()
    if not place.suffix or place.is_dir() or place.suffix.lower() == ".csv":
        return place
    if n == 1:
        images.check_kind(place)
        return place
    return place_of(place, ".png", ".csv")


def visualize(
    model: str | Network | nn.Module,
    target: str | int | Target | Sequence[str | int | Target],
    *,
    channels: Sequence[int] | None = None,
    interpolate: int | None = None,
    diverse: int | None = None,
    parameterisation: str = "fourier",
    size: int | None = None,
    steps: int = 128,
    lr: float | None = None,
    weights: str = "imagenet",
    preprocessing: str = "resize",
    seed: int = 0,
    precision: Precision = "auto",
    batch_size: int | None = None,
    device: str = "auto",
    preview: Callable[[np.ndarray], None] | None = None,
    preview_every: int = 0,
    progress: bool | None = None,
) -> Visualisation:
    """Make pictures that drive a class, a channel, a unit, or whatever is the target.

    Every picture begins with the same noise and is shown in the same ways, and so a channel's
    picture is the same alone and among others, to the rounding of the network's arithmetic.
    An interrupted call goes on when it is made again with the same arguments (and with names for
    the model and its targets).

    Parameters
    ----------
    model : str, Network or torch.nn.Module
        A name (`probe.models.names`), ``timm:NAME``, ``file:PATH``, or a network of yours.
    target : str, int or Target, or a sequence of these
        As `probe.targets.parse` reads it; a number is a class. The name of a layer alone stands
        for all its channels, one picture each.
    channels : sequence of int, optional
        Of the layer that is named: only these.
    interpolate : int, optional
        So many pictures from the first of two targets to the second, both included: channels of
        one layer, or classes. Targets are directions in between (see `probe.targets.Direction`).
    diverse : int, optional
        So many pictures of one target that are as different as they can be (see
        `probe.synthesis.objectives.Diversity`). They begin with noise of their own.
    parameterisation : {'fourier', 'laplacian', 'pixels', 'maco'}
        What a picture is made of: `probe.synthesis.parameterisations`, `probe.synthesis.natural`.
    size : int, optional
        Of the pictures, in pixels; by default, what the network was made for. The positions of
        units are those at this size.
    steps : int
    lr : float, optional
        How far the optimiser goes in a step; by default, what suits the parameterisation.
    weights : str
        ``imagenet``, ``random``, or a checkpoint file. A network of yours brings its own.
    preprocessing : {'resize', 'torchvision'}
        Which mean and deviation the network's weights want.
    seed : int
        Of random weights, the noise, and the transforms.
    precision : {'auto', 'float32', 'bfloat16'}
        ``auto``: bfloat16 where the processor computes it by itself, and float32 elsewhere.
    batch_size : int, optional
        Pictures in a pass, at most; by default what takes a gigabyte.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    preview : callable, optional
        Is given the pictures that are being made, uint8, (height, width, 3), in rows, on every
        ``preview_every``-th step.
    preview_every : int
    progress : bool, optional
        Show a progress bar; by default when a person is watching.

    Returns
    -------
    Visualisation

    Raises
    ------
    ProbeError
        If something that was named does not exist, or pictures of this size do not go through the
        network.

    Examples
    --------
    >>> probe.visualize("alexnet", "features.10:84")  # doctest: +SKIP
    >>> probe.visualize("squeezenet1_1", "tabby", diverse=4).save("cats.png")  # doctest: +SKIP
    """
    way = _way(parameterisation)
    _check_numbers(size, steps, lr, precision, batch_size, interpolate, diverse)
    model = models.given(model, weights, preprocessing)
    network = (
        model
        if isinstance(model, Network)
        else models.load(model, weights, seed=seed, preprocessing=preprocessing, progress=progress)
    )
    named = [target] if isinstance(target, (str, int, Target)) else list(target)
    each = _targets(named, channels, interpolate, diverse, network)
    shape = network.preprocessing.size if size is None else (size, size)
    with working(network, device, channels_last=True) as (place, _):
        baseline = _grey(network, each, shape, place)
        if precision == "auto":
            precision = "bfloat16" if computes_bfloat16(place) else "float32"
        most = len(each) if diverse else min(batch_size or with_graph(network, shape), len(each))
        about = {
            **network.provenance(),
            "made": "visualize",
            "settings": {
                "model": network.name,
                "target": [str(t) for t in named] if len(named) > 1 else str(named[0]),
                "channels": None if channels is None else list(channels),
                "interpolate": interpolate,
                "diverse": diverse,
                "parameterisation": parameterisation,
                "size": size,
                "steps": steps,
                "lr": lr or way.lr,
                "weights": str(weights),
                "preprocessing": preprocessing,
                "seed": seed,
                "precision": precision,
                "batch_size": most,
                "device": place.type,
            },
            "seed": seed,
            "targets": [t.name for t in each],
        }
        run = _Run(
            network, way, shape, steps, lr or way.lr, seed, precision, diverse is not None, place
        )
        # Of what is not named, the name does not tell which it is.
        known = network.weights.kind != "user" and not any(isinstance(t, Target) for t in named)
        unfinished = Unfinished(about) if known else None
        with finishing() as stop:
            pictures = _in_chunks(
                run, each, most, unfinished, stop, preview, preview_every, progress
            )
        table = _measured(run, each, most, pictures, baseline)
    if unfinished is not None:
        unfinished.finished()
    about["silent"] = list(table["target"][table["silent"]])
    return Visualisation(pictures, table, about, _title(network, named, each, about), tuple(each))


def _way(name: str) -> Way:
    if name not in WAYS:
        raise ProbeError(
            f"parameterisation {name!r} is unknown{suggest(name, WAYS)}; there is {', '.join(WAYS)}"
        )
    return WAYS[name]


def _check_numbers(
    size: int | None,
    steps: int,
    lr: float | None,
    precision: str,
    batch_size: int | None,
    interpolate: int | None,
    diverse: int | None,
) -> None:
    for what, number, least in (
        ("size", size, 1),
        ("steps", steps, 1),
        ("batch size", batch_size, 1),
        ("interpolate", interpolate, 2),
        ("diverse", diverse, 2),
    ):
        if number is not None and number < least:
            raise ProbeError(f"{what} {number} is too small: {least} or more")
    if lr is not None and not 0 < lr < float("inf"):
        raise ProbeError(f"lr {lr} is not a positive number")
    if precision not in PRECISIONS:
        raise ProbeError(f"precision {precision!r} is unknown; there is {', '.join(PRECISIONS)}")


def _targets(
    named: Sequence[str | int | Target],
    channels: Sequence[int] | None,
    interpolate: int | None,
    diverse: int | None,
    network: Network,
) -> list[Target]:
    """Find the target of each picture."""
    each: list[Target] = []
    whole = False
    for one in named:
        found = one if isinstance(one, Target) else targets.parse(str(one), network)
        if isinstance(found, Norm) and not isinstance(one, Target):
            whole = True
            info = next(i for i in models.layers(network) if i.name == found.layer)
            each += [Channel(found.layer, k) for k in _channels(info, channels)]
        else:
            each.append(found)
    if not each:
        raise ProbeError("no target is named")
    if channels is not None and not (whole and len(named) == 1):
        raise ProbeError("channels go with the name of one layer, such as features.10")
    if interpolate and diverse:
        raise ProbeError("interpolate and diverse do not go together: choose one")
    if diverse:
        if len(each) != 1:
            raise ProbeError(f"diverse pictures are of one target, not of {len(each)}")
        return each * diverse
    return _between(each, interpolate) if interpolate else each


def _channels(info: LayerInfo, wanted: Sequence[int] | None) -> Sequence[int]:
    shape = info.output_shape
    if not shape:
        raise ProbeError(f"layer {info.name!r} gives one number for a picture, and has no channels")
    n = shape[-1] if len(shape) == 2 else shape[0]
    for channel in wanted or ():
        if not 0 <= channel < n:
            raise ProbeError(
                f"channel {channel} does not exist: layer {info.name!r} has {n}, from 0"
            )
    return range(n) if wanted is None else wanted


def _between(ends: Sequence[Target], n: int) -> list[Target]:
    """Give directions from one channel to another, in equal angles."""
    places = [
        (t.layer, t.channel) if isinstance(t, Channel) else (OUTPUT, t.index)
        for t in ends
        if isinstance(t, (Channel, Class))
    ]
    if len(places) != 2 or len(ends) != 2 or places[0][0] != places[1][0]:
        raise ProbeError("interpolate goes between two channels of one layer, or two classes")
    (layer, first), (_, last) = places
    shares = [k / (n - 1) for k in range(n)]
    names = [f"{1 - share:.0%} {ends[0]}, {share:.0%} {ends[1]}" for share in shares]
    return [
        Between(layer, first, last, share, name) for share, name in zip(shares, names, strict=True)
    ]


@dataclass(frozen=True)
class Between(Target):
    """A direction between those of two channels.

    Attributes
    ----------
    layer : str
    first, last : int
        The channels.
    share : float
        Of the right angle from the first to the last.
    name : str
    """

    layer: str
    first: int
    last: int
    share: float
    name: str

    @property
    def layers(self) -> tuple[str, ...]:  # type: ignore[override]
        """The layer."""
        return (self.layer,)

    def __call__(self, outputs: Outputs) -> Tensor:
        """See `Target.__call__`."""
        each = {self.layer: torch.eye(by_channel(outputs[self.layer]).shape[1])}
        a, b = (
            Class(k)(each) if self.layer == OUTPUT else Channel(self.layer, k)(each)
            for k in (self.first, self.last)
        )  # which checks that they exist
        angle = self.share * pi / 2
        return Direction(self.layer, cos(angle) * a + sin(angle) * b, power=ALIGNED)(outputs)


class _Diverse(Target):
    """A target for several pictures, which are not to be alike.

    Parameters
    ----------
    target : Target
    layer : str
        In which they are compared.
    """

    def __init__(self, target: Target, layer: str) -> None:
        self.target, self.unlike = target, Diversity(layer)
        self.layers = tuple(dict.fromkeys((*target.layers, layer)))
        self.name = target.name

    def __call__(self, outputs: Outputs) -> Tensor:
        """See `Target.__call__`."""
        value = self.target(outputs)
        # Layers differ in scale: the weight is a share of the value.
        return value + DIVERSITY * value.detach().abs() * self.unlike(outputs)


@dataclass(frozen=True)
class _Run:
    """All that decides how a picture comes about, but for its target."""

    network: Network
    way: Way
    size: tuple[int, int]
    steps: int
    lr: float
    seed: int
    precision: Precision
    diverse: bool
    place: torch.device

    def start(self, n: int) -> Parameterisation:
        """Give noise."""
        canvas = (self.size[0] + 2 * MARGIN, self.size[1] + 2 * MARGIN)
        return self.way.make(n, canvas, seed=self.seed, alike=not self.diverse, device=self.place)

    def pictures(self, canvas: Tensor) -> np.ndarray:
        """Cut the margin off: (n, height, width, 3)."""
        inner = canvas[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
        return np.stack([as_array(picture) for picture in inner])

    def target(self, each: Sequence[Target]) -> Target:
        """Give what a batch of pictures is made for."""
        if not self.diverse:
            return Each(each)
        return _Diverse(each[0], _texture_layer(each[0], self.network))

    def seen(self, pictures: np.ndarray) -> Tensor:
        """Give pictures as the network gets them."""
        values = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
        return _normalised(values, self.network).to(self.place)


def _texture_layer(target: Target, network: Network) -> str:
    """Choose where pictures are compared: at the target's layer, or the last with positions."""
    infos = {i.name: i for i in models.layers(network)}
    for layer in target.layers:
        if layer in infos and len(infos[layer].output_shape) > 1:
            return layer
    positions = [
        name
        for name, info in infos.items()
        if info.default and not info.missing and len(info.output_shape) == 3
        and prod(info.output_shape[1:]) > 1
    ]  # fmt: skip
    if not positions:
        raise ProbeError(f"{network.name} has no layer with positions, by which pictures differ")
    return positions[-1]


def _normalised(pictures: Tensor, network: Network) -> Tensor:
    dtype = next((p.dtype for p in network.module.parameters()), torch.float32)
    return network.preprocessing.normalise(pictures).to(dtype)


def _grey(
    network: Network, each: Sequence[Target], size: tuple[int, int], place: torch.device
) -> list[float]:
    """Give the targets' numbers for mid-grey; what does not go through the network is told."""
    grey = _normalised(torch.full((1, 3, *size), 0.5), network).to(place)
    layers = list(dict.fromkeys(layer for target in each for layer in target.layers))
    try:
        outputs = {
            name: output.detach().float()
            for name, output in differentiable(network.module, grey, layers).items()
        }
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        if isinstance(error, ProbeError) or out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:160]
        fits = "×".join(map(str, network.preprocessing.size))
        raise ProbeError(
            f"pictures of {size[0]}×{size[1]} do not go through {network.name} ({reason}): choose "
            f"another size, such as {fits}"
        ) from None
    return [float(target(outputs)) for target in each]


def _in_chunks(
    run: _Run,
    each: Sequence[Target],
    most: int,
    unfinished: Unfinished | None,
    stop: threading.Event,
    preview: Callable[[np.ndarray], None] | None,
    preview_every: int,
    progress: bool | None,
) -> np.ndarray:
    """Make the pictures, so many at a time."""
    kept = (unfinished and unfinished.load()) or {}
    done: list[Tensor] = list(kept.get("pictures", ()))
    loop = kept.get("loop")
    starts = range(0, len(each), most)

    def keep(inner: Mapping[str, Any] | None) -> None:
        if unfinished is not None:
            unfinished.keep({"pictures": done, "loop": inner})

    def show(canvas: Tensor) -> None:
        if preview is not None:
            preview(tiled(run.pictures(canvas)))

    bar = track(
        total=len(each), initial=sum(map(len, done)), desc="visualize", unit="picture",
        progress=progress if len(starts) > 1 else False,
    )  # fmt: skip
    with bar:
        for start in starts[len(done) :]:
            chunk = each[start : start + most]
            made = run.start(len(chunk))
            slopes = through(
                run.network, run.target(chunk), SEEN, seed=run.seed, precision=run.precision
            )
            try:
                optimise(
                    made, slopes, run.way.optimiser(made.parameters, lr=run.lr), run.steps,
                    state=loop, keep=keep, stop=stop, preview_every=preview_every,
                    preview=show,
                    progress=progress, desc="visualize",
                )  # fmt: skip
            except Stopped:
                break  # the signal has its effect where it was waited for
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                raise ProbeError(
                    f"{run.network.name} does not fit into memory with {len(chunk)} pictures at a "
                    "time: choose a smaller batch size or size"
                ) from None
            with torch.no_grad():
                done.append(torch.from_numpy(run.pictures(made())))
            loop = None
            bar.update(len(chunk))
            if len(starts) > 1 or stop.is_set():
                keep(None)
    return torch.cat(done).numpy() if done else np.empty((0, *run.size, 3), np.uint8)


def _measured(
    run: _Run, each: Sequence[Target], most: int, pictures: np.ndarray, grey: Sequence[float]
) -> pd.DataFrame:
    """Tell what the pictures are worth: see `Visualisation`."""
    with torch.no_grad():
        noise_ = run.pictures(run.start(len(each) if run.diverse else 1)())
    rows = []
    for start in range(0, len(each), most):
        chunk = each[start : start + most]
        layers = list(dict.fromkeys(layer for target in chunk for layer in target.layers))
        before = noise_[start : start + most] if run.diverse else noise_
        began, ended = (
            {
                name: output.detach().float()
                for name, output in differentiable(run.network.module, seen, layers).items()
            }
            for seen in (run.seen(before), run.seen(pictures[start : start + most]))
        )
        for k, target in enumerate(chunk):
            value = float(_only(target, ended, k))
            noisy = float(_only(target, began, k if run.diverse else 0))
            plain = grey[start + k]
            row = {"target": target.name, "value": value, "noise": noisy, "grey": plain}
            row |= {"silent": not value > max(noisy, plain)}
            row |= _ranked(target, ended, k)
            rows.append(row)
    return pd.DataFrame(rows).astype({"rank": "Int64", "strongest": "Int64"})


def _only(target: Target, outputs: Outputs, k: int) -> Tensor:
    return target({layer: outputs[layer][k : k + 1] for layer in target.layers})


def _ranked(target: Target, outputs: Outputs, k: int) -> dict[str, int | None]:
    """Compare a channel (or class) with all others of its layer, in one picture."""
    if isinstance(target, Channel):
        index, values = target.channel, by_channel(outputs[target.layer])[k].flatten(1).mean(1)
    elif isinstance(target, Unit):
        index, values = target.channel, by_channel(outputs[target.layer])[k]
        for at in target.position:
            values = values[:, at]
    elif isinstance(target, Class):
        index, values = target.index, outputs[target.layers[0]][k]
    else:
        return {"rank": None, "strongest": None}
    rank = 1 + int((values > values[index]).sum())
    return {"rank": rank, "strongest": int(values.argmax())}


def _title(
    network: Network,
    named: Sequence[str | int | Target],
    each: Sequence[Target],
    about: Mapping[str, Any],
) -> str:
    settings = about["settings"]
    n = len(each)
    what = each[0].name
    if settings["interpolate"]:
        what = f"from {named[0]} to {named[1]}"
    elif settings["diverse"]:
        what = f"{n} pictures of {what}"
    elif n > 1:
        layers = list(dict.fromkeys(layer or "classes" for t in each for layer in t.layers))
        channel = all(isinstance(t, Channel) for t in each)
        what = f"{n} channels of {layers[0]}" if channel and len(layers) == 1 else f"{n} targets"
    return f"{network.name}: {what}"
