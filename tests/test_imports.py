"""Imports point one way inside the rooms, too: no two modules import each other, by any detour."""

import ast
from pathlib import Path

import probe

PACKAGE = Path(probe.__file__).parent


def _modules():
    modules = {}
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return modules


def _imports(tree):
    """List (module, names) of all imports, also inside functions; not those for types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING":
            for other in node.orelse:
                yield from _imports(other)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module, [alias.name for alias in node.names]
        else:
            yield from _imports(node)


def _graph(sources):
    """Map each module to those that it imports; a package that holds it is imported anyway."""
    graph = {}
    for name, source in sources.items():
        imported = set()
        for module, names in _imports(ast.parse(source)):
            parts = {f"{module}.{each}" for each in names} & sources.keys()
            imported |= parts
            if len(parts) < max(len(names), 1):
                imported |= {module} & sources.keys()
        graph[name] = {m for m in imported if m != name and not name.startswith(f"{m}.")}
    return graph


def _circle(graph):
    """Find modules that import each other in a circle, in order; none if there are none."""
    state = {}

    def visit(name, path):
        if state.get(name) == "left":
            return []
        if name in path:
            return path[path.index(name) :]
        for other in sorted(graph[name]):
            if circle := visit(other, [*path, name]):
                return circle
        state[name] = "left"
        return []

    return next((circle for name in sorted(graph) if (circle := visit(name, []))), [])


def test_no_modules_import_each_other():
    graph = _graph({name: file.read_text("utf-8") for name, file in _modules().items()})
    assert len(graph) > 200
    assert sum(map(len, graph.values())) > 1000
    assert _circle(graph) == []


def test_a_circle_is_found():
    sources = {
        "house": "",
        "house.a": "def f():\n    from house import b",
        "house.b": "from house.c import g",
        "house.c": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import house.a",
    }
    assert _circle(_graph(sources)) == []
    sources["house.c"] = "import house.a"
    assert _circle(_graph(sources)) == ["house.a", "house.b", "house.c"]
