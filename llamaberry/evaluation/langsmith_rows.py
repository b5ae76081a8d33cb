"""What LangSmith is told of a result, and what is kept of what it has."""

import contextlib
import json
import threading
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from llamaberry.evaluation.data import Case, Data
from llamaberry.evaluation.results import Arm, Result

SENT = "langsmith.jsonl"
"""In the evaluation's folder: the experiments, and the cases of each that LangSmith has taken."""

FEEDBACK = ["correct", "fixed", "broken", "tokens", "seconds"]


def example_of(case: Case) -> dict[str, Any]:
    """Return a case as an example of a dataset."""
    asked, told = {"query": case.question}, {"answer": case.expected}
    return {"inputs": asked, "reference_outputs": told, "metadata": {"id": case.id, "task": case.task}}


def outputs_of(result: Result) -> dict[str, Any]:
    """Return what a row of an experiment shows of a result."""
    kept = result.model_dump(include={"answer", "expected", "stop_reason", "degraded", "error"})
    return {**kept, "turns": [reply.answer for reply in result.replies if reply.step != "synthesis"]}


def feedback_of(result: Result, arm: Arm) -> dict[str, float]:
    """Return the scores of a result; `fixed` and `broken` tell whether thinking again made it right, or wrong."""
    scores: dict[str, float] = {"correct": int(result.right)}
    if arm.turns > 1 and result.replies:
        before = result.replies[0].right
        scores |= {"fixed": int(result.right and not before), "broken": int(before and not result.right)}
    if tokens := [reply.tokens for reply in result.replies if reply.tokens]:
        scores["tokens"] = sum(one.input + one.output for one in tokens)
    return scores | {"seconds": round(sum(reply.seconds for reply in result.replies), 3)}


def dataset_name(data: Data) -> str:
    """Return a name that the same questions have again, and no others."""
    said = json.dumps([case[:4] for case in data.cases], ensure_ascii=False)
    settings = data.settings
    name = settings.get("data") or f"{'+'.join(settings['suite'])} seed {settings['seed']}"
    return f"llamaberry {name} {sha256(said.encode()).hexdigest()[:8]}"


class Sent:
    """What is kept of what LangSmith has: of each arm the experiment, and the cases that were taken there."""

    def __init__(self, folder: Path, dataset: str) -> None:
        self.dataset = dataset
        self._path, self._lock = folder / SENT, threading.Lock()
        self.begun: dict[str, str] = {}
        self.taken: dict[str, set[str]] = {}
        for line in self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []:
            with contextlib.suppress(ValueError):  # killed in mid-line
                said = json.loads(line)
                if "experiment" in said:
                    self.begun.pop(said["arm"], None)
                    if said["dataset"] == dataset:
                        self.begun[said["arm"]] = said["experiment"]
                    self.taken[said["arm"]] = set()
                else:
                    self.taken[said["arm"]].update(said["taken"])

    def has(self, arm: Arm, names: Iterable[str]) -> bool:
        """Whether the arm's experiment has all of these cases."""
        return arm.name in self.begun and self.taken[arm.name].issuperset(names)

    def begin(self, arm: Arm, number: UUID) -> None:
        """Keep which experiment is the arm's; nothing is there yet."""
        self.taken[arm.name] = set()
        self._write({"arm": arm.name, "dataset": self.dataset, "experiment": str(number)})

    def take(self, arm: Arm, names: list[str]) -> None:
        """Keep that the arm's experiment has these cases."""
        self._write({"arm": arm.name, "taken": names})

    def _write(self, said: dict[str, Any]) -> None:
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(said))  # after a line that was cut, too
