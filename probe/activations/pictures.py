"""Pictures as networks of one preprocessing take them, each decoded once."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from probe.models.preprocessing import Preprocessing
from probe.similarity.products import host_free_bytes
from probe.stimuli import StimulusSet

MEMORY_SHARE = 0.125
"""Share of the free memory that pictures may take which are kept for the next network."""


class Pictures:
    """The pictures of a stimulus set, for several networks that are shown them one after the other.

    They are kept as they come from resizing, a byte a value, as long as all of them fit into
    `MEMORY_SHARE` of the memory that is free at the beginning.

    Parameters
    ----------
    stimuli : StimulusSet
    preprocessing : Preprocessing
    """

    def __init__(self, stimuli: StimulusSet, preprocessing: Preprocessing) -> None:
        self.stimuli = stimuli
        self.preprocessing = preprocessing
        n_bytes = 3 * math.prod(preprocessing.size) * len(stimuli)
        self._are_kept = n_bytes <= MEMORY_SHARE * host_free_bytes()
        self._pixels: dict[int, np.ndarray] = {}

    def __getitem__(self, position: int) -> Tensor:
        """Return one picture, preprocessed: float32, (3, height, width)."""
        pixels = self._pixels.get(position)
        if pixels is None:
            pixels = self.preprocessing.pixels(self.stimuli.image(position))
            if self._are_kept:
                self._pixels[position] = pixels
        return self.preprocessing.to_input(pixels)
