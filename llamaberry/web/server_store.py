"""The threads of a LangGraph server: the graph runs there."""

import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, NoReturn, cast

from langchain_core.messages import AIMessageChunk
from langgraph.pregel.remote import RemoteException, RemoteGraph
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError

from llamaberry import threads
from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError, SetupError
from llamaberry.graph.workflow import ReasoningGraph
from llamaberry.remote import connect, thread_id
from llamaberry.stream import StreamEvent, astream_events
from llamaberry.threads.stored import Thread
from llamaberry.web.store import MAX_THREADS, ListedThread, RunInput, StoredThread, listed

_STATUS = {"idle": "answered", "busy": "running", "interrupted": "interrupted", "error": "failed"}
_SETUP_ERRORS = ("SetupError", "ValidationError")


class ServerStore:
    """The threads of a server; the server's key is LLAMABERRY_API_KEY."""

    def __init__(self, server: str) -> None:
        self.server = server

    async def list_threads(self) -> list[ListedThread]:
        """Return the newest threads of the server that the key may see."""
        async with connect(self.server) as client:
            newest = await client.threads.search(limit=MAX_THREADS, sort_by="updated_at", sort_order="desc")
        return [
            listed(
                thread["thread_id"],
                dict(thread["values"] or {}).get("query") or "",
                "waiting for review" if any(thread["interrupts"].values()) else _STATUS[thread["status"]],
            )
            for thread in newest
        ]

    async def read(self, name: str) -> StoredThread:
        """Return the newest question of a thread; the ones before it are in its conversation."""
        try:
            async with connect(self.server) as client:
                state = await RemoteGraph("llamaberry", client=client).aget_state(threads.thread_config(name))
        except NotFoundError:
            raise SetupError(f"there is no thread {name!r} on {self.server}") from None
        thread = Thread(name, state)
        return StoredThread(
            [thread.values] if state.values else [], thread.unfinished, next(iter(state.interrupts), None)
        )

    def new_name(self) -> str:
        """Return the id of a new thread."""
        return str(uuid.uuid4())

    async def run(self, name: str, run_input: RunInput, context: Context) -> AsyncGenerator[StreamEvent]:
        """Run on the thread; the server cancels the run when the connection is closed."""
        async with connect(self.server) as client:
            graph = cast("ReasoningGraph", _ServerGraph(client, self.server))
            config = threads.thread_config(thread_id(name))
            async with aclosing(astream_events(graph, run_input, config, context=context)) as events:
                async for event in events:
                    yield event


class _ServerGraph:
    """The graph on a server, with as much of a local graph's interface as `astream_events` uses."""

    def __init__(self, client: LangGraphClient, server: str) -> None:
        self._graph = RemoteGraph("llamaberry", client=client)
        self._server = server

    async def astream(
        self, run_input: Any, config: Any, *, context: Context, output_keys: list[str], **options: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the parts of the run's stream, with messages as objects."""
        options |= {"on_disconnect": "cancel", "multitask_strategy": "reject"}
        settings: Any = context.model_dump(exclude_defaults=True)
        try:
            async for part in self._graph.astream(run_input, config, context=settings, **options):
                if part["type"] == "messages":
                    message, metadata = part["data"]
                    if "attempt" in metadata and message["type"] == "AIMessageChunk":
                        yield {**part, "data": (AIMessageChunk.model_validate(message), metadata)}
                elif part["type"] == "values":
                    values = {key: value for key, value in part["data"].items() if key in output_keys}
                    yield {**part, "data": values}
                else:
                    yield cast("dict[str, Any]", part)
        except ConflictError:
            raise SetupError("this thread is busy with another question: wait, or start a new chat") from None
        except RemoteException as error:
            self._raise(error)

    def _raise(self, error: RemoteException) -> NoReturn:
        """Raise the error that the run had on the server."""
        details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        message = f"on {self._server}: {details.get('message') or 'the run failed'}"
        raise (SetupError if details.get("error") in _SETUP_ERRORS else ModelError)(message) from error
