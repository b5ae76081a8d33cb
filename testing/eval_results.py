"""Invented results of evaluations, small enough to count by hand."""

from collections.abc import Iterable
from typing import Any

from llamaberry.evaluation.cost import Prices
from llamaberry.evaluation.report import Report, report
from llamaberry.evaluation.results import Reply, Result, Tokens

TOKENS = Tokens(input=100, output=50, cached=40)
ANSWERS = {"r": "**42**.", "R": "42", "w": "41", "-": None}  # right, right in other words, wrong, no answer


def reply(step: str, code: str, **more: Any) -> Reply:
    """Return a reply; `code` is a key of ANSWERS."""
    return Reply(
        **{"step": step, "answer": ANSWERS[code], "right": code in "rR", "seconds": 2, "tokens": TOKENS} | more
    )


def result(arm: str, number: int, replies: list[Reply], right: bool, **more: Any) -> Result:
    """Return the result of question `number`."""
    question = {"id": f"q{number}", "task": "sums" if number < 5 else "words", "question": "6 x 7?", "expected": "42"}
    answer = "42" if right else None
    return Result(**question | {"arm": arm, "answer": answer, "right": right, "replies": replies} | more)


def small_results() -> list[Result]:
    """Ten questions in three arms: single failed once, turns:3 failed in a turn once, the vote lacks the last."""
    results = [
        result("single", n, [reply("turn 1", "r" if n < 5 else "w", seconds=11 if n == 0 else 2)], n < 5)
        for n in range(8)
    ]
    results += [result("single", 8, [reply("turn 1", "-", finish_reason="length")], False)]
    results += [result("single", 9, [], False, error="the provider is down")]
    turns = ["rrR", "rrr", "rww", "wrr", "w-r", "rr-", "rrw", "ww", "www", "rrr"]
    for n, codes in enumerate(turns):
        right = n in (0, 1, 3, 4, 5, 6, 8)
        replies = [reply(f"turn {turn}", code) for turn, code in enumerate(codes, start=1)]
        failed = {"error": "the provider is down", "degraded": "turn 3 failed"} if n == 7 else {}
        replies += [] if failed else [reply("synthesis", "r" if right else "w")]
        results.append(result("turns:3", n, replies, right, **failed))
    for n, codes in enumerate(["rrr", "rrR", "rrr", "rrr", "rrr", "rrr", "rrw", "www", "www"]):
        replies = [reply(f"draw {draw}", code) for draw, code in enumerate(codes, start=1)]
        replies[2:] = [reply("draw 3", codes[2], tokens=None)] if n == 0 else replies[2:]
        results.append(result("self-consistency:3", n, replies, n < 7))
    return results


ARMS = ["single", "turns:3", "self-consistency:3"]


def small_report() -> Report:
    """Return the report of these results, with prices."""
    return report(small_results(), prices=Prices(input=1, output=2, cached=0.5), settings={"arms": ARMS, "model": "m"})


def arm_results(
    arm: str, right: Iterable[int], *, first: Iterable[int] | None = None, failed: Iterable[int] = ()
) -> list[Result]:
    """Return an arm's results of forty questions: `right` at the end, `first` right after turn 1, and `failed`."""
    right, failed, results = set(right), set(failed), []
    right_first = right if first is None else set(first)
    for n in range(40):
        code = "r" if n in right else "w"
        kind, _, number = arm.partition(":")
        if n in failed:
            replies = []
        elif kind == "self-consistency":
            replies = [reply(f"draw {draw}", code) for draw in range(1, int(number) + 1)]
        elif kind == "turns":
            replies = [reply("turn 1", "r" if n in right_first else "w")]
            replies += [reply(f"turn {turn}", code) for turn in range(2, int(number) + 1)] + [reply("synthesis", code)]
        else:
            replies = [reply("turn 1", code)]
        error = "the provider is down" if n in failed else None
        results.append(result(arm, n, replies, n in right - failed, error=error))
    return results
