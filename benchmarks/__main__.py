"""Measure Llamaberry beside the plain loop.

    python -m benchmarks [--only overhead,throughput,tokens,start,growth] [--quick] [--out DIR] [--local]

Prints tables, and writes the results as JSON, the plots and the tables of docs/performance.md. `--quick` measures too
little to mean anything: it shows that all works, and writes to --out alone. Linux.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import growth, layers, overhead, plots, report, start, throughput, tokens
from benchmarks.measure import ROOT, Json, machine
from benchmarks.server import serving

RESULTS = ROOT / "benchmarks" / "results"
MEASURES: dict[str, Callable[..., Coroutine[Any, Any, Json]]] = {
    "overhead": overhead.measure,
    "layers": layers.measure,
    "throughput": throughput.measure,
    "tokens": tokens.measure,
    "local": tokens.measure_local,
    "start": start.measure,
    "growth": growth.measure,
}


def main() -> None:
    """Measure what is asked for, and show and write all that is there."""
    parser = argparse.ArgumentParser(description="Measure Llamaberry beside the plain loop.")
    parser.add_argument("--only", default="", help=f"some of {','.join(MEASURES)}; layers goes with overhead")
    parser.add_argument("--quick", action="store_true", help="a few runs of each: to see that it works")
    parser.add_argument("--local", action="store_true", help="the local model, too (minutes)")
    parser.add_argument("--out", type=Path, help="where the JSON goes, and then nothing else is written")
    options = parser.parse_args()
    if options.quick and not options.out:
        parser.error("--quick needs --out DIR: its figures are not to stand among the real ones")
    wanted = set(filter(None, options.only.split(","))) or set(MEASURES) - {"local"}
    if unknown := wanted - set(MEASURES):
        parser.error(f"--only {','.join(sorted(unknown))}: there is {', '.join(MEASURES)}")
    wanted |= {"local"} if options.local else set()
    wanted |= {"layers"} if "overhead" in wanted and not options.quick else set()
    console, errors = Console(), Console(stderr=True)
    console.width = max(console.width, 130)  # a pipe has 80
    folder = options.out or RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    with serving():
        for name in (name for name in MEASURES if name in wanted):
            begun, about = time.monotonic(), machine()
            found = asyncio.run(MEASURES[name](quick=options.quick, say=errors.print))
            about |= {"command": f"python -m benchmarks {' '.join(sys.argv[1:])}".strip(), "quick": options.quick}
            found = {"machine": about | {"seconds": round(time.monotonic() - begun, 1)}} | found
            (folder / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    results = _read(folder)
    shown = report.tables(results, _read(RESULTS / "before"))
    for table in shown:
        console.print(report.as_rich(table))
    if folder == RESULTS:
        plots.draw(results, report.PAGE.with_suffix(""))
        report.write_page(results, shown)


def _read(folder: Path) -> Json:
    files = ((name, folder / f"{name}.json") for name in MEASURES)
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in files if path.exists()}


if __name__ == "__main__":
    main()
