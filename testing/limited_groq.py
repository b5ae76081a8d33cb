"""A good model behind a rate limit as Groq's: it says in its headers what is left, and refuses what goes beyond it."""

import time
from dataclasses import dataclass, field
from typing import Literal

from testing.scripted_groq import Reply, Request, good_model


@dataclass
class Limited:
    """A script of `most` requests or tokens.

    It is a "bucket" that takes `whole_s` seconds to fill (as Groq's), or a "window" of so long that begins anew.
    A request takes its max_tokens of a limit of tokens.
    """

    most: int
    whole_s: float
    what: Literal["requests", "tokens"] = "requests"
    kind: Literal["bucket", "window"] = "bucket"
    delay: float = 0.02
    left: float | None = None  # of it at the start
    answered: int = 0
    refused: list[float] = field(default_factory=list)  # when

    def __post_init__(self) -> None:
        self._left, self._at = float(self.most if self.left is None else self.left), time.monotonic()

    def __call__(self, request: Request) -> Reply:
        now = time.monotonic()
        if self.kind == "bucket":
            self._left, self._at = min(self.most, self._left + (now - self._at) * self.most / self.whole_s), now
        elif now - self._at >= self.whole_s:
            self._left, self._at = self.most, now
        takes = request.body["max_tokens"] if self.what == "tokens" else 1
        granted = takes <= self._left
        if granted:
            self._left -= takes
            self.answered += 1
        else:
            self.refused.append(now)
        missing = (self.most - self._left) * self.whole_s / self.most
        reset = missing if self.kind == "bucket" else self._at + self.whole_s - now
        headers = {f"x-ratelimit-limit-{self.what}": str(self.most)}
        headers |= {f"x-ratelimit-remaining-{self.what}": str(int(self._left))}
        headers |= {
            f"x-ratelimit-reset-{self.what}": f"{reset * 1000 + 1:.0f}ms" if reset < 1 else f"0m{reset + 0.001:.3f}s"
        }
        if granted:
            return Reply(good_model(request), delay=self.delay, headers=headers)
        lacking = (takes - self._left) * self.whole_s / self.most if self.kind == "bucket" else reset
        return Reply(status=429, headers=headers | {"retry-after": f"{lacking:.3f}"})
