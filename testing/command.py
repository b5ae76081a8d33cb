"""The command line, run as a user runs it: as a subprocess."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from testing.scripted_groq import ScriptedGroq

COMMAND = [sys.executable, "-c", "from llamaberry.cli.main import main; main()"]
QUESTION = "What is 6 times 7?"
CSI = "\x1b["
ASK = ("ask", "Q", "--quiet", "--turns", "1")
NAMED = (*ASK, "--thread", "T")


def llamaberry(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command with pipes for its three streams; `stdin` is what it reads, the rest goes to the environment."""
    told = more.pop("stdin", "")
    return subprocess.run(
        [*COMMAND, *words], input=told, capture_output=True, text=True, timeout=60, env=os.environ | more, check=False
    )


def mistake(*words: str, **more: str) -> str:
    """Run a command that the user got wrong, and return its message: a line or two, and nothing else anywhere."""
    run = llamaberry(*words, **more)
    assert (run.returncode, run.stdout) == (2, ""), run
    assert 1 <= run.stderr.count("\n") <= 2
    assert "Traceback" not in run.stderr
    return run.stderr


def in_a_terminal(*words: str, **more: str) -> str:
    """Run the command with a terminal for its three streams, and return what the terminal got."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100"} | more
    with subprocess.Popen([*COMMAND, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as run:
        os.close(theirs)
        got = b""
        while select.select([ours], [], [], 60)[0]:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux's way to say that the other side has closed
                break
            got += piece
        assert run.wait(60) == 0
    os.close(ours)
    return got.decode()


@contextmanager
def begun(*words: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """Start the command, and let it run while something happens."""
    pipe = subprocess.PIPE
    with subprocess.Popen([*COMMAND, *words], stdout=pipe, stderr=pipe, text=True, **more) as run:
        try:
            yield run
        finally:
            run.kill()


def at_once(*commands: tuple[str, ...], **more: str) -> list[Any]:
    """Run commands side by side; return how each of them ended."""
    with ExitStack() as stack:
        runs = [stack.enter_context(begun(*words, env=os.environ | more)) for words in commands]
        outs = [run.communicate(timeout=60) for run in runs]
    return [subprocess.CompletedProcess(run.args, run.returncode, *out) for run, out in zip(runs, outs, strict=True)]


def until(moment: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not moment():
        assert time.monotonic() < end
        time.sleep(0.005)


def cut(groq: ScriptedGroq, calls: int, *words: str, by: signal.Signals = signal.SIGKILL) -> tuple[str, str]:
    """End a command by a signal in its so manieth call; return what it printed."""
    with begun(*words) as run:
        until(lambda: len(groq.requests) == calls)
        run.send_signal(by)
        return run.communicate(timeout=10)


def cut_at(groq: ScriptedGroq, command: list[str], moment: Callable[[], bool]) -> None:
    """Kill the command at a moment, and wait until the model knows."""
    with begun(*command) as run:
        until(lambda: moment() or run.poll() is not None)
        assert run.poll() is None, run.communicate()
    groq.wait(0)


def refused(run: subprocess.CompletedProcess[str], *told: str) -> None:
    """Exit code 2, with a line that says why."""
    assert (run.returncode, run.stdout) == (2, ""), run
    assert re.fullmatch(r"llamaberry: .*\n", run.stderr)
    assert all(word in run.stderr for word in told)


def kept(run: subprocess.CompletedProcess[str], answer: str = "42\n") -> None:
    assert (run.returncode, run.stdout, run.stderr) == (0, answer, "")


def not_kept(run: subprocess.CompletedProcess[str], *told: str) -> None:
    """The answer is there all the same, and a line says why it is not kept."""
    assert (run.returncode, run.stdout) == (0, "42\n"), run
    assert re.fullmatch(r"llamaberry: this answer is not kept: .*\n", run.stderr)
    assert all(word in run.stderr for word in told)


def without_figures(text: str) -> list[str]:
    return re.sub(r"[\d.]+ s\b|[\d,]+ (prompt|tokens|output)|\([\d,]+ cached\)", "…", text).split("\n")
