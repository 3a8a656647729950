"""Films and animations, frame by frame: GIF, WebP, MP4."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from probe.errors import ProbeError
from probe.images import video
from probe.images.colour import Numbers, Profile, to_srgb
from probe.images.metadata import as_text, exif_of
from probe.images.mp4 import check_mp4, sound_note, write_mp4
from probe.images.reading import MOVIES, Unreadable, near, over_grey, reason, to_rgb
from probe.images.tags import meaning_of

ANIMATED = (".gif", ".webp", ".mp4")
"""How the names of animations that are written end."""

SAMPLE = 2**18
"""Pixels of all frames, about, from which the colours of a GIF file are chosen."""

LARGEST = {".gif": 65535, ".webp": 16383, ".mp4": 16384}
"""Pixels along one side, at most."""

FASTEST = {".gif": 50, ".webp": 1000, ".mp4": 1000}
"""Frames a second, at most: GIF counts hundredths of a second, and programs skip single ones."""

UNITS = {".gif": Fraction(1, 100), ".webp": Fraction(1, 1000)}
"""Seconds in which times are counted."""

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
        Frames a second, on average. A frame of an animation that lasts longer than others comes
        several times.
    size : tuple of int
        Width and height, upright, in square pixels.
    n_frames : int
        As the file says; `times` knows.
    has_sound : bool
    has_alpha : bool
        Whether it comes with transparency.
    keeps_alpha : bool
        Whether transparent places show what the file has there, as `alphas` is kept; else mid-grey
        lies behind them.
    notes : tuple of str
        What is converted or lost, and what the file does not say; one line each.
    """

    path: Path
    fps: float
    size: tuple[int, int]
    n_frames: int
    has_sound: bool = field(default=False)
    has_alpha: bool = field(default=False)
    keeps_alpha: bool = field(default=False)
    notes: tuple[str, ...] = field(default=())
    look: video.Look | None = field(default=None, repr=False)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the frames, from the first: uint8, (height, width, 3), RGB, upright."""
        for frame in self._read():
            if self.has_alpha and not self.keeps_alpha:
                yield np.array(over_grey(Image.fromarray(frame)))
            else:
                yield np.ascontiguousarray(frame[..., :3])

    def alphas(self) -> Iterator[np.ndarray]:
        """Yield how opaque each frame is: uint8, (height, width)."""
        for frame in self._read():
            yield frame[..., 3]

    def _read(self) -> Iterator[np.ndarray]:
        """Yield frames with their transparency, if there is any."""
        try:
            if self.look is not None:
                yield from video.shown(self.path, self.look, alpha=self.has_alpha)
            else:
                yield from _frames_of_picture(self.path, self.has_alpha)
        except ProbeError:
            raise
        except Exception as error:  # the many readers raise many kinds
            raise Unreadable(str(self.path), reason(error)) from None

    @cached_property
    def times(self) -> tuple[Fraction, ...]:
        """When each frame is shown, and last, when the film ends; in seconds.

        Time 0 is when its pictures or its sound begin, whichever is earlier. To know, all of a film
        is decoded once.

        Raises
        ------
        ProbeError
            If a frame does not say so, or the times go back.
        """
        try:
            if self.look is None:
                return _times_of_picture(self.path)
            with video.Film(self.path) as film:
                return video.times_of(film)
        except ProbeError:
            raise
        except Exception as error:  # the many readers raise many kinds
            raise Unreadable(str(self.path), reason(error)) from None


Pace = float | Movie
"""How fast frames follow each other: how many a second; or a film, whose times they take over."""


def read_movie(path: str | Path, into: str | Path | None = None) -> Movie:
    """Open a film (MP4, MOV, MKV, WebM) or an animation (GIF, WebP, APNG).

    Frames are read as players show them: turned and mirrored as the film says, with square pixels,
    in sRGB (HDR is converted: see `probe.images.colour`). `Movie.notes` tells what the film does
    not say and is taken for granted.

    Parameters
    ----------
    path : path
    into : path, optional
        What is going to be made of it. It is checked that this can be written, the notes tell what
        it does not hold, and transparency is kept if it holds some.

    Returns
    -------
    Movie
        Iterating over it gives its frames; each time from the first.

    Raises
    ------
    ProbeError
        If it cannot be read, or PyAV is not installed and needed; if the other cannot be written.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise ProbeError(
            f"film {str(path)!r} is a folder: write its pictures to a film in the order that is "
            "meant, as with ffmpeg -framerate 25 -i %d.png film.mp4"
        )
    if not path.is_file():
        raise ProbeError(f"film {str(path)!r} does not exist{near(path)}")
    kind = None if into is None else _kind(into)
    try:
        movie = _video(path, kind) if path.suffix.lower() in MOVIES else _animation(path)
    except ProbeError:
        raise
    except Exception as error:  # the many readers raise many kinds
        raise Unreadable(str(path), reason(error)) from None
    if into is None or kind is None:
        return movie
    check_animation(into, movie)
    notes, keeps = list(movie.notes), movie.has_alpha and kind == ".webp"
    if movie.has_sound and kind != ".mp4":
        notes.append(f"its sound is left out, which {kind} files do not hold")
    if movie.has_alpha and not keeps:
        notes.append("mid-grey lies behind its transparent places: choose .webp to keep them")
    unit = UNITS.get(kind)
    if unit and any((time - movie.times[0]) % unit for time in movie.times):
        notes.append(
            f"its times are rounded to {float(1000 * unit):g} ms, the unit of {kind} files"
        )
    return replace(movie, keeps_alpha=keeps, notes=tuple(notes))


def _kind(path: str | Path) -> str:
    """Return how the name of an animation ends, in lower case."""
    kind = Path(path).suffix.lower()
    if kind not in ANIMATED:
        raise ProbeError(
            f"{str(path)!r} cannot be written: its name has to end in {', '.join(ANIMATED)}"
        )
    if kind == ".mp4":
        check_mp4()
    return kind


def check_animation(path: str | Path, pace: Pace) -> str:
    """Check that an animation can be written as is wished, before there is one.

    Parameters
    ----------
    path, pace
        As for `write_frames`.

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
    kind = _kind(path)
    if isinstance(pace, Movie):
        shortest = min(after - time for time, after in pairwise(pace.times))
        # What rounds to it may be shorter by half a unit.
        if shortest < Fraction(1, FASTEST[kind]) - UNITS.get(kind, Fraction(1, 1000)) / 2:
            raise ProbeError(
                f"{str(path)!r} cannot hold the times of {str(pace.path)!r}: a frame is shown for "
                f"{float(1000 * shortest):.3g} ms, and must be for {1000 / FASTEST[kind]:g}; "
                "choose .mp4"
            )
    elif not 0.01 <= pace <= FASTEST[kind]:
        raise ProbeError(
            f"{str(path)!r} cannot hold {pace:g} frames a second, only 0.01 to {FASTEST[kind]}"
        )
    return kind


def write_frames(
    path: Path,
    kind: str,
    frames: Iterable[np.ndarray],
    pace: Pace,
    about: Mapping[str, Any],
    *,
    quality: int = 90,
) -> int:
    """Write an animation, a frame at a time.

    GIF and WebP files repeat for ever, and begin with the first frame; times are rounded to 10 ms
    and 1 ms. All frames of a GIF file share 256 colours, chosen from the whole clip, so that
    nothing flickers; its frames lie in a temporary file until they are. MP4 is H.264 (BT.709,
    4:2:0), which takes even sides: an odd one gets its last line twice.

    Parameters
    ----------
    path : Path
        Where to write; a file that is there is replaced.
    kind : str
        One of `ANIMATED`.
    frames : iterable of numpy.ndarray, (height, width, 3)
        RGB: uint8, or float from 0 to 1.
    pace : float or Movie
        Frames a second. Or the film that they are made from: each is shown when the film's frame
        was. An MP4 file has its sound, to its end, or to that of the frames if there are fewer;
        a WebP file its transparency, if `Movie.keeps_alpha`.
    about : mapping
        Plain values, which `about` reads again.
    quality : int
        From 1 to 100, of WebP and MP4.

    Returns
    -------
    int
        How many frames.

    Raises
    ------
    ProbeError
        If there is no frame, one is no picture or of another size than the first, there are more
        than the film has, or it cannot be written.
    """
    check_animation(path.with_suffix(kind), pace)
    if not 1 <= quality <= 100:
        raise ProbeError(f"quality {quality}: expected a number from 1 to 100")
    checked = _checked(frames, kind)
    if isinstance(pace, Movie):
        times, path_of_sound = pace.times, pace.path if pace.has_sound else None
        checked = _no_more_than(len(times) - 1, checked, pace.path)
        rate = Fraction(len(times) - 1) / (times[-1] - times[0])
        if kind == ".mp4":
            return write_mp4(
                path, checked, times.__getitem__, rate.limit_denominator(1001), about, quality,
                path_of_sound, len(times) - 1,
            )  # fmt: skip
        starts = times[0]

        def time_of(k: int) -> Fraction:
            return times[k] - starts
    else:
        rate = Fraction(pace).limit_denominator(1001)

        def time_of(k: int) -> Fraction:
            return k / rate

        if kind == ".mp4":
            return write_mp4(path, checked, time_of, rate, about, quality)
    if kind == ".gif":
        return _write_gif(path, checked, time_of, about)
    if isinstance(pace, Movie) and pace.keeps_alpha:
        checked = _with_alpha(checked, pace)
    return _write_webp(path, checked, time_of, about, quality)


def _no_more_than(length: int, frames: Iterator[np.ndarray], path: Path) -> Iterator[np.ndarray]:
    for k, frame in enumerate(frames):
        if k == length:
            raise ProbeError(f"there are more frames than {str(path)!r} has: {length}")
        yield frame


def _with_alpha(frames: Iterator[np.ndarray], movie: Movie) -> Iterator[np.ndarray]:
    """Add the transparency of a film to frames, at their own size."""
    for frame, alpha in zip(frames, movie.alphas(), strict=False):
        size = (frame.shape[1], frame.shape[0])
        fitting = Image.fromarray(alpha).resize(size, Image.Resampling.BILINEAR)
        yield np.dstack([frame, np.asarray(fitting)])


def _checked(frames: Iterable[np.ndarray], kind: str) -> Iterator[np.ndarray]:
    shape: tuple[int, ...] | None = None
    for k, frame in enumerate(frames):
        levels = np.asarray(frame)
        if levels.ndim != 3 or levels.shape[2] != 3 or 0 in levels.shape:
            raise ProbeError(f"frame {k} has shape {levels.shape}: expected (height, width, 3)")
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
            raise ProbeError(f"frame {k} is of {levels.dtype}: expected uint8 or float")
        yield levels
    if shape is None:
        raise ProbeError("a film needs at least one frame")


def _duration(k: int, time_of: Callable[[int], Fraction], unit: int) -> int:
    """Return how long frame k lasts, in 1/unit s, so that none is late by more than half of one."""
    return round(time_of(k + 1) * unit) - round(time_of(k) * unit)


def _write_gif(
    path: Path,
    frames: Iterator[np.ndarray],
    time_of: Callable[[int], Fraction],
    about: Mapping[str, Any],
) -> int:
    with tempfile.TemporaryFile() as file:
        first = next(frames)
        shape, count = first.shape, 0
        samples: list[np.ndarray] = []
        for frame in itertools.chain([first], frames):
            file.write(np.ascontiguousarray(frame).data)
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
            file.seek(0)
            for _ in range(count):
                frame = np.frombuffer(file.read(int(np.prod(shape))), np.uint8).reshape(shape)
                yield _dithered(frame, palette, step)

        pictures = indexed()
        next(pictures).save(
            path, "gif", save_all=True, append_images=pictures, loop=0, optimize=False,
            duration=[10 * _duration(k, time_of, 100) for k in range(count)],
            comment=as_text(about),
        )  # fmt: skip
    return count


def _dithered(frame: np.ndarray, palette: Image.Image, step: float) -> Image.Image:
    """Return a frame in the colours of a palette, with the same pattern in every frame."""
    height, width = frame.shape[:2]
    pattern = np.tile(_BAYER, (-(-height // 8), -(-width // 8)))[:height, :width, None]
    moved = frame + step * (pattern - 63 / 128)
    levels = np.clip(np.floor(moved + 0.5), 0, 255).astype(np.uint8)
    return Image.fromarray(levels).quantize(palette=palette, dither=Image.Dither.NONE)


def _write_webp(
    path: Path,
    frames: Iterator[np.ndarray],
    time_of: Callable[[int], Fraction],
    about: Mapping[str, Any],
    quality: int,
) -> int:
    durations: list[int] = []  # Pillow looks up each when it has the frame

    def pictures() -> Iterator[Image.Image]:
        for k, frame in enumerate(frames):
            durations.append(_duration(k, time_of, 1000))
            yield Image.fromarray(frame)

    others = pictures()
    next(others).save(
        path, "webp", save_all=True, append_images=others, loop=0, quality=quality,
        lossless=quality == 100, duration=durations,
        exif=exif_of(b"", srgb=True, text=as_text(about)).tobytes(),
    )  # fmt: skip
    return len(durations)


def _video(path: Path, kind: str | None) -> Movie:
    with video.Film(path) as film:
        look = film.look()
        stream = film.video
        fps = stream.average_rate or stream.guessed_rate or stream.base_rate
        if not fps:
            raise ValueError("it does not say how fast it is")
        has_sound, count = film.sound is not None, stream.frames
    notes = list(look.notes)
    if kind == ".mp4" and has_sound:
        with video.Film(path) as film:
            if note := sound_note(film):
                notes.append(note)
            if film.counts[1] > 1:
                notes.append(f"of its {film.counts[1]} sound tracks, the default one is kept")
    if not count:
        with video.Film(path) as film:
            count = sum(packet.size > 0 for packet in film.container.demux(film.video))
    return Movie(
        path, float(fps), look.size, count, has_sound, look.alpha, False, tuple(notes), look
    )


def _animation(path: Path) -> Movie:
    with Image.open(path) as opened:
        times = _times_shown(opened)
        if len(times) < 2:
            raise ValueError("it is a single picture, no animation")
        total = sum(one.lasting for one in times)
        count = sum(one.times for one in times)
        notes: list[str] = []
        meaning = meaning_of(opened, path.read_bytes(), notes)
        if isinstance(meaning, Profile) and not meaning.is_srgb and not notes:
            notes.append("its colours were converted to sRGB, by its colour profile")
        if not all(one.says for one in times):
            notes.append(
                "frames that do not say how long they are shown last 100 ms, as in browsers"
            )
        alpha = any(one.alpha for one in times)
        fps = float(1000 * count / total)
        return Movie(path, fps, opened.size, count, has_alpha=alpha, notes=tuple(notes))


def _times_of_picture(path: Path) -> tuple[Fraction, ...]:
    times = [Fraction(0)]
    with Image.open(path) as opened:
        for one in _times_shown(opened):
            # A frame that comes several times lasts as long as it did, in equal parts.
            times += [
                times[-1] + (k + 1) * one.lasting / one.times / 1000 for k in range(one.times)
            ]
    return tuple(times)


def _frames_of_picture(path: Path, alpha: bool) -> Iterator[np.ndarray]:
    with Image.open(path) as opened:
        times = _times_shown(opened)
        meaning = meaning_of(opened, path.read_bytes(), [])
        if isinstance(meaning, Profile) and (meaning.is_srgb or meaning.kind != "RGB"):
            meaning = None
        for one, frame in zip(times, ImageSequence.Iterator(opened), strict=True):
            levels = np.array(frame.convert("RGBA") if alpha else to_rgb(frame))
            if meaning is not None:
                rgb = np.ascontiguousarray(levels[..., :3])
                opaque = (
                    meaning.to_srgb(rgb) if isinstance(meaning, Numbers) else to_srgb(rgb, meaning)
                )
                levels[..., :3] = np.floor(opaque * 255 + 0.5)
            yield from [levels] * one.times


@dataclass(frozen=True)
class _Shown:
    """How a frame of an animation is shown: how often at a steady rate, and how long, in ms."""

    times: int
    lasting: Fraction
    says: bool
    alpha: bool


def _times_shown(opened: Image.Image) -> list[_Shown]:
    """Return how each frame of an animation is shown.

    Frames that are equal are kept once in these files, and last longer.
    """
    says, alphas = [], []
    for frame in ImageSequence.Iterator(opened):
        frame.load()
        says.append(Fraction(frame.info.get("duration", 0)).limit_denominator(100_000))
        alphas.append(
            frame.has_transparency_data
            and frame.convert("RGBA").getchannel("A").getextrema()[0] != 255
        )
    lasting = [time or Fraction(100) for time in says]  # as browsers have it
    shortest = min(lasting)
    return [
        _Shown(max(1, round(time / shortest)), time, bool(said), alpha)
        for time, said, alpha in zip(lasting, says, alphas, strict=True)
    ]
