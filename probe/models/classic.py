"""The networks that the history of the field went through, of which none has to be downloaded.

Each has a recipe for what in it is learned: templates are imprinted, layers are organised or
trained, all by a seed and on pictures that a package ships. The result is kept in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from probe.assets import derive
from probe.errors import ProbeError
from probe.models import hmax, lenet5, neocognitron, v1_gabor
from probe.models.checkpoints import PublishedState, read_state
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

_CLASSIFIERS: dict[str, Callable[..., nn.Module]] = {
    "lenet5": lenet5.LeNet5,
    "zfnet": ZFNet,
}
_OTHERS: dict[str, Callable[[str], nn.Module]] = {
    "hmax": lambda _: hmax.HMAX(),
    "neocognitron": lambda _: neocognitron.Neocognitron(),
    GABOR: lambda architecture: v1_gabor.V1Gabor(degrees(architecture)),
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


def build_classic(architecture: str, num_classes: int | None = None) -> nn.Module:
    """Build a network; what it would learn is drawn at random.

    Raises
    ------
    ProbeError
        If a number of classes is asked of a network that has none.
    """
    name = _name(architecture)
    if name in _CLASSIFIERS:
        options = {} if num_classes is None else {"num_classes": num_classes}
        return _CLASSIFIERS[name](**options)
    if num_classes is not None:
        raise ProbeError(f"model {architecture!r} has no classes")
    return _OTHERS[name](architecture)


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

    def make() -> bytes:
        from safetensors.torch import save

        return save({k: v.contiguous() for k, v in recipe.learn().state_dict().items()})

    path = derive("classic", f"{name}-{recipe.key}.safetensors", make)
    return PublishedState(read_state(path), recipe.source, None)


def has_weights(architecture: str) -> bool:
    """Return whether anything in a network is learned, so that it can be untrained."""
    return _name(architecture) != GABOR


def check_weights(architecture: str) -> None:
    """Refuse weights, random or from a file, for a network that has none.

    Raises
    ------
    ProbeError
        If nothing in it is learned.
    """
    if not has_weights(architecture):
        raise ProbeError(
            f"model {architecture!r} has nothing to learn, and so takes no weights: its filters "
            "are given by formulas; leave --weights out"
        )


def _name(architecture: str) -> str:
    return architecture.partition(":")[0]
