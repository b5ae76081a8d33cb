"""Tools in a turn: `build_graph(tools=…)` with LangChain's tools, which the model calls before it answers."""

import asyncio
import json
import os
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, ToolException, tool
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from langchain_groq import ChatGroq
from langgraph.config import get_stream_writer
from langgraph.prebuilt import ToolRuntime
from pydantic import SecretStr

from llamaberry import Context, ModelError, SetupError, as_tool, astream_events, build_graph
from llamaberry import graph as graph_without_tools
from llamaberry.graph.tool_calls import MAX_LATER_CHARS, MAX_RESULT_CHARS
from llamaberry.server.run import Run
from testing.scripted_groq import Reply, Scripted, ScriptedGroq, first, refine, synthesis

QUESTION = {"query": "What is 6 x 7?"}
ONE_TURN = Context(max_turns=1)
TWO_TURNS = Context(max_turns=2, verify="none")
TOKENS = {"prompt_tokens": 90, "completion_tokens": 10, "total_tokens": 100}


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


@tool
async def describe(word: str) -> str:
    """Say something of a word."""
    return f"{word} is a word."


def broken(word: str) -> str:
    """Look a word up."""
    raise ValueError(f"{word} with the key {os.environ['GROQ_API_KEY']} is not found")


def calls(*requests: tuple[str, dict[str, Any]], **more: Any) -> Reply:
    """A reply that only calls tools."""
    return Reply(calls=requests, finish_reason="tool_calls", usage=TOKENS, **more)


SIX_BY_SEVEN = ("multiply", {"a": 6, "b": 7})


def run(*tools: BaseTool | Callable[..., Any], context: Context = ONE_TURN) -> Any:
    return build_graph(tools=tools).invoke(QUESTION, context=context)


def tool_messages(groq: ScriptedGroq, request: int = 1) -> list[str]:
    return [message["content"] for message in groq.requests[request].messages if message["role"] == "tool"]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_turn_answers_with_a_tools_result(scripted: Scripted, *, is_async: bool) -> None:
    groq = scripted([calls(SIX_BY_SEVEN), first("42")])
    graph = build_graph(tools=[multiply])
    if is_async:
        result = asyncio.run(graph.ainvoke(QUESTION, context=ONE_TURN))
    else:
        result = graph.invoke(QUESTION, context=ONE_TURN)
    (turn,) = result["turns"]
    (call,) = turn["tool_calls"]
    assert call.pop("seconds") >= 0
    assert call == {"name": "multiply", "args": {"a": 6, "b": 7}, "result": "42", "error": None}
    assert (turn["text"], result["answer"]) == (first("42"), "42")
    asked, answered = groq.requests
    assert [one["function"]["name"] for one in asked.body["tools"]] == ["multiply"]
    assert answered.messages[: len(asked.messages)] == asked.messages  # for the provider's cache
    assert [message["role"] for message in answered.messages[-2:]] == ["assistant", "tool"]
    assert tool_messages(groq) == ["42"]
    json.dumps(result["turns"])


def test_every_call_of_a_turn_is_counted(scripted: Scripted) -> None:
    scripted([calls(SIX_BY_SEVEN), Reply(first("42"), usage=TOKENS)])
    result = run(multiply)
    assert [(one["step"], one["finish_reason"]) for one in result["calls"]] == [
        ("first_turn", "tool_calls"),
        ("first_turn", "stop"),
    ]
    assert [one["usage"]["total_tokens"] for one in result["calls"]] == [100, 100]
    assert (result["usage"]["calls"], result["usage"]["total_tokens"]) == (2, 200)
    assert result["turns"][0]["usage"]["total_tokens"] == 200
    assert result["turns"][0]["seconds"] == pytest.approx(result["usage"]["seconds"], abs=0.01)


def test_two_tools_run_at_the_same_time(scripted: Scripted) -> None:
    groq = scripted([calls(("one", {}), ("other", {})), first("42")])
    both = threading.Barrier(2, timeout=10)

    def one() -> str:
        """Wait for the other."""
        both.wait()
        return "first"

    def other() -> str:
        """Wait for the one."""
        both.wait()
        return "second"

    result = run(one, other)
    assert [call["result"] for call in result["turns"][0]["tool_calls"]] == ["first", "second"]
    assert tool_messages(groq) == ["first", "second"]


def test_after_the_limit_the_model_has_to_answer(scripted: Scripted) -> None:
    groq = scripted([calls(SIX_BY_SEVEN), calls(SIX_BY_SEVEN, ("multiply", {"a": 1, "b": 1})), first("42")])
    result = run(multiply, context=Context(max_turns=1, max_tool_calls=2))
    assert len(result["turns"][0]["tool_calls"]) == 2
    assert tool_messages(groq, 2) == ["42", "42", "not run: the limit of 2 tool calls for one turn is used up"]
    last = groq.requests[-1]
    assert (last.body["tool_choice"], last.messages[-1]["content"]) == (
        "none",
        "You have made 2 tool calls, the most for one turn: answer now, without tools.",
    )
    assert "tool_choice" not in groq.requests[1].body


def test_a_tool_call_that_was_cut_is_not_run(scripted: Scripted) -> None:
    """Half of its arguments may look whole."""
    groq = scripted(
        [Reply(calls=[SIX_BY_SEVEN], finish_reason="length"), calls(("multiply", {"a": 6, "b": 70})), first()]
    )
    result = run(multiply)
    assert [call["result"] for call in result["turns"][0]["tool_calls"]] == ["420"]
    assert [request.body["max_tokens"] for request in groq.requests] == [2048, 4096, 2048]


def test_with_a_limit_of_zero_no_tool_is_offered(scripted: Scripted) -> None:
    groq = scripted([first("42")])
    run(multiply, context=Context(max_turns=1, max_tool_calls=0))
    assert "tools" not in groq.requests[0].body


def test_a_failed_tool_is_told_to_the_model(scripted: Scripted) -> None:
    """Without the key in its error, also in traces."""
    groq = scripted([calls(("broken", {"word": "six"})), first("42")])
    collector = RunCollectorCallbackHandler()
    graph = build_graph(tools=[broken])
    result = graph.invoke(QUESTION, {"callbacks": [collector]}, context=ONE_TURN)
    (call,) = result["turns"][0]["tool_calls"]
    error = "ValueError: six with the key [secret] is not found"
    assert (call["result"], call["error"]) == (None, error)
    assert (tool_messages(groq), result["degraded"]) == ([f"failed: {error}"], None)
    (node,) = collector.traced_runs[0].child_runs[:1]
    (tool_run,) = [run for run in node.child_runs if run.run_type == "tool"]
    assert "[secret]" in str(tool_run.error)
    assert "gsk_test" not in str(tool_run.error)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (("divide", {}), "there is no such tool (multiply)"),
        (("multiply", {"a": "six", "b": 7}), "ValidationError: 1 validation error for multiply a"),
    ],
)
def test_a_wrong_call_is_told_to_the_model(
    scripted: Scripted, request_: tuple[str, dict[str, Any]], error: str
) -> None:
    groq = scripted([calls(request_), calls(SIX_BY_SEVEN), first("42")])
    result = run(multiply)
    assert result["turns"][0]["tool_calls"][0]["error"].startswith(error)
    assert tool_messages(groq)[0].startswith(f"failed: {error}")


def test_a_tools_own_message_of_failure_is_an_error(scripted: Scripted) -> None:
    scripted([calls(("search", {})), first("42")])

    def search() -> str:
        """Search."""
        raise ToolException(f"the index of {os.environ['GROQ_API_KEY']} is empty")

    handled = tool(search)
    handled.handle_tool_error = True
    assert run(handled)["turns"][0]["tool_calls"][0]["error"] == "the index of [secret] is empty"


def test_a_result_never_has_the_models_key(scripted: Scripted) -> None:
    groq = scripted([calls(("settings", {})), first("42")])

    def settings() -> str:
        """List the settings."""
        return f"key={os.environ['GROQ_API_KEY']}"

    assert run(settings)["turns"][0]["tool_calls"][0]["result"] == "key=[secret]"
    assert tool_messages(groq) == ["key=[secret]"]


def test_a_tool_that_takes_too_long_is_given_up(scripted: Scripted) -> None:
    """Its run in the trace ends, too."""
    groq = scripted([calls(("slow", {})), first("42")])
    ended = threading.Event()

    async def slow() -> str:
        """Wait for long."""
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    collector = RunCollectorCallbackHandler()
    graph = build_graph(tools=[slow])
    context = Context(max_turns=1, tool_timeout_s=0.05)
    result = graph.invoke(QUESTION, {"callbacks": [collector]}, context=context)
    assert [call["error"] for call in result["turns"][0]["tool_calls"]] == ["no result within 0.05 s"]
    assert tool_messages(groq) == ["failed: no result within 0.05 s"]
    assert ended.is_set()
    (late,) = [run for run in collector.traced_runs[0].child_runs[0].child_runs if run.run_type == "tool"]
    assert "no result within 0.05 s" in str(late.error)
    assert late.end_time


def test_a_result_that_cannot_be_sent_is_cleaned(scripted: Scripted) -> None:
    scripted([calls(("list_files", {})), first("42")])

    @tool
    def list_files() -> str:
        """List the files."""
        return "caf\udce9.txt"  # as Python reads a file's name that is not UTF-8

    result = run(list_files)
    assert result["turns"][0]["tool_calls"][0]["result"] == "caf?.txt"


def test_a_tool_that_exits_ends_its_caller_alone(scripted: Scripted) -> None:
    scripted([calls(("leave", {})), first("42")])

    @tool
    def leave() -> str:
        """Leave."""
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        run(leave)
    assert run()["answer"] == "42"


def test_a_long_result_is_cut(scripted: Scripted) -> None:
    """For the model that asked, and once more for later turns."""
    groq = scripted([calls(("read", {})), first("42"), refine("42"), synthesis()])

    def read() -> str:
        """Read a page."""
        return "x" * (MAX_RESULT_CHARS + 1)

    result = run(read, context=TWO_TURNS)
    stored = result["turns"][0]["tool_calls"][0]["result"]
    assert stored == "x" * MAX_RESULT_CHARS + "\n… (cut at 10,000 of 10,001 characters)"
    assert tool_messages(groq) == [stored]
    later = groq.requests[2].messages[-1]["content"]
    assert "x" * MAX_LATER_CHARS + "\n… (cut at 2,000 of" in later
    assert "x" * (MAX_LATER_CHARS + 1) not in later


def test_later_steps_see_the_results_but_only_turns_the_tools(scripted: Scripted) -> None:
    groq = scripted([calls(SIX_BY_SEVEN), first("41"), refine("42", "revise"), synthesis()])
    context = Context(max_turns=2)
    result = run(multiply, context=context)
    evidence = 'Tools were called for this question:\n\nmultiply({"a": 6, "b": 7}) returned:\n\n```\n42\n```'
    _, answered, refined, synthesized = groq.requests
    for request in (refined, synthesized):
        assert request.messages[2]["content"] == first("41")
        assert request.messages[3]["content"].startswith(f"{evidence}\n\nThe question was:")
        assert not [message for message in request.messages if message["role"] == "tool"]
    assert ["tools" in request.body for request in groq.requests] == [True, True, True, False]
    assert "tools" not in groq.program_requests[0].body
    assert answered.body["tools"] == refined.body["tools"]
    assert ["tool_calls" in turn for turn in result["turns"]] == [True, False]


def test_a_turn_after_a_program_sees_the_results(scripted: Scripted) -> None:
    program = "```python\nprint(6 * 7)\n```"
    groq = scripted([calls(SIX_BY_SEVEN), first("41"), refine("42", "revise")], [program])
    run(multiply, context=Context(max_turns=2))
    asked = groq.requests[2].messages[-1]["content"]
    assert asked.startswith("Tools were called for this question:")
    assert "Your program ran and printed:" in asked


def test_without_tools_nothing_changes(scripted: Scripted) -> None:
    bodies = []
    for graph in (graph_without_tools, build_graph(tools=[multiply])):
        groq = scripted([first("41"), refine("42", "revise"), synthesis()])
        graph.invoke(QUESTION, context=TWO_TURNS)
        bodies.append([request.body for request in groq.requests])
    assert not any("tools" in body or "tool_choice" in body for body in bodies[0])
    for with_tools in bodies[1]:
        with_tools.pop("tools", None)
    assert bodies[1] == bodies[0]
    drawing = graph_without_tools.get_graph().draw_mermaid()
    assert build_graph(tools=[multiply]).get_graph().draw_mermaid() == drawing


def test_a_failed_call_after_a_tool_is_repeated_alone(scripted: Scripted) -> None:
    """The tool is not called again."""
    groq = scripted([calls(SIX_BY_SEVEN), Reply(status=503), first("42")])
    result = run(multiply)
    assert (len(groq.requests), len(result["turns"][0]["tool_calls"]), result["usage"]["calls"]) == (3, 1, 2)


def test_the_calls_of_a_failed_turn_are_counted(scripted: Scripted) -> None:
    scripted(
        [
            Reply(first("42"), usage=TOKENS),
            calls(SIX_BY_SEVEN),
            Reply(status=400),
        ]
    )
    result = run(multiply, context=TWO_TURNS)
    assert result["stop_reason"] == "error"
    assert [(call["step"], call["finish_reason"]) for call in result["calls"]] == [
        ("first_turn", "stop"),
        ("refine_turn 2", "tool_calls"),
    ]
    assert result["usage"]["total_tokens"] == 200


def test_tool_calls_are_events(scripted: Scripted) -> None:
    scripted([calls(SIX_BY_SEVEN, ("describe", {"word": "six"})), first("42")])
    graph = build_graph(tools=[multiply, describe])
    events = list(graph.stream(QUESTION, context=ONE_TURN, stream_mode="custom"))
    for event in events:
        event.pop("seconds", None)
    of_tools = sorted((event for event in events if "call" in event), key=lambda event: (event["call"], event["type"]))
    start = {"type": "tool_started", "turn": 1, "call": 1, "name": "multiply", "args": {"a": 6, "b": 7}}
    assert of_tools[1] == start
    assert of_tools[0] == start | {"type": "tool_finished", "result": "42", "error": None}
    assert [event["type"] for event in events[:3]] == ["turn_started", "tool_started", "tool_started"]
    assert events[5]["type"] == "turn_finished"


def test_tool_runs_are_below_the_turn_in_a_trace(scripted: Scripted) -> None:
    scripted([calls(SIX_BY_SEVEN), first("42")])
    collector = RunCollectorCallbackHandler()
    build_graph(tools=[multiply]).invoke(QUESTION, {"callbacks": [collector]}, context=ONE_TURN)
    (node,) = [run for run in collector.traced_runs[0].child_runs if run.name == "turn 1"]
    below = [(run.name, run.run_type) for run in node.child_runs]
    assert below == [("turn 1 model call", "llm"), ("multiply", "tool"), ("turn 1 model call", "llm")]


def test_the_tokens_of_the_answer_are_streamed(scripted: Scripted) -> None:
    scripted([calls(SIX_BY_SEVEN), first("42")])
    stream = build_graph(tools=[multiply]).stream(QUESTION, context=ONE_TURN, stream_mode="messages")
    tokens = [message.text for message, metadata in stream if "attempt" in metadata and message.text]
    assert "".join(tokens) == first("42")
    assert len(tokens) > 5


@pytest.fixture
def run_with_nested_runs(scripted: Scripted) -> Run:
    """A run whose tool asks another model, asks Llamaberry, and writes to the stream."""
    scripted(
        lambda request: (
            calls(("ask", {"word": "six"}))
            if request.messages[-1]["role"] == "user" and "tools" in request.body
            else first("42")
        )
    )
    other = GenericFakeChatModel(messages=iter([AIMessage("Another model.")]))
    llamaberry = as_tool(Context(max_turns=1))

    @tool
    async def ask(word: str) -> str:
        """Ask others."""
        get_stream_writer()("half done")
        request = {"type": "tool_call", "name": llamaberry.name, "args": {"question": word}, "id": "nested"}
        return (await other.ainvoke(word)).text + (await llamaberry.ainvoke(request)).text

    graph = build_graph(tools=[ask])
    return Run([{"role": "user", "content": "What is 6 x 7?"}], ONE_TURN, uuid4(), [], graph)


async def test_what_a_tool_streams_is_not_the_turns(run_with_nested_runs: Run) -> None:
    text = "".join([delta.text async for delta in run_with_nested_runs.deltas()])
    assert text.count("## Reasoning") == text.count("ask(") == 1, text


async def test_events_of_a_tools_own_run_name_its_call(run_with_nested_runs: Run) -> None:
    events: Any = [event async for event in astream_events(run_with_nested_runs._graph, QUESTION, context=ONE_TURN)]
    nested = [event["type"] for event in events if "tool_call_id" in event]
    assert nested == ["turn_started", "turn_finished", "refining_ended"]
    assert "".join(event["text"] for event in events if "text" in event) == first("42")
    assert "half done" in events


class FakeWithTools(GenericFakeChatModel):
    """A model object of a class that can call tools, and does."""

    def bind_tools(self, tools: Any, *, tool_choice: str | None = None, **kwargs: Any) -> Any:
        return self.bind(stop=["unused"])


def fake_with_tools() -> FakeWithTools:
    asks = AIMessage("", tool_calls=[{"name": "multiply", "args": {"a": 6, "b": 7}, "id": None}])
    return FakeWithTools(messages=iter([asks, first("42")]))


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: model.bind(), lambda model: model.with_retry()])
def test_a_model_object_calls_tools(wrap: Callable[[Any], Any]) -> None:
    graph = build_graph(model=wrap(fake_with_tools()), tools=[multiply])
    (turn,) = graph.invoke(QUESTION, context=ONE_TURN)["turns"]
    assert (turn["answer"], [call["result"] for call in turn["tool_calls"]]) == ("42", ["42"])


def test_the_fallback_of_a_model_object_has_the_tools(scripted: Scripted) -> None:
    groq = scripted([Reply(status=400), calls(SIX_BY_SEVEN), Reply(status=400), first("42")])

    def client(name: str, **options: Any) -> ChatGroq:
        return ChatGroq(model=name, api_key=SecretStr("gsk_own"), base_url=groq.url, max_retries=0, **options)

    model = client("one", temperature=0.1).with_fallbacks([client("other")])
    result = build_graph(model=model, tools=[multiply]).invoke(QUESTION, context=ONE_TURN)
    assert [request.body["model"] for request in groq.requests] == ["one", "other"] * 2
    assert all(request.body["tools"] for request in groq.requests)
    assert result["turns"][0]["model"] == "groq:other"


def test_a_model_object_without_tools_is_refused() -> None:
    model = GenericFakeChatModel(messages=iter([]))
    with pytest.raises(SetupError, match=r"GenericFakeChatModel cannot call tools \(its class has no bind_tools\)"):
        build_graph(model=model, tools=[multiply])
    build_graph(model={"verify": model, "synthesize": model}, tools=[multiply])


@pytest.mark.parametrize("settings", [{"model": "local"}, {"model": "groq:x", "refine_model": "local"}])
def test_the_local_model_is_refused_before_a_call(scripted: Scripted, settings: dict[str, Any]) -> None:
    groq = scripted([])
    with pytest.raises(SetupError, match="the local model does not call tools reliably: choose a model that does"):
        run(multiply, context=Context(**settings))
    assert not groq.requests


def test_a_provider_that_refuses_tools_is_explained(scripted: Scripted) -> None:
    scripted([Reply(status=400, error="`tool calling` is not supported with this model")])
    with pytest.raises(ModelError, match=r"is not supported .*if the model calls no tools, choose one that does"):
        run(multiply)


@tool
def stateful(runtime: ToolRuntime) -> str:
    """Read the state."""
    return str(runtime.state)


@pytest.mark.parametrize(
    ("tools", "error", "message"),
    [
        ([multiply, multiply], ValueError, "two tools have the name 'multiply'"),
        (multiply, TypeError, "tools is a StructuredTool: pass a list"),
        (["multiply"], TypeError, "'multiply' is no tool: pass LangChain tools, or functions"),
        ([lambda: 1], ValueError, "'<lambda>' cannot be a tool: .*docstring"),
        ([stateful], ValueError, "the tool 'stateful' takes runtime from a graph's state or runtime"),
    ],
)
def test_a_wrong_tool_is_an_error_of_build_graph(tools: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build_graph(tools=tools)
