"""The figures of a report, each calculated by hand."""

import math

import pytest

from llamaberry.evaluation.cost import Prices
from llamaberry.evaluation.measures import ArmFigures, Change, Rate
from llamaberry.evaluation.report import Report, report
from llamaberry.evaluation.results import Result
from llamaberry.graph.errors import SetupError
from testing.eval_results import ARMS, TOKENS, reply, result, small_report, small_results


@pytest.fixture(scope="module")
def full_report() -> Report:
    return small_report()


@pytest.fixture(scope="module")
def arms(full_report: Report) -> dict[str, ArmFigures]:
    return {arm.name: arm for arm in full_report.arms}


def wilson(right: int, n: int) -> list[float]:
    """The textbook formula."""
    z, p = 1.959963985, right / n
    middle, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return [(middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)]


def test_accuracy_counts_all_questions_with_wilson_interval(arms: dict[str, ArmFigures]) -> None:
    rate = arms["turns:3"].accuracy
    assert (rate.right, rate.n, rate.share) == (7, 10, 0.7)
    assert [rate.low, rate.high] == pytest.approx([0.39678, 0.89221], abs=1e-5)
    for arm, (right, n) in {"single": (5, 10), "self-consistency:3": (7, 9)}.items():
        assert (arms[arm].accuracy.right, arms[arm].accuracy.n) == (right, n)
        assert [arms[arm].accuracy.low, arms[arm].accuracy.high] == pytest.approx(wilson(right, n))


def test_a_failed_question_without_an_answer_is_wrong(arms: dict[str, ArmFigures]) -> None:
    assert [(arm.errors, arm.degraded, arm.accuracy.n) for arm in arms.values()] == [(1, 0, 10), (1, 1, 10), (0, 0, 9)]
    with_answer = result("turns:2", 1, [reply("turn 1", "r")], True, error="the provider is down")
    one = report([with_answer], settings={}).arms[0]
    assert (one.accuracy.right, one.errors) == (1, 1)


def test_each_turn_counts_all_questions(arms: dict[str, ArmFigures]) -> None:
    # After turn 1 right: 0 1 2 5 6 9. After turn 2: 0 1 3 5 6 9 (4 has no answer and stays wrong). After turn 3:
    # 0 1 3 4 5 9 (5 has no answer and stays right; 7 failed and stays wrong).
    counts = {name: (rate.right, rate.n) for name, rate in arms["turns:3"].by_turn.items()}
    assert counts == {"turn 1": (6, 10), "turn 2": (6, 10), "turn 3": (6, 10), "final": (7, 10)}
    assert arms["turns:3"].by_turn["turn 1"].low == pytest.approx(wilson(6, 10)[0])
    assert arms["single"].by_turn == arms["self-consistency:3"].by_turn == {}


def test_a_program_counts_what_it_would_fix_and_break() -> None:
    """Against turn 1, where it printed an answer; its reply is neither an answer of a turn nor unparsed."""

    def checked(number: int, turns: str, program: str) -> Result:
        replies = [reply(f"turn {n}", code) for n, code in enumerate(turns, start=1)]
        return result("turns:3", number, [replies[0], reply("check", program), *replies[1:]], turns[-1] in "rR")

    results = [checked(0, "wr", "r"), checked(1, "rr", "w"), checked(2, "rR", "r"), checked(3, "ww", "-")]
    (arm,) = report(results, settings={}).arms
    assert arm.steps["program"] == Change(fixed=1, broken=1, kept_right=1)
    assert arm.steps["turn 2"] == Change(fixed=1, kept_right=2, kept_wrong=1)
    assert (arm.calls_mean, arm.calls_median, arm.unparsed, arm.agreement) == (3, 3, 0, 0.75)


def test_each_step_counts_fixed_and_broken_answers(arms: dict[str, ArmFigures]) -> None:
    turns = arms["turns:3"]
    assert turns.steps == {
        "turn 2": Change(fixed=1, broken=1, kept_right=5, kept_wrong=3),  # 3; 2; 0 1 5 6 9; 4 7 8
        "turn 3": Change(fixed=1, broken=1, kept_right=5, kept_wrong=2),  # 4; 6; 0 1 3 5 9; 2 8; 7 did not reach it
        "synthesis": Change(fixed=2, broken=1, kept_right=5, kept_wrong=1),  # 6 8; 9; 0 1 3 4 5; 2
    }
    assert turns.refining == Change(fixed=2, broken=2, kept_right=4, kept_wrong=2)  # 3 4; 2 6; 0 1 5 9; 7 8
    assert turns.overall == Change(fixed=3, broken=2, kept_right=4, kept_wrong=1)  # 3 4 8; 2 9; 0 1 5 6; 7
    assert arms["single"].overall == Change()


def test_agreement_compares_normalised_answers(arms: dict[str, ArmFigures]) -> None:
    assert arms["single"].agreement is None
    assert arms["turns:3"].agreement == 6 / 10  # 0 1 5 7 8 9
    assert arms["self-consistency:3"].agreement == pytest.approx(8 / 9)  # all but 6


def test_unparsed_and_truncated_are_shares_of_all_replies(arms: dict[str, ArmFigures]) -> None:
    shares = [(arm.replies, arm.unparsed, arm.truncated) for arm in arms.values()]
    assert shares == [(9, 1 / 9, 1 / 9), (38, 2 / 38, 0), (27, 0, 0)]


def test_cost_is_the_mean_of_questions_with_full_usage(arms: dict[str, ArmFigures]) -> None:
    single, turns, vote = (arms[name].cost for name in ARMS)
    assert single
    assert turns
    assert vote
    assert (single.questions, single.input, single.cached, single.output, single.total) == (9, 100, 40, 50, 150)
    assert single.tokens_per_right == 9 * 150 / 5
    assert (turns.questions, turns.input, turns.output, turns.total) == (10, 380, 190, 570)
    assert turns.tokens_per_right == 5700 / 7
    # Question 0 of the vote has a draw without usage, so it is left out.
    assert (vote.questions, vote.total, vote.tokens_per_right) == (8, 450, 8 * 450 / 6)
    # 60 uncached at $1, 40 cached at $0.50 and 50 output at $2 a million: 180 millionths of a dollar.
    assert [single.usd, single.usd_per_right] == pytest.approx([180e-6, 9 * 180e-6 / 5])


def test_cached_input_costs_as_much_as_other_by_default() -> None:
    assert Prices(input=1, output=2).of(TOKENS) == pytest.approx(200e-6)
    assert Prices(input=1, output=2, cached=0).of(TOKENS) == pytest.approx(160e-6)


def test_seconds_are_summed_over_the_replies_of_a_question(arms: dict[str, ArmFigures]) -> None:
    assert (arms["single"].seconds_mean, arms["single"].seconds_median) == (3, 2)  # 11 and eight times 2
    assert arms["turns:3"].seconds_mean == 38 * 2 / 10


def test_unknown_figures_are_none_not_zero() -> None:
    wrong = result("single", 1, [reply("turn 1", "w")], False)
    cost = report([wrong], prices=Prices(input=1, output=1), settings={}).arms[0].cost
    assert cost
    assert (cost.total, cost.tokens_per_right, cost.usd_per_right) == (150, None, None)
    without_usage = report([result("single", 1, [reply("turn 1", "w", tokens=None)], False)], settings={}).arms[0]
    assert without_usage.cost is None
    empty = report([], settings={"arms": ["single"]}).arms[0]
    assert (empty.accuracy, empty.seconds_mean, empty.unparsed) == (Rate(right=0, n=0), None, None)


def test_pairs_compare_the_questions_that_both_arms_have(full_report: Report) -> None:
    counts = [(p.second, p.first, p.both, p.only_first, p.only_second, p.neither) for p in full_report.pairs]
    assert counts == [
        ("turns:3", "single", 4, 1, 3, 2),  # 0 1 3 4; 2; 5 6 8; 7 9
        ("self-consistency:3", "single", 5, 0, 2, 2),  # 0 to 4; none; 5 6; 7 8
        ("self-consistency:3", "turns:3", 6, 1, 1, 1),  # 0 1 3 4 5 6; 8; 2; 7
    ]
    assert [pair.points for pair in full_report.pairs] == [pytest.approx(20), pytest.approx(200 / 9), 0]
    # 1 or fewer of 4: (1 + 4) / 16, twice. 0 of 2: 1 / 4, twice. 1 of 2: every case.
    assert [pair.p for pair in full_report.pairs] == [pytest.approx(0.625), pytest.approx(0.5), 1]


def test_p_is_1_for_equal_arms() -> None:
    same = [result(arm, n, [reply("turn 1", "r")], True) for arm in ("single", "turns:2") for n in range(3)]
    assert report(same, settings={}).pairs[0].p == 1


def test_missing_questions_are_counted(full_report: Report) -> None:
    assert (full_report.questions, full_report.complete, [arm.missing for arm in full_report.arms]) == (
        10,
        False,
        [0, 0, 1],
    )
    assert report(small_results()[:20], settings={}).complete


def test_each_task_has_its_own_accuracy(full_report: Report) -> None:
    counts = {
        task: {arm: (rate.right, rate.n) for arm, rate in arms.items()} for task, arms in full_report.tasks.items()
    }
    assert counts == {
        "sums": {"single": (5, 5), "turns:3": (4, 5), "self-consistency:3": (5, 5)},
        "words": {"single": (0, 5), "turns:3": (3, 5), "self-consistency:3": (2, 4)},
    }


def test_arms_are_ordered_as_in_the_settings() -> None:
    mixed = report(small_results(), settings={"arms": ["turns:3", "single"]})
    assert [arm.name for arm in mixed.arms] == ["turns:3", "single", "self-consistency:3"]
    with pytest.raises(SetupError, match="unknown arm 'x'"):
        report([], settings={"arms": ["x"]})


def test_a_retried_question_counts_once() -> None:
    failed = result("single", 1, [], False, error="the provider is down")
    retried = result("single", 1, [reply("turn 1", "r")], True)
    arm = report([failed, retried], settings={}).arms[0]
    assert (arm.accuracy.n, arm.accuracy.right, arm.errors) == (1, 1, 0)


def test_a_report_survives_json(full_report: Report) -> None:
    assert Report.model_validate_json(full_report.model_dump_json()) == full_report
