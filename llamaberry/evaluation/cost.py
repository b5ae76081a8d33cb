"""The cost of answers: tokens, and US dollars if prices are known."""

from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, NonNegativeFloat

from llamaberry.evaluation.results import Reply, Result, Tokens
from llamaberry.graph.errors import SetupError


class Prices(BaseModel, frozen=True, allow_inf_nan=False):
    """US dollars per million tokens; without `cached`, cached input costs as much as other input."""

    input: NonNegativeFloat
    output: NonNegativeFloat
    cached: NonNegativeFloat | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse INPUT/OUTPUT or INPUT/OUTPUT/CACHED; raise a SetupError if it is neither."""
        names, parts = ("input", "output", "cached"), text.split("/")
        try:
            return cls.model_validate(dict(zip(names[: len(parts)], parts, strict=True)))
        except ValueError:
            raise SetupError(f"--price {text}: write INPUT/OUTPUT or INPUT/OUTPUT/CACHED, such as 0.15/0.60") from None

    def of(self, tokens: Tokens) -> float:
        """Return the price of these tokens in US dollars."""
        cached = self.input if self.cached is None else self.cached
        uncached_tokens = tokens.input - tokens.cached
        return (uncached_tokens * self.input + tokens.cached * cached + tokens.output * self.output) / 1e6


class Cost(BaseModel, frozen=True):
    """Mean tokens and US dollars per question; `cached` is the part of `input` that a prefix cache served."""

    input: float
    cached: float
    output: float
    total: float
    usd: float | None
    questions: int
    """Number of questions averaged: those whose every reply has token usage."""
    tokens_per_right: float | None
    """All their tokens divided by their right answers; None if no answer is right."""
    usd_per_right: float | None


def mean_cost(results: Sequence[Result], prices: Prices | None) -> Cost | None:
    """Return the mean cost of a question, or None if no question has token usage for all its replies.

    Without `prices` the dollars are those recorded with the replies, if all have some.
    """
    metered = [result for result in results if result.replies and all(reply.tokens for reply in result.replies)]
    if not metered:
        return None
    replies = [reply for result in metered for reply in result.replies]
    calls = [reply.tokens for reply in replies if reply.tokens]
    n, right = len(metered), sum(result.right for result in metered)
    tokens = Tokens(**{kind: sum(getattr(call, kind) for call in calls) for kind in Tokens.model_fields})
    total, usd = tokens.input + tokens.output, prices.of(tokens) if prices else _recorded_usd(replies)
    return Cost(
        input=tokens.input / n,
        cached=tokens.cached / n,
        output=tokens.output / n,
        total=total / n,
        usd=None if usd is None else usd / n,
        questions=n,
        tokens_per_right=total / right if right else None,
        usd_per_right=usd / right if right and usd is not None else None,
    )


def _recorded_usd(replies: Sequence[Reply]) -> float | None:
    """Return the price of the replies; None if that of one is unknown, or all are free."""
    prices = [reply.cost_usd for reply in replies]
    return sum(price for price in prices if price) or None if None not in prices else None
