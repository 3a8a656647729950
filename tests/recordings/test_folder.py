"""A recording of one's own, in a folder of plain files."""

import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from probe.errors import ProbeError
from probe.recordings import from_folder, load

N_STIMULI, N_REPETITIONS, N_NEUROIDS = 6, 3, 4


@pytest.fixture
def responses():
    return np.random.default_rng(0).poisson(5.0, (N_STIMULI, N_REPETITIONS, N_NEUROIDS))


@pytest.fixture
def lab(tmp_path, responses):
    folder = tmp_path / "mylab"
    (folder / "images").mkdir(parents=True)
    np.save(folder / "responses.npy", responses)
    rng = np.random.default_rng(1)
    for k in range(N_STIMULI):
        picture = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        picture.save(folder / "images" / f"p{k}.png")
    return folder


def test_images_in_the_order_of_their_names(lab, responses):
    (lab / "images" / "notes.txt").write_text("not a picture")
    (lab / "images" / ".hidden.png").write_text("not a picture")
    recording = from_folder(lab)
    assert recording.name == "mylab"
    assert list(recording.data["stimulus_id"].values) == [f"p{k}.png" for k in range(N_STIMULI)]
    np.testing.assert_array_equal(recording.data["responses"].values, responses)
    assert recording.n_repetitions == (N_REPETITIONS, N_REPETITIONS)
    assert recording.subjects == ["1"]
    assert recording.regions == ["mylab"]
    assert recording.describe()["stimulus_order"] == "sorted names of the images"
    assert list(recording.data["neuroid_id"].values) == ["n0001", "n0002", "n0003", "n0004"]
    assert not recording.simulated
    assert re.fullmatch("[0-9a-f]{64}", recording.describe()["source_hash"])


def test_without_repetitions(lab, responses):
    np.save(lab / "responses.npy", responses.mean(axis=1))
    assert from_folder(lab).n_repetitions == (1, 1)


@pytest.mark.parametrize("ending", ["", ".png"])
def test_stimuli_csv_gives_the_order_and_may_leave_pictures_out(lab, responses, ending):
    wanted = [f"p{k}{ending}" for k in (4, 0, 2)]
    np.save(lab / "responses.npy", responses[:3])
    pd.DataFrame({"stimulus_id": wanted}).to_csv(lab / "stimuli.csv", index=False)
    recording = from_folder(lab)
    assert recording.stimuli.ids == ("p4.png", "p0.png", "p2.png")
    with Image.open(lab / "images" / "p4.png") as expected:
        np.testing.assert_array_equal(recording.stimuli.image(0), expected)


def test_neuroids_csv(lab):
    pd.DataFrame(
        {"neuroid_id": list("abcd"), "subject": ["m1", "m1", "m2", "m2"], "region": ["V4"] * 4}
    ).to_csv(lab / "neuroids.csv", index=False)
    recording = load(str(lab))
    assert recording.subjects == ["m1", "m2"]
    assert recording.regions == ["V4"]
    assert load(str(lab), subject="m2").n_neuroids == 2


def test_of_several_regions_one_is_named(lab):
    pd.DataFrame({"neuroid_id": list("abcd"), "region": ["V1", "V1", "V4", "V4"]}).to_csv(
        lab / "neuroids.csv", index=False
    )
    with pytest.raises(ProbeError, match=r"has the regions V1, V4: name one"):
        load(str(lab))
    assert load(str(lab), region="V4").regions == ["V4"]


def test_a_missing_repetition_is_no_fault_a_missing_response_is(lab, responses):
    values = responses.astype(float)
    values[2, 1, 3] = np.nan
    np.save(lab / "responses.npy", values)
    assert from_folder(lab).n_repetitions == (2, 3)
    values[2, :, 3] = np.nan
    np.save(lab / "responses.npy", values)
    with pytest.raises(ProbeError, match=r"neuroid 'n0004' to stimulus 'p2.png'"):
        from_folder(lab)


def break_responses(lab):
    (lab / "responses.npy").write_bytes(b"\x93NUMPY rubbish")


def cut_responses(lab):
    content = (lab / "responses.npy").read_bytes()
    (lab / "responses.npy").write_bytes(content[:-8])


def pickled_responses(lab):
    np.save(lab / "responses.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


def words_for_responses(lab):
    np.save(lab / "responses.npy", np.array([["a"] * N_NEUROIDS] * N_STIMULI))


def infinite_response(lab):
    values = np.ones((N_STIMULI, N_NEUROIDS))
    values[1, 2] = np.inf
    np.save(lab / "responses.npy", values)


def no_images(lab):
    for path in (lab / "images").iterdir():
        path.unlink()


def one_image_more(lab):
    (lab / "images" / "q.png").write_bytes((lab / "images" / "p0.png").read_bytes())


def stimuli_csv(*lines):
    return lambda lab: (lab / "stimuli.csv").write_text("\n".join(lines) + "\n")


def neuroids_csv(*lines):
    return lambda lab: (lab / "neuroids.csv").write_text("\n".join(lines) + "\n")


def two_endings(lab):
    (lab / "images" / "p0.bmp").write_bytes((lab / "images" / "p0.png").read_bytes())
    stimuli_csv("stimulus_id", *(f"p{k}" for k in range(N_STIMULI)))(lab)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda lab: (lab / "responses.npy").unlink(), r"'.*responses.npy' does not exist"),
        (break_responses, r"responses.npy' is not a \.npy file of numbers"),
        (cut_responses, r"responses.npy' is not a \.npy file of numbers"),
        (pickled_responses, r"responses.npy' is not a \.npy file of numbers"),
        (words_for_responses, r"responses.npy' holds <U1 of shape \(6, 4\): expected numbers"),
        (lambda lab: np.save(lab / "responses.npy", np.ones(6)), r"of shape \(6,\): expected"),
        (infinite_response, r"infinite response of neuroid 'n0003' to stimulus 'p1.png'"),
        (no_images, r"images' has no pictures"),
        (one_image_more, r"has 7 images for 6 stimuli in responses.npy"),
        (stimuli_csv("name", *"abcdef"), r"has no column 'stimulus_id'; it has name"),
        (stimuli_csv("stimulus_id", "p0"), r"stimuli.csv' has 1 rows; responses.npy has 6"),
        (stimuli_csv("stimulus_id", "p0", "p1", "p2", "p3", "p4", "q5.png"),
         r"stimulus 'q5.png' not in stimulus set 'mylab'; did you mean 'p5.png'"),
        (stimuli_csv("stimulus_id", "p0", "p1", "p2", "p3", "p4", "p4"),
         r"names stimulus 'p4.png' more than once"),
        (two_endings, r"stimulus 'p0' not in stimulus set 'mylab'; known: p0.bmp, p0.png"),
        (lambda lab: (lab / "stimuli.csv").write_bytes(b""),
         r"stimuli.csv' has no column 'stimulus_id'; it is empty"),
        (lambda lab: (lab / "stimuli.csv").write_bytes(b"\xff\xfe\x00"),
         r"stimuli.csv' is not text in UTF-8"),
        (neuroids_csv("neuroid_id", "a", "b"),
         r"neuroids.csv' has 2 rows; responses.npy has 4 neuroids"),
        (neuroids_csv("neuroid_id", "a", "b", "c", "c"), r"names neuroid 'c' more than once"),
        (neuroids_csv("id", *"abcd"), r"has no column 'neuroid_id'; it has id"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(lab, harm, message):
    harm(lab)
    with pytest.raises(ProbeError, match=message) as error:
        from_folder(lab)
    assert "\n" not in str(error.value)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ProbeError, match=r"folder '.*' does not exist"):
        load(str(tmp_path / "nothing"))


def test_a_folder_is_named_by_a_relative_path_too(lab, monkeypatch):
    monkeypatch.chdir(lab.parent)
    assert load("mylab").name == load("./mylab").name == "mylab"
    monkeypatch.chdir(lab)
    assert load(".").name == "mylab"


def test_the_source_hash_follows_the_responses(lab, responses):
    before = from_folder(lab).describe()["source_hash"]
    np.save(lab / "responses.npy", responses + 1)
    assert from_folder(lab).describe()["source_hash"] != before


def test_other_columns_of_stimuli_csv_are_coordinates(lab):
    rows = [f"p{k},{'xyz'[k // 2]}, {'' if k % 2 else 'A'},{k}" for k in range(6)]
    stimuli_csv("stimulus_id,group,variant,size", *rows)(lab)
    data = from_folder(lab).data
    assert data["group"].dims == data["variant"].dims == ("stimulus",)
    assert list(data["group"].values) == list("xxyyzz")
    assert list(data["variant"].values) == ["A", ""] * 3  # no blank before it
    assert list(data["size"].values) == list("012345")


@pytest.mark.parametrize(
    "name", ["subject", "region", "stimulus", "repetition", "neuroid", "responses", "rdms", ""]
)
def test_columns_that_mean_something_else_are_no_coordinates(lab, name):
    stimuli_csv(f"stimulus_id,{name}", *(f"p{k},v" for k in range(6)))(lab)
    data = from_folder(lab).data
    assert [c for c, v in data.coords.items() if v.dims == ("stimulus",)] == ["stimulus_id"]
    assert set(data["subject"].values) == {"1"}


def test_a_column_that_is_there_twice_is_refused(lab):
    stimuli_csv("stimulus_id,size,size", *(f"p{k},1,2" for k in range(6)))(lab)
    with pytest.raises(ProbeError, match=r"stimuli.csv' has several columns 'size'"):
        from_folder(lab)


def test_a_picture_without_a_group_is_refused(lab):
    """Those without would be one group."""
    stimuli_csv("stimulus_id,group", *(f"p{k},{'x' if k < 3 else ''}" for k in range(6)))(lab)
    with pytest.raises(ProbeError, match=r"stimuli.csv' has no group in row 4, not counting"):
        from_folder(lab)
