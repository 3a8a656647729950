"""What the layers of a network make of images: capture, extract, store."""

from probe.activations.capture import capture
from probe.activations.extract import PIXELS, extract
from probe.activations.store import ActivationStore

__all__ = ["PIXELS", "ActivationStore", "capture", "extract"]
