"""Answer the questions of an evaluation with the methods of optillm, on the local model, and compare.

    pip install --no-deps optillm
    python evals/peers.py evals/results/computation-seed-103 --per-task 5

Each method gets the bare question and runs with its own defaults (github.com/algorithmicsuperintelligence/optillm). Its
reply is free text, in which `conclusions` looks for the answer: the reply is right if any of them is. The results are
appended to `peers.jsonl` in the folder; the same command continues, and prints a table with the evaluation's own arms
on the same questions.
"""

import argparse
import importlib
import importlib.util
import json
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from openai import OpenAI

from llamaberry.evaluation.data import Case, generate
from llamaberry.jsonl import append
from llamaberry.models.local import server

METHODS = {
    "cot_reflection": "cot_reflection",
    "bon": "best_of_n_sampling",
    "moa": "mixture_of_agents",
    "self_consistency": "advanced_self_consistency_approach",
}
_CONCLUSION = re.compile(
    r"(?:answer|result)\W{0,3}(?:is|:|are)\W*(.+)|\*\*(.+?)\*\*|\\boxed\{([^{}]+)\}", re.IGNORECASE
)


class Figures(NamedTuple):
    """What one answer is worth, and what it cost."""

    right: bool
    calls: int
    tokens: int


class Completions:
    """The client that a method gets: it counts calls and tokens, and refuses a request for several replies at once
    that the server answers with one (the methods then ask one by one)."""

    def __init__(self, client: OpenAI) -> None:
        self._client, self.calls, self.tokens = client, 0, 0
        self.chat = self.completions = self

    def create(self, **request: Any) -> Any:
        """Return the server's reply."""
        reply = self._client.chat.completions.create(**request)
        self.calls += len(reply.choices)
        self.tokens += reply.usage.total_tokens if reply.usage else 0
        if len(reply.choices) < request.get("n", 1):
            raise ValueError("the server gives one reply per request")
        return reply


def load_method(name: str) -> Callable[..., tuple[str, int]]:
    """Return a method of optillm without importing its server, which needs all of its dependencies."""
    if "optillm" not in sys.modules:
        spec = importlib.util.find_spec("optillm")
        if spec is None or spec.submodule_search_locations is None:
            sys.exit("optillm is not installed: pip install --no-deps optillm")
        package = ModuleType("optillm")
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules["optillm"] = package
    method: Callable[..., tuple[str, int]] = getattr(importlib.import_module(f"optillm.{name}"), METHODS[name])
    return method


def conclusions(text: str) -> list[str]:
    """Return what may be the answer in a reply: all of it, its last line, and the last "The answer is …", bold text,
    `\\boxed{}` and number."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last: dict[int, str] = {match.lastindex or 0: match[match.lastindex or 0] for match in _CONCLUSION.finditer(text)}
    numbers = re.findall(r"-?\d[\d,]*(?:\.\d+)?", text)
    return [text.strip(), *lines[-1:], *numbers[-1:], *(found.strip(" *_.`:\\()[]$") for found in last.values())]


def is_right(case: Case, text: str) -> bool:
    """Return whether one of the conclusions of a reply is the answer."""
    return any(case.check(found) for found in conclusions(text)) if case.check else False


def answer(case: Case, name: str, client: OpenAI) -> dict[str, Any]:
    """Return the row of a question answered by a method."""
    counting, started = Completions(client), time.perf_counter()
    query = f"User: {case.question}"  # what optillm's server makes of a conversation
    text, _ = load_method(name)("", query, counting, "local")
    return {
        "id": case.id,
        "task": case.task,
        "method": name,
        "right": is_right(case, text),
        "calls": counting.calls,
        "tokens": counting.tokens,
        "seconds": round(time.perf_counter() - started, 1),
        "text": text,
    }


def print_table(folder: Path, cases: list[Case], methods: list[str]) -> None:
    """Print each method's and each arm's right answers on the questions that all of them have answered."""
    rows: dict[str, dict[str, Figures]] = defaultdict(dict)
    for line in (folder / "results.jsonl").read_text().splitlines():
        result = json.loads(line)
        tokens = [reply["tokens"] or {"input": 0, "output": 0} for reply in result["replies"]]
        spent = sum(count["input"] + count["output"] for count in tokens)
        rows[result["arm"]][result["id"]] = Figures(result["right"], len(tokens), spent)
    for row in peers_rows(folder):
        rows[f"optillm {row['method']}"][row["id"]] = Figures(row["right"], row["calls"], row["tokens"])
    common = {case.id for case in cases}.intersection(*(rows[f"optillm {name}"] for name in methods))
    print(f"{len(common)} questions\n\n| | right | calls | tokens |\n|---|---|---|---|")
    for name, answers in rows.items():
        if common and common <= answers.keys():
            figures = [answers[id_] for id_ in common]
            calls, tokens = (sum(column) / len(common) for column in list(zip(*figures, strict=True))[1:])
            print(f"| `{name}` | {sum(figure.right for figure in figures)} | {calls:.1f} | {tokens:,.0f} |")


def peers_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the rows written so far."""
    file = folder / "peers.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def main() -> None:
    """Answer the questions that are missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="an evaluation of a suite by `llamaberry eval`")
    parser.add_argument("--per-task", type=int, help="only the first questions of each task")
    parser.add_argument("--methods", default=",".join(METHODS))
    options = parser.parse_args()
    settings = json.loads((options.folder / "settings.json").read_text())
    data = generate(settings["suite"], size=settings["size"], seed=settings["seed"])
    cases = data.cases[: (options.per_task or settings["size"]) * len(settings["suite"])]
    methods = options.methods.split(",")
    written = {(row["id"], row["method"]) for row in peers_rows(options.folder)}
    missing = [(case, name) for case in cases for name in methods if (case.id, name) not in written]
    if missing:
        address, key = server.server().address[0]
        client = OpenAI(base_url=address, api_key=key, timeout=3600, max_retries=0)
        for name in methods:
            load_method(name)
        with ThreadPoolExecutor(server.slots()) as threads:
            for future in as_completed([threads.submit(answer, *job, client) for job in missing]):
                append(options.folder / "peers.jsonl", json.dumps(future.result(), ensure_ascii=False))
        server.close()
    print_table(options.folder, cases, methods)


if __name__ == "__main__":
    main()
