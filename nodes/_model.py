"""The only file that knows how to reach a model: from a Context to a client, and from messages to a reply."""

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables import RunnableConfig
from pydantic import SecretStr

from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError, SetupError
from llamaberry.nodes import _local

DEFAULT_MODEL = "groq:openai/gpt-oss-120b"
LOCAL_PATIENCE = 10
"""How many times `turn_timeout_s` the local model gets: a busy machine writes a token or two in a second."""

_KEPT_CLIENTS = 32


class Asked(NamedTuple):
    """A model's reply, and what it took: `seconds` since the first attempt of the node."""

    reply: AIMessage
    model: str
    seconds: float


class Settings(NamedTuple):
    """All that decides which client serves a call. The environment's part makes a changed key count at once."""

    provider: str
    name: str
    temperature: float
    max_tokens: int
    timeout_s: float
    environment: tuple[tuple[str, str], ...]

    @property
    def model(self) -> str:
        """The model as a turn names it: "provider:name"."""
        return f"{self.provider}:{self.name}"


def ask(context: Context, messages: Sequence[AnyMessage], config: RunnableConfig | None, begun: float) -> Asked:
    """Send `messages` and wait for the reply, in this thread. `begun` is the time.time() of the first attempt.

    Raises:
        SetupError: no call was made: a key, a package, a model or its name is missing.
        ModelError: the call failed.
    """
    settings = settings_of(context)
    model = _client(settings, None)
    try:
        reply = model.invoke(list(messages), config)
    except Exception as error:  # whatever a provider's package raises: told, and chained
        raise _explained(error, settings) from error
    return Asked(reply, settings.model, time.time() - begun)


async def aask(context: Context, messages: Sequence[AnyMessage], config: RunnableConfig | None, begun: float) -> Asked:
    """Send `messages` and wait for the reply, in this event loop. Raises as `ask` does."""
    settings = settings_of(context)
    loop = asyncio.get_running_loop()
    # Building a client reads certificates from the disk and may start the local model's server: not in the loop.
    model = _clients.get((settings, loop))
    if model is None:
        model = await asyncio.to_thread(_client, settings, loop)
    try:
        async with asyncio.timeout(settings.timeout_s):
            reply = await model.ainvoke(list(messages), config)
    except Exception as error:  # whatever a provider's package raises: told, and chained
        raise _explained(error, settings) from error
    return Asked(reply, settings.model, time.time() - begun)


def settings_of(context: Context) -> Settings:
    """Return the settings that a context asks for here: "auto" is decided, and what it needs is there.

    Raises:
        SetupError: a key or the local model is missing, or the name cannot be read.
    """
    spec = context.model.strip()
    if spec == "auto":
        spec = DEFAULT_MODEL if os.environ.get("GROQ_API_KEY") else "local"
    if spec == "local":
        _need_local(chosen=context.model.strip() == "local")
        spec = f"local:{_local.gguf_path().stem}"
    provider, colon, name = spec.partition(":")
    if not colon:
        provider, name = "groq", spec
    provider = provider.lower().replace("-", "_")
    if not name:
        raise SetupError(f'model {spec!r} names no model: write "{provider}:name", such as "{DEFAULT_MODEL}"')
    if provider == "groq" and not os.environ.get("GROQ_API_KEY"):
        raise SetupError(
            "GROQ_API_KEY is not set: get a key at https://console.groq.com/keys and export it, or run with "
            '--model local (in code: Context(model="local"))'
        )
    prefix = provider.partition("_")[0].upper() + "_"
    return Settings(
        provider,
        name,
        context.temperature,
        context.max_tokens,
        context.turn_timeout_s * (LOCAL_PATIENCE if provider == "local" else 1),
        tuple(sorted((key, value) for key, value in os.environ.items() if key.startswith(prefix))),
    )


def _need_local(*, chosen: bool) -> None:
    try:
        _local.require()
    except SetupError as missing:
        if chosen:
            raise
        raise SetupError(f"no model is set up: export GROQ_API_KEY=…, or use the local model: {missing}") from None


# One event loop's connections are of no use in another, so a client belongs to one loop (None: to the threads).
_Key = tuple[Settings, asyncio.AbstractEventLoop | None]
_clients: dict[_Key, BaseChatModel] = {}
_building = threading.Lock()


def _client(settings: Settings, loop: asyncio.AbstractEventLoop | None) -> BaseChatModel:
    """Return the client of these settings in this loop, built once however many runs ask for it at the same time."""
    key = (settings, loop)
    with _building:
        if key not in _clients:
            _clients[key] = _local_client(settings) if settings.provider == "local" else _built(settings)
            if len(_clients) > _KEPT_CLIENTS:
                _clients.pop(next(iter(_clients)))
        return _clients[key]


def _local_client(settings: Settings) -> BaseChatModel:
    from langchain_openai import ChatOpenAI

    server = _local.server()
    return ChatOpenAI(
        model=settings.name,
        base_url=server.base_url,
        api_key=SecretStr(server.api_key),
        stream_usage=True,
        max_retries=0,
        **_dials(settings),
    )


def _built(settings: Settings) -> BaseChatModel:
    from langchain.chat_models import init_chat_model

    try:
        model: BaseChatModel = init_chat_model(
            settings.name, model_provider=settings.provider, max_retries=2, **_dials(settings)
        )
    except Exception as error:
        raise SetupError(f'model "{settings.model}" cannot be set up: {_told(error, settings)}') from error
    return model


def _dials(settings: Settings) -> dict[str, Any]:
    return {
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
        "timeout": settings.timeout_s,
    }


_REMEDIES = {
    400: "the provider refused the request",
    401: "the provider refused the key: check {key}",
    403: "the key may not use this model: check {key} and the account's permissions",
    404: "the provider has no such model: check the model's name",
    413: "the request is over the account's limit: lower max_tokens (--max-tokens), or ask less at once",
    422: "the provider could not take the request",
    429: "the rate limit is used up: wait, or ask less at once",
    498: "the provider has no capacity for now: try again",
}


def _explained(error: Exception, settings: Settings) -> ModelError:
    """Say what failed and what to do, in a line."""
    status = getattr(error, "status_code", None)
    told = _told(error, settings)
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return ModelError(
            f"{settings.model} gave no whole reply within {settings.timeout_s:g} s: "
            "allow more with turn_timeout_s (--turn-timeout)",
        )
    if isinstance(status, int):
        remedy = _REMEDIES.get(status, "the provider is in trouble: try again later")
        key = f"{settings.provider.upper()}_API_KEY"
        return ModelError(f"{settings.model} answered {status}: {remedy.format(key=key)} ({told})")
    if "Connect" in type(error).__name__:
        return ModelError(f"{settings.model} cannot be reached: check the network ({told})")
    return ModelError(f"{settings.model} failed: {told}")


def _told(error: Exception, settings: Settings) -> str:
    """Return the provider's own words in one line, without any secret of the environment."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else None
    said = inner.get("message") if isinstance(inner, dict) else None
    told = " ".join(str(said or error or type(error).__name__).split())[:500] or type(error).__name__
    for key, value in settings.environment:
        if value and key.endswith(("_KEY", "_TOKEN", "_SECRET")):
            told = told.replace(value, "[secret]")
    return told
