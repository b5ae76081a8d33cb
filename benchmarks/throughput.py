"""Throughput: runs a second, latencies and memory with many runs at once in one process, beside the plain loop.

Each sample is a process of its own, in turns with the other's, so that the memory is its own too:
`python -m benchmarks.throughput VARIANT AT_ONCE RUNS` prints one as JSON.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import ROOT, Json, Run, figure, ratio

LATENCY_MS = 200
RUNS = {1: 8, 10: 60, 100: 400, 500: 1000}
"""Runs that are counted, by how many go on at once; as many as go on at once warm up before."""
FIGURES = ("runs_per_s", "p50_s", "p99_s", "cpu_ms", "kib_per_run")


async def measure(*, quick: bool, say: Callable[[str], None]) -> Json:
    """Measure both, in turns, at each number of runs at once."""
    rows = []
    for at_once, runs in {1: 1, 5: 10}.items() if quick else RUNS.items():
        samples: dict[str, list[Json]] = {"baseline": [], "ours": []}
        for number in range(1 if quick else 3 if at_once < 500 else 2):
            for name, taken in samples.items():
                say(f"throughput: {at_once} at once, {name}, round {number + 1}")
                taken.append(await _sample(name, at_once, runs))
        row: Json = {"at_once": at_once, "runs": runs}
        for name, taken in samples.items():
            row[name] = {key: figure([sample[key] for sample in taken]) for key in FIGURES}
        for key in ("p50_s", "runs_per_s", "cpu_ms"):
            both = ([sample[key] for sample in samples[name]] for name in ("ours", "baseline"))
            row[f"{key}_ratio"] = ratio(*both)
        rows.append(row)
    return {"latency_ms": LATENCY_MS, "turns": 3, "rows": rows}


async def _sample(name: str, at_once: int, runs: int) -> Json:
    command = (sys.executable, "-m", "benchmarks.throughput", name, str(at_once), str(runs))
    child = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    told, _ = await child.communicate()
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: its exit code is {child.returncode}")
    sample: Json = json.loads(told)
    return sample


async def _sampled(name: str, at_once: int, runs: int) -> Json:
    """Run so many, so many at once, in this process; return what it came to."""
    run = _run(name)
    await run()
    idle = _memory_kib()
    await _all(run, at_once, at_once)
    spent, begun, most = time.process_time(), time.perf_counter(), [idle]
    watching = asyncio.create_task(_watch(most))
    seconds = await _all(run, at_once, runs)
    wall = time.perf_counter() - begun
    watching.cancel()
    centiles = statistics.quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else seconds * 99
    return {
        "runs_per_s": runs / wall,
        "p50_s": centiles[49],
        "p99_s": centiles[98],
        "cpu_ms": (time.process_time() - spent) * 1000 / runs,
        "kib_per_run": (max(most) - idle) / at_once,
    }


def _run(name: str) -> Run:
    """Return the variant; only what it needs is imported."""
    if name == "ours":
        from benchmarks.overhead import ours

        return ours(None, 3, LATENCY_MS)
    from groq import AsyncGroq

    from benchmarks import baseline
    from benchmarks.server import model

    client, question = AsyncGroq(), "What is 17 * 23?"
    return lambda: baseline.answer(client, question, model=model(LATENCY_MS))


async def _all(run: Run, at_once: int, runs: int) -> list[float]:
    """Run so many, so many at once; return the seconds of each."""
    numbers, seconds = iter(range(runs)), list[float]()

    async def worker() -> None:
        for _ in numbers:
            begun = time.perf_counter()
            await run()
            seconds.append(time.perf_counter() - begun)

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return seconds


async def _watch(most: list[float]) -> None:
    while True:
        most.append(_memory_kib())
        await asyncio.sleep(0.1)


def _memory_kib() -> float:
    """Return the resident memory of this process. Linux."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


if __name__ == "__main__":
    json.dump(asyncio.run(_sampled(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))), sys.stdout)
