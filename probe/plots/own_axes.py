"""The Axes of a figure of our own; matplotlib is imported with it."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.text import Text


class OwnAxes(Axes):
    """An Axes whose title stands on the left, over the legend beside it, whenever it is set."""

    def set_title(self, label: str, fontdict: Any = None, loc: Any = None, **options: Any) -> Text:
        """Set the title, on the left unless it is said where."""
        return super().set_title(label, fontdict, loc or "left", **options)
