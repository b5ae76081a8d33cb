"""What is asked, and what was said before: a thread's messages as the model is to see them."""

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from llamaberry.graph.state import State


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


def question_of(state: State) -> str:
    """Return the text of this run's question."""
    return conversation(state)[-1].text


def _counts(message: AnyMessage) -> bool:
    """Whether a message goes to the model: a host agent's tool calls and their results do not."""
    said = bool(message.text.strip()) or (message.type == "human" and not isinstance(message.content, str))
    return said and message.type in ("human", "ai", "system")


def _plain(message: AnyMessage) -> AnyMessage:
    """Providers refuse tool calls without their results, and a model's own thoughts."""
    return AIMessage(message.text) if message.type == "ai" else message
