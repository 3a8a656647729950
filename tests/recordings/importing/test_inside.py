"""Pictures that an NWB file holds itself."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from probe.errors import ProbeError
from probe.recordings import load, read_recording

pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed")

ONSETS = [0.0, 1.0, 2.0, 3.0]
NAMES = ["b", "a", "c", "b"]


def pictures(dtype=np.uint8, colours=3):
    """Pictures of which no axis is as long as another."""
    rng = np.random.default_rng(0)
    return {n: rng.integers(0, 256, (5, 7, colours)).astype(dtype) for n in ("a.png", "b", "c.jpg")}


def write(path, *, stored=None, names=NAMES, frames=None, indices=None, order=True):
    from pynwb.base import ImageReferences, Images
    from pynwb.image import GrayscaleImage, ImageSeries, IndexSeries, RGBAImage, RGBImage

    file = pynwb.NWBFile("s", "id", datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    file.add_unit(id=1, spike_times=[0.1, 1.1, 1.2, 2.1, 3.1])
    template = None
    if stored:
        kinds = {2: GrayscaleImage, 3: RGBImage, 4: RGBAImage}
        members = [
            kinds[2 if pixels.ndim == 2 else pixels.shape[2]](name=name, data=pixels)
            for name, pixels in stored.items()
        ]
        references = ImageReferences(name="order_of_images", data=members)
        more = {"order_of_images": references} if order else {}
        template = Images(name="template", images=members, description="d", **more)
        file.add_stimulus_template(template)
    if frames is not None:
        series = ImageSeries(name="film", data=frames, unit="n.a.", format="raw", rate=1.0)
        file.add_stimulus_template(series)
    if indices is not None:
        of = {"indexed_timeseries": series} if template is None else {"indexed_images": template}
        # As read from a file: that of a series is in old ones, and is no longer made.
        shown = IndexSeries.__new__(IndexSeries, in_construct_mode=template is None)
        shown.__init__(
            name="shown", data=np.array(indices, np.uint32), unit="N/A", timestamps=ONSETS, **of
        )
        file.add_stimulus(shown)
    else:
        file.add_trial_column("image_name", "which")
        for onset, name in zip(ONSETS, names, strict=True):
            file.add_trial(onset, onset + 0.5, image_name=name)
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(file)
    return path


@pytest.mark.parametrize("colours", [3, 4])
@pytest.mark.parametrize("axes", ["y,x", "x,y"])
def test_pictures_of_a_column(tmp_path, axes, colours):
    stored = pictures(colours=colours)
    if colours == 4:
        for pixels in stored.values():
            pixels[:, :, 3] = 255
    path = write(tmp_path / "s.nwb", stored=stored)
    reading = read_recording(path, window="0,500ms", picture_axes=axes)
    assert "all found in the file by name" in dict(reading.describe())["pictures"]
    recording = reading.save(tmp_path / "s")
    assert recording.stimuli.ids == ("b.png", "a.png", "c.jpg.png")  # what they are now
    np.testing.assert_array_equal(
        recording.data["responses"].values[:, :, 0], [[1, 1], [2, np.nan], [1, np.nan]]
    )
    again = load(str(tmp_path / "s"))
    for k, name in enumerate(("b", "a.png", "c.jpg")):
        expected = stored[name][:, :, :3]
        expected = expected if axes == "y,x" else expected.swapaxes(0, 1)
        np.testing.assert_array_equal(np.asarray(again.stimuli.image(k)), expected)


def test_greys_by_number(tmp_path):
    stored = {name: pixels[:, :, 0] for name, pixels in pictures().items()}
    path = write(tmp_path / "s.nwb", stored=stored, indices=[2, 0, 1, 2])
    recording = read_recording(path, window="0,500ms", picture_axes="y,x").save(tmp_path / "s")
    assert recording.stimuli.ids == ("c.jpg.png", "a.png", "b.png")
    seen = np.asarray(recording.stimuli.image(0))
    np.testing.assert_array_equal(seen, np.repeat(stored["c.jpg"][:, :, None], 3, axis=2))


def test_frames_of_a_series(tmp_path):
    frames = np.random.default_rng(1).integers(0, 256, (6, 5, 7)).astype(np.uint8)
    path = write(tmp_path / "s.nwb", frames=frames, indices=[5, 0, 2, 5])
    recording = read_recording(path, window="0,500ms", picture_axes="x,y").save(tmp_path / "s")
    assert recording.stimuli.ids == ("film-00005.png", "film-00000.png", "film-00002.png")
    for k, number in enumerate((5, 0, 2)):
        seen = np.asarray(recording.stimuli.image(k))
        np.testing.assert_array_equal(seen[:, :, 0], frames[number].T)


def test_order_of_axes_is_asked_for(tmp_path):
    """pynwb 4.2.0 calls the first axis x, as the schema does; its users store rows first."""
    path = write(tmp_path / "s.nwb", stored=pictures())
    reading = read_recording(path, window="0,500ms")
    assert reading.stimuli is None
    assert any("--picture-axes y,x" in note for note in reading.notes)
    with pytest.raises(ProbeError, match=r"say with --picture-axes how those inside .* lie"):
        reading.save(tmp_path / "s")
    assert not (tmp_path / "s").exists()


REFUSALS = {
    "order without names": (
        {"stored": pictures(), "indices": [0, 1, 2, 0], "order": False},
        {"picture_axes": "y,x"},
        "have no order_of_images",
    ),
    "one is missing": (
        {"stored": pictures(), "names": ["a", "b", "d", "a"]},
        {"picture_axes": "y,x"},
        r"holds pictures, but none called 'd' \(1 of 3\)",
    ),
    "none is inside": ({}, {"picture_axes": "y,x"}, "holds no picture that image_name names"),
    "white is not known": (
        {"stored": pictures(np.float64)},
        {"picture_axes": "y,x"},
        "is of float64, whose black and white are not known",
    ),
    "no order": ({"stored": pictures()}, {"picture_axes": "hw"}, "--picture-axes hw: expected y,x"),
    "two sources": (
        {"stored": pictures()},
        {"picture_axes": "y,x", "stimuli": "images"},
        "leave out --stimuli",
    ),
    "frames that are not there": (
        {"frames": np.zeros((2, 3, 4), np.uint8), "indices": [0, 1, 2, 0]},
        {"picture_axes": "y,x"},
        "with the number 2, and 'film' of 2 frames",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(tmp_path, monkeypatch, case):
    from PIL import Image

    contents, arguments, reason = REFUSALS[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "images" / "a.png")
    path = write(tmp_path / "s.nwb", **contents)
    with pytest.raises(ProbeError, match=reason) as caught:
        read_recording(path, window="0,500ms", **arguments)
    assert "\n" not in str(caught.value)
