"""One session written by each library is the same responses, bit by bit."""

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import xarray as xr
from session_files import as_npz_spikes, as_npz_spikes_in_ms, as_nwb, flat, trials, write_table

from probe.recordings import from_folder, read_recording


def shown_only(session):
    kept = [k for k, name in enumerate(session.pictures) if name]
    return [session.pictures[k] for k in kept], session.counts[kept]


def as_tidy(session, _folder=None):
    names, counts = shown_only(session)
    p, n = counts.shape
    return {
        "presentation": np.repeat(np.arange(p), n).tolist(),
        "stimulus_id": np.repeat(names, n).tolist(),
        "unit_id": session.unit_ids * p,
        "region": session.regions * p,
        "spike_count": counts.ravel().tolist(),
    }


def as_csv(session, folder):
    return write_table(folder / "tidy.csv", as_tidy(session)), {}


def as_parquet(session, folder):
    pytest.importorskip("pyarrow")
    pd.DataFrame(as_tidy(session)).to_parquet(folder / "tidy.parquet")
    return folder / "tidy.parquet", {}


def as_matlab5(session, folder):
    """Neuron × image × repeat, padded with NaN, as Cowley's."""
    names = np.array(session.shown, dtype=object)
    scipy.io.savemat(
        folder / "m5.mat",
        {
            "resp": session.responses.transpose(2, 0, 1),
            "labels": names,
            "meta": {"unit_id": session.unit_ids, "region": np.array(session.regions, object)},
        },
    )
    return folder / "m5.mat", {"axes": "neuron,image,repeat", "labels": "labels"}


def as_matlab5_trials(session, folder):
    """Trial × neuron; names of one length, as a char matrix."""
    names, counts = shown_only(session)
    scipy.io.savemat(
        folder / "t5.mat",
        {
            "resp": counts.astype(np.uint8), "stimulus_id": names, "unit_id": session.unit_ids,
            "region": np.array(session.regions, object),
        },
    )  # fmt: skip
    return folder / "t5.mat", {}


def as_matlab73(session, folder):
    """The axes are reversed on disk, and so are those of char matrices."""
    path = folder / "m73.mat"
    with h5py.File(path, "w", userblock_size=512) as file:

        def put(name, values, kind):
            file[name] = np.asarray(values).T
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)

        put("resp", session.responses.transpose(2, 0, 1), "double")
        put("labels", [[ord(c) for c in name] for name in session.shown], "char")
        put("unit_id", np.array([session.unit_ids], dtype=float), "double")
        put("region", [[ord(c) for c in name] for name in session.regions], "char")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")
    return path, {"axes": "neuron,image,repeat", "labels": "labels"}


def assembly(session):
    names, counts = shown_only(session)
    return xr.DataArray(
        counts[:, :, None].astype(float),
        dims=("presentation", "neuroid", "time_bin"),
        coords={
            "stimulus_id": ("presentation", names),
            "repetition": ("presentation", [0] * len(names)),  # need not be unique
            "neuroid_id": ("neuroid", [str(u) for u in session.unit_ids]),
            "region": ("neuroid", session.regions),
            "time_bin_start": ("time_bin", [125]),
            "time_bin_end": ("time_bin", [375]),
        },
    )


def as_netcdf(session, folder):
    pytest.importorskip("h5netcdf", reason="h5netcdf is not installed")
    assembly(session).to_netcdf(folder / "a.nc", engine="h5netcdf")
    return folder / "a.nc", {}


def as_netcdf_by_netcdf4(session, folder):
    pytest.importorskip("netCDF4", reason="netCDF4 is not installed")
    assembly(session).to_netcdf(folder / "a4.nc", engine="netcdf4")
    return folder / "a4.nc", {}


def as_classic_netcdf(session, folder):
    assembly(session).to_netcdf(folder / "c.nc", engine="scipy")
    return folder / "c.nc", {}


def as_npy(session, folder):
    np.save(folder / "r.npy", session.responses)
    table = write_table(folder / "names.csv", {"stimulus_id": session.shown})
    return folder / "r.npy", {"axes": "stimulus,repetition,neuroid", "labels": table}


def as_npz(session, folder):
    np.savez(
        folder / "r.npz", resp=session.responses.transpose(1, 2, 0), stimulus_id=session.shown,
        unit_id=session.unit_ids, region=session.regions,
    )  # fmt: skip
    return folder / "r.npz", {"axes": "repeat,site,image"}


WRITERS = [
    as_nwb, as_npz_spikes, as_npz_spikes_in_ms, as_csv, as_parquet, as_matlab5, as_matlab5_trials,
    as_matlab73, as_netcdf, as_netcdf_by_netcdf4, as_classic_netcdf, as_npy, as_npz,
]  # fmt: skip


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__.removeprefix("as_"))
def test_all_agree(session, pictures, tmp_path, write):
    path, options = write(session, tmp_path)
    reading = read_recording(path, stimuli=pictures, **options)
    assert reading.responses.dtype == np.float64
    np.testing.assert_array_equal(reading.responses, session.responses)
    assert reading.stimulus_ids == tuple(session.shown)
    assert reading.stimuli.ids == tuple(f"{name}.png" for name in session.shown)
    if write is not as_npy:  # which has names for nothing but the pictures
        assert reading.neuroid_columns["neuroid_id"] == [str(u) for u in session.unit_ids]
        assert reading.neuroid_columns["region"] == session.regions
    recording = reading.save(tmp_path / "out")
    np.testing.assert_array_equal(recording.data["responses"].values, session.responses)


def as_volumes(session, folder, dtype):
    """One voxel per unit, one volume per presentation; an atlas with a value per unit."""
    nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
    n = len(session.unit_ids)
    values = session.counts.T.reshape(n, 1, 1, -1).astype(dtype)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / "betas.nii.gz")
    atlas = np.arange(1, n + 1, dtype=np.int16).reshape(n, 1, 1)
    nibabel.save(nibabel.Nifti1Image(atlas, np.eye(4)), folder / "atlas_dseg.nii.gz")
    key = [f"{k}\t{region}" for k, region in enumerate(session.regions, start=1)]
    (folder / "atlas_dseg.tsv").write_text("\n".join(["index\tname", *key]))
    names = [name or "n/a" for name in session.pictures]
    (folder / "trials.tsv").write_text("\n".join(["stimulus_id", *names]))
    options = {"events": folder / "trials.tsv", "mask": folder / "atlas_dseg.nii.gz"}
    return folder / "betas.nii.gz", options


def as_maps(session, folder, dtype):
    """One image per presentation, as nilearn names them."""
    nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
    (folder / "maps").mkdir()
    for k, (name, counts) in enumerate(zip(*shown_only(session), strict=True)):
        run = shown_only(session)[0][:k].count(name) + 1
        image = nibabel.Nifti1Image(counts.astype(dtype).reshape(-1, 1, 1), np.eye(4))
        name = f"run-{run}_contrast-{name}_stat-effect_statmap.nii.gz"
        nibabel.save(image, folder / "maps" / name)
    return folder / "maps", {}


def as_surface(session, folder, dtype):
    nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
    names, counts = shown_only(session)
    arrays = [nibabel.gifti.GiftiDataArray(one.astype(dtype)) for one in counts]
    path = folder / "hemi-L_betas.func.gii"
    nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays), path)
    (folder / "names.txt").write_text("\n".join(names))
    return path, {"labels": folder / "names.txt"}


@pytest.mark.parametrize(
    ("write", "dtype"),
    [(as_volumes, "f4"), (as_volumes, "f8"), (as_volumes, "i2"), (as_maps, "f4"), (as_maps, "f8"),
     (as_surface, "f4")],
)  # fmt: skip
def test_brain_images_agree(session, pictures, tmp_path, write, dtype):
    """A unit without a spike is 0 in every map: of a voxel, that means that it was not measured."""
    path, options = write(session, tmp_path, dtype)
    reading = read_recording(path, stimuli=pictures, **options)
    spiking = [k for k, spikes in enumerate(session.spikes) if spikes.size]
    order = [session.shown.index(Path(name).stem) for name in reading.stimulus_ids]
    assert sorted(order) == list(range(len(session.shown)))
    np.testing.assert_array_equal(reading.responses, session.responses[order][..., spiking])
    if write is as_volumes:
        assert reading.stimulus_ids == tuple(session.shown)
        assert reading.neuroid_columns["region"] == [session.regions[k] for k in spiking]
    saved = reading.save(tmp_path / "out").data["responses"].values
    np.testing.assert_array_equal(saved, reading.responses)


def test_a_table_of_spikes_knows_no_silent_unit(session, pictures, tmp_path):
    times, ends = flat(session, session.tick)
    units = np.repeat(session.unit_ids, np.diff(ends, prepend=0))
    table = write_table(
        tmp_path / "spikes.csv", {"unit_id": units.tolist(), "spike_time_s": times.tolist()}
    )
    reading = read_recording(
        table, stimuli=pictures, window=session.window, presentations=trials(session, tmp_path)
    )
    spiking = [k for k, spikes in enumerate(session.spikes) if spikes.size]
    assert reading.neuroid_columns["neuroid_id"] == [str(session.unit_ids[k]) for k in spiking]
    np.testing.assert_array_equal(reading.responses, session.responses[..., spiking])
    assert any("without a single spike" in note for note in reading.notes)


def test_what_was_written_validates_again_elsewhere(session, pictures, tmp_path):
    path, options = as_csv(session, tmp_path)
    saved = (
        read_recording(path, stimuli=pictures, **options)
        .save(tmp_path / "one", citation="Doe 2026", licence="CC0")
        .describe()
    )
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "one").rename(tmp_path / "elsewhere" / "one")
    path.unlink()
    again = from_folder(tmp_path / "elsewhere" / "one")
    described = again.describe()
    assert described == saved
    assert (described["citation"], described["licence"]) == ("Doe 2026", "CC0")
    assert described["title"] == "imported from tidy.csv"
    record = json.loads((tmp_path / "elsewhere" / "one" / "recording.json").read_text())
    assert [source["name"] for source in record["sources"]] == ["tidy.csv"]
    assert "axis: neuroid (4): the column unit_id" in record["reading"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere"]


def test_columns_of_neuroids_do_not_pass_for_columns_of_pictures(session, pictures, tmp_path):
    columns = as_tidy(session)
    n = len(columns["stimulus_id"]) // len(session.unit_ids)
    columns["group"] = ["tetrode 1", "tetrode 1", "tetrode 2", "tetrode 3"] * n
    columns["depth"] = [100, 200, 300, 400] * n
    path = write_table(tmp_path / "tidy.csv", columns)
    recording = read_recording(path, stimuli=pictures).save(tmp_path / "out")
    assert "group" not in recording.data.coords  # of pictures that belong together
    assert recording.data["depth"].dims == ("neuroid",)
    assert recording.data["depth"].values.tolist() == ["100", "200", "300", "400"]


def test_tables_beside_the_file_are_sources_too(session, pictures, tmp_path):
    path, options = as_npz_spikes_in_ms(session, tmp_path)
    read_recording(path, stimuli=pictures, **options).save(tmp_path / "out")
    record = json.loads((tmp_path / "out" / "recording.json").read_text())
    assert [source["name"] for source in record["sources"]] == ["ms.npz", "trials.csv"]
    assert str(tmp_path) not in json.dumps(record)


def test_another_window_is_another_recording(session, pictures, tmp_path):
    path, _ = as_npz_spikes(session, tmp_path)
    hashes = {
        read_recording(path, stimuli=pictures, window=window)
        .save(tmp_path / f"w{k}")
        .describe()["source_hash"]
        for k, window in enumerate(("125,375ms", "125,250ms"))
    }
    assert len(hashes) == 2
