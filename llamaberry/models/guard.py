"""Safeguards of a model call: replies are bounded, keys are redacted, connections are closed."""

import asyncio
import traceback
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import httpx
from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs

HIDDEN_ID = "do-not-render-"
"""How the ids of replies begin: front ends of LangGraph's show no message with such an id (docs/studio.md)."""


class Guard(BaseCallbackHandler):
    """Cancels a streamed call whose reply exceeds `max_chars`, and redacts `secrets` in the error of a failed one.

    It also marks the reply, before LangGraph streams it, as none of the conversation's messages.
    """

    run_inline = True
    ignore_chat_model = True  # otherwise LangChain formats the whole prompt for this handler in each call

    def __init__(self, max_chars: int, secrets: Sequence[str]) -> None:
        self.max_chars = max_chars
        self.secrets = secrets
        self.call: asyncio.Future[AIMessage] | None = None
        self.chunks: list[str] = []
        self.size = 0  # characters in all chunks, with those of the model's own reasoning
        self.on_token: Callable[[], None] = lambda: None

    def __hash__(self) -> int:
        """Keep the guard first where a bound model (`bind_tools`, `with_retry`) merges the callbacks by way of sets.

        What has the hash 0 and is put into a set first is in its first slot.
        """
        return 0

    def on_llm_new_token(self, token: str | list[str | dict[str, Any]], **kwargs: Any) -> None:
        """Add up the reply's characters, and cancel the call when there are too many."""
        self.chunks.append(token if isinstance(token, str) else "")
        self.size += len(token) if isinstance(token, str) else _characters(token)
        message = getattr(kwargs.get("chunk"), "message", None)
        if isinstance(message, AIMessage):
            self.size += _characters(message.additional_kwargs.get("reasoning_content"))
            self.size += _characters(getattr(message, "tool_call_chunks", None))
            _hide(message)
        self.on_token()
        if self.exceeded and self.call:
            self.call.cancel()

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """Mark a reply that was not streamed."""
        for generation in (one for several in response.generations for one in several):
            if isinstance(generation, ChatGeneration):
                _hide(generation.message)

    def on_llm_error(self, error: BaseException, *, response: LLMResult | None = None, **kwargs: Any) -> None:
        """Redact the error before a tracer sees it."""
        error.args = redact(error.args, self.secrets)
        for field in ("message", "body"):
            if hasattr(error, field):
                setattr(error, field, redact(getattr(error, field), self.secrets))
        for generation in (one for several in (response.generations if response else []) for one in several):
            if isinstance(generation, ChatGeneration):
                metadata = generation.message.response_metadata
                metadata.update(redact(dict(metadata), self.secrets))

    def on_tool_error(self, error: BaseException, **kwargs: Any) -> None:
        """Redact the error of a tool before a tracer sees it."""
        error.args = redact(error.args, self.secrets)

    @property
    def exceeded(self) -> bool:
        """Whether the streamed reply is longer than `max_chars`."""
        return self.size > self.max_chars

    def truncate(self, reply: AIMessage) -> AIMessage:
        """Return the reply, cut to `max_chars` and with finish_reason "length" if it is longer, or its reasoning."""
        if len(reply.text) <= self.max_chars and not self.exceeded:
            return reply
        metadata = {**reply.response_metadata, "finish_reason": "length"}
        return AIMessage(reply.text[: self.max_chars], usage_metadata=reply.usage_metadata, response_metadata=metadata)


def with_guard_first(config: RunnableConfig | None, guard: Guard) -> RunnableConfig:
    """Add the guard before all other callbacks, so that tracers see redacted errors only."""
    config = merge_configs(config, {"callbacks": [guard]})
    manager = config.get("callbacks")
    if isinstance(manager, BaseCallbackManager):
        for handlers in (manager.handlers, manager.inheritable_handlers):
            handlers.sort(key=lambda handler: handler is not guard)
    return config


async def close_abandoned_response(error: Exception) -> None:
    """Close the HTTP response that an SDK abandons when it raises, so that the connection is not left open.

    Workaround for groq 0.37: its stream does not close the response when it raises (openai's does), and nothing else
    than the traceback's frames refers to it. Without this the connection stays open until garbage collection.
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for value in list(frame.f_locals.values()):
            if isinstance(value, httpx.Response):
                await value.aclose()


def _hide(message: BaseMessage) -> None:
    if not (message.id or "").startswith(HIDDEN_ID):
        message.id = f"{HIDDEN_ID}{message.id or uuid4()}"


def _characters(value: Any) -> int:
    """Return the characters in all strings of a JSON value."""
    if isinstance(value, str):
        return len(value)
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(map(_characters, items))


def redact(value: Any, secrets: Sequence[str]) -> Any:
    """Return a JSON value (or a tuple of such values) with every secret in its strings replaced by "[secret]"."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "[secret]")
        return value
    if isinstance(value, dict):
        return {key: redact(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(redact(item, secrets) for item in value)
    return value
