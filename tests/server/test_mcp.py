"""The MCP server through the official client, in process and by HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest

pytest.importorskip("mcp")

from mcp import Client
from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult

from llamaberry import Context, SetupError
from llamaberry.server.mcp import create_server, listen, serve_http
from llamaberry.server.mcp_tool import Think
from testing.mcp import QUESTION, cancelled_call
from testing.scripted_groq import Reply, Scripted, ScriptedGroq, first, program, refine, synthesis
from testing.scripts import HANG

FLIPPED = [first("41"), refine("42", "revise"), synthesis("It is **42**.", "42")]
MODES = pytest.mark.parametrize("mode", ["legacy", "auto"])
"""The protocol of 2025, with its handshake and sessions, and the newest that both ends know."""
HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


def client(context: Context | None = None, mode: Any = "legacy", heartbeat_s: float = 60) -> Client:
    """Return a client of a server in this process."""
    return Client(create_server(Think(context or Context(max_turns=2), heartbeat_s=heartbeat_s)), mode=mode)


def text_of(result: CallToolResult) -> str:
    """Return the text of a result, its only content."""
    (content,) = result.content
    assert content.type == "text"
    return content.text


async def think(context: Context | None = None, **arguments: Any) -> CallToolResult:
    """Ask a server in this process."""
    async with client(context) as caller:
        return await caller.call_tool("think", arguments)


async def result_of(context: Context | None = None, **arguments: Any) -> dict[str, Any]:
    """Return the structured content of an answer."""
    return structured(await think(context, **arguments))


def structured(result: CallToolResult) -> dict[str, Any]:
    """Return the structured content of a result."""
    assert result.structured_content is not None
    return result.structured_content


async def error_of(context: Context | None = None, **arguments: Any) -> str:
    """Return the error of a call that fails."""
    result = await think(context, **arguments)
    assert result.is_error
    return text_of(result)


@asynccontextmanager
async def http_server() -> AsyncIterator[str]:
    """Serve by HTTP; yield the address."""
    listener = listen("127.0.0.1", 0)
    server = asyncio.create_task(serve_http(create_server(Think(Context(max_turns=2))), listener))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    finally:
        server.cancel()
        with suppress(asyncio.CancelledError):
            await server


@asynccontextmanager
async def http_client(url: str, mode: Any = "legacy", **headers: str) -> AsyncIterator[Client]:
    """Connect to a server with these headers."""
    async with (
        create_mcp_http_client(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as caller,
    ):
        yield caller


async def test_a_model_sees_one_tool_with_a_required_question(groq: ScriptedGroq) -> None:
    async with client() as caller:
        (tool,) = (await caller.list_tools()).tools
    assert (tool.name, tool.input_schema["required"]) == ("think", ["question"])
    assert "hard question" in str(tool.description)
    turns = tool.input_schema["properties"]["turns"]
    assert (turns["type"], turns["minimum"], turns["maximum"]) == ("integer", 1, 10)
    assert "default" not in turns
    assert groq.requests == []


async def test_the_text_is_the_answer_and_why_it_ended(scripted: Scripted) -> None:
    scripted(FLIPPED)
    text = text_of(await think(**QUESTION))
    assert text == "It is **42**.\n\n(It ended after 2 turns: that is the number of turns it had.)"


async def test_the_result_has_the_answer_turns_and_cost(scripted: Scripted) -> None:
    """The client checks it against the output schema."""
    scripted([first("42")], [program()])
    result = await result_of(**QUESTION)
    assert (result["answer"], result["concise_answer"], result["stop_reason"]) == ("42", "42", "verified")
    assert [(turn["index"], turn["verdict"], turn["answer"]) for turn in result["turns"]] == [(1, None, "42")]
    assert result["check"] == {"verdict": "agrees", "answer": "42"}
    assert (result["degraded"], result["usage"]["calls"]) == (None, 2)
    assert result["usage"]["cost_usd"] > 0


async def test_a_lost_turn_is_named_in_the_text(scripted: Scripted) -> None:
    scripted([first("42"), Reply(status=400)])
    result = await think(**QUESTION)
    assert not result.is_error
    assert structured(result)["degraded"] in text_of(result)


async def test_a_program_that_disagrees_is_named_in_the_text(scripted: Scripted) -> None:
    scripted([first("41"), refine("41"), synthesis("41", "41")], [program()])
    assert "The program's answer is 42: not turn 1 or 2's." in text_of(await think(**QUESTION))


async def test_the_owner_sets_the_turns_and_a_call_changes_them(groq: ScriptedGroq) -> None:
    for context, arguments, turns in ((None, {}, 2), (None, {"turns": 1}, 1), (Context(max_turns=1), {"turns": 3}, 3)):
        assert len((await result_of(context, **QUESTION, **arguments))["turns"]) == turns


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "question is missing: pass the whole question, as a string"),
        ({"question": " "}, "the question is blank (' '): write what is asked"),
        ({"question": 5}, "question 5: it should be a valid string"),
        (QUESTION | {"turns": 11}, "turns 11: it should be less than or equal to 10"),
        (QUESTION | {"max_turns": 2}, "there is no argument 'max_turns': use question, turns"),
    ],
    ids=["missing", "blank", "number", "turns", "unknown"],
)
async def test_a_wrong_argument_is_an_error_in_words(
    groq: ScriptedGroq, arguments: dict[str, Any], message: str
) -> None:
    assert await error_of(**arguments) == message
    assert groq.requests == []


async def test_another_tool_is_an_error_that_names_this_one(groq: ScriptedGroq) -> None:
    async with client() as caller:
        with pytest.raises(MCPError, match="there is no tool 'thin': use think"):
            await caller.call_tool("thin", QUESTION)


async def test_a_missing_key_is_an_error_with_the_remedy() -> None:
    message = await error_of(Context(model="groq:openai/gpt-oss-120b"), **QUESTION)
    assert message.startswith("GROQ_API_KEY is not set: get a key at ")


async def test_a_rate_limit_is_an_error_with_the_wait(scripted: Scripted) -> None:
    scripted([Reply(status=429, headers={"retry-after": "900"})])
    assert "wait 900 s" in await error_of(Context(max_turns=1), **QUESTION)


@MODES
async def test_each_step_and_each_heartbeat_is_progress(scripted: Scripted, mode: str) -> None:
    scripted([first("42"), HANG], [program("print(40 + 1)")])
    numbers, messages = list[float](), list[str]()
    is_waiting = asyncio.Event()

    async def note(number: float, _total: float | None, message: str | None) -> None:
        numbers.append(number)
        messages.append(str(message))
        if messages.count("turn 2 is still running") == 2:
            is_waiting.set()

    async with client(mode=mode, heartbeat_s=0.05) as caller:
        call = asyncio.create_task(caller.call_tool("think", QUESTION, progress_callback=note))
        async with asyncio.timeout(30):
            await is_waiting.wait()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    steps = [message for message in messages if "still running" not in message]
    assert steps == [
        "turn 1 started",
        "turn 1 finished: 42",
        "check of turn 1 started",
        "check of turn 1 finished: differs",
        "turn 2 started",
    ]
    assert numbers == sorted(set(numbers))


@MODES
async def test_a_cancelled_call_pays_for_no_further_call(groq: ScriptedGroq, mode: str) -> None:
    async with client(mode=mode) as caller:
        await cancelled_call(groq, caller)
        groq.play()
        assert not (await caller.call_tool("think", QUESTION)).is_error


@MODES
async def test_http_serves_answers_progress_and_cancels(groq: ScriptedGroq, mode: str) -> None:
    messages: list[str | None] = []

    async def note(_number: float, _total: float | None, message: str | None) -> None:
        messages.append(message)

    async with http_server() as url, http_client(url, mode) as caller:
        result = await caller.call_tool("think", QUESTION, progress_callback=note)
        assert structured(result)["answer"] == "The answer is 42."
        assert messages[:2] == ["turn 1 started", "turn 1 finished: 42"]
        await cancelled_call(groq, caller)


def rpc(method: str, number: int, **params: Any) -> dict[str, Any]:
    """Return a request of the protocol."""
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


async def test_a_closed_connection_cancels_the_run(groq: ScriptedGroq) -> None:
    groq.play([HANG, HANG])
    hello = rpc("initialize", 1, protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "x", "version": ""})
    async with http_server() as url, httpx.AsyncClient(headers=HEADERS) as http:
        session = {"mcp-session-id": (await http.post(url, json=hello)).headers["mcp-session-id"]}
        await http.post(url, json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=session)
        call = rpc("tools/call", 2, name="think", arguments=QUESTION)
        async with http.stream("POST", url, json=call, headers=session):
            await asyncio.to_thread(groq.wait, 1)
        await asyncio.to_thread(groq.wait, 0)
    assert (len(groq.requests), groq.disconnects) == (1, 1)


async def post(url: str, **headers: str) -> httpx.Response:
    """Ask for the tools."""
    async with httpx.AsyncClient() as http:
        return await http.post(url, json=rpc("tools/list", 1), headers=HEADERS | headers)


async def test_http_without_a_key_refuses_other_sites() -> None:
    async with http_server() as url:
        for headers in ({"origin": "https://evil.example"}, {"host": "evil.example"}):
            reply = await post(url, **headers)
            assert (reply.status_code, reply.json()["error"]["code"]) == (403, "forbidden")


async def test_http_with_a_key_requires_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMABERRY_API_KEY", "secret")
    async with http_server() as url:
        for headers in ({}, {"authorization": "Bearer wrong"}):
            assert (await post(url, **headers)).status_code == 401
        async with http_client(url, authorization="Bearer secret") as caller:
            assert [tool.name for tool in (await caller.list_tools()).tools] == ["think"]


def test_http_off_loopback_requires_a_key() -> None:
    with pytest.raises(SetupError, match=r"would listen on 0\.0\.0\.0 without a key.*LLAMABERRY_API_KEY"):
        listen("0.0.0.0", 0)


def test_an_address_in_use_is_an_error_in_words() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(SetupError, match=rf"--http: 127\.0\.0\.1:{port} cannot be used \(Address already in use\)"):
            listen("127.0.0.1", port)
