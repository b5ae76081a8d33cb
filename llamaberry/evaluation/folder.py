"""An evaluation's folder: the settings that it was begun with, and a line for each result, however it is cut."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from llamaberry.evaluation.results import Result
from llamaberry.graph.errors import SetupError
from llamaberry.jsonl import append, complete_lines, exclusive_lock

SETTINGS, RESULTS = "settings.json", "results.jsonl"

Pair = tuple[str, str]
"""Which result: the id of the question, and the arm."""

_IDENTITY = (
    "data", "sha256", "suite", "seed", "reasoning_gym", "model", "temperature", "max_tokens", "prompts",
    "shared_turns", "judge",
)  # fmt: skip
"""What makes results comparable: an evaluation goes on in a folder only where all of these are the same."""


class Folder:
    """Where an evaluation is kept; `results` are those that are there, `settings` those that it was begun with."""

    def __init__(self, path: Path, settings: dict[str, Any], questions: Mapping[str, str]) -> None:
        """Open the folder, or make it; `questions` are their texts by their ids.

        Raises:
            SetupError: it holds another evaluation, or cannot be written.
        """
        self.path, self.settings, self._questions = path, settings, questions
        self.results: dict[Pair, Result] = {}
        try:
            self._open()
            self.read()
        except OSError as error:
            raise SetupError(f"{path} cannot be used ({error.strerror}): choose another --out") from error

    def keep(self, result: Result) -> None:
        """Append a result."""
        append(self.path / RESULTS, result.model_dump_json())
        self.results[result.id, result.arm] = result

    def drop(self, pairs: set[Pair]) -> None:
        """Delete results, which are to be made again."""
        self.results = {pair: result for pair, result in self.results.items() if pair not in pairs}
        _write(self.path / RESULTS, "".join(result.model_dump_json() + "\n" for result in self.results.values()))

    @contextmanager
    def exclusive_lock(self) -> Iterator[None]:
        """Keep other processes out. Raises SetupError, as lines.alone does."""
        with exclusive_lock(self.path / ".lock", self.path, "--out"):
            self.read(cut=True)  # another process may have gone on in the meantime
            yield

    def read(self, *, cut: bool = False) -> None:
        """Read the results that are there; `cut` off the half of a line that a killed process has left."""
        path = self.path / RESULTS
        for place, line in complete_lines(path, repair=b'{"id":' if cut else None):
            try:
                result = Result.model_validate_json(line)
            except ValidationError as error:
                raise SetupError(f"{path}, line {place}, is no result: delete that line, or the folder") from error
            if result.question != self._questions.get(result.id, result.question):  # some tasks draw others by size
                raise SetupError(f"{self.path} holds another question as {result.id!r}: choose another --out")
            self.results[result.id, result.arm] = result

    def _open(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        begun = self.path / SETTINGS
        if begun.exists():
            try:
                kept = json.loads(begun.read_text(encoding="utf-8"))
                differing = [key for key in _IDENTITY if kept.get(key) != self.settings.get(key)]
            except (ValueError, AttributeError) as error:
                raise SetupError(f"{begun} is no evaluation's: choose another --out") from error
            if differing:
                named = ", ".join(f"{key} {kept.get(key)!r}, not {self.settings.get(key)!r}" for key in differing[:3])
                raise SetupError(f"{self.path} holds another evaluation ({named}): choose another --out")
            self.settings = {**self.settings, **{key: kept[key] for key in ("begun", "machine") if key in kept}}
        elif any(path.name != f"{SETTINGS}.new" for path in self.path.iterdir()):
            raise SetupError(f"{self.path} is not empty, and holds no evaluation: choose another --out")
        _write(begun, json.dumps(self.settings, indent=2, ensure_ascii=False) + "\n")


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
