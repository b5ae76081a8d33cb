"""LangGraph's useStream, which agent-chat-ui and other React front ends are built on."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_sync_client

from testing.clients import Clients
from testing.scripted_groq import Reply
from testing.server import ROOT

PAGE = Path(__file__).with_name("react") / "page.mjs"
pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(
        not shutil.which("node") or not PAGE.with_name("node_modules").exists(),
        reason="run `npm ci` in tests/clients/react first",
    ),
]
TWO_TURNS: Any = {"max_turns": 2}
CONVERSATION = [["What is 6 times 7?"], ["What is 6 times 7?", "The answer is 42."]]


def run_page(clients: Clients, status: int = 0, **assistant: Any) -> list[str]:
    """Return the lines that the page prints."""
    with get_sync_client(url=clients.address, api_key=None) as client:
        created = client.assistants.create("llamaberry", context=TWO_TURNS, **assistant)
    (module,) = re.findall(r"^```js\n(.*?)^```", (ROOT / "docs" / "studio.md").read_text("utf-8"), re.M | re.S)
    (clients.folder / "parts.mjs").write_text(module, encoding="utf-8")
    words = [str(PAGE), clients.address, created["assistant_id"], f"{clients.folder}/parts.mjs"]
    return clients.run("node", *words, status=status, NODE_ENV="production").splitlines()


def shown(clients: Clients, **assistant: Any) -> list[dict[str, Any]]:
    """Return what the page shows, one after the other."""
    return [json.loads(line) for line in run_page(clients, **assistant)]


def without_repeats(values: list[Any]) -> list[Any]:
    return [value for value, before in zip(values, [None, *values], strict=False) if value != before]


def test_a_chat_shows_the_answer_and_the_turns_as_reasoning(clients: Clients) -> None:
    frames = shown(clients)
    assert without_repeats([frame["messages"] for frame in frames]) == CONVERSATION
    titles = without_repeats([frame["reasoning"] for frame in frames if "reasoning" in frame])
    assert titles == ["Turn 1", "verify", "Turn 2", "synthesize"]


def test_an_assistant_that_streams_no_tokens_shows_the_answer(clients: Clients) -> None:
    frames = shown(clients, config={"tags": ["nostream"]})
    assert [frame["messages"] for frame in frames] == CONVERSATION
    assert not any("reasoning" in frame for frame in frames)


def test_a_failing_provider_is_an_error_of_the_stream(clients: Clients) -> None:
    clients.groq.play([Reply(status=401)])
    (error,) = [line for line in run_page(clients, status=1) if line.startswith("stream.error")]
    assert "the key was refused: check GROQ_API_KEY" in error
    assert len(clients.groq.requests) == 1
