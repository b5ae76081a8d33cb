"""Conversation: a thread of many questions in SQLite, as on the command line: its size, and the time of a command.

Each question is answered by a first turn and a program that confirms it, in two calls.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import ROOT, Json
from benchmarks.server import model
from llamaberry import Context, ReasoningGraph, build_graph, threads

QUESTIONS = (10, 100, 300)
"""At 300 exchanges of 400 tokens the context of most models is full."""
THREAD = "long"


async def measure(*, quick: bool, log: Callable[[str], None]) -> Json:
    """Ask the questions on one thread; measure after 10, 100 and 300."""
    rows = []
    with tempfile.TemporaryDirectory() as home:
        file = Path(home, "threads.sqlite")
        env = os.environ | {"LLAMABERRY_CHECKPOINTS": str(file), "LLAMABERRY_HOME": home}
        asked = 0
        for questions in QUESTIONS[:1] if quick else QUESTIONS:
            log(f"conversation: {questions} questions")
            async with threads.open_sqlite(file) as saver:
                graph, seconds = build_graph(saver), 0.0
                while asked < questions:
                    asked += 1
                    seconds = await _ask(graph, asked)
            row = {"questions": asked, "bytes": _size(file), "last_question_s": round(seconds, 3)}
            commands = {"history_s": ("history",), "show_s": ("show", THREAD)}
            rows.append(row | {name: _cpu_s(command, env) for name, command in commands.items()})
    return {"rows": rows}


async def _ask(graph: ReasoningGraph, number: int) -> float:
    """Ask a question as `llamaberry ask` does; return the seconds that it took."""
    started_at = time.perf_counter()
    before = await graph.aget_state(threads.thread_config(THREAD))
    await threads.forget_steps(graph, before)
    query = {"query": f"What is {number} x 7? {'Explain. ' * 180}"}  # as long as a question and a full answer
    context = Context(model=f"groq:{model(0)}")
    await graph.ainvoke(query, threads.thread_config(THREAD), context=context, durability="sync")
    return time.perf_counter() - started_at


def _size(file: Path) -> int:
    """Return the bytes of the database and its log."""
    return sum(path.stat().st_size for path in file.parent.glob(f"{file.name}*"))


def _cpu_s(words: tuple[str, ...], env: dict[str, str]) -> float:
    """Return the processor time of a command, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "llamaberry", *words], cwd=ROOT, env=env, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2)
