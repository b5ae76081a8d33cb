"""How large a conversation may be, and that its parts cost no more than one text."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import ValidationError

from llamaberry import Context, build_graph, graph
from llamaberry.graph.context import MAX_SYSTEM_PROMPT_CHARS
from llamaberry.graph.state import MAX_CHARS, MAX_IMAGES, MAX_MESSAGES, MAX_PARTS, Input
from testing.scripted_groq import ScriptedGroq

TEXT = {"type": "text", "text": "b"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
ONE = Context(max_turns=1)


@pytest.mark.parametrize("as_dicts", [False, True])
@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([HumanMessage("Q")] * (MAX_MESSAGES + 1), "1,001 messages (the limit is 1,000)"),
        ([HumanMessage([TEXT] * 1_000), HumanMessage([TEXT] * 1_001)], "more than 2,000 content parts"),
        ([HumanMessage(["b"] * (MAX_PARTS + 1))], "more than 2,000 content parts"),
        ([HumanMessage([TEXT, *[IMAGE] * (MAX_IMAGES + 1)])], "21 images (the limit is 20)"),
        ([HumanMessage([IMAGE | {"text": "b"}] * (MAX_IMAGES + 1))], "21 images (the limit is 20)"),
        ([HumanMessage("x" * 100_001)] * 10, "1,000,010 characters (the limit is 1,000,000)"),
        ([AIMessage([TEXT | {"text": "x" * MAX_CHARS}]), HumanMessage("Q")], "1,000,001 characters"),
    ],
)
def test_a_conversation_over_a_limit_is_refused(messages: list[Any], reason: str, as_dicts: bool) -> None:
    values = [{"role": message.type, "content": message.content} for message in messages] if as_dicts else messages
    with pytest.raises(ValidationError) as error:
        Input(messages=values)
    assert f"the conversation has {reason}" in str(error.value)


def test_a_conversation_at_the_limits_is_answered(groq: ScriptedGroq) -> None:
    """Calls of tools and their results count as messages only: the model does not see them."""
    results = ToolMessage([IMAGE] * (MAX_IMAGES + 1), tool_call_id="1")
    messages = [
        *[SystemMessage("s")] * (MAX_MESSAGES - 2),
        results,
        HumanMessage([TEXT] * (MAX_PARTS - 41) + [IMAGE] * MAX_IMAGES),
    ]
    assert graph.invoke({"messages": messages}, context=ONE)["concise_answer"] == "42"
    assert len(groq.requests) == 1


def test_a_thread_over_a_limit_is_refused_before_a_call(groq: ScriptedGroq) -> None:
    threads = build_graph(InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    threads.invoke({"query": "Q"}, thread, context=ONE)
    threads.update_state(thread, {"messages": [HumanMessage("Q") for _ in range(MAX_MESSAGES - 2)]}, "first_turn")
    with pytest.raises(ValidationError, match=r"1,001 messages .*: leave some out, or start a new thread"):
        threads.invoke({"messages": [HumanMessage("Q")]}, thread, context=ONE)
    assert len(groq.requests) == 1


def test_the_texts_of_a_message_reach_the_model_as_one(groq: ScriptedGroq) -> None:
    """LangChain's clients look at each part in each call, which took minutes for 100,000 of them."""
    many = [TEXT, "c", TEXT | {"cache_control": {"type": "ephemeral"}}] * 300
    mixed = HumanMessage([TEXT, "c", IMAGE, TEXT, TEXT, IMAGE, IMAGE, TEXT])
    messages = [SystemMessage(list(many)), HumanMessage(list(many)), AIMessage("A"), mixed]
    result = graph.invoke({"messages": messages}, context=ONE)
    assert result["messages"][:4] == messages, "the thread keeps them as they were"
    system, human, _, question = (message["content"] for message in groq.requests[0].messages[1:])
    assert system == human == "bcb" * 300
    kinds = [(part["type"], part.get("text", "")) for part in question]
    texts = [("text", "bc"), ("image_url", ""), ("text", "bb"), *[("image_url", "")] * 2, ("text", "b")]
    assert kinds[:-1] == texts
    assert kinds[-1][1].startswith("This is the first turn.")


def test_a_question_in_parts_is_asked_as_one_text(groq: ScriptedGroq) -> None:
    result = graph.invoke({"messages": [HumanMessage([TEXT] * 1_000)]}, context=Context(max_turns=2))
    assert [message.type for message in result["messages"]] == ["human", "ai"]
    for request in groq.requests:
        assert all(isinstance(message["content"], str) for message in request.messages)
        assert request.messages[1]["content"].startswith("b" * 1_000)


def test_a_system_prompt_has_a_limit() -> None:
    Context(system_prompt="x" * MAX_SYSTEM_PROMPT_CHARS)
    with pytest.raises(ValidationError, match="at most 100000 characters"):
        Context(system_prompt="x" * (MAX_SYSTEM_PROMPT_CHARS + 1))
