"""The command line's threads: stored, continued, resumed, listed, deleted; and answers without storage."""

import json
import os
import re
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from testing.command import (
    ASK_IN_THREAD,
    ASK_ONE_TURN,
    assert_answer,
    assert_not_saved,
    assert_refused,
    llamaberry,
    run_concurrently,
    signal_during_call,
    usage_error,
)
from testing.scripted_groq import Reply, Request, Scripted, ScriptedGroq, first, good_model, refine, synthesis
from testing.scripts import HANG


def test_a_thread_is_continued_listed_printed_and_deleted(scripted: Scripted, tmp_path: Path) -> None:
    """The second question sees the first, with its answer; only the owner can read the file, with any umask."""
    groq = scripted([first("41"), refine("42", "revise"), synthesis("It is 42."), first("43"), first("9")])
    old = os.umask(0)
    try:
        llamaberry("ask", "What is 6 x 7?", "--turns", "2", "--verify", "none", "--thread", "Sums")
    finally:
        os.umask(old)
    assert_answer(llamaberry("ask", "And one more?", *ASK_ONE_TURN[2:], "--thread", "Sums"), "43\n")
    assert [m["content"] for m in groq.requests[3].messages[1:3]] == ["What is 6 x 7?", "It is 42."]
    assert_answer(llamaberry("ask", "Something else", *ASK_ONE_TURN[2:]), "9\n")
    assert [(path.name, oct(path.stat().st_mode)) for path in tmp_path.iterdir()] == [("threads.sqlite", "0o100600")]
    history, one = (run.stdout for run in run_concurrently(("history",), ("history", "Sums")))
    listed = history.splitlines()
    assert re.fullmatch(r"\d{8}-\d{6}-\w{4} · [\d-]{10} [\d:]{5} · answered · Something else", listed[0])
    assert re.fullmatch(r"Sums · .* · answered · And one more\?", listed[1])
    assert one == llamaberry("show", "Sums", "--all").stdout
    lines = [line for line in one.splitlines() if not re.search("── (turn|synthesis)|^thread Sums", line)]
    assert lines == [
        "What is 6 x 7?",
        "│   └── 41",
        "│   └── [-41-] {+42+}",
        "    └── 42",
        "",
        "It is 42.",
        "",
        "And one more?",
        "    └── 43",
        "",
        "43",
        "",
    ]
    assert llamaberry("forget", "Sums").returncode == 0
    assert llamaberry("history").stdout.splitlines() == listed[:1]
    with closing(sqlite3.connect(tmp_path / "threads.sqlite")) as database:
        for table in ("checkpoints", "writes"):
            assert database.execute(f"SELECT count(*) FROM {table} WHERE thread_id = 'Sums'").fetchone() == (0,)


def test_resume_continues_the_newest_thread_with_its_settings(scripted: Scripted) -> None:
    """No finished call is repeated; another model may continue."""
    groq = scripted([first("old"), HANG, first("41"), HANG, refine("42", "revise"), synthesis("It is 42.")])
    words = ("--turns", "2", "--temperature", "0.25", "--max-tokens", "99", "--system-prompt", "Think.")
    signal_during_call(groq, 2, "ask", "An older one", "--thread", "Old")
    signal_during_call(groq, 4, "ask", "Q", *words, "--model", "groq:one", "--thread", "New")
    lines = llamaberry("history").stdout.splitlines()
    assert [line.split(" · ")[2] for line in lines] == ["interrupted", "interrupted"]
    assert "`llamaberry resume New`" in usage_error("ask", "Another", "--thread", "New")
    run = llamaberry("resume", "--model", "groq:two", "--json")
    state = json.loads(run.stdout)
    assert (run.returncode, state["query"], state["answer"]) == (0, "Q", "It is 42.")
    assert [(turn["answer"], turn["model"]) for turn in state["turns"]] == [("41", "groq:one"), ("42", "groq:two")]
    assert [message["content"] for message in state["messages"]] == ["Q", "It is 42."]
    for request, model in zip(groq.requests[2:], ["one", "one", "two", "two"], strict=True):
        body = request.body
        assert (body["model"], body["temperature"], body["max_tokens"]) == (model, 0.25, 99)
        assert body["messages"][0]["content"] == "Think."
    assert_refused(llamaberry("resume", "New"), "was not interrupted")


def test_resume_reads_the_settings_of_older_versions(scripted: Scripted, tmp_path: Path) -> None:
    groq = scripted([first("41"), HANG, refine("42", "revise"), synthesis("It is 42.")])
    signal_during_call(groq, 2, "ask", "Q", "--turns", "2", "--temperature", "0.25")
    with closing(sqlite3.connect(tmp_path / "threads.sqlite", isolation_level=None)) as threads:
        threads.execute("UPDATE checkpoints SET metadata = replace(metadata, '\"settings\"', '\"dials\"')")
        assert threads.execute("SELECT count(*) FROM checkpoints WHERE metadata LIKE '%dials%'").fetchone() != (0,)
    assert_answer(llamaberry("resume", "-q"), "It is 42.\n")
    assert groq.requests[2].body["temperature"] == 0.25


def test_ctrl_c_then_resume(scripted: Scripted) -> None:
    groq = scripted([first("41"), HANG, refine("42"), synthesis("It is 42.")])
    _, hint = signal_during_call(groq, 2, "ask", "Q", "--turns", "2", by=signal.SIGINT)
    name = re.fullmatch(r"llamaberry: `llamaberry resume (\S+)` continues from here\n", hint)
    assert name
    run = llamaberry("resume", name[1], "--show", "full")
    assert (run.returncode, run.stderr, len(groq.requests)) == (0, "", 4)
    turns = re.findall(r"^turn (\d) · (?:\w+ · )?(.+?) · [\d.]+ s · ", run.stdout, re.MULTILINE)
    assert turns == [("1", "41"), ("2", "41 → 42")]
    assert "It is 42." in run.stdout


def test_without_threads_each_command_says_so(groq: ScriptedGroq) -> None:
    resume, named, forget = run_concurrently(("resume",), ("resume", "Nobody"), ("forget", "Nobody"))
    assert_refused(resume, "no thread was interrupted")
    assert_refused(named, "'Nobody'")
    assert_refused(forget, "'Nobody'")


def test_a_run_killed_before_its_checkpoint_is_resumed(scripted: Scripted, tmp_path: Path) -> None:
    """The turn's writes are stored without a checkpoint after them: the run is interrupted, and no turn is lost."""
    groq = scripted([first("41"), HANG, refine("42", "revise"), synthesis("It is 42.")])
    signal_during_call(groq, 2, "ask", "6 x 7?", "--turns", "2")
    with closing(sqlite3.connect(tmp_path / "threads.sqlite", isolation_level=None)) as threads:
        threads.execute("DELETE FROM checkpoints WHERE checkpoint_id = (SELECT max(checkpoint_id) FROM checkpoints)")
    assert " · interrupted · " in llamaberry("history").stdout
    assert_answer(llamaberry("resume", "-q"), "It is 42.\n")
    assert len(groq.requests) == 4


@pytest.mark.parametrize("words", [("history",), ("show", "last"), ("forget", "T"), ("chat",)])
def test_another_database_is_refused_without_its_password(words: tuple[str, ...]) -> None:
    run = llamaberry(*words, LLAMABERRY_CHECKPOINTS="mysql://anna:sesame@host/db")
    assert_refused(run, "LLAMABERRY_CHECKPOINTS is mysql://…: set it to a file, postgresql://… or none")


def test_history_searches_limits_and_prints_json(scripted: Scripted) -> None:
    scripted([first("41"), first("42"), first("43")])
    for name in ("A", "B", "C"):
        llamaberry("ask", f"Question {name}?", "--thread", name, "--turns", "1")
    document, limited, found, missed, wrong = run_concurrently(
        ("history", "--json"),
        ("history", "--limit", "1"),
        ("history", "--search", "question b"),
        ("history", "--search", "question d"),
        ("history", "A", "--json"),
    )
    rows = json.loads(document.stdout)["threads"]
    assert [(row["thread"], row["question"], row["answer"], row["status"]) for row in rows] == [
        ("C", "Question C?", "43", "answered"),
        ("B", "Question B?", "42", "answered"),
        ("A", "Question A?", "41", "answered"),
    ]
    assert [run.stdout[:2] for run in (limited, found)] == ["C ", "B "]
    assert "no thread has 'question d' in its name" in missed.stderr
    assert "are for the list" in wrong.stderr


def test_continue_asks_on_the_newest_thread(scripted: Scripted) -> None:
    groq = scripted([first(), first(), first()])
    for words in (("Old?", "--thread", "A"), ("New?", "--thread", "B"), ("And then?", "-c")):
        assert llamaberry("ask", *words, "--turns", "1").returncode == 0
    asked = [message["content"] for message in groq.requests[2].messages if message["role"] == "user"]
    assert asked[0] == "New?"
    assert asked[1].startswith("And then?")


def test_an_interrupted_first_turn_hides_the_previous_answer(scripted: Scripted) -> None:
    """A third question may replace the second."""
    groq = scripted([first("old answer"), HANG, HANG, first("new answer")])
    words = ("--turns", "1", "--thread", "T", "--show", "full")
    llamaberry("ask", "First?", *words)
    outputs = [signal_during_call(groq, 2, "ask", "Second?", *words, by=signal.SIGINT)[0]]
    outputs += llamaberry("history", "T").stdout.split("Second?\n")[1:]
    outputs += [signal_during_call(groq, 3, "resume", "T", by=signal.SIGINT)[0]]
    assert ["old answer" in text for text in outputs] == [False, False, False]
    assert_answer(llamaberry(*ASK_IN_THREAD), "new answer\n")


def test_a_lost_turn_exits_with_3_unless_accepted(scripted: Scripted) -> None:
    scripted(lambda request: Reply(status=400) if len(request.messages) > 2 else good_model(request))
    ask = ("ask", "Q", "--quiet")
    codes = [
        run.returncode
        for run in run_concurrently(ask, (*ask, "--accept-degraded"), (*ASK_ONE_TURN, "--accept-degraded"))
    ]
    assert codes == [3, 0, 0]


def test_checkpoints_can_be_a_file_or_none(groq: ScriptedGroq, tmp_path: Path) -> None:
    assert_answer(llamaberry(*ASK_ONE_TURN, LLAMABERRY_CHECKPOINTS=str(tmp_path / "elsewhere" / "mine.db")))
    assert (tmp_path / "elsewhere" / "mine.db").stat().st_size > 0
    words = (ASK_ONE_TURN, ("history",), ("history", "T"), ("forget", "T"))
    answer, *others = run_concurrently(*words, LLAMABERRY_CHECKPOINTS="none")
    assert_answer(answer)
    for run in others:
        assert_refused(run)
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]


def test_two_questions_at_once_share_a_new_database(groq: ScriptedGroq) -> None:
    for run in run_concurrently(ASK_ONE_TURN, ASK_ONE_TURN):
        assert_answer(run)
    assert llamaberry("history").stdout.count(" · answered · Q") == 2


def damage(path: Path, how: str) -> None:
    """Write a file that is not a database, one that is valid only in its first page, or another program's."""
    if how == "no database":
        path.write_bytes(b"not a database" * 500)
    elif how == "another's":
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE checkpoints (mine)")
    else:
        assert_answer(llamaberry(*ASK_IN_THREAD))
        path.write_bytes(path.read_bytes()[:4096] + b"\x5a" * 40_960)


@pytest.mark.parametrize(
    ("how", "words"), [("no database", ASK_IN_THREAD), ("half of it", ("history",)), ("another's", ASK_IN_THREAD)]
)
def test_a_damaged_database_does_not_cost_the_answer(groq: object, tmp_path: Path, how: str, words: Any) -> None:
    damage(path := tmp_path / "threads.sqlite", how)
    answer, other = run_concurrently(ASK_ONE_TURN, words)
    assert_not_saved(answer, str(path))
    assert_refused(other, str(path))


def lock(path: Path) -> sqlite3.Connection:
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    return other


def test_a_locked_database_does_not_cost_the_answer(groq: ScriptedGroq, tmp_path: Path) -> None:
    assert_answer(llamaberry(*ASK_ONE_TURN))
    with closing(lock(tmp_path / "threads.sqlite")):
        answer, other = run_concurrently(ASK_ONE_TURN, ASK_IN_THREAD)
    assert_not_saved(answer, "locked")
    assert_refused(other, "locked")
    assert "damaged" not in answer.stderr + other.stderr  # nobody should move it away


def test_a_database_locked_during_a_run_does_not_cost_the_answer(scripted: Scripted, tmp_path: Path) -> None:
    locks: list[sqlite3.Connection] = []

    def script(request: Request) -> str:
        if len(request.messages) == 4 and not locks:
            locks.append(lock(tmp_path / "threads.sqlite"))
        return good_model(request)

    scripted(script)
    run = llamaberry("ask", "Q", "--quiet", "--turns", "2")
    locks[0].close()
    assert (run.returncode, run.stdout) == (0, "The answer is 42.\n"), run.stderr[-300:]
    assert re.fullmatch(r"llamaberry: .*locked.*\n", run.stderr)


def test_an_unwritable_location_does_not_cost_the_answer(groq: ScriptedGroq, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_not_saved(llamaberry(*ASK_ONE_TURN, LLAMABERRY_CHECKPOINTS=str(tmp_path)), str(tmp_path))
    answer, other = run_concurrently(ASK_ONE_TURN, ASK_IN_THREAD, LLAMABERRY_HOME=str(tmp_path / "file"))
    assert_not_saved(answer, str(tmp_path / "file"))
    assert_refused(other, str(tmp_path / "file"))


@pytest.mark.parametrize("question", ["", "  "])
def test_a_refused_question_leaves_no_thread(groq: ScriptedGroq, question: str) -> None:
    """Nor an interrupted one, which `resume` would choose."""
    assert_refused(llamaberry("ask", question), "blank")
    assert llamaberry("history").stdout == ""
    assert_refused(llamaberry("resume"), "no thread was interrupted")


def test_a_refused_question_does_not_spoil_its_thread(groq: ScriptedGroq) -> None:
    assert_refused(llamaberry("ask", "", "--thread", "T"), "blank")
    assert_answer(llamaberry(*ASK_IN_THREAD))
    assert "T · " in llamaberry("history").stdout
    assert llamaberry("forget", "T").returncode == 0
