"""The report of an evaluation: every figure worked out by hand, and a sentence that claims what is shown."""

import io
import math
from collections.abc import Iterable
from typing import Any

import pytest
from rich.console import Console

from llamaberry.evaluation.cost import Prices
from llamaberry.evaluation.measures import ArmFigures, Change, Rate
from llamaberry.evaluation.report import Report, report
from llamaberry.evaluation.results import Reply, Result, Tokens
from llamaberry.evaluation.table import print_report
from llamaberry.graph.errors import SetupError

TOKENS = Tokens(input=100, output=50, cached=40)
SAID = {"r": "**42**.", "R": "42", "w": "41", "-": None}  # right, right but written otherwise, wrong, not stated


def reply(step: str, said: str, **more: Any) -> Reply:
    return Reply(**{"step": step, "answer": SAID[said], "right": said in "rR", "seconds": 2, "tokens": TOKENS} | more)


def result(arm: str, number: int, replies: list[Reply], right: bool, **more: Any) -> Result:
    told = {"id": f"q{number}", "task": "sums" if number < 5 else "words", "question": "6 x 7?", "expected": "42"}
    answer = "42" if right else None
    return Result(**told | {"arm": arm, "answer": answer, "right": right, "replies": replies} | more)


def small() -> list[Result]:
    """Ten questions, three arms: single lost one to an error, turns:3 broke off in one, the vote lacks the last."""
    kept = [
        result("single", n, [reply("turn 1", "r" if n < 5 else "w", seconds=11 if n == 0 else 2)], n < 5)
        for n in range(8)
    ]
    kept += [result("single", 8, [reply("turn 1", "-", finish_reason="length")], False)]
    kept += [result("single", 9, [], False, error="the provider is down")]
    turns = ["rrR", "rrr", "rww", "wrr", "w-r", "rr-", "rrw", "ww", "www", "rrr"]
    for n, said in enumerate(turns):
        right = n in (0, 1, 3, 4, 5, 6, 8)
        replies = [reply(f"turn {turn}", each) for turn, each in enumerate(said, start=1)]
        failed = {"error": "the provider is down", "degraded": "turn 3 failed"} if n == 7 else {}
        replies += [] if failed else [reply("synthesis", "r" if right else "w")]
        kept.append(result("turns:3", n, replies, right, **failed))
    for n, said in enumerate(["rrr", "rrR", "rrr", "rrr", "rrr", "rrr", "rrw", "www", "www"]):
        replies = [reply(f"draw {draw}", each) for draw, each in enumerate(said, start=1)]
        replies[2:] = [reply("draw 3", said[2], tokens=None)] if n == 0 else replies[2:]
        kept.append(result("self-consistency:3", n, replies, n < 7))
    return kept


ARMS = ["single", "turns:3", "self-consistency:3"]


@pytest.fixture(scope="module")
def made() -> Report:
    return report(small(), prices=Prices(input=1, output=2, cached=0.5), settings={"arms": ARMS, "model": "m"})


@pytest.fixture(scope="module")
def arms(made: Report) -> dict[str, ArmFigures]:
    return {arm.name: arm for arm in made.arms}


def wilson(right: int, n: int) -> list[float]:
    """The formula as it stands in textbooks."""
    z, p = 1.959963985, right / n
    middle, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return [(middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n)]


def test_accuracy_is_of_all_questions_with_wilsons_interval(arms: dict[str, ArmFigures]) -> None:
    rate = arms["turns:3"].accuracy
    assert (rate.right, rate.n, rate.share) == (7, 10, 0.7)
    assert [rate.low, rate.high] == pytest.approx([0.39678, 0.89221], abs=1e-5)
    for arm, (right, n) in {"single": (5, 10), "self-consistency:3": (7, 9)}.items():
        assert (arms[arm].accuracy.right, arms[arm].accuracy.n) == (right, n)
        assert [arms[arm].accuracy.low, arms[arm].accuracy.high] == pytest.approx(wilson(right, n))


def test_a_question_that_failed_counts_as_wrong_and_is_told(arms: dict[str, ArmFigures]) -> None:
    assert [(arm.errors, arm.degraded, arm.accuracy.n) for arm in arms.values()] == [(1, 0, 10), (1, 1, 10), (0, 0, 9)]
    kept = result("turns:2", 1, [reply("turn 1", "r")], True, error="the provider is down")
    one = report([kept], settings={}).arms[0]  # the turns before it left a right answer
    assert (one.accuracy.right, one.errors) == (1, 1)


def test_each_turn_is_of_all_questions_and_a_reply_that_states_nothing_changes_nothing(
    arms: dict[str, ArmFigures],
) -> None:
    # After turn 1 right: 0 1 2 5 6 9. After turn 2: 0 1 3 5 6 9 (4 states nothing and stays wrong). After turn 3:
    # 0 1 3 4 5 9 (5 states nothing and stays right; 7 broke off and stays wrong).
    told = {name: (rate.right, rate.n) for name, rate in arms["turns:3"].by_turn.items()}
    assert told == {"turn 1": (6, 10), "turn 2": (6, 10), "turn 3": (6, 10), "final": (7, 10)}
    assert arms["turns:3"].by_turn["turn 1"].low == pytest.approx(wilson(6, 10)[0])
    assert arms["single"].by_turn == arms["self-consistency:3"].by_turn == {}


def test_what_each_step_fixed_and_broke(arms: dict[str, ArmFigures]) -> None:
    turns = arms["turns:3"]
    assert turns.steps == {
        "turn 2": Change(fixed=1, broken=1, kept_right=5, kept_wrong=3),  # 3; 2; 0 1 5 6 9; 4 7 8
        "turn 3": Change(fixed=1, broken=1, kept_right=5, kept_wrong=2),  # 4; 6; 0 1 3 5 9; 2 8; 7 never had it
        "synthesis": Change(fixed=2, broken=1, kept_right=5, kept_wrong=1),  # 6 8; 9; 0 1 3 4 5; 2
    }
    assert turns.refining == Change(fixed=2, broken=2, kept_right=4, kept_wrong=2)  # 3 4; 2 6; 0 1 5 9; 7 8
    assert turns.overall == Change(fixed=3, broken=2, kept_right=4, kept_wrong=1)  # 3 4 8; 2 9; 0 1 5 6; 7
    assert arms["single"].overall == Change()


def test_agreement_is_one_answer_however_it_is_written(arms: dict[str, ArmFigures]) -> None:
    assert arms["single"].agreement is None
    assert arms["turns:3"].agreement == 6 / 10  # 0 1 5 7 8 9
    assert arms["self-consistency:3"].agreement == pytest.approx(8 / 9)  # all but 6


def test_what_could_not_be_read_or_was_cut_is_a_share_of_all_replies(arms: dict[str, ArmFigures]) -> None:
    told = [(arm.replies, arm.unparsed, arm.cut) for arm in arms.values()]
    assert told == [(9, 1 / 9, 1 / 9), (38, 2 / 38, 0), (27, 0, 0)]


def test_tokens_and_dollars_are_means_of_the_questions_that_were_counted(arms: dict[str, ArmFigures]) -> None:
    single, turns, vote = (arms[name].spent for name in ARMS)
    assert single
    assert turns
    assert vote
    assert (single.questions, single.input, single.cached, single.output, single.total) == (9, 100, 40, 50, 150)
    assert single.tokens_per_right == 9 * 150 / 5
    assert (turns.questions, turns.input, turns.output, turns.total) == (10, 380, 190, 570)
    assert turns.tokens_per_right == 5700 / 7
    # Of question 0 of the vote one draw was not counted: it tells nothing of the cost of a question.
    assert (vote.questions, vote.total, vote.tokens_per_right) == (8, 450, 8 * 450 / 6)
    # 60 fresh at $1, 40 cached at $0.50 and 50 written at $2 a million: 180 millionths of a dollar.
    assert [single.usd, single.usd_per_right] == pytest.approx([180e-6, 9 * 180e-6 / 5])


def test_cached_input_costs_as_much_as_other_input_unless_told() -> None:
    assert Prices(input=1, output=2).of(TOKENS) == pytest.approx(200e-6)
    assert Prices(input=1, output=2, cached=0).of(TOKENS) == pytest.approx(160e-6)


def test_seconds_are_those_of_all_replies_of_a_question(arms: dict[str, ArmFigures]) -> None:
    assert (arms["single"].seconds_mean, arms["single"].seconds_median) == (3, 2)  # 11 and eight times 2
    assert arms["turns:3"].seconds_mean == 38 * 2 / 10


def test_what_cannot_be_known_is_none_and_not_nought() -> None:
    wrong = result("single", 1, [reply("turn 1", "w")], False)
    spent = report([wrong], prices=Prices(input=1, output=1), settings={}).arms[0].spent
    assert spent
    assert (spent.total, spent.tokens_per_right, spent.usd_per_right) == (150, None, None)
    uncounted = report([result("single", 1, [reply("turn 1", "w", tokens=None)], False)], settings={}).arms[0]
    assert uncounted.spent is None
    nothing = report([], settings={"arms": ["single"]}).arms[0]
    assert (nothing.accuracy, nothing.seconds_mean, nothing.unparsed) == (Rate(right=0, n=0), None, None)


def test_two_arms_are_compared_on_the_questions_that_both_were_asked(made: Report) -> None:
    told = [(p.second, p.first, p.both, p.only_first, p.only_second, p.neither) for p in made.pairs]
    assert told == [
        ("turns:3", "single", 4, 1, 3, 2),  # 0 1 3 4; 2; 5 6 8; 7 9
        ("self-consistency:3", "single", 5, 0, 2, 2),  # 0 to 4; none; 5 6; 7 8
        ("self-consistency:3", "turns:3", 6, 1, 1, 1),  # 0 1 3 4 5 6; 8; 2; 7
    ]
    assert [pair.points for pair in made.pairs] == [pytest.approx(20), pytest.approx(200 / 9), 0]
    # Of 4 that differ 1 or fewer on one side: (1 + 4) / 16, twice. Of 2 none: 1 / 4, twice. Of 2 one: everything.
    assert [pair.p for pair in made.pairs] == [pytest.approx(0.625), pytest.approx(0.5), 1]


def test_two_arms_that_never_differ_have_p_1() -> None:
    same = [result(arm, n, [reply("turn 1", "r")], True) for arm in ("single", "turns:2") for n in range(3)]
    assert report(same, settings={}).pairs[0].p == 1


def test_missing_questions_are_counted(made: Report) -> None:
    assert (made.questions, made.complete, [arm.missing for arm in made.arms]) == (10, False, [0, 0, 1])
    assert report(small()[:20], settings={}).complete
    assert "turns:2 was asked none of the 10 questions." in printed(report(small(), settings={"arms": ["turns:2"]}), 80)


def test_tasks_stand_apart(made: Report) -> None:
    told = {task: {arm: (rate.right, rate.n) for arm, rate in arms.items()} for task, arms in made.tasks.items()}
    assert told == {
        "sums": {"single": (5, 5), "turns:3": (4, 5), "self-consistency:3": (5, 5)},
        "words": {"single": (0, 5), "turns:3": (3, 5), "self-consistency:3": (2, 4)},
    }


def test_the_arms_stand_in_the_order_of_the_settings() -> None:
    mixed = report(small(), settings={"arms": ["turns:3", "single"]})
    assert [arm.name for arm in mixed.arms] == ["turns:3", "single", "self-consistency:3"]
    with pytest.raises(SetupError, match="there is no arm 'x'"):
        report([], settings={"arms": ["x"]})


def test_a_question_that_was_asked_again_counts_once() -> None:
    failed = result("single", 1, [], False, error="the provider is down")
    again = result("single", 1, [reply("turn 1", "r")], True)
    arm = report([failed, again], settings={}).arms[0]
    assert (arm.accuracy.n, arm.accuracy.right, arm.errors) == (1, 1, 0)


def test_a_report_is_the_same_after_it_was_written_and_read(made: Report) -> None:
    assert Report.model_validate_json(made.model_dump_json()) == made


def asked(
    arm: str, right: Iterable[int], *, first: Iterable[int] | None = None, failed: Iterable[int] = ()
) -> list[Result]:
    """Forty questions: which are right in the end, and which after turn 1; as many replies as the arm plans."""
    right, failed, kept = set(right), set(failed), []
    begun = right if first is None else set(first)
    for n in range(40):
        said = "r" if n in right else "w"
        kind, _, number = arm.partition(":")
        if n in failed:
            replies = []
        elif kind == "self-consistency":
            replies = [reply(f"draw {draw}", said) for draw in range(1, int(number) + 1)]
        elif kind == "turns":
            replies = [reply("turn 1", "r" if n in begun else "w")]
            replies += [reply(f"turn {turn}", said) for turn in range(2, int(number) + 1)] + [reply("synthesis", said)]
        else:
            replies = [reply("turn 1", said)]
        error = "the provider is down" if n in failed else None
        kept.append(result(arm, n, replies, n in right - failed, error=error))
    return kept


SINGLE = asked("single", range(20))
BETTER = "is right 25 points more often than single (p = 0.002)"  # ten questions more, none fewer: 2 / 1024


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        ([], "No question was asked: there is nothing to compare."),
        (
            asked("single", [], failed=range(40)) + asked("turns:2", [], failed=range(40)),
            "Every question ended in an error in single and turns:2: put that right first, and ask again.",
        ),
        (
            SINGLE + asked("turns:3", [], failed=range(40)),
            "Every question ended in an error in turns:3; of the rest: single is right on 20 of 40 questions (50%, "
            "95% interval 35 to 65%): there is no other arm to compare it with.",
        ),
        (
            asked("turns:3", range(30), first=range(20)),
            "turns:3 is right on 30 of 40 questions (75%, 95% interval 60 to 86%), and thinking again fixed 10 of its "
            "first answers and broke 0, p = 0.002: think again, if a vote at the same cost does no better.",
        ),
        (
            asked("turns:3", range(21), first=range(20)),
            "turns:3 is right on 21 of 40 questions (52%, 95% interval 37 to 67%), and thinking again fixed 1 of its "
            "first answers and broke 0, p = 1: no gain could be shown, so use 1 turn.",
        ),
        (
            asked("turns:3", range(16), first=range(20)),
            "Refining broke more than it fixed (4 against 0 in turns:3, p = 0.12): use 1 turn.",
        ),
        (
            SINGLE + asked("turns:3", range(30)),
            f"turns:3 {BETTER} for 4.0 times the tokens: think again; a vote at the same cost was not tried.",
        ),
        (
            SINGLE + asked("turns:3", range(30)) + asked("self-consistency:3", range(21)),
            f"turns:3 {BETTER} for 4.0 times the tokens, and no gain could be shown for self-consistency:3: "
            "think again.",
        ),
        (
            SINGLE + asked("turns:3", range(30)) + asked("self-consistency:3", range(30)),
            f"self-consistency:3 {BETTER} for 3.0 times the tokens, and turns:3 gains no more for more tokens: "
            "vote rather than refine.",
        ),
        (
            SINGLE + asked("turns:3", range(30)) + asked("self-consistency:5", range(31)),
            f"turns:3 {BETTER} for 4.0 times the tokens, and self-consistency:5 gains no more for no fewer tokens: "
            "think again.",
        ),
        (
            SINGLE + asked("turns:3", range(40)) + asked("self-consistency:3", range(30)),
            "turns:3 is right 50 points more often than single (p < 0.001) for 4.0 times the tokens, and 25 points "
            "more often than self-consistency:3 (p = 0.002): think again.",
        ),
        (
            SINGLE + asked("turns:3", range(30)) + asked("self-consistency:3", range(40)),
            "self-consistency:3 is right 50 points more often than single (p < 0.001) for 3.0 times the tokens, and "
            "25 points more often than turns:3: vote rather than refine.",
        ),
        (
            SINGLE + asked("turns:3", range(21)) + asked("self-consistency:3", range(30)),
            f"self-consistency:3 {BETTER} for 3.0 times the tokens, and no gain could be shown for turns:3: "
            "vote rather than refine.",
        ),
        (
            SINGLE + asked("self-consistency:3", range(30)),
            f"self-consistency:3 {BETTER} for 3.0 times the tokens: vote.",
        ),
        (
            SINGLE + asked("turns:3", range(10), first=range(20)),
            "turns:3 is right 25 points less often than single (p = 0.002): use single.",
        ),
        (
            SINGLE + asked("turns:3", range(20), failed=range(10)),
            "turns:3 is right 25 points less often than single (p = 0.002; 10 of turns:3's 40 ended in an error): "
            "use single.",
        ),
        (
            SINGLE + asked("turns:3", [*range(17), 38], first=range(20)),
            "Refining broke more than it fixed (3 against 1 in turns:3, p = 0.62): use 1 turn.",
        ),
        (
            SINGLE + asked("turns:3", range(21)),
            "No difference between the arms could be shown with 40 questions (turns:3 against single: +2.5 points, "
            "p = 1): use single, the cheapest.",
        ),
        (
            asked("turns:3", range(22)) + asked("turns:2", range(20)),
            "No difference between the arms could be shown with 40 questions (turns:3 against turns:2: +5 points, "
            "p = 0.5): use turns:2, the cheapest.",
        ),
        (
            asked("turns:3", range(30)) + asked("self-consistency:3", range(20)),
            "turns:3 is right 25 points more often than self-consistency:3 (p = 0.002) for 1.3 times the tokens: "
            "think again.",
        ),
        (
            SINGLE[:20] + asked("turns:3", range(30))[20:],
            "The arms share no question: they cannot be compared.",
        ),
    ],
)
def test_the_sentence_says_what_to_do_and_claims_no_more_than_was_shown(results: list[Result], sentence: str) -> None:
    assert report(results, settings={}).meaning == sentence


def printed(made: Report, width: int) -> str:
    file = io.StringIO()
    print_report(made, Console(file=file, width=width, highlight=False, markup=False, emoji=False))
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 140])
def test_the_tables_fit_the_terminal_and_break_no_name(made: Report, width: int) -> None:
    longest = [r.model_copy(update={"arm": r.arm.replace("y:3", "y:40"), "task": f"{r.task}_" * 4}) for r in small()]
    for shown in (printed(made, width), printed(report(longest, settings={}), width)):
        assert max(map(len, shown.splitlines())) <= width
    assert "self-consistency:40 " in shown
    assert "words_words_words_words_ " in shown


def test_the_tables_tell_each_figure(made: Report) -> None:
    lines = [" ".join(line.split()) for line in printed(made, 80).splitlines()]
    for line in (
        "turns:3 10 7 70.0% 40–89% 60.0% 3 2",
        "turns:3 turn 1 60.0% 31–83%",
        "turn 2 60.0% 31–83% 1 1 5 3",
        "refining 2 2 4 2",
        "synthesis 70.0% 40–89% 2 1 5 1",
        "in all 3 2 4 1",
        "turns:3 380 152 190 570 814 7.6 8.0",
        "single $0.000180 $0.000324",
        "single 9 11.1% 11.1% 1 0",
        "turns:3 4 3 1 2 +20.0 0.625",
        "against single",
        "3 comparisons, p not corrected for it. Points: how far the first is ahead of the",
        "words single 5 0 0.0% 0–43%",
        "self-consistency:3 lacks 1 of the 10 questions: compare it by the pairs alone.",
    ):
        assert line in lines
    assert " ".join(lines).rstrip().endswith(made.meaning)


def test_a_strangers_text_cannot_steer_the_terminal() -> None:
    evil = [r.model_copy(update={"task": f"\x1b[31m{r.task}\n[bold]"}) for r in small()]
    shown = printed(report(evil, settings={}), 80)
    assert "\x1b" not in shown
    assert "[31msums [bold]" in shown
