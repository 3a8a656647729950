"""Single-trial maps of fMRI: which voxel, which picture, and what was not measured."""

import functools
import os
import types
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from brain_files import AFFINE, SHAPE, mask, nibabel, surface, table, volume
from PIL import Image

from probe.errors import ProbeError
from probe.recordings import from_folder, read_recording

SAMPLES = Path(os.environ.get("PROBE_MIRROR", "")) / "samples"
HAXBY = SAMPLES / "haxby2001-miniature" / "sub001"
FMRIPREP = SAMPLES / "fmriprep-names" / "ds000001-fmriprep"

N = 6
SHOWN = ["p2", "p1", "p3", "p1", "p2", "p3"]


@pytest.fixture
def maps():
    """Six maps; no voxel is 0."""
    return np.random.default_rng(3).normal(size=(*SHAPE, N))


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for k in (1, 2, 3):
        Image.new("RGB", (8, 8), (k, 0, 0)).save(folder / f"p{k}.png")
    return folder


@pytest.fixture
def trials(tmp_path):
    return table(tmp_path / "trials.tsv", stimulus_id=SHOWN, run=[1, 1, 1, 2, 2, 2])


def grouped(values, names=SHOWN):
    """Stimulus × repetition × neuroid of maps (presentation, neuroid)."""
    ids = list(dict.fromkeys(names))
    return ids, np.stack([[values[k] for k, n in enumerate(names) if n == i] for i in ids])


def flat(maps, chosen=None):
    return maps.reshape(-1, maps.shape[3]).T if chosen is None else maps[chosen].T


class TestImagesOfManyMaps:
    def test_a_row_for_each(self, tmp_path, maps, pictures, trials):
        path = volume(tmp_path / "betas.nii.gz", maps)
        reading = read_recording(path, events=trials, stimuli=pictures)
        ids, expected = grouped(flat(maps))
        assert reading.stimulus_ids == tuple(ids)
        np.testing.assert_array_equal(reading.responses, expected)
        assert reading.kind == "NIfTI"
        assert [str(axis) for axis in reading.axes] == [
            "neuroid (24): the voxels, in C order of 3 × 4 × 2",
            "presentation (6): maps along the last axis; stimulus_id names them",
        ]
        assert dict(reading.describe())["space"].endswith(
            "3 × 4 × 2 voxels of 2 × 2 × 3 mm, axes L A S"
        )
        assert dict(reading.describe())["responses"] == "1 image, float64 on disk"

    def test_where_each_voxel_is(self, tmp_path, maps, trials):
        """A voxel's index gives its response back."""
        reading = read_recording(
            volume(tmp_path / "b.nii", maps), events=trials,
            mask=mask(tmp_path / "V4.nii.gz", (2, 0, 1), (0, 3, 0), (0, 3, 1)),
        )  # fmt: skip
        columns = reading.neuroid_columns
        voxels = [tuple(int(columns[c][n]) for c in "ijk") for n in range(3)]
        assert voxels == [(0, 3, 0), (0, 3, 1), (2, 0, 1)]
        assert columns["neuroid_id"] == ["0-3-0", "0-3-1", "2-0-1"]
        assert columns["region"] == ["V4"] * 3
        for n, voxel in enumerate(voxels):
            np.testing.assert_array_equal(
                reading.responses[..., n].ravel(), grouped(maps[voxel][:, None])[1].ravel()
            )

    def test_several_runs_one_after_the_other(self, tmp_path, maps, trials):
        runs = [volume(tmp_path / f"run-{k}_betas.nii", maps + k) for k in (1, 10, 2)]
        events = [
            table(tmp_path / f"run-{k}_events.tsv", stimulus_id=SHOWN) for k in ("01", 10, "02")
        ]
        reading = read_recording(runs, events=events)
        values = np.concatenate([flat(maps + k) for k in (1, 10, 2)])
        np.testing.assert_array_equal(reading.responses, grouped(values, SHOWN * 3)[1])
        with pytest.raises(ProbeError, match=r"is of run-2, and the image 'run-10_betas.nii' of"):
            read_recording(runs, events=[events[0], events[2], events[1]])

    def test_an_order_that_is_not_of_a_shell_was_meant(self, tmp_path, maps):
        runs = [volume(tmp_path / f"session{k}.nii", maps + k) for k in (1, 2, 10)]
        events = [table(tmp_path / f"t{k}.tsv", stimulus_id=SHOWN) for k in range(3)]
        values = np.concatenate([flat(maps + k) for k in (1, 2, 10)])
        reading = read_recording(runs, events=events)
        np.testing.assert_array_equal(reading.responses, grouped(values, SHOWN * 3)[1])

    def test_what_bids_calls_not_available_is_a_blank(self, tmp_path, maps):
        names = ["p2", "n/a", "p3", "p1", "p2", "p3"]
        events = table(tmp_path / "t.tsv", stim_file=names)
        reading = read_recording(volume(tmp_path / "b.nii", maps), events=events)
        assert reading.stimulus_ids == ("p2", "p3", "p1")
        assert "1 presentations of no picture were set apart" in reading.notes

    def test_a_list_of_names(self, tmp_path, maps):
        (tmp_path / "names.txt").write_text("\n".join(SHOWN))
        reading = read_recording(volume(tmp_path / "b.nii", maps), labels=tmp_path / "names.txt")
        np.testing.assert_array_equal(reading.responses, grouped(flat(maps))[1])

    def test_averages_only_when_told(self, tmp_path, maps):
        names, runs = ["p1", "p1", "p2", "p2", "p1", "p2"], [1, 1, 1, 1, 2, 2]
        events = table(tmp_path / "t.tsv", stimulus_id=names, chunks=runs)
        path = volume(tmp_path / "b.nii", maps)
        assert read_recording(path, events=events).responses.shape == (2, 3, 24)
        reading = read_recording(path, events=events, average="chunks")
        values = flat(maps)
        np.testing.assert_allclose(
            reading.responses,
            [[values[:2].mean(0), values[4]], [values[2:4].mean(0), values[5]]],
            rtol=1e-14,
        )
        assert "6 presentations were averaged by picture and chunks: 4 means of 1 to 2 each" in (
            reading.notes
        )

    def test_an_average_over_all_is_said_to_be_one(self, tmp_path, maps, pictures):
        maps[1, 1, 1, 0] = np.nan
        events = table(tmp_path / "t.tsv", stimulus_id=SHOWN, subject=["x"] * N)
        reading = read_recording(
            volume(tmp_path / "b.nii", maps), events=events, average="subject", stimuli=pictures
        )
        assert reading.responses.shape == (3, 1, 24)
        assert np.isnan(reading.responses).sum() == 1  # a mean of what is missing is missing
        maps[1, 1, 1, 0] = 1
        recording = read_recording(
            volume(tmp_path / "b.nii", maps), events=events, average="subject", stimuli=pictures
        ).save(tmp_path / "out")
        assert recording.describe()["averaged"] is True

    def test_the_order_of_the_maps_on_disk_does_not_matter(self, tmp_path, maps, trials):
        """A map that is saved in C order by another tool is the same map."""
        one = read_recording(volume(tmp_path / "a.nii", np.asfortranarray(maps)), events=trials)
        two = read_recording(volume(tmp_path / "b.nii", np.ascontiguousarray(maps)), events=trials)
        np.testing.assert_array_equal(one.responses, two.responses)


class TestImagesOfOneMap:
    def write(self, folder, maps, names=SHOWN):
        seen = []
        for k, name in enumerate(names):
            run = seen.count(name) + 1
            seen.append(name)
            volume(
                folder / f"sub-01_run-{run}_contrast-{name}_stat-effect_statmap.nii.gz",
                maps[..., k],
            )
        return folder

    def test_names_tell_the_picture(self, tmp_path, maps, pictures):
        folder = self.write(tmp_path / "betas", maps)
        reading = read_recording(folder, stimuli=pictures)
        assert reading.stimulus_ids == ("p1.png", "p2.png", "p3.png")
        ids, expected = grouped(flat(maps))
        order = [ids.index(name) for name in ("p1", "p2", "p3")]
        np.testing.assert_array_equal(reading.responses, expected[order])
        assert reading.neuroid_columns["subject"] == ["sub-01"] * 24
        assert reading.response_unit == "effect size of a GLM"
        assert len(reading.paths) == N

    def test_one_map_alone(self, tmp_path, maps):
        """nilearn 0.14.1: of a 3-D image, NiftiMasker gives one axis only."""
        path = volume(tmp_path / "contrast-p1_stat-effect_statmap.nii", maps[..., :1])
        reading = read_recording(path)
        np.testing.assert_array_equal(reading.responses, flat(maps)[None, :1])

    def test_other_statistics_beside(self, tmp_path, maps):
        folder = self.write(tmp_path / "betas", maps)
        for path in list(folder.iterdir()):
            for statistic in ("t", "variance"):
                name = path.name.replace("stat-effect", f"stat-{statistic}")
                (folder / name).write_bytes(path.read_bytes())
        with pytest.raises(ProbeError, match=r"may be 'effect', 't', 'variance': .* --variable"):
            read_recording(folder)
        assert len(read_recording(folder, variable="effect").paths) == N
        assert read_recording(folder, variable="t").response_unit == "t statistic"

    def test_names_of_pictures_as_names_of_files(self, tmp_path, maps, pictures):
        for k in range(3):
            volume(tmp_path / "betas" / f"p{k + 1}.nii", maps[..., k])
        reading = read_recording(tmp_path / "betas", stimuli=pictures)
        np.testing.assert_array_equal(reading.responses[:, 0], flat(maps)[:3])
        with pytest.raises(
            ProbeError, match=r"do not say which picture a map belongs to.*--events"
        ):
            read_recording(tmp_path / "betas")

    def test_a_table_that_names_files(self, tmp_path, maps, pictures):
        paths = [volume(tmp_path / "b" / f"beta_{k}.nii", maps[..., k - 1]) for k in range(1, 7)]
        order = [3, 0, 1, 5, 4, 2]
        events = table(
            tmp_path / "t.tsv", file=[f"betas/{paths[k].name}" for k in order],
            stimulus_id=[SHOWN[k] for k in order],
        )  # fmt: skip
        reading = read_recording(tmp_path / "b", events=events, stimuli=pictures)
        expected = grouped(flat(maps)[order], [SHOWN[k] for k in order])[1]
        np.testing.assert_array_equal(reading.responses, expected)

    def test_a_table_in_the_order_of_names(self, tmp_path, maps, trials):
        for k in range(N):
            volume(tmp_path / "b" / f"beta_{k + 1:04d}.nii", maps[..., k])
        reading = read_recording(tmp_path / "b", events=trials)
        np.testing.assert_array_equal(reading.responses, grouped(flat(maps))[1])

    def test_of_a_shell_that_sorts_by_text(self, tmp_path, maps):
        """beta_1, beta_10, beta_2: which row of the table is of which cannot be known."""
        paths = [volume(tmp_path / f"beta_{k}.nii", maps[..., 0]) for k in (1, 10, 2)]
        events = table(tmp_path / "t.tsv", stimulus_id=["p1", "p2", "p3"])
        with pytest.raises(ProbeError, match=r"depends on how names are sorted.* column file"):
            read_recording(paths, events=events)

    def test_other_images_of_the_folder(self, tmp_path, maps, pictures):
        folder = self.write(tmp_path / "betas", maps)
        mask(folder / "sub-01_desc-brain_mask.nii.gz")
        volume(folder / "sub-01_boldref.nii.gz", maps[..., 0])
        reading = read_recording(folder, stimuli=pictures)
        assert "not read of the folder: 1 boldref, 1 mask" in reading.notes
        mask(folder / "V4.nii.gz", (0, 0, 0))
        reading = read_recording(folder, stimuli=pictures, mask=folder / "V4.nii.gz")
        assert reading.responses.shape == (3, 2, 1)  # a mask beside the maps is no map


def test_a_folder_that_nilearn_wrote(tmp_path, monkeypatch):
    """save_glm_to_bids 0.14.1: five statistics of each contrast, two of the model, and a mask."""
    glm = pytest.importorskip("nilearn.glm", reason="nilearn is not installed")
    first_level = pytest.importorskip("nilearn.glm.first_level")
    names = ["dog_a-1", "img_2"]
    (tmp_path / "pictures").mkdir()
    for k, name in enumerate(names):
        Image.new("RGB", (8, 8), (k, 0, 0)).save(tmp_path / "pictures" / f"{name}.png")
    rng = np.random.default_rng(0)
    bold = nibabel.Nifti1Image(rng.normal(100, 1, size=(*SHAPE, 40)).astype(np.float32), AFFINE)
    measured = nibabel.Nifti1Image((np.arange(24).reshape(SHAPE) > 3).astype(np.uint8), AFFINE)
    onsets = {"onset": [4.0, 24.0, 44.0, 60.0], "duration": 1.0, "trial_type": names * 2}
    generate_report = (
        first_level.FirstLevelModel.generate_report
    )  # which takes ten seconds and is not read
    written = types.SimpleNamespace(save_as_html=lambda *_: None)
    monkeypatch.setattr(
        first_level.FirstLevelModel, "generate_report",
        functools.wraps(generate_report)(lambda *_, **__: written),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = first_level.FirstLevelModel(t_r=2, mask_img=measured, minimize_memory=False)
        model.fit(bold, events=pd.DataFrame(onsets))
        glm.save_glm_to_bids(model, contrasts=names, out_dir=tmp_path / "out", prefix="sub-01")
        effects = [model.compute_contrast(n, output_type="effect_size").get_fdata() for n in names]
    with pytest.raises(ProbeError, match=r"the statistic .*'effect'.* name one with --variable"):
        read_recording(tmp_path / "out" / "sub-01")
    reading = read_recording(
        tmp_path / "out" / "sub-01", variable="effect", stimuli=tmp_path / "pictures"
    )
    assert reading.stimulus_ids == ("dog_a-1.png", "img_2.png")
    np.testing.assert_allclose(
        reading.responses[:, 0], [one.reshape(-1)[4:] for one in effects], rtol=1e-6
    )
    assert "4 of 24 voxels are 0 or NaN in all maps: not measured, left out" in reading.notes
    assert "not read of the folder: 1 mask" in reading.notes


class TestGLMsingle:
    """With wanthdf5, betasmd is (x, y, z, trial) or (voxel, trial); a .npy is a pickle."""

    def test_voxels_and_trials(self, tmp_path, maps):
        values = flat(maps).T  # voxel × trial
        with h5py.File(tmp_path / "TYPED_FITHRF_GLMDENOISE_RR.hdf5", "w") as file:
            file["betasmd"], file["R2"] = values, values[:, :1]
        (tmp_path / "names.txt").write_text("\n".join(SHOWN))
        reading = read_recording(
            tmp_path / "TYPED_FITHRF_GLMDENOISE_RR.hdf5", variable="betasmd", axes="voxel,trial",
            labels=tmp_path / "names.txt",
        )  # fmt: skip
        np.testing.assert_array_equal(reading.responses, grouped(values.T)[1])

    def test_a_volume_without_an_affine(self, tmp_path, maps):
        with h5py.File(tmp_path / "betas.hdf5", "w") as file:
            file["betasmd"] = maps
        with pytest.raises(ProbeError, match=r"have no affine: save them .*nibabel.Nifti1Image"):
            read_recording(tmp_path / "betas.hdf5", mask=mask(tmp_path / "V4.nii"))


class TestMasks:
    def test_as_nilearns_masker(self, tmp_path, maps, trials):
        """NiftiMasker 0.14.1: (volume, voxel), voxels in C order of the mask."""
        maskers = pytest.importorskip("nilearn.maskers", reason="nilearn is not installed")
        path = volume(tmp_path / "b.nii.gz", maps.astype(np.float32))
        chosen = np.random.default_rng(5).random(SHAPE) < 0.6
        roi = volume(tmp_path / "V4.nii.gz", chosen.astype(np.uint8))
        masked = maskers.NiftiMasker(roi, dtype=np.float64, standardize=None).fit_transform(path)
        reading = read_recording(path, events=trials, mask=roi)
        np.testing.assert_array_equal(reading.responses, grouped(masked)[1])

    def test_several_masks_are_several_regions(self, tmp_path, maps, trials):
        path = volume(tmp_path / "b.nii", maps)
        masks = [mask(tmp_path / "V4.nii", (1, 1, 1)), mask(tmp_path / "V1.nii", (0, 0, 0))]
        reading = read_recording(path, events=trials, mask=masks)
        assert reading.neuroid_columns["region"] == ["V1", "V4"]
        np.testing.assert_array_equal(reading.responses, grouped(maps[[0, 1], [0, 1], [0, 1]].T)[1])

    @pytest.mark.parametrize(
        ("name", "region"),
        [
            ("V4.nii.gz", "V4"), ("sub-1_label-hV4_mask.nii.gz", "hV4"),
            ("sub-1_desc-brain_mask.nii.gz", "brain"), ("my_roi.nii", "my_roi"),
        ],
    )  # fmt: skip
    def test_what_the_region_is_called(self, tmp_path, maps, trials, name, region):
        path = volume(tmp_path / "b.nii", maps)
        roi = mask(tmp_path / name, (0, 0, 0))
        reading = read_recording(path, events=trials, mask=roi)
        assert reading.neuroid_columns["region"] == [region]
        assert any(region in note for note in reading.notes)
        named = read_recording(path, events=trials, mask=roi, region="IT")
        assert named.neuroid_columns["region"] == ["IT"]

    def test_another_grid_is_refused_and_not_resampled(self, tmp_path, maps, trials):
        """nilearn 0.14.1: NiftiMasker resamples the data to the mask, with a warning at most."""
        maskers = pytest.importorskip("nilearn.maskers", reason="nilearn is not installed")
        path = volume(tmp_path / "b.nii.gz", maps.astype(np.float32))
        moved = AFFINE + np.pad(np.ones((3, 1)), ((0, 1), (3, 0)))
        roi = volume(tmp_path / "V4.nii.gz", np.ones(SHAPE, np.uint8), moved)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            resampled = maskers.NiftiMasker(roi, dtype=np.float64, standardize=None).fit_transform(
                path
            )
        assert not np.allclose(resampled, flat(maps), atol=1e-3)
        with pytest.raises(ProbeError, match=r"in other places: .*nilearn.image.resample_to_img"):
            read_recording(path, events=trials, mask=roi)

    def test_a_mirrored_mask(self, tmp_path, maps, trials):
        """The same shape, and left is right: C order of the mask would take other voxels."""
        path = volume(tmp_path / "b.nii", maps)
        mirror = AFFINE @ np.diag([-1.0, 1, 1, 1])
        mirror[0, 3] = AFFINE[0, 3] + AFFINE[0, 0] * (SHAPE[0] - 1)
        roi = volume(tmp_path / "V4.nii.gz", np.ones(SHAPE, np.uint8), mirror)
        with pytest.raises(ProbeError, match=r"axes R A S, and 'b.nii' .* axes L A S"):
            read_recording(path, events=trials, mask=roi)


ATLAS = np.zeros(SHAPE, np.int16)
ATLAS[0], ATLAS[1, :2], ATLAS[2, 0] = 1, 2, 5
"""Values 1, 2 and 5."""


class TestAtlases:
    """Names go by value, never by rank."""

    @pytest.fixture
    def read(self, tmp_path, maps, trials):
        def read(atlas=ATLAS, name="atlas.nii.gz", dtype=None, **options):
            path = volume(tmp_path / "b.nii", maps)
            atlas = volume(tmp_path / name, atlas.astype(dtype or atlas.dtype))
            return read_recording(path, events=trials, mask=atlas, **options)

        return read

    KEY = {  # noqa: RUF012
        "index": [0, 1, 2, 3, 4, 5],
        "name": ["Unknown", "V1", "V2", "V3", "hV4", "IT"],
    }

    def test_as_nilearns_labels_masker_with_a_lut(self, tmp_path, maps, read):
        """nilearn 0.14.1, NiftiLabelsMasker: `lut=` is right; `labels=` goes by rank."""
        maskers = pytest.importorskip("nilearn.maskers", reason="nilearn is not installed")
        reading = read(key=table(tmp_path / "key.tsv", **self.KEY))
        regions = np.array(reading.neuroid_columns["region"])
        assert list(dict.fromkeys(regions)) == ["V1", "V2", "IT"]
        arguments = {
            "labels_img": str(tmp_path / "atlas.nii.gz"), "standardize": None,
        }  # fmt: skip

        def means(**more):
            masker = maskers.NiftiLabelsMasker(**arguments, **more)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                values = masker.fit_transform(str(tmp_path / "b.nii"))
            names = [name for name in masker.region_names_.values() if name != "Background"]
            return dict(zip(names, values.T, strict=True))

        by_value = means(lut=pd.DataFrame(self.KEY))
        for name in ("V1", "V2", "IT"):
            ours = reading.responses[..., regions == name].mean(axis=2)
            np.testing.assert_allclose(ours, grouped(by_value[name])[1], rtol=1e-6)
        by_rank = means(labels=list(self.KEY["name"]))
        ours = reading.responses[..., regions == "V1"].mean(axis=2)
        assert not any(
            name == "V1" and np.allclose(ours, grouped(values)[1])
            for name, values in by_rank.items()
        )

    def test_some_regions(self, tmp_path, read):
        key = table(tmp_path / "key.tsv", **self.KEY)
        reading = read(key=key, region="IT,V1")
        assert list(dict.fromkeys(reading.neuroid_columns["region"])) == ["V1", "IT"]
        assert read(key=key, region="5").neuroid_columns["region"] == ["IT"] * 2
        assert "of the key, 2 regions have no voxel here: V3, hV4" in read(key=key).notes

    def test_a_name_with_a_comma(self, tmp_path, read):
        names = ["Unknown", "Frontal, medial", "V2", "V3", "hV4", "IT"]
        key = table(tmp_path / "key.tsv", index=self.KEY["index"], name=names)
        assert set(read(key=key, region="Frontal, medial").neuroid_columns["region"]) == {names[1]}

    def test_without_a_key_regions_are_values(self, read):
        reading = read(dtype=np.float32)  # as many tools write atlases
        assert read(dtype=np.uint8).neuroid_columns == reading.neuroid_columns
        assert list(dict.fromkeys(reading.neuroid_columns["region"])) == ["1", "2", "5"]
        assert any("has no key" in note for note in reading.notes)

    def test_freesurfers_table_of_colours(self, tmp_path, read):
        (tmp_path / "lut.txt").write_text(
            "#$Id: FreeSurferColorLUT.txt\n#No. Label Name: R G B A\n\n0 Unknown 0 0 0 0\n"
            "1 Left-V1 70 130 180 0\n2 Left-V2 245 245 245 0\n5 Left-IT 205 62 78 0\n"
        )
        reading = read(key=tmp_path / "lut.txt")
        assert list(dict.fromkeys(reading.neuroid_columns["region"])) == [
            "Left-V1", "Left-V2", "Left-IT",
        ]  # fmt: skip

    def test_nsds_regions_with_a_table_of_colours(self, tmp_path, read):
        """NSD's prf-visualrois.nii.gz: -1 outside the cortex; its .ctab gives no colours."""
        (tmp_path / "rois.mgz.ctab").write_text("0 Unknown\n1 V1v\n2 V1d\n5 V2v\n")
        reading = read(np.where(ATLAS == 0, -1, ATLAS), key=tmp_path / "rois.mgz.ctab")
        assert list(dict.fromkeys(reading.neuroid_columns["region"])) == ["V1v", "V1d", "V2v"]
        assert "10 points of atlas.nii.gz are negative: of no region" in reading.notes
        binary = read(np.where(ATLAS == 1, 1, -1), "nsdgeneral.nii.gz", np.int16)
        assert binary.neuroid_columns["region"] == ["nsdgeneral"] * 8

    def test_the_key_at_the_root_of_a_derivatives_folder(self, tmp_path, maps, trials):
        """fMRIPrep: desc-aparcaseg_dseg.tsv and desc-aseg_dseg.tsv beside the subjects."""
        root = tmp_path / "derivatives"
        for kind, shift in (("aparcaseg", ""), ("aseg", "other ")):
            table(
                root / f"desc-{kind}_dseg.tsv", index=self.KEY["index"],
                name=[f'"{shift}{name}"' for name in self.KEY["name"]],
            )  # fmt: skip
        (root / "dataset_description.json").write_text("{}")
        func = root / "sub-10" / "func"
        path = volume(func / "sub-10_space-X_desc-b_betas.nii.gz", maps)
        atlas = volume(func / "sub-10_space-X_desc-aparcaseg_dseg.nii.gz", ATLAS)
        reading = read_recording(path, events=trials, mask=atlas)
        assert list(dict.fromkeys(reading.neuroid_columns["region"])) == ["V1", "V2", "IT"]
        assert reading.space == "X"
        assert reading.companions[-1].name == atlas.name

    def test_the_sample_key_of_fmriprep(self, tmp_path, maps, trials):
        """Begins with Unknown: by rank, every region would have its left neighbour's name."""
        key = FMRIPREP / "desc-aparcaseg_dseg.tsv"
        if not key.is_file():
            pytest.skip("the samples are not here")
        atlas = np.zeros(SHAPE, np.int32)
        atlas[0], atlas[1] = 2, 8
        reading = read_recording(
            volume(tmp_path / "b.nii", maps), events=trials, key=key,
            mask=volume(tmp_path / "a_dseg.nii.gz", atlas),
        )  # fmt: skip
        assert list(dict.fromkeys(reading.neuroid_columns["region"])) == [
            "Left-Cerebral-White-Matter", "Left-Cerebellum-Cortex",
        ]  # fmt: skip


class TestMissing:
    def test_nan_and_0_in_all_maps_were_not_measured(self, tmp_path, maps, trials):
        """nilearn 0.14.1: NiftiMasker makes NaN and Inf 0.0, without a warning."""
        maps[0, 0, 0], maps[1, 1, 1], maps[2, 2, 0] = np.nan, 0, [0, np.nan] * 3
        maps[2, 3, 1, 0] = 0  # a response like any other
        reading = read_recording(volume(tmp_path / "b.nii", maps), events=trials)
        assert reading.responses.shape[2] == 21
        assert not np.isnan(reading.responses).any()
        assert "3 of 24 voxels are 0 or NaN in all maps: not measured, left out" in reading.notes
        left = {tuple(c) for c in zip(*(reading.neuroid_columns[c] for c in "ijk"), strict=True)}
        assert not left & {("0", "0", "0"), ("1", "1", "1"), ("2", "2", "0")}

    def test_nan_in_one_map_is_one_missing_response(self, tmp_path, maps, trials, pictures):
        maps[1, 2, 0, 3] = np.nan
        reading = read_recording(volume(tmp_path / "b.nii", maps), events=trials, stimuli=pictures)
        assert np.isnan(reading.responses).sum() == 1
        data = reading.save(tmp_path / "out").data["responses"]
        assert np.isnan(data.sel(neuroid=(data.i == 1) & (data.j == 2) & (data.k == 0))).sum() == 1

    def test_rounded_to_integers_with_a_scale_nothing_tells(self, tmp_path, maps, trials):
        """nibabel 5.4.2 (#1248): NaN becomes a number near 0, with no warning."""
        maps[0, 0, 0] = np.nan
        path = volume(tmp_path / "b.nii", maps, dtype=np.int16)
        saved = nibabel.load(path).get_fdata()
        assert not np.isnan(saved).any()
        assert (saved[0, 0, 0] != 0).all()
        reading = read_recording(path, events=trials)
        assert reading.responses.shape[2] == 24
        note = next(note for note in reading.notes if "rounded" in note)
        assert "int16 with a scale" in note
        assert "missing voxels cannot be told in this file; 1 voxels have one value" in note
        np.testing.assert_array_equal(reading.responses, grouped(flat(saved))[1])


class TestSpaces:
    """Told by name: a mask of another space, resolution or person is refused before its grid."""

    @pytest.mark.parametrize(
        ("maps_name", "mask_name", "reason"),
        [
            ("sub-1_space-T1w_b.nii", "sub-1_space-MNI152NLin6Asym_mask.nii", "space-MNI152NLin6"),
            ("sub-1_space-X_res-1_b.nii", "sub-1_space-X_res-2_mask.nii", "is of res-2"),
            ("sub-1_space-T1w_b.nii", "sub-2_space-T1w_mask.nii", "is of sub-2"),
            ("sub-1_space-X_b.nii", "tpl-Y_mask.nii", "is of space-Y"),
        ],
    )
    def test_other_names(self, tmp_path, maps, trials, maps_name, mask_name, reason):
        path = volume(tmp_path / maps_name, maps)
        with pytest.raises(ProbeError, match=reason):
            read_recording(path, events=trials, mask=mask(tmp_path / mask_name))

    def test_a_mask_of_another_person_in_a_template(self, tmp_path, maps, trials):
        path = volume(tmp_path / "sub-1_space-MNI152NLin6Asym_b.nii", maps)
        roi = mask(tmp_path / "sub-2_space-MNI152NLin6Asym_mask.nii", (0, 0, 0))
        assert read_recording(path, events=trials, mask=roi).responses.shape[2] == 1

    @pytest.mark.skipif(not FMRIPREP.is_dir(), reason="the samples are not here")
    def test_the_names_of_fmriprep(self, tmp_path, maps, trials):
        func = FMRIPREP / "sub-10" / "func"
        with pytest.raises(ProbeError, match=r"18 of 18 images are empty \(0 bytes\)"):
            read_recording(func)
        images = sorted(func.glob("*MNI152NLin2009cAsym*preproc_bold.nii.gz"))
        with pytest.raises(ProbeError, match=r"run-1.*is empty \(0 bytes\)"):
            read_recording(images)
        for path in func.glob("*_bold.nii.gz"):
            volume(tmp_path / "func" / path.name, maps)
        with pytest.raises(ProbeError, match=r"differ in space .*MNI152NLin6Asym"):
            read_recording(tmp_path / "func")
        runs = [tmp_path / "func" / path.name for path in images]
        reading = read_recording(runs, events=[trials] * 3)
        assert reading.responses.shape == (3, 6, 24)
        assert reading.space == "MNI152NLin2009cAsym"
        assert reading.neuroid_columns["subject"] == ["sub-10"] * 24

    def test_what_is_read_is_there_again_in_the_folder(self, tmp_path, maps, trials, pictures):
        maps[0, 0, 0] = 0
        path = volume(tmp_path / "sub-1_space-T1w_b.nii", maps)
        reading = read_recording(path, events=trials, stimuli=pictures, region="V4")
        saved = reading.save(tmp_path / "out")
        for recording in (saved, from_folder(tmp_path / "out"), saved.select("V4")):
            attrs = recording.data.attrs
            assert attrs["volume_shape"] == SHAPE
            np.testing.assert_array_equal(np.reshape(attrs["affine"], (4, 4)), AFFINE)
            assert attrs["space"] == "T1w"
            voxels = tuple(recording.data[c].values for c in "ijk")
            assert [v.dtype for v in voxels] == [np.dtype(np.int64)] * 3
            first = recording.data["responses"].values[0, 0]  # of p2
            np.testing.assert_array_equal(first, maps[..., 0][voxels])
        some = saved.select(neuroids=["0-0-1", "2-3-1"])
        assert some.data["k"].values.tolist() == [1, 1]
        assert some.data.attrs["affine"] == saved.data.attrs["affine"]
        assert "volume_shape" not in saved.mean_responses().coords


class TestSurfaces:
    @pytest.fixture
    def values(self):
        return np.random.default_rng(2).normal(size=(2, N, 10)).astype(np.float32)

    def test_both_hemispheres_side_by_side(self, tmp_path, values, trials, pictures):
        paths = [
            surface(tmp_path / f"sub-1_space-fsaverage5_hemi-{h}_betas.func.gii", *values[k])
            for k, h in enumerate("LR")
        ]
        masks = [
            surface(
                tmp_path / f"hemi-{h}_label-V{4 - k}_mask.shape.gii",
                np.arange(10, dtype=np.float32) // 8,
            )
            for k, h in enumerate("LR")
        ]
        reading = read_recording(paths[::-1], events=trials, mask=masks[::-1], stimuli=pictures)
        expected = np.concatenate([values[0, :, 8:], values[1, :, 8:]], axis=1)
        np.testing.assert_array_equal(reading.responses, grouped(expected)[1])
        assert reading.neuroid_columns["region"] == ["V4", "V4", "V3", "V3"]
        data = reading.save(tmp_path / "out").data
        assert data["vertex"].values.tolist() == [8, 9, 8, 9]
        assert data["vertex"].dtype == np.int64
        assert data["hemisphere"].values.tolist() == ["L", "L", "R", "R"]
        assert data.attrs["space"] == "fsaverage5"
        assert "affine" not in data.attrs

    def test_one_file_per_picture(self, tmp_path, values):
        for k, h in enumerate("LR"):
            for m, name in enumerate(("b", "a")):
                surface(tmp_path / "s" / f"hemi-{h}_contrast-{name}_b.shape.gii", values[k, m])
        reading = read_recording(tmp_path / "s")
        assert reading.stimulus_ids == ("a", "b")
        np.testing.assert_array_equal(
            reading.responses[:, 0], np.concatenate(values, axis=1)[[1, 0]]
        )

    def test_labels_by_their_own_table(self, tmp_path, values, trials):
        path = surface(tmp_path / "b.func.gii", *values[0], hemisphere="L")
        labels = np.array([0, 0, 7, 7, 3, 0, 3, 0, 0, 0], np.int32)
        atlas = surface(
            tmp_path / "lh.label.gii", labels, hemisphere="L",
            names={0: "???", 3: "V1", 5: "V2", 7: "V4"},
        )  # fmt: skip
        reading = read_recording(path, events=trials, mask=atlas)
        assert reading.neuroid_columns["region"] == ["V4", "V4", "V1", "V1"]
        assert reading.neuroid_columns["neuroid_id"] == ["L2", "L3", "L4", "L6"]
        with pytest.raises(ProbeError, match="no voxel of 'V2', which only its key names"):
            read_recording(path, events=trials, mask=atlas, region="V2")


@pytest.mark.skipif(not HAXBY.is_dir(), reason="the samples are not here")
class TestHaxby:
    """Whole volumes of a block design: every volume has a name, in a table of one row each."""

    @pytest.fixture
    def read(self, tmp_path):
        def events(run):
            """One row per volume, from the events in seconds; rest between."""
            path = HAXBY / "BOLD" / f"task001_run{run:03d}" / "bold_events.tsv"
            blocks = pd.read_csv(path, sep="\t")
            names = np.array(["rest"] * 121, dtype=object)
            for block in blocks.itertuples():
                times = np.arange(121) * 2.5
                inside = (times >= block.onset) & (times < block.onset + block.duration)
                names[inside] = block.trial_type
            return table(tmp_path / f"{run}.tsv", trial_type=names)

        def read(runs, roi="brain", **options):
            return read_recording(
                [HAXBY / "BOLD" / f"task001_run{run:03d}" / "bold_25mm.nii.gz" for run in runs],
                events=[events(run) for run in runs], labels="trial_type",
                mask=HAXBY / "masks" / "25mm" / f"{roi}.nii.gz", **options,
            )  # fmt: skip

        return read

    def test_three_means(self, read):
        means = []
        for run in (1, 2, 3):
            reading = read([run])
            assert reading.responses.shape[2] == 129
            assert np.isfinite(reading.responses).sum() == 121 * 129
            means.append(np.nanmean(reading.responses))
        assert np.round(means, 3).tolist() == [1092.561, 1082.611, 1075.523]
        assert reading.grid.axes == "L A S"
        assert np.diag(reading.grid.affine).tolist() == [-25, 25, 25, 1]

    def test_96_blocks(self, read):
        reading = read(range(1, 13), blanks=["rest"], average="run")
        assert reading.responses.shape == (8, 12, 129)
        assert not np.isnan(reading.responses).any()
        assert "864 presentations were averaged by picture and run: 96 means of 9 each" in (
            reading.notes
        )
        assert set(reading.stimulus_ids) == {
            "bottle", "cat", "chair", "face", "house", "scissors", "scrambledpix", "shoe",
        }  # fmt: skip

    def test_an_atlas_with_gaps(self, read):
        reading = read([1], "hoc")
        regions = reading.neuroid_columns["region"]
        assert sorted(map(int, set(regions))) == [
            1, 3, 4, 7, 8, 12, 14, 17, 18, 22, 23, 24, 28, 31, 32, 33, 35, 36, 42, 43, 44,
        ]  # fmt: skip
        assert {roi: read([1], roi).responses.shape[2] for roi in ("vt", "gray", "white")} == {
            "vt": 1, "gray": 28, "white": 34,
        }  # fmt: skip

    def test_its_events_are_of_a_time_series(self):
        run = HAXBY / "BOLD" / "task001_run001"
        with pytest.raises(ProbeError, match=r"121 volumes, and .* 8 rows: .*a GLM"):
            read_recording(run / "bold_25mm.nii.gz", events=run / "bold_events.tsv")
        with pytest.raises(ProbeError, match="images of one recording share a grid"):
            read_recording(run)
