"""A process that has loaded the command line and forks a copy of itself for each command.

Starting Python and importing LangGraph takes a second or two of CPU; a fork takes milliseconds. The copy is a process
of its own, with its own standard streams, environment, folder and exit, as if it had been started.
"""

import atexit
import fcntl
import functools
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence

from langsmith.utils import get_env_var

_READ_AT_START = ("PYTHON", "LC_", "LANG=", "LANGUAGE", "LLAMABERRY_TRACES")
"""Variables that are read when Python starts or a graph is built; a fork cannot obey a change of theirs."""
_LOADED = (
    "genai_prices.data",
    "groq.resources.chat.completions",
    "httpcore",
    "langchain.chat_models",
    "langchain_groq",
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
    """The process that forks, and the connection to it. One command runs at a time."""

    def __init__(self) -> None:
        self._environment = _read_at_start(os.environ)
        self._connection, other = socket.socketpair()
        with other:
            command = [sys.executable, "-m", __spec__.name, str(other.fileno())]
            null = subprocess.DEVNULL
            one_thread = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # a process with threads must not fork
            fds = [other.fileno()]
            self._process = subprocess.Popen(command, env=one_thread, stdin=null, stdout=null, pass_fds=fds)
        self._replies = self._connection.makefile()
        atexit.register(self._close)

    def _close(self) -> None:
        self._replies.close()
        self._connection.close()
        self._process.wait()

    def can_run_with(self, environment: Mapping[str, str]) -> bool:
        """Return whether a copy would read the environment as a new Python does."""
        return _read_at_start(environment) == self._environment

    def run(
        self, words: Sequence[str], environment: Mapping[str, str], streams: Sequence[int], timeout_s: float
    ) -> int:
        """Run a command with these file descriptors as its standard streams; close them, and return its exit code."""
        request = {"words": words, "environment": dict(environment), "folder": os.getcwd()}
        socket.send_fds(self._connection, [b"\n"], streams)
        for stream in streams:
            os.close(stream)
        self._connection.sendall(json.dumps(request).encode() + b"\n")
        process_id = int(self._replies.readline())
        timer = threading.Timer(timeout_s, os.kill, [process_id, signal.SIGKILL])
        timer.start()
        code = int(self._replies.readline())
        timer.cancel()
        return code


@functools.cache
def loaded_command() -> LoadedCommand:
    """Return the process that this one uses; it is started by the first call, and ends with this one."""
    return LoadedCommand()


def _read_at_start(environment: Mapping[str, str]) -> list[str]:
    return sorted(pair for pair in map("=".join, environment.items()) if pair.startswith(_READ_AT_START))


def _serve(connection: socket.socket) -> None:
    """Fork for each request. Only a copy returns from this function, and then ends as its command does."""
    requests = connection.makefile("rb")
    while True:
        _, streams, _, _ = socket.recv_fds(connection, 1, 3)
        if not streams:
            os._exit(0)  # the process that asked has ended
        request = json.loads(requests.readline())
        if (process_id := os.fork()) == 0:
            requests.close()
            connection.close()
            _become(request, streams)
            return
        for stream in streams:
            os.close(stream)
        connection.sendall(b"%d\n" % process_id)
        code = os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1])
        connection.sendall(b"%d\n" % code)


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
    sys.stderr = sys.__stderr__ = open(2, "w", closefd=False, errors="backslashreplace")  # type: ignore[misc] # noqa: SIM115


def _load() -> None:
    for name in _LOADED:
        importlib.import_module(name)
    get_env_var.cache_clear()  # type: ignore[attr-defined]
    gc.freeze()


if __name__ == "__main__":
    _load()
    _serve(socket.socket(fileno=int(sys.argv[1])))
    from llamaberry.cli.main import main

    main()
