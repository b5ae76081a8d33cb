"""The wiring: which node follows which. langgraph.json points at `graph`."""

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.cache.base import BaseCache
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore
from langgraph.types import Checkpointer

from llamaberry.graph.context import Context
from llamaberry.graph.routing import after_turn, to_verify
from llamaberry.graph.state import Input, Output, RawInput, State
from llamaberry.nodes._node import retry_policy
from llamaberry.nodes.first_turn import first_turn
from llamaberry.nodes.refine_turn import refine_turn
from llamaberry.nodes.synthesize import synthesize
from llamaberry.tracing.environment import trace_to_environment

ReasoningGraph = CompiledStateGraph[State, Context, Any, Any]
"""Its input is `{"query": str}` or `{"messages": [...]}` (Input), its output an Output."""


class _Route(Runnable[State, str]):
    """A router as a Runnable: it adds no run to a trace, and needs no thread beside an event loop."""

    def __init__(self, route: Callable[[State], str]) -> None:
        self.name = route.__name__
        self.route = route

    def invoke(self, input: State, config: RunnableConfig | None = None, **kwargs: Any) -> str:
        return self.route(input)

    async def ainvoke(self, input: State, config: RunnableConfig | None = None, **kwargs: Any) -> str:
        return self.route(input)


def build_graph(
    checkpointer: Checkpointer = None,
    store: BaseStore | None = None,
    cache: BaseCache[Any] | None = None,
    *,
    nodes: Mapping[str, Any] | None = None,
) -> ReasoningGraph:
    """Return the compiled graph: a first turn, refine turns until one writes why to stop, and a synthesis.

    Args:
        checkpointer: where threads are kept, so that a conversation goes on and a run resumes. As a subgraph, and on
            a server, leave it out: the parent's, or the server's, is used.
        store: passed on to LangGraph, for nodes of your own.
        cache: passed on to LangGraph, likewise.
        nodes: nodes of your own, by name, each anything that LangGraph takes as one. "first_turn", "refine_turn" and
            "synthesize" take the place of ours (a Node with another prompt keeps the rest); "verify" runs after each
            turn: a `hint` that it writes into the turn is part of the next step's prompt.

    The graph takes `{"query": str}` or `{"messages": [...]}`, and a Context as `context=`. It raises SetupError before
    a model call that cannot be made, ModelError for one that failed, and pydantic's ValidationError for a bad input.

    Raises:
        ValueError: `nodes` names one that is not there.
    """
    trace_to_environment()
    steps = {"first_turn": first_turn, "refine_turn": refine_turn, "synthesize": synthesize, **(nodes or {})}
    if unknown := steps.keys() - {"first_turn", "refine_turn", "synthesize", "verify"}:
        raise ValueError(f"no such node: {', '.join(unknown)} (first_turn, refine_turn, synthesize, verify)")
    builder = StateGraph(State, context_schema=Context, input_schema=Input, output_schema=Output)
    for name, node in steps.items():
        schema: Any = RawInput if name == "first_turn" else None
        builder.add_node(name, node, input_schema=schema, retry_policy=retry_policy)
    builder.add_edge(START, "first_turn")
    for turn in ("first_turn", "refine_turn"):
        if "verify" in steps:
            builder.add_conditional_edges(turn, _Route(to_verify), ["verify", "synthesize"])
        else:
            builder.add_conditional_edges(turn, _Route(after_turn), ["refine_turn", "synthesize"])
    if "verify" in steps:
        builder.add_conditional_edges("verify", _Route(after_turn), ["refine_turn", "synthesize"])
    builder.add_edge("synthesize", END)
    compiled = builder.compile(checkpointer=checkpointer, store=store, cache=cache, name="llamaberry")
    return compiled.with_config(tags=["llamaberry"])


graph = build_graph()
