"""When two answers are the same, and which of a run's answers to trust: pure functions of the turns."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from llamaberry.graph.state import Turn

# Every pattern is linear in the text: a run is entered at its first sign only, and never given back.
_BOXED = re.compile(r"\\boxed\{([^{}]{0,1000})\}")
_EMPHASIS = re.compile(r"[*_~]++")
_DOLLAR = re.compile(r"\$(?=\s?[-\d.])|\\[()\[\]]|\$+")
_THOUSANDS = re.compile(r"(?<![\d.])(?<!\d,)\d{1,3}(?:,\d{3})++(?!\d|,\d)")
_NO_CENTS = re.compile(r"(?<![\w.])(\d++)\.0++(?!\w|\.\d)")
_DECIMAL = re.compile(r"-?\d++\.\d++")
_BARE_POINT = re.compile(r"(?<![\w.])\.(?=\d)")  # ".5"
# Full-width forms are how some keyboards write ASCII; every dash before a number may be its minus.
_PLAIN = {0xFF01 + sign: 0x21 + sign for sign in range(94)} | dict.fromkeys(
    map(ord, "\u2010\u2011\u2012\u2013\u2212"), "-"
)
# Signs that carry meaning in an answer, though Unicode counts them as punctuation.
_MEANING = set("-/%&@#()[]{}*_\\٪‰‱")


@lru_cache(maxsize=256)  # the synthesis compares the same few answers again and again
def normalise(answer: str) -> str:
    """Return `answer` in the form by which answers are compared.

    Case, space, punctuation, markdown, a dollar sign and the way a number is written make no difference: "**42**." is
    "42", "$1,000.00" is "1000". What could be another answer stays another: "-5", "50%", "3/4", "1.5", "3.10".
    """
    # Composing accents takes quadratic time where there are very many on one letter: no answer is that long.
    text = unicodedata.normalize("NFC", answer) if len(answer) < 10_000 else answer
    text = text.translate(_PLAIN).casefold().replace("`", "")
    text = _DOLLAR.sub("", _without_emphasis(_BOXED.sub(r"\1", text)))
    text = _THOUSANDS.sub(lambda number: number[0].replace(",", ""), text)
    text = _BARE_POINT.sub("0.", text)
    last = len(text) - 1
    kept = (
        " "
        if unicodedata.category(sign).startswith("P")
        and sign not in _MEANING
        and (sign == "," or not (0 < place < last and text[place - 1].isalnum() and text[place + 1].isalnum()))
        else sign
        for place, sign in enumerate(text)
    )
    text = _NO_CENTS.sub(r"\1", " ".join("".join(kept).split()))
    return (text.rstrip("0") if _DECIMAL.fullmatch(text) else text) or answer.strip()


def _without_emphasis(text: str) -> str:
    """Take away the marks of bold, italics and strike-through that stand in pairs around something."""
    waiting: dict[str, int] = {}
    marks: list[tuple[int, int]] = []
    for run in _EMPHASIS.finditer(text):
        before, after = text[run.start() - 1 : run.start()], text[run.end() : run.end() + 1]
        if run[0] in waiting and before.strip() and not after.isalnum():
            begun = waiting.pop(run[0])
            marks += [(begun, begun + len(run[0])), run.span()]
        elif after.strip() and not before.isalnum():
            waiting[run[0]] = run.start()
    kept, end = [], 0
    for start, stop in sorted(marks):
        kept.append(text[end:start])
        end = stop
    return "".join([*kept, text[end:]])


def same_answer(one: Turn, other: Turn) -> bool:
    """Whether two turns state the same answer. A turn that states none agrees with no other."""
    return (
        one["answer"] is not None
        and other["answer"] is not None
        and normalise(one["answer"]) == normalise(other["answer"])
    )


def answer_changed(before: str | None, after: str | None, *, concise: bool = False) -> bool:
    """Whether `after` is another answer than `before`, where both are stated.

    A `concise` one that is said word for word within the other (or holds it) is the same answer: "42", "It is 42 km".
    """
    if before is None or after is None:
        return False
    old, new = f" {normalise(before)} ", f" {normalise(after)} "
    return old != new and not (concise and (new in old or old in new))


def latest_answer(turns: Sequence[Turn]) -> str | None:
    """Return the newest answer that is stated in these turns."""
    return next((turn["answer"] for turn in reversed(turns) if turn["answer"] is not None), None)


def best_turn(turns: Sequence[Turn]) -> Turn | None:
    """Return the newest turn with the answer that most turns state; in a tie, the newest turn that states one.

    None where no turn states an answer.
    """
    answers = [(normalise(turn["answer"]), turn) for turn in turns if turn["answer"] is not None]
    if not answers:
        return None
    votes = Counter(answer for answer, _ in answers)
    most = max(votes.values())
    return next(turn for answer, turn in reversed(answers) if votes[answer] == most)
