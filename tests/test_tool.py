"""`as_tool`: an agent's model calls it and reads the short answer; the artifact has the turns."""

import asyncio
from collections import defaultdict
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from llamaberry import Context, Output, SetupError, as_tool
from testing.scripted_groq import Reply, Scripted, ScriptedGroq, first, refine, synthesis
from testing.scripts import TOOL_QUESTION, agent_model

CALL: dict[str, Any] = {"type": "tool_call", "name": "think_in_turns", "args": {"question": TOOL_QUESTION}, "id": "1"}


def test_the_tools_name_description_and_schema() -> None:
    tool = as_tool(name="ponder", description="Ponders.")
    assert (tool.name, tool.description) == ("ponder", "Ponders.")
    schema = as_tool().tool_call_schema.model_json_schema()  # type: ignore[union-attr]
    assert list(schema["properties"]) == schema["required"] == ["question"]
    assert "several turns" in as_tool().description


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_tool_returns_the_concise_answer_and_keeps_the_turns(scripted: Scripted, asynchronous: bool) -> None:
    scripted([first("390"), refine("391", "revise"), synthesis("It is 391.", "391")])
    tool = as_tool(Context(max_turns=2))
    message: ToolMessage = asyncio.run(tool.ainvoke(CALL)) if asynchronous else tool.invoke(CALL)
    assert (message.content, message.status) == ("391", "success")
    assert [turn["answer"] for turn in message.artifact["turns"]] == ["390", "391"]
    assert message.artifact["answer"] == "It is 391."
    assert message.artifact.keys() == Output.__annotations__.keys()


def test_a_failed_call_is_a_tool_error_and_a_missing_key_raises(
    scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted([Reply(status=400, error="No luck")])
    message: ToolMessage = as_tool().invoke(CALL)
    assert message.status == "error"
    assert "No luck" in str(message.content)
    monkeypatch.delenv("GROQ_API_KEY")
    with pytest.raises(SetupError, match="GROQ_API_KEY is not set"):
        as_tool(Context(model="groq:x")).invoke(CALL)


def test_the_agents_own_context_is_never_read(scripted: Scripted) -> None:
    groq = scripted(agent_model)
    message: ToolMessage = as_tool().invoke({**CALL, "args": {"question": "   "}})
    assert (message.status, "the question is blank" in str(message.content)) == ("error", True)
    agent: Any = create_agent("groq:x", tools=[as_tool()], context_schema=dict)
    messages: Any = {"messages": [("user", "Compare.")]}
    agent.invoke(messages, context={"llamaberry": {"max_turns": 1, "unknown": True}})
    assert len(groq.requests) == 2 + 2 * 4  # the agent's model twice, and two questions with three turns each


def test_an_agent_that_streams_its_subgraphs_streams_the_turns_tokens(scripted: Scripted) -> None:
    scripted(agent_model)
    agent: Any = create_agent("groq:x", tools=[as_tool(Context(max_turns=2))])
    question, texts = {"messages": [("user", "Compare.")]}, defaultdict[tuple[str, ...], str](str)
    for namespace, (message, metadata) in agent.stream(question, stream_mode="messages", subgraphs=True):
        if metadata.get("turn") == 2:
            texts[namespace] += message.text
    assert list(texts.values()) == [refine()] * 2  # a namespace for each call of the tool


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_agent_can_call_the_tool_twice_at_once(scripted: Scripted, asynchronous: bool) -> None:
    groq: ScriptedGroq = scripted(agent_model)
    agent: Any = create_agent("groq:x", tools=[as_tool(Context(max_turns=2))], checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "T"}}
    messages_in = {"messages": [{"role": "user", "content": "Compare."}]}

    async def streamed() -> list[Any]:
        return [part async for part in agent.astream(messages_in, config, stream_mode=["custom", "values"])]

    if asynchronous:
        parts = asyncio.run(streamed())
    else:
        parts = list(agent.stream(messages_in, config, stream_mode=["custom", "values"]))
    events = defaultdict[str, list[str]](list)
    for mode, part in parts:
        if mode == "custom":
            events[part["tool_call_id"]].append(part["type"])
    turn = ["turn_started", "turn_finished"]
    assert [*events.values()] == [[*turn, "check_started", "check_finished", *turn, "refining_ended"]] * 2
    messages = parts[-1][1]["messages"]
    assert messages[-1].text == "My tool says 42."
    tools = [message for message in messages if isinstance(message, ToolMessage)]
    assert [message.content for message in tools] == ["42", "42"]
    assert {message.tool_call_id for message in tools} == events.keys()
    assert {message.artifact["query"] for message in tools} == {TOOL_QUESTION, "And 19 * 21?"}
    assert len(groq.requests) == 2 + 2 * 3
    again = agent.invoke({"messages": [{"role": "user", "content": "Once more."}]}, config)
    assert again["messages"][-1].text == "My tool says 42."
