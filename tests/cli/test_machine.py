"""What a machine may lack: a home directory, a standard stream, space on a disk. One line says so."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from testing.batch import read_lines, write_questions
from testing.command import (
    ASK_IN_THREAD,
    ASK_ONE_TURN,
    CODE,
    COMMAND,
    LIMIT_S,
    assert_answer,
    assert_not_saved,
    assert_refused,
    llamaberry,
)
from testing.loaded_command import loaded_command
from testing.scripted_groq import Reply, Scripted, ScriptedGroq, first, good_model, refine, synthesis


def shell(line: str, *words: str, prefix: str = "", **more: str) -> "subprocess.CompletedProcess[str]":
    """Run the command with these words in a shell; LINE has {} in its place."""
    line = line.replace("{}", f"{prefix} {shlex.join([*COMMAND, *words])}")
    run = ["sh", "-c", line]
    return subprocess.run(run, capture_output=True, text=True, timeout=LIMIT_S, env=os.environ | more, check=False)


def with_full_disk(*words: str) -> "subprocess.CompletedProcess[str]":
    """Run the command with a standard output that is a full disk's."""
    stdin, full, (stderr, stderr_end) = os.open(os.devnull, os.O_RDONLY), os.open("/dev/full", os.O_WRONLY), os.pipe()
    with loaded_command().start(CODE, words, os.environ, (stdin, full, stderr_end)) as run, open(stderr) as errors:
        return subprocess.CompletedProcess(run.args, run.wait(LIMIT_S), "", errors.read())


def require(*command: str) -> None:
    """Skip the test if the command fails on this machine."""
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"not possible here: {shlex.join(command)}")


@pytest.mark.parametrize(("words", "refused"), [(ASK_ONE_TURN, False), (ASK_IN_THREAD, True), (("history",), True)])
def test_no_home_directory_is_one_line(
    groq: ScriptedGroq, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], refused: bool
) -> None:
    """The user has neither HOME nor an entry in /etc/passwd."""
    stranger = ("unshare", "-U", "--map-user=4242")
    require(*stranger, "true")
    for name in ("HOME", "LLAMABERRY_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    run = shell("{}", *words, prefix=shlex.join(stranger))
    (assert_refused if refused else assert_not_saved)(run, "LLAMABERRY_HOME")


@pytest.mark.parametrize("name", ["LLAMABERRY_HOME", "LLAMABERRY_CHECKPOINTS"])
def test_an_unknown_home_directory_is_one_line(groq: ScriptedGroq, name: str) -> None:
    where = {name: "~nosuchuser/folder"}
    assert_not_saved(llamaberry(*ASK_ONE_TURN, **where), name, "~nosuchuser")
    assert_refused(llamaberry("history", **where), name, "~nosuchuser")


def test_an_output_below_an_unknown_home_is_refused(
    groq: ScriptedGroq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No folder of that name is created in the current one."""
    source = write_questions(tmp_path, "Q")
    monkeypatch.chdir(tmp_path)
    assert_refused(llamaberry("batch", source, "~nosuchuser/out.jsonl"), "OUT", "~nosuchuser")
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
    assert groq.requests == []


def test_an_output_may_begin_with_a_tilde(groq: ScriptedGroq, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_questions(tmp_path, "Q")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for out in ("~/out.jsonl", "~file.jsonl"):
        assert llamaberry("batch", source, out, "--turns", "1").returncode == 0
    assert len(read_lines(tmp_path / "home" / "out.jsonl")) == len(read_lines(tmp_path / "~file.jsonl")) == 1


@pytest.mark.parametrize("words", [("ask", "-"), ("ask", "-", "--json")])
def test_a_closed_stdin_is_a_blank_question(groq: ScriptedGroq, words: tuple[str, ...]) -> None:
    assert_refused(shell("{} <&-", *words), "blank")


def test_a_review_without_stdin_ends_at_its_pause(groq: ScriptedGroq) -> None:
    run = shell("{} <&-", *ASK_IN_THREAD[:2], "--turns", "2", "--review", "--thread", "T")
    assert run.returncode == 130
    assert "Traceback" not in run.stderr
    assert run.stderr.endswith("llamaberry: `llamaberry resume T` continues from here\n")


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_an_answer_needs_no_other_stream(groq: ScriptedGroq, closed: str) -> None:
    assert_answer(shell(f"{{}} {closed}", *ASK_ONE_TURN))


@pytest.mark.parametrize("words", [ASK_ONE_TURN, ("history",), ("graph",), ("--version",)])
def test_a_closed_stdout_is_no_traceback(groq: ScriptedGroq, words: tuple[str, ...]) -> None:
    run = shell("{} >&-", *words)
    assert (run.returncode, run.stderr) == (0, "")


def test_a_full_disk_below_stdout_is_one_line(groq: ScriptedGroq) -> None:
    llamaberry(*ASK_ONE_TURN)
    assert_refused(shell("{} >/dev/full", "history"), "standard output", "No space left")
    for words in (["history"], ["graph"], ["--version"], ["--help"], ["batch", "--help"]):
        assert_refused(with_full_disk(*words), "standard output", "No space left")


@pytest.mark.parametrize("words", [("--quiet",), ("--json",), ()])
def test_an_answer_that_cannot_be_printed_is_kept(groq: ScriptedGroq, words: tuple[str, ...]) -> None:
    ask = ("ask", "Q", "--turns", "1", "--thread", "T", *words)
    assert_refused(with_full_disk(*ask), "`llamaberry show T`")
    if words:  # otherwise the run ended at the first piece that it could not print
        assert llamaberry("show", "T").stdout.count("42") == 2


def test_a_full_disk_below_all_streams_still_exits_with_2(groq: ScriptedGroq) -> None:
    assert shell("{} >/dev/full 2>/dev/full", "ask", "").returncode == 2


@pytest.mark.parametrize("size_kb", [4, 64, 80, 96, 112, 128])
def test_a_full_disk_does_not_cost_the_answer(scripted: Scripted, tmp_path: Path, size_kb: int) -> None:
    """It is full from the beginning, or during the run; no reply that arrived is paid for twice."""
    mount = f"mount -t tmpfs -o size={size_kb}k tmpfs {tmp_path}"
    require("unshare", "-rm", "sh", "-c", mount)
    groq = scripted([first("41"), refine("42", "revise"), refine("43", "revise"), synthesis("It is 43.")])
    prefix = shlex.join(["unshare", "-rm", "sh", "-c", f'{mount} && exec "$@"', "sh"])
    run = shell("{}", "ask", "Q", "--quiet", "--verify=none", prefix=prefix)
    assert (run.returncode, run.stdout) == (0, "It is 43.\n"), run.stderr
    assert re.fullmatch(r"llamaberry: this answer is not kept: .*full.*\n", run.stderr)
    assert len(groq.requests) == 4


def test_a_full_disk_does_not_cost_the_conversation(scripted: Scripted, tmp_path: Path) -> None:
    """The thread's earlier messages are in view, also if the question itself could not be stored."""
    threads, home = tmp_path / "threads.sqlite", tmp_path / "home"
    home.mkdir()
    mount = f"mount -t tmpfs -o size=88k tmpfs {home}"
    require("unshare", "-rm", "sh", "-c", mount)
    groq = scripted([first("7"), first("42")])
    assert_answer(llamaberry(*ASK_IN_THREAD), "7\n")
    copy = f'{mount} && cp {threads} {home} && exec "$@"'
    prefix = shlex.join(["unshare", "-rm", "sh", "-c", copy, "sh"])
    run = shell("{}", "ask", "Next?", *ASK_IN_THREAD[2:], prefix=prefix, LLAMABERRY_HOME=str(home))
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (0, "42\n", 1), run.stderr
    assert [message["content"] for message in groq.requests[1].messages[1:3]] == ["Q", "7"]


def test_a_full_disk_ends_a_batch_that_goes_on_later(scripted: Scripted, tmp_path: Path) -> None:
    """The line that was cut is not kept, and nothing that was written is paid for again."""
    groq = scripted(lambda request: Reply(good_model(request)))
    source, out = write_questions(tmp_path, *"ABCDEFGH"), tmp_path / "out.jsonl"
    words = ("batch", source, str(out), "--turns", "1", "--concurrency", "1")
    run = shell("ulimit -f 2; {}", *words)
    assert_refused(run, str(out), "same command again")
    written = len(read_lines(out))
    assert 0 < written < 8
    groq.requests.clear()
    assert llamaberry(*words).returncode == 0
    assert (len(read_lines(out)), len(groq.requests)) == (8, 8 - written)


def test_ctrl_c_while_loading_prints_no_traceback(tmp_path: Path) -> None:
    """A module that the command line imports first sends the signal."""
    (tmp_path / "typer.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "llamaberry", "ask", "Q"]
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT_S, env=os.environ | {"PYTHONPATH": path}, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (130, "", "")
