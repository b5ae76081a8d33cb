"""One record per model call, and the totals of a run."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NotRequired

from langchain_core.messages.ai import UsageMetadata
from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from llamaberry.graph.turn import Turn

VERIFY, SYNTHESIZE, STRUCTURE = "verify", "synthesize", "structure"


@with_config(ConfigDict(use_attribute_docstrings=True))
class Call(TypedDict):
    """A model call that returned a reply."""

    step: str
    """The node that made it: "first_turn", "verify", "refine_turn 2", "synthesize", "structure"."""
    model: str
    """The model that replied, as "provider:name"."""
    usage: UsageMetadata | None
    """Tokens, as the provider counted them; None if it did not."""
    seconds: float
    """Wall time, from the first attempt to the end of the reply."""
    finish_reason: str | None
    text: NotRequired[str]
    """The reply, if it is not the text of a turn."""


@with_config(ConfigDict(use_attribute_docstrings=True))
class Usage(TypedDict):
    """The totals of a run. Tokens count as zero where the provider did not count them."""

    calls: int
    input_tokens: int
    cached_tokens: int
    """Those of the input tokens that came from the provider's prefix cache."""
    output_tokens: int
    reasoning_tokens: int
    """Those of the output tokens that a model spent on its own reasoning, where the provider counts them."""
    total_tokens: int
    seconds: float
    """Of the calls, one after another."""
    cost_usd: float | None
    """US dollars at the provider's list prices; None if the price or the tokens of a call are unknown."""


NO_USAGE = Usage(
    calls=0,
    input_tokens=0,
    cached_tokens=0,
    output_tokens=0,
    reasoning_tokens=0,
    total_tokens=0,
    seconds=0,
    cost_usd=0,
)


NO_TOKENS = UsageMetadata(input_tokens=0, output_tokens=0, total_tokens=0)


def keep_calls(calls: list[Call], update: list[Call] | None) -> list[Call]:
    """Reduce the stored calls and an update: calls are added; a first turn's call, or None, starts a new run."""
    if update is None:
        return []
    return [*([] if any(call["step"] == "first_turn" for call in update) else calls), *update]


def add_calls(usage: Usage, calls: Iterable[Call]) -> Usage:
    """Return the totals with these calls added."""
    for call in calls:
        cost, previous = call_cost_usd(call), usage["cost_usd"]
        tokens = call["usage"] or NO_TOKENS
        usage = Usage(
            calls=usage["calls"] + 1,
            input_tokens=usage["input_tokens"] + tokens["input_tokens"],
            cached_tokens=usage["cached_tokens"] + _cached(tokens),
            output_tokens=usage["output_tokens"] + tokens["output_tokens"],
            reasoning_tokens=usage.get("reasoning_tokens", 0) + _reasoning(tokens),
            total_tokens=usage["total_tokens"] + tokens["total_tokens"],
            seconds=round(usage["seconds"] + call["seconds"], 3),
            cost_usd=None if cost is None or previous is None else round(previous + cost, 9),
        )
    return usage


def total(calls: Iterable[Call]) -> Usage:
    """Return the totals of these calls."""
    return add_calls(NO_USAGE, calls)


def call_cost_usd(call: Call) -> float | None:
    """Return the list price of a call in US dollars: 0 for the local model, None if the price or usage is unknown."""
    if call["model"].startswith("local:"):
        return 0.0
    return cost_usd(call["model"], call["usage"]) if call["usage"] else None


def cost_usd(model: str, usage: UsageMetadata) -> float | None:
    """Return the list price of these tokens in US dollars: 0 for the local model, None if the price is unknown.

    `model` is "provider:name".
    """
    if model.startswith("local:"):
        return 0.0
    # A provider may count more cached tokens than prompt tokens, which the price list refuses.
    cached = min(_cached(usage), usage["input_tokens"])
    return _list_price(model, usage["input_tokens"], cached, usage["output_tokens"])


@lru_cache(maxsize=256)  # the totals and the traces ask for the same call, one after the other
def _list_price(model: str, input_tokens: int, cached_tokens: int, output_tokens: int) -> float | None:
    # Imported here: the price list takes longer to load than everything else in this package.
    from genai_prices import Usage as Tokens
    from genai_prices import calc_price

    tokens = Tokens(input_tokens=input_tokens, output_tokens=output_tokens, cache_read_tokens=cached_tokens)
    provider, _, name = model.partition(":")
    try:
        return float(calc_price(tokens, name, provider_id=provider).total_price)
    except LookupError:
        return None


def _cached(usage: UsageMetadata) -> int:
    return usage.get("input_token_details", {}).get("cache_read", 0)


def _reasoning(usage: UsageMetadata) -> int:
    return usage.get("output_token_details", {}).get("reasoning", 0)


def turn_label(index: int) -> str:
    """Return the name of a turn for people."""
    return f"turn {index}"


def step_label(step: str) -> str:
    """Return the name for people of a call's `step`: "turn 1", "check", "synthesis", "structured answer".

    The step of a node of the user's own keeps its name.
    """
    if step == "first_turn":
        return turn_label(1)
    node, _, index = step.partition(" ")
    if node == "refine_turn" and index.isdecimal():
        return turn_label(int(index))
    return {VERIFY: "check", SYNTHESIZE: "synthesis", STRUCTURE: "structured answer"}.get(step, step)


def turn_calls(turns: Iterable[Turn]) -> list[Call]:
    """Return the calls that wrote these turns."""
    return [
        Call(
            step="first_turn" if turn["index"] == 1 else f"refine_turn {turn['index']}",
            model=turn["model"],
            usage=turn["usage"],
            seconds=turn["seconds"],
            finish_reason=turn["finish_reason"],
        )
        for turn in turns
    ]


def stored_calls(state: Mapping[str, Any]) -> list[Call]:
    """Return the calls of a stored state. Version 0.1.0 stored none: they are read from its turns and last message."""
    if state.get("calls") or not state.get("turns"):
        return state.get("calls") or []
    calls = turn_calls(state["turns"])
    message = (state.get("messages") or [None])[-1] if state.get("answer") else None
    figures = getattr(message, "response_metadata", {})
    if "text" in figures:
        calls.append(
            Call(
                step=SYNTHESIZE,
                model=figures["model"],
                usage=getattr(message, "usage_metadata", None),
                seconds=figures["seconds"],
                finish_reason=figures.get("finish_reason"),
                text=figures["text"],
            )
        )
    return calls
