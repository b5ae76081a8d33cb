"""The first turn: take the question, reason step by step, and answer."""

from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage, SystemMessage

from llamaberry.graph.context import Context
from llamaberry.graph.reply import read_turn
from llamaberry.graph.routing import why_stop
from llamaberry.graph.state import Input, State
from llamaberry.models.client import ModelReply
from llamaberry.nodes._conversation import conversation
from llamaberry.nodes._node import Node

ASK = """\
This is the first turn. Reason step by step, then answer. Reply under these headings: \
`## Reasoning` (numbered steps, each with its `**Explanation:**`), `## Answer`."""


def prompt(state: State, context: Context) -> list[AnyMessage]:
    """Return the system prompt, the conversation so far, and the question with what is asked of the first turn.

    Raises:
        pydantic.ValidationError: nothing is asked, or too much.
    """
    Input(query=state.get("query"), messages=state.get("messages", []))
    *earlier, question = conversation(state)
    content = question.content
    asked = f"{content}\n\n{ASK}" if isinstance(content, str) else [*content, {"type": "text", "text": ASK}]
    return [SystemMessage(context.system_prompt), *earlier, HumanMessage(asked)]


def update(state: State, context: Context, asked: ModelReply) -> dict[str, Any]:
    """Begin the turns of this question anew, and write its message where the conversation lacks it."""
    question = conversation(state)[-1]
    turn = read_turn(asked.reply, index=1, model=asked.model, seconds=asked.seconds)
    return {
        "query": question.text,
        "messages": [] if question in state["messages"] else [question],
        "turns": [turn],
        "answer": "",
        "concise_answer": "",
        "stop_reason": why_stop([turn], context),
        "degraded": None,
    }


first_turn = Node("first_turn", prompt, update)
