"""The events of a run, in the stream mode "custom": a front end needs no knowledge of the nodes."""

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypeGuard

from typing_extensions import TypedDict

from llamaberry.graph.calls import SYNTHESIZE, VERIFY, step_label, turn_label
from llamaberry.graph.check import Check, CheckVerdict
from llamaberry.graph.state import StopReason
from llamaberry.graph.tool_calls import ToolCall
from llamaberry.graph.turn import Turn, Verdict


class _Event(TypedDict):
    tool_call_id: NotRequired[str]
    """In an agent's stream: the agent's call of the tool that runs the graph."""


class TurnStarted(_Event):
    """A turn is being asked for; `attempt` counts from 1 and grows with each retry."""

    type: Literal["turn_started"]
    turn: int
    kind: Literal["first", "refine"]
    attempt: int


class TurnFinished(_Event):
    """A turn is complete. `tokens` are the prompt's and the reply's, None if the provider did not count them."""

    type: Literal["turn_finished"]
    turn: int
    kind: Literal["first", "refine"]
    verdict: Verdict | None
    answer: str | None
    seconds: float
    tokens: int | None


class ToolStarted(_Event):
    """A tool is called for the turn `turn`; `call` counts the turn's calls from 1, several may run at the same time."""

    type: Literal["tool_started"]
    turn: int
    call: int
    name: str
    args: dict[str, Any]


class ToolFinished(_Event):
    """The call of a tool has ended; `call` is that of its start, the other fields are those of the ToolCall."""

    type: Literal["tool_finished"]
    turn: int
    call: int
    name: str
    args: dict[str, Any]
    result: str | None
    error: str | None
    seconds: float


class CheckStarted(_Event):
    """The newest turn, `turn`, is being checked; `attempt` counts from 1 and grows with each retry."""

    type: Literal["check_started"]
    turn: int
    attempt: int


class CheckFinished(_Event):
    """The newest turn, `turn`, is checked; the other fields are those of the Check."""

    type: Literal["check_finished"]
    turn: int
    verdict: CheckVerdict
    program: str | None
    output: str | None
    error: str | None
    answer: str | None


class RefiningEnded(_Event):
    """No further turn follows, for this reason; the synthesis is next."""

    type: Literal["refining_ended"]
    reason: StopReason
    turns: int


Event = TurnStarted | ToolStarted | ToolFinished | TurnFinished | CheckStarted | CheckFinished | RefiningEnded


def turn_started(index: int, attempt: int) -> TurnStarted:
    """Return the event for the start of the turn with this index."""
    return {"type": "turn_started", "turn": index, "kind": "first" if index == 1 else "refine", "attempt": attempt}


def turn_finished(turn: Turn) -> TurnFinished:
    """Return the event for a complete turn."""
    return {
        "type": "turn_finished",
        "turn": turn["index"],
        "kind": turn["kind"],
        "verdict": turn["verdict"],
        "answer": turn["answer"],
        "seconds": turn["seconds"],
        "tokens": turn["usage"]["total_tokens"] if turn["usage"] else None,
    }


def tool_started(turn: int, call: int, name: str, args: dict[str, Any]) -> ToolStarted:
    """Return the event for the start of the turn's tool call with this number."""
    return {"type": "tool_started", "turn": turn, "call": call, "name": name, "args": args}


def tool_finished(turn: int, number: int, call: ToolCall) -> ToolFinished:
    """Return the event for the end of the turn's tool call with this number."""
    return {
        "type": "tool_finished",
        "turn": turn,
        "call": number,
        "name": call["name"],
        "args": call["args"],
        "result": call["result"],
        "error": call["error"],
        "seconds": call["seconds"],
    }


def check_started(index: int, attempt: int) -> CheckStarted:
    """Return the event for the start of a check of the turn with this index."""
    return {"type": "check_started", "turn": index, "attempt": attempt}


def check_finished(index: int, check: Check) -> CheckFinished:
    """Return the event for a check of the turn with this index."""
    return {
        "type": "check_finished",
        "turn": index,
        "verdict": check["verdict"],
        "program": check["program"],
        "output": check["output"],
        "error": check["error"],
        "answer": check["answer"],
    }


def refining_ended(reason: StopReason, turns: int) -> RefiningEnded:
    """Return the event for the end of refining, after this many turns."""
    return {"type": "refining_ended", "reason": reason, "turns": turns}


def is_own_event(value: Any) -> TypeGuard[dict[str, Any]]:
    """Return whether what came in the stream mode "custom" is an event of this run: not what a user's node or tool
    writes, nor an event of a run that a tool has started.
    """
    return isinstance(value, dict) and "type" in value and "tool_call_id" not in value


def step_of(metadata: Mapping[str, Any]) -> str | None:
    """Return the step of a model call, such as "turn 2, attempt 2" or "check", from the call's metadata.

    None if it is no call of a step: a message that the graph adds, or the reply of a model that a tool calls.
    """
    if "attempt" not in metadata:
        return None
    other = step_label(VERIFY if metadata.get("kind") == "verify" else SYNTHESIZE)
    step = turn_label(metadata["turn"]) if "turn" in metadata else other
    return f"{step}, attempt {metadata['attempt']}" if metadata["attempt"] > 1 else step
