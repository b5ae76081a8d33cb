"""Calls a model: a Context selects the client, and messages become a reply. No other module knows the providers."""

import asyncio
import os
import threading
import time
from collections.abc import Coroutine, Sequence
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar

import httpx
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables import RunnableConfig
from pydantic import SecretStr

from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError
from llamaberry.models.errors import to_model_error
from llamaberry.models.guard import Guard, close_abandoned_response, with_guard_first
from llamaberry.models.local import server as local_server
from llamaberry.models.pacer import current_pacer, observe_headers

T = TypeVar("T")

DEFAULT_MODEL = "groq:openai/gpt-oss-120b"
LOCAL_TIMEOUT_FACTOR = 10
"""Multiplies `turn_timeout_s` for the local model: a busy machine writes only a token or two per second."""

_MAX_CLIENTS = 32
_CHARS_PER_TOKEN = 32  # well above any tokenizer's average: a reply beyond max_tokens times this does not end
_MIN_SECRET_CHARS = 6  # shorter values of variables named KEY, TOKEN or SECRET are not redacted


class ModelReply(NamedTuple):
    """A model's message, the model ("provider:name"), and the seconds since the first attempt."""

    message: AIMessage
    model: str
    seconds: float


class ClientSettings(NamedTuple):
    """How a client is built, and the key under which it is kept."""

    provider: str
    name: str
    temperature: float
    max_tokens: int
    timeout_s: float
    environment: tuple[tuple[str, str], ...]
    """The provider's variables, so that a changed key takes effect at once; for "local" the address and the key."""

    @property
    def model(self) -> str:
        """The model's full name, "provider:name"."""
        return f"{self.provider}:{self.name}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values to redact in errors."""
        suffixes = "" if self.provider == "local" else ("KEY", "TOKEN", "SECRET")
        values = (value.strip() for name, value in self.environment if name.endswith(suffixes))
        return tuple(value for value in values if len(value) >= _MIN_SECRET_CHARS)


async def acall_model(
    context: Context, messages: Sequence[AnyMessage], config: RunnableConfig | None, started_at: float
) -> ModelReply:
    """Send `messages` in this event loop. `started_at` is the time.time() of the first attempt.

    Raises:
        SetupError: no call was made: a key, a package, a model or its name is missing.
        ModelError: the call failed, or took longer than `turn_timeout_s`.
    """
    settings, loop = client_settings(context), asyncio.get_running_loop()
    client = _clients.get((settings, loop))
    if client is None:
        # Building a client reads certificates from the disk and may start the local server: not in the event loop.
        client = await asyncio.to_thread(_get_client, settings, loop)
    call = partial(_call, client, messages, config, settings)
    if pacer := current_pacer.get():
        message, waited_s = await pacer.call(call)
        started_at += waited_s  # the wait for the rate limit counts as neither the call's nor the turn's time
    else:
        message = await call()
    return ModelReply(message, settings.model, time.time() - started_at)


async def _call(
    client: BaseChatModel, messages: Sequence[AnyMessage], config: RunnableConfig | None, settings: ClientSettings
) -> AIMessage:
    guard = Guard(settings.max_tokens * _CHARS_PER_TOKEN, settings.secrets)
    call = asyncio.ensure_future(client.ainvoke(list(messages), with_guard_first(config, guard)))
    guard.call = call
    try:
        async with asyncio.timeout(settings.timeout_s):
            return guard.truncate(await call)
    except asyncio.CancelledError:
        if not guard.exceeded:
            raise
        return guard.truncate(AIMessage("".join(guard.chunks)))
    except Exception as error:  # provider SDKs raise anything: wrap it, and keep the cause
        await close_abandoned_response(error)
        raise to_model_error(error, settings.model, settings.timeout_s, settings.secrets) from error


def run_in_background(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine from a thread without an event loop, and return its result.

    All threads share one background loop, so that timeouts, cancellation and connection pools work as in async code.
    """
    task = asyncio.run_coroutine_threadsafe(coroutine, _background_loop(os.getpid()))
    try:
        return task.result()
    except BaseException:
        task.cancel()
        raise


@lru_cache(maxsize=1)
def _background_loop(_pid: int) -> asyncio.AbstractEventLoop:
    """Start the loop, once per process: a forked process has no thread that runs its parent's loop."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="llamaberry", daemon=True).start()
    return loop


def check_models(context: Context) -> None:
    """Check the models of the later steps before the first call is paid for.

    Raises:
        SetupError: a key or a model is missing, or a model's name cannot be read.
    """
    steps = ("refine_turn", "verify", "synthesize")
    for model in {context.for_step(step).model for step in steps} - {context.model}:
        client_settings(context.model_copy(update={"model": model}))


def client_settings(context: Context) -> ClientSettings:
    """Return the settings of a context's client; "auto" is resolved here.

    Raises:
        SetupError: a key or the local model is missing, or the model's name cannot be read.
    """
    model = context.model.strip()
    if model == "auto":
        model = DEFAULT_MODEL if os.environ.get("GROQ_API_KEY", "").strip() else "local"
    if model == "local":
        model = f"local:{_local_model_name(requested=context.model.strip() == 'local')}"
    provider, colon, name = model.partition(":")
    if not colon:
        provider, name = "groq", model
    provider = provider.lower().replace("-", "_")
    if not name:
        raise SetupError(f'model {model!r} names no model: write "{provider}:name", such as "{DEFAULT_MODEL}"')
    if provider == "groq":
        _check_groq_key(os.environ.get("GROQ_API_KEY", ""))
    timeout_s = context.turn_timeout_s
    if provider == "local":
        if name != local_server.gguf_path().stem:
            raise SetupError(f'model {model!r}: "local" takes no name; LLAMABERRY_LOCAL_GGUF=FILE runs another model')
        timeout_s *= LOCAL_TIMEOUT_FACTOR
        # A restarted server has another address, so each server has its own client.
        environment = local_server.running()
    else:
        prefix = provider[:4].upper()  # GROQ_API_KEY, OPENAI_BASE_URL, MISTRAL_API_KEY for mistralai
        environment = tuple((key, os.environ[key]) for key in sorted(os.environ) if key.startswith(prefix))
    return ClientSettings(provider, name, context.temperature, context.max_tokens, timeout_s, environment)


def _check_groq_key(key: str) -> None:
    if not key.strip():
        raise SetupError(
            "GROQ_API_KEY is not set: get a key at https://console.groq.com/keys and export it, or run with "
            '--model local (in code: Context(model="local"))'
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SetupError("GROQ_API_KEY contains a space, a line break or a letter that no key has: copy it once more")


def _local_model_name(*, requested: bool) -> str:
    try:
        return local_server.require().stem
    except SetupError as error:
        if requested:
            raise
        raise SetupError(f"no model is set up: export GROQ_API_KEY=…, or use the local model: {error}") from None


_clients: dict[tuple[ClientSettings, asyncio.AbstractEventLoop], BaseChatModel] = {}
"""Each event loop has its own clients, because their connections belong to one loop."""
_clients_lock = threading.Lock()


def _get_client(settings: ClientSettings, loop: asyncio.AbstractEventLoop) -> BaseChatModel:
    """Return the client of these settings in this loop; runs that need it at the same time build it only once."""
    if settings.provider == "local":
        local_server.server()
        settings = settings._replace(environment=local_server.running())
    key = (settings, loop)
    with _clients_lock:
        if key not in _clients:
            _clients[key] = _build_client(settings)
            if len(_clients) > _MAX_CLIENTS:
                del _clients[next(iter(_clients))]
        return _clients[key]


def _build_client(settings: ClientSettings) -> BaseChatModel:
    import genai_prices  # noqa: F401 - graph/calls.py needs it after the first reply, where it would block the event loop

    options: dict[str, Any] = {
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
        "timeout": settings.timeout_s,
        "max_retries": 0,  # the graph retries; two retry policies would multiply
    }
    if settings.provider == "local":
        from langchain_openai import ChatOpenAI

        ((base_url, api_key),) = settings.environment
        return ChatOpenAI(
            model=settings.name, base_url=base_url, api_key=SecretStr(api_key), stream_usage=True, **options
        )
    from langchain.chat_models import init_chat_model

    if settings.provider == "groq":
        from groq import DefaultAsyncHttpxClient

        # The default allows 100 connections; a call beyond them would spend its timeout waiting for one.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        options["http_async_client"] = DefaultAsyncHttpxClient(
            limits=limits, event_hooks={"response": [observe_headers]}
        )
    try:
        client: Any = init_chat_model(settings.name, model_provider=settings.provider, **options)
    except Exception as error:  # a missing package, an unknown provider, or anything that a provider's class refuses
        raise SetupError(f'model "{settings.model}" cannot be set up: {" ".join(str(error).split())}') from error
    if settings.provider == "groq":
        # Workaround for groq 0.37, which compares each message with every message type: with the prompt of a tenth turn
        # that was 40 % of a run's CPU time. Messages in `extra_body` are sent as they are.
        create = client.async_client.create
        client.async_client = SimpleNamespace(
            create=lambda *, messages, **options: create(messages=[], extra_body={"messages": messages}, **options)
        )
    model: BaseChatModel = client
    return model
