"""What answers cost: tokens, and dollars where their prices are told."""

from collections.abc import Sequence

from pydantic import BaseModel, NonNegativeFloat

from llamaberry.evaluation.results import Result, Tokens


class Prices(BaseModel, frozen=True):
    """US dollars per million tokens; input that came from a cache costs as much as other input, unless told."""

    input: NonNegativeFloat
    output: NonNegativeFloat
    cached: NonNegativeFloat | None = None

    def of(self, tokens: Tokens) -> float:
        """Return the dollars that these tokens cost."""
        cached = self.input if self.cached is None else self.cached
        fresh = tokens.input - tokens.cached
        return (fresh * self.input + tokens.cached * cached + tokens.output * self.output) / 1e6


class Cost(BaseModel, frozen=True):
    """Means of one question, of tokens and of dollars; `cached` is the part of the input that came from a cache."""

    input: float
    cached: float
    output: float
    total: float
    usd: float | None
    questions: int
    """How many questions the means are of: those of whose replies the provider counted every one."""
    tokens_per_right: float | None
    """All their tokens over their right answers: None where none is right."""
    usd_per_right: float | None


def spent(results: Sequence[Result], prices: Prices | None) -> Cost | None:
    """Return what these results cost, a question; None where the provider counted nothing."""
    told = [(result, [reply.tokens for reply in result.replies if reply.tokens]) for result in results]
    counted = [(result, calls) for result, calls in told if calls and len(calls) == len(result.replies)]
    if not counted:
        return None
    calls = [call for _, of_result in counted for call in of_result]
    n, right = len(counted), sum(result.right for result, _ in counted)
    tokens = Tokens(
        input=sum(call.input for call in calls),
        output=sum(call.output for call in calls),
        cached=sum(call.cached for call in calls),
    )
    total, usd = tokens.input + tokens.output, None if prices is None else prices.of(tokens)
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
