"""Which number a text states as its answer. Pure, linear in the text, and it never raises."""

import re
from collections.abc import Iterable, Iterator
from fractions import Fraction

from llamaberry.graph import notation
from llamaberry.graph.numbers import CURRENCIES, SCALES, Number, Token, find_numbers, has_decimal_comma, plain_numbers

_HASHES = re.compile(r"####[ \t]*+(\S.*)")
_LABEL = re.compile(
    r"(?:\b(?:answer|result|réponse|respuesta|antwort|lösung)(?! of\b| to \W?\d)|答案|答え|解答|정답|(?<!\w)답|答)"
    r"(?: is| was| would be| est| es| ist| lautet| ?(?:是|为|は|은|는))?\W{0,9}",
    re.IGNORECASE,
)
_IS_ANSWER = re.compile(
    r"\W*+(?:so |thus |therefore )?([^.!?;\n]{1,60}?) (?:is|would be) (?:the|our|my) (?:\w{1,20} )?"
    r"(?:answer|result|solution)\b",
    re.IGNORECASE,
)
_CONCLUSION = re.compile(
    r"\b(?:so(?! (?:far|many|much|that|long)\b)|thus|therefore|hence|altogether|in total|overall|finally)\b"
    r"|\btotal(?: is|:)|因此|所以|一共|总共|よって|したがって|따라서",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(
    r"[\n;。；！？]|[.!?](?=\s|$)|, ?(?=[^\W\d])(?!(?:and|or)\b)|,? (?=not )| \("
    r"|\b(?:because|since|as|where|which|when|if|for)\b|因为",
    re.IGNORECASE,
)
_COPULA = re.compile(r"\b(?:is|are|was|were|equals)\b|(?<![不非])[是为]", re.IGNORECASE)
_BOLD = re.compile(r"\*\*([^*\n]{1,100})\*\*")
_EQUATION_END = re.compile(r"[;\n]|,(?!\d{3}(?!\d))|\.(?=\s|$)|。|\b(?:or|and|so)\b", re.IGNORECASE)
_MAX_CLAUSE, _MAX_CLAUSES = 300, 20
"""An answer is short, and the last statements of it count."""
_MAX_EQUATIONS = 20_000
"""Characters, from the end."""
_MAX_NUMBERS = 1_000
"""A text that repeats a number more often states nothing."""


_BARE_CHARS = 80
_SPELLED = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
FILLERS = {"the", "a", "an", "of", "is", "are", "was", "it", "its", "it's", "total", "result", "answer", "final", "so"}
_WORDS = re.compile(r"[^\W\d_]+(?:'s)?")


def stated_number(text: str, *, decimal_comma: bool = False) -> Number | None:
    """Return the number that a text states as its answer; None if it states none, or several and not which.

    It is the number in a box, after "####" or "The answer is"; otherwise the one in a conclusion ("so …"), in bold,
    on a line of its own, at the end of an equation, after "is", or the only one. With `decimal_comma`, "3,14" is 3.14.
    """
    bare = notation.without_emphasis(text)
    for part in _clear_statements(text, bare):
        part = plain_numbers(part, decimal_comma=decimal_comma)
        if any(True for _ in find_numbers(part)):
            return _only(part)
    for part in _other_statements(text, bare):
        if number := _only(plain_numbers(part, decimal_comma=decimal_comma)):
            return number
    return _spelled(bare)


def is_number(text: str) -> bool:
    """Return whether a text is a number, and nothing else than a currency and a percent sign stands around it."""
    number = stated_number(text, decimal_comma=has_decimal_comma(text))
    return number is not None and not re.search(r"\w", re.sub(rf"\b(?:{CURRENCIES})\b", "", number.rest))


def _clear_statements(text: str, bare: str) -> Iterator[str]:
    box = notation.last_box(text)
    if box is not None:
        yield box
    yield from _HASHES.findall(text)[-1:]
    if stated := _IS_ANSWER.match(bare):
        yield stated[1]
    yield from _clauses(bare, _LABEL)


def _other_statements(text: str, bare: str) -> Iterator[str]:
    yield from _clauses(bare, _CONCLUSION)
    bold = [part for part in _BOLD.findall(text)[-_MAX_CLAUSES:] if _begins_with_number(part)]
    yield "; ".join(bold)
    lines = text.strip().split("\n")
    if len(lines) > 1:
        yield "; ".join(line for line in (lines[0], lines[-1]) if _begins_with_number(line))
    if copula := _COPULA.search(bare):
        yield bare[copula.start() :]
    yield bare


def _clauses(text: str, opening: re.Pattern[str]) -> Iterator[str]:
    """Yield what follows the opening words, up to the end of the clause; the last first."""
    for match in [*opening.finditer(text)][: -_MAX_CLAUSES - 1 : -1]:
        clause = text[match.end() - (match[0][-1:] in "-+(.√$") : match.end() + _MAX_CLAUSE]
        if digit := re.search(r"\d", clause):
            end = _CLAUSE_END.search(clause, digit.end())
            yield clause[: end.start()] if end else clause


def _begins_with_number(line: str) -> bool:
    """Return whether a line is a number and perhaps a unit: "**72** clips"."""
    if len(line) > _BARE_CHARS:
        return False
    line = plain_numbers(line)
    tokens = list(find_numbers(line))
    return len(tokens) == 1 and not re.search(r"\w\w", line[: tokens[0].start]) and line.count(" ") <= 3


def _only(text: str) -> Number | None:
    """Return the result of a text's equations, or its only number."""
    if "=" not in text:
        return _same(text, find_numbers(text), 0, len(text))
    text = text[-_MAX_EQUATIONS:]
    tokens = list(find_numbers(text))
    results: list[tuple[bool, Number | None]] = []
    others: list[Number | None] = []
    start, position = 0, 0
    for stop in [*(match.start() for match in _EQUATION_END.finditer(text)), len(text)]:
        own = []
        while position < len(tokens) and tokens[position].start < stop:
            own.append(tokens[position])
            position += 1
        first, last = text.find("=", start, stop), text.rfind("=", start, stop)
        if last >= 0:
            left, right = [t for t in own if t.start < first], [t for t in own if t.start > last]
            number = _same(text, right, last + 1, stop) or _same(text, left, start, first)  # "36 = 12 * 3"
            results.append((bool(left), number))
            others.clear()
        elif own:
            others.append(_same(text, own, start, stop))
        start = stop
    result = results[-1][1]
    stated = [number for _, number in results]
    if result is None or any(number is None or number.value != result.value for number in others):
        return None
    are_steps = all(is_sum for is_sum, _ in results[:-1])  # "12 * 3 = 36, 36 + 6 = 42", not "x = 5, y = 6"
    return result if are_steps or all(number and number.value == result.value for number in stated) else None


def _same(text: str, tokens: Iterable[Token], start: int, stop: int) -> Number | None:
    """Return the number of the tokens, if all of them are the same number."""
    number: Number | None = None
    for count, token in enumerate(tokens):
        if count > _MAX_NUMBERS or token.number is None:
            return None
        if number is None:
            rest = f"{text[start : token.start]} {text[token.end : stop]}"
            number = token.number._replace(rest=rest)
        elif token.number.value != number.value:
            return None
    return number


def _spelled(text: str) -> Number | None:
    """Return the number of a text of a word or two: "Six.", "Three apples", "minus two"."""
    if len(text) > _BARE_CHARS or re.search(r"\d", text):
        return None
    words = [word for word in _WORDS.findall(text.casefold()) if word not in FILLERS]
    is_negative = words[:1] in (["minus"], ["negative"])
    words = words[is_negative:]
    if len(words) not in (1, 2) or words[0] not in _SPELLED:
        return None
    value = Fraction(_SPELLED.index(words[0]) * SCALES.get(words[-1].removesuffix("s"), 1))
    return Number(-value if is_negative else value, Fraction(0), True, "percent" in words, " ".join(words[1:]))
