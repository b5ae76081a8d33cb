"""One notation for what answers write in several: characters, LaTeX, markdown, groups of thousands.

Pure, and linear in the text: possessive quantifiers never backtrack.
"""

import re
from typing import NamedTuple

# Some keyboards write ASCII in full-width forms; any dash before a number may be a minus. The full-width
# exclamation mark is not among them: it ends a sentence, and is no factorial.
_CHARACTERS: dict[int, str] = {0xFF01 + offset: chr(0x21 + offset) for offset in range(1, 94)}
_CHARACTERS |= dict.fromkeys(map(ord, "‐‑‒–−"), "-") | dict.fromkeys(map(ord, "×·⋅∙"), "×")
_CHARACTERS |= {ord("、"): ",", ord("٪"): "%", ord("٫"): ".", ord("٬"): ",", ord("⁄"): "/"}

_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SUPERSCRIPTS = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]++")
_VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5"}
_VULGAR |= {"⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8", "⅐": "1/7", "⅑": "1/9", "⅒": "1/10"}
_VULGARS = re.compile(r"(\d?)([½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞⅐⅑⅒])")

_BRACE = re.compile(r"\\(?:boxed|fbox)\s?\{|\\.|[{}]", re.DOTALL)
_WRAPPER = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|mbox|operatorname)\s?\{([^{}]{0,1000})\}")
_SIGNS = {
    "times": "×", "cdot": "×", "div": "÷", "pm": "±", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠",
    "neq": "≠", "lt": "<", "gt": ">", "approx": "≈", "pi": "π", "infty": "∞", "sqrt": "√", "neg": "¬", "lnot": "¬",
    "to": "→", "rightarrow": "→", "Rightarrow": "→", "implies": "→", "dfrac": r"\frac", "tfrac": r"\frac",
    "cfrac": r"\frac", "left": "", "right": "", "displaystyle": "", "quad": " ", "degree": "°",
}  # fmt: skip
_SIGN = re.compile(rf"\\({'|'.join(_SIGNS)})(?![A-Za-z])")
_SPACE = re.compile(r"\\[,;: ]")
_ESCAPED = re.compile(r"\\([%$#&_{}*])")
_FRACTION = re.compile(
    r"(?P<before>\d?)(?P<sign>-?)\\frac\s?(?:\{\s?(?P<minus>-?)\s?(?P<top>\d{1,300}+)\s?\}|(?P<t>\d))"
    r"\s?(?:\{\s?(?P<under>-?)\s?(?P<bottom>\d{1,300}+)\s?\}|(?P<b>\d))"
)
_BRACED = re.compile(r"([√^_])\{(-?\d{1,20}|[^\W\d_])\}")
_DEGREES = re.compile(r"\^\{?(?:\\circ|∘)\}?")

_EMPHASIS = re.compile(r"[*_~]++")
_THOUSANDS = re.compile(
    r"(?<![\d.\[])(?<!\d[,'’\u00a0\u2009\u202f])(?:\d{1,3}(?:(?:,\d{3})++|(?:['’\u00a0\u2009\u202f]\d{3})++)"
    r"|\d{1,2}(?:,\d{2}(?!\d))++,\d{3})(?!\d|,\d)"
)
_SEPARATOR = re.compile(r"[,'’\u00a0\u2009\u202f]")
# Scripts that write no spaces, or join words to a number: "答案是42", "选B", "42입니다".
_CJK = r"\u0e00-\u0eff\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_JOINED = re.compile(rf"(?<=[{_CJK}])(?=[0-9A-Za-z]|[-$.]\d)|(?<=[0-9A-Za-z])(?=[{_CJK}])")


class Box(NamedTuple):
    """A \\boxed{…}: where the command starts, and where its content starts and ends."""

    command: int
    start: int
    end: int


def plain_characters(text: str) -> str:
    """Return the text with full-width, dash, fraction and superscript characters in ASCII."""
    text = _SUPERSCRIPTS.sub(lambda digits: "^" + digits[0].translate(_SUPERSCRIPT), text.translate(_CHARACTERS))
    return _VULGARS.sub(lambda match: f"{match[1]} {_VULGAR[match[2]]}" if match[1] else _VULGAR[match[2]], text)


def plain_latex(text: str) -> str:
    """Return the text with its LaTeX as plain text: "\\frac{1}{2}" is "1/2", "\\sqrt{2}" "√2", "\\boxed{5}" "5"."""
    text = text.replace("{,}", ",")
    if "\\" not in text:
        return _BRACED.sub(r"\1\2", text)
    text = _WRAPPER.sub(r"\1", _DEGREES.sub("°", without_boxes(text)))
    text = _SIGN.sub(lambda sign: _SIGNS[sign[1]], text.replace("\\!", ""))
    text = _SPACE.sub("\u2009", _FRACTION.sub(_fraction, text))
    return _BRACED.sub(r"\1\2", _ESCAPED.sub(r"\1", text))


def _fraction(match: re.Match[str]) -> str:
    minus = [match["sign"], match["minus"], match["under"]].count("-") % 2
    space = " " if match["before"] and not match["sign"] else ""  # a mixed number
    return f"{match['before']}{space}{'-' * minus}{match['top'] or match['t']}/{match['bottom'] or match['b']}"


def boxes(text: str) -> list[Box]:
    """Return the complete \\boxed{…} of a text, in the order in which they end."""
    complete, open_braces = [], []
    for match in _BRACE.finditer(text):
        if match[0][-1] == "{" and (len(match[0]) == 1 or len(match[0]) > 2):
            open_braces.append(match)
        elif match[0] == "}" and open_braces:
            start = open_braces.pop()
            if len(start[0]) > 1:
                complete.append(Box(start.start(), start.end(), match.start()))
    return complete


def last_box(text: str) -> str | None:
    """Return the content of the last \\boxed{…}."""
    last = boxes(text)[-1:]
    return text[last[0].start : last[0].end] if last else None


def without_boxes(text: str) -> str:
    """Return the text with the content of each \\boxed{…} in its place."""
    marks = [mark for box in boxes(text) for mark in ((box.command, box.start), (box.end, box.end + 1))]
    return _without(text, marks)


def without_emphasis(text: str) -> str:
    """Remove the marks of bold, italics and strike-through that stand in pairs around something."""
    open_marks: dict[str, int] = {}
    marks: list[tuple[int, int]] = []
    for match in _EMPHASIS.finditer(text):
        mark, before, after = match[0], text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
        if mark in open_marks and before.strip() and not after.isalnum():
            start = open_marks.pop(mark)
            marks += [(start, start + len(mark)), match.span()]
        elif after.strip() and not before.isalnum():
            open_marks[mark] = match.start()
    return _without(text, marks)


def _without(text: str, marks: list[tuple[int, int]]) -> str:
    pieces, end = [], 0
    for start, stop in sorted(marks):
        pieces.append(text[end:start])
        end = stop
    return "".join([*pieces, text[end:]])


def join_thousands(text: str) -> str:
    """Return the text without the separators of thousands: "1,000", "1,00,000", "12 000" with a no-break space."""
    return _THOUSANDS.sub(lambda number: _SEPARATOR.sub("", number[0]), text)


def separate_scripts(text: str) -> str:
    """Return the text with a space between Chinese, Japanese, Korean or Thai and ASCII letters or digits."""
    return _JOINED.sub(" ", text)
