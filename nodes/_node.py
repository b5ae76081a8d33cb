"""A node that calls the model once: a pure prompt, the call, a pure update."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.messages.ai import add_usage
from langchain_core.tools import BaseTool

from llamaberry.graph.answer_schema import JsonSchema
from llamaberry.graph.calls import STRUCTURE, Call, Usage
from llamaberry.graph.context import MAX_TOKENS, Context
from llamaberry.graph.errors import ModelError
from llamaberry.graph.reply import finish_reason, why_unusable
from llamaberry.graph.state import State
from llamaberry.graph.thoughts import without_thoughts
from llamaberry.graph.tool_calls import ToolCall
from llamaberry.models.background import run_in_background
from llamaberry.models.client import NO_TOOLS, ModelReply, Tools, acall_model, client_settings
from llamaberry.models.objects import ModelObject
from llamaberry.models.retry import BACKOFF_S, MAX_ATTEMPTS, retry_delay
from llamaberry.nodes._conversation import Conversation
from llamaberry.nodes._tools import Toolbox, with_id
from llamaberry.tracing.node_trace import NodeTrace

ASK_WITHOUT_TOOLS = "You have made {number} tool calls, the most for one turn: answer now, without tools."


class Attempt(NamedTuple):
    """One attempt of a node: what it may read, and where its call is traced."""

    state: State
    context: Context
    conversation: Conversation
    number: int
    """From 1; LangGraph's retry policy counts it."""
    started_at: float
    """time.time() of the first attempt."""
    usage: Usage
    """The run's totals before this node."""
    trace: NodeTrace
    paid: list[Call]
    """The calls that this attempt has paid for, if a turn calls tools and so takes several."""
    write: Callable[[Any], None]
    """Writes an event."""
    tools: Sequence[BaseTool] = ()
    """What the model may call in this step."""
    models: Mapping[str, ModelObject] = {}
    """The model objects of the steps that have one."""

    async def ask(self, messages: list[AnyMessage], schema: JsonSchema | None = None) -> ModelReply:
        """Call the step's model: its object, or the one that the context names; and the tools that it asks for.

        `schema` is that of the reply, if it has one.
        Raises SetupError before the call, ModelError if it fails or its reply is unusable.
        """
        if not self.tools or not self.trace.turn or not self.context.max_tool_calls:
            return await self._ask(messages, self.started_at, schema=schema)
        context, model = self.context.for_step(self.trace.node), self.models.get(self.trace.node)
        secrets = model.secrets if model else client_settings(context).secrets
        limit = context.max_tool_calls
        toolbox = Toolbox(
            self.tools, self.trace.turn, limit, context.tool_timeout_s, secrets, self.trace.config, self.write
        )
        calls: list[ToolCall] = []
        tools = Tools(self.tools)
        reply = await self._ask(messages, self.started_at, tools)
        self.paid.append(record_call(self, reply))
        # The last call in a reply that a limit cut may lack half of its arguments.
        while tools.offered and (message := reply.message).tool_calls and finish_reason(message) != "length":
            since = time.time()
            requests = [with_id(request, n) for n, request in enumerate(message.tool_calls, len(calls))]
            made, results = await toolbox.run(requests, len(calls))
            calls += made
            # Providers refuse arguments that are no JSON, which they had let through themselves.
            asked = message.model_copy(update={"tool_calls": requests, "invalid_tool_calls": []})
            messages = [*messages, asked, *results]
            if len(calls) >= limit:
                tools = Tools(self.tools, may_call=False)
                messages.append(HumanMessage(ASK_WITHOUT_TOOLS.format(number=limit)))
            reply = await self._ask_patiently(messages, since, tools)
            self.paid.append(record_call(self, reply))
        return self._in_total(reply, calls)

    async def _ask_patiently(self, messages: list[AnyMessage], since: float, tools: Tools) -> ModelReply:
        """Ask, with retries of its own: a retry of the node would call the tools once more."""
        number = 1
        while True:
            try:
                return await self._ask(messages, since, tools)
            except ModelError as error:
                if (delay := self._replace(number=number).retry_delay(error)) is None:
                    final = ModelError(str(error), retry_after_s=error.retry_after_s)
                    raise final from error.__cause__
                await asyncio.sleep(max(delay, BACKOFF_S * number))
                number += 1

    def _in_total(self, reply: ModelReply, tool_calls: Sequence[ToolCall]) -> ModelReply:
        """Return the last reply of a turn with the tokens and seconds of all its calls, and with its tool calls."""
        usage = None
        for call in self.paid:
            usage = add_usage(usage, call["usage"]) if call["usage"] else usage
        message: AIMessage = reply.message.model_copy(update={"usage_metadata": usage})
        seconds = sum(call["seconds"] for call in self.paid)
        return ModelReply(message, reply.model, seconds, tuple(tool_calls))

    async def _ask(
        self,
        messages: list[AnyMessage],
        since: float,
        tools: Tools = NO_TOOLS,
        schema: JsonSchema | None = None,
    ) -> ModelReply:
        """Call the model once; `since` is the time.time() from which the reply's seconds count."""
        context = self.context.for_step(self.trace.node)
        model = self.models.get("synthesize" if self.trace.node == STRUCTURE else self.trace.node)
        reply = await acall_model(context, messages, self.trace.call_config, since, model, tools, schema)
        # The integrations of LangChain name the provider and give a finish reason; other chat models may not.
        needs_reason = model is None or "model_provider" in reply.message.response_metadata
        reason = why_unusable(reply.message, needs_reason=needs_reason, may_call_tools=tools.offered)
        if reason and finish_reason(reply.message) == "length":
            if model:
                raise ModelError(f"{reply.model} {reason}: raise its own limit, or choose a model that reasons less")
            return await self._ask_with_more_tokens(messages, context, reply, since, tools, schema)
        if reason:
            raise ModelError(f"{reply.model} {reason}: try again, or another model", retryable=True)
        return reply

    async def _ask_with_more_tokens(
        self,
        messages: list[AnyMessage],
        context: Context,
        empty: ModelReply,
        since: float,
        tools: Tools,
        schema: JsonSchema | None,
    ) -> ModelReply:
        """Ask again with twice the tokens, where a model's reasoning has used them all. Both calls are in the usage."""
        limit = context.max_tokens
        more = min(2 * limit, MAX_TOKENS)
        problem = f"{empty.model} used up max_tokens ({limit}) before it wrote a word"
        remedy = "raise it (--max-tokens), or choose a model that reasons less"
        if more == limit:
            raise ModelError(f"{problem}: choose a model that reasons less")
        try:
            larger = context.model_copy(update={"max_tokens": more})
            reply = await acall_model(larger, messages, self.trace.call_config, since, None, tools, schema)
        except ModelError as error:
            if error.retryable:
                raise
            raise ModelError(f"{problem}, and {more} were refused: {error}") from error
        if why_unusable(reply.message, may_call_tools=tools.offered):
            raise ModelError(f"{problem}, and {more} tokens did not suffice either: {remedy}")
        usage = add_usage(empty.message.usage_metadata, reply.message.usage_metadata)
        return reply._replace(message=reply.message.model_copy(update={"usage_metadata": usage}))

    def retry_delay(self, error: ModelError) -> float | None:
        """Return the seconds until the next attempt; None if there should be none. A person's pause costs no time."""
        deadline_s = self.context.deadline_s
        elapsed_s = self.usage["seconds"] + time.time() - self.started_at
        time_left_s = None if deadline_s is None else deadline_s - elapsed_s
        return retry_delay(error, attempt=self.number, time_left_s=time_left_s)


Prompt = Callable[[Attempt], list[AnyMessage] | None]
Update = Callable[[Attempt, Any], dict[str, Any]]
OnFailure = Callable[[Attempt, ModelError], dict[str, Any]]
Use = Callable[[ModelReply], Awaitable[Any]]


class Node:
    """A node of `build_graph`: pure functions around one model call.

    `prompt(attempt)` returns the messages to send, or None if no call is needed. `update(attempt, reply)` turns the
    ModelReply (None without a call) into an update of the state. `on_failure(attempt, error)` returns the update for a
    call that failed for good, so that the turns before it are kept; without it, the run fails. If the reply is to be
    worked on outside of the event loop, such as a program that is to be run, `use(reply)` is awaited, and its result
    takes the reply's place in `update`. `schema(attempt)` returns the JSON schema of the reply, for models whose
    provider has structured output; other models do not see it.
    """

    def __init__(
        self,
        prompt: Prompt,
        update: Update,
        on_failure: OnFailure | None = None,
        *,
        use: Use | None = None,
        schema: Callable[[Attempt], JsonSchema] | None = None,
    ) -> None:
        self.prompt = prompt
        self.update = update
        self.on_failure = on_failure
        self.use = use
        self.schema = schema

    def run(self, attempt: Attempt) -> dict[str, Any]:
        """Run one attempt as `arun` does, from a thread without an event loop."""
        return run_in_background(self.arun(attempt))

    async def arun(self, attempt: Attempt) -> dict[str, Any]:
        """Run one attempt. Raises SetupError before the model call, ModelError if it failed."""
        messages = self.prompt(attempt)
        if messages is None:
            return self.update(attempt, None)
        try:
            reply = await attempt.ask(messages, self.schema(attempt) if self.schema else None)
        except ModelError as error:
            if (delay := attempt.retry_delay(error)) is None:
                return self._fail(attempt, error)
            await asyncio.sleep(delay)
            raise
        update = self.update(attempt, await self.use(reply) if self.use else reply)
        return {**update, "calls": attempt.paid or [record_call(attempt, reply)]}

    def _fail(self, attempt: Attempt, error: ModelError) -> dict[str, Any]:
        message = str(error)
        if error.retryable and error.retry_after_s and attempt.number < MAX_ATTEMPTS:
            message += "; a longer deadline_s (--deadline) allows the wait"
        final = ModelError(message, retry_after_s=error.retry_after_s)
        final.__cause__ = error.__cause__
        if self.on_failure is None:
            raise final
        attempt.trace.fail(final)
        update = self.on_failure(attempt, final)
        return {**update, "calls": attempt.paid} if attempt.paid else update


def record_call(attempt: Attempt, reply: ModelReply) -> Call:
    """Return the record of the call that brought this reply, with its text if that is not a turn's."""
    call = Call(
        step=attempt.trace.step,
        model=reply.model,
        usage=reply.message.usage_metadata,
        seconds=round(reply.seconds, 3),
        finish_reason=finish_reason(reply.message),
    )
    return call if attempt.trace.turn else {**call, "text": without_thoughts(reply.message.text)}
