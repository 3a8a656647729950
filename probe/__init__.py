"""Compare the layers of a network with recorded visual cortex, and make pictures from both.

>>> import probe
>>> result = probe.rsa("alexnet", "sim-v4")  # doctest: +SKIP

Importing probe imports nothing heavy: each name loads its room when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe import (
        activations,
        attribution,
        cluster,
        features,
        inference,
        models,
        plots,
        recordings,
        similarity,
        stimuli,
        targets,
        tuning,
    )
    from probe.alignment import align
    from probe.attribution import saliency
    from probe.classification import Transfer, transfer
    from probe.comparison import (
        Comparison,
        Reliability,
        RSAMap,
        RSAOverTime,
        RSAResult,
        compare,
        reliability,
        rsa,
    )
    from probe.comparison.searchlight import searchlight
    from probe.encoding import Encoding, EncodingOverTime, Encodings, encode, open_encoding
    from probe.errors import ProbeError
    from probe.extraction import extract, open_activations
    from probe.reporting import report
    from probe.synthesis.atlas import atlas
    from probe.synthesis.dream import dream
    from probe.synthesis.style import style
    from probe.synthesis.superstimulus import superstimulus
    from probe.synthesis.visualize import visualize

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "Encoding",
    "EncodingOverTime",
    "Encodings",
    "ProbeError",
    "RSAMap",
    "RSAOverTime",
    "RSAResult",
    "Reliability",
    "Transfer",
    "activations",
    "align",
    "atlas",
    "attribution",
    "cluster",
    "compare",
    "dream",
    "encode",
    "extract",
    "features",
    "inference",
    "models",
    "open_activations",
    "open_encoding",
    "plots",
    "recordings",
    "reliability",
    "report",
    "rsa",
    "saliency",
    "searchlight",
    "similarity",
    "stimuli",
    "style",
    "superstimulus",
    "targets",
    "transfer",
    "tuning",
    "visualize",
]

_FUNCTIONS = {
    "Comparison": "probe.comparison",
    "Encoding": "probe.encoding",
    "EncodingOverTime": "probe.encoding",
    "Encodings": "probe.encoding",
    "ProbeError": "probe.errors",
    "RSAMap": "probe.comparison",
    "RSAOverTime": "probe.comparison",
    "RSAResult": "probe.comparison",
    "Reliability": "probe.comparison",
    "Transfer": "probe.classification",
    "align": "probe.alignment",
    "atlas": "probe.synthesis.atlas",
    "compare": "probe.comparison",
    "dream": "probe.synthesis.dream",
    "encode": "probe.encoding",
    "extract": "probe.extraction",
    "open_activations": "probe.extraction",
    "open_encoding": "probe.encoding",
    "reliability": "probe.comparison",
    "report": "probe.reporting",
    "rsa": "probe.comparison",
    "saliency": "probe.attribution",
    "searchlight": "probe.comparison.searchlight",
    "style": "probe.synthesis.style",
    "superstimulus": "probe.synthesis.superstimulus",
    "transfer": "probe.classification",
    "visualize": "probe.synthesis.visualize",
}


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        value = getattr(importlib.import_module(_FUNCTIONS[name]), name)
    elif name in __all__:
        value = importlib.import_module(f"probe.{name}")
    else:
        raise AttributeError(f"module 'probe' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
