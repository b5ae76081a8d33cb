"""Whether an answer is right: pure functions of the answer and what was expected, linear in their length."""

import re
import unicodedata
from fractions import Fraction
from typing import Literal, NamedTuple

from llamaberry.graph.answers import normalise

# No part of a date, a time, a range, a power or a word; a unit may follow at once ("5kg"), but no scale ("5k", "2x").
_NUMBER = re.compile(
    r"(?<![\w.^])(?<!\d[-,:/])(?P<sign>[-+])?(?:(?P<whole>\d{1,400}+) (?=\d{1,400}+ ?/))?"
    r"(?P<above>(?:\d{1,400}+(?:\.\d{1,400}+)?|\.\d{1,400}+)(?:e[-+]?\d{1,3}(?!\d))?)"
    r"(?: ?/ ?(?P<below>\d{1,400}+))?(?P<percent> ?\\?%| percent\b)?(?!\w*\d|(?-i:[kKMBTx])(?!\w)|[-.,:/^]\d)",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"(?<=\d)(?:\{?,\}?|\\,|[\u00a0\u2009\u202f_])(?=\d{3}(?!\d))")
_FRACTION = re.compile(r"(?P<sign>-?) ?\\[dt]?frac\{(?P<above>\d{1,400}+)\}\{(?P<below>\d{1,400}+)\}")
_POWER_OF_TEN = re.compile(
    r"(?:(?<=\d) ?(?:\\times|\\cdot|[x×*·]) ?|(?<![\w.])(?P<one>))10\^\{?(?P<power>[-+]?\d{1,3})\}?"
)
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212\uff0d"), "-")
_RELATIVE = Fraction(1, 10**6)
"""How far a number that is not whole may be off by default, relative to what is expected."""


# A letter that stands for an option: "I" and the article are words, in brackets they are not.
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
    whole: bool
    percent: bool


def exact(answer: str, expected: str) -> bool:
    """Whether the two are the same but for case, space, punctuation, markdown and the way a number is written."""
    return normalise(answer) == normalise(expected)


def number(answer: str, expected: str, tolerance: float | None = None) -> bool:
    """Whether the answer's number is the expected one, within `tolerance` (absolute).

    By default a whole number has to be met, and any other within a millionth of it. The answer's number is the only one
    in it, or the last: "12 * 3 = 36 legs" is 36. Fractions and percentages count as what they are worth: "3/4" is 0.75,
    "50%" is 0.5; where one of the two alone has the sign, "50%" is 50 as well.
    """
    found, wanted = _number(answer), _number(expected)
    if found is None or wanted is None:
        return False

    def near(one: Fraction, other: Fraction) -> bool:
        allowed = 0 if wanted.whole else abs(other) * _RELATIVE
        return abs(one - other) <= (allowed if tolerance is None else Fraction(str(tolerance)))

    return near(_worth(found), _worth(wanted)) or (found.percent != wanted.percent and near(found.value, wanted.value))


def choice(answer: str, expected: str) -> bool:
    """Whether the answer chooses the expected letter: "B", "(b)", "B) Paris", "The answer is B."; not so "A or B"."""
    return _option(answer) == _option(expected) != ""


def fitting(expected: str) -> Literal["number", "choice", "exact"]:
    """Return the name of the checker that fits what is expected: a number, a single letter, or a text."""
    plain = _plain(expected).strip().rstrip(".")
    if _NUMBER.fullmatch(plain) and _number(plain):
        return "number"
    return "choice" if re.fullmatch(r"\(?[A-Z][).]?", expected.strip()) else "exact"


def _number(text: str) -> _Number | None:
    numbers = list(_NUMBER.finditer(_plain(text)))
    if not numbers:
        return None
    found = numbers[-1]
    below = Fraction(found["below"] or 1)
    if not below:
        return None
    value = Fraction(found["whole"] or 0) + Fraction(found["above"]) / below
    whole = found["above"].isdecimal() and not found["below"] and not found["percent"]
    return _Number(-value if found["sign"] == "-" else value, whole, bool(found["percent"]))


def _worth(number: _Number) -> Fraction:
    return number.value / 100 if number.percent else number.value


def _plain(text: str) -> str:
    """Without what may surround a number: "$1,000" is 1000, "\\frac{1}{2}" is 1/2, "3 x 10^5" is 3e5."""
    text = _SEPARATOR.sub("", text.translate(_DASHES).replace("$", ""))
    text = re.sub("[¼-¾⅐-⅞]", lambda sign: f" {unicodedata.normalize('NFKC', sign[0])}".replace("⁄", "/"), text)
    text = _FRACTION.sub(r" \g<sign>\g<above>/\g<below>", text)
    return _POWER_OF_TEN.sub(lambda power: f"{'' if power['one'] is None else 1}e{power['power']}", text)


def _option(text: str) -> str:
    """The letter that the text chooses; "" where it chooses none, or several."""
    bare = normalise(text).strip("()[]{} ")
    if len(bare) == 1:
        return bare
    if leading := _LEADING.match(text):
        return leading[1].casefold()
    found = _STATED.findall(text) or [one or other for one, other in _OPTION.findall(text)]
    letters = {letter.casefold() for letter in found}
    return letters.pop() if len(letters) == 1 else ""
