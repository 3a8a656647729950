"""The study of maps on a tiny part of it: the table is what the checks give, and it goes on."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from probe import models
from probe.attribution import METHODS, checks, gradients
from probe.targets import class_of

SCRIPT = Path(__file__).parents[2] / "analyses" / "attribution_checks.py"
SMALL = ["--quick", "--models", "squeezenet1_1", "--photographs", "chelsea"]


@pytest.fixture(scope="module")
def study() -> ModuleType:
    spec = importlib.util.spec_from_file_location("attribution_checks", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["attribution_checks"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mpl.rcParams, "backend", "agg")


@pytest.fixture(autouse=True)
def _random_weights(study: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where numbers come from is asked here, not which: no weights are needed."""
    load = models.load
    monkeypatch.setattr(
        study.models, "load", lambda name, weights="random", **given: load(name, weights, **given)
    )


def test_writes_table_and_figure(
    study: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    methods = ["gradient", "grad-cam"]
    assert study.main([*SMALL, "--methods", *methods, "--output", str(tmp_path)]) == 0
    table = pd.read_csv(tmp_path / "attribution_checks.csv")
    assert set(table["method"]) == set(methods)
    assert set(table["target"]) == {"Egyptian cat"}
    one = table[table["method"] == "gradient"]
    numbers = one[one["mode"].isna()].set_index("check")["value"]
    assert set(numbers.index) == {
        "target", "deletion", "insertion", "infidelity", "sensitivity", "share in box", "pointing",
    }  # fmt: skip
    assert numbers.notna().all()
    assert len(one[one["check"] == "randomisation"]) == 2 * 2 * 3
    assert (tmp_path / "attribution_checks.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.rglob("*.partial"))
    assert "grad-cam" in capsys.readouterr().out

    # The table has what the checks give for the same map.
    network = models.load("squeezenet1_1")
    photograph = study.PHOTOGRAPHS["chelsea"]
    images = network.preprocessing(photograph.picture)[None]
    target = class_of("Egyptian cat", network)
    maps = gradients.gradient(network.module, images, target).sum(1).abs()
    size = (224, 224)
    share = checks.share_in_box(maps, [photograph.box_at(size)], size)
    assert numbers["share in box"] == pytest.approx(float(share))
    curve = checks.deletion_curve(network.module, images, target, maps, steps=4)
    assert numbers["deletion"] == pytest.approx(float(curve.area[0]))


def test_goes_on_where_it_was_stopped(
    study: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls = []

    def examined(
        _network: object, photograph: object, method: object, _effort: object, _seed: int
    ) -> pd.DataFrame:
        calls.append((photograph, method))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return pd.DataFrame(
            {"model": "squeezenet1_1", "photograph": "chelsea", "method": method.name,  # type: ignore[attr-defined]
             "check": ["target", "deletion"], "value": [3.0, 0.5], "mode": np.nan,
             "measure": np.nan}
        )  # fmt: skip

    monkeypatch.setattr(study, "examine", examined)
    arguments = [*SMALL, "--methods", "gradient", "vargrad", "--output", str(tmp_path)]
    assert study.main(arguments) == 130
    assert "run again" in capsys.readouterr().err
    assert not (tmp_path / "attribution_checks.csv").exists()
    assert study.main(arguments) == 0
    assert len(calls) == 3
    assert study.main(arguments) == 0
    assert len(calls) == 3
    assert len(pd.read_csv(tmp_path / "attribution_checks.csv")) == 4


def test_every_method_is_ready_for_every_network(study: ModuleType) -> None:
    for model, layer in study.LAYERS.items():
        assert layer in {info.name for info in models.layers(models.load(model, "random"))}
        for method in METHODS.values():
            assert callable(study.ready(method, model, study.QUICK, 0))
    for effort in (study.FULL, study.QUICK):
        for name, settings in effort.settings.items():
            assert set(settings) <= set(METHODS[name].settings)


def test_boxes_lie_in_their_photographs(study: ModuleType) -> None:
    network = models.load("squeezenet1_1", "random")
    for photograph in study.PHOTOGRAPHS.values():
        left, top, right, bottom = photograph.box_at((224, 224))
        assert 0 <= left < right <= 224
        assert 0 <= top < bottom <= 224
        assert class_of(photograph.label, network).label == photograph.label


def test_alexnets_target_is_its_most_active_channel(study: ModuleType) -> None:
    network = models.load("alexnet", "random")
    images = network.preprocessing(study.PHOTOGRAPHS["coffee"].picture)[None]
    target = study.target_of(network, images, study.PHOTOGRAPHS["coffee"])
    means = network.module.features(images)[0].mean((1, 2))
    assert target.layer == "features.12"
    assert target.channel == int(means.argmax())


def test_refuses_what_does_not_exist(study: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        study.main(["--models", "vgg99", "--output", str(tmp_path)])
