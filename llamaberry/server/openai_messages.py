"""The conversation in a request of OpenAI's APIs, as the graph's input. Its errors name the field of the request."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel

from llamaberry.graph.state import MAX_QUERY_CHARS, TEXT_PARTS, why_too_large
from llamaberry.server.openai_errors import InvalidRequestError

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
"""The roles that the graph sees, as every model knows them. Tools' messages are dropped: the graph calls no tools."""

Part = dict[str, Any]
Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


class Message(BaseModel):
    """A message of the conversation."""

    role: Role
    content: str | list[Part] | None = None


def check_size(messages: object, param: str) -> None:
    """Raise InvalidRequestError if a conversation is too large, before each of its messages is validated."""
    if isinstance(messages, list) and (reason := why_too_large(messages)):
        raise InvalidRequestError(param, f"it has {reason}: leave some out")


def to_graph(messages: Sequence[tuple[str, Message]], param: str) -> list[dict[str, Any]]:
    """Return the messages in the graph's form; each comes with the field of its content, such as "messages.0.content".

    Raises:
        InvalidRequestError: there is no question, or a part of a message cannot be read.
    """
    conversation = []
    for field, message in messages:
        if message.role not in _ROLES or (message.content is None and message.role != "user"):
            continue
        content = _read_content(message.content, field)
        conversation.append({"role": _ROLES[message.role], "content": content})
    question = next((field for field, message in reversed(messages) if message.role == "user"), None)
    if question is None:
        raise InvalidRequestError(param, "there is no user message: the last one is the question")
    content = next(message["content"] for message in reversed(conversation) if message["role"] == "user")
    _check_question(content, question)
    return conversation


def _check_question(content: str | list[Part], param: str) -> None:
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    if not text.strip():
        cause = "blank" if isinstance(content, str) else "an image without a text"
        raise InvalidRequestError(param, f"the question is {cause}: write what is asked")
    if len(text) > MAX_QUERY_CHARS:
        raise InvalidRequestError(param, f"the question has {len(text):,} characters: the limit is {MAX_QUERY_CHARS:,}")


def _read_content(content: str | list[Part] | None, param: str) -> str | list[Part]:
    """Return the content as a text or, if there are images, as text parts and images.

    Adjacent texts are one: LangChain's clients look at each part in each call.
    """
    if content is None:
        raise InvalidRequestError(param, "it is null: write a text")
    if isinstance(content, str):
        return content
    parts: list[Part] = []
    texts: list[str] = []
    for number, part in enumerate(content):
        place, kind = f"{param}.{number}", part.get("type")
        if kind in ("image_url", "input_image"):
            if texts:
                parts.append({"type": "text", "text": "".join(texts)})
                texts = []
            parts.append(_read_image(part, place))
        elif isinstance(kind, str) and kind in TEXT_PARTS:
            text = part.get(TEXT_PARTS[kind])
            if not isinstance(text, str):
                raise InvalidRequestError(f"{place}.{TEXT_PARTS[kind]}", "it should be a string")
            texts.append(text)
        else:
            raise InvalidRequestError(f"{place}.type", f"{str(kind)[:50]!r} is not supported: send texts and images")
    if not parts:
        return "".join(texts)
    return [*parts, {"type": "text", "text": "".join(texts)}] if texts else parts


def _read_image(part: Part, place: str) -> Part:
    """Return an image of either API: chat completions nest its URL, responses do not."""
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise InvalidRequestError(f"{place}.image_url", "it should hold the image's URL")
    return {"type": "image_url", "image_url": {"url": url}}
