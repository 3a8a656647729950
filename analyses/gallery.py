"""The pictures of README and gallery, from scikit-image's photographs and packaged weights.

Run ``python analyses/gallery.py [NAME …] [--output DIR]``; by default all, into ``gallery/`` beside
this file.

Photographs: astronaut (NASA), chelsea (S. van der Walt, CC0), coffee (R. Michetti, CC0) and
immunohistochemistry (Center for Microscopy and Molecular Imaging), as scikit-image ships them.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

import probe
from probe.synthesis.scenery import landscape

FOLDER = Path(__file__).parent / "gallery"
ALIKE = {"precision": "float32", "threads": 1}
"""So that another processor makes nearly the same pictures; the dreams are of one with bfloat16."""
CHANNELS = (0, 14, 28, 47, 60, 84, 100, 121, 160, 200, 213, 238)
"""Of AlexNet's conv5, for people to see that they differ: not chosen for beauty."""


def photograph(name: str) -> np.ndarray:
    """Give one of scikit-image's photographs."""
    from skimage import data

    return np.asarray(getattr(data, name)())


def dreamt(picture: np.ndarray, preset: str, size: int = 448) -> np.ndarray:
    """Dream into a picture."""
    return probe.dream(picture, "vgg16", preset=preset, size=size).pixels


def seen(model: str, targets: object, **settings: object) -> np.ndarray:
    """Put pictures of targets side by side."""
    made = probe.visualize(model, targets, size=128, **ALIKE, **settings)
    columns = 6 if len(made) % 6 == 0 else len(made)
    rows = made.pictures.reshape(-1, columns, *made.pictures.shape[1:])
    joined = np.concatenate([np.concatenate(list(row), 1) for row in rows], 0)
    return joined.astype(np.float32) / 255


def tiled() -> np.ndarray:
    """Put a pattern without seams beside and below itself."""
    made = probe.visualize("squeezenet1_1", "features.7:8", tileable=True, size=192, **ALIKE)
    return np.tile(made.pictures[0], (2, 3, 1)).astype(np.float32) / 255


def cut_out() -> np.ndarray:
    """Make a picture of a class with nothing around it: RGB and opacity."""
    made = probe.visualize("squeezenet1_1", "strawberry", transparent=True, **ALIKE)
    return made.pictures[0].astype(np.float32) / 255


def painted() -> np.ndarray:
    """Paint a photograph in the style of a section of tissue."""
    return probe.style(photograph("chelsea"), photograph("immunohistochemistry")).pixels


PICTURES: dict[str, Callable[[], np.ndarray]] = {
    "dream-landscape": lambda: dreamt(landscape(), "creatures"),
    "dream-cities": lambda: dreamt(photograph("coffee"), "cities", 600),
    "dream-coffee": lambda: dreamt(photograph("coffee"), "brushstrokes", 600),
    "dream-astronaut": lambda: dreamt(photograph("astronaut"), "subtle"),
    "style-chelsea": painted,
    "tile": tiled,
    "cut-out": cut_out,
    "conv5": lambda: seen("alexnet", "features.10", channels=CHANNELS),
    "classes": lambda: seen("squeezenet1_1", ["goldfish", "castle", "strawberry", "tabby"]),
}
"""What is shown, by the name of its file."""


def encoded(pixels: np.ndarray) -> tuple[str, bytes]:
    """Return the ending and the content of a small file of a picture in 0–1."""
    out = io.BytesIO()
    picture = Image.fromarray((pixels * 255).round().astype(np.uint8))
    kind, ending = ("webp", ".webp") if picture.mode == "RGBA" else ("jpeg", ".jpg")
    picture.save(out, kind, quality=88)
    return ending, out.getvalue()


def main() -> None:
    """Make pictures and write them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", default=list(PICTURES), metavar="NAME")
    parser.add_argument("--output", type=Path, default=FOLDER)
    given = parser.parse_args()
    unknown = set(given.names) - set(PICTURES)
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there is {', '.join(PICTURES)}")
    given.output.mkdir(parents=True, exist_ok=True)
    for name in given.names:
        ending, content = encoded(PICTURES[name]())
        path = given.output / (name + ending)
        path.write_bytes(content)
        print(path)


if __name__ == "__main__":
    main()
