"""Verify: have a program written from the question alone, run it, and compare what it prints with the newest answer.

The program is evidence from outside the turns: its conversation never shows them (PAL, arXiv 2211.10435; CRITIC,
2305.11738). It is written once per question. A program that fails is repaired once (Self-Debug, 2304.05128), and one
that the turn after it rejects is written once more. Each is one model call of its own run of this node, so that a
checkpoint keeps it.
"""

from typing import Any, Literal, NamedTuple

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage

from llamaberry.graph.check import NO_CHECK, Check, computes, is_short_result, printed_answer, with_verdict
from llamaberry.graph.errors import ModelError, SetupError
from llamaberry.graph.program_reply import parse_program, rejection_of, rejects_program
from llamaberry.graph.turn import Turn
from llamaberry.models.client import ModelReply
from llamaberry.nodes._node import Attempt, Node
from llamaberry.nodes.refine_turn import ASK_PROGRAM as ASK
from llamaberry.sandbox import ProgramResult, run_program

SYSTEM_PROMPT = """\
You write Python programs. Read the question and write one short program that computes the answer and prints it \
alone, as the question wants it. First copy every fact that it needs from the question into variables: numbers, dates, \
whole texts. Do not answer the question, and do not explain. Reply with the program in one code block.

If no program can compute the answer, because the question asks for an opinion, a text or knowledge, reply with the \
one word NONE instead.

The program runs in a small Python: no input or files, no inheritance, del, yield, next or sys.exit, and of the \
modules only math, datetime, re, itertools, collections, json and random."""

EXAMPLES: list[AnyMessage] = [
    HumanMessage(f"Anna's birthday is on 3 May 2025. On which day of the week is it?\n\n{ASK}"),
    AIMessage(
        "```python\nimport datetime\nbirthday = datetime.date(2025, 5, 3)\n"
        'names = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]\n'
        "print(names[birthday.weekday()])\n```"
    ),
    HumanMessage(f"Pens cost $2 for 3. What do 12 pens cost?\n\n{ASK}"),
    AIMessage("```python\nprice, pens_for_price, pens = 2, 3, 12\nprint(pens / pens_for_price * price)\n```"),
]
"""With one that asks for NONE, the small model answered in prose more often."""

REPAIR = "The program failed:\n\n{error}\n\nWrite the whole program again, without this error."

REWRITE = """\
A reader says that this program computes something else than the question asks:

{reason}

Write the program once more: it must compute exactly what the question asks."""

MAX_QUESTION_CHARS = 20_000
"""No program is written for a longer question: it would cost as much as a turn, and rarely be short."""

_MAX_REASON_CHARS = 2_000
_DEGRADED = "The check failed, and the turns went on without it: {error}."

Job = Literal["write", "repair", "rewrite", "compare"]


class RunProgram(NamedTuple):
    """The program in a reply, and what came of it: a result, or the reason why no program can run on this machine."""

    program: str
    result: ProgramResult
    no_sandbox: str | None = None


def _job(attempt: Attempt) -> Job | None:
    """Return what is to be done; None if the question or the answer is none for a program."""
    check, newest = attempt.state.get("check"), _newest(attempt)
    if len(attempt.conversation.query) > MAX_QUESTION_CHARS or (newest and _is_text(newest, check)):
        return None
    if check is None:
        return "write"
    if check["verdict"] == "failed":
        return "repair"
    return "rewrite" if newest and newest["index"] == 2 and rejects_program(newest["text"]) else "compare"


def _newest(attempt: Attempt) -> Turn | None:
    """Return the newest turn; None while the first one is written."""
    turns = attempt.state["turns"]
    return turns[-1] if turns else None


def _is_text(turn: Turn, check: Check | None) -> bool:
    """Return whether the first turn to be checked has an answer that no program prints."""
    return (check is None or turn["index"] == 1) and not is_short_result(turn["answer"])


def prompt(attempt: Attempt) -> list[AnyMessage] | None:
    """Return the question with the request for a program, or the conversation in which a program is written again."""
    job, check = _job(attempt), attempt.state.get("check")
    if job in (None, "compare"):
        return None
    messages = [
        SystemMessage(SYSTEM_PROMPT),
        *EXAMPLES,
        *attempt.conversation.earlier,
        attempt.conversation.ask(attempt.context.instructions.get("verify", ASK)),
    ]
    if check:
        reason = rejection_of(attempt.state["turns"][-1]["text"])[:_MAX_REASON_CHARS]
        ask = REPAIR.format(error=check["error"]) if job == "repair" else REWRITE.format(reason=reason)
        messages += [AIMessage(f"```python\n{check['program']}\n```"), HumanMessage(ask)]
    return messages


async def use(reply: ModelReply) -> RunProgram | None:
    """Run the program in a reply; None if it has none that computes something."""
    program = parse_program(reply.message.text)
    if program is None or not computes(program):
        return None
    try:
        return RunProgram(program, await run_program(program))
    except (SetupError, OSError) as error:
        return RunProgram(program, ProgramResult("", str(error), 0), no_sandbox=str(error))


def update(attempt: Attempt, run: RunProgram | None) -> dict[str, Any]:
    """Write the check, and whether the program has to be repaired."""
    job, check, turn = _job(attempt), attempt.state.get("check"), _newest(attempt)
    if (
        job == "compare" and check and turn
    ):  # a turn that rejects the program does not agree, even if it states the same
        return _update({**check, "verdict": "differs"} if rejects_program(turn["text"]) else with_verdict(check, turn))
    if run is None:
        return _update(check if job == "repair" and check else NO_CHECK)
    if run.no_sandbox:
        failed = Check(program=run.program, output=None, error=run.no_sandbox, answer=None, verdict="failed")
        return {**_update(failed), "degraded": _DEGRADED.format(error=run.no_sandbox)}
    output, error, _ = run.result
    answer = None if error else printed_answer(output, attempt.conversation.query)
    if answer is None:
        error = error or "The program printed no answer."
        check = Check(program=run.program, output=output, error=error, answer=None, verdict="failed")
        return _update(check, to_repair=job == "write")
    check = Check(program=run.program, output=output, error=None, answer=answer, verdict="differs")
    return _update(with_verdict(check, turn) if turn else check)


def on_failure(attempt: Attempt, error: ModelError) -> dict[str, Any]:
    """Go on without evidence."""
    before = attempt.state.get("check") or NO_CHECK
    check: Check = {**before, "error": str(error), "answer": None, "verdict": "failed"}
    return {**_update(check), "degraded": _DEGRADED.format(error=error)}


def _update(check: Check, *, to_repair: bool = False) -> dict[str, Any]:
    verified = {"stop_reason": "verified"} if check["verdict"] == "agrees" else {}
    return {"check": check, "to_check": to_repair, **verified}


verify = Node(prompt, update, on_failure, use=use)
