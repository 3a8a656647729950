"""Which parts of a picture speak for a target, and how far to trust the answer."""

from probe.attribution.explain import Saliencies, Saliency, saliency
from probe.attribution.in_vivo import (
    InVivo,
    deletion_in_vivo,
    held_out_masses,
    reference_masses,
)
from probe.attribution.methods import METHODS, Method

__all__ = [
    "METHODS",
    "InVivo",
    "Method",
    "Saliencies",
    "Saliency",
    "deletion_in_vivo",
    "held_out_masses",
    "reference_masses",
    "saliency",
]
