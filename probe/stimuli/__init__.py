"""Which images: stimulus sets from files, and generated gratings, textures and shapes."""

from probe.stimuli.gratings import grating_patterns, grating_set
from probe.stimuli.image_sets import image_set
from probe.stimuli.shapes import Shape, pasupathy_connor_shapes, shape_set
from probe.stimuli.stimulus_set import StimulusSet

__all__ = [
    "Shape",
    "StimulusSet",
    "grating_patterns",
    "grating_set",
    "image_set",
    "pasupathy_connor_shapes",
    "shape_set",
]
