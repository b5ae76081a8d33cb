"""`llamaberry eval`: from the options to the report."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from langsmith import tracing_context

from llamaberry import local_server
from llamaberry.evaluation.data import Data, generate, read_file
from llamaberry.evaluation.results import Arm
from llamaberry.evaluation.run import Evaluation
from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError
from llamaberry.tracing import traced


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
        SetupError, pydantic.ValidationError: an option, the data, the folder or the model has to be put right first.
    """
    os.environ.setdefault("TQDM_DISABLE", "1")  # LangSmith's own bars; read when tqdm is imported, which the suite does
    named = [Arm.named(name.strip()) for name in dict.fromkeys(arms.split(","))]
    questions = _questions(data, suite, size, seed, limit, judge)
    for line in questions.bad:
        print(f"llamaberry: {data}, {line}: left out", file=sys.stderr)  # noqa: T201
    folder = out or Path("eval-" + (data.stem if data else "-".join(questions.settings["suite"])))
    context = Context(**dials)
    evaluation = Evaluation(questions, named, context, folder, shared_turns=shared_turns, judge=judge)
    at_once = concurrency or (local_server.SLOTS if evaluation.settings["model"].startswith("local:") else 8)
    # Off, but for the experiments: a run that is not theirs is no trace of its own.
    with traced(told=False, runs=[]) as client, tracing_context(enabled=False):
        try:
            asyncio.run(evaluation.run(concurrency=at_once, again=retry_errors, client=client))
        finally:
            local_server.close()
    return 0


def _questions(
    data: Path | None, suite: str | None, size: int, seed: int, limit: int | None, judge: str | None
) -> Data:
    if (data is None) == (suite is None):
        raise SetupError("name what to ask: a JSONL file of questions, or tasks by --suite, and not both")
    if data is not None:
        return read_file(data, judged=judge is not None, limit=limit)
    tasks = [task.strip() for task in (suite or "").split(",")]
    return generate(tasks, size=size, seed=seed)
