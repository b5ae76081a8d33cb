"""Structured answers in the OpenAI-compatible API: response formats, and a tool that has to be called."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel

from llamaberry.server.openai_api import app
from testing.scripted_groq import Scripted, ScriptedGroq, first

PARIS = '{"name": "Paris"}'
QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]


class City(BaseModel):
    name: str


SCHEMA = City.model_json_schema()
FUNCTION: Any = {"name": "answer", "parameters": SCHEMA}
TOOL: Any = {"type": "function", "function": FUNCTION}
NAMED: Any = {"type": "function", "function": {"name": "answer"}}


@pytest.fixture
async def client() -> AsyncIterator[openai.AsyncOpenAI]:
    transport = httpx.ASGITransport(app)
    async with openai.AsyncOpenAI(
        base_url="http://127.0.0.1/v1", api_key="any", http_client=httpx.AsyncClient(transport=transport)
    ) as client:
        yield client


@pytest.fixture
def paris(scripted: Scripted) -> ScriptedGroq:
    return scripted([first("Paris"), PARIS])


async def chat(client: openai.AsyncOpenAI, **more: Any) -> Any:
    return await client.chat.completions.create(model="llamaberry-quick", messages=QUESTION, **more)


async def respond(client: openai.AsyncOpenAI, **more: Any) -> Any:
    return await client.responses.create(model="llamaberry-quick", input="Q", **more)


async def test_a_json_schema_makes_the_content_json(client: openai.AsyncOpenAI, paris: ScriptedGroq) -> None:
    parsed = await client.chat.completions.parse(model="llamaberry-quick", messages=QUESTION, response_format=City)
    assert parsed.choices[0].message.parsed == City(name="Paris")
    assert len(paris.requests) == 2


async def test_json_object_makes_the_content_json(client: openai.AsyncOpenAI, paris: ScriptedGroq) -> None:
    reply = await chat(client, response_format={"type": "json_object"}, stop=["P"])
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == (PARIS, "stop")


@pytest.mark.parametrize("choice", ["required", NAMED])
async def test_a_forced_tool_is_called(client: openai.AsyncOpenAI, paris: ScriptedGroq, choice: Any) -> None:
    raw = await client.chat.completions.with_raw_response.create(
        model="llamaberry-quick", messages=QUESTION, tools=[TOOL], tool_choice=choice
    )
    (reply,) = raw.parse().choices
    assert (reply.finish_reason, reply.message.content) == ("tool_calls", None)
    ((call),) = reply.message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("answer", PARIS)
    assert "x-llamaberry-ignored" not in raw.headers


async def test_a_forced_tool_is_streamed(client: openai.AsyncOpenAI, paris: ScriptedGroq) -> None:
    choices = [
        choice
        async for chunk in await chat(client, stream=True, tools=[TOOL], tool_choice="required")
        for choice in chunk.choices
    ]
    calls = [call for choice in choices for call in choice.delta.tool_calls or []]
    assert [(call.index, call.function.name, call.function.arguments) for call in calls] == [(0, "answer", PARIS)]
    assert choices[-1].finish_reason == "tool_calls"


async def test_without_json_the_message_is_a_refusal(client: openai.AsyncOpenAI, scripted: Scripted) -> None:
    """As OpenAI's clients know it: with the reason."""
    scripted([first("Paris"), "Paris", "Paris"])
    reply = await client.chat.completions.parse(model="llamaberry-quick", messages=QUESTION, response_format=City)
    message = reply.choices[0].message
    assert (message.content, message.parsed) == (None, None)
    assert "no structured answer" in str(message.refusal)


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_response_has_the_json(client: openai.AsyncOpenAI, paris: ScriptedGroq, streamed: bool) -> None:
    if streamed:
        async with client.responses.stream(model="llamaberry-quick", input="Q", text_format=City) as stream:
            response: Any = await stream.get_final_response()
    else:
        response = await client.responses.parse(model="llamaberry-quick", input="Q", text_format=City)
    assert response.output_parsed == City(name="Paris")
    assert response.text.format.name == "City"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_response_calls_a_forced_tool(client: openai.AsyncOpenAI, paris: ScriptedGroq, streamed: bool) -> None:
    tools: Any = {"tools": [{"type": "function", "strict": True, **FUNCTION}], "tool_choice": "required"}
    if streamed:
        async with client.responses.stream(model="llamaberry-quick", input="Q", **tools) as stream:
            response: Any = await stream.get_final_response()
    else:
        response = await respond(client, **tools)
    call = response.output[-1]
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "answer", {"name": "Paris"})


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_response_without_json_is_a_refusal(
    client: openai.AsyncOpenAI, scripted: Scripted, streamed: bool
) -> None:
    scripted([first("Paris"), "Paris", "Paris"])
    if streamed:
        async with client.responses.stream(model="llamaberry-quick", input="Q", text_format=City) as stream:
            response: Any = await stream.get_final_response()
    else:
        response = await client.responses.parse(model="llamaberry-quick", input="Q", text_format=City)
    (part,) = response.output[-1].content
    assert (part.type, "no structured answer" in part.refusal) == ("refusal", True)


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"response_format": {"type": "grammar"}}, "response_format", "'grammar' is not supported"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "it has no schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "?"}}}},
            "response_format",
            "it is no valid JSON schema",
        ),
        ({"tools": [TOOL, TOOL], "tool_choice": "required"}, "tool_choice", "with 2 tools"),
        ({"tools": [TOOL], "tool_choice": {**NAMED, "function": {"name": "x"}}}, "tool_choice", "there is no tool"),
        ({"tool_choice": "required"}, "tool_choice", "with 0 tools"),
        ({"tools": ["x", {"type": "function", "function": 1}], "tool_choice": "required"}, "tool_choice", "1 tools"),
    ],
)
async def test_what_cannot_be_made_is_refused(
    client: openai.AsyncOpenAI, groq: ScriptedGroq, fields: Any, param: str, message: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await chat(client, **fields)
    assert (caught.value.param, message in str(caught.value.body)) == (param, True)
    assert groq.requests == []
