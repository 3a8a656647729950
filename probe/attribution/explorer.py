"""Maps to play with in JupyterLab: picture, method, target and layer by a click."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PIL import Image
from torch import nn

from probe import images, models, targets
from probe.attribution.explain import DEFAULT_METHOD, Saliency, saliency
from probe.attribution.methods import METHODS
from probe.errors import ProbeError
from probe.models import Network
from probe.plots.maps import STYLES

if TYPE_CHECKING:
    from ipywidgets import VBox

POLL_INTERVAL_S = 0.05
"""Seconds from a change of a widget to the work on it: further changes may be under way."""

SIDE, DPI = 900, 150
"""How large a picture is shown: its longer side and a figure's resolution, in pixels."""

BUSY = """<style>
@keyframes probe-busy {{ to {{ opacity: 1; }} }}
.probe-busy {{ opacity: 0; animation: probe-busy .2s .4s forwards; color: #666; }}
</style><span class="probe-busy">Working: {} …</span>"""
"""Does not flash up if the work is done in less than half a second."""


class _SupersededError(BaseException):
    """Ends work on a map that is no longer wanted; no ``except Exception`` catches it."""


class Explorer:
    """Widgets for one network, which show a map and make it anew when one of them is changed.

    Maps are made where cells are run, and between them: neither sees the other half done. A change
    ends the work on the map that was wanted before, at the network's next pass where JupyterLab
    hands on clicks meanwhile (4.4 and later, with ipykernel 7); elsewhere, when that map is done.

    Parameters
    ----------
    image : path, bytes, uint8 array, or Pillow image, optional
        The picture to begin with; others are uploaded.
    model : str, Network or torch.nn.Module
        As in `probe.saliency`.
    **settings
        Of `probe.saliency`: weights, preprocessing, device, and of methods.

    Attributes
    ----------
    found : Saliency or None
        The map that is shown. A widget that is set in a cell takes effect when the cell is done.

    Raises
    ------
    ProbeError
        If ipywidgets is missing, or there is no such model or picture.
    """

    def __init__(
        self,
        image: images.Picture | None = None,
        model: str | Network | nn.Module = "squeezenet1_1",
        **settings: Any,
    ) -> None:
        try:
            import ipywidgets as widgets
        except ImportError:
            raise ProbeError(
                "the explorer needs ipywidgets: pip install 'cnn-probe[notebook]'"
            ) from None
        weights = settings.pop("weights", "imagenet")
        preprocessing = settings.pop("preprocessing", "resize")
        self.network = models.as_network(model, weights, preprocessing)
        if image is not None:
            images.read(image, "image")  # what is none is told now
        self.found: Saliency | None = None
        self._shown: Saliency | None = None
        self._settings = settings
        self._image = image
        self._made: tuple[str, ...] = ()  # of what, of this picture
        self._drawn: tuple[Saliency | None, str] = (None, "")
        self._wanted = object()  # another one for each change
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:  # no notebook: at once
            self._loop = None

        spatial = [
            info
            for info in models.layers(self.network)
            if not info.missing and info.n_positions > 1
        ]
        layers = [
            (f"{info.name}  ({'×'.join(map(str, info.output_shape))})", info.name)
            for info in reversed(spatial)
        ]
        # Only transformers have the attention that these methods look at.
        tokens = any("token" in info.axes for info in spatial)
        methods = [m.name for m in METHODS.values() if m.kind != "tokens" or tokens]
        wide = widgets.Layout(width="330px")
        self.upload = widgets.FileUpload(accept="image/*", description="picture", layout=wide)
        self.method = widgets.Dropdown(
            options=methods, value=DEFAULT_METHOD, description="method", layout=wide
        )
        self.target = widgets.Combobox(
            options=list(dict.fromkeys(targets.class_labels(self.network))),
            placeholder="the class that it sees", description="target", continuous_update=False,
            layout=wide,
        )  # fmt: skip
        self.layer = widgets.Dropdown(
            options=[("the last one", ""), *layers], description="layer", layout=wide
        )
        self.style = widgets.ToggleButtons(
            options=STYLES, value="side", style={"button_width": "82px"}
        )
        self.busy = widgets.HTML(layout=widgets.Layout(margin="2px 12px"))
        # At its own size: a box would stretch it.
        self.picture = widgets.Image(
            format="png", layout=widgets.Layout(max_width=f"{SIDE}px", align_self="flex-start")
        )
        self.words = widgets.HTML()
        self.upload.observe(self._uploaded, "value")
        for widget in (self.method, self.target, self.layer, self.style):
            widget.observe(self._changed, "value")
        self.box: VBox = widgets.VBox(
            [
                widgets.HBox([self.method, self.layer]),
                widgets.HBox([self.target, self.upload]),
                widgets.HBox([self.style, self.busy]),
                self.picture,
                self.words,
            ]
        )
        self._work(self._wanted)

    def _uploaded(self, change: Any) -> None:
        if change["new"]:
            self._image = bytes(change["new"][0]["content"])
            self._made = ()
            self._changed()

    def _changed(self, _change: Any = None) -> None:
        """Want what the widgets ask for, and nothing that they asked for before."""
        self._wanted = object()
        self.busy.value = BUSY.format(self.method.value)
        if self._loop is None:
            self._work(self._wanted)
        else:  # from whatever thread
            self._loop.call_soon_threadsafe(
                self._loop.call_later, POLL_INTERVAL_S, self._work, self._wanted
            )

    def _work(self, wanted: object) -> None:
        """Make and show the map that the widgets ask for, or say what is wrong."""
        if wanted is not self._wanted:
            return
        needs_layer = METHODS[self.method.value].needs_layer
        self.layer.disabled = not needs_layer
        layer = self.layer.value if needs_layer else ""
        inputs = (self.method.value, self.target.value.strip(), layer)
        words = ""
        try:
            if inputs != self._made and self._image is not None:
                with self._until_superseded(wanted):
                    self._make(self._image, *inputs)
                self._made = inputs
        except _SupersededError:
            return
        except ProbeError as error:
            words = str(error)
        except Exception as error:  # nobody sees what is raised here
            words = f"{type(error).__name__}: {error}"
        request = (self._shown, self.style.value)
        if self._shown is not None and request != self._drawn:
            self.picture.value, self._drawn = self._shown.png(self.style.value, dpi=DPI), request
        red = f"<span style='color:#b2182b'>{html.escape(words)}</span>"
        self.words.value = red if words else self._about()
        if wanted is self._wanted:
            self.busy.value = ""

    @contextmanager
    def _until_superseded(self, wanted: object) -> Iterator[None]:
        """While open, end the network's pass if something else is wanted."""

        def look(*_: Any) -> None:
            if wanted is not self._wanted:
                raise _SupersededError

        handle = self.network.module.register_forward_pre_hook(look)
        try:
            yield
        finally:
            handle.remove()

    def _make(self, image: images.Picture, method: str, target: str, layer: str) -> None:
        explanation = saliency(
            image,
            self.network,
            method,
            target or None,
            layer=layer or None,
            progress=False,
            **self._settings,
        )
        assert isinstance(explanation, Saliency)  # of one method
        small = explanation.picture.copy()
        small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        self.found, self._shown = explanation, replace(explanation, picture=small)

    def _about(self) -> str:
        """Return what is shown."""
        if self.found is None or self._shown is None:
            return "Choose a picture."
        text = f"{self.found.title}, {self.found.value:.4g}. {self._shown.scale.capitalize()}."
        sees = ", ".join(f"{label} {share:.0%}" for label, share in self.found.top[:3])
        return html.escape(text) + (f"<br>The network sees: {html.escape(sees)}" if sees else "")

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.box)
