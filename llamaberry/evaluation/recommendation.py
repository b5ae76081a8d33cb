"""The recommendation of a report: one sentence that claims no more than the figures show.

Refining is recommended only if it is not beaten at no higher cost by a rival: a vote (arXiv 2203.11171), or the program
alone (2211.10435). A difference counts if
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
    def size(self) -> str:
        number = f"{abs(self.points):.1f}".removesuffix(".0")
        return f"{number} point{'' if number == '1' else 's'}"

    def describe(self) -> str:
        arm, base = self.arm.cost, self.base.cost
        cost = f" for {arm.total / base.total:.1f} times the tokens" if arm and base and base.total else ""
        return f"{self.arm.name} is right {self.size} more often than {self.base.name} ({self.why(self.base)}){cost}"

    def why(self, loser: ArmFigures) -> str:
        """Return the p-value, and the loser's failed questions if they may explain half of the difference or more."""
        failed, n = loser.errors, loser.accuracy.n
        note = f"; {failed} of {loser.name}'s {n} ended in an error" if 100 * failed / n >= abs(self.points) / 2 else ""
        return f"{_p_value(self.p)}{note}"


def recommendation(arms: Sequence[ArmFigures], pairs: Sequence[Pair]) -> str:
    """Return the sentence; an arm whose every question failed is named first and compared with no other."""
    with_results = [arm for arm in arms if arm.accuracy.n]
    if not with_results:
        return "There are no results to compare."
    usable = [arm for arm in with_results if arm.errors < arm.accuracy.n]
    failed = " and ".join(arm.name for arm in with_results if arm not in usable)
    failure = f"Every question ended in an error in {failed}"
    if not usable:
        return f"{failure}: fix the cause, and retry."
    sentence = _single_arm(usable[0]) if len(usable) == 1 else _several_arms(usable, pairs)
    return f"{failure}; of the others: {sentence}" if failed else sentence


def _single_arm(arm: ArmFigures) -> str:
    rate, change = arm.accuracy, arm.overall
    accuracy = f"{arm.name} is right on {rate.right} of {rate.n} questions"
    if rate.share is not None and rate.low is not None and rate.high is not None:
        accuracy += f" ({100 * rate.share:.0f}%, 95% interval {100 * rate.low:.0f} to {100 * rate.high:.0f}%)"
    if not arm.by_turn:
        return f"{accuracy}: there is no other arm to compare it with."
    if change.broken > change.fixed:
        return _refining_broke(arm)
    effect = f"refining fixed {change.fixed} of its first answers and broke {change.broken}, {_p_value(change.p)}"
    helps = change.p < ALPHA
    advice = "refine, unless a vote at the same cost does as well" if helps else "no gain was shown, so use 1 turn"
    return f"{accuracy}, and {effect}: {advice}."


def _several_arms(arms: Sequence[ArmFigures], pairs: Sequence[Pair]) -> str:
    base = min(arms, key=lambda arm: (_planned_calls(arm), Arm.parse(arm.name).is_program))
    gains = [gain for arm in arms if arm is not base and (gain := _gain(arm, base, pairs))]
    if not gains:
        return "The arms share no question: they cannot be compared."
    refining = [gain for gain in gains if gain.arm.by_turn]
    rivals = [gain for gain in gains if not gain.arm.by_turn]
    best_refining, best_rival = _best(refining), _best(rivals)
    if best_refining and best_rival:
        return _refine_or_rival(best_refining, best_rival, pairs)
    if best_refining:
        others, advice = rivals, "refine"
        if not rivals and Arm.parse(base.name).draws == 1:
            advice = "refine; a vote at the same cost was not measured"
    else:
        others = refining
        advice = _advice(best_rival.arm, instead=bool(refining)) if best_rival else ""
    best = best_refining or best_rival
    if best is None:
        return _no_gain(base, gains)
    no_gain = f", and no gain was shown for {' and '.join(gain.arm.name for gain in others)}" if others else ""
    return f"{best.describe()}{no_gain}: {advice}."


def _advice(rival: ArmFigures, *, instead: bool) -> str:
    advice = "for questions like these, a program alone does" if Arm.parse(rival.name).is_program else "vote"
    return f"{advice}, do not refine" if instead and advice == "vote" else advice


def _refine_or_rival(refining: _Gain, rival: _Gain, pairs: Sequence[Pair]) -> str:
    between = _gain(refining.arm, rival.arm, pairs)
    if between and between.p < ALPHA:
        refine, lead = between.points > 0, f"{between.size} more often than"
        refine_reason = f"{lead} {rival.arm.name} ({_p_value(between.p)})"
        rival_reason = f"{lead} {refining.arm.name}"
    else:
        if refining.arm.cost and rival.arm.cost:
            refine = rival.arm.cost.total >= refining.arm.cost.total
        else:
            refine = _planned_calls(rival.arm) >= _planned_calls(refining.arm)
        refine_reason = f"{rival.arm.name} costs as much without a further gain"
        rival_reason = f"{refining.arm.name} costs more without a further gain"
    if refine:
        return f"{refining.describe()}, and {refine_reason}: refine."
    return f"{rival.describe()}, and {rival_reason}: {_advice(rival.arm, instead=True)}."


def _no_gain(base: ArmFigures, gains: Sequence[_Gain]) -> str:
    worst = min(gains, key=lambda gain: gain.points if gain.p < ALPHA else 0)
    if worst.p < ALPHA and worst.points < 0:
        loss = f"{worst.arm.name} is right {worst.size} less often than {base.name} ({worst.why(worst.arm)})"
        return f"{loss}: use {base.name}."
    most_broken = max([base, *(gain.arm for gain in gains)], key=lambda arm: arm.overall.broken - arm.overall.fixed)
    if most_broken.overall.broken > most_broken.overall.fixed:
        return _refining_broke(most_broken)
    nearest = min(gains, key=lambda gain: gain.p)
    sign = "-" if nearest.points < 0 else "+"
    difference = f"{nearest.arm.name} against {base.name}: {sign}{nearest.size}, {_p_value(nearest.p)}"
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
    better = [gain for gain in gains if gain.points > 0 and gain.p < ALPHA]
    return max(better, key=lambda gain: (gain.points, -_planned_calls(gain.arm)), default=None)


def _planned_calls(arm: ArmFigures) -> int:
    return Arm.parse(arm.name).calls


def _p_value(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
