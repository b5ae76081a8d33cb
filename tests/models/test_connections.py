"""Connections are used again, however many there are, and none stays open that is not needed."""

import asyncio
import importlib
from types import ModuleType
from typing import Any

import pytest

from llamaberry.models.connections import ConnectionStack
from testing.scripted_groq import Reply, ScriptedGroq

CALLS = 150  # more than the 100 idle connections that the packages of the providers keep
PATH, HEADERS = "/openai/v1/chat/completions", {"authorization": "Bearer k"}


@pytest.fixture(params=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> ModuleType:
    """Return the HTTP library: groq uses httpx, and openai httpx2."""
    pytest.importorskip(request.param)
    return importlib.import_module(request.param)


def client(library: ModuleType, **options: Any) -> Any:
    stack = ConnectionStack(library, verify=True, trust_env=False, **options)
    return library.AsyncClient(transport=stack, trust_env=False)


async def post(http: Any, groq: ScriptedGroq) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Q"}]}
    response = await http.post(f"{groq.url}{PATH}", json=body, headers=HEADERS)
    assert response.status_code == 200
    assert response.json()["choices"]


async def open_connections(groq: ScriptedGroq, number: int) -> None:
    """Wait until the server has this many connections: it sees the end of one a moment later."""
    async with asyncio.timeout(5):
        while groq.open_connections != number:
            await asyncio.sleep(0.005)


async def test_calls_in_a_row_share_a_connection(library: ModuleType) -> None:
    with ScriptedGroq() as groq:
        async with client(library) as http:
            for _ in range(3):
                await post(http, groq)
            assert groq.open_connections == 1
        await open_connections(groq, 0)


async def test_all_idle_connections_are_used_again(library: ModuleType) -> None:
    with ScriptedGroq(lambda _: Reply("A", delay=0.3)) as groq:
        async with client(library) as http:
            for _ in range(2):
                await asyncio.gather(*(post(http, groq) for _ in range(CALLS)))
                assert groq.open_connections == CALLS
        await open_connections(groq, 0)


async def test_a_request_closes_connections_idle_too_long(library: ModuleType) -> None:
    with ScriptedGroq() as groq:
        async with client(library, idle_s=0) as http:
            await asyncio.gather(*(post(http, groq) for _ in range(20)))
            await post(http, groq)
            await open_connections(groq, 1)


async def test_a_cancelled_call_closes_its_connection(library: ModuleType) -> None:
    with ScriptedGroq(lambda request: Reply(hang=len(groq.requests) == 1, text="A")) as groq:
        async with client(library) as http:
            call = asyncio.create_task(post(http, groq))
            await asyncio.to_thread(groq.wait, 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await open_connections(groq, 0)
            await post(http, groq)


async def test_a_connection_that_the_server_closed_is_replaced(library: ModuleType) -> None:
    with ScriptedGroq(keep_alive=False) as groq:
        async with client(library) as http:
            for _ in range(3):
                await post(http, groq)
                await open_connections(groq, 0)


async def test_closing_the_client_closes_a_response_that_is_read(library: ModuleType) -> None:
    with ScriptedGroq([Reply("a b c d", chunk_delay=0.2)]) as groq:
        http = client(library)
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Q"}]}
        async with http.stream("POST", f"{groq.url}{PATH}", json=body, headers=HEADERS):
            await http.aclose()
            await open_connections(groq, 0)
