"""Send an evaluation to LangSmith: one dataset, an experiment per arm, a row with feedback per result."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4, uuid5

from langsmith import Client, trace, tracing_context
from langsmith.env import get_git_info
from langsmith.schemas import TracerSession
from langsmith.utils import LangSmithError, LangSmithNotFoundError, get_env_var

from llamaberry.console import print_error
from llamaberry.evaluation.data import Case, Data
from llamaberry.evaluation.folder import IDENTITY, SENT, Folder
from llamaberry.evaluation.results import Arm, Result
from llamaberry.jsonl import append, complete_lines
from llamaberry.tracing import langsmith as tracing

START_TIMEOUT_S, IDLE_TIMEOUT_S, FLUSH_TIMEOUT_S = 15.0, 10.0, 60.0
"""The longest waits for LangSmith: to open the experiments; for the next row, once all results are complete; and for
the client to send its queue."""

METADATA = (*IDENTITY, "size", "questions", "llamaberry")
"""Settings sent to LangSmith as experiment metadata; paths, commands and machine details are left out."""

FEEDBACK = ["correct", "fixed", "broken", "tokens", "seconds"]


class Experiments:
    """An experiment per arm. Rows that LangSmith does not accept are sent when the evaluation runs again.

    LangSmith's own `aevaluate` would block the event loop, and would not resume.
    """

    def __init__(self, client: Client, data: Data, arms: Sequence[Arm], folder: Folder) -> None:
        self._client, self._data, self._arms = client, data, arms
        self._record = folder.path / SENT
        self._metadata = {key: folder.settings[key] for key in METADATA if folder.settings.get(key) is not None}
        # The same name for the same questions only.
        name = data.settings.get("data") or f"{'+'.join(data.settings['suite'])} seed {data.settings['seed']}"
        content = json.dumps([case[:4] for case in data.cases], ensure_ascii=False)
        self._dataset = f"llamaberry {name} {sha256(content.encode()).hexdigest()[:8]}"
        self._experiment_ids: dict[str, str] = {}
        self._sent: dict[str, set[str]] = {arm.name: set() for arm in arms}
        for _, line in complete_lines(self._record, repair=b'{"arm":'):
            with contextlib.suppress(ValueError):  # version 0.1.0 wrote empty and incomplete lines
                self._restore(json.loads(line))
        self._projects: dict[str, TracerSession] = {}
        self._example_ids: dict[str, UUID] = {}
        self._deliveries: set[asyncio.Future[None]] = set()
        self._failures = tracing.failures
        self._thread = ThreadPoolExecutor(1)  # unlike asyncio's own, it does not delay the end of the event loop

    def lacks(self, case: Case, arm: Arm) -> bool:
        """Whether LangSmith has no row for this case in the arm's experiment."""
        return arm.name not in self._experiment_ids or case.id not in self._sent[arm.name]

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[bool]:
        """Open the experiments and yield whether rows can be sent; at the end, wait until LangSmith has the rows."""
        try:
            yield await self._opened()
            pending = self._deliveries
            while pending:
                accepted, pending = await asyncio.wait(
                    pending, timeout=IDLE_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
                )
                if not accepted:
                    message = f"no row accepted within {IDLE_TIMEOUT_S:g} s; run it again to send the rest"
                    tracing.report_failure(TimeoutError(message), "experiment")
                    break
        finally:
            for delivery in self._deliveries:
                delivery.cancel()

    async def row(self, case: Case, arm: Arm, answer: Awaitable[Result]) -> None:
        """Await the result as a row of the arm's experiment: the graph's runs appear below it."""
        row = trace(
            f"eval {arm.name}",
            inputs={"query": case.question},
            project_name=self._projects[arm.name].name,
            metadata=self._metadata | {"arm": arm.name},
            client=self._client,
        )
        with tracing_context(enabled=True), row as run:
            result = await answer
            outputs = result.model_dump(include={"answer", "expected", "stop_reason", "degraded", "error"})
            turns = [reply.answer for reply in result.replies if reply.step not in ("synthesis", "check")]
            run.end(outputs={**outputs, "turns": turns})
            run.reference_example_id = self._example_ids[case.id]  # only now: a run that is killed is no row
        loop = asyncio.get_running_loop()
        self._deliveries.add(loop.run_in_executor(self._thread, self._deliver, arm, result, run.id))

    async def _opened(self) -> bool:
        """Open the experiments, or report why not."""
        if "true" in (get_env_var("HIDE_INPUTS"), get_env_var("HIDE_OUTPUTS")):
            print_error("no experiment is sent to LangSmith: its dataset would contain the hidden questions")
            return False
        if not any(self.lacks(case, arm) for case in self._data.cases for arm in self._arms):
            return False
        opening = asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        try:
            await asyncio.wait({opening}, timeout=START_TIMEOUT_S)
        finally:
            tracing.flush_timed_out |= opening.cancel()
        slow = TimeoutError(f"no answer within {START_TIMEOUT_S:g} s")
        if error := slow if opening.cancelled() else opening.exception():
            tracing.report_failure(error, "experiment")
        return error is None

    def _open(self) -> None:
        """Find or create the dataset, its examples and the experiments."""
        client, cases = self._client, self._data.cases
        try:
            dataset = client.read_dataset(dataset_name=self._dataset)
        except LangSmithNotFoundError:
            source = ", ".join(f"{key} {value}" for key, value in self._data.settings.items())
            dataset = client.create_dataset(self._dataset, description=f"Questions of `llamaberry eval`: {source}")
        self._example_ids = {case.id: uuid5(dataset.id, case.id) for case in cases}
        existing = {example.id for example in client.list_examples(dataset_id=dataset.id)}
        examples = [
            {
                "id": self._example_ids[case.id],
                "inputs": {"query": case.question},
                "outputs": {"answer": case.expected},
                "metadata": {"id": case.id, "task": case.task},
            }
            for case in cases
            if self._example_ids[case.id] not in existing
        ]
        if examples:
            client.create_examples(dataset_id=dataset.id, examples=examples)
        for arm in self._arms:
            project = self._projects[arm.name] = self._experiment(arm, dataset.id)
            if any(self.lacks(case, arm) for case in cases):
                print_error(f"LangSmith experiment {project.name!r}: {(project.url or '').partition('?')[0]}")

    def _experiment(self, arm: Arm, dataset: UUID) -> TracerSession:
        if id := self._experiment_ids.get(arm.name):
            with contextlib.suppress(LangSmithNotFoundError):  # deleted in LangSmith
                project: TracerSession = self._client.read_project(project_id=id)
                return project
        project = self._client.create_project(
            f"{arm.name} {self._metadata['model']} {uuid4().hex[:8]}",
            reference_dataset_id=dataset,
            metadata=self._metadata | {"arm": arm.name, "git": get_git_info()},
            num_examples=len(self._data.cases),
            evaluator_keys=FEEDBACK,
        )
        self._save({"arm": arm.name, "dataset": self._dataset, "experiment": str(project.id)})
        return project

    def _deliver(self, arm: Arm, result: Result, run_id: UUID) -> None:
        """Send the feedback of a row; record the row once LangSmith has received it, so that it is not sent twice."""
        started_at = time.monotonic()
        try:
            for key, score in feedback(result, arm).items():
                experiment = self._projects[arm.name].id
                self._client.create_feedback(run_id, key, score=score, trace_id=run_id, session_id=experiment)
        except (LangSmithError, OSError) as error:
            tracing.report_failure(error, "experiment")
        self._client.flush(FLUSH_TIMEOUT_S)
        if tracing.failures == self._failures and time.monotonic() - started_at < FLUSH_TIMEOUT_S:
            self._save({"arm": arm.name, "taken": [result.id]})
        self._failures = tracing.failures

    def _save(self, record: dict[str, Any]) -> None:
        append(self._record, json.dumps(record))
        self._restore(record)

    def _restore(self, record: dict[str, Any]) -> None:
        """Apply a line of the file: an arm's new experiment, or cases that LangSmith has received in it."""
        if "experiment" in record:
            self._sent[record["arm"]] = set()
            self._experiment_ids.pop(record["arm"], None)
            if record["dataset"] == self._dataset:
                self._experiment_ids[record["arm"]] = record["experiment"]
        else:
            self._sent[record["arm"]].update(record["taken"])


def feedback(result: Result, arm: Arm) -> dict[str, float]:
    """Return the scores of a result; `fixed` and `broken` say whether refining made the answer right or wrong."""
    scores: dict[str, float] = {"correct": int(result.right)}
    if arm.turns > 1 and result.replies:
        before = result.replies[0].right
        scores |= {"fixed": int(result.right and not before), "broken": int(before and not result.right)}
    if tokens := [reply.tokens for reply in result.replies if reply.tokens]:
        scores["tokens"] = sum(call.input + call.output for call in tokens)
    return scores | {"seconds": round(sum(reply.seconds for reply in result.replies), 3)}
