"""`llamaberry resume`: continue an interrupted run."""

from typing import Annotated, Any

import typer

from llamaberry.cli.options import (
    AcceptDegradedOption,
    JsonOption,
    QuietOption,
    ShowOption,
    TraceOption,
    VerboseOption,
    context_options,
    output_mode,
)
from llamaberry.cli.thread_names import complete_thread
from llamaberry.console import DEGRADED


@context_options(user_config=False)  # the run has its own settings, those of the user's file among them
def resume(
    settings: dict[str, Any],
    thread: Annotated[
        str | None,
        typer.Argument(
            help="The thread; without it, the newest one that was interrupted.", autocompletion=complete_thread
        ),
    ] = None,
    show: ShowOption = "full",
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    json: JsonOption = False,
    accept_degraded: AcceptDegradedOption = False,
    trace: TraceOption = False,
) -> int:
    """Continue an interrupted question.

    No finished turn is lost or paid for twice. The run keeps the settings that it was started with, except those given
    here.
    """
    from llamaberry.cli.local_session import LocalSession

    session = LocalSession(output_mode(show, verbose=verbose, quiet=quiet, json=json), settings, thread, trace=trace)
    code = session.run(session.resume())
    return 0 if code == DEGRADED and accept_degraded else code
