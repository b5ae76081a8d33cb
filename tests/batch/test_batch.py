"""`llamaberry batch` as a user runs it: a line for each question, even if some fail."""

from collections import Counter
from pathlib import Path

import pytest

from testing.batch import answered_ids, read_lines, run_batch, write_questions
from testing.command import assert_refused, llamaberry, run_concurrently, run_in_terminal, usage_error
from testing.scripted_groq import Reply, Request, Scripted, ScriptedGroq, first, good_model, refine, synthesis
from testing.scripts import count_calls, failing_calls

KEYS = ["line", "id", "question", "answer", "concise_answer", "stop_reason", "degraded", "check", "turns"]
KEYS += ["model", "usage"]


def test_each_question_gets_a_line_with_answer_and_usage(scripted: Scripted, tmp_path: Path) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010}
    usage["prompt_tokens_details"] = {"cached_tokens": 900}  # type: ignore[assignment]
    texts = (first("41"), refine("42", "revise"), synthesis("It is 42.", "42"))
    groq, out = scripted([Reply(text, usage=usage) for text in texts]), tmp_path / "new" / "out.jsonl"
    (line,) = run_batch(
        write_questions(tmp_path, "Q"),
        out,
        "--turns",
        "2",
        "--model",
        "groq:other",
        "--temperature",
        "0.25",
        "--verify",
        "none",
    )
    assert list(line) == KEYS
    assert 0 < line["usage"].pop("seconds") < 60
    assert line == {
        "line": 1,
        "id": "Q",
        "question": "Q",
        "answer": "It is 42.",
        "concise_answer": "42",
        "stop_reason": "max_turns",
        "degraded": None,
        "check": None,
        "turns": 2,
        "model": "groq:other",
        "usage": {
            "calls": 3,
            "input_tokens": 3000,
            "cached_tokens": 2700,
            "output_tokens": 30,
            "reasoning_tokens": 0,
            "total_tokens": 3030,
            "cost_usd": None,
        },
    }
    assert groq.requests[0].body["temperature"] == 0.25


def test_the_last_line_has_tokens_and_cost_of_all_of_out(scripted: Scripted, tmp_path: Path) -> None:
    """Also of the answers that an earlier run has written."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010}
    out = tmp_path / "out.jsonl"
    for names in (["A"], ["A", "B"]):
        scripted([Reply(first(), usage=usage)])
        run = llamaberry("batch", write_questions(tmp_path, *names), str(out), "--turns", "1")
    assert run.stdout == f"{out}: 2 answered, 2,020 tokens, $0.000312\n"


def test_an_invalid_line_is_reported_and_skipped(groq: ScriptedGroq, tmp_path: Path) -> None:
    """An id may be a number, or missing; a blank line is ignored. A second run reports the same."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    content = b'\xef\xbb\xbf{"question": "P", "id": 7}\n\n{"question": " "}\n{"id": "x"}\nnot JSON\n["Q"]\n\xff\n'
    source.write_bytes(content + '{"question": "Wie heißt du?"}'.encode())
    for _ in range(2):
        run = llamaberry("batch", str(source), str(out), "--turns", "1")
        assert run.returncode == 3
        assert run.stdout.startswith(f"{out}: 2 answered, ")
        errors = run.stderr.splitlines()
        assert [line.split(": ")[1] for line in errors] == [f"{source}, line {n}" for n in (3, 4, 5, 6, 7)]
        for word, line in zip(("question", "question", "JSON", "object", "UTF-8"), errors, strict=True):
            assert word in line
    assert sorted((line["line"], line["id"], line["question"]) for line in read_lines(out)) == [
        (1, "7", "P"),
        (8, "8", "Wie heißt du?"),
    ]
    assert "heißt" in out.read_text(encoding="utf-8")
    assert len(groq.requests) == 2
    assert llamaberry("batch", str(source), str(out), "--accept-degraded").returncode == 0


def test_retry_errors_asks_only_failed_questions_again(scripted: Scripted, tmp_path: Path) -> None:
    """A failed first turn leaves no answer; a later failure keeps the turns before it."""
    groq, source, out = (
        scripted(failing_calls(("P", "turn 1"), ("Q", "turn 2"))),
        write_questions(tmp_path, *"PQR"),
        tmp_path / "out.jsonl",
    )
    lines_by_id = {line["id"]: line for line in run_batch(source, out, "--turns", "2", code=3)}
    assert list(lines_by_id["P"]) == ["line", "id", "question", "error"]
    assert "400" in lines_by_id["P"]["error"]
    assert (lines_by_id["Q"]["answer"], lines_by_id["Q"]["stop_reason"], lines_by_id["Q"]["turns"]) == (
        "42",
        "error",
        1,
    )
    assert "400" in lines_by_id["Q"]["degraded"]
    before = out.read_bytes()
    groq.play()
    run = llamaberry("batch", source, str(out), "--turns", "2")
    assert run.stdout.startswith(f"{out}: 1 answered, 1 degraded, 1 failed, ")
    assert (out.read_bytes(), groq.requests) == (before, [])
    again = {line["id"]: line for line in run_batch(source, out, "--turns", "2", "--retry-errors")}
    steps = ("turn 1", "turn 2", "synthesis")
    assert count_calls(groq) == Counter((name, step) for name in "PQ" for step in steps)
    assert again["R"] == lines_by_id["R"]
    assert {name: line["stop_reason"] for name, line in again.items()} == dict.fromkeys("PQR", "max_turns")
    assert len(read_lines(out)) == 3


def test_many_failures_in_a_row_stop_the_batch(scripted: Scripted, tmp_path: Path) -> None:
    """As with a refused key: the remaining questions would fail, too."""
    refusing = Reply(status=401, error="Invalid API Key")
    groq, source, out = (
        scripted(lambda _: refusing),
        write_questions(tmp_path, *map(str, range(150))),
        tmp_path / "out.jsonl",
    )
    run = llamaberry("batch", source, str(out), "--turns", "1", "--concurrency", "4")
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (1, "", 1)
    assert all(word in run.stderr for word in ("100 questions", "GROQ_API_KEY", "--retry-errors"))
    assert 100 == len(read_lines(out)) <= len(groq.requests) < 110
    groq.play()
    run_batch(source, out, "--turns", "1", "--retry-errors")
    assert answered_ids(out) == sorted(map(str, range(150)))
    assert len(groq.requests) == 150


def test_exits_with_1_if_no_question_was_answered(scripted: Scripted, tmp_path: Path) -> None:
    scripted([Reply(status=400)])
    run_batch(write_questions(tmp_path, "P"), tmp_path / "out.jsonl", code=1)


def test_shards_split_the_questions(groq: ScriptedGroq, tmp_path: Path) -> None:
    names = [f"q{number}" for number in range(20)]
    source = write_questions(tmp_path, *names)
    outs = [tmp_path / f"out-{number}.jsonl" for number in (1, 2, 3)]
    runs = run_concurrently(
        *(("batch", source, str(out), "--turns", "1", "--shard", f"{n}/3") for n, out in enumerate(outs, 1))
    )
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert sorted(name for out in outs for name in answered_ids(out)) == sorted(names)
    assert [{line["line"] % 3 for line in read_lines(out)} for out in outs] == [{1}, {2}, {0}]
    assert len(groq.requests) == 20


def test_concurrency_limits_the_runs_at_once(scripted: Scripted, tmp_path: Path) -> None:
    peak = 0

    def script(request: Request) -> Reply:
        nonlocal peak
        peak = max(peak, groq.open_requests)
        return Reply(good_model(request), delay=0.05)

    groq = scripted(script)
    run_batch(
        write_questions(tmp_path, *map(str, range(20))), tmp_path / "out.jsonl", "--turns", "1", "--concurrency", "5"
    )
    assert 2 <= peak <= 5


def test_a_terminal_shows_progress(groq: ScriptedGroq, tmp_path: Path) -> None:
    source, out = write_questions(tmp_path, *"PQR"), tmp_path / "out.jsonl"
    run_batch(source, out, "--turns", "1", "--shard", "1/3")
    assert "3/3" in run_in_terminal("batch", source, str(out), "--turns", "1")
    assert len(groq.requests) == 3


def test_invalid_arguments_fail_before_any_call(groq: ScriptedGroq, tmp_path: Path) -> None:
    source = write_questions(tmp_path, "Q")
    out, foreign, letter = (str(tmp_path / name) for name in ("out.jsonl", "foreign.jsonl", "letter.txt"))
    Path(foreign).write_text('{"line": 1}\n')
    Path(letter).write_text("Dear Sir")
    errors = {
        (source, source): "holds the questions",
        (str(tmp_path), out): "is not a file",
        (str(tmp_path / "none.jsonl"), out): "is not a file",
        (source, foreign): "line 1",
        (source, letter): "line 1",
        (source, f"{source}/out.jsonl"): "cannot be created",
        (source, out, "--shard", "3/2"): "3/2",
        (source, out, "--shard", "0/2"): "0/2",
        (source, out, "--shard", "two"): "two",
        (source, out, "--temperature", "9"): "--temperature 9",
        (source, out, "--concurrency", "0"): "--concurrency",
        (source, out, "--model", "groq:"): "names no model",
    }
    for run, word in zip(run_concurrently(*(("batch", *words) for words in errors)), errors.values(), strict=True):
        assert_refused(run, word)
    assert "GROQ_API_KEY" in usage_error("batch", source, out, GROQ_API_KEY="")
    assert (groq.requests, Path(out).exists()) == ([], False)
    assert (Path(foreign).read_text(), Path(letter).read_text()) == ('{"line": 1}\n', "Dear Sir")


@pytest.mark.parametrize("changed", ["another question", "another id"])
def test_a_changed_line_that_was_answered_is_refused(groq: ScriptedGroq, tmp_path: Path, changed: str) -> None:
    """A line that was added is answered."""
    source, out = write_questions(tmp_path, "P", "Q"), tmp_path / "out.jsonl"
    run_batch(source, out, "--turns", "1")
    write_questions(tmp_path, "P", "Q", "R")
    run_batch(source, out, "--turns", "1")
    assert (answered_ids(out), len(groq.requests)) == (["P", "Q", "R"], 3)
    text = Path(source).read_text()
    old, new = ('"question": "Q"', '"question": "S"') if changed == "another question" else ('"id": "Q"', '"id": "S"')
    Path(source).write_text(text.replace(old, new))
    assert "another question as line 2" in usage_error("batch", source, str(out), "--turns", "1")
    assert len(groq.requests) == 3
