"""The lines of a conversation: typed at a prompt, with editing and a history, or read from a file or a pipe."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from llamaberry.cli.attachments import read_text
from llamaberry.folders import data_folder, open_private

MAX_HISTORY = 1_000
"""Lines that are kept in the file of the prompt's history."""
PROMPT = "> "


def is_interactive() -> bool:
    """Whether a person types the lines, and sees the prompt."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def read_line() -> str | None:
    """Return the next line without the spaces around it; None at the end of standard input."""
    if is_interactive():
        try:
            return input(PROMPT).strip()
        except EOFError:
            print()  # noqa: T201 - the shell's prompt gets a line of its own
            return None
    line = read_text(line=True)
    return line.strip() if line else None


@contextmanager
def line_history(*, stored: bool) -> Iterator[None]:
    """Give the prompt the lines of earlier conversations, and store its own at the end, readable by the user only."""
    try:
        import readline
    except ImportError:  # Python on Windows: its console has a history of its own
        yield
        return
    if not (stored and is_interactive()):
        yield
        return
    path = data_folder() / "chat_history"
    with suppress(OSError):  # no such file yet, or none that can be read: the prompt works without
        readline.read_history_file(path)
    try:
        yield
    finally:
        readline.set_history_length(MAX_HISTORY)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            open_private(path, "ab").close()
            readline.write_history_file(path)
