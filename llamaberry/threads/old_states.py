"""Stored states that lack keys, as older versions and edits leave them: completed, so that they can be printed."""

from collections.abc import Mapping
from typing import Any

from llamaberry.graph.calls import NO_USAGE, stored_calls, total

_TOKENS = {"input_tokens", "output_tokens", "total_tokens"}
_CALL: dict[str, Any] = {"model": "unknown model", "usage": None, "seconds": 0.0, "finish_reason": None}
_TURN: dict[str, Any] = {**_CALL, "text": "", "steps": [], "verdict": None, "answer": None}
_STEP = {"statement": "", "explanation": ""}
_CHECK = {"program": None, "output": None, "error": None, "answer": None, "verdict": "none"}

_NEW_QUESTION: dict[str, Any] = {
    "turns": [],
    "calls": [],
    "answer": "",
    "concise_answer": "",
    "structured": None,
    "usage": NO_USAGE,
    "stop_reason": None,
    "degraded": None,
}


def question_values(values: Mapping[str, Any], next_node: str | None) -> dict[str, Any]:
    """Return the values of a checkpoint; before a question's first turn, without those of the previous question."""
    if next_node in ("__start__", "first_turn"):
        return {**values, **_NEW_QUESTION}
    return complete(values)


def complete(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a checkpoint with every key that a reader uses; what was not stored is empty, or unknown."""
    turns = [_turn(turn, index) for index, turn in enumerate(values.get("turns") or [], 1)]
    check = values.get("check")
    state = {
        **values,
        "turns": turns,
        "check": _CHECK | check if check else None,
        "messages": [_message(message) for message in values.get("messages") or []],
    }
    calls = [_call(call) for call in stored_calls({**state, "calls": values.get("calls") or []})]
    usage = values.get("usage")
    return {**state, "calls": calls, "usage": {**NO_USAGE, **usage} if usage else total(calls)}


def _turn(turn: Mapping[str, Any], index: int) -> dict[str, Any]:
    kind = "first" if index == 1 else "refine"
    completed: dict[str, Any] = {"index": index, "kind": kind, **_TURN, **turn}
    completed["steps"] = [{**_STEP, **step} for step in completed["steps"] or []]
    return completed | {"usage": _tokens(completed["usage"])}


def _call(call: Mapping[str, Any]) -> Any:
    completed = {"step": "unknown step", **_CALL, **call}
    return completed | {"usage": _tokens(completed["usage"])}


def _tokens(usage: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the tokens of a call; None, as for a provider that counts none, if a count is missing."""
    return usage if usage and usage.keys() >= _TOKENS else None


def _message(message: Any) -> Any:
    """Return a message; version 0.1.0 stored a synthesis with its figures in the answer's message."""
    figures = getattr(message, "response_metadata", None)
    if not figures or "text" not in figures:
        return message
    return message.model_copy(update={"response_metadata": {**_CALL, **figures}})
