"""The judge: a model that decides whether an answer is right."""

from pathlib import Path
from typing import Any

import pytest

from llamaberry.evaluation.judge import read_verdict
from testing.command import usage_error
from testing.evaluation import id_arm_pairs, read_results, run_eval, write_questions
from testing.scripted_groq import Reply, Request, Scripted, ScriptedGroq, first

JUDGE = ("--judge", "groq:judge", "--concurrency", "1")


def judging(verdicts: list[str | Reply], answers: list[str]) -> Any:
    """A model that gives these answers in order, and a judge that gives these verdicts."""
    replies: dict[str, list[Any]] = {
        "judge": list(verdicts),
        "openai/gpt-oss-120b": [first(answer) for answer in answers],
    }
    return lambda request: replies[request.body["model"]].pop(0)


def judged(groq: ScriptedGroq) -> list[Request]:
    return [request for request in groq.requests if request.body["model"] == "judge"]


@pytest.mark.parametrize(
    ("verdict", "right"),
    [
        ("It says the same.\n\nright", True),
        ("The candidate is not right.\n\n**Wrong**.", False),
        ("Both are right.\nVerdict: wrong", False),
        ("RIGHT\n", True),
    ],
)
def test_the_verdict_is_the_last_line(scripted: Scripted, tmp_path: Path, verdict: str, right: bool) -> None:
    groq = scripted(judging([verdict], ["in the city of lights"]))
    (line,) = run_eval(write_questions(tmp_path, "Q"), tmp_path / "out", *JUDGE, "--arms", "single")
    assert (line["right"], line["error"], [reply["right"] for reply in line["replies"]]) == (right, None, [right])
    (request,) = judged(groq)
    assert request.body["temperature"] < 0.01
    prompt = request.messages[1]["content"]
    assert all(f">\n{text}\n</" in prompt for text in ("Q", "42", "in the city of lights"))


def test_an_answer_is_judged_once_in_all_forms_and_arms(scripted: Scripted, tmp_path: Path) -> None:
    groq = scripted(judging(["right", "wrong"], ["Yes", "no", "**yes**."]))
    data, out = write_questions(tmp_path, "Q"), tmp_path / "out"
    (line,) = run_eval(data, out, *JUDGE, "--arms", "self-consistency:3")
    assert [reply["right"] for reply in line["replies"]] == [True, False, True]
    assert (line["right"], len(judged(groq))) == (True, 2)
    groq.play(judging([], ["No."]))
    assert [line["right"] for line in run_eval(data, out, *JUDGE, "--arms", "single")] == [True, False]


def test_a_missing_verdict_is_an_error_that_can_be_retried(scripted: Scripted, tmp_path: Path) -> None:
    groq = scripted(judging(["It is not right.", "right"], ["Yes", "Yes"]))
    data, out = write_questions(tmp_path, "P", "Q"), tmp_path / "out"
    wrong, right = run_eval(data, out, *JUDGE, "--arms", "single", failed="1 of 2")
    assert (wrong["answer"], wrong["right"], right["right"], right["error"]) == (None, False, True, None)
    assert "did not end with right or wrong" in wrong["error"]
    groq.play(judging(["right"], ["Yes"]))
    run_eval(data, out, *JUDGE, "--arms", "single", "--retry-errors")
    assert id_arm_pairs(read_results(out)) == [("P", "single"), ("Q", "single")]
    assert [line["right"] for line in read_results(out)] == [True, True]


def test_a_judge_at_capacity_is_retried(scripted: Scripted, tmp_path: Path) -> None:
    groq = scripted(judging([Reply(status=503), Reply(cut=-1), "right"], ["Yes"]))
    (line,) = run_eval(write_questions(tmp_path, "Q"), tmp_path / "out", *JUDGE, "--arms", "single")
    assert (line["right"], line["error"], len(judged(groq))) == (True, None, 3)


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("They match: right", True),
        ("They match. **Wrong**.", False),
        ("They differ - wrong", False),
        ("They match (right)", True),
        ("**Verdict:** right", True),
        ("Verdict: **right**\n\nBoth say 42, and nothing else is asked.", True),
        ("**right**\n\nBoth say 42.", True),
        ("Wrong: it says 41.", False),
        ("Both say 42, so the candidate's answer is right.", True),
        ('{"verdict": "right"}', True),
        ("<think>Is it wrong?</think>right", True),
        ("Right\nIt says 41: wrong", False),
        ("It is not right.", None),
        ("They match: not right", None),
        ("The answer is not wrong.", None),
        ("right or wrong", None),
        ("Right answers are hard.", None),
        ("", None),
    ],
)
def test_a_verdict_is_read_in_any_usual_form(reply: str, right: bool | None) -> None:
    assert read_verdict(reply) is right


@pytest.mark.parametrize(
    "unusable",
    [Reply(""), Reply("", finish_reason="length"), Reply("They both say: wrong", finish_reason="length")],
)
def test_an_unusable_verdict_is_asked_for_with_more_room(scripted: Scripted, tmp_path: Path, unusable: Reply) -> None:
    groq = scripted(judging([unusable, "right"], ["Yes"]))
    arguments = (*JUDGE, "--arms", "single", "--max-tokens", "700")
    (line,) = run_eval(write_questions(tmp_path, "Q"), tmp_path / "out", *arguments)
    assert (line["right"], line["error"]) == (True, None)
    assert [request.body["max_tokens"] for request in judged(groq)] == [700, 1400]


def test_a_judge_that_is_always_cut_is_an_error(scripted: Scripted, tmp_path: Path) -> None:
    scripted(judging([Reply("They", finish_reason="length")] * 3 + ["right"], ["Yes", "Yes"]))
    data = write_questions(tmp_path, "P", "Q")
    cut, right = run_eval(data, tmp_path / "out", *JUDGE, "--arms", "single", failed="1 of 2")
    assert "was cut at 8192 tokens: raise --max-tokens" in cut["error"]
    assert right["right"]


def test_a_judge_that_refuses_temperature_0_gets_1(scripted: Scripted, tmp_path: Path) -> None:
    """Only its default is supported by some reasoning models; that is learned once."""
    refusal = Reply(status=400, error="Unsupported value: 'temperature' does not support 0 with this model.")
    groq = scripted(judging([refusal, "right", "wrong"], ["Yes", "Yes"]))
    lines = run_eval(write_questions(tmp_path, "P", "Q"), tmp_path / "out", *JUDGE, "--arms", "single")
    assert sorted(line["right"] for line in lines) == [False, True]
    assert [request.body["temperature"] >= 0.01 for request in judged(groq)] == [False, True, True]


def test_a_row_with_its_own_checker_is_not_judged(scripted: Scripted, tmp_path: Path) -> None:
    groq = scripted(judging([], ["6 x 7 = 42"]))
    (line,) = run_eval(write_questions(tmp_path, "Q", checker="number"), tmp_path / "out", *JUDGE, "--arms", "single")
    assert (line["right"], judged(groq)) == (True, [])


def test_an_unknown_judge_is_refused(groq: ScriptedGroq, tmp_path: Path) -> None:
    data = write_questions(tmp_path, "Q")
    assert "nobody" in usage_error(
        "eval", data, "--out", str(tmp_path / "out"), "--arms", "single", "--judge", "nobody:x"
    )
