"""`llamaberry eval`: from the options to the report."""

import asyncio
import os
from pathlib import Path
from typing import Any

from langsmith import tracing_context
from pydantic import ValidationError

from llamaberry.cli.options import OPTIONS
from llamaberry.console import FAILURE, plain_console, print_error
from llamaberry.evaluation.cost import Prices
from llamaberry.evaluation.data import Data, generate, read_file
from llamaberry.evaluation.folder import RESULTS
from llamaberry.evaluation.page import page
from llamaberry.evaluation.report import report
from llamaberry.evaluation.results import Arm
from llamaberry.evaluation.run import Evaluation
from llamaberry.evaluation.table import print_report
from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError, describe_validation_error
from llamaberry.models.client import client_settings
from llamaberry.models.local import server as local_server
from llamaberry.tracing.langsmith import tracing_session


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
    os.environ.setdefault("TQDM_DISABLE", "1")  # LangSmith's own bars; read when tqdm is imported, which the suite does
    prices = _prices(price)
    context = _context(dials, OPTIONS)
    if judge is not None:
        client_settings(_context({"model": judge}, {"model": "--judge"}))
    named = [Arm.named(name) for name in dict.fromkeys(name.strip() for name in arms.split(","))]
    questions = _questions(data, suite, size, seed, limit, judge)
    for line in questions.bad:
        print_error(f"{data}, {line}: left out")
    folder = out or Path("eval-" + (data.stem if data else "-".join(questions.settings["suite"])))
    evaluation = Evaluation(questions, named, context, folder, shared_turns=shared_turns, judge=judge)
    at_once = concurrency or (local_server.slots() if evaluation.settings["model"].startswith("local:") else 8)
    # Off, but for the experiments: a run that is not theirs is no trace of its own.
    with tracing_session(report=False, runs=[]) as client, tracing_context(enabled=False):
        try:
            asyncio.run(evaluation.run(concurrency=at_once, again=retry_errors, client=client))
        except KeyboardInterrupt:
            print_error("the same command goes on from here")
            raise
        finally:
            local_server.close()
    made = report(evaluation.results, prices=prices, settings=evaluation.settings)
    text = made.model_dump_json(indent=2) + "\n"
    (folder / "report.json").write_text(text, encoding="utf-8")
    (folder / "report.html").write_text(page(made), encoding="utf-8")
    console = plain_console()
    if as_json:
        console.out(text, highlight=False, end="")
    else:
        print_report(made, console)
        console.print(f"{folder / 'report.html'} and report.json hold it, {folder / RESULTS} each reply.", style="dim")
    failed = [result for result in evaluation.results if result.error is not None]
    if failed:
        many = f"{len(failed)} of {len(evaluation.results)} runs failed, and count by what they answered"
        print_error(f"{many}; --retry-errors asks those again. The first: {failed[0].error}")
    nothing = all(result.error is not None and result.answer is None for result in evaluation.results)
    return FAILURE if nothing else 0


def _prices(price: str | None) -> Prices | None:
    """Read INPUT/OUTPUT or INPUT/OUTPUT/CACHED, in USD a million tokens."""
    if price is None:
        return None
    try:
        given = [float(part) for part in price.split("/")]
        if len(given) not in (2, 3) or not all(0 <= part < float("inf") for part in given):
            raise ValueError(price)
    except ValueError:
        raise SetupError(f"--price {price}: write INPUT/OUTPUT or INPUT/OUTPUT/CACHED, such as 0.15/0.60") from None
    return Prices(input=given[0], output=given[1], cached=given[2] if len(given) == 3 else None)


def _context(dials: dict[str, Any], names: dict[str, str]) -> Context:
    try:
        return Context(**dials)
    except ValidationError as error:
        raise SetupError(describe_validation_error(error, names)) from None


def _questions(
    data: Path | None, suite: str | None, size: int, seed: int, limit: int | None, judge: str | None
) -> Data:
    if (data is None) == (suite is None):
        raise SetupError("name what to ask: a JSONL file of questions, or tasks by --suite, and not both")
    if data is not None:
        return read_file(data, judged=judge is not None, limit=limit)
    tasks = [task.strip() for task in (suite or "").split(",")]
    return generate(tasks, size=size, seed=seed)
