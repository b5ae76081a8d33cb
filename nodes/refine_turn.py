"""A refine turn: check what was thought before, and keep the answer or revise it."""

from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage

from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError
from llamaberry.graph.reply import as_written, read_turn, reread
from llamaberry.graph.routing import why_stop
from llamaberry.graph.state import State, Turn
from llamaberry.models.client import ModelReply
from llamaberry.nodes import first_turn as first
from llamaberry.nodes._conversation import question_of
from llamaberry.nodes._node import Node

ASK = """\
This is a refine turn. Test the answer above against the question by a way of its own. Name a specific error, or keep \
the answer. Reply under these headings: `## Review` (what you tested; the error, or that none was found), \
`## Verdict` (one word: keep or revise), `## Reasoning` (numbered steps, each with its `**Explanation:**`), \
`## Answer`."""

AGAIN = 2_000
"""The most characters of a question that is said again with each refine turn, and with the synthesis.

Far from the question a small model checks the system prompt's worked example in its place. A long question would cost
more than it helps.
"""


def prompt(state: State, context: Context) -> list[AnyMessage]:
    """Return the first turn's prompt, each turn as it was written, and after each what is asked of a refine turn."""
    messages = first.prompt(state, context)
    for turn in state["turns"]:
        messages += [as_written(turn), asked(ASK, turn, state)]
    return messages


def asked(ask: str, turn: Turn, state: State) -> HumanMessage:
    """Return the message that asks for what follows a turn: the question again, what is due, and what there is to say.

    That is the hint which was given for the turn, and that it states no answer.
    """
    question = question_of(state)
    parts = [f"The question was:\n\n{question}"] if 0 < len(question) <= AGAIN else []
    parts.append(ask)
    if turn["answer"] is None:
        parts.append("The turn above states no answer under its heading: state one under yours.")
    if hint := turn.get("hint"):
        parts.append(f"Take this remark on the turn above into account:\n{hint}")
    return HumanMessage("\n\n".join(parts))


def update(state: State, context: Context, asked: ModelReply) -> dict[str, Any]:
    """Add a turn, and write whether it was the last one."""
    before = reread(state["turns"])
    turn = read_turn(asked.reply, index=before[-1]["index"] + 1, model=asked.model, seconds=asked.seconds)
    edited = before != state["turns"]
    return {
        "query": question_of(state),
        "turns": [*before, turn] if edited else [turn],
        "stop_reason": why_stop([*before, turn], context),
    }


def lost(state: State, context: Context, error: ModelError) -> dict[str, Any]:
    """End refining: the turns before this one stand."""
    index = state["turns"][-1]["index"] + 1
    why = f"Turn {index} failed, and the turns before it stand: {error}."
    return {"query": question_of(state), "stop_reason": "error", "degraded": why}


refine_turn = Node("refine_turn", prompt, update, lost)
