"""What is drawn of an RDM: every distance, picture, category and leaf in its place."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.collections import PathCollection
from PIL import Image
from scipy.cluster import hierarchy
from scipy.spatial.distance import pdist, squareform

from probe.errors import ProbeError
from probe.plots import plot_dendrogram, plot_mds, plot_rdm
from probe.plots.rdms import METRIC_LABELS, _cut_out
from probe.similarity.rdm_set import RDMs
from probe.similarity.rdms import METRICS, NOISE_METRICS
from probe.stimuli import StimulusSet, shape_set

PLOTS = [plot_rdm, plot_mds, plot_dendrogram]


@pytest.fixture(autouse=True)
def _no_window():
    with mpl.rc_context({"backend": "agg"}):
        yield
    plt.close("all")


def rdm_of(n, seed=0, metric="correlation"):
    points = np.random.default_rng(seed).normal(size=(n, 3))
    ids = [f"picture {k}" for k in range(n)]
    return RDMs(pdist(points), ["mine"], ids, metric)


def plain_pictures(n):
    """Pictures that are told apart by their red."""
    pictures = []
    for k in range(n):
        pixels = np.full((20, 20, 3), 128, dtype=np.uint8)
        pixels[5:15, 5:15] = (k, 0, 255)
        pictures.append(pixels)
    return pictures


def pictures_in(ax):
    """Which pictures an Axes shows, and where their centres are."""
    found = {}
    for drawn in ax.images:
        pixels = np.asarray(drawn.get_array())
        left, right, bottom, top = drawn.get_extent()
        found[int(pixels[10, 10, 0])] = ((left + right) / 2, (bottom + top) / 2)
    return found


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def in_pixels(ax):
    ax.figure.canvas.draw()
    return ax.get_window_extent()


class TestMatrix:
    def test_every_distance_is_drawn_and_the_diagonal_is_not(self):
        rdm = rdm_of(6)
        ax = plot_rdm(rdm)
        drawn = ax.images[0].get_array()
        off = ~np.eye(6, dtype=bool)
        np.testing.assert_array_equal(np.asarray(drawn)[off], rdm.squares()[0][off])
        assert np.ma.getmaskarray(drawn).diagonal().all()
        low, high = ax.images[0].get_clim()
        assert (low, high) == (rdm.distances.min(), rdm.distances.max())
        assert ax.get_title(loc="left") == "mine"
        assert [text.get_text() for text in ax.get_yticklabels()] == list(rdm.stimulus_ids)
        (bar,) = ax.child_axes
        assert bar.get_ylabel() == "dissimilarity\n(1 − Pearson r)"

    @pytest.mark.parametrize("form", ["condensed", "square"])
    def test_plain_arrays(self, form):
        values = rdm_of(5).distances[0]
        ax = plot_rdm(values if form == "condensed" else squareform(values))
        assert np.asarray(ax.images[0].get_array())[0, 1] == values[0]
        assert ax.child_axes[0].get_ylabel() == "dissimilarity"
        assert not ax.get_yticklabels()

    def test_ranked(self):
        values = np.array([1.0, 5.0, 5.0, 100.0, np.nan, 2.0])
        ax = plot_rdm(values, ranked=True)
        i, j = np.triu_indices(4, 1)
        drawn = np.ma.filled(ax.images[0].get_array().astype(float), np.nan)[i, j]
        np.testing.assert_allclose(drawn, [10.0, 60.0, 60.0, 90.0, np.nan, 30.0])
        assert ax.images[0].get_clim() == (0.0, 100.0)
        assert ax.child_axes[0].get_ylabel() == "percentile of dissimilarity"

    def test_missing_pairs_have_the_colour_of_the_diagonal(self):
        values = rdm_of(4).distances[0]
        values[2] = np.nan
        image = plot_rdm(values).images[0]
        colours = image.to_rgba(image.get_array())
        np.testing.assert_array_equal(colours[0, 3], colours[1, 1])
        assert not np.array_equal(colours[0, 1], colours[1, 1])

    def test_pictures_stand_beside_their_rows_and_columns(self):
        ax = plot_rdm(rdm_of(6), images=plain_pictures(6))
        left, bottom, _ = ax.child_axes
        assert {k: y for k, (_, y) in pictures_in(left).items()} == {k: k for k in range(6)}
        assert {k: x for k, (x, _) in pictures_in(bottom).items()} == {k: k for k in range(6)}
        matrix, left, bottom = map(in_pixels, (ax, left, bottom))
        assert left.x1 <= matrix.x0
        assert bottom.y1 <= matrix.y0
        assert (left.y0, left.y1) == pytest.approx((matrix.y0, matrix.y1))
        assert (bottom.x0, bottom.x1) == pytest.approx((matrix.x0, matrix.x1))

    @pytest.mark.slow
    def test_92_pictures_are_legible_and_do_not_overlap(self):
        ax = plot_rdm(rdm_of(92), images=plain_pictures(92))
        strip = ax.child_axes[0]
        ax.figure.canvas.draw()
        assert len(strip.images) == 92
        boxes = [image.get_window_extent() for image in strip.images]
        assert min(box.width for box in boxes) >= 0.18 * ax.figure.dpi
        for box in boxes:
            assert box.width == pytest.approx(box.height, rel=0.01)  # not distorted
        for k, a in enumerate(boxes):
            for b in boxes[:k]:
                apart_x = a.x1 <= b.x0 or b.x1 <= a.x0
                assert apart_x or a.y1 <= b.y0 or b.y1 <= a.y0

    @pytest.mark.slow
    def test_of_very_many_pictures_some_are_shown(self):
        ax = plot_rdm(np.random.default_rng(0).random(250 * 249 // 2), images=plain_pictures(250))
        shown = pictures_in(ax.child_axes[0])
        assert 40 < len(shown) < 250
        steps = set(np.diff(sorted(shown)))
        assert len(steps) == 1
        assert all(y == k for k, (_, y) in shown.items())

    def test_pictures_of_a_stimulus_set_are_found_by_name(self):
        rdm = rdm_of(6)
        stimuli = StimulusSet(rdm.stimulus_ids, plain_pictures(6), "six")
        ax = plot_rdm(rdm.subset([4, 1, 2]), images=stimuli)
        shown = pictures_in(ax.child_axes[0])
        assert {k: y for k, (_, y) in shown.items()} == {4: 0, 1: 1, 2: 2}

    def test_pictures_of_other_stimuli_are_not_taken_by_their_position(self):
        others = StimulusSet(list("abcd"), plain_pictures(4), "others")
        with pytest.raises(ProbeError, match="'picture 0' and 3 more not in stimulus set 'others'"):
            plot_rdm(rdm_of(4), images=others)

    def test_categories_with_names_go_by_these(self):
        groups = {"picture 3": "tool", "picture 1": "house", "picture 0": "face"}
        ax = plot_rdm(rdm_of(4), categories=groups | {"picture 2": "face"})
        assert legend(ax) == ["face", "house", "tool"]
        with pytest.raises(ProbeError, match="categories have nothing for stimulus 'picture 2'"):
            plot_rdm(rdm_of(4), categories=groups)

    def test_categories_are_bars_with_a_legend(self):
        groups = ["face", "house", "face", "tool"]
        ax = plot_rdm(rdm_of(4), categories=groups)
        assert legend(ax) == ["face", "house", "tool"]
        colours = [patch.get_facecolor()[:3] for patch in ax.get_legend().get_patches()]
        wanted = [colours[["face", "house", "tool"].index(g)] for g in groups]
        left, bottom = ax.child_axes[:2]
        np.testing.assert_allclose(np.asarray(left.images[0].get_array())[:, 0], wanted)
        np.testing.assert_allclose(np.asarray(bottom.images[0].get_array())[0], wanted)

    @pytest.mark.parametrize("n_groups", [24, pytest.param(3, marks=pytest.mark.slow)])
    @pytest.mark.parametrize("layout", ["constrained", pytest.param("own", marks=pytest.mark.slow)])
    def test_legend_and_colour_bar_do_not_overlap(self, n_groups, layout):
        ax = None
        if layout == "constrained":
            _, (ax, _) = plt.subplots(1, 2, figsize=(14, 6), layout="constrained")
        ax = plot_rdm(rdm_of(24), categories=[f"group {k % n_groups}" for k in range(24)], ax=ax)
        ax.figure.canvas.draw()
        bar = ax.child_axes[-1].get_window_extent()
        assert not bar.overlaps(ax.get_legend().get_window_extent())
        assert bar.height > 0.25 * ax.get_window_extent().height


class TestMap:
    def test_points_in_a_plane_are_found_again(self):
        points = np.random.default_rng(1).normal(size=(12, 2))
        ax = plot_mds(RDMs(pdist(points), ["plane"]))
        (dots,) = (c for c in ax.collections if isinstance(c, PathCollection))
        found = np.asarray(dots.get_offsets())
        np.testing.assert_allclose(pdist(found), pdist(points), rtol=1e-3)
        assert ax.get_xlabel() == "metric MDS, stress-1 = 0.00"

    def test_squared_distances_are_drawn_as_distances(self):
        points = np.random.default_rng(1).normal(size=(9, 2))
        ax = plot_mds(RDMs(pdist(points) ** 2, ["plane"], metric="euclidean"))
        found = np.asarray(ax.collections[0].get_offsets())
        np.testing.assert_allclose(pdist(found), pdist(points), rtol=1e-3)

    @pytest.mark.slow
    def test_non_metric_keeps_the_order_only(self):
        points = np.random.default_rng(1).normal(size=(12, 2))
        distorted = np.exp(2.0 * pdist(points))
        ax = plot_mds(distorted, metric=False)
        assert ax.get_xlabel().startswith("non-metric MDS")
        stress = float(ax.get_xlabel().rpartition("= ")[2])
        metric = float(plot_mds(distorted).get_xlabel().rpartition("= ")[2])
        assert stress <= 0.05 < metric

    def test_stress_is_kruskals(self):
        rdm = rdm_of(15)
        ax = plot_mds(rdm)
        found = pdist(np.asarray(ax.collections[0].get_offsets()))
        wanted = rdm.distances[0] * (found @ rdm.distances[0]) / (rdm.distances[0] ** 2).sum()
        stress = np.sqrt(((found - wanted) ** 2).sum() / (found**2).sum())
        assert ax.get_xlabel() == f"metric MDS, stress-1 = {stress:.2f}"
        assert stress > 0.02

    def test_a_seed_gives_the_same_map(self):
        state = np.random.get_state()[1].copy()  # noqa: NPY002
        maps = [np.asarray(plot_mds(rdm_of(9)).collections[0].get_offsets()) for _ in range(2)]
        np.testing.assert_array_equal(*maps)
        np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002

    def test_pictures_and_their_frames_are_at_the_points(self):
        rdm = rdm_of(8)
        groups = ["a", "b"] * 4
        points = np.asarray(plot_mds(rdm).collections[0].get_offsets())
        ax = plot_mds(rdm, images=plain_pictures(8), categories=groups)
        shown = pictures_in(ax)
        np.testing.assert_allclose([shown[k] for k in range(8)], points)
        assert len(ax.patches) == 8
        assert len({patch.get_edgecolor() for patch in ax.patches[::2]}) == 1
        assert ax.patches[0].get_edgecolor() != ax.patches[1].get_edgecolor()

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ([1.0, np.nan, 2.0], "1 pairs are missing"),
            ([1.0], "a map needs at least 3 stimuli, not 2"),
            ([0.0, 0.0, 0.0], "all distances are zero"),
        ],
    )
    def test_what_has_no_map(self, values, message):
        with pytest.raises(ProbeError, match=message):
            plot_mds(np.array(values))
        assert not plt.get_fignums()

    def test_negative_distances_count_as_zero(self):
        values = rdm_of(6).distances[0]
        values[3] = -0.2
        floored = np.maximum(values, 0.0)
        a, b = (np.asarray(plot_mds(v).collections[0].get_offsets()) for v in (values, floored))
        np.testing.assert_array_equal(a, b)


class TestTree:
    def test_leaves_names_and_bars_are_in_the_order_of_the_tree(self):
        rdm = rdm_of(10)
        groups = [str(k % 3) for k in range(10)]
        ax = plot_dendrogram(rdm, categories=groups)
        order = hierarchy.leaves_list(hierarchy.linkage(rdm.distances[0], "average"))
        names = [text.get_text() for text in ax.get_yticklabels()]
        assert names == [rdm.stimulus_ids[k] for k in order]
        np.testing.assert_allclose(ax.get_yticks(), 10.0 * np.arange(10) + 5.0)
        palette = {
            text.get_text(): patch.get_facecolor()[:3]
            for text, patch in zip(
                ax.get_legend().get_texts(), ax.get_legend().get_patches(), strict=True
            )
        }
        drawn = np.asarray(ax.child_axes[0].images[0].get_array())[:, 0]
        np.testing.assert_allclose(drawn, [palette[groups[k]] for k in order])

    def test_merges_are_as_high_as_the_clusters_are_far_apart(self):
        rdm = rdm_of(10)
        ax = plot_dendrogram(rdm, method="complete")
        heights = sorted(
            path.vertices[:, 0].max() for c in ax.collections for path in c.get_paths()
        )
        tree = hierarchy.linkage(rdm.distances[0], "complete")
        np.testing.assert_allclose(heights, np.sort(tree[:, 2]))
        right, left = sorted(ax.get_xlim())
        assert right < tree[0, 2]
        assert left > tree[-1, 2]
        assert ax.get_xlabel() == "1 − Pearson r (complete linkage)"

    @pytest.mark.parametrize("layout", ["own", "constrained"])
    def test_pictures_stand_at_their_leaves(self, layout):
        ax = plt.subplots(2, 2, layout="constrained")[1][0, 1] if layout != "own" else None
        rdm = rdm_of(30)
        ax = plot_dendrogram(rdm, images=plain_pictures(30), ax=ax)
        ax.figure.canvas.draw()
        order = list(hierarchy.leaves_list(hierarchy.linkage(rdm.distances[0], "average")))
        (strip,) = ax.child_axes
        shown = pictures_in(strip)
        assert len(shown) >= 15
        for k, (x, y) in shown.items():
            in_strip = strip.transData.transform((x, y))[1]
            at_leaf = ax.transData.transform((0.0, 10.0 * order.index(k) + 5.0))[1]
            assert in_strip == pytest.approx(at_leaf, abs=1.0)
        for image in strip.images:
            box = image.get_window_extent()
            assert box.width == pytest.approx(box.height, rel=0.02)

    def test_labels_that_are_given(self):
        ax = plot_dendrogram(rdm_of(3), labels=["x", "y", "z"])
        assert {text.get_text() for text in ax.get_yticklabels()} == {"x", "y", "z"}
        with pytest.raises(ProbeError, match="2 labels for an RDM of 3"):
            plot_dendrogram(rdm_of(3), labels=["x", "y"])

    def test_what_has_no_tree(self):
        with pytest.raises(ProbeError, match="method 'nearest'"):
            plot_dendrogram(rdm_of(3), method="nearest")
        with pytest.raises(ProbeError, match="2 pairs are missing: hierarchical clustering"):
            plot_dendrogram(np.array([np.nan, np.nan, 1.0]))


@pytest.mark.parametrize("plot", PLOTS)
class TestAll:
    def test_a_given_axes_is_taken(self, plot):
        figure, (left, right) = plt.subplots(1, 2)
        assert plot(rdm_of(5), categories=list("aabbb"), ax=right) is right
        assert not left.has_data()
        assert plt.get_fignums() == [figure.number]
        size = mpl.font_manager.FontProperties(size=mpl.rcParams["axes.titlesize"])
        assert right._left_title.get_fontsize() == size.get_size_in_points()

    def test_the_users_settings_are_left_alone(self, plot):
        before = mpl.rcParams.copy()
        plot(rdm_of(5), images=plain_pictures(5))
        assert mpl.rcParams == before

    @pytest.mark.parametrize("n", [4, pytest.param(92, marks=pytest.mark.slow)])
    @pytest.mark.parametrize("with_images", [True, pytest.param(False, marks=pytest.mark.slow)])
    def test_nothing_lies_outside_our_own_figure(self, plot, n, with_images):
        images = plain_pictures(n) if with_images else None
        ax = plot(rdm_of(n), images=images, categories=[f"category {k % 5}" for k in range(n)])
        figure = ax.figure
        figure.canvas.draw()
        whole, drawn = figure.bbox, ax.get_tightbbox()
        assert whole.x0 <= drawn.x0
        assert whole.y0 <= drawn.y0
        assert drawn.x1 <= whole.x1
        assert drawn.y1 <= whole.y1
        # And there is no more margin than it takes.
        assert drawn.width > 0.95 * whole.width - 0.2 * figure.dpi
        assert drawn.height > 0.95 * whole.height - 0.2 * figure.dpi
        for part in (*ax.child_axes, ax.get_legend()):
            box = part.get_window_extent()
            assert whole.x0 - 1 <= box.x0
            assert box.x1 <= whole.x1 + 1
        assert max(figure.get_size_inches()) < 13

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"categories": ["a"]}, "1 categories for an RDM of 5 stimuli"),
            ({"images": plain_pictures(4)}, "4 pictures for an RDM of 5 stimuli"),
        ],
    )
    def test_too_few(self, plot, arguments, message):
        with pytest.raises(ProbeError, match=message):
            plot(rdm_of(5), **arguments)
        assert not plt.get_fignums()

    def test_several_rdms(self, plot):
        with pytest.raises(ProbeError, match="2 RDMs are not one: select by label, of 'a', 'b'"):
            plot(RDMs(np.ones((2, 6)), ["a", "b"]))
        with pytest.raises(ProbeError, match="2 RDMs are not one: take a row"):
            plot(np.ones((2, 6)))

    def test_a_picture_that_cannot_be_read(self, plot, tmp_path):
        (tmp_path / "x.png").write_bytes(b"no picture")
        with pytest.raises(ProbeError, match=r"x\.png|number \d' cannot be read"):
            plot(rdm_of(3), images=[tmp_path / "x.png"] * 3)
        assert not plt.get_fignums()

    @pytest.mark.slow
    def test_a_simulated_stimulus_set(self, plot):
        stimuli = shape_set()
        keep = stimuli.subset(range(8))
        rdm = RDMs(rdm_of(8).distances, ["shapes"], keep.ids)
        plot(rdm, images=stimuli).figure.canvas.draw()


def test_every_metric_has_a_name_on_an_axis():
    assert {*METRICS, *NOISE_METRICS} <= set(METRIC_LABELS)


def test_a_plain_background_is_cut_out_and_only_that():
    pixels = np.full((20, 20, 3), 128, dtype=np.uint8)
    pixels[5:15, 5:15] = 0
    pixels[8:12, 8:12] = 128  # a hole: not the background
    alpha = np.asarray(_cut_out(Image.fromarray(pixels)))[:, :, 3]
    assert (alpha[5:15, 5:15] == 255).all()
    alpha = alpha.copy()
    alpha[5:15, 5:15] = 0
    assert not alpha.any()
    pixels[5:15, 5:15] = 240  # would not be seen on white
    assert _cut_out(Image.fromarray(pixels)).mode == "RGB"
    photograph = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    assert _cut_out(Image.fromarray(photograph)).mode == "RGB"
