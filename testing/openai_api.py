"""Requests of OpenAI's client to the OpenAI-compatible API of a server."""

from pathlib import Path
from typing import Any, NamedTuple

import openai

from testing.scripted_groq import ScriptedGroq

QUESTION: Any = [{"role": "user", "content": "What is 6 times 7?"}]


class Api(NamedTuple):
    """A server, its scripted Groq and its log."""

    address: str
    groq: ScriptedGroq
    log: Path

    @property
    def url(self) -> str:
        """The base URL for OpenAI's client."""
        return f"{self.address}/v1"


def ask(client: openai.OpenAI, messages: Any = QUESTION, model: str = "llamaberry", **more: Any) -> Any:
    """Ask a question."""
    return client.chat.completions.create(model=model, messages=messages, **more)


def streamed(client: openai.OpenAI, **more: Any) -> tuple[str, str, list[Any]]:
    """Return a stream's reasoning, its content, and its chunks."""
    chunks = list(ask(client, stream=True, **more))
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    reasoning = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    return reasoning, "".join(delta.content or "" for delta in deltas), chunks


def error_fields(error: openai.APIError) -> tuple[Any, ...]:
    """Return an error's status (None in a stream), type, code and param."""
    body: Any = error.body
    assert set(body) == {"message", "type", "param", "code"}
    return getattr(error, "status_code", None), body["type"], body["code"], body["param"]


def message_of(error: openai.APIError) -> str:
    """Return an error's message."""
    body: Any = error.body
    return str(body["message"])
