"""What the commands that ask share: their options, how they read the question, and how a mistake is told."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from llamaberry.console import MISTAKE, print_error

QuestionArgument = Annotated[str, typer.Argument(help="The question, or - to read it from standard input.")]
ModelOption = Annotated[str | None, typer.Option("--model", "-m", help='"auto", "local" or "provider:model".')]
EarlyStopOption = Annotated[
    bool | None, typer.Option("--early-stop/--no-early-stop", help="Stop when two turns in a row agree.")
]
TemperatureOption = Annotated[float | None, typer.Option(help="How freely it picks its words, 0 to 2. [0.7]")]
MaxTokensOption = Annotated[int | None, typer.Option(help="The most tokens of each reply. [2048]")]
BudgetOption = Annotated[int | None, typer.Option(help="Tokens after which no further turn begins.")]
DeadlineOption = Annotated[float | None, typer.Option("--deadline", help="Seconds after which no further turn begins.")]
TimeoutOption = Annotated[float | None, typer.Option("--turn-timeout", help="Seconds of one model call. [60]")]
SystemPromptOption = Annotated[str | None, typer.Option(help="A system prompt of your own.")]
TraceOption = Annotated[bool, typer.Option("--trace", help="Say on standard error where the trace is.")]

# The option that turns a context field, for a message that names what the user typed.
OPTIONS = {
    "model": "--model",
    "max_turns": "--turns",
    "early_stop": "--early-stop",
    "temperature": "--temperature",
    "max_tokens": "--max-tokens",
    "token_budget": "--token-budget",
    "deadline_s": "--deadline",
    "turn_timeout_s": "--turn-timeout",
    "review": "--review",
    "system_prompt": "--system-prompt",
}


def read_question(drop_unset: str) -> str:
    """Return the question: what was given, or standard input where that is a dash."""
    question = sys.stdin.read() if drop_unset == "-" else drop_unset
    if any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in question):
        print_error("the question is not text in UTF-8: save it as UTF-8, and ask again")
        raise typer.Exit(MISTAKE)
    return question


def drop_unset(**dials: Any) -> dict[str, Any]:
    """Return the dials that the user has turned."""
    return {name: value for name, value in dials.items() if value is not None}


@contextmanager
def exit_on_invalid() -> Iterator[None]:
    """Tell a bad dial or question in a line that names the option, and exit."""
    from pydantic import ValidationError

    from llamaberry.graph.errors import describe_validation_error

    try:
        yield
    except ValidationError as error:
        print_error(describe_validation_error(error, OPTIONS))
        raise typer.Exit(MISTAKE) from None
