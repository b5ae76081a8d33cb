"""The command line, run as a user runs it: as a subprocess."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from testing.loaded_command import loaded_command
from testing.scripted_groq import ScriptedGroq

COMMAND = [sys.executable, "-c", "from llamaberry.cli.main import main; main()"]
QUESTION = "What is 6 times 7?"
CSI = "\x1b["
PIPE_SIZE = 8192
"""Characters of standard input that certainly fit into a pipe."""
LIMIT_S = 300
"""After which a command counts as stuck; a busy machine may need minutes to start a dozen at once."""
ASK_ONE_TURN = ("ask", "Q", "--quiet", "--turns", "1")
ASK_IN_THREAD = (*ASK_ONE_TURN, "--thread", "T")


def llamaberry(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command with pipes. `stdin` is its input; the other keywords are added to the environment."""
    stdin = more.pop("stdin", "")
    environment = os.environ | more
    command = [*COMMAND, *words]
    if not loaded_command().can_run_with(environment) or len(stdin) > PIPE_SIZE:
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=LIMIT_S, env=environment, check=False
        )
    (stdin_end, stdin_fd), (stdout_end, stdout_fd), (stderr_end, stderr_fd) = reversed(os.pipe()), os.pipe(), os.pipe()
    with open(stdin_end, "w") as file:
        file.write(stdin)
    with open(stdout_end) as stdout, open(stderr_end) as stderr, ThreadPoolExecutor() as pool:
        outputs = [pool.submit(file.read) for file in (stdout, stderr)]
        code = loaded_command().run(words, environment, (stdin_fd, stdout_fd, stderr_fd), LIMIT_S)
        return subprocess.CompletedProcess(command, code, *(output.result() for output in outputs))


def usage_error(*words: str, **more: str) -> str:
    """Run a command with a usage error, and return its message: exit code 2, one or two lines, no other output."""
    run = llamaberry(*words, **more)
    assert (run.returncode, run.stdout) == (2, ""), run
    assert 1 <= run.stderr.count("\n") <= 2
    assert "Traceback" not in run.stderr
    return run.stderr


def run_in_terminal(*words: str, **more: str) -> str:
    """Run the command in a pseudo-terminal, and return its output."""
    parent, child = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100"} | more
    with ThreadPoolExecutor() as pool:
        output = pool.submit(_read_terminal, parent)
        code = loaded_command().run(words, environment, (child, os.dup(child), os.dup(child)), LIMIT_S)
        assert code == 0
    os.close(parent)
    return output.result().decode()


def _read_terminal(terminal: int) -> bytes:
    output = b""
    try:
        while chunk := os.read(terminal, 65536):
            output += chunk
    except OSError:  # on Linux: the other end is closed
        pass
    return output


@contextmanager
def running_command(*words: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """Start the command; kill it at the end unless it has ended."""
    pipe = subprocess.PIPE
    with subprocess.Popen([*COMMAND, *words], stdout=pipe, stderr=pipe, text=True, **more) as run:
        try:
            yield run
        finally:
            run.kill()


def run_concurrently(*commands: tuple[str, ...], **more: str) -> list[Any]:
    """Run commands concurrently, and return their results."""
    with ExitStack() as stack:
        runs = [stack.enter_context(running_command(*words, env=os.environ | more)) for words in commands]
        outs = [run.communicate(timeout=LIMIT_S) for run in runs]
    return [subprocess.CompletedProcess(run.args, run.returncode, *out) for run, out in zip(runs, outs, strict=True)]


def wait_until(condition: Callable[[], object], timeout_s: float = 120) -> None:
    """Wait until the condition is true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "timeout"
        time.sleep(0.005)


def signal_during_call(
    groq: ScriptedGroq, calls: int, *words: str, by: signal.Signals = signal.SIGKILL
) -> tuple[str, str]:
    """Send a command a signal during its model call number `calls`; return its stdout and stderr."""
    with running_command(*words) as run:
        wait_until(lambda: len(groq.requests) == calls)
        run.send_signal(by)
        return run.communicate(timeout=10)


def kill_when(groq: ScriptedGroq, command: list[str], condition: Callable[[], bool]) -> None:
    """Kill the command once the condition is true, and wait until its requests are closed."""
    with running_command(*command) as run:
        wait_until(lambda: condition() or run.poll() is not None)
        assert run.poll() is None, run.communicate()
    groq.wait(0)


def assert_refused(run: subprocess.CompletedProcess[str], *words: str) -> None:
    """Check for exit code 2 and one line on stderr that contains these words."""
    assert (run.returncode, run.stdout) == (2, ""), run
    assert re.fullmatch(r"llamaberry: .*\n", run.stderr)
    assert all(word in run.stderr for word in words)


def assert_answer(run: subprocess.CompletedProcess[str], answer: str = "42\n") -> None:
    """Check for this output and nothing on stderr."""
    assert (run.returncode, run.stdout, run.stderr) == (0, answer, "")


def assert_not_saved(run: subprocess.CompletedProcess[str], *words: str) -> None:
    """Check for the answer, and one line on stderr that says, with these words, why it is not saved."""
    assert (run.returncode, run.stdout) == (0, "42\n"), run
    assert re.fullmatch(r"llamaberry: this answer is not kept: .*\n", run.stderr)
    assert all(word in run.stderr for word in words)


def mask_figures(text: str) -> list[str]:
    """Return the lines of an output, with seconds, tokens and costs masked."""
    return re.sub(r"[\d.]+ s\b|[\d,]+ (prompt|tokens|output)|\([\d,]+ cached\)|\$[\d.]+", "…", text).split("\n")
