"""Overhead: CPU and wall time compared with the plain loop, by turns, latency, streaming and checkpointer."""

import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from groq import AsyncGroq
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from benchmarks import baseline
from benchmarks.measure import Json, Run, interleaved
from benchmarks.server import model
from llamaberry import Context, build_graph

QUESTION = "A tank holds 240 litres. Pump A fills it in 6 hours, pump B in 4. How long do both take together?"
SAVERS = ("none", "memory", "sqlite")


def plain(client: AsyncGroq, turns: int, latency_ms: int = 0, *, stream: bool = False) -> Run:
    """Return a run of the plain loop."""
    on_text = len if stream else None  # len ignores the text
    return lambda: baseline.answer(client, QUESTION, model=model(latency_ms), turns=turns, on_text=on_text)


def ours(saver: Any, turns: int, latency_ms: int = 0, *, stream: bool = False) -> Run:
    """Return a run of the graph, streamed as on the command line or not; with a saver each has its own thread."""
    graph = build_graph(saver)
    context = Context(model=f"groq:{model(latency_ms)}", max_turns=turns, verify="none")
    threads = count()

    async def run() -> None:
        config: Any = {"configurable": {"thread_id": str(next(threads))}} if saver else None
        if not stream:
            await graph.ainvoke({"query": QUESTION}, config, context=context)
            return
        async for _ in graph.astream({"query": QUESTION}, config, context=context, stream_mode=["messages", "values"]):
            pass

    return run


async def measure(*, quick: bool, log: Callable[[str], None]) -> Json:
    """Measure each number of turns (no latency, no checkpointer), and all other variants at three turns."""
    client = AsyncGroq()
    by_turns, by_setting = [], []
    for stream in (False, True):
        for turns in (1,) if quick else range(1, 11):
            log(f"overhead: {turns} turns{', streamed' if stream else ''}")
            variants = {"baseline": plain(client, turns, stream=stream), "ours": ours(None, turns, stream=stream)}
            cost = await interleaved(variants, rounds=1 if quick else 7, repeat=1 if quick or stream else 3)
            by_turns.append({"turns": turns, "stream": stream, **cost})
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncSqliteSaver.from_conn_string(str(Path(folder, "threads.sqlite"))) as sqlite:
            savers = {"none": None, "memory": InMemorySaver(), "sqlite": sqlite}
            for latency_ms in (0,) if quick else (0, 50, 200):
                for stream in (False,) if quick else (False, True):
                    log(f"overhead: {latency_ms} ms{', streamed' if stream else ''}")
                    variants = {"baseline": plain(client, 3, latency_ms, stream=stream)}
                    variants |= {name: ours(savers[name], 3, latency_ms, stream=stream) for name in SAVERS}
                    rounds = 1 if quick else 9 if latency_ms == 200 else 15
                    cost = await interleaved(variants, rounds=rounds)
                    by_setting.append({"latency_ms": latency_ms, "stream": stream, **cost})
    await client.close()
    return {"by_turns": by_turns, "by_setting": by_setting}
