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
    """Mark a test of generated questions."""
    return pytest.mark.suite(_no_suite(test))  # type: ignore[no-any-return]


def questions(folder: Path, *names: str, **more: Any) -> str:
    """Write a file of questions whose answer is 42."""
    rows = [{"id": name, "question": name, "answer": "42", **more} for name in names]
    path = folder / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def evaluate(data: str, out: Path, *words: str, failed: str = "") -> list[dict[str, Any]]:
    """Run the command, which must end well and tell of no failed runs but so many; return the lines that are kept."""
    run = llamaberry("eval", data, "--out", str(out), *words)
    told = re.findall(r"llamaberry: (\d+ of \d+) runs failed, and count by what they answered; .+\n", run.stderr)
    assert (run.returncode, told) == (0, [failed] if failed else []), run.stderr
    assert failed or not run.stderr
    return lines(out)


def lines(out: Path) -> list[dict[str, Any]]:
    path = out / "results.jsonl"
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []


def pairs(kept: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return sorted((line["id"], line["arm"]) for line in kept)
