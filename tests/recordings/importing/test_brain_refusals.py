"""Malformed and ambiguous brain images: one line that says what would work, nothing written."""

import gzip

import numpy as np
import pytest
from brain_files import AFFINE, SHAPE, mask, nibabel, surface, table, volume
from PIL import Image

from probe.errors import ProbeError
from probe.recordings import read_recording

RNG = np.random.default_rng(0)
MAPS = RNG.normal(size=(*SHAPE, 3))
ONE = MAPS[..., 0]
VERTICES = RNG.normal(size=(3, 10)).astype(np.float32)
NAMES = ["a", "b", "c"]
MOVED = AFFINE + np.pad(np.ones((3, 1)), ((0, 1), (3, 0)))
ATLAS = np.arange(24, dtype=np.int16).reshape(SHAPE) // 6  # 0, 1, 2, 3
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


def raw(name, content):
    def write(folder):
        (folder / name).write_bytes(content)
        return folder / name

    return write


def series(name="b.nii", values=MAPS, **more):
    return lambda folder: volume(folder / name, values, **more)


def maps(*names, values=ONE):
    def write(folder):
        for name in names:
            volume(folder / "betas" / name, values)
        return folder / "betas"

    return write


def surfaces(**by_name):
    """Files of a folder; of double underscores are made hyphens."""

    def write(folder):
        for name, arrays in by_name.items():
            surface(folder / "s" / f"{name.replace('__', '-')}.func.gii", *arrays)
        return folder / "s"

    return write


def several(*writers):
    return lambda folder: [write(folder) for write in writers]


def cut(write, n_bytes):
    def write_cut(folder):
        path = write(folder)
        path.write_bytes(path.read_bytes()[:n_bytes])
        return path

    return write_cut


def link(folder):
    (folder / "b.nii.gz").symlink_to(folder / ".git" / "annex" / "objects" / "x.nii.gz")
    return folder / "b.nii.gz"


def pair(ending):
    def write(folder):
        nibabel.save(nibabel.Nifti1Pair(MAPS, AFFINE), folder / "b.img")
        return folder / f"b.{ending}"

    return write


def analyze(folder):
    nibabel.save(nibabel.AnalyzeImage(ONE.astype(np.float32), np.eye(4)), folder / "b.img")
    return folder / "b.hdr"


def cifti(folder):
    axis = nibabel.cifti2.BrainModelAxis.from_mask(np.ones(10), name="CortexLeft")
    scalars = nibabel.cifti2.ScalarAxis(NAMES)
    image = nibabel.Cifti2Image(VERTICES, (scalars, axis))
    nibabel.save(image, folder / "b.dscalar.nii")
    return folder / "b.dscalar.nii"


def zipped(write):
    def write_zipped(folder):
        path = write(folder)
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        return folder / f"{path.name}.gz"

    return write_zipped


def colours(folder):
    values = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    return volume(folder / "b.nii", values)


def surface_file(name="b.func.gii", arrays=VERTICES, **more):
    return lambda folder: surface(folder / name, *arrays, **more)


def mesh(folder):
    return surface(
        folder / "hemi-L_pial.surf.gii", VERTICES.T, hemisphere="L", intent="NIFTI_INTENT_POINTSET"
    )


def empty_folder_of_masks(folder):
    mask(folder / "m" / "sub-1_desc-brain_mask.nii.gz")
    return folder / "m"


def two_grids(folder):
    volume(folder / "betas" / "contrast-a.nii", ONE)
    volume(folder / "betas" / "contrast-b.nii", ONE, MOVED)
    return folder / "betas"


def one_and_many(folder):
    volume(folder / "betas" / "contrast-a.nii", ONE)
    volume(folder / "betas" / "contrast-b.nii", MAPS)
    return folder / "betas"


def patched(offset, content):
    """Write what nibabel refuses to write."""

    def write(folder):
        path = series()(folder)
        whole = bytearray(path.read_bytes())
        whole[offset : offset + len(content)] = content
        path.write_bytes(whole)
        return path

    return write


def array(folder):
    np.savez(folder / "r.npz", resp=np.ones((2, 3)), stimulus_id=["a", "b"])
    return folder / "r.npz"


def rows(name="t.tsv", /, **columns):
    return lambda folder: table(folder / name, **(columns or {"stimulus_id": NAMES}))


def roi(name="V4.nii.gz", values=None, **more):
    values = np.ones(SHAPE, np.uint8) if values is None else values
    return lambda folder: volume(folder / name, values, **more)


def halves(values, name):
    part = np.zeros(SHAPE, np.uint8)
    part[values] = 1
    return roi(name, part)


def key(**columns):
    return rows("key.tsv", **columns)


E = {"events": rows()}
ALL = {"index": [1, 2, 3], "name": ["V1", "V2", "V4"]}
BOLD = "sub-1_task-x_run-1_bold.nii"

CASES = {
    # files
    "no such file": (lambda folder: folder / "b.nii.gz", E, "does not exist"),
    "0 bytes": (raw("b.nii.gz", b""), E, r"is empty \(0 bytes\)"),
    "0 bytes in a folder": (raw("b.func.gii", b""), {}, r"is empty \(0 bytes\)"),
    "pointer of LFS": (raw("b.nii.gz", LFS), E, "git lfs pull"),
    "pointer of git-annex": (raw("b.nii", b"/annex/objects/MD5E-s9--0.nii\n"), E, "git annex get"),
    "link of git-annex": (link, E, "git annex get"),
    "text": (raw("b.nii", b"not an image"), E, "called .nii but is no such file"),
    "gzip of text": (raw("b.nii.gz", gzip.compress(b"no")), E, "called .nii.gz but is no such"),
    "cut header": (cut(series(), 200), E, "cut or damaged"),
    "cut values": (cut(series(), 500), E, r"3 × 4 × 2 × 3 values, 576 bytes, and the file has 500"),
    "cut by a byte": (cut(series(), 927), E, r"cut or damaged \(Expected 576 bytes, got 575"),
    "an axis of impossible length": (patched(42, b"\xff\x7f"), E, "32767 × 4 × 2 × 3 values"),
    "an axis of negative length": (patched(42, b"\xff\xff"), E, "cut or damaged"),
    "cut gzip": (cut(series("b.nii.gz"), 700), E, "cut or damaged"),
    "cut GIfTI": (cut(surface_file("hemi-L.func.gii"), 900), E, "cut or damaged"),
    "image of a pair": (pair("img"), E, "is half of a pair of .hdr and .img: save it as one file"),
    "header of a pair": (pair("hdr"), E, "is the header of a pair of .hdr and .img"),
    "Analyze": (analyze, E, "is the header of a pair .* look that left is left"),
    "FreeSurfer": (raw("lh.mgz", b"\x1f\x8b"), E, "mri_convert"),
    "CIFTI": (cifti, E, "is a CIFTI file, .*wb_command -cifti-separate"),
    "GIfTI in gzip": (zipped(surface_file("hemi-L.gii")), E, "unpack it first"),
    "another ending": (
        lambda folder: series()(folder).rename(folder / "b.dat"), {},
        "call it .nii, .nii.gz or .gii",
    ),
    "colours": (colours, E, "holds colours, not one number per voxel"),
    "complex": (series(values=MAPS + 1j), E, "values of type complex128"),
    "five axes": (series(values=np.ones((*SHAPE, 2, 3))), E, "lengths 3 × 4 × 2 × 2 × 3"),
    "two axes": (series(values=np.ones((3, 4))), E, "expected x, y, z and one of volumes"),
    "an affine of zeros": (patched(280, bytes(16)), E, "places no voxels"),
    "a mesh": (mesh, E, "holds the mesh of a surface"),
    "arrays of two lengths": (
        surface_file("hemi-L.gii", [VERTICES[0], VERTICES[1, :4]]), E, "arrays of several lengths"
    ),
    # which images
    "a folder of masks": (empty_folder_of_masks, {}, "has no maps: its images are 1? ?mask"),
    "volumes and surfaces": (
        several(series(), surface_file("hemi-L.func.gii")), E, "is GIfTI, and 'b.nii' NIfTI"
    ),
    "an image and an array": (several(series(), array), E, "is not a brain image, and .* is: read"),
    "two people": (
        maps("sub-1_contrast-a.nii", "sub-2_contrast-a.nii"), {}, r"differ in sub \(1 and 2\)"
    ),
    "two spaces": (
        maps("space-T1w_contrast-a.nii", "space-MNI_contrast-b.nii"), {}, r"differ in space \("
    ),
    "with a space and without": (
        maps("space-T1w_contrast-a.nii", "contrast-b.nii"), {}, r"none.*differ|differ in space"
    ),
    "two resolutions": (
        maps("res-1_contrast-a.nii", "res-2_contrast-b.nii"), {}, r"differ in res \(1 and 2\)"
    ),
    "two grids": (two_grids, {}, "images of one recording share a grid"),
    "one map and many": (one_and_many, {}, "name images of one map each, or of many each"),
    "named twice": (several(series(), series()), E, "is named twice"),
    "two statistics": (
        maps("contrast-a_stat-t_statmap.nii", "contrast-a_stat-effect_statmap.nii"), {},
        "may be 'effect', 't': name one with --variable|may be 't', 'effect'",
    ),
    "p-values": (
        maps("contrast-a_stat-p_statmap.nii"), {}, "has p-values only .* are not responses"
    ),
    "a statistic that is not there": (
        maps("contrast-a_stat-t_statmap.nii"), {"variable": "z"}, "no maps of stat-z .* are 't'"
    ),
    # which picture
    "no events": (series(), {}, "does not say which picture each of its 3 maps belongs to"),
    "no events, bold": (series(BOLD), {}, "estimate one map per presentation first, by a GLM"),
    "events of a time series": (
        series(), {"events": rows(onset=[0, 9], duration=[1, 1], trial_type=["a", "b"])},
        "has 3 volumes, and .* 2 rows: with onset and duration, .* by a GLM",
    ),
    "as many events as volumes, bold": (
        series(BOLD), {
            "events": rows(onset=[0, 9, 20], duration=[1, 1, 1], stim_file=NAMES),
        }, r"is a time series \(bold\), and .* not what each volume shows: .*GLM",
    ),
    "too few rows": (
        series(), {"events": rows(stimulus_id=["a", "b"])}, "2 rows: expected one row per volume"
    ),
    "no rows": (series(), {"events": raw("t.tsv", b"stimulus_id\n")}, "has no rows"),
    "no column of pictures": (series(), {"events": rows(trial_type=NAMES)}, "with --labels"),
    "two columns of pictures": (
        series(), {"events": rows(stim_file=NAMES, stimulus_id=NAMES)}, "name one with --labels"
    ),
    "no such column": (
        series(), {**E, "labels": "stimulus"}, "did you mean 'stimulus_id'"
    ),
    "no picture at all": (
        series(), {"events": rows(stimulus_id=["n/a"] * 3)}, "names no picture"
    ),
    "two tables for one image": (
        series(), {"events": several(rows(), rows("u.tsv"))}, "name one table for each image"
    ),
    "one table for two images": (
        several(series("run-1_b.nii"), series("run-2_b.nii")), E, "name one table for each image"
    ),
    "tables in the order of a shell": (
        several(*(series(f"session{k}.nii") for k in (1, 10, 2))),
        {"events": several(*(rows(f"t{k}.tsv") for k in "abc"))},
        "whether .*session10.nii' comes before .*session2.nii' depends",
    ),
    "a table of another run": (
        series("run-1_b.nii"), {"events": rows("run-02_events.tsv")}, "is of run-2, and the image"
    ),
    "a list of other length": (
        series(), {"labels": raw("names.txt", b"a\nb\n")}, "3 maps in 1 image, .* 2 names"
    ),
    "a list and a table": (
        series(), {**E, "labels": raw("names.txt", b"a\nb\nc\n")}, "may both name maps"
    ),
    "a list for images of one map": (
        maps("contrast-a.nii"), {"labels": "stimulus_id"}, "--labels stimulus_id is a column of it"
    ),
    "names that tell nothing": (
        maps("beta_0001.nii", "beta_0002.nii"), {}, "do not say which picture .* --events"
    ),
    "one contrast twice": (
        maps("run-1_contrast-a_b.nii", "run-01_contrast-a_b.nii"), {}, "one picture and one run"
    ),
    "two pictures, one contrast": (
        maps("contrast-img11_stat-effect_statmap.nii"), {"stimuli": ["img_1_1", "img_11"]},
        r"contrast-img11 may mean 'img_11.png' or 'img_1_1.png'|may mean 'img_1_1.png' or",
    ),
    "a contrast that is no picture": (
        maps("contrast-aMinusB_b.nii"), {"stimuli": ["a"]}, "no picture in .* is called 'aMinusB'"
    ),
    "a table of another number of images": (
        maps("b_1.nii", "b_2.nii"), E, "has 2 images of one map, and .* 3 rows"
    ),
    "an image that is not there": (
        maps("b_1.nii", "b_2.nii"),
        {"events": rows(file=["b_1.nii", "b_3.nii"], stimulus_id=["a", "b"])},
        "names 'b_3.nii', which is not among the 2 images",
    ),
    "an image twice": (
        maps("b_1.nii", "b_2.nii"),
        {"events": rows(file=["b_1.nii", "b_1.nii"], stimulus_id=["a", "b"])},
        "has two rows of 'b_1.nii'",
    ),
    "an image without row": (
        maps("b_1.nii", "b_2.nii"), {"events": rows(file=["b_1.nii"], stimulus_id=["a"])},
        r"has no row of 'b_2.nii' \(1 such",
    ),
    "two tables of images": (
        maps("b_1.nii"), {"events": several(rows(), rows("u.tsv"))}, "name one table with --events"
    ),
    # surfaces
    "of no hemisphere": (surface_file(), E, "neither its name .* says which hemisphere"),
    "of two hemispheres": (
        surface_file("hemi-L.func.gii", hemisphere="R"), E, "called hemi-L, and says inside .* R"
    ),
    "a picture on one side": (
        surfaces(
            hemi__L_contrast__a=VERTICES[:1], hemi__L_contrast__b=VERTICES[1:2],
            hemi__R_contrast__a=VERTICES[:1],
        ), {}, "b exists for one hemisphere only",
    ),
    "other runs on one side": (
        surfaces(hemi__L_x=VERTICES, hemi__R_x=VERTICES[:2]), E, "not of the same runs"
    ),
    "two meshes": (
        surfaces(hemi__L_contrast__a=VERTICES[:1], hemi__L_contrast__b=VERTICES[1:2, :7]), {},
        "hemisphere L have .* vertices: they belong to different meshes",
    ),
    "maps on both sides and a table": (
        surfaces(hemi__L_a=VERTICES[:1], hemi__R_a=VERTICES[:1]), E, "of both hemispheres: import"
    ),
    "a mask of no hemisphere": (
        surfaces(hemi__L_x=VERTICES, hemi__R_x=VERTICES),
        {**E, "mask": surface_file("roi.shape.gii", VERTICES[:1])}, "says which hemisphere",
    ),
    "a mask of one hemisphere": (
        surfaces(hemi__L_x=VERTICES, hemi__R_x=VERTICES),
        {**E, "mask": surface_file("hemi-L_roi.shape.gii", [np.ones(10, np.float32)])},
        "no mask covers hemisphere R",
    ),
    "a mask of another mesh": (
        surface_file("hemi-L.func.gii"),
        {**E, "mask": surface_file("hemi-L_roi.shape.gii", [np.ones(9, np.float32)])},
        "has 9 vertices, and 'hemi-L.func.gii' 10",
    ),
    "a mask of the other hemisphere": (
        surface_file("x.func.gii", hemisphere="L"),
        {**E, "mask": surface_file("y.gii", [np.ones(10, np.float32)], hemisphere="R")},
        "is of hemisphere R, and 'x.func.gii' of L",
    ),
    "a volume for a surface": (
        surface_file("hemi-L.func.gii"), {**E, "mask": roi()},
        "is an image of a volume, and .* one of a surface",
    ),
    # masks and atlases
    "a mask of other lengths": (
        series(), {**E, "mask": roi(values=np.ones((3, 4, 5), np.uint8))}, "not resampled here"
    ),
    "a mask elsewhere": (series(), {**E, "mask": roi(affine=MOVED)}, "in other places"),
    "no such mask": (series(), {**E, "mask": lambda f: f / "x.nii"}, "does not exist"),
    "a mask that is a table": (
        series(), {**E, "mask": rows("m.csv", a=[1])}, "is a table file: expected NIfTI or GIfTI"
    ),
    "probabilities": (series(), {**E, "mask": roi(values=np.full(SHAPE, 0.4))}, "holds fractions"),
    "NaN in a mask": (
        series(), {**E, "mask": roi(values=np.where(ATLAS, 1.0, np.nan))}, "NaN or infinite"
    ),
    "a mask of nothing": (
        series(), {**E, "mask": roi(values=np.zeros(SHAPE, np.uint8))}, "is nowhere above 0"
    ),
    "a mask of many volumes": (
        series(), {**E, "mask": roi(values=np.ones((*SHAPE, 2), np.uint8))}, "has 2 volumes"
    ),
    "masks that overlap": (
        series(), {**E, "mask": several(halves(np.s_[:2], "V1.nii"), halves(np.s_[1:], "V2.nii"))},
        "'V1' and 'V2' share 8 voxels",
    ),
    "masks of one name": (
        series(),
        {**E, "mask": several(halves(np.s_[:1], "V1.nii"), halves(np.s_[2:], "V1.nii.gz"))},
        "two of them have the same name",
    ),
    "an atlas and a mask": (
        series(), {**E, "mask": several(roi("a.nii", ATLAS), roi())}, "name the atlas alone"
    ),
    "one name for two masks": (
        series(), {
            **E, "region": "V4",
            "mask": several(halves(np.s_[:1], "V1.nii"), halves(np.s_[2:], "V2.nii")),
        }, "--region V4 with 2 masks",
    ),
    "a value without name": (
        series(), {**E, "mask": roi("a.nii", ATLAS), "key": key(index=[1, 2], name=["V1", "V2"])},
        "6 voxels of value 3, which 'key.tsv' does not name",
    ),
    "a value twice": (
        series(), {**E, "mask": roi("a.nii", ATLAS), "key": key(index=[1, 1], name=["V1", "V2"])},
        "names the value 1 twice",
    ),
    "no value": (
        series(), {**E, "mask": roi("a.nii", ATLAS), "key": key(index=["V1"], name=["1"])},
        "'V1' is not a value of an atlas",
    ),
    "a fraction for a value": (
        series(), {**E, "mask": roi("a.nii", ATLAS), "key": key(index=["1.5"], name=["V1"])},
        "'1.5' is not a value of an atlas, which is a whole number",
    ),
    "a key of uneven rows": (
        series(),
        {**E, "mask": roi("a.nii", ATLAS), "key": raw("k.tsv", b"index\tname\n1\n")},
        "1 cells for 2 columns in row 1",
    ),
    "a key in Latin-1": (
        series(), {**E, "mask": roi("a.nii", ATLAS), "key": raw("k.txt", b"1 V\xe9\n")},
        "not text in UTF-8",
    ),
    "two keys": (
        series(), {
            **E, "mask": lambda f: [
                key(**ALL)(f).rename(f / "desc-x_dseg.tsv"), key(**ALL)(f).rename(f / "dseg.tsv"),
                roi("space-X_desc-x_dseg.nii", ATLAS)(f),
            ][-1],
        }, "its key may be 'desc-x_dseg.tsv' or 'dseg.tsv': name one with --key",
    ),
    "other columns": (
        series(), {**E, "mask": roi("a.nii", ATLAS), "key": key(number=[1], area=["1"])},
        "has the columns number, area: expected index",
    ),
    "an empty key": (
        series(), {**E, "mask": roi("a.nii", ATLAS), "key": raw("k.txt", b"# nothing\n")},
        "names no values",
    ),
    "a key of other lines": (
        series(), {**E, "mask": roi("a.nii", ATLAS), "key": raw("k.txt", b"1 V1\n\n2\n")},
        "line 3: expected a value and a name",
    ),
    "no such key": (
        series(), {**E, "mask": roi("a.nii", ATLAS), "key": lambda f: f / "k.txt"}, "cannot be read"
    ),
    "no such region": (
        series(), {**E, "mask": roi("a.nii", ATLAS), "key": key(**ALL), "region": "V3"},
        "has no region 'V3'; known: V1, V2, V4",
    ),
    "a region without voxels": (
        series(), {
            **E, "mask": roi("a.nii", ATLAS), "region": "IT",
            "key": key(index=[1, 2, 3, 9], name=["V1", "V2", "V4", "IT"]),
        }, "has no voxel of 'IT', which only its key names",
    ),
    "a key without an atlas": (series(), {**E, "key": key(**ALL)}, "name the atlas with --mask"),
    "a mask of an array": (array, {"mask": roi()}, "is not a brain image: leave out --mask"),
    "events of an array": (array, {"events": rows()}, "is not a brain image: leave out --events"),
    # values
    "nothing measured": (series(values=MAPS * 0), E, "all 24 voxels are 0 or NaN in all maps"),
    "infinite": (series(values=np.where(MAPS > 1, np.inf, MAPS)), E, "infinite responses"),
    "axes": (series(), {**E, "axes": "voxel,trial"}, "whose axes are known: leave out --axes"),
    "window": (series(), {**E, "window": "0,100ms"}, "leave out --window"),
    "no column to average by": (
        series(), {"events": rows(stimulus_id=NAMES, run=[1, 1, 2]), "average": "runs"},
        r"no column 'runs' \(--average\); did you mean 'run'",
    ),
    "an average of unknown runs": (
        series(), {"events": rows(stimulus_id=NAMES, run=[1, "n/a", 2]), "average": "run"},
        "a presentation of 'b' has no run",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_line_and_nothing_written(case, tmp_path):
    write, options, reason = CASES[case]
    (tmp_path / "beside").mkdir()
    path = write(tmp_path)
    options = {
        name: option(tmp_path / "beside") if callable(option) else option
        for name, option in options.items()
    }
    if names := options.get("stimuli"):
        options["stimuli"] = tmp_path / "pictures"
        options["stimuli"].mkdir()
        for k, name in enumerate(names):
            Image.new("RGB", (8, 8), (k, 0, 0)).save(options["stimuli"] / f"{name}.png")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ProbeError, match=reason) as raised:
        read_recording(path, **options)
    message = str(raised.value)
    assert "\n" not in message
    assert len(message.replace(str(tmp_path), "")) < 500
    assert sorted(tmp_path.rglob("*")) == before


def test_there_are_enough():
    assert len(CASES) >= 80


def test_without_nibabel(tmp_path, monkeypatch):
    path = series()(tmp_path)
    events = rows()(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "nibabel", None)
    with pytest.raises(ProbeError, match=r"the extra 'fmri' \(pip install 'cnn-probe\[fmri\]'\)"):
        read_recording(path, events=events)
