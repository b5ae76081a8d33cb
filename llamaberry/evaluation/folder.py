"""The folder of an evaluation: its settings, and one line per result, so that a killed process can resume."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from llamaberry.evaluation.results import Result
from llamaberry.folders import write_private
from llamaberry.graph.errors import SetupError
from llamaberry.jsonl import append, complete_lines, exclusive_lock

SETTINGS, RESULTS = "settings.json", "results.jsonl"
SENT = "langsmith.jsonl"
"""The experiments in LangSmith, and the cases of each that LangSmith has received."""

ResultKey = tuple[str, str]
"""The id of the question, and the name of the arm."""

IDENTITY = (
    "data", "sha256", "suite", "seed", "reasoning_gym", "model", "refine_model", "verify_model",
    "synthesis_model", "temperature", "max_tokens", "prompts", "shared_turns", "judge",
)  # fmt: skip
"""The settings that make results comparable: an evaluation resumes in a folder only if all of them are equal."""


class Folder:
    """The settings and results of an evaluation on disk; `results` holds the results written so far."""

    def __init__(self, path: Path, settings: dict[str, Any], questions: Mapping[str, str]) -> None:
        """Create the folder, or open that of the same evaluation; `questions` maps ids to texts.

        Raises:
            SetupError: the folder belongs to another evaluation, or cannot be written.
        """
        self.path, self.settings, self._questions = path, settings, questions
        self.results: dict[ResultKey, Result] = {}
        try:
            self._open()
            self._read()
        except OSError as error:
            raise SetupError(f"{path} cannot be used ({error.strerror}): choose another --out") from error

    def add(self, result: Result) -> None:
        """Append a result."""
        append(self.path / RESULTS, result.model_dump_json())
        self.results[result.id, result.arm] = result

    def remove(self, keys: set[ResultKey]) -> None:
        """Delete results."""
        (self.path / SENT).unlink(missing_ok=True)  # a retried case would be a second row in its old experiment
        self.results = {key: result for key, result in self.results.items() if key not in keys}
        text = "".join(result.model_dump_json() + "\n" for result in self.results.values())
        _write_atomically(self.path / RESULTS, text)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Lock the folder against other processes. Raises SetupError, as jsonl.exclusive_lock does."""
        with exclusive_lock(self.path / ".lock", self.path, "--out"):
            self._read(cut=True)  # another process may have added results since the folder was opened
            yield

    def _read(self, *, cut: bool = False) -> None:
        """Read the results; with `cut`, truncate the incomplete last line of a killed process."""
        path = self.path / RESULTS
        for number, line in complete_lines(path, repair=b'{"id":' if cut else None):
            try:
                result = Result.model_validate_json(line)
            except ValidationError as error:
                raise SetupError(f"{path}, line {number}, is not a result: delete that line, or the folder") from error
            # In some tasks of a suite the questions depend on their number.
            if result.question != self._questions.get(result.id, result.question):
                raise SetupError(f"{self.path} has another question as {result.id!r}: choose another --out")
            self.results[result.id, result.arm] = result

    def _open(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        file = self.path / SETTINGS
        if file.exists():
            try:
                previous = json.loads(file.read_text(encoding="utf-8"))
                changed = [key for key in IDENTITY if previous.get(key) != self.settings.get(key)]
            except (ValueError, AttributeError) as error:
                raise SetupError(f"{file} is not from `llamaberry eval`: choose another --out") from error
            if changed:
                pairs = ", ".join(f"{key} {previous.get(key)!r}, not {self.settings.get(key)!r}" for key in changed[:3])
                raise SetupError(f"{self.path} belongs to another evaluation ({pairs}): choose another --out")
            started_at = previous.get("started_at", previous.get("begun"))  # "begun" is the key's former name
            self.settings = {**self.settings, "started_at": started_at, "machine": previous.get("machine")}
        elif any(path.name != f"{SETTINGS}.new" for path in self.path.iterdir()):
            raise SetupError(f"{self.path} is neither empty nor an evaluation's folder: choose another --out")
        _write_atomically(file, json.dumps(self.settings, indent=2, ensure_ascii=False) + "\n")


def _write_atomically(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    write_private(new, text)
    if path.exists():
        new.chmod(path.stat().st_mode & 0o777)
    new.replace(path)
