"""Does anything leak? Run the graph thousands of times in one process, against a scripted Groq with faults.

    python benchmarks/soak.py [--runs 2000] [--at-once 100] [--delay 0.02] [--faults 0.05]

Prints the open file descriptors and the memory (resident, MiB) every 250 runs. Both have to level off. The scripted
Groq is a process of its own, so that its memory is not counted. Linux.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from llamaberry import ModelError, graph

SERVER = Path(__file__).parents[1] / "testing" / "scripted_groq.py"
EVERY = 250


def figures() -> tuple[int, float]:
    """Return the open file descriptors, and the resident memory in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(os.listdir("/proc/self/fd")), pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def soak(runs: int, at_once: int) -> Counter[str]:
    """Run the graph so many times; return how the runs ended."""
    numbers = iter(range(runs))
    ends: Counter[str] = Counter()
    begun = time.monotonic()

    async def worker() -> None:
        for number in numbers:
            try:
                result = await graph.ainvoke({"query": f"What is number {number}?"})
                ends[f"{result['stop_reason']}{', degraded' if result['degraded'] else ''}"] += 1
            except ModelError:
                ends["failed"] += 1
            if ends.total() % EVERY == 0:
                files, memory = figures()
                say(f"{ends.total():>6,}  {time.monotonic() - begun:>6.1f}  {files:>5}  {memory:>6.1f}")

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return ends


def main() -> None:
    """Start the scripted Groq, soak, and print the figures."""
    parser = argparse.ArgumentParser(description="Run the graph thousands of times, and watch files and memory.")
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--at-once", type=int, default=100)
    parser.add_argument("--delay", type=float, default=0.02, help="seconds before a reply's first byte")
    parser.add_argument("--faults", type=float, default=0.05, help="share of replies that go wrong, 0 to 1")
    options = parser.parse_args()
    command = [sys.executable, str(SERVER), "--delay", str(options.delay), "--faults", str(options.faults)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        if server.stdin is None or server.stdout is None:
            raise RuntimeError("the scripted Groq has no pipes")
        os.environ |= {"GROQ_API_KEY": "gsk_soak", "GROQ_API_BASE": server.stdout.readline().strip()}
        os.environ["LANGSMITH_TRACING"] = "false"
        say("  runs       s  files     MiB")
        ends = asyncio.run(soak(options.runs, options.at_once))
        server.stdin.close()  # it ends with its standard input
    say(", ".join(f"{count:,} {end}" for end, count in ends.most_common()))


if __name__ == "__main__":
    main()
