"""A turn: one reply of the model to the question. The reducer keeps every stored turn consistent with its text."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NotRequired

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from llamaberry.graph.reply import ParsedTurn, finish_reason, parse_turn
from llamaberry.graph.reply import Step as Step
from llamaberry.graph.reply import Verdict as Verdict
from llamaberry.graph.tool_calls import ToolCall


@with_config(ConfigDict(use_attribute_docstrings=True))
class Turn(TypedDict):
    """One reply of the model to the question: the first turn's, or a refine turn's."""

    index: int
    """1 for the first turn."""
    kind: Literal["first", "refine"]
    text: str
    """The reply as written, without the thoughts that reasoning models put in `<think>`."""
    steps: list[Step]
    verdict: Verdict | None
    """What a refine turn decided about the previous answer; None in a first turn, or if it decided nothing."""
    answer: str | None
    """The answer that the reply states; None if it states none, never a guess."""
    model: str
    """The model that wrote it, as "provider:name"."""
    usage: UsageMetadata | None
    """Tokens, as the provider counted them."""
    seconds: float
    """Wall time of the turn, from the first attempt to the end of the reply."""
    finish_reason: str | None
    """Why the model stopped writing: "stop", or "length" if max_tokens cut the reply."""
    hint: NotRequired[str]
    """A comment on this turn by a person or a checking node: the next step takes it into account."""
    tool_calls: NotRequired[list[ToolCall]]
    """The tools that the model called before it wrote this turn, in order; missing if it called none."""


def new_turn(
    message: AIMessage, *, index: int, model: str, seconds: float, tool_calls: Sequence[ToolCall] = ()
) -> Turn:
    """Return a reply as the turn with this index, not parsed yet: the reducer does that. `seconds` is its wall time."""
    turn = Turn(
        index=index,
        kind="first" if index == 1 else "refine",
        text=message.text,
        steps=[],
        verdict=None,
        answer=None,
        model=model,
        usage=message.usage_metadata,
        seconds=round(seconds, 3),
        finish_reason=finish_reason(message),
    )
    return {**turn, "tool_calls": list(tool_calls)} if tool_calls else turn


def keep_turns(turns: list[Turn], update: list[Turn]) -> list[Turn]:
    """Reduce the stored turns and an update to one turn per index, in order, each parsed from its text.

    A first turn starts the list over, so that a second question on a thread, a fork and a parent graph that shares the
    key never see the last question's turns. A refine turn replaces the one with its index. A fork may send only the
    fields that it edits, with the index (`{"index": 2, "answer": "41"}`), or the whole turn, as Studio does. If the
    text is edited, steps, verdict and answer are those of the new text; an edited answer is added below the text.

    Raises:
        ValueError: an edit names no turn, or one that does not exist.
    """
    before = {turn["index"]: turn for turn in turns}
    result = dict(before)
    for edit in update:
        if "index" not in edit:
            raise ValueError(f"an edit of a turn needs its index, but has only {', '.join(sorted(edit))}")
        index = edit["index"]
        old = result.get(index)
        if old is None and (missing := Turn.__required_keys__ - edit.keys()):
            raise ValueError(f"there is no turn {index} to edit, and a new one lacks {', '.join(sorted(missing))}")
        turn: Turn = {**old, **edit} if old else {**edit}
        if edit.get("kind") == "first":
            result = {}
        result[index] = _parsed(turn, before.get(index))
    return [result[index] for index in sorted(result)]


def _parsed(turn: Turn, old: Turn | None) -> Turn:
    """Return the turn with the steps, verdict and answer of its text, into which an edited answer goes first."""
    first = turn["index"] == 1
    parsed = _parse(turn["text"], first)
    answer = turn["answer"]
    left_over = old is not None and answer == old["answer"] and turn["text"] != old["text"]
    if answer is not None and answer != parsed.answer and not left_over:
        section = f"## Answer\n{answer}"
        text = parsed.text if parsed.text.endswith(section) else f"{parsed.text}\n\n{section}".lstrip()
        parsed = parse_turn(text, first=first)._replace(answer=answer)
    steps = [step.copy() for step in parsed.steps]
    return {**turn, "text": parsed.text, "steps": steps, "verdict": parsed.verdict, "answer": parsed.answer}


@lru_cache(maxsize=256)  # LangGraph reduces each update twice: for the routers, and for the state
def _parse(text: str, first: bool) -> ParsedTurn:
    return parse_turn(text, first=first)
