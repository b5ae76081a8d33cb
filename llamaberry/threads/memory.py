"""A run whose storage failed, copied into a graph that keeps it in memory."""

from collections.abc import Mapping
from typing import Any

from langgraph.types import StateSnapshot

from llamaberry.graph.workflow import ReasoningGraph
from llamaberry.threads.stored import thread_config


async def copy_run(
    graph: ReasoningGraph, name: str, state: Mapping[str, Any], unsaved: Mapping[str, Any]
) -> StateSnapshot:
    """Copy a run into the graph and return its state there; `next` is empty if the run has ended.

    `unsaved` maps the node that ran last to its update, if `state` does not have it yet.
    """
    config = thread_config(name)
    turns = state.get("turns") or []
    if turns:
        as_node = "first_turn" if len(turns) == 1 else "refine_turn"
        await graph.aupdate_state(config, dict(state), as_node=as_node)
    for node, update in unsaved.items():
        earlier = [] if turns else state.get("messages", [])
        messages = [*earlier, *update.get("messages", [])]
        await graph.aupdate_state(config, {**update, "messages": messages}, as_node=node)
    return await graph.aget_state(config)
