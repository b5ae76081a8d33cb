"""A question on a thread of this machine: stream the graph, and keep the thread whole whatever happens."""

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack, aclosing, suppress
from functools import partial
from typing import Any, cast

from langchain_core.messages import AIMessageChunk
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.message import add_messages
from langgraph.types import Command, Interrupt, StateSnapshot, StreamMode, StreamPart
from langsmith import uuid7

from llamaberry import threads
from llamaberry.cli.options import OutputMode
from llamaberry.cli.session import Decisions, Session
from llamaberry.console import print_error
from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError, SetupError
from llamaberry.graph.events import is_own_event, step_of
from llamaberry.graph.state import Input
from llamaberry.graph.workflow import ReasoningGraph, build_graph
from llamaberry.models.client import client_settings
from llamaberry.models.errors import RETRYABLE_STATUS, status_of
from llamaberry.models.local import server as local_server
from llamaberry.tracing.langsmith import tracing_session

GraphInput = dict[str, Any] | Command[Any] | None


def _say_waiting(name: str) -> None:
    print_error(f"thread {name!r} is running in another process: waiting until it ends (Ctrl-C stops waiting)")


def _is_refusal(error: SetupError | ModelError) -> bool:
    """Whether the provider, or this program before any call, refused the request, and would refuse it again."""
    if isinstance(error, SetupError):
        return True
    status = status_of(error)
    return status is not None and status not in RETRYABLE_STATUS


class LocalSession(Session):
    """A question on a thread of this machine.

    If threads cannot be stored, a message says so, and the question is answered anyway, unless it names a thread.
    `in_chat`: more questions follow. Then the local model keeps running, and an interrupted question may be left.
    """

    def __init__(
        self, mode: OutputMode, settings: dict[str, Any], thread: str | None, *, trace: bool, in_chat: bool = False
    ) -> None:
        super().__init__(mode, thread)
        self._settings = settings
        self._trace = trace
        self._in_chat = in_chat
        self._unsaved: dict[str, Any] = {}  # the last node's update, until the state has it

    def run(self, first: Coroutine[Any, Any, Interrupt | None]) -> int:
        """Do as Session.run, with a trace, and stop the local model at the end, except in a chat."""
        with tracing_session(report=self._trace, runs=self.display.run_ids):
            try:
                return super().run(first)
            except OSError as error:
                if isinstance(error, BrokenPipeError) or not self.resume_hint:
                    raise
                stored = f"`llamaberry show {self.thread}` prints what is stored"
                raise SetupError(f"standard output cannot be written ({error.strerror}); {stored}") from error
            finally:
                if not self._in_chat:
                    local_server.close()

    async def start(self, question: dict[str, Any]) -> Interrupt | None:
        """Ask the question on the thread, a new one if it has no name; wait while another run uses the thread."""
        Input(**question)  # an invalid question must not become the interrupted question of a thread
        context = Context(**self._settings)
        storage_required = self.thread is not None or context.review != "none"
        name = self.thread or threads.new_name()
        async with AsyncExitStack() as stack:
            try:
                graph = await stack.enter_async_context(threads.open_graph())
                if name == "last":
                    name = await threads.newest_name(graph)
                await stack.enter_async_context(
                    threads.exclusive_thread(graph, name, on_wait=partial(_say_waiting, name))
                )
            except SetupError as error:
                if storage_required:
                    raise
                print_error(f"this answer is not kept: {error}")
                graph = build_graph()
            if storage_required:
                threads.require_checkpointer(graph)
            before = await graph.aget_state(threads.thread_config(name)) if graph.checkpointer else None
            thread = threads.Thread(name, before) if before else None
            if thread and thread.unfinished and thread.values.get("turns") and not self._in_chat:
                command = f"llamaberry resume {name}"
                raise SetupError(f"thread {name!r} has an interrupted question: `{command}` continues it")
            return await self._run(graph, question, context, name, before)

    async def resume(self, decisions: Decisions | None = None) -> Interrupt | None:
        """Continue the unfinished run of the thread, or of the newest such thread if it has no name.

        The run keeps its settings, except for those of this session.
        """
        async with threads.open_graph() as graph:
            name = self.thread or await threads.newest_unfinished(graph)
            await threads.find_thread(graph, name)
            async with threads.exclusive_thread(graph, name):
                thread = await threads.find_thread(graph, name)
                if not thread.unfinished:
                    command = f"llamaberry ask --thread {name}"
                    raise SetupError(f"thread {name!r} was not interrupted: `{command}` asks another question")
                metadata: dict[str, Any] = {**(thread.state.metadata or {})}
                stored = json.loads(metadata.get("settings") or metadata.get("dials") or "{}")  # version 0.1.0
                context = Context.model_validate(stored | self._settings)
                self.is_current = bool(thread.values.get("turns"))
                graph_input: GraphInput = Command(resume=decisions) if decisions else None
                return await self._run(graph, graph_input, context, name, thread.state)

    async def _run(
        self,
        graph: ReasoningGraph,
        graph_input: GraphInput,
        context: Context,
        thread: str,
        before: StateSnapshot | None,
    ) -> Interrupt | None:
        """Run the graph to its end or to a pause, and return the pause. `before` is the thread's state until now."""
        self.thread = thread
        settings = client_settings(context)
        self.display.model = settings.model
        if settings.provider == "local" and not local_server.running():
            self.display.waiting("loading the local model")
        if before is None:
            return await self._stream(graph, graph_input, context)
        threads.keep_ids_above(before)
        if self.is_current:
            self.update_state(threads.current_values(before))
            if graph_input is None and (check := self.state.get("check")):
                self.display.check(check, self.state["turns"][-1])
        resume = "/resume" if self._in_chat else f"llamaberry resume {thread}"
        self.resume_hint = f"`{resume}` continues from here"
        try:
            if isinstance(graph_input, dict):
                await threads.forget_steps(graph, before)
            return await self._stream(graph, graph_input, context)
        except threads.storage_errors() as error:
            print_error(f"this answer is not kept: {error}")
            self.resume_hint = ""
            return await self._run_in_memory(graph_input, context, before)
        except (SetupError, ModelError) as error:
            if graph_input is not None and not self.is_current and _is_refusal(error):
                with suppress(*threads.storage_errors()):
                    await threads.discard_since(graph, before)
                raise
            error.args = (f"{error}; `{resume}` tries again",)
            raise

    async def _run_in_memory(
        self, graph_input: GraphInput, context: Context, before: StateSnapshot
    ) -> Interrupt | None:
        """Continue after the last reply that arrived, and store nothing."""
        graph = build_graph(InMemorySaver())
        state = {"messages": before.values.get("messages", []), **self.state}
        if not (state.get("turns") or self._unsaved):
            question = graph_input if isinstance(graph_input, dict) else {"query": state.get("query")}
            messages = add_messages(state["messages"], question.get("messages") or [])
            return await self._stream(graph, {**question, "messages": messages}, context)
        run = await threads.copy_run(graph, str(self.thread), state, self._unsaved)
        self.update_state(run.values)
        return await self._stream(graph, None, context) if run.next else None

    async def _stream(self, graph: ReasoningGraph, graph_input: GraphInput, context: Context) -> Interrupt | None:
        """Stream the graph to the display, keep `state` up to date, and return the pause that ended the run, if any."""
        modes: list[StreamMode] = ["messages", "updates", "values", "custom"]
        settings = context.model_dump_json(exclude_defaults=True)
        config = threads.thread_config(str(self.thread), settings=settings)
        config["run_id"] = uuid7()
        self.display.run_ids.append(str(config["run_id"]))
        stream = graph.astream(
            graph_input,
            config,
            context=context,
            stream_mode=modes,
            durability="sync" if graph.checkpointer else None,
            version="v2",
        )
        pause = None
        # Close it before the event loop, whatever ends it: an interrupt, or a closed pipe.
        async with aclosing(cast("AsyncGenerator[StreamPart[Any, Any]]", stream)) as parts:
            try:
                async for part in parts:
                    if part["type"] == "messages":
                        message, metadata = part["data"]
                        if isinstance(message, AIMessageChunk) and (step := step_of(metadata)):
                            self.display.token(step, message.text, message.id)
                    elif part["type"] == "updates":
                        self.update_node(part["data"])
                        pause = next(iter(part["data"].get("__interrupt__", ())), None)
                        self._unsaved = {} if pause else part["data"]
                    elif part["type"] == "custom" and is_own_event(part["data"]):
                        self.handle_event(part["data"])
                    elif part["type"] == "values":
                        self.update_state(part["data"])
                        self._unsaved = {}
            except asyncio.CancelledError:
                local_server.close()  # a thread may be waiting for it
                raise
        return pause
