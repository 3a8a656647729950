"""Originals and variants: which belong together, where they differ, what is summed there."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from scipy.ndimage import gaussian_filter

from probe import recordings
from probe.errors import ProbeError
from probe.recordings import Deletions, Recording, find_deletions
from probe.recordings.deletions import changed_region
from probe.stimuli import StimulusSet

SIDE = 112


def photograph(side: int = SIDE) -> np.ndarray:
    """A real one: (side, side, 3), 0–1."""
    data = pytest.importorskip("skimage.data")
    picture = Image.fromarray(data.astronaut()).resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(picture, dtype=np.float64) / 255


def disc(cy: float, cx: float, radius: float, side: int = SIDE) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    return np.hypot(y - cy, x - cx) < radius


def as_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    pixels = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file), dtype=np.float64) / 255


class TestChangedRegion:
    @pytest.mark.parametrize("quality", [85, 90, 95])
    @pytest.mark.parametrize("shift", [0.0, 0.03])
    @pytest.mark.parametrize("centre", [(45, 50), (70, 60), (30, 60)])
    def test_a_blurred_disc_is_found(self, quality, shift, centre):
        original = photograph()
        truth = disc(*centre, 20)
        blurred = np.where(truth[..., None], gaussian_filter(original, (8, 8, 0)), original)
        shifted = blurred + shift * np.array([1.0, -0.5, 0.7])
        region = changed_region(as_jpeg(original, quality), as_jpeg(shifted, quality))
        assert region.dtype == bool
        assert (region & truth).sum() / (region | truth).sum() > 0.7

    @pytest.mark.parametrize("quality", [85, 90, 95])
    @pytest.mark.parametrize("shift", [0.0, 0.03])
    def test_a_picture_that_was_saved_again_has_none(self, quality, shift):
        original = photograph()
        again = as_jpeg(original + shift, quality)
        assert not changed_region(original, again).any()
        assert not changed_region(as_jpeg(original, 95), again).any()

    @pytest.mark.parametrize("side", [56, 112, 224])
    def test_of_any_size_it_is_the_same_share_of_the_picture(self, side):
        original = photograph(side)
        truth = disc(0.4 * side, 0.45 * side, 0.18 * side, side)
        soft = gaussian_filter(original, (side / 14, side / 14, 0))
        region = changed_region(original, np.where(truth[..., None], soft, original))
        assert (region & truth).sum() / (region | truth).sum() > 0.7

    def test_colour_alone_is_a_change_too(self):
        original = photograph()
        truth = disc(45, 50, 20)
        grey = original @ np.array([0.299, 0.587, 0.114])
        original = grey[..., None] + np.array([0.15, 0.0, -0.15 * 0.299 / 0.114])
        variant = np.where(truth[..., None], grey[..., None], original)
        region = changed_region(original, variant)
        assert (region & truth).sum() / (region | truth).sum() > 0.7

    def test_a_plain_threshold_is_what_is_left_without_smoothing(self):
        original = np.full((60, 80, 3), 0.5)
        variant = original.copy()
        variant[20:40, 30:50] += 0.3
        region = changed_region(original, variant)
        assert region[20:40, 30:50].all()
        assert not region[:14].any()
        assert not region[:, 56:].any()


# --- which belong together -----------------------------------------------------------------------


def record(
    rows: list[tuple[object, object]], side: int = 24, repetitions: int = 2, m: int = 3
) -> Recording:
    """A recording of (group, variant) per stimulus; A lacks the upper left, B the lower right."""
    rng = np.random.default_rng(0)
    pictures, wholes = [], {}
    for group, variant in rows:
        whole = wholes.setdefault(group, rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
        picture = whole.copy()
        half = side // 2
        if variant == "A":
            picture[:half, :half] = 128
        elif variant == "B":
            picture[half:, half:] = 128
        elif variant == "C":
            picture[half:, :half] = 128
        pictures.append(picture)
    ids = [f"p{k:02d}" for k in range(len(rows))]
    data = xr.Dataset(
        {
            "responses": (
                ("stimulus", "repetition", "neuroid"),
                rng.normal(size=(len(rows), repetitions, m)),
            )
        },
        coords={
            "stimulus_id": ("stimulus", ids),
            "group": ("stimulus", [group for group, _ in rows]),
            "variant": ("stimulus", np.array([v for _, v in rows], dtype=object)),
            "subject": ("neuroid", ["m"] * m),
            "region": ("neuroid", ["V4"] * m),
            "neuroid_id": ("neuroid", [f"n{k}" for k in range(m)]),
        },
        attrs={"name": "sim-some", "simulated": True},
    )
    return Recording(data, StimulusSet(ids, pictures, "some"))


ROWS: list[tuple[object, object]] = [(g, v) for g in ("x", "y", "z") for v in ("", "A", "B")]


class TestFindDeletions:
    def test_originals_and_their_variants(self):
        deletions = find_deletions(record([("alone", ""), *ROWS]))
        assert deletions.labels == ("A", "B")
        assert list(deletions.groups) == ["x", "y", "z"]
        assert deletions.originals.tolist() == [1, 4, 7]
        assert deletions.variants.tolist() == [[2, 3], [5, 6], [8, 9]]
        assert deletions.stimulus_ids == ("p01", "p04", "p07")
        assert deletions.regions.shape == (3, 2, 24, 24)
        assert deletions.regions[:, 0, :11, :11].all()
        assert not deletions.regions[:, 0, 14:, 14:].any()
        assert deletions.notes == ()
        assert len(deletions) == 3

    def test_in_any_order(self):
        order = np.random.default_rng(1).permutation(len(ROWS))
        recording = record(ROWS)
        shuffled = Recording(recording.data.isel(stimulus=order), recording.stimuli)
        one, other = find_deletions(recording), find_deletions(shuffled)
        rows = np.argsort(other.groups)
        columns = [other.labels.index(label) for label in one.labels]
        np.testing.assert_array_equal(one.regions, other.regions[rows][:, columns])
        np.testing.assert_array_equal(one.falls(), other.take(rows).falls()[:, columns])

    def test_three_variants(self):
        rows = [(g, v) for g in ("x", "y") for v in ("A", "", "C", "B")]
        deletions = find_deletions(record(rows))
        assert deletions.labels == ("A", "C", "B")
        assert deletions.variants.tolist() == [[0, 2, 3], [4, 6, 7]]

    @pytest.mark.parametrize("empty", ["", " ", None, np.nan])
    def test_an_empty_cell_is_an_original(self, empty):
        rows = [(g, v or empty) for g, v in ROWS]
        deletions = find_deletions(record(rows))
        assert deletions.labels == ("A", "B")
        assert deletions.originals.tolist() == [0, 3, 6]

    def test_what_is_left_out_is_told(self):
        same = [("same", ""), ("same", "A"), ("same", "B")]
        recording = record([*ROWS, ("part", ""), ("part", "A"), ("twice", ""), ("twice", "A"),
                            ("twice", "A"), ("twice", "B"), *same])  # fmt: skip
        pictures = [np.asarray(recording.stimuli.image(k)) for k in range(recording.n_stimuli)]
        pictures[-1] = pictures[-3]
        stimuli = StimulusSet(recording.stimuli.ids, pictures, "some")
        deletions = find_deletions(Recording(recording.data, stimuli))
        assert list(deletions.groups) == ["x", "y", "z"]
        assert deletions.notes == (
            "2 groups were left out, since an original or a variant is missing or there twice.",
            "1 group was left out, since a variant differs from its original nowhere.",
        )

    @pytest.mark.parametrize(
        ("lacking", "says"),
        [
            (["variant"], "and 'variant' is missing"),
            (["group"], "and 'group' is missing"),
            (["group", "variant"], "and 'group' and 'variant' are missing"),
        ],
    )
    def test_columns_that_are_missing(self, lacking, says):
        recording = record(ROWS)
        with pytest.raises(ProbeError, match=says):
            find_deletions(Recording(recording.data.drop_vars(lacking), recording.stimuli))

    @pytest.mark.parametrize(
        "rows", [[(k, "") for k in range(6)], ROWS[:3], [("x", "A"), ("x", "B"), ("y", "A")]]
    )
    def test_too_few_groups(self, rows):
        with pytest.raises(ProbeError, match=r"groups? of an original and its variants: expected"):
            find_deletions(record(rows))

    @pytest.mark.parametrize(
        ("which", "says"),
        [([4], "pictures of group 'y' of 'sim-some' differ in size"),
         ([3, 4, 5], "originals of 'sim-some' differ in size")],
    )  # fmt: skip
    def test_sizes_that_differ(self, which, says):
        recording = record(ROWS)
        pictures = [np.asarray(recording.stimuli.image(k)) for k in range(recording.n_stimuli)]
        for k in which:
            pictures[k] = np.asarray(Image.fromarray(pictures[k]).resize((30, 24)))
        with pytest.raises(ProbeError, match=says):
            find_deletions(
                Recording(recording.data, StimulusSet(recording.stimuli.ids, pictures, "some"))
            )

    def test_session_210305(self, mirror):
        deletions = find_deletions(recordings.load("v4:210305"))
        assert deletions.labels == ("A", "B")
        assert deletions.notes == ()
        np.testing.assert_array_equal(deletions.originals, [*range(100, 150), *range(250, 300)])
        np.testing.assert_array_equal(
            deletions.variants, deletions.originals[:, None] + np.array([50, 100])
        )
        share = deletions.regions.mean(axis=(2, 3))
        assert 0.1 < np.median(share) < 0.2
        # A and B are different parts of a picture, which meet.
        both = (deletions.regions[:, 0] & deletions.regions[:, 1]).sum(axis=(1, 2))
        assert np.median(both / deletions.regions.sum(axis=(2, 3)).min(axis=1)) < 0.25


# --- responses and maps --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def deletions() -> Deletions:
    return find_deletions(record(ROWS))


class TestFalls:
    def test_of_what_was_recorded_and_predicted(self, deletions):
        means = deletions.recording.mean_responses().values
        expected = [[means[3 * k] - means[3 * k + v] for v in (1, 2)] for k in range(3)]
        np.testing.assert_array_equal(deletions.falls(), expected)
        np.testing.assert_allclose(deletions.falls(10 * means), 10 * np.array(expected))

    def test_of_other_stimuli(self, deletions):
        with pytest.raises(ProbeError, match="responses to 4 stimuli: expected 9"):
            deletions.falls(np.zeros((4, 3)))

    def test_of_some(self, deletions):
        some = deletions.take(np.array([2, 0]))
        assert list(some.groups) == ["z", "x"]
        np.testing.assert_array_equal(some.falls(), deletions.falls()[[2, 0]])
        np.testing.assert_array_equal(some.regions, deletions.regions[[2, 0]])


class TestMasses:
    def test_at_the_size_of_the_pictures(self, deletions):
        maps = np.random.default_rng(0).normal(size=(3, 24, 24))
        expected = np.einsum("nkyx,nyx->nk", deletions.regions, maps)[..., None]
        np.testing.assert_allclose(deletions.masses(maps), expected)

    def test_a_map_of_ones_counts_pixels_without_rounding(self, deletions):
        masses = deletions.masses(np.ones((3, 24, 24)))[..., 0]
        np.testing.assert_array_equal(masses, deletions.regions.sum(axis=(2, 3)))

    @pytest.mark.parametrize("size", [(13, 13), (224, 224), (7, 30), (1, 1), (48, 12)])
    def test_at_another_size(self, deletions, size):
        """By hand: both are laid out in as many small squares as both divide into."""
        maps = np.random.default_rng(1).normal(size=(3, *size))
        expected = np.empty((3, 2))
        for k in range(3):
            for v in range(2):
                fine = deletions.regions[k, v].repeat(size[0], 0).repeat(size[1], 1)
                small = maps[k].repeat(24, 0).repeat(24, 1)
                expected[k, v] = small[fine].sum() / 24**2
        np.testing.assert_allclose(deletions.masses(maps)[..., 0], expected)

    def test_parts_that_make_the_picture_sum_to_the_map(self, deletions):
        both = np.stack([deletions.regions[:, 0], ~deletions.regions[:, 0]], axis=1)
        maps = np.random.default_rng(2).normal(size=(3, 13, 13))
        masses = replace(deletions, regions=both).masses(maps)
        np.testing.assert_allclose(masses.sum(axis=1)[:, 0], maps.sum(axis=(1, 2)))

    def test_of_several_sites(self, deletions):
        maps = np.random.default_rng(3).normal(size=(3, 4, 13, 13)).astype(np.float32)
        masses = deletions.masses(maps)
        assert (masses.shape, masses.dtype) == ((3, 2, 4), np.float64)
        for site in range(4):
            np.testing.assert_allclose(masses[..., site], deletions.masses(maps[:, site])[..., 0])

    @pytest.mark.parametrize("shape", [(2, 5, 5), (5, 5), (3, 2, 3, 5, 5)])
    def test_maps_of_another_shape(self, deletions, shape):
        with pytest.raises(ProbeError, match=r"maps have shape .*: expected \(3, height, width\)"):
            deletions.masses(np.zeros(shape))

    def test_maps_with_nan(self, deletions):
        maps = np.zeros((3, 5, 5))
        maps[1, 2, 2] = np.nan
        with pytest.raises(ProbeError, match="NaN or infinite values"):
            deletions.masses(maps)
