"""Send an evaluation to LangSmith: one dataset, an experiment per arm, a row with feedback per result.

LangSmith's `aevaluate` blocks its event loop, so each arm runs it in a thread with a loop of its own. These threads
request each result from the evaluation's loop. The graph's runs appear below the experiment's rows, and a LangSmith
that is slow or down does not delay the evaluation.
"""

import asyncio
import contextlib
import io
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar
from uuid import UUID, uuid4, uuid5

from langsmith import Client, aevaluate, traceable
from langsmith.evaluation import EvaluationResult, EvaluationResults
from langsmith.schemas import Example, Run, TracerSession
from langsmith.utils import LangSmithNotFoundError, get_env_var

from llamaberry.console import print_error
from llamaberry.evaluation.data import Case, Data
from llamaberry.evaluation.folder import Folder
from llamaberry.evaluation.langsmith_rows import FEEDBACK, SentRows, dataset_name, example_of, feedback_of, outputs_of
from llamaberry.evaluation.results import Arm, Result
from llamaberry.tracing import langsmith as tracing

START_TIMEOUT_S, IDLE_TIMEOUT_S, FLUSH_TIMEOUT_S = 15.0, 10.0, 60.0
"""The longest waits for LangSmith: to open the experiments; for the next row, once all results are complete; and for
the client to send its queue."""

METADATA = (
    "data", "sha256", "suite", "size", "seed", "reasoning_gym", "questions", "model", "temperature", "max_tokens",
    "shared_turns", "judge", "prompts", "llamaberry",
)  # fmt: skip
"""Settings sent to LangSmith as experiment metadata; paths, commands and machine details are left out."""

T = TypeVar("T")
ResultOf = Callable[[Case, Arm], Awaitable[Result]]


class Experiments:
    """Sends an evaluation to LangSmith. Rows that fail are reported once, and sent when the evaluation runs again."""

    def __init__(self, client: Client, data: Data, arms: Sequence[Arm], folder: Folder, *, concurrency: int) -> None:
        self._client, self._data, self._arms, self._concurrency = client, data, arms, concurrency
        self._cases = {case.id: case for case in data.cases}
        self._sent = SentRows(folder.path, dataset_name(data))
        self._metadata = {key: folder.settings[key] for key in METADATA if folder.settings.get(key) is not None}
        self._stopped = False
        self._rows_sent = 0

    async def send(self, result_of: ResultOf) -> None:
        """Send each result that LangSmith lacks, awaiting `result_of`; return when all are sent or sending failed."""
        if "true" in (get_env_var("HIDE_INPUTS"), get_env_var("HIDE_OUTPUTS")):
            print_error("no experiment is sent to LangSmith: its dataset would contain the hidden questions")
            return
        if all(self._sent.has(arm, self._cases) for arm in self._arms):
            return
        opening = _in_thread(self._open)
        await asyncio.wait({opening}, timeout=START_TIMEOUT_S)
        if not opening.done():
            tracing.flush_timed_out = True
            opening.cancel()
            self._failed(TimeoutError(f"no answer within {START_TIMEOUT_S:g} s"))
        elif error := opening.exception():
            self._failed(error)
        else:
            await self._send(result_of, opening.result())

    async def _send(self, result_of: ResultOf, experiments: dict[Arm, tuple[TracerSession, list[Example]]]) -> None:
        pending = sum(len(examples) for _, examples in experiments.values())
        all_results = asyncio.Event()
        sender, loop = asyncio.current_task(), asyncio.get_running_loop()

        async def result(case: Case, arm: Arm) -> Result:
            nonlocal pending
            if sender and sender.cancelling():
                raise asyncio.CancelledError
            try:
                return await result_of(case, arm)
            finally:
                pending -= 1
                if pending <= 0:
                    all_results.set()

        async def result_from_thread(case: Case, arm: Arm) -> Result:
            if self._stopped:
                raise asyncio.CancelledError
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(result(case, arm), loop))

        def evaluate(arm: Arm, project: TracerSession, examples: list[Example]) -> None:
            asyncio.run(self._evaluate(arm, project, examples, result_from_thread))

        threads = {
            _in_thread(partial(evaluate, arm, project, examples))
            for arm, (project, examples) in experiments.items()
            if examples
        }
        if not threads:
            return
        finished = asyncio.ensure_future(asyncio.wait(threads))
        waiting = asyncio.ensure_future(all_results.wait())
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # aevaluate prints to stdout, which is the report's
                await asyncio.wait({finished, waiting}, return_when=asyncio.FIRST_COMPLETED)
                previous = -1
                while not finished.done() and previous != self._rows_sent:
                    previous = self._rows_sent
                    await asyncio.wait({finished}, timeout=IDLE_TIMEOUT_S)
            if not finished.done():
                self._failed(
                    TimeoutError(f"no row accepted within {IDLE_TIMEOUT_S:g} s; run it again to send the rest")
                )
        finally:
            self._stopped = True
            waiting.cancel()
            if not finished.done():
                await asyncio.wait({finished}, timeout=1)
            for thread in threads:
                if not thread.done():
                    tracing.flush_timed_out = True
                    thread.cancel()
                elif isinstance(error := thread.exception(), Exception):
                    self._failed(error)

    def _failed(self, error: BaseException) -> None:
        tracing.report_failure(error, "experiment")

    def _open(self) -> dict[Arm, tuple[TracerSession, list[Example]]]:
        """Find or create the dataset and the experiments; return for each arm the examples that LangSmith lacks."""
        dataset, examples = self._dataset()
        experiments = {}
        for arm in self._arms:
            project = self._experiment(arm, dataset)
            missing = [example for id, example in examples.items() if id not in self._sent.cases[arm.name]]
            experiments[arm] = project, missing
            if missing:
                print_error(f"LangSmith experiment {project.name!r}: {(project.url or '').partition('?')[0]}")
        return experiments

    def _dataset(self) -> tuple[UUID, dict[str, Example]]:
        """Find or create the dataset; return its id, and its examples by case id."""
        name, client = self._sent.dataset, self._client
        try:
            dataset = client.read_dataset(dataset_name=name)
        except LangSmithNotFoundError:
            source = ", ".join(f"{key} {value}" for key, value in self._data.settings.items())
            dataset = client.create_dataset(name, description=f"Questions of `llamaberry eval`: {source}")
        example_ids = {uuid5(dataset.id, case): case for case in self._cases}
        existing = {example.id: example for example in client.list_examples(dataset_id=dataset.id)}
        if missing := example_ids.keys() - existing.keys():
            new = [example_of(self._cases[case]) | {"id": id} for id, case in example_ids.items() if id in missing]
            client.create_examples(dataset_id=dataset.id, examples=new)
            existing = {example.id: example for example in client.list_examples(dataset_id=dataset.id)}
        return dataset.id, {case: existing[id] for id, case in example_ids.items() if id in existing}

    def _experiment(self, arm: Arm, dataset: UUID) -> TracerSession:
        if id := self._sent.experiments.get(arm.name):
            with contextlib.suppress(LangSmithNotFoundError):  # deleted in LangSmith
                project: TracerSession = self._client.read_project(project_id=id)
                return project
        project = self._client.create_project(
            f"{arm.name} {self._metadata['model']} {uuid4().hex[:8]}",
            reference_dataset_id=dataset,
            metadata=self._metadata | {"arm": arm.name},
            num_examples=len(self._cases),
            evaluator_keys=FEEDBACK,
        )
        self._sent.add_experiment(arm, project.id)
        return project

    async def _evaluate(self, arm: Arm, project: TracerSession, examples: list[Example], result_of: ResultOf) -> None:
        results: dict[str, Result] = {}

        @traceable(name=f"eval {arm.name}", process_inputs=lambda arguments: dict(arguments["inputs"]))
        async def target(inputs: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
            result = results[metadata["id"]] = await result_of(self._cases[metadata["id"]], arm)
            return outputs_of(result)

        def feedback(run: Run, example: Example) -> EvaluationResults:
            result = results.get((example.metadata or {})["id"])
            scores = feedback_of(result, arm) if result else {}
            return {"results": [EvaluationResult(key=key, score=score) for key, score in scores.items()]}

        rows: asyncio.Queue[str] = asyncio.Queue()
        recording = asyncio.create_task(self._record_sent(arm, rows))
        try:
            # A target that is cancelled or fails leaves no row; the next run of the evaluation sends it.
            experiment = await aevaluate(
                target,
                data=examples,
                evaluators=[feedback],
                experiment=project,
                metadata=self._metadata | {"arm": arm.name},
                max_concurrency=self._concurrency,
                client=self._client,
                blocking=False,
                error_handling="ignore",
                disable_evaluator_tracing=True,
            )
            async for row in experiment:
                id = (row["example"].metadata or {})["id"]
                if id in results:
                    rows.put_nowait(id)
        finally:
            await rows.join()
            recording.cancel()

    async def _record_sent(self, arm: Arm, rows: asyncio.Queue[str]) -> None:
        """Record the rows that LangSmith has received as soon as it has, so that none is sent twice."""
        failures = tracing.failures
        while True:
            ids = [await rows.get()]
            await asyncio.sleep(0.1)  # aevaluate sends feedback from threads that it does not wait for
            while not rows.empty():
                ids.append(rows.get_nowait())
            started_at = time.monotonic()
            await asyncio.to_thread(self._client.flush, FLUSH_TIMEOUT_S)
            if tracing.failures == failures and time.monotonic() - started_at < FLUSH_TIMEOUT_S:
                self._sent.add_cases(arm, ids)
                self._rows_sent += len(ids)
            failures = tracing.failures
            for _ in ids:
                rows.task_done()


def _in_thread(function: Callable[[], T]) -> "asyncio.Future[T]":
    """Run a function in a daemon thread, which does not delay the end of the process."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - the awaiting task handles it
            future.set_exception(error)

    threading.Thread(target=copy_context().run, args=(work,), daemon=True).start()
    return asyncio.wrap_future(future)
