"""What goes wrong is said in the same words at every door: the command line's, LangGraph's server, its streams."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

from testing.scripted_groq import Reply, Scripted, ScriptedGroq
from testing.server import clean, served, served_with_groq
from tests.cli.test_ask import llamaberry, mistake

REFUSED = Reply(status=401, error="Bad key")


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, ScriptedGroq]]:
    with served_with_groq() as (address, groq):
        yield address, groq


def words(client: SyncLangGraphClient, **how: Any) -> list[str]:
    """What a client is told that waits for a run, and one that streams it."""
    thread = client.threads.create()["thread_id"]
    waited: Any = client.runs.wait(thread, "llamaberry", raise_error=False, **how)
    streamed: Any = [part.data for part in client.runs.stream(None, "llamaberry", **how) if part.event == "error"]
    return [waited["__error__"]["message"], *(data["message"] for data in streamed)]


def test_a_provider_error_reads_as_on_the_command_line(server: tuple[str, ScriptedGroq], scripted: Scripted) -> None:
    address, groq = server
    groq.play([REFUSED, REFUSED])
    with get_sync_client(url=address, api_key=None) as client:
        told = words(client, input={"query": "Q"})
    scripted([REFUSED])
    said = llamaberry("ask", "Q").stderr.removeprefix("llamaberry: ").strip()
    assert "the key was refused" in said
    assert told == [said, said]


def test_an_invalid_input_is_named(server: tuple[str, ScriptedGroq]) -> None:
    address, groq = server
    groq.play([])
    with get_sync_client(url=address, api_key=None) as client:
        for told in words(client, input={"query": " "}):
            assert "the question is blank" in told
        for told in words(client, input={"query": "Q"}, context={"max_turns": 11}):
            assert "max_turns" in told
            assert "less than or equal to 10" in told
    assert groq.requests == []


def test_a_missing_key_is_named_with_its_remedy(tmp_path: Path) -> None:
    with served(clean(tmp_path)) as address, get_sync_client(url=address, api_key=None) as client:
        told = words(client, input={"query": "Q"}, context={"model": "groq:x"})
    said = mistake("ask", "Q", "--model", "groq:x").removeprefix("llamaberry: ").strip()
    assert told == [said, said]
    assert "GROQ_API_KEY is not set" in said
