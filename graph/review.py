"""A person in the loop: what a paused run shows, and what may be answered to it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from llamaberry.graph.state import Turn


class Decision(BaseModel):
    """What a person answers to a pause: `Command(resume={"action": "continue", "hint": "…"})`, or the action alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    action: Literal["continue", "stop"] = Field(
        default="continue", description='"continue", or "stop": no further refine turn, on to the synthesis.'
    )
    hint: str | None = Field(
        default=None, min_length=1, description="What the next step must take into account; it is part of its prompt."
    )
    answer: str | None = Field(default=None, min_length=1, description="Another answer, in place of the turn's own.")


class Pause(TypedDict):
    """What the interrupt of a paused run holds."""

    type: Literal["review"]
    question: str
    turn: Turn
    """The turn that was written last."""
    next: Literal["refine_turn", "synthesize"]
    """The node that goes on."""
    reply: dict[str, str]
    """What may be answered: a Decision's fields, and what each of them does."""
    problem: str | None
    """What was wrong with the answer that was given to this pause before; None at first."""
