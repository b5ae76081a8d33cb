"""Results of evaluations that were never run, small enough to count by hand."""

from collections.abc import Iterable
from typing import Any

from llamaberry.evaluation.cost import Prices
from llamaberry.evaluation.report import Report, report
from llamaberry.evaluation.results import Reply, Result, Tokens

TOKENS = Tokens(input=100, output=50, cached=40)
SAID = {"r": "**42**.", "R": "42", "w": "41", "-": None}  # right, right but written otherwise, wrong, not stated


def reply(step: str, said: str, **more: Any) -> Reply:
    return Reply(**{"step": step, "answer": SAID[said], "right": said in "rR", "seconds": 2, "tokens": TOKENS} | more)


def result(arm: str, number: int, replies: list[Reply], right: bool, **more: Any) -> Result:
    told = {"id": f"q{number}", "task": "sums" if number < 5 else "words", "question": "6 x 7?", "expected": "42"}
    answer = "42" if right else None
    return Result(**told | {"arm": arm, "answer": answer, "right": right, "replies": replies} | more)


def small() -> list[Result]:
    """Ten questions, three arms: single lost one to an error, turns:3 broke off in one, the vote lacks the last."""
    kept = [
        result("single", n, [reply("turn 1", "r" if n < 5 else "w", seconds=11 if n == 0 else 2)], n < 5)
        for n in range(8)
    ]
    kept += [result("single", 8, [reply("turn 1", "-", finish_reason="length")], False)]
    kept += [result("single", 9, [], False, error="the provider is down")]
    turns = ["rrR", "rrr", "rww", "wrr", "w-r", "rr-", "rrw", "ww", "www", "rrr"]
    for n, said in enumerate(turns):
        right = n in (0, 1, 3, 4, 5, 6, 8)
        replies = [reply(f"turn {turn}", each) for turn, each in enumerate(said, start=1)]
        failed = {"error": "the provider is down", "degraded": "turn 3 failed"} if n == 7 else {}
        replies += [] if failed else [reply("synthesis", "r" if right else "w")]
        kept.append(result("turns:3", n, replies, right, **failed))
    for n, said in enumerate(["rrr", "rrR", "rrr", "rrr", "rrr", "rrr", "rrw", "www", "www"]):
        replies = [reply(f"draw {draw}", each) for draw, each in enumerate(said, start=1)]
        replies[2:] = [reply("draw 3", said[2], tokens=None)] if n == 0 else replies[2:]
        kept.append(result("self-consistency:3", n, replies, n < 7))
    return kept


ARMS = ["single", "turns:3", "self-consistency:3"]


def small_report() -> Report:
    """The report of these, with prices."""
    return report(small(), prices=Prices(input=1, output=2, cached=0.5), settings={"arms": ARMS, "model": "m"})


def asked(
    arm: str, right: Iterable[int], *, first: Iterable[int] | None = None, failed: Iterable[int] = ()
) -> list[Result]:
    """Forty questions: which are right in the end, and which after turn 1; as many replies as the arm plans."""
    right, failed, kept = set(right), set(failed), []
    begun = right if first is None else set(first)
    for n in range(40):
        said = "r" if n in right else "w"
        kind, _, number = arm.partition(":")
        if n in failed:
            replies = []
        elif kind == "self-consistency":
            replies = [reply(f"draw {draw}", said) for draw in range(1, int(number) + 1)]
        elif kind == "turns":
            replies = [reply("turn 1", "r" if n in begun else "w")]
            replies += [reply(f"turn {turn}", said) for turn in range(2, int(number) + 1)] + [reply("synthesis", said)]
        else:
            replies = [reply("turn 1", said)]
        error = "the provider is down" if n in failed else None
        kept.append(result(arm, n, replies, n in right - failed, error=error))
    return kept
