"""Several processes that answer the questions of one batch, each running `worker.py`."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from llamaberry.batch.files import BatchItem
from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError, SetupError
from llamaberry.models.pacer import Pacer

MAX_DEATHS = 3
"""How often a worker may die while it answers the same question, or before it writes anything."""
_MAX_LINE_BYTES = 2**28
_EXIT_TIMEOUT_S = 15


class WorkerDiedError(Exception):
    """The worker process has ended before it answered."""


class _RefusedError(Exception):
    status_code = 429


class Worker:
    """A worker process, started again whenever it dies, with the questions and calls that it works on."""

    def __init__(self, settings: dict[str, Any], pacer: Pacer) -> None:
        self._settings, self._pacer = settings, pacer
        self._process: Process | None = None
        self._ready = asyncio.Event()
        self._broken: SetupError | None = None
        self.answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._calls: dict[int, asyncio.Future[None]] = {}
        self._paced = set[asyncio.Task[None]]()

    async def answer(self, item: BatchItem) -> dict[str, Any]:
        """Return the question's line of OUT. Raises SetupError, or WorkerDiedError."""
        future = self.answers[item.line] = asyncio.get_running_loop().create_future()
        try:
            await self._ready.wait()
            if self._broken:
                raise self._broken
            self._send({"item": list(item)})
            line: dict[str, Any] = await future
            return line
        finally:
            self.answers.pop(item.line, None)

    async def run(self) -> None:
        """Keep the process running, and read what it writes, unless it dies again and again before it writes."""
        failed_starts = 0
        while True:
            command = (sys.executable, "-P", "-m", "llamaberry.batch.worker")
            # In a session of its own it gets no Ctrl-C: the parent ends it.
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, limit=_MAX_LINE_BYTES, start_new_session=True
            )
            is_started = False
            try:
                self._send(self._settings)
                self._ready.set()
                if self._process.stdout is None:
                    raise RuntimeError("the worker has no output")
                async for line in self._process.stdout:
                    is_started = True
                    self._receive(json.loads(line))
            finally:
                self._ready.clear()
                code = await self._end()
            failed_starts = 0 if is_started else failed_starts + 1
            if failed_starts == MAX_DEATHS:
                text = f"a worker process ended with code {code} before it did anything: leave out --workers"
                self._broken = SetupError(text)
                self._ready.set()
            for call in self._paced:
                call.cancel()  # also those that still wait for the rate limit
            for future in self.answers.values():
                self._finish(future, self._broken or WorkerDiedError())
            if self._broken:
                return

    async def _end(self) -> int:
        """Close the process's input, which ends it, and return its exit code."""
        process = self._process
        if process is None or process.stdin is None:
            return 0
        process.stdin.close()
        try:
            async with asyncio.timeout(_EXIT_TIMEOUT_S):
                return await process.wait()
        except TimeoutError:
            process.kill()
            return await process.wait()

    def _send(self, message: dict[str, Any]) -> None:
        if self._process and self._process.stdin and not self._process.stdin.is_closing():
            self._process.stdin.write(json.dumps(message).encode() + b"\n")

    def _receive(self, message: dict[str, Any]) -> None:
        match message:
            case {"answer": line}:
                self._finish(self.answers.get(line["line"]), line)
            case {"setup_error": text, "line": number}:
                self._finish(self.answers.get(number), SetupError(text))
            case {"headers": headers, "refused": refused}:
                self._pacer.observe_headers(headers, refused=refused)
            case {"ask": number}:
                task = asyncio.create_task(self._pace(number))
                self._paced.add(task)
                task.add_done_callback(self._paced.discard)
            case {"ended": number, "error": error, "retry_after_s": wait_s}:
                failure = ModelError(str(error), retryable=True, retry_after_s=wait_s) if error else None
                if failure and error == "refused":
                    failure.__cause__ = _RefusedError()
                self._finish(self._calls.get(number), failure)

    @staticmethod
    def _finish(future: "asyncio.Future[Any] | None", result: Any) -> None:
        if future is None or future.done():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    async def _pace(self, number: int) -> None:
        """Let the worker make a call when the rate limit allows it, and again after a 429."""

        async def call() -> None:
            self._calls[number] = asyncio.get_running_loop().create_future()
            self._send({"call": number, "order": "go"})
            await self._calls[number]

        waited_s = 0.0
        try:
            with suppress(ModelError):
                _, waited_s = await self._pacer.call(call)
        finally:
            self._calls.pop(number, None)
        self._send({"call": number, "order": "end", "waited_s": waited_s})


class Workers:
    """Worker processes, of which the one with the fewest questions gets the next."""

    def __init__(self, workers: list[Worker]) -> None:
        self._workers = workers

    async def answer(self, item: BatchItem) -> dict[str, Any]:
        """Return the question's line of OUT; if its worker dies, another one gets the question."""
        for _ in range(MAX_DEATHS):
            worker = min(self._workers, key=lambda worker: len(worker.answers))
            with suppress(WorkerDiedError):
                return await worker.answer(item)
        return item._asdict() | {"error": f"{MAX_DEATHS} worker processes died while they answered it"}


@asynccontextmanager
async def start_workers(count: int, context: Context, checkpoints: Path | None, pacer: Pacer) -> AsyncIterator[Workers]:
    """Start `count` processes, and end them with the block. Their finished turns go to the file `checkpoints`."""
    path = str(checkpoints) if checkpoints else None
    settings = {"context": context.model_dump(mode="json"), "checkpoints": path}
    workers = [Worker(settings, pacer) for _ in range(count)]
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield Workers(workers)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
