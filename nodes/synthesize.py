"""The synthesis: weigh all turns, and write the answer that the user reads."""

from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from llamaberry.graph.answers import best_turn
from llamaberry.graph.context import Context
from llamaberry.graph.state import State
from llamaberry.nodes import refine_turn as refine
from llamaberry.nodes._model import Asked
from llamaberry.nodes._node import Node
from llamaberry.nodes._reply import read_synthesis

ASK = """\
This is the synthesis. Weigh all the turns above by their reasons: a later turn is not better for being later. Then \
answer the question for someone who has read none of them. Reply under these headings: `## Analysis of Turns`, \
`## Comparison`, `## Final Reasoning`, `## Comprehensive Answer`, `## Concise Answer` (the bare result, in a sentence \
or less)."""


def prompt(state: State, context: Context) -> list[AnyMessage] | None:
    """Return the last refine turn's prompt, its reply, and what is asked of the synthesis.

    None where a single turn was asked for: there is nothing to weigh, and its answer is the answer.
    """
    if len(state["turns"]) == 1 and state["stop_reason"] == "max_turns":
        return None
    return [*refine.prompt(state, context)[:-1], HumanMessage(ASK)]


def update(state: State, context: Context, asked: Asked | None) -> dict[str, Any]:
    """Write the answer, and say in `degraded` where it is not the synthesis's own.

    The answer's message keeps what the synthesis cost (`usage_metadata`) and the reply as written
    (`response_metadata`): what the user paid for is in the thread.
    """
    turns = state["turns"]
    best = best_turn(turns)
    stated = (best and best["answer"]) or ""
    if asked is None:
        answer = stated or turns[-1]["text"]
        lost = None if best else "The turn states no answer under its heading: its whole text stands for it."
        return {"answer": answer, "concise_answer": stated, "messages": [AIMessage(answer)], "degraded": lost}
    text, comprehensive, concise = read_synthesis(asked.reply)
    answer = comprehensive or stated or turns[-1]["text"]
    written = asked.reply.response_metadata | {"model": asked.model, "seconds": round(asked.seconds, 3), "text": text}
    message = AIMessage(answer, usage_metadata=asked.reply.usage_metadata, response_metadata=written)
    missing = [name for name, said in (("comprehensive", comprehensive), ("concise", concise)) if not said]
    source = f"turn {best['index']}'s answer" if best else "the text of the last turn"
    lost = f"The synthesis states no {' and no '.join(missing)} answer: {source} stands for it." if missing else None
    return {"answer": answer, "concise_answer": concise or stated, "messages": [message], "degraded": lost}


synthesize = Node("synthesize", prompt, update)
