"""The command that measures: does thinking again pay?"""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

ARMS = "single,turns:3,turns:3+early,self-consistency:3"


@app.command("eval")
def evaluate(
    data: Annotated[Path | None, typer.Argument(help="A JSONL file: question, answer, perhaps id and checker.")] = None,
    suite: Annotated[str | None, typer.Option(help="Or tasks that reasoning-gym generates, with commas.")] = None,
    size: Annotated[int, typer.Option(min=1, help="Questions of each task of the suite.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the suite: the same seed, the same questions.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="The first so many questions of the file.")] = None,
    arms: Annotated[str, typer.Option(help="What to compare, with commas.")] = ARMS,
    out: Annotated[Path | None, typer.Option(help="The folder of the results. [eval-NAME]")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help='"auto", "local" or "provider:model".')] = None,
    temperature: Annotated[float | None, typer.Option(help="How freely it picks its words, 0 to 2. [0.7]")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="The most tokens of each reply. [2048]")] = None,
    turn_timeout_s: Annotated[
        float | None, typer.Option("--turn-timeout", help="Seconds of one model call. [60]")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Runs at once. [8; 2 for the local model]")] = None,
    shared_turns: Annotated[
        bool, typer.Option("--shared-turns", help="Draw each question's turns once, and let each arm stop at its own.")
    ] = False,
    judge: Annotated[str | None, typer.Option(help="A model that marks what no other checker is named for.")] = None,
    price: Annotated[
        str | None, typer.Option(help="USD a million tokens: INPUT/OUTPUT, or INPUT/OUTPUT/CACHED.")
    ] = None,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Ask again what failed.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON document.")] = False,
) -> None:
    """Measure on questions with known answers whether thinking again pays. Run again, it goes on where it was cut."""
    dials = {
        "model": model,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "turn_timeout_s": turn_timeout_s,
    }
    from llamaberry.evaluation.command import run

    raise typer.Exit(
        run(
            data,
            suite=suite,
            size=size,
            seed=seed,
            limit=limit,
            arms=arms,
            out=out,
            dials={name: value for name, value in dials.items() if value is not None},
            concurrency=concurrency,
            shared_turns=shared_turns,
            judge=judge,
            price=price,
            retry_errors=retry_errors,
            as_json=json,
        )
    )
