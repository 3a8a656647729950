"""An atlas of a layer: what it makes of many pictures, laid out on a plane and made visible.

Activation atlases (Carter et al. 2019, doi:10.23915/distill.00015): activations at random places of
many pictures are laid out in two dimensions, such that like lies beside like. The plane is cut into
cells, and of each a picture is made that has the direction of its mean activation. If a target is
named, a class or a recorded site, each cell tells what its activations contribute to it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn

from probe import images as image_files
from probe import models
from probe.activations.survey import survey
from probe.encoding.sites import Site
from probe.errors import ProbeError
from probe.models import Network
from probe.output.drawable import Drawable
from probe.output.files import csv
from probe.output.pictures import figure_png, place_of, save_picture, write
from probe.plots.figures import broken, head, is_own, name_ticks, own_figure, points, room
from probe.plots.maps import SIGNED
from probe.progress import track
from probe.stimuli import StimulusSet, image_set
from probe.synthesis.atlas_attribution import attributions, check_depends
from probe.synthesis.run import Unfinished, running
from probe.synthesis.settings import AtlasSettings, Layout, Precision
from probe.synthesis.transforms import generator
from probe.synthesis.visualize import visualize
from probe.targets import Direction, Sum, Target, by_channel, read, said

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

MIN_ACTIVATIONS = 3
"""Activations of a cell that has a picture, at least: the mean of fewer is that of a picture or
two."""

MIN_SIDE = 0.4
"""Side of the picture of a cell, as a share of the cell's, however few activations are in it."""

COSINE_POWER = 4.0
"""Of the cosine (see `probe.targets.Direction`); Carter et al. (2019) have 4.6 in their code."""

OUTLIERS_PERCENT = 1.0
"""Percent of the activations that may lie beyond each edge of the grid; they count to its rim."""

FRAME_WIDTH = 0.06
"""Width of a frame that shows an attribution, as a share of a cell's side."""

GAP = 0.03
"""Of equal cells, white around each, as a share of a picture's side."""

WIDTH = 7.0
"""Of a figure's cells, in inches: two columns of a journal."""

COUNTED = "Greys"
"""Colours of numbers of activations: white is none."""

MIN_DPI = 300
"""Of a figure, as journals ask for."""

BATCH_SIZE = 16
"""Pictures that are made together: what was interrupted goes on after the last of these."""


@dataclass(frozen=True, eq=False, repr=False)
class Atlas(Drawable):
    """Pictures of the directions that a layer's activations have.

    Attributes
    ----------
    pictures : numpy.ndarray, uint8, shape (n_cells, size, size, 3)
    table : pandas.DataFrame
        One row per cell that has a picture:

        - ``row``, ``column``: where it lies, from the top left;
        - ``activations``: how many are in it;
        - ``stimulus_id``, ``y``, ``x`` (``token``): of the one that is nearest to their mean, by
          its cosine, picture and position in the layer;
        - ``value``: the direction's number for the picture (see `probe.targets.Direction`), without
          transforms; ``silent``: whether it is no larger than that of grey, or of noise;
        - ``attribution``, where a target was named: what the cell contributes to it, in the
          target's unit (of a site, SD of its responses); see the notes of `atlas`.
    places : numpy.ndarray, float32, shape (n_activations, 2)
        Of every activation in the plane, (x, y), from 0 to 1 within the grid, y downwards.
    grid : int
        Cells along each side.
    title : str
    about : dict
        Everything that decides the pictures, as plain values.
    target : Target, optional
        What ``attribution`` is to.
    """

    pictures: np.ndarray
    table: pd.DataFrame
    places: np.ndarray
    grid: int
    title: str
    about: Mapping[str, Any]
    target: Target | None = None

    def sheet(self) -> np.ndarray:
        """Lay the pictures out, larger ones where there are more activations.

        Returns
        -------
        numpy.ndarray, uint8, shape (grid · size, grid · size, 3)
            White where there are none. Areas are as the numbers, from a share of `MIN_SIDE`² on;
            above the ninth decile, a picture fills its cell. Where a target was named, a picture
            has a frame in the colour of its attribution.
        """
        size = self.pictures.shape[1]
        sheet = np.full((self.grid * size, self.grid * size, 3), 255, np.uint8)
        counts = self.table["activations"].to_numpy()
        shares = np.sqrt(counts / np.quantile(counts, 0.9)).clip(MIN_SIDE, 1)
        cells = self.table[["row", "column"]].to_numpy() * size
        frames = self._frames()
        width = 0 if frames is None else max(1, round(FRAME_WIDTH * size))
        for k, (share, (top, left)) in enumerate(zip(shares, cells, strict=True)):
            side = max(round(float(share) * size), 1)
            first = (size - side) // 2
            down, across = (slice(at + first, at + first + side) for at in (top, left))
            border = min(width, (side - 1) // 2)  # of the picture, a pixel is left
            if frames is not None:
                sheet[down, across] = frames[k]
            inner = side - 2 * border
            picture = Image.fromarray(self.pictures[k])
            small = np.asarray(picture.resize((inner, inner), Image.Resampling.LANCZOS))
            sheet[down, across][border : border + inner, border : border + inner] = small
        return sheet

    def _colours(self) -> ScalarMappable:
        """Return the colours of frames: of attributions, white where there is none; of numbers."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        if self.target is None:
            return ScalarMappable(Normalize(0, int(self.table["activations"].max())), COUNTED)
        end = float(self.table["attribution"].abs().max()) or 1.0
        return ScalarMappable(Normalize(-end, end), SIGNED)

    def _cells(self) -> np.ndarray:
        """Lay the pictures out, all of one size, each in the frame that the scale explains."""
        size = self.pictures.shape[1]
        width, gap = max(2, round(FRAME_WIDTH * size)), max(1, round(GAP * size))
        step = size + 2 * (width + gap)
        sheet = np.full((self.grid * step, self.grid * step, 3), 255, np.uint8)
        column = "activations" if self.target is None else "attribution"
        colours = np.asarray(self._colours().to_rgba(self.table[column].to_numpy(), bytes=True))
        places = self.table[["row", "column"]].to_numpy() * step + gap
        for picture, colour, (top, left) in zip(self.pictures, colours, places, strict=True):
            outer = size + 2 * width
            sheet[top : top + outer, left : left + outer] = colour[:3]
            top, left = top + width, left + width
            sheet[top : top + size, left : left + size] = picture
        return sheet

    def _frames(self) -> np.ndarray | None:
        """Return the colour of each cell's frame, uint8, (n_cells, 3)."""
        if self.target is None:
            return None
        colours = self._colours().to_rgba(self.table["attribution"].to_numpy(), bytes=True)
        return np.asarray(colours)[:, :3]

    def plot(self, ax: Axes | None = None, *, legend: bool = True) -> Axes:
        """Draw all pictures in equal cells, with a scale that says what their frames' colours are.

        Without a target, these are the numbers of activations in the cells. Rows and columns are
        numbered as in ``table``.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure, two columns of a journal wide.
        legend : bool
            Whether there is the scale.

        Returns
        -------
        matplotlib.axes.Axes
        """
        with own_figure(ax, WIDTH, WIDTH) as axes:
            axes.imshow(
                self._cells(), extent=(-0.5, self.grid - 0.5, self.grid - 0.5, -0.5),
                interpolation="antialiased",
            )  # fmt: skip
            numbers = range(self.grid)
            for axis in (axes.xaxis, axes.yaxis):
                name_ticks(axis, numbers, [str(k) for k in numbers])
                axis.set_tick_params(length=0, labelcolor="0.45")
            axes.xaxis.tick_top()
            axes.spines[:].set_visible(False)
            head(axes, self.title)
            if legend:
                self._draw_scale(axes)
        return axes

    def _draw_scale(self, axes: Axes) -> None:
        """Draw the scale of the frames' colours below the cells."""
        from matplotlib.ticker import MaxNLocator

        figure = axes.get_figure(root=True)
        assert figure is not None  # it lies in one
        size = points("legend.fontsize")
        own = is_own(axes)
        wide = WIDTH if own else 0.55 * min(room(axes))
        bar = figure.colorbar(
            self._colours(), cax=axes.inset_axes((0.0, -0.035, 0.5, 0.018)),
            orientation="horizontal",
        )  # fmt: skip
        bar.outline.set_linewidth(0.5)
        bar.ax.tick_params(labelsize=size, width=0.5, length=2)
        bar.ax.xaxis.set_major_locator(MaxNLocator(6 if wide > 3 else 2, integer=True))
        if self.target is not None:
            bar.ax.xaxis.set_major_locator(MaxNLocator(6 if wide > 3 else 2))
        label = "\n".join(broken(line, wide, size) for line in self._legend())
        bar.set_label(label, fontsize=size, loc="left")

    def _legend(self) -> list[str]:
        """Return what the frames' colours are, and how good the fit of a recorded site is."""
        if self.target is None:
            return ["frames: activations in a cell"]
        terms = [t for _, t in self.target.terms] if isinstance(self.target, Sum) else [self.target]
        unit = ", in SD of responses" if all(isinstance(t, Site) for t in terms) else ""
        return [f"frames: what a cell contributes to {self.target.name}{unit}", *said(self.target)]

    def save(self, path: str | Path, *, plain: bool = False) -> Path:
        """Write the figure (.png), with all that made it in its metadata, or the table (.csv).

        Parameters
        ----------
        path : str or Path
        plain : bool
            Write the bare pictures, `sheet`, without title, numbers and scale.

        Raises
        ------
        ProbeError
            If the file is of another kind, or cannot be written.
        """
        path = check_place(path)
        if path.suffix.lower() == ".csv":
            return write(path, csv(self.table))
        if plain:
            return save_picture(path, self.sheet() / 255, self.about)
        ax = self.plot()
        # No pixel of the cells is lost.
        figure = ax.get_figure(root=True)
        assert figure is not None  # it lies in one
        width = ax.get_window_extent().width / figure.dpi
        dpi = max(MIN_DPI, ceil(len(self._cells()) / width))
        write(path, figure_png(ax, self.about, dpi=dpi))
        write(image_files.side_car(path), image_files.as_text(self.about, indent=2).encode())
        return path


def check_place(path: str | Path) -> Path:
    """Check the name of what is going to be written.

    Raises
    ------
    ProbeError
        If an atlas cannot be written so.
    """
    return place_of(path, ".png", ".csv")


def atlas(
    model: str | Network | nn.Module,
    images: str | os.PathLike[str] | StimulusSet,
    layer: str,
    *,
    grid: int = 10,
    layout: Layout = "pca",
    samples: int = 5000,
    size: int = 96,
    steps: int = 128,
    weights: str = "imagenet",
    preprocessing: str = "resize",
    seed: int = 0,
    target: str | int | Target | None = None,
    precision: Precision = "auto",
    batch_size: int | None = None,
    device: str = "auto",
    progress: bool | None = None,
) -> Atlas:
    """Make an atlas of a layer.

    An interrupted call goes on when it is made again with the same arguments.

    Parameters
    ----------
    model : str, Network or torch.nn.Module
        A name (`probe.models.names`), ``timm:NAME``, ``file:PATH``, or a network of yours.
    images : str, path or StimulusSet
        The more, the better, from some hundreds on: a folder, a pattern, a table, a zip archive;
        see `probe.stimuli.image_set`.
    layer : str
        A path or an alias.
    grid : int
        Number of cells along each side.
    layout : {'pca', 'umap'}
        Of the activations' directions. ``pca``: their first two principal components; ``umap``
        (McInnes et al. 2018, by cosines; needs ``pip install cnn-probe[atlas]``): neighbours stay
        neighbours.
    samples : int
        Activations in all, at least, as far as there are: the same number of every picture, at
        random positions.
    size : int
        Side of a cell's picture, in pixels.
    steps : int
        Number of steps of the optimiser.
    weights : str
        ``imagenet``, ``random``, or a checkpoint file. A network of yours brings its own.
    preprocessing : {'resize', 'torchvision'}
    seed : int
        Seed of random weights, positions, the layout, the pictures' noise and transforms.
    target : str, int or Target, optional
        Something that activations contribute to, each cell's on average: a class, a channel, a
        recorded site (``site:v4:12``), or a sum, read from the layer or from later ones; see
        `probe.targets.parse`. A site counts as if its field were anywhere in the picture, since a
        cell is of no place. The pictures do not depend on it.
    precision : {'auto', 'float32', 'bfloat16'}
        In which pictures are made; see `probe.synthesis.optimise.through`.
    batch_size : int, optional
        Pictures in a pass, at most.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    progress : bool, optional
        Show progress bars; by default when a person is watching.

    Returns
    -------
    Atlas

    Raises
    ------
    ProbeError
        If there is no such layer or layout, no picture, or one that cannot be read; if no cell has
        enough activations; if the target belongs to another network, or does not depend on the
        layer.

    See Also
    --------
    visualize : One target at a time.
    probe.features.top_patches : Patches of the photographs themselves.

    Notes
    -----
    A cell's direction is the mean of its activations, multiplied by the inverse of their second
    moments over the layer (shrunk: Ledoit & Wolf 2004): what the cell has and others have not.

    What a cell contributes to a target is gradient × activation (as in Carter et al. 2019), at the
    position of each of its activations and in the picture that it comes from, times the number of
    positions, averaged over the cell: the change of the target, to first order, if every position
    contributed what this one does. The mean over all positions of a picture is the change from a
    layer of zeros to what the layer is. Of a site that is read from the layer itself it is exact:
    how far the cell's mean activation in the field raises the response over that to none, in SD.

    Examples
    --------
    >>> probe.atlas("alexnet", "photos/", "conv5").save("atlas.png")  # doctest: +SKIP
    >>> probe.atlas("alexnet", "photos/", "conv3", target="site:v4:12").table  # doctest: +SKIP
    """
    settings = AtlasSettings.of(locals()).checked()
    if layout == "umap":
        _umap()  # or it says what is missing
    network = _network(settings, progress)
    (name,) = models.resolve([layer], network)
    explained = None if target is None else read(target, network)
    if explained is not None:
        check_depends(network, name, explained, device)
    stimuli = images if isinstance(images, StimulusSet) else image_set(images, progress=progress)

    sample = _Sample(name, ceil(samples / len(stimuli)), seed)
    survey(
        network, stimuli, name, sample.add, batch_size=batch_size, device=device, progress=progress
    )
    activations, where = sample.activations()
    places = _lay_out(activations, layout, seed)
    cell = np.minimum((places * grid).astype(int), grid - 1) @ [1, grid]
    numbers, counts = np.unique(cell, return_counts=True)
    numbers = numbers[counts >= MIN_ACTIVATIONS]
    if not len(numbers):
        raise ProbeError(
            f"{len(activations)} activations are too few for {grid}×{grid} cells: no cell has "
            f"{MIN_ACTIVATIONS}; give more pictures, or a smaller grid"
        )
    means = np.stack([activations[cell == number].mean(0) for number in numbers])
    labels = [f"row {number // grid}, column {number % grid}" for number in numbers]
    directions = [
        Direction(name, torch.from_numpy(direction), label, COSINE_POWER)
        for direction, label in zip(_whitened(means, activations), labels, strict=True)
    ]

    about = network.provenance() | {
        "made": "atlas",
        "settings": replace(
            settings, model=network.name, layer=name, weights=str(weights)
        ).to_about(),
        "seed": seed,
        "images": stimuli.name,
        "n_images": len(stimuli),
        "images_sha256": stimuli.hash,
        "n_activations": len(activations),
    }  # fmt: skip
    if explained is not None:
        contributions = attributions(
            network, stimuli, name, explained.everywhere(), where,
            batch_size=batch_size, device=device, progress=progress,
        )  # fmt: skip
    pictures, measures = _make(network, directions, about, settings, progress)
    table = pd.DataFrame(
        {
            "row": numbers // grid,
            "column": numbers % grid,
            "activations": counts[counts >= MIN_ACTIVATIONS],
            **_nearest(means, activations, cell, numbers, where, stimuli),
            **measures,
        }
    )
    if explained is not None:
        table["attribution"] = [
            float(contributions[cell == number].mean(dtype=float)) for number in numbers
        ]
        about = about | {
            "target": explained.name,
            **({"site": dict(explained.facts)} if explained.facts else {}),
        }
    title = (
        f"{network.name} {name}: {len(numbers)} directions of {len(activations)} activations by "
        f"{len(stimuli)} pictures ({stimuli.name})"
    )
    return Atlas(pictures, table, places, grid, title, about, explained)


def _network(settings: AtlasSettings, progress: bool | None) -> Network:
    """Load the network, when it is known to have the layer."""
    weights, preprocessing = settings.weights, settings.preprocessing
    model = models.check_model(settings.model, weights, preprocessing)
    names = models.resolve([settings.layer], model)
    if len(names) != 1:
        raise ProbeError(f"layer {settings.layer!r}: expected one layer, not {len(names)}")
    info = next(i for i in models.layers(model) if i.name == names[0])
    info.n_channels  # or it says why there are none  # noqa: B018
    return models.as_network(model, weights, preprocessing, seed=settings.seed, progress=progress)


class _Sample:
    """Activations at random positions of every picture.

    Parameters
    ----------
    layer : str
    n : int
        Of every picture, at most.
    seed : int
    """

    def __init__(self, layer: str, n: int, seed: int) -> None:
        self._layer, self._n, self._seed = layer, n, seed
        self._values: list[Tensor] = []
        self._where: list[np.ndarray] = []
        self._axes: tuple[int, ...] = ()

    def add(self, rows: range, output: Tensor) -> None:
        """Draw from what the layer returned for some pictures."""
        output = by_channel(output)
        self._axes = tuple(output.shape[2:])
        output = output.flatten(2) if self._axes else output[:, :, None]
        for row, values in zip(rows, output, strict=True):
            # Of every picture by itself: batches change nothing.
            order = torch.randperm(values.shape[1], generator=generator(self._seed, row))
            chosen = order[: self._n]
            self._values.append(values[:, chosen.to(values.device)].T.float().cpu())
            self._where += [np.array([row, int(at)]) for at in chosen]
        if not self._values[-1].isfinite().all():
            raise ProbeError(f"layer {self._layer!r} has activations that are not finite")

    def activations(self) -> tuple[np.ndarray, pd.DataFrame]:
        """Return activations (n, channels), and for each its picture's position and its own."""
        row, at = np.stack(self._where).T
        names = {0: (), 1: ("token",), 2: ("y", "x")}[len(self._axes)]
        indices = np.unravel_index(at, self._axes) if self._axes else ()
        where = pd.DataFrame({"stimulus": row, **dict(zip(names, indices, strict=True))})
        return torch.cat(self._values).numpy(), where


def _lay_out(activations: np.ndarray, layout: Layout, seed: int) -> np.ndarray:
    """Compute places in the plane, (n, 2), from 0 to 1; outliers are put on the rim."""
    if layout == "pca":
        lengths = np.linalg.norm(activations, axis=1, keepdims=True)
        directions = torch.from_numpy(activations / np.maximum(lengths, 1e-30)).double()
        centred = directions - directions.mean(0)
        values, vectors = torch.linalg.eigh(centred.T @ centred)
        axes = vectors[:, values.argsort(descending=True)[:2]]
        axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()  # one of two
        plane = (centred @ axes).numpy()
    else:
        plane = _umap()(
            n_components=2, metric="cosine", n_neighbors=min(20, len(activations) - 1),
            min_dist=0.5, random_state=seed % 2**32, n_jobs=1,
        ).fit_transform(activations)  # fmt: skip
    low, high = np.percentile(plane, [OUTLIERS_PERCENT, 100 - OUTLIERS_PERCENT], axis=0)
    return np.clip((plane - low) / np.maximum(high - low, 1e-12), 0, 1).astype(np.float32)


def _umap() -> Any:
    try:
        from umap import UMAP
    except ImportError:
        raise ProbeError(
            "layout umap needs the package umap-learn: pip install 'cnn-probe[atlas]', or take "
            "layout pca"
        ) from None
    return UMAP


def _whitened(means: np.ndarray, activations: np.ndarray) -> np.ndarray:
    from sklearn.covariance import ledoit_wolf

    # In units of their size: of numbers as small as random weights give, none is lost.
    unit = max(float(np.abs(activations).max()), 1e-30)
    moments, _ = ledoit_wolf(activations.astype(np.float64) / unit, assume_centered=True)
    # What is silent throughout has no variance, and its mean is 0.
    directions = means.astype(np.float64) @ np.linalg.pinv(moments, hermitian=True)
    return np.asarray(directions, np.float32)


def _nearest(
    means: np.ndarray,
    activations: np.ndarray,
    cell: np.ndarray,
    numbers: np.ndarray,
    where: pd.DataFrame,
    stimuli: StimulusSet,
) -> dict[str, Any]:
    """Find the activation of each cell that is nearest to its mean."""
    nearest = []
    for mean, number in zip(means, numbers, strict=True):
        inside = np.flatnonzero(cell == number)
        lengths = np.linalg.norm(activations[inside], axis=1)
        cosines = activations[inside] @ mean / np.maximum(lengths, 1e-30)
        nearest.append(inside[cosines.argmax()])
    rows = where.iloc[nearest].reset_index(drop=True)
    ids = [stimuli.ids[stimulus] for stimulus in rows.pop("stimulus")]
    return {"stimulus_id": ids, **{str(name): rows[name] for name in rows}}


def _make(
    network: Network,
    directions: list[Direction],
    about: Mapping[str, Any],
    settings: AtlasSettings,
    progress: bool | None,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Make the pictures, some at a time, and measure them."""
    per_pass = min(settings.batch_size or BATCH_SIZE, len(directions))
    store = Unfinished.of(about, network)
    with running(store, network, device=settings.device) as run:
        state = {"pictures": [], "value": [], "silent": []} | run.state
        done = sum(map(len, state["pictures"]))
        bar = track(
            total=len(directions), initial=done, desc="atlas", unit="picture", progress=progress
        )
        with bar:
            for start in range(done, len(directions), per_pass):
                run.check()
                chunk = directions[start : start + per_pass]
                visualisation = visualize(
                    network, chunk, size=settings.size, steps=settings.steps, seed=settings.seed,
                    precision=settings.precision, batch_size=per_pass, device=settings.device,
                    progress=False,
                )  # fmt: skip
                state["pictures"].append(torch.from_numpy(visualisation.pictures))
                state["value"] += visualisation.table["value"].tolist()
                state["silent"] += visualisation.table["silent"].tolist()
                run.keep(**state)
                bar.update(len(chunk))
    return torch.cat(state["pictures"]).numpy(), {n: state[n] for n in ("value", "silent")}
