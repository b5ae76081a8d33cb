"""Paces the calls of a batch: each starts when the provider's rate limit allows it, and after a 429 all of them wait.

Other runs are not paced.
"""

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Protocol, TypeVar

import httpx

from llamaberry.graph.errors import ModelError

MAX_REFUSALS = 8
"""How often in a row a call may be refused with 429 before that is a failed attempt of its node."""

_LONG_S = 60.0  # wait for a limit that is full again within this time; a longer one (a day's) refills gradually
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")

Reply = TypeVar("Reply")


class Pacer:
    """Starts the calls of one model one by one, at the pace that the rate-limit headers of the replies allow.

    The number of calls in flight grows like TCP's congestion window: it starts at one, and each reply allows one more
    (slow start). A 429 stops all calls for as long as the provider asks, and the growth slows down at half of the calls
    that were in flight. `on_wait` is called with a message when the wait is long.
    """

    def __init__(self, on_wait: Callable[[str], None]) -> None:
        self._on_wait = on_wait
        self._limits: dict[str, _Limit] = {}
        self._queue = asyncio.Lock()  # first come, first served: only the first waiter looks at the limits
        self._changed = asyncio.Event()  # a call has ended
        self._in_flight = 0
        self._max_in_flight, self._slow_start_limit = 1.0, math.inf
        self._paused_until = self._backed_off_at = 0.0
        self._refusals = 0  # in a row, of any call

    async def call(self, call: Callable[[], Awaitable[Reply]]) -> tuple[Reply, float]:
        """Make the call when the limits allow it, and again after a 429. Return the reply and the seconds waited.

        Raises:
            ModelError: the call failed; in case of 429 only after MAX_REFUSALS attempts.
        """
        queued_at, refusals = time.monotonic(), 0
        while True:
            await self._wait_for_turn()
            started_at = time.monotonic()
            try:
                reply = await call()
            except ModelError as error:
                if not is_refusal(error):
                    raise
                self._back_off(error.retry_after_s, started_at)
                refusals += 1
                if refusals == MAX_REFUSALS:
                    raise
            else:
                self._refusals = 0
                if started_at >= self._backed_off_at:
                    slow_start = self._max_in_flight < self._slow_start_limit
                    self._max_in_flight += 1 if slow_start else 1 / self._max_in_flight
                return reply, started_at - queued_at
            finally:
                self._in_flight -= 1
                self._changed.set()

    def observe_headers(self, headers: Mapping[str, str], *, refused: bool) -> None:
        """Update the limits from the rate-limit headers of a reply. `refused`: its status is 429."""
        now = time.monotonic()
        for kind in ("requests", "tokens"):
            names = (f"x-ratelimit-{part}-{kind}" for part in ("limit", "remaining", "reset"))
            maximum, remaining, reset = (headers.get(name, "") for name in names)
            if not (maximum.isdecimal() and remaining.isdecimal() and int(maximum)):
                continue
            limit = self._limits.get(kind)
            if limit is None or limit.maximum != int(maximum):
                max_cost = 1 if kind == "requests" else int(maximum)
                limit = self._limits[kind] = _Limit(int(maximum), max_cost)
            limit.observe(int(remaining), parse_duration(reset), now, refused=refused)

    async def _wait_for_turn(self) -> None:
        async with self._queue:
            while (wait_s := self._wait_s(time.monotonic())) > 0:
                self._changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._changed.wait()
            self._in_flight += 1

    def _wait_s(self, now: float) -> float:
        """Return the seconds until a call may start, as far as known now: the next reply may change it."""
        if self._in_flight >= int(self._max_in_flight):
            return _LONG_S
        limit_waits = (limit.wait_s(now, self._in_flight) for limit in self._limits.values())
        return max([self._paused_until - now, *limit_waits])

    def _back_off(self, wait_s: float, started_at: float) -> None:
        """Pause for `wait_s` seconds (0: exponential backoff), as a call that began at `started_at` was refused."""
        now = time.monotonic()
        self._refusals += 1
        wait_s = wait_s or min(_LONG_S, 2 ** (self._refusals - 1))
        if now + wait_s > self._paused_until:
            self._paused_until = now + wait_s
            if wait_s >= _LONG_S:
                self._on_wait(f"the rate limit is used up: the provider asks to wait {wait_s:,.0f} s")
        if started_at >= self._backed_off_at:  # otherwise this call was in flight during an earlier refusal
            self._slow_start_limit = max(1.0, self._in_flight / 2)
            self._backed_off_at = now
        self._max_in_flight = 1.0


class _Limit:
    """One rate limit, of requests or of tokens, that allows `maximum` of them.

    `remaining` is the lowest value reported since the limit was last full. `cost` is the mean cost of a call, measured
    over several replies because it is not known in advance; it is at most `max_cost`.
    """

    def __init__(self, maximum: int, max_cost: int) -> None:
        self.maximum, self.max_cost = maximum, max_cost
        self.cost = float(max_cost)
        self._updated_at = 0.0
        self._reset()

    def _reset(self) -> None:
        self.remaining = float(self.maximum)
        self._full_at = math.inf  # unknown until a reply reports it
        self._refill_rate = 0.0  # per second
        self._replies, self._first_at, self._first_remaining = 0, 0.0, 0

    def _advance(self, now: float) -> None:
        """Account for the refill since the last update."""
        if now >= self._full_at:
            self._reset()
        elif self._full_at - now > _LONG_S:
            self.remaining = min(self.maximum, self.remaining + self._refill_rate * (now - self._updated_at))
        self._updated_at = now

    def observe(self, remaining: int, reset_s: float, now: float, *, refused: bool) -> None:
        """Update from a reply's headers. Replies overtake each other, so the lower of two values is the newer one."""
        self._advance(now)
        full_at = now + reset_s
        self._full_at = full_at if self._full_at == math.inf else max(full_at, self._full_at)
        self._refill_rate = (self.maximum - remaining) / reset_s if reset_s else 0.0
        self.remaining = min(self.remaining, remaining)
        if refused:
            return
        if self._replies:
            self._first_remaining = max(self._first_remaining, remaining)
            spent = self._first_remaining - self.remaining + self._refill_rate * (now - self._first_at)
            self.cost = min(self.max_cost, spent / self._replies)
        else:
            self._first_at, self._first_remaining = now, remaining
            self.cost = min(self.cost, self.maximum - remaining)
        self._replies += 1

    def wait_s(self, now: float, in_flight: int) -> float:
        """Return the seconds until the limit allows one call more than those in flight."""
        self._advance(now)
        missing = self.cost * (in_flight + 1) - self.remaining
        if missing <= 0:
            return 0.0
        full_in_s = self._full_at - now
        if full_in_s > _LONG_S and self._refill_rate:
            return min(full_in_s, missing / self._refill_rate)
        return min(full_in_s, _LONG_S)


def is_refusal(error: ModelError) -> bool:
    """Return whether a call was refused because of a rate limit, and may be made again."""
    return error.retryable and getattr(error.__cause__, "status_code", None) == 429


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as "2m59.56s", "7.66s" or "500ms"; 0 if it is none."""
    return sum(float(number) * _UNIT_S[unit] for number, unit in _DURATION_PART.findall(text))


class Paces(Protocol):
    """A Pacer, or what reaches one in another process."""

    async def call(self, call: Callable[[], Awaitable[Reply]]) -> tuple[Reply, float]:
        """Make the call when the limits allow it."""

    def observe_headers(self, headers: Mapping[str, str], *, refused: bool) -> None:
        """Update the limits from the headers of a reply."""


current_pacer: ContextVar[Paces | None] = ContextVar("current_pacer", default=None)
"""The pacer of the batch that the current run belongs to, if any."""


async def observe_headers(response: httpx.Response) -> None:
    """Pass a response's rate-limit headers to the current pacer. An event hook of httpx."""
    if pacer := current_pacer.get():
        pacer.observe_headers(response.headers, refused=response.status_code == 429)
