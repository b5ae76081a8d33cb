"""The thread's messages as the model sees them: what was said before, and this run's question."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from llamaberry.graph.state import Input
from llamaberry.graph.thoughts import without_thoughts


class Conversation(NamedTuple):
    """The messages before this run's question, and the question."""

    earlier: list[AnyMessage]
    question: AnyMessage

    @property
    def query(self) -> str:
        """The text of the question."""
        return self.question.text

    def ask(self, instruction: str) -> HumanMessage:
        """Return the question with an instruction below it."""
        content = self.question.content
        if isinstance(content, str):
            return HumanMessage(f"{content}\n\n{instruction}")
        return HumanMessage([*content, {"type": "text", "text": instruction}])


def read_conversation(state: Mapping[str, Any]) -> Conversation:
    """Return the conversation of a run.

    Once the run has turns, or if it has no `query`, its question is the last human message. Otherwise `query` is a new
    question, unless it is already among the messages and a human message still waits for an answer: then a parent graph
    has passed on an old `query`, and the waiting message is the question.

    Raises:
        pydantic.ValidationError: there is no question, or it is too long.
    """
    query, has_turns = state.get("query"), bool(state.get("turns"))
    if not has_turns:
        Input(query=query, messages=state.get("messages", []))
    messages = [_as_text(message) for message in state.get("messages", []) if _reaches_model(message)]
    human = [position for position, message in enumerate(messages) if message.type == "human"]
    waiting = bool(human) and human[-1] == len(messages) - 1
    if query is None or has_turns or (waiting and any(messages[position].text == query for position in human)):
        return Conversation(messages[: human[-1]], messages[human[-1]])
    return Conversation(messages, HumanMessage(query))


def _reaches_model(message: AnyMessage) -> bool:
    """Return whether the model sees a message: a host agent's tool calls and their results stay out."""
    text = without_thoughts(message.text) if message.type == "ai" else message.text.strip()
    has_content = bool(text) or (message.type == "human" and not isinstance(message.content, str))
    return has_content and message.type in ("human", "ai", "system")


def _as_text(message: AnyMessage) -> AnyMessage:
    """Return an AI message without tool calls, which providers refuse, and without the thoughts of its model."""
    return AIMessage(without_thoughts(message.text)) if message.type == "ai" else message
