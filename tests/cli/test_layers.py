"""``probe layers``: the table, CSV, JSON, another size."""

from __future__ import annotations

import csv
import io
import json

import pytest


def lines_of(out):
    return [line.split() for line in out.splitlines()]


class TestTable:
    def test_a_line_for_each_layer_and_the_totals(self, run):
        ran = run("layers", "alexnet")
        assert (ran.code, ran.err) == (0, "")
        lines = lines_of(ran.out)
        assert lines[0] == [
            "layer", "alias", "type", "output", "field", "jump", "start", "parameters",
            "multiply-adds",
        ]  # fmt: skip
        conv3 = ["features.6", "conv3", "Conv2d", "384×13×13", "99", "16", "-34", "663,936"]
        assert [*conv3, "112,140,288", "*"] in lines
        fc8 = ["classifier.6", "fc8", "Linear", "1000", "whole", "4,097,000", "4,096,000", "*"]
        assert fc8 in lines
        assert ["features.5", "pool2", "MaxPool2d", "192×13×13", "67", "16", "-18"] in lines
        assert lines[-1] == ["whole", "network", "61,100,840", "714,188,480"]

    def test_some_layers_and_the_totals_of_all(self, run):
        lines = lines_of(run("layers", "alexnet", "--layers", "conv5").out)
        assert [line[0] for line in lines[2:]] == ["features.10", "whole"]
        assert lines[-1][2:] == ["61,100,840", "714,188,480"]

    def test_another_size(self, run):
        lines = lines_of(run("layers", "resnet18", "--layers", "layer4", "--size", "64x100").out)
        assert lines[2][:4] == ["layer4", "Sequential", "512×2×4", "435"]


class TestFiles:
    def test_json(self, run):
        infos = json.loads(run("layers", "alexnet", "--layers", "conv", "--json").out)
        assert [info["alias"] for info in infos] == [f"conv{k}" for k in range(1, 6)]
        assert infos[0]["output_shape"] == [64, 55, 55]
        assert infos[4]["receptive_field"] == {
            "size": [163, 163], "jump": [16.0, 16.0], "start": [-66, -66], "whole": False,
        }  # fmt: skip
        assert infos[4]["multiply_adds"] == 256 * 13 * 13 * 256 * 9

    def test_json_of_what_has_no_field(self, run):
        (info,) = json.loads(run("layers", "alexnet", "--layers", "fc6", "--json").out)
        field = {"size": [224, 224], "jump": None, "start": None, "whole": True}
        assert info["receptive_field"] == field

    def test_csv(self, run):
        ran = run("layers", "alexnet", "--layers", "conv5,fc8", "--csv")
        conv5, fc8 = csv.DictReader(io.StringIO(ran.out))
        assert conv5["layer"] == "features.10"
        wanted = {"field_height": "163", "field_width": "163", "jump_y": "16.0", "start_x": "-66"}
        assert wanted.items() <= conv5.items()
        assert (fc8["whole"], fc8["jump_x"], fc8["multiply_adds"]) == ("True", "", "4096000")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--size", "64"], ["size '64'", "HEIGHTxWIDTH", "224x224"]),
        (["--size", "0x64"], ["size '0x64'", "HEIGHTxWIDTH"]),
        (["--size", "-3x64"], ["size '-3x64'"]),
        (["--size", "16x16"], ["cannot be run", "(3, 16, 16)"]),
        (["--csv", "--json"], ["--csv", "--json", "choose one"]),
    ],
)
def test_bad_input(run, arguments, parts):
    error = run("layers", "alexnet", *arguments).error
    for part in parts:
        assert part in error
