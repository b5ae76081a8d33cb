"""Run an evaluation: answer the missing questions, and write each result as soon as it is complete."""

import asyncio
import os
import platform
import shlex
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langsmith import Client

from llamaberry.console import print_error, progress
from llamaberry.evaluation.arms import Runner
from llamaberry.evaluation.data import Case, Data
from llamaberry.evaluation.folder import Folder, ResultKey
from llamaberry.evaluation.judge import Judge
from llamaberry.evaluation.langsmith_experiment import Experiments
from llamaberry.evaluation.results import Arm, Result
from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError
from llamaberry.models.client import client_settings
from llamaberry.nodes import first_turn, refine_turn, synthesize, verify
from llamaberry.threads import open_sqlite

CHECKPOINTS = "checkpoints.sqlite"
_STEP_MODELS = ("refine_model", "verify_model", "synthesis_model")


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

    async def run(self, *, concurrency: int, retry_failed: bool = False, client: Client | None = None) -> None:
        """Answer the missing questions, `concurrency` at once, and send the results to LangSmith if `client` is given.

        Raises:
            SetupError: no call can be made; the results so far are kept.
        """
        if self.data.warning:
            print_error(self.data.warning)
        total = len(self.data.cases) * len(self.arms)
        if len(self.results) == total and not retry_failed and not client:
            return
        with self.folder.exclusive():
            failed = {(result.id, result.arm) for result in self.results if retry_failed and result.error is not None}
            if failed:
                self.folder.remove(failed)
            experiments = Experiments(client, self.data, self.arms, self.folder) if client else None
            judge = None
            if self.judge:
                judged = self.folder.results.values()
                judge = Judge(self.judge, judged, concurrency=concurrency, context=self.context)
            async with AsyncExitStack() as stack:
                sending = experiments is not None and await stack.enter_async_context(experiments.open())
                if len(self.results) == total and not sending:
                    return
                saver = await stack.enter_async_context(open_sqlite(self.folder.path / CHECKPOINTS))
                runner = Runner(
                    saver,
                    self.context,
                    concurrency=concurrency,
                    shared_turns=self.shared_turns,
                    judge=judge,
                    retry_failed=bool(failed),
                )
                advance = stack.enter_context(progress("answers", total, len(self.results)))
                await self._run_cases(runner, concurrency, failed, experiments if sending else None, advance)
        if not self.shared_turns:  # an arm that is added later continues from shared turns
            for file in self.folder.path.glob(CHECKPOINTS + "*"):
                file.unlink()

    async def _run_cases(
        self,
        runner: Runner,
        concurrency: int,
        failed: set[ResultKey],
        experiments: Experiments | None,
        advance: Callable[[], None],
    ) -> None:
        case_slots = asyncio.Semaphore(concurrency)

        async def result_of(case: Case, arm: Arm) -> Result:
            key = case.id, arm.name
            if key not in self.folder.results:
                if key in failed:
                    await runner.forget(case, arm)
                self.folder.add(await runner.run(case, arm))
                await runner.forget(case, arm)
                advance()
            return self.folder.results[key]

        async def run_case(case: Case) -> None:
            # One case at a time per slot: its prompts stay in the provider's prefix cache until it is finished.
            async with case_slots:
                for arm in self.arms:
                    if experiments and experiments.lacks(case, arm):
                        await experiments.row(case, arm, result_of(case, arm))
                    else:
                        await result_of(case, arm)

        try:
            async with asyncio.TaskGroup() as group:
                for case in self.data.cases:
                    group.create_task(run_case(case))
        except ExceptionGroup as errors:
            known = errors.subgroup((SetupError, OSError, sqlite3.Error))  # errors that the user can fix
            raise (known.exceptions[0] if known else errors) from None

    def _settings(self) -> dict[str, Any]:
        context = self.context
        prompts = (
            *(context.system_prompt, first_turn.ASK, refine_turn.ASK),
            *(f"{refine_turn.PRINTED}\n\n{refine_turn.ASK_AFTER_PROGRAM}", synthesize.ASK),
            synthesize.ASK_AFTER_PROGRAM,
            *(verify.SYSTEM_PROMPT, *(message.text for message in verify.EXAMPLES), verify.REPAIR, verify.REWRITE),
            *(f"{step}={text}" for step, text in sorted(context.instructions.items())),
        )
        return {
            **self.data.settings,
            "questions": len(self.data.cases),
            "arms": [arm.name for arm in self.arms],
            "model": client_settings(context).model,
            "temperature": context.temperature,
            "max_tokens": context.max_tokens,
            **{name: model for name in _STEP_MODELS if (model := getattr(context, name))},
            "shared_turns": self.shared_turns,
            "judge": self.judge,
            "prompts": sha256("\0".join(prompts).encode()).hexdigest()[:12],
            "llamaberry": version("llamaberry"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "started_at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "command": shlex.join(["llamaberry", *sys.argv[1:]]),
        }
