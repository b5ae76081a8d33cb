"""The scripted Groq, driven by the real ChatGroq: it behaves like the real service."""

import asyncio
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

import groq as sdk
import httpx
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_groq import ChatGroq

from testing import scripted_groq
from testing.scripted_groq import Reply, Request, Scripted, ScriptedGroq, first, refine, synthesis


def model(**settings: Any) -> ChatGroq:
    """Return a client without retries."""
    defaults: dict[str, Any] = {"model": "openai/gpt-oss-120b", "max_retries": 0, "timeout": 5}
    return ChatGroq(**defaults | settings)


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_reply_arrives_complete(scripted: Scripted, streaming: bool) -> None:
    """With text, reasoning, usage details and finish reason, in both modes, sync and async."""
    text = "A reply,\n  with  spaces and unbrokenlongwords. \n"
    groq = scripted([Reply(text, reasoning="two words"), Reply(text, finish_reason="length")])
    conversation = [("system", "one two"), ("user", "three")]
    reply = await model(streaming=streaming).ainvoke(conversation)
    assert reply.text == text
    assert reply.additional_kwargs["reasoning_content"] == "two words"
    assert reply.response_metadata["finish_reason"] == "stop"
    assert reply.usage_metadata == {
        "input_tokens": 3,
        "output_tokens": 8,
        "total_tokens": 11,
        "output_token_details": {"reasoning": 2},
    }
    again = await asyncio.to_thread(model(streaming=streaming).invoke, [*conversation, ("user", "four")])
    assert again.response_metadata["finish_reason"] == "length"
    assert again.usage_metadata
    assert again.usage_metadata["input_token_details"] == {"cache_read": 3}
    assert [m["content"] for m in groq.requests[1].messages] == ["one two", "three", "four"]
    assert groq.requests[0].headers["authorization"] == "Bearer gsk_test"
    assert json.loads(groq.requests[0].raw) == groq.requests[0].body
    assert groq.requests[0].time < groq.requests[1].time


async def test_a_stream_arrives_in_chunks(scripted: Scripted) -> None:
    groq = scripted([Reply("one two three", chunk_delay=0.1)])
    chunks: list[str] = []
    async for chunk in model().astream("?"):
        assert isinstance(chunk, AIMessageChunk)
        assert chunks or groq.open_requests == 1
        chunks.append(chunk.text)
    assert [chunk for chunk in chunks if chunk] == ["one", " two", " three"]


async def test_without_a_script_it_is_a_good_model(groq: ScriptedGroq) -> None:
    """It replies in the format whose headings the last message names."""
    instructions = ["What is 6 x 7?", "Reply with ## Review, ## Verdict, ## Answer", "End with ## Concise Answer"]
    conversation: list[tuple[str, str]] = [("system", "## Verdict and ## Concise Answer are here, too")]
    for question, expected in zip(instructions, [first(), refine(), synthesis()], strict=True):
        conversation.append(("user", question))
        reply = await model().ainvoke(conversation)
        assert reply.text == expected
        conversation.append(("assistant", reply.text))
    assert len(groq.requests) == 3


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        (Reply(status=400), sdk.BadRequestError, "invalid_request_error"),
        (Reply(status=401), sdk.AuthenticationError, "Invalid API Key"),
        (Reply(status=413), sdk.APIStatusError, "rate_limit_exceeded"),
        (Reply(status=429), sdk.RateLimitError, "rate_limit_exceeded"),
        (Reply(status=498), sdk.APIStatusError, "capacity_exceeded"),
        (Reply(status=503, error="over capacity"), sdk.InternalServerError, "over capacity"),
        (Reply(status=400, error={"message": "m", "code": "odd"}), sdk.BadRequestError, "odd"),
        (Reply("text", cut=-1), sdk.APIConnectionError, "Connection error"),
    ],
    ids=lambda value: str(value.status or value) if isinstance(value, Reply) else None,
)
@pytest.mark.parametrize("streaming", [False, True])
async def test_a_status_raises_the_sdks_exception(
    scripted: Scripted, reply: Reply, error: type[Exception], message: str, streaming: bool
) -> None:
    scripted([reply])
    with pytest.raises(error, match=message):
        await model(streaming=streaming).ainvoke("?")


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply("one two three", cut=2), httpx.RemoteProtocolError),
        (Reply("one two three", error_event="it broke"), sdk.APIError),
        (Reply("one two three", garbage=True), json.JSONDecodeError),
        (Reply("one two three", chunk_delay=5), httpx.ReadTimeout),
    ],
    ids=["cut", "error event", "garbage", "stalled"],
)
async def test_a_broken_stream_is_not_retried_by_the_sdk(
    scripted: Scripted, reply: Reply, error: type[Exception]
) -> None:
    groq = scripted([reply])
    with pytest.raises(error) as caught:
        await model(streaming=True, max_retries=2, timeout=0.5).ainvoke("?")
    assert type(caught.value) is error
    assert len(groq.requests) == 1


async def test_a_stream_without_finish_reason_is_no_error(scripted: Scripted) -> None:
    """The client does not notice the loss."""
    scripted([Reply("half of it", finish_reason=None, no_usage=True)])
    reply = await model(streaming=True).ainvoke("?")
    assert isinstance(reply, AIMessage)
    assert (reply.text, reply.usage_metadata, reply.response_metadata.get("finish_reason")) == (
        "half of it",
        None,
        None,
    )


async def test_the_sdk_respects_retry_after(scripted: Scripted) -> None:
    groq = scripted([Reply(status=429, headers={"retry-after": "0.2"}), "done"])
    assert (await model(max_retries=1).ainvoke("?")).text == "done"
    assert groq.requests[1].time - groq.requests[0].time >= 0.2


async def test_a_call_beyond_the_script_is_an_error(scripted: Scripted) -> None:
    """Which the SDK does not retry."""
    groq = scripted(["only"])
    await model().ainvoke("?")
    with pytest.raises(sdk.InternalServerError, match="1 replies is used up"):
        await model(max_retries=2).ainvoke("?")
    assert len(groq.requests) == 2


def test_an_error_in_a_script_fails_the_test() -> None:
    def script(request: Request) -> str:
        assert request.messages[0]["content"] == "expected"
        return "never"

    with (
        pytest.raises(ExceptionGroup) as caught,
        ScriptedGroq(script, keep_alive=False) as groq,
        pytest.raises(sdk.InternalServerError, match="AssertionError"),
    ):
        model(base_url=groq.url, api_key="gsk_test").invoke("unexpected")
    assert caught.group_contains(AssertionError)


async def test_a_disconnected_client_is_noticed(scripted: Scripted) -> None:
    """Cancelling the call closes the request, before and during the reply."""
    groq = scripted([Reply(hang=True), Reply("one two three", chunk_delay=5)])
    for number, streaming in enumerate([False, True], 1):
        call = asyncio.create_task(model(streaming=streaming).ainvoke("?"))
        await asyncio.to_thread(groq.wait, 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.to_thread(groq.wait)
        assert groq.disconnects == number


async def test_a_hundred_concurrent_requests_are_answered(scripted: Scripted) -> None:
    groq = scripted(lambda request: Reply(request.messages[-1]["content"], delay=1))
    client, start = model(), time.monotonic()
    replies = await asyncio.gather(*(client.ainvoke(str(n), stream=n % 2 == 0) for n in range(100)))
    assert [reply.text for reply in replies] == [str(n) for n in range(100)]
    assert time.monotonic() - start < 50  # half of what they would take one after the other
    await asyncio.to_thread(groq.wait)
    assert groq.disconnects == 0


def test_connections_are_kept_alive() -> None:
    """Also after an error."""
    with ScriptedGroq(["one", Reply("two"), Reply(status=400)]) as groq, httpx.Client(base_url=groq.url) as client:
        ports = set()
        path, body = "/openai/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "?"}]}
        key = {"authorization": "Bearer k"}
        responses = [
            client.post(path, json=body, headers=key),
            client.post(path, json=body | {"stream": True}, headers=key),
            client.post(path, json=body, headers=key),
            client.post(path, json=body),
            client.post(path, json={}, headers=key),
            client.get("/openai/v1/models", headers=key),
        ]
        for response in responses:
            assert "x-ratelimit-remaining-tokens" in response.headers
            ports.add(response.extensions["network_stream"].get_extra_info("client_addr"))
    assert [response.status_code for response in responses] == [200, 200, 400, 401, 400, 404]
    assert responses[1].text.endswith("data: [DONE]\n\n")
    assert responses[3].json()["error"]["code"] == "invalid_api_key"
    assert responses[5].json()["error"]["code"] == "unknown_url"
    assert len(ports) == 1


def test_the_program_ends_with_its_stdin() -> None:
    command = [sys.executable, scripted_groq.__file__, "--delay", "0.1", "--faults", "0.5"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin
        assert program.stdout
        url = program.stdout.readline().strip()
        with pytest.raises(urllib.error.HTTPError, match="404") as caught:
            urllib.request.urlopen(url)
        caught.value.close()
        program.stdin.close()
        assert program.wait(5) == 0


def test_the_network_is_unreachable(loopback_only: list[str]) -> None:
    """A lookup or a connection outside loopback raises, and would fail the test."""
    with pytest.raises(OSError, match="only loopback"):
        socket.create_connection(("api.groq.com", 443))
    with socket.socket() as plain, pytest.raises(OSError, match="only loopback"):
        plain.connect(("192.0.2.1", 443))
    assert loopback_only == ["api.groq.com", "192.0.2.1"]
    loopback_only.clear()
