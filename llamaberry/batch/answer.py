"""Answer one question of a batch: its line of OUT."""

from typing import Any

from llamaberry.batch.files import BatchItem
from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError
from llamaberry.graph.workflow import ReasoningGraph
from llamaberry.threads import keep_ids_above, thread_config


async def answer(graph: ReasoningGraph, item: BatchItem, context: Context) -> dict[str, Any]:
    """Return the question's line of OUT. A run with checkpoints resumes; one that has ended makes no call."""
    config = thread_config(thread_name(item))
    before = await graph.aget_state(config) if graph.checkpointer else None
    resume = before is not None and before.created_at is not None
    if before and resume:
        keep_ids_above(before)
    try:
        state = await graph.ainvoke(
            None if resume else {"query": item.question},
            config,
            context=context,
            durability="sync" if graph.checkpointer else None,
        )
    except ModelError as error:
        return item._asdict() | {"error": str(error)}
    output = {key: state[key] for key in ("answer", "concise_answer", "stop_reason", "degraded", "check")}
    if context.answer_schema:
        output["structured"] = state["structured"]
    turns = {"turns": len(state["turns"]), "model": state["turns"][-1]["model"]}
    return item._asdict() | output | turns | {"usage": state["usage"]}


def thread_name(item: BatchItem) -> str:
    """Return the name of the thread that keeps the question's finished turns."""
    return f"{item.line} {item.checksum:08x}"
