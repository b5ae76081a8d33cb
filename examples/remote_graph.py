"""Llamaberry on a server, used as if it were here: with its dials, on a thread, and as a node of a local agent.

langgraph dev &
python examples/remote_graph.py http://127.0.0.1:2024    # or LLAMABERRY_SERVER=http://…
"""

import os
import sys
from typing import Any
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.pregel.remote import RemoteGraph
from langgraph.runtime import Runtime

from llamaberry import Context

server = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("LLAMABERRY_SERVER", "http://127.0.0.1:2024")
remote = RemoteGraph("llamaberry", url=server)


def sent(context: Context) -> dict[str, Any]:
    """Return the dials that were set, as they travel: a Context goes over the wire as a dict."""
    return context.model_dump(exclude_unset=True)


# A thread of the server: its id has to be a UUID, and the second question sees the first.
thread: RunnableConfig = {"configurable": {"thread_id": str(uuid4())}}
for question in ("What is the capital of Australia?", "And how many people live there?"):
    result = remote.invoke({"query": question}, thread, context=sent(Context(max_turns=1)))
    print(f"{question} {result['answer']}")
print(f"{len(remote.get_state(thread).values['messages'])} messages on the thread")


def reason(state: MessagesState, config: RunnableConfig, runtime: Runtime[Context]) -> dict[str, Any]:
    """Hand the dials on. `add_node("reason", remote)` would run, but with the server's defaults: it sends no context.

    The config is handed on as well, so that the server's tokens stream through the agent.
    """
    result = remote.invoke({"messages": state["messages"]}, config, context=sent(runtime.context))
    return {"messages": result["messages"][-1:]}


builder = StateGraph(MessagesState, context_schema=Context)
builder.add_node("reason", reason)
builder.add_edge(START, "reason")
agent = builder.compile()

asked: Any = {"messages": [("user", "What is 17 * 23?")]}
context = Context(max_turns=2)  # the agent's own context may be one of ours, or hold one
last = None
for _, (token, about) in agent.stream(asked, context=context, stream_mode="messages", subgraphs=True):
    if (node := about["langgraph_node"]) != last:
        print(f"\n[{node}]")
    print(token["content"], end="")  # what comes from a server is a dict, not a message
    last = node
print()
