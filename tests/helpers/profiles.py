"""Colour profiles made by hand (ICC.1:2022, version 2 of the format)."""

from __future__ import annotations

import struct

import numpy as np

D50 = np.array([0.9642, 1.0, 0.8249])
PRIMARIES = {  # chromaticities x, y of red, green, blue; all under D65
    "srgb": [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)],
    "p3": [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)],
    "adobe": [(0.64, 0.33), (0.21, 0.71), (0.15, 0.06)],
}
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def fixed(*numbers):
    return struct.pack(f">{len(numbers)}i", *(round(65536 * n) for n in numbers))


def gamma(exponent):
    return b"curv" + struct.pack(">IIH", 0, 1, round(exponent * 256))


def table(values):
    points = np.floor(np.asarray(values) * 65535 + 0.5).astype(">u2")
    return b"curv" + struct.pack(">II", 0, len(points)) + points.tobytes()


def para(form, *numbers):
    return b"para" + struct.pack(">IHH", 0, form, 0) + fixed(*numbers)


SRGB_CURVE = para(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def file_of_tags(space, pcs, tags):
    text = b"desc" + struct.pack(">II", 0, 5) + b"test\0" + bytes(79)
    tags = {b"desc": text, b"cprt": b"text" + bytes(4) + b"none\0",
            b"wtpt": b"XYZ " + bytes(4) + fixed(*D50), **tags}  # fmt: skip
    table_of, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table_of += struct.pack(">4sII", name, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(
        ">I4sI4s4s4s12s4s4sIIIQI", start + len(body), b"test", 0x02400000, b"mntr", space, pcs,
        bytes(12), b"acsp", b"none", 0, 0, 0, 0, 0,
    ) + fixed(*D50)  # fmt: skip
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table_of + body


def matrix_of(primaries):
    """From RGB to XYZ under D50 (Lindbloom): white is D65, adapted as Bradford's matrix says."""
    xyz = np.array([[x / y, 1, (1 - x - y) / y] for x, y in PRIMARIES[primaries]]).T
    white = np.array([0.95047, 1.0, 1.08883])
    rgb = xyz * np.linalg.solve(xyz, white)
    cones = np.diag((BRADFORD @ D50) / (BRADFORD @ white))
    return np.linalg.inv(BRADFORD) @ cones @ BRADFORD @ rgb


def rgb_profile(primaries="p3", curve=SRGB_CURVE):
    tags = {}
    for k, band in enumerate(b"rgb"):
        tags[bytes([band]) + b"XYZ"] = b"XYZ " + bytes(4) + fixed(*matrix_of(primaries)[:, k])
        tags[bytes([band]) + b"TRC"] = curve
    return file_of_tags(b"RGB ", b"XYZ ", tags)


def grey_profile(curve):
    return file_of_tags(b"GRAY", b"XYZ ", {b"kTRC": curve})


def table_profile(space, lab_of):
    """A profile of a table of 2 points a channel: lab_of gives a corner's L*, a*, b*."""
    n = {b"RGB ": 3, b"CMYK": 4}[space]
    corners = np.array([lab_of(corner) for corner in np.ndindex(*[2] * n)])
    nodes = np.floor(corners * [2.55, 1, 1] + [0.5, 128.5, 128.5]).astype(np.uint8)
    ramp = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([n, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    return file_of_tags(space, b"Lab ", {b"A2B0": lut + ramp * n + nodes.tobytes() + ramp * 3})


def ink_on_paper(c):
    """Every ink takes a part of the light."""
    light = 100 * (1 - 0.3 * c[0]) * (1 - 0.4 * c[1]) * (1 - 0.9 * c[3])
    return light, -40 * c[0] + 60 * c[1], -50 * c[0] + 80 * c[2]


def opponents(c):
    return 100 * (0.3 * c[0] + 0.6 * c[1] + 0.1 * c[2]), 60 * (c[0] - c[1]), 50 * (c[0] - c[2])


PROFILES = {
    "p3": rgb_profile("p3"),
    "adobe": rgb_profile("adobe", gamma(563 / 256)),
    "table": rgb_profile("adobe", table(np.linspace(0, 1, 1024) ** 1.8)),
    "grey": grey_profile(gamma(1.8)),
    "srgb": rgb_profile("srgb"),
    "cmyk": table_profile(b"CMYK", ink_on_paper),
    "scanner": table_profile(b"RGB ", opponents),
}
