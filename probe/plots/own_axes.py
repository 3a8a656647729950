"""The Axes of a figure of our own; matplotlib is imported with it."""

from __future__ import annotations

from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.text import Text


class OwnAxes(Axes):
    """An Axes whose title stands on the left, over the legend beside it, whenever it is set."""

    def set_title(
        self,
        label: str,
        fontdict: dict[str, Any] | None = None,
        loc: Literal["left", "center", "right"] | None = None,
        pad: float | None = None,
        **options: Any,
    ) -> Text:
        """Set the title, on the left unless it is said where."""
        return super().set_title(label, fontdict, loc or "left", pad, **options)
