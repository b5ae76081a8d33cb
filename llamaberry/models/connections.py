"""The connections of a client, for an HTTP library that slows down with many of them."""

import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from functools import partial
from types import ModuleType
from typing import Any

import httpx

IDLE_S = 5.0
"""How long a connection may be idle and still be used: httpx's default."""


class ConnectionStack(httpx.AsyncBaseTransport):
    """A transport of httpx, or of a library like it, with a connection pool of its own for each concurrent request.

    A single pool checks every idle connection at each request, and looks for a free one among all: 500 concurrent runs
    spent four fifths of their CPU time on this. The connection that was used last is used next. Their number is not
    limited, because a call that waited for one would spend its timeout waiting.

    Each request also closes the connections that were idle for longer than `idle_s` seconds. `options` are those of the
    library's AsyncHTTPTransport.
    """

    def __init__(
        self, library: ModuleType, *, verify: Any, trust_env: bool, idle_s: float = IDLE_S, **options: Any
    ) -> None:
        self._idle_s = idle_s
        # One context for all: each would read the certificates from the disk again.
        context = library.create_ssl_context(verify=verify, trust_env=trust_env)
        limits = library.Limits(max_keepalive_connections=1, keepalive_expiry=IDLE_S)
        self._open: Callable[[], Any] = partial(library.AsyncHTTPTransport, verify=context, limits=limits, **options)
        self._stream: Any = type("Stream", (_Stream, library.AsyncByteStream), {})  # the client checks its type
        self._transports = set[Any]()
        self._idle = deque[tuple[Any, float]]()  # with the time of its last use: the oldest first

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request by the connection that was used last, or by a new one if none is idle."""
        while self._idle and self._idle[0][1] < time.monotonic() - self._idle_s:
            await self._drop(self._idle.popleft()[0])
        transport = self._idle.pop()[0] if self._idle else self._open()
        self._transports.add(transport)
        try:
            response = await transport.handle_async_request(request)
        except BaseException:
            await self._drop(transport)
            raise
        response.stream = self._stream(response.stream, partial(self._release, transport))
        return response

    async def aclose(self) -> None:
        """Close all connections, also those in use."""
        self._idle.clear()
        while self._transports:
            await self._transports.pop().aclose()

    async def _drop(self, transport: Any) -> None:
        self._transports.discard(transport)
        await transport.aclose()

    def _release(self, transport: Any) -> None:
        self._idle.append((transport, time.monotonic()))


class _Stream:
    """The body of a response; calls `release` when it is closed."""

    def __init__(self, body: Any, release: Callable[[], None]) -> None:
        self._body, self._release = body, release

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._body:
            yield part

    async def aclose(self) -> None:
        try:
            await self._body.aclose()
        finally:
            self._release()
