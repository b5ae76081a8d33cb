"""Rows of public datasets are read as questions with short expected answers."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llamaberry.evaluation.data import Case, Data, read_file
from llamaberry.evaluation.shapes import question_and_answer
from testing.command import llamaberry
from testing.scripted_groq import Scripted, first

LETTERED = "Q\nA) Rome\nB) Paris"
ROWS: dict[str, tuple[dict[str, Any], str, str]] = {
    "GSM8K": ({"question": "Q", "answer": "48/2=<<48/2=24>>24\n48+24 = 72\n#### 72"}, "Q", "72"),
    "GSM8K, a large number": ({"question": "Q", "answer": "It is\n#### 1,234"}, "Q", "1,234"),
    "MGSM": ({"question": "Q", "answer": None, "answer_number": 18}, "Q", "18"),
    "SVAMP": ({"Body": "B.", "Question": "Q", "Answer": 3.0}, "B.\n\nQ", "3.0"),
    "MATH": ({"problem": "Q", "solution": "So $\\boxed{\\frac{1}{2}}$.", "level": "1"}, "Q", "\\frac{1}{2}"),
    "MATH, with an answer": ({"problem": "Q", "solution": "\\boxed{1} \\boxed{2}", "answer": "2"}, "Q", "2"),
    "MMLU": ({"question": "Q", "choices": ["Rome", "Paris"], "answer": 1}, LETTERED, "B"),
    "a letter": ({"question": "Q", "choices": ["Rome", "Paris"], "answer": "(b)"}, LETTERED, "B"),
    "the text": ({"question": "Q", "choices": ["Rome", "Paris"], "answer": "Paris"}, LETTERED, "B"),
    "ARC": (
        {"question": "Q", "choices": {"text": ["Rome", "Paris"], "label": ["1", "2"]}, "answerKey": "2"},
        *(LETTERED, "B"),
    ),
    "CommonsenseQA": (
        {"question": "Q", "choices": {"label": ["A", "B"], "text": ["Rome", "Paris"]}, "answerKey": "B"},
        *(LETTERED, "B"),
    ),
    "a stem": (
        {
            "question": {"stem": "Q", "choices": [{"label": "A", "text": "Rome"}, {"label": "B", "text": "Paris"}]},
            "answerKey": "B",
        },
        *(LETTERED, "B"),
    ),
    "AQuA": ({"question": "Q", "options": ["A)Rome", "B)Paris"], "correct": "B"}, LETTERED, "B"),
    "MedQA": ({"question": "Q", "options": {"A": "Rome", "B": "Paris"}, "answer_idx": "B"}, LETTERED, "B"),
    "columns": ({"question": "Q", "A": "Rome", "B": "Paris", "answer": "b"}, LETTERED, "B"),
    "HellaSwag": ({"ctx": "Q", "endings": ["Rome", "Paris"], "label": "1"}, LETTERED, "B"),
    "BIG-bench": ({"input": "Q", "target": "Paris"}, "Q", "Paris"),
    "BIG-bench, a list": ({"input": "Q", "target": ["Paris"]}, "Q", "Paris"),
    "BIG-bench, scores": ({"input": "Q", "target_scores": {"Rome": 0, "Paris": 1}}, LETTERED, "B"),
    "Alpaca": ({"instruction": "Do", "input": "it", "output": "Done"}, "Do\n\nit", "Done"),
    "Alpaca, no input": ({"instruction": "Q", "input": "", "output": "Done"}, "Q", "Done"),
}


def read(folder: Path, *rows: dict[str, Any]) -> Data:
    path = folder / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_file(path)


def is_right(case: Case, answer: str) -> bool:
    assert case.check
    return case.check(answer)


@pytest.mark.parametrize(("row", "question", "answer"), ROWS.values(), ids=list(ROWS))
def test_a_row_of_a_public_dataset_is_read(tmp_path: Path, row: dict[str, Any], question: str, answer: str) -> None:
    data = read(tmp_path, row)
    assert [(case.question, case.expected) for case in data.cases] == [(question, answer)]
    assert (data.invalid, data.warning) == ([], None)


def test_the_checker_fits_the_short_answer(tmp_path: Path) -> None:
    solved, boxed, chosen = read(tmp_path, *(ROWS[name][0] for name in ("GSM8K", "MATH", "MMLU"))).cases
    assert is_right(solved, "48 + 24 = 72 clips")
    assert not is_right(solved, "24")
    assert is_right(boxed, "It is 0.5.")
    assert is_right(chosen, "The answer is B) Paris.")
    assert not is_right(chosen, "Not B")


def test_a_row_keeps_its_own_settings(tmp_path: Path) -> None:
    (case,) = read(
        tmp_path, {"id": "q-1", "problem": "Q", "solution": "3", "checker": "number", "tolerance": 0.5}
    ).cases
    assert case.id == "q-1"
    assert is_right(case, "3.4")


@pytest.mark.parametrize(
    ("row", "messages"),
    [
        ({"foo": 1, "bar": 2}, ['no question: the keys of the row are "foo", "bar"', '"problem"/"solution"']),
        ({"question": "Q", "foo": 2}, ['no answer: the keys of the row are "question", "foo"', '"input"/"target"']),
        ({"question": "Q", "choices": ["a", "b"]}, ["no answer: "]),
        ({"question": "Q", "choices": ["a", "b"], "answer": "z"}, ["'z' is none of the choices"]),
        ({"question": "Q", "choices": ["a", "b"], "answer": 2}, ["2 is none of the choices"]),
        ({"question": "Q", "choices": ["a"], "answer": 0}, ["give 2 to 26"]),
        ({"question": "Q", "options": "a) 1, b) 2", "answer": "a"}, ["neither a list nor an object"]),
    ],
)
def test_an_unknown_shape_is_reported(tmp_path: Path, row: dict[str, Any], messages: list[str]) -> None:
    (report,) = read(tmp_path, {"question": "Q", "answer": "1"}, row).invalid
    assert report.startswith("line 2: ")
    assert all(message in report for message in messages)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.sampled_from(["text", "label", "a"]), values),
    max_leaves=4,
)
KEYS = st.sampled_from(["question", "choices", "options", "target_scores", "answer", "answerKey", "input", "target"])


@pytest.mark.slow
@settings(deadline=None, derandomize=True, max_examples=500)
@given(st.dictionaries(KEYS, JSON, max_size=4))
def test_any_row_is_read_or_reported(row: dict[str, Any]) -> None:
    with suppress(ValueError):
        assert {"question", "answer"} <= question_and_answer(row).keys()


def test_long_expected_texts_are_warned_of_once(scripted: Scripted, tmp_path: Path) -> None:
    data = tmp_path / "own.jsonl"
    rows = [
        {"question": f"Q{n}", "answer": "It is a long explanation of why the answer is what it is. " * 2}
        for n in range(3)
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"question": "R", "answer": "42"}]))
    scripted(lambda request: first("42"))
    run = llamaberry("eval", str(data), "--out", str(tmp_path / "out"), "--arms", "single")
    assert run.stderr.count("3 of 4 expected answers are long texts") == 1
    assert "--judge MODEL" in run.stderr
