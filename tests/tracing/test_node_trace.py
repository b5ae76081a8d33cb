"""A run's trace in LangSmith: the real client, in a process of its own, against a collector on loopback."""

from typing import Any

import httpx
import pytest
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from langgraph.checkpoint.memory import InMemorySaver

from llamaberry import Context, build_graph
from llamaberry.runs.past_run import read_run
from testing.collector import Collector, metadata
from testing.command import llamaberry
from testing.scripted_groq import Reply, Scripted, first, program, refine, synthesis
from testing.scripts import REVISED_ANSWER
from testing.server import serve
from testing.traces import RUN_NODES, expected_tree, run_python


def test_a_run_is_one_tree_of_named_nodes(scripted: Scripted, collector: Collector) -> None:
    scripted(REVISED_ANSWER)
    assert llamaberry("ask", "Q").returncode == 0
    assert collector.tree() == expected_tree(*RUN_NODES)
    assert len({run["trace_id"] for run in collector.runs}) == 1
    assert all(run["end_time"] for run in collector.runs)
    assert [run["name"] for run in collector.runs if run.get("error")] == []


def test_each_node_records_its_decision_in_the_metadata(scripted: Scripted, collector: Collector) -> None:
    scripted(REVISED_ANSWER)
    llamaberry("ask", "Q")
    model = {"model": "groq:openai/gpt-oss-120b", "finish_reason": "stop", "attempt": 1}
    expected = {
        "turn 1": {"turn": 1, "kind": "first", "normalised_answer": "41"},
        "check": {"kind": "verify", "verdict": "none"},
        "turn 2": {"turn": 2, "kind": "refine", "verdict": "revise", "answer_changed": True}
        | {"normalised_answer": "42"},
        "turn 3": {"turn": 3, "kind": "refine", "verdict": "keep", "answer_changed": False}
        | {"normalised_answer": "42", "stop_reason": "max_turns"},
        "synthesis": {"kind": "synthesize", "answer_changed": False, "normalised_answer": "42"}
        | {"stop_reason": "max_turns"},
    }
    keys = {key for one in expected.values() for key in one} | set(model)
    for name in RUN_NODES:
        recorded = metadata(collector.run(name))
        assert {key: recorded[key] for key in keys if key in recorded} == model | expected[name], name


def test_runs_have_tags_to_filter_by(scripted: Scripted, collector: Collector) -> None:
    scripted(REVISED_ANSWER)
    llamaberry("ask", "Q")
    assert all("llamaberry" in run["tags"] for run in collector.runs)
    assert {"turn:2", "verdict:revise", "answer:changed"} <= set(collector.run("turn 2")["tags"])
    assert {"turn:3", "verdict:keep"} <= set(collector.run("turn 3")["tags"])
    assert "answer:changed" not in collector.run("turn 3")["tags"]
    assert "turn:2" in collector.run("turn 2 model call")["tags"]


def test_only_model_calls_have_token_usage(scripted: Scripted, collector: Collector) -> None:
    """With the provider and the model, from which LangSmith computes costs; elsewhere they would count twice."""
    usage = {"prompt_tokens": 900, "completion_tokens": 30, "total_tokens": 930}
    cached = usage | {"prompt_tokens_details": {"cached_tokens": 800}}
    scripted([Reply(text, usage=cached) for text in REVISED_ANSWER], [Reply("NONE", usage=cached)])
    llamaberry("ask", "Q")
    for run in collector.runs:
        recorded = metadata(run).get("usage_metadata")
        if run["run_type"] != "llm":
            assert recorded is None, run["name"]
            continue
        assert (recorded["input_tokens"], recorded["output_tokens"]) == (900, 30)
        assert recorded["input_token_details"]["cache_read"] == 800
        assert (metadata(run)["ls_provider"], metadata(run)["ls_model_name"]) == ("groq", "openai/gpt-oss-120b")


def test_a_node_has_the_price_of_its_calls(scripted: Scripted, collector: Collector) -> None:
    """At Groq's prices; a node without a call has none."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010}
    scripted([Reply(text, usage=usage) for text in REVISED_ANSWER], [Reply("NONE", usage=usage)])
    llamaberry("ask", "Q")
    costs = {name: metadata(collector.run(name)).get("cost_usd") for name in RUN_NODES}
    assert costs == pytest.approx(dict.fromkeys(RUN_NODES, 156e-6))


def test_every_run_has_its_thread_id(scripted: Scripted, collector: Collector) -> None:
    scripted(REVISED_ANSWER)
    llamaberry("ask", "Q", "--thread", "trip")
    assert {metadata(run)["thread_id"] for run in collector.runs} == {"trip"}


def test_each_attempt_is_a_run(scripted: Scripted, collector: Collector) -> None:
    scripted([first(), Reply(status=503, error="Overloaded"), refine(), synthesis()])
    assert llamaberry("ask", "Q", "--turns", "2").returncode == 0
    assert collector.tree() == expected_tree("turn 1", "check", "turn 2", "turn 2", "synthesis")
    first_attempt, second_attempt = [run for run in collector.runs if run["name"] == "turn 2"]
    assert "Overloaded" in first_attempt["error"]
    assert not second_attempt.get("error")
    assert [metadata(run)["attempt"] for run in (first_attempt, second_attempt)] == [1, 2]
    calls = [run for run in collector.runs if run["name"] == "turn 2 model call"]
    assert [bool(run.get("error")) for run in calls] == [True, False]


def test_a_failed_node_is_an_error_though_the_run_is_not(scripted: Scripted, collector: Collector) -> None:
    scripted([first(), *[Reply(status=500, error="Down")] * 3])
    assert llamaberry("ask", "Q").returncode == 3
    last = [run for run in collector.runs if run["name"] == "turn 2"][-1]
    assert "Down" in last["error"]
    assert (metadata(last)["attempt"], metadata(last)["stop_reason"]) == (3, "error")
    assert not collector.run("llamaberry").get("error")


HOST = """
import asyncio
from typing import Annotated
from langgraph.graph import START, MessagesState, StateGraph
from langsmith import traceable
from langsmith.run_trees import get_cached_client
from llamaberry import build_graph

builder = StateGraph(MessagesState)
builder.add_node("reason", build_graph())
builder.add_edge(START, "reason")
agent = builder.compile(name="agent")

@traceable(name="host")
def host():
    question = {"messages": [{"role": "user", "content": "Q"}]}
    {CALL}

host()
get_cached_client().flush(timeout=10)
"""
CALLS = {
    "invoke": "agent.invoke(question)",
    "ainvoke": "asyncio.run(agent.ainvoke(question))",
    "stream": "list(agent.stream(question, stream_mode=['messages', 'updates'], subgraphs=True))",
}


@pytest.mark.parametrize("call", CALLS)
def test_runs_of_an_embedded_graph_are_below_the_agent(scripted: Scripted, collector: Collector, call: str) -> None:
    scripted(REVISED_ANSWER)
    run_python(HOST.replace("{CALL}", CALLS[call]))
    assert collector.tree() == ["host", "  agent", "    reason", *expected_tree(*RUN_NODES, depth=3)]


def test_a_run_in_process_has_the_same_tree(scripted: Scripted, collector: Collector) -> None:
    scripted(REVISED_ANSWER)
    run_python(
        "from llamaberry import graph\nfrom langsmith.run_trees import get_cached_client\n"
        "for _ in graph.stream({'query': 'Q'}, {'configurable': {'thread_id': 'T'}}): pass\n"
        "get_cached_client().flush(timeout=10)"
    )
    assert collector.tree() == expected_tree(*RUN_NODES)
    assert {metadata(run)["thread_id"] for run in collector.runs} == {"T"}


def test_a_run_on_a_server_has_the_same_tree(scripted: Scripted, collector: Collector) -> None:
    scripted(REVISED_ANSWER)
    with serve() as address:
        thread = httpx.post(f"{address}/threads", json={}).json()["thread_id"]
        body = {"assistant_id": "llamaberry", "input": {"query": "Q"}}
        response = httpx.post(f"{address}/threads/{thread}/runs/wait", json=body, timeout=60)
        assert response.json()["concise_answer"] == "42"
        collector.wait_for("llamaberry")
    assert collector.tree() == expected_tree(*RUN_NODES)
    assert {metadata(run)["thread_id"] for run in collector.runs} == {thread}


def test_answer_changed_compares_with_the_edited_turn(scripted: Scripted) -> None:
    """After a fork that edits only the text of a turn, the trace and `show` agree."""
    scripted([first("42"), refine("42"), refine("42"), synthesis()])
    graph = build_graph(InMemorySaver())
    config: Any = {"configurable": {"thread_id": "T"}}
    graph.invoke({"query": "Q"}, config)
    points = {len(point.values.get("turns", [])): point.config for point in graph.get_state_history(config)}
    fork: Any = graph.update_state(points[2], {"turns": [{"index": 2, "text": refine("99")}]}, as_node="refine_turn")
    scripted([refine("42", "revise"), synthesis()])
    collector = RunCollectorCallbackHandler()
    state = graph.invoke(None, fork | {"callbacks": [collector]})
    (root,) = collector.traced_runs
    (node,) = [run for run in root.child_runs if run.name == "turn 3"]
    assert node.metadata["answer_changed"] is True
    assert [(past.name, past.changed) for past in read_run("T", state).nodes] == [
        ("turn 1", False),
        ("check", False),
        ("turn 2", True),
        ("turn 3", True),
        ("synthesis", False),
    ]


@pytest.mark.parametrize(
    ("answer", "programs", "verdict"),
    [
        ("42", [program("print(6 * 7)")], "agrees"),
        ("41", [program("print(6 * 7)")], "differs"),
        ("42", [program("print(1 / 0)"), "NONE"], "failed"),
        ("42", ["NONE"], "none"),
    ],
)
def test_a_check_has_its_verdict_as_a_tag(scripted: Scripted, answer: str, programs: list[str], verdict: str) -> None:
    scripted([first(answer), refine("40"), synthesis()], programs)
    collector = RunCollectorCallbackHandler()
    build_graph().invoke({"query": "Q"}, {"callbacks": [collector]}, context=Context(max_turns=2))
    node = next(run for run in collector.traced_runs[0].child_runs if run.name == "check")
    assert [tag for tag in node.tags or [] if tag.startswith("check:")] == [f"check:{verdict}"]
    assert node.metadata["verdict"] == verdict


def test_a_check_records_its_program_and_output(scripted: Scripted, collector: Collector) -> None:
    scripted([first("42")], [program("print(6 * 7)")])
    llamaberry("ask", "Q")
    assert collector.tree() == [*expected_tree("turn 1", "check"), "  synthesis"]
    recorded = metadata(collector.run("check"))
    expected = {"program": "print(6 * 7)", "output": "42\n", "verdict": "agrees", "stop_reason": "verified"}
    assert expected.items() <= recorded.items()


def test_a_failed_program_records_its_error(scripted: Scripted, collector: Collector) -> None:
    """The program that repairs it is in a run of its own."""
    scripted([first("42")], [program("print(1 / 0)"), program("print(6 * 7)")])
    llamaberry("ask", "Q")
    failed, repaired = [metadata(run) for run in collector.runs if run["name"] == "check"]
    assert (failed["verdict"], "division by zero" in failed["error"]) == ("failed", True)
    assert (repaired["verdict"], repaired["program"], "error" in repaired) == ("agrees", "print(6 * 7)", False)


TOOLS = """
from langsmith.run_trees import get_cached_client
from llamaberry import Context, build_graph

def multiply(a: int, b: int) -> int:
    \"\"\"Multiply two numbers.\"\"\"
    return a * b

build_graph(tools=[multiply]).invoke({"query": "Q"}, context=Context(max_turns=1))
get_cached_client().flush(timeout=10)
"""


def test_tool_runs_are_below_their_turn(scripted: Scripted, collector: Collector) -> None:
    scripted([Reply(calls=[("multiply", {"a": 6, "b": 7})], finish_reason="tool_calls"), first("42")])
    run_python(TOOLS)
    call = "    turn 1 model call"
    assert collector.tree() == ["llamaberry", "  turn 1", call, "    multiply", call, "  synthesis"]
    tool = collector.run("multiply")
    assert (tool["run_type"], bool(tool["end_time"])) == ("tool", True)
    assert "42" in str(tool["outputs"])
