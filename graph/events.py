"""What a run says while it goes on, in the stream mode "custom": a front end needs no knowledge of the nodes."""

from collections.abc import Mapping
from typing import Any, Literal

from typing_extensions import TypedDict

from llamaberry.graph.state import StopReason, Verdict


class TurnStarted(TypedDict):
    """A turn is being asked for; `attempt` counts from 1, and again for each retry."""

    type: Literal["turn_started"]
    turn: int
    kind: Literal["first", "refine"]
    attempt: int


class TurnFinished(TypedDict):
    """A turn is there. `tokens` are the prompt's and the reply's, None where the provider told none."""

    type: Literal["turn_finished"]
    turn: int
    kind: Literal["first", "refine"]
    verdict: Verdict | None
    answer: str | None
    seconds: float
    tokens: int | None


class RefiningEnded(TypedDict):
    """No further turn follows, for this reason; the synthesis is next."""

    type: Literal["refining_ended"]
    reason: StopReason
    turns: int


Event = TurnStarted | TurnFinished | RefiningEnded


def step_of(metadata: Mapping[str, Any]) -> str:
    """Return the name of the step that made a model call, such as "turn 2, attempt 2", from the call's metadata."""
    step = f"turn {metadata['turn']}" if "turn" in metadata else "synthesis"
    return f"{step}, attempt {metadata['attempt']}" if metadata["attempt"] > 1 else step
