"""Whether an answer and what a program printed mean the same. Pure, and linear in the text."""

import re
from fractions import Fraction
from typing import NamedTuple

from llamaberry.graph.answers import normalise

MAX_COMPARED_CHARS = 2_000
"""A longer text is compared word for word only: it is no short result."""

_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SUPERSCRIPTS = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]++")
_FACTORIAL = re.compile(r"\d!")
_AREA_OR_VOLUME = re.compile(
    r"(?<![^\W_])((?:[cdkm]?m|ft|in|inch(?:es)?|mi|miles?|yd|yards?|units?|s))(?:[²³]|\^\{?[23]\}?)"
)
_DASHES = dict.fromkeys(map(ord, "‐‑‒–−－"), "-")
_FRACTION = re.compile(r"\\[dt]?frac\{(\d{1,300})\}\{(\d{1,300})\}")
_POWER = re.compile(
    r"(?:(\d{1,30}(?:\.\d{1,30})?) ?(?:×|\*|\\times|x) ?)?(?<!\d)10 ?(?:\^|\*\*) ?\{?(-?\d{1,3})\}?(?!\d)"
)
_MARKUP = re.compile(r"\\boxed|\\(?:text|mathrm)(?=\{)|[*`$]|\\[()\[\]]|(?<![^\W_])_++|_++(?![^\W_])")
_THOUSANDS = re.compile(
    r"(?<![\d.])\d{1,3}(?:(?:,\d{2,3}){0,20},\d{3}|(?:[ \u00a0\u2009\u202f'’]\d{3}){1,20})(?!\d|,\d)"
)
_SEPARATOR = re.compile(r"[, \u00a0\u2009\u202f'’]")
_NUMBER = re.compile(
    r"(?<![a-z0-9_.])(?P<sign>[-+]?)(?:(?P<whole>\d{1,300}) )?(?P<top>\d{1,300}) ?/ ?(?P<bottom>\d{1,300})(?![\d.]?\d)"
    r"|(?<![a-z0-9_.])[-+]?\d{1,300}(?:\.(?P<decimals>\d{1,300}))?(?P<exponent>e[-+]?\d{1,3})?(?![\d.]?\d)"
    r"|(?<![a-z0-9_.])[-+]?\.(?P<only>\d{1,300})(?![\d.]?\d)"
)
_FACTORS = {"dozen": 12, "hundred": 100, "thousand": 10**3, "k": 10**3, "million": 10**6, "billion": 10**9}
_FACTOR = re.compile(rf" ?({'|'.join(_FACTORS)})(?![^\W_])")
_MINUS = re.compile(r"\b(?:minus|negative) (?=[\d.])")
_BOUND_BEFORE = re.compile(r"(?:\b(?:not|than|least|most|over|under|above|below|up to)|[<>≤≥√±]|[a-z][({]) ?$")
_PART_OF_FORMULA = re.compile(r"(?:[²³½¼¾π√^]|\*\*| ?x\b| ?pi\b)")
_ALTERNATIVE = re.compile(r",(?!\d{3})|[;\n]|\b(?:or|and)\b")
_WORD = re.compile(r"[^\W\d_]+|[%‰€£¥₹]")
_FILLERS = {"the", "a", "an", "of", "is", "are", "was", "it", "its", "it's", "total", "result", "answer", "final", "so"}
_SMALL_NUMBERS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]
_YES_NO = re.compile(r"\W*+(yes|no|true|false|correct|incorrect)[\s*_`]*+(?:[,.;:!。，！]|$)")
_YES = {"yes": True, "true": True, "correct": True, "no": False, "false": False, "incorrect": False}
_LABEL = re.compile(
    r"(?:(?:so|therefore|thus) )?(?:(?:(?:the )?(?:(?:final|correct) )?(?:answer|result|option|choice)(?: is| was)?"
    r"|(?:it|(?:the )?(?:day|date|word|name|letter|colour|color|number))"
    r"(?: is|'s| was| will be| falls))(?: on)?(?: the| an?(?= \w\w))? |答案(?:是|为)? ?)(?=.)"
)
_CHOICE = re.compile(r"\W*([a-z])[).:](?=\s|$)")
_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_QUOTES = re.compile(r"(?<![^\W_])['\"“”‘’]|['\"“”‘’](?![^\W_])")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = rf"({'|'.join(_MONTHS)})[a-z]{{0,6}}\.?"
_DATES = (
    (re.compile(r"(?<!\d)(\d{4})-(\d{1,2})-(\d{1,2})(?: 00:00:00)?(?!\d)"), (1, 2, 3)),
    (re.compile(rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? {_MONTH},? (\d{{4}})(?!\d)"), (3, 2, 1)),
    (re.compile(rf"\b{_MONTH} (\d{{1,2}})(?:st|nd|rd|th)?,? (\d{{4}})(?!\d)"), (3, 1, 2)),
)


class Number(NamedTuple):
    """The only number of a text: its value, the unit of its last decimal (0: it is no decimal), and the words."""

    value: Fraction
    unit: Fraction
    is_float: bool
    words: frozenset[str]


def agrees(answer: str | None, printed: str | None) -> bool:
    """Return whether an answer and a program's answer mean the same.

    "6.0" is "6", "No, it is not." is "False", "70 days" is "70", "$1,000" is "1000.00", "3/4" is "0.75", "It is 5 km."
    is "5", "3 May 2025" is "2025-05-03", "[1, 2]" is "1, 2". A number with two or more decimals may be rounded.
    Of an answer of several lines, the first may state the result alone, and the others explain it.
    Percent stay percent: "50%" may be "50", but is not "0.5". A number with "not", "at least" or "x" is another one.
    """
    if not answer or not printed:
        return False
    if bool(_FACTORIAL.search(answer)) != bool(_FACTORIAL.search(printed)) and "=" not in answer:
        return False  # to normalise(), "!" is punctuation
    if normalise(answer) == normalise(printed):
        return True
    if max(len(answer), len(printed)) > MAX_COMPARED_CHARS:
        return False
    first_line, _, others = answer.strip().partition("\n")
    return _agrees(answer, printed) or (bool(others) and _agrees(first_line, printed))


def _agrees(answer: str, printed: str) -> bool:
    one, other = _plain(answer), _plain(printed)
    yes, own = _YES_NO.match(other), _YES_NO.match(one)
    if yes and yes.end() >= len(other):
        return own is not None and _YES[own[1]] == _YES[yes[1]]
    if (day := _date(other)) or _date(one):
        return day == _date(one)
    if _is_choice(one, other) or _is_choice(other, one) or _phrase(one) == _phrase(other):
        return True
    return _same_number(_only_number(one), _only_number(other))


def _plain(text: str) -> str:
    return " ".join(text.translate(_DASHES).casefold().replace("\n", "; ").split(" ")).strip()


def _date(text: str) -> tuple[int, ...] | None:
    """Return the only date of a text as year, month, day."""
    dates = []
    for pattern, order in _DATES:
        for match in pattern.finditer(text):
            parts = [match[group] for group in order]
            dates.append(tuple(_MONTHS.index(part) + 1 if part in _MONTHS else int(part) for part in parts))
    return dates[0] if len(dates) == 1 else None


def _is_choice(letter: str, text: str) -> bool:
    """Return whether a text is the choice with this letter: "B) Paris" is "B"."""
    choice = _CHOICE.match(text)
    return choice is not None and choice[1] == normalise(letter)


def _phrase(text: str) -> str:
    """Return a text without "The answer is", and without the brackets and quotes of a list."""
    text = normalise(text)
    if label := _LABEL.match(text):
        text = text[label.end() :]
    while len(text) > 2 and _BRACKETS.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    return normalise(_QUOTES.sub("", re.sub(r"\band\b", ",", text)))


def _same_number(number: Number | None, printed: Number | None) -> bool:
    if number is None or printed is None:
        return False
    if not (number.words <= printed.words or printed.words <= number.words):
        return False  # "2 apples" is not "2 pears"
    if not (number.is_float or printed.is_float):
        return number.value == printed.value
    difference = abs(number.value - printed.value)
    return difference <= max(abs(printed.value) / 10**9, number.unit / 2)


def _only_number(text: str) -> Number | None:
    """Return the number of a text, if it has exactly one or ends with "= NUMBER"."""
    if "=" in text:
        first, last = text.index("="), text.rindex("=")
        if _ALTERNATIVE.search(text, first, last) or text[last - 1 : last] in ("<", ">", "!"):
            return None  # "x = 5 or x = 6", "x >= 5"
        text = text[last + 1 :]
    text = _THOUSANDS.sub(lambda number: _SEPARATOR.sub("", number[0]), _clean(text))
    words = [word for word in _WORD.findall(text) if word not in _FILLERS]
    if len(words) in (1, 2) and not re.search(r"\d", text) and words[0] in _SMALL_NUMBERS:
        text = text.replace(words[0], str(_SMALL_NUMBERS.index(words[0])), 1)
    matches = list(_NUMBER.finditer(text))
    if len(matches) != 1:
        return None
    match = matches[0]
    before, after = text[: match.start()], text[match.end() :]
    if _BOUND_BEFORE.search(before[-12:]) or _PART_OF_FORMULA.match(after):
        return None
    if match["bottom"] and not int(match["bottom"]):
        return None
    factor = 1
    if multiple := _FACTOR.match(after):
        factor, after = _FACTORS[multiple[1]], after[multiple.end() :]
    value, decimals = _value(match)
    words = [word.removesuffix("s") for word in _WORD.findall(f"{before} {after}") if word not in _FILLERS]
    unit = Fraction(factor, 10 ** len(decimals)) if len(decimals) >= 2 else Fraction(0)
    return Number(value * factor, unit, "." in match[0] or "/" in match[0] or "e" in match[0], frozenset(words))


def _value(match: re.Match[str]) -> tuple[Fraction, str]:
    if match["bottom"]:
        value = Fraction(match["whole"] or 0) + Fraction(int(match["top"]), int(match["bottom"]))
        return -value if match["sign"] == "-" else value, ""
    decimals = match["only"] or ("" if match["exponent"] else match["decimals"] or "")
    return Fraction(match[0]), decimals


def _clean(text: str) -> str:
    """Return a text without markup, and with its fractions and powers of ten as plain numbers."""
    text = _AREA_OR_VOLUME.sub(r"\1", text)
    text = _SUPERSCRIPTS.sub(lambda digits: "^" + digits[0].translate(_SUPERSCRIPT), text)
    text = _POWER.sub(lambda power: f"{power[1] or 1}e{power[2]}", _FRACTION.sub(r"\1/\2", text))
    return _MINUS.sub("-", _MARKUP.sub("", text)).replace(" percent", "%")
