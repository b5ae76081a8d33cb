"""How every command prints: plain text, a console, a progress bar, errors, exit codes. Cheap to import."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

FAILURE, MISTAKE, DEGRADED, INTERRUPTED = 1, 2, 3, 130
"""Exit codes: the provider failed; the user has to correct something; an answer without all its turns; Ctrl-C."""

# A model's reply is untrusted text: of all control characters only newlines and tabs reach the terminal.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# Unicode's Bidi_Control: they let a text appear in another order than the one in which it is read and copied.
_BIDI = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def remove_controls(text: str) -> str:
    """Remove escape codes, carriage returns, bells and lone surrogates."""
    return _CONTROL.sub("", text.replace("\r\n", "\n")).encode(errors="replace").decode()


def plain(text: str) -> str:
    """Return a text to display: without control characters, and with visible bidirectional ones, like <U+202E>."""
    return _BIDI.sub(lambda match: f"<U+{ord(match[0]):04X}>", remove_controls(text))


def dollars(amount: float) -> str:
    """Return an amount of US dollars with three significant digits, such as "$0.000155"."""
    return f"${Decimal(f'{amount:.3g}'):f}"


def one_line(text: str) -> str:
    """Return the beginning of a text as one line of at most 80 characters."""
    line = " ".join(plain(text).split())
    return line if len(line) <= 80 else f"{line[:79]}…"


def as_json(document: Any) -> str:
    """Return a document as JSON without control characters, also without bidirectional ones."""
    text = json.dumps(document, ensure_ascii=False, indent=2)
    # json escapes only the control characters of ASCII.
    for characters in (_CONTROL, _BIDI):
        text = characters.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return text


def print_error(message: str) -> None:
    """Print a message for the user to stderr."""
    if sys.stderr:  # None if the shell closed it (`2>&-`)
        with suppress(OSError):  # a full disk: there is no other place for the message
            sys.stderr.write(f"llamaberry: {plain(message)}\n")


def plain_console(**options: Any) -> "Console":
    """Return a console that prints text without markup, and raises BrokenPipeError if the reader of its pipe ended."""
    from rich.console import Console

    class PlainConsole(Console):
        def on_broken_pipe(self) -> None:  # rich would exit with code 1, which means that the provider failed
            raise BrokenPipeError

    return PlainConsole(highlight=False, markup=False, emoji=False, **options)


@contextmanager
def progress(description: str, total: int | None, completed: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar on stderr if it is a terminal; yield a function that advances it by one."""
    from rich import progress as bars
    from rich.console import Console

    console = Console(stderr=True)
    columns = (*bars.Progress.get_default_columns(), bars.MofNCompleteColumn())
    with bars.Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=total, completed=completed)
        yield lambda: bar.advance(task)
