"""`llamaberry eval`: from the options to the report."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from llamaberry import local_server
from llamaberry.evaluation.data import Data, generate, read_file
from llamaberry.evaluation.results import Arm
from llamaberry.evaluation.run import Evaluation
from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError, first_mistake
from llamaberry.nodes._model import settings_of

OPTIONS = {
    "model": "--model",
    "temperature": "--temperature",
    "max_tokens": "--max-tokens",
    "turn_timeout_s": "--turn-timeout",
}
"""The option that turns a context field, for a message that names what the user typed."""


def run(
    data: Path | None,
    *,
    suite: str | None,
    size: int,
    seed: int,
    limit: int | None,
    arms: str,
    out: Path | None,
    dials: dict[str, Any],
    concurrency: int | None,
    shared_turns: bool,
    judge: str | None,
    price: str | None,
    retry_errors: bool,
    as_json: bool,
) -> int:
    """Make the runs that are still to be made, write and print the report, and return the exit code.

    Raises:
        SetupError: an option, the data, the folder or the model has to be put right first.
    """
    context = _context(dials, OPTIONS)
    if judge is not None:
        settings_of(_context({"model": judge}, {"model": "--judge"}))
    named = [Arm.named(name) for name in dict.fromkeys(name.strip() for name in arms.split(","))]
    questions = _questions(data, suite, size, seed, limit, judge)
    for line in questions.bad:
        print(f"llamaberry: {data}, {line}: left out", file=sys.stderr)  # noqa: T201
    folder = out or Path("eval-" + (data.stem if data else "-".join(questions.settings["suite"])))
    evaluation = Evaluation(questions, named, context, folder, shared_turns=shared_turns, judge=judge)
    at_once = concurrency or (local_server.SLOTS if evaluation.settings["model"].startswith("local:") else 8)
    try:
        asyncio.run(evaluation.run(concurrency=at_once, again=retry_errors))
    except KeyboardInterrupt:
        print("llamaberry: the same command goes on from here", file=sys.stderr)  # noqa: T201
        raise
    finally:
        local_server.close()
    return 0


def _context(dials: dict[str, Any], names: dict[str, str]) -> Context:
    try:
        return Context(**dials)
    except ValidationError as error:
        raise SetupError(first_mistake(error, names)) from None


def _questions(
    data: Path | None, suite: str | None, size: int, seed: int, limit: int | None, judge: str | None
) -> Data:
    if (data is None) == (suite is None):
        raise SetupError("name what to ask: a JSONL file of questions, or tasks by --suite, and not both")
    if data is not None:
        return read_file(data, judged=judge is not None, limit=limit)
    tasks = [task.strip() for task in (suite or "").split(",")]
    return generate(tasks, size=size, seed=seed)
