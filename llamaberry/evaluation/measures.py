"""The figures of one arm, and the comparison of two arms on the same questions."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, compress, islice, pairwise
from statistics import fmean, median
from typing import Any, Self

from pydantic import BaseModel

from llamaberry.evaluation.cost import Cost, Prices, mean_cost
from llamaberry.evaluation.results import Arm, Result
from llamaberry.graph.answers import normalise
from llamaberry.graph.errors import SetupError

INSTALL_HINT = 'the report needs scipy and matplotlib: pip install "llamaberry[eval]"'


class Rate(BaseModel, frozen=True):
    """`right` of `n`, as a share from 0 to 1 with its 95% Wilson interval; share and interval are None if `n` is 0."""

    right: int
    n: int
    share: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, verdicts: Iterable[bool]) -> Self:
        """Return the rate of true verdicts."""
        outcomes = list(verdicts)
        right, n = sum(outcomes), len(outcomes)
        if not n:
            return cls(right=0, n=0)
        low, high = _binomial_test(right, n).proportion_ci(method="wilson")
        return cls(right=right, n=n, share=right / n, low=float(low), high=float(high))


class Change(BaseModel, frozen=True):
    """The effect of a step on the answers before it, as counts of questions."""

    fixed: int = 0
    broken: int = 0
    kept_right: int = 0
    kept_wrong: int = 0

    @classmethod
    def of(cls, before_and_after: Iterable[tuple[bool, bool]]) -> Self:
        """Count the questions by whether their answers were right before and after the step."""
        counts = Counter(before_and_after)
        return cls(
            fixed=counts[False, True],
            broken=counts[True, False],
            kept_right=counts[True, True],
            kept_wrong=counts[False, False],
        )

    @property
    def n(self) -> int:
        """The number of questions."""
        return self.fixed + self.broken + self.kept_right + self.kept_wrong

    @property
    def p(self) -> float:
        """The p-value of McNemar's exact test, two-sided, of `fixed` against `broken`."""
        changed = self.fixed + self.broken
        return float(_binomial_test(self.fixed, changed).pvalue) if changed else 1.0


class ArmFigures(BaseModel, frozen=True):
    """The figures of one arm. Every question counts; without an answer it counts as wrong."""

    name: str
    missing: int
    """Questions that other arms answered and this arm did not."""
    accuracy: Rate
    by_turn: dict[str, Rate]
    """ "turn 1", "turn 2", … and "final", each over all questions: whether the newest answer by then is right."""
    steps: dict[str, Change]
    """ "turn 2", … and "synthesis": the effect of the step, over the questions that reached it. "program": what turn
    1's answer would become if the program's stood in its place, over the questions with a program that ran."""
    refining: Change
    """From turn 1 to the last turn, before the synthesis."""
    overall: Change
    """From turn 1 to the final answer."""
    agreement: float | None
    """The share of questions whose turns (or draws) all give one answer, among those with two answers or more."""
    cost: Cost | None
    """None if the provider reported no usage."""
    calls_mean: float | None
    calls_median: float | None
    """Model calls per question, over the questions with a reply."""
    seconds_mean: float | None
    seconds_median: float | None
    """Model time per question, over the questions with a reply. It is measured at the evaluation's concurrency; the
    waits between attempts are not included."""
    replies: int
    unparsed: float | None
    """The share of replies without a readable answer, programs aside."""
    truncated: float | None
    """The share of replies that ended at the token limit."""
    errors: int
    degraded: int


class Pair(BaseModel, frozen=True):
    """Two arms compared on the questions that both answered."""

    first: str
    second: str
    both: int
    only_first: int
    only_second: int
    neither: int
    points: float | None
    """Accuracy of `second` minus that of `first`, in percentage points; None if they share no question."""
    p: float
    """The p-value of McNemar's exact test, two-sided."""

    @property
    def n(self) -> int:
        """The number of questions that both arms answered."""
        return self.both + self.only_first + self.only_second + self.neither


def arm_figures(name: str, results: Sequence[Result], *, missing: int, prices: Prices | None) -> ArmFigures:
    """Return the figures of the arm with this name, from its results.

    Raises:
        SetupError: no arm has this name, or scipy is not installed.
    """
    planned = Arm.parse(name).turns
    turns = [f"turn {number}" for number in range(1, planned + 1)] if planned > 1 else []
    after = [_right_after(result, turns) for result in results if turns]
    replies = [reply for result in results for reply in result.replies]
    answered = [result.replies for result in results if result.replies]
    calls = [len(of_one) for of_one in answered]
    seconds = [sum(reply.seconds for reply in of_one) for of_one in answered]
    answers = [
        [normalise(r.answer) for r in result.replies if r.answer is not None and r.step not in ("synthesis", "check")]
        for result in results
    ]
    accuracy = Rate.of(result.right for result in results)
    by_turn = {turn: Rate.of(right[turn] for right in after) for turn in turns}
    steps: dict[str, Change] = {}
    if turns and (programs := [(right[turns[0]], right["program"]) for right in after if "program" in right]):
        steps["program"] = Change.of(programs)
    for before, step in pairwise([*turns, "synthesis"]):
        reached = [any(reply.step == step for reply in result.replies) for result in results]
        steps[step] = Change.of((right[before], right[step]) for right in compress(after, reached))
    return ArmFigures(
        name=name,
        missing=missing,
        accuracy=accuracy,
        by_turn=by_turn and by_turn | {"final": accuracy},
        steps=steps,
        refining=Change.of((right[turns[0]], right[turns[-1]]) for right in after),
        overall=Change.of((right[turns[0]], right["synthesis"]) for right in after),
        agreement=_mean([len(set(of_one)) == 1 for of_one in answers if len(of_one) > 1]),
        cost=mean_cost(results, prices),
        calls_mean=_mean(calls),
        calls_median=median(calls) if calls else None,
        seconds_mean=_mean(seconds),
        seconds_median=median(seconds) if seconds else None,
        replies=len(replies),
        unparsed=_mean([reply.answer is None for reply in replies if reply.step != "check"]),
        truncated=_mean([reply.finish_reason == "length" for reply in replies]),
        errors=sum(result.error is not None for result in results),
        degraded=sum(result.degraded is not None for result in results),
    )


def compare_arms(first: str, second: str, one: Mapping[str, Result], other: Mapping[str, Result]) -> Pair:
    """Return the comparison of two arms, given the results of each by question id."""
    # As a step from the first arm to the second: "fixed" are the questions that only the second has right.
    change = Change.of((one[key].right, other[key].right) for key in one if key in other)
    return Pair(
        first=first,
        second=second,
        both=change.kept_right,
        only_first=change.broken,
        only_second=change.fixed,
        neither=change.kept_wrong,
        points=100 * (change.fixed - change.broken) / change.n if change.n else None,
        p=change.p,
    )


def _right_after(result: Result, turns: Sequence[str]) -> dict[str, bool]:
    """Return for each step whether the newest answer by its end is right; a turn without an answer changes nothing.

    "program" is there if a program ran: whether what it printed is right.
    """
    right = {reply.step: reply.right for reply in result.replies if reply.answer is not None}
    after = accumulate(turns, lambda before, turn: right.get(turn, before), initial=False)
    program = {"program": right["check"]} if "check" in right else {}
    return {**dict(zip(turns, islice(after, 1, None), strict=True)), **program, "synthesis": result.right}


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _binomial_test(successes: int, n: int) -> Any:
    """Return scipy's two-sided test of `successes` in `n` against a chance of one half."""
    try:
        from scipy.stats import binomtest
    except ImportError as error:
        raise SetupError(INSTALL_HINT) from error
    return binomtest(successes, n, 0.5)
