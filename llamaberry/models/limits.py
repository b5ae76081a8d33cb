"""What the callers of a server may choose: models, and the tokens and cost of a run. Elsewhere nothing is limited."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase

from llamaberry.graph.answer_schema import MAX_EXPANDED_PARTS, expanded_parts
from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError
from llamaberry.models.settings import full_name

ALLOWED_MODELS = "local, groq:*"
MAX_TOKENS_PER_RUN = 250_000
_MAX_PROGRAM_CALLS = 3
"""A program is written, repaired, and written once more."""
_MAX_STRUCTURE_CALLS = 2
"""The answer is put into a schema, and repaired."""

_servers: list[str] = []


@contextmanager
def limit_callers() -> Iterator[None]:
    """Limit what the runs of this process may choose, because it serves callers."""
    _servers.append("running")
    try:
        yield
    finally:
        _servers.pop()


def check_limits(context: Context, *, tools: bool = False) -> None:
    """Raise SetupError if this process is a server, and does not allow a run with these settings, or with `tools`."""
    if not _servers:
        return
    context = _with_allowed_model(context)
    for field in ("model", "refine_model", "verify_model", "synthesis_model"):
        model = getattr(context, field)
        if model and not _is_allowed(model):
            allowed = ", ".join(_allowed_models())
            raise SetupError(
                f"{field} {model[:100]!r} is not allowed on this server: choose one of {allowed} (its operator sets "
                "LLAMABERRY_MODELS)"
            )
    if isinstance(schema := context.answer_schema, dict) and expanded_parts(schema) > MAX_EXPANDED_PARTS:
        raise SetupError(
            "answer_schema is recursive, or too large with its references written out "
            f"({MAX_EXPANDED_PARTS:,} parts): this server allows no such schema"
        )
    calls, limit = max_calls(context, tools=tools), _max_tokens_per_run()
    if calls * context.max_tokens > limit:
        fewer = "max_tool_calls" if tools else "max_turns"
        raise SetupError(
            f"max_tokens {context.max_tokens:,} in up to {calls} calls is more than the {limit:,} tokens that "
            f"this server allows a run: lower max_tokens to {limit // calls:,}, or {fewer} (its operator sets "
            "LLAMABERRY_MAX_TOKENS_PER_RUN)"
        )
    cost, max_cost = context.max_cost_usd, _max_cost_usd()
    if cost is not None and max_cost is not None and cost > max_cost:
        raise SetupError(
            f"max_cost_usd {cost:g} is more than the {max_cost:g} US dollars that this server allows a run: lower it, "
            "or leave it out (its operator sets LLAMABERRY_MAX_COST_USD)"
        )


def with_limits(context: Context) -> Context:
    """Return the settings of a run; on a server with a model for "auto" that it allows, and its limit of the cost."""
    if not _servers:
        return context
    context, limit = _with_allowed_model(context), _max_cost_usd()
    if limit is None or (context.max_cost_usd or math.inf) <= limit:
        return context
    return context.model_copy(update={"max_cost_usd": limit})


def max_calls(context: Context, *, tools: bool = False) -> int:
    """Return the highest number of model calls of a run, repeated ones apart; with `tools`, each may take one more."""
    calls = context.max_turns * (1 + (context.max_tool_calls if tools else 0))
    calls += _MAX_STRUCTURE_CALLS if context.answer_schema else 0
    if context.max_turns == 1:
        return calls
    return calls + 1 + (_MAX_PROGRAM_CALLS if context.verify != "none" else 0)


def max_tokens_allowed(context: Context) -> int:
    """Return the highest `max_tokens` that a server allows a run with these settings."""
    return _max_tokens_per_run() // max_calls(context)


def _with_allowed_model(context: Context) -> Context:
    """Return the settings; with the first model of the operator's list in place of an "auto" that it does not allow."""
    if context.model.strip() != "auto" or _is_allowed("auto"):
        return context
    first = next((model for model in _allowed_models() if "*" not in model), "auto")
    return context.model_copy(update={"model": first})


def _is_allowed(model: str) -> bool:
    return any(fnmatchcase(full_name(model), pattern) for pattern in _allowed_models())


def _allowed_models() -> list[str]:
    models = os.environ.get("LLAMABERRY_MODELS", "").strip() or ALLOWED_MODELS
    return [model if "*" in model else full_name(model) for entry in models.split(",") if (model := entry.strip())]


def _max_tokens_per_run() -> int:
    value = os.environ.get("LLAMABERRY_MAX_TOKENS_PER_RUN", "").strip()
    if value and not (value.isdecimal() and int(value)):
        raise SetupError(f"LLAMABERRY_MAX_TOKENS_PER_RUN is {value!r}: it should be a number above 0, such as 250000")
    return int(value) if value else MAX_TOKENS_PER_RUN


def _max_cost_usd() -> float | None:
    value = os.environ.get("LLAMABERRY_MAX_COST_USD", "").strip()
    try:
        limit = float(value) if value else None
    except ValueError:
        limit = math.nan
    if limit is not None and not 0 < limit < math.inf:
        raise SetupError(f"LLAMABERRY_MAX_COST_USD is {value!r}: it should be an amount above 0, such as 0.05")
    return limit
