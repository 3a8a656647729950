"""Pictures that drive targets, what they are worth, and how they are written."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from probe import images
from probe.errors import ProbeError
from probe.output.drawable import Drawable
from probe.output.files import csv, plain_name, writable_folder
from probe.output.pictures import figure_png, place_of, save_picture, write
from probe.plots.pictures import plot_pictures
from probe.synthesis.objectives import Between
from probe.targets import Channel, Target

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
        """Return the patches of each channel."""


@dataclass(frozen=True, eq=False, repr=False)
class Visualisation(Drawable):
    """Pictures that drive targets, and what they are worth.

    Attributes
    ----------
    pictures : numpy.ndarray, uint8, shape (n, height, width, 3 or 4)
        RGB; of transparent ones, how opaque each place is comes last.
    table : pandas.DataFrame
        One row per picture, measured on the finished picture as it is saved, without transforms,
        over mid-grey where it is transparent:

        - ``target``: its name; ``value``: the target's number;
        - ``noise``, ``grey``: its number for what the picture began as, and for mid-grey;
        - ``silent``: whether ``value`` is above neither: the picture shows nothing;
        - ``steps``: how many it took;
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
        """Return one picture alone; it is made again together with those that it was made with."""
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
        if self.pictures.shape[3] == 4:
            said += ", over mid-grey"
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
        transparent = self.pictures.shape[3] == 4
        path = check_place(path, len(self) if not self.patches else 2, transparent=transparent)
        if path.suffix.lower() == ".csv":
            return write(path, csv(self.table))
        if not path.suffix or path.is_dir():
            return self._save_each(writable_folder(path))
        if len(self) == 1 and not self.patches:
            return save_picture(path, self.pictures[0] / 255, self.about)
        return write(path, figure_png(self.plot(), self.about, transparent=transparent))

    def _save_each(self, folder: Path) -> Path:
        digits = len(str(len(self) - 1))
        for k in range(len(self)):
            one = self[k]
            name = plain_name(f"{k:0{digits}d}", one.each[0].name)
            write(folder / f"{name}.png", images.png(one.pictures[0], one.about))
        write(folder / "table.csv", csv(self.table))
        return folder

    def _caption(self) -> str:
        if not self.silent:
            return ""
        return f"<p style='font-size:small'>silent: {html.escape(', '.join(self.silent))}</p>"

    def __repr__(self) -> str:
        silent = f", {len(self.silent)} silent" if self.silent else ""
        return f"<Visualisation {self.title}: {len(self)} pictures{silent}>"


def check_place(path: str | Path, n: int, *, transparent: bool = False) -> Path:
    """Check the name of what is going to be written, before it is made.

    Parameters
    ----------
    path : path
    n : int
        Number of pictures.
    transparent : bool

    Raises
    ------
    ProbeError
        If that many pictures cannot be written so.
    """
    path = Path(path).expanduser()
    if not path.suffix or path.is_dir() or path.suffix.lower() == ".csv":
        return path
    if n == 1:
        if transparent and images.check_kind(path) in images.OPAQUE:
            raise ProbeError(f"{str(path)!r} cannot hold transparency: choose .png, .tif or .webp")
        images.check_kind(path)
        return path
    return place_of(path, ".png", ".csv")
