"""Recorded sites as a head of a network: fitted, scored, and used as targets."""

from probe.encoding.fitting import encode
from probe.encoding.map import Encodings
from probe.encoding.over_time import EncodingOverTime
from probe.encoding.result import Encoding, open_encoding
from probe.encoding.sites import Head, Site

__all__ = ["Encoding", "EncodingOverTime", "Encodings", "Head", "Site", "encode", "open_encoding"]
