"""What the figures of an evaluation mean to somebody who has to choose an arm: one sentence, and no more than is shown.

Refining has to beat a vote at its own cost (arXiv 2203.11171) before it is called worth it, and what could not be
shown is called that. A difference counts where p is below 0.05, not corrected for the number of comparisons.
"""

from collections.abc import Sequence
from typing import NamedTuple

from llamaberry.evaluation.measures import ArmFigures, Pair
from llamaberry.evaluation.results import Arm

ALPHA = 0.05


class _Gain(NamedTuple):
    """An arm against a cheaper one: percentage points more, and the p of that."""

    arm: ArmFigures
    base: ArmFigures
    points: float
    p: float
    n: int

    @property
    def better(self) -> bool:
        return self.points > 0 and self.p < ALPHA

    @property
    def worse(self) -> bool:
        return self.points < 0 and self.p < ALPHA


def recommendation(arms: Sequence[ArmFigures], pairs: Sequence[Pair]) -> str:
    """Return the sentence; an arm of which every question failed is named first, and compared with none."""
    asked = [arm for arm in arms if arm.accuracy.n]
    if not asked:
        return "No question was asked: there is nothing to compare."
    failed = [arm for arm in asked if arm.errors == arm.accuracy.n]
    standing = [arm for arm in asked if arm not in failed]
    names = " and ".join(arm.name for arm in failed)
    if not standing:
        return f"Every question ended in an error in {names}: put that right first, and ask again."
    sentence = _alone(standing[0]) if len(standing) == 1 else _compared(standing, pairs)
    return f"Every question ended in an error in {names}; of the rest: {sentence}" if failed else sentence


def _alone(arm: ArmFigures) -> str:
    rate = arm.accuracy
    told = f"{arm.name} is right on {rate.right} of {rate.n} questions"
    if rate.share is not None and rate.low is not None and rate.high is not None:
        told += f" ({100 * rate.share:.0f}%, 95% interval {100 * rate.low:.0f} to {100 * rate.high:.0f}%)"
    if not arm.by_turn:
        return f"{told}: there is no other arm to compare it with."
    change = arm.overall
    counts = f"fixed {change.fixed} of its first answers and broke {change.broken}, {_p(change.p)}"
    if change.fixed > change.broken and change.p < ALPHA:
        return f"{told}, and thinking again {counts}: think again, if a vote at the same cost does no better."
    if change.broken > change.fixed:
        return _broke(arm)
    return f"{told}, and thinking again {counts}: no gain could be shown, so use 1 turn."


def _compared(arms: Sequence[ArmFigures], pairs: Sequence[Pair]) -> str:
    base = min(arms, key=lambda arm: _calls(arm.name))
    gains = [gain for arm in arms if arm is not base and (gain := _gain(arm, base, pairs))]
    if not gains:
        return "The arms share no question: they cannot be compared."
    turns = [gain for gain in gains if Arm.named(gain.arm.name).turns > 1]
    votes = [gain for gain in gains if gain not in turns]
    refined, voted = _best(turns), _best(votes)
    if refined and voted:
        return _refine_or_vote(refined, voted, pairs)
    if refined:
        if votes:
            return f"{_more(refined)}, and no gain could be shown for {_names(votes)}: think again."
        untried = "" if Arm.named(base.name).draws > 1 else "; a vote at the same cost was not tried"
        return f"{_more(refined)}: think again{untried}."
    if voted:
        unshown = f", and no gain could be shown for {_names(turns)}: vote rather than refine" if turns else ": vote"
        return f"{_more(voted)}{unshown}."
    return _no_gain(base, gains)


def _refine_or_vote(refined: _Gain, voted: _Gain, pairs: Sequence[Pair]) -> str:
    between = _gain(refined.arm, voted.arm, pairs)
    if between and between.better:
        more = f"{_points(between)} more often than {voted.arm.name} ({_p(between.p)})"
        return f"{_more(refined)}, and {more}: think again."
    if between and between.worse:
        return f"{_more(voted)}, and {_points(between)} more often than {refined.arm.name}: vote rather than refine."
    costs = refined.arm.spent, voted.arm.spent
    cheaper = (
        costs[1].total < costs[0].total
        if costs[0] and costs[1]
        else _calls(voted.arm.name) < _calls(refined.arm.name)  # where nothing is counted, the plan tells
    )
    if cheaper:
        return f"{_more(voted)}, and {refined.arm.name} gains no more for more tokens: vote rather than refine."
    return f"{_more(refined)}, and {voted.arm.name} gains no more for no fewer tokens: think again."


def _no_gain(base: ArmFigures, gains: Sequence[_Gain]) -> str:
    worst = min(gains, key=lambda gain: gain.points if gain.worse else 0)
    if worst.worse:
        less = f"{worst.arm.name} is right {_points(worst)} less often than {base.name} ({_why(worst, worst.arm)})"
        return f"{less}: use {base.name}."
    breaking = max([base, *(gain.arm for gain in gains)], key=lambda arm: arm.overall.broken - arm.overall.fixed)
    if breaking.overall.broken > breaking.overall.fixed:
        return _broke(breaking)
    nearest = min(gains, key=lambda gain: gain.p)
    told = f"{nearest.arm.name} against {base.name}: {'-' if nearest.points < 0 else '+'}{_points(nearest)}"
    shown = f"No difference between the arms could be shown with {nearest.n} questions"
    return f"{shown} ({told}, {_p(nearest.p)}): use {base.name}, the cheapest."


def _broke(arm: ArmFigures) -> str:
    change = arm.overall
    counts = f"{change.broken} against {change.fixed} in {arm.name}, {_p(change.p)}"
    return f"Refining broke more than it fixed ({counts}): use 1 turn."


def _gain(arm: ArmFigures, base: ArmFigures, pairs: Sequence[Pair]) -> _Gain | None:
    for pair in pairs:
        if {pair.first, pair.second} == {arm.name, base.name} and pair.points is not None:
            points = pair.points if pair.second == arm.name else -pair.points
            return _Gain(arm, base, points, pair.p, pair.n)
    return None


def _best(gains: Sequence[_Gain]) -> _Gain | None:
    """Return the greatest gain that is shown; of equal ones that with fewer calls."""
    return max((g for g in gains if g.better), key=lambda gain: (gain.points, -_calls(gain.arm.name)), default=None)


def _calls(name: str) -> int:
    """Return the calls that an arm plans: its draws, or its turns and a synthesis."""
    arm = Arm.named(name)
    return arm.turns + 1 if arm.turns > 1 else arm.draws


def _more(gain: _Gain) -> str:
    arm, base = gain.arm.spent, gain.base.spent
    cost = f" for {arm.total / base.total:.1f} times the tokens" if arm and base and base.total else ""
    return f"{gain.arm.name} is right {_points(gain)} more often than {gain.base.name} ({_why(gain, gain.base)}){cost}"


def _why(gain: _Gain, loser: ArmFigures) -> str:
    """Return the p of a difference, and how many of the loser's calls failed, where that made half of it or more."""
    failed, n = loser.errors, loser.accuracy.n
    told = f"; {failed} of {loser.name}'s {n} ended in an error" if 100 * failed / n >= abs(gain.points) / 2 else ""
    return f"{_p(gain.p)}{told}"


def _names(gains: Sequence[_Gain]) -> str:
    return " and ".join(gain.arm.name for gain in gains)


def _points(gain: _Gain) -> str:
    number = f"{abs(gain.points):.1f}".removesuffix(".0")
    return f"{number} point{'' if number == '1' else 's'}"


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
