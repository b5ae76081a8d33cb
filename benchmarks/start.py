"""Startup: imports, commands, and the time until the first request is sent; each in a new process."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

from benchmarks.measure import ROOT, Json, figure, ratio
from testing.scripted_groq import ScriptedGroq

QUESTION = "What is 17 * 23?"
IMPORTS = {
    "python": "pass",
    "import langgraph.graph, langchain_groq": "import langgraph.graph, langchain_groq",
    "import llamaberry": "import llamaberry",
    "from llamaberry import graph": "from llamaberry import graph",
}
COMMANDS = ("--version", "ask --help", "history")
PROGRAMS: dict[str, Sequence[str]] = {
    "the plain loop": ("-m", "benchmarks.baseline", QUESTION),
    "llamaberry ask": ("-m", "llamaberry", "ask", "--model", "groq:after-0-ms", QUESTION),
}


async def measure(*, quick: bool, log: Callable[[str], None]) -> Json:
    """Start each program several times, interleaved."""
    log("start")
    rounds = 1 if quick else 9
    with tempfile.TemporaryDirectory() as home:
        env = os.environ | {"LLAMABERRY_HOME": home, "NO_COLOR": "1"}
        imports: dict[str, Sequence[str]] = {name: ("-c", code) for name, code in IMPORTS.items()}
        for words in COMMANDS:
            imports[f"llamaberry {words}"] = ("-m", "llamaberry", *words.split())
        return {
            "to_the_end": _figures(imports, env, rounds, _to_the_end, base="import langgraph.graph, langchain_groq"),
            "to_the_first_request": _figures(PROGRAMS, env, rounds, _to_the_first_request, base="the plain loop"),
        }


def _figures(
    programs: dict[str, Sequence[str]],
    env: dict[str, str],
    rounds: int,
    timer: Callable[[Sequence[str], dict[str, str]], float],
    *,
    base: str,
) -> Json:
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(rounds + 1):
        for name, arguments in programs.items():
            elapsed = timer([sys.executable, *arguments], env)
            if number:  # the first round fills the disk cache
                seconds[name].append(elapsed)
    return {name: {"s": figure(samples), "ratio": ratio(samples, seconds[base])} for name, samples in seconds.items()}


def _to_the_end(command: Sequence[str], env: dict[str, str]) -> float:
    started_at = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True)
    return time.perf_counter() - started_at


def _to_the_first_request(command: Sequence[str], env: dict[str, str]) -> float:
    """Return the time until the scripted Groq has received the program's first request."""
    with ScriptedGroq() as groq:
        address = {"GROQ_API_BASE": groq.url, "GROQ_BASE_URL": groq.url}
        started_at = time.monotonic()
        subprocess.run(command, cwd=ROOT, env=env | address, check=True, capture_output=True)
        return groq.requests[0].time - started_at
