"""The same on a CUDA device; skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from probe import models
from probe.activations import PIXELS, capture, extract
from probe.models import Network
from probe.recordings import simulate_v1

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
LAYERS = ["features.0", "features.1", "features.3.squeeze", "features.12"]


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path / "cache"))


def test_extraction_agrees_with_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = models.load("squeezenet1_1", "random", seed=3)
    stimuli = simulate_v1().stimuli.subset(range(20))
    on_gpu = extract(network, stimuli, [PIXELS, *LAYERS], batch_size=8, device="cuda")
    assert next(network.module.parameters()).device.type == "cpu", "brought back"
    found = {layer: on_gpu.array(layer)[:] for layer in [PIXELS, *LAYERS]}
    monkeypatch.setenv("PROBE_CACHE", str(tmp_path / "other"))
    on_cpu = extract(network, stimuli, [PIXELS, *LAYERS], batch_size=8, device="cpu")
    np.testing.assert_array_equal(found[PIXELS], on_cpu.array(PIXELS)[:])
    for layer in LAYERS:
        expected = on_cpu.array(layer)[:]
        scale = np.abs(expected).max()
        # Convolutions run in TF32 there by default: 10 bits of mantissa.
        np.testing.assert_allclose(found[layer], expected, atol=5e-3 * scale)


def test_a_module_of_ones_own_stays_where_it_is() -> None:
    network = models.load("squeezenet1_1", "random").module.cuda()
    before = torch.cuda.get_rng_state()
    stimuli = simulate_v1().stimuli.subset(range(4))
    extract(Network.from_module(network), stimuli, LAYERS[:1])
    assert next(network.parameters()).device.type == "cuda"
    torch.testing.assert_close(torch.cuda.get_rng_state(), before)
    got = capture(network, torch.rand(2, 3, 224, 224, device="cuda"), LAYERS)
    assert got["features.0"].device.type == "cuda"
    torch.testing.assert_close(got["features.0"].relu(), got["features.1"])
