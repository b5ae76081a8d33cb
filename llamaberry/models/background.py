"""An event loop in the background, for callers that have none."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from contextlib import suppress
from functools import lru_cache
from typing import Any, TypeVar

T = TypeVar("T")


def run_in_background(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine from a thread without an event loop, and return its result.

    All threads share one background loop, so that timeouts, cancellation and connection pools work as in async code.
    """
    with _background_lock:  # or threads that start together would each start a loop
        loop = _background_loop(os.getpid())
    task = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return task.result()
    except BaseException:
        task.cancel()
        raise


_background_lock = threading.Lock()


@lru_cache(maxsize=1)
def _background_loop(_pid: int) -> asyncio.AbstractEventLoop:
    """Start the loop, once per process: a forked process has no thread that runs its parent's loop."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=_run_forever, args=(loop,), name="llamaberry", daemon=True).start()
    return loop


def _run_forever(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop. A SystemExit, such as a tool's, is raised where the result is waited for, and the loop goes on."""
    while True:
        with suppress(SystemExit):
            loop.run_forever()
