"""A recording with a time axis."""

import numpy as np
import xarray as xr

from probe.recordings import Recording
from probe.stimuli import StimulusSet

BINS = np.column_stack([np.arange(0, 300, 10.0), np.arange(10, 310, 10.0)])


def recording(values, times, **attrs):
    n, _, _, m = values.shape
    rng = np.random.default_rng(0)
    pictures = list(rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8))
    names = [f"p{k}" for k in range(n)]
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "time", "neuroid"), values)},
        coords={
            "stimulus_id": ("stimulus", names),
            "subject": ("neuroid", ["s"] * m),
            "region": ("neuroid", ["V4"] * m),
            "neuroid_id": ("neuroid", [f"n{k}" for k in range(m)]),
            "time_start": ("time", times[:, 0]),
            "time_end": ("time", times[:, 1]),
        },
        attrs={"name": "over time", "source_hash": "abc", **attrs},
    )
    return Recording(data, StimulusSet(names, pictures, "pictures"))
