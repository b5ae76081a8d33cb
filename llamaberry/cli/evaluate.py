"""`llamaberry eval`: measure whether further turns help."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from llamaberry.cli.options import context_options, output_path
from llamaberry.console import FAILURE, plain_console, print_error
from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError, describe_validation_error

if TYPE_CHECKING:
    from llamaberry.evaluation.cost import Prices
    from llamaberry.evaluation.run import Evaluation

ARMS = "single,program,self-consistency:3,turns:3,turns:3+noverify"


# An arm's name sets its turns, and a measurement must not depend on who runs it.
@context_options(
    user_config=False,
    exclude=(
        *("max_turns", "early_stop", "verify", "second_turn", "token_budget", "max_cost_usd", "deadline_s"),
        "answer_schema",
    ),
)
def evaluate(
    settings: dict[str, Any],
    data: Annotated[Path | None, typer.Argument(help="A JSONL file: question, answer, perhaps id and checker.")] = None,
    suite: Annotated[str | None, typer.Option(help="Instead of a file: reasoning-gym tasks, with commas.")] = None,
    size: Annotated[int, typer.Option(min=1, help="Questions per task of the suite.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the suite: the same seed gives the same questions.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first questions of the file.")] = None,
    arms: Annotated[str, typer.Option(help="What to compare, with commas.")] = ARMS,
    out: Annotated[Path | None, typer.Option(help="The folder for the results. [default: eval-NAME]")] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Parallel runs. [default: 8, or the local model's slots]")
    ] = None,
    shared_turns: Annotated[
        bool, typer.Option("--shared-turns", help="Generate each question's turns once; each arm uses the first ones.")
    ] = False,
    judge: Annotated[str | None, typer.Option(help="A model that checks answers without another checker.")] = None,
    price: Annotated[
        str | None, typer.Option(help="USD per million tokens: INPUT/OUTPUT or INPUT/OUTPUT/CACHED.")
    ] = None,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Retry failed questions.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON document.")] = False,
) -> int:
    """Measure whether further turns help.

    It needs questions with known answers. After an interruption, run the same command again.
    """
    from langsmith import tracing_context

    from llamaberry.evaluation.cost import Prices
    from llamaberry.evaluation.data import generate, read_file
    from llamaberry.evaluation.results import Arm
    from llamaberry.evaluation.run import Evaluation
    from llamaberry.models.local import server as local_server
    from llamaberry.tracing.langsmith import tracing_session

    context = Context(**settings)
    prices = Prices.parse(price) if price is not None else None
    if judge is not None:
        _check_judge(judge)
    parsed_arms = [Arm.parse(name) for name in dict.fromkeys(name.strip() for name in arms.split(","))]
    if (data is None) == (suite is None):
        raise SetupError("give either a JSONL file of questions, or tasks with --suite, and not both")
    if data:
        questions = read_file(data, judged=judge is not None, limit=limit)
    else:
        questions = generate([task.strip() for task in (suite or "").split(",")], size=size, seed=seed)
    for message in questions.invalid:
        print_error(f"{data}, {message}: skipped")
    name = data.stem if data else "-".join(questions.settings["suite"])
    folder = output_path(out, "--out") if out else Path(f"eval-{name}")
    evaluation = Evaluation(questions, parsed_arms, context, folder, shared_turns=shared_turns, judge=judge)
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
    _report(evaluation, prices, as_json=json)
    failed = [result for result in evaluation.results if result.error is not None]
    if failed:
        count = f"{len(failed)} of {len(evaluation.results)} runs failed"
        print_error(f"{count}; --retry-errors retries them. First error: {failed[0].error}")
    return FAILURE if all(result in failed and result.answer is None for result in evaluation.results) else 0


def _check_judge(model: str) -> None:
    from llamaberry.models.client import client_settings

    try:
        client_settings(Context(model=model))
    except ValidationError as error:
        raise SetupError(describe_validation_error(error, {"model": "--judge"})) from None


def _report(evaluation: "Evaluation", prices: "Prices | None", *, as_json: bool) -> None:
    """Write the report to the evaluation's folder, and print it."""
    from llamaberry.evaluation.folder import RESULTS
    from llamaberry.evaluation.page import page
    from llamaberry.evaluation.report import report
    from llamaberry.evaluation.table import print_report
    from llamaberry.folders import write_private

    folder = evaluation.folder.path
    full_report = report(evaluation.results, prices=prices, settings=evaluation.folder.settings)
    json_report = full_report.model_dump_json(indent=2) + "\n"
    write_private(folder / "report.json", json_report)
    write_private(folder / "report.html", page(full_report))
    console = plain_console()
    if as_json:
        console.out(json_report, highlight=False, end="")
    else:
        print_report(full_report, console)
        files = f"The report is in {folder / 'report.html'} and report.json, each reply in {folder / RESULTS}."
        console.print(files, style="dim")
