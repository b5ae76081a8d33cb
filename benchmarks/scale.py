"""What do one and two server processes do in a second, and what does a run cost? Aegra as deploy/ sets it up.

    python -m benchmarks.scale [--runs 120] [--delay 1] [--tokens]

Runs of four calls, all begun at once, against a scripted Groq that waits before each reply. Prints for one process and
for two: runs a second, seconds of processor time a run (of the servers), memory, connections and what a run takes in
PostgreSQL; then the ratio. All is on one machine, PostgreSQL, Redis, nginx and the scripted Groq as well: what they
take, the servers lack. Linux; PostgreSQL, Redis, nginx and Python 3.12 have to be installed.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from langgraph_sdk import get_client

from testing.cluster import KEY, Cluster, cluster

GROQ = Path(__file__).parents[1] / "testing" / "scripted_groq.py"
WARM = 5


class Figures(NamedTuple):
    """What a number of server processes did."""

    rate: float  # runs a second
    seconds: float  # of processor time a run
    memory: float  # MiB of the largest process
    connections: int  # of all processes to PostgreSQL, at their most
    size: float  # KiB of PostgreSQL a run


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def used(made: Cluster) -> tuple[float, float]:
    """Return the servers' seconds of processor time, and the most memory of one in MiB."""
    seconds, memory = 0.0, 0.0
    for port in made.ports:
        folder = Path("/proc", str(made.running[str(port)].pid))
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        pages = int((folder / "statm").read_text().split()[1])
        memory = max(memory, pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
    return seconds, memory


async def load(made: Cluster, runs: int, modes: Any) -> int:
    """Begin so many runs, each on a thread of its own, and wait until all have ended; return the most connections."""
    async with get_client(url=made.address, api_key=KEY) as client:

        async def begin(number: int) -> None:
            thread = (await client.threads.create())["thread_id"]
            asked = {"query": f"What is number {number}?"}
            await client.runs.create(thread, "llamaberry", input=asked, stream_mode=modes)

        before = asked_of(made, "SELECT count(*) FROM runs")
        for first in range(0, runs, 10):
            await asyncio.gather(*(begin(number) for number in range(first, min(first + 10, runs))))
        most = 0
        ended = "SELECT count(*) FROM runs WHERE status = 'success'"
        while asked_of(made, ended) < before + runs:
            most = max(most, asked_of(made, "SELECT count(*) - 1 FROM pg_stat_activity WHERE datname IS NOT NULL"))
            if lost := asked_of(made, "SELECT count(*) FROM runs WHERE status IN ('error', 'interrupted')"):
                raise RuntimeError(f"{lost} runs failed: see {made.folder}")
            await asyncio.sleep(0.1)
    return most


def asked_of(made: Cluster, query: str) -> int:
    """Return a number from PostgreSQL."""
    with psycopg.connect(made.database) as connection:
        found = connection.execute(query).fetchone()  # type: ignore[arg-type]
    return int(found[0]) if found else 0


def measure(groq: str, servers: int, runs: int, modes: Any) -> Figures:
    """Start so many servers, and measure."""
    with cluster(groq, servers) as made:
        asyncio.run(load(made, WARM * servers, modes))
        size, (seconds, _), begun = asked_of(made, SIZE), used(made), time.monotonic()
        connections = asyncio.run(load(made, runs, modes))
        wall = time.monotonic() - begun
        after, memory = used(made)
        grown = (asked_of(made, SIZE) - size) / 1024 / runs
    return Figures(runs / wall, (after - seconds) / runs, memory, connections, grown)


SIZE = "SELECT pg_database_size(current_database())"


def main() -> None:
    """Start the scripted Groq, measure one process and two, and print the figures."""
    parser = argparse.ArgumentParser(description="Runs a second of one server process and of two.")
    parser.add_argument("--runs", type=int, default=120)
    parser.add_argument("--delay", type=float, default=1, help="seconds before a reply's first byte")
    parser.add_argument(
        "--tokens", action="store_true", help="stream the tokens too, as `llamaberry ask --server` does"
    )
    options = parser.parse_args()
    modes = ["messages-tuple", "updates", "values"] if options.tokens else ["values"]
    command = [sys.executable, str(GROQ), "--delay", str(options.delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        if server.stdin is None or server.stdout is None:
            raise RuntimeError("the scripted Groq has no pipes")
        groq = server.stdout.readline().strip()
        say("processes  runs/s  CPU s/run  MiB  connections  KiB/run")
        rates = []
        for servers in (1, 2):
            figures = measure(groq, servers, options.runs, modes)
            rates.append(figures.rate)
            say(
                f"{servers:>9}  {figures.rate:>6.2f}  {figures.seconds:>9.3f}  {figures.memory:>3.0f}"
                f"  {figures.connections:>11}  {figures.size:>7.1f}"
            )
        server.stdin.close()  # it ends with its standard input
    say(f"two processes do {rates[1] / rates[0]:.2f} times the runs of one")


if __name__ == "__main__":
    main()
