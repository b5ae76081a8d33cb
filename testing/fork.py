"""A command that another process has forked, with the attributes of `subprocess.Popen` that the tests use."""

import os
import select
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TextIO

SIZE = 4
"""Bytes of a number in a status pipe: the id of the process, and then its exit code."""


class Fork:
    """A forked command; `status` is the pipe on which its parent reports."""

    def __init__(self, args: Sequence[str], status: int) -> None:
        self.args = args
        self.stdin: TextIO | None = None
        self.stdout: TextIO | None = None
        self.stderr: TextIO | None = None
        self.returncode: int | None = None
        self._status = status
        self.pid = self._number()

    def __enter__(self) -> "Fork":
        return self

    def __exit__(self, *error: object) -> None:
        self.wait()
        for file in (self.stdin, self.stdout, self.stderr):
            if file:
                with suppress(BrokenPipeError):  # it has not read what was written
                    file.close()

    def open_pipes(self, stdin: int | None, stdout: int, stderr: int) -> None:
        """Open this end of its pipes."""
        self.stdin = os.fdopen(stdin, "w") if stdin is not None else None
        self.stdout, self.stderr = os.fdopen(stdout), os.fdopen(stderr)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code when the command has ended; raise `TimeoutExpired` after so many seconds."""
        if self.returncode is None:
            ready, _, _ = select.select([self._status], [], [], timeout)
            if not ready:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = self._number()
            os.close(self._status)
        return self.returncode

    def poll(self) -> int | None:
        """Return the exit code, or None while the command runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def communicate(self, text: str = "", timeout: float | None = None) -> tuple[str, str]:
        """Write the text to stdin, and return stdout and stderr. The command is killed at the timeout."""
        with ThreadPoolExecutor() as pool:
            outputs = [pool.submit(file.read) for file in (self.stdout, self.stderr) if file]
            if self.stdin:
                pool.submit(self._write, text)
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            stdout, stderr = (output.result() for output in outputs)
        return stdout, stderr

    def _write(self, text: str) -> None:
        assert self.stdin
        with suppress(BrokenPipeError), self.stdin:
            self.stdin.write(text)

    def send_signal(self, number: signal.Signals) -> None:
        """Send the command a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the command, if it runs."""
        self.send_signal(signal.SIGKILL)

    def _number(self) -> int:
        return int.from_bytes(os.read(self._status, SIZE), signed=True)


def report(number: int, status: int) -> None:
    """Write a number to a status pipe."""
    os.write(status, number.to_bytes(SIZE, signed=True))
