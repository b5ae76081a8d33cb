"""The graph's input, state and output. Everything but the messages is plain JSON."""

from typing import Annotated, Literal

from langchain_core.messages import AnyMessage, HumanMessage
from langgraph.channels import EphemeralValue
from langgraph.graph.message import add_messages
from pydantic import BaseModel, ConfigDict, Field, model_validator, with_config

# typing's own TypedDict leaves Studio without a form on Python 3.11.
from typing_extensions import TypedDict

from llamaberry.graph.calls import Call, Usage, keep_calls
from llamaberry.graph.check import Check
from llamaberry.graph.turn import Turn, keep_turns

MAX_QUERY_CHARS = 200_000

StopReason = Literal["verified", "max_turns", "agreement", "budget", "deadline", "error", "review"]


class Input(BaseModel):
    """The question: `query`, or a conversation (`messages`) whose last human message is the question."""

    query: str | None = Field(
        default=None,
        title="Question",
        description="The question of this run. Leave it out to ask with messages.",
    )
    messages: list[AnyMessage] = Field(
        default_factory=list,
        title="Messages",
        description="A conversation: its last human message is the question, the messages before it are its context.",
    )

    @model_validator(mode="after")
    def _has_question(self) -> "Input":
        if self.query is None and not self.messages:
            raise ValueError('nothing was asked: give {"query": "…"} or {"messages": [...]}')
        text = self.query
        if text is None:
            human = [message.text for message in self.messages if isinstance(message, HumanMessage)]
            if not human:
                raise ValueError("messages holds no human message: its last human message is the question")
            text = human[-1]
        if not text.strip():
            raise ValueError(f"the question is blank ({text[:20]!r}): write what is asked")
        if len(text) > MAX_QUERY_CHARS:
            raise ValueError(f"the question has {len(text):,} characters: the limit is {MAX_QUERY_CHARS:,}")
        return self


class RawInput(TypedDict):
    """What the first turn reads: Input's keys as they came. The graph validates them itself.

    If Input were the node's own input schema, LangGraph would validate it whenever it reads a checkpoint: a thread that
    was once asked a blank question could never be read, asked or deleted again.
    """

    query: str
    messages: list[AnyMessage]


@with_config(ConfigDict(use_attribute_docstrings=True))
class Output(TypedDict):
    """The result of a run."""

    query: Annotated[str, EphemeralValue]
    """The question of this run. Each step writes it again, so that the next run on the thread does not find it."""
    messages: Annotated[list[AnyMessage], add_messages]
    """The thread's conversation: each run adds its question and its answer."""
    turns: Annotated[list[Turn], keep_turns]
    """This question's turns, in order."""
    check: Check | None
    """The evidence on the newest turn's answer; None if it was not checked."""
    calls: Annotated[list[Call], keep_calls]
    """Every model call of this run, in order."""
    answer: str
    """The answer to read."""
    concise_answer: str
    """The answer in a sentence or less, comparable by a program."""
    usage: Usage
    """Totals of the calls: tokens, seconds, cost."""
    stop_reason: StopReason | None
    """Why refining ended; None while it goes on."""
    degraded: str | None
    """What is missing, in a sentence, if a run ended with less than planned; otherwise None."""


class State(Output):
    """What the nodes read and write: the output, so that a fork may edit every key of it, and what routing needs."""

    to_check: bool
    """Whether verify is next. Each step writes it, because a router sees no settings."""
