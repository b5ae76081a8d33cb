"""One arm of a comparison: a run that no thread keeps, from its question or on from another run's first turn."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.types import StreamPart

from llamaberry.graph.context import Context
from llamaberry.graph.state import Output
from llamaberry.graph.workflow import build_graph
from llamaberry.nodes._node import Attempt, Node

Watch = Callable[[StreamPart[Any, Any]], None]


async def answered(
    query: str,
    context: Context,
    *,
    first: Output | None = None,
    config: RunnableConfig | None = None,
    watch: Watch | None = None,
) -> Output:
    """Run the graph on a question to its end, and return its output.

    `first` is the output of another run on the question: its first turn is this run's, too, and is not asked for again.
    That turn's tokens and seconds count in this run as well, for its budget and its deadline, too. `watch` is given
    each part of the graph's stream in the modes "custom" (the events) and "values" (the state so far). Raises as the
    graph does.
    """
    graph = build_graph(nodes={"first_turn": _known(first)} if first else None)
    output: dict[str, Any] = {}
    stream = graph.astream({"query": query}, config, context=context, stream_mode=["custom", "values"], version="v2")
    async with aclosing(cast("AsyncGenerator[StreamPart[Any, Any]]", stream)) as parts:
        async for part in parts:
            if part["type"] == "values":
                output = part["data"]
            if watch:
                watch(part)
    return cast("Output", output)


def _known(run: Output) -> Node:
    """Return a first turn that calls no model: a trace shows it without a model call below."""

    def update(attempt: Attempt, reply: object) -> dict[str, Any]:
        return {
            "messages": run["messages"][:-1],  # without that run's answer
            "turns": run["turns"][:1],
            "calls": run["calls"][:1],
            "answer": "",
            "concise_answer": "",
            "degraded": None,
        }

    return Node(lambda attempt: None, update)
