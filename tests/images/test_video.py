"""Films are read as players show them: turned, mirrored, in their colours, at their times."""

import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from probe.errors import ProbeError
from probe.images import read_movie, write_frames

SIZE = 64, 48
GREY, RED = (128, 128, 128), (200, 40, 40)

# Weights of red and blue in luma: ITU-R BT.601, BT.709 and BT.2020.
LUMA = {6: (0.299, 0.114), 1: (0.2126, 0.0722), 9: (0.2627, 0.0593)}


def coded(rgb, matrix, full=False, bits=8):
    """Code a colour, from 0 to 1, as luma and colour differences: as BT.709 does."""
    red, blue = LUMA[matrix]
    r, g, b = np.asarray(rgb, float)
    y = red * r + (1 - red - blue) * g + blue * b
    parts = y, (b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)
    top = 2**bits - 1
    if full:
        values = parts[0] * top, parts[1] * top + (top + 1) / 2, parts[2] * top + (top + 1) / 2
    else:
        step = 2 ** (bits - 8)
        values = [(219 * parts[0] + 16) * step, *((224 * part + 128) * step for part in parts[1:])]
    return [round(float(value)) for value in values]


def flat(path, planes, codec="libx264", form="yuv420p", size=SIZE, tags=(), options=None, n=3):
    """Make a film of one colour: values of each plane; tags range, matrix, primaries, transfer."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, form
        stream.options = options or {}
        context = stream.codec_context
        for name, value in zip(
            ("color_range", "colorspace", "color_primaries", "color_trc"), tags, strict=False
        ):
            setattr(context, name, value)
        for _ in range(n):
            frame = av.VideoFrame(*size, form)
            kind = (
                np.uint8 if max(part.bits for part in frame.format.components) == 8 else np.uint16
            )
            for plane, value in zip(frame.planes, planes, strict=True):
                plane.update(np.full(plane.buffer_size // kind().itemsize, value, kind).tobytes())
            for name, value in zip(
                ("color_range", "colorspace", "color_primaries", "color_trc"), tags, strict=False
            ):
                setattr(frame, name, value)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def film(path, frames, codec="libx264", form="yuv420p", rate=10, times=None, unit=None, **how):
    """Make a film of frames; times count units, the last of them the end."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate)
        stream.metadata.update(how.get("metadata", {}))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.options = form, how.get("options", {})
        if times is not None:
            stream.time_base = stream.codec_context.time_base = unit
        if "ratio" in how:
            stream.codec_context.sample_aspect_ratio = how["ratio"]
        if "matrix" in how:
            stream.set_display_matrix(how["matrix"])
        for k, levels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(
                levels, format="rgba" if levels.shape[2] == 4 else "rgb24"
            ).reformat(format=form)
            if times is not None:
                frame.pts, frame.time_base = times[k], unit
            packets = stream.encode(frame)
            out.mux(packets)
        out.mux(stream.encode(None))
    return path


def middle(path):
    frame = next(iter(read_movie(path)))
    return frame[frame.shape[0] // 2, frame.shape[1] // 2].astype(int)


LOSSLESS = {"qp": "0"}


@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize(("form", "bits"), [("yuv420p", 8), ("yuv444p", 8), ("yuv420p10le", 10)])
def test_colours_are_what_the_tags_say(tmp_path, form, bits, matrix, full):
    planes = coded(np.array(RED) / 255, matrix, full, bits)
    tags = (2 if full else 1, matrix, 1, 1)
    path = flat(tmp_path / "x.mp4", planes, form=form, tags=tags, options=LOSSLESS)
    np.testing.assert_allclose(middle(path), RED, atol=2)
    assert read_movie(path).notes == ()


def test_a_film_of_full_range_by_its_format(tmp_path):
    planes = coded(np.array(RED) / 255, 6, full=True)
    path = flat(tmp_path / "x.mov", planes, "mjpeg", "yuvj420p", options={"qscale": "2"})
    np.testing.assert_allclose(middle(path), RED, atol=4)


@pytest.mark.parametrize(
    ("size", "matrix"), [((1280, 720), 1), ((720, 1280), 1), ((720, 576), 6), ((640, 480), 6)]
)
def test_untagged_films_are_read_as_players_do_and_say_so(tmp_path, size, matrix):
    path = flat(tmp_path / "x.mp4", coded(np.array(RED) / 255, matrix), size=size, n=1)
    np.testing.assert_allclose(middle(path), RED, atol=3)
    (note,) = read_movie(path).notes
    assert "does not say how its colours are coded" in note
    assert ("bt709" if matrix == 1 else "smpte170m") in note


@pytest.mark.parametrize(("value", "expected"), [(16, 0), (126, 128), (235, 255)])
@pytest.mark.parametrize("deep", [False, True])
def test_grey_films_of_limited_range(tmp_path, value, expected, deep):
    form, times = ("gray10le", 4) if deep else ("gray", 1)
    path = flat(tmp_path / "x.mkv", [value * times], "ffv1", form, tags=(1,))
    np.testing.assert_allclose(middle(path), [expected] * 3, atol=1)


def test_grey_films_of_a_range_that_they_do_not_say(tmp_path):
    path = flat(tmp_path / "x.mkv", [16], "ffv1", "gray")
    np.testing.assert_array_equal(middle(path), [16] * 3)
    (note,) = read_movie(path).notes
    assert "does not say whether black is 0 or 16: read as 0" in note


def pq(luminance):
    """SMPTE ST 2084: the value of a luminance, cd/m²."""
    power = (luminance / 10000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def hlg(luminance):
    """ITU-R BT.2100: the value of a grey that a screen of 1000 cd/m² shows so bright."""
    light = (luminance / 1000) ** (1 / 1.2)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.sqrt(3 * light) if light <= 1 / 12 else a * np.log(12 * light - b) + c


def srgb(light):
    return 255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055)


HDR = {"crf": "4", "x265-params": "log-level=none:bframes=0"}


@pytest.mark.parametrize(("curve", "transfer"), [(pq, 16), (hlg, 18)], ids=["PQ", "HLG"])
@pytest.mark.parametrize("luminance", [1, 20, 100, 203, 600])
def test_hdr_greys_are_as_bright_as_reference_white_has_them(tmp_path, curve, transfer, luminance):
    planes = coded([curve(luminance)] * 3, 9, bits=10)
    path = flat(
        tmp_path / "x.mov", planes, "libx265", "yuv420p10le", tags=(1, 9, 9, transfer), options=HDR
    )
    expected = srgb(min(luminance / 203, 1))
    np.testing.assert_allclose(middle(path), [expected] * 3, atol=2)
    (note,) = read_movie(path).notes
    assert f"HDR colours (BT.2020, {'PQ' if transfer == 16 else 'HLG'}) are converted" in note


def test_hdr_colours_that_bt_709_holds_come_back(tmp_path):
    # ITU-R BT.2087: from BT.709 to BT.2020, of linear light.
    across = [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
    levels = np.array(RED) / 255
    light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    planes = coded([pq(203 * part) for part in across @ light], 9, bits=10)
    path = flat(
        tmp_path / "x.mov", planes, "libx265", "yuv420p10le", tags=(1, 9, 9, 16), options=HDR
    )
    np.testing.assert_allclose(middle(path), RED, atol=3)


def test_sdr_of_wide_primaries_is_converted(tmp_path):
    across = np.array(
        [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
    )
    levels = np.array(RED) / 255
    light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    planes = coded([srgb(part) / 255 for part in across @ light], 9, bits=10)
    path = flat(
        tmp_path / "x.mov", planes, "libx265", "yuv420p10le", tags=(1, 9, 9, 14), options=HDR
    )
    np.testing.assert_allclose(middle(path), RED, atol=3)
    assert any("(BT.2020) are converted to sRGB" in note for note in read_movie(path).notes)


def test_television_primaries_are_taken_for_near_ones_and_it_is_said(tmp_path):
    planes = coded(np.array(RED) / 255, 6)
    path = flat(tmp_path / "x.mp4", planes, tags=(1, 6, 6, 6), options=LOSSLESS)
    np.testing.assert_allclose(middle(path), RED, atol=2)
    assert "SMPTE 170M" in read_movie(path).notes[0]


@pytest.mark.parametrize(("tags", "says"), [((1, 8, 1, 1), "matrix 8"), ((1, 1, 1, 9), "number 9")])
def test_colours_that_are_not_read_are_refused(tmp_path, tags, says):
    path = flat(tmp_path / "x.mkv", [128, 128, 128], "ffv1", "yuv420p", tags=tags)
    with pytest.raises(ProbeError, match=says):
        read_movie(path)


def corner():
    """Bright at the upper left."""
    levels = np.full((48, 64, 3), 60, np.uint8)
    levels[:16, :40] = 200
    return levels


ONE = 65536
TURNS = {
    "as it is": ((1, 0, 0, 1), lambda a: a),
    "mirrored": ((-1, 0, 0, 1), lambda a: a[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda a: a[::-1]),
    "half a turn": ((-1, 0, 0, -1), lambda a: a[::-1, ::-1]),
    "a quarter clockwise": ((0, 1, -1, 0), lambda a: np.rot90(a, -1)),
    "a quarter back": ((0, -1, 1, 0), lambda a: np.rot90(a)),
    "transposed": ((0, 1, 1, 0), lambda a: a.swapaxes(0, 1)),
    "transverse": ((0, -1, -1, 0), lambda a: a[::-1, ::-1].swapaxes(0, 1)),
}


@pytest.mark.parametrize("ratio", [None, Fraction(2), Fraction(3, 4)])
@pytest.mark.parametrize("name", TURNS)
def test_a_film_is_turned_and_mirrored_as_it_says(tmp_path, name, ratio):
    (a, b, c, d), upright = TURNS[name]
    matrix = [ONE * a, ONE * b, 0, ONE * c, ONE * d, 0, 0, 0, 2**30]
    path = film(
        tmp_path / "x.mp4", [corner()] * 2, matrix=matrix, **({"ratio": ratio} if ratio else {})
    )
    width, height = {None: (64, 48), 2: (128, 48), Fraction(3, 4): (64, 64)}[ratio]
    square = Image.fromarray(corner()).resize((width, height), Image.Resampling.NEAREST)
    expected = upright(np.asarray(square)).astype(int)
    movie = read_movie(path)
    seen = next(iter(movie)).astype(int)
    assert seen.shape == expected.shape == (movie.size[1], movie.size[0], 3)
    assert np.abs(seen - expected).mean() < 6
    assert np.abs(seen - expected).max(2).mean() < np.abs(seen - expected[::-1]).max(2).mean()


def test_a_film_turned_by_another_angle_is_refused(tmp_path):
    cos, sin = (round(ONE * f(np.radians(20))) for f in (np.cos, np.sin))
    path = film(tmp_path / "x.mp4", [corner()], matrix=[cos, sin, 0, -sin, cos, 0, 0, 0, 2**30])
    with pytest.raises(ProbeError, match="another angle than quarter turns"):
        read_movie(path)


VARYING = [0, 20, 40, 61, 100, 120, 200, 280, 380, 420, 440]


def shown_when(path):
    with av.open(str(path)) as container:
        frames = [
            (f.pts * f.time_base, f.duration * f.time_base) for f in container.decode(video=0)
        ]
    return [float(time) for time, _ in frames] + [float(sum(frames[-1]))]


@pytest.mark.parametrize(
    ("name", "codec"),
    [("x.mp4", "libx264"), ("x.mov", "libx264"), ("x.mkv", "libx264"), ("x.webm", "libvpx-vp9"),
     ("x.webm", "libvpx"), ("x.mkv", "ffv1")],
)  # fmt: skip
@pytest.mark.parametrize("times", [VARYING, [20 * k for k in range(11)]], ids=["varying", "steady"])
def test_frames_are_shown_when_those_of_the_source_were(tmp_path, name, codec, times):
    frames = [np.full((48, 64, 3), 20 * k, np.uint8) for k in range(10)]
    options = {"bf": "0"} if codec == "libx264" else {}
    path = film(tmp_path / name, frames, codec, times=times, unit=Fraction(1, 600), options=options,
                rate=30)  # fmt: skip
    movie = read_movie(path, into="x.mp4")
    np.testing.assert_allclose([float(t) for t in movie.times], shown_when(path), atol=1e-9)
    np.testing.assert_allclose([float(t) for t in movie.times[:-1]], np.array(times[:-1]) / 600,
                               atol=6e-4)  # fmt: skip
    assert write_frames(tmp_path / "out", ".mp4", movie, movie, {}) == 10
    np.testing.assert_allclose(shown_when(tmp_path / "out"), shown_when(path), atol=1e-4)
    with av.open(str(tmp_path / "out")) as container:
        assert container.duration / 1e6 == pytest.approx(shown_when(path)[-1], abs=1e-3)
    write_frames(tmp_path / "out.webp", ".webp", movie, movie, {})
    got = [float(t) for t in read_movie(tmp_path / "out.webp").times]
    assert got[-1] == pytest.approx(shown_when(path)[-1], abs=1e-3)
    assert all(min(abs(t - g) for g in got) <= 1e-3 for t in shown_when(path))
    write_frames(tmp_path / "out.gif", ".gif", movie, movie, {})
    got = [float(t) for t in read_movie(tmp_path / "out.gif").times]
    assert all(min(abs(t - g) for g in got) <= 5.1e-3 for t in shown_when(path))
    assert any("rounded to 10 ms" in note for note in read_movie(path, into="x.gif").notes)


def test_times_that_a_gif_cannot_hold_are_refused_before_there_is_a_frame(tmp_path):
    frames = [np.zeros((16, 16, 3), np.uint8)] * 3
    path = film(tmp_path / "x.mp4", frames, times=[0, 60, 65], unit=Fraction(1, 600))
    with pytest.raises(ProbeError, match=r"shown for 8.33 ms, and must be for 20; choose \.mp4"):
        read_movie(path, into="x.gif")
    assert read_movie(path, into="x.webp").n_frames == 3


RATE = 48000


def with_sound(path, codec="aac", begins=0, tail=0.0, tracks=1, cover=False, video="libx264"):
    """Make a film at 20 fps whose picture begins late; a flash and a beep come 0.5 s after."""
    beep = begins / 20 + 0.5
    with av.open(str(path), "w") as out:
        packets = []
        if cover:
            first = out.add_stream("png", rate=1)
            first.width, first.height, first.pix_fmt = 32, 32, "rgb24"
            first.disposition = av.stream.Disposition.attached_pic
            packets += first.encode(
                av.VideoFrame.from_ndarray(np.full((32, 32, 3), 250, np.uint8), format="rgb24")
            )
        stream = out.add_stream(video, rate=20)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        sounds = [out.add_stream(codec, rate=RATE, layout="mono") for _ in range(tracks)]
        for k in range(30):
            levels = np.full((SIZE[1], SIZE[0], 3), 255 if 10 <= k < 12 else 0, np.uint8)
            frame = av.VideoFrame.from_ndarray(levels, format="rgb24")
            frame.pts, frame.time_base = k + begins, Fraction(1, 20)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        wave = np.zeros(int(RATE * (1.5 + begins / 20 + tail)), np.float32)
        start = round(beep * RATE)
        wave[start : start + 2400] = 0.5 * np.sin(np.arange(2400) * 0.7)
        for sound in sounds:
            context = sound.codec_context
            resampler = av.AudioResampler(format=context.format, layout="mono", rate=RATE)
            frame = av.AudioFrame.from_ndarray(wave[None], "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            for part in [*resampler.resample(frame), *resampler.resample(None)]:
                packets += sound.encode(part)
            packets += sound.encode(None)
        out.mux(packets)
    return path


def beep_and_flash(path):
    """Tell when the beep comes, the flash, and the end of the sound."""
    with av.open(str(path)) as container:
        flash = next(
            float(f.pts * f.time_base)
            for f in container.decode(video=0)
            if f.to_ndarray(format="gray").mean() > 128
        )
    beep = None
    with av.open(str(path)) as container:
        for part in container.decode(audio=0):
            wave = part.to_ndarray().reshape(-1).astype(float)
            loud = np.flatnonzero(np.abs(wave) > (3000 if part.format.name[0] == "s" else 0.1))
            begins = float(part.pts * part.time_base)
            if beep is None and len(loud):
                beep = begins + loud[0] / part.sample_rate
            end = begins + part.samples / part.sample_rate
    return beep, flash, end


@pytest.mark.parametrize("begins", [0, 10], ids=["together", "late"])
@pytest.mark.parametrize(
    ("name", "codec", "video", "says"),
    [
        ("x.mp4", "aac", "libx264", ""),
        ("x.mp4", "libmp3lame", "libx264", ""),
        ("x.mkv", "flac", "libx264", ""),
        ("x.webm", "libopus", "libvpx-vp9", ""),
        ("x.mov", "pcm_s16le", "libx264", "its sound (pcm_s16le) is coded anew as AAC"),
        ("x.mkv", "pcm_s16le", "libx264", "its sound (pcm_s16le) is coded anew as AAC"),
        ("x.mkv", "mp2", "libx264", "its sound (mp2) is coded anew as AAC"),
    ],
)
def test_sound_stays_in_step(tmp_path, name, codec, video, says, begins):
    path = with_sound(tmp_path / name, codec, begins, video=video)
    movie = read_movie(path, into="x.mp4")
    assert any(says in note for note in movie.notes) if says else not movie.notes[1:]
    write_frames(tmp_path / "out", ".mp4", movie, movie, {})
    before, after = beep_and_flash(path), beep_and_flash(tmp_path / "out")
    assert after[1] - after[0] == pytest.approx(before[1] - before[0], abs=1.5e-3)
    assert abs(before[1] - before[0]) < 5e-3
    assert after[2] == pytest.approx(before[2], abs=0.03)  # a packet of sound


def test_sound_that_goes_on_after_the_pictures_is_kept(tmp_path):
    path = with_sound(tmp_path / "x.mp4", tail=1.0)
    movie = read_movie(path)
    write_frames(tmp_path / "all", ".mp4", movie, movie, {})
    assert beep_and_flash(tmp_path / "all")[2] == pytest.approx(beep_and_flash(path)[2], abs=1e-3)
    write_frames(tmp_path / "some", ".mp4", list(movie)[:20], movie, {})
    assert beep_and_flash(tmp_path / "some")[2] == pytest.approx(1.0, abs=0.03)


def test_sound_that_is_left_out_is_told_of(tmp_path):
    path = with_sound(tmp_path / "x.mp4", tracks=2)
    assert any("its sound is left out" in note for note in read_movie(path, into="x.gif").notes)
    assert any("of its 2 sound tracks" in note for note in read_movie(path, into="x.mp4").notes)
    movie = read_movie(path, into="x.gif")
    assert write_frames(tmp_path / "x.gif", ".gif", movie, movie, {}) == 30


def test_a_cover_picture_is_no_film(tmp_path):
    path = with_sound(tmp_path / "x.mp4", cover=True)
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 2
    movie = read_movie(path)
    assert (movie.size, len(movie.times) - 1) == (SIZE, 30)


def see_through():
    levels = np.zeros((48, 64, 4), np.uint8)
    levels[..., :3] = RED
    levels[:, 32:, 3] = 255
    levels[:24, :32, 3] = 100
    return levels


@pytest.mark.parametrize(
    ("name", "codec", "form"),
    [("x.webm", "libvpx-vp9", "yuva420p"), ("x.mov", "qtrle", "argb"), ("x.mov", "png", "rgba"),
     ("x.mov", "prores_ks", "yuva444p10le"), ("x.mkv", "ffv1", "yuva444p")],
)  # fmt: skip
def test_transparency_is_kept_where_it_can_be_and_else_laid_over_grey(tmp_path, name, codec, form):
    path = film(tmp_path / name, [see_through()] * 3, codec, form)
    movie = read_movie(path, into="x.mp4")
    assert movie.has_alpha
    assert any("mid-grey lies behind" in note for note in movie.notes)
    frame = next(iter(movie)).astype(int)
    mixed = np.array(RED) * 100 / 255 + 128 * 155 / 255
    for (row, column), expected in {(36, 8): GREY, (36, 48): RED, (8, 8): mixed}.items():
        np.testing.assert_allclose(frame[row, column], expected, atol=6)
    kept = read_movie(path, into="x.webp")
    assert kept.keeps_alpha
    assert not any("grey" in note for note in kept.notes)
    write_frames(tmp_path / "out.webp", ".webp", kept, kept, {}, quality=100)
    with Image.open(tmp_path / "out.webp") as opened:
        got = np.asarray(opened.convert("RGBA")).astype(int)
    np.testing.assert_allclose(
        got[..., 3][8::16, 8::16], see_through()[..., 3][8::16, 8::16], atol=3
    )
    np.testing.assert_allclose(got[36, 48, :3], RED, atol=6)


def test_transparency_is_read_where_ffmpeg_was_told_to_say_that_there_is_some(tmp_path):
    path = film(
        tmp_path / "x.webm", [see_through()] * 3, "libvpx-vp9", "yuva420p",
        metadata={"alpha_mode": "1"},
    )  # fmt: skip
    movie = read_movie(path)
    assert movie.has_alpha
    np.testing.assert_allclose(next(iter(movie))[36, 8].astype(int), GREY, atol=6)


def test_a_film_can_be_left_midway_while_decoders_log_in_python(tmp_path):
    path = film(tmp_path / "x.mp4", [corner()] * 30, options={"bf": "3"})
    program = (
        "import sys, av; av.logging.set_level(av.logging.DEBUG)\n"
        "from probe.images import read_movie\n"
        "for _ in range(15): next(iter(read_movie(sys.argv[1])))\n"
        "print('read')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, timeout=90
    )
    assert done.stdout.endswith("read\n"), done.stderr[-1000:]


def test_an_interlaced_film_is_told_of(tmp_path):
    path = film(tmp_path / "x.mp4", [corner()] * 3, options={"x264-params": "interlaced=1"})
    assert any("interlaced" in note for note in read_movie(path).notes)
    assert np.abs(next(iter(read_movie(path))).astype(int) - corner()).mean() < 6


def test_pixels_of_an_absurd_shape_are_refused(tmp_path):
    path = film(tmp_path / "x.mp4", [corner()] * 2, ratio=Fraction(20, 1))
    with pytest.raises(ProbeError, match="its pixels are 20 to 1"):
        read_movie(path)


def test_a_film_whose_frames_change_their_size_is_refused(tmp_path):
    small, large = (
        film(tmp_path / f"{n}.mkv", [np.zeros((n, n, 3), np.uint8)] * 2, "mjpeg", "yuvj420p")
        for n in (32, 48)
    )
    with av.open(str(tmp_path / "x.mkv"), "w") as out, av.open(str(small)) as source:
        copy = out.add_stream_from_template(source.streams.video[0])
        number = 0
        for path in (small, large):
            with av.open(str(path)) as other:
                for packet in other.demux(video=0):
                    if packet.size:
                        packet.stream = copy
                        packet.pts = packet.dts = 100 * number
                        number += 1
                        out.mux(packet)
    with pytest.raises(ProbeError, match="change their size or format midway"):
        list(read_movie(tmp_path / "x.mkv"))


@pytest.mark.parametrize("codec", ["pcm_u8", "tta", "wavpack"])
def test_sound_that_mp4_cannot_hold_does_not_stop_the_job(tmp_path, codec):
    movie = read_movie(with_sound(tmp_path / "x.mkv", codec, begins=3), into="x.mp4")
    assert any(f"its sound ({codec}) is coded anew as AAC" in note for note in movie.notes)
    write_frames(tmp_path / "out", ".mp4", movie, movie, {})
    beep, flash, end = beep_and_flash(tmp_path / "out")
    assert (beep, flash) == (pytest.approx(0.65, abs=1.5e-3), pytest.approx(0.65, abs=1e-3))
    assert end == pytest.approx(1.65, abs=0.03)


def test_an_edit_list_is_followed(tmp_path):
    """A film that was cut without coding it anew: its first three frames are not shown."""
    frames = [np.full((48, 64, 3), 20 * k, np.uint8) for k in range(10)]
    times = [20 * k - 60 for k in range(11)]  # what is before 0, MP4 files leave out so
    path = film(tmp_path / "x.mp4", frames, times=times, unit=Fraction(1, 600), rate=30,
                options={"bf": "0"})  # fmt: skip
    assert b"elst" in path.read_bytes()
    movie = read_movie(path)
    np.testing.assert_allclose([float(t) for t in movie.times], np.arange(8) / 30, atol=1e-4)
    np.testing.assert_allclose([f.mean() for f in movie], 20 * np.arange(3, 10), atol=3)


def test_of_two_video_streams_the_default_one_is_read(tmp_path):
    with av.open(str(tmp_path / "x.mkv"), "w") as out:
        packets = []
        for k, (width, height) in enumerate([(64, 48), (96, 64)]):
            stream = out.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.disposition = av.stream.Disposition.default if k == 1 else 0
            levels = np.full((height, width, 3), 100, np.uint8)
            packets += stream.encode(av.VideoFrame.from_ndarray(levels, format="rgb24"))
            packets += stream.encode(None)
        out.mux(packets)
    movie = read_movie(tmp_path / "x.mkv")
    assert movie.size == (96, 64)
    assert any("of its 2 video streams, the default one" in note for note in movie.notes)


# The same film in other files: it looks the same, at the same times, to what each loses.

ROWS, COLUMNS = np.mgrid[:48, :64]


def moving():
    """A soft disc that moves over a ramp, at uneven times."""
    for k in range(5):
        ramp = np.stack([40 + 2 * COLUMNS, 60 + 2 * ROWS, 200 - 2 * COLUMNS], -1).astype(float)
        disc = np.exp(-((COLUMNS - 16 - 6 * k) ** 2 + (ROWS - 20) ** 2) / 60)[..., None]
        yield np.rint(ramp * (1 - disc) + disc * np.array([220, 90, 60])).astype(np.uint8)


UNEVEN = [0, 60, 90, 180, 210]
EXACT = {"qp": "0", "bf": "0"}


def again(path, frames, codec, form, unit, tags=(1, 1, 1, 1), options=EXACT, bits=8, **how):
    """Make a film of frames that are coded here, by the formulas, without a program's help."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.options = form, options
        context = stream.codec_context
        stream.time_base = context.time_base = unit
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = tags
        if "ratio" in how:
            context.sample_aspect_ratio = how["ratio"]
        if "matrix" in how:
            stream.set_display_matrix(how["matrix"])
        for levels, time in zip(frames, UNEVEN, strict=True):
            top = 255 if levels.dtype == np.uint8 else 1
            planes = np.moveaxis(levels / top, 2, 0)
            red, blue = LUMA[tags[1]]
            y = red * planes[0] + (1 - red - blue) * planes[1] + blue * planes[2]
            parts = [y, (planes[2] - y) / (2 - 2 * blue), (planes[0] - y) / (2 - 2 * red)]
            top, step = 2**bits - 1, 2 ** (bits - 8)
            if tags[0] == 2:
                values = [parts[0] * top, *(part * top + (top + 1) / 2 for part in parts[1:])]
            else:
                values = [(219 * y + 16) * step, *((224 * part + 128) * step for part in parts[1:])]
            frame = av.VideoFrame(levels.shape[1], levels.shape[0], form)
            kind = np.uint8 if bits == 8 else np.uint16
            for plane, value in zip(frame.planes, values, strict=True):
                rows = np.frombuffer(plane, kind).reshape(plane.height, -1)
                rows[:, : plane.width] = np.rint(value)
            frame.color_range, frame.colorspace = tags[:2]
            frame.pts, frame.time_base = round(Fraction(time, 600) / unit), unit
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def in_hlg(levels):
    """A frame in HLG and BT.2020: the formulas of BT.2087 and BT.2100, the other way round."""
    across = np.array(
        [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
    )
    values = levels / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    screen = light @ across.T * 0.203  # of 1000 cd/m²
    luminance = screen @ [0.2627, 0.6780, 0.0593]
    scene = screen * luminance[..., None] ** (1 / 1.2 - 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    high = a * np.log(np.maximum(12 * scene - b, 1e-9)) + c
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)


LEVELS_444 = ("libx264", "yuv444p", Fraction(1, 600))
SAME = {
    "MOV": ("x.mov", LEVELS_444, {}, 2),
    "MKV": ("x.mkv", LEVELS_444, {}, 2),
    "in 1/90000 s": ("x.mp4", ("libx264", "yuv444p", Fraction(1, 90000)), {}, 2),
    "VP9 in WebM": ("x.webm", ("libvpx-vp9", "yuv444p", Fraction(1, 1000)),
                    {"options": {"lossless": "1"}}, 2),
    "FFV1": ("x.mkv", ("ffv1", "yuv444p", Fraction(1, 1000)), {"options": {}}, 2),
    "full range": ("x.mp4", LEVELS_444, {"tags": (2, 1, 1, 1)}, 2),
    "by BT.601": ("x.mp4", LEVELS_444, {"tags": (1, 6, 1, 1)}, 2),
    "10 bits": ("x.mp4", ("libx264", "yuv444p10le", Fraction(1, 600)), {"bits": 10}, 1),
    "10 bits, by BT.2020": ("x.mp4", ("libx264", "yuv444p10le", Fraction(1, 600)),
                            {"bits": 10, "tags": (1, 9, 1, 1)}, 1),
}  # fmt: skip


def check_same(path, lost):
    movie = read_movie(path)
    np.testing.assert_allclose([float(t) for t in movie.times[:5]], np.array(UNEVEN) / 600,
                               atol=6e-4)  # fmt: skip
    got = np.stack(list(movie)).astype(int)
    expected = np.stack(list(moving())).astype(int)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= lost


@pytest.mark.parametrize("name", SAME)
def test_the_same_film_in_another_file_is_read_the_same(tmp_path, name):
    file, (codec, form, unit), how, lost = SAME[name]
    check_same(again(tmp_path / file, list(moving()), codec, form, unit, **how), lost)


@pytest.mark.parametrize("name", TURNS)
def test_a_film_turned_by_its_matrix_is_read_as_one_whose_pixels_are(tmp_path, name):
    (a, b, c, d), upright = TURNS[name]
    back = [np.ascontiguousarray(_undone(upright, frame)) for frame in moving()]
    matrix = [ONE * a, ONE * b, 0, ONE * c, ONE * d, 0, 0, 0, 2**30]
    check_same(again(tmp_path / "x.mp4", back, *LEVELS_444, matrix=matrix), 2)


def _undone(upright, frame):
    """Turn a frame so that `upright` makes it again."""
    for other in (upright, *(other for _, other in TURNS.values())):
        if np.array_equal(upright(other(frame)), frame):
            return other(frame)
    raise AssertionError


@pytest.mark.parametrize("ratio", [Fraction(2), Fraction(1, 2)])
def test_oblong_pixels_are_stretched_to_square_ones(tmp_path, ratio):
    frames = [np.ascontiguousarray(f[:, ::2] if ratio > 1 else f[::2]) for f in moving()]
    movie = read_movie(again(tmp_path / "x.mp4", frames, *LEVELS_444, ratio=ratio))
    assert movie.size == (64, 48)
    got, expected = (np.stack(list(some)).astype(int) for some in (movie, moving()))
    assert np.abs(got - expected).mean() < 1.5


def test_a_film_in_hlg_is_read_as_the_same_in_sdr(tmp_path):
    options = {"x265-params": "log-level=none:bframes=0:lossless=1"}
    path = again(
        tmp_path / "x.mov", [in_hlg(f) for f in moving()], "libx265", "yuv444p10le",
        Fraction(1, 600), tags=(1, 9, 9, 18), options=options, bits=10,
    )  # fmt: skip
    check_same(path, 4)
