"""Llamaberry as a node of a larger agent: its tokens stream through, and a second question sees the first.

    python examples/subgraph.py

The agent has a state and a context of its own. It shares `messages` with Llamaberry, reads its `turns`, and holds its
dials in its own context, in the attribute `llamaberry`.
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
    """The agent's own state. It needs no reducer for the turns: they are those of the last question."""

    turns: list[Turn]
    asked: Annotated[int, operator.add]


@dataclass(frozen=True)
class AgentContext:
    """The agent's own settings, with Llamaberry's dials among them."""

    user: str
    llamaberry: Context = field(default_factory=Context)


def count(state: AgentState, runtime: Runtime[AgentContext]) -> dict[str, int]:
    """Do something of the agent's own."""
    print(f"{runtime.context.user} asks: {state['messages'][-1].text}")
    return {"asked": 1}


builder = StateGraph(AgentState, context_schema=AgentContext)
builder.add_sequence([("count", count), ("reason", build_graph())])  # no checkpointer of its own: the agent's is used
builder.add_edge(START, "count")
agent = builder.compile(checkpointer=InMemorySaver())

how = {"context": AgentContext(user="Ann", llamaberry=Context(max_turns=2)), "subgraphs": True}
thread = {"configurable": {"thread_id": "1"}}
for question in ("A train goes 120 km in 80 minutes. How fast is it, in km/h?", "And how far does it go in 2 hours?"):
    asked = {"messages": [("user", question)]}
    for namespace, mode, part in agent.stream(asked, thread, stream_mode=["messages", "updates"], **how):
        if mode == "messages" and isinstance(part[0], AIMessageChunk):
            print(part[0].text, end="", flush=True)
        elif mode == "updates" and namespace:  # of a node inside Llamaberry
            print(f"\n[{namespace[0].split(':')[0]} > {', '.join(part)}]")

state = agent.get_state(thread).values
print(f"\n{state['asked']} questions, {len(state['turns'])} turns of the last one")
for message in state["messages"]:
    print(f"{message.type}: {message.text}")
