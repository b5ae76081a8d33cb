"""The commands that measure what thinking again does."""

from typing import Annotated

import typer

from llamaberry.cli_options import (
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
    given,
    mistakes_told,
    read_question,
)

app = typer.Typer()


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
    dials = given(
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
    from llamaberry.compare import compare as compare_runs

    with mistakes_told():
        code = compare_runs(asked, Context(**dials), shared_first=shared_first, json=json, trace=trace)
    raise typer.Exit(code)
