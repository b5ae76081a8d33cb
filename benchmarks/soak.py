"""A leak test: thousands of runs of the graph in one process, against a scripted Groq with faults.

    python -m benchmarks.soak [--runs 2000] [--at-once 100] [--delay 0.02] [--faults 0.05]

Prints the open file descriptors and the resident memory every 250 runs; both must level off. The scripted Groq runs in
its own process, so its memory is not counted. Linux.
"""

import argparse
import asyncio
import os
import time
from collections import Counter

from rich.console import Console

from benchmarks.measure import resident_mib
from benchmarks.server import serving
from llamaberry import ModelError, graph

REPORT_EVERY = 250


async def soak(runs: int, concurrency: int, console: Console) -> Counter[str]:
    """Run the graph `runs` times; return the number of runs by outcome."""
    numbers = iter(range(runs))
    outcomes: Counter[str] = Counter()
    started_at = time.monotonic()

    async def worker() -> None:
        for number in numbers:
            try:
                result = await graph.ainvoke({"query": f"What is number {number}?"})
                outcomes[f"{result['stop_reason']}{', degraded' if result['degraded'] else ''}"] += 1
            except ModelError:
                outcomes["failed"] += 1
            if outcomes.total() % REPORT_EVERY == 0:
                seconds, files = time.monotonic() - started_at, len(os.listdir("/proc/self/fd"))
                console.print(f"{outcomes.total():>6,}  {seconds:>6.1f}  {files:>5}  {resident_mib():>6.1f}")

    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return outcomes


def main() -> None:
    """Start the scripted Groq, run the test, and print the figures."""
    parser = argparse.ArgumentParser(description="Run the graph thousands of times, and watch files and memory.")
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--at-once", type=int, default=100)
    parser.add_argument("--delay", type=float, default=0.02, help="seconds before a reply's first byte")
    parser.add_argument("--faults", type=float, default=0.05, help="share of faulty replies, 0 to 1")
    options = parser.parse_args()
    console = Console(highlight=False)
    with serving("--delay", str(options.delay), "--faults", str(options.faults)):
        console.print("  runs       s  files     MiB")
        outcomes = asyncio.run(soak(options.runs, options.at_once, console))
    console.print(", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.most_common()))


if __name__ == "__main__":
    main()
