"""What comparisons found: one network with one recording, and several with several."""

from probe.result.derivatives import save_derivatives
from probe.result.folder import default_folder, place_for, writable_folder, write_atomically
from probe.result.map import Failure, RSAMap
from probe.result.over_time import RSAOverTime
from probe.result.searchlight import SearchlightResult
from probe.result.single import Ceiling, Choice, RSAResult, check_correction
from probe.result.text import CORRECTIONS

__all__ = [
    "CORRECTIONS",
    "Ceiling",
    "Choice",
    "Failure",
    "RSAMap",
    "RSAOverTime",
    "RSAResult",
    "SearchlightResult",
    "check_correction",
    "default_folder",
    "place_for",
    "save_derivatives",
    "writable_folder",
    "write_atomically",
]
