"""Maps to play with in JupyterLab: picture, method, target and layer by a click."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from torch import nn

from probe import images, models, targets
from probe.attribution.explain import DEFAULT_METHOD, Saliency, saliency
from probe.attribution.methods import METHODS
from probe.errors import ProbeError
from probe.models import Network

if TYPE_CHECKING:
    from ipywidgets import VBox


class Explorer:
    """Widgets for one network, which show a map and make it anew when one of them is changed.

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
        The map that is shown.

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
                "the explorer takes ipywidgets: pip install 'cnn-probe[notebook]'"
            ) from None
        weights = settings.pop("weights", "imagenet")
        preprocessing = settings.pop("preprocessing", "resize")
        model = models.given(model, weights, preprocessing)
        self.network = (
            model
            if isinstance(model, Network)
            else models.load(model, weights, preprocessing=preprocessing)
        )
        self.found: Saliency | None = None
        self._settings = settings
        self._image = image
        spatial = [
            info.name
            for info in models.layers(self.network)
            if not info.missing and len(info.output_shape) == 3
        ]
        wide = widgets.Layout(width="330px")
        self.upload = widgets.FileUpload(accept="image/*", description="picture")
        self.method = widgets.Dropdown(
            options=[m.name for m in METHODS.values()], value=DEFAULT_METHOD,
            description="method", layout=wide,
        )  # fmt: skip
        labels = targets.class_labels(self.network)
        self.target = widgets.Combobox(
            options=list(labels), placeholder="the class that it sees", description="target",
            continuous_update=False, layout=wide,
        )  # fmt: skip
        self.layer = widgets.Dropdown(
            options=[("the last one", ""), *((name, name) for name in reversed(spatial))],
            description="layer", layout=wide,
        )  # fmt: skip
        self.style = widgets.ToggleButtons(
            options=["overlay", "side", "map", "contours"], value="side", description="style"
        )
        self.picture = widgets.Image(format="png", layout=widgets.Layout(max_width="900px"))
        self.words = widgets.HTML()
        self.upload.observe(self._uploaded, "value")
        for widget in (self.method, self.target, self.layer):
            widget.observe(self._again, "value")
        self.style.observe(self._redraw, "value")
        self.box: VBox = widgets.VBox(
            [
                widgets.HBox([self.upload, self.method]),
                widgets.HBox([self.target, self.layer]),
                self.style,
                self.picture,
                self.words,
            ]
        )
        if image is not None:
            images.read(image, "image")  # what is none is told now
        self._again()

    def _uploaded(self, change: Any) -> None:
        if change["new"]:
            self._image = bytes(change["new"][0]["content"])
            self._again()

    def _again(self, _change: Any = None) -> None:
        """Make the map that the widgets ask for, or say what is wrong."""
        self.layer.disabled = not METHODS[self.method.value].needs_layer
        if self._image is None:
            self.words.value = "Choose a picture."
            return
        self.words.value = "…"
        try:
            found = saliency(
                self._image,
                self.network,
                self.method.value,
                self.target.value.strip() or None,
                layer=None if self.layer.disabled else self.layer.value or None,
                progress=False,
                **self._settings,
            )
        except ProbeError as error:
            self.words.value = f"<span style='color:#b2182b'>{html.escape(str(error))}</span>"
            return
        assert isinstance(found, Saliency)  # of one method
        self.found = found
        self._redraw()

    def _redraw(self, _change: Any = None) -> None:
        if self.found is None:
            return
        self.picture.value = self.found.png(self.style.value)
        sees = ", ".join(f"{label} {share:.0%}" for label, share in self.found.top[:3])
        text = f"{self.found.title}, {self.found.value:.4g}. {self.found.scale.capitalize()}."
        self.words.value = html.escape(text) + (
            f"<br>The network sees: {html.escape(sees)}" if sees else ""
        )

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.box)
