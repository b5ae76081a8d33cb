"""The first turn: reason about the question step by step, and answer."""

from typing import Any

from langchain_core.messages import AnyMessage, SystemMessage

from llamaberry.graph.turn import new_turn
from llamaberry.models.client import ModelReply
from llamaberry.nodes._node import Attempt, Node

ASK = """\
This is the first turn. Reason step by step, then answer. Reply under these headings: \
`## Reasoning` (numbered steps, each with its `**Explanation:**`), `## Answer`."""


def prompt(attempt: Attempt) -> list[AnyMessage]:
    """Return the system prompt, the conversation so far, and the question with the instruction of the first turn."""
    ask = attempt.context.instructions.get("first_turn", ASK)
    return [SystemMessage(attempt.context.system_prompt), *attempt.conversation.earlier, attempt.conversation.ask(ask)]


def update(attempt: Attempt, reply: ModelReply) -> dict[str, Any]:
    """Return the first turn."""
    message, model, seconds, tool_calls = reply
    return {"turns": [new_turn(message, index=1, model=model, seconds=seconds, tool_calls=tool_calls)]}


first_turn = Node(prompt, update)
