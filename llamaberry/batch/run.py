"""Any number of questions from a file, answered into another. After an interruption, the same call resumes.

    asyncio.run(batch(Path("questions.jsonl"), Path("answers.jsonl"), Context(max_turns=2)))

With `workers` the questions are answered in several processes (workers.py); this one reads and writes the files.
Memory grows by four bytes for each line, and with nothing else.
"""

import asyncio
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from langgraph.checkpoint.base import BaseCheckpointSaver

from llamaberry.batch.answer import answer, thread_name
from llamaberry.batch.files import Answers, BatchItem, Questions
from llamaberry.batch.workers import start_workers
from llamaberry.console import print_error, progress
from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError, SetupError
from llamaberry.graph.workflow import build_graph
from llamaberry.jsonl import exclusive_lock
from llamaberry.models.client import client_settings
from llamaberry.models.local import server as local_server
from llamaberry.models.objects import Model, inspect_models
from llamaberry.models.pacer import Pacer, current_pacer
from llamaberry.threads import open_sqlite

Answering = Callable[[BatchItem], Awaitable[dict[str, Any]]]

CONCURRENCY = 64
MAX_CONSECUTIVE_FAILURES = 100
"""Failures in a row after which a batch stops (at least twice its concurrency): the other questions would fail, too."""


class BatchSummary(NamedTuple):
    """Counts at the end of a batch: lines of OUT by their outcome, and invalid lines of IN."""

    answered: int
    """Questions with a complete answer."""
    degraded: int
    """Questions whose answer lost a turn or the synthesis to a failed call."""
    failed: int
    """Questions without an answer."""
    bad: int
    """Lines of IN that are not a question."""
    total_tokens: int = 0
    """Of all answers in OUT."""
    cost_usd: float | None = 0
    """Of all answers in OUT, in US dollars; None if that of one is unknown."""


async def batch(
    source: Path,
    out: Path,
    context: Context | None = None,
    *,
    concurrency: int | None = None,
    workers: int = 1,
    shard: tuple[int, int] = (1, 1),
    retry_errors: bool = False,
    keep_turns: bool | None = None,
    model: Model | Mapping[str, Model] | None = None,
    notify: Callable[[str], None] = print_error,
) -> BatchSummary:
    """Answer the questions of a JSONL file that have no line in `out` yet, one line each.

    Args:
        source: lines like {"question": "…", "id": "…"}; an invalid line is reported and skipped.
        out: gets a line for each question as soon as it is answered or has failed.
        context: the settings of each run.
        concurrency: runs at once; by default 64, or the number of slots of the local model.
        workers: processes that answer; one uses one processor core. All keep to one rate limit and one `out`.
        shard: (i, n) takes every nth line of `source` from line i on: for n processes, each with its own `out`.
        retry_errors: ask questions again that failed, or lost a turn to a failed call.
        keep_turns: keep finished turns of unfinished runs in checkpoints beside `out`, so that a kill loses none.
            By default, if a run may have several turns.
        model: model objects, as for `build_graph`.
        notify: called with each message to the user.

    Raises:
        SetupError: something has to be fixed first. Finished answers are kept; the same call resumes.
        ModelError: MAX_CONSECUTIVE_FAILURES questions in a row failed; likewise.
    """
    pacer = Pacer(notify)
    token = current_pacer.set(pacer)
    try:
        questions = Questions(source, shard, notify)
        job = _Batch(questions, Answers(out), context or Context(), concurrency, workers, model, pacer)
        with exclusive_lock(_beside(out, "lock"), out, "OUT"), closing(job.answers):
            await asyncio.to_thread(job.answers.read, drop_failed=retry_errors)
            await job.run(keep_turns=job.context.max_turns > 1 if keep_turns is None else keep_turns)
    finally:
        current_pacer.reset(token)
    answers, counts = job.answers, job.answers.counts
    outcomes = counts["answered"], counts["degraded"], counts["failed"]
    return BatchSummary(*outcomes, job.questions.invalid, answers.total_tokens, answers.cost_usd)


class _Batch:
    def __init__(
        self,
        questions: Questions,
        answers: Answers,
        context: Context,
        concurrency: int | None,
        workers: int,
        model: Model | Mapping[str, Model] | None,
        pacer: Pacer,
    ) -> None:
        if workers > 1 and model:
            raise SetupError("a model object cannot be sent to other processes: name the model in the Context instead")
        # Fail before touching a file if the model is not set up.
        is_local = "first_turn" not in inspect_models(model) and client_settings(context).provider == "local"
        if workers > 1 and is_local:
            raise SetupError("the local model uses all cores from one process: leave out --workers")
        if context.review != "none":
            raise SetupError(f"review {context.review!r} pauses for a person, which a batch cannot do: leave it out")
        questions.check_encoding()
        if answers.path.exists() and answers.path.samefile(questions.path):
            raise SetupError(f"{answers.path} holds the questions: choose another OUT")
        try:
            answers.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(f"{answers.path} cannot be created ({error.strerror}): choose another OUT") from error
        self.questions, self.answers, self.context, self.model = questions, answers, context, model
        self.workers, self.pacer = workers, pacer
        self.concurrency = concurrency or (local_server.slots() if is_local else CONCURRENCY)
        self._consecutive_failures = 0

    async def run(self, *, keep_turns: bool) -> None:
        total = await asyncio.to_thread(self.questions.count) if sys.stderr.isatty() else None
        done = self.answers.counts.total()
        checkpoints = open_sqlite(_beside(self.answers.path, "checkpoints")) if keep_turns else nullcontext()
        with closing(self.questions.unanswered(self.answers)) as items, progress("answers", total, done) as advance:
            async with checkpoints as saver, self._answering(saver) as answer_item:

                async def work() -> None:
                    for item in items:
                        if item is None:
                            await asyncio.sleep(0)
                            continue
                        self._write(await answer_item(item))
                        if saver:
                            await saver.adelete_thread(thread_name(item))
                        advance()

                try:
                    async with asyncio.TaskGroup() as group:
                        for _ in range(self.concurrency):
                            group.create_task(work())
                except ExceptionGroup as errors:
                    fixable = errors.subgroup((SetupError, ModelError, OSError, sqlite3.Error))
                    raise (fixable.exceptions[0] if fixable else errors) from None
        for suffix in ("", "-wal", "-shm"):
            _beside(self.answers.path, f"checkpoints{suffix}").unlink(missing_ok=True)

    @asynccontextmanager
    async def _answering(self, saver: BaseCheckpointSaver[Any] | None) -> AsyncIterator[Answering]:
        """Yield what answers a question: the graph in this process, or other processes."""
        if self.workers == 1:
            yield partial(answer, build_graph(saver, model=self.model), context=self.context)
            return
        checkpoints = _beside(self.answers.path, "checkpoints") if saver else None
        async with start_workers(self.workers, self.context, checkpoints, self.pacer) as workers:
            yield workers.answer

    def _write(self, answer: dict[str, Any]) -> None:
        self.answers.add(answer)
        self._consecutive_failures = self._consecutive_failures + 1 if "error" in answer else 0
        if self._consecutive_failures >= max(MAX_CONSECUTIVE_FAILURES, 2 * self.concurrency):
            raise ModelError(
                f"{self._consecutive_failures} questions in a row failed; last error: {answer['error']}: fix that, and "
                "run the same command again, with --retry-errors for those that failed"
            )


def _beside(out: Path, what: str) -> Path:
    """Return the name of a file beside OUT itself, not beside a link to it."""
    target = Path(os.path.realpath(out))
    return target.with_name(f".{target.name}.{what}")
