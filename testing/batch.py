"""`llamaberry batch`, run as a user runs it, and its files."""

import json
from pathlib import Path
from typing import Any

from testing.command import llamaberry


def write_questions(folder: Path, *names: str) -> str:
    """Write IN: a line for each question, whose text is its id. Return its path."""
    path = folder / "in.jsonl"
    path.write_text("".join(json.dumps({"question": name, "id": name}) + "\n" for name in names))
    return str(path)


def read_lines(out: Path) -> list[dict[str, Any]]:
    """Return the complete lines of OUT."""
    return [json.loads(line) for line in out.read_bytes().split(b"\n")[:-1]] if out.exists() else []


def answered_ids(out: Path) -> list[str]:
    """Return the sorted ids in OUT."""
    return sorted(line["id"] for line in read_lines(out))


def run_batch(source: str, out: Path, *words: str, code: int = 0) -> list[dict[str, Any]]:
    """Run the command, check for this exit code and an empty stderr, and return the lines of OUT."""
    run = llamaberry("batch", source, str(out), *words)
    assert (run.returncode, run.stderr) == (code, ""), run
    assert run.stdout.startswith(f"{out}: ")
    return read_lines(out)
