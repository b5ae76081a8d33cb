"""Growth: what a run's thread takes in SQLite, and how long the run takes, against its turns."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from benchmarks.measure import Json, interleaved
from benchmarks.overhead import QUESTION, ours
from benchmarks.server import model
from llamaberry import Context, build_graph

_KEPT = {
    "checkpoints": "select count(*), sum(length(checkpoint) + length(metadata)) from checkpoints where thread_id = ?",
    "writes": "select count(*), sum(length(value)) from writes where thread_id = ?",
}


async def measure(*, quick: bool, say: Callable[[str], None]) -> Json:
    """Run one question with each number of turns, on a thread of its own; then time it, with the saver and without."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncSqliteSaver.from_conn_string(str(Path(folder, "threads.sqlite"))) as saver:
            graph = build_graph(saver)
            for turns in (1, 3) if quick else range(1, 11):
                say(f"growth: {turns} turns")
                config: Any = {"configurable": {"thread_id": f"{turns} turns"}}
                context = Context(model=f"groq:{model(0)}", max_turns=turns)
                result = await graph.ainvoke({"query": QUESTION}, config, context=context)
                texts = sum(len(turn["text"]) for turn in result["turns"])
                variants = {"none": ours(None, turns), "sqlite": ours(saver, turns)}
                cost = await interleaved(variants, rounds=1 if quick else 7)
                rows.append({"turns": turns, "reply_bytes": texts, **await _kept(saver, f"{turns} turns"), **cost})
    return {"rows": rows}


async def _kept(saver: AsyncSqliteSaver, thread: str) -> Json:
    """Return the bytes that a thread takes: its checkpoints, and the pending writes that stand between them."""
    kept: Json = {}
    for name, query in _KEPT.items():
        async with saver.conn.execute(query, (thread,)) as found:
            kept[name], kept[f"{name}_bytes"] = await found.fetchone() or (0, 0)
    return kept
