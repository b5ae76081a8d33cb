"""The first turn: take the question, reason step by step, and answer."""

from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage

from llamaberry.graph.context import Context
from llamaberry.graph.routing import why_stop
from llamaberry.graph.state import Question, State
from llamaberry.nodes._model import Asked
from llamaberry.nodes._node import Node
from llamaberry.nodes._reply import read_turn

ASK = """\
This is the first turn. Reason step by step, then answer. Reply under these headings: \
`## Reasoning` (numbered steps, each with its `**Explanation:**`), `## Answer`."""


def prompt(state: State, context: Context) -> list[AnyMessage]:
    """Return the system prompt, the conversation so far, and the question with what is asked of the first turn.

    Raises:
        pydantic.ValidationError: nothing is asked, or too much.
    """
    Question(query=state.get("query"), messages=state.get("messages", []))
    *earlier, question = conversation(state)
    content = question.content
    asked = f"{content}\n\n{ASK}" if isinstance(content, str) else [*content, {"type": "text", "text": ASK}]
    return [SystemMessage(context.system_prompt), *earlier, HumanMessage(asked)]


def update(state: State, context: Context, asked: Asked) -> dict[str, Any]:
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


def conversation(state: State) -> list[AnyMessage]:
    """Return what was said before, and this run's question as the last message.

    That is the last human message, once the first turn is done or where there is no `query`. A `query` that has not
    been said yet is a question of its own; one that stands above a human message which nobody has answered is an old
    one, which a parent graph handed down again.
    """
    said = [_plain(message) for message in state.get("messages", []) if _counts(message)]
    human = [place for place, message in enumerate(said) if message.type == "human"]
    query = state.get("query")
    waiting = bool(human) and human[-1] == len(said) - 1
    if query is None or state.get("turns") or (waiting and any(said[place].text == query for place in human)):
        return said[: human[-1] + 1]
    return [*said, HumanMessage(query)]


def _counts(message: AnyMessage) -> bool:
    """Whether a message goes to the model: a host agent's tool calls and their results do not."""
    said = bool(message.text.strip()) or (message.type == "human" and not isinstance(message.content, str))
    return said and message.type in ("human", "ai", "system")


def _plain(message: AnyMessage) -> AnyMessage:
    """Providers refuse tool calls without their results, and a model's own thoughts."""
    return AIMessage(message.text) if message.type == "ai" else message


first_turn = Node("first_turn", prompt, update)
