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


def fit(name: str, layers: str = "features.3", readout: str = "flat") -> Encoding:
    found: Any = probe.encode(
        "squeezenet1_1", recorded(name), layers=layers, readout=readout, weights="random",
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
    mean, *listed = sites.of_recording(key)
    some = fitted.sites[fitted.sites["sd"] > 0]
    assert len(some) == 5  # the last one cannot be a target
    by_number = some.set_index("site")
    assert (mean.number, mean.name) == ("all", "mean of 5 sites")
    assert mean.r == pytest.approx(by_number["r"].median())
    numbers = [int(site.number) for site in listed]
    assert sorted(numbers) == [0, 1, 2, 3, 4]
    assert by_number["r"][numbers].is_monotonic_decreasing
    assert listed[0].r > listed[-1].r + 0.2
    for site, k in zip(listed, numbers, strict=True):
        assert site.name == f"u{k}"
        assert site.r == pytest.approx(by_number["r"][k])
        assert site.reliability == pytest.approx(by_number["reliability"][k])
        assert site.field is None  # a readout that is flat looks everywhere


def test_where_a_site_looks_is_a_share_of_the_picture() -> None:
    fitted = fit("fields", readout="field")
    (key,) = (key for label, key in sites.recordings() if label.startswith("fields, "))
    table = fitted.sites.set_index("site")
    listed = sites.of_recording(key)[1:]
    fields = {int(site.number): site.field for site in listed if site.field is not None}
    assert fields
    for k, (y, x, sd) in fields.items():
        assert (y, x, sd) == pytest.approx(tuple(table.loc[k, ["y", "x", "sd_field"]]))
        assert 0 < y < 1
        assert 0 < x < 1
        assert 0 < sd < 1


def test_every_choice_is_a_target(fitted: Encoding, key: str) -> None:
    for number in (site.number for site in sites.of_recording(key)):
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
    mean, *listed = sites.of_recording(key)
    assert mean.layer == "2 layers"
    for site in listed:
        assert site.layer == layers[int(site.number)]


def test_a_site_without_a_score_comes_last_and_says_so(fitted: Encoding, key: str) -> None:
    (path,) = (fit.path for fit in kept.list_fits() if fit.path.name == key)
    text = (path / "sites.csv").read_text()
    table = pd.read_csv(path / "sites.csv", dtype=str, keep_default_na=False)
    table.loc[0, "r"] = ""
    table.to_csv(path / "sites.csv", index=False)
    try:
        last = sites.of_recording(key)[-1]
        assert (last.number, last.name) == ("0", "u0")
        assert np.isnan(last.r)
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
