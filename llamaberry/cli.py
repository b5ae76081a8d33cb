"""The command line. Each command loads what it needs when it runs, so that `--version` and `--help` answer at once."""

import io
import os
import sys
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from llamaberry import cli_eval, cli_threads, cli_tools
from llamaberry.display import DEGRADED, FAILURE, INTERRUPTED, MISTAKE, Show, plain

app = typer.Typer(
    help="Llamaberry puts a question to a model in turns: it answers, checks, revises, and writes a final answer.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_eval.app)
app.add_typer(cli_threads.app)
app.add_typer(cli_tools.app)

ShowOption = Annotated[Show, typer.Option("--show", help="The turns and the answer, or an answer alone.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print the answer, and nothing else.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the graph's output as one JSON document.")]
ModelOption = Annotated[str | None, typer.Option("--model", "-m", help='"auto", "local" or "provider:model".')]
TimeoutOption = Annotated[float | None, typer.Option("--turn-timeout", help="Seconds of one model call. [60]")]
AcceptDegraded = Annotated[
    bool,
    typer.Option("--accept-degraded", help="Exit with 0, not 3, where a failed call cost a turn."),
]
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


def main() -> None:
    """Run the command line; what went wrong is a line or two on standard error, and the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a reply in a script that the terminal has no letters for
    code = _code()
    if getattr(sys.modules.get("llamaberry.tracing"), "late", False):
        for stream in (sys.stdout, sys.stderr):
            if stream:
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _code() -> int:
    from llamaberry.graph.errors import ModelError, SetupError

    try:
        return int(app(standalone_mode=False) or 0)
    except TyperException as error:
        if told := error.format_message():
            _complain(told.replace("Value error, ", ""))
        return error.exit_code
    except SetupError as error:
        _complain(str(error))
        return MISTAKE
    except ModelError as error:
        _complain(str(error))
        return FAILURE
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the pipe has gone (`| head`): no more can be said, not even when Python flushes at its exit.
        sys.stdout = None
        return 0


def _complain(message: str) -> None:
    print(f"llamaberry: {plain(message)}", file=sys.stderr)  # noqa: T201


def _version(asked: bool) -> None:
    if asked:
        from llamaberry import __version__

        typer.echo(f"llamaberry {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")] = False,
) -> None:
    pass


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="The question, or - to read it from standard input.")],
    show: ShowOption = "turns",
    quiet: QuietOption = False,
    json: JsonOption = False,
    model: ModelOption = None,
    max_turns: Annotated[int | None, typer.Option("--turns", "-t", help="The most turns, 1 to 10. [3]")] = None,
    early_stop: Annotated[
        bool | None, typer.Option("--early-stop/--no-early-stop", help="Stop when two turns in a row agree.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="How freely it picks its words, 0 to 2. [0.7]")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="The most tokens of each reply. [2048]")] = None,
    token_budget: Annotated[int | None, typer.Option(help="Tokens after which no further turn begins.")] = None,
    deadline_s: Annotated[
        float | None, typer.Option("--deadline", help="Seconds after which no further turn begins.")
    ] = None,
    turn_timeout_s: TimeoutOption = None,
    system_prompt: Annotated[str | None, typer.Option(help="A system prompt of your own.")] = None,
    thread: Annotated[str | None, typer.Option(help="Go on with the conversation of this name, or begin it.")] = None,
    review: Annotated[bool, typer.Option("--review", help="Pause after each turn, and ask what to do.")] = False,
    accept_degraded: AcceptDegraded = False,
    trace: TraceOption = False,
) -> None:
    """Ask a question, and watch the turns come."""
    dials = {
        "model": model,
        "max_turns": max_turns,
        "early_stop": early_stop,
        "temperature": temperature,
        "max_tokens": max_tokens,
        "token_budget": token_budget,
        "deadline_s": deadline_s,
        "turn_timeout_s": turn_timeout_s,
        "system_prompt": system_prompt,
        "review": "each_turn" if review else None,
    }
    if question == "-" and review:
        _complain("--review reads its answers from standard input: give the question as an argument")
        raise typer.Exit(MISTAKE)
    if question == "-":
        question = sys.stdin.read()
    if any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in question):
        _complain("the question is not text in UTF-8: save it as UTF-8, and ask again")
        raise typer.Exit(MISTAKE)
    from pydantic import ValidationError

    from llamaberry import Context
    from llamaberry.ask import ask as ask_graph
    from llamaberry.graph.errors import first_mistake

    try:
        context = Context(**_given(dials))
        how: Any = "json" if json else "quiet" if quiet else show
        code = ask_graph(question, context, show=how, thread=thread, trace=trace)
    except ValidationError as error:
        _complain(first_mistake(error, OPTIONS))
        raise typer.Exit(MISTAKE) from None
    raise typer.Exit(0 if code == DEGRADED and accept_degraded else code)


@app.command()
def resume(
    thread: Annotated[str | None, typer.Argument(help="The thread; without it, the newest that was cut.")] = None,
    show: ShowOption = "turns",
    quiet: QuietOption = False,
    json: JsonOption = False,
    model: ModelOption = None,
    turn_timeout_s: TimeoutOption = None,
    accept_degraded: AcceptDegraded = False,
    trace: TraceOption = False,
) -> None:
    """Go on with a question that was cut: no turn is lost, and none is paid for twice."""
    from pydantic import ValidationError

    from llamaberry.ask import resume as resume_graph
    from llamaberry.graph.errors import first_mistake

    dials = _given({"model": model, "turn_timeout_s": turn_timeout_s})
    try:
        code = resume_graph(thread, dials, show="json" if json else "quiet" if quiet else show, trace=trace)
    except ValidationError as error:
        _complain(first_mistake(error, OPTIONS))
        raise typer.Exit(MISTAKE) from None
    raise typer.Exit(0 if code == DEGRADED and accept_degraded else code)


def _given(dials: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in dials.items() if value is not None}
