"""Growth: the size of a thread in SQLite and the time of its run, by number of turns."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from benchmarks.measure import Json, interleaved
from benchmarks.overhead import QUESTION, ours
from benchmarks.server import model
from llamaberry import Context, build_graph

_SIZE_QUERIES = {
    "checkpoints": "select count(*), sum(length(checkpoint) + length(metadata)) from checkpoints where thread_id = ?",
    "writes": "select count(*), sum(length(value)) from writes where thread_id = ?",
}


async def measure(*, quick: bool, log: Callable[[str], None]) -> Json:
    """Run a question with each number of turns on its own thread; then time it with and without the saver."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncSqliteSaver.from_conn_string(str(Path(folder, "threads.sqlite"))) as saver:
            graph = build_graph(saver)
            for turns in (1, 3) if quick else range(1, 11):
                log(f"growth: {turns} turns")
                config: Any = {"configurable": {"thread_id": f"{turns} turns"}}
                context = Context(model=f"groq:{model(0)}", max_turns=turns, verify="none")
                result = await graph.ainvoke({"query": QUESTION}, config, context=context)
                texts = sum(len(turn["text"]) for turn in result["turns"])
                variants = {"none": ours(None, turns), "sqlite": ours(saver, turns)}
                cost = await interleaved(variants, rounds=1 if quick else 7)
                rows.append({"turns": turns, "reply_bytes": texts, **await _sizes(saver, f"{turns} turns"), **cost})
    return {"rows": rows}


async def _sizes(saver: AsyncSqliteSaver, thread: str) -> Json:
    """Return the number and bytes of a thread's checkpoints and of its pending writes."""
    sizes: Json = {}
    for name, query in _SIZE_QUERIES.items():
        async with saver.conn.execute(query, (thread,)) as cursor:
            sizes[name], sizes[f"{name}_bytes"] = await cursor.fetchone() or (0, 0)
    return sizes
