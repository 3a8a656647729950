"""What the units of a network look for: kernels, activation maps, the patches that drive them."""

from probe.features.kernels import Kernels, kernels
from probe.features.maps import ActivationMaps, activation_maps
from probe.features.patches import TopPatches, top_patches
from probe.features.projections import Projections, projections

__all__ = [
    "ActivationMaps",
    "Kernels",
    "Projections",
    "TopPatches",
    "activation_maps",
    "kernels",
    "projections",
    "top_patches",
]
