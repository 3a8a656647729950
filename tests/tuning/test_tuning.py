"""`probe.tuning.tuning`: all experiments in one table."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from gabors import bank, gabor

from probe.errors import ProbeError
from probe.tuning import Tuning, tuning
from probe.tuning.published import distance, published
from probe.tuning.settings import STIMULI, TuningSettings, read_stimuli

pytestmark = pytest.mark.usefixtures("_coarse_pngs")


@pytest.fixture(scope="module")
def network():
    turns = [0.0, 30.0, 60.0, 95.0, 120.0]
    return bank([gabor(o, f) for o, f in zip(turns, [6, 8, 9, 11, 13], strict=True)])


@pytest.fixture(scope="module")
def measured(network) -> Tuning:
    return tuning(
        network, "1", stimuli="contrast,size", degrees=3.0, orientations=12, progress=False
    )


def test_a_row_per_unit_and_curves_beside_it(measured: Tuning) -> None:
    table = measured.table
    assert table["unit"].tolist() == [f"1:{k}" for k in range(5)]
    assert set(measured.properties) <= set(table)
    assert {"circular_variance", "summation_diameter", "c50"} <= set(measured.properties)
    assert set(measured.curves) == {"orientation", "frequency", "diameter", "contrast"}
    for frame in measured.curves.values():
        assert frame.index.tolist() == table["unit"].tolist()
    # The peak of a curve is where the table has it, as near as the curve was sampled.
    peaks = measured.curves["orientation"].idxmax(axis=1).to_numpy()
    assert np.abs((peaks - table["preferred_orientation"] + 90) % 180 - 90).max() <= 7.5


def test_degrees_are_what_the_user_says(network, measured: Tuning) -> None:
    table = measured.table
    np.testing.assert_allclose(table["preferred_frequency_deg"], table["preferred_frequency"] / 3.0)
    np.testing.assert_allclose(table["summation_diameter_deg"], table["summation_diameter"] * 3.0)
    without = tuning(network, "1", orientations=6, progress=False)
    assert "preferred_frequency_deg" not in without.table
    assert "preferred_frequency" not in set(without.compare()["property"])
    assert "preferred_frequency" in set(measured.compare()["property"])


def test_the_summary_counts(measured: Tuning) -> None:
    (row,) = measured.summary.to_dict("records")
    assert (row["units"], row["responding"], row["oriented"], row["simple"]) == (5, 5, 1, 1)
    assert row["f1_f0"] == pytest.approx(measured.table["f1_f0"].median())


def test_distances_are_those_of_the_published(measured: Tuning) -> None:
    compared = measured.compare("V1").set_index("property")
    reference = published("preferred_frequency", "V1")[0]
    assert compared.loc["preferred_frequency", "distance"] == pytest.approx(
        distance(measured.table["preferred_frequency_deg"], reference)
    )
    assert compared.loc["preferred_frequency", "source"] == reference.source
    # Cavanaugh et al. measured fields of neurons that are suppressed: here none is.
    assert compared.loc["summation_diameter", "n"] == 0
    assert np.isnan(compared.loc["summation_diameter", "distance"])


def test_units_without_tuning_are_counted_as_they_were(measured: Tuning) -> None:
    table = measured.table.assign(orientation_full_width=np.nan)
    untuned = Tuning(table, measured.curves, measured.about)
    assert untuned.sample("orientation_full_width").tolist() == [360.0] * 5
    row = untuned.compare("V1").set_index("property").loc["orientation_full_width"]
    assert row["distance"] == pytest.approx(0.5)  # all lie above the median


def test_saved_and_read(measured: Tuning, tmp_path) -> None:
    measured.save(tmp_path / "a.csv")
    table = pd.read_csv(tmp_path / "a.csv", dtype={"layer": str, "alias": str})
    numbers = measured.table.select_dtypes("number").columns
    assert table["unit"].tolist() == measured.table["unit"].tolist()
    np.testing.assert_allclose(table[numbers], measured.table[numbers], rtol=1e-6)
    assert measured.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    record = json.loads(json.dumps(measured.to_dict()))
    assert len(record["table"]) == 5
    assert record["about"]["degrees"] == 3.0
    assert "1:0" not in repr(measured)
    assert "5 units" in repr(measured)


def test_v1_knows_its_degrees_and_torch_s_random_numbers_are_left_alone() -> None:
    state = torch.random.get_rng_state()
    v1 = tuning("v1-gabor:40", "complex", orientations=4, progress=False)
    assert v1.degrees == 40
    assert torch.equal(torch.random.get_rng_state(), state)
    cells = v1.table["preferred_frequency_deg"]
    assert cells.between(0.45, 1.1).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stimuli": "gratngs"}, "stimuli 'gratngs': .*did you mean 'gratings'"),
        ({"stimuli": "size", "positions": "all"}, "positions 'all' go with gratings alone"),
        ({"orientations": 2}, "orientations 2: expected a number ≥ 4"),
        ({"area": "V3"}, "area 'V3': expected one of V1, V2, V4"),
        ({"degrees": 0}, "degrees 0: expected a number > 0"),
        ({"layers": "conv9"}, "no layer 'conv9'"),
        ({"sites": "site:v4:12"}, "all sites of a recording are measured at once"),
        ({"sites": "v4", "layers": "1"}, "sites and layers were both named"),
    ],
)
def test_what_cannot_be_measured(network, arguments: dict, message: str) -> None:
    with pytest.raises(ProbeError, match=message):
        tuning(network, **arguments)


def test_no_network() -> None:
    with pytest.raises(ProbeError, match="no network is named"):
        tuning()


def test_sizes_and_contrasts_bring_gratings() -> None:
    assert read_stimuli("contrast") == ["gratings", "contrast"]
    assert read_stimuli(["textures", "shapes"]) == ["shapes", "textures"]
    assert read_stimuli(",".join(STIMULI)) == list(STIMULI)
    assert read_stimuli(TuningSettings.stimuli) == ["gratings"]
