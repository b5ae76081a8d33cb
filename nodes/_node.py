"""What a node of the graph is: what it asks of the model, what it makes of the reply, and of a call that fails."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

from langchain_core.messages import AnyMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.runtime import get_runtime
from langgraph.types import RetryPolicy

from llamaberry.graph.answers import latest_answer
from llamaberry.graph.context import Context, resolve_context
from llamaberry.graph.errors import ModelError
from llamaberry.graph.reply import incomplete
from llamaberry.graph.state import State, Turn, keep_turns
from llamaberry.models.client import ModelReply, acall_model, call_model
from llamaberry.nodes._conversation import question_of
from llamaberry.nodes._review import reviewed
from llamaberry.tracing.node_trace import NodeTrace

Prompt = Callable[[State, Context], list[AnyMessage] | None]
Update = Callable[[State, Context, Any], dict[str, Any]]
Lost = Callable[[State, Context, ModelError], dict[str, Any]]

MAX_ATTEMPTS = 3
MAX_RETRY_AFTER_S = 60.0
"""The longest `retry-after` that is waited for where no deadline says otherwise."""

retry_policy = RetryPolicy(
    max_attempts=MAX_ATTEMPTS,
    initial_interval=0.5,
    retry_on=lambda error: isinstance(error, ModelError) and error.retryable,
)


class Node(Runnable[Any, dict[str, Any]]):
    """A node with two doors, `invoke` and `ainvoke`, on one body: `prompt`, a model call, `update`.

    `prompt(state, context)` returns the messages to send, or None where there is nothing to ask; `update(state,
    context, asked)` makes of the reply (an Asked, or None) the change of the state; `lost(state, context, error)` makes
    one of a call that failed for good, so that what was thought before stands: without it the run fails. All are pure.
    A plain Runnable, rather than a RunnableLambda, adds no run of its own to a trace: the model call stands right below
    the node.
    """

    name: str

    def __init__(self, name: str, prompt: Prompt, update: Update, lost: Lost | None = None) -> None:
        self.name = name
        self.prompt = prompt
        self.update = update
        self.lost = lost

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Run the node in this thread. Raises SetupError before a model call, ModelError after one that failed."""
        given = self._given(input, config)
        try:
            asked = _whole(call_model(*given.call)) if given.messages else None
        except ModelError as error:
            if (wait := _wait(error, given)) is None:
                return self._lost(error, given)
            time.sleep(wait)
            raise
        return self._done(asked, given)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Run the node in this event loop, which it never blocks. Raises as `invoke` does."""
        given = self._given(input, config)
        try:
            asked = _whole(await acall_model(*given.call)) if given.messages else None
        except ModelError as error:
            if (wait := _wait(error, given)) is None:
                return self._lost(error, given)
            await asyncio.sleep(wait)
            raise
        return self._done(asked, given)

    def _given(self, input: Any, config: RunnableConfig | None) -> "_Given":
        runtime = get_runtime()
        info = runtime.execution_info
        state = cast("State", input if isinstance(input, Mapping) else dict(input))
        context = resolve_context(runtime.context)
        begun = (info and info.node_first_attempt_time) or time.time()
        attempt = info.node_attempt if info else MAX_ATTEMPTS
        traced = NodeTrace(self.name, state, attempt, config, runtime.stream_writer)
        edited, over = reviewed(self.name, state, context)
        if edited:
            state = {**state, "turns": keep_turns(state["turns"], edited)}
            traced.before = latest_answer(state["turns"])
        messages = None if over else self.prompt(state, context)
        if messages:
            traced.started()
        return _Given(state, context, begun, attempt, traced, messages or [], edited, over)

    def _lost(self, error: ModelError, given: "_Given") -> dict[str, Any]:
        error.retryable = False
        if self.lost is None:
            raise error
        return _with(given.edited, given.traced.ended(self.lost(given.state, given.context, error), error))

    def _done(self, asked: ModelReply | None, given: "_Given") -> dict[str, Any]:
        if given.over:
            update = {"query": question_of(given.state), "stop_reason": "review"}
        else:
            update = self.update(given.state, given.context, asked)
        return _with(given.edited, given.traced.ended(update))


class _Given(NamedTuple):
    """What one attempt of a node has to go on: of LangGraph, and of the person who reviewed the turns before it."""

    state: State
    context: Context
    begun: float
    attempt: int
    traced: NodeTrace
    messages: list[AnyMessage]
    edited: list[Turn]
    over: bool

    @property
    def call(self) -> tuple[Context, list[AnyMessage], RunnableConfig, float]:
        """What `ask` takes."""
        return self.context, self.messages, self.traced.call, self.begun


def _with(edited: list[Turn], update: dict[str, Any]) -> dict[str, Any]:
    return {**update, "turns": [*edited, *update.get("turns", [])]} if edited else update


def _whole(asked: ModelReply) -> ModelReply:
    if what := incomplete(asked.reply):
        raise ModelError(f"{asked.model} {what}: try again, or another model", retryable=True)
    return asked


def _wait(error: ModelError, given: _Given) -> float | None:
    """Seconds to wait before the graph tries again; None where it should not."""
    wait, most = error.retry_after_s, MAX_RETRY_AFTER_S
    if not error.retryable or given.attempt >= MAX_ATTEMPTS:
        return None
    if given.context.deadline_s is not None:
        thought = sum(turn["seconds"] for turn in given.state.get("turns", []))
        most = given.context.deadline_s - thought - (time.time() - given.begun)
    if wait <= most:
        return wait
    if wait:
        error.args = (f"{error}; a longer deadline_s (--deadline) allows the wait",)
    return None
