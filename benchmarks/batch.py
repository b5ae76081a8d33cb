"""A batch of thousands of questions against a scripted Groq, killed twice: completeness, speed and memory.

    python -m benchmarks.batch [--questions 4000] [--turns 1] [--at-once 64] [--delay 0.05]

Kills `llamaberry batch` at one third and at two thirds of the questions, lets it finish, and counts the ids in OUT.
Then answers a quarter of the questions, and all of them, without a kill: speed and peak memory (resident, MiB); and all
of them with two workers. Last, a bare asyncio loop over one HTTP client makes the same calls. The scripted Groq runs in
its own process. On a busy machine compare the processor time. Linux.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.server import serving

COMMAND = [sys.executable, "-m", "llamaberry", "batch"]
QUESTION = "What is number {}? Reply under `## Reasoning` and `## Answer`."


class Cost(NamedTuple):
    """Wall seconds, processor seconds, and peak memory in MiB."""

    seconds: float
    cpu_s: float
    memory_mib: float


def run_batch(source: Path, out: Path, options: list[str]) -> Cost:
    """Run the command to its end."""
    started_at = time.monotonic()
    process = subprocess.Popen([*COMMAND, str(source), str(out), *options], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"the batch failed with exit code {process.returncode}")
    return Cost(time.monotonic() - started_at, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def kill_batch(source: Path, out: Path, options: list[str], lines: int) -> int:
    """Kill the command as soon as OUT has `lines` lines; return the number of lines then."""
    with subprocess.Popen([*COMMAND, str(source), str(out), *options], stdout=subprocess.DEVNULL) as process:
        while (count := out.read_bytes().count(b"\n") if out.exists() else 0) < lines and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    return count


async def run_bare_loop(url: str, calls: int, concurrency: int) -> Cost:
    """Make the same number of calls without Llamaberry."""
    numbers, wall_start, cpu_start = iter(range(calls)), time.monotonic(), time.process_time()
    async with httpx.AsyncClient(headers={"authorization": "Bearer gsk_benchmark"}, timeout=60) as client:

        async def worker() -> None:
            for number in numbers:
                body = {"model": "any", "messages": [{"role": "user", "content": QUESTION.format(number)}]}
                (await client.post(f"{url}/openai/v1/chat/completions", json=body)).raise_for_status()

        await asyncio.gather(*(worker() for _ in range(concurrency)))
    return Cost(time.monotonic() - wall_start, time.process_time() - cpu_start, 0)


def measure(folder: Path, url: str, questions: int, turns: int, concurrency: int) -> Table:
    """Run all measurements, and return their table."""
    source, quarter = folder / "in.jsonl", folder / "quarter.jsonl"
    rows = [json.dumps({"question": QUESTION.format(n), "id": f"q{n}"}) + "\n" for n in range(questions)]
    source.write_text("".join(rows))
    quarter.write_text("".join(rows[: questions // 4]))
    options = ["--turns", str(turns), "--concurrency", str(concurrency)]
    calls = questions * (turns + (turns > 1))

    out = folder / "killed.jsonl"
    kills = [kill_batch(source, out, options, questions * third // 3) for third in (1, 2)]
    run_batch(source, out, options)
    ids = Counter(json.loads(line)["id"] for line in out.read_bytes().splitlines())
    unique = sum(count == 1 for count in ids.values())
    quarter_cost = run_batch(quarter, folder / "quarter-out.jsonl", options)
    batch_cost = run_batch(source, folder / "out.jsonl", options)
    workers_cost = run_batch(source, folder / "workers.jsonl", [*options, "--workers", "2"])
    bare_cost = asyncio.run(run_bare_loop(url, calls, concurrency))

    table = Table("what", "figure", title=f"{questions:,} questions, {calls:,} calls, {concurrency} at once")
    table.add_row(f"killed at {kills[0]:,} and {kills[1]:,} lines: ids that occur once", f"{unique:,} of {len(ids):,}")
    costs = {"batch, its start included": batch_cost, "the same with two workers": workers_cost}
    for name, cost in (costs | {"the same calls in a bare loop": bare_cost}).items():
        table.add_row(f"{name}: questions per second", f"{questions / cost.seconds:,.1f}")
        table.add_row(f"{name}: processor time per question", f"{cost.cpu_s / questions * 1000:,.1f} ms")
    table.add_row(f"peak memory, {questions // 4:,} questions", f"{quarter_cost.memory_mib:,.1f} MiB")
    table.add_row(f"peak memory, {questions:,} questions", f"{batch_cost.memory_mib:,.1f} MiB")
    return table


def main() -> None:
    """Start the scripted Groq, measure, and print the figures."""
    parser = argparse.ArgumentParser(description="Measure a batch that is killed twice; its speed and its memory.")
    parser.add_argument("--questions", type=int, default=4000)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--delay", type=float, default=0.05, help="seconds before a reply's first byte")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving("--delay", str(options.delay)) as url:
        Console().print(measure(Path(folder), url, options.questions, options.turns, options.at_once))


if __name__ == "__main__":
    main()
