"""Calls a model: a Context selects the client, and messages become a reply. No other module knows the providers."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tools import BaseTool

from llamaberry.graph.answer_schema import JsonSchema
from llamaberry.graph.calls import NO_TOKENS, cost_usd
from llamaberry.graph.context import STEPS, Context
from llamaberry.graph.errors import ModelError, SetupError
from llamaberry.graph.tool_calls import ToolCall
from llamaberry.models.clients import Client, get_client
from llamaberry.models.errors import status_of, to_model_error
from llamaberry.models.guard import Guard, close_abandoned_response, with_guard_first
from llamaberry.models.local import activity
from llamaberry.models.local import server as local_server
from llamaberry.models.objects import Model, ModelObject, ObjectGuard, ObjectSettings, warn_about_ignored_names
from llamaberry.models.pacer import current_pacer
from llamaberry.models.settings import client_settings as client_settings
from llamaberry.models.structured_output import structured_output
from llamaberry.models.tools import bind_tools

_REFUSED_STATUS = (400, 422)  # also Groq's answer to a reply that does not fit the schema
_CHARS_PER_TOKEN = 32  # well above any tokenizer's average: a reply beyond max_tokens times this does not end


class ModelReply(NamedTuple):
    """A model's message, the model ("provider:name"), the seconds since the first attempt, and the tools it called."""

    message: AIMessage
    model: str
    seconds: float
    tool_calls: tuple[ToolCall, ...] = ()


class Tools(NamedTuple):
    """The tools that a request names, and whether the model may call them."""

    tools: Sequence[BaseTool] = ()
    may_call: bool = True

    @property
    def offered(self) -> bool:
        """Whether a reply may call one."""
        return bool(self.tools) and self.may_call


NO_TOOLS = Tools()


async def acall_model(
    context: Context,
    messages: Sequence[AnyMessage],
    config: RunnableConfig | None,
    started_at: float,
    model: ModelObject | None = None,
    tools: Tools = NO_TOOLS,
    schema: JsonSchema | None = None,
) -> ModelReply:
    """Send `messages` in this event loop, to a model object or else to the model that the context names.

    `started_at` is the time.time() of the first attempt. With a `schema` the provider's structured output is used, if
    the model is known to have it.

    Raises:
        SetupError: no call was made: a key, a package, a model or its name is missing, or it cannot call `tools`.
        ModelError: the call failed, or took longer than `turn_timeout_s` (for the local model: it was silent for long).
    """
    if model:
        client = Client(model.settings(context), model.runnable, None)
    else:
        settings = client_settings(context)
        if settings.provider == "local" and _has_images(messages):
            raise SetupError(f"{settings.model} reads no images: choose a model that does (--model)")
        client = await get_client(settings)
    bound = (
        bind_tools(client.model, client.settings.model, tools.tools, may_call=tools.may_call) if tools.tools else None
    )
    options = structured_output(client.settings.provider, client.model, schema) if schema else {}
    if client.settings.provider == "local":
        call = partial(_call_local, context, client, messages, config, options)
    elif options:
        call = partial(_call_with_schema, client, messages, config, options)
    else:
        call = partial(_call, client, messages, config, bound)
    if pacer := current_pacer.get():
        (message, name), waited_s = await pacer.call(call)
        started_at += waited_s  # the wait for the rate limit counts as neither the call's nor the turn's time
    else:
        message, name = await call()
    return ModelReply(message, name, time.time() - started_at)


async def _call_with_schema(
    client: Client, messages: Sequence[AnyMessage], config: RunnableConfig | None, options: Mapping[str, Any]
) -> tuple[AIMessage, str]:
    """Call a model with the options of structured output; if its provider refuses them, without."""
    try:
        return await _call(client, messages, config, options=options)
    except ModelError as error:
        if status_of(error) not in _REFUSED_STATUS:
            raise
    return await _call(client, messages, config)


async def _call_local(
    context: Context,
    client: Client,
    messages: Sequence[AnyMessage],
    config: RunnableConfig | None,
    options: Mapping[str, Any],
) -> tuple[AIMessage, str]:
    """Call the local model. If its server dies during the call, start it again and repeat the call once."""
    try:
        return await _call_with_schema(client, messages, config, options)
    except ModelError as error:
        if not error.retryable or not await asyncio.to_thread(local_server.how_it_ended, client.settings.environment):
            raise
    client = await get_client(client_settings(context))
    try:
        return await _call_with_schema(client, messages, config, options)
    except ModelError as error:
        if cause := await asyncio.to_thread(local_server.how_it_ended, client.settings.environment):
            raise ModelError(
                f"{client.settings.model}: its server {cause}, twice during this call: free memory, or set "
                "LLAMABERRY_LOCAL_SLOTS=1"
            ) from error
        raise


async def _call(
    client: Client,
    messages: Sequence[AnyMessage],
    config: RunnableConfig | None,
    bound: Model | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[AIMessage, str]:
    """Return the reply, and the name of the model that wrote it. `bound` is the client's model with tools."""
    settings = client.settings
    max_chars = settings.max_tokens * _CHARS_PER_TOKEN
    guard = (
        ObjectGuard(max_chars, settings) if isinstance(settings, ObjectSettings) else Guard(max_chars, settings.secrets)
    )
    guarded = with_guard_first(config, guard)
    # A bound model merges these callbacks with those of the context: the guard has to be the first of both.
    here = copy_context()  # with the caller's settings of its tracer, which LangChain's set_config_context would reset
    here.run(var_child_runnable_config.set, guarded)
    invoked = (bound or client.model).ainvoke(list(messages), guarded, **options)
    call = asyncio.create_task(invoked, context=here)
    guard.call = call
    try:
        if settings.provider == "local":
            guard.on_token = activity.record
            reply = await activity.limit_silence(call, settings.timeout_s)
        else:
            async with asyncio.timeout(settings.timeout_s):
                reply = await call
    except asyncio.CancelledError:
        if not guard.exceeded:
            raise
        reply = AIMessage("".join(guard.chunks))
    except Exception as error:  # provider SDKs raise anything: wrap it, and keep the cause
        await close_abandoned_response(error)
        model = guard.failed_model(error) if isinstance(guard, ObjectGuard) else settings.model
        details = (settings.timeout_s, settings.secrets, settings.route)
        failure = to_model_error(error, model, *details, is_object=isinstance(guard, ObjectGuard))
        if getattr(error, "status_code", None) in (400, 415, 422) and _has_images(messages):
            failure.args = (f"{failure}; if the model reads no images, choose one that does (--model)",)
        if bound and getattr(error, "status_code", None) in (400, 404, 422) and "tool" in str(failure).lower():
            failure.args = (f"{failure}; if the model calls no tools, choose one that does (--model)",)
        raise failure from error
    model = guard.model if isinstance(guard, ObjectGuard) else settings.model
    if not isinstance(reply, AIMessage):
        raise ModelError(f"{model} returned a {type(reply).__name__}, not an AIMessage: pass a chat model")
    return guard.truncate(reply), model


def _has_images(messages: Sequence[AnyMessage]) -> bool:
    """Return whether a message has an image, in OpenAI's form or as LangChain's content block."""
    parts = (part for message in messages if not isinstance(message.content, str) for part in message.content)
    return any(isinstance(part, dict) and part.get("type") in ("image", "image_url") for part in parts)


def check_models(context: Context, objects: Mapping[str, ModelObject] | None = None) -> None:
    """Check the named models of the later steps before the first call is paid for.

    `objects` are the steps with a model object, whose names in the context are not used: a warning says so.

    Raises:
        SetupError: a key or a model is missing, a model's name cannot be read, or the price of one is to be limited
            and not known.
    """
    objects = objects or {}
    warn_about_ignored_names(context, objects)
    later = {context.for_step(step).model for step in STEPS[1:] if step not in objects}
    checked = set() if "first_turn" in objects else {context.model}  # by the first turn's own call
    if objects and context.max_turns == 1 and not context.answer_schema:
        return
    if context.max_cost_usd is not None:
        later, checked = later | checked, set()
    for name in later - checked:
        model = client_settings(context.model_copy(update={"model": name})).model
        if context.max_cost_usd is not None and cost_usd(model, NO_TOKENS) is None:
            raise SetupError(
                f"max_cost_usd (--max-cost-usd) {context.max_cost_usd:g}: the price of {model} is not known; choose "
                "another model, or limit token_budget (--token-budget)"
            )
