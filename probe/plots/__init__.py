"""Results as figures; every function takes and returns an Axes or a Figure."""

from probe.plots.layers import plot_layers
from probe.plots.rdms import plot_dendrogram, plot_mds, plot_rdm
from probe.plots.regions import plot_regions
from probe.plots.scores import plot_scores

__all__ = ["plot_dendrogram", "plot_layers", "plot_mds", "plot_rdm", "plot_regions", "plot_scores"]
