"""The synthesis: weigh all turns, and write the answer that the user reads."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage

from llamaberry.graph.answers import best_turn
from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError
from llamaberry.graph.reply import read_synthesis, reread
from llamaberry.graph.state import State, Turn
from llamaberry.models.client import ModelReply
from llamaberry.nodes import refine_turn as refine
from llamaberry.nodes._conversation import question_of
from llamaberry.nodes._node import Node

ASK = """\
This is the synthesis. Weigh all the turns above by their reasons: a later turn is not better for being later. Then \
answer the question for someone who has read none of them. Reply under these headings: `## Analysis of Turns`, \
`## Comparison`, `## Final Reasoning`, `## Comprehensive Answer`, `## Concise Answer` (the bare result, in a sentence \
or less)."""


def prompt(state: State, context: Context) -> list[AnyMessage] | None:
    """Return the last refine turn's prompt, its reply, and what is asked of the synthesis.

    None where there is nothing to weigh, because a single turn was asked for, or nothing to weigh it with, because a
    turn has failed: then the best answer of the turns is the answer.
    """
    if state["stop_reason"] == "error" or (len(state["turns"]) == 1 and state["stop_reason"] == "max_turns"):
        return None
    return [*refine.prompt(state, context)[:-1], refine.asked(ASK, state["turns"][-1], state)]


def update(state: State, context: Context, asked: ModelReply | None) -> dict[str, Any]:
    """Write the answer, and say in `degraded` what was lost on the way to it.

    The answer's message keeps what the synthesis cost (`usage_metadata`) and the reply as written
    (`response_metadata`): what the user paid for is in the thread.
    """
    turns = reread(state["turns"])
    source, answer, concise = _best(turns)
    degraded = state.get("degraded")
    lost = [degraded] if degraded else []
    message = AIMessage(answer)
    if asked:
        text, comprehensive, short = read_synthesis(asked.reply)
        answer, concise = comprehensive or answer, short or concise
        missing = [name for name, said in (("comprehensive", comprehensive), ("concise", short)) if not said]
        if missing:
            lost.append(f"The synthesis states no {' and no '.join(missing)} answer: {source} stands for it.")
        ended = asked.reply.response_metadata | {"model": asked.model, "seconds": round(asked.seconds, 3), "text": text}
        message = AIMessage(answer, usage_metadata=asked.reply.usage_metadata, response_metadata=ended)
    elif not concise and source not in (degraded or ""):
        lost.append(f"No turn states an answer under its heading: {source} stands for it.")
    cut = [f"turn {turn['index']}" for turn in state["turns"] if turn["finish_reason"] == "length"]
    cut += ["the synthesis"] if message.response_metadata.get("finish_reason") == "length" else []
    if cut:
        lost.append(f"Cut short at max_tokens ({context.max_tokens}; --max-tokens raises it): {', '.join(cut)}.")
    return {
        **({"turns": turns} if turns != state["turns"] else {}),  # a person has edited a text
        "query": question_of(state),
        "answer": answer,
        "concise_answer": concise,
        "messages": [message],
        "degraded": " ".join(lost) or None,
    }


def lost(state: State, context: Context, error: ModelError) -> dict[str, Any]:
    """Answer with the best of the turns."""
    source, *_ = _best(reread(state["turns"]))
    why = f"The synthesis failed, and {source} stands for it: {error}."
    return {**update({**state, "degraded": why}, context, None), "stop_reason": "error"}


def _best(turns: Sequence[Turn]) -> tuple[str, str, str]:
    """Return the best of the turns: what it is, its answer to read, and its answer to compare ("" for none)."""
    if best := best_turn(turns):
        return f"turn {best['index']}'s answer", best["answer"] or "", best["answer"] or ""
    return f"the text of turn {turns[-1]['index']}", turns[-1]["text"], ""


synthesize = Node("synthesize", prompt, update, lost)
