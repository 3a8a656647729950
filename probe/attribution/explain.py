"""Which parts of a picture drive a target: from names to a map that shows itself.

picture → network → target → method → `Saliency`
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib import metadata
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from probe import images, models, targets
from probe.activations.batch_size import with_graph
from probe.attribution import methods
from probe.attribution.maps import at_picture
from probe.attribution.method import Method
from probe.attribution.settings import SaliencySettings
from probe.attribution.trust import Trust, trust
from probe.errors import ProbeError
from probe.models import Network
from probe.models.devices import on_device, out_of_memory
from probe.models.registry import neurons
from probe.output.drawable import Contents, Drawable, npy, npz, save_as
from probe.output.files import plain_name
from probe.output.pictures import as_html, figure_file, figure_png
from probe.output.vectors import VECTORS
from probe.plots import maps
from probe.plots.maps import Style
from probe.progress import track
from probe.targets import ForwardFunction, Target
from probe.targets.kinds import check_single

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

DEFAULT_METHOD = "grad-cam"

NEURON_METHOD = "integrated-gradients"
"""By default of recorded sites, and of networks that are neurons. Of ten simulated V4 neurons whose
deletion maps are known, with sites fitted to 1,600 pictures, its maps correlate with these at .51
(mean over neurons), Grad-CAM's at .28, as does the site's field without any picture: a site looks
at one place, and Grad-CAM weighs channels by their mean gradient over all places
(`analyses/known_truth.py`)."""

N_TOP_CLASSES = 5
"""Classes that are told."""


@dataclass(frozen=True, eq=False, repr=False)
class Saliency(Drawable):
    """A map of a picture: how much every place drives a target, and how it was made.

    Attributes
    ----------
    values : numpy.ndarray, float32
        As the method gives them, signed: (3, height, width) of what the network saw; (y, x) of a
        layer's positions.
    picture : PIL.Image.Image
        What the map lies over, upright: the whole picture, or the part that the network saw.
    method : Method
    target : str
    value : float
        The target's number for this picture.
    layer : str
        Whose positions they are; empty for maps of pixels.
    model : str
    top : tuple of (str, float)
        The classes that the network sees, and their probability; empty for other networks.
    about : dict
        Everything that decides the values, as plain values.
    network : Network
    inputs : torch.Tensor, shape (1, 3, height, width)
        What the network saw, preprocessed.
    explained : Target
        What ``target`` names.
    given : dict
        With what the method was called, besides, and what it chose by itself.
    """

    values: np.ndarray
    picture: Image.Image
    method: Method
    target: str
    value: float
    layer: str
    model: str
    top: tuple[tuple[str, float], ...]
    about: Mapping[str, Any]
    network: Network
    inputs: Tensor
    explained: Target
    given: Mapping[str, Any]

    @cached_property
    def map(self) -> np.ndarray:
        """The map at the size of ``picture``: float32, (height, width).

        Colours are summed, with their signs; what is smaller is interpolated bilinearly.
        """
        values = torch.from_numpy(self.values)
        one = values.sum(0) if values.ndim == 3 else values
        return at_picture(one[None], (self.picture.height, self.picture.width))[0].numpy()

    @property
    def title(self) -> str:
        """One line that says what is shown."""
        at = f" at {self.layer}" if self.layer else ""
        return f"{self.method.name}{at} of {targets.titled(self.model, self.target)}"

    @property
    def said(self) -> tuple[str, ...]:
        """How good the fit is of each recorded site in the target; empty without."""
        return targets.said(self.explained)

    @property
    def scale(self) -> str:
        """One line that says what the colours stand for."""
        end = self.end
        if not self.map.any():
            return "the map is zero everywhere"
        ends = f"−{end:.2g} (blue) to {end:.2g} (red)" if self.method.signed else f"0 to {end:.2g}"
        return f"colours from {ends}: {100 * self._share:g} % of the map lie within"

    @property
    def end(self) -> float:
        """Where the colours end: larger values have the last one.

        99.5 % of the map lie within; of one with a value for each pixel of the input, in which the
        largest are single pixels, 97 %, or the others would not be seen.
        """
        return maps.scale_of(self.map, self._share)

    @property
    def _share(self) -> float:
        is_fine = self.values.shape[-2:] == tuple(self.inputs.shape[-2:])
        return maps.FINE_QUANTILE if is_fine else maps.QUANTILE

    def overlay(self) -> Image.Image:
        """Return the map over the picture, at the picture's size; the opacity is its magnitude."""
        pixels = np.asarray(self.picture)
        return Image.fromarray(
            maps.overlay(pixels, self.map, signed=self.method.signed, scale=self.end)
        )

    def plot(
        self,
        style: Style = "overlay",
        ax: Axes | None = None,
        *,
        title: str | None = None,
        figure: Figure | SubFigure | None = None,
    ) -> Axes | Figure | SubFigure:
        """Draw the map.

        Parameters
        ----------
        style : {"overlay", "side", "map", "contours"}
            Over the picture; picture, overlay and map side by side, with the scale; alone; as
            contours at 25, 50 and 75 % of the scale.
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure.
        title : str, optional
            By default `title`, which says all; an empty one is left out.
        figure : matplotlib.figure.Figure or SubFigure, optional
            The same for ``side``, which has three panels.

        Returns
        -------
        matplotlib.axes.Axes, or for ``side`` matplotlib.figure.Figure or SubFigure
        """
        maps.check_style(style)
        pixels, signed = np.asarray(self.picture), self.method.signed
        title = self.title if title is None else title
        if style == "side":
            return maps.plot_side_by_side(
                pixels, self.map, signed=signed, title=title, label="for the target",
                scale=self.end, figure=figure,
            )  # fmt: skip
        return maps.plot_map(
            pixels, self.map, signed=signed, style=style, title=title, scale=self.end, ax=ax
        )

    def png(self, style: Style = "overlay", *, dpi: int = 300) -> bytes:
        """Return the content of a PNG file; `probe.images.about` reads how it was made.

        An overlay has the picture's pixels; figures have so many per inch.
        """
        about = {**self.about, "style": style, "scale": self.scale}
        if style == "overlay":
            return images.png(self.overlay(), about)
        return figure_png(self.plot(style), about, dpi=dpi)

    def save(self, path: str | Path, style: Style = "overlay") -> Path:
        """Write a picture (.png), with all that made it in its metadata, or the values (.npy).

        Or the map as a figure (.pdf, .svg), with its title.

        Raises
        ------
        ProbeError
            If the file is of another kind, or cannot be written.
        """
        of_figure: Contents = {".png": partial(self.png, style), **self._vectors(style)}
        return save_as(path, {**of_figure, **self._contents()})

    def _vectors(self, style: Style = "overlay") -> Contents:
        return {kind: partial(self._vector, kind, style) for kind in VECTORS}

    def _vector(self, kind: str, style: Style = "overlay") -> bytes:
        return figure_file(self.plot(style), self.title, kind, about=self.about, tight=True)

    def _contents(self) -> Contents:
        return {".npy": lambda: npy(self.values)}

    def check(self, *, seed: int = 0, device: str = "auto", progress: bool | None = None) -> Trust:
        """Measure how far to trust the map: see `Trust`.

        Parameters
        ----------
        device : str
            As in `saliency`.
        seed : int
            Of random weights, orders and squares.
        progress : bool, optional
            Show a progress bar; by default when a person is watching.

        Raises
        ------
        ProbeError
            If the target does not change when parts of the picture are covered.
        """
        of = self.method
        method_settings = {**self.given, "progress": False} if of.has_progress else self.given
        with on_device(self.network, device, channels_last=True) as (device_used, dtype):
            return trust(
                of, partial(of.function, **method_settings), self.network.module,
                self.inputs.to(device_used, dtype), self.explained, self.values, title=self.title,
                seed=seed, batch_size=with_graph(self.network), progress=progress,
            )  # fmt: skip

    def _repr_html_(self) -> str:
        return as_html(self.png("side"), self.title) + self._caption()

    def _caption(self) -> str:
        words = ", ".join(f"{label} {share:.0%}" for label, share in self.top[:3])
        lines = [self.scale, *([f"the network sees: {words}"] if words else []), *self.said]
        return f"<p style='font-size:small'>{'<br>'.join(map(html.escape, lines))}</p>"

    def __repr__(self) -> str:
        return f"<Saliency {self.title}, {self.value:.4g}; {self.scale}>"


@dataclass(frozen=True, eq=False, repr=False)
class Saliencies(Drawable, Sequence[Saliency]):
    """Several maps of one picture: methods, and layers of those that have a map of a layer.

    Attributes
    ----------
    maps : tuple of Saliency
    """

    maps: tuple[Saliency, ...]

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, index: Any) -> Any:
        return self.maps[index]

    @property
    def title(self) -> str:
        """One line that says what is shown."""
        first, layers = self.maps[0], self._layers()
        at = f"Layer maps at {layers[0]}. " if len(layers) == 1 and layers[0] else ""
        return f"{targets.titled(first.model, first.target)}. {at}Each map on its own scale"

    def _layers(self) -> list[str]:
        """Return the layers whose positions there are maps of; one without a name for none."""
        return list(dict.fromkeys(one.layer for one in self.maps if one.layer)) or [""]

    def _note(self) -> str:
        """Return what the colours are, and how much of each map lies within its scale."""
        fine = {one.method.name for one in self.maps if one._share == maps.FINE_QUANTILE}
        others = {one.method.name for one in self.maps} - fine
        note = "Red: for the target, blue: against it; from dark to yellow: how much, without sign."
        shares = ((others, maps.QUANTILE), (fine, maps.FINE_QUANTILE))
        scales = [
            f"{100 * share:g} % of the values"
            + (f" of {', '.join(sorted(names))}" if fine and others else "")
            for names, share in shares
            if names
        ]
        return f"{note} Colours end where {'; and '.join(scales)} lie within."

    def plot(self, figure: Figure | SubFigure | None = None) -> Figure | SubFigure:
        """Draw a contact sheet, method by method and layer by layer.

        Each map has a scale of its own, which the note below the sheet describes.

        Parameters
        ----------
        figure : matplotlib.figure.Figure or SubFigure, optional
            Where to draw; by default a new figure.

        Returns
        -------
        matplotlib.figure.Figure or SubFigure
        """
        methods_shown = list(dict.fromkeys(one.method.name for one in self.maps))
        layers = self._layers()
        table: list[list[Saliency | None]] = [[None] * len(methods_shown) for _ in layers]
        for one in self.maps:
            row = layers.index(one.layer) if one.layer else 0
            table[row][methods_shown.index(one.method.name)] = one
        return maps.plot_sheet(
            np.asarray(self.maps[0].picture),
            [[None if one is None else one.map for one in line] for line in table],
            signed=[[one is not None and one.method.signed for one in line] for line in table],
            rows=layers,
            columns=methods_shown,
            title=self.title,
            scales=[[None if one is None else one.end for one in line] for line in table],
            note=self._note(),
            figure=figure,
        )

    @property
    def about(self) -> Mapping[str, Any]:
        """Everything that decides the maps, as plain values."""
        return {"maps": [dict(one.about) for one in self.maps]}

    def _contents(self) -> Contents:
        """Return all values, by method and layer."""
        arrays = {plain_name(one.method.name, one.layer): one.values for one in self.maps}
        return {".npz": lambda: npz(arrays)}


def saliency(
    image: images.Picture,
    model: str | Network | nn.Module | None = None,
    method: Any = None,
    target: str | int | Target | None = None,
    *,
    layer: str | Sequence[str] | None = None,
    weights: str = "imagenet",
    preprocessing: str = "resize",
    seed: int = 0,
    batch_size: int | None = None,
    device: str = "auto",
    progress: bool | None = None,
    **settings: Any,
) -> Saliency | Saliencies:
    """Compute which parts of a picture drive a class, a unit, or whatever is the target.

    Parameters
    ----------
    image : path, bytes, uint8 array (height, width[, 3]), or Pillow image
    model : str, Network or torch.nn.Module, optional
        A name (`probe.models.names`), ``timm:NAME``, ``file:PATH``, or a network of yours. May be
        left out where the target is a recorded site, which knows its network.
    method : str, class or object of Captum, callable, or sequence of these, optional
        Names of `probe.attribution.METHODS`; as a string, separated by commas, or ``all``. Of
        Captum, a class (``captum.attr.IntegratedGradients``), an object that was built for this
        network, or a function that builds one of a forward function (``lambda f:
        NoiseTunnel(Saliency(f))``). By default Grad-CAM; of a recorded site, or a network that is
        a neuron, integrated gradients.
    target : str, int or Target, optional
        A class, a channel, a unit, a layer, a recorded site (``site:v4:12``), or a sum of these, as
        `probe.targets.parse` reads it; a number is a class. By default the class that the network
        sees.
    layer : str or sequence of str, optional
        Of the methods that have a map of a layer; by default, the last one with several positions.
    weights : str
        ``imagenet``, ``random``, or a checkpoint file. A network of yours brings its own.
    preprocessing : {'resize', 'torchvision'}
        ``resize``: the whole picture. ``torchvision``: what the weights were trained with, a crop.
    seed : int
        Of random weights, noise and masks.
    batch_size : int, optional
        Pictures in a pass, at most; by default what takes a gigabyte. Halved where memory runs out.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    progress : bool, optional
        Show a progress bar; by default when a person is watching.
    **settings
        Of a method: ``steps``, ``baseline``, …; of Captum's, what ``attribute`` takes.

    Returns
    -------
    Saliency
        Of one method (and layer).
    Saliencies
        Of several.

    Raises
    ------
    ProbeError
        If something that was named does not exist, the picture cannot be read, or the target has no
        gradient there.

    See Also
    --------
    probe.attribution.Saliency.check : How far to trust a map.
    visualize : A picture that drives the target.
    encode : Fits recorded sites, which are targets, too.
    probe.attribution.deletion_in_vivo : Maps held against deletions in the animal.

    Examples
    --------
    >>> import numpy as np
    >>> import probe
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Conv2d(3, 8, 7, stride=4), nn.ReLU())
    >>> picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    >>> result = probe.saliency(picture, network, "gradient", "1:3")
    >>> result.map.shape  # one value per pixel, signed
    (64, 64)
    >>> probe.saliency("cat.jpg", "alexnet", "grad-cam", "tabby").save("map.png")  # doctest: +SKIP
    """
    options = SaliencySettings.of(locals()).checked()
    method = default_method(model, target) if method is None else method
    chosen = methods.choose(method)
    if all(m.name in methods.METHODS for m in chosen):  # of others, when their network is there
        methods.check_settings(chosen, settings)
    if model is None:
        model = targets.home(target, progress=progress)
    else:
        model = models.check_model(model, weights, preprocessing)
    picture, name = images.read_named(image)
    network = models.as_network(model, weights, preprocessing, seed=seed, progress=progress)
    network, target = targets.alone(network, target)
    if target is not None:
        target = targets.read(target, network)
    chosen = methods.for_network(chosen, network.module, settings)
    preprocessed = network.preprocessing(picture)[None]
    with on_device(network, device, channels_last=True) as (device_used, dtype):
        inputs = preprocessed.to(device_used, dtype)
        explained = target or targets.predicted(network, inputs)
        layers = (
            default_layers(layer, network, explained) if any(m.needs_layer for m in chosen) else []
        )
        pairs = [(m, at) for m in chosen for at in (layers if m.needs_layer else [m.at])]
        watched: Iterable[tuple[Method, str]] = pairs
        inner = progress  # the only map has a bar; those of several count, and are not shown
        if len(pairs) > 1 or not pairs[0][0].has_progress:
            inner = False
            watched = track(
                pairs, desc="saliency", unit="map", progress=progress,
                work=[_work(m, settings) for m, _ in pairs],
            )  # fmt: skip
        top = _top(network, inputs)
        of_target = targets.values(network.module, inputs, explained)
        check_single(of_target, explained)
        value = float(of_target)
        size = options.batch_size or with_graph(network)
        ran = [
            _run(m, at, network.module, inputs, explained, size, options.seed, inner, settings)
            for m, at in watched
        ]
    below = _below(network, picture, preprocessed)
    about = _about(network, picture, name, explained, value) | {"seed": seed}
    explanations = tuple(
        Saliency(
            array, below, _as_drawn(m, array), explained.name, value, at, network.name, top,
            about | {
                "method": m.name, "layer": at, "settings": _plain(m, settings),
                **({m.library: metadata.version(m.library)} if m.library else {}),
            },
            network, preprocessed, explained, chosen_settings,
        )
        for (m, at), (array, chosen_settings) in zip(pairs, ran, strict=True)
    )  # fmt: skip
    is_sheet = len(explanations) > 1 or isinstance(method, list | tuple)
    return Saliencies(explanations) if is_sheet else explanations[0]


def as_saliency(
    values: Tensor | np.ndarray,
    forward: ForwardFunction,
    image: images.Picture,
    *,
    name: str = "Captum",
    layer: str = "",
) -> Saliency:
    """Return a map that was computed elsewhere as one that draws, shows and saves itself.

    Parameters
    ----------
    values : torch.Tensor or numpy.ndarray
        For one picture, with or without the axis of pictures: (3, height, width) of what the
        network saw; (channels, y, x) of a layer, which are summed, or (y, x).
    forward : ForwardFunction
        Of what target, as `probe.targets.forward_function` makes it.
    image : path, bytes, uint8 array (height, width[, 3]), or Pillow image
        Whose map it is.
    name : str
        Of the method, for titles.
    layer : str
        Whose positions they are; empty for maps of pixels.

    Returns
    -------
    Saliency
        Its `Saliency.check` refuses: the method that made the values is not known.

    Raises
    ------
    ProbeError
        If the values are of another shape, or not finite.

    See Also
    --------
    probe.targets.forward_function : Makes the forward function, and there is an example.
    """
    network, target = forward.described, forward.target
    picture, file = images.read_named(image)
    inputs = forward.inputs(image)
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, np.float32)
    array = array[0] if array.ndim == 4 and len(array) == 1 else array
    if array.ndim == 3 and array.shape != tuple(inputs.shape[1:]):
        array = array.sum(0)
    if array.ndim not in (2, 3) or not np.isfinite(array).all():
        raise ProbeError(
            f"values of shape {tuple(values.shape)}: expected finite ones of one picture, "
            f"{tuple(inputs.shape[1:])} or (channels, y, x)"
        )
    method = Method(
        name, _unknown, "layer" if array.ndim == 2 else "pixels", bool((array < 0).any()),
        "computed elsewhere",
    )  # fmt: skip
    value = float(targets.values(network.module, inputs, target))
    about = _about(network, picture, file, target, value) | {"method": name, "layer": layer}
    return Saliency(
        np.ascontiguousarray(array), _below(network, picture, inputs), method, target.name, value,
        layer, network.name, _top(network, inputs), about, network, inputs, target, {},
    )  # fmt: skip


def _unknown(module: nn.Module, images: Tensor, target: Target) -> Tensor:
    """Refuse to make a map anew."""
    raise ProbeError(
        "this map was computed elsewhere, and its checks have to compute it anew: give the method "
        "to probe.saliency, such as probe.saliency(picture, network, captum.attr.DeepLift, target)"
    )


def _below(network: Network, picture: Image.Image, preprocessed: Tensor) -> Image.Image:
    """Return what a map lies over: all of the picture, of a network that sees all of it."""
    if network.preprocessing.crop is None:
        return picture
    return Image.fromarray(network.preprocessing.seen(preprocessed[0]))


def _about(
    network: Network, picture: Image.Image, file: str, target: Target, value: float
) -> dict[str, Any]:
    """Return what maps of a target are of, as plain values."""
    return {
        **network.provenance(),
        "image": Path(file).name,
        "image_sha256": hashlib.sha256(np.asarray(picture).tobytes()).hexdigest(),
        **({"notes": images.notes_of(picture)} if images.notes_of(picture) else {}),
        "target": target.name,
        **({"site": dict(target.facts)} if target.facts else {}),
        "value": value,
    }


def _as_drawn(method: Method, values: np.ndarray) -> Method:
    """Return a method whose maps are known to be signed or not: of Captum's, seen in the map."""
    if method.name in methods.METHODS:
        return method
    return replace(method, signed=bool((values < 0).any()))


def default_method(
    model: str | Network | nn.Module | None, target: str | int | Target | None
) -> str:
    """Return the name of the method that a target is explained by, where none is named."""
    architecture = model.architecture if isinstance(model, Network) else model
    is_neuron = isinstance(architecture, str) and bool(neurons(architecture))
    return NEURON_METHOD if is_neuron or targets.is_site(target) else DEFAULT_METHOD


def default_layers(
    layer: str | Sequence[str] | None, network: Network, target: Target | None = None
) -> list[str]:
    """Find the layers that a user means, or the last one with several positions.

    The last that the target depends on: a channel, or a recorded site, ends at its own layer.
    """
    infos = {info.name: info for info in models.layers(network)}
    if layer is not None:
        return models.resolve(layer, network)
    order = {name: k for k, name in enumerate(infos)}
    ends = [order[name] for name in (target.layers if target else ()) if name in order]
    spatial = [
        name
        for name, info in infos.items()
        if info.default and not info.missing and _has_places(info)
        and order[name] <= min(ends, default=len(order))
    ]  # fmt: skip
    if ends:
        # What ends there looks at nothing that comes after: no class token, no map of classes.
        last = list(infos)[min(ends)]
        if infos[last].n_positions > 1:
            return [last]
        if spatial:
            return [spatial[-1]]
    if not spatial:
        raise ProbeError(f"{network.name} has no layer with positions: name a method of pixels")
    # A layer that has a channel per class speaks of the target's alone: the one before is meant.
    blocks = [name for name in spatial if infos[name].kind == "block"] or spatial
    # After the last attention of a transformer, the class token alone is looked at.
    tokens = "token" in infos[blocks[-1]].axes and len(blocks) > 1
    return [blocks[-2] if tokens else blocks[-1]]


def _has_places(info: models.LayerInfo) -> bool:
    """Return whether a layer has several positions, and it is known where in the picture."""
    unplaced = "token" in info.axes and (info.layout is None or info.layout.grid is None)
    return info.n_positions > 1 and not unplaced


def _run(
    method: Method,
    layer: str,
    module: nn.Module,
    inputs: Tensor,
    target: Target,
    batch_size: int,
    seed: int,
    progress: bool | None,
    settings: Mapping[str, Any],
) -> tuple[np.ndarray, dict[str, Any]]:
    """Compute one map, with fewer pictures at a time where memory runs out."""
    arguments: dict[str, Any] = {k: v for k, v in settings.items() if k in method.settings}
    if "seed" in method.settings:
        arguments.setdefault("seed", seed)
    if method.needs_layer:
        arguments["layer"] = layer
    bar = {"progress": progress} if method.has_progress else {}
    while True:
        if "batch_size" in method.settings:
            arguments["batch_size"] = batch_size
        try:
            if method.choosing is None:
                attribution = method.function(module, inputs, target, **arguments, **bar)[0]
            else:
                attributions, chosen = method.choosing(module, inputs, target, **arguments, **bar)
                attribution, arguments = attributions[0], arguments | chosen
            break
        except Exception as error:
            if not out_of_memory(error):
                raise
            if batch_size == 1 or "batch_size" not in method.settings:
                raise ProbeError(
                    f"{method.name} does not fit into memory: choose another --device, or a "
                    "smaller network"
                ) from None
        batch_size //= 2
    values = attribution.float().cpu().numpy()
    if not np.isfinite(values).all():
        raise ProbeError(
            f"{method.name} gives values that are not finite for target {target.name!r}: the "
            "network's own output or gradient overflows here"
        )
    return np.ascontiguousarray(values), arguments


def _work(method: Method, settings: Mapping[str, Any]) -> float:
    """Return about how many forward passes a map takes, for the estimate of the time that is left.

    A backward pass takes as long as two of them.
    """
    if method.name == "occlusion":
        return 14.0**2
    own = {name: option.default for name, option in signature(method.function).parameters.items()}
    counts = [name for name in ("samples", "steps", "masks") if name in own]
    n = [settings.get(name, own[name]) for name in counts]
    n_pictures = float(max(filter(None, n), default=50 if n else 1))
    return n_pictures if "masks" in counts else 3 * n_pictures


def _top(network: Network, inputs: Tensor) -> tuple[tuple[str, float], ...]:
    """Return the classes that a network sees, and their probabilities."""
    labels = targets.class_labels(network)
    if not labels or network.missing or neurons(network.architecture or ""):
        return ()
    scores = targets.differentiable(network.module, inputs, [targets.OUTPUT])[targets.OUTPUT]
    if scores.ndim != 2 or scores.shape[1] != len(labels):
        return ()
    shares = scores.float().softmax(1)[0]
    best = shares.argsort(descending=True)[:N_TOP_CLASSES].tolist()
    return tuple((labels[k], float(shares[k])) for k in best)


def _plain(method: Method, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a method's settings as JSON has them; of arrays, a hash."""
    plain = {}
    for name, value in settings.items():
        if name not in method.settings:
            continue
        if isinstance(value, (Tensor, np.ndarray)):
            content = np.ascontiguousarray(np.asarray(value))
            value = f"array {content.shape} {hashlib.sha256(content.tobytes()).hexdigest()[:16]}"
        plain[name] = json.loads(json.dumps(value, default=str))
    return plain
