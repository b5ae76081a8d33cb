"""`llamaberry ask`: answer a question, here or on a server."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from llamaberry.cli.attachments import graph_input, read_pipe
from llamaberry.cli.options import (
    AcceptDegradedOption,
    JsonOption,
    OutputMode,
    QuestionArgument,
    QuietOption,
    ShowOption,
    TraceOption,
    VerboseOption,
    check_thread_name,
    context_options,
    output_mode,
    read_question,
)
from llamaberry.cli.thread_names import complete_thread
from llamaberry.console import DEGRADED
from llamaberry.graph.errors import SetupError

if TYPE_CHECKING:
    from llamaberry.cli.session import Session

ThreadOption = Annotated[
    str | None,
    typer.Option(
        help="Start or continue the conversation of this name; last: the newest one.", autocompletion=complete_thread
    ),
]
ContinueOption = Annotated[
    bool, typer.Option("--continue", "-c", help="Continue the newest conversation, as --thread last does.")
]
ServerOption = Annotated[str | None, typer.Option(help="Run it on a server, such as http://host:port.")]


@context_options()
def ask(
    question: QuestionArgument,
    settings: dict[str, Any],
    show: ShowOption = "full",
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    json: JsonOption = False,
    thread: ThreadOption = None,
    continue_: ContinueOption = False,
    file: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Add a text file to the question.")] = None,
    image: Annotated[
        list[str] | None, typer.Option(metavar="FILE|URL", help="Add an image, for a model that reads images.")
    ] = None,
    review: Annotated[bool, typer.Option("--review", help="Pause after each turn, and ask what to do.")] = False,
    server: ServerOption = None,
    accept_degraded: AcceptDegradedOption = False,
    trace: TraceOption = False,
) -> int:
    """Answer a question, and print the turns as they arrive.

    What is piped to it is part of the question: cat notes.txt | llamaberry ask "Summarise this."
    """
    if review:
        settings["review"] = "each_turn"
    if question == "-" and review:
        raise SetupError("--review reads decisions from standard input: pass the question as an argument")
    if server is not None and trace:
        raise SetupError("--trace: a run on a server is traced there; leave out --trace or --server")
    thread = thread_of(thread, server, newest=continue_)
    piped = "" if review or question == "-" else read_pipe()
    question_input = graph_input(read_question(question), file or [], image or [], piped=piped)
    mode = output_mode(show, verbose=verbose, quiet=quiet, json=json)
    session = new_session(mode, settings, thread, server, trace=trace)
    code = session.run(session.start(question_input))
    return 0 if code == DEGRADED and accept_degraded else code


def thread_of(name: str | None, server: str | None, *, newest: bool) -> str | None:
    """Return the thread that --thread and --continue name, "last" for the newest one; None is a new one."""
    if newest and name not in (None, "last"):
        raise SetupError(f"--continue is the newest thread, and --thread {name} another: leave one out")
    name = "last" if newest else name
    if name == "last" and server is not None:
        raise SetupError("--continue: on a server, name the thread with --thread")
    check_thread_name(name)
    return name


def new_session(
    mode: OutputMode,
    settings: dict[str, Any],
    thread: str | None,
    server: str | None,
    *,
    trace: bool = False,
    in_chat: bool = False,
) -> "Session":
    """Return a session for a question, here or on the server."""
    if server is not None:
        from llamaberry.cli.remote_session import RemoteSession

        return RemoteSession(mode, settings, server, thread)
    from llamaberry.cli.local_session import LocalSession

    return LocalSession(mode, settings, thread, trace=trace, in_chat=in_chat)
