"""What a node of the graph is: what it asks of the model, and what it makes of the reply."""

import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from langchain_core.messages import AnyMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.runtime import get_runtime

from llamaberry.graph.context import Context, own_context
from llamaberry.graph.state import State
from llamaberry.nodes._model import aask, ask

Prompt = Callable[[State, Context], list[AnyMessage] | None]
Update = Callable[[State, Context, Any], dict[str, Any]]


class Node(Runnable[Any, dict[str, Any]]):
    """A node with two doors, `invoke` and `ainvoke`, on one body: `prompt`, a model call, `update`.

    `prompt(state, context)` returns the messages to send, or None where there is nothing to ask; `update(state,
    context, asked)` makes of the reply (an Asked, or None) the change of the state. Both are pure. A plain Runnable,
    rather than a RunnableLambda, adds no run of its own to a trace: the model call stands right below the node.
    """

    def __init__(self, name: str, prompt: Prompt, update: Update) -> None:
        self.name = name
        self.prompt = prompt
        self.update = update

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Run the node in this thread. Raises SetupError before a model call, ModelError after one that failed."""
        state, context, begun = _given(input)
        messages = self.prompt(state, context)
        asked = ask(context, messages, config, begun) if messages else None
        return self.update(state, context, asked)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Run the node in this event loop, which it never blocks. Raises as `invoke` does."""
        state, context, begun = _given(input)
        messages = self.prompt(state, context)
        asked = await aask(context, messages, config, begun) if messages else None
        return self.update(state, context, asked)


def _given(input: Any) -> tuple[State, Context, float]:
    runtime = get_runtime()
    info = runtime.execution_info
    begun = info.node_first_attempt_time if info else None
    state = input if isinstance(input, Mapping) else dict(input)
    return cast("State", state), own_context(runtime.context), begun or time.time()
