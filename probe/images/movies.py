"""Films and animations, frame by frame: GIF, WebP, MP4."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from probe.errors import ProbeError
from probe.images.metadata import MOVIES, as_text, exif_of
from probe.images.reading import Unreadable, reason, to_rgb

ANIMATED = (".gif", ".webp", ".mp4")
"""How the names of animations that are written end."""

SAMPLE = 2**18
"""Pixels of all frames, about, from which the colours of a GIF file are chosen."""

LARGEST = {".gif": 65535, ".webp": 16383, ".mp4": 16384}
"""Pixels along one side, at most."""

FASTEST = {".gif": 50, ".webp": 1000, ".mp4": 1000}
"""Frames a second, at most: GIF counts hundredths of a second, and programs skip single ones."""

# A threshold matrix (Bayer 1973) of 8 × 8, from 0 to 63/64. Its pattern stands still from frame to
# frame, where errors that are carried on from pixel to pixel would swarm.
_BAYER = np.zeros((1, 1))
for _ in range(3):
    _BAYER = np.block([[4 * _BAYER, 4 * _BAYER + 2], [4 * _BAYER + 3, 4 * _BAYER + 1]])
_BAYER /= 64


@dataclass(frozen=True)
class Movie:
    """A film or an animation, whose frames are read when they are asked for.

    Attributes
    ----------
    path : Path
    fps : float
        Frames a second. A frame of an animation that lasts longer than others comes several times.
    size : tuple of int
        Width and height, upright.
    n_frames : int
        Of some damaged files, more than can be read.
    has_sound : bool
    """

    path: Path
    fps: float
    size: tuple[int, int]
    n_frames: int
    has_sound: bool = field(default=False)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Give the frames, from the first: uint8, (height, width, 3), RGB, upright."""
        video = self.path.suffix.lower() in MOVIES
        frames = _frames_of_video(self.path) if video else _frames_of_picture(self.path)
        try:
            yield from frames
        except ProbeError:
            raise
        except Exception as error:  # the many readers raise many kinds
            raise Unreadable(str(self.path), reason(error)) from None


def read_movie(path: str | Path) -> Movie:
    """Open a film (MP4, MOV, MKV, WebM) or an animation (GIF, WebP, APNG).

    Parameters
    ----------
    path : path

    Returns
    -------
    Movie
        Iterating over it gives its frames; each time from the first.

    Raises
    ------
    ProbeError
        If it cannot be read, or PyAV is not installed and needed.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise ProbeError(
            f"film {str(path)!r} is a folder: write its pictures to a film in the order that is "
            "meant, as with ffmpeg -framerate 25 -i %d.png film.mp4"
        )
    if not path.is_file():
        raise ProbeError(f"film {str(path)!r} does not exist")
    try:
        return _video(path) if path.suffix.lower() in MOVIES else _animation(path)
    except ProbeError:
        raise
    except Exception as error:  # the many readers raise many kinds
        raise Unreadable(str(path), reason(error)) from None


def comment_of(path: Path) -> str:
    """Give the comment in the metadata of a film; empty if there is none."""
    with _pyav().open(str(path), metadata_errors="replace") as container:
        return str(container.metadata.get("comment", ""))


def check_animation(path: str | Path, fps: float) -> str:
    """Tell whether an animation can be written as is wished, before there is one.

    Returns
    -------
    str
        How the name ends, in lower case.

    Raises
    ------
    ProbeError
        If that kind of file is not written, does not hold so many frames a second, or takes PyAV,
        which is not installed.
    """
    kind = Path(path).suffix.lower()
    if kind not in ANIMATED:
        raise ProbeError(
            f"{str(path)!r} cannot be written: its name has to end in {', '.join(ANIMATED)}"
        )
    if not 0.01 <= fps <= FASTEST[kind]:
        raise ProbeError(
            f"{str(path)!r} cannot hold {fps:g} frames a second, only 0.01 to {FASTEST[kind]}"
        )
    if kind == ".mp4" and "libx264" not in _pyav().codecs_available:
        raise ProbeError("this PyAV has no libx264: pip install --force-reinstall av")
    return kind


def write_frames(
    path: Path,
    kind: str,
    frames: Iterable[np.ndarray],
    fps: float,
    about: Mapping[str, Any],
    *,
    quality: int = 90,
    sound_of: Path | None = None,
) -> int:
    """Write an animation, a frame at a time.

    GIF and WebP files repeat for ever. All frames of a GIF file share 256 colours, chosen from the
    whole clip, so that nothing flickers; its frames lie in a temporary file until they are. MP4 is
    H.264 (BT.709, 4:2:0), which takes even sides: an odd one gets its last line twice.

    Parameters
    ----------
    path : Path
        Where to write; a file that is there is replaced.
    kind : str
        One of `ANIMATED`.
    frames : iterable of numpy.ndarray, (height, width, 3)
        RGB: uint8, or float from 0 to 1.
    fps : float
        Frames a second.
    about : mapping
        Plain values, which `about` reads again.
    quality : int
        From 1 to 100, of WebP and MP4.
    sound_of : path, optional
        A film whose sound an MP4 file takes over as it is, as long as there are frames.

    Returns
    -------
    int
        How many frames.

    Raises
    ------
    ProbeError
        If there is no frame, one is no picture or of another size than the first, or it cannot be
        written.
    """
    check_animation(path.with_suffix(kind), fps)
    if not 1 <= quality <= 100:
        raise ProbeError(f"quality {quality} is not between 1 and 100")
    if sound_of is not None and kind != ".mp4":
        raise ProbeError(f"a {kind} file holds no sound: choose .mp4")
    checked = _checked(frames, kind)
    rate = Fraction(fps).limit_denominator(1001)
    if kind == ".mp4":
        return _write_mp4(path, checked, rate, about, quality, sound_of)
    if kind == ".gif":
        return _write_gif(path, checked, rate, about)
    return _write_webp(path, checked, rate, about, quality)


def _pyav() -> Any:
    try:
        import av
    except ImportError:
        raise ProbeError("films take PyAV: pip install 'cnn-probe[video]'") from None
    return av


def _checked(frames: Iterable[np.ndarray], kind: str) -> Iterator[np.ndarray]:
    shape: tuple[int, ...] | None = None
    for k, frame in enumerate(frames):
        levels = np.asarray(frame)
        if levels.ndim != 3 or levels.shape[2] != 3 or 0 in levels.shape:
            raise ProbeError(f"frame {k} has shape {levels.shape}; wanted (height, width, 3)")
        if shape not in (None, levels.shape):
            raise ProbeError(f"frame {k} has shape {levels.shape}, and the first one {shape}")
        shape = levels.shape
        if max(shape) > LARGEST[kind]:
            raise ProbeError(
                f"{kind} cannot hold {shape[1]} × {shape[0]} pixels, only {LARGEST[kind]} along "
                "one side"
            )
        if np.issubdtype(levels.dtype, np.floating):
            if not (levels.min() >= -1e-3 and levels.max() <= 1 + 1e-3):
                raise ProbeError(f"frame {k} has values outside of 0 to 1")
            levels = np.floor(np.clip(levels, 0, 1) * 255 + 0.5).astype(np.uint8)
        elif levels.dtype != np.uint8:
            raise ProbeError(f"frame {k} is of {levels.dtype}; wanted uint8 or float")
        yield levels
    if shape is None:
        raise ProbeError("there is no frame to write")


def _duration(k: int, rate: Fraction, unit: int) -> int:
    """Give how long frame k lasts, in 1/unit s, so that none is late by more than half of one."""
    return round((k + 1) * unit / rate) - round(k * unit / rate)


def _write_gif(
    path: Path, frames: Iterator[np.ndarray], rate: Fraction, about: Mapping[str, Any]
) -> int:
    with tempfile.TemporaryFile() as kept:
        first = next(frames)
        shape, count = first.shape, 0
        samples: list[np.ndarray] = []
        for frame in itertools.chain([first], frames):
            kept.write(np.ascontiguousarray(frame).data)
            # A few pixels of every frame, spread over it in steps that no pattern repeats in.
            pixels = frame.reshape(-1, 3)
            samples.append(pixels[(7919 * np.arange(min(len(pixels), SAMPLE))) % len(pixels)])
            count += 1
            if count & (count - 1) == 0:  # twice as many frames: half of each
                samples = [some[: max(1, SAMPLE // count)] for some in samples]
        chosen = np.concatenate([some[: max(1, SAMPLE // count)] for some in samples])
        picture = Image.fromarray(chosen[None])
        palette = picture.quantize(256, kmeans=2)
        # Errors of an even step d have an RMS of d/√12: the matrix spans that step.
        error = np.asarray(palette.convert("RGB")).astype(np.float64) - chosen
        step = float(np.sqrt(12 * (error**2).mean()))

        def indexed() -> Iterator[Image.Image]:
            kept.seek(0)
            for _ in range(count):
                frame = np.frombuffer(kept.read(int(np.prod(shape))), np.uint8).reshape(shape)
                yield _dithered(frame, palette, step)

        pictures = indexed()
        next(pictures).save(
            path, "gif", save_all=True, append_images=pictures, loop=0, optimize=False,
            duration=[10 * _duration(k, rate, 100) for k in range(count)],
            comment=as_text(about),
        )  # fmt: skip
    return count


def _dithered(frame: np.ndarray, palette: Image.Image, step: float) -> Image.Image:
    """Give a frame in the colours of a palette, with the same pattern in every frame."""
    height, width = frame.shape[:2]
    pattern = np.tile(_BAYER, (-(-height // 8), -(-width // 8)))[:height, :width, None]
    moved = frame + step * (pattern - 63 / 128)
    levels = np.clip(np.floor(moved + 0.5), 0, 255).astype(np.uint8)
    return Image.fromarray(levels).quantize(palette=palette, dither=Image.Dither.NONE)


def _write_webp(
    path: Path,
    frames: Iterator[np.ndarray],
    rate: Fraction,
    about: Mapping[str, Any],
    quality: int,
) -> int:
    durations: list[int] = []  # Pillow looks up each when it has the frame

    def pictures() -> Iterator[Image.Image]:
        for k, frame in enumerate(frames):
            durations.append(_duration(k, rate, 1000))
            yield Image.fromarray(frame)

    others = pictures()
    next(others).save(
        path, "webp", save_all=True, append_images=others, loop=0, quality=quality,
        lossless=quality == 100, duration=durations,
        exif=exif_of(b"", srgb=True, text=as_text(about)).tobytes(),
    )  # fmt: skip
    return len(durations)


def _write_mp4(
    path: Path,
    frames: Iterator[np.ndarray],
    rate: Fraction,
    about: Mapping[str, Any],
    quality: int,
    sound_of: Path | None,
) -> int:
    av = _pyav()
    from av.video.reformatter import Colorspace

    first, count = next(frames), 0
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(
            av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        )
        out.metadata["comment"] = as_text(about)
        video = out.add_stream("libx264", rate=rate)
        video.width, video.height = (n + n % 2 for n in (first.shape[1], first.shape[0]))
        video.pix_fmt = "yuv420p"
        # From 51, the coarsest, to 0: 90 is 18, which hardly differs from the frames by eye.
        crf = 51 - 33 * quality / 90 if quality <= 90 else 1.8 * (100 - quality)
        # The macroblock tree of x264 reads memory that nothing was written to: without, the same
        # frames give the same bytes.
        video.options = {"crf": f"{crf:.1f}", "x264-params": "mbtree=0"}
        context = video.codec_context
        context.color_range, context.colorspace = 1, 1  # limited, BT.709
        context.color_primaries, context.color_trc = 1, 1
        packets = _sound(stack, sound_of, out) if sound_of else iter(())
        heard = next(packets, None)
        for frame in itertools.chain([first], frames):
            even = np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), "edge")
            shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
            coded = shown.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
            coded.pts, coded.time_base = count, 1 / rate
            out.mux(video.encode(coded))
            count += 1
            while heard is not None and heard.pts * heard.time_base < count / rate:
                out.mux(heard)
                heard = next(packets, None)
        out.mux(video.encode(None))
    return count


def _sound(stack: contextlib.ExitStack, path: Path, out: Any) -> Iterator[Any]:
    """Give the packets of a film's sound, as they go into another film; none if it has none."""
    av = _pyav()
    try:
        source = stack.enter_context(av.open(str(path)))
        if not source.streams.audio:
            return iter(())
        stream = source.streams.audio[0]
        return _packets(source, stream, out.add_stream_from_template(stream))
    except (OSError, ValueError, av.FFmpegError) as error:
        raise ProbeError(
            f"the sound of {str(path)!r} cannot be taken over ({reason(error)})"
        ) from None


def _packets(source: Any, stream: Any, copy: Any) -> Iterator[Any]:
    for packet in source.demux(stream):
        if packet.dts is not None:  # the end has none
            packet.stream = copy
            yield packet


def _video(path: Path) -> Movie:
    with _pyav().open(str(path)) as container:
        if not container.streams.video:
            raise ValueError("it holds no pictures")
        stream = container.streams.video[0]
        first = next(container.decode(stream), None)
        if first is None:
            raise ValueError("it holds no pictures")
        fps = stream.average_rate or stream.guessed_rate or stream.base_rate
        if not fps:
            raise ValueError("it does not say how fast it is")
        size = (first.width, first.height) if first.rotation % 180 == 0 else (
            first.height, first.width
        )  # fmt: skip
        has_sound = bool(container.streams.audio)
        count = stream.frames
    if not count:
        with _pyav().open(str(path)) as container:
            stream = container.streams.video[0]
            count = sum(packet.size > 0 for packet in container.demux(stream))
    return Movie(path, float(fps), size, count, has_sound)


def _frames_of_video(path: Path) -> Iterator[np.ndarray]:
    av = _pyav()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        graph = av.filter.Graph()
        # Else FFmpeg cuts off where it should round, and all is darker by one level.
        graph.link_nodes(
            graph.add_buffer(template=stream),
            graph.add("scale", "flags=bicubic+accurate_rnd+full_chroma_int"),
            graph.add("format", "rgb24"),
            graph.add("buffersink"),
        ).configure()
        for frame in container.decode(stream):
            graph.push(frame)
            # It says by how many degrees it is turned back, against the clock.
            levels = np.rot90(graph.pull().to_ndarray(), frame.rotation // 90)
            yield np.ascontiguousarray(levels)


def _animation(path: Path) -> Movie:
    with Image.open(path) as opened:
        shown = _times_shown(opened)
        if len(shown) < 2:
            raise ValueError("it is a single picture, no animation")
        total = sum(lasting for _, lasting in shown)
        count = sum(times for times, _ in shown)
        return Movie(path, 1000 * count / total, opened.size, count)


def _frames_of_picture(path: Path) -> Iterator[np.ndarray]:
    with Image.open(path) as opened:
        shown = _times_shown(opened)
        for (times, _), frame in zip(shown, ImageSequence.Iterator(opened), strict=True):
            yield from [np.asarray(to_rgb(frame))] * times


def _times_shown(opened: Image.Image) -> list[tuple[int, float]]:
    """Tell how often each frame of an animation is shown at a steady rate, and how long, in ms.

    Frames that are equal are kept once in these files, and last longer.
    """
    lasting = []
    for frame in ImageSequence.Iterator(opened):
        frame.load()
        lasting.append(float(frame.info.get("duration", 0)) or 100.0)  # as browsers have it
    return [(max(1, round(time / min(lasting))), time) for time in lasting]
