"""Which parts of a picture speak for a target, and how far to trust the answer."""

from probe.attribution.explain import Saliencies, Saliency, saliency
from probe.attribution.methods import METHODS, Method

__all__ = ["METHODS", "Method", "Saliencies", "Saliency", "saliency"]
