"""Which failed calls are made again, and after how long."""

import pytest

from llamaberry.graph.errors import ModelError
from llamaberry.models.retry import retry_delay

RETRYABLE = ModelError("down", retryable=True)
CASES: dict[str, tuple[ModelError, int, float | None, float | None]] = {
    "not retryable": (ModelError("refused"), 1, None, None),
    "not retryable, but with a retry-after": (ModelError("refused", retry_after_s=1), 1, None, None),
    "first attempt": (RETRYABLE, 1, None, 0),
    "second attempt": (RETRYABLE, 2, None, 0),
    "attempts used up": (RETRYABLE, 3, None, None),
    "retry-after": (ModelError("busy", retryable=True, retry_after_s=7), 1, None, 7),
    "the longest retry-after": (ModelError("busy", retryable=True, retry_after_s=60), 1, None, 60),
    "a longer retry-after": (ModelError("busy", retryable=True, retry_after_s=61), 1, None, None),
    "a deadline allows a longer retry-after": (ModelError("busy", retryable=True, retry_after_s=61), 1, 90, 61),
    "retry-after is past the deadline": (ModelError("busy", retryable=True, retry_after_s=7), 1, 6.9, None),
    "before the deadline": (RETRYABLE, 1, 0.1, 0),
    "after the deadline": (RETRYABLE, 1, -0.1, None),
}


@pytest.mark.parametrize(("error", "attempt", "time_left_s", "delay"), CASES.values(), ids=list(CASES))
def test_retry_delay(error: ModelError, attempt: int, time_left_s: float | None, delay: float | None) -> None:
    assert retry_delay(error, attempt=attempt, time_left_s=time_left_s) == delay
