"""Which answers are the same, and which of a run's answers to trust. Pure functions of the turns."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from llamaberry.graph.turn import Turn

# Every pattern is linear in the text: possessive quantifiers never backtrack.
_BOXED = re.compile(r"\\boxed\{([^{}]{0,1000})\}")
_EMPHASIS = re.compile(r"[*_~]++")
_DOLLAR = re.compile(r"\$(?=\s?[-\d.])|\\[()\[\]]|\$+")
_THOUSANDS = re.compile(r"(?<![\d.])(?<!\d,)\d{1,3}(?:,\d{3})++(?!\d|,\d)")
_NO_CENTS = re.compile(r"(?<![\w.])(\d++)\.0++(?!\w|\.\d)")
_DECIMAL = re.compile(r"-?\d++\.\d++")
_BARE_POINT = re.compile(r"(?<![\w.])\.(?=\d)")  # ".5"
# Some keyboards write ASCII in full-width forms; any dash before a number may be a minus.
_PLAIN = {0xFF01 + offset: 0x21 + offset for offset in range(94)} | dict.fromkeys(
    map(ord, "\u2010\u2011\u2012\u2013\u2212"), "-"
)
# Punctuation that carries meaning in an answer.
_MEANINGFUL = set("-/%&@#()[]{}*_\\٪‰‱")


def normalise(answer: str) -> str:
    """Return `answer` in the form in which answers are compared.

    Case, space, punctuation, markdown, a dollar sign and the format of a number make no difference: "**42**." is "42",
    "$1,000.00" is "1000". What could be a different answer stays different: "-5", "50%", "3/4", "1.5", "3.10".
    """
    # Composing accents takes quadratic time if one letter has very many: no answer is that long.
    text = unicodedata.normalize("NFC", answer) if len(answer) < 10_000 else answer
    text = text.translate(_PLAIN).casefold().replace("`", "")
    marked = ""
    while text != marked and (not marked or len(text) < 10_000):  # marks inside of marks
        marked, text = text, _DOLLAR.sub("", _without_emphasis(_BOXED.sub(r"\1", text)))
    text = _THOUSANDS.sub(lambda number: number[0].replace(",", ""), text)
    text = _BARE_POINT.sub("0.", text)
    last = len(text) - 1
    characters = (
        " "
        if unicodedata.category(character).startswith("P")
        and character not in _MEANINGFUL
        and (character == "," or not (0 < i < last and text[i - 1].isalnum() and text[i + 1].isalnum()))
        else character
        for i, character in enumerate(text)
    )
    text = _NO_CENTS.sub(r"\1", " ".join("".join(characters).split()))
    return (text.rstrip("0") if _DECIMAL.fullmatch(text) else text) or answer.strip()


def _without_emphasis(text: str) -> str:
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
    pieces, end = [], 0
    for start, stop in sorted(marks):
        pieces.append(text[end:start])
        end = stop
    return "".join([*pieces, text[end:]])


def same_answer(one: Turn, other: Turn) -> bool:
    """Return whether two turns state the same answer; a turn that states none has no answer in common with any."""
    return (
        one["answer"] is not None
        and other["answer"] is not None
        and normalise(one["answer"]) == normalise(other["answer"])
    )


def answer_changed(before: str | None, after: str | None, *, concise: bool = False) -> bool:
    """Return whether both answers are stated and `after` differs from `before`.

    If `after` is a `concise` answer, one that contains the other word for word is the same: "42", "It is 42 km".
    """
    if before is None or after is None:
        return False
    old, new = f" {normalise(before)} ", f" {normalise(after)} "
    return old != new and not (concise and (new in old or old in new))


def latest_answer(turns: Sequence[Turn]) -> str | None:
    """Return the newest answer that these turns state."""
    return next((turn["answer"] for turn in reversed(turns) if turn["answer"] is not None), None)


def most_turns_agree(turns: Sequence[Turn]) -> bool:
    """Return whether more than half of the turns state the same answer."""
    best = best_turn(turns)
    return best is not None and 2 * sum(same_answer(best, turn) for turn in turns) > len(turns)


def best_turn(turns: Sequence[Turn]) -> Turn | None:
    """Return the newest turn with the answer that most turns state; in a tie, the newest turn that states one.

    None if no turn states an answer.
    """
    answers = [(normalise(turn["answer"]), turn) for turn in turns if turn["answer"] is not None]
    if not answers:
        return None
    votes = Counter(answer for answer, _ in answers)
    most_votes = max(votes.values())
    return next(turn for answer, turn in reversed(answers) if votes[answer] == most_votes)
