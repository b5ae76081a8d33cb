"""The thread's messages as the model sees them: what was said before, and this run's question."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from llamaberry.graph.state import Input, text_of
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
        content = _merge(self.question).content
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
    Input(query=None if has_turns else query, messages=state.get("messages", []))
    messages = [message for message in state.get("messages", []) if _reaches_model(message)]
    human = [position for position, message in enumerate(messages) if message.type == "human"]
    waiting = bool(human) and human[-1] == len(messages) - 1
    question: AnyMessage
    if query is None or has_turns or (waiting and any(messages[position].text == query for position in human)):
        messages, question = messages[: human[-1]], messages[human[-1]]
    else:
        question = HumanMessage(query)
    return Conversation([_as_text(message) for message in messages], question)


def _reaches_model(message: AnyMessage) -> bool:
    """Return whether the model sees a message: a host agent's tool calls and their results stay out."""
    text = without_thoughts(message.text) if message.type == "ai" else message.text.strip()
    has_content = bool(text) or (message.type == "human" and not isinstance(message.content, str))
    return has_content and message.type in ("human", "ai", "system")


def _as_text(message: AnyMessage) -> AnyMessage:
    """Return an AI message without tool calls, which providers refuse, and without the thoughts of its model."""
    if not isinstance(message, AIMessage):
        return _merge(message)
    text = without_thoughts(message.text)
    has_more = (
        message.tool_calls or message.invalid_tool_calls or message.additional_kwargs or message.response_metadata
    )
    return message if message.content == text and not has_more and not message.name else AIMessage(text)


def _merge(message: AnyMessage) -> AnyMessage:
    """Return a message in which adjacent text parts are one: LangChain's clients look at each part in each call."""
    if isinstance(message.content, str):
        return message
    parts: list[str | dict[Any, Any]] = []
    for is_text, group in groupby(message.content, lambda part: text_of(part) is not None):
        own = list(group)
        parts += [{"type": "text", "text": "".join(text_of(part) or "" for part in own)}] if is_text else own
    whole = text_of(parts[0]) if len(parts) == 1 else None
    return message.model_copy(update={"content": parts if whole is None else whole})
