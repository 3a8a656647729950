"""What is heavy is imported when it is needed, not before."""

from __future__ import annotations

import json

import pytest
from PIL import Image
from processes import in_a_new_process

import probe

HELP = """
import contextlib, io, sys
from probe.cli import _app
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    _app("saliency")(["saliency", "--help"])
"""

STEPS = {
    "probe": ("import probe; NAMES = dir(probe)", "torch numpy"),
    **{
        f"settings of {room}": (f"import probe.{room}.settings", "numpy torch pandas")
        for room in ("attribution", "encoding", "features", "models", "recordings", "tuning")
    },
    "completion": (
        "from probe.cli import complete as c; from probe.settings import option_of; "
        "from probe.comparison.settings import RSASettings; c.several_models('a'); "
        "c.corrections(''); c.one_of(option_of(RSASettings, 'test').choices)('p')",
        "torch numba pandas numpy",
    ),
    "how targets are written": ("import probe.targets.names", "torch numpy"),
    "names of networks": ("from probe.models import names; names()", "torch"),
    "the registry": ("import probe.models.registry", "torch"),
    "cluster": ("import probe.cluster", "dask numpy torch"),
    "attribution": ("import probe.attribution", "torch captum"),
    "help of saliency": (HELP, "torch captum"),
    "assets": ("import probe.assets", "torch requests"),
    "pictures": ("import probe.images", "torch av"),
    "stimuli": ("import probe.stimuli", "torch"),
    "a folder of pictures": (
        "from probe.stimuli import image_set; image_set(FOLDER)", "torch pandas dask",
    ),
    "recordings": ("import probe.recordings", "torch"),
    "tau": ("import probe.similarity.kendall", "torch numba"),
    "an RDM": ("import numpy as np; from probe.similarity import rdm; rdm(np.eye(5, 9))", "torch"),
    "kinds of targets": ("import probe.targets.kinds", "probe.targets.text"),
    "reducers": ("import probe.activations.reduce", "numba"),
    "names of methods": ("import probe.attribution.methods", "captum"),
}  # fmt: skip
"""What is done one after the other in one process, and what is not there afterwards.

What one step imports is there for all later ones: light ones come first.
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Do all steps: which of the heavy were there after each, and the names of `probe`."""
    folder = tmp_path_factory.mktemp("pictures")
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    code = f"""
import json, sys
FOLDER, shown = {str(folder)!r}, {{}}
for name, (step, heavy) in {STEPS!r}.items():
    exec(step)
    shown[name] = [module for module in heavy.split() if module in sys.modules]
print(json.dumps([shown, NAMES]))
"""
    return json.loads(" ".join(in_a_new_process(code)))


@pytest.mark.parametrize("step", STEPS)
def test_heavy_modules_wait(told, step):
    assert told[0][step] == []


def test_dir_before_anything_was_loaded(told):
    assert {*probe.__all__, "__version__"} <= set(told[1])
