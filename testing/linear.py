"""Whether a function takes linear time: by a ratio, because seconds depend on the machine."""

import time
from collections.abc import Callable

SHORT, FACTOR = 1_000, 8
MAX_RATIO = 3 * FACTOR
"""Between linear (FACTOR) and quadratic (FACTOR squared) time."""
NOISE_S = 0.003
"""A shorter time is not measured exactly."""


def takes_linear_time(function: Callable[[str], object], piece: str) -> bool:
    """Return whether FACTOR times as many pieces take at most about FACTOR times as long."""
    return any(_ratio(function, piece) <= MAX_RATIO for _ in range(3))


def _ratio(function: Callable[[str], object], piece: str) -> float:
    seconds = []
    for length in (SHORT, SHORT * FACTOR):
        text = piece * (length // len(piece))
        start = time.process_time()
        function(text)
        seconds.append(time.process_time() - start)
    return seconds[1] / max(seconds[0], NOISE_S)
