"""The report of an evaluation: the figures of each arm, their comparisons, and a recommendation."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from pydantic import BaseModel

from llamaberry.evaluation.cost import Prices
from llamaberry.evaluation.measures import ArmFigures, Pair, Rate, arm_figures, compare_arms
from llamaberry.evaluation.recommendation import recommendation
from llamaberry.evaluation.results import Result


class Report(BaseModel, frozen=True):
    """The content of report.json."""

    settings: dict[str, Any]
    """The settings of the evaluation: arms, model, seed, machine, …"""
    questions: int
    """The number of different questions."""
    arms: list[ArmFigures]
    pairs: list[Pair]
    """Each arm compared with each arm before it."""
    tasks: dict[str, dict[str, Rate]]
    """Task -> arm -> accuracy."""
    complete: bool
    """Whether every arm answered every question; if not, compare the arms by their pairs only."""
    recommendation: str
    """What to do, in one sentence."""


def report(results: Sequence[Result], *, prices: Prices | None = None, settings: dict[str, Any]) -> Report:
    """Return the report of these results; arms are ordered as in `settings["arms"]`, others follow.

    The last result counts if an arm has several for one question, because the earlier ones were retried.

    Raises:
        SetupError: a result's arm is unknown, or scipy is not installed.
    """
    names = dict.fromkeys([*settings.get("arms", []), *(result.arm for result in results)])
    by_arm: dict[str, dict[str, Result]] = {name: {} for name in names}
    for result in results:
        by_arm[result.arm][result.id] = result
    questions = len({result.id for result in results})
    arms = [
        arm_figures(name, list(of_arm.values()), missing=questions - len(of_arm), prices=prices)
        for name, of_arm in by_arm.items()
    ]
    pairs = [compare_arms(one, other, by_arm[one], by_arm[other]) for one, other in combinations(by_arm, 2)]
    return Report(
        settings=settings,
        questions=questions,
        arms=arms,
        pairs=pairs,
        tasks={
            task: {name: Rate.of(r.right for r in of_arm.values() if r.task == task) for name, of_arm in by_arm.items()}
            for task in dict.fromkeys(result.task for result in results)
        },
        complete=not any(arm.missing for arm in arms),
        recommendation=recommendation(arms, pairs),
    )
