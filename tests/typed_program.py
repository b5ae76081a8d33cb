"""A user's program, which passes mypy in strict mode; tests/test_types.py checks that. It is not run.

An ignored error is one that mypy has to report: strict mode refuses an ignore comment without an error.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, assert_type

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.tools import BaseTool
from langchain_core.tools import tool as decorate
from langchain_groq import ChatGroq
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, Interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from llamaberry import (
    Call,
    Check,
    Context,
    Model,
    Output,
    ReasoningGraph,
    State,
    ToolCall,
    Turn,
    Usage,
    as_tool,
    astream_events,
    build_graph,
    graph,
    stream_events,
)

context = Context(max_turns=2, instructions={"refine_turn": "Check the units."}, verify="none")
Context(max_turn=2)  # type: ignore[call-arg]
Context(instructions={"second_turn": "Check."})  # type: ignore[dict-item]

result = graph.invoke({"query": "What is 6 x 7?"}, context=context)
assert_type(result["answer"], str)
assert_type(result["turns"], list[Turn])
assert_type(result["check"], Check | None)
result["anser"]  # type: ignore[typeddict-item]
output: Output = result
assert_type(result["usage"], Usage)
assert_type(result["calls"], list[Call])
resumed = graph.invoke(Command(resume="stop"), {"configurable": {"thread_id": "1"}}, context=context)
if "__interrupt__" in resumed:
    assert_type(resumed["__interrupt__"], list[Interrupt])


class Product(BaseModel):
    """A structured answer."""

    value: int


class Place(TypedDict):
    """Another one."""

    name: str


Context(answer_schema=Place)
Context(answer_schema=list[Product])
Context(answer_schema=Product | Place)
Context(answer_schema={"type": "object"})
Context(answer_schema="object")  # type: ignore[arg-type]
structured = graph.invoke({"query": "What is 6 x 7?"}, context=Context(answer_schema=Product))["structured"]
assert_type(Product.model_validate(structured), Product)

question = {"query": "What is 6 x 7?"}
parts = list(graph.stream(question, context=context, stream_mode=["messages", "custom"]))
graph.invoke(question, context=5)  # type: ignore[call-overload]

for event in stream_events(graph, question, context=context):
    if event["type"] == "token":
        assert_type(event["turn"], int | None)
    elif event["type"] == "turn_finished":
        assert_type(event["answer"], str | None)
    elif event["type"] == "tool_started":
        assert_type(event["args"], dict[str, Any])
        assert_type(event.get("tool_call_id"), str | None)
    elif event["type"] == "check_finished":
        assert_type(event["verdict"], Literal["agrees", "differs", "failed", "none"])
    elif event["type"] == "run_finished":
        assert_type(event["output"], Output)
        event["text"]  # type: ignore[typeddict-item]

cheap = ChatGroq(model="openai/gpt-oss-20b", max_retries=0, default_headers={"x-team": "research"})
strong: Model = ChatGroq(model="openai/gpt-oss-120b").with_fallbacks([cheap])
models = {"first_turn": cheap, "refine_turn": strong, "verify": cheap.bind(temperature=0.2)}
reasoner: ReasoningGraph = build_graph(model=models)
build_graph(model=cheap)


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


calculator = build_graph(tools=[multiply, decorate(multiply)])
calculator.invoke(question, context=Context(max_tool_calls=2, tool_timeout_s=5))
build_graph(tools=["multiply"])  # type: ignore[list-item]
assert_type(result["turns"][0].get("tool_calls", []), list[ToolCall])

build_graph(model=GenericFakeChatModel(messages=iter(["42"])))
build_graph(model="groq:openai/gpt-oss-20b")  # type: ignore[arg-type]
tools: list[BaseTool] = [as_tool(context, graph=reasoner), as_tool(answer_schema=Place)]
build_graph(tools=tools)


def my_verify(state: State) -> dict[str, Any]:
    """Comment on the newest turn."""
    return {"turns": [{"index": state["turns"][-1]["index"], "hint": "Check the units."}]}


build_graph(nodes={"verify": my_verify})


async def ask(query: str) -> str:
    """Return the concise answer."""
    async for event in astream_events(reasoner, question):
        if event["type"] == "run_paused":
            assert_type(event["interrupts"][0].id, str)
    answered = await reasoner.ainvoke({"messages": [("user", query)]}, context=context)
    return answered["concise_answer"]


@dataclass(frozen=True)
class AgentContext:
    """The context of an agent."""

    llamaberry: Context = field(default_factory=Context)


builder = StateGraph(MessagesState, context_schema=AgentContext)
builder.add_node("reason", build_graph())
builder.add_edge(START, "reason")
agent = builder.compile()
