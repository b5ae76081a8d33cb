"""The tool calls of a turn: their record, and how people and the models of later turns read it."""

import json
from collections.abc import Iterable
from textwrap import shorten
from typing import Any

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

MAX_RESULT_CHARS = 10_000
"""The longest result of a tool: a longer one is cut, for the model that called the tool, and in the state."""
MAX_LATER_CHARS = 2_000
"""The longest result in the prompts of the steps after the turn: each of them would pay for it again."""
_MAX_LINE_CHARS = 300


@with_config(ConfigDict(use_attribute_docstrings=True))
class ToolCall(TypedDict):
    """A tool that the model called before it wrote a turn."""

    name: str
    args: dict[str, Any]
    result: str | None
    """What it returned, as text of at most 10,000 characters; None if it failed."""
    error: str | None
    """Why there is no result; None if there is one."""
    seconds: float


def cut(text: str, limit: int) -> str:
    """Return a text of at most `limit` characters, and below it what is missing."""
    return text if len(text) <= limit else f"{text[:limit]}\n… (cut at {limit:,} of {len(text):,} characters)"


def describe_tool_call(call: ToolCall) -> str:
    """Return a call in one line: the tool, its arguments, what came of it, and the seconds."""
    args = ", ".join(f"{name}={_json(value)}" for name, value in call["args"].items())
    outcome = f"failed: {call['error']}" if call["error"] is not None else f"→ {call['result']}"
    line = f"{call['name']}({_one_line(args)}) {_one_line(outcome)}"
    return f"{line} · {call['seconds']:.1f} s"


def tool_results(calls: Iterable[ToolCall]) -> str:
    """Return what tools returned, for the prompt of a later step; "" without a call."""
    parts = []
    for call in calls:
        head = f"{call['name']}({_json(call['args'])})"
        if call["error"] is not None:
            parts.append(f"{head} failed: {call['error']}")
        else:
            parts.append(f"{head} returned:\n\n```\n{cut(call['result'] or '', MAX_LATER_CHARS)}\n```")
    return "\n\n".join(["Tools were called for this question:", *parts]) if parts else ""


def _one_line(text: str) -> str:
    return shorten(text, _MAX_LINE_CHARS, placeholder=" …") if len(text) > _MAX_LINE_CHARS else " ".join(text.split())


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
