"""The shape of the whole: the drawing, the prompts as sent, and what an import does.

Snapshots are files under tests/snapshots/. After an intended change, write them again and read the difference:

    UPDATE_SNAPSHOTS=1 pytest tests/test_shape.py
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph.state import CompiledStateGraph

import llamaberry
from llamaberry import Context, graph
from testing.scripted_groq import Request, Scripted, first, program, refine, synthesis
from testing.snapshots import check_snapshot

ROOT = Path(__file__).parents[1]


def rendered(request: Request) -> str:
    """The messages of a request, readable."""
    return "\n\n".join(f"<<< {m['role']} >>>\n{m['content']}" for m in request.messages) + "\n"


def test_the_drawing_matches_its_snapshot() -> None:
    check_snapshot("graph.mmd", graph.get_graph().draw_mermaid())


async def test_the_prompts_match_their_snapshots(scripted: Scripted) -> None:
    """As the provider receives them."""
    messages = [("user", "Call me Ann."), ("assistant", "Gladly, Ann."), ("user", "What is 6 x 7?")]
    groq = scripted([first("41"), refine("42", "revise", review="6 x 7 is 42, not 41."), synthesis()])
    await graph.ainvoke({"messages": messages}, context=Context(max_turns=2))
    for name, request in zip(["first_turn", "refine_turn", "synthesize"], groq.requests, strict=True):
        check_snapshot(f"{name}.txt", rendered(request))
    check_snapshot("verify.txt", rendered(groq.program_requests[0]))


async def test_the_prompts_with_a_program_match_their_snapshots(scripted: Scripted) -> None:
    """A program that fails, one that is rejected, and one that stands against the turns."""
    rejection = f"Program: wrong, it adds.\n\n{first('42')}"
    programs = [program("print(6 x 7)"), program("print(6 + 7)"), program("print(6 * 8)")]
    groq = scripted([first("41"), rejection, first("43"), synthesis()], programs)
    await graph.ainvoke({"query": "What is 6 x 7?"})
    prompts = [*groq.program_requests[1:], *groq.requests[1:2], *groq.requests[3:]]
    names = ["verify_repair", "verify_rewrite", "refine_turn_with_program", "synthesize_with_program"]
    for name, request in zip(names, prompts, strict=True):
        check_snapshot(f"{name}.txt", rendered(request))


def python(code: str, **environment: str) -> str:
    """Run code in a new Python without a key, and return what it prints."""
    env = {"PATH": os.defpath, "HOME": "/nonexistent", **environment}
    ran = subprocess.run([sys.executable, "-B", "-c", code], env=env, cwd="/", capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.strip()


def test_an_import_has_no_side_effects() -> None:
    """It needs no key, and does not write files, open connections or start processes or threads."""
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
def test_graph_is_the_graph_whatever_is_imported_first(before: str) -> None:
    """The package of the same name never replaces it, and stays importable."""
    code = f"{before}\nfrom llamaberry import graph\nfrom llamaberry.graph.state import Turn\n"
    code += "import llamaberry\nassert llamaberry.graph is graph\nprint(type(graph).__name__, graph.name)"
    assert python(code) == "CompiledStateGraph llamaberry"


def test_importing_llamaberry_loads_neither_langgraph_nor_pydantic() -> None:
    """`llamaberry --version` does not load LangGraph."""
    code = (
        "import sys, llamaberry; print(llamaberry.__version__, 'langgraph' in sys.modules, 'pydantic' in sys.modules)"
    )
    assert python(code) == f"{llamaberry.__version__} False False"


@pytest.mark.parametrize("name", llamaberry.__all__)
def test_every_public_name_exists_and_has_a_docstring(name: str) -> None:
    """And type checkers see it."""
    value = getattr(llamaberry, name)
    if name not in ("__version__", "graph", "Model", "ReasoningGraph"):  # values and aliases, not definitions
        assert (value.__doc__ or "").strip()
    source = Path(llamaberry.__file__).read_text(encoding="utf-8")
    assert f" as {name}\n" in source or f"    {name}: str" in source


def test_the_public_names_are_listed_before_their_use() -> None:
    """For completion in notebooks."""
    assert python("import llamaberry; print(set(llamaberry.__all__) <= set(dir(llamaberry)))") == "True"


@pytest.mark.parametrize("before", ["", "import llamaberry.batch.files", "from llamaberry.batch import batch"])
def test_batch_is_a_package_that_can_be_called(before: str) -> None:
    code = f"{before}\nimport asyncio\nfrom llamaberry import batch\nimport llamaberry.batch.run as run\n"
    code += "call = batch('in', 'out')\nprint(asyncio.iscoroutine(call), batch.batch is run.batch)\ncall.close()"
    assert python(code) == "True True"


def test_the_docs_import_no_internals() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.py")]
    inner = [
        (path.name, line)
        for path in pages
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r"\s*(from|import) llamaberry\.", line)
    ]
    assert inner == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'llamaberry' has no attribute 'graphs'"):
        llamaberry.graphs  # noqa: B018


def test_a_server_can_load_the_graph_of_langgraph_json() -> None:
    """By its file path, without a checkpointer, and with schemas of its input and output."""
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


def test_the_context_schema_describes_every_setting() -> None:
    """And none asks for a secret: a context is stored in checkpoints and traces."""
    schema = graph.get_context_jsonschema()
    assert schema
    for name, setting in schema["properties"].items():
        assert setting["title"], name
        assert setting["description"], name
        assert not {"key", "url", "secret", "token"} & set(name.split("_")) - ({"token"} if "budget" in name else set())
