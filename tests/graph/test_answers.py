"""The pure functions of the turns: which answers are the same, which turn is the best, and why a run stops."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from llamaberry.graph.answers import answer_changed, best_turn, normalise, same_answer
from llamaberry.graph.calls import NO_USAGE, Usage, total, turn_calls
from llamaberry.graph.context import Context
from llamaberry.graph.routing import after_turn, why_stop
from llamaberry.graph.state import StopReason
from llamaberry.graph.turn import Turn
from testing.linear import takes_linear_time

PROPERTY = hypothesis_settings(deadline=None, derandomize=True, max_examples=300)
MB = 1_000_000
PIECES = [
    "1,000",
    ",",
    ".",
    "0",
    "5.0",
    "$",
    "\\(",
    "\\boxed{",
    "}",
    "*",
    "**",
    "_",
    "~",
    "`",
    " ",
    "-",
    "−",
    "–",
    "%",
    "a",
]
ANSWERS = st.text() | st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
ANSWER_LISTS = st.lists(st.sampled_from([None, "4", "**4**.", "5", "six"]), max_size=6)


def turn(answer: str | None = None, index: int = 1, seconds: float = 1.0, total: int | None = None) -> Turn:
    usage: Any = None if total is None else {"input_tokens": 0, "output_tokens": total, "total_tokens": total}
    return Turn(
        index=index, kind="first" if index == 1 else "refine", text="", steps=[], verdict=None, answer=answer,
        model="groq:m", usage=usage, seconds=seconds, finish_reason="stop",
    )  # fmt: skip


def turns(*answers: str | None) -> list[Turn]:
    return [turn(answer, index) for index, answer in enumerate(answers, 1)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Paris", "  paris\n"), ("PARIS!", "paris"), ("Straße", "STRASSE"), ("a  b\n c", "A b c"),
        ("Yes, it is.", "yes it is"), ("42.", "**42**"), ("`42`", "42"), ("__42__", "*42*"), ("~~42~~", "42"),
        ("“42”", '"42"'), ("**42**.", "**42.**"), ("the *big* **one**", "The big one."), ("$1,000.00", "1000"),
        ("1,234,567", "1234567"), ("$ 5", "5"), ("-$5", "$-5"), ("5.0", "5"), ("1.50", "1.5"), ("10", "10.00"),
        ("$42$", "42"), ("\\(42\\)", "42"), ("\\[42\\]", "42"), ("\\boxed{42}", "42"), ("$\\boxed{42}$.", "42"),
        ("\u22125", "-5"), ("‑5", "-5"), ("–5", "-5"), ("－５", "-5"), ("４２", "42"), ("１，０００", "1000"),
        ("四十二。", "四十二"), ("「四十二」", "四十二"), ("是，对！", "是，对"), ("٤٢؟", "٤٢"),
        ("نعم، ٤٢.", "نعم ٤٢"), ("1, 2, 3", "1,2,3"), ("1,000, 2,000", "1000, 2000"), ("caf\u00e9", "cafe\u0301"),
        ("ﬁve", "five"), ("5\u00a0km", "5 km"),
        ("12\u202f000", "12,000"), ("12\u00a0000", "12000"), ("1,00,000", "100000"), ("US$42", "$42"), ("- 5", "-5"),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"), ("\\frac{1}{2}", "½"), ("\\dfrac12", "1/2"), ("x^{2}", "x²"),
        ("x + 1", "x+1"), ("x - 1", "x-1"), ("x = -1", "x=-1"), ("3 / 4", "3/4"), ("2 \\times 3", "2×3"),
        ("50 %", "50%"),
        ("\\sqrt{2}", "√2"), ("\\text{Paris}", "Paris"), ("$\\left(1, 2\\right)$", "(1, 2)"),
        ("答案是42！", "答案是42"),
    ],
)  # fmt: skip
def test_equal_answers_in_other_notations_are_the_same(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("-5", "5"), ("\u22125", "5"), ("–5", "5"), ("‑5", "5"), ("50%", "50"), ("50٪", "50"), ("5‰", "5"),
        ("3/4", "34"), ("3/4", "3 4"), ("1.5", "15"), ("1.5", "1 5"), (".5", "5"), ("1,5", "15"), ("1:2", "12"),
        ("100", "10"), ("5.05", "5.5"), ("0", "0.01"), ("1.10.0", "1.1.0"), ("v1.10", "v1.1"),
        ("10.0.0.1", "10.0.0.10"), ("x*y", "xy"), ("2 * 3", "2 3"), ("2 *3", "2 3"), ("2**3", "2*3"),
        ("snake_case", "snakecase"), ("a_b", "a b"), ("C#", "C"), ("C++", "C"), ("a@b.c", "ab.c"), ("+5", "-5"),
        ("x^2", "x2"), ("10²", "102"), ("H", "H₂"), ("(1, 2)", "[1, 2]"), ("<5", "5"), ("≥5", "≤5"), ("€5", "$5"),
        ("yes", "no"), ("!", "?"), ("5 km", "5 m"), ("A*", "A"), ("四十二", "四十三"), ("٤٢", "٤٣"), ("not 5", "5"),
        ("f(x)", "fx"), ("5!", "5"), ("n!", "n"), ("(n + 1)!", "(n + 1)"), ("!p", "p"), ("¬p", "p"), ("3,5", "3 5"),
        ("3,5", "3.5"), ("3,5", "35"), ("\\sqrt{2}", "2"), ("10²", "10"), ("5 -3", "5-3"), ("\\frac{1}{2}", "12"),
    ],
)  # fmt: skip
def test_different_answers_stay_different(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


@PROPERTY
@given(ANSWERS)
def test_normalising_again_changes_nothing(answer: str) -> None:
    form = normalise(answer)
    assert normalise(form) == form
    assert form == form.strip()
    assert normalise(f"  {answer}\n") == form
    assert not answer.strip() or form


@pytest.mark.parametrize("answer", [r"\boxed{\boxed{42}}", "**42*$*"])
def test_nested_marks_are_removed(answer: str) -> None:
    assert normalise(answer) == "42"


@PROPERTY
@given(st.integers(-(10**15), 10**15), st.integers(1, 3))
def test_an_integer_is_the_same_in_all_usual_notations(number: int, zeros: int) -> None:
    forms = [f"{number:,}", f"{number}.", f"**{number}**", f"{number:,}.{'0' * zeros}", f"`{number}`", f"${number:,}"]
    assert {normalise(form) for form in forms} == {str(number)}
    assert normalise(str(number + 1)) != str(number)


@pytest.mark.parametrize(
    "piece", ["1", "1,000", ",", ".", "1.", "1.0 ", "*", "a*", " *a", "_*~", "\\boxed{", "$ ", " ", "-"]
)
def test_normalising_takes_linear_time(piece: str) -> None:
    assert takes_linear_time(lambda text: normalise(f"1.1{text}x"), piece)


@pytest.mark.slow
def test_a_megabyte_can_be_normalised() -> None:
    assert normalise("a" * MB) == "a" * MB


def test_turns_agree_only_on_a_stated_answer() -> None:
    assert same_answer(turn("$8"), turn("**8.00**."))
    assert not same_answer(turn("8"), turn("9"))
    assert not same_answer(turn(None), turn(None))
    assert not same_answer(turn(None), turn("8"))
    assert not same_answer(turn("8"), turn(None))


@pytest.mark.parametrize(
    ("answers", "index"),
    [
        ([], None), ([None], None), ([None, None], None), (["4"], 1), (["4", None], 1), ([None, "4", None], 2),
        (["4", "4", "5"], 2), (["4", "5", "**4**."], 3), (["5", "4", "4"], 3), (["4", "5", "4", "6", "5"], 5),
        (["4", "5"], 2), (["4", "5", "6"], 3), (["4", "4", "5", "5", "6"], 4), (["5", "4", "4", "5", "6"], 4),
        (["4", None, None, None], 1),
    ],
)  # fmt: skip
def test_the_best_turn_has_most_votes_then_is_newest(answers: list[Any], index: int | None) -> None:
    best = best_turn(turns(*answers))
    assert (best and best["index"]) == index


@PROPERTY
@given(ANSWER_LISTS)
def test_no_answer_has_more_votes_than_the_best_turns(answers: list[str | None]) -> None:
    best, ballot = best_turn(turns(*answers)), [normalise(answer) for answer in answers if answer]
    if best is None or best["answer"] is None:
        assert not ballot
        return
    votes = ballot.count(normalise(best["answer"]))
    assert votes == max(map(ballot.count, ballot))
    newer = [normalise(answer) for answer in answers[best["index"] :] if answer]
    assert all(ballot.count(answer) < votes for answer in newer)


def reason_to_stop(past: list[Turn], context: Context) -> StopReason | None:
    return why_stop(past, total(turn_calls(past)), context)


def test_a_default_run_stops_only_at_three_turns() -> None:
    same = [turn("4", index, seconds=1e9, total=10**9) for index in (1, 2, 3)]
    assert [reason_to_stop(same[:count], Context()) for count in (1, 2, 3)] == [None, None, "max_turns"]


@pytest.mark.parametrize(
    ("answers", "settings", "reason"),
    [
        (["4"], {"max_turns": 1}, "max_turns"),
        (["4", "5"], {"max_turns": 2}, "max_turns"),
        (["4"] * 11, {"max_turns": 10}, "max_turns"),
        (["4"], {"early_stop": True}, None),
        (["4", "**4**."], {"early_stop": True}, "agreement"),
        (["4", "4"], {"early_stop": False}, None),
        (["4", "5"], {"early_stop": True}, None),
        (["4", "5", "4"], {"early_stop": True, "max_turns": 4}, None),
        (["4", "4", "5"], {"early_stop": True, "max_turns": 4}, None),
        ([None, None], {"early_stop": True}, None),
        (["4", "4"], {"token_budget": 20}, "budget"),
        (["4", "4"], {"token_budget": 21}, None),
        (["4"], {"token_budget": 1}, "budget"),
        (["4", "4"], {"deadline_s": 2}, "deadline"),
        (["4", "4"], {"deadline_s": 2.1}, None),
        (["4", "4"], {"early_stop": True, "max_turns": 2, "token_budget": 1, "deadline_s": 1}, "agreement"),
        (["4", "4"], {"max_turns": 2, "token_budget": 1, "deadline_s": 1}, "max_turns"),
        (["4", "4"], {"token_budget": 1, "deadline_s": 1}, "budget"),
    ],
)
def test_each_setting_stops_the_run_for_its_own_reason(
    answers: list[Any], settings: dict[str, Any], reason: str | None
) -> None:
    past = [turn(answer, index, seconds=1, total=10) for index, answer in enumerate(answers, 1)]
    assert reason_to_stop(past, Context(**settings)) == reason


@pytest.mark.parametrize(
    ("cost_usd", "reason"), [(0.0009, None), (0.001, "budget"), (0.0011, "budget"), (None, "budget")]
)
def test_a_cost_limit_ends_refining(cost_usd: float | None, reason: str | None) -> None:
    """So does a cost that is not known, because a call's tokens were not counted."""
    usage: Usage = {**NO_USAGE, "cost_usd": cost_usd}
    assert why_stop([turn("4", 1)], usage, Context(max_cost_usd=0.001)) == reason


def test_uncounted_tokens_do_not_use_the_budget() -> None:
    past = [turn("4", 1), turn("4", 2, total=7), turn("4", 3, total=0)]
    assert total(turn_calls(past))["total_tokens"] == 7
    assert reason_to_stop(past[:1], Context(token_budget=1)) is None


@PROPERTY
@given(st.lists(st.integers(0, 100), min_size=1, max_size=10), st.integers(1, 500))
def test_a_run_continues_until_a_limit_is_reached(seconds: list[int], deadline: int) -> None:
    past = [turn("4", index, seconds=s, total=1) for index, s in enumerate(seconds, 1)]
    reason = reason_to_stop(past, Context(max_turns=10, deadline_s=deadline))
    assert reason == ("max_turns" if len(past) == 10 else "deadline" if sum(seconds) >= deadline else None)


@pytest.mark.parametrize("reason", ["max_turns", "agreement", "budget", "deadline", "error"])
def test_the_next_node_depends_on_the_state_alone(reason: Any) -> None:
    at_end: Any = {"turns": [], "stop_reason": reason}
    before_end: Any = {"turns": turns("4", "4", "4", "4"), "stop_reason": None}
    assert after_turn(at_end) == "synthesize"
    assert after_turn(before_end) == "refine_turn"
    del before_end["stop_reason"]
    assert after_turn(before_end) == "refine_turn"


@pytest.mark.parametrize(
    ("before", "after", "concise", "changed"),
    [
        ("41", "42", False, True),
        ("**42**", "42.", False, False),
        (None, "42", False, False),
        ("42", None, False, False),
        ("It is 42 km.", "42 km", False, True),
        ("It is 42 km.", "42 km", True, False),
        ("42", "The answer is 42", True, False),
        ("It is 142 km.", "42 km", True, True),
        ("It is 41 km.", "42 km", True, True),
    ],
)
def test_a_different_stated_answer_is_a_change(
    before: str | None, after: str | None, concise: bool, changed: bool
) -> None:
    """A concise answer that repeats part of the sentence before it is the same answer."""
    assert answer_changed(before, after, concise=concise) is changed
