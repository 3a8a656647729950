"""The pictures of README and gallery are what the package makes."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from probe.assets import Unavailable

PLACE = Path(__file__).parents[2] / "analyses" / "gallery.py"
SPEC = importlib.util.spec_from_file_location("gallery", PLACE)
assert SPEC is not None
gallery = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(gallery)


def test_all_are_there_and_small():
    assert {path.stem for path in gallery.FOLDER.iterdir()} == set(gallery.PICTURES)
    assert all(path.stat().st_size < 150_000 for path in gallery.FOLDER.iterdir())
    root = PLACE.parents[1]
    assert "analyses/gallery/dream-landscape.jpg" in (root / "README.md").read_text()
    page = (root / "docs" / "gallery.md").read_text()
    for path in gallery.FOLDER.iterdir():
        assert f"analyses/gallery/{path.name}" in page


@pytest.mark.slow
@pytest.mark.parametrize("name", list(gallery.PICTURES))
def test_made_anew(name):
    """Up to what another processor's rounding does in a hundred steps."""
    pytest.importorskip("skimage")
    try:
        ending, content = gallery.encoded(gallery.PICTURES[name]())
    except Unavailable as error:
        pytest.skip(str(error))
    made, shown = map(pixels_of, (content, (gallery.FOLDER / (name + ending)).read_bytes()))
    assert made.shape == shown.shape
    assert np.abs(made - shown).mean() < 6
    assert np.corrcoef(made.ravel(), shown.ravel())[0, 1] > 0.98


def pixels_of(content):
    with Image.open(io.BytesIO(content)) as opened:
        return np.asarray(opened).astype(np.float64)
