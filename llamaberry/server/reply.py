"""Sends the reply to a request, as a whole or as a stream. If the client disconnects, the run is cancelled.

sse-starlette does not fit: anyio cancels each clean-up of a cancelled stream again, so that the model call goes on.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, NamedTuple, Protocol

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from llamaberry.server.openai_errors import ApiError, to_api_error
from llamaberry.server.run import Run

KEEP_ALIVE_S = 5.0
Event = dict[str, str]
"""An event of a stream: its `data`, and perhaps its name, `event`."""


class Patience(NamedTuple):
    """When the headers of a long run's reply are sent, in seconds, although its body is not known. Then spaces follow.

    An error before that has its own status. So it is early only if the run has a turn: then it has an answer, too.
    """

    with_turn_s: float = 45  # proxies wait for 60 s
    without_turn_s: float = 240  # Node's fetch waits for 300 s
    between_spaces_s: float = KEEP_ALIVE_S


PATIENCE = Patience()


class Reply(Protocol):
    """How one of OpenAI's APIs says what a run says."""

    run: Run

    async def whole(self) -> dict[str, Any]:
        """Run the graph and return the reply."""

    def events(self) -> AsyncGenerator[Event]:
        """Run the graph and yield the events of the reply."""

    def failure(self, error: ApiError) -> Iterable[Event]:
        """Return the events that end the stream of a run that failed."""


class WholeResponse:
    """The response that sends a reply as a whole. That of a long run starts early, with spaces: see Patience."""

    def __init__(self, reply: Reply, headers: Mapping[str, str], patience: Patience = PATIENCE) -> None:
        self._reply = reply
        self._headers = Headers({"content-type": "application/json", **headers})
        self._patience = patience
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, unless the client disconnects before."""
        await _until_disconnected(receive, self._send(scope, receive, send))

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply = asyncio.create_task(self._reply.whole())
        try:
            await self._wait(reply, send)
            response = JSONResponse(await reply)
            if self._reply.run.degraded:
                response.headers["x-llamaberry-degraded"] = "true"
            response.headers.update(self._headers)
        except Exception as error:  # noqa: BLE001 - to_api_error logs a bug
            response = to_api_error(error).response()
        finally:
            reply.cancel()
            await asyncio.gather(reply, return_exceptions=True)
        if self._started:
            await send({"type": "http.response.body", "body": response.body})
        else:
            await response(scope, receive, send)

    async def _wait(self, reply: asyncio.Task[dict[str, Any]], send: Send) -> None:
        """Wait for the reply, and send the headers and spaces when patience ends."""
        since = time.monotonic()
        while not reply.done():
            start_s = self._patience.with_turn_s if self._reply.run.has_turn else self._patience.without_turn_s
            if time.monotonic() - since >= start_s:
                if not self._started:
                    self._started = True
                    await send({"type": "http.response.start", "status": 200, "headers": self._headers.raw})
                await send({"type": "http.response.body", "body": b" ", "more_body": True})
            await asyncio.wait([reply], timeout=self._patience.between_spaces_s)


class StreamResponse:
    """The response that sends the events of a reply. Its headers come at once, and a comment whenever nothing has been
    sent for KEEP_ALIVE_S: clients and proxies close a connection without traffic.
    """

    def __init__(self, reply: Reply, headers: Mapping[str, str]) -> None:
        self._reply = reply
        self._headers = Headers(
            {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", **headers}
        )
        self._sending = asyncio.Lock()
        self._sent_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until the end, or until the client disconnects."""
        await send({"type": "http.response.start", "status": 200, "headers": self._headers.raw})
        self._sent_at = time.monotonic()
        keep_alive = asyncio.create_task(self._keep_alive(send))
        try:
            await _until_disconnected(receive, self._send(send))
        finally:
            keep_alive.cancel()
            await asyncio.gather(keep_alive, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        async with aclosing(self._events()) as events:
            async for event in events:
                name = f"event: {event['event']}\n" if "event" in event else ""
                await self._write(send, f"{name}data: {event['data']}\n\n")
        async with self._sending:
            self._sent_at = float("inf")
            await send({"type": "http.response.body", "body": b""})

    async def _events(self) -> AsyncGenerator[Event]:
        try:
            async with aclosing(self._reply.events()) as events:
                async for event in events:
                    yield event
        except Exception as error:  # noqa: BLE001 - to_api_error logs a bug; the client must not wait for more
            for event in self._reply.failure(to_api_error(error)):
                yield event

    async def _write(self, send: Send, text: str) -> None:
        async with self._sending:
            self._sent_at = time.monotonic()
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

    async def _keep_alive(self, send: Send) -> None:
        while True:
            idle_s = time.monotonic() - self._sent_at
            if idle_s >= KEEP_ALIVE_S:
                await self._write(send, ": keep-alive\n\n")
            else:
                await asyncio.sleep(min(KEEP_ALIVE_S, KEEP_ALIVE_S - idle_s))


async def _until_disconnected(receive: Receive, answering: Awaitable[None]) -> None:
    """Wait for the end of `answering`; cancel it if the client disconnects."""
    tasks = [asyncio.ensure_future(answering), asyncio.create_task(_disconnected(receive))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            tasks[0].result()  # raises what went wrong
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
