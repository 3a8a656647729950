"""The numbers in the package are those that the analysis computes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch

from probe.synthesis import natural
from probe.synthesis.parameterisations import in_colour

SCRIPT = Path(__file__).parents[2] / "analyses" / "natural_spectrum.py"


@pytest.fixture(scope="module")
def study() -> ModuleType:
    spec = importlib.util.spec_from_file_location("natural_spectrum", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_package_has_what_is_computed(study: ModuleType) -> None:
    found = study.fit(study.measured())
    np.testing.assert_allclose(natural.SPECTRUM.numpy(), found, atol=2e-3)


def test_a_known_spectrum_is_found_again(study: ModuleType) -> None:
    half = 2 * natural.amplitudes((study.SIZE, study.SIZE)).double().clamp(min=1e-9).log().numpy()
    np.testing.assert_allclose(study.fit(half), natural.SPECTRUM.numpy(), atol=1e-4)


def test_colours_are_taken_apart_as_they_are_put_together(study: ModuleType) -> None:
    drawn = np.random.default_rng(0)
    photograph = drawn.integers(20, 235, (256, 300, 3), dtype=np.uint8)
    colours = torch.from_numpy(study.decorrelated(photograph)).permute(2, 0, 1)[None]
    assert colours.shape == (1, 3, 256, 300)
    again = in_colour(colours.float())[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(again, photograph / 255, atol=1e-4)


def test_power_of_a_wave_lies_at_its_frequency(study: ModuleType) -> None:
    y = np.arange(study.SIZE + 10)[:, None, None]
    wave = np.cos(2 * np.pi * 30 * y / study.SIZE) * np.ones((1, study.SIZE, 3))
    found = study.power(wave)
    assert np.unravel_index(found[0].argmax(), found[0].shape) in ((30, 0), (194, 0))
    # All of its power: half a unit in each pixel, shared by the two halves of the spectrum.
    assert found[0][:, 0].sum() + 2 * found[0][:, 1:-1].sum() + found[0][
        :, -1
    ].sum() == pytest.approx(0.5 * study.SIZE**2, rel=1e-3)


def test_it_writes_a_table_and_a_figure(
    study: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(mpl.rcParams, "backend", "agg")
    monkeypatch.setattr(sys, "argv", ["natural_spectrum.py", "--output", str(tmp_path)])
    study.main()
    assert "-5.263" in capsys.readouterr().out
    assert (tmp_path / "natural_spectrum.png").stat().st_size > 10_000
    table = pd.read_csv(tmp_path / "natural_spectrum.csv")
    assert len(table) == 12 * 3 * 3
    gaps = (table.fitted - table.log_power).abs() / 2
    assert gaps.mean() < 0.05
