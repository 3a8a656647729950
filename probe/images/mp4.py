"""MP4 files: H.264 pictures at any times, and the sound of another film in step with them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from math import lcm
from pathlib import Path
from typing import Any

import numpy as np

from probe.errors import ProbeError
from probe.images.metadata import as_text
from probe.images.reading import reason
from probe.images.video import Film, pyav

COPIED = ("aac", "ac3", "alac", "eac3", "flac", "mp3", "opus")
"""Sound that MP4 files hold and players play. Other sound is coded anew, as AAC."""

FINEST, USUAL = 10_000_000, 90_000
"""Units of a second: the smallest that times are kept in, and those they are rounded to if they
would need smaller ones."""

_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
"""Samples a second of AAC (ISO/IEC 14496-3, table 1.18)."""

_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
"""Of AAC, by the number of channels; FFmpeg mixes others down."""

_BITS = 96_000
"""Of AAC that is coded anew, a second and channel."""


def check_mp4() -> None:
    """Check that MP4 files can be written.

    Raises
    ------
    ProbeError
        If not.
    """
    if "libx264" not in pyav().codecs_available:
        raise ProbeError("this PyAV has no libx264: pip install --force-reinstall av")


def sound_note(film: Film) -> str:
    """Return what becomes of a film's sound in an MP4 file; empty if it is taken over as it is.

    Raises
    ------
    ValueError
        If it can be neither copied nor decoded.
    """
    codec = _codec_of(film)
    if codec in COPIED:
        return ""
    if next(film.container.decode(film.sound), None) is None:
        raise ValueError(f"its sound ({codec}) cannot be decoded")
    return f"its sound ({codec}) is coded anew as AAC, since players do not play it in MP4 files"


def write_mp4(
    path: Path,
    frames: Iterator[np.ndarray],
    time_of: Callable[[int], Fraction],
    rate: Fraction,
    about: Mapping[str, Any],
    quality: int,
    sound_of: Path | None = None,
    length: int | None = None,
) -> int:
    """Write an MP4 file, a frame at a time.

    Parameters
    ----------
    path : Path
    frames : iterator of numpy.ndarray, uint8, (height, width, 3)
    time_of : callable
        Gives when a frame is shown, in seconds; of the number after the last, when it ends.
    rate : Fraction
        Frames a second, on average.
    about : mapping
        Plain values.
    quality : int
        From 1 to 100.
    sound_of : Path, optional
        A film whose sound is taken over. Time 0 is when it begins, or its pictures, if they are
        earlier.
    length : int, optional
        Frames of that film. Sound goes on to its end if there are as many, and else stops with the
        last frame.

    Returns
    -------
    int
        How many frames.
    """
    av = pyav()
    from av.video.reformatter import Colorspace

    first, count = next(frames), 0
    times = [time_of(k) for k in range(1 + (length or 1))]
    unit = _unit(times)
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
        if len({after - time for time, after in pairwise(times)}) > 1:
            # The muxer takes how long a film is from when frames are decoded: not in another order.
            video.options |= {"bf": "0"}
        context = video.codec_context
        video.time_base = context.time_base = unit
        context.color_range, context.colorspace = 1, 1  # limited, BT.709
        context.color_primaries, context.color_trc = 1, 1
        lasting: dict[int, int] = {}

        def timed(packets: list[Any]) -> list[Any]:
            for packet in packets:
                packet.duration = lasting.pop(packet.pts)  # else that of the mean rate
            return packets

        packets = _sound(stack, sound_of, out) if sound_of else iter(())
        heard = next(packets, None)
        for frame in itertools.chain([first], frames):
            even = np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), "edge")
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
            coded = picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
            begins, ends = (round(time_of(count + k) / unit) for k in (0, 1))
            coded.pts, coded.time_base = begins, unit
            lasting[begins] = ends - begins
            out.mux(timed(video.encode(coded)))
            count += 1
            while heard is not None and heard.pts * heard.time_base < time_of(count):
                out.mux(heard)
                heard = next(packets, None)
        out.mux(timed(video.encode(None)))
        while heard is not None and count == length:
            out.mux(heard)
            heard = next(packets, None)
    return count


def _unit(times: Sequence[Fraction]) -> Fraction:
    """Return a unit that all times are multiples of, or which hardly changes them."""
    units = lcm(*(time.denominator for time in times))
    return Fraction(1, units if units <= FINEST else USUAL)


def _codec_of(film: Film) -> str:
    context = film.sound.codec_context
    return str(context.codec.canonical_name) if context is not None else "of an unknown kind"


def _sound(stack: contextlib.ExitStack, path: Path, out: Any) -> Iterator[Any]:
    """Return the packets of a film's sound, as they go into another film; none if it has none."""
    try:
        film = stack.enter_context(Film(path))
        if film.sound is None:
            return iter(())
        if _codec_of(film) in COPIED:
            return _copied(film, out.add_stream_from_template(film.sound))
        return _coded_anew(film, out)
    except (OSError, ValueError, pyav().FFmpegError) as error:
        raise ProbeError(
            f"the sound of {str(path)!r} cannot be taken over ({reason(error)})"
        ) from None


def _copied(film: Film, copy: Any) -> Iterator[Any]:
    later = round(film.begins / film.sound.time_base)
    for packet in film.container.demux(film.sound):
        if packet.dts is not None:  # the end has none
            packet.pts -= later
            packet.dts -= later
            packet.stream = copy
            yield packet


def _coded_anew(film: Film, out: Any) -> Iterator[Any]:
    av, sound = pyav(), film.sound
    rate = sound.rate if sound.rate in _RATES else 48000
    layout = _LAYOUTS.get(sound.layout.nb_channels, "stereo")
    copy = out.add_stream("aac", rate=rate, layout=layout)
    copy.bit_rate = _BITS * copy.layout.nb_channels

    def packets() -> Iterator[Any]:
        graph = av.filter.Graph()
        # Silence stands where there is none: before it begins, and in gaps.
        graph.link_nodes(
            graph.add_abuffer(template=sound, time_base=sound.time_base),
            graph.add("aresample", f"{rate}:async=1:first_pts=0"),
            graph.add("aformat", f"sample_fmts=fltp:channel_layouts={layout}"),
            graph.add("abuffersink"),
        ).configure()
        graph.set_audio_frame_size(1024)
        later = round(film.begins / sound.time_base)
        for frame in itertools.chain(film.container.decode(sound), [None]):
            if frame is not None:
                frame.pts = round(frame.pts * frame.time_base / sound.time_base) - later
                frame.time_base = sound.time_base
            graph.push(frame)
            with contextlib.suppress(av.BlockingIOError, av.EOFError):
                while True:
                    yield from copy.encode(graph.pull())
        yield from copy.encode(None)

    return packets()
