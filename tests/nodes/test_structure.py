"""Structured answers: the answer is kept, and one more call puts it into the requested schema."""

import json
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

from llamaberry import Context, SetupError, as_tool, build_graph, graph
from llamaberry.graph.events import step_of
from llamaberry.models.limits import check_limits, limit_callers
from testing.entry_points import EntryPoint
from testing.scripted_groq import Reply, Request, Scripted, first, program, refine, synthesis

QUESTION: Any = {"query": "What is the capital of France?"}
PARIS = '{"name": "Paris"}'
REFUSED = Reply(status=400, error="Out of luck")
SYSTEM: Any = {"messages": [("system", "Use the key `name`."), ("user", "Q")]}


class City(BaseModel):
    name: str


ONE_TURN = Context(max_turns=1, answer_schema=City)


def steps(result: Any) -> list[str]:
    return [call["step"] for call in result["calls"]]


def response_formats(requests: list[Request]) -> list[Any]:
    return [request.body.get("response_format", {}).get("type") for request in requests]


def test_the_answer_is_put_into_the_schema(scripted: Scripted, entry_point: EntryPoint) -> None:
    """By the provider's structured output, and with a low temperature; the text of the reply is kept."""
    groq = scripted([first("London"), refine("Paris", "revise"), synthesis("It is Paris.", "Paris"), PARIS])
    result = entry_point("Q", Context(max_turns=2, answer_schema=City))
    assert (result["structured"], result["answer"]) == ({"name": "Paris"}, "It is Paris.")
    assert (result["stop_reason"], result["degraded"]) == ("max_turns", None)
    assert steps(result) == ["first_turn", "verify", "refine_turn 2", "synthesize", "structure"]
    assert (result["calls"][-1]["text"], result["usage"]["calls"]) == (PARIS, 5)
    assert response_formats(groq.requests) == [None, None, None, "json_schema"]
    request = groq.requests[-1]
    assert (request.body["temperature"], len(request.messages)) == (0.2, 2)
    assert json.dumps(City.model_json_schema()) in request.messages[-1]["content"]
    assert "It is Paris.\n\nIn short: Paris" in request.messages[-1]["content"]


def test_a_reply_that_does_not_fit_is_repaired_once(scripted: Scripted) -> None:
    groq = scripted([first("Paris"), '{"city": "Paris"}', f"```json\n{PARIS}\n```"])
    result = graph.invoke(QUESTION, context=ONE_TURN)
    assert (result["structured"], result["degraded"]) == ({"name": "Paris"}, None)
    assert steps(result) == ["first_turn", "structure", "structure"]
    reply, ask = groq.requests[-1].messages[-2:]
    assert reply["content"] == '{"city": "Paris"}'
    assert '"name" is a required property' in ask["content"]


def test_a_reply_that_never_fits_keeps_the_answer(scripted: Scripted) -> None:
    scripted([first("Paris"), '{"city": "Paris"}', "Paris"])
    result = graph.invoke(QUESTION, context=ONE_TURN)
    assert (result["structured"], result["answer"], len(result["turns"])) == (None, "Paris", 1)
    assert result["stop_reason"] == "error"
    assert result["degraded"] == (
        "The model's JSON does not fit the schema, so there is no structured answer: the reply has no JSON."
    )


def test_a_failed_call_keeps_the_answer(scripted: Scripted) -> None:
    """A provider that refuses structured output is asked without it; one that refuses that, too, fails for good."""
    groq = scripted([first("Paris"), REFUSED, REFUSED])
    result = graph.invoke(QUESTION, context=ONE_TURN)
    assert (result["structured"], result["answer"], result["stop_reason"]) == (None, "Paris", "error")
    assert result["degraded"].startswith("The call for the structured answer failed, so there is none: ")
    assert "Out of luck" in result["degraded"]
    assert response_formats(groq.requests) == [None, "json_schema", None]


def test_a_refused_response_format_is_left_out(scripted: Scripted) -> None:
    scripted([first("Paris"), REFUSED, PARIS])
    assert graph.invoke(QUESTION, context=ONE_TURN)["structured"] == {"name": "Paris"}


def test_a_busy_provider_is_tried_again(scripted: Scripted) -> None:
    groq = scripted([first("Paris"), Reply(status=503, headers={"retry-after": "0.1"}), PARIS])
    assert graph.invoke(QUESTION, context=ONE_TURN)["structured"] == {"name": "Paris"}
    assert len(groq.requests) == 3


@pytest.mark.parametrize(("model", "kind"), [("groq:llama-3.3-70b-versatile", City), ("groq:openai/gpt-oss-20b", bool)])
def test_other_models_and_schemas_are_asked_in_words(scripted: Scripted, model: str, kind: Any) -> None:
    groq = scripted([first("yes"), PARIS if kind is City else "true"])
    result = graph.invoke(QUESTION, context=Context(model=model, max_turns=1, answer_schema=kind))
    assert result["structured"] == ({"name": "Paris"} if kind is City else True)
    assert response_formats(groq.requests) == [None, None]


def test_a_verified_answer_is_structured_without_a_synthesis(scripted: Scripted) -> None:
    scripted([first("42"), '{"name": "42"}'], [program("print(6 * 7)")])
    result = graph.invoke({"query": "6 x 7?"}, context=Context(answer_schema=City))
    assert (result["structured"], result["stop_reason"]) == ({"name": "42"}, "verified")
    assert steps(result) == ["first_turn", "verify", "structure"]


def test_null_may_be_the_structured_answer(scripted: Scripted) -> None:
    scripted([first("nobody"), "null"])
    result = graph.invoke(QUESTION, context=Context(max_turns=1, answer_schema={"type": ["string", "null"]}))
    assert (result["structured"], result["degraded"]) == (None, None)


def test_without_a_schema_there_is_no_call(scripted: Scripted) -> None:
    groq = scripted([first("Paris")])
    assert graph.invoke(QUESTION, context=Context(max_turns=1))["structured"] is None
    assert len(groq.requests) == 1
    assert list(graph.get_graph().nodes) == [
        *("__start__", "first_turn", "verify", "refine_turn", "synthesize", "__end__")
    ]


def test_a_run_resumes_between_answer_and_structure(scripted: Scripted) -> None:
    """The answer is in a checkpoint before the call is made: a resumed run makes only that call."""
    built = build_graph(InMemorySaver())
    config: Any = {"configurable": {"thread_id": "T"}}
    scripted([first("Paris")])
    for _ in built.stream(QUESTION, config, context=ONE_TURN, stream_mode="updates", durability="sync"):
        state = built.get_state(config)
        if state.values.get("answer"):
            break
    assert (state.next, state.values["answer"], state.values["structured"]) == (("synthesize",), "Paris", None)
    groq = scripted([PARIS])
    result = built.invoke(None, config, context=ONE_TURN)
    assert (result["structured"], len(groq.requests)) == ({"name": "Paris"}, 1)
    assert [message.text for message in result["messages"]] == [QUESTION["query"], "Paris"]


def test_the_next_question_has_no_structured_answer(scripted: Scripted) -> None:
    built = build_graph(InMemorySaver())
    config: Any = {"configurable": {"thread_id": "T"}}
    scripted([first("Paris"), PARIS, first("Lyon")])
    built.invoke(QUESTION, config, context=ONE_TURN)
    assert built.invoke(QUESTION, config, context=Context(max_turns=1))["structured"] is None


def test_the_json_is_not_among_streamed_messages(scripted: Scripted) -> None:
    scripted([first("Paris"), PARIS])
    stream: Any = graph.stream(QUESTION, context=ONE_TURN, stream_mode="messages")
    assert {step_of(metadata) for message, metadata in stream if message.type == "AIMessageChunk"} == {"turn 1"}


def test_a_system_message_of_the_conversation_is_seen(scripted: Scripted) -> None:
    groq = scripted([first("Paris"), PARIS])
    graph.invoke(SYSTEM, context=Context(max_turns=1, answer_schema={"type": "object"}))
    assert [message["role"] for message in groq.requests[-1].messages] == ["system", "system", "user"]


def test_a_model_object_of_the_synthesis_structures() -> None:
    built = build_graph(model=GenericFakeChatModel(messages=iter([first("Paris"), PARIS])))
    result = built.invoke(QUESTION, context=ONE_TURN)
    assert (result["structured"], result["degraded"]) == ({"name": "Paris"}, None)


def test_your_own_synthesis_is_structured_too(scripted: Scripted) -> None:
    def write_answer(state: Any) -> Any:
        return {"answer": "Paris", "concise_answer": "Paris", "messages": [("ai", "Paris")]}

    scripted([first("Paris"), PARIS])
    built = build_graph(nodes={"synthesize": write_answer})
    assert built.invoke(QUESTION, context=ONE_TURN)["structured"] == {"name": "Paris"}


def test_the_tool_returns_the_structured_answer(scripted: Scripted) -> None:
    scripted([first("Paris"), PARIS])
    tool = as_tool(Context(max_turns=1), answer_schema=City)
    message = tool.invoke({"type": "tool_call", "name": tool.name, "args": {"question": "Q"}, "id": "1"})
    assert (message.content, message.artifact["structured"]) == (PARIS, {"name": "Paris"})


def test_a_server_allows_no_recursive_schema() -> None:
    context = Context(answer_schema={"properties": {"next": {"$ref": "#"}}})
    with limit_callers(), pytest.raises(SetupError, match="recursive"):
        check_limits(context)
    check_limits(context)
