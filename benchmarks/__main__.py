"""Compare the cost of a run with that of the plain loop.

    python -m benchmarks [--only answer,overhead,throughput,tokens,start,growth] [--quick] [--out DIR] [--local]

Prints tables, and writes the results as JSON, and the plots and tables of docs/performance.md. `--quick` makes too few
runs for meaningful figures: it is a test, and writes to --out only. Linux.
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

from benchmarks import answer, conversation, growth, layers, overhead, plots, report, start, throughput, tokens
from benchmarks.measure import ROOT, Json, machine
from benchmarks.server import serving

RESULTS = ROOT / "benchmarks" / "results"
MEASURES: dict[str, Callable[..., Coroutine[Any, Any, Json]]] = {
    "answer": answer.measure,
    "answer-local": answer.measure_local,
    "overhead": overhead.measure,
    "layers": layers.measure,
    "throughput": throughput.measure,
    "tokens": tokens.measure,
    "local": tokens.measure_local,
    "start": start.measure,
    "growth": growth.measure,
    "conversation": conversation.measure,
}
LOCAL = {"answer-local", "local"}
"""Those with the local model."""


def main() -> None:
    """Run the chosen benchmarks; print and write all available results."""
    parser = argparse.ArgumentParser(description="Compare the cost of a run with that of the plain loop.")
    parser.add_argument("--only", default="", help=f"some of {','.join(MEASURES)}; overhead includes layers")
    parser.add_argument("--quick", action="store_true", help="a few runs of each, as a test")
    parser.add_argument("--local", action="store_true", help="measure the local model too (takes minutes)")
    parser.add_argument("--out", type=Path, help="write the JSON here, and nothing else")
    options = parser.parse_args()
    if options.quick and not options.out:
        parser.error("--quick needs --out DIR: its figures must not replace the real ones")
    names = set(filter(None, options.only.split(","))) or set(MEASURES) - LOCAL
    if unknown := names - set(MEASURES):
        parser.error(f"--only {','.join(sorted(unknown))}: choose from {', '.join(MEASURES)}")
    if options.local:
        names |= LOCAL
    if "overhead" in names and not options.quick:
        names.add("layers")
    console, errors = Console(), Console(stderr=True)
    console.width = max(console.width, 130)  # in a pipe it is 80
    folder = options.out or RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    command = f"python -m benchmarks {' '.join(sys.argv[1:])}".strip()
    with serving(module="benchmarks.server"):
        for name in (name for name in MEASURES if name in names):
            started_at, details = time.monotonic(), machine()
            figures = asyncio.run(MEASURES[name](quick=options.quick, log=errors.print))
            details |= {"command": command, "quick": options.quick, "seconds": round(time.monotonic() - started_at, 1)}
            text = json.dumps({"machine": details} | figures, indent=1) + "\n"
            (folder / f"{name}.json").write_text(text, encoding="utf-8")
    results = _read(folder)
    tables = report.tables(results, _read(RESULTS / "before"))
    for table in tables:
        console.print(report.as_rich(table))
    if folder == RESULTS:
        plots.draw(results, report.PAGE.with_suffix(""))
        report.write_page(results, tables)


def _read(folder: Path) -> Json:
    files = ((name, folder / f"{name}.json") for name in MEASURES)
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in files if path.exists()}


if __name__ == "__main__":
    main()
