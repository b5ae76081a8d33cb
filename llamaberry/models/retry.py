"""Whether a failed model call is made again, and after how long."""

from llamaberry.graph.errors import ModelError

MAX_ATTEMPTS = 3
BACKOFF_S = 0.5
"""The wait before the second attempt, if the provider asks for none; the third waits longer."""
MAX_RETRY_AFTER_S = 60.0
"""The longest `retry-after` that is waited for when there is no deadline."""


def retry_delay(error: ModelError, *, attempt: int, time_left_s: float | None) -> float | None:
    """Return the seconds to wait before the next attempt, or None if there should be none.

    0: the provider asked for no wait, so the caller's own backoff applies. `attempt`: the number of the attempt that
    failed, from 1. `time_left_s`: the seconds until the deadline, None without one.
    """
    limit_s = MAX_RETRY_AFTER_S if time_left_s is None else time_left_s
    if not error.retryable or attempt >= MAX_ATTEMPTS or error.retry_after_s > limit_s:
        return None
    return error.retry_after_s
