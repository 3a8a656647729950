"""Which procedure makes the best-looking pictures? Three contents, four styles, four procedures.

Run ``python analyses/style_sheet.py [--size PIXELS] [--steps N] [--output DIR]``. It writes every
picture and ``style_sheet.png``, where they stand side by side: our Gram, our Wasserstein-2, and the
two published procedures of ``plain_style.py``, on the same VGG-16, at the same size, with as many
steps (of all sizes together; of L-BFGS, evaluations). What is there already is not made again.

Contents: astronaut (NASA), chelsea (S. van der Walt, CC0), coffee (R. Michetti, CC0); styles:
immunohistochemistry (Human Protein Atlas), hubble_deep_field (NASA), as scikit-image ships them,
and two that are drawn here: strokes along swirls, and a window of coloured glass.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import plain_style
import torch
from PIL import Image, ImageDraw
from torch import Tensor

import probe
from probe import models
from probe.progress import track

SIDE = 512
"""Of styles that are drawn, in pixels."""

NIGHT = ((16, 28, 84), (30, 66, 140), (58, 108, 176), (116, 160, 196), (22, 44, 110))
GLOW = ((244, 214, 92), (250, 232, 150), (236, 178, 60), (206, 206, 140))
PANES = (
    (196, 52, 38), (232, 160, 44), (28, 92, 132), (60, 138, 96), (240, 224, 180), (92, 44, 96),
    (20, 40, 66),
)  # fmt: skip


def swirls(seed: int = 0) -> Image.Image:
    """Draw brush strokes that flow around a few centres, which glow."""
    rng = np.random.default_rng(seed)
    side = 2 * SIDE  # strokes are drawn without smoothing
    image = Image.new("RGB", (side, side), (18, 32, 84))
    draw = ImageDraw.Draw(image)
    centres = rng.uniform(0.08, 0.92, (7, 2)) * side
    turns, reach = rng.choice([-1, 1], 7), rng.uniform(0.08, 0.2, 7) * side

    def flow(x: float, y: float) -> tuple[np.ndarray, float]:
        dx, dy = x - centres[:, 0], y - centres[:, 1]
        far = np.hypot(dx, dy)
        near = np.exp(-far / reach)
        around = turns * near / (far + 1)
        along = np.array([0.35 - 3 * (dy * around).sum(), 0.08 + 3 * (dx * around).sum()])
        return along / np.hypot(*along), float(near.max())

    for width, count in ((26, 2600), (16, 5200), (10, 5200)):
        for x, y in rng.uniform(0, side, (count, 2)):
            colours = GLOW if rng.random() < 2.2 * (flow(x, y)[1] - 0.45) else NIGHT
            colour = np.array(colours[rng.integers(len(colours))]) + rng.normal(0, 10, 3)
            points = [(x, y)]
            for _ in range(5):
                points.append(tuple(np.add(points[-1], 0.9 * width * flow(*points[-1])[0])))
            _stroke(draw, points, colour, width // 2)
            # The shade at a stroke's lower edge lets the paint look thick.
            lower = [(a + 0.22 * width, b + 0.22 * width) for a, b in points]
            _stroke(draw, lower, 0.72 * colour, 2)
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _stroke(
    draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], colour: np.ndarray, width: int
) -> None:
    fill = tuple(int(one) for one in colour.clip(0, 255))
    draw.line(points, fill=fill, width=width, joint="curve")


def glass(seed: int = 1) -> Image.Image:
    """Draw panes of coloured glass between leads."""
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    places = np.c_[columns.ravel(), rows.ravel()]
    n = 260
    middles = rng.uniform(0, SIDE, (n, 2))
    for _ in range(4):  # towards panes of one size (Lloyd)
        _, pane = cKDTree(middles).query(places)
        count = np.maximum(np.bincount(pane, minlength=n), 1)
        middles = np.stack([np.bincount(pane, axis, n) / count for axis in places.T], 1)
    far, pane = cKDTree(middles).query(places, k=2)
    tone = np.array(PANES)[rng.integers(len(PANES), size=n)] + rng.normal(0, 14, (n, 3))
    slant = (places - middles[pane[:, 0]]) @ [0.6, 0.8]
    image = tone[pane[:, 0]] + 1.2 * slant[:, None] + rng.normal(0, 5, (SIDE**2, 1))
    clear = np.clip((far[:, 1] - far[:, 0] - 2.5) / 2.5, 0, 1)[:, None]
    image = image * clear + np.array([24, 22, 26]) * (1 - clear)
    return Image.fromarray(image.clip(0, 255).reshape(SIDE, SIDE, 3).astype(np.uint8))


def photograph(name: str) -> Image.Image:
    """Give one of scikit-image's photographs."""
    from skimage import data

    return Image.fromarray(np.asarray(getattr(data, name)()))


CONTENTS: dict[str, Callable[[], Image.Image]] = {
    name: functools.partial(photograph, name) for name in ("astronaut", "chelsea", "coffee")
}
STYLES: dict[str, Callable[[], Image.Image]] = {
    "swirls": swirls,
    "glass": glass,
    "tissue": functools.partial(photograph, "immunohistochemistry"),
    "galaxies": lambda: photograph("hubble_deep_field").crop((0, 0, 600, 600)),
}


def plainly(
    made: Callable[[plain_style.Look, Tensor, Tensor, int], Tensor],
    beyond: str,
    content: Image.Image,
    style: Image.Image,
    size: int,
    steps: int,
) -> np.ndarray:
    """Make a picture with one of the published procedures."""
    look = plain_style.look_through(models.load("vgg16").module.features, beyond)
    one, other = (plain_style.resized(tensor(picture), size) for picture in (content, style))
    pixels = made(look, one, other, steps)
    return pixels[0].permute(1, 2, 0).numpy()


def ours(loss: str, content: Image.Image, style: Image.Image, size: int, steps: int) -> np.ndarray:
    """Make a picture with `probe.style`."""
    n_sizes = 1 + max(int(2 * np.log2(size / 128) + 0.05), 0)
    each = steps // (n_sizes + 1)
    return probe.style(content, style, size=size, loss=loss, steps=each, progress=False).pixels


PROCEDURES: dict[str, Callable[[Image.Image, Image.Image, int, int], np.ndarray]] = {
    "Gatys et al. 2016": functools.partial(plainly, plain_style.gatys, "constant"),
    "best open recipe": functools.partial(plainly, plain_style.recipe, "replicate"),
    "ours, Gram": functools.partial(ours, "gram"),
    "ours, Wasserstein-2": functools.partial(ours, "wasserstein"),
}


def tensor(picture: Image.Image) -> Tensor:
    """Give a picture as (1, 3, height, width) in 0–1."""
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None] / 255


def main() -> None:
    """Make all pictures, and put them side by side."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=256, help="longer side, in pixels")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--output", type=Path, default=Path("style_sheet"))
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    contents = {name: made() for name, made in CONTENTS.items()}
    styles = {name: made() for name, made in STYLES.items()}
    rows = [(content, style) for style in styles for content in contents]
    for content, style in track(rows, desc="pictures", unit="row"):
        for name, made in PROCEDURES.items():
            path = place(given.output, content, style, name, given.size, given.steps)
            if path.exists():
                continue
            begun = time.process_time()
            pixels = made(contents[content], styles[style], given.size, given.steps)
            Image.fromarray((pixels * 255).round().astype(np.uint8)).save(path)
            print(f"{path.name}: {time.process_time() - begun:.0f} s", flush=True)
    sheet(given.output, rows, contents, styles, given.size, given.steps)


def place(folder: Path, content: str, style: str, name: str, size: int, steps: int) -> Path:
    """Say where a picture is kept."""
    word = name.lower().replace(" ", "-").replace(",", "").replace(".", "")
    return folder / f"{content}-{style}-{word}-{size}-{steps}.png"


def sheet(
    folder: Path,
    rows: list[tuple[str, str]],
    contents: dict[str, Image.Image],
    styles: dict[str, Image.Image],
    size: int,
    steps: int,
) -> None:
    """Draw all pictures, a row for each content and style."""
    from matplotlib import pyplot as plt

    titles = ["content", "style", *PROCEDURES]
    fig, axes = plt.subplots(
        len(rows), len(titles), figsize=(2.2 * len(titles), 1.9 * len(rows)), layout="constrained"
    )
    for cells, (content, style) in zip(axes, rows, strict=True):
        made = [Image.open(place(folder, content, style, name, size, steps)) for name in PROCEDURES]
        for ax, picture in zip(cells, [contents[content], styles[style], *made], strict=True):
            ax.imshow(np.asarray(picture))
            ax.axis("off")
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, size=10)
    fig.savefig(folder / "style_sheet.png", dpi=130)
    plt.close(fig)


if __name__ == "__main__":
    main()
