"""When two answers are the same, and which of a run's answers to trust: pure functions of the turns."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

from llamaberry.graph.state import Turn

# Every pattern is linear in the text: a run of marks is entered at its first mark only, and never given back.
_EMPHASIS = re.compile(r"(?<![\w*_~])[*_~]++(?=\S)|(?<=[^\s*_~])[*_~]++(?!\w)")
_BOXED = re.compile(r"\\boxed\{([^{}]{0,1000})\}")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})++(?![\d,])")
_ZEROS = re.compile(r"(?<![\d.])(\d++)\.(\d++)(?![\d.]*\d)")
_DOLLAR = re.compile(r"\$(?=\s?[-\d.])")
_LATEX = re.compile(r"\\[()\[\]]|\$+")
# Signs that carry meaning in an answer, though Unicode counts them as punctuation.
_MEANING = set("-/%&@#()[]{}*_\\")


def normalise(answer: str) -> str:
    """Return `answer` in the form by which answers are compared.

    Case, space, punctuation, markdown, a dollar sign and the way a number is written make no difference: "**42**." is
    "42", "$1,000.00" is "1000". What could be another answer stays another: "-5", "50%", "3/4", "1.5".
    """
    text = unicodedata.normalize("NFKC", answer).casefold().replace("\u2212", "-").replace("`", "")
    text = _DOLLAR.sub("", _EMPHASIS.sub("", _BOXED.sub(r"\1", text)))
    text = _LATEX.sub("", text)
    text = _THOUSANDS.sub(lambda number: number[0].replace(",", ""), text)
    text = _ZEROS.sub(lambda number: f"{number[1]}.{number[2]}".rstrip("0").rstrip("."), text)
    last = len(text) - 1
    kept = (
        " "
        if unicodedata.category(sign).startswith("P")
        and sign not in _MEANING
        and not (0 < place < last and text[place - 1].isalnum() and text[place + 1].isalnum())
        and not (sign == "." and place < last and text[place + 1].isdigit())
        else sign
        for place, sign in enumerate(text)
    )
    return " ".join("".join(kept).split()) or text.strip()


def agree(one: Turn, other: Turn) -> bool:
    """Whether two turns state the same answer. A turn that states none agrees with no other."""
    return (
        one["answer"] is not None
        and other["answer"] is not None
        and normalise(one["answer"]) == normalise(other["answer"])
    )


def best_turn(turns: Sequence[Turn]) -> Turn | None:
    """Return the newest turn with the answer that most turns state; in a tie, the newest turn that states one.

    None where no turn states an answer.
    """
    stated = [(normalise(turn["answer"]), turn) for turn in turns if turn["answer"] is not None]
    if not stated:
        return None
    votes = Counter(answer for answer, _ in stated)
    most = max(votes.values())
    return next(turn for answer, turn in reversed(stated) if votes[answer] == most)
