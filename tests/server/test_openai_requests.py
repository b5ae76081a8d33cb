"""The requests of the OpenAI-compatible API: what its fields do, and what is refused before a model is called."""

from typing import Any

import httpx
import openai
import pytest

from testing.openai_api import QUESTION, Api, ask, error_fields, message_of, streamed
from testing.scripted_groq import first

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
TEXT = {"type": "text", "text": "What is 6 x 7?"}
SYSTEM = {"role": "system", "content": "Be brief."}


def user(*parts: Any) -> list[Any]:
    return [{"role": "user", "content": list(parts)}]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_temperature_and_max_tokens_reach_the_model(api: Api, client: openai.OpenAI, name: str) -> None:
    ask(client, temperature=0.25, **{name: 321})
    assert {(r.body["temperature"], r.body["max_tokens"]) for r in api.groq.requests} == {(0.25, 321)}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("temperature", 3, "temperature 3: it should be less than or equal to 2"),
        ("max_tokens", 0, "max_tokens 0: it should be greater than or equal to 1"),
        ("max_completion_tokens", -5, "max_completion_tokens -5: it should be greater than or equal to 1"),
        ("stop", 7, "stop"),
        ("stop", ["x"] * 17, "stop"),
        ("n", 2, "n: 2 is not supported: leave it out"),
        ("response_format", {"type": "grammar"}, "response_format: 'grammar' is not supported"),
        ("tool_choice", "required", "tool_choice: 'required' with 0 tools"),
        ("tool_choice", {"type": "function", "function": {"name": "f"}}, "tool_choice: there is no tool"),
        ("messages", "Hi", "messages: it should be a valid"),
        ("messages.0.role", [{"role": "wizard", "content": "Hi"}], "messages.0.role: it should be 'system', "),
        ("messages.0.content", [{"role": "user", "content": 7}], "messages.0.content: it should be a valid string"),
        ("messages", [], "messages: there is no user message: the last one is the question"),
        ("messages", [{"role": "assistant", "content": "Hi"}], "messages: there is no user message"),
        ("messages", [{"role": "system", "content": "Hi"}], "messages: there is no user message"),
        (
            "messages.1.content",
            [SYSTEM, {"role": "user", "content": " \n"}],
            "messages.1.content: the question is blank",
        ),
        ("messages.0.content", [{"role": "user", "content": None}], "messages.0.content: it is null: write a text"),
        ("messages.0.content", [{"role": "user"}], "messages.0.content: it is null"),
        ("messages.0.content", [{"role": "user", "content": []}], "messages.0.content: the question is blank"),
        ("messages.0.content", user(IMAGE), "messages.0.content: the question is an image without a text"),
        (
            "messages.0.content.1.type",
            user(TEXT, {"type": "file"}),
            "messages.0.content.1.type: 'file' is not supported",
        ),
        ("messages.0.content.0.type", user({}), "messages.0.content.0.type: 'None' is not supported"),
        (
            "messages.0.content.0.text",
            user({"type": "text", "text": 7}),
            "messages.0.content.0.text: it should be a str",
        ),
        (
            "messages.0.content.0.image_url",
            user({"type": "image_url"}),
            "messages.0.content.0.image_url: it should hold",
        ),
        (
            "messages.0.content",
            [{"role": "user", "content": "x" * 200_001}],
            "messages.0.content: the question has 200,001",
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_invalid_request_fails_before_a_call(
    api: Api, client: openai.OpenAI, field: str | None, value: Any, message: str, stream: bool
) -> None:
    name = (field or "messages").partition(".")[0]
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, stream=stream, **{"messages": QUESTION, name: value})
    assert error_fields(caught.value) == (400, "invalid_request_error", "invalid_request", field)
    assert message_of(caught.value).startswith(message)
    assert api.groq.requests == []


@pytest.mark.parametrize("body", [b"{", b"[]", b"", b"\xff", b'{"messages": "\\ud800"}', b'{"model": "llamaberry"}'])
def test_an_invalid_body_is_a_bad_request(api: Api, body: bytes) -> None:
    reply = httpx.post(f"{api.url}/chat/completions", content=body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(("tokens", "limit"), [(1, 64), (4, 64), (63, 64), (64, 64), (65537, 65536), (10**30, 65536)])
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_token_limit_out_of_bounds_is_the_nearest_one(
    api: Api, client: openai.OpenAI, name: str, tokens: int, limit: int
) -> None:
    """Connection tests ask for a single token."""
    ask(client, model="llamaberry-quick", **{name: tokens})
    assert [request.body["max_tokens"] for request in api.groq.requests] == [limit]


@pytest.mark.parametrize(
    ("stop", "answer"),
    [
        ("42", "It is "),
        (["zzz", "\n"], "It is 42."),
        (["2", "is"], "It "),
        ("It", ""),
        ("", "It is 42.\nSure."),
        ([], None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_answer_ends_before_a_stop_sequence(
    api: Api, client: openai.OpenAI, stop: Any, answer: str | None, stream: bool
) -> None:
    api.groq.play([first("It is 42.\nSure.")])
    question = {"model": "llamaberry-quick", "stop": stop}
    if stream:
        reasoning, content, _ = streamed(client, **question)
    else:
        message = ask(client, **question).choices[0].message
        reasoning, content = message.reasoning_content, message.content
    assert content == ("It is 42.\nSure." if answer is None else answer)
    assert reasoning.endswith("It is 42.\nSure.")


@pytest.mark.parametrize(
    ("fields", "ignored"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"functions": [{"name": "f"}], "seed": 7, "top_p": 0.5, "user": "u"}, "functions, seed, top_p"),
        ({"tools": [], "seed": None, "tool_choice": "auto", "user": "u"}, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_header_names_the_fields_that_have_no_effect(
    api: Api, fields: dict[str, Any], ignored: str | None, stream: bool
) -> None:
    body = {"model": "llamaberry-quick", "messages": QUESTION, "stream": stream} | fields
    reply = httpx.post(f"{api.url}/chat/completions", json=body)
    assert (reply.status_code, reply.headers.get("x-llamaberry-ignored")) == (200, ignored)


def test_texts_beside_an_image_reach_the_model(api: Api, client: openai.OpenAI) -> None:
    ask(client, user(TEXT, TEXT, IMAGE, TEXT), model="llamaberry-quick")
    texts, image, rest, _instruction = api.groq.requests[0].messages[-1]["content"]
    assert (texts["text"], image, rest) == (TEXT["text"] * 2, IMAGE, TEXT)


def test_a_tools_message_is_not_read(api: Api, client: openai.OpenAI) -> None:
    """It may hold what only its tool knows."""
    tool = {"role": "tool", "tool_call_id": "c", "content": [{"type": "blob"}]}
    ask(client, [SYSTEM, tool, *QUESTION], model="llamaberry-quick")
    assert [message["role"] for message in api.groq.requests[0].messages] == ["system", "system", "user"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "allow"),
    [
        ("POST", "/embeddings", 404, "unknown_url", None),
        ("POST", "/completions", 404, "unknown_url", None),
        ("GET", "/", 404, "unknown_url", None),
        ("DELETE", "/chat/completions/x", 404, "unknown_url", None),
        ("POST", "/Chat/Completions", 404, "unknown_url", None),
        ("GET", "", 404, "unknown_url", None),
        ("GET", "/chat/completions", 405, "method_not_allowed", "POST"),
        ("OPTIONS", "/chat/completions", 405, "method_not_allowed", "POST"),
        ("POST", "/models", 405, "method_not_allowed", "GET, HEAD"),
        ("DELETE", "/models/llamaberry", 405, "method_not_allowed", "GET, HEAD"),
        ("PROPFIND", "/models", 405, "method_not_allowed", "GET, HEAD"),
    ],
)
def test_a_wrong_path_or_method_is_an_openai_error(
    api: Api, method: str, path: str, status: int, code: str, allow: str | None
) -> None:
    reply = httpx.request(method, f"{api.url}{path}")
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], reply.headers.get("allow")) == (status, code, allow)
    assert (error["type"], error["param"]) == ("invalid_request_error", None)
    if status == 404:
        assert "POST /v1/chat/completions, " in error["message"]
        assert "GET /v1/models/{model}, " in f"{error['message']}, "


def test_openais_client_names_what_is_here(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="POST /v1/chat/completions"):
        client.embeddings.create(model="llamaberry", input="x")


TITLE = "### Task:\nName the chat.\n### Chat History:\n<chat_history>\nUSER: 6 x 7?\n</chat_history>"
EMOJI = "Your task is to reflect the speaker's likely facial expression by an emoji.\n\nMessage: ```Hi```"
TOOLS = "Available Tools: []\n\nYour task is to choose and return the correct tool(s) from the list."
CITED = "### Task:\nAnswer from the context.\n<context>\n<source>6 x 7 is 42.</source>\n</context>\n\n6 x 7?"


@pytest.mark.parametrize(
    ("messages", "calls"),
    [
        ([{"role": "user", "content": TITLE}], 1),
        ([SYSTEM, {"role": "user", "content": f"\n{TITLE}"}], 1),
        ([{"role": "user", "content": [{"type": "text", "text": TITLE}]}], 1),
        ([{"role": "user", "content": EMOJI}], 1),
        ([{"role": "system", "content": TOOLS}, {"role": "user", "content": "Query: 6 x 7?"}], 1),
        ([{"role": "user", "content": CITED}], 4),
        ([{"role": "user", "content": f"What does this prompt do?\n{TITLE}"}], 4),
        ([*QUESTION, {"role": "assistant", "content": "42"}, {"role": "user", "content": TITLE}], 4),
    ],
    ids=["title", "after a system prompt", "as a part", "emoji", "tools", "cited sources", "quoted", "in a chat"],
)
def test_a_task_of_open_webui_is_one_call(api: Api, client: openai.OpenAI, messages: list[Any], calls: int) -> None:
    reply = ask(client, messages)
    assert (len(api.groq.requests), reply.model) == (calls, "llamaberry")
    assert len(api.groq.program_requests) == (calls > 1)
