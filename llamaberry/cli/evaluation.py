"""Run `llamaberry eval`: from the options to the report."""

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
    path: Path | None,
    *,
    suite: str | None,
    size: int,
    seed: int,
    limit: int | None,
    arms: str,
    out: Path | None,
    settings: dict[str, Any],
    concurrency: int | None,
    shared_turns: bool,
    judge: str | None,
    price: str | None,
    retry_errors: bool,
    as_json: bool,
) -> int:
    """Answer the missing questions, write and print the report, and return the exit code.

    Raises:
        SetupError: an option, the data, the folder or the model is invalid.
    """
    os.environ.setdefault("TQDM_DISABLE", "1")  # hides LangSmith's progress bars; must be set before tqdm is imported
    prices = _prices(price)
    context = _context(settings, OPTIONS)
    if judge is not None:
        client_settings(_context({"model": judge}, {"model": "--judge"}))
    parsed_arms = [Arm.parse(name) for name in dict.fromkeys(name.strip() for name in arms.split(","))]
    data = _data(path, suite, size, seed, limit, judge)
    for message in data.invalid:
        print_error(f"{path}, {message}: skipped")
    folder = out or Path("eval-" + (path.stem if path else "-".join(data.settings["suite"])))
    evaluation = Evaluation(data, parsed_arms, context, folder, shared_turns=shared_turns, judge=judge)
    slots = concurrency or (local_server.slots() if evaluation.folder.settings["model"].startswith("local:") else 8)
    # Only the experiments are traced: they enable tracing for their own runs.
    with tracing_session(report=False, runs=[]) as client, tracing_context(enabled=False):
        try:
            asyncio.run(evaluation.run(concurrency=slots, retry_failed=retry_errors, client=client))
        except KeyboardInterrupt:
            print_error("interrupted: run the same command to resume")
            raise
        finally:
            local_server.close()
    full_report = report(evaluation.results, prices=prices, settings=evaluation.folder.settings)
    json_report = full_report.model_dump_json(indent=2) + "\n"
    (folder / "report.json").write_text(json_report, encoding="utf-8")
    (folder / "report.html").write_text(page(full_report), encoding="utf-8")
    console = plain_console()
    if as_json:
        console.out(json_report, highlight=False, end="")
    else:
        print_report(full_report, console)
        files = f"The report is in {folder / 'report.html'} and report.json, each reply in {folder / RESULTS}."
        console.print(files, style="dim")
    failed = [result for result in evaluation.results if result.error is not None]
    if failed:
        count = f"{len(failed)} of {len(evaluation.results)} runs failed"
        print_error(f"{count}; --retry-errors retries them. First error: {failed[0].error}")
    all_failed = all(result.error is not None and result.answer is None for result in evaluation.results)
    return FAILURE if all_failed else 0


def _prices(price: str | None) -> Prices | None:
    """Parse INPUT/OUTPUT or INPUT/OUTPUT/CACHED, in USD per million tokens."""
    if price is None:
        return None
    parts = price.split("/")
    try:
        return Prices.model_validate(dict(zip(("input", "output", "cached")[: len(parts)], parts, strict=True)))
    except ValueError:
        raise SetupError(f"--price {price}: write INPUT/OUTPUT or INPUT/OUTPUT/CACHED, such as 0.15/0.60") from None


def _context(settings: dict[str, Any], names: dict[str, str]) -> Context:
    try:
        return Context(**settings)
    except ValidationError as error:
        raise SetupError(describe_validation_error(error, names)) from None


def _data(path: Path | None, suite: str | None, size: int, seed: int, limit: int | None, judge: str | None) -> Data:
    if (path is None) == (suite is None):
        raise SetupError("give either a JSONL file of questions, or tasks with --suite, and not both")
    if path is not None:
        return read_file(path, judged=judge is not None, limit=limit)
    tasks = [task.strip() for task in (suite or "").split(",")]
    return generate(tasks, size=size, seed=seed)
