"""In-silico electrophysiology: how the responses of units change with what is shown to them."""

from probe.tuning.invariance import Invariance, Transform, invariance

__all__ = ["Invariance", "Transform", "invariance"]
