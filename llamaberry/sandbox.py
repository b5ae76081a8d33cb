"""Run a program that a model wrote: pydantic-monty, a Python interpreter without files, network or environment.

Each program gets a process of its own, which takes about 5 ms: the package's pool of worker processes hangs after a
fork and delays the exit of its parent.
"""

import asyncio
import math
import os
import re
import shutil
import sysconfig
import threading
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from typing import NamedTuple
from weakref import WeakKeyDictionary

from llamaberry.console import plain
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
_process_slots: dict[int, threading.Semaphore] = {}
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
    if plain(source) != source.replace("\r\n", "\n"):
        return ProgramResult("", "The program contains control characters.", 0)
    if len(source) > MAX_SOURCE_CHARS:
        return ProgramResult("", f"The program is longer than {MAX_SOURCE_CHARS:,} characters.", 0)
    command: list[str | bytes] = [
        await asyncio.to_thread(_find_monty),  # it looks at files, which must not block the event loop
        f"--max-feed-duration={timeout_s}",
        "--max-sleep=0",  # sleep() returns at once: it would not count against the time limit
        f"--max-memory={memory_mb}MB",
        b"-c" + source.encode(),  # UTF-8 whatever the locale
    ]
    async with _slot():
        started_at = time.monotonic()
        printed, complaint, status = await _run(command, timeout_s)
        seconds = time.monotonic() - started_at
    output, error = plain(printed.decode(errors="replace")), None
    if len(output) > MAX_OUTPUT_CHARS or len(printed) >= _MAX_BYTES:
        output = output[: MAX_OUTPUT_CHARS - len(_CUT)] + _CUT
        error = f"The program printed more than {MAX_OUTPUT_CHARS:,} characters."
    elif status < 0 and seconds >= timeout_s:
        error = _out_of_time(timeout_s)
    elif status != 0:
        error = _describe(complaint.decode(errors="replace"), status, timeout_s, memory_mb)
    return ProgramResult(output, error, seconds)


@asynccontextmanager
async def _slot() -> AsyncIterator[None]:
    """Wait until fewer than MAX_PROCESSES programs run, in this event loop and in those of other threads."""
    in_loop = _loop_slots.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(MAX_PROCESSES))
    in_process = _process_slots.setdefault(os.getpid(), threading.Semaphore(MAX_PROCESSES))
    async with in_loop:
        while not in_process.acquire(blocking=False):  # noqa: ASYNC110 - other threads free it
            await asyncio.sleep(_POLL_S)
        try:
            yield
        finally:
            in_process.release()


async def _run(command: list[str | bytes], timeout_s: float) -> tuple[bytearray, bytearray, int]:
    """Return what a command wrote to stdout and stderr, as far as a result needs it, and its exit status."""
    limited = ["/bin/sh", "-c", _LIMIT_CPU, f"{math.ceil(timeout_s) + 1}"] if os.name == "posix" else []
    process = await asyncio.create_subprocess_exec(
        *limited,
        *command,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env={},
        cwd="/",
        start_new_session=True,  # Ctrl-C in a terminal is for its parent
    )
    printed, complaint = bytearray(), bytearray()
    ended = asyncio.gather(process.wait(), _read_head(process, printed), _read_tail(process, complaint))
    timer = asyncio.get_running_loop().call_later(timeout_s + _GRACE_S, _kill, process)
    try:
        status, *_ = await ended
    finally:
        timer.cancel()
        _kill(process)
        await process.communicate()  # after a cancellation, its end and that of its pipes
    return printed, complaint, status


async def _read_head(process: Process, head: bytearray) -> None:
    """Read stdout to its end; kill the process once it has printed more than a result holds."""
    while process.stdout and (piece := await process.stdout.read(2**16)):
        if len(head) < _MAX_BYTES:
            head += piece
        else:
            _kill(process)


async def _read_tail(process: Process, tail: bytearray) -> None:
    """Read stderr to its end, where a traceback has its message."""
    while process.stderr and (piece := await process.stderr.read(2**16)):
        tail += piece
        del tail[:-_MAX_TRACEBACK_BYTES]


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()


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
    user = sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))
    folders = [sysconfig.get_path("scripts"), user, os.environ.get("PATH", os.defpath)]
    path = shutil.which("monty", path=os.pathsep.join(folders))
    if path is None:
        raise SetupError("no program can run: the command monty is missing (pip install pydantic-monty)")
    return path
