"""The only file that knows how to reach a model: from a Context to a client, and from messages to a reply."""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import httpx
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables import RunnableConfig
from pydantic import SecretStr

from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError, SetupError
from llamaberry.models.errors import to_model_error
from llamaberry.models.guard import Guard, close_abandoned_response, with_guard_first
from llamaberry.models.local import server as local_server
from llamaberry.models.pacer import current_pacer, observe_headers

DEFAULT_MODEL = "groq:openai/gpt-oss-120b"
LOCAL_PATIENCE = 10
"""How many times `turn_timeout_s` the local model gets: a busy machine writes a token or two in a second."""

_CHARS_PER_TOKEN = 32  # more than any tokenizer's average: a reply beyond it has run away
_KEPT_CLIENTS = 32


class ModelReply(NamedTuple):
    """A model's reply, and what it took: `seconds` since the first attempt of the node."""

    message: AIMessage
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
    paced: bool
    """Whether the calls are a batch's: their client tells the pacer what the provider says of its limits."""

    @property
    def model(self) -> str:
        """The model as a turn names it: "provider:name"."""
        return f"{self.provider}:{self.name}"


async def acall_model(
    context: Context, messages: Sequence[AnyMessage], config: RunnableConfig | None, begun: float
) -> ModelReply:
    """Send `messages` and wait for the reply, in this event loop. `begun` is the time.time() of the first attempt.

    Raises:
        SetupError: no call was made: a key, a package, a model or its name is missing.
        ModelError: the call failed, or took longer than `turn_timeout_s`.
    """
    settings = settings_of(context)
    loop = asyncio.get_running_loop()
    model = _clients.get((settings, loop))
    if model is None:
        # Building a client reads certificates from the disk, and may start the local model's server: not in the loop.
        model = await asyncio.to_thread(_client, settings, loop)
    call = partial(_call, model, messages, config, settings)
    if pacer := current_pacer.get():
        reply, waited = await pacer.call(call)
        begun += waited  # neither the call's time nor the turn's
    else:
        reply = await call()
    return ModelReply(reply, settings.model, time.time() - begun)


async def _call(
    model: BaseChatModel, messages: Sequence[AnyMessage], config: RunnableConfig | None, settings: Settings
) -> AIMessage:
    guard = Guard(settings.max_tokens * _CHARS_PER_TOKEN, _secrets(settings))
    call = asyncio.ensure_future(model.ainvoke(list(messages), with_guard_first(config, guard)))
    guard.call = call
    try:
        async with asyncio.timeout(settings.timeout_s):
            return guard.truncate(await call)
    except asyncio.CancelledError:
        if guard.size <= guard.most:
            raise
        return guard.truncate(AIMessage("".join(guard.written)))
    except Exception as error:  # whatever a provider's package raises: told, and chained
        await close_abandoned_response(error)
        raise _fault(error, settings) from error


def call_model(
    context: Context, messages: Sequence[AnyMessage], config: RunnableConfig | None, begun: float
) -> ModelReply:
    """Do as `aask`, in a thread: it waits for the one event loop that serves all threads of the process.

    So both doors are one body, a call in a thread ends on time and is hung up, and threads share connections.
    """
    call = asyncio.run_coroutine_threadsafe(
        acall_model(context, messages, config, begun), _loop_of_threads(os.getpid())
    )
    try:
        return call.result()
    except BaseException:
        call.cancel()
        raise


@lru_cache(maxsize=1)
def _loop_of_threads(_process: int) -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="llamaberry", daemon=True).start()
    return loop


def settings_of(context: Context) -> Settings:
    """Return the settings that a context asks for here: "auto" is decided, and what it needs is there.

    Raises:
        SetupError: a key or the local model is missing, or the name cannot be read.
    """
    spec = context.model.strip()
    if spec == "auto":
        spec = DEFAULT_MODEL if os.environ.get("GROQ_API_KEY", "").strip() else "local"
    if spec == "local":
        spec = f"local:{_local_model(chosen=context.model.strip() == 'local')}"
    provider, colon, name = spec.partition(":")
    if not colon:
        provider, name = "groq", spec
    provider = provider.lower().replace("-", "_")
    if not name:
        raise SetupError(f'model {spec!r} names no model: write "{provider}:name", such as "{DEFAULT_MODEL}"')
    if provider == "groq":
        _need_key(os.environ.get("GROQ_API_KEY", ""))
    timeout_s = context.turn_timeout_s
    if provider == "local":
        if name != local_server.gguf_path().stem:
            raise SetupError(f'model {spec!r}: "local" takes no name; LLAMABERRY_LOCAL_GGUF=FILE runs another model')
        timeout_s *= LOCAL_PATIENCE
        # A server that has ended comes back at another address: a client belongs to one server.
        environment = local_server.running()
    else:
        named = provider[:4].upper()  # GROQ_API_KEY, OPENAI_BASE_URL, MISTRAL_API_KEY for mistralai
        environment = tuple((key, os.environ[key]) for key in sorted(os.environ) if key.startswith(named))
    paced = current_pacer.get() is not None
    return Settings(provider, name, context.temperature, context.max_tokens, timeout_s, environment, paced)


def _need_key(key: str) -> None:
    if not key.strip():
        raise SetupError(
            "GROQ_API_KEY is not set: get a key at https://console.groq.com/keys and export it, or run with "
            '--model local (in code: Context(model="local"))'
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SetupError("GROQ_API_KEY holds a space, a line break or a letter that no key has: copy it once more")


def _local_model(*, chosen: bool) -> str:
    try:
        return local_server.require().stem
    except SetupError as missing:
        if chosen:
            raise
        raise SetupError(f"no model is set up: export GROQ_API_KEY=…, or use the local model: {missing}") from None


# One event loop's connections are of no use in another, so a client belongs to one loop.
_clients: dict[tuple[Settings, asyncio.AbstractEventLoop], BaseChatModel] = {}
_building = threading.Lock()


def _client(settings: Settings, loop: asyncio.AbstractEventLoop) -> BaseChatModel:
    """Return the client of these settings in this loop, built once however many runs ask for it at the same time."""
    if settings.provider == "local":
        local_server.server()
        settings = settings._replace(environment=local_server.running())
    key = (settings, loop)
    with _building:
        if key not in _clients:
            _clients[key] = _build_client(settings)
            if len(_clients) > _KEPT_CLIENTS:
                _clients.pop(next(iter(_clients)))
        return _clients[key]


def _build_client(settings: Settings) -> BaseChatModel:
    # The graph's retry policy is the only one: two would multiply.
    dials: dict[str, Any] = {
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
        "timeout": settings.timeout_s,
        "max_retries": 0,
    }
    if settings.provider == "local":
        from langchain_openai import ChatOpenAI

        ((base_url, api_key),) = settings.environment
        return ChatOpenAI(
            model=settings.name, base_url=base_url, api_key=SecretStr(api_key), stream_usage=True, **dials
        )
    from langchain.chat_models import init_chat_model

    if settings.provider == "groq" and settings.paced:
        from groq import DefaultAsyncHttpxClient

        # By default it holds 100 connections: whoever is more than that waits for one while its own time runs.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        dials["http_async_client"] = DefaultAsyncHttpxClient(limits=limits, event_hooks={"response": [observe_headers]})
    try:
        model: Any = init_chat_model(settings.name, model_provider=settings.provider, **dials)
    except Exception as error:
        raise SetupError(f'model "{settings.model}" cannot be set up: {" ".join(str(error).split())}') from error
    if settings.provider == "groq":
        model.async_client = _RawMessages(model.async_client)
    built: BaseChatModel = model
    return built


class _RawMessages:
    """Groq's completions, which take the messages as what they are: JSON.

    The client compares each message with every type that a message could have. All turns are sent with each call, and
    at ten of them that took two fifths of a run's CPU.
    """

    def __init__(self, completions: Any) -> None:
        self._completions = completions

    def create(self, *, messages: list[dict[str, Any]], **asked: Any) -> Awaitable[Any]:
        answer: Awaitable[Any] = self._completions.create(messages=[], extra_body={"messages": messages}, **asked)
        return answer


def _secrets(settings: Settings) -> tuple[str, ...]:
    named = ("KEY", "TOKEN", "SECRET") if settings.provider != "local" else ""
    values = (value.strip() for name, value in settings.environment if name.endswith(named))
    return tuple(value for value in values if len(value) > 5)


def _fault(error: Exception, settings: Settings) -> ModelError:
    return to_model_error(error, settings.provider, settings.name, settings.timeout_s, _secrets(settings))
