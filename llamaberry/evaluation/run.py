"""An evaluation: its folder, what is kept there line by line, and the runs that are still to be made."""

import asyncio
import json
import os
import platform
import shlex
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import aiosqlite
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from llamaberry.evaluation.arms import Bench
from llamaberry.evaluation.data import Case, Data
from llamaberry.evaluation.judge import Judge
from llamaberry.evaluation.langsmith_rows import SENT
from llamaberry.evaluation.results import Arm, Result
from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError
from llamaberry.nodes import first_turn, refine_turn, synthesize
from llamaberry.nodes._model import settings_of

if TYPE_CHECKING:
    from langsmith import Client

    from llamaberry.evaluation.langsmith_experiment import Experiments, Made

SETTINGS, RESULTS, CHECKPOINTS = "settings.json", "results.jsonl", "checkpoints.sqlite"


class Evaluation:
    """The cases, the arms and the folder where the results are kept; `results` are those that are there."""

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
        self.data, self.arms, self.context, self.folder = data, arms, context, folder
        self.shared_turns, self.judge = shared_turns, judge
        self.settings = _settings(data, arms, context, shared_turns, judge)
        self.results: dict[tuple[str, str], Result] = {}
        self._lines: IO[str] | None = None
        try:
            self._open()
        except OSError as error:
            raise SetupError(f"{folder} cannot be used ({error.strerror}): choose another --out") from error

    @property
    def asked(self) -> list[Result]:
        """The results of these cases in these arms, in their order."""
        pairs = [(case.id, arm.name) for case in self.data.cases for arm in self.arms]
        return [self.results[pair] for pair in pairs if pair in self.results]

    async def run(self, *, concurrency: int, again: bool = False, client: "Client | None" = None) -> None:
        """Make the runs that are still to be made, `concurrency` at once; each result is kept as soon as it is there.

        `again`: make those again that failed. `client`: that of LangSmith, where the results are to be sent.

        Raises:
            SetupError: no call can be made; what was made is kept.
        """
        if again and any(result.error for result in self.results.values()):
            # What LangSmith was sent is made again: in new experiments, so that nothing stands twice in one.
            (self.folder / SENT).unlink(missing_ok=True)
            self.results = {pair: result for pair, result in self.results.items() if result.error is None}
        missing = [(c, arm) for c in self.data.cases for arm in self.arms if (c.id, arm.name) not in self.results]
        total = len(self.data.cases) * len(self.arms)
        experiments = self._experiments(client, concurrency) if client else None
        if not missing and not experiments:
            return
        bar = "[progress.description]{task.description}"
        columns = TextColumn(bar), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
        console = Console(stderr=True)
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            shown = progress.add_task("answers", total=total, completed=total - len(missing))
            async with self._bench(concurrency) as bench:
                at_once = asyncio.Semaphore(concurrency)

                async def make(case: Case, arm: Arm) -> None:
                    self.keep(await bench.result(case, arm))
                    await bench.forget(case, arm)
                    progress.advance(shown)

                async def see_through(case: Case, arms: list[Arm], made: "Made") -> None:
                    """The next case begins after this one: its prompts are the newest in the provider's prefix cache."""
                    async with at_once:
                        for arm in arms:
                            await made(case, arm)

                try:
                    async with asyncio.TaskGroup() as group:
                        making: dict[tuple[str, str], asyncio.Task[None]] = {}

                        async def made(case: Case, arm: Arm) -> Result:
                            pair = case.id, arm.name
                            if pair not in self.results and pair not in making:
                                making[pair] = group.create_task(make(case, arm))
                            if pair in making:
                                await asyncio.shield(making[pair])
                            return self.results[pair]

                        if experiments:
                            await experiments.send(made)
                        for case, pairs in groupby(missing, itemgetter(0)):
                            group.create_task(see_through(case, [arm for _, arm in pairs], made))
                except* SetupError as wrong:
                    raise wrong.exceptions[0] from None
        for left in self.folder.glob(CHECKPOINTS + "*"):
            left.unlink()

    def keep(self, result: Result) -> None:
        """Append a result to the file."""
        if self._lines is None:
            self._lines = (self.folder / RESULTS).open("a", encoding="utf-8")
        self._lines.write(result.model_dump_json() + "\n")
        self._lines.flush()
        self.results[result.id, result.arm] = result

    def _experiments(self, client: "Client", concurrency: int) -> "Experiments":
        from llamaberry.evaluation.langsmith_experiment import Experiments

        return Experiments(client, self.data, self.arms, self.settings, self.folder, at_once=concurrency)

    @asynccontextmanager
    async def _bench(self, concurrency: int) -> AsyncIterator[Bench]:
        judge = Judge(self.judge, concurrency=concurrency) if self.judge else None
        async with aiosqlite.connect(self.folder / CHECKPOINTS) as connection:
            saver = AsyncSqliteSaver(connection)
            await saver.setup()
            yield Bench(saver, self.context, concurrency=concurrency, shared_turns=self.shared_turns, judge=judge)

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        begun = self.folder / SETTINGS
        if begun.exists():
            kept = json.loads(begun.read_text(encoding="utf-8"))
            if differing := [key for key in _IDENTITY if kept.get(key) != self.settings.get(key)]:
                named = ", ".join(f"{key} {kept.get(key)!r}, not {self.settings.get(key)!r}" for key in differing[:3])
                raise SetupError(f"{self.folder} holds another evaluation ({named}): choose another --out")
            self.settings = {**self.settings, **{key: kept[key] for key in ("begun", "machine") if key in kept}}
        elif any(self.folder.iterdir()):
            raise SetupError(f"{self.folder} is not empty, and holds no evaluation: choose another --out")
        begun.write_text(json.dumps(self.settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        path = self.folder / RESULTS
        if not path.exists():
            return
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        for place, line in enumerate(whole.splitlines(), 1):
            try:
                result = Result.model_validate_json(line)
            except ValidationError as error:
                raise SetupError(f"{path}, line {place}, is no result: delete that line, or the folder") from error
            self.results[result.id, result.arm] = result
        if whole != content:  # killed in mid-line
            os.truncate(path, len(whole))


_IDENTITY = (
    "data", "sha256", "suite", "seed", "reasoning_gym", "model", "temperature", "max_tokens", "prompts",
    "shared_turns", "judge",
)  # fmt: skip
"""What makes results comparable: an evaluation goes on in a folder only where all of these are the same."""


def _settings(
    data: Data, arms: Sequence[Arm], context: Context, shared_turns: bool, judge: str | None
) -> dict[str, Any]:
    asks = (context.system_prompt, first_turn.ASK, refine_turn.ASK, synthesize.ASK)
    return {
        **data.settings,
        "questions": len(data.cases),
        "arms": [arm.name for arm in arms],
        "model": settings_of(context).model,
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
