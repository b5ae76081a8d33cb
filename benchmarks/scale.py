"""Throughput and cost of one and of two server processes: Aegra, set up as in deploy/.

    python -m benchmarks.scale [--runs 120] [--delay 1] [--tokens]

Starts all runs (of four calls each) at once, against a scripted Groq that waits before each reply. Prints for one and
for two processes: runs per second, the servers' processor seconds per run, memory, connections, and PostgreSQL's growth
per run; then the ratio of the rates. PostgreSQL, Redis, nginx and the scripted Groq share the machine with the servers.
Linux; PostgreSQL, Redis, nginx and Python 3.12 must be installed.
"""

import argparse
import asyncio
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from langgraph_sdk import get_client
from rich.console import Console

from benchmarks.measure import resident_mib
from benchmarks.server import serving
from testing.cluster import KEY, Cluster, cluster

WARM_UP_RUNS = 5
DATABASE_SIZE = "SELECT pg_database_size(current_database())"


class Figures(NamedTuple):
    """The figures of a number of server processes."""

    runs_per_s: float
    cpu_s_per_run: float
    memory_mib: float  # of the largest process
    connections: int  # peak of all processes' connections to PostgreSQL
    kib_per_run: float  # in PostgreSQL


def server_usage(servers: Cluster) -> tuple[float, float]:
    """Return the servers' processor seconds, and the memory of the largest in MiB."""
    processes = [servers.running[str(port)].pid for port in servers.ports]
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in processes]
    ticks = sum(int(fields[11]) + int(fields[12]) for fields in stats)
    return ticks / os.sysconf("SC_CLK_TCK"), max(map(resident_mib, processes))


async def load(servers: Cluster, runs: int, modes: Any) -> int:
    """Start the runs, each on its own thread, and wait until all have ended; return the peak number of connections."""
    async with get_client(url=servers.address, api_key=KEY) as client:

        async def start(number: int) -> None:
            thread = (await client.threads.create())["thread_id"]
            question = {"query": f"What is number {number}?"}
            await client.runs.create(thread, "llamaberry", input=question, stream_mode=modes)

        before = query_number(servers, "SELECT count(*) FROM runs")
        for offset in range(0, runs, 10):
            await asyncio.gather(*(start(number) for number in range(offset, min(offset + 10, runs))))
        connections = 0
        while query_number(servers, "SELECT count(*) FROM runs WHERE status = 'success'") < before + runs:
            now = query_number(servers, "SELECT count(*) - 1 FROM pg_stat_activity WHERE datname IS NOT NULL")
            connections = max(connections, now)
            failed = query_number(servers, "SELECT count(*) FROM runs WHERE status IN ('error', 'interrupted')")
            if failed:
                raise RuntimeError(f"{failed} runs failed: see {servers.folder}")
            await asyncio.sleep(0.1)
    return connections


def query_number(servers: Cluster, query: str) -> int:
    """Return a number from PostgreSQL."""
    with psycopg.connect(servers.database) as connection:
        row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


def measure(groq: str, count: int, runs: int, modes: Any) -> Figures:
    """Start `count` servers, and measure the runs after a warm-up."""
    with cluster(groq, count) as servers:
        asyncio.run(load(servers, WARM_UP_RUNS * count, modes))
        size, (cpu_start, _) = query_number(servers, DATABASE_SIZE), server_usage(servers)
        wall_start = time.monotonic()
        connections = asyncio.run(load(servers, runs, modes))
        seconds = time.monotonic() - wall_start
        cpu_end, memory = server_usage(servers)
        growth = (query_number(servers, DATABASE_SIZE) - size) / 1024
    return Figures(runs / seconds, (cpu_end - cpu_start) / runs, memory, connections, growth / runs)


def main() -> None:
    """Start the scripted Groq, measure one process and two, and print the figures."""
    parser = argparse.ArgumentParser(description="Measure the runs per second of one server process and of two.")
    parser.add_argument("--runs", type=int, default=120)
    parser.add_argument("--delay", type=float, default=1, help="seconds before a reply's first byte")
    parser.add_argument("--tokens", action="store_true", help="stream tokens, as `llamaberry ask --server` does")
    options = parser.parse_args()
    modes = ["messages-tuple", "updates", "values"] if options.tokens else ["values"]
    console = Console(highlight=False)
    with serving("--delay", str(options.delay)) as groq:
        console.print("processes  runs/s  CPU s/run  MiB  connections  KiB/run")
        rates = []
        for count in (1, 2):
            figures = measure(groq, count, options.runs, modes)
            rates.append(figures.runs_per_s)
            console.print(
                f"{count:>9}  {figures.runs_per_s:>6.2f}  {figures.cpu_s_per_run:>9.3f}  {figures.memory_mib:>3.0f}"
                f"  {figures.connections:>11}  {figures.kib_per_run:>7.1f}"
            )
    console.print(f"two processes: {rates[1] / rates[0]:.2f} times the runs per second of one")


if __name__ == "__main__":
    main()
