"""Names for tab completion. Nothing here may be slow."""

from __future__ import annotations

from collections.abc import Iterable

import typer

# As in probe.inference and probe.result, which take a while to import.
RESAMPLES = ("stimuli", "subjects", "both", "none")
TESTS = ("auto", "permutation", "t", "bootstrap", "sign-flip")
CORRECTIONS = ("fdr", "holm", "none")


def models(incomplete: str) -> list[str]:
    """Complete a model name."""
    from probe.models.registry import names

    return [name for name in names() if name.startswith(incomplete)]


def several_models(incomplete: str) -> list[str]:
    """Complete the last of several model names."""
    from probe.models.registry import names

    return _last(incomplete, names())


def datasets(incomplete: str) -> list[str]:
    """Complete the last of several names or aliases of recordings."""
    from probe import recordings

    known = recordings.available()
    words = [name for entry in known for name in (entry.name, *entry.aliases)]
    words += [f"{entry.name}/{session}" for entry in known for session in entry.sessions]
    return _last(incomplete, words)


def regions(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the last of several regions, of the recordings that were named, or of any."""
    from probe import recordings

    given = str(context.params.get("dataset") or "").split(",")
    heads = {name.strip().partition("/")[0] for name in given}
    known = recordings.available()
    named = [entry for entry in known if heads & {entry.name, *entry.aliases}]
    words = [region for entry in named or known for region in entry.regions]
    return _last(incomplete, dict.fromkeys(["all", *words]))


def metrics(incomplete: str) -> list[str]:
    """Complete an RDM metric."""
    from probe.similarity.rdms import METRICS, NOISE_METRICS

    return [name for name in (*METRICS, *NOISE_METRICS) if name.startswith(incomplete)]


def comparators(incomplete: str) -> list[str]:
    """Complete a comparator."""
    from probe.similarity import COMPARATORS

    return [name for name in ("auto", *COMPARATORS) if name.startswith(incomplete)]


def layer_words(incomplete: str) -> list[str]:
    """Complete a word that stands for several layers."""
    from probe.models.registry import LAYER_WORDS

    return [word for word in LAYER_WORDS if word.startswith(incomplete)]


def resamples(incomplete: str) -> list[str]:
    """Complete what is resampled."""
    return [word for word in RESAMPLES if word.startswith(incomplete)]


def tests(incomplete: str) -> list[str]:
    """Complete a test."""
    return [word for word in TESTS if word.startswith(incomplete)]


def corrections(incomplete: str) -> list[str]:
    """Complete a correction of p-values."""
    return [word for word in CORRECTIONS if word.startswith(incomplete)]


def _last(incomplete: str, words: Iterable[str]) -> list[str]:
    """Complete the last word of a list with commas, which keeps those before it."""
    before, comma, last = incomplete.rpartition(",")
    named = before.split(",")
    return [
        f"{before}{comma}{word}" for word in words if word.startswith(last) and word not in named
    ]
