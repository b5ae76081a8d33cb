"""A person at a terminal: types into a command that runs in a pseudo-terminal, and reads what it prints."""

import os
import pty
import select
import time
from types import TracebackType
from typing import Self

from testing.command import CODE, LIMIT_S
from testing.loaded_command import loaded_command

CTRL_C, CTRL_D, UP, HOME, DELETE = "\x03", "\x04", "\x1b[A", "\x01", "\x1b[3~"


class Terminal:
    """A running command; the end of the context hangs up, and waits for its end."""

    def __init__(self, *words: str, **environment: str) -> None:
        self.output = ""
        self._read = 0  # characters of the output that `expect` has passed
        self._fd, child = pty.openpty()
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"} | environment
        self._run = loaded_command().start(CODE, words, environment, (child, os.dup(child), os.dup(child)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
        self._run.wait(LIMIT_S)

    def type(self, text: str) -> None:
        """Type a text; "\\n" is the Enter key."""
        os.write(self._fd, text.replace("\n", "\r").encode())

    def expect(self, text: str, *, retype: str = "") -> str:
        """Wait until the text is printed, after the one that was expected last; return the output up to its end.

        `retype` is typed every second: readline does not see a Ctrl-C in the instant before it waits for a key.
        """
        deadline = time.monotonic() + LIMIT_S
        while (position := self.output.find(text, self._read)) < 0:
            assert time.monotonic() < deadline, self.output
            if retype and not select.select([self._fd], [], [], 1)[0]:
                self.type(retype)
            else:
                assert self._read_more(), self.output
        start, self._read = self._read, position + len(text)
        return self.output[start : self._read]

    def exit_code(self) -> int:
        """Wait for the end, and return the exit code."""
        while self._read_more():
            pass
        return self._run.wait(LIMIT_S)

    def _read_more(self) -> bool:
        select.select([self._fd], [], [], LIMIT_S)
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # on Linux: the command has ended
            return False
        self.output += data.decode(errors="replace")
        return bool(data)
