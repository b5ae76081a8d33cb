"""A person in the loop: what a paused run shows, and how a person may reply."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from llamaberry.graph.turn import Turn

NextNode = Literal["refine_turn", "synthesize"]


class Decision(BaseModel):
    """What a person replies to a pause: `Command(resume={"action": "continue", "hint": "…"})`, or the action alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    action: Literal["continue", "stop"] = Field(
        default="continue", description='"continue", or "stop": no further refine turn, on to the synthesis.'
    )
    hint: str | None = Field(
        default=None, min_length=1, description="What the next step must take into account; it is part of its prompt."
    )
    answer: str | None = Field(default=None, min_length=1, description="Another answer, in place of the turn's own.")


class Pause(TypedDict):
    """The value of a paused run's interrupt."""

    type: Literal["review"]
    question: str
    turn: Turn
    """The newest turn."""
    next: NextNode
    """The node that runs after the pause."""
    reply: dict[str, str]
    """The fields of a Decision, and what each does."""
    problem: str | None
    """What was wrong with the previous reply to this pause; None at first."""
