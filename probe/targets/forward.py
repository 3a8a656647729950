"""A target as a function of pictures: a module that Captum, or any optimiser, can call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from probe import images, models
from probe.activations.capture import differentiable
from probe.errors import ProbeError
from probe.models import Network
from probe.models.devices import home_of
from probe.models.layouts import layouts
from probe.targets.kinds import Target, check_single
from probe.targets.text import home, read


class ForwardFunction(nn.Module):
    """One number per picture, with its graph: a network up to a target.

    What hooks see is what a module returned: behind a module that someone watches, the network goes
    on with a copy, in which the next in-place operation may write. The forward pass ends with the
    last layer that the target looks at. Weights get no gradients.

    Parameters
    ----------
    network : torch.nn.Module
        Is no copy: its layers are `network`'s.
    target : Target
    input_shape : sequence of int
        Of one picture: (channels, height, width).
    described : Network, optional
        Of which ``network`` is the module: what pictures go through first.

    Attributes
    ----------
    network : torch.nn.Module
        Whose layers are explained: ``captum.attr.LayerConductance(f, f.network.layer4)``.
    """

    network: nn.Module

    def __init__(
        self,
        network: nn.Module,
        target: Target,
        input_shape: Sequence[int],
        described: Network | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        # Not as attributes: a target may be a module, whose parts are none of the network's.
        self._held = (target, described)
        self.training = network.training
        # Axes are traced in a copy, which would have the hooks of whoever calls this.
        layouts(network, input_shape)

    @property
    def target(self) -> Target:
        """What the number is of."""
        return self._held[0]

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the target's number for each picture.

        Parameters
        ----------
        pictures : torch.Tensor, shape (n, channels, height, width)
            Preprocessed, on the network's device.

        Returns
        -------
        torch.Tensor, shape (n,)

        Raises
        ------
        ProbeError
            If the target has several numbers for a picture, or a layer does not exist.
        """
        if torch.is_grad_enabled() and not pictures.requires_grad:
            # Weights ask for no gradient, and without one there is no graph, which layers' need.
            pictures = pictures.detach().requires_grad_()
        with _copied_behind_hooks(self.network):
            value = self.target(differentiable(self.network, pictures, self.target.layers))
        check_single(value, self.target)
        return value

    def inputs(self, *pictures: images.Picture) -> Tensor:
        """Return pictures as the network sees them.

        Parameters
        ----------
        *pictures : path, bytes, uint8 array (height, width[, 3]), or Pillow image

        Returns
        -------
        torch.Tensor, shape (n, 3, height, width)
            Preprocessed, on the network's device.

        Raises
        ------
        ProbeError
            If a picture cannot be read, or there is none.
        """
        if not pictures:
            raise ProbeError("there is no picture: expected one or more")
        if any(isinstance(picture, list | tuple) for picture in pictures):
            raise ProbeError("pictures are in a list: expected each by itself, as in inputs(*list)")
        read_pictures = [images.read_named(picture)[0] for picture in pictures]
        preprocessed = torch.stack([self.described.preprocessing(one) for one in read_pictures])
        dtype = next((p.dtype for p in self.network.parameters()), torch.float32)
        return preprocessed.to(home_of(self.network), dtype)

    @property
    def described(self) -> Network:
        """The network with its name and preprocessing.

        Raises
        ------
        ProbeError
            If it was made of a module alone.
        """
        described = self._held[1]
        if described is None:
            raise ProbeError(
                "this forward function has no preprocessing: make it with "
                "probe.targets.forward_function"
            )
        return described

    def extra_repr(self) -> str:
        """Return the target's name."""
        return self.target.name


def forward_function(
    model: str | Network | nn.Module | None = None,
    target: str | int | Target | None = None,
    *,
    weights: str = "imagenet",
    preprocessing: str = "resize",
    seed: int = 0,
    progress: bool | None = None,
) -> ForwardFunction:
    """Return a target as a module that gives one number per picture, as Captum takes it.

    Parameters
    ----------
    model : str, Network or torch.nn.Module, optional
        As in `probe.saliency`. May be left out where the target is a recorded site.
    target : str, int or Target
        As `parse` reads it: a class, a channel, a unit, a layer, a recorded site, a sum.
    weights, preprocessing, seed, progress
        As in `probe.saliency`.

    Returns
    -------
    ForwardFunction
        ``f(inputs)`` is (n,); ``f.inputs("cat.jpg")`` makes inputs of a picture; ``f.network`` has
        the layers. To Captum, ``target=None``: there is one output.

    Raises
    ------
    ProbeError
        If something that was named does not exist, or no target is named.

    See Also
    --------
    probe.attribution.as_saliency : From Captum's values to a map that draws itself.
    probe.saliency : Takes Captum's methods, and does all of it.

    Examples
    --------
    >>> import captum.attr
    >>> import numpy as np
    >>> import probe
    >>> f = probe.targets.forward_function("squeezenet1_1", "features.4:12", weights="random")
    >>> picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    >>> inputs = f.inputs(picture)
    >>> inputs.shape, f(inputs).shape
    (torch.Size([1, 3, 224, 224]), torch.Size([1]))
    >>> values = captum.attr.IntegratedGradients(f).attribute(inputs, n_steps=4)
    >>> probe.attribution.as_saliency(values, f, picture).map.shape
    (64, 64)
    """
    if target is None:
        raise ProbeError(
            "no target is named: expected a class, LAYER:CHANNEL, a recorded site such as "
            "site:v4:12, or another that probe.targets.parse reads"
        )
    if model is None:
        network = home(target, progress=progress)
    else:
        model = models.check_model(model, weights, preprocessing)
        network = models.as_network(model, weights, preprocessing, seed=seed, progress=progress)
    explained = read(target, network)
    return ForwardFunction(network.module, explained, network.input_shape, network)


@contextmanager
def _copied_behind_hooks(network: nn.Module) -> Iterator[None]:
    """While open, hand on copies behind modules whose outputs someone watches."""

    def copied(_module: nn.Module, _inputs: Any, output: Any) -> Tensor | None:
        return output.clone() if isinstance(output, Tensor) else None

    watched = [part for part in network.modules() if part._forward_hooks]
    handles = [part.register_forward_hook(copied) for part in watched]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
