"""Grids of kernels, maps and patches: what lies where, in which colour."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from probe.plots.filters import plot_kernels, plot_maps, plot_patches
from probe.plots.maps import scale_of


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def pictures(ax):
    return [np.asarray(image.get_array()) for image in ax.images]


def overlap(ax):
    """The largest overlap of two pictures, in inches."""
    boxes = []
    for image in ax.images:
        left, right, bottom, top = image.get_extent()
        boxes.append((left, top, right, bottom))
    most = 0.0
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            wide = min(a[2], b[2]) - max(a[0], b[0])
            high = min(a[3], b[3]) - max(a[1], b[1])
            most = max(most, min(wide, high))
    return most


class TestKernels:
    def test_in_groups_and_in_order(self, rng):
        kernels = rng.normal(size=(5, 3, 4, 4))
        groups = {"grey": [4, 0, 1], "coloured": [2, 3]}
        ax = plot_kernels(kernels, groups, title="of a network", note="on one scale")
        numbers = [text for text in texts(ax) if text != "on one scale"]
        assert numbers == ["3 grey", "4", "0", "1", "2 coloured", "2", "3"]
        assert len(texts(ax)) == len(numbers) + 1
        assert len(ax.images) == 5
        assert ax.get_title(loc="left") == "of a network"
        assert overlap(ax) <= 0

    def test_zero_is_grey_and_all_have_one_scale(self):
        kernels = np.zeros((3, 3, 2, 2))
        kernels[1, 0], kernels[2] = 2.0, -1.0  # red; dark grey
        ax = plot_kernels(kernels, {"all": [0, 1, 2]})
        zero, red, dark = pictures(ax)
        assert scale_of(kernels) == 2.0
        np.testing.assert_array_equal(zero, 0.5)
        np.testing.assert_array_equal(red[0, 0], [1.0, 0.5, 0.5])
        np.testing.assert_array_equal(dark[0, 0], [0.25, 0.25, 0.25])

    def test_of_one_channel_red_is_positive_and_blue_negative(self):
        kernels = np.zeros((1, 1, 1, 3))
        kernels[0, 0, 0] = [-1.0, 0.0, 1.0]
        (drawn,) = pictures(plot_kernels(kernels, {"all": [0]}))
        blue, white, red = drawn[0]
        assert blue[2] > blue[0]
        assert red[0] > red[2]
        assert white.min() > 0.95

    @pytest.mark.parametrize("n", [1, 2, 64, pytest.param(150, marks=pytest.mark.slow)])
    def test_any_number_fits_the_width(self, rng, n):
        ax = plot_kernels(rng.normal(size=(n, 3, 3, 3)), {"all": range(n)})
        assert len(ax.images) == n
        assert overlap(ax) <= 0
        assert ax.figure.get_size_inches()[0] < 8

    @pytest.mark.slow
    def test_numbers_are_left_out_where_there_is_no_room(self, rng):
        ax = plot_kernels(rng.normal(size=(700, 1, 3, 3)), {"all": range(700)})
        assert texts(ax) == ["700 all"]

    def test_in_ones_own_axes(self, rng):
        _, own = plt.subplots()
        assert plot_kernels(rng.normal(size=(4, 3, 3, 3)), {"all": range(4)}, ax=own) is own


class TestMaps:
    def test_the_picture_comes_first(self, rng):
        picture = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
        ax = plot_maps(rng.random((3, 4, 6)), [7, 2, 5], picture)
        np.testing.assert_array_equal(pictures(ax)[0], picture)
        assert len(ax.images) == 1 + 3 + 1  # and the scale
        assert [t.split(":")[0] for t in texts(ax)[1:4]] == ["7", "2", "5"]
        assert overlap(ax) <= 0

    def test_shared_or_own_scale(self):
        maps = np.stack([np.full((2, 2), 1.0), np.full((2, 2), 4.0)])
        picture = np.zeros((4, 4, 3), np.uint8)
        _, weak, strong, _ = pictures(plot_maps(maps, [0, 1], picture))
        assert weak.sum() < strong.sum()
        _, weak, strong, _ = pictures(plot_maps(maps, [0, 1], picture, shared=False))
        np.testing.assert_array_equal(weak, strong)

    def test_numbers_at_the_ends_of_the_scale(self):
        picture = np.zeros((4, 4, 3), np.uint8)
        positive = plot_maps(np.full((1, 2, 2), 4.0), [0], picture)
        assert [t for t in texts(positive)[2:] if t] == ["0", "4"]
        signed = plot_maps(np.array([[[-4.0, 4.0]]]), [0], picture)
        assert [t for t in texts(signed)[2:] if t] == ["−4", "0", "4"]
        own = plot_maps(np.array([[[-4.0, 4.0]]]), [0], picture, shared=False)
        assert texts(own)[-1] == "its largest"

    def test_maps_of_zeros(self):
        plot_maps(np.zeros((2, 3, 3)), [0, 1], np.zeros((4, 4, 3), np.uint8))


class TestPatches:
    def test_a_row_for_each_channel(self, rng):
        patches = [[rng.integers(0, 256, (5, 5, 3), dtype=np.uint8) for _ in "abc"] for _ in "ab"]
        values = np.array([[3.0, 2.0, 1.0], [30.0, 20.0, 10.0]])
        ax = plot_patches(patches, values, [12, 84])
        assert texts(ax) == ["channel\n12", "3", "2", "1", "channel\n84", "30", "20", "10"]
        for drawn, patch in zip(pictures(ax), [*patches[0], *patches[1]], strict=True):
            np.testing.assert_array_equal(drawn, patch)
        assert overlap(ax) <= 0

    def test_projections_lie_below_their_patches_on_their_own_scale(self, rng):
        patches = [[rng.integers(0, 256, (5, 5, 3), dtype=np.uint8) for _ in "ab"]]
        shown = rng.normal(size=(5, 5, 3)).clip(-1, 1)
        ax = plot_patches(patches, np.array([[2.0, 1.0]]), [0], [[shown, 100 * shown]])
        first, above, second, beyond = ax.images
        for patch, projection in ((first, above), (second, beyond)):
            assert patch.get_extent()[:2] == projection.get_extent()[:2]
            assert patch.get_extent()[2] < projection.get_extent()[3]  # y goes down
        np.testing.assert_allclose(above.get_array(), beyond.get_array())
        assert overlap(ax) <= 0
        zero = plot_patches(patches, np.array([[2.0, 1.0]]), [0], [[0 * shown, shown]])
        np.testing.assert_array_equal(zero.images[1].get_array(), 0.5)

    def test_a_patch_that_drives_nothing_is_left_out(self, rng):
        patch = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        ax = plot_patches([[patch, None]], np.array([[2.0, 0.0]]), [0])
        assert texts(ax)[-1] == "0, not driven"
        assert (pictures(ax)[1] == 1).all()
        plot_patches([[None, None]], np.zeros((1, 2)), [0])
