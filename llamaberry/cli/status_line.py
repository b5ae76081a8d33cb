"""The line at the bottom of a terminal while a run works: a spinner, the step, seconds, tokens so far."""

import sys
import time

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from llamaberry.console import plain

REFRESHES_PER_S = 8


class StatusLine:
    """A line that shows what is waited for. It does nothing unless the console, or standard error, is a terminal.

    What is printed to the same console while it is shown appears above it.
    """

    def __init__(self, console: Console) -> None:
        is_own = console.is_terminal
        self._console = console if is_own else Console(file=sys.stderr, highlight=False)
        self._redirects = is_own  # otherwise standard output is a file or a pipe, and not to be touched
        self._live: Live | None = None
        self._spinner = Spinner("dots", style="cyan")
        self._step = ""
        self._started_at = 0.0
        self._tokens = 0

    def show(self, step: str, tokens: int = 0) -> None:
        """Show a step, from now on; `tokens` are those of the finished calls."""
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            return
        if step != self._step:
            self._step, self._started_at = step, time.monotonic()
        self._tokens = tokens
        if self._live is None:
            self._live = Live(
                get_renderable=self._line,
                console=self._console,
                transient=True,
                refresh_per_second=REFRESHES_PER_S,
                redirect_stdout=self._redirects,
                redirect_stderr=self._redirects,
            )
            self._live.start()

    def add_tokens(self, number: int) -> None:
        """Count tokens of the reply that is being written."""
        self._tokens += number

    def stop(self) -> None:
        """Remove the line."""
        if self._live:
            self._live.stop()
        self._live, self._step = None, ""

    def _line(self) -> Spinner:
        seconds = f"{time.monotonic() - self._started_at:.0f} s"
        tokens = [f"{self._tokens:,} tokens"] if self._tokens else []
        text = Text(" · ".join([plain(self._step), seconds, *tokens]), "dim", no_wrap=True, overflow="ellipsis")
        self._spinner.update(text=text)
        return self._spinner
