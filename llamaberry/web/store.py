"""The threads that the page lists, reads and runs: those of the command line, or those of a server."""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, NamedTuple, Protocol

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, Interrupt, StateSnapshot

from llamaberry import threads
from llamaberry.console import one_line
from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError
from llamaberry.graph.workflow import ReasoningGraph, build_graph
from llamaberry.stream import StreamEvent, astream_events
from llamaberry.threads.overview import summaries

MAX_THREADS = 100
"""How many of the newest threads are listed."""

RunInput = dict[str, Any] | Command[Any] | None
"""A question; a person's decision; or None: an interrupted run goes on."""


class ListedThread(NamedTuple):
    """A thread in the list: its name, and the newest question with its status in words."""

    name: str
    label: str


class StoredThread(NamedTuple):
    """What is stored of a thread: the state of each of its questions, oldest first, and whether the newest ended."""

    states: list[dict[str, Any]]
    unfinished: bool
    pause: Interrupt | None
    """The pause in which the newest run waits for a review; None if it does not."""


class Store(Protocol):
    """Threads, and how a run on one is started. Each method raises SetupError if they cannot be reached."""

    async def list_threads(self) -> list[ListedThread]:
        """Return the newest threads, the newest first."""

    async def read(self, name: str) -> StoredThread:
        """Return what is stored of a thread; SetupError if there is no such thread."""

    def new_name(self) -> str:
        """Return the name of a thread that does not exist yet."""

    def run(self, name: str, run_input: RunInput, context: Context) -> AsyncGenerator[StreamEvent]:
        """Run on the thread, and yield the events; raise SetupError or ModelError as the graph does."""


class LocalStore:
    """The threads of the command line. Without storage (LLAMABERRY_CHECKPOINTS=none) memory keeps them, unlisted."""

    def __init__(self) -> None:
        in_memory = threads.checkpoint_location() == "none"
        self._in_memory: ReasoningGraph | None = build_graph(InMemorySaver()) if in_memory else None

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[ReasoningGraph]:
        if self._in_memory:
            yield self._in_memory
            return
        async with threads.open_graph() as graph:
            yield graph

    async def list_threads(self) -> list[ListedThread]:
        """Return the newest threads; none from memory, where several people's may be."""
        if self._in_memory:
            return []
        newest = (await asyncio.to_thread(summaries))[:MAX_THREADS]
        return [listed(thread.thread, thread.question, thread.status) for thread in newest]

    async def read(self, name: str) -> StoredThread:
        """Return what is stored of a thread."""
        async with self._open() as graph:
            thread = await threads.find_thread(graph, name)
            states = await threads.question_states(graph, name)
        return StoredThread(states, thread.unfinished, next(iter(thread.state.interrupts), None))

    def new_name(self) -> str:
        """Return a new name; in memory it is a secret, because nothing else separates people's threads there."""
        return str(uuid.uuid4()) if self._in_memory else threads.new_name()

    async def run(self, name: str, run_input: RunInput, context: Context) -> AsyncGenerator[StreamEvent]:
        """Run on the thread, which no other run uses meanwhile."""
        async with AsyncExitStack() as stack:
            graph = await stack.enter_async_context(self._open())
            if not self._in_memory:
                await stack.enter_async_context(threads.exclusive_thread(graph, name))
            before = threads.Thread(name, await graph.aget_state(threads.thread_config(name)))
            if isinstance(run_input, dict):
                if before.unfinished and before.values.get("turns"):
                    raise SetupError("this thread has an interrupted question: continue it, or start a new chat")
                if not self._in_memory:
                    await threads.forget_steps(graph, before.state)
            else:
                context = _continued(before.state, context)
            threads.keep_ids_above(before.state)
            config = threads.thread_config(name, settings=context.model_dump_json(exclude_defaults=True))
            events = await stack.enter_async_context(
                aclosing(astream_events(graph, run_input, config, context=context))
            )
            async for event in events:
                yield event


def _continued(state: StateSnapshot, context: Context) -> Context:
    """Return the settings of a run that goes on: those that it was started with, except for those changed now."""
    metadata: dict[str, Any] = {**(state.metadata or {})}
    stored = json.loads(metadata.get("settings") or "{}")
    return Context.model_validate(stored | context.model_dump(exclude_defaults=True))


def listed(name: str, question: str, status: str) -> ListedThread:
    """Return a thread for the list: its newest question, and its status unless it is answered."""
    label = one_line(question or name)
    return ListedThread(name, label if status == "answered" else f"{label} ({status})")
