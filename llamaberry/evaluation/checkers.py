"""Checkers: pure functions that compare an answer with the expected one, in time linear in their length."""

import re
from fractions import Fraction
from typing import Literal

from llamaberry.graph.agreement import without_label
from llamaberry.graph.answers import normalise
from llamaberry.graph.choices import chosen_letter
from llamaberry.graph.notation import last_box
from llamaberry.graph.numbers import has_decimal_comma
from llamaberry.graph.stated_number import is_number, stated_number

_RELATIVE_TOLERANCE = Fraction(1, 10**6)
"""The default tolerance for numbers that are not integers, relative to the expected one."""


def exact(answer: str, expected: str) -> bool:
    """Whether both are equal apart from case, space, punctuation, markup, number format and "The answer is".

    Of an answer with a \\boxed{…}, the last one may be equal.
    """
    target = normalise(expected)
    return any(
        form == target or without_label(form) == target
        for form in (normalise(text) for text in (answer, last_box(answer)) if text is not None)
    )


def number(answer: str, expected: str, tolerance: float | None = None) -> bool:
    """Whether the answer's number is the expected one, within `tolerance` (absolute).

    By default an integer must match exactly, and any other number within a millionth of its value. The number that the
    answer states counts: "12 * 3 = 36 legs" is 36; an answer with several numbers that does not state which is wrong.
    Fractions and percentages are converted: "3/4" is 0.75, "50%" is 0.5. If only one of the two has a percent sign,
    "50%" also matches 50. A comma is a decimal point only if the expected answer has one like that: "3,14".
    """
    decimal_comma = has_decimal_comma(expected)
    target = stated_number(expected, decimal_comma=decimal_comma)
    if target is None:
        return False
    actual = stated_number(answer, decimal_comma=decimal_comma)
    if actual is None:
        return decimal_comma and exact(answer, expected)  # "1, 5"

    def close(one: Fraction, other: Fraction) -> bool:
        default = 0 if target.is_integer else abs(other) * _RELATIVE_TOLERANCE
        return abs(one - other) <= (default if tolerance is None else Fraction(str(tolerance)))

    shares = [value.value / 100 if value.is_percent else value.value for value in (actual, target)]
    return close(*shares) or (actual.is_percent != target.is_percent and close(actual.value, target.value))


def choice(answer: str, expected: str) -> bool:
    """Whether the answer chooses the expected letter: "B", "(b)", "B) Paris", "The answer is B.", but not "A or B"."""
    return chosen_letter(answer) == chosen_letter(expected) != ""


def infer_checker(expected: str) -> Literal["number", "choice", "exact"]:
    """Return the checker for an expected answer: a number, a single letter, or a text."""
    if is_number(expected):
        return "number"
    return "choice" if re.fullmatch(r"\(?[A-Z][).]?", expected.strip()) else "exact"
