"""Whether an answer and what a program printed mean the same. Pure, and linear in the text."""

import re

from llamaberry.graph.answers import normalise
from llamaberry.graph.choices import chosen_letter
from llamaberry.graph.numbers import Number
from llamaberry.graph.stated_number import FILLERS, stated_number

MAX_COMPARED_CHARS = 2_000
"""A longer text is compared word for word only: it is no short result."""

_DASHES = dict.fromkeys(map(ord, "‐‑‒–−－"), "-")
_WORD = re.compile(r"[^\W\d_]+|[%‰€£¥₹]")
_YES_NO = re.compile(r"\W*+(yes|no|true|false|correct|incorrect)[\s*_`]*+(?:[,.;:!。，！]|$)")
_YES = {"yes": True, "true": True, "correct": True, "no": False, "false": False, "incorrect": False}
_LABEL = re.compile(
    r"(?:(?:so|therefore|thus) )?(?:(?:(?:the )?(?:(?:final|correct) )?(?:answer|result|option|choice)(?: is| was)?"
    r"|(?:it|(?:the )?(?:day|date|word|name|letter|colour|color|number))"
    r"(?: is|'s| was| will be| falls))(?: on)?(?: the| an?(?= \w\w))? |答案(?:是|为)? ?)(?=.)"
)
_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_QUOTES = re.compile(r"(?<![^\W_])['\"“”‘’]|['\"“”‘’](?![^\W_])")
_MAYBE_DECIMAL = re.compile(r"\W*+\d++,\d++\W*+")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = rf"({'|'.join(_MONTHS)})[a-z]{{0,6}}\.?"
_DATES = (
    (re.compile(r"(?<!\d)(\d{4})-(\d{1,2})-(\d{1,2})(?: 00:00:00)?(?!\d)"), (1, 2, 3)),
    (re.compile(rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? {_MONTH},? (\d{{4}})(?!\d)"), (3, 2, 1)),
    (re.compile(rf"\b{_MONTH} (\d{{1,2}})(?:st|nd|rd|th)?,? (\d{{4}})(?!\d)"), (3, 1, 2)),
)


def agrees(answer: str | None, printed: str | None) -> bool:
    """Return whether an answer and a program's answer mean the same.

    "6.0" is "6", "No, it is not." is "False", "70 days" is "70", "$1,000" is "1000.00", "3/4" is "0.75", "It is 5 km."
    is "5", "3 May 2025" is "2025-05-03", "[1, 2]" is "1, 2". A number with two or more decimals may be rounded.
    Of an answer of several lines, the first may state the result alone, and the others explain it.
    Percent stay percent: "50%" may be "50", but is not "0.5".
    """
    if not answer or not printed:
        return False
    if normalise(answer) == normalise(printed):
        return True
    if max(len(answer), len(printed)) > MAX_COMPARED_CHARS:
        return False
    first_line, _, others = answer.strip().partition("\n")
    return _agrees(answer, printed) or (bool(others) and _agrees(first_line, printed))


def without_label(text: str) -> str:
    """Return a normalised text without "The answer is"."""
    label = _LABEL.match(text)
    return text[label.end() :] if label else text


def _agrees(answer: str, printed: str) -> bool:
    one, other = _plain(answer), _plain(printed)
    yes, own = _YES_NO.match(other), _YES_NO.match(one)
    if yes and yes.end() >= len(other):
        return own is not None and _YES[own[1]] == _YES[yes[1]]
    if (day := _date(other)) or _date(one):
        return day == _date(one)
    if _is_choice(answer, printed) or _is_choice(printed, answer):
        return True
    is_list = not (_MAYBE_DECIMAL.fullmatch(one) or _MAYBE_DECIMAL.fullmatch(other))
    if _phrase(one, is_list) == _phrase(other, is_list):
        return True
    return _is_same_number(stated_number(answer), stated_number(printed))


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
    letter = normalise(letter)
    return len(letter) == 1 and letter == chosen_letter(text)


def _phrase(text: str, is_list: bool) -> str:
    """Return a text without "The answer is", and without the brackets, the quotes and the commas of a list."""
    text = without_label(normalise(text))
    while len(text) > 2 and _BRACKETS.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    text = normalise(_QUOTES.sub("", re.sub(r"\band\b", ",", text)))
    return text.replace(", ", " ") if is_list else text


def _is_same_number(number: Number | None, printed: Number | None) -> bool:
    if number is None or printed is None:
        return False
    words, own = _words(number), _words(printed)
    if not (words <= own or own <= words):
        return False  # "2 apples" is not "2 pears"
    if number.is_integer and printed.is_integer:
        return number.value == printed.value
    difference = abs(number.value - printed.value)
    return difference <= max(abs(printed.value) / 10**9, number.unit / 2)


def _words(number: Number) -> frozenset[str]:
    words = (word for word in _WORD.findall(number.rest.casefold()) if word not in FILLERS)
    return frozenset(word.removesuffix("s") for word in words)
