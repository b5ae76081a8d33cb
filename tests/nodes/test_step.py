"""A user's own node: it gets the review, the question, the events and the reason to stop like a built-in one."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.runtime import Runtime
from langgraph.types import Command
from pydantic import BaseModel

from llamaberry import Context, build_graph
from llamaberry.graph.state import State
from llamaberry.graph.turn import Turn
from testing.scripted_groq import Scripted, first, synthesis

THREAD: Any = {"configurable": {"thread_id": "T"}}


def next_turn(turns: list[Turn], query: str) -> dict[str, Any]:
    """Return the update of a refine turn that answers with the question and the turn's index."""
    index = len(turns) + 1
    turn = Turn(
        index=index, kind="refine", text=f"## Answer\n{query} {index}", steps=[], verdict=None, answer=None,
        model="own:model", usage=None, seconds=1, finish_reason="stop",
    )  # fmt: skip
    return {"turns": [turn]}


class ModelState(BaseModel):
    """The part of the state that a user's node reads."""

    query: str
    turns: list[Any]


@dataclass
class DataclassState:
    """The part of the state that a user's node reads."""

    query: str
    turns: list[Any]


class Turns(BaseModel):
    """An update as an object."""

    turns: list[Any]


def plain(state: State) -> Any:
    return next_turn(state["turns"], state["query"])


async def asynchronous(state: State) -> Any:
    return next_turn(state["turns"], state["query"])


def command(state: State) -> Command[Any]:
    return Command(update=next_turn(state["turns"], state["query"]))


def reads_model(state: ModelState) -> Any:
    return next_turn(state.turns, state.query)


def reads_dataclass(state: DataclassState) -> Any:
    return next_turn(state.turns, state.query)


def with_config(state: State, config: RunnableConfig) -> Any:
    assert config["configurable"]["thread_id"] == "T"
    return next_turn(state["turns"], state["query"])


def with_runtime(state: State, runtime: Runtime[Context]) -> Any:
    assert runtime.context.max_turns == 3
    return next_turn(state["turns"], state["query"])


runnable = RunnableLambda(plain)

NODES = {
    "plain": plain,
    "async": asynchronous,
    "command": command,
    "pydantic": reads_model,
    "dataclass": reads_dataclass,
    "config": with_config,
    "runtime": with_runtime,
    "runnable": runnable,
}
Run = Callable[..., tuple[Any, list[Any]]]


@pytest.fixture(params=NODES)
def run(request: pytest.FixtureRequest, scripted: Scripted) -> Run:
    """Return a function that runs three turns with each kind of refine node; it returns the state and the events."""
    scripted([first("Q 1"), synthesis()])
    graph = build_graph(InMemorySaver(), nodes={"refine_turn": NODES[request.param]})

    async def stream(graph_input: Any, **settings: Any) -> tuple[Any, list[Any]]:
        context = Context(max_turns=3, **settings)
        events = [event async for event in graph.astream(graph_input, THREAD, context=context, stream_mode="custom")]
        return graph.get_state(THREAD), events

    return lambda graph_input, **settings: asyncio.run(stream(graph_input, **settings))


def test_an_own_node_ends_at_max_turns(run: Run) -> None:
    """Although it does not write `stop_reason` itself."""
    state, _ = run({"query": "Q"})
    assert [turn["answer"] for turn in state.values["turns"]] == ["Q 1", "Q 2", "Q 3"]
    assert (state.values["stop_reason"], state.values["answer"]) == ("max_turns", "The answer is 42.")


def test_an_own_node_keeps_the_question_in_the_state(run: Run) -> None:
    state, _ = run({"messages": [("user", "Q")]})
    assert state.values["query"] == "Q"


def test_an_own_node_gets_turn_events(run: Run) -> None:
    _, events = run({"query": "Q"})
    assert [(event["type"], event.get("turn"), event.get("answer")) for event in events] == [
        ("turn_started", 1, None),
        ("turn_finished", 1, "Q 1"),
        ("check_started", 1, None),
        ("check_finished", 1, None),
        ("turn_started", 2, None),
        ("turn_finished", 2, "Q 2"),
        ("turn_started", 3, None),
        ("turn_finished", 3, "Q 3"),
        ("refining_ended", None, None),
    ]


def test_an_own_node_pauses_for_a_review(run: Run) -> None:
    state, _ = run({"query": "Q"}, review="each_turn")
    assert (state.next, state.interrupts[0].value["turn"]["answer"]) == (("refine_turn",), "Q 1")
    state, _ = run(Command(resume={"hint": "Look again."}), review="each_turn")
    assert [turn.get("hint") for turn in state.values["turns"]] == ["Look again.", None]
    state, events = run(Command(resume="stop"), review="each_turn")
    assert (state.values["stop_reason"], len(state.values["turns"])) == ("review", 2)
    assert events == [{"type": "refining_ended", "reason": "review", "turns": 2}]


def test_an_own_node_runs_without_an_event_loop(scripted: Scripted) -> None:
    scripted([first("Q 1"), synthesis()])
    result = build_graph(nodes={"refine_turn": plain}).invoke({"query": "Q"})
    assert [turn["answer"] for turn in result["turns"]] == ["Q 1", "Q 2", "Q 3"]
    assert (result["stop_reason"], result["query"]) == ("max_turns", "Q")


def test_an_own_node_without_calls_adds_none(scripted: Scripted) -> None:
    scripted([first("Q 1"), synthesis()])
    result = build_graph(nodes={"refine_turn": plain}).invoke({"query": "Q"})
    assert [call["step"] for call in result["calls"]] == ["first_turn", "verify", "synthesize"]
    assert result["usage"]["calls"] == 3


def test_an_own_node_can_record_its_calls(scripted: Scripted) -> None:
    """They count towards the totals, and so towards the token budget."""

    def node(state: State) -> Any:
        usage = {"input_tokens": 10**6, "output_tokens": 0, "total_tokens": 10**6}
        call = {"step": "own", "model": "own:model", "usage": usage, "seconds": 1, "finish_reason": "stop"}
        return {**next_turn(state["turns"], "Q"), "calls": [call]}

    scripted([first("Q 1"), synthesis()])
    result = build_graph(nodes={"refine_turn": node}).invoke({"query": "Q"}, context=Context(token_budget=10**6))
    assert (result["stop_reason"], len(result["turns"])) == ("budget", 2)
    assert [call["step"] for call in result["calls"]] == ["first_turn", "verify", "own", "synthesize"]
    assert result["usage"]["input_tokens"] > 10**6


def test_an_own_node_can_write_its_stop_reason(scripted: Scripted) -> None:
    scripted([first("Q 1"), synthesis()])
    node = {"refine_turn": lambda state: {**next_turn(state["turns"], "Q"), "stop_reason": "agreement"}}
    result = build_graph(nodes=node).invoke({"query": "Q"})
    assert (result["stop_reason"], len(result["turns"])) == ("agreement", 2)


@pytest.mark.parametrize("wrap", [lambda update: Turns(**update), lambda update: [Command(update=update)]])
def test_an_own_node_must_return_a_dict_or_a_command(scripted: Scripted, wrap: Callable[[Any], Any]) -> None:
    """LangGraph accepts an object or a list, too, but a step could not add to it."""
    scripted([first("Q 1"), synthesis()])
    graph = build_graph(nodes={"refine_turn": lambda state: wrap(next_turn(state["turns"], "Q"))})
    with pytest.raises(TypeError, match=r"the node 'refine_turn' returned a .*: return a dict"):
        graph.invoke({"query": "Q"})


def test_an_own_first_turn_need_not_add_the_question(scripted: Scripted) -> None:
    def node(state: Any) -> Any:
        (turn,) = next_turn([], state["query"])["turns"]
        return {"turns": [{**turn, "kind": "first"}]}

    scripted()
    result = build_graph(nodes={"first_turn": node}).invoke({"query": "A"}, context=Context(max_turns=2))
    assert [message.type for message in result["messages"]] == ["human", "ai"]


def test_an_own_first_turn_without_calls_starts_over(scripted: Scripted) -> None:
    def node(state: Any) -> Any:
        (turn,) = next_turn([], state["query"])["turns"]
        return {"messages": [("user", state["query"])], "turns": [{**turn, "kind": "first"}]}

    scripted()
    graph = build_graph(InMemorySaver(), nodes={"first_turn": node})
    for question in ("A", "B"):
        result = graph.invoke({"query": question}, THREAD, context=Context(max_turns=2))
        assert [call["step"] for call in result["calls"]] == ["verify", "refine_turn 2", "synthesize"]
