"""The dials of one run. No key and no address is ever among them: those live in the environment."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from llamaberry.graph.review import Review
from llamaberry.graph.system_prompt import SYSTEM_PROMPT


class Context(BaseModel):
    """How one run thinks: which model, how many turns, when to stop. Frozen; an unknown or bad value is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    model: str = Field(
        default="auto",
        min_length=1,
        title="Model",
        description='"auto" (Groq where GROQ_API_KEY is set, else the local model), "local", or "provider:model", '
        'such as "groq:openai/gpt-oss-120b". A name without a provider is one of Groq\'s.',
    )
    max_turns: int = Field(
        default=3,
        ge=1,
        le=10,
        title="Turns",
        description="The most turns before the synthesis. With 1 the first turn's answer is the answer: one call.",
    )
    early_stop: bool = Field(
        default=False,
        title="Stop on agreement",
        description="End refining when two turns in a row give the same answer.",
    )
    temperature: float = Field(
        default=0.7,
        ge=0,
        le=2,
        title="Temperature",
        description="How freely the model picks its words: 0 is the most repeatable.",
    )
    max_tokens: int = Field(
        default=2048,
        ge=64,
        le=65536,
        title="Tokens of a reply",
        description="The most tokens of each reply. A provider may count them against its rate limit in advance.",
    )
    token_budget: int | None = Field(
        default=None,
        ge=1,
        title="Token budget",
        description="Tokens of the whole run, prompts and replies: once reached, no further refine turn begins.",
    )
    deadline_s: float | None = Field(
        default=None,
        gt=0,
        title="Deadline",
        description="Seconds of the whole run: once reached, no further refine turn begins.",
    )
    turn_timeout_s: float = Field(
        default=60,
        gt=0,
        le=3600,
        title="Time-out of a call",
        description="Seconds that one model call may take. The local model gets ten times as long.",
    )
    review: Review = Field(
        default="none",
        title="Review",
        description="Where the run pauses for a person: nowhere, after each turn, or before the synthesis alone. "
        "It needs a checkpointer.",
    )
    system_prompt: str = Field(
        default=SYSTEM_PROMPT,
        min_length=1,
        title="System prompt",
        description="The craft of all three jobs: the first turn, the refine turns and the synthesis.",
        json_schema_extra={
            "langgraph_nodes": ["first_turn", "refine_turn", "synthesize"],
            "langgraph_type": "prompt",
        },
    )


def resolve_context(given: object) -> Context:
    """Return the Context of this run, whatever object the graph was run with.

    A run in-process may give none (the defaults hold), and inside a parent graph the context is the parent's own
    object. The dials are taken from it where it is a Context, or where it holds one as `llamaberry` (an attribute or a
    key; a dict of dials will do). Fields of other names are the parent's: they are never read.

    Raises:
        pydantic.ValidationError: a dial is unknown or out of its bounds.
    """
    if isinstance(given, Context):
        return given
    held: Any = given.get("llamaberry") if isinstance(given, Mapping) else getattr(given, "llamaberry", None)
    return Context.model_validate(held if held is not None else {})
