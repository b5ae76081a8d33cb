"""Tool calls of turns, as `ask`, `show` and its page, and the OpenAI-compatible API show them."""

import asyncio
import html
from typing import Any
from uuid import uuid4

import pytest

from llamaberry import Context, build_graph
from llamaberry.cli.tree import print_runs
from llamaberry.graph.tool_calls import ToolCall, describe_tool_call
from llamaberry.runs.page import page
from llamaberry.runs.past_run import read_run
from llamaberry.server.openai_chat import ChatCompletion
from llamaberry.server.openai_request import ChatRequest
from llamaberry.server.run import Run
from testing.command import llamaberry, mask_figures
from testing.scripted_groq import Reply, Scripted, first
from testing.server import serve

QUESTION = [{"role": "user", "content": "What is 6 x 7?"}]
ONE_TURN = Context(max_turns=1)
GRAPH = """
from llamaberry import build_graph

def multiply(a: int, b: int) -> int:
    \"\"\"Multiply two numbers.\"\"\"
    return a * b

graph = build_graph(tools=[multiply])
"""
SCRIPT = [
    Reply("Let me calculate.", calls=[("multiply", {"a": 6, "b": 7})], finish_reason="tool_calls"),
    Reply(calls=[("multiply", {"a": "<six>"})], finish_reason="tool_calls"),
    first("42"),
]


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


@pytest.fixture
def state(scripted: Scripted) -> dict[str, Any]:
    """The output of a run with two tool calls, the second of which fails."""
    scripted(SCRIPT)
    return build_graph(tools=[multiply]).invoke({"messages": QUESTION}, context=ONE_TURN)


def test_a_call_is_one_line() -> None:
    call = ToolCall(name="search", args={"q": "a\nb", "n": 2}, result="line\n" * 100, error=None, seconds=0.26)
    line = describe_tool_call(call)
    assert line.startswith('search(q="a\\nb", n=2) → line line')
    assert line.endswith(" … · 0.3 s")
    assert len(line) < 700
    failed: ToolCall = {**call, "args": {}, "result": None, "error": "no result within 5 s"}
    assert describe_tool_call(failed) == "search() failed: no result within 5 s · 0.3 s"


def test_show_prints_tool_calls(state: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    print_runs([read_run("T", state)], 0)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].strip("│├─ ").startswith("tool · multiply(a=6, b=7) → 42")
    assert lines[3].strip("│├─ ").startswith('tool · multiply(a="<six>") failed: ValidationError')
    assert lines[4].strip("│└─ ") == "42"


def test_a_page_has_tool_calls(state: dict[str, Any]) -> None:
    text = page([read_run("T", state)])
    assert f"<summary>tool · {html.escape('multiply(a=6, b=7) → 42', quote=False)}" in text
    assert "<pre>42</pre>" in text
    assert 'multiply(a="&lt;six&gt;") failed: ' in text


def test_the_api_has_tool_calls_in_the_reasoning(scripted: Scripted) -> None:
    scripted(SCRIPT)
    request = ChatRequest.model_validate({"model": "llamaberry", "messages": QUESTION})
    run = Run(QUESTION, ONE_TURN, uuid4(), graph=build_graph(tools=[multiply]))
    message = asyncio.run(ChatCompletion(request, run).whole())["choices"][0]["message"]
    parts = message["reasoning_content"].split("\n\n# ")
    assert parts[0] == "# turn 1\n\nLet me calculate."
    assert parts[1].startswith("tool\n\nmultiply(a=6, b=7) → 42 · ")
    assert '\n\nmultiply(a="<six>") failed: ' in parts[1]
    assert parts[2] == f"turn 1\n\n{first('42')}"
    assert message["content"] == "42"


def test_ask_prints_a_line_for_each_tool_call(scripted: Scripted) -> None:
    groq = scripted(SCRIPT)
    with serve(graph=GRAPH) as address:
        ran = llamaberry("ask", "What is 6 x 7?", "--server", address, "--turns", "1", "--show", "turns")
        lines = mask_figures(ran.stdout)
        groq.play(SCRIPT)
        short = llamaberry("ask", "What is 6 x 7?", "--server", address, "--turns", "1", "--show", "full")
        groq.play(SCRIPT)
        quiet = llamaberry("ask", "What is 6 x 7?", "--server", address, "--turns", "1", "--quiet")
    assert lines[:3] == ["── turn 1 ──", "Let me calculate.", "tool · multiply(a=6, b=7) → 42 · …"]
    assert lines[3].startswith('tool · multiply(a="<six>") failed: ValidationError')
    assert lines[4:6] == ["── turn 1 ──", "## Reasoning"]
    assert short.stdout.startswith("tool · multiply(a=6, b=7) → 42 · ")
    assert quiet.stdout == "42\n"
