"""What a unit, a channel or a class looks for: pictures that drive it (Olah et al. 2017).

noise → parameterisation → what the network sees of it → target → pictures, and how well they do

The pictures are made on a canvas that is a little larger than what the network sees. Each step
shows it another part of that, turned and scaled, and the margin is cut off at the end: there is no
frame around the picture that the network could look at, and none that it would not. What can be
laid as tiles needs no margin: it is shown shifted by any distance, with its own other side around.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from probe import images, models, targets
from probe.activations.batch_size import with_graph
from probe.activations.capture import differentiable
from probe.errors import ProbeError
from probe.models import LayerInfo, Network
from probe.models.devices import on_device, out_of_memory
from probe.plots.pictures import tiled
from probe.progress import track
from probe.synthesis.natural import Maco, OverNoise
from probe.synthesis.objectives import Between, Diverse, Each
from probe.synthesis.optimise import (
    as_array,
    optimise,
    resolve_precision,
    through,
)
from probe.synthesis.parameterisations import (
    Fourier,
    Laplacian,
    Parameterisation,
    Pixels,
    Transparent,
    noise,
)
from probe.synthesis.run import Preview, Run, Unfinished, on_threads, running
from probe.synthesis.settings import Precision, VisualizeSettings
from probe.synthesis.transforms import Jitter, Roll, ScaleAndRotate, Transform, Wrap
from probe.synthesis.visualize_result import Visualisation
from probe.targets import Channel, Class, Norm, Outputs, Target, Unit, by_channel

Size = int | Sequence[int]
"""Of a picture in pixels: the side of a square, or width and height."""

MARGIN_PX = 12
"""Pixels that are cut off at each side in the end."""

TRANSFORMS: tuple[Transform, ...] = (Jitter(16), ScaleAndRotate((0.8, 1.2), 15.0), Jitter(8))
"""What the network sees of the canvas. The shifts together are the two margins. Scales and angles
vary more than in Olah et al. (2017), ±10 % and ±10°: the grids that strides draw are fainter."""


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
    transparent : callable, optional
        As ``make``, of pictures that can be seen through.
    tileable : bool
        Whether the pictures can go on at the opposite side.
    """

    make: Callable[..., Parameterisation]
    optimiser: Callable[..., torch.optim.Optimizer]
    lr: float
    transparent: Callable[..., Parameterisation] | None = None
    tileable: bool = True


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
    "fourier": Way(
        partial(Fourier, decay=1.2),
        torch.optim.Adam,
        0.03,
        transparent=partial(Transparent, decay=1.2),
    ),
    "laplacian": Way(Laplacian, torch.optim.Adam, 0.03, tileable=False),
    "pixels": Way(_pixels, torch.optim.Adam, 0.02),
    "maco": Way(Maco, torch.optim.NAdam, 0.2),
}
"""The parameterisations that a user can name."""


def visualize(
    model: str | Network | nn.Module | None,
    target: str | int | Target | Sequence[str | int | Target] | None = None,
    *,
    channels: Sequence[int] | None = None,
    interpolate: int | None = None,
    diverse: int | None = None,
    parameterisation: str = "fourier",
    size: Size | None = None,
    transparent: bool = False,
    tileable: bool = False,
    steps: int = 128,
    tolerance: float = 0.0,
    lr: float | None = None,
    weights: str = "imagenet",
    preprocessing: str = "resize",
    seed: int = 0,
    precision: Precision = "auto",
    batch_size: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    preview: Preview | None = None,
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
    model : str, Network, torch.nn.Module or None
        A name (`probe.models.names`), ``timm:NAME``, ``file:PATH``, or a network of yours. None
        where the target is a recorded site, which knows its network.
    target : str, int or Target, or a sequence of these, optional
        As `probe.targets.parse` reads it; a number is a class. By default the network's output,
        where it is one number, such as the response of a V4 neuron. The name of a layer alone
        stands for all its channels, one picture each. Of a recorded site, see also
        `probe.superstimulus`, which keeps to the stimuli's contrast and has the picture judged.
    channels : sequence of int, optional
        Of the layer that is named: only these.
    interpolate : int, optional
        This many pictures from the first of two targets to the second, both included: channels of
        one layer, or classes. Targets are directions in between (see `probe.targets.Direction`).
    diverse : int, optional
        This many pictures of one target that are as different as they can be (see
        `probe.synthesis.objectives.Diversity`). They begin with noise of their own.
    parameterisation : {'fourier', 'laplacian', 'pixels', 'maco'}
        What a picture is made of: `probe.synthesis.parameterisations`, `probe.synthesis.natural`.
    size : int or (int, int), optional
        Size of the pictures in pixels: the side, or width and height; by default, what the network
        was made for. The positions of units are those at this size.
    transparent : bool
        Make pictures that are opaque only where it counts for the target: seen over another
        background in every step, and the better the less they cover (Mordvintsev et al. 2018).
    tileable : bool
        Make pictures that go on at the opposite side, for patterns without seams.
    steps : int
        Largest number of steps of the optimiser.
    tolerance : float
        Stop early when the pictures that are made together gain less than this share of the
        target's number in 32 steps; 0 never does. What is made together stops together.
    lr : float, optional
        Learning rate of the optimiser; by default, what suits the parameterisation.
    weights : str
        ``imagenet``, ``random``, or a checkpoint file. A network of yours brings its own.
    preprocessing : {'resize', 'torchvision'}
        Which mean and standard deviation the network's weights expect.
    seed : int
        Seed of random weights, the noise, and the transforms.
    precision : {'auto', 'float32', 'bfloat16'}
        ``auto``: bfloat16 where the processor computes it by itself, and float32 elsewhere.
    batch_size : int, optional
        Pictures in a pass, at most; by default what takes a gigabyte.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    threads : int, optional
        As many as torch uses by itself; another number rounds otherwise.
    preview : callable, optional
        Takes the pictures that are being made, uint8, (height, width, 3), in rows, on every
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

    See Also
    --------
    superstimulus : Of a recorded site, under a budget and judged by another network.
    atlas : All directions of a layer at once.
    dream : From a photograph rather than from noise.
    probe.features.top_patches : The photographs that drive a channel.

    Examples
    --------
    >>> import probe
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 7, stride=4), nn.ReLU())
    >>> result = probe.visualize(network, "1:3", size=32, steps=2)
    >>> result.pictures.shape
    (1, 32, 32, 3)
    >>> result.table["target"].item()
    '1:3'
    >>> probe.visualize("alexnet", "conv5:84").save("84.png")  # doctest: +SKIP
    """
    plan = prepare(VisualizeSettings.of(locals()), progress=progress)
    visualisation = plan.run(preview=preview, preview_every=preview_every, progress=progress)
    plan.finished()
    return visualisation


@dataclass(frozen=True, eq=False)
class Plan:
    """Pictures that are about to be made; see `prepare`.

    Attributes
    ----------
    network : Network
    each : tuple of Target
        What each picture is for.
    grey : tuple of float
        Their numbers for mid-grey.
    way : Way
    size : (int, int)
        Height and width.
    settings : VisualizeSettings
        Resolved; ``batch_size`` is the number of pictures in a pass.
    title : str
    about : dict
        Everything that decides the result.
    store : Unfinished or None
        Where an interrupted run is kept; see `Unfinished.of`.
    """

    network: Network
    each: tuple[Target, ...]
    grey: tuple[float, ...]
    way: Way
    size: tuple[int, int]
    settings: VisualizeSettings
    title: str
    about: Mapping[str, Any]
    store: Unfinished | None

    @property
    def per_pass(self) -> int:
        """Pictures that are made together."""
        assert self.settings.batch_size is not None  # resolved
        return self.settings.batch_size

    def run(
        self,
        *,
        preview: Preview | None = None,
        preview_every: int = 0,
        progress: bool | None = None,
    ) -> Visualisation:
        """Make them, from where it was interrupted; they stay in the cache until `finished`."""
        with running(
            self.store, self.network, device=self.settings.device, threads=self.settings.threads,
            forget=False, preview=preview, preview_every=preview_every, progress=progress,
        ) as run:  # fmt: skip
            pictures, steps = self._make(run)
            table = self._measure(run.device, pictures, steps)
        about = {**self.about, "silent": list(table["target"][table["silent"]])}
        return Visualisation(pictures, table, about, self.title, self.each)

    def finished(self) -> None:
        """Forget what is kept."""
        if self.store is not None:
            self.store.forget()

    def _make(self, run: Run) -> tuple[np.ndarray, list[int]]:
        """Return the pictures, made some at a time, and the steps that each took."""
        settings = self.settings
        assert settings.lr is not None  # resolved
        done: list[Tensor] = list(run.state.get("pictures", ()))
        steps: list[int] = list(run.state.get("taken", ()))
        starts = range(0, len(self.each), self.per_pass)
        watched: Iterable[int] = starts[len(done) :]
        if len(starts) > 1:  # or the bar of its steps is that of the whole
            watched = track(
                watched, initial=len(done), desc="visualize", unit="batch",
                work=[min(self.per_pass, len(self.each) - start) for start in starts],
                progress=run.progress,
            )  # fmt: skip
        for start in watched:
            chunk = self.each[start : start + self.per_pass]
            canvas = self._start(len(chunk), run.device)
            objective = through(
                self.network, self._target(chunk), self._transforms(), seed=settings.seed,
                precision=settings.precision,
            )  # fmt: skip
            optimiser = self.way.optimiser(canvas.parameters, lr=settings.lr)
            try:
                history = optimise(
                    canvas, objective, optimiser, settings.steps,
                    tolerance=settings.tolerance, desc="visualize",
                    loop=run.loop(lambda c: tiled(self._cut(c)), pictures=done, taken=steps),
                )  # fmt: skip
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                raise ProbeError(
                    f"{self.network.name} does not fit into memory with {len(chunk)} pictures "
                    "at a time: choose a smaller batch size or size"
                ) from None
            with torch.no_grad():
                done.append(torch.from_numpy(self._cut(canvas())))
            steps += [len(history)] * len(chunk)
            run.keep(pictures=done, taken=steps, loop=None)
        return torch.cat(done).numpy(), steps

    def _start(self, n: int, device: torch.device) -> Parameterisation:
        """Return noise."""
        margin = 0 if self.settings.tileable else 2 * MARGIN_PX
        canvas = (self.size[0] + margin, self.size[1] + margin)
        alike = not self.settings.diverse
        return self.way.make(n, canvas, seed=self.settings.seed, alike=alike, device=device)

    def _transforms(self) -> tuple[Transform, ...]:
        """Return what the network sees of the canvas."""
        wrap = (Roll(), Wrap(MARGIN_PX)) if self.settings.tileable else ()
        background = (OverNoise(),) if self.settings.transparent else ()
        return (*wrap, *TRANSFORMS, *background)

    def _cut(self, canvas: Tensor) -> np.ndarray:
        """Cut the margin off: (n, height, width, 3 or 4)."""
        first = 0 if self.settings.tileable else MARGIN_PX
        rows, columns = (slice(first, first + side) for side in self.size)
        return np.stack([as_array(picture) for picture in canvas[..., rows, columns]])

    def _target(self, each: Sequence[Target]) -> Target:
        """Return what a batch of pictures is made for."""
        if not self.settings.diverse:
            return Each(each)
        return Diverse(each[0], _texture_layer(each[0], self.network))

    def _measure(
        self, device: torch.device, pictures: np.ndarray, steps: Sequence[int]
    ) -> pd.DataFrame:
        """Compute what the pictures are worth: see `Visualisation`."""
        diverse = bool(self.settings.diverse)
        with torch.no_grad():
            noise = self._cut(self._start(len(self.each) if diverse else 1, device)())
        rows = []
        for start in range(0, len(self.each), self.per_pass):
            end = start + self.per_pass
            chunk = self.each[start:end]
            layers = list(dict.fromkeys(layer for target in chunk for layer in target.layers))
            before, after = (
                _outputs(self.network, _as_read(some).to(device), layers)
                for some in (noise[start:end] if diverse else noise, pictures[start:end])
            )
            for k, target in enumerate(chunk):
                value = float(_only(target, after, k))
                of_noise = float(_only(target, before, k if diverse else 0))
                grey = self.grey[start + k]
                row = {"target": target.name, "value": value, "noise": of_noise, "grey": grey}
                row |= {"silent": not value > max(of_noise, grey), "steps": steps[start + k]}
                rows.append(row | _ranked(target, after, k))
        return pd.DataFrame(rows).astype({"rank": "Int64", "strongest": "Int64"})


def prepare(settings: VisualizeSettings, *, progress: bool | None = None) -> Plan:
    """Find and check everything that pictures take, which `Plan.run` then makes.

    Parameters
    ----------
    settings : VisualizeSettings
    progress : bool, optional
        Show a bar for weights that are downloaded.

    Raises
    ------
    ProbeError
        See `visualize`.
    """
    settings.checked()
    if settings.channels is not None:  # of NumPy's, too
        settings = replace(settings, channels=[operator.index(k) for k in settings.channels])
    way = _way(settings)
    sides = _sides(settings.size, MARGIN_PX if settings.tileable else 1)
    weights, preprocessing = settings.weights, settings.preprocessing
    target = settings.target
    if settings.model is None:
        first = target
        if isinstance(target, Sequence) and not isinstance(target, str):
            first = next(iter(target), None)
        model: str | Network = targets.home(first, progress=progress)
    else:
        model = models.check_model(settings.model, weights, preprocessing)
    network = models.as_network(
        model, weights, preprocessing, seed=settings.seed, progress=progress
    )
    if target is None:
        target = str(targets.lone_output(network).index)
    elif not isinstance(target, (str, int, Target)) and len(target) == 1:
        target = target[0]
    if isinstance(target, (str, int)):
        network, target = targets.alone(network, target)
    named = [target] if isinstance(target, (str, int, Target)) else list(target)
    each = _targets(named, settings, network)
    shape = sides or network.preprocessing.size
    settings = replace(
        settings, threads=settings.threads or torch.get_num_threads(), lr=settings.lr or way.lr
    )
    at_work = on_device(network, settings.device, channels_last=True)
    with on_threads(settings.threads), at_work as (device, _):
        grey = _grey(network, each, shape, device)
        per_pass = len(each)
        if not settings.diverse:
            per_pass = min(settings.batch_size or with_graph(network, shape), per_pass)
        precision = resolve_precision(settings.precision, device)
        settings = replace(settings, precision=precision, batch_size=per_pass)
    size, channels = settings.size, settings.channels
    record = replace(
        settings,
        model=network.name,
        target=[str(t) for t in named] if len(named) > 1 else str(named[0]),
        channels=None if channels is None else list(channels),
        size=size if size is None or isinstance(size, int) else list(size),
        weights=str(weights),
        device=device.type,
    )
    about = {
        **network.provenance(),
        "made": "visualize",
        "settings": record.to_about(),
        "seed": settings.seed,
        **({"site": sites} if (sites := {t.name: dict(t.facts) for t in each if t.facts}) else {}),
        "targets": [t.name for t in each],
    }
    return Plan(
        network, tuple(each), tuple(grey), way, shape, settings,
        _title(network, named, each, settings), about, Unfinished.of(about, network, *named),
    )  # fmt: skip


def _way(settings: VisualizeSettings) -> Way:
    name, way = settings.parameterisation, WAYS[settings.parameterisation]
    for what, asked, able in (
        ("transparent", settings.transparent, [k for k, v in WAYS.items() if v.transparent]),
        ("tileable", settings.tileable, [k for k, v in WAYS.items() if v.tileable]),
    ):
        if asked and name not in able:
            raise ProbeError(
                f"parameterisation {name!r}: expected {' or '.join(able)} for {what} pictures"
            )
    use_alpha = settings.transparent and way.transparent
    return replace(way, make=way.transparent) if use_alpha and way.transparent else way


def _sides(size: Size | None, min_side: int) -> tuple[int, int] | None:
    """Return height and width."""
    if size is None:
        return None
    sides = [size, size] if isinstance(size, int) else list(size)
    if len(sides) != 2:
        raise ProbeError(f"size {sides}: expected a side, or width and height")
    if min(sides) < min_side:
        raise ProbeError(f"size {min(sides)}: expected a number of pixels ≥ {min_side}")
    return sides[1], sides[0]


def _targets(
    named: Sequence[str | int | Target], settings: VisualizeSettings, network: Network
) -> list[Target]:
    """Return the target of each picture."""
    channels, interpolate = settings.channels, settings.interpolate
    each: list[Target] = []
    all_of_a_layer = False
    for name in named:
        target = targets.read(name, network)
        if isinstance(target, Norm) and not isinstance(name, Target):
            all_of_a_layer = True
            info = next((i for i in models.layers(network) if i.name == target.layer), None)
            if info is None:
                raise ProbeError(
                    f"{target.layer} is a part of what the network returns: name one of its "
                    f"channels, such as {target.layer}:0"
                )
            each += [Channel(target.layer, k) for k in _channels(info, channels)]
        else:
            each.append(target)
    if not each:
        raise ProbeError("target []: expected at least one")
    if channels is not None and not (all_of_a_layer and len(named) == 1):
        raise ProbeError(
            "channels can only be chosen from one layer: name it as the target, such as features.10"
        )
    if interpolate and settings.diverse:
        raise ProbeError("interpolate and diverse cannot be combined: choose one")
    if settings.diverse:
        if len(each) != 1:
            raise ProbeError(f"diverse {settings.diverse}: expected one target, not {len(each)}")
        each = each * settings.diverse
    if interpolate:
        each = _between(each, interpolate)
    if settings.tileable and (units := [t for t in each if isinstance(t, Unit) and t.position]):
        raise ProbeError(
            f"{units[0].name!r} is a unit at one position, but tiles repeat at all of them: name "
            "its channel"
        )
    return each


def _channels(info: LayerInfo, channels: Sequence[int] | None) -> Sequence[int]:
    n = info.n_channels
    for channel in channels or ():
        if not 0 <= channel < n:
            raise ProbeError(
                f"channel {channel} does not exist: layer {info.name!r} has {n}, from 0"
            )
    return range(n) if channels is None else channels


def _between(ends: Sequence[Target], n: int) -> list[Target]:
    """Return directions from one channel to another, in equal angles."""
    indices = [
        (t.layer, t.channel) if isinstance(t, Channel) else (t.layers[0], t.index)
        for t in ends
        if isinstance(t, (Channel, Class))
    ]
    if len(indices) != 2 or len(ends) != 2 or indices[0][0] != indices[1][0]:
        raise ProbeError("interpolate: expected two channels of one layer, or two classes")
    (layer, first), (_, last) = indices
    shares = [k / (n - 1) for k in range(n)]
    names = [f"{1 - share:.0%} {ends[0]}, {share:.0%} {ends[1]}" for share in shares]
    return [
        Between(layer, first, last, share, name) for share, name in zip(shares, names, strict=True)
    ]


def _texture_layer(target: Target, network: Network) -> str:
    """Choose where pictures are compared: at the target's layer, or the last with positions."""
    infos = {i.name: i for i in models.layers(network)}
    for layer in target.layers:
        if layer in infos and infos[layer].n_positions > 1:
            return layer
    positions = [
        name
        for name, info in infos.items()
        if info.default and not info.missing and "y" in info.axes and info.n_positions > 1
    ]  # fmt: skip
    if not positions:
        raise ProbeError(
            f"{network.name} has no layer with positions, at which pictures could differ"
        )
    return positions[-1]


def _as_read(pictures: np.ndarray) -> Tensor:
    """Return pictures as they are read from a file: (n, 3, height, width), over mid-grey."""
    values = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
    opaque = values[:, 3:] if values.shape[1] == 4 else 1.0
    return values[:, :3] * opaque + images.GREY / 255 * (1 - opaque)


def _outputs(network: Network, pictures: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Compute what layers return for pictures in 0–1."""
    dtype = next((p.dtype for p in network.module.parameters()), torch.float32)
    inputs = network.preprocessing.normalise(pictures).to(dtype)
    outputs = differentiable(network.module, inputs, layers)
    return {name: output.detach().float() for name, output in outputs.items()}


def _grey(
    network: Network, each: Sequence[Target], size: tuple[int, int], device: torch.device
) -> list[float]:
    """Compute the targets' numbers for mid-grey; raise if it does not go through the network."""
    grey = torch.full((1, 3, *size), 0.5, device=device)
    layers = list(dict.fromkeys(layer for target in each for layer in target.layers))
    try:
        outputs = _outputs(network, grey, layers)
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        if isinstance(error, ProbeError) or out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:160]
        fits = "×".join(map(str, reversed(network.preprocessing.size)))
        raise ProbeError(
            f"pictures of {size[1]}×{size[0]} do not go through {network.name} ({reason}): choose "
            f"another size, such as {fits}"
        ) from None
    return [float(target(outputs)) for target in each]


def _only(target: Target, outputs: Outputs, k: int) -> Tensor:
    return target({layer: outputs[layer][k : k + 1] for layer in target.layers})


def _ranked(target: Target, outputs: Outputs, k: int) -> dict[str, int | None]:
    """Compare a channel (or class) with all others of its layer, in one picture."""
    if isinstance(target, Channel):
        values = by_channel(outputs[target.layer])[k]
        index, values = target.channel, values.reshape(len(values), -1).mean(1)
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
    settings: VisualizeSettings,
) -> str:
    n = len(each)
    what = each[0].name
    if settings.interpolate:
        what = f"from {named[0]} to {named[1]}"
    elif settings.diverse:
        what = f"{n} pictures of {what}"
    elif n > 1:
        layers = list(dict.fromkeys(layer or "classes" for t in each for layer in t.layers))
        channel = all(isinstance(t, Channel) for t in each)
        what = f"{n} channels of {layers[0]}" if channel and len(layers) == 1 else f"{n} targets"
    return targets.titled(network.name, what)
