"""Results as figures; every function takes and returns an Axes or a Figure.

Importing this package does not import matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe.plots.alignment import plot_alignment
    from probe.plots.checks import plot_curves, plot_randomisation
    from probe.plots.concepts import plot_concepts
    from probe.plots.encoding import plot_encoding, plot_encodings, plot_sites
    from probe.plots.filters import plot_kernels, plot_maps, plot_patches
    from probe.plots.invariance import plot_invariance
    from probe.plots.layers import plot_layers
    from probe.plots.over_time import plot_generalisation, plot_over_time
    from probe.plots.rdms import plot_dendrogram, plot_mds, plot_rdm
    from probe.plots.regions import plot_regions
    from probe.plots.reliability import plot_reliability
    from probe.plots.scores import plot_scores
    from probe.plots.searchlight import plot_slices, plot_surfaces
    from probe.plots.transfer import plot_transfer
    from probe.plots.tuning import plot_tuning

__all__ = [
    "plot_alignment",
    "plot_concepts",
    "plot_curves",
    "plot_dendrogram",
    "plot_encoding",
    "plot_encodings",
    "plot_generalisation",
    "plot_invariance",
    "plot_kernels",
    "plot_layers",
    "plot_maps",
    "plot_mds",
    "plot_over_time",
    "plot_patches",
    "plot_randomisation",
    "plot_rdm",
    "plot_regions",
    "plot_reliability",
    "plot_scores",
    "plot_sites",
    "plot_slices",
    "plot_surfaces",
    "plot_transfer",
    "plot_tuning",
]

_MODULES = {
    "plot_alignment": "alignment",
    "plot_concepts": "concepts",
    "plot_curves": "checks",
    "plot_dendrogram": "rdms",
    "plot_encoding": "encoding",
    "plot_encodings": "encoding",
    "plot_generalisation": "over_time",
    "plot_invariance": "invariance",
    "plot_kernels": "filters",
    "plot_layers": "layers",
    "plot_maps": "filters",
    "plot_mds": "rdms",
    "plot_over_time": "over_time",
    "plot_patches": "filters",
    "plot_randomisation": "checks",
    "plot_rdm": "rdms",
    "plot_regions": "regions",
    "plot_reliability": "reliability",
    "plot_scores": "scores",
    "plot_sites": "encoding",
    "plot_slices": "searchlight",
    "plot_surfaces": "searchlight",
    "plot_transfer": "transfer",
    "plot_tuning": "tuning",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"probe.plots.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'probe.plots' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
