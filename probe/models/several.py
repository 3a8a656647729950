"""What `probe.models` has under these names."""

from probe.models.network import as_network as load_network
from probe.models.network import check_models

__all__ = ["check_models", "load_network"]
