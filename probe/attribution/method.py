"""What is known of a method that explains a number by a picture's pixels."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes
    ----------
    name : str
        As a user writes it.
    function : callable
        ``function(module, images, target, **settings)``.
    kind : {"pixels", "layer", "tokens"}
        Of what it gives a map: of every value of the picture; of the positions of a layer; of
        the patches of a transformer.
    signed : bool
        Whether its values can be negative: evidence against the target.
    about : str
        What it does, in a line.
    slope : bool
        Whether a value's sign is a direction, up or down which the target rises, and no vote.
    sums_to : {"", "change", "value"}
        What the map shares out, if anything: the target's change from the mean colour, or its
        value.
    several : bool
        Whether it takes `probe.targets.Several`, and makes their maps from the same passes.
    choosing : callable or None
        The same function where it chooses a setting by the picture: returns the maps, and what it
        chose. Checks of a map hold to that.
    library : str
        Which other library computes it, whose version is recorded; empty for none.
    at : str
        The layer that it was built for, where it was; no other is asked for.
    """

    name: str
    function: Callable[..., Tensor]
    kind: Literal["pixels", "layer", "tokens"]
    signed: bool
    about: str
    slope: bool = False
    sums_to: Literal["", "change", "value"] = ""
    several: bool = True
    choosing: Callable[..., tuple[Tensor, dict[str, int]]] | None = None
    library: str = ""
    at: str = ""

    @property
    def needs_layer(self) -> bool:
        """Whether a layer has to be named."""
        return "layer" in inspect.signature(self.function).parameters

    @property
    def settings(self) -> list[str]:
        """Names of what can be set, besides module, images, target and layer."""
        names = inspect.signature(self.function).parameters
        besides = ("module", "images", "target", "layer", "progress")
        return [name for name in names if name not in besides]

    def takes(self, **options: Any) -> dict[str, Any]:
        """Return those of some options that the function has."""
        names = inspect.signature(self.function).parameters
        return {name: value for name, value in options.items() if name in names}

    @property
    def has_progress(self) -> bool:
        """Whether a map takes long enough for a progress bar of its own."""
        return "progress" in inspect.signature(self.function).parameters

    def on(self, module: nn.Module) -> Method:
        """Return the method for a network: itself, where it is the same for all.

        Raises
        ------
        ProbeError
            If it belongs to another.
        """
        return self
