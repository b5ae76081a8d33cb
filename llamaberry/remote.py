"""The connection to a LangGraph server that serves Llamaberry, with its failures in words."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import APIStatusError, AuthenticationError

from llamaberry.graph.errors import SetupError
from llamaberry.models.connection_errors import explain
from llamaberry.models.network import client_options, find_route

READ_TIMEOUT_S = 30
"""A server sends a heartbeat every five seconds."""
CHECK_SERVER = "does it serve Llamaberry's langgraph.json?"


def thread_id(name: str) -> str:
    """Return the id of a thread on a server, where ids are UUIDs: the name itself, or a hash of it."""
    with suppress(ValueError):
        return str(uuid.UUID(name))
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"llamaberry:{name}"))


@asynccontextmanager
async def connect(server: str) -> AsyncIterator[LangGraphClient]:
    """Open a client; connection and key failures become a SetupError that says how to fix them."""
    key = os.environ.get("LLAMABERRY_API_KEY", "").strip()
    if not (key.isascii() and key.isprintable()):
        raise SetupError("LLAMABERRY_API_KEY has a character that a key cannot have: set it to the server's key")
    headers = {"x-api-key": key} if key else {}
    timeout, hooks = httpx.Timeout(READ_TIMEOUT_S, connect=5), {"response": [_refuse_redirect]}
    route = find_route(server, "--server")
    if "@" in server:
        raise SetupError("--server has a user name: write it as http://host:port; LLAMABERRY_API_KEY is the key")
    try:
        options = await asyncio.to_thread(client_options, route)
        http = httpx.AsyncClient(base_url=server, headers=headers, timeout=timeout, event_hooks=hooks, **options)
        async with LangGraphClient(http) as client:
            yield client
    except AuthenticationError:
        raise SetupError(f"{server} refused the key: set LLAMABERRY_API_KEY to the server's key") from None
    except APIStatusError as error:
        remedy = "are the servers behind it up?" if error.status_code in (502, 503, 504) else CHECK_SERVER
        raise SetupError(f"{server} answered {error.status_code} ({error.message}): {remedy}") from error
    except httpx.TransportError as error:
        failure = explain(error, route)
        cause = failure.message if failure else f"{type(error).__name__}: write it as http://host:port"
        scheme = server.partition("://")[0]
        raise SetupError(f"{scheme}://{route.address} cannot be reached: {cause}") from error


async def _refuse_redirect(response: httpx.Response) -> None:
    """Follow no redirect: the key is only for the server that the user named."""
    if response.has_redirect_location:
        target = response.url.join(response.headers["location"])
        raise SetupError(
            f"{response.url.join('/')} redirects to {target.join('/')}: use that address, if it is the right one"
        )
