"""Whom the methods cite: works whose details are written down, and those of the manifests."""

from __future__ import annotations

import functools
import re
import string
import tomllib
from importlib import resources

from probe.assets.manifest import Publication

_NETWORKS = {
    "alexnet": "krizhevsky2014", "vgg": "simonyan2015", "resnet": "he2016",
    "wide_resnet": "zagoruyko2016", "resnext": "xie2017", "squeezenet": "iandola2016",
    "densenet": "huang2017", "googlenet": "szegedy2015", "inception_v3": "szegedy2016",
    "mobilenet_v2": "sandler2018", "mobilenet_v3": "howard2019", "efficientnet_b": "tan2019",
    "efficientnet_v2": "tan2021", "mnasnet": "tan2019mnasnet", "shufflenet_v2": "ma2018",
    "regnet": "radosavovic2020", "vit": "dosovitskiy2021", "swin_v2": "liu2022swin",
    "swin": "liu2021", "convnext": "liu2022", "maxvit": "tu2022", "zfnet": "zeiler2014",
    "lenet5": "lecun1998", "neocognitron": "fukushima1980", "hmax": "serre2007",
}  # fmt: skip
"""By the beginning of a network's name, which work describes it; the longest that fits counts, if
no letter follows."""


@functools.cache
def works() -> dict[str, Publication]:
    """Return the works that are written down, by key."""
    text = resources.files("probe.reporting").joinpath("references.toml").read_text("utf-8")
    return {key: Publication(**entry) for key, entry in tomllib.loads(text).items()}


def of_network(name: str) -> str | None:
    """Return the key of the work that describes a network; None where none is known for sure."""
    fitting = [start for start in _NETWORKS if re.match(rf"{start}(?![a-zA-Z])", name)]
    return _NETWORKS[max(fitting, key=len)] if fitting else None


def short(work: Publication) -> str:
    """Return how a work is cited in a text: ``Nili et al. 2014``."""
    families = [author.partition(",")[0] for author in work.authors]
    if len(families) > 2:
        return f"{families[0]} et al. {work.year}"
    return f"{' & '.join(families)} {work.year}"


class Cited:
    """The works that a text cites, in the order in which they are."""

    def __init__(self) -> None:
        self._works: dict[tuple[str, str], Publication] = {}

    def __call__(self, *keys: str) -> str:
        """Return works as the text in brackets cites them, and remember them."""
        return "; ".join(self.work(works()[key]) for key in keys)

    def work(self, work: Publication) -> str:
        """Return a work as a text cites it, and remember it."""
        self._works[_identity(work)] = work
        return short(work)

    @property
    def all(self) -> list[Publication]:
        """All that were cited."""
        return list(self._works.values())


def bibliography(cited: list[Publication]) -> list[tuple[str, Publication]]:
    """Return works with a key each, sorted by author and year; of one author, year and title, one.

    Keys that two works share have letters: ``liu2022a``, ``liu2022b``.
    """
    unique = list({_identity(work): work for work in reversed(cited)}.values())
    unique.sort(key=lambda work: (work.key, work.title))
    keys = [work.key for work in unique]
    return [
        (f"{key}{_letters(keys[:k].count(key))}" if keys.count(key) > 1 else key, work)
        for k, (key, work) in enumerate(zip(keys, unique, strict=True))
    ]


def _identity(work: Publication) -> tuple[str, str]:
    """Return what tells a work from another: two may have the same title."""
    return work.key, " ".join(work.title.casefold().split())


def _letters(k: int) -> str:
    """Return the k-th of a, b, …, y, za, zb, …, which are sorted."""
    return "z" * (k // 25) + string.ascii_lowercase[k % 25]
