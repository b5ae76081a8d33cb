"""The check of an answer: a program written from the question, what it printed, and how answers compare with that."""

import ast
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from llamaberry.graph.answers import normalise, same_answer
from llamaberry.graph.reply import rejects_program
from llamaberry.graph.turn import Turn

CheckVerdict = Literal["agrees", "differs", "failed", "none"]


@with_config(ConfigDict(use_attribute_docstrings=True))
class Check(TypedDict):
    """The evidence: a program that a model wrote from the question alone, and what it printed in the sandbox."""

    program: str | None
    """The program; None if there is none."""
    output: str | None
    """What it printed; None if it did not run."""
    error: str | None
    """Why there is no usable output; None if there is, or if no program was asked for."""
    answer: str | None
    """The answer that the program printed; None if it printed none."""
    verdict: CheckVerdict
    """Whether the newest turn's answer "agrees" with the program's or "differs" from it; "failed" if no program ran
    to its end; "none" if no program can answer the question."""


NO_CHECK = Check(program=None, output=None, error=None, answer=None, verdict="none")

MAX_RESULT_CHARS, MAX_RESULT_LINES = 300, 3
"""A longer answer is not a short result: no program is written to check it."""


def is_short_result(answer: str | None) -> bool:
    """Return whether a program could print this answer: a few words or numbers, without code. None could be one."""
    if answer is None:
        return True
    lines = [line for line in answer.splitlines() if line.strip()]
    return len(answer) <= MAX_RESULT_CHARS and len(lines) <= MAX_RESULT_LINES and "```" not in answer


def computes(program: str) -> bool:
    """Return whether a program computes something; one that only prints a text is the model's answer, not evidence."""
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True  # the sandbox will say what is wrong with it
    work = (ast.BinOp, ast.Compare, ast.For, ast.While, ast.comprehension, ast.Subscript)
    return any(isinstance(node, work) or (isinstance(node, ast.Call) and not _prints(node)) for node in ast.walk(tree))


def _prints(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id in ("print", "str")


def printed_answer(output: str, question: str) -> str | None:
    """Return the answer in a program's output: its last line, "6.0" as "6", and "True" as "Yes" if that is asked."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if not lines:
        return None
    answer = lines[-1]
    if _FLOAT.fullmatch(answer):
        value = round(float(answer), 10)
        answer = f"{value:.10f}".rstrip("0").rstrip(".") if abs(value) < 1e15 else answer
    if answer in ("True", "False") and _YES_NO.search(question):
        answer = "Yes" if answer == "True" else "No"
    return answer


_FLOAT = re.compile(r"-?\d{1,300}\.\d{1,300}")
_YES_NO = re.compile(r"\byes\b|\bno\b|^\W*(?:is|are|was|were|does|do|did|can|could|will|has|have)\b", re.IGNORECASE)
_NUMBER = re.compile(
    r"(?<![\w.])(?:(?:minus|negative) )?[-+]?\d{1,300}(?:\.\d{1,300})?(?:e[-+]?\d{1,3})?(?: ?/ ?\d{1,300})?"
    r"(?![\d.]?\d)",
    re.ASCII,  # a Chinese or Japanese letter may stand beside a number
)
_OTHER_VALUE = re.compile(  # what makes another value of a number beside it
    r"[\\^√½¼¾π∞]|(?<=\d)[k²³⁰¹⁴-⁹]|\b(?:hundreds?|thousands?|millions?|billions?|trillions?|dozens?|half|quarter|third|sqrt"
    r"|root|squared|cubed|power|log|not|between|than|about|approximately|least|most|over|under)\b"
)
_FACTORIAL = re.compile(r"\d!")
_SPACED = re.compile(r"(\D*)(\d{1,3}(?:[ \u00a0\u202f\u2009]\d{3}){1,99})(\D*)")
_LEAD = re.compile(r"\b(?:is|are|was|were|be|equals|on|answer|result)\b(?: (?:a|an|the)\b)?|=")
_WORDS = {"true": "yes", "false": "no", "correct": "yes", "incorrect": "no"}


def agrees(answer: str | None, printed: str | None) -> bool:
    """Return whether an answer and a program's answer mean the same.

    "6.0" is "6", "No" is "False", "70 days" is "70", "$1,000" is "1000.00", "3/4" is "0.75", "It is 5 km." is "5". Of
    an answer of several lines, the first may state the result alone, and the others explain it.
    """
    if answer is None or printed is None:
        return False
    first_line, *others = answer.strip().splitlines() or [""]
    return _same(answer, printed) or (bool(others) and _same(first_line, printed))


def _same(answer: str, printed: str) -> bool:
    one, other = _comparable(answer), _comparable(printed)
    if _FACTORIAL.search(answer) and not _FACTORIAL.search(printed):  # to normalise(), "!" is punctuation
        return False
    if one == other:
        return True
    value, target = _only_number(one), _only_number(other)
    if target is None:
        if other in ("yes", "no"):
            return _comparable(one.partition(" ")[0]) == other
        return _LEAD.split(one)[-1].strip() == other  # "The day is Friday"
    words = _words(one)
    if value is None or _OTHER_VALUE.search(one) or (words and not _words(other) <= words):
        return False  # "2 apples" is not "2 pears"
    places = value[1]
    return abs(value[0] - target[0]) <= max(abs(target[0]) / 10**9, Fraction(places >= 2, 2 * 10**places))


def _comparable(text: str) -> str:
    if match := _SPACED.fullmatch(text.strip()):
        text = match[1] + re.sub(r"\D", "", match[2]) + match[3]
    text = normalise(text).strip("[](){} ")
    return _WORDS.get(text, text)


def _only_number(text: str) -> tuple[Fraction, int] | None:
    """Return the number of a text and its decimal places, if it has exactly one or ends with "= NUMBER"."""
    numbers = _NUMBER.findall(text.rpartition("=")[2])
    if len(numbers) != 1:
        return None
    number = re.sub(r"(?:minus|negative) ", "-", numbers[0]).replace(" ", "")
    try:
        places = 12 if "/" in number or "e" in number else len(number.partition(".")[2])
        return Fraction(number), places
    except (ValueError, ZeroDivisionError):
        return None


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]+", text))


def describe_check(check: Check, turns: Sequence[Turn]) -> str:
    """Return in a sentence what the check says of these turns: which the program's answer agrees with."""
    if check["verdict"] == "none":
        return "No program can check this answer."
    if not has_evidence(check):
        return f"{'The program failed' if check['program'] else 'The check failed'}: {check['error']}"
    verdicts = [(with_verdict(check, turn)["verdict"], str(turn["index"])) for turn in turns]
    agreeing = [index for verdict, index in verdicts if verdict == "agrees"]
    others = [index for verdict, index in verdicts if verdict != "agrees"]
    parts = [f"not turn {' or '.join(others)}'s"] if others else []
    parts += [f"turn {' and '.join(agreeing)}'s"] if agreeing else []
    return f"The program's answer is {check['answer']}: {', but '.join(parts) or 'no turn has one'}."


def has_evidence(check: Check | None) -> bool:
    """Return whether a program has printed an answer."""
    return check is not None and check["answer"] is not None


def with_verdict(check: Check, turn: Turn) -> Check:
    """Return the check of another turn: with the verdict on its answer, if the program printed one."""
    if check["answer"] is None:
        return check
    return {**check, "verdict": "agrees" if agrees(turn["answer"], check["answer"]) else "differs"}


def contradicts(turns: Sequence[Turn], check: Check | None) -> bool:
    """Return whether the newest turn has to be asked afresh with the program's output in view.

    The turn right after the program may reject it, and then it is written once more; a later turn that rejects it
    rejects the second one.
    """
    if check is None or check["verdict"] != "differs":
        return False
    newest = turns[-1]
    return newest["index"] <= 2 or not rejects_program(newest["text"])


def verified_turn(turns: Sequence[Turn], check: Check | None) -> Turn | None:
    """Return the newest turn if its answer is the program's."""
    is_verified = check and check["verdict"] == "agrees" and agrees(turns[-1]["answer"], check["answer"])
    return turns[-1] if is_verified else None


def standing_answer(turns: Sequence[Turn], check: Check | None) -> str | None:
    """Return the program's answer if it stands against the turns; None if the turns' answers are weighed.

    It does not stand if the last two turns give the same answer though they have seen it, or reject the program.
    """
    if check is None or not contradicts(turns, check) or len(turns) < 2 or same_answer(turns[-2], turns[-1]):
        return None
    return check["answer"]
