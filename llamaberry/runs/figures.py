"""The figures of a run in words: turns, why it ended, models, tokens, cost, seconds."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from llamaberry.console import dollars
from llamaberry.graph.calls import Usage

if TYPE_CHECKING:  # it needs LangGraph
    from llamaberry.graph.state import StopReason


def run_figures(turns: int, stop_reason: str | None, models: Iterable[str], usage: Usage, seconds: float) -> list[str]:
    """Return the turns, stop reason, models, tokens and seconds of a run, in words."""
    count = f"{turns} turn{'' if turns == 1 else 's'}"
    models = sorted(set(models)) or ["no reply"]
    return [count, stopped(stop_reason), *models, describe_usage(usage), f"{seconds:.1f} s"]


def stopped(reason: str | None) -> str:
    """Return why refining ended, in words."""
    return _STOPPED[cast("StopReason", reason)] if reason else "interrupted"


_STOPPED: "dict[StopReason, str]" = {
    "verified": "verified by a program",
    "max_turns": "all turns used",
    "agreement": "two turns agree",
    "budget": "the budget is used up",
    "deadline": "the deadline is over",
    "error": "a call failed",
    "review": "stopped by you",
}


def describe_usage(usage: Usage) -> str:
    """Return the tokens of calls in words: prompt, cached, output; and their price, if it is known and not zero."""
    prompt, cached, output = usage["input_tokens"], usage["cached_tokens"], usage["output_tokens"]
    tokens = f"{prompt:,} prompt ({cached:,} cached) + {output:,} output tokens"
    return f"{tokens} · {dollars(usage['cost_usd'])}" if usage["cost_usd"] else tokens
