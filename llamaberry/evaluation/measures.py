"""What is measured of one arm, and of two arms on the same questions: arithmetic alone."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel

from llamaberry.evaluation.cost import Cost, Prices, spent
from llamaberry.evaluation.results import Arm, Reply, Result
from llamaberry.graph.answers import normalise
from llamaberry.graph.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable

NEEDS = 'the report needs scipy and matplotlib: pip install "llamaberry[eval]"'


class Rate(BaseModel, frozen=True):
    """So many right of `n`: their share from 0 to 1, with its 95% interval by Wilson; None where `n` is 0."""

    right: int
    n: int
    share: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, verdicts: Iterable[bool]) -> Self:
        """Count the right ones."""
        kept = list(verdicts)
        right, n = sum(kept), len(kept)
        if not n:
            return cls(right=0, n=0)
        low, high = _binomial()(right, n).proportion_ci(confidence_level=0.95, method="wilson")
        return cls(right=right, n=n, share=right / n, low=float(low), high=float(high))


class Change(BaseModel, frozen=True):
    """What a step did to the answers that stood before it: how many questions went from what to what."""

    fixed: int = 0
    broken: int = 0
    kept_right: int = 0
    kept_wrong: int = 0

    @classmethod
    def of(cls, before_and_after: Iterable[tuple[bool, bool]]) -> Self:
        """Count the questions that were right or wrong before, and are right or wrong after."""
        seen = Counter(before_and_after)
        return cls(
            fixed=seen[False, True],
            broken=seen[True, False],
            kept_right=seen[True, True],
            kept_wrong=seen[False, False],
        )

    @property
    def n(self) -> int:
        """The number of questions."""
        return self.fixed + self.broken + self.kept_right + self.kept_wrong

    @property
    def p(self) -> float:
        """The chance that as uneven a split of fixed and broken comes of nothing (McNemar's exact test, two-sided)."""
        changed = self.fixed + self.broken
        return float(_binomial()(min(self.fixed, self.broken), changed, 0.5).pvalue) if changed else 1.0


class ArmFigures(BaseModel, frozen=True):
    """What one arm came to. Every question counts: one whose calls failed is wrong, unless it has a right answer."""

    name: str
    missing: int
    """Questions that other arms have, and this one has not."""
    accuracy: Rate
    by_turn: dict[str, Rate]
    """ "turn 1", "turn 2", … and "final", over all questions: whether the newest answer up to there is right."""
    steps: dict[str, Change]
    """ "turn 2", … and "synthesis": what the step did, over the questions that had it."""
    refining: Change
    """From turn 1 to the last turn, the synthesis left out."""
    overall: Change
    """From turn 1 to the final answer."""
    agreement: float | None
    """The share of questions that give one answer in all turns (or draws), among those with two answers or more."""
    spent: Cost | None
    """None where the provider counted no tokens."""
    seconds_mean: float | None
    seconds_median: float | None
    """Of the questions with a reply: the time that the model took for its replies, as measured under the
    concurrency of the evaluation itself; waiting between attempts is not in it."""
    replies: int
    unparsed: float | None
    """The share of replies in which no answer could be read."""
    cut: float | None
    """The share of replies that ended at the limit of tokens."""
    errors: int
    degraded: int


class Pair(BaseModel, frozen=True):
    """Two arms on the questions that both were asked."""

    first: str
    second: str
    both: int
    only_first: int
    only_second: int
    neither: int
    points: float | None
    """Percentage points by which the second is right more often; None where they share no question."""
    p: float
    """McNemar's exact test, two-sided: how often as uneven a split comes about where the arms are equally good."""

    @property
    def n(self) -> int:
        """The number of questions that both were asked."""
        return self.both + self.only_first + self.only_second + self.neither


def figures(name: str, results: Sequence[Result], *, missing: int, prices: Prices | None) -> ArmFigures:
    """Return what the arm of this name came to in these results of its own.

    Raises:
        SetupError: there is no such arm, or scipy is not installed.
    """
    last = Arm.named(name).turns
    replies = [reply for result in results for reply in result.replies]
    seconds = [sum(reply.seconds for reply in result.replies) for result in results if result.replies]
    final = [result.right for result in results]
    by_turn = {turn: [_stands(result, turn) for result in results] for turn in range(1, last + 1)} if last > 1 else {}
    rates = {f"turn {turn}": Rate.of(right) for turn, right in by_turn.items()}
    return ArmFigures(
        name=name,
        missing=missing,
        accuracy=Rate.of(final),
        by_turn=rates and rates | {"final": Rate.of(final)},
        steps=_steps(results, last) if last > 1 else {},
        refining=Change.of(zip(by_turn.get(1, []), by_turn.get(last, []), strict=True)),
        overall=Change.of(zip(by_turn.get(1, []), final if by_turn else [], strict=True)),
        agreement=_mean([len(set(said)) == 1 for said in map(_said, results) if len(said) > 1]),
        spent=spent(results, prices),
        seconds_mean=_mean(seconds),
        seconds_median=median(seconds) if seconds else None,
        replies=len(replies),
        unparsed=_mean([reply.answer is None for reply in replies]),
        cut=_mean([reply.finish_reason == "length" for reply in replies]),
        errors=sum(result.error is not None for result in results),
        degraded=sum(result.degraded is not None for result in results),
    )


def pair(first: str, second: str, one: Mapping[str, Result], other: Mapping[str, Result]) -> Pair:
    """Return how two arms compare; each one's results are given by the question's id."""
    # Seen as a step from the first arm to the second: fixed is what only the second has right.
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


def _turn(reply: Reply) -> int | None:
    number = reply.step.removeprefix("turn ")
    return int(number) if number.isdecimal() else None


def _stands(result: Result, last: int) -> bool:
    """Whether the newest answer that was stated up to this turn is right; a turn that states none changes nothing."""
    stated = [(turn, reply.right) for reply in result.replies if (turn := _turn(reply)) and reply.answer is not None]
    return max(((turn, right) for turn, right in stated if turn <= last), default=(0, False))[1]


def _steps(results: Sequence[Result], last: int) -> dict[str, Change]:
    def had(step: str) -> list[Result]:
        return [result for result in results if any(reply.step == step for reply in result.replies)]

    steps = {
        f"turn {turn}": Change.of((_stands(r, turn - 1), _stands(r, turn)) for r in had(f"turn {turn}"))
        for turn in range(2, last + 1)
    }
    return steps | {"synthesis": Change.of((_stands(r, last), r.right) for r in had("synthesis"))}


def _said(result: Result) -> list[str]:
    """Return the answers of the turns or draws, as they are compared."""
    return [normalise(r.answer) for r in result.replies if r.answer is not None and r.step != "synthesis"]


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _binomial() -> "Callable[..., Any]":
    try:
        from scipy.stats import binomtest
    except ImportError as error:
        raise SetupError(NEEDS) from error
    return binomtest  # type: ignore[no-any-return]
