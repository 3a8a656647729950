"""How the responses of layers move when the picture moves.

A layer is *equivariant* if its response to a transformed picture is its response to the picture,
transformed in the layer's own coordinates; it is *invariant* if the response stays as it was (Lenc
& Vedaldi 2015, "Understanding image representations by measuring their equivariance and
equivalence", CVPR). Convolutions should do the first under translation, as far as their strides
allow; pooling and later layers do more and more of the second.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torch.nn import functional

from probe import images as pictures
from probe import models
from probe.activations.capture import forward_until
from probe.errors import ProbeError, nearest
from probe.models import LayerInfo, Network, ReceptiveField
from probe.models.devices import on_device
from probe.models.preprocessing import Preprocessing
from probe.output.drawable import Contents, Drawable
from probe.output.text import plain
from probe.progress import track
from probe.stimuli import StimulusSet, image_set, pasupathy_connor_shapes
from probe.tuning.settings import InvarianceSettings
from probe.tuning.units import chosen_layers

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

N_SHAPES = 8
"""How many shapes are shown where nobody brings pictures."""

SHAPE_RADIUS = 0.2
"""Their size, as a share of the picture's: twice as large or moved aside, they are still in it."""

MIN_UNITS = 4
"""Positions of a layer, at least, whose windows stay within the picture."""

TOLERATED_CORRELATION = 0.5
"""The correlation down to which a layer is said to tolerate a transform."""


@dataclass(frozen=True)
class Transform:
    """A family of transforms about the picture's centre, and how far it is followed.

    Attributes
    ----------
    name : str
        ``translation`` (to the right), ``scale`` or ``rotation`` (anticlockwise).
    amounts : tuple of float
        In pixels of what the network sees; as a factor; in degrees. One of them is ``still``.
    """

    name: str
    amounts: tuple[float, ...]

    @property
    def still(self) -> float:
        """The amount that changes nothing."""
        return 1.0 if self.name == "scale" else 0.0

    @property
    def unit(self) -> str:
        """What the amounts are measured in."""
        return {"translation": "px", "scale": "×", "rotation": "°"}[self.name]

    def affine(self, amount: float) -> np.ndarray:
        """Return the map of (y, x) about the centre, y downwards: float64, (2, 3)."""
        if self.name == "translation":
            return np.array([[1.0, 0.0, 0.0], [0.0, 1.0, amount]])
        if self.name == "scale":
            return np.array([[amount, 0.0, 0.0], [0.0, amount, 0.0]])
        # The sine and cosine of a right angle are not quite 0 and 1 in floating point.
        cos, sin = (round(f(math.radians(amount)), 15) for f in (math.cos, math.sin))
        return np.array([[cos, -sin, 0.0], [sin, cos, 0.0]])


TRANSFORMS = {
    "translation": Transform("translation", (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)),
    "scale": Transform("scale", tuple(float(2.0 ** (k / 4)) for k in range(-4, 5))),
    "rotation": Transform("rotation", tuple(float(15 * k) for k in range(13))),
}


@dataclass(frozen=True, eq=False, repr=False)
class Invariance(Drawable):
    """How the layers of a network respond to transformed pictures.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per layer, transform and amount: ``layer``, ``alias``, ``kind`` (as in
        `probe.models.LayerInfo`), ``transform``, ``amount``, ``unit``, ``error`` and
        ``correlation`` (means over pictures), ``error_sd``, ``correlation_sd``, ``n_units``
        (positions that the error is taken over) and ``n_images``. The error is NaN where the
        layer is no map, or fewer than `MIN_UNITS` of its positions have windows within the
        picture.
    about : mapping
        Everything that decides it, as plain values.
    """

    table: pd.DataFrame
    about: Mapping[str, Any]

    @property
    def title(self) -> str:
        """One line that says what is shown."""
        return f"{self.about['model']} · {self.about['images']}, {self.about['n_images']} pictures"

    @property
    def summary(self) -> pd.DataFrame:
        """One row per layer: errors, and how much of each transform it tolerates.

        ``error`` is the mean over all amounts but that which changes nothing; what is tolerated is
        the least amount, in either direction, at which the correlation falls to
        `TOLERATED_CORRELATION`: in pixels, octaves, degrees; infinite where it does not.
        """
        rows = []
        for layer, of_layer in self.table.groupby("layer", sort=False):
            row: dict[str, Any] = {"layer": layer, "alias": of_layer["alias"].iloc[0]}
            for name, of_transform in of_layer.groupby("transform", sort=False):
                transform = TRANSFORMS[str(name)]
                moved = of_transform[of_transform["amount"] != transform.still]
                row[f"error_{name}"] = moved["error"].mean()
                row[f"tolerates_{name}"] = _tolerated(transform, of_transform)
            rows.append(row)
        return pd.DataFrame(rows)

    def plot(
        self, figure: Figure | SubFigure | None = None, *, legend: bool = True
    ) -> Figure | SubFigure:
        """Draw errors and correlations against the amounts.

        Parameters
        ----------
        figure : matplotlib.figure.Figure or SubFigure, optional
            Where to draw; by default a new figure.
        legend : bool
            Whether there is one.

        Returns
        -------
        matplotlib.figure.Figure or SubFigure
        """
        from probe.plots.invariance import plot_invariance

        return plot_invariance(self.table, title=self.title, legend=legend, figure=figure)

    def _contents(self) -> Contents:
        return {".csv": lambda: self.table.to_csv(index=False).encode()}

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; what is missing or infinite is None."""
        parts = {"table": self.table, "summary": self.summary}
        records = {name: part.to_dict("records") for name, part in parts.items()}
        return dict(plain({"about": dict(self.about)} | records))


def invariance(
    model: str | Network | nn.Module,
    images: str | os.PathLike[str] | StimulusSet | None = None,
    layers: str | Sequence[str] = "default",
    *,
    transforms: str | Sequence[str | Transform] = tuple(TRANSFORMS),
    weights: str | Path = "imagenet",
    preprocessing: str = "resize",
    seed: int = 0,
    batch_size: int = 8,
    device: str = "auto",
    progress: bool | None = None,
) -> Invariance:
    """Measure how the responses of layers move under translation, scale and rotation.

    Pictures are transformed about their centre at their own resolution, on mid-grey, and then
    preprocessed. The equivariance error of a layer that is a map is ‖Φ(Tx) − T'Φ(x)‖ / ‖T'Φ(x)‖,
    where T' is T in the layer's coordinates, which its jump and its first window give, with
    bilinear interpolation between units; over the units whose windows, before and after, lie
    within the picture. The invariance of any layer is Pearson's correlation, over its units, of
    Φ(Tx) with Φ(x), both as evoked by the picture: the response to plain mid-grey is subtracted,
    since what most units do where there is nothing would correlate under any transform.

    Parameters
    ----------
    model : str, Network or torch.nn.Module
        A name as `probe.models.load` takes it, or a network.
    images : path, StimulusSet or None
        As `probe.stimuli.image_set` takes them; by default closed shapes on mid-grey
        (`probe.stimuli.Shape`), drawn at the size that the network sees.
    layers : str or sequence of str
        As in `probe.models.resolve`. ``default``: convolutions, pools, linear layers and blocks.
    transforms : str, or sequence of str or Transform
        Of ``translation``, ``scale``, ``rotation``, or with amounts of one's own; as a string,
        separated by commas.
    weights, preprocessing, seed
        As in `probe.models.load`, for a name.
    batch_size : int
        Most pictures in a forward pass.
    device : str
        ``auto``, ``cpu``, ``cuda``, ….
    progress : bool, optional
        Show a progress bar; by default when a person is watching.

    Returns
    -------
    Invariance

    Raises
    ------
    ProbeError
        If a layer or transform does not exist, or the pictures cannot be read.

    See Also
    --------
    probe.features.activation_maps : The maps that move with the picture.
    """
    settings = InvarianceSettings.of(locals()).checked()
    if isinstance(transforms, str):
        transforms = [word.strip() for word in transforms.split(",")]
    chosen = [_transform(transform) for transform in transforms]
    if not chosen:
        raise ProbeError(f"no transform was named: expected some of {', '.join(TRANSFORMS)}")
    checked = models.check_model(model, weights, preprocessing)
    infos = chosen_layers(checked, layers)
    stimuli = None if images is None else image_set(images)
    network = models.as_network(checked, weights, preprocessing, seed=seed)
    infos = [info for info in infos if network.available(info.name)]
    if not infos:
        raise ProbeError(f"{network.name}: none of the layers has weights")
    stimuli = _shapes(network.input_shape[1]) if stimuli is None else stimuli
    with on_device(network, device) as (device_used, dtype):
        table = _measure(network, stimuli, infos, chosen, device_used, dtype, settings)
    return Invariance(
        table,
        {
            **network.provenance(),
            "images": stimuli.name,
            "images_sha256": stimuli.hash,
            "n_images": len(stimuli),
            "layers": [info.name for info in infos],
            "transforms": {t.name: list(t.amounts) for t in chosen},
        },
    )


def _transform(transform: str | Transform) -> Transform:
    name = transform if isinstance(transform, str) else transform.name
    if name not in TRANSFORMS:
        names = ", ".join(TRANSFORMS)
        raise ProbeError(f"transform {name!r}: expected one of {names}{nearest(name, TRANSFORMS)}")
    if isinstance(transform, str):
        return TRANSFORMS[name]
    if not all(math.isfinite(a) for a in transform.amounts) or (
        transform.name == "scale" and min(transform.amounts) <= 0
    ):
        raise ProbeError(
            f"amounts of {transform.name} {transform.amounts}: expected finite numbers, and "
            "factors > 0"
        )
    still = () if transform.still in transform.amounts else (transform.still,)
    return Transform(transform.name, tuple(sorted({*transform.amounts, *still})))


def _shapes(size: int) -> StimulusSet:
    """Draw a few shapes, each from another prototype, small on mid-grey."""
    shapes = pasupathy_connor_shapes()
    few = [shapes[len(shapes) * k // N_SHAPES] for k in range(N_SHAPES)]
    return StimulusSet(
        [s.name for s in few], [s.render(size, radius=SHAPE_RADIUS) for s in few], "closed shapes"
    )


def _measure(
    network: Network,
    stimuli: StimulusSet,
    layers: Sequence[LayerInfo],
    transforms: Sequence[Transform],
    device: torch.device,
    dtype: torch.dtype,
    settings: InvarianceSettings,
) -> pd.DataFrame:
    fields = models.measures(network).fields
    names = [info.name for info in layers]
    steps = [(t, amount) for t in transforms for amount in t.amounts]
    measured: dict[tuple[str, str, float], list[np.ndarray]] = {}

    def respond(batch: Sequence[Image.Image]) -> dict[str, Tensor]:
        x = torch.stack([network.preprocessing(picture) for picture in batch])
        outputs: dict[str, Tensor] = {}

        def keep(name: str, output: Tensor) -> None:
            outputs[name] = output.to(torch.float64, copy=True)

        forward_until(network.module, x.to(device, dtype), names, keep)
        return outputs

    n, size = len(stimuli), settings.batch_size
    batches = [range(k, min(k + size, n)) for k in range(0, n, size)]
    with track(
        total=len(batches) * len(steps), desc=network.name, progress=settings.progress
    ) as bar:
        for rows in batches:
            batch = [stimuli.image(row) for row in rows]
            zooms = np.array([zoom(network.preprocessing, picture) for picture in batch])
            still = respond(batch)
            blank = respond([Image.new("RGB", p.size, (pictures.GREY,) * 3) for p in batch[:1]])
            for transform, amount in steps:
                affine = transform.affine(amount)
                moved = still
                if amount != transform.still:
                    moved = respond(
                        [moved_picture(p, affine, z) for p, z in zip(batch, zooms, strict=True)]
                    )
                maps = torch.from_numpy(np.stack([in_input(affine, z) for z in zooms]))
                for info in layers:
                    field, key = fields[info.name], (info.name, transform.name, amount)
                    evoked = (x[info.name] - blank[info.name] for x in (moved, still))
                    values = [correlation(*evoked).cpu().numpy()]
                    if _is_map(info, field):
                        assert field is not None  # it is a map
                        error, n_units = equivariance_error(
                            moved[info.name], still[info.name], field, maps, network.input_shape[1:]
                        )
                        values += [error.cpu().numpy(), n_units.cpu().numpy()]
                    else:
                        values += [np.full(len(rows), np.nan), np.zeros(len(rows))]
                    measured.setdefault(key, []).append(np.stack(values))
                bar.update()
    return pd.DataFrame(
        [
            _row(info, transform, amount, np.hstack(measured[info.name, transform.name, amount]))
            for info in layers
            for transform, amount in steps
        ]
    )


def _row(
    info: LayerInfo, transform: Transform, amount: float, values: np.ndarray
) -> dict[str, Any]:
    correlations, errors, n_units = values
    row: dict[str, Any] = {"layer": info.name, "alias": info.alias, "kind": info.kind}
    row |= {"transform": transform.name, "amount": amount, "unit": transform.unit}
    for name, of_pictures in (("error", errors), ("correlation", correlations)):
        finite = of_pictures[np.isfinite(of_pictures)]
        row[name] = finite.mean() if len(finite) else math.nan
        row[f"{name}_sd"] = finite.std(ddof=1) if len(finite) > 1 else math.nan
    return row | {"n_units": int(n_units.min()), "n_images": len(correlations)}


def _is_map(info: LayerInfo, field: ReceptiveField | None) -> bool:
    """Return whether a layer's units lie over the picture at even steps."""
    return field is not None and field.jump is not None and info.axes == ("channel", "y", "x")


def zoom(preprocessing: Preprocessing, picture: Image.Image) -> tuple[float, float]:
    """Return how many pixels the network sees for one of the picture's own, down and across."""
    width, height = picture.size
    if isinstance(preprocessing.resize, int):
        factor = preprocessing.resize / min(width, height)
        return factor, factor
    across, down = preprocessing.resized(picture.size)
    return down / height, across / width


def in_input(affine: np.ndarray, zoom: np.ndarray) -> np.ndarray:
    """Return a map of a picture's own pixels in those that the network sees.

    Parameters
    ----------
    affine : numpy.ndarray, shape (2, 3)
        Its translation is in pixels that the network sees, already.
    zoom : numpy.ndarray, shape (2,)
        See `zoom`.
    """
    linear = affine[:, :2] * zoom[:, None] / zoom[None, :]
    return np.hstack([linear, affine[:, 2:]])


def moved_picture(picture: Image.Image, affine: np.ndarray, zoom: np.ndarray) -> Image.Image:
    """Transform a picture about its centre, at its own resolution, on mid-grey.

    Parameters
    ----------
    picture : PIL.Image.Image
        Mode ``RGB``.
    affine : numpy.ndarray, shape (2, 3)
        Of (y, x); the linear part acts on the picture's own pixels, the translation is in pixels
        that the network sees.
    zoom : numpy.ndarray, shape (2,)
        See `zoom`.
    """
    inverse = np.linalg.inv(affine[:, :2])
    smaller = math.sqrt(abs(np.linalg.det(inverse)))
    if smaller > 1:  # what is finer than the new pixels would turn up as coarse
        picture = picture.filter(ImageFilter.GaussianBlur((smaller - 1) / 2))
    centre = np.array([picture.height, picture.width]) / 2
    offset = centre - inverse @ (centre + affine[:, 2] / zoom)
    (yy, yx), (xy, xx) = inverse
    return picture.transform(
        picture.size,
        Image.Transform.AFFINE,
        (xx, xy, offset[1], yx, yy, offset[0]),
        resample=Image.Resampling.BICUBIC,
        fillcolor=(pictures.GREY,) * 3,
    )


def correlation(moved: Tensor, still: Tensor) -> Tensor:
    """Correlate two responses to each picture over all units.

    Parameters
    ----------
    moved, still : torch.Tensor, shape (n, …)

    Returns
    -------
    torch.Tensor, shape (n,)
        Pearson's r; NaN where a response is the same for all units.
    """
    a, b = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (moved, still))
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


def equivariance_error(
    moved: Tensor,
    still: Tensor,
    field: ReceptiveField,
    affine: Tensor,
    size: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Compare the response to a transformed picture with the transformed response to the picture.

    Parameters
    ----------
    moved, still : torch.Tensor, shape (n, channels, height, width)
        Φ(Tx) and Φ(x).
    field : ReceptiveField
        Where the units' windows are.
    affine : torch.Tensor, shape (n, 2, 3)
        T for each picture: of (y, x) about the picture's centre, in pixels that the network sees.
    size : (int, int)
        Of the picture that the network sees.

    Returns
    -------
    error : torch.Tensor, shape (n,)
        ‖Φ(Tx) − T'Φ(x)‖ / ‖T'Φ(x)‖ over the units whose windows lie within the picture in x, and
        both in Tx and, carried back, in x; NaN where they are fewer than `MIN_UNITS`, or do not
        respond.
    n_units : torch.Tensor, shape (n,)
        How many positions these are.
    """
    assert field.jump is not None  # it is a map
    assert field.start is not None
    options: Any = {"dtype": torch.float64, "device": still.device}
    side, jump = torch.tensor(size, **options), torch.tensor(field.jump, **options)
    half = (torch.tensor(field.size, **options) - 1) / 2
    first = torch.tensor(field.start, **options) + half  # the centre of the first window
    middle = (side - 1) / 2
    affine = affine.to(**options)

    units = torch.stack(
        torch.meshgrid(*(torch.arange(n, **options) for n in still.shape[2:]), indexing="ij"), -1
    )
    centres = first + jump * units - middle  # (height, width, 2), about the picture's centre
    back = torch.linalg.inv(affine[:, :, :2])

    def carried(points: Tensor) -> Tensor:
        """Where in x is what Tx shows at some points? (n, …, 2)"""
        shift = affine[:, :, 2].view(-1, *[1] * (points.ndim - 1), 2)
        return torch.einsum("nij,n...j->n...i", back, points - shift)

    def within(points: Tensor, reach: Tensor | float) -> Tensor:
        return (points.abs() + reach <= middle + 1e-6).all(-1)

    source = (carried(centres) + middle - first) / jump  # in units: (n, height, width, 2)
    nearest_index = source.round()
    source = torch.where((source - nearest_index).abs() < 1e-9, nearest_index, source)
    inside = within(centres, half).expand(source.shape[:-1])
    for corner in torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], **options)] * 2):
        inside = inside & within(carried(centres + corner * half), 0.0)
    for neighbour in (source.floor(), source.ceil()):
        inside = inside & within(first + jump * neighbour - middle, half)

    last = torch.tensor([max(n - 1, 1) for n in still.shape[2:]], **options)
    grid = (2 * source / last - 1).flip(-1)
    expected = functional.grid_sample(still.double(), grid, align_corners=True)
    chosen = inside[:, None]
    difference = ((moved.double() - expected) * chosen).flatten(1).norm(dim=1)
    n_units = inside.flatten(1).sum(1)
    error = difference / (expected * chosen).flatten(1).norm(dim=1)
    is_measured = (n_units >= MIN_UNITS) & error.isfinite()
    return torch.where(is_measured, error, math.nan), n_units


def _tolerated(transform: Transform, found: pd.DataFrame) -> float:
    """Return the least amount, in either direction, at which a layer tolerates no more."""
    amount = found["amount"].to_numpy(dtype=np.float64)
    away = np.log2(amount) if transform.name == "scale" else amount
    correlations = found["correlation"].to_numpy(dtype=np.float64)
    least = math.inf
    for direction in (-1, 1):
        side = np.flatnonzero(direction * away >= 0)
        side = side[np.argsort(np.abs(away[side]))]
        x, y = np.abs(away[side]), correlations[side]
        below = np.flatnonzero(y <= TOLERATED_CORRELATION)
        if len(below) and below[0] > 0:
            k = below[0]
            share = (y[k - 1] - TOLERATED_CORRELATION) / (y[k - 1] - y[k])
            least = min(least, float(x[k - 1] + share * (x[k] - x[k - 1])))
    return least
