"""What a map explains and what a picture is made for: one number per picture, with a gradient.

A target names the layers that it looks at, and gives a number for each picture from what they
return. Whatever explains a network, or optimises a picture, takes a target and knows no more of it:
a class, a unit, a channel, a layer, a direction, any function, a sum of several, or the head of an
encoding model.

>>> parse("Egyptian cat", network)  # doctest: +SKIP
>>> parse("features.10:84 - 0.5*features.10:12", network)  # doctest: +SKIP

What targets are is in `probe.targets.kinds`; how users write them, in `probe.targets.text`; what
they are to other libraries, in `probe.targets.forward`. Importing this package imports none of
them, for other rooms lie between.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe.activations.capture import OUTPUT, differentiable
    from probe.targets.forward import ForwardFunction, forward_function
    from probe.targets.kinds import (
        Channel,
        Class,
        Direction,
        Function,
        Norm,
        Outputs,
        Response,
        Several,
        Sum,
        Target,
        Unit,
        by_channel,
        gradient,
        said,
        values,
    )
    from probe.targets.text import (
        alone,
        class_labels,
        class_of,
        home,
        is_site,
        lone_output,
        parse,
        predicted,
        read,
        titled,
    )

__all__ = [
    "OUTPUT",
    "Channel",
    "Class",
    "Direction",
    "ForwardFunction",
    "Function",
    "Norm",
    "Outputs",
    "Response",
    "Several",
    "Sum",
    "Target",
    "Unit",
    "alone",
    "by_channel",
    "class_labels",
    "class_of",
    "differentiable",
    "forward_function",
    "gradient",
    "home",
    "is_site",
    "lone_output",
    "parse",
    "predicted",
    "read",
    "said",
    "titled",
    "values",
]

_HOME = {
    "OUTPUT": "probe.activations.capture",
    "Channel": "probe.targets.kinds",
    "Class": "probe.targets.kinds",
    "Direction": "probe.targets.kinds",
    "ForwardFunction": "probe.targets.forward",
    "Function": "probe.targets.kinds",
    "Norm": "probe.targets.kinds",
    "Outputs": "probe.targets.kinds",
    "Response": "probe.targets.kinds",
    "Several": "probe.targets.kinds",
    "Sum": "probe.targets.kinds",
    "Target": "probe.targets.kinds",
    "Unit": "probe.targets.kinds",
    "alone": "probe.targets.text",
    "by_channel": "probe.targets.kinds",
    "class_labels": "probe.targets.text",
    "class_of": "probe.targets.text",
    "differentiable": "probe.activations.capture",
    "forward_function": "probe.targets.forward",
    "gradient": "probe.targets.kinds",
    "home": "probe.targets.text",
    "is_site": "probe.targets.text",
    "lone_output": "probe.targets.text",
    "parse": "probe.targets.text",
    "predicted": "probe.targets.text",
    "read": "probe.targets.text",
    "said": "probe.targets.kinds",
    "titled": "probe.targets.text",
    "values": "probe.targets.kinds",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'probe.targets' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
