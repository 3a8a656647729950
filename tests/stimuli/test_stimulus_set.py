"""Ordered, named images: what identifies a set, and what stays with its stimuli."""

import hashlib
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from probe.errors import ProbeError
from probe.stimuli import StimulusSet, image_set
from probe.stimuli.stimulus_set import in_threads

IDS = ("c", "a", "b")


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{name}.png" for name in IDS]
    for k, path in enumerate(paths):
        Image.new("RGB", (4, 3), (k, 50, 100)).save(path)
    return paths


@pytest.fixture
def table():
    return pd.DataFrame({"category": ["face", "house", "face"], "size": [3, 1, 2]})


def test_content_hashes_are_those_of_the_files_bytes(files):
    wanted = tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    assert StimulusSet(IDS, files, "x").content_hashes == wanted
    assert StimulusSet(IDS, [path.read_bytes() for path in files], "x").content_hashes == wanted


def test_equal_sets_have_equal_hashes_wherever_their_files_lie(files, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.name)
    in_folder, in_zip = image_set(tmp_path), image_set(tmp_path / "all.zip")
    in_memory = StimulusSet(in_folder.ids, [files[k].read_bytes() for k in (1, 2, 0)], "other")
    assert in_folder.hash == in_zip.hash == in_memory.hash
    assert len(in_folder.hash) == 64


def test_names_order_and_content_all_decide_the_hash(files):
    whole = StimulusSet(IDS, files, "x")
    others = [
        StimulusSet(("c", "a", "d"), files, "x"),
        whole.subset([1, 0, 2]),
        whole.subset([0, 1]),
        StimulusSet(IDS, [files[0], files[0], files[2]], "x"),
        StimulusSet(("ca", "", "b"), files, "x"),  # the same letters, cut elsewhere
    ]
    assert len({whole.hash, *(other.hash for other in others)}) == 6


def test_arrays_are_told_apart_by_shape_and_values():
    flat = np.arange(6, dtype=np.uint8)
    arrays = [flat.reshape(2, 3), flat.reshape(3, 2), flat.reshape(2, 3) + np.uint8(1)]
    assert len(set(StimulusSet(IDS, arrays, "x").content_hashes)) == 3
    turned = StimulusSet(["a"], [arrays[1].T], "x")
    assert turned.hash == StimulusSet(["a"], [np.ascontiguousarray(arrays[1].T)], "x").hash


def test_files_are_read_for_the_hash_when_it_is_wanted(files):
    files[1].unlink()
    stimuli = StimulusSet(IDS, files, "x")
    with pytest.raises(ProbeError, match=r"image '.*a\.png' cannot be read \(No such file"):
        _ = stimuli.hash


def test_a_subset_keeps_metadata_hashes_and_what_was_skipped(files, table):
    whole = StimulusSet(IDS, files, "x", metadata=table, skipped=[("d", "the file is empty")])
    assert list(whole.metadata.index) == list(IDS)
    assert list(table.index) == [0, 1, 2]  # the user's own table is left as it is
    hashes = whole.content_hashes
    for path in files:
        path.unlink()
    part = whole.subset(np.array([2, 0]))
    assert part.content_hashes == (hashes[2], hashes[0])
    assert part.metadata.index.name == "stimulus_id"
    assert part.metadata.loc["b"].to_dict() == {"category": "face", "size": 2}
    assert part.skipped == (("d", "the file is empty"),)


def test_a_set_goes_to_another_process(files, table):
    stimuli = StimulusSet(IDS, files, "x", metadata=table)
    copy = pickle.loads(pickle.dumps(stimuli))
    assert (copy.ids, copy.hash) == (stimuli.ids, stimuli.hash)
    pd.testing.assert_frame_equal(copy.metadata, stimuli.metadata)
    assert copy.image(1).getpixel((0, 0)) == (1, 50, 100)


@pytest.mark.parametrize(
    ("ids", "options", "says"),
    [
        (["a", "b"], {}, "has 2 names for 3 pictures"),
        (IDS, {"metadata": pd.DataFrame({"x": [1]})}, "has 3 names for 1 rows of metadata"),
        (IDS, {"content_hashes": ["00"] * 2}, "has 3 names for 2 hashes"),
        (["a", "b", "a"], {}, "names 'a' more than once"),
    ],
)
def test_what_does_not_fit_together(files, ids, options, says):
    with pytest.raises(ProbeError, match=f"stimulus set 'mine' {says}"):
        StimulusSet(ids, files, "mine", **options)


def test_threads_give_results_in_order_and_end_at_an_exception():
    items = list(range(1000))
    assert in_threads(lambda k: k * k, items, desc="x") == [k * k for k in items]
    done = []

    def fails(k):
        if k == 3:
            raise ProbeError("three")
        done.append(k)

    with pytest.raises(ProbeError, match="three"):
        in_threads(fails, items, desc="x")
    assert len(done) < len(items)


@pytest.mark.parametrize(("progress", "shown"), [(True, True), (False, False), (None, False)])
def test_the_progress_bar(capsys, progress, shown):
    in_threads(str, range(10), desc="checking images", progress=progress)
    assert ("checking images" in capsys.readouterr().err) == shown
