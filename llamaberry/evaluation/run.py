"""An evaluation: the runs that are still to be made, each kept as soon as it is there."""

import asyncio
import os
import platform
import shlex
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llamaberry.console import progress
from llamaberry.evaluation.arms import Runner
from llamaberry.evaluation.data import Case, Data
from llamaberry.evaluation.folder import Folder, Pair
from llamaberry.evaluation.judge import Judge
from llamaberry.evaluation.langsmith_rows import SENT
from llamaberry.evaluation.results import Arm, Result
from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError
from llamaberry.models.client import client_settings
from llamaberry.nodes import first_turn, refine_turn, synthesize
from llamaberry.threads import checkpoints_at

if TYPE_CHECKING:
    from langsmith import Client

    from llamaberry.evaluation.langsmith_experiment import Experiments

CHECKPOINTS = "checkpoints.sqlite"


class Evaluation:
    """Cases, arms, and the folder of their results."""

    def __init__(
        self,
        data: Data,
        arms: Sequence[Arm],
        context: Context,
        folder: Path,
        *,
        shared_turns: bool = False,
        judge: str | None = None,
    ) -> None:
        """Open the folder, or make it.

        Raises:
            SetupError: it holds another evaluation, cannot be written, or the model cannot be asked.
        """
        self.data, self.arms, self.context = data, arms, context
        self.shared_turns, self.judge = shared_turns, judge
        settings = _settings(data, arms, context, shared_turns, judge)
        self.folder = Folder(folder, settings, {case.id: case.question for case in data.cases})

    @property
    def settings(self) -> dict[str, Any]:
        """What was run, and how."""
        return self.folder.settings

    @property
    def results(self) -> list[Result]:
        """The results of these cases in these arms, in their order."""
        kept = self.folder.results
        return [kept[pair] for case in self.data.cases for arm in self.arms if (pair := (case.id, arm.name)) in kept]

    async def run(self, *, concurrency: int, again: bool = False, client: "Client | None" = None) -> None:
        """Make the runs that are still to be made, `concurrency` at once; each result is kept as soon as it is there.

        `again`: make those again that failed. `client`: that of LangSmith, where the results are to be sent.

        Raises:
            SetupError: no call can be made; what was made is kept.
        """
        if len(self.results) == len(self.data.cases) * len(self.arms) and not again and not client:
            return
        with self.folder.exclusive_lock():
            failed = {(result.id, result.arm) for result in self.results if again and result.error is not None}
            if failed:
                # What LangSmith was sent is made again: in new experiments, so that nothing stands twice in one.
                (self.folder.path / SENT).unlink(missing_ok=True)
                self.folder.drop(failed)
            experiments = self._experiments(client, concurrency) if client else None
            total, done = len(self.data.cases) * len(self.arms), len(self.results)
            if done == total and not experiments:
                return
            with progress("answers", total, done) as advance:
                async with self._bench(concurrency, again=bool(failed)) as bench:
                    await self._make(bench, concurrency, failed, experiments, advance)
        if not self.shared_turns:  # an arm that is added has to find those
            for left in self.folder.path.glob(CHECKPOINTS + "*"):
                left.unlink()

    async def _make(
        self,
        bench: Runner,
        concurrency: int,
        failed: set[Pair],
        experiments: "Experiments | None",
        advance: Callable[[], None],
    ) -> None:
        kept = self.folder.results
        at_once = asyncio.Semaphore(concurrency)
        making: dict[Pair, asyncio.Task[None]] = {}

        async def make(case: Case, arm: Arm) -> None:
            if (case.id, arm.name) in failed:
                await bench.forget(case, arm)
            self.folder.keep(await bench.result(case, arm))
            await bench.forget(case, arm)
            advance()

        async def made(case: Case, arm: Arm) -> Result:
            pair = case.id, arm.name
            if pair not in kept and pair not in making:
                making[pair] = group.create_task(make(case, arm))
            if pair in making:
                await asyncio.shield(making[pair])
            return kept[pair]

        async def see_through(case: Case, arms: list[Arm]) -> None:
            """Begin no other case before this one's end: its prompts are the newest in the provider's prefix cache."""
            async with at_once:
                for arm in arms:
                    await made(case, arm)

        missing = [(case, arm) for case in self.data.cases for arm in self.arms if (case.id, arm.name) not in kept]
        try:
            async with asyncio.TaskGroup() as group:
                if experiments:
                    await experiments.send(made)
                for case, pairs in groupby(missing, itemgetter(0)):
                    group.create_task(see_through(case, [arm for _, arm in pairs]))
        except ExceptionGroup as errors:
            told = errors.subgroup((SetupError, OSError, sqlite3.Error))  # what the user can put right
            raise (told.exceptions[0] if told else errors) from None

    def _experiments(self, client: "Client", concurrency: int) -> "Experiments":
        from llamaberry.evaluation.langsmith_experiment import Experiments

        return Experiments(client, self.data, self.arms, self.settings, self.folder.path, at_once=concurrency)

    @asynccontextmanager
    async def _bench(self, concurrency: int, *, again: bool) -> AsyncIterator[Runner]:
        judge = Judge(self.judge, self.folder.results.values(), concurrency=concurrency) if self.judge else None
        how: dict[str, Any] = {"shared_turns": self.shared_turns, "judge": judge, "again": again}
        async with checkpoints_at(self.folder.path / CHECKPOINTS) as saver:
            yield Runner(saver, self.context, concurrency=concurrency, **how)


def _settings(
    data: Data, arms: Sequence[Arm], context: Context, shared_turns: bool, judge: str | None
) -> dict[str, Any]:
    asks = (context.system_prompt, first_turn.ASK, refine_turn.ASK, synthesize.ASK)
    return {
        **data.settings,
        "questions": len(data.cases),
        "arms": [arm.name for arm in arms],
        "model": client_settings(context).model,
        "temperature": context.temperature,
        "max_tokens": context.max_tokens,
        "shared_turns": shared_turns,
        "judge": judge,
        "prompts": sha256("\0".join(asks).encode()).hexdigest()[:12],
        "llamaberry": version("llamaberry"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "begun": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "command": shlex.join(["llamaberry", *sys.argv[1:]]),
    }
