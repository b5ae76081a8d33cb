"""The numbers of a text, in any notation. Pure, linear in the text, and it never raises.

A number counts only with what stands around it: "√2", "10-12", "2x", "not 5", "at least 5" and "12:30" are not the
numbers in them, "2 million" and "minus 5" are other numbers.
"""

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from llamaberry.graph import notation


class Number(NamedTuple):
    """The number that a text states."""

    value: Fraction
    """Of "50%" it is 50."""
    unit: Fraction
    """The value of its last decimal, 0.01 of "1.25"; 0 if it has less than two decimals."""
    is_integer: bool
    """Whether it is written as one."""
    is_percent: bool
    rest: str
    """The text around it, such as a unit."""


class Token(NamedTuple):
    """A number and its place in the plain text."""

    number: Number | None
    """None for a part of something else, such as a formula."""
    start: int
    end: int


# How a number is written.
CURRENCIES = (
    "US|NT|HK|AU|CA|NZ|SG|MX|Rs|EUR|USD|GBP|CHF|JPY|CNY|RMB|KRW|TWD|HKD|SGD|AUD|CAD|NZD|INR|SEK|NOK|DKK|PLN|CZK|HUF"
    "|BRL|MXN|ZAR|RUB|TRY|THB|IDR|MYR|PHP|VND|AED|SAR|ILS|kr|Fr"
)
_ATTACHED = re.compile(rf"(?<![A-Za-z])((?i:{CURRENCIES})|[ACRS](?=\$))(?:\.|\$)?(?=\s?-?\$?\.?\d)")
_DOLLARS = re.compile(r"\\[()\[\]]|[$`]")
_BULLET = re.compile(r"^[*•] ", re.MULTILINE)
_EUROPEAN = re.compile(r"(?<![\d.,])(\d{1,3}(?:\.\d{3})++),(\d++)(?![\d.,]\d)")
_COMMA = re.compile(r"(?<![\d.,])(\d++),(\d++)(?![.,]?\d)")
_DECIMAL_COMMA = re.compile(
    r"(?<![\d.,])(?:\d{1,3}(?:\.\d{3})++,\d++|0,\d++|\d{1,400}+,(?:\d{1,2}|\d{4,400}+))(?![\d,]|\.\d)"
)
_SPACED = re.compile(r"(?<![\d.,/])(?<!\d )\d{1,3}(?:(?: \d{3})++|(?:_\d{3})++)(?![\w/]| ?/|,\d)")
_POWER_OF_TEN = re.compile(
    r"(?:(?<=\d) ?[×*x] ?|(?<![\w.,])(?P<one>))10 ?(?:\^|\*\*) ?\{?(?P<power>[-+]?\d{1,3})\}?(?!\d)"
)
_POWER = re.compile(r"(?<=[\w)\]}]) ?\*\* ?(?=[-\w(\[{.])")
_AREA = re.compile(r"(?<![^\W_])((?:[cdkm]?m|ft|in|inch(?:es)?|mi|miles?|yd|yards?|units?|s))\^-?[23](?!\d)")
_EQUALS = re.compile(r"(?<![-=])[-=]++>|[→⇒]|==+")
_SUM = re.compile(
    r"(\d ?(?:times|plus|minus|divided by|multiplied by|[-+*×/÷]) ?\d{1,300}+(?:\.\d{1,300}+)?)"
    r" (?:is|equals|gives|makes|yields)(?: equal to)? (?=\D?\d)"
)
_NUMBER = re.compile(
    r"(?P<whole>(?<!\d)\d{1,400}+ (?=\d{1,400}+ ?/ ?\d))?"
    r"(?P<top>\d{1,400}+(?:\.(?P<decimals>\d{1,400}+))?|(?<![\w.])\.(?P<only>\d{1,400}+))"
    r"(?P<exponent>[eE][-+]?\d{1,3}(?!\d))?(?: ?/ ?(?P<bottom>\d{1,400}+)(?![.\d]))?(?:\^(?P<power>-?\d{1,3}+))?"
)
SCALES = {
    "dozen": 12, "hundred": 10**2, "百": 10**2, "thousand": 10**3, "千": 10**3, "k": 10**3, "万": 10**4, "萬": 10**4,
    "만": 10**4, "lakh": 10**5, "million": 10**6, "mn": 10**6, "m": 10**6, "crore": 10**7, "亿": 10**8, "億": 10**8,
    "억": 10**8, "billion": 10**9, "bn": 10**9, "b": 10**9, "trillion": 10**12, "t": 10**12,
}  # fmt: skip
_SCALE = re.compile(
    rf" ?((?i:{'|'.join(name for name in SCALES if len(name) > 2)})(?=s?(?![^\W_]))|(?:k|[mb]n)(?![^\W_])"
    r"|[百万萬만亿億억](?!分)|千(?![克米瓦卡]))s?|([KMBT])(?![^\W_])"
)

# What stands before and after it.
_SIGN = re.compile(
    r"(?:(?<![\w)\]}%!])(?=[-+]$)|(?:^|[\n=:(\[{,<>≤≥≈~]|\b(?:is|are|was|be|equals?|to|of|than|about|gives?)) ?)"
    r"(?P<sign>[-+]) ?$"
    r"|(?:(?:^|[^\w)\]}\s] ?|[^\W\d_]{2} |\n)(?P<word>minus|negative) |(?P<cjk>负|負|マイナス) ?)$",
    re.IGNORECASE,
)
_CURRENCY_BEFORE = re.compile(rf"(?:[€£¥₹₩₽₺₴฿]|(?<![A-Za-z])(?i:{CURRENCIES}|[ACRS])) ?$")
_IN_A_NAME = re.compile(r"(?:[^\W\d_]{2}-|[^\W\d])$")
_NOT = re.compile(
    r"(?:\b(?:not|never|cannot|except)|n['’]t|≠|不是|并非)(?: (?:be|equal to|the|an?|just|\S{1,8}:))? ?$", re.IGNORECASE
)
_BOUND = re.compile(
    r"(?:\b(?:than|least|most|over|under|above|below|up to|within|nearly|almost|half|third|quarter|double|twice|root"
    r"|factorial|square|cube|log|ln|sin|cos|tan|exp|sqrt|mod|times|plus|minus|divided by|multiplied by|%)(?: of)?"
    r"|%(?: of)?|[<>≤≥±√∛+*×/÷^]|√[({]|[a-z][({\[_]|[\w}^_√]\{|(?:\d|\b[a-z]|[)\]}]) ?-|\d[:.,]"
    r"|\b(?:zero|one|two|three|four|five|six|seven|eight|nine|ten) (?:or|to)"
    r"|\|(?! )|\b(?:log|root)_\S{1,4} |至少|最多|超过|少于|大于|小于|不到) ?$",
    re.IGNORECASE,
)
_FORMULA = re.compile(
    r"\.?(?:\\[a-zA-Z]|\(\d)|[a-zA-Z]?\(|\^|_\w|[²³]| ?[√∛πθ∞±]| ?- ?[\d(√.]|-[a-z]\b|[a-z]*\d|\+(?!\w)"
    r"| ?[*×+÷/] ?(?:[\d(√.]|[^\W\d_](?![^\W_]))"
    r"|(?:[abeijnpqruvwxyz]|[xyz]{2,3}|ab)(?!\w)| [xy](?![^\W_])| pi(?!\w)|[:/.,]\d|\}[\^(\w]"
    r"|%? (?:times|plus|minus|divided by|multiplied by) \D?\d|% of \D?\d"
    r"| (?:squared|cubed|factorial|to the power|mod)(?!\w)| and (?:a half|half|a quarter)(?!\w)"
    r"| or (?:more|less|fewer|above|below|over|under)(?!\w)"
)
_EXCLAMATION = re.compile(r"[^\W\d_]{2,} \S{0,3}$")
_WINDOW = 40


def has_decimal_comma(text: str) -> bool:
    """Return whether a text writes a decimal with a comma: "3,14", "1.234,56", but not "1,000"."""
    return _DECIMAL_COMMA.search(notation.plain_characters(text)) is not None


def plain_numbers(text: str, *, decimal_comma: bool = False) -> str:
    """Return the text with its numbers in the notation that `find_numbers` reads."""
    text = notation.separate_scripts(notation.plain_latex(notation.plain_characters(text)))
    text = _DOLLARS.sub("", _ATTACHED.sub(r"\1 ", text))
    text = _EUROPEAN.sub(lambda number: f"{number[1].replace('.', '')}.{number[2]}", text)
    text = notation.join_thousands(_COMMA.sub(r"\1.\2", text) if decimal_comma else text)
    text = "\n".join(" ".join(line.split()) for line in text.split("\n"))
    text = _SPACED.sub(lambda number: re.sub("[ _]", "", number[0]), _BULLET.sub("", text))
    text = text.replace("<=", "≤").replace(">=", "≥").replace("!=", "≠").replace(" percent", "%").replace(" %", "%")
    text = _POWER_OF_TEN.sub(lambda power: f"{'' if power['one'] is None else 1}e{power['power']}", text)
    return _SUM.sub(r"\1 = ", _EQUALS.sub("=", _POWER.sub("^", _AREA.sub(r"\1", text))))


def find_numbers(text: str) -> Iterator[Token]:
    """Yield the numbers of a plain text, without those in names ("B5") and those that it denies ("not 5")."""
    for match in _NUMBER.finditer(text):
        start, end, before = match.start(), match.end(), text[max(0, match.start() - _WINDOW) : match.start()]
        if currency := _CURRENCY_BEFORE.search(before):
            before = before[: currency.start()]
        is_negative = False
        if sign := _SIGN.search(before):
            start -= len(match.string[start - len(before) : start]) - sign.start(sign.lastgroup or 0)
            is_negative = sign[sign.lastgroup or 0] != "+"
            before = before[: sign.start(sign.lastgroup or 0)]
        elif _IN_A_NAME.search(before) and not currency:
            continue
        if _NOT.search(before):
            continue
        scale = 1
        if multiple := _SCALE.match(text, end):
            scale, end = SCALES[(multiple[1] or multiple[2]).casefold()], multiple.end()
        is_part = bool(_BOUND.search(before) or _FORMULA.match(text, end) or (multiple and _SCALE.match(text, end)))
        if text[end : end + 1] == "!":  # a factorial, unless it ends a sentence
            is_part |= bool(text[end + 1 : end + 2].strip()) or not _EXCLAMATION.search(before)
        value = None if is_part else _value(match)
        if value is None:
            yield Token(None, start, end)
            continue
        value *= -scale if is_negative else scale
        decimals = "" if match["exponent"] else match["only"] or match["decimals"] or ""
        unit = Fraction(scale, 10 ** len(decimals)) if len(decimals) > 1 else Fraction(0)
        is_integer = not (match["decimals"] or match["only"] or match["exponent"] or match["bottom"])
        yield Token(Number(value, unit, is_integer, text[end : end + 1] == "%", ""), start, end)


def _value(match: re.Match[str]) -> Fraction | None:
    if match["bottom"]:
        if not int(match["bottom"]) or match["power"]:
            return None
        return Fraction(match["whole"] or 0) + Fraction(match["top"] + (match["exponent"] or "")) / int(match["bottom"])
    value = Fraction(match["top"] + (match["exponent"] or ""))
    if power := match["power"]:
        if abs(int(power)) * len(match["top"]) > 2_000 or not value or match["exponent"]:
            return None
        value **= int(power)
    return value
