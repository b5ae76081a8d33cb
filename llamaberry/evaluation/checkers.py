"""Checkers: pure functions that compare an answer with the expected one, in time linear in their length."""

import re
import unicodedata
from fractions import Fraction
from typing import Literal, NamedTuple

from llamaberry.graph.answers import normalise

# Not part of a date, time, range, power or word. A unit may follow directly ("5kg"), a scale may not ("5k", "2x").
_NUMBER = re.compile(
    r"(?<![\w.^])(?<!\d[-,:/])(?P<sign>[-+])?(?:(?P<integer>\d{1,400}+) (?=\d{1,400}+ ?/))?"
    r"(?P<numerator>(?:\d{1,400}+(?:\.\d{1,400}+)?|\.\d{1,400}+)(?:e[-+]?\d{1,3}(?!\d))?)"
    r"(?: ?/ ?(?P<denominator>\d{1,400}+))?(?P<percent> ?\\?%| percent\b)?(?!\w*\d|(?-i:[kKMBTx])(?!\w)|[-.,:/^]\d)",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"(?<=\d)(?:\{?,\}?|\\,|[\u00a0\u2009\u202f_])(?=\d{3}(?!\d))")
_FRACTION = re.compile(r"(?P<sign>-?) ?\\[dt]?frac\{(?P<numerator>\d{1,400}+)\}\{(?P<denominator>\d{1,400}+)\}")
_POWER_OF_TEN = re.compile(
    r"(?:(?<=\d) ?(?:\\times|\\cdot|[x×*·]) ?|(?<![\w.])(?P<one>))10\^\{?(?P<power>[-+]?\d{1,3})\}?"
)
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212\uff0d"), "-")
_RELATIVE_TOLERANCE = Fraction(1, 10**6)
"""The default tolerance for numbers that are not integers, relative to the expected one."""

# An option letter. "I" and the article "A" are words, unless they are in brackets.
_OPTION = re.compile(r"\(([A-Za-z])\)|(?<![\w'’])(?!I\b|A (?!and\b|or\b)[a-z])([A-Z])(?![\w'’])")
_LEADING = re.compile(
    r"\W*+([A-Za-z])(?:[)\]:]|\.(?!\S)|,(?! ?[A-Z]\b)| because\b)(?! ?(?:and|or|[,/&]) ?\W?[A-Za-z](?!\w))"
)
_STATED = re.compile(
    r"(?i:\b(?:answer|option|choice|choose|pick)(?: is| would be)?)[\s:(*\[]{1,5}"
    r"((?!A (?!because)[a-z])[A-Z]|[a-z](?=[)\]*.]|\s*\Z))(?![\w'’])"
    r"(?!\W{0,3}(?:and|or)\W{1,3}[A-Za-z](?!\w))"
)


class _Number(NamedTuple):
    value: Fraction
    is_integer: bool
    is_percent: bool


def exact(answer: str, expected: str) -> bool:
    """Whether both are equal apart from case, space, punctuation, markdown and number format."""
    return normalise(answer) == normalise(expected)


def number(answer: str, expected: str, tolerance: float | None = None) -> bool:
    """Whether the answer's number is the expected one, within `tolerance` (absolute).

    By default an integer must match exactly, and any other number within a millionth of its value. The last number of
    the answer counts: "12 * 3 = 36 legs" is 36. Fractions and percentages are converted: "3/4" is 0.75, "50%" is 0.5.
    If only one of the two has a percent sign, "50%" also matches 50.
    """
    actual, target = _last_number(answer), _last_number(expected)
    if actual is None or target is None:
        return False

    def close(one: Fraction, other: Fraction) -> bool:
        default = 0 if target.is_integer else abs(other) * _RELATIVE_TOLERANCE
        return abs(one - other) <= (default if tolerance is None else Fraction(str(tolerance)))

    same_value = close(_without_percent(actual), _without_percent(target))
    return same_value or (actual.is_percent != target.is_percent and close(actual.value, target.value))


def choice(answer: str, expected: str) -> bool:
    """Whether the answer chooses the expected letter: "B", "(b)", "B) Paris", "The answer is B.", but not "A or B"."""
    return _chosen_letter(answer) == _chosen_letter(expected) != ""


def infer_checker(expected: str) -> Literal["number", "choice", "exact"]:
    """Return the checker for an expected answer: a number, a single letter, or a text."""
    plain = _plain_numbers(expected).strip().rstrip(".")
    if _NUMBER.fullmatch(plain) and _last_number(plain):
        return "number"
    return "choice" if re.fullmatch(r"\(?[A-Z][).]?", expected.strip()) else "exact"


def _last_number(text: str) -> _Number | None:
    matches = list(_NUMBER.finditer(_plain_numbers(text)))
    if not matches:
        return None
    match = matches[-1]
    denominator = Fraction(match["denominator"] or 1)
    if not denominator:
        return None
    value = Fraction(match["integer"] or 0) + Fraction(match["numerator"]) / denominator
    is_integer = match["numerator"].isdecimal() and not match["denominator"] and not match["percent"]
    return _Number(-value if match["sign"] == "-" else value, is_integer, bool(match["percent"]))


def _without_percent(number: _Number) -> Fraction:
    return number.value / 100 if number.is_percent else number.value


def _plain_numbers(text: str) -> str:
    """Return the text with its numbers in plain form: "$1,000" as 1000, "\\frac{1}{2}" as 1/2, "3 x 10^5" as 3e5."""
    text = _SEPARATOR.sub("", text.translate(_DASHES).replace("$", ""))
    text = re.sub("[¼-¾⅐-⅞]", lambda sign: f" {unicodedata.normalize('NFKC', sign[0])}".replace("⁄", "/"), text)
    text = _FRACTION.sub(r" \g<sign>\g<numerator>/\g<denominator>", text)
    return _POWER_OF_TEN.sub(lambda power: f"{'' if power['one'] is None else 1}e{power['power']}", text)


def _chosen_letter(text: str) -> str:
    """Return the letter that the text chooses, in lower case; "" if it chooses none or several."""
    bare = normalise(text).strip("()[]{} ")
    if len(bare) == 1:
        return bare
    if leading := _LEADING.match(text):
        return leading[1].casefold()
    stated = _STATED.findall(text) or [one or other for one, other in _OPTION.findall(text)]
    letters = {letter.casefold() for letter in stated}
    return letters.pop() if len(letters) == 1 else ""
