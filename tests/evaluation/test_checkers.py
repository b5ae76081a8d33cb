"""The checkers accept a right answer in any form, and no other answer."""

from collections.abc import Callable

import pytest

from llamaberry.evaluation.checkers import choice, exact, infer_checker, number
from testing.linear import takes_linear_time

NUMBERS = [
    ("42", "42"),
    ("**42**.", "42"),
    ("12 * 3 = 36 legs", "36"),
    ("36legs", "36"),
    ("5kg", "5"),
    ("It costs $5.", "5"),
    ("$1,000.00", "1000"),
    ("1,234,567", "1234567"),
    ("1{,}000", "1000"),
    ("42\u202f000", "42000"),
    ("-$5", "-5"),
    ("\u22125", "-5"),
    ("\u20135 °C", "-5"),
    ("x=-5", "-5"),
    ("+5", "5"),
    (".5", "0.5"),
    ("3/4", "0.75"),
    ("3 / 4", "0.75"),
    ("0.333333333", "1/3"),
    ("1 1/2", "1.5"),
    ("2½", "2.5"),
    ("\\frac{1}{2}", "0.5"),
    ("$-\\dfrac{3}{4}$", "-0.75"),
    ("2\\frac{1}{2}", "2.5"),
    ("50%", "0.5"),
    ("50\\%", "50%"),
    ("50 percent", "50%"),
    ("50%", "50"),
    ("50", "50%"),
    ("1e3", "1000"),
    ("1.5E-3", "0.0015"),
    ("3 \\times 10^{5}", "300000"),
    ("10^6", "1000000"),
    ("３６", "36"),
    ("9.110", "9.11"),
    ("1e400", "1e400"),
    ("2^10 = 1024", "1024"),
    ("10-7=3", "3"),
    ("答案是42。", "42"),
    ("答えは４２円です。", "42"),
    ("一共有42只", "42"),
    ("정답은 42입니다", "42"),
    ("คำตอบคือ42", "42"),
    ("US$42", "42"),
    ("NT$ 42", "42"),
    ("Rs.500", "500"),
    ("EUR42", "42"),
    ("CHF 42", "42"),
    ("42€", "42"),
    ("-€5", "-5"),
    ("1,00,000", "100000"),
    ("Rs. 12,34,567", "1234567"),
    ("12 000", "12000"),
    ("12\u2009000", "12,000"),
    ("The answer is (5).", "5"),
    ("42 is the answer to 6 times 7", "42"),
    ("minus 5", "-5"),
    ("It is negative 5.", "-5"),
    ("- 5", "-5"),
    ("x = \u2212 5", "-5"),
    ("答案是负5", "-5"),
    ("3,14", "3,14"),
    ("3.14 m", "3,14"),
    ("1234.56", "1.234,56"),
    ("1.234,56 €", "1234.56"),
    ("\\frac{-1}{2}", "-0.5"),
    ("\\frac12", "0.5"),
    ("10²", "100"),
    ("2 million", "2000000"),
    ("$5k", "5000"),
    ("2万", "20000"),
    ("six legs", "6"),
    ("two million", "2000000"),
    ("The answer is 42 because 7 times 6 is 42", "42"),
    ("The answer is 42!", "42"),
    ("The answer is 42, not 41.", "42"),
    ("Answer: 5 km (3.1 miles)", "5"),
    ("48/2 = 24, 48 + 24 = 72", "72"),
    ("48 + 24 = 72 clips\n#### 72", "72"),
    ("48 in April and 24 in May, so she sold 72 clips altogether.", "72"),
    ("**72** clips in 2 months", "72"),
    ("The area of a 3 by 4 rectangle is 12 square units.", "12"),
    ("7 minus 5 is 2", "2"),
    ("36 = 12 * 3", "36"),
]


@pytest.mark.parametrize(("answer", "expected"), NUMBERS)
def test_number_accepts_every_notation(answer: str, expected: str) -> None:
    assert number(answer, expected)


NO_NUMBERS = [
    ("", "0"),
    ("none", "0"),
    ("-5", "5"),
    ("5", "-5"),
    ("9.11", "9.9"),
    ("9.9", "9.11"),
    ("0.5%", "50%"),
    ("0.5%", "50"),
    ("50%", "0.05"),
    ("12345678", "12345679"),  # integers must match exactly, however large
    ("36 legs, 12 animals", "36"),
    ("2024-01-05", "5"),
    ("5/1/2024", "2024"),
    ("12:30", "30"),
    ("3.14.15", "3.14"),
    ("1.234.567", "1.234"),
    ("1,5", "5"),
    ("3-5", "5"),
    ("x^2", "2"),
    ("$5k", "5"),
    ("2x", "2"),
    ("0x1F", "1"),
    ("1/0", "0"),
    ("1e400", "1e999"),  # both are more than a float holds
    ("3/4", "3"),
    ("1 1/2", "0.5"),
    ("42 000", "42"),
    ("2½", "0.5"),
    ("-\\frac{1}{2}", "0.5"),
    ("\\sqrt{2}", "2"),
    ("3\\sqrt{2}", "3"),
    ("\\sqrt[3]{8}", "3"),
    ("\\frac{-1}{2}", "2"),
    ("\\frac{-1}{2}", "0.5"),
    ("\\frac{\\pi}{2}", "2"),
    ("\\binom{5}{2}", "2"),
    ("0.\\overline{3}", "0"),
    ("3\\pi", "3"),
    ("\\log_2 8", "8"),
    ("10²", "10"),
    ("2**3", "3"),
    ("2⁻¹", "2"),
    ("2 squared", "2"),
    ("the square root of 2", "2"),
    ("5!", "5"),
    ("2 million", "2"),
    ("2k", "2"),
    ("2 dozen", "2"),
    ("2万", "2"),
    ("two million", "2"),
    ("2 and a half", "2"),
    ("minus 5", "5"),
    ("- 5", "5"),
    ("负5", "5"),
    ("not 5", "5"),
    ("The answer is not 5", "5"),
    ("at least 5", "5"),
    ("x > 5", "5"),
    ("5 or 6", "6"),
    ("zero or 2", "2"),
    ("2 or more", "2"),
    ("不是2", "2"),
    ("2, 3", "3"),
    ("x = 5, y = 6", "6"),
    ("12 * 3", "3"),
    ("2 + 3i", "2"),
    ("50% of 30", "30"),
    ("The first is 5 and the second is 6", "6"),
    ("3,14", "314"),
    ("3,14", "3.15"),
]


@pytest.mark.parametrize(("answer", "expected"), NO_NUMBERS)
def test_number_rejects_other_numbers_dates_times_and_powers(answer: str, expected: str) -> None:
    assert not number(answer, expected)


@pytest.mark.parametrize(
    ("answer", "tolerance", "right"),
    [("3.14", None, False), ("3.14159265", None, True), ("3.14", 0.01, True), ("3.3", 0.1, False), ("1", 2.5, True)],
)
def test_tolerance_is_absolute_and_a_millionth_by_default(answer: str, tolerance: float | None, right: bool) -> None:
    assert number(answer, "3.1415926", tolerance) is right


def test_tolerance_is_exact_in_decimal() -> None:
    """In floating point 1.3 - 1 is more than 0.3."""
    assert number("1.3", "1", 0.3)
    assert not number("1.31", "1", 0.3)
    assert not number("1.0000001", "1", 0)


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [
        (" **Paris**.", "paris", True),
        ("2024-01-05", "2024-01-05", True),
        ("2024-01-05", "2024-01-06", False),
        ("Paris, France", "Paris", False),
        ("5 March", "5  march", True),
        ("The answer is Paris.", "Paris", True),
        ("So it is $\\boxed{x + \\sqrt{2}}$.", "x+\\sqrt2", True),
        ("5!", "5", False),
        ("", "Paris", False),
    ],
)
def test_exact_ignores_the_form_of_a_text(answer: str, expected: str, right: bool) -> None:
    assert exact(answer, expected) is right


FITTING = {
    "number": ["42", "-5", "42.", ".5", "3/4", "50%", "$1,000.00", "1e3", "½", "\\frac{1}{2}", "1,5"],
    "choice": ["B", "(B)", "B.", "I"],
    "exact": ["b", "Paris", "2024-01-05", "12:30", "42 km", "7 8", "nan", "9" * 5000],
}


@pytest.mark.parametrize(("name", "expected"), [(name, text) for name, texts in FITTING.items() for text in texts])
def test_inferred_checker_accepts_the_expected_answer(name: str, expected: str) -> None:
    assert infer_checker(expected) == name
    assert {"number": number, "choice": choice, "exact": exact}[name](expected, expected)


PIECES = ["9", "9,", "1.", "-", "1e", "1/", "1 ", "999,", "\\frac{", "10^", "A ", "(", " ", "a", "*a ", "e\u0301", "$"]
PIECES += ["\\", "\\boxed{", "answer ", "A or ", "B because ", "A, ", "½"]
PIECES += [
    "1 ",
    "= 5 ",
    "答案是1",
    "not A, ",
    "A is ",
    "so 1 ",
    "**1** ",
    "~~",
    "#### 1\n",
    "1,00,",
    "=9",
    "-=",
    "is 1 ",
]


@pytest.mark.slow
@pytest.mark.parametrize("check", [exact, number, choice, lambda answer, _: infer_checker(answer)])
def test_checking_takes_linear_time(check: Callable[[str, str], object]) -> None:
    for piece in PIECES:
        assert takes_linear_time(lambda text: (check(text, "42"), check(f"1/{text}", text)), piece), piece
