"""The pictures of films as players show them: upright, of square pixels, in sRGB, at their times.

A film says by tags how its numbers become colours (ITU-T H.273), by a matrix how it is to be
turned and mirrored (ISO/IEC 14496-12, 8.3.2), by a ratio how oblong its pixels are, and of every
frame when it is shown. What a film does not say is read as players read it, and told in its notes;
what cannot be read so is refused.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from probe.errors import ProbeError
from probe.images import colour
from probe.images.colour import Numbers

UNSPECIFIED = 2
"""That a film does not say its matrix, primaries or transfer (H.273)."""

_MATRICES = {
    1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020",
}  # fmt: skip
"""What FFmpeg calls the matrices from luma and colour differences to RGB."""

_OF_PRIMARIES = {1: 1, 5: 5, 6: 6, 7: 7, 9: 9}
"""The matrix that goes with primaries, where a film says these alone."""

_SAYS_RANGE = ("av1", "h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4", "prores", "vp8",
               "vp9")  # fmt: skip
"""Films whose standards have them say whether black is 0 or 16: if only by saying nothing."""

_LIMITED, _FULL = 1, 2

_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""What decodes the transparency of WebM files, which FFmpeg's own decoders leave out."""

_NOT_A_FILM = ("attached_pic", "timed_thumbnails", "still_image")

STRETCH = 16
"""How oblong pixels may be."""


def pyav() -> Any:
    """Return PyAV.

    Raises
    ------
    ProbeError
        If it is not installed.
    """
    try:
        import av
    except ImportError:
        raise ProbeError("films need PyAV: pip install 'cnn-probe[video]'") from None
    return av


@dataclass(frozen=True)
class Look:
    """How the frames of a film are to be shown, by what its first one says.

    Attributes
    ----------
    coded : tuple
        Width, height and pixel format, which no frame may change.
    shown : tuple of int
        Width and height with square pixels, before it is turned.
    turn : numpy.ndarray, int, (2, 2)
        Where a step to the right and a step down go: rows of the display matrix.
    matrix : str or None
        By which colour differences become RGB; None if it holds RGB or grey.
    full : bool
        Whether values fill all of their bits; else from 16 to 235 of 255.
    numbers : Numbers or None
        What RGB values mean where that is not what BT.709 or sRGB values mean.
    grey, deep, alpha : bool
        Whether values are grey, have more than 8 bits, or come with transparency.
    notes : tuple of str
        What had to be taken for granted, and what is converted.
    """

    coded: tuple[int, int, str]
    shown: tuple[int, int]
    turn: np.ndarray
    matrix: str | None
    full: bool
    numbers: Numbers | None
    grey: bool
    deep: bool
    alpha: bool
    notes: tuple[str, ...]

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height, upright."""
        return self.shown if self.turn[0, 0] else (self.shown[1], self.shown[0])


class Film:
    """A film that is open; use it as a context.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    container, video, sound
        As PyAV has them; ``sound`` is None if there is none.
    """

    def __init__(self, path: Path) -> None:
        self.container = pyav().open(str(path))
        streams = [one for one in self.container.streams.video if not _is_still(one)]
        if not streams:
            self.container.close()
            raise ValueError("it holds no pictures")
        self.video = _default(streams)
        sounds = list(self.container.streams.audio)
        self.sound: Any = _default(sounds) if sounds else None
        self.counts = len(streams), len(sounds)

    @property
    def begins(self) -> Fraction:
        """When its pictures or its sound begin, in seconds: what is earlier."""
        starts = [
            one.start_time * one.time_base
            for one in (self.video, self.sound)
            if one is not None and one.start_time is not None
        ]
        return min(starts, default=Fraction(0))

    def __enter__(self) -> Film:
        return self

    def __exit__(self, *_: object) -> None:
        # Threads that still decode may want to log in Python, if a program has PyAV do so (older
        # torchvisions do); when the decoder is let go of, Python would wait for them, and they for
        # Python. Here it waits for them with its lock released.
        if self.video.codec_context is not None:
            self.video.codec_context.flush_buffers()
        self.container.close()

    def frames(self) -> Iterator[tuple[Fraction, Any]]:
        """Decode the frames that are shown, each with its time in seconds."""
        self.video.thread_type = "AUTO"
        last = None
        for frame in self._decoded():
            if frame.pts is None:
                raise ValueError("a frame does not say when it is shown")
            time = frame.pts * self.video.time_base
            if last is not None and time < last:
                raise ValueError(
                    f"its times go back, from {float(last):.3f} to {float(time):.3f} s"
                )
            if time != last:  # of two frames at one time, only one is seen
                yield time, frame
            last = time

    def _decoded(self) -> Iterator[Any]:
        name = self.video.codec_context.name
        codecs = pyav().codecs_available
        decoder = _ALPHA_DECODERS.get(name.removeprefix("lib").removeprefix("vpx-"))
        tags = {key.lower(): value for key, value in self.video.metadata.items()}
        # FFmpeg writes it in capitals where it was told to (-metadata:s:v alpha_mode=1).
        if tags.get("alpha_mode") != "1" or decoder not in codecs:
            yield from self.container.decode(self.video)
            return
        context = pyav().CodecContext.create(decoder, "r")
        for packet in self.container.demux(self.video):
            yield from context.decode(packet if packet.size else None)

    def look(self) -> Look:
        """Return how the frames are to be shown, by the first one."""
        _, first = next(self.frames(), (None, None))
        if first is None:
            raise ValueError("it holds no pictures")
        notes: list[str] = []
        form = first.format
        rgb = form.is_rgb or form.has_palette
        grey = not rgb and len(form.components) <= 2
        alpha = len(form.components) in (2, 4) or "pal8" in form.name
        matrix, numbers = _colours(first, rgb, grey, notes)
        if first.interlaced_frame:
            notes.append("it is interlaced: each frame shows two moments; deinterlace it first if "
                         "that shows")  # fmt: skip
        if self.counts[0] > 1:
            notes.append(f"of its {self.counts[0]} video streams, the default one is read")
        return Look(
            (first.width, first.height, form.name),
            _square(first.width, first.height, self.video.sample_aspect_ratio),
            _turn(first), matrix, _is_full(first, self.video, rgb, grey, notes), numbers, grey,
            max(part.bits for part in form.components) > 8, alpha, tuple(notes),
        )  # fmt: skip


def shown(path: Path, look: Look, *, alpha: bool = False) -> Iterator[np.ndarray]:
    """Decode the frames of a film as they are to be shown.

    Parameters
    ----------
    path : Path
    look : Look
    alpha : bool
        Give the transparency, too.

    Yields
    ------
    numpy.ndarray, uint8, (height, width, 3 or 4)
        RGB, and how opaque it is.
    """
    with Film(path) as film:
        graph = _graph(film, look, alpha)
        for _, frame in film.frames():
            if (frame.width, frame.height, frame.format.name) != look.coded:
                raise ValueError("its frames change their size or format midway")
            graph.push(frame)
            levels = _rounded(graph.pull().to_ndarray(), look)
            if not look.turn[0, 0]:
                levels = levels.swapaxes(0, 1)
            across, down = look.turn.sum(0)  # after which, each axis is at most mirrored
            yield np.ascontiguousarray(levels[::down, ::across])


def times_of(film: Film) -> tuple[Fraction, ...]:
    """Return when each frame is shown, and last, when the pictures end.

    In seconds since the pictures or the sound began, whichever is earlier.
    """
    times, lasting = [], 0
    begins = film.begins
    for time, frame in film.frames():
        times.append(time)
        lasting = frame.duration
    if not times:
        raise ValueError("it holds no pictures")
    end = times[-1] + lasting * film.video.time_base
    if not lasting:
        # It says how long it is as a whole, or else its last frame lasts as long as the one before.
        rate = film.video.average_rate
        gap = times[-1] - times[-2] if len(times) > 1 else 1 / rate if rate else Fraction(1, 25)
        duration = film.video.duration
        end = times[-1] + gap
        if duration and times[0] + duration * film.video.time_base > times[-1]:
            end = times[0] + duration * film.video.time_base
    return tuple(time - begins for time in (*times, end))


def _default(streams: list[Any]) -> Any:
    disposition = pyav().stream.Disposition
    return next((one for one in streams if one.disposition & disposition.default), streams[0])


def _is_still(stream: Any) -> bool:
    """Return whether a stream is a cover picture or the like."""
    disposition = pyav().stream.Disposition
    return any(stream.disposition & getattr(disposition, name) for name in _NOT_A_FILM)


def _turn(frame: Any) -> np.ndarray:
    """Read how a frame is turned and mirrored: rows of its display matrix, of −1, 0 and 1."""
    with contextlib.suppress(KeyError):
        entries = np.frombuffer(bytes(frame.side_data["DISPLAYMATRIX"]), np.int32)
        turn = entries.reshape(3, 3)[:2, :2] / 65536
        sizes = np.hypot(turn[:, 0], turn[:, 1])
        if not (sizes > 0).all():
            raise ValueError("its display matrix makes nothing of it")
        turn = turn / sizes[:, None]
        rounded = np.rint(turn)
        if np.abs(turn - rounded).max() > 0.01 or abs(round(np.linalg.det(rounded))) != 1:
            raise ValueError("it is to be turned by another angle than quarter turns")
        return rounded.astype(int)
    return np.eye(2, dtype=int)


def _square(width: int, height: int, ratio: Fraction | None) -> tuple[int, int]:
    """Return the size of a frame with square pixels: the side that is too short is stretched."""
    ratio = ratio or Fraction(1)
    if not 1 / STRETCH <= ratio <= STRETCH:
        raise ValueError(f"its pixels are {ratio.numerator} to {ratio.denominator}")
    if ratio >= 1:
        return round(width * ratio), height
    return width, round(height / ratio)


def _colours(
    frame: Any, rgb: bool, grey: bool, notes: list[str]
) -> tuple[str | None, Numbers | None]:
    """Return how a frame's values become RGB, and what that means."""
    primaries, transfer = int(frame.color_primaries), int(frame.color_trc)
    matrix = int(frame.colorspace)
    name = None
    if not rgb and not grey:
        if matrix == UNSPECIFIED and transfer in colour.HDR:
            matrix = 9
        if matrix == UNSPECIFIED:
            matrix = _OF_PRIMARIES.get(primaries, UNSPECIFIED)
        if matrix == UNSPECIFIED:
            matrix = 1 if frame.width >= 1280 or frame.height > 576 else 6
            notes.append(f"it does not say how its colours are coded: read by {_MATRICES[matrix]}, "
                         "as players do at this size")  # fmt: skip
        if matrix not in _MATRICES:
            raise ValueError(
                f"its colours are coded by matrix {matrix} of H.273, which is not read"
            )
        name = _MATRICES[matrix]
    numbers = Numbers(
        9 if primaries == UNSPECIFIED and transfer in colour.HDR else primaries, transfer
    )
    if numbers.is_hdr:
        notes.append(
            f"its HDR colours ({numbers}) are converted to SDR: reference white "
            f"({colour.WHITE:g} cd/m²) becomes white, and so does brighter light"
        )
    elif primaries in colour.NEAR:
        notes.append(
            f"its primaries ({colour.NEAR[primaries]}) are taken for the similar ones of BT.709"
        )
    elif not numbers.is_srgb:
        notes.append(f"its colours ({numbers}) are converted to sRGB")
    return name, None if numbers.is_srgb else numbers


def _is_full(frame: Any, stream: Any, rgb: bool, grey: bool, notes: list[str]) -> bool:
    said = int(frame.color_range)
    if rgb or frame.format.name.startswith("yuvj"):
        return True
    if said in (_LIMITED, _FULL):
        return said == _FULL
    if stream.codec_context.codec.canonical_name not in _SAYS_RANGE:
        notes.append(f"it does not say whether black is 0 or 16: read as {0 if grey else 16}, as "
                     "players do")  # fmt: skip
        return grey
    return False


def _graph(film: Film, look: Look, alpha: bool) -> Any:
    """Set up what makes RGB of square pixels of the frames of a film."""
    graph = pyav().filter.Graph()
    width, height = look.shown
    # Else FFmpeg cuts off where it should round, and all is darker by one level.
    options = f"{width}:{height}:flags=bicubic+accurate_rnd+full_chroma_int:interl=-1:out_range=pc"
    if look.matrix:
        options += f":in_color_matrix={look.matrix}:in_range={'pc' if look.full else 'tv'}"
    deep = look.deep or look.numbers is not None
    form = f"rgb{'a64le' if alpha else '48le'}" if deep else "rgba" if alpha else "rgb24"
    graph.link_nodes(
        graph.add_buffer(
            width=look.coded[0], height=look.coded[1], format=look.coded[2],
            time_base=film.video.time_base,
        ),
        graph.add("scale", options),
        graph.add("format", form),
        graph.add("buffersink"),
    ).configure()  # fmt: skip
    return graph


def _rounded(levels: np.ndarray, look: Look) -> np.ndarray:
    """Return RGB of 8 bits in sRGB, of what FFmpeg made of a frame."""
    if look.grey and not look.full:
        # FFmpeg takes grey values for full ones, whatever they are said to be.
        top = np.iinfo(levels.dtype).max
        rgb = np.clip((levels[..., :3] / top * 255 - 16) / 219, 0, 1) * top
        levels = np.concatenate([np.rint(rgb).astype(levels.dtype), levels[..., 3:]], axis=2)
    if levels.dtype == np.uint8:
        return levels
    if look.numbers is None:
        return ((levels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    rgb = look.numbers.to_srgb(np.ascontiguousarray(levels[..., :3]))
    eight = np.floor(rgb * 255 + 0.5).astype(np.uint8)
    if levels.shape[2] == 4:
        alpha = ((levels[..., 3:].astype(np.uint32) + 128) // 257).astype(np.uint8)
        eight = np.concatenate([eight, alpha], axis=2)
    return eight
