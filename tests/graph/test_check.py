"""When an answer and a program's mean the same, and which answer stands."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage

from llamaberry.graph.agreement import agrees
from llamaberry.graph.check import (
    MAX_RESULT_CHARS,
    Check,
    computes,
    contradicts,
    describe_check,
    is_short_result,
    printed_answer,
    standing_answer,
    verified_turn,
    with_verdict,
)
from llamaberry.graph.turn import Turn, new_turn
from testing.linear import takes_linear_time

SAME = [
    ("6.0", "6"),
    ("6", "6.0"),
    ("False", "No"),
    ("No", "False"),
    ("Yes", "True"),
    ("No, it is not.", "No"),
    ("Yes, because 3 > 2", "True"),
    ("70 days", "70"),
    ("70", "70 days"),
    ("$1,000", "1000.00"),
    ("US$ 1,000", "1000"),
    ("€21.00", "21"),
    ("1,000,000", "1000000"),
    ("12 000", "12000"),
    ("12\u202f000 km", "12000"),
    ("3/4", "0.75"),
    ("1/3", "0.3333333333333333"),
    ("0.33", "0.3333333333"),
    ("2.50", "2.5"),
    ("1e3", "1000"),
    ("\u22125", "-5"),
    ("minus 5", "-5"),
    ("50%", "50"),
    ("42 cm²", "42"),
    ("5 m", "5"),
    ('The letter "m" appears 2 times.', "2"),
    ("It is 5 km.", "5"),
    ("x = 5", "5"),
    ("12 / 4 = 3", "3"),
    ("**42**", "42"),
    (r"\boxed{42}", "42"),
    ("$42$", "42"),
    ("答案是42。", "42"),
    ("[1, 2, 3]", "1, 2, 3"),
    ("(3, 4)", "3, 4"),
    ("Monday.", "monday"),
    ("The day is Friday.", "Friday"),
    ("It falls on a Friday", "Friday"),
    ("2024-05-03", "2024-05-03"),
    ("3 May", "3"),
    ("1\nThe 3 steps above show it.", "1"),
]
DIFFERENT: list[tuple[Any, Any]] = [
    ("5", "6"),
    ("-5", "5"),
    ("minus 5", "5"),
    ("5 or 6", "5"),
    ("5 apples and 3 pears", "5"),
    ("12 apples", "12 pears"),
    ("50%", "0.5"),
    ("2 million", "2"),
    ("5 dozen", "5"),
    ("5k", "5"),
    ("more than 5", "5"),
    (r"\sqrt{2}", "2"),
    ("10^3", "10"),
    ("10²", "10"),
    ("5!", "5"),
    ("0.3", "0.3333"),
    ("1.5", "15"),
    ("12:30", "12"),
    ("2024-05-03", "2024"),
    ("No", "Yes"),
    ("It is not Friday", "Friday"),
    ("Alice is taller than Bob", "Bob"),
    ("B", "C"),
    ("two", "3"),
    (None, "1"),
    ("1", None),
    (None, None),
]
HARD = ["1 ", "-", "1,", "is ", "=", "1e", "[", "1/", "1 000", "minus ", "a", "!", "*", "`", "\n1"]


def turn(index: int, answer: str | None, before: str = "") -> Turn:
    text = before + ("" if answer is None else f"\n\n## Answer\n{answer}")
    return {**new_turn(AIMessage(text), index=index, model="m", seconds=1), "answer": answer}


def check(answer: str | None = "42", verdict: Any = "differs") -> Check:
    return Check(program="print(6 * 7)", output="42\n", error=None, answer=answer, verdict=verdict)


@pytest.mark.parametrize(("answer", "printed"), SAME)
def test_answers_that_mean_the_same_agree(answer: str, printed: str) -> None:
    assert agrees(answer, printed)


@pytest.mark.parametrize(("answer", "printed"), DIFFERENT)
def test_answers_that_mean_something_else_differ(answer: str | None, printed: str | None) -> None:
    assert not agrees(answer, printed)


@pytest.mark.parametrize("piece", HARD)
def test_comparing_takes_linear_time(piece: str) -> None:
    def compare(text: str) -> None:
        for printed in ("5", "Friday", text[:1000]):
            agrees(text, printed)
        is_short_result(text)
        printed_answer(text, text)

    assert takes_linear_time(compare, piece)


@pytest.mark.parametrize(
    ("output", "question", "answer"),
    [
        ("42\n", "Q?", "42"),
        ("a line\n42\n\n", "Q?", "42"),
        ("6.0\n", "Q?", "6"),
        ("0.30000000000000004\n", "Q?", "0.3"),
        ("-2.50\n", "Q?", "-2.5"),
        ("True\n", "Is 7 a prime?", "Yes"),
        ("False\n", "Answer yes or no: is 8 a prime?", "No"),
        ("True\n", "What does bool(1) give?", "True"),
        ("1e400\n", "Q?", "1e400"),
        ("\n \n", "Q?", None),
        ("", "Q?", None),
    ],
)
def test_the_last_line_printed_is_the_answer(output: str, question: str, answer: str | None) -> None:
    assert printed_answer(output, question) == answer


@pytest.mark.parametrize(
    ("answer", "short"),
    [
        ("42", True),
        (None, True),
        ("x" * MAX_RESULT_CHARS, True),
        ("x" * (MAX_RESULT_CHARS + 1), False),
        ("One\n\nTwo\n\nThree", True),
        ("One\nTwo\nThree\nFour", False),
        ("```python\nprint(1)\n```", False),
    ],
)
def test_a_short_result_is_a_few_words_without_code(answer: str | None, short: bool) -> None:
    assert is_short_result(answer) is short


@pytest.mark.parametrize(
    "source",
    [
        "print(6 * 7)",
        "for i in range(3): print(i)",
        'print("abc".count("a"))',
        "print(len([1]))",
        "print(x[0])",
        "def f(:",
    ],
)
def test_a_program_that_computes_is_evidence(source: str) -> None:
    """One with a syntax error may have computed: the sandbox will say what is wrong."""
    assert computes(source)


@pytest.mark.parametrize(
    "source", ['print("Yes")', "answer = 5\nprint(answer)", "print(str(5))", "# 5\nprint(5)", "x = -5\nprint(x)"]
)
def test_a_program_that_prints_a_constant_is_none(source: str) -> None:
    assert not computes(source)


def test_a_check_without_an_answer_keeps_its_verdict() -> None:
    failed = check(None, "failed")
    assert with_verdict(failed, turn(2, "42")) == failed


def test_a_turn_is_verified_by_its_own_answer() -> None:
    """Not by a verdict on the answer that it had before an edit."""
    turns = [turn(1, "41"), turn(2, "42")]
    assert verified_turn(turns, check(verdict="agrees")) == turns[1]
    assert verified_turn(turns[:1], check(verdict="agrees")) is None
    assert verified_turn(turns, None) is None


def test_the_program_stands_unless_two_turns_insist() -> None:
    stubborn = [turn(1, "41"), turn(2, "43"), turn(3, "44")]
    assert standing_answer(stubborn, check()) == "42"
    assert standing_answer([*stubborn[:2], turn(3, "**43**.")], check()) is None
    assert standing_answer(stubborn[:1], check()) is None
    assert standing_answer([*stubborn[:2], turn(3, "44", "Program: wrong")], check()) is None
    assert standing_answer(stubborn, None) is None


def test_only_a_program_with_another_answer_contradicts() -> None:
    assert contradicts([turn(1, "41")], check())
    assert not contradicts([turn(1, "42")], check(verdict="agrees"))
    assert not contradicts([turn(1, "41")], None)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (check(None, "none"), "No program can check this answer."),
        (check(), "The program's answer is 42: not turn 1's, but turn 2's."),
        ({**check(None, "failed"), "error": "line 1: E"}, "The program failed: line 1: E"),
        ({**check(None, "failed"), "program": None, "error": "down"}, "The check failed: down"),
    ],
)
def test_a_check_is_described_in_a_sentence(given: Check, sentence: str) -> None:
    assert describe_check(given, [turn(1, "41"), turn(2, "42")]) == sentence
