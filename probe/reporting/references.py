"""Whom the methods cite: works whose details are written down, and those of the manifests."""

from __future__ import annotations

import functools
import re
import string
import tomllib
from collections import Counter
from collections.abc import Sequence
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


ANOTHER = "\u2060"
"""Follows a citation that reads like that of another work of the same text, once for each such
work before it. It has no width; `with_letters` puts a letter in its place."""


class Cited:
    """The works that a text cites, in the order in which they are.

    Two works of one text may read alike, such as “Liu et al. 2022”: only the whole page knows the
    letters that tell them apart, so that the second one is marked by `ANOTHER` until then.
    """

    def __init__(self) -> None:
        self._works: dict[tuple[str, str], Publication] = {}

    def __call__(self, *keys: str) -> str:
        """Return works as the text in brackets cites them, and remember them."""
        return "; ".join(self.work(works()[key]) for key in keys)

    def work(self, work: Publication) -> str:
        """Return a work as a text cites it, and remember it."""
        self._works.setdefault(_identity(work), work)
        alike = [_identity(one) for one in self.all if short(one) == short(work)]
        return short(work) + ANOTHER * alike.index(_identity(work))

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


def with_letters(
    text: str, cited: Sequence[Publication], works: Sequence[tuple[str, Publication]]
) -> str:
    """Return a text in which works that read alike have the letters of their keys: “2022a”.

    Parameters
    ----------
    text : str
        As it was written with a `Cited`.
    cited : sequence of Publication
        All that it cites, in the order of that `Cited`.
    works : sequence of (str, Publication)
        The `bibliography` of the page.
    """
    letters = {_identity(work): letters_of(key, work) for key, work in works}
    named = Counter(short(work) for _, work in works)
    for name in {short(work) for work in cited if named[short(work)] > 1}:
        alike = [letters[_identity(work)] for work in cited if short(work) == name]
        for k in reversed(range(len(alike))):  # the most marked first, since it begins like others
            mention = rf"{re.escape(name)}{ANOTHER * k}(?!\w|{ANOTHER})"
            text = re.sub(mention, name + alike[k], text)
    return text


def letters_of(key: str, work: Publication) -> str:
    """Return the letters that a key has more than the work's own; empty of most."""
    return key.removeprefix(work.key)


def _identity(work: Publication) -> tuple[str, str]:
    """Return what tells a work from another: two may have the same title."""
    return work.key, " ".join(work.title.casefold().split())


def _letters(k: int) -> str:
    """Return the k-th of a, b, …, y, za, zb, …, which are sorted."""
    return "z" * (k // 25) + string.ascii_lowercase[k % 25]
