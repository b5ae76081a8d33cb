"""Questions from a file and from reasoning-gym, and the messages for invalid lines."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from llamaberry.evaluation.data import Case, generate, read_file
from llamaberry.graph.errors import SetupError
from testing.command import usage_error
from testing.evaluation import needs_suite
from testing.scripted_groq import Scripted, ScriptedGroq

GOOD = b'{"question": "What is 6 x 7?", "answer": "42"}'


def write(folder: Path, *lines: bytes, end: bytes = b"\n") -> Path:
    path = folder / "own.jsonl"
    path.write_bytes(end.join(lines))
    return path


def row(**more: Any) -> bytes:
    return json.dumps({"question": "Q", "answer": "42", **more}).encode()


def right(case: Case, answer: str) -> bool:
    assert case.check
    return case.check(answer)


BAD = {
    b"no JSON": "Invalid JSON",
    b'{"question": "Q", "answer"': "Invalid JSON",
    b'{"question": "\xff", "answer": "1"}': "UTF-8",
    "ÿ".encode("utf-16"): "UTF-8",
    b"[" * 100_000: "recursion limit",
    b'["Q", "1"]': "should be an object",
    b"null": "should be an object",
    b'{"question": "Q"}': "answer: ",
    b'{"answer": "1"}': "question: ",
    row(question=" \n"): "question: ",
    row(question="Q" * 200_001): "question: ",
    row(answer=""): "answer: ",
    row(answer=None): "answer: ",
    row(answer=True): "answer: ",
    row(answer=["42"]): "answer: ",
    b'{"question": "Q", "answer": %b}' % (b"9" * 5000): "out of range",
    row(id="same"): "'same'",
    row(id=" "): "id: ",
    row(checker="regex"): "checker: ",
    row(tolerance=-1): "tolerance: ",
    b'{"question": "Q", "answer": "1", "tolerance": Infinity}': "tolerance: ",
    row(answer="Paris", checker="number"): "'Paris' contains no number",
    row(answer="Paris", checker="choice"): "'Paris' contains no choice",
}


@pytest.mark.parametrize(("line", "message"), BAD.items(), ids=list(BAD.values()))
def test_an_invalid_line_is_reported_and_skipped(tmp_path: Path, line: bytes, message: str) -> None:
    data = read_file(write(tmp_path, row(id="same"), b"", line, GOOD))
    assert [case.id for case in data.cases] == ["same", "4"]
    (report,) = data.invalid
    assert report.startswith("line 3: ")
    assert message in report
    assert "\n" not in report


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n \n"])
def test_any_line_ending_and_a_byte_order_mark_are_read(tmp_path: Path, end: bytes) -> None:
    for mark in (b"", b"\xef\xbb\xbf"):
        data = read_file(write(tmp_path, mark + GOOD, GOOD, b"", end=end))
        assert [(case.question, case.expected) for case in data.cases] == [("What is 6 x 7?", "42")] * 2
        assert data.invalid == []


def test_only_a_newline_ends_a_line(tmp_path: Path) -> None:
    """JSON allows these separators in a text; str.splitlines would split there."""
    text = "one\u2028two\u2029three\u0085four"
    (case,) = read_file(
        write(tmp_path, json.dumps({"question": text, "answer": "1"}, ensure_ascii=False).encode())
    ).cases
    assert case.question == text
    assert len(read_file(write(tmp_path, GOOD.replace(b": ", b":\r"))).cases) == 1


def test_the_answer_decides_the_checker(tmp_path: Path) -> None:
    rows = [row(answer=42), row(answer=4.5), row(answer="B"), row(answer="Paris"), row(answer="42", checker="exact")]
    rows += [row(answer="3", tolerance=0.5), row(answer=7, id=12), row(note="unknown key", answer="x")]
    data = read_file(write(tmp_path, *rows))
    assert [case.id for case in data.cases] == ["1", "2", "3", "4", "5", "6", "12", "8"]
    assert data.invalid == []
    whole, part, letter, word, exact, near, *_ = data.cases
    assert right(whole, "6 x 7 = 42")
    assert right(part, "4.50")
    assert right(letter, "The answer is (b).")
    assert right(word, "**paris**.")
    assert not right(exact, "6 x 7 = 42")
    assert right(near, "3.4")
    assert not right(near, "3.6")


def test_a_limit_takes_the_first_rows_and_keeps_the_settings(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, GOOD, GOOD)
    limited = read_file(path, limit=2)
    assert [case.id for case in limited.cases] == ["1", "2"]
    assert limited.settings == read_file(path).settings


def test_an_edited_file_has_other_settings(tmp_path: Path) -> None:
    before = read_file(write(tmp_path, GOOD)).settings
    assert read_file(write(tmp_path, GOOD, GOOD)).settings != before


def test_a_file_without_questions_is_refused(groq: ScriptedGroq, tmp_path: Path) -> None:
    assert "nothing.jsonl" in usage_error("eval", str(tmp_path / "nothing.jsonl"))
    assert "cannot be read" in usage_error("eval", str(tmp_path))
    assert "contains no question" in usage_error("eval", str(write(tmp_path, b"")))
    error = usage_error("eval", str(write(tmp_path, b"oops")), "--out", str(tmp_path / "out"))
    assert "contains no question" in error
    assert "line 1: Invalid JSON" in error
    assert (groq.requests, (tmp_path / "out").exists()) == ([], False)


def test_a_row_with_checker_judge_needs_a_judge(groq: ScriptedGroq, tmp_path: Path) -> None:
    path = write(tmp_path, row(checker="judge"), row(), row(checker="exact"))
    error = usage_error("eval", str(path), "--out", str(tmp_path / "out"))
    assert "line 1" in error
    assert "--judge MODEL" in error
    assert groq.requests == []


def test_with_a_judge_rows_without_a_checker_are_judged(tmp_path: Path) -> None:
    path = write(tmp_path, row(checker="judge"), row(), row(checker="exact"))
    assert [case.check is None for case in read_file(path, judged=True).cases] == [True, True, False]


@needs_suite
def test_only_the_same_seed_gives_the_same_questions() -> None:
    tasks = ["leg_counting", "syllogism"]

    def cases(size: int, seed: int) -> list[tuple[str, str, str, str]]:
        return [case[:4] for case in generate(tasks, size=size, seed=seed).cases]

    assert cases(3, 0) == cases(3, 0) == cases(5, 0)[:6]
    assert not {question for *_, question, _ in cases(3, 0)} & {question for *_, question, _ in cases(3, 1)}
    assert [(id, task) for id, task, *_ in cases(2, 7)] == [
        ("leg_counting-7-0", "leg_counting"),
        ("syllogism-7-0", "syllogism"),
        ("leg_counting-7-1", "leg_counting"),
        ("syllogism-7-1", "syllogism"),
    ]


def only(task: str) -> Case:
    return generate([task], size=1, seed=0).cases[0]


@needs_suite
def test_a_generated_question_accepts_any_form_of_its_answer() -> None:
    legs, yes = only("leg_counting"), only("syllogism")
    assert all(right(legs, form.format(legs.expected)) for form in ("{}", "{} legs", "**{}**.", "1 + 1 = {} legs"))
    assert not right(legs, str(int(legs.expected) + 1))
    assert all(right(yes, form.format(yes.expected)) for form in ("{}", "**{}**.", "`{}`"))
    assert not right(yes, {"Yes": "No", "No": "Yes"}[yes.expected])
    assert not right(yes, "")


@needs_suite
def test_any_of_several_right_answers_is_right() -> None:
    """A countdown has several solutions, each in several forms."""
    case = only("countdown")
    assert all(right(case, form.format(case.expected)) for form in ("{}", "**{}**", "`{}`", "(({}))"))
    assert not right(case, f"{case.expected} + 1 - 1")


@needs_suite
@pytest.mark.parametrize("task", ["graph_color", "rubiks_cube"])
def test_no_answer_is_wrong_if_the_suite_names_none(task: str) -> None:
    case = only(task)
    assert case.expected == ""
    assert not right(case, "None")
    assert not right(case, "")


@needs_suite
def test_a_verifier_that_accepts_everything_is_ignored() -> None:
    case = only("game_of_life_halting")
    assert right(case, f"**{case.expected}**")
    assert not right(case, "I do not know")


@needs_suite
@pytest.mark.parametrize("task", ["prime_factorization", "game_of_life", "countdown", "leg_counting"])
@pytest.mark.parametrize("answer", ["", "foo", "(((", "{}", "1/0", "\0", "\ud800", "9" * 30_000])
def test_a_malformed_answer_is_wrong(task: str, answer: str) -> None:
    assert not right(only(task), answer)


CODE = [
    "open({!r}, 'w')",
    "[open][0]({!r}, 'w')",
    "(open)({!r}, 'w')",
    "open\\\n({!r}, 'w')",
    "(open # \n({!r}, 'w'))",
    "ｏｐｅｎ({!r}, 'w')",
    "[c for c in [open({!r}, 'w')]]",
]
ENDLESS = ["9**9**9", "99999999!", "9**99999999", "'a' * 99999999999", "[1] * 99999999999", "1 << 99999999999"]


@needs_suite
@pytest.mark.parametrize("task", ["countdown", "spiral_matrix", "string_insertion"])
@pytest.mark.parametrize("answer", CODE + ENDLESS)
def test_code_in_an_answer_is_never_run(tmp_path: Path, task: str, answer: str) -> None:
    """Some of the suite's verifiers evaluate answers as Python."""
    assert not right(only(task), answer.format(str(tmp_path / "written")))
    assert list(tmp_path.iterdir()) == []


@needs_suite
def test_an_unknown_task_is_refused_with_similar_names(groq: ScriptedGroq, tmp_path: Path) -> None:
    assert "leg_counting" in usage_error("eval", "--suite", "syllogism,leg_countin", "--out", str(tmp_path / "out"))
    for task in ("", "composite"):
        with pytest.raises(SetupError, match=re.escape(repr(task))):
            generate([task], size=1, seed=0)
    assert (groq.requests, list(tmp_path.iterdir())) == ([], [])


def test_a_suite_without_the_extra_says_what_to_install(scripted: Scripted, tmp_path: Path) -> None:
    (tmp_path / "reasoning_gym").mkdir()
    (tmp_path / "reasoning_gym" / "__init__.py").write_text("raise ImportError('it is not installed')")
    scripted()
    error = usage_error("eval", "--suite", "leg_counting", "--out", str(tmp_path / "out"), PYTHONPATH=str(tmp_path))
    assert 'pip install "llamaberry[eval]"' in error
