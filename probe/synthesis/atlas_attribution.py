"""How strongly the activations of a layer drive a target, each at its place in its picture."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from probe import models
from probe.activations.batch_size import with_graph
from probe.activations.capture import OUTPUT, differentiable
from probe.activations.survey import batches
from probe.errors import ProbeError
from probe.models import Network
from probe.models.devices import on_device, out_of_memory
from probe.stimuli import StimulusSet
from probe.targets import Target, by_channel, gradient


def check_depends(network: Network, layer: str, target: Target, device: str) -> None:
    """Check that a target depends on a layer, before anything long begins.

    Parameters
    ----------
    network : Network
    layer : str
    target : Target
    device : str
        ``auto``, ``cpu``, ``cuda``, …

    Raises
    ------
    ProbeError
        If the target reads a layer that lies before this one, or one that this one does not lead
        to.
    """
    order = [info.name for info in models.layers(network)]
    for name in target.layers:
        if name in order[: order.index(layer)]:
            raise ProbeError(
                f"target {target.name!r} is read from {name!r}, which lies before {layer!r}, and "
                f"nothing there drives it: make the atlas of {name!r}, or of a layer before it"
            )
    with on_device(network, device) as (on, dtype):
        grey = torch.zeros(1, 3, *network.preprocessing.size, device=on, dtype=dtype)
        outputs = differentiable(network.module, grey, [layer, *target.layers], cut=layer)
        unreached = [name for name in target.layers if not outputs[name].requires_grad]
        if unreached:
            read = "the network's output" if unreached[0] == OUTPUT else repr(unreached[0])
            raise ProbeError(
                f"target {target.name!r} is read from {read}, and {layer!r} does not lead there: "
                "choose a layer that does"
            )
        gradient(target(outputs), [outputs[layer]], target)


def attributions(
    network: Network,
    stimuli: StimulusSet,
    layer: str,
    target: Target,
    where: pd.DataFrame,
    *,
    batch_size: int | None = None,
    device: str = "auto",
    progress: bool | None = None,
) -> np.ndarray:
    """Compute gradient × activation at some positions of a layer.

    Parameters
    ----------
    network : Network
    stimuli : StimulusSet
    layer : str
    target : Target
        Depends on the layer; see `check_depends`.
    where : pandas.DataFrame
        One row per activation: ``stimulus``, the position of its picture in the set, then its own
        position in the layer: ``y``, ``x``, or ``token``, or nothing.
    batch_size : int, optional
        Pictures in a pass, at most.
    device : str
        ``auto``, ``cpu``, ``cuda``, …
    progress : bool, optional
        Show a progress bar; by default when a person is watching.

    Returns
    -------
    numpy.ndarray, float32, shape (len(where),)
        P · g·a, for the activation a of all channels at a position, the target's gradient g at that
        position, in that picture, and the number P of the layer's positions. So the mean over all
        positions of a picture is the sum of gradient × activation over the layer, which is the
        change of the target, to first order, from no activation to what there is.

    Raises
    ------
    ProbeError
        If values are not finite, or memory runs out.
    """
    values = np.empty(len(where), np.float32)
    stimulus = where["stimulus"].to_numpy()
    position = tuple(where[axis].to_numpy() for axis in where.columns.drop("stimulus"))
    with on_device(network, device) as (on, dtype):
        size = min(batch_size or with_graph(network), len(stimuli))
        try:
            for rows, inputs in batches(network, stimuli, size, on, dtype, progress=progress):
                outputs = differentiable(network.module, inputs, [layer, *target.layers], cut=layer)
                (slopes,) = gradient(target(outputs), [outputs[layer]], target)
                products = by_channel((slopes * outputs[layer]).detach().float()).sum(1)
                n_positions = products[0].numel()
                inside = np.flatnonzero((stimulus >= rows.start) & (stimulus < rows.stop))
                at = (stimulus[inside] - rows.start, *(axis[inside] for axis in position))
                values[inside] = n_positions * products.cpu().numpy()[at]
        except Exception as error:
            if not out_of_memory(error):
                raise
            raise ProbeError(
                f"{network.name} does not fit into memory with the gradients of {size} pictures at "
                "a time: choose a smaller --batch-size"
            ) from None
    if not np.isfinite(values).all():
        raise ProbeError(
            f"gradient × activation is not finite for target {target.name!r}: the network's own "
            "output or gradient overflows here"
        )
    return values
