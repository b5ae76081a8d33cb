"""The compiled graph as a type checker sees it: LangGraph returns Any, whatever the schema of the output is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NotRequired, overload

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import All, Durability, Interrupt

from llamaberry.graph.context import Context
from llamaberry.graph.state import Output, State

if TYPE_CHECKING:

    class Result(Output):
        """The output of a run that may have paused for a review."""

        __interrupt__: NotRequired[list[Interrupt]]

    class ReasoningGraph(CompiledStateGraph[State, Context, Any, Output]):
        """The graph of `build_graph`: its input is `{"query": str}` or `{"messages": [...]}`, its output an Output.

        With options that change what is returned, such as `stream_mode`, the result is Any, as in LangGraph.
        """

        @overload  # type: ignore[override]  # LangGraph's variants for other options are all in the second one
        def invoke(
            self,
            input: Any,
            config: RunnableConfig | None = None,
            *,
            context: Context | None = None,
            interrupt_before: All | Sequence[str] | None = None,
            interrupt_after: All | Sequence[str] | None = None,
            durability: Durability | None = None,
        ) -> Result: ...

        @overload
        def invoke(
            self, input: Any, config: RunnableConfig | None = None, *, context: Context | None = None, **options: Any
        ) -> Any: ...

        def invoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
            """Run the graph."""

        @overload  # type: ignore[override]
        async def ainvoke(
            self,
            input: Any,
            config: RunnableConfig | None = None,
            *,
            context: Context | None = None,
            interrupt_before: All | Sequence[str] | None = None,
            interrupt_after: All | Sequence[str] | None = None,
            durability: Durability | None = None,
        ) -> Result: ...

        @overload
        async def ainvoke(
            self, input: Any, config: RunnableConfig | None = None, *, context: Context | None = None, **options: Any
        ) -> Any: ...

        async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
            """Run the graph in this event loop."""

else:
    ReasoningGraph = CompiledStateGraph
