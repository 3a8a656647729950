"""torch's compiler and SymPy are kept away from what compiles nothing, and unchanged afterwards."""

import json
import subprocess
import sys

import pytest

from probe.models.compiler import is_imported, without_compiler

SLOW = pytest.mark.slow

PROGRAMS = """
import json, os, sys, traceback
import torch
for line in sys.stdin:
    child = os.fork()
    if not child:
        try:
            exec(json.loads(line), {})
        except BaseException:
            print(traceback.format_exc().splitlines())
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


@pytest.fixture(scope="module")
def printed():
    """Run programs where torch has been imported, once for all, and nothing else: their lines."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAMS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def run(program):
            process.stdin.write(json.dumps(program) + "\n")
            process.stdin.flush()
            lines = []
            while (line := process.stdout.readline().strip()) != "ended":
                assert process.poll() is None
                lines.append(line)
            return lines

        yield run


def test_layers_are_the_same_without_it_and_it_works_afterwards(printed):
    code = """
import sys
import torch
from probe import models
from probe.models import layer_table

def tables():
    layer_table._of_architecture.cache_clear()
    layer_table._measures_of_architecture.cache_clear()
    return [(models.layers(name, (64, 64)), models.measures(name, (64, 64))) for name in NAMES]

NAMES = ["resnet18", "squeezenet1_1", "convnext_tiny"]
without = tables()
assert "torch._dynamo" not in sys.modules and "_dynamo" not in vars(torch)
assert "sympy" not in sys.modules
assert "torch.fx.experimental.symbolic_shapes" not in sys.modules
module = torch.nn.Linear(3, 3)
torch.optim.SGD(module.parameters(), 0.1)
assert hasattr(sys.modules["torch._dynamo"], "optimize")
x = torch.ones(2, 3)
seen = []
def backend(graph, inputs):
    seen.append(graph)
    return graph
torch.testing.assert_close(torch.compile(module, backend=backend)(x), module(x))
assert seen
assert tables() == without
# What was left alone is asked for again: under the compiler, it has to be left alone by it.
from torch import _refs
marks = [v for v in vars(_refs).values() if getattr(v, "__wrapped__", None)]
assert all(vars(m.__wrapped__).get("__dynamo_disable") is not m.__wrapped__ for m in marks)
print("done")
"""
    assert printed(code) == ["done"]


@pytest.mark.parametrize(
    "use",
    [
        "from torch._dynamo import optimize; assert callable(optimize)",
        "import torch._dynamo.config as c, torch._dynamo as d; assert c is d.config",
        pytest.param("torch.compile(torch.sin, backend='eager')(torch.ones(1))", marks=SLOW),
    ],
)
def test_whoever_wants_it_meanwhile_has_it(use, printed):
    code = f"""
import sys, threading
import torch
from probe.models.compiler import is_imported, without_compiler
with without_compiler():
    assert not is_imported()
    assert sys.modules["torch._dynamo"].disable(len) is len
    thread = threading.Thread(target=exec, args=({use!r}, globals()))
    thread.start()
    thread.join()
    assert is_imported()
assert is_imported() and hasattr(sys.modules["torch._dynamo"], "optimize")
print("done")
# torchvision that was imported with it is left as it is.
import torchvision
from probe.models.vision import import_torchvision
import_torchvision()
module = sys.modules["torchvision.ops.roi_align"]
print(getattr(module, "is_compile_supported", torch._dynamo.utils.is_compile_supported).__module__)
"""
    assert printed(code) == ["done", "torch._dynamo.utils"]


@pytest.mark.parametrize(
    "use",
    [
        "import sympy; assert sympy.Symbol('x') + 0 == sympy.Symbol('x')",
        "import sympy; assert issubclass(sympy.Symbol, sympy.Basic)",
        "from sympy.core.numbers import Integer; import sympy; assert Integer is sympy.Integer",
        "from torch.fx.experimental.symbolic_shapes import ShapeEnv; ShapeEnv()",
    ],
)
def test_who_wants_algebra_meanwhile_has_it(use, printed):
    code = f"""
import sys
import torch
from probe.models.compiler import without_compiler
with without_compiler():
    from torch.fx.experimental import symbolic_shapes as absent
    import sympy as without
    exec({use!r}, globals())
import sympy
from torch.fx.experimental import symbolic_shapes
assert sympy is sys.modules["sympy"] is not without
parts = [m for name, m in sys.modules.items() if name.startswith("sympy.")]
assert all(m.__spec__.origin == m.__file__ for m in parts)
assert not [finder for finder in sys.meta_path if isinstance(finder, list)]
assert without.Basic is sympy.Basic and absent.ShapeEnv is symbolic_shapes.ShapeEnv
print("done")
"""
    assert printed(code) == ["done"]


def test_conditions_are_decided_as_torch_does(printed):
    code = """
from torch.fx.experimental import symbolic_shapes
real = symbolic_shapes
import sys
del sys.modules[real.__name__]
from probe.models import compiler
with compiler.without_compiler():
    absent = sys.modules[real.__name__]
    assert absent is not real
    yes_or_no = [(True,), (False,)]
    arguments = {
        **dict.fromkeys(compiler._PLAIN, yes_or_no),
        "sym_and": [(True,), (True, False), (True, True, True), (False, True)],
        "sym_or": [(False,), (True, False), (False, False, False), (False, True)],
        "sym_eq": [(2, 2), (2, 3), ((1, 2), [1, 2]), ([1, 2], [2, 1]), ([1], [1, 2]), ([], [])],
        "is_nested_int": [(3,), (0,)],
        "has_guarding_hint": [(3,), (0,)],
        "guarding_hint_or_throw": [(3,), (0,)],
    }
    for name, several in arguments.items():
        for each in several:
            assert getattr(absent, name)(*each) is getattr(real, name)(*each), (name, each)
    assert sys.modules[real.__name__] is absent
    # Of symbols, torch itself decides.
    assert absent.ShapeEnv is not None and sys.modules[real.__name__] is not absent
    length = absent.ShapeEnv().create_unbacked_symint()
    assert absent.guard_or_true(length == 3) is True and absent.guard_or_false(length == 3) is False
print("done")
"""
    assert printed(code) == ["done"]


def test_it_stays_where_it_is_imported(monkeypatch):
    compiler = object()
    monkeypatch.setitem(sys.modules, "torch._dynamo", compiler)
    with without_compiler():
        assert is_imported()
        assert sys.modules["torch._dynamo"] is compiler


def test_one_within_another_and_an_error(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch._dynamo", raising=False)

    def function():
        pass

    def use():
        with without_compiler():
            with without_compiler():
                function.__dynamo_disable = sys.modules["torch._dynamo"].disable(function)
            assert not is_imported()
            assert "torch._dynamo" in sys.modules
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()
    assert "torch._dynamo" not in sys.modules
    assert not hasattr(function, "__dynamo_disable")
