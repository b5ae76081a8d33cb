"""`llamaberry eval` as a user runs it: what each arm asks, what is kept of it, and what a failed call comes to."""

from pathlib import Path
from typing import Any

import pytest

from testing.command import at_once, llamaberry, mistake, refused
from testing.evaluation import evaluate, lines, needs_suite, pairs, questions
from testing.scripted_groq import Reply, Request, Scripted, ScriptedGroq, first, good_model, refine, synthesis
from testing.scripts import called, failing

ARMS: dict[str, tuple[str, list[str], list[str], str | None]] = {
    "one call": ("single", [first("42")], ["turn 1"], "max_turns"),
    "all turns": (
        "turns:3",
        [first("42"), refine("41", "revise"), refine("43", "revise"), synthesis("It is 42.", "42")],
        ["turn 1", "turn 2", "turn 3", "synthesis"],
        "max_turns",
    ),
    "up to agreement": (
        "turns:3+early",
        [first("42"), refine("**42**."), synthesis("It is 42.", "42")],
        ["turn 1", "turn 2", "synthesis"],
        "agreement",
    ),
    "all turns without agreement": (
        "turns:3+early",
        [first("41"), refine("42", "revise"), refine("43", "revise"), synthesis("It is 42.", "42")],
        ["turn 1", "turn 2", "turn 3", "synthesis"],
        "max_turns",
    ),
    "a vote": ("self-consistency:3", [first("41"), first("42"), first("**42**")], ["draw 1", "draw 2", "draw 3"], None),
    "a tie": ("self-consistency:3", [first("42"), first("41"), first("43")], ["draw 1", "draw 2", "draw 3"], None),
}


@pytest.mark.parametrize(("arm", "script", "steps", "why"), ARMS.values(), ids=list(ARMS))
def test_an_arm_asks_what_its_name_says_and_every_reply_is_kept(
    scripted: Scripted, tmp_path: Path, arm: str, script: list[str], steps: list[str], why: str | None
) -> None:
    """Most votes win, in a tie the first draw. A wrong turn before a right answer is told from it."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 900}}
    groq = scripted([Reply(text, usage=usage | {"total_tokens": 1010}) for text in script])
    (line,) = evaluate(questions(tmp_path, "Q"), tmp_path / "out", "--arms", arm, "--concurrency", "1")
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


def test_the_dials_reach_the_model(scripted: Scripted, tmp_path: Path) -> None:
    groq = scripted()
    words = ["--arms", "single", "--model", "groq:other", "--temperature", "0.25", "--max-tokens", "99"]
    evaluate(questions(tmp_path, "Q"), tmp_path / "out", *words)
    body = groq.requests[0].body
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("other", 0.25, 99)


def numbered(request: Request) -> str:
    """A good model, no two of whose replies are the same."""
    return f"Thought {request.time}.\n\n{good_model(request)}"


def test_shared_turns_are_drawn_once_and_an_arm_that_comes_later_finds_them(scripted: Scripted, tmp_path: Path) -> None:
    groq, data, out = scripted(numbered), questions(tmp_path, "P", "Q"), tmp_path / "out"
    kept = evaluate(data, out, "--shared-turns")
    drawn = {"turn 1": 1 + 2, "turn 2": 1, "turn 3": 1, "synthesis": 2}  # two more first turns are votes
    assert called(groq) == {(name, step): count for name in "PQ" for step, count in drawn.items()}
    groq.requests.clear()
    kept = evaluate(data, out, "--shared-turns", "--arms", "single,turns:2,turns:4")
    assert called(groq) == {(name, step): n for name in "PQ" for step, n in (("turn 4", 1), ("synthesis", 2))}
    assert len(kept) == 2 * 6
    assert all(line["right"] for line in kept)
    for name in "PQ":
        turns = {line["arm"]: [r["text"] for r in line["replies"]] for line in kept if line["id"] == name}
        assert [len(turns[arm]) for arm in ("single", "turns:2", "turns:3", "turns:4")] == [1, 3, 4, 5]
        assert len(turns["turns:3+early"]) == 3
        assert turns["single"] == turns["turns:2"][:1] == turns["self-consistency:3"][:1]
        assert turns["turns:4"][:3] == turns["turns:3"][:3]
        assert turns["turns:4"][:2] == turns["turns:3+early"][:2] == turns["turns:2"][:2]


def test_the_same_command_asks_nothing_again_and_a_larger_one_what_lacks(groq: ScriptedGroq, tmp_path: Path) -> None:
    data, out = questions(tmp_path, "P", "Q", "R"), tmp_path / "out"
    evaluate(data, out, "--limit", "2", "--arms", "single, single,turns:2")
    before, asked = (out / "results.jsonl").read_bytes(), len(groq.requests)
    assert pairs(lines(out)) == [(name, arm) for name in "PQ" for arm in ("single", "turns:2")]
    evaluate(data, out, "--limit", "2", "--arms", "turns:2,single")
    assert ((out / "results.jsonl").read_bytes(), len(groq.requests)) == (before, asked)
    groq.requests.clear()
    evaluate(data, out, "--arms", "single,self-consistency:2")
    assert called(groq) == {("P", "turn 1"): 2, ("Q", "turn 1"): 2, ("R", "turn 1"): 3}
    assert (out / "results.jsonl").read_bytes().startswith(before)
    assert len(lines(out)) == 4 + 4


def suite(out: Path, *words: str) -> Any:
    return llamaberry("eval", "--suite", *words, "--arms", "single", "--out", str(out))


@needs_suite
def test_a_suite_goes_on_with_a_larger_size_unless_that_asks_others(groq: ScriptedGroq, tmp_path: Path) -> None:
    for size, asked in ((1, 1), (3, 3)):
        assert suite(tmp_path / "legs", "leg_counting", "--size", str(size)).returncode == 0
        assert len(groq.requests) == asked
    assert [line["id"] for line in lines(tmp_path / "legs")] == [f"leg_counting-0-{n}" for n in range(3)]
    suite(tmp_path / "acre", "acre", "--size", "2")
    refused(suite(tmp_path / "acre", "acre", "--size", "5"), "another question as 'acre-0-")


@pytest.mark.parametrize("shared", [[], ["--shared-turns"]])
def test_what_fails_is_a_line_with_its_error_and_is_asked_again_only_where_it_is_wanted(
    scripted: Scripted, tmp_path: Path, shared: list[str]
) -> None:
    """A first turn that fails leaves no answer; after one that fails later the turns before it stand."""
    groq, data, out = scripted(failing(("P", "turn 1"), ("Q", "turn 2"))), questions(tmp_path, *"PQR"), tmp_path / "out"
    words = ("--arms", "single,turns:2", "--concurrency", "1", *shared)
    evaluate(data, out, *words, failed="3 of 6")
    kept = {(line["id"], line["arm"]): line for line in lines(out)}
    assert pairs(lines(out)) == [(name, arm) for name in "PQR" for arm in ("single", "turns:2")]
    errors = {pair for pair, line in kept.items() if line["error"]}
    assert errors == {("P", "single"), ("P", "turns:2"), ("Q", "turns:2")}
    assert all("400" in kept[pair]["error"] for pair in errors)
    assert [(kept["P", arm]["answer"], kept["P", arm]["right"]) for arm in ("single", "turns:2")] == [(None, False)] * 2
    assert (kept["Q", "turns:2"]["answer"], len(kept["Q", "turns:2"]["replies"])) == ("42", 1)
    evaluate(data, out, *words, failed="3 of 6")
    groq.play()
    evaluate(data, out, *words, "--retry-errors")
    again = called(groq)
    assert {name for name, _ in again} == {"P", "Q"}
    assert again["P", "turn 1"] == (1 if shared else 2)
    assert again["Q", "turn 1"] == (0 if shared else 1)
    assert again["Q", "turn 2"] == again["Q", "synthesis"] == 1
    assert pairs(lines(out)) == sorted(kept)
    assert not any(line["error"] for line in lines(out))
    assert {pair: kept[pair] for pair in kept.keys() - errors}.items() <= {
        (x["id"], x["arm"]): x for x in lines(out)
    }.items()


def test_a_draw_that_fails_is_missing_from_the_vote_and_told(scripted: Scripted, tmp_path: Path) -> None:
    scripted([Reply(status=400), first("41"), first("42")])
    words = ("--arms", "self-consistency:3", "--concurrency", "1")
    (line,) = evaluate(questions(tmp_path, "Q"), tmp_path / "out", *words, failed="1 of 1")
    assert [reply["step"] for reply in line["replies"]] == ["draw 2", "draw 3"]
    assert line["answer"] == "41"
    assert "1 of 3 draws failed" in line["error"]


def test_mistakes_are_told_in_a_line_before_anything_is_asked(groq: ScriptedGroq, tmp_path: Path) -> None:
    data, out = questions(tmp_path, "Q"), tmp_path / "out"
    told = {
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
        at_once(*(("eval", data, "--out", str(out), *words) for words in told)), told.values(), strict=True
    ):
        refused(run, word)
    assert "--suite" in mistake("eval", "--out", str(out))
    assert (groq.requests, out.exists()) == ([], False)


def test_without_a_key_nothing_is_begun(tmp_path: Path) -> None:
    told = mistake("eval", questions(tmp_path, "Q"), "--out", str(tmp_path / "out"))
    assert "GROQ_API_KEY" in told
    assert not (tmp_path / "out").exists()
