"""What a unit, a channel or a class looks for: pictures that drive it (Olah et al. 2017).

noise → parameterisation → what the network sees of it → target → pictures, and how well they do

The pictures are made on a canvas that is a little larger than what the network sees. Each step
shows it another part of that, turned and scaled, and the margin is cut off at the end: there is no
frame around the picture that the network could look at, and none that it would not. What can be
laid as tiles needs no margin: it is shown shifted by any distance, with its own other side around.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from probe import images, models, targets
from probe.activations.batch_size import with_graph
from probe.activations.capture import differentiable
from probe.errors import ProbeError, suggest
from probe.models import LayerInfo, Network
from probe.models.devices import on_device, out_of_memory
from probe.plots.pictures import tiled
from probe.progress import track
from probe.synthesis.natural import Maco, OverNoise
from probe.synthesis.objectives import Between, Diverse, Each
from probe.synthesis.optimise import (
    PRECISIONS,
    Precision,
    as_array,
    computes_bfloat16,
    optimise,
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
from probe.synthesis.run import Run, Unfinished, on_threads, running
from probe.synthesis.transforms import Jitter, Roll, ScaleAndRotate, Transform, Wrap
from probe.synthesis.visualisation import Visualisation
from probe.targets import Channel, Class, Norm, Outputs, Target, Unit, by_channel

Size = int | Sequence[int]
"""Of a picture in pixels: the side of a square, or width and height."""

MARGIN = 12
"""Pixels that are cut off at each side in the end."""

SEEN: tuple[Transform, ...] = (Jitter(16), ScaleAndRotate((0.8, 1.2), 15.0), Jitter(8))
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
        So many pictures from the first of two targets to the second, both included: channels of
        one layer, or classes. Targets are directions in between (see `probe.targets.Direction`).
    diverse : int, optional
        So many pictures of one target that are as different as they can be (see
        `probe.synthesis.objectives.Diversity`). They begin with noise of their own.
    parameterisation : {'fourier', 'laplacian', 'pixels', 'maco'}
        What a picture is made of: `probe.synthesis.parameterisations`, `probe.synthesis.natural`.
    size : int or (int, int), optional
        Of the pictures, in pixels: the side, or width and height; by default, what the network was
        made for. The positions of units are those at this size.
    transparent : bool
        Make pictures that are opaque only where it counts for the target: seen over another
        background in every step, and the better the less they cover (Mordvintsev et al. 2018).
    tileable : bool
        Make pictures that go on at the opposite side, for patterns without seams.
    steps : int
        At most.
    tolerance : float
        Stop early when the pictures that are made together gain less than this share of the
        target's number in 32 steps; 0 never does. What is made together stops together.
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
    threads : int, optional
        As many as torch uses by itself; another number rounds otherwise.
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
    plan = prepare(
        model, target, channels=channels, interpolate=interpolate, diverse=diverse,
        parameterisation=parameterisation, size=size, transparent=transparent, tileable=tileable,
        steps=steps, tolerance=tolerance, lr=lr, weights=weights, preprocessing=preprocessing,
        seed=seed, precision=precision, batch_size=batch_size, device=device,
        threads=threads, progress=progress,
    )  # fmt: skip
    found = plan.run(preview=preview, preview_every=preview_every, progress=progress)
    plan.finished()
    return found


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
    diverse, transparent, tileable, steps, tolerance, lr, seed, precision, device, threads
        As in `visualize`.
    most : int
        Pictures in a pass.
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
    diverse: bool
    transparent: bool
    tileable: bool
    steps: int
    tolerance: float
    lr: float
    seed: int
    precision: Precision
    device: str
    threads: int
    most: int
    title: str
    about: Mapping[str, Any]
    store: Unfinished | None

    def run(
        self,
        *,
        preview: Callable[[np.ndarray], None] | None = None,
        preview_every: int = 0,
        progress: bool | None = None,
    ) -> Visualisation:
        """Make them, from where it was interrupted; they stay in the cache until `finished`."""
        with running(
            self.store, self.network, device=self.device, threads=self.threads, forget=False,
            preview=preview, preview_every=preview_every, progress=progress,
        ) as run:  # fmt: skip
            pictures, taken = self._made(run)
            table = self._measured(run.device, pictures, taken)
        about = {**self.about, "silent": list(table["target"][table["silent"]])}
        return Visualisation(pictures, table, about, self.title, self.each)

    def finished(self) -> None:
        """Forget what is kept."""
        if self.store is not None:
            self.store.forget()

    def _made(self, run: Run) -> tuple[np.ndarray, list[int]]:
        """Give the pictures, made so many at a time, and the steps that each took."""
        done: list[Tensor] = list(run.state.get("pictures", ()))
        taken: list[int] = list(run.state.get("taken", ()))
        starts = range(0, len(self.each), self.most)
        bar = track(
            total=len(self.each), initial=len(taken), desc="visualize", unit="picture",
            progress=run.progress if len(starts) > 1 else False,
        )  # fmt: skip
        with bar:
            for start in starts[len(done) :]:
                chunk = self.each[start : start + self.most]
                made = self._start(len(chunk), run.device)
                slopes = through(
                    self.network, self._target(chunk), self._seen(), seed=self.seed,
                    precision=self.precision,
                )  # fmt: skip
                try:
                    history = optimise(
                        made, slopes, self.way.optimiser(made.parameters, lr=self.lr), self.steps,
                        tolerance=self.tolerance, desc="visualize",
                        **run.loop(lambda c: tiled(self._cut(c)), pictures=done, taken=taken),
                    )  # fmt: skip
                except RuntimeError as error:
                    if not out_of_memory(error):
                        raise
                    raise ProbeError(
                        f"{self.network.name} does not fit into memory with {len(chunk)} pictures "
                        "at a time: choose a smaller batch size or size"
                    ) from None
                with torch.no_grad():
                    done.append(torch.from_numpy(self._cut(made())))
                taken += [len(history)] * len(chunk)
                bar.update(len(chunk))
                run.keep(pictures=done, taken=taken, loop=None)
        return torch.cat(done).numpy(), taken

    def _start(self, n: int, place: torch.device) -> Parameterisation:
        """Give noise."""
        margin = 0 if self.tileable else 2 * MARGIN
        canvas = (self.size[0] + margin, self.size[1] + margin)
        return self.way.make(n, canvas, seed=self.seed, alike=not self.diverse, device=place)

    def _seen(self) -> tuple[Transform, ...]:
        """Say what the network sees of the canvas."""
        around = (Roll(), Wrap(MARGIN)) if self.tileable else ()
        behind = (OverNoise(),) if self.transparent else ()
        return (*around, *SEEN, *behind)

    def _cut(self, canvas: Tensor) -> np.ndarray:
        """Cut the margin off: (n, height, width, 3 or 4)."""
        first = 0 if self.tileable else MARGIN
        rows, columns = (slice(first, first + side) for side in self.size)
        return np.stack([as_array(picture) for picture in canvas[..., rows, columns]])

    def _target(self, each: Sequence[Target]) -> Target:
        """Give what a batch of pictures is made for."""
        if not self.diverse:
            return Each(each)
        return Diverse(each[0], _texture_layer(each[0], self.network))

    def _measured(
        self, place: torch.device, pictures: np.ndarray, taken: Sequence[int]
    ) -> pd.DataFrame:
        """Tell what the pictures are worth: see `Visualisation`."""
        with torch.no_grad():
            began = self._cut(self._start(len(self.each) if self.diverse else 1, place)())
        rows = []
        for start in range(0, len(self.each), self.most):
            end = start + self.most
            chunk = self.each[start:end]
            layers = list(dict.fromkeys(layer for target in chunk for layer in target.layers))
            before, after = (
                _outputs(self.network, _as_read(shown).to(place), layers)
                for shown in (began[start:end] if self.diverse else began, pictures[start:end])
            )
            for k, target in enumerate(chunk):
                value = float(_only(target, after, k))
                noisy = float(_only(target, before, k if self.diverse else 0))
                grey = self.grey[start + k]
                row = {"target": target.name, "value": value, "noise": noisy, "grey": grey}
                row |= {"silent": not value > max(noisy, grey), "steps": taken[start + k]}
                rows.append(row | _ranked(target, after, k))
        return pd.DataFrame(rows).astype({"rank": "Int64", "strongest": "Int64"})


def prepare(
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
    progress: bool | None = None,
) -> Plan:
    """Find and check everything that pictures take, which `Plan.run` then makes.

    Parameters
    ----------
    model, target, channels, interpolate, diverse, parameterisation, size, transparent, tileable, \
    steps, tolerance, lr, weights, preprocessing, seed, precision, batch_size, device, threads
        As in `visualize`.
    progress : bool, optional
        Show a bar for weights that are fetched.

    Raises
    ------
    ProbeError
        See `visualize`.
    """
    way = _way(parameterisation, transparent, tileable)
    sides = _sides(size, MARGIN if tileable else 1)
    _check_numbers(steps, tolerance, lr, precision, batch_size, interpolate, diverse)
    if model is None:
        model = targets.home(
            next(iter(target), None) if isinstance(target, Sequence) and not isinstance(target, str)
            else target,
            progress=progress,
        )  # fmt: skip
    else:
        model = models.check_model(model, weights, preprocessing)
    network = models.as_network(model, weights, preprocessing, seed=seed, progress=progress)
    if target is None:
        target = str(targets.lone_output(network).index)
    elif not isinstance(target, (str, int, Target)) and len(target) == 1:
        target = target[0]
    if isinstance(target, (str, int)):
        network, target = targets.alone(network, target)
    assert target is not None  # there is none of a network alone
    named = [target] if isinstance(target, (str, int, Target)) else list(target)
    each = _targets(named, channels, interpolate, diverse, network)
    if tileable and (units := [t.name for t in each if isinstance(t, Unit) and t.position]):
        raise ProbeError(
            f"{units[0]!r} is a unit at one place, and a tile is shown at all: name its channel"
        )
    shape = sides or network.preprocessing.size
    threads = threads or torch.get_num_threads()
    with on_threads(threads), on_device(network, device, channels_last=True) as (place, _):
        grey = _grey(network, each, shape, place)
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
            "size": size if size is None or isinstance(size, int) else list(size),
            "transparent": transparent,
            "tileable": tileable,
            "steps": steps,
            "tolerance": tolerance,
            "lr": lr or way.lr,
            "weights": str(weights),
            "preprocessing": preprocessing,
            "seed": seed,
            "precision": precision,
            "batch_size": most,
            "device": place.type,
            "threads": threads,
        },
        "seed": seed,
        **({"site": sites} if (sites := {t.name: dict(t.facts) for t in each if t.facts}) else {}),
        "targets": [t.name for t in each],
    }
    return Plan(
        network, tuple(each), tuple(grey), way, shape, diverse is not None, transparent, tileable,
        steps, tolerance, lr or way.lr, seed, precision, device, threads, most,
        _title(network, named, each, about), about, Unfinished.of(about, network, *named),
    )  # fmt: skip


def _way(name: str, transparent: bool, tileable: bool) -> Way:
    if name not in WAYS:
        raise ProbeError(
            f"parameterisation {name!r} is unknown{suggest(name, WAYS)}; there is {', '.join(WAYS)}"
        )
    way = WAYS[name]
    for what, wanted, able in (
        ("transparent", transparent, [k for k, other in WAYS.items() if other.transparent]),
        ("tileable", tileable, [k for k, other in WAYS.items() if other.tileable]),
    ):
        if wanted and name not in able:
            raise ProbeError(f"{what} pictures are made of {' or '.join(able)}, not of {name}")
    return replace(way, make=way.transparent) if transparent and way.transparent else way


def _sides(size: Size | None, least: int) -> tuple[int, int] | None:
    """Give height and width."""
    if size is None:
        return None
    sides = [size, size] if isinstance(size, int) else list(size)
    if len(sides) != 2:
        raise ProbeError(f"size {sides} is neither a side nor width and height")
    if min(sides) < least:
        raise ProbeError(f"size {min(sides)} is too small: {least} or more")
    return sides[1], sides[0]


def _check_numbers(
    steps: int,
    tolerance: float,
    lr: float | None,
    precision: str,
    batch_size: int | None,
    interpolate: int | None,
    diverse: int | None,
) -> None:
    for what, number, least in (
        ("steps", steps, 1),
        ("batch size", batch_size, 1),
        ("interpolate", interpolate, 2),
        ("diverse", diverse, 2),
    ):
        if number is not None and number < least:
            raise ProbeError(f"{what} {number} is too small: {least} or more")
    if not 0 <= tolerance < inf:
        raise ProbeError(f"tolerance {tolerance} is not 0 or a positive number")
    if lr is not None and not 0 < lr < inf:
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
        found = targets.read(one, network)
        if isinstance(found, Norm) and not isinstance(one, Target):
            whole = True
            info = next((i for i in models.layers(network) if i.name == found.layer), None)
            if info is None:
                raise ProbeError(
                    f"{found.layer} is a part of what the network returns: name one of its "
                    f"channels, such as {found.layer}:0"
                )
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
    n = info.n_channels
    for channel in wanted or ():
        if not 0 <= channel < n:
            raise ProbeError(
                f"channel {channel} does not exist: layer {info.name!r} has {n}, from 0"
            )
    return range(n) if wanted is None else wanted


def _between(ends: Sequence[Target], n: int) -> list[Target]:
    """Give directions from one channel to another, in equal angles."""
    places = [
        (t.layer, t.channel) if isinstance(t, Channel) else (t.layers[0], t.index)
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
        raise ProbeError(f"{network.name} has no layer with positions, by which pictures differ")
    return positions[-1]


def _as_read(pictures: np.ndarray) -> Tensor:
    """Give pictures as they are read from a file: (n, 3, height, width), over mid-grey."""
    values = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
    opaque = values[:, 3:] if values.shape[1] == 4 else 1.0
    return values[:, :3] * opaque + images.GREY / 255 * (1 - opaque)


def _outputs(network: Network, pictures: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Give what layers return for pictures in 0–1."""
    dtype = next((p.dtype for p in network.module.parameters()), torch.float32)
    seen = network.preprocessing.normalise(pictures).to(dtype)
    found = differentiable(network.module, seen, layers)
    return {name: output.detach().float() for name, output in found.items()}


def _grey(
    network: Network, each: Sequence[Target], size: tuple[int, int], place: torch.device
) -> list[float]:
    """Give the targets' numbers for mid-grey; what does not go through the network is told."""
    grey = torch.full((1, 3, *size), 0.5, device=place)
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
    return targets.titled(network.name, what)
