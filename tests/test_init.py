import subprocess
import sys

import pytest

import probe


def in_a_new_process(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    "module",
    ["probe", "probe.recordings", "probe.stimuli", "probe.assets", "probe.images", "probe.models",
     "probe.models.registry", "probe.similarity"],
)  # fmt: skip
def test_importing_does_not_import_torch(module):
    code = f"import sys, {module}; print('torch' in sys.modules)"
    assert in_a_new_process(code) == "False"


def test_every_public_name_is_there():
    for name in probe.__all__:
        assert getattr(probe, name) is not None
        assert name in dir(probe)
    assert probe.rsa.__module__ == "probe.comparison.pipeline"


def test_dir_before_anything_was_loaded():
    shown = in_a_new_process("import probe; print(*dir(probe))").split()
    assert set(probe.__all__) < set(shown)
    assert "__version__" in shown


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'rsaa'"):
        _ = probe.rsaa
