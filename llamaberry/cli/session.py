"""A question from the command line: stream the graph on a thread of this machine, print it, pause for a person."""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, cast

from langchain_core.messages import AIMessageChunk
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, Interrupt, StateSnapshot, StreamMode, StreamPart
from langsmith import uuid7

from llamaberry import threads
from llamaberry.cli.display import Display, OutputMode
from llamaberry.cli.review_prompt import ask_decision
from llamaberry.console import DEGRADED, INTERRUPTED, print_error
from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError
from llamaberry.graph.events import step_of
from llamaberry.graph.workflow import ReasoningGraph, build_graph
from llamaberry.models.client import client_settings
from llamaberry.models.local import server as local_server
from llamaberry.tracing.langsmith import tracing_session

Decisions = dict[str, dict[str, str]]
"""The fields of a Decision, by the id of its pause."""
GraphInput = dict[str, Any] | Command[Any] | None


class Session(ABC):
    """A question, printed while it is answered, with pauses for a person; subclasses run the graph.

    `thread` is the thread's name, None until it has one. Errors are those of the graph: ValidationError, SetupError,
    ModelError.
    """

    def __init__(self, mode: OutputMode, thread: str | None) -> None:
        self.display = Display(mode)
        self.thread = thread
        self.state: dict[str, Any] = {}
        self.seconds = 0.0  # of all runs, without the pauses
        self.pause: Interrupt | None = None  # the open pause, if the last run ended in one

    def ask(self, question: str) -> int:
        """Answer a question and return the exit code."""
        return self.run(self.start(question))

    def run(self, first: Coroutine[Any, Any, int]) -> int:
        """Run to the end, with a person's decision at each pause; return the exit code."""
        try:
            code = asyncio.run(first)
            while pause := self.pause:
                if (decision := ask_decision(pause.value)) is None:
                    raise KeyboardInterrupt
                self.pause = None
                # The id matters: another process may have answered this pause already, and reached the next one.
                code = asyncio.run(self.resume({pause.id: decision}))
        except KeyboardInterrupt:
            if self.pause:
                self.display.result(self.state, seconds=self.seconds, complete=False)
                self.print_resume_hint()
            return INTERRUPTED
        return code

    @abstractmethod
    async def start(self, question: str) -> int:
        """Run to the end or to a pause, and return the exit code."""

    @abstractmethod
    async def resume(self, decisions: Decisions) -> int:
        """Continue after a pause, to the end or to the next pause, and return the exit code."""

    @abstractmethod
    def print_resume_hint(self) -> None:
        """Print the command that continues from here."""


class LocalSession(Session):
    """A question on a thread of this machine.

    If threads cannot be stored, a message says so, and the question is answered anyway, unless it names a thread.
    """

    def __init__(self, mode: OutputMode, settings: dict[str, Any], thread: str | None, *, trace: bool) -> None:
        super().__init__(mode, thread)
        self._settings = settings
        self._trace = trace

    def run(self, first: Coroutine[Any, Any, int]) -> int:
        """Do as Session.run, with a trace, and stop the local model at the end."""
        with tracing_session(report=self._trace, runs=self.display.run_ids):
            try:
                return super().run(first)
            finally:
                local_server.close()

    async def start(self, question: str) -> int:
        """Ask the question on the thread, a new one if it has no name."""
        context = Context(**self._settings)
        storage_required = self.thread is not None or context.review != "none"
        async with _open_graph(required=storage_required) as graph:
            if self.thread == "last":
                raise SetupError("thread 'last': `llamaberry show last` is the newest thread; choose another name")
            if storage_required:
                threads.require_checkpointer(graph)
            if self.thread:
                thread = threads.Thread(self.thread, await graph.aget_state(threads.thread_config(self.thread)))
                if thread.interrupted and thread.values.get("turns"):
                    command = f"llamaberry resume {self.thread}"
                    raise SetupError(f"thread {self.thread!r} has an interrupted question: `{command}` continues it")
            return await self._run(graph, {"query": question}, context, self.thread or threads.new_name())

    async def resume(self, decisions: Decisions | None = None) -> int:
        """Continue the interrupted run of the thread, or of the newest interrupted thread if it has no name.

        The run keeps its settings, except for those of this session.
        """
        async with threads.open_graph() as graph:
            if self.thread:
                thread = await threads.find_thread(graph, self.thread)
                if not thread.interrupted:
                    command = f"llamaberry ask --thread {self.thread}"
                    raise SetupError(f"thread {self.thread!r} was not interrupted: `{command}` asks another question")
            else:
                interrupted = [thread for thread in await threads.list_threads(graph) if thread.interrupted]
                if not interrupted:
                    raise SetupError("no thread was interrupted: `llamaberry history` lists all threads")
                thread = interrupted[0]
            context = Context.model_validate(_stored_settings(thread.state) | self._settings)
            if not decisions:
                for turn in thread.values.get("turns", []):
                    self.display.turn(turn)
            graph_input: GraphInput = Command(resume=decisions) if decisions else None
            return await self._run(graph, graph_input, context, thread.name)

    def print_resume_hint(self) -> None:
        """Print the command that continues the thread."""
        print_error(f"`llamaberry resume {self.thread}` continues from here")

    async def _run(self, graph: ReasoningGraph, graph_input: GraphInput, context: Context, thread: str) -> int:
        """Run the graph to its end, a pause or Ctrl-C, and print the result; return the exit code."""
        started_at = time.monotonic()
        self.thread, self.state = thread, {}
        if client_settings(context).provider == "local" and not local_server.running():
            self.display.loading_model()
        try:
            try:
                await self._stream(graph, graph_input, context)
            except threads.storage_errors() as error:
                print_error(f"this answer is not kept: {error}")
                graph = build_graph(InMemorySaver())
                await self._stream(graph, await self._move_to_memory(graph, graph_input), context)
        except asyncio.CancelledError:
            local_server.close()  # a thread may be waiting for it
            self.display.result(self.state, seconds=time.monotonic() - started_at, complete=False)
            if graph.checkpointer:
                self.print_resume_hint()
            return INTERRUPTED
        self.seconds += time.monotonic() - started_at
        if graph.checkpointer:
            interrupts = (await graph.aget_state(threads.thread_config(thread))).interrupts
            if interrupts:
                self.pause = interrupts[0]
                return 0
        self.display.result(self.state, seconds=self.seconds, complete=True)
        return DEGRADED if self.state["stop_reason"] == "error" else 0

    async def _move_to_memory(self, graph: ReasoningGraph, graph_input: GraphInput) -> dict[str, Any] | None:
        """Copy the state into a graph with a checkpointer in memory; return the input that continues there."""
        if not self.state.get("turns"):
            question = graph_input if isinstance(graph_input, dict) else {"query": self.state.get("query")}
            return {**question, "messages": self.state.get("messages", [])}
        as_node = "first_turn" if len(self.state["turns"]) == 1 else "refine_turn"
        await graph.aupdate_state(threads.thread_config(str(self.thread)), self.state, as_node=as_node)
        return None

    async def _stream(self, graph: ReasoningGraph, graph_input: GraphInput, context: Context) -> None:
        """Stream the graph to the display, and keep `state` up to date."""
        modes: list[StreamMode] = ["messages", "updates", "values"]
        settings = context.model_dump_json(exclude_defaults=True)
        config = threads.thread_config(str(self.thread), settings=settings)
        config["run_id"] = uuid7()
        self.display.run_ids.append(str(config["run_id"]))
        # Until its first turn, a question's state still holds the turns and the answer of the previous question.
        current = graph_input is None and bool(threads.current_values(await graph.aget_state(config)).get("turns"))
        stream = graph.astream(
            graph_input,
            config,
            context=context,
            stream_mode=modes,
            durability="sync" if graph.checkpointer else None,
            version="v2",
        )
        # Close it before the event loop, whatever ends it: an interrupt, or a closed pipe.
        async with aclosing(cast("AsyncGenerator[StreamPart[Any, Any]]", stream)) as parts:
            async for part in parts:
                if part["type"] == "messages":
                    message, metadata = part["data"]
                    if isinstance(message, AIMessageChunk):
                        self.display.token(step_of(metadata), message.text)
                elif part["type"] == "updates":
                    current = True
                    for node, update in part["data"].items():
                        if node != "__interrupt__":
                            for turn in update.get("turns", []):
                                self.display.turn(turn)
                elif part["type"] == "values":
                    keys = part["data"] if current else ("query", "messages")
                    self.state.update({key: part["data"][key] for key in keys if key in part["data"]})


def _stored_settings(state: StateSnapshot) -> dict[str, Any]:
    """Return the settings of the run that wrote a checkpoint."""
    metadata: Any = state.metadata or {}
    # Version 0.1.0 wrote them under the second key.
    settings: dict[str, Any] = json.loads(metadata.get("settings") or metadata.get("dials") or "{}")
    return settings


@asynccontextmanager
async def _open_graph(*, required: bool) -> AsyncIterator[ReasoningGraph]:
    """Open the graph with its threads, or without them if they cannot be stored and are not required."""
    async with AsyncExitStack() as stack:
        try:
            graph = await stack.enter_async_context(threads.open_graph())
        except SetupError as error:
            if required:
                raise
            print_error(f"this answer is not kept: {error}")
            graph = build_graph()
        yield graph
