"""Any number of questions from a file, answered into another: cut at any moment, the same call goes on.

    asyncio.run(batch(Path("questions.jsonl"), Path("answers.jsonl"), Context(max_turns=2)))

Memory does not grow with the length of the files, but for four bytes a line.
"""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, NamedTuple

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from llamaberry.batch.files import Answers, BatchItem, Questions
from llamaberry.cli.display import calls_of, tokens_of
from llamaberry.console import print_error, progress
from llamaberry.graph.context import Context
from llamaberry.graph.errors import ModelError, SetupError
from llamaberry.graph.workflow import ReasoningGraph, build_graph
from llamaberry.jsonl import exclusive_lock
from llamaberry.models.client import settings_of
from llamaberry.models.local import server as local_server
from llamaberry.models.pacer import Pacer, current_pacer
from llamaberry.threads import checkpoints_at, thread_config

CONCURRENCY = 64
MAX_CONSECUTIVE_FAILURES = 100
"""So many questions that fail one after the other end a batch: the rest of a million would fail as well."""


class BatchSummary(NamedTuple):
    """How it stands at the end: lines of OUT with a whole answer, with one that lacks turns, with none; lines of IN
    that are no question.
    """

    answered: int
    degraded: int
    failed: int
    bad: int


async def batch(
    source: Path,
    out: Path,
    context: Context | None = None,
    *,
    concurrency: int | None = None,
    shard: tuple[int, int] = (1, 1),
    retry_errors: bool = False,
    keep_turns: bool | None = None,
    tell: Callable[[str], None] = print_error,
) -> BatchSummary:
    """Answer the questions of a JSONL file that have no line in `out` yet, each into a line of its own.

    Args:
        source: lines like {"question": "…", "id": "…"}; one that is none is told, and the rest goes on.
        out: gets a line for each question as soon as it is answered, or has failed for good.
        context: the dials of each run.
        concurrency: runs at once: 64, or as many as the local model has slots.
        shard: (i, n) takes every nth line of `source` from the ith on: for n processes, each with an `out` of its own.
        retry_errors: ask those again that failed, or lost a turn to a failed call.
        keep_turns: keep the finished turns of runs under way in checkpoints beside `out`: a kill loses none of them.
            None: where a run may have several.
        tell: is given what a user should know meanwhile, a line each.

    Raises:
        SetupError: something has to be put right; what was answered is kept, and the same call goes on.
        ModelError: at least MAX_CONSECUTIVE_FAILURES questions failed one after the other; likewise.
    """
    paced = current_pacer.set(Pacer(tell))
    try:
        made = _Batch(Questions(source, shard, tell), Answers(out), context or Context(), concurrency)
        with exclusive_lock(_beside(out, "lock"), out, "OUT"):
            await asyncio.to_thread(made.answers.read, again=retry_errors)
            await made.run(keep_turns=made.context.max_turns > 1 if keep_turns is None else keep_turns)
    finally:
        current_pacer.reset(paced)
    return BatchSummary(made.answers.answered, made.answers.degraded, made.answers.failed, made.questions.bad)


class _Batch:
    def __init__(self, questions: Questions, answers: Answers, context: Context, concurrency: int | None) -> None:
        settings = settings_of(context)  # what lacks is told before anything is touched
        if context.review != "none":
            raise SetupError(f"review {context.review!r} pauses for a person, and a batch has none: leave it out")
        if answers.path.exists() and answers.path.samefile(questions.path):
            raise SetupError(f"{answers.path} holds the questions: choose another OUT")
        try:
            answers.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(f"{answers.path} cannot be made ({error.strerror}): choose another OUT") from error
        self.questions, self.answers, self.context = questions, answers, context
        self.concurrency = concurrency or (local_server.slots() if settings.provider == "local" else CONCURRENCY)
        self._lost = 0  # one after the other

    async def run(self, *, keep_turns: bool) -> None:
        total = await asyncio.to_thread(self.questions.count) if sys.stderr.isatty() else None
        done = sum((self.answers.answered, self.answers.degraded, self.answers.failed))
        with closing(self.questions.missing(self.answers)) as missing, progress("answers", total, done) as advance:
            async with self._graph(keep_turns) as (graph, saver):

                async def work() -> None:
                    for asked in missing:
                        if asked is None:
                            await asyncio.sleep(0)
                            continue
                        self._keep(await self._said(graph, asked))
                        if saver:
                            await saver.adelete_thread(_thread(asked))
                        advance()

                try:
                    async with asyncio.TaskGroup() as group:
                        for _ in range(self.concurrency):
                            group.create_task(work())
                except ExceptionGroup as errors:
                    told = errors.subgroup((SetupError, ModelError, OSError, sqlite3.Error))  # what can be put right
                    raise (told.exceptions[0] if told else errors) from None
        for end in ("", "-wal", "-shm"):
            _beside(self.answers.path, f"checkpoints{end}").unlink(missing_ok=True)

    @asynccontextmanager
    async def _graph(self, keep_turns: bool) -> AsyncIterator[tuple[ReasoningGraph, AsyncSqliteSaver | None]]:
        if not keep_turns:
            yield build_graph(), None
            return
        async with checkpoints_at(_beside(self.answers.path, "checkpoints")) as saver:
            yield build_graph(saver), saver

    async def _said(self, graph: ReasoningGraph, asked: BatchItem) -> dict[str, Any]:
        """Return the line that the question gets."""
        try:
            state = await self._state(graph, asked)
        except ModelError as error:
            return asked._asdict() | {"error": str(error)}
        usages, seconds = calls_of(state)
        told = {key: state[key] for key in ("answer", "concise_answer", "stop_reason", "degraded")}
        turns = {"turns": len(state["turns"]), "model": state["turns"][-1]["model"]}
        return asked._asdict() | told | turns | {"usage": tokens_of(usages), "seconds": round(seconds, 3)}

    async def _state(self, graph: ReasoningGraph, asked: BatchItem) -> dict[str, Any]:
        """Return the final state of the run: begun now or, with checkpoints, gone on with where it was cut.

        One that had ended, but whose line could not be written, is at its end at once.
        """
        config = thread_config(_thread(asked))
        kept = graph.checkpointer and (await graph.aget_state(config)).created_at
        state: dict[str, Any] = await graph.ainvoke(
            None if kept else {"query": asked.question},
            config,
            context=self.context,
            durability="sync" if graph.checkpointer else None,
        )
        return state

    def _keep(self, said: dict[str, Any]) -> None:
        self.answers.add(said)
        self._lost = self._lost + 1 if "error" in said else 0
        if self._lost >= max(MAX_CONSECUTIVE_FAILURES, 2 * self.concurrency):
            raise ModelError(
                f"{self._lost} questions failed one after the other, the last one so: {said['error']}: put it right, "
                "and the same command goes on; --retry-errors asks those again"
            )


def _thread(asked: BatchItem) -> str:
    return f"{asked.line} {asked.sum:08x}"


def _beside(out: Path, what: str) -> Path:
    return out.with_name(f".{out.name}.{what}")
