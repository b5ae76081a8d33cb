"""Which answers are the same, and which of a run's answers to trust. Pure functions of the turns."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from llamaberry.graph.notation import join_thousands, plain_characters, plain_latex, without_emphasis
from llamaberry.graph.turn import Turn

_DOLLAR = re.compile(r"\b(?:us|US)(?=\$)|\$(?=\s?[-\d.])|\\[()\[\]]|\$+")
_NO_CENTS = re.compile(r"(?<![\w.])(\d++)\.0++(?!\w|\.\d)")
_DECIMAL = re.compile(r"-?\d++\.\d++")
_BARE_POINT = re.compile(r"(?<![\w.])\.(?=\d)")  # ".5"
_NO_LETTER = re.compile(r"[^\w\s]")
_PERCENT = re.compile(r"(?<=\d) (?=[%‰])")
_POWER = re.compile(r"(?<=[\w)\]}]) ?\*\* ?(?=[\w(\[{.√-])")
_OPERATOR = re.compile(r"(?<=[\w)\]}%]) ?(<=|>=|==|!=|[-+*/^=<>≤≥≠≈×÷]) ?(?=[\w(\[{.√-])")
_LEADING_SIGN = re.compile(r"(?:^|(?<=[(=<>≤≥≈]))([-<>≤≥≈]) (?=[\d.])")
# Punctuation that carries meaning in an answer.
_MEANINGFUL = set("-/%&@#()[]{}*_\\٪‰‱")
_MAX_ROUNDS = 20
_LONG = 10_000
"""No answer is that long: it is normalised once, and its accents stay as they are."""


def normalise(answer: str) -> str:
    """Return `answer` in the form in which answers are compared.

    Case, space, punctuation, markup, a dollar sign and the format of a number make no difference: "**42**." is "42",
    "$1,000.00" is "1000", "x + 1" is "x+1". What could be a different answer stays different: "-5", "50%", "5!", "1.5".
    """
    # Composing accents takes quadratic time if one letter has very many.
    text = unicodedata.normalize("NFC", answer) if len(answer) < _LONG else answer
    before = None
    for _ in range(_MAX_ROUNDS if len(answer) < _LONG else 1):  # marks inside of marks
        if text == before:
            break
        before, text = text, _normalise_once(text)
    return text or answer.strip()


def _normalise_once(text: str) -> str:
    text = plain_latex(plain_characters(text)).replace("`", "")
    text = _BARE_POINT.sub("0.", join_thousands(_DOLLAR.sub("", without_emphasis(text))))
    text = " ".join(text.split())
    text = _NO_LETTER.sub(_mark, text).casefold()
    text = _OPERATOR.sub(_tight, _POWER.sub("^", _PERCENT.sub("", " ".join(text.split()))))
    text = _NO_CENTS.sub(r"\1", _LEADING_SIGN.sub(r"\1", text))
    return text.rstrip("0") if _DECIMAL.fullmatch(text) else text


def _mark(match: re.Match[str]) -> str:
    """Return what stands for a character that is no letter: a space for punctuation without meaning."""
    text, i, character = match.string, match.start(), match[0]
    if not unicodedata.category(character).startswith("P") or character in _MEANINGFUL:
        return character
    before, after = text[max(0, i - 1) : i], text[i + 1 : i + 3]
    if character == ",":  # "3, 5" is a list, or a decimal
        is_list = before.isdigit() and (after[:1].isdigit() or (after[:1] == " " and after[1:].isdigit()))
        return ", " if is_list else " "
    if character == "!":  # a factorial or a negation
        is_variable = before.islower() and not text[max(0, i - 2) : i - 1].isalpha()
        is_factorial = before.isdigit() or before in (*")!",) or is_variable
        return "!" if is_factorial or (after[:1].isalnum() and not before.isalpha()) else " "
    return character if before.isalnum() and after[:1].isalnum() else " "


def _tight(operator: re.Match[str]) -> str:
    """Return an operator without the spaces around it; a minus with one space is a sign, as in a list: "5 -3"."""
    sign = operator[1]
    return operator[0] if sign == "-" and operator[0] in (" -", "- ") else sign.replace("*", "×")


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
    return next(turn for answer, turn in answers[::-1] if votes[answer] == most_votes)
