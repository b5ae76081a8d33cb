"""Settings that are not in the run's context: those of the config count, or a warning says that they are ignored."""

from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import ValidationError

from llamaberry import Context, build_graph
from testing.scripted_groq import refine

QUESTION = {"query": "What is 6 x 7?"}
ONE: Any = {"configurable": {"max_turns": 1}}
graph = build_graph(model=FakeListChatModel(responses=[refine()] * 9))


def in_parent() -> Any:
    """A parent graph without a context schema."""
    builder: Any = StateGraph(MessagesState)
    builder.add_node("reason", graph)
    builder.add_edge(START, "reason")
    builder.add_node("count", lambda state: {"messages": [str(len(state["messages"]))]})
    return builder.compile()


def turns(parent: Any, config: Any = None, **options: Any) -> int:
    """Run the parent graph, and return the number of turns."""
    parts = parent.stream({"messages": [("user", "?")]}, config, subgraphs=True, stream_mode="values", **options)
    *_, (_, state) = [part for part in parts if part[0]]
    return len(state["turns"])


async def test_settings_in_the_config_count() -> None:
    assert len(graph.invoke(QUESTION, ONE)["turns"]) == 1
    assert len((await graph.ainvoke(QUESTION, ONE))["turns"]) == 1
    assert len(graph.with_config(ONE).invoke(QUESTION)["turns"]) == 1
    other: Any = {"configurable": {"max_turns": 1, "user": "Ann", "thread_id": "1"}}
    assert len(graph.invoke(QUESTION, other)["turns"]) == 1


def test_a_wrong_setting_in_the_config_is_an_error() -> None:
    with pytest.raises(ValidationError, match="max_turns"):
        graph.invoke(QUESTION, {"configurable": {"max_turns": 11}})


def test_a_context_beats_the_config_with_a_warning() -> None:
    with pytest.warns(UserWarning, match=r'^config\["configurable"\] has settings \(max_turns\) that are ignored'):
        result = graph.invoke(QUESTION, ONE, context=Context(max_turns=2))
    assert len(result["turns"]) == 2
    graph.invoke(QUESTION, ONE, context=Context(max_turns=1))  # the same, as a server passes it: no warning


def test_a_parents_config_is_its_own() -> None:
    assert turns(in_parent(), ONE) == 3


def test_settings_at_the_top_of_a_parents_dict_are_warned_about() -> None:
    with pytest.warns(UserWarning, match=r'a parent graph sets max_turns: .*write \{"llamaberry": \{…\}\}'):
        assert turns(in_parent(), context={"max_turns": 1}) == 3


@pytest.mark.parametrize("context", [{"llamaberry": {"max_turns": 1}}, {"llamaberry": {"max_turns": 1}, "model": "x"}])
def test_settings_under_the_key_are_no_reason_to_warn(context: Any) -> None:
    assert turns(in_parent(), context=context) == 1
