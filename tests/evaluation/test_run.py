"""`llamaberry eval` as a user runs it: the calls of each arm, their results, and failed calls."""

from pathlib import Path
from typing import Any

import pytest

from testing.command import assert_refused, llamaberry, run_concurrently, usage_error
from testing.evaluation import id_arm_pairs, needs_suite, read_results, run_eval, write_questions
from testing.scripted_groq import Reply, Request, Scripted, ScriptedGroq, first, good_model, program, refine, synthesis
from testing.scripts import call_step, count_calls, failing_calls

ARMS: dict[str, tuple[str, list[str], list[str], str | None]] = {
    "one call": ("single", [first("42")], ["turn 1"], "max_turns"),
    "all turns": (
        "turns:3+noverify",
        [first("42"), refine("41", "revise"), refine("43", "revise"), synthesis("It is 42.", "42")],
        ["turn 1", "turn 2", "turn 3", "synthesis"],
        "max_turns",
    ),
    "up to agreement": (
        "turns:3+early+noverify",
        [first("42"), refine("**42**."), synthesis("It is 42.", "42")],
        ["turn 1", "turn 2", "synthesis"],
        "agreement",
    ),
    "all turns without agreement": (
        "turns:3+early+noverify",
        [first("41"), refine("42", "revise"), refine("43", "revise"), synthesis("It is 42.", "42")],
        ["turn 1", "turn 2", "turn 3", "synthesis"],
        "max_turns",
    ),
    "a vote": ("self-consistency:3", [first("41"), first("42"), first("**42**")], ["draw 1", "draw 2", "draw 3"], None),
    "a tie": ("self-consistency:3", [first("42"), first("41"), first("43")], ["draw 1", "draw 2", "draw 3"], None),
}


@pytest.mark.parametrize(("arm", "script", "steps", "why"), ARMS.values(), ids=list(ARMS))
def test_an_arm_makes_its_calls_and_records_every_reply(
    scripted: Scripted, tmp_path: Path, arm: str, script: list[str], steps: list[str], why: str | None
) -> None:
    """The most frequent draw wins, in a tie the first. A wrong turn before a right answer is recorded as wrong."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 900}}
    groq = scripted([Reply(text, usage=usage | {"total_tokens": 1010}) for text in script])
    (line,) = run_eval(write_questions(tmp_path, "Q"), tmp_path / "out", "--arms", arm, "--concurrency", "1")
    assert len(groq.requests) == len(script)
    assert (line["id"], line["arm"], line["task"], line["question"], line["expected"]) == ("Q", arm, "", "Q", "42")
    assert (line["answer"], line["right"], line["stop_reason"]) == ("42", True, why)
    assert (line["degraded"], line["error"]) == (None, None)
    assert [reply["step"] for reply in line["replies"]] == steps
    for reply, text in zip(line["replies"], script, strict=True):
        assert (reply["text"], reply["finish_reason"]) == (text, "stop")
        assert reply["right"] is ("42" in text.rpartition("\n")[2])
        assert reply["verdict"] == ("revise" if "\nrevise" in text else "keep" if "\nkeep" in text else None)
        assert reply["tokens"] == {"input": 1000, "output": 10, "cached": 900}


CHECKED: dict[str, tuple[str, list[str], list[str], list[str], str | None]] = {
    "a program alone": ("program", [first("41")], [program("print(6 * 7)")], ["check"], None),
    "a verified turn": ("turns:3", [first("42")], [program("print(6 * 7)")], ["turn 1", "check"], "verified"),
    "a turn with the output in view": (
        "turns:3",
        [first("41"), first("42")],
        [program("print(6 * 7)")],
        ["turn 1", "check", "turn 2"],
        "verified",
    ),
    "a repaired program": (
        "turns:3",
        [first("42")],
        [program("print(1 / 0)"), program("print(6 * 7)")],
        ["turn 1", "check", "check"],
        "verified",
    ),
    "independent turns": (
        "turns:3+independent",
        [first("42"), first("41"), first("42")],
        ["NONE"],
        ["turn 1", "check", "turn 2", "turn 3"],
        "max_turns",
    ),
    "independent turns that agree": (
        "turns:3+independent",
        [first("42"), first("42")],
        ["NONE"],
        ["turn 1", "check", "turn 2"],
        "agreement",
    ),
    "independent turns after a program": (
        "turns:3+independent",
        [first("41"), first("42")],
        [program("print(6 * 7)")],
        ["turn 1", "check", "turn 2"],
        "verified",
    ),
}


OWN_TURNS = [(*CHECKED[name], []) for name in ("a verified turn", "independent turns")]


@pytest.mark.parametrize(
    ("arm", "script", "programs", "steps", "why", "shared"),
    [*((*case, ["--shared-turns"]) for case in CHECKED.values()), *OWN_TURNS],
)
def test_a_checked_arm_records_the_check(
    scripted: Scripted,
    tmp_path: Path,
    arm: str,
    script: list[str],
    programs: list[str],
    steps: list[str],
    why: str | None,
    shared: list[str],
) -> None:
    groq = scripted(script, programs)
    words = ("--arms", arm, "--concurrency", "1", *shared)
    (line,) = run_eval(write_questions(tmp_path, "Q"), tmp_path / "out", *words)
    assert (len(groq.requests), len(groq.program_requests)) == (len(script), len(programs))
    assert (line["answer"], line["right"], line["stop_reason"], line["error"]) == ("42", True, why, None)
    assert [reply["step"] for reply in line["replies"]] == steps
    checks = [reply for reply in line["replies"] if reply["step"] == "check"]
    assert [reply["text"] for reply in checks] == programs
    assert [reply["right"] for reply in checks] == [False] * (len(programs) - 1) + ["7" in programs[-1]]


def test_arms_share_the_check_and_the_first_turn(scripted: Scripted, tmp_path: Path) -> None:
    """Three first turns for the vote, one program, and the turns that only reread."""
    groq = scripted(
        lambda request: first("41") if call_step(request) == "turn 1" else good_model(request), lambda _: program()
    )
    arms = "single,program,self-consistency:3,turns:3,turns:3+noverify,turns:3+independent"
    results = run_eval(write_questions(tmp_path, "Q"), tmp_path / "out", "--shared-turns", "--arms", arms)
    assert len(groq.program_requests) == 1
    assert {line["arm"]: line["answer"] for line in results} == {
        "single": "41",
        "program": "42",
        "self-consistency:3": "41",
        "turns:3": "42",
        "turns:3+noverify": "42",
        "turns:3+independent": "42",
    }


def test_the_settings_reach_the_model(scripted: Scripted, tmp_path: Path) -> None:
    groq = scripted()
    words = ["--arms", "single", "--model", "groq:other", "--temperature", "0.25", "--max-tokens", "99"]
    run_eval(write_questions(tmp_path, "Q"), tmp_path / "out", *words)
    body = groq.requests[0].body
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("other", 0.25, 99)


def numbered(request: Request) -> str:
    """A good model whose replies all differ."""
    return f"Thought {request.time}.\n\n{good_model(request)}"


def test_shared_turns_are_generated_once_for_all_arms(scripted: Scripted, tmp_path: Path) -> None:
    groq, data, out = scripted(numbered), write_questions(tmp_path, "P", "Q"), tmp_path / "out"
    run_eval(data, out, "--shared-turns", "--arms", "single,self-consistency:3,turns:3,turns:3+early")
    counts = {"turn 1": 1 + 2, "turn 2": 1, "turn 3": 1, "synthesis": 2}  # two more draws of the vote
    assert count_calls(groq) == {(name, step): count for name in "PQ" for step, count in counts.items()}
    groq.requests.clear()
    results = run_eval(data, out, "--shared-turns", "--arms", "single,turns:2,turns:4")
    assert count_calls(groq) == {(name, step): n for name in "PQ" for step, n in (("turn 4", 1), ("synthesis", 2))}
    assert len(results) == 2 * 6
    assert all(line["right"] for line in results)
    for name in "PQ":
        turns = {
            line["arm"]: [reply["text"] for reply in line["replies"] if reply["step"] != "check"]
            for line in results
            if line["id"] == name
        }
        assert [len(turns[arm]) for arm in ("single", "turns:2", "turns:3", "turns:4")] == [1, 3, 4, 5]
        assert len(turns["turns:3+early"]) == 3
        assert turns["single"] == turns["turns:2"][:1] == turns["self-consistency:3"][:1]
        assert turns["turns:4"][:3] == turns["turns:3"][:3]
        assert turns["turns:4"][:2] == turns["turns:3+early"][:2] == turns["turns:2"][:2]


def test_a_second_run_makes_only_the_missing_calls(groq: ScriptedGroq, tmp_path: Path) -> None:
    data, out = write_questions(tmp_path, "P", "Q", "R"), tmp_path / "out"
    run_eval(data, out, "--limit", "2", "--arms", "single, single,turns:2")
    before, requests = (out / "results.jsonl").read_bytes(), len(groq.requests)
    assert id_arm_pairs(read_results(out)) == [(name, arm) for name in "PQ" for arm in ("single", "turns:2")]
    run_eval(data, out, "--limit", "2", "--arms", "turns:2,single")
    assert ((out / "results.jsonl").read_bytes(), len(groq.requests)) == (before, requests)
    groq.requests.clear()
    run_eval(data, out, "--arms", "single,self-consistency:2")
    assert count_calls(groq) == {("P", "turn 1"): 2, ("Q", "turn 1"): 2, ("R", "turn 1"): 3}
    assert (out / "results.jsonl").read_bytes().startswith(before)
    assert len(read_results(out)) == 4 + 4


def suite(out: Path, *words: str) -> Any:
    return llamaberry("eval", "--suite", *words, "--arms", "single", "--out", str(out))


@needs_suite
def test_a_suite_grows_unless_its_questions_change(groq: ScriptedGroq, tmp_path: Path) -> None:
    for size in (1, 3):
        assert suite(tmp_path / "legs", "leg_counting", "--size", str(size)).returncode == 0
        assert len(groq.requests) == size
    assert [line["id"] for line in read_results(tmp_path / "legs")] == [f"leg_counting-0-{n}" for n in range(3)]
    suite(tmp_path / "acre", "acre", "--size", "2")
    assert_refused(suite(tmp_path / "acre", "acre", "--size", "5"), "another question as 'acre-0-")


@pytest.mark.parametrize("shared", [[], ["--shared-turns"]])
def test_failed_runs_are_results_and_retried_on_request(scripted: Scripted, tmp_path: Path, shared: list[str]) -> None:
    """A failed first turn leaves no answer; a later failed turn keeps the turns before it."""
    groq, data, out = (
        scripted(failing_calls(("P", "turn 1"), ("Q", "turn 2"))),
        write_questions(tmp_path, *"PQR"),
        tmp_path / "out",
    )
    words = ("--arms", "single,turns:2", "--concurrency", "1", *shared)
    run_eval(data, out, *words, failed="3 of 6")
    results = {(line["id"], line["arm"]): line for line in read_results(out)}
    assert id_arm_pairs(read_results(out)) == [(name, arm) for name in "PQR" for arm in ("single", "turns:2")]
    errors = {pair for pair, line in results.items() if line["error"]}
    assert errors == {("P", "single"), ("P", "turns:2"), ("Q", "turns:2")}
    assert all("400" in results[pair]["error"] for pair in errors)
    assert [(results["P", arm]["answer"], results["P", arm]["right"]) for arm in ("single", "turns:2")] == [
        (None, False)
    ] * 2
    assert results["Q", "turns:2"]["answer"] == "42"
    assert [reply["step"] for reply in results["Q", "turns:2"]["replies"]] == ["turn 1", "check"]
    run_eval(data, out, *words, failed="3 of 6")
    groq.play()
    run_eval(data, out, *words, "--retry-errors")
    retries = count_calls(groq)
    assert {name for name, _ in retries} == {"P", "Q"}
    assert retries["P", "turn 1"] == (1 if shared else 2)
    assert retries["Q", "turn 1"] == (0 if shared else 1)
    assert retries["Q", "turn 2"] == retries["Q", "synthesis"] == 1
    assert id_arm_pairs(read_results(out)) == sorted(results)
    assert not any(line["error"] for line in read_results(out))
    retried = {(line["id"], line["arm"]): line for line in read_results(out)}
    assert all(retried[pair] == results[pair] for pair in results.keys() - errors)


def test_a_failed_draw_is_left_out_of_the_vote_and_reported(scripted: Scripted, tmp_path: Path) -> None:
    scripted([Reply(status=400), first("41"), first("42")])
    words = ("--arms", "self-consistency:3", "--concurrency", "1")
    (line,) = run_eval(write_questions(tmp_path, "Q"), tmp_path / "out", *words, failed="1 of 1")
    assert [reply["step"] for reply in line["replies"]] == ["draw 2", "draw 3"]
    assert line["answer"] == "41"
    assert "1 of 3 draws failed" in line["error"]


def test_invalid_options_are_refused_before_any_call(groq: ScriptedGroq, tmp_path: Path) -> None:
    data, out = write_questions(tmp_path, "Q"), tmp_path / "out"
    errors = {
        ("--arms", "twice"): "'twice'",
        ("--arms", "single,"): "''",
        ("--arms", "turns:1"): "'turns:1'",
        ("--arms", "turns:11"): "'turns:11'",
        ("--arms", "self-consistency:0"): "'self-consistency:0'",
        ("--arms", "self-consistency:41"): "'self-consistency:41'",
        ("--suite", "leg_counting"): "not both",
        ("--temperature", "9"): "--temperature 9",
        ("--max-tokens", "1"): "--max-tokens 1",
        ("--judge", " "): "--judge",
        ("--model", "groq:"): "names no model",
    }
    for run, word in zip(
        run_concurrently(*(("eval", data, "--out", str(out), *words) for words in errors)), errors.values(), strict=True
    ):
        assert_refused(run, word)
    assert "--suite" in usage_error("eval", "--out", str(out))
    assert (groq.requests, out.exists()) == ([], False)


def test_without_a_key_no_folder_is_created(tmp_path: Path) -> None:
    assert "GROQ_API_KEY" in usage_error("eval", write_questions(tmp_path, "Q"), "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
