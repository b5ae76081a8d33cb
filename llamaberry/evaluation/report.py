"""From the results of an evaluation to its report: what each arm came to, how they compare, and what to do."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from pydantic import BaseModel

from llamaberry.evaluation.cost import Prices
from llamaberry.evaluation.measures import ArmFigures, Pair, Rate, figures, pair
from llamaberry.evaluation.recommendation import recommendation
from llamaberry.evaluation.results import Result


class Report(BaseModel, frozen=True):
    """What an evaluation came to, as it is written into report.json."""

    settings: dict[str, Any]
    """What was run, and how: the arms, the model, the seed, the machine, … as the evaluation was told."""
    questions: int
    """The number of different questions."""
    arms: list[ArmFigures]
    pairs: list[Pair]
    """Each arm against each that comes before it."""
    tasks: dict[str, dict[str, Rate]]
    """Task -> arm -> how much of it is right."""
    complete: bool
    """Whether every arm has every question: if not, look at the pairs and not at the arms alone."""
    recommendation: str
    """What to do, in one sentence."""


def report(results: Sequence[Result], *, prices: Prices | None = None, settings: dict[str, Any]) -> Report:
    """Return the report of these results; the arms stand as in `settings["arms"]`, others as they come.

    Of two results of one arm for one question the later one counts: it was asked again.

    Raises:
        SetupError: a result is of an arm that there is not, or scipy is not installed.
    """
    names = dict.fromkeys([*settings.get("arms", []), *(result.arm for result in results)])
    by_arm: dict[str, dict[str, Result]] = {name: {} for name in names}
    for result in results:
        by_arm[result.arm][result.id] = result
    questions = {result.id for result in results}
    arms = [
        figures(name, list(kept.values()), missing=len(questions) - len(kept), prices=prices)
        for name, kept in by_arm.items()
    ]
    pairs = [pair(one, other, by_arm[one], by_arm[other]) for one, other in combinations(by_arm, 2)]
    return Report(
        settings=settings,
        questions=len(questions),
        arms=arms,
        pairs=pairs,
        tasks={
            task: {name: Rate.of(r.right for r in kept.values() if r.task == task) for name, kept in by_arm.items()}
            for task in dict.fromkeys(result.task for result in results)
        },
        complete=not any(arm.missing for arm in arms),
        recommendation=recommendation(arms, pairs),
    )
