"""The options of style transfer: in one place, and as older pictures have them."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields

import pytest

import probe
from probe.synthesis.style_settings import LAYERS, StyleSettings

WRITTEN = """
{"model": "vgg11", "weights": "random weights, seed 3", "weights_sha256": "9b", "made": "style",
 "settings": {"size": 64, "strength": 3.0, "mix": [2.0, 1.0], "loss": "wasserstein",
  "layers": {"relu1_1": 2.0, "relu2_1": 1.0, "relu3_1": 0.5}, "content_layer": "relu3_2",
  "pooling": "max", "histogram": 0.0, "smoothness": 1.0, "style_scale": 1.0, "colours": "style",
  "tileable": false, "steps": 3, "tolerance": 0.0, "precision": "float32", "start": null,
  "weights": "random", "threads": 1, "model": "vgg11"},
 "seed": 3, "content": {"name": "photo.png", "sha256": "ab"}, "begun_with": null}
"""
"""How a picture of version 0.1 says that it was made."""


def test_the_signature_has_the_same_options_and_defaults() -> None:
    parameters = inspect.signature(probe.style).parameters
    for field in fields(StyleSettings):
        assert parameters[field.name].default == field.default, field.name
    pictures = {"content", "styles", "masks", "style_masks"}
    of_this_call = {"limit", "preview", "preview_every", "progress"}
    assert set(parameters) - {f.name for f in fields(StyleSettings)} == pictures | of_this_call


def test_records_of_older_pictures_are_read_and_written_again_to_the_byte() -> None:
    record = json.loads(WRITTEN)
    settings = StyleSettings.from_about(record)
    assert (settings.seed, settings.mix, settings.model) == (3, [2.0, 1.0], "vgg11")
    assert json.dumps(settings.checked().to_about()) == json.dumps(record["settings"])


@pytest.mark.parametrize("loss", ["wasserstein", "gram"])
def test_each_loss_has_layers_of_its_own(loss: str) -> None:
    assert StyleSettings(loss=loss).checked().layers == LAYERS[loss]  # type: ignore[arg-type]


def test_weights_may_be_written_as_text() -> None:
    settings = StyleSettings(mix="2,1", layers="relu1_1=2, relu3_1").checked()
    assert settings.mix == [2, 1]
    assert settings.layers == {"relu1_1": 2, "relu3_1": 1}
    assert settings.style_weights(2) == [pytest.approx(4 / 3), pytest.approx(2 / 3)]
