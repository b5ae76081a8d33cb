"""The wiring: which node follows which. langgraph.json points at `graph`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.cache.base import BaseCache
from langgraph.graph import END, START, StateGraph
from langgraph.store.base import BaseStore
from langgraph.types import Checkpointer, RetryPolicy

from llamaberry.graph.compiled import ReasoningGraph as ReasoningGraph
from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError
from llamaberry.graph.routing import after_synthesis, after_turn
from llamaberry.graph.state import Input, Output, RawInput, State
from llamaberry.models.objects import Model, ModelObject, inspect_models
from llamaberry.models.retry import BACKOFF_S, MAX_ATTEMPTS
from llamaberry.models.tools import TOOL_STEPS, Tool, bind_tools, inspect_tools
from llamaberry.nodes._node import Node
from llamaberry.nodes._parallel_check import first_turn_with_program
from llamaberry.nodes._step import RunnableNode, Step
from llamaberry.nodes.first_turn import first_turn
from llamaberry.nodes.refine_turn import refine_turn
from llamaberry.nodes.synthesize import synthesize
from llamaberry.nodes.verify import verify
from llamaberry.tracing.environment import trace_to_environment


class _Router(Runnable[State, str]):
    """A router as a Runnable: it adds no run to a trace, and needs no thread in an event loop."""

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
    model: Model | Mapping[str, Model] | None = None,
    tools: Sequence[Tool] | None = None,
) -> ReasoningGraph:
    """Return the compiled graph: a first turn, a check of its answer, refine turns until one is the last, a synthesis.

    Args:
        checkpointer: where threads are stored, so that a conversation goes on and a run resumes. As a subgraph, and on
            a server, leave it out: the parent's, or the server's, is used.
        store: LangGraph's, for nodes of your own.
        cache: LangGraph's, for nodes of your own.
        nodes: nodes of your own, by name: a Node, or anything that LangGraph accepts as a node. They replace the
            built-in "first_turn", "verify", "refine_turn" and "synthesize". Your own "verify" runs after each turn, and
            a `hint` that it writes into the turn is part of the next step's prompt.
        model: a chat model of LangChain's for all steps, or a mapping with one for some of the steps "first_turn",
            "verify", "refine_turn" and "synthesize". It takes the place of the models that a Context names; its own
            temperature and limit of tokens count.
        tools: LangChain tools, or functions with annotations and a docstring, that the model may call in the first turn
            and the refine turns, with the limits of the Context. Each turn records its calls, and later steps read
            what they returned. A process that dies in a turn repeats it, with its tool calls.

    The graph takes `{"query": str}` or `{"messages": [...]}`, and a Context as `context=`. It raises SetupError before
    a model call that cannot be made, ModelError for one that failed, and pydantic's ValidationError for invalid input.

    Raises:
        ValueError: `nodes` or `model` has an unknown name, or two of the `tools` have the same.
        TypeError: `model` has something else than a chat model, or `tools` than a tool.
        SetupError: there are `tools`, and a model object cannot call any.
    """
    trace_to_environment()
    steps = {
        "first_turn": first_turn if "verify" in (nodes or {}) else first_turn_with_program,
        "verify": verify,
        "refine_turn": refine_turn,
        "synthesize": synthesize,
    }
    if unknown := (nodes or {}).keys() - steps.keys():
        raise ValueError(f"no such node: {', '.join(unknown)} ({', '.join(steps)})")
    models, own_tools = inspect_models(model), inspect_tools(tools)
    for step in TOOL_STEPS:
        if own_tools and (own_model := models.get(step)):
            bind_tools(own_model.runnable, own_model.name, own_tools)
    builder = StateGraph(State, context_schema=Context, input_schema=Input, output_schema=Output)
    for name, node in {**steps, **(nodes or {})}.items():
        _add_step(builder, name, node, models, own_tools if name in TOOL_STEPS else ())
    builder.add_edge(START, "first_turn")
    for name in ("first_turn", "verify", "refine_turn"):
        builder.add_conditional_edges(name, _Router(after_turn), ["verify", "refine_turn", "synthesize"])
    builder.add_conditional_edges("synthesize", _Router(after_synthesis), ["synthesize", END])
    compiled = builder.compile(checkpointer=checkpointer, store=store, cache=cache, name="llamaberry")
    return cast("ReasoningGraph", compiled.with_config(tags=["llamaberry"]))


def _add_step(
    builder: StateGraph[State, Context, Any, Any],
    name: str,
    node: Any,
    models: Mapping[str, ModelObject],
    tools: Sequence[BaseTool],
) -> None:
    destinations = None
    if not isinstance(node, Node):
        scratch = StateGraph(State, context_schema=Context)
        scratch.add_node(name, node)  # LangGraph makes it a Runnable, and reads its annotations
        spec = scratch.nodes[name]
        node, destinations = (
            RunnableNode(cast("Runnable[Any, Any]", spec.runnable), spec.input_schema),
            spec.ends or None,
        )
    builder.add_node(
        name,
        Step(name, node, models, tools),
        input_schema=cast("type[State]", RawInput if name == "first_turn" else State),
        destinations=destinations,
        # This policy alone retries; a Step waits for the provider's retry-after before that.
        retry_policy=RetryPolicy(max_attempts=MAX_ATTEMPTS, initial_interval=BACKOFF_S, retry_on=_is_retryable),
    )


def _is_retryable(error: Exception) -> bool:
    return isinstance(error, ModelError) and error.retryable


graph = build_graph()
