"""Temporary: replaced by the helper's module."""

import asyncio
import threading
import time
from typing import Any, NamedTuple


class ProgramResult(NamedTuple):
    output: str
    error: str | None
    seconds: float


_lock = threading.Lock()
_pool: Any = None


def _run(source: str, timeout_s: float, memory_mb: int) -> ProgramResult:
    global _pool
    import pydantic_monty

    with _lock:
        if _pool is None:
            _pool = pydantic_monty.Monty(max_processes=2).__enter__()
    out: list[str] = []
    start = time.time()
    error = None
    try:
        with _pool.checkout(limits={"max_feed_duration_secs": timeout_s, "max_memory": memory_mb << 20}) as session:
            session.feed_run(source, print_callback=lambda *a: out.append(a[-1]))
    except Exception as exc:
        error = str(exc)
    return ProgramResult("".join(out)[:10_000], error, time.time() - start)


async def run_program(source: str, timeout_s: float = 5, memory_mb: int = 256) -> ProgramResult:
    return await asyncio.to_thread(_run, source, timeout_s, memory_mb)
