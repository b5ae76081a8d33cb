"""The sandbox: what a program's result is, what it cannot reach, and that nothing of it stays behind."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from blockbuster import blockbuster_ctx

from llamaberry import sandbox
from llamaberry.graph.errors import SetupError
from llamaberry.sandbox import MAX_OUTPUT_CHARS, MAX_PROCESSES, ProgramResult, run_program

T = TypeVar("T")
ROOT = Path(__file__).parents[1]
ENDLESS = "while True: pass"
LONG_OPERATION = "7 ** 1_000_000_000"  # hundreds of seconds
USEFUL = {
    "a weekday": ('import datetime\nprint(datetime.date(2025, 5, 3).strftime("%A"))', "Saturday"),
    "letters": ('print("strawberry".count("r"))', "3"),
    "a sum": ("print(sum(n * n for n in range(10)))", "285"),
    "a format": ('print(f"{1234.5:,.2f}")', "1,234.50"),
    "a dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n    def double(self):\n"
        "        return 2 * self.x\nprint(P(3).double())",
        "6",
    ),
    "a loop": ("n = 0\nwhile n * n < 200:\n    n += 1\nprint(n)", "15"),
    "a module": ("import math, re, json, itertools, collections\nprint(math.comb(5, 2))", "10"),
    "other letters": ('print("größer 日本")', "größer 日本"),
    "cents": ('cents = 3 * 1999\nprint(f"${cents // 100}.{cents % 100:02}")', "$59.97"),
    "lines that end as on Windows": ("x = 1\r\nprint(x)\r\n", "1"),
    "a minus at the start": ("-1\nprint(1)", "1"),
    "a sleep, at once": ("import time\ntime.sleep(60)\nprint(1)", "1"),
}
FAILURES = {
    "an exception": ("x = 1\nprint(x / 0)", "line 2: ZeroDivisionError: division by zero"),
    "a message of two lines": ('raise ValueError("a\\nb")', "line 1: ValueError: a b"),
    "no syntax": ("print(1)\ndef f(:", "line 2: SyntaxError"),
    "a list of 10**9": ("print([0] * 10**9)", "The program used more than 256 MB."),
    "a growing list": ('x = []\nwhile True: x.append("a" * 10000)', "The program used more than 256 MB."),
    "a huge list by one call": ('("a " * 10**8).split()', "The program used more than 256 MB."),
    "a time limit of its own": (
        'raise TimeoutError("time limit exceeded")',
        "line 1: TimeoutError: time limit exceeded",
    ),
    "an indented message": ('raise ValueError("a\\n  b\\nc")', "line 1: ValueError: a b c"),
    "text on stderr": (
        'import sys\nprint("error: a", file=sys.stderr)\n1 / 0',
        "line 3: ZeroDivisionError: division by zero",
    ),
    "a long line": ("1" + " + 1" * 7_000, "line 1: SyntaxError: Source is too deeply nested"),
    "deep recursion": ("def f(n): return f(n + 1)\nf(0)", "RecursionError"),
    "a missing module": ("import fractions", "ModuleNotFoundError: No module named 'fractions'"),
    "a socket": ("import socket", "ModuleNotFoundError"),
    "a process": ("import subprocess", "ModuleNotFoundError"),
    "os.system": ('import os\nos.system("ls")', "AttributeError"),
    "__import__": ('__import__("os").system("ls")', "NameError"),
    "eval": ("eval(\"__import__('os')\")", "NameError"),
    "exec": ('exec("import socket")', "ModuleNotFoundError"),
    "input": ("print(1)\ninput()", "NameError: name 'input' is not defined"),
    "a NUL character": ('print("\0")', "control characters"),
    "half a character": ('print("\ud800")', "control characters"),
    "a huge program": ("x = 1\n" * 10_000, "longer than 30,000 characters"),
}


def run(source: str, timeout_s: float = 60) -> ProgramResult:
    return asyncio.run(run_program(source, timeout_s))


def sandboxes(of: int | None = None) -> set[int]:
    """Return the process ids of the programs that a process runs: this one, or another."""
    running = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except OSError:  # it has ended
            continue
        state, parent = rest.split()[:2]
        if name == "monty" and state != "Z" and int(parent) == (of or os.getpid()):
            running.add(int(stat.parent.name))
    return running


def is_running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def wait_until(condition: Callable[[], T]) -> T:
    deadline = time.monotonic() + 60
    while not (value := condition()):
        assert time.monotonic() < deadline, "60 seconds were not enough"
        time.sleep(0.005)
    return value


@pytest.mark.parametrize(("source", "output"), USEFUL.values(), ids=list(USEFUL))
def test_a_useful_program_prints_its_result(source: str, output: str) -> None:
    result = run(source)
    assert (result.output, result.error) == (f"{output}\n", None)
    assert result.seconds > 0


@pytest.mark.parametrize(("source", "error"), FAILURES.values(), ids=list(FAILURES))
def test_a_failing_program_has_a_readable_error(source: str, error: str) -> None:
    result = run(source)
    assert error in (result.error or "")
    assert "\n" not in (result.error or "")


def test_what_was_printed_before_an_error_is_kept() -> None:
    assert run("print(1)\nprint(1 / 0)").output == "1\n"


def test_an_endless_loop_ends_at_the_time_limit() -> None:
    assert run(f"print(1)\n{ENDLESS}", 0.2)[:2] == ("1\n", "The program ran longer than 0.2 seconds.")


@pytest.mark.slow
def test_an_operation_that_takes_long_ends() -> None:
    """The interpreter looks at its time limit between operations only."""
    result = asyncio.run(run_program(LONG_OPERATION, 0.2, memory_mb=4096))
    assert result[:2] == ("", "The program ran longer than 0.2 seconds.")


FLOODS = ['print("x" * 10_000_000)', 'while True: print("é" * 1000)', r'while True: print("\0" * 1000, end="")']


@pytest.mark.parametrize("source", FLOODS, ids=["10 MB", "endless", "invisible"])
def test_output_is_limited(source: str) -> None:
    result = run(source)
    assert len(result.output) == MAX_OUTPUT_CHARS or "\\0" in source
    assert result.output.endswith("\n[the rest is cut]")
    assert result.error == "The program printed more than 10,000 characters."


def test_control_characters_in_the_output_are_removed() -> None:
    assert run(r'print("\x1b[31mred\x00\x07")').output == "[31mred\n"


def test_a_program_reads_no_file_and_no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk_secret")
    (tmp_path / "file").write_text("gsk_secret")
    for source in (
        f"print(open({str(tmp_path / 'file')!r}).read())",
        f"from pathlib import Path\nprint(Path({str(tmp_path / 'file')!r}).read_text())",
        "import os\nprint(os.environ)",
        'import os\nprint(os.getenv("GROQ_API_KEY"))',
        'import os\nprint(os.listdir("/"))',
    ):
        result = run(source)
        assert "gsk_secret" not in result.output
        assert "root" not in result.output
        assert result.error or result.output == "None\n"


def test_a_program_writes_no_file(tmp_path: Path) -> None:
    assert run(f'open({str(tmp_path / "new")!r}, "w").write("x")').error
    assert not list(tmp_path.iterdir())


async def test_200_programs_at_once_are_right() -> None:
    results = await asyncio.gather(*(run_program(f"print({n})", 60) for n in range(200)))
    assert [result[:2] for result in results] == [(f"{n}\n", None) for n in range(200)]


def check_bound(programs: int) -> None:
    """Kill endless programs, as many at once as may run, and check that there are never more."""
    while programs:
        group = min(programs, MAX_PROCESSES)
        wait_until(partial(lambda group: len(sandboxes()) >= group, group))
        running = sandboxes()
        assert len(running) == group
        for pid in running:
            os.kill(pid, signal.SIGKILL)
        wait_until(partial(lambda killed: not killed & sandboxes(), running))
        programs -= group


async def test_an_event_loop_runs_few_programs_at_once() -> None:
    tasks = [asyncio.create_task(run_program(ENDLESS, 60)) for _ in range(20)]
    await asyncio.to_thread(check_bound, 20)
    assert all("signal 9" in (result.error or "") for result in await asyncio.gather(*tasks))


def test_event_loops_in_threads_share_the_bound() -> None:
    threads = [threading.Thread(target=run, args=(ENDLESS,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    check_bound(20)
    for thread in threads:
        thread.join()


async def test_a_killed_process_is_an_error_and_the_next_runs() -> None:
    task = asyncio.create_task(run_program(ENDLESS, 60))
    (program,) = await asyncio.to_thread(wait_until, sandboxes)
    os.kill(program, signal.SIGKILL)
    assert (await task).error == "The sandbox ended unexpectedly (signal 9)."
    assert (await run_program("print(1)", 60)).output == "1\n"


async def test_a_program_gets_no_variable_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk_secret")
    task = asyncio.create_task(run_program(ENDLESS, 60))
    (program,) = await asyncio.to_thread(wait_until, sandboxes)
    assert "gsk_secret" not in Path(f"/proc/{program}/environ").read_text()
    task.cancel()


async def test_a_cancelled_call_kills_its_program() -> None:
    task = asyncio.create_task(run_program(ENDLESS, 60))
    await asyncio.to_thread(wait_until, sandboxes)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    wait_until(lambda: not sandboxes())


def test_an_event_loop_that_ends_kills_its_program() -> None:
    async def main() -> None:
        tasks.append(asyncio.create_task(run_program(ENDLESS, 60)))
        await asyncio.to_thread(wait_until, sandboxes)

    tasks: list[asyncio.Task[ProgramResult]] = []
    asyncio.run(main())
    assert tasks[0].cancelled()
    wait_until(lambda: not sandboxes())


def test_an_event_loop_can_end_at_any_moment() -> None:
    """A program may be about to start then."""

    async def main(steps: int) -> None:
        tasks.append(asyncio.create_task(run_program(ENDLESS, 60)))
        for _ in range(steps):
            await asyncio.sleep(0)

    tasks: list[asyncio.Task[ProgramResult]] = []
    for steps in range(0, 200, 3):
        asyncio.run(main(steps))
    assert all(task.cancelled() for task in tasks)
    wait_until(lambda: not sandboxes())


async def test_the_event_loop_goes_on_while_a_program_runs() -> None:
    sandbox._find_monty.cache_clear()
    with blockbuster_ctx():  # raises where a call blocks the loop, as `langgraph dev` does
        task = asyncio.create_task(run_program(ENDLESS, 0.3))
        ticks = 0
        while not task.done():
            await asyncio.sleep(0.01)
            ticks += 1
        assert ticks > 3
        assert "longer than" in ((await task).error or "")


def test_event_loops_in_turn_and_in_threads() -> None:
    assert [run("print(1)").output for _ in range(2)] == ["1\n"] * 2
    outputs: list[str] = []
    threads = [threading.Thread(target=lambda: outputs.append(run("print(2)").output)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outputs == ["2\n"] * 3


IN_A_FORK = """
import asyncio, os, sys
from llamaberry.sandbox import MAX_PROCESSES, run_program
from tests.test_sandbox import sandboxes

def fork():
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        result = asyncio.run(asyncio.wait_for(run_program("print(2)", 60), 60))
        os._exit(result.output != "2\\n")
    finally:
        os._exit(1)

async def main():
    for _ in range(MAX_PROCESSES):
        asyncio.create_task(run_program("while True: pass", 60))
    while len(sandboxes()) < MAX_PROCESSES:
        await asyncio.sleep(0.01)
    sys.exit(await asyncio.to_thread(fork))

asyncio.run(main())
"""
KILLED = """
import asyncio, sys
from llamaberry.sandbox import run_program
asyncio.run(run_program(sys.argv[1], 1, 4096))
"""
AT_EXIT = """
import asyncio, time
from llamaberry.sandbox import run_program

async def main():
    asyncio.create_task(run_program("while True: pass", 60))
    print((await run_program("print(1)", 60)).output, flush=True)

asyncio.run(main())
"""


def test_a_forked_process_can_run_programs() -> None:
    """Its parent runs as many as it may."""
    assert subprocess.run([sys.executable, "-c", IN_A_FORK], cwd=ROOT, check=False, timeout=120).returncode == 0


def test_an_exit_is_prompt_and_leaves_no_process() -> None:
    """Another program of 60 seconds still runs; its pipes would keep `subprocess.run` waiting."""
    started_at = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", AT_EXIT], capture_output=True, text=True, check=True)
    assert time.monotonic() - started_at < 40
    assert (ended.stdout, ended.stderr) == ("1\n\n", "")


@pytest.mark.parametrize("source", [ENDLESS, LONG_OPERATION], ids=["a loop", "an operation"])
def test_a_program_ends_by_itself_after_a_kill(source: str) -> None:
    """The parent is killed, and cannot end it."""
    parent = subprocess.Popen([sys.executable, "-c", KILLED, source])
    try:
        (child,) = wait_until(lambda: sandboxes(parent.pid))
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not is_running(child))


def test_a_missing_command_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.prefix", "/nowhere")
    monkeypatch.setattr("site.getuserbase", lambda: "/nowhere")
    monkeypatch.setenv("PATH", "/nowhere")
    sandbox._find_monty.cache_clear()
    try:
        with pytest.raises(SetupError, match="pip install pydantic-monty"):
            run("print(1)")
    finally:
        sandbox._find_monty.cache_clear()


def test_waiting_for_a_slot_costs_a_program_no_time() -> None:
    async def many() -> list[ProgramResult]:
        slow = [run_program(ENDLESS, 1) for _ in range(MAX_PROCESSES)]
        *_, last = await asyncio.gather(*slow, run_program("print(1)", 1))
        return [last]

    started_at = time.monotonic()
    (result,) = asyncio.run(many())
    assert time.monotonic() - started_at >= 1
    assert (result.output, result.error) == ("1\n", None)
