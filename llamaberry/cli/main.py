"""The command line: its commands, and the exit code of each error. A command's module is loaded when it is named."""

import errno
import io
import os
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from llamaberry.cli.help_pages import epilog
from llamaberry.console import FAILURE, INTERRUPTED, MISTAKE, one_line, print_error

COMMANDS = (
    *("ask", "chat", "resume", "history", "forget", "show", "compare", "eval", "batch"),
    *("models", "model", "config", "traces", "graph", "mcp", "web"),
)
"""The commands. Each is a function in the module of its name, except for `eval`, which is a builtin: `evaluate`."""

MAX_HELP_WIDTH = 100

_CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


class CommandGroup(TyperGroup):
    """The commands, each loaded when it is needed, so that `--version` loads none of them."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.commands = dict.fromkeys(COMMANDS, self)  # only their names are used, for lists and suggestions

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Do as typer does; a question without a command has an error of its own."""
        if " " in args[0]:
            from llamaberry.graph.errors import SetupError

            raise SetupError(f'there is no command {one_line(args[0])!r}: `llamaberry ask "…"` asks a question')
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command, None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        name = "evaluate" if cmd_name == "eval" else cmd_name
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(cmd_name, epilog=epilog(cmd_name))(getattr(import_module(f"llamaberry.cli.{name}"), name))
        return typer.main.get_command(single)


app = typer.Typer(
    cls=CommandGroup,
    help="Llamaberry answers a question in turns: a model answers, checks, revises, and writes a final answer.",
    epilog=epilog(""),
    context_settings={"max_content_width": MAX_HELP_WIDTH},
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; an error is a line or two on standard error, and the exit code."""
    _replace_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # the terminal's encoding may lack characters of a reply
    code = _run()
    try:
        if sys.stderr:
            sys.stderr.flush()
    except OSError:
        sys.stderr = None  # a full disk; Python would flush it again when it exits, and exit with 120
    if getattr(sys.modules.get("llamaberry.tracing.langsmith"), "flush_timed_out", False):
        for stream in (sys.stdout, sys.stderr):
            if stream:
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _run() -> int:
    from llamaberry.graph.errors import ModelError, SetupError

    try:
        return int(app(standalone_mode=False) or 0)
    except TyperException as error:
        if message := error.format_message():
            minus = (
                "; before a question that starts with a minus, write --"
                if type(error).__name__ == "NoSuchOption"
                else ""
            )
            print_error(message.replace("Value error, ", "") + minus)
        return error.exit_code
    except SetupError as error:
        print_error(str(error))
        if isinstance(error.__cause__, OSError) and _is_about_stdout(error.__cause__):
            sys.stdout = None  # Python must not flush it when it exits
        return MISTAKE
    except ModelError as error:
        from llamaberry.models.errors import FIXABLE_STATUS, status_of

        print_error(str(error))
        return MISTAKE if status_of(error) in FIXABLE_STATUS else FAILURE
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        sys.stdout = None  # the reader of the pipe has ended (`| head`)
        return 0
    except OSError as error:
        if _is_about_stdout(error):
            print_error(f"standard output cannot be written ({error.strerror}): fix that, and run the command again")
            sys.stdout = None
        elif error.filename is not None:
            print_error(f"{error.filename} cannot be used ({error.strerror}): fix that, and run the command again")
        else:
            raise
        return MISTAKE


def _is_about_stdout(error: OSError) -> bool:
    return error.filename is None and error.errno in _CANNOT_WRITE


def _replace_closed_streams() -> None:
    """Open the null device for each standard stream that the shell closed (`<&-`)."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _print_version(is_set: bool) -> None:
    if is_set:
        from llamaberry import __version__

        typer.echo(f"llamaberry {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
