"""A scripted model behind a rate limit like Groq's: headers report what remains, and excess requests get a 429."""

import time
from dataclasses import dataclass, field
from typing import Literal

from testing.scripted_groq import Reply, Request, good_model


@dataclass
class RateLimitedModel:
    """A script of a good model that may use `maximum` requests or tokens; a request uses its max_tokens.

    A "bucket" (like Groq's) refills continuously, within `refill_s` seconds if it is empty; a "window" is full again
    every `refill_s` seconds.
    """

    maximum: int
    refill_s: float
    resource: Literal["requests", "tokens"] = "requests"
    kind: Literal["bucket", "window"] = "bucket"
    delay: float = 0.02
    initial: float | None = None  # None: full
    answered: int = 0
    refused_at: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._remaining = float(self.maximum if self.initial is None else self.initial)
        self._updated_at = time.monotonic()

    def __call__(self, request: Request) -> Reply:
        now = time.monotonic()
        elapsed = now - self._updated_at
        if self.kind == "bucket":
            self._remaining = min(self.maximum, self._remaining + elapsed * self.maximum / self.refill_s)
            self._updated_at = now
        elif elapsed >= self.refill_s:
            self._remaining, self._updated_at = self.maximum, now
        cost = request.body["max_tokens"] if self.resource == "tokens" else 1
        granted = cost <= self._remaining
        if granted:
            self._remaining -= cost
            self.answered += 1
        else:
            self.refused_at.append(now)
        if self.kind == "bucket":
            reset = (self.maximum - self._remaining) * self.refill_s / self.maximum
            retry_after = (cost - self._remaining) * self.refill_s / self.maximum
        else:
            reset = retry_after = self._updated_at + self.refill_s - now
        headers = {
            f"x-ratelimit-limit-{self.resource}": str(self.maximum),
            f"x-ratelimit-remaining-{self.resource}": str(int(self._remaining)),
            f"x-ratelimit-reset-{self.resource}": (
                f"{reset * 1000 + 1:.0f}ms" if reset < 1 else f"0m{reset + 0.001:.3f}s"
            ),
        }
        if granted:
            return Reply(good_model(request), delay=self.delay, headers=headers)
        return Reply(status=429, headers=headers | {"retry-after": f"{retry_after:.3f}"})
