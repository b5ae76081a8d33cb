"""When the local model last wrote something. It is silent while it reads a prompt, or if it is stuck."""

import asyncio
import time
from typing import TypeVar

T = TypeVar("T")

_last_token_at = 0.0  # time.monotonic(), of any call: one that waits for a slot is silent while others are written


def record() -> None:
    """Record that a token has arrived."""
    global _last_token_at
    _last_token_at = time.monotonic()


async def limit_silence(call: "asyncio.Future[T]", timeout_s: float) -> T:
    """Return the call's result. If the model writes nothing for `timeout_s` seconds, cancel it: TimeoutError."""
    started_at = time.monotonic()
    try:
        while not call.done():
            left_s = max(started_at, _last_token_at) + timeout_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            await asyncio.wait({call}, timeout=left_s)
    except BaseException:
        call.cancel()
        await asyncio.wait({call})  # until its connection is closed
        raise
    return call.result()
