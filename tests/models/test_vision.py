"""torchvision is imported without torch's compiler, and both are what they always are."""

import ast
import importlib.util
from pathlib import Path

import pytest
from processes import in_a_new_process

import probe
from probe.models.vision import put_off

PACKAGE = Path(probe.__file__).parent
EAGER = "from torch._dynamo.utils import is_compile_supported"


def installed_source():
    folder = Path(importlib.util.find_spec("torchvision").submodule_search_locations[0])
    return (folder / "ops" / "roi_align.py").read_bytes()


@pytest.mark.slow
def test_the_compiler_and_optimisers_work_afterwards():
    code = """
before = list(sys.meta_path)
from probe.models.vision import import_torchvision
import_torchvision()
assert sys.meta_path == before
import torch
assert "torch._dynamo" not in sys.modules and "_dynamo" not in vars(torch)
double = torch.compile(lambda x: 2 * x + 1, backend="eager")
assert double(torch.arange(3.0)).tolist() == [1, 3, 5]
for kind in (torch.optim.Adam, torch.optim.NAdam, torch.optim.SGD, torch.optim.LBFGS):
    x = torch.nn.Parameter(torch.tensor([3.0]))
    optimiser = kind([x], lr=0.1)
    for _ in range(200):
        def closure():
            optimiser.zero_grad()
            loss = ((x - 1) ** 2).sum()
            loss.backward()
            return loss
        optimiser.step(closure)
    assert abs(x.item() - 1) < 1e-2, (kind, x)
import torch._dynamo.config
print("done", torch._dynamo.config.suppress_errors)
"""
    assert in_a_new_process(code) == ["done", "False"]


@pytest.mark.slow
def test_optimisers_work_when_they_are_the_first_to_want_the_compiler():
    code = """
from probe.models.vision import import_torchvision
import_torchvision()
import torch
x = torch.nn.Parameter(torch.tensor([3.0]))
optimiser = torch.optim.SGD([x], lr=0.5, foreach=False)
(x**2 / 2).sum().backward()
optimiser.step()
print(x.item())
"""
    assert in_a_new_process(code) == ["1.5"]


@pytest.mark.slow
def test_roi_align_itself():
    """Against means that were worked out by hand, plain and as TorchScript."""
    code = """
import sys
from probe.models.vision import import_torchvision
ops = import_torchvision().ops
import torch
picture = torch.arange(16.0).reshape(1, 1, 4, 4)  # 4 y + x
boxes = torch.tensor([[0, 0.0, 0.0, 2.0, 2.0], [0, 1.0, 1.0, 3.0, 3.0]])
for function in (ops.roi_align, torch.jit.script(ops.roi_align)):
    pooled = function(picture, boxes, [1, 1], 1.0, 2, True)
    # The mean of a plane over a box is its value in the middle, half a pixel less.
    assert pooled.flatten().tolist() == [2.5, 7.5], pooled
assert "torch._dynamo" not in sys.modules
ours = sys.modules["torchvision.ops.roi_align"].is_compile_supported
import torch._dynamo
from torch._dynamo.utils import is_compile_supported
assert all(ours(kind) == is_compile_supported(kind) for kind in ("cpu", "cuda", "mps"))
print("done")
"""
    assert in_a_new_process(code) == ["done"]


@pytest.mark.slow
def test_threads_at_once():
    """Two want torchvision, one the compiler: all get the real ones."""
    code = """
import sys, threading
import torch
from probe.models.vision import import_torchvision
before, start, results = list(sys.meta_path), threading.Barrier(3), []
def load():
    start.wait()
    results.append(import_torchvision().models.alexnet)
def optimise():
    start.wait()
    x = torch.nn.Parameter(torch.tensor([3.0]))
    (x**2).sum().backward()
    torch.optim.Adam([x], lr=1.0).step()
    results.append(x)
threads = [threading.Thread(target=t) for t in (load, load, optimise)]
for t in threads: t.start()
for t in threads: t.join()
import torch._dynamo.utils
assert len(results) == 3 and sys.meta_path == before
models = [r for r in results if callable(r)]
assert models[0] is models[1]
assert torch._dynamo.utils.__file__.endswith("utils.py")
print(round(next(r for r in results if not callable(r)).item(), 3))
"""
    assert in_a_new_process(code) == ["2.0"]


@pytest.mark.slow  # in one process with another question, in test_compiler
@pytest.mark.parametrize("first", ["torch._dynamo", "torchvision"])
def test_what_is_loaded_is_left_as_it_is(first):
    code = f"""
import sys, {first}
from probe.models.vision import import_torchvision
import_torchvision()
print(sys.modules["torchvision.ops.roi_align"].is_compile_supported.__module__)
"""
    if put_off(installed_source()) is None:
        pytest.skip("torchvision puts the import off itself")
    assert in_a_new_process(code) == ["torch._dynamo.utils"]


def test_a_torchvision_that_does_it_itself_is_loaded_as_it_is(tmp_path):
    ops = tmp_path / "torchvision" / "ops"
    ops.mkdir(parents=True)
    (ops.parent / "__init__.py").write_text("from torchvision.ops import roi_align\n")
    (ops / "__init__.py").write_text("")
    source = f"def roi_align():\n    {EAGER}\n    return is_compile_supported\n"
    (ops / "roi_align.py").write_text(source)
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
before = list(sys.meta_path)
from probe.models.vision import import_torchvision
module = import_torchvision().ops.roi_align
assert sys.meta_path == before and "torch" not in sys.modules
print(module.__file__, hasattr(module, "is_compile_supported"))
"""
    assert in_a_new_process(code) == [str(ops / "roi_align.py"), "False"]


@pytest.mark.parametrize(
    "source",
    ["import torch\n", f"def f():\n    {EAGER}\n", "from torch._dynamo.utils import other\n"],
)
def test_other_imports_stay(source):
    assert put_off(source.encode()) is None


def test_the_rest_of_the_module_stays():
    source = f'"""Doc."""\nimport torch\n{EAGER}\n\n\ndef f(x):\n    return x\n'
    tree = put_off(source.encode())
    assert [(type(node).__name__, node.lineno) for node in tree.body] == [
        ("Expr", 1), ("Import", 2), ("FunctionDef", 3), ("FunctionDef", 6)
    ]  # fmt: skip
    assert ast.unparse(tree.body[3]) == "def f(x):\n    return x"


def test_whether_this_is_still_needed():
    if put_off(installed_source()) is None:
        pytest.skip("torchvision no longer imports torch._dynamo: probe.models.vision can go")


def _called(node):
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def _imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
        elif isinstance(node, ast.Call) and _called(node) == "import_module":
            yield from (a.value for a in node.args if isinstance(a, ast.Constant))


def test_torchvision_comes_from_here_alone():
    """Also timm, which imports it, is imported after it."""
    importing = {"torchvision": set(), "timm": set()}
    for file in PACKAGE.rglob("*.py"):
        text = file.read_text("utf-8")
        if not any(name in text for name in importing):
            continue
        for name in _imported(ast.parse(text)):
            if name.partition(".")[0] in importing:
                importing[name.partition(".")[0]].add(file.relative_to(PACKAGE).as_posix())
    assert importing == {"torchvision": {"models/vision.py"}, "timm": {"models/architectures.py"}}
