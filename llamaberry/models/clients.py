"""The clients of the models: built once per settings and event loop, and closed with their loop."""

import asyncio
import gc
import ssl
import sys
import threading
from collections.abc import AsyncGenerator
from functools import partial
from types import SimpleNamespace
from typing import Any

import httpx
from pydantic import SecretStr

from llamaberry.graph.errors import SetupError
from llamaberry.models.connections import ConnectionStack
from llamaberry.models.local import server as local_server
from llamaberry.models.network import check_environment, client_options, find_route, timeouts
from llamaberry.models.objects import Model, ObjectSettings
from llamaberry.models.pacer import observe_headers
from llamaberry.models.settings import ClientSettings

MAX_CLIENTS = 32


class Client:
    """A model's client in one event loop.

    Its connections are closed when the loop is, or when the last reference is dropped: a call in progress holds one.
    """

    def __init__(self, settings: ClientSettings | ObjectSettings, model: Model, http: httpx.AsyncClient | None) -> None:
        self.settings, self.model, self._http = settings, model, http
        self._connections: AsyncGenerator[None] | None = None

    async def open(self) -> None:
        """Have the running event loop close the connections before itself: asyncio.run ends all its generators."""
        if self._connections is None and self._http:
            self._connections = _closing(self._http)
            await anext(self._connections)

    @property
    def is_open(self) -> bool:
        """Whether connections may be open."""
        return self._connections is not None and self._http is not None and not self._http.is_closed


async def _closing(http: httpx.AsyncClient) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await http.aclose()


_clients: dict[tuple[ClientSettings, asyncio.AbstractEventLoop], Client] = {}
"""Each event loop has its own clients, because their connections belong to one loop."""
_lock = threading.Lock()


async def get_client(settings: ClientSettings) -> Client:
    """Return the client of these settings in this event loop; build it if there is none.

    Raises:
        SetupError: a key, a package or a model is missing, or a variable of the network is wrong.
    """
    loop = asyncio.get_running_loop()
    client = _clients.get((settings, loop))
    if client is None:
        # Building a client reads certificates from the disk and may start the local server: not in the event loop.
        client = await asyncio.to_thread(_get_client, settings, loop)
    await client.open()
    return client


def _get_client(settings: ClientSettings, loop: asyncio.AbstractEventLoop) -> Client:
    """Return the client of these settings in this loop; runs that need it at the same time build it only once."""
    if settings.provider == "local":
        address = local_server.server().address
        settings = settings._replace(environment=address, route=find_route(address[0][0]))
    key = (settings, loop)
    with _lock:
        if key not in _clients:
            client = _build_client(settings)
            _drop_clients()
            _clients[key] = client
        return _clients[key]


def _drop_clients() -> None:
    """Drop the clients of closed event loops; and the oldest, of idle loops first, if there are too many."""
    closed = [_clients.pop(key) for key in list(_clients) if key[1].is_closed()]
    abandoned = any(client.is_open for client in closed)
    closed.clear()
    if abandoned:  # by a loop that was closed without shutdown_asyncgens(): only the collector still finds the sockets
        gc.collect()
    while len(_clients) >= MAX_CLIENTS:
        idle = (key for key in _clients if not key[1].is_running())
        del _clients[next(idle, next(iter(_clients)))]


def _http_clients(settings: ClientSettings) -> tuple[httpx.AsyncClient | None, dict[str, Any]]:
    """Return the HTTP client of a provider's package, and the options that make the package use it."""
    try:
        if settings.provider == "groq":
            from groq import DefaultAsyncHttpxClient, DefaultHttpxClient

            own: dict[str, Any] = {"event_hooks": {"response": [observe_headers]}}
            options: dict[str, Any] = {}
        else:
            from openai import DefaultAsyncHttpxClient, DefaultHttpxClient  # type: ignore[assignment]

            # The route has the proxy, the caller limits the time, and the sockets are those of the client below.
            own, options = {}, {"stream_chunk_timeout": None, "openai_proxy": None, "http_socket_options": ()}
            if not settings.route.variable:  # not another server, which may not know the option
                options["stream_usage"] = True
    except ImportError:
        return None, {}  # init_chat_model names the package
    library = sys.modules[DefaultAsyncHttpxClient.__mro__[1].__module__.partition(".")[0]]  # httpx, or openai's httpx2
    connections: Any = ConnectionStack(library, **client_options(settings.route))
    http: Any = DefaultAsyncHttpxClient(transport=connections, trust_env=False, **own)
    # Nothing is sent by it, but a package that builds its own reads the proxies again.
    unused = DefaultHttpxClient(trust_env=False, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    # The silence between the tokens of the local model is limited by the caller.
    timeout = timeouts(None if settings.provider == "local" else settings.timeout_s)
    options |= {"base_url": settings.route.url, "timeout": timeout}
    return http, {**options, "http_async_client": http, "http_client": unused}


def _build_client(settings: ClientSettings) -> Client:
    import genai_prices  # noqa: F401 - graph/calls.py needs it after the first reply, where it would block the event loop

    options: dict[str, Any] = {
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
        "timeout": settings.timeout_s,
        "max_retries": 0,  # the graph retries; two retry policies would multiply
    }
    http = None
    if settings.provider in ("groq", "openai", "local"):
        http, http_options = _http_clients(settings)
        options |= http_options
    else:
        check_environment(settings.route)
    if settings.provider == "local":
        from langchain_openai import ChatOpenAI

        ((_, api_key),) = settings.environment
        options["streaming"] = True  # so that the silence between tokens is seen
        local = ChatOpenAI(model=settings.name, api_key=SecretStr(api_key), **options)
        return Client(settings, local, http)
    from langchain.chat_models import init_chat_model

    try:
        model: Any = init_chat_model(settings.name, model_provider=settings.provider, **options)
    except Exception as error:  # a missing package, an unknown provider, or anything that a provider's class refuses
        raise SetupError(f'model "{settings.model}" cannot be set up: {" ".join(str(error).split())}') from error
    if settings.provider == "groq":
        model.async_client = SimpleNamespace(create=partial(_create, model.async_client))
    return Client(settings, model, http)


async def _create(completions: Any, **request: Any) -> Any:
    """Send a request with Groq's client as it is; return the reply's JSON, or that of each piece of a stream.

    Workaround for groq 0.37: its `create` compares each message with every message type (in the prompt of a tenth turn
    this was 40 % of a run's CPU time), and makes objects of the reply, which langchain-groq takes apart again.
    """
    from groq import AsyncStream

    stream = request.get("stream") or False
    options: Any = {"stream": stream, "stream_cls": AsyncStream[Any]}
    return await completions._client.post("/openai/v1/chat/completions", body=request, cast_to=object, **options)
