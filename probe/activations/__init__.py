"""What the layers of a network make of images: capture, extract, store."""

from probe.activations.capture import capture
from probe.activations.engine import PIXELS
from probe.activations.extract import Extraction, extract
from probe.activations.store import ActivationStore

__all__ = ["PIXELS", "ActivationStore", "Extraction", "capture", "extract"]
