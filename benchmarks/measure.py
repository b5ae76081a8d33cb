"""Helpers of all benchmarks: interleaved runs, so that a noisy machine affects all variants alike, and medians."""

import gc
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGES = ("groq", "httpx", "langchain-core", "langchain-groq", "langgraph", "langgraph-checkpoint-sqlite", "pydantic")

Json = dict[str, Any]
Run = Callable[[], Awaitable[object]]


class Table(NamedTuple):
    """A title, column headings, and rows of cells."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def figure(samples: Sequence[float], digits: int = 3) -> Json:
    """Return the median and the quartiles."""
    low, _, high = statistics.quantiles(samples, n=4) if len(samples) > 1 else (samples[0],) * 3
    return {"median": round(statistics.median(samples), digits), "low": round(low, digits), "high": round(high, digits)}


def ratio(samples: Sequence[float], base: Sequence[float]) -> Json:
    """Return the ratio of the samples to `base`, round by round."""
    return figure([one / other for one, other in zip(samples, base, strict=True)])


async def interleaved(variants: Mapping[str, Run], *, rounds: int, repeat: int = 1) -> Json:
    """Run each variant `repeat` times per round, one after another, after an uncounted warm-up round.

    Returns for each variant the milliseconds per run of this process's CPU ("cpu_ms") and of the clock ("wall_ms"), and
    their ratios to the first variant.
    """
    cpu: dict[str, list[float]] = {name: [] for name in variants}
    wall: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds + 1):
        for name, run in variants.items():
            gc.collect()  # so that no variant collects the garbage of another
            cpu_start, wall_start = time.process_time(), time.perf_counter()
            for _ in range(repeat):
                await run()
            if number:
                cpu[name].append((time.process_time() - cpu_start) * 1000 / repeat)
                wall[name].append((time.perf_counter() - wall_start) * 1000 / repeat)
    base = next(iter(variants))
    return {
        name: {
            "cpu_ms": figure(cpu[name]),
            "wall_ms": figure(wall[name]),
            "cpu_ratio": ratio(cpu[name], cpu[base]),
            "wall_ratio": ratio(wall[name], wall[base]),
        }
        for name in variants
    }


def resident_mib(process: int | str = "self") -> float:
    """Return the resident memory of a process in MiB. Linux."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def machine() -> Json:
    """Return the date, the commit, the machine and the package versions."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit.stdout.strip(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "versions": {name: version(name) for name in PACKAGES},
    }
