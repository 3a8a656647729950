"""Names for tab completion. Nothing here may be slow."""

from __future__ import annotations


def models(incomplete: str) -> list[str]:
    """Complete a model name."""
    from probe.models.registry import names

    return [name for name in names() if name.startswith(incomplete)]


def datasets(incomplete: str) -> list[str]:
    """Complete a recording's name or alias."""
    from probe import recordings

    known = recordings.available()
    words = [name for entry in known for name in (entry.name, *entry.aliases)]
    words += [f"{entry.name}/{session}" for entry in known for session in entry.sessions]
    return [word for word in words if word.startswith(incomplete)]


def metrics(incomplete: str) -> list[str]:
    """Complete an RDM metric."""
    from probe.similarity import METRICS

    return [name for name in METRICS if name.startswith(incomplete)]


def comparators(incomplete: str) -> list[str]:
    """Complete a comparator."""
    from probe.similarity import COMPARATORS

    return [name for name in ("auto", *COMPARATORS) if name.startswith(incomplete)]


def layer_words(incomplete: str) -> list[str]:
    """Complete a word that stands for several layers."""
    from probe.models.registry import LAYER_WORDS

    return [word for word in LAYER_WORDS if word.startswith(incomplete)]
