"""What stands guard over a call: no reply runs away, no echoed key is seen, no connection stays open."""

import asyncio
import traceback
from collections.abc import Sequence
from typing import Any

import httpx
from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs


class Guard(BaseCallbackHandler):
    """Hangs up on a streamed reply that runs away, and takes a key that a provider echoes out of its error."""

    run_inline = True
    ignore_chat_model = True  # else LangChain writes the whole prompt out for it, call by call

    def __init__(self, most: int, secrets: Sequence[str]) -> None:
        self.most = most
        self.secrets = secrets
        self.call: asyncio.Future[AIMessage] | None = None
        self.written: list[str] = []
        self.size = 0

    def on_llm_new_token(self, token: str | list[str | dict[str, Any]], **kwargs: Any) -> None:
        """Count what is written; cancel the call when it is too much."""
        self.written.append(token if isinstance(token, str) else "")
        self.size += len(self.written[-1])
        if self.size > self.most and self.call:
            self.call.cancel()

    def on_llm_error(self, error: BaseException, *, response: LLMResult | None = None, **kwargs: Any) -> None:
        """Take the secrets out of the error before any tracer sees it."""
        error.args = redact(error.args, self.secrets)
        for field in ("message", "body"):
            if hasattr(error, field):
                setattr(error, field, redact(getattr(error, field), self.secrets))
        for generation in (one for several in (response.generations if response else []) for one in several):
            if isinstance(generation, ChatGeneration):
                metadata = generation.message.response_metadata
                metadata.update(redact(dict(metadata), self.secrets))

    def truncate(self, reply: AIMessage) -> AIMessage:
        """Return the reply, shortened where it ran away."""
        if len(reply.text) <= self.most:
            return reply
        ended = {**reply.response_metadata, "finish_reason": "length"}
        return AIMessage(reply.text[: self.most], usage_metadata=reply.usage_metadata, response_metadata=ended)


def with_guard_first(config: RunnableConfig | None, guard: Guard) -> RunnableConfig:
    """Put the handler before all others: a tracer has to find errors without keys."""
    config = merge_configs(config, {"callbacks": [guard]})
    manager = config.get("callbacks")
    if isinstance(manager, BaseCallbackManager):
        for handlers in (manager.handlers, manager.inheritable_handlers):
            handlers.sort(key=lambda handler: handler is not guard)
    return config


async def close_abandoned_response(error: Exception) -> None:
    """Close the response in which a package found an error: it leaves the connection open until it is collected."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for value in list(frame.f_locals.values()):
            if isinstance(value, httpx.Response):
                await value.aclose()


def redact(value: Any, secrets: Sequence[str]) -> Any:
    """Return a value of JSON's kinds with every secret in its texts taken out."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "[secret]")
        return value
    if isinstance(value, dict):
        return {key: redact(one, secrets) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(redact(one, secrets) for one in value)
    return value
