"""Real files, and the values that their own readers give (SOURCE.txt beside each)."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from probe.errors import ProbeError
from probe.recordings import load, read_recording
from probe.similarity import rdm

SAMPLES = Path(os.environ.get("PROBE_MIRROR", "")) / "samples"
IT = SAMPLES / "zhang-desimone-it"
pytestmark = pytest.mark.skipif(not IT.is_dir(), reason="the samples are not here")

SPIKES = [283, 422, 808, 58]
RASTER = "raster_labels.combined_ID_position"


def totals(reading):
    return np.nansum(reading.responses, axis=(0, 1)).tolist()


def sites(*numbers):
    return [IT / f"bp1001spk_0{k}A_raster_data.mat" for k in numbers]


@pytest.fixture(scope="module")
def assembly():
    return read_recording(IT / "derived" / "assy_zd_session1001.nc")


def test_netcdf(assembly):
    assert totals(assembly) == SPIKES
    assert assembly.responses.shape == (21, 20, 4)
    assert assembly.neuroid_columns["region"] == ["IT"] * 4
    assert [axis.kind for axis in assembly.axes] == ["presentation", "neuroid", "time"]


def test_nwb(assembly):
    pytest.importorskip("pynwb", reason="pynwb is not installed")
    reading = read_recording(IT / "derived" / "zd_session1001.nwb", window="100,300ms")
    assert reading.neuroid_columns["neuroid_id"] == ["11", "12", "13", "14"]  # ids, not rows
    assert reading.neuroid_columns["region"] == ["IT"] * 4
    np.testing.assert_array_equal(reading.responses, assembly.responses)


def test_outside_what_was_observed_nothing_is_counted():
    pytest.importorskip("pynwb", reason="pynwb is not installed")
    with pytest.raises(ProbeError, match="none of 7557 spikes lies in the window 400 to 600 ms"):
        read_recording(IT / "derived" / "zd_session1001.nwb", window="400,600ms")  # ±0.5 s are


def test_matlab_73(assembly):
    path = IT / "derived" / "zd_session1001_v73.mat"
    options = {"labels": "labels", "bins": "-500,50ms"}
    reading = read_recording(path, window="100,300ms", **options)
    np.testing.assert_array_equal(reading.responses, assembly.responses)
    assert sum(totals(read_recording(path, window="-500,500ms", **options))) == 7557
    in_seconds = read_recording(path, window=".1,.3s", labels="labels", bins="-.5,.05s")
    np.testing.assert_array_equal(in_seconds.responses, assembly.responses)


def test_matlab_5_one_file_per_site(assembly):
    options = {"axes": "trial,time", "bins": "-500,1ms", "labels": RASTER}
    reading = read_recording(sites(1, 2, 3, 4), window="100,300ms", **options)
    np.testing.assert_array_equal(reading.responses, assembly.responses)
    assert totals(read_recording(sites(1, 2, 3, 4), window="-500,500ms", **options)) == [
        1525, 2068, 3644, 320,
    ]  # fmt: skip
    first = reading.responses[..., 0]
    objects = [name.partition("_")[0] for name in reading.stimulus_ids]
    means = {o: first[[k for k, n in enumerate(objects) if n == o]].mean() for o in objects}
    assert {o: round(m, 3) for o, m in sorted(means.items())} == {
        "car": 1.117, "couch": 0.75, "face": 0.433, "flower": 1.1, "guitar": 0.433,
        "hand": 0.483, "kiwi": 0.4,
    }  # fmt: skip


@pytest.mark.parametrize("site", [1, 2])
def test_csv(assembly, site):
    reading = read_recording(
        IT / f"bp1001spk_0{site}A_raster_data.csv", window="100,300ms", time_unit="ms",
        labels="labels.combined_ID_position",
    )  # fmt: skip
    np.testing.assert_array_equal(reading.responses[..., 0], assembly.responses[..., site - 1])


@pytest.fixture(scope="module")
def population():
    path = IT / "derived" / "zd_132sites_counts_100_500ms.npz"
    return read_recording(path, axes="stimulus,repetition,neuroid")


def test_132_sites(population):
    responses = population.responses
    assert responses.shape == (21, 20, 132)
    assert (np.nansum(responses), np.isnan(responses).sum()) == (255703, 7)
    distances = rdm(np.nanmean(responses, axis=1), "correlation")
    assert distances.mean() == pytest.approx(0.2115, abs=5e-5)
    np.testing.assert_allclose(distances[:3], [0.0950, 0.1201, 0.2085], atol=5e-5)
    halves = [rdm(np.nanmean(responses[:, k::2], axis=1), "correlation") for k in (0, 1)]
    assert spearmanr(*halves).statistic == pytest.approx(0.888, abs=5e-4)


def test_an_axis_of_20_may_be_repetitions_or_time_bins():
    with pytest.raises(ProbeError, match=r"whether the axis of length 20 is that of .* --axes"):
        read_recording(IT / "derived" / "zd_132sites_counts_100_500ms.npz")


def test_brainios_own_files():
    folder = SAMPLES / "brainio-tests"
    first = read_recording(folder / "assy_test_TestMe.nc", stimuli=folder / "images")
    assert sum(totals(first)) == 171
    assert first.stimulus_ids == ("n0", "n1", "n4", "n9")
    assert first.responses.shape == (4, 2, 3)  # repetition 1 of n0 is there twice
    old = read_recording(folder / "assy_test_package_assembly.nc")
    assert (sum(totals(old)), old.label_name, old.responses.shape) == (171, "image_id", (6, 1, 3))
    with pytest.raises(ProbeError, match="no array of numbers with two or more axes"):
        read_recording(folder / "assy_test_package_assembly_extras.nc")


def test_brainios_table_of_pictures(tmp_path):
    folder = SAMPLES / "brainio-tests"
    table = folder / "images" / "image_test_ten_images.csv"
    reading = read_recording(folder / "assy_test_TestMe.nc", stimuli=table)
    recording = reading.save(tmp_path / "out")
    assert recording.stimuli.ids == ("n0.png", "n1.png", "n4.png", "n9.png")
    assert recording.data["thing"].values.tolist() == ["foo0", "foo1", "foo4", "foo9"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("A8604-211122.nwb", "has no presentations of pictures"),
        ("1.0.2_nwbfile.nwb", "has no units with spike times"),
        ("2.1.0_imageseries_non_external_format.nwb", "has no units with spike times"),
    ],
)
def test_nwb_files_without_what_is_needed(name, reason):
    pytest.importorskip("pynwb", reason="pynwb is not installed")
    with pytest.raises(ProbeError, match=reason):
        read_recording(SAMPLES / "nwb-small" / name, window="0,100ms")


def test_files_of_zero_bytes():
    path = next((SAMPLES / "fmriprep-names").rglob("*.nii.gz"))
    with pytest.raises(ProbeError, match="is empty"):
        read_recording(path)


def test_cowleys_counts_as_their_own_loader_reads_them(tmp_path):
    folder = SAMPLES.parent / "cowley2023"
    if not (folder / "responses_raw_210325.npy").is_file():
        pytest.skip("the recordings are not here")
    expected = load("cowley2023/210325")
    (tmp_path / "names.csv").write_text("\n".join(["stimulus_id", *expected.stimuli.ids]))
    recording = read_recording(
        folder / "responses_raw_210325.npy", axes="neuron,image,repeat", region="V4",
        labels=tmp_path / "names.csv", stimuli=folder / "images_210325.zip",
    ).save(tmp_path / "v4")  # fmt: skip
    np.testing.assert_array_equal(
        recording.data["responses"].values, expected.data["responses"].values
    )
    assert recording.stimuli.content_hashes == expected.stimuli.content_hashes
