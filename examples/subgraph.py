"""Llamaberry as a node of a larger agent: its tokens stream through, and a second question sees the first.

    python examples/subgraph.py

The agent has its own state and context. It shares `messages` with Llamaberry, reads its `turns`, and holds its settings
in the attribute `llamaberry` of its own context.
"""

import operator
from dataclasses import dataclass, field
from typing import Annotated

from langchain_core.messages import AIMessageChunk
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime

from llamaberry import Context, Turn, build_graph


class AgentState(MessagesState):
    """The agent's own state. `turns` needs no reducer: it holds the turns of the last question."""

    turns: list[Turn]
    questions: Annotated[int, operator.add]


@dataclass(frozen=True)
class AgentContext:
    """The agent's own context, with Llamaberry's settings in it."""

    user: str
    llamaberry: Context = field(default_factory=Context)


def count(state: AgentState, runtime: Runtime[AgentContext]) -> dict[str, int]:
    """Run a step of the agent itself."""
    print(f"{runtime.context.user} asks: {state['messages'][-1].text}")
    return {"questions": 1}


builder = StateGraph(AgentState, context_schema=AgentContext)
builder.add_sequence([("count", count), ("reason", build_graph())])  # it uses the agent's checkpointer
builder.add_edge(START, "count")
agent = builder.compile(checkpointer=InMemorySaver())

options = {"context": AgentContext(user="Ann", llamaberry=Context(max_turns=2)), "subgraphs": True}
thread = {"configurable": {"thread_id": "1"}}
for question in ("A train goes 120 km in 80 minutes. How fast is it, in km/h?", "And how far does it go in 2 hours?"):
    messages = {"messages": [("user", question)]}
    for namespace, mode, part in agent.stream(messages, thread, stream_mode=["messages", "updates"], **options):
        if mode == "messages" and isinstance(part[0], AIMessageChunk):
            print(part[0].text, end="", flush=True)
        elif mode == "updates" and namespace:  # a node inside Llamaberry
            print(f"\n[{namespace[0].split(':')[0]} > {', '.join(part)}]")

state = agent.get_state(thread).values
print(f"\n{state['questions']} questions, {len(state['turns'])} turns of the last one")
for message in state["messages"]:
    print(f"{message.type}: {message.text}")
