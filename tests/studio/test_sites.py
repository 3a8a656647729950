"""Sites to choose from: what the lists say, and what a choice means for the other controls."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import probe
from probe.encoding import Encoding, kept
from probe.errors import ProbeError
from probe.recordings import Recording
from probe.stimuli import StimulusSet
from probe.studio import sites


def recorded(name: str) -> Recording:
    """Six sites, of which the last responds alike to all stimuli."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (16, 4, 4, 3))
    shown = list(np.kron(coarse, np.ones((1, 8, 8, 1))).astype(np.uint8))
    drive = np.stack([picture.mean((0, 1)) for picture in shown]) @ rng.normal(size=(3, 6)) / 20
    responses = drive[:, None] + rng.normal(size=(16, 2, 6)) * [0.1, 9, 1, 0.5, 3, 0]
    responses[..., 5] = 1.0
    ids = [f"s{k:03d}" for k in range(16)]
    data = xr.Dataset(
        {"responses": (("stimulus", "repetition", "neuroid"), responses)},
        coords={
            "stimulus_id": ("stimulus", ids),
            "subject": ("neuroid", ["a"] * 6),
            "region": ("neuroid", ["V4"] * 6),
            "neuroid_id": ("neuroid", [f"u{k}" for k in range(6)]),
        },
        attrs={"name": name, "source_hash": "0"},
    )
    return Recording(data, StimulusSet(ids, shown, "blocks"))


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROBE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def fit(name: str, layers: str = "features.3") -> Encoding:
    found: Any = probe.encode(
        "squeezenet1_1", recorded(name), layers=layers, readout="flat", weights="random",
        n_resamples=0, baselines=False, progress=False,
    )  # fmt: skip
    assert isinstance(found, Encoding)
    return found


@pytest.fixture(scope="module")
def fitted() -> Encoding:
    return fit("blocks")


@pytest.fixture(scope="module")
def key(fitted: Encoding) -> str:
    return dict(sites.recordings())["blocks, V4 · squeezenet1_1, weights random, features.3"]


def test_the_best_come_first_and_the_mean_before_them(fitted: Encoding, key: str) -> None:
    listed = sites.of_recording(key)
    some = fitted.sites[fitted.sites["sd"] > 0]
    assert len(some) == 5  # the last one cannot be a target
    r = some.set_index("site")["r"]
    median = f"{r.median():.3f}".lstrip("0")
    assert listed[0] == (f"all · mean of 5 sites · median r {median}", "all")
    numbers = [int(number) for _, number in listed[1:]]
    assert sorted(numbers) == [0, 1, 2, 3, 4]
    assert r[numbers].is_monotonic_decreasing
    assert r[numbers[0]] > r[numbers[-1]] + 0.2
    for (label, _), k in zip(listed[1:], numbers, strict=True):
        assert label.startswith(f"{k} · u{k} · r ")
        assert float(label.rpartition(" ")[2]) == pytest.approx(r[k], abs=5e-4)


def test_every_choice_is_a_target(fitted: Encoding, key: str) -> None:
    for _, number in sites.of_recording(key):
        chosen = sites.choose(key, number)
        assert chosen.target == f"site:blocks:{number}"
        assert chosen.model == ""  # random weights: the name of the network does not tell which
        assert chosen.said == fitted.site(number).facts["said"]


def test_of_several_layers_each_is_said() -> None:
    found = fit("layers", "features.0,features.1")
    (key,) = (key for label, key in sites.recordings() if label.startswith("layers, "))
    assert any(label.endswith(", 2 layers") for label, _ in sites.recordings())
    layers = found.sites["layer"]
    assert layers[:5].nunique() == 2
    for label, number in sites.of_recording(key)[1:]:
        assert label.endswith(f" · {layers[int(number)]}")


def test_a_site_without_a_score_comes_last_and_says_so(fitted: Encoding, key: str) -> None:
    (path,) = (fit.path for fit in kept.list_fits() if fit.path.name == key)
    text = (path / "sites.csv").read_text()
    table = pd.read_csv(path / "sites.csv", dtype=str, keep_default_na=False)
    table.loc[0, "r"] = ""
    table.to_csv(path / "sites.csv", index=False)
    try:
        assert sites.of_recording(key)[-1] == ("0 · u0 · no r", "0")
        assert ": no r with held-out" in sites.choose(key, "0").said
    finally:
        (path / "sites.csv").write_text(text)


def test_what_is_no_longer_kept_or_damaged(tmp_path: Path) -> None:
    fit("gone")
    (key,) = (key for label, key in sites.recordings() if label.startswith("gone, "))
    path = kept.folder() / key
    (path / "sites.npz").write_bytes(b"PK")
    with pytest.raises(ProbeError, match="is damaged"):
        sites.of_recording(key)
    shutil.rmtree(path)
    with pytest.raises(ProbeError, match="no longer kept: open the list again"):
        sites.choose(key, "1")
    for elsewhere in ("..", "../encodings", str(tmp_path), ""):
        with pytest.raises(ProbeError, match="no longer kept"):
            sites.of_recording(elsewhere)
