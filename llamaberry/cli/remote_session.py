"""A question on a server, LangGraph's own or Aegra: the graph runs there, and its turns are printed here.

If the connection or the server dies, the run is joined again after the last event that arrived.
"""

import asyncio
import time
from contextlib import suppress
from typing import Any, cast

import httpx
from langchain_core.messages import AIMessageChunk, AnyMessage
from langgraph.types import Interrupt
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, InternalServerError, RateLimitError
from langgraph_sdk.schema import RunStatus, StreamMode, StreamPart, ThreadState
from pydantic import TypeAdapter

from llamaberry.cli.options import OutputMode
from llamaberry.cli.session import Decisions, Session
from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError, SetupError
from llamaberry.graph.events import is_own_event, step_of
from llamaberry.graph.state import Input
from llamaberry.remote import CHECK_SERVER, connect, thread_id

RETRY_WINDOW_S = 120
"""How long calls to an unreachable server are retried; a cluster takes over a dead server's runs within 20 s."""

_MODES: list[StreamMode] = ["messages-tuple", "updates", "values", "custom"]
_UNREACHABLE = (httpx.TransportError, InternalServerError, RateLimitError)
_UNFINISHED = ("pending", "running")
_SETUP_ERRORS = ("SetupError", "ValidationError")
_MESSAGES: TypeAdapter[list[AnyMessage]] = TypeAdapter(list[AnyMessage])


class RemoteSession(Session):
    """A question on a server; the server's key is LLAMABERRY_API_KEY.

    It raises SetupError if the server is unreachable, refuses the key or is not set up, or if the thread is busy, and
    ModelError if the model failed or the server was unreachable for too long.
    """

    def __init__(self, mode: OutputMode, settings: dict[str, Any], server: str, thread: str | None) -> None:
        super().__init__(mode, thread)
        self.display.pieces_may_be_lost = True
        self.server = server
        self._context = Context(**settings)
        self._thread_id: str | None = None
        self._error = {"error": "", "message": "the run failed"}  # the exception that ended the run

    async def start(self, question: dict[str, Any]) -> Interrupt | None:
        """Ask the question on the thread, a new one if it has no name."""
        Input(**question)  # validate it before anything is sent
        return await self._run({"input": question})

    async def resume(self, decisions: Decisions) -> Interrupt | None:
        """Continue the paused run."""
        return await self._run({"command": {"resume": decisions}})

    async def _run(self, request: dict[str, Any]) -> Interrupt | None:
        """Start a run, or continue a paused one, and print it; return the pause in which it ended."""
        async with connect(self.server) as client:
            try:
                thread, run_id = await self._create_run(client, request)
            except (ValueError, LookupError, TypeError) as error:  # a response without LangGraph's shape
                raise SetupError(f"{self.server} is not a LangGraph server: {CHECK_SERVER}") from error
            command = f"llamaberry ask --server {self.server} --thread {self.thread or thread}"
            hint = self.resume_hint = f"`{command}` continues the conversation"
            try:
                status, state = await self._follow(client, thread, run_id)
            except asyncio.CancelledError:
                self.resume_hint = f"the server is unreachable, and may continue the run; {hint}"
                with suppress(httpx.HTTPError):
                    await client.runs.cancel(thread, run_id)
                    self.resume_hint = f"the run was cancelled; {hint}"
                raise
        if status in ("error", "timeout"):
            message = f"on {self.server}: {self._error['message']}"
            raise SetupError(message) if self._error["error"] in _SETUP_ERRORS else ModelError(message)
        pauses = state["interrupts"] if self._context.review != "none" else []
        if status == "interrupted" and not pauses:
            raise ModelError(f"another client cancelled the run on {self.server}; its turns are on thread {thread}")
        self.is_current = True
        self.update_state(cast("dict[str, Any]", state["values"]))
        return Interrupt(pauses[0]["value"], id=pauses[0]["id"]) if pauses else None

    async def _create_run(self, client: LangGraphClient, request: dict[str, Any]) -> tuple[str, str]:
        """Create a run on an idle thread, and return the ids of the thread and the run.

        Two runs at once would each overwrite the other's turns. Aegra ignores `multitask_strategy`, so of two runs
        created at once the later one cancels itself here.
        """
        name = self.thread or self._thread_id
        busy = SetupError(f"thread {name!r} is busy with another question: wait, or use another thread")
        if self._thread_id is None:
            by_name = {"thread_id": thread_id(self.thread), "metadata": {"name": self.thread}} if self.thread else {}
            thread = await client.threads.create(**by_name, if_exists="do_nothing")  # type: ignore[arg-type]
            if thread["status"] == "busy":
                raise busy
            self._thread_id = thread["thread_id"]
        settings = self._context.model_dump(exclude_defaults=True)
        options: dict[str, Any] = {"stream_resumable": True, "multitask_strategy": "reject", "durability": "sync"}
        try:
            run = await client.runs.create(
                self._thread_id, "llamaberry", **request, context=settings, stream_mode=_MODES, **options
            )
        except ConflictError:
            raise busy from None
        others = [other for other in await client.runs.list(self._thread_id) if other["status"] in _UNFINISHED]
        if min([run, *others], key=lambda one: (one["created_at"], one["run_id"]))["run_id"] != run["run_id"]:
            await client.runs.cancel(self._thread_id, run["run_id"])
            raise busy
        self.display.run_ids.append(run["run_id"])
        return self._thread_id, run["run_id"]

    async def _follow(self, client: LangGraphClient, thread: str, run_id: str) -> tuple[RunStatus, ThreadState]:
        """Print the run's events until it ends, across broken connections; return its status and the thread's state.

        While the server is unreachable, retry for up to RETRY_WINDOW_S seconds.
        """
        last_event_id, unreachable_since = "-1", None  # "-1": before all events
        while True:
            try:
                with suppress(*_UNREACHABLE):
                    async for part in client.runs.join_stream(thread, run_id, last_event_id=last_event_id):
                        last_event_id = part.id or last_event_id
                        self._print(part)
                status = (await client.runs.get(thread, run_id))["status"]
                if status not in _UNFINISHED:
                    return status, await client.threads.get_state(thread)
                unreachable_since = None
            except _UNREACHABLE as error:
                unreachable_since = unreachable_since or time.monotonic()
                if time.monotonic() - unreachable_since > RETRY_WINDOW_S:
                    message = f"{self.server} was unreachable for {RETRY_WINDOW_S} s"
                    raise ModelError(f"{message}; it may still continue the question, on thread {thread}") from error
            await asyncio.sleep(1)

    def _print(self, part: StreamPart) -> None:
        data: Any = part.data
        if part.event == "messages":
            # The messages that the graph adds belong to no step; on Aegra they are chunks, too.
            if data[0]["type"] == "AIMessageChunk" and (step := step_of(data[1])):
                chunk = AIMessageChunk.model_validate(data[0])
                self.display.token(step, chunk.text, chunk.id)
        elif part.event == "updates":
            self.update_node(data)
        elif part.event == "custom" and is_own_event(data):
            self.handle_event(data)
        elif part.event == "values":
            self.update_state(data)
        elif part.event == "error":
            self._error |= data

    def update_state(self, values: dict[str, Any]) -> None:
        """Do as Session.update_state, with messages as objects."""
        super().update_state({**values, "messages": _MESSAGES.validate_python(values.get("messages", []))})
