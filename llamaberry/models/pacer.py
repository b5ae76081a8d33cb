"""The pace of a batch: calls begin as the provider's rate limit has room for them, and wait together where it has none.

A run that is no batch's is not paced.
"""

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import TypeVar

import httpx

from llamaberry.graph.errors import ModelError

REFUSALS = 8
"""How often in a row a call may be refused with 429 before that counts as a failed attempt of its node."""

_LONG_S = 60.0  # a limit that is whole again within it is waited for; a day's comes back bit by bit
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")

Reply = TypeVar("Reply")


class Pacer:
    """Lets the calls of one model begin, one by one, at the pace that the provider's replies tell.

    The first goes alone, then as many at once as have been answered: a limit shows before many run into it. A 429 holds
    all of them back for as long as the provider asks, and halves how many may be under way. `tell` is told long waits.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._limits: dict[str, _Limit] = {}
        self._line = asyncio.Lock()  # who waits longest goes first, and only the first is ever woken
        self._news = asyncio.Event()
        self._flying = 0
        self._room, self._most_room = 1.0, math.inf
        self._held_until = self._held_at = 0.0
        self._refused = 0  # in a row

    async def call(self, call: Callable[[], Awaitable[Reply]]) -> tuple[Reply, float]:
        """Make the call when its turn has come, again where it is refused with 429; also return the seconds waited.

        Raises:
            ModelError: as the call does; of a 429 only where it was refused REFUSALS times.
        """
        asked, refusals = time.monotonic(), 0
        while True:
            await self._turn()
            begun = time.monotonic()
            try:
                reply = await call()
            except ModelError as error:
                if getattr(error.__cause__, "status_code", None) != 429 or not error.retryable:
                    raise
                self._hold(error.retry_after_s, begun)
                refusals += 1
                if refusals == REFUSALS:
                    raise
            else:
                self._refused = 0
                if begun >= self._held_at:
                    self._room += 1 if self._room < self._most_room else 1 / self._room
                return reply, begun - asked
            finally:
                self._flying -= 1
                self._news.set()

    def observe_headers(self, headers: Mapping[str, str], *, refused: bool) -> None:
        """Take in what the headers of a reply say of the limits."""
        now = time.monotonic()
        for what in ("requests", "tokens"):
            named = (f"x-ratelimit-{part}-{what}" for part in ("limit", "remaining", "reset"))
            most, left, reset = (headers.get(name, "") for name in named)
            if not (most.isdecimal() and left.isdecimal() and int(most)):
                continue
            limit = self._limits.get(what)
            if limit is None or limit.most != int(most):
                limit = self._limits[what] = _Limit(int(most), 1 if what == "requests" else int(most))
            limit.told(int(left), seconds(reset), now, refused=refused)

    async def _turn(self) -> None:
        async with self._line:
            while (wait := self._wait(time.monotonic())) > 0:
                self._news.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._news.wait()
            self._flying += 1

    def _wait(self, now: float) -> float:
        """Seconds until a call may begin, as it looks now; it may look otherwise at the next reply."""
        if self._flying >= int(self._room):
            return _LONG_S
        return max([self._held_until - now, *(limit.wait(now, self._flying) for limit in self._limits.values())])

    def _hold(self, wait_s: float, begun: float) -> None:
        now = time.monotonic()
        self._refused += 1
        wait_s = wait_s or min(_LONG_S, 2 ** (self._refused - 1))
        if now + wait_s > self._held_until:
            self._held_until = now + wait_s
            if wait_s >= _LONG_S:
                self._tell(f"the rate limit is used up: no call begins for {wait_s:,.0f} s, as the provider asks")
        if begun >= self._held_at:  # else it was under way when another one was refused
            self._most_room = max(1.0, self._flying / 2)
            self._held_at = now
        self._room = 1.0


class _Limit:
    """A limit of requests or of tokens: of `most`, `left` in the reply that said least since it was whole.

    What a call takes is seen from what is left after several, for it can't be known before; it is at most `dearest`.
    """

    def __init__(self, most: int, dearest: int) -> None:
        self.most, self.dearest = most, dearest
        self.charge = float(dearest)
        self._seen_at = 0.0
        self._anew()

    def _anew(self) -> None:
        self.left = float(self.most)
        self._whole_at = math.inf  # until a reply says when
        self._rate = 0.0
        self._replies, self._first_at, self._first_left = 0, 0.0, 0

    def _pass(self, now: float) -> None:
        if now >= self._whole_at:
            self._anew()
        elif self._whole_at - now > _LONG_S:
            self.left = min(self.most, self.left + self._rate * (now - self._seen_at))
        self._seen_at = now

    def told(self, left: int, reset_s: float, now: float, *, refused: bool) -> None:
        """Take in what a reply says. Replies overtake each other: of two that differ, less is the truth."""
        self._pass(now)
        whole_at = now + reset_s
        self._whole_at = whole_at if self._whole_at == math.inf else max(whole_at, self._whole_at)
        self._rate = (self.most - left) / reset_s if reset_s else 0.0
        self.left = min(self.left, left)
        if refused:
            return
        if self._replies:
            self._first_left = max(self._first_left, left)
            taken = self._first_left - self.left + self._rate * (now - self._first_at)
            self.charge = min(self.dearest, taken / self._replies)
        else:
            self._first_at, self._first_left = now, left
            self.charge = min(self.charge, self.most - left)
        self._replies += 1

    def wait(self, now: float, flying: int) -> float:
        """Return the seconds until there is room for one more call than those that are under way."""
        self._pass(now)
        missing = self.charge * (flying + 1) - self.left
        if missing <= 0:
            return 0.0
        until = self._whole_at - now
        return min(until, missing / self._rate) if until > _LONG_S and self._rate else min(until, _LONG_S)


def seconds(written: str) -> float:
    """Read a span such as "2m59.56s", "7.66s" or "500ms"; 0 where it is none."""
    return sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(written))


current_pacer: ContextVar[Pacer | None] = ContextVar("pacing", default=None)
"""The pacer of the runs in this context, where they are a batch's."""


async def observe_headers(response: httpx.Response) -> None:
    """Tell the pacer what a response says: a hook of an HTTP client."""
    if pacer := current_pacer.get():
        pacer.observe_headers(response.headers, refused=response.status_code == 429)
