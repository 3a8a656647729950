"""Results as figures; every function takes and returns an Axes or a Figure."""

from probe.plots.layers import plot_layers

__all__ = ["plot_layers"]
