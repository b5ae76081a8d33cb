"""A question from the command line: stream the graph on a thread, and show it. Also: resume one, and look back."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, Literal, cast

from langchain_core.messages import AIMessageChunk
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, StateSnapshot, StreamMode, StreamPart
from langsmith import uuid7

from llamaberry import threads
from llamaberry.cli.display import Display, Show
from llamaberry.cli.review_prompt import ask_decision
from llamaberry.console import DEGRADED, INTERRUPTED, print_error
from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError
from llamaberry.graph.events import step_of
from llamaberry.graph.workflow import ReasoningGraph, build_graph
from llamaberry.models.client import settings_of
from llamaberry.models.local import server as local_server
from llamaberry.tracing.langsmith import tracing_session

How = Show | Literal["quiet", "json"]


def ask(question: str, context: Context, *, show: How, thread: str | None = None, trace: bool = False) -> int:
    """Ask on a thread (a new one where it has no name), print to standard output, and return the exit code.

    Where the threads cannot be kept, that is said on standard error, and the question is answered all the same: only
    a thread that was asked for by name has to be there. With `trace` standard error says where the trace is. Raises as
    the graph does: ValidationError, SetupError, ModelError.
    """
    display = Display(show)
    return _shown(_ask(question, context, display, thread), display, trace)


def resume(name: str | None, dials: dict[str, Any], *, show: How, trace: bool = False) -> int:
    """Go on with a thread whose run was cut (the newest such one where no name is given); otherwise as `ask`.

    `dials` take the place of those that the run was begun with.
    """
    display = Display(show)
    return _shown(_resume(name, dials, display), display, trace)


def _shown(run: Coroutine[Any, Any, int], display: Display, trace: bool) -> int:
    with tracing_session(told=trace, runs=display.runs):
        try:
            return answered(run, display, lambda decision: _resume(display.thread, {}, display, decision), _left)
        finally:
            local_server.close()


def answered(
    run: Coroutine[Any, Any, int],
    display: Display,
    go_on: Callable[[dict[str, dict[str, str]]], Coroutine[Any, Any, int]],
    left: Callable[[str | None], int],
) -> int:
    """Run to the end, a person deciding at each pause; return the exit code.

    `go_on` takes the decision to its pause; `left` is told the thread whose review was left, and returns the code.
    """
    try:
        code = asyncio.run(run)
        while pause := display.pause:
            if (decision := ask_decision(pause.value)) is None:
                raise KeyboardInterrupt
            display.pause = None
            # To this pause, and no other: another process may have answered it, and come to the next one.
            code = asyncio.run(go_on({pause.id: decision}))
    except KeyboardInterrupt:
        code = INTERRUPTED
        if display.pause:
            display.result(display.state, seconds=display.seconds, whole=False)
            code = left(display.thread)
    return code


def _left(name: str | None) -> int:
    print_error(f"`llamaberry resume {name}` goes on from here")
    return INTERRUPTED


async def _ask(question: str, context: Context, display: Display, name: str | None) -> int:
    async with _graph(needed=name is not None or context.review != "none") as graph:
        thread = name or threads.new_name()
        if name == "last":
            raise SetupError("thread 'last' cannot be: `llamaberry show last` is the newest one; choose another name")
        if context.review != "none":
            threads.require_checkpointer(graph)
        if name:
            threads.require_checkpointer(graph)
            now = threads.Thread(name, await graph.aget_state(threads.thread_config(name)))
            if now.cut and now.values.get("turns"):
                raise SetupError(f"thread {name!r} was cut in a question: `llamaberry resume {name}` goes on with it")
        return await _run(graph, {"query": question}, context, display, thread)


async def _resume(
    name: str | None, dials: dict[str, Any], display: Display, decision: dict[str, dict[str, str]] | None = None
) -> int:
    async with threads.open_graph() as graph:
        if name:
            thread = await threads.find_thread(graph, name)
            if not thread.cut:
                raise SetupError(f"thread {name!r} was not cut: `llamaberry ask --thread {name}` asks on")
        else:
            cut = [thread for thread in await threads.list_threads(graph) if thread.cut]
            if not cut:
                raise SetupError("no thread was cut: `llamaberry history` lists them all")
            thread = cut[0]
        context = Context.model_validate(_begun_with(thread.state) | dials)
        if decision:
            return await _run(graph, Command(resume=decision), context, display, thread.name)
        for turn in thread.values.get("turns", []):
            display.turn(turn)
        return await _run(graph, None, context, display, thread.name)


def _begun_with(state: StateSnapshot) -> dict[str, Any]:
    """The dials that the run was begun with, as its checkpoints tell."""
    metadata: Any = state.metadata or {}
    dials: dict[str, Any] = json.loads(metadata.get("dials", "{}"))
    return dials


@asynccontextmanager
async def _graph(*, needed: bool) -> AsyncIterator[ReasoningGraph]:
    async with AsyncExitStack() as stack:
        try:
            graph = await stack.enter_async_context(threads.open_graph())
        except SetupError as error:
            if needed:
                raise
            print_error(f"this answer is not kept: {error}")
            graph = build_graph()
        yield graph


async def _run(
    graph: ReasoningGraph, asked: dict[str, str] | Command[Any] | None, context: Context, display: Display, name: str
) -> int:
    """Run the graph to its end, or until Ctrl-C; print as it goes, and then what it came to."""
    begun = time.monotonic()
    state: dict[str, Any] = {}
    display.waiting(settings_of(context).provider == "local" and not local_server.running())
    try:
        try:
            await _stream(graph, asked, context, display, name, state)
        except threads.storage_errors() as error:
            print_error(f"this answer is not kept: {error}")
            graph = build_graph(InMemorySaver())
            await _stream(graph, await _taken_up(graph, state, asked, name), context, display, name, state)
    except asyncio.CancelledError:
        local_server.close()  # a thread may be waiting for it
        display.result(state, seconds=time.monotonic() - begun, whole=False)
        if graph.checkpointer:
            return _left(name)
        return INTERRUPTED
    display.seconds += time.monotonic() - begun
    if graph.checkpointer and (paused := (await graph.aget_state(threads.thread_config(name))).interrupts):
        display.pause, display.thread, display.state = paused[0], name, state
        return 0
    display.result(state, seconds=display.seconds, whole=True)
    return DEGRADED if state["stop_reason"] == "error" else 0


async def _taken_up(
    graph: ReasoningGraph, state: dict[str, Any], asked: dict[str, str] | Command[Any] | None, name: str
) -> dict[str, Any] | None:
    """Bring what a run has come to into another graph; return the input that goes on with it there."""
    if not state.get("turns"):
        given = asked if isinstance(asked, dict) else {"query": state.get("query")}
        return {**given, "messages": state.get("messages", [])}
    as_node = "first_turn" if len(state["turns"]) == 1 else "refine_turn"
    await graph.aupdate_state(threads.thread_config(name), state, as_node=as_node)
    return None


async def _stream(
    graph: ReasoningGraph,
    asked: dict[str, Any] | Command[Any] | None,
    context: Context,
    display: Display,
    name: str,
    state: dict[str, Any],
) -> None:
    """Stream the graph to the display; `state` holds what it has come to at any moment."""
    modes: list[StreamMode] = ["messages", "updates", "values"]
    dials = context.model_dump_json(exclude_defaults=True)
    config = threads.thread_config(name, dials=dials)
    config["run_id"] = uuid7()
    display.runs.append(str(config["run_id"]))
    # Before its first turn, a question's state still holds the turns and the answer of the one before.
    fresh = asked is None and bool(threads.current_values(await graph.aget_state(config)).get("turns"))
    stream = graph.astream(
        asked,
        config,
        context=context,
        stream_mode=modes,
        durability="sync" if graph.checkpointer else None,
        version="v2",
    )
    # Closed before the loop is, whatever ends it: an interrupt, a reader of the pipe that has gone.
    async with aclosing(cast("AsyncGenerator[StreamPart[Any, Any]]", stream)) as parts:
        async for part in parts:
            if part["type"] == "messages":
                message, metadata = part["data"]
                if isinstance(message, AIMessageChunk):
                    display.token(step_of(metadata), message.text)
            elif part["type"] == "updates":
                fresh = True
                for node, update in part["data"].items():
                    if node != "__interrupt__":
                        for turn in update.get("turns", []):
                            display.turn(turn)
            elif part["type"] == "values":
                keys = part["data"] if fresh else ("query", "messages")
                state.update({key: part["data"][key] for key in keys if key in part["data"]})


def history(name: str | None) -> None:
    """Print the threads, the newest first; or one of them, with its questions, their turns and answers."""
    asyncio.run(_history(name))


async def _history(name: str | None) -> None:
    display = Display("full")
    async with threads.open_graph() as graph:
        if name is None:
            for thread in await threads.list_threads(graph):
                display.line(thread.name, thread.state, cut=thread.cut)
            return
        await threads.find_thread(graph, name)
        for state in await threads.answered(graph, name):
            display.question(state)


def forget(name: str) -> None:
    """Delete a thread."""
    asyncio.run(_forget(name))


async def _forget(name: str) -> None:
    async with threads.open_graph() as graph:
        await threads.forget(graph, name)
