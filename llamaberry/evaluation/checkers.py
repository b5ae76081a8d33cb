"""Whether an answer is right: pure functions of the answer and what was expected."""

import math
import re
from typing import Literal

from llamaberry.graph.answers import normalise

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?:/\d+)?%?(?![\w/]|\.\d)")
_OPTION = re.compile(r"(?<![\w'])([A-Z])(?![\w'])")
_RELATIVE = 1e-6
"""How far a number may be off by default, relative to what is expected."""


def exact(answer: str, expected: str) -> bool:
    """Whether the two are the same but for case, space, punctuation, markdown and the way a number is written."""
    return normalise(answer) == normalise(expected)


def number(answer: str, expected: str, tolerance: float | None = None) -> bool:
    """Whether the answer's number is the expected one, within `tolerance` (absolute; by default a millionth of it).

    The answer's number is the only one in it, or the last: "12 * 3 = 36 legs" is 36. Fractions and percentages count
    as what they are worth: "3/4" is 0.75, "50%" is 0.5.
    """
    found, wanted = _number(answer), _number(expected)
    if found is None or wanted is None:
        return False
    if tolerance is None:
        return math.isclose(found, wanted, rel_tol=_RELATIVE, abs_tol=1e-12)
    return abs(found - wanted) <= tolerance


def choice(answer: str, expected: str) -> bool:
    """Whether the answer chooses the expected letter: "B", "(b)", "B) Paris", "The answer is B."."""
    return _option(answer) == _option(expected) != ""


def fitting(expected: str) -> Literal["number", "choice", "exact"]:
    """Return the name of the checker that fits what is expected: a number, a single letter, or a text."""
    if _NUMBER.fullmatch(_plain(expected).strip(" .")):
        return "number"
    return "choice" if re.fullmatch(r"\(?[A-Z][).]?", expected.strip()) else "exact"


def _number(text: str) -> float | None:
    found = _NUMBER.findall(_plain(text))
    if not found:
        return None
    above, _, below = found[-1].rstrip("%").partition("/")
    if below and not int(below):
        return None
    value = float(above) / (int(below) if below else 1)
    return value / 100 if found[-1].endswith("%") else value


def _plain(text: str) -> str:
    """Without what may surround a number: "$1,000" is 1000, "\\frac{1}{2}" is 1/2."""
    text = re.sub(r"\\[dt]?frac\{(\d+)\}\{(\d+)\}", r"\1/\2", text.replace("\u2212", "-").replace("$", ""))
    return re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)


def _option(text: str) -> str:
    bare = normalise(text).strip("()[]{} ")
    if len(bare) == 1:
        return bare
    leading = re.match(r"\W*([A-Za-z])[).:\]]", text)
    if leading:
        return leading[1].casefold()
    found = [letter for letter in _OPTION.findall(text) if letter not in "I"]
    # "A" is also a word: it counts where nothing else does.
    letters = [letter for letter in found if letter != "A"] or found
    return letters[-1].casefold() if letters else ""
