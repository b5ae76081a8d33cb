"""The recommendation of a report: one sentence that claims no more than the figures show.

Refining is recommended only if it is not beaten by a vote at no higher cost (arXiv 2203.11171). A difference counts if
p is below ALPHA, without correction for the number of comparisons.
"""

from collections.abc import Sequence
from typing import NamedTuple

from llamaberry.evaluation.measures import ArmFigures, Pair
from llamaberry.evaluation.results import Arm

ALPHA = 0.05


class _Gain(NamedTuple):
    """The gain of an arm over a base arm: percentage points, their p-value, and the number of shared questions."""

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
    """Return the sentence; an arm whose every question failed is named first and compared with no other."""
    with_results = [arm for arm in arms if arm.accuracy.n]
    if not with_results:
        return "There are no results to compare."
    failed = [arm for arm in with_results if arm.errors == arm.accuracy.n]
    usable = [arm for arm in with_results if arm not in failed]
    failure = f"Every question ended in an error in {' and '.join(arm.name for arm in failed)}"
    if not usable:
        return f"{failure}: fix the cause, and retry."
    sentence = _single_arm(usable[0]) if len(usable) == 1 else _several_arms(usable, pairs)
    return f"{failure}; of the others: {sentence}" if failed else sentence


def _single_arm(arm: ArmFigures) -> str:
    rate = arm.accuracy
    accuracy = f"{arm.name} is right on {rate.right} of {rate.n} questions"
    if rate.share is not None and rate.low is not None and rate.high is not None:
        accuracy += f" ({100 * rate.share:.0f}%, 95% interval {100 * rate.low:.0f} to {100 * rate.high:.0f}%)"
    if not arm.by_turn:
        return f"{accuracy}: there is no other arm to compare it with."
    change = arm.overall
    effect = f"refining fixed {change.fixed} of its first answers and broke {change.broken}, {_p_value(change.p)}"
    if change.fixed > change.broken and change.p < ALPHA:
        return f"{accuracy}, and {effect}: refine, unless a vote at the same cost does as well."
    if change.broken > change.fixed:
        return _refining_broke(arm)
    return f"{accuracy}, and {effect}: no gain was shown, so use 1 turn."


def _several_arms(arms: Sequence[ArmFigures], pairs: Sequence[Pair]) -> str:
    base = min(arms, key=lambda arm: _planned_calls(arm.name))
    gains = [gain for arm in arms if arm is not base and (gain := _gain(arm, base, pairs))]
    if not gains:
        return "The arms share no question: they cannot be compared."
    refining = [gain for gain in gains if Arm.parse(gain.arm.name).turns > 1]
    voting = [gain for gain in gains if gain not in refining]
    best_refining, best_vote = _best(refining), _best(voting)
    if best_refining and best_vote:
        return _refine_or_vote(best_refining, best_vote, pairs)
    if best_refining:
        if voting:
            return f"{_describe(best_refining)}, and no gain was shown for {_names(voting)}: refine."
        caveat = "" if Arm.parse(base.name).draws > 1 else "; a vote at the same cost was not measured"
        return f"{_describe(best_refining)}: refine{caveat}."
    if best_vote:
        advice = f", and no gain was shown for {_names(refining)}: vote, do not refine" if refining else ": vote"
        return f"{_describe(best_vote)}{advice}."
    return _no_gain(base, gains)


def _refine_or_vote(refining: _Gain, vote: _Gain, pairs: Sequence[Pair]) -> str:
    between = _gain(refining.arm, vote.arm, pairs)
    if between and between.better:
        lead = f"{_points(between)} more often than {vote.arm.name} ({_p_value(between.p)})"
        return f"{_describe(refining)}, and {lead}: refine."
    if between and between.worse:
        lead = f"{_points(between)} more often than {refining.arm.name}"
        return f"{_describe(vote)}, and {lead}: vote, do not refine."
    if refining.arm.cost and vote.arm.cost:
        vote_is_cheaper = vote.arm.cost.total < refining.arm.cost.total
    else:
        vote_is_cheaper = _planned_calls(vote.arm.name) < _planned_calls(refining.arm.name)
    if vote_is_cheaper:
        return f"{_describe(vote)}, and {refining.arm.name} costs more without a further gain: vote, do not refine."
    return f"{_describe(refining)}, and {vote.arm.name} costs as much without a further gain: refine."


def _no_gain(base: ArmFigures, gains: Sequence[_Gain]) -> str:
    worst = min(gains, key=lambda gain: gain.points if gain.worse else 0)
    if worst.worse:
        loss = f"{worst.arm.name} is right {_points(worst)} less often than {base.name} ({_why(worst, worst.arm)})"
        return f"{loss}: use {base.name}."
    most_broken = max([base, *(gain.arm for gain in gains)], key=lambda arm: arm.overall.broken - arm.overall.fixed)
    if most_broken.overall.broken > most_broken.overall.fixed:
        return _refining_broke(most_broken)
    nearest = min(gains, key=lambda gain: gain.p)
    sign = "-" if nearest.points < 0 else "+"
    difference = f"{nearest.arm.name} against {base.name}: {sign}{_points(nearest)}, {_p_value(nearest.p)}"
    summary = f"No difference between the arms was shown with {nearest.n} questions"
    return f"{summary} ({difference}): use {base.name}, the cheapest."


def _refining_broke(arm: ArmFigures) -> str:
    change = arm.overall
    counts = f"{change.broken} against {change.fixed} in {arm.name}, {_p_value(change.p)}"
    return f"Refining broke more than it fixed ({counts}): use 1 turn."


def _gain(arm: ArmFigures, base: ArmFigures, pairs: Sequence[Pair]) -> _Gain | None:
    for pair in pairs:
        if {pair.first, pair.second} == {arm.name, base.name} and pair.points is not None:
            points = pair.points if pair.second == arm.name else -pair.points
            return _Gain(arm, base, points, pair.p, pair.n)
    return None


def _best(gains: Sequence[_Gain]) -> _Gain | None:
    """Return the largest significant gain; of equal ones that with fewer calls."""
    better = [gain for gain in gains if gain.better]
    return max(better, key=lambda gain: (gain.points, -_planned_calls(gain.arm.name)), default=None)


def _planned_calls(name: str) -> int:
    """Return the calls of an arm for one question: its draws, or its turns and a synthesis."""
    arm = Arm.parse(name)
    return arm.turns + 1 if arm.turns > 1 else arm.draws


def _describe(gain: _Gain) -> str:
    arm, base = gain.arm.cost, gain.base.cost
    cost = f" for {arm.total / base.total:.1f} times the tokens" if arm and base and base.total else ""
    return f"{gain.arm.name} is right {_points(gain)} more often than {gain.base.name} ({_why(gain, gain.base)}){cost}"


def _why(gain: _Gain, loser: ArmFigures) -> str:
    """Return the p-value, and the loser's failed questions if they may explain half of the difference or more."""
    failed, n = loser.errors, loser.accuracy.n
    note = f"; {failed} of {loser.name}'s {n} ended in an error" if 100 * failed / n >= abs(gain.points) / 2 else ""
    return f"{_p_value(gain.p)}{note}"


def _names(gains: Sequence[_Gain]) -> str:
    return " and ".join(gain.arm.name for gain in gains)


def _points(gain: _Gain) -> str:
    number = f"{abs(gain.points):.1f}".removesuffix(".0")
    return f"{number} point{'' if number == '1' else 's'}"


def _p_value(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
