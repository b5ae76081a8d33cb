"""The shape of the whole: the drawing, the prompts as sent, who imports whom, and what an import does.

Snapshots are files under tests/snapshots/. After an intended change, write them again and read the difference:

    UPDATE_SNAPSHOTS=1 pytest tests/test_shape.py
"""

import ast
import importlib.util
import json
import os
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph.state import CompiledStateGraph

import llamaberry
from llamaberry import Context, graph
from testing.scripted_groq import Request, Scripted, first, refine, synthesis
from testing.snapshots import check_snapshot

ROOT = Path(__file__).parents[1]
PACKAGES = {"llamaberry": "llamaberry", "llamaberry.graph": "graph", "llamaberry.nodes": "nodes"}
STEPS = {f"llamaberry.nodes.{name}" for name in ("first_turn", "refine_turn", "synthesize", "_node")}


def rendered(request: Request) -> str:
    """The messages of a request, readable."""
    return "\n\n".join(f"<<< {m['role']} >>>\n{m['content']}" for m in request.messages) + "\n"


def test_the_drawing_is_the_one_we_know() -> None:
    """START, a first turn, refine turns, a synthesis, END."""
    check_snapshot("graph.mmd", graph.get_graph().draw_mermaid())


async def test_the_prompts_are_the_ones_we_know(scripted: Scripted) -> None:
    """As they arrive at the provider: a changed word is a changed product."""
    said = [("user", "Call me Ann."), ("assistant", "Gladly, Ann."), ("user", "What is 6 x 7?")]
    groq = scripted([first("41"), refine("42", "revise", review="6 x 7 is 42, not 41."), synthesis()])
    await graph.ainvoke({"messages": said}, context=Context(max_turns=2))
    for name, request in zip(["first_turn", "refine_turn", "synthesize"], groq.requests, strict=True):
        check_snapshot(f"{name}.txt", rendered(request))


def modules() -> dict[str, ast.Module]:
    """Every module of the product, by its name."""
    return {
        package if path.stem == "__init__" else f"{package}.{path.stem}": ast.parse(path.read_text(encoding="utf-8"))
        for package, folder in PACKAGES.items()
        for path in (ROOT / folder).glob("*.py")
    }


def arrows() -> dict[str, set[str]]:
    """What each module imports of ours, wherever in the file it does."""
    trees = modules()
    found: dict[str, set[str]] = {name: set() for name in trees}
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found[name] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name} has a relative import, which langgraph.json's file path cannot load"
                assert node.module
                members = {f"{node.module}.{alias.name}" for alias in node.names}
                found[name] |= members & set(trees) or {node.module}
        found[name] &= set(trees)
    return found


def test_the_arrows_between_the_modules_point_one_way() -> None:
    """state, context <- _reply, _model <- nodes <- workflow <- the face; and there is no circle."""
    found = arrows()
    assert len(list(TopologicalSorter(found).static_order())) == len(found)
    assert found["llamaberry.graph.workflow"] > {"llamaberry.nodes.first_turn", "llamaberry.graph.state"}
    for name, imported in found.items():
        part = name.rpartition(".")[0]
        nodes = {other for other in imported if other.startswith("llamaberry.nodes")}
        face = {other for other in imported if other == "llamaberry" or other.rpartition(".")[0] == "llamaberry"}
        if name == "llamaberry.models.client":  # it reaches the local model, and nothing else of the face
            face -= {"llamaberry.models.local.download", "llamaberry.models.local.server"}
        if part == "llamaberry.graph" and name != "llamaberry.graph.workflow":
            assert not nodes, name
        if part in ("llamaberry.graph", "llamaberry.nodes"):
            assert not face, name
            assert "llamaberry.graph.workflow" not in imported, name
        if name.startswith("llamaberry.nodes._"):
            assert not nodes & STEPS, name


@pytest.mark.parametrize("package", ["llamaberry.graph", "llamaberry.nodes"])
def test_a_package_of_ours_holds_a_docstring_only(package: str) -> None:
    """A re-export there would make a circle."""
    tree = modules()[package]
    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


def python(code: str, **environment: str) -> str:
    """Run code in a new Python without a key, and return what it prints."""
    env = {"PATH": os.defpath, "HOME": "/nonexistent", **environment}
    ran = subprocess.run([sys.executable, "-B", "-c", code], env=env, cwd="/", capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.strip()


def test_an_import_does_nothing_but_define() -> None:
    """No key is needed, nothing is sent, looked up, started or written."""
    code = """
import sys, threading

REFUSED = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg",
           "subprocess.Popen", "os.fork", "os.posix_spawn", "os.mkdir", "os.remove", "os.rename", "os.putenv"}

def refuse(event, args):
    write = event == "open" and (set(args[1] or "") & set("wax+") or (args[2] or 0) & 3)
    if write or event in REFUSED:
        sys.stderr.write(f"{event} {args}")
        raise OSError(event)

sys.addaudithook(refuse)
import llamaberry.graph.workflow
print(threading.active_count(), "langchain_groq" in sys.modules)
"""
    assert python(code) == "1 False"


@pytest.mark.parametrize(
    "before",
    [
        "",
        "import llamaberry.graph.state",
        "from llamaberry import *; import llamaberry.nodes.first_turn",
    ],
)
def test_graph_is_the_graph_whatever_was_imported_before(before: str) -> None:
    """The folder of the same name never takes its place, and stays importable."""
    code = f"{before}\nfrom llamaberry import graph\nfrom llamaberry.graph.state import Turn\n"
    code += "import llamaberry\nassert llamaberry.graph is graph\nprint(type(graph).__name__, graph.name)"
    assert python(code) == "CompiledStateGraph llamaberry"


def test_the_face_alone_waits_for_nothing() -> None:
    """`llamaberry --version` does not load LangGraph."""
    code = (
        "import sys, llamaberry; print(llamaberry.__version__, 'langgraph' in sys.modules, 'pydantic' in sys.modules)"
    )
    assert python(code) == f"{llamaberry.__version__} False False"


@pytest.mark.parametrize("name", llamaberry.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    """`help()` shows it; and each has its line in the stub that type checkers read."""
    value = getattr(llamaberry, name)
    if name not in ("__version__", "graph"):  # values, not definitions
        assert (value.__doc__ or "").strip()
    source = Path(llamaberry.__file__).read_text(encoding="utf-8")
    assert f" as {name}\n" in source or f"    {name}: str" in source


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """Named, as Python does."""
    with pytest.raises(AttributeError, match="'llamaberry' has no attribute 'graphs'"):
        llamaberry.graphs  # noqa: B018


def test_langgraph_json_points_to_a_graph_that_a_server_can_load() -> None:
    """By its file path, without a checkpointer of its own, with forms for its input and its context."""
    settings = json.loads((ROOT / "langgraph.json").read_text(encoding="utf-8"))
    entry = settings["graphs"]["llamaberry"]
    assert entry["description"]
    path, name = entry["path"].split(":")
    spec = importlib.util.spec_from_file_location("loaded_by_path", ROOT / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loaded: CompiledStateGraph[Any, Any, Any, Any] = getattr(module, name)
    assert isinstance(loaded, CompiledStateGraph)
    assert loaded.checkpointer is None
    assert set(loaded.get_input_jsonschema()["properties"]) == {"query", "messages"}
    assert {"answer", "concise_answer", "turns"} < set(loaded.get_output_jsonschema()["properties"])


def test_the_form_of_the_context_describes_every_dial_and_asks_for_no_secret() -> None:
    """What lies in a context is kept in checkpoints and traces."""
    schema = graph.get_context_jsonschema()
    assert schema
    for name, dial in schema["properties"].items():
        assert dial["title"], name
        assert dial["description"], name
        assert not {"key", "url", "secret", "token"} & set(name.split("_")) - ({"token"} if "budget" in name else set())
