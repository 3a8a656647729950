"""Pictures that are made with networks: dreams, styles, visualisations, atlases, films.

The verbs are `probe.dream`, `probe.style`, `probe.visualize`, `probe.atlas` and
`probe.superstimulus`. Here is what they are built of, for objectives, parameterisations and runs of
one's own: a parameterisation makes pictures, `through` or `in_tiles` computes the gradient of a
target with respect to them, and `probe.synthesis.optimise.optimise` changes the pictures.

Importing this imports neither NumPy nor torch: each name loads its module when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe.synthesis.film import dream_film, dream_zoom
    from probe.synthesis.natural import Maco
    from probe.synthesis.objectives import Diverse, Diversity, Each, Guided
    from probe.synthesis.optimise import through
    from probe.synthesis.parameterisations import (
        Fourier,
        Laplacian,
        Parameterisation,
        Pixels,
        Transparent,
    )
    from probe.synthesis.run import Run, Stopped, Unfinished, running
    from probe.synthesis.settings import AtlasSettings, DreamSettings, VisualizeSettings
    from probe.synthesis.style_settings import StyleSettings
    from probe.synthesis.texture import Texture, synthesise_texture
    from probe.synthesis.texture_statistics import SteerablePyramid, TextureStatistics
    from probe.synthesis.tiles import in_tiles

_MODULES = {
    "AtlasSettings": "settings",
    "Diverse": "objectives",
    "Diversity": "objectives",
    "DreamSettings": "settings",
    "Each": "objectives",
    "Fourier": "parameterisations",
    "Guided": "objectives",
    "Laplacian": "parameterisations",
    "Maco": "natural",
    "Parameterisation": "parameterisations",
    "Pixels": "parameterisations",
    "Run": "run",
    "Stopped": "run",
    "SteerablePyramid": "texture_statistics",
    "StyleSettings": "style_settings",
    "Texture": "texture",
    "TextureStatistics": "texture_statistics",
    "Transparent": "parameterisations",
    "Unfinished": "run",
    "VisualizeSettings": "settings",
    "dream_film": "film",
    "dream_zoom": "film",
    "in_tiles": "tiles",
    "running": "run",
    "synthesise_texture": "texture",
    "through": "optimise",
}

__all__ = [
    "AtlasSettings",
    "Diverse",
    "Diversity",
    "DreamSettings",
    "Each",
    "Fourier",
    "Guided",
    "Laplacian",
    "Maco",
    "Parameterisation",
    "Pixels",
    "Run",
    "SteerablePyramid",
    "Stopped",
    "StyleSettings",
    "Texture",
    "TextureStatistics",
    "Transparent",
    "Unfinished",
    "VisualizeSettings",
    "dream_film",
    "dream_zoom",
    "in_tiles",
    "running",
    "synthesise_texture",
    "through",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'probe.synthesis' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"probe.synthesis.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
