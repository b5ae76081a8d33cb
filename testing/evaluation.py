"""`llamaberry eval`, run as a user runs it, and its files."""

import json
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from testing.command import llamaberry

_no_suite = pytest.mark.skipif(find_spec("reasoning_gym") is None, reason="reasoning-gym comes with the extra eval")


def needs_suite(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that needs generated questions."""
    return pytest.mark.suite(_no_suite(test))  # type: ignore[no-any-return]


def write_questions(folder: Path, *names: str, **more: Any) -> str:
    """Write a file of questions with the answer 42, and return its path."""
    rows = [{"id": name, "question": name, "answer": "42", **more} for name in names]
    path = folder / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def run_eval(data: str, out: Path, *words: str, failed: str = "") -> list[dict[str, Any]]:
    """Run the command, check that it reports `failed` failed runs ("1 of 3"), and return the saved results."""
    run = llamaberry("eval", data, "--out", str(out), *words)
    reported = re.findall(r"llamaberry: (\d+ of \d+) runs failed; .+\n", run.stderr)
    assert (run.returncode, reported) == (0, [failed] if failed else []), run.stderr
    assert failed or not run.stderr
    return read_results(out)


def read_results(out: Path) -> list[dict[str, Any]]:
    """Return the complete lines of results.jsonl."""
    path = out / "results.jsonl"
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []


def id_arm_pairs(results: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the sorted (id, arm) of the results."""
    return sorted((result["id"], result["arm"]) for result in results)
