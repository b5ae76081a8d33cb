"""`llamaberry compare`: answer a question in one turn and in several, side by side."""

from typing import Annotated, Any

import typer

from llamaberry.cli.options import QuestionArgument, TraceOption, context_options, read_question
from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError


@context_options(exclude=("answer_schema",))
def compare(
    question: QuestionArgument,
    settings: dict[str, Any],
    shared_first: Annotated[
        bool, typer.Option("--shared-first", help="Use one first turn for both runs: one call less.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print both outputs as one JSON document.")] = False,
    trace: TraceOption = False,
) -> int:
    """Answer a question in one turn and in several, side by side.

    It prints whether the answers agree and what the further turns cost; it cannot know which one is right. Both runs
    start at the same time, each with its own first turn, and no thread is stored.
    """
    question = read_question(question)
    context = Context(**settings)
    if context.max_turns < 2:
        raise SetupError(f"--turns {context.max_turns}: the other run has one turn; use 2 or more")
    from llamaberry.cli.comparison import compare as compare_runs

    return compare_runs(question, context, shared_first=shared_first, json=json, trace=trace)
