"""The commands that measure what thinking again does."""

from pathlib import Path
from typing import Annotated

import typer

from llamaberry.cli.options import (
    BudgetOption,
    DeadlineOption,
    EarlyStopOption,
    MaxTokensOption,
    ModelOption,
    QuestionArgument,
    SystemPromptOption,
    TemperatureOption,
    TimeoutOption,
    TraceOption,
    drop_unset,
    exit_on_invalid,
    read_question,
)

app = typer.Typer()

ARMS = "single,turns:3,turns:3+early,self-consistency:3"


@app.command()
def compare(
    question: QuestionArgument,
    max_turns: Annotated[
        int, typer.Option("--turns", "-t", min=2, max=10, help="The most turns of the run of several.")
    ] = 3,
    shared_first: Annotated[
        bool, typer.Option("--shared-first", help="Ask for one first turn, and go on from it: one call less.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print both outputs as one JSON document.")] = False,
    model: ModelOption = None,
    early_stop: EarlyStopOption = None,
    temperature: TemperatureOption = None,
    max_tokens: MaxTokensOption = None,
    token_budget: BudgetOption = None,
    deadline_s: DeadlineOption = None,
    turn_timeout_s: TimeoutOption = None,
    system_prompt: SystemPromptOption = None,
    trace: TraceOption = False,
) -> None:
    """Answer a question in a single turn and in several, side by side.

    It says whether the answers agree and what the further turns cost; which one is right, it cannot know. The two runs
    go on at the same time, each with a first turn of its own, and neither is kept as a thread.
    """
    dials = drop_unset(
        model=model,
        max_turns=max_turns,
        early_stop=early_stop,
        temperature=temperature,
        max_tokens=max_tokens,
        token_budget=token_budget,
        deadline_s=deadline_s,
        turn_timeout_s=turn_timeout_s,
        system_prompt=system_prompt,
    )
    asked = read_question(question)
    from llamaberry import Context
    from llamaberry.cli.comparison import compare as compare_runs

    with exit_on_invalid():
        code = compare_runs(asked, Context(**dials), shared_first=shared_first, json=json, trace=trace)
    raise typer.Exit(code)


@app.command("eval")
def evaluate(
    data: Annotated[Path | None, typer.Argument(help="A JSONL file: question, answer, perhaps id and checker.")] = None,
    suite: Annotated[str | None, typer.Option(help="Or tasks that reasoning-gym generates, with commas.")] = None,
    size: Annotated[int, typer.Option(min=1, help="Questions of each task of the suite.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the suite: the same seed, the same questions.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="The first so many questions of the file.")] = None,
    arms: Annotated[str, typer.Option(help="What to compare, with commas.")] = ARMS,
    out: Annotated[Path | None, typer.Option(help="The folder of the results. [eval-NAME]")] = None,
    model: ModelOption = None,
    temperature: TemperatureOption = None,
    max_tokens: MaxTokensOption = None,
    turn_timeout_s: TimeoutOption = None,
    system_prompt: SystemPromptOption = None,
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
    dials = drop_unset(
        model=model,
        temperature=temperature,
        max_tokens=max_tokens,
        turn_timeout_s=turn_timeout_s,
        system_prompt=system_prompt,
    )
    from llamaberry.cli.evaluation import run

    code = run(
        data,
        suite=suite,
        size=size,
        seed=seed,
        limit=limit,
        arms=arms,
        out=out,
        settings=dials,
        concurrency=concurrency,
        shared_turns=shared_turns,
        judge=judge,
        price=price,
        retry_errors=retry_errors,
        as_json=json,
    )
    raise typer.Exit(code)
