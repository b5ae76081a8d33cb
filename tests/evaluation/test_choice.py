"""The checker of multiple choice: which letter an answer chooses, in words or not."""

import pytest

from llamaberry.evaluation.checkers import choice

CHOICES = [
    ("B", "B"),
    ("b", "B"),
    ("(b)", "B"),
    ("B", "(B)"),
    ("B) Paris", "B"),
    ("b. Paris", "B"),
    ("B) A dog", "B"),
    ("**B**", "B"),
    ("\\boxed{B}", "B"),
    ("The answer is B", "B"),
    ("The answer is (b).", "B"),
    ("Answer: c", "C"),
    ("I think B", "B"),
    ("A good answer is C", "C"),
    ("The answer is A.", "A"),
    ("I think it is A", "A"),
    ("B, not A", "B"),
    ("C because B is wrong", "C"),
    ("The correct answer is **B**. A is wrong.", "B"),
    ("(B) Paris, not (A) Rome", "B"),
    ("I", "I"),
    ("The answer is I", "I"),
    ("选B", "B"),
    ("答案是B。", "B"),
    ("答えはBです", "B"),
    ("정답은 B입니다", "B"),
    ("Ｂ", "B"),
    ("$\\boxed{\\text{(B)}}$", "B"),
    ("Neither A nor B, so C", "C"),
    ("The answer is not A, it is C.", "C"),
    ("B is correct, A is incorrect.", "B"),
    ("I rule out A and C, so B", "B"),
    ("~~A~~ B", "B"),
]


@pytest.mark.parametrize(("answer", "expected"), CHOICES)
def test_choice_accepts_every_phrasing(answer: str, expected: str) -> None:
    assert choice(answer, expected)


NO_CHOICES = [
    ("", "A"),
    ("Paris", "P"),
    ("A good answer is C", "A"),
    ("A man", "A"),
    ("The answer is a city", "A"),
    ("I think B", "I"),
    ("C, not B", "B"),
    ("I choose C because B is wrong", "B"),
    ("B or C", "B"),
    ("B or C", "C"),
    ("A, B", "A"),
    ("Both A and B", "B"),
    ("(A) and (B)", "A"),
    ("The answer is (A) or (B)", "A"),
    ("U.S.A", "A"),
    ("", ""),
    ("Paris", "Paris"),
    ("not B", "B"),
    ("No B", "B"),
    ("Not (b).", "B"),
    ("B is wrong", "B"),
    ("B is the wrong answer", "B"),
    ("B cannot be right", "B"),
    ("B can be ruled out", "B"),
    ("anything but B", "B"),
    ("everything except B", "B"),
    ("neither A nor B", "B"),
    ("The answer isn't B", "B"),
    ("I don't think it is B", "B"),
    ("!B", "B"),
    ("not **B**", "B"),
    ('not "B"', "B"),
    ("B was eliminated", "B"),
    ("B must be wrong", "B"),
    ("不是B", "B"),
    ("Bではない", "B"),
    ("不选B", "B"),
    ("~~B~~", "B"),
]


@pytest.mark.parametrize(("answer", "expected"), NO_CHOICES)
def test_choice_rejects_other_letters_several_or_none(answer: str, expected: str) -> None:
    assert not choice(answer, expected)
