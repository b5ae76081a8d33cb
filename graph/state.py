"""What flows through the graph: the question, its turns and the answer; plain JSON, but for the messages."""

from typing import Annotated, Literal, NotRequired

from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langgraph.channels import EphemeralValue
from langgraph.graph.message import add_messages
from pydantic import BaseModel, ConfigDict, Field, model_validator, with_config

# typing's own TypedDict leaves Studio without a form on Python 3.11.
from typing_extensions import TypedDict

MAX_QUERY_CHARS = 200_000

StopReason = Literal["max_turns", "agreement", "budget", "deadline", "error", "review"]
Verdict = Literal["keep", "revise"]

_told = with_config(ConfigDict(use_attribute_docstrings=True))
"""Studio shows what stands below a field of a TypedDict."""


class Step(TypedDict):
    """One numbered step of a turn's reasoning."""

    statement: str
    explanation: str


@_told
class Turn(TypedDict):
    """One reply of the model to the question: the first turn's, or a refine turn's."""

    index: int
    """1 for the first turn."""
    kind: Literal["first", "refine"]
    text: str
    """The reply as written, without the thoughts that reasoning models put in `<think>`."""
    steps: list[Step]
    verdict: Verdict | None
    """What a refine turn decided about the answer before it; None in a first turn, or where it decided nothing."""
    answer: str | None
    """The answer that the reply states; None where it states none, never a guess."""
    model: str
    """The model that was asked, as "provider:name"."""
    usage: UsageMetadata | None
    """Tokens, as the provider counted them."""
    seconds: float
    """Wall time of the turn, from the first attempt to the end of the reply."""
    finish_reason: str | None
    """Why the model stopped writing: "stop"; "length" where max_tokens cut it."""
    hint: NotRequired[str]
    """What a person, or a node that checks turns, has to say about this one: the next step takes it into account."""


def keep_turns(turns: list[Turn], update: list[Turn]) -> list[Turn]:
    """Reduce a list of turns and an update to it: one turn for each index, in order.

    A first turn begins the list anew, so that a second question on a thread, a fork and a parent graph that shares the
    key never see the last question's turns. A refine turn takes the place of the one with its index. A fork may send
    only the fields that it edits, with the index: `{"index": 2, "answer": "41"}`; or the whole turn, as Studio does.
    Where the text alone is edited, the old answer is gone: the next node reads the new one in the text.

    Raises:
        ValueError: an edit names a turn that is not there.
    """
    before = {turn["index"]: turn for turn in turns}
    kept = dict(before)
    for edit in update:
        index = edit["index"]
        old = kept.get(index)
        if old is None and (missing := Turn.__required_keys__ - edit.keys()):
            raise ValueError(f"there is no turn {index} to edit, and a new one lacks {', '.join(sorted(missing))}")
        turn: Turn = {**old, **edit} if old else {**edit}
        if (old and "text" in edit and "answer" not in edit) or _differ_in_text_alone(before.get(index), turn):
            turn["answer"] = None
        if edit.get("kind") == "first":
            kept = {}
        kept[index] = turn
    return [kept[index] for index in sorted(kept)]


def _differ_in_text_alone(old: Turn | None, turn: Turn) -> bool:
    """Whether a person has edited the text: a reply of its own has seconds and tokens of its own."""
    return old is not None and turn != old and {**turn, "text": old["text"]} == old


class Input(BaseModel):
    """The question to think about: `query`, or a conversation (`messages`) whose last human message asks it."""

    query: str | None = Field(
        default=None,
        title="Question",
        description="The question of this run. Leave it out to ask by messages.",
    )
    messages: list[AnyMessage] = Field(
        default_factory=list,
        title="Messages",
        description="A conversation: its last human message is the question, what comes before is its context.",
    )

    @model_validator(mode="after")
    def _asks_something(self) -> "Input":
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
    """What the first turn reads: Input's keys as they came. It validates them itself.

    Were Input the node's own input schema, LangGraph would validate it whenever it reads a checkpoint: a thread that
    was once asked a blank question could then never be read, asked or deleted again.
    """

    query: str
    messages: list[AnyMessage]


@_told
class Output(TypedDict):
    """What a run gives back."""

    query: Annotated[str, EphemeralValue]
    """The question of this run. Each node writes it anew, so that the next run on the thread does not find it."""
    messages: Annotated[list[AnyMessage], add_messages]
    """The thread's conversation: each run adds its question and its answer."""
    turns: Annotated[list[Turn], keep_turns]
    """This question's turns, in order."""
    answer: str
    """What the user should read."""
    concise_answer: str
    """The answer in a sentence or less, comparable by a program."""
    stop_reason: StopReason | None
    """Why refining ended; None while it goes on."""
    degraded: str | None
    """What was lost, in a sentence, when a run ended on less than it planned; None when all is well."""


class State(Output):
    """What the nodes read and write. It holds no more than the answer does: a fork may edit every key of it."""
