"""A worker process of a batch: it answers the questions that come on stdin, and ends when stdin closes.

The parent, `workers.py`, runs this module. Both sides write lines of JSON. The parent alone writes OUT, and paces the
calls of all workers: the worker asks before each call, and reports how it ended.
"""

import asyncio
import json
import os
import sqlite3
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext, suppress
from itertools import count
from typing import Any

from llamaberry.batch.answer import answer
from llamaberry.batch.files import BatchItem
from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError, SetupError
from llamaberry.graph.workflow import ReasoningGraph, build_graph
from llamaberry.models.pacer import Reply, current_pacer, is_refusal
from llamaberry.threads import open_sqlite
from llamaberry.tracing.langsmith import tracing_session

_EXIT_TIMEOUT_S = 10
Send = Callable[[dict[str, Any]], None]


class ParentPacer:
    """Paces this worker's calls by the parent's Pacer."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._numbers = count()
        self._orders: dict[int, asyncio.Queue[dict[str, Any]]] = {}

    async def call(self, call: Callable[[], Awaitable[Reply]]) -> tuple[Reply, float]:
        """Make the call when the parent allows it, as Pacer.call does."""
        number, orders = next(self._numbers), asyncio.Queue[dict[str, Any]]()
        self._orders[number] = orders
        self._send({"ask": number})
        reply: Reply | None = None
        error: ModelError | None = None
        try:
            while (order := await orders.get())["order"] == "go":
                outcome: dict[str, Any] = {"ended": number, "error": "failed", "retry_after_s": 0.0}
                try:
                    reply, error = await call(), None
                    outcome["error"] = None
                except ModelError as failure:
                    error = failure
                    if is_refusal(failure):
                        outcome |= {"error": "refused", "retry_after_s": failure.retry_after_s}
                finally:
                    self._send(outcome)
        finally:
            del self._orders[number]
        if error or reply is None:
            raise error or RuntimeError("the parent ended a call that it had not started")
        return reply, float(order["waited_s"])

    def observe_headers(self, headers: Mapping[str, str], *, refused: bool) -> None:
        """Pass the rate-limit headers of a reply to the parent."""
        limits = {name: value for name, value in headers.items() if name.lower().startswith("x-ratelimit-")}
        self._send({"headers": limits, "refused": refused})

    def obey(self, order: dict[str, Any]) -> None:
        """Pass an order of the parent to the call that waits for it."""
        if orders := self._orders.get(order["call"]):
            orders.put_nowait(order)


async def work(lines: "asyncio.Queue[str | None]", send: Send) -> None:
    """Answer questions until the parent closes the pipe."""
    settings = json.loads(await lines.get() or "{}")
    context, pacer = Context.model_validate(settings["context"]), ParentPacer(send)
    current_pacer.set(pacer)
    path = settings["checkpoints"]
    async with open_sqlite(path) if path else nullcontext() as saver, asyncio.TaskGroup() as group:
        graph = build_graph(saver)
        while (line := await lines.get()) is not None:
            message = json.loads(line)
            if "item" in message:
                group.create_task(_answer(graph, BatchItem(*message["item"]), context, send))
            else:
                pacer.obey(message)
        raise asyncio.CancelledError  # the runs that are not finished


async def _answer(graph: ReasoningGraph, item: BatchItem, context: Context, send: Send) -> None:
    try:
        send({"answer": await answer(graph, item, context)})
    except (SetupError, OSError, sqlite3.Error) as error:
        send({"line": item.line, "setup_error": str(error)})


def main() -> None:
    """Work on stdin and stdout, which nothing else writes."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def send(message: dict[str, Any]) -> None:
        output.write(json.dumps(message).encode() + b"\n")
        output.flush()

    async def run() -> None:
        lines, loop = asyncio.Queue[str | None](), asyncio.get_running_loop()

        def read() -> None:
            for line in sys.stdin:
                loop.call_soon_threadsafe(lines.put_nowait, line)
            threading.Timer(_EXIT_TIMEOUT_S, os._exit, (1,)).start()
            loop.call_soon_threadsafe(lines.put_nowait, None)

        threading.Thread(target=read, daemon=True).start()
        await work(lines, send)

    with tracing_session(report=False, runs=[]), suppress(asyncio.CancelledError, BrokenPipeError):
        asyncio.run(run())
    os._exit(0)


if __name__ == "__main__":
    main()
