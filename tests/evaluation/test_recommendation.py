"""The recommendation of a report in every case."""

import pytest

from llamaberry.evaluation.report import report
from llamaberry.evaluation.results import Result
from testing.eval_results import arm_results

SINGLE = arm_results("single", range(20))
BETTER = "is right 25 points more often than single (p = 0.002)"  # ten questions more, none fewer: 2 / 1024


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        ([], "There are no results to compare."),
        (
            arm_results("single", [], failed=range(40)) + arm_results("turns:2", [], failed=range(40)),
            "Every question ended in an error in single and turns:2: fix the cause, and retry.",
        ),
        (
            SINGLE + arm_results("turns:3", [], failed=range(40)),
            "Every question ended in an error in turns:3; of the others: single is right on 20 of 40 questions (50%, "
            "95% interval 35 to 65%): there is no other arm to compare it with.",
        ),
        (
            arm_results("turns:3", range(30), first=range(20)),
            "turns:3 is right on 30 of 40 questions (75%, 95% interval 60 to 86%), and refining fixed 10 of its "
            "first answers and broke 0, p = 0.002: refine, unless a vote at the same cost does as well.",
        ),
        (
            arm_results("turns:3", range(21), first=range(20)),
            "turns:3 is right on 21 of 40 questions (52%, 95% interval 37 to 67%), and refining fixed 1 of its "
            "first answers and broke 0, p = 1: no gain was shown, so use 1 turn.",
        ),
        (
            arm_results("turns:3", range(16), first=range(20)),
            "Refining broke more than it fixed (4 against 0 in turns:3, p = 0.12): use 1 turn.",
        ),
        (
            SINGLE + arm_results("turns:3", range(30)),
            f"turns:3 {BETTER} for 4.0 times the tokens: refine; a vote at the same cost was not measured.",
        ),
        (
            SINGLE + arm_results("turns:3", range(30)) + arm_results("self-consistency:3", range(21)),
            f"turns:3 {BETTER} for 4.0 times the tokens, and no gain was shown for self-consistency:3: refine.",
        ),
        (
            SINGLE + arm_results("turns:3", range(30)) + arm_results("self-consistency:3", range(30)),
            f"self-consistency:3 {BETTER} for 3.0 times the tokens, and turns:3 costs more without a further gain: "
            "vote, do not refine.",
        ),
        (
            SINGLE + arm_results("turns:3", range(30)) + arm_results("self-consistency:5", range(31)),
            f"turns:3 {BETTER} for 4.0 times the tokens, and self-consistency:5 costs as much without a further gain: "
            "refine.",
        ),
        (
            SINGLE + arm_results("turns:3", range(40)) + arm_results("self-consistency:3", range(30)),
            "turns:3 is right 50 points more often than single (p < 0.001) for 4.0 times the tokens, and 25 points "
            "more often than self-consistency:3 (p = 0.002): refine.",
        ),
        (
            SINGLE + arm_results("turns:3", range(30)) + arm_results("self-consistency:3", range(40)),
            "self-consistency:3 is right 50 points more often than single (p < 0.001) for 3.0 times the tokens, and "
            "25 points more often than turns:3: vote, do not refine.",
        ),
        (
            SINGLE + arm_results("turns:3", range(21)) + arm_results("self-consistency:3", range(30)),
            f"self-consistency:3 {BETTER} for 3.0 times the tokens, and no gain was shown for turns:3: "
            "vote, do not refine.",
        ),
        (
            arm_results("program", range(30)) + SINGLE + arm_results("turns:3", range(30)),
            f"program {BETTER} for 1.0 times the tokens, and turns:3 costs more without a further gain: for questions "
            "like these, a program alone does.",
        ),
        (
            SINGLE + arm_results("program", range(30)) + arm_results("turns:3", range(40)),
            "turns:3 is right 50 points more often than single (p < 0.001) for 4.0 times the tokens, and 25 points "
            "more often than program (p = 0.002): refine.",
        ),
        (
            SINGLE + arm_results("self-consistency:3", range(30)),
            f"self-consistency:3 {BETTER} for 3.0 times the tokens: vote.",
        ),
        (
            SINGLE + arm_results("turns:3", range(10), first=range(20)),
            "turns:3 is right 25 points less often than single (p = 0.002): use single.",
        ),
        (
            SINGLE + arm_results("turns:3", range(20), failed=range(10)),
            "turns:3 is right 25 points less often than single (p = 0.002; 10 of turns:3's 40 ended in an error): "
            "use single.",
        ),
        (
            SINGLE + arm_results("turns:3", [*range(17), 38], first=range(20)),
            "Refining broke more than it fixed (3 against 1 in turns:3, p = 0.62): use 1 turn.",
        ),
        (
            SINGLE + arm_results("turns:3", range(21)),
            "No difference between the arms was shown with 40 questions (turns:3 against single: +2.5 points, "
            "p = 1): use single, the cheapest.",
        ),
        (
            arm_results("turns:3", range(22)) + arm_results("turns:2", range(20)),
            "No difference between the arms was shown with 40 questions (turns:3 against turns:2: +5 points, "
            "p = 0.5): use turns:2, the cheapest.",
        ),
        (
            arm_results("turns:3", range(30)) + arm_results("self-consistency:3", range(20)),
            "turns:3 is right 25 points more often than self-consistency:3 (p = 0.002) for 1.3 times the tokens: "
            "refine.",
        ),
        (
            arm_results("turns:3", range(20)) + arm_results("self-consistency:10", range(30)),
            "self-consistency:10 is right 25 points more often than turns:3 (p = 0.002) for 2.5 times the tokens: "
            "vote.",
        ),
        (
            SINGLE[:20] + arm_results("turns:3", range(30))[20:],
            "The arms share no question: they cannot be compared.",
        ),
    ],
)
def test_the_recommendation_claims_no_more_than_the_figures(results: list[Result], sentence: str) -> None:
    assert report(results, settings={}).recommendation == sentence
