"""The networks that the history of the field went through, of which none has to be downloaded.

Each has a recipe for what in it is learned: templates are imprinted, layers are organised or
trained, all by a seed and on pictures that a package ships. The result is kept in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

from probe.errors import ProbeError
from probe.models import hmax, lenet5, neocognitron, v1_gabor
from probe.models.checkpoints import PublishedState, learned_state
from probe.models.known import CLASSIC
from probe.models.registry import GABOR, degrees
from probe.models.zfnet import ZFNet


class Recipe(NamedTuple):
    """How a network comes by what it has learned.

    Attributes
    ----------
    learn : callable
        Returns the network.
    key : str
        What its result is kept under in the cache: which seed, and which version of the recipe.
    source : str
        For people.
    """

    learn: Callable[[], nn.Module]
    key: str
    source: str


RECIPES = {
    "hmax": Recipe(
        hmax.imprinted, f"{hmax.SEED}-{hmax.VERSION}",
        "Serre et al. 2007; templates imprinted from the two photographs that scikit-learn ships, "
        f"seed {hmax.SEED}",
    ),
    "lenet5": Recipe(
        lenet5.train, f"{lenet5.SEED}-{lenet5.VERSION}",
        "LeCun et al. 1998; trained here on 1,347 of scikit-learn's digits, seed "
        f"{lenet5.SEED}: 98 % of the other 450 are classified correctly",
    ),
    "neocognitron": Recipe(
        neocognitron.organise, f"{neocognitron.SEED}-{neocognitron.VERSION}",
        "Fukushima 1980; organised here, without a teacher, by 0, 1, 2, 3 and 4 in thin lines, "
        f"seed {neocognitron.SEED}",
    ),
}  # fmt: skip

_BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "hmax": hmax.HMAX,
    "lenet5": lenet5.LeNet5,
    "neocognitron": neocognitron.Neocognitron,
    "zfnet": ZFNet,
}


class Input(NamedTuple):
    """What a picture becomes: its height and width, and what is subtracted and divided by."""

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def _of_range(size: tuple[int, int], black: float, white: float) -> Input:
    """Return the input of a network that takes these values for black and white."""
    return Input(size, ((0.0 - black) / (white - black),) * 3, (1.0 / (white - black),) * 3)


INPUTS = {
    "hmax": _of_range(hmax.SIZE, 0.0, 1.0),
    "lenet5": _of_range(lenet5.SIZE, lenet5.BLACK, lenet5.WHITE),
    "neocognitron": _of_range(neocognitron.SIZE, 0.0, 1.0),
    GABOR: _of_range(v1_gabor.SIZE, -1.0, 1.0),
}
"""Of those that do not take ImageNet's."""


def is_classic(architecture: str) -> bool:
    """Return whether a network is one of these."""
    return _name(architecture) in CLASSIC


def build_classic(architecture: str, **options: Any) -> nn.Module:
    """Build a network; what it would learn is drawn at random.

    Parameters
    ----------
    architecture : str
    **options
        ``num_classes``, of those that tell classes apart.
    """
    if _name(architecture) == GABOR:
        return v1_gabor.V1Gabor(degrees(architecture))
    return _BUILDERS[architecture](**options)


def published_classic(architecture: str) -> PublishedState:
    """Make, or take from the cache, the weights of a network as its paper says.

    Raises
    ------
    ProbeError
        If there is no way to.
    """
    name = _name(architecture)
    if name == GABOR:
        module = build_classic(architecture)
        source = f"nothing is learned; {degrees(architecture):g}° of visual field per picture"
        return PublishedState(module.state_dict(), source, None)
    if name not in RECIPES:
        raise ProbeError(
            f"model {architecture!r}: its authors published no weights; give --weights FILE, or "
            "--weights random for an untrained network"
        )
    recipe = RECIPES[name]
    state = learned_state("classic", f"{name}-{recipe.key}", lambda: recipe.learn().state_dict())
    return PublishedState(state, recipe.source, None)


def _name(architecture: str) -> str:
    return architecture.partition(":")[0]
