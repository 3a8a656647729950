"""Files in the layout of Brain-Score's, as small or as large as a test wants them."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile

import h5py
import numpy as np
from PIL import Image

NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable."


def write_assembly(
    path,
    responses,
    *,
    presentations,
    neuroids,
    bins=((70, 170),),
    dims=("presentation", "neuroid", "time_bin"),
    name="data",
    chunks=None,
    gzip=None,
    group=None,
):
    """Write a netCDF-4 file: responses, and coordinates without an index on their dimensions.

    Texts are of variable length, and empty where a value was None, as xarray writes them.
    """
    lengths = dict(zip(dims, responses.shape, strict=True))
    coords = {c: ("presentation", v) for c, v in presentations.items()}
    coords |= {c: ("neuroid", v) for c, v in neuroids.items()}
    if "time_bin" in lengths and bins is not None:
        coords["time_bin_start"] = ("time_bin", [first for first, _ in bins])
        coords["time_bin_end"] = ("time_bin", [last for _, last in bins])
    with h5py.File(path, "w") as file:
        file.attrs["_NCProperties"] = np.bytes_("version=2,netcdf=4.9.2,hdf5=1.14.3")
        for dim, length in lengths.items():
            file.create_dataset(dim, (length,), ">f4").make_scale(f"{NO_VARIABLE}{length:10d}")
        file.create_dataset(name, data=responses, chunks=chunks, compression=gzip)
        for axis, dim in enumerate(dims):
            file[name].dims[axis].attach_scale(file[dim])
        for coord, (dim, values) in coords.items():
            values = np.asarray(values)
            text = values.dtype.kind in "UO"
            file.create_dataset(
                coord, data=values.astype(object) if text else values,
                dtype=h5py.string_dtype() if text else None,
            )  # fmt: skip
            file[coord].dims[0].attach_scale(file[dim])
        if group is not None:
            file.create_group("extras")[group] = np.zeros((3, 4))
    return path


def write_pictures(folder, ids, *, id_column="stimulus_id", file_column="filename", more=None):
    """Write stimuli.csv and stimuli.zip: random pictures of 16 × 16."""
    rng = np.random.default_rng(5)
    names = [f"{stimulus}.png" for stimulus in ids]
    with zipfile.ZipFile(folder / "stimuli.zip", "w") as archive:
        for name in names:
            content = io.BytesIO()
            values = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(values).save(content, "PNG")
            archive.writestr(name, content.getvalue())
    columns = {id_column: ids, file_column: names, **(more or {})}
    with (folder / "stimuli.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def example(folder, *, seed=0, n_repetitions=3, more_neuroids=None, **layout):
    """Write a whole dataset: 12 pictures, shown some times each, 8 neuroids of two animals.

    Returns
    -------
    numpy.ndarray, shape (12, n_repetitions, 8)
        Responses to each picture in the order of its presentations; pictures in the order in
        which they were shown first.
    list of str
        Their names.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.repeat(np.arange(12), n_repetitions))
    first = list(dict.fromkeys(order.tolist()))
    values = rng.poisson(5.0, (len(order), 8)).astype(float)
    ids = [f"p{k:02d}" for k in range(12)]
    shaped = values[..., None]
    dims = layout.pop("dims", ("presentation", "neuroid", "time_bin"))
    axes = [("presentation", "neuroid", "time_bin").index(dim) for dim in dims]
    shaped = shaped[..., 0] if len(dims) == 2 else shaped
    write_assembly(
        folder / "assembly.nc", shaped.transpose(axes), dims=dims,
        presentations={
            "stimulus_id": [ids[k] for k in order],
            "repetition": [1] * len(order),  # need not be unique
            "object_name": [f"object {k // 4}" for k in order],
        },
        neuroids={
            "neuroid_id": ["0", "1", "2", "3"] * 2,  # numbered in each animal anew
            "region": ["V4", "IT", "IT", "V4"] * 2,
            "animal": ["Ada"] * 4 + ["Bob"] * 4,
            "reliability": np.array([0.9] * 8, np.float32),
            "reliability_window": np.array([0.2, 0.4, 0.5, np.nan] * 2, np.float32),
            **(more_neuroids or {}),
        },
        **layout,
    )  # fmt: skip
    write_pictures(folder, ids, more={"variation": range(12), "object_name": ["x"] * 12})
    return np.stack([values[order == k] for k in first]), [ids[k] for k in first]


MANIFEST = """
title = "Two animals"
homepage = "https://example.org"
loader = "brainscore"

[[publications]]
authors = ["Doe, Jane"]
title = "On V4 & IT"
journal = "Journal"
year = 2026
doi = "10.1234/v4_it"

[licence]
name = "CC0"

[[regions]]
name = "V4"
species = "macaque"

[[regions]]
name = "IT"
species = "macaque"

[responses]
unit = "spikes"
time_unit = "ms"
reliability = "reliability_window"
"""


def write_manifest(path, folder, *, text=MANIFEST, url=None):
    """Write a manifest of the files in a folder; at an address, or to be found in a mirror."""
    for name in ("assembly.nc", "stimuli.csv", "stimuli.zip"):
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        text += f'\n[[files]]\nname = "{name}"\nsha256 = "{digest}"\n'
        text += f'url = "{url}/{name}"\n' if url else ""
    path.write_text(text, encoding="utf-8")
    return path
