"""How strong is each frequency in photographs? The spectrum of `probe.synthesis.natural`.

Run ``python analyses/natural_spectrum.py [--output DIR]``. It prints the numbers that stand in
`probe.synthesis.natural.SPECTRUM`, and writes ``natural_spectrum.csv``, measured and fitted power
in rings of frequency, and ``natural_spectrum.png``. Needs scikit-image, for five photographs; two
are scikit-learn's.

Each photograph is shrunk until its shorter side has 256 pixels, about what networks are shown, and
brought into the coordinates in which pictures are made (`in_colour`, backwards). Of six squares of
224 pixels of each, below a Hann window and without their mean, the power of every frequency is
averaged; and over the photographs the logarithm of it, so that none counts more for its contrast.
Seven photographs leave speckle: what is kept of it is a polynomial of second degree in log f whose
coefficients change with the orientation, by cos 2θ and cos 4θ, such that mirror images have one
spectrum. The fit counts every octave alike.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_image

from probe.synthesis import natural
from probe.synthesis.parameterisations import COLOURS, radii

SIZE = 224
SHORTER = 256
DARKEST = 0.05
"""Pixels are kept this far from black and white, where a sigmoid has no end."""

LOWEST = 2.5 / SIZE
"""In 1/pixel. Below, a Hann window mixes frequencies with the mean."""


def photographs() -> dict[str, np.ndarray]:
    """Give the photographs, uint8, (height, width, 3)."""
    found = {name: getattr(data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")}
    found["motorcycle"] = data.stereo_motorcycle()[0]
    return found | {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}


def decorrelated(photograph: np.ndarray) -> np.ndarray:
    """Shrink a photograph, and give what `in_colour` would make it of, (height, width, 3)."""
    picture = Image.fromarray(photograph)
    share = SHORTER / min(picture.size)
    size = round(picture.width * share), round(picture.height * share)
    shrunk = np.asarray(picture.resize(size, Image.Resampling.LANCZOS)) / 255
    values = np.clip(shrunk, DARKEST, 1 - DARKEST)
    mixing = (COLOURS / COLOURS.norm(dim=0).max()).double().numpy()
    return np.log(values / (1 - values)) @ np.linalg.inv(mixing).T


def power(colours: np.ndarray) -> np.ndarray:
    """Give the power of every frequency, (3, SIZE, SIZE // 2 + 1), of an orthonormal transform."""
    window = np.hanning(SIZE + 1)[:SIZE, None] * np.hanning(SIZE + 1)[None, :SIZE]
    window = (window / np.sqrt(np.mean(window**2)))[..., None]
    height, width = colours.shape[:2]
    found = []
    for top in np.linspace(0, height - SIZE, 2).astype(int):
        for left in np.linspace(0, width - SIZE, 3).astype(int):
            square = colours[top : top + SIZE, left : left + SIZE]
            square = square - (square * window).sum((0, 1)) / window.sum()
            found.append(np.abs(np.fft.rfft2(square * window, axes=(0, 1), norm="ortho")) ** 2)
    return np.mean(found, 0).transpose(2, 0, 1)


def measured() -> np.ndarray:
    """Give the logarithm of the power in photographs, (3, SIZE, SIZE // 2 + 1)."""
    return np.mean([np.log(power(decorrelated(one))) for one in photographs().values()], 0)


def fit(logarithms: np.ndarray) -> np.ndarray:
    """Give the coefficients, (3, 3, 3), in the order of `natural.SPECTRUM`."""
    frequency = radii((SIZE, SIZE)).double().numpy()
    angle = np.arctan2(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None])
    used = frequency >= LOWEST
    weight = 1 / frequency[used]  # its square: of a ring, as much as of any other
    terms = [
        np.log(frequency[used]) ** i * np.cos(2 * k * angle[used])
        for i in range(3)
        for k in range(3)
    ]
    design = np.stack(terms, -1) * weight[:, None]
    values = logarithms[:, used] * weight
    return np.linalg.lstsq(design, values.T, rcond=None)[0].T.reshape(3, 3, 3)


def rings(logarithms: np.ndarray, coefficients: np.ndarray) -> pd.DataFrame:
    """Give measured and fitted power in twelve rings and three sectors, one row for each."""
    with_fit = torch.tensor(coefficients).float()
    fitted = 2 * natural.amplitudes((SIZE, SIZE), with_fit).clamp(min=1e-9).log().numpy()
    frequency = radii((SIZE, SIZE)).numpy()
    angle = np.abs(np.arctan2(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None]))
    sectors = {"horizontal": (0, 30), "oblique": (30, 60), "vertical": (60, 91)}
    edges = np.geomspace(LOWEST, 0.5, 13)
    rows = []
    for low, high in pairwise(edges):
        for sector, (start, end) in sectors.items():
            degrees = np.rad2deg(angle)
            inside = (low <= frequency) & (frequency < high) & (start <= degrees) & (degrees < end)
            for colour in range(3):
                rows.append(
                    {
                        "colour": colour,
                        "direction": sector,
                        "frequency": float(np.sqrt(low * high)),
                        "log_power": float(logarithms[colour][inside].mean()),
                        "fitted": float(fitted[colour][inside].mean()),
                    }
                )
    return pd.DataFrame(rows)


def main() -> None:
    """Measure, fit, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path())
    folder = parser.parse_args().output
    logarithms = measured()
    coefficients = fit(logarithms)
    print(np.array2string(coefficients.round(3), separator=", "))
    table = rings(logarithms, coefficients)
    gap = (table.fitted - table.log_power).abs() / 2
    print(f"amplitudes in rings: {gap.mean():.1%} off on average, {gap.max():.1%} at most")
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "natural_spectrum.csv", index=False)

    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(10, 3.5), sharey=True, layout="constrained")
    for colour, ax in enumerate(axes):
        for direction, part in table[table.colour == colour].groupby("direction"):
            (line,) = ax.plot(part.frequency, np.exp(part.log_power / 2), "o", label=direction)
            ax.plot(part.frequency, np.exp(part.fitted / 2), color=line.get_color())
        ax.set(xscale="log", yscale="log", xlabel="frequency (1/pixel)", title=f"colour {colour}")
        ax.set_xticks(
            [0.02, 0.05, 0.1, 0.2, 0.5], ["0.02", "0.05", "0.1", "0.2", "0.5"], minor=False
        )
        ax.xaxis.set_minor_formatter("")
    axes[0].set_ylabel("amplitude")
    axes[0].legend(frameon=False)
    figure.savefig(folder / "natural_spectrum.png", dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
