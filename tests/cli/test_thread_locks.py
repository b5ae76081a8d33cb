"""One run at a time on a thread, in SQLite and PostgreSQL: others wait, and a killed run holds nothing back."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from testing.command import (
    ASK_IN_THREAD,
    ASK_ONE_TURN,
    LIMIT_S,
    assert_answer,
    assert_refused,
    llamaberry,
    run_concurrently,
    running_command,
    wait_until,
)
from testing.postgres import new_database
from testing.scripted_groq import NO_RETRY, Reply, Scripted, ScriptedGroq, first, good_model
from testing.scripts import HANG

UNAVAILABLE = Reply(status=503, headers=NO_RETRY)


@pytest.fixture(autouse=True, params=["sqlite", "postgres"])
def location(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the threads are stored."""
    if request.param == "postgres":
        monkeypatch.setenv("LLAMABERRY_CHECKPOINTS", new_database())
    return str(request.param)


@contextmanager
def running_ask(groq: ScriptedGroq) -> Iterator[Any]:
    """A question on thread T whose call hangs."""
    with running_command(*ASK_IN_THREAD) as run:
        wait_until(lambda: groq.open_requests == 1)
        yield run


@pytest.mark.slow
def test_nine_questions_at_once_keep_nine_answers(scripted: Scripted, tmp_path: Path) -> None:
    scripted(lambda request: Reply(good_model(request), delay=0.2))
    questions = [f"Question number {n}?" for n in range(9)]
    for run in run_concurrently(*(("ask", question, *ASK_IN_THREAD[2:]) for question in questions)):
        assert (run.returncode, run.stdout) == (0, "42\n"), run.stderr
    printed = llamaberry("show", "T", "--all").stdout.splitlines()
    assert sorted(line for line in printed if line in questions) == questions
    assert printed.count("42") == 9
    assert not list(tmp_path.glob("*.lock"))


def test_a_running_thread_is_listed_as_running(scripted: Scripted) -> None:
    groq = scripted([HANG, first()])
    with running_ask(groq):
        assert "T · " in (listed := llamaberry("history").stdout)
        assert " · running · Q" in listed
        for run in run_concurrently(("resume",), ("resume", "T"), ("forget", "T")):
            assert_refused(run, "'T'", "running")
    assert " · interrupted · Q" in llamaberry("history").stdout
    assert_answer(llamaberry("resume", "--quiet"))
    assert len(groq.requests) == 2


def test_a_second_question_waits_until_the_first_dies(scripted: Scripted) -> None:
    groq = scripted([HANG, first()])
    with running_ask(groq) as run, running_command("ask", "Second?", *ASK_IN_THREAD[2:]) as second:
        message = second.stderr.readline() if second.stderr else ""
        assert "thread 'T' is running in another process: waiting" in message
        assert len(groq.requests) == 1
        run.kill()
        assert second.communicate(timeout=LIMIT_S) == ("42\n", "")
    assert len(groq.requests) == 2


def test_ctrl_c_ends_the_wait(scripted: Scripted) -> None:
    groq = scripted([HANG])
    with running_ask(groq), running_command(*ASK_IN_THREAD) as second:
        assert second.stderr
        assert "waiting" in second.stderr.readline()
        second.send_signal(signal.SIGINT)
        assert second.communicate(timeout=LIMIT_S) == ("", "")
        assert second.returncode == 130


def test_other_threads_do_not_wait(scripted: Scripted) -> None:
    groq = scripted([HANG, first(), first()])
    with running_ask(groq):
        for run in run_concurrently(ASK_ONE_TURN, (*ASK_ONE_TURN, "--thread", "T2")):
            assert_answer(run)


def test_a_link_to_the_database_is_the_same_thread(scripted: Scripted, tmp_path: Path, location: str) -> None:
    if location != "sqlite":
        pytest.skip("only a file has links")
    groq, link = scripted([HANG]), tmp_path / "link.sqlite"
    with running_ask(groq):
        link.symlink_to(tmp_path / "threads.sqlite")
        assert " · running · " in llamaberry("history", LLAMABERRY_CHECKPOINTS=str(link)).stdout


def test_the_lock_file_of_a_killed_run_is_removed(scripted: Scripted, tmp_path: Path, location: str) -> None:
    groq = scripted([HANG])
    with running_ask(groq):
        assert bool(list(tmp_path.glob("*.lock"))) == (location == "sqlite")
    llamaberry("history")
    assert not list(tmp_path.glob("*.lock"))


@pytest.mark.parametrize("refusal", [401, 404])
def test_a_refused_call_leaves_no_new_thread(scripted: Scripted, refusal: int) -> None:
    scripted([Reply(status=refusal)])
    run = llamaberry(*ASK_IN_THREAD)
    assert run.stderr.count("\n") == 1
    assert "resume" not in run.stderr
    assert llamaberry("history").stdout == ""


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        ((), {"GROQ_API_KEY": ""}),
        (("--model", "nosuch:model"), {}),
        (("--turns", "2", "--refine-model", "local"), {"LLAMABERRY_LOCAL_GGUF": "/nowhere"}),
    ],
)
def test_what_is_not_set_up_leaves_no_thread(groq: ScriptedGroq, words: Any, environment: dict[str, str]) -> None:
    assert_refused(llamaberry(*ASK_IN_THREAD, *words, **environment))
    assert llamaberry("history").stdout == ""
    assert groq.requests == []


def test_a_refused_call_leaves_an_earlier_thread_as_it_was(scripted: Scripted) -> None:
    groq = scripted([first(), Reply(status=401), first("43")])
    assert_answer(llamaberry(*ASK_IN_THREAD))
    before = [run.stdout for run in run_concurrently(("history",), ("show", "T", "--all"))]
    assert llamaberry("ask", "Refused?", *ASK_IN_THREAD[2:]).stdout == ""
    assert [run.stdout for run in run_concurrently(("history",), ("show", "T", "--all"))] == before
    assert_answer(llamaberry("ask", "Third?", *ASK_IN_THREAD[2:]), "43\n")
    assert [message["content"] for message in groq.requests[2].messages[1:3]] == ["Q", "42"]
    assert "Refused?" not in str(groq.requests[2].body)


@pytest.mark.parametrize(
    "failure",
    [Reply(status=503, headers={"x-should-retry": "false"}), Reply(status=429, headers={"retry-after": "99"})],
)
def test_a_failed_call_is_listed_and_can_be_resumed(scripted: Scripted, failure: Reply) -> None:
    scripted([failure, first()])
    run = llamaberry(*ASK_IN_THREAD)
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (1, "", 1)
    assert "`llamaberry resume T`" in run.stderr
    assert " · failed · Q" in llamaberry("history").stdout
    assert_answer(llamaberry("resume", "--quiet"))
    assert " · answered · Q" in llamaberry("history").stdout


def test_a_run_without_threads_offers_no_resume(scripted: Scripted) -> None:
    scripted([UNAVAILABLE])
    assert "resume" not in llamaberry(*ASK_ONE_TURN, LLAMABERRY_CHECKPOINTS="none").stderr
