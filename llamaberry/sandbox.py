"""Run a program that a model wrote: pydantic-monty, a Python interpreter without files, network or environment.

Each program gets a process of its own, which takes about 5 ms: the package's pool of worker processes hangs after a
fork and delays the exit of its parent.
"""

import asyncio
import math
import os
import re
import shutil
import site
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from functools import lru_cache
from subprocess import DEVNULL, PIPE, Popen
from threading import Semaphore, Thread
from typing import IO, NamedTuple
from weakref import WeakKeyDictionary

from llamaberry.console import plain, remove_controls
from llamaberry.graph.errors import SetupError

MAX_OUTPUT_CHARS = 10_000
MAX_SOURCE_CHARS = 30_000
MAX_PROCESSES = min(os.cpu_count() or 1, 4)
"""Programs that run at once in this process; further ones wait."""

_GRACE_S = 5
"""Seconds beyond the time limit in which the interpreter may start, and end by itself."""
_LIMIT_CPU = 'ulimit -t "$0"; exec "$@"'
"""The kernel ends what the interpreter does not interrupt, such as 7 ** 10**8, even if this process was killed."""
_MAX_BYTES = 4 * MAX_OUTPUT_CHARS + 1
_MAX_TRACEBACK_BYTES = 2**18
"""Room for the last frame, which shows a whole line of the program and underlines it."""
_CUT = "\n[the rest is cut]"
_POLL_S = 0.005
_NO_MEMORY = ("MemoryError: memory limit exceeded", "monty worker: allocation of ")
_TRACEBACK = re.compile(r'.*^  File "<string>", line (\d+)[^\n]*\n(?: [^\n]*\n)*(.*)', re.DOTALL | re.MULTILINE)
"""Up to the last frame of a traceback and its source; the groups are its line number and the message after it."""

_loop_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
_process_slots: dict[int, Semaphore] = {}
"""By process id: a forked process has slots of its own, and frees none of its parent's."""


class ProgramResult(NamedTuple):
    """What a program printed, and in one line why it did not end well (None after success)."""

    output: str
    error: str | None
    seconds: float


async def run_program(source: str, timeout_s: float = 5, memory_mb: int = 256) -> ProgramResult:
    """Run `source` for at most `timeout_s` seconds, with at most `memory_mb` megabytes of memory.

    Whatever the program does is a result: what it printed, up to MAX_OUTPUT_CHARS, and its error with the line. It is
    killed if the caller is cancelled; if this process is killed, it ends by its own limits.

    Raises:
        SetupError: pydantic-monty's command is not installed.
        OSError: no process can be started.
    """
    if remove_controls(source) != source.replace("\r\n", "\n"):
        return ProgramResult("", "The program contains control characters.", 0)
    if len(source) > MAX_SOURCE_CHARS:
        return ProgramResult("", f"The program is longer than {MAX_SOURCE_CHARS:,} characters.", 0)
    command: list[str | bytes] = [
        *(("/bin/sh", "-c", _LIMIT_CPU, f"{math.ceil(timeout_s) + 1}") if os.name == "posix" else ()),
        await asyncio.to_thread(_find_monty),  # it looks at files, which must not block the event loop
        f"--max-feed-duration={timeout_s}",
        "--max-sleep=0",  # sleep() returns at once: it would not count against the time limit
        f"--max-memory={memory_mb}MB",
        b"-c" + source.encode(),  # UTF-8 whatever the locale
    ]
    async with _slot():
        started_at = time.monotonic()
        child = _Child(command)
        ended = asyncio.wrap_future(child.status)
        timer = asyncio.get_running_loop().call_later(timeout_s + _GRACE_S, child.kill)
        try:
            status = await asyncio.shield(ended)
        finally:
            timer.cancel()
            if not ended.done():
                child.kill()
                await asyncio.shield(ended)
        seconds = time.monotonic() - started_at
    output, error = remove_controls(child.printed.decode(errors="replace")), None
    if len(output) > MAX_OUTPUT_CHARS or len(child.printed) >= _MAX_BYTES:
        output = output[: MAX_OUTPUT_CHARS - len(_CUT)] + _CUT
        error = f"The program printed more than {MAX_OUTPUT_CHARS:,} characters."
    elif status < 0 and seconds >= timeout_s:
        error = _out_of_time(timeout_s)
    elif status != 0:
        error = _describe(child.complaint.decode(errors="replace"), status, timeout_s, memory_mb)
    return ProgramResult(output, error, seconds)


@asynccontextmanager
async def _slot() -> AsyncIterator[None]:
    """Wait until fewer than MAX_PROCESSES programs run, in this event loop and in those of other threads."""
    in_loop = _loop_slots.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(MAX_PROCESSES))
    in_process = _process_slots.setdefault(os.getpid(), Semaphore(MAX_PROCESSES))
    async with in_loop:
        while not in_process.acquire(blocking=False):  # noqa: ASYNC110 - other threads free it
            await asyncio.sleep(_POLL_S)
        try:
            yield
        finally:
            in_process.release()


class _Child:
    """A process that is read in threads: asyncio's own may hang for good if the event loop ends while they start."""

    def __init__(self, command: list[str | bytes]) -> None:
        self.printed, self.complaint = bytearray(), bytearray()
        self.status: Future[int] = Future()
        self._process: Popen[bytes] | None = None
        self._killed = False
        Thread(target=self._run, args=(command,), daemon=True).start()

    def kill(self) -> None:
        """End the process, also if it only starts."""
        self._killed = True
        if self._process:
            self._process.kill()

    def _run(self, command: list[str | bytes]) -> None:
        try:
            with Popen(
                command,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=PIPE,
                bufsize=0,
                env={},
                cwd="/",
                start_new_session=True,  # Ctrl-C in a terminal is for its parent
            ) as process:
                self._process = process
                if self._killed:
                    process.kill()
                reader = Thread(target=self._read_tail, args=(process.stderr,), daemon=True)
                reader.start()
                self._read_head(process.stdout)
                reader.join()
            self.status.set_result(process.returncode)
        except Exception as error:  # noqa: BLE001 - raised where the status is awaited
            self.status.set_exception(error)

    def _read_head(self, stdout: IO[bytes] | None) -> None:
        """Read to the end; kill the process once it has printed more than a result holds."""
        while stdout and (piece := stdout.read(2**16)):
            if len(self.printed) < _MAX_BYTES:
                self.printed += piece
            else:
                self.kill()

    def _read_tail(self, stderr: IO[bytes] | None) -> None:
        """Read to the end, where a traceback has its message."""
        while stderr and (piece := stderr.read(2**16)):
            self.complaint += piece
            del self.complaint[:-_MAX_TRACEBACK_BYTES]


def _out_of_time(timeout_s: float) -> str:
    return f"The program ran longer than {timeout_s:g} seconds."


def _describe(complaint: str, status: int, timeout_s: float, memory_mb: int) -> str:
    """Return the interpreter's complaint as one line: "line 2: ZeroDivisionError: division by zero"."""
    if status < 0:
        return f"The sandbox ended unexpectedly (signal {-status})."
    traceback = _TRACEBACK.match(complaint)
    where, message = (f"line {traceback[1]}: ", traceback[2]) if traceback else ("", complaint.rpartition("error: ")[2])
    if message.startswith("TimeoutError: feed time limit exceeded"):
        return _out_of_time(timeout_s)
    if message.startswith(_NO_MEMORY):
        return f"The program used more than {memory_mb} MB."
    message = plain(" ".join(message.split()))[:500]
    message = message.replace("not implemented with standard execution", "is not available in the sandbox")
    return f"{where}{message or f'The sandbox ended unexpectedly (status {status}).'}"


@lru_cache(maxsize=1)
def _find_monty() -> str:
    """Return the path of pydantic-monty's command: beside this Python's other commands, the user's, or in PATH."""
    folders = (f"{sys.prefix}/bin", f"{site.getuserbase()}/bin", os.environ.get("PATH", os.defpath))
    path = shutil.which("monty", path=os.pathsep.join(folders))
    if path is None:
        raise SetupError("no program can run: the command monty is missing (pip install pydantic-monty)")
    return path
