"""Is a batch exact, quick and flat? Thousands of questions, killed twice, against a scripted Groq.

    python benchmarks/batch.py [--questions 4000] [--turns 1] [--at-once 64] [--delay 0.05]

It kills `llamaberry batch` at a third and at two thirds of the questions, lets it end, and counts how often each id
stands in OUT. Then a quarter of the questions and all of them are asked without a kill: how quickly, and with how much
memory at the most (resident, MiB). Last, the same calls are made without Llamaberry, by a bare asyncio loop over one
HTTP client. The scripted Groq is a process of its own. On a busy machine the processor's time is the figure to believe.
Linux.
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

SERVER = Path(__file__).parents[1] / "testing" / "scripted_groq.py"
COMMAND = [sys.executable, "-c", "from llamaberry.cli.main import main; main()", "batch"]
ASKED = "What is number {}? Reply under `## Reasoning` and `## Answer`."


def ids(out: Path) -> list[str]:
    """Return the ids in OUT, of its whole lines."""
    return [json.loads(line)["id"] for line in out.read_bytes().split(b"\n")[:-1]] if out.exists() else []


class Took(NamedTuple):
    """What a run took: seconds, those of the processor among them, and the most memory in MiB."""

    seconds: float
    busy_s: float
    memory: float


def timed(source: Path, out: Path, words: list[str]) -> Took:
    """Run the command to its end."""
    begun = time.monotonic()
    run = subprocess.Popen([*COMMAND, str(source), str(out), *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        raise RuntimeError(f"the batch ended with {run.returncode}")
    return Took(time.monotonic() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def killed(source: Path, out: Path, words: list[str], enough: int) -> int:
    """Kill the command as soon as OUT has so many lines; return how many it had."""
    with subprocess.Popen([*COMMAND, str(source), str(out), *words], stdout=subprocess.DEVNULL) as run:
        while (there := out.read_bytes().count(b"\n") if out.exists() else 0) < enough and run.poll() is None:
            time.sleep(0.05)
        run.send_signal(signal.SIGKILL)
    return there


async def bare(url: str, calls: int, at_once: int) -> Took:
    """Make so many calls, and nothing else."""
    numbers, begun, busy = iter(range(calls)), time.monotonic(), time.process_time()
    async with httpx.AsyncClient(headers={"authorization": "Bearer gsk_bench"}, timeout=60) as client:

        async def worker() -> None:
            for number in numbers:
                asked = {"model": "any", "messages": [{"role": "user", "content": ASKED.format(number)}]}
                (await client.post(f"{url}/openai/v1/chat/completions", json=asked)).raise_for_status()

        await asyncio.gather(*(worker() for _ in range(at_once)))
    return Took(time.monotonic() - begun, time.process_time() - busy, 0)


def measured(folder: Path, url: str, options: argparse.Namespace) -> Table:
    """Run it all, and return the table."""
    questions, at_once = options.questions, options.at_once
    source, part = folder / "in.jsonl", folder / "part.jsonl"
    rows = [json.dumps({"question": ASKED.format(n), "id": f"q{n}"}) + "\n" for n in range(questions)]
    source.write_text("".join(rows))
    part.write_text("".join(rows[: questions // 4]))
    words = ["--turns", str(options.turns), "--concurrency", str(at_once)]
    calls = questions * (options.turns + (options.turns > 1))

    exact = folder / "exact.jsonl"
    cuts = [killed(source, exact, words, questions * third // 3) for third in (1, 2)]
    timed(source, exact, words)
    found = Counter(ids(exact))
    once = sum(count == 1 for count in found.values())
    quarter = timed(part, folder / "part-out.jsonl", words)
    whole = timed(source, folder / "out.jsonl", words)
    plain = asyncio.run(bare(url, calls, at_once))

    table = Table("what", "figure", title=f"{questions:,} questions, {calls:,} calls, {at_once} at once")
    table.add_row(f"killed at {cuts[0]:,} and {cuts[1]:,} lines: ids there once", f"{once:,} of {len(found):,}")
    for what, took in (("batch, its start included", whole), ("the same calls in a bare loop", plain)):
        table.add_row(f"{what}: questions a second", f"{questions / took.seconds:,.1f}")
        table.add_row(f"{what}: processor time a question", f"{took.busy_s / questions * 1000:,.1f} ms")
    table.add_row(f"most memory, {questions // 4:,} questions", f"{quarter.memory:,.1f} MiB")
    table.add_row(f"most memory, {questions:,} questions", f"{whole.memory:,.1f} MiB")
    return table


def main() -> None:
    """Start the scripted Groq, measure, and print the figures."""
    parser = argparse.ArgumentParser(description="A batch that is killed twice; its speed and its memory.")
    parser.add_argument("--questions", type=int, default=4000)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--delay", type=float, default=0.05, help="seconds before a reply's first byte")
    options = parser.parse_args()
    command = [sys.executable, str(SERVER), "--delay", str(options.delay)]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server,
    ):
        if server.stdin is None or server.stdout is None:
            raise RuntimeError("the scripted Groq has no pipes")
        url = server.stdout.readline().strip()
        os.environ |= {"GROQ_API_KEY": "gsk_bench", "GROQ_API_BASE": url, "LANGSMITH_TRACING": "false"}
        Console().print(measured(Path(folder), url, options))
        server.stdin.close()  # it ends with its standard input


if __name__ == "__main__":
    main()
