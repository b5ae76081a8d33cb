"""The command line, run as a user runs it: as a subprocess."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from testing.fork import Fork
from testing.loaded_command import loaded_command
from testing.scripted_groq import ScriptedGroq

CODE = "from llamaberry.cli.main import main; main()"
COMMAND = [sys.executable, "-c", CODE]
QUESTION = "What is 6 times 7?"
CSI = "\x1b["
LIMIT_S = 300
"""After which a command counts as stuck; a busy machine may need minutes to start a dozen at once."""
ASK_ONE_TURN = ("ask", "Q", "--quiet", "--turns", "1")
ASK_IN_THREAD = (*ASK_ONE_TURN, "--thread", "T")


def llamaberry(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command with pipes. `stdin` is its input; the other keywords are added to the environment."""
    stdin = more.pop("stdin", "")
    with running_command(*words, stdin=subprocess.PIPE, env=os.environ | more) as run:
        outputs = run.communicate(stdin, timeout=LIMIT_S)
        return subprocess.CompletedProcess(run.args, run.wait(), *outputs)


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
        with loaded_command().start(CODE, words, environment, (child, os.dup(child), os.dup(child))) as run:
            assert run.wait(LIMIT_S) == 0
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
def running_command(
    *words: str, code: str = CODE, stdin: int = subprocess.DEVNULL, env: Mapping[str, str] | None = None
) -> Iterator[Fork | subprocess.Popen[str]]:
    """Start the command, or the program that is `code`; kill it at the end unless it has ended."""
    run: Fork | subprocess.Popen[str]
    env, pipe = env or os.environ, subprocess.PIPE
    if loaded_command().can_run_with(env):
        (stdout, stdout_end), (stderr, stderr_end) = os.pipe(), os.pipe()
        stdin_end, entry = os.pipe() if stdin == pipe else (os.open(os.devnull, os.O_RDONLY), None)
        run = loaded_command().start(code, words, env, (stdin_end, stdout_end, stderr_end))
        run.open_pipes(entry, stdout, stderr)
    else:
        command = [sys.executable, "-c", code, *words]
        run = subprocess.Popen(command, stdin=stdin, stdout=pipe, stderr=pipe, text=True, env=env)
    with run:
        try:
            yield run
        finally:
            run.kill()


def run_concurrently(*commands: tuple[str, ...], **more: str) -> list[Any]:
    """Run commands concurrently, and return their results."""
    with ExitStack() as stack:
        runs = [stack.enter_context(running_command(*words, env=os.environ | more)) for words in commands]
        outs = [run.communicate(timeout=LIMIT_S) for run in runs]
    return [subprocess.CompletedProcess(run.args, run.wait(), *out) for run, out in zip(runs, outs, strict=True)]


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
        return run.communicate(timeout=LIMIT_S)


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
