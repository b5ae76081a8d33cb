"""The graph's input, state and output. Everything but the messages is plain JSON."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from langchain_core.messages import AnyMessage, HumanMessage
from langgraph.channels import EphemeralValue
from langgraph.graph.message import add_messages
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator, with_config

# typing's own TypedDict leaves Studio without a form on Python 3.11.
from typing_extensions import TypedDict

from llamaberry.graph.calls import Call, Usage, keep_calls
from llamaberry.graph.check import Check
from llamaberry.graph.turn import Turn, keep_turns

MAX_QUERY_CHARS = 200_000
MAX_MESSAGES, MAX_PARTS, MAX_IMAGES = 1_000, 2_000, 20
"""Of a conversation. Images are all parts that are not text."""
MAX_CHARS = 1_000_000
"""Of a conversation; the question alone may have MAX_QUERY_CHARS."""
TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
"""The types of content parts that are text, here and in OpenAI's APIs, and the key of the text."""

_WITH_IMAGES = ("user", "human", "system", "developer")
"""Whose images reach a model: of the other messages it sees the text at most."""

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

    @field_validator("messages", mode="before")
    @classmethod
    def _check_size(cls, messages: Any) -> Any:
        if isinstance(messages, Sequence) and (reason := why_too_large(messages)):
            raise ValueError(f"the conversation has {reason}: leave some out, or start a new thread")
        return messages

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
        if not all(map(_is_unicode, (text, *(message.text for message in self.messages)))):
            raise ValueError("a text has half of a surrogate pair, which no request can contain: decode it as UTF-8")
        return self


def why_too_large(messages: Sequence[Any]) -> str | None:
    """Return which limit a conversation of dicts or LangChain's messages exceeds, in words; None if it exceeds none."""
    if len(messages) > MAX_MESSAGES:
        return f"{len(messages):,} messages (the limit is {MAX_MESSAGES:,})"
    texts: list[str] = []
    parts: list[Any] = []
    images = 0
    for message in messages:
        if isinstance(message, dict):
            content, kind = message.get("content"), message.get("role", message.get("type"))
        else:
            content, kind = getattr(message, "content", None), getattr(message, "type", None)
        if isinstance(content, str):
            texts.append(content)
        elif isinstance(content, list):
            parts += content
            if len(parts) > MAX_PARTS:
                return f"more than {MAX_PARTS:,} content parts"
            own = [text_of(part) for part in content]
            texts += [text for text in own if text is not None]
            images += own.count(None) if kind in _WITH_IMAGES else 0
    if images > MAX_IMAGES:
        return f"{images} images (the limit is {MAX_IMAGES})"
    if (number := sum(map(len, texts))) > MAX_CHARS:
        return f"{number:,} characters (the limit is {MAX_CHARS:,})"
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def text_of(part: Any) -> str | None:
    """Return the text of a content part; None for an image and the like."""
    if isinstance(part, dict):
        part = part.get(TEXT_PARTS.get(str(part.get("type")), ""))
    return part if isinstance(part, str) else None


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
    structured: Any
    """The answer in the requested schema (`answer_schema`), as JSON; None if none was requested, or none fits."""
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
    to_structure: Literal["write", "repair"] | None
    """Whether the answer is put into the requested schema next, for the first or the second time."""
