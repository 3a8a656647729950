"""The options of `encode`, and those of the commands, are the same."""

import inspect

import numpy as np
import pytest
from sklearn.model_selection import KFold

from probe.attribution import saliency
from probe.attribution.settings import SaliencySettings
from probe.encoding import encode
from probe.encoding.settings import EncodeSettings
from probe.errors import ProbeError
from probe.features import activation_maps, kernels, top_patches
from probe.features.settings import FilterSettings
from probe.recordings import read_recording
from probe.recordings.settings import ReadSettings
from probe.tuning import invariance
from probe.tuning.settings import InvarianceSettings


@pytest.mark.parametrize(
    ("function", "settings", "others"),
    [
        (encode, EncodeSettings, {"model", "dataset", "cluster", "output"}),
        (read_recording, ReadSettings, {"path"}),
        (invariance, InvarianceSettings, {"model", "images"}),
        (saliency, SaliencySettings, {"image", "model", "settings"}),
    ],
)
def test_the_function_has_the_options_and_their_defaults(function, settings, others):
    parameters = inspect.signature(function).parameters
    written = {name: p.default for name, p in parameters.items() if name not in others}
    defaults = settings().to_about()
    if settings is InvarianceSettings:  # a text, as a command has it
        defaults["transforms"] = tuple(defaults["transforms"].split(","))
    assert written == defaults


def test_the_functions_of_features_take_the_options_of_the_command():
    names = {
        name
        for function in (kernels, activation_maps, top_patches)
        for name in inspect.signature(function).parameters
    }
    assert set(FilterSettings().to_about()) - names == {
        "project", "weights", "preprocessing", "seed",
    }  # fmt: skip


def test_a_protocol_decides_method_and_readout():
    settings = EncodeSettings(protocol="brainscore-pls", n_components=3).checked()
    assert (settings.method, settings.readout, settings.n_components) == ("pls", "full", 25)
    assert settings.checked() == settings


@pytest.mark.parametrize("splits", [1, np.int64(0), True])
def test_one_part_is_held_out_of_nothing(splits):
    with pytest.raises(ProbeError, match="expected 2 or more"):
        EncodeSettings(splits=splits).checked()


def test_a_splitter_and_pairs_of_indices_are_taken():
    assert isinstance(EncodeSettings(splits=KFold(3)).checked().splits, KFold)
    pairs = KFold(3).split(np.zeros((9, 1)))  # an iterator, which several fits need
    assert len(EncodeSettings(splits=pairs).checked().splits) == 3
