"""An evaluation: its folder, what is kept there line by line, and the runs that are still to be made."""

import asyncio
import json
import os
import platform
import shlex
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiosqlite
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from llamaberry.evaluation.arms import Bench
from llamaberry.evaluation.data import Case, Data
from llamaberry.evaluation.judge import Judge
from llamaberry.evaluation.results import Arm, Result
from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError
from llamaberry.nodes import first_turn, refine_turn, synthesize
from llamaberry.nodes._model import settings_of

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
        self.settings = _settings(data, context, shared_turns, judge)
        self.results: dict[tuple[str, str], Result] = {}
        try:
            self._open()
            self._read()
        except OSError as error:
            raise SetupError(f"{folder} cannot be used ({error.strerror}): choose another --out") from error

    @property
    def asked(self) -> list[Result]:
        """The results of these cases in these arms, in their order."""
        pairs = [(case.id, arm.name) for case in self.data.cases for arm in self.arms]
        return [self.results[pair] for pair in pairs if pair in self.results]

    async def run(self, *, concurrency: int, again: bool = False) -> None:
        """Make the runs that are still to be made, `concurrency` at once; each result is kept as soon as it is there.

        `again`: make those again that failed.

        Raises:
            SetupError: no call can be made; what was made is kept.
        """
        if len(self.asked) == len(self.data.cases) * len(self.arms) and not again:
            return
        try:
            with _alone(self.folder):
                self._read(cut=True)  # another process may have gone on in the meantime
                await self._run(concurrency, self._failed() if again else set())
        except (OSError, sqlite3.Error) as error:
            told = f"{self.folder} cannot be used ({error}): put it right, and the same command goes on"
            raise SetupError(told) from error

    async def _run(self, concurrency: int, failed: set[tuple[str, str]]) -> None:
        missing = [(c, arm) for c in self.data.cases for arm in self.arms if (c.id, arm.name) not in self.results]
        total = len(self.data.cases) * len(self.arms)
        if not missing:
            return
        bar = "[progress.description]{task.description}"
        columns = TextColumn(bar), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
        console = Console(stderr=True)
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            shown = progress.add_task("answers", total=total, completed=total - len(missing))
            async with self._bench(concurrency, again=bool(failed)) as bench:

                async def make(case: Case, arm: Arm) -> None:
                    if (case.id, arm.name) in failed:
                        await bench.forget(case, arm)
                    self.keep(await bench.result(case, arm))
                    await bench.forget(case, arm)
                    progress.advance(shown)

                try:
                    async with asyncio.TaskGroup() as group:
                        for case, arm in missing:
                            group.create_task(make(case, arm))
                except ExceptionGroup as group:
                    told = group.subgroup((SetupError, OSError, sqlite3.Error))  # what the user can put right
                    raise (told.exceptions[0] if told else group) from None
        if self.shared_turns:
            return  # an arm that is added has to find them
        for left in self.folder.glob(CHECKPOINTS + "*"):
            left.unlink()

    def keep(self, result: Result) -> None:
        """Append a result to the file."""
        with (self.folder / RESULTS).open("a", encoding="utf-8") as lines:
            lines.write(result.model_dump_json() + "\n")
        self.results[result.id, result.arm] = result

    def _failed(self) -> set[tuple[str, str]]:
        """Drop the results of these cases in these arms that are failures; return whose they were."""
        failed = {(result.id, result.arm) for result in self.asked if result.error is not None}
        self.results = {pair: result for pair, result in self.results.items() if pair not in failed}
        lines = "".join(result.model_dump_json() + "\n" for result in self.results.values())
        _write(self.folder / RESULTS, lines)
        return failed

    @asynccontextmanager
    async def _bench(self, concurrency: int, *, again: bool) -> AsyncIterator[Bench]:
        judge = Judge(self.judge, self.results.values(), concurrency=concurrency) if self.judge else None
        how: dict[str, Any] = {"shared_turns": self.shared_turns, "judge": judge, "again": again}
        async with aiosqlite.connect(self.folder / CHECKPOINTS) as connection:
            saver = AsyncSqliteSaver(connection)
            try:
                await saver.setup()
            except sqlite3.Error as error:
                raise SetupError(f"{self.folder / CHECKPOINTS} cannot be used ({error}): delete it") from error
            yield Bench(saver, self.context, concurrency=concurrency, **how)

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        begun = self.folder / SETTINGS
        if begun.exists():
            try:
                kept = json.loads(begun.read_text(encoding="utf-8"))
                differing = [key for key in _IDENTITY if kept.get(key) != self.settings.get(key)]
            except (ValueError, AttributeError) as error:
                raise SetupError(f"{begun} is no evaluation's: choose another --out") from error
            if differing:
                named = ", ".join(f"{key} {kept.get(key)!r}, not {self.settings.get(key)!r}" for key in differing[:3])
                raise SetupError(f"{self.folder} holds another evaluation ({named}): choose another --out")
            self.settings = {**self.settings, **{key: kept[key] for key in ("begun", "machine") if key in kept}}
        elif any(path.name != f"{SETTINGS}.new" for path in self.folder.iterdir()):
            raise SetupError(f"{self.folder} is not empty, and holds no evaluation: choose another --out")
        _write(begun, json.dumps(self.settings, indent=2, ensure_ascii=False) + "\n")

    def _read(self, *, cut: bool = False) -> None:
        """Read the results that are there; `cut` off the half of a line that a killed process has left."""
        path = self.folder / RESULTS
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        questions = {case.id: case.question for case in self.data.cases}
        for place, line in enumerate(whole.splitlines(), 1):
            try:
                result = Result.model_validate_json(line)
            except ValidationError as error:
                raise SetupError(f"{path}, line {place}, is no result: delete that line, or the folder") from error
            if result.question != questions.get(result.id, result.question):  # some tasks draw others for another size
                raise SetupError(f"{self.folder} holds another question as {result.id!r}: choose another --out")
            self.results[result.id, result.arm] = result
        if cut and whole != content:
            os.truncate(path, len(whole))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes out, which would ask everything again. This lock ends with the process, however it ends."""
    with closing(sqlite3.connect(folder / ".lock", timeout=0, isolation_level=None)) as lock:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            raise SetupError(
                f"{folder} is in use ({error}): wait for the other process, or choose another --out"
            ) from None
        yield


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


_IDENTITY = (
    "data", "sha256", "suite", "seed", "reasoning_gym", "model", "temperature", "max_tokens", "prompts",
    "shared_turns", "judge",
)  # fmt: skip
"""What makes results comparable: an evaluation goes on in a folder only where all of these are the same."""


def _settings(data: Data, context: Context, shared_turns: bool, judge: str | None) -> dict[str, Any]:
    asks = (context.system_prompt, first_turn.ASK, refine_turn.ASK, synthesize.ASK)
    return {
        **data.settings,
        "questions": len(data.cases),
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
