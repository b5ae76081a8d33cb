"""Overhead: CPU and wall time of a run beside the plain loop, by turns, latency, streaming and checkpointer."""

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
    """Return the plain loop of so many turns."""
    show = len if stream else None
    return lambda: baseline.answer(client, QUESTION, model=model(latency_ms), turns=turns, stream=show)


def ours(saver: Any, turns: int, latency_ms: int = 0, *, stream: bool = False) -> Run:
    """Return the graph of so many turns: awaited, or streamed as the command line does it. Each run has a thread."""
    graph = build_graph(saver)
    context = Context(model=f"groq:{model(latency_ms)}", max_turns=turns)
    threads = count()

    async def run() -> None:
        config: Any = {"configurable": {"thread_id": str(next(threads))}} if saver else None
        if not stream:
            await graph.ainvoke({"query": QUESTION}, config, context=context)
            return
        async for _ in graph.astream({"query": QUESTION}, config, context=context, stream_mode=["messages", "values"]):
            pass

    return run


async def measure(*, quick: bool, say: Callable[[str], None]) -> Json:
    """Measure against turns (no latency, no checkpointer), and at three turns against all else."""
    client = AsyncGroq()
    by_turns, by_setting = [], []
    for stream in (False, True):
        for turns in (1,) if quick else range(1, 11):
            say(f"overhead: {turns} turns{', streamed' if stream else ''}")
            variants = {"baseline": plain(client, turns, stream=stream), "ours": ours(None, turns, stream=stream)}
            cost = await interleaved(variants, rounds=1 if quick else 7, repeat=1 if quick or stream else 3)
            by_turns.append({"turns": turns, "stream": stream, **cost})
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncSqliteSaver.from_conn_string(str(Path(folder, "threads.sqlite"))) as sqlite:
            savers = {"none": None, "memory": InMemorySaver(), "sqlite": sqlite}
            for latency_ms in (0,) if quick else (0, 50, 200):
                for stream in (False,) if quick else (False, True):
                    say(f"overhead: {latency_ms} ms{', streamed' if stream else ''}")
                    variants = {"baseline": plain(client, 3, latency_ms, stream=stream)}
                    variants |= {name: ours(savers[name], 3, latency_ms, stream=stream) for name in SAVERS}
                    rounds = 1 if quick else 9 if latency_ms == 200 else 15
                    cost = await interleaved(variants, rounds=rounds)
                    by_setting.append({"latency_ms": latency_ms, "stream": stream, **cost})
    await client.close()
    return {"by_turns": by_turns, "by_setting": by_setting}
