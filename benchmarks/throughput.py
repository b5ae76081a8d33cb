"""Throughput: runs per second, latency and memory of concurrent runs in one process, compared with the plain loop.

Each sample runs in its own process, so that its memory can be measured; the variants are interleaved.
`python -m benchmarks.throughput VARIANT AT_ONCE RUNS` prints one sample as JSON.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable

from benchmarks.measure import ROOT, Json, Run, figure, ratio, resident_mib

LATENCY_MS = 200
RUNS = {1: 8, 10: 60, 100: 400, 500: 1000}
"""Measured runs by concurrency; one uncounted run per slot warms up."""
FIGURES = ("runs_per_s", "p50_s", "p99_s", "cpu_ms", "kib_per_run")


async def measure(*, quick: bool, log: Callable[[str], None]) -> Json:
    """Measure both variants at each concurrency, interleaved."""
    rows = []
    for at_once, runs in {1: 1, 5: 10}.items() if quick else RUNS.items():
        samples: dict[str, list[Json]] = {"baseline": [], "ours": []}
        for number in range(1 if quick else 3 if at_once < 500 else 2):
            for name, of_variant in samples.items():
                log(f"throughput: {at_once} at once, {name}, round {number + 1}")
                of_variant.append(await _sample(name, at_once, runs))
        row: Json = {"at_once": at_once, "runs": runs}
        for name, of_variant in samples.items():
            row[name] = {key: figure([sample[key] for sample in of_variant]) for key in FIGURES}
        for key in ("p50_s", "runs_per_s", "cpu_ms"):
            both = ([sample[key] for sample in samples[name]] for name in ("ours", "baseline"))
            row[f"{key}_ratio"] = ratio(*both)
        rows.append(row)
    return {"latency_ms": LATENCY_MS, "turns": 3, "rows": rows}


async def _sample(name: str, at_once: int, runs: int) -> Json:
    command = (sys.executable, "-m", "benchmarks.throughput", name, str(at_once), str(runs))
    child = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    output, _ = await child.communicate()
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with exit code {child.returncode}")
    sample: Json = json.loads(output)
    return sample


async def _measure_here(name: str, at_once: int, runs: int) -> Json:
    """Measure the variant in this process."""
    run = _run(name)
    await run()
    idle_mib = resident_mib()
    await _run_all(run, at_once, at_once)
    memory_mib = [idle_mib]
    sampler = asyncio.create_task(_sample_memory(memory_mib))
    cpu_start, wall_start = time.process_time(), time.perf_counter()
    seconds = await _run_all(run, at_once, runs)
    wall = time.perf_counter() - wall_start
    sampler.cancel()
    centiles = statistics.quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else seconds * 99
    return {
        "runs_per_s": runs / wall,
        "p50_s": centiles[49],
        "p99_s": centiles[98],
        "cpu_ms": (time.process_time() - cpu_start) * 1000 / runs,
        "kib_per_run": (max(memory_mib) - idle_mib) * 1024 / at_once,
    }


def _run(name: str) -> Run:
    """Return a run of the variant, importing only what it needs."""
    if name == "ours":
        from benchmarks.overhead import ours

        return ours(None, 3, LATENCY_MS)
    from groq import AsyncGroq

    from benchmarks import baseline
    from benchmarks.server import model

    client, question = AsyncGroq(), "What is 17 * 23?"
    return lambda: baseline.answer(client, question, model=model(LATENCY_MS))


async def _run_all(run: Run, at_once: int, runs: int) -> list[float]:
    """Make the runs, `at_once` concurrently; return the seconds of each."""
    numbers, seconds = iter(range(runs)), list[float]()

    async def worker() -> None:
        for _ in numbers:
            started_at = time.perf_counter()
            await run()
            seconds.append(time.perf_counter() - started_at)

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return seconds


async def _sample_memory(memory_mib: list[float]) -> None:
    while True:
        memory_mib.append(resident_mib())
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    json.dump(asyncio.run(_measure_here(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))), sys.stdout)
