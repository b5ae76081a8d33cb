"""The command line. Each command loads what it needs when it runs, so that `--version` and `--help` answer at once."""

import io
import os
import sys
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from llamaberry.cli import batch as cli_batch
from llamaberry.cli import evaluate as cli_eval
from llamaberry.cli import history as cli_threads
from llamaberry.cli import tools as cli_tools
from llamaberry.cli.display import Show
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
from llamaberry.console import DEGRADED, FAILURE, INTERRUPTED, MISTAKE, print_error

app = typer.Typer(
    help="Llamaberry puts a question to a model in turns: it answers, checks, revises, and writes a final answer.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_batch.app)
app.add_typer(cli_eval.app)
app.add_typer(cli_threads.app)
app.add_typer(cli_tools.app)

ShowOption = Annotated[Show, typer.Option("--show", help="The turns and the answer, or an answer alone.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print the answer, and nothing else.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the graph's output as one JSON document.")]
AcceptDegraded = Annotated[
    bool,
    typer.Option("--accept-degraded", help="Exit with 0, not 3, where a failed call cost a turn."),
]


def main() -> None:
    """Run the command line; what went wrong is a line or two on standard error, and the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a reply in a script that the terminal has no letters for
    code = _code()
    if getattr(sys.modules.get("llamaberry.tracing.langsmith"), "late", False):
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
            print_error(told.replace("Value error, ", ""))
        return error.exit_code
    except SetupError as error:
        print_error(str(error))
        return MISTAKE
    except ModelError as error:
        print_error(str(error))
        return FAILURE
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the pipe has gone (`| head`): no more can be said, not even when Python flushes at its exit.
        sys.stdout = None
        return 0


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
    question: QuestionArgument,
    show: ShowOption = "turns",
    quiet: QuietOption = False,
    json: JsonOption = False,
    model: ModelOption = None,
    max_turns: Annotated[int | None, typer.Option("--turns", "-t", help="The most turns, 1 to 10. [3]")] = None,
    early_stop: EarlyStopOption = None,
    temperature: TemperatureOption = None,
    max_tokens: MaxTokensOption = None,
    token_budget: BudgetOption = None,
    deadline_s: DeadlineOption = None,
    turn_timeout_s: TimeoutOption = None,
    system_prompt: SystemPromptOption = None,
    thread: Annotated[str | None, typer.Option(help="Go on with the conversation of this name, or begin it.")] = None,
    review: Annotated[bool, typer.Option("--review", help="Pause after each turn, and ask what to do.")] = False,
    server: Annotated[str | None, typer.Option(help="Ask on a server, as http://host:port.")] = None,
    accept_degraded: AcceptDegraded = False,
    trace: TraceOption = False,
) -> None:
    """Ask a question, and watch the turns come."""
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
        review="each_turn" if review else None,
    )
    if question == "-" and review:
        print_error("--review reads its answers from standard input: give the question as an argument")
        raise typer.Exit(MISTAKE)
    if server is not None and trace:
        print_error("--trace: with --server the run is traced there; leave it out")
        raise typer.Exit(MISTAKE)
    asked = read_question(question)
    from llamaberry import Context

    with exit_on_invalid():
        how: Any = "json" if json else "quiet" if quiet else show
        if server is not None:
            from llamaberry.cli.remote_session import ask as ask_server

            code = ask_server(asked, Context(**dials), server, show=how, thread=thread)
        else:
            from llamaberry.cli.session import ask as ask_graph

            code = ask_graph(asked, Context(**dials), show=how, thread=thread, trace=trace)
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
    from llamaberry.cli.session import resume as resume_graph

    dials = drop_unset(model=model, turn_timeout_s=turn_timeout_s)
    with exit_on_invalid():
        code = resume_graph(thread, dials, show="json" if json else "quiet" if quiet else show, trace=trace)
    raise typer.Exit(0 if code == DEGRADED and accept_degraded else code)
