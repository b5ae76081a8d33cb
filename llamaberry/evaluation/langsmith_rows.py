"""The content of LangSmith datasets and experiment rows, and the record of the rows that LangSmith has received."""

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
"""In the evaluation's folder: the experiments, and the cases of each that LangSmith has received."""

FEEDBACK = ["correct", "fixed", "broken", "tokens", "seconds"]


def example_of(case: Case) -> dict[str, Any]:
    """Return a case as an example of a dataset."""
    return {
        "inputs": {"query": case.question},
        "reference_outputs": {"answer": case.expected},
        "metadata": {"id": case.id, "task": case.task},
    }


def outputs_of(result: Result) -> dict[str, Any]:
    """Return a result as the outputs of a row."""
    outputs = result.model_dump(include={"answer", "expected", "stop_reason", "degraded", "error"})
    return {**outputs, "turns": [reply.answer for reply in result.replies if reply.step != "synthesis"]}


def feedback_of(result: Result, arm: Arm) -> dict[str, float]:
    """Return the scores of a result; `fixed` and `broken` say whether refining made the answer right or wrong."""
    scores: dict[str, float] = {"correct": int(result.right)}
    if arm.turns > 1 and result.replies:
        before = result.replies[0].right
        scores |= {"fixed": int(result.right and not before), "broken": int(before and not result.right)}
    if tokens := [reply.tokens for reply in result.replies if reply.tokens]:
        scores["tokens"] = sum(call.input + call.output for call in tokens)
    return scores | {"seconds": round(sum(reply.seconds for reply in result.replies), 3)}


def dataset_name(data: Data) -> str:
    """Return a name that is the same for the same questions only."""
    content = json.dumps([case[:4] for case in data.cases], ensure_ascii=False)
    settings = data.settings
    name = settings.get("data") or f"{'+'.join(settings['suite'])} seed {settings['seed']}"
    return f"llamaberry {name} {sha256(content.encode()).hexdigest()[:8]}"


class SentRows:
    """The experiment of each arm, and the ids of the cases that LangSmith has received in it."""

    def __init__(self, folder: Path, dataset: str) -> None:
        self.dataset = dataset
        self._path, self._lock = folder / SENT, threading.Lock()
        self.experiments: dict[str, str] = {}
        self.cases: dict[str, set[str]] = {}
        for line in self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []:
            with contextlib.suppress(ValueError):  # the incomplete line of a killed process
                record = json.loads(line)
                if "experiment" in record:
                    self.experiments.pop(record["arm"], None)
                    if record["dataset"] == dataset:
                        self.experiments[record["arm"]] = record["experiment"]
                    self.cases[record["arm"]] = set()
                else:
                    self.cases[record["arm"]].update(record["taken"])

    def has(self, arm: Arm, ids: Iterable[str]) -> bool:
        """Whether the arm's experiment has all of these cases."""
        return arm.name in self.experiments and self.cases[arm.name].issuperset(ids)

    def add_experiment(self, arm: Arm, experiment: UUID) -> None:
        """Record a new experiment for the arm, without cases."""
        self.cases[arm.name] = set()
        self._append({"arm": arm.name, "dataset": self.dataset, "experiment": str(experiment)})

    def add_cases(self, arm: Arm, ids: list[str]) -> None:
        """Record that LangSmith has received these cases in the arm's experiment."""
        self._append({"arm": arm.name, "taken": ids})

    def _append(self, record: dict[str, Any]) -> None:
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(record))  # the leading newline ends an incomplete line
