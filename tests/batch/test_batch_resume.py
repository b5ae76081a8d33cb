"""`llamaberry batch` interrupted at any moment: the same command resumes, and each question has one line."""

import re
import signal
from collections import Counter
from pathlib import Path

import pytest

from testing.batch import answered_ids, read_lines, run_batch, write_questions
from testing.command import kill_when, running_command, usage_error, wait_until
from testing.scripted_groq import Reply, Request, Scripted, good_model
from testing.scripts import count_calls, hanging_once

MANY = [f"q{number:03}" for number in range(200)]


def test_a_killed_batch_resumes_and_repeats_no_answer(scripted: Scripted, tmp_path: Path) -> None:
    """An incomplete line is dropped. Only the questions that were running are asked again."""
    groq = scripted(lambda request: Reply(good_model(request), delay=0.02))
    source, out = write_questions(tmp_path, *MANY), tmp_path / "out.jsonl"
    words = ("--turns", "1", "--concurrency", "8")
    answered: Counter[str] = Counter()
    for count in (60, 130):
        kill_when(groq, ["batch", source, str(out), *words], lambda count=count: len(read_lines(out)) >= count)
        before = out.read_bytes()
        answered = Counter(answered_ids(out))
        assert count <= answered.total() == len(answered) < 200
        with out.open("ab") as file:
            file.write(b'{"line": 200, "id": "q1')
        groq.requests.clear()
    run_batch(source, out, *words)
    assert out.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    assert answered_ids(out) == MANY
    names = {name for name, _ in count_calls(groq)}
    assert names == set(MANY) - set(answered)
    assert count_calls(groq).total() == len(names)


def test_a_second_process_on_the_same_file_is_refused(scripted: Scripted, tmp_path: Path) -> None:
    groq, source, out = scripted(hanging_once(("Q", "turn 1"))), write_questions(tmp_path, "Q"), tmp_path / "out.jsonl"
    command = ("batch", source, str(out), "--turns", "1")
    with running_command(*command):
        wait_until(lambda: groq.open_requests == 1)
        assert "in use" in usage_error(*command)
    assert len(groq.requests) == 1
    groq.wait(0)
    run_batch(source, out, "--turns", "1")
    assert answered_ids(out) == ["Q"]


def other_name(out: Path, kind: str) -> Path:
    """Return another name of OUT; the file may not exist yet."""
    other = out.with_name("other.jsonl")
    if kind == "hard link":
        other.hardlink_to(out)
    elif kind == "folder":
        other = out.parent / "link" / out.name
        other.parent.symlink_to(out.parent)
    else:
        other.symlink_to(out)
    return other


@pytest.mark.parametrize("kind", ["symlink", "hard link", "folder"])
@pytest.mark.parametrize("retry", [False, True])
def test_the_same_file_under_another_name_is_refused(
    scripted: Scripted, tmp_path: Path, kind: str, retry: bool
) -> None:
    """Also after the file was replaced, without the questions that failed."""
    groq, source, out = (
        scripted(hanging_once(("Q", "turn 1"))),
        write_questions(tmp_path, *"PQ"),
        tmp_path / "out.jsonl",
    )
    words = ("--turns", "1", "--concurrency", "1", *(["--retry-errors"] if retry else []))
    if retry:
        out.write_text('{"line": 1, "id": "P", "question": "P", "error": "It failed."}\n')
    with running_command("batch", source, str(out), *words):
        wait_until(lambda: groq.open_requests == 1 and len(groq.requests) == 2)
        assert "in use" in usage_error("batch", source, str(other_name(out, kind)), *words)
    assert len(groq.requests) == 2


def test_retrying_keeps_a_link_to_the_answers(scripted: Scripted, tmp_path: Path) -> None:
    scripted([Reply(status=400)])
    source, out, link = write_questions(tmp_path, "Q"), tmp_path / "out.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(out)
    run_batch(source, link, "--turns", "1", code=1)
    scripted()
    run_batch(source, link, "--turns", "1", "--retry-errors")
    assert (link.is_symlink(), [line["answer"] for line in read_lines(out)]) == (True, ["42"])


def test_ctrl_c_exits_with_130_and_prints_how_to_resume(scripted: Scripted, tmp_path: Path) -> None:
    groq, source, out = (
        scripted(hanging_once(("P", "turn 2"))),
        write_questions(tmp_path, *"OP"),
        tmp_path / "out.jsonl",
    )
    with running_command("batch", source, str(out), "--turns", "2", "--concurrency", "1") as run:
        wait_until(lambda: groq.open_requests == 1 and ("P", "turn 2") in count_calls(groq))
        run.send_signal(signal.SIGINT)
        stdout, stderr = run.communicate(timeout=20)
    assert (run.returncode, stdout) == (130, "")
    assert re.fullmatch(r"llamaberry: .*goes on.*\n", stderr)
    run_batch(source, out, "--turns", "2")
    assert answered_ids(out) == ["O", "P"]
    assert count_calls(groq)["O", "turn 1"] == 1


@pytest.mark.parametrize("keep", [True, False])
def test_a_killed_batch_keeps_the_turns_of_unfinished_runs(scripted: Scripted, tmp_path: Path, keep: bool) -> None:
    """At the end, only OUT and its lock are left."""
    hung_calls = [("P", "turn 2"), ("Q", "synthesis")]
    groq, source, out = (
        scripted(hanging_once(*hung_calls)),
        write_questions(tmp_path, *"PQR"),
        tmp_path / "out" / "out.jsonl",
    )
    words = ("--turns", "2", *([] if keep else ["--no-keep-turns"]))
    kill_when(
        groq,
        ["batch", source, str(out), *words],
        lambda: answered_ids(out) == ["R"] and set(hung_calls) <= count_calls(groq).keys(),
    )
    run_batch(source, out, *words)
    assert answered_ids(out) == ["P", "Q", "R"]
    assert all((line["turns"], line["stop_reason"]) == (2, "max_turns") for line in read_lines(out))
    needed = Counter((name, step) for name in "PQR" for step in ("turn 1", "turn 2", "synthesis"))
    repeated = Counter([("P", "turn 1"), ("Q", "turn 1"), ("Q", "turn 2")] if not keep else [])
    assert count_calls(groq) == needed + Counter(hung_calls) + repeated
    assert sorted(path.name for path in out.parent.iterdir()) == ["out.jsonl"]


def test_an_answer_that_was_not_written_needs_no_second_call(scripted: Scripted, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"

    def script(request: Request) -> str:
        out.mkdir(exist_ok=True)  # nothing can be written there
        return good_model(request)

    groq, source = scripted(script), write_questions(tmp_path, "Q")
    error = usage_error("batch", source, str(out), "--turns", "1", "--keep-turns")
    assert "run the same command again" in error
    out.rmdir()
    groq.play()
    (line,) = run_batch(source, out, "--turns", "1", "--keep-turns")
    assert (line["answer"], groq.requests) == ("42", [])
