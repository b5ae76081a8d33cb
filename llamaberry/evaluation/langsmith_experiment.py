"""An evaluation in LangSmith: the questions are a dataset, each arm an experiment, each result a row with its feedback.

LangSmith's evaluation blocks the loop that it runs in, so each arm has a thread and a loop of its own, which ask the
evaluation's loop for each result: the runs of the graph stand below the experiment's, and a service that is slow or
gone holds up nothing.
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
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4, uuid5

from langsmith import Client, aevaluate, traceable
from langsmith.evaluation import EvaluationResult, EvaluationResults
from langsmith.schemas import Example, Run, TracerSession
from langsmith.utils import LangSmithNotFoundError, get_env_var

from llamaberry.console import print_error
from llamaberry.evaluation.data import Case, Data
from llamaberry.evaluation.langsmith_rows import FEEDBACK, Sent, dataset_name, example_of, feedback_of, outputs_of
from llamaberry.evaluation.results import Arm, Result
from llamaberry.tracing import langsmith as tracing

START_S, END_S = 15.0, 10.0
"""The most seconds that an evaluation waits for LangSmith: at its beginning, and, when all results are there, for more
of them to be taken."""

_FLUSH_S = 60.0

T = TypeVar("T")
Made = Callable[[Case, Arm], Awaitable[Result]]


class Experiments:
    """Sends an evaluation to LangSmith. What it does not take is said once, and sent when the evaluation runs again."""

    def __init__(
        self, client: Client, data: Data, arms: Sequence[Arm], settings: dict[str, Any], folder: Path, *, at_once: int
    ) -> None:
        self._client, self._data, self._arms, self._at_once = client, data, arms, at_once
        self._cases = {case.id: case for case in data.cases}
        self._kept = Sent(folder, dataset_name(data))
        self._about = {key: settings[key] for key in _ABOUT if settings.get(key) is not None}
        self._over = False
        self._noted = 0

    async def send(self, made: Made) -> None:
        """Send each result that LangSmith has not taken yet, as it is `made`; return when that is done, or can't be."""
        if "true" in (get_env_var("HIDE_INPUTS"), get_env_var("HIDE_OUTPUTS")):
            print_error("no experiment is sent to LangSmith: its dataset would be the questions that are to be hidden")
            return
        if all(self._kept.has(arm, self._cases) for arm in self._arms):
            return
        opening = _in_thread(self._open)
        await asyncio.wait({opening}, timeout=START_S)
        if not opening.done():
            tracing.flush_timed_out = True
            opening.cancel()
            self._failed(TimeoutError(f"no answer within {START_S:g} s"))
        elif error := opening.exception():
            self._failed(error)
        else:
            await self._send(made, opening.result())

    async def _send(self, made: Made, due: dict[Arm, tuple[TracerSession, list[Example]]]) -> None:
        left, all_made = sum(len(examples) for _, examples in due.values()), asyncio.Event()
        sender, loop = asyncio.current_task(), asyncio.get_running_loop()

        async def result(case: Case, arm: Arm) -> Result:
            nonlocal left
            if sender and sender.cancelling():
                raise asyncio.CancelledError
            try:
                return await made(case, arm)
            finally:
                left -= 1
                if left <= 0:
                    all_made.set()

        async def ask(case: Case, arm: Arm) -> Result:
            if self._over:
                raise asyncio.CancelledError
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(result(case, arm), loop))

        def evaluate(arm: Arm, project: TracerSession, examples: list[Example]) -> None:
            asyncio.run(self._evaluate(arm, project, examples, ask))

        threads = {_in_thread(partial(evaluate, arm, *lacking)) for arm, lacking in due.items() if lacking[1]}
        if not threads:
            return
        finished = asyncio.ensure_future(asyncio.wait(threads))
        waiting = asyncio.ensure_future(all_made.wait())
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # aevaluate prints there, where the report will stand
                await asyncio.wait({finished, waiting}, return_when=asyncio.FIRST_COMPLETED)
                noted = -1
                while not finished.done() and noted != self._noted:
                    noted = self._noted
                    await asyncio.wait({finished}, timeout=END_S)
            if not finished.done():
                self._failed(TimeoutError(f"not taken within {END_S:g} s; run it again to send the rest"))
        finally:
            self._over = True
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
        """Find or make the dataset and the experiments; return what each of these lacks."""
        dataset, examples = self._dataset()
        due = {}
        for arm in self._arms:
            project = self._experiment(arm, dataset)
            taken = self._kept.taken[arm.name]
            due[arm] = project, [example for name, example in examples.items() if name not in taken]
            if due[arm][1]:
                print_error(f"LangSmith experiment {project.name!r}: {(project.url or '').partition('?')[0]}")
        return due

    def _dataset(self) -> tuple[UUID, dict[str, Example]]:
        name, client = self._kept.dataset, self._client
        try:
            dataset = client.read_dataset(dataset_name=name)
        except LangSmithNotFoundError:
            source = ", ".join(f"{key} {value}" for key, value in self._data.settings.items())
            dataset = client.create_dataset(name, description=f"Questions that `llamaberry eval` asks: {source}")
        names = {uuid5(dataset.id, name): name for name in self._cases}
        there = {example.id: example for example in client.list_examples(dataset_id=dataset.id)}
        if lacking := [(number, self._cases[name]) for number, name in names.items() if number not in there]:
            examples = [example_of(case) | {"id": number} for number, case in lacking]
            client.create_examples(dataset_id=dataset.id, examples=examples)
            there = {example.id: example for example in client.list_examples(dataset_id=dataset.id)}
        return dataset.id, {name: there[number] for number, name in names.items() if number in there}

    def _experiment(self, arm: Arm, dataset: UUID) -> TracerSession:
        if number := self._kept.begun.get(arm.name):
            with contextlib.suppress(LangSmithNotFoundError):  # deleted there
                project: TracerSession = self._client.read_project(project_id=number)
                return project
        project = self._client.create_project(
            f"{arm.name} {self._about['model']} {uuid4().hex[:8]}",
            reference_dataset_id=dataset,
            metadata=self._about | {"arm": arm.name},
            num_examples=len(self._cases),
            evaluator_keys=FEEDBACK,
        )
        self._kept.begin(arm, project.id)
        return project

    async def _evaluate(
        self, arm: Arm, project: TracerSession, examples: list[Example], ask: Callable[[Case, Arm], Awaitable[Result]]
    ) -> None:
        results: dict[str, Result] = {}

        @traceable(name=f"eval {arm.name}", process_inputs=lambda given: dict(given["inputs"]))
        async def target(inputs: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
            result = results[metadata["id"]] = await ask(self._cases[metadata["id"]], arm)
            return outputs_of(result)

        def feedback(run: Run, example: Example) -> EvaluationResults:
            result = results.get((example.metadata or {})["id"])
            scores = feedback_of(result, arm) if result else {}
            return {"results": [EvaluationResult(key=key, score=score) for key, score in scores.items()]}

        rows: asyncio.Queue[str] = asyncio.Queue()
        noting = asyncio.create_task(self._note(arm, rows))
        try:
            # What is killed or fails is no row of the experiment: it will be one when it has been made.
            experiment = await aevaluate(
                target,
                data=examples,
                evaluators=[feedback],
                experiment=project,
                metadata=self._about | {"arm": arm.name},
                max_concurrency=self._at_once,
                client=self._client,
                blocking=False,
                error_handling="ignore",
                disable_evaluator_tracing=True,
            )
            async for row in experiment:
                name = (row["example"].metadata or {})["id"]
                if name in results:
                    rows.put_nowait(name)
        finally:
            await rows.join()
            noting.cancel()

    async def _note(self, arm: Arm, rows: asyncio.Queue[str]) -> None:
        """Keep which rows LangSmith has taken, as soon as it has, so that none is sent again."""
        failures = tracing.failures
        while True:
            names = [await rows.get()]
            await asyncio.sleep(0.1)  # aevaluate hands feedback to threads that it does not wait for
            while not rows.empty():
                names.append(rows.get_nowait())
            begun = time.monotonic()
            await asyncio.to_thread(self._client.flush, _FLUSH_S)
            if tracing.failures == failures and time.monotonic() - begun < _FLUSH_S:
                self._kept.take(arm, names)
                self._noted += len(names)
            failures = tracing.failures
            for _ in names:
                rows.task_done()


_ABOUT = (
    "data", "sha256", "suite", "size", "seed", "reasoning_gym", "questions", "model", "temperature", "max_tokens",
    "shared_turns", "judge", "prompts", "llamaberry",
)  # fmt: skip
"""What of the settings an experiment is known by: no path, no command and no machine is told."""


def _in_thread(function: Callable[[], T]) -> "asyncio.Future[T]":
    """Run a function in a thread that nothing waits for at the end of the process."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            future.set_exception(error)

    threading.Thread(target=copy_context().run, args=(work,), daemon=True).start()
    return asyncio.wrap_future(future)
