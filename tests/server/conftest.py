"""Fixtures of the server tests."""

import re
from collections.abc import Iterator

import openai
import pytest
from langgraph_sdk import get_sync_client

from testing.openai_api import Api
from testing.scripted_groq import ScriptedGroq
from testing.server import serve, server_environment
from testing.studio import Studio


@pytest.fixture
def studio(server: tuple[str, ScriptedGroq]) -> Iterator[Studio]:
    """Return a client like Studio, with a new thread."""
    address, groq = server
    groq.play()
    with get_sync_client(url=address, api_key=None) as client:
        (assistant,) = client.assistants.search(graph_id="llamaberry")
        yield Studio(client, groq, client.threads.create()["thread_id"], assistant["assistant_id"], address)


@pytest.fixture(scope="module")
def shared_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    home = tmp_path_factory.mktemp("api")
    with ScriptedGroq(keep_alive=False) as groq:
        settings = {"GROQ_API_KEY": "gsk_test", "GROQ_API_BASE": groq.url, "LLAMABERRY_MAX_COST_USD": "1"}
        environment = server_environment(home, **settings)
        with serve(environment, home / "log") as address:
            yield Api(address, groq, home / "log")


@pytest.fixture
def api(shared_api: Api) -> Iterator[Api]:
    shared_api.groq.play()
    shared_api.groq.wait()
    yield shared_api
    assert not re.search(r"OpenAI-compatible API failed|[Bb]locking call", shared_api.log.read_text(encoding="utf-8"))


@pytest.fixture
def client(api: Api) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=api.url, api_key="any") as client:
        yield client
