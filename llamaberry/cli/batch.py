"""The command that answers a file of questions."""

from pathlib import Path
from typing import Annotated

import typer

from llamaberry.cli.options import (
    BudgetOption,
    DeadlineOption,
    EarlyStopOption,
    MaxTokensOption,
    ModelOption,
    SystemPromptOption,
    TemperatureOption,
    TimeoutOption,
    drop_unset,
    exit_on_invalid,
)
from llamaberry.console import DEGRADED

app = typer.Typer()


@app.command()
def batch(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A JSONL file: question, perhaps id.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The JSONL file of the answers.")],
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Runs at once. [64; for the local model its slots]")
    ] = None,
    shard: Annotated[str | None, typer.Option(help="i/n: every nth line of IN from the ith on.")] = None,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Ask again what failed.")] = False,
    keep_turns: Annotated[
        bool | None,
        typer.Option(help="Keep the turns of unfinished runs, so that a kill loses none. [where there are several]"),
    ] = None,
    model: ModelOption = None,
    max_turns: Annotated[int | None, typer.Option("--turns", "-t", help="The most turns, 1 to 10. [3]")] = None,
    early_stop: EarlyStopOption = None,
    temperature: TemperatureOption = None,
    max_tokens: MaxTokensOption = None,
    token_budget: BudgetOption = None,
    deadline_s: DeadlineOption = None,
    turn_timeout_s: TimeoutOption = None,
    system_prompt: SystemPromptOption = None,
    accept_degraded: Annotated[
        bool, typer.Option("--accept-degraded", help="Exit with 0, not 3, where not every line has its whole answer.")
    ] = False,
) -> None:
    """Answer a file of questions, at the pace that the provider allows. Run again, it goes on where it was cut."""
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
    from llamaberry import Context
    from llamaberry.batch.run import run

    with exit_on_invalid():
        context = Context(**dials)
    how = {"concurrency": concurrency, "retry_errors": retry_errors, "keep_turns": keep_turns}
    code = run(source, out, context, shard=shard, **how)
    raise typer.Exit(0 if code == DEGRADED and accept_degraded else code)
