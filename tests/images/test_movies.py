"""Films and animations: frames that are written are read again, as near as their kind allows."""

import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from probe import images
from probe.errors import ProbeError
from probe.images import colour, movies, read_movie, write_frames

ABOUT = {"seed": 3, "words": "größer"}
KINDS = images.ANIMATED


def clip(n_frames, height=48, width=64):
    """A disc that moves over a ramp."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    for k in range(n_frames):
        ramp = np.stack([0.2 + 0.6 * x, 0.2 + 0.6 * y, 0.7 - 0.5 * x], -1)
        disc = (x - 0.2 - 0.05 * k) ** 2 + (y - 0.4) ** 2 < 0.02
        ramp[disc] = 0.9, 0.3, 0.2
        yield np.round(255 * ramp).astype(np.uint8)


def tone(path, seconds, rate=8000):
    """A film with a tone."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        sound = out.add_stream("aac", rate=rate)
        for _ in range(10 * seconds):
            out.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        out.mux(video.encode(None))
        wave = np.sin(np.arange(rate * seconds) * 0.3).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
        frame.sample_rate = rate
        out.mux(sound.encode(frame))
        out.mux(sound.encode(None))


@pytest.mark.parametrize(
    ("kind", "tolerance", "cast"),
    [(".gif", 3.0, 1.5), (".webp", 4.0, 1.0), (".mp4", 4.0, 0.8)],
    ids=KINDS,
)
@pytest.mark.parametrize("size", [(48, 64), (33, 41)], ids=["even", "odd"])
def test_frames_come_back(tmp_path, kind, tolerance, cast, size):
    frames = list(clip(6, *size))
    path = tmp_path / f"x{kind}"
    assert write_frames(path, kind, iter(frames), 12.5, ABOUT) == 6
    found = read_movie(path)
    height, width = size
    if kind == ".mp4":
        height, width = height + height % 2, width + width % 2
    assert (found.size, found.n_frames, found.has_sound) == ((width, height), 6, False)
    assert found.fps == pytest.approx(12.5)
    for _ in range(2):  # again from the first
        got = list(found)
        assert len(got) == 6
        for one, frame in zip(got, frames, strict=True):
            assert (one.dtype, one.shape) == (np.uint8, (height, width, 3))
            inside = one[: size[0], : size[1]].astype(int)
            assert np.abs(inside - frame).mean() < tolerance
            assert abs((inside - frame).mean((0, 1))).max() < cast
            assert np.abs(one.astype(int)[-1, : size[1]] - frame[-1]).mean() < 8  # the last line
    assert images.about(path) == ABOUT


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_frames_give_the_same_bytes(tmp_path, kind):
    contents = []
    for name, frames in (("a", clip(5)), ("b", [f / np.float32(255) for f in clip(5)])):
        write_frames(tmp_path / name, kind, frames, 24, ABOUT)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]


def test_the_same_frames_give_the_same_bytes_whatever_lay_in_memory(tmp_path):
    code = (
        "import sys, pathlib, numpy as np; from probe import images\n"
        "rng = np.random.default_rng(0)\n"
        "frames = rng.integers(0, 128, (12, 20, 20, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)\n"
        "images.write_frames(pathlib.Path(sys.argv[1]), '.mp4', frames, 24, {})"
    )
    contents = set()
    for byte in ("1", "170"):  # with which the C library fills what it hands out
        path = tmp_path / f"{byte}.mp4"
        subprocess.run(
            [sys.executable, "-c", code, path], check=True, env={"MALLOC_PERTURB_": byte}
        )
        contents.add(path.read_bytes())
    assert len(contents) == 1


@pytest.mark.parametrize("kind", [".webp", ".mp4"])
def test_quality(tmp_path, kind):
    rng = np.random.default_rng(0)
    frames = [np.clip(f + rng.normal(0, 12, f.shape), 0, 255).astype(np.uint8) for f in clip(4)]
    sizes, errors = [], []
    for quality in (20, 60, 100):
        write_frames(tmp_path / "x", kind, frames, 24, {}, quality=quality)
        (tmp_path / "x").replace(tmp_path / f"x{kind}")
        got = np.stack(list(read_movie(tmp_path / f"x{kind}"))).astype(int)
        errors.append(np.abs(got - np.stack(frames)).mean())
        sizes.append((tmp_path / f"x{kind}").stat().st_size)
    assert sizes[0] < sizes[1] < sizes[2]
    assert errors[0] > errors[1] > errors[2]
    if kind == ".webp":
        assert errors[2] == 0


@pytest.mark.parametrize("kind", [".gif", ".webp"])
@pytest.mark.parametrize("fps", [30, 24, 29.97, 0.5, 50])
def test_durations_add_up(tmp_path, kind, fps):
    path = tmp_path / f"x{kind}"
    write_frames(path, kind, clip(9), fps, {})
    unit = 10 if kind == ".gif" else 1
    with Image.open(path) as opened:
        lasting = []
        for k in range(9):
            opened.seek(k)
            opened.load()
            lasting.append(opened.info["duration"])
        assert opened.info["loop"] == 0
    ends = np.cumsum(lasting)
    assert np.abs(ends - 1000 * np.arange(1, 10) / fps).max() <= unit / 2 + 0.02
    assert read_movie(path).fps == pytest.approx(fps, rel=0.03)


@pytest.mark.parametrize("fps", [30, 24, 29.97, Fraction(24000, 1001), 0.5, 60])
def test_rates_of_films(tmp_path, fps):
    path = tmp_path / "x.mp4"
    write_frames(path, ".mp4", clip(4, 16, 16), float(fps), {})
    assert read_movie(path).fps == pytest.approx(float(fps), rel=1e-5)


def test_a_gif_has_one_palette_and_what_stands_still_does_not_flicker(tmp_path):
    frames = list(clip(8))
    write_frames(tmp_path / "x.gif", ".gif", iter(frames), 10, {})
    got = np.stack(list(read_movie(tmp_path / "x.gif"))).astype(int)
    still = (np.stack(frames) == frames[0]).all((0, 3))
    assert still.mean() > 0.5
    assert (got[:, still] == got[0, still]).all()
    colours = {tuple(c) for c in got.reshape(-1, 3)}
    assert 100 < len(colours) <= 256
    # Over places the pattern evens out: as many colours as there were.
    blocks = [a.reshape(6, 8, 8, 8, 3).mean((1, 3)) for a in (got[0], frames[0])]
    assert np.abs(blocks[0] - blocks[1]).mean() < 1.5


def test_a_gif_of_many_frames_takes_its_colours_from_all_of_them(tmp_path):
    frames = (np.full((10, 12, 3), (k, 255 - k, 128), np.uint8) for k in range(0, 250, 5))
    assert write_frames(tmp_path / "x.gif", ".gif", frames, 25, {}) == 50
    for k, got in enumerate(read_movie(tmp_path / "x.gif")):
        assert np.abs(got.mean((0, 1)) - (5 * k, 255 - 5 * k, 128)).max() < 4


def test_colours_of_a_film_are_tagged_and_right(tmp_path):
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0],
                        [128, 128, 128], [200, 100, 50], [40, 90, 200]], np.uint8)  # fmt: skip
    frame = colours[None].repeat(32, 0).repeat(32, 1)
    write_frames(tmp_path / "x.mp4", ".mp4", [frame] * 2, 24, {}, quality=100)
    with av.open(str(tmp_path / "x.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.color_range, context.colorspace) == (1, 1)  # limited, BT.709
        assert (context.color_primaries, context.color_trc) == (1, 1)
        assert context.pix_fmt == "yuv420p"
        y, u, v = (
            np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[8].astype(int)
            for plane in next(container.decode(video=0)).planes
        )
    # BT.709: red, in the limited range.
    np.testing.assert_allclose([y[16], u[8], v[8]], [63, 102, 240], atol=1)
    got = next(iter(read_movie(tmp_path / "x.mp4")))
    np.testing.assert_allclose(got[16, 16::32], colours, atol=3)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_film_that_says_how_it_was_held_is_upright(tmp_path, turn):
    write_frames(tmp_path / "x.mp4", ".mp4", clip(3), 10, {})
    content = bytearray((tmp_path / "x.mp4").read_bytes())
    # The matrix of the track (ISO/IEC 14496-12, 8.3): the first 1 that stands in it, in 16.16.
    at = content.index(b"tkhd") + 4 + 40
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[turn]
    matrix = [cos, sin, 0, -sin, cos, 0, 0, 0]
    content[at : at + 32] = b"".join((65536 * n).to_bytes(4, "big", signed=True) for n in matrix)
    (tmp_path / "t.mp4").write_bytes(content)
    found = read_movie(tmp_path / "t.mp4")
    assert found.size == ((64, 48) if turn == 180 else (48, 64))
    for got, frame in zip(found, clip(3), strict=True):
        upright = np.rot90(frame, -turn // 90)  # clockwise
        assert got.shape == upright.shape
        assert np.abs(got.astype(int) - upright).mean() < 4


@pytest.mark.parametrize("kind", [".webm", ".mkv", ".mov"])
def test_other_films_are_read(tmp_path, kind):
    path = tmp_path / f"x{kind}"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libvpx-vp9" if kind == ".webm" else "libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in clip(5):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))
    found = read_movie(path)
    assert (found.fps, found.size, found.n_frames) == (25, (64, 48), 5)
    assert np.abs(np.stack(list(found)).astype(int) - np.stack(list(clip(5)))).mean() < 8


def test_an_animation_of_frames_that_last_differently(tmp_path):
    frames = [Image.fromarray(f) for f in clip(3)]
    frames[0].save(
        tmp_path / "x.png", save_all=True, append_images=frames[1:], duration=[100, 200, 300]
    )
    found = read_movie(tmp_path / "x.png")
    assert (found.fps, found.n_frames) == (pytest.approx(10), 6)
    expected = np.stack(list(clip(3)))[[0, 1, 1, 2, 2, 2]]
    np.testing.assert_array_equal(np.stack(list(found)), expected)


@pytest.mark.parametrize("kind", ["gif", "webp", "png"])
def test_frames_of_animations_are_shown_when_they_say(tmp_path, kind):
    frames = [Image.fromarray(f) for f in clip(4)]
    path = tmp_path / f"x.{kind}"
    lasting = [100, 250, 70, 330]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=lasting, lossless=True)
    movie = read_movie(path)
    times = [round(1000 * float(t), 6) for t in movie.times]
    assert set(np.cumsum([0, *lasting])) <= set(times)
    assert (times[0], times[-1], len(times) - 1) == (0, 750, movie.n_frames)
    write_frames(tmp_path / "out", ".mp4", movie, movie, {})
    with av.open(str(tmp_path / "out")) as container:
        got = [1000 * float(f.pts * f.time_base) for f in container.decode(video=0)]
    np.testing.assert_allclose(got, times[:-1], atol=0.1)


@pytest.mark.parametrize("kind", ["webp", "png"])
def test_an_animation_with_a_profile_is_converted(tmp_path, kind):
    p3 = colour.Numbers(12, 13).profile
    values = [colour.from_srgb(f / np.float32(255), p3) for f in clip(2)]
    frames = [Image.fromarray(np.rint(255 * v).astype(np.uint8)) for v in values]
    path = tmp_path / f"x.{kind}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, lossless=True,
                   icc_profile=p3.content)  # fmt: skip
    movie = read_movie(path)
    assert movie.notes == ("its colours were converted to sRGB, by its colour profile",)
    for got, frame in zip(movie, clip(2), strict=True):
        assert np.abs(got.astype(int) - frame).max() <= 3


@pytest.mark.parametrize("kind", KINDS)
def test_frames_that_are_equal_are_all_there(tmp_path, kind):
    one, other = clip(2)
    path = tmp_path / f"x{kind}"
    write_frames(path, kind, [one, one, one, other, one, one], 10, {}, quality=100)
    found = read_movie(path)
    got = np.stack(list(found)).astype(int)
    assert (found.fps, found.n_frames, len(got)) == (pytest.approx(10), 6, 6)
    nearer = np.abs(got - one).mean((1, 2, 3)) < np.abs(got - other).mean((1, 2, 3))
    np.testing.assert_array_equal(nearer, [True, True, True, False, True, True])


def test_sound_is_taken_over_as_long_as_there_are_frames(tmp_path):
    tone(tmp_path / "tone.mp4", 4)
    source = tmp_path / "tone.mp4"
    assert read_movie(source).has_sound
    write_frames(tmp_path / "x.mp4", ".mp4", clip(20), read_movie(source), {})
    assert read_movie(tmp_path / "x.mp4").has_sound

    def packets(path):
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            return [bytes(p) for p in container.demux(stream) if p.size]

    before, after = packets(source), packets(tmp_path / "x.mp4")
    assert before[: len(after)] == after
    assert 0.45 < len(after) / len(before) < 0.6  # 2 of 4 seconds
    write_frames(tmp_path / "y.mp4", ".mp4", clip(3), read_movie(tmp_path / "x.mp4"), {})
    write_frames(tmp_path / "silent.mp4", ".mp4", clip(3), 10, {})
    write_frames(tmp_path / "z.mp4", ".mp4", clip(3), read_movie(tmp_path / "silent.mp4"), {})
    assert not read_movie(tmp_path / "z.mp4").has_sound


@pytest.mark.parametrize("kind", [".webp", ".mp4"])
def test_frames_are_written_as_they_come(tmp_path, kind):
    """A film is not held in memory: no more than a few frames are alive at a time."""
    import weakref

    alive, most = weakref.WeakSet(), 0

    class Frame(np.ndarray):
        __hash__ = object.__hash__

    def frames():
        nonlocal most
        for frame in clip(40, 16, 16):
            own = frame.view(Frame)
            alive.add(own)
            most = max(most, len(alive))
            yield own

    write_frames(tmp_path / "x", kind, frames(), 10, {})
    assert most < 6


@pytest.mark.parametrize(
    ("kind", "frames", "options", "says"),
    [
        (".gif", [], {}, "a film needs at least one frame"),
        (".mp4", [], {}, "a film needs at least one frame"),
        (".webp", [np.zeros((4, 5), np.uint8)], {}, r"frame 0 has shape \(4, 5\)"),
        (".gif", [np.zeros((4, 5, 4), np.uint8)], {}, "frame 0 has shape"),
        (".gif", [np.zeros((4, 0, 3), np.uint8)], {}, "frame 0 has shape"),
        (".gif", [np.zeros((4, 5, 3), int)], {}, "frame 0 is of int64: expected uint8 or float"),
        (".gif", [np.full((4, 5, 3), np.nan)], {}, "frame 0 has values outside of 0 to 1"),
        (".mp4", [np.zeros((4, 5, 3)), np.full((4, 5, 3), 255.0)], {}, "frame 1 has values"),
        (".webp", [np.zeros((4, 5, 3)), np.zeros((4, 6, 3))], {}, "frame 1 has shape .* first one"),
        (".gif", clip(2), {"fps": 60}, "cannot hold 60 frames a second"),
        (".mp4", clip(2), {"fps": 0}, "cannot hold 0 frames a second"),
        (".mp4", clip(2), {"fps": float("nan")}, "cannot hold nan frames a second"),
        (".avi", clip(2), {}, r"has to end in \.gif, \.webp, \.mp4"),
        (".mp4", clip(2), {"quality": 101}, "quality 101: expected a number from 1 to 100"),
        (".webp", [np.zeros((1, 16384, 3))], {}, "cannot hold 16384 × 1 pixels"),
    ],
)
def test_what_cannot_be_written_is_one_line(tmp_path, kind, frames, options, says):
    fps = options.pop("fps", 10)
    with pytest.raises(ProbeError, match=says) as error:
        write_frames(tmp_path / "x", kind, frames, fps, {}, **options)
    assert "\n" not in str(error.value)


def test_more_frames_than_the_film_has_are_refused(tmp_path):
    tone(tmp_path / "tone.mp4", 1)
    movie = read_movie(tmp_path / "tone.mp4")
    with pytest.raises(ProbeError, match=r"more frames than .*tone\.mp4' has: 10"):
        write_frames(tmp_path / "x", ".mp4", clip(11), movie, {})


def test_a_film_that_is_gone_takes_its_sound_along(tmp_path):
    tone(tmp_path / "tone.mp4", 1)
    movie = read_movie(tmp_path / "tone.mp4")
    assert len(movie.times) == 11
    movie.path.unlink()
    with pytest.raises(ProbeError, match=r"the sound of .*tone\.mp4' cannot be taken over"):
        write_frames(tmp_path / "x", ".mp4", clip(2), movie, {})


def gif_of_one_frame(path):
    Image.new("RGB", (4, 4)).save(path)


def sound_alone(path):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("none.mp4", None, "does not exist"),
        ("folder.mp4", lambda path: path.mkdir(), "is a folder: write its pictures to a film"),
        ("empty.mp4", lambda path: path.touch(), "cannot be read"),
        ("text.mp4", lambda path: path.write_text("no film"), "cannot be read"),
        ("text.gif", lambda path: path.write_text("no film"), "cannot be read"),
        ("one.gif", gif_of_one_frame, "it is a single picture, no animation"),
        ("sound.mp4", sound_alone, "it holds no pictures"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, name, make, says):
    if make:
        make(tmp_path / name)
    with pytest.raises(ProbeError, match=says) as error:
        read_movie(tmp_path / name)
    assert "\n" not in str(error.value)
    assert name in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_film_that_is_cut_is_read_as_far_as_it_goes_or_refused(tmp_path, kind):
    path = tmp_path / f"x{kind}"
    write_frames(path, kind, clip(6), 10, {})
    content = path.read_bytes()
    for share in (0.02, 0.3, 0.6, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        try:
            got = list(read_movie(path))
        except ProbeError as error:
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert len(got) <= 6


def test_without_pyav(tmp_path, monkeypatch):
    write_frames(tmp_path / "x.mp4", ".mp4", clip(2), 10, {})
    monkeypatch.setitem(sys.modules, "av", None)
    for use in (
        lambda: read_movie(tmp_path / "x.mp4"),
        lambda: images.check_animation("x.mp4", 10),
        lambda: write_frames(tmp_path / "y.mp4", ".mp4", clip(2), 10, {}),
    ):
        with pytest.raises(ProbeError, match=r"pip install 'cnn-probe\[video\]'"):
            use()
    assert images.check_animation("x.gif", 10) == ".gif"
    write_frames(tmp_path / "x.gif", ".gif", clip(2), 10, {})
    images.side_car(tmp_path / "x.mp4").write_text(images.as_text(ABOUT))
    assert images.about(tmp_path / "x.mp4") == ABOUT


def test_the_pattern_is_bayers():
    expected = np.array([[0, 32, 8, 40], [48, 16, 56, 24], [12, 44, 4, 36], [60, 28, 52, 20]])
    np.testing.assert_array_equal(movies._BAYER[:4, :4] * 64, expected)
    assert sorted((movies._BAYER * 64).ravel()) == list(range(64))
