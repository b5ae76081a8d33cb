"""Run an evaluation: answer the missing questions, and write each result as soon as it is complete."""

import asyncio
import os
import platform
import shlex
import sqlite3
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llamaberry.console import progress
from llamaberry.evaluation.arms import Runner
from llamaberry.evaluation.data import Case, Data
from llamaberry.evaluation.folder import Folder, ResultKey
from llamaberry.evaluation.judge import Judge
from llamaberry.evaluation.langsmith_rows import SENT
from llamaberry.evaluation.results import Arm, Result
from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError
from llamaberry.models.client import client_settings
from llamaberry.nodes import first_turn, refine_turn, synthesize
from llamaberry.threads import open_sqlite

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
        """Create the folder, or open that of the same evaluation.

        Raises:
            SetupError: the folder belongs to another evaluation or cannot be written, or the model cannot be called.
        """
        self.data, self.arms, self.context = data, arms, context
        self.shared_turns, self.judge = shared_turns, judge
        self.folder = Folder(folder, self._settings(), {case.id: case.question for case in data.cases})

    @property
    def results(self) -> list[Result]:
        """The results of these cases in these arms, in their order."""
        keys = ((case.id, arm.name) for case in self.data.cases for arm in self.arms)
        return [self.folder.results[key] for key in keys if key in self.folder.results]

    async def run(self, *, concurrency: int, retry_failed: bool = False, client: "Client | None" = None) -> None:
        """Answer the missing questions, `concurrency` at once, and send the results to LangSmith if `client` is given.

        Raises:
            SetupError: no call can be made; the results so far are kept.
        """
        total = len(self.data.cases) * len(self.arms)
        if len(self.results) == total and not retry_failed and not client:
            return
        with self.folder.exclusive():
            failed = {(result.id, result.arm) for result in self.results if retry_failed and result.error is not None}
            if failed:
                # New experiments in LangSmith: a retried case would be a second row in the old one.
                (self.folder.path / SENT).unlink(missing_ok=True)
                self.folder.remove(failed)
            experiments = None
            if client:
                from llamaberry.evaluation.langsmith_experiment import Experiments

                experiments = Experiments(client, self.data, self.arms, self.folder, concurrency=concurrency)
            if len(self.results) == total and not experiments:
                return
            judge = Judge(self.judge, self.folder.results.values(), concurrency=concurrency) if self.judge else None
            with progress("answers", total, len(self.results)) as advance:
                async with open_sqlite(self.folder.path / CHECKPOINTS) as saver:
                    runner = Runner(
                        saver,
                        self.context,
                        concurrency=concurrency,
                        shared_turns=self.shared_turns,
                        judge=judge,
                        retry_failed=bool(failed),
                    )
                    await self._run_missing(runner, concurrency, failed, experiments, advance)
        if not self.shared_turns:  # an arm that is added later continues from shared turns
            for file in self.folder.path.glob(CHECKPOINTS + "*"):
                file.unlink()

    async def _run_missing(
        self,
        runner: Runner,
        concurrency: int,
        failed: set[ResultKey],
        experiments: "Experiments | None",
        advance: Callable[[], None],
    ) -> None:
        results = self.folder.results
        case_slots = asyncio.Semaphore(concurrency)
        running: dict[ResultKey, asyncio.Task[None]] = {}

        async def run_arm(case: Case, arm: Arm) -> None:
            if (case.id, arm.name) in failed:
                await runner.forget(case, arm)
            self.folder.add(await runner.run(case, arm))
            await runner.forget(case, arm)
            advance()

        async def result_of(case: Case, arm: Arm) -> Result:
            key = case.id, arm.name
            if key not in results and key not in running:
                running[key] = group.create_task(run_arm(case, arm))
            if key in running:
                await asyncio.shield(running[key])
            return results[key]

        async def run_case(case: Case, arms: list[Arm]) -> None:
            # One case at a time per slot: its prompts stay in the provider's prefix cache until it is finished.
            async with case_slots:
                for arm in arms:
                    await result_of(case, arm)

        missing = [(case, [arm for arm in self.arms if (case.id, arm.name) not in results]) for case in self.data.cases]
        try:
            async with asyncio.TaskGroup() as group:
                if experiments:
                    await experiments.send(result_of)
                for case, arms in missing:
                    if arms:
                        group.create_task(run_case(case, arms))
        except ExceptionGroup as errors:
            known = errors.subgroup((SetupError, OSError, sqlite3.Error))  # errors that the user can fix
            raise (known.exceptions[0] if known else errors) from None

    def _settings(self) -> dict[str, Any]:
        context = self.context
        prompts = (context.system_prompt, first_turn.ASK, refine_turn.ASK, synthesize.ASK)
        return {
            **self.data.settings,
            "questions": len(self.data.cases),
            "arms": [arm.name for arm in self.arms],
            "model": client_settings(context).model,
            "temperature": context.temperature,
            "max_tokens": context.max_tokens,
            "shared_turns": self.shared_turns,
            "judge": self.judge,
            "prompts": sha256("\0".join(prompts).encode()).hexdigest()[:12],
            "llamaberry": version("llamaberry"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "started_at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "command": shlex.join(["llamaberry", *sys.argv[1:]]),
        }
