"""The questions of an evaluation: what a file may hold, and what is told of the lines that are none."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from llamaberry.evaluation.data import Case, generate, read_file
from llamaberry.graph.errors import SetupError
from testing.command import mistake
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
    b"no JSON": "not JSON",
    b'{"question": "Q", "answer"': "not JSON",
    b'{"question": "\xff", "answer": "1"}': "UTF-8",
    "ÿ".encode("utf-16"): "UTF-8",
    b"[" * 100_000: "nested",
    b'["Q", "1"]': "not a JSON object",
    b"null": "not a JSON object",
    b'{"question": "Q"}': "answer: ",
    b'{"answer": "1"}': "question: ",
    row(question=" \n"): "question: ",
    row(question="Q" * 200_001): "question: ",
    row(answer=""): "answer: ",
    row(answer=None): "answer: ",
    row(answer=True): "answer: ",
    row(answer=["42"]): "answer: ",
    b'{"question": "Q", "answer": %b}' % (b"9" * 5000): "4300",
    row(id="same"): "'same'",
    row(id=" "): "id: ",
    row(checker="regex"): "checker: ",
    row(tolerance=-1): "tolerance: ",
    b'{"question": "Q", "answer": "1", "tolerance": Infinity}': "tolerance: ",
    row(answer="Paris", checker="number"): "'Paris' holds no number",
    row(answer="Paris", checker="choice"): "'Paris' holds no choice",
}


@pytest.mark.parametrize(("line", "told"), BAD.items(), ids=list(BAD.values()))
def test_a_bad_line_is_told_with_its_number_and_the_rest_goes_on(tmp_path: Path, line: bytes, told: str) -> None:
    data = read_file(write(tmp_path, row(id="same"), b"", line, GOOD))
    assert [case.id for case in data.cases] == ["same", "4"]
    (bad,) = data.bad
    assert bad.startswith("line 3: ")
    assert told in bad
    assert "\n" not in bad


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n \n"])
def test_lines_of_any_system_are_read_with_a_byte_order_mark_or_without(tmp_path: Path, end: bytes) -> None:
    for mark in (b"", b"\xef\xbb\xbf"):
        data = read_file(write(tmp_path, mark + GOOD, GOOD, b"", end=end))
        assert [(case.question, case.expected) for case in data.cases] == [("What is 6 x 7?", "42")] * 2
        assert data.bad == []


def test_no_sign_within_a_text_ends_a_line(tmp_path: Path) -> None:
    """JSON allows them as they are; Python's own splitlines does not."""
    text = "one\u2028two\u2029three\u0085four"
    (case,) = read_file(
        write(tmp_path, json.dumps({"question": text, "answer": "1"}, ensure_ascii=False).encode())
    ).cases
    assert case.question == text
    assert len(read_file(write(tmp_path, GOOD.replace(b": ", b":\r"))).cases) == 1


def test_the_answer_may_be_a_number_and_decides_how_it_is_checked(tmp_path: Path) -> None:
    rows = [row(answer=42), row(answer=4.5), row(answer="B"), row(answer="Paris"), row(answer="42", checker="exact")]
    rows += [row(answer="3", tolerance=0.5), row(answer=7, id=12), row(note="not ours", answer="x")]
    data = read_file(write(tmp_path, *rows))
    assert [case.id for case in data.cases] == ["1", "2", "3", "4", "5", "6", "12", "8"]
    assert data.bad == []
    whole, part, letter, word, exact, near, *_ = data.cases
    assert right(whole, "6 x 7 = 42")
    assert right(part, "4.50")
    assert right(letter, "The answer is (b).")
    assert right(word, "**paris**.")
    assert not right(exact, "6 x 7 = 42")
    assert right(near, "3.4")
    assert not right(near, "3.6")


def test_a_limit_takes_the_first_and_keeps_the_data_the_same(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, GOOD, GOOD)
    all_of_it, two = read_file(path), read_file(path, limit=2)
    assert [case.id for case in two.cases] == ["1", "2"]
    assert two.settings == all_of_it.settings


def test_the_settings_tell_a_file_from_an_edited_one(tmp_path: Path) -> None:
    before = read_file(write(tmp_path, GOOD)).settings
    assert read_file(write(tmp_path, GOOD, GOOD)).settings != before


def test_what_is_no_file_of_questions_ends_in_a_line_that_says_so(groq: ScriptedGroq, tmp_path: Path) -> None:
    assert "nothing.jsonl" in mistake("eval", str(tmp_path / "nothing.jsonl"))
    assert "cannot be read" in mistake("eval", str(tmp_path))
    assert "holds no question" in mistake("eval", str(write(tmp_path, b"")))
    told = mistake("eval", str(write(tmp_path, b"oops")), "--out", str(tmp_path / "out"))
    assert "holds no question" in told
    assert "line 1: not JSON" in told
    assert (groq.requests, (tmp_path / "out").exists()) == ([], False)


def test_a_row_for_the_judge_needs_one_and_with_one_the_rest_is_judged_too(groq: ScriptedGroq, tmp_path: Path) -> None:
    path = write(tmp_path, row(checker="judge"), row(), row(checker="exact"))
    told = mistake("eval", str(path), "--out", str(tmp_path / "out"))
    assert "line 1" in told
    assert "--judge MODEL" in told
    assert groq.requests == []
    assert [case.check is None for case in read_file(path, judged=True).cases] == [True, True, False]


@needs_suite
def test_the_same_seed_makes_the_same_questions_and_another_others() -> None:
    tasks = ["leg_counting", "syllogism"]

    def asked(size: int, seed: int) -> list[tuple[str, str, str, str]]:
        return [case[:4] for case in generate(tasks, size=size, seed=seed).cases]

    assert asked(3, 0) == asked(3, 0) == asked(5, 0)[:6]
    assert not {question for *_, question, _ in asked(3, 0)} & {question for *_, question, _ in asked(3, 1)}
    assert [(id, task) for id, task, *_ in asked(2, 7)] == [
        ("leg_counting-7-0", "leg_counting"),
        ("syllogism-7-0", "syllogism"),
        ("leg_counting-7-1", "leg_counting"),
        ("syllogism-7-1", "syllogism"),
    ]


def only(task: str) -> Case:
    return generate([task], size=1, seed=0).cases[0]


@needs_suite
def test_a_generated_question_takes_the_right_answer_in_any_form_and_no_other() -> None:
    legs, yes = only("leg_counting"), only("syllogism")
    assert all(right(legs, form.format(legs.expected)) for form in ("{}", "{} legs", "**{}**.", "1 + 1 = {} legs"))
    assert not right(legs, str(int(legs.expected) + 1))
    assert all(right(yes, form.format(yes.expected)) for form in ("{}", "**{}**.", "`{}`"))
    assert not right(yes, {"Yes": "No", "No": "Yes"}[yes.expected])
    assert not right(yes, "")


@needs_suite
def test_of_many_right_answers_each_is_right() -> None:
    """A sum to be built has no one solution; its form is forgiven as well."""
    case = only("countdown")
    assert all(right(case, form.format(case.expected)) for form in ("{}", "**{}**", "`{}`", "(({}))"))
    assert not right(case, f"{case.expected} + 1 - 1")


@needs_suite
@pytest.mark.parametrize("task", ["graph_color", "rubiks_cube"])
def test_where_the_suite_names_no_answer_none_is_not_one(task: str) -> None:
    case = only(task)
    assert case.expected == ""
    assert not right(case, "None")
    assert not right(case, "")


@needs_suite
def test_a_verifier_that_takes_everything_is_not_believed() -> None:
    case = only("game_of_life_halting")
    assert right(case, f"**{case.expected}**")
    assert not right(case, "I do not know")


@needs_suite
@pytest.mark.parametrize("task", ["prime_factorization", "game_of_life", "countdown", "leg_counting"])
@pytest.mark.parametrize("answer", ["", "foo", "(((", "{}", "1/0", "\0", "\ud800", "9" * 30_000])
def test_no_answer_is_too_odd_to_be_wrong(task: str, answer: str) -> None:
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
def test_an_answer_that_is_code_is_never_run(tmp_path: Path, task: str, answer: str) -> None:
    """Some of the suite's verifiers would."""
    assert not right(only(task), answer.format(str(tmp_path / "written")))
    assert list(tmp_path.iterdir()) == []


@needs_suite
def test_an_unknown_task_is_told_with_those_of_like_names(groq: ScriptedGroq, tmp_path: Path) -> None:
    assert "leg_counting" in mistake("eval", "--suite", "syllogism,leg_countin", "--out", str(tmp_path / "out"))
    for task in ("", "composite"):
        with pytest.raises(SetupError, match=re.escape(repr(task))):
            generate([task], size=1, seed=0)
    assert (groq.requests, list(tmp_path.iterdir())) == ([], [])


def test_without_the_extra_what_to_install_is_said(scripted: Scripted, tmp_path: Path) -> None:
    (tmp_path / "reasoning_gym").mkdir()
    (tmp_path / "reasoning_gym" / "__init__.py").write_text("raise ImportError('it is not installed')")
    scripted()
    told = mistake("eval", "--suite", "leg_counting", "--out", str(tmp_path / "out"), PYTHONPATH=str(tmp_path))
    assert 'pip install "llamaberry[eval]"' in told
