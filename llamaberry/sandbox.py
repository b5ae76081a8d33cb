"""Run a program that a model wrote: pydantic-monty, a Python interpreter without files, network or environment.

Each program gets a process of its own, which takes about 4 ms: the package's pool of worker processes hangs after a
fork and delays the exit of its parent.
"""

import asyncio
import os
import re
import shutil
import sysconfig
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple
from weakref import WeakKeyDictionary

from llamaberry.console import plain
from llamaberry.graph.errors import SetupError

MAX_OUTPUT_CHARS = 10_000
MAX_SOURCE_CHARS = 30_000
MAX_PROCESSES = min(os.cpu_count() or 1, 4)
"""Programs that run at once in an event loop; further ones wait."""

_GRACE_S = 5
"""Seconds beyond the time limit in which the interpreter may start, and end by itself."""
_MAX_BYTES = 4 * MAX_OUTPUT_CHARS + 1
_CUT = "\n[the rest is cut]"
_LINE = re.compile(r'File "<string>", line (\d+)')
_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


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
    if "\0" in source or plain(source) != source.replace("\r\n", "\n"):
        return ProgramResult("", "The program contains control characters.", 0)
    if len(source) > MAX_SOURCE_CHARS:
        return ProgramResult("", f"The program is longer than {MAX_SOURCE_CHARS:,} characters.", 0)
    async with _slots.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(MAX_PROCESSES)):
        started_at = time.monotonic()
        printed, complaint = bytearray(), bytearray()
        process = await asyncio.create_subprocess_exec(
            _command(),
            f"--max-feed-duration={timeout_s}",
            "--max-sleep=0",  # sleep() returns at once: it would not count against the time limit
            f"--max-memory={memory_mb}MB",
            f"-c{source}",
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            env={},
            cwd="/",
            start_new_session=True,  # Ctrl-C in a terminal is for its parent
        )
        try:
            async with asyncio.timeout(timeout_s + _GRACE_S):
                await asyncio.gather(_read(process.stdout, printed, process), _read(process.stderr, complaint, process))
                status = await process.wait()
        except TimeoutError:
            status = None
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await asyncio.shield(process.wait())
        seconds = time.monotonic() - started_at
    output, error = plain(printed.decode(errors="replace")), None
    if len(output) > MAX_OUTPUT_CHARS:
        output = output[: MAX_OUTPUT_CHARS - len(_CUT)] + _CUT
        error = f"The program printed more than {MAX_OUTPUT_CHARS:,} characters."
    elif status != 0:
        error = _describe(complaint.decode(errors="replace"), status, timeout_s, memory_mb)
    return ProgramResult(output, error, seconds)


async def _read(stream: asyncio.StreamReader | None, buffer: bytearray, process: Process) -> None:
    """Read to the end, or until there is more than a result holds: then kill the process."""
    while stream and (piece := await stream.read(2**16)):
        buffer += piece
        if len(buffer) >= _MAX_BYTES:
            with suppress(ProcessLookupError):
                process.kill()
            return


def _describe(complaint: str, status: int | None, timeout_s: float, memory_mb: int) -> str:
    """Return the interpreter's complaint as one line: "line 2: ZeroDivisionError: division by zero"."""
    text = complaint.partition("error:")[2] or complaint
    if status is None or "time limit exceeded" in text:
        return f"The program ran longer than {timeout_s:g} seconds."
    if "memory limit exceeded" in text:
        return f"The program used more than {memory_mb} MB of memory."
    if status < 0:
        return f"The sandbox ended by signal {-status}."
    lines = text.strip().splitlines()
    traceback = [n for n, line in enumerate(lines) if line.startswith((" ", "Traceback "))]
    message = plain(" ".join(" ".join(lines[traceback[-1] + 1 if traceback else 0 :]).split()))[:500]
    message = message.replace("not implemented with standard execution", "is not available in the sandbox")
    numbers = _LINE.findall(text)
    where = f"line {numbers[-1]}: " if numbers else ""
    return f"{where}{message or f'The sandbox ended with status {status}.'}"


@lru_cache(maxsize=1)
def _command() -> str:
    """Return the path of pydantic-monty's command: beside this Python's other commands, or in PATH."""
    path = shutil.which("monty", path=sysconfig.get_path("scripts")) or shutil.which("monty")
    if path is None:
        raise SetupError("no program can run: the command monty is missing (pip install pydantic-monty)")
    return path
