"""Pictures in and out: for networks, to work on and give back, and as films."""

from probe.images.editable import LIMIT, Original, open_picture, sha256_of
from probe.images.metadata import about, as_text, side_car
from probe.images.movies import ANIMATED, Movie, Pace, check_animation, read_movie, write_frames
from probe.images.reading import (
    GREY,
    MOVIES,
    SUFFIXES,
    Picture,
    Unreadable,
    check,
    kind_of,
    near,
)
from probe.images.viewing import COLOURS, notes_of, read, read_named
from probe.images.writing import OPAQUE, WRITTEN, check_kind, encode, png

__all__ = [
    "ANIMATED",
    "COLOURS",
    "GREY",
    "LIMIT",
    "MOVIES",
    "OPAQUE",
    "SUFFIXES",
    "WRITTEN",
    "Movie",
    "Original",
    "Pace",
    "Picture",
    "Unreadable",
    "about",
    "as_text",
    "check",
    "check_animation",
    "check_kind",
    "encode",
    "kind_of",
    "near",
    "notes_of",
    "open_picture",
    "png",
    "read",
    "read_movie",
    "read_named",
    "sha256_of",
    "side_car",
    "write_frames",
]
