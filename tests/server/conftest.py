"""Fixtures of the server tests."""

from collections.abc import Iterator

import pytest
from langgraph_sdk import get_sync_client

from testing.scripted_groq import ScriptedGroq
from testing.studio import Studio


@pytest.fixture
def studio(server: tuple[str, ScriptedGroq]) -> Iterator[Studio]:
    """Return a client like Studio, with a new thread."""
    address, groq = server
    groq.play()
    with get_sync_client(url=address, api_key=None) as client:
        (assistant,) = client.assistants.search(graph_id="llamaberry")
        yield Studio(client, groq, client.threads.create()["thread_id"], assistant["assistant_id"], address)
