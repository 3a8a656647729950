from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from scipy import stats

SCRIPT = Path(__file__).parents[2] / "analyses" / "hierarchy.py"
_spec = importlib.util.spec_from_file_location("hierarchy", SCRIPT)
assert _spec is not None and _spec.loader is not None  # noqa: PT018
hierarchy = importlib.util.module_from_spec(_spec)
sys.modules["hierarchy"] = hierarchy
_spec.loader.exec_module(hierarchy)


def test_the_layer_that_made_the_data_is_chosen_in_every_resample() -> None:
    rng = np.random.default_rng(0)
    n, n_layers = 24, 5
    pairs = n * (n - 1) // 2
    layers = rng.normal(size=(n_layers, pairs))
    counts = hierarchy.draw_stimuli(n, 50, 0)
    assert counts.shape == (50, n)
    assert (counts.sum(axis=1) == n).all()
    for true in range(n_layers):
        data = layers[true] + 0.2 * rng.normal(size=(3, pairs))
        np.testing.assert_array_equal(
            hierarchy.chosen_depths(layers, data, counts), np.full(50, true / (n_layers - 1))
        )
    either = (layers[0] + layers[4]) + rng.normal(size=(2, pairs))
    depths = hierarchy.chosen_depths(layers, either, counts)
    assert set(depths) == {0.0, 1.0}


def test_p_is_twice_the_share_on_the_other_side() -> None:
    first, second = np.zeros(200), np.r_[np.full(4, -0.5), np.zeros(4), np.full(192, 0.5)]
    found = hierarchy.order_of(first, second)
    assert found["p"] == pytest.approx(2 * (4 + 2) / 200)
    assert found["difference"] == pytest.approx(second.mean())
    assert hierarchy.order_of(second, first)["p"] == pytest.approx(found["p"])
    assert hierarchy.order_of(first, first)["p"] == 1
    assert hierarchy.order_of(first, first + 1)["p"] == 1 / 200  # no fewer than one resample


def table_of(depths: list[list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"model": f"m{k}", "area": area.name, "depth": depth, "depth_low": depth - 0.1,
             "depth_high": depth + 0.1, "mean_depth": depth, "ceiling_lower": 0.5}
            for k, row in enumerate(depths)
            for area, depth in zip(hierarchy.AREAS, row, strict=True)
        ]
    )  # fmt: skip


def test_pages_test_is_scipys_and_its_least_p_that_of_all_in_order() -> None:
    ordered = hierarchy.page_test(table_of([[0.1, 0.5, 0.9]] * 4))
    assert ordered is not None
    assert ordered[1] == pytest.approx(1 / 6**4)
    mixed = [[0.1, 0.5, 0.9], [0.3, 0.2, 0.8], [0.5, 0.4, 0.3]]
    found = hierarchy.page_test(table_of(mixed))
    expected = stats.page_trend_test(np.array(mixed), method="exact")
    assert found == (expected.statistic, expected.pvalue)
    assert hierarchy.page_test(table_of(mixed[:1])) is None


def test_the_figure_has_a_column_per_network() -> None:
    table = table_of([[0.0, 0.5, 1.0], [0.5, 0.5, 0.5]])
    splits = pd.DataFrame(
        [
            {"model": model, "area": area.name, "depth": depth, "share_of_splits": 1 / 3,
             "score": 0.2, "se": 0.05}
            for model in ("m0", "m1") for area in hierarchy.AREAS for depth in (0.0, 0.5, 1.0)
        ]
    )  # fmt: skip
    figure = hierarchy.draw({"hierarchy": table, "splits": splits})
    assert [ax.get_title() for ax in figure.axes if ax.get_title()] == ["m0", "m1"]
    np.testing.assert_allclose(figure.axes[2].lines[0].get_ydata(), 0.4)  # of the ceiling
    plt.close(figure)


@pytest.mark.slow
def test_depths_are_chosen_once_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    areas = [hierarchy.Area(name, "sim-v4", "V4") for name in ("EVC", "V4", "IT")]
    monkeypatch.setattr(hierarchy, "AREAS", areas)
    arguments = ["--models", "hmax", "--n-resamples", "20", "--v4-stimuli", "24",
                 "--output", str(tmp_path)]  # fmt: skip
    assert hierarchy.main(arguments) == 0
    table = pd.read_csv(tmp_path / "hierarchy.csv")
    assert table["n_layers"].tolist() == [3, 3, 3]
    assert table["depth"].between(0, 1).all()
    assert table["depth"].nunique() == 1  # the same recording three times
    order = pd.read_csv(tmp_path / "order.csv")
    assert (order["difference"] == 0).all()
    assert (order["p"] == 1).all()
    assert "mean relative depth" in capsys.readouterr().out


def test_wrong_numbers_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        hierarchy.main(["--v4-stimuli", "10"])
    assert stopped.value.code == 2
    assert "--v4-stimuli 10: expected a number from 20 to 640" in capsys.readouterr().err
