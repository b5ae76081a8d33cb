"""`llamaberry eval`: measure whether further turns help."""

from pathlib import Path
from typing import Annotated, Any

import typer

from llamaberry.cli.options import context_options

ARMS = "single,turns:3,turns:3+early,self-consistency:3"


@context_options(exclude=("max_turns", "early_stop", "token_budget", "deadline_s"))  # an arm's name sets its turns
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
    from llamaberry.cli.evaluation import run

    return run(
        data,
        suite=suite,
        size=size,
        seed=seed,
        limit=limit,
        arms=arms,
        out=out,
        settings=settings,
        concurrency=concurrency,
        shared_turns=shared_turns,
        judge=judge,
        price=price,
        retry_errors=retry_errors,
        as_json=json,
    )
