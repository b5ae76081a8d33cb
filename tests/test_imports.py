"""Imports point one way, and there is no cycle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = [
    {"console", "graph"},
    {"file_lock", "folders"},
    {"html", "jsonl", "models", "sandbox", "tracing"},
    {"nodes"},
    {"graph.workflow"},
    {"presets", "remote", "runs", "stream", "threads", "tool"},
    {"batch", "evaluation", "server"},
    {"web"},
    {"cli"},
]
"""Parts of the product, each with those that it may import before it."""


def source_files() -> dict[str, Path]:
    """Return every module of the product, by its name below llamaberry."""
    roots = {"": ROOT / "llamaberry", "graph.": ROOT / "graph", "nodes.": ROOT / "nodes"}
    return {
        prefix + ".".join(path.relative_to(root).with_suffix("").parts).removesuffix("__init__").rstrip("."): path
        for prefix, root in roots.items()
        for path in root.rglob("*.py")
        if prefix or path.relative_to(root).parts[0] not in ("graph", "nodes")  # links for static tools
    }


FILES = source_files()


def imports(name: str) -> set[str]:
    """Return the modules of the product that a module imports, anywhere in its file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import, which langgraph.json's file path cannot load"
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {member for member in members if member.removeprefix("llamaberry.") in FILES} or {str(node.module)}
    return {module.removeprefix("llamaberry.") for module in found if module.startswith("llamaberry.")} & FILES.keys()


def layer(name: str) -> int:
    """Return the layer of a module: that of its own name, or of its package."""
    for part in (name, name.partition(".")[0]):
        for number, parts in enumerate(LAYERS):
            if part in parts:
                return number
    raise LookupError(f"{name} belongs to no layer")


MODULES = sorted(FILES.keys() - {"", "__main__"})


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_from_layers_below(name: str) -> None:
    own = name.partition(".")[0]
    for module in imports(name):
        assert layer(module) < layer(name) or module.partition(".")[0] == own, module
        assert layer(module) <= layer(name), module


def test_the_sandbox_imports_only_the_errors_of_the_graph() -> None:
    assert imports("sandbox") == {"console", "graph.errors"}


def test_there_is_no_import_cycle() -> None:
    order = TopologicalSorter({name: imports(name) for name in MODULES}).static_order()
    assert {"graph.state", "nodes.first_turn", "cli.main"} <= set(order)


@pytest.mark.parametrize("package", ["graph", "nodes"])
def test_a_package_has_only_a_docstring(package: str) -> None:
    """A re-export there would make a cycle."""
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


def test_the_steps_come_first_in_nodes() -> None:
    public = sorted(path.stem for path in (ROOT / "nodes").glob("[a-z]*.py"))
    assert public == ["first_turn", "refine_turn", "synthesize", "verify"]
