"""The examples in docstrings do what they show, and what users meet first has some."""

import ast
import doctest
import importlib
import inspect
import operator
from pathlib import Path

import pytest

import probe

ROOT = Path(probe.__file__).parent
WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    for path in ROOT.rglob("*.py")
    if any(">>> " in line and "+SKIP" not in line for line in path.read_text("utf-8").splitlines())
)

FIRST_MET = [
    "align", "atlas", "compare", "dream", "encode", "extract", "open_activations", "open_encoding",
    "reliability", "rsa", "saliency", "searchlight", "style", "superstimulus", "visualize",
    "features.activation_maps", "features.kernels", "features.top_patches",
    "inference.benjamini_hochberg", "inference.cluster_test", "inference.evaluate",
    "inference.holm", "inference.max_statistic_test", "inference.noise_ceiling",
    "models.layers", "models.load", "models.resolve", "recordings.from_folder",
    "recordings.load", "recordings.neuroid_reliability", "recordings.read_recording",
    "similarity.cka", "similarity.compare", "similarity.crossvalidated_rdm",
    "similarity.noise_precision", "similarity.partial", "similarity.procrustes", "similarity.rdm",
    "similarity.soft_matching", "similarity.svcca", "similarity.variance_partition",
    "targets.parse", "tuning.invariance", "tuning.tuning",
]  # fmt: skip


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_do_what_they_show(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name.removesuffix(".__init__"))
    ran = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert ran.attempted
    assert not ran.failed


@pytest.mark.parametrize("name", FIRST_MET)
def test_a_docstring_says_what_comes_in_and_out_and_what_else_there_is(name):
    room, _, function = name.rpartition(".")
    owner = importlib.import_module(f"probe.{room}") if room else probe
    lines = (inspect.getdoc(getattr(owner, function)) or "").splitlines()
    for heading in ("Parameters", "Returns", "Raises", "See Also"):
        if (function, heading) not in NOT_THERE:
            assert heading in lines, heading
            assert lines[lines.index(heading) + 1] == "-" * len(heading)


NOT_THERE = {("holm", "Raises"), ("benjamini_hochberg", "Raises"), ("parse", "Returns")}


def test_what_else_there_is_exists():
    """Names under See Also: of the same room, or with their room's."""
    for path in ROOT.rglob("*.py"):
        module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        for name in _named_in(path):
            assert _exists(name, module.removesuffix(".__init__")), (module, name)


def _named_in(path):
    """Find the names under See Also in all docstrings of a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            continue
        lines = (ast.get_docstring(node) or "").splitlines()
        if "See Also" not in lines:
            continue
        for line in lines[lines.index("See Also") + 2 :]:
            if not line:
                break
            if not line.startswith(" "):
                yield from line.partition(" : ")[0].split(", ")


def _exists(name, module):
    """Return whether a name is in the module, one of the packages around it, or stands alone."""
    rooms = [module]
    while "." in rooms[-1]:
        rooms.append(rooms[-1].rpartition(".")[0])
    for room in (*rooms, ""):
        owner, _, rest = name.partition(".") if not room else (room, "", name)
        try:
            # A package's name may be that of a function in it.
            operator.attrgetter(rest or "__name__")(importlib.import_module(owner))
        except (ImportError, AttributeError):
            continue
        return True
    return False
