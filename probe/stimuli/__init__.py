"""Which images: stimulus sets from files, and generated gratings, textures and shapes."""

from probe.stimuli.gratings import grating_patterns, grating_set
from probe.stimuli.image_sets import image_set
from probe.stimuli.shapes import Shape, pasupathy_connor_shapes, shape_set
from probe.stimuli.stimulus_set import StimulusSet
from probe.stimuli.textures import draw_texture, matched_noise

__all__ = [
    "Shape",
    "StimulusSet",
    "draw_texture",
    "grating_patterns",
    "grating_set",
    "image_set",
    "matched_noise",
    "pasupathy_connor_shapes",
    "shape_set",
]
