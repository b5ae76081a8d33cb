"""The check of an answer: a program written from the question, what it printed, and how answers compare with that."""

import ast
import re
from collections.abc import Sequence
from typing import Literal

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from llamaberry.graph.agreement import agrees
from llamaberry.graph.answers import same_answer
from llamaberry.graph.program_reply import rejects_program
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

MAX_BARE_CHARS = 60
"""A longer answer is a sentence or more, not a bare result."""


def is_short_result(answer: str | None) -> bool:
    """Return whether a program could print this answer: a few words or numbers, without code. None could be one."""
    if answer is None:
        return True
    lines = [line for line in answer.splitlines() if line.strip()]
    return len(answer) <= MAX_RESULT_CHARS and len(lines) <= MAX_RESULT_LINES and "```" not in answer


def computes(program: str) -> bool:
    """Return whether a program computes something; one that only prints a text is the model's answer, not evidence.

    To call a function of its own, to put texts together, and to ask for `__name__` computes nothing.
    """
    try:
        nodes = list(ast.walk(ast.parse(program)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True  # the sandbox will say what is wrong with it
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return any(_is_work(node, own) for node in nodes)


def _is_work(node: ast.AST, own_functions: set[str]) -> bool:
    match node:
        case ast.Call(func=ast.Name(id=name)):
            return name not in {"print", "str", "int", "float", "format", "repr", *own_functions}
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str()), attr="format")):
            return False
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return not (_is_text(left) or _is_text(right))
        case ast.BinOp(left=left, op=ast.Mod()):
            return not _is_text(left)
        case ast.Compare(left=ast.Name(id="__name__")):
            return False
    return isinstance(node, _WORK)


_WORK = (
    ast.Call,
    ast.BinOp,
    ast.BoolOp,
    ast.Compare,
    ast.AugAssign,
    ast.For,
    ast.While,
    ast.comprehension,
    ast.Subscript,
)


def _is_text(node: ast.AST) -> bool:
    """Return whether an operand is a text, or texts that are put together."""
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        if _is_text(node.right):
            return True
        node = node.left
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def printed_answer(output: str, question: str) -> str | None:
    """Return the answer in a program's output: its last line, "6.0" as "6", and "True" as "Yes" if that is asked.

    None if it printed nothing, or what a program prints that found no answer: "None", "nan", "inf", an object.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if not lines or _NO_ANSWER.fullmatch(lines[-1]):
        return None
    answer = lines[-1]
    if _FLOAT.fullmatch(answer):
        value = round(float(answer), 10) + 0.0  # not "-0"
        answer = f"{value:.10f}".rstrip("0").rstrip(".") if abs(value) < 1e15 else answer
    if answer in ("True", "False") and _YES_NO.search(question):
        answer = "Yes" if answer == "True" else "No"
    return answer


_NO_ANSWER = re.compile(r"None|-?(?:nan|inf)|<[^<>]{1,200} at 0x[0-9a-f]{1,20}>")
_FLOAT = re.compile(r"-?\d{1,300}\.\d{1,300}")
_YES_NO = re.compile(r"\byes\b|\bno\b|^\W*(?:is|are|was|were|does|do|did|can|could|will|has|have)\b", re.IGNORECASE)


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
    newest = turns[-1]
    if check is None or with_verdict(check, newest)["verdict"] != "differs":
        return False
    return newest["index"] <= 2 or not rejects_program(newest["text"])


def verified_turn(turns: Sequence[Turn], check: Check | None) -> Turn | None:
    """Return the newest turn if its answer is the program's."""
    return turns[-1] if check and agrees(turns[-1]["answer"], check["answer"]) else None


def standing_answer(turns: Sequence[Turn], check: Check | None) -> str | None:
    """Return the program's answer if it stands against the turns; None if the turns' answers are weighed.

    It does not stand if the last two turns give the same answer though they have seen it, or reject the program.
    """
    if check is None or not contradicts(turns, check) or len(turns) < 2 or same_answer(turns[-2], turns[-1]):
        return None
    return check["answer"]


def unanimous_answer(turns: Sequence[Turn]) -> str | None:
    """Return the bare answer (a number, a name, yes) that all of several turns state; None if they differ.

    None also for a sentence or more: turns keep it word for word, and the synthesis may well improve it.
    """
    answer = turns[-1]["answer"]
    is_unanimous = len(turns) > 1 and all(same_answer(turns[-1], turn) for turn in turns)
    return answer if is_unanimous and answer and len(answer) <= MAX_BARE_CHARS else None
