"""One simulated session, and what a correct reader finds in it, counted in whole numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

FIRST, LAST = 8, 24
"""The window in ticks; the session gives it in ms."""


@dataclass(frozen=True)
class Session:
    """Units with spikes, and presentations; times in ticks."""

    unit_ids: list[int]
    regions: list[str]
    spikes: list[np.ndarray]
    onsets: np.ndarray
    pictures: list[str]  # '' where none was shown
    tick: float = 1 / 64  # seconds: a binary fraction, so that times in s and ms are exact
    window: str = "125,375ms"

    @property
    def counts(self) -> np.ndarray:
        """Presentation × unit: by definition, spike by spike."""
        return np.array(
            [
                [sum(FIRST <= int(t - onset) < LAST for t in spikes) for spikes in self.spikes]
                for onset in self.onsets
            ]
        )

    @property
    def shown(self) -> list[str]:
        return list(dict.fromkeys(name for name in self.pictures if name))

    @property
    def responses(self) -> np.ndarray:
        """Stimulus × repetition × unit; NaN where a picture was shown fewer times."""
        n = max(self.pictures.count(name) for name in self.shown)
        responses = np.full((len(self.shown), n, len(self.spikes)), np.nan)
        for s, name in enumerate(self.shown):
            rows = [k for k, label in enumerate(self.pictures) if label == name]
            responses[s, : len(rows)] = self.counts[rows]
        return responses


@pytest.fixture(scope="session")
def session() -> Session:
    """Windows overlap; spikes lie on both borders; one unit is silent; one showing is blank."""
    rng = np.random.default_rng(7)
    onsets = 64 + 12 * np.arange(18)
    pictures = ["p3", "p1", "", "p2", "p4", "p1", "p2", "p3", "p1", "p4", "p2", "p3", "p5", "p6"]
    pictures += ["p5", "p6", "p5", "p6"]
    spikes = [np.sort(rng.integers(0, 400, size=n)) for n in (200, 300, 0, 150)]
    borders = np.concatenate([onsets + FIRST, onsets + LAST])
    spikes[0] = np.sort(np.concatenate([spikes[0], borders]))
    return Session([206, 6, 191, 42], ["V4", "V4", "IT", "IT"], spikes, onsets, pictures)


@pytest.fixture(scope="session")
def pictures(session, tmp_path_factory):
    """A folder of the pictures of the session, and one that was not shown."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(1)
    for name in [*session.shown, "p9"]:
        values = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{name}.png")
    return folder
