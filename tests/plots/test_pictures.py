"""Pictures in rows, with what stands below them."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from probe.plots.pictures import plot_pictures, tiled

mpl.use("agg")


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (7, 20, 30, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def boxes(ax):
    return np.array([image.get_extent() for image in ax.get_images()])


def test_every_picture_with_its_label_and_its_sides(pictures):
    ax = plot_pictures(pictures, [f"p{k}" for k in range(7)], title="seven")
    drawn = ax.get_images()
    for picture, image in zip(pictures, drawn, strict=True):
        np.testing.assert_array_equal(image.get_array(), picture)
    assert [text.get_text() for text in ax.texts] == [f"p{k}" for k in range(7)]
    assert ax.get_title(loc="left") == "seven"
    left, right, bottom, top = boxes(ax).T
    np.testing.assert_allclose((bottom - top) / (right - left), 20 / 30)


def test_pictures_do_not_overlap(pictures):
    many = np.repeat(pictures, 12, axis=0)
    left, right, bottom, top = boxes(plot_pictures(many, [""] * len(many))).T
    for k in range(len(many)):
        apart = (left >= right[k]) | (right <= left[k]) | (top >= bottom[k]) | (bottom <= top[k])
        assert np.flatnonzero(~apart).tolist() == [k]


def test_few_are_larger_than_many(pictures):
    def width(n):
        left, right, _, _ = boxes(plot_pictures(np.repeat(pictures, 5, axis=0)[:n], [""] * n)).T
        return (right - left)[0]

    assert width(1) == width(6) == pytest.approx(1.1)
    assert width(7) == pytest.approx(0.5)


def test_what_shows_nothing_is_pale_and_crossed_out(pictures):
    ax = plot_pictures(pictures, [""] * 7, crossed=[2])
    pale = ax.get_images()[2].get_array()
    assert pale.min() >= 191
    assert len(ax.lines) == 2
    left, right, bottom, top = boxes(ax)[2]
    for line in ax.lines:
        assert sorted(line.get_xdata()) == [left, right]
        assert sorted(line.get_ydata()) == [top, bottom]


def test_patches_stand_beside_their_picture(pictures):
    patch = np.zeros((5, 5, 3), np.uint8)
    rows = [[patch, None, patch]] + [[]] * 6
    ax = plot_pictures(pictures, [""] * 7, patches=rows)
    found = boxes(ax)
    assert len(found) == 7 + 2
    _, right, bottom, top = found[0]
    for left, _, low, high in found[1:3]:
        assert left > right
        assert (low, high) == (bottom, top)


def test_long_labels_are_cut_and_keep_their_end(pictures):
    (text, *_) = plot_pictures(pictures, ["a very long name of a layer:84"] * 7).texts
    assert text.get_text().startswith("a v")
    assert text.get_text().endswith(":84")
    assert len(text.get_text()) < 20


def test_edge_to_edge(pictures):
    whole = tiled(pictures)
    assert whole.shape == (3 * 20, 3 * 30, 3)
    for k in range(7):
        row, column = divmod(k, 3)
        tile = whole[row * 20 :][:20, column * 30 :][:, :30]
        np.testing.assert_array_equal(tile, pictures[k])
    assert (whole[40:, 30:] == 255).all()
