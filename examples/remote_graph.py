"""Llamaberry on a server, used like a local graph: with settings, on a thread, and as a node of a local agent.

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
# Otherwise the server finishes, and pays for, a run whose client has gone.
cancel: dict[str, Any] = {"on_disconnect": "cancel"}


def to_dict(context: Context) -> dict[str, Any]:
    """Return the settings that were changed; RemoteGraph sends a context as JSON."""
    return context.model_dump(exclude_unset=True)


# The id of a thread on the server has to be a UUID. The second question sees the first.
thread: RunnableConfig = {"configurable": {"thread_id": str(uuid4())}}
for question in ("What is the capital of Australia?", "And how many people live there?"):
    result = remote.invoke({"query": question}, thread, context=to_dict(Context(max_turns=1)), **cancel)
    print(f"{question} {result['answer']}")
print(f"{len(remote.get_state(thread).values['messages'])} messages on the thread")


def reason(state: MessagesState, config: RunnableConfig, runtime: Runtime[Context]) -> dict[str, Any]:
    """Pass the settings on. `add_node("reason", remote)` would send no context, and run with the server's defaults.

    Pass the config on as well, so that the server's tokens stream through the agent.
    """
    result = remote.invoke({"messages": state["messages"]}, config, context=to_dict(runtime.context), **cancel)
    return {"messages": result["messages"][-1:]}


builder = StateGraph(MessagesState, context_schema=Context)
builder.add_node("reason", reason)
builder.add_edge(START, "reason")
agent = builder.compile()

messages: Any = {"messages": [("user", "What is 17 * 23?")]}
context = Context(max_turns=2)
current_node = None
for _, (token, metadata) in agent.stream(messages, context=context, stream_mode="messages", subgraphs=True):
    if (node := metadata["langgraph_node"]) != current_node:
        print(f"\n[{node}]")
    print(token["content"], end="")  # a server sends dicts, not messages
    current_node = node
print()
