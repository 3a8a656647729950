"""Dreams in films: what is added stays with what it lies on."""

from __future__ import annotations

import hashlib
import signal

import numpy as np
import pytest
import torch
from skimage import data

from probe import models
from probe.errors import ProbeError
from probe.images import about, read_movie
from probe.output.pictures import save_animation
from probe.synthesis import frames
from probe.synthesis.dream import dream
from probe.synthesis.film import dream_film, dream_zoom
from probe.synthesis.flow import carried, motion
from probe.targets import Channel

pytest.importorskip("av")
pytest.importorskip("cv2")

OPTIONS = {"layers": "features.7", "steps": 5, "octaves": 2, "strength": 3.0, "progress": False}


@pytest.fixture(autouse=True)
def _own_runs(tmp_path, monkeypatch):
    """What is unfinished in one test is not taken up by the next."""
    monkeypatch.setattr(frames.Unfinished, "__init__", _in(tmp_path, frames.Unfinished.__init__))


def _in(folder, init):
    def changed(self, made_of):
        init(self, made_of)
        self.path = folder / "unfinished" / self.path.name

    return changed


@pytest.fixture(scope="module")
def network():
    return models.load("squeezenet1_1", "random")


@pytest.fixture
def clip(tmp_path):
    """A camera that moves over a photograph: four frames, to the right and down."""
    photograph = data.coffee()
    frames = [photograph[80 + k : 160 + k, 150 + 3 * k : 246 + 3 * k] for k in range(4)]
    return save_animation(tmp_path / "clip.mp4", frames, 12, {}, quality=98)


def test_a_film_is_dreamt(clip, network, tmp_path):
    place = dream_film(clip, tmp_path / "out.mp4", network, **OPTIONS)
    made, given = read_movie(place), read_movie(clip)
    assert (made.n_frames, made.size, made.fps) == (given.n_frames, given.size, given.fps)
    changed = [np.abs(a.astype(int) - b).mean() for a, b in zip(made, given, strict=True)]
    assert min(changed) > 2
    # Frames have as much of a dream as the first, which is dreamt as a picture is.
    assert max(changed) < 2 * changed[0]
    told = about(place)
    assert told["made"] == "dream film"
    assert told["image_sha256"] == hashlib.sha256(clip.read_bytes()).hexdigest()


def test_less_flicker_than_frames_that_are_dreamt_by_themselves(clip, network, tmp_path):
    given = list(read_movie(clip))
    followed = list(
        read_movie(dream_film(clip, tmp_path / "out.mp4", network, quality=98, **OPTIONS))
    )
    # The roll of each is its own, as one who dreams them one by one would have it.
    alone = [
        np.asarray(dream(frame, network, seed=k, **OPTIONS).picture)
        for k, frame in enumerate(given)
    ]

    def flicker(frames):
        total = 0.0
        for k in range(1, len(frames)):
            there = motion(given[k], given[k - 1])
            before, now = (
                torch.from_numpy(frames[i].astype(np.float32) - given[i]).permute(2, 0, 1)
                for i in (k - 1, k)
            )
            total += float((now - carried(before, there))[:, 8:-8, 8:-8].abs().mean())
        return total

    assert flicker(followed) < 0.5 * flicker(alone)


def test_stopped_and_taken_up_again(clip, network, tmp_path, monkeypatch):
    whole = dream_film(clip, tmp_path / "whole.gif", network, **OPTIONS)
    write, written = frames.write, []

    def then_ctrl_c(path, content):
        written.append(path.name)
        write(path, content)
        if len(written) == 2:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(frames, "write", then_ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            dream_film(clip, tmp_path / "parts.gif", network, **OPTIONS)
        assert not (tmp_path / "parts.gif").exists()
        patched.setattr(frames, "write", lambda path, content: [written.append(path.name),
                                                              write(path, content)])  # fmt: skip
        parts = dream_film(clip, tmp_path / "parts.gif", network, **OPTIONS)
    assert written == [f"{k:06d}.png" for k in range(4)]
    assert parts.read_bytes() == whole.read_bytes()
    assert not list((tmp_path / "unfinished").iterdir())


def test_previews_of_a_film(clip, network, tmp_path):
    """Every step of every frame at the octave's size, and every frame when it is done."""
    shown = []
    options = OPTIONS | {"steps": 5, "octaves": 1}
    place = dream_film(
        clip, tmp_path / "out.gif", network, preview=shown.append, preview_every=2, **options
    )
    # Of the first frame steps 2 and 4; later ones have one step.
    assert len(shown) == 2 + 4
    assert {picture.shape for picture in shown} == {(80, 96, 3)}
    assert read_movie(place).n_frames == 4


def test_a_film_of_a_target_object_begins_anew(clip, network, tmp_path, monkeypatch):
    """The record has its name alone, which another may have."""
    options = {k: v for k, v in OPTIONS.items() if k != "layers"} | {
        "target": Channel("features.7", 3)
    }
    kept = []
    monkeypatch.setattr(frames.Unfinished, "keep", lambda *_: kept.append(1))
    dream_film(clip, tmp_path / "out.gif", network, **options | {"steps": 1})
    assert not kept
    assert not list((tmp_path / "unfinished").glob("*"))


def test_a_zoom(network, tmp_path):
    photograph = data.coffee()[100:220, 150:290]
    place = dream_zoom(photograph, tmp_path / "zoom.gif", network, frames=3, zoom=1.1, **OPTIONS)
    frames = [frame.astype(float) for frame in read_movie(place)]
    assert len(frames) == 3
    # The middle stays where it is, and the rest moves away from it.
    there = motion(frames[2].astype(np.uint8), frames[1].astype(np.uint8))
    assert there[0, 20:-20, -30:-20].median() < -2
    assert there[0, 20:-20, 20:30].median() > 2
    assert np.abs(frames[2].mean() - photograph.mean()) < 12
    settings = about(place)["settings"]
    assert (settings["frames"], settings["zoom"]) == (3, 1.1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"frames": 0}, "frames 0: expected a number ≥ 1"),
        ({"zoom": 1.0}, r"zoom 1\.0: expected a number from 1 \(not included\) to 2"),
        ({"fps": 0}, "frames a second"),
        ({"output": "out.txt"}, "has to end in .gif, .webp, .mp4"),
        ({"steps": 0}, "steps"),
    ],
)
def test_says_what_is_wrong(network, tmp_path, change, says):
    output = tmp_path / change.pop("output", "out.gif")
    with pytest.raises(ProbeError, match=says) as raised:
        dream_zoom(data.coffee(), output, network, **(OPTIONS | change))
    assert "\n" not in str(raised.value)
    assert not output.exists()


def test_a_film_that_cannot_be_read(network, tmp_path):
    (tmp_path / "clip.mp4").write_text("no film")
    with pytest.raises(ProbeError, match=r"clip\.mp4"):
        dream_film(tmp_path / "clip.mp4", tmp_path / "out.mp4", network)
    with pytest.raises(ProbeError, match="does not exist"):
        dream_film(tmp_path / "other.mp4", tmp_path / "out.mp4", network)
