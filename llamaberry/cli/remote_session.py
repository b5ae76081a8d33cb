"""`ask` on a server, LangGraph's own or Aegra: the question is thought about there, and its turns are shown here.

The run belongs to the server: where the connection or a server dies, it is joined again at the event that came last.
"""

import asyncio
import os
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import httpx
from langchain_core.messages import AIMessageChunk, AnyMessage
from langgraph.types import Interrupt
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import APIStatusError, AuthenticationError, ConflictError, InternalServerError, RateLimitError
from langgraph_sdk.schema import Run, StreamMode, StreamPart
from pydantic import TypeAdapter

from llamaberry.cli.display import Display
from llamaberry.cli.session import How, answered
from llamaberry.console import DEGRADED, INTERRUPTED, print_error
from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError, SetupError
from llamaberry.graph.events import step_of
from llamaberry.graph.state import Input, Output

PATIENCE_S = 120
"""How long a server that was reached before may be gone; a cluster takes a dead server's runs over within 20 s."""
SILENCE_S = 30
"""A server sends a sign of life every five seconds: one that is silent for so long is gone."""

_MODES: list[StreamMode] = ["messages-tuple", "updates", "values"]
_LOST = (httpx.TransportError, InternalServerError, RateLimitError)
_MISTAKES = ("SetupError", "ValidationError")
_SERVES = "does it serve Llamaberry's langgraph.json?"
T = TypeVar("T")
_MESSAGES: TypeAdapter[list[AnyMessage]] = TypeAdapter(list[AnyMessage])


def ask(question: str, context: Context, server: str, *, show: How, thread: str | None = None) -> int:
    """Ask on a server (its key is LLAMABERRY_API_KEY), print to standard output, and return the exit code, as `ask`.

    Raises:
        ValidationError: the question is none; nothing was sent.
        SetupError: the server cannot be reached, refuses, is not set up, or the thread is busy.
        ModelError: the model failed there, or the server was gone for too long.
    """
    Input(query=question)
    display = Display(show)
    far = _Far(server, context, display, thread)
    return answered(
        far.ask({"input": {"query": question}}),
        display,
        lambda decision: far.ask({"command": {"resume": decision}}),
        far.left,
    )


def thread_id(name: str) -> str:
    """Return the id that a thread has on a server, where ids are UUIDs: the name itself, or what stands for it."""
    with suppress(ValueError):
        return str(uuid.UUID(name))
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"llamaberry:{name}"))


class _Far:
    """A question on a server, and what is shown of it here."""

    def __init__(self, server: str, context: Context, display: Display, name: str | None) -> None:
        self.server, self.context, self.display, self.name = server, context, display, name
        self.state: dict[str, Any] = {}
        self.fresh = False  # before its first turn, a question's state still holds the turns of the one before
        self.seen = "-1"  # the event that came last; this one is before all of a run
        self.call: tuple[str, str | None] | None = None  # the one that is being written: its step, its message's id
        self.heading = ""
        self.ended = True  # no run goes on there
        self.failure: str | None = None  # the name of the exception that ended the run

    async def ask(self, asked: dict[str, Any]) -> int:
        """Begin a run, or go on with a paused one, and show it to its end; return the exit code."""
        begun = time.monotonic()
        async with _reached(self.server) as client:
            try:
                thread = self.display.thread = self.display.thread or await self._thread(client)
                run_id = await self._begin(client, thread, asked)
            except (ValueError, LookupError, TypeError) as error:  # what it answered is none of what was asked for
                raise SetupError(f"{self.server} is no LangGraph server: {_SERVES}") from error
            self.fresh, self.seen = "command" in asked, "-1"
            try:
                run = await self._follow(client, thread, run_id)
                values: Any = await self._patiently(lambda: client.runs.join(thread, run_id))
                now = await self._patiently(lambda: client.threads.get_state(thread))
            except asyncio.CancelledError:
                self.ended = False
                with suppress(httpx.HTTPError):
                    await client.runs.cancel(thread, run_id)
                    self.ended = True
                self.display.result(self.state, seconds=time.monotonic() - begun, whole=False)
                return self.left(thread)
        self.display.seconds += time.monotonic() - begun
        if "__error__" in values:
            told = f"on {self.server}: {values['__error__']['message']}"
            raise SetupError(told) if self.failure in _MISTAKES else ModelError(told)
        pauses = now["interrupts"] if self.context.review != "none" else []
        if run["status"] == "interrupted" and not pauses:
            raise ModelError(f"the run was ended on {self.server} by somebody else; its turns are on thread {thread}")
        self.fresh = True
        self._values(values)
        if pauses:
            self.display.pause, self.display.state = Interrupt(pauses[0]["value"], id=pauses[0]["id"]), self.state
            return 0
        self.display.result(self.state, seconds=self.display.seconds, whole=True)
        return DEGRADED if self.state["stop_reason"] == "error" else 0

    def left(self, thread: str | None) -> int:
        """Say how to go on with the conversation."""
        told = f"llamaberry ask --server {self.server} --thread {self.name or thread}"
        ended = "the run is ended there, too" if self.ended else "the server is not reached, and may go on with the run"
        print_error(f"{ended}; `{told}` asks on")
        return INTERRUPTED

    def _busy(self, thread: str) -> SetupError:
        return SetupError(f"thread {self.name or thread!r} is busy with another question: wait, or take another thread")

    async def _thread(self, client: LangGraphClient) -> str:
        named = {"thread_id": thread_id(self.name), "metadata": {"name": self.name}} if self.name else {}
        thread = await client.threads.create(**named, if_exists="do_nothing")  # type: ignore[arg-type]
        if thread["status"] == "busy":
            raise self._busy(thread["thread_id"])
        return thread["thread_id"]

    async def _begin(self, client: LangGraphClient, thread: str, asked: dict[str, Any]) -> str:
        """Begin a run on an idle thread. Aegra takes any strategy and heeds none: of two that begin at once one yields.

        Two runs at once on a thread would each lose the other's turns.
        """
        dials = self.context.model_dump(exclude_defaults=True)
        how: dict[str, Any] = {"stream_resumable": True, "multitask_strategy": "reject", "durability": "sync"}
        try:
            run = await client.runs.create(thread, "llamaberry", **asked, context=dials, stream_mode=_MODES, **how)
        except ConflictError:
            raise self._busy(thread) from None
        others = [other for other in await client.runs.list(thread) if other["status"] in ("pending", "running")]
        if min([run, *others], key=lambda one: (one["created_at"], one["run_id"]))["run_id"] != run["run_id"]:
            await client.runs.cancel(thread, run["run_id"])
            raise self._busy(thread)
        self.display.runs.append(run["run_id"])
        return run["run_id"]

    async def _follow(self, client: LangGraphClient, thread: str, run_id: str) -> Run:
        """Show what comes until the run has ended, whatever dies meanwhile; return it as it ended."""
        while True:
            with suppress(*_LOST):
                async for part in client.runs.join_stream(thread, run_id, last_event_id=self.seen):
                    self.seen = part.id or self.seen
                    self._show(part)
            run = await self._patiently(lambda: client.runs.get(thread, run_id))
            if run["status"] not in ("pending", "running"):
                return run
            await asyncio.sleep(1)

    async def _patiently(self, asked: Callable[[], Awaitable[T]]) -> T:
        """Ask the server; where there is none, until there is one again."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await asked()
            except _LOST as error:
                if time.monotonic() > end:
                    told = f"{self.server} was lost, and did not come back within {PATIENCE_S} s"
                    told += f"; it may yet go on with the question, on thread {self.display.thread}"
                    raise ModelError(told) from error
                await asyncio.sleep(1)

    def _show(self, part: StreamPart) -> None:
        data: Any = part.data
        # A piece of a reply has an attempt; a message that the graph adds has none, and is no chunk, except at Aegra.
        if part.event == "messages" and "attempt" in data[1] and data[0]["type"] == "AIMessageChunk":
            chunk = AIMessageChunk.model_validate(data[0])
            call = (step_of(data[1]), chunk.id)
            if self.call != call:  # the same step once more: its server died while it was written
                self.heading = f"{self.heading}, again" if self.call and self.call[0] == call[0] else call[0]
                self.call = call
            self.display.token(self.heading, chunk.text)
        elif part.event == "updates":
            self.fresh = True
        elif part.event == "values":
            self._values(data)
        elif part.event == "error":
            self.failure = data["error"]

    def _values(self, values: dict[str, Any]) -> None:
        """Take in a state, and print the turns in it that were not printed yet."""
        keys = [key for key in Output.__annotations__ if key in values]
        self.state |= {key: values[key] for key in keys if self.fresh or key in ("query", "messages")}
        self.state["messages"] = _MESSAGES.validate_python(values.get("messages", []))
        for turn in self.state.get("turns", []):
            self.display.turn(turn)


@asynccontextmanager
async def _reached(server: str) -> AsyncIterator[LangGraphClient]:
    """Connect; what cannot be, is told with its remedy."""
    key = os.environ.get("LLAMABERRY_API_KEY", "").strip()
    if not (key.isascii() and key.isprintable()):
        raise SetupError("LLAMABERRY_API_KEY holds a character that no key has: set it to the key of that server")
    headers = {"x-api-key": key} if key else {}
    timeout, hooks = httpx.Timeout(SILENCE_S, connect=5), {"response": [_stay]}
    try:
        url = httpx.URL(server)
        if url.userinfo or (url.port or 0) > 65535:
            raise httpx.InvalidURL("it has a name before its host" if url.userinfo else "there is no such port")
        http = httpx.AsyncClient(base_url=url, headers=headers, timeout=timeout, event_hooks=hooks)
        async with LangGraphClient(http) as client:
            yield client
    except AuthenticationError:
        raise SetupError(f"{server} refused the key: set LLAMABERRY_API_KEY to the one of that server") from None
    except APIStatusError as error:
        told = f"{server} answered {error.status_code} ({error.message})"
        down = error.status_code in (502, 503, 504)
        raise SetupError(f"{told}: {'are the servers behind it up?' if down else _SERVES}") from error
    except (httpx.TransportError, httpx.InvalidURL) as error:
        told = str(error) or type(error).__name__
        raise SetupError(f"{_shown(server)} cannot be reached ({told}): give it as http://host:port") from error


async def _stay(response: httpx.Response) -> None:
    """Follow no redirect: the key is for the address that was given."""
    if response.has_redirect_location:
        target = response.url.join(response.headers["location"])
        raise SetupError(f"{response.url.join('/')} leads to {target.join('/')}: give that one, if it is the right one")


def _shown(server: str) -> str:
    """Return an address without the password that may stand before its host."""
    return re.sub(r"//[^/]*@", "//", server)
