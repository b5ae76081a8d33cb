"""POST /v1/responses of a real server, through OpenAI's client and LangChain's."""

from typing import Any

import httpx
import openai
import pytest
from pydantic import SecretStr

from testing.openai_api import Api, ask, error_fields, message_of
from testing.scripted_groq import Reply, first, program, refine, synthesis

QUESTION = "What is 6 times 7?"
ANSWER = "It is **42**."
FLIPPED = [first("41"), refine("42", "revise"), refine("42"), synthesis(ANSWER, "42")]
USAGE = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010}


def respond(client: openai.OpenAI, question: Any = QUESTION, model: str = "llamaberry", **more: Any) -> Any:
    return client.responses.create(model=model, input=question, **more)


def test_the_answer_is_a_message_and_the_turns_a_summary(api: Api, client: openai.OpenAI) -> None:
    api.groq.play(FLIPPED)
    response = respond(client)
    reasoning, message = response.output
    titles = [part.text.partition("\n")[0] for part in reasoning.summary]
    assert titles == ["# turn 1", "# check", "# turn 2", "# turn 3", "# synthesis"]
    assert reasoning.summary[0].text == f"# turn 1\n\n{FLIPPED[0]}"
    assert (response.output_text, message.role, message.content[0].text) == (ANSWER, "assistant", ANSWER)
    assert (response.status, response.object, response.model) == ("completed", "response", "llamaberry")
    assert (response.error, response.incomplete_details, response.store) == (None, None, False)
    assert (response.id[:5], reasoning.id[:3], message.id[:4]) == ("resp_", "rs_", "msg_")


def test_the_summary_is_the_reasoning_of_a_chat_completion(api: Api, client: openai.OpenAI) -> None:
    api.groq.play([first("42")], [program()])
    (reasoning, _) = respond(client).output
    api.groq.play([first("42")], [program()])
    chat = ask(client).choices[0].message.reasoning_content
    assert "\n\n".join(part.text for part in reasoning.summary) == chat


def test_the_events_of_a_stream_make_the_response(api: Api, client: openai.OpenAI) -> None:
    api.groq.play(FLIPPED)
    expected = respond(client)
    api.groq.play(FLIPPED)
    events: list[Any] = list(respond(client, stream=True))
    types = [event.type for event in events]
    assert types[:3] == ["response.created", "response.in_progress", "response.output_item.added"]
    assert types[-1] == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    response = events[-1].response
    assert [part.text for part in response.output[0].summary] == [part.text for part in expected.output[0].summary]
    assert (response.output_text, response.usage) == (expected.output_text, expected.usage)
    assert {event.response.id for event in events if hasattr(event, "response")} == {response.id}
    for number, part in enumerate(response.output[0].summary):
        deltas = [e for e in events if e.type == "response.reasoning_summary_text.delta" and e.summary_index == number]
        assert "".join(event.delta for event in deltas) == part.text
        assert len(deltas) > 1
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == ANSWER


def test_openais_helper_for_streams_accepts_the_events(api: Api, client: openai.OpenAI) -> None:
    """It builds the response from the events, and fails if one is missing or out of order."""
    api.groq.play(FLIPPED)
    with client.responses.stream(model="llamaberry", input=QUESTION) as stream:
        for _ in stream:
            pass
        response = stream.get_final_response()
    assert (response.output_text, len(response.output)) == (ANSWER, 2)


def test_usage_counts_all_calls_and_the_reasoning(api: Api, client: openai.OpenAI) -> None:
    cached = USAGE | {"prompt_tokens_details": {"cached_tokens": 900}}
    replies = [Reply(FLIPPED[0], usage=USAGE), *(Reply(text, usage=cached) for text in FLIPPED[1:])]
    api.groq.play(replies, [Reply("NONE", usage=USAGE)])
    usage = respond(client).usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (5000, 50, 5050)
    assert usage.input_tokens_details.cached_tokens == 2700
    assert 40 <= usage.output_tokens_details.reasoning_tokens < 50


def test_instructions_and_earlier_items_are_context(api: Api, client: openai.OpenAI) -> None:
    items = [
        {"role": "developer", "content": "Be short."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Call me Ann."}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "noted"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Aye, Ann."}]},
        {"role": "user", "content": QUESTION},
    ]
    respond(client, items, instructions="Speak like a sailor.", model="llamaberry-quick")
    roles, texts = zip(*((m["role"], m["content"]) for m in api.groq.requests[0].messages), strict=True)
    assert roles == ("system", "system", "system", "user", "assistant", "user")
    assert texts[1:5] == ("Speak like a sailor.", "Be short.", "Call me Ann.", "Aye, Ann.")
    assert texts[5].startswith(QUESTION)


def test_temperature_and_max_output_tokens_reach_the_model(api: Api, client: openai.OpenAI) -> None:
    respond(client, model="llamaberry-quick", temperature=0.25, max_output_tokens=16)
    assert {(r.body["temperature"], r.body["max_tokens"]) for r in api.groq.requests} == {(0.25, 64)}


def test_metadata_and_settings_are_repeated_in_the_response(api: Api, client: openai.OpenAI) -> None:
    response = respond(client, model="llamaberry-quick", metadata={"a": "b"}, instructions="Hi", temperature=0.5)
    assert (response.metadata, response.instructions, response.temperature) == ({"a": "b"}, "Hi", 0.5)


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "it is not supported, because the server stores"),
        ({"conversation": "conv_1"}, "conversation", "it is not supported, because the server stores nothing"),
        ({"background": True}, "background", "it is not supported"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "it is not supported"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format", "'grammar' is not supported"),
        ({"tool_choice": "required"}, "tool_choice", "'required' with 0 tools"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice", "there is no tool 'f' in tools"),
        ({"temperature": -1}, "temperature -1", "it should be greater than or equal to 0"),
        ({"max_output_tokens": 0}, "max_output_tokens 0", "it should be greater than or equal to 1"),
        ({"instructions": "x" * 100_001}, "instructions", "it should have at most 100000 characters"),
        ({"input": []}, "input", "there is no user message"),
        ({"input": "  "}, "input.0.content", "the question is blank"),
        ({"input": [{"role": "user"}]}, "input.0.content", "it is null"),
        ({"input": [{"content": "x"}]}, "input.0.role", "it is missing"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input.0.role", "it should be 'system'"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input.0", "the server stores no items"),
        ({"input": [{"type": "spell"}]}, "input.0.type", "'spell' is not supported"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
            "input.0.content.0.type",
            "'input_file' is",
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_not_supported_is_refused_in_words(
    api: Api, client: openai.OpenAI, fields: dict[str, Any], param: str, message: str, stream: bool
) -> None:
    question = {"input": QUESTION, "stream": stream} | fields
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="llamaberry", **question)
    assert error_fields(caught.value)[1:] == ("invalid_request_error", "invalid_request", param.partition(" ")[0])
    assert message_of(caught.value).startswith(f"{param}: {message}")
    assert api.groq.requests == []


def test_an_unknown_model_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="llamaberry-careful"):
        respond(client, model="gpt-5")


def test_offered_tools_are_named_in_a_header(api: Api) -> None:
    body = {"model": "llamaberry-quick", "input": QUESTION, "tools": [{"type": "web_search"}]}
    reply = httpx.post(f"{api.url}/responses", json=body)
    assert reply.headers["x-llamaberry-ignored"] == "tools"
    assert reply.json()["id"] == f"resp_{reply.headers['x-request-id']}"


@pytest.mark.parametrize("stream", [False, True])
def test_a_truncated_answer_is_incomplete(api: Api, client: openai.OpenAI, stream: bool) -> None:
    api.groq.play([Reply(first(), finish_reason="length")])
    reply = respond(client, model="llamaberry-quick", stream=stream)
    response = list(reply)[-1].response if stream else reply
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_a_degraded_run_says_so(api: Api, client: openai.OpenAI) -> None:
    api.groq.play([first("41"), Reply(status=400, error="No")])
    response = respond(client)
    assert response.degraded.startswith("Turn 2 failed")
    assert response.output[0].summary[-1].text == f"# degraded\n\n{response.degraded}"


def test_a_failed_run_has_a_status(api: Api, client: openai.OpenAI) -> None:
    api.groq.play([Reply(status=429, headers={"retry-after": "99"})])
    with pytest.raises(openai.RateLimitError) as caught:
        respond(client)
    assert caught.value.response.headers["retry-after"] == "99"
    assert len(api.groq.requests) == 1


def test_a_failed_run_ends_its_stream_with_an_error(api: Api, client: openai.OpenAI) -> None:
    api.groq.play([Reply(status=401)])
    types: list[str] = []
    events = respond(client, stream=True)
    with pytest.raises(openai.APIError, match="groq:openai/gpt-oss-120b answered 401") as caught:
        types.extend(event.type for event in events)
    assert types[0] == "response.created"
    assert error_fields(caught.value) == (None, "server_error", "model_failed", None)


def test_both_forms_of_an_error_are_in_the_stream(api: Api) -> None:
    """Some clients look for an event `error`, others for `response.failed`."""
    api.groq.play([Reply(status=401)])
    body = {"model": "llamaberry-quick", "input": QUESTION, "stream": True}
    text = httpx.post(f"{api.url}/responses", json=body).text
    assert text.index("event: error\n") < text.index("event: response.failed\n")


@pytest.mark.parametrize("stream", [False, True])
def test_langchains_client_reads_answer_and_reasoning(api: Api, stream: bool) -> None:
    api.groq.play(FLIPPED)
    key = SecretStr("any")
    chat_openai = pytest.importorskip("langchain_openai").ChatOpenAI
    model = chat_openai(model="llamaberry", base_url=api.url, api_key=key, use_responses_api=True, streaming=stream)
    message = model.invoke(QUESTION)
    reasoning = [block for block in message.content_blocks if block["type"] == "reasoning"]
    assert message.text == ANSWER
    assert str(reasoning[0]["reasoning"]).startswith("# turn 1")
    assert message.usage_metadata
