"""Pictures as FFmpeg writes and reads them."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest


@pytest.fixture(scope="session")
def ffmpeg_png():
    """Write a PNG file of 16 bits, as FFmpeg does."""
    import av

    kinds = {2: "gray16be", 3: "rgb48be", 4: "rgba64be"}

    def write(values, interlaced=False):
        kind = "ya16be" if values.ndim == 3 and values.shape[2] == 2 else None
        kind = kind or kinds[2 if values.ndim == 2 else values.shape[2]]
        frame = av.VideoFrame(values.shape[1], values.shape[0], kind)
        plane = np.frombuffer(frame.planes[0], np.uint8).reshape(len(values), -1)
        rows = values.astype(">u2").reshape(len(values), -1).view(np.uint8)
        plane[:, : rows.shape[1]] = rows
        context = av.CodecContext.create("png", "w")
        context.width, context.height, context.pix_fmt = frame.width, frame.height, kind
        context.time_base = Fraction(1)
        if interlaced:
            context.flags |= 1 << 18  # AV_CODEC_FLAG_INTERLACED_DCT
        return b"".join(bytes(p) for p in [*context.encode(frame), *context.encode(None)])

    return write


@pytest.fixture(scope="session")
def ffmpeg_read():
    """Decode a picture, as FFmpeg does: uint16, (height, width, 3 or 4)."""
    import av

    def read(content):
        with av.open(io.BytesIO(content)) as container:
            frame = next(container.decode(video=0))
        return frame.to_ndarray(format=frame.format.name)

    return read
