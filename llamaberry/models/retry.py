"""When a failed call is made again. LangGraph's retry policy makes it; the SDKs' own retries are off."""

from llamaberry.graph.errors import ModelError

MAX_ATTEMPTS = 3
MAX_RETRY_AFTER_S = 60.0
"""The longest `retry-after` to wait for, in seconds, if no deadline bounds the run."""


def retry_delay(error: ModelError, *, attempt: int, time_left_s: float | None) -> float | None:
    """Return the seconds to wait before the next attempt; None if there should be none."""
    if not error.retryable or attempt >= MAX_ATTEMPTS:
        return None
    limit = MAX_RETRY_AFTER_S if time_left_s is None else time_left_s
    return error.retry_after_s if error.retry_after_s <= limit else None
