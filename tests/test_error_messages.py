"""The command line, LangGraph's server and its streams report the same error messages."""

from pathlib import Path
from typing import Any

import httpx
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

from testing.command import llamaberry, usage_error
from testing.scripted_groq import Reply, Scripted, ScriptedGroq
from testing.server import serve, server_environment

REFUSED = Reply(status=401, error="Bad key")


def messages(client: SyncLangGraphClient, **options: Any) -> list[str]:
    """The error messages for a client that waits for a run, and for one that streams it."""
    thread = client.threads.create()["thread_id"]
    result: Any = client.runs.wait(thread, "llamaberry", raise_error=False, **options)
    events: Any = [part.data for part in client.runs.stream(None, "llamaberry", **options) if part.event == "error"]
    return [result["__error__"]["message"], *(data["message"] for data in events)]


def test_a_provider_error_reads_as_on_the_command_line(server: tuple[str, ScriptedGroq], scripted: Scripted) -> None:
    address, groq = server
    groq.play([REFUSED, REFUSED])
    with get_sync_client(url=address, api_key=None) as client:
        server_messages = messages(client, input={"query": "Q"})
    scripted([REFUSED])
    message = llamaberry("ask", "Q").stderr.removeprefix("llamaberry: ").strip()
    assert "the key was refused" in message
    assert server_messages == [message, message]


def test_an_invalid_input_is_named(server: tuple[str, ScriptedGroq]) -> None:
    address, groq = server
    groq.play([])
    with get_sync_client(url=address, api_key=None) as client:
        for message in messages(client, input={"query": " "}):
            assert "the question is blank" in message
    run = {"assistant_id": "llamaberry", "input": {"query": "Q"}, "context": {"max_turns": 11}}
    reply = httpx.post(f"{address}/runs/wait", json=run)
    assert reply.status_code == 400
    assert "max_turns: 11 is refused: it should be less than or equal to 10" in reply.json()["error"]["message"]
    assert groq.requests == []


def test_a_missing_key_is_named_with_its_remedy(tmp_path: Path) -> None:
    with serve(server_environment(tmp_path)) as address, get_sync_client(url=address, api_key=None) as client:
        server_messages = messages(client, input={"query": "Q"}, context={"model": "groq:x"})
    message = usage_error("ask", "Q", "--model", "groq:x").removeprefix("llamaberry: ").strip()
    assert server_messages == [message, message]
    assert "GROQ_API_KEY is not set" in message
