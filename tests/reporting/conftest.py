"""Results of a small network with a small recording, saved once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from torch import nn

import probe
from probe.models import Network, Preprocessing
from probe.recordings import Recording
from probe.stimuli import StimulusSet

N_STIMULI, N_SITES = 16, 3

HOSTILE = "\"'><script>alert(1)</script></style></title><img src=x onerror=alert(1)>${7*7}{{7*7}}"
"""What a name may be."""


class Tiny(nn.Module):
    """Two layers that always have the same weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 6, 5, 2, 2), nn.ReLU()
        rng = np.random.default_rng(1)
        for parameter in self.parameters():
            values = rng.normal(scale=0.3, size=tuple(parameter.shape)).astype(np.float32)
            parameter.data = nn.Parameter(parameter.new_tensor(values))

    def forward(self, x):
        return self.act(self.conv(x))


@pytest.fixture(scope="session", autouse=True)
def _no_window():
    with mpl.rc_context({"backend": "agg"}):
        yield


@pytest.fixture(scope="session")
def network() -> Network:
    return Network.from_module(Tiny(), Preprocessing.default((32, 32)), name="tiny") if (
        hasattr(Preprocessing, "default")
    ) else Network.from_module(Tiny(), name="tiny")  # fmt: skip


@pytest.fixture(scope="session")
def recording() -> Recording:
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (N_STIMULI, 4, 4, 3))
    shown = list(np.kron(coarse, np.ones((1, 8, 8, 1))).astype(np.uint8))
    drive = np.stack([one.mean((0, 1)) for one in shown]) @ rng.normal(size=(3, N_SITES)) / 20
    responses = drive[:, None] + rng.normal(size=(N_STIMULI, 2, N_SITES))
    names = [f"s{k:02d}" for k in range(N_STIMULI)]
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), responses)},
        coords={
            "stimulus_id": ("stimulus", names),
            "subject": ("neuroid", ["a"] * N_SITES),
            "region": ("neuroid", ["V4"] * N_SITES),
            "neuroid_id": ("neuroid", [f"u{k}" for k in range(N_SITES)]),
        },
        attrs={
            "name": "mine", "source_hash": "0", "simulated": True,
            "citation": "Doe & Roe (2020). A recording.", "licence": "CC0",
        },
    )  # fmt: skip
    return Recording(data, StimulusSet(names, shown, "blocks"))


@pytest.fixture(scope="session")
def rsa(network, recording) -> probe.RSAResult:
    result = probe.rsa(network, recording, layers="all", n_resamples=20, progress=False)
    assert isinstance(result, probe.RSAResult)
    return result


@pytest.fixture(scope="session")
def rsa_folder(rsa, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "rsa"
    rsa.save(folder)
    return folder


@pytest.fixture(scope="session")
def encoding(network, recording) -> probe.Encoding:
    fitted = probe.encode(
        network, recording, layers="all", splits=4, n_resamples=20, baselines="none",
        progress=False,
    )  # fmt: skip
    assert isinstance(fitted, probe.Encoding)
    return fitted


@pytest.fixture(scope="session")
def encoding_folder(encoding, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "encode"
    encoding.save(folder)
    return folder


@pytest.fixture(scope="session")
def in_time(recording) -> Recording:
    """Four times of 10 ms."""
    data = recording.data
    responses = np.stack([data["responses"].values] * 4, axis=2)
    responses = responses + np.random.default_rng(0).normal(scale=0.1, size=responses.shape)
    starts = 10.0 * np.arange(4)
    data = data.drop_vars("responses").assign(
        responses=(("stimulus", "repetition", "time", "neuroid"), responses)
    )
    data = data.assign_coords(time_start=("time", starts), time_end=("time", starts + 10))
    return Recording(data, recording.stimuli)


@pytest.fixture(scope="session")
def rsa_over_time(network, in_time):
    return probe.rsa(
        network, in_time, layers="act", n_resamples=20, time=(0, 40), step=20, progress=False
    )


@pytest.fixture(scope="session")
def encoding_over_time(network, in_time):
    named = in_time.data.assign_coords(neuroid_id=("neuroid", ["NA", "1", "nan"]))
    return probe.encode(
        network, Recording(named, in_time.stimuli), layers="act", splits=4, n_resamples=20,
        time=(0, 40), step=20, baselines="none", progress=False,
    )  # fmt: skip


@pytest.fixture(scope="session")
def hostile_text() -> str:
    return HOSTILE


@pytest.fixture(scope="session")
def hostile(rsa_folder, encoding_folder, tmp_path_factory):
    """Two results in which every text that is a name, a citation or a note is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    for source, file in ((rsa_folder, "result.json"), (encoding_folder, "encoding.json")):
        copy = folder / source.name
        shutil.copytree(source, copy)
        about = json.loads((copy / file).read_text())
        _spoil(about)
        (copy / file).write_text(json.dumps(about))
    sites = folder / "encode" / "sites.csv"
    sites.write_text(sites.read_text().replace("u1", '"' + HOSTILE.replace('"', '""') + '"'))
    return folder


def _spoil(value, key=""):
    """Replace texts that come from a user or a file by hostile ones, everywhere within."""
    names = (
        "name", "title", "citation", "licence", "weights_source", "preprocessing", "alias",
        "response_unit", "region", "stimulus_order", "platform", "shown",
    )  # fmt: skip
    if isinstance(value, dict):
        for inner, content in value.items():
            spoiled = _spoil(content, inner)
            value[inner] = spoiled
    elif isinstance(value, list):
        hostile = [HOSTILE] if key in ("remarks", "subjects", "command") else []
        value[:] = [_spoil(one, key) for one in value] + hostile
        if key == "subjects":
            value[:] = [HOSTILE]
    elif isinstance(value, str) and key in names:
        return f"javascript:{HOSTILE}" if key == "weights_source" else HOSTILE
    return value
