"""What the results of this room have in common: a figure that says how it was made."""

from __future__ import annotations

import html
import io
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from probe import images, models
from probe.activations.engine import home_of
from probe.activations.extract import devices_of
from probe.errors import ProbeError
from probe.models import LayerInfo, Network
from probe.models.preprocessing import Preprocessing
from probe.result.folder import write_atomically

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


class Shown(ABC):
    """A result that draws itself, shows itself in a notebook, and saves itself.

    Attributes
    ----------
    values : numpy.ndarray
        What was measured.
    about : mapping
        Everything that decides them, as plain values.
    """

    values: np.ndarray
    about: Mapping[str, Any]

    @property
    @abstractmethod
    def summary(self) -> pd.DataFrame:
        """What is shown, in a few numbers."""

    @property
    @abstractmethod
    def title(self) -> str:
        """One line that says what is shown."""

    @property
    @abstractmethod
    def scale(self) -> str:
        """One line that says what the colours stand for."""

    @abstractmethod
    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw it, in a new figure by default."""

    def png(self) -> bytes:
        """Give the content of a PNG file; `probe.images.about` reads how it was made."""
        import matplotlib as mpl

        with mpl.rc_context({"backend": "agg"}):  # no window is opened
            from matplotlib import pyplot as plt

            figure = self.plot().get_figure(root=True)
            assert figure is not None  # its Axes lies in one
            out = io.BytesIO()
            figure.savefig(out, format="png", dpi=300)
            plt.close(figure)
        with Image.open(out) as drawn:
            return images.png(drawn.convert("RGB"), self.about)

    def save(self, path: str | Path) -> Path:
        """Write the figure (.png), with all that made it in its metadata, or the values (.npy).

        Raises
        ------
        ProbeError
            If the file is of another kind, or cannot be written.
        """
        place = place_of(path, ".png", ".npy")
        content = io.BytesIO()
        if place.suffix.lower() == ".npy":
            np.save(content, self.values)
        else:
            content.write(self.png())
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(place, content.getvalue())
        except OSError as error:
            raise ProbeError(f"{str(place)!r} cannot be written ({error.strerror})") from None
        return place

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.title}>"

    def _repr_html_(self) -> str:
        encoded = b64encode(self.png()).decode()
        return (
            f'<img src="data:image/png;base64,{encoded}" alt="{html.escape(self.title)}" '
            'style="max-width:100%;width:900px">'
        )


def place_of(path: str | Path, *kinds: str) -> Path:
    """Check the name of a file to write: does it end as one of ``kinds``, ``.png`` or ``.npy``.

    Raises
    ------
    ProbeError
        If it does not.
    """
    place, meant = Path(path).expanduser(), {".png": "figures", ".npy": "values"}
    if place.suffix.lower() not in kinds:
        known = " or ".join(f"{kind} ({meant[kind]})" for kind in kinds)
        raise ProbeError(f"{str(place)!r} cannot be written: its name has to end in {known}")
    return place


def network_of(model: str | Network | nn.Module, layer: str | None) -> Network:
    """Load a network that is named; a layer that it does not have is told before."""
    if isinstance(model, str):
        if layer is not None:
            called(layer, model)
        return models.load(model)
    return model if isinstance(model, Network) else Network.from_module(model)


def called(layer: str, network: Network | str) -> LayerInfo:
    """Find the one layer that a user means.

    Raises
    ------
    ProbeError
        If there is none, or there are several.
    """
    found = models.resolve([layer], network)
    if len(found) != 1:
        raise ProbeError(f"{layer!r} names {len(found)} layers; name one")
    return next(info for info in models.layers(network) if info.name == found[0])


def n_channels(info: LayerInfo) -> int:
    """Give how many channels a layer has.

    Raises
    ------
    ProbeError
        If it has none.
    """
    shape = info.output_shape
    if not shape:
        raise ProbeError(f"layer {info.name!r} gives one number for a picture, and has no channels")
    return shape[-1] if len(shape) == 2 else shape[0]


def titled(info: LayerInfo) -> str:
    """Give a layer's name, and what the literature calls it."""
    return f"{info.name} ({info.alias})" if info.alias else info.name


def check_channels(channels: Sequence[int], n: int, layer: str) -> tuple[int, ...]:
    """Check the numbers of channels.

    Raises
    ------
    ProbeError
        If there is no such channel, or none at all is named.
    """
    for channel in channels:
        if not 0 <= channel < n:
            raise ProbeError(f"channel {channel} does not exist: layer {layer!r} has {n}, from 0")
    if not channels:
        raise ProbeError("no channel is named")
    return tuple(channels)


def as_seen(preprocessing: Preprocessing, inputs: Tensor) -> np.ndarray:
    """Give the picture that a network saw: its input, (3, height, width), as uint8 (…, 3)."""
    mean, std = (torch.tensor(v)[:, None, None] for v in (preprocessing.mean, preprocessing.std))
    pixels = (inputs * std + mean).clamp(0, 1).mul(255).round().byte()
    return pixels.permute(1, 2, 0).contiguous().numpy()


@contextmanager
def working(network: Network, device: str) -> Iterator[tuple[torch.device, torch.dtype]]:
    """Have a network on a device, and put it back."""
    home, place = home_of(network.module), devices_of(network, device)[0]
    dtype = next((p.dtype for p in network.module.parameters()), torch.float32)
    try:
        network.module.to(place)
        yield place, dtype
    finally:
        network.module.to(home)


def provenance(network: Network) -> dict[str, Any]:
    """Tell what decides a network's values, as plain values."""
    return {
        "model": network.name,
        "weights": network.weights.source,
        "weights_sha256": network.weights.sha256,
        "preprocessing": network.preprocessing.describe(),
        "versions": {p: metadata.version(p) for p in ("cnn-probe", "torch", "torchvision")},
    }
