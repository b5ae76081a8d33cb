"""A process that has loaded the product and forks a copy of itself for each command, or another Python program.

Starting Python and importing LangGraph takes a second or two of CPU; a fork takes milliseconds. The copy is a process
of its own, with its own standard streams, environment, folder and exit, as if it had been started.
"""

import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import json
import os
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from typing import NoReturn

from langsmith.utils import get_env_var

from testing.fork import Fork, report

_READ_AT_START = ("PYTHON", "LC_", "LANG=", "LANGUAGE", "GROQ_LOG")
"""Variables that are read when Python starts or a package is loaded; a fork cannot obey a change of theirs."""
_LOADED = (
    "genai_prices.data",
    "groq.resources.chat.completions",
    "httpcore",
    "langchain.chat_models",
    "langchain_groq",
    "langgraph.checkpoint.postgres.aio",
    "langgraph.checkpoint.sqlite.aio",
    "llamaberry.batch",
    "llamaberry.cli.ask",
    "llamaberry.cli.local_session",
    "llamaberry.evaluation.page",
    "llamaberry.evaluation.plots",
    "llamaberry.evaluation.recommendation",
    "llamaberry.graph.workflow",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "pydantic_monty",
    "rich.live",
    "rich.markdown",
    "rich.syntax",
    "scipy.stats",
)


class LoadedCommand:
    """The process that forks, and the connection to it."""

    def __init__(self) -> None:
        self._environment = _read_at_start(os.environ)
        self._connection, other = socket.socketpair()
        self._one_request = threading.Lock()
        with other:
            command = [sys.executable, "-m", __spec__.name, str(other.fileno())]
            null = subprocess.DEVNULL
            one_thread = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # a process with threads must not fork
            fds = [other.fileno()]
            self._process = subprocess.Popen(command, env=one_thread, stdin=null, stdout=null, pass_fds=fds)
        atexit.register(self._close)

    def _close(self) -> None:
        self._connection.close()
        self._process.wait()

    def can_run_with(self, environment: Mapping[str, str]) -> bool:
        """Return whether a copy would read the environment as a new Python does."""
        return _read_at_start(environment) == self._environment

    def start(self, code: str, words: Sequence[str], environment: Mapping[str, str], streams: Sequence[int]) -> Fork:
        """Start `python -c CODE WORD…` with these file descriptors as its standard streams, and close them here."""
        request = {"code": code, "words": words, "environment": dict(environment), "folder": os.getcwd()}
        status, status_end = os.pipe()
        descriptors = [*streams, status_end]
        with self._one_request:
            socket.send_fds(self._connection, [b"\n"], descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            self._connection.sendall(json.dumps(request).encode() + b"\n")
            return Fork([sys.executable, "-c", code, *words], status)


@functools.cache
def loaded_command() -> LoadedCommand:
    """Return the process that this one uses; it is started by the first call, and ends with this one."""
    return LoadedCommand()


def _read_at_start(environment: Mapping[str, str]) -> list[str]:
    return sorted(pair for pair in map("=".join, environment.items()) if pair.startswith(_READ_AT_START))


def _serve(connection: socket.socket) -> str:
    """Fork for each request. Only a copy returns from this function, with the code that it is to run."""
    requests = connection.makefile("rb")
    while True:
        _, descriptors, _, _ = socket.recv_fds(connection, 1, 4)
        if not descriptors:
            os._exit(0)  # the process that asked has ended
        request = json.loads(requests.readline())
        if os.fork() == 0:  # the command's parent, so that commands can run at the same time
            requests.close()
            connection.close()
            *streams, status = descriptors
            if (process_id := os.fork()) == 0:
                os.close(status)
                _become(request, streams)
                return str(request["code"])
            _watch(process_id, streams, status)
        for descriptor in descriptors:
            os.close(descriptor)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _watch(process_id: int, streams: Sequence[int], status: int) -> NoReturn:
    """Report a command's id and exit code, and end."""
    for stream in streams:
        os.close(stream)
    with contextlib.suppress(BrokenPipeError):
        report(process_id, status)
        report(os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1]), status)
    os._exit(0)


def _become(request: Mapping[str, object], streams: Sequence[int]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if os.isatty(0):  # the terminal is this command's own: Ctrl-C, typed there, interrupts it
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.environ.clear()
    os.environ.update(request["environment"])  # type: ignore[call-overload]
    time.tzset()
    os.chdir(str(request["folder"]))
    sys.argv = ["-c", *request["words"]]  # type: ignore[misc]
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # type: ignore[misc] # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # type: ignore[misc] # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", 1, closefd=False, errors="backslashreplace")  # type: ignore[misc] # noqa: SIM115


def _load() -> None:
    for name in _LOADED:
        importlib.import_module(name)
    get_env_var.cache_clear()  # type: ignore[attr-defined]
    gc.freeze()


if __name__ == "__main__":
    _load()
    exec(_serve(socket.socket(fileno=int(sys.argv[1]))), {"__name__": "__main__"})
